//! What the objects of a cluster are to each other: which pool offers an address, which Services hold, claim and ask
//! for it.
//!
//! Kept up to date object by object, so that a Service which changes costs what concerns it, not a look at all others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::carrier::{Right, v6};
use crate::cluster::addresses;
use crate::cluster::object::Object;
use crate::cluster::selector::Labels;
use crate::cluster::service::{self, Service, Sharing};
use crate::cluster::transition::share::Customer;
use crate::cluster::transition::{Allocator, LEFT_ALONE, Stage};
use crate::config::{Kind, ObjectRef};
use crate::plan::Block;
use crate::prefix::Interval;
use crate::time::Instant;

mod offer;
mod places;

pub(super) use offer::Offered;

use offer::{Force, Offer};
use places::Places;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Books {
    aspects: BTreeMap<ObjectRef, Aspect>,
    offers: BTreeMap<ObjectRef, Offer>,
    /// The Services that have an address in their status.
    held: Places,
    /// The Services by the addresses that their annotations ask for, on whosever behalf.
    asked: Places,
    /// The managed Services by their address in the current generation.
    claimed: Places,
    /// The managed Services by what they ask for on our behalf.
    pinned: Places,
    /// Those for which pools wait, by their address in the current generation.
    waiting: Places,
    footings: BTreeMap<ObjectRef, Footing>,
    /// Pools of which a patch has left and has not been answered.
    under_way: BTreeSet<ObjectRef>,
    /// Addresses that Services had which are gone, and since when.
    vacated: BTreeMap<Ipv6Addr, (ObjectRef, Instant)>,
    /// Since when it is seen that Services go.
    began: Option<Instant>,
}

/// What others need to know of a Service as the cluster shows it.
#[derive(Debug, Default)]
pub(super) struct Aspect {
    generation: Option<i64>,
    labels: Labels,
    holds: Vec<Ipv6Addr>,
    asks: Vec<Ipv6Addr>,
    sharing: Option<Box<Sharing>>,
}

impl Aspect {
    pub(super) fn of(object: &Object) -> Self {
        let facts = object.service.as_deref();
        let lists =
            [Allocator::Cilium, Allocator::MetalLb].map(|allocator| service::pins(&object.annotations, allocator));
        let asks = lists.into_iter().flatten().flat_map(addresses::read_record).take(service::LONGEST_LIST);
        Self {
            generation: object.generation,
            labels: facts.map(|facts| facts.labels.clone()).unwrap_or_default(),
            holds: distinct(facts.into_iter().flat_map(Service::v6)),
            asks: distinct(asks.filter_map(v6)),
            sharing: facts.and_then(|facts| facts.sharing.clone()),
        }
    }

    /// Whether nothing has changed that an allocator goes by, beside the list of addresses.
    fn is_like(&self, other: &Self) -> bool {
        (self.generation, &self.labels, &self.sharing) == (other.generation, &other.labels, &other.sharing)
    }
}

/// Each once, ascending.
pub(super) fn distinct(addresses: impl Iterator<Item = Ipv6Addr>) -> Vec<Ipv6Addr> {
    addresses.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A managed Service, as others need to know it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Footing {
    /// `None`: not known.
    pub(super) allocator: Option<Allocator>,
    /// Its address in the current generation.
    pub(super) new: Option<Ipv6Addr>,
    pub(super) right: Right,
    pub(super) stage: Stage,
    /// It cannot be written.
    pub(super) given_up: bool,
    /// It does not get its address in the current generation, and nothing is under way that would change it.
    pub(super) is_stuck: bool,
    /// What it asks for on our behalf.
    pub(super) pins: Vec<Ipv6Addr>,
}

impl Footing {
    /// Where it is going.
    pub(super) fn goes_to(&self) -> Option<Ipv6Addr> {
        self.new.filter(|_| !self.given_up && !self.is_stuck)
    }

    /// Whether a pool has to keep the new range back for it.
    fn waits(&self) -> Option<Ipv6Addr> {
        self.new.filter(|_| !self.stage.is_settled() && !self.given_up)
    }
}

/// What a change in the books may mean to others.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ripple {
    /// Addresses that a Service holds now and did not, or the other way round.
    pub(super) held: Vec<Ipv6Addr>,
    /// The same for what its annotations ask for.
    pub(super) asked: Vec<Ipv6Addr>,
    /// The same for claims: the Services that claim it too are concerned, and its pool.
    pub(super) claimed: Vec<Ipv6Addr>,
    /// The same for what is asked for on our behalf.
    pub(super) pinned: Vec<Ipv6Addr>,
    /// The same for what pools wait for.
    pub(super) waiting: Vec<Ipv6Addr>,
    /// What is asked for by a Service that cannot be written any more, or can be again.
    pub(super) loosened: Vec<Ipv6Addr>,
    /// What a Service has or asks for that is going elsewhere now and was not, or the other way round.
    pub(super) going: Vec<Ipv6Addr>,
}

