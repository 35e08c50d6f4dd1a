//! The pure decider of one cluster: what its objects hold, what they should hold, and which patch to send next.
//!
//! Feed it what the driver hears (`handle_*`), then drain what it says (`poll_*`); spurious calls are harmless. It
//! hands out one patch per object and change, and none while an answer is awaited. All it keeps is one `Slot` per
//! object; after every input the slots concerned are decided about anew (`decide`), from scratch: there is no progress
//! to lose, so a crash, a missed event or a manual edit all end in the same place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::object::{Object, Served};
use super::schema::Schema;
use super::{Managed, Update, Wanted};
use crate::config::{self, Discovery, Kind, ObjectRef};
use crate::plan::service::Bound;
use crate::prefix::Interval;
use crate::time::Instant;

mod answer;
mod aside;
mod books;
mod carrier;
pub(crate) mod contest;
mod decide;
mod evaluate;
mod event;
mod leaving;
mod memory;
mod narrow;
mod report;
mod retry;
mod slot;
mod spread;
mod verdict;
mod wants;

pub use event::{Event, IN_DNS, Release, WatchState, Write, WriteError};

use books::Books;
use leaving::Leaving;
use memory::Memory;
use narrow::Narrowing;
use retry::{Failure, Until};
use slot::Slot;

/// How long nothing is sent after a patch that got no answer, unless the driver says that there is a new connection.
/// Short, because it may as well have been an admission webhook that is slow for that one object.
const PAUSE: Duration = Duration::from_secs(5);

/// The decider of one cluster.
#[derive(Debug)]
pub struct Island {
    discovery: Discovery,
    dry_run: bool,
    external_dns: Vec<String>,
    wanted: Option<Wanted>,
    /// The prefixes of all known generations of all DynamicPrefixes.
    prefixes: Vec<Interval>,
    served: Option<Served>,
    watches: BTreeMap<Kind, WatchState>,
    /// What is known of Cilium's version.
    schema: Schema,
    /// Kinds whose objects are all known.
    listed: BTreeSet<Kind>,
    /// Boxed, because the nodes of a map that grows in order stay half empty.
    slots: BTreeMap<ObjectRef, Box<Slot>>,
    /// What they are to each other.
    books: Books,
    narrowing: Narrowing,
    leaving: Leaving,
    /// What is bound to pools.
    bound: Vec<Bound>,
    /// Objects to decide about, within one input.
    dirty: BTreeSet<ObjectRef>,
    /// The Services that would step aside if an address were free.
    cornered: BTreeSet<ObjectRef>,
    queue: VecDeque<ObjectRef>,
    /// Services wait for the others: their addresses have to be offered before they can ask for them.
    queue_of_services: VecDeque<ObjectRef>,
    wakes: BTreeSet<(Instant, ObjectRef)>,
    /// Objects whose report may have changed.
    touched: BTreeSet<ObjectRef>,
    removed: Vec<ObjectRef>,
    given_up: Vec<(ObjectRef, String)>,
    events: VecDeque<Event>,
    paused_until: Option<Instant>,
    /// The configuration has changed: everything is to be decided about anew.
    reconfigured: bool,
    seed: u64,
    /// How often an object was decided about.
    #[cfg(test)]
    evaluations: BTreeMap<Kind, usize>,
}

