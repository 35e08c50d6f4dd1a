//! A cluster with pools, a watch on them, and the times at which they show a prefix.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use ipnet::Ipv6Net;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::configuration::{self, Drain};
use crate::daemon::Daemon;
use crate::lab::{ApiServer, AuditEvent, AuditLevel, Options};
use crate::report::Times;
use crate::router::Router;

/// The path of the pools.
pub(crate) const POOLS: &str = "/apis/cilium.io/v2/ciliumloadbalancerippools";
/// The user of the daemon, so that the audit log tells its requests from ours.
const USER: &str = "dyn-prefix";
/// How long all pools may take to show a prefix.
const LIMIT: Duration = Duration::from_secs(60);

/// The name of a pool.
pub(crate) fn pool(number: usize) -> String {
    format!("pool-{number:04}")
}

/// The name of the subnet that belongs on a pool.
pub(crate) fn subnet(number: usize) -> String {
    format!("subnet-{number:04}")
}

/// A cluster of its own with so many pools.
pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) pools: usize,
    pub(crate) kubeconfig: PathBuf,
    program: PathBuf,
    pub(crate) dir: TempDir,
    events: Receiver<(Instant, Value)>,
    daemons: usize,
}

/// The first and the last pool of each rotation.
#[derive(Default)]
pub(crate) struct Rotations {
    pub(crate) first: Times,
    pub(crate) last: Times,
}

/// The requests of the daemon in some span of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    pub(crate) all: usize,
    pub(crate) writes: usize,
    /// Watches that began: each is renewed every few minutes.
    pub(crate) watches: usize,
    /// Writes that were refused.
    pub(crate) refused: usize,
    /// What the others asked for.
    pub(crate) others: Vec<String>,
}

impl World {
    /// Starts the cluster and makes the pools.
    pub(crate) fn new(pools: usize, program: &Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let server =
            ApiServer::start_with(dir.path(), Options { audit: Some(AuditLevel::Metadata), ..Options::default() })?;
        server.install_cilium_crds(&["v2"])?;
        for number in 0..pools {
            let annotations = json!({
                "dynamic-prefix.io/name": "bench", "dynamic-prefix.io/subnet": subnet(number),
            });
            let object = json!({
                "apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool",
                "metadata": {"name": pool(number), "annotations": annotations},
                "spec": {"blocks": []},
            });
            server.create(POOLS, &object)?;
        }
        let kubeconfig = server.kubeconfig_for(USER, &["system:masters"])?;
        let version = server.version_of(POOLS)?;
        let events = server.watch(&format!("{POOLS}?resourceVersion={version}"))?;
        Ok(Self { server, pools, kubeconfig, program: program.to_owned(), dir, events, daemons: 0 })
    }

    /// Starts a daemon that knows nothing yet.
    pub(crate) fn start_daemon(&mut self) -> Result<Daemon> {
        self.daemons += 1;
        let dir = self.dir.path().join(format!("daemon-{}", self.daemons));
        let text = configuration::text(&dir, &self.kubeconfig, self.pools, Drain::Default)?;
        Daemon::start(&self.program, &dir, &text)
    }

    /// Has it keep an old prefix for the shortest time there is.
    pub(crate) fn shorten_drain(&self, daemon: &mut Daemon) -> Result<()> {
        let text = configuration::text(daemon.dir()?, &self.kubeconfig, self.pools, Drain::Short)?;
        daemon.reload(&text)
    }

    /// Waits until every pool shows the prefix; gives when the first and when the last did. `before` has to be asked
    /// for the events that nobody waited for.
    pub(crate) fn wait_for(&self, prefix: Ipv6Net, daemon: Option<&mut Daemon>) -> Result<(SystemTime, SystemTime)> {
        let what = format!("every pool shows {prefix}");
        let (mut first, mut last) = (None, None);
        let mut seen = BTreeMap::new();
        self.follow(&what, daemon, LIMIT, |at, name, blocks| {
            if blocks.iter().any(|block| prefix.contains(block)) && seen.insert(name.to_owned(), at).is_none() {
                first.get_or_insert(at);
                last = Some(at);
            }
            seen.len() == self.pools
        })?;
        first.zip(last).context("there is no pool")
    }

