//! SIGKILL at random moments while the prefix rotates: whatever the moment, the next daemon makes the pools right.
//!
//! `DYN_PREFIX_KILLS` is how often (default 200), `DYN_PREFIX_SEED` repeats a run.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Test;
use crate::daemon::{Daemon, prefix, target};
use crate::forged::advertise;
use crate::lab::{ApiServer, wait_for};
use crate::netns::Forger;
use crate::pool::{CIDR_GROUP, METALLB_POOL, POOL, Watched, addresses, block, blocks, cidrs, remainder, user_blocks};
use crate::resident::occupy;
use crate::rig::{Scene, Setup};
use crate::store::files;

pub(crate) const TESTS: &[Test] = &[("killed_at_random_moments_during_rotations", killed)];

/// How often the router repeats itself.
const INTERVAL: Duration = Duration::from_millis(40);
/// How long a pool may take to become right.
const LIMIT: Duration = Duration::from_secs(20);
/// The default of maxPrefixHistory.
const HISTORY: usize = 2;
/// How many quiet rotations follow the kills.
const QUIET: u16 = 25;

fn killed(scene: &mut Scene<'_>) -> Result<()> {
    let kills: u32 = from_environment("DYN_PREFIX_KILLS")?.unwrap_or(200);
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let seed: u64 = from_environment("DYN_PREFIX_SEED")?.unwrap_or(clock);
    crate::say(&format!("{kills} kills, DYN_PREFIX_SEED={seed}"));
    let mut trial = Trial::new(scene, seed)?;
    let began = Instant::now();
    for kill in 0..kills {
        trial.round(kill).with_context(|| format!("kill {kill} of seed {seed}"))?;
    }
    let strays = trial.strays;
    crate::say(&format!(
        "{kills} kills in {:?}; entries of no known generation were seen {strays} times",
        began.elapsed()
    ));
    trial.finish().with_context(|| format!("after the kills of seed {seed}"))
}

fn from_environment<T: std::str::FromStr>(name: &str) -> Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    Ok(Some(text.parse().with_context(|| format!("{name}={text}"))?))
}

/// A small generator of numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.next() % (to - from))
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }
}

/// A router that repeats its advertisement until it is told another one; it ends with the value.
struct Router {
    number: u16,
    orders: Option<Sender<u16>>,
    thread: Option<JoinHandle<()>>,
}

