//! A delegation comes, is replaced, and is given back.

use std::time::Duration;

use anyhow::{Result, ensure};
use dyn_prefix::source::dhcpv6::wire::ClientMessage;
use serde_json::Value;

use crate::daemon::{acquired, prefix, target};
use crate::interop::capture::Seen;
use crate::interop::daemon::SOON;
use crate::interop::scene::NAME;
use crate::interop::servers::{Kind, Pool};
use crate::pool::blocks;

use super::Test;
use super::story::{A, B, Story, expect_end};

pub(super) const TESTS: &[Test] = &[
    Test::new("t001_kea_delegation_fills_pool_group_and_metallb", first),
    Test::new("t072_kea_replacement_and_dead_prefix_in_one_write", replaced),
    Test::new("t072_kea_replaced_prefix_stays_for_a_drain_period_of_the_file", replaced_and_kept),
    Test::new("t093_kea_release_after_the_pool_has_let_go", released).releases(),
];

fn first(story: &Story<'_>) -> Result<()> {
    let _server = story.scene.server(Kind::Kea, &Pool::from(A))?;
    let mut targets = story.configure("")?.watch(&story.home.api)?;
    let mut daemon = story.scene.daemon()?;
    let granted = story.granted(&mut daemon, 0)?;
    targets.until("the delegation", &[&granted.prefix])?;
    targets.expect(&[&[&granted.prefix]])?;
    let status = story.settled(&mut daemon)?;
    ensure!(acquired(&status) == ("True", "Acquired"), "{status:#}");
    ensure!(prefix(&status)["prefixSource"] == "dhcpv6-pd", "{status:#}");
    ensure!(story.writes()?.len() == 3, "{:?}", story.writes()?);
    // An extended lease is no reason to write.
    daemon.until_extended(SOON, &granted.prefix)?;
    targets.expect(&[&[&granted.prefix]])?;
    ensure!(story.writes()?.len() == 3, "{:?}", story.writes()?);
    Ok(())
}

/// Kea answers the Renew with the new prefix, and with the old one at 0.
fn replaced(story: &Story<'_>) -> Result<()> {
    let mut server = story.scene.server(Kind::Kea, &Pool::from(A))?;
    let mut targets = story.configure("")?.watch(&story.home.api)?;
    let mut daemon = story.scene.daemon()?;
    let old = story.granted(&mut daemon, 0)?;
    targets.until("the first", &[&old.prefix])?;
    server.wipe(&Pool::from(B))?;
    let new = story.granted(&mut daemon, old.next)?;
    expect_end(&new.reply, &old.prefix)?;
    targets.until("the new one, without the old one", &[&new.prefix])?;
    targets.expect(&[&[&old.prefix], &[&new.prefix]])?;
    let status = story.settled(&mut daemon)?;
    let former = &prefix(&status)["history"][0];
    ensure!(former["prefix"] == old.prefix && former["state"] == "expired", "{former:#}");
    ensure!(former["reason"] == "Dead", "{former:#}");
    Ok(())
}

fn replaced_and_kept(story: &Story<'_>) -> Result<()> {
    let mut server = story.scene.server(Kind::Kea, &Pool::from(A))?;
    let mut targets = story.configure("transition.drainPeriodMinutes = 60")?.watch(&story.home.api)?;
    let mut daemon = story.scene.daemon()?;
    let old = story.granted(&mut daemon, 0)?;
    targets.until("the first", &[&old.prefix])?;
    server.wipe(&Pool::from(B))?;
    let new = story.granted(&mut daemon, old.next)?;
    expect_end(&new.reply, &old.prefix)?;
    targets.until("the new one, then the old one", &[&new.prefix, &old.prefix])?;
    targets.expect(&[&[&old.prefix], &[&new.prefix, &old.prefix]])?;
    let status = story.settled(&mut daemon)?;
    let former = &prefix(&status)["history"][0];
    ensure!(former["prefix"] == old.prefix && former["state"] == "draining", "{former:#}");
    Ok(())
}

/// The way to the API server is long, so that the order can be told: a daemon that waited for nothing would have sent
/// its Release before the write arrived, one that did not wait for the answer at about the same time.
fn released(story: &Story<'_>) -> Result<()> {
    const DELAY: Duration = Duration::from_millis(250);
    let _server = story.scene.server(Kind::Kea, &Pool::from(A).with_times([60, 90, 120, 180]))?;
    let mut targets = story.configure("")?.watch(&story.home.api)?;
    let mut daemon = story.scene.daemon()?;
    let held = story.granted(&mut daemon, 0)?;
    targets.until("the delegation", &[&held.prefix])?;
    story.settled(&mut daemon)?;
    story.relay.set_delay(DELAY);
    let began = std::time::Instant::now();
    let (code, said) = daemon.ask(&["dhcp-release", NAME])?;
    crate::say(&format!("dhcp-release took {:?}: {said}", began.elapsed()));
    ensure!(code == Some(0), "{code:?}: {said}");
    let left = targets.pool.until("the prefix leaves", &blocks(&[]))?;
    let releases = |seen: &Seen| seen.client().is_some_and(|sent| sent.kind == ClientMessage::Release);
    let (release, _) = story.scene.link.wait("a Release", held.next, SOON, releases)?;
    ensure!(release.at >= left + DELAY / 2, "{:?} after the pool", release.at.checked_duration_since(left));
    let status = daemon.until_state("released", SOON)?;
    ensure!(prefix(&status)["currentPrefix"].is_null(), "{status:#}");
    // A CIDR group is never emptied.
    let kept = |status: &Value| target(status, "CiliumCIDRGroup")["reason"] == "CannotEmpty";
    daemon.until("CannotEmpty", SOON, kept)?;
    Ok(())
}
