//! One managed Service: what it should ask for, and what DNS should name for it.

use std::net::Ipv6Addr;

use super::{AFTER_DNS, Age, Allocator, Stage};
use crate::config::Mode;
use crate::plan::Role;
use crate::time::Instant;

/// What the cluster shows of a managed Service, as far as it matters for its next step.
#[derive(Clone, Debug)]
pub struct Carrier<'a> {
    /// Who gives it its addresses.
    pub allocator: Allocator,
    /// The mode of its DynamicPrefix.
    pub mode: Mode,
    /// Its address in the current generation; `None`: it has no host part yet, or there is no current prefix, or it is
    /// to have an IPv4 address too, has no address at all and asks for none: a list would cost it the IPv4 address.
    pub new: Option<Ipv6Addr>,
    /// The IPv6 addresses that it asks for on our behalf, in order: the recorded ones that are still in its list.
    pub pins: &'a [Ipv6Addr],
    /// The addresses that another Service has, and does not share.
    pub kept_from_it: &'a [Ipv6Addr],
    /// Whether the user's own entries ask for the new address.
    pub user_asks: bool,
    /// The IPv6 addresses in its status.
    pub holds: &'a [Ipv6Addr],
    /// The IPv6 addresses that its DNS target names on our behalf; `None`: DNS is not ours to say.
    pub targets: Option<&'a [Ipv6Addr]>,
    /// Whether a pool offers the new address and its controller has seen that, no write of ours to that pool is under way
    /// (it may take the address out), and those that it holds are on a pool still (else its status is about to change,
    /// for [`LEFT_ALONE`](super::LEFT_ALONE)).
    /// With MetalLB it has to be the pool of its IPv4 address, if it
    /// has one: all addresses of a Service are of one pool.
    pub offered: bool,
    /// Whether another Service has the new address or asks for it (and the two may not share), or the allocator has said
    /// that it will not give it. What it said of the pool's selector holds when the Service does not ask any more, until
    /// selector or Service change: else it would be asked for ever. MetalLB says nothing: there it is refused when the
    /// Service asks, is offered and holds nothing for [`NOTHING_HELD`](super::NOTHING_HELD), until a pool changes; and
    /// what another Service had it has for [`LEFT_ALONE`](super::LEFT_ALONE) longer, for MetalLB may not know yet.
    pub refused: bool,
    /// Whether the pools that have its addresses in former ranges are seen to hand out nothing else of these (step 5),
    /// or never will be. Until then no address is given up: the next Service would get it.
    pub narrowed: bool,
    /// [`Goal::dns_since`] of the last decision for the same new address; `None`: there was none.
    pub dns_since: Option<Instant>,
}

/// What is to be done about a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Where it is.
    pub stage: Stage,
    /// The IPv6 addresses that it should ask for, the new one first; empty: it is left to the allocator. Another order
    /// alone is no reason to write.
    pub pins: Vec<Ipv6Addr>,
    /// The IPv6 address that DNS should name; `None`: nothing is named by us (yet).
    pub target: Option<Ipv6Addr>,
    /// Since when DNS is seen to name the new address, and that alone, or since when it has that if DNS is not ours to
    /// say; `None`: it does not. To be kept for the next decision; once forgotten it begins anew.
    pub dns_since: Option<Instant>,
    /// When it has to be looked at again without an input.
    pub wake: Option<Instant>,
    /// Whether it would give up an address by now and waits for a pool to be narrowed.
    pub waits_for_narrowing: bool,
}

impl Goal {
    /// The same, asking only for what is worth it. If nothing is left, DNS follows the status, through the very moment in
    /// which the allocator gives the Service another address.
    #[must_use]
    pub fn only(mut self, is_worth_it: impl Fn(&Ipv6Addr) -> bool) -> Self {
        let (stays, goes): (Vec<_>, Vec<_>) = self.pins.into_iter().partition(is_worth_it);
        self.target = self.target.filter(|target| goes.is_empty() || !stays.is_empty() && !goes.contains(target));
        self.pins = stays;
        self
    }
}