impl Ripple {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Books {
    /// What a Service holds and asks for now; `None`: it is gone. Also whether something else has changed that its
    /// allocator goes by.
    pub(super) fn show(&mut self, service: &ObjectRef, after: Option<Aspect>, now: Instant) -> (Ripple, bool) {
        self.began.get_or_insert(now);
        let before = self.aspects.remove(service);
        if let (Some(before), None) = (&before, &after) {
            self.vacated.retain(|_, (_, since)| *since + LEFT_ALONE > now);
            self.vacated.extend(before.holds.iter().map(|address| (*address, (service.clone(), now))));
        }
        let (old, new) = (before.as_ref(), after.as_ref());
        let none = Aspect::default();
        let (from, to) = (old.unwrap_or(&none), new.unwrap_or(&none));
        let ripple = Ripple {
            held: self.held.change(service, &from.holds, &to.holds),
            asked: self.asked.change(service, &from.asks, &to.asks),
            ..Ripple::default()
        };
        let is_edited = old.zip(new).is_some_and(|(old, new)| !new.is_like(old));
        if let Some(after) = after {
            self.aspects.insert(service.clone(), after);
        }
        (ripple, is_edited)
    }

    /// A managed Service is so now; `None`: it is not managed.
    pub(super) fn stand(&mut self, service: &ObjectRef, after: Option<Footing>) -> Ripple {
        let before = match &after {
            Some(after) if self.footings.get(service) == Some(after) => return Ripple::default(),
            Some(after) => self.footings.insert(service.clone(), after.clone()),
            None => self.footings.remove(service),
        };
        let (before, after) = (before.as_ref(), after.as_ref());
        let new = |footing: Option<&Footing>| footing.and_then(|footing| footing.new).into_iter().collect::<Vec<_>>();
        let pins = |footing: Option<&Footing>| footing.map(|footing| footing.pins.clone()).unwrap_or_default();
        let waits = |footing: Option<&Footing>| footing.and_then(Footing::waits).into_iter().collect::<Vec<_>>();
        let mut ripple = Ripple {
            claimed: self.claimed.change(service, &new(before), &new(after)),
            pinned: self.pinned.change(service, &pins(before), &pins(after)),
            waiting: self.waiting.change(service, &waits(before), &waits(after)),
            ..Ripple::default()
        };
        if before.is_some_and(|before| after.is_some_and(|after| before.given_up != after.given_up)) {
            ripple.loosened = pins(after);
        }
        let goes_to = |footing: Option<&Footing>| footing.and_then(Footing::goes_to);
        if goes_to(before) != goes_to(after) {
            ripple.going = self.addresses(service).collect();
        }
        if before.and_then(|before| before.allocator) != after.and_then(|after| after.allocator) {
            ripple.claimed.extend(new(after));
            ripple.pinned.extend(pins(after));
        }
        ripple
    }

    pub(super) fn footing(&self, service: &ObjectRef) -> Option<&Footing> {
        self.footings.get(service)
    }

    /// The managed Services that claim one of these addresses.
    pub(super) fn claiming(&self, ranges: &[Interval]) -> BTreeSet<ObjectRef> {
        let services = ranges.iter().flat_map(|range| self.claimed.within(*range)).flat_map(|(_, services)| services);
        services.cloned().collect()
    }

    /// The managed Services that claim or hold one of these addresses.
    pub(super) fn concerned(&self, ranges: &[Interval]) -> BTreeSet<ObjectRef> {
        let claim = ranges.iter().flat_map(|range| self.claimed.within(*range)).flat_map(|(_, services)| services);
        let hold = ranges.iter().flat_map(|range| self.held.within(*range)).flat_map(|(_, services)| services);
        claim.chain(hold).filter(|service| self.footings.contains_key(*service)).cloned().collect()
    }

    /// The Services that hold `address`, and those that we do not manage and that ask for it.
    pub(super) fn takers(&self, address: Ipv6Addr) -> impl Iterator<Item = &ObjectRef> {
        let users = self.asked.at(address).filter(|service| !self.footings.contains_key(*service));
        self.held.at(address).chain(users)
    }

    /// Whether a pool of `allocator` that serves this Service has `address`, in force or not.
    pub(super) fn is_on_a_pool(&self, address: Ipv6Addr, service: &ObjectRef, allocator: Allocator) -> bool {
        let is_own = |pool: &ObjectRef| allocator_of(pool.kind) == Some(allocator);
        self.offers_of(address).any(|(pool, _)| is_own(pool) && self.refuses(pool, service).is_none())
    }

