//! Table A: finding servers (RFC 9915 §18.2.1, §18.2.9).

use super::answer::*;
use super::world::*;
use crate::source::dhcpv6::wire::{ClientMessage, ServerMessage};
use crate::source::dhcpv6::{Delegation, Memory, Settings};
use crate::source::link::LinkState;
use crate::source::{Advertised, SourceState};

use ClientMessage::{Request, Solicit};
use ServerMessage::{Advertise, Reply};

/// Earliest and latest times of the Solicits after the first, in seconds (reference §1.2).
const TIMES: [(f64, f64); 7] =
    [(1.0, 1.1), (2.9, 3.41), (6.51, 8.26), (13.38, 18.45), (26.40, 39.82), (51.16, 84.77), (98.2, 179.1)];

/// That the Solicits from `from` on are sent at the times of the table.
fn follow_the_table(world: &World, from: usize) {
    let first = world.sent[from].at;
    for (number, (sent, (earliest, latest))) in world.sent.iter().skip(from + 1).zip(TIMES).enumerate() {
        assert_eq!(sent.kind, Solicit);
        let time = sent.at.saturating_since(first).as_secs_f64();
        assert!((earliest..=latest).contains(&time), "Solicit {}: {time} s after the first", number + 2);
    }
}

/// That the gaps of the last hour lie in this range.
fn steady(world: &World, earliest: f64, latest: f64) {
    let gaps = world.gaps(0);
    for gap in gaps.iter().rev().take(3) {
        assert!((earliest..=latest).contains(gap), "steady gaps: {gaps:?}");
    }
}

fn offer(world: &World) -> Answer {
    world.answer(Advertise).pd(HOME, 50, 80, &[(A, 100, 200)])
}

/// Delivers an Advertise after the first Solicit and expects that nothing follows from it.
fn ignored(make: impl Fn(&World) -> Answer) -> World {
    let mut world = World::soliciting(settings());
    world.run(secs(0.2));
    let answer = make(&world);
    world.deliver(&answer);
    world.run(secs(60.0));
    assert!(world.kinds().iter().all(|kind| *kind == Solicit), "{:?}", world.kinds());
    follow_the_table(&world, 0);
    world
}

#[test]
fn t001_a_start_sends_a_solicit() {
    let mut world = World::new();
    let sent = world.next_of(Solicit);
    assert_eq!((sent.elapsed, &sent.server), (0, &None));
    assert_eq!(sent.message.client_id, our_duid());
    assert!(sent.asks_for(82));
    assert_eq!(sent.message.delegations, [(HOME, vec![])]);
    assert!(sent.message.addresses.is_empty() && sent.message.raw_options.is_empty());
    assert!(!sent.message.rapid_commit && !sent.message.reconfigure_accept);
    assert_eq!(world.state(), SourceState::Soliciting);
}

#[test]
fn t002_solicits_follow_the_table() {
    for seed in 0..1000 {
        let mut world = World::seeded(settings(), seed);
        for _ in 0..8 {
            world.next_of(Solicit);
        }
        follow_the_table(&world, 0);
        assert!(world.gaps(0)[0] > 1.0, "RAND of the first Solicit is above 0 (RFC 9915 §18.2.1)");
    }
}

#[test]
fn t003_solicits_go_on_once_an_hour() {
    let mut world = World::new();
    world.run(secs(10.0 * 3600.0));
    steady(&world, 3240.0, 3960.0);
}

#[test]
fn t004_the_first_solicit_is_delayed_by_up_to_a_second() {
    let mut tenths = [0; 10];
    for seed in 0..1000 {
        let sent = World::seeded(settings(), seed).next_of(Solicit);
        let delay = sent.at.saturating_since(START).as_millis();
        assert!(delay <= 1000, "{delay} ms");
        tenths[usize::try_from(delay / 100).unwrap().min(9)] += 1;
    }
    assert!(tenths.iter().all(|count| (50..=150).contains(count)), "spread evenly: {tenths:?}");
}

