//! Our side: what an island does with [`goal`] and [`share::pool`], as thin as it can be: look, decide, one write per object.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use super::super::carrier::{Carrier, Goal, goal};
use super::super::share::{self, Around, Customer, Part};
use super::super::{Age, Allocator, NOTHING_HELD, Stage};
use super::cilium::has;
use super::world::{Content, Event, Id, Line, Notes, Pool, Reason, Service, World, v6};
use crate::config::Mode;
use crate::plan::Block;
use crate::prefix::Interval;
use crate::time::Instant;

/// What we know; a crash loses all of it but `may_list`, which is the cluster's.
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
    pools: BTreeMap<usize, Pool>,
    services: BTreeMap<usize, Service>,
    pools_listed: bool,
    services_listed: bool,
    flights: BTreeSet<Id>,
    dns_since: BTreeMap<usize, (Ipv6Addr, Instant)>,
    refused: BTreeMap<usize, (Ipv6Addr, Vec<(Option<u8>, u64)>, u8)>,
    nothing_since: BTreeMap<usize, u64>,
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
        let now = self.instant();
        let placed = self.placed();
        let mut goals = BTreeMap::new();
        for (number, (line, new)) in &placed {
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
        self.ours.stages = goals.iter().map(|(number, goal)| (*number, goal.stage)).collect();
        let mut writes = self.pool_writes(&placed, &goals);
        writes.extend(self.service_writes(&placed, &goals));
        for (id, base, content) in writes {
            if self.ours.flights.insert(id) {
                let at = self.now + self.delay();
                self.push(at, Event::Land(self.ours.life, id, base, content));
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
    ) -> Vec<(Id, u64, Content)> {
        let mut in_use: Vec<_> = self.ours.services.values().flat_map(Service::v6).collect();
        in_use.sort_unstable();
        let mut writes = Vec::new();
        for (number, pool) in &self.ours.pools {
            let customers: Vec<_> = placed
                .iter()
                .filter(|(service, _)| self.ours.services[service].allocator == pool.allocator)
                .map(|(service, (_, new))| Customer {
                    new: *new,
                    stage: goals[service].stage,
                    given_up: self.ours.forbidden.contains(service) || collides(self, placed, *service),
                    pins: v6(&self.ours.services[service].notes.managed_ips),
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
            };
            let ours = self.wanted(pool, &around);
            let recorded: Vec<_> = ours.iter().flat_map(|block| block.without(foreign.iter().copied())).collect();
            let list = [foreign.clone(), recorded.clone()].concat();
            if list != pool.list || recorded != pool.recorded {
                writes.push((Id::Pool(*number), pool.version, Content::Pool { list, recorded }));
            }
        }
        writes
    }

    fn wanted(&self, pool: &Pool, around: &Around<'_>) -> Vec<Interval> {
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
                        mode: line.mode,
                        blocks,
                    })
                    .collect::<Vec<_>>(),
            );
        }
        let shares = share::pool(&prefixes, around);
        let lists = shares.iter().zip(&prefixes).flat_map(|(shares, parts)| shares.list(parts));
        lists.map(|block| block.interval()).collect()
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

fn same<T: Ord + Clone>(one: &[T], other: &[T]) -> bool {
    let sorted = |list: &[T]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    };
    sorted(one) == sorted(other)
}

/// Another managed Service is to have the same address, and the two cannot share it.
fn collides(world: &World, placed: &BTreeMap<usize, (usize, Option<Ipv6Addr>)>, number: usize) -> bool {
    let new = placed[&number].1;
    let mut others = placed.iter().filter(|(other, (_, theirs))| **other != number && new.is_some() && *theirs == new);
    others.any(|(other, _)| !world.ours.services[other].shares_with(&world.ours.services[&number]))
}

/// Host part: the suffix, else the recorded one, else that of the address it has in the newest generation.
pub(super) fn place(service: &Service, line: &Line) -> Option<Ipv6Addr> {
    let known = line.generations.iter().flat_map(|known| {
        let prefix = line.prefix(known.letter);
        service
            .v6()
            .into_iter()
            .filter(move |held| prefix.contains(held))
            .map(move |held| held.to_bits() - prefix.network().to_bits())
    });
    if service.v4.is_some() && service.status.is_empty() && service.notes.ips.is_empty() {
        // A list of IPv6 addresses alone would cost it the IPv4 address that it is to get.
        return None;
    }
    let host = service.suffix.or(service.notes.managed_suffix).or_else(|| known.into_iter().next())?;
    Some(line.address(line.current()?, host))
}

