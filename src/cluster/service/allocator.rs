//! Who gives a Service its addresses.

use std::collections::BTreeSet;

use super::{Request, Service};
use crate::cluster::transition::Allocator;
use crate::config::ObjectRef;
use crate::plan::Finding;
use crate::prefix::Interval;

/// A pool of the cluster, as far as it tells whose a Service is.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'a> {
    /// Who hands out its addresses.
    pub allocator: Allocator,
    /// The IPv6 addresses in its list, ours or the user's.
    pub live: &'a [Interval],
    /// Whether the part of the prefix that the Service refers to is bound to it.
    pub is_bound: bool,
}

/// Why it cannot be said who the allocator of a Service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// It has signs of both, or pools of both might serve it.
    Both,
    /// Nothing points to either.
    Neither,
    /// Its class is that of another program.
    OtherClass(Box<str>),
    /// Its class is `io.cilium/node`: it gets the addresses of nodes.
    NodeAddresses,
}

/// Who gives `service` its addresses.
///
/// # Errors
/// Says why that cannot be known; such a Service is not written.
pub fn allocator(service: &Service, pools: &[Pool<'_>]) -> Result<Allocator, Undecided> {
    let _unused = (service, pools, Request::Unknown, BTreeSet::<Allocator>::new());
    Err(Undecided::Neither)
}

/// Why `service` must not be written although its allocator is known.
pub fn obstacle(reference: &ObjectRef, service: &Service, allocator: Allocator) -> Option<Finding> {
    let _ = (reference, service, allocator);
    None
}
