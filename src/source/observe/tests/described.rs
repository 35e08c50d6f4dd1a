//! What systemd-networkd says when it is asked.

use netlink_packet_route::RouteNetlinkMessage;
use proptest::prelude::*;

use super::netlink::networkd as route;
use super::world::*;
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::observe::filed::networkd::{Description, parse};
use crate::source::observe::{Filed, Observer};
use crate::source::{Cut, SourceState};
use crate::time::{Deadline, Instant};

/// As networkctl of systemd 257 has printed it: Kea had delegated a /64 with T1 4, T2 60, 90 and 120 s.
const WAN: &str = r#"{"Index":2,"Name":"wan","Kind":"veth","Type":"ether","Driver":"veth","Flags":69699,
"FlagsString":"up,broadcast,running,multicast,lower-up","KernelOperationalState":6,
"KernelOperationalStateString":"up","MTU":1500,"MinimumMTU":68,"MaximumMTU":65535,
"HardwareAddress":[34,4,78,141,204,89],"BroadcastAddress":[255,255,255,255,255,255],
"IPv6LinkLocalAddress":[254,128,0,0,0,0,0,0,32,4,78,255,254,141,204,89],"AdministrativeState":"configuring",
"OperationalState":"degraded","CarrierState":"carrier","AddressState":"degraded","IPv4AddressState":"off",
"IPv6AddressState":"degraded","OnlineState":"online","NetworkFile":"/etc/systemd/network/10-wan.network",
"NetworkFileDropins":[],"RequiredForOnline":true,"RequiredFamilyForOnline":"any","ActivationPolicy":"up",
"DNSSettings":[{"LLMNR":"yes","ConfigSource":"static"},{"MDNS":"no","ConfigSource":"static"}],
"Addresses":[{"Family":10,"Address":[254,128,0,0,0,0,0,0,32,4,78,255,254,141,204,89],"PrefixLength":64,
"ConfigSource":"foreign","Scope":253,"ScopeString":"link","Flags":128,"FlagsString":"permanent",
"ConfigState":"configured"}],"Routes":[{"Family":10,"Destination":[254,128,0,0,0,0,0,0,0,0,0,0,0,0,0,0],
"DestinationPrefixLength":64,"TOS":0,"Scope":0,"Protocol":2,"Type":1,"Priority":256,"Table":254,"Flags":0,
"ConfigSource":"foreign","ScopeString":"global","ProtocolString":"kernel","TypeString":"unicast",
"TableString":"main","Preference":0,"FlagsString":"","ConfigState":"configured"},{"Family":10,
"Destination":[255,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"DestinationPrefixLength":8,"TOS":0,"Scope":0,"Protocol":2,
"Type":5,"Priority":256,"Table":255,"Flags":0,"ConfigSource":"foreign","ScopeString":"global",
"ProtocolString":"kernel","TypeString":"multicast","TableString":"local","Preference":0,"FlagsString":"",
"ConfigState":"configured"},{"Family":10,"Destination":[254,128,0,0,0,0,0,0,32,4,78,255,254,141,204,89],
"DestinationPrefixLength":128,"TOS":0,"Scope":0,"Protocol":2,"Type":2,"Priority":0,"Table":255,"Flags":0,
"ConfigSource":"foreign","ScopeString":"global","ProtocolString":"kernel","TypeString":"local",
"TableString":"local","Preference":0,"FlagsString":"","ConfigState":"configured"}],
"DHCPv6Client":{"Lease":{"Timeout1USec":84663109139,"Timeout2USec":84719109139,"LeaseTimestampUSec":84659109139},
"Prefixes":[{"Prefix":[32,1,13,184,128,0,0,0,0,0,0,0,0,0,0,0],"PrefixLength":64,"PreferredLifetimeUSec":84749109139,
"ValidLifetimeUSec":84779109139}],"DUID":[0,2,0,0,171,17,36,28,26,222,145,65,188,210]}}"#;

/// A /64, for which no route is made.
const NARROW: &str = "2001:db8:c:d::/64";

