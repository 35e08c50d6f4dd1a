//! Leases that ran out, and what else is known of their prefixes then.

use super::netlink::{gone, networkd, new, numbered, seed};
use super::world::*;
use crate::prefix::PrefixFilter;
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::observe::{Filed, Observer};
use crate::source::{Cut, Offer};
use crate::time::Deadline;

/// A lease of A from 20 to 420, and the route of the client, which has numbered no interface from it.
fn with_a_bare_route() -> Observer {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(20));
    observer.handle_events(&[new(networkd(A))], at(20));
    observer
}

/// The client has died, and its route stands.
#[test]
fn a_lease_that_ran_out_does_not_come_back_by_its_route() {
    let mut observer = with_a_bare_route();
    for time in [420, 1019, 1020, 1021, 5000] {
        let report = observer.wait_until(at(time));
        assert!(!observer.is_held(), "{time}: {:?}", report.offers);
    }
    // A client that is started again renews it.
    observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(5010));
    observer.gets(&reply(2, vec![granted(&[A])]), at(5010));
    assert_eq!(observer.usable(), [A]);
}

#[test]
fn a_deprecated_lease_that_ran_out_does_not_come_back_either() {
    let mut observer = with_a_bare_route();
    observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(100));
    observer.gets(&reply(2, vec![ia(IAID, &[(A, 0, 400)])]), at(100));
    observer.wait_until(at(5000));
    assert!(!observer.is_held());
}

#[test]
fn a_lease_that_ran_out_does_not_come_back_by_what_a_former_run_knew() {
    let mut observer = observer();
    observer.seed(&[Offer { valid_until: Deadline::Never, preferred_until: Deadline::Never, ..seed(A) }], at(0));
    observer.is_delegated(A, 1, at(20));
    for time in [420, 1020, 5000] {
        observer.wait_until(at(time));
        assert!(!observer.is_held(), "{time}");
    }
}

/// The interface behind the host was down when the lease would have ended.
#[test]
fn a_lease_that_ran_out_goes_on_when_addresses_show_that_it_does() {
    let mut observer = with_a_bare_route();
    observer.wait_until(at(430));
    assert!(!observer.is_held());
    observer.handle_events(&[numbered(8, "2001:db8:a:1::1", 200, 490)], at(440));
    assert_eq!(observer.report().offers.iter().map(|offer| offer.valid_until).max(), Some(Deadline::At(at(930))));
    assert_eq!(observer.usable().last().map(String::as_str), Some(A));
    assert!(observer.is_held());
}

/// A Reply was missed, and dhclient has written down what it said.
#[test]
fn a_lease_that_ran_out_goes_on_by_a_file_that_is_newer() {
    for routes in [vec![], vec![new(networkd(A))]] {
        let mut observer = observer();
        observer.is_delegated(A, 1, at(20));
        observer.handle_events(&routes, at(20));
        let filed = |age| Filed { prefix: A.parse().unwrap(), age, preferred: 1800, valid: 3600, excluded: None };
        observer.handle_filed(&[filed(0)], at(300));
        for time in [420, 500, 1019, 1021, 3899] {
            let report = observer.wait_until(at(time));
            assert!(observer.is_held(), "{time}: {:?}", report.offers);
            let ends = report.offers.iter().map(|offer| offer.valid_until).max();
            assert_eq!(ends, Some(Deadline::At(at(3900))), "{time}");
        }
        for time in [3901, 4499, 4501, 5000] {
            observer.wait_until(at(time));
            assert!(!observer.is_held(), "{time}");
        }
    }
    // One that is as old as the lease tells nothing new, although it was longer then.
    let mut observer = observer();
    observer.is_delegated(A, 1, at(20));
    observer.handle_filed(
        &[Filed { prefix: A.parse().unwrap(), age: 9, preferred: 1800, valid: 3600, excluded: None }],
        at(30),
    );
    // Also when the lease is forgotten.
    for time in [421, 1020, 1021, 3000] {
        observer.wait_until(at(time));
        assert!(!observer.is_held(), "{time}");
    }
    // One that was written after it tells of a Reply that was missed, also when it is read late.
    observer.handle_filed(
        &[Filed { prefix: A.parse().unwrap(), age: 2600, preferred: 1800, valid: 3600, excluded: None }],
        at(3000),
    );
    assert_eq!(observer.usable(), [A]);
}

