//! One pool: what it should hold of each generation.
//!
//! What a former range was narrowed to is seen on the pool itself, so nothing has to be remembered: as long as it stands
//! there whole it is to be narrowed, and once it was, what is there stays. Addresses given up in it stay for a moment, for
//! to take each out would be a write. So do those that were kept for managed Services
//! in a range that has become a former one before they came for them.

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
    /// Whether its addresses reach nobody any more.
    pub dead: bool,
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
    /// It cannot be written (no permission, another daemon's, a collision), so nothing is gained by waiting for it.
    pub given_up: bool,
    /// The addresses that it asks for on our behalf, as seen on it and in a write of ours that is under way. Of one that
    /// is refused and has been left to its allocator these are, for [`LEFT_ALONE`](super::LEFT_ALONE), the addresses that
    /// it holds.
    pub pins: Vec<Ipv6Addr>,
}

/// What surrounds the pool.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Our entries on the pool, as seen on it: by its record, and without one by the rules of ownership.
    pub recorded: &'a [Interval],
    /// The user's entries on it.
    pub foreign: &'a [Interval],
    /// The managed Services.
    pub customers: &'a [Customer],
    /// The addresses of all Services, ascending; `None`: they cannot be known (no right to list Services) or are of no
    /// use (Cilium before 1.20), so nothing is narrowed. A pool that holds something of ours must not be decided about
    /// at all before Services were listed, or that was refused, for the first time: nobody knows who asks for what.
    pub in_use: Option<&'a [Ipv6Addr]>,
    /// Whether its controller has put it out of service (PoolConflict). Who loses an address in it gets no other, and a
    /// range that is changed loses its addresses, so only new ones are added then.
    pub in_conflict: bool,
    /// Whether something that was given up in a narrowed range has stood there for [`FREED`](super::FREED).
    pub tidy: bool,
}

/// What a pool should hold of the parts of one DynamicPrefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// By part, in their order.
    pub blocks: Vec<Vec<Block>>,
    /// Whether the current ranges are held back, except for the addresses of managed Services (step 1).
    pub reserved: bool,
    /// Whether a range is whole only because the addresses in use are not known.
    pub whole_for_ignorance: bool,
    /// What stays of ranges whose drain is over, for managed Services that cannot be written and ask for nothing else.
    pub kept: Vec<Ipv6Addr>,
}

impl Shares {
    /// All blocks in the order in which they are to stand in the list: those of the current ranges first. While they are
    /// held back they are last, and first is what is whole: the rest of former ranges is for who has it. MetalLB hands
    /// out in this order, and so does Cilium after a restart of its operator.
    pub fn list(&self, parts: &[Part<'_>]) -> Vec<Block> {
        let place = |part: &Part<'_>, block: &Block| match part.role == Role::Current {
            true if self.reserved => 2,
            true => 0,
            false => u8::from(!self.reserved || !part.blocks.contains(block)),
        };
        let pairs = parts.iter().zip(&self.blocks);
        let mut all: Vec<(u8, Block)> =
            pairs.flat_map(|(part, blocks)| blocks.iter().map(move |block| (place(part, block), *block))).collect();
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, block)| block).collect()
    }
}

