//! `addressRanges`: the addresses between two host parts.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{Block, EntryError};
use crate::config::AddressRange;
use crate::prefix::Interval;

/// The addresses of `range` in `prefix`, without the `excluded` parts, in ascending order.
///
/// # Errors
/// An end has bits inside the prefix part, the ends are reversed, or nothing is left: it is never silently cut.
pub fn compute(range: &AddressRange, prefix: Ipv6Net, excluded: &[Ipv6Net]) -> Result<Vec<Block>, EntryError> {
    let error = |message| EntryError { entry: format!("addressRanges[{}]", range.name), message };
    let first = join(prefix, range.start).map_err(|why| error(format!("start {why}.")))?;
    let last = join(prefix, range.end).map_err(|why| error(format!("end {why}.")))?;
    let Some(interval) = Interval::new(first, last) else {
        return Err(error(format!("start {} is greater than end {}.", range.start, range.end)));
    };
    let left = interval.without(excluded.iter().copied().map(Interval::from));
    if left.is_empty() {
        return Err(error(format!("{interval} lies in a part of {prefix} that the server excludes from use.")));
    }
    Ok(left.into_iter().map(Block::Range).collect())
}

/// The address of `prefix` with this host part.
///
/// # Errors
/// Says which bits are wrong, as the end of a sentence that names the value.
pub fn join(prefix: Ipv6Net, host: Ipv6Addr) -> Result<Ipv6Addr, String> {
    let network = prefix.netmask().to_bits();
    if host.to_bits() & network != 0 {
        let bits = 128 - prefix.prefix_len();
        return Err(format!(
            "{host} has bits inside the prefix part of {prefix}; it is counted from the start of the prefix, so only \
             the last {bits} bits can be set (at most {})",
            Ipv6Addr::from_bits(!network)
        ));
    }
    Ok(Ipv6Addr::from_bits(prefix.network().to_bits() | host.to_bits()))
}
