//! What other clients have written down.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteProtocol, RouteType};
use proptest::prelude::*;
use rtnetlink::RouteMessageBuilder;

use super::world::*;
use crate::source::dhcpv6::wire::{ClientMessage, Incoming, ServerMessage, server};
use crate::source::observe::filed::{Written, dhclient, dhcpcd};
use crate::source::observe::{Filed, Observer};
use crate::source::{Cut, SourceState};
use crate::time::{Deadline, Instant};

/// As dhcpcd 10 has left it, with a delegation by Kea: T1 1000, T2 1600, 1800 and 3600 s.
const DHCPCD: &[u8] = &[
    0x07, 0x08, 0x41, 0xbd, 0x00, 0x01, 0x00, 0x0e, 0x00, 0x01, 0x00, 0x01, 0x32, 0x95, 0x49, 0xbc, 0x0a, 0x64, 0x69,
    0x56, 0x6b, 0x5b, 0x00, 0x02, 0x00, 0x0a, 0x00, 0x03, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x19,
    0x00, 0x29, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x03, 0xe8, 0x00, 0x00, 0x06, 0x40, 0x00, 0x1a, 0x00, 0x19, 0x00,
    0x00, 0x07, 0x08, 0x00, 0x00, 0x0e, 0x10, 0x38, 0x20, 0x01, 0x0d, 0xb8, 0xa0, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00,
];

/// As ISC dhclient 4.4 has left it, stopped with -r and started again: the first lease is released.
const DHCLIENT: &str = r#"default-duid "\000\003\000\001\012diVk[";
lease6 {
  interface "wan";
  ia-pd "iVk[" {
    starts 1795329326;
    renew 1000;
    rebind 1600;
    iaprefix 2001:db8:a000::/56 {
      starts 1795329326;
      preferred-life 1800;
      max-life 3600;
    }
  }
  released;
  option dhcp6.client-id 0:3:0:1:a:64:69:56:6b:5b;
  option dhcp6.server-id 0:3:0:1:2:0:0:0:0:1;
}
lease6 {
  interface "wan";
  ia-pd "iVk[" {
    starts 1795329334;
    renew 1000;
    rebind 1600;
    iaprefix 2001:db8:a000::/56 {
      starts 1795329334;
      preferred-life 1800;
      max-life 3600;
    }
  }
  option dhcp6.client-id 0:3:0:1:a:64:69:56:6b:5b;
  option dhcp6.server-id 0:3:0:1:2:0:0:0:0:1;
}
"#;

fn written(prefix: &str, since: Option<i64>) -> Written {
    Written { prefix: prefix.parse().unwrap(), since, preferred: 1800, valid: 3600, excluded: None }
}

fn filed(prefix: &str, age: u64) -> Filed {
    Filed { prefix: prefix.parse().unwrap(), age, preferred: 1800, valid: 3600, excluded: None }
}

fn route(prefix: &str) -> RouteNetlinkMessage {
    let prefix: ipnet::Ipv6Net = prefix.parse().unwrap();
    let route = RouteMessageBuilder::<std::net::Ipv6Addr>::new()
        .destination_prefix(prefix.network(), prefix.prefix_len())
        .kind(RouteType::Unreachable)
        .protocol(RouteProtocol::Dhcp)
        .priority(1024);
    RouteNetlinkMessage::NewRoute(route.build())
}

fn ends(observer: &Observer, prefix: &str) -> (Deadline, Deadline) {
    let offer = observer.offer(prefix).unwrap();
    (offer.preferred_until, offer.valid_until)
}

/// The ends of a lease of 1800 and 3600 s.
fn granted_at(since: i64) -> (Deadline, Deadline) {
    (Deadline::At(at(since + 1800)), Deadline::At(at(since + 3600)))
}

