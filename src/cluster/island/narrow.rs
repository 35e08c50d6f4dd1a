//! What a pool should hold of each generation while Services move and former prefixes drain.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use super::books::allocator_of;
use super::decide::Surroundings;
use super::event::WatchState;
use super::slot::{Level, Status};
use crate::cluster::object::Object;
use crate::cluster::schema::Schema;
use crate::cluster::transition::share::{Around, Part, pool};
use crate::config::Kind;
use crate::plan::{Block, Contribution, ObjectWant, Role, Share};
use crate::prefix::Interval;

/// Whether former ranges of pools may be narrowed to the addresses in use.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Narrowing {
    /// Why the addresses in use are not known.
    services: Option<String>,
    /// Whether they are only not known yet: for the first time, and nobody has refused.
    is_waiting: bool,
    /// Whether the reading of Services fails at the moment.
    fails: bool,
    /// Why a pool of Cilium must not be narrowed.
    cilium: Option<String>,
    /// Whether Cilium's version has been asked for.
    is_asked: bool,
}

impl Narrowing {
    /// From what is known of Services (whether all are, and how their watch does) and of Cilium's version.
    pub(super) fn new(listed: bool, watch: Option<&WatchState>, schema: &Schema) -> Self {
        let (cilium, is_asked) = (schema.obstacle(), *schema != Schema::Unknown);
        if listed {
            return Self { cilium, is_asked, ..Self::default() };
        }
        let services = Some(match watch {
            Some(WatchState::Forbidden(text)) => format!(
                "Services may not be listed, so the addresses in use are not known: {text}. It needs a ClusterRole with \
                 apiGroups: [\"\"], resources: [services], verbs: [list, watch]."
            ),
            Some(WatchState::NotServed) => "The cluster does not serve Services.".to_owned(),
            Some(WatchState::Failed(text)) => format!("Services cannot be read: {text}"),
            Some(WatchState::Running) | None => "Services have not been read yet.".to_owned(),
        });
        let is_refused = matches!(watch, Some(WatchState::Forbidden(_) | WatchState::NotServed));
        let fails = matches!(watch, Some(WatchState::Failed(_)));
        Self { services, is_waiting: !is_refused, fails, cilium, is_asked }
    }

    /// Why a pool of this kind must not be narrowed.
    pub(super) fn obstacle(&self, kind: Kind) -> Option<&String> {
        let cilium = || self.cilium.as_ref().filter(|_| kind == Kind::CiliumLoadBalancerIPPool);
        self.services.as_ref().or_else(cilium)
    }

    /// A pool with something of ours is not decided about before Services have been read: nobody knows who asks for
    /// what.
    pub(super) fn waits(&self, kind: Kind, on_it: &OnIt) -> Option<Status> {
        let text = self.services.as_ref().filter(|_| self.is_waiting && kind.is_pool())?;
        let level = if self.fails { Level::Bad } else { Level::Passing };
        (!on_it.recorded.is_empty()).then(|| Status::new(level, "AwaitingServices", text.clone()))
    }
}

/// The contributions to a pool, cut to what Services need.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub(super) contributions: BTreeMap<String, Vec<Block>>,
    /// Ranges of the current generation that are held back, except for the addresses of managed Services.
    pub(super) reserved: Vec<Interval>,
    /// Whether a former range is whole only because it must not be narrowed.
    pub(super) is_whole: bool,
    /// What stays of former ranges for Services that cannot be written and have nothing else.
    pub(super) kept: Vec<Ipv6Addr>,
}

/// Our entries on a pool, and the user's.
#[derive(Debug, Default)]
pub(super) struct OnIt {
    pub(super) recorded: Vec<Interval>,
    pub(super) foreign: Vec<Interval>,
}

