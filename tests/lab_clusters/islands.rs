//! Clusters are islands: one that is frozen and one that is dead delay nobody, and get the latest state once when
//! they are back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, wait_for};
use crate::rig::{Cluster, Daemon, Lab, PATIENCE, cluster, dynamic_prefix, expect_writes, full_access, writes};

pub(crate) const STORIES: &[Story] = &[(
    "islands: one frozen, one dead, one in the middle of a change, and the healthy one is written at once",
    islands,
)];

const ID: &str = "islands";
const OBJECTS: [(Kind, &str, Part); 3] =
    [(Kind::Pool, "first", Part::Lb), (Kind::Pool, "second", Part::Web), (Kind::Group, "third", Part::Web)];
/// Generous for a noisy machine; it takes milliseconds.
const AT_ONCE: Duration = Duration::from_secs(2);

fn wait(server: &ApiServer, letter: char) -> Result<()> {
    OBJECTS.into_iter().try_for_each(|(kind, name, part)| {
        kind.wait(server, ID, name, &kind.of_user(), &kind.ours(part, letter)).map(drop)
    })
}

/// Rotates, and holds the clock on the healthy cluster, from before the reload to its last object.
fn rotate(daemon: &mut Daemon, healthy: &ApiServer, letter: char) -> Result<()> {
    let begun = Instant::now();
    daemon.rotate(letter)?;
    wait(healthy, letter)?;
    let took = begun.elapsed();
    ensure!(took < AT_ONCE, "the healthy cluster got {letter} only after {took:?}");
    Ok(())
}

fn islands(_: &Lab) -> Result<()> {
    let healthy = Cluster::start()?;
    let frozen = Cluster::start()?;
    let mut dead = Cluster::start()?;
    let mut template = String::new();
    for (name, one) in [("healthy", &healthy), ("frozen", &frozen), ("dead", &dead)] {
        for (kind, object, part) in OBJECTS {
            kind.create(&one.server, object, Some((ID, part)))?;
        }
        template += &cluster(name, &full_access(&one.server, ID)?, "");
    }
    template += &dynamic_prefix(ID, "maxPrefixHistory = 0");
    let mut daemon = Daemon::start(ID, 'a', &template)?;
    [&healthy, &frozen, &dead].into_iter().try_for_each(|one| wait(&one.server, 'a'))?;
    wait_all_synced(&daemon)?;

    away_for_two_changes(&mut daemon, &healthy, &frozen, &mut dead)?;
    frozen_in_the_middle(&mut daemon, &healthy, &frozen)?;
    dead_in_the_middle(&mut daemon, &healthy, &mut dead)?;
    wait_all_synced(&daemon)
}

/// Waits until every cluster is connected and every object in sync. (That no operator looks at the pools keeps the
/// exit status of `dyn-prefix status` from being 0.)
fn wait_all_synced(daemon: &Daemon) -> Result<()> {
    let mut last = Value::Null;
    let all = wait_for("three connected clusters with three objects in sync", Duration::from_secs(60), || {
        last = daemon.status()?.1;
        let [clusters, targets] =
            ["clusters", "targets"].map(|list| last[list].as_array().cloned().unwrap_or_default());
        let connected = clusters.iter().filter(|cluster| cluster["state"] == "connected").count();
        let synced = targets.iter().filter(|target| target["synced"] == true).count();
        Ok((connected == 3 && synced == 9).then_some(()))
    });
    all.with_context(|| format!("the status is {last:#}"))
}

fn away_for_two_changes(daemon: &mut Daemon, healthy: &Cluster, frozen: &Cluster, dead: &mut Cluster) -> Result<()> {
    frozen.server.freeze()?;
    dead.server.kill()?;
    for name in ["frozen", "dead"] {
        let seen = daemon.wait_cluster(name, |cluster| cluster["state"] == "unreachable")?;
        ensure!(seen["reason"].is_string() && seen["retryAt"].is_string(), "it says too little: {seen:#}");
    }
    rotate(daemon, &healthy.server, 'b')?;
    rotate(daemon, &healthy.server, 'c')?;
    ensure!(daemon.status()?.0 == 3, "`status` exits with {}", daemon.status()?.0);
    frozen.server.thaw()?;
    dead.server.launch()?;
    for back in [&frozen.server, &dead.server] {
        // The API server may take a while to serve; our attempts are up to 30 s apart.
        wait_for("what was missed", Duration::from_secs(60), || Ok(wait(back, 'c').ok()))?;
    }
    wait_all_synced(daemon)?;
    for (one, count) in [(&healthy.server, 3), (&frozen.server, 2), (&dead.server, 2)] {
        // The first prefix, and then: each change, or the outcome of both.
        OBJECTS.into_iter().try_for_each(|(_, name, _)| expect_writes(one, ID, name, count))?;
    }
    Ok(())
}

/// Frozen so that the patch is on its way when nothing answers any more. Whether the API server acts on what it finds
/// in its socket when it wakes, is for it to decide; ours is that the latest state is there in the end.
fn frozen_in_the_middle(daemon: &mut Daemon, healthy: &Cluster, frozen: &Cluster) -> Result<()> {
    let before = writes(&frozen.server, ID)?.len();
    frozen.server.freeze()?;
    rotate(daemon, &healthy.server, 'd')?;
    rotate(daemon, &healthy.server, 'e')?;
    frozen.server.thaw()?;
    wait(&frozen.server, 'e')?;
    wait_all_synced(daemon)?;
    let written = writes(&frozen.server, ID)?.len() - before;
    ensure!((3..=9).contains(&written), "{written} writes for three objects and two changes, one of them unanswered");
    Ok(())
}

/// Killed while the daemon believes in the connection.
fn dead_in_the_middle(daemon: &mut Daemon, healthy: &Cluster, dead: &mut Cluster) -> Result<()> {
    let before = writes(&dead.server, ID)?.len();
    dead.server.kill()?;
    rotate(daemon, &healthy.server, 'f')?;
    rotate(daemon, &healthy.server, 'a')?;
    dead.server.launch()?;
    wait_for("what was missed", Duration::from_secs(60), || Ok(wait(&dead.server, 'a').ok()))?;
    wait_for("three writes", PATIENCE, || Ok((writes(&dead.server, ID)?.len() >= before + 3).then_some(())))?;
    let written = writes(&dead.server, ID)?.len() - before;
    ensure!(written == 3, "{written} writes for three objects after a dead server came back");
    Ok(())
}
