//! Attempts at one thing, with growing pauses, until it has worked.

use std::time::Duration;

use super::Failure;
use crate::time::Instant;

/// The pause after the first failure; doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How often what keeps failing is told of.
const REMINDER: Duration = Duration::from_secs(3600);

/// What became of the attempts so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    failed: Option<Failed>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Failed {
    failure: Failure,
    count: u32,
    retry_at: Instant,
    told_at: Instant,
}

/// What is to be said of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It failed for the first time, or for another reason, or has done so for an hour since that was told.
    Failing,
    /// It works again.
    Recovered,
    /// Nothing.
    Nothing,
}

impl Attempts {
    /// Why the last attempt failed.
    pub fn failure(&self) -> Option<&Failure> {
        self.failed.as_ref().map(|failed| &failed.failure)
    }

    /// When the next attempt is due; `None`: none has failed, so it is not a matter of time.
    pub fn retry_at(&self) -> Option<Instant> {
        self.failed.as_ref().map(|failed| failed.retry_at)
    }

    /// Whether an attempt may be made.
    pub fn may(&self, now: Instant) -> bool {
        self.retry_at().is_none_or(|at| at <= now)
    }

    /// Something changed that may help: the next attempt is due at once. If it fails, too, the pauses go on growing.
    pub fn hurry(&mut self, now: Instant) {
        if let Some(failed) = &mut self.failed {
            failed.retry_at = failed.retry_at.min(now);
        }
    }

    /// It worked.
    pub fn succeed(&mut self) -> Telling {
        if self.failed.take().is_some() { Telling::Recovered } else { Telling::Nothing }
    }

    /// It failed.
    pub fn fail(&mut self, failure: Failure, now: Instant) -> Telling {
        let former = self.failed.take();
        let count = former.as_ref().map_or(0, |former| former.count.saturating_add(1));
        let retry_at = now + FIRST_PAUSE.saturating_mul(1 << count.min(20)).min(LONGEST_PAUSE);
        let told_at = former
            .filter(|former| former.failure.reason == failure.reason && now.saturating_since(former.told_at) < REMINDER)
            .map(|former| former.told_at);
        self.failed = Some(Failed { failure, count, retry_at, told_at: told_at.unwrap_or(now) });
        if told_at.is_none() { Telling::Failing } else { Telling::Nothing }
    }
}