#[test]
fn the_file_of_dhcpcd_is_the_reply() {
    assert_eq!(dhcpcd::parse(DHCPCD), [written("2001:db8:a000:100::/56", None)]);
    assert!(dhcpcd::parse(&[]).is_empty());
    let mut advertise = DHCPCD.to_vec();
    advertise[0] = 2;
    assert!(dhcpcd::parse(&advertise).is_empty(), "no Reply");
    let ended = Incoming { delegations: vec![ia(1, &[(A, 0, 0)])], ..Incoming::new(ServerMessage::Reply, [0; 3]) };
    assert!(dhcpcd::parse(&server::encode(&ended, &[])).is_empty());
}

#[test]
fn the_last_lease_of_dhclient_on_an_interface_counts() {
    assert_eq!(dhclient::parse(DHCLIENT, "wan"), [written("2001:db8:a000::/56", Some(1_795_329_334))]);
    assert!(dhclient::parse(DHCLIENT, "ppp0").is_empty());
    let (released, _) = DHCLIENT.split_at(DHCLIENT.rfind("lease6").unwrap());
    assert!(dhclient::parse(released, "wan").is_empty(), "it was given back");
    let half = &DHCLIENT[..DHCLIENT.len() - 100];
    assert!(dhclient::parse(half, "wan").is_empty(), "the last one that is whole was given back");
    let broken = DHCLIENT.replace("iaprefix 2001:db8:a000::/56", "iaprefix 2001:db8:a000::/560");
    assert!(dhclient::parse(&broken, "wan").is_empty());
    let reversed = DHCLIENT.replace("preferred-life 1800", "preferred-life 7200");
    assert!(dhclient::parse(&reversed, "wan").is_empty(), "no client takes that (RFC 9915 section 21.22)");
}

#[test]
fn lifetimes_count_from_when_the_client_was_told() {
    let of_file = written(A, None).aged(1000, 1100).unwrap();
    assert_eq!((of_file.age, of_file.valid), (100, 3600));
    assert_eq!(written(A, Some(900)).aged(1000, 1100).unwrap().age, 200);
    assert_eq!(written(A, Some(1103)).aged(1000, 1100).unwrap().age, 0, "clocks are set");
    assert_eq!(written(A, Some(1200)).aged(1000, 1100), None, "nobody knows when that was");
    let mut observer = observer();
    observer.handle_filed(&[filed(A, 100)], at(10));
    assert_eq!(observer.usable(), [A]);
    assert_eq!(ends(&observer, A), granted_at(-90));
    let report = observer.report();
    assert_eq!(report.state, SourceState::Bound);
    assert!(report.notes[0].contains("in its lease file"), "{:?}", report.notes);
    observer.wait_until(at(3509));
    assert_eq!(observer.report().state, SourceState::Bound);
    observer.wait_until(at(3510));
    assert_eq!(observer.report().state, SourceState::Soliciting, "it has ended");
}

#[test]
fn what_is_over_or_not_there_says_nothing() {
    let mut observer = observer();
    observer.handle_filed(&[filed(A, 3600)], at(10));
    assert!(observer.report().offers.is_empty());
    observer.handle_filed(&[filed(A, 0)], at(20));
    observer.handle_filed(&[], at(30));
    assert_eq!(observer.usable(), [A], "a file that has gone ends nothing");
}

#[test]
fn a_newer_file_replaces_an_older_one() {
    let mut observer = observer();
    observer.handle_filed(&[filed(A, 50)], at(10));
    observer.handle_filed(&[filed(A, 0)], at(1000));
    assert_eq!(ends(&observer, A), granted_at(1000), "renewed");
    observer.handle_filed(&[filed(B, 0)], at(1100));
    assert_eq!(observer.usable(), [B]);
    assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Unlisted));
    observer.handle_filed(&[filed(A, 0)], at(1200));
    assert_eq!(observer.usable(), [A], "A, B, and A again");
}

#[test]
fn a_route_says_that_it_is_held_and_the_file_how_long() {
    let mut observer = observer();
    observer.handle_dump(&[route(A)], at(10));
    observer.handle_filed(&[Filed { excluded: Some("2001:db8:a:ff::/64".parse().unwrap()), ..filed(A, 0) }], at(10));
    assert_eq!(observer.report().offers.len(), 1, "{:?}", observer.report().offers);
    assert_eq!(ends(&observer, A), granted_at(10));
    assert_eq!(observer.offer(A).unwrap().excluded.len(), 1);
}

