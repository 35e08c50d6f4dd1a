//! The one owner of what the daemon knows: arbiters, reports, targets, conditions.
//!
//! Pure: reports, updates and time go in; what every cluster should hold, what the store should keep, the status and
//! the lines for the journal come out. The loop in [`super`] does the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::arbiter::{Arbiter, Restored, Snapshot};
use crate::cluster::{ConnectionState, Health, Managed, TargetReport, Told, Update, Wanted};
use crate::config::{Binding, Config, DynamicPrefix, ObjectRef, Service};
use crate::log::Entry;
use crate::log::record;
use crate::plan::Catalogue;
use crate::source::dhcpv6::Duid;
use crate::source::{self, SourceId, SourceKind, SourceReport, SourceState};
use crate::time::{Epoch, Instant};

use super::clients::{self, Clients};
use super::condition::{self, Conditions};
use super::parting::Partings;
use super::twins::{self, Denied};

mod journal;
mod memory;

use journal::Journal;
pub use memory::Memory;

/// Who the daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// In `dynamic-prefix.io/managed-by`.
    pub daemon_id: String,
    /// To DHCPv6 servers, unless the configuration says otherwise.
    pub duid: Duid,
    /// The boot of the machine in which it runs.
    pub boot_id: Option<String>,
}

/// One cluster, as its task reports it.
#[derive(Debug, Default)]
pub(crate) struct ClusterView {
    pub(crate) health: Option<Health>,
    pub(crate) targets: BTreeMap<ObjectRef, Box<TargetReport>>,
    /// Objects that were ours and are another daemon's: its id.
    pub(super) given_up: BTreeMap<ObjectRef, String>,
    /// The objects of kind DynamicPrefix that cannot be deleted: why, a sentence each.
    pub(super) stuck: BTreeMap<String, String>,
}

impl ClusterView {
    pub(super) fn is_connected(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.state == ConnectionState::Connected)
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Coordinator {
    pub(crate) config: Arc<Config>,
    pub(crate) identity: Identity,
    pub(crate) started_at: Instant,
    pub(crate) applied_at: Instant,
    pub(crate) reload_errors: Vec<String>,
    pub(crate) listen_error: Option<String>,
    /// The hooks and files of this host that fail.
    pub(crate) failing: Vec<String>,
    pub(crate) arbiters: BTreeMap<String, Arbiter>,
    pub(crate) reports: BTreeMap<SourceId, SourceReport>,
    pub(crate) clusters: BTreeMap<String, ClusterView>,
    pub(super) clients: Clients,
    pub(crate) conditions: Conditions,
    pub(crate) catalogue: Arc<Catalogue>,
    /// What the catalogue was computed from.
    computed_from: (Arc<Config>, BTreeMap<String, Snapshot>),
    /// What the store keeps of each cluster's objects, also of clusters that are not in the configuration now.
    pub(super) managed: BTreeMap<String, BTreeMap<ObjectRef, Managed>>,
    /// What a person told us, per cluster.
    pub(super) told: BTreeMap<String, Arc<Told>>,
    /// The clusters on their way out.
    pub(super) partings: Partings,
    /// The same of objects of kind DynamicPrefix: their uids by name.
    pub(super) published: BTreeMap<String, BTreeMap<String, String>>,
    denied: BTreeMap<String, Denied>,
    bindings: BTreeMap<String, Arc<Vec<Binding>>>,
    services: BTreeMap<String, Arc<Vec<Service>>>,
    pub(super) journal: Journal,
    pub(super) dirty: bool,
}

impl Coordinator {
    /// Starts from a configuration and what a former run knew.
    pub fn new(config: Arc<Config>, identity: Identity, memory: Memory, now: Instant) -> Self {
        let by_object =
            |objects: Vec<Managed>| objects.into_iter().map(|managed| (managed.object.clone(), managed)).collect();
        let managed = memory.managed.into_iter().map(|(cluster, objects)| (cluster, by_object(objects))).collect();
        let told = |(cluster, paused)| (cluster, Arc::new(Told { paused, ..Told::default() }));
        let mut coordinator = Self {
            config: Arc::default(),
            clients: Clients::new(identity.duid.clone(), memory.clients),
            identity,
            started_at: now,
            applied_at: now,
            reload_errors: Vec::new(),
            listen_error: None,
            failing: Vec::new(),
            arbiters: BTreeMap::new(),
            reports: BTreeMap::new(),
            clusters: BTreeMap::new(),
            conditions: Conditions::default(),
            catalogue: Arc::default(),
            computed_from: (Arc::default(), BTreeMap::new()),
            managed,
            told: memory.paused.into_iter().map(told).collect(),
            partings: Partings::default(),
            published: memory.published,
            denied: BTreeMap::new(),
            bindings: BTreeMap::new(),
            services: BTreeMap::new(),
            journal: Journal::default(),
            dirty: false,
        };
        coordinator.apply(config, memory.prefixes, now);
        coordinator
    }

