//! Which prefix is current within one source, and what a loss does.

use super::world::*;
use crate::source::{Cut, SourceReport, SourceState};

const NOTHING: [&str; 0] = [];

#[test]
fn no_opinion_before_the_first_usable_prefix() {
    let mut world = World::new(by_ra());
    assert_eq!(world.state(), "no opinion");
    world.report(ra_on_eth0(), SourceState::Soliciting, &[]);
    assert_eq!(world.state(), "no opinion");
    world.report(ra_on_eth0(), SourceState::Silent, &[]);
    assert_eq!(world.state(), "no opinion");
    world.ra(&[deprecated("A", 3600)]);
    assert_eq!((world.state(), world.events()), ("no opinion".into(), vec![]));
    world.ra(&[pio("A", 1800, 3600)]);
    assert_eq!(world.state(), "A#1");
    assert_eq!(world.events(), ["acquired A"]);
}

#[test]
fn a_renewal_changes_the_lifetimes_and_nothing_else() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 60, 120)]);
    world.pass(50);
    world.ra(&[pio("A", 60, 120)]);
    world.pass(59);
    assert_eq!(world.state(), "A#1");
    assert_eq!(world.events(), ["acquired A"]);
    world.pass(1);
    assert_eq!(world.state(), "A#1 lost Deprecated");
    assert_eq!(world.events(), ["lost A: Deprecated"]);
}

#[test]
fn the_current_prefix_stays_beside_a_longer_one() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 1800, 3600)]);
    world.ra(&[pio("B", 86_400, 86_400), pio("A", 1800, 3600)]);
    assert_eq!(world.state(), "A#1");
    world.pass(1800);
    assert_eq!(world.state(), "B#2 | A draining");
}

#[test]
fn the_longest_preferred_lifetime_then_the_newest() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 600, 3600), pio("C", 1200, 1300), pio("B", 900, 7200)]);
    assert_eq!(world.state(), "C#1");

    let mut world = World::new(by_ra());
    world.ra(&[deprecated("A", 3600), deprecated("B", 3600)]);
    world.pass(10);
    let mut other = World::new(by_ra());
    other.ra(&[deprecated("A", 3600), deprecated("B", 3600)]);
    other.pass(10);
    world.ra(&[pio("A", 900, 900), pio("C", 900, 900), pio("B", 900, 900)]);
    assert_eq!(world.state(), "C#1", "first seen ten seconds after the others");
    other.ra(&[pio("A", 900, 900), pio("C", 900, 900), pio("B", 901, 901)]);
    assert_eq!(other.state(), "B#1", "the lifetime counts before that");
}

#[test]
fn between_equals_the_order_of_the_report_does_not_matter() {
    for pios in [[pio("A", 900, 900), pio("B", 900, 900)], [pio("B", 900, 900), pio("A", 900, 900)]] {
        let mut world = World::new(by_ra());
        world.ra(&pios);
        assert_eq!(world.state(), "A#1");
    }
}

#[test]
fn a_prefix_is_as_old_as_its_first_router() {
    let mut world = World::new(by_ra());
    world.ra(&[deprecated("A", 3600)]);
    world.pass(10);
    world.ra(&[deprecated("A", 3600), deprecated("B", 3600)]);
    world.pass(10);
    world.ra(&[pio("A", 900, 900), pio("A", 900, 900).from(2), pio("B", 900, 900)]);
    assert_eq!(world.state(), "B#1");
}

#[test]
fn a_deprecated_prefix_listed_first_never_wins() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 1800, 3600)]);
    world.ra(&[deprecated("A", 86_400), pio("B", 60, 120)]);
    assert_eq!(world.state(), "B#2 | A draining");
    assert_eq!(world.events(), ["acquired A", "acquired B after A"]);
}

/// Peers Q7 (systemd #13564): five old prefixes with preferred 0 in every advertisement.
#[test]
fn q7_a_router_that_keeps_listing_all_old_prefixes() {
    let mut world = World::new(by_ra());
    let old = ["A", "B", "C", "D", "E"].map(|prefix| deprecated(prefix, 7200));
    world.ra(&[&old[..], &[pio("F", 600, 1200)]].concat());
    assert_eq!(world.state(), "F#1");
    world.pass(600);
    assert_eq!(world.state(), "F#1 lost Deprecated", "none of the deprecated ones takes over");
}