/// A pool offers it, and its controller has seen that.
fn offered(world: &World, service: &Service, new: Ipv6Addr) -> bool {
    let pools = world.ours.pools.values().filter(|pool| pool.allocator == service.allocator);
    let mut ready = pools.clone().filter(|pool| pool.observed >= pool.generation && !pool.conflict);
    let is_offered = ready.any(|pool| pool.list.iter().any(|range| has(range, new)));
    let ours = service.v6().into_iter().filter(|held| world.lines.iter().any(|line| line.of(*held).is_some()));
    let mut gone = ours.filter(|held| !pools.clone().any(|pool| pool.list.iter().any(|range| has(range, *held))));
    is_offered && gone.next().is_none()
}

fn decide(
    world: &World,
    number: usize,
    service: &Service,
    line: &Line,
    new: Option<Ipv6Addr>,
    refused: bool,
    now: Instant,
) -> Goal {
    let (ips, managed) = (&service.notes.ips, &service.notes.managed_ips);
    let pins: Vec<_> = ips.iter().filter(|ip| managed.contains(ip)).copied().collect();
    let named: Vec<IpAddr> = service
        .notes
        .target
        .iter()
        .filter(|name| service.notes.managed_targets.contains(name))
        .filter_map(|name| name.parse().ok())
        .collect();
    let named = v6(&named);
    let dns_is_ours = line.mode == Mode::Ha && !service.skip_dns;
    let carrier = Carrier {
        allocator: service.allocator,
        mode: line.mode,
        new,
        pins: &v6(&pins),
        user_asks: new.is_some_and(|new| ips.contains(&IpAddr::V6(new)) && !managed.contains(&IpAddr::V6(new))),
        holds: &service.v6(),
        targets: dns_is_ours.then_some(&named),
        offered: new.is_some_and(|new| offered(world, service, new)),
        refused,
        dns_since: world.ours.dns_since.get(&number).filter(|(of, _)| Some(*of) == new).map(|(_, since)| *since),
    };
    let age = |address: Ipv6Addr| line.of(address).map(|known| Age { role: known.role, dead: known.dead });
    let goal = goal(&carrier, age, now);
    assert!(goal.wake.is_none_or(|wake| wake > now), "a wake in the past would be a tight loop: {goal:?}");
    goal
}

fn released(service: &Service) -> Notes {
    let notes = &service.notes;
    Notes {
        ips: notes.ips.iter().filter(|ip| !notes.managed_ips.contains(ip)).copied().collect(),
        target: notes.target.iter().filter(|name| !notes.managed_targets.contains(name)).cloned().collect(),
        ..Notes::default()
    }
}

/// The annotations that follow from a goal: the user's, then IPv4, then ours.
fn notes(service: &Service, goal: &Goal, new: Option<Ipv6Addr>, line: &Line) -> Notes {
    let users = released(service);
    // One that is lost for a moment is asked for on.
    let known = if service.status.is_empty() { &service.notes.managed_ips } else { &service.status };
    let v4 = || known.iter().filter(|address| address.is_ipv4()).copied();
    let mut notes = Notes { managed_suffix: service.notes.managed_suffix, ..users.clone() };
    if !goal.pins.is_empty() {
        let mut ours: Vec<_> = v4().chain(goal.pins.iter().copied().map(IpAddr::V6)).collect();
        ours.retain(|ip| !users.ips.contains(ip));
        notes.ips.extend(&ours);
        notes.managed_ips = ours;
    }
    if let Some(target) = goal.target {
        let ours: Vec<_> = v4().chain([IpAddr::V6(target)]).map(|address| address.to_string()).collect();
        let ours: Vec<_> = ours.into_iter().filter(|name| !users.target.contains(name)).collect();
        notes.target.extend(ours.iter().cloned());
        notes.managed_targets = ours;
    }
    if let (None, Some(new), Some(letter)) = (notes.managed_suffix, new, line.current()) {
        notes.managed_suffix = Some(new.to_bits() - line.prefix(letter).network().to_bits());
    }
    notes
}
