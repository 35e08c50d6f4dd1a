//! Whom a change concerns: the books are kept, and whoever has to be decided about is marked.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use super::books::{Aspect, Footing, Ripple, allocator_of, has};
use super::narrow::Narrowing;
use super::slot::Slot;
use super::wants::{first_service, pools};
use super::{Event, Island, contest};
use crate::cluster::object::Object;
use crate::cluster::transition::FREED;
use crate::config::{Kind, ObjectRef};
use crate::plan::{Block, Role, Share};
use crate::prefix::Interval;
use crate::time::Instant;

impl Island {
    /// Takes in what the cluster shows of an object.
    pub(super) fn see(&mut self, object: Object, now: Instant) {
        let reference = object.reference.clone();
        let contested = self.slots.entry(reference.clone()).or_default().see(object, now);
        self.notice(&reference, now);
        self.tell_if(contested, &reference);
    }

    /// The object is gone. A Service may be of another type only, which the API server tells in the same way; external-dns
    /// reads its target all the same, so what is ours has to leave.
    pub(super) fn forget(&mut self, reference: &ObjectRef, now: Instant) {
        let dry_run = self.dry_run;
        if let Some(slot) = self.slots.get_mut(reference) {
            let may_be_there = slot.memory.as_ref().is_some_and(|memory| !memory.lists.is_empty());
            if may_be_there && !dry_run { slot.lose_sight() } else { slot.forget_object() }
        }
        self.notice(reference, now);
    }

    /// The answer to a look at a Service that is not seen any more.
    pub(super) fn has_looked(&mut self, reference: &ObjectRef, object: Option<Object>, now: Instant) {
        match (object, self.slots.get_mut(reference)) {
            (Some(object), Some(_)) => self.see(object, now),
            (None, Some(slot)) => {
                slot.forget_object();
                self.notice(reference, now);
            }
            (_, None) => {}
        }
        self.changed(reference, now);
    }

    /// A Service of another type is none of ours once nothing of ours is on it.
    pub(super) fn part_from(&mut self, reference: &ObjectRef, now: Instant) {
        if self.slots.get(reference).is_some_and(|slot| slot.has_parted()) {
            self.forget(reference, now);
            self.want_where(|other, _| other == reference);
            self.dirty.insert(reference.clone());
        }
    }

    /// Keeps the books after an object has changed, and marks who is concerned.
    pub(super) fn notice(&mut self, reference: &ObjectRef, now: Instant) {
        if allocator_of(reference.kind).is_some() {
            let slot = self.slots.get_mut(reference);
            let ranges = match slot {
                Some(slot) => {
                    slot.note_known_list();
                    self.books.offer(reference, slot.object.as_ref(), slot.is_as_known(), now)
                }
                None => self.books.offer(reference, None, false, now),
            };
            self.ask_again(self.books.concerned(&ranges));
            return;
        }
        if reference.kind != Kind::Service {
            return;
        }
        let object = self.slots.get(reference).and_then(|slot| slot.object.as_ref());
        let object = object.filter(|object| object.is_in_scope());
        let (ripple, is_edited) = self.books.show(reference, object.map(Aspect::of), now);
        self.spread(reference, &ripple);
        self.note_freed(&ripple.held, now);
        if is_edited {
            self.ask_again([reference.clone()]);
            let claim = self.books.footing(reference).and_then(|footing| footing.new);
            let ripple = Ripple { claimed: claim.into_iter().collect(), ..Ripple::default() };
            self.spread(reference, &ripple);
        }
    }

