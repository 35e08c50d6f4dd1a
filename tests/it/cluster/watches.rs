//! Discovery and watches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dyn_prefix::cluster::{ConnectionState, Told, Wanted};
use dyn_prefix::config::{Cluster, Discovery, Kind, ObjectRef};
use serde_json::json;

use super::rig::{FIRST, SECOND, Start, blocks, cilium, nth, pool, rig, wanted, wanted_on};
use crate::support::api::{Action, Api, Fault, Key};

const POOLS: &str = "/ciliumloadbalancerippools";
const DEFINITIONS: &str = "customresourcedefinitions";

#[tokio::test]
async fn an_object_that_appears_later_is_filled() {
    let mut rig = rig().await;
    rig.holds(FIRST).await;
    rig.api.delete(&Key::pool("pool"));
    rig.api.put(pool("pool", &[]));
    rig.holds(FIRST).await;
}

#[tokio::test]
async fn a_manual_edit_is_seen_and_repaired() {
    let mut rig = rig().await;
    rig.holds(FIRST).await;
    rig.api.put(pool("pool", &[]));
    rig.holds(FIRST).await;
}

#[tokio::test]
async fn watches_are_renewed_from_where_they_ended() {
    let mut rig = rig().await;
    rig.watches().await;
    rig.api.forget_requests();
    rig.api.end_watches();
    rig.until(|api| api.count("watch", POOLS) == 1).await;
    rig.api.put(pool("pool", &[]));
    rig.holds(FIRST).await;
    assert_eq!(rig.api.count("list", POOLS), 0);
}

#[tokio::test]
async fn a_forgotten_resource_version_is_listed_anew() {
    let mut rig = rig().await;
    rig.watches().await;
    rig.api.forget_requests();
    rig.api.compact();
    rig.until(|api| api.count("list", POOLS) == 1 && api.count("watch", POOLS) == 1).await;
    rig.api.put(pool("pool", &[]));
    rig.holds(FIRST).await;
}

/// 410 as the answer to the watch request instead of an event of the watch.
#[tokio::test]
async fn a_watch_that_begins_too_late_is_listed_anew() {
    let mut rig = rig().await;
    rig.watches().await;
    rig.api.forget_requests();
    rig.api.fault(Fault::new("watch", POOLS, Action::Status(410, "too old resource version")).times(1));
    rig.api.end_watches();
    rig.until(|api| api.count("list", POOLS) == 1).await;
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let api = cilium().await;
    for number in 0..250 {
        api.put(pool(&format!("other-{number}"), &[]));
    }
    let start = Start::new(&api);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.holds(FIRST).await;
    assert_eq!(rig.api.count("list", POOLS), 3);
    assert_eq!(rig.api.count("patch", ""), 1);
}

#[tokio::test]
async fn v2alpha1_is_used_while_there_is_no_v2() {
    let api = Api::start().await;
    api.define("CiliumLoadBalancerIPPool", &["v2alpha1"]);
    api.put(pool("pool", &[]));
    let start = Start::new(&api);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.holds(FIRST).await;
    assert_eq!(rig.api.count("patch", "/apis/cilium.io/v2alpha1/"), 1);
    // Cilium is upgraded: the old version goes, and its watches end.
    rig.api.define("CiliumLoadBalancerIPPool", &["v2"]);
    rig.until(|api| api.count("watch", "/apis/cilium.io/v2/") == 1).await;
    rig.want(SECOND);
    rig.holds(SECOND).await;
    assert_eq!(rig.api.count("patch", "/apis/cilium.io/v2/"), 1);
}

#[tokio::test]
async fn a_kind_that_is_installed_later_is_noticed_by_its_definition() {
    let api = Api::start().await;
    let mut start = Start::new(&api);
    start.discovery = Discovery::Default;
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.until(|api| api.count("watch", DEFINITIONS) == 3).await;
    rig.api.define("CiliumLoadBalancerIPPool", &["v2alpha1", "v2"]);
    rig.api.put(pool("pool", &[]));
    rig.holds(FIRST).await;
    assert_eq!(rig.api.count("patch", "/apis/cilium.io/v2/"), 1, "the better version");
}

