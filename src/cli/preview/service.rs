//! What every `[[service]]` would have. Services with annotations are only known in the cluster, and so is the host part
//! of one that keeps that of its address.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use crate::config::{Config, Mode, ObjectRef, Part, Service};
use crate::plan::{self, Catalogue, Role, ServiceWant};
use crate::status::TargetStatus;

/// By cluster, in file order.
pub(super) fn targets(config: &Config, catalogue: &Catalogue) -> Vec<((String, ObjectRef), TargetStatus)> {
    let mut planned = Vec::new();
    for service in &config.services {
        let entries = std::slice::from_ref(service);
        // Without annotations; DNS and what they say besides is seen in the cluster only.
        let want = plan::service(&service.target, &BTreeMap::new(), entries, false, catalogue);
        planned.extend(want.map(|want| (service, planned_for(&want, service, catalogue))));
    }
    let shown = |(service, plan): &(&Service, Planned)| {
        ((service.cluster.clone(), service.target.clone()), target(service, plan, meets(service, plan, &planned)))
    };
    planned.iter().map(shown).collect()
}

/// What can be known of a Service without its cluster.
struct Planned {
    who: &'static str,
    /// Its address in the prefix in use.
    new: Option<Ipv6Addr>,
    /// Those that it keeps while former prefixes drain, newest first.
    old: Vec<Ipv6Addr>,
    reason: &'static str,
    message: Option<String>,
}

fn planned_for(want: &ServiceWant, service: &Service, catalogue: &Catalogue) -> Planned {
    let nothing =
        |reason, message: String| Planned { who: want.who, new: None, old: Vec::new(), reason, message: Some(message) };
    if let Some(finding) = want.findings.iter().find(|finding| finding.blocks_write) {
        return nothing(finding.reason, finding.message.clone());
    }
    let Some(host) = want.host_part(catalogue, None, &[]) else {
        return nothing("NotKnownOffline", not_known(service));
    };
    match want.current_address(catalogue, host) {
        None if want.has_opinion => nothing("NoOpinion", "No prefix is in use; the Service stays as it is.".to_owned()),
        None => nothing("NoOpinion", "No prefix is known; the Service stays as it is.".to_owned()),
        Some(Err(error)) => nothing("EntryError", error.message),
        Some(Ok(new)) => {
            let old = if want.mode == Mode::Ha { draining(want, host, catalogue) } else { Vec::new() };
            let one = "MetalLB gives a Service one IPv6 address: from MetalLB it has the first of these only.";
            let message = (!old.is_empty()).then(|| one.to_owned());
            Planned { who: want.who, new: Some(new), old, reason: "Planned", message }
        }
    }
}

fn not_known(service: &Service) -> String {
    let place = match &service.part {
        Part::Named(names) => format!("{}/{}", service.dynamic_prefix, names.join("+")),
        Part::Whole => service.dynamic_prefix.clone(),
    };
    format!(
        "It keeps the host part of the address that it has in {place}, which is known in its cluster only; with `suffix` \
         it is known here."
    )
}

fn draining(want: &ServiceWant, host: Ipv6Addr, catalogue: &Catalogue) -> Vec<Ipv6Addr> {
    let generations = want.computed(catalogue).map_or(&[][..], |computed| &computed.generations);
    let draining = generations.iter().filter(|generation| generation.role == Role::Draining);
    draining.filter_map(|generation| want.address(generation, host).ok()).collect()
}

/// Another Service of the cluster with the same address. Whether they share it is said by their annotations.
fn meets<'a>(service: &Service, plan: &Planned, all: &'a [(&Service, Planned)]) -> Option<&'a ObjectRef> {
    let other = all.iter().find(|(other, planned)| {
        other.cluster == service.cluster && other.target != service.target && planned.new == plan.new
    });
    other.filter(|_| plan.new.is_some()).map(|(other, _)| &other.target)
}

fn target(service: &Service, plan: &Planned, meets: Option<&ObjectRef>) -> TargetStatus {
    let object = &service.target;
    let shared = meets.map(|other| format!("{other} has this address, too, which needs a sharing key on both."));
    let sentences: Vec<String> = shared.into_iter().chain(plan.message.clone()).collect();
    TargetStatus {
        cluster: service.cluster.clone(),
        kind: object.kind.as_str().to_owned(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        uid: None,
        bindings: vec![plan.who.to_owned()],
        bound_prefixes: plan.new.into_iter().map(|new| Ipv6Net::from(new).to_string()).collect(),
        desired: plan.new.iter().chain(&plan.old).map(ToString::to_string).collect(),
        foreign: Vec::new(),
        synced: false,
        observed: None,
        last_sync_time: None,
        retry_at: None,
        reason: plan.reason.to_owned(),
        message: (!sentences.is_empty()).then(|| sentences.join(" ")),
    }
}
