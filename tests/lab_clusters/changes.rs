//! Reloads that move things from one cluster to another, and from one mode to the other, while Services use them.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, CiliumOperator, ingress, wait_for};
use crate::rig::{Cluster, Daemon, Lab, PATIENCE, cluster, dynamic_prefix, expect_writes, full_access};

pub(crate) const STORIES: &[Story] = &[
    ("reload: a context, a kubeconfig or a binding that leads to another cluster", other_cluster),
    ("reload: a removed cluster that does not answer is told, and is released once it is back", unreachable),
];

pub(crate) const WITH_OPERATOR: &[Story] =
    &[("reload: from mode simple to ha and back, and no Service is without an address", modes)];

const ID: &str = "changes";
/// How long a cluster that leaves has to let go.
const AT_MOST: Duration = Duration::from_secs(10);

fn names() -> [(Kind, String); 3] {
    Kind::ALL.map(|kind| (kind, format!("{ID}-{}", kind.field().to_lowercase())))
}

fn start() -> Result<Cluster> {
    let cluster = Cluster::start()?;
    for (kind, name) in names() {
        kind.create(&cluster.server, &name, None)?;
    }
    Ok(cluster)
}

/// The bindings of the three objects in a cluster.
fn bindings(of: &str) -> String {
    let all = names().map(|(kind, name)| kind.binding(ID, &name)).concat();
    all.replace("[[binding]]\n", &format!("[[binding]]\ncluster = \"{of}\"\n"))
}

fn filled(server: &ApiServer) -> Result<()> {
    names()
        .into_iter()
        .try_for_each(|(kind, name)| kind.wait(server, ID, &name, &kind.of_user(), &kind.ours(Part::Lb, 'a')).map(drop))
}

fn released(server: &ApiServer) -> Result<()> {
    names().into_iter().try_for_each(|(kind, name)| kind.wait_released(server, &name, &kind.of_user()).map(drop))
}

fn written(server: &ApiServer, count: usize) -> Result<()> {
    names().into_iter().try_for_each(|(_, name)| expect_writes(server, ID, &name, count))
}

/// A kubeconfig with both clusters, a context for each.
fn both(one: &ApiServer, two: &ApiServer) -> Result<PathBuf> {
    let mut whole = json!({"apiVersion": "v1", "kind": "Config", "clusters": [], "contexts": [], "users": []});
    let path = full_access(one, ID)?.with_extension("both");
    for (name, server) in [("one", one), ("two", two)] {
        let text = std::fs::read_to_string(full_access(server, ID)?)?;
        let single: Value = serde_json::from_str(&text)?;
        for list in ["clusters", "contexts", "users"] {
            let mut entry = single[list][0].clone();
            entry["name"] = json!(name);
            if list == "contexts" {
                entry["context"] = json!({"cluster": name, "user": name});
            }
            whole[list].as_array_mut().context("a list")?.push(entry);
        }
    }
    std::fs::write(&path, whole.to_string())?;
    Ok(path)
}

/// Edits, and waits until what was in `from` is in `to`: the one is filled, the other one released in time, both by one
/// write for each object. `count`: the writes that each cluster has seen by then.
fn moves(daemon: &mut Daemon, text: &str, from: (&ApiServer, usize), to: (&ApiServer, usize)) -> Result<()> {
    let begun = Instant::now();
    daemon.edit(&(text.to_owned() + &dynamic_prefix(ID, "")))?;
    filled(to.0)?;
    released(from.0).with_context(|| format!("the log:\n{}", daemon.log()))?;
    let took = begun.elapsed();
    ensure!(took < AT_MOST, "the former cluster was released only after {took:?}");
    written(from.0, from.1)?;
    written(to.0, to.1)?;
    let (_, status) = daemon.status()?;
    ensure!(status["daemon"].get("leftovers").is_none(), "{status:#}");
    Ok(())
}

fn other_cluster(_: &Lab) -> Result<()> {
    let (first, second) = (start()?, start()?);
    let (one, two) = (&first.server, &second.server);
    let path = both(one, two)?;
    let by_context = |context: &str| cluster("lab", &path, &format!("context = \"{context}\"")) + &bindings("lab");
    let mut daemon = Daemon::start(ID, 'a', &(by_context("one") + &dynamic_prefix(ID, "")))?;
    filled(one)?;
    moves(&mut daemon, &by_context("two"), (one, 2), (two, 1))?;
    moves(&mut daemon, &(cluster("lab", &full_access(one, ID)?, "") + &bindings("lab")), (two, 2), (one, 3))?;
    // Both are there now, and only the binding says which of them.
    let clusters = cluster("lab", &full_access(one, ID)?, "") + &cluster("den", &full_access(two, ID)?, "");
    daemon.edit(&(clusters.clone() + &bindings("lab") + &dynamic_prefix(ID, "")))?;
    daemon.wait_cluster("den", |cluster| cluster["state"] == "connected")?;
    moves(&mut daemon, &(clusters + &bindings("den")), (one, 4), (two, 3))
}

