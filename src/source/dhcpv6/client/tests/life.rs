//! Table D: starts, links, releases (RFC 9915 §18.2.7, §18.2.12; RFC 9096 §3).

use super::answer::*;
use super::world::*;
use crate::source::dhcpv6::wire::{ClientMessage, ServerMessage};
use crate::source::dhcpv6::{Memory, Settings};
use crate::source::link::{LinkAddress, LinkState};
use crate::source::{Cut, SourceState};
use crate::time::Deadline;

use ClientMessage::{Rebind, Release, Renew, Request, Solicit};

/// The memory of a run that was given [`A`] at `START`: T1 1800 s, T2 2880 s, preferred 3600 s, valid 7200 s.
fn remembered() -> Memory {
    let world = World::bound_with(settings(), |answer| answer.pd(HOME, 1800, 2880, &[(A, 3600, 7200)]));
    world.memory()
}

/// Started again, this long after `START`.
fn restarted(seconds: f64) -> World {
    World::started(settings(), remembered(), 2, START + secs(seconds))
}

#[test]
fn t087_a_restart_with_a_valid_lease_rebinds() {
    for seed in 0..100 {
        let mut world = World::started(settings(), remembered(), seed, START + secs(100.0));
        assert_eq!(world.usable(), [A], "published before anything is asked");
        assert!(world.report().pending.contains("home"));
        let first = world.next_within(secs(1.0)).expect("a Rebind within a second");
        assert_eq!((first.kind, first.elapsed, first.pd(HOME)), (Rebind, 0, Some(vec![A.to_owned()])));
        world.run(secs(12.0));
        assert!(world.kinds().iter().all(|kind| *kind == Rebind));
        assert!(world.sent.iter().all(|sent| sent.xid == first.xid));
        let last = world.last().at.saturating_since(first.at);
        assert!(last <= secs(10.0), "MRD 10 s");
        let gaps = world.gaps(0);
        assert!((0.9..=1.1).contains(&gaps[0]) && gaps.iter().all(|gap| *gap <= 4.4), "{gaps:?}");
        assert!((1.7..=2.31).contains(&gaps[1]), "{gaps:?}");
        assert!(world.reports.iter().all(|(_, report)| report.offers.iter().any(|offer| offer.prefix == net(A))));
    }
}

#[test]
fn t087_the_answer_renews_the_lease() {
    let mut world = restarted(100.0);
    world.next_of(Rebind);
    let reply = world.reply().from(2).pd(HOME, 50, 80, &[(A, 100, 200)]);
    world.deliver(&reply);
    assert_eq!((world.state(), world.usable()), (SourceState::Bound, vec![A.to_owned()]));
    assert_eq!(world.memory().server, Some(server(2)));
}

#[test]
fn t088_without_an_answer_the_lease_goes_on_as_it_was() {
    let mut world = restarted(100.0);
    world.run(secs(15.0));
    assert_eq!((world.state(), world.usable()), (SourceState::Bound, vec![A.to_owned()]));
    let renew = world.next();
    assert_eq!(renew.kind, Renew);
    let t1 = renew.at.saturating_since(START);
    assert!(t1 >= secs(1800.0) && t1 <= secs(1802.0), "T1 of the former run: {t1:?}");
    assert_eq!(renew.server, Some(server(1)));
    let t2 = world.until_sent(Rebind).at.saturating_since(START);
    assert!(t2 >= secs(2880.0) && t2 <= secs(2882.0), "{t2:?}");
}

#[test]
fn t089_another_prefix_after_a_restart() {
    let mut world = restarted(100.0);
    world.next_of(Rebind);
    let reply = world.reply().pd(HOME, 50, 80, &[(B, 100, 200)]);
    world.deliver(&reply);
    assert_eq!(world.usable(), [B]);
    assert!(world.offer(A).is_some_and(|old| old.cut.is_some()), "whoever published it learns that it is not current");

    let mut world = restarted(100.0);
    world.next_of(Rebind);
    let reply = world.reply().pd(HOME, 50, 80, &[(A, 0, 0), (B, 100, 200)]);
    world.deliver(&reply);
    assert_eq!(world.alive(), [B]);
    assert_eq!(world.offer(A).unwrap().cut, Some(Cut::Withdrawn));
}

