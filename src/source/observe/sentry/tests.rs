use super::*;
use crate::source::dhcpv6::wire::{Outgoing, encode};
use crate::source::link::LinkAddress;
use crate::source::observe::tests::world::packet as packet_of;
use crate::source::observe::tests::world::{
    A, ALL_SERVERS, CLIENT, IAID, SERVER, asked as message, captured, duid, link,
};

/// What is heard of this message, sent from there.
fn heard(from: (std::net::Ipv6Addr, u16), message: &Outgoing) -> Option<ClientMessage> {
    let packet = packet_of(from, (ALL_SERVERS, 547), &encode(message).unwrap());
    asked(&captured(&packet), &link(3), &duid(9))
}

#[test]
fn who_asks_for_a_prefix_on_this_host_is_heard() {
    for kind in [ClientMessage::Solicit, ClientMessage::Request, ClientMessage::Renew, ClientMessage::Rebind] {
        assert_eq!(heard((CLIENT, 546), &message(kind, 1, &[(IAID, &[A])])), Some(kind));
    }
}

#[test]
fn nothing_is_concluded_from_other_messages() {
    let solicit = message(ClientMessage::Solicit, 1, &[(IAID, &[])]);
    let own = Outgoing { client_id: duid(9), ..solicit.clone() };
    let without = message(ClientMessage::Solicit, 1, &[]);
    let information = message(ClientMessage::InformationRequest, 1, &[]);
    let release = message(ClientMessage::Release, 1, &[(IAID, &[A])]);
    for message in [own, without, information, release] {
        assert_eq!(heard((CLIENT, 546), &message), None, "{message:?}");
    }
    // A host behind this one, and a program without privileges.
    for from in [(SERVER, 546), (CLIENT, 40_000)] {
        assert_eq!(heard(from, &solicit), None, "{from:?}");
    }
    // Whoever is behind this host may write what he likes as the source, but only what is not of one link is forwarded.
    let global: std::net::Ipv6Addr = "2001:db8:ffff::1".parse().unwrap();
    let mut link = link(3);
    link.addresses.push(LinkAddress { address: global, tentative: false });
    let packet = packet_of((global, 546), (ALL_SERVERS, 547), &encode(&solicit).unwrap());
    assert_eq!(asked(&captured(&packet), &link, &duid(9)), None);
    assert_eq!(asked(&captured(&[0x60; 60]), &link, &duid(9)), None);
}
