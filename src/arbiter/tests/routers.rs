//! What the table of routers and the arbiter make together of what routers do.

use super::link::{Link, delegated};
use super::world::*;

#[test]
fn the_first_prefix_is_there_as_soon_as_the_router_answers() {
    let mut link = Link::new(by_ra());
    assert_eq!(link.state(), "no opinion");
    link.boots(1, &[("A", 1800, 7200)]);
    assert_eq!(link.state(), "A#1");
    link.pass(86_400);
    assert_eq!((link.state(), link.world.events()), ("A#1".into(), vec!["acquired A".to_owned()]));
}

/// Issue 3: current within 5 s, although it says nothing about the old prefix.
#[test]
fn a_rebooted_router_that_has_forgotten_the_old_prefix() {
    for quiet in [1, 60, 10_000] {
        let mut link = Link::new(by_ra());
        link.boots(1, &[("A", 86_400, 86_400)]);
        link.pass(quiet);
        link.boots(1, &[("B", 86_400, 86_400)]);
        link.pass(5);
        assert_eq!(link.state(), "B#2 | A draining", "after {quiet} s");
        link.pass(3600);
        assert_eq!(link.state(), "B#2 | A DrainPeriodOver");
    }
}

#[test]
fn one_forged_advertisement_takes_nothing_for_longer_than_the_router_needs_to_answer() {
    for forged in [("A", 0, 0), ("A", 0, 7200), ("B", 86_400, 86_400)] {
        let mut link = Link::new(withdrawing());
        link.boots(1, &[("A", 1800, 7200)]);
        link.pass(100);
        link.forge(1, &[forged]);
        assert!(link.state().starts_with("A#1"), "{forged:?}: {}", link.state());
        link.pass(1000);
        assert_eq!(link.state(), "A#1", "{forged:?}");
    }
}

/// With preferred lifetime 0 for the old prefix and a usable new one it is believed, as it has to be if the router
/// sent it; the router does not list the new one, so it goes again.
#[test]
fn a_forged_successor_goes_when_the_router_does_not_know_it() {
    let mut link = Link::new(by_ra());
    link.boots(1, &[("A", 1800, 7200)]);
    link.pass(100);
    link.forge(1, &[("A", 0, 0), ("B", 86_400, 86_400)]);
    assert_eq!(link.state(), "B#2 | A draining");
    link.pass(10);
    assert_eq!(link.state(), "A#3 | B draining");
}

#[test]
fn of_two_routers_one_dies() {
    let mut link = Link::new(by_ra());
    link.boots(1, &[("A", 1800, 7200)]);
    link.boots(2, &[("B", 1800, 7200)]);
    link.pass(60);
    assert_eq!(link.state(), "A#1");
    link.dies(1);
    link.pass(1739);
    assert_eq!(link.state(), "A#1", "its last word holds");
    link.pass(61);
    assert_eq!(link.state(), "B#2 | A draining");
    link.boots(1, &[("A", 1800, 7200)]);
    link.pass(60);
    assert_eq!(link.state(), "B#2 | A draining", "the current one stays while it is usable");
}

#[test]
fn one_prefix_of_two_routers_lives_while_one_of_them_lists_it() {
    let mut link = Link::new(withdrawing());
    link.boots(1, &[("A", 1800, 7200)]);
    link.boots(2, &[("A", 1800, 7200)]);
    link.boots(1, &[("B", 1800, 7200)]);
    link.pass(60);
    assert_eq!(link.state(), "A#1");
    link.boots(2, &[("B", 1800, 7200)]);
    link.pass(5);
    assert_eq!(link.state(), "B#2 | A draining");
}

/// radvd says farewell with preferred lifetime 0 (DeprecatePrefix) and comes back with the same or with another.
#[test]
fn a_router_that_is_stopped_and_started() {
    let mut link = Link::new(withdrawing());
    link.boots(1, &[("A", 1800, 7200)]);
    link.forge(1, &[("A", 0, 7200)]);
    link.dies(1);
    link.pass(600);
    assert_eq!(link.state(), "A#1 lost Deprecated");
    link.boots(1, &[("A", 1800, 7200)]);
    assert_eq!(link.state(), "A#1");
    link.forge(1, &[("A", 0, 7200)]);
    link.dies(1);
    link.pass(60);
    link.boots(1, &[("B", 1800, 7200)]);
    assert_eq!(link.state(), "B#2 | A draining");
}

#[test]
fn a_prefix_that_vanishes_is_withdrawn_at_its_valid_end_and_comes_back_at_once() {
    let mut link = Link::new(withdrawing());
    link.boots(1, &[("A", 1800, 7200)]);
    link.dies(1);
    link.pass(7199);
    assert_eq!(link.state(), "A#1 lost Deprecated");
    link.pass(1);
    assert_eq!(link.state(), "nothing | A Dead");
    link.boots(1, &[("A", 1800, 7200)]);
    assert_eq!(link.state(), "A#2");
}

/// DecrementLifetimes: the old one runs out by itself while the new one is there.
#[test]
fn lifetimes_that_only_shrink() {
    let mut link = Link::new(by_ra());
    link.boots(1, &[("A", 600, 1200)]);
    for left in (0..=5_u32).rev() {
        link.pass(100);
        let lists = [("A", left * 100, left * 100 + 600), ("B", 1800, 7200)];
        link.boots(1, &lists);
        let expected = if left > 0 { "A#1" } else { "B#2 | A draining" };
        assert_eq!(link.state(), expected, "{left}");
    }
    link.dies(1);
    link.pass(600);
    assert_eq!(link.state(), "B#2 | A Dead");
}

