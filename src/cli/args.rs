//! What the command line accepts, and nothing of what it does.
//!
//! The build of the manual and the completions includes this file for the host (`packaging/docs`): it uses clap,
//! clap_complete, ipnet, the standard library and [`crate::config::keys`], and nothing else.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ipnet::Ipv6Net;

use crate::config::keys::DEFAULT_PATH;

// With its path, as this file is included from another place, too.
#[path = "args/account.rs"]
pub(crate) mod account;

use account::{JoinArgs, RbacArgs};

/// Follows a changing IPv6 prefix and keeps Kubernetes load-balancer pools and CIDR groups on it
#[derive(Debug, Parser)]
#[command(name = "dyn-prefix", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon
    ///
    /// Exit status 78 on a configuration error. Everything it tells goes to the journal, or to standard error when it
    /// does not run under systemd; DYN_PREFIX_LOG=debug tells more.
    Run(RunArgs),
    /// Check a configuration file
    ///
    /// Prints every finding as FILE:LINE:COL with the source line. Exit status 0 when the file can be used, else 78.
    Check {
        /// The configuration file
        #[arg(default_value = DEFAULT_PATH)]
        file: PathBuf,
    },
    /// Show what every range, subnet and target would be, without network or cluster
    ///
    /// Without --prefix it starts from the stored state of the daemon.
    Plan(PlanArgs),
    /// Show what the running daemon knows
    ///
    /// Exit status 0 when all is well, 3 when something is not, 4 when the daemon is not running.
    Status {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        output: OutputArgs,
        /// Show it again after every change, until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// Show the former prefixes and why each was replaced
    History {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print a configuration to start from
    ///
    /// Looks at this host (interfaces, routes, Router Advertisements for 5 seconds, other DHCPv6 clients) and at a
    /// cluster's pools, and prints a file that passes `dyn-prefix check`, with comments on what was seen and why
    /// something was chosen. Writes nothing: dyn-prefix init >dyn-prefix.toml. Without root it hears no Router
    /// Advertisements, and says so.
    Init {
        /// The interface that the prefix arrives on, instead of the one that looks like it
        #[arg(long, value_name = "NAME")]
        interface: Option<String>,
        /// The kubeconfig of a cluster, with its current context
        #[arg(long, value_name = "FILE")]
        kubeconfig: Option<PathBuf>,
    },
    /// Look for everything that can be wrong on this host and in its clusters
    ///
    /// Says what was seen and how to mend it: interfaces, addresses, capabilities, UDP port 546 and other DHCPv6 clients,
    /// the packet filter, Router Advertisements (listens for 5 seconds), routes, neighbours, the clock; of each cluster
    /// the way to it, credentials, rights, kinds, objects, who else writes them, and who announces their addresses.
    /// Changes nothing. What cannot be seen without root is said. Exit status 0 when nothing is wrong, 3 when something
    /// is, 78 when the configuration cannot be used.
    Doctor {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Make the running daemon read its configuration again
    ///
    /// Exit status 0 when the new one is in use, 78 when it was refused (the former stays), 4 when the daemon is not
    /// running.
    Reload(ConfigArgs),
    /// Take what is ours out of the clusters, and leave them alone from then on
    ///
    /// Removes our entries from pools and CIDR groups, the addresses that Services ask for on our behalf and those that
    /// DNS names, and our annotations: of one object, or of all that the state directory lists as managed. Services and
    /// their DNS names let go first, pools afterwards. What the user wrote stays, and so does our last entry where the
    /// API refuses an empty list; that is told. The daemon, if it runs, does it and goes on without these objects, over
    /// restarts too, until `dyn-prefix resume`; without it the command does it itself. What is left in a cluster that
    /// is not in the configuration any more is named: put its section back to get at it. Exit status 0 when nothing of
    /// ours is left, or nothing was ever recorded, 3 when something is left, 78 when the configuration cannot be used.
    Withdraw(WithdrawArgs),
    /// Care again for what was withdrawn
    ///
    /// Without TARGET everything that is withdrawn is taken back, also single objects that were withdrawn before all of
    /// their cluster was. Exit status 0 when nothing of it is withdrawn any more, or nothing was.
    Resume {
        #[command(flatten)]
        scope: ScopeArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Take objects over from another daemon
    ///
    /// For objects with the reason OtherWriter in status: their annotation dynamic-prefix.io/managed-by names another
    /// dyn-prefix. It becomes ours with the next write, and what the records say was the other one's is ours then. The
    /// other daemon, if it still runs, leaves them alone from then on. Refused when it wrote in the last ten minutes,
    /// except with --force. Exit status 0 when all are ours, 3 when not, 4 when the daemon is not running.
    TakeOver(TakeOverArgs),
    /// Print the account that the daemon needs in a cluster, with no right too many, as YAML for `kubectl apply -f -`
    ///
    /// What it may do follows from the configuration; each rule says what it is for.
    Rbac(RbacArgs),
    /// Make that account with the kubeconfig of an administrator, and write the daemon's own kubeconfig
    ///
    /// Applies what `dyn-prefix rbac` prints, takes the token of the account, writes the file that the configuration names
    /// for the cluster, and tries it. Nothing of the administrator's is kept. Exit status 1 when it could not be done.
    Join(Box<JoinArgs>),
    /// Run what `dyn-prefix run --record` has written again, without network or cluster
    ///
    /// Prints what was received and sent, every transition as the journal told it, and the plan after every change. The
    /// same file gives the same output, so that an odd line at a provider becomes a test case. Exit status 1 when the
    /// file cannot be used.
    Replay {
        /// The record
        file: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Turn the configuration of an in-cluster operator into one for dyn-prefix
    ///
    /// Takes DynamicPrefix and DynamicPrefixBinding objects (dynamic-prefix.io or the older network.reith.cloud), pools,
    /// CIDR groups and Services with their annotations, k6u's IP6UpdateConfig and IP6UpdateNodeConfig, and metallb-dyn6:
    /// its Deployment, or its arguments after `--`. Prints a file that passes `dyn-prefix check`, with a comment at
    /// whatever means something else here or has no equivalent. Exit status 1 when there is nothing to convert or it
    /// cannot be.
    Convert(ConvertArgs),
    /// Print the completions of a shell
    ///
    /// For example: dyn-prefix completions bash >/etc/bash_completion.d/dyn-prefix
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a page of the manual
    ///
    /// As `man -l -` and mandoc read it: dyn-prefix man dyn-prefix.toml | man -l -
    Man {
        /// The page
        #[arg(value_enum, default_value_t = Page::Program)]
        page: Page,
    },
    /// Give the prefix of a DHCPv6 client back to its server
    ///
    /// The prefix leaves the targets first, whatever transition.onLoss says; then the server gets a Release. Nothing is
    /// asked for until a reload or restart. Nothing else ever releases a prefix: neither stopping nor removing the
    /// daemon. Exit status 0 when it is given back, 1 when it is not, 4 when the daemon is not running.
    DhcpRelease {
        /// The name of the dynamicPrefix
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Tell the daemon what another DHCPv6 client on this host was delegated
    ///
    /// For the hook scripts of such clients (see dyn-prefix-networks(7)) and for a dynamicPrefix with acquisition.observe.
    /// What is not said stays as it was: a report without lifetimes ends none, and a prefix that is not reported again is
    /// not gone. What the daemon sees of the client by itself counts more. While the daemon does not run, as at boot, the
    /// report waits beside the control socket, of each prefix the last one: the next start takes it up as if it had been
    /// told in time, unless its valid lifetime is over by then; the journal says what became of it. A reboot ends it.
    /// Exit status 0 when the daemon has taken it or it waits, 1 when it is refused, 4 when the daemon is not running and
    /// nothing could be left.
    Report(ReportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub(crate) config: PathBuf,
}

/// What `withdraw`, `resume` and `take-over` are about.
#[derive(Debug, Args)]
pub(crate) struct ScopeArgs {
    /// The object, as status names it: CiliumLoadBalancerIPPool/NAME, CiliumCIDRGroup/NAME, IPAddressPool/NAMESPACE/NAME
    /// or Service/NAMESPACE/NAME
    pub(crate) target: Option<String>,
    /// Only in this cluster
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
}

/// What `withdraw` is asked.
#[derive(Debug, Args)]
pub(crate) struct WithdrawArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Show what would be removed from each object, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// What `report` says.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The name of the dynamicPrefix
    pub(crate) name: String,
    /// The prefix that was delegated, as in 2001:db8:1200::/56
    #[arg(value_name = "P/LEN", value_parser = network)]
    pub(crate) prefix: Ipv6Net,
    /// The preferred lifetime in seconds, or infinity
    #[arg(long, value_name = "S", value_parser = lifetime)]
    pub(crate) preferred: Option<u32>,
    /// The valid lifetime in seconds, or infinity; with 0 the prefix is gone
    #[arg(long, value_name = "S", value_parser = lifetime)]
    pub(crate) valid: Option<u32>,
    /// A part of the prefix that no range may touch (RFC 6603); may be given more than once
    #[arg(long, value_name = "P/LEN", value_parser = network)]
    pub(crate) excluded: Vec<Ipv6Net>,
    /// The prefix is delegated no longer
    #[arg(long, conflicts_with_all = ["preferred", "valid", "excluded"])]
    pub(crate) gone: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// What `take-over` is asked.
#[derive(Debug, Args)]
pub(crate) struct TakeOverArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Every object that another daemon manages
    #[arg(long, conflicts_with = "target")]
    pub(crate) all: bool,
    /// Also when the other daemon wrote a moment ago
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Append to this file everything that the sources take in, so that `dyn-prefix replay` can run it again
    ///
    /// One JSON object a line, for as long as the daemon runs: about 1 MB a day on a quiet line. Nothing of the clusters
    /// is in it, but the configuration, the stored state, the addresses of the line and the keys that DHCPv6 servers gave
    /// are: only its owner may read it. The daemon must be allowed to write there; /var/lib/dyn-prefix is a good place.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// How to print something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs; fields are only ever added.
    Json,
}

/// The pages of the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Page {
    /// dyn-prefix(1): the commands
    #[value(name = "dyn-prefix")]
    Program,
    /// dyn-prefix.toml(5): every key of the configuration file
    #[value(name = "dyn-prefix.toml")]
    Configuration,
    /// dyn-prefix-networks(7): recipes for networks and clusters
    #[value(name = "dyn-prefix-networks")]
    Networks,
}

/// What `convert` is asked.
#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// A file with what is to be converted; `-` is standard input
    #[arg(required_unless_present = "arguments", conflicts_with = "arguments")]
    pub(crate) file: Option<PathBuf>,
    /// What it is
    #[arg(long, value_enum, default_value_t = Origin::Auto)]
    pub(crate) from: Origin,
    /// Instead of a file: the arguments of metallb-dyn6
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) arguments: Vec<String>,
}

/// Whose configuration is to be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Origin {
    /// By apiVersion, kind and image
    Auto,
    /// DynamicPrefix, DynamicPrefixBinding, and what carries their annotations
    #[value(name = "dynamicprefix")]
    DynamicPrefix,
    /// IP6UpdateConfig and IP6UpdateNodeConfig
    K6u,
    /// The Deployment or Pod of metallb-dyn6, or its arguments
    #[value(name = "metallb-dyn6")]
    MetallbDyn6,
}

/// What `plan` is asked.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub(crate) config: PathBuf,
    /// Suppose this prefix, the first as the current one, further ones of the same name as its history
    ///
    /// NAME may be left out when the file has one dynamicPrefix only.
    #[arg(long, value_name = "[NAME=]P/LEN")]
    pub(crate) prefix: Vec<Supposed>,
    /// Ask the real sources, look at the real objects, and print the patch for each; nothing is written
    ///
    /// Listens to the routers, asks DHCPv6 servers what they would delegate without taking it (not while the daemon runs:
    /// then what it holds counts), and reads the clusters with the configured credentials. With --prefix only the
    /// clusters are asked. Exit status 3 when something could not be read.
    #[arg(long)]
    pub(crate) live: bool,
    /// With --live: how long to wait for sources, and again for clusters, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "live")]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// A prefix to suppose for a DynamicPrefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Supposed {
    pub(crate) name: Option<String>,
    pub(crate) prefix: Ipv6Net,
}

impl FromStr for Supposed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, prefix) = match text.split_once('=') {
            Some((name, prefix)) => (Some(name.to_owned()), prefix),
            None => (None, text),
        };
        let prefix: Ipv6Net = prefix.parse().map_err(|_| {
            format!("`{prefix}` is not an IPv6 prefix; write it like 2001:db8:1234::/60 or NAME=2001:db8:1234::/60")
        })?;
        Ok(Self { name, prefix: prefix.trunc() })
    }
}

/// A lifetime as DHCPv6 has them: 4294967295 seconds, which is written "infinity", too, have no end.
fn network(text: &str) -> Result<Ipv6Net, String> {
    text.parse().map_err(|_| format!("`{text}` is no IPv6 prefix with its length; write it as in 2001:db8:1200::/56"))
}

fn lifetime(text: &str) -> Result<u32, String> {
    if text.eq_ignore_ascii_case("infinity") {
        return Ok(u32::MAX);
    }
    text.parse().map_err(|_| format!("`{text}` is no lifetime; write seconds from 0 to 4294967295, or infinity"))
}
