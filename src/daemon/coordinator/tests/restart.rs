//! What a former run knew.

use std::time::Duration;

use super::world::*;
use crate::source::{Cut, SourceState};
use crate::time::Deadline;

#[test]
fn a_restart_wants_the_same() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 86_400, 86_400)]);
    world.pass(60);
    world.ra(&[(A, 0, 86_400), (B, 86_400, 86_400)]);
    world.targets("one", vec![managed("pool", "u1", "range=2001:db8:b:0:f000::-2001:db8:b:0:f000::ffff")]);
    let (wanted, managed) = (world.coordinator.wanted("one"), world.coordinator.managed("one"));
    world.restart(HOME, 30);
    assert_eq!(world.coordinator.wanted("one"), wanted);
    assert_eq!(world.coordinator.managed("one"), managed);
    assert_eq!(world.wanted("home"), format!("{B} Current, {A} Draining"));
}

#[test]
fn a_restart_ends_drains_at_their_time() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 86_400, 86_400)]);
    world.ra(&[(A, 0, 86_400), (B, 86_400, 86_400)]);
    world.restart(HOME, 1800);
    world.pass(1799);
    assert_eq!(world.wanted("home"), format!("{B} Current, {A} Draining"));
    world.pass(1);
    assert_eq!(world.wanted("home"), format!("{B} Current, {A} Known"));
}

#[test]
fn a_state_without_the_prefix_is_no_opinion() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 1800, 3600)]);
    world.restart(&HOME.replace("home", "house"), 1);
    assert_eq!(world.wanted("house"), "no opinion");
}

#[test]
fn generations_are_never_given_twice() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 1800, 3600)]);
    world.restart(HOME, 1);
    world.ra(&[(A, 0, 3600), (B, 1800, 3600)]);
    assert_eq!(world.status().dynamic_prefixes[0].generation, Some(2));
}

#[test]
fn the_table_of_routers_starts_from_the_prefix_that_came_from_there() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 1800, 3600)]);
    world.restart(HOME, 60);
    let seeds = world.coordinator.seeds("eth0");
    let [seed] = seeds.as_slice() else { panic!("{seeds:?}") };
    assert_eq!((seed.prefix.to_string().as_str(), seed.router), (A, Some("fe80::1".parse().unwrap())));
    assert_eq!(seed.preferred_until, Deadline::At(world.now + Duration::from_secs(1740)));
    assert!(world.coordinator.seeds("eth1").is_empty(), "it did not come from there");
}

/// Those in use first, as there may be no place for all; the former ones, newest first, with nothing left to use.
#[test]
fn the_table_of_routers_knows_the_former_prefixes_that_live() {
    const C: &str = "2001:db8:c::/64";
    let other = r#"
        [[dynamicPrefix]]
        name = "other"
        acquisition.routerAdvertisement = { interface = "eth0" }
        acquisition.prefixFilter = { allow = ["2001:db8:a::/48"] }
        subnets = [{ name = "first", prefixLength = 64 }]
        transition.onLoss = "withdraw"
    "#;
    let text = format!("{HOME}{other}");
    let mut world = World::new(&text);
    world.ra(&[(A, 86_400, 86_400)]);
    world.pass(60);
    world.ra(&[(A, 86_400, 86_400), (B, 90_000, 90_000)]);
    world.ra(&[(A, 0, 7200), (B, 90_000, 90_000)]);
    world.pass(60);
    world.ra(&[(A, 0, 7200), (B, 0, 9000), (C, 90_000, 90_000)]);
    assert_eq!(world.wanted("home"), format!("{C} Current, {B} Draining, {A} Draining"));
    assert_eq!(world.wanted("other"), format!("{A} Current"));
    world.restart(&text, 60);
    let router = Some("fe80::1".parse().unwrap());
    let seeds = world.coordinator.seeds("eth0");
    let told: Vec<_> = seeds.iter().map(|seed| (seed.prefix.to_string(), seed.cut, seed.router)).collect();
    // "other" goes on using A, so that is no former prefix on this link.
    assert_eq!(told, [(C.into(), None, router), (A.into(), None, router), (B.into(), Some(Cut::Deprecated), router)]);
    assert_eq!(seeds[2].preferred_until, Deadline::At(world.now - Duration::from_secs(60)));
    assert_eq!(seeds[2].valid_until, Deadline::At(world.now + Duration::from_secs(8940)));
    world.restart(&text, 8940);
    assert_eq!(world.coordinator.seeds("eth0").len(), 2, "B is dead");
    assert!(world.coordinator.seeds("eth1").is_empty());
}

/// Its router must not be able to unlist it by one word.
#[test]
fn a_delegation_of_which_a_part_is_announced_is_a_seed_as_a_whole() {
    let cut = r#"{ interface = "eth0", delegatedPrefixLength = 56 }"#;
    let text = HOME.replace(r#"{ interface = "eth0" }"#, cut);
    let mut world = World::new(&text);
    world.ra(&[("2001:db8:1:23::/64", 1800, 3600)]);
    assert_eq!(world.wanted("home"), "2001:db8:1::/56 Current");
    world.restart(&text, 1);
    let seeds: Vec<String> = world.coordinator.seeds("eth0").iter().map(|seed| seed.prefix.to_string()).collect();
    assert_eq!(seeds, ["2001:db8:1::/56"]);
}

#[test]
fn a_delegation_is_no_seed_where_another_dynamic_prefix_uses_what_is_announced() {
    let cut = r#"{ interface = "eth0", delegatedPrefixLength = 56 }"#;
    let other = r#"
        [[dynamicPrefix]]
        name = "other"
        acquisition.routerAdvertisement = { interface = "eth0" }
        subnets = [{ name = "first", prefixLength = 64 }]
    "#;
    let text = format!("{}{other}", HOME.replace(r#"{ interface = "eth0" }"#, cut));
    let mut world = World::new(&text);
    world.ra(&[("2001:db8:1:23::/64", 1800, 3600)]);
    world.restart(&text, 1);
    let seeds: Vec<String> = world.coordinator.seeds("eth0").iter().map(|seed| seed.prefix.to_string()).collect();
    assert_eq!(seeds, ["2001:db8:1:23::/64"]);
}

#[test]
fn a_stored_prefix_stays_while_its_source_still_asks() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 1800, 3600)]);
    world.restart(HOME, 60);
    for state in [SourceState::InterfaceAbsent, SourceState::Soliciting, SourceState::Silent] {
        world.says("eth0", state);
        assert_eq!(world.wanted("home"), format!("{A} Current"));
    }
}
