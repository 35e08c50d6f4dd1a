//! Patches, and everything the server may answer to them.

use std::sync::Arc;
use std::time::Duration;

use dyn_prefix::cluster::ConnectionState;
use dyn_prefix::cluster::mirror::{Mirror, Publication};
use dyn_prefix::config::{Cluster, Kind, ObjectRef};
use serde_json::{Value, json};

use super::rig::{FIRST, SECOND, Start, THIRD, blocks, cilium, nth, pool, rig, wanted_on};
use crate::support::api::{Action, Fault, Key};

#[tokio::test]
async fn a_change_is_one_patch_that_carries_the_resource_version() {
    let mut rig = rig().await;
    rig.watches().await;
    let version = rig.api.get(&Key::pool("pool")).unwrap()["metadata"]["resourceVersion"].clone();
    rig.api.forget_requests();
    rig.want(SECOND);
    rig.holds(SECOND).await;
    let requests = rig.api.requests();
    let [patch] = requests.as_slice() else { panic!("one request: {requests:?}") };
    assert_eq!((patch.verb, patch.path.as_str()), ("patch", "/apis/cilium.io/v2/ciliumloadbalancerippools/pool"));
    assert!(patch.query.contains("fieldManager=dyn-prefix"), "{}", patch.query);
    assert_eq!(patch.body["metadata"]["resourceVersion"], version);
}

#[tokio::test]
async fn every_kind_is_written() {
    let api = cilium().await;
    api.define("IPAddressPool", &["v1beta1"]);
    let group = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumCIDRGroup", "metadata": {"name": "group"},
        "spec": {"externalCIDRs": ["192.0.2.0/24"]}});
    api.put(group);
    let metallb = json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": {"name": "public", "namespace": "lb"}, "spec": {"addresses": ["192.0.2.0/24"]}});
    api.put(metallb);
    let target = |kind, namespace: Option<&str>, name: &str| ObjectRef {
        kind,
        namespace: namespace.map(ToOwned::to_owned),
        name: name.to_owned(),
    };
    let mut start = Start::new(&api);
    start.wanted = Some(wanted_on(
        FIRST,
        &[
            target(Kind::CiliumLoadBalancerIPPool, None, "pool"),
            target(Kind::CiliumCIDRGroup, None, "group"),
            target(Kind::IPAddressPool, Some("lb"), "public"),
        ],
    ));
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.holds(FIRST).await;
    let holds = |list: &Value, cidr: &str| list.as_array().is_some_and(|list| list.contains(&json!(cidr)));
    let (second, third) = (nth(FIRST, 1), nth(FIRST, 2));
    rig.until(|api| holds(&api.get(&Key::group("group")).unwrap()["spec"]["externalCIDRs"], &second)).await;
    rig.until(|api| holds(&api.get(&Key::metallb("lb", "public")).unwrap()["spec"]["addresses"], &third)).await;
    assert_eq!(rig.api.count("patch", "/apis/metallb.io/v1beta1/namespaces/lb/ipaddresspools/public"), 1);
}

#[tokio::test]
async fn nothing_is_written_without_an_opinion() {
    let api = cilium().await;
    let mut start = Start::new(&api);
    start.wanted = None;
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.state(ConnectionState::Connected).await;
    assert_eq!(rig.api.count("patch", ""), 0);
    rig.want(FIRST);
    rig.holds(FIRST).await;
}

#[tokio::test]
async fn a_conflict_is_computed_anew() {
    let mut rig = rig().await;
    rig.holds(FIRST).await;
    rig.api.fault(Fault::new("patch", "", Action::Status(409, "the object has been modified")).times(1));
    rig.want(SECOND);
    rig.holds(SECOND).await;
}

/// Whatever the server answers, the connection stays, and the write is made once the answer is another.
#[tokio::test]
async fn refusals_concern_the_write_alone() {
    for (code, message) in [
        (403, "cannot patch resource \"ciliumloadbalancerippools\""),
        (422, "spec.blocks: Invalid value"),
        (429, "too many requests"),
        (500, "Internal error occurred: failed calling webhook \"x\": failed to call webhook: connection refused"),
        (503, "the server is currently unable to handle the request"),
    ] {
        let mut rig = rig().await;
        rig.holds(FIRST).await;
        rig.api.forget_requests();
        rig.api.fault(Fault::new("patch", "", Action::Status(code, message)));
        rig.want(SECOND);
        rig.until(|api| api.count("patch", "") > 0).await;
        rig.api.clear_faults();
        // The user sees to it: a change of the object is a reason to try again for every refusal.
        rig.api.put(pool("pool", &["2001:db8:f::/64"]));
        rig.until(|api| blocks(api, "pool").iter().any(|cidr| cidr == SECOND)).await;
        assert_eq!(rig.api.count("get", "/version"), 0, "{code}: a new connection was made");
    }
}

