//! What is known of one prefix of an interface, and what its addresses say together. Pure.

use std::time::Duration;

use ipnet::Ipv6Net;

use crate::source::interface::addresses::{Address, Detection};
use crate::source::{Cut, Offer};
use crate::time::{Deadline, Instant};

/// How long a prefix that has ended stays in the reports, so that everyone learns of its end.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// One prefix.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) preferred_until: Deadline,
    pub(super) valid_until: Deadline,
    pub(super) first_seen: Instant,
    pub(super) cut: Option<Cut>,
    /// Where it was seen last; `None`: in a former run, and perhaps cut to `delegatedPrefixLength`.
    pub(super) ifindex: Option<u32>,
    /// There is an address in it now.
    pub(super) is_present: bool,
    /// There was one, which the kernel has taken away because somebody else has it.
    pub(super) is_duplicate: bool,
    /// Since when anything new may use it.
    pub(super) usable_since: Option<Instant>,
    /// Since when it counts that it is gone, and why it may be.
    pub(super) gone: Option<Gone>,
}

/// Since when a prefix is gone, and why it may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    pub(super) since: Instant,
    pub(super) how: How,
}

/// Why a prefix may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Somebody removed its addresses while the interface was up.
    Removed,
    /// The interface is another one than the one that had it.
    OfFormer,
    /// It has not come back since the interface is up, or since this program runs.
    NotBack,
}

/// What the addresses in one prefix say together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetimes {
    pub(super) preferred_until: Deadline,
    pub(super) valid_until: Deadline,
    pub(super) deprecated: bool,
    pub(super) witness: Witness,
}

/// The best of the addresses in a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// It may be used.
    Ready,
    /// Duplicate address detection runs, or has failed and it stays.
    Unproven,
    /// Somebody else has it, and the kernel takes it away.
    Duplicate,
}

impl Lifetimes {
    /// A temporary address counts only where there is no other one: it is deprecated after a day, and its prefix is not.
    pub(super) fn of(addresses: &[&Address]) -> Option<Self> {
        let stable = addresses.iter().any(|address| !address.temporary);
        let counting = || addresses.iter().filter(|address| !(stable && address.temporary));
        Some(Self {
            preferred_until: counting().map(|address| address.preferred_until).max()?,
            valid_until: counting().map(|address| address.valid_until).max()?,
            deprecated: counting().all(|address| address.deprecated),
            witness: Witness::of(addresses),
        })
    }
}

impl Witness {
    fn of(addresses: &[&Address]) -> Self {
        let is_taken_away =
            |address: &&Address| address.detection == Detection::Failed && address.valid_until != Deadline::Never;
        if addresses.iter().any(|address| address.detection == Detection::Passed) {
            Self::Ready
        } else if addresses.iter().all(is_taken_away) {
            Self::Duplicate
        } else {
            Self::Unproven
        }
    }
}

impl Entry {
    pub(super) fn new(lifetimes: &Lifetimes, first_seen: Instant) -> Self {
        Self {
            preferred_until: lifetimes.preferred_until,
            valid_until: lifetimes.valid_until,
            first_seen,
            cut: None,
            ifindex: None,
            is_present: false,
            is_duplicate: false,
            usable_since: None,
            gone: None,
        }
    }

    /// As a former run knew it.
    pub(super) fn seeded(offer: &Offer) -> Self {
        let Offer { preferred_until, valid_until, first_seen, cut, .. } = *offer;
        let lifetimes = Lifetimes { preferred_until, valid_until, deprecated: false, witness: Witness::Unproven };
        Self { cut, ..Self::new(&lifetimes, first_seen) }
    }

    /// There are addresses in it that may be used.
    pub(super) fn see(&mut self, lifetimes: &Lifetimes, ifindex: u32, now: Instant) {
        if self.cut == Some(Cut::Withdrawn) {
            self.first_seen = now;
        }
        self.ifindex = Some(ifindex);
        (self.is_present, self.is_duplicate) = (true, false);
        self.gone = None;
        self.cut = None;
        self.live(lifetimes, now);
        self.usable_since = self.usable_since.or(Some(now)).filter(|_| !lifetimes.deprecated);
    }

    /// There are addresses in it that may not be used.
    pub(super) fn hear(&mut self, lifetimes: &Lifetimes, now: Instant) {
        self.gone = None;
        if matches!(self.cut, None | Some(Cut::Deprecated)) {
            self.live(lifetimes, now);
        }
        if lifetimes.witness == Witness::Duplicate {
            self.leave();
            self.is_duplicate = true;
        } else {
            self.is_present = true;
        }
    }

    fn live(&mut self, lifetimes: &Lifetimes, now: Instant) {
        self.valid_until = lifetimes.valid_until;
        if lifetimes.deprecated {
            // When it was deprecated first stands.
            self.preferred_until = self.preferred_until.min(lifetimes.preferred_until).min(Deadline::At(now));
            self.cut = Some(Cut::Deprecated);
            self.usable_since = None;
        } else {
            self.preferred_until = lifetimes.preferred_until;
            self.cut = None;
        }
    }

    /// There is no address in it any more.
    pub(super) fn leave(&mut self) {
        (self.is_present, self.is_duplicate) = (false, false);
        self.usable_since = None;
    }

    /// The interface is up with the index `ifindex`, and has no address in it.
    pub(super) fn miss(&mut self, ifindex: Option<u32>, now: Instant) {
        let how = if self.ifindex.is_some() && self.ifindex != ifindex { How::OfFormer } else { How::NotBack };
        self.is_duplicate = false;
        self.gone = (self.cut != Some(Cut::Withdrawn)).then_some(Gone { since: now, how });
    }

    /// It does not come back.
    pub(super) fn end(&mut self, now: Instant) {
        let Some(gone) = self.gone.take() else { return };
        self.preferred_until = self.preferred_until.min(Deadline::At(now));
        match gone.how {
            How::Removed | How::OfFormer => {
                self.valid_until = self.valid_until.min(Deadline::At(now));
                self.cut = Some(Cut::Withdrawn);
            }
            How::NotBack => self.cut = Some(Cut::Unlisted),
        }
    }

    /// When a duplicate says nothing any more; the kernel has nothing more to say of it.
    pub(super) fn is_duplicate_until(&self) -> Option<Instant> {
        self.valid_until.instant().filter(|_| self.is_duplicate)
    }

    /// When it is of no interest any more.
    pub(super) fn forget_at(&self) -> Option<Instant> {
        self.valid_until.instant().filter(|_| !self.is_present).map(|end| end + REMEMBERED)
    }

    pub(super) fn offer(&self, prefix: Ipv6Net, recipient: Option<&String>) -> Offer {
        Offer {
            prefix,
            recipient: recipient.cloned(),
            router: None,
            preferred_until: self.preferred_until,
            valid_until: self.valid_until,
            excluded: Vec::new(),
            first_seen: self.first_seen,
            cut: self.cut,
        }
    }
}
