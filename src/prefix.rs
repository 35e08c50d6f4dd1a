//! IPv6 prefixes and address intervals: arithmetic and the filter for prefixes we accept.

use std::fmt;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

/// The addresses from `first` to `last`, both included; `first <= last` always holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    first: Ipv6Addr,
    last: Ipv6Addr,
}

impl Interval {
    /// The interval of both addresses, or `None` when `first` lies after `last`.
    pub fn new(first: Ipv6Addr, last: Ipv6Addr) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The first address.
    pub const fn first(&self) -> Ipv6Addr {
        self.first
    }

    /// The last address.
    pub const fn last(&self) -> Ipv6Addr {
        self.last
    }

    /// Whether every address of `other` is in this interval.
    pub fn contains(&self, other: &Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// Whether the two have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// What is left of this interval without the addresses of `holes`, in ascending order.
    pub fn without(&self, holes: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut left = vec![*self];
        for hole in holes {
            left = left.into_iter().flat_map(|piece| piece.without_one(&hole)).collect();
        }
        left
    }

    fn without_one(self, hole: &Self) -> impl Iterator<Item = Self> + use<> {
        let (before, after) = if self.overlaps(hole) {
            let before = (self.first < hole.first)
                .then(|| Self { first: self.first, last: Ipv6Addr::from_bits(hole.first.to_bits() - 1) });
            let after = (hole.last < self.last)
                .then(|| Self { first: Ipv6Addr::from_bits(hole.last.to_bits() + 1), last: self.last });
            (before, after)
        } else {
            (Some(self), None)
        };
        before.into_iter().chain(after)
    }

    /// The one prefix that holds exactly these addresses, if there is one.
    pub fn to_net(&self) -> Option<Ipv6Net> {
        let net = Ipv6Net::new(self.first, common_prefix_len(self.first, self.last)).ok()?;
        (Self::from(net) == *self).then_some(net)
    }

    /// The fewest prefixes that hold exactly these addresses, in ascending order.
    pub fn to_nets(&self) -> Vec<Ipv6Net> {
        ipnet::Ipv6Subnets::new(self.first, self.last, 0).collect()
    }
}

impl From<Ipv6Net> for Interval {
    fn from(net: Ipv6Net) -> Self {
        Self { first: net.network(), last: net.broadcast() }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn common_prefix_len(a: Ipv6Addr, b: Ipv6Addr) -> u8 {
    // At most 128, so it fits.
    (a.to_bits() ^ b.to_bits()).leading_zeros() as u8
}

/// Which prefixes of a source may be used (`acquisition.prefixFilter`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixFilter {
    /// Only prefixes inside 2000::/3 (RFC 4291 §2.4); otherwise unique local ones (fc00::/7) and others too.
    pub require_global_unicast: bool,
    /// Only prefixes inside one of these; empty: no such limit.
    pub allow: Vec<Ipv6Net>,
}

impl Default for PrefixFilter {
    fn default() -> Self {
        Self { require_global_unicast: true, allow: Vec::new() }
    }
}

/// 2000::/3, the global unicast space that IANA assigns from (RFC 4291 §2.4).
pub const GLOBAL_UNICAST: Interval = Interval {
    first: Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0),
    last: Ipv6Addr::new(0x3fff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff),
};

/// Why a prefix is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// A prefix of length 0 is a default route, not a prefix to number from.
    #[error("a prefix of length 0 holds every address")]
    Everything,
    /// A prefix of length 128 is one address.
    #[error("a prefix of length 128 is a single address")]
    SingleAddress,
    /// Unspecified, loopback, link-local, multicast or IPv4-mapped.
    #[error("it is not unicast address space that can be routed")]
    NotUnicast,
    /// Not inside 2000::/3 while `requireGlobalUnicast` is true.
    #[error("it is not global unicast (2000::/3); prefixFilter.requireGlobalUnicast = false allows it")]
    NotGlobalUnicast,
    /// Not inside any prefix of `prefixFilter.allow`.
    #[error("it lies outside prefixFilter.allow")]
    NotAllowed,
}

impl PrefixFilter {
    /// Whether `prefix` may be used.
    ///
    /// # Errors
    /// Says which rule refuses it.
    pub fn check(&self, prefix: Ipv6Net) -> Result<(), Rejection> {
        let address = prefix.network();
        match prefix.prefix_len() {
            0 => return Err(Rejection::Everything),
            128 => return Err(Rejection::SingleAddress),
            _ => {}
        }
        if address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || address.is_unicast_link_local()
            || address.to_ipv4_mapped().is_some()
        {
            return Err(Rejection::NotUnicast);
        }
        if self.require_global_unicast && !GLOBAL_UNICAST.contains(&Interval::from(prefix)) {
            return Err(Rejection::NotGlobalUnicast);
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|allowed| allowed.contains(&prefix)) {
            return Err(Rejection::NotAllowed);
        }
        Ok(())
    }
}

/// `prefix` cut to `length` bits: the delegation that an on-link prefix is part of. A shorter prefix stays as it is.
pub fn covering(prefix: Ipv6Net, length: u8) -> Ipv6Net {
    if prefix.prefix_len() <= length {
        return prefix.trunc();
    }
    Ipv6Net::new(prefix.addr(), length).map_or(prefix, |net| net.trunc())
}

#[cfg(test)]
mod tests;
