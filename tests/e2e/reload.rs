//! Another interface, and other numbers of ranges, while a router is heard: the objects hold a prefix all the time.

use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Test;
use crate::daemon::{Daemon, prefix};
use crate::forged::advertise;
use crate::netns::{Forger, WAN};
use crate::pool::{A, B, CIDR_GROUP, METALLB_POOL, POOL, Watched, addresses, blocks, cidrs};
use crate::rig::{Scene, Setup};

pub(crate) const TESTS: &[Test] = &[
    ("reload_with_another_interface_keeps_the_prefix_until_it_is_heard_there", another_interface),
    ("reload_with_other_ranges_is_one_write_for_each_object_that_changes", other_ranges),
];

/// A second link between the two, up at both ends; it ends with the first one's end on it.
struct SecondLink<'a>(&'a Scene<'a>);

const SECOND_WAN: &str = "wan2";
const SECOND_LAN: &str = "lan2";

impl<'a> SecondLink<'a> {
    fn new(scene: &'a Scene<'a>) -> Self {
        let (router, host) = (&scene.pair().router, &scene.pair().host);
        host.ip(&format!("link add {SECOND_WAN} type veth peer name {SECOND_LAN}"));
        host.ip(&format!("link set {SECOND_LAN} netns {}", router.name));
        router.ip(&format!("link set {SECOND_LAN} up"));
        host.ip(&format!("link set {SECOND_WAN} up"));
        Self(scene)
    }
}

impl Drop for SecondLink<'_> {
    fn drop(&mut self) {
        self.0.pair().router.ip(&format!("link del {SECOND_LAN}"));
    }
}

/// Replaces in the configuration, and has the daemon read it.
fn reload(config: &std::path::Path, old: &str, new: &str) -> Result<()> {
    let text = std::fs::read_to_string(config)?;
    ensure!(text.contains(old), "{old:?} is not in {text}");
    std::fs::write(config, text.replace(old, new))?;
    let output = Command::new(env!("CARGO_BIN_EXE_dyn-prefix")).arg("reload").arg("--config").arg(config).output()?;
    ensure!(output.status.success(), "{new:?}: {output:?}");
    Ok(())
}

fn source_on(status: &Value, interface: &str) -> bool {
    status["sources"].as_array().is_some_and(|all| all.len() == 1 && all[0]["interface"] == interface)
}

/// A daemon is ready before it listens.
fn is_soliciting(status: &Value) -> bool {
    status["sources"][0]["state"] == "soliciting"
}

