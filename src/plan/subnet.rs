//! `subnets`: smaller prefixes at a place counted from the start of the prefix.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{Block, EntryError};
use crate::config::{Place, Subnet};
use crate::prefix::Interval;

/// The subnets of this entry in `prefix`, without the `excluded` parts, in the order of the entry.
///
/// # Errors
/// One of them does not lie inside the prefix, is misaligned, or nothing is left.
pub fn compute(subnet: &Subnet, prefix: Ipv6Net, excluded: &[Ipv6Net]) -> Result<Vec<Block>, EntryError> {
    let error = |message| EntryError { entry: format!("subnets[{}]", subnet.name), message };
    let nets = carve(subnet, prefix).map_err(error)?;
    let mut left: Vec<Block> = nets.iter().flat_map(|net| without(*net, excluded)).collect();
    // Most are one block, and there is one of these for each generation.
    left.shrink_to_fit();
    if left.is_empty() {
        return Err(error(format!("It lies in a part of {prefix} that the server excludes from use.")));
    }
    Ok(left)
}

/// `net` without the `excluded` parts, in its fewest CIDRs.
pub(super) fn without(net: Ipv6Net, excluded: &[Ipv6Net]) -> impl Iterator<Item = Block> {
    let left = Interval::from(net).without(excluded.iter().copied().map(Interval::from));
    left.into_iter().flat_map(|piece| piece.to_nets()).map(Block::Cidr)
}

/// The subnets of this entry, whole.
fn carve(subnet: &Subnet, prefix: Ipv6Net) -> Result<Vec<Ipv6Net>, String> {
    let length = subnet.prefix_length;
    if length > 128 {
        return Err(format!("prefixLength {length} is more than the 128 bits of an address."));
    }
    if length < prefix.prefix_len() {
        let whole = prefix.prefix_len();
        return Err(format!("A /{length} does not fit into {prefix}; prefixLength must be {whole} to 128."));
    }
    if prefix.prefix_len() == 0 {
        return Err(format!("{prefix} holds every address; it is not a prefix to number from."));
    }
    match &subnet.place {
        Place::Offset(offset) => Ok(vec![at_offset(*offset, length, prefix)?]),
        Place::Index(indices) => indices.iter().map(|index| at_index(*index, length, prefix)).collect(),
    }
}

fn at_offset(offset: u128, length: u8, prefix: Ipv6Net) -> Result<Ipv6Net, String> {
    let size = size(length);
    if !offset.is_multiple_of(size) {
        return Err(misaligned(offset, length, prefix));
    }
    if offset > prefix.hostmask().to_bits() {
        return Err(format!(
            "offset {offset:#x} ({}) lies outside {prefix}; offset counts addresses, the last /{length} is at \"{}\".",
            address(offset),
            address(last_index(length, prefix).saturating_mul(size))
        ));
    }
    net(prefix.network().to_bits() | offset, length)
}

fn misaligned(offset: u128, length: u8, prefix: Ipv6Net) -> String {
    let index = offset / size(length);
    let last = last_index(length, prefix);
    let nearest = [index, index.saturating_add(1)].map(|index| index.min(last));
    let name = |index: u128| format!("\"{}\" (index = {index})", address(index.saturating_mul(size(length))));
    let values = if nearest[0] == nearest[1] {
        format!("the nearest right value is {}", name(nearest[0]))
    } else {
        format!("the nearest right values are {} and {}", name(nearest[0]), name(nearest[1]))
    };
    let hint = if offset <= last {
        format!("; if the subnet number {offset} is meant, write index = {offset}")
    } else {
        String::new()
    };
    let written = address(offset);
    format!("offset {offset:#x} ({written}) is not a multiple of the size of a /{length}: {values}{hint}.")
}

fn at_index(index: u128, length: u8, prefix: Ipv6Net) -> Result<Ipv6Net, String> {
    let last = last_index(length, prefix);
    if index > last {
        return Err(format!("index {index} lies outside {prefix}: the last /{length} in it has index {last}."));
    }
    net(prefix.network().to_bits() | index.saturating_mul(size(length)), length)
}

/// The number of addresses in a prefix of this length (of length 0 it is not representable, but no subnet is that short).
fn size(length: u8) -> u128 {
    1_u128.checked_shl(128 - u32::from(length)).unwrap_or(u128::MAX)
}

/// The index of the last subnet of this length, which is not shorter than the prefix.
fn last_index(length: u8, prefix: Ipv6Net) -> u128 {
    prefix.hostmask().to_bits() / size(length)
}

fn address(offset: u128) -> Ipv6Addr {
    Ipv6Addr::from_bits(offset)
}

fn net(network: u128, length: u8) -> Result<Ipv6Net, String> {
    Ipv6Net::new(address(network), length).map_err(|why| format!("A /{length} cannot be made: {why}."))
}
