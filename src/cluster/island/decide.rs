//! What is to be done about one object now: a pure function of its [`Slot`] and its surroundings.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::books::Books;
use super::carrier;
use super::event::WatchState;
use super::leaving::Leaving;
use super::memory::Memory;
use super::narrow::{self, Narrowing, OnIt};
use super::retry;
use super::slot::{Level, Patch, Slot, Status};
use super::verdict::Verdict;
use crate::cluster::Wanted;
use crate::cluster::entry;
use crate::cluster::object::{self, MANAGED_BY, Object, Served};
use crate::cluster::ownership::{Goal, Merged, Standing, merge};
use crate::config::{Kind, ObjectRef};
use crate::plan::{self, Block, Contribution, ObjectWant, Role};
use crate::prefix::Interval;
use crate::time::Instant;

/// Longer records are refused: the API server takes 256 KiB for all annotations of an object together.
const LONGEST_RECORD: usize = 200 * 1024;

/// What surrounds an object.
pub(super) struct Surroundings<'a> {
    pub(super) wanted: &'a Wanted,
    /// The prefixes of all known generations.
    pub(super) prefixes: &'a [Interval],
    /// `None`: not asked yet.
    pub(super) served: Option<&'a Served>,
    pub(super) watch: Option<&'a WatchState>,
    /// Whether all objects of the kind are known.
    pub(super) listed: bool,
    pub(super) dry_run: bool,
    pub(super) books: &'a Books,
    pub(super) narrowing: &'a Narrowing,
    /// What is about to leave pools.
    pub(super) leaving: &'a Leaving,
    /// What the annotations that external-dns reads begin with.
    pub(super) external_dns: &'a [String],
}

/// Decides about the object `reference`.
pub(super) fn decide(around: &Surroundings<'_>, reference: &ObjectRef, slot: &Slot, now: Instant) -> Verdict {
    let object = match (&slot.object, slot.is_wanted(), &slot.memory) {
        (Some(object), ..) => object,
        (None, _, Some(memory)) if slot.is_out_of_sight && !around.dry_run => {
            return Verdict::Write(Patch::look(memory), Status::new(Level::Passing, "Waiting", None));
        }
        (None, true, _) => return Verdict::Stay(absent(around, reference, slot)),
        (None, false, Some(_)) => return Verdict::Stay(Status::new(Level::Passing, "Waiting", None)),
        (None, false, None) => return Verdict::NotOurs,
    };
    match (&slot.want, &slot.memory) {
        (Some(want), _) => fill(around, object, slot, want, now),
        (None, Some(memory)) if reference.kind == Kind::Service => carrier::release(around, object, memory, now),
        (None, Some(memory)) => release(around, object, memory, now),
        (None, None) => Verdict::NotOurs,
    }
}

/// The status of a target that has not been seen.
fn absent(around: &Surroundings<'_>, reference: &ObjectRef, slot: &Slot) -> Status {
    if let Some(status) = not_served(around, reference.kind) {
        return status;
    }
    match around.watch {
        Some(WatchState::Forbidden(text)) if slot.unreadable => {
            let what = object::qualified(reference.kind);
            let text = format!("{what} may not be watched: {text}. {}", retry::need(reference));
            Status::new(Level::Bad, "Forbidden", text)
        }
        Some(WatchState::Failed(text)) if !around.listed && !slot.listed => {
            Status::new(Level::Passing, "WatchFailed", format!("{reference} cannot be read: {text}"))
        }
        _ if around.listed || slot.listed => {
            let text = match reference.kind {
                Kind::Service => {
                    format!("There is no {reference} of type LoadBalancer; it is managed as soon as there is.")
                }
                Kind::CiliumLoadBalancerIPPool | Kind::CiliumCIDRGroup | Kind::IPAddressPool => {
                    format!("{reference} does not exist; it is filled as soon as somebody creates it.")
                }
            };
            Status::new(Level::Bad, "TargetMissing", text)
        }
        _ => Status::new(Level::Passing, "Waiting", format!("{reference} has not been read yet.")),
    }
}

pub(super) fn not_served(around: &Surroundings<'_>, kind: Kind) -> Option<Status> {
    let Some(served) = around.served else {
        return Some(Status::new(Level::Passing, "Waiting", "The API server has not been asked yet.".to_owned()));
    };
    if served.contains_key(&kind) && !matches!(around.watch, Some(WatchState::NotServed)) {
        return None;
    }
    let what = object::qualified(kind);
    let text = format!("The cluster does not serve {what}; it is filled as soon as the CRD is installed.");
    Some(Status::new(Level::Bad, "KindNotInstalled", text))
}

