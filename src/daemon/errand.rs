//! What a person waits for at the control socket while the clusters do it: `withdraw` and `take-over`.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::Config;
use crate::control::Response;
use crate::time::Instant;

use super::coordinator::Coordinator;
use super::pause::Withdrawal;
use super::saver::Kept;
use super::take_over::Taken;

/// How long the clusters have. One that is down must not keep the administrator waiting.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// The errands under way.
#[derive(Debug, Default)]
pub(super) struct Errands {
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    errand: Errand,
    until: Instant,
    /// Of what a person relies on, however the daemon ends: whether it is saved.
    kept: Option<Kept>,
    answer: oneshot::Sender<Response>,
}

/// What is waited for.
#[derive(Debug)]
pub(super) enum Errand {
    /// That what is ours leaves objects.
    Withdraw(Withdrawal),
    /// Nothing but that it is saved: a sentence for each thing that was done.
    Resume(Vec<String>),
    /// That objects become ours.
    TakeOver(Vec<Taken>),
}

impl Errands {
    /// Begins one that the coordinator has been told of.
    pub(super) fn begin(
        &mut self,
        errand: Errand,
        kept: Option<Kept>,
        answer: oneshot::Sender<Response>,
        now: Instant,
    ) {
        self.running.push(Running { errand, until: now + PATIENCE, kept, answer });
    }

    /// Answers those that are done, or whose time is up.
    pub(super) fn advance(&mut self, coordinator: &mut Coordinator, now: Instant) {
        let mut ended = Vec::new();
        for mut running in std::mem::take(&mut self.running) {
            let is_late = running.until <= now;
            match running.unkept(is_late).or_else(|| running.outcome(coordinator, is_late)) {
                Some(response) => ended.push((running, response)),
                None => self.running.push(running),
            }
        }
        for (Running { errand, answer, .. }, response) in ended {
            errand.end(coordinator, self.running.iter().map(|running| &running.errand));
            // A client that went away meanwhile has no use for the answer.
            drop(answer.send(response));
        }
    }

    /// A new configuration is about to be used.
    pub(super) fn reconfigure(&mut self, coordinator: &Coordinator, new: &Config) {
        for running in &mut self.running {
            if let Errand::Withdraw(withdrawal) = &mut running.errand {
                coordinator.leave_changed(withdrawal, new);
            }
        }
    }

    /// When [`Self::advance`] has something to do, whatever happens.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.running.iter().map(|running| running.until).min()
    }
}

impl Running {
    /// The answer where what was told is not saved.
    fn unkept(&mut self, is_late: bool) -> Option<Response> {
        let why = match self.kept.as_mut()?.try_recv() {
            Ok(Ok(())) => {
                self.kept = None;
                return None;
            }
            Ok(Err(why)) => why,
            Err(_) if is_late => format!("the state was not saved within {} s", PATIENCE.as_secs()),
            Err(_) => return None,
        };
        let message = format!(
            "{why}. The running daemon does as it was told, but forgets it at a restart before it can save; is the disk full \
             or read-only? Mend that: it is tried again every minute by itself"
        );
        Some(Response::Error { message })
    }

    fn outcome(&self, coordinator: &Coordinator, is_late: bool) -> Option<Response> {
        if self.kept.is_some() { None } else { self.errand.outcome(coordinator, is_late) }
    }
}

impl Errand {
    /// The answer, once there is one.
    pub(super) fn outcome(&self, coordinator: &Coordinator, is_late: bool) -> Option<Response> {
        let (done, left) = match self {
            Self::Withdraw(withdrawal) => (coordinator.withdrawn(withdrawal), coordinator.not_withdrawn(withdrawal)),
            Self::Resume(done) => (done.clone(), Vec::new()),
            Self::TakeOver(taken) => coordinator.taken(taken),
        };
        if !is_late && left.iter().any(|left| !left.is_final || matches!(self, Self::TakeOver(_))) {
            return None;
        }
        let beyond = match self {
            Self::Withdraw(withdrawal) => coordinator.out_of_reach(withdrawal),
            Self::Resume(_) | Self::TakeOver(_) => Vec::new(),
        };
        Some(Response::Handled { done, left: left.iter().map(ToString::to_string).chain(beyond).collect() })
    }

    /// Takes back what the coordinator was told for it, but for what the `others` wait for.
    pub(super) fn end<'a>(&self, coordinator: &mut Coordinator, others: impl Iterator<Item = &'a Self> + Clone) {
        if let Self::TakeOver(taken) = self {
            coordinator.stop_taking(taken, others.flat_map(Self::taken));
        }
    }

    fn taken(&self) -> &[Taken] {
        match self {
            Self::TakeOver(taken) => taken,
            Self::Resume(_) | Self::Withdraw(_) => &[],
        }
    }
}
