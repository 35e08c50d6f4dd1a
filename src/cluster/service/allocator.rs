//! Who gives a Service its addresses, and what we ask for on its behalf.

use std::collections::BTreeMap;

use super::{Families, Request, Service, keeps, pin_key};
use crate::cluster::transition::Allocator;
use crate::config::ObjectRef;
use crate::plan::Finding;
use crate::prefix::Interval;

/// The classes of LB-IPAM begin with this; it takes them only where the announcing part of Cilium is on.
const CILIUM_CLASS: &str = "io.cilium/";

/// The class by which Cilium hands out the addresses of nodes; nothing can be asked for.
const NODE_CLASS: &str = "io.cilium/node";

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

/// Who gives `service` its addresses. `pools` are those of the cluster, of both allocators.
///
/// What the Service carries decides, then the pools that hold its addresses, then those that it is bound to. After that,
/// where it carries signs of both (a cluster that moved from one to the other leaves such), what the allocators wrote
/// themselves; where it carries none, all pools there are. Without `pools`, it is decided only if they would not matter.
///
/// # Errors
/// Says why that cannot be known; such a Service is not written.
pub fn allocator(service: &Service, pools: &[Pool<'_>]) -> Result<Allocator, Undecided> {
    let holds = |pool: &Pool<'_>| service.v6().any(|held| pool.live.iter().any(|range| contains(range, held)));
    let holding = || Candidates::of(pools.iter().filter(|pool| holds(pool)));
    let bound = || Candidates::of(pools.iter().filter(|pool| pool.is_bound));
    let any = || Candidates::of(pools.iter());
    match service.class.as_deref() {
        Some(NODE_CLASS) => return Err(Undecided::NodeAddresses),
        Some(class) if class.starts_with(CILIUM_CLASS) => return Ok(Allocator::Cilium),
        // LB-IPAM leaves a class that it does not know alone; MetalLB takes the one it was started with.
        Some(class) => {
            let is_metallb = signs(service).metallb || holding().metallb;
            return if is_metallb { Ok(Allocator::MetalLb) } else { Err(Undecided::OtherClass(class.into())) };
        }
        None => {}
    }
    let signs = signs(service);
    let found = match (signs.cilium, signs.metallb) {
        (true, true) if pools.is_empty() => None,
        (true, true) => [holding(), bound(), written(service)].into_iter().find_map(Candidates::only),
        (true, false) | (false, true) => signs.only(),
        (false, false) => [holding(), bound(), any()].into_iter().find_map(Candidates::only),
    };
    let is_open = || signs.both() || any().both();
    found.ok_or_else(|| if is_open() { Undecided::Both } else { Undecided::Neither })
}

/// Who it may be.
#[derive(Clone, Copy, Default)]
struct Candidates {
    cilium: bool,
    metallb: bool,
}

impl Candidates {
    fn of<'a>(pools: impl Iterator<Item = &'a Pool<'a>>) -> Self {
        pools.fold(Self::default(), |found, pool| match pool.allocator {
            Allocator::Cilium => Self { cilium: true, ..found },
            Allocator::MetalLb => Self { metallb: true, ..found },
        })
    }

    const fn only(self) -> Option<Allocator> {
        match (self.cilium, self.metallb) {
            (true, false) => Some(Allocator::Cilium),
            (false, true) => Some(Allocator::MetalLb),
            (true, true) | (false, false) => None,
        }
    }

    const fn both(self) -> bool {
        self.cilium && self.metallb
    }
}

/// What the Service carries, whoever wrote it.
fn signs(service: &Service) -> Candidates {
    let signs = service.signs;
    let condition = !matches!(service.request, Request::Unknown);
    Candidates { cilium: signs.cilium || condition, metallb: signs.metallb || signs.from_metallb_pool }
}

/// What the allocators themselves wrote. That LB-IPAM is not satisfied says little: it says so of every Service without
/// a class, also where MetalLB serves it.
fn written(service: &Service) -> Candidates {
    Candidates { cilium: service.request == Request::Satisfied, metallb: service.signs.from_metallb_pool }
}

