//! What is to be done about one Service: who manages it, which address it should have, and its next step there.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::books::{Footing, distinct};
use super::decide::{Surroundings, forbidden_to_us, not_served};
use super::memory::Memory;
use super::slot::{Level, Slot, Status};
use super::verdict::Verdict;
use crate::cluster::object::{MANAGED_BY, Object};
use crate::cluster::service::{self, Service};
use crate::cluster::transition::{Allocator, Stage};
use crate::cluster::{Wanted, addresses};
use crate::config::{Mode, ObjectRef, Part};
use crate::plan::service::{Bound, Claim};
use crate::plan::{self, Computed, EntryError, Finding, Role, ServiceWant};
use crate::prefix::Interval;
use crate::time::Instant;

mod aim;
mod course;
mod lists;
mod neighbours;
mod tell;

pub(super) use course::Course;
pub(super) use neighbours::{GivesWay, Holder, Neighbours, PoolSight, allocator, neighbours};

use aim::Ground;
use lists::{Lists, Plan};

/// A Service that somebody wants us to manage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Carrier {
    pub(super) want: ServiceWant,
    /// Its host part, once known.
    pub(super) host: Option<Ipv6Addr>,
    pub(super) right: Right,
    /// Its address in the current generation.
    new: Option<Result<Ipv6Addr, EntryError>>,
}

/// What its host part rests on, when another Service has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    /// On an address that the allocator gave it. It is not written down yet, so any other will do as well.
    Found,
    /// It is written down, so that it stays. But nobody has asked for it: a Service that has its address keeps that.
    Kept,
    /// The user has asked for it.
    Given,
}

impl Carrier {
    /// Gives it another host part.
    pub(super) fn place(&mut self, wanted: &Wanted, host: Option<Ipv6Addr>) {
        self.new = host.and_then(|host| self.want.current_address(&wanted.catalogue, host));
        self.host = host;
    }

    /// Sends it to another address for a while; it keeps its host part.
    pub(super) fn send(&mut self, to: Ipv6Addr) {
        self.new = Some(Ok(to));
    }

    /// Its address in the current generation, if it has one.
    pub(super) fn address(&self) -> Option<Ipv6Addr> {
        let new = self.new.as_ref()?.as_ref().ok().copied();
        new.filter(|_| !self.want.is_blocked())
    }

    /// What is wrong with what is asked of it, so that it cannot have an address in the current generation.
    fn error(&self) -> Option<Status> {
        let finding = self.want.findings.iter().find(|finding| finding.blocks_write).cloned();
        let error = self.new.as_ref().and_then(|new| new.as_ref().err());
        let of_entry = || error.map(|error| Status::new(Level::Bad, "EntryError", error.message.clone()));
        finding.map(bad).or_else(of_entry)
    }
}

/// What follows for a managed Service.
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) footing: Footing,
    pub(super) course: Course,
}

/// Who manages a Service, and where it is to go.
pub(super) fn appraise(
    wanted: &Wanted,
    reference: &ObjectRef,
    slot: &Slot,
    discovery: bool,
    bound: &[Bound],
) -> Option<Carrier> {
    if slot.object.as_ref().is_some_and(|object| !object.is_in_scope()) {
        return None;
    }
    let none = Default::default();
    let annotations = slot.object.as_ref().map_or(&none, |object| &object.annotations);
    let facts = slot.object.as_ref().and_then(|object| object.service.as_deref());
    let holds: Vec<_> = facts.into_iter().flat_map(Service::v6).collect();
    let catalogue = &wanted.catalogue;
    let of_all = || {
        let asked = annotations.get(service::MANAGED_IPS).map(|text| addresses::read_record(text)).unwrap_or_default();
        let asked = asked.into_iter().filter_map(v6);
        let addresses: Vec<_> = holds.iter().copied().chain(asked).collect();
        plan::service_of_all(reference, annotations, &addresses, bound, discovery, catalogue)
    };
    let want = plan::service(reference, annotations, &wanted.services, discovery, catalogue).or_else(of_all)?;
    let recorded = slot.object.as_ref().and_then(|object| recorded(object, slot));
    let host = want.host_part(catalogue, recorded, &holds);
    let right = match (want.suffix, recorded) {
        (None, None) => Right::Found,
        (None, Some(_)) => Right::Kept,
        (Some(_), _) => Right::Given,
    };
    let mut carrier = Carrier { want, host: None, right, new: None };
    carrier.place(wanted, host);
    Some(carrier)
}

