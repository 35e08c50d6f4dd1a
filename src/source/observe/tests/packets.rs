//! From packets to datagrams.

use super::world::*;
use crate::source::dhcpv6::wire::{ClientMessage, Malformed, decode_asked, encode};
use crate::source::observe::packet::{DropReason, parse};
use crate::source::observe::{Captured, Notice, Unfollowed};

fn request() -> Vec<u8> {
    encode(&asked(ClientMessage::Request, 1, &[(IAID, &[A])])).unwrap()
}

fn sent() -> Vec<u8> {
    packet((CLIENT, 546), (ALL_SERVERS, 547), &request())
}

#[test]
fn a_packet_is_read_also_with_the_padding_of_its_frame_or_options_before_udp() {
    let plain = sent();
    let padded = [plain.clone(), vec![0; 9]].concat();
    let mut extended = plain.clone();
    extended.splice(40..40, [17, 0, 1, 4, 0, 0, 0, 0]);
    extended[6] = 60;
    extended[4..6].copy_from_slice(&u16::try_from(plain.len() - 40 + 8).unwrap().to_be_bytes());
    for bytes in [plain, padded, extended] {
        let datagram = parse(&captured(&bytes)).unwrap();
        assert_eq!((datagram.source, datagram.destination, datagram.destination_port), (CLIENT, ALL_SERVERS, 547));
        assert_eq!(datagram.payload, request());
    }
}

#[test]
fn what_is_no_whole_udp_packet_is_dropped() {
    let whole = sent();
    let with = |at: usize, octet: u8| {
        let mut bytes = whole.clone();
        bytes[at] = octet;
        bytes
    };
    let cases = [
        (whole[..60].to_vec(), DropReason::NotWhole),
        (whole[..20].to_vec(), DropReason::NotWhole),
        (Vec::new(), DropReason::NotWhole),
        (with(0, 0x45), DropReason::NotWhole),
        (with(6, 6), DropReason::NotUdp),
        (with(6, 44), DropReason::Fragmented),
        // The length of the UDP header: beyond the packet, and below the header's own.
        (with(44, 0xff), DropReason::NotWhole),
        (with(45, 7), DropReason::NotWhole),
    ];
    for (bytes, reason) in cases {
        assert_eq!(parse(&captured(&bytes)), Err(reason), "{bytes:02x?}");
    }
    for length in 0..whole.len() {
        assert!(parse(&captured(&whole[..length])).is_err(), "{length}");
    }
}

#[test]
fn a_checksum_that_the_kernel_has_not_verified_is() {
    // A Reply that Kea sent over an Ethernet link, without its options: RFC 8200 §8.1 by hand.
    let mut bytes = packet((SERVER, 547), (CLIENT, 546), &[7, 1, 2, 3]);
    // fe80 + 1, fe80 + 2, length 12, protocol 17, ports 547 and 546, length 12, payload 0701 0203
    let sum: u32 = 0xfe80 + 1 + 0xfe80 + 2 + 12 + 17 + 547 + 546 + 12 + 0x0701 + 0x0203;
    let right = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    bytes[46..48].copy_from_slice(&right.to_be_bytes());
    let judge = |bytes: &[u8], checksum_known| parse(&Captured { bytes, checksum_known }).map(drop);
    assert_eq!(judge(&bytes, false), Ok(()));
    bytes[47] ^= 1;
    assert_eq!(judge(&bytes, false), Err(DropReason::Checksum));
    assert_eq!(judge(&bytes, true), Ok(()));
    bytes[46..48].copy_from_slice(&[0, 0]);
    assert_eq!(judge(&bytes, false), Err(DropReason::Checksum), "none at all");
}

#[test]
fn a_clients_message_is_read_although_it_has_lifetimes() {
    let mut bytes = request();
    // T1 of the IA_PD, which ends the message: 16 octets of it and 29 of the prefix inside.
    let at = bytes.len() - 45;
    bytes[at + 8..at + 12].copy_from_slice(&3600_u32.to_be_bytes());
    let asked = decode_asked(&bytes).unwrap();
    assert_eq!(asked.kind, Some(ClientMessage::Request));
    assert_eq!(asked.delegations, [(IAID, vec![A.parse().unwrap()])]);
    assert_eq!((asked.client_id, asked.server_id), (Some(duid(2)), Some(duid(1))));
}

/// T-113, T-109 to T-112, from the other side.
#[test]
fn a_clients_message_is_looked_over_as_strictly_as_a_servers() {
    let good = request();
    assert_eq!(decode_asked(&[]), Err(Malformed::Short(0)));
    assert_eq!(decode_asked(&[7, 0, 0, 1]), Err(Malformed::FromServer(7)));
    assert_eq!(decode_asked(&[13, 0, 0, 1]), Err(Malformed::ForRelay(13)));
    assert_eq!(decode_asked(&[77, 0, 0, 1]), Err(Malformed::UnknownType(77)));
    let twice = [good.clone(), good[4..].to_vec()].concat();
    assert!(matches!(decode_asked(&twice), Err(Malformed::Repeated { code: 1, .. })));
    let cut = &good[..good.len() - 1];
    assert!(matches!(decode_asked(cut), Err(Malformed::PastEnd { code: 25, .. })));
}

#[test]
fn what_is_wrong_is_told_once_and_counted_always() {
    let mut observer = observer();
    let broken = packet((SERVER, 547), (CLIENT, 546), &[7, 1]);
    for _ in 0..3 {
        observer.handle_received(&captured(&broken), at(1));
    }
    let notice = observer.poll_notice().unwrap();
    assert_eq!(notice, Notice::Received(SERVER, Unfollowed::Malformed(Malformed::Short(2))));
    assert_eq!(notice.to_string(), "Ignored a DHCPv6 message of fe80::1: it has 2 octets, not even a header");
    assert_eq!(observer.poll_notice(), None);
    assert_eq!(observer.dropped()["malformed"], 3);
}
