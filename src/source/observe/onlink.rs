//! The prefixes of the links themselves, as the kernel tells them by RTM_NEWPREFIX. Pure.
//!
//! The kernel sends one for every Prefix Information option that it takes (RFC 4861 §4.6.2): such a prefix numbers the
//! link, and is no delegation. It is never offered, and only said to whoever wonders why there is none. Where the kernel
//! takes no Router Advertisements (`accept_ra`), as under most managers of networks, nothing comes.
//!
//! No message says that a prefix is over, and none tells those that were there before: their lifetimes are counted here.

use ipnet::Ipv6Net;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::prefix::{PrefixAttribute, PrefixMessage};

use crate::time::{Deadline, Instant};

/// AF_INET6.
const INET6: u8 = 10;
/// How many prefixes are kept, of all links.
const MOST: usize = 32;

/// The flags of kernels since December 2023 (6.8, and the stable ones) are those of the option itself, those of others the
/// kernel's own (IF_PREFIX_ONLINK, IF_PREFIX_AUTOCONF of linux/if_addr.h). They have no bit in common.
const ON_LINK: u8 = 0x80 | 0x01;
/// See [`ON_LINK`].
const AUTONOMOUS: u8 = 0x40 | 0x02;

/// A prefix of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    ifindex: u32,
    pub(super) prefix: Ipv6Net,
    /// Its addresses are reached without a router (flag L).
    pub(super) on_link: bool,
    /// Hosts make addresses of it (flag A).
    pub(super) autonomous: bool,
    valid_until: Deadline,
}

/// Those of all links.
#[derive(Clone, Debug, Default)]
pub(super) struct OnLink(Vec<Announced>);

impl OnLink {
    /// Takes one netlink message; those that are not about IPv6 prefixes of links change nothing.
    pub(super) fn apply(&mut self, message: &RouteNetlinkMessage, now: Instant) {
        let Some(new) = announced(message, now) else { return };
        self.0.retain(|known| (known.ifindex, known.prefix) != (new.ifindex, new.prefix));
        if new.valid_until.is_over(now) {
            return;
        }
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(new);
    }

    /// Those of one link, ascending.
    pub(super) fn on(&self, ifindex: u32) -> Vec<Announced> {
        let mut here: Vec<_> = self.0.iter().filter(|known| known.ifindex == ifindex).copied().collect();
        here.sort_by_key(|known| known.prefix);
        here
    }

    /// Forgets those that are over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|known| !known.valid_until.is_over(now));
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.iter().filter_map(|known| known.valid_until.instant()).min()
    }
}

/// Whether a netlink message tells of a prefix of a link.
pub(super) fn is_announcement(message: &RouteNetlinkMessage) -> bool {
    announced(message, Instant::BOOT).is_some()
}

fn announced(message: &RouteNetlinkMessage, now: Instant) -> Option<Announced> {
    let RouteNetlinkMessage::NewPrefix(PrefixMessage { header, attributes }) = message else { return None };
    let (mut address, mut valid) = (None, Deadline::INFINITY);
    for attribute in attributes {
        if let PrefixAttribute::Address(prefix) = attribute {
            address = Some(*prefix);
        } else if let PrefixAttribute::CacheInfo(cache) = attribute {
            valid = cache.valid_time;
        }
    }
    let prefix = Ipv6Net::new(address?, header.prefix_len).ok()?.trunc();
    let network = prefix.network();
    let is_of_hosts = !network.is_unicast_link_local() && !network.is_multicast() && !network.is_unspecified();
    (header.prefix_family == INET6 && is_of_hosts).then_some(Announced {
        ifindex: u32::try_from(header.ifindex).ok()?,
        prefix,
        on_link: header.flags & ON_LINK != 0,
        autonomous: header.flags & AUTONOMOUS != 0,
        valid_until: Deadline::after(now, valid),
    })
}
