//! Clusters that leave the configuration, change their name, or get another kubeconfig.

use super::world::*;
use crate::cluster::{ConnectionState, TargetReport, Update};

const OURS: &str = "range=2001:db8:a:0:f000::-2001:db8:a:0:f000::ffff";

/// A second cluster, also bound.
const LAB: &str = r#"
[[cluster]]
name = "lab"
kubeconfig = "/lab"

[[binding]]
cluster = "lab"
prefixRef = "home/lb"
target = "CiliumLoadBalancerIPPool/pool"
"#;

fn both() -> String {
    format!("{HOME}{LAB}")
}

fn world() -> World {
    let mut world = World::new(&both());
    world.ra(&[(A, 1800, 86_400)]);
    for (cluster, uid) in [("one", "u1"), ("lab", "u2")] {
        world.connect(cluster, ConnectionState::Connected);
        world.targets(cluster, vec![managed("pool", uid, OURS)]);
    }
    world.journal();
    world
}

fn runs(world: &World) -> Vec<String> {
    world.coordinator.clusters_to_run().map(|cluster| cluster.name.clone()).collect()
}

fn is_to_be_released(world: &World, cluster: &str, uid: &str) -> bool {
    let wanted = world.coordinator.wanted(cluster);
    wanted.told.paused.everything && !wanted.denied.contains_key(uid)
}

fn gone(world: &mut World, cluster: &str) {
    let update = Update { removed: vec![pool("pool")], ..Update::default() };
    world.coordinator.handle_update(cluster, update, world.now);
}

fn waiting(name: &str) -> TargetReport {
    TargetReport { uid: None, synced: false, reason: "Waiting".to_owned(), ..target(name, "") }
}

#[test]
fn a_removed_cluster_goes_on_until_it_has_let_go() {
    let mut world = world();
    world.reload(HOME);
    assert_eq!(runs(&world), ["one", "lab"]);
    assert!(is_to_be_released(&world, "lab", "u2"));
    assert!(!is_to_be_released(&world, "one", "u1"));
    assert_eq!(world.status().clusters.len(), 1, "it is no part of the configuration");
    gone(&mut world, "lab");
    assert_eq!(runs(&world), ["one"]);
    assert!(world.coordinator.managed("lab").is_empty());
    assert_eq!(world.journal(), ["lab: not in the configuration any more; nothing of ours is left there."]);
    assert!(world.status().daemon.leftovers.is_empty());
}

#[test]
fn a_removed_cluster_that_does_not_answer_has_ten_seconds_and_its_leftovers_are_told() {
    let mut world = world();
    world.connect("lab", ConnectionState::Unreachable);
    world.reload(HOME);
    world.pass(9);
    assert_eq!(runs(&world), ["one", "lab"]);
    world.pass(1);
    assert_eq!(runs(&world), ["one"]);
    let journal = world.journal().join("\n");
    assert!(journal.contains("CiliumLoadBalancerIPPool/pool: the cluster is not connected"), "{journal}");
    let leftovers = world.status().daemon.leftovers;
    assert!(leftovers[0].contains("the cluster lab") && leftovers[0].contains("IPPool/pool"), "{leftovers:?}");
    world.restart(HOME, 60);
    assert_eq!(world.status().daemon.leftovers, leftovers, "it is not forgotten");
    // It comes back into the file, and can be released as it could before.
    world.reload(&both());
    assert!(world.status().daemon.leftovers.is_empty());
    assert_eq!(world.coordinator.managed("lab").len(), 1);
}

/// A cluster may hold nothing of ours but objects of kind DynamicPrefix.
#[test]
fn what_a_removed_cluster_shows_is_deleted_or_told_of() {
    let mut world = world();
    gone(&mut world, "lab");
    let shows = |names: &[&str]| Update {
        published: Some(names.iter().map(|name| ((*name).to_owned(), format!("uid-{name}"))).collect()),
        ..Update::default()
    };
    world.coordinator.handle_update("lab", shows(&["home"]), world.now);
    world.reload(HOME);
    assert_eq!(runs(&world), ["one", "lab"]);
    let publication = world.coordinator.publication("lab", &world.epoch());
    assert!(publication.mirrors.is_empty() && publication.undecided.is_empty(), "{publication:?}");
    world.pass(10);
    assert_eq!(runs(&world), ["one"]);
    let leftovers = world.status().daemon.leftovers;
    assert!(
        leftovers.len() == 1 && leftovers[0].contains("DynamicPrefix/home of ours was not deleted"),
        "{leftovers:?}"
    );
    world.restart(HOME, 60);
    assert_eq!(world.status().daemon.leftovers, leftovers, "it is not forgotten");
    // It is back for a while, and this time answers.
    world.reload(&both());
    world.connect("lab", ConnectionState::Connected);
    world.reload(HOME);
    world.coordinator.handle_update("lab", shows(&[]), world.now);
    assert_eq!(runs(&world), ["one"]);
    assert!(world.status().daemon.leftovers.is_empty());
}