    /// A pool of `allocator` that has `address` and does not serve this Service, and why, unless another one does.
    pub(super) fn refusing(
        &self,
        address: Ipv6Addr,
        service: &ObjectRef,
        allocator: Allocator,
    ) -> Option<(ObjectRef, &'static str)> {
        let own = self.offers_of(address).filter(|(pool, _)| allocator_of(pool.kind) == Some(allocator));
        let mut refusing = own.filter_map(|(pool, _)| Some((pool.clone(), self.refuses(pool, service)?)));
        refusing.next().filter(|_| !self.is_on_a_pool(address, service, allocator))
    }

    /// Why a pool does not serve a Service.
    fn refuses(&self, pool: &ObjectRef, service: &ObjectRef) -> Option<&'static str> {
        let clientele = self.offers.get(pool)?.clientele.as_ref()?;
        self.aspects.get(service).and_then(|aspect| clientele.refuses(service, &aspect.labels))
    }

    /// The managed Services that claim `address`.
    pub(super) fn claimants(&self, address: Ipv6Addr) -> impl Iterator<Item = &ObjectRef> {
        self.claimed.at(address)
    }

    /// Whether this Service holds `address`.
    pub(super) fn holds(&self, service: &ObjectRef, address: Ipv6Addr) -> bool {
        self.held.at(address).any(|holder| holder == service)
    }

    /// The first address behind `address`, else before it, in `range` that no Service holds, asks for or claims, and that
    /// `fits`.
    pub(super) fn free(&self, range: Interval, address: Ipv6Addr, fits: impl Fn(Ipv6Addr) -> bool) -> Option<Ipv6Addr> {
        let (first, at, last) = (range.first().to_bits(), address.to_bits(), range.last().to_bits());
        let taken = [&self.held, &self.asked, &self.claimed];
        let is_free = |address: &Ipv6Addr| taken.iter().all(|places| places.at(*address).next().is_none());
        // Among so many there is a free one.
        let most = taken.iter().map(|places| places.len()).sum::<usize>() + 1;
        let behind = (at.saturating_add(1)..=last).take(most);
        let all = behind.chain((first..at).take(most)).map(Ipv6Addr::from_bits);
        all.filter(is_free).find(|address| fits(*address))
    }

    /// What a Service holds and asks for.
    pub(super) fn addresses(&self, service: &ObjectRef) -> impl Iterator<Item = Ipv6Addr> {
        self.aspects.get(service).into_iter().flat_map(|aspect| aspect.holds.iter().chain(&aspect.asks)).copied()
    }

    /// Whether a pool's controller is known to act on the list as it stands.
    pub(super) fn is_in_force(&self, pool: &ObjectRef) -> bool {
        let force = self.offers.get(pool).map(|offer| offer.force);
        force.is_some_and(|force| force != Force::No) && !self.under_way.contains(pool)
    }

    /// Whether a Service holds `address`.
    pub(super) fn is_held(&self, address: Ipv6Addr) -> bool {
        self.held.at(address).next().is_some()
    }

    /// Whether a managed Service asks for `address`.
    pub(super) fn is_asked_for(&self, address: Ipv6Addr) -> bool {
        self.pinned.at(address).next().is_some()
    }

    /// The managed Services that can be written and ask for an address in `range`.
    pub(super) fn asking(&self, range: Interval) -> impl Iterator<Item = &ObjectRef> {
        let services = self.pinned.within(range).flat_map(|(_, services)| services);
        services.filter(|service| self.footings.get(*service).is_some_and(|footing| !footing.given_up))
    }

    /// The managed Services that ask for `address`.
    pub(super) fn pinned_at(&self, address: Ipv6Addr) -> impl Iterator<Item = &ObjectRef> {
        self.pinned.at(address)
    }

    /// The addresses in these ranges that Services hold, ascending.
    pub(super) fn in_use(&self, blocks: &[Block]) -> BTreeSet<Ipv6Addr> {
        blocks.iter().flat_map(|block| self.held.within(block.interval())).map(|(address, _)| *address).collect()
    }

    /// Whether a managed Service asks for an address in these ranges.
    pub(super) fn is_pinned(&self, blocks: &[Block]) -> bool {
        blocks.iter().any(|block| self.pinned.within(block.interval()).next().is_some())
    }

    /// Whether a managed Service waits for its address in these ranges.
    pub(super) fn is_awaited(&self, blocks: &[Block]) -> bool {
        blocks.iter().any(|block| self.waiting.within(block.interval()).next().is_some())
    }

