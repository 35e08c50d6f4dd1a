//! `dyn-prefix join`: the account of the daemon is made with the kubeconfig of an administrator.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http::Uri;
use ipnet::Ipv6Net;

use crate::clock;
use crate::cluster::access;
use crate::cluster::admin::{Applied, Connection, Issued, Mode};
use crate::cluster::failure::Failure;
use crate::cluster::timeouts::Timeouts;
use crate::config::{Cluster, Config, Kubeconfig};
use crate::rbac::kubeconfig::Access;
use crate::rbac::manifest::{self, Document, Token};
use crate::rbac::server::{self, Address};
use crate::rbac::{Need, needs};

use super::args::account::JoinArgs;
use super::rbac::{choose, load};
use super::{Exit, plan, terminal};

mod file;

/// How long kube-controller-manager may take for a token, and the API server to notice a new role.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the account and writes its kubeconfig.
pub(super) fn join(args: &JoinArgs) -> anyhow::Result<Exit> {
    let Some(config) = load(&args.config) else { return Ok(Exit::Configuration) };
    let cluster = choose(&config, args.cluster.as_deref(), "`dyn-prefix join NAME`")?;
    let output = output(args, &config, cluster)?;
    file::check(&output, args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plan = Plan { args, config: &config, cluster, needs: needs(&config, cluster), output };
    runtime.block_on(plan.carry_out())
}

/// Where the kubeconfig goes.
fn output(args: &JoinArgs, config: &Config, cluster: &Cluster) -> anyhow::Result<PathBuf> {
    let Kubeconfig::File(path) = &cluster.kubeconfig else {
        bail!(
            "the cluster \"{}\" has kubeconfig = \"in-cluster\": a pod finds its token by itself, and there is no file to \
             write; apply what `dyn-prefix rbac` prints",
            cluster.name
        );
    };
    if let Some(output) = &args.output {
        return Ok(output.clone());
    }
    ensure!(
        path.is_absolute() && !path.to_string_lossy().contains("${"),
        "the kubeconfig of the cluster \"{}\" is {}, which is known only where the daemon runs; name the file with --output \
         and hand it to the daemon (LoadCredential= in its unit)",
        cluster.name,
        path.display()
    );
    let shares = |other: &&Cluster| other.name != cluster.name && other.kubeconfig == cluster.kubeconfig;
    if let Some(other) = config.clusters.iter().find(shares) {
        bail!(
            "the clusters \"{}\" and \"{}\" share the kubeconfig {}, and `join` writes one for a single cluster; give each \
             a file of its own in {}",
            cluster.name,
            other.name,
            path.display(),
            args.config.display()
        );
    }
    Ok(path.clone())
}

struct Plan<'a> {
    args: &'a JoinArgs,
    config: &'a Config,
    cluster: &'a Cluster,
    needs: Vec<Need>,
    output: PathBuf,
}

