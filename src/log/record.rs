//! Every kind of line that the journal gets, each with its MESSAGE_ID.

use std::time::Duration;

use crate::arbiter::{Current, Fate, Loss, Reason, Transition};
use crate::config::{Finding, Severity};
use crate::source::{SourceId, SourceKind, SourceReport, SourceState};
use crate::time::{Deadline, Epoch, Instant};

use super::{Entry, Priority};

mod choice;
mod cluster;
mod dhcpv6;
mod host;
mod lease;
mod listening;
mod lookout;
mod recording;
mod spooled;

pub use choice::{chosen, not_chosen};
pub use cluster::{
    STEPS, Written, cluster_left, contested, credentials_end, dry_run, failing, health, note, recovered, released,
    still, written,
};
pub use dhcpv6::{dhcpv6_dropped, dhcpv6_warning, lease_file, unreachable_route};
pub use host::{
    file_failing, file_left, file_recovered, file_reloaded, file_written, hook_failing, hook_left, hook_ran,
    hook_recovered, reload_failing,
};
pub use listening::{accepting, listening, not_accepting, not_listening};
pub use recording::recording_ended;
pub use spooled::{
    report_of_another_boot, report_ran_out, report_refused, report_taken_up, report_unreadable, spool_full,
    spool_trouble,
};

const STARTED: &str = "dfd6f26fad1f499b9b29760499cb020d";
const STATUS: &str = "93158ff203a54225b7b5c1805b777892";
const STOPPING: &str = "cb40382287bf4a8facb3a417cc3d1539";
const RELOADED: &str = "4f0a132022234338a65ce1e2e6f0aa01";
const RELOAD_REFUSED: &str = "a7df05859ed744108170730bb54111aa";
const STORE: &str = "c0c8359c5365444d900fd7dba5a2edbd";
const SOURCE: &str = "a0227453bc58466f958c371a24916279";
const ACQUIRED: &str = "7408a194788d4ed693f2ed06877498ae";
const LOST: &str = "41be8c61792b4cb0843b3ed665215072";
const REGAINED: &str = "182c2db1be6c47a7808caaf38436f0cc";
const DRAIN_ENDED: &str = "4ca9e72882d24fd6b37e1a95d301a480";
const REFUSED: &str = "d634b61f534a4a498792601f9160cca4";
const RELEASED: &str = "b0e7c2a4d5d54f0a9c1f63d7a8f14e52";
const FINDING: &str = "cf984bb528984a27a83745e4ec1dfbcc";
const FATAL: &str = "3abdffae30a6436e8b17e0630d08fa79";
const TASK_ENDED: &str = "314ad439709b425a942aeeb8bcc893a7";
const RESUMED: &str = "8a77f1ad67fa439ca0d8698f2329411a";
const IGNORED: &str = "82dd05e932464d09b9c9eea4b13511b8";
const LINKS: &str = "366ebc8b71574c6b9edb4293b8b3774f";
const UNREADABLE: &str = "130fca412f954c47ae3f11ce83650805";

/// The daemon runs.
pub fn started(version: &str, daemon_id: &str, config: &str) -> Entry {
    let message = format!("dyn-prefix {version} started with {config}; it writes as {daemon_id}.");
    Entry::new(STARTED, Priority::Info, message)
}

/// The status block of a start or reload.
pub fn status(text: &str) -> Entry {
    Entry::new(STATUS, Priority::Info, text.trim_end().to_owned())
}

/// The configuration has something to say.
pub fn finding(finding: &Finding) -> Entry {
    let priority = match finding.severity {
        Severity::Error => Priority::Error,
        Severity::Warning => Priority::Warning,
        Severity::Note => Priority::Info,
    };
    Entry::new(FINDING, priority, finding.to_string())
}

/// The daemon cannot start or go on.
pub fn fatal(error: &anyhow::Error) -> Entry {
    Entry::new(FATAL, Priority::Error, format!("{error:#}"))
}

/// The daemon was told to stop.
pub fn stopping(signal: &str) -> Entry {
    let message = format!("Stopping on {signal}. What is published stays: nothing is withdrawn from any cluster.");
    Entry::new(STOPPING, Priority::Info, message)
}

/// A new configuration is in use.
pub fn reloaded(config: &str) -> Entry {
    Entry::new(RELOADED, Priority::Info, format!("Read {config} again; the new configuration is in use."))
}

