//! The API server, time, and who is told what when.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use super::super::Allocator;
use super::cilium::Cilium;
use super::invariants::Books;
use super::metallb::MetalLb;
use super::ours::Ours;
use crate::config::Mode;
use crate::plan::Role;
use crate::prefix::Interval;
use crate::time::Instant;

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Id {
    Pool(usize),
    Service(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) version: u64,
    pub(super) generation: u64,
    pub(super) allocator: Allocator,
    /// The ranges bound to it: DynamicPrefix and number of its range.
    pub(super) bound: Vec<(usize, usize)>,
    pub(super) list: Vec<Interval>,
    pub(super) recorded: Vec<Interval>,
    /// Only Services of this label get addresses.
    pub(super) selector: Option<u8>,
    pub(super) observed: u64,
    pub(super) conflict: bool,
}

/// Annotations of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) ips: Vec<IpAddr>,
    pub(super) managed_ips: Vec<IpAddr>,
    pub(super) target: Vec<String>,
    pub(super) managed_targets: Vec<String>,
    pub(super) managed_suffix: Option<u128>,
}

/// Why LB-IPAM does not give an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NoPool,
    SelectorMismatch,
    AlreadyAllocated,
}

#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) version: u64,
    pub(super) allocator: Allocator,
    /// The DynamicPrefix that its annotation names.
    pub(super) line: Option<usize>,
    pub(super) suffix: Option<u128>,
    pub(super) skip_dns: bool,
    pub(super) label: u8,
    pub(super) sharing_key: Option<u8>,
    /// The IPv4 address that its allocator gives it when it is dual stack.
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) notes: Notes,
    pub(super) status: Vec<IpAddr>,
    pub(super) unsatisfied: Option<(Reason, Ipv6Addr)>,
    /// We may not patch it.
    pub(super) forbidden: bool,
}

impl Service {
    pub(super) fn v6(&self) -> Vec<Ipv6Addr> {
        v6(&self.status)
    }

    /// Whether the two may have one address.
    pub(super) fn shares_with(&self, other: &Self) -> bool {
        self.sharing_key.is_some() && self.sharing_key == other.sharing_key
    }
}

pub(super) fn v6(addresses: &[IpAddr]) -> Vec<Ipv6Addr> {
    let v6 = addresses.iter().filter_map(|address| match address {
        IpAddr::V6(address) => Some(*address),
        IpAddr::V4(_) => None,
    });
    v6.collect()
}

/// A DynamicPrefix: its generations and what is done with them.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) mode: Mode,
    /// First and last host part.
    pub(super) ranges: Vec<(u128, u128)>,
    /// Current first, then newest first.
    pub(super) generations: Vec<Generation>,
    pub(super) drain: Option<u64>,
    pub(super) history: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Generation {
    pub(super) letter: char,
    pub(super) role: Role,
    pub(super) dead: bool,
    pub(super) since: u64,
}

impl Line {
    pub(super) fn prefix(&self, letter: char) -> Ipv6Net {
        let number = u128::from(u32::from(letter) - u32::from('A') + 1) | (self.number as u128) << 8;
        let bits = 0x2001_0db8_u128 << 96 | number << 80;
        Ipv6Net::new(Ipv6Addr::from_bits(bits), 48).expect("a length")
    }

    pub(super) fn address(&self, letter: char, host: u128) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.prefix(letter).network().to_bits() | host)
    }

    pub(super) fn range(&self, letter: char, number: usize) -> Interval {
        let (first, last) = self.ranges[number];
        Interval::new(self.address(letter, first), self.address(letter, last)).expect("a range")
    }

    pub(super) fn current(&self) -> Option<char> {
        self.generations.iter().find(|generation| generation.role == Role::Current).map(|current| current.letter)
    }

    pub(super) fn of(&self, address: Ipv6Addr) -> Option<Generation> {
        self.generations.iter().find(|generation| self.prefix(generation.letter).contains(&address)).copied()
    }
}

/// What one write makes of an object.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Pool { list: Vec<Interval>, recorded: Vec<Interval> },
    Service(Notes),
}

pub(super) type Act = Box<dyn FnOnce(&mut World)>;

