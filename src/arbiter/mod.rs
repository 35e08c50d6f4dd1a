//! Which prefix is current, and what becomes of the former ones (design: "Which prefix is current", "Transition").
//!
//! One [`Arbiter`] per DynamicPrefix. Pure: reports and time go in, snapshots and transitions come out.

use ipnet::Ipv6Net;

use crate::source::SourceId;
use crate::time::{Deadline, Instant};

mod damping;
mod decide;
mod history;
mod seeds;
mod selection;
#[cfg(test)]
mod tests;

pub use decide::Arbiter;
pub use seeds::{observed as seeds_observed, seeds};

/// Numbers the prefixes that were current, in the order in which they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// The prefix in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// Its number.
    pub generation: Generation,
    /// The prefix, as the DynamicPrefix uses it (cut to `delegatedPrefixLength`).
    pub prefix: Ipv6Net,
    /// The source that gave it.
    pub source: SourceId,
    /// The routers that announced it, for Router Advertisements: kept so that a restart can tell who may unlist it.
    pub routers: Vec<std::net::Ipv6Addr>,
    /// When it became current.
    pub acquired_at: Instant,
    /// The end of its preferred lifetime.
    pub preferred_until: Deadline,
    /// The end of its valid lifetime.
    pub valid_until: Deadline,
    /// Parts that no range may touch.
    pub excluded: Vec<Ipv6Net>,
    /// Why it can no longer be used for anything new, although there is no successor.
    pub lost: Option<Loss>,
}

/// Why the current prefix is not usable any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Its preferred lifetime is over or was set to 0.
    Deprecated,
    /// Its router no longer lists it.
    Unlisted,
    /// Its valid lifetime is over, or its router withdrew it.
    Dead,
    /// The filter refuses it now.
    Refused,
}

/// What the targets do with a current prefix that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It stays, as `onLoss = "keep"` asks.
    Kept,
    /// `onLoss = "withdraw"` would take it out, but it may yet come back: it was not withdrawn, its valid lifetime goes
    /// on, or its source could not be asked.
    Unconfirmed,
    /// It leaves (`onLoss = "withdraw"`).
    Withdrawn,
}

impl Loss {
    /// The reason of the condition PrefixAcquired in `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deprecated => "Deprecated",
            Self::Unlisted => "Unlisted",
            Self::Dead => "Dead",
            Self::Refused => "Refused",
        }
    }
}

/// A prefix that was current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its number.
    pub generation: Generation,
    /// The prefix.
    pub prefix: Ipv6Net,
    /// The source that gave it.
    pub source: SourceId,
    /// The routers that announced it, for Router Advertisements: kept so that a restart can tell who may withdraw it.
    pub routers: Vec<std::net::Ipv6Addr>,
    /// When it became current.
    pub acquired_at: Instant,
    /// When it ceased to be.
    pub deprecated_at: Instant,
    /// The end of its valid lifetime, as last heard.
    pub valid_until: Deadline,
    /// When it stops draining by time; `Never` without a limit by time.
    pub drain_ends_at: Deadline,
    /// Parts that no range may touch.
    pub excluded: Vec<Ipv6Net>,
    /// Whether its ranges are still in the targets.
    pub state: PreviousState,
    /// Why it was replaced, or why its drain ended.
    pub reason: Reason,
    /// Whether it died after its drain had ended for another reason.
    pub died_later: bool,
}

impl Previous {
    /// Whether it has left the targets and its addresses reach nobody any more, so that there is nothing to wait for.
    pub fn is_dead(&self) -> bool {
        let ended_by_death = matches!(self.reason, Reason::Dead | Reason::Released);
        self.state == PreviousState::Expired && (ended_by_death || self.died_later)
    }

    /// Whether it has left the targets, and somebody may still be reached by its addresses.
    fn outlives_its_drain(&self) -> bool {
        self.state == PreviousState::Expired && !self.is_dead()
    }
}

/// Whether a previous prefix is still in the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PreviousState {
    /// Its ranges stay beside those of the current one.
    Draining,
    /// They are gone; it is remembered so that its leftovers are recognised.
    Expired,
}

/// Why a prefix is in the history as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Another prefix took its place; it drains.
    Replaced,
    /// Its drain period is over.
    DrainPeriodOver,
    /// More than `maxPrefixHistory` newer ones exist.
    TooMany,
    /// Its valid lifetime is over or was set to 0.
    Dead,
    /// It was given back to the DHCPv6 server, because the administrator said so.
    Released,
}

/// What is true now for one DynamicPrefix. There is none before the first opinion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The prefix in use; `None` after a loss with `onLoss = "withdraw"`: publish nothing.
    pub current: Option<Current>,
    /// The former ones, newest first; the expired ones are only for knowing them again.
    pub history: Vec<Previous>,
}

impl Snapshot {
    /// The former prefixes whose addresses reach nobody any more.
    pub fn dead(&self) -> impl Iterator<Item = Generation> + '_ {
        self.history.iter().filter(|previous| previous.is_dead()).map(|previous| previous.generation)
    }
}

/// Something happened that the user should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// A prefix became current.
    Acquired {
        /// The new current prefix.
        current: Current,
        /// The one it replaced, if there was one.
        previous: Option<Ipv6Net>,
    },
    /// The current prefix ceased to be usable, and there is none to replace it. Said once per loss, and once more if
    /// it is withdrawn later.
    Lost {
        /// The prefix.
        prefix: Ipv6Net,
        /// Why it is not usable.
        loss: Loss,
        /// What the targets do with it.
        fate: Fate,
    },
    /// The current prefix leaves the targets because it is given back to the DHCPv6 server.
    Released {
        /// The prefix.
        prefix: Ipv6Net,
    },
    /// The current prefix, which had been lost, is usable again.
    Regained {
        /// The prefix.
        prefix: Ipv6Net,
    },
    /// A former prefix left the targets.
    DrainEnded {
        /// The prefix.
        prefix: Ipv6Net,
        /// Why its drain ended.
        reason: Reason,
    },
    /// A source offers a prefix that the filter refuses (once per prefix).
    Refused {
        /// The source that offers it.
        source: SourceId,
        /// The prefix, as the DynamicPrefix would use it.
        prefix: Ipv6Net,
        /// Which rule refuses it.
        rejection: crate::prefix::Rejection,
    },
}

/// What a former run knew, for [`Arbiter::new`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Its last snapshot.
    pub snapshot: Snapshot,
    /// The highest generation that was ever given.
    pub last_generation: Generation,
}