/// Half a second after the moment of the lease there.
const NOW: Instant = Instant::from_nanos(84_659_609_139_000);

fn filed(prefix: &str, age: u64) -> Filed {
    Filed { prefix: prefix.parse().unwrap(), age, preferred: 1800, valid: 3600, excluded: None }
}

fn stands(prefix: &str) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewRoute(route(prefix))
}

fn described(text: &str) -> Description {
    parse(text.as_bytes(), 2, NOW).unwrap()
}

fn valid_until(observer: &Observer, prefix: &str) -> Deadline {
    observer.offer(prefix).unwrap().valid_until
}

#[test]
fn its_description_has_the_delegation_and_the_moment_of_the_lease() {
    let held = Filed { preferred: 90, valid: 120, ..filed("2001:db8:8000::/64", 1) };
    let renews_at = Some(Instant::from_nanos(84_663_109_139_000));
    assert_eq!(described(WAN), Description { filed: vec![held], renews_at, has_client: true });
    let later = parse(WAN.as_bytes(), 2, NOW + std::time::Duration::from_secs(100)).unwrap();
    assert_eq!(later.filed[0].age, 101, "counted in whole seconds, rather too many");
}

#[test]
fn what_it_leaves_out_does_not_end_or_is_not_there() {
    let ends = ",\"PreferredLifetimeUSec\":84749109139,\"ValidLifetimeUSec\":84779109139";
    let text = WAN.replace('\n', "");
    assert!(text.contains(ends));
    let endless = described(&text.replace(ends, ""));
    assert_eq!((endless.filed[0].preferred, endless.filed[0].valid), (Deadline::INFINITY, Deadline::INFINITY));
    let waits = r#"{"Index":2,"Name":"wan","DHCPv6Client":{"DUID":[0,2]}}"#;
    assert_eq!(described(waits), Description { has_client: true, ..Description::default() });
    // 252 says nothing of the client, whatever it holds.
    assert_eq!(described(r#"{"Index":2,"Name":"wan","Type":"ether"}"#), Description::default());
}

#[test]
fn what_cannot_be_is_not_believed() {
    assert!(parse(WAN.as_bytes(), 3, NOW).is_err(), "another link");
    assert!(parse(b"", 2, NOW).is_err());
    assert!(parse(b"Unknown option --json", 2, NOW).is_err());
    assert!(parse(WAN.as_bytes(), 2, Instant::from_secs(84_000)).is_err(), "the clock is not the same");
    for (good, bad) in [
        ("\"PrefixLength\":64,\"PreferredLifetimeUSec\"", "\"PrefixLength\":129,\"PreferredLifetimeUSec\""),
        ("[32,1,13,184,128,", "[255,1,13,184,128,"),
        ("\"ValidLifetimeUSec\":84779109139", "\"ValidLifetimeUSec\":84659109139"),
        ("\"ValidLifetimeUSec\":84779109139", "\"ValidLifetimeUSec\":84748109139"),
    ] {
        let text = WAN.replace('\n', "");
        assert!(text.contains(good), "{good}");
        assert!(described(&text.replace(good, bad)).filed.is_empty(), "{bad}");
    }
}

#[test]
fn a_delegation_without_a_route_is_known_by_it_alone() {
    let mut observer = observer();
    observer.handle_described(&[filed(NARROW, 100)], at(150));
    assert_eq!(observer.usable(), [NARROW]);
    assert_eq!(valid_until(&observer, NARROW), Deadline::At(at(50 + 3600)));
    let report = observer.report();
    assert_eq!(report.state, SourceState::Bound);
    assert!(
        report.notes[0].contains("what systemd-networkd says that its DHCPv6 client on ppp0"),
        "{:?}",
        report.notes
    );
    observer.handle_described(&[filed(NARROW, 0)], at(1000));
    assert_eq!(valid_until(&observer, NARROW), Deadline::At(at(1000 + 3600)), "renewed");
    observer.handle_described(&[filed(B, 0)], at(1100));
    assert_eq!(observer.usable(), [B]);
    assert_eq!(observer.offer(NARROW).unwrap().cut, Some(Cut::Unlisted));
}

#[test]
fn a_client_that_is_restarted_holds_nothing_for_a_moment() {
    let mut observer = observer();
    observer.handle_described(&[], at(10));
    assert!(observer.report().offers.is_empty(), "it never held anything");
    observer.handle_described(&[filed(NARROW, 0)], at(20));
    observer.handle_described(&[], at(100));
    observer.wait_until(at(109));
    assert_eq!(observer.usable(), [NARROW]);
    observer.handle_described(&[filed(NARROW, 0)], at(109));
    observer.wait_until(at(200));
    assert_eq!(observer.usable(), [NARROW]);
    observer.handle_described(&[], at(300));
    observer.wait_until(at(310));
    assert!(observer.usable().is_empty(), "{:?}", observer.usable());
    assert_eq!(observer.offer(NARROW).unwrap().cut, Some(Cut::Unlisted));
    observer.handle_described(&[filed(NARROW, 0)], at(400));
    assert_eq!(observer.usable(), [NARROW], "it is delegated anew");
}

#[test]
fn routes_of_another_uplink_are_not_taken_for_delegations_of_this_one() {
    let mut observer = observer();
    observer.handle_dump(&[stands(A), stands(B)], at(10));
    assert_eq!(observer.usable(), [A, B], "nobody knows by which uplink they came");
    observer.handle_described(&[filed(A, 500)], at(11));
    assert_eq!(observer.usable(), [A]);
    observer.handle_events(&[stands("2001:db8:e::/56")], at(20));
    assert_eq!(observer.usable(), [A, "2001:db8:e::/56"], "it was not asked since");
    observer.handle_described(&[filed("2001:db8:e::/56", 1)], at(21));
    assert_eq!(observer.usable(), ["2001:db8:e::/56"]);
    assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Unlisted), "its route is left over");
    observer.handle_described(&[filed(A, 0)], at(30));
    assert_eq!(observer.usable(), [A], "A, another one, and A again");
    assert_eq!(valid_until(&observer, A), Deadline::At(at(30 + 3600)));
    observer.handle_events(&[RouteNetlinkMessage::DelRoute(route(A))], at(40));
    observer.wait_until(at(60));
    assert_eq!(observer.usable(), [A], "somebody took its route away");
    assert_eq!(valid_until(&observer, A), Deadline::At(at(30 + 3600)));
}

