//! Whose messages count, and which exchange they belong to.

use std::net::Ipv6Addr;

use super::world::*;
use crate::source::Cut;
use crate::source::dhcpv6::wire::{ClientMessage, Outgoing, Status, StatusCode, encode};
use crate::source::observe::Observer;
use crate::time::{Deadline, Instant};

const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);

fn sends_from(observer: &mut Observer, from: (Ipv6Addr, u16), message: &Outgoing, now: Instant) {
    let sent = packet(from, (ALL_SERVERS, 547), &encode(message).unwrap());
    observer.handle_sent(&captured(&sent), now);
}

#[test]
fn t142_only_the_client_on_this_interface_speaks_for_it() {
    // A program without privileges, a host behind this router, a device on top of the interface.
    for from in [(CLIENT, 40_000), (OTHER, 546), (SERVER, 546)] {
        let mut observer = observer();
        observer.is_delegated(A, 1, at(1));
        observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(100));
        sends_from(&mut observer, from, &asked(ClientMessage::Release, 3, &[(IAID, &[A])]), at(101));
        sends_from(&mut observer, from, &asked(ClientMessage::Renew, 4, &[(9, &[B])]), at(101));
        for other in 10..20 {
            let solicit = Outgoing { client_id: duid(other), ..asked(ClientMessage::Solicit, other, &[(IAID, &[])]) };
            sends_from(&mut observer, from, &solicit, at(101));
        }
        assert_eq!(observer.usable(), [A], "{from:?}");
        observer.gets(&reply(2, vec![granted(&[A])]), at(102));
        assert_eq!(
            observer.offer(A).unwrap().valid_until,
            Deadline::At(at(502)),
            "the exchange goes on beside {from:?}"
        );
    }
}

#[test]
fn t142_nobody_gives_back_what_another_client_holds() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(1));
    let release = asked(ClientMessage::Release, 2, &[(IAID, &[A])]);
    observer.sends(&Outgoing { client_id: duid(9), ..release.clone() }, at(10));
    assert_eq!(observer.usable(), [A]);
    observer.sends(&release, at(11));
    assert!(observer.usable().is_empty());
}

/// wide-dhcpv6 has an exchange for each IA_PD.
#[test]
fn each_of_two_delegations_is_renewed_by_an_exchange_of_its_own() {
    let mut observer = observer();
    observer.sends(&asked(ClientMessage::Request, 1, &[(1, &[]), (2, &[])]), at(1));
    observer.gets(&reply(1, vec![ia(1, &[(A, 200, 400)]), ia(2, &[(B, 200, 400)])]), at(1));
    observer.sends(&asked(ClientMessage::Renew, 2, &[(1, &[A])]), at(100));
    observer.sends(&asked(ClientMessage::Renew, 3, &[(2, &[B])]), at(100));
    observer.gets(&reply(2, vec![ia(1, &[(A, 200, 400)])]), at(101));
    observer.gets(&reply(3, vec![ia(2, &[(B, 200, 400)])]), at(101));
    for prefix in [A, B] {
        assert_eq!(observer.offer(prefix).unwrap().valid_until, Deadline::At(at(501)), "{prefix}");
    }
    // The server has forgotten one of them, and the client asks for that alone (RFC 9915 §18.2.10.1).
    observer.sends(&asked(ClientMessage::Renew, 4, &[(1, &[A])]), at(200));
    observer.gets(
        &reply(4, vec![crate::source::dhcpv6::wire::IaPd { iaid: 1, ..refused(StatusCode::NoBinding) }]),
        at(200),
    );
    observer.sends(&asked(ClientMessage::Request, 5, &[(1, &[A])]), at(200));
    observer.gets(&reply(5, vec![ia(1, &[(A, 200, 400)])]), at(201));
    let mut usable = observer.usable();
    usable.sort();
    assert_eq!(usable, [A, B]);
}

#[test]
fn who_begins_anew_without_an_ia_does_not_hold_it_any_more() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(1));
    observer.sends(&asked(ClientMessage::Solicit, 2, &[(8, &[])]), at(50));
    observer.sends(&asked(ClientMessage::Request, 3, &[(8, &[])]), at(51));
    observer.gets(&reply(3, vec![ia(8, &[(B, 200, 400)])]), at(51));
    assert_eq!(observer.usable(), [B]);
    assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Unlisted));
}

#[test]
fn who_renews_what_should_have_ended_holds_it() {
    let mut teller = observer();
    teller.is_delegated(A, 1, at(1));
    let stored = teller.offer(A).unwrap();
    let mut observer = observer();
    observer.seed(&[stored], at(410));
    assert!(observer.usable().is_empty() || observer.offer(A).unwrap().valid_until == Deadline::At(at(401)));
    // A renewal was missed meanwhile.
    observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(412));
    observer.handle_timeout(at(412));
    let offer = observer.offer(A).unwrap();
    assert_eq!((offer.cut, offer.valid_until), (None, Deadline::Never));
}

/// A client that asks no more is not one that asks in vain.
#[test]
fn the_end_of_a_lease_that_was_last_asked_for_long_ago_is_no_withdrawal() {
    let mut observer = observer();
    observer.sends(&asked(ClientMessage::Request, 1, &[(IAID, &[])]), at(1));
    observer.gets(&reply(1, vec![ia(IAID, &[(A, 4000, 4000)])]), at(1));
    observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(100));
    let mut unspecific = reply(2, Vec::new());
    unspecific.status = Status { code: StatusCode::UnspecFail, text: String::new() };
    observer.gets(&unspecific, at(100));
    observer.wait_until(at(4001));
    let offer = observer.offer(A).unwrap();
    assert_eq!((offer.cut, offer.valid_until), (None, Deadline::At(at(4001))));
}

#[test]
fn what_was_never_given_a_lifetime_ends_when_its_client_begins_anew() {
    let mut observer = observer();
    observer.sends(&asked(ClientMessage::Renew, 1, &[(IAID, &[A])]), at(1));
    assert_eq!(observer.offer(A).unwrap().valid_until, Deadline::Never);
    observer.sends(&asked(ClientMessage::Solicit, 2, &[(IAID, &[])]), at(500));
    assert!(observer.usable().is_empty());
    observer.wait_until(at(560));
    assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Withdrawn));
}