/// A former prefix that was stored beside the one in use: the server can end it as if there had been no restart.
#[test]
fn a_former_prefix_ends_after_a_restart_as_before() {
    let both = |answer: Answer| answer.pd(HOME, 1800, 2880, &[(A, 0, 7200), (B, 3600, 7200)]);
    let remembered = World::bound_with(settings(), both).memory();
    let started = || World::started(settings(), remembered.clone(), 2, START + secs(100.0));

    let mut world = started();
    assert_eq!((world.alive(), world.usable()), (vec![A.to_owned(), B.to_owned()], vec![B.to_owned()]));
    world.next_of(Rebind);
    let reply = world.reply().pd(HOME, 1800, 2880, &[(A, 0, 0), (B, 3600, 7200)]);
    world.deliver(&reply);
    assert_eq!((world.alive(), world.offer(A).unwrap().cut), (vec![B.to_owned()], Some(Cut::Withdrawn)), "valid 0");

    let mut world = started();
    world.next_of(Rebind);
    let reply = world.reply().pd_status(HOME, NO_BINDING);
    world.deliver(&reply);
    assert_eq!((world.last().kind, world.alive()), (Request, vec![A.to_owned(), B.to_owned()]), "still published");
    let reply = world.reply().pd(HOME, 1800, 2880, &[(C, 3600, 7200)]);
    world.deliver(&reply);
    assert_eq!((world.alive(), world.offer(A).unwrap().cut), (vec![C.to_owned()], Some(Cut::Withdrawn)), "NoBinding");
}

/// NoBinding, and then only the one in use is delegated anew: of the other one the server knows nothing.
#[test]
fn a_former_prefix_that_the_server_knows_no_longer_is_dead_though_the_other_one_stays() {
    let both = |answer: Answer| answer.pd(HOME, 1800, 2880, &[(A, 0, 7200), (B, 3600, 7200)]);
    let bound = World::bound_with(settings(), both);
    let restarted = World::started(settings(), bound.memory(), 2, START + secs(100.0));
    for (mut world, asks) in [(bound, Renew), (restarted, Rebind)] {
        world.until_sent(asks);
        let reply = world.reply().pd_status(HOME, NO_BINDING);
        world.deliver(&reply);
        assert_eq!(world.last().kind, Request);
        let reply = world.reply().pd(HOME, 1800, 2880, &[(B, 3600, 7200)]);
        world.deliver(&reply);
        assert_eq!((world.alive(), world.usable()), (vec![B.to_owned()], vec![B.to_owned()]));
        assert_eq!(world.offer(A).unwrap().cut, Some(Cut::Withdrawn));
    }
}

#[test]
fn t090_a_lease_that_ended_while_the_daemon_was_away_is_asked_for_again() {
    let mut world = restarted(8000.0);
    assert!(world.alive().is_empty());
    let solicit = world.next_within(secs(1.0)).expect("a Solicit within a second");
    assert_eq!((solicit.kind, solicit.pd(HOME)), (Solicit, Some(vec![A.to_owned()])));
    assert_ne!(world.offer(A).and_then(|offer| offer.cut), Some(Cut::Withdrawn), "no server said so");
}

#[test]
fn t091_ppp_comes_back_as_another_interface() {
    let mut world = World::bound();
    let before = world.last().iaids();
    world.link(None);
    assert_eq!(world.state(), SourceState::InterfaceAbsent);
    world.run(secs(5.0));
    let address = LinkAddress { address: ip("fe80::d"), tentative: false };
    let again = LinkState { ifindex: IFINDEX + 4, up: true, mac: None, addresses: vec![address] };
    let count = world.sent.len();
    world.link(Some(again));
    let rebind = world.next_within(secs(1.0)).expect("a Rebind within a second");
    assert_eq!((rebind.kind, rebind.iaids(), rebind.pd(HOME)), (Rebind, before.clone(), Some(vec![A.to_owned()])));
    // No answer at all: when the lease has ended, it is asked for as a hint.
    let solicit = world.until_sent(Solicit);
    assert_eq!((solicit.iaids(), solicit.pd(HOME)), (before, Some(vec![A.to_owned()])));
    assert!(world.sent[count..].iter().all(|sent| sent.kind != Release));
}

