//! Whether a DHCPv6 client of somebody else begins to ask on an interface where none is observed. Pure.

use super::packet::{self, CLIENT_PORT, Captured, SERVER_PORT};
use crate::source::dhcpv6::wire::{ClientMessage, Duid, decode_asked};
use crate::source::link::LinkState;

mod driver;

pub use driver::another_client;

/// What a client on this host asks servers about prefixes, by a packet that left by the interface. Nothing, if it is ours
/// (`own`), if it gives something back, or if somebody else sent the packet: a host behind this one, or a program without
/// privileges.
fn asked(captured: &Captured<'_>, link: &LinkState, own: &Duid) -> Option<ClientMessage> {
    let datagram = packet::parse(captured).ok()?;
    let is_client = datagram.source_port == CLIENT_PORT && datagram.destination_port == SERVER_PORT;
    // Link-local addresses are not forwarded: what a host behind this one sends from an address of this one leaves here, too.
    if !is_client || !datagram.source.is_unicast_link_local() || !link.has_address(datagram.source) {
        return None;
    }
    let asked = decode_asked(datagram.payload).ok()?;
    let is_other = asked.client_id.is_some_and(|client| client != *own);
    asked.kind.filter(|kind| is_other && *kind != ClientMessage::Release && !asked.delegations.is_empty())
}

#[cfg(test)]
mod tests;
