//! From the first report to the end of a drain, and what of it is worth a save.

use super::world::*;
use crate::source::{SourceId, SourceKind, SourceReport, SourceState};

#[test]
fn nothing_is_wanted_before_the_first_opinion() {
    let mut world = World::new(HOME);
    assert_eq!(world.wanted("home"), "no opinion");
    assert!(!world.coordinator.every_source_has_reported());
    world.says("eth0", SourceState::Soliciting);
    world.says("eth0", SourceState::Silent);
    world.pass(86_400);
    assert_eq!(world.wanted("home"), "no opinion");
    assert!(world.coordinator.every_source_has_reported());
    assert_eq!(world.acquired("home"), "False WaitingForPrefix since 2026-01-04T10:00:00Z");
}

#[test]
fn a_rotation_goes_to_the_clusters_and_the_old_prefix_leaves_after_an_hour() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 1800, 86_400)]);
    assert_eq!(world.wanted("home"), format!("{A} Current"));
    world.pass(60);
    world.ra(&[(A, 0, 86_340), (B, 86_400, 86_400)]);
    assert_eq!(world.wanted("home"), format!("{B} Current, {A} Draining"));
    world.pass(3599);
    assert_eq!(world.wanted("home"), format!("{B} Current, {A} Draining"));
    world.pass(1);
    assert_eq!(world.wanted("home"), format!("{B} Current, {A} Known"));
    let journal = world.journal();
    let told = ["is the prefix", "takes the place of", "leaves the targets"];
    let lines = told.map(|part| journal.iter().filter(|line| line.contains(part)).count());
    assert_eq!(lines, [1, 1, 1], "{journal:#?}");
}

#[test]
fn every_cluster_shares_one_catalogue_and_has_its_own_bindings() {
    let mut world = World::new(&format!("{HOME}{TWO_MORE}"));
    world.ra(&[(A, 1800, 3600)]);
    let (one, two) = (world.coordinator.wanted("one"), world.coordinator.wanted("two"));
    assert!(std::sync::Arc::ptr_eq(&one.catalogue, &two.catalogue));
    let names: Vec<String> = one.bindings.iter().map(|binding| binding.target.to_string()).collect();
    assert_eq!(names, ["CiliumLoadBalancerIPPool/pool"]);
    assert!(two.bindings.is_empty());
}

#[test]
fn what_a_refreshed_lifetime_changes_is_neither_wanted_nor_saved() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 1800, 3600)]);
    assert!(world.coordinator.take_dirty());
    let wanted = world.coordinator.wanted("one");
    for _ in 0..10 {
        world.pass(600);
        world.ra(&[(A, 1800, 3600)]);
    }
    assert!(!world.coordinator.take_dirty(), "flash wears out");
    assert_eq!(world.coordinator.wanted("one"), wanted);
    world.ra(&[(A, 0, 3600), (B, 1800, 3600)]);
    assert!(world.coordinator.take_dirty());
    assert!(!world.coordinator.take_dirty(), "asked once, answered once");
}

/// Nothing in the targets or the journal changes; the pins on Services that wait for it do.
#[test]
fn a_former_prefix_that_dies_after_its_drain_is_wanted_and_saved_as_dead() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 1800, 3600)]);
    world.ra(&[(A, 0, 7200), (B, 86_400, 86_400)]);
    world.pass(3600);
    let dead = |world: &World| -> Vec<bool> {
        let wanted = world.coordinator.wanted("one");
        wanted.catalogue.dynamic_prefixes["home"].generations.iter().map(|generation| generation.dead).collect()
    };
    let history = |world: &World| {
        let former = world.status().dynamic_prefixes[0].history[0].clone();
        (former.state, former.reason, former.dead)
    };
    let drained = ("expired".to_owned(), "DrainPeriodOver".to_owned());
    assert_eq!((dead(&world), history(&world)), (vec![false, false], (drained.0.clone(), drained.1.clone(), false)));
    world.coordinator.take_dirty();
    world.journal();
    world.pass(3599);
    assert!(!world.coordinator.take_dirty());
    world.pass(1);
    assert_eq!((dead(&world), history(&world)), (vec![false, true], (drained.0, drained.1, true)));
    assert!(world.coordinator.take_dirty());
    assert!(world.journal().is_empty());
    world.restart(HOME, 60);
    assert_eq!(dead(&world), [false, true]);
}

