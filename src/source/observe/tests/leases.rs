//! What the client and its server say.

use super::world::*;
use crate::source::dhcpv6::wire::{ClientMessage, Incoming, ServerMessage, Status, StatusCode};
use crate::source::{Cut, SourceState};
use crate::time::Deadline;

#[test]
fn t141_a_delegation_is_followed_from_the_solicit_to_its_end() {
    let mut observer = observer();
    assert_eq!(observer.report().state, SourceState::Soliciting);
    assert!(observer.report().pending.contains("home"), "sources of lower rank wait");
    observer.sends(&asked(ClientMessage::Solicit, 1, &[(IAID, &[])]), at(1));
    observer.gets(&Incoming { kind: ServerMessage::Advertise, ..reply(1, vec![granted(&[A])]) }, at(1));
    assert!(observer.usable().is_empty(), "an Advertise delegates nothing");
    observer.is_delegated(A, 2, at(2));
    let report = observer.report();
    assert_eq!(report.state, SourceState::Bound);
    let offer = observer.offer(A).unwrap();
    assert_eq!((offer.preferred_until, offer.valid_until), (Deadline::At(at(202)), Deadline::At(at(402))));
    assert_eq!((offer.recipient, offer.cut), (None, None));
    let lease = &report.client.unwrap().leases[0];
    assert_eq!((lease.t1, lease.t2, lease.iaid), (Deadline::At(at(102)), Deadline::At(at(162)), IAID));
    observer.sends(&asked(ClientMessage::Renew, 3, &[(IAID, &[A])]), at(102));
    assert_eq!(observer.report().state, SourceState::Renewing);
    observer.gets(&reply(3, vec![granted(&[A])]), at(102));
    assert_eq!(observer.offer(A).unwrap().valid_until, Deadline::At(at(502)));
    observer.sends(&asked(ClientMessage::Rebind, 4, &[(IAID, &[A])]), at(262));
    let report = observer.wait_until(at(502));
    assert_eq!(report.offers[0].cut, Some(Cut::Withdrawn), "it was asked for in vain");
    assert!(report.pending.contains("home"), "for a minute");
    let report = observer.wait_until(at(562));
    assert!(report.pending.is_empty());
    assert_eq!(report.state, SourceState::Silent);
    assert!(observer.wait_until(at(1200)).offers.is_empty(), "it is forgotten");
}

#[test]
fn t142_replies_that_belong_to_no_exchange_of_this_host_are_ignored() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(1));
    observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(100));
    let ended = || vec![ia(IAID, &[(A, 0, 0)]), granted(&[B])];
    let good = reply(2, ended());
    observer.gets(&reply(9, ended()), at(101));
    observer.gets(&reply(1, ended()), at(101));
    observer.gets(&Incoming { client_id: Some(duid(9)), ..good.clone() }, at(101));
    observer.gets(&Incoming { client_id: None, ..good.clone() }, at(101));
    observer.gets(&Incoming { server_id: Some(duid(9)), ..good.clone() }, at(101));
    observer.gets(&Incoming { server_id: None, ..good.clone() }, at(101));
    observer.gets(&Incoming { kind: ServerMessage::Advertise, ..good.clone() }, at(101));
    observer.gets(&Incoming { kind: ServerMessage::Reconfigure, ..good.clone() }, at(101));
    observer.gets_at(&good, SERVER, at(101));
    observer.gets_at(&good, ALL_SERVERS, at(101));
    assert_eq!(observer.usable(), [A]);
    let dropped = observer.dropped();
    let count = |reason: &str| dropped.get(reason).copied().unwrap_or_default();
    let reasons = ["unknown-exchange", "foreign-client", "foreign-server", "destination", "unexpected"];
    assert_eq!(reasons.map(count), [2, 2, 2, 2, 2], "{dropped:?}");
    assert!(observer.poll_notice().is_some(), "it is told");
    // The right one, and the same again, which a client would not take either.
    observer.gets(&reply(2, vec![granted(&[A])]), at(102));
    observer.gets(&good, at(103));
    assert_eq!(observer.usable(), [A]);
}

#[test]
fn t142_what_other_hosts_ask_is_not_followed() {
    let mut observer = observer();
    // Of a machine behind a bridge: it leaves by this interface, from an address that is not its own.
    let other = SERVER;
    let request = asked(ClientMessage::Request, 1, &[(IAID, &[A])]);
    let sent = packet((other, 546), (ALL_SERVERS, 547), &crate::source::dhcpv6::wire::encode(&request).unwrap());
    observer.handle_sent(&captured(&sent), at(1));
    observer.gets_at(&reply(1, vec![granted(&[A])]), other, at(1));
    assert!(observer.usable().is_empty());
}

