//! A configuration taken into use while everything runs, and two clusters that are one.

use super::world::*;
use crate::cluster::ConnectionState;

const LAB: &str = r#"
[[dynamicPrefix]]
name = "lab"
acquisition.routerAdvertisement = { interface = "eth1" }
subnets = [{ name = "first", prefixLength = 64 }]
"#;

#[test]
fn a_new_dynamic_prefix_hears_at_once_what_is_known_of_its_source() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 1800, 3600)]);
    world.reload(&format!("{HOME}{}", LAB.replace("eth1", "eth0")));
    assert_eq!((world.wanted("home"), world.wanted("lab")), (format!("{A} Current"), format!("{A} Current")));
}

#[test]
fn reload_adds_and_removes_dynamic_prefixes_with_their_interfaces_and_conditions() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 1800, 3600)]);
    world.reload(&format!("{HOME}{LAB}"));
    assert_eq!(Vec::from_iter(world.coordinator.ra_interfaces()), ["eth0", "eth1"]);
    assert!(!world.coordinator.every_source_has_reported());
    assert_eq!(world.wanted("lab"), "no opinion");
    world.ra_on("eth1", &[(B, 1800, 3600)]);
    assert_eq!((world.wanted("home"), world.wanted("lab")), (format!("{A} Current"), format!("{B} Current")));
    world.pass(60);
    world.reload(HOME);
    assert_eq!((world.wanted("home"), world.wanted("lab")), (format!("{A} Current"), "unknown".to_owned()));
    let status = world.status();
    assert_eq!(status.sources.len(), 1, "{:?}", status.sources);
    assert_eq!(status.dynamic_prefixes.len(), 1);
    assert_eq!(world.acquired("home"), "True Acquired since 2026-01-04T10:00:00Z", "not a moment interrupted");
    world.reload(&format!("{HOME}{LAB}"));
    assert_eq!(world.acquired("lab"), "False WaitingForPrefix since 2026-01-04T10:01:00Z", "a new one");
}

#[test]
fn reload_keeps_the_history_and_follows_a_new_drain_period() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 86_400, 86_400)]);
    world.ra(&[(A, 0, 86_400), (B, 86_400, 86_400)]);
    let transition = "\n[dynamicPrefix.transition]\ndrainPeriodMinutes = 1\n";
    let shorter = HOME.replace("\n[[binding]]", &format!("{transition}\n[[binding]]"));
    world.reload(&shorter);
    assert_eq!(world.wanted("home"), format!("{B} Current, {A} Draining"));
    world.pass(60);
    assert_eq!(world.wanted("home"), format!("{B} Current, {A} Known"));
}

#[test]
fn reload_adds_and_removes_clusters_and_the_store_remembers_the_removed_one() {
    let mut world = World::new(HOME);
    world.reload(&format!("{HOME}{TWO_MORE}"));
    let names = |world: &World| world.status().clusters.into_iter().map(|cluster| cluster.name).collect::<Vec<_>>();
    assert_eq!(names(&world), ["one", "two", "three"]);
    world.connect("two", ConnectionState::Connected);
    world.targets("two", vec![managed("p", "u2", "cidr=2001:db8:a::/64")]);
    assert_eq!(world.status().targets.len(), 1);
    world.reload(HOME);
    assert_eq!(names(&world), ["one"]);
    assert!(world.status().targets.is_empty());
    world.connect("two", ConnectionState::Unreachable);
    assert_eq!(names(&world), ["one"], "what a stopped cluster still says is not listened to");
    assert_eq!(world.coordinator.managed("two").len(), 1, "or its entries could never be released");
}

#[test]
fn a_refused_reload_changes_nothing_but_the_status() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 1800, 3600)]);
    world.connect("one", ConnectionState::Connected);
    assert!(world.status().is_healthy());
    let (applied, wanted) = (world.status().daemon.config_applied_at, world.coordinator.wanted("one"));
    world.pass(60);
    world.coordinator.refuse_reload(vec!["x.toml:1:1: error: no".to_owned()]);
    assert_eq!(world.status().daemon.reload_errors, ["x.toml:1:1: error: no"]);
    assert_eq!((world.status().daemon.config_applied_at, world.coordinator.wanted("one")), (applied, wanted));
    assert!(!world.status().is_healthy());
    assert!(world.coordinator.summary().ends_with("; the last reload was refused"), "{}", world.coordinator.summary());
    world.reload(HOME);
    assert!(world.status().daemon.reload_errors.is_empty());
    assert_eq!(world.status().daemon.config_applied_at.unwrap().to_string(), "2026-01-04T10:01:00Z");
    assert!(world.status().is_healthy());
}

#[test]
fn of_two_clusters_that_see_one_object_the_first_in_the_file_writes_it() {
    let mut world = World::new(&format!("{HOME}{TWO_MORE}"));
    // The second speaks first: the order of the file counts, not that of the answers.
    world.targets("two", vec![target("pool", "u1"), target("own", "u2")]);
    assert!(world.coordinator.wanted("two").denied.is_empty());
    world.targets("one", vec![target("pool", "u1")]);
    assert!(world.coordinator.wanted("one").denied.is_empty());
    let denied = world.coordinator.wanted("two").denied;
    assert_eq!(denied.keys().collect::<Vec<_>>(), ["u1"]);
    let why = &denied["u1"];
    assert!(
        why.contains("\"one\"") && why.contains("\"two\"") && why.contains("CiliumLoadBalancerIPPool/pool"),
        "{why}"
    );
    world.targets("three", vec![target("pool", "u3")]);
    assert!(world.coordinator.wanted("three").denied.is_empty(), "the same name is not the same object");
}

#[test]
fn a_twin_may_write_once_the_other_sees_the_object_no_longer() {
    let mut world = World::new(&format!("{HOME}{TWO_MORE}"));
    world.targets("one", vec![target("pool", "u1")]);
    world.targets("two", vec![target("pool", "u1")]);
    assert_eq!(world.coordinator.wanted("two").denied.len(), 1);
    let gone = crate::cluster::Update { removed: vec![pool("pool")], ..Default::default() };
    world.coordinator.handle_update("one", gone, world.now);
    assert!(world.coordinator.wanted("two").denied.is_empty());
}

/// No cluster speaks at a reload, and the one that is left may never have news again.
#[test]
fn a_twin_may_write_once_the_other_cluster_is_removed_from_the_file() {
    let two = TWO_MORE.split("[[cluster]]").nth(1).map(|two| format!("{HOME}[[cluster]]{two}")).unwrap();
    let mut world = World::new(&two);
    world.targets("one", vec![target("pool", "u1")]);
    world.targets("two", vec![target("pool", "u1")]);
    assert_eq!(world.coordinator.wanted("two").denied.len(), 1);
    let only_two = two.replacen("[[cluster]]\nname = \"one\"\nkubeconfig = \"/one\"\n", "", 1);
    world.reload(&only_two.replace("cluster = \"one\"", "cluster = \"two\""));
    assert!(world.coordinator.wanted("two").denied.is_empty());
}
