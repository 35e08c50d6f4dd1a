//! `dyn-prefix doctor` and `dyn-prefix init` at a real API server: what they read is what is there. What they make of it
//! has its tests beside the checks.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::Kind;
use crate::lab::{ApiServer, METALLB_NAMESPACE};
use crate::rig::{Cluster, Lab, cluster, dynamic_prefix, full_access, prefix};

pub(crate) const STORIES: &[Story] = &[
    ("doctor: a cluster in order, and everything in it that can be wrong", doctor),
    ("doctor: credentials, rights and the way to the server", refused),
    ("doctor: by the printed role, what that does not let it see is said", printed_role),
    ("init: the pools of a cluster", init),
];

const PROGRAM: &str = env!("CARGO_BIN_EXE_dyn-prefix");

/// What it finds in the cluster `lab`.
fn examine(directory: &Path, template: &str) -> Result<Vec<Value>> {
    let path = directory.join("dyn-prefix.toml");
    let daemon = format!("[daemon]\nid = \"doctor\"\ncontrolSocket = \"{}\"\n\n", directory.join("none").display());
    std::fs::write(&path, daemon + &template.replace("@PREFIX@", &prefix('a')))?;
    let output = Command::new(PROGRAM).args(["doctor", "--output", "json", "--config"]).arg(&path).output()?;
    ensure!(output.status.code() == Some(3), "the daemon does not run: {output:?}");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let sections = report["sections"].as_array().context("sections")?;
    let section = sections.iter().find(|section| section["place"] == "cluster lab").context("the cluster")?;
    Ok(section["findings"].as_array().context("findings")?.clone())
}

fn expect(found: &[Value], check: &str, level: &str, says: &str) -> Result<()> {
    let is_it = |finding: &&Value| finding["check"] == check && finding["level"] == level;
    let is_said = |finding: &Value| {
        let text = |key: &str| finding[key].as_str().unwrap_or_default();
        format!("{} {}", text("message"), text("advice")).contains(says)
    };
    let said = found.iter().filter(is_it).any(is_said);
    ensure!(said, "{check} {level} {says:?} is not in {:#}", Value::from(found));
    Ok(())
}

fn bindings(id: &str) -> String {
    dynamic_prefix(id, "") + &[Kind::Pool, Kind::Metallb].map(|kind| kind.binding(id, id)).concat()
}

fn service(server: &ApiServer, address: &str, annotations: &Value) -> Result<()> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "front", "namespace": "default", "annotations": annotations, "labels": {"app": "front"}},
        "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv6"], "ports": [{"port": 80}]},
    });
    server.create("/api/v1/namespaces/default/services", &service)?;
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
    server.patch("/api/v1/namespaces/default/services/front/status", &status).map(drop)
}

fn doctor(_: &Lab) -> Result<()> {
    let own = Cluster::start()?;
    let (server, id) = (&own.server, "doctor");
    let directory = tempfile::tempdir()?;
    let template = cluster("lab", &full_access(server, id)?, "") + &bindings(id);
    let found = examine(directory.path(), &template)?;
    expect(&found, "credentials", "ok", "The credentials can be used until")?;
    expect(&found, "api-server", "ok", &server.url())?;
    expect(&found, "server-version", "ok", "is of version v")?;
    expect(&found, "server-clock", "ok", "agree")?;
    expect(&found, "server-address", "ok", "No address")?;
    expect(&found, "kind", "ok", "ciliumloadbalancerippools.cilium.io is served as v2.")?;
    expect(&found, "kind", "ok", "ipaddresspools.metallb.io is served as v1beta1.")?;
    expect(&found, "cilium-version", "ok", "1.20")?;
    expect(&found, "permission", "ok", "all rights")?;
    expect(&found, "target", "error", "CiliumLoadBalancerIPPool/doctor does not exist")?;

    Kind::Pool.create(server, id, None)?;
    Kind::Metallb.create(server, id, None)?;
    let marks = json!({"metadata": {"annotations": {
        "argocd.argoproj.io/tracking-id": "x", "dynamic-prefix.io/managed-by": "another",
    }}});
    server.patch(&Kind::Pool.path(id), &marks)?;
    service(
        server,
        "2001:db8:a:0:f000::3",
        &json!({
            "dns.example/hostname": "front.example", "dns.example/ttl": "7200",
        }),
    )?;
    let found = examine(directory.path(), &template)?;
    expect(&found, "target", "ok", "CiliumLoadBalancerIPPool/doctor exists.")?;
    expect(&found, "target", "ok", "/doctor exists.")?;
    expect(&found, "git-ops", "note", "ignoreDifferences: [{group: cilium.io")?;
    expect(&found, "other-writer", "error", "managed by the daemon \"another\", and we are \"doctor\"")?;
    expect(&found, "external-dns", "warning", "Add \"dns.example/\" to externalDnsAnnotationPrefixes")?;
    expect(&found, "dns-ttl", "warning", "for 7200 s")?;
    Ok(())
}

