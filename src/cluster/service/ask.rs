//! What we ask for, and name, on behalf of a Service: the IPv6 addresses of a transition, and the IPv4 addresses that
//! would be lost beside them.

use std::net::{IpAddr, Ipv6Addr};

use super::{Families, Service, pin_key};
use crate::cluster::addresses::Owned;
use crate::cluster::transition::Allocator;
use crate::config::ObjectRef;
use crate::plan::Finding;

/// What of ours belongs in the annotation by which a Service asks for addresses, when it is to ask for `pins`; empty: it
/// is left to the allocator.
///
/// A list without an IPv4 address takes that away from a Service, with Cilium and with MetalLB, so it is asked for
/// too: the one in the status; one that we asked for before and that is gone from the status (an allocator that starts
/// anew may show none) is asked for still. The user's own IPv4 address takes its place.
pub fn requested(service: &Service, owned: &Owned, pins: &[Ipv6Addr]) -> Vec<IpAddr> {
    if pins.is_empty() {
        return Vec::new();
    }
    requested_without_v6(service, owned).into_iter().chain(pins.iter().copied().map(IpAddr::V6)).collect()
}

/// The same for a Service that has lost its IPv6: it keeps the IPv4 address that it asked for beside.
pub fn requested_without_v6(service: &Service, owned: &Owned) -> Vec<IpAddr> {
    let has_own = owned.users.iter().any(IpAddr::is_ipv4);
    v4(service, owned).into_iter().filter(|_| !has_own).collect()
}

/// What of ours belongs in an annotation that tells external-dns what to name, when that is `target`.
///
/// Such an annotation takes the place of all that external-dns would find, so that without the IPv4 address the A record
/// would go. While an allocator that starts anew shows no address at all, the IPv4 address that it asks for (`owned`) goes
/// on being named.
pub fn named(service: &Service, owned: &Owned, target: Ipv6Addr) -> Vec<IpAddr> {
    named_without_v6(service, owned).into_iter().chain([IpAddr::V6(target)]).collect()
}

/// The same for a Service that has lost its IPv6: DNS goes on naming its IPv4 addresses.
pub fn named_without_v6(service: &Service, owned: &Owned) -> Vec<IpAddr> {
    if service.ingress.is_empty() { v4(service, owned) } else { held(service) }
}

/// The IPv4 addresses in the status, else those of ours in the annotation.
fn v4(service: &Service, owned: &Owned) -> Vec<IpAddr> {
    if service.families == (Families { v4: false, v6: true }) {
        return Vec::new();
    }
    let held = held(service);
    if held.is_empty() { owned.ours.iter().filter(|address| address.is_ipv4()).copied().collect() } else { held }
}

/// What there is to say where the user's own pin leaves no room for `new`: MetalLB gives a Service one IPv6 address and
/// refuses a list with two.
pub fn pinned_by_user(
    reference: &ObjectRef,
    allocator: Allocator,
    owned: &Owned,
    new: Option<Ipv6Addr>,
) -> Option<Finding> {
    let own = owned.users.iter().find(|address| address.is_ipv6() && new.map(IpAddr::V6) != Some(**address))?;
    let key = pin_key(allocator);
    let message = format!(
        "The annotation {key} of {reference} names your own address {own}, and MetalLB gives a Service one IPv6 address, \
         so it does not follow the prefix. Remove {own} from it, or stop managing the Service."
    );
    (allocator == Allocator::MetalLb).then_some(Finding { reason: "PinnedByUser", message, blocks_write: true })
}

fn held(service: &Service) -> Vec<IpAddr> {
    service.v4().map(IpAddr::V4).collect()
}
