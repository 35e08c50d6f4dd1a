//! Routes and addresses beside leases: whose they are, and who outlives whom.

use std::time::Duration;

use super::netlink::{ends, gone, networkd, new, numbered, seed, unnumbered};
use super::world::*;
use crate::source::dhcpv6::wire::{ClientMessage, IaPd, StatusCode};
use crate::source::observe::{Observer, Told};
use crate::source::{Cut, Offer, SourceState};
use crate::time::Deadline;

const C: &str = "2001:db8:c::/56";

/// A lease of A until 420, with its route, and a Reply that was missed: the client has addresses until 900.
fn with_a_missed_reply(is_asking: bool) -> Observer {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(20));
    observer.handle_events(&[new(networkd(A)), numbered(8, "2001:db8:a:1::1", 200, 400)], at(20));
    if is_asking {
        observer.sends(&asked(ClientMessage::Rebind, 2, &[(IAID, &[A])]), at(410));
    }
    observer.handle_events(&[numbered(8, "2001:db8:a:1::1", 200, 490)], at(410));
    observer
}

#[test]
fn a_lease_that_ran_out_alone_ends_no_route_with_living_addresses() {
    for is_asking in [true, false] {
        let mut observer = with_a_missed_reply(is_asking);
        for time in [420, 421, 600] {
            let report = observer.wait_until(at(time));
            assert!(report.offers.iter().all(|offer| offer.cut.is_none()), "{time}: {:?}", report.offers);
            assert_eq!(report.offers.iter().map(|offer| offer.valid_until).max(), Some(Deadline::At(at(900))));
            let state = if is_asking { SourceState::Rebinding } else { SourceState::Bound };
            assert_eq!(report.state, state, "{time}");
            assert!(report.pending.contains("home"));
        }
        // Nor does it last for ever.
        observer.handle_events(&[unnumbered(8, "2001:db8:a:1::1")], at(900));
        observer.wait_until(at(901));
        assert!(!observer.is_held());
    }
}

#[test]
fn a_lease_that_ran_out_is_over_where_no_address_lives() {
    for dump in [vec![], vec![new(networkd(A))]] {
        let mut observer = observer();
        observer.is_delegated(A, 1, at(20));
        observer.handle_events(&dump, at(20));
        observer.sends(&asked(ClientMessage::Rebind, 2, &[(IAID, &[A])]), at(410));
        observer.wait_until(at(420));
        assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Withdrawn));
        assert!(!observer.is_held());
    }
}

#[test]
fn the_delegation_of_another_uplink_is_not_taken_when_the_own_one_ends() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(20));
    observer.handle_events(&[new(networkd(C)), numbered(9, "2001:db8:c:1::1", 5000, 9000)], at(30));
    observer.wait_until(at(500));
    assert!(observer.usable().iter().all(|prefix| prefix == A), "{:?}", observer.usable());
    assert!(!observer.is_held());
    // Where the packets cannot be seen, it may be the own one.
    observer.handle_failure(Some("Cannot open a packet socket.".to_owned()), at(510));
    assert!(observer.usable().contains(&C.to_owned()));
    observer.handle_failure(None, at(520));
    assert!(!observer.usable().contains(&C.to_owned()));
    // And the client of this interface may say that it is.
    observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[C])]), at(530));
    assert!(observer.usable().contains(&C.to_owned()));
    observer.gets(&reply(2, vec![granted(&[C])]), at(530));
    observer.wait_until(at(5000));
    assert_eq!(ends(&observer, C).1, Deadline::At(at(9030)), "its route goes on");
}

#[test]
fn a_route_of_the_own_delegation_is_its_own_whoever_tells_first() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(20));
    // The route of the next one is there before its Reply is read.
    observer.sends(&asked(ClientMessage::Rebind, 2, &[(IAID, &[A])]), at(200));
    observer.handle_events(&[new(networkd(B)), numbered(8, "2001:db8:b:1::1", 5000, 9000)], at(200));
    observer.gets(&reply(2, vec![ia(IAID, &[(A, 0, 0), (B, 200, 400)])]), at(200));
    observer.wait_until(at(1500));
    assert_eq!(observer.usable(), [B], "it outlives the lease");
}

#[test]
fn a_route_of_another_uplink_that_flaps_stays_aside() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(C))], at(10));
    observer.is_delegated(A, 1, at(20));
    assert_eq!(observer.offer(C).unwrap().cut, Some(Cut::Unlisted));
    observer.handle_events(&[gone(networkd(C))], at(30));
    observer.handle_events(&[new(networkd(C))], at(31));
    assert_eq!(observer.usable(), [A]);
}

