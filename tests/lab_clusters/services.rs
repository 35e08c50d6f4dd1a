//! Services on a real API server: which of them are seen, and what Cilium's definitions tell of its version.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::cluster::schema::Schema;
use dyn_prefix::cluster::timeouts::Timeouts;
use dyn_prefix::cluster::watch::{News, Subject, Watches};
use dyn_prefix::cluster::{client, kubeconfig};
use dyn_prefix::config::{Kind, Kubeconfig, ObjectRef};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::Receiver;

use crate::Story;
use crate::kinds::{Kind as Target, Part};
use crate::lab::{ApiServer, CiliumOperator, cache_dir};
use crate::rig::{Cluster, Daemon, Lab, PATIENCE, cluster, dynamic_prefix};

pub(crate) const STORIES: &[Story] = &[
    ("Services: only those of type LoadBalancer are seen, and one that changes its type is gone", by_type),
    ("Services: by name and type, where only that name is allowed", by_name),
    ("Services: without the right to see them a note says so, and with discovery = true an error", unseen),
    ("Services: without the right to see Cilium's definition a note says so, and nothing is narrowed", undefined),
    ("Services: nothing is narrowed on Cilium 1.19, and it is as soon as 1.20 has taken its place", upgraded),
    ("Services: a [[service]] is watched, written and given back by its name where no other is allowed", entry),
];

pub(crate) const WITH_OPERATOR: &[Story] =
    &[("Cilium: the version of its schema is read, and an upgrade of the operator is noticed", schema)];

/// The watch of one subject on a real API server, and what it says.
struct Listener {
    news: Receiver<(Subject, News)>,
    // Dropped in this order: the watches before the runtime that they run on.
    _watches: Watches,
    runtime: Runtime,
}

impl Listener {
    fn new(server: &ApiServer, user: &str, groups: &[&str], subject: Subject) -> Result<Self> {
        let path = server.kubeconfig_for(user, groups)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let read = move || kubeconfig::read(&Kubeconfig::File(path), None).config;
        let config = runtime.block_on(runtime.spawn_blocking(read))??;
        let _entered = runtime.enter();
        let timeouts = Timeouts::default();
        let client = client::build(config, &timeouts).map_err(|failure| anyhow::anyhow!("no client: {failure:?}"))?;
        let (mut watches, news) = Watches::new(client, timeouts, 1);
        watches.set([subject].into());
        Ok(Self { news, _watches: watches, runtime })
    }

    fn next(&mut self) -> Result<News> {
        let next = async { tokio::time::timeout(PATIENCE, self.news.recv()).await };
        let (_, news) =
            self.runtime.block_on(next).context("the watch says nothing")?.context("the watch has ended")?;
        Ok(news)
    }

    /// What it says next is this.
    fn says(&mut self, expected: &News) -> Result<()> {
        let news = self.next()?;
        ensure!(news == *expected, "{expected:?} was due, and it says {news:?}");
        Ok(())
    }

    fn lists(&mut self, expected: &[&ObjectRef]) -> Result<()> {
        let news = self.next()?;
        let News::Listed(objects) = &news else { anyhow::bail!("a list was due, and it says {news:?}") };
        let listed: Vec<_> = objects.iter().map(|object| &object.reference).collect();
        ensure!(listed == expected, "{expected:?} were due, and it lists {listed:?}");
        Ok(())
    }

    fn changes(&mut self, expected: &ObjectRef) -> Result<()> {
        let news = self.next()?;
        let is_right = matches!(&news, News::Changed(object) if object.reference == *expected);
        ensure!(is_right, "a change of {expected} was due, and it says {news:?}");
        Ok(())
    }
}

fn reference(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::Service, namespace: Some(namespace.to_owned()), name: name.to_owned() }
}

fn create(server: &ApiServer, namespace: &str, name: &str, kind: &str) -> Result<()> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": kind, "ports": [{"port": 80}], "selector": {"app": name}},
    });
    server.create(&format!("/api/v1/namespaces/{namespace}/services"), &service).map(drop)
}

fn set_type(server: &ApiServer, namespace: &str, name: &str, kind: &str) -> Result<()> {
    let path = format!("/api/v1/namespaces/{namespace}/services/{name}");
    server.patch(&path, &json!({"spec": {"type": kind}})).map(drop)
}

