//! The ordinary life: filled, rotated, drained, repaired.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::ApiServer;
use crate::rig::{Daemon, Lab, cluster, dynamic_prefix, expect_writes, full_access, writes};

pub(crate) const STORIES: &[Story] = &[
    ("rotation: bindings and annotations of every kind, one write per object and change", rotation),
    ("rotation: a drain period of 0 and a history of 0 let the old prefix leave in the write of the new", at_once),
    ("rotation: a drain ends when the file says so", shortened),
    ("life: what somebody edits by hand is repaired, what he adds is kept", repair),
    ("life: a pool that is created later is filled at once", later),
    ("life: an annotation that names an unknown prefix is nobody's", not_ours),
];

/// Six objects: each kind by binding and by annotation.
fn six(id: &str) -> [(Kind, String, Part); 6] {
    let of = |kind: Kind, how: &str, part| (kind, format!("{id}-{how}-{}", kind.field().to_lowercase()), part);
    [
        of(Kind::Pool, "bound", Part::Lb),
        of(Kind::Group, "bound", Part::Lb),
        of(Kind::Metallb, "bound", Part::Lb),
        of(Kind::Pool, "annotated", Part::Web),
        of(Kind::Group, "annotated", Part::Web),
        of(Kind::Metallb, "annotated", Part::Web),
    ]
}

fn is_bound(part: Part) -> bool {
    part == Part::Lb
}

/// The configuration for [`six`].
fn template(server: &ApiServer, id: &str, transition: &str) -> Result<String> {
    let bindings = six(id).into_iter().filter(|(_, _, part)| is_bound(*part));
    let bindings: String = bindings.map(|(kind, name, _)| kind.binding(id, &name)).collect();
    Ok(cluster("lab", &full_access(server, id)?, "") + &dynamic_prefix(id, transition) + &bindings)
}

fn create_six(server: &ApiServer, id: &str) -> Result<()> {
    six(id).into_iter().try_for_each(|(kind, name, part)| {
        let annotated = (!is_bound(part)).then_some((id, part));
        kind.create(server, &name, annotated).map(drop)
    })
}

fn wait_six(server: &ApiServer, id: &str, letters: &str) -> Result<()> {
    six(id).into_iter().try_for_each(|(kind, name, part)| {
        kind.wait(server, id, &name, &kind.of_user(), &kind.drained(part, letters)).map(drop)
    })
}

fn rotation(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "rotation");
    create_six(server, id)?;
    let mut daemon = Daemon::start(id, 'a', &template(server, id, "")?)?;
    wait_six(server, id, "a")?;
    // Two former prefixes are kept; one that comes back is current and no longer among the former ones.
    for (count, (letter, letters)) in (2..).zip([('b', "ba"), ('a', "ab"), ('c', "cab"), ('d', "dca")]) {
        daemon.rotate(letter)?;
        wait_six(server, id, letters)?;
        for (_, name, _) in six(id) {
            daemon.wait_target(&name, |target| target["synced"] == true && target["reason"] == "Synced")?;
            expect_writes(server, id, &name, count)?;
        }
    }
    nothing_more(server, &daemon, id)?;
    let status = daemon.status()?.1;
    let history = &status["dynamicPrefixes"][0]["history"];
    ensure!(
        history[0]["prefix"] == "2001:db8:c::/56" && history[1]["prefix"] == "2001:db8:a::/56",
        "the history is {history:#}"
    );
    Ok(())
}

/// Neither a reload without a change nor somebody else's change makes a write.
fn nothing_more(server: &ApiServer, daemon: &Daemon, id: &str) -> Result<()> {
    let before = writes(server, id)?.len();
    daemon.reload()?;
    let (kind, name, part) = &six(id)[1]; // groups may hold the same range
    let path = kind.path(name);
    server.patch(&path, &json!({"metadata": {"labels": {"touched": "yes"}}}))?;
    // An object created after all that is written after all that would have been written because of it.
    let sentinel = format!("{id}-sentinel");
    kind.create(server, &sentinel, Some((id, *part)))?;
    kind.wait(server, id, &sentinel, &kind.of_user(), &kind.all_ours(*part, "dca"))?;
    daemon.wait_reason(&sentinel, "Synced")?;
    let after = writes(server, id)?.len();
    ensure!(after == before + 1, "{} writes where one (of the sentinel) was due", after - before);
    Ok(())
}