/// A new configuration was refused.
pub fn reload_refused(config: &str, findings: &[String]) -> Entry {
    let message = format!(
        "{config} was read again and refused; the former configuration stays in use. Run `dyn-prefix check {config}` \
         after mending:\n{}",
        findings.join("\n")
    );
    Entry::new(RELOAD_REFUSED, Priority::Error, message)
}

/// Something about the state directory.
pub fn store(priority: Priority, message: String) -> Entry {
    Entry::new(STORE, priority, message)
}

/// A task of the daemon ended by itself, which it never should.
pub fn task_ended(name: &str, outcome: &str) -> Entry {
    let message = format!("The task \"{name}\" ended ({outcome}); the daemon stops so that it is started anew.");
    Entry::new(TASK_ENDED, Priority::Error, message)
}

/// The machine was suspended.
pub fn resumed(slept: Duration) -> Entry {
    let message = format!(
        "The machine slept for {}; lifetimes that ended meanwhile are over, routers are asked and clusters are \
         connected anew.",
        duration(slept)
    );
    Entry::new(RESUMED, Priority::Info, message)
}

/// A source does something else than it did by its `former` report; `None`: that is no news.
pub fn source(former: Option<&SourceReport>, report: &SourceReport, now: Instant) -> Option<Entry> {
    let (priority, message) = match report.id.kind {
        SourceKind::Dhcpv6Pd => lease::client(former, report, now)?,
        SourceKind::Interface => lookout::addresses(former, report)?,
        SourceKind::Http => lookout::service(former, report)?,
        SourceKind::Observed => {
            let is_news = former.is_none_or(|former| is_other(&former.state, &report.state));
            is_news.then(|| observer(report))?
        }
        SourceKind::RouterAdvertisement | SourceKind::Static => {
            let is_news = former.is_none_or(|former| former.state != report.state);
            is_news.then(|| listener(report))?
        }
    };
    Some(Entry { source: Some(report.id.to_string()), ..Entry::new(SOURCE, priority, message) })
}

/// Whether a line says only that the interface of a source is down or not there, which is the same for all its sources.
pub fn is_of_link(entry: &Entry, report: &SourceReport) -> bool {
    let interface = report.id.interface.as_deref().unwrap_or("-");
    let is_of_link = matches!(report.state, SourceState::InterfaceAbsent | SourceState::LinkDown);
    is_of_link && entry.message == anywhere(interface, &report.state).1
}

/// Whether the journal should say that the other client went from one state to the other. Its renewals are its own
/// affair.
fn is_other(former: &SourceState, state: &SourceState) -> bool {
    let extends = |state: &SourceState| {
        matches!(state, SourceState::Bound | SourceState::Renewing | SourceState::Rebinding | SourceState::Releasing)
    };
    let asks = |state: &SourceState| matches!(state, SourceState::Soliciting | SourceState::Requesting);
    former != state && !(extends(former) && extends(state)) && !(asks(former) && asks(state))
}

/// What an observer sees of the other client.
fn observer(report: &SourceReport) -> (Priority, String) {
    let interface = report.id.interface.as_deref().unwrap_or("-");
    match &report.state {
        SourceState::Soliciting | SourceState::Requesting => {
            (Priority::Info, format!("Watching the DHCPv6 client on {interface}; no delegation of it is known yet."))
        }
        SourceState::Silent => (
            Priority::Warning,
            format!(
                "No delegation of another DHCPv6 client on {interface} is known; still watching. Does one run there, \
                 with prefix delegation switched on? What it holds is seen when it renews, or told by `dyn-prefix report`."
            ),
        ),
        SourceState::Bound | SourceState::Renewing | SourceState::Rebinding | SourceState::Releasing => {
            (Priority::Info, format!("The delegation of the DHCPv6 client on {interface} is known."))
        }
        state @ (SourceState::InterfaceAbsent
        | SourceState::LinkDown
        | SourceState::NoLinkLocal
        | SourceState::AwaitingAddress
        | SourceState::NoAddress
        | SourceState::Asking
        | SourceState::AwaitingRouter
        | SourceState::Receiving
        | SourceState::Released
        | SourceState::Configured
        | SourceState::Failed(_)) => anywhere(interface, state),
    }
}

