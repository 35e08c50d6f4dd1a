//! A Service of type LoadBalancer, cut to what its addresses depend on.
//!
//! A cluster may have thousands of them, of which we manage a few, so what most do not have takes no room. The
//! annotations stay in [`Object::annotations`](super::object::Object::annotations), as far as `keeps` says.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::object::{MANAGED_BY, is_mark};
use super::selector::Labels;
use super::transition::Allocator;
use crate::config::ObjectRef;

mod allocator;
mod ask;

pub use allocator::{LONGEST_LIST, NO_IPV6, Pool, Undecided, allocator, obstacle, too_long};
pub use ask::{named, named_without_v6, pinned_by_user, requested, requested_without_v6};

/// Records the addresses that a Service asks for on our behalf.
pub const MANAGED_IPS: &str = "dynamic-prefix.io/managed-ips";
/// Records the addresses that DNS names on our behalf; one record for all annotations of external-dns.
pub const MANAGED_TARGETS: &str = "dynamic-prefix.io/managed-targets";
/// Records the host part, so that it stays whatever prefix comes.
pub const MANAGED_SUFFIX: &str = "dynamic-prefix.io/managed-suffix";

/// What the annotation for the DNS target is called behind each prefix of external-dns.
pub const TARGET: &str = "target";

/// The condition by which LB-IPAM speaks; the second is what it was called before.
const CONDITIONS: [&str; 2] = ["cilium.io/IPAMRequestSatisfied", "io.cilium/lb-ipam-request-satisfied"];

/// Keys of LB-IPAM, each with what it was called before.
mod cilium {
    pub(super) const IPS: [&str; 2] = ["lbipam.cilium.io/ips", "io.cilium/lb-ipam-ips"];
    pub(super) const SHARING_KEY: [&str; 2] = ["lbipam.cilium.io/sharing-key", "io.cilium/lb-ipam-sharing-key"];
    pub(super) const CROSS_NAMESPACE: [&str; 2] =
        ["lbipam.cilium.io/sharing-cross-namespace", "io.cilium/lb-ipam-sharing-cross-namespace"];
}

/// Keys of MetalLB, each with what it was called before 0.14.9.
mod metallb {
    pub(super) const IPS: [&str; 2] = ["metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs"];
    pub(super) const SHARING_KEY: [&str; 2] = ["metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip"];
    pub(super) const POOL: [&str; 2] = ["metallb.io/address-pool", "metallb.universe.tf/address-pool"];
    /// Written by its controller.
    pub(super) const FROM_POOL: [&str; 2] =
        ["metallb.io/ip-allocated-from-pool", "metallb.universe.tf/ip-allocated-from-pool"];
}

/// The annotation by which a Service asks for addresses.
pub const fn pin_key(allocator: Allocator) -> &'static str {
    pin_keys(allocator)[0]
}

/// The annotation, and what it was called before.
const fn pin_keys(allocator: Allocator) -> [&'static str; 2] {
    match allocator {
        Allocator::Cilium => cilium::IPS,
        Allocator::MetalLb => metallb::IPS,
    }
}

/// What a Service asks for by annotation. The older key counts only where the other is absent, as for the allocators
/// themselves; what is written goes to [`pin_key`], with the entries of the older one as the user's.
pub fn pins(annotations: &BTreeMap<String, String>, allocator: Allocator) -> Option<&str> {
    first(annotations, pin_keys(allocator))
}

/// The annotation of external-dns with this prefix (which ends in "/").
pub fn target_key(prefix: &str) -> String {
    format!("{prefix}{TARGET}")
}

/// The recorded host part; `None`: there is none that can be read.
pub fn recorded_suffix(annotations: &BTreeMap<String, String>) -> Option<Ipv6Addr> {
    annotations.get(MANAGED_SUFFIX)?.trim().parse().ok()
}

