//! The lease file of dhcpcd: the last Reply that it took. Pure.

use super::Written;
use crate::source::dhcpv6::client::{is_success, is_unicast};
use crate::source::dhcpv6::wire::{ServerMessage, decode};

/// What is delegated by it.
pub(in crate::source::observe) fn parse(octets: &[u8]) -> Vec<Written> {
    let Some(reply) = decode(octets).ok().filter(|message| message.kind == ServerMessage::Reply) else {
        return Vec::new();
    };
    let prefixes = reply.delegations.iter().flat_map(|ia| &ia.prefixes);
    let granted = prefixes.filter(|prefix| {
        let is_granted = prefix.valid > 0 && prefix.preferred <= prefix.valid && is_success(&prefix.status);
        is_granted && is_unicast(prefix.prefix)
    });
    let written = granted.map(|prefix| Written {
        prefix: prefix.prefix.trunc(),
        since: None,
        preferred: prefix.preferred,
        valid: prefix.valid,
        excluded: prefix.excluded,
    });
    written.collect()
}