/// The host part that it keeps.
fn recorded(object: &Object, slot: &Slot) -> Option<Ipv6Addr> {
    let remembered = || slot.memory.as_ref().and_then(|memory| memory.host);
    service::recorded_suffix(&object.annotations).or_else(remembered)
}

/// Decides about a managed Service that exists.
pub(super) fn decide(
    around: &Surroundings<'_>,
    object: &Object,
    slot: &Slot,
    carrier: &Carrier,
    neighbours: &Neighbours,
    now: Instant,
) -> Outcome {
    let step = Step { around, object, slot, carrier, neighbours, now };
    match step.obstacle() {
        Err(status) if status.reason == service::NO_IPV6 && step.is_written() => step.give_up_v6(status),
        Err(status) => step.stay(carrier.error().unwrap_or(status)),
        Ok((facts, computed, allocator)) => step.take(facts, computed, allocator),
    }
}

/// A Service that nobody wants us to manage any more: takes away what is ours.
pub(super) fn release(around: &Surroundings<'_>, object: &Object, memory: &Memory, now: Instant) -> Verdict {
    if object.annotations.get(MANAGED_BY).is_some_and(|id| *id != around.wanted.daemon_id) {
        return Verdict::Released;
    }
    if let Some(status) = not_served(around, object.reference.kind).or_else(|| forbidden_to_us(around, object)) {
        return Verdict::Stay(status);
    }
    if let Some(finding) = service::too_long(&object.reference, &object.annotations) {
        return Verdict::Stay(bad(finding));
    }
    let lists = Lists { object, memory: Some(memory), known: &[], id: &around.wanted.daemon_id };
    let draft = lists.draft(&Plan::release(around.external_dns), now);
    if draft.content.is_none() {
        return Verdict::Released;
    }
    let status = Status { foreign: draft.foreign.clone(), ..Status::new(Level::Passing, "Releasing", None) };
    Verdict::Write(draft.into_patch(None), status)
}

/// One look at a managed Service.
struct Step<'a> {
    around: &'a Surroundings<'a>,
    object: &'a Object,
    slot: &'a Slot,
    carrier: &'a Carrier,
    neighbours: &'a Neighbours,
    now: Instant,
}

impl<'a> Step<'a> {
    /// What a decision needs, or why the Service must be left as it is.
    fn obstacle(&self) -> Result<(&'a Service, &'a Computed, Allocator), Status> {
        let (around, object, want) = (self.around, self.object, &self.carrier.want);
        let blocked = not_served(around, object.reference.kind).or_else(|| forbidden_to_us(around, object));
        if let Some(status) = blocked {
            return Err(status);
        }
        let computed = around.wanted.catalogue.dynamic_prefixes.get(&want.dynamic_prefix);
        let Some(computed) = computed.filter(|_| want.has_opinion) else {
            return Err(Status::new(Level::Passing, "NoOpinion", "No prefix has been heard of yet.".to_owned()));
        };
        if let Some(finding) = service::too_long(&object.reference, &object.annotations) {
            return Err(bad(finding));
        }
        let Some(facts) = object.service.as_deref() else {
            return Err(Status::new(Level::Passing, "Waiting", None));
        };
        let allocator = self.neighbours.allocator.as_ref();
        let allocator = *allocator.map_err(|why| bad(why.finding(&object.reference)))?;
        let finding = service::obstacle(&object.reference, facts, allocator);
        finding.map_or(Ok((facts, computed, allocator)), |finding| Err(bad(finding)))
    }

    /// Why it cannot have an address in the current generation.
    fn error(&self, allocator: Allocator, owned: &addresses::Owned) -> Option<Status> {
        let (reference, new) = (&self.object.reference, self.carrier.address());
        let finding = || self.collision().or_else(|| service::pinned_by_user(reference, allocator, owned, new));
        self.carrier.error().or_else(|| finding().map(bad))
    }

