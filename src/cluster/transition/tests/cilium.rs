//! LB-IPAM of Cilium 1.20, as far as it was seen on the real operator and read in its source: ranges in the order of
//! their insertion, the lowest free address, each address of a pin on its own, one pass over all Services after a change
//! of a pool.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::super::Allocator;
use super::world::{Event, Id, Pool, Reason, Service, World, v6};
use crate::prefix::Interval;

#[derive(Default)]
pub(super) struct Cilium {
    pub(super) silent_until: u64,
    ranges: Vec<(usize, Interval)>,
    /// Ranges that came while their pool was out of service: what was allocated before is not taken over into them.
    unusable: Vec<(usize, Interval)>,
    pools: BTreeMap<usize, Pool>,
    services: BTreeMap<usize, Service>,
    /// Who has which address.
    has: BTreeMap<usize, Vec<IpAddr>>,
}

impl World {
    pub(super) fn tell_cilium(&mut self, id: Id) {
        if self.now < self.cilium.silent_until {
            let at = self.cilium.silent_until + self.delay();
            return self.push(at, Event::Cilium(id));
        }
        match id {
            Id::Pool(number) => {
                match self.pools.get(&number).filter(|pool| pool.allocator == Allocator::Cilium) {
                    Some(pool) => drop(self.cilium.pools.insert(number, pool.clone())),
                    None => drop(self.cilium.pools.remove(&number)),
                }
                self.cilium_ranges();
                self.cilium_all();
            }
            Id::Service(number) => {
                let service = self.services.get(&number).filter(|service| service.allocator == Allocator::Cilium);
                let Some(service) = service.cloned() else {
                    self.cilium.services.remove(&number);
                    self.cilium.has.remove(&number);
                    return self.cilium_all();
                };
                self.cilium.services.insert(number, service);
                self.cilium.has.entry(number).or_default();
                self.cilium_strip(number);
                self.cilium_all();
            }
        }
    }

    /// The operator is started anew: it takes from the statuses what lies in ranges that are in order.
    pub(super) fn restart_cilium(&mut self) {
        let is_cilium = |allocator: Allocator| allocator == Allocator::Cilium;
        let pools = self.pools.iter().filter(|(_, pool)| is_cilium(pool.allocator));
        let services = self.services.iter().filter(|(_, service)| is_cilium(service.allocator));
        self.cilium = Cilium {
            pools: pools.map(|(number, pool)| (*number, pool.clone())).collect(),
            services: services.map(|(number, service)| (*number, service.clone())).collect(),
            ..Cilium::default()
        };
        self.cilium_ranges();
        for (number, service) in self.cilium.services.clone() {
            let stays = |address: &&IpAddr| match address {
                IpAddr::V6(address) => self.cilium.range_for(&service, *address).is_ok(),
                IpAddr::V4(_) => true,
            };
            let has = service.status.iter().filter(stays).copied().collect();
            self.cilium.has.insert(number, has);
        }
        self.cilium_all();
    }

    /// Ranges that stay keep their place, new ones come last, in the order of the list.
    fn cilium_ranges(&mut self) {
        let before = self.cilium.ranges.clone();
        let Cilium { ranges, pools, .. } = &mut self.cilium;
        ranges.retain(|(pool, range)| pools.get(pool).is_some_and(|pool| pool.list.contains(range)));
        for (number, pool) in pools.iter() {
            let new: Vec<_> = pool.list.iter().filter(|range| !ranges.contains(&(*number, **range))).collect();
            ranges.extend(new.into_iter().map(|range| (*number, *range)));
        }
        let numbers: Vec<usize> = pools.keys().copied().collect();
        let conflicts: Vec<_> = numbers.iter().map(|number| (*number, self.cilium.conflicts(*number))).collect();
        for (number, conflict) in conflicts {
            let seen = self.cilium.pools.get_mut(&number).expect("a pool");
            seen.conflict = conflict;
            let generation = seen.generation;
            self.cilium.unusable.retain(|(pool, _)| conflict || *pool != number);
            let new =
                self.cilium.ranges.iter().filter(|range| conflict && range.0 == number && !before.contains(range));
            self.cilium.unusable.extend(new);
            let pool = self.pools.get_mut(&number);
            if let Some(pool) = pool.filter(|pool| pool.observed != generation || pool.conflict != conflict) {
                (pool.observed, pool.conflict) = (generation, conflict);
                pool.version += 1;
                self.changed(Id::Pool(number));
            }
        }
    }

    /// Every Service: first what is lost, then what is new, in no order.
    fn cilium_all(&mut self) {
        let mut numbers: Vec<usize> = self.cilium.services.keys().copied().collect();
        for number in &numbers {
            self.cilium_strip(*number);
        }
        while !numbers.is_empty() {
            let place = usize::try_from(self.draw(numbers.len() as u64)).expect("small");
            let number = numbers.swap_remove(place);
            let unsatisfied = self.cilium.satisfy(number);
            let status = self.cilium.has.get(&number).cloned().unwrap_or_default();
            self.set_status(number, status, unsatisfied);
        }
    }