    /// Of these addresses, those that nobody has any more are to leave the pools that were narrowed to what is in use.
    fn note_freed(&mut self, addresses: &[Ipv6Addr], now: Instant) {
        let freed: Vec<Ipv6Addr> = addresses.iter().filter(|address| !self.books.is_held(**address)).copied().collect();
        if freed.is_empty() {
            return;
        }
        for (pool, slot) in self.slots.range_mut(..first_service()).filter(|(pool, _)| pool.kind.is_pool()) {
            let former = slot.want.iter().flat_map(|want| &want.shares).filter(|share| share.role != Role::Current);
            let blocks: Vec<Interval> = former.flat_map(|share| &share.blocks).map(Block::interval).collect();
            let is_there = |address: &Ipv6Addr| {
                let mut there = self.books.ranges(pool).iter().filter(|range| has(range, *address));
                there.any(|range| blocks.iter().any(|block| block.contains(range) && block != range))
            };
            if slot.freed.is_none() && freed.iter().any(is_there) {
                slot.freed = Some(now);
                self.wakes.insert((now + FREED, pool.clone()));
            }
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
        // There may be an address now for one of them to go to meanwhile.
        self.dirty.extend(self.cornered.iter().filter(|service| *service != from).cloned());
        let waiting = ripple.going.iter().flat_map(|address| self.books.claimants(*address));
        self.dirty.extend(waiting.filter(|service| *service != from).cloned().collect::<Vec<_>>());
        self.dirty.extend(self.in_the_way(from, ripple));
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

    /// A patch has left. Until it is answered a pool offers nothing, for it may take out what it offers, and a Service
    /// asks for what the patch says as well as for what it asked for.
    pub(super) fn is_under_way(&mut self, reference: &ObjectRef, now: Instant) {
        if allocator_of(reference.kind).is_some() {
            self.books.send(reference, true);
            let ranges = self.books.ranges(reference).to_vec();
            self.dirty.extend(self.books.claiming(&ranges));
        } else if let Some(footing) = self.books.footing(reference) {
            let asks = self.slots.get(reference).map(|slot| slot.pins_under_way()).unwrap_or_default();
            let new = asks.into_iter().filter(|address| !footing.pins.contains(address));
            let pins = footing.pins.iter().copied().chain(new).collect();
            let footing = Footing { pins, ..footing.clone() };
            let ripple = self.books.stand(reference, Some(footing));
            self.spread(reference, &ripple);
        }
        self.settle_all(now);
    }

    /// The patch of a pool was answered.
    pub(super) fn has_landed(&mut self, reference: &ObjectRef) {
        if allocator_of(reference.kind).is_some() {
            self.books.send(reference, false);
            let ranges = self.books.ranges(reference).to_vec();
            self.dirty.extend(self.books.claiming(&ranges));
        }
    }

    /// MetalLB refuses a pool with addresses that another one holds. When these have left `from`, whoever was refused
    /// them is tried again at once; that is how a range moves from one pool to another.
    pub(super) fn hand_over(&mut self, from: &ObjectRef, left: &[Interval], now: Instant) {
        let mut refused = Vec::new();
        for (reference, slot) in self.slots.iter_mut().filter(|(reference, _)| reference.kind == Kind::IPAddressPool) {
            if from.kind == reference.kind && slot.wants_any(left) && slot.retry_what_was_refused(now) {
                refused.push(reference.clone());
            }
        }
        self.dirty.extend(refused);
        self.settle_all(now);
    }

    /// Tells of a fight that has begun.
    pub(super) fn tell_if(&mut self, contested: bool, reference: &ObjectRef) {
        let Some(slot) = self.slots.get(reference).filter(|_| contested) else { return };
        let (Some(object), Some(contest)) = (&slot.object, &slot.contest) else { return };
        let version = self.served.as_ref().and_then(|served| served.get(&reference.kind));
        let manager = contest.manager().map(str::to_owned);
        let hint = contest::hint(object, version.map_or("", String::as_str), manager.as_deref(), &self.external_dns);
        self.events.push_back(Event::Contested { object: reference.clone(), manager, hint });
    }

    /// Finds out whether pools may be narrowed; whether that has changed.
    pub(super) fn read_narrowing(&mut self) -> bool {
        let listed = self.listed.contains(&Kind::Service);
        let narrowing = Narrowing::new(listed, self.watches.get(&Kind::Service), &self.schema);
        let is_new = narrowing != self.narrowing;
        self.narrowing = narrowing;
        is_new
    }
}