fn unreachable(_: &Lab) -> Result<()> {
    let gone = start()?;
    let server = &gone.server;
    let text = cluster("lab", &full_access(server, ID)?, "") + &bindings("lab") + &dynamic_prefix(ID, "");
    let mut daemon = Daemon::start(ID, 'a', &text)?;
    filled(server)?;
    server.freeze()?;
    daemon.edit(&dynamic_prefix(ID, ""))?;
    let left = wait_for("the leftovers in the status", PATIENCE, || {
        let (_, status) = daemon.status()?;
        Ok(status["daemon"].get("leftovers").map(|left| left.to_string()))
    })?;
    let parts = ["the cluster lab is not in the configuration any more", "dyn-prefix withdraw --cluster"];
    ensure!(parts.iter().all(|part| left.contains(part)), "{left}");
    ensure!(
        names().iter().all(|(kind, name)| left.contains(&format!("{}/", kind.name())) && left.contains(name)),
        "{left}"
    );
    server.thaw()?;
    // What it advises is what helps.
    daemon.edit(&text)?;
    daemon.wait_cluster("lab", |cluster| cluster["state"] == "connected")?;
    let output = daemon.command("withdraw", &["--cluster", "lab"])?;
    ensure!(output.status.success(), "{output:?}");
    released(server)?;
    daemon.edit(&dynamic_prefix(ID, ""))?;
    let (code, status) = daemon.status()?;
    ensure!(code == 0 && status["daemon"].get("leftovers").is_none(), "{code} {status:#}");
    Ok(())
}

const SERVICE: &str = "/api/v1/namespaces/default/services/front";

fn modes(_: &Lab) -> Result<()> {
    let own = Cluster::start()?;
    let server = &own.server;
    Kind::Pool.create_with(server, ID, None, &[json!({"cidr": "192.0.2.0/28"})])?;
    let mut operator = CiliumOperator::start(server)?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "front", "namespace": "default"},
        "spec": {
            "type": "LoadBalancer", "ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}],
            "selector": {"app": "front"},
        },
    });
    server.create("/api/v1/namespaces/default/services", &service)?;
    let text = cluster("lab", &full_access(server, ID)?, "") + &Kind::Pool.binding(ID, ID);
    let entry = "\n[[service]]\nnamespace = \"default\"\nname = \"front\"\nprefixRef = \"changes/lb\"\n\
                 suffix = \"::f000:0:0:3\"\n";
    let of = |mode: &str| format!("{text}{entry}{}", dynamic_prefix(ID, &format!("mode = \"{mode}\"")));
    let mut daemon = Daemon::start(ID, 'a', &of("simple"))?;
    has(server, "a")?;
    let events = server.watch("/api/v1/namespaces/default/services?fieldSelector=metadata.name%3Dfront")?;
    let outcome = change_modes(server, &mut daemon, of).and_then(|()| never_without(&events));
    outcome.with_context(|| format!("the operator's log ends with\n{}", operator.process().log_tail(15)))
}

fn change_modes(server: &ApiServer, daemon: &mut Daemon, of: impl Fn(&str) -> String) -> Result<()> {
    for (mode, letters) in [("ha", "a"), ("simple", "a"), ("ha", "a")] {
        daemon.edit(&of(mode))?;
        has(server, letters)?;
        daemon.wait_reason(ID, "Synced")?;
    }
    // While it holds two addresses: mode ha has the former one drain, and mode simple has one only.
    daemon.rotate('b')?;
    has(server, "ba")?;
    daemon.edit(&of("simple"))?;
    has(server, "b")?;
    daemon.wait_reason(ID, "Synced")?;
    daemon.edit(&of("ha"))?;
    has(server, "b")?;
    daemon.wait_reason(ID, "Synced").map(drop)
}

/// Waits until the Service has the addresses of these prefixes, and one of IPv4.
fn has(server: &ApiServer, letters: &str) -> Result<()> {
    let mut wanted: Vec<String> = letters.chars().map(|letter| format!("2001:db8:{letter}:0:f000::3")).collect();
    wanted.sort();
    let is_right = |service: &Value| {
        let (mut v6, v4): (Vec<&str>, Vec<&str>) = ingress(service).into_iter().partition(|it| it.contains(':'));
        v6.sort_unstable();
        v6 == wanted && v4.len() == 1
    };
    server.wait_object(SERVICE, PATIENCE, is_right).map(drop)
}

/// Fails if the Service was without an address of either family, however shortly.
fn never_without(events: &Receiver<(Instant, Value)>) -> Result<()> {
    let mut count = 0;
    for (_, event) in events.try_iter() {
        count += 1;
        let addresses = ingress(&event["object"]);
        let both = [':', '.'].iter().all(|sign| addresses.iter().any(|address| address.contains(*sign)));
        ensure!(both, "event {count} has {addresses:?}: {:#}", event["object"]["metadata"]["annotations"]);
    }
    ensure!(count > 3, "the watch has seen {count} events");
    Ok(())
}
