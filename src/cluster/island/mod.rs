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
use crate::plan;
use crate::prefix::Interval;
use crate::time::Instant;

mod contest;
mod decide;
mod evaluate;
mod event;
mod report;
mod retry;
mod slot;

pub use event::{Event, IN_DNS, WatchState, Write, WriteError};

use retry::{Failure, Until};
use slot::{Memory, Slot};

/// How long nothing is sent after a patch that got no answer, unless the driver says that there is a new connection.
/// Short, because it may as well have been an admission webhook that is slow for that one object.
const PAUSE: Duration = Duration::from_secs(5);

/// The decider of one cluster.
#[derive(Debug)]
pub struct Island {
    discovery: Discovery,
    dry_run: bool,
    wanted: Option<Wanted>,
    /// The prefixes of all known generations of all DynamicPrefixes.
    prefixes: Vec<Interval>,
    served: Option<Served>,
    watches: BTreeMap<Kind, WatchState>,
    /// What is known of Cilium's version.
    schema: Schema,
    /// Kinds whose objects are all known.
    listed: BTreeSet<Kind>,
    slots: BTreeMap<ObjectRef, Slot>,
    queue: VecDeque<ObjectRef>,
    wakes: BTreeSet<(Instant, ObjectRef)>,
    /// Objects whose report may have changed.
    touched: BTreeSet<ObjectRef>,
    removed: Vec<ObjectRef>,
    events: VecDeque<Event>,
    paused_until: Option<Instant>,
    /// The configuration has changed: everything is to be decided about anew.
    reconfigured: bool,
    seed: u64,
}

impl Island {
    /// An island that has seen nothing yet. `managed`: what the store knows of this cluster; `seed`: for the jitter of
    /// the back-off.
    pub fn new(cluster: &config::Cluster, managed: Vec<Managed>, seed: u64) -> Self {
        let remember = |managed: Managed| {
            let memory = Some(Memory::from_managed(&managed));
            // The store knows it, so its end has to be reported even if nothing else ever was.
            (managed.object, Slot { memory, reported: Some(0), ..Slot::default() })
        };
        Self {
            discovery: cluster.discovery,
            dry_run: cluster.dry_run,
            wanted: None,
            prefixes: Vec::new(),
            served: None,
            watches: BTreeMap::new(),
            schema: Schema::default(),
            listed: BTreeSet::new(),
            slots: managed.into_iter().map(remember).collect(),
            queue: VecDeque::new(),
            wakes: BTreeSet::new(),
            touched: BTreeSet::new(),
            removed: Vec::new(),
            events: VecDeque::new(),
            paused_until: None,
            reconfigured: false,
            seed,
        }
    }

    /// Takes over another `[[cluster]]` entry for the same cluster; it acts at the next [`Island::handle_timeout`].
    pub fn reconfigure(&mut self, cluster: &config::Cluster) {
        self.discovery = cluster.discovery;
        self.dry_run = cluster.dry_run;
        self.reconfigured = true;
    }

    /// The whole wanted state.
    pub fn handle_wanted(&mut self, wanted: Wanted, now: Instant) {
        let generations = wanted.catalogue.dynamic_prefixes.values().flat_map(|computed| computed.generations.iter());
        self.prefixes = generations.map(|generation| Interval::from(generation.prefix)).collect();
        for binding in wanted.bindings.iter() {
            self.slots.entry(binding.target.clone()).or_default();
        }
        self.wanted = Some(wanted);
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
        self.evaluate_where(|reference, _| reference.kind == kind, now);
    }

    /// What the definition of Cilium's pools tells. A version that was read once holds until another one is: that we may
    /// not ask any more makes Cilium no older.
    pub fn handle_cilium_schema(&mut self, schema: Schema, now: Instant) {
        let is_forbidden = matches!(schema, Schema::Forbidden(_));
        if self.schema == schema || is_forbidden && matches!(self.schema, Schema::Version(_)) {
            return;
        }
        self.schema = schema;
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
        let gone = self.slots.iter_mut().filter(|(reference, _)| in_scope(reference) && !there.contains(*reference));
        gone.for_each(|(_, slot)| slot.forget_object());
        for object in objects {
            self.see(object, now);
        }
        self.want_where(|reference, _| in_scope(reference));
        let overlaps = self.compare_targets();
        self.evaluate_where(|reference, _| in_scope(reference) || overlaps.contains(reference), now);
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
        self.see(object, now);
        self.changed(&reference, now);
    }

