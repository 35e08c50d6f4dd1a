//! What a former run knew, beside what others say.

use std::time::Duration;

use super::netlink::{ends, gone, networkd, new, numbered, seed, unnumbered};
use super::world::*;
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::observe::{Filed, Told};
use crate::source::{Cut, Offer};
use crate::time::Deadline;

fn filed(prefix: &str, age: u64) -> Filed {
    Filed { prefix: prefix.parse().unwrap(), age, preferred: 1800, valid: 3600, excluded: None }
}

/// Nobody takes a file away when another program is used from then on.
#[test]
fn a_lease_on_file_that_is_over_ends_nothing_that_a_former_run_knew() {
    let endless = Offer { preferred_until: Deadline::Never, valid_until: Deadline::Never, ..seed(A) };
    let mut observer = observer();
    observer.seed(&[Offer { first_seen: at(-9000), ..endless.clone() }], at(0));
    observer.handle_filed(&[filed(B, 4000)], at(1));
    assert_eq!(observer.usable(), [A]);
    // Nor does one that is not over, of what interfaces are numbered from.
    let mut observer = super::world::observer();
    observer.seed(&[endless], at(0));
    observer.handle_events(&[numbered(8, "2001:db8:a:1::1", 600, 900)], at(1));
    observer.handle_filed(&[filed(B, 5)], at(1));
    assert!(observer.usable().contains(&A.to_owned()));
}

/// All of it goes to load balancers, and another uplink numbers the interface behind the host.
#[test]
fn what_a_former_run_knew_is_held_while_its_route_stands_and_its_lifetime_lasts() {
    let dump = [new(networkd(A)), new(networkd(B)), numbered(8, "2001:db8:b:1::1", 6000, 9000)];
    let mut observer = observer();
    observer.seed(&[seed(A)], at(0));
    observer.handle_dump(&dump, at(1));
    observer.wait_until(at(1000));
    assert_eq!(ends(&observer, A), (Deadline::At(at(2000)), Deadline::At(at(4000))));
    assert!(observer.usable().contains(&A.to_owned()));
    observer.wait_until(at(4000));
    assert_eq!(observer.usable(), [B], "nobody has prolonged it");
    // The memory is of no use where the route is gone, or was seen to be replaced.
    let mut observer = super::world::observer();
    observer.seed(&[seed(A)], at(0));
    observer.handle_dump(&dump[1..], at(1));
    assert_eq!(observer.usable(), [B]);
    let mut observer = super::world::observer();
    observer.seed(&[seed(A)], at(0));
    observer.handle_dump(&[new(networkd(A)), numbered(8, "2001:db8:a:1::1", 600, 900)], at(1));
    observer.handle_events(&dump[1..], at(20));
    observer.handle_events(&[unnumbered(8, "2001:db8:a:1::1")], at(20));
    observer.wait_until(at(100));
    assert_eq!(observer.usable(), [B]);
}

/// wide-dhcpv6 renews each IA_PD by itself; and there may be two clients.
#[test]
fn the_renewal_of_one_delegation_does_not_end_at_once_what_a_former_run_knew_of_another() {
    for is_renewed in [true, false] {
        let mut observer = observer();
        observer.seed(&[seed(A), seed(B)], at(0));
        observer.sends(&asked(ClientMessage::Renew, 1, &[(1, &[B])]), at(10));
        observer.gets(&reply(1, vec![ia(1, &[(B, 2000, 4000)])]), at(10));
        let mut usable = observer.usable();
        usable.sort();
        assert_eq!(usable, [A, B]);
        assert_eq!(ends(&observer, A).1, Deadline::At(at(4000)));
        if is_renewed {
            observer.sends(&asked(ClientMessage::Renew, 2, &[(2, &[A])]), at(19));
        }
        observer.wait_until(at(20));
        let cut = (!is_renewed).then_some(Cut::Unlisted);
        assert_eq!(observer.offer(A).unwrap().cut, cut, "renewed: {is_renewed}");
    }
    // A client that begins anew asks for all it wants.
    let mut observer = observer();
    observer.seed(&[seed(A)], at(0));
    observer.is_delegated(B, 1, at(10));
    assert_eq!(observer.usable(), [B]);
    // Nobody numbers interfaces from what is not held.
    let mut observer = super::world::observer();
    observer.seed(&[seed(A), seed(B)], at(0));
    observer.handle_events(&[numbered(8, "2001:db8:a:1::1", 600, 900)], at(1));
    observer.sends(&asked(ClientMessage::Renew, 1, &[(1, &[B])]), at(10));
    observer.gets(&reply(1, vec![ia(1, &[(B, 2000, 4000)])]), at(10));
    observer.wait_until(at(100));
    assert!(observer.usable().contains(&A.to_owned()));
}