/// What a source does that only listens.
fn listener(report: &SourceReport) -> (Priority, String) {
    let interface = report.id.interface.as_deref().unwrap_or("-");
    match &report.state {
        SourceState::Soliciting => (Priority::Info, format!("Asking for Router Advertisements on {interface}.")),
        SourceState::Silent => (
            Priority::Warning,
            format!(
                "No router on {interface} has answered; still listening. Is there an IPv6 router on that link, and \
                 does a firewall of this host drop ICMPv6 type 134?"
            ),
        ),
        SourceState::Receiving => (Priority::Info, format!("Router Advertisements are heard on {interface}.")),
        SourceState::Configured => (Priority::Info, "The prefix is written in the configuration.".to_owned()),
        state @ (SourceState::InterfaceAbsent
        | SourceState::LinkDown
        | SourceState::NoLinkLocal
        | SourceState::AwaitingRouter
        | SourceState::AwaitingAddress
        | SourceState::NoAddress
        | SourceState::Asking
        | SourceState::Requesting
        | SourceState::Bound
        | SourceState::Renewing
        | SourceState::Rebinding
        | SourceState::Releasing
        | SourceState::Released
        | SourceState::Failed(_)) => anywhere(interface, state),
    }
}

/// What every source says in the same words.
fn anywhere(interface: &str, state: &SourceState) -> (Priority, String) {
    match state {
        SourceState::InterfaceAbsent => {
            (Priority::Warning, format!("The interface {interface} does not exist; waiting for it to appear."))
        }
        SourceState::LinkDown => (Priority::Warning, format!("The link of {interface} is down; waiting for it.")),
        SourceState::NoLinkLocal => (
            // For a second at every start of a link, while the address is checked for duplicates.
            Priority::Info,
            format!("{interface} has no link-local IPv6 address that can be sent from yet; waiting for one."),
        ),
        SourceState::AwaitingRouter => (
            Priority::Info,
            format!("Waiting for a Router Advertisement on {interface} that says there is DHCPv6 (M or O flag)."),
        ),
        SourceState::Failed(reason) => (Priority::Error, reason.clone()),
        SourceState::Soliciting
        | SourceState::AwaitingAddress
        | SourceState::NoAddress
        | SourceState::Asking
        | SourceState::Silent
        | SourceState::Receiving
        | SourceState::Requesting
        | SourceState::Bound
        | SourceState::Renewing
        | SourceState::Rebinding
        | SourceState::Releasing
        | SourceState::Released
        | SourceState::Configured => (Priority::Info, format!("The source on {interface} is {}.", state.as_str())),
    }
}

/// Something in a Router Advertisement is not used.
pub fn ignored(interface: &str, what: &str) -> Entry {
    let source = SourceId::on(SourceKind::RouterAdvertisement, interface);
    let message = format!("{interface}: {what}. Further ones are only counted.");
    Entry { source: Some(source.to_string()), ..Entry::new(IGNORED, Priority::Info, message) }
}

/// A message of the other DHCPv6 client, or to it, is not followed.
pub fn unfollowed(interface: &str, what: &str) -> Entry {
    let source = SourceId::on(SourceKind::Observed, interface);
    let message = format!("{interface}: {what}. Further ones are only counted.");
    Entry { source: Some(source.to_string()), ..Entry::new(IGNORED, Priority::Info, message) }
}

/// The interfaces of this host cannot be listed.
pub fn links(error: &str, retry: Duration) -> Entry {
    let message = format!(
        "Cannot list the interfaces of this host by netlink ({error}); trying again every {}.",
        duration(retry)
    );
    Entry::new(LINKS, Priority::Warning, message)
}

/// The routes and addresses of this host cannot be listed.
pub fn routes(error: &str, retry: Duration) -> Entry {
    let message = format!(
        "Cannot list the routes and addresses of this host by netlink ({error}); trying again every {}.",
        duration(retry)
    );
    Entry::new(LINKS, Priority::Warning, message)
}

/// An object has another shape than its kind should have.
pub fn unreadable(kind: &str, error: &str) -> Entry {
    let message = format!("An object of kind {kind} is left alone, for it cannot be read: {error}");
    Entry::new(UNREADABLE, Priority::Warning, message)
}