#[test]
fn a_former_one_with_living_addresses_is_held_beside_the_route_of_another() {
    let mut observer = observer();
    observer.seed(&[seed(A)], at(0));
    let inside = numbered(8, "2001:db8:a:1::1", 3000, 6000);
    observer.handle_dump(&[new(networkd(B)), inside], at(1));
    assert!(observer.usable().contains(&A.to_owned()));
    assert_eq!(ends(&observer, A), (Deadline::At(at(3001)), Deadline::At(at(6001))), "they live longer");
    let short = numbered(8, "2001:db8:a:1::1", 30, 60);
    observer.handle_events(&[short], at(2));
    assert_eq!(ends(&observer, A).1, Deadline::At(at(6001)), "that they end says nothing");
    observer.wait_until(at(32));
    assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Unlisted), "now nothing speaks for it");
    // Nor do those of the uplink itself.
    let mut observer = super::world::observer();
    observer.seed(&[seed(A)], at(0));
    observer.handle_dump(&[new(networkd(B)), numbered(3, "2001:db8:a:1::1", 3000, 6000)], at(1));
    assert_eq!(observer.usable(), [B]);
}

/// At a first start beside a client that holds two, only their routes are known; it may renew each by itself.
#[test]
fn the_renewal_of_one_delegation_says_nothing_of_the_route_of_another() {
    for is_forgotten in [false, true] {
        let mut observer = observer();
        observer.handle_dump(&[new(networkd(A)), new(networkd(B))], at(1));
        observer.sends(&asked(ClientMessage::Renew, 1, &[(1, &[B])]), at(10));
        if is_forgotten {
            // The server lost its memory, and the client asks for this one anew, without a Solicit (RFC 9915 §18.2.10.1).
            observer.gets(&reply(1, vec![IaPd { iaid: 1, ..refused(StatusCode::NoBinding) }]), at(10));
            observer.sends(&asked(ClientMessage::Request, 1, &[(1, &[B])]), at(10));
        }
        observer.gets(&reply(1, vec![ia(1, &[(B, 2000, 4000)])]), at(10));
        for time in [10, 21, 1000] {
            observer.wait_until(at(time));
            assert_eq!(sorted(observer.usable()), [A, B], "{time}, forgotten: {is_forgotten}");
        }
        observer.handle_events(&[gone(networkd(A))], at(1100));
        observer.wait_until(at(1110));
        assert_eq!(observer.usable(), [B], "it lives as long as its route");
    }
}

/// T-077
#[test]
fn a_new_prefix_in_the_same_ia_takes_the_place_of_the_former_one_whatever_its_route_says() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A))], at(1));
    observer.sends(&asked(ClientMessage::Renew, 1, &[(1, &[A])]), at(10));
    observer.gets(&reply(1, vec![ia(1, &[(B, 2000, 4000)])]), at(10));
    observer.handle_events(&[new(networkd(B))], at(10));
    for time in [11, 1000] {
        observer.wait_until(at(time));
        assert_eq!(observer.usable(), [B], "{time}");
    }
}

fn sorted(mut prefixes: Vec<String>) -> Vec<String> {
    prefixes.sort();
    prefixes
}

/// RFC 6603: the Renew is before the Reply, and the route knows nothing of it.
#[test]
fn an_excluded_part_is_known_between_a_renew_and_its_reply() {
    let excluded = vec!["2001:db8:a:ff::/64".parse().unwrap()];
    let mut observer = observer();
    observer.seed(&[Offer { excluded: excluded.clone(), ..seed(A) }], at(0));
    observer.handle_dump(&[new(networkd(A))], at(1));
    observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[A])]), at(5));
    assert_eq!(observer.offer(A).unwrap().excluded, excluded);
}

/// The client said how long it has it; that its route stands on means nothing.
#[test]
fn a_told_end_counts_for_a_route_that_stands_also_when_it_is_long_ago() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A))], at(1));
    let lifetimes = (Some(4), Some(8));
    observer.handle_told(
        &Told {
            dynamic_prefix: "home".to_owned(),
            prefix: A.parse().unwrap(),
            preferred: lifetimes.0,
            valid: lifetimes.1,
            excluded: Vec::new(),
            gone: false,
            ago: Duration::ZERO,
        },
        at(100),
    );
    for time in [108, 800, 5000] {
        observer.wait_until(at(time));
        assert!(!observer.is_held(), "{time}");
    }
}
