//! What people and hook scripts say.

use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;

use super::netlink::networkd;
use super::world::*;
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::link::LinkState;
use crate::source::observe::Told;
use crate::source::{Cut, SourceState};
use crate::time::Deadline;

fn told(prefix: &str, preferred: Option<u32>, valid: Option<u32>) -> Told {
    Told {
        dynamic_prefix: "home".to_owned(),
        prefix: prefix.parse().unwrap(),
        preferred,
        valid,
        excluded: Vec::new(),
        gone: false,
        ago: Duration::ZERO,
    }
}

#[test]
fn what_is_told_is_offered_to_whom_it_is_for() {
    let mut observer = observer();
    let excluded = vec!["2001:db8:a:ff::/64".parse().unwrap()];
    observer.handle_told(&Told { excluded: excluded.clone(), ..told(A, Some(200), Some(400)) }, at(10));
    let offer = observer.offer(A).unwrap();
    assert_eq!((offer.preferred_until, offer.valid_until), (Deadline::At(at(210)), Deadline::At(at(410))));
    assert_eq!((offer.recipient.as_deref(), offer.excluded), (Some("home"), excluded.clone()));
    // Again without values: what was said of them stays.
    observer.handle_told(&told("2001:db8:a:7::1/56", None, None), at(100));
    let offer = observer.offer(A).unwrap();
    assert_eq!((offer.valid_until, offer.excluded), (Deadline::At(at(410)), excluded));
    observer.handle_told(&told(A, Some(Deadline::INFINITY), Some(Deadline::INFINITY)), at(200));
    assert_eq!(observer.offer(A).unwrap().valid_until, Deadline::Never);
    assert_eq!(observer.report().offers.len(), 1);
}

/// A report that waited for the daemon counts from when it was said.
#[test]
fn what_was_told_before_there_was_anybody_has_its_age() {
    let long_ago = |seconds, told| Told { ago: Duration::from_secs(seconds), ..told };
    let mut observer = observer();
    observer.handle_told(&long_ago(200, told(A, Some(600), Some(900))), at(1000));
    let offer = observer.offer(A).unwrap();
    assert_eq!((offer.preferred_until, offer.valid_until), (Deadline::At(at(1400)), Deadline::At(at(1700))));
    assert_eq!(offer.first_seen, at(800));
    // The end of it is now: a loss that is as old as this would be forgotten before anybody heard of it.
    observer.handle_told(&long_ago(3600, Told { gone: true, ..told(A, None, None) }), at(1001));
    let offer = observer.offer(A).unwrap();
    assert_eq!((offer.cut, offer.valid_until), (Some(Cut::Withdrawn), Deadline::At(at(1001))));
    // Five minutes lay between these two, although they are heard at once: they are not of one event.
    let mut observer = super::world::observer();
    observer.handle_told(&long_ago(600, told(A, None, None)), at(1000));
    observer.handle_told(&long_ago(300, told(B, None, None)), at(1000));
    observer.handle_timeout(at(1000));
    assert_eq!(observer.usable(), [B]);
    let mut observer = super::world::observer();
    observer.handle_told(&long_ago(301, told(A, None, None)), at(1000));
    observer.handle_told(&long_ago(300, told(B, None, None)), at(1000));
    observer.handle_timeout(at(1000));
    assert_eq!(observer.usable(), [A, B], "a client that holds both");
}

#[test]
fn a_valid_lifetime_bounds_the_preferred_one() {
    let mut observer = observer();
    observer.handle_told(&told(A, None, Some(400)), at(10));
    assert_eq!(observer.offer(A).unwrap().preferred_until, Deadline::At(at(410)));
}

#[test]
fn silence_is_no_loss_but_an_endless_one_is_replaced() {
    let mut observer = observer();
    observer.handle_told(&told(A, Some(200), Some(400)), at(10));
    observer.handle_told(&told(B, Some(200), Some(400)), at(20));
    assert_eq!(observer.usable(), [A, B]);
    let mut observer = super::world::observer();
    observer.handle_told(&told(A, None, None), at(10));
    observer.handle_told(&told(B, None, None), at(20));
    assert_eq!(observer.usable(), [A, B], "it may be told with the other one");
    observer.wait_until(at(22));
    assert_eq!(observer.usable(), [B]);
}

