//! Former prefixes that die later: after a restart, or when they have left the targets already.

use super::drains::{dead, drain, rotate};
use super::link::{Link, delegated};
use super::world::*;
use crate::config::OnLoss;
use crate::source::SourceState::Bound;

const FOREVER: u32 = u32::MAX;

/// Router 1 has replaced A by B, and goes on saying that A is valid. Then perhaps another process hears it.
fn renumbered(restarts: bool) -> Link {
    let mut link = Link::new(by_ra());
    link.boots(1, &[("A", 86_400, 86_400)]);
    link.boots(1, &[("A", 0, 86_400), ("B", 86_400, 86_400)]);
    link.pass(60);
    if restarts {
        link.restart(60);
    }
    assert_eq!(link.state(), "B#2 | A draining");
    link
}

#[test]
fn its_router_can_withdraw_a_former_prefix_after_a_restart_as_before() {
    let withdraws: [&[(&str, u32, u32)]; 2] = [&[("A", 0, 0), ("B", 86_400, 86_400)], &[("A", 0, 0)]];
    for restarts in [false, true] {
        for lists in withdraws {
            let mut link = renumbered(restarts);
            link.boots(1, lists);
            assert_eq!(link.state(), "B#2 | A draining", "not by one word alone (restart: {restarts})");
            link.pass(5);
            assert_eq!(link.state(), "B#2 | A Dead", "restart: {restarts}");
        }
    }
}

/// It says so once, and does not list it from then on.
#[test]
fn a_withdrawal_is_confirmed_by_silence_after_a_restart_as_before() {
    for restarts in [false, true] {
        let mut link = renumbered(restarts);
        link.boots(1, &[("B", 86_400, 86_400)]);
        link.pass(60);
        assert_eq!(link.state(), "B#2 | A draining", "silence alone says nothing of what is deprecated");
        link.forge(1, &[("A", 0, 0), ("B", 86_400, 86_400)]);
        assert_eq!(link.state(), "B#2 | A draining", "restart: {restarts}");
        link.pass(5);
        assert_eq!(link.state(), "B#2 | A Dead", "restart: {restarts}");
    }
}

#[test]
fn a_forged_withdrawal_is_worth_no_more_after_a_restart() {
    for restarts in [false, true] {
        let mut link = renumbered(restarts);
        for _ in 0..3 {
            link.forge(1, &[("A", 0, 0)]);
            link.pass(20);
        }
        assert_eq!(link.state(), "B#2 | A draining", "its router answered (restart: {restarts})");
        for second in 0..20 {
            link.forge(2, &[("A", 0, 0), ("B", 86_400, 86_400)]);
            link.pass(second % 5);
        }
        assert_eq!(link.state(), "B#2 | A draining", "it is not that router's (restart: {restarts})");
    }
}

/// Nor does what is stored of a former prefix bring it back, or make anyone ask.
#[test]
fn a_restart_brings_no_former_prefix_back() {
    let mut link = renumbered(true);
    link.dies(1);
    link.pass(3000);
    assert_eq!(link.state(), "B#2 | A draining");
    link.pass(600);
    assert_eq!(link.state(), "B#2 | A DrainPeriodOver");
    link.boots(1, &[("A", 86_400, 86_400)]);
    link.pass(5);
    assert_eq!(link.state(), "A#3 | B draining", "its router does");
}

#[test]
fn two_routers_of_a_former_prefix_must_both_withdraw_it() {
    for restarts in [false, true] {
        let mut link = Link::new(by_ra());
        for number in [1, 2] {
            link.boots(number, &[("A", 86_400, 86_400)]);
        }
        for number in [1, 2] {
            link.boots(number, &[("A", 0, 86_400), ("B", 86_400, 86_400)]);
        }
        link.pass(60);
        if restarts {
            link.restart(60);
        }
        link.boots(1, &[("A", 0, 0), ("B", 86_400, 86_400)]);
        link.pass(60);
        assert_eq!(link.state(), "B#2 | A draining", "restart: {restarts}");
        link.boots(2, &[("A", 0, 0), ("B", 86_400, 86_400)]);
        link.pass(5);
        assert_eq!(link.state(), "B#2 | A Dead", "restart: {restarts}");
    }
}

#[test]
fn a_prefix_that_was_current_is_withdrawn_after_a_restart_as_before() {
    for (restarts, length) in [(false, None), (true, None), (false, Some(56)), (true, Some(56))] {
        let mut config = length.map_or_else(by_ra, delegated);
        config.transition.on_loss = OnLoss::Withdraw;
        let mut link = Link::new(config);
        link.boots(1, &[("2001:db8:1:11::/64", 86_400, 86_400)]);
        let before = link.state();
        link.pass(60);
        if restarts {
            link.restart(60);
        }
        link.boots(1, &[("2001:db8:1:11::/64", 0, 0)]);
        assert_eq!(link.state(), format!("{before} lost Deprecated"), "restart: {restarts}, {length:?}");
        link.pass(5);
        let prefix = before.trim_end_matches("#1");
        assert_eq!(link.state(), format!("nothing | {prefix} Dead"), "restart: {restarts}, {length:?}");
    }
}

