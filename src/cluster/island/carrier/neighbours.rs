//! What others do that bears on a managed Service: pools, and Services at the same address.

use std::net::Ipv6Addr;

use super::super::books::Books;
use crate::cluster::service::{self, Service, Undecided};
use crate::cluster::transition::Allocator;
use crate::config::ObjectRef;
use crate::prefix::Interval;

/// What others do that bears on a Service.
#[derive(Debug)]
pub(in super::super) struct Neighbours {
    pub(in super::super) allocator: Result<Allocator, Undecided>,
    /// Another Service that has its new address, or asks for it, and does not share it.
    pub(in super::super) holder: Option<ObjectRef>,
    /// Other managed Services that are to have the same address and do not share it.
    pub(in super::super) rivals: Vec<ObjectRef>,
}

/// The Services that bear on `reference`.
pub(in super::super) fn neighbours<'a>(
    books: &Books,
    (reference, facts): (&ObjectRef, &Service),
    new: Option<Ipv6Addr>,
    allocator: Result<Allocator, Undecided>,
    facts_of: impl Fn(&ObjectRef) -> Option<&'a Service>,
) -> Neighbours {
    let keeps_out = |other: &&ObjectRef| {
        let shares = |allocator| {
            facts_of(other).is_some_and(|its| service::may_share(allocator, (reference, facts), (other, its)))
        };
        *other != reference && !allocator.as_ref().is_ok_and(|allocator| shares(*allocator))
    };
    let holder = new.and_then(|new| books.takers(new).find(keeps_out).cloned());
    let rivals = new.into_iter().flat_map(|new| books.claimants(new)).filter(keeps_out).cloned().collect();
    Neighbours { holder, rivals, allocator }
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
