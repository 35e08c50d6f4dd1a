//! Table C, what: the answers to Renew and Rebind (RFC 9915 §18.2.10.1).

use super::answer::*;
use super::world::*;
use crate::source::dhcpv6::wire::{ClientMessage, IaPd, IaPrefix};
use crate::source::{Cut, SourceState};
use crate::time::Deadline;

use ClientMessage::{Rebind, Renew, Request, Solicit};

/// Bound to [`A`], and asking to extend it by a message of this kind.
fn asking(kind: ClientMessage) -> World {
    let mut world = World::bound();
    world.until_sent(kind);
    world
}

/// As [`asking`], with the answer that `make` makes of an empty Reply.
fn answered(kind: ClientMessage, make: impl Fn(Answer) -> Answer) -> World {
    let mut world = asking(kind);
    world.run(secs(0.5));
    let reply = make(world.reply());
    world.deliver(&reply);
    world
}

/// That [`A`] stays as it was, and that a message of this kind follows, not at once.
fn kept_and_retried(mut world: World, kind: ClientMessage) {
    let answered = world.now;
    assert_eq!(world.alive(), [A]);
    assert_eq!(world.offer(A).unwrap().cut, None);
    let next = world.next_of(kind);
    let waited = next.at.saturating_since(answered);
    assert!(waited >= secs(1.0) && waited < secs(30.0), "{waited:?}");
    assert_eq!(next.pd(HOME), Some(vec![A.to_owned()]));
}

#[test]
fn t064_valid_lifetime_zero_ends_a_prefix_at_once() {
    let mut world = answered(Renew, |reply| reply.pd(HOME, 50, 80, &[(A, 0, 0)]));
    assert!(world.alive().is_empty());
    let ended = world.offer(A).unwrap();
    assert_eq!((ended.cut, ended.valid_until), (Some(Cut::Withdrawn), Deadline::At(world.now)));
    world.next_of(Solicit);
}

#[test]
fn t064_the_other_prefix_goes_on() {
    let both = [(A, 100, 200), (B, 100, 200)];
    let mut world = World::bound_with(settings(), |answer| answer.pd(HOME, 50, 80, &both));
    world.next_of(Renew);
    let reply = world.reply().pd(HOME, 50, 80, &[(A, 0, 0), (B, 100, 200)]);
    world.deliver(&reply);
    assert_eq!(world.alive(), [B]);
    assert_eq!(world.next_of(Renew).pd(HOME), Some(vec![B.to_owned()]));
}

#[test]
fn t065_a_second_prefix_is_added() {
    let mut world = answered(Renew, |reply| reply.pd(HOME, 50, 80, &[(A, 100, 200), (B, 100, 200)]));
    assert_eq!(world.usable(), [A, B]);
    assert_eq!(world.next_of(Renew).pd(HOME), Some(vec![A.to_owned(), B.to_owned()]));
}

#[test]
fn t066_an_empty_ia_pd_is_no_loss() {
    kept_and_retried(answered(Renew, |reply| reply.pd(HOME, 50, 80, &[])), Renew);
}

#[test]
fn t067_no_binding_to_a_renew_requests_from_that_server() {
    let mut world = answered(Renew, |reply| reply.pd_status(HOME, NO_BINDING));
    let request = world.last().clone();
    assert_eq!((request.kind, &request.server), (Request, &Some(server(1))));
    assert_eq!(request.iaids(), [HOME]);
    assert_eq!(world.alive(), [A], "still published");
    let count = world.sent.len();
    world.run(secs(20.0));
    assert!(world.sent[count..].iter().all(|sent| sent.kind == Request), "{:?}", world.kinds());
    let reply = world.reply().pd(HOME, 50, 80, &[(B, 100, 200)]);
    world.deliver(&reply);
    assert_eq!((world.state(), world.alive()), (SourceState::Bound, vec![B.to_owned()]));
    assert_eq!(world.offer(A).unwrap().cut, Some(Cut::Withdrawn));
}

#[test]
fn t067_the_other_delegation_stays_usable() {
    let both = |answer: Answer| answer.pd(HOME, 50, 80, &[(A, 100, 200)]).pd(LAB, 50, 80, &[(B, 100, 200)]);
    let mut world = World::bound_with(two(), both);
    world.next_of(Renew);
    let reply = world.reply().pd_status(HOME, NO_BINDING).pd(LAB, 50, 80, &[(B, 100, 200)]);
    world.deliver(&reply);
    assert_eq!((world.last().kind, world.last().iaids()), (Request, vec![HOME, LAB]));
    assert_eq!(world.usable(), [A, B]);
    let reply = both(world.reply());
    world.deliver(&reply);
    assert_eq!((world.state(), world.usable()), (SourceState::Bound, vec![A.to_owned(), B.to_owned()]));
}

#[test]
fn t068_no_binding_to_a_rebind_requests_from_whoever_answered() {
    let world = answered(Rebind, |reply| reply.from(2).pd_status(HOME, NO_BINDING));
    assert_eq!((world.last().kind, &world.last().server), (Request, &Some(server(2))));
    assert_eq!(world.alive(), [A]);
}

#[test]
fn t069_a_renew_reply_without_our_ia_pd_is_no_answer() {
    kept_and_retried(answered(Renew, |reply| reply), Renew);
}

#[test]
fn t070_a_rebind_reply_without_our_ia_pd_is_no_answer() {
    kept_and_retried(answered(Rebind, |reply| reply), Rebind);
}

