//! What the objects should hold, and who is concerned when one of them changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use super::books::{Aspect, Footing, Ripple, allocator_of, has};
use super::carrier::{self, Neighbours, PoolSight};
use super::slot::Slot;
use super::{Island, Wanted};
use crate::cluster::object::Object;
use crate::cluster::transition::Stage;
use crate::config::{Discovery, Kind, ObjectRef};
use crate::plan::service::Bound;
use crate::plan::{self, Role, Share};
use crate::time::Instant;

impl Island {
    /// Takes in what the cluster shows of an object.
    pub(super) fn see(&mut self, object: Object, now: Instant) {
        let reference = object.reference.clone();
        let before = self.slots.get(&reference).and_then(|slot| slot.object.as_ref()).map(Aspect::of);
        let after = Aspect::of(&object);
        self.notice(&reference, before, Some((&after, &object)), now);
        let contested = self.slots.entry(reference.clone()).or_default().see(object, now);
        self.tell_if(contested, &reference);
    }

    /// The object is gone.
    pub(super) fn forget(&mut self, reference: &ObjectRef, now: Instant) {
        let before = self.slots.get(reference).and_then(|slot| slot.object.as_ref()).map(Aspect::of);
        self.notice(reference, before, None, now);
        if let Some(slot) = self.slots.get_mut(reference) {
            slot.forget_object();
        }
    }

    /// Keeps the books, and marks who is concerned.
    fn notice(
        &mut self,
        reference: &ObjectRef,
        before: Option<Aspect>,
        after: Option<(&Aspect, &Object)>,
        now: Instant,
    ) {
        if allocator_of(reference.kind).is_some() {
            let ranges = self.books.offer(reference, after.map(|(_, object)| object), now);
            if !ranges.is_empty() {
                self.ask_again(self.books.concerned(&ranges));
            }
        }
        if reference.kind != Kind::Service {
            return;
        }
        let none = Aspect::default();
        let shown = after.map_or(&none, |(aspect, _)| aspect);
        let ripple = self.books.show(reference, before.as_ref().unwrap_or(&none), shown);
        self.spread(reference, &ripple);
        if before.as_ref().is_some_and(|before| after.is_some() && !shown.is_like(before)) {
            self.ask_again([reference.clone()]);
            let claim = self.books.footing(reference).and_then(|footing| footing.new);
            let ripple = Ripple { claimed: claim.into_iter().collect(), ..Ripple::default() };
            self.spread(reference, &ripple);
        }
    }

    /// What was refused to these Services may be given now.
    fn ask_again(&mut self, services: impl IntoIterator<Item = ObjectRef>) {
        for service in services {
            if let Some(slot) = self.slots.get_mut(&service) {
                slot.course.ask_again();
            }
            self.dirty.insert(service);
        }
    }

    /// Marks whom a change of the Service `from` concerns: other Services at the same addresses, and pools.
    pub(super) fn spread(&mut self, from: &ObjectRef, ripple: &Ripple) {
        if ripple.is_empty() {
            return;
        }
        let addresses = ripple.held.iter().chain(&ripple.asked).chain(&ripple.claimed);
        let claimants = addresses.flat_map(|address| self.books.claimants(*address)).filter(|service| *service != from);
        self.ask_again(claimants.cloned().collect::<BTreeSet<_>>());
        let mut concerned = Vec::new();
        for (pool, slot) in pools(&self.slots) {
            let shares = slot.want.iter().flat_map(|want| &want.shares);
            if shares.into_iter().any(|share| self.is_concerned(pool, slot, share, ripple)) {
                concerned.push(pool.clone());
            }
        }
        self.dirty.extend(concerned);
    }

