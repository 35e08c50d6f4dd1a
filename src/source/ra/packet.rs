//! Router Advertisements and Solicitations as bytes (RFC 4861 §4.1, §4.2, §4.6). Pure.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

/// ICMPv6 type of a Router Solicitation (RFC 4861 §4.1).
pub const ROUTER_SOLICITATION: u8 = 133;
/// ICMPv6 type of a Router Advertisement (RFC 4861 §4.2).
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// The hop limit that proves that a neighbour sent a packet, as every router decrements it (RFC 4861 §6.1.2).
pub const HOP_LIMIT: u8 = 255;

const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
const PREFIX_INFORMATION: u8 = 3;
/// The fixed part of an advertisement, before the options.
const HEADER: usize = 16;
/// Lengths of options are in units of 8 octets (RFC 4861 §4.6).
const UNIT: usize = 8;
const PREFIX_INFORMATION_UNITS: usize = 4;

const MANAGED: u8 = 0x80;
const OTHER: u8 = 0x40;
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;
const PD_PREFERRED: u8 = 0x10;

/// An ICMPv6 message as the socket gives it. The kernel has verified its checksum.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The IPv6 source address.
    pub source: Ipv6Addr,
    /// The hop limit it arrived with; `None`: the kernel did not say.
    pub hop_limit: Option<u8>,
    /// Whether it was put together from fragments.
    pub fragmented: bool,
    /// The ICMPv6 message, from its type on.
    pub bytes: &'a [u8],
}

/// A valid Router Advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The link-local address of the router that sent it.
    pub router: Ipv6Addr,
    /// For how many seconds it is a default router; 0: it is none, and its prefixes count all the same.
    pub router_lifetime: u16,
    /// M: addresses are available by DHCPv6.
    pub managed: bool,
    /// O: other configuration is available by DHCPv6.
    pub other: bool,
    /// Its Prefix Information options, in order, without those in `ignored`.
    pub prefixes: Vec<PrefixInformation>,
    /// The Prefix Information options that were left out, one reason for each.
    pub ignored: Vec<Ignored>,
}

/// A Prefix Information option (RFC 4861 §4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixInformation {
    /// The prefix, host bits zero.
    pub prefix: Ipv6Net,
    /// L: the prefix is on this link.
    pub on_link: bool,
    /// A: hosts may form addresses from it.
    pub autonomous: bool,
    /// P: a delegated prefix is preferred to addresses from this one (RFC 9762).
    pub pd_preferred: bool,
    /// The preferred lifetime in seconds, 0xffffffff for ever.
    pub preferred: u32,
    /// The valid lifetime in seconds, 0xffffffff for ever.
    pub valid: u32,
}

/// Why a packet is not a valid Router Advertisement for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum DropReason {
    /// RFC 4861 §6.1.2
    #[error("its source address is not link-local")]
    SourceNotLinkLocal,
    /// RFC 4861 §6.1.2: it came through a router, so no neighbour sent it.
    #[error("its hop limit is not 255")]
    HopLimit,
    /// RFC 6980 §5
    #[error("it came in fragments")]
    Fragmented,
    /// RFC 4861 §6.1.2
    #[error("it is shorter than 16 octets")]
    TooShort,
    /// Some other ICMPv6 message.
    #[error("it is not a Router Advertisement")]
    Type,
    /// RFC 4861 §6.1.2
    #[error("its ICMP code is not 0")]
    Code,
    /// RFC 4861 §4.6, §6.1.2
    #[error("it has an option of length 0 or one that reaches past its end")]
    Option,
    /// We are this router ourselves.
    #[error("it came from an address of this host")]
    OwnAddress,
    /// No DynamicPrefix on this interface wants this router.
    #[error("its router is not in any list of routers")]
    RouterNotListed,
    /// All places are taken by routers in good standing.
    #[error("there are too many routers")]
    TooManyRouters,
}

impl DropReason {
    /// A word for the statistics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SourceNotLinkLocal => "source-not-link-local",
            Self::HopLimit => "hop-limit",
            Self::Fragmented => "fragmented",
            Self::TooShort => "too-short",
            Self::Type => "type",
            Self::Code => "code",
            Self::Option => "option",
            Self::OwnAddress => "own-address",
            Self::RouterNotListed => "router-not-listed",
            Self::TooManyRouters => "too-many-routers",
        }
    }
}

/// Why a Prefix Information option is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Ignored {
    /// RFC 4861 §4.6.2
    #[error("the option is not 32 octets long")]
    OptionLength,
    /// More than 128 bits.
    #[error("the prefix is longer than 128 bits")]
    PrefixLength,
    /// RFC 4861 §6.3.4 (link-local), and what no one can number from.
    #[error("the prefix is link-local, multicast, loopback or unspecified")]
    NotUnicast,
    /// RFC 4862 §5.5.3 (c)
    #[error("the preferred lifetime is longer than the valid one")]
    PreferredExceedsValid,
    /// Neither L nor A: it says nothing about this link (RFC 4861 §6.3.4).
    #[error("neither the on-link nor the autonomous flag is set")]
    NoFlags,
    /// All places of its router are taken.
    #[error("its router announces too many prefixes")]
    TooManyPrefixes,
}

