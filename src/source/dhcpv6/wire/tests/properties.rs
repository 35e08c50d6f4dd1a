//! Whatever the octets are.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::source::dhcpv6::{RawOption, RawOptionMessages};

fn duid() -> impl Strategy<Value = Duid> {
    vec(any::<u8>(), 3..=130).prop_map(|octets| Duid::new(&octets).expect("3 to 130"))
}

fn prefix() -> impl Strategy<Value = Ipv6Net> {
    (any::<u128>(), 0..=128_u8).prop_map(|(bits, length)| Ipv6Net::new(bits.into(), length).expect("at most 128"))
}

fn address() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(Ipv6Addr::from_bits)
}

fn any_status() -> impl Strategy<Value = Status> {
    // What text::safe leaves as it is.
    ((0..9_u16).prop_map(StatusCode::from), "[!-~äß€]{0,20}").prop_map(|(code, text)| Status { code, text })
}

fn ia_prefix() -> impl Strategy<Value = IaPrefix> {
    (prefix(), any::<(u32, u32)>(), any_status(), of((any::<u128>(), 1..=128_u8))).prop_map(
        |(prefix, (preferred, valid), status, excluded)| {
            let prefix = prefix.trunc();
            let excluded = excluded.and_then(|(bits, more)| {
                let length = prefix.prefix_len().checked_add(more).filter(|length| *length <= 128)?;
                let host = u128::from(prefix.hostmask()) & bits;
                Some(Ipv6Net::new((u128::from(prefix.network()) | host).into(), length).expect("at most 128").trunc())
            });
            IaPrefix { prefix, preferred, valid, status, excluded }
        },
    )
}

fn ia_address() -> impl Strategy<Value = IaAddress> {
    (address(), any::<(u32, u32)>(), any_status()).prop_map(|(address, (preferred, valid), status)| IaAddress {
        address,
        preferred,
        valid,
        status,
    })
}

fn authentication() -> impl Strategy<Value = Authentication> {
    let rkap = prop_oneof![any::<[u8; 16]>().prop_map(Rkap::Key), any::<[u8; 16]>().prop_map(Rkap::Digest)];
    (any::<u64>(), rkap).prop_map(|(replay, rkap)| Authentication::rkap(replay, rkap))
}

fn incoming() -> impl Strategy<Value = Incoming> {
    let kind = prop_oneof![
        Just((ServerMessage::Advertise, None)),
        Just((ServerMessage::Reply, None)),
        Just((ServerMessage::Reconfigure, Some(ClientMessage::Renew))),
        Just((ServerMessage::Reconfigure, Some(ClientMessage::Rebind))),
        Just((ServerMessage::Reconfigure, Some(ClientMessage::InformationRequest))),
    ];
    let ids = (kind, any::<TransactionId>(), of(duid()), of(duid()), any::<u8>(), any_status());
    let flags = (any::<(bool, bool)>(), of(authentication()), any::<[Option<u32>; 3]>(), any::<bool>());
    let pd = (any::<(u32, u32, u32)>(), any_status(), vec(ia_prefix(), 0..4))
        .prop_map(|((iaid, t1, t2), status, prefixes)| IaPd { iaid, t1, t2, status, prefixes });
    let na = (any::<(u32, u32, u32)>(), any_status(), vec(ia_address(), 0..4))
        .prop_map(|((iaid, t1, t2), status, addresses)| IaNa { iaid, t1, t2, status, addresses });
    (ids, flags, vec(pd, 0..4), vec(na, 0..4)).prop_map(|(ids, flags, delegations, addresses)| {
        let ((kind, reconfigure), transaction_id, client_id, server_id, preference, status) = ids;
        let ((rapid_commit, reconfigure_accept), authentication, [sol_max_rt, inf_max_rt, refresh_time], aftr) = flags;
        Incoming {
            client_id,
            server_id,
            preference,
            status,
            rapid_commit,
            reconfigure_accept,
            reconfigure,
            authentication,
            sol_max_rt,
            inf_max_rt,
            refresh_time,
            aftr_name: aftr.then(|| b"\x04aftr\x03net\x00".to_vec()),
            delegations,
            addresses,
            ..Incoming::new(kind, transaction_id)
        }
    })
}