/// Decides about one Service. `age` says of which generation of its DynamicPrefix an address is; a recorded address of
/// none that has to drain all the same is to be called draining.
pub fn goal(carrier: &Carrier<'_>, age: impl Fn(Ipv6Addr) -> Option<Age>, now: Instant) -> Goal {
    let stage = stage(carrier);
    let Some(new) = carrier.new else {
        // Without a successor there is nothing to wait for. What it gives up is not named any more.
        let stays = |held: &Ipv6Addr| !carrier.pins.contains(held) || is_of_use(*held, &age);
        let holds: Vec<_> = carrier.holds.iter().copied().filter(stays).collect();
        let target = target(&Carrier { holds: &holds, ..carrier.clone() }, stage, carrier.pins, &age);
        let pins = carrier.pins.to_vec();
        let goal = Goal { stage, pins, target, dns_since: None, wake: None, waits_for_narrowing: false };
        return goal.only(|pin| is_of_use(*pin, &age));
    };
    if stage == Stage::Refused && !carrier.holds.iter().any(|held| is_of_use(*held, &age)) {
        // Asking only for what nobody can serve would leave it without an address when the old range goes. DNS follows
        // the status then, through the very moment in which the allocator gives it another address.
        return Goal { stage, pins: Vec::new(), target: None, dns_since: None, wake: None, waits_for_narrowing: false };
    }
    // Where DNS is not ours to say, it names what is in the status; who has asked before knows the old address only.
    let is_named = carrier.mode == Mode::Ha && stage == Stage::Served;
    let dns_since = if is_named { carrier.dns_since.or(Some(now)) } else { None };
    let asks = may_ask(carrier, new, stage);
    let (mut wake, mut waits_for_narrowing) = (None, false);
    let mut pins: Vec<_> = asks.then_some(new).into_iter().collect();
    for other in others(carrier, new, asks, &age) {
        let end = end(other, carrier, stage, dns_since, &age);
        let is_over = end.is_some_and(|end| end <= now);
        waits_for_narrowing |= is_over && !carrier.narrowed;
        if !is_over || !carrier.narrowed {
            wake = wake.into_iter().chain(end.filter(|_| !is_over)).min();
            pins.push(other);
        }
    }
    let target = target(carrier, stage, &pins, &age);
    Goal { stage, pins, target, dns_since, wake, waits_for_narrowing }
}

fn stage(carrier: &Carrier<'_>) -> Stage {
    let Some(new) = carrier.new else { return Stage::Unplaced };
    match (has_new(carrier), asks(carrier, new)) {
        (true, true) if carrier.targets.is_some_and(|named| named != [new]) => Stage::AwaitingTarget,
        (true, true) => Stage::Served,
        (true, false) => Stage::AwaitingPin,
        (false, _) if carrier.refused => Stage::Refused,
        (false, true) if carrier.offered => Stage::AwaitingAddress,
        (false, false) if carrier.offered => Stage::AwaitingPin,
        (false, _) => Stage::AwaitingPool,
    }
}

fn asks(carrier: &Carrier<'_>, new: Ipv6Addr) -> bool {
    carrier.pins.contains(&new) || carrier.user_asks
}

/// Whether it has the new address to stay. One that it has and does not ask for, although it asks for others, is about
/// to be taken from it (the prefix has come back at that very moment).
fn has_new(carrier: &Carrier<'_>) -> bool {
    let is_left_to_the_allocator = carrier.pins.is_empty() && carrier.offered;
    carrier.new.is_some_and(|new| carrier.holds.contains(&new) && (asks(carrier, new) || is_left_to_the_allocator))
}