impl Island {
    /// An island that has seen nothing yet. `managed`: what the store knows of this cluster; `seed`: for the jitter of
    /// the back-off.
    pub fn new(cluster: &config::Cluster, managed: Vec<Managed>, seed: u64) -> Self {
        let remember = |managed: Managed| {
            let memory = Some(Memory::from_managed(&managed));
            // The store knows it, so its end has to be reported even if nothing else ever was.
            (managed.object, Box::new(Slot { memory, reported: Some(0), ..Slot::default() }))
        };
        Self {
            discovery: cluster.discovery,
            dry_run: cluster.dry_run,
            external_dns: cluster.external_dns.clone(),
            wanted: None,
            prefixes: Vec::new(),
            served: None,
            watches: BTreeMap::new(),
            schema: Schema::default(),
            listed: BTreeSet::new(),
            slots: managed.into_iter().map(remember).collect(),
            books: Books::default(),
            narrowing: Narrowing::new(false, None, &Schema::default()),
            leaving: Leaving::default(),
            bound: Vec::new(),
            dirty: BTreeSet::new(),
            cornered: BTreeSet::new(),
            queue: VecDeque::new(),
            queue_of_services: VecDeque::new(),
            wakes: BTreeSet::new(),
            touched: BTreeSet::new(),
            removed: Vec::new(),
            given_up: Vec::new(),
            events: VecDeque::new(),
            paused_until: None,
            reconfigured: false,
            seed,
            #[cfg(test)]
            evaluations: BTreeMap::new(),
        }
    }

    /// Takes over another `[[cluster]]` entry for the same cluster; it acts at the next [`Island::handle_timeout`].
    pub fn reconfigure(&mut self, cluster: &config::Cluster) {
        self.discovery = cluster.discovery;
        self.dry_run = cluster.dry_run;
        self.external_dns.clone_from(&cluster.external_dns);
        self.reconfigured = true;
    }

    /// The whole wanted state.
    pub fn handle_wanted(&mut self, wanted: Wanted, now: Instant) {
        let generations = wanted.catalogue.dynamic_prefixes.values().flat_map(|computed| computed.generations.iter());
        self.prefixes = generations.map(|generation| Interval::from(generation.prefix)).collect();
        for binding in wanted.bindings.iter() {
            self.slots.entry(binding.target.clone()).or_default();
        }
        for service in wanted.services.iter() {
            self.slots.entry(service.target.clone()).or_default();
        }
        let former = self.wanted.replace(wanted);
        self.try_what_is_asked(former);
        self.decide_all(now);
    }

    /// Which kinds the API server serves, and in which version.
    pub fn handle_served(&mut self, served: &Served, now: Instant) {
        if self.served.as_ref() != Some(served) {
            self.served = Some(served.clone());
            self.evaluate_where(|_, _| true, now);
        }
    }

    /// The watch of a kind has changed its state.
    pub fn handle_watch(&mut self, kind: Kind, state: WatchState, now: Instant) {
        if matches!(state, WatchState::NotServed | WatchState::Forbidden(_)) {
            self.listed.remove(&kind);
        }
        self.watches.insert(kind, state);
        let is_new = self.read_narrowing();
        self.evaluate_where(|reference, _| reference.kind == kind || is_new && reference.kind.is_pool(), now);
    }

    /// What the definition of Cilium's pools tells. A version that was read once holds until another one is: that we may
    /// not ask any more makes Cilium no older.
    pub fn handle_cilium_schema(&mut self, schema: Schema, now: Instant) {
        let tells_nothing = matches!(schema, Schema::Forbidden(_) | Schema::Unreadable(_));
        if self.schema == schema || tells_nothing && matches!(self.schema, Schema::Version(_)) {
            return;
        }
        self.schema = schema;
        self.read_narrowing();
        self.evaluate_where(|reference, _| reference.kind == Kind::CiliumLoadBalancerIPPool, now);
    }