/// What became of the prefixes of the DynamicPrefix `name`.
pub fn transition(name: &str, transition: &Transition, epoch: &Epoch) -> Entry {
    let entry = match transition {
        Transition::Acquired { current, previous } => acquired(name, current, previous.as_ref(), epoch),
        Transition::Lost { prefix, loss, fate } => Entry {
            previous: Some(prefix.to_string()),
            ..Entry::new(LOST, Priority::Warning, lost(name, &prefix.to_string(), *loss, *fate))
        },
        Transition::Released { prefix } => Entry {
            previous: Some(prefix.to_string()),
            ..Entry::new(
                RELEASED,
                Priority::Info,
                format!("{name}: {prefix} leaves the targets: {}.", drain_end(Reason::Released)),
            )
        },
        Transition::Regained { prefix } => Entry {
            current: Some(prefix.to_string()),
            ..Entry::new(REGAINED, Priority::Info, format!("{name}: {prefix} can be used again."))
        },
        Transition::DrainEnded { prefix, reason } => Entry {
            previous: Some(prefix.to_string()),
            ..Entry::new(
                DRAIN_ENDED,
                Priority::Info,
                format!("{name}: the former prefix {prefix} leaves the targets: {}.", drain_end(*reason)),
            )
        },
        Transition::Refused { source, prefix, rejection } => Entry {
            source: Some(source.to_string()),
            ..Entry::new(
                REFUSED,
                Priority::Warning,
                format!("{name}: {source} offers {prefix}, which is not used: {rejection}."),
            )
        },
    };
    Entry { name: Some(name.to_owned()), ..entry }
}

fn acquired(name: &str, current: &Current, previous: Option<&ipnet::Ipv6Net>, epoch: &Epoch) -> Entry {
    let prefix = current.prefix;
    let lifetime = match current.preferred_until {
        Deadline::Never => "it is preferred without end".to_owned(),
        Deadline::At(end) => format!("it is preferred until {}", epoch.wall(end)),
    };
    let head = match previous {
        Some(previous) => format!("{name}: {prefix} takes the place of {previous}"),
        None => format!("{name}: {prefix} is the prefix"),
    };
    let message = format!("{head} ({}, generation {}); {lifetime}.", current.source, current.generation.0);
    Entry {
        current: Some(prefix.to_string()),
        previous: previous.map(ToString::to_string),
        source: Some(current.source.to_string()),
        ..Entry::new(ACQUIRED, Priority::Info, message)
    }
}

fn lost(name: &str, prefix: &str, loss: Loss, fate: Fate) -> String {
    let why = match loss {
        Loss::Deprecated => "its preferred lifetime is over",
        Loss::Unlisted => "its router lists it no longer",
        Loss::Dead => "its valid lifetime or its lease has ended",
        Loss::Refused => "the prefixFilter refuses it",
    };
    let what = match fate {
        Fate::Withdrawn => "it is taken out of the targets (transition.onLoss = \"withdraw\")",
        Fate::Kept => "there is no other, so the targets keep it (transition.onLoss = \"keep\")",
        Fate::Unconfirmed => "there is no other, so the targets keep it until its end is confirmed",
    };
    format!("{name}: {prefix} is lost: {why}; {what}.")
}

const fn drain_end(reason: Reason) -> &'static str {
    match reason {
        Reason::Replaced => "it was replaced",
        Reason::DrainPeriodOver => "its drain period is over",
        Reason::TooMany => "more than maxPrefixHistory newer ones exist",
        Reason::Dead => "its valid lifetime or its lease has ended",
        Reason::Released => "it is given back to the DHCPv6 server, as was asked (`dyn-prefix dhcp-release`)",
    }
}

/// A duration as a person says it, rounded: "12 ms", "3 s", "30 min", "2 h 5 min", "7 days". What was granted for 30 min a
/// moment ago reads so.
pub fn duration(duration: Duration) -> String {
    let rounded = |unit: u128| (duration.as_millis() + unit / 2) / unit;
    let (seconds, minutes, hours) = (rounded(1000), rounded(60_000), rounded(3_600_000));
    match (seconds, minutes, hours) {
        (0, ..) => format!("{} ms", duration.as_millis()),
        (..120, ..) => format!("{seconds} s"),
        (_, ..120, _) => format!("{minutes} min"),
        (_, _, ..48) => two(minutes / 60, "h", minutes % 60, "min"),
        _ => two(hours / 24, "days", hours % 24, "h"),
    }
}

/// A number of units and of the next smaller ones, unless there are none.
fn two(many: u128, unit: &str, few: u128, smaller: &str) -> String {
    if few == 0 { format!("{many} {unit}") } else { format!("{many} {unit} {few} {smaller}") }
}

#[cfg(test)]
mod tests;