    /// Waits until every pool holds one block only.
    pub(crate) fn wait_for_drained(&self, daemon: &mut Daemon, limit: Duration) -> Result<()> {
        let mut seen = BTreeMap::new();
        self.follow("every pool holds only the new prefix", Some(daemon), limit, |_, name, blocks| {
            seen.insert(name.to_owned(), blocks.len());
            seen.len() == self.pools && seen.values().all(|count| *count == 1)
        })
    }

    /// Hands every event to `is_done` until that is true.
    fn follow(
        &self,
        what: &str,
        mut daemon: Option<&mut Daemon>,
        limit: Duration,
        mut is_done: impl FnMut(SystemTime, &str, &[Ipv6Net]) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let Ok((at, event)) = self.events.recv_timeout(Duration::from_secs(1)) else {
                let tail = daemon.as_ref().map_or_else(String::new, |daemon| daemon.log_tail());
                if let Some(daemon) = &mut daemon {
                    daemon.check_alive()?;
                }
                if Instant::now() > deadline {
                    bail!("{what}: not within {limit:?}; the end of the daemon's log:\n{tail}");
                }
                continue;
            };
            let object = &event["object"];
            let Some(name) = object["metadata"]["name"].as_str() else { bail!("the watch ended: {event}") };
            if is_done(SystemTime::now() - at.elapsed(), name, &blocks(object)) {
                return Ok(());
            }
        }
    }

    /// Forgets what the watch has told so far, and lets some time pass in which the router repeats itself, if it does.
    pub(crate) fn rest(&self, pause: Duration, mut repeat: impl FnMut(), every: Duration) {
        let end = Instant::now() + pause;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            std::thread::sleep(left.min(every));
            if left > every {
                repeat();
            }
        }
        while self.events.try_recv().is_ok() {}
    }

    /// Rotates the prefix so many times, with a pause before each.
    pub(crate) fn rotate(
        &self,
        router: &Router,
        mut daemon: Option<&mut Daemon>,
        times: usize,
        pause: Duration,
    ) -> Result<Rotations> {
        let mut rotations = Rotations::default();
        for _ in 0..times {
            self.rest(pause, || {}, pause);
            let (prefix, sent) = router.rotate()?;
            let (first, last) = self.wait_for(prefix, daemon.as_deref_mut())?;
            rotations.first.push(first.duration_since(sent)?);
            rotations.last.push(last.duration_since(sent)?);
        }
        Ok(rotations)
    }

    /// How many requests the daemon has made so far.
    pub(crate) fn requests(&self) -> Result<Requests> {
        let events = self.server.audit_of(USER)?;
        let count = |which: fn(&AuditEvent) -> bool| events.iter().filter(|event| which(event)).count();
        Ok(Requests {
            all: events.len(),
            writes: count(|event| event.is_write() && event.code < 300),
            watches: count(|event| event.verb == "watch"),
            refused: count(|event| event.is_write() && event.code >= 300),
            others: events
                .iter()
                .filter(|event| !event.is_write() && event.verb != "watch")
                .map(|event| format!("{} {}", event.verb, event.uri))
                .collect(),
        })
    }

    /// Takes the lists of all pools away, as if nobody had written them.
    pub(crate) fn clear(&self) -> Result<()> {
        for number in 0..self.pools {
            let annotations = json!({
                "dynamic-prefix.io/managed-blocks": null, "dynamic-prefix.io/managed-by": null,
            });
            let patch = json!({"metadata": {"annotations": annotations}, "spec": {"blocks": []}});
            self.server.patch(&format!("{POOLS}/{}", pool(number)), &patch)?;
        }
        Ok(())
    }
}

impl std::ops::Sub for Requests {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            all: self.all - before.all,
            writes: self.writes - before.writes,
            watches: self.watches - before.watches,
            refused: self.refused - before.refused,
            others: self.others[before.others.len()..].to_vec(),
        }
    }
}

fn blocks(pool: &Value) -> Vec<Ipv6Net> {
    let list = pool["spec"]["blocks"].as_array();
    list.into_iter().flatten().filter_map(|block| block["cidr"].as_str()?.parse().ok()).collect()
}
