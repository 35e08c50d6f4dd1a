//! Delegations of other uplinks, and unique local prefixes, beside what is observed.

use netlink_packet_route::RouteNetlinkMessage;

use super::netlink::{gone, networkd, new, numbered, seed, unnumbered};
use super::world::*;
use crate::prefix::PrefixFilter;
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::observe::{Filed, Observer};
use crate::source::{Offer, SourceState};
use crate::time::Deadline;

/// As OpenWrt makes one, and numbers interfaces from it.
const LOCAL: &str = "fd12:3456:789a::/48";
const UNSEEN: &str = "Cannot open a packet socket.";

fn local() -> [RouteNetlinkMessage; 2] {
    [new(networkd(LOCAL)), numbered(8, "fd12:3456:789a:1::1", u32::MAX, u32::MAX)]
}

/// A on one interface, and B, which was put into use later, on another.
fn with_two_in_use() -> Observer {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A)), numbered(8, "2001:db8:a:1::1", 600, 900)], at(10));
    observer.handle_events(&[new(networkd(B)), numbered(9, "2001:db8:b:1::1", 600, 900)], at(20));
    assert_eq!(observer.usable(), [A, B]);
    observer
}

#[test]
fn an_interface_that_goes_down_and_up_again_ends_no_delegation() {
    let mut observer = with_two_in_use();
    observer.handle_events(&[unnumbered(8, "2001:db8:a:1::1")], at(30));
    observer.wait_until(at(32));
    assert_eq!(observer.usable(), [A, B]);
    observer.handle_events(&[numbered(8, "2001:db8:a:1::1", 600, 900)], at(32));
    observer.wait_until(at(100));
    assert_eq!(observer.usable(), [A, B]);
    // It counts from the time when it went.
    observer.handle_events(&[unnumbered(8, "2001:db8:a:1::1")], at(100));
    assert_eq!(observer.poll_timeout().map(|(due, _)| due), Some(at(110)));
    observer.wait_until(at(109));
    assert_eq!(observer.usable(), [A, B]);
    observer.wait_until(at(110));
    assert_eq!(observer.usable(), [B]);
}

#[test]
fn a_unique_local_prefix_in_use_does_not_put_a_delegation_aside() {
    let mut observer = observer();
    observer.handle_dump(&local(), at(1));
    observer.handle_events(&[new(networkd(A))], at(10));
    assert!(observer.usable().contains(&A.to_owned()));
    // Nor does it end one that was in use.
    let mut observer = super::world::observer();
    observer.handle_dump(&[new(networkd(A)), numbered(9, "2001:db8:a:1::1", 600, 900)], at(1));
    observer.handle_events(&local(), at(10));
    observer.handle_events(&[unnumbered(9, "2001:db8:a:1::1")], at(20));
    observer.wait_until(at(100));
    assert!(observer.usable().contains(&A.to_owned()));
}

#[test]
fn a_unique_local_prefix_does_not_replace_a_delegation() {
    let mut observer = observer();
    let endless = Offer { preferred_until: Deadline::Never, valid_until: Deadline::Never, ..seed(A) };
    observer.seed(&[endless], at(0));
    observer.handle_dump(&local(), at(1));
    assert!(observer.usable().contains(&A.to_owned()), "what a former run knew");
    let mut observer = super::world::observer();
    observer.handle_dump(&[new(networkd(A))], at(1));
    observer.handle_events(&[new(networkd(LOCAL))], at(10));
    observer.handle_events(&[gone(networkd(A))], at(20));
    observer.wait_until(at(29));
    assert!(observer.usable().contains(&A.to_owned()), "a route that is away for a moment");
    let mut observer = super::world::observer();
    observer.handle_dump(&local(), at(1));
    let filed = Filed { prefix: A.parse().unwrap(), age: 0, preferred: 1800, valid: 3600, excluded: None };
    observer.handle_filed(&[filed], at(10));
    assert!(observer.usable().contains(&A.to_owned()), "a lease on file");
}

/// The client got another one, and nobody could see it.
#[test]
fn a_delegation_that_came_while_packets_were_unseen_takes_the_place_of_the_lease() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(20));
    observer.handle_events(&[new(networkd(A))], at(20));
    observer.handle_failure(Some(UNSEEN.to_owned()), at(30));
    observer.handle_events(&[new(networkd(B))], at(40));
    assert_eq!(observer.usable(), [A, B], "it may be somebody else's");
    observer.handle_events(&[gone(networkd(A))], at(40));
    assert_eq!(observer.usable(), [B]);
    observer.handle_failure(None, at(50));
    for time in [51, 419, 1500] {
        observer.wait_until(at(time));
        assert_eq!(observer.usable(), [B], "{time}");
    }
}

