//! What a monitoring system sees while the prefix changes: /metrics, /healthz, /readyz and /status by HTTP.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Test;
use crate::daemon::Daemon;
use crate::forged::advertise;
use crate::lab::{METALLB_NAMESPACE, Scrape, free_port, http_get, promtool, wait_for};
use crate::netns::{Forged, WAN};
use crate::pool::{A, B, SOON};
use crate::rig::{NAME, Scene, Setup};

pub(crate) const TESTS: &[Test] = &[("scraped_while_the_prefix_changes", scraped)];

/// The lifetimes of the advertisements, in seconds.
const PREFERRED: u32 = 1200;
const VALID: u32 = 3000;

/// Kind, namespace and name of the targets, as labels.
fn targets() -> [String; 3] {
    let of = |kind: &str, namespace: &str, name: &str| {
        format!("cluster=\"home\",kind=\"{kind}\",namespace=\"{namespace}\",name=\"{name}\"")
    };
    [
        of("CiliumLoadBalancerIPPool", "", "pool"),
        of("CiliumCIDRGroup", "", "group"),
        of("IPAddressPool", METALLB_NAMESPACE, "public"),
    ]
}

fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// Has the daemon listen, too.
fn listening(config: &Path, port: u16) -> Result<()> {
    let text = std::fs::read_to_string(config)?;
    let with = text.replacen("[daemon]\n", &format!("[daemon]\nlisten = \"127.0.0.1:{port}\"\n"), 1);
    Ok(std::fs::write(config, with)?)
}

fn scraped(scene: &mut Scene<'_>) -> Result<()> {
    let port = free_port()?;
    let config: PathBuf = scene.configure(Setup::default())?;
    listening(&config, port)?;
    let mut daemon = Daemon::start(scene, &config)?;
    let (alive, _) = wait_for("/healthz", SOON, || Ok(http_get(port, "/healthz").ok()))?;
    ensure!(alive == 200, "its loop turns: {alive}");
    daemon.wait_ready()?;
    daemon.wait_status("no prefix yet", 3, |status| status["clusters"][0]["state"] == "connected")?;
    let before = Scrape::of(port)?;
    let lacks =
        ["dyn_prefix_prefix_info", "dyn_prefix_prefix_valid_until", "dyn_prefix_target_gen", "dyn_prefix_writes"];
    ensure!(lacks.iter().all(|name| before.sum(name) == 0.0), "there is no prefix: {before:#?}");
    let acquired = format!("dyn_prefix_prefix_condition{{dynamic_prefix=\"{NAME}\",type=\"PrefixAcquired\"}}");
    ensure!((before.value(&acquired)?, before.value("dyn_prefix_healthy")?) == (0.0, 0.0), "{before:#?}");

    let forger = scene.forger();
    let started = now()?;
    forger.send(&advertise(&[(A, PREFERRED, VALID)]));
    daemon.wait_well("the first prefix", |_| true)?;
    let (ready, said) = http_get(port, "/readyz")?;
    ensure!(ready == 200 && said.starts_with("ready: "), "{ready} {said}");
    let first = settled(port, 1)?;
    holds(&first, A, 1, started)?;
    counts(&first, 1)?;
    ensure!(first.sum("dyn_prefix_source_drops_total") == 0.0, "nothing was dropped: {first:?}");

    // No router of this link: it came over another one (RFC 4861 §6.1.2).
    forger.send(&Forged { hop_limit: 64, ..advertise(&[(B, PREFERRED, VALID)]) });
    let dropped = format!("dyn_prefix_source_drops_total{{source=\"router-advertisement\",interface=\"{WAN}\",reason=");
    let after = wait_for("the forged packet among the drops", SOON, || {
        Ok(Some(Scrape::of(port)?).filter(|scrape| scrape.sum(&dropped) >= 1.0))
    })?;
    ensure!(after.value(&format!("{dropped}\"hop-limit\"}}"))? == 1.0, "{after:?}");

    let changed = now()?;
    forger.send(&advertise(&[(B, PREFERRED, VALID), (A, 0, VALID)]));
    daemon.wait_well("the second prefix", |status| status["dynamicPrefixes"][0]["currentPrefix"] == B)?;
    let second = settled(port, 2)?;
    holds(&second, B, 2, changed)?;
    counts(&second, 2)?;
    let draining = format!("dyn_prefix_prefix_draining{{dynamic_prefix=\"{NAME}\"}}");
    ensure!((first.value(&draining)?, second.value(&draining)?) == (0.0, 1.0), "{second:?}");
    same_status(&daemon, port)?;
    let (_, text) = http_get(port, "/metrics")?;
    let said = promtool(scene.dir(), &["check", "metrics"], &text)?;
    ensure!(said.trim().is_empty(), "promtool has something to say: {said}");
    restarted(scene, daemon, &config, port, &second)
}

/// Waits until each target is known to hold this generation, and the metrics say that all is in order.
fn settled(port: u16, generation: u32) -> Result<Scrape> {
    let mut last = Scrape::default();
    let there = wait_for("the generation of every target", SOON, || {
        last = Scrape::of(port)?;
        let holds = |target: &String| {
            let sample = format!("dyn_prefix_target_generation{{{target},dynamic_prefix=\"{NAME}\"}}");
            last.find(&sample) == Some(f64::from(generation))
        };
        Ok(targets().iter().all(holds).then(|| last.clone()))
    });
    there.with_context(|| format!("{last:#?}"))
}

