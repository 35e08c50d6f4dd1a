//! Two Services must not ask for the same address, unless they share it.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::super::Finding;
use crate::config::ObjectRef;

/// A Service and its address in the current generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The Service.
    pub service: ObjectRef,
    /// The address.
    pub address: Ipv6Addr,
    /// With whom it shares its address, as its allocator reads it; empty is the same as none.
    pub sharing_key: Option<String>,
}

impl Claim {
    fn shares_with(&self, other: &Self) -> bool {
        let key = self.sharing_key.as_ref().filter(|key| !key.is_empty());
        key.is_some() && key == other.sharing_key.as_ref()
    }
}

/// The Services that want the same address and do not share it: what is to be said about each of them. None of them is
/// to be written, because the one that comes second would lose its address at the next chance.
pub fn collisions(claims: &[Claim]) -> BTreeMap<ObjectRef, Finding> {
    let mut by_address: BTreeMap<Ipv6Addr, Vec<&Claim>> = BTreeMap::new();
    for claim in claims {
        by_address.entry(claim.address).or_default().push(claim);
    }
    by_address.into_values().flat_map(among).collect()
}

/// Those of one address. Whoever has the same key is one party, so the first Service and the first one of another party
/// are all that has to be looked at.
fn among(mut claims: Vec<&Claim>) -> Vec<(ObjectRef, Finding)> {
    claims.sort_by_key(|claim| &claim.service);
    let Some((first, rest)) = claims.split_first() else { return Vec::new() };
    let Some(stranger) = rest.iter().find(|claim| !claim.shares_with(first)) else { return Vec::new() };
    let collided = rest.iter().map(|claim| {
        let other = if claim.shares_with(first) { stranger } else { first };
        (claim.service.clone(), finding(claim, other))
    });
    std::iter::once((first.service.clone(), finding(first, stranger))).chain(collided).collect()
}

fn finding(claim: &Claim, other: &Claim) -> Finding {
    let message = format!(
        "{} and {} would both have the address {}, and they have no sharing key in common, so neither is written. Give \
         one of them another suffix, or both the same sharing key (lbipam.cilium.io/sharing-key for Cilium, \
         metallb.io/allow-shared-ip for MetalLB).",
        claim.service, other.service, claim.address
    );
    Finding { reason: "AddressCollision", message, blocks_write: true }
}
