//! What a datagram says that is in order, and what is left out of it.

use super::*;

#[test]
fn a_reply_is_read() {
    let client = [0, 4, 1, 2, 3];
    let server = [0, 3, 0, 1, 2, 0, 0x5e, 0x10, 0, 1];
    let address = [ip("2001:db8::5").octets().to_vec(), numbers(&[120, 300]), status(2, b"gone")].concat();
    let read = reply(&[
        option(1, &client),
        option(2, &server),
        option(7, &[200]),
        status(0, b"fine"),
        option(14, b""),
        option(20, b""),
        ia_pd(9, &[ia_prefix("2001:db8:1200::", 56, &[]), status(0, b"granted")]),
        option(3, &[numbers(&[8, 30, 48]), option(5, &address), status(0, b"here")].concat()),
    ]);
    let status = |code, text: &str| Status { code, text: text.to_owned() };
    let expected = Incoming {
        client_id: Some(Duid::new(&client).expect("5 octets")),
        server_id: Some(Duid::new(&server).expect("10 octets")),
        preference: 200,
        status: status(StatusCode::Success, "fine"),
        rapid_commit: true,
        reconfigure_accept: true,
        delegations: vec![IaPd {
            iaid: 9,
            t1: 60,
            t2: 96,
            status: status(StatusCode::Success, "granted"),
            prefixes: vec![IaPrefix {
                prefix: net("2001:db8:1200::/56"),
                preferred: 120,
                valid: 300,
                status: Status::default(),
                excluded: None,
            }],
        }],
        addresses: vec![IaNa {
            iaid: 8,
            t1: 30,
            t2: 48,
            status: status(StatusCode::Success, "here"),
            addresses: vec![IaAddress {
                address: ip("2001:db8::5"),
                preferred: 120,
                valid: 300,
                status: status(StatusCode::NoAddrsAvail, "gone"),
            }],
        }],
        ..Incoming::new(ServerMessage::Reply, XID)
    };
    assert_eq!(read, expected);
}

#[test]
fn an_empty_message_is_read() {
    for (kind, expected) in [
        (ADVERTISE, ServerMessage::Advertise),
        (REPLY, ServerMessage::Reply),
        (RECONFIGURE, ServerMessage::Reconfigure),
    ] {
        assert_eq!(decode(&message(kind, &[])), Ok(Incoming::new(expected, XID)));
    }
}

#[test]
fn t170_options_that_dhcproto_has_no_type_for_are_found() {
    let aftr = b"\x04aftr\x07example\x03net\x00";
    let excluded = option(67, &[64, 0xff]);
    let read = reply(&[
        option(32, &[0, 1, 0x51, 0x80]),
        option(64, aftr),
        option(82, &[0, 0, 0x0e, 0x10]),
        option(83, &[0, 0, 0, 60]),
        ia_pd(1, &[ia_prefix("2001:db8::", 56, &[excluded])]),
    ]);
    assert_eq!(read.refresh_time, Some(86_400));
    assert_eq!(read.aftr_name.as_deref(), Some(&aftr[..]));
    assert_eq!(read.sol_max_rt, Some(3600));
    assert_eq!(read.inf_max_rt, Some(60));
    assert_eq!(read.delegations[0].prefixes[0].excluded, Some(net("2001:db8:0:ff::/64")));
}

#[test]
fn an_aftr_name_that_is_none_is_left_out() {
    let long = [[&[63][..], &[b'a'; 63]].concat().repeat(4), vec![0]].concat();
    for bad in [&b""[..], b"\x00", b"\x04aftr", b"\x05aftr\x00", b"\x04aftr\x00\x00", b"\xc0\x00", &long] {
        let read = reply(&[option(64, bad)]);
        assert_eq!(read.aftr_name, None, "{bad:?}");
        assert_eq!(read.oddities.len(), 1);
    }
}

