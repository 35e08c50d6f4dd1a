//! What a person does by hand: `withdraw`, `resume`, `take-over`, and `reload` with clusters that come, go and change
//! their names.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, wait_for};
use crate::rig::{Daemon, Lab, PATIENCE, cluster, dynamic_prefix, full_access, writes_to};
use crate::services::sees;

pub(crate) const STORIES: &[Story] = &[
    ("withdraw: through the daemon, one object and then all, over a restart, and back", with_daemon),
    ("withdraw: without the daemon", without_daemon),
    ("withdraw: a pool without the daemon, and the Services that ask for addresses in it", without_daemon_with_service),
    ("withdraw: the last entry stays, and is told", last_entry),
    ("plan --live: the patch for each object, and nothing is written", plan_live),
    ("take-over: from a daemon that still runs, which then leaves the objects alone", take_over),
    ("reload: a removed cluster lets go, with the client that it had", removed_cluster),
    ("reload: another name or another kubeconfig of one cluster writes nothing", renamed_cluster),
    ("reload: a binding that moves to another object, and a DynamicPrefix with another name", moved),
];

fn three(id: &str) -> [(Kind, String); 3] {
    Kind::ALL.map(|kind| (kind, format!("{id}-{}", kind.field().to_lowercase())))
}

fn bindings(id: &str) -> String {
    three(id).map(|(kind, name)| kind.binding(id, &name)).concat()
}

fn template(server: &ApiServer, id: &str) -> Result<String> {
    Ok(cluster("lab", &full_access(server, id)?, "") + &dynamic_prefix(id, "") + &bindings(id))
}

/// A daemon that fills three objects.
fn filled(server: &ApiServer, id: &str) -> Result<Daemon> {
    for (kind, name) in three(id) {
        kind.create(server, &name, None)?;
    }
    let daemon = Daemon::start(id, 'a', &template(server, id)?)?;
    wait_filled(server, id, 'a')?;
    for (_, name) in three(id) {
        daemon.wait_reason(&name, "Synced")?;
    }
    Ok(daemon)
}

fn wait_filled(server: &ApiServer, id: &str, letter: char) -> Result<()> {
    three(id).into_iter().try_for_each(|(kind, name)| {
        let ours = kind.ours(Part::Lb, letter);
        kind.wait(server, id, &name, &kind.of_user(), &ours).map(drop)
    })
}

fn is_released(server: &ApiServer, kind: Kind, name: &str) -> Result<bool> {
    let object = server.get(&kind.path(name))?;
    let has = |key: &str| object["metadata"]["annotations"].get(key).is_some();
    Ok(object["spec"][kind.field()] == json!(kind.of_user())
        && !has(kind.record_key())
        && !has("dynamic-prefix.io/managed-by"))
}

/// Runs a command beside the daemon; its exit status and all that it printed.
fn run(daemon: &Daemon, command: &str, more: &[&str]) -> Result<(i32, String)> {
    let output = daemon.command(command, more)?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok((output.status.code().context("it was killed")?, text))
}

fn versions(server: &ApiServer, id: &str) -> Result<Vec<Value>> {
    let version =
        |(kind, name): (Kind, String)| Ok(server.get(&kind.path(&name))?["metadata"]["resourceVersion"].clone());
    three(id).into_iter().map(version).collect()
}