/// T-064, T-072, T-073: valid 0 acts at once, whatever the status says.
#[test]
fn a_server_that_ends_a_prefix_is_believed() {
    for also in [vec![], vec![(B, 200, 400)]] {
        let mut observer = observer();
        observer.is_delegated(A, 1, at(1));
        observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(100));
        let prefixes = [vec![(A, 0, 0)], also.clone()].concat();
        let mut answer = ia(IAID, &prefixes);
        if also.is_empty() {
            answer.status.code = StatusCode::NoPrefixAvail;
        }
        observer.gets(&reply(2, vec![answer]), at(100));
        let offer = observer.offer(A).unwrap();
        assert_eq!((offer.cut, offer.valid_until), (Some(Cut::Withdrawn), Deadline::At(at(100))));
        assert_eq!(observer.usable().len(), also.len());
        assert_eq!(observer.report().refusal.is_some(), also.is_empty());
    }
}

/// T-077, and the rule of the design for a Reply that is silent about what is held.
#[test]
fn a_new_prefix_unlists_the_one_that_the_server_is_silent_about() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(1));
    observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(100));
    observer.gets(&reply(2, vec![granted(&[B])]), at(100));
    assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Unlisted));
    assert_eq!(observer.usable(), [B]);
}

/// T-067: the prefix stays until there is another, which is its end.
#[test]
fn a_server_that_knows_of_no_binding_ends_it_with_the_next() {
    for everywhere in [true, false] {
        let mut observer = observer();
        observer.is_delegated(A, 1, at(1));
        observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(100));
        let mut answer = reply(2, vec![refused(StatusCode::NoBinding)]);
        if everywhere {
            answer = Incoming {
                status: Status { code: StatusCode::NoBinding, text: String::new() },
                ..reply(2, Vec::new())
            };
        }
        observer.gets(&answer, at(100));
        assert_eq!(observer.usable(), [A]);
        observer.is_delegated(B, 3, at(101));
        assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Withdrawn));
        assert_eq!(observer.usable(), [B]);
    }
}

/// T-066, T-069, T-041, T-039, T-040, T-050
#[test]
fn answers_that_say_nothing_of_use_change_nothing() {
    let unasked = crate::source::dhcpv6::wire::IaPd { iaid: 99, ..granted(&[B]) };
    let reversed = crate::source::dhcpv6::wire::IaPd { t1: 300, t2: 200, ..granted(&[B]) };
    let failed = Incoming {
        status: Status { code: StatusCode::UnspecFail, text: String::new() },
        ..reply(2, vec![granted(&[B])])
    };
    let answers = [
        reply(2, vec![ia(IAID, &[])]),
        reply(2, vec![]),
        failed,
        reply(2, vec![reversed]),
        reply(2, vec![ia(IAID, &[(B, 500, 400)])]),
        reply(2, vec![unasked]),
        reply(2, vec![ia(IAID, &[("fe80::/56", 200, 400)])]),
    ];
    for answer in answers {
        let mut observer = observer();
        observer.is_delegated(A, 1, at(1));
        observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(100));
        observer.gets(&answer, at(100));
        assert_eq!(observer.usable(), [A], "{answer:?}");
        // The exchange goes on.
        observer.gets(&reply(2, vec![granted(&[A])]), at(110));
        assert_eq!(observer.offer(A).unwrap().valid_until, Deadline::At(at(510)), "{answer:?}");
    }
}

/// T-083
#[test]
fn a_prefix_that_is_not_preferred_any_more_is_deprecated() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(1));
    observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A])]), at(100));
    observer.gets(&reply(2, vec![ia(IAID, &[(A, 0, 400)])]), at(100));
    let offer = observer.offer(A).unwrap();
    assert_eq!((offer.cut, offer.valid_until), (Some(Cut::Deprecated), Deadline::At(at(500))));
    assert!(observer.report().pending.contains("home"), "it is held");
}