/// What cannot be taken out is not waited for.
#[test]
fn a_last_entry_that_has_to_stay_is_left_at_once_and_told() {
    let mut world = world();
    world.reload(HOME);
    let stays = TargetReport { reason: "CannotEmpty".to_owned(), synced: false, ..managed("pool", "u2", OURS) };
    world.targets("lab", vec![stays]);
    assert_eq!(runs(&world), ["one"]);
    assert!(world.journal().join("\n").contains("CannotEmpty"));
    assert_eq!(world.status().daemon.leftovers.len(), 1);
}

#[test]
fn a_removed_cluster_that_comes_back_in_time_goes_on_as_if_nothing_had_been() {
    let mut world = world();
    world.reload(HOME);
    world.reload(&both());
    assert!(!is_to_be_released(&world, "lab", "u2"));
    assert_eq!(world.status().targets.len(), 2);
    assert_eq!(world.status().clusters[1].state, "connected");
    world.pass(60);
    assert_eq!(runs(&world), ["one", "lab"]);
    assert!(world.journal().is_empty());
}

/// The task, its client, its targets and what the store knows: only the name changes.
#[test]
fn a_renamed_cluster_lets_go_of_nothing() {
    let mut world = world();
    world.coordinator.withdraw(&crate::daemon::pause::Scope { cluster: Some("lab".to_owned()), target: None }).unwrap();
    world.reload(&both().replace("\"lab\"", "\"den\""));
    assert_eq!(world.coordinator.take_renamed(), [("lab".to_owned(), "den".to_owned())]);
    assert_eq!(runs(&world), ["one", "den"]);
    assert_eq!((world.coordinator.managed("den").len(), world.coordinator.managed("lab").len()), (1, 0));
    assert!(world.coordinator.wanted("den").told.paused.everything, "what was withdrawn stays so");
    assert_eq!(world.status().targets[1].cluster, "den");
    assert!(world.journal().is_empty());
}

/// It may be the same cluster by other credentials: what both see is not released.
#[test]
fn another_kubeconfig_to_the_same_cluster_releases_nothing() {
    let mut world = world();
    world.reload(&both().replace("/lab", "/new"));
    assert_eq!(world.coordinator.take_renamed(), [("lab".to_owned(), "lab (former)".to_owned())]);
    assert_eq!(runs(&world), ["one", "lab", "lab (former)"]);
    assert_eq!(world.coordinator.managed("lab").len(), 1, "the new client knows what was ours");
    assert!(!is_to_be_released(&world, "lab (former)", "u2"), "nobody knows yet");
    world.targets("lab", vec![waiting("pool")]);
    world.connect("lab", ConnectionState::Connected);
    assert!(!is_to_be_released(&world, "lab (former)", "u2"), "it has not been read");
    world.targets("lab", vec![managed("pool", "u2", OURS)]);
    assert_eq!(runs(&world), ["one", "lab"]);
    assert!(world.journal().is_empty());
    assert_eq!(world.coordinator.managed("lab").len(), 1);
}

#[test]
fn another_kubeconfig_to_another_cluster_has_the_former_one_released() {
    let mut world = world();
    world.reload(&both().replace("/lab", "/new"));
    world.targets("lab", vec![waiting("pool")]);
    world.connect("lab", ConnectionState::Connected);
    world.targets("lab", vec![target("pool", "u9")]);
    assert!(is_to_be_released(&world, "lab (former)", "u2"));
    gone(&mut world, "lab (former)");
    assert_eq!(runs(&world), ["one", "lab"]);
    assert!(world.status().daemon.leftovers.is_empty());
}