#[test]
fn t091_a_new_session_with_another_prefix() {
    let mut world = World::bound();
    world.link(None);
    world.link(Some(LinkState { ifindex: IFINDEX + 4, ..up() }));
    world.next_of(Rebind);
    let reply = world.reply().pd(HOME, 50, 80, &[(B, 100, 200)]).bytes();
    world.grant(B, 200);
    world.deliver_to(ip(OURS), IFINDEX + 4, &reply);
    assert_eq!(world.alive(), [B], "the old one went with its session");
    assert_eq!(world.offer(A).unwrap().cut, Some(Cut::Withdrawn));
}

#[test]
fn t092_a_refused_rebind_is_followed_by_a_solicit_with_hint() {
    let mut world = restarted(100.0);
    world.next_of(Rebind);
    let reply = world.reply().pd(HOME, 0, 0, &[(A, 0, 0)]);
    world.deliver(&reply);
    assert!(world.alive().is_empty());
    let solicit = world.next_of(Solicit);
    assert_eq!((solicit.iaids(), solicit.pd(HOME)), (vec![HOME], Some(vec![A.to_owned()])));
}

#[test]
fn t093_a_release_is_sent_five_times_and_the_prefix_is_withdrawn_first() {
    let mut world = World::bound();
    assert!(world.release("home"));
    assert!(world.alive().is_empty());
    let first = world.last().clone();
    assert_eq!((first.kind, &first.server, first.elapsed), (Release, &Some(server(1)), 0));
    assert_eq!(first.pd(HOME), Some(vec![A.to_owned()]));
    let (withdrawn, _) = world
        .reports
        .iter()
        .find(|(_, report)| {
            report.offers.iter().all(|offer| offer.valid_until.is_over(first.at) || offer.cut == Some(Cut::Withdrawn))
                && report.state != SourceState::Soliciting
                && report.state != SourceState::Requesting
        })
        .expect("a report without the prefix");
    assert!(*withdrawn <= first.at);
    world.run(secs(3600.0));
    let releases: Vec<_> = world.sent.iter().filter(|sent| sent.kind == Release).collect();
    // REL_MAX_RC is 4 (RFC 9915 §7.6), and MRC counts transmissions (§15); the row counts the first one extra.
    assert!((4..=5).contains(&releases.len()), "{}", releases.len());
    for sent in &releases {
        let hundredths = sent.at.saturating_since(first.at).as_millis() / 10;
        assert!(u128::from(sent.elapsed).abs_diff(hundredths) <= 1 && sent.xid == first.xid);
    }
    let gap = releases[1].at.saturating_since(releases[0].at).as_secs_f64();
    assert!((0.9..=1.1).contains(&gap), "{gap}");
    assert_eq!((world.last().kind, world.state()), (Release, SourceState::Released), "nothing is asked for afterwards");
}

#[test]
fn t093_only_what_is_released_is_in_the_release() {
    let mut world =
        World::bound_with(two(), |answer| answer.pd(HOME, 50, 80, &[(A, 100, 200)]).pd(LAB, 50, 80, &[(B, 100, 200)]));
    assert!(world.release("home"));
    assert!(!world.release("no-such-name"));
    assert_eq!(world.usable(), [B]);
    let release = world.sent.iter().find(|sent| sent.kind == Release).expect("a Release").clone();
    assert_eq!((release.iaids(), release.pd(HOME)), (vec![HOME], Some(vec![A.to_owned()])));
    let reply = Answer::to(&release, ServerMessage::Reply, 1);
    world.deliver(&reply);
    let renew = world.next_of(Renew);
    assert_eq!((renew.iaids(), renew.pd(LAB)), (vec![LAB], Some(vec![B.to_owned()])));
    world.reconfigure(two());
    let next = world.next();
    assert_eq!(next.pd(HOME).map(|_| next.kind == Release), Some(false), "a reload asks again: {next:?}");
}

#[test]
fn t094_any_reply_ends_a_release() {
    for status in [None, Some(NO_BINDING), Some(UNSPEC_FAIL)] {
        let mut world = World::bound();
        world.release("home");
        let reply = match status {
            Some(code) => world.reply().status(code).pd_status(HOME, code),
            None => world.reply(),
        };
        world.deliver(&reply);
        assert_eq!(world.state(), SourceState::Released, "{status:?}");
        let count = world.sent.len();
        world.run(secs(86_400.0));
        assert_eq!(world.sent.len(), count, "{status:?}");
    }
}

