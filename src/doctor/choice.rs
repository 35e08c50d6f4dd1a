//! What `acquisition = "auto"` comes to.

use super::{Check, Finding};
use crate::config::Chosen;
use crate::daemon::choice::{Step, note_on};
use crate::source::SourceKind;
use crate::status::Status;

/// Who chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The daemon, which runs, has chosen this.
    ByDaemon(Chosen),
    /// The daemon has chosen nothing, or does not run: what would follow from what is there now.
    Now(Step),
    /// Nobody could look round.
    Unseen(String),
}

/// What the daemon says that it has chosen: a note on the source.
pub fn of_status(name: &str, status: &Status) -> Option<Chosen> {
    let start = note_on(name);
    status.sources.iter().find_map(|source| {
        let reason = source.notes.iter().find_map(|note| note.strip_prefix(&start))?.to_owned();
        Some(Chosen { kind: SourceKind::from_name(&source.kind)?, interface: source.interface.clone()?, reason })
    })
}

/// What is known of one DynamicPrefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The DynamicPrefix.
    pub name: String,
    /// What came of it.
    pub choice: Choice,
}

impl Facts {
    /// What the interface is to be examined for.
    pub fn expected(&self) -> Option<Chosen> {
        match &self.choice {
            Choice::ByDaemon(chosen) | Choice::Now(Step::Take(chosen)) => Some(chosen.clone()),
            // It may become Router Advertisements, which are looked at, too.
            Choice::Now(Step::Ask(interface)) => {
                Some(Chosen { kind: SourceKind::Dhcpv6Pd, interface: interface.clone(), reason: String::new() })
            }
            Choice::Now(Step::Wait(_)) | Choice::Unseen(_) => None,
        }
    }
}

/// Says what is chosen, and why.
pub fn check(facts: &Facts) -> Finding {
    let name = &facts.name;
    match &facts.choice {
        Choice::ByDaemon(chosen) => {
            let message = format!(
                "The daemon has chosen {} for {name} (acquisition.auto): {}.",
                chosen.id(),
                chosen.reason.trim_end_matches('.')
            );
            Finding::ok(Check::Choice, name, message)
        }
        Choice::Now(Step::Take(chosen)) => {
            let message = format!(
                "The daemon would choose {} for {name} now (acquisition.auto): {}.",
                chosen.id(),
                chosen.reason.trim_end_matches('.')
            );
            Finding::note(Check::Choice, name, message)
        }
        Choice::Now(Step::Ask(interface)) => {
            let message = format!(
                "What acquisition.auto comes to for {name} depends on whether a DHCPv6 server on {interface} has a prefix \
                 to delegate: then it is dhcpv6-pd, else router-advertisement. The daemon asks for it; nobody has asked \
                 now."
            );
            Finding::note(Check::Choice, name, message)
        }
        Choice::Now(Step::Wait(why)) => {
            let message = format!("Nothing can be chosen for {name} (acquisition.auto): {why}.");
            let advice = "The daemon looks again when interfaces change, and every minute at least; or write the source \
                          in place of auto.";
            Finding::warning(Check::Choice, name, message, advice)
        }
        Choice::Unseen(why) => {
            let message = format!("What acquisition.auto comes to for {name} could not be seen: {why}.");
            Finding::unseen(Check::Choice, name, message, "`dyn-prefix status` says what the daemon has chosen.")
        }
    }
}
