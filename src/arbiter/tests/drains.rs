//! How long former prefixes drain: by time, by number, by death.

use std::time::Duration;

use super::world::*;
use crate::arbiter::{Previous, PreviousState};
use crate::config::DynamicPrefix;
use crate::source::SourceState::Bound;

pub(super) fn drain(minutes: Option<u64>, keep_dead: bool, max_prefix_history: usize) -> DynamicPrefix {
    let mut config = by_ra();
    config.transition.drain_period = minutes.map(|minutes| Duration::from_secs(minutes * 60));
    config.transition.keep_dead = keep_dead;
    config.transition.max_prefix_history = max_prefix_history;
    config
}

/// Every prefix in turn becomes current, the ones before it being deprecated and valid for a day.
pub(super) fn rotate(world: &mut World, prefixes: &[&str]) {
    for (index, prefix) in prefixes.iter().enumerate() {
        let mut pios: Vec<Pio> = prefixes[..index].iter().map(|old| deprecated(old, 86_400)).collect();
        pios.push(pio(prefix, 43_200, 86_400));
        world.ra(&pios);
    }
}

/// Peers E16.
#[test]
fn e16_the_replaced_prefix_drains() {
    let mut world = World::new(by_ra());
    rotate(&mut world, &["A", "B"]);
    assert_eq!(world.state(), "B#2 | A draining");
    world.pass(3599);
    assert_eq!(world.state(), "B#2 | A draining");
    world.pass(1);
    assert_eq!(world.state(), "B#2 | A DrainPeriodOver");
    assert_eq!(world.events(), ["acquired A", "acquired B after A", "drained A: DrainPeriodOver"]);
}

#[test]
fn newest_first_and_no_more_than_max_prefix_history() {
    let mut world = World::new(by_ra());
    rotate(&mut world, &["A", "B", "C", "D"]);
    assert_eq!(world.state(), "D#4 | C draining, B draining, A TooMany");
    let mut world = World::new(drain(None, false, 0));
    rotate(&mut world, &["A", "B"]);
    assert_eq!(world.state(), "B#2 | A TooMany");
    assert_eq!(world.events(), ["acquired A", "acquired B after A", "drained A: TooMany"]);
}

/// Peers E6 and E7: 25 rotations with maxPrefixHistory 2 leave the current prefix and two more.
#[test]
fn e6_twenty_five_rotations() {
    let mut world = World::new(by_ra());
    let prefixes: Vec<String> = (1..=25).map(|n| format!("2001:db8:{n:x}::/64")).collect();
    rotate(&mut world, &prefixes.iter().map(String::as_str).collect::<Vec<_>>());
    let history = &world.arbiter.snapshot().expect("an opinion").history;
    let draining: Vec<String> =
        history.iter().filter(|p| p.state == PreviousState::Draining).map(|p| p.prefix.to_string()).collect();
    assert_eq!(draining, ["2001:db8:18::/64", "2001:db8:17::/64"]);
    assert_eq!(history.len() - draining.len(), 16, "the expired ones that are remembered");
    assert_eq!(history.last().map(|p| p.prefix.to_string()).as_deref(), Some("2001:db8:7::/64"));
}

/// Peers E17: A → B → A.
#[test]
fn e17_a_return_leaves_the_history() {
    let mut world = World::new(by_ra());
    rotate(&mut world, &["A", "B"]);
    world.ra(&[deprecated("B", 7200), pio("A", 1800, 3600)]);
    assert_eq!(world.state(), "A#3 | B draining");
    world.pass(3600);
    world.ra(&[deprecated("A", 7200), pio("B", 1800, 3600)]);
    assert_eq!(world.state(), "B#4 | A draining", "an expired one, too");
}

#[test]
fn the_drain_ends_with_the_valid_lifetime() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 600, 1200)]);
    world.ra(&[deprecated("A", 1200), pio("B", 9000, 9000)]);
    world.pass(1000);
    world.ra(&[deprecated("A", 1200), pio("B", 9000, 9000)]);
    world.pass(1199);
    assert_eq!(world.state(), "B#2 | A draining", "a later report gave it more time");
    world.pass(1);
    assert_eq!(world.state(), "B#2 | A Dead");
}

