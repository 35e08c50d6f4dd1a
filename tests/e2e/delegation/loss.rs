//! The server says nothing more, or is not there.

use std::time::Duration;

use anyhow::{Result, ensure};
use dyn_prefix::source::dhcpv6::wire::ClientMessage;
use serde_json::{Value, json};

use crate::daemon::{acquired, prefix, target};
use crate::interop::capture::Seen;
use crate::interop::daemon::{Daemon, SOON, current, state};
use crate::interop::scene::Scene;
use crate::interop::servers::{Kind, Pool};
use crate::lab::wait_for;
use crate::netns::{Radvd, WAN};
use crate::pool::{addresses, blocks, cidrs};

use super::Test;
use super::home::{Objects, Targets};
use super::story::{A, Granted, Story};

pub(super) const TESTS: &[Test] = &[
    Test::new("t062_kea_silent_to_the_valid_end_on_loss_keep", |story| silent(story, "keep", kept)),
    Test::new("t062_kea_silent_to_the_valid_end_on_loss_withdraw", |story| silent(story, "withdraw", withdrawn)),
    Test::new("t090_router_advertisements_stand_in_until_kea_is_there", stand_in).with(&["kea-dhcp6", "radvd"]),
];

/// The seconds of T1, T2, preferred and valid lifetime.
const SHORT: [u32; 4] = [4, 6, 8, 12];
const VALID: Duration = Duration::from_secs(12);

/// How a story goes on when the lease is over.
type End = fn(&Story<'_>, &mut Daemon<'_>, &mut Targets, &Granted) -> Result<()>;

fn silent(story: &Story<'_>, on_loss: &str, end: End) -> Result<()> {
    let server = story.scene.server(Kind::Kea, &Pool::from(A).with_times(SHORT))?;
    let objects = story.configure(&format!("transition.onLoss = \"{on_loss}\""))?;
    let mut targets = objects.watch(&story.home.api)?;
    let mut daemon = story.scene.daemon()?;
    let held = story.granted(&mut daemon, 0)?;
    server.freeze()?;
    targets.until("the delegation", &[&held.prefix])?;
    remove_users_entry(story, &objects, &held.prefix)?;
    end(story, &mut daemon, &mut targets, &held)?;
    // Asked for until the end, and from then on anew (RFC 9915 §18.2.5).
    let link = &story.scene.link;
    link.wait_sent(ClientMessage::Renew, held.next, SOON)?;
    link.wait_sent(ClientMessage::Rebind, held.next, SOON)?;
    let solicits = |seen: &Seen| seen.client().is_some_and(|sent| sent.kind == ClientMessage::Solicit);
    let (solicit, next) = link.wait("a Solicit", held.next, SOON, solicits)?;
    near_the_end(&held, solicit.at)?;
    story.expect_none(ClientMessage::Rebind, next)
}

/// MetalLB's pool is left with nothing but the delegation.
fn remove_users_entry(story: &Story<'_>, objects: &Objects, prefix: &str) -> Result<()> {
    let ours = addresses(&[prefix]).pop();
    story.home.api.patch(&objects.metallb(), &json!({"spec": {"addresses": [ours]}})).map(drop)
}

/// Fails unless an instant is that of the end of the valid lifetime, a second more or less.
fn near_the_end(held: &Granted, at: std::time::Instant) -> Result<()> {
    let after = at.saturating_duration_since(held.at);
    let second = Duration::from_secs(1);
    ensure!((VALID - second..VALID + second).contains(&after), "after {after:?} and not {VALID:?}");
    Ok(())
}

fn kept(story: &Story<'_>, daemon: &mut Daemon<'_>, targets: &mut Targets, held: &Granted) -> Result<()> {
    let status = daemon.until("lost", SOON, |status| acquired(status) == ("False", "Dead"))?;
    near_the_end(held, std::time::Instant::now())?;
    ensure!(current(&status) == Some(held.prefix.as_str()), "{status:#}");
    let conditions = prefix(&status)["conditions"].to_string();
    ensure!(conditions.contains("the targets keep it"), "{conditions}");
    ensure!(story.writes()?.len() == 3, "{:?}", story.writes()?);
    ensure!(targets.pool.latest()? == blocks(&[&held.prefix]), "{:?}", targets.pool.seen);
    ensure!(targets.pool.seen.len() == 2, "{:?}", targets.pool.seen);
    Ok(())
}

