//! The supervisor's side: readiness, the status line, the watchdog, signals.

use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior};

/// What the supervisor asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGTERM or SIGINT: end.
    Stop(&'static str),
}

/// The signals that the daemon answers.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Stream,
    interrupt: Stream,
    terminate: Stream,
}

impl Signals {
    pub(super) fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot handle signals");
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
        })
    }

    /// The next signal. A second SIGTERM or SIGINT finds nobody waiting here: the daemon is ending already.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.hangup.recv() => Signal::Reload,
            Some(()) = self.interrupt.recv() => Signal::Stop("SIGINT"),
            Some(()) = self.terminate.recv() => Signal::Stop("SIGTERM"),
            else => std::future::pending().await,
        }
    }
}

/// Tells the supervisor every half of its time-out that the loop still turns.
#[derive(Debug)]
pub(super) struct Watchdog(Option<Interval>);

impl Watchdog {
    pub(super) fn new() -> Self {
        let interval = sd_notify::watchdog_enabled().map(|limit| {
            let mut interval = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self(interval)
    }

    /// Waits until the next sign of life is due, and gives it.
    pub(super) async fn due(&mut self) {
        let Some(interval) = &mut self.0 else { return std::future::pending().await };
        interval.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(super) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    // Without a supervisor nobody listens, and one that does not take it cannot be helped.
    drop(sd_notify::notify(state));
}