/// What is stored is the delegation; what the router withdraws is its subnet.
#[test]
fn a_former_delegation_dies_with_its_subnet_after_a_restart() {
    let (old, new) = ("2001:db8:1:11::/64", "2001:db8:2:11::/64");
    for restarts in [false, true] {
        let mut link = Link::new(delegated(56));
        link.boots(1, &[(old, 86_400, 86_400)]);
        link.boots(1, &[(old, 0, 86_400), (new, 86_400, 86_400)]);
        link.pass(60);
        if restarts {
            link.restart(60);
        }
        link.boots(1, &[(old, 0, 0), (new, 86_400, 86_400)]);
        assert_eq!(link.state(), "2001:db8:2::/56#2 | 2001:db8:1::/56 draining", "restart: {restarts}");
        link.pass(5);
        assert_eq!(link.state(), "2001:db8:2::/56#2 | 2001:db8:1::/56 Dead", "restart: {restarts}");
    }
}

#[test]
fn one_that_has_left_by_number_dies_by_its_router_after_a_restart() {
    for restarts in [false, true] {
        let mut link = Link::new(drain(Some(60), false, 0));
        link.boots(1, &[("A", 86_400, 86_400)]);
        link.boots(1, &[("A", 0, 86_400), ("B", 86_400, 86_400)]);
        link.pass(60);
        if restarts {
            link.restart(60);
        }
        link.boots(1, &[("A", 0, 0), ("B", 86_400, 86_400)]);
        assert_eq!((link.state().as_str(), dead(&link.world).len()), ("B#2 | A TooMany", 0));
        link.pass(5);
        assert_eq!((link.state().as_str(), dead(&link.world)), ("B#2 | A TooMany", vec![net("A").to_string()]));
    }
}

/// Why it left the targets is not what became of it later.
#[test]
fn one_that_has_left_by_number_dies_with_its_valid_lifetime() {
    let mut world = World::new(drain(Some(60), false, 0));
    world.ra(&[pio("A", 600, 1200)]);
    world.ra(&[deprecated("A", 1200), pio("B", FOREVER, FOREVER)]);
    world.events();
    world.pass(1000);
    world.ra(&[deprecated("A", 1200), pio("B", FOREVER, FOREVER)]);
    world.pass(1199);
    assert_eq!((world.state().as_str(), dead(&world).len()), ("B#2 | A TooMany", 0), "it was given more time");
    world.pass(1);
    assert_eq!((world.state().as_str(), dead(&world)), ("B#2 | A TooMany", vec![net("A").to_string()]));
    assert!(world.events().is_empty(), "it has left long since");
    world.ra(&[deprecated("A", 1200), pio("B", FOREVER, FOREVER)]);
    assert_eq!(dead(&world), [net("A").to_string()], "dead for good");
    world.restart(by_ra(), 60);
    assert_eq!(dead(&world), [net("A").to_string()]);
}

#[test]
fn one_that_has_left_by_time_dies_with_its_valid_lifetime() {
    let mut world = World::new(by_ra());
    rotate(&mut world, &["A", "B"]);
    world.pass(86_399);
    assert_eq!((world.state().as_str(), dead(&world).len()), ("B#2 lost Deprecated | A DrainPeriodOver", 0));
    world.pass(1);
    assert_eq!(dead(&world), [net("A").to_string()]);
}

#[test]
fn what_died_while_we_were_down_is_dead_at_the_start() {
    let mut world = World::new(by_ra());
    rotate(&mut world, &["A", "B"]);
    world.pass(3600);
    assert_eq!(dead(&world).len(), 0);
    world.restart(by_ra(), 90_000);
    assert_eq!(dead(&world), [net("A").to_string()]);
}

#[test]
fn one_that_has_left_dies_when_the_server_knows_it_no_longer() {
    let mut config = by_pd();
    config.transition.max_prefix_history = 0;
    for restarts in [false, true] {
        let mut world = World::new(config.clone());
        world.pd(Bound, &[pio("A", 1800, 3600)]);
        world.pd(Bound, &[deprecated("A", 3600), pio("C", 1800, 3600)]);
        if restarts {
            world.restart(config.clone(), 60);
        }
        assert_eq!((world.state().as_str(), dead(&world).len()), ("C#2 | A TooMany", 0));
        world.pd(Bound, &[withdrawn("A"), pio("C", 1800, 3600)]);
        assert_eq!((world.state().as_str(), dead(&world)), ("C#2 | A TooMany", vec![net("A").to_string()]));
    }
}

/// What is given back to the server reaches nobody, also where it is in the targets no longer.
#[test]
fn one_that_has_left_is_given_back_with_the_current_one() {
    let mut config = by_pd();
    config.transition.max_prefix_history = 0;
    let mut world = World::new(config);
    world.pd(Bound, &[pio("A", 1800, 3600)]);
    world.pd(Bound, &[deprecated("A", 3600), pio("C", 1800, 3600)]);
    world.arbiter.release(world.now);
    assert_eq!(world.state(), "nothing | C Released, A TooMany");
    assert_eq!(dead(&world), [net("C").to_string(), net("A").to_string()]);
}

/// A drainPeriodMinutes written in the file: as if it lived, also afterwards.
#[test]
fn one_that_was_kept_although_it_was_dead_does_not_die_later() {
    let mut world = World::new(drain(Some(30), true, 2));
    world.ra(&[pio("A", 600, 1200)]);
    world.ra(&[deprecated("A", 3600), pio("B", FOREVER, FOREVER)]);
    world.pass(10_000);
    assert_eq!((world.state().as_str(), dead(&world).len()), ("B#2 | A DrainPeriodOver", 0));
    world.arbiter.reconfigure(by_ra(), world.now);
    assert_eq!(dead(&world), [net("A").to_string()], "unless the file says so no more");
}