fn withdrawn(story: &Story<'_>, daemon: &mut Daemon<'_>, targets: &mut Targets, held: &Granted) -> Result<()> {
    let left = targets.pool.until("the valid end", &blocks(&[]))?;
    near_the_end(held, left)?;
    let kept = |status: &Value| {
        ["CiliumCIDRGroup", "IPAddressPool"].iter().all(|kind| target(status, kind)["reason"] == "CannotEmpty")
    };
    let status = daemon.until("CannotEmpty", SOON, kept)?;
    ensure!(acquired(&status) == ("False", "Withdrawn") && current(&status).is_none(), "{status:#}");
    ensure!(story.writes()?.len() == 4, "{:?}", story.writes()?);
    ensure!(targets.group.latest()? == cidrs(&[&held.prefix]), "{:?}", targets.group.seen);
    let ours: Vec<_> = addresses(&[&held.prefix]).pop().into_iter().collect();
    ensure!(targets.metallb.latest()? == ours, "{:?}", targets.metallb.seen);
    Ok(())
}

/// The stored lease is over, so the client asks for ten seconds before an advertised prefix counts.
fn stand_in(story: &Story<'_>) -> Result<()> {
    const ADVERTISED: &str = "2001:db8:a::/64";
    let scene: &Scene = story.scene;
    let pool = Pool::from(A).with_times([2, 3, 4, 5]);
    let mut server = scene.server(Kind::Kea, &pool)?;
    let also = format!("acquisition.routerAdvertisement = {{ interface = \"{WAN}\" }}");
    let mut targets = story.configure(&also)?.watch(&story.home.api)?;
    let mut daemon = scene.daemon()?;
    let old = story.granted(&mut daemon, 0)?;
    targets.until("the delegation", &[&old.prefix])?;
    // It is saved once it is published.
    wait_for("the lease in the store", SOON, || {
        let state = std::fs::read_to_string(scene.path("state").join("state.json")).unwrap_or_default();
        Ok(state.contains(&old.prefix).then_some(()))
    })?;
    daemon.kill()?;
    server.stop()?;
    // It was perhaps extended once.
    let last = scene.link.all().iter().rev().find(|seen| seen.server().is_some()).map_or(old.at, |seen| seen.at);
    wait_for("the lease is over", SOON, || Ok((last.elapsed() > Duration::from_secs(5)).then_some(())))?;
    let lifetimes = "AdvPreferredLifetime 1200; AdvValidLifetime 3000;";
    let _radvd = Radvd::start(&scene.pair.router, &format!("prefix {ADVERTISED} {{ {lifetimes} }};"));
    let from = scene.link.position();
    let mut daemon = scene.daemon()?;
    let solicits = |seen: &Seen| seen.client().is_some_and(|sent| sent.kind == ClientMessage::Solicit);
    let (asked, _) = scene.link.wait("a Solicit", from, SOON, solicits)?;
    let hints: Vec<_> = asked.client().into_iter().flat_map(|sent| &sent.delegations).collect();
    ensure!(format!("{hints:?}").contains(&old.prefix), "the former prefix as a hint: {hints:?}");
    let at = targets.pool.until_within(SOON * 2, "the router's prefix", &blocks(&[ADVERTISED]))?;
    let waited = at.saturating_duration_since(asked.at);
    ensure!((Duration::from_secs(9)..Duration::from_secs(12)).contains(&waited), "asked in vain for {waited:?}");
    targets.until("the router's prefix", &[ADVERTISED])?;
    daemon.until("heard", SOON, |status| prefix(status)["prefixSource"] == "router-advertisement")?;
    server.again(&Pool::from(A))?;
    let new = story.granted(&mut daemon, from)?;
    ensure!(state(&daemon.until_state("bound", SOON)?) == "bound", "bound");
    // What routers advertise is not dead.
    targets.until("the delegation takes over", &[&new.prefix, ADVERTISED])?;
    targets.expect(&[&[&old.prefix], &[ADVERTISED], &[&new.prefix, ADVERTISED]])
}