/// What is cut from a Service, beside its annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Whether `spec.type` is LoadBalancer.
    pub is_load_balancer: bool,
    /// `spec.loadBalancerClass`
    pub class: Option<Box<str>>,
    /// `spec.loadBalancerIP`
    pub load_balancer_ip: Option<Box<str>>,
    /// `spec.ipFamilies`
    pub families: Families,
    /// The addresses in `status.loadBalancer.ingress`; the order says nothing.
    pub ingress: Box<[IpAddr]>,
    /// What LB-IPAM says about what is asked for.
    pub request: Request,
    /// What tells who its allocator is.
    pub signs: Signs,
    /// By which it shares addresses with others.
    pub sharing: Option<Box<Sharing>>,
    /// By which pools select it; `metadata.generation` does not count them.
    pub labels: Labels,
}

/// `spec.ipFamilies`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    /// IPv4 is in it.
    pub v4: bool,
    /// IPv6 is in it.
    pub v6: bool,
}

/// The condition `cilium.io/IPAMRequestSatisfied`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Request {
    /// There is no such condition.
    #[default]
    Unknown,
    /// True. It is that even if some entries of the list mean nothing to it.
    Satisfied,
    /// Not True.
    Unsatisfied(Box<Unsatisfied>),
}

/// Why LB-IPAM did not give a Service all it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsatisfied {
    /// `reason`: "no_pool", "already_allocated", ...
    pub reason: Box<str>,
    /// `message`
    pub message: Box<str>,
}

/// What tells who the allocator of a Service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Keys by which somebody asks LB-IPAM for something.
    pub cilium: bool,
    /// Keys by which somebody asks MetalLB for something.
    pub metallb: bool,
    /// The key by which MetalLB says where it took the addresses from.
    pub from_metallb_pool: bool,
}

/// By which a Service shares its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// `lbipam.cilium.io/sharing-key`
    pub cilium: Option<Box<str>>,
    /// `lbipam.cilium.io/sharing-cross-namespace`: the other namespaces, or `*`.
    pub cross_namespace: Option<Box<str>>,
    /// `metallb.io/allow-shared-ip`
    pub metallb: Option<Box<str>>,
}

impl Service {
    /// Cuts a Service as the API server sends it; `annotations` are those that were kept of it.
    pub(super) fn from_json(value: &Value, annotations: &BTreeMap<String, String>) -> Self {
        let (spec, status) = (&value["spec"], &value["status"]);
        let families = |family: &str| spec["ipFamilies"].as_array().into_iter().flatten().any(|value| value == family);
        let ingress = status["loadBalancer"]["ingress"].as_array().into_iter().flatten();
        Self {
            is_load_balancer: spec["type"] == "LoadBalancer",
            class: text(&spec["loadBalancerClass"]),
            load_balancer_ip: text(&spec["loadBalancerIP"]),
            families: Families { v4: families("IPv4"), v6: families("IPv6") },
            ingress: ingress.filter_map(|entry| entry["ip"].as_str()?.parse().ok()).collect(),
            request: request(&status["conditions"]),
            signs: signs(annotations),
            sharing: sharing(annotations),
            labels: Labels::from_json(&value["metadata"]["labels"]),
        }
    }

    /// The IPv6 addresses in its status.
    pub fn v6(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.ingress.iter().filter_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        })
    }

    /// The IPv4 addresses in its status.
    pub fn v4(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.ingress.iter().filter_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })
    }

    /// Why LB-IPAM will not give it `address`, whatever pools do: somebody else has it, or the pool is not for this
    /// Service. The condition speaks of one address only, the last in the list that it could not give.
    pub fn refusal(&self, address: IpAddr) -> Option<&Unsatisfied> {
        let Request::Unsatisfied(why) = &self.request else { return None };
        let is_final = why.reason.starts_with("already_allocated") || &*why.reason == "pool_selector_mismatch";
        // The message quotes the address: "The IP '2001:db8::5' is already allocated to another service".
        let quoted = why.message.split('\'').find_map(|part| part.parse::<IpAddr>().ok());
        (is_final && quoted.is_none_or(|quoted| quoted == address)).then_some(why)
    }
}