fn contains(range: &Interval, address: std::net::Ipv6Addr) -> bool {
    range.first() <= address && address <= range.last()
}

impl Undecided {
    /// What there is to say about the Service `reference`.
    pub fn finding(&self, reference: &ObjectRef) -> Finding {
        let (reason, message) = match self {
            Self::Both => (
                "AllocatorUnknown",
                format!(
                    "{reference} may get its addresses from Cilium LB-IPAM or from MetalLB, so it is not written. Set \
                     its spec.loadBalancerClass, or remove the annotations of the one that does not serve it."
                ),
            ),
            Self::Neither => (
                "AllocatorUnknown",
                format!(
                    "Nothing tells who gives {reference} its addresses, so it is not written. Bind its range to a \
                     CiliumLoadBalancerIPPool or an IPAddressPool."
                ),
            ),
            Self::OtherClass(class) => (
                "AllocatorUnknown",
                format!(
                    "{reference} has the loadBalancerClass \"{}\", which is neither of Cilium LB-IPAM nor, as far as \
                     can be seen, of MetalLB, so it is not written. If it is MetalLB's, it is written as soon as it has \
                     an address.",
                    class.escape_debug()
                ),
            ),
            Self::NodeAddresses => (
                "NodeAddresses",
                format!(
                    "{reference} has the loadBalancerClass {NODE_CLASS}: Cilium gives it the addresses of nodes, and it \
                     cannot ask for others. Choose another class, or stop managing it."
                ),
            ),
        };
        Finding { reason, message, blocks_write: true }
    }
}

/// So many addresses, names and commas may stand in a list; to compare thousands takes long, and somebody wrote them by
/// mistake or to stop us.
pub const LONGEST_LIST: usize = 1000;

/// Why a Service with these annotations is not even read.
pub fn too_long(reference: &ObjectRef, annotations: &BTreeMap<String, String>) -> Option<Finding> {
    let is_long = |(key, text): &(&String, &String)| {
        keeps(key) && text.bytes().filter(|byte| *byte == b',').count() >= LONGEST_LIST
    };
    let (key, _) = annotations.iter().find(is_long)?;
    let message = format!(
        "The annotation {} of {reference} has more than {LONGEST_LIST} entries, so the Service is left as it is. Take out          what does not belong there.",
        key.escape_debug(),
    );
    Some(Finding { reason: "ListTooLong", message, blocks_write: true })
}

/// The reason in status of a Service that has only IPv4.
pub const NO_IPV6: &str = "NoIPv6";

/// Why `service` must not be written although its allocator is known.
pub fn obstacle(reference: &ObjectRef, service: &Service, allocator: Allocator) -> Option<Finding> {
    let finding = |reason, message| Some(Finding { reason, message, blocks_write: true });
    if !service.is_load_balancer {
        let message = format!("{reference} is not of type LoadBalancer, so it has no addresses to follow a prefix.");
        return finding("NotLoadBalancer", message);
    }
    if service.families == (Families { v4: true, v6: false }) {
        let message = format!(
            "{reference} has only IPv4 in spec.ipFamilies, so an IPv6 address would lead nowhere. Set its \
             spec.ipFamilyPolicy to PreferDualStack, or its spec.ipFamilies to IPv6."
        );
        return finding(NO_IPV6, message);
    }
    match (allocator, &service.load_balancer_ip) {
        (Allocator::MetalLb, Some(address)) => finding(
            "LoadBalancerIP",
            format!(
                "{reference} has spec.loadBalancerIP \"{}\", and MetalLB refuses that beside the annotation {}. Remove \
                 spec.loadBalancerIP.",
                address.escape_debug(),
                pin_key(allocator),
            ),
        ),
        (Allocator::MetalLb, None) | (Allocator::Cilium, _) => None,
    }
}
