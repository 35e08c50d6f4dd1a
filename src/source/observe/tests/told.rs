//! What people and hook scripts say.

use netlink_packet_route::RouteNetlinkMessage;

use super::netlink::networkd;
use super::world::*;
use crate::source::Cut;
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::observe::Told;
use crate::time::Deadline;

fn told(prefix: &str, preferred: Option<u32>, valid: Option<u32>) -> Told {
    Told {
        dynamic_prefix: "home".to_owned(),
        prefix: prefix.parse().unwrap(),
        preferred,
        valid,
        excluded: Vec::new(),
        gone: false,
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