    /// Takes a new configuration into use.
    pub fn reconfigure(&mut self, config: Arc<Config>, now: Instant) {
        self.applied_at = now;
        self.reload_errors.clear();
        self.apply(config, BTreeMap::new(), now);
    }

    /// Notes that a new configuration was refused.
    pub fn refuse_reload(&mut self, findings: Vec<String>) {
        self.reload_errors = findings;
    }

    /// Notes why `daemon.listen` cannot be listened on, or that it can.
    pub fn note_listening(&mut self, error: Option<&str>) {
        self.listen_error = error.map(ToOwned::to_owned);
    }

    /// Notes which hooks and files of this host fail.
    pub fn note_failing(&mut self, failing: Vec<String>) {
        self.failing = failing;
    }

    pub(super) fn apply(&mut self, config: Arc<Config>, mut restored: BTreeMap<String, Restored>, now: Instant) {
        self.arbiters.retain(|name, _| config.dynamic_prefixes.iter().any(|prefix| prefix.name == *name));
        self.part(&config, now);
        self.clusters.retain(|name, _| config.clusters.iter().any(|cluster| cluster.name == *name));
        for prefix in &config.dynamic_prefixes {
            match self.arbiters.get_mut(&prefix.name) {
                Some(arbiter) => arbiter.reconfigure(prefix.clone(), now),
                None => {
                    let arbiter = Arbiter::new(prefix.clone(), restored.remove(&prefix.name), now);
                    self.arbiters.insert(prefix.name.clone(), arbiter);
                }
            }
        }
        self.bindings = by_cluster(&config, &config.bindings, |binding| &binding.cluster);
        self.services = by_cluster(&config, &config.services, |service| &service.cluster);
        for cluster in &config.clusters {
            self.clusters.entry(cluster.name.clone()).or_default();
        }
        self.config = config;
        self.told.retain(|name, _| self.clusters.contains_key(name));
        let sources: Vec<SourceId> = self.sources();
        self.reports.retain(|id, _| sources.contains(id));
        self.clients.retain(&self.config.dynamic_prefixes);
        self.find_twins();
        self.feed_again(now);
        self.dirty = true;
        self.settle_partings(now);
        self.settle(now);
    }

    /// Gives every arbiter what is known of its sources: a new one has heard nothing yet.
    fn feed_again(&mut self, now: Instant) {
        for prefix in &self.config.dynamic_prefixes {
            let Some(arbiter) = self.arbiters.get_mut(&prefix.name) else { continue };
            // A source that listens is shared; a prefix written in the file is this DynamicPrefix's own.
            for id in prefix.sources().into_iter().filter(|id| id.kind != SourceKind::Static) {
                if let Some(report) = self.reports.get(&id) {
                    arbiter.handle_report(report, now);
                }
            }
            if let Some(fixed) = prefix.acquisition.fixed {
                let report = source::fixed(fixed, now);
                arbiter.handle_report(&report, now);
                self.reports.insert(report.id.clone(), report);
            }
        }
    }

    /// Every source that the configuration names, by rank.
    pub fn sources(&self) -> Vec<SourceId> {
        let mut sources: Vec<SourceId> = self.config.dynamic_prefixes.iter().flat_map(DynamicPrefix::sources).collect();
        sources.sort();
        sources.dedup();
        sources
    }

