//! What a pool should hold of each generation while Services move and former prefixes drain.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::books::allocator_of;
use super::decide::Surroundings;
use super::event::WatchState;
use super::slot::{Level, Status};
use crate::cluster::schema::Schema;
use crate::cluster::transition::share::{Around, Part, shares};
use crate::config::{Kind, ObjectRef};
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
    reference: &ObjectRef,
    want: &ObjectWant,
    contributions: BTreeMap<String, Vec<Block>>,
    on_it: &OnIt,
) -> Cut {
    let mut cut = Cut { contributions, ..Cut::default() };
    let Some(allocator) = allocator_of(reference.kind) else { return cut };
    let may_narrow = around.narrowing.obstacle(reference.kind).is_none();
    for (place, (name, contribution)) in want.contributions.iter().enumerate() {
        let own: Vec<&Share> = want.shares.iter().filter(|share| share.contribution == place).collect();
        if own.is_empty() || !matches!(contribution, Contribution::Blocks(_)) {
            continue;
        }
        let parts: Vec<Part<'_>> = own.iter().map(|share| part(share)).collect();
        let all: Vec<Block> = own.iter().flat_map(|share| share.blocks.iter().copied()).collect();
        let former = own.iter().filter(|share| share.role != Role::Current);
        let former: Vec<Block> = former.flat_map(|share| share.blocks.iter().copied()).collect();
        let in_use: Option<Vec<Ipv6Addr>> = may_narrow.then(|| around.books.in_use(&former).into_iter().collect());
        let shares = shares(
            &parts,
            &Around {
                recorded: &on_it.recorded,
                foreign: &on_it.foreign,
                customers: &around.books.customers(allocator, &all),
                in_use: in_use.as_deref(),
            },
        );
        if shares.reserved {
            let current = own.iter().filter(|share| share.role == Role::Current);
            cut.reserved.extend(current.flat_map(|share| &share.blocks).map(Block::interval));
        }
        cut.is_whole |= shares.whole_for_ignorance;
        cut.contributions.insert(name.clone(), shares.list(&parts));
    }
    cut
}

fn part(share: &Share) -> Part<'_> {
    Part { prefix: share.prefix, role: share.role, mode: share.mode, blocks: &share.blocks }
}

/// MetalLB hands out in the order of the list, and so does Cilium after a restart of its operator: what is held back
/// stands behind the range that Services are to get their addresses from.
pub(super) fn in_order(blocks: Vec<Block>, reserved: &[Interval]) -> Vec<Block> {
    let is_reserved = |block: &Block| reserved.iter().any(|range| range.contains(&block.interval()));
    let (last, mut first): (Vec<Block>, Vec<Block>) = blocks.into_iter().partition(is_reserved);
    first.extend(last);
    first
}

/// What there is to say about a pool on its way from one prefix to the next.
pub(super) fn progress(around: &Surroundings<'_>, kind: Kind, cut: &Cut) -> (Level, &'static str, Option<String>) {
    if !cut.reserved.is_empty() {
        let text =
            "Of the new range it holds what managed Services are to get, until they have it; then the rest comes.";
        return (Level::Good, "Synced", Some(text.to_owned()));
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