#[test]
fn status_codes_are_read_at_each_level() {
    let codes = [
        (0, StatusCode::Success),
        (1, StatusCode::UnspecFail),
        (2, StatusCode::NoAddrsAvail),
        (3, StatusCode::NoBinding),
        (4, StatusCode::NotOnLink),
        (5, StatusCode::UseMulticast),
        (6, StatusCode::NoPrefixAvail),
        (7, StatusCode::Other(7)),
        (999, StatusCode::Other(999)),
    ];
    for (number, code) in codes {
        let one = || status(number, b"");
        let address = option(5, &[vec![0; 24], one()].concat());
        let read = reply(&[
            one(),
            ia_pd(1, &[one(), ia_prefix("2001:db8::", 56, &[one()])]),
            option(3, &[vec![0; 12], one(), address].concat()),
        ]);
        let (pd, na) = (&read.delegations[0], &read.addresses[0]);
        let seen = [&read.status, &pd.status, &pd.prefixes[0].status, &na.status, &na.addresses[0].status];
        assert!(seen.iter().all(|status| status.code == code), "{number}: {seen:?}");
    }
    let none = reply(&[ia_pd(1, &[ia_prefix("2001:db8::", 56, &[])])]);
    assert_eq!(none.status, Status::default());
    assert_eq!(none.delegations[0].prefixes[0].status.code, StatusCode::Success);
}

/// As dibbler delegates.
#[test]
fn host_bits_of_a_prefix_are_cleared() {
    let read = reply(&[ia_pd(1, &[ia_prefix("2001:db8:8288:ba1b:4619:1:2:3", 56, &[])])]);
    assert_eq!(read.delegations[0].prefixes[0].prefix, net("2001:db8:8288:ba00::/56"));
    assert!(read.oddities.is_empty());
}

#[test]
fn t171_a_prefix_longer_than_an_address_is_left_out_and_its_sibling_is_not() {
    for length in [129, 200, 255] {
        let read = reply(&[ia_pd(1, &[ia_prefix("2001:db8::", length, &[]), ia_prefix("2001:db8:1::", 64, &[])])]);
        let prefixes: Vec<_> = read.delegations[0].prefixes.iter().map(|prefix| prefix.prefix).collect();
        assert_eq!(prefixes, [net("2001:db8:1::/64")]);
        assert_eq!(read.oddities, [format!("prefix 2001:db8::/{length} was left out: lengths end at 128")]);
    }
    let edges = reply(&[ia_pd(1, &[ia_prefix("::", 0, &[]), ia_prefix("2001:db8::1", 128, &[])])]);
    let prefixes: Vec<_> = edges.delegations[0].prefixes.iter().map(|prefix| prefix.prefix).collect();
    assert_eq!(prefixes, [net("::/0"), net("2001:db8::1/128")]);
}

#[test]
fn leases_outside_their_ia_are_left_out() {
    let read = reply(&[
        ia_prefix("2001:db8::", 56, &[]),
        option(5, &[0; 24]),
        option(3, &[vec![0; 12], ia_prefix("2001:db8::", 56, &[])].concat()),
        option(4, &[vec![0; 4], option(5, &[0; 24])].concat()),
        ia_pd(1, &[ia_pd(2, &[]), option(5, &[0; 24])]),
    ]);
    assert_eq!(read.delegations.len(), 1);
    assert_eq!(read.delegations[0].prefixes, []);
    assert_eq!(read.addresses[0].addresses, []);
    assert_eq!(read.oddities.len(), 2);
}

#[test]
fn oddities_do_not_pile_up() {
    let prefixes = vec![ia_prefix("2001:db8::", 200, &[]); 100];
    assert_eq!(reply(&[ia_pd(1, &prefixes)]).oddities.len(), 8);
}

#[test]
fn a_reconfigure_asks_for_one_of_three_messages() {
    let ask = |kind: u8| decode(&message(RECONFIGURE, &[option(19, &[kind])])).expect("in order");
    assert_eq!(ask(5).reconfigure, Some(ClientMessage::Renew));
    assert_eq!(ask(6).reconfigure, Some(ClientMessage::Rebind));
    assert_eq!(ask(11).reconfigure, Some(ClientMessage::InformationRequest));
    for kind in [0, 1, 3, 7, 255] {
        assert_eq!(ask(kind).reconfigure, None);
        assert_eq!(ask(kind).oddities.len(), 1);
    }
}

#[test]
fn a_server_unicast_option_says_nothing() {
    let unicast = option(12, &ip("2001:db8::1").octets());
    assert_eq!(reply(&[unicast]), Incoming::new(ServerMessage::Reply, XID));
}
