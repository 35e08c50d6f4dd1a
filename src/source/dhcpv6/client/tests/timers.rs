//! Table C, when: T1, T2 and lifetimes (RFC 9915 §14.2, §18.2.4, §18.2.5).

use super::answer::*;
use super::world::*;
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::{Cut, SourceState};
use crate::time::Deadline;

use ClientMessage::{Rebind, Renew, Solicit};

/// Bound to [`A`] with these T1, T2 and lifetimes.
fn bound(t1: u32, t2: u32, preferred: u32, valid: u32) -> World {
    World::bound_with(settings(), |answer| answer.pd(HOME, t1, t2, &[(A, preferred, valid)]))
}

/// When the first message of this kind is sent, in seconds from now.
fn time_of(world: &mut World, kind: ClientMessage) -> f64 {
    let start = world.now;
    world.until_sent(kind).at.saturating_since(start).as_secs_f64()
}

fn is_about(actual: f64, expected: f64) -> bool {
    (actual - expected).abs() < 0.01
}

#[test]
fn t058_at_t1_the_server_is_asked_to_extend() {
    let mut world = World::bound();
    let (received, requested) = (world.now, world.last().clone());
    let renew = world.next_of(Renew);
    assert_eq!(renew.at.saturating_since(received), secs(50.0), "from the reception of the Reply");
    assert_eq!((&renew.server, renew.elapsed), (&Some(server(1)), 0));
    assert_ne!(renew.xid, requested.xid);
    assert_eq!(renew.pd(HOME), Some(vec![A.to_owned()]));
    assert!(renew.asks_for(82));
    assert_eq!((world.state(), world.usable()), (SourceState::Renewing, vec![A.to_owned()]));
}

/// That the messages from `from` on have the gaps of Renew and Rebind: IRT 10 s, MRT 600 s.
fn slow_table(world: &World, from: usize, kind: ClientMessage) -> Vec<f64> {
    let sent: Vec<_> = world.sent.iter().skip(from).take_while(|sent| sent.kind == kind).collect();
    let time = |number: usize| sent[number].at.saturating_since(sent[0].at).as_secs_f64();
    assert!((9.0..=11.0).contains(&time(1)), "{}", time(1));
    assert!((26.1..=34.1).contains(&time(2)), "{}", time(2));
    let gaps: Vec<_> = world.gaps(from)[..sent.len() - 1].to_vec();
    for pair in gaps.windows(2) {
        let doubled = pair[1] >= 1.899 * pair[0] && pair[1] <= 2.101 * pair[0] && pair[1] <= 600.001;
        assert!(doubled || pair[0] * 2.1 > 599.9 && (540.0..=660.0).contains(&pair[1]), "{gaps:?}");
    }
    gaps
}

#[test]
fn t059_renews_follow_the_table_until_t2() {
    let mut world = bound(1000, 5000, 8000, 10_000);
    let bound_at = world.now;
    let first = world.sent.len();
    let rebind = world.until_sent(Rebind);
    assert_eq!(rebind.at.saturating_since(bound_at), secs(5000.0));
    let gaps = slow_table(&world, first, Renew);
    assert!((540.0..=660.0).contains(gaps.last().unwrap()), "{gaps:?}");
    let renews: Vec<_> = world.sent[first..].iter().filter(|sent| sent.kind == Renew).collect();
    assert!(renews.iter().all(|sent| sent.xid == renews[0].xid && sent.at < rebind.at));
}

#[test]
fn t060_at_t2_any_server_is_asked() {
    let mut world = World::bound();
    let start = world.now;
    let rebind = world.until_sent(Rebind);
    assert_eq!(rebind.at.saturating_since(start), secs(80.0));
    assert_eq!((&rebind.server, rebind.elapsed), (&None, 0));
    assert_ne!(rebind.xid, world.sent[world.sent.len() - 2].xid);
    assert_eq!(rebind.pd(HOME), Some(vec![A.to_owned()]));
    assert_eq!((world.state(), world.usable()), (SourceState::Rebinding, vec![A.to_owned()]));
    let reply = world.reply().from(2).pd(HOME, 50, 80, &[(A, 100, 200)]);
    world.deliver(&reply);
    assert_eq!(world.memory().server, Some(server(2)), "whoever answers is the server now");
    assert_eq!(world.next_of(Renew).server, Some(server(2)));
}