#[test]
fn t071_an_empty_ia_pd_to_every_rebind_makes_no_tight_loop() {
    let mut world = asking(Rebind);
    let first = world.sent.len();
    let end = world.now + secs(100.0);
    loop {
        let reply = world.reply().pd(HOME, 0, 0, &[]);
        world.deliver(&reply);
        assert_eq!(world.alive(), [A]);
        if world.next().at > end {
            break;
        }
    }
    assert!((3..=15).contains(&(world.sent.len() - first)), "{:?}", world.gaps(first));
}

#[test]
fn t072_a_new_prefix_beside_the_end_of_the_old_one() {
    let world = answered(Renew, |reply| reply.pd(HOME, 50, 80, &[(A, 0, 0), (B, 100, 200)]));
    assert_eq!(world.usable(), [B]);
    // Both in one report: nobody sees a moment without a prefix.
    let alive = world
        .reports
        .iter()
        .map(|(at, report)| report.offers.iter().filter(|offer| !offer.valid_until.is_over(*at)).count());
    assert!(alive.skip_while(|count| *count == 0).all(|count| count > 0));
    assert_eq!(world.offer(A).unwrap().cut, Some(Cut::Withdrawn));
}

#[test]
fn t073_the_end_of_a_prefix_counts_beside_an_error() {
    let mut world = answered(Renew, |reply| {
        let prefixes = vec![prefix(&(A, 0, 0))];
        reply.ia(IaPd { iaid: HOME, t1: 0, t2: 0, status: status(NO_PREFIX_AVAIL), prefixes })
    });
    assert!(world.alive().is_empty());
    assert_eq!(world.offer(A).unwrap().cut, Some(Cut::Withdrawn));
    assert_eq!(world.next_of(Solicit).iaids(), [HOME], "it keeps asking");
}

#[test]
fn t074_a_status_inside_a_prefix_counts() {
    let mut world = answered(Renew, |reply| {
        let refused = IaPrefix { status: status(NO_PREFIX_AVAIL), ..prefix(&(A, 1000, 2000)) };
        reply.ia(IaPd { iaid: HOME, t1: 43_200, t2: 69_120, status: status(0), prefixes: vec![refused] })
    });
    let valid_until = world.offer(A).unwrap().valid_until;
    assert!(valid_until <= Deadline::At(START + secs(203.0)), "what is refused is not extended: {valid_until:?}");
    let answered = world.now;
    let next = world.next();
    assert!(next.at.saturating_since(answered) <= secs(40.0), "no silence of 12 hours");
    assert!(matches!(next.kind, Renew | Rebind | Request | Solicit), "{next:?}");
}

#[test]
fn t076_the_old_prefix_in_its_ia_pd_and_the_new_one_beside_it() {
    let new_first = answered(Renew, |reply| reply.pd(HOME, 50, 80, &[(B, 100, 200), (A, 0, 0)]));
    assert_eq!((new_first.usable(), new_first.alive()), (vec![B.to_owned()], vec![B.to_owned()]));
    // Deprecated instead of ended.
    let deprecated = answered(Renew, |reply| reply.pd(HOME, 50, 80, &[(A, 0, 150), (B, 100, 200)]));
    assert_eq!((deprecated.usable(), deprecated.alive()), (vec![B.to_owned()], vec![A.to_owned(), B.to_owned()]));
}

#[test]
fn t077_a_new_prefix_without_a_word_of_the_old_one() {
    let mut world = answered(Renew, |reply| reply.pd(HOME, 50, 80, &[(B, 100, 200)]));
    let end = world.offer(A).unwrap().valid_until;
    assert_eq!(end, Deadline::At(world.sent[1].at + secs(200.0)), "neither extended nor cut");
    assert_eq!((world.usable(), world.alive()), (vec![B.to_owned()], vec![A.to_owned(), B.to_owned()]));
    assert_eq!(world.offer(A).unwrap().cut, Some(Cut::Unlisted));
    let end = end.instant().expect("A has an end");
    while world.now < end {
        let wait = end.saturating_since(world.now);
        if world.next_within(wait).is_some() {
            let reply = world.reply().pd(HOME, 50, 80, &[(B, 100, 200)]);
            world.deliver(&reply);
        }
    }
    assert_eq!((world.alive(), world.state()), (vec![B.to_owned()], SourceState::Bound), "A ended, B goes on");
}

#[test]
fn t078_the_same_prefix_with_another_length() {
    for longer in ["2001:db8:a00::/60", "2001:db8:a00::/48"] {
        let world = answered(Renew, |reply| reply.pd(HOME, 50, 80, &[(longer, 100, 200)]));
        assert_eq!(world.usable(), [longer]);
        let world = answered(Renew, |reply| reply.pd(HOME, 50, 80, &[(A, 0, 0), (longer, 100, 200)]));
        assert_eq!(world.alive(), [longer]);
    }
}

/// A server that answers Renew with UnspecFail, ever again.
#[test]
fn unspec_fail_to_a_renew_keeps_the_lease_and_the_times() {
    let mut world = World::bound();
    let start = world.now;
    while world.now < start + secs(199.0) {
        let left = (start + secs(199.0)).saturating_since(world.now);
        if world.next_within(left).is_some() {
            let reply = world.reply().status(UNSPEC_FAIL);
            world.deliver(&reply);
        }
    }
    assert_eq!(world.alive(), [A]);
    let rebind = world.sent.iter().find(|sent| sent.kind == Rebind).expect("a Rebind");
    assert_eq!(rebind.at.saturating_since(start), secs(80.0));
    assert!(world.sent.len() < 40, "{:?}", world.gaps(0));
}
