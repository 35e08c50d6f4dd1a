//! What must hold after every event, and what must have come of it in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use super::super::{AFTER_DNS, Allocator, Stage};
use super::judge::place;
use super::world::{Generation, Id, Line, Service, World, v6};
use crate::config::Mode;
use crate::plan::Role;
use crate::prefix::Interval;

/// What is kept to compare with.
#[derive(Default)]
pub(super) struct Books {
    pub(super) journal: Vec<String>,
    /// Writes of ours since the last rotation.
    pub(super) writes: BTreeMap<Id, u32>,
    /// The user's entries.
    pub(super) users_ranges: BTreeMap<usize, Vec<Interval>>,
    pub(super) users_ips: BTreeMap<usize, Vec<IpAddr>>,
    pub(super) users_targets: BTreeMap<usize, Vec<String>>,
    /// Services whose addresses somebody else has taken away.
    pub(super) excused: BTreeSet<usize>,
    /// The longest time in which DNS named an address of a MetalLB Service that it did not have.
    pub(super) longest_gap: u64,
    before: BTreeMap<usize, Service>,
    /// When DNS was last told to name an address.
    named: BTreeMap<(usize, Ipv6Addr), u64>,
    moves: BTreeMap<usize, u32>,
    gaps: BTreeMap<usize, u64>,
    /// The managed Services that were at rest when the prefix changed: their addresses are not to be given to others.
    established: BTreeSet<usize>,
}

impl Books {
    pub(super) fn note(&mut self, now: u64, text: String) {
        self.journal.push(format!("{now} {text}"));
    }

    pub(super) fn wrote(&mut self, now: u64, id: Id, text: String) {
        *self.writes.entry(id).or_default() += 1;
        self.note(now, text);
    }
}

impl World {
    /// The prefix of a DynamicPrefix changes; without `to`, it is lost.
    pub(super) fn rotate(&mut self, number: usize, to: Option<char>, old_is_dead: bool) {
        let now = self.now;
        self.books.note(now, format!("{number} -> {to:?} dead {old_is_dead}"));
        let served = self.ours.stages.iter().filter(|(_, stage)| **stage == Stage::Served);
        self.books.established = served.map(|(number, _)| *number).collect();
        self.books.moves.clear();
        self.books.writes.clear();
        let line = &mut self.lines[number];
        line.generations.retain(|known| Some(known.letter) != to);
        for known in line.generations.iter_mut().filter(|known| known.role == Role::Current) {
            let role = if old_is_dead { Role::Known } else { Role::Draining };
            *known = Generation { role, dead: old_is_dead, since: now, ..*known };
        }
        if let Some(letter) = to {
            line.generations.insert(0, Generation { letter, role: Role::Current, dead: false, since: now });
        }
        let drain = line.drain;
        line.age();
        if let Some(drain) = drain {
            self.at(now + drain, move |world| {
                for known in &mut world.lines[number].generations {
                    if known.role == Role::Draining && known.since + drain <= world.now {
                        known.role = Role::Known;
                    }
                }
            });
        }
    }

    pub(super) fn check(&mut self) {
        let before = std::mem::take(&mut self.books.before);
        for (number, service) in &self.services {
            if let Some(before) = before.get(number) {
                self.check_losses(*number, before, service);
            }
            self.check_users(*number, service);
        }
        for (number, entries) in &self.books.users_ranges {
            let list = &self.pools[number].list;
            assert!(entries.iter().all(|entry| list.contains(entry)), "a user's range is gone: {}", self.story());
        }
        let named: Vec<_> = self
            .services
            .iter()
            .flat_map(|(number, service)| targets(service).into_iter().map(|named| (*number, named)))
            .collect();
        self.check_dns(&named);
        self.check_moves(&before);
        self.books.named.extend(named.into_iter().map(|pair| (pair, self.now)));
        self.books.before = self.services.clone();
    }

    fn is_managed(&self, service: &Service) -> Option<&Line> {
        let line = &self.lines[service.line?];
        (line.mode == Mode::Ha || service.suffix.is_some()).then_some(line)
    }

