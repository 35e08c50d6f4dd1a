//! What the objects should hold, and who is concerned when one of them changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::books::{Footing, allocator_of, has};
use super::carrier::{self, GivesWay, Neighbours, PoolSight, Right};
use super::slot::Slot;
use super::{Island, Release, Wanted};
use crate::cluster::transition::{Allocator, LEFT_ALONE, Stage};
use crate::config::{Discovery, Kind, ObjectRef};
use crate::plan::service::Bound;
use crate::plan::{self, Role};
use crate::prefix::Interval;
use crate::time::Instant;

impl Island {
    /// One object has changed: decides about it, and about those that it concerns.
    pub(super) fn changed(&mut self, reference: &ObjectRef, now: Instant) {
        if self.want_where_one(reference) {
            let overlaps = self.compare_targets();
            self.dirty.extend(overlaps);
            if reference.kind.is_pool() && self.find_bound() {
                self.appraise_all();
            }
        }
        if reference.kind.is_pool() {
            self.find_leaving_after(reference);
        }
        self.dirty.insert(reference.clone());
        self.settle_all(now);
    }

    /// What failed is tried again at once.
    pub(super) fn end_waits(&mut self, now: Instant) {
        let failed = self.slots.values_mut().filter_map(|slot| slot.failure.as_mut());
        failed.for_each(|failure| failure.retry_at = now);
    }

    /// Whether a person has asked for something since the wanted state that is followed.
    pub fn is_asked_anew(&self, wanted: &Wanted) -> bool {
        self.wanted.as_ref().is_some_and(|former| !wanted.told.asked_since(&former.told).is_empty())
    }

    /// What a person has asked for since the `former` wanted state is done as if nothing had ever failed there: whoever
    /// asks has mended something, or means it. Along with a pool go the Services that ask for addresses in it.
    pub(super) fn try_what_is_asked(&mut self, former: Option<Wanted>) {
        let (Some(wanted), Some(former)) = (&self.wanted, former) else { return };
        let asked = wanted.told.asked_since(&former.told);
        if asked.is_empty() {
            return;
        }
        let (is_all, is_pool) =
            (asked.contains(&None), asked.iter().copied().flatten().any(|object| object.kind.is_pool()));
        for (reference, slot) in &mut self.slots {
            let is_along = is_pool && reference.kind == Kind::Service;
            if is_all || is_along || asked.contains(&Some(reference.clone())) {
                slot.failure = None;
                slot.contest = None;
            }
        }
        self.paused_until = None;
    }

    pub(super) fn decide_all(&mut self, now: Instant) {
        self.find_bound();
        self.want_where(|_, _| true);
        self.compare_targets();
        self.find_leaving();
        self.evaluate_where(|_, _| true, now);
    }

    pub(super) fn evaluate_where(&mut self, which: impl Fn(&ObjectRef, &Slot) -> bool, now: Instant) {
        let concerned = self.slots.iter().filter(|(reference, slot)| which(reference, slot));
        self.dirty.extend(concerned.map(|(reference, _)| reference.clone()));
        self.settle_all(now);
    }

    /// Decides about all that are marked: Services first, because what pools should hold follows from where these are.
    pub(super) fn settle_all(&mut self, now: Instant) {
        let next =
            |dirty: &BTreeSet<ObjectRef>| dirty.range(first_service()..).next().or_else(|| dirty.first()).cloned();
        while let Some(reference) = next(&self.dirty) {
            self.dirty.remove(&reference);
            self.evaluate(&reference, now);
        }
    }

    /// Computes what the objects in question should hold.
    pub(super) fn want_where(&mut self, which: impl Fn(&ObjectRef, &Slot) -> bool) {
        let those = self.slots.iter().filter(|(reference, slot)| which(reference, slot));
        let references: Vec<ObjectRef> = those.map(|(reference, _)| reference.clone()).collect();
        for reference in &references {
            self.want_where_one(reference);
        }
    }