/// Cuts what the bindings of a pool contribute. Those without an opinion, and in error, keep what they had.
pub(super) fn cut(
    around: &Surroundings<'_>,
    object: &Object,
    want: &ObjectWant,
    contributions: BTreeMap<String, Vec<Block>>,
    on_it: &OnIt,
    tidy: bool,
) -> Cut {
    let kind = object.reference.kind;
    let mut cut = Cut { contributions, ..Cut::default() };
    if allocator_of(kind).is_none() {
        return cut;
    }
    let speaks =
        |(_, (_, contribution)): &(usize, &(String, Contribution))| matches!(contribution, Contribution::Blocks(_));
    let speaking = want.contributions.iter().enumerate().filter(speaks);
    let of = |place: usize| want.shares.iter().filter(move |share| share.contribution == place).map(part);
    let prefixes: Vec<(&String, Vec<Part<'_>>)> = speaking
        .map(|(place, (name, _))| (name, of(place).collect::<Vec<_>>()))
        .filter(|(_, parts)| !parts.is_empty())
        .collect();
    let (names, prefixes): (Vec<&String>, Vec<Vec<Part<'_>>>) = prefixes.into_iter().unzip();
    let blocks = |wanted: fn(Role) -> bool| -> Vec<Block> {
        let parts = prefixes.iter().flatten().filter(|part| wanted(part.role));
        parts.flat_map(|part| part.blocks).copied().collect()
    };
    let may_narrow = around.narrowing.obstacle(kind).is_none();
    let in_use: Option<Vec<Ipv6Addr>> =
        may_narrow.then(|| around.books.in_use(&blocks(|role| role != Role::Current)).into_iter().collect());
    let shares = pool(
        &prefixes,
        &Around {
            recorded: &on_it.recorded,
            foreign: &on_it.foreign,
            customers: &around.books.customers(&object.reference, &blocks(|_| true)),
            in_use: in_use.as_deref(),
            in_conflict: object.observed.as_ref().is_some_and(|observed| observed.conflict.is_some()),
            tidy,
        },
    );
    for ((name, parts), shares) in names.into_iter().zip(&prefixes).zip(shares) {
        if shares.reserved {
            let current = parts.iter().filter(|part| part.role == Role::Current);
            cut.reserved.extend(current.flat_map(|part| part.blocks).map(Block::interval));
        }
        cut.is_whole |= shares.whole_for_ignorance;
        cut.kept.extend(&shares.kept);
        cut.contributions.insert(name.clone(), shares.list(parts));
    }
    cut
}

fn part(share: &Share) -> Part<'_> {
    Part { prefix: share.prefix, role: share.role, dead: share.dead, mode: share.mode, blocks: &share.blocks }
}

/// MetalLB hands out in the order of the list, and so does Cilium after a restart of its operator: what is held back
/// stands behind the range that Services are to get their addresses from, and that is the whole former one.
pub(super) fn in_order(mut blocks: Vec<Block>, known: &[(Role, Interval)], reserved: &[Interval]) -> Vec<Block> {
    let is_whole = |block: &Block| known.iter().any(|(_, range)| *range == block.interval());
    let is_reserved = |block: &Block| reserved.iter().any(|range| range.contains(&block.interval()));
    if !reserved.is_empty() {
        blocks.sort_by_key(|block| (is_reserved(block), !is_whole(block)));
    }
    blocks
}

/// Why addresses of a former range are still there.
fn kept(around: &Surroundings<'_>, cut: &Cut) -> Option<String> {
    let kept: BTreeSet<Ipv6Addr> = cut.kept.iter().copied().collect();
    let services: BTreeSet<_> = kept.iter().flat_map(|address| around.books.pinned_at(*address)).collect();
    if kept.is_empty() {
        return None;
    }
    let text = |list: Vec<String>| list.join(", ");
    Some(format!(
        "The drain of a former range is over, but {} stays until its prefix is dead: {} asks for that and for nothing else, \
         and cannot be written. See what is said of that Service.",
        text(kept.iter().map(ToString::to_string).collect()),
        text(services.iter().map(ToString::to_string).collect()),
    ))
}

/// What there is to say about a pool on its way from one prefix to the next.
pub(super) fn progress(around: &Surroundings<'_>, kind: Kind, cut: &Cut) -> (Level, &'static str, Option<String>) {
    if !cut.reserved.is_empty() {
        let text =
            "Of the new range it holds what managed Services are to get, until they have it; then the rest comes.";
        return (Level::Good, "Synced", Some(text.to_owned()));
    }
    if let Some(why) = kept(around, cut) {
        return (Level::Odd, "DrainProlonged", Some(why));
    }
    let is_known = around.narrowing.services.is_some() || around.narrowing.is_asked;
    match around.narrowing.obstacle(kind).filter(|_| cut.is_whole && is_known) {
        Some(why) => {
            let text = format!(
                "The former range stays whole until it has drained, so that new Services may get addresses of it: {why}"
            );
            (Level::Odd, "NotNarrowed", Some(text))
        }
        None => (Level::Good, "Synced", None),
    }
}