    fn check_losses(&self, number: usize, before: &Service, after: &Service) {
        if self.books.excused.contains(&number) {
            return;
        }
        let is_over = |held: &Ipv6Addr| {
            let known = self.lines[0].of(*held);
            known.is_none_or(|known| known.role == Role::Known && known.dead)
        };
        if after.forbidden && before.v6().iter().all(is_over) {
            // It cannot be told to ask for something else.
            return;
        }
        let is_empty = !before.v6().is_empty() && after.v6().is_empty();
        assert!(!is_empty, "{number} has no address any more: {}", self.story());
        let v4 = |service: &Service| service.status.iter().any(IpAddr::is_ipv4);
        assert!(!v4(before) || v4(after), "{number} has lost its IPv4 address: {}", self.story());
        let Some(line) = self.is_managed(after) else { return };
        if after.allocator == Allocator::MetalLb || line.mode == Mode::Simple {
            return;
        }
        for lost in before.v6().into_iter().filter(|held| !after.v6().contains(held)) {
            let may_go = self.may_go(number, line, after, lost);
            assert!(may_go, "{number} has lost {lost} too early: {}", self.story());
        }
    }

    /// A prefix has become current again when the end of an address in it was on its way already.
    fn is_back(&self, lost: Ipv6Addr) -> bool {
        let known = self.lines.iter().find_map(|line| line.of(lost));
        known.is_some_and(|known| known.role == Role::Current && self.now < known.since + 5000)
    }

    /// Whether nobody can miss an address of a managed Service.
    fn may_go(&self, number: usize, line: &Line, service: &Service, lost: Ipv6Addr) -> bool {
        let Some(known) = line.of(lost) else { return true };
        // The range was narrowed by somebody who had not heard of it yet.
        let is_unheard_of = service.notes.managed_suffix.is_none()
            && !self.ours.services.get(&number).is_some_and(|seen| seen.v6().contains(&lost));
        if is_unheard_of {
            return true;
        }
        let is_over = match known.role {
            Role::Current if self.is_back(lost) => return true,
            Role::Current => place(service, line) != Some(lost),
            Role::Draining => false,
            Role::Known => true,
        };
        let after = u64::try_from(AFTER_DNS.as_millis()).expect("short");
        let forgotten = self.books.named.get(&(number, lost)).is_none_or(|last| last + after <= self.now);
        let is_left_to_the_allocator = service.notes.managed_ips.is_empty();
        let is_stuck = is_left_to_the_allocator || self.ours.forbidden.contains(&number);
        is_over && (known.dead || forgotten || is_stuck || service.skip_dns || line.current().is_none())
    }

    fn check_users(&self, number: usize, service: &Service) {
        let ips = self.books.users_ips.get(&number).into_iter().flatten();
        let targets = self.books.users_targets.get(&number).into_iter().flatten();
        let all_there = ips.clone().all(|ip| service.notes.ips.contains(ip))
            && targets.clone().all(|name| service.notes.target.contains(name));
        assert!(all_there, "something of the user is gone from {number}: {}", self.story());
        let v4 = service.status.iter().find(|address| address.is_ipv4()).map(ToString::to_string);
        let lacks_v4 = v4.is_some_and(|v4| !service.notes.target.contains(&v4));
        let ours = !service.notes.managed_targets.is_empty();
        assert!(!ours || !lacks_v4, "the target of {number} lacks its IPv4 address: {}", self.story());
    }

    fn check_dns(&mut self, named: &[(usize, Ipv6Addr)]) {
        let wrong = |(number, address): &(usize, Ipv6Addr)| {
            !self.services[number].v6().contains(address) && !self.is_back(*address)
        };
        let wrong: BTreeSet<usize> = named.iter().filter(|pair| wrong(pair)).map(|(number, _)| *number).collect();
        for number in wrong.iter().filter(|number| !self.books.excused.contains(number)) {
            let is_cilium = self.services[number].allocator == Allocator::Cilium;
            let may_be = is_cilium && !self.services[number].forbidden;
            assert!(!may_be, "DNS names what {number} does not have: {}", self.story());
        }
        self.books.gaps.retain(|number, _| wrong.contains(number));
        for number in wrong {
            let since = *self.books.gaps.entry(number).or_insert(self.now);
            self.books.longest_gap = self.books.longest_gap.max(self.now - since);
        }
    }

