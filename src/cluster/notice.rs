//! Kubernetes events (events.k8s.io/v1) about the objects that we write: which to send, and when not to.
//!
//! They are a courtesy: one for each object and transition, few at a time, and whatever is in the way of one drops it.
//! Nothing waits for them. One that was sent a while ago and is true again becomes a series.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ipnet::Ipv6Net;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::TargetReport;
use super::entry;
use super::failure::Failure;
use super::island::Event;
use super::object::Served;
use crate::config::{Kind, ObjectRef};
use crate::time::Instant;

/// How many wait at most.
const QUEUE: usize = 64;

/// How many may be sent one after the other, and how long one more takes to be allowed.
const BURST: u32 = 32;
const REFILL: Duration = Duration::from_secs(6);

/// How long the same makes a series of one that was sent: the API server keeps events for an hour.
const SERIES: Duration = Duration::from_secs(1800);

/// How many are remembered for that.
const REMEMBERED: usize = 256;

/// The longest note that the API takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// Reasons of a target that nobody but its user can mend.
const INVALID: [&str; 19] = [
    "EntryError",
    "PoolNeedsRange",
    "ReplaceBesideAppend",
    "Overlap",
    "CannotEmpty",
    "RecordTooLong",
    "InvalidSuffix",
    "AddressCollision",
    "PinnedByUser",
    "LoadBalancerIP",
    "NoIPv6",
    "NotLoadBalancer",
    "NodeAddresses",
    "AllocatorUnknown",
    "ListTooLong",
    "PoolConflict",
    "AddressRefused",
    "Invalid",
    "NotKept",
];

/// A request to send: a POST of the whole event, or a PATCH that makes it a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    /// The path below the API server.
    pub path: String,
    /// Whether it is a merge patch of one that is there.
    pub is_patch: bool,
    /// What to send.
    pub body: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    object: ObjectRef,
    reason: &'static str,
}

#[derive(Debug)]
struct Draft {
    key: Key,
    action: &'static str,
    is_warning: bool,
    note: String,
}

/// One that was sent.
#[derive(Debug)]
struct Sent {
    name: String,
    note: String,
    count: u32,
    at: Instant,
}