/// Its objects of kind DynamicPrefix are told apart by their uids, as all others are.
#[test]
fn another_kubeconfig_has_what_the_former_cluster_shows_deleted_if_it_is_another() {
    let shows = |uid: Option<&str>| Update {
        published: Some(uid.into_iter().map(|uid| ("home".to_owned(), uid.to_owned())).collect()),
        ..Update::default()
    };
    let left_alone = |world: &World| world.coordinator.publication("lab (former)", &world.epoch()).undecided;
    for is_another in [true, false] {
        let mut world = world();
        gone(&mut world, "lab");
        world.coordinator.handle_update("lab", shows(Some("u5")), world.now);
        world.reload(&both().replace("/lab", "/new"));
        assert_eq!(runs(&world), ["one", "lab", "lab (former)"]);
        assert_eq!(left_alone(&world), ["home"], "it may be the same");
        if is_another {
            world.coordinator.handle_update("lab", shows(Some("u6")), world.now);
            assert!(left_alone(&world).is_empty(), "it has to be deleted");
            world.coordinator.handle_update("lab (former)", shows(None), world.now);
        } else {
            world.coordinator.handle_update("lab", shows(Some("u5")), world.now);
            assert_eq!(left_alone(&world), ["home"], "it is the same object");
            world.pass(10);
        }
        assert_eq!(runs(&world), ["one", "lab"]);
        assert!(world.status().daemon.leftovers.is_empty());
    }
}

#[test]
fn what_a_former_cluster_that_does_not_answer_shows_is_told_of() {
    let mut world = world();
    gone(&mut world, "lab");
    let shows =
        |uid: &str| Update { published: Some([("home".to_owned(), uid.to_owned())].into()), ..Update::default() };
    world.coordinator.handle_update("lab", shows("u5"), world.now);
    world.reload(&both().replace("/lab", "/new"));
    world.coordinator.handle_update("lab", shows("u6"), world.now);
    world.pass(10);
    assert_eq!(runs(&world), ["one", "lab"]);
    let leftovers = world.status().daemon.leftovers;
    assert!(
        leftovers.len() == 1 && leftovers[0].contains("DynamicPrefix/home of ours was not deleted"),
        "{leftovers:?}"
    );
}

/// What it reports is from before it heard that the other one is none of these.
#[test]
fn a_former_cluster_that_was_held_back_is_waited_for_once_it_may_let_go() {
    let mut world = world();
    world.reload(&both().replace("/lab", "/new"));
    world.targets("lab", vec![waiting("pool")]);
    let held = TargetReport { reason: "SameCluster".to_owned(), synced: false, ..managed("pool", "u2", OURS) };
    world.targets("lab (former)", vec![held]);
    world.connect("lab", ConnectionState::Connected);
    world.targets("lab", vec![target("pool", "u9")]);
    assert_eq!(runs(&world), ["one", "lab", "lab (former)"]);
    assert!(is_to_be_released(&world, "lab (former)", "u2"));
    gone(&mut world, "lab (former)");
    assert_eq!(runs(&world), ["one", "lab"]);
    assert!(world.status().daemon.leftovers.is_empty());
}

/// As long as nobody knows which cluster it is, nothing is taken out of it, and it is said.
#[test]
fn another_kubeconfig_that_leads_nowhere_releases_nothing() {
    let mut world = world();
    world.reload(&both().replace("/lab", "/new"));
    world.connect("lab", ConnectionState::Misconfigured);
    world.pass(9);
    assert!(!is_to_be_released(&world, "lab (former)", "u2"));
    world.pass(2);
    assert_eq!(runs(&world), ["one", "lab"]);
    assert_eq!(world.coordinator.managed("lab").len(), 1);
    assert_eq!(world.journal().len(), 1);
}

/// Two names of one cluster: the one that stays goes on with what the other one wrote.
#[test]
fn what_another_cluster_of_the_file_sees_too_is_left_to_that() {
    let mut world = world();
    world.targets("one", vec![managed("pool", "u2", OURS)]);
    world.reload(HOME);
    assert!(!is_to_be_released(&world, "lab", "u2"));
    assert_eq!(runs(&world), ["one"], "there is nothing to wait for");
    assert!(world.status().daemon.leftovers.is_empty());
}

/// Renamed and led to by another file at once: it waits for the new one to be read.
#[test]
fn a_cluster_that_comes_with_the_same_reload_may_be_the_removed_one() {
    let mut world = world();
    world.reload(&both().replace("\"lab\"", "\"den\"").replace("/lab", "/new"));
    assert_eq!(runs(&world), ["one", "den", "lab"]);
    assert!(!is_to_be_released(&world, "lab", "u2"));
    world.pass(5);
    assert!(is_to_be_released(&world, "lab", "u2"), "that cannot be waited for for ever");
}
