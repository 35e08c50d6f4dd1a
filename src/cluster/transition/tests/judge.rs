//! What our side makes of one Service: functions of what it knows.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::super::carrier::{Carrier, Goal, goal};
use super::super::{Age, Allocator};
use super::cilium::has;
use super::world::{Id, Line, Notes, Pool, Service, World, v6};
use crate::config::Mode;
use crate::time::Instant;

pub(super) fn same<T: Ord + Clone>(one: &[T], other: &[T]) -> bool {
    let sorted = |list: &[T]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    };
    sorted(one) == sorted(other)
}

/// Another managed Service is to have the same address, and the two cannot share it.
pub(super) fn collides(world: &World, placed: &BTreeMap<usize, (usize, Option<Ipv6Addr>)>, number: usize) -> bool {
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
pub(super) fn offered(world: &World, service: &Service, new: Ipv6Addr) -> bool {
    let pools = world.ours.pools.iter().filter(|(_, pool)| pool.allocator == service.allocator);
    let under_way = |number: &usize| world.ours.flights.contains_key(&Id::Pool(*number));
    let is_ready =
        |number: &usize, pool: &Pool| pool.observed >= pool.generation && !pool.conflict && !under_way(number);
    let mut ready = pools.clone().filter(|(number, pool)| is_ready(number, pool));
    let is_offered = ready.any(|(_, pool)| pool.list.iter().any(|range| has(range, new)));
    let ours = service.v6().into_iter().filter(|held| world.lines.iter().any(|line| line.of(*held).is_some()));
    let mut gone = ours.filter(|held| !pools.clone().any(|(_, pool)| pool.list.iter().any(|range| has(range, *held))));
    is_offered && gone.next().is_none()
}

/// The pools that have former addresses of it are as they are to be, and their controllers have seen it.
fn narrowed(world: &World, service: &Service, new: Option<Ipv6Addr>) -> bool {
    let asked = v6(&service.notes.managed_ips);
    let former: Vec<_> = asked.into_iter().chain(service.v6()).filter(|address| Some(*address) != new).collect();
    let has_some = |pool: &Pool| pool.list.iter().any(|range| former.iter().any(|address| has(range, *address)));
    let is_calm = |number: &usize, pool: &Pool| {
        let is_seen = pool.observed >= pool.generation && !pool.conflict;
        is_seen && world.ours.calm.contains(number) && !world.ours.flights.contains_key(&Id::Pool(*number))
    };
    let mut own = world.ours.pools.iter().filter(|(_, pool)| pool.allocator == service.allocator && has_some(pool));
    service.allocator == Allocator::MetalLb || own.all(|(number, pool)| is_calm(number, pool))
}

pub(super) fn decide(
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
        kept_from_it: &[],
        user_asks: new.is_some_and(|new| ips.contains(&IpAddr::V6(new)) && !managed.contains(&IpAddr::V6(new))),
        holds: &service.v6(),
        targets: dns_is_ours.then_some(&named),
        offered: new.is_some_and(|new| offered(world, service, new)),
        refused,
        narrowed: narrowed(world, service, new),
        dns_since: world.ours.dns_since.get(&number).filter(|(of, _)| Some(*of) == new).map(|(_, since)| *since),
    };
    let age = |address: Ipv6Addr| line.of(address).map(|known| Age { role: known.role, dead: known.dead });
    let goal = goal(&carrier, age, now);
    assert!(goal.wake.is_none_or(|wake| wake > now), "a wake in the past would be a tight loop: {goal:?}");
    goal
}

pub(super) fn released(service: &Service) -> Notes {
    let notes = &service.notes;
    Notes {
        ips: notes.ips.iter().filter(|ip| !notes.managed_ips.contains(ip)).copied().collect(),
        target: notes.target.iter().filter(|name| !notes.managed_targets.contains(name)).cloned().collect(),
        ..Notes::default()
    }
}

/// The annotations that follow from a goal: the user's, then IPv4, then ours.
pub(super) fn notes(service: &Service, goal: &Goal, new: Option<Ipv6Addr>, line: &Line) -> Notes {
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
