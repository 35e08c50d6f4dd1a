//! The daemon goes and comes.

use anyhow::{Result, ensure};
use dyn_prefix::source::dhcpv6::wire::ClientMessage;
use serde_json::Value;

use crate::daemon::prefix;
use crate::interop::daemon::SOON;
use crate::interop::servers::{Kind, Pool};
use crate::lab::wait_for;

use super::Test;
use super::story::{A, B, Story, expect_end};

pub(super) const TESTS: &[Test] = &[
    Test::new("t087_kea_killed_while_bound_writes_nothing", killed),
    Test::new("t089_kea_replaced_while_away_in_every_cluster", replaced_while_away),
];

fn killed(story: &Story<'_>) -> Result<()> {
    let _server = story.scene.server(Kind::Kea, &Pool::from(A).with_times([60, 90, 120, 180]))?;
    let mut targets = story.configure("")?.watch(&story.home.api)?;
    let mut daemon = story.scene.daemon()?;
    let held = story.granted(&mut daemon, 0)?;
    targets.until("the delegation", &[&held.prefix])?;
    story.settled(&mut daemon)?;
    let writes = story.writes()?;
    wait_stored(story, &held.prefix)?;
    daemon.kill()?;
    let mut daemon = story.scene.daemon()?;
    let (rebind, next) = story.scene.link.wait_sent(ClientMessage::Rebind, held.next, SOON)?;
    story.scene.link.wait_reply(rebind.transaction_id, SOON)?;
    daemon.until_bound(SOON, |prefix| prefix == held.prefix)?;
    story.settled(&mut daemon)?;
    daemon.expect_always(&held.prefix)?;
    ensure!(story.writes()? == writes, "written after the restart: {:?}", story.writes()?);
    targets.expect(&[&[&held.prefix]])?;
    story.expect_none(ClientMessage::Solicit, next)
}

/// Waits until the lease, and what was written, is on the disk: it is saved after it was published.
fn wait_stored(story: &Story<'_>, prefix: &str) -> Result<()> {
    let path = story.scene.path("state").join("state.json");
    wait_for("the state is saved", SOON, || {
        let state: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let has = |part: &str, word: &str| state[part].to_string().contains(word);
        Ok((has("dhcpv6", prefix) && has("managed", "IPAddressPool")).then_some(()))
    })
}

fn replaced_while_away(story: &Story<'_>) -> Result<()> {
    let mut server = story.scene.server(Kind::Kea, &Pool::from(A))?;
    let objects = story.configure_clusters(&["site", "lab"], "")?;
    let mut clusters = objects.iter().map(|objects| objects.watch(&story.home.api)).collect::<Result<Vec<_>>>()?;
    let mut daemon = story.scene.daemon()?;
    let old = story.granted(&mut daemon, 0)?;
    for targets in &mut clusters {
        targets.until("the first", &[&old.prefix])?;
    }
    story.settled(&mut daemon)?;
    daemon.stop()?;
    server.wipe(&Pool::from(B))?;
    let mut daemon = story.scene.daemon()?;
    let new = story.granted(&mut daemon, old.next)?;
    expect_end(&new.reply, &old.prefix)?;
    for targets in &mut clusters {
        targets.until("the one of now", &[&new.prefix])?;
        targets.expect(&[&[&old.prefix], &[&new.prefix]])?;
    }
    let status = story.settled(&mut daemon)?;
    ensure!(prefix(&status)["history"][0]["prefix"] == old.prefix, "{status:#}");
    Ok(())
}
