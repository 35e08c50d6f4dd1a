//! Turns what happens to a cluster's objects into few lines of the journal: what belongs together is told together,
//! what keeps failing is told again at most once an hour.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::cluster::island::{Event, Release};
use crate::cluster::{ConnectionState, Health};
use crate::config::ObjectRef;
use crate::log::Entry;
use crate::log::record::{self, Written};
use crate::time::Instant;

/// How long a line waits for others that belong to it, counted from the last of them.
const QUIET: Duration = Duration::from_millis(100);

/// How long a line waits at most.
const LONGEST: Duration = Duration::from_secs(1);

/// How often what keeps failing is told of.
const REMINDER: Duration = Duration::from_secs(3600);

#[derive(Debug)]
enum Batch {
    Written(Vec<Written>),
    Released(Release, Vec<Written>),
    Failing(Vec<(ObjectRef, String)>),
    Recovered(Vec<ObjectRef>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Failing,
    Recovered,
    Written,
    Released,
}

/// What a line is about: the cluster, the topic, and the reason of a failure or the step of a Service.
type Key = (String, Topic, String);

#[derive(Debug)]
struct Waiting {
    batch: Batch,
    since: Instant,
    last: Instant,
}

impl Waiting {
    fn due(&self) -> Instant {
        (self.last + QUIET).min(self.since + LONGEST)
    }
}

/// What is wrong with a cluster or its objects, until it is right again.
#[derive(Debug)]
struct Trouble {
    entry: Entry,
    told_at: Instant,
}

/// Why an object fails, and whether it did so for another reason before: the log may have told that.
#[derive(Debug)]
struct Failing {
    reason: String,
    is_first: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct WriteLog {
    waiting: BTreeMap<Key, Waiting>,
    failing: BTreeMap<(String, ObjectRef), Failing>,
    connections: BTreeMap<String, (ConnectionState, Option<String>)>,
    troubles: BTreeMap<(String, String), Trouble>,
    entries: VecDeque<Entry>,
}

impl WriteLog {
    /// Something happened to an object of `cluster`.
    pub(super) fn handle_event(&mut self, cluster: &str, event: Event, now: Instant) {
        match event {
            Event::Written { object, added, removed, elapsed } => {
                let written = Written { object, added, removed, elapsed };
                let step = written.step();
                if self.has_gone_on(cluster, &written.object) {
                    self.tell_where(|(of, topic, _), _| of == cluster && *topic == Topic::Written, now);
                }
                self.collect((cluster, Topic::Written, step), Batch::Written(vec![written]), now);
            }
            Event::Released { object, why, removed, elapsed } => {
                let released = Written { object, added: Vec::new(), removed, elapsed };
                let key = (cluster, Topic::Released, why.as_str());
                self.collect(key, Batch::Released(why, vec![released]), now);
            }
            Event::Failing { object, reason, message } => {
                let key = (cluster.to_owned(), object.clone());
                let is_first = !self.failing.contains_key(&key);
                self.failing.insert(key, Failing { reason: reason.clone(), is_first });
                self.collect((cluster, Topic::Failing, &reason), Batch::Failing(vec![(object, message)]), now);
            }
            Event::Recovered { object } => {
                let untold = self.take_back(cluster, &object);
                self.recovered(cluster, &object);
                if !untold {
                    self.collect((cluster, Topic::Recovered, ""), Batch::Recovered(vec![object]), now);
                }
            }
            Event::Contested { object, manager, hint } => {
                self.entries.push_back(record::contested(cluster, &object, manager.as_deref(), &hint));
            }
            Event::DryRun { object, patch, .. } => self.entries.push_back(record::dry_run(cluster, &object, &patch)),
            Event::Note { object, reason, message } => {
                self.entries.push_back(record::note(cluster, &object, &reason, &message));
            }
        }
    }

    /// These objects of `cluster` are targets no longer, so nothing is wrong with them any more.
    pub(super) fn handle_removed(&mut self, cluster: &str, objects: &[ObjectRef]) {
        objects.iter().for_each(|object| self.recovered(cluster, object));
    }

    /// The tasks of all clusters begin anew and will tell what is wrong with their objects.
    pub(super) fn forget_objects(&mut self) {
        self.failing.clear();
        self.troubles.retain(|(_, reason), _| reason.is_empty());
    }

    /// Forgets the clusters that `keep` does not want: they left the configuration.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.failing.retain(|(cluster, _), _| keep(cluster));
        self.connections.retain(|cluster, _| keep(cluster));
        self.troubles.retain(|(cluster, _), _| keep(cluster));
    }

    /// Forgets a failure that was not told yet, if that is all there was: what is over so soon is no news.
    fn take_back(&mut self, cluster: &str, object: &ObjectRef) -> bool {
        let failing = self.failing.get(&(cluster.to_owned(), object.clone()));
        let Some(Failing { reason, is_first: true }) = failing else { return false };
        let key = (cluster.to_owned(), Topic::Failing, reason.clone());
        let Some(Waiting { batch: Batch::Failing(all), .. }) = self.waiting.get_mut(&key) else { return false };
        let before = all.len();
        all.retain(|(other, _)| other != object);
        let is_taken = all.len() < before;
        if all.is_empty() {
            self.waiting.remove(&key);
        }
        is_taken
    }

