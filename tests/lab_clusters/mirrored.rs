//! Objects of kind DynamicPrefix: what `kubectl get dynamicprefixes.dyn-prefix.io -w` shows, and when they go.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::Kind;
use crate::lab::{ApiServer, wait_for};
use crate::rig::{Cluster, Daemon, Lab, PATIENCE, all_writes_to, cluster, dynamic_prefix, full_access, prefix};

pub(crate) const STORIES: &[Story] = &[
    ("publishStatus: objects that kubectl shows, written on transitions, deleted when they leave the file", published),
    ("publishStatus: a watch as of kubectl shows each transition in a line", watched),
    ("publishStatus: what leaves the file is deleted, with its cluster or while nobody ran", removed),
    ("publishStatus: an object of another daemon is left alone", foreign),
];

const CRD: &str = include_str!("../../packaging/kubernetes/dynamicprefixes.yaml");
const OBJECTS: &str = "/apis/dyn-prefix.io/v1alpha1/dynamicprefixes";
const PUBLISHES: &str = "discovery = false\npublishStatus = true";

/// The lines of `kubectl get -w`: the cells that do not change with the time.
struct Lines(Receiver<(Instant, Value)>);

impl Lines {
    fn watch(server: &ApiServer) -> Result<Self> {
        server.watch(&format!("{OBJECTS}?includeObject=None")).map(Self)
    }

    /// Waits for this line; gives those before it.
    fn until(&self, line: &Value) -> Result<Vec<Value>> {
        let mut before = Vec::new();
        loop {
            let next = self.0.recv_timeout(PATIENCE);
            let (_, event) = next.with_context(|| format!("no line {line}; there were {before:?}"))?;
            let cells = event["object"]["rows"][0]["cells"].as_array();
            let cells = cells.with_context(|| format!("no row: {event:#}"))?.iter().take(7).cloned().collect();
            if cells == *line {
                return Ok(before);
            }
            before.push(cells);
        }
    }

    /// Fails if there is one more.
    fn expect_none(&self) -> Result<()> {
        let more: Vec<Value> =
            self.0.try_iter().map(|(_, event)| event["object"]["rows"][0]["cells"].clone()).collect();
        ensure!(more.is_empty(), "lines without a transition: {more:#?}");
        Ok(())
    }
}

fn watched(_: &Lab) -> Result<()> {
    let own = Cluster::start()?;
    let (server, id, kind) = (&own.server, "watched", Kind::Group);
    server.install_crds(CRD)?;
    let lines = Lines::watch(server)?;
    let template =
        cluster("lab", &full_access(server, id)?, PUBLISHES) + &dynamic_prefix(id, "") + &kind.binding(id, id);
    let mut daemon = Daemon::start(id, 'a', &template)?;
    let line = |letter, pools: &str, degraded: &str, reason: &str| {
        json!([id, prefix(letter), "static", "True", pools, degraded, reason])
    };
    // The group is not there yet, and then it is.
    lines.until(&line('a', "False", "True", "PoolsNotSynced"))?;
    let made = kind.create(server, id, None)?;
    lines.until(&line('a', "True", "False", "AsExpected"))?;
    daemon.rotate('b')?;
    lines.until(&line('b', "True", "False", "AsExpected"))?;
    server.delete(&kind.path(id))?;
    lines.until(&line('b', "False", "True", "PoolsNotSynced"))?;
    ensure!(kind.create(server, id, None)?["metadata"]["uid"] != made["metadata"]["uid"], "another object");
    lines.until(&line('b', "True", "False", "AsExpected"))?;
    // A reload of the same, and a label of the user's on the group, are no transitions. The prefix is of the file here: the
    // one line more is that of the spec.
    daemon.edit(&template)?;
    server.patch(&kind.path(id), &json!({"metadata": {"labels": {"touched": "yes"}}}))?;
    daemon.rotate('c')?;
    let before = lines.until(&line('c', "True", "False", "AsExpected"))?;
    ensure!(before == [line('b', "True", "False", "AsExpected")], "lines without a transition: {before:#?}");
    daemon.stop()?;
    lines.expect_none()
}

/// Waits until an object is gone; within what a cluster has that leaves the configuration.
fn wait_gone(server: &ApiServer, path: &str) -> Result<()> {
    wait_for(&format!("the end of {path}"), PATIENCE, || Ok(server.find(path)?.is_none().then_some(())))
}

fn removed(_: &Lab) -> Result<()> {
    let own = Cluster::start()?;
    let (server, id) = (&own.server, "removed");
    server.install_crds(CRD)?;
    let path = |name: &str| format!("{OBJECTS}/{name}");
    let one = dynamic_prefix(id, "");
    let two = dynamic_prefix("second", "").replace("@PREFIX@", "2001:db8:ff00::/56");
    let of_cluster = |options: &str| Ok::<_, anyhow::Error>(cluster("lab", &full_access(server, id)?, options));
    // No binding: nothing of ours is there but these.
    let mut daemon = Daemon::start(id, 'a', &(of_cluster(PUBLISHES)? + &one + &two))?;
    let made = [id, "second"].map(|name| server.wait_object(&path(name), PATIENCE, |_| true));
    let [first, _] = made;
    let first = first?["metadata"]["uid"].clone();
    daemon.edit(&(of_cluster(PUBLISHES)? + &one))?;
    wait_gone(server, &path("second"))?;
    ensure!(server.get(&path(id))?["metadata"]["uid"] == first, "the other one has nothing to do with it");

    let began = Instant::now();
    daemon.edit(&one)?;
    wait_gone(server, &path(id))?;
    ensure!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    daemon.wait_log(&["lab: not in the configuration any more; nothing of ours is left there."])?;
    ensure!(daemon.status()?.1["daemon"]["leftovers"].is_null(), "nothing is left: {:#}", daemon.status()?.1);

    // What changes while nobody runs is seen at the start.
    daemon.edit(&(of_cluster(PUBLISHES)? + &one + &two))?;
    server.wait_object(&path(id), PATIENCE, |_| true)?;
    server.wait_object(&path("second"), PATIENCE, |_| true)?;
    daemon.stop()?;
    daemon.prepare('a', &(of_cluster("discovery = false")? + &one))?;
    daemon.restart()?;
    wait_gone(server, &path(id))?;
    wait_gone(server, &path("second"))
}

