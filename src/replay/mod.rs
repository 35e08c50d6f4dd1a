//! Runs a record again, offline: tables, clients and the coordinator wired as the daemon wires them, in virtual time.
//!
//! A decider is called when the record says that it was. What has become due without such a line, because another version
//! of the program waits for other times or because somebody wrote the record by hand, happens when it is due: at once
//! in a record without any wake or report, and in one that a daemon wrote after it is overdue by a second. While the machine
//! slept nothing happens.
//!
//! Pure: the same record gives the same moments.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::arbiter::Snapshot;
use crate::config::{Config, Host, Severity};
use crate::log::Entry;
use crate::record::{Event, Line, Record, Start};
use crate::time::{Epoch, Instant};

mod deciders;
mod describe;
mod exchange;
mod listener;
mod lookouts;
mod observed;
mod session;

use session::Session;

/// How late a recorded wake may come: a busy machine, a slow disk.
const LATENESS: Duration = Duration::from_secs(1);

/// How long after the first thing that a machine does after a suspend the daemon notices that there was one.
const NOTICED: Duration = Duration::from_secs(10);

/// Something that happened in a session.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When.
    pub at: Instant,
    /// The clocks of the session.
    pub epoch: Epoch,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// A daemon started.
    Started {
        /// The version of the program that was recorded.
        program: String,
        /// The id that it writes as.
        daemon_id: String,
    },
    /// A transition, as the journal tells it.
    Journal(Box<Entry>),
    /// A DHCPv6 client went from one state to another. The journal tells what came of it.
    Transition {
        /// The interface of the client.
        interface: String,
        /// A sentence.
        text: String,
    },
    /// A message came in.
    Received {
        /// By this interface.
        interface: String,
        /// What it says.
        message: String,
    },
    /// A message was sent.
    Sent {
        /// On this interface.
        interface: String,
        /// What it says.
        message: String,
        /// The octets of a DHCPv6 message.
        octets: Option<Vec<u8>>,
    },
    /// Another plan is in force.
    Plan {
        /// The id that the daemon writes as.
        daemon_id: String,
        /// The configuration in use.
        config: Arc<Config>,
        /// The prefixes of every DynamicPrefix that has any.
        snapshots: BTreeMap<String, Snapshot>,
    },
    /// A line of the record that nobody was there for.
    Unheard(String),
    /// The daemon was stopped.
    Stopped,
}

/// A record that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session of {started}: {problem}")]
pub struct Unusable {
    /// When the session started.
    pub started: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Runs every session of a record, and hands out what happens in it.
///
/// # Errors
/// When the configuration of a session cannot be used.
pub fn run(record: &Record, out: &mut dyn FnMut(Moment)) -> Result<(), Unusable> {
    let is_start = |line: &Line| matches!(line.event, Event::Start(_));
    let mut rest = record.lines.as_slice();
    while let Some((Line { event: Event::Start(start), .. }, after)) = rest.split_first() {
        let (session, others) = after.split_at(after.iter().position(is_start).unwrap_or(after.len()));
        run_session(start, session, out).map_err(|problem| Unusable { started: start.started.to_string(), problem })?;
        rest = others;
    }
    Ok(())
}

fn run_session(start: &Start, lines: &[Line], out: &mut dyn FnMut(Moment)) -> Result<(), String> {
    let began = Instant::BOOT + start.boot_time.0;
    let of_a_daemon = lines.iter().any(|line| matches!(line.event, Event::Wake { .. } | Event::Report { .. }));
    let mut session = Session::new(start, began, of_a_daemon, out)?;
    let mut before = began;
    for (index, line) in lines.iter().enumerate() {
        // Tasks note the time a little before they write a line.
        let at = (began + line.at.0).max(before);
        let slept = lines.get(index..).and_then(|ahead| sleep_before(began, before, ahead));
        session.advance(at, slept.map_or(at, |slept| (at - slept).max(before)));
        session.take(&line.event, at)?;
        before = at;
    }
    Ok(())
}

/// How long the machine slept between `before` and the first of the lines `ahead`. The daemon notices that only a little
/// later.
fn sleep_before(began: Instant, before: Instant, ahead: &[Line]) -> Option<Duration> {
    let at = began + ahead.first()?.at.0;
    let soon = ahead.iter().take_while(|line| began + line.at.0 <= at + NOTICED);
    let slept = |line: &Line| if let Event::Resumed { slept } = &line.event { Some(slept.0) } else { None };
    let gap = at.saturating_since(before);
    soon.filter_map(slept).next().filter(|slept| gap + LATENESS >= *slept)
}

/// Reads a configuration as if every file and variable that it names were there.
fn configuration(text: &str, path: &Path) -> Result<Config, String> {
    let variable = |name: &str| Some(format!("/{name}"));
    let loaded =
        Config::parse(text, path, &Host { variable: &variable, exists: &|_| true, read: &|_| Ok(String::new()) });
    let errors = loaded.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let errors: Vec<String> = errors.map(ToString::to_string).collect();
    loaded.config.ok_or_else(|| format!("its configuration cannot be used:\n{}", errors.join("\n")))
}

#[cfg(test)]
mod tests;