#[test]
fn a_lease_that_gave_way_unseen_is_back_with_its_route_or_its_renewal() {
    for by_route in [true, false] {
        let mut observer = observer();
        observer.is_delegated(A, 1, at(20));
        observer.handle_events(&[new(networkd(A))], at(20));
        observer.handle_failure(Some(UNSEEN.to_owned()), at(30));
        observer.handle_events(&[new(networkd(B)), gone(networkd(A))], at(40));
        assert_eq!(observer.usable(), [B]);
        observer.handle_failure(None, at(50));
        if by_route {
            observer.handle_events(&[new(networkd(A))], at(60));
        } else {
            observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(60));
        }
        assert!(observer.usable().contains(&A.to_owned()), "by its route: {by_route}");
    }
}

/// The switch behind the host is off for longer than the addresses would have lived; the client renews all the time.
#[test]
fn an_interface_that_is_down_for_long_ends_no_delegation_whose_packets_are_unseen() {
    for is_stale_there in [false, true] {
        let mut observer = observer();
        observer.handle_failure(Some(UNSEEN.to_owned()), at(0));
        let stale = Some(new(networkd(A))).filter(|_| is_stale_there);
        let living = [new(networkd(B)), numbered(8, "2001:db8:b:1::1", 600, 900)];
        observer.handle_dump(&stale.into_iter().chain(living).collect::<Vec<_>>(), at(0));
        observer.handle_events(&[unnumbered(8, "2001:db8:b:1::1")], at(10));
        observer.wait_until(at(19));
        assert_eq!(observer.usable(), [B], "the interface may be back in a moment");
        for time in [600, 900, 5000] {
            observer.wait_until(at(time));
            let offer = observer.offer(B).unwrap();
            assert_eq!((offer.cut, offer.preferred_until, offer.valid_until), (None, Deadline::Never, Deadline::Never));
        }
        observer.handle_events(&[numbered(8, "2001:db8:b:1::1", 600, 900)], at(5000));
        assert_eq!(observer.usable(), [B]);
        assert_eq!(observer.offer(B).unwrap().valid_until, Deadline::At(at(5900)));
        // Those that end by themselves were not prolonged.
        observer.handle_events(&[unnumbered(8, "2001:db8:b:1::1")], at(5899));
        observer.wait_until(at(6000));
        assert_eq!(observer.offer(B).unwrap().valid_until, Deadline::At(at(5900)));
    }
}

/// After a boot the client has not asked yet, and something else has made the route of a unique local prefix already.
#[test]
fn what_nobody_may_use_does_not_end_the_patience() {
    let mut observer = observer();
    observer.handle_dump(&local(), at(1));
    for (time, is_pending, state) in [(1, true, SourceState::Soliciting), (60, false, SourceState::Silent)] {
        let report = observer.wait_until(at(time));
        assert_eq!((report.pending.contains("home"), report.state), (is_pending, state), "{time}");
    }
    observer.handle_events(&[new(networkd(A))], at(70));
    assert_eq!((observer.report().pending.contains("home"), observer.report().state), (true, SourceState::Bound));
    // When it goes, the client may be given another one.
    observer.handle_events(&[gone(networkd(A))], at(80));
    observer.wait_until(at(90));
    assert!(observer.report().pending.contains("home"));
    observer.wait_until(at(150));
    assert!(observer.report().pending.is_empty());
}

/// Each DynamicPrefix has a filter of its own.
#[test]
fn who_may_use_what_is_held_has_it_and_the_others_wait_for_more() {
    let any = PrefixFilter { require_global_unicast: false, allow: Vec::new() };
    let of_b = PrefixFilter { allow: vec![B.parse().unwrap()], ..PrefixFilter::default() };
    let mut observer = observer();
    observer.reconfigure(settings(&[("home", of_b), ("inside", any)]), at(1));
    observer.handle_dump(&[local().as_slice(), &[new(networkd(A))]].concat(), at(1));
    let pending = |observer: &Observer| observer.report().pending.into_iter().collect::<Vec<_>>();
    observer.wait_until(at(59));
    assert_eq!(pending(&observer), ["home", "inside"]);
    observer.wait_until(at(60));
    assert_eq!(pending(&observer), ["inside"]);
    observer.handle_events(&[new(networkd(B))], at(70));
    assert_eq!(pending(&observer), ["home", "inside"]);
}

/// The packets show all that it asks for.
#[test]
fn a_client_that_is_leased_what_nobody_may_use_keeps_nobody_waiting() {
    let mut observer = observer();
    observer.is_delegated(LOCAL, 1, at(10));
    assert_eq!((observer.report().pending.len(), observer.report().state), (0, SourceState::Bound));
}