fn at_once(lab: &Lab) -> Result<()> {
    let server = lab.shared()?;
    for (id, transition) in [("drainless", "drainPeriodMinutes = 0"), ("historyless", "maxPrefixHistory = 0")] {
        create_six(server, id)?;
        let mut daemon = Daemon::start(id, 'a', &template(server, id, transition)?)?;
        wait_six(server, id, "a")?;
        daemon.rotate('b')?;
        wait_six(server, id, "b")?;
        for (_, name, _) in six(id) {
            daemon.wait_reason(&name, "Synced")?;
            expect_writes(server, id, &name, 2)?; // one for each prefix
        }
    }
    Ok(())
}

fn shortened(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "shortened");
    create_six(server, id)?;
    let mut daemon = Daemon::start(id, 'a', &template(server, id, "drainPeriodMinutes = 60")?)?;
    wait_six(server, id, "a")?;
    daemon.rotate('b')?;
    wait_six(server, id, "ba")?;
    daemon.edit(&template(server, id, "drainPeriodMinutes = 0")?)?;
    wait_six(server, id, "b")?;
    for (kind, name, _) in six(id) {
        daemon.wait_reason(&name, "Synced")?;
        // Two prefixes, and the end of a drain for those that still held something of the old one.
        let count = if kind == Kind::Group { 3 } else { 2 };
        expect_writes(server, id, &name, count)?;
    }
    Ok(())
}

fn repair(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "repair");
    create_six(server, id)?;
    let daemon = Daemon::start(id, 'a', &template(server, id, "")?)?;
    wait_six(server, id, "a")?;
    for (kind, name, part) in six(id) {
        let path = kind.path(&name);
        let ours = kind.all_ours(part, "a");
        // Ours taken away.
        server.patch(&path, &json!({"spec": {kind.field(): kind.of_user()}}))?;
        kind.wait(server, id, &name, &kind.of_user(), &ours)?;
        // The record and the writer taken away.
        let nothing = json!({kind.record_key(): null, "dynamic-prefix.io/managed-by": null});
        server.patch(&path, &json!({"metadata": {"annotations": nothing}}))?;
        kind.wait(server, id, &name, &kind.of_user(), &ours)?;
        // An entry of the user's taken away, another one put in front.
        let own = if kind == Kind::Pool { json!({"cidr": "198.51.100.0/24"}) } else { json!("198.51.100.0/24") };
        let user = vec![own, kind.of_user().remove(0)];
        let list = [user.clone(), ours.0.clone()].concat();
        expect_writes(server, id, &name, 3)?; // filled, and repaired twice
        server.patch(&path, &json!({"spec": {kind.field(): list}}))?;
        let shown: Vec<String> = user.iter().map(described).collect();
        daemon.wait_target(&name, |target| target["foreign"] == json!(shown))?;
        kind.wait(server, id, &name, &user, &ours)?;
        expect_writes(server, id, &name, 3)?;
    }
    Ok(())
}

/// An entry of the user's, as the status shows it: by its text, also where it is an object.
fn described(entry: &Value) -> String {
    entry.as_str().or_else(|| entry["cidr"].as_str()).unwrap_or_default().to_owned()
}

fn later(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "later");
    let daemon = Daemon::start(id, 'a', &template(server, id, "")?)?;
    for (_, name, part) in six(id) {
        if is_bound(part) {
            daemon.wait_reason(&name, "TargetMissing")?;
        }
    }
    create_six(server, id)?;
    let created = std::time::Instant::now();
    wait_six(server, id, "a")?;
    let took = created.elapsed();
    ensure!(took.as_secs() < 3, "six new objects were filled only after {took:?}");
    Ok(())
}

fn not_ours(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "unknown");
    let [stranger, known] = ["unknown-stranger", "unknown-known"];
    Kind::Pool.create(server, stranger, Some(("no-such-prefix", Part::Lb)))?;
    Kind::Pool.create(server, known, Some((id, Part::Web)))?;
    let daemon = Daemon::start(id, 'a', &template(server, id, "")?)?;
    Kind::Pool.wait(server, id, known, &Kind::Pool.of_user(), &Kind::Pool.all_ours(Part::Web, "a"))?;
    Kind::Pool.wait_released(server, stranger, &Kind::Pool.of_user())?;
    let status = daemon.status()?.1;
    let targets = status["targets"].as_array().into_iter().flatten();
    ensure!(targets.clone().all(|target| target["name"] != stranger), "the stranger is a target: {status:#}");
    ensure!(!daemon.log().contains(stranger), "the log has a word about it:\n{}", daemon.log());
    Ok(())
}