/// Peers Q9 (odhcpd #387): the interface identifier changes, the prefix does not.
#[test]
fn q9_host_bits_do_not_make_a_new_prefix() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("2001:db8:a::1/64", 600, 1200)]);
    world.ra(&[pio("2001:db8:a:0:dead:beef::/64", 600, 1200)]);
    assert_eq!(world.state(), "A#1");
    assert_eq!(world.events(), ["acquired A"]);
}

/// Peers Q10 (odhcpd #387): a reconnect of 12 s that ends with the same prefix.
#[test]
fn q10_a_short_gap_withdraws_nothing() {
    let mut world = World::new(withdrawing());
    world.ra(&[pio("A", 1800, 3600)]);
    world.ra(&[deprecated("A", 3600)]);
    assert_eq!(world.state(), "A#1 lost Deprecated");
    world.pass(12);
    world.ra(&[pio("A", 1800, 3600)]);
    assert_eq!(world.state(), "A#1");
    assert_eq!(world.events(), ["acquired A", "lost A: Deprecated", "regained A"]);
}

/// Peers C14: a report that no longer mentions the prefix says nothing about it.
#[test]
fn c14_absence_alone_is_no_loss() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 1800, 3600)]);
    world.events();
    world.ra(&[]);
    assert_eq!((world.state(), world.events()), ("A#1".into(), vec![]));
    world.ra(&[pio("fd00::/64", 7200, 7200)]);
    assert_eq!(world.state(), "A#1");
    world.pass(1800);
    assert_eq!(world.state(), "A#1 lost Deprecated", "its own lifetime goes on");
}

/// Peers C21: valid 0 for the current prefix makes it lost at once, and dead when confirmed.
#[test]
fn c21_valid_zero() {
    let mut world = World::new(withdrawing());
    world.ra(&[pio("A", 1800, 3600)]);
    world.ra(&[pio("A", 0, 3600).cut(Cut::Deprecated)]);
    assert_eq!(world.state(), "A#1 lost Deprecated");
    world.ra(&[withdrawn("A")]);
    assert_eq!(world.state(), "nothing | A Dead");
    assert_eq!(world.events(), ["acquired A", "lost A: Deprecated", "withdrew A: Dead"]);
}

#[test]
fn a_loss_without_successor_keeps_the_prefix() {
    for lost in [unlisted("A", 3600), withdrawn("A")] {
        let mut world = World::new(by_ra());
        world.ra(&[pio("A", 1800, 3600)]);
        world.events();
        world.ra(std::slice::from_ref(&lost));
        world.ra(std::slice::from_ref(&lost));
        world.pass(100_000);
        assert!(world.state().starts_with("A#1 lost"), "{}", world.state());
        assert_eq!(world.events().len(), 1, "said once");
    }
}

#[test]
fn on_loss_withdraw_acts_on_a_confirmed_loss() {
    let mut world = World::new(withdrawing());
    world.ra(&[pio("A", 1800, 3600)]);
    world.ra(&[unlisted("A", 3600)]);
    assert_eq!(world.state(), "nothing | A Dead");
    assert_eq!(world.events(), ["acquired A", "withdrew A: Unlisted"]);
    world.ra(&[pio("A", 1800, 3600)]);
    assert_eq!(world.state(), "A#2", "nothing is in use, so the return does not wait");
}

#[test]
fn on_loss_withdraw_waits_for_the_valid_end_otherwise() {
    let mut world = World::new(withdrawing());
    world.ra(&[pio("A", 1800, 3600)]);
    world.pass(3599);
    assert_eq!(world.state(), "A#1 lost Deprecated");
    world.pass(1);
    assert_eq!(world.state(), "nothing | A Dead");
    assert_eq!(world.events(), ["acquired A", "lost A: Deprecated", "withdrew A: Dead"]);
}

#[test]
fn a_lost_prefix_that_its_source_forgets_stays_lost() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 1800, 3600)]);
    world.ra(&[pio("A", 1800, 3600).cut(Cut::Unlisted)]);
    assert_eq!(world.state(), "A#1 lost Unlisted");
    world.ra(&[]);
    assert_eq!(world.state(), "A#1 lost Unlisted");
}

