//! The manifests for the pod, as the API server sees them.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::lab::{ApiServer, METALLB_NAMESPACE, split_yaml};
use crate::rig::{Cluster, Lab};

pub(crate) const STORIES: &[Story] = &[("Manifests: the API server takes those of packaging/kubernetes", manifests)];

const DEPLOYMENT: &str = include_str!("../../packaging/kubernetes/dyn-prefix.yaml");
const DEFINITION: &str = include_str!("../../packaging/kubernetes/dynamicprefixes.yaml");
const RBAC: &str = include_str!("../../packaging/kubernetes/rbac.yaml");
const EXAMPLE: &str = include_str!("../../examples/rbac.yaml");

fn manifests(_: &Lab) -> Result<()> {
    let own = Cluster::bare()?;
    let server = &own.server;
    // A dry run does not make the namespaces that what follows is in.
    for name in ["dyn-prefix", METALLB_NAMESPACE] {
        server.ensure_namespace(name)?;
    }
    let accounts = server.dry_run_yaml(RBAC)?;
    let objects = server.dry_run_yaml(DEPLOYMENT)?;
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").context("a Deployment")?;
    let (spec, pod) = (&deployment["spec"], &deployment["spec"]["template"]["spec"]);
    ensure!(spec["replicas"] == 1 && spec["strategy"]["type"] == "Recreate", "{spec:#}");
    ensure!(pod["hostNetwork"] == true && pod["serviceAccountName"] == "dyn-prefix", "{pod:#}");
    let added = &pod["containers"][0]["securityContext"]["capabilities"]["add"];
    ensure!(*added == json!(["NET_RAW", "NET_BIND_SERVICE"]), "{added}");
    let container = &pod["containers"][0];
    ensure!(container["livenessProbe"]["httpGet"]["path"] == "/healthz", "{container:#}");
    ensure!(container["readinessProbe"]["httpGet"]["path"] == "/readyz", "{container:#}");
    pod_is_taken(server, pod)?;
    ensure!(server.dry_run_yaml(DEFINITION)?.len() == 1, "one kind");
    ensure!(
        accounts.iter().any(|object| object["kind"] == "ServiceAccount" && object["metadata"]["name"] == "dyn-prefix")
    );
    same_rules(&accounts, &server.dry_run_yaml(&without_secret())?)?;
    let broken = DEPLOYMENT.replace("hostNetwork: true", "hostNetworks: true");
    let refused = server.dry_run_yaml(&broken).err().context("a wrong field is found")?;
    ensure!(format!("{refused:#}").contains("hostNetworks"), "{refused:#}");
    Ok(())
}

/// A Deployment is taken with a pod that is not: so the pod is tried, too.
fn pod_is_taken(server: &ApiServer, spec: &Value) -> Result<()> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": "dyn-prefix", "namespace": "dyn-prefix"}});
    server.create("/api/v1/namespaces/dyn-prefix/pods?dryRun=All&fieldValidation=Strict", &pod).map(drop)
}

fn without_secret() -> String {
    let documents = split_yaml(EXAMPLE).into_iter().filter(|document| !document.contains("kind: Secret"));
    documents.collect::<Vec<_>>().join("\n---\n")
}

/// The pod may do what the daemon outside may do, and no more.
fn same_rules(of_the_pod: &[Value], outside: &[Value]) -> Result<()> {
    let rules = |objects: &[Value]| {
        let roles = objects.iter().filter(|object| object["kind"] == "ClusterRole" || object["kind"] == "Role");
        roles.map(|role| (role["metadata"]["namespace"].clone(), role["rules"].clone())).collect::<Vec<_>>()
    };
    let (pod, outside) = (rules(of_the_pod), rules(outside));
    ensure!(pod == outside && !pod.is_empty(), "{pod:#?} instead of {outside:#?}");
    Ok(())
}