/// systemd-networkd at a first start, and a file of another client that told the same prefix.
#[test]
fn a_prefix_on_file_does_not_come_back_by_its_route_when_it_is_over() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A))], at(0));
    observer.handle_filed(
        &[Filed { prefix: A.parse().unwrap(), age: 0, preferred: 1800, valid: 3600, excluded: None }],
        at(10),
    );
    observer.wait_until(at(3609));
    assert!(observer.is_held());
    for time in [3610, 4209, 4211, 9000] {
        observer.wait_until(at(time));
        assert!(!observer.is_held(), "{time}");
    }
}

/// What a former run saw the end of at 420, when we are started again at 2000. Its route stands.
fn started_again() -> Observer {
    let ended = (Deadline::At(at(420)), Some(Cut::Unlisted));
    let mut observer = Observer::new(settings(&[("home", PrefixFilter::default())]));
    observer.seed(&[Offer { preferred_until: ended.0, valid_until: ended.0, cut: ended.1, ..seed(A) }], at(2000));
    observer.handle_link(Some(link(3)), at(2000));
    observer.handle_dump(&[new(networkd(A))], at(2000));
    observer
}

#[test]
fn what_a_former_run_saw_the_end_of_does_not_come_back_by_its_route() {
    let mut observer = started_again();
    for time in [2000, 2001, 2060, 3000, 100_000] {
        let report = observer.wait_until(at(time));
        assert!(!observer.is_held(), "{time}: {:?}", report.offers);
        assert_eq!(report.pending.is_empty(), time >= 2060, "as when nothing is known: {time}");
    }
}

#[test]
fn what_a_former_run_saw_the_end_of_comes_back_by_what_is_new() {
    let is_back = |by: &str, observer: &mut Observer| {
        observer.wait_until(at(3000));
        assert_eq!(observer.usable(), [A], "{by}");
    };
    let mut observer = started_again();
    observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[A])]), at(2900));
    observer.gets(&reply(1, vec![granted(&[A])]), at(2900));
    is_back("a packet", &mut observer);
    let mut observer = started_again();
    observer.handle_events(&[gone(networkd(A))], at(2100));
    observer.handle_events(&[new(networkd(A))], at(2101));
    is_back("a new route", &mut observer);
    for lifetimes in [(6000, 9000), (u32::MAX, u32::MAX)] {
        let mut observer = started_again();
        observer.handle_events(&[numbered(8, "2001:db8:a:1::1", lifetimes.0, lifetimes.1)], at(2100));
        is_back("new addresses", &mut observer);
    }
    let mut observer = started_again();
    observer.handle_filed(
        &[Filed { prefix: A.parse().unwrap(), age: 1000, preferred: 6000, valid: 9000, excluded: None }],
        at(2100),
    );
    is_back("a file that was written since", &mut observer);
}

/// Several DynamicPrefixes used it, one of which had another one later.
#[test]
fn what_one_has_in_use_has_not_ended_for_another() {
    let former = Offer { recipient: Some("inside".to_owned()), cut: Some(Cut::Unlisted), ..seed(A) };
    let mut observer = observer();
    observer.seed(&[former.clone(), seed(A), former], at(0));
    observer.handle_dump(&[new(networkd(A))], at(1));
    assert!(!observer.usable().is_empty() && observer.report().offers.iter().all(|offer| offer.cut.is_none()));
}

/// Nobody could have seen the Renew.
#[test]
fn a_lease_that_runs_out_while_packets_are_unseen_goes_on_by_its_route() {
    let mut observer = with_a_bare_route();
    observer.handle_failure(Some("Cannot open a packet socket.".to_owned()), at(100));
    observer.wait_until(at(500));
    assert!(observer.is_held());
    observer.handle_failure(None, at(510));
    for time in [511, 1500] {
        observer.wait_until(at(time));
        assert!(observer.is_held(), "{time}");
    }
    observer.handle_events(&[gone(networkd(A))], at(1600));
    observer.wait_until(at(1610));
    assert!(!observer.is_held());
}

/// A host of many uplinks, or somebody who tells too much.
#[test]
fn that_it_is_over_is_not_forgotten_for_want_of_room_while_its_route_stands() {
    let mut observer = with_a_bare_route();
    // The lease itself is forgotten.
    observer.wait_until(at(1100));
    let others: Vec<String> = (0..80).map(|n| format!("2001:db8:{n:x}00::/56")).collect();
    for other in &others {
        observer.handle_events(&[new(networkd(other))], at(1110));
        observer.handle_events(&[gone(networkd(other))], at(1111));
    }
    observer.wait_until(at(2000));
    assert!(!observer.usable().contains(&A.to_owned()), "{:?}", observer.usable());
}
