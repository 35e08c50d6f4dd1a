//! What is true of a DynamicPrefix as far as this host is to follow it, and what happened between two such states.

use ipnet::Ipv6Net;

use crate::arbiter::Snapshot;
use crate::plan::{Computed, ComputedGeneration, Role};

/// The state of one DynamicPrefix. Two that are equal are the same to every hook and file: lifetimes are no part of it,
/// so that a renewal runs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether the prefix in use is lost, and kept only because there is no other.
    pub is_lost: bool,
    /// The prefix in use, if there is one, then those that drain, newest first; each with its ranges and subnets.
    pub generations: Vec<ComputedGeneration>,
}

/// What a hook is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first run of this hook since the daemon was started, or since the hook was written or changed.
    Start,
    /// Another prefix is in use, or one at all.
    Acquired,
    /// The prefix in use is lost, and kept because there is no other.
    Lost,
    /// It can be used again.
    Regained,
    /// No prefix is in use any more.
    Withdrawn,
    /// A former prefix has left the targets.
    DrainEnded,
    /// The ranges or subnets are others.
    Changed,
}

impl Event {
    /// The word in `DYN_PREFIX_EVENT`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Acquired => "acquired",
            Self::Lost => "lost",
            Self::Regained => "regained",
            Self::Withdrawn => "withdrawn",
            Self::DrainEnded => "drain-ended",
            Self::Changed => "changed",
        }
    }
}

impl Facts {
    /// What `computed` and `snapshot` say. `None`: there is no opinion yet, and nothing may be done.
    pub fn of(computed: &Computed, snapshot: Option<&Snapshot>) -> Option<Self> {
        let current = snapshot?.current.as_ref();
        let in_use = |generation: &&ComputedGeneration| generation.role != Role::Known;
        computed.has_opinion.then(|| Self {
            is_lost: current.is_some_and(|current| current.lost.is_some()),
            generations: computed.generations.iter().filter(in_use).cloned().collect(),
        })
    }

    /// The generation in use.
    pub fn current(&self) -> Option<&ComputedGeneration> {
        self.generations.first().filter(|generation| generation.role == Role::Current)
    }

    /// The prefix in use.
    pub fn prefix(&self) -> Option<Ipv6Net> {
        self.current().map(|generation| generation.prefix)
    }

    /// The generations that drain, newest first.
    pub fn draining(&self) -> impl Iterator<Item = &ComputedGeneration> {
        self.generations.iter().filter(|generation| generation.role == Role::Draining)
    }

    /// Whether there is a prefix, and how it is: `in-use`, `lost` or `none`.
    pub fn state(&self) -> &'static str {
        match (self.current(), self.is_lost) {
            (None, _) => "none",
            (Some(_), true) => "lost",
            (Some(_), false) => "in-use",
        }
    }

    /// The generation before: that in use when the hook was `told` last, if it was another one, else the newest that drains.
    pub fn previous<'a>(&'a self, told: Option<&'a Self>) -> Option<&'a ComputedGeneration> {
        let told = told.and_then(Self::current).filter(|told| Some(told.prefix) != self.prefix());
        told.or_else(|| self.draining().next())
    }

    /// What happened since a hook was `told` last. Several things at once are told by the weightiest.
    pub fn event(&self, told: Option<&Self>) -> Event {
        let Some(told) = told else { return Event::Start };
        if self.prefix() != told.prefix() {
            return if self.prefix().is_some() { Event::Acquired } else { Event::Withdrawn };
        }
        if self.is_lost != told.is_lost {
            return if self.is_lost { Event::Lost } else { Event::Regained };
        }
        if self.current() != told.current() {
            return Event::Changed;
        }
        let still_drains = |former: &ComputedGeneration| self.draining().any(|now| now.prefix == former.prefix);
        if told.draining().all(still_drains) { Event::Changed } else { Event::DrainEnded }
    }
}
