//! Conditions, the summary and the status.

use super::world::*;
use crate::cluster::ConnectionState;
use crate::source::SourceState;

#[test]
fn the_condition_says_what_became_of_the_prefix_and_since_when() {
    let mut world = World::new(HOME);
    world.pass(10);
    world.ra(&[(A, 1800, 3600)]);
    assert_eq!(world.acquired("home"), "True Acquired since 2026-01-04T10:00:10Z");
    world.pass(1800);
    assert_eq!(world.acquired("home"), "False Deprecated since 2026-01-04T10:30:10Z");
    world.pass(1800);
    assert_eq!(world.acquired("home"), "False Dead since 2026-01-04T10:30:10Z", "False all the while");
    assert_eq!(world.wanted("home"), format!("{A} Current"), "onLoss = keep");
    world.ra(&[(B, 1800, 3600)]);
    assert_eq!(world.acquired("home"), "True Acquired since 2026-01-04T11:00:10Z");
}

#[test]
fn a_lost_prefix_is_withdrawn_where_the_file_says_so() {
    let transition = "\n[dynamicPrefix.transition]\nonLoss = \"withdraw\"\n";
    let mut world = World::new(&HOME.replace("\n[[binding]]", &format!("{transition}\n[[binding]]")));
    world.ra(&[(A, 1800, 3600)]);
    world.pass(3600);
    assert_eq!(world.wanted("home"), format!("{A} Known"), "publish nothing, which is not \"no opinion\"");
    assert_eq!(world.acquired("home"), "False Withdrawn since 2026-01-04T10:30:00Z");
}

/// Lifetimes that ran out during a suspend may have been renewed unheard.
#[test]
fn after_a_suspend_nothing_is_withdrawn_before_the_router_was_asked() {
    let transition = "\n[dynamicPrefix.transition]\nonLoss = \"withdraw\"\n";
    let text = HOME.replace("\n[[binding]]", &format!("{transition}\n[[binding]]"));
    let mut world = World::new(&text);
    world.ra(&[(A, 1800, 3600)]);
    world.now = world.now + std::time::Duration::from_secs(8 * 3600);
    world.coordinator.handle_resume(world.now);
    world.coordinator.handle_timeout(world.now);
    assert_eq!(world.wanted("home"), format!("{A} Current"));
    world.says("eth0", SourceState::Soliciting);
    assert_eq!(world.wanted("home"), format!("{A} Current"));
    world.ra(&[(A, 1800, 3600)]);
    assert_eq!(world.acquired("home"), "True Acquired since 2026-01-04T18:00:00Z");
    world.pass(3600);
    assert_eq!(world.wanted("home"), format!("{A} Known"), "now it was heard of no more");
}

#[test]
fn after_a_suspend_a_lower_source_waits_until_the_router_was_asked() {
    let both = "acquisition.static.prefix = \"2001:db8:b::/64\"\nacquisition.routerAdvertisement";
    let mut world = World::new(&HOME.replace("acquisition.routerAdvertisement", both));
    world.ra(&[(A, 1800, 3600)]);
    world.now = world.now + std::time::Duration::from_secs(8 * 3600);
    world.coordinator.handle_resume(world.now);
    world.coordinator.handle_timeout(world.now);
    world.ra(&[(A, 1800, 3600)]);
    assert_eq!(world.wanted("home"), format!("{A} Current"), "without a detour");
    world.now = world.now + std::time::Duration::from_secs(8 * 3600);
    world.coordinator.handle_resume(world.now);
    world.says("eth0", SourceState::Silent);
    assert_eq!(world.wanted("home"), format!("{B} Current, {A} Known"));
}

#[test]
fn the_summary_is_the_one_of_the_status() {
    let mut world = World::new(&format!("{HOME}{TWO_MORE}"));
    assert_eq!(
        world.coordinator.summary(),
        "home waits for a prefix; 0 of 0 targets in sync; not connected: one, three, two"
    );
    world.ra(&[(A, 1800, 3600)]);
    for cluster in ["one", "two", "three"] {
        world.connect(cluster, ConnectionState::Connected);
    }
    let mut late = target("other", "u2");
    late.synced = false;
    world.targets("one", vec![target("pool", "u1"), late]);
    assert_eq!(world.coordinator.summary(), "home 2001:db8:a::/64; 1 of 2 targets in sync");
    assert_eq!(world.status().summary(), world.coordinator.summary());
}

#[test]
fn the_status_shows_ranges_lifetimes_history_and_what_the_clusters_report() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 7200, 86_400)]);
    world.pass(60);
    world.ra(&[(A, 0, 86_340), (B, 1800, 3600)]);
    world.targets("one", vec![managed("pool", "u1", "cidr=2001:db8:b::/112")]);
    let status = world.status();
    let prefix = &status.dynamic_prefixes[0];
    assert_eq!(prefix.current_prefix.as_deref(), Some(B));
    assert_eq!(prefix.prefix_source.as_deref(), Some("router-advertisement"));
    assert_eq!(prefix.generation, Some(2));
    assert_eq!(prefix.preferred_until.unwrap().to_string(), "2026-01-04T10:31:00Z");
    assert_eq!(prefix.valid_until.unwrap().to_string(), "2026-01-04T11:01:00Z");
    assert_eq!(prefix.lease_expires_at, prefix.valid_until);
    let range = &prefix.address_ranges[0];
    assert_eq!((range.start.as_str(), range.end.as_str()), ("2001:db8:b:0:f000::", "2001:db8:b:0:f000::ffff"));
    assert_eq!(range.cidrs, ["2001:db8:b:0:f000::/112"]);
    let former = &prefix.history[0];
    assert_eq!((former.prefix.as_str(), former.state.as_str(), former.reason.as_str()), (A, "draining", "Replaced"));
    assert_eq!(former.acquired_at.unwrap().to_string(), "2026-01-04T10:00:00Z");
    assert_eq!(former.deprecated_at.unwrap().to_string(), "2026-01-04T10:01:00Z");
    assert_eq!(former.drain_ends_at.unwrap().to_string(), "2026-01-04T11:01:00Z");
    let target = &status.targets[0];
    assert_eq!((target.cluster.as_str(), target.kind.as_str()), ("one", "CiliumLoadBalancerIPPool"));
    assert_eq!((target.name.as_str(), target.uid.as_deref(), target.synced), ("pool", Some("u1"), true));
    assert_eq!((status.clusters[0].name.as_str(), status.clusters[0].state.as_str()), ("one", "connecting"));
}

#[test]
fn a_failed_source_is_in_the_status_with_its_reason() {
    let mut world = World::new(HOME);
    world.says("eth0", SourceState::Failed("CAP_NET_RAW is missing".to_owned()));
    let source = &world.status().sources[0];
    assert_eq!((source.kind.as_str(), source.interface.as_deref()), ("router-advertisement", Some("eth0")));
    assert_eq!((source.state.as_str(), source.reason.as_deref()), ("failed", Some("CAP_NET_RAW is missing")));
    assert_eq!(world.journal(), ["CAP_NET_RAW is missing"]);
}
