//! Clusters that a reload has taken out of the configuration, or pointed at other credentials: their task stays for a
//! moment with the old client and takes out what is ours. Pure.
//!
//! A cluster that only got another name is none of these. One with another kubeconfig may be the same one: an object that
//! the new client sees, by its uid, is not released by the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{ConnectionState, Managed, Paused, Told, Update, Wanted};
use crate::config::{Cluster, Config, ObjectRef};
use crate::log::record;
use crate::store::State;
use crate::time::{Epoch, Instant};

use super::coordinator::{ClusterView, Coordinator};
use super::pause::{Left, by_name, left, list, mirror};

/// How long a cluster has to let go.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a removed cluster waits for those that came with the same reload: it may be one of them.
const DOUBT: Duration = Duration::from_secs(5);

/// The clusters on their way out.
#[derive(Debug, Default)]
pub(crate) struct Partings {
    running: BTreeMap<String, Parting>,
    /// The clusters whose task goes on under another name: from, to.
    renamed: Vec<(String, String)>,
    /// What clusters have left behind that nobody can name any more, a sentence each.
    left_behind: Vec<String>,
}

/// What of ours a store lists in clusters that a configuration does not have, a sentence for each cluster by its name.
pub fn leftovers_in(state: &State, config: &Config, epoch: &Epoch) -> BTreeMap<String, String> {
    let is_there = |name: &&String| config.clusters.iter().any(|cluster| cluster.name == **name);
    let stored: BTreeSet<&String> = state.managed.keys().chain(state.published.keys()).collect();
    let of = |name: &String| {
        let objects = state.managed(name, epoch).into_iter().map(|managed| (managed.object.clone(), managed)).collect();
        let left = leftover(name, &objects, state.published.get(name).unwrap_or(&BTreeMap::new()))?;
        Some((name.clone(), left))
    };
    stored.into_iter().filter(|name| !is_there(name)).filter_map(of).collect()
}

/// What is added to the name of a cluster that another kubeconfig leads to from now on.
const FORMER: &str = " (former)";

/// A cluster on its way out.
#[derive(Debug)]
struct Parting {
    /// As it was configured; the name is its own.
    cluster: Cluster,
    view: ClusterView,
    until: Instant,
    /// Until when it is held back for [`Parting::successors`]; `None`: for as long as it takes.
    doubt_until: Option<Instant>,
    /// The clusters that it may be.
    successors: BTreeSet<String>,
}

impl Partings {
    /// When a cluster on its way out has to be looked at.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.running.values().flat_map(|parting| parting.doubt_until.into_iter().chain([parting.until])).min()
    }
}

impl Coordinator {
    /// The clusters that have to have a task: those of the configuration, and those on their way out.
    pub fn clusters_to_run(&self) -> impl Iterator<Item = &Cluster> {
        self.config.clusters.iter().chain(self.partings.running.values().map(|parting| &parting.cluster))
    }