fn with_daemon(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "withdrawn");
    let mut daemon = filled(server, id)?;
    let before = versions(server, id)?;
    // The store is saved a moment after the objects were written.
    let (code, text) = wait_for("a dry run that knows all objects", PATIENCE, || {
        let (code, text) = run(&daemon, "withdraw", &["--dry-run"])?;
        Ok((text.matches("would leave").count() == 3).then_some((code, text)))
    })?;
    ensure!(code == 0, "{code} {text}");
    ensure!(text.contains("2001:db8:a:0:f000::1-2001:db8:a:0:f000::6 would leave"), "{text}");
    ensure!(text.contains("\"dynamic-prefix.io/managed-by\":null"), "{text}");
    ensure!(versions(server, id)? == before, "a dry run has written");

    let [(pool, pool_name), (group, group_name), _] = three(id);
    let (code, text) = run(&daemon, "withdraw", &[&format!("{}/{pool_name}", pool.name())])?;
    ensure!(code == 0 && text.contains(&format!("{pool_name} in lab: released.")), "{code} {text}");
    ensure!(is_released(server, pool, &pool_name)?, "it was answered before it was done");
    ensure!(!is_released(server, group, &group_name)?, "nobody asked for that");
    daemon.wait_reason(&pool_name, "Paused")?;

    let (code, text) = run(&daemon, "withdraw", &[])?;
    ensure!(code == 0 && text.contains("until `dyn-prefix resume`"), "{code} {text}");
    for (kind, name) in three(id) {
        ensure!(is_released(server, kind, &name)?, "{name}");
    }
    let before = versions(server, id)?;
    daemon.rotate('b')?;
    daemon.stop()?;
    daemon.restart()?;
    for (_, name) in three(id) {
        daemon.wait_reason(&name, "Paused")?;
    }
    ensure!(versions(server, id)? == before, "what is withdrawn was written");
    let (code, status) = daemon.status()?;
    ensure!(code == 0, "a withdrawal is no fault: {status:#}");

    let (code, text) = run(&daemon, "resume", &[])?;
    ensure!(code == 0 && text.contains("Everything in lab is cared for again."), "{code} {text}");
    // The former prefix drains yet.
    for (kind, name) in three(id) {
        kind.wait(server, id, &name, &kind.of_user(), &kind.drained(Part::Lb, "ba"))?;
    }
    let (code, text) = run(&daemon, "resume", &[])?;
    ensure!(code == 0 && text.contains("Nothing is withdrawn: there is nothing to take back."), "{code} {text}");
    let (code, text) = run(&daemon, "withdraw", &["CiliumCIDRGroup/nowhere"])?;
    ensure!(code == 1 && text.contains("is no target of this daemon"), "{code} {text}");
    Ok(())
}

fn without_daemon(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "withdrawn-alone");
    let mut daemon = filled(server, id)?;
    daemon.stop()?;
    let (code, text) = run(&daemon, "withdraw", &["--dry-run"])?;
    ensure!(code == 0 && text.matches("would leave").count() == 3, "{code} {text}");
    let (code, text) = run(&daemon, "withdraw", &[])?;
    ensure!(code == 0 && text.matches("released.").count() == 3, "{code} {text}");
    for (kind, name) in three(id) {
        ensure!(is_released(server, kind, &name)?, "{name}");
        ensure!(writes_to(server, id, &name)? <= 2, "{name} was written more than twice");
    }
    let (code, text) = run(&daemon, "withdraw", &[])?;
    ensure!(code == 0 && text.contains("Nothing of ours is there."), "{code} {text}");
    let before = versions(server, id)?;
    daemon.restart()?;
    daemon.wait_reason(&three(id)[0].1, "Paused")?;
    let (_, text) = run(&daemon, "status", &[])?;
    ensure!(text.contains("Paused") && text.contains("dyn-prefix resume"), "{text}");
    ensure!(versions(server, id)? == before, "what is withdrawn was written");
    daemon.stop()?;
    let (code, text) = run(&daemon, "resume", &[])?;
    ensure!(code == 0, "{code} {text}");
    daemon.restart()?;
    wait_filled(server, id, 'a')
}

fn without_daemon_with_service(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "withdrawn-pins");
    let (pool, path) = (Kind::Pool, format!("/api/v1/namespaces/default/services/{id}"));
    pool.create(server, id, None)?;
    create_front(server, id)?;
    let text = cluster("lab", &full_access(server, id)?, "") + &dynamic_prefix(id, "") + &pool.binding(id, id);
    let entry = format!(
        "\n[[service]]\nnamespace = \"default\"\nname = \"{id}\"\nprefixRef = \"{id}/lb\"\nsuffix = \"::f000:0:0:3\"\n"
    );
    let mut daemon = Daemon::start(id, 'a', &(text + &entry))?;
    let asks = |service: &Value| service["metadata"]["annotations"]["lbipam.cilium.io/ips"].is_string();
    sees(server, id)?;
    server.wait_object(&path, PATIENCE, asks)?;
    daemon.wait_target(id, |target| target["kind"] == "Service" && target["desired"] != json!([]))?;
    daemon.stop()?;
    let target = format!("{}/{id}", pool.name());
    let (code, text) = run(&daemon, "withdraw", &[&target, "--dry-run"])?;
    ensure!(code == 0 && text.contains(&format!("Service/default/{id} in lab:")), "{code} {text}");
    ensure!(text.matches("would leave").count() == 2 && asks(&server.get(&path)?), "{text}");
    let (code, text) = run(&daemon, "withdraw", &[&target])?;
    ensure!(code == 0 && text.contains(&format!("Service/default/{id} in lab: released.")), "{code} {text}");
    ensure!(is_released(server, pool, id)?, "{text}");
    // Nobody serves what it asked for.
    let notes = server.get(&path)?["metadata"]["annotations"].clone();
    ensure!(notes.as_object().is_none_or(|notes| notes.is_empty()), "{notes:#}");
    daemon.restart()?;
    daemon.wait_target(id, |target| target["kind"] == pool.name() && target["reason"] == "Paused")?;
    ensure!(!asks(&server.get(&path)?), "it asks for an address in a pool that is withdrawn");
    let (code, text) = run(&daemon, "resume", &[&target])?;
    ensure!(code == 0 && text.contains("is cared for again"), "{code} {text}");
    sees(server, id)?;
    server.wait_object(&path, PATIENCE, asks).map(drop)
}

