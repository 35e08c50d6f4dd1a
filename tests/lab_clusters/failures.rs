//! Objects that are not there, or not as we saw them: 404, 409, other writers, one cluster under two names, dryRun.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail, ensure};
use serde_json::json;

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, Credentials};
use crate::rig::{Daemon, Lab, cluster, dynamic_prefix, expect_writes, full_access, writes};

pub(crate) const STORIES: &[Story] = &[
    ("failures: an object that is deleted and made anew is another one", made_anew),
    ("failures: a conflict is decided about anew, and nobody's change is lost", conflict),
    ("failures: an object of another daemon is left alone until that has let go of it", other_writer),
    ("failures: one cluster under two names is written as the first only", same_cluster),
    ("failures: dryRun shows the patches and sends none", dry_run),
];

/// The configuration with annotations alone, no history, and these keys of the cluster.
fn template(server: &ApiServer, id: &str, more: &str) -> Result<String> {
    Ok(cluster("lab", &full_access(server, id)?, more) + &dynamic_prefix(id, "maxPrefixHistory = 0"))
}

fn name(id: &str, kind: Kind) -> String {
    format!("{id}-{}", kind.field().to_lowercase())
}

fn create(server: &ApiServer, id: &str) -> Result<()> {
    Kind::ALL.into_iter().try_for_each(|kind| kind.create(server, &name(id, kind), Some((id, Part::Lb))).map(drop))
}

fn wait(server: &ApiServer, id: &str, letter: char) -> Result<()> {
    Kind::ALL.into_iter().try_for_each(|kind| {
        kind.wait(server, id, &name(id, kind), &kind.of_user(), &kind.ours(Part::Lb, letter)).map(drop)
    })
}

fn made_anew(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "anew");
    let bindings = Kind::ALL.map(|kind| kind.binding(id, &name(id, kind))).concat();
    create(server, id)?;
    let daemon = Daemon::start(id, 'a', &(template(server, id, "")? + &bindings))?;
    wait(server, id, 'a')?;
    for kind in Kind::ALL {
        let name = name(id, kind);
        let before = daemon.wait_reason(&name, "Synced")?["uid"].clone();
        server.delete(&kind.path(&name))?;
        daemon.wait_reason(&name, "TargetMissing")?;
        let object = kind.create(server, &name, None)?;
        kind.wait(server, id, &name, &kind.of_user(), &kind.ours(Part::Lb, 'a'))?;
        let after = daemon.wait_reason(&name, "Synced")?["uid"].clone();
        ensure!(after == object["metadata"]["uid"] && after != before, "the uid was {before}, is now {after}");
    }
    Ok(())
}

/// Another writer changes the object as fast as it can while the prefix changes, until one of our patches came too
/// late.
fn conflict(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "conflict");
    let kind = Kind::Pool;
    let name = name(id, kind);
    kind.create(server, &name, Some((id, Part::Lb)))?;
    let mut daemon = Daemon::start(id, 'a', &template(server, id, "")?)?;
    kind.wait(server, id, &name, &kind.of_user(), &kind.ours(Part::Lb, 'a'))?;
    let (path, over) = (kind.path(&name), AtomicBool::new(false));
    let client = server.client_as(&Credentials::Token(server.admin_token().to_owned()))?;
    let restless = || -> Result<usize> {
        let mut count = 0;
        while !over.load(Ordering::Relaxed) {
            count += 1;
            let patch = json!({"metadata": {"labels": {"count": count.to_string()}}}).to_string();
            client.request("PATCH", &path, Some(("application/merge-patch+json", patch.as_bytes())))?;
        }
        Ok(count)
    };
    let count = std::thread::scope(|scope| {
        let other = scope.spawn(restless);
        let outcome = rotate_until_conflict(server, &mut daemon, &name);
        over.store(true, Ordering::Relaxed);
        let count = other.join().unwrap_or_else(|_| bail!("the other writer panicked"))?;
        outcome.map(|()| count)
    })?;
    let object = server.get(&path)?;
    let expected = json!(count.to_string());
    ensure!(object["metadata"]["labels"]["count"] == expected, "a label of the other writer was lost");
    daemon.wait_reason(&name, "Synced")?;
    Ok(())
}

