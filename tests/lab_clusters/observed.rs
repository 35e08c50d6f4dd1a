//! What others see of the daemon: metrics and Kubernetes events.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::Kind;
use crate::lab::{ApiServer, METALLB_NAMESPACE, free_port, http_get, promtool, wait_for};
use crate::rig::{Daemon, Lab, PATIENCE, cluster, dynamic_prefix, full_access};

pub(crate) const STORIES: &[Story] = &[
    ("events tell of a rotation on the objects, once", events),
    ("events tell what a person has to mend, in the namespace of the object", to_mend),
    ("events that are forbidden are a note, and nothing else suffers", forbidden),
];

pub(crate) const WITH_PROMTOOL: &[Story] =
    &[("metrics: promtool takes a scrape, and the alerts and the dashboard name what is in it", metrics)];

const ALERTS: &str = include_str!("../../examples/monitoring/alerts.yaml");
const ALERTS_TEST: &str = include_str!("../lab/alerts-test.yaml");
const DASHBOARD: &str = include_str!("../../examples/monitoring/dashboard.json");

fn get(port: u16, path: &str) -> Result<String> {
    let (code, body) = http_get(port, path)?;
    ensure!(code == 200, "{path}: {code} {body}");
    Ok(body)
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

/// The events about an object, oldest first, wherever they are.
fn events_of(server: &ApiServer, name: &str) -> Result<Vec<Value>> {
    let list = server.get("/apis/events.k8s.io/v1/events")?;
    let all = list["items"].as_array().into_iter().flatten();
    let mut events: Vec<Value> = all.filter(|event| event["regarding"]["name"] == name).cloned().collect();
    events.sort_by_key(|event| event["eventTime"].to_string());
    Ok(events)
}

/// Waits for an event about an object, with this in its note.
pub(crate) fn wait_event(server: &ApiServer, name: &str, reason: &str, part: &str) -> Result<Value> {
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

/// A pool of MetalLB that would be left empty, which the API refuses: it is told once, however often that is found.
fn to_mend(lab: &Lab) -> Result<()> {
    let server = lab.shared()?;
    let (id, kind) = ("mend", Kind::Metallb);
    let object = kind.create(server, id, None)?;
    let binding = kind.binding(id, id);
    let template = cluster("lab", &full_access(server, id)?, "discovery = false") + &dynamic_prefix(id, "");
    let mut daemon = Daemon::start(id, 'a', &(template.clone() + &binding))?;
    let event = wait_event(server, id, "PrefixApplied", "2001:db8:a:")?;
    ensure!(event["metadata"]["namespace"] == METALLB_NAMESPACE, "it is not where its object is: {event:#}");
    ensure!(event["regarding"]["namespace"] == METALLB_NAMESPACE && event["type"] == "Normal", "{event:#}");
    // The user's entries go, and with the binding ours would.
    let ours = server.get(&kind.path(id))?["spec"]["addresses"].as_array().and_then(|all| all.last().cloned());
    server.patch(&kind.path(id), &json!({"spec": {"addresses": [ours]}}))?;
    daemon.edit(&template)?;
    let event = wait_event(server, id, "TargetInvalid", "CannotEmpty")?;
    ensure!(event["regarding"]["uid"] == object["metadata"]["uid"] && event["type"] == "Warning", "{event:#}");
    daemon.reload()?;
    daemon.wait_reason(id, "CannotEmpty")?;
    let told = events_of(server, id)?.into_iter().filter(|event| event["reason"] == "TargetInvalid").count();
    ensure!(told == 1, "told {told} times");
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