fn refused(_: &Lab) -> Result<()> {
    let mut own = Cluster::start()?;
    let directory = tempfile::tempdir()?;
    let server = &own.server;
    let (id, nobody) = ("refused", server.kubeconfig_for("nobody", &[])?);
    let template = cluster("lab", &nobody, "") + &bindings(id);
    let found = examine(directory.path(), &template)?;
    let text = "may not list, watch and patch ciliumloadbalancerippools.cilium.io of any name in the whole cluster";
    expect(&found, "permission", "error", text)?;
    expect(&found, "target", "unseen", "could not be seen")?;
    expect(&found, "cilium-version", "warning", "The version of Cilium is not known")?;

    let path = directory.path().join("kubeconfig");
    crate::lab::kubeconfig(server, &path, &json!({"token": "wrong"}))?;
    let wrong = cluster("lab", &path, "") + &bindings(id);
    expect(&examine(directory.path(), &wrong)?, "credentials", "error", "does not accept the credentials")?;

    std::fs::write(&path, "apiVersion: v1\nkind: Config\n")?;
    expect(&examine(directory.path(), &wrong)?, "credentials", "error", "no current-context")?;
    // A server that hangs is waited for, but not for long.
    own.server.freeze()?;
    let begun = std::time::Instant::now();
    expect(&examine(directory.path(), &template)?, "api-server", "error", "cannot be reached")?;
    ensure!(begun.elapsed().as_secs() < 20, "it took {:?}", begun.elapsed());
    own.server.thaw()?;
    own.server.kill()?;
    expect(&examine(directory.path(), &template)?, "api-server", "error", "cannot be reached")?;
    Ok(())
}

/// What only doctor reads, as the cluster that has it serves it.
const ANNOUNCERS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ciliuml2announcementpolicies.cilium.io}
spec:
  group: cilium.io
  scope: Cluster
  names: {kind: CiliumL2AnnouncementPolicy, plural: ciliuml2announcementpolicies}
  versions:
  - name: v2alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ciliumbgpadvertisements.cilium.io}
spec:
  group: cilium.io
  scope: Cluster
  names: {kind: CiliumBGPAdvertisement, plural: ciliumbgpadvertisements}
  versions:
  - name: v2
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"#;

/// A cluster in which nobody announces the Service, and whose external-dns reads other annotations.
fn unannounced(server: &ApiServer, id: &str) -> Result<()> {
    server.install_crds(ANNOUNCERS)?;
    Kind::Pool.create(server, id, None)?;
    Kind::Metallb.create(server, id, None)?;
    service(server, "2001:db8:a:0:f000::3", &json!({"external-dns.alpha.kubernetes.io/hostname": "front.example"}))?;
    server.apply(&json!({
        "apiVersion": "cilium.io/v2alpha1", "kind": "CiliumL2AnnouncementPolicy", "metadata": {"name": "other"},
        "spec": {"loadBalancerIPs": true, "serviceSelector": {"matchLabels": {"app": "other"}}},
    }))?;
    server.apply(&json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement",
        "metadata": {"name": "other", "namespace": METALLB_NAMESPACE}, "spec": {"ipAddressPools": ["other"]},
    }))?;
    let labels = json!({"app": "external-dns"});
    let containers = json!([{"name": "external-dns", "image": "registry.example/external-dns:v0.22.0"}]);
    server.apply(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "external-dns", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
    }))?;
    Ok(())
}

