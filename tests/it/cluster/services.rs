//! Services of the core group, and what Cilium's definitions tell.

use std::time::Duration;

use dyn_prefix::cluster::ConnectionState;
use dyn_prefix::cluster::client;
use dyn_prefix::cluster::kubeconfig;
use dyn_prefix::cluster::schema::Schema;
use dyn_prefix::cluster::watch::{News, Subject, Watches};
use dyn_prefix::config::{Discovery, Kind, Kubeconfig, ObjectRef};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::rig::{FIRST, PATIENCE, SECOND, Start, cilium, pool, rig, timeouts};
use crate::support::api::{Action, Api, Fault, Key};

const SERVICES: &str = "/api/v1/services";
const OF_TYPE: &str = "spec.type=LoadBalancer";
const DEFINITION: &str = "metadata.name=ciliumloadbalancerippools.cilium.io";
const LABEL: &str = "io.cilium.k8s.crd.schema.version";
/// As kube-apiserver answers when it does not know a field selector.
const UNKNOWN: &str = r#""spec.type" is not a known field selector: only "metadata.name", "metadata.namespace""#;

fn service(name: &str, kind: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "web"},
        "spec": {"type": kind}})
}

fn reference(name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::Service, namespace: Some("web".to_owned()), name: name.to_owned() }
}

fn all() -> Subject {
    Subject::Kind { kind: Kind::Service, version: "v1".to_owned() }
}

fn named(name: &str) -> Subject {
    Subject::Named { object: reference(name), version: "v1".to_owned() }
}

/// The watch of one subject, and what it says.
struct Listener {
    _watches: Watches,
    news: mpsc::Receiver<(Subject, News)>,
}

impl Listener {
    async fn new(api: &Api, subject: Subject) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        std::fs::write(&path, api.kubeconfig("", "token: secret")).unwrap();
        let reading = tokio::task::spawn_blocking(|| kubeconfig::read(&Kubeconfig::File(path), None).config.unwrap());
        let config = reading.await.unwrap();
        let client = client::build(config, &timeouts()).unwrap();
        let (mut watches, news) = Watches::new(client, timeouts(), 1);
        watches.set([subject].into());
        Self { _watches: watches, news }
    }

    async fn next(&mut self) -> News {
        let (_, news) = tokio::time::timeout(PATIENCE, self.news.recv()).await.expect("news in time").unwrap();
        news
    }

    async fn lists(&mut self, names: &[&str]) {
        let News::Listed(objects) = self.next().await else { panic!("a list comes first") };
        let listed: Vec<_> = objects.into_iter().map(|object| object.reference).collect();
        assert_eq!(listed, names.iter().map(|name| reference(name)).collect::<Vec<_>>());
    }

    async fn changed(&mut self, name: &str) {
        let news = self.next().await;
        assert!(matches!(&news, News::Changed(object) if object.reference == reference(name)), "{news:?}");
    }
}

/// What every watch of Services has to tell, whatever the server selects.
async fn types_change(api: &Api, subject: Subject, front_only: bool) {
    api.put(service("front", "LoadBalancer"));
    api.put(service("inner", "ClusterIP"));
    let mut listener = Listener::new(api, subject).await;
    listener.lists(&["front"]).await;
    api.put(service("front", "NodePort"));
    assert_eq!(listener.next().await, News::Deleted(reference("front")));
    api.put(service("front", "LoadBalancer"));
    listener.changed("front").await;
    if !front_only {
        api.put(service("inner", "LoadBalancer"));
        listener.changed("inner").await;
    }
    api.delete(&Key::service("web", "front"));
    assert_eq!(listener.next().await, News::Deleted(reference("front")));
}

#[tokio::test]
async fn a_service_of_another_type_is_not_there() {
    let api = Api::start().await;
    types_change(&api, all(), false).await;
    for verb in ["list", "watch"] {
        let requests = api.requests().into_iter().filter(|request| request.verb == verb).collect::<Vec<_>>();
        assert!(!requests.is_empty());
        assert!(requests.iter().all(|r| r.path == SERVICES && r.query.contains(OF_TYPE)), "{requests:?}");
    }
}