#[test]
fn t005_the_option_request_option_has_no_forbidden_code() {
    let requested = Settings { reconfigure: true, rapid_commit: true, request_address: true, ..settings() };
    for settings in [settings(), requested] {
        let sent = World::with(settings).next_of(Solicit);
        assert!(sent.asks_for(82));
        for code in [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 18, 19, 20, 25, 26, 32] {
            assert!(!sent.asks_for(code), "{code} in {:?}", sent.message.option_request);
        }
    }
}

/// Ten hours after an Advertise that offers nothing.
fn long_after(make: impl Fn(&World) -> Answer) -> World {
    let mut world = World::soliciting(settings());
    let answer = make(&world);
    world.deliver(&answer);
    world.run(secs(10.0 * 3600.0));
    assert!(world.kinds().iter().all(|kind| *kind == Solicit));
    world
}

#[test]
fn t006_sol_max_rt_is_honoured_without_an_offer() {
    let world = long_after(|world| world.answer(Advertise).sol_max_rt(300).status(NO_PREFIX_AVAIL));
    steady(&world, 270.0, 330.0);
    assert_eq!(world.memory().sol_max_rt, Some(300));
}

#[test]
fn t007_sol_max_rt_below_60_is_ignored() {
    let world = long_after(|world| world.answer(Advertise).sol_max_rt(45).status(NO_PREFIX_AVAIL));
    follow_the_table(&world, 0);
    steady(&world, 3240.0, 3960.0);
    assert_eq!(world.memory().sol_max_rt, None);
}

#[test]
fn t008_sol_max_rt_above_a_day_is_ignored() {
    let world = long_after(|world| world.answer(Advertise).sol_max_rt(87_000).status(NO_PREFIX_AVAIL));
    steady(&world, 3240.0, 3960.0);
    assert_eq!(world.memory().sol_max_rt, None);
}

#[test]
fn t009_sol_max_rt_is_honoured_beside_errors() {
    let world = long_after(|world| {
        let answer = world.answer(Advertise).sol_max_rt(400).status(NO_ADDRS_AVAIL);
        answer.pd_status(HOME, NO_PREFIX_AVAIL).na_status(1, NO_ADDRS_AVAIL)
    });
    steady(&world, 360.0, 440.0);
}

#[test]
fn sol_max_rt_on_which_servers_disagree_is_ignored() {
    let mut world = World::soliciting(settings());
    for (number, seconds) in [(1, 300), (2, 400)] {
        let answer = world.answer(Advertise).from(number).sol_max_rt(seconds).status(NO_PREFIX_AVAIL);
        world.deliver(&answer);
    }
    world.run(secs(10.0 * 3600.0));
    steady(&world, 3240.0, 3960.0);
}

#[test]
fn t010_elapsed_time_counts_hundredths_of_a_second() {
    let mut world = World::new();
    world.run(secs(3600.0));
    let first = world.sent[0].at;
    for sent in &world.sent {
        let hundredths = u16::try_from(sent.at.saturating_since(first).as_millis() / 10).unwrap_or(u16::MAX);
        assert!(sent.elapsed.abs_diff(hundredths) <= 1, "{} and not {hundredths}", sent.elapsed);
        assert_eq!(sent.xid, world.sent[0].xid);
    }
    assert_eq!(world.last().elapsed, u16::MAX);
    assert!(world.sent.iter().filter(|sent| sent.elapsed < u16::MAX).count() >= 8);
}

#[test]
fn t011_the_identity_survives_a_restart_and_another_network_card() {
    let automatic = Settings { delegations: vec![Delegation { iaid: None, ..delegation("home", 0) }], ..settings() };
    let mut world = World::with(automatic.clone());
    let before = world.next_of(Solicit);
    for mac in [Some([2, 0, 0, 0, 0, 1]), Some([2, 9, 9, 9, 9, 9]), None] {
        let mut again = World::absent(automatic.clone(), world.memory(), 99, START + secs(5.0));
        again.link(Some(LinkState { mac, ..up() }));
        let after = again.next_of(Solicit);
        assert_eq!(after.message.client_id, before.message.client_id);
        assert_eq!(after.iaids(), before.iaids());
    }
    // Without any memory, the IAID still is that of the name.
    let forgotten = World::started(automatic, Memory::new(our_duid()), 5, START).next_of(Solicit);
    assert_eq!(forgotten.iaids(), before.iaids());
}