    /// The same for one object; whether it is no Service and wants something else than before.
    fn want_where_one(&mut self, reference: &ObjectRef) -> bool {
        if reference.kind == Kind::Service {
            self.appraise(reference);
            return false;
        }
        let (Some(wanted), Some(slot)) = (&self.wanted, self.slots.get_mut(reference)) else { return false };
        let before = slot.want.take();
        let want = want(wanted, reference, slot, self.discovery != Discovery::Off);
        slot.paused = want.is_some() && wanted.told.paused.has(reference);
        slot.want = want.filter(|_| !slot.paused);
        slot.want != before
    }

    fn appraise_all(&mut self) {
        let services = self.slots.keys().filter(|reference| reference.kind == Kind::Service);
        let services: Vec<ObjectRef> = services.cloned().collect();
        services.iter().for_each(|service| self.appraise(service));
        self.dirty.extend(services);
    }

    /// Finds out who manages a Service and where it is to go.
    fn appraise(&mut self, reference: &ObjectRef) {
        let (Some(wanted), Some(slot)) = (&self.wanted, self.slots.get_mut(reference)) else { return };
        let discovery = self.discovery != Discovery::Off;
        let carrier = carrier::appraise(wanted, reference, slot, discovery, &self.bound);
        slot.paused = carrier.is_some() && wanted.told.paused.has(reference);
        slot.carrier = carrier.filter(|_| !slot.paused).map(Box::new);
        let carrier = slot.carrier.as_mut().filter(|carrier| carrier.right != Right::Given);
        slot.instead = slot.instead.filter(|(from, _)| carrier.as_ref().is_some_and(|it| it.host == Some(*from)));
        if let (Some(carrier), Some((_, to))) = (carrier, slot.instead) {
            carrier.place(wanted, Some(to));
        }
        slot.aside = slot.aside.filter(|(to, _)| slot.carrier.as_ref().is_some_and(|it| it.address() == Some(*to)));
        if let (Some(carrier), Some((_, meanwhile))) = (slot.carrier.as_mut(), slot.aside) {
            carrier.send(meanwhile);
        }
        self.claim(reference);
    }

    /// Enters into the books what a Service claims now.
    pub(super) fn claim(&mut self, reference: &ObjectRef) {
        let slot = self.slots.get(reference);
        let carrier = slot.filter(|slot| slot.object.is_some()).and_then(|slot| slot.carrier.as_ref());
        let footing = carrier.map(|carrier| {
            let (new, right) = (carrier.address(), carrier.right);
            let stage = Stage::AwaitingPin;
            match self.books.footing(reference).cloned() {
                Some(known) if known.new != new => Footing { new, right, stage, is_stuck: false, ..known },
                Some(known) => Footing { right, ..known },
                None => {
                    let (given_up, is_stuck) = (false, false);
                    Footing { allocator: None, new, right, stage, given_up, is_stuck, pins: Vec::new() }
                }
            }
        });
        let ripple = self.books.stand(reference, footing);
        self.spread(reference, &ripple);
    }

    /// Gives a Service another host part when the one that it would have is another's. Nobody asked for that very one, so
    /// the next one that is free does as well, and it moves there as any other Service does.
    fn give_way(&mut self, reference: &ObjectRef) {
        let (Some(wanted), Some(slot)) = (&self.wanted, self.slots.get(reference)) else { return };
        let Some(carrier) = &slot.carrier else { return };
        let (Some(from), Some(new)) = (carrier.host, carrier.address()) else { return };
        let free = self.range_of(&carrier.want, new).and_then(|(range, prefix)| {
            let fits = |address| carrier.want.has_place_for(&wanted.catalogue, address);
            let host = |address: Ipv6Addr| Ipv6Addr::from_bits(address.to_bits() & prefix.hostmask().to_bits());
            self.books.free(range, new, fits).map(host)
        });
        let from = slot.instead.map_or(from, |(from, _)| from);
        let Some(slot) = self.slots.get_mut(reference) else { return };
        slot.instead = free.map(|to| (from, to));
        if let Some(carrier) = &mut slot.carrier {
            carrier.place(wanted, free);
        }
        self.claim(reference);
    }