fn another_interface(scene: &mut Scene<'_>) -> Result<()> {
    let scene = &*scene;
    let _second = SecondLink::new(scene);
    let config = scene.configure(Setup { transition: r#"onLoss = "withdraw""#, ..Setup::default() })?;
    let mut watched = [scene.watch(POOL)?, scene.watch(CIDR_GROUP)?, scene.watch(METALLB_POOL)?];
    let daemon = Daemon::start(scene, &config)?;
    daemon.wait_status("it solicits", 3, |status| source_on(status, WAN) && is_soliciting(status))?;
    scene.forger().send(&advertise(&[(A, 1200, 3000)]));
    expect(&mut watched, &[A])?;
    daemon.wait_well("the first", |status| prefix(status)["currentPrefix"] == A)?;
    let versions = versions(scene)?;
    let (first, second) = (format!("interface = \"{WAN}\""), format!("interface = \"{SECOND_WAN}\""));
    reload(&config, &first, &second)?;
    // Nobody has spoken there yet, and that is no reason to let go of anything.
    let is_there =
        |status: &Value| source_on(status, SECOND_WAN) && is_soliciting(status) && prefix(status)["currentPrefix"] == A;
    daemon.wait_status("it listens on the other interface", 3, is_there)?;
    let forger = Forger::new(&scene.pair().router, SECOND_LAN);
    forger.send(&advertise(&[(A, 1200, 3000)]));
    daemon.wait_well("the same prefix on the other interface", |status| source_on(status, SECOND_WAN))?;
    ensure!(self::versions(scene)? == versions, "the same prefix was written again");
    // What the former interface has to say is of no interest any more.
    scene.forger().send(&advertise(&[(A, 0, 0), (B, 1200, 3000)]));
    forger.send(&advertise(&[(A, 0, 3000), (B, 1200, 3000)]));
    expect(&mut watched, &[B, A])?;
    for watched in &mut watched {
        watched.latest()?;
        ensure!(watched.seen.len() == 3, "one write for each prefix: {:?}", watched.seen);
    }
    Ok(())
}

fn expect(watched: &mut [Watched; 3], prefixes: &[&str]) -> Result<()> {
    let [pool, group, metallb] = watched;
    pool.until("the pool", &blocks(prefixes))?;
    group.until("the group", &cidrs(prefixes))?;
    metallb.until("MetalLB's pool", &addresses(prefixes)).map(drop)
}

fn versions(scene: &Scene<'_>) -> Result<Vec<String>> {
    [POOL, CIDR_GROUP, METALLB_POOL].iter().map(|path| scene.version(path)).collect()
}

/// Cilium's pool as it is with this end of the range in A.
fn ending(end: &str) -> Vec<Value> {
    let ours = json!({"start": "2001:db8:a:0:f000::", "stop": format!("2001:db8:a:0:f000:{end}")});
    crate::pool::user_blocks().into_iter().chain([ours]).collect()
}

fn other_ranges(scene: &mut Scene<'_>) -> Result<()> {
    let config = scene.configure(Setup::default())?;
    let mut watched = [scene.watch(POOL)?, scene.watch(CIDR_GROUP)?, scene.watch(METALLB_POOL)?];
    let daemon = Daemon::start(scene, &config)?;
    daemon.wait_status("it solicits", 3, |status| source_on(status, WAN) && is_soliciting(status))?;
    scene.forger().send(&advertise(&[(A, 1200, 3000)]));
    expect(&mut watched, &[A])?;
    daemon.wait_well("the first", |status| prefix(status)["currentPrefix"] == A)?;
    let others = [scene.version(CIDR_GROUP)?, scene.version(METALLB_POOL)?];
    let [pool, ..] = &mut watched;
    // Grown, shrunk, under another name, and given as a subnet instead.
    reload(&config, "end = \"::f000:0:0:ffff\"", "end = \"::f000:0:2:ffff\"")?;
    pool.until("a larger range", &ending("0:2:ffff"))?;
    reload(&config, "end = \"::f000:0:2:ffff\"", "end = \"::f000:0:0:7fff\"")?;
    pool.until("a smaller range", &ending(":7fff"))?;
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text.replace("/lb\"", "/balancers\""))?;
    reload(&config, "name = \"lb\"", "name = \"balancers\"")?;
    let status = daemon.wait_well("another name", |_| true)?;
    ensure!(prefix(&status)["addressRanges"][0]["name"] == "balancers", "{status:#}");
    let text = std::fs::read_to_string(&config)?;
    let range = "[[dynamicPrefix.addressRanges]]\n  name = \"balancers\"\n  start = \"::f000:0:0:0\"\n  end = \"::f000:0:0:7fff\"";
    let subnet = "[[dynamicPrefix.subnets]]\n  name = \"balancers\"\n  offset = \"::f000:0:0:0\"\n  prefixLength = 116";
    ensure!(text.contains(range), "{text}");
    reload(&config, range, subnet)?;
    let mut as_subnet = crate::pool::user_blocks();
    as_subnet.push(json!({"cidr": "2001:db8:a:0:f000::/116"}));
    pool.until("a subnet", &as_subnet)?;
    reload(&config, "prefixLength = 116", "prefixLength = 117")?;
    as_subnet.pop();
    as_subnet.push(json!({"cidr": "2001:db8:a:0:f000::/117"}));
    pool.until("a smaller subnet", &as_subnet)?;
    daemon.wait_well("well", |_| true)?;
    pool.latest()?;
    ensure!(pool.seen.len() == 6, "one write for each change: {:?}", pool.seen);
    ensure!(others == [scene.version(CIDR_GROUP)?, scene.version(METALLB_POOL)?], "the others do not change");
    Ok(())
}
