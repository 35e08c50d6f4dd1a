//! `dyn-prefix plan --live`: what a server would delegate is asked for, and not taken.

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::dhcpv6::wire::ClientMessage;
use serde_json::Value;

use crate::Test;
use crate::lease::{A, KEA, bind, is_from};
use crate::scene::{NAME, Scene, Traffic};
use crate::servers::{Kind, Pool};

pub(crate) const TESTS: &[Test] =
    &[Test::new("plan_live_solicits_and_takes_nothing", KEA, solicits).with(Traffic::Foreign)];

/// Runs `plan --live` in the host's namespace: its exit status, the plan, and what it complained of.
fn plan(scene: &Scene) -> Result<(Option<i32>, Value, String)> {
    let mut command = scene.pair.host.command(env!("CARGO_BIN_EXE_dyn-prefix"));
    command.args(["plan", "--live", "--output", "json", "--config"]).arg(scene.path("dyn-prefix.toml"));
    let output = command.output()?;
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let plan = serde_json::from_slice(&output.stdout).with_context(|| complaints.clone())?;
    Ok((output.status.code(), plan, complaints))
}

fn solicits(scene: &Scene) -> Result<()> {
    let server = scene.server(Kind::Kea, &Pool::from(A))?;
    scene.configure("")?;
    let (code, planned, complaints) = plan(scene)?;
    let prefix = planned["dynamicPrefixes"][0]["currentPrefix"].as_str().unwrap_or_default().to_owned();
    ensure!(code == Some(0) && is_from(A, &prefix), "{code:?} {planned:#} {complaints}");
    let mut kinds = scene.link.kinds(0);
    kinds.dedup();
    ensure!(kinds == [ClientMessage::Solicit], "it has sent {kinds:?}");
    ensure!(!scene.path("state").exists(), "it leaves a state behind");
    // The daemon gets a prefix afterwards, and beside it nobody asks.
    let mut daemon = scene.daemon()?;
    let (held, ..) = bind(scene, &mut daemon)?;
    let before = scene.link.kinds(0).len();
    let (code, planned, complaints) = plan(scene)?;
    ensure!(planned["dynamicPrefixes"][0]["currentPrefix"] == held.as_str(), "{planned:#} {complaints}");
    ensure!(planned["dynamicPrefixes"][0]["name"] == NAME && code == Some(0), "{code:?} {complaints}");
    ensure!(scene.link.kinds(0).len() == before, "it has asked beside the daemon");
    // With nobody to answer it says so.
    daemon.stop()?;
    drop(server);
    let (code, _, complaints) = plan(scene)?;
    ensure!(
        code == Some(3) && complaints.contains("dhcpv6-pd on wan has said nothing in time"),
        "{code:?} {complaints}"
    );
    Ok(())
}
