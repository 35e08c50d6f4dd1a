//! One `[[file]]`: what it should hold, what it holds, and whether somebody has to be told of that.

use std::collections::BTreeMap;

use super::attempt::{Attempts, Telling};
use super::template::Unrendered;
use super::{Done, Facts, Failure, JobId};
use crate::config::FileTarget;
use crate::time::Instant;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct File {
    pub(super) config: FileTarget,
    wanted: Wanted,
    /// What the file was seen to hold, by us.
    held: Option<String>,
    pub(super) writing: Attempts,
    /// It has changed since `reload` last ended well.
    reload_is_due: bool,
    pub(super) reloading: Attempts,
    running: Option<(JobId, Stage)>,
    /// When it was last written.
    pub(super) written_at: Option<Instant>,
}

/// What the file should hold.
#[derive(Debug)]
enum Wanted {
    /// Nothing is known of this DynamicPrefix yet: it stays as it is.
    NoOpinion(String),
    /// The template cannot be filled in: it stays as it is.
    Error(String),
    Content(String),
}

#[derive(Debug)]
enum Stage {
    /// `None`: the file has become another one meanwhile.
    Writing(Option<String>),
    Reloading,
}

/// What is to be done next.
pub(super) enum Due<'a> {
    Write(&'a str),
    Reload(&'a [String]),
}

/// What came of it.
pub(super) enum Ended {
    /// The file was looked at; `changed`: and written.
    Wrote {
        changed: bool,
        telling: Telling,
    },
    Reloaded(Telling),
}

impl File {
    pub(super) fn new(config: FileTarget) -> Self {
        Self {
            config,
            wanted: Wanted::NoOpinion(String::new()),
            held: None,
            writing: Attempts::default(),
            reload_is_due: false,
            reloading: Attempts::default(),
            running: None,
            written_at: None,
        }
    }

    /// Whoever reloads wants to see the file looked at again, and what failed tried again.
    pub(super) fn reconfigure(&mut self, config: FileTarget, now: Instant) {
        self.held = None;
        if let Some((_, Stage::Writing(content))) = &mut self.running {
            *content = None;
        }
        self.writing.hurry(now);
        self.reloading.hurry(now);
        self.reload_is_due &= config.reload.is_some();
        if config.reload != self.config.reload {
            self.reloading = Attempts::default();
        }
        self.config = config;
    }

    /// It has left the configuration. Whether it has to be kept until what is under way has ended: if it comes back
    /// meanwhile, that is waited for.
    pub(super) fn leave(&mut self) -> bool {
        self.wanted = Wanted::NoOpinion(String::new());
        (self.writing, self.reloading) = (Attempts::default(), Attempts::default());
        self.running.is_some()
    }

    /// What is true now. A failure to tell of, if it cannot be shown in the file.
    pub(super) fn handle_facts(&mut self, facts: &BTreeMap<String, Facts>, now: Instant) -> Telling {
        self.wanted = match self.config.template.render(facts) {
            Ok(content) => Wanted::Content(content),
            Err(Unrendered::NoOpinion(name)) => Wanted::NoOpinion(name),
            Err(Unrendered::Error(message)) => {
                let failure = Failure { reason: Failure::NOT_RENDERED, message: message.clone() };
                self.wanted = Wanted::Error(message);
                return self.writing.fail(failure, now);
            }
        };
        match &self.wanted {
            // It will be what it should be when it is written.
            Wanted::Content(_) if self.unwritten().is_some() => self.writing.hurry(now),
            Wanted::Content(_) => return self.writing.succeed(),
            // That nobody knows what it should be is neither a failure nor the end of one.
            Wanted::NoOpinion(_) | Wanted::Error(_) => self.writing = Attempts::default(),
        }
        Telling::Nothing
    }

    /// What is due, if nothing is under way.
    pub(super) fn due(&self, now: Instant) -> Option<Due<'_>> {
        if self.running.is_some() {
            return None;
        }
        if let Some(content) = self.unwritten().filter(|_| self.writing.may(now)) {
            return Some(Due::Write(content));
        }
        let reload = self.config.reload.as_deref().filter(|_| self.reload_is_due && self.reloading.may(now))?;
        Some(Due::Reload(reload))
    }

    /// What it should hold and does not.
    fn unwritten(&self) -> Option<&str> {
        match &self.wanted {
            Wanted::Content(content) if self.held.as_ref() != Some(content) => Some(content),
            Wanted::Content(_) | Wanted::NoOpinion(_) | Wanted::Error(_) => None,
        }
    }

    /// Whether it is about to hold what it should. One that could not be written is not waited for.
    pub(super) fn is_on_its_way(&self) -> bool {
        let may_be_written = |failure: &Failure| failure.reason == Failure::NOT_RENDERED;
        self.unwritten().is_some() && (self.running.is_some() || self.writing.failure().is_none_or(may_be_written))
    }

    /// It is written.
    pub(super) fn begin_writing(&mut self, id: JobId) {
        let content = self.unwritten().map(str::to_owned);
        self.running = Some((id, Stage::Writing(content)));
    }

    /// Its reload command runs.
    pub(super) fn begin_reloading(&mut self, id: JobId) {
        self.running = Some((id, Stage::Reloading));
    }

    /// What is under way has ended. `None`: it is nothing of this file.
    pub(super) fn handle_outcome(&mut self, id: JobId, result: Result<Done, Failure>, now: Instant) -> Option<Ended> {
        let (_, stage) = self.running.take_if(|(running, _)| *running == id)?;
        Some(match (stage, result) {
            (Stage::Writing(content), Ok(done)) => {
                self.held = content;
                let (changed, due) = match done {
                    Done::Holds { changed, reload_is_due } => (changed, reload_is_due),
                    Done::Ran => (false, false),
                };
                self.reload_is_due |= due && self.config.reload.is_some();
                if changed {
                    self.written_at = Some(now);
                    self.reloading.hurry(now);
                }
                // What it should hold by now may be what cannot be filled in.
                let is_known = matches!(self.wanted, Wanted::Content(_));
                Ended::Wrote { changed, telling: if is_known { self.writing.succeed() } else { Telling::Nothing } }
            }
            (Stage::Writing(_), Err(failure)) => {
                // It may hold either: what failed may have been to make sure of it.
                self.held = None;
                // What it should hold by now may be what cannot be filled in, or what nobody knows: that is told of.
                let is_known = matches!(self.wanted, Wanted::Content(_));
                let telling = if is_known { self.writing.fail(failure, now) } else { Telling::Nothing };
                Ended::Wrote { changed: false, telling }
            }
            (Stage::Reloading, Ok(_)) => {
                self.reload_is_due = false;
                Ended::Reloaded(self.reloading.succeed())
            }
            (Stage::Reloading, Err(failure)) => Ended::Reloaded(self.reloading.fail(failure, now)),
        })
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.running.is_some() {
            return None;
        }
        let due = |is_due: bool, attempts: &Attempts| is_due.then(|| attempts.retry_at().unwrap_or(Instant::BOOT));
        let write = due(self.unwritten().is_some(), &self.writing);
        [write, due(self.reload_is_due, &self.reloading)].into_iter().flatten().min()
    }

    /// The reason and the message in status, beside those of failures.
    pub(super) fn stage(&self) -> (&'static str, Option<String>) {
        match &self.wanted {
            Wanted::NoOpinion(name) if name.is_empty() => ("NoOpinion", None),
            Wanted::NoOpinion(name) => {
                ("NoOpinion", Some(format!("No prefix of {name} is known yet; the file stays as it is.")))
            }
            Wanted::Error(message) => (Failure::NOT_RENDERED, Some(message.clone())),
            Wanted::Content(_) if self.unwritten().is_some() => ("Pending", None),
            Wanted::Content(_) if self.reload_is_due => ("Reloading", None),
            Wanted::Content(_) => ("Synced", None),
        }
    }
}
