//! Table B, the exchange: asking one server (RFC 9915 §18.2.2), and which Replies count (§16.10, §18.2.10).

use super::answer::*;
use super::world::*;
use crate::source::SourceState;
use crate::source::dhcpv6::client::Received;
use crate::source::dhcpv6::wire::server::option;
use crate::source::dhcpv6::wire::{ClientMessage, ServerMessage};

use ClientMessage::{Request, Solicit};
use ServerMessage::Advertise;

pub(super) fn grant(answer: Answer) -> Answer {
    answer.pd(HOME, 50, 80, &[(A, 100, 200)])
}

fn requesting() -> World {
    World::requesting(settings(), grant)
}

/// Delivers a Reply to the first Request that must not count, and afterwards the right one.
fn ignored(make: impl Fn(Answer) -> Answer) {
    let mut world = requesting();
    let first = world.last().clone();
    world.run(secs(0.1));
    let right = grant(world.reply());
    let wrong = make(right.clone());
    world.deliver(&wrong);
    assert!(world.alive().is_empty(), "{wrong:?}");
    assert_eq!(world.state(), SourceState::Requesting);
    let again = world.next_within(secs(1.1)).expect("the Request is repeated");
    assert_eq!((again.kind, again.xid, &again.server), (Request, first.xid, &first.server));
    world.deliver(&right);
    assert_eq!(world.usable(), [A]);
}

#[test]
fn t031_an_offer_is_requested() {
    let mut world = World::soliciting(two());
    let solicit = world.last().clone();
    let answer = grant(world.answer(Advertise)).preference(255);
    world.deliver(&answer);
    let request = world.last();
    assert_eq!((request.kind, request.elapsed), (Request, 0));
    assert_eq!(request.server, Some(server(1)));
    assert_ne!(request.xid, solicit.xid);
    assert!(request.asks_for(82));
    assert_eq!(request.iaids(), [HOME, LAB], "all IAs, also those not offered (RFC 7550)");
    assert!(!request.message.rapid_commit);
    assert_eq!(world.state(), SourceState::Requesting);
}

#[test]
fn t032_a_request_is_sent_ten_times() {
    for seed in 0..100 {
        let mut world = World::seeded(settings(), seed);
        world.next_of(Solicit);
        let answer = grant(world.answer(Advertise)).preference(255);
        world.deliver(&answer);
        let first = world.last().clone();
        let end = world.until_sent(Solicit);
        let requests: Vec<_> = world.sent.iter().filter(|sent| sent.kind == Request).collect();
        assert_eq!(requests.len(), 10);
        assert!(requests.iter().all(|sent| sent.xid == first.xid));
        assert!(end.at > requests[9].at + secs(26.9), "the last one is given its time, too");
        let gaps = world.gaps(1);
        assert!((0.9..=1.1).contains(&gaps[0]), "{gaps:?}");
        for pair in gaps[..9].windows(2) {
            let doubled = pair[1] >= 1.899 * pair[0] && pair[1] <= 2.101 * pair[0] && pair[1] <= 30.001;
            let capped = pair[0] * 2.1 > 29.99 && (27.0..=33.0).contains(&pair[1]);
            assert!(doubled || capped, "{gaps:?}");
        }
    }
}

#[test]
fn t033_a_server_that_does_not_answer_is_followed_by_another_one() {
    let mut world = World::soliciting(settings());
    for (number, preference) in [(1, 10), (2, 5)] {
        let answer = grant(world.answer(Advertise)).from(number).preference(preference);
        world.deliver(&answer);
    }
    for number in [1, 2] {
        let first = world.next_of(Request);
        assert_eq!((first.elapsed, &first.server), (0, &Some(server(number))));
        for _ in 1..10 {
            assert_eq!(world.next_of(Request).server, Some(server(number)));
        }
    }
    world.next_of(Solicit);
    let answer = grant(world.answer(Advertise)).preference(255);
    world.deliver(&answer);
    assert_eq!(world.last().kind, Request, "it never stops for good");
}

#[test]
fn t034_a_reply_without_server_id_is_ignored() {
    ignored(|reply| reply.with(|message| message.server_id = None));
}

#[test]
fn t035_a_reply_of_another_exchange_is_ignored() {
    ignored(|reply| reply.with(|message| message.transaction_id[2] ^= 0x80));
}

#[test]
fn t036_a_reply_for_another_client_is_ignored() {
    ignored(|reply| reply.with(|message| message.client_id = Some(server(9))));
    ignored(|reply| reply.with(|message| message.client_id = None));
}

#[test]
fn t037_a_reply_of_another_server_is_ignored() {
    ignored(|reply| reply.from(2));
}

#[test]
fn t038_a_reply_with_two_ids_is_ignored() {
    ignored(|reply| reply.option(1, our_duid().as_bytes()));
    ignored(|reply| reply.option(2, server(1).as_bytes()));
}

#[test]
fn t041_unspec_fail_repeats_the_request_within_limits() {
    let mut world = requesting();
    let mut requests = 1;
    for _ in 0..200 {
        let answer = world.reply().status(UNSPEC_FAIL);
        world.deliver(&answer);
        let sent = world.next();
        if sent.kind == Solicit {
            break;
        }
        assert_eq!((sent.kind, &sent.server, sent.iaids()), (Request, &Some(server(1)), vec![HOME]));
        requests += 1;
    }
    assert_eq!(world.last().kind, Solicit, "the duration is limited (RFC 9915 §18.2.10)");
    assert!((2..=20).contains(&requests), "{requests} Requests");
    let first = world.sent.iter().find(|sent| sent.kind == Request).expect("one");
    assert!(world.now > first.at + secs(1.0), "the rate is limited");
}

