//! What routes and addresses tell.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ipnet::Ipv6Net;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use netlink_packet_route::route::{RouteMessage, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::RouteMessageBuilder;

use super::world::*;
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::observe::{Observer, Told, from_octets, to_octets};
use crate::source::{Cut, Offer, SourceState};
use crate::time::Deadline;

const NETIFD: u32 = 2_147_483_647;

fn route(prefix: &str, kind: RouteType, protocol: RouteProtocol, metric: u32) -> RouteMessage {
    let prefix: Ipv6Net = prefix.parse().unwrap();
    RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix(prefix.network(), prefix.prefix_len())
        .kind(kind)
        .protocol(protocol)
        .priority(metric)
        .build()
}

/// The route that systemd-networkd makes for a delegation.
pub(super) fn networkd(prefix: &str) -> RouteMessage {
    route(prefix, RouteType::Unreachable, RouteProtocol::Dhcp, 1024)
}

pub(super) fn new(route: RouteMessage) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewRoute(route)
}

pub(super) fn gone(route: RouteMessage) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelRoute(route)
}

fn address(ifindex: u32, address: &str, preferred: u32, valid: u32, flags: AddressFlags) -> AddressMessage {
    let mut cache = CacheInfo::default();
    (cache.ifa_preferred, cache.ifa_valid) = (preferred, valid);
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.index = ifindex;
    message.attributes = vec![
        AddressAttribute::Address(IpAddr::V6(address.parse().unwrap())),
        AddressAttribute::CacheInfo(cache),
        AddressAttribute::Flags(flags),
    ];
    message
}

pub(super) fn numbered(ifindex: u32, at: &str, preferred: u32, valid: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewAddress(address(ifindex, at, preferred, valid, AddressFlags::empty()))
}

pub(super) fn unnumbered(ifindex: u32, at: &str) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelAddress(address(ifindex, at, 0, 0, AddressFlags::empty()))
}

pub(super) fn ends(observer: &Observer, prefix: &str) -> (Deadline, Deadline) {
    let offer = observer.offer(prefix).unwrap();
    (offer.preferred_until, offer.valid_until)
}

#[test]
fn t178_the_routes_of_clients_tell_the_delegation_and_addresses_its_lifetimes() {
    let theirs = [
        networkd(A),
        route(A, RouteType::BlackHole, RouteProtocol::Dhcp, 1024),
        route(A, RouteType::Prohibit, RouteProtocol::Dhcp, 1024),
        route(A, RouteType::Unreachable, RouteProtocol::Dhcp, 1001),
        route(A, RouteType::Unreachable, RouteProtocol::Static, NETIFD),
    ];
    for theirs in theirs {
        let mut observer = observer();
        observer.handle_dump(&[new(theirs.clone()), numbered(8, "2001:db8:a:1::1", 600, 900)], at(10));
        assert_eq!(observer.usable(), [A], "{theirs:?}");
        assert_eq!(ends(&observer, A), (Deadline::At(at(610)), Deadline::At(at(910))));
        assert_eq!(observer.report().state, SourceState::Bound);
        // That it lives until then is known.
        let note = &observer.report().notes[0];
        assert!(note.starts_with("What the DHCPv6 client on ppp0 was delegated is known by what this host"), "{note}");
        assert!(note.ends_with("no message of it was seen yet"), "{note}");
        let mut observer = super::world::observer();
        observer.handle_dump(&[new(theirs)], at(10));
        let note = &observer.report().notes[0];
        assert!(note.starts_with("How long the prefix lives is known once"), "{note}");
    }
}

#[test]
fn routes_of_others_are_none() {
    let others = [
        // Ours (unreachableRoute), somebody who types, one that leads somewhere, the kernel's, another protocol.
        route(A, RouteType::Unreachable, RouteProtocol::Dhcp, NETIFD),
        route(A, RouteType::Unreachable, RouteProtocol::Static, 1024),
        route(A, RouteType::Unicast, RouteProtocol::Dhcp, 1024),
        route(A, RouteType::Unreachable, RouteProtocol::Kernel, NETIFD),
        route(A, RouteType::Unreachable, RouteProtocol::Bgp, NETIFD),
        networkd("2001:db8:a::/72"),
        networkd("fe80::/10"),
        networkd("ff00::/8"),
    ];
    let mut observer = observer();
    observer.handle_dump(&others.map(new), at(10));
    assert!(observer.usable().is_empty());
}

