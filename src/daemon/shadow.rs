//! Looks at the real objects of clusters and says what would be written there, and writes nothing: for `plan --live` and
//! `withdraw --dry-run`.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Alarm};
use crate::cluster::island::Event;
use crate::cluster::{Health, Managed, TargetReport, Wanted, driver};
use crate::config::{Cluster, ObjectRef};
use crate::time::Instant;

use super::alone;

/// One cluster to be looked at.
#[derive(Debug)]
pub struct Setup {
    /// The cluster; its `dryRun` does not matter.
    pub cluster: Cluster,
    /// What the store lists of it.
    pub managed: Vec<Managed>,
    /// What it should hold.
    pub wanted: Wanted,
}

/// What was seen of a cluster.
#[derive(Debug, Default)]
pub struct Seen {
    /// Its connection, as far as it came.
    pub health: Option<Health>,
    /// Whether everything there was read.
    pub is_whole: bool,
    /// Its targets.
    pub targets: BTreeMap<ObjectRef, TargetReport>,
    /// What would be sent.
    pub patches: BTreeMap<ObjectRef, Patch>,
}

/// A patch that is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Entries of ours that would be new.
    pub added: Vec<String>,
    /// Entries of ours that would leave.
    pub removed: Vec<String>,
    /// The JSON merge patch, without the resourceVersion that goes with it.
    pub content: String,
}

/// Looks at every cluster for as long as it takes, at most until `patience` is over.
///
/// # Errors
/// When there can be no runtime or timer.
pub fn look(setups: Vec<Setup>, patience: Duration) -> anyhow::Result<BTreeMap<String, Seen>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(look_at_all(setups, clock::now() + patience))
}

async fn look_at_all(setups: Vec<Setup>, until: Instant) -> anyhow::Result<BTreeMap<String, Seen>> {
    let mut looks = tokio::task::JoinSet::new();
    for setup in setups {
        looks.spawn(async move { (setup.cluster.name.clone(), look_at(setup, until).await) });
    }
    let mut all = BTreeMap::new();
    while let Some(looked) = looks.join_next().await {
        let (name, seen) = looked?;
        all.insert(name, seen?);
    }
    Ok(all)
}

async fn look_at(setup: Setup, until: Instant) -> anyhow::Result<Seen> {
    let (updates, mut news) = mpsc::channel(64);
    let cluster = Cluster { dry_run: true, ..setup.cluster };
    let (driver, _held) = alone::setup(&cluster, setup.managed, setup.wanted, updates);
    let (ready, stop) = (driver.ready.clone(), CancellationToken::new());
    let (told, mut events) = mpsc::unbounded_channel();
    let log = move |_: &str, event| drop(told.send(event));
    let running = tokio::spawn(driver::run(driver, log, stop.clone()));
    let mut alarm = Alarm::new()?;
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            // It tells all that it knows by then before it ends.
            () = ready.cancelled(), if !stop.is_cancelled() => { seen.is_whole = true; stop.cancel(); }
            () = alarm.wait(Some(until)), if !stop.is_cancelled() => stop.cancel(),
            update = news.recv() => match update {
                Some((_, update)) => seen.take(update),
                None => break,
            }
        }
    }
    running.await?;
    while let Ok(event) = events.try_recv() {
        seen.hear(event);
    }
    Ok(seen)
}

impl Seen {
    fn take(&mut self, update: crate::cluster::Update) {
        if update.health.is_some() {
            self.health = update.health;
        }
        for object in update.removed {
            self.targets.remove(&object);
        }
        self.targets.extend(update.targets.into_iter().map(|target| (target.object.clone(), target)));
    }

    fn hear(&mut self, event: Event) {
        if let Event::DryRun { object, added, removed, patch } = event {
            self.patches.insert(object, Patch { added, removed, content: patch });
        }
    }
}