#[test]
fn t042_use_multicast_repeats_the_request() {
    let mut world = requesting();
    let answer = world.reply().status(USE_MULTICAST);
    world.deliver(&answer);
    let again = world.next_of(Request);
    assert_eq!(again.server, Some(server(1)));
    let answer = grant(world.reply());
    world.deliver(&answer);
    assert_eq!(world.usable(), [A]);
}

#[test]
fn t043_not_on_link_asks_anew() {
    let mut world = requesting();
    let answer = world.reply().status(NOT_ON_LINK);
    world.deliver(&answer);
    let next = world.next();
    assert!(next.kind == Solicit || next.kind == Request && next.pd(HOME) == Some(vec![]), "{next:?}");
}

#[test]
fn t044_no_prefix_avail_goes_to_the_next_server_or_solicits() {
    let mut world = requesting();
    let answer = world.reply().pd_status(HOME, NO_PREFIX_AVAIL);
    world.deliver(&answer);
    world.next_of(Solicit);

    let mut world = World::soliciting(settings());
    for (number, preference) in [(1, 10), (2, 5)] {
        let answer = grant(world.answer(Advertise)).from(number).preference(preference);
        world.deliver(&answer);
    }
    world.next_of(Request);
    let answer = world.reply().pd_status(HOME, NO_PREFIX_AVAIL);
    world.deliver(&answer);
    let next = world.next();
    assert!(next.kind == Solicit || next.server == Some(server(2)), "{next:?}");
}

/// A server that offers whatever is asked and then knows nothing of it.
fn forgets(world: &mut World, sent: &Sent) {
    match sent.kind {
        Solicit => {
            let answer = grant(Answer::to(sent, Advertise, 1)).preference(255);
            world.deliver(&answer);
        }
        Request => {
            let answer = Answer::to(sent, ServerMessage::Reply, 1).pd_status(HOME, NO_BINDING);
            world.deliver(&answer);
        }
        other @ (ClientMessage::Confirm
        | ClientMessage::Renew
        | ClientMessage::Rebind
        | ClientMessage::Release
        | ClientMessage::InformationRequest) => panic!("{other:?} without a lease"),
    }
}

#[test]
fn t045_a_server_that_offers_and_forgets_is_asked_ever_more_slowly() {
    let mut world = World::new();
    let mut answered = 0;
    let mut rounds = Vec::new();
    while rounds.len() < 12 {
        if world.sent.len() == answered {
            world.next();
        }
        let sent = world.sent[answered].clone();
        answered += 1;
        if sent.kind == Solicit && sent.elapsed == 0 {
            rounds.push(sent.at);
        }
        forgets(&mut world, &sent);
    }
    // That there are at most 20 messages in 20 s is checked for every message.
    let gap = |round: usize| rounds[round + 1].saturating_since(rounds[round]);
    assert!(gap(10) > gap(0) * 2, "{rounds:?}");
}

#[test]
fn t052_messages_that_are_not_for_clients_change_nothing() {
    for soliciting in [true, false] {
        for kind in [1, 3, 4, 5, 6, 9, 8, 12, 13, 11] {
            let mut world = if soliciting { World::soliciting(settings()) } else { requesting() };
            let (state, sent) = (world.state(), world.sent.len());
            let answer = if soliciting { world.answer(Advertise) } else { world.reply() };
            let mut bytes = grant(answer).preference(255).bytes();
            bytes[0] = kind;
            world.deliver_bytes(&bytes);
            assert_eq!((world.state(), world.sent.len()), (state, sent), "message type {kind}");
            assert!(world.alive().is_empty());
        }
    }
}

#[test]
fn t053_only_datagrams_to_us_on_the_uplink_count() {
    let mut world = requesting();
    let reply = grant(world.reply()).bytes();
    world.grant(A, 200);
    for (destination, ifindex) in [("ff02::1:2", IFINDEX), ("ff02::1", IFINDEX), (OURS, IFINDEX + 1)] {
        world.deliver_to(ip(destination), ifindex, &reply);
        assert_eq!(world.state(), SourceState::Requesting, "to {destination} by {ifindex}");
    }
    world.deliver_bytes(&reply);
    assert_eq!(world.state(), SourceState::Bound);
}

/// wide-dhcpv6 sends from an ephemeral port: the client is not even told from which.
#[test]
fn t054_the_source_port_does_not_matter() {
    let mut world = requesting();
    let reply = grant(world.reply()).bytes();
    world.grant(A, 200);
    let Received { destination, ifindex, bytes } = Received { destination: ip(OURS), ifindex: IFINDEX, bytes: &reply };
    world.deliver_to(destination, ifindex, bytes);
    assert_eq!(world.usable(), [A]);
}

/// A datagram that did not fit into the socket's buffer comes empty; one with a cut option must not count in part.
#[test]
fn a_reply_that_is_cut_anywhere_is_ignored() {
    let mut world = requesting();
    let reply = [grant(world.reply()).bytes(), option(200, &[7; 3])].concat();
    world.grant(A, 200);
    for length in 0..reply.len() {
        let cut = &reply[..length];
        world.deliver_bytes(cut);
        if !world.alive().is_empty() {
            // What is left is a whole message: the last option is cut off exactly.
            assert_eq!(length, reply.len() - 7);
            return;
        }
    }
    panic!("never accepted");
}