#[test]
fn a_draining_prefix_that_is_withdrawn_is_dead() {
    let mut world = World::new(by_ra());
    rotate(&mut world, &["A", "B"]);
    world.ra(&[withdrawn("A"), pio("B", 9000, 9000)]);
    assert_eq!(world.state(), "B#2 | A Dead");
    world.ra(&[deprecated("A", 9000), pio("B", 9000, 9000)]);
    assert_eq!(world.state(), "B#2 | A Dead", "what has left does not come back as a former prefix");
}

#[test]
fn a_prefix_dead_when_it_is_replaced_does_not_drain() {
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 600, 1200)]);
    world.pass(1200);
    world.ra(&[pio("B", 9000, 9000)]);
    assert_eq!(world.state(), "B#2 | A Dead");
    assert_eq!(world.events(), ["acquired A", "lost A: Deprecated", "acquired B after A", "drained A: Dead"]);
}

#[test]
fn a_written_drain_period_keeps_even_a_dead_prefix() {
    let mut world = World::new(drain(Some(30), true, 2));
    world.ra(&[pio("A", 600, 1200)]);
    world.ra(&[withdrawn("A"), pio("B", 9000, 9000)]);
    assert_eq!(world.state(), "B#2 | A draining");
    world.pass(1799);
    assert_eq!(world.state(), "B#2 | A draining");
    world.pass(1);
    assert_eq!(world.state(), "B#2 | A DrainPeriodOver");
}

#[test]
fn without_a_limit_by_time_only_number_and_death_end_a_drain() {
    let mut world = World::new(drain(None, false, 2));
    rotate(&mut world, &["A", "B"]);
    world.pass(86_399);
    assert!(world.state().ends_with("A draining"));
    world.pass(1);
    assert!(world.state().ends_with("A Dead"));
}

#[test]
fn a_dead_one_does_not_count_against_the_others() {
    let mut world = World::new(drain(None, false, 1));
    rotate(&mut world, &["A", "B"]);
    world.ra(&[deprecated("A", 86_400), withdrawn("B"), pio("C", 9000, 9000)]);
    assert_eq!(world.state(), "C#3 | B Dead, A draining");
}

/// The prefixes with whose end nobody has to wait.
pub(super) fn dead(world: &World) -> Vec<String> {
    let history = &world.arbiter.snapshot().expect("an opinion").history;
    assert!(!history.iter().any(|p| p.state == PreviousState::Draining && p.is_dead()), "what drains is awaited");
    history.iter().filter(|previous| previous.is_dead()).map(|previous| previous.prefix.to_string()).collect()
}

#[test]
fn dead_are_those_that_reach_nobody() {
    // Its valid lifetime ends while it drains.
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 600, 1200)]);
    world.ra(&[deprecated("A", 1200), pio("B", 9000, 9000)]);
    world.pass(1199);
    assert_eq!(dead(&world), [""; 0]);
    world.pass(1);
    assert_eq!(dead(&world), [net("A").to_string()]);
    world.restart(by_ra(), 60);
    assert_eq!(dead(&world), [net("A").to_string()], "nor does a restart wait for it");

    // Its router withdraws it when the successor comes, or while it drains.
    let mut world = World::new(by_ra());
    world.ra(&[pio("A", 600, 9000)]);
    world.ra(&[withdrawn("A"), pio("B", 600, 9000)]);
    world.ra(&[deprecated("B", 9000), pio("C", 600, 9000)]);
    assert_eq!(dead(&world), [net("A").to_string()]);
    world.ra(&[withdrawn("B"), pio("C", 600, 9000)]);
    assert_eq!(dead(&world), [net("B").to_string(), net("A").to_string()]);

    // The DHCPv6 server does not know it (T-067), or the session it came by is gone (T-091): the client withdraws it.
    let mut world = World::new(by_pd());
    world.pd(Bound, &[pio("A", 1800, 3600)]);
    world.pd(Bound, &[withdrawn("A"), pio("B", 1800, 3600)]);
    assert_eq!((world.state(), dead(&world)), ("B#2 | A Dead".into(), vec![net("A").to_string()]));
}

#[test]
fn what_ends_by_time_or_number_is_not_dead() {
    let mut world = World::new(by_ra());
    rotate(&mut world, &["A", "B", "C", "D"]);
    world.pass(3600);
    assert_eq!(world.state(), "D#4 | C DrainPeriodOver, B DrainPeriodOver, A TooMany");
    assert_eq!(dead(&world), [""; 0]);

    let mut world = World::new(by_pd());
    world.pd(Bound, &[pio("A", 1800, 3600)]);
    world.pd(Bound, &[unlisted("A", 3600), pio("B", 1800, 3600)]);
    assert_eq!((world.state(), dead(&world).len()), ("B#2 | A draining".into(), 0), "the server was silent about it");
}