impl Plan<'_> {
    async fn carry_out(&self) -> anyhow::Result<Exit> {
        let admin = Connection::open(&self.args.admin_kubeconfig, self.args.admin_context.as_deref()).await;
        let admin = admin.map_err(anyhow::Error::msg).with_context(|| {
            format!("{} (--admin-kubeconfig, --admin-context)", self.args.admin_kubeconfig.display())
        })?;
        let url = self.server(&admin);
        terminal::say(&format!("The cluster \"{}\" at {url} {}", self.cluster.name, admin.version))?;
        self.warn(&admin, &url).await;
        let token = if self.args.token_duration.is_some() { Token::Requested } else { Token::Secret };
        let documents = manifest::documents(&self.needs, &self.args.names.names(), token);
        self.try_all(&admin, &documents).await?;
        self.apply_all(&admin, &documents).await?;
        let issued = self.token(&admin, &documents).await?;
        let ends = match issued.expires {
            Some(at) => {
                format!("its token ends at {at}, and nobody renews it: run `dyn-prefix join` again before that")
            }
            None => "its token does not expire".to_owned(),
        };
        let written = file::write(&self.output, &self.access(&admin, &url, issued).text())?;
        terminal::say(&format!("{} is written ({written}); {ends}.", self.output.display()))?;
        self.tell_of_other_token(&admin).await;
        self.prove().await
    }

    /// The URL that the daemon is to use.
    fn server(&self, admin: &Connection) -> String {
        let url = self.args.server.as_ref().map_or_else(|| admin.config.cluster_url.to_string(), ToString::to_string);
        url.trim_end_matches('/').to_owned()
    }

    async fn warn(&self, admin: &Connection, url: &str) {
        let host = url.parse::<Uri>().ok().and_then(|url| Some(url.host()?.trim_matches(['[', ']']).to_owned()));
        let host = host.unwrap_or_default();
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => tokio::net::lookup_host((host.as_str(), 443))
                .await
                .map(|found| found.map(|address| address.ip()).collect())
                .unwrap_or_default(),
        };
        let mut warnings = server::warnings(&Address { host, addresses }, &self.prefixes());
        if admin.config.accept_invalid_certs {
            warnings.push(
                "The administrator's kubeconfig does not check the server's certificate \
                 (insecure-skip-tls-verify); the daemon does, so it needs a certificate of a known authority."
                    .to_owned(),
            );
        }
        for warning in warnings {
            terminal::complain(&format!("warning: {warning}"));
        }
    }

    /// The prefixes that are followed, as far as this host knows them.
    fn prefixes(&self) -> Vec<(String, Ipv6Net)> {
        let prefixes = self.config.dynamic_prefixes.iter();
        let fixed = prefixes.filter_map(|prefix| Some((prefix.name.clone(), prefix.acquisition.fixed?)));
        // Whoever may not read the state gets no warning.
        let stored = plan::stored(self.config, &clock::epoch()).unwrap_or_default();
        let stored = stored.into_iter().filter_map(|(name, snapshot)| Some((name, snapshot.current?.prefix)));
        fixed.chain(stored).collect()
    }

    /// Asks for everything before anything is changed, so that all that the administrator lacks is told at once.
    async fn try_all(&self, admin: &Connection, documents: &[Document]) -> anyhow::Result<()> {
        let mut refusals = Vec::new();
        for document in documents {
            match admin.apply(document, Mode::DryRun, self.args.force).await {
                Ok(_) if self.args.force => {}
                Ok(_) => refusals.extend(self.taken_away(admin, document).await),
                // The role that it binds is not there, as it was not written either.
                Err(failure) if failure.code() == Some(404) && document.kind().ends_with("Binding") => {}
                Err(failure) if failure.is_of_connection() => bail!("the API server: {}", failure.message()),
                Err(failure) => refusals.push(refused(document, &failure)),
            }
        }
        ensure!(refusals.is_empty(), "nothing was changed in the cluster:\n{}", refusals.join("\n"));
        Ok(())
    }

    /// A role that is there may be the one of another daemon, which would lose what this configuration does not need.
    async fn taken_away(&self, admin: &Connection, document: &Document) -> Option<String> {
        // Whoever may not look may not be able to write either, and hears so.
        let found = admin.find(document).await.ok()??;
        let lost = manifest::taken_away(&found, &document.object);
        (!lost.is_empty()).then(|| {
            format!(
                "  {} allows more than this configuration needs: {} (if another daemon uses this account, give this one a \
                 name of its own with --name; if nobody needs that any more, --force takes it away)",
                called(document),
                lost.join(", ")
            )
        })
    }

    async fn apply_all(&self, admin: &Connection, documents: &[Document]) -> anyhow::Result<()> {
        for document in documents {
            let applied = admin.apply(document, Mode::Write, self.args.force).await;
            let applied = applied.map_err(|failure| anyhow::anyhow!(refused(document, &failure)))?;
            let what = match applied {
                Applied::Created => "created",
                Applied::Applied => "applied",
            };
            terminal::say(&format!("  {what}  {}", called(document)))?;
        }
        Ok(())
    }

    async fn token(&self, admin: &Connection, documents: &[Document]) -> anyhow::Result<Issued> {
        let of_kind = |kind| documents.iter().find(|document| document.kind() == kind);
        if let (Some(duration), Some(account)) = (self.args.token_duration, of_kind("ServiceAccount")) {
            let issued = admin.request_token(account, duration).await;
            return issued.map_err(|failure| {
                anyhow::anyhow!("no token for the {} (TokenRequest): {}", called(account), failure.message())
            });
        }
        let secret = of_kind("Secret").context("there is no Secret to take a token from")?;
        let instead =
            "`--token-duration 8760h` asks the API server for one that ends after a year, which needs neither";
        match admin.token_of(secret, PATIENCE).await {
            Ok(Some(issued)) => Ok(issued),
            Ok(None) => bail!(
                "the {} has no token after {} s: kube-controller-manager puts it there, if it runs and its token controller \
                 is on; {instead}",
                called(secret),
                PATIENCE.as_secs()
            ),
            Err(failure) => bail!("the {} cannot be read: {}; {instead}", called(secret), failure.message()),
        }
    }

    /// An earlier join may have left a token that lasts longer than this one.
    async fn tell_of_other_token(&self, admin: &Connection) {
        let secret = manifest::secret(&self.args.names.names());
        if self.args.token_duration.is_some() && matches!(admin.find(&secret).await, Ok(Some(_))) {
            terminal::complain(&format!(
                "warning: the {} of an earlier join holds a token that does not expire; if nobody uses it any more: kubectl \
                 delete secret --namespace {} {}",
                called(&secret),
                secret.namespace().unwrap_or_default(),
                secret.name()
            ));
        }
    }

    fn access(&self, admin: &Connection, url: &str, issued: Issued) -> Access {
        let names = self.args.names.names();
        let context = self.cluster.context.clone();
        Access {
            cluster: self.cluster.name.clone(),
            context: context.unwrap_or_else(|| format!("{}@{}", names.name, self.cluster.name)),
            server: url.to_owned(),
            authorities: admin.config.root_cert.clone().unwrap_or_default(),
            tls_server_name: admin.config.tls_server_name.clone(),
            proxy_url: admin.config.proxy_url.as_ref().map(ToString::to_string),
            account: format!("{}/{}", names.namespace, names.name),
            token: issued.token,
        }
    }

    /// Uses the file as the daemon will.
    async fn prove(&self) -> anyhow::Result<Exit> {
        let output = self.output.display();
        let own = Connection::open(&self.output, self.cluster.context.as_deref()).await;
        let own = own
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("the account does not work by {output} from here"))?;
        let missing = self.missing(&own).await.map_err(|failure| anyhow::anyhow!(failure.message().to_owned()))?;
        if !missing.is_empty() {
            let lines: Vec<String> = missing.iter().map(|missing| format!("  {missing}")).collect();
            bail!("the account still may not do all that the configuration asks for:\n{}", lines.join("\n"));
        }
        let next = "The account may do all that the configuration asks for. A running daemon takes the file into use \
                    at once; else start it: systemctl enable --now dyn-prefix";
        terminal::say(next)?;
        Ok(Exit::Done)
    }

    /// What the account may not do; the API server notices a new role in a moment.
    async fn missing(&self, own: &Connection) -> Result<Vec<access::Missing>, Failure> {
        let timeouts = Timeouts::default();
        let began = clock::now();
        loop {
            let missing = access::missing(own.client(), &self.needs, &timeouts).await?;
            if missing.is_empty() || clock::now().saturating_since(began) > PATIENCE {
                return Ok(missing);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn called(document: &Document) -> String {
    let namespace = document.namespace().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{} {namespace}{}", document.kind(), document.name())
}

/// What the server did not want, and what to do about it.
fn refused(document: &Document, failure: &Failure) -> String {
    let hint = match (failure.code(), document.namespace()) {
        (Some(403), _) => {
            "name the kubeconfig of an account that may (cluster-admin), or let one apply what `dyn-prefix rbac` prints"
                .to_owned()
        }
        (Some(404), Some(namespace)) => format!("make the namespace first: kubectl create namespace {namespace}"),
        (Some(409), _) => "somebody else has set this; --force takes it over".to_owned(),
        _ => "see what the API server says".to_owned(),
    };
    format!("  {} is refused: {} ({hint})", called(document), failure.message().trim_end_matches('.'))
}