#[tokio::test]
async fn a_service_is_watched_by_its_name_and_type() {
    let api = Api::start().await;
    types_change(&api, named("front"), true).await;
    let path = "/api/v1/namespaces/web/services";
    let both = format!("fieldSelector=metadata.name=front,{OF_TYPE}");
    let requests = api.requests();
    assert!(requests.iter().all(|r| r.path == path && r.query.contains(&both)), "{requests:?}");
}

/// Kubernetes before 1.31.
#[tokio::test]
async fn a_server_that_cannot_select_by_type_sends_all_services() {
    for (subject, front_only) in [(all(), false), (named("front"), true)] {
        let api = Api::start().await;
        api.fault(Fault::new("", "spec.type", Action::Status(400, UNKNOWN)));
        types_change(&api, subject, front_only).await;
        let asked = api.requests().iter().filter(|request| request.query.contains("spec.type")).count();
        assert_eq!(asked, 1, "it is asked once");
    }
}

#[tokio::test]
async fn services_come_in_pages() {
    let api = Api::start().await;
    for number in 0..230 {
        api.put(service(&format!("front-{number:03}"), if number % 2 == 0 { "LoadBalancer" } else { "ClusterIP" }));
    }
    let mut listener = Listener::new(&api, all()).await;
    let News::Listed(objects) = listener.next().await else { panic!("a list comes first") };
    assert_eq!((objects.len(), api.count("list", SERVICES)), (115, 2));
}

/// No request asks whether there are Services, and without Cilium and MetalLB they are watched all the same.
#[tokio::test]
async fn services_are_always_served() {
    let api = Api::start().await;
    let mut start = Start::new(&api);
    start.discovery = Discovery::Default;
    start.wanted = None;
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.until(|api| api.count("watch", SERVICES) == 1).await;
    assert_eq!(rig.api.count("get", "/api/v1"), 0);
    assert_eq!(rig.api.count("list", "metadata.name=services"), 0, "there is no definition of theirs");
}

