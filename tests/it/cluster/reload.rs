//! A reload changes the `[[cluster]]` and what is wanted of it at the same moment.

use std::path::PathBuf;
use std::sync::Arc;

use dyn_prefix::cluster::Wanted;
use dyn_prefix::config::{Cluster, Discovery};
use dyn_prefix::plan::ANNOTATION;
use serde_json::json;

use super::rig::{FIRST, Rig, SECOND, Start, blocks, cilium, cluster, pool, rig, wanted};

impl Rig {
    fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// As the daemon hands out a new configuration: the section first, the rest at once after it.
    fn reload(&self, section: Cluster, wanted: Wanted) {
        self.cluster.send_replace(Arc::new(section));
        self.wanted.send_replace(Some(wanted));
    }
}

#[tokio::test]
async fn what_comes_with_dry_run_is_not_written() {
    let mut rig = rig().await;
    rig.watches().await;
    rig.api.forget_requests();
    let section = Cluster { dry_run: true, ..cluster(rig.kubeconfig(), Discovery::Off) };
    rig.reload(section, wanted(SECOND));
    rig.report(|report| report.reason == "DryRun").await;
    assert_eq!(rig.api.count("patch", ""), 0);
}

/// From a binding to annotations: nothing of it may leave the pool in between, or Services lose their addresses.
#[tokio::test]
async fn a_target_that_is_found_by_its_annotations_from_now_on_is_not_released_before() {
    let api = cilium().await;
    let mut annotated = pool("pool", &[]);
    annotated["metadata"]["annotations"] = json!({"dynamic-prefix.io/name": "ipv6", "dynamic-prefix.io/subnet": "0"});
    api.put(annotated);
    let start = Start::new(&api);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.watches().await;
    rig.api.forget_requests();
    let unbound = Wanted { bindings: Arc::default(), ..wanted(FIRST) };
    rig.reload(cluster(rig.kubeconfig(), Discovery::Default), unbound);
    rig.report(|report| report.synced && report.bindings == [ANNOTATION]).await;
    assert_eq!(rig.api.count("patch", ""), 0);
    assert_eq!(blocks(&rig.api, "pool"), [FIRST]);
}

/// What is wanted of the new one is not wanted of the former.
#[tokio::test]
async fn another_kubeconfig_ends_the_writing_to_the_former_cluster() {
    let mut rig = rig().await;
    rig.watches().await;
    rig.api.forget_requests();
    let other = cilium().await;
    rig.write_file("other", &other.kubeconfig("", "token: secret"));
    rig.reload(cluster(rig.directory.path().join("other"), Discovery::Off), wanted(SECOND));
    let former = std::mem::replace(&mut rig.api, other);
    rig.holds(SECOND).await;
    assert_eq!(former.count("patch", ""), 0);
    assert_eq!(blocks(&former, "pool"), [FIRST]);
}