#[test]
fn the_subnets_of_a_delegation_come_and_go() {
    let mut link = Link::new(delegated(56));
    link.boots(1, &[("2001:db8:1:11::/64", 1800, 7200), ("2001:db8:1:12::/64", 600, 7200)]);
    assert_eq!(link.state(), "2001:db8:1::/56#1");
    link.boots(1, &[("2001:db8:1:13::/64", 1800, 7200)]);
    link.pass(10_000);
    assert_eq!(link.state(), "2001:db8:1::/56#1");
    link.boots(1, &[("2001:db8:2:13::/64", 1800, 7200), ("2001:db8:2:14::/64", 1800, 7200)]);
    link.pass(5);
    assert_eq!(link.state(), "2001:db8:2::/56#2 | 2001:db8:1::/56 draining");
}

#[test]
fn there_and_back_and_there_and_back() {
    let mut link = Link::new(by_ra());
    for (turn, prefix) in ["A", "B", "A", "B", "A", "B"].into_iter().enumerate() {
        link.boots(1, &[(prefix, 86_400, 86_400)]);
        link.pass(8);
        assert!(link.state().starts_with(&format!("{prefix}#{}", turn + 1)), "{}", link.state());
    }
    assert_eq!(link.state(), "B#6 | A draining", "each is there once");
}

#[test]
fn a_restart_finds_the_same_prefix_or_another() {
    let mut link = Link::new(by_ra());
    link.boots(1, &[("A", 86_400, 86_400)]);
    link.restart(60);
    link.pass(20);
    assert_eq!(link.state(), "A#1");
    link.restart(60);
    link.boots(1, &[("B", 86_400, 86_400)]);
    assert_eq!(link.state(), "A#1", "not by one word alone");
    link.pass(5);
    assert_eq!(link.state(), "B#2 | A draining");
}

#[test]
fn a_restart_finds_the_same_delegation_by_another_subnet_or_another_delegation() {
    let mut link = Link::new(delegated(56));
    link.boots(1, &[("2001:db8:1:11::/64", 86_400, 86_400)]);
    link.restart(60);
    link.boots(1, &[("2001:db8:1:12::/64", 86_400, 86_400)]);
    link.pass(60);
    assert_eq!(link.state(), "2001:db8:1::/56#1");
    link.restart(60);
    link.boots(1, &[("2001:db8:2:12::/64", 86_400, 86_400)]);
    assert_eq!(link.state(), "2001:db8:1::/56#1", "not by one word alone");
    link.pass(5);
    assert_eq!(link.state(), "2001:db8:2::/56#2 | 2001:db8:1::/56 draining");
}

/// What was stored may be long out of date: a refreshed lifetime writes nothing.
#[test]
fn a_restart_with_lifetimes_long_over() {
    let mut link = Link::new(withdrawing());
    link.boots(1, &[("A", 1800, 7200)]);
    link.dies(1);
    link.restart(100_000);
    assert_eq!(link.state(), "A#1 lost Dead");
    link.boots(1, &[("A", 1800, 7200)]);
    assert_eq!(link.state(), "A#1");
    link.dies(1);
    link.restart(100_000);
    link.pass(12);
    assert_eq!(link.state(), "A#1 lost Dead", "its router has not been asked in vain yet");
    link.pass(1);
    assert_eq!(link.state(), "nothing | A Dead");
}

#[test]
fn other_routers_by_reload() {
    let only = |number| {
        let mut config = by_ra();
        config.acquisition.router_advertisement.as_mut().expect("by_ra has one").routers = vec![router(number)];
        config
    };
    let mut link = Link::new(by_ra());
    link.boots(1, &[("A", 1800, 7200)]);
    link.boots(2, &[("B", 1800, 7200)]);
    link.pass(30);
    link.reload(only(2));
    assert_eq!(link.state(), "B#2 | A draining");
    link.reload(only(3));
    link.pass(60);
    assert_eq!(link.state(), "B#2 | A draining", "kept until there is another");
    link.boots(3, &[("C", 1800, 7200)]);
    assert_eq!(link.state(), "C#3 | B draining, A draining");
    link.reload(by_ra());
    link.pass(60);
    assert_eq!(link.state(), "C#3 | B draining, A draining");
}

#[test]
fn another_filter_by_reload() {
    let mut link = Link::new(by_ra());
    link.boots(1, &[("fd00:1::/64", 86_400, 86_400), ("A", 1800, 7200)]);
    assert_eq!(link.state(), "A#1");
    let mut config = by_ra();
    config.acquisition.filter.require_global_unicast = false;
    config.acquisition.filter.allow = vec![net("fd00::/8")];
    link.reload(config);
    assert_eq!(link.state(), "fd00:1::/64#2 | A draining");
}

#[test]
fn a_static_prefix_steps_in_and_back() {
    let mut link = Link::new(by_ra_or("C"));
    let fixed = crate::source::fixed(net("C"), link.world.now);
    link.world.arbiter.handle_report(&fixed, link.world.now);
    assert_eq!(link.state(), "no opinion", "the router is asked first");
    link.boots(1, &[("A", 1800, 7200)]);
    link.dies(1);
    link.pass(1800);
    assert_eq!(link.state(), "C#2 | A draining");
    link.boots(1, &[("B", 1800, 7200)]);
    assert_eq!(link.state(), "B#3 | C draining, A draining");
}
