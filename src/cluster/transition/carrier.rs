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
    /// Its address in the current generation; `None`: it has no host part yet, or there is no current prefix.
    pub new: Option<Ipv6Addr>,
    /// The IPv6 addresses that it asks for on our behalf, in order: the recorded ones that are still in its list.
    pub pins: &'a [Ipv6Addr],
    /// Whether the user's own entries ask for the new address.
    pub user_asks: bool,
    /// The IPv6 addresses in its status.
    pub holds: &'a [Ipv6Addr],
    /// The IPv6 addresses that its DNS target names on our behalf; `None`: DNS is not ours to say.
    pub targets: Option<&'a [Ipv6Addr]>,
    /// Whether a pool offers the new address and its controller has seen that.
    pub offered: bool,
    /// Whether the allocator says that it will not give it the new address, or another Service has it.
    pub refused: bool,
    /// Since when DNS is known to name the new address; `None`: it does not, or that was not seen yet.
    pub dns_since: Option<Instant>,
}

/// What is to be done about a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Where it is.
    pub stage: Stage,
    /// The IPv6 addresses that it should ask for, the new one first; empty: it is left to the allocator.
    pub pins: Vec<Ipv6Addr>,
    /// The IPv6 address that DNS should name; `None`: nothing is named by us (yet).
    pub target: Option<Ipv6Addr>,
    /// When it has to be looked at again without an input.
    pub wake: Option<Instant>,
}

/// Decides about one Service. `age` says of which generation of its DynamicPrefix an address is.
pub fn goal(carrier: &Carrier<'_>, age: impl Fn(Ipv6Addr) -> Option<Age>, now: Instant) -> Goal {
    let target = target(carrier, &age);
    let Some(new) = carrier.new else {
        return Goal { stage: Stage::Unplaced, pins: carrier.pins.to_vec(), target, wake: None };
    };
    let stage = stage(carrier, new, target);
    let may_ask = may_ask(carrier, new, stage);
    let (kept, wake) = kept(carrier, new, stage, may_ask, &age, now);
    let hopeless = stage == Stage::Refused && !kept.iter().any(|pin| is_of_use(*pin, carrier, &age));
    let has_something = !carrier.holds.is_empty() || !carrier.pins.is_empty();
    if hopeless && has_something {
        // Asking only for what nobody can serve would leave it without an address when the old range goes.
        return Goal { stage, pins: Vec::new(), target, wake };
    }
    let asked = may_ask.then_some(new);
    Goal { stage, pins: asked.into_iter().chain(kept).collect(), target, wake }
}

fn stage(carrier: &Carrier<'_>, new: Ipv6Addr, target: Option<Ipv6Addr>) -> Stage {
    let asked = carrier.pins.contains(&new) || carrier.user_asks;
    match (carrier.holds.contains(&new), asked) {
        (true, true) => match carrier.targets {
            Some(named) if named != target.as_slice() => Stage::AwaitingTarget,
            _ => Stage::Served,
        },
        (true, false) => Stage::AwaitingPin,
        (false, _) if carrier.refused => Stage::Refused,
        (false, true) if carrier.offered => Stage::AwaitingAddress,
        (false, false) if carrier.offered => Stage::AwaitingPin,
        (false, _) => Stage::AwaitingPool,
    }
}

/// Whether asking for the new address cannot cost it one that it has.
fn may_ask(carrier: &Carrier<'_>, new: Ipv6Addr, stage: Stage) -> bool {
    let has_nothing = carrier.holds.is_empty() && carrier.pins.is_empty();
    match stage {
        Stage::Unplaced => false,
        Stage::AwaitingPool => has_nothing || carrier.pins.contains(&new) && carrier.allocator == Allocator::Cilium,
        // MetalLB takes everything from a Service that asks for what it cannot have.
        Stage::Refused => carrier.allocator == Allocator::Cilium || has_nothing,
        Stage::AwaitingPin | Stage::AwaitingAddress | Stage::AwaitingTarget | Stage::Served => true,
    }
}

/// The other addresses that it goes on asking for, and when that has to be looked at again.
fn kept(
    carrier: &Carrier<'_>,
    new: Ipv6Addr,
    stage: Stage,
    may_ask: bool,
    age: &impl Fn(Ipv6Addr) -> Option<Age>,
    now: Instant,
) -> (Vec<Ipv6Addr>, Option<Instant>) {
    let is_one_address = carrier.allocator == Allocator::MetalLb || carrier.mode == Mode::Simple;
    if is_one_address && may_ask && stage != Stage::Refused && stage != Stage::AwaitingPool {
        return (Vec::new(), None);
    }
    let mut wake = None;
    let mut kept: Vec<Ipv6Addr> = Vec::new();
    let held = carrier.holds.iter().filter(|held| may_ask && !is_one_address && age(**held).is_some());
    for pin in carrier.pins.iter().chain(held).filter(|pin| **pin != new) {
        let end = end(*pin, carrier, stage, age);
        if kept.contains(pin) || end.is_some_and(|end| end <= now) {
            continue;
        }
        wake = wake.into_iter().chain(end).min();
        kept.push(*pin);
    }
    if is_one_address {
        kept.truncate(1);
    }
    (kept, wake)
}

/// When an address that is not the new one may be given up; `None`: not known yet.
fn end(pin: Ipv6Addr, carrier: &Carrier<'_>, stage: Stage, age: &impl Fn(Ipv6Addr) -> Option<Age>) -> Option<Instant> {
    let age = age(pin);
    if stage != Stage::Served || age.is_some_and(|age| age.role == Role::Draining) {
        return None;
    }
    if age.is_some_and(|age| age.dead) {
        return Some(Instant::BOOT);
    }
    match carrier.targets {
        Some(_) => carrier.dns_since.map(|since| since + AFTER_DNS),
        // What is not named has nobody who remembers it.
        None => Some(Instant::BOOT),
    }
}

/// Whether an address is worth asking for: it has it, and its range does not go.
fn is_of_use(pin: Ipv6Addr, carrier: &Carrier<'_>, age: &impl Fn(Ipv6Addr) -> Option<Age>) -> bool {
    carrier.holds.contains(&pin) && age(pin).is_some_and(|age| age.role != Role::Known)
}

/// The address for DNS: the new one once it has it; until then what is named goes on being named as long as it has
/// that, else the newest that it has.
fn target(carrier: &Carrier<'_>, age: &impl Fn(Ipv6Addr) -> Option<Age>) -> Option<Ipv6Addr> {
    let named = carrier.targets?;
    let has_new = carrier.new.filter(|new| carrier.holds.contains(new));
    let asks_for_it = |new: &Ipv6Addr| carrier.pins.contains(new) || carrier.user_asks;
    let still = || named.iter().find(|named| carrier.holds.contains(named)).copied();
    let newest = || {
        let known = carrier.holds.iter().filter_map(|held| Some((age(*held)?.role, *held)));
        known.min_by_key(|(role, _)| *role).map(|(_, held)| held)
    };
    // One that names nothing yet is left to external-dns, which names what is in the status.
    let instead = || if named.is_empty() { None } else { newest().or_else(|| named.first().copied()) };
    has_new.filter(asks_for_it).or_else(still).or_else(instead)
}
