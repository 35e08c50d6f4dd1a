//! What the daemon may do, by examples/rbac.yaml, and what it says when it may do less.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::join::join;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, METALLB_NAMESPACE, wait_for};
use crate::rig::{Cluster, Daemon, Lab, PATIENCE, cluster, dynamic_prefix};

pub(crate) const STORIES: &[Story] = &[
    ("RBAC: examples/rbac.yaml is all that is needed, and no more than that", example),
    ("RBAC: without patch every target says so", no_patch),
    ("RBAC: without list or watch a note says so, and with discovery = true an error", no_list_or_watch),
    ("RBAC: by name only, where the kind as a whole is forbidden", by_name),
];

const EXAMPLE: &str = include_str!("../../examples/rbac.yaml");
/// Those of the three kinds, in their order, and Services.
const RESOURCES: [(&str, &str); 4] = [
    ("cilium.io", "ciliumloadbalancerippools"),
    ("cilium.io", "ciliumcidrgroups"),
    ("metallb.io", "ipaddresspools"),
    ("", "services"),
];

/// Reading the definition of Cilium's pools.
fn definition() -> Value {
    json!({
        "apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["list", "watch"],
        "resourceNames": ["ciliumloadbalancerippools.cilium.io"],
    })
}

fn name(id: &str, kind: Kind) -> String {
    format!("{id}-{}", kind.field().to_lowercase())
}

fn bindings(id: &str) -> String {
    dynamic_prefix(id, "maxPrefixHistory = 0") + &Kind::ALL.map(|kind| kind.binding(id, &name(id, kind))).concat()
}

/// Makes the three objects of the bindings.
fn create(server: &ApiServer, id: &str) -> Result<()> {
    Kind::ALL.into_iter().try_for_each(|kind| kind.create(server, &name(id, kind), None).map(drop))
}

fn wait(server: &ApiServer, id: &str, letter: char) -> Result<()> {
    Kind::ALL.into_iter().try_for_each(|kind| {
        kind.wait(server, id, &name(id, kind), &kind.of_user(), &kind.ours(Part::Lb, letter)).map(drop)
    })
}

fn example(_: &Lab) -> Result<()> {
    let own = Cluster::bare()?;
    let (server, id) = (&own.server, "example");
    server.ensure_namespace(METALLB_NAMESPACE)?;
    // What is in the file is what `join` applies.
    server.dry_run_yaml(EXAMPLE)?;
    let path = server.dir().join("example.kubeconfig");
    let template = cluster("lab", &path, "discovery = true") + &bindings(id);
    join(server, id, &template)?;
    let applied = server.apply_yaml(EXAMPLE)?;
    let is_new = |object: &&Value| {
        let managers = object["metadata"]["managedFields"].as_array();
        !managers.is_some_and(|managers| managers.iter().any(|entry| entry["manager"] == "dyn-prefix-join"))
    };
    ensure!(applied.iter().find(is_new).is_none(), "`join` has not applied all of the file: {applied:#?}");
    let mut daemon = Daemon::start(id, 'a', &template)?;
    for kind in Kind::ALL {
        daemon.wait_reason(&name(id, kind), "KindNotInstalled")?;
    }
    server.install_cilium_crds(&["v2", "v2alpha1"])?;
    server.install_metallb_crds()?;
    create(server, id)?;
    create_service(server, id)?;
    Kind::ALL.into_iter().try_for_each(|kind| {
        kind.create(server, &format!("annotated-{}", name(id, kind)), Some((id, Part::Web))).map(drop)
    })?;
    crate::services::sees(server, &name(id, Kind::Pool))?;
    // It has no address that it could lose, so it asks for the one of its suffix at once.
    let pinned = server.wait_object(SERVICE, PATIENCE, |service| {
        service["metadata"]["annotations"]["lbipam.cilium.io/ips"] == "2001:db8:a:0:f000::2"
    });
    pinned.with_context(|| format!("its target is {:#?}", daemon.wait_target("example", |_| true)))?;
    // Without an operator it would wait for its next address for ever, and hold the old range.
    server.delete(SERVICE)?;
    for letter in ['a', 'b'] {
        daemon.rotate(letter)?;
        wait(server, id, letter)?;
        for kind in Kind::ALL {
            let annotated = format!("annotated-{}", name(id, kind));
            kind.wait(server, id, &annotated, &kind.of_user(), &kind.ours(Part::Web, letter))?;
            daemon.wait_reason(&annotated, "Synced")?;
        }
    }
    event_again(server, &daemon, &format!("annotated-{}", name(id, Kind::Group)))?;
    let clusters = daemon.status()?.1["clusters"].take();
    ensure!(clusters[0]["notes"] == json!([]) && clusters[0]["reason"].is_null(), "not all is well: {clusters:#}");
    used_is_granted(server)
}

