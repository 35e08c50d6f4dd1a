//! Who manages a Service of type LoadBalancer, and which address it should have in each generation.
//!
//! Its address is the prefix and a *host part*, counted from the start of the prefix: the one that the user asked for
//! (`suffix`), else the one recorded on the Service, else that of an address which it has.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::{Catalogue, ComputedGeneration, EntryError, Finding};
use crate::config::{Mode, ObjectRef, Part, Service};

/// The name under which `transition.services = "all"` manages a Service.
pub const ALL: &str = "(services = all)";

/// The name under which a `[[service]]` manages a Service.
pub const ENTRY: &str = "[[service]]";

/// Who manages a Service, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceWant {
    /// [`ENTRY`], [`ANNOTATION`](super::ANNOTATION) or [`ALL`].
    pub who: &'static str,
    /// The DynamicPrefix.
    pub dynamic_prefix: String,
    /// Where in the prefix its address has to lie; `Whole`: anywhere.
    pub part: Part,
    /// `transition.mode` of the DynamicPrefix.
    pub mode: Mode,
    /// The host part that the user asked for.
    pub suffix: Option<Ipv6Addr>,
    /// Whether DNS is ours to say: mode ha, and not `skip-external-dns-update`.
    pub dns: bool,
    /// Whether the DynamicPrefix has an opinion; without one the Service is left as it is.
    pub has_opinion: bool,
    /// What is wrong or odd. One with `blocks_write` keeps the Service as it is.
    pub findings: Vec<Finding>,
}

/// A part of a DynamicPrefix that is bound to a pool of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The DynamicPrefix.
    pub dynamic_prefix: String,
    /// Its ranges and subnets on the pool.
    pub part: Part,
}

/// What a Service shows that matters for `transition.services = "all"`.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Its annotations.
    pub annotations: &'a BTreeMap<String, String>,
    /// The IPv6 addresses in its status, and those that it asks for on our behalf: it stays managed while it has none.
    pub addresses: &'a [Ipv6Addr],
}

/// Who manages the Service `reference` with these annotations by name, and how.
///
/// `entries` are the `[[service]]` of its cluster, in file order; those for other Services are passed over. `discovery`
/// says whether annotations count. `None`: nobody does; [`service_of_all`] may.
pub fn service(
    _reference: &ObjectRef,
    _annotations: &BTreeMap<String, String>,
    _entries: &[Service],
    _discovery: bool,
    _catalogue: &Catalogue,
) -> Option<ServiceWant> {
    None
}

/// Who manages a Service that nobody manages by name: the first DynamicPrefix with `transition.services = "all"` that
/// has one of its addresses in a range bound to a pool of this cluster.
///
/// A Service whose annotation names a DynamicPrefix is left to that one, be it ours or not.
pub fn service_of_all(
    _sight: Sight<'_>,
    _bound: &[Bound],
    _discovery: bool,
    _catalogue: &Catalogue,
) -> Option<ServiceWant> {
    None
}

impl ServiceWant {
    /// Whether a finding keeps the Service as it is.
    pub fn is_blocked(&self) -> bool {
        self.findings.iter().any(|finding| finding.blocks_write)
    }

    /// Its host part: the one asked for, else the `recorded` one, else that of the newest generation in whose part it
    /// `holds` an address. `None`: the allocator gives it its first address.
    pub fn host_part(
        &self,
        _catalogue: &Catalogue,
        _recorded: Option<Ipv6Addr>,
        _holds: &[Ipv6Addr],
    ) -> Option<Ipv6Addr> {
        None
    }

    /// Its address in the current generation; `None`: there is no current prefix, or no opinion yet.
    pub fn current_address(&self, _catalogue: &Catalogue, _host: Ipv6Addr) -> Option<Result<Ipv6Addr, EntryError>> {
        None
    }

    /// Its addresses in the former generations, newest first; those that cannot be are left out.
    pub fn former_addresses(&self, _catalogue: &Catalogue, _host: Ipv6Addr) -> Vec<Ipv6Addr> {
        Vec::new()
    }

    /// Its address in one generation.
    ///
    /// # Errors
    /// The host part has bits inside the prefix, or lies outside the part: it is never silently cut.
    pub fn address(&self, _generation: &ComputedGeneration, _host: Ipv6Addr) -> Result<Ipv6Addr, EntryError> {
        Err(EntryError { entry: "suffix".to_owned(), message: String::new() })
    }
}

/// A Service and its address in the current generation, for [`collisions`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The Service.
    pub service: ObjectRef,
    /// The address.
    pub address: Ipv6Addr,
    /// What it may share its address with: the sharing key of its allocator; empty: none.
    pub sharing_key: Option<String>,
}

/// The Services that want the same address and do not share it: each of them with what is to be said about it.
pub fn collisions(_claims: &[Claim]) -> BTreeMap<ObjectRef, Finding> {
    BTreeMap::new()
}
