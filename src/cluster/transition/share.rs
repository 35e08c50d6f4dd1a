//! One pool: what it should hold of each generation.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::Stage;
use crate::config::Mode;
use crate::plan::{Block, Role};
use crate::prefix::Interval;

/// A generation of a DynamicPrefix, as a pool is to hold it.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its prefix.
    pub prefix: Ipv6Net,
    /// What it is used for.
    pub role: Role,
    /// The mode of its DynamicPrefix.
    pub mode: Mode,
    /// The ranges that are bound to the pool.
    pub blocks: &'a [Block],
}

/// A managed Service whose new address lies in the current ranges of the pool, or that asks for an address in others.
#[derive(Clone, Debug)]
pub struct Customer {
    /// Its address in the current generation.
    pub new: Option<Ipv6Addr>,
    /// Where it is.
    pub stage: Stage,
    /// It cannot be written, so nothing is gained by waiting for it.
    pub given_up: bool,
    /// The addresses that it asks for on our behalf, as seen on it.
    pub pins: Vec<Ipv6Addr>,
}

/// What surrounds the pool.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Our entries on the pool, as seen on it.
    pub recorded: &'a [Interval],
    /// The user's entries on it.
    pub foreign: &'a [Interval],
    /// The managed Services.
    pub customers: &'a [Customer],
    /// The addresses of all Services, ascending; `None`: not known, so nothing is narrowed.
    pub in_use: Option<&'a [Ipv6Addr]>,
    /// What each former range was narrowed to before. It stays that, although addresses are given up: each would be a
    /// write.
    pub narrowed: &'a BTreeMap<Ipv6Net, Vec<Interval>>,
}

/// What a pool should hold of the parts of one DynamicPrefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// By part, in their order.
    pub blocks: Vec<Vec<Block>>,
    /// Whether the current ranges are held back, except for the addresses of managed Services (step 1).
    pub reserved: bool,
    /// The next [`Around::narrowed`].
    pub narrowed: BTreeMap<Ipv6Net, Vec<Interval>>,
    /// Whether a range is whole only because the addresses in use are not known.
    pub whole_for_ignorance: bool,
}

/// Decides what a pool should hold of `parts`: the generations of one DynamicPrefix, the current one first.
pub fn shares(parts: &[Part<'_>], around: &Around<'_>) -> Shares {
    let mut shares = Shares { reserved: is_reserved(parts, around), ..Shares::default() };
    for part in parts {
        let blocks = match part.role {
            Role::Current if shares.reserved => reserved(part, around),
            Role::Current => part.blocks.to_vec(),
            Role::Draining if shares.reserved => as_it_is(part, around, part.blocks),
            Role::Draining => drained(part, around, &mut shares),
            Role::Known if shares.reserved => as_it_is(part, around, &[]),
            Role::Known => leaving(part, around, &mut shares),
        };
        shares.blocks.push(blocks);
    }
    shares
}

/// Whether the new range has to wait for managed Services.
fn is_reserved(parts: &[Part<'_>], around: &Around<'_>) -> bool {
    let Some(current) = parts.iter().find(|part| part.role == Role::Current && part.mode == Mode::Ha) else {
        return false;
    };
    let lacks_some = current.blocks.iter().any(|block| !is_whole(block.interval(), around));
    let has_former = parts.iter().any(|part| part.role != Role::Current && !pieces(part, around).is_empty());
    let mut waiting = customers(current, around).filter(|customer| !customer.stage.is_settled() && !customer.given_up);
    lacks_some && has_former && waiting.next().is_some()
}

/// Whether all of a range is on the pool, be it ours or the user's.
fn is_whole(range: Interval, around: &Around<'_>) -> bool {
    range.without(around.recorded.iter().chain(around.foreign).copied()).is_empty()
}

fn customers<'a>(part: &'a Part<'_>, around: &'a Around<'_>) -> impl Iterator<Item = &'a Customer> {
    around.customers.iter().filter(|customer| customer.new.is_some_and(|new| holds(part.blocks, new)))
}

fn holds(blocks: &[Block], address: Ipv6Addr) -> bool {
    blocks.iter().any(|block| block.interval().first() <= address && address <= block.interval().last())
}

/// The addresses of managed Services in the new range, and what of it is on the pool already.
fn reserved(part: &Part<'_>, around: &Around<'_>) -> Vec<Block> {
    let mut addresses: Vec<_> = customers(part, around).filter_map(|customer| customer.new).map(single).collect();
    addresses.extend(pieces(part, around));
    joined(addresses).into_iter().map(Block::Range).collect()
}

/// What stands on the pool of a range; `otherwise` if it is all of it, or nothing.
fn as_it_is(part: &Part<'_>, around: &Around<'_>, otherwise: &[Block]) -> Vec<Block> {
    let pieces = pieces(part, around);
    let whole = part.blocks.iter().all(|block| is_whole(block.interval(), around));
    match (pieces.is_empty(), whole) {
        (true, _) => otherwise.to_vec(),
        (false, true) => part.blocks.to_vec(),
        (false, false) => pieces.into_iter().map(Block::Range).collect(),
    }
}

/// Our entries on the pool that lie in a range.
fn pieces(part: &Part<'_>, around: &Around<'_>) -> Vec<Interval> {
    let inside = |entry: &&Interval| part.blocks.iter().any(|block| block.interval().contains(entry));
    around.recorded.iter().filter(inside).copied().collect()
}

/// A former range whose drain goes on: new Services must not get an address in it, those that have one keep it.
fn drained(part: &Part<'_>, around: &Around<'_>, shares: &mut Shares) -> Vec<Block> {
    let Some(in_use) = around.in_use else {
        shares.whole_for_ignorance = true;
        return part.blocks.to_vec();
    };
    let used = in_use.iter().chain(around.customers.iter().flat_map(|customer| &customer.pins));
    let used = used.filter(|address| holds(part.blocks, **address)).copied().map(single);
    let before = around.narrowed.get(&part.prefix).into_iter().flatten().copied();
    let kept = joined(before.chain(used).collect());
    shares.narrowed.insert(part.prefix, kept.clone());
    kept.into_iter().map(Block::Range).collect()
}

/// A former range whose drain is over: it stays as long as a managed Service asks for an address in it.
fn leaving(part: &Part<'_>, around: &Around<'_>, shares: &mut Shares) -> Vec<Block> {
    let asks = |customer: &Customer| {
        !customer.given_up && customer.pins.iter().any(|pin| holds(part.blocks, *pin) && is_on(*pin, around))
    };
    if around.customers.iter().any(asks) { drained(part, around, shares) } else { Vec::new() }
}

fn is_on(address: Ipv6Addr, around: &Around<'_>) -> bool {
    around.recorded.iter().any(|entry| entry.first() <= address && address <= entry.last())
}

fn single(address: Ipv6Addr) -> Interval {
    Interval::from(Ipv6Net::from(address))
}

/// The same addresses in as few intervals as possible, ascending.
pub fn joined(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    let mut all: Vec<Interval> = Vec::new();
    for next in intervals {
        let last = all.last().copied();
        let touches = |last: &Interval| next.first().to_bits().saturating_sub(1) <= last.last().to_bits();
        match last.filter(touches).and_then(|last| Interval::new(last.first(), last.last().max(next.last()))) {
            Some(both) => {
                all.pop();
                all.push(both);
            }
            None => all.push(next),
        }
    }
    all
}