    /// Whether something of ours is on it, as far as is known.
    fn is_written(&self) -> bool {
        let has = |record| self.object.annotations.contains_key(record);
        self.slot.memory.is_some() || has(service::MANAGED_IPS) || has(service::MANAGED_TARGETS)
    }

    /// Another Service is to have the same address.
    fn collision(&self) -> Option<Finding> {
        let address = self.carrier.address()?;
        let own = &self.object.reference;
        let claim = |service: &ObjectRef| Claim { service: service.clone(), address, sharing_key: None };
        let claims: Vec<_> = [own].into_iter().chain(&self.neighbours.rivals).map(claim).collect();
        plan::collisions(&claims).remove(own)
    }

    fn known(&self) -> Vec<(Role, Interval)> {
        let computed = self.around.wanted.catalogue.dynamic_prefixes.get(&self.carrier.want.dynamic_prefix);
        known(computed, &self.carrier.want.part)
    }

    fn lists<'b>(&'b self, known: &'b [(Role, Interval)]) -> Lists<'b> {
        let (object, id) = (self.object, &self.around.wanted.daemon_id);
        Lists { object, memory: self.slot.memory.as_ref(), known, id }
    }

    /// It is left as it is.
    fn stay(&self, status: Status) -> Outcome {
        let known = self.known();
        let lists = self.lists(&known);
        let allocator = self.neighbours.allocator.as_ref().ok().copied();
        let is_read = service::too_long(&self.object.reference, &self.object.annotations).is_none();
        let owned = allocator.filter(|_| is_read).map(|allocator| lists.pins(allocator)).unwrap_or_default();
        let text = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect();
        let status = Status { desired: text(&owned.ours), foreign: text(&owned.users), ..status };
        let pins = owned.ours.into_iter().filter_map(v6).collect();
        let (new, right) = (self.carrier.address(), self.carrier.right);
        let stage = Stage::AwaitingPin;
        let footing = Footing { allocator, new, right, stage, given_up: true, is_stuck: true, pins };
        Outcome { verdict: Verdict::Stay(status), footing, course: Course::default() }
    }

    /// It has no IPv6 any more: what nobody serves is neither asked for nor named. Its host part stays written down.
    fn give_up_v6(&self, status: Status) -> Outcome {
        let Outcome { verdict, footing, course } = self.stay(status);
        let (Verdict::Stay(status), Some(allocator), Some(facts)) =
            (&verdict, footing.allocator, self.object.service.as_deref())
        else {
            return Outcome { verdict, footing, course };
        };
        let known = self.known();
        let lists = self.lists(&known);
        let owned = lists.pins(allocator);
        let plan = Plan {
            allocator: Some(allocator),
            pins: service::requested_without_v6(facts, &owned),
            drain_period: Some(Duration::ZERO),
            strays_since: None,
            prefixes: self.around.prefixes,
            external_dns: self.around.external_dns,
            targets: self.names().then(|| service::named_without_v6(facts, &owned)),
            host: recorded(self.object, self.slot),
        };
        let draft = lists.draft(&plan, self.now);
        let of_lists = Status { desired: draft.desired.clone(), foreign: draft.foreign.clone(), ..status.clone() };
        let memory = draft.memory(self.object);
        let verdict = match draft.content {
            Some(_) => Verdict::Write(draft.into_patch(Some(memory)), of_lists),
            None => Verdict::InSync(of_lists, memory, None),
        };
        Outcome { verdict, footing, course }
    }

