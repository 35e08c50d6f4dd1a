//! What the coordinator has to tell: lines for the journal, and transitions for the statistics.

use std::collections::{BTreeMap, VecDeque};

use crate::arbiter::{Fate, Transition};
use crate::log::{Entry, record};
use crate::time::Epoch;

/// A line whose times are still instants.
#[derive(Debug)]
enum Pending {
    Entry(Box<Entry>),
    Transition(String, Box<Transition>),
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Journal {
    entries: VecDeque<Pending>,
    /// How often a DynamicPrefix saw which transition.
    transitions: BTreeMap<(String, &'static str), u64>,
}

impl Journal {
    pub(in crate::daemon) fn tell(&mut self, entry: Entry) {
        self.entries.push_back(Pending::Entry(Box::new(entry)));
    }

    pub(super) fn tell_transition(&mut self, name: &str, transition: Transition) {
        *self.transitions.entry((name.to_owned(), word(&transition))).or_default() += 1;
        self.entries.push_back(Pending::Transition(name.to_owned(), Box::new(transition)));
    }

    pub(super) fn poll_entry(&mut self, epoch: &Epoch) -> Option<Entry> {
        self.entries.pop_front().map(|pending| match pending {
            Pending::Entry(entry) => *entry,
            Pending::Transition(name, transition) => record::transition(&name, &transition, epoch),
        })
    }

    pub(super) fn transitions(&self) -> &BTreeMap<(String, &'static str), u64> {
        &self.transitions
    }
}

/// A word for the statistics.
const fn word(transition: &Transition) -> &'static str {
    match transition {
        Transition::Acquired { .. } => "acquired",
        Transition::Lost { fate: Fate::Kept | Fate::Unconfirmed, .. } => "lost",
        Transition::Lost { fate: Fate::Withdrawn, .. } => "withdrawn",
        Transition::Released { .. } => "released",
        Transition::Regained { .. } => "regained",
        Transition::DrainEnded { .. } => "drain-ended",
        Transition::Refused { .. } => "refused",
    }
}
