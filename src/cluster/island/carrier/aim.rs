//! Where a managed Service is to go from here: what its next step stands on, and which it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use super::super::books::Offered;
use super::lists::Lists;
use super::{Course, Step};
use crate::cluster::addresses;
use crate::cluster::service::{self, Service};
use crate::cluster::transition::carrier::{self, Goal};
use crate::cluster::transition::{self, Age, Allocator, Stage};
use crate::plan::{Computed, Role};
use crate::prefix::Interval;
use crate::time::Instant;

/// What a decision about a managed Service stands on.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) facts: &'a Service,
    pub(super) computed: &'a Computed,
    pub(super) allocator: Allocator,
    /// Its address in the current generation, if it can have that.
    pub(super) new: Option<Ipv6Addr>,
    /// Whether something is wrong with what is asked of it.
    pub(super) is_error: bool,
}

impl Step<'_> {
    /// Its next step; what to remember of it, and when a pool or the allocator will have made up its mind.
    pub(super) fn goal(
        &self,
        ground: &Ground<'_>,
        lists: &Lists<'_>,
        owned: &addresses::Owned,
        pins: &[Ipv6Addr],
    ) -> (Goal, Course, Option<Instant>) {
        let (Ground { facts, computed, allocator, new, is_error }, now) = (*ground, self.now);
        let reference = &self.object.reference;
        let holds: Vec<Ipv6Addr> = facts.v6().collect();
        let v4: Vec<Ipv4Addr> = facts.v4().collect();
        let (named, agree) = lists.named(self.around.external_dns);
        let books = self.around.books;
        // Its status is about to change if no pool has what it holds.
        let is_ours = |held: &&Ipv6Addr| transition::age(&computed.generations, **held).is_some();
        let is_stable = holds.iter().filter(is_ours).all(|held| books.is_on_a_pool(*held, reference, allocator));
        let mut course = self.slot.course.clone();
        let unstable_until = course.stray(!is_stable, now);
        let offered = new.filter(|_| unstable_until.is_none());
        let offered = offered.map(|new| books.offered(new, (reference, &v4), allocator, now));
        let offered = offered.unwrap_or(Offered::No);
        course.has_address = new.is_some_and(|new| holds.contains(&new));
        let user_asks = new.is_some_and(|new| owned.users.contains(&IpAddr::V6(new)));
        let asks = new.filter(|new| pins.contains(new) || user_asks);
        course.has_v4(&v4);
        course.shows_life(allocator, facts);
        let silence = course.silence_ends(allocator, asks, facts, offered);
        let says_no = |new: &Ipv6Addr| !holds.contains(new) && facts.refusal(IpAddr::V6(*new)).is_some();
        if asks.as_ref().is_some_and(says_no) || silence.is_some_and(|at| at <= now) {
            let is_of_all = allocator == Allocator::MetalLb;
            let beside = owned.ours.iter().filter(|_| is_of_all).filter_map(|address| v4_of(*address));
            course.refuse(new, beside.collect());
        }
        let is_taken = course.is_taken(new, self.neighbours.holder.is_some(), allocator, now);
        let refused = is_taken || course.is_refused(new);
        let carrier = carrier::Carrier {
            allocator,
            mode: self.carrier.want.mode,
            new,
            pins,
            kept_from_it: &self.neighbours.kept_from_it,
            user_asks,
            holds: &holds,
            targets: self.names().then_some(&named[..]),
            offered: offered == Offered::Yes,
            refused,
            narrowed: self.neighbours.narrowed,
            dns_since: course.named.filter(|(named, _)| agree && Some(*named) == new).map(|(_, since)| since),
        };
        let age = |address| {
            let age = transition::age(&computed.generations, address);
            age.or_else(|| self.drains(address, pins, computed).then_some(Age { role: Role::Draining, dead: false }))
        };
        let can_serve = |pin: &Ipv6Addr| holds.contains(pin) || books.is_on_a_pool(*pin, reference, allocator);
        let goal = hold_for_v4(carrier::goal(&carrier, age, now), facts, allocator, pins);
        let goal = if is_error { goal.only(can_serve) } else { goal };
        let (goal, is_lost) = self.let_go(goal);
        course.risk(&goal.pins, new, facts);
        course.named = new.filter(|_| agree).zip(goal.dns_since);
        course.at(goal.stage, new, now);
        let silence = course.silence_ends(allocator, asks, facts, offered);
        course.hold(goal.waits_for_narrowing, now);
        let soon = if let Offered::From(at) = offered { Some(at) } else { None };
        let is_left = goal.stage == Stage::Refused || is_error || is_lost;
        course.leave(is_left && pins.is_empty(), now);
        let wakes = [soon, silence, course.free_at(), course.known_at(), unstable_until];
        (goal, course, wakes.into_iter().flatten().filter(|at| *at > now).min())
    }

    /// The same without what is about to leave the last pool that has it, and whether there was such a thing.
    fn let_go(&self, goal: Goal) -> (Goal, bool) {
        let leaves = |address: &Ipv6Addr| self.around.leaving.has(*address);
        if !goal.pins.iter().chain(&goal.target).any(leaves) {
            return (goal, false);
        }
        let target = goal.target.filter(|target| !leaves(target));
        (Goal { target, ..goal }.only(|pin| !leaves(pin)), true)
    }

    /// Whether a recorded address of no known generation has to stay for a while.
    fn drains(&self, address: Ipv6Addr, pins: &[Ipv6Addr], computed: &Computed) -> bool {
        let stray = Interval::from(Ipv6Net::from(address));
        let seen = self.slot.memory.as_ref().and_then(|memory| memory.strays.get(&stray).copied());
        let seen = seen.unwrap_or(self.now);
        pins.contains(&address)
            && computed.drain_period.is_none_or(|period| self.now < seen + period)
            && computed.strays_since.is_none_or(|since| seen >= since)
    }
}

fn v4_of(address: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(address) = address { Some(address) } else { None }
}

/// A dual-stack Service that has nothing yet gets its IPv4 address first: a list without one takes it away for good.
fn hold_for_v4(goal: Goal, facts: &Service, allocator: Allocator, pins: &[Ipv6Addr]) -> Goal {
    let lacks_v4 = facts.families.v4 && facts.v4().next().is_none() && pins.is_empty();
    let has_had_its_turn = match allocator {
        // It gives what it can, and says what it cannot.
        Allocator::Cilium => facts.v6().next().is_some() || facts.request != service::Request::Unknown,
        // It gives both or nothing, but for PreferDualStack what it can.
        Allocator::MetalLb => facts.v6().next().is_some(),
    };
    if lacks_v4 && !has_had_its_turn { Goal { pins: Vec::new(), ..goal } } else { goal }
}