/// Decides what a pool should hold of the DynamicPrefixes bound to it, each with its generations, the current one first.
pub fn pool(prefixes: &[Vec<Part<'_>>], around: &Around<'_>) -> Vec<Shares> {
    let all = |tidy: bool| prefixes.iter().map(|parts| shares(parts, around, tidy)).collect::<Vec<_>>();
    let calm = all(false);
    let stays: Vec<_> = calm.iter().flat_map(|shares| shares.blocks.iter().flatten()).map(Block::interval).collect();
    let leaves = |entry: &&Interval| {
        let is_ours = prefixes.iter().flatten().any(|part| part.blocks.iter().any(|b| b.interval().overlaps(entry)));
        is_ours && !entry.without(stays.iter().copied()).is_empty()
    };
    let there = || around.recorded.iter().chain(around.foreign).copied();
    let comes = stays.iter().any(|block| !block.without(there()).is_empty());
    // What was given up in former ranges, or kept for Services that never came for it, leaves with any other write once the
    // new range is there: who loses an address in what leaves must not get one there, and the next Service neither.
    if around.tidy || comes || around.recorded.iter().find(leaves).is_some() { all(true) } else { calm }
}

/// Decides about one DynamicPrefix; `tidy`: addresses given up in its former ranges leave.
fn shares(parts: &[Part<'_>], around: &Around<'_>, tidy: bool) -> Shares {
    let mut shares = Shares { reserved: is_reserved(parts, around), ..Shares::default() };
    let stays = around.in_conflict || moving(parts, around).next().is_some();
    for part in parts {
        let blocks = match part.role {
            Role::Current if shares.reserved => reserved(part, around),
            Role::Current => part.blocks.to_vec(),
            // One does not wait for the next: what Services have given up in it would be handed out meanwhile.
            Role::Known if !stays && !is_asked_for(part, around) => kept(part, parts, around, &mut shares),
            Role::Draining | Role::Known if around.in_conflict => as_it_is(part, around),
            // What a Service finds there in this step stays: it would lose that to a range that is about to go itself.
            Role::Draining | Role::Known if shares.reserved && (!around.tidy || around.in_use.is_none()) => {
                as_it_is(part, around)
            }
            Role::Draining | Role::Known => narrowed(part, around, tidy, &mut shares),
        };
        shares.blocks.push(blocks);
    }
    shares
}

/// The managed Services on their way to an address in the current ranges: until they are there no range leaves.
fn moving<'a>(parts: &'a [Part<'_>], around: &'a Around<'_>) -> impl Iterator<Item = &'a Customer> {
    let current = parts.iter().filter(|part| part.role == Role::Current);
    let customers = current.flat_map(|part| customers(part, around));
    customers.filter(|customer| !customer.stage.is_settled() && !customer.given_up)
}

/// Whether the new range, offered as a whole, could cost a managed Service its address in it. Without a former range the
/// others have nothing yet and would take the very addresses that are held for it, so it gets everything at once.
fn is_reserved(parts: &[Part<'_>], around: &Around<'_>) -> bool {
    let is_there = |part: &Part<'_>| part.blocks.iter().any(|block| !pieces(block.interval(), around).is_empty());
    let mut current = parts.iter().filter(|part| part.role == Role::Current);
    let lacks_some = current.clone().any(|part| part.blocks.iter().any(|block| !is_whole(block.interval(), around)));
    let has_former = parts.iter().any(|part| part.role != Role::Current && is_there(part));
    let is_waited_for = has_former && moving(parts, around).next().is_some();
    lacks_some && (is_waited_for || around.in_conflict && current.any(is_there))
}

/// Whether a managed Service asks for an address in a former range that the pool still has.
fn is_asked_for(part: &Part<'_>, around: &Around<'_>) -> bool {
    let is_on = |address: Ipv6Addr| around.recorded.iter().any(|entry| has(entry, address));
    let asks = |pin: &Ipv6Addr| holds(part.blocks, *pin) && is_on(*pin);
    around.customers.iter().any(|customer| !customer.given_up && customer.pins.iter().any(asks))
}

/// What stays of a range whose drain is over. A Service that cannot be written goes on asking for what it has; without
/// anything else to ask for it would have nothing at all, and its name would lead nowhere. It needs that as long as
/// somebody can be reached by it.
fn kept(part: &Part<'_>, parts: &[Part<'_>], around: &Around<'_>, shares: &mut Shares) -> Vec<Block> {
    let lasts = |pin: &Ipv6Addr| {
        let mut lasting = parts.iter().filter(|part| part.role != Role::Known);
        lasting.any(|part| holds(part.blocks, *pin)) || around.foreign.iter().any(|entry| has(entry, *pin))
    };
    let needs = |customer: &&Customer| customer.given_up && !part.dead && !customer.pins.iter().any(lasts);
    let needed: Vec<Ipv6Addr> = around.customers.iter().filter(needs).flat_map(|it| &it.pins).copied().collect();
    let of_block = |block: &Block| {
        let there = pieces(block.interval(), around);
        let stays = |address: &&Ipv6Addr| there.iter().any(|piece| has(piece, **address));
        let stays: Vec<Ipv6Addr> = needed.iter().filter(stays).copied().collect();
        shares.kept.extend(&stays);
        match stays.is_empty() {
            true => Vec::new(),
            false if around.in_conflict => complete(*block, there, &[]),
            false => complete(*block, Vec::new(), &stays),
        }
    };
    part.blocks.iter().flat_map(of_block).collect()
}

fn customers<'a>(part: &'a Part<'_>, around: &'a Around<'_>) -> impl Iterator<Item = &'a Customer> {
    around.customers.iter().filter(|customer| customer.new.is_some_and(|new| holds(part.blocks, new)))
}

/// The addresses of managed Services in the new range, and what of it is on the pool already.
fn reserved(part: &Part<'_>, around: &Around<'_>) -> Vec<Block> {
    let addresses: Vec<_> = customers(part, around).filter_map(|customer| customer.new).collect();
    with(part, around, &addresses)
}

/// A former range while the new one is held back.
fn as_it_is(part: &Part<'_>, around: &Around<'_>) -> Vec<Block> {
    with(part, around, &asked_for(part, around))
}

/// What managed Services ask for in a range that drains: somebody may have taken it from the pool. What has left at the
/// end of a drain does not come back.
fn asked_for(part: &Part<'_>, around: &Around<'_>) -> Vec<Ipv6Addr> {
    let drains = part.role == Role::Draining;
    around.customers.iter().filter(|_| drains).flat_map(|customer| &customer.pins).copied().collect()
}

/// A former range whose drain goes on: new Services must not get an address in it, those that have one keep it. While the
/// new range is held back they get theirs in what is whole.
fn narrowed(part: &Part<'_>, around: &Around<'_>, tidy: bool, shares: &mut Shares) -> Vec<Block> {
    let Some(in_use) = around.in_use else {
        let is_there = part.blocks.iter().any(|block| !pieces(block.interval(), around).is_empty());
        shares.whole_for_ignorance = true;
        return if is_there { as_it_is(part, around) } else { part.blocks.to_vec() };
    };
    let (reserved, asked_for) = (shares.reserved, asked_for(part, around));
    let all_asked_for = around.customers.iter().flat_map(|customer| &customer.pins);
    let used: Vec<_> = in_use.iter().chain(all_asked_for).copied().collect();
    let of_block = |block: &Block| {
        let range = block.interval();
        let is_whole = is_whole(range, around);
        if is_whole && reserved {
            return vec![*block];
        }
        if !is_whole && !tidy {
            return complete(*block, pieces(range, around), &asked_for);
        }
        let there = if is_whole { vec![range] } else { pieces(range, around) };
        let stays = used.iter().filter(|address| there.iter().any(|piece| has(piece, **address)));
        complete(*block, Vec::new(), &stays.chain(&asked_for).copied().collect::<Vec<_>>())
    };
    part.blocks.iter().flat_map(of_block).collect()
}

/// What stands on the pool of a range, and these addresses of it.
fn with(part: &Part<'_>, around: &Around<'_>, addresses: &[Ipv6Addr]) -> Vec<Block> {
    let of_block = |block: &Block| {
        let range = block.interval();
        if is_whole(range, around) {
            return vec![*block];
        }
        complete(*block, pieces(range, around), addresses)
    };
    part.blocks.iter().flat_map(of_block).collect()
}

/// The pieces of a block with those of `addresses` that lie in it; the very same pieces if they have them all.
fn complete(block: Block, pieces: Vec<Interval>, addresses: &[Ipv6Addr]) -> Vec<Block> {
    let range = block.interval();
    let missing = addresses.iter().filter(|address| has(&range, **address));
    let missing: Vec<_> = missing.filter(|address| !pieces.iter().any(|piece| has(piece, **address))).collect();
    let all = if missing.is_empty() {
        pieces
    } else {
        joined(missing.into_iter().map(|address| single(*address)).chain(pieces).collect())
    };
    if all == [range] { vec![block] } else { all.into_iter().map(Block::Range).collect() }
}

/// What of a range our entries on the pool hold, as they stand there.
fn pieces(range: Interval, around: &Around<'_>) -> Vec<Interval> {
    let cut = |entry: &Interval| Interval::new(entry.first().max(range.first()), entry.last().min(range.last()));
    around.recorded.iter().filter_map(cut).collect()
}

/// Whether all of a range is on the pool, be it ours or the user's.
fn is_whole(range: Interval, around: &Around<'_>) -> bool {
    range.without(around.recorded.iter().chain(around.foreign).copied()).is_empty()
}

fn holds(blocks: &[Block], address: Ipv6Addr) -> bool {
    blocks.iter().any(|block| has(&block.interval(), address))
}

fn has(interval: &Interval, address: Ipv6Addr) -> bool {
    interval.first() <= address && address <= interval.last()
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
