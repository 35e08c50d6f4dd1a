//! What others see of the daemon: metrics, Kubernetes events, and objects of kind DynamicPrefix.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::Kind;
use crate::lab::{ApiServer, free_port, wait_for};
use crate::rig::{Cluster, Daemon, Lab, PATIENCE, cluster, dynamic_prefix, expect_writes, full_access, writes_to};

pub(crate) const STORIES: &[Story] = &[
    ("events tell of a rotation on the objects, once", events),
    ("events that are forbidden are a note, and nothing else suffers", forbidden),
    ("publishStatus: objects that kubectl shows, written on transitions, deleted when they leave the file", published),
    ("publishStatus: an object of another daemon is left alone", foreign),
];

pub(crate) const WITH_PROMTOOL: &[Story] =
    &[("metrics: promtool takes a scrape, and the alerts and the dashboard name what is in it", metrics)];

const CRD: &str = include_str!("../../packaging/kubernetes/dynamicprefixes.yaml");
const ALERTS: &str = include_str!("../../examples/monitoring/alerts.yaml");
const ALERTS_TEST: &str = include_str!("../lab/alerts-test.yaml");
const DASHBOARD: &str = include_str!("../../examples/monitoring/dashboard.json");
const OBJECTS: &str = "/apis/dyn-prefix.io/v1alpha1/dynamicprefixes";

fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    Ok(body.to_owned())
}

/// Runs promtool in a directory; its output when it is content.
fn promtool(directory: &std::path::Path, arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(directory).stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "promtool {arguments:?}: {said}\n{input}");
    Ok(said)
}

/// The words of a text that are names of our metrics, or of the process's.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let is_name = |word: &&str| word.starts_with("dyn_prefix_") || word.starts_with("process_");
    words.filter(is_name).map(str::to_owned).collect()
}

fn metrics(lab: &Lab) -> Result<()> {
    let server = lab.shared()?;
    let (id, kind) = ("metrics", Kind::Pool);
    kind.create(server, id, None)?;
    let port = free_port()?;
    let template = format!("listen = \"127.0.0.1:{port}\"\n\n")
        + &cluster("lab", &full_access(server, id)?, "discovery = false")
        + &dynamic_prefix(id, "")
        + &kind.binding(id, id);
    let mut daemon = Daemon::start(id, 'a', &template)?;
    daemon.wait_reason(id, "Synced")?;
    daemon.rotate('b')?;
    daemon
        .wait_target(id, |target| target["synced"] == true && target["boundPrefixes"][0].to_string().contains(":b:"))?;
    let wanted = format!(
        "dyn_prefix_target_generation{{cluster=\"lab\",kind=\"CiliumLoadBalancerIPPool\",namespace=\"\",name=\"{id}\",\
         dynamic_prefix=\"{id}\"}} 2\n"
    );
    let scrape = wait_for("the second generation in the metrics", PATIENCE, || {
        let scrape = get(port, "/metrics")?;
        Ok(scrape.contains(&wanted).then_some(scrape))
    })?;
    let patches = "dyn_prefix_writes_total{cluster=\"lab\",kind=\"CiliumLoadBalancerIPPool\",outcome=\"accepted\"} ";
    for part in [
        patches,
        "dyn_prefix_api_request_duration_seconds_bucket{cluster=\"lab\",le=\"+Inf\"} ",
        "dyn_prefix_cluster_connected{cluster=\"lab\"} 1\n",
        "dyn_prefix_cluster_credential_expiry_timestamp_seconds{cluster=\"lab\"} ",
        &format!("dyn_prefix_prefix_transitions_total{{dynamic_prefix=\"{id}\",transition=\"acquired\"}} 2\n"),
        &format!("dyn_prefix_prefix_draining{{dynamic_prefix=\"{id}\"}} 1\n"),
    ] {
        ensure!(scrape.contains(part), "{part} is not in\n{scrape}");
    }
    let status: Value = serde_json::from_str(&get(port, "/status")?)?;
    ensure!(status["clusters"][0]["credentialExpiresAt"].is_string(), "{status:#}");

    let directory = tempfile::tempdir()?;
    let said = promtool(directory.path(), &["check", "metrics"], &scrape)?;
    ensure!(said.trim().is_empty(), "promtool has something to say: {said}");
    std::fs::write(directory.path().join("alerts.yaml"), ALERTS)?;
    std::fs::write(directory.path().join("alerts-test.yaml"), ALERTS_TEST)?;
    promtool(directory.path(), &["check", "rules", "alerts.yaml"], "")?;
    promtool(directory.path(), &["test", "rules", "alerts-test.yaml"], "")?;

    let declared = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let there: BTreeSet<String> = declared.map(str::to_owned).collect();
    let dashboard: Value = serde_json::from_str(DASHBOARD)?;
    ensure!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() >= 8), "a dashboard has panels");
    for (what, text) in [("alerts", ALERTS), ("dashboard", DASHBOARD)] {
        let named = names(text);
        ensure!(named.len() >= 8, "{what}: {named:?}");
        let is_there = |name: &&String| there.contains(name.strip_suffix("_bucket").unwrap_or(name));
        let missing: Vec<&String> = named.iter().filter(|name| !is_there(name)).collect();
        ensure!(missing.is_empty(), "{what}: no metric is called {missing:?}");
    }
    Ok(())
}

/// The events about an object, oldest first.
fn events_of(server: &ApiServer, name: &str) -> Result<Vec<Value>> {
    let list = server.get("/apis/events.k8s.io/v1/namespaces/default/events")?;
    let all = list["items"].as_array().into_iter().flatten();
    let mut events: Vec<Value> = all.filter(|event| event["regarding"]["name"] == name).cloned().collect();
    events.sort_by_key(|event| event["eventTime"].to_string());
    Ok(events)
}