/// Without a Reply, and when the client dies then, nobody else would say when it ends.
#[test]
fn a_renew_takes_the_lifetimes_that_a_former_run_knew_and_not_those_of_a_bare_route() {
    let mut observer = observer();
    observer.seed(&[seed(A)], at(0));
    observer.handle_dump(&[new(networkd(A))], at(1));
    observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[A])]), at(1000));
    assert_eq!(ends(&observer, A), (Deadline::At(at(2000)), Deadline::At(at(4000))));
    observer.handle_events(&[gone(networkd(A))], at(2000));
    observer.wait_until(at(3999));
    assert_eq!(observer.offer(A).unwrap().valid_until, Deadline::At(at(4000)));
    for time in [4000, 5000, 100_000] {
        observer.wait_until(at(time));
        assert!(!observer.is_held(), "{time}");
    }
    // It was over, and the client goes on: nobody knows for how long.
    let mut observer = super::world::observer();
    observer.seed(&[Offer { valid_until: Deadline::At(at(500)), ..seed(A) }], at(0));
    observer.handle_dump(&[new(networkd(A))], at(1));
    observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[A])]), at(600));
    observer.wait_until(at(100_000));
    assert_eq!(observer.usable(), [A]);
}

/// At a first start nothing is known of its lifetimes; then the client dies.
#[test]
fn a_renew_that_nobody_answered_is_held_as_long_as_its_route() {
    for is_answered in [false, true] {
        let mut observer = observer();
        observer.handle_dump(&[new(networkd(A))], at(1));
        observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[A])]), at(100));
        if is_answered {
            observer.gets(&reply(1, vec![ia(IAID, &[(A, u32::MAX, u32::MAX)])]), at(100));
        }
        observer.handle_events(&[gone(networkd(A))], at(200));
        observer.wait_until(at(209));
        assert_eq!(observer.usable(), [A], "it may be back in a moment");
        for time in [210, 270, 1000, 100_000] {
            let report = observer.wait_until(at(time));
            assert_eq!(observer.is_held(), is_answered, "{time}");
            observer.handle_timeout(at(time));
            assert_eq!(observer.report(), report, "{time}");
        }
    }
    // It never had one (dhclient).
    let mut observer = observer();
    observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[A])]), at(100));
    observer.wait_until(at(100_000));
    assert_eq!(observer.usable(), [A]);
}

/// A route says nothing of lifetimes; whoever reports, and the file of the client, do.
#[test]
fn a_renew_takes_the_lifetimes_that_somebody_told_and_not_those_of_a_bare_route() {
    let (preferred, valid) = (Some(2000), Some(4000));
    let told = Told {
        dynamic_prefix: "home".to_owned(),
        prefix: A.parse().unwrap(),
        preferred,
        valid,
        excluded: Vec::new(),
        gone: false,
        ago: Duration::ZERO,
    };
    for is_told in [true, false] {
        let mut observer = observer();
        observer.handle_dump(&[new(networkd(A))], at(1));
        let until = if is_told {
            observer.handle_told(&told, at(10));
            4010
        } else {
            observer.handle_filed(&[filed(A, 0)], at(10));
            3610
        };
        observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[A])]), at(100));
        assert_eq!(ends(&observer, A).1, Deadline::At(at(until)), "told: {is_told}");
    }
}