/// What was told before our start is known by a former run only.
#[test]
fn an_endless_one_of_a_former_run_is_replaced_unless_its_route_stands() {
    let mut before = observer();
    before.handle_told(&told(A, None, None), at(10));
    for (dump, usable) in [(vec![], vec![B]), (vec![RouteNetlinkMessage::NewRoute(networkd(A))], vec![A, B])] {
        let mut observer = observer();
        observer.seed(&before.report().offers, at(20));
        observer.handle_dump(&dump, at(20));
        observer.handle_told(&told(B, None, None), at(30));
        observer.wait_until(at(32));
        let mut found = observer.usable();
        found.sort();
        found.dedup();
        assert_eq!(found, usable);
    }
}

#[test]
fn gone_is_the_end_also_of_what_the_packets_told() {
    let mut observer = observer();
    observer.handle_told(&told(A, None, None), at(10));
    observer.is_delegated(B, 1, at(20));
    for prefix in [A, B] {
        observer.handle_told(&Told { gone: true, ..told(prefix, None, None) }, at(30));
        assert_eq!(observer.offer(prefix).unwrap().cut, Some(Cut::Withdrawn), "{prefix}");
    }
    observer.handle_told(&told(A, None, None), at(40));
    assert_eq!(observer.usable(), [A], "it is back");
}

#[test]
fn the_server_has_the_last_word_on_what_was_told_before() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(10));
    observer.handle_told(&told(A, None, None), at(20));
    observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(100));
    observer.gets(&reply(2, vec![ia(IAID, &[(A, 0, 0), (B, 200, 400)])]), at(100));
    assert_eq!(observer.usable(), [B]);
}

/// Nobody would say when it ends, but a script tells all of an event in a moment.
#[test]
fn a_script_that_tells_several_without_lifetimes_has_them_all() {
    let mut observer = observer();
    for event in [10, 1000, 2000, 3000] {
        for prefix in [A, B] {
            observer.handle_told(&told(prefix, None, None), at(event));
        }
        observer.wait_until(at(event + 900));
        assert_eq!(observer.usable(), [A, B], "event at {event}");
    }
    // The second one came later, and is told first.
    let mut observer = super::world::observer();
    observer.handle_told(&told(A, None, None), at(10));
    observer.handle_told(&told(B, None, None), at(1000));
    observer.handle_told(&told(A, None, None), at(1001));
    observer.wait_until(at(1900));
    assert_eq!(observer.usable(), [B, A]);
}

#[test]
fn two_that_are_told_by_turns_end_each_other_at_most_once() {
    let mut observer = observer();
    let (mut before, mut changes) = (Vec::new(), 0);
    for (prefix, event) in [A, B].into_iter().cycle().zip((0..20).map(|turn| 10 + turn * 1000)) {
        observer.handle_told(&told(prefix, None, None), at(event));
        for time in [event, event + 2, event + 999] {
            observer.wait_until(at(time));
            let mut usable = observer.usable();
            usable.sort();
            changes += usize::from(usable != before);
            before = usable;
        }
    }
    assert_eq!(before, [A, B]);
    assert!(changes <= 4, "A, A and B, B, A and B; not {changes}");
}

/// A → B → A
#[test]
fn one_that_comes_back_to_stay_ends_the_other() {
    let mut observer = observer();
    for (prefix, event) in [(A, 10), (B, 1000), (A, 2000), (A, 3000)] {
        observer.handle_told(&told(prefix, None, None), at(event));
    }
    assert_eq!(observer.usable(), [B, A], "they may be told by turns");
    observer.handle_told(&told(A, None, None), at(4000));
    observer.wait_until(at(4002));
    assert_eq!(observer.usable(), [A]);
}