/// Why an object that exists must not be written at all.
pub(super) fn forbidden_to_us(around: &Surroundings<'_>, object: &Object) -> Option<Status> {
    if let Some(sentence) = around.wanted.denied.get(&object.uid) {
        return Some(Status::new(Level::Bad, "SameCluster", sentence.clone()));
    }
    let other = object.annotations.get(MANAGED_BY).filter(|id| **id != around.wanted.daemon_id)?;
    if around.wanted.told.taken.get(&object.uid) == Some(other) {
        return None;
    }
    let text = format!(
        "{} is managed by another daemon, {other:?}; this one is {:?}. Remove it from the configuration of one of the \
         two, or run `dyn-prefix take-over {0}` here.",
        object.reference, around.wanted.daemon_id
    );
    Some(Status::new(Level::Bad, "OtherWriter", text))
}

fn fill(around: &Surroundings<'_>, object: &Object, slot: &Slot, want: &ObjectWant, now: Instant) -> Verdict {
    let obstacle = not_served(around, object.reference.kind)
        .or_else(|| forbidden_to_us(around, object))
        .or_else(|| {
            let finding = want.findings.iter().find(|finding| finding.blocks_write)?;
            Some(Status::new(Level::Bad, finding.reason, finding.message.clone()))
        })
        .or_else(|| slot.overlap.as_ref().map(|(reason, text)| Status::new(Level::Bad, reason, text.clone())))
        .or_else(|| no_opinion(want));
    if let Some(status) = obstacle {
        return Verdict::Stay(with_lists_as_they_are(status, object, slot));
    }
    let (contributions, complete) = slot.contributions(want);
    let kind = object.reference.kind;
    let standing = Known::new(around, object, slot.memory.as_ref());
    let on_it = standing.on_it(object, &want.known);
    if let Some(status) = around.narrowing.waits(kind, &on_it) {
        return Verdict::Stay(with_lists_as_they_are(status, object, slot));
    }
    let cut = narrow::cut(around, object, want, contributions, &on_it, slot.is_to_be_tidied(now));
    let in_order = want.contributions.iter().filter_map(|(name, _)| cut.contributions.get(name));
    let blocks = plan::blocks(kind, &want.known, in_order.flatten().copied());
    let blocks = narrow::in_order(blocks, &want.known, &cut.reserved);
    let goal = Goal {
        want: &blocks,
        known: &want.known,
        prefixes: around.prefixes,
        drain_period: want.drain_period,
        strays_since: want.strays_since,
        replace: want.replace,
        hold: !complete,
    };
    let merged = merge(&standing.standing(object), &goal, now);
    if entry::write_record(&merged.record).len() > LONGEST_RECORD {
        let text = format!(
            "The record of our {} entries on {} would be longer than an annotation may be; use fewer or larger ranges.",
            merged.record.len(),
            object.reference
        );
        return Verdict::Stay(with_lists_as_they_are(Status::new(Level::Bad, "RecordTooLong", text), object, slot));
    }
    let content = content(object, &merged, Some(&around.wanted.daemon_id));
    let status = |level, reason: &str, message| Status {
        desired: merged.record.iter().map(|block| entry::plain(*block)).collect(),
        foreign: merged.foreign.clone(),
        ..Status::new(level, reason, message)
    };
    let memory = Memory {
        uid: object.uid.clone(),
        contributions: cut.contributions.clone(),
        recorded: merged.record.clone(),
        unclaimed: merged.unclaimed.clone(),
        strays: merged.strays.clone(),
        ..Memory::default()
    };
    if content.as_object().is_none_or(Map::is_empty) {
        let (level, reason, message) =
            quality(object, slot, want, &merged, now).unwrap_or_else(|| narrow::progress(around, kind, &cut));
        let status = Status { synced: true, ..status(level, reason, message) };
        let verdict = if cut.reserved.is_empty() { Verdict::InSync } else { Verdict::HoldsBack };
        return verdict(status, memory, merged.next_stray);
    }
    let (added, removed) = difference(&standing.record, &merged.record, object);
    let patch = Patch { content, added, removed, memory: Some(memory) };
    Verdict::Write(patch, status(Level::Passing, "Pending", None))
}

/// Nobody who wants something on the object has an opinion yet: it stays as it is.
fn no_opinion(want: &ObjectWant) -> Option<Status> {
    let first = want.contributions.iter().find_map(|(_, contribution)| match contribution {
        Contribution::Error(error) => Some(Status::new(Level::Bad, "EntryError", error.message.clone())),
        Contribution::Blocks(_) | Contribution::NoOpinion => None,
    });
    let speaks = |contribution: &Contribution| matches!(contribution, Contribution::Blocks(_));
    if want.contributions.iter().any(|(_, contribution)| speaks(contribution)) {
        return None;
    }
    let waiting = || Status::new(Level::Passing, "NoOpinion", "No prefix has been heard of yet.".to_owned());
    Some(first.unwrap_or_else(waiting))
}

