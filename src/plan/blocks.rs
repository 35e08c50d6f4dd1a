//! From contributions to the one list of an object: ordered, disjoint, in the form its kind takes.

use ipnet::Ipv6Net;

use super::{Block, Role};
use crate::config::Kind;
use crate::prefix::Interval;

/// The list that an object of `kind` should hold of ours, before the user's entries are considered.
///
/// `wanted` is what its bindings contribute, one after the other; `known` is that of its
/// [`ObjectWant`](super::ObjectWant) and says of which generation a block is. The current generation comes first, then
/// what nothing is known of, then the draining ones, newest first. What is in a pool is disjoint: where two overlap,
/// the later one is cut. A CIDR group gets the exact CIDRs of each range, without those that an earlier one holds.
pub fn blocks(kind: Kind, known: &[(Role, Interval)], wanted: impl IntoIterator<Item = Block>) -> Vec<Block> {
    let mut wanted: Vec<Block> = wanted.into_iter().collect();
    wanted.sort_by_cached_key(|block| rank(block.interval(), known));
    if kind.is_pool() { disjoint(&wanted) } else { exact_cidrs(&wanted) }
}

/// Where a block stands: with the known one that it is, else with one that holds it (an excluded part was cut out).
fn rank(block: Interval, known: &[(Role, Interval)]) -> (u8, usize) {
    let exact = known.iter().position(|(_, interval)| *interval == block);
    let Some(place) = exact.or_else(|| known.iter().position(|(_, interval)| interval.contains(&block))) else {
        return (1, 0);
    };
    let is_current = known.get(place).is_some_and(|(role, _)| *role == Role::Current);
    (if is_current { 0 } else { 2 }, place)
}

fn disjoint(wanted: &[Block]) -> Vec<Block> {
    let mut taken: Vec<Interval> = Vec::new();
    let mut list = Vec::new();
    for block in wanted {
        let pieces = block.interval().without(taken.iter().copied());
        list.extend(pieces.iter().flat_map(|piece| in_form_of(block, *piece)));
        taken.extend(pieces);
    }
    list
}

/// A piece of `block`, as CIDRs if it is a subnet.
fn in_form_of(block: &Block, piece: Interval) -> Vec<Block> {
    match block {
        Block::Cidr(_) => piece.to_nets().into_iter().map(Block::Cidr).collect(),
        Block::Range(_) => vec![Block::Range(piece)],
    }
}

fn exact_cidrs(wanted: &[Block]) -> Vec<Block> {
    let mut list: Vec<Ipv6Net> = Vec::new();
    for net in wanted.iter().flat_map(|block| block.interval().to_nets()) {
        if !list.iter().any(|listed| listed.contains(&net)) {
            list.push(net);
        }
    }
    list.into_iter().map(Block::Cidr).collect()
}
