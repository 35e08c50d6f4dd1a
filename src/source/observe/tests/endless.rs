//! Addresses without end inside a prefix: virtual ones, what somebody has typed, and what wide-dhcpv6 makes.

use netlink_packet_route::RouteNetlinkMessage;

use super::netlink::{ends, networkd, new, numbered, seed, unnumbered};
use super::world::*;
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::observe::Observer;
use crate::time::Deadline;

const FOREVER: u32 = u32::MAX;

/// As kube-vip, keepalived and kube-proxy make it, out of what we have handed out.
fn virtual_one() -> RouteNetlinkMessage {
    let mut message = numbered(9, "2001:db8:a:5::10", FOREVER, FOREVER);
    if let RouteNetlinkMessage::NewAddress(address) = &mut message {
        address.header.prefix_len = 128;
    }
    message
}

fn typed() -> RouteNetlinkMessage {
    numbered(9, "2001:db8:a:5::1", FOREVER, FOREVER)
}

/// The client renews B again and again.
fn renews_b(observer: &mut Observer, until: i64) {
    let mut xid = 10;
    for time in (1000..=until).step_by(1000) {
        xid += 1;
        observer.wait_until(at(time));
        observer.sends(&asked(ClientMessage::Renew, xid, &[(IAID, &[B])]), at(time));
        observer.gets(&reply(xid, vec![ia(IAID, &[(B, 2000, 4000)])]), at(time));
        observer.wait_until(at(time + 20));
    }
}

/// The client went from A to B while we were away.
#[test]
fn an_address_without_end_does_not_keep_what_the_client_has_no_more() {
    // Until when A is held at the most: it may be another delegation of the same client, until it ends by itself.
    for (address, most) in [(virtual_one(), 1), (typed(), 4000)] {
        let mut observer = observer();
        observer.seed(&[seed(A)], at(0));
        observer.handle_dump(&[new(networkd(B)), address.clone()], at(1));
        assert_eq!(observer.usable().contains(&A.to_owned()), most > 1);
        observer.wait_until(at(most));
        assert!(observer.offer(A).is_none_or(|offer| offer.valid_until <= Deadline::At(at(4000))));
        observer.wait_until(at(9000));
        assert_eq!(observer.usable(), [B], "by its route: {address:?}");
    }
    for (address, most) in [(virtual_one(), 1020), (typed(), 4000)] {
        let mut observer = observer();
        observer.seed(&[seed(A)], at(0));
        observer.handle_dump(std::slice::from_ref(&address), at(1));
        renews_b(&mut observer, 1000);
        assert_eq!(observer.usable().contains(&A.to_owned()), most > 1020, "{address:?}");
        assert!(observer.offer(A).is_none_or(|offer| offer.valid_until == Deadline::At(at(4000))));
        renews_b(&mut observer, 5000);
        assert_eq!(observer.usable(), [B], "by its messages: {address:?}");
    }
}

/// wide-dhcpv6 makes no route, and numbers interfaces for ever. It holds two delegations, and renews each by itself.
#[test]
fn a_client_that_numbers_interfaces_for_ever_keeps_what_it_renews() {
    let dump = [typed(), numbered(9, "2001:db8:b:5::1", FOREVER, FOREVER)];
    let mut observer = observer();
    observer.seed(&[seed(A), seed(B)], at(0));
    observer.handle_dump(&dump, at(1));
    for (time, xid, iaid, prefix) in [(1000, 1, 1, B), (1500, 2, 2, A), (3000, 3, 1, B), (3500, 4, 2, A)] {
        observer.wait_until(at(time));
        observer.sends(&asked(ClientMessage::Renew, xid, &[(iaid, &[prefix])]), at(time));
        observer.gets(&reply(xid, vec![ia(iaid, &[(prefix, 2000, 4000)])]), at(time));
        for time in [time, time + 20] {
            observer.wait_until(at(time));
            let mut usable = observer.usable();
            usable.sort();
            assert_eq!(usable, [A, B], "{time}");
        }
    }
    // Nobody can hear it.
    let mut observer = super::world::observer();
    observer.handle_failure(Some("Cannot open a packet socket.".to_owned()), at(0));
    observer.seed(&[seed(A)], at(0));
    observer.handle_dump(&dump, at(1));
    observer.wait_until(at(100_000));
    assert_eq!(observer.usable(), [A], "nothing speaks against it");
}

#[test]
fn a_lease_that_ran_out_does_not_go_on_by_an_address_without_end() {
    for address in [virtual_one(), typed()] {
        for is_known_before in [true, false] {
            let mut observer = observer();
            observer.is_delegated(A, 1, at(20));
            observer.handle_events(&[new(networkd(A))], at(20));
            let early = Some(address.clone()).filter(|_| is_known_before);
            observer.handle_events(early.iter(), at(20));
            observer.wait_until(at(430));
            observer.handle_events(std::slice::from_ref(&address), at(430));
            for time in [431, 1019, 1021, 100_000] {
                observer.wait_until(at(time));
                assert!(!observer.is_held(), "{time} {is_known_before} {address:?}");
            }
        }
    }
}

/// The lifetimes are those that a client has given.
#[test]
fn an_address_without_end_says_nothing_beside_one_that_ends() {
    let mut observer = observer();
    observer.handle_dump(&[new(networkd(A)), numbered(8, "2001:db8:a:1::1", 600, 900), virtual_one(), typed()], at(10));
    assert_eq!(ends(&observer, A), (Deadline::At(at(610)), Deadline::At(at(910))));
    // Nor does it keep the route of one that was replaced in use.
    let dump = [new(networkd(A)), new(networkd(B)), numbered(8, "2001:db8:b:1::1", 6000, 9000), virtual_one()];
    let mut observer = super::world::observer();
    observer.handle_dump(&dump, at(10));
    assert_eq!(observer.usable(), [B]);
    observer.handle_events(&[unnumbered(8, "2001:db8:b:1::1")], at(20));
    observer.wait_until(at(29));
    assert_eq!(observer.usable(), [B], "the interface may be back in a moment");
}

/// Beside wide-dhcpv6, which makes no route, where no packet can be seen.
#[test]
fn addresses_without_end_that_are_gone_leave_it_what_a_former_run_knew() {
    let mut observer = observer();
    observer.handle_failure(Some("Cannot open a packet socket.".to_owned()), at(0));
    observer.seed(&[seed(A)], at(0));
    observer.handle_dump(&[numbered(8, "2001:db8:a:1::1", u32::MAX, u32::MAX)], at(1));
    assert_eq!(ends(&observer, A).1, Deadline::Never);
    // The interface is down for a moment.
    observer.handle_events(&[unnumbered(8, "2001:db8:a:1::1")], at(100));
    observer.wait_until(at(105));
    assert_eq!(ends(&observer, A).1, Deadline::Never);
    observer.handle_events(&[numbered(8, "2001:db8:a:1::1", u32::MAX, u32::MAX)], at(106));
    observer.wait_until(at(200));
    assert_eq!(ends(&observer, A).1, Deadline::Never);
    // The client numbers it from another one.
    let other = numbered(8, "2001:db8:b:1::1", u32::MAX, u32::MAX);
    observer.handle_events(&[unnumbered(8, "2001:db8:a:1::1"), other], at(1000));
    observer.wait_until(at(1010));
    assert_eq!(ends(&observer, A), (Deadline::At(at(2000)), Deadline::At(at(4000))));
    observer.wait_until(at(4000));
    assert!(!observer.is_held());
}
