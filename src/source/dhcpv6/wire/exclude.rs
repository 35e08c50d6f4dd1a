//! OPTION_PD_EXCLUDE (RFC 6603 §4.2): the part of a delegated prefix that the delegating router keeps for the link to us.

use ipnet::Ipv6Net;

/// Why an excluded prefix is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidExclusion {
    #[error("its option cannot be {0} octets long")]
    Size(usize),
    #[error("a /{0} is no part of it")]
    NotInside(u8),
    #[error("{octets} octets are not the bits between it and a /{length}")]
    Bits { octets: usize, length: u8 },
}

/// The excluded part of `delegated` (host bits zero). The option has its length, and of its bits only those after the
/// delegated prefix, the first of them at the top of an octet.
pub(super) fn decode(delegated: Ipv6Net, data: &[u8]) -> Result<Ipv6Net, InvalidExclusion> {
    let (Some((&length, id)), 2..=17) = (data.split_first(), data.len()) else {
        return Err(InvalidExclusion::Size(data.len()));
    };
    let shift = delegated.prefix_len();
    if length <= shift || length > 128 {
        return Err(InvalidExclusion::NotInside(length));
    }
    if id.len() != usize::from(length - shift).div_ceil(8) {
        return Err(InvalidExclusion::Bits { octets: id.len(), length });
    }
    let mut octets = [0; 16];
    for (octet, given) in octets.iter_mut().zip(id) {
        *octet = *given;
    }
    let bits = u128::from(delegated.network()) | (u128::from_be_bytes(octets) >> shift);
    Ipv6Net::new(bits.into(), length).map(|net| net.trunc()).map_err(|_| InvalidExclusion::NotInside(length))
}

/// The content of the option for `excluded`, which is to lie in `delegated`.
pub(super) fn encode(delegated: Ipv6Net, excluded: Ipv6Net) -> Vec<u8> {
    let shift = u32::from(delegated.prefix_len());
    let id = u128::from(excluded.network()).checked_shl(shift).unwrap_or(0).to_be_bytes();
    let octets = usize::from(excluded.prefix_len().saturating_sub(delegated.prefix_len())).div_ceil(8);
    std::iter::once(excluded.prefix_len()).chain(id.into_iter().take(octets)).collect()
}
