//! Without an API server.

use anyhow::{Result, ensure};

use crate::Test;
use crate::daemon::{Daemon, acquired, prefix, source_state, target};
use crate::forged::advertise;
use crate::pool::{A, B, POOL, blocks};
use crate::rig::{Scene, Setup};

pub(crate) const TESTS: &[Test] = &[("an_api_server_that_is_not_there_at_the_start", api_server_absent)];

/// The daemon is ready without it, follows the prefix, says what is wrong, and catches up with one write.
fn api_server_absent(scene: &mut Scene<'_>) -> Result<()> {
    let config = scene.configure(Setup::default())?;
    scene.api.kill()?;
    let mut daemon = Daemon::start(scene, &config)?;
    daemon.wait_ready()?;
    let status = daemon.wait_status("unreachable", 3, |status| status["clusters"][0]["state"] == "unreachable")?;
    let cluster = &status["clusters"][0];
    ensure!(cluster["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{cluster:#}");
    ensure!(cluster["retryAt"].is_string() && cluster["serverVersion"].is_null(), "{cluster:#}");
    let address = scene.api.address().to_string();
    daemon.wait_log(&["home:", &address])?;
    daemon.wait_status("soliciting", 3, |status| source_state(status) == "soliciting")?;
    let forger = scene.forger();
    for prefixes in [&[(A, 1200, 3000)][..], &[(A, 0, 3000), (B, 1200, 3000)]] {
        forger.send(&advertise(prefixes));
        let current = prefixes.last().map_or("", |(prefix, ..)| prefix);
        daemon.wait_status("the prefix is followed", 3, |status| {
            prefix(status)["currentPrefix"] == current && acquired(status) == ("True", "Acquired")
        })?;
    }
    scene.api.launch()?;
    let mut pool = scene.watch(POOL)?;
    // Of the former prefix nothing was ever in the pool, so nobody has an address from there.
    pool.until("the API server is there", &blocks(&[B]))?;
    // The first generation is the one that was created.
    let generation = &scene.api.get(POOL)?["metadata"]["generation"];
    ensure!(*generation == 2, "one write for both changes, not {generation} - 1: {:?}", pool.seen);
    daemon.wait_log(&["home: connected to the API server v"])?;
    let status = daemon.wait_well("all well", |status| target(status, "IPAddressPool")["synced"] == true)?;
    ensure!(status["clusters"][0]["state"] == "connected", "{status:#}");
    Ok(())
}
