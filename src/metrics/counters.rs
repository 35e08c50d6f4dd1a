//! What is counted while the daemon runs.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::Ipv6Net;

use crate::cluster::{Exchange, TargetReport, Update};
use crate::config::{Kind, ObjectRef};
use crate::status::TargetStatus;

/// The upper ends of the buckets of a [`Histogram`].
pub const BUCKETS: [Duration; 12] = [
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(10),
];

/// How long something took, over all times that it was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How often it took as long as the bucket of this place says, and longer than the one before.
    pub counts: [u64; BUCKETS.len()],
    /// All together.
    pub sum: Duration,
    /// How often it was done.
    pub count: u64,
}

impl Histogram {
    /// It was done once more.
    pub fn observe(&mut self, took: Duration) {
        if let Some(place) = BUCKETS.iter().position(|bound| took <= *bound) {
            self.counts[place] += 1;
        }
        self.sum = self.sum.saturating_add(took);
        self.count += 1;
    }
}

/// A DynamicPrefix in use: its name, its prefix, its generation.
pub type InUse<'a> = (&'a str, Ipv6Net, u64);

/// The generations that an object holds a part of, by DynamicPrefix.
type Held = Box<[(Box<str>, u64)]>;

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Patches, by cluster, kind and outcome.
    pub writes: BTreeMap<(String, Kind, &'static str), u64>,
    /// The durations of patches, by cluster.
    pub latency: BTreeMap<String, Histogram>,
    /// Kubernetes events, by cluster and outcome.
    pub notices: BTreeMap<(String, &'static str), u64>,
    /// By cluster and object, the generations that it was last known to hold.
    generations: BTreeMap<String, BTreeMap<ObjectRef, Held>>,
}

impl Counters {
    /// A cluster has something new to tell.
    pub fn handle_update(&mut self, cluster: &str, update: &Update, in_use: &[InUse<'_>]) {
        for Exchange { kind, outcome, took } in &update.exchanges {
            *self.writes.entry((cluster.to_owned(), *kind, outcome)).or_default() += 1;
            self.latency.entry(cluster.to_owned()).or_default().observe(*took);
        }
        for (outcome, count) in &update.notices {
            *self.notices.entry((cluster.to_owned(), outcome)).or_default() += count;
        }
        if update.targets.is_empty() && update.removed.is_empty() {
            return;
        }
        let known = self.generations.entry(cluster.to_owned()).or_default();
        for object in &update.removed {
            known.remove(object);
        }
        for target in update.targets.iter().filter(|target| target.synced) {
            let held = held(target, in_use);
            if !held.is_empty() {
                known.insert(target.object.clone(), held);
            }
        }
    }

    /// Forgets the objects of clusters that `keep` does not want. What was counted stays counted.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.generations.retain(|cluster, _| keep(cluster));
    }

    /// The generations that an object was last known to hold, by DynamicPrefix.
    pub fn generations_of(&self, target: &TargetStatus) -> impl Iterator<Item = (&str, u64)> {
        let held = || {
            let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == target.kind)?;
            let object = ObjectRef { kind, namespace: target.namespace.clone(), name: target.name.clone() };
            self.generations.get(&target.cluster)?.get(&object)
        };
        let held = held().map(AsRef::as_ref).unwrap_or_default();
        held.iter().map(|(prefix, generation)| (prefix.as_ref(), *generation))
    }
}

/// The generations in use of which an object holds a part.
fn held(target: &TargetReport, in_use: &[InUse<'_>]) -> Held {
    let bound: Vec<Ipv6Net> = target.bound_prefixes.iter().filter_map(|prefix| prefix.parse().ok()).collect();
    let holds = |prefix: &Ipv6Net| bound.iter().any(|bound| prefix.contains(bound));
    let held = in_use.iter().filter(|(_, prefix, _)| holds(prefix));
    held.map(|(name, _, generation)| ((*name).into(), *generation)).collect()
}