pub(super) enum Event {
    Cilium(Id),
    MetalLb(Id),
    /// Of which life of ours.
    Ours(u64, Id),
    Listed(u64, bool),
    Wake(u64),
    Land(u64, Id, u64, Content),
    Answer(u64, Id),
    Do(Act),
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) pools: BTreeMap<usize, Pool>,
    pub(super) services: BTreeMap<usize, Service>,
    pub(super) lines: Vec<Line>,
    pub(super) cilium: Cilium,
    pub(super) metallb: MetalLb,
    pub(super) ours: Ours,
    pub(super) books: Books,
    /// What happens as soon as the rotation from A to B has come to a step.
    pub(super) trap: Option<(u8, Act)>,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    random: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: 1000,
            pools: BTreeMap::new(),
            services: BTreeMap::new(),
            lines: Vec::new(),
            cilium: Cilium::default(),
            metallb: MetalLb::default(),
            ours: Ours::default(),
            books: Books::default(),
            trap: None,
            queue: BTreeMap::new(),
            sequence: 0,
            random: seed,
        }
    }

    pub(super) fn instant(&self) -> Instant {
        Instant::from_nanos(i64::try_from(self.now).expect("small") * 1_000_000)
    }

    /// A number below `below` (splitmix64).
    pub(super) fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    /// Mostly some milliseconds, seldom much.
    pub(super) fn delay(&mut self) -> u64 {
        if self.draw(20) == 0 { 200 + self.draw(1500) } else { 1 + self.draw(30) }
    }

    pub(super) fn push(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    /// Has something done at a time.
    pub(super) fn at(&mut self, at: u64, act: impl FnOnce(&mut Self) + 'static) {
        self.push(at, Event::Do(Box::new(act)));
    }

    /// Everybody who watches is told.
    pub(super) fn changed(&mut self, id: Id) {
        let allocator = match id {
            Id::Pool(pool) => self.pools.get(&pool).map(|pool| pool.allocator),
            Id::Service(service) => self.services.get(&service).map(|service| service.allocator),
        };
        if allocator != Some(Allocator::MetalLb) {
            let at = self.now + self.delay();
            self.push(at, Event::Cilium(id));
        }
        if allocator != Some(Allocator::Cilium) {
            let at = self.now + self.delay();
            self.push(at, Event::MetalLb(id));
        }
        let at = self.now + self.delay();
        self.push(at, Event::Ours(self.ours.life, id));
    }

    /// Lets everything happen that is going to happen before `end`.
    pub(super) fn run_until(&mut self, end: u64) {
        for _ in 0..400_000 {
            let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 < end) else {
                self.now = self.now.max(end.min(self.now + 1));
                return;
            };
            self.now = entry.key().0;
            let event = entry.remove();
            self.handle(event);
            self.check();
            if self.trap.as_ref().is_some_and(|(step, _)| self.has_reached(*step)) {
                let (_, act) = self.trap.take().expect("just seen");
                self.push(self.now, Event::Do(act));
            }
        }
        panic!("this does not come to rest: {:#?}", self.books.journal.iter().rev().take(40).collect::<Vec<_>>());
    }

    pub(super) fn run(&mut self) {
        self.run_until(u64::MAX);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Cilium(id) => self.tell_cilium(id),
            Event::MetalLb(id) => self.tell_metallb(id),
            Event::Ours(life, id) => self.tell_us(life, id),
            Event::Listed(life, pools) => self.list_for_us(life, pools),
            Event::Wake(life) if life == self.ours.life => self.step(),
            Event::Wake(_) => {}
            Event::Land(life, id, base, content) => self.land(life, id, base, content),
            Event::Answer(life, id) => self.answer(life, id),
            Event::Do(act) => {
                act(self);
                self.books.note(self.now, "done".to_owned());
                self.step();
            }
        }
    }

    /// A write of ours reaches the API server.
    fn land(&mut self, life: u64, id: Id, base: u64, content: Content) {
        if self.now < self.ours.down_until {
            return self.push(self.now, Event::Answer(life, id));
        }
        let text = format!("{id:?} <- {content:?}");
        match (id, content) {
            (Id::Pool(number), Content::Pool { list, recorded }) => {
                let Some(pool) = self.pools.get_mut(&number).filter(|pool| pool.version == base) else {
                    return self.push(self.now + 1, Event::Answer(life, id));
                };
                pool.generation += u64::from(pool.list != list);
                (pool.list, pool.recorded) = (list, recorded);
                pool.version += 1;
            }
            (Id::Service(number), Content::Service(notes)) => {
                let there = self.services.get_mut(&number);
                let Some(service) = there.filter(|service| service.version == base && !service.forbidden) else {
                    if self.services.get(&number).is_some_and(|service| service.forbidden) {
                        self.ours.forbidden.insert(number);
                    }
                    return self.push(self.now + 1, Event::Answer(life, id));
                };
                service.notes = notes;
                service.version += 1;
            }
            (Id::Pool(_) | Id::Service(_), _) => unreachable!("content of another kind"),
        }
        self.books.wrote(self.now, id, text);
        self.changed(id);
        let at = self.now + self.delay();
        self.push(at, Event::Answer(life, id));
    }

    /// Somebody else writes a Service.
    pub(super) fn edit(&mut self, number: usize, edit: impl FnOnce(&mut Service)) {
        if let Some(service) = self.services.get_mut(&number) {
            edit(service);
            service.version += 1;
            self.changed(Id::Service(number));
        }
    }

    /// Somebody else writes a pool.
    pub(super) fn edit_pool(&mut self, number: usize, edit: impl FnOnce(&mut Pool)) {
        let pool = self.pools.get_mut(&number).expect("a pool");
        let before = pool.list.clone();
        edit(pool);
        pool.generation += u64::from(pool.list != before);
        pool.version += 1;
        self.changed(Id::Pool(number));
    }

    pub(super) fn delete(&mut self, number: usize) {
        if self.services.contains_key(&number) {
            self.changed(Id::Service(number));
            self.services.remove(&number);
        }
    }

    /// A controller says what a Service has.
    pub(super) fn set_status(&mut self, number: usize, status: Vec<IpAddr>, unsatisfied: Option<(Reason, Ipv6Addr)>) {
        let Some(service) = self.services.get_mut(&number) else { return };
        if service.status != status || service.unsatisfied != unsatisfied {
            let text = format!("{number} has {status:?} {unsatisfied:?}");
            (service.status, service.unsatisfied) = (status, unsatisfied);
            service.version += 1;
            self.books.note(self.now, text);
            self.changed(Id::Service(number));
        }
    }
}
