//! Prefixes that a DHCPv6 client holds, and Router Advertisements beside it.

use super::world::*;
use crate::config::{DynamicPrefix, OnLoss};
use crate::source::Cut;
use crate::source::SourceState::{
    Bound, Failed, InterfaceAbsent, Rebinding, Receiving, Requesting, Silent, Soliciting,
};

const FOREVER: u32 = u32::MAX;

fn withdrawing_pd() -> DynamicPrefix {
    let mut config = by_pd();
    config.transition.on_loss = OnLoss::Withdraw;
    config
}

fn lasting(prefix: &str) -> Pio {
    pio(prefix, FOREVER, FOREVER)
}

/// A delegation A, and an advertised B beside it.
fn held(config: DynamicPrefix) -> World {
    let mut world = World::new(config);
    world.pd(Bound, &[pio("A", 1800, 3600)]);
    world.ra(&[lasting("B")]);
    world.events();
    world
}

#[test]
fn a_router_advertisement_waits_while_the_client_asks() {
    let mut world = World::new(by_pd());
    world.ra(&[lasting("B")]);
    assert_eq!(world.state(), "no opinion", "the client has not spoken");
    for state in [Soliciting, Requesting, Rebinding, InterfaceAbsent] {
        world.pd(state, &[]);
        assert_eq!(world.state(), "no opinion");
    }
    world.pd_in_vain(Soliciting, &[]);
    assert_eq!(world.state(), "B#1", "it goes on asking, and has asked in vain for long enough");
}

#[test]
fn a_client_that_cannot_run_leaves_the_field_at_once() {
    for state in [Failed("port 546 is taken".into()), InterfaceAbsent, Silent] {
        let mut world = World::new(by_pd());
        world.ra(&[lasting("B")]);
        world.pd_in_vain(state, &[]);
        assert_eq!(world.state(), "B#1");
    }
}

#[test]
fn a_delegation_takes_over_from_the_fallback() {
    let mut world = World::new(by_pd());
    world.ra(&[lasting("B")]);
    world.pd_in_vain(Soliciting, &[]);
    world.pd(Requesting, &[]);
    assert_eq!(world.state(), "B#1", "asking again unseats nobody");
    world.pd(Bound, &[pio("A", 60, 120)]);
    assert_eq!(world.state(), "A#2 | B draining");
}

#[test]
fn beside_a_delegation_an_advertisement_is_not_used() {
    let mut world = held(by_pd());
    for state in [Bound, Rebinding] {
        world.pd(state, &[pio("A", 1800, 3600)]);
        world.ra(&[lasting("B"), lasting("C")]);
        assert_eq!((world.state(), world.events()), ("A#1".into(), vec![]));
    }
}

#[test]
fn not_even_beside_a_deprecated_one() {
    let mut world = held(by_pd());
    world.pd(Bound, &[deprecated("A", 3600)]);
    assert_eq!(world.state(), "A#1 lost Deprecated");
    world.pass(1800);
    assert_eq!(world.state(), "A#1 lost Deprecated");
    world.pd_in_vain(Soliciting, &[pio("A", 0, 0).cut(Cut::Withdrawn)]);
    assert_eq!(world.state(), "B#2 | A Dead");
}

/// Some routers delegate only of their ULA prefix, and announce one /64 of the provider's.
#[test]
fn a_delegation_that_the_filter_refuses_keeps_nobody_waiting() {
    let mut world = World::new(by_pd());
    world.ra(&[lasting("B")]);
    world.pd(Soliciting, &[]);
    assert_eq!(world.state(), "no opinion");
    world.pd(Bound, &[lasting("fd00:0:0:1::/64").to("other")]);
    assert_eq!(world.state(), "no opinion", "it is another one's");
    world.pd(Bound, &[lasting("fd00::/56")]);
    assert_eq!(world.state(), "B#1");
    world.pd(Bound, &[lasting("fd00::/56"), pio("A", 1800, 3600)]);
    assert_eq!(world.state(), "A#2 | B draining");
}

/// T-160: the client fell back to Solicit, and the lease is not over.
#[test]
fn a_lease_is_used_to_its_end_while_the_client_solicits() {
    let mut world = held(by_pd());
    world.pd_in_vain(Soliciting, &[pio("A", 1800, 3600)]);
    assert_eq!((world.state(), world.events()), ("A#1".into(), vec![]));
    world.pass(1800);
    assert_eq!(world.state(), "B#2 | A draining", "preferred no more, and the client asks in vain");
}

/// T-062 and T-075: withdrawn at the valid end, although the client asks on.
#[test]
fn the_valid_end_of_a_lease_withdraws_at_once() {
    let mut world = held(withdrawing_pd());
    world.pd(Rebinding, &[pio("A", 1800, 3600)]);
    world.pass(3599);
    assert_eq!(world.state(), "A#1 lost Deprecated");
    world.pass(1);
    world.pd(Soliciting, &[withdrawn("A")]);
    assert_eq!(world.state(), "nothing | A Dead");
    assert_eq!(world.events(), ["lost A: Deprecated", "withdrew A: Dead"]);
}

/// What ended while nobody could ask waits for the answer, as the client has not cut it.
#[test]
fn a_lease_that_ended_unasked_waits_for_the_question() {
    let mut world = held(withdrawing_pd());
    world.restart(withdrawing_pd(), 7200);
    world.pd(Soliciting, &[]);
    assert_eq!(world.state(), "A#1 lost Dead");
    world.pd_in_vain(Soliciting, &[]);
    assert_eq!(world.state(), "nothing | A Dead");
}