#[tokio::test]
async fn services_that_may_not_be_listed_are_a_note_and_with_discovery_true_an_error() {
    for (discovery, is_error) in [(Discovery::Off, false), (Discovery::Default, false), (Discovery::Required, true)] {
        let api = cilium().await;
        api.fault(Fault::new("list", SERVICES, Action::Status(403, "services is forbidden")).except_named());
        let mut start = Start::new(&api);
        start.discovery = discovery;
        let mut rig = start.run(api, tempfile::tempdir().unwrap());
        let health = rig.health(|health| health.notes.len() == 1).await;
        let note = &health.notes[0];
        for part in
            ["narrowing and managed Services are off", "ClusterRole", "services is forbidden", "apiGroups: [\"\"]"]
        {
            assert!(note.contains(part), "{part} is missing in: {note}");
        }
        let error = health.reason.as_ref().map(|(word, _)| word.as_str());
        assert_eq!((health.state, error), (ConnectionState::Connected, is_error.then_some("DiscoveryForbidden")));
        rig.holds(FIRST).await;
        rig.api.clear_faults();
        rig.health(|health| health.notes.is_empty() && health.reason.is_none()).await;
        rig.until(|api| api.count("watch", SERVICES) == 1).await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_services_keeps_no_pool_waiting() {
    let api = cilium().await;
    api.fault(Fault::new("list", SERVICES, Action::Status(500, "etcdserver: request timed out")));
    let start = Start::new(&api);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.holds(FIRST).await;
}

fn schema(version: &str) -> Schema {
    Schema::of_label(Some(version))
}

#[tokio::test]
async fn the_schema_is_told_at_the_start_and_at_every_change() {
    let api = Api::start().await;
    let define = |label: Value| api.define_with("CiliumLoadBalancerIPPool", &["v2"], &label);
    define(json!({LABEL: "1.32.7"}));
    let mut listener = Listener::new(&api, Subject::Definition(Kind::CiliumLoadBalancerIPPool)).await;
    assert_eq!(listener.next().await, News::Defined(schema("1.32.7")));
    // `define` ends the watches, as kube-apiserver does with those of the kind, but not with those of definitions.
    define(json!({LABEL: "1.33.11"}));
    assert_eq!(listener.next().await, News::Defined(schema("1.33.11")));
    define(json!({}));
    assert_eq!(listener.next().await, News::Defined(Schema::Unlabelled(None)));
    let resource = "customresourcedefinitions.apiextensions.k8s.io";
    api.delete(&Key::new(resource, None, "ciliumloadbalancerippools.cilium.io"));
    assert_eq!(listener.next().await, News::Listed(vec![]));
}

/// The definition is asked for its version only while a pool of Cilium is ours, and only with its metadata.
#[tokio::test]
async fn the_schema_is_asked_for_while_a_pool_is_ours() {
    let api = cilium().await;
    let mut start = Start::new(&api);
    start.discovery = Discovery::Default;
    start.wanted = Some(super::rig::wanted_on(FIRST, &[]));
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.until(|api| api.count("watch", "ciliumloadbalancerippools") == 1).await;
    assert_eq!(rig.api.count("list", DEFINITION), 0, "no pool is ours");
    let mut annotated = pool("annotated", &[]);
    annotated["metadata"]["annotations"] = json!({"dynamic-prefix.io/name": "ipv6", "dynamic-prefix.io/whole": "true"});
    rig.api.put(annotated);
    rig.until(|api| api.count("watch", DEFINITION) == 1).await;
    assert_eq!(rig.api.count("list", DEFINITION), 1);
    // Other pools, and changes of this one, change nothing about that.
    rig.api.put(pool("another", &[]));
    rig.wanted.send_replace(Some(super::rig::wanted_on(SECOND, &[])));
    rig.until(|api| api.get(&Key::pool("annotated")).unwrap()["spec"]["blocks"] == json!([{"cidr": SECOND}])).await;
    assert_eq!((rig.api.count("list", DEFINITION), rig.api.count("watch", DEFINITION)), (1, 1));
}

/// A pool is not written before it is known how: else it would be written twice.
#[tokio::test]
async fn the_first_write_waits_for_the_schema() {
    let api = cilium().await;
    api.fault(Fault::new("list", DEFINITION, Action::Hang));
    let mut start = Start::new(&api);
    start.timeouts.operation = Duration::from_secs(10);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    // All others have listed.
    rig.until(|api| api.count("watch", SERVICES) == 1 && api.count("watch", "/ciliumloadbalancerippools") == 1).await;
    rig.until(|api| api.count("list", DEFINITION) == 1).await;
    assert_eq!(rig.api.count("patch", ""), 0);
    rig.api.clear_faults();
    rig.holds(FIRST).await;
    assert_eq!(rig.api.count("patch", ""), 1);
}

#[tokio::test]
async fn a_definition_that_may_not_be_read_is_a_note() {
    let api = cilium().await;
    let refusal = Action::Status(403, "customresourcedefinitions is forbidden");
    api.fault(Fault::new("", "customresourcedefinitions", refusal));
    let mut start = Start::new(&api);
    start.discovery = Discovery::Required;
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.holds(FIRST).await;
    let health = rig.health(|health| health.notes.len() == 1).await;
    let note = &health.notes[0];
    for part in ["version of Cilium", "resourceNames: [ciliumloadbalancerippools.cilium.io]", "is forbidden"] {
        assert!(note.contains(part), "{part} is missing in: {note}");
    }
    assert_eq!(health.reason, None, "this is not discovery");
    rig.api.clear_faults();
    rig.health(|health| health.notes.is_empty()).await;
}

#[tokio::test]
async fn an_island_without_services_in_use_asks_for_none() {
    let mut rig = rig().await;
    rig.watches().await;
    rig.until(|api| api.count("watch", SERVICES) == 1).await;
    // A group is not handed out from.
    let api = cilium().await;
    let mut start = Start::new(&api);
    let group = ObjectRef { kind: Kind::CiliumCIDRGroup, namespace: None, name: "group".to_owned() };
    start.wanted = Some(super::rig::wanted_on(FIRST, &[group]));
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.until(|api| api.count("watch", "ciliumcidrgroups") == 1).await;
    assert_eq!(rig.api.count("list", SERVICES) + rig.api.count("list", DEFINITION), 0);
}