impl Router {
    fn start(forger: Forger) -> Self {
        let (orders, received) = channel();
        let thread = std::thread::spawn(move || {
            let mut number = 0;
            loop {
                let names: Vec<String> = (0..4).filter_map(|age| Some(name(u16::checked_sub(number, age)?))).collect();
                let listed = names.iter().enumerate().rev();
                // Oldest first; all but the newest are deprecated.
                let listed = listed.map(|(age, name)| (name.as_str(), if age == 0 { 1200 } else { 0 }, 3000));
                forger.send(&advertise(&listed.collect::<Vec<_>>()));
                match received.recv_timeout(INTERVAL) {
                    Ok(new) => number = new,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        Self { number: 0, orders: Some(orders), thread: Some(thread) }
    }

    fn rotate(&mut self, api: &ApiServer) -> Result<()> {
        self.number += 1;
        // Whose turn it is gives up what it has in a prefix that is long gone.
        occupy(api, &format!("resident-{}", self.number % 64), &[&name(self.number)])?;
        self.orders.as_ref().context("it runs")?.send(self.number).context("the router's thread has ended")
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        drop(self.orders.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// The prefix of a rotation.
fn name(number: u16) -> String {
    format!("2001:db8:{:x}::/64", 0x1000 + number)
}

struct Trial<'a, 'b> {
    scene: &'a Scene<'b>,
    config: std::path::PathBuf,
    pool: Watched,
    router: Router,
    random: Random,
    /// What the user has appended after the daemon's first write.
    appended: Vec<Value>,
    /// How often a pool held, when it was right, an entry whose generation was never stored.
    strays: usize,
}

impl<'a, 'b> Trial<'a, 'b> {
    fn new(scene: &'a Scene<'b>, seed: u64) -> Result<Self> {
        let config = scene.configure(Setup::default())?;
        let pool = scene.watch(POOL)?;
        occupy(scene.api, "resident-0", &[&name(0)])?;
        let router = Router::start(scene.forger());
        Ok(Self { scene, config, pool, router, random: Random(seed), appended: Vec::new(), strays: 0 })
    }

    /// Starts a daemon, sees that it makes everything right, and kills it during rotations. One in four is killed
    /// before that, while it starts.
    fn round(&mut self, kill: u32) -> Result<()> {
        let daemon = Daemon::start(self.scene, &self.config)?;
        if self.random.one_in(4) {
            let moment = self.random.millis(0, 200);
            self.rotate_for(moment)?;
        } else {
            self.converge(&daemon)?;
            if kill >= 3 && self.appended.is_empty() {
                self.append()?;
            }
            let moment = self.random.millis(50, 400);
            self.rotate_for(moment)?;
        }
        daemon.kill()?;
        self.check_directory()?;
        if self.random.one_in(3) {
            // Away when it happens.
            self.router.rotate(self.scene.api)?;
        }
        Ok(())
    }

    /// Rotates every now and then for a while. This is the one thing here that goes by the clock.
    fn rotate_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let pause = self.random.millis(10, 200);
            std::thread::sleep(pause.min(left));
            if pause >= left {
                return Ok(());
            }
            self.router.rotate(self.scene.api)?;
        }
    }

    /// The user writes to the end of the list, behind what is ours.
    fn append(&mut self) -> Result<()> {
        let entry = json!({"cidr": "2001:DB8:EEEE::/112"});
        wait_for("the user's write", LIMIT, || {
            let object = self.scene.api.get(POOL)?;
            let mut blocks = object["spec"]["blocks"].as_array().cloned().unwrap_or_default();
            blocks.push(entry.clone());
            let version = &object["metadata"]["resourceVersion"];
            let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"blocks": blocks}});
            Ok(self.scene.api.request("PATCH", POOL, Some(&patch))?.ok().then_some(()))
        })?;
        self.appended.push(entry);
        Ok(())
    }

    /// Waits until the pool holds what the daemon says it should, the router's prefix first.
    fn converge(&mut self, daemon: &Daemon) -> Result<()> {
        let current = name(self.router.number);
        let strays = wait_for("the pool is right", LIMIT, || {
            let (_, status) = daemon.status()?;
            let list = self.pool.latest()?.to_vec();
            ours(&list, &self.appended).and_then(|ours| judge(ours, &current, self.router.number, &status)).map(Some)
        })?;
        self.strays += usize::from(strays > 0);
        Ok(())
    }

    /// Whatever the moment of the death: the state can be read, and nothing but known files is there.
    fn check_directory(&self) -> Result<()> {
        let directory = self.scene.state_directory();
        if !directory.exists() {
            return Ok(());
        }
        let names = files(&directory)?;
        let known = ["lock", "state.json", "state.json.new"];
        ensure!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");
        if names.iter().any(|name| name == "state.json") {
            let state = self.scene.state()?;
            ensure!(state["version"] == 1 && state["dynamicPrefixes"].is_object(), "{state:#}");
        }
        Ok(())
    }

    /// Rotations that are left in peace wash out whatever the kills have left behind.
    fn finish(&mut self) -> Result<()> {
        let mut daemon = Daemon::start(self.scene, &self.config)?;
        self.converge(&daemon)?;
        ensure!(!daemon.log().contains("cannot be read"), "{}", daemon.log());
        for _ in 0..QUIET {
            self.router.rotate(self.scene.api)?;
            self.converge(&daemon)?;
        }
        let number = self.router.number;
        let names: Vec<String> = (0..=u16::try_from(HISTORY)?).map(|age| name(number - age)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.pool.until("current, history and the user's", &[blocks(&names), self.appended.clone()].concat())?;
        self.scene.watch(CIDR_GROUP)?.until("current and history", &cidrs(&names))?;
        self.scene.watch(METALLB_POOL)?.until("current, history and the user's", &addresses(&names))?;
        let object = self.scene.api.get(POOL)?;
        let record = object["metadata"]["annotations"]["dynamic-prefix.io/managed-blocks"].as_str().unwrap_or_default();
        ensure!(record.split(',').count() == names.len(), "the record has what the pool has: {record}");
        daemon.wait_ready()?;
        daemon.wait_well("all well", |_| true)?;
        daemon.stop()?;
        ensure!(files(&self.scene.state_directory())? == ["lock", "state.json"], "nothing is left over");
        let stray = self.scene.state()?["managed"].to_string().contains("strays");
        ensure!(!stray, "{:#}", self.scene.state()?);
        Ok(())
    }
}

/// What of a list is ours. The user's entries have to be where and as the user wrote them.
fn ours<'a>(list: &'a [Value], appended: &[Value]) -> Result<&'a [Value]> {
    let rest = list.strip_prefix(user_blocks().as_slice()).and_then(|rest| rest.strip_suffix(appended));
    rest.with_context(|| format!("the user's entries are not as they were: {}", json!(list)))
}

/// Whether our part of the pool is what it should be: the current prefix, the draining ones that the daemon knows, and
/// entries that a former daemon wrote and died before it could store. Gives how many the latter are.
fn judge(ours: &[Value], current: &str, newest: u16, status: &Value) -> Result<usize> {
    let history = prefix(status)["history"].as_array().map_or(&[][..], Vec::as_slice);
    let draining = history.iter().filter(|former| former["state"] == "draining");
    let draining: Vec<&str> = draining.filter_map(|former| former["prefix"].as_str()).collect();
    ensure!(prefix(status)["currentPrefix"] == current, "{current} is not current: {:#}", prefix(status));
    ensure!(draining.len() <= HISTORY, "{draining:?} drain");
    let begins = ours.strip_prefix(&[block(current)][..]);
    let mut strays = begins.with_context(|| format!("{} does not begin with {current}", json!(ours)))?;
    for former in draining.iter().map(|name| remainder(name)) {
        // It may be missing: it never came into the pool, in the hurry, or left it for newer ones that a daemon did not
        // live to store. Rotations in peace have all of them in the end.
        strays = strays.strip_prefix(std::slice::from_ref(&former)).unwrap_or(strays);
    }
    // Not older than the number of prefixes that may drain, and the ones that came since.
    let forms = |number| [block(&name(number)), remainder(&name(number))];
    let announced = |stray: &Value| (0..=newest).any(|number| forms(number).contains(stray));
    ensure!(strays.iter().all(announced), "{} were never announced", json!(strays));
    let synced = target(status, "CiliumLoadBalancerIPPool")["synced"] == true;
    ensure!(synced, "{:#}", target(status, "CiliumLoadBalancerIPPool"));
    Ok(strays.len())
}
