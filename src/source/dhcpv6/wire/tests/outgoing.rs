//! What we write, compared octet by octet with what RFC 9915 §21 wants.

use super::server::{Refused, decode_client};
use super::*;
use crate::source::dhcpv6::{RawOption, RawOptionMessages};

/// A Solicit with nothing in it but what every message has.
pub(super) fn solicit() -> Outgoing {
    Outgoing {
        kind: ClientMessage::Solicit,
        transaction_id: XID,
        client_id: Duid::new(&[0, 4, 1, 2, 3]).expect("5 octets"),
        server_id: None,
        elapsed: 0,
        option_request: vec![],
        rapid_commit: false,
        reconfigure_accept: false,
        delegations: vec![],
        addresses: vec![],
        raw_options: vec![],
    }
}

fn raw(code: u16, data: &[u8]) -> RawOption {
    RawOption { code, data: data.to_vec(), messages: RawOptionMessages::All }
}

/// Client Identifier and Elapsed Time.
const ALWAYS: [u8; 15] = [0, 1, 0, 5, 0, 4, 1, 2, 3, 0, 8, 0, 2, 0, 0];

#[test]
fn every_message_has_its_type() {
    let types = [
        (ClientMessage::Solicit, 1),
        (ClientMessage::Request, 3),
        (ClientMessage::Confirm, 4),
        (ClientMessage::Renew, 5),
        (ClientMessage::Rebind, 6),
        (ClientMessage::Release, 8),
        (ClientMessage::InformationRequest, 11),
    ];
    for (kind, number) in types {
        let wire = encode(&Outgoing { kind, ..solicit() }).expect("short");
        assert_eq!(wire, [&[number, 0xab, 0xcd, 0xef][..], &ALWAYS].concat());
    }
}

#[test]
fn a_whole_message_in_its_order() {
    let wire = encode(&Outgoing {
        kind: ClientMessage::Request,
        server_id: Some(Duid::new(&[0, 3, 9]).expect("3 octets")),
        elapsed: 0x1234,
        option_request: vec![82, 67, 64],
        rapid_commit: true,
        reconfigure_accept: true,
        delegations: vec![(0x0102_0304, vec![net("2001:db8:2::/56"), net("2001:db8:1::/60")]), (5, vec![])],
        addresses: vec![(6, vec![ip("2001:db8::9"), ip("2001:db8::8")])],
        raw_options: vec![raw(65_001, b"z"), raw(17, &[0, 0, 0, 9])],
        ..solicit()
    });
    let expected = [
        vec![3, 0xab, 0xcd, 0xef],
        option(1, &[0, 4, 1, 2, 3]),
        option(2, &[0, 3, 9]),
        option(8, &[0x12, 0x34]),
        option(6, &[0, 82, 0, 67, 0, 64]),
        option(14, &[]),
        option(20, &[]),
        option(25, &[numbers(&[0x0102_0304, 0, 0]), hint("2001:db8:2::", 56), hint("2001:db8:1::", 60)].concat()),
        option(25, &numbers(&[5, 0, 0])),
        option(3, &[numbers(&[6, 0, 0]), asked("2001:db8::9"), asked("2001:db8::8")].concat()),
        option(65_001, b"z"),
        option(17, &[0, 0, 0, 9]),
    ];
    assert_eq!(wire, Ok(expected.concat()));
}

/// An IA Prefix with lifetimes of zero.
fn hint(prefix: &str, length: u8) -> Vec<u8> {
    option(26, &[numbers(&[0, 0]), vec![length], ip(prefix).octets().to_vec()].concat())
}

/// An IA Address with lifetimes of zero.
fn asked(address: &str) -> Vec<u8> {
    option(5, &[ip(address).octets().to_vec(), numbers(&[0, 0])].concat())
}

#[test]
fn t153_raw_options_go_out_as_they_are_configured() {
    let options = [
        raw(11, &[&[0; 11][..], b"\x1a\x09\x00\x00\x05\x58\x01\x03\x41"].concat()),
        raw(15, b"\x00\x2bFSVDSL_livebox.Internet.softathome.Livebox5"),
        raw(16, b"\x00\x00\x04\x0e\x00\x05sagem"),
        raw(17, b"\x00\x00\x05\x58\x00\x06\x00\x02ab"),
        raw(15, b"\x01"),
    ];
    for kind in [ClientMessage::Solicit, ClientMessage::Renew, ClientMessage::Release] {
        let wire = encode(&Outgoing { kind, raw_options: options.to_vec(), ..solicit() }).expect("short");
        let expected: Vec<u8> = options.iter().flat_map(|raw| option(raw.code, &raw.data)).collect();
        assert_eq!(wire[19..], expected);
    }
}

