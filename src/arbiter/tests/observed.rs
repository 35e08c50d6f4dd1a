//! What another DHCPv6 client holds, and Router Advertisements beside it.

use ipnet::Ipv6Net;

use super::world::*;
use crate::arbiter::seeds_observed;
use crate::config::OnLoss;
use crate::source::Cut;
use crate::source::SourceState::{Bound, Silent, Soliciting};

const FOREVER: u32 = u32::MAX;

#[test]
fn an_advertisement_waits_while_the_delegation_may_yet_be_seen() {
    let mut world = World::new(by_observation());
    world.ra(&[pio("B", FOREVER, FOREVER)]);
    world.observed(Soliciting, true, &[]);
    assert_eq!(world.state(), "no opinion");
    world.observed(Silent, false, &[]);
    assert_eq!(world.state(), "B#1");
    world.observed(Bound, true, &[pio("A", 1800, 3600)]);
    assert_eq!(world.state(), "A#2 | B draining", "it has the higher rank");
}

/// Held, be it deprecated: an advertisement is no substitute.
#[test]
fn a_deprecated_delegation_that_is_observed_is_still_one() {
    let mut world = World::new(by_observation());
    world.observed(Bound, true, &[pio("A", 1800, 3600)]);
    world.ra(&[pio("B", FOREVER, FOREVER)]);
    world.observed(Bound, true, &[deprecated("A", 3600)]);
    assert!(world.state().starts_with("A#1"), "{}", world.state());
}

/// The route of a ULA delegation, or one that another line was given. The observer knows the filter, and whether there may
/// be more to see.
#[test]
fn a_delegation_that_the_filter_refuses_is_no_reason_to_wait_nor_not_to() {
    let mut world = World::new(by_observation());
    world.ra(&[pio("B", FOREVER, FOREVER)]);
    world.observed(Soliciting, true, &[pio("fd00::/56", FOREVER, FOREVER)]);
    assert_eq!(world.state(), "no opinion");
    world.observed(Silent, false, &[pio("fd00::/56", FOREVER, FOREVER)]);
    assert_eq!(world.state(), "B#1");
    world.observed(Bound, true, &[pio("fd00::/56", FOREVER, FOREVER), pio("A", 1800, 3600)]);
    assert_eq!(world.state(), "A#2 | B draining");
}

#[test]
fn an_observed_end_by_the_server_is_final_while_the_client_asks() {
    let mut config = by_observation();
    config.transition.on_loss = OnLoss::Withdraw;
    for (how, stays) in [(withdrawn("A"), false), (unlisted("A", 3600), true)] {
        let mut world = World::new(config.clone());
        world.observed(Bound, true, &[pio("A", 1800, 3600)]);
        world.observed(Soliciting, true, &[how]);
        assert_eq!(world.state().starts_with("A#1"), stays, "{}", world.state());
    }
}

#[test]
fn an_observer_starts_from_the_prefix_that_it_gave() {
    let mut world = World::new(by_observation());
    world.observed(Bound, true, &[pio("A", 1800, 3600)]);
    let known = seeds_observed(&world.arbiter, "eth0", world.now);
    let [seed] = known.as_slice() else { panic!("{known:?}") };
    assert_eq!((seed.prefix, seed.recipient.as_deref(), seed.router), (net("A"), Some("home"), None));
    assert_eq!(seed.cut, None);
    assert_eq!(seeds_observed(&world.arbiter, "eth1", world.now), []);
    world.observed(Bound, true, &[withdrawn("A")]);
    assert_eq!(seeds(&world), [(net("A"), Some(Cut::Unlisted))], "what is lost is not held");
}

fn seeds(world: &World) -> Vec<(Ipv6Net, Option<Cut>)> {
    let seeds = seeds_observed(&world.arbiter, "eth0", world.now);
    seeds.into_iter().map(|seed| (seed.prefix, seed.cut)).collect()
}

/// A route of it may stand, of which nobody else would know that it is dead.
#[test]
fn an_observer_starts_from_what_has_ended_too() {
    let mut world = World::new(by_observation());
    world.observed(Bound, true, &[pio("A", 1800, 3600)]);
    world.observed(Silent, true, &[pio("A", 1800, 3600)]);
    world.pass(3601);
    assert_eq!(seeds(&world), [(net("A"), Some(Cut::Unlisted))], "it ran out");
    world.observed(Silent, false, &[]);
    world.ra(&[pio("B", FOREVER, FOREVER)]);
    assert_eq!(world.state(), "B#2 | A Dead");
    assert_eq!(seeds(&world), [(net("A"), Some(Cut::Unlisted))]);
    world.restart(by_observation(), 60);
    assert_eq!(seeds(&world), [(net("A"), Some(Cut::Unlisted))]);
    // Another one in its place, which the same client holds.
    let mut world = World::new(by_observation());
    world.observed(Bound, true, &[pio("A", 1800, 3600)]);
    world.observed(Bound, true, &[unlisted("A", 3600), pio("B", 1800, 3600)]);
    assert_eq!(seeds(&world), [(net("B"), None), (net("A"), Some(Cut::Unlisted))]);
}

/// The client may have renewed it.
#[test]
fn what_ran_out_while_nobody_watched_may_go_on() {
    let mut world = World::new(by_observation());
    world.observed(Bound, true, &[pio("A", 1800, 3600)]);
    world.restart(by_observation(), 5000);
    assert_eq!((world.state().as_str(), seeds(&world)), ("A#1 lost Dead", vec![]));
    world.observed(Bound, true, &[pio("A", 1800, 3600)]);
    world.pass(3601);
    assert_eq!(seeds(&world), [(net("A"), Some(Cut::Unlisted))], "now it was seen to end");
}

/// Another source was configured in the meantime, and nobody heard of the renewals.
#[test]
fn what_ran_out_after_something_else_took_its_place_may_go_on() {
    let mut world = World::new(by_observation());
    world.observed(Bound, true, &[pio("A", 1800, 3600)]);
    world.ra(&[pio("B", FOREVER, FOREVER)]);
    world.observed(Silent, false, &[unlisted("A", 3600)]);
    assert!(world.state().starts_with("B#2 | A"), "{}", world.state());
    world.restart(by_observation(), 5000);
    assert_eq!(seeds(&world), []);
}