    fn cilium_strip(&mut self, number: usize) {
        let Some(service) = self.cilium.services.get(&number) else { return };
        let is_in = |address: Ipv6Addr| {
            self.cilium.ranges.iter().any(|(pool, range)| {
                has(range, address)
                    && !self.cilium.unusable.contains(&(*pool, *range))
                    && self.cilium.pools.get(pool).is_some_and(|pool| matches(pool, service))
            })
        };
        let asked = &service.notes.ips;
        let stays = |address: &IpAddr| {
            let is_asked = asked.is_empty() || asked.contains(address);
            is_asked
                && match address {
                    IpAddr::V6(address) => is_in(*address),
                    IpAddr::V4(address) => service.v4 == Some(*address),
                }
        };
        let kept = self.cilium.has.get(&number).into_iter().flatten().copied().filter(stays).collect();
        self.cilium.has.insert(number, kept);
    }
}

impl Cilium {
    /// Overlaps put the newer pool out of service: the one with the higher number.
    fn conflicts(&self, number: usize) -> bool {
        let of = |wanted: usize| self.ranges.iter().filter(move |(pool, _)| *pool == wanted).map(|(_, range)| range);
        let with_older = self
            .pools
            .keys()
            .filter(|other| **other < number)
            .any(|other| of(*other).any(|theirs| of(number).any(|ours| ours.overlaps(theirs))));
        let own: Vec<_> = of(number).collect();
        let within = own.iter().enumerate().any(|(place, one)| own[..place].iter().any(|other| one.overlaps(other)));
        with_older || within
    }

    /// The range that can give an address to a Service.
    fn range_for(&self, service: &Service, address: Ipv6Addr) -> Result<(), Reason> {
        let pools = self.ranges.iter().filter(|(_, range)| has(range, address));
        let mut pools = pools.filter_map(|(pool, _)| self.pools.get(pool)).filter(|pool| !pool.conflict).peekable();
        pools.peek().ok_or(Reason::NoPool)?;
        if pools.any(|pool| matches(pool, service)) { Ok(()) } else { Err(Reason::SelectorMismatch) }
    }

    fn is_free(&self, number: usize, address: Ipv6Addr) -> bool {
        let mut holders = self.has.iter().filter(|(_, has)| has.contains(&IpAddr::V6(address)));
        holders.all(|(holder, _)| *holder == number || self.services[holder].shares_with(&self.services[&number]))
    }

    /// Gives a Service what it asks for, or one address of each family.
    fn satisfy(&mut self, number: usize) -> Option<(Reason, Ipv6Addr)> {
        let service = self.services.get(&number)?.clone();
        let mut has = self.has.remove(&number).unwrap_or_default();
        let held = has.clone();
        self.has.insert(number, has.clone());
        let mut unsatisfied = None;
        let asked = &service.notes.ips;
        let v4 = service.v4.map(IpAddr::V4).filter(|v4| asked.is_empty() || asked.contains(v4));
        has.extend(v4.filter(|v4| !held.contains(v4)));
        for address in v6(asked).into_iter().filter(|address| !held.contains(&IpAddr::V6(*address))) {
            match self.range_for(&service, address) {
                Err(reason) => unsatisfied = Some((reason, address)),
                Ok(()) if !self.is_free(number, address) => unsatisfied = Some((Reason::AlreadyAllocated, address)),
                Ok(()) => has.push(IpAddr::V6(address)),
            }
        }
        if asked.is_empty() && v6(&has).is_empty() {
            has.extend(self.any_address(number, &service).map(IpAddr::V6));
        }
        self.has.insert(number, has);
        unsatisfied
    }

    fn any_address(&self, number: usize, service: &Service) -> Option<Ipv6Addr> {
        let partners =
            self.services.iter().filter(|(other, partner)| **other != number && service.shares_with(partner));
        let shared = partners
            .flat_map(|(other, _)| v6(&self.has[other]))
            .find(|address| self.range_for(service, *address).is_ok());
        let usable = self
            .ranges
            .iter()
            .filter(|(pool, _)| self.pools.get(pool).is_some_and(|pool| !pool.conflict && matches(pool, service)));
        let first_free = |(_, range): &(usize, Interval)| {
            let all = range.first().to_bits()..=range.last().to_bits();
            all.map(Ipv6Addr::from_bits).find(|address| self.is_taken_by_nobody(*address))
        };
        shared.or_else(|| usable.clone().find_map(first_free))
    }

    fn is_taken_by_nobody(&self, address: Ipv6Addr) -> bool {
        !self.has.values().any(|has| has.contains(&IpAddr::V6(address)))
    }
}

pub(super) fn has(range: &Interval, address: Ipv6Addr) -> bool {
    range.first() <= address && address <= range.last()
}

pub(super) fn matches(pool: &Pool, service: &Service) -> bool {
    pool.selector.is_none_or(|label| label == service.label)
}
