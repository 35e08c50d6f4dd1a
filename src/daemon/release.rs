//! `dyn-prefix dhcp-release`: the prefix leaves the targets, and then goes back to the server.
//!
//! Nothing else makes a client send a Release: not a stop, not a crash, not a reload that removes the DynamicPrefix.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::control::Response;
use crate::time::Instant;

use super::coordinator::Coordinator;
use super::delegation::Release;

/// How long the clusters have to let go of the prefix. One that is down must not keep the administrator waiting.
const WITHDRAW_PATIENCE: Duration = Duration::from_secs(10);

/// How long the client has: four Releases of 1, 2, 4 and 8 s, a tenth more each (RFC 9915 §7.6, §15).
const RELEASE_PATIENCE: Duration = Duration::from_secs(20);

/// The releases under way.
#[derive(Debug, Default)]
pub(super) struct Releases {
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    release: Release,
    phase: Phase,
    /// What was done so far, a sentence each.
    done: Vec<String>,
    answer: oneshot::Sender<Response>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The clusters are letting go.
    Withdrawing { until: Instant },
    /// The client is giving back.
    GivingBack { until: Instant },
}

impl Releases {
    /// Begins one whose prefix is not wanted in the targets any more.
    pub(super) fn begin(&mut self, release: Release, answer: oneshot::Sender<Response>, now: Instant) {
        let phase = Phase::Withdrawing { until: now + WITHDRAW_PATIENCE };
        self.running.push(Running { release, phase, done: Vec::new(), answer });
    }

    /// Takes every release as far as it goes now. `give_back` tells the client.
    pub(super) fn advance(
        &mut self,
        coordinator: &Coordinator,
        now: Instant,
        give_back: impl Fn(&Release) -> Result<(), String>,
    ) {
        for mut running in std::mem::take(&mut self.running) {
            match running.advance(coordinator, now, &give_back) {
                // A client of ours that went away meanwhile has no use for the answer.
                Some(response) => drop(running.answer.send(response)),
                None => self.running.push(running),
            }
        }
    }

    /// When [`Self::advance`] has something to do, whatever happens.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let untils = self.running.iter().map(|running| match running.phase {
            Phase::Withdrawing { until } | Phase::GivingBack { until } => until,
        });
        untils.min()
    }
}

impl Running {
    /// The answer, once there is one.
    fn advance(
        &mut self,
        coordinator: &Coordinator,
        now: Instant,
        give_back: &impl Fn(&Release) -> Result<(), String>,
    ) -> Option<Response> {
        match self.phase {
            Phase::Withdrawing { until } => {
                let holding = coordinator.still_holding(&self.release);
                if !holding.is_empty() && now < until {
                    return None;
                }
                self.done.push(self.withdrawn(&holding));
                if let Err(message) = give_back(&self.release) {
                    return Some(Response::Error { message });
                }
                self.phase = Phase::GivingBack { until: now + RELEASE_PATIENCE };
                None
            }
            Phase::GivingBack { until } => {
                let Release { name, interface, .. } = &self.release;
                if coordinator.is_released(&self.release, now) {
                    self.done.push(format!(
                        "{name}: given back on {interface}. Nothing is asked for there until a reload or restart."
                    ));
                    return Some(Response::Released { done: std::mem::take(&mut self.done) });
                }
                let message = format!(
                    "{} But the client on {interface} has not given it back within {} s; see `dyn-prefix status`",
                    self.done.join(" "),
                    RELEASE_PATIENCE.as_secs()
                );
                (now >= until).then_some(Response::Error { message })
            }
        }
    }

    fn withdrawn(&self, holding: &[String]) -> String {
        let Release { name, prefixes, .. } = &self.release;
        let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
        let prefixes = prefixes.join(", ");
        if holding.is_empty() {
            return format!("{name}: {prefixes} has left the targets.");
        }
        format!(
            "{name}: {prefixes} is wanted in no target any more, but after {} s these still hold it: {}.",
            WITHDRAW_PATIENCE.as_secs(),
            holding.join(", ")
        )
    }
}
