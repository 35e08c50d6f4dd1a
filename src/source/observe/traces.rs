//! The traces of delegations in what netlink tells: routes for all that was delegated, and addresses. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::source::dhcpv6::client::is_unicast;
use crate::time::{Deadline, Instant};

/// The metric of netifd's routes, and of those that our own client makes (`unreachableRoute`).
const HIGH_METRIC: u32 = 2_147_483_647;
/// The end of the preferred and the valid lifetime of every address, by interface.
pub(super) type Addresses = BTreeMap<(u32, Ipv6Addr), (Deadline, Deadline)>;

/// A route as the kernel tells two apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    pub(super) prefix: Ipv6Net,
    table: u32,
    metric: u32,
    kind: u8,
}

/// Whether a netlink message can tell anything of a delegation.
pub(super) fn is_evidence(message: &RouteNetlinkMessage) -> bool {
    if let RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) = message {
        delegation(route).is_some()
    } else if let RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address) = message {
        lifetimes(address, Instant::BOOT).is_some()
    } else {
        false
    }
}

/// The route, if a client made it for all that it was delegated. Those that our own client makes are none: they look as
/// no other program's do.
pub(super) fn delegation(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    if header.address_family != AddressFamily::Inet6
        || ![RouteType::Unreachable, RouteType::BlackHole, RouteType::Prohibit].contains(&header.kind)
    {
        return None;
    }
    let (mut table, mut address, mut metric) = (u32::from(header.table), None, 0);
    for attribute in &message.attributes {
        if let RouteAttribute::Table(id) = attribute {
            table = *id;
        } else if let RouteAttribute::Destination(RouteAddress::Inet6(destination)) = attribute {
            address = Some(*destination);
        } else if let RouteAttribute::Priority(priority) = attribute {
            metric = *priority;
        }
    }
    let is_ours = header.kind == RouteType::Unreachable && metric == HIGH_METRIC;
    let is_theirs = (header.protocol == RouteProtocol::Dhcp && !is_ours)
        || (header.protocol == RouteProtocol::Static && metric == HIGH_METRIC);
    let prefix = Ipv6Net::new(address?, header.destination_prefix_length).ok()?;
    (is_theirs && is_unicast(prefix)).then(|| Route { prefix, table, metric, kind: header.kind.into() })
}

/// Which address it is, and until when. Temporary addresses (RFC 8981) end before the prefix they are made in. An address
/// alone, without its link, numbers none: it may be the virtual one of a load balancer, out of what we have handed out.
pub(super) fn lifetimes(message: &AddressMessage, now: Instant) -> Option<((u32, Ipv6Addr), (Deadline, Deadline))> {
    if message.header.family != AddressFamily::Inet6 || message.header.prefix_len == 128 {
        return None;
    }
    let (mut found, mut ends) = (None, (Deadline::Never, Deadline::Never));
    for attribute in &message.attributes {
        if let AddressAttribute::Local(IpAddr::V6(local)) = attribute {
            found = Some(*local);
        } else if let AddressAttribute::Address(IpAddr::V6(address)) = attribute {
            found = found.or(Some(*address));
        } else if let AddressAttribute::CacheInfo(cache) = attribute {
            ends = (Deadline::after(now, cache.ifa_preferred), Deadline::after(now, cache.ifa_valid));
        } else if let AddressAttribute::Flags(flags) = attribute
            && flags.contains(AddressFlags::Secondary)
        {
            return None;
        }
    }
    found.filter(|address| !address.is_unicast_link_local()).map(|address| ((message.header.index, address), ends))
}
