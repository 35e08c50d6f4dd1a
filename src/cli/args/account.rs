//! `rbac` and `join`: the account of the daemon in a cluster.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::config::keys::DEFAULT_PATH;

/// What `rbac` is asked.
#[derive(Debug, Args)]
pub(crate) struct RbacArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub(crate) config: PathBuf,
    /// The cluster; may be left out when the file has one only
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    #[command(flatten)]
    pub(crate) names: NameArgs,
}

/// What the account is called.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The namespace of the account; it must be there
    #[arg(long, default_value = "kube-system", value_parser = label)]
    pub(crate) namespace: String,
    /// The name of the account and its roles; two daemons for one cluster have one each
    #[arg(long, default_value = "dyn-prefix", value_parser = label)]
    pub(crate) name: String,
}

/// What `join` is asked.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The cluster; may be left out when the file has one only
    pub(crate) cluster: Option<String>,
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub(crate) config: PathBuf,
    /// A kubeconfig that may make accounts and roles (cluster-admin); it is read once and not kept
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_kubeconfig: PathBuf,
    /// Its context; its current one by default
    #[arg(long, value_name = "NAME")]
    pub(crate) admin_context: Option<String>,
    #[command(flatten)]
    pub(crate) names: NameArgs,
    /// The address of the API server for the daemon, when it is not that of the administrator
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<ServerUrl>,
    /// Where to write the kubeconfig; by default where the configuration says that it is
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Ask for a token that ends after this time (600s, 90m, 720h, 30d), and make no Secret with one that does not
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) token_duration: Option<Duration>,
    /// Replace a file that `join` has not written, and what others have set in the account's objects
    #[arg(long)]
    pub(crate) force: bool,
}

/// The URL of an API server: https, a host, and nothing that no host or path has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerUrl(String);

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServerUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("https://").ok_or("wanted: https://HOST:PORT")?;
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = match authority.strip_prefix('[') {
            Some(address) => address.split_once(']').filter(|(host, _)| is_ipv6(host)).ok_or(IN_BRACKETS)?,
            None => authority.find(':').map_or((authority, ""), |at| authority.split_at(at)),
        };
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}@?#".contains(&byte));
        if host.is_empty() || !is_port || !is_plain { Err(IN_BRACKETS) } else { Ok(Self(text.to_owned())) }
    }
}

const IN_BRACKETS: &str = "wanted: https://HOST:PORT, an IPv6 address in brackets";

fn is_ipv6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// A DNS label, as a namespace must be, and an account may.
fn label(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = !text.is_empty() && text.len() <= 63 && text.bytes().all(fits);
    if is_label && !text.starts_with('-') && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("a name has lower-case letters, digits and hyphens, and at most 63 of them".to_owned())
    }
}

/// A number with a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let found = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?.parse::<u64>().ok()?, seconds)));
    let seconds = found.and_then(|(number, seconds)| number.checked_mul(*seconds));
    match seconds {
        Some(seconds) if seconds >= 600 => Ok(Duration::from_secs(seconds)),
        Some(_) => Err("Kubernetes gives no token for less than 600s".to_owned()),
        None => Err("wanted: a number with its unit, as in 600s, 90m, 720h or 30d".to_owned()),
    }
}