#[test]
fn several_routers_keep_a_prefix_alive() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 1800, 3600), pio("A", 600, 7200).from(2)]);
    world.ra(&[unlisted("A", 3600), pio("A", 600, 7200).from(2), pio("B", 9000, 9000)]);
    assert_eq!(world.state(), "A#1");
    let current = world.arbiter.snapshot().and_then(|s| s.current.clone()).expect("a current prefix");
    assert_eq!(current.routers, [router(2)], "only those that stand behind it");
    assert_eq!(current.valid_until.remaining(world.now).map(|left| left.as_secs()), Some(7200), "the longest");
    world.ra(&[unlisted("A", 9000), pio("A", 600, 7200).from(2)]);
    let current = world.arbiter.snapshot().and_then(|s| s.current.clone()).expect("a current prefix");
    assert_eq!(current.valid_until.remaining(world.now).map(|left| left.as_secs()), Some(9000), "whoever says so");
    world.ra(&[unlisted("A", 3600), deprecated("A", 7200).from(2), pio("B", 9000, 9000)]);
    assert_eq!(world.state(), "B#2 | A draining");
}

#[test]
fn one_routers_withdrawal_is_not_confirmed_while_another_merely_deprecates() {
    let mut world = World::new(withdrawing());
    world.ra(&[pio("A", 1800, 3600), pio("A", 1800, 3600).from(2)]);
    world.ra(&[withdrawn("A"), deprecated("A", 3600).from(2)]);
    assert_eq!(world.state(), "A#1 lost Deprecated");
    world.ra(&[withdrawn("A"), withdrawn("A").from(2)]);
    assert_eq!(world.state(), "nothing | A Dead");
}

#[test]
fn only_the_routers_of_the_list_count() {
    let mut config = by_ra();
    config.acquisition.router_advertisement.as_mut().expect("by RA").routers = vec![router(1)];
    let mut world = World::new(config);
    world.ra(&[pio("B", 9000, 9000).from(2)]);
    assert_eq!(world.state(), "no opinion");
    world.ra(&[pio("B", 9000, 9000).from(2), pio("A", 60, 120)]);
    assert_eq!(world.state(), "A#1");
    world.ra(&[pio("B", 9000, 9000).from(2), pio("A", 9000, 9000).from(2), deprecated("A", 120)]);
    assert_eq!(world.state(), "A#1 lost Deprecated");
}

#[test]
fn several_64_of_one_delegation_are_one_prefix() {
    let mut config = by_ra();
    config.acquisition.router_advertisement.as_mut().expect("by RA").delegated_prefix_length = Some(56);
    let mut world = World::new(config);
    world.ra(&[pio("2001:db8:1:2001::/64", 600, 9000), pio("2001:db8:1:20ff::/64", 1200, 1800)]);
    assert_eq!(world.state(), "2001:db8:1:2000::/56#1");
    world.pass(600);
    assert_eq!(world.state(), "2001:db8:1:2000::/56#1", "the other one is still preferred");
    world.ra(&[unlisted("2001:db8:1:2001::/64", 8400), pio("2001:db8:1:2002::/64", 600, 600)]);
    assert_eq!(world.state(), "2001:db8:1:2000::/56#1", "another /64 of the same delegation");
    assert_eq!(world.events(), ["acquired 2001:db8:1:2000::/56"]);
}

#[test]
fn another_delegated_length_takes_over_at_once() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("2001:db8:1:2001::/64", 600, 9000)]);
    let mut config = by_ra();
    config.acquisition.router_advertisement.as_mut().expect("by RA").delegated_prefix_length = Some(56);
    world.arbiter.reconfigure(config, world.now);
    assert_eq!(world.state(), "2001:db8:1:2000::/56#2 | 2001:db8:1:2001::/64 draining");
}

#[test]
fn a_loss_that_is_told_is_told_again_only_when_it_is_withdrawn() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 1800, 3600)]);
    world.ra(&[unlisted("A", 3600)]);
    world.arbiter.reconfigure(withdrawing(), world.now);
    assert_eq!(world.state(), "nothing | A Dead");
    assert_eq!(world.events(), ["acquired A", "lost A: Unlisted", "withdrew A: Unlisted"]);
}

