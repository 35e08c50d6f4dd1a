//! What status and log say about a managed Service: full sentences for the person who must act.

use std::net::{IpAddr, Ipv6Addr};

use super::super::decide;
use super::super::slot::{Level, Slot, Status};
use super::Holder;
use crate::cluster::service::{Request, Service};
use crate::cluster::transition::{Allocator, PATIENCE, Stage};
use crate::config::ObjectRef;
use crate::plan::ServiceWant;
use crate::time::Instant;

/// What a sentence is about.
pub(super) struct Sight<'a> {
    pub(super) reference: &'a ObjectRef,
    pub(super) facts: &'a Service,
    pub(super) allocator: Allocator,
    pub(super) new: Option<Ipv6Addr>,
    /// Another Service that has the new address, or asks for it.
    pub(super) holder: Option<&'a Holder>,
    /// Whether nothing is under way that would give it the new address.
    pub(super) is_stuck: bool,
    /// A pool that has the new address and does not serve the Service, and why; no other has it.
    pub(super) refusing: Option<(ObjectRef, &'static str)>,
}

/// The status of a Service of which nothing has to be written now. `hangs`: its step takes too long.
pub(super) fn stage(
    sight: &Sight<'_>,
    slot: &Slot,
    want: &ServiceWant,
    stage: Stage,
    hangs: bool,
    now: Instant,
) -> Status {
    let level = if hangs { Level::Bad } else { Level::Passing };
    match stage {
        Stage::Served if hangs => Status::new(level, "AwaitingNarrowing", awaiting_narrowing(sight)),
        Stage::Served if slot.aside.is_some() => Status::new(Level::Passing, "StepsAside", steps_aside(sight, slot)),
        Stage::Served => served(slot, want, now),
        Stage::Refused if !sight.is_stuck => Status::new(Level::Passing, "AwaitingAddress", awaiting_holder(sight)),
        Stage::Refused if slot.cornered => Status::new(Level::Bad, "AddressRefused", cornered(sight)),
        Stage::Refused => Status::new(Level::Bad, "AddressRefused", refused(sight)),
        Stage::Unplaced => Status::new(level, "AwaitingFirstAddress", unplaced(sight, want, hangs)),
        Stage::AwaitingPool if sight.refusing.is_some() => {
            Status::new(Level::Bad, "AwaitingPool", not_served_by_pool(sight))
        }
        Stage::AwaitingPool => Status::new(level, "AwaitingPool", awaiting_pool(sight, hangs)),
        Stage::AwaitingAddress | Stage::AwaitingPin => {
            Status::new(level, "AwaitingAddress", awaiting_address(sight, hangs))
        }
        // DNS could only not be written if it were not ours to say.
        Stage::AwaitingTarget => Status::new(level, "AwaitingTarget", None),
    }
}

/// It has its address.
fn served(slot: &Slot, want: &ServiceWant, now: Instant) -> Status {
    let fight = slot.contest.as_ref().filter(|contest| contest.is_on());
    if let Some(contest) = fight.filter(|contest| contest.peace_at().is_none_or(|at| at > now)) {
        let text = format!("Written again; {} removed it before.", decide::who(contest.manager()));
        return Status { synced: true, ..Status::new(Level::Bad, "Contested", text) };
    }
    let status = match want.findings.first() {
        Some(finding) => Status::new(Level::Odd, finding.reason, finding.message.clone()),
        None => Status::new(Level::Good, "Synced", None),
    };
    Status { synced: true, ..status }
}

fn refused(sight: &Sight<'_>) -> String {
    let Sight { reference, facts, .. } = sight;
    let new = address(sight.new);
    let held: Vec<String> = facts.ingress.iter().map(IpAddr::to_string).collect();
    let keeps = if held.is_empty() { "It has no address".to_owned() } else { format!("It keeps {}", held.join(", ")) };
    let refusal = sight.new.and_then(|new| facts.refusal(IpAddr::V6(new)));
    match (sight.holder, refusal) {
        (Some(Holder { service, to: Some(to), .. }), _) => format!(
            "{reference} does not get {new}: {service} has it and does not get {to}, which it is to have instead. {keeps}, and \
             DNS is left with that. See what is said of {service}, or give one of them another suffix."
        ),
        (Some(Holder { service, .. }), _) => format!(
            "{reference} does not get {new}, which {service} has or asks for. {keeps}, and DNS is left with that. Give one of \
             them another suffix, or both the same sharing key."
        ),
        (None, Some(why)) => format!(
            "{} refuses to give {reference} the address {new}: {} ({}). {keeps}, and DNS is left with that. Give it \
             another suffix, or make the pool's serviceSelector match it.",
            name(sight.allocator),
            why.message,
            why.reason,
        ),
        (None, None) => format!("{reference} does not get {new}. {keeps}, and DNS is left with that."),
    }
}

