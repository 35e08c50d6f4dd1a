//! Ranges that leave a pool because nobody wants them there any more: a binding or an annotation is gone. That is at once,
//! but for a moment in which managed Services stop asking for addresses in them, and DNS stops naming these: else it would
//! name what nobody serves.

use std::net::Ipv6Addr;

use super::Island;
use super::books::has;
use super::slot::{Level, Slot, Status};
use super::wants::pools;
use crate::cluster::{entry, object};
use crate::config::{Kind, ObjectRef};
use crate::plan::Block;
use crate::prefix::Interval;

/// What leaves pools, and is not wanted on any other.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    ranges: Vec<(ObjectRef, Interval)>,
    /// Pools that wait for Services.
    waiting: Vec<ObjectRef>,
}

impl Leaving {
    /// Whether `address` is about to leave the last pool that has it.
    pub(super) fn has(&self, address: Ipv6Addr) -> bool {
        self.ranges.iter().any(|(_, range)| has(range, address))
    }

    fn of(&self, pool: &ObjectRef) -> Vec<Interval> {
        self.ranges.iter().filter(|(from, _)| from == pool).map(|(_, range)| *range).collect()
    }
}

impl Island {
    /// Finds out what is to leave.
    pub(super) fn find_leaving(&mut self) {
        let mut ranges: Vec<(ObjectRef, Interval)> = Vec::new();
        for (pool, slot) in pools(&self.slots) {
            ranges.extend(leaving(slot, &self.prefixes).into_iter().map(|range| (pool.clone(), range)));
        }
        if !ranges.is_empty() {
            let promised: Vec<Interval> =
                pools(&self.slots).flat_map(|(pool, slot)| self.promised(pool, slot)).collect();
            let left = |(pool, range): (ObjectRef, Interval)| {
                range.without(promised.iter().copied()).into_iter().map(move |piece| (pool.clone(), piece))
            };
            ranges = ranges.into_iter().flat_map(left).collect();
        }
        self.leaving.ranges = ranges;
    }

    /// The same after a change of one pool, which mostly has nothing to do with it.
    pub(super) fn find_leaving_after(&mut self, pool: &ObjectRef) {
        let leaves = |slot: &Slot| !leaving(slot, &self.prefixes).is_empty();
        if !self.leaving.ranges.is_empty() || self.slots.get(pool).is_some_and(|slot| leaves(slot)) {
            self.find_leaving();
        }
    }

    /// What a pool goes on having, or gets.
    fn promised(&self, pool: &ObjectRef, slot: &Slot) -> Vec<Interval> {
        let wanted = slot.want.iter().flat_map(|want| &want.known).map(|(_, range)| *range);
        let ours = ours_on(slot);
        wanted.chain(self.books.ranges(pool).iter().filter(|entry| !ours.contains(entry)).copied()).collect()
    }

    /// Why a pool must not give up yet what is to leave it.
    pub(super) fn lets_go(&mut self, pool: &ObjectRef) -> Option<Status> {
        self.leaving.waiting.retain(|other| other != pool);
        let ranges = if self.dry_run { Vec::new() } else { self.leaving.of(pool) };
        if ranges.is_empty() {
            return None;
        }
        let asks = ranges.iter().flat_map(|range| self.books.asking(*range)).next().cloned();
        let who = asks.or_else(|| self.releasing(&ranges))?;
        self.leaving.waiting.push(pool.clone());
        let text = format!("What nobody wants on it any more goes as soon as {who} asks for it no more.");
        Some(Status::new(Level::Passing, "AwaitingServices", text))
    }

    /// A Service that is not managed any more and has not been written yet.
    fn releasing(&self, ranges: &[Interval]) -> Option<ObjectRef> {
        let asks = |slot: &Slot| {
            let ours = slot.memory.iter().flat_map(|memory| &memory.recorded).map(Block::interval);
            ours.into_iter().any(|address| ranges.iter().any(|range| range.contains(&address)))
        };
        let is_to_be_written = |slot: &Slot| {
            let fails = slot.failure.as_ref().is_some_and(|failure| failure.is_notable());
            slot.carrier.is_none()
                && slot.object.is_some()
                && !fails
                && (slot.pending.is_some() || slot.flight.is_some())
        };
        let mut services = self.slots.iter().filter(|(reference, _)| reference.kind == Kind::Service);
        services.find(|(_, slot)| is_to_be_written(slot) && asks(slot)).map(|(reference, _)| reference.clone())
    }

    /// A Service was decided about: pools that wait for Services have to look again.
    pub(super) fn look_again(&mut self) {
        self.dirty.extend(std::mem::take(&mut self.leaving.waiting));
    }
}

/// What of ours on a pool nobody wants there any more. Leftovers of no known prefix drain.
fn leaving(slot: &Slot, prefixes: &[Interval]) -> Vec<Interval> {
    let ours = ours_on(slot);
    let Some(want) = &slot.want else { return ours };
    let (contributions, is_complete) = slot.contributions(want);
    let goes = |entry: &Interval| {
        let is_wanted = want.known.iter().any(|(_, range)| range.overlaps(entry))
            || contributions.values().flatten().any(|block| block.interval().overlaps(entry));
        is_complete && !is_wanted && prefixes.iter().any(|prefix| prefix.contains(entry))
    };
    ours.into_iter().filter(goes).collect()
}

/// What is ours on a pool that the store lists, by its record; a crash may have left the store behind that.
fn ours_on(slot: &Slot) -> Vec<Interval> {
    let (Some(object), Some(memory)) = (&slot.object, &slot.memory) else { return Vec::new() };
    let annotation = object.annotations.get(object::record_annotation(object.reference.kind));
    let record = annotation.map(|text| entry::read_record(text));
    record.as_ref().unwrap_or(&memory.recorded).iter().map(Block::interval).collect()
}