    /// The managed Services that a pool serves and that claim or ask for an address in these ranges.
    pub(super) fn customers(&self, pool: &ObjectRef, blocks: &[Block]) -> Vec<Customer> {
        let mut services: BTreeSet<&ObjectRef> = BTreeSet::new();
        for range in blocks.iter().map(Block::interval) {
            services.extend(self.claimed.within(range).flat_map(|(_, services)| services));
            services.extend(self.pinned.within(range).flat_map(|(_, services)| services));
        }
        let allocator = allocator_of(pool.kind);
        let served = services.into_iter().filter(|service| self.refuses(pool, service).is_none());
        let footings = served.filter_map(|service| self.footings.get(service));
        let own = footings.filter(|footing| footing.allocator == allocator);
        own.map(|footing| Customer {
            new: footing.new,
            stage: footing.stage,
            given_up: footing.given_up,
            pins: footing.pins.clone(),
        })
        .collect()
    }

    /// A pool as the cluster shows it; `None`: it is gone. Returns the ranges of which something else is true now.
    /// `is_as_known`: its controller knows this list, but has not said so of this generation.
    pub(super) fn offer(
        &mut self,
        pool: &ObjectRef,
        object: Option<&Object>,
        is_as_known: bool,
        now: Instant,
    ) -> Vec<Interval> {
        let before = self.offers.remove(pool);
        let after = object.map(|object| Offer::of(object, before.as_ref(), is_as_known, now));
        let changed = before != after;
        let ranges = before.into_iter().chain(after.clone()).flat_map(|offer| offer.ranges).collect();
        if let Some(after) = after {
            self.offers.insert(pool.clone(), after);
        }
        if changed { ranges } else { Vec::new() }
    }

    /// Whether a pool of `allocator` offers `address` to this Service. With MetalLB it has to hold the IPv4 addresses of the Service,
    /// too: all addresses of a Service are of one pool. And it takes them all from a Service that is pinned to an address
    /// which it believes to be another's: its news of a deletion may be behind ours.
    pub(super) fn offered(
        &self,
        address: Ipv6Addr,
        (service, v4): (&ObjectRef, &[Ipv4Addr]),
        allocator: Allocator,
        now: Instant,
    ) -> Offered {
        let mut best = Offered::No;
        let is_for_it = |(pool, offer): &(&ObjectRef, &Offer)| {
            let has_v4 = || v4.iter().all(|ip| offer.v4.iter().any(|(first, last)| first <= ip && ip <= last));
            let is_own = allocator_of(pool.kind) == Some(allocator) && !self.under_way.contains(*pool);
            is_own && self.refuses(pool, service).is_none() && (allocator == Allocator::Cilium || has_v4())
        };
        let known = self.is_free_from(address, service).filter(|at| allocator == Allocator::MetalLb && *at > now);
        for (_, offer) in self.offers_of(address).filter(is_for_it) {
            let from = match offer.force {
                Force::Yes => known,
                Force::From(at) => Some(at).filter(|at| *at > now).max(known),
                Force::No => continue,
            };
            let Some(from) = from else { return Offered::Yes };
            best = Offered::From(from);
        }
        best
    }

    /// From when on every allocator knows that nobody but this Service has an address that nobody else is seen to have.
    fn is_free_from(&self, address: Ipv6Addr, service: &ObjectRef) -> Option<Instant> {
        if self.holds(service, address) {
            return None;
        }
        let vacated = self.vacated.get(&address).filter(|(who, _)| who != service).map(|(_, since)| *since);
        vacated.max(self.began).map(|since| since + LEFT_ALONE)
    }

    /// A patch of a pool has left, or was answered.
    pub(super) fn send(&mut self, pool: &ObjectRef, is_under_way: bool) {
        if is_under_way {
            self.under_way.insert(pool.clone());
        } else {
            self.under_way.remove(pool);
        }
    }

    /// The ranges of a pool as they stand.
    pub(super) fn ranges(&self, pool: &ObjectRef) -> &[Interval] {
        self.offers.get(pool).map_or(&[], |offer| &offer.ranges)
    }

    fn offers_of(&self, address: Ipv6Addr) -> impl Iterator<Item = (&ObjectRef, &Offer)> {
        self.offers.iter().filter(move |(_, offer)| offer.ranges.iter().any(|range| has(range, address)))
    }
}

/// Who hands out the addresses of a pool of this kind.
pub(super) const fn allocator_of(kind: Kind) -> Option<Allocator> {
    match kind {
        Kind::CiliumLoadBalancerIPPool => Some(Allocator::Cilium),
        Kind::IPAddressPool => Some(Allocator::MetalLb),
        Kind::CiliumCIDRGroup | Kind::Service => None,
    }
}

/// Whether `address` lies in `range`.
pub(super) fn has(range: &Interval, address: Ipv6Addr) -> bool {
    range.first() <= address && address <= range.last()
}
