//! What concerns the whole host.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use super::{Known, capability, daemon, firewall, in_time};
use crate::config::Config;
use crate::control::client::{Connection, Failure};
use crate::control::{Request, Response};
use crate::source::link::Links;

/// How long another program may take.
const COMMAND: Duration = Duration::from_secs(4);
/// How long the daemon may take to answer.
const ANSWER: Duration = Duration::from_secs(3);

/// The daemon as far as it can be seen.
pub(super) struct Daemon {
    pub(super) facts: daemon::Facts,
    pub(super) process: Option<u32>,
}

/// Asks the daemon.
pub(super) async fn daemon(socket: PathBuf) -> Daemon {
    let asking = tokio::task::spawn_blocking(move || ask(&socket));
    let nothing = |why: &str| Daemon { facts: daemon::Facts::NoAnswer(why.to_owned()), process: None };
    match in_time(ANSWER, asking).await {
        Some(Ok(daemon)) => daemon,
        Some(Err(_)) => nothing("the question was aborted"),
        None => nothing("it does not answer in time"),
    }
}

fn ask(socket: &Path) -> Daemon {
    let mut connection = match Connection::open(socket, Request::Status) {
        Ok(connection) => connection,
        Err(Failure::NotRunning(_)) => return Daemon { facts: daemon::Facts::NotRunning, process: None },
        Err(Failure::Other(error)) => {
            return Daemon { facts: daemon::Facts::NoAnswer(format!("{error:#}")), process: None };
        }
    };
    let process = connection.process();
    let facts = match connection.next_response() {
        Ok(Some(Response::Status { status })) => daemon::Facts::Runs(status),
        Ok(_) => daemon::Facts::NoAnswer("it answered something else (another version?)".to_owned()),
        Err(error) => daemon::Facts::NoAnswer(format!("{error:#}")),
    };
    Daemon { facts, process }
}

/// Whether this is the configuration file of the daemon; not, where that cannot be seen.
pub(super) fn reads(daemon: &Daemon, path: &Path) -> bool {
    let of_daemon = || {
        let process = PathBuf::from(format!("/proc/{}", daemon.process?));
        let line = std::fs::read_to_string(process.join("cmdline")).ok()?;
        let arguments: Vec<String> = line.split_terminator('\0').map(str::to_owned).collect();
        let file = daemon::file_of(&arguments);
        // Only who may look into the process sees where it runs, and most are given a whole path.
        let from = if file.is_absolute() { PathBuf::new() } else { process.join("cwd") };
        from.join(file).canonicalize().ok()
    };
    of_daemon().is_some_and(|its| path.canonicalize().is_ok_and(|path| path == its))
}

/// net.ipv6.conf.INTERFACE.KEY. A name may have dots in it, but no slash.
pub(super) fn sysctl(interface: &str, key: &str) -> Option<u8> {
    let text = std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{interface}/{key}")).ok()?;
    text.trim().parse().ok()
}

/// What another program prints.
pub(super) enum Printed {
    Text(String),
    NotInstalled,
    Failed(String),
}

/// Runs a program that only reads.
pub(super) async fn run(program: &str, arguments: &[&str]) -> Printed {
    // Those of the network are in directories that are on the PATH of root alone.
    let path = std::env::var("PATH").unwrap_or_default();
    let directories = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/bin"]).filter(|part| !part.is_empty());
    let Some(file) = directories.map(|directory| PathBuf::from(directory).join(program)).find(|file| file.is_file())
    else {
        return Printed::NotInstalled;
    };
    let mut command = tokio::process::Command::new(file);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).env("LC_ALL", "C");
    match in_time(COMMAND, command.output()).await {
        Some(Ok(output)) if output.status.success() => {
            Printed::Text(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Some(Ok(output)) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("it failed without a word");
            Printed::Failed(format!("{program}: {}", line.trim().trim_end_matches('.')))
        }
        Some(Err(error)) => Printed::Failed(format!("{program}: {error}")),
        None => Printed::Failed(format!("{program} does not answer within {COMMAND:?}")),
    }
}

/// The rules of a packet filter.
pub(super) async fn rules(program: &str, arguments: &[&str]) -> firewall::Seen {
    match run(program, arguments).await {
        Printed::Text(text) => firewall::Seen::Text(text),
        Printed::NotInstalled => firewall::Seen::NotInstalled,
        Printed::Failed(why) => firewall::Seen::Hidden(why),
    }
}

/// Whether somebody keeps the clock, as systemd says.
pub(super) async fn synchronised() -> Option<bool> {
    let Printed::Text(text) = run("timedatectl", &["show", "--property=NTPSynchronized", "--value"]).await else {
        return None;
    };
    match text.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// The capabilities that the daemon has, or would have.
pub(super) async fn capabilities(daemon: &Daemon) -> capability::Facts {
    let status = |process: &str| std::fs::read_to_string(format!("/proc/{process}/status")).ok();
    let effective = |process: &str| status(process).as_deref().and_then(capability::of_status);
    let properties = "LoadState,User,AmbientCapabilities,RestrictAddressFamilies,MainPID";
    let shown = match run("systemctl", &["show", "dyn-prefix.service", &format!("--property={properties}")]).await {
        Printed::Text(text) => text,
        Printed::NotInstalled | Printed::Failed(_) => String::new(),
    };
    let value = |key: &str| shown.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let families = || Some(value("RestrictAddressFamilies=").to_owned());
    if let Some(process) = daemon.process {
        return capability::Facts {
            whose: capability::Whose::Daemon(process),
            effective: effective(&process.to_string()),
            families: families().filter(|_| value("MainPID=") == process.to_string()),
        };
    }
    if value("LoadState=") == "loaded" {
        // Of root nothing is taken away unless the unit says so.
        let is_root = ["", "root"].contains(&value("User=")) && value("AmbientCapabilities=").is_empty();
        let effective = if is_root { u64::MAX } else { capability::of_unit(value("AmbientCapabilities=")) };
        let (whose, families) = (capability::Whose::Unit, families());
        return capability::Facts { whose, effective: Some(effective), families };
    }
    capability::Facts { whose: capability::Whose::ThisCommand, effective: effective("self"), families: None }
}

/// What is known of the prefixes: of the daemon, else of the state directory.
pub(super) async fn known(config: &Arc<Config>, daemon: &Daemon, links: &Result<Arc<Links>, String>) -> Known {
    let mut known = match &daemon.facts {
        daemon::Facts::Runs(status) => Known::of_daemon(config, status),
        daemon::Facts::NotRunning => stored(config, "the daemon does not run").await,
        daemon::Facts::NoAnswer(why) => stored(config, &format!("the daemon could not be asked ({why})")).await,
    };
    for delegation in &mut known.delegations {
        let link = links.as_ref().ok().and_then(|links| links.get(&delegation.interface));
        delegation.ifindex = link.map(|link| link.ifindex);
    }
    known
}

async fn stored(config: &Arc<Config>, silent: &str) -> Known {
    let directory = crate::daemon::state_directory(config);
    let reading =
        tokio::task::spawn_blocking(move || crate::store::peek(&directory).map_err(|error| format!("{error:#}")));
    let state = reading.await.unwrap_or_else(|_| Err("reading the stored state was aborted".to_owned()));
    let state = state.map_err(|why| format!("{silent}, and we {}", why.trim_end_matches('.')));
    let state = state.as_ref().map(Option::as_ref).map_err(Clone::clone);
    Known::of_store(config, state, &crate::clock::epoch())
}