/// The prefix, its lifetimes and what the targets hold of it, since an instant.
fn holds(scrape: &Scrape, current: &str, generation: u32, since: f64) -> Result<()> {
    let prefix = format!("dynamic_prefix=\"{NAME}\"");
    let info = format!("dyn_prefix_prefix_info{{{prefix},prefix=\"{current}\",source=\"router-advertisement\"}}");
    ensure!(scrape.value(&info)? == 1.0, "{scrape:#?}");
    ensure!(scrape.sum("dyn_prefix_prefix_info") == 1.0, "one prefix is in use: {scrape:#?}");
    ensure!(
        scrape.value(&format!("dyn_prefix_prefix_generation{{{prefix}}}"))? == f64::from(generation),
        "{scrape:#?}"
    );
    let until = now()?;
    for (name, lifetime) in [("preferred", PREFERRED), ("valid", VALID)] {
        let end = scrape.value(&format!("dyn_prefix_prefix_{name}_until_timestamp_seconds{{{prefix}}}"))?;
        let lifetime = f64::from(lifetime);
        // In whole seconds, so that it may be one more or less.
        ensure!(
            (since + lifetime - 1.0..=until + lifetime + 1.0).contains(&end),
            "{name} until {end}, told between {since} and {until}: {scrape:#?}"
        );
    }
    for target in targets() {
        let written = scrape.value(&format!("dyn_prefix_target_last_success_timestamp_seconds{{{target}}}"))?;
        ensure!((since - 1.0..=until + 1.0).contains(&written), "{target} was written at {written}, after {since}");
        ensure!(scrape.value(&format!("dyn_prefix_target_synced{{{target}}}"))? == 1.0, "{scrape:#?}");
    }
    let acquired = format!("dyn_prefix_prefix_condition{{{prefix},type=\"PrefixAcquired\"}}");
    ensure!(scrape.value(&acquired)? == 1.0, "{scrape:#?}");
    Ok(())
}

/// After so many prefixes: one write for each object and change, each of them accepted and timed.
fn counts(scrape: &Scrape, prefixes: u32) -> Result<()> {
    let wanted = f64::from(prefixes);
    for kind in ["CiliumLoadBalancerIPPool", "CiliumCIDRGroup", "IPAddressPool"] {
        let writes = format!("dyn_prefix_writes_total{{cluster=\"home\",kind=\"{kind}\",outcome=\"accepted\"}}");
        ensure!(scrape.value(&writes)? == wanted, "{kind}: {scrape:#?}");
    }
    ensure!(scrape.sum("dyn_prefix_writes_total") == 3.0 * wanted, "no write has failed: {scrape:#?}");
    let timed = scrape.value("dyn_prefix_api_request_duration_seconds_count{cluster=\"home\"}")?;
    let sum = scrape.value("dyn_prefix_api_request_duration_seconds_sum{cluster=\"home\"}")?;
    ensure!(timed == 3.0 * wanted && sum > 0.0, "{timed} requests in {sum} s");
    let packets = format!("dyn_prefix_source_packets_total{{source=\"router-advertisement\",interface=\"{WAN}\"}}");
    ensure!(scrape.value(&packets)? >= wanted, "{scrape:#?}");
    let acquired = format!("dyn_prefix_prefix_transitions_total{{dynamic_prefix=\"{NAME}\",transition=\"acquired\"}}");
    ensure!(scrape.value(&acquired)? == wanted, "{scrape:#?}");
    ensure!(scrape.value("dyn_prefix_cluster_connected{cluster=\"home\"}")? == 1.0, "{scrape:#?}");
    ensure!(scrape.value("dyn_prefix_ready")? == 1.0, "{scrape:#?}");
    ensure!(scrape.value("process_resident_memory_bytes")? > 0.0, "{scrape:#?}");
    Ok(())
}

/// /status is what `dyn-prefix status` prints.
fn same_status(daemon: &Daemon, port: u16) -> Result<()> {
    wait_for("the same status by HTTP and by the control socket", SOON, || {
        let (code, text) = http_get(port, "/status")?;
        let by_http: Value = serde_json::from_str(&text).with_context(|| format!("{code} {text}"))?;
        Ok((code == 200 && by_http == daemon.status()?.1).then_some(()))
    })
}

/// What is counted begins anew with the process; what is known does not.
fn restarted(scene: &Scene<'_>, daemon: Daemon, config: &Path, port: u16, before: &Scrape) -> Result<()> {
    daemon.kill()?;
    ensure!(http_get(port, "/healthz").is_err(), "nobody answers for a daemon that is gone");
    let daemon = Daemon::start(scene, config)?;
    daemon.wait_status("connected again", 3, |status| status["clusters"][0]["state"] == "connected")?;
    let after = settled(port, 2)?;
    ensure!(after.sum("dyn_prefix_writes_total") == 0.0, "a restart writes nothing: {after:#?}");
    let started = "process_start_time_seconds";
    ensure!(after.value(started)? > before.value(started)?, "it is another process");
    daemon.stop()
}