#[test]
fn t012_an_advertise_without_prefixes_for_us_is_ignored() {
    ignored(|world| world.answer(Advertise).status(NO_PREFIX_AVAIL));
    ignored(|world| world.answer(Advertise).pd_status(HOME, NO_PREFIX_AVAIL));
}

#[test]
fn t013_an_advertise_of_a_server_without_delegation_is_ignored() {
    ignored(|world| world.answer(Advertise).status(NO_ADDRS_AVAIL));
}

#[test]
fn t014_an_advertise_with_an_empty_ia_pd_is_ignored() {
    ignored(|world| world.answer(Advertise).pd(HOME, 50, 80, &[]));
    ignored(|world| world.answer(Advertise).preference(255).pd(HOME, 50, 80, &[]));
}

#[test]
fn t015_an_advertise_without_server_id_is_ignored_and_told() {
    let world = ignored(|world| offer(world).preference(255).with(|message| message.server_id = None));
    assert_eq!(world.dropped(), 1, "{:?}", world.notices);
}

#[test]
fn t016_an_advertise_without_client_id_is_ignored() {
    ignored(|world| offer(world).preference(255).with(|message| message.client_id = None));
}

#[test]
fn t017_an_advertise_for_another_client_is_ignored() {
    ignored(|world| offer(world).preference(255).with(|message| message.client_id = Some(server(77))));
}

#[test]
fn t018_an_advertise_of_another_exchange_is_ignored() {
    ignored(|world| offer(world).preference(255).with(|message| message.transaction_id[1] ^= 1));
}

#[test]
fn t019_offers_are_collected_until_the_first_retransmission_time() {
    let mut world = World::soliciting(settings());
    let solicited = world.now;
    world.run(secs(0.3));
    let answer = offer(&world);
    world.deliver(&answer);
    assert_eq!(world.sent.len(), 1);
    let request = world.next_of(Request);
    let waited = request.at.saturating_since(solicited).as_secs_f64();
    assert!(waited > 1.0 && waited <= 1.1, "{waited}");
}

#[test]
fn t020_the_first_offer_after_it_is_taken_at_once() {
    let mut world = World::soliciting(settings());
    world.next_of(Solicit);
    world.run(secs(0.3));
    let answer = offer(&world);
    world.deliver(&answer);
    assert_eq!((world.last().kind, world.last().at), (Request, world.now));
}

#[test]
fn t021_preference_255_is_taken_at_once() {
    let mut world = World::soliciting(settings());
    world.run(secs(0.1));
    let answers = [offer(&world).preference(254), offer(&world).from(2).preference(255)];
    answers.iter().for_each(|answer| world.deliver(answer));
    assert_eq!((world.last().kind, world.last().at), (Request, world.now));
    assert_eq!(world.last().server, Some(server(2)));
}

#[test]
fn t022_the_highest_preference_wins() {
    for order in [[(1, 5), (2, 10)], [(2, 10), (1, 5)]] {
        let mut world = World::soliciting(settings());
        for (number, preference) in order {
            let answer = offer(&world).from(number).preference(preference);
            world.deliver(&answer);
        }
        assert_eq!(world.next_of(Request).server, Some(server(2)));
    }
}

#[test]
fn t023_prefixes_count_more_than_preference() {
    let mut world = World::soliciting(settings());
    let empty = world.answer(Advertise).preference(10).pd_status(HOME, NO_PREFIX_AVAIL);
    world.deliver(&empty);
    let full = offer(&world).from(2);
    world.deliver(&full);
    assert_eq!(world.next_of(Request).server, Some(server(2)));
}