#[test]
fn what_the_store_keeps_of_an_object_is_saved_when_it_changes() {
    let mut world = World::new(HOME);
    world.coordinator.take_dirty();
    world.targets("one", vec![target("pool", "u1")]);
    assert!(!world.coordinator.take_dirty(), "an object that is not managed");
    world.targets("one", vec![managed("pool", "u1", "cidr=2001:db8:a::/64")]);
    assert!(world.coordinator.take_dirty());
    let mut seen = managed("pool", "u1", "cidr=2001:db8:a::/64");
    seen.observed = Some(true);
    world.targets("one", vec![seen]);
    assert!(!world.coordinator.take_dirty(), "only its status changed");
    world.targets("one", vec![target("pool", "u1")]);
    assert!(world.coordinator.take_dirty(), "released");
    assert!(world.coordinator.managed("one").is_empty());
}

#[test]
fn a_source_is_told_of_when_its_state_changes_and_not_at_every_packet() {
    let mut world = World::new(HOME);
    for _ in 0..3 {
        world.ra(&[(A, 1800, 3600)]);
    }
    let heard = world.journal().into_iter().filter(|line| line.contains("are heard on eth0")).count();
    assert_eq!(heard, 1);
}

#[test]
fn a_source_that_nobody_asked_for_is_not_listened_to() {
    let mut world = World::new(HOME);
    world.ra_on("eth9", &[(A, 1800, 3600)]);
    assert_eq!(world.wanted("home"), "no opinion");
    assert!(world.status().sources.is_empty());
}

#[test]
fn dynamic_prefixes_on_one_interface_share_its_reports() {
    let other = r#"
        [[dynamicPrefix]]
        name = "other"
        acquisition.routerAdvertisement = { interface = "eth0" }
        subnets = [{ name = "first", prefixLength = 64 }]
    "#;
    let mut world = World::new(&format!("{HOME}{other}"));
    assert_eq!(Vec::from_iter(world.coordinator.ra_interfaces()), ["eth0"]);
    world.ra(&[(A, 1800, 3600)]);
    assert_eq!((world.wanted("home"), world.wanted("other")), (format!("{A} Current"), format!("{A} Current")));
}

/// All are the one source "static", and what it says to one of them is not for the others.
#[test]
fn static_prefixes_are_each_their_own() {
    let text = r#"
        [[cluster]]
        name = "one"
        kubeconfig = "/one"

        [[dynamicPrefix]]
        name = "a"
        acquisition.static.prefix = "2001:db8:a::/64"
        subnets = [{ name = "first", prefixLength = 64 }]

        [[dynamicPrefix]]
        name = "b"
        acquisition.static.prefix = "2001:db8:b::/64"
        subnets = [{ name = "first", prefixLength = 64 }]
    "#;
    let mut world = World::new(text);
    assert_eq!((world.wanted("a"), world.wanted("b")), (format!("{A} Current"), format!("{B} Current")));
    world.reload(text);
    assert_eq!((world.wanted("a"), world.wanted("b")), (format!("{A} Current"), format!("{B} Current")));
    world.reload(&text.replace("2001:db8:b", "2001:db8:c"));
    assert_eq!(world.wanted("a"), format!("{A} Current"));
    assert!(world.wanted("b").starts_with("2001:db8:c::/64 Current"), "{}", world.wanted("b"));
}

/// A cable that is pulled is told once, whatever listens there.
#[test]
fn that_a_link_is_down_is_told_once_for_all_its_sources() {
    let both = "acquisition.observe = { interface = \"eth0\" }\nacquisition.routerAdvertisement";
    let mut world = World::new(&HOME.replacen("acquisition.routerAdvertisement", both, 1));
    let mut say = |kind, interface: &str, state| {
        let report = SourceReport::new(SourceId::on(kind, interface), state);
        world.coordinator.handle_report(report, world.now);
        world.journal()
    };
    let (ra, other) = (SourceKind::RouterAdvertisement, SourceKind::Observed);
    for (state, line) in [
        (SourceState::LinkDown, "The link of eth0 is down; waiting for it."),
        (SourceState::InterfaceAbsent, "The interface eth0 does not exist; waiting for it to appear."),
    ] {
        assert_eq!(say(other, "eth0", state.clone()), [line]);
        assert_eq!(say(ra, "eth0", state.clone()), [""; 0]);
        assert_eq!(say(ra, "eth0", SourceState::Soliciting).len(), 1);
        assert_eq!(say(other, "eth0", SourceState::Soliciting).len(), 1);
        // And again when it happens again.
        assert_eq!(say(ra, "eth0", state.clone()), [line]);
        assert_eq!(say(other, "eth0", state), [""; 0]);
    }
    assert_eq!(say(ra, "eth0", SourceState::Silent).len(), 1, "what one source says is its own");
    assert_eq!(say(other, "eth0", SourceState::Silent).len(), 1);
}
