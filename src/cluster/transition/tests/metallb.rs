//! The controller of MetalLB 0.16: one address of each family, all of one pool, handed out in the order of the list; a
//! Service whose pin cannot be had loses everything.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::super::Allocator;
use super::cilium::{has, matches};
use super::world::{Event, Id, Pool, Service, World, v6};

#[derive(Default)]
pub(super) struct MetalLb {
    pub(super) silent_until: u64,
    pools: BTreeMap<usize, Pool>,
    services: BTreeMap<usize, Service>,
    has: BTreeMap<usize, Vec<IpAddr>>,
}

impl World {
    pub(super) fn tell_metallb(&mut self, id: Id) {
        if self.now < self.metallb.silent_until {
            let at = self.metallb.silent_until + self.delay();
            return self.push(at, Event::MetalLb(id));
        }
        match id {
            Id::Pool(number) => {
                let Some(pool) = self.pools.get_mut(&number).filter(|pool| pool.allocator == Allocator::MetalLb) else {
                    return;
                };
                let is_new = pool.observed != pool.generation;
                pool.observed = pool.generation;
                pool.version += u64::from(is_new);
                self.metallb.pools.insert(number, pool.clone());
                if is_new {
                    self.changed(id);
                }
                self.metallb_all();
            }
            Id::Service(number) => {
                let service = self.services.get(&number).filter(|service| service.allocator == Allocator::MetalLb);
                let Some(service) = service.cloned() else {
                    self.metallb.services.remove(&number);
                    self.metallb.has.remove(&number);
                    return self.metallb_all();
                };
                self.metallb.services.insert(number, service);
                self.metallb_one(number);
            }
        }
    }

    fn metallb_all(&mut self) {
        let mut numbers: Vec<usize> = self.metallb.services.keys().copied().collect();
        while !numbers.is_empty() {
            let place = usize::try_from(self.draw(numbers.len() as u64)).expect("small");
            let number = numbers.swap_remove(place);
            self.metallb_one(number);
        }
    }

    fn metallb_one(&mut self, number: usize) {
        let Some(service) = self.metallb.services.get(&number).cloned() else { return };
        let before = self.metallb.has.get(&number).cloned().unwrap_or_default();
        let asked = v6(&service.notes.ips);
        if asked.len() > 1 {
            // "has the same family": it keeps what it has.
            return;
        }
        let now = match asked.first() {
            Some(address) => {
                let v4 = service.v4.map(IpAddr::V4);
                let v4_fits = v4.is_none_or(|v4| service.notes.ips.contains(&v4));
                let can =
                    v4_fits && self.metallb.pool_for(&service, *address) && self.metallb.is_free(number, *address);
                if can { v4.into_iter().chain([IpAddr::V6(*address)]).collect() } else { Vec::new() }
            }
            None if v6(&before).iter().any(|address| self.metallb.pool_for(&service, *address)) => before,
            None => {
                self.metallb.has.remove(&number);
                let address = self.metallb.any_address(&service).map(IpAddr::V6);
                address
                    .map_or_else(Vec::new, |address| service.v4.map(IpAddr::V4).into_iter().chain([address]).collect())
            }
        };
        self.metallb.has.insert(number, now.clone());
        self.set_status(number, now, None);
    }
}

impl MetalLb {
    fn pool_for(&self, service: &Service, address: Ipv6Addr) -> bool {
        let mut pools = self.pools.values().filter(|pool| matches(pool, service));
        pools.any(|pool| pool.list.iter().any(|range| has(range, address)))
    }

    fn is_free(&self, number: usize, address: Ipv6Addr) -> bool {
        let mut holders = self.has.iter().filter(|(_, has)| has.contains(&IpAddr::V6(address)));
        holders.all(|(holder, _)| *holder == number || self.services[holder].shares_with(&self.services[&number]))
    }

    fn any_address(&self, service: &Service) -> Option<Ipv6Addr> {
        let ranges = self.pools.values().filter(|pool| matches(pool, service)).flat_map(|pool| &pool.list);
        let mut all =
            ranges.flat_map(|range| range.first().to_bits()..=range.last().to_bits()).map(Ipv6Addr::from_bits);
        all.find(|address| !self.has.values().any(|has| has.contains(&IpAddr::V6(*address))))
    }
}
