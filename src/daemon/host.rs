//! The daemon's side of hooks and files: what is true goes in, jobs run beside the loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Daemon;
use super::coordinator::Coordinator;
use crate::arbiter::Snapshot;
use crate::clock;
use crate::host::decide::Counts;
use crate::host::{Facts, Job, JobId, Jobs, Outcome, run, write};
use crate::log::Entry;
use crate::plan::Catalogue;
use crate::status::{self, DynamicPrefixStatus, FileStatus, HookStatus, Status};
use crate::time::{Epoch, Instant};

/// How long commands may take to end when the daemon does.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// The jobs that run, and the decider of what comes next.
#[derive(Debug, Default)]
pub(super) struct HostTarget {
    jobs: Jobs,
    running: JoinSet<(JobId, Outcome)>,
    stop: CancellationToken,
    /// What the facts were made of: the ranges, and which DynamicPrefixes are lost.
    seen: Option<(Arc<Catalogue>, Vec<bool>)>,
}

impl HostTarget {
    /// Takes the configuration of the coordinator into use.
    pub(super) fn follow(&mut self, coordinator: &Coordinator, now: Instant) {
        self.jobs.expect_facts(coordinator.facts());
        self.seen = Some(coordinator.outline());
        self.jobs.reconfigure(coordinator.config(), now);
    }

    /// Starts what is due now.
    pub(super) fn advance(&mut self, coordinator: &Coordinator, now: Instant) {
        if self.jobs.is_idle() {
            return;
        }
        self.hear(coordinator, now);
        let epoch = clock::epoch();
        while let Some(job) = self.jobs.poll_job(now, &|name| coordinator.shown(name, &epoch)) {
            self.start(job);
        }
    }

    fn hear(&mut self, coordinator: &Coordinator, now: Instant) {
        let (catalogue, lost) = coordinator.outline();
        let is_same = self.seen.as_ref().is_some_and(|(seen, former)| Arc::ptr_eq(seen, &catalogue) && *former == lost);
        if !is_same {
            self.jobs.handle_facts(coordinator.facts(), now);
            self.seen = Some((catalogue, lost));
        }
    }

    fn start(&mut self, job: Job) {
        let (began, stop) = (clock::now(), self.stop.clone());
        let outcome = move |result| Outcome { result, took: clock::now().saturating_since(began) };
        match job {
            Job::Run(job) => drop(self.running.spawn(async move { (job.id, outcome(run::run(job, stop).await)) })),
            Job::Write(job) => drop(self.running.spawn(async move { (job.id, outcome(write::write(job).await)) })),
        }
    }

    /// The next job that has ended. Loses nothing when it is dropped while it waits.
    pub(super) async fn finished(&mut self) {
        match self.running.join_next().await {
            Some(Ok((id, outcome))) => self.jobs.handle_outcome(id, outcome, clock::now()),
            // A panic ends the process by itself.
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.jobs.poll_timeout()
    }

    pub(super) fn poll_entry(&mut self) -> Option<Entry> {
        self.jobs.poll_entry()
    }

    pub(super) fn counts(&self) -> Counts {
        self.jobs.counts().clone()
    }

    /// For the status.
    pub(super) fn status(&self, epoch: &Epoch) -> (Vec<HookStatus>, Vec<FileStatus>) {
        (self.jobs.hook_status(epoch), self.jobs.file_status(epoch))
    }

    /// Ends what runs: after the next start it is run again.
    pub(super) async fn end(&mut self) {
        self.stop.cancel();
        let all = async { while self.running.join_next().await.is_some() {} };
        drop(tokio::time::timeout(STOP_PATIENCE, all).await);
    }
}

impl Daemon {
    /// Everything there is to know.
    pub(super) fn status(&self) -> Status {
        let epoch = clock::epoch();
        let mut status = self.coordinator.status(&epoch);
        (status.hooks, status.files) = self.host.status(&epoch);
        status
    }

    /// Has the one line that the supervisor shows name what fails here.
    pub(super) fn note_failing(&mut self) {
        let (hooks, files) = self.host.status(&clock::epoch());
        self.coordinator.note_failing(status::failing(&hooks, &files));
    }
}

impl Coordinator {
    /// What [`Coordinator::facts`] are made of: the ranges, and whether each DynamicPrefix is lost.
    fn outline(&self) -> (Arc<Catalogue>, Vec<bool>) {
        let lost = self.arbiters.values().map(|arbiter| {
            let current = arbiter.snapshot().and_then(|snapshot| snapshot.current.as_ref());
            current.is_some_and(|current| current.lost.is_some())
        });
        (Arc::clone(&self.catalogue), lost.collect())
    }

    /// What this host is to follow.
    fn facts(&self) -> BTreeMap<String, Facts> {
        facts(&self.catalogue, |name| self.arbiters.get(name)?.snapshot())
    }

    /// One DynamicPrefix as `status` shows it.
    fn shown(&self, name: &str, epoch: &Epoch) -> Option<DynamicPrefixStatus> {
        let config = self.config.dynamic_prefixes.iter().find(|prefix| prefix.name == name)?;
        Some(self.dynamic_prefix(config, epoch))
    }
}

/// What is true of every DynamicPrefix that there is an opinion on.
pub fn facts<'s>(catalogue: &Catalogue, snapshot: impl Fn(&str) -> Option<&'s Snapshot>) -> BTreeMap<String, Facts> {
    let known = catalogue.dynamic_prefixes.iter();
    known.filter_map(|(name, computed)| Some((name.clone(), Facts::of(computed, snapshot(name))?))).collect()
}

#[cfg(test)]
mod tests;