/// What is released and taken again gets the same event once more, which makes it a series.
fn event_again(server: &ApiServer, daemon: &Daemon, group: &str) -> Result<()> {
    let path = Kind::Group.path(group);
    let annotate = |value: Value| server.patch(&path, &json!({"metadata": {"annotations": value}})).map(drop);
    let was = server.get(&path)?["metadata"]["annotations"]["dynamic-prefix.io/name"].take();
    annotate(json!({"dynamic-prefix.io/name": null}))?;
    server.wait_object(&path, PATIENCE, |object| {
        object["metadata"]["annotations"]["dynamic-prefix.io/managed-by"].is_null()
    })?;
    annotate(json!({"dynamic-prefix.io/name": was}))?;
    daemon.wait_reason(group, "Synced")?;
    wait_for("a series of events", PATIENCE, || {
        let events = server.get("/apis/events.k8s.io/v1/namespaces/default/events")?;
        let is_it = |event: &Value| event["regarding"]["name"] == group && event["series"]["count"] == 2;
        Ok(events["items"].as_array().into_iter().flatten().any(is_it).then_some(()))
    })
}

const SERVICE: &str = "/api/v1/namespaces/default/services/example";

/// Makes a Service of Cilium with a fixed host part in the range `lb`.
fn create_service(server: &ApiServer, id: &str) -> Result<()> {
    let annotations = json!({
        "dynamic-prefix.io/name": id, "dynamic-prefix.io/service-address-range": "lb",
        "dynamic-prefix.io/suffix": "::f000:0:0:2",
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "example", "namespace": "default", "annotations": annotations},
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": "io.cilium/bgp-control-plane", "ports": [{"port": 80}],
            "ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack", "selector": {"app": "example"},
        },
    });
    server.create("/api/v1/namespaces/default/services", &service).map(drop)
}

/// What the account was used for is exactly what the file grants.
fn used_is_granted(server: &ApiServer) -> Result<()> {
    let events = server.audit_of("system:serviceaccount:kube-system:dyn-prefix")?;
    let refused: Vec<_> = events.iter().filter(|event| event.code == 403).map(|event| &event.uri).collect();
    ensure!(refused.is_empty(), "forbidden: {refused:?}");
    let used = |event: &crate::lab::AuditEvent| {
        let text = |key: &str| event.raw["objectRef"][key].as_str().map(str::to_owned);
        // The core group has no name.
        Some((text("apiGroup").unwrap_or_default(), text("resource")?, event.verb.clone()))
    };
    // `join` has asked what the account may do, as everybody may.
    let granted_to_all = |(group, _, _): &(String, String, String)| group == "authorization.k8s.io";
    let used: BTreeSet<_> = events.iter().filter_map(used).filter(|right| !granted_to_all(right)).collect();
    let mut granted = BTreeSet::new();
    let group = "/apis/rbac.authorization.k8s.io/v1";
    let role = server.get(&format!("{group}/clusterroles/dyn-prefix"))?;
    for rule in role["rules"].as_array().context("a role without rules")? {
        granted.extend(rights(rule));
    }
    let (unused, missing): (Vec<_>, Vec<_>) =
        (granted.difference(&used).collect(), used.difference(&granted).collect());
    ensure!(used == granted, "granted and not used: {unused:?}; used and not granted: {missing:?}");
    Ok(())
}