/// It waits for itself, by way of others.
fn cornered(sight: &Sight<'_>) -> String {
    let (reference, new) = (sight.reference, address(sight.new));
    let holder = sight.holder.map_or_else(|| "another Service".to_owned(), |holder| holder.service.to_string());
    format!(
        "{reference} does not get {new}: {holder} has it, and the Services that would have to change places wait for each \
         other, because their range has no free address at which one of them could be meanwhile. They keep what they have, and \
         DNS is left with that. Make the range larger, or give one of them another suffix."
    )
}

fn steps_aside(sight: &Sight<'_>, slot: &Slot) -> Option<String> {
    let (wanted, meanwhile) = slot.aside?;
    Some(format!(
        "{} is to have {wanted}, and the Service that has it is to have its own. So that neither is without an address, \
         it has {meanwhile} until the other one has moved.",
        sight.reference
    ))
}

fn awaiting_holder(sight: &Sight<'_>) -> String {
    let (reference, new) = (sight.reference, address(sight.new));
    match sight.holder {
        Some(Holder { service, to: Some(to), .. }) => {
            format!("{reference} gets {new} as soon as {service} has moved to {to}.")
        }
        Some(Holder { service, .. }) => format!("{reference} gets {new} as soon as {service} has left it."),
        None => format!(
            "{reference} gets {new} in a few seconds: another Service had it, and {} may not know yet that it has it no \
             more.",
            name(sight.allocator)
        ),
    }
}

fn unplaced(sight: &Sight<'_>, want: &ServiceWant, hangs: bool) -> String {
    let Sight { reference, .. } = sight;
    if !hangs {
        return format!("{reference} has no IPv6 address yet; the host part of its first one will be kept.");
    }
    format!(
        "{reference} has had no IPv6 address of {} for {} s, so there is no host part to keep. Check that a pool with its \
         range selects it and that its spec.ipFamilies has IPv6, or give it a suffix.",
        want.dynamic_prefix,
        PATIENCE.as_secs(),
    )
}

fn awaiting_pool(sight: &Sight<'_>, hangs: bool) -> String {
    let (reference, new) = (sight.reference, address(sight.new));
    let (pool, sign) = match sight.allocator {
        Allocator::Cilium => (
            "CiliumLoadBalancerIPPool",
            "whether it has the condition PoolConflict, and whether the Cilium operator runs: it has to report the \
             generation of the pool in IPsTotal",
        ),
        Allocator::MetalLb => ("IPAddressPool", "whether the MetalLB controller runs and has loaded its list"),
    };
    if !hangs {
        return format!("{reference} waits for a {pool} to offer {new}.");
    }
    format!(
        "No {pool} has been seen to offer {new} to {reference} for {} s; it keeps what it has. Check that the range is \
         bound to a pool, {sign}.",
        PATIENCE.as_secs()
    )
}

fn not_served_by_pool(sight: &Sight<'_>) -> Option<String> {
    let (pool, why) = sight.refusing.as_ref()?;
    let (reference, new) = (sight.reference, address(sight.new));
    Some(format!(
        "{reference} does not get {new}: {pool} has it, but {why}. It keeps what it has. Change the pool or the Service's \
         labels, or bind the range to a pool that serves it."
    ))
}

fn awaiting_narrowing(sight: &Sight<'_>) -> String {
    let reference = sight.reference;
    format!(
        "{reference} has its new address, and the drain of its former one is over, but no CiliumLoadBalancerIPPool has been \
         seen for {} s to hold of the former range only what is in use, so it keeps both: what it gave up would go to \
         the next Service. Check whether the pool can be written, whether it has the condition PoolConflict, and whether \
         the Cilium operator runs: it has to report the generation of the pool in IPsTotal.",
        PATIENCE.as_secs()
    )
}

fn awaiting_address(sight: &Sight<'_>, hangs: bool) -> String {
    let (reference, new, allocator) = (sight.reference, address(sight.new), name(sight.allocator));
    if !hangs {
        return format!("{reference} asks {allocator} for {new} and does not have it yet.");
    }
    let said = match &sight.facts.request {
        Request::Unsatisfied(why) => format!(" It says: {} ({}).", why.message, why.reason),
        Request::Unknown | Request::Satisfied => String::new(),
    };
    format!(
        "{reference} has asked {allocator} for {new} for {} s without getting it; DNS is left as it is.{said} Check that \
         its controller runs and that the pool selects this Service.",
        PATIENCE.as_secs()
    )
}

const fn name(allocator: Allocator) -> &'static str {
    match allocator {
        Allocator::Cilium => "Cilium",
        Allocator::MetalLb => "MetalLB",
    }
}

fn address(new: Option<Ipv6Addr>) -> String {
    new.map_or_else(|| "its address".to_owned(), |new| new.to_string())
}