#[test]
fn a_file_of_a_client_that_is_used_no_longer_is_no_lease() {
    let mut observer = observer();
    observer.handle_dump(&[route(B)], at(10));
    observer.handle_filed(&[filed(A, 500)], at(10));
    assert_eq!(observer.usable(), [B]);
}

#[test]
fn what_the_packets_say_wins_over_the_file() {
    let mut observer = observer();
    observer.handle_filed(&[filed(A, 100)], at(10));
    observer.is_delegated(B, 1, at(20));
    assert_eq!(observer.usable(), [B]);
    // Read again, as it was then, and long after all else about that prefix is forgotten.
    observer.handle_filed(&[filed(A, 120)], at(30));
    assert_eq!(observer.usable(), [B]);
    observer.wait_until(at(1000));
    assert!(!observer.usable().contains(&A.to_owned()));
}

#[test]
fn what_a_server_has_ended_does_not_come_back_by_the_file() {
    let mut observer = observer();
    observer.handle_filed(&[filed(A, 0)], at(10));
    observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[A])]), at(20));
    assert_eq!(ends(&observer, A), granted_at(10), "the lease that is renewed is the one of the file");
    observer.gets(&reply(1, vec![ia(IAID, &[(A, 0, 0)])]), at(20));
    for seconds in [21, 100, 700, 1400, 3000] {
        observer.handle_filed(&[filed(A, u64::try_from(seconds).unwrap() - 10)], at(seconds));
        observer.wait_until(at(seconds));
        assert!(observer.usable().is_empty(), "{seconds}: {:?}", observer.usable());
    }
    observer.handle_filed(&[filed(A, 0)], at(3100));
    assert_eq!(observer.usable(), [A], "it is delegated anew");
}

#[test]
fn a_former_run_is_refuted_by_what_was_written_later_only() {
    for (age, expected) in [(5_u64, vec![B]), (500, vec![A, B])] {
        let mut observer = observer();
        let mut seed = crate::source::observe::hint::unknown(A.parse().unwrap(), at(-100));
        seed.recipient = Some("home".to_owned());
        observer.seed(&[seed], at(0));
        observer.handle_filed(&[filed(B, age)], at(1));
        assert_eq!(observer.usable(), expected);
    }
}

proptest! {
    #[test]
    fn no_file_is_too_much(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        dhcpcd::parse(&octets);
        dhclient::parse(&String::from_utf8_lossy(&octets), "wan");
    }

    #[test]
    fn no_change_of_a_file_is_too_much(at in 0..DHCPCD.len(), octet in any::<u8>(), cut in 0..DHCLIENT.len()) {
        let mut octets = DHCPCD.to_vec();
        octets[at] = octet;
        dhcpcd::parse(&octets);
        let mut text = DHCLIENT.as_bytes().to_vec();
        text[cut] = octet;
        dhclient::parse(&String::from_utf8_lossy(&text), "wan");
        dhclient::parse(&String::from_utf8_lossy(&text[..cut]), "wan");
    }

    #[test]
    fn no_word_of_a_lease_is_too_much(words in proptest::collection::vec("lease6|ia-pd|iaprefix|[{};\"#]|2001:db8::/48|interface|wan|starts|max-life|-?[0-9]{1,20}", 0..80)) {
        for lease in dhclient::parse(&words.join(" "), "wan") {
            let _aged = lease.aged(i64::MIN, i64::MAX);
        }
    }

    #[test]
    fn no_age_is_too_much(age in any::<u64>(), preferred in any::<u32>(), valid in any::<u32>(), now in 0_i64..1_000_000) {
        let mut observer = observer();
        let filed = Filed { age, preferred, valid, ..filed(A, 0) };
        observer.handle_filed(&[filed], at(now));
        observer.handle_timeout(at(now) + std::time::Duration::from_secs(u64::from(valid)));
        prop_assert!(observer.poll_timeout().is_none_or(|(due, _)| due > Instant::BOOT));
    }
}