    /// Nobody gets what a managed Service is to have, and unmanaged ones move at most once in a rotation.
    fn check_moves(&mut self, before: &BTreeMap<usize, Service>) {
        for (number, service) in &self.services {
            let Some(before) = before.get(number) else { continue };
            let new: Vec<_> = service.v6().into_iter().filter(|held| !before.v6().contains(held)).collect();
            if new.is_empty()
                || new.iter().all(|new| service.notes.ips.contains(&IpAddr::V6(*new)) && service.line.is_none())
            {
                // The user has asked for it.
                continue;
            }
            for owner in self.books.established.iter().filter(|owner| *owner != number) {
                let Some(other) = self.services.get(owner).filter(|other| !other.shares_with(service)) else {
                    continue;
                };
                let theirs = other.line.and_then(|line| place(other, &self.lines[line]));
                let excused = self.books.excused.contains(owner) || self.books.excused.contains(number);
                let stolen = theirs.filter(|_| !excused).filter(|theirs| new.contains(theirs) && !other.forbidden);
                assert!(stolen.is_none(), "{number} got {stolen:?}, which is for {owner}: {}", self.story());
            }
            // It may have been on its way when the prefix changed.
            let all = || self.lines.iter().flat_map(|line| &line.generations);
            let is_current = |new: &Ipv6Addr| {
                self.lines.iter().any(|line| line.of(*new).is_some_and(|known| known.role == Role::Current))
            };
            let just_changed = all().any(|known| known.role == Role::Current && known.since + 5000 > self.now);
            let several_drain = all().filter(|known| known.role != Role::Current).count() > 1;
            let is_late = !new.iter().any(is_current) && (just_changed || several_drain);
            if self.is_managed(service).is_none() && !before.v6().is_empty() && !is_late {
                let moves = self.books.moves.entry(*number).or_default();
                *moves += 1;
                assert!(*moves <= 1 || self.books.excused.contains(number), "{number} moved twice: {}", self.story());
            }
        }
    }

    /// What must have come of it when nothing happens any more.
    pub(super) fn check_rest(&self) {
        for (number, service) in &self.services {
            if self.books.excused.contains(number) && !service.v6().is_empty() {
                continue;
            }
            let Some(line) = self.is_managed(service).filter(|_| !service.forbidden) else { continue };
            let stage = self.ours.stages.get(number).copied();
            assert_eq!(stage, Some(Stage::Served), "{number} is not where it should be: {}", self.story());
            let new = place(service, line).expect("served");
            let users = self.books.users_ips.get(number).cloned().unwrap_or_default();
            let ours: Vec<_> = service.v6().into_iter().filter(|held| !users.contains(&IpAddr::V6(*held))).collect();
            assert_eq!(ours, [new], "{number} has something else: {}", self.story());
            let dns = if line.mode == Mode::Ha && !service.skip_dns { vec![new] } else { Vec::new() };
            assert_eq!(targets(service), dns, "DNS names something else for {number}: {}", self.story());
        }
        for (number, pool) in &self.pools {
            let current = pool
                .bound
                .iter()
                .filter_map(|(line, range)| Some(self.lines[*line].range(self.lines[*line].current()?, *range)));
            let users = self.books.users_ranges.get(number).cloned().unwrap_or_default();
            let ours = current.flat_map(|range| range.without(users.iter().copied()));
            let all: Vec<_> = users.iter().copied().chain(ours).collect();
            let stuck = self.services.values().filter(|service| service.forbidden).flat_map(Service::v6);
            let stuck: BTreeSet<Ipv6Addr> = stuck.collect();
            let is_needed = |entry: &Interval| entry.first() == entry.last() && stuck.contains(&entry.first());
            let list: Vec<_> =
                pool.list.iter().filter(|entry| all.contains(entry) || !is_needed(entry)).copied().collect();
            assert_eq!(list, all, "the old ranges are not out of {number}: {}", self.story());
        }
    }

    pub(super) fn story(&self) -> String {
        let last = self.books.journal.len().saturating_sub(60);
        let stages = format!("{:?}", self.ours.stages);
        format!("now {} {stages}\n{}", self.now, self.books.journal[last..].join("\n"))
    }
}

impl Line {
    /// No more than so many drain.
    pub(super) fn age(&mut self) {
        let history = self.history;
        let draining = self.generations.iter_mut().filter(|known| known.role == Role::Draining);
        draining.skip(history).for_each(|known| known.role = Role::Known);
        // The order of `ComputedGeneration`s: those only known come last.
        self.generations.sort_by_key(|known| known.role);
    }
}

/// What DNS is told to name on our behalf.
pub(super) fn targets(service: &Service) -> Vec<Ipv6Addr> {
    let ours = service.notes.target.iter().filter(|name| service.notes.managed_targets.contains(name));
    let ours: Vec<IpAddr> = ours.filter_map(|name| name.parse().ok()).collect();
    v6(&ours)
}