fn by_type(_: &Lab) -> Result<()> {
    let own = Cluster::bare()?;
    let (server, user) = (&own.server, "types");
    create(server, "default", "front", "LoadBalancer")?;
    create(server, "default", "inner", "ClusterIP")?;
    let subject = Subject::Kind { kind: Kind::Service, version: "v1".to_owned() };
    let mut listener = Listener::new(server, user, &["system:masters"], subject)?;
    let (front, inner, other) =
        (reference("default", "front"), reference("default", "inner"), reference("kube-system", "other"));
    listener.lists(&[&front])?;
    // Neither of the first two is told of, or else it would come before the third.
    create(server, "default", "ports", "NodePort")?;
    server.patch("/api/v1/namespaces/default/services/inner", &json!({"metadata": {"labels": {"a": "b"}}}))?;
    create(server, "kube-system", "other", "LoadBalancer")?;
    listener.changes(&other)?;
    set_type(server, "default", "front", "ClusterIP")?;
    listener.says(&News::Deleted(front.clone()))?;
    set_type(server, "default", "inner", "LoadBalancer")?;
    listener.changes(&inner)?;
    set_type(server, "default", "front", "LoadBalancer")?;
    listener.changes(&front)?;
    server.delete("/api/v1/namespaces/kube-system/services/other")?;
    listener.says(&News::Deleted(other))?;
    // The server selected, not we.
    let requests = server.audit_of(user)?;
    let asks = |uri: &str| uri.starts_with("/api/v1/services?") && uri.contains("spec.type%3DLoadBalancer");
    ensure!(!requests.is_empty() && requests.iter().all(|event| asks(&event.uri)), "asked: {requests:#?}");
    Ok(())
}

fn by_name(_: &Lab) -> Result<()> {
    let own = Cluster::bare()?;
    let (server, user) = (&own.server, "one-name");
    let rule = json!({
        "apiGroups": [""], "resources": ["services"], "resourceNames": ["front"], "verbs": ["list", "watch", "patch"],
    });
    server.grant(user, &json!([rule]))?;
    create(server, "default", "front", "LoadBalancer")?;
    let all = Subject::Kind { kind: Kind::Service, version: "v1".to_owned() };
    let news = Listener::new(server, user, &[], all)?.next()?;
    let is_forbidden = matches!(&news, News::Refused(failure) if failure.code() == Some(403));
    ensure!(is_forbidden, "the kind as a whole: {news:?}");
    let front = reference("default", "front");
    let named = Subject::Named { object: front.clone(), version: "v1".to_owned() };
    let mut listener = Listener::new(server, user, &[], named)?;
    listener.lists(&[&front])?;
    set_type(server, "default", "front", "NodePort")?;
    listener.says(&News::Deleted(front.clone()))?;
    set_type(server, "default", "front", "LoadBalancer")?;
    listener.changes(&front)
}

/// Waits until the definition says so, and no third thing before.
fn becomes(listener: &mut Listener, before: &Schema, expected: &Schema) -> Result<()> {
    loop {
        match listener.next()? {
            News::Defined(schema) if schema == *expected => return Ok(()),
            // What it was, with another change.
            News::Defined(schema) if schema == *before => {}
            other @ (News::Defined(_)
            | News::Listed(_)
            | News::Changed(_)
            | News::Deleted(_)
            | News::Refused(_)
            | News::Lost(_)) => anyhow::bail!("schema {expected:?} was due, and the watch says {other:?}"),
        }
    }
}