    /// All objects of a kind, or, with `scope`, that one object: whatever is not in `objects` is gone.
    pub fn handle_list(&mut self, kind: Kind, scope: Option<&ObjectRef>, objects: Vec<Object>, now: Instant) {
        let there: BTreeSet<_> = objects.iter().map(|object| object.reference.clone()).collect();
        match scope {
            Some(reference) => {
                let slot = self.slots.entry(reference.clone()).or_default();
                slot.listed = true;
                slot.unreadable = false;
            }
            None => drop(self.listed.insert(kind)),
        }
        let in_scope = |reference: &ObjectRef| scope.map_or(reference.kind == kind, |scope| reference == scope);
        let gone = self.slots.keys().filter(|reference| in_scope(reference) && !there.contains(*reference));
        let gone: Vec<ObjectRef> = gone.cloned().collect();
        gone.iter().for_each(|reference| self.forget(reference, now));
        for object in objects {
            self.see(object, now);
        }
        self.read_narrowing();
        self.find_bound();
        self.want_where(|reference, _| in_scope(reference) || reference.kind == Kind::Service && kind.is_pool());
        let overlaps = self.compare_targets();
        self.find_leaving();
        // What pools should hold depends on where the Services are, and which of these are ours on what pools hold.
        let is_near =
            |other: Kind| kind.is_pool() && other == Kind::Service || kind == Kind::Service && other.is_pool();
        let concerns = |reference: &ObjectRef| in_scope(reference) || is_near(reference.kind);
        self.evaluate_where(|reference, _| concerns(reference) || overlaps.contains(reference), now);
    }

    /// The object must not be watched by its name either.
    pub fn handle_unreadable(&mut self, reference: &ObjectRef, now: Instant) {
        self.slots.entry(reference.clone()).or_default().unreadable = true;
        self.changed(reference, now);
    }

    /// An object that is new or has changed.
    pub fn handle_object(&mut self, object: Object, now: Instant) {
        let reference = object.reference.clone();
        if self.slots.get(&reference).is_some_and(|slot| slot.has_newer(&object)) {
            return;
        }
        let is_news = !self.slots.get(&reference).is_some_and(|slot| slot.learns_nothing(&object, now));
        self.see(object, now);
        if is_news {
            self.changed(&reference, now);
        }
    }

    /// An object that is gone.
    pub fn handle_deleted(&mut self, reference: &ObjectRef, now: Instant) {
        if !self.slots.contains_key(reference) {
            return;
        }
        self.forget(reference, now);
        self.changed(reference, now);
    }

    /// The answer to a patch; `Ok` carries the object as the API server returned it.
    pub fn handle_written(&mut self, reference: &ObjectRef, result: Result<Object, WriteError>, now: Instant) {
        let jitter = self.draw();
        let Some(slot) = self.slots.get_mut(reference) else { return };
        let Some(flight) = slot.flight.take() else { return };
        match result {
            Ok(object) if flight.patch.is_look() => return self.has_looked(reference, Some(object), now),
            Err(WriteError::NotFound | WriteError::Forbidden(_)) if flight.patch.is_look() => {
                return self.has_looked(reference, None, now);
            }
            Ok(object) => {
                let left = flight.patch.left();
                let why = wants::why_released(self.wanted.as_ref(), reference);
                let (event, contested) = slot.accepted(reference, *flight, object, why, now);
                self.notice(reference, now);
                self.events.push_back(event);
                self.tell_if(contested, reference);
                self.hand_over(reference, &left, now);
            }
            Err(error) => {
                slot.refused(reference, *flight, error, jitter, now);
                if slot.failure.as_ref().is_some_and(|failure| failure.is_of_connection()) {
                    self.paused_until = Some(now + PAUSE);
                }
            }
        }
        self.has_landed(reference);
        self.changed(reference, now);
    }

    /// There is a new connection (or other credentials): nothing that failed need wait any more.
    pub fn handle_connected(&mut self, now: Instant) {
        self.paused_until = None;
        self.end_waits(now);
        self.evaluate_where(|_, slot| slot.failure.is_some(), now);
    }

