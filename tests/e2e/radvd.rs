//! Against radvd: what every kind of change does to the pools.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::Test;
use crate::daemon::{Daemon, acquired, prefix, source_state, target};
use crate::netns::{LAN, Radvd, WAN};
use crate::pool::{A, B, CIDR_GROUP, METALLB_POOL, POOL, addresses, blocks, cidrs, user_blocks};
use crate::rig::{NAME, Scene, Setup};

pub(crate) const TESTS: &[Test] = &[
    ("radvd_first_prefix", first_prefix),
    ("radvd_change_with_the_old_one_deprecated_and_listed_first", change_with_old_deprecated_first),
    ("radvd_two_prefixes", two_prefixes),
    ("radvd_killed_and_restarted_with_only_the_new_prefix", killed_and_restarted),
    ("radvd_prefix_vanishes_from_the_configuration", prefix_vanishes),
    ("radvd_stopped_t137", stopped),
    ("radvd_corrects_a_forged_zero_lifetime_t138", forged_zero_lifetime),
    ("radvd_link_down_and_up_t135", link_down_and_up),
    ("radvd_interface_deleted_and_recreated", interface_recreated),
    ("radvd_part_of_a_delegation", delegated_prefix_length),
    ("radvd_prefix_changes_while_the_daemon_is_away", changed_while_away),
    ("radvd_with_accept_ra_0_and_forwarding_t143", kernel_settings),
];

fn prefix_block(net: &str, preferred: u32, valid: u32) -> String {
    format!("prefix {net} {{ AdvPreferredLifetime {preferred}; AdvValidLifetime {valid}; DeprecatePrefix on; }};")
}

fn live(net: &str) -> String {
    prefix_block(net, 1200, 3000)
}

fn deprecated(net: &str) -> String {
    prefix_block(net, 0, 3000)
}

fn first_prefix(scene: &mut Scene<'_>) -> Result<()> {
    let _radvd = Radvd::start(&scene.pair().router, &live(A));
    let mut pool = scene.watch(POOL)?;
    let mut group = scene.watch(CIDR_GROUP)?;
    let mut metallb = scene.watch(METALLB_POOL)?;
    let mut daemon = Daemon::start(scene, &scene.configure(Setup::default())?)?;
    daemon.wait_ready()?;
    pool.until("the first prefix", &blocks(&[A]))?;
    group.until("the first prefix", &cidrs(&[A]))?;
    metallb.until("the first prefix", &addresses(&[A]))?;
    ensure!(pool.seen.len() == 2, "one write, not {:?}", pool.seen);
    let status = daemon.wait_well("all well", |status| {
        prefix(status)["currentPrefix"] == A && target(status, "IPAddressPool")["synced"] == true
    })?;
    ensure!(acquired(&status) == ("True", "Acquired") && source_state(&status) == "receiving", "{status:#}");
    let range = &prefix(&status)["addressRanges"][0];
    ensure!(range["start"] == "2001:db8:a:0:f000::" && range["end"] == "2001:db8:a:0:f000::ffff", "{range}");
    ensure!(prefix(&status)["generation"] == 1 && prefix(&status)["history"] == json!([]), "{status:#}");
    acknowledge(scene)?;
    let status = daemon.wait_status("the controller has seen it", 0, |_| true)?;
    let cilium = target(&status, "CiliumLoadBalancerIPPool");
    ensure!(cilium["observed"] == true, "{cilium:#}");
    // The user's entries, as the user spells them.
    let foreign = json!(["10.9.0.0/24", "2001:DB8:FFFF:0::/64", "2001:0db8:fffe::1-2001:db8:fffe:0::ff"]);
    ensure!(cilium["foreign"] == foreign && cilium["desired"].as_array().map(Vec::len) == Some(1), "{cilium:#}");
    // One line for all three, with what the first of them holds.
    let names = ["CiliumLoadBalancerIPPool/pool", "CiliumCIDRGroup/group", "IPAddressPool/metallb-system/public"];
    daemon.wait_log(&[&names[..], &["home:", "written, the last after", "now holds 2001:db8:a:"]].concat())?;
    daemon.expect_log(&["started with", &format!("{NAME}: {A} is the prefix"), "now holds"])
}