#[test]
fn t024_the_request_repeats_what_was_offered() {
    for offered in ["2001:db8:a00::/56", "2001:db8:a00::/64"] {
        let home = Delegation { requested_length: Some(60), ..delegation("home", HOME) };
        let mut world = World::soliciting(Settings { delegations: vec![home], ..settings() });
        assert_eq!(world.last().pd(HOME), Some(vec!["::/60".to_owned()]));
        let answer = world.answer(Advertise).preference(255).pd(HOME, 50, 80, &[(offered, 100, 200)]);
        world.deliver(&answer);
        let request = world.last().clone();
        assert_eq!(request.kind, Request);
        assert!(request.pd(HOME).unwrap().contains(&offered.to_owned()), "{request:?}");
        let reply = world.reply().pd(HOME, 50, 80, &[(offered, 100, 200)]);
        world.deliver(&reply);
        assert_eq!(world.usable(), [offered]);
    }
}

fn rapid() -> World {
    let world = World::soliciting(Settings { rapid_commit: true, ..settings() });
    assert!(world.last().message.rapid_commit);
    world
}

#[test]
fn t025_rapid_commit_binds_at_once() {
    let mut world = rapid();
    let reply = world.reply().pd(HOME, 50, 80, &[(A, 100, 200)]);
    world.deliver(&reply);
    assert_eq!(world.state(), SourceState::Soliciting, "a Reply without Rapid Commit option (RFC 9915 §18.2.1)");
    let reply = reply.with(|message| message.rapid_commit = true);
    world.deliver(&reply);
    assert_eq!((world.state(), world.usable()), (SourceState::Bound, vec![A.to_owned()]));
    assert_eq!(world.next().kind, ClientMessage::Renew);
}

#[test]
fn t025_an_advertise_is_still_good_with_rapid_commit_on() {
    let mut world = rapid();
    let answer = offer(&world);
    world.deliver(&answer);
    assert!(!world.next_of(Request).message.rapid_commit, "only in Solicit (RFC 9915 §21.14)");
}

#[test]
fn t026_rapid_commit_without_prefix_goes_on_soliciting() {
    let mut world = rapid();
    let reply = world.reply().pd_status(HOME, NO_PREFIX_AVAIL).with(|message| message.rapid_commit = true);
    world.deliver(&reply);
    world.run(secs(60.0));
    assert!(world.kinds().iter().all(|kind| *kind == Solicit));
    follow_the_table(&world, 0);
}

#[test]
fn t027_a_reply_to_a_solicit_is_ignored_without_rapid_commit() {
    let world = ignored(|world| {
        let reply = world.answer(Reply).pd(HOME, 50, 80, &[(A, 100, 200)]);
        reply.with(|message| message.rapid_commit = true)
    });
    assert!(world.alive().is_empty());
}

#[test]
fn t028_a_router_can_be_required() {
    let mut world = World::with(Settings { require_router_advertisement: true, ..settings() });
    world.run(secs(600.0));
    assert!(world.sent.is_empty());
    assert_eq!(world.state(), SourceState::AwaitingRouter);
    world.advertised(&on_link(&["2001:db8:f::/64"]));
    world.run(secs(600.0));
    assert!(world.sent.is_empty(), "neither M nor O");
    world.advertised(&Advertised { dhcpv6: true, ..on_link(&["2001:db8:f::/64"]) });
    assert!(world.next_within(secs(1.0)).is_some_and(|sent| sent.kind == Solicit));
}

#[test]
fn t029_no_router_is_needed_by_default() {
    let mut world = World::new();
    assert!(world.next_within(secs(1.0)).is_some_and(|sent| sent.kind == Solicit));
}

#[test]
fn t030_a_carrier_resets_the_back_off() {
    let mut world = World::new();
    world.run(secs(10.0 * 3600.0));
    let count = world.sent.len();
    world.link(Some(down()));
    assert_eq!(world.state(), SourceState::LinkDown);
    world.run(secs(7200.0));
    assert_eq!(world.sent.len(), count, "nothing is sent without a carrier");
    world.link(Some(up()));
    let first = world.next_within(secs(1.0)).expect("a Solicit within a second");
    assert_eq!((first.kind, first.elapsed), (Solicit, 0));
    for _ in 0..7 {
        world.next_of(Solicit);
    }
    follow_the_table(&world, count);
}