fn printed_role(_: &Lab) -> Result<()> {
    let own = Cluster::start()?;
    let (server, id) = (&own.server, "doctor");
    unannounced(server, id)?;
    let path = server.dir().join("printed.kubeconfig");
    let template = cluster("lab", &path, "") + &bindings(id);
    crate::join::join(server, id, &template)?;
    let directory = tempfile::tempdir()?;
    let found = examine(directory.path(), &template)?;
    expect(&found, "permission", "ok", "all rights")?;
    expect(&found, "target", "ok", "CiliumLoadBalancerIPPool/doctor exists.")?;
    expect(&found, "cilium-version", "ok", "1.20")?;
    for (kind, group, plural) in [
        ("CiliumL2AnnouncementPolicy", "cilium.io", "ciliuml2announcementpolicies"),
        ("CiliumBGPAdvertisement", "cilium.io", "ciliumbgpadvertisements"),
        ("L2Advertisement", "metallb.io", "l2advertisements"),
        ("BGPAdvertisement", "metallb.io", "bgpadvertisements"),
    ] {
        expect(&found, "announcement", "unseen", &format!("by objects of kind {kind} could not be seen"))?;
        let text = format!("apiGroups: [{group}], resources: [{plural}], verbs: [list]");
        expect(&found, "announcement", "unseen", &text)?;
    }
    let is_opinion = |finding: &&Value| finding["check"] == "announcement" && finding["level"] != "unseen";
    ensure!(found.iter().find(is_opinion).is_none(), "it cannot know: {:#}", Value::from(found));
    expect(&found, "external-dns", "unseen", "the external-dns of this cluster reads could not be seen")?;

    // What it says to add is what is missing.
    let rule =
        |group: &str, resources: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": ["list"]});
    let rules = json!([
        rule("cilium.io", &["ciliuml2announcementpolicies", "ciliumbgpadvertisements"]),
        rule("metallb.io", &["l2advertisements", "bgpadvertisements"]),
        rule("apps", &["deployments"]),
    ]);
    server.grant("system:serviceaccount:kube-system:dyn-prefix", &rules)?;
    let found = examine(directory.path(), &template)?;
    expect(&found, "announcement", "warning", "selects the Service default/front")?;
    expect(&found, "announcement", "warning", "No L2Advertisement and no BGPAdvertisement of MetalLB announces")?;
    expect(&found, "external-dns", "ok", "The external-dns default/external-dns reads external-dns.kubernetes.io/.")?;
    expect(
        &found,
        "external-dns",
        "warning",
        "No external-dns of this cluster reads external-dns.alpha.kubernetes.io/",
    )?;
    let is_unseen = |finding: &&Value| finding["level"] == "unseen";
    ensure!(found.iter().find(is_unseen).is_none(), "all is seen: {:#}", Value::from(found));
    Ok(())
}

fn init(_: &Lab) -> Result<()> {
    let own = Cluster::start()?;
    let server = &own.server;
    let kubeconfig = full_access(server, "init")?;
    let printed = || -> Result<String> {
        let output =
            Command::new(PROGRAM).args(["init", "--interface", "lo", "--kubeconfig"]).arg(&kubeconfig).output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let text = printed()?;
    ensure!(text.contains("There is no pool of Cilium or MetalLB"), "{text}");
    server.apply(&json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool", "metadata": {"name": "v4"},
        "spec": {"blocks": [{"cidr": "192.0.2.0/24"}]},
    }))?;
    server.apply(&json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": {"name": "dual", "namespace": METALLB_NAMESPACE},
        "spec": {"addresses": ["198.51.100.0/24", "2001:db8:ffff::/112"]},
    }))?;
    let text = printed()?;
    ensure!(text.contains(&format!("target = \"IPAddressPool/{METALLB_NAMESPACE}/dual\"")), "{text}");
    ensure!(text.contains("Another pool: CiliumLoadBalancerIPPool/v4."), "{text}");
    let joins = format!("dyn-prefix join --admin-kubeconfig {}`", kubeconfig.display());
    ensure!(text.replace("\n# ", " ").contains(&joins), "{text}");
    ensure!(text.contains("kubeconfig = \"/etc/dyn-prefix/home.kubeconfig\""), "{text}");
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("dyn-prefix.toml");
    std::fs::write(&path, &text)?;
    let check = Command::new(PROGRAM).arg("check").arg(&path).output()?;
    ensure!(check.status.success(), "{check:?}\n{text}");
    let plan = ["plan", "--output", "json", "--prefix", "2001:db8:a::/56", "--config"];
    let output = Command::new(PROGRAM).args(plan).arg(&path).output()?;
    ensure!(output.status.success(), "{output:?}\n{text}");
    let target = serde_json::from_slice::<Value>(&output.stdout)?["targets"][0].take();
    // The file is for an edge router, as lo hears no router: the second /64.
    ensure!(target["name"] == "dual" && target["boundPrefixes"] == json!(["2001:db8:a:1::/64"]), "{target:#}\n{text}");
    Ok(())
}
