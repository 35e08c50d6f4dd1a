//! `dyn-prefix plan --live` with a router on the wire: the patch for each object, and nothing is written or kept.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Test;
use crate::daemon::{Daemon, prefix};
use crate::lab::wait_for;
use crate::netns::Radvd;
use crate::pool::{A, B, CIDR_GROUP, METALLB_POOL, POOL, SOON, addresses, blocks, cidrs};
use crate::rig::{Scene, Setup};
use crate::store::files;

pub(crate) const TESTS: &[Test] =
    &[("plan_live_hears_a_router_and_writes_nothing", alone), ("plan_live_beside_the_daemon_disturbs_nobody", beside)];

fn live(net: &str) -> String {
    format!("prefix {net} {{ AdvPreferredLifetime 1200; AdvValidLifetime 3000; }};")
}

/// The plan, as text or JSON: the exit status, what it prints, and what it complains of.
fn plan(config: &std::path::Path, more: &[&str]) -> Result<(Option<i32>, String, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dyn-prefix"));
    command.args(["plan", "--live"]).args(more).arg("--config").arg(config).env_remove("STATE_DIRECTORY");
    let output = command.output()?;
    let [said, complaints] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((output.status.code(), said, complaints))
}

fn versions(scene: &Scene<'_>) -> Result<Vec<String>> {
    [POOL, CIDR_GROUP, METALLB_POOL].iter().map(|path| scene.version(path)).collect()
}

/// What would be sent to the object of a kind, and what the list there would be.
fn patch<'a>(plan: &'a Value, kind: &str, field: &str) -> Result<&'a Value> {
    let mut targets = plan["targets"].as_array().into_iter().flatten();
    let target = targets.find(|target| target["kind"] == kind).with_context(|| format!("no {kind} in {plan:#}"))?;
    Ok(&target["patch"]["spec"][field])
}

fn alone(scene: &mut Scene<'_>) -> Result<()> {
    let _radvd = Radvd::start(&scene.pair().router, &live(A));
    let config = scene.configure(Setup::default())?;
    let before = versions(scene)?;
    let there = files(scene.dir())?;
    let (code, said, complaints) = plan(&config, &[])?;
    ensure!(code == Some(0) && complaints.is_empty(), "{code:?} {said} {complaints}");
    ensure!(said.contains(A) && said.matches("would be written").count() == 3, "{said}");
    ensure!(said.contains("+ 2001:db8:a:0:f000::-2001:db8:a:0:f000::ffff"), "{said}");
    let (code, said, complaints) = plan(&config, &["--output", "json"])?;
    let planned: Value = serde_json::from_str(&said).with_context(|| complaints.clone())?;
    ensure!(code == Some(0) && prefix(&planned)["prefixSource"] == "router-advertisement", "{planned:#} {complaints}");
    ensure!(*patch(&planned, "CiliumLoadBalancerIPPool", "blocks")? == json!(blocks(&[A])), "{planned:#}");
    ensure!(*patch(&planned, "CiliumCIDRGroup", "externalCIDRs")? == json!(cidrs(&[A])), "{planned:#}");
    ensure!(*patch(&planned, "IPAddressPool", "addresses")? == json!(addresses(&[A])), "{planned:#}");
    ensure!(versions(scene)? == before, "a plan has written");
    ensure!(files(scene.dir())? == there, "it leaves {:?}", files(scene.dir())?);
    // What it said is what the daemon does.
    let mut pool = scene.watch(POOL)?;
    let _daemon = Daemon::start(scene, &config)?;
    pool.until("as it was planned", &blocks(&[A])).map(drop)
}

fn beside(scene: &mut Scene<'_>) -> Result<()> {
    let radvd = Radvd::start(&scene.pair().router, &live(A));
    let config = scene.configure(Setup::default())?;
    let mut pool = scene.watch(POOL)?;
    let daemon = Daemon::start(scene, &config)?;
    pool.until("the daemon", &blocks(&[A]))?;
    daemon.wait_well("well", |_| true)?;
    // It is saved after it was published.
    wait_for("what was written is stored", SOON, || {
        Ok(scene.state()?["managed"].to_string().contains("IPAddressPool").then_some(()))
    })?;
    let (before, state) = (versions(scene)?, scene.state()?);
    let (code, said, complaints) = plan(&config, &[])?;
    ensure!(code == Some(0) && complaints.contains("The daemon runs"), "{code:?} {said} {complaints}");
    ensure!(said.matches("  Synced").count() == 3, "{said}");
    // Another file, not in use yet: what a reload would write.
    let text = std::fs::read_to_string(&config)?;
    let planned = config.with_file_name("planned.toml");
    std::fs::write(&planned, text.replace("end = \"::f000:0:0:ffff\"", "end = \"::f000:0:0:7fff\""))?;
    let (code, said, complaints) = plan(&planned, &[])?;
    ensure!(code == Some(0) && said.matches("would be written").count() == 1, "{code:?} {said} {complaints}");
    ensure!(said.contains("- 2001:db8:a:0:f000::-2001:db8:a:0:f000::ffff"), "{said}");
    ensure!(said.contains("+ 2001:db8:a:0:f000::-2001:db8:a:0:f000::7fff"), "{said}");
    ensure!(versions(scene)? == before && scene.state()? == state, "a plan has written");
    // The daemon hears on.
    radvd.reload(&(format!("prefix {A} {{ AdvPreferredLifetime 0; AdvValidLifetime 3000; }};") + &live(B)));
    pool.until("the daemon hears on", &blocks(&[B, A])).map(drop)
}
