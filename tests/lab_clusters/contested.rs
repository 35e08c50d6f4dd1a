//! Somebody else keeps resetting the list: no fight, and a word about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, wait_for};
use crate::observed::wait_event;
use crate::rig::{Daemon, Lab, PATIENCE, cluster, dynamic_prefix, full_access, writes_to};

pub(crate) const STORIES: &[Story] =
    &[("contested: another manager resets the list every second, and there is no storm", contested)];

const ID: &str = "contested";
const NAME: &str = "contested-blocks";
const MANAGER: &str = "argocd-controller";
/// The other manager goes on for so long: longer than the first pause of ours, of 30 s.
const FIGHT: Duration = Duration::from_secs(38);

/// Sets the list to the user's entries, as a GitOps tool that knows nothing of ours.
fn reset(server: &ApiServer) -> Result<()> {
    let object = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool", "metadata": {"name": NAME},
        "spec": {"blocks": Kind::Pool.of_user()},
    });
    server.apply_yaml_as(MANAGER, &object.to_string()).map(drop)
}

fn contested(lab: &Lab) -> Result<()> {
    let server = lab.shared()?;
    Kind::Pool.create(server, NAME, Some((ID, Part::Lb)))?;
    let template = cluster("lab", &full_access(server, ID)?, "") + &dynamic_prefix(ID, "maxPrefixHistory = 0");
    let mut daemon = Daemon::start(ID, 'a', &template)?;
    let ours = Kind::Pool.ours(Part::Lb, 'a');
    Kind::Pool.wait(server, ID, NAME, &Kind::Pool.of_user(), &ours)?;

    let over = AtomicBool::new(false);
    let resets = || -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < FIGHT && !over.load(Ordering::Relaxed) {
            reset(server)?;
            std::thread::sleep(Duration::from_secs(1)); // the pace is the story; nothing is waited for
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(resets);
        let outcome = during_the_fight(server, &mut daemon);
        over.store(outcome.is_err(), Ordering::Relaxed);
        other.join().unwrap_or_else(|_| bail!("the other manager panicked"))?;
        outcome
    })?;
    // Filled, repaired twice, stepped back at the third removal; after 30 s written again and reset once more.
    let written = writes_to(server, ID, NAME)?;
    ensure!((3..=5).contains(&written), "{written} writes in a fight of {FIGHT:?}");

    // A change of the prefix is no reason to fight either; but once the other one has gone it ends well.
    let before = written;
    daemon.rotate('b')?;
    daemon.wait_reason(NAME, "Contested")?;
    ensure!(writes_to(server, ID, NAME)? == before, "written while stepping back");
    Ok(())
}

fn during_the_fight(server: &ApiServer, daemon: &mut Daemon) -> Result<()> {
    let stepped_back = |target: &Value| target["reason"] == "Contested" && target["retryAt"].is_string();
    let target = daemon.wait_target(NAME, stepped_back)?;
    let message = target["message"].as_str().unwrap_or_default();
    ensure!(message.contains(MANAGER), "the manager is not named: {message}");
    ensure!(daemon.status()?.0 == 3, "`status` exits with {}", daemon.status()?.0);
    let line = daemon.wait_log(&["warning", NAME, MANAGER, "ignoreDifferences"])?;
    for part in ["jsonPointers", "/spec/blocks", "/metadata/annotations/dynamic-prefix.io~1managed-blocks"] {
        ensure!(line.contains(part), "{part} is missing in the hint: {line}");
    }
    let event = wait_event(server, NAME, "Contested", MANAGER)?;
    ensure!(event["type"] == "Warning" && event["regarding"]["kind"] == Kind::Pool.name(), "{event:#}");
    let before = writes_to(server, ID, NAME)?;
    ensure!(before <= 4, "{before} writes until the fight was noticed");
    // It is not given up: after the pause it is written once more.
    wait_for("another attempt after the pause", FIGHT + PATIENCE, || {
        Ok((writes_to(server, ID, NAME)? > before).then_some(()))
    })
    .context("the pause is of 30 s")
}