#[test]
fn lifetimes_are_those_of_the_longest_living_address_and_stay_known() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A))], at(10));
    assert_eq!(ends(&observer, A), (Deadline::Never, Deadline::Never));
    let temporary = address(8, "2001:db8:a:1::9", 5000, 9000, AddressFlags::Secondary);
    let events = [
        numbered(8, "2001:db8:a:1::1", 600, 900),
        numbered(9, "2001:db8:a:2::1", 700, 800),
        // The uplink's own, from a part of the prefix that the provider keeps; a temporary one; another prefix.
        numbered(3, "2001:db8:a:ff::1", 5000, 9000),
        RouteNetlinkMessage::NewAddress(temporary),
        numbered(9, "2001:db8:b::1", 5000, 9000),
    ];
    observer.handle_events(&events, at(20));
    assert_eq!(ends(&observer, A), (Deadline::At(at(720)), Deadline::At(at(920))));
    let taken = address(8, "2001:db8:a:1::1", 0, 0, AddressFlags::empty());
    observer.handle_events(&[RouteNetlinkMessage::DelAddress(taken)], at(30));
    assert_eq!(ends(&observer, A), (Deadline::At(at(720)), Deadline::At(at(820))));
    let taken = address(9, "2001:db8:a:2::1", 0, 0, AddressFlags::empty());
    observer.handle_events(&[RouteNetlinkMessage::DelAddress(taken)], at(40));
    assert_eq!(ends(&observer, A), (Deadline::At(at(720)), Deadline::At(at(820))), "that it ended so is known");
}

#[test]
fn a_route_that_is_away_for_a_moment_is_none_that_is_lost() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A))], at(10));
    observer.handle_events(&[gone(networkd(A))], at(20));
    observer.wait_until(at(29));
    assert_eq!(observer.usable(), [A]);
    observer.handle_events(&[new(networkd(A))], at(29));
    observer.wait_until(at(100));
    assert_eq!(observer.usable(), [A]);
    observer.handle_events(&[gone(networkd(A))], at(100));
    let report = observer.wait_until(at(110));
    assert_eq!(report.offers[0].cut, Some(Cut::Unlisted), "nobody has said that it ended");
    observer.handle_events(&[new(networkd(A))], at(111));
    assert_eq!(observer.usable(), [A]);
}

#[test]
fn a_route_that_is_replaced_by_a_newer_one_is_lost_at_once() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A))], at(10));
    observer.handle_events(&[new(networkd(B))], at(20));
    assert_eq!(observer.usable(), [A, B], "both are there");
    observer.handle_events(&[gone(networkd(A))], at(20));
    assert_eq!(observer.usable(), [B]);
}

#[test]
fn a_second_route_for_a_prefix_is_enough() {
    let mut observer = observer();
    let second = route(A, RouteType::Unreachable, RouteProtocol::Static, NETIFD);
    observer.handle_dump(&[new(networkd(A)), new(second)], at(10));
    observer.handle_events(&[gone(networkd(A))], at(20));
    observer.wait_until(at(100));
    assert_eq!(observer.usable(), [A]);
}

#[test]
fn t146_a_dump_after_lost_messages_makes_it_equal() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A)), numbered(8, "2001:db8:a:1::1", 600, 900)], at(10));
    observer.handle_dump(&[new(networkd(B)), numbered(8, "2001:db8:b:1::1", 60, 90)], at(20));
    assert_eq!(observer.usable(), [B]);
    assert_eq!(ends(&observer, B), (Deadline::At(at(80)), Deadline::At(at(110))));
    observer.handle_dump(&[new(networkd(B))], at(30));
    assert_eq!(observer.usable(), [B]);
}