/// The same with onLoss = "keep": the targets keep even a dead one.
#[test]
fn a_dead_delegation_is_kept_by_default() {
    let mut world = held(by_pd());
    world.pd(Soliciting, &[withdrawn("A")]);
    assert_eq!(world.state(), "A#1 lost Dead");
    world.pd(Bound, &[pio("C", 1800, 3600), withdrawn("A")]);
    assert_eq!(world.state(), "C#2 | A Dead", "and leaves in the write that brings its successor");
}

/// T-076: the old one with 0/0 beside the new one. One message of the server is enough.
#[test]
fn valid_0_of_the_server_acts_at_once() {
    let mut world = held(by_pd());
    world.pd(Bound, &[withdrawn("A"), pio("C", 1800, 3600)]);
    assert_eq!(
        (world.state(), world.events()),
        ("C#2 | A Dead".into(), vec!["acquired C after A".into(), "drained A: Dead".into()])
    );
}

/// A Reply that brings a new prefix and is silent about the held one.
#[test]
fn a_reply_that_is_silent_about_the_held_prefix_replaces_it() {
    let mut world = held(by_pd());
    world.pd(Bound, &[unlisted("A", 3600), pio("C", 60, 120)]);
    assert_eq!(world.state(), "C#2 | A draining");
    world.pass(3600);
    assert_eq!(world.state(), "C#2 lost Dead | A Dead", "both valid ends are over");
}

/// NoBinding, or a PPP session that was dialled anew with another prefix.
#[test]
fn a_draining_prefix_that_the_server_knows_no_longer_is_dead() {
    let mut world = held(by_pd());
    world.pd(Bound, &[deprecated("A", 3600), pio("C", 1800, 3600)]);
    assert_eq!(world.state(), "C#2 | A draining");
    world.pd(Bound, &[withdrawn("A"), pio("C", 1800, 3600)]);
    assert_eq!(world.state(), "C#2 | A Dead");
}

#[test]
fn a_drain_period_in_the_file_keeps_even_a_dead_one() {
    let mut config = by_pd();
    config.transition.keep_dead = true;
    let mut world = held(config);
    world.pd(Bound, &[withdrawn("A"), pio("C", 7200, 7200)]);
    assert_eq!(world.state(), "C#2 | A draining");
    world.pass(3600);
    assert_eq!(world.state(), "C#2 | A DrainPeriodOver");
}

/// Several prefixes in one IA_PD: the current one stays while it is usable, then the longest preferred lifetime wins.
#[test]
fn of_several_prefixes_one_is_current() {
    let mut world = World::new(by_pd());
    world.pd(Bound, &[pio("A", 60, 120), pio("B", 1800, 3600)]);
    assert_eq!(world.state(), "B#1");
    world.pd(Bound, &[pio("A", 7200, 7200), pio("B", 1800, 3600)]);
    assert_eq!(world.state(), "B#1");
    world.pd(Bound, &[pio("A", 7200, 7200), deprecated("B", 3600)]);
    assert_eq!(world.state(), "A#2 | B draining");
}

#[test]
fn what_is_delegated_to_another_is_not_ours() {
    let mut world = World::new(by_pd());
    world.pd(Bound, &[lasting("B").to("other")]);
    assert_eq!(world.state(), "no opinion");
    world.pd(Bound, &[lasting("B").to("other"), pio("A", 60, 120)]);
    assert_eq!(world.state(), "A#1");
}

#[test]
fn the_excluded_part_comes_through_and_follows() {
    let mut world = World::new(by_pd());
    let excluded = |world: &World| {
        let current = world.arbiter.snapshot().and_then(|snapshot| snapshot.current.clone()).expect("a prefix");
        current.excluded.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    world.pd(Bound, &[pio("2001:db8:a00::/56", 60, 120).without("2001:db8:a00:ff::/64")]);
    assert_eq!(excluded(&world), ["2001:db8:a00:ff::/64"]);
    world.pd(Bound, &[pio("2001:db8:a00::/56", 60, 120)]);
    assert!(excluded(&world).is_empty());
}

/// T-078
#[test]
fn another_length_is_another_prefix() {
    let mut world = World::new(by_pd());
    world.pd(Bound, &[pio("2001:db8:a00::/56", 60, 120)]);
    world.pd(Bound, &[unlisted("2001:db8:a00::/56", 120), pio("2001:db8:a00::/60", 60, 120)]);
    assert_eq!(world.state(), "2001:db8:a00::/60#2 | 2001:db8:a00::/56 draining");
}

/// T-087 to T-089: the stored prefix stays in use until the server says otherwise.
#[test]
fn after_a_restart_the_server_decides() {
    for (answer, expected) in [("A", "A#1"), ("C", "C#2 | A draining")] {
        let mut world = held(by_pd());
        world.restart(by_pd(), 60);
        world.ra(&[lasting("B")]);
        assert_eq!(world.state(), "A#1");
        world.pd(Rebinding, &[pio("A", 1740, 3540)]);
        assert_eq!(world.state(), "A#1");
        world.pd(Bound, &[pio(answer, 1800, 3600)]);
        assert_eq!(world.state(), expected);
    }
}

/// The advertisement and the delegation are the same prefix: nothing changes hands but the source.
#[test]
fn a_delegation_of_the_advertised_prefix_keeps_its_generation() {
    let mut world = World::new(by_pd());
    world.report(ra_on_eth0(), Receiving, &[lasting("A")]);
    world.pd_in_vain(Soliciting, &[]);
    world.pd(Bound, &[pio("A", 60, 120)]);
    assert_eq!(world.state(), "A#1");
    let source = world.arbiter.snapshot().and_then(|s| s.current.as_ref()).map(|current| current.source.clone());
    assert_eq!(source, Some(pd_on_eth0()));
}