fn schema(_: &Lab) -> Result<()> {
    let own = Cluster::bare()?;
    let server = &own.server;
    // Cilium 1.19.7 has left this.
    server.install_cilium_crds_as(&["v2", "v2alpha1"], "1.32.7")?;
    let subject = Subject::Definition(Kind::CiliumLoadBalancerIPPool);
    let mut listener = Listener::new(server, "schema", &["system:masters"], subject)?;
    let news = listener.next()?;
    let News::Defined(before) = &news else { anyhow::bail!("a definition was due, and it says {news:?}") };
    ensure!(*before == Schema::of_label(Some("1.32.7")), "{before:?}");
    ensure!(before.obstacle().is_some_and(|text| text.contains("older than 1.20")), "{:?}", before.obstacle());
    let path = cache_dir()?.join("crd/cilium/schema-version");
    let of_operator = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let expected = Schema::of_label(Some(of_operator.trim()));
    // The watch goes on meanwhile: what is not driven for longer than an answer may take is lost.
    let _operator = std::thread::scope(|scope| {
        let starting = scope.spawn(|| CiliumOperator::start(server));
        becomes(&mut listener, before, &expected)?;
        starting.join().ok().context("starting the operator panicked")?
    })?;
    ensure!(expected.obstacle().is_none(), "the operator of the lab is 1.20: {:?}", expected.obstacle());
    let label = &server.get(DEFINITION)?["metadata"]["labels"][dyn_prefix::cluster::schema::LABEL];
    ensure!(*label == *of_operator.trim(), "the label is {label}");
    Ok(())
}

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ciliumloadbalancerippools.cilium.io";

/// What the account may do with pools.
fn pools() -> Value {
    json!({
        "apiGroups": ["cilium.io", "metallb.io"], "verbs": ["list", "watch", "patch"],
        "resources": ["ciliumloadbalancerippools", "ciliumcidrgroups", "ipaddresspools"],
    })
}

fn definitions() -> Value {
    json!({
        "apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["list", "watch"],
    })
}

/// The file of a daemon with one pool, whose former prefixes drain for an hour.
fn one_pool(kubeconfig: &Path, id: &str, cluster_keys: &str) -> String {
    let prefix = dynamic_prefix(id, "drainPeriodMinutes = 60");
    cluster("lab", kubeconfig, cluster_keys) + &prefix + &Target::Pool.binding(id, id)
}

/// The daemon of an account with these rights, which has filled a pool with `a` and then `b`, both in full; and its
/// kubeconfig.
fn both_in_full(server: &ApiServer, id: &str, rules: &Value) -> Result<(Daemon, PathBuf)> {
    server.grant(id, rules)?;
    Target::Pool.create(server, id, None)?;
    let kubeconfig = server.kubeconfig_for(id, &[])?;
    let mut daemon = Daemon::start(id, 'a', &one_pool(&kubeconfig, id, ""))?;
    let (user, ours) = (Target::Pool.of_user(), |letters| Target::Pool.all_ours(Part::Lb, letters));
    Target::Pool.wait(server, id, id, &user, &ours("a"))?;
    daemon.rotate('b')?;
    Target::Pool.wait(server, id, id, &user, &ours("ba"))?;
    Ok((daemon, kubeconfig))
}

/// The notes on the cluster, as soon as there is one with all of `parts`; without an error.
fn note(daemon: &Daemon, parts: &[&str]) -> Result<()> {
    let is_told = |note: &Value| note.as_str().is_some_and(|note| parts.iter().all(|part| note.contains(part)));
    let has_note = |cluster: &Value| cluster["notes"].as_array().is_some_and(|notes| notes.iter().any(is_told));
    let seen = daemon.wait_cluster("lab", has_note).with_context(|| format!("a note with {parts:?} is due"))?;
    ensure!(seen["state"] == "connected" && seen["reason"].is_null(), "a note is no error: {seen:#}");
    ensure!(seen["notes"].as_array().is_some_and(|notes| notes.len() == 1), "more than one note: {seen:#}");
    Ok(())
}

fn unseen(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "no-services");
    let (mut daemon, kubeconfig) = both_in_full(server, id, &json!([pools(), definitions()]))?;
    note(
        &daemon,
        &["/api/v1/services", "narrowing and managed Services are off", "ClusterRole", "list, watch, patch"],
    )?;
    daemon.edit(&one_pool(&kubeconfig, id, "discovery = false"))?;
    note(&daemon, &["/api/v1/services", "draining ranges stay in the pools in full"])?;
    daemon.edit(&one_pool(&kubeconfig, id, "discovery = true"))?;
    let is_error = |cluster: &Value| cluster["reason"].as_str().is_some_and(|r| r.starts_with("DiscoveryForbidden"));
    daemon.wait_cluster("lab", is_error)?;
    ensure!(daemon.status()?.0 == 3, "`status` exits with {}", daemon.status()?.0);
    Ok(())
}

