//! What the controller of a pool says of it, and whether it has seen the list as it stands.

use std::net::IpAddr;

use serde_json::Value;

use super::Object;
use crate::cluster::entry::Entry;
use crate::config::Kind;

/// What the controller of a pool says in its status.
///
/// Of Cilium, only the `IPs*` conditions follow every change of the spec; `PoolConflict` keeps the generation of its
/// last change (seen on Cilium 1.20).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// `observedGeneration` of `cilium.io/IPsTotal`.
    pub generation: Option<i64>,
    /// The message of `cilium.io/PoolConflict` while it is True.
    pub conflict: Option<String>,
    /// `spec.disabled` of a Cilium pool: nothing new is handed out of it.
    pub is_disabled: bool,
    /// How many IPv6 addresses MetalLB counts: `status.assignedIPv6` and `status.availableIPv6` together.
    pub addresses: Option<i64>,
}

/// Whether a controller has seen the list of its pool as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sight {
    /// It has, and the pool is in service.
    Seen,
    /// It has not, or the pool is out of service.
    NotSeen,
    /// It says nothing that would tell.
    CannotTell,
}

pub(super) fn observed(kind: Kind, object: &Value) -> Option<Observed> {
    match kind {
        Kind::CiliumLoadBalancerIPPool => Some(of_cilium(object)),
        Kind::IPAddressPool => of_metallb(&object["status"]),
        Kind::CiliumCIDRGroup | Kind::Service => None,
    }
}

fn of_cilium(object: &Value) -> Observed {
    let condition = |kind: &str| {
        let all = object["status"]["conditions"].as_array().into_iter().flatten();
        all.into_iter().find(|condition| condition["type"] == kind)
    };
    let conflict = condition("cilium.io/PoolConflict").filter(|condition| condition["status"] == "True");
    Observed {
        generation: condition("cilium.io/IPsTotal").and_then(|condition| condition["observedGeneration"].as_i64()),
        conflict: conflict.map(|condition| condition["message"].as_str().unwrap_or_default().to_owned()),
        is_disabled: object["spec"]["disabled"] == true,
        addresses: None,
    }
}

fn of_metallb(status: &Value) -> Option<Observed> {
    let (assigned, available) = (status["assignedIPv6"].as_i64()?, status["availableIPv6"].as_i64()?);
    // It counts with as many bits, and lets them overflow; see `metallb_count`.
    Some(Observed { addresses: Some(assigned.wrapping_add(available)), ..Observed::default() })
}

/// Whether the controller of `pool` has seen its list as it stands.
///
/// MetalLB says only how many addresses it counts (since 0.15): where the list as it was before had the same
/// [`metallb_count`], that they agree says nothing.
pub fn sight(pool: &Object) -> Sight {
    match pool.reference.kind {
        Kind::CiliumLoadBalancerIPPool => of_generation(pool),
        Kind::IPAddressPool => {
            let counted = pool.observed.as_ref().and_then(|observed| observed.addresses);
            match (counted, metallb_count(&pool.list)) {
                (Some(counted), Some(expected)) if counted == expected => Sight::Seen,
                (Some(_), Some(_)) => Sight::NotSeen,
                (None, _) | (_, None) => Sight::CannotTell,
            }
        }
        Kind::CiliumCIDRGroup | Kind::Service => Sight::CannotTell,
    }
}

fn of_generation(pool: &Object) -> Sight {
    let observed = pool.observed.as_ref();
    if observed.is_some_and(|observed| observed.conflict.is_some() || observed.is_disabled) {
        return Sight::NotSeen;
    }
    match (observed.and_then(|observed| observed.generation), pool.generation) {
        (Some(seen), Some(is)) if seen >= is => Sight::Seen,
        (Some(_) | None, Some(_)) => Sight::NotSeen,
        (_, None) => Sight::CannotTell,
    }
}

/// How many IPv6 addresses MetalLB counts in a list; `None`: one of its entries makes no sense to it, so that it goes
/// on with what it had.
///
/// It counts CIDR by CIDR; one of 2^62 addresses or more sets the sum to the greatest number there is, and those behind
/// it are added all the same (seen in MetalLB 0.16).
pub fn metallb_count(list: &[Value]) -> Option<i64> {
    let mut count = 0_i64;
    for entry in list {
        let Entry::V6(interval) = Entry::parse(Kind::IPAddressPool, entry)? else { continue };
        for net in interval.to_nets() {
            let bits = 128 - u32::from(net.prefix_len());
            count = if bits >= 62 { i64::MAX } else { count.wrapping_add(1 << bits) };
        }
    }
    Some(count)
}

/// Whether the list of `pool` holds all of `addresses`. MetalLB takes all addresses of a Service from one pool.
pub fn holds(pool: &Object, addresses: &[IpAddr]) -> bool {
    let entries = || pool.list.iter().filter_map(|entry| Entry::parse(pool.reference.kind, entry));
    addresses.iter().all(|address| {
        entries().any(|entry| match (entry, address) {
            (Entry::V4(first, last), IpAddr::V4(address)) => (first..=last).contains(address),
            (Entry::V6(interval), IpAddr::V6(address)) => (interval.first()..=interval.last()).contains(address),
            (Entry::V4(..), IpAddr::V6(_)) | (Entry::V6(_), IpAddr::V4(_)) => false,
        })
    })
}
