//! Against a router of the test's own making: what no decent router says, at the moment it matters.

use std::net::Ipv6Addr;

use anyhow::{Result, ensure};
use dyn_prefix::source::ra::packet::{Advertisement, PrefixInformation};
use serde_json::Value;

use crate::Test;
use crate::daemon::{Daemon, acquired, prefix, source_state, target};
use crate::lab::wait_for;
use crate::netns::{Forged, LAN, Solicitations};
use crate::pool::{A, B, CIDR_GROUP, METALLB_POOL, POOL, SOON, addresses, blocks, cidrs};
use crate::rig::{NAME, Scene, Setup};

pub(crate) const TESTS: &[Test] = &[
    ("nothing_is_written_before_the_first_opinion", no_opinion),
    ("a_forged_zero_lifetime_withdraws_nothing_and_status_says_so_t138", forged_zero_lifetime),
    ("on_loss_keep_keeps_what_is_confirmed_to_be_lost", on_loss_keep),
    ("on_loss_withdraw_takes_out_what_is_confirmed_to_be_lost", on_loss_withdraw),
    ("old_prefixes_leave_by_their_number", history_is_bounded),
];

const WITHDRAW: Setup = Setup { ra: "", transition: r#"onLoss = "withdraw""# };

/// An advertisement of prefixes with their preferred and valid lifetimes, in this order.
pub(crate) fn advertise(prefixes: &[(&str, u32, u32)]) -> Forged {
    let prefixes = prefixes
        .iter()
        .map(|(prefix, preferred, valid)| PrefixInformation {
            prefix: prefix.parse().unwrap_or_else(|error| panic!("{prefix}: {error}")),
            on_link: true,
            autonomous: true,
            pd_preferred: false,
            preferred: *preferred,
            valid: *valid,
        })
        .collect();
    let router = Ipv6Addr::UNSPECIFIED;
    let advertisement =
        Advertisement { router, router_lifetime: 1800, managed: false, other: false, prefixes, ignored: vec![] };
    Forged::proper(advertisement.encode())
}

fn no_opinion(scene: &mut Scene<'_>) -> Result<()> {
    let versions = |scene: &Scene<'_>| -> Result<Vec<String>> {
        [POOL, CIDR_GROUP, METALLB_POOL].iter().map(|path| scene.version(path)).collect()
    };
    let before = versions(scene)?;
    let mut daemon = Daemon::start(scene, &scene.configure(WITHDRAW)?)?;
    daemon.wait_ready()?;
    let status = daemon.wait_status("all is known but the prefix", 3, |status| {
        let seen = |kind| target(status, kind)["uid"].is_string();
        status["clusters"][0]["state"] == "connected"
            && ["CiliumLoadBalancerIPPool", "CiliumCIDRGroup", "IPAddressPool"].into_iter().all(seen)
    })?;
    ensure!(acquired(&status) == ("False", "WaitingForPrefix"), "{status:#}");
    ensure!(prefix(&status)["currentPrefix"].is_null(), "{status:#}");
    daemon.wait_log(&["No router on wan has answered; still listening."])?;
    ensure!(versions(scene)? == before, "something was written");
    // A prefix that the filter refuses is no opinion either.
    let forger = scene.forger();
    forger.send(&advertise(&[("fd00:1::/64", 1200, 3000)]));
    daemon.wait_log(&[NAME, "offers fd00:1::/64, which is not used"])?;
    let status = daemon.wait_status("heard", 3, |status| source_state(status) == "receiving")?;
    ensure!(acquired(&status) == ("False", "WaitingForPrefix"), "{status:#}");
    ensure!(versions(scene)? == before, "something was written");
    let mut pool = scene.watch(POOL)?;
    forger.send(&advertise(&[(A, 1200, 3000)]));
    pool.until("the first opinion", &blocks(&[A])).map(drop)
}

/// The router says nothing more: for as long as nobody confirms it, the prefix is in doubt and stays.
fn forged_zero_lifetime(scene: &mut Scene<'_>) -> Result<()> {
    let mut pool = scene.watch(POOL)?;
    let daemon = Daemon::start(scene, &scene.configure(WITHDRAW)?)?;
    let forger = scene.forger();
    daemon.wait_status("soliciting", 3, |status| source_state(status) == "soliciting")?;
    forger.send(&advertise(&[(A, 1200, 3000)]));
    pool.until("the prefix", &blocks(&[A]))?;
    let solicitations = Solicitations::listen(&scene.pair().router, LAN);
    forger.send(&advertise(&[(A, 0, 0)]));
    let in_doubt = |status: &Value| acquired(status) == ("False", "Deprecated");
    let status = daemon.wait_status("in doubt", 3, in_doubt)?;
    ensure!(prefix(&status)["currentPrefix"] == A, "{status:#}");
    let conditions = prefix(&status)["conditions"].to_string();
    ensure!(conditions.contains("the targets keep it"), "{conditions}");
    // The router is asked, and does not answer.
    wait_for("a Router Solicitation", SOON, || Ok((!solicitations.hop_limits().is_empty()).then_some(())))?;
    ensure!(in_doubt(&daemon.status()?.1), "silence confirms nothing");
    forger.send(&advertise(&[(A, 1200, 3000)]));
    daemon.wait_well("well again", |status| acquired(status) == ("True", "Acquired"))?;
    ensure!(pool.latest()? == blocks(&[A]) && pool.seen.len() == 2, "{:?}", pool.seen);
    daemon.expect_log(&[&format!("{NAME}: {A} is lost"), &format!("{NAME}: {A} can be used again.")])
}

