//! The state directory: full, corrupt, taken.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

use crate::Test;
use crate::daemon::{Daemon, prefix, source_state, target};
use crate::forged::advertise;
use crate::lab::wait_for;
use crate::pool::{A, B, C, D, POOL, SOON, block, blocks};
use crate::rig::{NAME, Scene, Setup};

pub(crate) const TESTS: &[Test] = &[
    ("a_full_disk_is_told_of_and_survived", full_disk),
    ("a_corrupt_state_is_kept_aside_and_told_of", corrupt_state),
    ("a_second_daemon_on_the_same_directory_is_refused", second_daemon),
];

/// Starts a daemon and waits until it asks for a prefix.
fn start(scene: &Scene<'_>, config: &Path) -> Result<Daemon> {
    let daemon = Daemon::start(scene, config)?;
    daemon.wait_status("soliciting", 3, |status| source_state(status) == "soliciting")?;
    Ok(daemon)
}

/// The prefix that `state.json` has as the current one.
fn stored_prefix(scene: &Scene<'_>) -> Result<String> {
    let state = scene.state()?;
    let stored = state["dynamicPrefixes"][NAME]["current"]["prefix"].as_str();
    Ok(stored.with_context(|| format!("no prefix in {state:#}"))?.to_owned())
}

fn wait_stored(scene: &Scene<'_>, wanted: &str) -> Result<()> {
    wait_for(&format!("{wanted} in state.json"), SOON, || Ok((stored_prefix(scene)? == wanted).then_some(())))
}

/// A file system of 64 KiB; it is unmounted with the value.
struct TinyDisk(PathBuf);

impl TinyDisk {
    fn mount(path: &Path) -> Result<Self> {
        fs::create_dir_all(path)?;
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some("size=64k"))
            .with_context(|| format!("cannot mount a tmpfs on {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Writes until nothing fits any more.
    fn fill(&self) -> Result<()> {
        let mut file = File::options().create(true).append(true).open(self.ballast())?;
        for _ in 0..64 {
            match file.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        bail!("a disk of 64 KiB took 256 KiB");
    }

    fn clear(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH)
            .unwrap_or_else(|error| crate::say(&format!("{}: {error}", self.0.display())));
    }
}

fn full_disk(scene: &mut Scene<'_>) -> Result<()> {
    let disk = TinyDisk::mount(&scene.state_directory())?;
    let config = scene.configure(Setup::default())?;
    let mut pool = scene.watch(POOL)?;
    let forger = scene.forger();
    let mut daemon = start(scene, &config)?;
    forger.send(&advertise(&[(A, 1200, 3000)]));
    pool.until("the first", &blocks(&[A]))?;
    wait_stored(scene, A)?;
    disk.fill()?;
    forger.send(&advertise(&[(A, 0, 3000), (B, 1200, 3000)]));
    pool.until("the disk is full", &blocks(&[B, A]))?;
    let line = daemon.wait_log(&["cannot save the state to"])?;
    ensure!(line.contains("No space left") && line.contains("The daemon goes on"), "{line}");
    ensure!(stored_prefix(scene)? == A, "the state that was saved last is whole");
    // Nothing but the store suffers, and the next change is saved once there is room.
    disk.clear()?;
    forger.send(&advertise(&[(A, 0, 3000), (B, 0, 3000), (C, 1200, 3000)]));
    pool.until("room again", &blocks(&[C, B, A]))?;
    daemon.wait_log(&["The state can be saved again."])?;
    wait_stored(scene, C)?;
    // A daemon that is stopped, or dies, on a full disk starts again from the last state, and repairs what it lacks.
    disk.fill()?;
    forger.send(&advertise(&[(B, 0, 3000), (C, 0, 3000), (D, 1200, 3000)]));
    pool.until("full once more", &blocks(&[D, C, B]))?;
    daemon.wait_log(&["cannot save the state to"])?;
    daemon.kill()?;
    let daemon = start(scene, &config)?;
    forger.send(&advertise(&[(B, 0, 3000), (C, 0, 3000), (D, 1200, 3000)]));
    daemon.wait_well("well", |status| target(status, "CiliumLoadBalancerIPPool")["synced"] == true)?;
    pool.until("after the restart", &blocks(&[D, C, B])).map(drop)
}

fn corrupt_state(scene: &mut Scene<'_>) -> Result<()> {
    let config = scene.configure(Setup::default())?;
    let mut pool = scene.watch(POOL)?;
    let forger = scene.forger();
    let daemon = start(scene, &config)?;
    forger.send(&advertise(&[(A, 1200, 3000)]));
    pool.until("the first", &blocks(&[A]))?;
    daemon.stop()?;
    let good = fs::read_to_string(scene.state_directory().join("state.json"))?;
    let half = &good[..good.len() / 2];
    fs::write(scene.state_directory().join("state.json"), half)?;
    let mut daemon = start(scene, &config)?;
    let line = daemon.wait_log(&["state.json cannot be read", "it is kept as", "starts without it"])?;
    let aside = files(&scene.state_directory())?.into_iter().find(|name| name.starts_with("state.json.unreadable-"));
    let aside = aside.with_context(|| format!("nothing is kept aside; {line}"))?;
    ensure!(line.contains(&aside), "{line}");
    ensure!(fs::read_to_string(scene.state_directory().join(&aside))? == half, "kept as it was");
    // The record on the object says what is ours: the old range drains beside the new one. Of what prefix it is nobody
    // knows any more, so it stays as it is.
    forger.send(&advertise(&[(A, 0, 3000), (B, 1200, 3000)]));
    pool.until("without the old state", &[blocks(&[B]), vec![block(A)]].concat())?;
    wait_stored(scene, B)
}

fn second_daemon(scene: &mut Scene<'_>) -> Result<()> {
    let config = scene.configure(Setup::default())?;
    let daemon = start(scene, &config)?;
    let second = scene.configure_as("second.toml", "second.sock", Setup::default())?;
    let refused = |config: &Path, words: &[&str]| -> Result<()> {
        let mut second = Daemon::start(scene, config)?;
        let status = second.process.wait_exit(SOON)?;
        ensure!(status.code() == Some(1), "{status}: {}", second.log());
        let log = second.log();
        ensure!(words.iter().all(|word| log.contains(word)), "{words:?} are not in {log}");
        Ok(())
    };
    let directory = scene.state_directory().display().to_string();
    refused(&second, &[&directory, "is in use by another dyn-prefix", "stateDirectory", "controlSocket"])?;
    // The first one has not noticed.
    scene.forger().send(&advertise(&[(A, 1200, 3000)]));
    scene.watch(POOL)?.until("the first daemon", &blocks(&[A]))?;
    let status = daemon.wait_well("all well", |status| prefix(status)["currentPrefix"] == A)?;
    ensure!(status["daemon"]["reloadErrors"] == json!([]), "{status:#}");
    daemon.stop()?;
    // A directory that was left is free again, also after a kill.
    Daemon::start(scene, &second)?.wait_ready()?;
    Daemon::start(scene, &second)?.wait_ready()
}

/// The names in a directory, sorted.
pub(crate) fn files(directory: &Path) -> Result<Vec<String>> {
    let mut names = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
