//! What is known of one prefix beside the packets, and how it ends. Pure.

use std::time::Duration;

use ipnet::Ipv6Net;

use super::evidence::GRACE;
use super::traces::Addresses;
use crate::source::{Cut, Offer};
use crate::time::{Deadline, Instant};

/// How long a prefix that was lost stays in the reports.
const REMEMBERED: Duration = Duration::from_secs(600);
/// By how much the end of an address may be off, which the kernel tells in whole seconds.
const ROUNDING: Duration = Duration::from_secs(2);

/// One prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) offer: Offer,
    pub(super) origin: Origin,
    /// Since when there is no route for it, although there was one.
    pub(super) missing_since: Option<Instant>,
    /// When it was cut.
    pub(super) cut_at: Option<Instant>,
    /// It appeared while the packets told another delegation, or the client did not describe it with what it holds: it is
    /// somebody else's, until they name it.
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
    /// The ends of its lifetimes, where addresses without end stand in for them.
    pub(super) own_ends: Option<(Deadline, Deadline)>,
    /// Something has spoken against it since.
    pub(super) is_contradicted: bool,
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
    /// It was in use before, and a newer one is now; or it is over. New addresses bring it back, not those that stand.
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
            own_ends: None,
            is_contradicted: false,
            session: 0,
        }
    }

    /// What a former run saw the end of: its route may stand yet.
    pub(super) fn of_ended(offer: &Offer) -> Self {
        let offer = Offer { recipient: None, ..offer.clone() };
        let cut_at = offer.preferred_until.instant();
        Self { in_use: Use::Replaced, cut_at, ..Self::new(offer, Origin::Route) }
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
        let ends = is_gone && self.origin != Origin::Route && self.offer.cut.is_none();
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

    /// Nobody holds it, although its route stands.
    pub(super) fn give_up(&mut self, now: Instant) {
        self.cut(Cut::Unlisted, now);
        (self.in_use, self.unused_since) = (Use::Replaced, None);
    }

    /// It ran out at this time, and nobody has renewed it: that its route stands says nothing.
    pub(super) fn lapse(&mut self, end: Deadline, now: Instant) {
        self.give_up(now);
        self.offer.valid_until = self.offer.valid_until.min(end);
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

    /// Addresses that were taken away before their end told its lifetimes: their interface is down, or somebody has done it.
    /// Where nobody hears of a Renew, nothing is known of them any more.
    pub(super) fn outlive(&mut self, addresses: &Addresses, uplink: Option<u32>, now: Instant) {
        let is_taken = !self.offer.preferred_until.is_over(now + ROUNDING);
        if is_taken && self.offer.cut.is_none() && longest(self.offer.prefix, addresses, uplink).is_none() {
            (self.offer.preferred_until, self.offer.valid_until) = (Deadline::Never, Deadline::Never);
        }
    }

    /// The addresses inside it may live longer than anybody knew; that they end says nothing. Those without end do so only
    /// while nothing speaks against it: a client numbers interfaces so (wide-dhcpv6), or somebody has typed them; and while
    /// they are there, but for the moment in which their interface is down.
    pub(super) fn prolong(&mut self, addresses: &Addresses, uplink: Option<u32>, now: Instant) {
        if self.offer.cut.is_some() {
            return;
        }
        let Some((preferred_until, valid_until)) = longest(self.offer.prefix, addresses, uplink) else {
            let is_over = self.own_ends.is_some() && *self.unused_since.get_or_insert(now) + GRACE <= now;
            if let Some(own_ends) = self.own_ends.take_if(|_| is_over) {
                (self.offer.preferred_until, self.offer.valid_until) = own_ends;
                self.unused_since = None;
            }
            return;
        };
        self.unused_since = None;
        if valid_until == Deadline::Never {
            if self.is_contradicted || self.offer.valid_until == Deadline::Never {
                return;
            }
            self.own_ends = Some((self.offer.preferred_until, self.offer.valid_until));
        }
        self.offer.preferred_until = self.offer.preferred_until.max(preferred_until);
        self.offer.valid_until = self.offer.valid_until.max(valid_until);
    }

    /// Something speaks against it. Addresses inside it that would end, if it were not held, outweigh that; those without
    /// end leave it what it has itself.
    pub(super) fn contradict(&mut self, addresses: &Addresses, uplink: Option<u32>, now: Instant) {
        if self.is_kept(addresses, uplink, now) {
            return;
        }
        self.is_contradicted = true;
        if let Some(own_ends) = self.own_ends.take() {
            (self.offer.preferred_until, self.offer.valid_until) = own_ends;
        }
        let ends = self.offer.valid_until.instant().is_some_and(|end| now < end);
        if !ends || !self.is_numbered(addresses, uplink, now) {
            self.cut(Cut::Unlisted, now);
        }
    }

    /// When it ends, as far as anybody has told.
    pub(super) fn own_end(&self) -> Deadline {
        self.own_ends.map_or(self.offer.valid_until, |(_, valid_until)| valid_until)
    }

    /// Whether interfaces have preferred addresses out of it.
    pub(super) fn is_numbered(&self, addresses: &Addresses, uplink: Option<u32>, now: Instant) -> bool {
        let ends = longest(self.offer.prefix, addresses, uplink);
        ends.is_some_and(|(preferred_until, _)| !preferred_until.is_over(now))
    }

    /// Whether interfaces have preferred addresses out of it that would end, if nobody prolonged them.
    pub(super) fn is_kept(&self, addresses: &Addresses, uplink: Option<u32>, now: Instant) -> bool {
        let ends = longest(self.offer.prefix, addresses, uplink);
        ends.is_some_and(|(preferred, valid)| !preferred.is_over(now) && valid != Deadline::Never)
    }

    /// Whether it may be reported.
    pub(super) fn is_offered(&self) -> bool {
        !self.is_aside && self.in_use != Use::Outdone
    }
}

/// The ends of the preferred and the valid lifetime of the addresses in a prefix, but for those of the uplink itself. What
/// has no end, as somebody has typed it, tells nothing where something has one.
pub(super) fn longest(prefix: Ipv6Net, addresses: &Addresses, uplink: Option<u32>) -> Option<(Deadline, Deadline)> {
    let elsewhere = addresses.iter().filter(|((ifindex, _), _)| Some(*ifindex) != uplink);
    let inside = || elsewhere.clone().filter(|((_, address), _)| prefix.contains(address)).map(|(_, ends)| *ends);
    let longer = |one: (Deadline, Deadline), other: (Deadline, Deadline)| (one.0.max(other.0), one.1.max(other.1));
    inside().filter(|ends| ends.1 != Deadline::Never).reduce(longer).or_else(|| inside().reduce(longer))
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
