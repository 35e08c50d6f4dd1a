//! Tables of peers.md §1.8 (row ids in the comments) and properties.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::Block;
use crate::arbiter::{Current, Generation, Previous, PreviousState, Reason, Snapshot};
use crate::config::{Acquisition, AddressRange, DynamicPrefix, Place, Subnet, Transition};
use crate::source::{SourceId, SourceKind};
use crate::time::{Deadline, Instant};

mod addresses;
mod arithmetic;
mod collisions;
mod objects;
mod overlapping;
mod properties;
mod services;
mod shares;

fn net(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

fn address(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn range(name: &str, start: &str, end: &str) -> AddressRange {
    AddressRange { name: name.into(), start: address(start), end: address(end) }
}

fn by_index(name: &str, index: &[u128], prefix_length: u8) -> Subnet {
    Subnet { name: name.into(), place: Place::Index(index.to_vec()), prefix_length }
}

fn by_offset(name: &str, offset: u128, prefix_length: u8) -> Subnet {
    Subnet { name: name.into(), place: Place::Offset(offset), prefix_length }
}

fn dynamic_prefix(name: &str, address_ranges: Vec<AddressRange>, subnets: Vec<Subnet>) -> DynamicPrefix {
    DynamicPrefix {
        name: name.into(),
        acquisition: Acquisition::default(),
        address_ranges,
        subnets,
        transition: Transition::default(),
    }
}

/// `2001:db8::/64` or `2001:db8::1-2001:db8::5`.
fn show(blocks: &[Block]) -> Vec<String> {
    blocks
        .iter()
        .map(|block| match block {
            Block::Cidr(net) => net.to_string(),
            Block::Range(interval) => interval.to_string(),
        })
        .collect()
}

fn source() -> SourceId {
    SourceId::of(SourceKind::Static)
}

fn current(prefix: Ipv6Net) -> Current {
    Current {
        generation: Generation(99),
        prefix,
        source: source(),
        routers: Vec::new(),
        acquired_at: Instant::BOOT,
        preferred_until: Deadline::Never,
        valid_until: Deadline::Never,
        excluded: Vec::new(),
        lost: None,
    }
}

fn previous(prefix: Ipv6Net, state: PreviousState) -> Previous {
    Previous {
        generation: Generation(1),
        prefix,
        source: source(),
        routers: Vec::new(),
        acquired_at: Instant::BOOT,
        deprecated_at: Instant::BOOT,
        valid_until: Deadline::Never,
        drain_ends_at: Deadline::Never,
        excluded: Vec::new(),
        state,
        reason: Reason::Replaced,
        died_later: false,
    }
}

/// A current prefix, and draining ones, newest first.
fn snapshot(now: &str, draining: &[&str]) -> Snapshot {
    Snapshot {
        current: Some(current(net(now))),
        history: draining.iter().map(|prefix| previous(net(prefix), PreviousState::Draining)).collect(),
    }
}

fn snapshots(of: &[(&str, Snapshot)]) -> BTreeMap<String, Snapshot> {
    of.iter().map(|(name, snapshot)| ((*name).to_owned(), snapshot.clone())).collect()
}