    /// The current range on a pool that `address` lies in, and its prefix.
    pub(super) fn range_of(&self, want: &plan::ServiceWant, address: Ipv6Addr) -> Option<(Interval, Ipv6Net)> {
        let shares = pools(&self.slots).flat_map(|(_, slot)| slot.want.iter().flat_map(|want| &want.shares));
        let mut current =
            shares.filter(|share| share.role == Role::Current && share.dynamic_prefix == want.dynamic_prefix);
        current.find_map(|share| {
            let range = share.blocks.iter().map(plan::Block::interval).find(|range| has(range, address))?;
            Some((range, share.prefix))
        })
    }

    /// What is bound to the pools of the cluster; whether that has changed.
    pub(super) fn find_bound(&mut self) -> bool {
        let Some(wanted) = &self.wanted else { return false };
        let none = BTreeMap::new();
        let mut bound: Vec<Bound> = Vec::new();
        for (pool, slot) in pools(&self.slots).filter(|(pool, _)| !wanted.told.paused.has(pool)) {
            let annotations = slot.object.as_ref().map_or(&none, |object| &object.annotations);
            let discovery = self.discovery != Discovery::Off;
            for part in plan::parts(pool, annotations, &wanted.bindings, discovery, &wanted.catalogue) {
                if !bound.contains(&part) {
                    bound.push(part);
                }
            }
        }
        let is_new = bound != self.bound;
        self.bound = bound;
        is_new
    }

    /// What others do that bears on a managed Service, once it has given way to them.
    pub(super) fn neighbours_given_way(&mut self, reference: &ObjectRef, now: Instant) -> Option<Neighbours> {
        let neighbours = self.neighbours(reference)?;
        let neighbours = if self.step_aside(reference, neighbours.allocator.as_ref().ok().copied()) {
            self.neighbours(reference)?
        } else {
            neighbours
        };
        let slot = self.slots.get_mut(reference).filter(|slot| slot.flight.is_none());
        let Some(slot) = slot else { return Some(neighbours) };
        let new = slot.carrier.as_ref().and_then(|carrier| carrier.address());
        let since = slot.taken.filter(|(taken, _)| Some(*taken) == new).map_or(now, |(_, since)| since);
        slot.taken = new.filter(|_| neighbours.gives_way == GivesWay::IfItLasts).map(|new| (new, since));
        match neighbours.gives_way {
            GivesWay::No => return Some(neighbours),
            GivesWay::IfItLasts if now < since + LEFT_ALONE => {
                self.wakes.insert((since + LEFT_ALONE, reference.clone()));
                return Some(neighbours);
            }
            GivesWay::IfItLasts | GivesWay::Now => {}
        }
        self.give_way(reference);
        self.neighbours(reference)
    }

    /// What others do that bears on a managed Service.
    fn neighbours(&self, reference: &ObjectRef) -> Option<Neighbours> {
        let slot = self.slots.get(reference)?;
        let carrier = slot.carrier.as_ref()?;
        let facts = slot.object.as_ref()?.service.as_deref()?;
        let allocator = carrier::allocator(facts, || self.pools_for(&carrier.want, carrier.address()));
        let facts_of = |other: &ObjectRef| self.slots.get(other)?.object.as_ref()?.service.as_deref();
        let narrowed = allocator != Ok(Allocator::Cilium) || self.is_narrowed(reference, carrier.address());
        Some(carrier::neighbours(&self.books, (reference, facts, carrier), allocator, narrowed, facts_of))
    }