#[test]
fn what_the_packets_say_wins() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A)), numbered(8, "2001:db8:a:1::1", 600, 900)], at(10));
    observer.is_delegated(A, 1, at(20));
    assert_eq!(observer.report().offers.len(), 1);
    assert_eq!(ends(&observer, A), (Deadline::At(at(220)), Deadline::At(at(420))));
    // dhcpcd takes its route away when all of the prefix is given to one interface.
    observer.handle_events(&[gone(networkd(A))], at(30));
    observer.wait_until(at(100));
    assert_eq!(observer.usable(), [A]);
    // Somebody else's, by another uplink.
    observer.handle_events(&[new(networkd("2001:db8:c::/48"))], at(100));
    assert_eq!(observer.usable(), [A]);
    // The server ends it; that the client has not noticed does not matter, however long that lasts.
    observer.handle_events(&[new(networkd(A))], at(100));
    observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(120));
    observer.gets(&reply(2, vec![ia(IAID, &[(A, 0, 0)])]), at(120));
    assert!(!observer.usable().contains(&A.to_owned()));
    observer.wait_until(at(5000));
    assert!(!observer.usable().contains(&A.to_owned()));
}

#[test]
fn a_delegation_that_only_netlink_told_of_ends_when_the_packets_tell_another() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A))], at(10));
    observer.is_delegated(B, 1, at(20));
    assert_eq!(observer.usable(), [B]);
    assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Unlisted));
    observer.handle_events(&[new(networkd(B)), gone(networkd(A))], at(21));
    observer.wait_until(at(100));
    assert_eq!(observer.usable(), [B]);
}

pub(super) fn seed(prefix: &str) -> Offer {
    Offer {
        prefix: prefix.parse().unwrap(),
        recipient: Some("home".to_owned()),
        router: None,
        preferred_until: Deadline::At(at(2000)),
        valid_until: Deadline::At(at(4000)),
        excluded: Vec::new(),
        first_seen: at(-50),
        cut: None,
    }
}

#[test]
fn what_a_former_run_knew_is_held_until_there_is_evidence_that_it_is_not() {
    for after in [vec![], vec![new(networkd(A))]] {
        let mut observer = observer();
        observer.seed(&[seed(A)], at(0));
        observer.handle_dump(&after, at(1));
        for time in [1000, 3999] {
            observer.wait_until(at(time));
            assert!(observer.usable().iter().all(|prefix| prefix == A) && !observer.usable().is_empty(), "{time}");
        }
        // The client would have renewed it by then, at the latest.
        for time in [8000, 9000, 100_000] {
            observer.wait_until(at(time));
            assert!(!observer.is_held(), "{time}");
        }
    }
    let mut observer = observer();
    observer.seed(&[seed(A)], at(0));
    observer.handle_dump(&[new(networkd(B))], at(1));
    assert_eq!(observer.usable(), [B], "the client has another one now");
}

#[test]
fn a_lease_of_a_former_run_goes_on_with_the_next_renewal() {
    let mut observer = observer();
    observer.seed(&[seed(A)], at(0));
    observer.sends(&asked(ClientMessage::Rebind, 1, &[(IAID, &[A])]), at(5));
    assert_eq!(ends(&observer, A), (Deadline::At(at(2000)), Deadline::At(at(4000))));
    observer.gets(&reply(1, vec![ia(IAID, &[(A, 0, 0), (B, 200, 400)])]), at(5));
    assert_eq!(observer.usable(), [B]);
    assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Withdrawn));
}

#[test]
fn without_packets_netlink_goes_on_alone() {
    let mut observer = observer();
    observer.handle_failure(Some("Cannot open a packet socket.".to_owned()), at(1));
    assert!(observer.report().pending.is_empty(), "nobody waits for packets that cannot be seen");
    observer.handle_events(&[new(networkd(A))], at(2));
    assert_eq!(observer.usable(), [A]);
    assert_eq!(observer.report().state, SourceState::Failed("Cannot open a packet socket.".to_owned()));
    assert!(observer.report().pending.contains("home"));
}

#[test]
fn t145_messages_about_other_things_change_nothing() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A))], at(10));
    let before = observer.report();
    let mut link = netlink_packet_route::link::LinkMessage::default();
    link.header.index = 3;
    let others = [
        RouteNetlinkMessage::NewLink(link.clone()),
        RouteNetlinkMessage::DelLink(link),
        new(route("2001:db8:9::/64", RouteType::Unicast, RouteProtocol::Kernel, 256)),
    ];
    observer.handle_events(others.iter().cycle().take(10_000), at(11));
    assert_eq!(observer.report(), before);
}

#[test]
fn messages_come_back_from_a_record_as_they_were() {
    let address = address(8, "2001:db8:a:1::1", 600, 900, AddressFlags::Noprefixroute);
    let messages = [new(networkd(A)), gone(networkd(B)), RouteNetlinkMessage::NewAddress(address)];
    for message in messages {
        assert_eq!(from_octets(&to_octets(&message)), Some(message));
    }
    assert_eq!(from_octets(&[]), None);
    assert_eq!(from_octets(&[0, 24, 1]), None, "a route without a header");
}