fn undefined(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "no-definition");
    let services = json!({"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]});
    let (mut daemon, kubeconfig) = both_in_full(server, id, &json!([pools(), services]))?;
    let parts =
        ["ciliumloadbalancerippools.cilium.io", "version of Cilium", "customresourcedefinitions", "list, watch"];
    note(&daemon, &parts)?;
    daemon.edit(&one_pool(&kubeconfig, id, "discovery = true"))?;
    note(&daemon, &parts)
}

fn upgraded(_: &Lab) -> Result<()> {
    let own = Cluster::bare()?;
    let (server, id) = (&own.server, "upgraded");
    server.install_cilium_crds_as(&["v2", "v2alpha1"], "1.32.7")?;
    server.install_metallb_crds()?;
    let services = json!({"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]});
    let (daemon, _) = both_in_full(server, id, &json!([pools(), definitions(), services]))?;
    let says_why = |target: &Value| target["message"].as_str().is_some_and(|text| text.contains("older than 1.20"));
    daemon.wait_target(id, says_why)?;
    server.install_cilium_crds(&["v2", "v2alpha1"])?;
    Target::Pool.wait(server, id, id, &Target::Pool.of_user(), &Target::Pool.drained(Part::Lb, "ba"))?;
    daemon.wait_reason(id, "Synced").map(drop)
}

/// What the operator says once it has seen what the pool holds of ours: before, nobody is told to ask for it.
pub(crate) fn sees(server: &ApiServer, name: &str) -> Result<()> {
    let path = Target::Pool.path(name);
    let is_filled = |pool: &Value| pool["metadata"]["annotations"]["dynamic-prefix.io/managed-blocks"].is_string();
    let pool = server.wait_object(&path, PATIENCE, is_filled)?;
    let total = json!({
        "type": "cilium.io/IPsTotal", "status": "Unknown", "reason": "noreason", "message": "65536",
        "lastTransitionTime": "2026-11-21T00:00:00Z", "observedGeneration": pool["metadata"]["generation"],
    });
    server.patch(&format!("{path}/status"), &json!({"status": {"conditions": [total]}})).map(drop)
}

fn entry(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "one-entry");
    let front = json!({
        "apiGroups": [""], "resources": ["services"], "resourceNames": [id], "verbs": ["list", "watch", "patch"],
    });
    server.grant(id, &json!([pools(), definitions(), front]))?;
    Target::Pool.create(server, id, None)?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": id, "namespace": "default"},
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": "io.cilium/bgp-control-plane", "ports": [{"port": 80}],
            "ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack", "selector": {"app": id},
        },
    });
    server.create("/api/v1/namespaces/default/services", &service)?;
    let entry = format!(
        "\n[[service]]\nnamespace = \"default\"\nname = \"{id}\"\nprefixRef = \"{id}/lb\"\nsuffix = \"::f000:0:0:3\"\n"
    );
    let kubeconfig = server.kubeconfig_for(id, &[])?;
    let mut daemon = Daemon::start(id, 'a', &(one_pool(&kubeconfig, id, "discovery = false") + &entry))?;
    sees(server, id)?;
    let path = format!("/api/v1/namespaces/default/services/{id}");
    server.wait_object(&path, PATIENCE, |service| {
        let annotations = &service["metadata"]["annotations"];
        annotations["lbipam.cilium.io/ips"] == "2001:db8:a:0:f000::3"
            && annotations["dynamic-prefix.io/managed-by"] == id
    })?;
    daemon.wait_log(&["Service/default/one-entry", "asks for 2001:db8:a:0:f000::3"])?;
    // Its target would be read whatever its type.
    server.patch(&path, &json!({"spec": {"type": "ClusterIP", "loadBalancerClass": null}}))?;
    let is_free = |annotations: &Value| annotations.as_object().is_none_or(|notes| notes.is_empty());
    server.wait_object(&path, PATIENCE, |service| is_free(&service["metadata"]["annotations"]))?;
    daemon.wait_log(&["Service/default/one-entry released"])?;
    server.patch(&path, &json!({"spec": {"type": "LoadBalancer"}}))?;
    server.wait_object(&path, PATIENCE, |service| {
        service["metadata"]["annotations"]["lbipam.cilium.io/ips"] == "2001:db8:a:0:f000::3"
    })?;
    server.delete(&path)?;
    daemon.wait_reason(id, "TargetMissing").map(drop)
}