/// T-051
#[test]
fn several_delegations_are_offers_of_their_own_and_one_may_exclude_a_part() {
    let mut observer = observer();
    observer.sends(&asked(ClientMessage::Request, 1, &[(1, &[]), (2, &[])]), at(1));
    let mut first = ia(1, &[(A, 200, 400), ("2001:db8:c::/60", 200, 400)]);
    first.prefixes[0].excluded = Some("2001:db8:a:ff::/64".parse().unwrap());
    observer.gets(&reply(1, vec![first, ia(2, &[(B, 200, 400)])]), at(1));
    let mut usable = observer.usable();
    usable.sort();
    assert_eq!(usable, [A, B, "2001:db8:c::/60"]);
    assert_eq!(observer.offer(A).unwrap().excluded, ["2001:db8:a:ff::/64".parse().unwrap()]);
}

/// T-025, T-027
#[test]
fn a_reply_to_a_solicit_counts_only_with_rapid_commit() {
    for rapid in [true, false] {
        let mut observer = observer();
        let mut solicit = asked(ClientMessage::Solicit, 1, &[(IAID, &[])]);
        solicit.rapid_commit = rapid;
        observer.sends(&solicit, at(1));
        observer.gets(&Incoming { rapid_commit: true, ..reply(1, vec![granted(&[A])]) }, at(1));
        assert_eq!(!observer.usable().is_empty(), rapid);
    }
}

#[test]
fn a_client_that_is_restarted_keeps_what_it_is_given_again() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(1));
    observer.sends(&asked(ClientMessage::Release, 2, &[(IAID, &[A])]), at(50));
    let offer = observer.offer(A).unwrap();
    assert_eq!((offer.cut, offer.valid_until), (Some(Cut::Unlisted), Deadline::At(at(401))));
    observer.gets(&reply(2, Vec::new()), at(50));
    observer.is_delegated(A, 3, at(52));
    assert_eq!(observer.usable(), [A]);
    observer.wait_until(at(120));
    assert_eq!(observer.usable(), [A]);
    // Given back, and another one instead: nobody routes it here any more.
    observer.sends(&asked(ClientMessage::Release, 4, &[(IAID, &[A])]), at(130));
    observer.is_delegated(B, 5, at(131));
    assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Withdrawn));
    // Given back for good.
    observer.sends(&asked(ClientMessage::Release, 6, &[(IAID, &[B])]), at(140));
    observer.wait_until(at(200));
    assert_eq!(observer.offer(B).unwrap().cut, Some(Cut::Withdrawn));
}

#[test]
fn another_client_in_its_place_ends_what_the_former_one_held() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(1));
    let mut request = asked(ClientMessage::Request, 2, &[(IAID, &[])]);
    request.client_id = duid(5);
    observer.sends(&request, at(10));
    observer.gets(&Incoming { client_id: Some(duid(5)), ..reply(2, vec![granted(&[B])]) }, at(10));
    assert_eq!(observer.usable(), [B]);
    assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Unlisted));
}

/// T-091: PPP is dialled again.
#[test]
fn a_prefix_of_a_former_session_is_dead_once_there_is_another() {
    let mut observer = observer();
    observer.is_delegated(A, 1, at(1));
    observer.handle_link(None, at(20));
    assert_eq!(observer.report().state, SourceState::InterfaceAbsent);
    assert_eq!(observer.usable(), [A], "it is kept");
    observer.handle_link(Some(link(9)), at(30));
    observer.gets(&reply(1, vec![granted(&[B])]), at(30));
    assert_eq!(observer.usable(), [A], "the exchanges of the former session are over");
    observer.is_delegated(B, 2, at(31));
    assert_eq!(observer.offer(A).unwrap().cut, Some(Cut::Withdrawn));
}

#[test]
fn a_renew_tells_what_is_held_before_it_is_answered() {
    let mut observer = observer();
    observer.sends(&asked(ClientMessage::Rebind, 1, &[(IAID, &[A])]), at(1));
    assert!(observer.usable().is_empty(), "it may be from a former life of the client");
    observer.sends(&asked(ClientMessage::Renew, 2, &[(IAID, &[A, "::/56"])]), at(2));
    assert_eq!(observer.usable(), [A]);
    assert_eq!(observer.offer(A).unwrap().valid_until, Deadline::Never);
}

#[test]
fn a_client_that_asks_for_no_prefix_is_told_about() {
    let mut observer = observer();
    observer.sends(&asked(ClientMessage::Solicit, 1, &[]), at(1));
    assert!(observer.report().notes[0].contains("asks for no prefix (IA_PD)"));
}
