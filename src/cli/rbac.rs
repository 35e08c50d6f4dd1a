//! `dyn-prefix rbac`

use crate::config::{Cluster, Config, Kubeconfig, Severity};
use crate::rbac::manifest::{self, Names, Token};
use crate::rbac::{Need, boundaries, needs};

use super::args::account::{NameArgs, RbacArgs};
use super::{Exit, terminal};

impl NameArgs {
    pub(super) fn names(&self) -> Names {
        Names { name: self.name.clone(), namespace: self.namespace.clone() }
    }

    /// The same as arguments; empty where they are the defaults.
    pub(super) fn arguments(&self) -> String {
        let given = [("--namespace", &self.namespace, "kube-system"), ("--name", &self.name, "dyn-prefix")];
        let given = given.into_iter().filter(|(_, value, default)| value != default);
        given.map(|(option, value, _)| format!(" {option} {value}")).collect()
    }
}

/// Prints the account of a cluster and what it may do.
pub(super) fn rbac(args: &RbacArgs) -> anyhow::Result<Exit> {
    let Some(config) = load(&args.config) else { return Ok(Exit::Configuration) };
    let cluster = choose(&config, args.cluster.as_deref(), "--cluster")?;
    let token = if cluster.kubeconfig == Kubeconfig::InCluster { Token::Mounted } else { Token::Secret };
    let needs = needs(&config, cluster);
    let documents = manifest::documents(&needs, &args.names.names(), token);
    terminal::say(&manifest::text(&documents, &heading(args, &config, cluster, &needs)))?;
    Ok(Exit::Done)
}

fn heading(args: &RbacArgs, config: &Config, cluster: &Cluster, needs: &[Need]) -> String {
    let option = if config.clusters.len() > 1 { format!(" --cluster {}", cluster.name) } else { String::new() };
    let command = format!("dyn-prefix rbac{option}{}", args.names.arguments());
    let mut text = format!(
        "The account of dyn-prefix in the cluster \"{}\", with all that its configuration asks for there. {}\n\n   \
         {command} | kubectl apply -f -\n\n",
        cluster.name,
        boundaries(needs)
    );
    text += "After a change of the configuration print and apply it again, but let the daemon reload first: it takes our \
             entries out of the target of a removed binding while it still may.\n";
    if cluster.dry_run {
        text += "With dryRun = true it only looks: to write, it needs the rights that are printed without that.\n";
    }
    if cluster.kubeconfig != Kubeconfig::InCluster {
        text += "`dyn-prefix join` applies it and writes the kubeconfig with the token of the Secret.\n";
    }
    text
}

/// The configuration, if it can be used; what is wrong with it is printed.
pub(super) fn load(path: &std::path::Path) -> Option<Config> {
    let loaded = Config::load(path);
    for finding in loaded.findings.iter().filter(|finding| finding.severity == Severity::Error) {
        terminal::complain(&finding.to_string());
    }
    loaded.config
}

/// The cluster of this name, or the only one.
pub(super) fn choose<'a>(config: &'a Config, name: Option<&str>, option: &str) -> anyhow::Result<&'a Cluster> {
    let all = || config.clusters.iter().map(|cluster| cluster.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, config.clusters.as_slice()) {
        (_, []) => anyhow::bail!(
            "the configuration has no [[cluster]], so there is nothing that it needs rights in; write it first (`dyn-prefix \
             init` prints one to start from)"
        ),
        (None, [only]) => Ok(only),
        (None, _) => anyhow::bail!("each cluster has an account of its own: choose one with {option}, of {}", all()),
        (Some(name), clusters) => clusters
            .iter()
            .find(|cluster| cluster.name == name)
            .ok_or_else(|| anyhow::anyhow!("the configuration has no cluster \"{name}\", only {}", all())),
    }
}
