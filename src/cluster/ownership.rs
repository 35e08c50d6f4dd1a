//! Whose entries are whose in a list that we share with the user (design: "Ownership").
//!
//! The record on the object decides: an entry is ours if and only if it is in the record. Without a record, what
//! equals or lies inside a range that we compute for a known generation is ours, except for the current generation:
//! that may as well have been written by the user, so it is left *unclaimed* until it would go stale.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::entry::{self, Entry};
use crate::config::Kind;
use crate::plan::{Block, Role};
use crate::prefix::Interval;
use crate::time::Instant;

/// A list as it stands, and what is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The kind of the object.
    pub kind: Kind,
    /// The list.
    pub list: &'a [Value],
    /// What the record says is ours; `None` without a record.
    pub record: Option<&'a [Block]>,
    /// Entries found without a record inside the then current generation.
    pub unclaimed: &'a BTreeSet<Interval>,
    /// When recorded entries of no known generation were first seen.
    pub strays: &'a BTreeMap<Interval, Instant>,
}

/// What should stand in the list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Goal<'a> {
    /// Our blocks, current generation first, disjoint for pools.
    pub want: &'a [Block],
    /// What the bindings of this object compute for every known generation.
    pub known: &'a [(Role, Interval)],
    /// The prefixes of all known generations: what lies inside one, and is not wanted, is no stray.
    pub prefixes: &'a [Interval],
    /// How long strays stay; `None`: no limit by time.
    pub drain_period: Option<Duration>,
    /// Strays first seen before this instant go, however short they have drained.
    pub strays_since: Option<Instant>,
    /// Whether the list is ours alone (`updateStrategy = Replace`).
    pub replace: bool,
    /// Whether every recorded entry stays, because somebody who may want it has no opinion yet.
    pub hold: bool,
}

impl Goal<'_> {
    /// Nothing of ours is left, at once.
    pub const RELEASE: Self = Self {
        want: &[],
        known: &[],
        prefixes: &[],
        drain_period: Some(Duration::ZERO),
        strays_since: None,
        replace: false,
        hold: false,
    };
}

/// The list as it should be, and what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The whole list.
    pub list: Vec<Value>,
    /// Our entries in it, in order: the next record.
    pub record: Vec<Block>,
    /// The user's entries, as the user spells them.
    pub foreign: Vec<String>,
    /// The next [`Standing::unclaimed`].
    pub unclaimed: BTreeSet<Interval>,
    /// The next [`Standing::strays`]: those in the list as it stands.
    pub strays: BTreeMap<Interval, Instant>,
    /// When the next stray has to go.
    pub next_stray: Option<Instant>,
    /// Entries of the user that stand where ours should.
    pub covered_by: Vec<String>,
    /// The list would have become empty, which this kind does not bear: it stays as it is.
    pub cannot_empty: bool,
}

/// Merges our entries into a list: the user's keep their place and spelling, ours stand together where the first of
/// them stood, else at the end.
pub fn merge(standing: &Standing<'_>, goal: &Goal<'_>, now: Instant) -> Merged {
    let sorted = sort(standing, goal);
    let strays = find_strays(standing, goal, &sorted, now);
    let next_stray = next_stray(&strays, goal.drain_period, now);
    let mut place = Placement::new(standing.kind, &sorted.foreign);
    goal.want.iter().for_each(|block| place.put(*block));
    for block in staying(&sorted, &strays, goal, now) {
        place.put(block);
    }
    let list = assemble(standing, &sorted, &place.ours);
    let merged = Merged {
        list,
        foreign: sorted.foreign.iter().map(|(value, _)| entry::describe(value)).collect(),
        record: place.ours,
        unclaimed: sorted.unclaimed,
        strays,
        next_stray,
        covered_by: place.covered_by,
        cannot_empty: false,
    };
    if merged.list.is_empty() && !standing.list.is_empty() && !may_be_empty(standing.kind) {
        return Merged {
            list: standing.list.to_vec(),
            record: in_place(sorted.ours.values().copied()),
            cannot_empty: true,
            ..merged
        };
    }
    merged
}