/// What there is to say about an object that is as it should be.
fn quality(
    object: &Object,
    slot: &Slot,
    want: &ObjectWant,
    merged: &Merged,
    now: Instant,
) -> Option<(Level, &'static str, Option<String>)> {
    let error = want.contributions.iter().find_map(|(_, contribution)| match contribution {
        Contribution::Error(error) => Some(&error.message),
        Contribution::Blocks(_) | Contribution::NoOpinion => None,
    });
    if let Some(message) = error {
        return Some((Level::Bad, "EntryError", Some(message.clone())));
    }
    if merged.cannot_empty {
        return Some((Level::Bad, "CannotEmpty", Some(cannot_empty(&object.reference))));
    }
    if let Some(message) = object.observed.as_ref().and_then(|observed| observed.conflict.as_ref()) {
        let text = format!("Cilium has put {} out of service: {message}", object.reference);
        return Some((Level::Bad, "PoolConflict", Some(text)));
    }
    let fight = slot.contest.as_ref().filter(|contest| contest.is_on());
    if let Some(contest) = fight.filter(|contest| contest.peace_at().is_none_or(|at| at > now)) {
        let text = format!("Written again; {} removed it before.", who(contest.manager()));
        return Some((Level::Bad, "Contested", Some(text)));
    }
    if !merged.covered_by.is_empty() {
        let text =
            format!("Your own {} stands where ours would; ours is written without it.", merged.covered_by.join(", "));
        return Some((Level::Odd, "CoveredByUser", Some(text)));
    }
    let finding = want.findings.first()?;
    Some((Level::Odd, finding.reason, Some(finding.message.clone())))
}

/// A field manager, for a sentence.
pub(super) fn who(manager: Option<&str>) -> String {
    manager.map_or_else(|| "somebody who left no name in managedFields".to_owned(), |name| format!("{name:?}"))
}

fn cannot_empty(reference: &ObjectRef) -> String {
    let why = match reference.kind {
        Kind::IPAddressPool => "MetalLB refuses an empty pool",
        Kind::CiliumCIDRGroup | Kind::CiliumLoadBalancerIPPool | Kind::Service => {
            "an empty CIDR group may open what it should close"
        }
    };
    format!(
        "Our entries are the last ones on {reference}, and {why}, so they stay. Add an entry of your own, or delete the \
         object; to keep them as yours, remove the annotations {} and {MANAGED_BY}.",
        object::record_annotation(reference.kind)
    )
}

/// Takes our entries and the record from an object that nobody wants us to manage any more.
fn release(around: &Surroundings<'_>, object: &Object, memory: &Memory, now: Instant) -> Verdict {
    if object.annotations.get(MANAGED_BY).is_some_and(|id| *id != around.wanted.daemon_id) {
        return Verdict::Released;
    }
    if let Some(status) = not_served(around, object.reference.kind).or_else(|| forbidden_to_us(around, object)) {
        return Verdict::Stay(status);
    }
    let known = Known::new(around, object, Some(memory));
    let merged = merge(&known.standing(object), &Goal::RELEASE, now);
    if merged.cannot_empty {
        if !object.annotations.contains_key(object::record_annotation(object.reference.kind)) {
            return Verdict::Released;
        }
        let status = Status {
            desired: merged.record.iter().map(|block| entry::plain(*block)).collect(),
            foreign: merged.foreign,
            ..Status::new(Level::Bad, "CannotEmpty", cannot_empty(&object.reference))
        };
        return Verdict::Stay(status);
    }
    let content = content(object, &merged, None);
    if content.as_object().is_none_or(Map::is_empty) {
        return Verdict::Released;
    }
    let (added, removed) = difference(&known.record, &merged.record, object);
    let status = Status { foreign: merged.foreign, ..Status::new(Level::Passing, "Releasing", None) };
    Verdict::Write(Patch { content, added, removed, memory: None }, status)
}

/// What is known about an object's list: from the record on it, else from memory.
struct Known {
    record: Option<Vec<Block>>,
    memory: Memory,
}

impl Known {
    fn new(around: &Surroundings<'_>, object: &Object, memory: Option<&Memory>) -> Self {
        let annotation = object.annotations.get(object::record_annotation(object.reference.kind));
        let record = match (annotation, memory) {
            (Some(text), _) => Some(entry::read_record(text)),
            // Somebody removed the record; we still know what we wrote.
            (None, Some(memory)) => Some(memory.recorded.clone()),
            // We managed it and nothing of ours was on it.
            (None, None) if object.annotations.get(MANAGED_BY) == Some(&around.wanted.daemon_id) => Some(Vec::new()),
            (None, None) => None,
        };
        Self { record, memory: memory.cloned().unwrap_or_default() }
    }

