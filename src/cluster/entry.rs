//! Entries of the lists we share with the user: what they mean, how ours are written, how they are recorded.
//!
//! An entry is known by the addresses it stands for, never by its spelling: `2001:DB8:0::/64`, `2001:db8::5/64` and
//! the range of the same bounds are one entry. What cannot be read has no meaning for us and is the user's, verbatim.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use serde_json::{Value, json};

use crate::config::Kind;
use crate::plan::Block;
use crate::prefix::Interval;

/// What an entry stands for: all addresses from the first to the last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Entry {
    /// IPv4 addresses, both ends included. Never ours.
    V4(Ipv4Addr, Ipv4Addr),
    /// IPv6 addresses.
    V6(Interval),
}

impl Entry {
    /// Reads one element of the list of a `kind`, as its controller reads it; `None` if the controller could not.
    pub fn parse(kind: Kind, value: &Value) -> Option<Self> {
        match kind {
            Kind::CiliumLoadBalancerIPPool => Self::from_block(value),
            Kind::CiliumCIDRGroup => Self::from_cidr(value.as_str()?),
            Kind::IPAddressPool => Self::from_text(value.as_str()?),
            // A Service has no list of ranges.
            Kind::Service => None,
        }
    }

    /// The addresses, if they are IPv6.
    pub const fn v6(self) -> Option<Interval> {
        match self {
            Self::V4(..) => None,
            Self::V6(interval) => Some(interval),
        }
    }

    /// LB-IPAM: `cidr` wins over `start`; an absent or empty `stop` means one address.
    fn from_block(block: &Value) -> Option<Self> {
        let field = |name: &str| block.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(cidr) = field("cidr") {
            return Self::from_cidr(cidr);
        }
        let start = field("start")?;
        Self::from_ends(start, field("stop").unwrap_or(start))
    }

    /// MetalLB: a CIDR, or two addresses with a hyphen and perhaps spaces between.
    fn from_text(text: &str) -> Option<Self> {
        match text.split_once('-') {
            Some((start, stop)) => Self::from_ends(start.trim(), stop.trim()),
            None => Self::from_cidr(text),
        }
    }

    /// Cilium and MetalLB mask host bits away.
    fn from_cidr(text: &str) -> Option<Self> {
        match text.parse().ok()? {
            IpNet::V4(net) => Some(Self::V4(net.network(), net.broadcast())),
            IpNet::V6(net) => Some(Self::V6(Interval::from(net))),
        }
    }

    fn from_ends(start: &str, stop: &str) -> Option<Self> {
        match (start.parse().ok()?, stop.parse().ok()?) {
            (IpAddr::V4(first), IpAddr::V4(last)) => (first <= last).then_some(Self::V4(first, last)),
            (IpAddr::V6(first), IpAddr::V6(last)) => Interval::new(first, last).map(Self::V6),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }
}

/// The blocks that a list of `kind` can hold for `block`: a CIDR group has no ranges, so one becomes its exact CIDRs.
pub fn fit(kind: Kind, block: Block) -> Vec<Block> {
    match (kind, block) {
        (Kind::CiliumCIDRGroup, Block::Range(range)) => range.to_nets().into_iter().map(Block::Cidr).collect(),
        (Kind::CiliumCIDRGroup, Block::Cidr(_))
        | (Kind::CiliumLoadBalancerIPPool | Kind::IPAddressPool, Block::Cidr(_) | Block::Range(_)) => vec![block],
        (Kind::Service, Block::Cidr(_) | Block::Range(_)) => Vec::new(),
    }
}

/// Writes `block`, which must [`fit`], as an element of the list of a `kind`.
pub fn render(kind: Kind, block: Block) -> Value {
    match (kind, block) {
        (Kind::CiliumLoadBalancerIPPool, Block::Cidr(net)) => json!({ "cidr": net.trunc().to_string() }),
        (Kind::CiliumLoadBalancerIPPool, Block::Range(range)) => {
            json!({ "start": range.first().to_string(), "stop": range.last().to_string() })
        }
        (Kind::CiliumCIDRGroup | Kind::IPAddressPool | Kind::Service, Block::Cidr(_) | Block::Range(_)) => {
            Value::String(plain(block))
        }
    }
}

/// An element of a list as a person would write it: `P/LEN` or `A-B`; what has no such form stays as JSON.
pub fn describe(value: &Value) -> String {
    let field = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (value, field("cidr"), field("start"), field("stop")) {
        (Value::String(text), ..) => text.clone(),
        (_, Some(cidr), ..) => cidr.to_owned(),
        (_, None, Some(start), Some(stop)) => format!("{start}-{stop}"),
        (_, None, Some(start), None) => start.to_owned(),
        (_, None, None, _) => value.to_string(),
    }
}

/// A block as a person would write it: `P/LEN` or `A-B`.
pub fn plain(block: Block) -> String {
    match block {
        Block::Cidr(net) => net.trunc().to_string(),
        Block::Range(range) => range.to_string(),
    }
}

/// The canonical text of an entry of ours, in the record on the object and in the store.
pub struct Recorded(pub Block);

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Block::Cidr(net) => write!(f, "cidr={}", net.trunc()),
            Block::Range(range) => write!(f, "range={range}"),
        }
    }
}

/// The text of a whole record.
pub fn write_record(blocks: &[Block]) -> String {
    blocks.iter().map(|block| Recorded(*block).to_string()).collect::<Vec<_>>().join(",")
}

/// Reads a record: ours, or one of the in-cluster operators in other spellings. What cannot be read owns nothing.
pub fn read_record(text: &str) -> Vec<Block> {
    text.split(',').filter_map(read_recorded).collect()
}

/// Reads `cidr=P/LEN`, `range=A-B`, `range=A`, or the same without the word.
pub fn read_recorded(text: &str) -> Option<Block> {
    let text = text.trim();
    let text = text.strip_prefix("cidr=").or_else(|| text.strip_prefix("range=")).unwrap_or(text);
    if let Some((start, stop)) = text.split_once('-') {
        return Interval::new(start.trim().parse().ok()?, stop.trim().parse().ok()?).map(Block::Range);
    }
    if text.contains('/') {
        return text.parse::<Ipv6Net>().ok().map(|net| Block::Cidr(net.trunc()));
    }
    let address: Ipv6Addr = text.parse().ok()?;
    Interval::new(address, address).map(Block::Range)
}

#[cfg(test)]
mod tests;