/// Does what LB-IPAM does when it has taken a pool in.
fn acknowledge(scene: &Scene<'_>) -> Result<()> {
    let generation = &scene.api.get(POOL)?["metadata"]["generation"];
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "65536", "observedGeneration": generation,
            "lastTransitionTime": "2026-01-04T10:00:00Z"})
    };
    let conditions = json!([
        condition("cilium.io/IPsTotal", "Unknown", "noreason"),
        condition("cilium.io/PoolConflict", "False", "resolved"),
    ]);
    scene.api.patch(&format!("{POOL}/status"), &json!({"status": {"conditions": conditions}})).map(drop)
}

fn change_with_old_deprecated_first(scene: &mut Scene<'_>) -> Result<()> {
    let radvd = Radvd::start(&scene.pair().router, &live(A));
    let mut pool = scene.watch(POOL)?;
    let mut group = scene.watch(CIDR_GROUP)?;
    let mut metallb = scene.watch(METALLB_POOL)?;
    let daemon = Daemon::start(scene, &scene.configure(Setup::default())?)?;
    pool.until("the old prefix", &blocks(&[A]))?;
    metallb.until("the old prefix", &addresses(&[A]))?;
    group.until("the old prefix", &cidrs(&[A]))?;
    radvd.reload(&(deprecated(A) + &live(B)));
    pool.until("the new prefix", &blocks(&[B, A]))?;
    group.until("the new prefix", &cidrs(&[B, A]))?;
    metallb.until("the new prefix", &addresses(&[B, A]))?;
    ensure!(pool.seen.len() == 3, "one write per change, not {:?}", pool.seen);
    daemon.expect_log(&[&format!("{NAME}: {B} takes the place of {A}")])?;
    let (code, history) = daemon.ask(&["history"])?;
    ensure!(code == Some(0) && history.contains(&format!("now {B}")), "{history}");
    ensure!(history.contains(&format!("{A}  draining until")) && history.contains("(Replaced)"), "{history}");
    let status = daemon.wait_well("all well", |status| prefix(status)["currentPrefix"] == B)?;
    let former = &prefix(&status)["history"][0];
    ensure!(former["prefix"] == A && former["state"] == "draining" && former["reason"] == "Replaced", "{former:#}");
    Ok(())
}

/// The one with the longer preferred lifetime, although it is listed last.
fn two_prefixes(scene: &mut Scene<'_>) -> Result<()> {
    let radvd = Radvd::start(&scene.pair().router, &(live(A) + &prefix_block(B, 2400, 3000)));
    let mut pool = scene.watch(POOL)?;
    let daemon = Daemon::start(scene, &scene.configure(Setup::default())?)?;
    pool.until("the longer preferred one", &blocks(&[B]))?;
    // It stays while it is usable, whatever the other one has to offer.
    let (_, before) = daemon.status()?;
    radvd.reload(&(prefix_block(A, 3000, 3000) + &live(B)));
    let preferred_until = |status: &serde_json::Value| prefix(status)["preferredUntil"].as_str().map(str::to_owned);
    let status = daemon.wait_well("the shorter lifetime", |status| {
        preferred_until(status).is_some() && preferred_until(status) < preferred_until(&before)
    })?;
    ensure!(prefix(&status)["currentPrefix"] == B, "{status:#}");
    ensure!(pool.latest()? == blocks(&[B]) && pool.seen.len() == 2, "{:?}", pool.seen);
    Ok(())
}

/// A rebooted home router: it says nothing about the old prefix. Five seconds are asked.
fn killed_and_restarted(scene: &mut Scene<'_>) -> Result<()> {
    let radvd = Radvd::start(&scene.pair().router, &live(A));
    let mut pool = scene.watch(POOL)?;
    let mut daemon = Daemon::start(scene, &scene.configure(Setup::default())?)?;
    pool.until("the old prefix", &blocks(&[A]))?;
    daemon.wait_well("in order", |status| source_state(status) == "receiving")?;
    // The daemon's own solicitations at its start must not be what helps, or hinders, here.
    std::thread::sleep(Duration::from_secs(11).saturating_sub(daemon.started.elapsed()));
    radvd.kill();
    let restarted = Instant::now();
    let _radvd = Radvd::start(&scene.pair().router, &live(B));
    let at = pool.until_within(Duration::from_secs(5), "only the new one is announced", &blocks(&[B, A]))?;
    crate::say(&format!("killed and restarted radvd: the new prefix is in the pool after {:?}", at - restarted));
    daemon.wait_log(&[&format!("{B} takes the place of {A}")])?;
    Ok(())
}