#[test]
fn t095_nothing_but_a_release_releases() {
    let mut world = World::bound();
    world.reconfigure(Settings { delegations: vec![delegation("lab", LAB)], ..settings() });
    world.run(secs(30.0));
    world.link(Some(down()));
    world.link(None);
    world.failure(Some("port 546 is taken".to_owned()));
    world.run(secs(30.0));
    // That there is no Release is checked for every message that is sent.
    assert!(world.sent.iter().all(|sent| sent.kind != Release));
    // The end of a daemon is the end of its client: it has no say in it.
    drop(world.client);
}

#[test]
fn t097_another_prefix_on_the_link_renews_early_and_not_too_often() {
    let mut world = World::bound_with(settings(), |answer| answer.pd(HOME, 18_000, 28_800, &[(A, 36_000, 72_000)]));
    world.advertised(&on_link(&["2001:db8:f:1::/64"]));
    world.run(secs(120.0));
    let count = world.sent.len();
    assert_eq!(world.last().kind, Request, "what is there at first is no change");
    world.advertised(&on_link(&["2001:db8:f:2::/64"]));
    let renew = world.sent_within(count, secs(30.0)).expect("a Renew within 30 s");
    assert_eq!(renew.kind, Renew);
    let reply = world.reply().pd(HOME, 18_000, 28_800, &[(A, 36_000, 72_000)]);
    world.deliver(&reply);
    let mut renewals = vec![renew.at];
    for number in 3..20 {
        let count = world.sent.len();
        world.advertised(&on_link(&[&format!("2001:db8:f:{number}::/64")]));
        if let Some(sent) = world.sent_within(count, secs(5.0)) {
            renewals.push(sent.at);
            let reply = world.reply().pd(HOME, 18_000, 28_800, &[(A, 36_000, 72_000)]);
            world.deliver(&reply);
        }
    }
    assert!(world.sent.len() > count + 1, "a later change renews again");
    for pair in renewals.windows(2) {
        assert!(pair[1].saturating_since(pair[0]) >= secs(30.0), "at most once in 30 s: {renewals:?}");
    }
    assert_eq!(world.offer(A).unwrap().valid_until, Deadline::At(*renewals.last().unwrap() + secs(72_000.0)));
}

#[test]
fn t098_a_flood_of_bad_replies() {
    let mut world = World::bound();
    world.next_of(Renew);
    let (count, notices) = (world.sent.len(), world.notices.len());
    let right = world.reply().pd(HOME, 50, 80, &[(A, 100, 200)]);
    for number in 0..10_000_u16 {
        let bytes = match number % 5 {
            0 => right.clone().with(|message| message.server_id = None).bytes(),
            1 => right.clone().with(|message| message.client_id = None).bytes(),
            2 => right.clone().with(|message| message.transaction_id[0] ^= 1).bytes(),
            3 => right.bytes().into_iter().take(usize::from(number % 50)).collect(),
            _ => world.reply().status(UNSPEC_FAIL).bytes(),
        };
        world.deliver_bytes(&bytes);
        world.run(secs(0.001));
    }
    // At most 20 messages in 20 s is checked for every message; ten seconds have passed.
    assert!(world.sent.len() - count <= 20);
    assert!(world.notices.len() - notices < 40, "told once for each reason: {:?}", world.notices.len());
    assert_eq!(world.alive(), [A]);
}

/// Without the limit, 80 messages and more would be sent in this time.
#[test]
fn t098_a_link_that_goes_up_and_down_is_within_the_limit() {
    let mut world = World::new();
    while world.now < START + secs(40.0) {
        world.link(Some(down()));
        world.link(Some(up()));
        // Each carrier lets it solicit within a second; each offer lets it request at once.
        if world.next_within(secs(1.0)).is_some_and(|sent| sent.kind == Solicit) {
            let answer = world.answer(ServerMessage::Advertise).preference(255);
            world.deliver(&answer.pd(HOME, 50, 80, &[(A, 100, 200)]));
        }
    }
    // At most 20 messages in 20 s is checked for every message.
    assert!((35..=60).contains(&world.sent.len()), "the limit was reached: {}", world.sent.len());
}