fn published(_: &Lab) -> Result<()> {
    let own = Cluster::start()?;
    let server = &own.server;
    let (id, kind) = ("published", Kind::Pool);
    kind.create(server, id, None)?;
    let template = cluster("lab", &full_access(server, id)?, PUBLISHES)
        + &dynamic_prefix(id, "maxPrefixHistory = 1")
        + &kind.binding(id, id);
    let mut daemon = Daemon::start(id, 'a', &template)?;
    let note = "kubectl apply -f packaging/kubernetes/dynamicprefixes.yaml";
    daemon.wait_cluster("lab", |cluster| cluster["notes"].to_string().contains(note))?;
    // It is noticed without a reload.
    server.install_crds(CRD)?;
    let path = format!("{OBJECTS}/{id}");
    let is_synced = |letter: char| {
        move |object: &Value| {
            let holds = |kind: &str, status: &str| {
                let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
                conditions.into_iter().any(|condition| condition["type"] == kind && condition["status"] == status)
            };
            object["status"]["currentPrefix"] == prefix(letter)
                && holds("PrefixAcquired", "True")
                && holds("PoolsSynced", "True")
                && holds("Degraded", "False")
        }
    };
    let object = server.wait_object(&path, PATIENCE, is_synced('a'))?;
    ensure!(object["metadata"]["annotations"]["dynamic-prefix.io/managed-by"] == id, "{object:#}");
    ensure!(object["spec"]["acquisition"]["static"]["prefix"] == prefix('a'), "{object:#}");
    ensure!(object["status"]["subnets"][0]["cidr"] == "2001:db8:a:5::/64", "{object:#}");

    daemon.rotate('b')?;
    let object = server.wait_object(&path, PATIENCE, is_synced('b'))?;
    ensure!(object["status"]["history"][0]["state"] == "draining", "{object:#}");
    let table = server.get(&format!("{OBJECTS}?includeObject=None"))?;
    let columns = table["columnDefinitions"].as_array().into_iter().flatten().map(|column| column["name"].clone());
    let columns: Vec<Value> = columns.collect();
    let expected = ["Name", "Prefix", "Source", "Acquired", "Pools", "Degraded", "Reason", "Prefix-Age", "Age"];
    ensure!(columns == expected, "{columns:?}");
    let cells = &table["rows"][0]["cells"];
    let expected = json!([id, "2001:db8:b::/56", "static", "True", "True", "False", "AsExpected"]);
    ensure!(cells.as_array().is_some_and(|cells| cells[..7] == *expected.as_array().unwrap_or(&vec![])), "{cells}");

    // A restart and a reload that change nothing write nothing.
    let version = object["metadata"]["resourceVersion"].clone();
    daemon.stop()?;
    ensure!(server.find(&path)?.is_some(), "it stays at a stop");
    let count = all_writes_to(server, id, id)?;
    daemon.restart()?;
    daemon.reload()?;
    daemon.wait_reason(id, "Synced")?;
    daemon.stop()?;
    ensure!(all_writes_to(server, id, id)? == count, "written although nothing changed: {}", daemon.log());
    daemon.restart()?;
    let after = server.get(&path)?;
    let is_as_it_was = after["metadata"]["resourceVersion"] == version;
    ensure!(is_as_it_was, "written although nothing changed: {:#}\n{:#}", object["status"], after["status"]);

    // A dry run deletes nothing either.
    daemon.edit(&template.replace("discovery = false", "discovery = false\ndryRun = true"))?;
    daemon.edit(&template)?;
    daemon.rotate('c')?;
    let after = server.wait_object(&path, PATIENCE, is_synced('c'))?;
    ensure!(after["metadata"]["uid"] == object["metadata"]["uid"], "a dry run has deleted it");

    daemon.edit(&template.replace("publishStatus = true", "publishStatus = false"))?;
    wait_gone(server, &path)
}

fn foreign(_: &Lab) -> Result<()> {
    let own = Cluster::start()?;
    let server = &own.server;
    let id = "foreign";
    server.install_crds(CRD)?;
    let object = json!({
        "apiVersion": "dyn-prefix.io/v1alpha1", "kind": "DynamicPrefix",
        "metadata": {"name": id, "annotations": {"dynamic-prefix.io/managed-by": "another"}}, "spec": {"theirs": true},
    });
    let made = server.create(OBJECTS, &object)?;
    let template = cluster("lab", &full_access(server, id)?, PUBLISHES) + &dynamic_prefix(id, "");
    let mut daemon = Daemon::start(id, 'a', &template)?;
    daemon.wait_cluster("lab", |cluster| cluster["notes"].to_string().contains("kept by another daemon (another)"))?;
    daemon.edit(&template.replace("publishStatus = true", ""))?;
    daemon.wait_cluster("lab", |cluster| cluster["notes"] == json!([]))?;
    let after = server.get(&format!("{OBJECTS}/{id}"))?;
    ensure!(after["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"], "{after:#}");
    Ok(())
}