#[tokio::test]
async fn a_kind_that_is_installed_later_is_noticed_without_the_right_to_see_definitions() {
    let api = Api::start().await;
    api.fault(Fault::new("", DEFINITIONS, Action::Status(403, "cannot list customresourcedefinitions")));
    let start = Start::new(&api);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.until(|api| api.count("get", "/apis/cilium.io") > 1).await;
    rig.api.define("CiliumLoadBalancerIPPool", &["v2"]);
    rig.api.put(pool("pool", &[]));
    rig.holds(FIRST).await;
}

/// An API server tells of a definition before its discovery does (seen on kube-apiserver 1.36.3 under load).
#[tokio::test]
async fn a_definition_that_discovery_does_not_know_yet_is_asked_for_again() {
    let api = Api::start().await;
    let mut start = Start::new(&api);
    start.discovery = Discovery::Default;
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.until(|api| api.count("watch", DEFINITIONS) == 3).await;
    rig.api.fault(Fault::new("get", "/apis/cilium.io", Action::Status(404, "not found")).times(3));
    rig.api.define("CiliumLoadBalancerIPPool", &["v2"]);
    rig.api.put(pool("pool", &[]));
    rig.holds(FIRST).await;
}

#[tokio::test]
async fn a_kind_that_is_removed_and_installed_again_is_filled_again() {
    let mut rig = rig().await;
    rig.holds(FIRST).await;
    let resource = "customresourcedefinitions.apiextensions.k8s.io";
    rig.watches().await;
    rig.api.forget_requests();
    rig.api.delete(&Key::pool("pool"));
    rig.api.delete(&Key::new(resource, None, "ciliumloadbalancerippools.cilium.io"));
    rig.api.end_watches();
    rig.until(|api| api.count("get", "/apis/cilium.io") > 0).await;
    rig.api.define("CiliumLoadBalancerIPPool", &["v2"]);
    rig.api.put(pool("pool", &[]));
    rig.holds(FIRST).await;
}

#[tokio::test]
async fn what_may_not_be_watched_as_a_whole_is_watched_by_name() {
    let api = cilium().await;
    api.define("IPAddressPool", &["v1beta1"]);
    api.put(json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "spec": {"addresses": []},
        "metadata": {"name": "public", "namespace": "metallb-system"}}));
    api.fault(Fault::new("list", "", Action::Status(403, "cannot list resource")).except_named());
    let mut start = Start::new(&api);
    start.discovery = Discovery::Default;
    start.wanted = Some(wanted_on(
        FIRST,
        &[
            ObjectRef { kind: Kind::CiliumLoadBalancerIPPool, namespace: None, name: "pool".to_owned() },
            ObjectRef {
                kind: Kind::IPAddressPool,
                namespace: Some("metallb-system".to_owned()),
                name: "public".to_owned(),
            },
        ],
    ));
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.holds(FIRST).await;
    let metallb = Key::metallb("metallb-system", "public");
    rig.until(|api| api.get(&metallb).unwrap()["spec"]["addresses"] == json!([nth(FIRST, 1)])).await;
    rig.until(|api| api.count("watch", "/namespaces/metallb-system/ipaddresspools") > 0).await;
    let health = rig.health(|health| health.notes.len() == 4).await;
    assert_eq!((health.state, health.reason), (ConnectionState::Connected, None));
    let note = health.notes.iter().find(|note| note.contains("CiliumLoadBalancerIPPool")).unwrap();
    assert!(note.contains("list and watch") && note.contains(POOLS), "{note}");
    // Permission is granted: one watch for all again, and the note goes.
    rig.api.clear_faults();
    let health = rig.health(|health| health.notes.is_empty()).await;
    assert_eq!(health.state, ConnectionState::Connected);
    rig.api.put(pool("pool", &[]));
    rig.holds(FIRST).await;
}

