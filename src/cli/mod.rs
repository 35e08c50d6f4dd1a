//! The command line: `run | check | plan | status | history | reload | rbac | join | dhcp-release | replay`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{self, Config};
use crate::daemon;
use crate::{control, log};

mod ask;
mod check;
mod join;
mod plan;
mod preview;
mod rbac;
pub mod render;
mod replay;
mod terminal;

/// Follows a changing IPv6 prefix and keeps Kubernetes load-balancer pools and CIDR groups on it
#[derive(Debug, Parser)]
#[command(name = "dyn-prefix", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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
        #[arg(default_value = crate::config::file::DEFAULT_PATH)]
        file: PathBuf,
    },
    /// Show what every range, subnet and target would be, without network or cluster
    ///
    /// Without --prefix it starts from the stored state of the daemon.
    Plan(plan::PlanArgs),
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
    /// Make the running daemon read its configuration again
    ///
    /// Exit status 0 when the new one is in use, 78 when it was refused (the former stays), 4 when the daemon is not
    /// running.
    Reload(ConfigArgs),
    /// Print the account that the daemon needs in a cluster, with no right too many, as YAML for `kubectl apply -f -`
    ///
    /// What it may do follows from the configuration; each rule says what it is for.
    Rbac(rbac::RbacArgs),
    /// Make that account with the kubeconfig of an administrator, and write the daemon's own kubeconfig
    ///
    /// Applies what `dyn-prefix rbac` prints, takes the token of the account, writes the file that the configuration names
    /// for the cluster, and tries it. Nothing of the administrator's is kept. Exit status 1 when it could not be done.
    Join(Box<join::JoinArgs>),
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
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = crate::config::file::DEFAULT_PATH)]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Append to this file everything that the sources take in, so that `dyn-prefix replay` can run it again
    ///
    /// One JSON object a line, for as long as the daemon runs: about 1 MB a day on a quiet line. Nothing of the clusters
    /// is in it, but the configuration, the stored state, the addresses of the line and the keys that DHCPv6 servers gave
    /// are: only its owner may read it. The daemon must be allowed to write there; /var/lib/dyn-prefix is a good place.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How to print something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs; fields are only ever added.
    Json,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Done, all well.
    Done,
    /// It failed.
    Failed,
    /// The daemon runs, and something is not well.
    Degraded,
    /// The daemon is not running.
    NotRunning,
    /// The configuration cannot be used (EX_CONFIG of sysexits.h).
    Configuration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Degraded => 3,
            Exit::NotRunning => 4,
            Exit::Configuration => 78,
        })
    }
}

/// Runs the command that `arguments` name; the first of them is the program itself.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help, version and usage errors; to a closed pipe there is nothing to say.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let outcome = match cli.command {
        Command::Run(args) => run(args),
        Command::Check { file } => check::check(&file),
        Command::Plan(args) => plan::plan(&args),
        Command::Status { config, output, watch: false } => ask::status(&socket(&config), output.output),
        Command::Status { config, output, watch: true } => ask::watch(&socket(&config), output.output),
        Command::History { config, output } => ask::history(&socket(&config), output.output),
        Command::Reload(args) => ask::reload(&socket(&args)),
        Command::Rbac(args) => rbac::rbac(&args),
        Command::Join(args) => join::join(&args),
        Command::Replay { file, output } => replay::replay(&file, output.output),
        Command::DhcpRelease { name, config } => ask::dhcp_release(&socket(&config), name),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            terminal::complain(&format!("dyn-prefix: {error:#}"));
            Exit::Failed.into()
        }
    }
}

fn run(args: RunArgs) -> anyhow::Result<Exit> {
    log::init();
    let (loaded, text) = Config::load_with_text(&args.config.config);
    for finding in loaded.findings.iter().filter(|finding| finding.is_for_the_journal()) {
        log::emit(&log::record::finding(finding));
    }
    let Some(config) = loaded.config else { return Ok(Exit::Configuration) };
    match daemon::run(daemon::Setup { config, path: args.config.config, text, record: args.record }) {
        Ok(()) => Ok(Exit::Done),
        Err(error) => {
            log::emit(&log::record::fatal(&error));
            Ok(Exit::Failed)
        }
    }
}

/// Where the daemon of this configuration listens. A file that cannot be used must not keep anybody from asking the
/// daemon, which still runs with the former one.
fn socket(args: &ConfigArgs) -> PathBuf {
    match Config::load(&args.config).config {
        Some(config) => daemon::control_socket(&config),
        None => config::file::control_socket(&args.config).unwrap_or_else(|| control::DEFAULT_SOCKET.into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