    /// The interfaces to hear Router Advertisements on: those that a DynamicPrefix names, and those with a DHCPv6 client,
    /// to which the routers are witnesses.
    pub fn ra_interfaces(&self) -> BTreeSet<String> {
        let hears = [SourceKind::RouterAdvertisement, SourceKind::Dhcpv6Pd];
        let listens = |id: SourceId| id.interface.filter(|_| hears.contains(&id.kind));
        self.sources().into_iter().filter_map(listens).collect()
    }

    /// The configuration in use, to keep.
    pub fn shared_config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

    /// The configuration in use.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether every source has said what it is doing.
    pub fn every_source_has_reported(&self) -> bool {
        self.sources().iter().all(|source| self.reports.contains_key(source))
    }

    /// A source has spoken.
    pub fn handle_report(&mut self, report: SourceReport, now: Instant) {
        let interface = report.id.interface.as_deref();
        if clients::interfaces(&self.config.dynamic_prefixes).any(|with_client| Some(with_client) == interface) {
            self.dirty |= self.clients.hear(&report, now);
        }
        let mut known = false;
        for prefix in &self.config.dynamic_prefixes {
            if prefix.sources().contains(&report.id)
                && let Some(arbiter) = self.arbiters.get_mut(&prefix.name)
            {
                arbiter.handle_report(&report, now);
                known = true;
            }
        }
        if known {
            let former = self.reports.get(&report.id);
            if report.id.kind == SourceKind::Observed && former.is_some_and(|former| former.offers != report.offers) {
                self.clients.note_renewal(now);
            }
            let is_said = |entry: &Entry| {
                record::is_of_link(entry, &report) && self.reports.values().any(|other| is_beside(other, &report))
            };
            if let Some(entry) = record::source(former, &report, now).filter(|entry| !is_said(entry)) {
                self.journal.tell(entry);
            }
            self.reports.insert(report.id.clone(), report);
        }
        self.settle(now);
    }

    /// The machine was suspended, and all tasks begin anew. The clusters will report every target again. What the
    /// sources said is old: a lifetime that ran out meanwhile may have been renewed unheard, so until they have asked
    /// again it is no reason to withdraw anything, nor to turn to a source of lower rank.
    pub fn handle_resume(&mut self, now: Instant) {
        self.clusters.values_mut().for_each(|view| view.targets.clear());
        for report in self.reports.values_mut().filter(|report| report.id.kind != SourceKind::Static) {
            report.state = SourceState::Soliciting;
        }
        self.ask_clients_again();
        self.feed_again(now);
        self.settle(now);
    }

    /// A cluster has something new to tell.
    pub fn handle_update(&mut self, cluster: &str, update: Update, now: Instant) {
        if self.hear_parting(cluster, &update) {
            return self.settle_partings(now);
        }
        let Some(view) = self.clusters.get_mut(cluster) else { return };
        if let Some(health) = update.health {
            view.health = Some(health);
        }
        view.given_up.extend(update.given_up);
        view.stuck = update.stuck.unwrap_or_else(|| std::mem::take(&mut view.stuck));
        if let Some(published) = update.published {
            self.published.insert(cluster.to_owned(), published);
            self.dirty = true;
        }
        let managed = self.managed.entry(cluster.to_owned()).or_default();
        let mut has_new = false;
        for object in update.removed {
            has_new |= view.targets.remove(&object).is_some();
            self.dirty |= managed.remove(&object).is_some();
        }
        for mut target in update.targets {
            // It is kept once.
            self.dirty |= managed.get(&target.object) != target.managed.as_ref();
            match target.managed.take() {
                Some(new) => {
                    view.given_up.remove(&target.object);
                    managed.insert(target.object.clone(), new);
                }
                None => drop(managed.remove(&target.object)),
            }
            has_new |= view.targets.get(&target.object).is_none_or(|former| former.uid != target.uid);
            view.targets.insert(target.object.clone(), Box::new(target));
        }
        if has_new {
            self.find_twins();
        }
        self.settle_taken(cluster);
        self.settle_partings(now);
        self.settle(now);
    }

    /// Only what changed is replaced, so that [`Coordinator::wanted`] stays cheap to compare.
    fn find_twins(&mut self) {
        let names = self.config.clusters.iter().map(|cluster| cluster.name.as_str());
        let targets = |name| Some((name, self.clusters.get(name)?.targets.values().map(Box::as_ref)));
        let denied = twins::denied(names.filter_map(targets));
        if denied != self.denied {
            self.denied = denied;
        }
    }