    /// Whether the pools that have former addresses of a Service are narrowed, as far as they will be, and it is seen.
    fn is_narrowed(&self, reference: &ObjectRef, new: Option<Ipv6Addr>) -> bool {
        let former: Vec<_> = self.books.addresses(reference).filter(|address| Some(*address) != new).collect();
        let has_some = |pool: &ObjectRef| {
            let ranges = self.books.ranges(pool);
            former.iter().any(|address| ranges.iter().any(|range| has(range, *address)))
        };
        let hands_out = |slot: &Slot| {
            let observed = slot.object.as_ref().and_then(|object| object.observed.as_ref());
            !observed.is_some_and(|observed| observed.is_disabled)
        };
        let ours = |pool: &ObjectRef, slot: &Slot| {
            slot.want.is_some() && allocator_of(pool.kind) == Some(Allocator::Cilium) && hands_out(slot)
        };
        let mut those = pools(&self.slots).filter(|(pool, slot)| ours(pool, slot) && has_some(pool));
        those.all(|(pool, slot)| slot.is_calm && self.books.is_in_force(pool))
    }

    fn pools_for(&self, want: &plan::ServiceWant, new: Option<Ipv6Addr>) -> Vec<PoolSight> {
        let pools = pools(&self.slots).filter_map(|(pool, slot)| Some((pool, slot, allocator_of(pool.kind)?)));
        let is_bound = |slot: &Slot| {
            slot.want.iter().flat_map(|want| &want.shares).any(|share| {
                let is_there = |address| share.blocks.iter().any(|block| has(&block.interval(), address));
                share.dynamic_prefix == want.dynamic_prefix && new.is_none_or(is_there)
            })
        };
        pools
            .map(|(pool, slot, allocator)| PoolSight {
                allocator,
                live: self.books.ranges(pool).to_vec(),
                is_bound: is_bound(slot),
            })
            .collect()
    }

    /// Looks for targets that would overlap; returns those for which that changed.
    pub(super) fn compare_targets(&mut self) -> Vec<ObjectRef> {
        let take = |(reference, slot): (&ObjectRef, &mut Box<Slot>)| Some((reference.clone(), slot.want.take()?));
        let wants: Vec<_> = self.slots.iter_mut().filter_map(take).collect();
        let mut found: BTreeMap<_, _> = plan::overlaps(&wants).into_iter().collect();
        for (reference, want) in wants {
            if let Some(slot) = self.slots.get_mut(&reference) {
                slot.want = Some(want);
            }
        }
        let mut changed = Vec::new();
        for (reference, slot) in &mut self.slots {
            let overlap = found.remove(reference).map(|finding| (finding.reason, finding.message));
            if slot.overlap != overlap {
                slot.overlap = overlap;
                changed.push(reference.clone());
            }
        }
        changed
    }
}

/// The pools among the slots; they stand before the Services.
pub(super) fn pools(slots: &BTreeMap<ObjectRef, Box<Slot>>) -> impl Iterator<Item = (&ObjectRef, &Slot)> {
    let slots = slots.range(..first_service()).map(|(reference, slot)| (reference, &**slot));
    slots.filter(|(reference, _)| reference.kind.is_pool())
}

pub(super) fn first_service() -> ObjectRef {
    ObjectRef { kind: Kind::Service, namespace: None, name: String::new() }
}

fn want(wanted: &Wanted, reference: &ObjectRef, slot: &Slot, discovery: bool) -> Option<plan::ObjectWant> {
    let none = BTreeMap::new();
    let annotations = slot.object.as_ref().map_or(&none, |object| &object.annotations);
    plan::object(reference, annotations, &wanted.bindings, discovery, &wanted.catalogue)
}

/// Why an object that was released is not ours to care for any more.
pub(super) fn why_released(wanted: Option<&Wanted>, reference: &ObjectRef) -> Release {
    match wanted.map(|wanted| &wanted.told) {
        Some(told) if told.has_left => Release::ClusterLeft,
        Some(told) if told.paused.has(reference) => Release::Withdrawn,
        Some(_) | None => Release::Unwanted,
    }
}
