//! What is known of a managed Service only from having watched it. Forgotten at a restart, it begins anew.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::books::Offered;
use crate::cluster::service::Service;
use crate::cluster::transition::{self, Allocator, Stage};
use crate::time::Instant;

/// What is known of a managed Service only from having watched it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Course {
    /// The step it is at, towards which address, and since when.
    pub(super) step: Option<(Stage, Option<Ipv6Addr>, Instant)>,
    /// Since when DNS names the new address.
    pub(super) named: Option<(Ipv6Addr, Instant)>,
    /// The address that the allocator has refused, and the IPv4 addresses that were asked for beside it. It is not asked
    /// for again before the pools or the Service change.
    refused: Option<(Ipv6Addr, Vec<Ipv4Addr>)>,
    /// The address for which it asked while it had another one. If it then holds nothing, it is refused beyond doubt.
    risked: Option<Ipv6Addr>,
    /// The address that another Service has or had; and since when it has it no more.
    taken: Option<(Ipv6Addr, Option<Instant>)>,
    /// Since when it would give up an address and waits for a pool to be narrowed.
    held: Option<Instant>,
    /// Since when it has an address that is on no pool any more.
    astray: Option<Instant>,
    /// Since when it is left to its allocator, because it is refused.
    left: Option<Instant>,
    /// Whether it has its address.
    pub(in super::super) has_address: bool,
}

impl Course {
    /// It is at this step now.
    pub(super) fn at(&mut self, stage: Stage, new: Option<Ipv6Addr>, now: Instant) {
        if self.step.is_none_or(|(known, to, _)| (known, to) != (stage, new)) {
            self.step = Some((stage, new, now));
        }
    }

    /// Whether the allocator has refused `new`.
    pub(super) fn is_refused(&self, new: Option<Ipv6Addr>) -> bool {
        self.refused.as_ref().is_some_and(|(refused, _)| Some(*refused) == new)
    }

    /// The allocator has refused `new`, which was asked for beside `v4`.
    pub(super) fn refuse(&mut self, new: Option<Ipv6Addr>, v4: Vec<Ipv4Addr>) {
        self.refused = new.map(|new| (new, v4));
    }

    /// MetalLB gives all that is asked for or nothing, and does not say what it would not give. The Service having another
    /// IPv4 address now, it may have been that.
    pub(super) fn has_v4(&mut self, v4: &[Ipv4Addr]) {
        let is_other = |asked: &[Ipv4Addr]| !asked.is_empty() && v4.iter().any(|held| !asked.contains(held));
        self.refused.take_if(|(_, asked)| is_other(asked));
    }

    /// MetalLB does not say that it refuses, and one that is down gives nothing either. If it gives an address to a Service
    /// that had none to lose, it may as well have been down: it is asked again, once.
    pub(super) fn shows_life(&mut self, allocator: Allocator, facts: &Service) {
        let is_doubtful = allocator == Allocator::MetalLb && !facts.ingress.is_empty();
        self.refused.take_if(|(refused, _)| is_doubtful && self.risked != Some(*refused));
    }

    /// It is to ask for `pins`.
    pub(super) fn risk(&mut self, pins: &[Ipv6Addr], new: Option<Ipv6Addr>, facts: &Service) {
        let asks = new.filter(|new| pins.contains(new) && !facts.ingress.is_empty());
        self.risked = asks.or(self.risked);
    }

    /// The pools or the Service have changed: what was refused may be given now.
    pub(in super::super) fn ask_again(&mut self) {
        self.refused = None;
    }

    /// MetalLB does not say that it refuses: it takes everything. When that is to be believed.
    pub(super) fn silence_ends(
        &self,
        allocator: Allocator,
        asks: Option<Ipv6Addr>,
        facts: &Service,
        offered: Offered,
    ) -> Option<Instant> {
        let holds_nothing = allocator == Allocator::MetalLb && offered == Offered::Yes && facts.ingress.is_empty();
        let (_, _, since) = self.step.filter(|step| step.0 == Stage::AwaitingAddress && step.1 == asks)?;
        (holds_nothing && asks.is_some()).then(|| since + transition::NOTHING_HELD)
    }

    /// Until when its status counts as about to change, because it has an address that is on no pool any more. LB-IPAM was
    /// seen to leave it at that, of Services that share an address.
    pub(super) fn stray(&mut self, is_astray: bool, now: Instant) -> Option<Instant> {
        self.astray = if is_astray { self.astray.or(Some(now)) } else { None };
        self.astray.map(|since| since + transition::LEFT_ALONE).filter(|at| *at > now)
    }

    /// Whether it would give up an address and waits for a pool to be narrowed.
    pub(super) fn hold(&mut self, waits: bool, now: Instant) {
        self.held = if waits { self.held.or(Some(now)) } else { None };
    }

    /// Whether it waits for a pool to be narrowed.
    pub(in super::super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Since when it waits for the next step.
    fn waits_since(&self) -> Option<Instant> {
        let waits = |stage: Stage| !matches!(stage, Stage::Served | Stage::Refused);
        self.step.filter(|(stage, ..)| waits(*stage)).map(|(.., since)| since).or(self.held)
    }

    pub(super) fn patience_ends(&self) -> Option<Instant> {
        self.waits_since().map(|since| since + transition::PATIENCE)
    }

    pub(super) fn hangs(&self, now: Instant) -> bool {
        self.waits_since().is_some_and(|since| transition::hangs(since, now))
    }

    /// Whether another Service has the new address. MetalLB may not know yet that it has it no more.
    pub(super) fn is_taken(&mut self, new: Option<Ipv6Addr>, by: bool, allocator: Allocator, now: Instant) -> bool {
        let Some(new) = new else { return false };
        self.taken = match self.taken.filter(|(taken, _)| *taken == new) {
            _ if by => Some((new, None)),
            Some((_, since)) => Some((new, since.or(Some(now)))),
            None => None,
        };
        by || allocator == Allocator::MetalLb && self.is_just_left(now)
    }

    /// Whether its allocator may not know yet that another Service has the new address no more.
    pub(super) fn is_just_left(&self, now: Instant) -> bool {
        self.free_at().is_some_and(|at| now < at)
    }

    /// When an address that another Service had counts as free.
    pub(super) fn free_at(&self) -> Option<Instant> {
        self.taken.and_then(|(_, since)| since).map(|since| since + transition::LEFT_ALONE)
    }

    /// Whether it is left to its allocator.
    pub(super) fn leave(&mut self, is_left: bool, now: Instant) {
        self.left = if is_left { self.left.or(Some(now)) } else { None };
    }

    /// When its allocator will know that it is left to it.
    pub(super) fn known_at(&self) -> Option<Instant> {
        self.left.map(|since| since + transition::LEFT_ALONE)
    }
}
