//! From an IPv6 packet, as a packet socket shows it, to the datagram of a DHCPv6 client or server in it. Pure.

use std::net::Ipv6Addr;

/// The port of clients (RFC 9915 §7.2).
pub(super) const CLIENT_PORT: u16 = 546;
/// The port of servers and relay agents.
pub(super) const SERVER_PORT: u16 = 547;

const HEADER: usize = 40;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
/// Hop-by-hop, routing and destination options (RFC 8200 §4.1): what may stand before UDP and has a length.
const EXTENSIONS: [u8; 3] = [0, 43, 60];
/// How many of them are gone through. Nobody sends even one with DHCPv6.
const MOST_EXTENSIONS: usize = 4;

/// A packet, from its IPv6 header on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured<'a> {
    /// Its octets, and perhaps what fills up an Ethernet frame.
    pub bytes: &'a [u8],
    /// The kernel has verified the checksum, or it is not computed yet because the packet never left this machine.
    pub checksum_known: bool,
}

/// What there is to read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) payload: &'a [u8],
}

/// Why a packet is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum DropReason {
    /// Cut short, or not IPv6.
    #[error("it is no whole IPv6 packet")]
    NotWhole,
    /// One of several parts: nothing here puts them together.
    #[error("it came in fragments")]
    Fragmented,
    /// Something else than UDP, or more headers before it than anybody has a use for.
    #[error("it is no UDP packet")]
    NotUdp,
    /// RFC 8200 §8.1
    #[error("its UDP checksum is wrong")]
    Checksum,
}

impl DropReason {
    /// A word for the reason, for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotWhole => "not-whole",
            Self::Fragmented => "fragmented",
            Self::NotUdp => "not-udp",
            Self::Checksum => "checksum",
        }
    }
}

/// Reads a packet.
pub(super) fn parse<'a>(captured: &Captured<'a>) -> Result<Datagram<'a>, DropReason> {
    let (header, rest) = captured.bytes.split_first_chunk::<HEADER>().ok_or(DropReason::NotWhole)?;
    if header[0] >> 4 != 6 {
        return Err(DropReason::NotWhole);
    }
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let payload = rest.get(..length).ok_or(DropReason::NotWhole)?;
    let udp = upper_layer(header[6], payload)?;
    let (ports, _) = udp.split_first_chunk::<UDP_HEADER>().ok_or(DropReason::NotWhole)?;
    let length = usize::from(u16::from_be_bytes([ports[4], ports[5]]));
    let udp = udp.get(..length).ok_or(DropReason::NotWhole)?;
    let datagram = Datagram {
        source: address(header, 8),
        destination: address(header, 24),
        source_port: u16::from_be_bytes([ports[0], ports[1]]),
        destination_port: u16::from_be_bytes([ports[2], ports[3]]),
        payload: udp.get(UDP_HEADER..).ok_or(DropReason::NotWhole)?,
    };
    if captured.checksum_known || checksum(datagram.source, datagram.destination, udp) == 0 {
        Ok(datagram)
    } else {
        Err(DropReason::Checksum)
    }
}

fn address(header: &[u8; HEADER], at: usize) -> Ipv6Addr {
    let octets = header.get(at..at + 16).and_then(|octets| <[u8; 16]>::try_from(octets).ok());
    octets.map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from)
}

/// Goes on to the UDP header.
fn upper_layer(first: u8, payload: &[u8]) -> Result<&[u8], DropReason> {
    let (mut kind, mut rest) = (first, payload);
    for _ in 0..=MOST_EXTENSIONS {
        if kind == UDP {
            return Ok(rest);
        }
        if kind == FRAGMENT {
            return Err(DropReason::Fragmented);
        }
        if !EXTENSIONS.contains(&kind) {
            return Err(DropReason::NotUdp);
        }
        let &[next, length, ..] = rest else { return Err(DropReason::NotWhole) };
        rest = rest.get((usize::from(length) + 1) * 8..).ok_or(DropReason::NotWhole)?;
        kind = next;
    }
    Err(DropReason::NotUdp)
}

/// The checksum over all of it, its own field included: 0 when it is right (RFC 8200 §8.1). No checksum at all is
/// wrong, too: such a packet would count as 0xffff.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, udp: &[u8]) -> u16 {
    let length = u32::try_from(udp.len()).unwrap_or(u32::MAX).to_be_bytes();
    let pseudo = [source.octets().as_slice(), &destination.octets(), &length, &[0, 0, 0, UDP]].concat();
    let mut sum = 0_u32;
    for octets in pseudo.chunks(2).chain(udp.chunks(2)) {
        let word = match *octets {
            [high, low] => u16::from_be_bytes([high, low]),
            [high] => u16::from_be_bytes([high, 0]),
            _ => 0,
        };
        sum = sum.wrapping_add(u32::from(word));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}