/// Whether asking for the new address cannot cost it one that it has.
fn may_ask(carrier: &Carrier<'_>, new: Ipv6Addr, stage: Stage) -> bool {
    let is_cilium = carrier.allocator == Allocator::Cilium;
    match stage {
        Stage::Unplaced => false,
        // MetalLB takes everything, IPv4 too, from a Service that asks for what it cannot have. LB-IPAM takes what it gave
        // to one that asks for nothing, which may be at this very moment.
        Stage::AwaitingPool => carrier.pins.contains(&new),
        Stage::Refused => is_cilium,
        Stage::AwaitingPin | Stage::AwaitingAddress | Stage::AwaitingTarget | Stage::Served => true,
    }
}

/// The addresses beside the new one that it may go on asking for.
fn others(
    carrier: &Carrier<'_>,
    new: Ipv6Addr,
    asks: bool,
    age: &impl Fn(Ipv6Addr) -> Option<Age>,
) -> impl Iterator<Item = Ipv6Addr> {
    // One that asks for nothing yet would lose what it has by asking for something else.
    let begins = asks && carrier.pins.is_empty();
    let held = carrier.holds.iter().filter(move |held| begins && age(**held).is_some());
    // Of the addresses of the current generation it has given way in one, and would get that besides once it is free.
    let is_yielded = move |other: &Ipv6Addr| {
        let is_current = || age(*other).is_some_and(|age| age.role == Role::Current);
        carrier.kept_from_it.contains(other) && !carrier.holds.contains(other) && is_current()
    };
    let pins = carrier.pins.iter().filter(move |pin| !is_yielded(pin));
    let others = pins.chain(held).copied().filter(move |other| *other != new);
    others.take(match (carrier.allocator, asks) {
        (Allocator::Cilium, _) => usize::MAX,
        (Allocator::MetalLb, false) => 1,
        (Allocator::MetalLb, true) => 0,
    })
}

/// When an address that is not the new one may be given up; `None`: not known yet.
fn end(
    other: Ipv6Addr,
    carrier: &Carrier<'_>,
    stage: Stage,
    dns_since: Option<Instant>,
    age: &impl Fn(Ipv6Addr) -> Option<Age>,
) -> Option<Instant> {
    let age = age(other);
    if stage != Stage::Served {
        return None;
    }
    match carrier.mode {
        Mode::Simple => Some(Instant::BOOT),
        Mode::Ha if age.is_some_and(|age| age.role == Role::Draining) => None,
        Mode::Ha if age.is_some_and(|age| age.dead) => Some(Instant::BOOT),
        Mode::Ha => dns_since.map(|since| since + AFTER_DNS),
    }
}

/// Whether an address that a Service has will stay.
fn is_of_use(held: Ipv6Addr, age: &impl Fn(Ipv6Addr) -> Option<Age>) -> bool {
    age(held).is_some_and(|age| age.role != Role::Known)
}

/// The address for DNS: the new one once it has it; until then what is named goes on being named as long as it has
/// that, else the newest that it has. `pins` are those that it will ask for.
fn target(
    carrier: &Carrier<'_>,
    stage: Stage,
    pins: &[Ipv6Addr],
    age: &impl Fn(Ipv6Addr) -> Option<Age>,
) -> Option<Ipv6Addr> {
    let named = carrier.targets?;
    let has = |address: &&Ipv6Addr| carrier.holds.contains(address);
    let new = carrier.new.as_ref().filter(|_| has_new(carrier));
    if let Some(address) = new.or_else(|| named.iter().find(has)) {
        return Some(*address);
    }
    if named.is_empty() && stage != Stage::Refused {
        // It is left to external-dns, which names what is in the status.
        return None;
    }
    let held = carrier.holds.iter().filter_map(|held| Some((age(*held)?.role, *held)));
    let newest = held.min_by_key(|(role, _)| *role).map(|(_, held)| held);
    // One that it asks for and lost may come back.
    newest.or_else(|| named.iter().find(|named| pins.contains(named)).copied())
}