#[test]
fn t154_hints_are_encoded_as_written() {
    let wire = |prefixes: &[&str]| {
        let delegations = vec![(1, prefixes.iter().map(|prefix| net(prefix)).collect())];
        encode(&Outgoing { delegations, ..solicit() }).expect("short")[19..].to_vec()
    };
    let ia = |prefixes: &[Vec<u8>]| option(25, &[numbers(&[1, 0, 0]), prefixes.concat()].concat());
    assert_eq!(wire(&["::/56"]), ia(&[hint("::", 56)]));
    assert_eq!(wire(&["2001:db8:100::/56"]), ia(&[hint("2001:db8:100::", 56)]));
    assert_eq!(wire(&["2001:db8:100::/60", "::/56"]), ia(&[hint("2001:db8:100::", 60), hint("::", 56)]));
}

#[test]
fn t172_a_message_for_more_than_one_packet_is_refused() {
    let with = |octets: usize| encode(&Outgoing { raw_options: vec![raw(15, &vec![1; octets])], ..solicit() });
    // Header, the two options of every message, and the header of this one: 23.
    assert_eq!(with(1209).expect("it fits").len(), 1232);
    assert_eq!(with(1210), Err(TooLong(1233)));
    assert_eq!(with(65_536), Err(TooLong(65_559)));
    assert_eq!(with(131_072), Err(TooLong(131_095)));

    let prefixes = vec![net("2001:db8::/56"); 42];
    let long = Outgoing { delegations: vec![(1, prefixes)], ..solicit() };
    assert_eq!(encode(&long), Err(TooLong(19 + 16 + 42 * 29)));
    let addresses = vec![ip("2001:db8::1"); 3000];
    let long = Outgoing { addresses: vec![(1, addresses)], ..solicit() };
    assert_eq!(encode(&long), Err(TooLong(19 + 16 + 3000 * 28)));
    let long = Outgoing { option_request: vec![82; 40_000], ..solicit() };
    assert_eq!(encode(&long), Err(TooLong(19 + 4 + 80_000)));
}

#[test]
fn a_server_reads_only_what_a_client_may_send() {
    let always = ALWAYS.to_vec();
    let heard = |options: &[Vec<u8>]| decode_client(&message(1, &[std::slice::from_ref(&always), options].concat()));
    assert_eq!(heard(&[]), Ok(solicit()));
    assert_eq!(decode_client(&message(1, &[option(1, b"abc")])), Err(Refused::Missing(8)));
    assert_eq!(decode_client(&message(1, &[option(8, &[0, 0])])), Err(Refused::Missing(1)));
    for kind in [0, 2, 7, 9, 10, 12, 13] {
        assert_eq!(decode_client(&message(kind, std::slice::from_ref(&always))), Err(Refused::Type(kind)));
    }
    assert_eq!(heard(&[option(25, &numbers(&[1, 2, 0]))]), Err(Refused::Lifetime { code: 25, at: 19 }));
    assert_eq!(heard(&[option(3, &numbers(&[1, 0, 2]))]), Err(Refused::Lifetime { code: 3, at: 19 }));
    let ia = |inner: Vec<u8>| option(25, &[numbers(&[1, 0, 0]), inner].concat());
    assert_eq!(heard(&[ia(ia_prefix("::", 56, &[]))]), Err(Refused::Lifetime { code: 26, at: 35 }));
    assert_eq!(heard(&[ia(hint("::", 129))]), Err(Refused::PrefixLength(129)));
    assert_eq!(heard(&[ia(status(0, b""))]), Err(Refused::Misplaced { code: 13, at: 35 }));
    assert_eq!(heard(&[ia(vec![0])]), Err(Refused::Malformed(Malformed::LeftOver { at: 35, octets: 1 })));
    assert_eq!(heard(&[option(1, b"abc")]), Err(Refused::Malformed(Malformed::Repeated { code: 1, at: 19 })));
}