    fn recovered(&mut self, cluster: &str, object: &ObjectRef) {
        let Some(Failing { reason, .. }) = self.failing.remove(&(cluster.to_owned(), object.clone())) else { return };
        if !self.fails(cluster, &reason) {
            self.troubles.remove(&(cluster.to_owned(), reason));
        }
    }

    /// Whether any object of `cluster` fails for this reason.
    fn fails(&self, cluster: &str, reason: &str) -> bool {
        self.failing.iter().any(|((name, _), other)| name == cluster && other.reason == reason)
    }

    /// Whether this object is written again after Services have taken a step, and none of that has been told yet: a line
    /// of its own comes behind theirs.
    fn has_gone_on(&self, cluster: &str, object: &ObjectRef) -> bool {
        let of = |step: &str| self.waiting.get(&(cluster.to_owned(), Topic::Written, step.to_owned()));
        let is_told_of = |waiting: &Waiting| match &waiting.batch {
            Batch::Written(all) => all.iter().any(|written| written.object == *object),
            Batch::Released(..) | Batch::Failing(_) | Batch::Recovered(_) => false,
        };
        of("").is_some_and(is_told_of) && record::STEPS.iter().any(|step| of(step).is_some())
    }

    fn collect(&mut self, (cluster, topic, reason): (&str, Topic, &str), new: Batch, now: Instant) {
        let key = (cluster.to_owned(), topic, reason.to_owned());
        let Some(waiting) = self.waiting.get_mut(&key) else {
            self.waiting.insert(key, Waiting { batch: new, since: now, last: now });
            return;
        };
        waiting.last = now;
        match (&mut waiting.batch, new) {
            (Batch::Written(all), Batch::Written(new)) | (Batch::Released(_, all), Batch::Released(_, new)) => {
                all.extend(new)
            }
            (Batch::Failing(all), Batch::Failing(new)) => all.extend(new),
            (Batch::Recovered(all), Batch::Recovered(new)) => all.extend(new),
            // The topic of the key decides the kind of batch.
            (Batch::Written(_) | Batch::Released(..) | Batch::Failing(_) | Batch::Recovered(_), _) => {}
        }
    }

    /// The connection to `cluster` is as `health` says.
    pub(super) fn handle_health(&mut self, cluster: &str, health: &Health, now: Instant) {
        let state = (health.state, health.reason.as_ref().map(|(reason, _)| reason.clone()));
        let former = self.connections.insert(cluster.to_owned(), state.clone());
        // Nothing has answered yet, and nothing is wrong: at the start, after a reload, after a suspend.
        let first_steps = health.state == ConnectionState::Connecting && health.reason.is_none();
        if former.as_ref() == Some(&state) || first_steps {
            return;
        }
        let entry = record::health(cluster, health);
        let key = (cluster.to_owned(), String::new());
        if health.state == ConnectionState::Connected && health.reason.is_none() {
            self.troubles.remove(&key);
        } else {
            self.troubles.insert(key, Trouble { entry: entry.clone(), told_at: now });
        }
        self.entries.push_back(entry);
    }

    /// Tells what has waited long enough, and reminds of what keeps failing.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.tell_where(|_, waiting| waiting.due() <= now, now);
        for trouble in self.troubles.values_mut() {
            if now.saturating_since(trouble.told_at) >= REMINDER {
                trouble.told_at = now;
                self.entries.push_back(record::still(&trouble.entry));
            }
        }
    }

    fn tell_where(&mut self, which: impl Fn(&Key, &Waiting) -> bool, now: Instant) {
        let waiting = std::mem::take(&mut self.waiting);
        let (due, waiting): (BTreeMap<_, _>, _) = waiting.into_iter().partition(|(key, waiting)| which(key, waiting));
        self.waiting = waiting;
        for ((cluster, _, reason), waiting) in due {
            let entry = match waiting.batch {
                Batch::Written(written) => record::written(&cluster, &written),
                Batch::Released(why, released) => record::released(&cluster, why, &released),
                Batch::Recovered(objects) => record::recovered(&cluster, &objects),
                Batch::Failing(failing) => {
                    let entry = record::failing(&cluster, &reason, &failing);
                    if self.fails(&cluster, &reason) {
                        self.troubles.insert((cluster, reason), Trouble { entry: entry.clone(), told_at: now });
                    }
                    entry
                }
            };
            self.entries.push_back(entry);
        }
    }

    /// When [`WriteLog::handle_timeout`] is wanted next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.waiting.values().map(Waiting::due);
        waiting.chain(self.troubles.values().map(|trouble| trouble.told_at + REMINDER)).min()
    }

    /// The next line for the journal.
    pub(super) fn poll_entry(&mut self) -> Option<Entry> {
        self.entries.pop_front()
    }
}

#[cfg(test)]
mod tests;