/// An empty CIDR group opened the host firewall on Cilium <= 1.16, and MetalLB's webhook refuses an empty pool.
const fn may_be_empty(kind: Kind) -> bool {
    matches!(kind, Kind::CiliumLoadBalancerIPPool)
}

/// The list as it stands, sorted by owner.
struct Sorted<'a> {
    /// Ours: place of the element, and the block it stands for.
    ours: BTreeMap<Interval, (usize, Block)>,
    /// Every place that holds an entry of ours; more than `ours` when one stands there twice.
    our_places: BTreeSet<usize>,
    /// The user's, in order.
    foreign: Vec<(&'a Value, Option<Interval>)>,
    unclaimed: BTreeSet<Interval>,
}

fn sort<'a>(standing: &Standing<'a>, goal: &Goal<'_>) -> Sorted<'a> {
    let mut sorted =
        Sorted { ours: BTreeMap::new(), our_places: BTreeSet::new(), foreign: Vec::new(), unclaimed: BTreeSet::new() };
    for (place, value) in standing.list.iter().enumerate() {
        let interval = Entry::parse(standing.kind, value).and_then(Entry::v6);
        match (interval, interval.map(|interval| owner(standing, goal, &interval))) {
            (Some(interval), Some(Owner::We(block))) => {
                sorted.ours.entry(interval).or_insert((place, block));
                sorted.our_places.insert(place);
            }
            _ if goal.replace => {
                sorted.our_places.insert(place);
            }
            (Some(interval), Some(Owner::Unclaimed)) => {
                sorted.unclaimed.insert(interval);
                sorted.foreign.push((value, Some(interval)));
            }
            (interval, _) => sorted.foreign.push((value, interval)),
        }
    }
    sorted
}

enum Owner {
    We(Block),
    Unclaimed,
    User,
}

fn owner(standing: &Standing<'_>, goal: &Goal<'_>, entry: &Interval) -> Owner {
    let recorded = standing.record.and_then(|record| record.iter().find(|block| block.interval() == *entry));
    if let Some(block) = recorded {
        return Owner::We(*block);
    }
    if standing.record.is_some() && !standing.unclaimed.contains(entry) {
        return Owner::User;
    }
    let inside = |current: bool| {
        goal.known.iter().any(|(role, range)| (*role == Role::Current) == current && range.contains(entry))
    };
    match (inside(true), inside(false), standing.unclaimed.contains(entry)) {
        (true, ..) => Owner::Unclaimed,
        (false, true, _) => Owner::We(block_of(*entry)),
        // What the user wrote and we never took is not ours to judge once we know nothing about it.
        (false, false, true) => Owner::Unclaimed,
        (false, false, false) => Owner::User,
    }
}

/// The shortest way to write an interval.
fn block_of(interval: Interval) -> Block {
    interval.to_net().map_or(Block::Range(interval), Block::Cidr)
}

fn find_strays(
    standing: &Standing<'_>,
    goal: &Goal<'_>,
    sorted: &Sorted<'_>,
    now: Instant,
) -> BTreeMap<Interval, Instant> {
    if goal.hold {
        return standing.strays.clone();
    }
    let is_wanted = |entry: &Interval| goal.want.iter().any(|block| block.interval() == *entry);
    let is_known = |entry: &Interval| {
        goal.known.iter().any(|(_, range)| range.contains(entry))
            || goal.prefixes.iter().any(|prefix| prefix.contains(entry))
    };
    let is_stray =
        |entry: &Interval| !is_wanted(entry) && (!is_known(entry) || first_sight(standing.strays, entry).is_some());
    let strays = sorted.ours.keys().filter(|entry| is_stray(entry));
    strays.map(|entry| (*entry, first_sight(standing.strays, entry).unwrap_or(now))).collect()
}

/// When a stray was first seen. One that was cut, by an entry of the user, goes with the one that it is a piece of.
fn first_sight(strays: &BTreeMap<Interval, Instant>, entry: &Interval) -> Option<Instant> {
    strays.iter().filter(|(stray, _)| stray.contains(entry)).map(|(_, seen)| *seen).min()
}

