//! Our side: what an island does with the goals and [`share::pool`], as thin as it can be: look, decide, one write per object.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use super::super::carrier::Goal;
use super::super::share::{self, Around, Customer, Part};
use super::super::{Allocator, LEFT_ALONE, NOTHING_HELD, Stage};
use super::judge::{collides, decide, notes, offered, place, released, same};
use super::world::{Content, Event, Id, Line, Pool, Reason, Service, World, v6};
use crate::config::Mode;
use crate::plan::Block;
use crate::prefix::Interval;
use crate::time::Instant;

/// What was refused: the address, the pools and the label of the Service at that time.
type Refusal = (Ipv6Addr, Vec<(Option<u8>, u64)>, u8);

/// What we know; a crash loses all of it but what is the cluster's.
#[derive(Default)]
pub(super) struct Ours {
    /// Which life it is.
    pub(super) life: u64,
    pub(super) down_until: u64,
    /// No right to list Services.
    pub(super) may_not_list: bool,
    pub(super) forbidden: BTreeSet<usize>,
    pub(super) stages: BTreeMap<usize, Stage>,
    is_alive: bool,
    pub(super) pools: BTreeMap<usize, Pool>,
    pub(super) services: BTreeMap<usize, Service>,
    pools_listed: bool,
    services_listed: bool,
    /// The pools that are as they are to be when they were decided about last, with nothing held back.
    pub(super) calm: BTreeSet<usize>,
    /// Writes under way, with the addresses that they ask for.
    pub(super) flights: BTreeMap<Id, Vec<Ipv6Addr>>,
    taken: BTreeMap<usize, (Ipv6Addr, u64)>,
    pub(super) dns_since: BTreeMap<usize, (Ipv6Addr, Instant)>,
    refused: BTreeMap<usize, Refusal>,
    nothing_since: BTreeMap<usize, u64>,
    left_since: BTreeMap<usize, u64>,
    wakes: BTreeSet<u64>,
}

impl World {
    /// The daemon dies, and is started again after a while.
    pub(super) fn crash(&mut self, pause: u64) {
        let life = self.ours.life + 1;
        self.ours =
            Ours { life, down_until: self.ours.down_until, may_not_list: self.ours.may_not_list, ..Ours::default() };
        for pools in [true, false] {
            let at = self.now + pause + self.delay();
            self.push(at, Event::Listed(life, pools));
        }
    }

    pub(super) fn list_for_us(&mut self, life: u64, pools: bool) {
        if life != self.ours.life {
            return;
        }
        if self.now < self.ours.down_until {
            let at = self.ours.down_until + self.delay();
            return self.push(at, Event::Listed(life, pools));
        }
        self.ours.is_alive = true;
        if pools {
            self.ours.pools_listed = true;
            self.ours.pools = self.pools.clone();
        } else {
            self.ours.services_listed = true;
            if !self.ours.may_not_list {
                self.ours.services = self.services.clone();
            }
        }
        self.step();
    }

    pub(super) fn tell_us(&mut self, life: u64, id: Id) {
        if life != self.ours.life {
            return;
        }
        if self.now < self.ours.down_until {
            let at = self.ours.down_until + self.delay();
            return self.push(at, Event::Ours(life, id));
        }
        self.see(id);
        self.step();
    }

    fn see(&mut self, id: Id) {
        match id {
            Id::Pool(number) if self.ours.pools_listed => match self.pools.get(&number) {
                Some(pool) => drop(self.ours.pools.insert(number, pool.clone())),
                None => drop(self.ours.pools.remove(&number)),
            },
            Id::Service(number) if self.ours.services_listed && !self.ours.may_not_list => {
                match self.services.get(&number) {
                    Some(service) => drop(self.ours.services.insert(number, service.clone())),
                    None => drop(self.ours.services.remove(&number)),
                }
            }
            Id::Pool(_) | Id::Service(_) => {}
        }
    }

    /// The answer to a write; one that failed is tried again after a pause.
    pub(super) fn answer(&mut self, life: u64, id: Id) {
        if life != self.ours.life {
            return;
        }
        if self.now < self.ours.down_until {
            return self.push(self.ours.down_until + 1, Event::Answer(life, id));
        }
        self.ours.flights.remove(&id);
        self.see(id);
        self.step();
    }

    /// Decides about everything, and sends what follows in no order.
    pub(super) fn step(&mut self) {
        if !self.ours.pools_listed || !self.ours.services_listed {
            return;
        }
        let placed = self.placed();
        // What Services may do follows from what pools are to be, and the other way round.
        let (goals, mut writes) = loop {
            let goals = self.goals(&placed);
            let (writes, calm) = self.pool_writes(&placed, &goals);
            if std::mem::replace(&mut self.ours.calm, calm.clone()) == calm {
                break (goals, writes);
            }
        };
        writes.extend(self.service_writes(&placed, &goals));
        for (id, base, content) in writes {
            if let Entry::Vacant(flight) = self.ours.flights.entry(id) {
                flight.insert(match &content {
                    Content::Service(notes) => v6(&notes.managed_ips),
                    Content::Pool { .. } => Vec::new(),
                });
                let at = self.now + self.delay();
                self.push(at, Event::Land(self.ours.life, id, base, content));
            }
        }
    }

