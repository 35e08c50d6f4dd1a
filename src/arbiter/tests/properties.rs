//! Whatever happens, in whatever order.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::world::*;
use crate::arbiter::{Generation, Previous, PreviousState, Transition};
use crate::config::{DynamicPrefix, OnLoss};
use crate::source::{Cut, SourceState};

#[derive(Clone, Debug)]
enum Event {
    Ra(SourceState, Vec<Pio>),
    Static(SourceState, Vec<Pio>),
    Pass(u64),
    Suspend(u64),
    Reconfigure(DynamicPrefix),
    Restart(DynamicPrefix, u64),
}

fn pios() -> impl Strategy<Value = Vec<Pio>> {
    let lifetime = || prop_oneof![Just(0_u32), 1..20_000_u32, Just(u32::MAX)];
    let cut = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Cut::Deprecated)),
        1 => Just(Some(Cut::Unlisted)),
        1 => Just(Some(Cut::Withdrawn)),
    ];
    let one = (0..NAMES.len(), lifetime(), lifetime(), 1..3_u16, cut).prop_map(|(name, a, b, router, cut)| {
        let pio = pio(NAMES[name].0, a.min(b), a.max(b)).from(router);
        match cut {
            Some(cut) => pio.cut(cut),
            None => pio,
        }
    });
    proptest::collection::vec(one, 0..5)
}

fn state() -> impl Strategy<Value = SourceState> {
    prop_oneof![
        4 => Just(SourceState::Receiving),
        1 => Just(SourceState::Soliciting),
        1 => Just(SourceState::Silent),
        1 => Just(SourceState::LinkDown),
    ]
}

