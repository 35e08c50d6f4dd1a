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
    let text = "may not patch ciliumloadbalancerippools.cilium.io of any name in the whole cluster";
    expect(&found, "permission", "warning", text)?;
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
    ensure!(text.contains(&format!("kubeconfig = \"{}\"", kubeconfig.display())), "{text}");
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("dyn-prefix.toml");
    std::fs::write(&path, &text)?;
    let check = Command::new(PROGRAM).arg("check").arg(&path).output()?;
    ensure!(check.status.success(), "{check:?}\n{text}");
    Ok(())
}