    /// Time has passed; harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if std::mem::take(&mut self.reconfigured) {
            // Whoever reloads has mended something, perhaps outside the file.
            self.end_waits(now);
            self.decide_all(now);
        }
        self.paused_until = self.paused_until.filter(|until| *until > now);
        while let Some((_, reference)) = self.wakes.first().filter(|(at, _)| *at <= now).cloned() {
            self.wakes.pop_first();
            self.dirty.insert(reference);
        }
        self.settle_all(now);
    }

    /// The next patch to send; its answer goes to [`Island::handle_written`]. Never two for one object.
    #[must_use]
    pub fn poll_write(&mut self, now: Instant) -> Option<Write> {
        // What was decided before the configuration changed may not be meant any more (`dryRun`).
        if self.reconfigured || self.paused_until.is_some_and(|until| until > now) {
            return None;
        }
        while let Some(reference) = self.queue.pop_front().or_else(|| self.queue_of_services.pop_front()) {
            let Some(slot) = self.slots.get_mut(&reference) else { continue };
            slot.queued = false;
            let version = self.served.as_ref().and_then(|served| served.get(&reference.kind));
            let Some(version) = version.cloned() else { continue };
            if let Some(patch) = slot.take_off(&version) {
                self.is_under_way(&reference, now);
                return Some(Write { object: reference, version, patch });
            }
        }
        None
    }

    /// When [`Island::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.reconfigured {
            return Some(Instant::BOOT);
        }
        let wake = self.wakes.first().map(|(at, _)| *at);
        let resume = self.paused_until.filter(|_| !self.queue.is_empty() || !self.queue_of_services.is_empty());
        wake.into_iter().chain(resume).min()
    }

    /// The next thing the log should tell.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What changed in status since the last call.
    #[must_use]
    pub fn poll_update(&mut self) -> Option<Update> {
        let (removed, given_up) = (std::mem::take(&mut self.removed), std::mem::take(&mut self.given_up));
        let mut update = Update { removed, given_up, ..Update::default() };
        // Gone and back between two calls: only how it ended counts.
        update.removed.retain(|reference| !self.slots.get(reference).is_some_and(|slot| slot.is_target()));
        for reference in std::mem::take(&mut self.touched) {
            let Some(slot) = self.slots.get_mut(&reference).filter(|slot| slot.is_target()) else { continue };
            let report = report::report(&reference, slot);
            let fingerprint = report::fingerprint(&report);
            if slot.reported.replace(fingerprint) != Some(fingerprint) {
                update.targets.push(report);
            }
        }
        (update != Update::default()).then_some(update)
    }

    /// The kinds to watch: all with discovery, else those of bindings and of objects that we manage, and Services
    /// beside pools, for the addresses in use.
    pub fn kinds(&self) -> BTreeSet<Kind> {
        if self.discovery != Discovery::Off {
            return Kind::ALL.into_iter().collect();
        }
        let bound = self.wanted.iter().flat_map(|wanted| wanted.bindings.iter()).map(|binding| &binding.target);
        let services = self.wanted.iter().flat_map(|wanted| wanted.services.iter()).map(|service| &service.target);
        let managed = self.slots.iter().filter(|(_, slot)| slot.memory.is_some()).map(|(reference, _)| reference);
        let mut kinds: BTreeSet<Kind> = bound.chain(services).chain(managed).map(|reference| reference.kind).collect();
        if kinds.iter().any(|kind| kind.is_pool()) {
            kinds.insert(Kind::Service);
        }
        kinds
    }

    /// Whether objects of a kind count that nobody has named: those with an annotation, and Services, whose addresses are
    /// in use.
    pub fn looks_for(&self, kind: Kind) -> bool {
        self.discovery != Discovery::Off || kind == Kind::Service
    }

    /// Whether an object of this kind is a target.
    pub fn has_target(&self, kind: Kind) -> bool {
        self.slots.iter().any(|(reference, slot)| reference.kind == kind && slot.is_target())
    }

    /// The objects of a kind to watch by name, when the kind as a whole must not be watched.
    pub fn named(&self, kind: Kind) -> Vec<ObjectRef> {
        let ours = self.slots.iter().filter(|(reference, slot)| reference.kind == kind && slot.is_target());
        ours.map(|(reference, _)| reference.clone()).collect()
    }

    /// A number for the jitter of a back-off (SplitMix64).
    fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests;