#[test]
fn what_has_a_lifetime_is_not_replaced_and_what_is_deprecated_replaces_nothing() {
    let mut observer = observer();
    observer.handle_told(&told(A, Some(Deadline::INFINITY), Some(Deadline::INFINITY)), at(10));
    observer.handle_told(&told(B, None, None), at(20));
    observer.wait_until(at(1000));
    assert_eq!(observer.usable(), [A, B]);
    let mut observer = super::world::observer();
    observer.handle_told(&told(A, None, None), at(10));
    observer.handle_told(&told(B, Some(0), Some(400)), at(20));
    observer.wait_until(at(100));
    assert_eq!(observer.offer(A).unwrap().cut, None);
}

/// A lifetime that ends by itself must not keep sources of lower rank waiting.
#[test]
fn what_ran_out_is_held_no_longer() {
    let mut observer = observer();
    observer.handle_told(&told(A, Some(4), Some(8)), at(100));
    assert!(observer.report().pending.contains("home"));
    assert_eq!(observer.poll_timeout().map(|(due, _)| due), Some(at(104)));
    let report = observer.wait_until(at(108));
    assert_eq!((report.state, observer.is_held()), (SourceState::Soliciting, false));
    assert!(observer.wait_until(at(168)).pending.is_empty());
    assert!(observer.wait_until(at(800)).offers.is_empty(), "it is forgotten");
    // It is told again, by somebody who says nothing of lifetimes.
    let mut observer = super::world::observer();
    observer.handle_told(&told(A, Some(4), Some(8)), at(100));
    observer.handle_told(&told(A, None, None), at(200));
    assert_eq!(observer.offer(A).unwrap().valid_until, Deadline::Never);
}

#[test]
fn preferred_is_at_most_valid_also_when_they_are_told_apart() {
    let mut observer = observer();
    observer.handle_told(&told(A, Some(200), Some(400)), at(10));
    observer.handle_told(&told(A, Some(1000), None), at(20));
    let offer = observer.offer(A).unwrap();
    assert_eq!((offer.preferred_until, offer.valid_until), (Deadline::At(at(410)), Deadline::At(at(410))));
}

#[test]
fn what_is_told_after_an_end_is_believed() {
    for gone in [true, false] {
        let mut observer = observer();
        observer.is_delegated(A, 1, at(10));
        observer.handle_told(&told(A, None, None), at(20));
        if gone {
            observer.handle_told(&Told { gone, ..told(A, None, None) }, at(100));
        } else {
            observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(100));
            observer.gets(&reply(2, vec![ia(IAID, &[(A, 0, 0)])]), at(100));
        }
        assert!(observer.usable().is_empty());
        observer.handle_told(&told(A, Some(200), Some(400)), at(110));
        observer.wait_until(at(120));
        assert_eq!(observer.usable(), [A], "gone: {gone}");
    }
}

/// The packets may say nothing of it, and ranges must not cover it.
#[test]
fn what_is_reserved_by_a_report_stays_so_when_the_packets_tell_the_prefix() {
    let excluded = vec!["2001:db8:a:ff::/64".parse().unwrap()];
    let mut observer = observer();
    observer.handle_told(&Told { excluded: excluded.clone(), ..told(A, None, None) }, at(10));
    for (xid, time) in [(1, 100), (2, 200)] {
        observer.sends(&asked(ClientMessage::Renew, xid, &[(IAID, &[A])]), at(time));
        observer.gets(&reply(xid, vec![granted(&[A])]), at(time));
        let offer = observer.offer(A).unwrap();
        assert_eq!((offer.excluded, offer.valid_until), (excluded.clone(), Deadline::At(at(time + 400))), "{time}");
        assert_eq!(observer.report().offers.len(), 1);
    }
    // Until it is said to be gone.
    observer.handle_told(&Told { gone: true, ..told(A, None, None) }, at(300));
    observer.is_delegated(A, 3, at(310));
    assert!(observer.offer(A).unwrap().excluded.is_empty());
}

/// The server has the last word also on what it deprecated before it was told.
#[test]
fn what_is_told_between_a_deprecation_and_the_end_ends_with_it() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(10));
    observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(100));
    observer.gets(&reply(2, vec![ia(IAID, &[(A, 0, 400)])]), at(100));
    observer.handle_told(&told(A, None, None), at(200));
    observer.sends(&asked(ClientMessage::Renew, 3, &[(IAID, &[A])]), at(300));
    observer.gets(&reply(3, vec![ia(IAID, &[(A, 0, 0)])]), at(300));
    assert!(observer.usable().is_empty(), "{:?}", observer.usable());
}