    /// The clusters whose task goes on under another name since the last call: from, to.
    pub fn take_renamed(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.partings.renamed)
    }

    /// Sorts out which clusters go with a new configuration, before that is in use.
    pub(super) fn part(&mut self, new: &Config, now: Instant) {
        self.partings.left_behind.clear();
        let old: Vec<Cluster> = self.clusters_to_run().cloned().collect();
        let former = |name: &str| old.iter().find(|cluster| cluster.name == name);
        let is_new = |cluster: &&Cluster| former(&cluster.name).is_none_or(|former| !is_same_way(former, cluster));
        let successors: Vec<&Cluster> = new.clusters.iter().filter(is_new).collect();
        for cluster in &old {
            let kept = new.clusters.iter().find(|other| other.name == cluster.name);
            let is_taken_back = kept.is_some_and(|kept| is_same_way(cluster, kept));
            if is_taken_back {
                if let Some(parting) = self.partings.running.remove(&cluster.name) {
                    self.clusters.insert(cluster.name.clone(), parting.view);
                }
                continue;
            }
            let renamed = successors.iter().find(|other| {
                is_same_way(cluster, other) && former(&other.name).is_none() && !self.managed_anywhere(&other.name)
            });
            match (renamed, kept) {
                (Some(other), _) => self.rename(&cluster.name, &other.name),
                (None, _) if self.partings.running.contains_key(&cluster.name) && kept.is_none() => {}
                (None, kept) => self.send_off(cluster, kept.is_some(), &successors, now),
            }
        }
    }

    fn managed_anywhere(&self, name: &str) -> bool {
        self.managed_in(name).is_some_and(|objects| !objects.is_empty())
    }

    /// The same cluster by the same way under another name: nothing else changes.
    fn rename(&mut self, from: &str, to: &str) {
        self.partings.running.remove(from);
        if let Some(objects) = self.managed.remove(from) {
            self.managed.insert(to.to_owned(), objects);
        }
        if let Some(published) = self.published.remove(from) {
            self.published.insert(to.to_owned(), published);
        }
        if let Some(told) = self.told.remove(from) {
            self.told.insert(to.to_owned(), told);
        }
        if let Some(view) = self.clusters.remove(from) {
            self.clusters.insert(to.to_owned(), view);
        }
        self.partings.renamed.push((from.to_owned(), to.to_owned()));
    }

    /// A cluster has to let go. `keeps_name`: there is one of the same name that another kubeconfig leads to.
    fn send_off(&mut self, cluster: &Cluster, keeps_name: bool, successors: &[&Cluster], now: Instant) {
        let view = self.clusters.remove(&cluster.name).unwrap_or_default();
        let objects = self.managed.get(&cluster.name).cloned().unwrap_or_default();
        let shown = self.published.get(&cluster.name).cloned().unwrap_or_default();
        if objects.is_empty() && shown.is_empty() {
            return;
        }
        let mut cluster = cluster.clone();
        if keeps_name {
            let former = format!("{}{FORMER}", cluster.name);
            self.partings.renamed.push((cluster.name.clone(), former.clone()));
            self.managed.insert(former.clone(), objects);
            self.published.insert(former.clone(), shown);
            cluster.name = former;
        }
        let parting = Parting {
            view,
            until: now + PATIENCE,
            doubt_until: (!keeps_name).then(|| now + DOUBT),
            successors: successors.iter().map(|cluster| cluster.name.clone()).collect(),
            cluster: cluster.clone(),
        };
        self.partings.running.insert(cluster.name, parting);
    }

    /// Takes in what a cluster on its way out says; whether it is one.
    pub(super) fn hear_parting(&mut self, cluster: &str, update: &Update) -> bool {
        let Some(parting) = self.partings.running.get_mut(cluster) else { return false };
        if let Some(health) = &update.health {
            parting.view.health = Some(health.clone());
        }
        if let Some(stuck) = &update.stuck {
            parting.view.stuck.clone_from(stuck);
        }
        let managed = self.managed.entry(cluster.to_owned()).or_default();
        for object in &update.removed {
            parting.view.targets.remove(object);
            managed.remove(object);
        }
        for target in &update.targets {
            match &target.managed {
                Some(new) => drop(managed.insert(target.object.clone(), new.clone())),
                None => drop(managed.remove(&target.object)),
            }
            parting.view.targets.insert(target.object.clone(), Box::new(target.clone()));
        }
        if let Some(published) = &update.published {
            self.published.insert(cluster.to_owned(), published.clone());
        }
        self.dirty = true;
        true
    }

    /// The DynamicPrefixes that a cluster on its way out has to leave as it shows them: it may be the very cluster that
    /// goes on under its name.
    pub(super) fn shown_elsewhere(&self, cluster: &str) -> Vec<String> {
        let Some(successor) = cluster.strip_suffix(FORMER) else { return Vec::new() };
        let shown = self.published.get(cluster).into_iter().flatten();
        shown.filter(|(name, uid)| !self.shows_another(successor, name, uid)).map(|(name, _)| name.clone()).collect()
    }

    /// Whether a cluster shows a DynamicPrefix in another object than this one, so that it is another cluster.
    fn shows_another(&self, cluster: &str, name: &str, uid: &str) -> bool {
        self.published.get(cluster).and_then(|shown| shown.get(name)).is_some_and(|shown| shown != uid)
    }

    /// Whether a cluster is on its way out.
    pub(super) fn is_parting(&self, cluster: &str) -> bool {
        self.partings.running.contains_key(cluster)
    }

    /// What is wanted of a cluster on its way out: nothing.
    pub(super) fn wanted_of_parting(&self, cluster: &str) -> Option<Wanted> {
        let parting = self.partings.running.get(cluster)?;
        let told = Told { paused: Paused { everything: true, ..Paused::default() }, has_left: true, ..Told::default() };
        let denied = self.managed_in(cluster).into_iter().flat_map(BTreeMap::values);
        let denied = denied.filter_map(|managed| Some((managed.uid.clone(), self.why_kept(parting, managed)?)));
        Some(Wanted {
            daemon_id: self.identity.daemon_id.clone(),
            catalogue: Arc::clone(&self.catalogue),
            bindings: Arc::default(),
            services: Arc::default(),
            denied: Arc::new(denied.collect()),
            told: Arc::new(told),
        })
    }

    /// Why an object must not be released by a cluster on its way out.
    fn why_kept(&self, parting: &Parting, managed: &Managed) -> Option<String> {
        if let Some(cluster) = self.seen_by(managed) {
            return Some(format!("{} is cared for as part of the cluster \"{cluster}\".", managed.object));
        }
        let waits = parting.successors.iter().find(|name| !self.has_looked(name, &managed.object))?;
        Some(format!("The cluster \"{waits}\", which may be the same one, has not been read yet."))
    }

    /// The configured cluster that sees the very same object as a target.
    fn seen_by(&self, managed: &Managed) -> Option<&str> {
        let sees = |view: &ClusterView| {
            view.targets.get(&managed.object).is_some_and(|target| target.uid.as_ref() == Some(&managed.uid))
        };
        self.clusters.iter().find(|(_, view)| sees(view)).map(|(name, _)| name.as_str())
    }

    /// Whether a cluster knows by now how an object of it is, if there is one.
    fn has_looked(&self, cluster: &str, object: &ObjectRef) -> bool {
        let Some(view) = self.clusters.get(cluster) else { return true };
        let is_connected = view.health.as_ref().is_some_and(|health| health.state == ConnectionState::Connected);
        is_connected && view.targets.get(object).is_none_or(|target| target.uid.is_some() || target.reason != "Waiting")
    }

    /// Lets those clusters go that are done, or whose time is up.
    pub(super) fn settle_partings(&mut self, now: Instant) {
        for parting in self.partings.running.values_mut() {
            if parting.doubt_until.take_if(|until| *until <= now).is_some() {
                parting.successors.clear();
            }
        }
        let names: Vec<String> = self.partings.running.keys().cloned().collect();
        for name in names {
            let Some(parting) = self.partings.running.get(&name) else { continue };
            let mut objects = self.managed.get(&name).cloned().unwrap_or_default();
            let all = objects.len();
            objects.retain(|_, managed| self.seen_by(managed).is_none());
            let is_same_cluster = objects.len() < all;
            let is_held = |managed: &Managed| self.why_kept(parting, managed).is_some();
            let remaining =
                objects.values().map(|managed| (left(&name, &managed.object, Some(&parting.view)), managed));
            let (mut left, mut waits) = (Vec::new(), false);
            // It was held back, and has not heard yet that it is not any more.
            let was_held = |managed: &Managed| {
                let report = parting.view.targets.get(&managed.object);
                report.is_some_and(|report| report.reason == "SameCluster")
            };
            for (remains, managed) in remaining {
                waits |= !remains.is_final || is_held(managed) || was_held(managed);
                left.push(remains);
            }
            let kept = self.shown_elsewhere(&name);
            let shows = self.published.get(&name).into_iter().flat_map(BTreeMap::keys);
            let shows = shows.filter(|shown| !kept.contains(shown));
            let shows = shows.map(|shown| mirror(&name, shown, Some(&parting.view), parting.cluster.dry_run));
            let shows: Vec<Left> = shows.collect();
            waits |= shows.iter().any(|shown| !shown.is_final) || !(kept.is_empty() || is_same_cluster);
            left.extend(shows);
            if parting.until <= now || !waits {
                self.finish(&name, objects, &left);
            }
        }
    }

    /// Only the store still knows what is left there, for the day on which the cluster is configured again.
    fn finish(&mut self, name: &str, objects: BTreeMap<ObjectRef, Managed>, left: &[Left]) {
        let Some(parting) = self.partings.running.remove(name) else { return };
        let is_former = parting.cluster.name.ends_with(FORMER);
        let kept = self.shown_elsewhere(name);
        self.managed.remove(name);
        let mut shown = BTreeMap::new();
        if is_former || left.is_empty() {
            shown = self.published.remove(name).unwrap_or_default();
            shown.retain(|shown, _| !kept.contains(shown));
        }
        if left.is_empty() {
            if !is_former {
                self.journal.tell(record::cluster_left(name, &[]));
            }
        } else {
            let texts: Vec<String> = left.iter().map(|left| format!("{}: {}", left.object, left.why)).collect();
            self.journal.tell(record::cluster_left(name, &texts));
            if is_former {
                self.partings.left_behind.extend(leftover(name, &objects, &shown));
            } else {
                self.managed.insert(name.to_owned(), objects);
            }
        }
        self.dirty = true;
    }

    /// The clusters on their way out, and what the store lists there yet.
    pub(super) fn on_their_way_out(&self) -> impl Iterator<Item = Left> {
        let objects = |name: &String| self.managed.get(name).into_iter().flat_map(BTreeMap::keys);
        self.partings.running.iter().flat_map(move |(name, parting)| {
            objects(name).map(|object| Left { is_final: false, ..left(name, object, Some(&parting.view)) })
        })
    }

    /// What of ours is in clusters that are not in the configuration any more, a sentence for each cluster.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let stored: BTreeSet<&String> = self.managed.keys().chain(self.published.keys()).collect();
        let stored = stored.into_iter().filter_map(|name| self.leftover_of(name));
        stored.chain(self.partings.left_behind.iter().cloned()).collect()
    }

    /// The same of one cluster; none of one that has a task.
    pub(super) fn leftover_of(&self, name: &str) -> Option<String> {
        if self.clusters_to_run().any(|cluster| cluster.name == name) {
            return None;
        }
        let (no_objects, none_shown) = (BTreeMap::new(), BTreeMap::new());
        let objects = self.managed.get(name).unwrap_or(&no_objects);
        leftover(name, objects, self.published.get(name).unwrap_or(&none_shown))
    }

    /// The same of the first cluster in which this object is left.
    pub(super) fn leftover_with(&self, object: &ObjectRef) -> Option<String> {
        let has = |(name, objects): (&String, &BTreeMap<_, _>)| {
            if objects.contains_key(object) { self.leftover_of(name) } else { None }
        };
        self.managed.iter().find_map(has)
    }
}

/// What is left in a cluster: entries on objects, and objects of kind DynamicPrefix.
fn leftover(
    name: &str,
    objects: &BTreeMap<ObjectRef, Managed>,
    published: &BTreeMap<String, String>,
) -> Option<String> {
    let entries = (!objects.is_empty()).then(|| format!("entries of ours are left on {}", by_name(objects)));
    let shown: Vec<String> = published.keys().map(|shown| format!("DynamicPrefix/{shown}")).collect();
    let shown = (!shown.is_empty()).then(|| format!("{} of ours was not deleted", list(&shown)));
    let left: Vec<String> = entries.into_iter().chain(shown).collect();
    (!left.is_empty()).then(|| {
        format!(
            "the cluster {name} is not in the configuration any more, and {}; put its [[cluster]] back, reload if \
             the daemon runs, and run `dyn-prefix withdraw --cluster NAME`",
            left.join(", and ")
        )
    })
}

/// Whether two entries lead to a cluster by the same kubeconfig.
pub(super) fn is_same_way(one: &Cluster, other: &Cluster) -> bool {
    one.kubeconfig == other.kubeconfig && one.context == other.context
}