/// Reads and validates a Router Advertisement (RFC 4861 §6.1.2). Options we do not know are skipped.
///
/// # Errors
/// The first check that fails; then nothing of the packet may be used.
pub fn parse(received: &Received<'_>) -> Result<Advertisement, DropReason> {
    let Received { source, hop_limit, fragmented, bytes } = *received;
    if bytes.first().is_some_and(|kind| *kind != ROUTER_ADVERTISEMENT) {
        return Err(DropReason::Type);
    }
    if !source.is_unicast_link_local() {
        return Err(DropReason::SourceNotLinkLocal);
    }
    if hop_limit != Some(HOP_LIMIT) {
        return Err(DropReason::HopLimit);
    }
    if fragmented {
        return Err(DropReason::Fragmented);
    }
    let Some((&[_type, code, _, _, _cur_hop_limit, flags, lifetime_high, lifetime_low, ..], options)) =
        bytes.split_first_chunk::<HEADER>()
    else {
        return Err(DropReason::TooShort);
    };
    if code != 0 {
        return Err(DropReason::Code);
    }
    let (prefixes, ignored) = prefixes(options)?;
    Ok(Advertisement {
        router: source,
        router_lifetime: u16::from_be_bytes([lifetime_high, lifetime_low]),
        managed: flags & MANAGED != 0,
        other: flags & OTHER != 0,
        prefixes,
        ignored,
    })
}

fn prefixes(mut options: &[u8]) -> Result<(Vec<PrefixInformation>, Vec<Ignored>), DropReason> {
    let (mut prefixes, mut ignored) = (Vec::new(), Vec::new());
    while !options.is_empty() {
        let (option, rest) = split_option(options).ok_or(DropReason::Option)?;
        options = rest;
        if option.first() != Some(&PREFIX_INFORMATION) {
            continue;
        }
        match prefix_information(option) {
            Ok(prefix) => prefixes.push(prefix),
            Err(reason) => ignored.push(reason),
        }
    }
    Ok((prefixes, ignored))
}

/// The first option, with its type and length octets, and what follows it; `None` when it is malformed.
fn split_option(options: &[u8]) -> Option<(&[u8], &[u8])> {
    let units = options.get(1).copied().filter(|units| *units > 0)?;
    options.split_at_checked(usize::from(units) * UNIT)
}

fn prefix_information(option: &[u8]) -> Result<PrefixInformation, Ignored> {
    let Ok(option) = <&[u8; PREFIX_INFORMATION_UNITS * UNIT]>::try_from(option) else {
        return Err(Ignored::OptionLength);
    };
    let [_, _, length, flags, v0, v1, v2, v3, p0, p1, p2, p3, _, _, _, _, address @ ..] = *option;
    let prefix = Ipv6Net::new(Ipv6Addr::from(address), length).map_err(|_| Ignored::PrefixLength)?.trunc();
    let information = PrefixInformation {
        prefix,
        on_link: flags & ON_LINK != 0,
        autonomous: flags & AUTONOMOUS != 0,
        pd_preferred: flags & PD_PREFERRED != 0,
        preferred: u32::from_be_bytes([p0, p1, p2, p3]),
        valid: u32::from_be_bytes([v0, v1, v2, v3]),
    };
    information.check().map(|()| information)
}

impl PrefixInformation {
    fn check(&self) -> Result<(), Ignored> {
        let address = self.prefix.addr();
        if address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || address.is_unicast_link_local()
        {
            return Err(Ignored::NotUnicast);
        }
        if self.preferred > self.valid {
            return Err(Ignored::PreferredExceedsValid);
        }
        if !self.on_link && !self.autonomous {
            return Err(Ignored::NoFlags);
        }
        Ok(())
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        let flags = [(self.on_link, ON_LINK), (self.autonomous, AUTONOMOUS), (self.pd_preferred, PD_PREFERRED)]
            .into_iter()
            .filter(|(set, _)| *set)
            .fold(0, |flags, (_, flag)| flags | flag);
        bytes.extend([PREFIX_INFORMATION, 4, self.prefix.prefix_len(), flags]);
        bytes.extend(self.valid.to_be_bytes());
        bytes.extend(self.preferred.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.prefix.addr().octets());
    }
}

impl Advertisement {
    /// The bytes of this advertisement, as a router would send them; for simulated routers. The checksum is zero:
    /// the kernel fills it in on a raw ICMPv6 socket.
    pub fn encode(&self) -> Vec<u8> {
        let flags = if self.managed { MANAGED } else { 0 } | if self.other { OTHER } else { 0 };
        let [lifetime_high, lifetime_low] = self.router_lifetime.to_be_bytes();
        let cur_hop_limit = 64;
        let mut bytes = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, cur_hop_limit, flags, lifetime_high, lifetime_low];
        // Reachable time and retransmission timer: unspecified.
        bytes.resize(HEADER, 0);
        for prefix in &self.prefixes {
            prefix.encode(&mut bytes);
        }
        bytes
    }
}

/// A Router Solicitation (RFC 4861 §4.1) with our link-layer address, where the interface has one: so the router need
/// not look for us before it answers. The checksum is zero: the kernel fills it in.
pub fn router_solicitation(mac: Option<[u8; 6]>) -> Vec<u8> {
    let mut bytes = vec![ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    if let Some(mac) = mac {
        bytes.extend([SOURCE_LINK_LAYER_ADDRESS, 1]);
        bytes.extend(mac);
    }
    bytes
}

#[cfg(test)]
mod tests;