fn rotate_until_conflict(server: &ApiServer, daemon: &mut Daemon, name: &str) -> Result<()> {
    let kind = Kind::Pool;
    for letter in "bcdef".chars().cycle().take(100) {
        daemon.rotate(letter)?;
        kind.wait(server, "conflict", name, &kind.of_user(), &kind.ours(Part::Lb, letter))?;
        if writes(server, "conflict")?.iter().any(|event| event.code == 409) {
            return Ok(());
        }
    }
    bail!("a hundred patches, and none of them met a newer version of the object");
}

fn other_writer(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "second-writer");
    create(server, id)?;
    let mut first = Daemon::start("first-writer", 'a', &template(server, id, "")?)?;
    Kind::ALL.into_iter().try_for_each(|kind| {
        let ours = kind.ours(Part::Lb, 'a');
        kind.wait(server, "first-writer", &name(id, kind), &kind.of_user(), &ours).map(drop)
    })?;
    first.stop()?;
    let mut second = Daemon::start(id, 'b', &template(server, id, "")?)?;
    for kind in Kind::ALL {
        let target = second.wait_reason(&name(id, kind), "OtherWriter")?;
        let message = target["message"].as_str().unwrap_or_default();
        ensure!(message.contains("first-writer"), "who it is, is not said: {message}");
        expect_writes(server, id, &name(id, kind), 1)?; // that of the first
    }
    second.rotate('c')?;
    for kind in Kind::ALL {
        second.wait_reason(&name(id, kind), "OtherWriter")?;
        expect_writes(server, id, &name(id, kind), 1)?;
        // Whoever takes it over by hand removes what the other one has left.
        let nothing = json!({kind.record_key(): null, "dynamic-prefix.io/managed-by": null});
        let patch = json!({"metadata": {"annotations": nothing}, "spec": {kind.field(): kind.of_user()}});
        server.patch(&kind.path(&name(id, kind)), &patch)?;
    }
    wait(server, id, 'c')
}

fn same_cluster(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "twins");
    create(server, id)?;
    let second = full_access(server, "twins-second")?;
    let whole = cluster("second-name", &second, "") + &dynamic_prefix(id, "maxPrefixHistory = 0");
    let whole = cluster("first-name", &full_access(server, id)?, "") + &whole;
    let mut daemon = Daemon::start(id, 'a', &whole)?;
    wait(server, id, 'a')?;
    for kind in Kind::ALL {
        let target = daemon.wait_reason(&name(id, kind), "SameCluster")?;
        ensure!(target["cluster"] == "second-name", "the first of the two is refused: {target:#}");
        let message = target["message"].as_str().unwrap_or_default();
        ensure!(message.contains("first-name") && message.contains("second-name"), "not both are named: {message}");
    }
    ensure!(daemon.status()?.0 == 3, "`status` exits with {}", daemon.status()?.0);
    let before = writes(server, "twins-second")?.len();
    daemon.rotate('b')?;
    wait(server, id, 'b')?;
    for kind in Kind::ALL {
        daemon.wait_target(&name(id, kind), |target| target["cluster"] == "first-name" && target["synced"] == true)?;
    }
    let after = writes(server, "twins-second")?.len();
    ensure!(before == after, "written under both names");
    Ok(())
}

fn dry_run(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "dry-run");
    create(server, id)?;
    let mut daemon = Daemon::start(id, 'a', &template(server, id, "dryRun = true")?)?;
    for letter in ['a', 'b'] {
        daemon.rotate(letter)?;
        for kind in Kind::ALL {
            let (_, record) = kind.ours(Part::Lb, letter);
            daemon.wait_target(&name(id, kind), |target| target["reason"] == "DryRun" && target["synced"] == false)?;
            daemon.wait_log(&["dryRun", &name(id, kind), &record.join(",")])?;
        }
    }
    for kind in Kind::ALL {
        kind.wait_released(server, &name(id, kind), &kind.of_user())?;
    }
    ensure!(writes(server, id)?.is_empty(), "written in spite of dryRun: {:?}", writes(server, id)?);
    daemon.edit(&template(server, id, "dryRun = false")?)?;
    wait(server, id, 'b')?;
    Kind::ALL.into_iter().try_for_each(|kind| expect_writes(server, id, &name(id, kind), 1))
}