fn prefix_vanishes(scene: &mut Scene<'_>) -> Result<()> {
    let radvd = Radvd::start(&scene.pair().router, &(prefix_block(A, 2400, 3000) + &live(B)));
    let mut pool = scene.watch(POOL)?;
    let daemon = Daemon::start(scene, &scene.configure(Setup::default())?)?;
    pool.until("both are announced", &blocks(&[A]))?;
    radvd.reload(&live(B));
    pool.until("only B is left", &blocks(&[B, A]))?;
    ensure!(pool.seen.len() == 3, "{:?}", pool.seen);
    daemon.expect_log(&[&format!("{NAME}: {B} takes the place of {A}")])
}

/// radvd says goodbye with preferred lifetime 0: the prefix is deprecated, not gone, and nothing replaces it.
fn stopped(scene: &mut Scene<'_>) -> Result<()> {
    let radvd = Radvd::start(&scene.pair().router, &live(A));
    let mut pool = scene.watch(POOL)?;
    let setup = Setup { transition: r#"onLoss = "withdraw""#, ..Setup::default() };
    let daemon = Daemon::start(scene, &scene.configure(setup)?)?;
    pool.until("the prefix", &blocks(&[A]))?;
    let version = scene.version(POOL)?;
    radvd.stop();
    daemon.wait_status("deprecated", 3, |status| acquired(status) == ("False", "Deprecated"))?;
    ensure!(scene.version(POOL)? == version && pool.latest()? == blocks(&[A]), "deprecated is not lost");
    daemon.expect_log(&[&format!("{NAME}: {A} is lost: its preferred lifetime is over"), "the targets keep it"])
}

fn forged_zero_lifetime(scene: &mut Scene<'_>) -> Result<()> {
    let _radvd = Radvd::start(&scene.pair().router, &live(A));
    let mut pool = scene.watch(POOL)?;
    let setup = Setup { transition: r#"onLoss = "withdraw""#, ..Setup::default() };
    let mut daemon = Daemon::start(scene, &scene.configure(setup)?)?;
    pool.until("the prefix", &blocks(&[A]))?;
    scene.forger().send(&crate::forged::advertise(&[(A, 0, 0)]));
    daemon.wait_log(&[&format!("{A} is lost")])?;
    daemon.wait_log(&[&format!("{NAME}: {A} can be used again.")])?;
    daemon.wait_well("well again", |status| acquired(status) == ("True", "Acquired"))?;
    ensure!(pool.latest()? == blocks(&[A]) && pool.seen.len() == 2, "written by a forger: {:?}", pool.seen);
    Ok(())
}

fn link_down_and_up(scene: &mut Scene<'_>) -> Result<()> {
    let radvd = Radvd::start(&scene.pair().router, &live(A));
    let mut pool = scene.watch(POOL)?;
    let mut daemon = Daemon::start(scene, &scene.configure(Setup::default())?)?;
    pool.until("the prefix", &blocks(&[A]))?;
    let version = scene.version(POOL)?;
    scene.pair().router.ip(&format!("link set {LAN} down"));
    let status = daemon.wait_status("link down", 3, |status| source_state(status) == "link-down")?;
    ensure!(prefix(&status)["currentPrefix"] == A, "{status:#}");
    daemon.wait_log(&[&format!("The link of {WAN} is down; waiting for it.")])?;
    ensure!(scene.version(POOL)? == version, "a link that is down takes nothing away");
    // The router has another prefix when the link is back.
    radvd.kill();
    let _radvd = {
        scene.pair().router.ip(&format!("link set {LAN} up"));
        Radvd::start(&scene.pair().router, &(deprecated(A) + &live(B)))
    };
    pool.until("the link is up again", &blocks(&[B, A]))?;
    daemon.wait_well("well", |status| source_state(status) == "receiving").map(drop)
}

fn interface_recreated(scene: &mut Scene<'_>) -> Result<()> {
    let pair = scene.pair();
    pair.part();
    let mut pool = scene.watch(POOL)?;
    let mut daemon = Daemon::start(scene, &scene.configure(Setup::default())?)?;
    daemon.wait_log(&[&format!("The interface {WAN} does not exist; waiting for it to appear.")])?;
    daemon.wait_ready()?;
    pair.join();
    let radvd = Radvd::start(&pair.router, &live(A));
    pool.until("it appears", &blocks(&[A]))?;
    let version = scene.version(POOL)?;
    pair.part();
    let absent = daemon.wait_status("deleted", 3, |status| source_state(status) == "interface-absent")?;
    ensure!(prefix(&absent)["currentPrefix"] == A && scene.version(POOL)? == version, "{absent:#}");
    radvd.kill();
    // Another index.
    pair.host.ip("link add filler type veth peer name other");
    pair.join();
    let _radvd = Radvd::start(&pair.router, &live(B));
    let outcome = pool.until("it is back", &blocks(&[B, A]));
    pair.host.ip("link del filler");
    outcome?;
    daemon.wait_well("well", |status| source_state(status) == "receiving").map(drop)
}

/// The /64 on the link is one of the 256 of a /56.
fn delegated_prefix_length(scene: &mut Scene<'_>) -> Result<()> {
    let (first, second, delegation) = ("2001:db8:a:12::/64", "2001:db8:a:34::/64", "2001:db8:a::/56");
    let radvd = Radvd::start(&scene.pair().router, &live(first));
    let mut pool = scene.watch(POOL)?;
    let mut group = scene.watch(CIDR_GROUP)?;
    let setup = Setup { ra: "delegatedPrefixLength = 56", ..Setup::default() };
    let daemon = Daemon::start(scene, &scene.configure(setup)?)?;
    group.until("the delegation", &cidrs(&[delegation]))?;
    pool.until("the range by its place in the delegation", &blocks(&[A]))?;
    // Another /64 of the same delegation is no other prefix.
    let (_, before) = daemon.status()?;
    radvd.reload(&(deprecated(first) + &prefix_block(second, 2400, 3000)));
    let lifetime = |status: &serde_json::Value| prefix(status)["preferredUntil"].as_str().map(str::to_owned);
    daemon.wait_well("the longer lifetime", |status| lifetime(status) > lifetime(&before))?;
    radvd.reload(&(deprecated(second) + &live("2001:db8:b:56::/64")));
    group.until("another delegation", &cidrs(&["2001:db8:b::/56", delegation]))?;
    pool.until("another delegation", &blocks(&[B, A]))?;
    ensure!(group.seen.len() == 3, "{:?}", group.seen);
    Ok(())
}

fn changed_while_away(scene: &mut Scene<'_>) -> Result<()> {
    let radvd = Radvd::start(&scene.pair().router, &live(A));
    let mut pool = scene.watch(POOL)?;
    let config = scene.configure(Setup::default())?;
    let daemon = Daemon::start(scene, &config)?;
    pool.until("the prefix", &blocks(&[A]))?;
    let version = scene.version(POOL)?;
    daemon.stop()?;
    ensure!(scene.version(POOL)? == version, "stopping writes nothing");
    // The router forgets the old prefix, as home routers do.
    radvd.kill();
    let _radvd = Radvd::start(&scene.pair().router, &live(B));
    let mut daemon = Daemon::start(scene, &config)?;
    pool.until("the prefix that came meanwhile", &blocks(&[B, A]))?;
    ensure!(pool.seen.len() == 3, "the stored prefix is not written again: {:?}", pool.seen);
    daemon.wait_log(&[&format!("{B} takes the place of {A}")])?;
    let status = daemon.wait_well("in order", |status| prefix(status)["generation"] == 2)?;
    ensure!(prefix(&status)["history"][0]["prefix"] == A, "{status:#}");
    // Without a change a restart writes nothing at all.
    let version = scene.version(POOL)?;
    daemon.stop()?;
    let daemon = Daemon::start(scene, &config)?;
    daemon.wait_well("in order", |status| {
        source_state(status) == "receiving" && target(status, "CiliumLoadBalancerIPPool")["synced"] == true
    })?;
    ensure!(scene.version(POOL)? == version, "{}", scene.api.get(POOL)?);
    Ok(())
}

fn kernel_settings(scene: &mut Scene<'_>) -> Result<()> {
    let host = &scene.pair().host;
    host.sysctl(&format!("net/ipv6/conf/{WAN}/accept_ra"), "0");
    host.sysctl("net/ipv6/conf/all/forwarding", "1");
    let radvd = Radvd::start(&scene.pair().router, &live(A));
    let mut pool = scene.watch(POOL)?;
    ensure!(pool.latest()? == user_blocks(), "fresh");
    let _daemon = Daemon::start(scene, &scene.configure(Setup::default())?)?;
    pool.until("accept_ra=0, forwarding=1", &blocks(&[A]))?;
    host.sysctl(&format!("net/ipv6/conf/{WAN}/accept_ra"), "2");
    radvd.reload(&(deprecated(A) + &live(B)));
    pool.until("accept_ra=2, forwarding=1", &blocks(&[B, A])).map(drop)
}