#[tokio::test]
async fn without_discovery_what_may_not_be_watched_as_a_whole_is_asked_for_once() {
    let api = cilium().await;
    api.fault(Fault::new("list", POOLS, Action::Status(403, "cannot list resource")).except_named());
    let start = Start::new(&api);
    assert_eq!(start.discovery, Discovery::Off);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.holds(FIRST).await;
    let named = "metadata.name=pool";
    // The watch by name is refused again and again, for `refused` is short here; the kind is not asked for beside it.
    rig.api.fault(Fault::new("list", named, Action::Status(403, "cannot list resource")).times(5));
    rig.api.fault(Fault::new("watch", named, Action::Status(403, "cannot watch resource")).times(5));
    rig.api.end_watches();
    rig.until(|api| api.count("watch", named) > 6).await;
    let of_all = rig.api.count("list", POOLS) - rig.api.count("list", named);
    assert_eq!(of_all, 1);
    // Once it looks for annotations, permission that comes later is noticed.
    rig.api.clear_faults();
    let asked_for = Arc::new(Cluster { discovery: Discovery::Default, ..rig.cluster.borrow().as_ref().clone() });
    rig.cluster.send_replace(asked_for);
    rig.until(|api| api.count("watch", POOLS) > api.count("watch", named)).await;
}

#[tokio::test]
async fn discovery_that_is_asked_for_and_forbidden_is_an_error() {
    let api = cilium().await;
    api.fault(Fault::new("list", POOLS, Action::Status(403, "cannot list resource")).except_named());
    let mut start = Start::new(&api);
    start.discovery = Discovery::Required;
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    let health = rig.reason("DiscoveryForbidden").await;
    assert_eq!(health.state, ConnectionState::Connected);
    rig.holds(FIRST).await;
    assert_eq!(blocks(&rig.api, "pool"), [FIRST]);
}

#[tokio::test]
async fn a_watch_that_fails_is_tried_again() {
    let api = cilium().await;
    api.fault(Fault::new("list", POOLS, Action::Status(500, "etcdserver: leader changed")).times(2));
    api.fault(Fault::new("watch", POOLS, Action::Status(503, "not ready")).times(1));
    let start = Start::new(&api);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.holds(FIRST).await;
}

/// `dyn-prefix withdraw` once more, now that permission is granted: nobody waits for the next attempt of the watch.
#[tokio::test]
async fn a_watch_that_is_refused_is_tried_at_once_when_a_person_asks() {
    let api = cilium().await;
    api.fault(Fault::new("list", POOLS, Action::Status(403, "cannot list resource")).except_named());
    let mut start = Start::new(&api);
    start.discovery = Discovery::Required;
    start.timeouts.refused = Duration::from_secs(3600);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.reason("DiscoveryForbidden").await;
    rig.api.clear_faults();
    let told = Told { asked: BTreeMap::from([(None, 1)]), ..Told::default() };
    rig.wanted.send_replace(Some(Wanted { told: Arc::new(told), ..wanted(FIRST) }));
    rig.health(|health| health.reason.is_none()).await;
    rig.holds(FIRST).await;
}

#[tokio::test]
async fn a_cluster_that_was_away_is_connected_at_once_when_a_person_asks() {
    let api = cilium().await;
    let mut start = Start::new(&api);
    start.timeouts.backoff_max = Duration::from_secs(3600);
    let good = std::mem::replace(&mut start.kubeconfig, "contexts: 7".to_owned());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    start.timeouts.files_settle = Duration::from_secs(3600);
    let mut rig = start.run(api, directory);
    rig.reason("KubeconfigUnusable").await;
    std::fs::write(path, good).unwrap();
    let told = Told { asked: BTreeMap::from([(None, 1)]), ..Told::default() };
    rig.wanted.send_replace(Some(Wanted { told: Arc::new(told), ..wanted(FIRST) }));
    rig.holds(FIRST).await;
}