#[test]
fn t061_rebinds_follow_the_table() {
    let mut world = bound(1000, 2000, 8000, 9000);
    world.until_sent(Rebind);
    let first = world.sent.len() - 1;
    world.until_sent(Solicit);
    let gaps = slow_table(&world, first, Rebind);
    assert!((540.0..=660.0).contains(gaps.last().unwrap()), "{gaps:?}");
}

#[test]
fn t062_a_lease_that_nobody_extends_ends_at_its_valid_end() {
    let mut world = World::bound();
    let end = world.now + secs(200.0);
    world.run_until(end - secs(1.0));
    assert_eq!(world.alive(), [A]);
    assert!(world.usable().is_empty(), "its preferred lifetime ended at 100 s");
    assert_eq!(world.last().kind, Rebind);
    world.run_until(end);
    assert!(world.alive().is_empty());
    let ended = world.offer(A).expect("it is told of for a while after its end");
    assert_eq!((ended.valid_until, ended.cut), (Deadline::At(end), Some(Cut::Withdrawn)));
    let solicit = world.next_of(Solicit);
    assert!(solicit.at <= end + secs(1.1));
    assert_eq!(solicit.pd(HOME), Some(vec![A.to_owned()]), "the last prefix is asked for again (RFC 8168)");
}

#[test]
fn t063_a_renewal_brings_new_times() {
    let mut world = World::bound();
    world.next_of(Renew);
    world.run(secs(3.0));
    let reply = world.reply().pd(HOME, 70, 112, &[(A, 140, 280)]);
    world.deliver(&reply);
    let renewed = world.now;
    assert_eq!(world.state(), SourceState::Bound);
    assert_eq!(world.offer(A).unwrap().valid_until, Deadline::At(renewed + secs(280.0)));
    assert_eq!(world.offer(A).unwrap().preferred_until, Deadline::At(renewed + secs(140.0)));
    assert_eq!(world.next_of(Renew).at.saturating_since(renewed), secs(70.0));
}

#[test]
fn t075_a_lease_is_renewed_before_it_ends_whatever_t1_says() {
    let mut world = bound(120, 200, 30, 30);
    let end = world.now + secs(30.0);
    let renew = world.next_of(Renew);
    assert!(renew.at < end, "{:?}", renew.at);
    world.run_until(end - secs(0.5));
    assert_eq!(world.alive(), [A]);
    world.run_until(end);
    assert!(world.alive().is_empty());
    world.until_sent(Solicit);
}

#[test]
fn t079_without_t1_and_t2_the_shortest_preferred_lifetime_decides() {
    let offered = [(A, 1000, 4000), (B, 600, 9000)];
    let mut world = World::bound_with(settings(), |answer| answer.pd(HOME, 0, 0, &offered));
    assert!(is_about(time_of(&mut world, Renew), 300.0));
    let start = world.now;
    assert!(is_about(world.until_sent(Rebind).at.saturating_since(start).as_secs_f64(), 180.0));
}

#[test]
fn t079_without_a_preferred_lifetime_the_valid_one_decides() {
    for preferred in [0, INFINITY] {
        let valid = if preferred == 0 { 1000 } else { INFINITY };
        // preferred must not exceed valid, so an infinite one comes with an infinite valid lifetime and another prefix.
        let offered = [(A, preferred, valid), (B, 0, 1000)];
        let mut world = World::bound_with(settings(), |answer| answer.pd(HOME, 0, 0, &offered));
        assert!(is_about(time_of(&mut world, Renew), 500.0), "preferred {preferred}");
    }
}