/// An admission webhook may take its time; that does not make the cluster unreachable.
#[tokio::test]
async fn a_slow_write_is_not_taken_for_a_dead_path() {
    let mut rig = rig().await;
    rig.watches().await;
    rig.api.forget_requests();
    rig.api.fault(Fault::new("patch", "", Action::Hang));
    rig.want(SECOND);
    rig.until(|api| api.count("get", "/version") == 1).await;
    rig.api.clear_faults();
    rig.holds(SECOND).await;
    assert_eq!(rig.api.count("list", ""), 0, "a new connection was made");
}

#[tokio::test]
async fn no_more_than_sixteen_patches_are_under_way() {
    let api = cilium().await;
    let names: Vec<String> = (0..50).map(|number| format!("pool-{number}")).collect();
    for name in &names {
        api.put(pool(name, &[]));
    }
    let target =
        |name: &String| ObjectRef { kind: Kind::CiliumLoadBalancerIPPool, namespace: None, name: name.clone() };
    let mut start = Start::new(&api);
    start.wanted = Some(wanted_on(FIRST, &names.iter().map(target).collect::<Vec<_>>()));
    api.fault(Fault::new("patch", "", Action::Hang));
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.until(|api| api.count("patch", "") == 16).await;
    assert_eq!(rig.api.count("patch", ""), 16);
    rig.api.clear_faults();
    rig.until(|api| names.iter().enumerate().all(|(number, name)| blocks(api, name) == [nth(FIRST, number)])).await;
    assert_eq!(rig.api.count("patch", ""), 50, "each object was written once");
}

#[tokio::test]
async fn writes_under_way_may_finish_at_the_end() {
    let mut rig = rig().await;
    rig.watches().await;
    rig.api.forget_requests();
    rig.api.fault(Fault::new("patch", "", Action::Delay(Duration::from_millis(100))));
    rig.want(SECOND);
    rig.until(|api| api.count("patch", "") == 1).await;
    rig.cancel.cancel();
    (&mut rig.driver).await.unwrap();
    assert_eq!(blocks(&rig.api, "pool"), [SECOND]);
}

/// Whoever does not know that an object is his will never delete it.
#[tokio::test]
async fn what_is_published_when_the_end_comes_is_known_to_be_ours() {
    let api = cilium().await;
    api.define("DynamicPrefix", &["v1alpha1"]);
    api.put(json!({
        "apiVersion": "dyn-prefix.io/v1alpha1", "kind": "DynamicPrefix",
        "metadata": {"name": "ipv6", "annotations": {"dynamic-prefix.io/managed-by": "test"}},
    }));
    api.fault(Fault::new("get", "/dynamicprefixes/", Action::Delay(Duration::from_millis(100))));
    let mut start = Start::new(&api);
    let mirror = Mirror { name: "ipv6".to_owned(), spec: json!({}), status: json!({}) };
    start.publication = Publication { daemon_id: "test".to_owned(), mirrors: vec![mirror], undecided: Vec::new() };
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.until(|api| api.count("get", "/dynamicprefixes/") == 1).await;
    rig.cancel.cancel();
    (&mut rig.driver).await.unwrap();
    assert_eq!(rig.published(), ["ipv6"]);
}

#[tokio::test]
async fn a_write_that_hangs_does_not_keep_the_driver_from_stopping() {
    let mut rig = rig().await;
    rig.watches().await;
    rig.api.forget_requests();
    rig.api.fault(Fault::new("patch", "", Action::Hang));
    rig.want(SECOND);
    rig.until(|api| api.count("patch", "") == 1).await;
    rig.cancel.cancel();
    tokio::time::timeout(Duration::from_secs(5), &mut rig.driver).await.expect("it stops").unwrap();
    assert_eq!(blocks(&rig.api, "pool"), [FIRST], "nothing is withdrawn");
}

/// Events are told after what they are about, and nothing waits for them: neither the next write nor the end.
#[tokio::test]
async fn a_kubernetes_event_that_hangs_keeps_nobody_waiting() {
    let mut rig = rig().await;
    rig.watches().await;
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    rig.api.fault(Fault::new("", events, Action::Hang));
    let tells = Cluster { events: true, ..rig.cluster.borrow().as_ref().clone() };
    rig.cluster.send_replace(Arc::new(tells));
    rig.want(SECOND);
    rig.until(|api| api.requests().iter().any(|request| request.path == events)).await;
    assert_eq!(blocks(&rig.api, "pool"), [SECOND], "an event told of what was not written yet");
    rig.want(THIRD);
    rig.holds(THIRD).await;
    rig.cancel.cancel();
    tokio::time::timeout(Duration::from_secs(5), &mut rig.driver).await.expect("it stops").unwrap();
}