    /// Does what is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        for arbiter in self.arbiters.values_mut() {
            arbiter.handle_timeout(now);
        }
        self.dirty |= self.clients.save_is_due(now);
        self.settle_partings(now);
        self.settle(now);
    }

    /// When [`Coordinator::handle_timeout`] is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let arbiters = self.arbiters.values().filter_map(Arbiter::poll_timeout);
        arbiters.chain(self.clients.poll_timeout()).chain(self.partings.poll_timeout()).min()
    }

    /// Collects what the arbiters decided and computes everything that follows from it.
    pub(super) fn settle(&mut self, now: Instant) {
        for (name, arbiter) in &mut self.arbiters {
            while let Some(transition) = arbiter.poll_transition() {
                self.journal.tell_transition(name, transition);
                self.dirty = true;
            }
            self.conditions.set(name, "PrefixAcquired", condition::prefix_acquired(arbiter.snapshot(), now), now);
        }
        self.conditions.retain(|name| self.arbiters.contains_key(name));
        self.judge_consistency(now);
        let snapshots = self.snapshots();
        // Most inputs change neither, and with a thousand ranges computing them all takes milliseconds.
        if Arc::ptr_eq(&self.computed_from.0, &self.config) && self.computed_from.1 == snapshots {
            return;
        }
        // There is no transition for a former prefix that dies after its drain, and its stored lifetime may be longer.
        self.dirty |=
            !self.computed_from.1.values().flat_map(Snapshot::dead).eq(snapshots.values().flat_map(Snapshot::dead));
        let catalogue = Catalogue::compute(&self.config.dynamic_prefixes, &snapshots);
        if catalogue != *self.catalogue {
            self.catalogue = Arc::new(catalogue);
        }
        self.computed_from = (Arc::clone(&self.config), snapshots);
    }

    /// The prefixes of every DynamicPrefix that has an opinion.
    pub(crate) fn snapshots(&self) -> BTreeMap<String, Snapshot> {
        let known = |(name, arbiter): (&String, &Arbiter)| Some((name.clone(), arbiter.snapshot()?.clone()));
        self.arbiters.iter().filter_map(known).collect()
    }

    /// The next line for the journal.
    pub fn poll_entry(&mut self, epoch: &Epoch) -> Option<Entry> {
        self.journal.poll_entry(epoch)
    }

    /// How often each DynamicPrefix saw which transition.
    pub fn transitions(&self) -> &BTreeMap<(String, &'static str), u64> {
        self.journal.transitions()
    }

    /// The whole wanted state of one cluster. Cheap: its parts are shared.
    pub fn wanted(&self, cluster: &str) -> Wanted {
        if let Some(nothing) = self.wanted_of_parting(cluster) {
            return nothing;
        }
        Wanted {
            daemon_id: self.identity.daemon_id.clone(),
            catalogue: Arc::clone(&self.catalogue),
            bindings: self.bindings.get(cluster).map(Arc::clone).unwrap_or_default(),
            services: self.services.get(cluster).map(Arc::clone).unwrap_or_default(),
            denied: self.denied.get(cluster).map(Arc::clone).unwrap_or_default(),
            told: self.told.get(cluster).map(Arc::clone).unwrap_or_default(),
        }
    }

    /// Whether something changed since the last call that the store should keep. Renewed lifetimes do not count.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }
}

/// What belongs to each cluster, in file order.
fn by_cluster<T: Clone>(config: &Config, all: &[T], cluster: fn(&T) -> &str) -> BTreeMap<String, Arc<Vec<T>>> {
    let of = |name: &str| Arc::new(all.iter().filter(|each| cluster(each) == name).cloned().collect());
    config.clusters.iter().map(|cluster| (cluster.name.clone(), of(&cluster.name))).collect()
}

/// Whether it is another source of the same interface, in the same state.
fn is_beside(other: &SourceReport, report: &SourceReport) -> bool {
    other.id != report.id && other.id.interface == report.id.interface && other.state == report.state
}

#[cfg(test)]
mod tests;