#[test]
fn a_route_that_stands_for_another_uplink_does_not_refute_it() {
    let mut observer = observer();
    let mut seed = crate::source::observe::hint::unknown(NARROW.parse().unwrap(), at(-100));
    seed.recipient = Some("home".to_owned());
    observer.seed(&[seed], at(0));
    observer.handle_dump(&[stands(B)], at(1));
    observer.handle_described(&[filed(NARROW, 200)], at(2));
    assert_eq!(observer.usable(), [NARROW, NARROW], "as a former run knew, and as it says");
    observer.wait_until(at(100));
    assert_eq!(observer.usable(), [NARROW, NARROW]);
}

#[test]
fn what_the_packets_say_wins_over_it() {
    let mut observer = observer();
    observer.handle_described(&[filed(A, 100)], at(10));
    observer.is_delegated(B, 1, at(20));
    assert_eq!(observer.usable(), [B]);
    observer.handle_described(&[filed(A, 120)], at(30));
    assert_eq!(observer.usable(), [B]);
}

#[test]
fn what_a_server_has_ended_does_not_come_back_by_it() {
    let mut observer = observer();
    observer.handle_described(&[filed(A, 0)], at(10));
    observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[A])]), at(20));
    observer.gets(&reply(1, vec![ia(IAID, &[(A, 0, 0)])]), at(20));
    for seconds in [21, 100, 700, 1400, 3000] {
        observer.handle_described(&[filed(A, u64::try_from(seconds).unwrap() - 10)], at(seconds));
        observer.wait_until(at(seconds));
        assert!(observer.usable().is_empty(), "{seconds}: {:?}", observer.usable());
    }
    observer.handle_described(&[filed(A, 0)], at(3100));
    assert_eq!(observer.usable(), [A], "it is delegated anew");
}