fn wait_event(server: &ApiServer, name: &str, reason: &str, part: &str) -> Result<Value> {
    wait_for(&format!("an event {reason} about {name} with {part}"), PATIENCE, || {
        let is_it = |event: &Value| event["reason"] == reason && event["note"].to_string().contains(part);
        Ok(events_of(server, name)?.into_iter().find(is_it))
    })
}

fn events(lab: &Lab) -> Result<()> {
    let server = lab.shared()?;
    let (id, kind) = ("events", Kind::Group);
    server.ensure_namespace("default")?;
    let object = kind.create(server, id, None)?;
    let template = cluster("lab", &full_access(server, id)?, "discovery = false")
        + &dynamic_prefix(id, "")
        + &kind.binding(id, id);
    let mut daemon = Daemon::start(id, 'a', &template)?;
    let event = wait_event(server, id, "PrefixApplied", "2001:db8:a:")?;
    ensure!(event["regarding"]["uid"] == object["metadata"]["uid"], "{event:#}");
    ensure!(event["regarding"]["kind"] == kind.name() && event["reportingController"] == "dyn-prefix", "{event:#}");
    daemon.rotate('b')?;
    wait_event(server, id, "PrefixApplied", "2001:db8:b:")?;
    wait_event(server, id, "PrefixDraining", "2001:db8:a:")?;
    // What is restarted writes nothing, and so tells nothing.
    daemon.stop()?;
    daemon.restart()?;
    daemon.wait_reason(id, "Synced")?;
    daemon.edit(&template.replace("discovery = false", "discovery = false\nevents = false"))?;
    daemon.rotate('c')?;
    daemon.wait_target(id, |target| target["synced"] == true && target["desired"].to_string().contains(":c:"))?;
    let reasons: Vec<Value> = events_of(server, id)?.iter().map(|event| event["reason"].clone()).collect();
    ensure!(reasons.len() == 3, "one for each object and transition, and none when they are off: {reasons:?}");
    Ok(())
}

fn forbidden(lab: &Lab) -> Result<()> {
    let server = lab.shared()?;
    let (id, kind) = ("noevents", Kind::Group);
    kind.create(server, id, None)?;
    let rules =
        json!([{"apiGroups": ["cilium.io"], "resources": ["ciliumcidrgroups"], "verbs": ["list", "watch", "patch"]}]);
    server.grant(id, &rules)?;
    let template = cluster("lab", &server.kubeconfig_for(id, &[])?, "discovery = false")
        + &dynamic_prefix(id, "")
        + &kind.binding(id, id);
    let daemon = Daemon::start(id, 'a', &template)?;
    daemon.wait_reason(id, "Synced")?;
    daemon.wait_cluster("lab", |cluster| {
        cluster["state"] == "connected" && cluster["notes"].to_string().contains("may not create Kubernetes events")
    })?;
    let (code, _) = daemon.status()?;
    ensure!(code == 0, "a note is no failure, and the exit status is {code}");
    Ok(())
}

fn published(_: &Lab) -> Result<()> {
    let own = Cluster::start()?;
    let server = &own.server;
    let (id, kind) = ("published", Kind::Pool);
    kind.create(server, id, None)?;
    let template = cluster("lab", &full_access(server, id)?, "discovery = false\npublishStatus = true")
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
            object["status"]["currentPrefix"] == crate::rig::prefix(letter)
                && holds("PrefixAcquired", "True")
                && holds("PoolsSynced", "True")
                && holds("Degraded", "False")
        }
    };
    let object = wait_object(server, &path, is_synced('a'))?;
    ensure!(object["metadata"]["annotations"]["dynamic-prefix.io/managed-by"] == id, "{object:#}");
    ensure!(object["spec"]["acquisition"]["static"]["prefix"] == crate::rig::prefix('a'), "{object:#}");
    ensure!(object["status"]["subnets"][0]["cidr"] == "2001:db8:a:5::/64", "{object:#}");

    daemon.rotate('b')?;
    let object = wait_object(server, &path, is_synced('b'))?;
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
    daemon.restart()?;
    daemon.reload()?;
    daemon.wait_reason(id, "Synced")?;
    let count = writes_to(server, id, id)?;
    expect_writes(server, id, id, count)?;
    ensure!(server.get(&path)?["metadata"]["resourceVersion"] == version, "written although nothing changed");

    // A dry run deletes nothing either.
    daemon.edit(&template.replace("discovery = false", "discovery = false\ndryRun = true"))?;
    daemon.edit(&template)?;
    daemon.rotate('c')?;
    let after = wait_object(server, &path, is_synced('c'))?;
    ensure!(after["metadata"]["uid"] == object["metadata"]["uid"], "a dry run has deleted it");

    daemon.edit(&template.replace("publishStatus = true", "publishStatus = false"))?;
    wait_for("the end of the object", PATIENCE, || Ok(server.find(&path)?.is_none().then_some(())))
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
    let template =
        cluster("lab", &full_access(server, id)?, "discovery = false\npublishStatus = true") + &dynamic_prefix(id, "");
    let mut daemon = Daemon::start(id, 'a', &template)?;
    daemon.wait_cluster("lab", |cluster| cluster["notes"].to_string().contains("kept by another daemon (another)"))?;
    daemon.edit(&template.replace("publishStatus = true", ""))?;
    daemon.wait_cluster("lab", |cluster| cluster["notes"] == json!([]))?;
    let after = server.get(&format!("{OBJECTS}/{id}"))?;
    ensure!(after["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"], "{after:#}");
    Ok(())
}

fn wait_object(server: &ApiServer, path: &str, is_right: impl Fn(&Value) -> bool) -> Result<Value> {
    server.wait_object(path, PATIENCE, is_right)
}
