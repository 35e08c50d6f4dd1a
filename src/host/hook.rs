//! One `[[hook]]`: what it was told of each DynamicPrefix, and what it is to be told next.

use std::collections::BTreeMap;

use super::attempt::{Attempts, Telling};
use super::{Event, Facts, Failure, JobId};
use crate::config;
use crate::status::DynamicPrefixStatus;
use crate::time::Instant;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) config: config::Hook,
    /// By DynamicPrefix.
    pub(super) subjects: BTreeMap<String, Subject>,
    running: Option<Running>,
    /// The DynamicPrefix of the last run: the others come first, so that one that changes all the time holds up none.
    latest: String,
}

/// One DynamicPrefix that the hook is run for.
#[derive(Debug, Default)]
pub(super) struct Subject {
    wanted: Option<Facts>,
    told: Option<Told>,
    /// A run for something else has begun since then, and nobody knows how far it came.
    is_uncertain: bool,
    pub(super) attempts: Attempts,
    /// The last run that ended well: when, and what for.
    pub(super) last: Option<(Instant, Event)>,
}

/// What a hook has been told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) facts: Facts,
    pub(super) shown: DynamicPrefixStatus,
}

#[derive(Debug)]
struct Running {
    id: JobId,
    name: String,
    event: Event,
    /// What it is told; `None`: the hook has become another one meanwhile, and will be told by itself.
    telling: Option<Told>,
}

/// A run that is due.
pub(super) struct Due<'a> {
    pub(super) name: String,
    pub(super) event: Event,
    pub(super) facts: &'a Facts,
    pub(super) told: Option<&'a Told>,
}

/// A run that has ended.
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) event: Event,
    pub(super) telling: Telling,
}

impl Hook {
    pub(super) const fn new(config: config::Hook) -> Self {
        Self { config, subjects: BTreeMap::new(), running: None, latest: String::new() }
    }

    /// Whether this is another hook now, that has been told nothing. One run at a time holds for both.
    pub(super) fn reconfigure(&mut self, config: config::Hook, now: Instant) {
        if self.config.command != config.command {
            self.subjects.clear();
            if let Some(running) = &mut self.running {
                running.telling = None;
            }
        }
        self.subjects.values_mut().for_each(|subject| subject.attempts.hurry(now));
        self.config = config;
    }

    /// It has left the configuration. Whether it has to be kept until its run has ended: if it comes back meanwhile, it
    /// is a new one, and waits for that.
    pub(super) fn leave(&mut self) -> bool {
        self.subjects.clear();
        if let Some(running) = &mut self.running {
            running.telling = None;
        }
        self.running.is_some()
    }

    /// What is true now. A DynamicPrefix that nothing is known of any more is forgotten.
    pub(super) fn handle_facts(&mut self, facts: &BTreeMap<String, Facts>, now: Instant) {
        let names = &self.config.dynamic_prefixes;
        self.subjects.retain(|name, _| names.contains(name) && facts.contains_key(name));
        for name in names {
            let Some(facts) = facts.get(name) else { continue };
            let subject = self.subjects.entry(name.clone()).or_default();
            if subject.wanted.as_ref() != Some(facts) {
                subject.wanted = Some(facts.clone());
                subject.attempts.hurry(now);
            }
        }
    }

    /// The next run that is due, if none is under way.
    pub(super) fn due(&self, now: Instant) -> Option<Due<'_>> {
        if self.running.is_some() {
            return None;
        }
        let is_due = |subject: &Subject| subject.is_due() && subject.attempts.may(now);
        let due = || self.subjects.iter().filter(|(_, subject)| is_due(subject));
        let (name, subject) = due().find(|(name, _)| **name > self.latest).or_else(|| due().next())?;
        let (facts, told) = (subject.wanted.as_ref()?, subject.told.as_ref());
        Some(Due { name: name.clone(), event: facts.event(told.map(|told| &told.facts)), facts, told })
    }

    pub(super) fn begin(&mut self, id: JobId, name: String, event: Event, told: Told) {
        if let Some(subject) = self.subjects.get_mut(&name) {
            subject.is_uncertain = true;
        }
        self.latest.clone_from(&name);
        self.running = Some(Running { id, name, event, telling: Some(told) });
    }

    /// The run has ended. `None`: it is not one of this hook.
    pub(super) fn handle_outcome(&mut self, id: JobId, result: Result<(), Failure>, now: Instant) -> Option<Ended> {
        let Running { name, event, telling, .. } = self.running.take_if(|running| running.id == id)?;
        let (Some(told), Some(subject)) = (telling, self.subjects.get_mut(&name)) else {
            return Some(Ended { name, event, telling: Telling::Nothing });
        };
        let telling = match result {
            Ok(()) => {
                subject.told = Some(told);
                subject.is_uncertain = false;
                subject.last = Some((now, event));
                subject.attempts.succeed()
            }
            Err(failure) => {
                let telling = subject.attempts.fail(failure, now);
                // Something else is true by now, which may work.
                if subject.wanted.as_ref() != Some(&told.facts) {
                    subject.attempts.hurry(now);
                }
                telling
            }
        };
        Some(Ended { name, event, telling })
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let subjects = self.subjects.values().filter(|_| self.running.is_none());
        subjects
            .filter(|subject| subject.is_due())
            .map(|subject| subject.attempts.retry_at().unwrap_or(Instant::BOOT))
            .min()
    }

    /// Whether it runs for this DynamicPrefix now.
    pub(super) fn runs_for(&self, name: &str) -> bool {
        self.running.as_ref().is_some_and(|running| running.name == name)
    }
}

impl Subject {
    /// Whether the hook does not know yet what is true.
    pub(super) fn is_due(&self) -> bool {
        let told = self.told.as_ref().map(|told| &told.facts);
        self.wanted.is_some() && (self.is_uncertain || self.wanted.as_ref() != told)
    }
}