/// Whether two Services of one allocator may hold the same address, as far as keys and namespaces say.
pub fn may_share(allocator: Allocator, one: (&ObjectRef, &Service), other: (&ObjectRef, &Service)) -> bool {
    let (Some(a), Some(b)) = (one.1.sharing.as_deref(), other.1.sharing.as_deref()) else { return false };
    match allocator {
        Allocator::MetalLb => a.metallb.is_some() && a.metallb == b.metallb,
        Allocator::Cilium => {
            let lets_in = |sharing: &Sharing, who: &ObjectRef| {
                // LB-IPAM does not trim them.
                let mut listed = sharing.cross_namespace.as_deref().unwrap_or_default().split(',');
                listed.any(|listed| listed == "*" || who.namespace.as_deref() == Some(listed))
            };
            let is_near = one.0.namespace == other.0.namespace || lets_in(a, other.0) && lets_in(b, one.0);
            a.cilium.is_some() && a.cilium == b.cilium && is_near
        }
    }
}

/// Whether an annotation of a Service is kept.
pub(super) fn keeps(key: &str) -> bool {
    let named = [
        cilium::IPS,
        cilium::SHARING_KEY,
        cilium::CROSS_NAMESPACE,
        metallb::IPS,
        metallb::SHARING_KEY,
        metallb::POOL,
        metallb::FROM_POOL,
    ];
    is_mark(key) || is_target(key) || named.iter().flatten().any(|name| *name == key)
}

/// Whether an annotation of a Service is one that we write.
pub(super) fn is_written(key: &str) -> bool {
    let ours = [MANAGED_IPS, MANAGED_TARGETS, MANAGED_SUFFIX, MANAGED_BY];
    is_target(key) || ours.contains(&key) || [cilium::IPS[0], metallb::IPS[0]].contains(&key)
}

/// A DNS target. Which prefixes count is the cluster's setting; others are few.
pub(super) fn is_target(key: &str) -> bool {
    key.rsplit_once('/').is_some_and(|(_, name)| name == TARGET)
}

fn text(value: &Value) -> Option<Box<str>> {
    value.as_str().filter(|text| !text.is_empty()).map(Box::from)
}

fn first<'a>(annotations: &'a BTreeMap<String, String>, keys: [&str; 2]) -> Option<&'a str> {
    keys.iter().find_map(|key| annotations.get(*key)).map(String::as_str)
}

fn request(conditions: &Value) -> Request {
    let of_type = |name: &str| conditions.as_array().into_iter().flatten().find(|condition| condition["type"] == name);
    let Some(condition) = CONDITIONS.into_iter().find_map(of_type) else { return Request::Unknown };
    if condition["status"] == "True" {
        return Request::Satisfied;
    }
    let field = |name: &str| Box::from(condition[name].as_str().unwrap_or_default());
    Request::Unsatisfied(Box::new(Unsatisfied { reason: field("reason"), message: field("message") }))
}

fn signs(annotations: &BTreeMap<String, String>) -> Signs {
    let any = |keys: &[[&str; 2]]| keys.iter().flatten().any(|key| annotations.contains_key(*key));
    Signs {
        cilium: any(&[cilium::IPS, cilium::SHARING_KEY]),
        metallb: any(&[metallb::IPS, metallb::SHARING_KEY, metallb::POOL]),
        from_metallb_pool: any(&[metallb::FROM_POOL]),
    }
}

fn sharing(annotations: &BTreeMap<String, String>) -> Option<Box<Sharing>> {
    let key = |keys| first(annotations, keys).filter(|text| !text.is_empty()).map(Box::from);
    let sharing = Sharing {
        cilium: key(cilium::SHARING_KEY),
        cross_namespace: key(cilium::CROSS_NAMESPACE),
        metallb: key(metallb::SHARING_KEY),
    };
    (sharing != Sharing::default()).then(|| Box::new(sharing))
}

#[cfg(test)]
mod tests;
