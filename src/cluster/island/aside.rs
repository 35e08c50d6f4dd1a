//! Services that are to have each other's address: none of them can move before another one has. One of them takes a
//! third address meanwhile, and goes there as any Service goes to another address, so none is ever without one.
//!
//! Which one it is, and where it goes, follows from what the cluster shows, so a restart changes nothing.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use super::Island;
use super::books::{Ripple, has};
use super::carrier::Right;
use crate::cluster::service;
use crate::cluster::transition::Allocator;
use crate::config::ObjectRef;

/// Longer rings are left to the next prefix, in which nobody has an address yet.
const LONGEST_RING: usize = 64;

impl Island {
    /// Has a Service step aside if it is its turn, or go where it is to go if there is no reason any more. Whether that
    /// is a change. `allocator`: its own, if known.
    pub(super) fn step_aside(&mut self, reference: &ObjectRef, allocator: Option<Allocator>) -> bool {
        self.cornered.remove(reference);
        let Some(slot) = self.slots.get(reference).filter(|slot| slot.flight.is_none()) else { return false };
        let Some(carrier) = slot.carrier.as_ref().filter(|carrier| carrier.right == Right::Given) else { return false };
        let Some(to) = slot.aside.map(|(to, _)| to).or_else(|| carrier.address()) else { return false };
        let (before, was_cornered) = (slot.aside, slot.cornered);
        let ring = allocator.map(|allocator| self.ring(reference, to, allocator)).unwrap_or_default();
        let after = match ring.iter().min() {
            Some(first) if first == reference => before.or_else(|| Some((to, self.meanwhile(reference, to)?))),
            Some(first) => {
                self.dirty.insert(first.clone());
                None
            }
            None => None,
        };
        let is_cornered = after.is_none() && ring.iter().min() == Some(reference);
        if is_cornered {
            self.cornered.insert(reference.clone());
        }
        if (after, is_cornered) == (before, was_cornered) {
            return false;
        }
        if let Some(slot) = self.slots.get_mut(reference) {
            (slot.aside, slot.cornered) = (after, is_cornered);
            slot.carrier.iter_mut().for_each(|carrier| carrier.send(after.map_or(to, |(_, meanwhile)| meanwhile)));
        }
        self.claim(reference);
        true
    }

    /// The Services that wait for each other, beginning with `first`, which is to have `to`; empty: they do not.
    fn ring(&self, first: &ObjectRef, to: Ipv6Addr, allocator: Allocator) -> Vec<ObjectRef> {
        let may_move = |service: &ObjectRef| self.books.footing(service).is_none_or(|footing| !footing.given_up);
        let mut ring = vec![first.clone()];
        let mut wants = to;
        while ring.len() <= LONGEST_RING && ring.iter().all(may_move) {
            let Some(holder) = ring.last().and_then(|last| self.holder(last, wants, allocator)) else { break };
            if holder == *first {
                return ring;
            }
            let footing = self.books.footing(&holder).filter(|footing| footing.allocator == Some(allocator));
            let Some(new) = footing.and_then(|footing| footing.new) else { break };
            if ring.contains(&holder) || self.books.claimants(new).any(|other| *other != holder) {
                break;
            }
            wants = new;
            ring.push(holder);
        }
        Vec::new()
    }

    /// Who has `address` and does not share it with `reference`.
    fn holder(&self, reference: &ObjectRef, address: Ipv6Addr, allocator: Allocator) -> Option<ObjectRef> {
        let facts_of = |service: &ObjectRef| self.slots.get(service)?.object.as_ref()?.service.as_deref();
        let facts = facts_of(reference)?;
        let shares = |other: &ObjectRef| {
            facts_of(other).is_some_and(|its| service::may_share(allocator, (reference, facts), (other, its)))
        };
        self.books.takers(address).find(|other| *other != reference && !shares(other)).cloned()
    }

    /// Where it goes meanwhile: to an address that it has already and that nobody is to have, else to the next free one.
    fn meanwhile(&self, reference: &ObjectRef, to: Ipv6Addr) -> Option<Ipv6Addr> {
        let (wanted, carrier) = (self.wanted.as_ref()?, self.slots.get(reference)?.carrier.as_ref()?);
        let (range, _) = self.range_of(&carrier.want, to)?;
        let fits = |address| carrier.want.has_place_for(&wanted.catalogue, address);
        let is_nobodys = |address: &Ipv6Addr| {
            let mut others = self.books.takers(*address).chain(self.books.claimants(*address));
            *address != to && has(&range, *address) && others.all(|other| other == reference) && fits(*address)
        };
        let held = self.books.addresses(reference).find(is_nobodys);
        held.or_else(|| self.books.free(range, to, fits))
    }

    /// The managed Services that have what `from` claims now: they may wait for each other.
    pub(super) fn in_the_way(&self, from: &ObjectRef, ripple: &Ripple) -> BTreeSet<ObjectRef> {
        let own = self.books.footing(from).and_then(|footing| footing.new).filter(|_| !ripple.loosened.is_empty());
        let holders = ripple.claimed.iter().copied().chain(own).flat_map(|address| self.books.takers(address));
        holders.filter(|holder| *holder != from && self.books.footing(holder).is_some()).cloned().collect()
    }
}