    fn goals(&mut self, placed: &BTreeMap<usize, (usize, Option<Ipv6Addr>)>) -> BTreeMap<usize, Goal> {
        let now = self.instant();
        let mut goals = BTreeMap::new();
        for (number, (line, new)) in placed {
            let refused = new.is_some_and(|new| self.is_refused(*number, new));
            let service = &self.ours.services[number];
            let done = decide(self, *number, service, &self.lines[*line], *new, refused, now);
            if let (Some(since), Some(new)) = (done.dns_since, new) {
                self.ours.dns_since.insert(*number, (*new, since));
            } else {
                self.ours.dns_since.remove(number);
            }
            self.wake_at(done.wake);
            goals.insert(*number, done);
        }
        self.note_who_is_left_alone(&goals);
        self.ours.stages = goals.iter().map(|(number, goal)| (*number, goal.stage)).collect();
        goals
    }

    fn note_who_is_left_alone(&mut self, goals: &BTreeMap<usize, Goal>) {
        let services = &self.ours.services;
        let is_left =
            |number: &usize| services[number].notes.managed_ips.is_empty() && goals[number].stage == Stage::Refused;
        let left: Vec<_> = goals.keys().filter(|number| is_left(number)).copied().collect();
        self.ours.left_since.retain(|number, _| left.contains(number));
        for number in left {
            if let Entry::Vacant(new) = self.ours.left_since.entry(number) {
                new.insert(self.now);
                self.wake_at(Some(self.instant() + LEFT_ALONE));
            }
        }
    }

    fn wake_at(&mut self, wake: Option<Instant>) {
        let Some(wake) = wake else { return };
        let at = u64::try_from(wake.as_nanos()).expect("later") / 1_000_000;
        if self.ours.wakes.insert(at) {
            self.push(at.max(self.now), Event::Wake(self.ours.life));
        }
    }

    /// The managed Services, with their DynamicPrefix and their new address.
    fn placed(&self) -> BTreeMap<usize, (usize, Option<Ipv6Addr>)> {
        let place = |(number, service): (&usize, &Service)| {
            let line = service.line?;
            let is_managed = self.lines[line].mode == Mode::Ha || service.suffix.is_some();
            let place = (line, place(service, &self.lines[line]));
            is_managed.then_some((*number, place))
        };
        self.ours.services.iter().filter_map(place).collect()
    }

    /// Whether the allocator has said no; it counts until the pools or the Service change.
    fn is_refused(&mut self, number: usize, new: Ipv6Addr) -> bool {
        let now = self.now;
        let service = &self.ours.services[&number];
        let is_cilium = service.allocator == Allocator::Cilium;
        let pools = self.ours.pools.values().map(|pool| (pool.selector, if is_cilium { 0 } else { pool.generation }));
        let print = (new, pools.collect(), service.label);
        let mut others = self.ours.services.iter().filter(|(other, _)| **other != number);
        let is_taken = others.any(|(_, other)| {
            let users = other.line.is_none() && other.notes.ips.contains(&IpAddr::V6(new));
            (users || other.v6().contains(&new)) && !other.shares_with(service)
        });
        let asks = v6(&service.notes.ips).contains(&new);
        let mut is_taken = is_taken;
        if is_taken {
            self.ours.taken.insert(number, (new, now));
        } else if let Some((_, last)) = self.ours.taken.get(&number).filter(|(of, _)| *of == new && !is_cilium) {
            let end = last + u64::try_from(LEFT_ALONE.as_millis()).expect("short");
            is_taken = now < end;
            if is_taken {
                self.wake_at(Some(Instant::BOOT + std::time::Duration::from_millis(end)));
            }
        }
        let service = &self.ours.services[&number];
        let is_taken = is_taken || asks && service.unsatisfied == Some((Reason::AlreadyAllocated, new));
        let mut is_told = asks && service.unsatisfied == Some((Reason::SelectorMismatch, new));
        let offered = offered(self, service, new);
        if !is_cilium && asks && offered && service.status.is_empty() {
            let since = *self.ours.nothing_since.entry(number).or_insert(now);
            let end = since + u64::try_from(NOTHING_HELD.as_millis()).expect("short");
            is_told = end <= now;
            if !is_told {
                self.wake_at(Some(self.instant() + std::time::Duration::from_millis(end - now)));
            }
        } else {
            self.ours.nothing_since.remove(&number);
        }
        if is_told {
            self.ours.refused.insert(number, print.clone());
        }
        is_taken || self.ours.refused.get(&number) == Some(&print)
    }