fn outgoing() -> impl Strategy<Value = Outgoing> {
    let kind = prop_oneof![
        Just(ClientMessage::Solicit),
        Just(ClientMessage::Request),
        Just(ClientMessage::Confirm),
        Just(ClientMessage::Renew),
        Just(ClientMessage::Rebind),
        Just(ClientMessage::Release),
        Just(ClientMessage::InformationRequest),
    ];
    let raw = (90..100_u16, vec(any::<u8>(), 0..300)).prop_map(|(code, data)| RawOption {
        code,
        data,
        messages: RawOptionMessages::All,
    });
    let head = (kind, any::<TransactionId>(), duid(), of(duid()), any::<(u16, bool, bool)>(), vec(any::<u16>(), 0..9));
    let pd = vec((any::<u32>(), vec(prefix(), 0..9)), 0..5);
    let na = vec((any::<u32>(), vec(address(), 0..9)), 0..3);
    (head, pd, na, vec(raw, 0..4)).prop_map(|(head, delegations, addresses, raw_options)| {
        let (kind, transaction_id, client_id, server_id, (elapsed, rapid_commit, reconfigure_accept), request) = head;
        Outgoing {
            kind,
            transaction_id,
            client_id,
            server_id,
            elapsed,
            option_request: request,
            rapid_commit,
            reconfigure_accept,
            delegations,
            addresses,
            raw_options,
        }
    })
}

/// Options of a level, right ones and wrong ones, with others inside where there may be some.
fn tree() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![0..34_u16, Just(64), Just(67), Just(82), Just(83), any::<u16>()];
    let right = prop_oneof![
        Just(option(1, b"client")),
        Just(option(2, b"server")),
        Just(option(7, &[9])),
        Just(option(13, &[0, 6])),
        Just(option(14, &[])),
        Just(option(32, &[0; 4])),
        Just(option(23, &[0; 5])),
    ];
    let leaf =
        prop_oneof![3 => right, 1 => (code, vec(any::<u8>(), 0..40)).prop_map(|(code, data)| option(code, &data))];
    let level = vec(leaf, 0..4).prop_map(|options| options.concat());
    level.prop_recursive(4, 60, 4, |inner| {
        let container = prop_oneof![Just((3, 12)), Just((4, 4)), Just((5, 24)), Just((25, 12)), Just((26, 25))];
        let holder = (container, inner.clone())
            .prop_map(|((code, fixed), inner)| option(code, &[vec![0; fixed], inner].concat()));
        vec(prop_oneof![holder, inner], 1..4).prop_map(|options| options.concat())
    })
}

/// A datagram after an accident: cut, or an octet replaced.
fn damaged(datagram: Vec<u8>, cut: Option<prop::sample::Index>, at: prop::sample::Index, octet: Option<u8>) -> Vec<u8> {
    let mut datagram = datagram;
    if let Some(octet) = octet {
        let at = at.index(datagram.len());
        datagram[at] = octet;
    }
    datagram.truncate(cut.map_or(datagram.len(), |cut| cut.index(datagram.len())));
    datagram
}

/// What is true for every datagram.
fn check(datagram: &[u8]) -> Result<(), TestCaseError> {
    let accepted = scan::scan(datagram).is_ok();
    prop_assert_eq!(accepted, reference::accepts(datagram));
    let server = matches!(datagram.first(), Some(2 | 7 | 10));
    prop_assert_eq!(decode(datagram).is_ok(), accepted && server, "what the scan accepts is read");
    let _heard = server::decode_client(datagram);
    let _verified = verify(datagram, &[0; 16]);
    Ok(())
}

proptest! {
    #[test]
    fn no_octets_are_too_strange(octets in vec(any::<u8>(), 0..600)) {
        check(&octets)?;
    }

    #[test]
    fn no_tree_is_too_strange(
        kind in 0..14_u8, tree in tree(), cut in of(any::<prop::sample::Index>()), at: prop::sample::Index, octet in of(any::<u8>()),
    ) {
        check(&damaged(message(kind, &[tree]), cut, at, octet))?;
    }

    #[test]
    fn no_accident_is_too_strange(
        incoming in incoming(), cut in of(any::<prop::sample::Index>()), at: prop::sample::Index, octet: u8,
    ) {
        check(&damaged(server::encode(&incoming, &[]), cut, at, Some(octet)))?;
    }

    #[test]
    fn a_client_reads_what_a_server_writes(incoming in incoming()) {
        let datagram = server::encode(&incoming, &[(23, vec![1; 5]), (999, vec![])]);
        prop_assert_eq!(decode(&datagram), Ok(incoming));
    }

    #[test]
    fn a_server_reads_what_a_client_writes(outgoing in outgoing()) {
        match encode(&outgoing) {
            Ok(datagram) => {
                prop_assert!(datagram.len() <= 1232);
                prop_assert_eq!(server::decode_client(&datagram), Ok(outgoing));
            }
            Err(TooLong(octets)) => prop_assert!(octets > 1232),
        }
    }

    #[test]
    fn a_duid_is_what_its_text_says(duid in duid()) {
        prop_assert_eq!(Duid::parse(&duid.to_string()), Ok(duid));
    }
}

/// Otherwise `no_tree_is_too_strange` would compare refusals only.
#[test]
fn trees_are_right_about_as_often_as_wrong() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut draw = || tree().new_tree(&mut runner).expect("a tree").current();
    let right = (0..500).filter(|_| reference::accepts(&message(REPLY, &[draw()]))).count();
    assert!((50..450).contains(&right), "{right} of 500");
}