    /// What of ours and of the user's stands on a pool. Without a record, what lies inside a former range is ours.
    fn on_it(&self, object: &Object, known: &[(Role, Interval)]) -> OnIt {
        let mut on_it = OnIt::default();
        let kind = object.reference.kind;
        let record: Option<BTreeSet<Interval>> =
            self.record.as_ref().map(|record| record.iter().map(Block::interval).collect());
        for entry in object.list.iter().filter_map(|value| entry::Entry::parse(kind, value)?.v6()) {
            let is_ours = match &record {
                Some(record) => record.contains(&entry),
                None => known.iter().any(|(role, range)| *role != Role::Current && range.contains(&entry)),
            };
            if is_ours { on_it.recorded.push(entry) } else { on_it.foreign.push(entry) }
        }
        on_it
    }

    fn standing<'a>(&'a self, object: &'a Object) -> Standing<'a> {
        Standing {
            kind: object.reference.kind,
            list: &object.list,
            record: self.record.as_deref(),
            unclaimed: &self.memory.unclaimed,
            strays: &self.memory.strays,
        }
    }
}

/// The merge patch that makes `object` what `merged` says; empty when it is. `writer`: who we are, or `None` to leave it.
fn content(object: &Object, merged: &Merged, writer: Option<&String>) -> Value {
    let kind = object.reference.kind;
    let key = object::record_annotation(kind);
    let mut annotations = Map::new();
    let recorded = object.annotations.get(key).map(|text| intervals(&entry::read_record(text)));
    match (recorded, merged.record.is_empty()) {
        (None, true) => {}
        // A blank annotation says nothing that its absence does not say better.
        (Some(_), true) => drop(annotations.insert(key.to_owned(), Value::Null)),
        (recorded, false) if recorded.as_ref() != Some(&intervals(&merged.record)) => {
            annotations.insert(key.to_owned(), Value::String(entry::write_record(&merged.record)));
        }
        (_, false) => {}
    }
    if object.annotations.get(MANAGED_BY) != writer {
        annotations.insert(MANAGED_BY.to_owned(), writer.map_or(Value::Null, |id| Value::String(id.clone())));
    }
    let mut patch = Map::new();
    if !annotations.is_empty() {
        patch.insert("metadata".to_owned(), json!({ "annotations": annotations }));
    }
    if merged.list != object.list {
        patch.insert("spec".to_owned(), json!({ object::list_field(kind): merged.list }));
    }
    Value::Object(patch)
}

fn intervals(blocks: &[Block]) -> Vec<Interval> {
    blocks.iter().map(Block::interval).collect()
}

/// What a patch adds and removes, for the log.
fn difference(before: &Option<Vec<Block>>, after: &[Block], object: &Object) -> (Vec<String>, Vec<String>) {
    let kind = object.reference.kind;
    let standing: BTreeSet<_> = object.list.iter().filter_map(|value| entry::Entry::parse(kind, value)?.v6()).collect();
    let before: Vec<_> =
        before.iter().flatten().filter(|block| standing.contains(&block.interval())).copied().collect();
    let missing = |these: &[Block], those: &[Block]| {
        let those: BTreeSet<_> = intervals(those).into_iter().collect();
        these.iter().filter(|block| !those.contains(&block.interval())).map(|block| entry::plain(*block)).collect()
    };
    (missing(after, &before), missing(&before, after))
}

/// For an object that is left alone: what of ours and of the user's is on it.
pub(super) fn with_lists_as_they_are(status: Status, object: &Object, slot: &Slot) -> Status {
    let kind = object.reference.kind;
    let annotation = object.annotations.get(object::record_annotation(kind)).map(|text| entry::read_record(text));
    let remembered = || slot.memory.as_ref().map(|memory| memory.recorded.clone());
    let ours: BTreeSet<_> = annotation.or_else(remembered).unwrap_or_default().iter().map(Block::interval).collect();
    let is_ours = |value: &&Value| {
        entry::Entry::parse(kind, value).and_then(entry::Entry::v6).is_some_and(|entry| ours.contains(&entry))
    };
    let (desired, foreign): (Vec<_>, Vec<_>) = object.list.iter().partition(is_ours);
    let describe = |values: Vec<&Value>| values.into_iter().map(entry::describe).collect();
    Status { desired: describe(desired), foreign: describe(foreign), ..status }
}