/// Peers C13 and C16.
#[test]
fn a_refused_prefix_is_told_once() {
    let mut world = World::new(by_ra());
    for _ in 0..3 {
        world.ra(&[pio("fd00::/64", 7200, 7200)]);
    }
    assert_eq!(world.state(), "no opinion");
    assert_eq!(world.events(), ["refused fd00::/64: NotGlobalUnicast"]);

    let mut config = by_ra();
    world.arbiter.reconfigure(config.clone(), world.now);
    assert_eq!(world.events(), NOTHING, "the same filter");
    config.acquisition.filter.allow = vec![net("A")];
    world.arbiter.reconfigure(config, world.now);
    assert_eq!(world.events(), ["refused fd00::/64: NotGlobalUnicast"], "another one");

    let mut config = by_ra();
    config.acquisition.filter.require_global_unicast = false;
    world.arbiter.reconfigure(config, world.now);
    assert_eq!(world.state(), "fd00::/64#1");
}

#[test]
fn a_flood_of_refused_prefixes_is_told_of_up_to_a_limit() {
    let mut world = World::new(by_ra());
    for number in 0..500 {
        world.ra(&[pio(&format!("fd00:0:0:{number:x}::/64"), 7200, 7200)]);
    }
    assert_eq!(world.events().len(), 64);
}

#[test]
fn a_filter_that_refuses_the_current_prefix_keeps_it_until_there_is_another() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 1800, 3600)]);
    let mut config = by_ra();
    config.acquisition.filter.allow = vec![net("B")];
    world.arbiter.reconfigure(config, world.now);
    assert_eq!(world.state(), "A#1 lost Refused");
    world.ra(&[pio("A", 1800, 3600), pio("B", 60, 120)]);
    assert_eq!(world.state(), "B#2 | A draining");

    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 1800, 3600)]);
    let mut config = by_ra();
    config.acquisition.filter.allow = vec![net("B")];
    world.arbiter.reconfigure(config, world.now);
    world.arbiter.reconfigure(by_ra(), world.now);
    assert_eq!(world.state(), "A#1");
}

/// RFC 6603: no range may touch them.
#[test]
fn excluded_parts_go_along_with_the_prefix() {
    let mut world = World::new(by_ra());
    let parts = ["2001:db8:a:0:8000::/65", "2001:db8:a::/80"].map(net);
    let mut offers =
        [pio("A", 1800, 3600), pio("A", 1800, 3600).from(2)].map(|pio| world.offer(&pio, ra_on_eth0().kind));
    offers[0].excluded = parts.to_vec();
    offers[1].excluded = vec![parts[1]];
    let report = SourceReport { offers: offers.into(), ..SourceReport::new(ra_on_eth0(), SourceState::Receiving) };
    world.arbiter.handle_report(&report, world.now);
    let snapshot = world.arbiter.snapshot().cloned().expect("an opinion");
    assert_eq!(snapshot.current.expect("current").excluded, [parts[1], parts[0]], "each once");
    world.ra(&[pio("B", 1800, 3600)]);
    let snapshot = world.arbiter.snapshot().cloned().expect("an opinion");
    assert_eq!(snapshot.history[0].excluded, [parts[1], parts[0]]);
    assert!(snapshot.current.expect("current").excluded.is_empty());
}

#[test]
fn spurious_calls_change_nothing() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 1800, 3600)]);
    world.ra(&[pio("A", 1800, 3600), deprecated("B", 60)]);
    world.events();
    let before = world.arbiter.snapshot().cloned();
    for _ in 0..10 {
        world.arbiter.handle_timeout(world.now);
    }
    assert_eq!(world.arbiter.snapshot().cloned(), before);
    assert_eq!(world.events(), NOTHING);
}

/// What another DynamicPrefix of the link had in use before a restart is no offer.
#[test]
fn a_former_prefix_is_not_told_as_refused() {
    let mut world = World::new(by_ra());
    world.ra(&[deprecated("fd00::/64", 600)]);
    assert!(world.events().is_empty());
    world.ra(&[pio("fd00::/64", 600, 600)]);
    assert_eq!(world.events(), ["refused fd00::/64: NotGlobalUnicast"]);
}
