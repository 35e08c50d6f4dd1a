//! The running daemon: whether it runs, and what it says of itself.

use std::path::Path;

use jiff::Timestamp;

use super::{Check, Finding, Level};
use crate::config::keys::DEFAULT_PATH;
use crate::config::{self, Severity};
use crate::status::Status;

/// What is known of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Facts {
    /// Nobody listens on the control socket.
    NotRunning,
    /// It could not be asked; why.
    NoAnswer(String),
    /// It says this.
    Runs(Box<Status>),
}

impl Facts {
    /// What it says, if it does.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Runs(status) => Some(status),
            Self::NotRunning | Self::NoAnswer(_) => None,
        }
    }
}

/// Looks at the daemon. `version`: that of this program.
pub fn check(facts: &Facts, version: &str) -> Vec<Finding> {
    let subject = "dyn-prefix";
    let status = match facts {
        Facts::NotRunning => {
            let message = "The daemon is not running.";
            let advice = "Start it with `systemctl start dyn-prefix`; `journalctl -u dyn-prefix` says why it ended.";
            return vec![Finding::warning(Check::Daemon, subject, message, advice)];
        }
        Facts::NoAnswer(why) => {
            let message = format!("The daemon could not be asked: {}.", why.trim_end_matches('.'));
            let advice = "Run this as root or as a member of the group dyn-prefix.";
            return vec![Finding::unseen(Check::Daemon, subject, message, advice)];
        }
        Facts::Runs(status) => status,
    };
    let mut found = vec![Finding::ok(Check::Daemon, subject, format!("The daemon runs ({}).", status.daemon.version))];
    if status.daemon.version != version {
        let message = format!("The daemon that runs is of version {}, this program {version}.", status.daemon.version);
        found.push(Finding::warning(Check::Daemon, subject, message, "Run `systemctl restart dyn-prefix`."));
    }
    if !status.daemon.reload_errors.is_empty() {
        let message = "The daemon runs with a former configuration: the last reload was refused.";
        found.push(Finding::warning(
            Check::Daemon,
            subject,
            message,
            "Run `dyn-prefix check`, then `dyn-prefix reload`.",
        ));
    }
    if !status.is_healthy() {
        let message = "The daemon says that not all is well.";
        found.push(Finding::warning(Check::Daemon, subject, message, "`dyn-prefix status` says what."));
    }
    found
}

/// Reports that wait for a daemon that does not run. `beside`: the control socket.
pub fn waiting(facts: &Facts, count: usize, beside: &Path) -> Option<Finding> {
    let reports = if count == 1 { "A report waits".to_owned() } else { format!("{count} reports wait") };
    let directory = beside.parent().unwrap_or(beside);
    let message = format!("{reports} for the daemon in {}.", directory.display());
    let warning = || {
        let advice =
            "Start it before the lifetimes are over; until then nobody knows what the DHCPv6 client was delegated.";
        Finding::warning(Check::Daemon, "dyn-prefix", message, advice)
    };
    (*facts == Facts::NotRunning && count > 0).then(warning)
}

/// The configuration file of a daemon that was started with these arguments.
pub fn file_of<'a>(arguments: &'a [String]) -> &'a Path {
    let value = |(at, argument): (usize, &'a String)| match argument.strip_prefix("--config")? {
        "" => arguments.get(at + 1).map(String::as_str),
        rest => rest.strip_prefix('='),
    };
    Path::new(arguments.iter().enumerate().find_map(value).unwrap_or(DEFAULT_PATH))
}

/// Whether the daemon runs with the file as it is, which has to be its own. `changed`: when the file was.
pub fn in_use(facts: &Facts, path: &Path, changed: Option<Timestamp>) -> Option<Finding> {
    // A reload that was refused is told already.
    let status = facts.status().filter(|status| status.daemon.reload_errors.is_empty())?;
    let (applied, changed) = (status.daemon.config_applied_at?, changed?);
    let message = format!(
        "{} was changed at {changed:.0}, after the daemon had read it: it still runs with what stood there at {applied:.0}.",
        path.display()
    );
    let warning = || Finding::warning(Check::Daemon, "dyn-prefix", message, "Run `systemctl reload dyn-prefix`.");
    // A script writes it and reloads at once, and the daemon says no more than the second.
    (changed.as_second() > applied.as_second()).then(warning)
}

/// What `check` has to say of the configuration.
pub fn configuration(findings: &[config::Finding]) -> Vec<Finding> {
    let one = |finding: &config::Finding| {
        let level = match finding.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warning,
            Severity::Note => Level::Note,
        };
        let place = match &finding.excerpt {
            Some(excerpt) => format!("{}:{}:{}", finding.path.display(), excerpt.line, excerpt.column),
            None => finding.path.display().to_string(),
        };
        Finding {
            check: Check::Configuration,
            level,
            subject: place,
            message: finding.message.clone(),
            advice: finding.hint.clone(),
        }
    };
    findings.iter().map(one).collect()
}