    /// An object that is gone.
    pub fn handle_deleted(&mut self, reference: &ObjectRef, now: Instant) {
        let Some(slot) = self.slots.get_mut(reference) else { return };
        slot.forget_object();
        self.changed(reference, now);
    }

    /// The answer to a patch; `Ok` carries the object as the API server returned it.
    pub fn handle_written(&mut self, reference: &ObjectRef, result: Result<Object, WriteError>, now: Instant) {
        let jitter = self.draw();
        let Some(slot) = self.slots.get_mut(reference) else { return };
        let Some(flight) = slot.flight.take() else { return };
        match result {
            Ok(object) => {
                let left = flight.patch.left();
                let (event, contested) = slot.accepted(reference, *flight, object, now);
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
        self.changed(reference, now);
    }

    /// There is a new connection (or other credentials): nothing that failed need wait any more.
    pub fn handle_connected(&mut self, now: Instant) {
        self.paused_until = None;
        self.end_waits(now);
        self.evaluate_where(|_, slot| slot.failure.is_some(), now);
    }

    /// What failed is tried again at once.
    fn end_waits(&mut self, now: Instant) {
        let failed = self.slots.values_mut().filter_map(|slot| slot.failure.as_mut());
        failed.for_each(|failure| failure.retry_at = now);
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
            self.evaluate(&reference, now);
        }
    }

    /// The next patch to send; its answer goes to [`Island::handle_written`]. Never two for one object.
    #[must_use]
    pub fn poll_write(&mut self, now: Instant) -> Option<Write> {
        // What was decided before the configuration changed may not be meant any more (`dryRun`).
        if self.reconfigured || self.paused_until.is_some_and(|until| until > now) {
            return None;
        }
        while let Some(reference) = self.queue.pop_front() {
            let Some(slot) = self.slots.get_mut(&reference) else { continue };
            slot.queued = false;
            let version = self.served.as_ref().and_then(|served| served.get(&reference.kind));
            if let Some((version, patch)) = version.and_then(|version| Some((version, slot.take_off(version)?))) {
                return Some(Write { object: reference, version: version.clone(), patch });
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
        let resume = self.paused_until.filter(|_| !self.queue.is_empty());
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
        let mut update = Update { removed: std::mem::take(&mut self.removed), ..Update::default() };
        // Gone and back between two calls: only how it ended counts.
        update.removed.retain(|reference| !self.slots.get(reference).is_some_and(Slot::is_target));
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

    /// Whether an object of this kind is a target.
    pub fn has_target(&self, kind: Kind) -> bool {
        self.slots.iter().any(|(reference, slot)| reference.kind == kind && slot.is_target())
    }

    /// The objects of a kind to watch by name, when the kind as a whole must not be watched.
    pub fn named(&self, kind: Kind) -> Vec<ObjectRef> {
        let ours = self.slots.iter().filter(|(reference, slot)| reference.kind == kind && slot.is_target());
        ours.map(|(reference, _)| reference.clone()).collect()
    }

    /// Takes in what the cluster shows of an object.
    fn see(&mut self, object: Object, now: Instant) {
        let reference = object.reference.clone();
        let contested = self.slots.entry(reference.clone()).or_default().see(object, now);
        self.tell_if(contested, &reference);
    }

    /// MetalLB refuses a pool with addresses that another one holds. When these have left `from`, whoever was refused
    /// them is tried again at once; that is how a range moves from one pool to another.
    fn hand_over(&mut self, from: &ObjectRef, left: &[Interval], now: Instant) {
        let mut refused = Vec::new();
        for (reference, slot) in self.slots.iter_mut().filter(|(reference, _)| reference.kind == Kind::IPAddressPool) {
            if from.kind == reference.kind && slot.wants_any(left) && slot.retry_what_was_refused(now) {
                refused.push(reference.clone());
            }
        }
        refused.iter().for_each(|reference| self.evaluate(reference, now));
    }

    /// Tells of a fight that has begun.
    fn tell_if(&mut self, contested: bool, reference: &ObjectRef) {
        let Some(slot) = self.slots.get(reference).filter(|_| contested) else { return };
        let (Some(object), Some(contest)) = (&slot.object, &slot.contest) else { return };
        let version = self.served.as_ref().and_then(|served| served.get(&reference.kind));
        let manager = contest.manager().map(str::to_owned);
        let hint = contest::hint(object, version.map_or("", String::as_str), manager.as_deref());
        self.events.push_back(Event::Contested { object: reference.clone(), manager, hint });
    }

    /// One object has changed: decides about it, and about those that it overlaps if it wants something else now.
    fn changed(&mut self, reference: &ObjectRef, now: Instant) {
        if self.want_where_one(reference) {
            let overlaps = self.compare_targets();
            overlaps.iter().for_each(|other| self.evaluate(other, now));
        }
        self.evaluate(reference, now);
    }

    fn decide_all(&mut self, now: Instant) {
        self.want_where(|_, _| true);
        self.compare_targets();
        self.evaluate_where(|_, _| true, now);
    }

    /// Computes what the objects in question should hold.
    fn want_where(&mut self, which: impl Fn(&ObjectRef, &Slot) -> bool) {
        let Some(wanted) = &self.wanted else { return };
        let discovery = self.discovery != Discovery::Off;
        for (reference, slot) in self.slots.iter_mut().filter(|(reference, slot)| which(reference, slot)) {
            slot.want = want(wanted, reference, slot, discovery);
        }
    }

    /// The same for one object; whether it wants something else than before.
    fn want_where_one(&mut self, reference: &ObjectRef) -> bool {
        let (Some(wanted), Some(slot)) = (&self.wanted, self.slots.get_mut(reference)) else { return false };
        let before = slot.want.take();
        slot.want = want(wanted, reference, slot, self.discovery != Discovery::Off);
        slot.want != before
    }

    /// Looks for targets that would overlap; returns those for which that changed.
    fn compare_targets(&mut self) -> Vec<ObjectRef> {
        let take = |(reference, slot): (&ObjectRef, &mut Slot)| Some((reference.clone(), slot.want.take()?));
        let wants: Vec<_> = self.slots.iter_mut().filter_map(take).collect();
        let mut found: BTreeMap<_, _> = plan::overlaps(&wants).into_iter().collect();
        for (reference, want) in wants {
            if let Some(slot) = self.slots.get_mut(&reference) {
                slot.want = Some(want);
            }
        }
        let mut changed = Vec::new();
        for (reference, slot) in &mut self.slots {
            let overlap = found.remove(reference).map(|finding| (finding.reason, finding.message));
            if slot.overlap != overlap {
                slot.overlap = overlap;
                changed.push(reference.clone());
            }
        }
        changed
    }

    fn evaluate_where(&mut self, which: impl Fn(&ObjectRef, &Slot) -> bool, now: Instant) {
        let references: Vec<_> = self
            .slots
            .iter()
            .filter(|(reference, slot)| which(reference, slot))
            .map(|(reference, _)| reference.clone())
            .collect();
        references.iter().for_each(|reference| self.evaluate(reference, now));
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

fn want(wanted: &Wanted, reference: &ObjectRef, slot: &Slot, discovery: bool) -> Option<plan::ObjectWant> {
    let none = BTreeMap::new();
    let annotations = slot.object.as_ref().map_or(&none, |object| &object.annotations);
    plan::object(reference, annotations, &wanted.bindings, discovery, &wanted.catalogue)
}

#[cfg(test)]
mod tests;