fn config() -> impl Strategy<Value = DynamicPrefix> {
    let period = prop_oneof![Just(None), (0..200_u64).prop_map(Some)];
    let sources = prop_oneof![Just(by_ra()), Just(by_ra_or("E"))];
    (sources, period, any::<bool>(), 0..4_usize, any::<bool>(), any::<bool>()).prop_map(
        |(mut config, period, keep_dead, count, withdraw, only_one_router)| {
            config.transition.drain_period = period.map(|minutes| Duration::from_secs(minutes * 60));
            config.transition.keep_dead = keep_dead && config.transition.drain_period.is_some();
            config.transition.max_prefix_history = count;
            config.transition.on_loss = if withdraw { OnLoss::Withdraw } else { OnLoss::Keep };
            if only_one_router {
                config.acquisition.router_advertisement.as_mut().expect("by RA").routers = vec![router(1)];
            }
            config
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (state(), pios()).prop_map(|(state, pios)| Event::Ra(state, pios)),
        2 => (state(), pios()).prop_map(|(state, pios)| Event::Static(state, pios)),
        4 => (0..5000_u64).prop_map(Event::Pass),
        1 => (0..50_000_u64).prop_map(Event::Suspend),
        1 => config().prop_map(Event::Reconfigure),
        1 => (config(), 0..5000_u64).prop_map(|(config, seconds)| Event::Restart(config, seconds)),
    ]
}

/// Returns the configuration in force afterwards.
fn apply(world: &mut World, event: Event, config: DynamicPrefix) -> DynamicPrefix {
    match event {
        Event::Ra(state, pios) => world.report(ra_on_eth0(), state, &pios),
        Event::Static(state, pios) => world.report(fixed(), state, &pios),
        Event::Pass(seconds) => world.pass(seconds),
        Event::Suspend(seconds) => world.suspend(seconds),
        Event::Reconfigure(config) => {
            world.arbiter.reconfigure(config.clone(), world.now);
            return config;
        }
        Event::Restart(config, seconds) => {
            world.restart(config.clone(), seconds);
            return config;
        }
    }
    config
}

fn check(world: &World, config: &DynamicPrefix) {
    let Some(snapshot) = world.arbiter.snapshot() else { return };
    let current = snapshot.current.as_ref();
    let mut prefixes: Vec<_> = snapshot.history.iter().map(|previous| previous.prefix).collect();
    prefixes.extend(current.map(|current| current.prefix));
    assert_eq!(prefixes.iter().collect::<BTreeSet<_>>().len(), prefixes.len(), "a prefix stands twice: {prefixes:?}");

    let generations: Vec<_> = current
        .map(|current| current.generation)
        .into_iter()
        .chain(snapshot.history.iter().map(|previous| previous.generation))
        .collect();
    assert!(generations.is_sorted_by(|newer, older| newer > older), "newest first: {generations:?}");

    let draining = || snapshot.history.iter().filter(|previous| previous.state == PreviousState::Draining);
    assert!(draining().count() <= config.transition.max_prefix_history);
    assert!(config.transition.keep_dead || draining().all(|previous| !previous.valid_until.is_over(world.now)));
    assert!(draining().all(|previous| !previous.drain_ends_at.is_over(world.now)));
    let expired = || snapshot.history.iter().filter(|previous| previous.state == PreviousState::Expired);
    let is_over = |previous: &&Previous| previous.valid_until.is_over(world.now);
    assert!(config.transition.keep_dead || expired().filter(is_over).all(Previous::is_dead));
    assert!(draining().all(|previous| !previous.is_dead()));
    assert!(snapshot.history.len() <= 16 + config.transition.max_prefix_history);
    if let Some(current) = current.filter(|current| current.lost.is_none()) {
        assert!(!current.preferred_until.is_over(world.now), "in use, and over: {current:?}");
    }
}

/// What is dead stays dead for as long as it is in the history. Returns what is dead now.
fn check_dead(world: &World, before: &BTreeSet<Generation>) -> BTreeSet<Generation> {
    let Some(snapshot) = world.arbiter.snapshot() else { return BTreeSet::new() };
    let dead: BTreeSet<Generation> = snapshot.dead().collect();
    let known = snapshot.history.iter().map(|previous| previous.generation);
    let revived: Vec<Generation> = known.filter(|known| before.contains(known) && !dead.contains(known)).collect();
    assert!(revived.is_empty(), "{revived:?}");
    dead
}

/// A prefix becomes current only while it may be used.
fn check_transition(transition: &Transition, at_most: crate::time::Instant) {
    if let Transition::Acquired { current, previous } = transition {
        assert!(current.preferred_until > crate::time::Deadline::At(current.acquired_at), "{current:?}");
        assert!(current.acquired_at <= at_most);
        assert_ne!(Some(current.prefix), *previous);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariants(first in config(), events in proptest::collection::vec(event(), 1..60)) {
        let mut config = first;
        let mut world = World::new(config.clone());
        let mut acquired = false;
        let mut dead = BTreeSet::new();
        for event in events {
            config = apply(&mut world, event, config);
            dead = check_dead(&world, &dead);
            while let Some(transition) = world.arbiter.poll_transition() {
                check_transition(&transition, world.now);
                acquired |= matches!(transition, Transition::Acquired { .. });
            }
            prop_assert_eq!(world.arbiter.snapshot().is_some(), acquired, "an opinion from the first prefix on");
            check(&world, &config);
            world.arbiter.handle_timeout(world.now);
            prop_assert!(world.arbiter.poll_timeout().is_none_or(|due| due > world.now));
            while world.arbiter.poll_transition().is_some() {}
        }
    }

    /// Calling it more often than it asks for changes nothing.
    #[test]
    fn early_calls_are_harmless(config in config(), events in proptest::collection::vec(event(), 1..30)) {
        let mut world = World::new(config.clone());
        let mut nervous = World::new(config.clone());
        for event in events {
            apply(&mut world, event.clone(), config.clone());
            if let Event::Pass(seconds) = event {
                for _ in 0..5 {
                    nervous.pass(seconds / 5);
                    nervous.arbiter.handle_timeout(nervous.now);
                }
                nervous.pass(seconds % 5);
            } else {
                apply(&mut nervous, event, config.clone());
            }
            prop_assert_eq!(world.arbiter.snapshot(), nervous.arbiter.snapshot());
            prop_assert_eq!(world.events(), nervous.events());
        }
    }
}
