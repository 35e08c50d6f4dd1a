//! What a former run knew.

use super::world::*;
use crate::arbiter::{Arbiter, Generation, Restored};
use crate::source::SourceState::{Receiving, Silent, Soliciting};
use crate::time::Instant;

fn with_a() -> World {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 1800, 3600)]);
    world
}

#[test]
fn a_stored_prefix_is_an_opinion() {
    let mut world = with_a();
    world.restart(by_ra(), 60);
    assert_eq!((world.state(), world.events()), ("A#1".into(), vec![]));
    assert_eq!(world.arbiter.last_generation(), Generation(1));
}

#[test]
fn an_empty_store_is_none() {
    let now = Instant::from_secs(5);
    let restored = Restored { last_generation: Generation(9), ..Restored::default() };
    let mut world = World::new(by_ra());
    world.arbiter = Arbiter::new(by_ra(), Some(restored), now);
    assert_eq!(world.state(), "no opinion");
    world.ra(&[pio("A", 1800, 3600)]);
    assert_eq!(world.state(), "A#10", "numbers are never given twice");
}

#[test]
fn publish_nothing_is_an_opinion_too() {
    let mut world = World::new(withdrawing());
    world.ra(&[pio("A", 1800, 3600)]);
    world.ra(&[unlisted("A", 3600)]);
    world.restart(withdrawing(), 60);
    assert_eq!(world.state(), "nothing | A Dead");
}

#[test]
fn the_timers_go_on() {
    let mut world = with_a();
    world.ra(&[deprecated("A", 7200), pio("B", 43_200, 86_400)]);
    world.restart(by_ra(), 1800);
    assert_eq!(world.state(), "B#2 | A draining");
    world.pass(1800);
    assert_eq!(world.state(), "B#2 | A DrainPeriodOver");
}

#[test]
fn what_was_due_while_we_were_down_happens_at_the_start() {
    let mut world = with_a();
    world.ra(&[deprecated("A", 7200), pio("B", 1800, 3600)]);
    world.events();
    world.restart(by_ra(), 100_000);
    assert_eq!(world.state(), "B#2 lost Dead | A Dead");
    assert_eq!(world.events(), ["lost B: Dead", "drained A: Dead"]);
    world.restart(by_ra(), 1);
    assert!(world.events().is_empty(), "a known loss is not told again");
}

#[test]
fn a_prefix_replaced_while_we_were_down_is_retired_by_the_first_report() {
    let mut world = with_a();
    world.restart(by_ra(), 60);
    world.report(ra_on_eth0(), Soliciting, &[]);
    assert_eq!(world.state(), "A#1");
    world.ra(&[pio("B", 1800, 3600)]);
    assert_eq!(world.state(), "B#2 | A draining");
}

#[test]
fn another_router_that_speaks_first_does_not_retire_it() {
    let mut world = with_a();
    world.restart(by_ra(), 60);
    world.ra(&[pio("B", 9000, 9000).from(2)]);
    assert_eq!(world.state(), "A#1");
    world.ra(&[pio("B", 9000, 9000).from(2), pio("A", 1800, 3600)]);
    assert_eq!(world.state(), "A#1");
}

#[test]
fn nothing_is_withdrawn_before_the_source_has_asked() {
    let mut world = World::new(withdrawing());
    world.ra(&[pio("A", 1800, 3600)]);
    world.restart(withdrawing(), 10_000);
    assert_eq!(world.state(), "A#1 lost Dead");
    world.report(ra_on_eth0(), Soliciting, &[]);
    assert_eq!(world.state(), "A#1 lost Dead");
    let mut renewed = World::new(withdrawing());
    renewed.ra(&[pio("A", 1800, 3600)]);
    renewed.restart(withdrawing(), 10_000);
    renewed.report(ra_on_eth0(), Receiving, &[pio("A", 1800, 3600)]);
    assert_eq!(renewed.state(), "A#1", "it was renewed all the time");
    world.report(ra_on_eth0(), Silent, &[]);
    assert_eq!(world.state(), "nothing | A Dead");
}

#[test]
fn a_restored_prefix_is_not_displaced_by_a_lower_source_before_its_own_has_asked() {
    let mut world = World::new(by_ra_or("B"));
    world.ra(&[pio("A", 1800, 3600)]);
    world.restart(by_ra_or("B"), 60);
    world.report(fixed(), crate::source::SourceState::Configured, &[pio("B", u32::MAX, u32::MAX)]);
    assert_eq!(world.state(), "A#1");
    world.report(ra_on_eth0(), Silent, &[]);
    assert_eq!(world.state(), "A#1", "silence is no loss");
    world.pass(1800);
    assert_eq!(world.state(), "B#2 | A draining");
}

#[test]
fn another_configuration_applies_to_the_stored_drains() {
    let mut world = with_a();
    world.ra(&[deprecated("A", 7200), pio("B", 43_200, 86_400)]);
    let mut config = by_ra();
    config.transition.drain_period = Some(std::time::Duration::from_secs(120));
    world.restart(config, 60);
    world.pass(59);
    assert_eq!(world.state(), "B#2 | A draining");
    world.pass(1);
    assert_eq!(world.state(), "B#2 | A DrainPeriodOver");
}

#[test]
fn a_store_whose_history_holds_the_current_prefix_is_put_right() {
    let mut world = with_a();
    world.ra(&[deprecated("A", 7200), pio("B", 43_200, 86_400)]);
    let mut snapshot = world.arbiter.snapshot().cloned().expect("an opinion");
    snapshot.history[0].prefix = net("B");
    world.arbiter = Arbiter::new(by_ra(), Some(Restored { snapshot, last_generation: Generation(0) }), world.now);
    assert_eq!(world.state(), "B#2");
    assert_eq!(world.arbiter.last_generation(), Generation(2));
}
