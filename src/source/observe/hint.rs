//! What is known of one prefix beside the packets, and how it ends. Pure.

use std::time::Duration;

use ipnet::Ipv6Net;

use super::traces::Addresses;
use crate::source::{Cut, Offer};
use crate::time::{Deadline, Instant};

/// How long a prefix that was lost stays in the reports.
const REMEMBERED: Duration = Duration::from_secs(600);

/// One prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) offer: Offer,
    pub(super) origin: Origin,
    /// Since when there is no route for it, although there was one.
    pub(super) missing_since: Option<Instant>,
    /// When it was cut.
    pub(super) cut_at: Option<Instant>,
    /// It appeared while the packets told another delegation: it is somebody else's, until they name it.
    pub(super) is_foreign: bool,
    /// It is not taken for a delegation of this interface: it is foreign, and the packets would tell.
    pub(super) is_aside: bool,
    pub(super) in_use: Use,
    /// When it was put into use.
    pub(super) used_since: Option<Instant>,
    /// Since when it is not in use, although it was.
    pub(super) unused_since: Option<Instant>,
    /// Somebody told how long it lives.
    pub(super) has_lifetime: bool,
    /// When somebody told it last.
    pub(super) told_at: Option<Instant>,
    /// Another one was told; until when this one has to be told again.
    pub(super) doubted_until: Option<Instant>,
    /// In which life of the interface it was told.
    pub(super) session: u64,
}

/// Whether interfaces have addresses out of what a route stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// None ever had one.
    Never,
    /// None ever had one, and there is another delegation of which some have.
    Outdone,
    Now,
    Before,
    /// It was in use before, and a newer one is now.
    Replaced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A former run knew it.
    FormerRun,
    Route,
    /// The client has written it down.
    File,
    Told,
}

impl Hint {
    pub(super) fn new(offer: Offer, origin: Origin) -> Self {
        Self {
            offer,
            origin,
            missing_since: None,
            cut_at: None,
            is_foreign: false,
            is_aside: false,
            in_use: Use::Never,
            used_since: None,
            unused_since: None,
            has_lifetime: false,
            told_at: None,
            doubted_until: None,
            session: 0,
        }
    }

    pub(super) fn cut(&mut self, cut: Cut, now: Instant) {
        if self.offer.cut == Some(cut) || self.offer.cut == Some(Cut::Withdrawn) {
            return;
        }
        self.offer.cut = Some(cut);
        self.offer.preferred_until = self.offer.preferred_until.min(Deadline::At(now));
        if cut == Cut::Withdrawn {
            self.offer.valid_until = self.offer.valid_until.min(Deadline::At(now));
        }
        self.cut_at = Some(now);
    }

    /// When it is of no interest any more; not while its route or file is there, which would be
    /// taken for a new one.
    pub(super) fn forget_at(&self) -> Option<Instant> {
        let is_gone = !matches!(self.origin, Origin::Route | Origin::File) || self.missing_since.is_some();
        let ends = self.origin != Origin::Route && self.offer.cut.is_none();
        let ended_at = self.offer.valid_until.instant().filter(|_| ends);
        self.cut_at.filter(|_| is_gone).or(ended_at).map(|at| at + REMEMBERED)
    }

    /// Its route is there.
    pub(super) fn stand(&mut self, addresses: &Addresses, uplink: Option<u32>, is_foreign: bool) {
        if self.missing_since.take().is_some() {
            self.restore(is_foreign);
        }
        self.live(addresses, uplink);
    }

    /// It is there after all; `is_foreign`: while the packets tell of another one.
    pub(super) fn restore(&mut self, is_foreign: bool) {
        if self.cut_at.take().is_some() {
            self.is_foreign |= is_foreign;
            self.is_aside |= is_foreign;
            self.offer.cut = None;
            (self.offer.preferred_until, self.offer.valid_until) = (Deadline::Never, Deadline::Never);
        }
    }

    /// Interfaces have addresses out of it.
    pub(super) fn use_now(&mut self, is_foreign: bool, now: Instant) {
        if self.in_use == Use::Replaced {
            self.restore(is_foreign);
            self.used_since = None;
        }
        (self.in_use, self.unused_since) = (Use::Now, None);
        self.used_since.get_or_insert(now);
    }

    /// Takes the lifetimes of the addresses inside it: those of the one that lives longest. Without any, what was known
    /// stays.
    pub(super) fn live(&mut self, addresses: &Addresses, uplink: Option<u32>) {
        let longest = longest(self.offer.prefix, addresses, uplink);
        if let Some((preferred_until, valid_until)) = longest.filter(|_| self.offer.cut.is_none()) {
            (self.offer.preferred_until, self.offer.valid_until) = (preferred_until, valid_until);
        }
    }

    /// The addresses inside it may live longer than anybody knew; that they end says nothing.
    pub(super) fn prolong(&mut self, addresses: &Addresses, uplink: Option<u32>) {
        let longest = longest(self.offer.prefix, addresses, uplink);
        if let Some((preferred_until, valid_until)) = longest.filter(|_| self.offer.cut.is_none()) {
            self.offer.preferred_until = self.offer.preferred_until.max(preferred_until);
            self.offer.valid_until = self.offer.valid_until.max(valid_until);
        }
    }

    /// Whether interfaces have preferred addresses out of it.
    pub(super) fn is_numbered(&self, addresses: &Addresses, uplink: Option<u32>, now: Instant) -> bool {
        let ends = longest(self.offer.prefix, addresses, uplink);
        ends.is_some_and(|(preferred_until, _)| !preferred_until.is_over(now))
    }

    /// Whether it may be reported.
    pub(super) fn is_offered(&self) -> bool {
        !self.is_aside && self.in_use != Use::Outdone
    }
}

/// The ends of the preferred and the valid lifetime of the addresses in a prefix, but for those of the uplink itself.
pub(super) fn longest(prefix: Ipv6Net, addresses: &Addresses, uplink: Option<u32>) -> Option<(Deadline, Deadline)> {
    let elsewhere = addresses.iter().filter(|((ifindex, _), _)| Some(*ifindex) != uplink);
    let inside = elsewhere.filter(|((_, address), _)| prefix.contains(address));
    inside.map(|(_, ends)| *ends).reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)))
}

/// Whether a prefix is held.
pub(super) fn is_alive(offer: &Offer, now: Instant) -> bool {
    matches!(offer.cut, None | Some(Cut::Deprecated)) && !offer.valid_until.is_over(now)
}

/// A prefix of which nothing else is known.
pub(super) fn unknown(prefix: Ipv6Net, now: Instant) -> Offer {
    Offer {
        prefix,
        recipient: None,
        router: None,
        preferred_until: Deadline::Never,
        valid_until: Deadline::Never,
        excluded: Vec::new(),
        first_seen: now,
        cut: None,
    }
}