/// A Service that LB-IPAM would give an address.
fn create_front(server: &ApiServer, name: &str) -> Result<()> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": "io.cilium/bgp-control-plane", "ports": [{"port": 80}],
            "ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack", "selector": {"app": name},
        },
    });
    server.create("/api/v1/namespaces/default/services", &service).map(drop)
}

fn last_entry(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "withdrawn-last");
    let daemon = filled(server, id)?;
    let (group, name) = (Kind::Group, three(id)[1].1.clone());
    let ours = group.ours(Part::Lb, 'a');
    server.patch(&group.path(&name), &json!({"spec": {group.field(): ours.0}}))?;
    daemon.wait_target(&name, |target| target["foreign"] == json!([]))?;
    let (code, text) = run(&daemon, "withdraw", &[])?;
    ensure!(code == 3, "{code} {text}");
    ensure!(text.contains(&format!("CiliumCIDRGroup/{name} in lab: CannotEmpty")), "{text}");
    ensure!(text.matches("released.").count() == 2, "{text}");
    group.wait(server, id, &name, &[], &ours).map(drop)
}

fn plan_live(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "planned");
    let mut daemon = filled(server, id)?;
    let before = versions(server, id)?;
    let (code, text) = run(&daemon, "plan", &["--live"])?;
    ensure!(code == 0 && text.matches("  Synced").count() == 3, "{code} {text}");
    ensure!(text.contains("The daemon runs: what it has stored counts"), "{text}");
    // What another prefix would change, and what a binding that is gone.
    let (code, text) = run(&daemon, "plan", &["--live", "--prefix", "2001:db8:b::/56"])?;
    ensure!(code == 0 && text.matches("would be written").count() == 3, "{code} {text}");
    ensure!(text.contains("+ 2001:db8:b:0:f000::1-2001:db8:b:0:f000::6"), "{text}");
    ensure!(text.contains("\"192.0.2.0/28\""), "the list is written whole, with what is the user's: {text}");
    daemon.stop()?;
    let [(pool, name), ..] = three(id);
    daemon.prepare('a', &template(server, id)?.replace(&pool.binding(id, &name), ""))?;
    let (code, text) = run(&daemon, "plan", &["--live", "--output", "json"])?;
    let plan: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let targets = plan["targets"].as_array().context("targets")?;
    let target = targets.iter().find(|target| target["name"] == *name).context("the pool is not in the plan")?;
    ensure!(code == 0 && target["removed"] == json!(["2001:db8:a:0:f000::1-2001:db8:a:0:f000::6"]), "{target:#}");
    ensure!(target["patch"]["metadata"]["annotations"][pool.record_key()].is_null(), "{target:#}");
    ensure!(target["patch"]["spec"]["blocks"] == json!(pool.of_user()), "{target:#}");
    ensure!(versions(server, id)? == before, "a plan has written");
    // A cluster that does not answer is told of, and keeps nobody waiting for long.
    let away = cluster("lab", &full_access(server, id)?.with_extension("none"), "") + &dynamic_prefix(id, "");
    daemon.prepare('a', &(away + &bindings(id)))?;
    let (code, text) = run(&daemon, "plan", &["--live", "--timeout", "1"])?;
    ensure!(
        code == 3 && text.contains("lab could not be read, it is misconfigured: Cannot read the kubeconfig "),
        "{code} {text}"
    );
    Ok(())
}