/// A client that begins anew asks for all it wants; what it was told before is old.
#[test]
fn a_new_delegation_ends_what_was_told_and_a_renewal_does_not() {
    for (begins, usable) in [(true, vec![B]), (false, vec![B, A])] {
        let mut observer = observer();
        observer.handle_told(&told(A, Some(2000), Some(4000)), at(10));
        if begins {
            observer.is_delegated(B, 1, at(20));
        } else {
            observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[B])]), at(20));
            observer.gets(&reply(1, vec![granted(&[B])]), at(20));
        }
        assert_eq!(observer.usable(), usable);
    }
}

/// PPP is dialled again (T-091).
#[test]
fn what_was_told_of_a_former_life_of_the_interface_ends_with_what_is_told_of_this_one() {
    let dialled = || {
        let mut observer = observer();
        observer.handle_told(&told(A, Some(2000), Some(4000)), at(10));
        observer.handle_link(None, at(20));
        observer.handle_link(Some(link(9)), at(30));
        observer.wait_until(at(35));
        assert_eq!(observer.usable(), [A], "silence is no loss");
        observer
    };
    let mut observer = dialled();
    observer.handle_told(&told(B, Some(2000), Some(4000)), at(40));
    observer.wait_until(at(42));
    assert_eq!(observer.usable(), [B]);
    let mut observer = dialled();
    observer.handle_told(&told(B, Some(2000), Some(4000)), at(40));
    observer.handle_told(&told(A, Some(2000), Some(4000)), at(41));
    observer.wait_until(at(50));
    assert_eq!(observer.usable(), [B, A], "it was given again");
    let mut observer = dialled();
    observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[B])]), at(40));
    observer.gets(&reply(1, vec![granted(&[B])]), at(40));
    assert_eq!(observer.usable(), [B], "the packets tell it");
}

#[test]
fn what_a_former_run_knew_ends_when_another_is_told_and_nothing_speaks_for_it() {
    let mut before = observer();
    before.handle_told(&told(A, Some(2000), Some(4000)), at(10));
    for (also, usable) in [(None, vec![B]), (Some(A), vec![A, B])] {
        let mut observer = observer();
        observer.seed(&before.report().offers, at(20));
        observer.handle_told(&told(B, Some(2000), Some(4000)), at(30));
        also.into_iter().for_each(|also| observer.handle_told(&told(also, None, None), at(31)));
        observer.wait_until(at(40));
        let mut found = observer.usable();
        found.sort();
        found.dedup();
        assert_eq!(found, usable);
    }
}

/// dhcpcd says nothing of a lease that it loses with the carrier, and nothing of the former one when it has another.
#[test]
fn what_is_not_told_again_after_a_link_was_down_ends_when_another_is_told() {
    for (again, left) in [(A, vec![A]), (B, vec![B])] {
        let mut observer = observer();
        observer.handle_told(&told(A, Some(86_400), Some(90_000)), at(10));
        observer.handle_link(Some(LinkState { up: false, ..link(7) }), at(100));
        observer.handle_link(Some(link(7)), at(130));
        observer.handle_timeout(at(200));
        assert_eq!(observer.usable(), [A], "nothing was told");
        observer.handle_told(&told(again, Some(86_400), Some(90_000)), at(210));
        observer.handle_timeout(at(220));
        assert_eq!(observer.usable(), left);
    }
}

/// A hook told of A before a restart and after it, and of B then.
#[test]
fn what_a_former_run_knew_and_was_told_again_ends_when_another_is_told() {
    let mut before = observer();
    before.handle_told(&told(A, None, None), at(10));
    let mut observer = observer();
    observer.seed(&before.report().offers, at(20));
    observer.handle_told(&told(A, None, None), at(30));
    observer.handle_told(&told(B, None, None), at(100));
    observer.handle_timeout(at(110));
    assert_eq!(observer.usable(), [B]);
}