fn next_stray(strays: &BTreeMap<Interval, Instant>, drain_period: Option<Duration>, now: Instant) -> Option<Instant> {
    let period = drain_period?;
    strays.values().map(|seen| *seen + period).filter(|end| *end > now).min()
}

/// What of ours stays although nobody wants it any more.
fn staying(sorted: &Sorted<'_>, strays: &BTreeMap<Interval, Instant>, goal: &Goal<'_>, now: Instant) -> Vec<Block> {
    let drains = |entry: &Interval| {
        strays.get(entry).is_some_and(|seen| {
            goal.drain_period.is_none_or(|period| now < *seen + period)
                && goal.strays_since.is_none_or(|since| *seen >= since)
        })
    };
    in_place(sorted.ours.iter().filter(|(entry, _)| goal.hold || drains(entry)).map(|(_, ours)| *ours))
}

/// Blocks in the order in which they stand in the list.
fn in_place(blocks: impl Iterator<Item = (usize, Block)>) -> Vec<Block> {
    let mut blocks: Vec<_> = blocks.collect();
    blocks.sort_by_key(|(place, _)| *place);
    blocks.into_iter().map(|(_, block)| block).collect()
}

/// Puts blocks into a list next to what is there already.
struct Placement {
    kind: Kind,
    foreign: Vec<(Interval, String)>,
    ours: Vec<Block>,
    covered_by: Vec<String>,
}

impl Placement {
    fn new(kind: Kind, foreign: &[(&Value, Option<Interval>)]) -> Self {
        let foreign = foreign.iter().filter_map(|(value, entry)| Some((((*entry)?), entry::describe(value)))).collect();
        Self { kind, foreign, ours: Vec::new(), covered_by: Vec::new() }
    }

    fn put(&mut self, block: Block) {
        for block in entry::fit(self.kind, block) {
            if self.kind.is_pool() { self.put_disjoint(block) } else { self.put_once(block) }
        }
    }

    /// A pool with ranges that overlap is out of service (Cilium) or refused (MetalLB).
    fn put_disjoint(&mut self, block: Block) {
        let interval = block.interval();
        let in_the_way: Vec<_> = self.foreign.iter().filter(|(entry, _)| entry.overlaps(&interval)).cloned().collect();
        for (_, text) in &in_the_way {
            if !self.covered_by.contains(text) {
                self.covered_by.push(text.clone());
            }
        }
        let taken: Vec<_> = self.ours.iter().map(Block::interval).collect();
        let pieces = interval.without(in_the_way.into_iter().map(|(entry, _)| entry).chain(taken));
        if pieces == [interval] {
            self.ours.push(block);
        } else {
            self.ours.extend(pieces.into_iter().map(|piece| like(block, piece)));
        }
    }

    /// In a CIDR group the same addresses may well be said twice, but the same entry need not be.
    fn put_once(&mut self, block: Block) {
        let interval = block.interval();
        let is_there = self.foreign.iter().any(|(entry, _)| *entry == interval)
            || self.ours.iter().any(|ours| ours.interval() == interval);
        if !is_there {
            self.ours.push(block);
        }
    }
}

/// A piece of `whole`, written in the same manner where that is possible.
fn like(whole: Block, piece: Interval) -> Block {
    match whole {
        Block::Cidr(_) => block_of(piece),
        Block::Range(_) => Block::Range(piece),
    }
}

/// The new list. An entry of ours that stands already keeps its spelling: it means the same.
fn assemble(standing: &Standing<'_>, sorted: &Sorted<'_>, ours: &[Block]) -> Vec<Value> {
    let write = |block: &Block| {
        let standing_entry = sorted.ours.get(&block.interval()).and_then(|(place, _)| standing.list.get(*place));
        standing_entry.cloned().unwrap_or_else(|| entry::render(standing.kind, *block))
    };
    let before = sorted.our_places.first().copied().unwrap_or(standing.list.len());
    let foreign = |range: std::ops::Range<usize>| {
        range.filter(|place| !sorted.our_places.contains(place)).filter_map(|place| standing.list.get(place)).cloned()
    };
    let head = foreign(0..before);
    let tail = foreign(before..standing.list.len());
    head.chain(ours.iter().map(write)).chain(tail).collect()
}

#[cfg(test)]
mod tests;
