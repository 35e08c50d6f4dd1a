//! A delegation that the administrator gives back.

use super::world::*;
use crate::config::OnLoss;
use crate::source::SourceState::{Bound, Released, Releasing};

fn held() -> World {
    let mut world = World::new(by_pd());
    world.pd(Bound, &[pio("A", 1800, 3600)]);
    world.events();
    world
}

/// DC-132: its use ends before it is given back.
#[test]
fn it_leaves_the_targets_whatever_on_loss_says() {
    for on_loss in [OnLoss::Keep, OnLoss::Withdraw] {
        let mut config = by_pd();
        config.transition.on_loss = on_loss;
        let mut world = held();
        world.arbiter.reconfigure(config, world.now);
        assert_eq!(world.arbiter.release(world.now), [net("A")]);
        assert_eq!((world.state(), world.events()), ("nothing | A Released".into(), vec!["released A".into()]));
    }
}

#[test]
fn it_does_not_come_back_while_it_is_given_back() {
    let mut world = held();
    world.arbiter.release(world.now);
    for state in [Bound, Releasing] {
        world.pd(state, &[pio("A", 1800, 3600)]);
        world.pass(60);
        assert_eq!(world.state(), "nothing | A Released");
    }
    world.pd_in_vain(Released, &[withdrawn("A")]);
    assert_eq!(world.state(), "nothing | A Released");
}

/// What the client delegates later is a prefix as any other: it was given back, and granted again.
#[test]
fn it_may_be_delegated_again() {
    let mut world = held();
    world.arbiter.release(world.now);
    world.pd_in_vain(Released, &[]);
    world.pd(Bound, &[pio("A", 1800, 3600)]);
    assert_eq!(world.state(), "A#2");
}

/// A reload makes the client ask anew.
#[test]
fn a_reload_forgets_the_release() {
    let mut world = held();
    world.arbiter.release(world.now);
    world.arbiter.reconfigure(by_pd(), world.now);
    assert_eq!(world.state(), "A#2");
}

#[test]
fn what_drains_of_the_delegation_goes_with_it() {
    let mut world = held();
    world.pd(Bound, &[deprecated("A", 3600), pio("B", 1800, 3600)]);
    world.events();
    assert_eq!(world.arbiter.release(world.now), [net("A"), net("B")]);
    assert_eq!(world.state(), "nothing | B Released, A Released");
    assert_eq!(world.events(), ["released B", "drained A: Released"]);
}

#[test]
fn the_fallback_is_used_once_the_client_has_let_go() {
    let mut world = held();
    world.ra(&[pio("C", 1800, 3600)]);
    world.arbiter.release(world.now);
    assert_eq!(world.state(), "nothing | A Released");
    world.pd_in_vain(Released, &[withdrawn("A")]);
    assert_eq!(world.state(), "C#2 | A Released");
}

/// A prefix that is advertised was not delegated, and is not given back.
#[test]
fn a_prefix_of_another_source_stays() {
    let mut world = World::new(by_pd());
    world.ra(&[pio("C", 1800, 3600)]);
    world.pd_in_vain(Released, &[]);
    assert!(world.arbiter.release(world.now).is_empty());
    assert_eq!(world.state(), "C#1");
}

/// A restart between the two halves of a release finds the prefix given up, and what the server says counts.
#[test]
fn a_release_is_remembered_in_the_history() {
    let mut world = held();
    world.arbiter.release(world.now);
    world.restart(by_pd(), 10);
    assert_eq!(world.state(), "nothing | A Released");
}
