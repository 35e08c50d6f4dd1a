//! `withdraw` and `resume` once more.

use super::world::*;
use crate::cluster::ConnectionState;
use crate::daemon::pause::Scope;

const OURS: &str = "cidr=2001:db8:a::/64";

/// The answer to the first may have been that it is not saved yet, and is tried again: who asks once more is not refused.
#[test]
fn what_is_done_already_is_no_error() {
    let text = format!("{HOME}{TWO_MORE}");
    let mut world = World::new(&text);
    world.ra(&[(A, 1800, 3600)]);
    for cluster in ["one", "two"] {
        world.connect(cluster, ConnectionState::Connected);
        world.targets(cluster, vec![managed("pool", "u1", OURS)]);
    }
    let only = |target: &str| Scope { target: Some(target.to_owned()), ..Scope::default() };
    let (pool, typo) = (only("CiliumLoadBalancerIPPool/pool"), only("CiliumLoadBalancerIPPool/poll"));
    let one = Scope { cluster: Some("one".to_owned()), target: None };
    let paused = |world: &World| ["one", "two"].map(|cluster| world.coordinator.wanted(cluster).told.paused.clone());
    for (scope, first, again) in [
        (Scope::default(), "Everything in two is cared for again.", "Nothing is withdrawn"),
        (one, "Everything in one is cared for again.", "Nothing of one is withdrawn"),
        (
            pool.clone(),
            "CiliumLoadBalancerIPPool/pool in two is cared",
            "CiliumLoadBalancerIPPool/pool is not withdrawn",
        ),
    ] {
        world.coordinator.withdraw(&scope).unwrap();
        let before = paused(&world);
        world.coordinator.withdraw(&scope).unwrap();
        assert_eq!(paused(&world), before);
        assert!(world.coordinator.resume(&typo).is_err(), "what is not there is not taken back");
        let done = world.coordinator.resume(&scope).unwrap();
        assert!(done.iter().any(|done| done.starts_with(first)), "{done:?}");
        let expected = format!("{again}: there is nothing to take back.");
        assert_eq!(world.coordinator.resume(&scope), Ok(vec![expected]));
    }
    let refused = world.coordinator.resume(&typo).unwrap_err();
    assert!(refused.starts_with("CiliumLoadBalancerIPPool/poll is no target of this daemon"), "{refused}");
    // Also when the clusters have not been heard since.
    world.coordinator.withdraw(&pool).unwrap();
    world.restart(&text, 5);
    world.coordinator.withdraw(&pool).unwrap();
    world.coordinator.resume(&pool).unwrap();
    world.coordinator.resume(&pool).unwrap();
}