#[test]
fn of_its_description_and_the_file_of_another_client_the_newer_counts() {
    let mut observer = observer();
    observer.handle_described(&[filed(A, 0)], at(100));
    observer.handle_filed(&[filed(B, 50)], at(110));
    assert_eq!(observer.usable(), [A]);
    observer.handle_filed(&[filed(B, 0)], at(120));
    assert_eq!(observer.usable(), [B]);
    observer.handle_described(&[filed(A, 50)], at(150));
    observer.handle_described(&[], at(160));
    observer.wait_until(at(200));
    assert_eq!(observer.usable(), [B]);
    observer.handle_described(&[filed(A, 0)], at(210));
    assert_eq!(observer.usable(), [A]);
}

/// What the client has said of routes counts also when the packets tell of its lease.
#[test]
fn the_route_of_another_uplink_is_not_taken_when_packets_tell_what_becomes_of_the_own_one() {
    let answers = [ia(IAID, &[(A, 0, 4000)]), ia(IAID, &[(A, 0, 0), (NARROW, 2000, 4000)]), ia(IAID, &[(A, 0, 0)])];
    for answer in answers {
        let mut observer = observer();
        observer.handle_dump(&[stands(A), stands(B)], at(1));
        observer.handle_described(&[filed(A, 0)], at(2));
        observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[A])]), at(100));
        observer.gets(&reply(1, vec![granted(&[A])]), at(100));
        assert_eq!(observer.usable(), [A]);
        observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(200));
        observer.gets(&reply(2, vec![answer.clone()]), at(200));
        for time in [201, 300, 1000, 3000] {
            observer.wait_until(at(time));
            assert!(observer.offer(B).is_none(), "{time}: {:?}", observer.report().offers);
        }
        // The client of this interface may have it one day.
        observer.sends(&asked(ClientMessage::Renew, 3, &[(IAID, &[B])]), at(3100));
        observer.gets(&reply(3, vec![granted(&[B])]), at(3100));
        assert!(observer.usable().contains(&B.to_owned()));
    }
    let mut observer = observer();
    observer.handle_dump(&[stands(A), stands(B)], at(1));
    observer.handle_described(&[filed(A, 0)], at(2));
    observer.handle_described(&[filed(A, 0), filed(B, 0)], at(10));
    let mut usable = observer.usable();
    usable.sort();
    assert_eq!(usable, [A, B], "as it says later");
}

proptest! {
    #[test]
    fn no_change_of_a_description_is_too_much(at in 0..WAN.len(), octet in any::<u8>(), cut in 0..WAN.len(), now in any::<i64>()) {
        let mut octets = WAN.as_bytes().to_vec();
        octets[at] = octet;
        let _any = parse(&octets, 2, Instant::from_nanos(now));
        let _any = parse(&octets[..cut], 2, NOW);
    }

    #[test]
    fn no_number_is_too_large(since in any::<u64>(), preferred in any::<u64>(), valid in any::<u64>(), length in any::<u8>(), now in any::<i64>()) {
        let text = format!(
            r#"{{"Index":2,"DHCPv6Client":{{"Lease":{{"Timeout1USec":{valid},"LeaseTimestampUSec":{since}}},
            "Prefixes":[{{"Prefix":[32,1,13,184,0,0,0,0,0,0,0,0,0,0,0,0],"PrefixLength":{length},
            "PreferredLifetimeUSec":{preferred},"ValidLifetimeUSec":{valid}}}]}}}}"#
        );
        let now = Instant::from_nanos(now);
        if let Ok(described) = parse(text.as_bytes(), 2, now) {
            let mut observer = observer();
            observer.handle_described(&described.filed, now);
        }
    }
}
