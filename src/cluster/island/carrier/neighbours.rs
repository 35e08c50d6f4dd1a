//! What others do that bears on a managed Service: pools, and Services at the same address.

use std::net::Ipv6Addr;

use super::super::books::{Books, Footing};
use super::{Carrier, Right};
use crate::cluster::service::{self, Service, Undecided};
use crate::cluster::transition::Allocator;
use crate::config::ObjectRef;
use crate::prefix::Interval;

/// What others do that bears on a Service.
#[derive(Debug)]
pub(in super::super) struct Neighbours {
    pub(in super::super) allocator: Result<Allocator, Undecided>,
    /// Another Service that has its new address, or asks for it, and does not share it.
    pub(in super::super) holder: Option<Holder>,
    /// Other managed Services that are to have the same address, do not share it, and have as good a right to it.
    pub(in super::super) rivals: Vec<ObjectRef>,
    /// Whether it is to take another host part.
    pub(in super::super) gives_way: GivesWay,
    /// The addresses that it asks for and another Service has, and does not share.
    pub(in super::super) kept_from_it: Vec<Ipv6Addr>,
    /// Whether the pools that have its addresses are narrowed, as far as they will be, and their controllers know it.
    pub(in super::super) narrowed: bool,
}

/// A Service that has, or asks for, what another one is to have.
#[derive(Debug)]
pub(in super::super) struct Holder {
    pub(in super::super) service: ObjectRef,
    /// The other address that it is to have itself.
    pub(in super::super) to: Option<Ipv6Addr>,
    /// Whether it is on its way there.
    pub(in super::super) leaves: bool,
}

impl Holder {
    /// Who has `address`, as far as `keeps_out` says that it matters. One that stays tells more than one that leaves.
    fn of(books: &Books, address: Ipv6Addr, keeps_out: impl Fn(&&ObjectRef) -> bool) -> Option<Self> {
        let holder = |service: &ObjectRef| {
            let to = books.footing(service).and_then(|footing| footing.new).filter(|to| *to != address);
            let leaves = to.is_some() && books.footing(service).and_then(Footing::goes_to) == to;
            Self { service: service.clone(), to, leaves }
        };
        books.takers(address).filter(keeps_out).map(holder).min_by_key(|holder| holder.leaves)
    }
}

/// Whether a Service takes another host part, because another Service has its address or a better right to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum GivesWay {
    No,
    /// If it lasts: the other one may be on its way out, and a host part that is written down is kept if it can be.
    IfItLasts,
    Now,
}

/// The Services that bear on `reference`.
pub(in super::super) fn neighbours<'a>(
    books: &Books,
    (reference, facts, carrier): (&ObjectRef, &Service, &Carrier),
    allocator: Result<Allocator, Undecided>,
    narrowed: bool,
    facts_of: impl Fn(&ObjectRef) -> Option<&'a Service>,
) -> Neighbours {
    let keeps_out = |other: &&ObjectRef| {
        let shares = |allocator| {
            facts_of(other).is_some_and(|its| service::may_share(allocator, (reference, facts), (other, its)))
        };
        *other != reference && !allocator.as_ref().is_ok_and(|allocator| shares(*allocator))
    };
    let new = carrier.address();
    let holder = new.and_then(|new| Holder::of(books, new, keeps_out));
    let rivals: Vec<ObjectRef> =
        new.into_iter().flat_map(|new| books.claimants(new)).filter(keeps_out).cloned().collect();
    let gives_way = new.map_or(GivesWay::No, |new| {
        let has_it = books.holds(reference, new);
        let yields = |rival: &ObjectRef| {
            let theirs = books.footing(rival).map(|footing| footing.right);
            theirs.is_some_and(|theirs| yields_to((reference, carrier.right), (rival, theirs), has_it))
        };
        match carrier.right {
            Right::Given => GivesWay::No,
            Right::Found | Right::Kept if rivals.iter().any(yields) => GivesWay::Now,
            Right::Found | Right::Kept if has_it || holder.is_none() => GivesWay::No,
            Right::Found => GivesWay::Now,
            Right::Kept => GivesWay::IfItLasts,
        }
    });
    // Only those that have as good a right to it.
    let is_given = |rival: &ObjectRef| books.footing(rival).is_some_and(|footing| footing.right == Right::Given);
    let rivals = rivals.into_iter().filter(|rival| carrier.right == Right::Given && is_given(rival)).collect();
    let asked = books.addresses(reference).filter(|address| !books.holds(reference, *address));
    let kept_from_it = asked.filter(|address| books.takers(*address).any(|taker| keeps_out(&taker))).collect();
    Neighbours { holder, rivals, gives_way, kept_from_it, narrowed, allocator }
}

/// Which of two Services with the same address to come gives way.
fn yields_to((service, right): (&ObjectRef, Right), (rival, theirs): (&ObjectRef, Right), has_it: bool) -> bool {
    match (right, theirs) {
        (Right::Found, Right::Kept | Right::Given) => true,
        _ if has_it => false,
        _ => (theirs, service) > (right, rival),
    }
}

/// Whether it cannot be known from a Service what its allocator is without looking at the pools.
pub(in super::super) fn allocator(
    facts: &Service,
    pools: impl FnOnce() -> Vec<PoolSight>,
) -> Result<Allocator, Undecided> {
    service::allocator(facts, &[]).or_else(|_| {
        let pools = pools();
        let sights: Vec<_> = pools.iter().map(PoolSight::as_pool).collect();
        service::allocator(facts, &sights)
    })
}

/// A pool, as far as it tells whose a Service is.
pub(in super::super) struct PoolSight {
    pub(in super::super) allocator: Allocator,
    pub(in super::super) live: Vec<Interval>,
    pub(in super::super) is_bound: bool,
}

impl PoolSight {
    fn as_pool(&self) -> service::Pool<'_> {
        service::Pool { allocator: self.allocator, live: &self.live, is_bound: self.is_bound }
    }
}