/// "A drainPeriodMinutes written in the file keeps even a dead one": it drains to its end as if it lived.
#[test]
fn a_dead_prefix_that_is_kept_is_awaited() {
    let mut world = World::new(drain(Some(30), true, 2));
    world.ra(&[pio("A", 600, 9000)]);
    world.ra(&[withdrawn("A"), pio("B", 9000, 9000)]);
    assert_eq!((world.state(), dead(&world).len()), ("B#2 | A draining".into(), 0));
    world.pass(1800);
    assert_eq!((world.state(), dead(&world).len()), ("B#2 | A DrainPeriodOver".into(), 0));
}

/// A cluster that was away for so many rotations finds its Services' addresses known. For one that was away for longer
/// the host part stands on the Service, and what we wrote in the records.
#[test]
fn sixteen_former_prefixes_are_known_beside_those_that_drain() {
    let mut world = World::new(drain(None, false, 2));
    let prefixes: Vec<String> = (1..=19).map(|n| format!("2001:db8:{n:x}::/64")).collect();
    rotate(&mut world, &prefixes.iter().map(String::as_str).collect::<Vec<_>>());
    let known = |world: &World| world.arbiter.snapshot().expect("an opinion").history.len();
    assert_eq!(known(&world), 18, "2 drain, 16 are known: back to the very first");
    let last = world.arbiter.snapshot().and_then(|snapshot| snapshot.history.last().map(|p| p.prefix.to_string()));
    assert_eq!(last.as_deref(), Some("2001:db8:1::/64"));
    world.pass(86_400 * 30);
    assert_eq!(known(&world), 16, "none drains; time alone forgets nothing");
}

#[test]
fn other_settings_apply_at_once() {
    let mut world = World::new(by_ra());
    rotate(&mut world, &["A", "B", "C"]);
    world.pass(1200);
    world.arbiter.reconfigure(drain(Some(30), false, 2), world.now);
    world.pass(599);
    assert_eq!(world.state(), "C#3 | B draining, A draining");
    world.pass(1);
    assert_eq!(world.state(), "C#3 | B DrainPeriodOver, A DrainPeriodOver", "counted from the replacement");

    let mut world = World::new(by_ra());
    rotate(&mut world, &["A", "B", "C"]);
    world.arbiter.reconfigure(drain(Some(60), false, 1), world.now);
    assert_eq!(world.state(), "C#3 | B draining, A TooMany");
    world.arbiter.reconfigure(drain(Some(10), false, 1), world.now);
    world.pass(600);
    assert_eq!(world.state(), "C#3 | B DrainPeriodOver, A TooMany");
}

#[test]
fn after_a_suspend_everything_overdue_happens_at_once() {
    let mut awake = World::new(by_ra());
    let mut asleep = World::new(by_ra());
    for world in [&mut awake, &mut asleep] {
        rotate(world, &["A", "B"]);
        world.ra(&[deprecated("A", 600), pio("B", 1000, 2000), pio("C", 900, 30_000)]);
    }
    awake.pass(10_000);
    asleep.suspend(10_000);
    assert_eq!(asleep.state(), "B#2 lost Dead | A Dead");
    assert_eq!(awake.state(), asleep.state());
}

#[test]
fn the_facts_of_a_former_prefix() {
    let mut world = World::new(by_ra());
    let acquired_at = world.now;
    world.ra(&[pio("A", 600, 9000)]);
    world.pass(60);
    let deprecated_at = world.now;
    world.ra(&[deprecated("A", 9000), pio("B", 600, 9000)]);
    let history = world.arbiter.snapshot().expect("an opinion").history.clone();
    let [Previous { generation, source, .. }] = &history[..] else { panic!("{history:?}") };
    assert_eq!((generation.0, source), (1, &ra_on_eth0()));
    assert_eq!((history[0].acquired_at, history[0].deprecated_at), (acquired_at, deprecated_at));
    assert_eq!(history[0].drain_ends_at.instant(), Some(deprecated_at + Duration::from_secs(3600)));
    assert_eq!(history[0].valid_until.instant(), Some(deprecated_at + Duration::from_secs(9000)));
}
