//! From a kubeconfig file to what a client is built from.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, Config, Context, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedAuthInfo};

use super::failure::chain;
use super::files::Fingerprint;
use crate::config;

/// Where the kubelet mounts the credentials of a pod (`in-cluster`).
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Credentials as they were read.
#[derive(Debug)]
pub struct Credentials {
    /// What the files held; also of those that could not be read, so that their repair is noticed.
    pub fingerprint: Fingerprint,
    /// Whether the token comes from a file of its own.
    pub has_token_file: bool,
    /// How to reach the cluster, or why that cannot be known.
    pub config: Result<Config, Unusable>,
}

/// A kubeconfig that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Unusable {
    /// Names file, context and user, and what to do about what is in them.
    pub text: String,
    /// What is wrong with the file itself.
    pub fault: Fault,
}

/// What is wrong with a kubeconfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such file.
    Missing,
    /// Whoever reads it may not.
    Forbidden,
    /// What it says, or something that it names.
    Content,
}

impl Unusable {
    /// Because of what it says.
    pub fn new(text: String) -> Self {
        Self { text, fault: Fault::Content }
    }
}

/// The command that makes an account in a cluster, and the kubeconfig that the configuration names.
pub fn join_command(cluster: &str) -> String {
    format!("dyn-prefix join {cluster} --admin-kubeconfig FILE")
}

/// Reads the kubeconfig and every file it names. Blocks for as long as the disk does.
pub fn read(source: &config::Kubeconfig, context: Option<&str>) -> Credentials {
    match source {
        config::Kubeconfig::InCluster => in_cluster(),
        config::Kubeconfig::File(path) => from_file(path, context),
    }
}

fn in_cluster() -> Credentials {
    let [token, ca] = ["token", "ca.crt"].map(|name| Path::new(SERVICE_ACCOUNT).join(name));
    let fingerprint = Fingerprint::of([&token, &ca]);
    let config = Config::incluster()
        .map_err(|error| {
            // It names neither the variables nor the files.
            Unusable::new(format!(
                "kubeconfig = \"in-cluster\" works only in a pod with a ServiceAccount token, by the variables \
                 KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT and the files in {SERVICE_ACCOUNT}: {}; outside of \
                 one, name a kubeconfig file",
                chain(&error)
            ))
        })
        .and_then(|mut config| {
            config.root_cert_file = None; // we watch the file ourselves, and build a new client
            config.default_retry = false;
            with_trimmed_token(&mut config.auth_info, "the pod's ServiceAccount")?;
            Ok(config)
        });
    Credentials { fingerprint, has_token_file: true, config }
}

fn from_file(path: &Path, context: Option<&str>) -> Credentials {
    let own = Fingerprint::of([&path.to_owned()]); // before it is read: a change in between must be noticed
    if let Err(error) = regular(&own, "the kubeconfig") {
        return unusable(own, error);
    }
    let kubeconfig = match Kubeconfig::read_from(path) {
        Ok(kubeconfig) => kubeconfig,
        Err(error) => return unusable(own, unreadable(path, &error)),
    };
    match Chosen::new(path, kubeconfig, context) {
        Ok(chosen) => {
            let named = Fingerprint::of(&chosen.files());
            let whose = format!("the file that the kubeconfig {} names,", path.display());
            let has_token_file = chosen.has_token_file();
            let config = regular(&named, &whose).and_then(|()| chosen.config());
            Credentials { fingerprint: own.and(named), has_token_file, config }
        }
        Err(error) => unusable(own, error),
    }
}

const fn unusable(fingerprint: Fingerprint, error: Unusable) -> Credentials {
    Credentials { fingerprint, has_token_file: false, config: Err(error) }
}

/// Refuses what is no file to read: a FIFO would be waited for.
fn regular(files: &Fingerprint, what: &str) -> Result<(), Unusable> {
    files.irregular().map_or(Ok(()), |file| {
        Err(Unusable::new(format!("{what} {} is no regular file: put a regular file there", file.display())))
    })
}

fn unreadable(path: &Path, error: &KubeconfigError) -> Unusable {
    let path = path.display();
    if let KubeconfigError::ReadConfig(cause, _) = error {
        let fault = if cause.kind() == ErrorKind::NotFound {
            Fault::Missing
        } else if cause.kind() == ErrorKind::PermissionDenied {
            Fault::Forbidden
        } else {
            Fault::Content
        };
        return Unusable { text: format!("cannot read the kubeconfig {path}: {cause}"), fault };
    }
    Unusable::new(format!("the kubeconfig {path} is not valid: {}", chain(error)))
}

/// A kubeconfig of which one context has been chosen.
struct Chosen<'a> {
    path: &'a Path,
    kubeconfig: Kubeconfig,
    context: String,
    cluster: String,
    user: Option<String>,
}

impl<'a> Chosen<'a> {
    fn new(path: &'a Path, kubeconfig: Kubeconfig, wanted: Option<&str>) -> Result<Self, Unusable> {
        let contexts: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
        let current = kubeconfig.current_context.as_deref().filter(|name| !name.is_empty());
        let Some(name) = wanted.or(current) else {
            return Err(Unusable::new(format!(
                "the kubeconfig {} has no current-context; set `context` of the [[cluster]] to one of: {}",
                path.display(),
                list(&contexts)
            )));
        };
        let context = kubeconfig.contexts.iter().find(|context| context.name == name);
        let Some(Context { cluster, user, .. }) = context.and_then(|context| context.context.clone()) else {
            return Err(Unusable::new(format!(
                "the kubeconfig {} has no context \"{name}\"; it has: {}",
                path.display(),
                list(&contexts)
            )));
        };
        let context = name.to_owned();
        let user = user.filter(|user| !user.is_empty());
        let chosen = Self { path, kubeconfig, context, cluster, user };
        chosen.check()?;
        Ok(chosen)
    }