#[test]
fn t080_one_of_t1_and_t2_is_enough() {
    // T1 0: it is chosen, and is not after T2.
    for t2 in [80, 30] {
        let mut world = bound(0, t2, 100, 200);
        assert_eq!(world.usable(), [A]);
        let (start, count) = (world.now, world.sent.len());
        let rebind = world.until_sent(Rebind);
        assert_eq!(rebind.at.saturating_since(start), secs(f64::from(t2)));
        let first = &world.sent[count];
        assert!(first.at > start + secs(1.0), "not at once");
        // With T2 at 30 s both may fall together, and then any server is asked.
        assert!(first.kind == Renew || t2 == 30, "{first:?}");
    }
    // T2 0: T1 is kept, T2 chosen and not before it.
    for t1 in [50, 90] {
        let mut world = bound(t1, 0, 100, 200);
        let (start, count) = (world.now, world.sent.len());
        let rebind = world.until_sent(Rebind).at.saturating_since(start);
        assert_eq!(world.sent[count].at.saturating_since(start), secs(f64::from(t1)));
        assert!(rebind >= secs(f64::from(t1)) && rebind < secs(200.0), "{rebind:?}");
    }
}

#[test]
fn t081_infinite_t1_and_t2_mean_no_renewal() {
    let mut world = bound(INFINITY, INFINITY, 100_000, 200_000);
    let (bound_at, count) = (world.now, world.sent.len());
    world.run_until(bound_at + secs(199_990.0));
    assert_eq!((world.sent.len(), world.alive()), (count, vec![A.to_owned()]));
}

#[test]
fn t082_infinite_lifetimes_never_end() {
    let mut world = bound(0, 0, INFINITY, INFINITY);
    let count = world.sent.len();
    assert_eq!(world.offer(A).unwrap().valid_until, Deadline::Never);
    world.run(secs(50.0 * 365.0 * 86_400.0));
    assert_eq!((world.sent.len(), world.usable()), (count, vec![A.to_owned()]));
}

#[test]
fn t083_a_preferred_lifetime_of_zero_deprecates() {
    let world = bound(50, 80, 0, 600);
    assert_eq!((world.alive(), world.usable()), (vec![A.to_owned()], vec![]));
    let offer = world.offer(A).unwrap();
    assert_eq!(
        (offer.preferred_until, offer.valid_until),
        (Deadline::At(world.now), Deadline::At(world.now + secs(600.0)))
    );
}

#[test]
fn t084_two_ia_pds_are_renewed_together() {
    let mut world =
        World::bound_with(two(), |answer| answer.pd(HOME, 60, 80, &[(A, 100, 200)]).pd(LAB, 40, 90, &[(B, 100, 200)]));
    let start = world.now;
    let renew = world.next_of(Renew);
    assert_eq!((renew.at.saturating_since(start), renew.iaids()), (secs(40.0), vec![HOME, LAB]));
    assert_eq!((renew.pd(HOME), renew.pd(LAB)), (Some(vec![A.to_owned()]), Some(vec![B.to_owned()])));
    assert_eq!(world.until_sent(Rebind).at.saturating_since(start), secs(80.0), "the earliest T2");
}

#[test]
fn t085_a_lease_that_ended_while_the_host_slept_is_over_when_it_wakes() {
    let mut world = World::bound();
    world.suspend(secs(7200.0));
    assert!(world.alive().is_empty());
    assert_ne!(world.offer(A).and_then(|offer| offer.cut), Some(Cut::Withdrawn), "nobody was asked");
    assert_eq!(world.next_of(Solicit).pd(HOME), Some(vec![A.to_owned()]));
}

#[test]
fn t085_a_lease_that_outlives_the_sleep_is_confirmed() {
    let mut world = bound(3600, 5760, 14_400, 28_800);
    world.suspend(secs(7200.0));
    assert_eq!(world.usable(), [A]);
    let rebind = world.next_within(secs(1.0)).expect("a Rebind within a second");
    assert_eq!((rebind.kind, rebind.pd(HOME)), (Rebind, Some(vec![A.to_owned()])));
}
