//! Netlink messages as octets, for records: the type of the message, high octet first, and its payload. Pure.

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use netlink_packet_route::RouteNetlinkMessage;

/// Writes a message.
pub fn to_octets(message: &RouteNetlinkMessage) -> Vec<u8> {
    let mut payload = vec![0; NetlinkSerializable::buffer_len(message)];
    NetlinkSerializable::serialize(message, &mut payload);
    [NetlinkSerializable::message_type(message).to_be_bytes().as_slice(), &payload].concat()
}

/// Reads what [`to_octets`] has written; `None`: it is no netlink message about links, addresses, routes and the like.
pub fn from_octets(octets: &[u8]) -> Option<RouteNetlinkMessage> {
    let (kind, payload) = octets.split_first_chunk()?;
    let mut header = NetlinkHeader::default();
    header.message_type = u16::from_be_bytes(*kind);
    RouteNetlinkMessage::deserialize(&header, payload).ok()
}