    /// kube takes a user that is missing for an anonymous one; the server would then answer 401 or 403 and leave the
    /// user of this program to guess.
    fn check(&self) -> Result<(), Unusable> {
        let clusters: Vec<&str> = self.kubeconfig.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        if !clusters.contains(&self.cluster.as_str()) {
            return Err(self.unusable(&format!("it has no cluster \"{}\", only: {}", self.cluster, list(&clusters))));
        }
        let users: Vec<&str> = self.kubeconfig.auth_infos.iter().map(|user| user.name.as_str()).collect();
        match &self.user {
            Some(user) if !users.contains(&user.as_str()) => {
                Err(self.unusable(&format!("it has no such user, only: {}", list(&users))))
            }
            _ => Ok(()),
        }
    }

    fn unusable(&self, what: &str) -> Unusable {
        let mut text = format!("the kubeconfig {} cannot be used (context \"{}\"", self.path.display(), self.context);
        if let Some(user) = &self.user {
            let _infallible = write!(text, ", user \"{user}\"");
        }
        Unusable::new(format!("{text}): {what}"))
    }

    fn auth_info(&mut self) -> Option<&mut AuthInfo> {
        let user = self.user.as_deref();
        let found = self.kubeconfig.auth_infos.iter_mut().find(|info| Some(info.name.as_str()) == user);
        found.and_then(|NamedAuthInfo { auth_info, .. }| auth_info.as_mut())
    }

    /// As in kube, an inline token wins.
    fn has_token_file(&self) -> bool {
        let user = self.kubeconfig.auth_infos.iter().find(|info| Some(&info.name) == self.user.as_ref());
        let user = user.and_then(|user| user.auth_info.as_ref());
        user.is_some_and(|user| user.token.is_none() && user.token_file.as_ref().is_some_and(|file| !file.is_empty()))
    }

    /// The other files that the chosen context names. Relative ones were resolved against the kubeconfig's directory.
    fn files(&self) -> Vec<PathBuf> {
        let user = self.kubeconfig.auth_infos.iter().find(|info| Some(&info.name) == self.user.as_ref());
        let cluster = self.kubeconfig.clusters.iter().find(|cluster| cluster.name == self.cluster);
        let user = user.and_then(|user| user.auth_info.as_ref());
        let cluster = cluster.and_then(|cluster| cluster.cluster.as_ref());
        let files = [
            cluster.and_then(|cluster| cluster.certificate_authority.clone()),
            user.and_then(|user| user.client_certificate.clone()),
            user.and_then(|user| user.client_key.clone()),
            user.and_then(|user| user.token_file.clone()),
        ];
        files.into_iter().flatten().filter(|file| !file.is_empty()).map(PathBuf::from).collect()
    }

    fn config(mut self) -> Result<Config, Unusable> {
        let proxy = self.proxy_url()?;
        if let Some(auth_info) = self.auth_info() {
            let read = with_trimmed_token(auth_info, "the user");
            read.map_err(|unusable| self.unusable(&unusable.text))?;
        }
        let options = KubeConfigOptions { context: Some(self.context.clone()), cluster: None, user: None };
        let config = block_on(Config::from_custom_kubeconfig(self.kubeconfig.clone(), &options));
        let mut config = config.map_err(|error| self.unusable(&chain(&error)))?;
        self.check_server(&config.cluster_url)?;
        // kube also takes HTTPS_PROXY, which is meant for the way to the Internet, and holds NO_PROXY against the
        // proxy's own name.
        config.proxy_url = proxy;
        config.default_retry = false; // the decider retries, and knows what for
        Ok(config)
    }

    /// kube panics at the first request to a URL without a scheme, which kubectl would supply.
    fn check_server(&self, url: &http::Uri) -> Result<(), Unusable> {
        if matches!(url.scheme_str(), Some("http" | "https")) && url.authority().is_some() {
            return Ok(());
        }
        let meant =
            url.authority().map_or_else(|| "https://HOST:PORT".to_owned(), |authority| format!("https://{authority}"));
        Err(self.unusable(&format!("the server \"{url}\" is no URL: write {meant}")))
    }

    fn proxy_url(&self) -> Result<Option<http::Uri>, Unusable> {
        let cluster = self.kubeconfig.clusters.iter().find(|cluster| cluster.name == self.cluster);
        let url = cluster.and_then(|cluster| cluster.cluster.as_ref()?.proxy_url.clone());
        let Some(url) = url.filter(|url| !url.is_empty()) else { return Ok(None) };
        let parsed = url.parse().map_err(|error| self.unusable(&format!("proxy-url \"{url}\" is no URL: {error}")))?;
        Ok(Some(parsed))
    }
}

/// Reads the token file here, because kube sends it as it is: the newline that `kubectl create token > file` leaves
/// at its end makes an invalid header of it.
fn with_trimmed_token(auth_info: &mut AuthInfo, whose: &str) -> Result<(), Unusable> {
    let Some(file) = auth_info.token_file.take().filter(|file| !file.is_empty()) else { return Ok(()) };
    if auth_info.token.is_some() {
        return Ok(()); // as in kube, an inline token wins
    }
    let token = std::fs::read_to_string(&file)
        .map_err(|error| Unusable::new(format!("cannot read the token file {file} of {whose}: {error}")))?;
    if token.trim().is_empty() {
        return Err(Unusable::new(format!("the token file {file} of {whose} is empty")));
    }
    auth_info.token = Some(token.trim().to_owned().into());
    Ok(())
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Runs a future of kube that is async in name only: it reads files and returns.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(future)
}