fn take_over(lab: &Lab) -> Result<()> {
    let server = lab.shared()?;
    let (one, other) = ("taken-from", "taken-by");
    let former = filled(server, one)?;
    let names: Vec<String> = three(one).map(|(_, name)| name).into();
    let text = cluster("lab", &full_access(server, other)?, "") + &dynamic_prefix(one, "") + &bindings(one);
    let latter = Daemon::start(other, 'a', &text)?;
    for name in &names {
        let target = latter.wait_reason(name, "OtherWriter")?;
        let kind = target["kind"].as_str().unwrap_or_default();
        let says = |part: &str| target["message"].as_str().is_some_and(|message| message.contains(part));
        ensure!(
            says(&format!("`dyn-prefix take-over {kind}/")) && says(&format!("another daemon, {one:?}")),
            "{target:#}"
        );
    }
    let (code, text) = run(&latter, "take-over", &["--all"])?;
    ensure!(code == 1 && text.contains("--force") && text.contains(&format!("{one:?}")), "{code} {text}");
    let (code, text) = run(&latter, "take-over", &["--all", "--force"])?;
    ensure!(code == 0 && text.matches("is ours now").count() == 3, "{code} {text}");
    for ((kind, name), ours) in three(one).into_iter().map(|it| (it.clone(), it.0.ours(Part::Lb, 'a'))) {
        kind.wait(server, other, &name, &kind.of_user(), &ours)?;
        former.wait_reason(&name, "OtherWriter")?;
        latter.wait_reason(&name, "Synced")?;
    }
    let (code, text) = run(&latter, "take-over", &["--all", "--force"])?;
    ensure!(code == 1 && text.contains("no target is managed by another daemon"), "{code} {text}");
    let (code, text) = run(&latter, "take-over", &[])?;
    ensure!(code == 1 && text.contains("--all"), "{code} {text}");
    Ok(())
}

fn removed_cluster(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "cluster-removed");
    let mut daemon = filled(server, id)?;
    let kubeconfig = full_access(server, id)?;
    // The client that there is goes on, whatever becomes of the file.
    let hidden = kubeconfig.with_extension("hidden");
    std::fs::rename(&kubeconfig, &hidden)?;
    daemon.edit(&dynamic_prefix(id, ""))?;
    for (kind, name) in three(id) {
        kind.wait_released(server, &name, &kind.of_user())?;
    }
    daemon.wait_log(&["lab: not in the configuration any more; nothing of ours is left there"])?;
    let (_, status) = daemon.status()?;
    ensure!(status["daemon"].get("leftovers").is_none() && status["clusters"] == json!([]), "{status:#}");
    std::fs::rename(&hidden, &kubeconfig)?;
    daemon.edit(&template(server, id)?)?;
    wait_filled(server, id, 'a')
}

fn renamed_cluster(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "cluster-renamed");
    let mut daemon = filled(server, id)?;
    let before = versions(server, id)?;
    daemon.edit(&template(server, id)?.replace("name = \"lab\"", "name = \"den\""))?;
    daemon.wait_cluster("den", |cluster| cluster["state"] == "connected")?;
    for (_, name) in three(id) {
        daemon.wait_target(&name, |target| target["cluster"] == "den" && target["reason"] == "Synced")?;
    }
    let copy = full_access(server, id)?.with_extension("copy");
    std::fs::copy(full_access(server, id)?, &copy)?;
    let moved = cluster("den", &copy, "") + &dynamic_prefix(id, "") + &bindings(id);
    daemon.edit(&moved)?;
    daemon.wait_cluster("den", |cluster| cluster["state"] == "connected")?;
    for (_, name) in three(id) {
        daemon.wait_reason(&name, "Synced")?;
    }
    // The new client knows what is ours, so that the next prefix finds it, and nothing was written before.
    ensure!(versions(server, id)? == before, "a reload that changes nothing in the cluster has written there");
    daemon.rotate('b')?;
    three(id).into_iter().try_for_each(|(kind, name)| {
        kind.wait(server, id, &name, &kind.of_user(), &kind.drained(Part::Lb, "ba")).map(drop)
    })
}

fn moved(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "moved");
    let mut daemon = filled(server, id)?;
    let [(pool, name), ..] = three(id);
    let other = format!("{id}-other");
    pool.create(server, &other, None)?;
    let config = template(server, id)?;
    daemon.edit(&config.replace(&pool.binding(id, &name), &pool.binding(id, &other)))?;
    pool.wait(server, id, &other, &pool.of_user(), &pool.ours(Part::Lb, 'a'))?;
    pool.wait_released(server, &name, &pool.of_user())?;
    daemon.edit(&config)?;
    wait_filled(server, id, 'a')?;
    pool.wait_released(server, &other, &pool.of_user())?;

    // Another name for the DynamicPrefix is none for its ranges.
    let before = versions(server, id)?;
    daemon.edit(
        &config.replace(&format!("name = \"{id}\""), "name = \"renamed\"").replace(&format!("\"{id}/"), "\"renamed/"),
    )?;
    for (_, name) in three(id) {
        daemon.wait_reason(&name, "Synced")?;
    }
    ensure!(versions(server, id)? == before, "another name for the same ranges has written");
    Ok(())
}
