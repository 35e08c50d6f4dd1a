//! Released when the annotation or the binding goes, now or while the daemon was away; nothing else ever is.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::ApiServer;
use crate::rig::{Daemon, Lab, cluster, dynamic_prefix, expect_writes, full_access};

pub(crate) const STORIES: &[Story] = &[
    ("release: when the annotation goes", annotation),
    ("release: when the binding goes with a reload", with_reload),
    ("release: after a restart, when binding and annotation went meanwhile", after_restart),
    ("release: a group is never emptied", never_emptied),
    ("release: nothing at a stop", nothing_at_stop),
];

/// An object of each kind, and what has to be true of it.
fn three(id: &str) -> [(Kind, String); 3] {
    Kind::ALL.map(|kind| (kind, format!("{id}-{}", kind.field().to_lowercase())))
}

fn without_bindings(server: &ApiServer, id: &str) -> Result<String> {
    Ok(cluster("lab", &full_access(server, id)?, "") + &dynamic_prefix(id, ""))
}

fn with_bindings(server: &ApiServer, id: &str) -> Result<String> {
    let bindings = three(id).map(|(kind, name)| kind.binding(id, &name));
    Ok(without_bindings(server, id)? + &bindings.concat())
}

/// Three objects that are filled by a daemon with a draining prefix on them, too: that is released as well.
fn filled(server: &ApiServer, id: &str, template: &str, annotated: bool) -> Result<Daemon> {
    for (kind, name) in three(id) {
        kind.create(server, &name, annotated.then_some((id, Part::Lb)))?;
    }
    let mut daemon = Daemon::start(id, 'a', template)?;
    wait_filled(server, id, "a")?;
    daemon.rotate('b')?;
    wait_filled(server, id, "ba")?;
    Ok(daemon)
}

fn wait_filled(server: &ApiServer, id: &str, letters: &str) -> Result<()> {
    three(id).into_iter().try_for_each(|(kind, name)| {
        kind.wait(server, id, &name, &kind.of_user(), &kind.drained(Part::Lb, letters)).map(drop)
    })
}

fn wait_released(server: &ApiServer, id: &str) -> Result<()> {
    for (kind, name) in three(id) {
        kind.wait_released(server, &name, &kind.of_user())?;
        expect_writes(server, id, &name, 3)?; // two prefixes and the release
    }
    Ok(())
}

fn unannotate(server: &ApiServer, id: &str) -> Result<()> {
    for (kind, name) in three(id) {
        let nothing = json!({"dynamic-prefix.io/name": null, "dynamic-prefix.io/address-range": null});
        server.patch(&kind.path(&name), &json!({"metadata": {"annotations": nothing}}))?;
    }
    Ok(())
}

fn wait_forgotten(daemon: &Daemon) -> Result<()> {
    crate::lab::wait_for("no target in the status", crate::rig::PATIENCE, || {
        Ok((daemon.status()?.1["targets"] == json!([])).then_some(()))
    })
}

fn annotation(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "unannotated");
    let daemon = filled(server, id, &without_bindings(server, id)?, true)?;
    unannotate(server, id)?;
    wait_released(server, id)?;
    wait_forgotten(&daemon)
}

fn with_reload(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "unbound");
    let mut daemon = filled(server, id, &with_bindings(server, id)?, false)?;
    daemon.edit(&without_bindings(server, id)?)?;
    wait_released(server, id)?;
    wait_forgotten(&daemon)
}

fn after_restart(lab: &Lab) -> Result<()> {
    let server = lab.shared()?;
    let id = "unbound-away";
    let mut daemon = filled(server, id, &with_bindings(server, id)?, false)?;
    daemon.stop()?;
    daemon.prepare('b', &without_bindings(server, id)?)?;
    daemon.restart()?;
    wait_released(server, id)?;

    let id = "unannotated-away";
    let mut daemon = filled(server, id, &without_bindings(server, id)?, true)?;
    daemon.stop()?;
    unannotate(server, id)?;
    daemon.restart()?;
    wait_released(server, id)?;
    wait_forgotten(&daemon)
}

fn never_emptied(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "last");
    let groups = [Kind::Group, Kind::Metallb];
    let name = |kind: Kind| format!("{id}-{}", kind.field().to_lowercase());
    // MetalLB's schema wants an entry from the start; the user takes it away later.
    for kind in groups {
        kind.create(server, &name(kind), Some((id, Part::Lb)))?;
    }
    let daemon = Daemon::start(id, 'a', &without_bindings(server, id)?)?;
    for kind in groups {
        let ours = kind.all_ours(Part::Lb, "a");
        kind.wait(server, id, &name(kind), &kind.of_user(), &ours)?;
        server.patch(&kind.path(&name(kind)), &json!({"spec": {kind.field(): ours.0}}))?;
        daemon.wait_target(&name(kind), |target| target["foreign"] == json!([]))?;
        let nothing = json!({"dynamic-prefix.io/name": null, "dynamic-prefix.io/address-range": null});
        server.patch(&kind.path(&name(kind)), &json!({"metadata": {"annotations": nothing}}))?;
        daemon.wait_reason(&name(kind), "CannotEmpty")?;
        kind.wait(server, id, &name(kind), &[], &ours)?;
        // With an entry of the user's there is something that may stay.
        let user = kind.of_user();
        let both = [ours.0, user.clone()].concat();
        server.patch(&kind.path(&name(kind)), &json!({"spec": {kind.field(): both}}))?;
        kind.wait_released(server, &name(kind), &user)?;
    }
    Ok(())
}

fn nothing_at_stop(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "stopped");
    let mut daemon = filled(server, id, &with_bindings(server, id)?, false)?;
    let versions = || -> Result<Vec<Value>> {
        let version =
            |(kind, name): (Kind, String)| Ok(server.get(&kind.path(&name))?["metadata"]["resourceVersion"].clone());
        three(id).into_iter().map(version).collect()
    };
    let before = versions()?;
    daemon.stop()?;
    ensure!(versions()? == before, "an object was written while the daemon stopped");
    daemon.restart()?;
    for (_, name) in three(id) {
        daemon.wait_reason(&name, "Synced")?;
    }
    ensure!(versions()? == before, "an object was written although nothing has changed since the stop");
    Ok(())
}