/// Group, resource and verb of everything that a rule grants.
fn rights(rule: &Value) -> Vec<(String, String, String)> {
    let texts = |key: &str| -> Vec<String> {
        let list = rule[key].as_array().into_iter().flatten();
        list.filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let mut all = Vec::new();
    for group in texts("apiGroups") {
        for resource in texts("resources") {
            all.extend(texts("verbs").into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
        }
    }
    all
}

/// A daemon of a user that has these verbs on all of [`RESOURCES`].
fn with_verbs(server: &ApiServer, id: &str, verbs: &[&str], more: &str) -> Result<Daemon> {
    let groups = ["cilium.io", "metallb.io", ""];
    let resources = RESOURCES.map(|(_, resource)| resource);
    server.grant(id, &json!([{"apiGroups": groups, "resources": resources, "verbs": verbs}, definition()]))?;
    create(server, id)?;
    let path = server.kubeconfig_for(id, &[])?;
    Daemon::start(id, 'a', &(cluster("lab", &path, more) + &bindings(id)))
}

fn no_patch(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "no-patch");
    let mut daemon = with_verbs(server, id, &["list", "watch"], "")?;
    for (kind, (group, resource)) in Kind::ALL.into_iter().zip(RESOURCES) {
        let target = daemon.wait_reason(&name(id, kind), "Forbidden")?;
        let message = target["message"].as_str().unwrap_or_default();
        for part in ["patch", group, resource, &name(id, kind)] {
            ensure!(message.contains(part), "{part} is missing in: {message}");
        }
        daemon.wait_log(&["warning", &name(id, kind), "patch"])?;
    }
    ensure!(daemon.status()?.0 == 3, "`status` exits with {}", daemon.status()?.0);

    // Granted now: the next change is written, without a restart.
    let resources = RESOURCES.map(|(_, resource)| resource);
    let rule = json!({
        "apiGroups": ["cilium.io", "metallb.io", ""], "resources": resources, "verbs": ["list", "watch", "patch"],
    });
    server.grant(id, &json!([rule, definition()]))?;
    let path = Kind::Pool.path(&name(id, Kind::Pool));
    let client = server.client_as(&certificate(server, id))?;
    wait_for("the right to patch", PATIENCE, || {
        let nothing: (&str, &[u8]) = ("application/merge-patch+json", b"{}");
        Ok(client.request("PATCH", &format!("{path}?dryRun=All"), Some(nothing))?.ok().then_some(()))
    })?;
    daemon.rotate('b')?;
    wait(server, id, 'b')?;
    for kind in Kind::ALL {
        daemon.wait_reason(&name(id, kind), "Synced")?;
    }
    Ok(())
}

/// What the kubeconfig of a user by certificate holds.
fn certificate(server: &ApiServer, user: &str) -> crate::lab::Credentials {
    let file = |extension: &str| server.ca().with_file_name(format!("client-{user}.{extension}"));
    crate::lab::Credentials::Certificate(file("crt"), file("key"))
}

fn no_list_or_watch(lab: &Lab) -> Result<()> {
    let server = lab.shared()?;
    for (id, verbs) in [("no-list", ["watch", "patch"]), ("no-watch", ["list", "patch"])] {
        let daemon = with_verbs(server, id, &verbs, "")?;
        let seen = daemon.wait_cluster("lab", |cluster| {
            let notes = cluster["notes"].as_array().map_or(&[][..], Vec::as_slice);
            let has = |resource: &str| notes.iter().any(|note| note.as_str().is_some_and(|n| n.contains(resource)));
            RESOURCES.iter().all(|(_, resource)| has(resource))
        });
        let seen = seen.with_context(|| format!("{id}: four notes are due"))?;
        ensure!(seen["state"] == "connected" && seen["reason"].is_null(), "{id}: a note is no error: {seen:#}");

        let id = format!("{id}-required");
        let daemon = with_verbs(server, &id, &verbs, "discovery = true")?;
        let seen = daemon.wait_cluster("lab", is_discovery_forbidden)?;
        ensure!(seen["state"] == "connected", "{id}: {seen:#}");
        ensure!(daemon.status()?.0 == 3, "{id}: `status` exits with {}", daemon.status()?.0);
    }
    Ok(())
}

fn is_discovery_forbidden(cluster: &Value) -> bool {
    cluster["reason"].as_str().is_some_and(|reason| reason.starts_with("DiscoveryForbidden"))
}

fn by_name(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "by-name");
    let rules = Kind::ALL.into_iter().zip(RESOURCES).map(|(kind, (group, resource))| {
        json!({
            "apiGroups": [group], "resources": [resource], "resourceNames": [name(id, kind)],
            "verbs": ["list", "watch", "patch"],
        })
    });
    let services = json!({"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]});
    server.grant(id, &rules.chain([services, definition()]).collect())?;
    create(server, id)?;
    let path = server.kubeconfig_for(id, &[])?;
    let template = |discovery: &str| cluster("lab", &path, &format!("{discovery}\nevents = false")) + &bindings(id);
    let mut daemon = Daemon::start(id, 'a', &template(""))?;
    wait(server, id, 'a')?;
    let seen = daemon.wait_cluster("lab", |cluster| cluster["notes"].as_array().is_some_and(|all| all.len() == 3))?;
    ensure!(seen["reason"].is_null(), "a note is no error: {seen:#}");
    // They are watched, each by its name.
    for kind in Kind::ALL {
        server.patch(&kind.path(&name(id, kind)), &json!({"spec": {kind.field(): kind.of_user()}}))?;
    }
    wait(server, id, 'a')?;
    daemon.rotate('b')?;
    wait(server, id, 'b')?;

    daemon.edit(&template("discovery = true"))?;
    daemon.wait_cluster("lab", is_discovery_forbidden)?;
    daemon.rotate('c')?;
    wait(server, id, 'c')?;

    daemon.edit(&template("discovery = false"))?;
    let is_quiet = |cluster: &Value| cluster["reason"].is_null() && cluster["notes"] == json!([]);
    daemon.wait_cluster("lab", is_quiet)?;
    daemon.rotate('d')?;
    wait(server, id, 'd')
}
