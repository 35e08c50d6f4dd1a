//! Rank between sources, and damping of the way back.

use std::time::Duration;

use super::world::*;
use crate::source::SourceState::{Configured, Failed, LinkDown, Receiving, Silent, Soliciting};

const FOREVER: u32 = u32::MAX;

#[test]
fn a_lower_source_waits_until_the_higher_one_has_asked() {
    let mut world = World::new(by_ra_or("B"));
    world.report(fixed(), Configured, &[pio("B", FOREVER, FOREVER)]);
    assert_eq!(world.state(), "no opinion", "the higher one has not spoken");
    world.report(ra_on_eth0(), Soliciting, &[]);
    assert_eq!(world.state(), "no opinion", "it is asking");
    world.report(ra_on_eth0(), Silent, &[]);
    assert_eq!(world.state(), "B#1");
}

#[test]
fn every_settled_state_lets_the_lower_source_in() {
    for state in [Silent, LinkDown, Failed("no permission".into()), Receiving] {
        let mut world = World::new(by_ra_or("B"));
        world.report(fixed(), Configured, &[pio("B", FOREVER, FOREVER)]);
        world.report(ra_on_eth0(), state, &[deprecated("A", 600)]);
        assert_eq!(world.state(), "B#1");
    }
}

#[test]
fn the_higher_source_takes_over_at_once() {
    let mut world = World::new(by_ra_or("B"));
    world.report(ra_on_eth0(), Silent, &[]);
    world.report(fixed(), Configured, &[pio("B", FOREVER, FOREVER)]);
    world.ra(&[pio("A", 60, 120)]);
    assert_eq!(world.state(), "A#2 | B draining");
}

#[test]
fn a_higher_source_that_asks_again_does_not_unseat_the_lower_one() {
    let mut world = World::new(by_ra_or("B"));
    world.report(ra_on_eth0(), LinkDown, &[]);
    world.report(fixed(), Configured, &[pio("B", FOREVER, FOREVER)]);
    world.events();
    world.report(ra_on_eth0(), Soliciting, &[]);
    assert_eq!((world.state(), world.events()), ("B#1".into(), vec![]));
    world.report(fixed(), Configured, &[pio("C", FOREVER, FOREVER)]);
    assert_eq!(world.state(), "C#2 | B draining", "its own source goes on counting");
}

#[test]
fn a_lost_prefix_waits_for_the_higher_source_that_asks() {
    let mut world = World::new(by_ra_or("B"));
    world.report(fixed(), Configured, &[pio("B", FOREVER, FOREVER)]);
    world.ra(&[pio("A", 60, 120)]);
    world.report(ra_on_eth0(), Soliciting, &[deprecated("A", 120)]);
    assert_eq!(world.state(), "A#1 lost Deprecated");
    world.report(ra_on_eth0(), Silent, &[deprecated("A", 120)]);
    assert_eq!(world.state(), "B#2 | A draining");
}

#[test]
fn the_same_prefix_from_another_source_keeps_its_generation() {
    let mut world = World::new(by_ra_or("A"));
    world.report(ra_on_eth0(), Silent, &[]);
    world.report(fixed(), Configured, &[pio("A", FOREVER, FOREVER)]);
    world.ra(&[pio("A", 60, 120), pio("B", 9000, 9000)]);
    assert_eq!(world.state(), "A#1", "current already, and usable in the higher source");
    let source = world.arbiter.snapshot().and_then(|s| s.current.as_ref()).map(|current| current.source.clone());
    assert_eq!(source, Some(ra_on_eth0()));
    world.ra(&[deprecated("A", 120), deprecated("B", 9000)]);
    assert_eq!(world.state(), "A#1", "the lower source still stands by it");
    assert_eq!(world.events(), ["acquired A"]);
}

#[test]
fn a_source_that_is_not_configured_is_not_heard() {
    let mut world = World::new(by_ra());
    world.report(fixed(), Configured, &[pio("B", FOREVER, FOREVER)]);
    world.report(ra_on_eth0(), Silent, &[]);
    assert_eq!(world.state(), "no opinion");
}

#[test]
fn a_prefix_of_a_source_gone_from_the_configuration_stays_until_there_is_another() {
    let mut world = World::new(by_ra_or("B"));
    world.ra(&[pio("A", 1800, 3600)]);
    let mut config = by_ra_or("B");
    config.acquisition.router_advertisement = None;
    world.arbiter.reconfigure(config, world.now);
    assert_eq!(world.state(), "A#1");
    world.report(fixed(), Configured, &[pio("B", FOREVER, FOREVER)]);
    assert_eq!(world.state(), "B#2 | A draining");
}

#[test]
fn a_source_that_left_the_configuration_has_to_speak_again() {
    let mut world = World::new(by_ra_or("B"));
    world.ra(&[pio("A", 1800, 3600)]);
    world.report(fixed(), Configured, &[pio("B", FOREVER, FOREVER)]);
    let mut config = by_ra_or("B");
    config.acquisition.router_advertisement = None;
    world.arbiter.reconfigure(config, world.now);
    assert_eq!(world.state(), "B#2 | A draining");
    world.arbiter.reconfigure(by_ra_or("B"), world.now);
    world.pass(600);
    assert_eq!(world.state(), "B#2 | A draining", "what it said before is forgotten");
}

#[test]
fn a_prefix_of_a_router_no_longer_listened_to_stays_until_there_is_another() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 1800, 3600)]);
    let mut config = by_ra();
    config.acquisition.router_advertisement.as_mut().expect("by RA").routers = vec![router(2)];
    world.arbiter.reconfigure(config, world.now);
    assert_eq!(world.state(), "A#1");
    world.ra(&[pio("A", 1800, 3600), pio("B", 60, 120).from(2)]);
    assert_eq!(world.state(), "B#2 | A draining");
}