    /// Whether a pool may have to hold something else because of a change of a Service. To decide about it takes a look
    /// at all Services around it, so this must not be said of every step of each.
    fn is_concerned(&self, pool: &ObjectRef, slot: &Slot, share: &Share, ripple: &Ripple) -> bool {
        let inside = |address: &&Ipv6Addr| share.blocks.iter().any(|block| has(&block.interval(), **address));
        if share.role == Role::Current {
            let is_turn = || slot.awaited_now(&self.books) != slot.awaited;
            return ripple.claimed.iter().any(|address| inside(&address))
                || ripple.waiting.iter().any(|address| inside(&address)) && is_turn();
        }
        if ripple.loosened.iter().any(|address| inside(&address)) {
            return true;
        }
        let is_on = |address| self.books.ranges(pool).iter().any(|range| has(range, address));
        // What is decided and not written yet may be to take it out.
        let lacks = |address| slot.pending.is_some() || !is_on(address);
        let is_new = |address: &Ipv6Addr| self.books.is_held(*address) && lacks(*address);
        let is_asked = |address: &Ipv6Addr| match self.books.is_asked_for(*address) {
            true => lacks(*address),
            false => share.role == Role::Known && !self.books.is_pinned(&share.blocks),
        };
        ripple.held.iter().filter(inside).any(is_new) || ripple.pinned.iter().filter(inside).any(is_asked)
    }

    /// One object has changed: decides about it, and about those that it concerns.
    pub(super) fn changed(&mut self, reference: &ObjectRef, now: Instant) {
        if self.want_where_one(reference) {
            let overlaps = self.compare_targets();
            self.dirty.extend(overlaps);
            if reference.kind.is_pool() && self.find_bound() {
                self.appraise_all();
            }
        }
        self.dirty.insert(reference.clone());
        self.settle_all(now);
    }

    pub(super) fn decide_all(&mut self, now: Instant) {
        self.find_bound();
        self.want_where(|_, _| true);
        self.compare_targets();
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
        slot.want = want(wanted, reference, slot, self.discovery != Discovery::Off);
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
        slot.carrier = carrier::appraise(wanted, reference, slot, discovery, &self.bound).map(Box::new);
        let footing = slot.carrier.as_ref().filter(|_| slot.object.is_some()).map(|carrier| {
            let new = carrier.address();
            let known = self.books.footing(reference).cloned();
            let first =
                || Footing { allocator: None, new, stage: Stage::AwaitingPin, given_up: false, pins: Vec::new() };
            match known {
                Some(known) if known.new != new => Footing { new, stage: Stage::AwaitingPin, ..known },
                known => known.unwrap_or_else(first),
            }
        });
        let ripple = self.books.stand(reference, footing);
        self.spread(reference, &ripple);
    }

    /// What is bound to the pools of the cluster; whether that has changed.
    pub(super) fn find_bound(&mut self) -> bool {
        let Some(wanted) = &self.wanted else { return false };
        let none = BTreeMap::new();
        let mut bound: Vec<Bound> = Vec::new();
        for (pool, slot) in pools(&self.slots) {
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

    /// What others do that bears on a managed Service.
    pub(super) fn neighbours(&self, reference: &ObjectRef) -> Option<Neighbours> {
        let slot = self.slots.get(reference)?;
        let carrier = slot.carrier.as_ref()?;
        let facts = slot.object.as_ref()?.service.as_deref()?;
        let allocator = carrier::allocator(facts, || self.pools_for(&carrier.want, carrier.address()));
        let facts_of = |other: &ObjectRef| self.slots.get(other)?.object.as_ref()?.service.as_deref();
        Some(carrier::neighbours(&self.books, (reference, facts), carrier.address(), allocator, facts_of))
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
        let take = |(reference, slot): (&ObjectRef, &mut Slot)| Some((reference.clone(), slot.want.take()?));
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
fn pools(slots: &BTreeMap<ObjectRef, Slot>) -> impl Iterator<Item = (&ObjectRef, &Slot)> {
    slots.range(..first_service()).filter(|(reference, _)| reference.kind.is_pool())
}

fn first_service() -> ObjectRef {
    ObjectRef { kind: Kind::Service, namespace: None, name: String::new() }
}

fn want(wanted: &Wanted, reference: &ObjectRef, slot: &Slot, discovery: bool) -> Option<plan::ObjectWant> {
    let none = BTreeMap::new();
    let annotations = slot.object.as_ref().map_or(&none, |object| &object.annotations);
    plan::object(reference, annotations, &wanted.bindings, discovery, &wanted.catalogue)
}
