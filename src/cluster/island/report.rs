//! The status of an object, for the coordinator.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::slot::Slot;
use crate::cluster::object::{FIELD_MANAGER, MANAGED_BY};
use crate::cluster::{OtherWriter, TargetReport};
use crate::config::{Kind, ObjectRef};
use crate::plan::Role;

/// What status says about an object.
pub(super) fn report(reference: &ObjectRef, slot: &Slot) -> TargetReport {
    let contest = slot.contest.as_ref().and_then(|contest| contest.until());
    let failure = slot.failure.as_ref().map(|failure| failure.retry_at);
    TargetReport {
        object: reference.clone(),
        uid: slot.object.as_ref().map(|object| object.uid.clone()),
        bindings: bindings(slot),
        bound_prefixes: bound_prefixes(slot),
        desired: slot.status.desired.clone(),
        foreign: slot.status.foreign.clone(),
        synced: slot.status.synced,
        observed: observed(reference, slot),
        last_sync: slot.last_sync,
        retry_at: contest.into_iter().chain(failure).max(),
        reason: slot.status.reason.clone(),
        message: slot.status.message.clone(),
        other: other(slot),
        managed: slot.memory.as_ref().map(|memory| memory.to_managed(reference)),
    }
}

/// Who else manages it, if that keeps us from it.
fn other(slot: &Slot) -> Option<OtherWriter> {
    let object = slot.object.as_ref().filter(|_| slot.status.reason == "OtherWriter")?;
    let ours = object.writers.iter().filter(|writer| writer.manager == FIELD_MANAGER);
    Some(OtherWriter {
        id: object.annotations.get(MANAGED_BY)?.clone(),
        wrote_at: ours.filter_map(|writer| writer.time.clone()).max(),
    })
}

/// Tells two reports apart without keeping the first.
pub(super) fn fingerprint(report: &TargetReport) -> u64 {
    let mut hasher = DefaultHasher::new();
    report.hash(&mut hasher);
    hasher.finish()
}

/// Who wants it: bindings, its own annotations, or what else manages a Service.
fn bindings(slot: &Slot) -> Vec<String> {
    let bindings = slot.want.iter().flat_map(|want| &want.contributions).map(|(name, _)| name.clone());
    bindings.chain(slot.carrier.iter().map(|carrier| carrier.want.who.to_owned())).collect()
}

/// The exact CIDRs of the current generation.
fn bound_prefixes(slot: &Slot) -> Vec<String> {
    if let Some(address) = slot.carrier.as_ref().and_then(|carrier| carrier.address()) {
        return vec![format!("{address}/128")];
    }
    let known = slot.want.iter().flat_map(|want| &want.known);
    let current = known.filter(|(role, _)| *role == Role::Current).flat_map(|(_, range)| range.to_nets());
    let mut prefixes = Vec::new();
    for prefix in current.map(|net| net.to_string()) {
        if !prefixes.contains(&prefix) {
            prefixes.push(prefix);
        }
    }
    prefixes
}

/// Whether the controller has seen what we wrote. Of pools only LB-IPAM says so; a Service has its address, or not.
fn observed(reference: &ObjectRef, slot: &Slot) -> Option<bool> {
    if let (Some(carrier), Some(_)) = (&slot.carrier, &slot.object) {
        return carrier.address().map(|_| slot.course.has_address);
    }
    if reference.kind != Kind::CiliumLoadBalancerIPPool || slot.paused {
        return None;
    }
    let object = slot.object.as_ref()?;
    let ours = slot.written_generation.or(object.generation)?;
    let observed = object.observed.as_ref()?;
    let has_seen = observed.generation.is_some_and(|seen| seen >= ours) || slot.is_as_known();
    Some(slot.status.synced && has_seen && observed.conflict.is_none())
}