    /// Its next step. One in error gets nothing new, and gives up what nobody can serve any more.
    fn take(&self, facts: &Service, computed: &Computed, allocator: Allocator) -> Outcome {
        let (known, new, now) = (self.known(), self.carrier.address(), self.now);
        let lists = self.lists(&known);
        let owned = lists.pins(allocator);
        let error = self.error(allocator, &owned);
        if let Some(error) = error.as_ref().filter(|_| !self.is_written()) {
            return self.stay(error.clone());
        }
        let pins: Vec<Ipv6Addr> = owned.ours.iter().copied().filter_map(v6).collect();
        let ground =
            Ground { facts, computed, allocator, new: new.filter(|_| error.is_none()), is_error: error.is_some() };
        let (goal, course, soon) = self.goal(&ground, &lists, &owned, &pins);
        // Until its allocator knows that it is left to it, it stands on what it holds.
        let stands_on = if course.known_at().is_some_and(|at| now < at) { facts.v6().collect() } else { pins };
        let stands_on = distinct(stands_on.into_iter().chain(self.slot.pins_under_way()));
        let (stage, right) = (goal.stage, self.carrier.right);
        let reference = &self.object.reference;
        let refusing = new.and_then(|new| self.around.books.refusing(new, reference, allocator));
        let is_stuck = error.is_some() || self.is_stuck(stage, &course, refusing.is_some());
        let given_up = false;
        let footing = Footing { allocator: Some(allocator), new, right, stage, given_up, is_stuck, pins: stands_on };
        let is_one_address = allocator == Allocator::MetalLb || self.carrier.want.mode == Mode::Simple;
        let plan = Plan {
            allocator: Some(allocator),
            pins: service::requested(facts, &owned, &goal.pins),
            drain_period: if is_one_address { Some(Duration::ZERO) } else { computed.drain_period },
            strays_since: computed.strays_since,
            prefixes: self.around.prefixes,
            external_dns: self.around.external_dns,
            targets: self
                .names()
                .then(|| goal.target.map_or_else(Vec::new, |target| service::named(facts, &owned, target))),
            host: if error.is_some() { recorded(self.object, self.slot) } else { self.carrier.host },
        };
        let draft = lists.draft(&plan, now);
        let of_lists = |status| Status { desired: draft.desired.clone(), foreign: draft.foreign.clone(), ..status };
        let memory = draft.memory(self.object);
        if draft.content.is_some() {
            let status = of_lists(Status::new(Level::Passing, "Pending", None));
            return Outcome { verdict: Verdict::Write(draft.into_patch(Some(memory)), status), footing, course };
        }
        let holder = self.neighbours.holder.as_ref();
        let sight = tell::Sight { reference, facts, allocator, new, holder, is_stuck, refusing };
        let stage = || tell::stage(&sight, self.slot, &self.carrier.want, goal.stage, course.hangs(now), now);
        let told = error.unwrap_or_else(stage);
        let wakes = [goal.wake, soon, draft.next_stray, course.patience_ends().filter(|at| *at > now)];
        let wake = wakes.into_iter().flatten().min();
        Outcome { verdict: Verdict::InSync(of_lists(told), memory, wake), footing, course }
    }

    /// Whether nothing is under way at this step that would give it its address. `is_not_served`: no pool that has it is
    /// for this Service.
    fn is_stuck(&self, stage: Stage, course: &Course, is_not_served: bool) -> bool {
        match (stage, &self.neighbours.holder) {
            (Stage::Refused, Some(holder)) => self.slot.cornered || !holder.leaves,
            (Stage::Refused, None) => course.is_refused(self.carrier.address()) && !course.is_just_left(self.now),
            (Stage::AwaitingPool, _) => is_not_served,
            _ => false,
        }
    }

    /// Whether DNS is ours to say.
    fn names(&self) -> bool {
        self.carrier.want.dns && !self.around.external_dns.is_empty()
    }
}

fn bad(finding: Finding) -> Status {
    Status::new(Level::Bad, finding.reason, finding.message)
}

/// What the Service refers to in every known generation.
fn known(computed: Option<&Computed>, part: &Part) -> Vec<(Role, Interval)> {
    let generations = computed.into_iter().flat_map(|computed| &computed.generations);
    let intervals = |generation: &plan::ComputedGeneration| match part {
        Part::Whole => vec![Interval::from(generation.prefix)],
        Part::Named(names) => {
            let blocks = names.iter().filter_map(|name| generation.part(name).ok()).flatten();
            blocks.map(plan::Block::interval).collect()
        }
    };
    generations
        .flat_map(|generation| intervals(generation).into_iter().map(|interval| (generation.role, interval)))
        .collect()
}

pub(super) fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    }
}
