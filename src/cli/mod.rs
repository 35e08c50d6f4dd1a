//! The command line: `run | check | plan | status | history | reload | rbac | join | dhcp-release | report | replay | convert |
//! completions | man`. What each accepts is in `args`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::config::{self, Config};
use crate::daemon;
use crate::{control, log};

mod args;
mod ask;
mod check;
mod convert;
mod doctor;
mod init;
mod join;
mod live;
mod manual;
mod plan;
mod preview;
mod rbac;
pub mod render;
mod replay;
mod report;
mod terminal;
mod withdraw;

use args::{Cli, Command, ConfigArgs, Output, RunArgs};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Done, all well.
    Done,
    /// It failed.
    Failed,
    /// The command line asks for something that cannot be.
    Usage,
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
            Exit::Usage => 2,
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
        Command::Withdraw(args) => withdraw::withdraw(args),
        Command::Resume { scope, config } => withdraw::resume(scope, &config),
        Command::TakeOver(args) => withdraw::take_over(args),
        Command::Rbac(args) => rbac::rbac(&args),
        Command::Join(args) => join::join(&args),
        Command::Replay { file, output } => replay::replay(&file, output.output),
        Command::Doctor { config, output } => doctor::doctor(&config.config, output.output),
        Command::Init { interface, kubeconfig } => init::init(interface, kubeconfig),
        Command::Convert(args) => convert::convert(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { page } => manual::page(page),
        Command::DhcpRelease { name, config } => ask::dhcp_release(&socket(&config), name),
        Command::Report(args) => report::report(args),
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
    let Some(config) = loaded.at_start else { return Ok(Exit::Configuration) };
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