/// A route says nothing of lifetimes; who reports does, and so does the client at its next report.
#[test]
fn what_is_told_of_lifetimes_counts_for_a_route_that_stands() {
    let mut observer = observer();
    observer.handle_events(&[new(networkd(A))], at(5));
    let told = |preferred, valid| Told {
        dynamic_prefix: "home".to_owned(),
        prefix: A.parse().unwrap(),
        preferred: Some(preferred),
        valid: Some(valid),
        excluded: Vec::new(),
        gone: false,
        ago: Duration::ZERO,
    };
    observer.handle_told(&told(200, 400), at(10));
    let ends = |observer: &Observer| -> Vec<(Deadline, Deadline)> {
        observer.report().offers.iter().map(|offer| (offer.preferred_until, offer.valid_until)).collect()
    };
    assert_eq!(ends(&observer), [(Deadline::At(at(210)), Deadline::At(at(410))); 2]);
    observer.handle_told(&told(20, 40), at(20));
    assert_eq!(ends(&observer), [(Deadline::At(at(40)), Deadline::At(at(60))); 2]);
}

/// systemd-networkd 252 leaves the route of a delegation that was replaced where it is.
#[test]
fn t178_a_route_that_is_left_behind_ends_with_its_addresses() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A)), numbered(8, "2001:db8:a:1::1", 600, 900)], at(10));
    observer.handle_events(&[new(networkd(B))], at(20));
    assert_eq!(observer.usable(), [A], "nobody uses the other one yet");
    observer.handle_events(&[numbered(8, "2001:db8:b:1::1", 600, 900)], at(20));
    assert_eq!(observer.usable(), [A, B]);
    observer.handle_events(&[unnumbered(8, "2001:db8:a:1::1")], at(20));
    observer.wait_until(at(29));
    assert_eq!(observer.usable(), [A, B], "the interface may be back in a moment");
    observer.wait_until(at(30));
    assert_eq!(observer.usable(), [B]);
    assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Unlisted));
    // Back to the first, whose route has been there all the time.
    observer.handle_events(&[numbered(8, "2001:db8:a:1::1", 600, 900), unnumbered(8, "2001:db8:b:1::1")], at(900));
    assert!(observer.usable().contains(&A.to_owned()));
    observer.wait_until(at(910));
    assert_eq!(observer.usable(), [A]);
}

#[test]
fn t178_a_route_that_was_left_behind_before_our_start_is_no_delegation() {
    let dump = [new(networkd(A)), new(networkd(B)), numbered(8, "2001:db8:b:1::1", 600, 900)];
    let mut fresh = observer();
    fresh.handle_dump(&dump, at(10));
    assert_eq!(fresh.usable(), [B]);
    // Also when a former run knew it, and not for how long.
    let endless = (Deadline::Never, Deadline::Never);
    let former = Offer { preferred_until: endless.0, valid_until: endless.1, ..seed(A) };
    let mut seeded = observer();
    seeded.seed(&[former], at(10));
    seeded.handle_dump(&dump, at(10));
    assert_eq!(seeded.usable(), [B]);
    // Nobody prefers it to one that is deprecated.
    fresh.wait_until(at(609));
    assert_eq!(fresh.usable(), [B]);
    fresh.wait_until(at(610));
    assert_eq!(fresh.usable().len(), 2);
}

/// The interface behind the host went down, and its addresses with it.
#[test]
fn t178_a_delegation_without_addresses_is_held_as_long_as_no_newer_one_has_any() {
    let mut observer = observer();
    let both = [new(networkd(A)), new(networkd(B))];
    let numbers = [numbered(8, "2001:db8:a:1::1", 600, 900), numbered(9, "2001:db8:b:1::1", 600, 900)];
    observer.handle_dump(&[both, numbers].concat(), at(10));
    observer.handle_events(&[unnumbered(8, "2001:db8:a:1::1")], at(20));
    assert_eq!(observer.usable(), [A, B]);
    observer.handle_events(&[unnumbered(9, "2001:db8:b:1::1")], at(20));
    assert_eq!(observer.usable(), [A, B]);
}