/// The first prefix is in all three objects; then it is withdrawn, and the withdrawal confirmed.
fn lose(scene: &Scene<'_>, daemon: &Daemon) -> Result<()> {
    let forger = scene.forger();
    daemon.wait_status("soliciting", 3, |status| source_state(status) == "soliciting")?;
    forger.send(&advertise(&[(A, 1200, 3000)]));
    scene.watch(POOL)?.until("the prefix", &blocks(&[A]))?;
    scene.watch(CIDR_GROUP)?.until("the prefix", &cidrs(&[A]))?;
    scene.watch(METALLB_POOL)?.until("the prefix", &addresses(&[A]))?;
    daemon.wait_well("in order", |_| true)?;
    let solicitations = Solicitations::listen(&scene.pair().router, LAN);
    forger.send(&advertise(&[(A, 0, 0)]));
    wait_for("a Router Solicitation", SOON, || Ok((!solicitations.hop_limits().is_empty()).then_some(())))?;
    forger.send(&advertise(&[(A, 0, 0)]));
    Ok(())
}

fn on_loss_keep(scene: &mut Scene<'_>) -> Result<()> {
    let mut daemon = Daemon::start(scene, &scene.configure(Setup::default())?)?;
    lose(scene, &daemon)?;
    let status = daemon.wait_status("lost", 3, |status| acquired(status) == ("False", "Dead"))?;
    ensure!(prefix(&status)["currentPrefix"] == A, "{status:#}");
    daemon.wait_log(&[&format!("{A} is lost"), "the targets keep it (transition.onLoss = \"keep\")"])?;
    // A successor is what it waits for. The dead one leaves in the same write.
    let mut pool = scene.watch(POOL)?;
    ensure!(pool.latest()? == blocks(&[A]), "{:?}", pool.seen);
    scene.forger().send(&advertise(&[(B, 1200, 3000)]));
    pool.until("the successor", &blocks(&[B]))?;
    ensure!(pool.seen.len() == 2, "{:?}", pool.seen);
    Ok(())
}

fn on_loss_withdraw(scene: &mut Scene<'_>) -> Result<()> {
    let mut daemon = Daemon::start(scene, &scene.configure(WITHDRAW)?)?;
    lose(scene, &daemon)?;
    let mut pool = scene.watch(POOL)?;
    pool.until("confirmed", &blocks(&[]))?;
    scene.watch(METALLB_POOL)?.until("confirmed", &addresses(&[]))?;
    daemon.wait_log(&[&format!("{A} is lost"), "taken out of the targets (transition.onLoss = \"withdraw\")"])?;
    // CIDR groups are never emptied.
    let status =
        daemon.wait_status("CannotEmpty", 3, |status| target(status, "CiliumCIDRGroup")["reason"] == "CannotEmpty")?;
    ensure!(acquired(&status) == ("False", "Withdrawn"), "{status:#}");
    ensure!(prefix(&status)["currentPrefix"].is_null(), "{status:#}");
    let mut group = scene.watch(CIDR_GROUP)?;
    ensure!(group.latest()? == cidrs(&[A]), "{:?}", group.seen);
    scene.forger().send(&advertise(&[(B, 1200, 3000)]));
    pool.until("the successor", &blocks(&[B]))?;
    group.until("the successor", &cidrs(&[B]))?;
    daemon.wait_well("well", |status| acquired(status) == ("True", "Acquired")).map(drop)
}

/// maxPrefixHistory = 1: the current one and one more.
fn history_is_bounded(scene: &mut Scene<'_>) -> Result<()> {
    let mut pool = scene.watch(POOL)?;
    let setup = Setup { transition: "maxPrefixHistory = 1", ..Setup::default() };
    let mut daemon = Daemon::start(scene, &scene.configure(setup)?)?;
    let forger = scene.forger();
    daemon.wait_status("soliciting", 3, |status| source_state(status) == "soliciting")?;
    let c = crate::pool::C;
    forger.send(&advertise(&[(A, 1200, 3000)]));
    pool.until("the first", &blocks(&[A]))?;
    forger.send(&advertise(&[(A, 0, 3000), (B, 1200, 3000)]));
    pool.until("the second", &blocks(&[B, A]))?;
    forger.send(&advertise(&[(A, 0, 3000), (B, 0, 3000), (c, 1200, 3000)]));
    pool.until("the third", &blocks(&[c, B]))?;
    ensure!(pool.seen.len() == 4, "one write per change: {:?}", pool.seen);
    daemon.wait_log(&[&format!("the former prefix {A} leaves the targets"), "maxPrefixHistory"])?;
    Ok(())
}