#[test]
fn another_static_prefix_takes_over_at_once() {
    let mut config = by_ra_or("A");
    config.acquisition.router_advertisement = None;
    let mut world = World::new(config.clone());
    world.report(fixed(), Configured, &[pio("A", FOREVER, FOREVER)]);
    config.acquisition.fixed = Some(net("B"));
    world.arbiter.reconfigure(config, world.now);
    world.report(fixed(), Configured, &[pio("B", FOREVER, FOREVER)]);
    assert_eq!(world.state(), "B#2 | A draining");
}

/// A from the router comes and goes; B is the static prefix behind it.
fn flapping() -> World {
    let mut world = World::new(by_ra_or("B"));
    world.report(fixed(), Configured, &[pio("B", FOREVER, FOREVER)]);
    world.ra(&[pio("A", 1800, 3600)]);
    world
}

#[test]
fn each_return_waits_twice_as_long() {
    let mut world = flapping();
    for delay in [5, 10, 20, 40, 80, 160, 300] {
        world.ra(&[deprecated("A", 3600)]);
        assert!(world.state().starts_with("B#"), "leaving an unusable prefix never waits");
        world.ra(&[pio("A", 1800, 3600)]);
        world.pass(delay - 1);
        assert!(world.state().starts_with("B#"), "{delay} s are not over");
        world.pass(1);
        assert!(world.state().starts_with("A#"), "{delay} s are over");
    }
}

#[test]
fn the_delay_is_forgotten_after_ten_quiet_minutes() {
    let mut world = flapping();
    world.ra(&[deprecated("A", 3600)]);
    world.ra(&[pio("A", 1800, 3600)]);
    world.pass(5);
    assert!(world.state().starts_with("A#3"));
    world.pass(600);
    world.ra(&[deprecated("A", 3600)]);
    world.ra(&[pio("A", 1800, 3600)]);
    world.pass(5);
    assert!(world.state().starts_with("A#5"), "again only 5 s");
}

#[test]
fn a_prefix_that_was_current_long_ago_returns_at_once() {
    let mut world = flapping();
    world.ra(&[deprecated("A", 3600)]);
    world.pass(600);
    world.ra(&[pio("A", 1800, 3600)]);
    assert_eq!(world.state(), "A#3 | B draining");
}

#[test]
fn a_prefix_that_was_never_current_does_not_wait() {
    let mut world = flapping();
    world.ra(&[deprecated("A", 3600)]);
    world.ra(&[deprecated("A", 3600), pio("C", 1800, 3600)]);
    assert!(world.state().starts_with("C#3"));
}

#[test]
fn the_wait_ends_when_the_present_prefix_fails() {
    let mut world = flapping();
    world.ra(&[deprecated("A", 3600)]);
    world.ra(&[pio("A", 1800, 3600)]);
    assert!(world.state().starts_with("B#2"));
    world.report(fixed(), Configured, &[deprecated("B", 3600)]);
    assert!(world.state().starts_with("A#3"));
}

#[test]
fn the_wait_starts_anew_when_the_prefix_goes_away_meanwhile() {
    let mut world = flapping();
    world.ra(&[deprecated("A", 3600)]);
    for _ in 0..20 {
        world.ra(&[pio("A", 1800, 3600)]);
        world.pass(4);
        world.ra(&[deprecated("A", 3600)]);
        world.pass(1);
        assert!(world.state().starts_with("B#2"), "it never stood for 5 s");
    }
}

#[test]
fn each_prefix_waits_for_itself() {
    let mut world = flapping();
    world.ra(&[deprecated("A", 3600), pio("C", 1800, 3600)]);
    world.ra(&[deprecated("A", 3600), deprecated("C", 3600)]);
    assert!(world.state().starts_with("B#3"));
    world.ra(&[pio("A", 1800, 3600), deprecated("C", 3600)]);
    world.pass(3);
    world.ra(&[deprecated("A", 3600), pio("C", 1800, 3600)]);
    world.pass(4);
    assert!(world.state().starts_with("B#3"), "A has waited three seconds and C four");
    world.pass(1);
    assert!(world.state().starts_with("C#4"));
}

#[test]
fn a_wait_that_is_pointless_wakes_nobody() {
    let mut world = flapping();
    world.ra(&[deprecated("A", 3600)]);
    world.ra(&[pio("A", 1800, 3600)]);
    assert_eq!(world.arbiter.poll_timeout(), Some(world.now + Duration::from_secs(5)));
    world.ra(&[deprecated("A", 3600), pio("C", 1800, 3600)]);
    assert!(world.state().starts_with("C#3"));
    assert_eq!(world.arbiter.poll_timeout(), Some(world.now + Duration::from_secs(1800)));
}

#[test]
fn the_present_prefix_is_usable_while_another_waits() {
    let mut world = flapping();
    world.ra(&[deprecated("A", 3600)]);
    let mut strict = by_ra_or("B");
    strict.acquisition.filter.allow = vec![net("F")];
    world.arbiter.reconfigure(strict, world.now);
    assert!(world.state().starts_with("B#2 lost Refused"));
    world.ra(&[pio("A", 1800, 3600)]);
    world.arbiter.reconfigure(by_ra_or("B"), world.now);
    assert_eq!(world.state(), "B#2 | A draining", "not lost any more");
    world.pass(5);
    assert!(world.state().starts_with("A#3"));
}