/// What is known of an object.
#[derive(Debug, Default)]
struct Known {
    uid: Option<Box<str>>,
    /// It was written since it was told of.
    written: bool,
    /// The current prefixes that were told as applied, and as draining others.
    applied: Option<Box<[String]>>,
    drained: Option<Box<[String]>>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Notices {
    enabled: bool,
    objects: BTreeMap<ObjectRef, Known>,
    queue: VecDeque<Draft>,
    sent: BTreeMap<Key, Sent>,
    tokens: u32,
    refilled_at: Instant,
    /// What the API server said when it refused us.
    silenced: Option<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl Notices {
    /// Sends none unless `enabled`.
    pub fn new(enabled: bool) -> Self {
        Self {
            enabled,
            objects: BTreeMap::new(),
            queue: VecDeque::new(),
            sent: BTreeMap::new(),
            tokens: BURST,
            refilled_at: Instant::BOOT,
            silenced: None,
            counts: BTreeMap::new(),
        }
    }

    /// The configuration may say otherwise now; whoever was refused may try again.
    pub fn reconfigure(&mut self, enabled: bool) {
        self.enabled = enabled;
        self.handle_connected();
        if !enabled {
            self.queue.clear();
            self.objects.clear();
            self.sent.clear();
        }
    }

    /// There is a new connection.
    pub fn handle_connected(&mut self) {
        self.silenced = None;
    }

    /// Something happened to an object.
    pub fn handle_event(&mut self, event: &Event) {
        if !self.enabled {
            return;
        }
        match event {
            Event::Written { object, .. } => self.objects.entry(object.clone()).or_default().written = true,
            Event::Contested { object, manager, .. } => {
                let who = manager.as_deref().unwrap_or("somebody");
                let note = format!("{who} keeps removing what dyn-prefix writes here; it steps back for a while.");
                self.push(object, "Contested", "Write", true, note);
            }
            Event::Failing { object, reason, message } if INVALID.contains(&reason.as_str()) => {
                self.push(object, "TargetInvalid", "Validate", true, format!("{reason}: {message}"));
            }
            Event::Failing { .. }
            | Event::Recovered { .. }
            | Event::Released { .. }
            | Event::DryRun { .. }
            | Event::Note { .. } => {}
        }
    }

    /// What status says of an object now.
    pub fn handle_target(&mut self, target: &TargetReport) {
        if !self.enabled {
            return;
        }
        let known = self.objects.entry(target.object.clone()).or_default();
        if target.uid.as_deref() != known.uid.as_deref() {
            known.uid = target.uid.as_deref().map(Into::into);
        }
        if !target.synced || !known.written || target.bound_prefixes.is_empty() {
            return;
        }
        known.written = false;
        let bound = target.bound_prefixes.join(", ");
        let is_told = |told: &Option<Box<[String]>>| told.as_deref() == Some(target.bound_prefixes.as_slice());
        let former = former(target);
        let (applies, drains) = (!is_told(&known.applied), !former.is_empty() && !is_told(&known.drained));
        if applies {
            known.applied = Some(target.bound_prefixes.clone().into());
        }
        if drains {
            known.drained = Some(target.bound_prefixes.clone().into());
        }
        if applies {
            self.push(&target.object, "PrefixApplied", "Apply", false, format!("It holds {bound}."));
        }
        if drains {
            let note = format!("{} drains beside {bound}.", former.join(", "));
            self.push(&target.object, "PrefixDraining", "Drain", false, note);
        }
    }

    /// An object is a target no longer.
    pub fn handle_removed(&mut self, object: &ObjectRef) {
        self.objects.remove(object);
    }

    fn push(&mut self, object: &ObjectRef, reason: &'static str, action: &'static str, is_warning: bool, note: String) {
        if self.silenced.is_some() || self.queue.len() >= QUEUE {
            return self.count("dropped");
        }
        let note = shortened(note);
        let key = Key { object: object.clone(), reason };
        self.queue.push_back(Draft { key, action, is_warning, note });
    }

    fn count(&mut self, outcome: &'static str) {
        *self.counts.entry(outcome).or_default() += 1;
    }

    /// Whether one may be sent now; takes the right to it.
    fn is_allowed(&mut self, now: Instant) -> bool {
        let rounds = now.saturating_since(self.refilled_at).as_secs() / REFILL.as_secs();
        if rounds > 0 {
            self.refilled_at = now;
            self.tokens = self.tokens.saturating_add(u32::try_from(rounds).unwrap_or(BURST)).min(BURST);
        }
        let is_allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        is_allowed
    }

    /// The next to send. What may not be sent now is dropped: an old event is worth nothing.
    pub fn poll_post(&mut self, daemon_id: &str, served: &Served, now: Instant, wall: Timestamp) -> Option<Post> {
        loop {
            let draft = self.queue.pop_front()?;
            let known = self.objects.get(&draft.key.object).and_then(|known| known.uid.clone());
            let (Some(uid), Some(version)) = (known, served.get(&draft.key.object.kind)) else {
                self.count("dropped");
                continue;
            };
            if !self.is_allowed(now) {
                self.count("dropped");
                continue;
            }
            return Some(self.post(draft, &uid, version, daemon_id, now, wall));
        }
    }

    fn post(&mut self, draft: Draft, uid: &str, version: &str, daemon_id: &str, now: Instant, wall: Timestamp) -> Post {
        let object = &draft.key.object;
        // Of what has no namespace they live in this one.
        let namespace = object.namespace.as_deref().unwrap_or("default");
        let all = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        let time = format!("{wall:.6}");
        if let Some(sent) = self.sent.get_mut(&draft.key)
            && sent.note == draft.note
            && now.saturating_since(sent.at) < SERIES
        {
            (sent.count, sent.at) = (sent.count + 1, now);
            let body = json!({"series": {"count": sent.count, "lastObservedTime": time}});
            return Post { path: format!("{all}/{}", sent.name), is_patch: true, body };
        }
        let start: String = object.name.chars().take(200).collect();
        let name = format!("{start}.{:x}", wall.as_nanosecond());
        let (group, _, _) = super::object::resource(object.kind, version);
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let mut regarding =
            json!({"apiVersion": api_version, "kind": object.kind.as_str(), "name": object.name, "uid": uid});
        if let Some(namespace) = &object.namespace {
            regarding["namespace"] = json!(namespace);
        }
        let body = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": time,
            "reportingController": "dyn-prefix",
            "reportingInstance": format!("dyn-prefix-{daemon_id}"),
            "action": draft.action,
            "reason": draft.key.reason,
            "regarding": regarding,
            "note": draft.note,
            "type": if draft.is_warning { "Warning" } else { "Normal" },
        });
        if self.sent.len() >= REMEMBERED
            && let Some(oldest) = self.sent.iter().min_by_key(|(_, sent)| sent.at).map(|(key, _)| key.clone())
        {
            self.sent.remove(&oldest);
        }
        self.sent.insert(draft.key, Sent { name, note: draft.note, count: 1, at: now });
        Post { path: all, is_patch: false, body }
    }

    /// One was answered, or not. It is not sent again.
    pub fn handle_answer(&mut self, answer: Result<(), Failure>) {
        match answer {
            Ok(()) => self.count("sent"),
            Err(failure) => {
                self.count("failed");
                if failure.code() == Some(403) {
                    self.silenced = Some(failure.message().to_owned());
                    self.queue.clear();
                }
                // The one that was to become a series may be gone.
                self.sent.clear();
            }
        }
    }

    /// Why none are sent, a sentence.
    pub fn note(&self) -> Option<String> {
        let said = self.silenced.as_ref()?;
        Some(format!(
            "The account may not create Kubernetes events, so none are sent. It needs a ClusterRole with apiGroups: \
             [events.k8s.io], resources: [events], verbs: [create, patch], or events = false: {said}."
        ))
    }

    /// What became of events since the last call.
    pub fn take_counts(&mut self) -> Vec<(&'static str, u64)> {
        std::mem::take(&mut self.counts).into_iter().collect()
    }
}

/// Our entries of former prefixes, for an object that holds ranges.
fn former(target: &TargetReport) -> Vec<&str> {
    if !Kind::TARGETS.contains(&target.object.kind) {
        return Vec::new();
    }
    let bound: Vec<Ipv6Net> = target.bound_prefixes.iter().filter_map(|prefix| prefix.parse().ok()).collect();
    let is_current = |first: &std::net::Ipv6Addr| bound.iter().any(|net| net.contains(first));
    let is_former = |entry: &&String| {
        let Some(block) = entry::read_recorded(entry) else { return false };
        !is_current(&block.interval().first())
    };
    target.desired.iter().filter(is_former).map(String::as_str).collect()
}

fn shortened(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        let end = (0..=LONGEST_NOTE - 4).rev().find(|at| note.is_char_boundary(*at)).unwrap_or_default();
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests;