    fn pool_writes(
        &self,
        placed: &BTreeMap<usize, (usize, Option<Ipv6Addr>)>,
        goals: &BTreeMap<usize, Goal>,
    ) -> (Vec<(Id, u64, Content)>, BTreeSet<usize>) {
        let mut in_use: Vec<_> = self.ours.services.values().flat_map(Service::v6).collect();
        in_use.sort_unstable();
        let (mut writes, mut calm) = (Vec::new(), BTreeSet::new());
        for (number, pool) in &self.ours.pools {
            let customers: Vec<_> = placed
                .iter()
                .filter(|(service, _)| self.ours.services[service].allocator == pool.allocator)
                .map(|(service, (_, new))| Customer {
                    new: *new,
                    stage: goals[service].stage,
                    given_up: self.ours.forbidden.contains(service) || collides(self, placed, *service),
                    pins: self.pins(*service),
                })
                .collect();
            let foreign: Vec<_> = pool.list.iter().filter(|entry| !pool.recorded.contains(entry)).copied().collect();
            let there: Vec<_> = pool.list.iter().filter(|entry| pool.recorded.contains(entry)).copied().collect();
            let around = Around {
                recorded: &there,
                foreign: &foreign,
                customers: &customers,
                in_use: (!self.ours.may_not_list).then_some(&in_use),
                in_conflict: pool.conflict,
                tidy: false,
            };
            let (ours, is_reserved) = self.wanted(pool, &around);
            let recorded: Vec<_> = ours.iter().flat_map(|block| block.without(foreign.iter().copied())).collect();
            let list = [foreign.clone(), recorded.clone()].concat();
            if list != pool.list || recorded != pool.recorded {
                writes.push((Id::Pool(*number), pool.version, Content::Pool { list, recorded }));
            } else if !is_reserved {
                calm.insert(*number);
            }
        }
        (writes, calm)
    }

    fn pins(&self, number: usize) -> Vec<Ipv6Addr> {
        let service = &self.ours.services[&number];
        let patience = u64::try_from(LEFT_ALONE.as_millis()).expect("short");
        let is_fresh = self.ours.left_since.get(&number).is_some_and(|since| self.now < since + patience);
        let seen = if is_fresh { service.v6() } else { v6(&service.notes.managed_ips) };
        let under_way = self.ours.flights.get(&Id::Service(number)).into_iter().flatten();
        seen.iter().chain(under_way).copied().collect()
    }

    fn wanted(&self, pool: &Pool, around: &Around<'_>) -> (Vec<Interval>, bool) {
        let blocks = |line: &Line, letter: char| -> Vec<Block> {
            let bound = pool.bound.iter().filter(|(number, _)| *number == line.number);
            bound.map(|(_, range)| Block::Range(line.range(letter, *range))).collect()
        };
        let of_line = |line: &Line| line.generations.iter().map(|known| blocks(line, known.letter)).collect::<Vec<_>>();
        let blocks: Vec<Vec<Vec<Block>>> = self.lines.iter().map(of_line).collect();
        let mut prefixes = Vec::new();
        for (line, blocks) in self.lines.iter().zip(&blocks) {
            prefixes.push(
                line.generations
                    .iter()
                    .zip(blocks)
                    .map(|(known, blocks)| Part {
                        prefix: line.prefix(known.letter),
                        role: known.role,
                        dead: known.dead,
                        mode: line.mode,
                        blocks,
                    })
                    .collect::<Vec<_>>(),
            );
        }
        let shares = share::pool(&prefixes, around);
        let lists = shares.iter().zip(&prefixes).flat_map(|(shares, parts)| shares.list(parts));
        let is_reserved = shares.iter().any(|shares| shares.reserved);
        (lists.map(|block| block.interval()).collect(), is_reserved)
    }

    fn service_writes(
        &self,
        placed: &BTreeMap<usize, (usize, Option<Ipv6Addr>)>,
        goals: &BTreeMap<usize, Goal>,
    ) -> Vec<(Id, u64, Content)> {
        let mut writes = Vec::new();
        for (number, service) in &self.ours.services {
            let notes = match (placed.get(number), goals.get(number)) {
                (Some(_), _) if collides(self, placed, *number) => continue,
                (Some((line, new)), Some(goal)) => notes(service, goal, *new, &self.lines[*line]),
                _ => released(service),
            };
            let is_same = same(&notes.ips, &service.notes.ips) && same(&notes.target, &service.notes.target);
            if !is_same && !self.ours.forbidden.contains(number) {
                writes.push((Id::Service(*number), service.version, Content::Service(notes)));
            }
        }
        writes
    }
}
