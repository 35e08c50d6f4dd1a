//! The objects that are written: whether they are there, who else writes them, and what their controller says.

use super::{Facts, Seen};
use crate::cluster::island::contest::{hint, is_argo, is_flux};
use crate::cluster::object::{FIELD_MANAGER, MANAGED_BY, Object};
use crate::cluster::service::Request;
use crate::config::{Kind, ObjectRef};
use crate::doctor::{Check, Finding};

pub(super) fn check(facts: &Facts, seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut names: Vec<&ObjectRef> = facts.bindings.iter().map(|binding| &binding.target).collect();
    names.extend(facts.services.iter().map(|service| &service.target));
    names.sort();
    names.dedup();
    found.extend(names.iter().filter_map(|name| target(seen, name)));
    for object in seen.objects.values().filter_map(|objects| objects.as_ref().ok()).flatten() {
        if names.contains(&&object.reference) || is_annotated(object) {
            found.extend(writers(facts, object));
            found.extend(git_ops(facts, seen, object));
            found.extend(pool(object));
            found.extend(request(object));
        }
    }
    found.extend(operators(seen));
    found
}

pub(super) fn is_annotated(object: &Object) -> bool {
    object.annotations.keys().any(|key| key.starts_with("dynamic-prefix.io/"))
}

fn target(seen: &Seen, name: &ObjectRef) -> Option<Finding> {
    let subject = name.to_string();
    match seen.objects.get(&name.kind)? {
        Err(why) => {
            let message = format!("Whether {name} exists could not be seen: {}.", why.trim_end_matches('.'));
            let advice = "`dyn-prefix rbac` prints a role with all that is needed.";
            Some(Finding::unseen(Check::Target, subject, message, advice))
        }
        Ok(objects) if objects.iter().any(|object| object.reference == *name) => {
            Some(Finding::ok(Check::Target, subject, format!("{name} exists.")))
        }
        Ok(objects) => {
            let alike = objects.iter().map(|object| &object.reference);
            let alike: Vec<String> = alike.take(5).map(ToString::to_string).collect();
            let there = if alike.is_empty() { "none".to_owned() } else { alike.join(", ") };
            let message = if name.kind == Kind::Service {
                format!("{name} does not exist, or is not of type LoadBalancer; of that type: {there}.")
            } else {
                format!("{name} does not exist; of its kind: {there}.")
            };
            let advice = "Create it, or correct the name; it is written as soon as it is there. dyn-prefix creates no \
                          objects.";
            Some(Finding::error(Check::Target, subject, message, advice))
        }
    }
}

fn writers(facts: &Facts, object: &Object) -> Option<Finding> {
    let name = &object.reference;
    let subject = name.to_string();
    let managed_by = object.annotations.get(MANAGED_BY)?;
    if *managed_by != facts.daemon_id {
        let message = format!(
            "{name} is managed by the daemon \"{managed_by}\", and we are \"{}\": we do not write it.",
            facts.daemon_id
        );
        let advice = format!(
            "Two daemons must not write one object. Stop the other one for good and run `dyn-prefix take-over {name}`, or \
             take the object out of this configuration."
        );
        return Some(Finding::error(Check::OtherWriter, subject, message, advice));
    }
    let is_ours = object.writers.iter().any(|writer| writer.manager == FIELD_MANAGER);
    let other = object.last_other_writer().filter(|_| !is_ours)?;
    let message = format!("The list of {name}, which we manage, was last written by \"{other}\".");
    let advice = "If it is an operator or a job that keeps writing it, switch that off for this object; if it was you, \
                  there is nothing to do.";
    Some(Finding::warning(Check::OtherWriter, subject, message, advice))
}

fn git_ops(facts: &Facts, seen: &Seen, object: &Object) -> Option<Finding> {
    let name = &object.reference;
    let manager = object.last_other_writer();
    let (argo, flux) = (is_argo(object, manager), is_flux(object, manager));
    let tool = match (argo, flux) {
        (false, false) => return None,
        (true, false) => "Argo CD",
        (false, true) => "Flux",
        (true, true) => "Argo CD and Flux",
    };
    let version = seen.served.get(&name.kind).map_or("v1", String::as_str);
    let message = format!("{name} comes from {tool}, which may take back what is written to it.");
    let advice = format!(
        "Leave the list out of Git, or {}. There is nothing to do if that is done.",
        hint(object, version, manager, &facts.cluster.external_dns)
    );
    Some(Finding { advice: Some(advice), ..Finding::note(Check::GitOps, name.to_string(), message) })
}

fn pool(object: &Object) -> Option<Finding> {
    let name = &object.reference;
    let subject = name.to_string();
    let observed = object.observed.as_ref()?;
    if let Some(conflict) = &observed.conflict {
        let message = format!(
            "{name} is out of service: another pool overlaps with it ({}). It hands out nothing, and a restart of Cilium's \
             operator takes the addresses of its Services.",
            conflict.trim_end_matches('.')
        );
        let advice = "Take the overlapping range out of one of the two pools.";
        return Some(Finding::error(Check::Pool, subject, message, advice));
    }
    if observed.is_disabled {
        let message = format!("{name} is disabled (spec.disabled): it hands out nothing.");
        let advice =
            "Set spec.disabled to false; a restart of Cilium's operator would take the addresses of its Services.";
        return Some(Finding::warning(Check::Pool, subject, message, advice));
    }
    let behind = observed.generation.zip(object.generation).is_some_and(|(seen, written)| seen < written);
    if name.kind == Kind::CiliumLoadBalancerIPPool && behind {
        let message = format!("Cilium's operator has not taken in {name} as it is.");
        let advice =
            "Is it running? An entry that it cannot read stops it at this pool; its log says \"pool upsert failed\".";
        return Some(Finding::warning(Check::Pool, subject, message, advice));
    }
    Some(Finding::ok(Check::Pool, subject, format!("{name} is in service.")))
}

/// What LB-IPAM says of a Service that we manage.
fn request(object: &Object) -> Option<Finding> {
    let Request::Unsatisfied(why) = &object.service.as_ref()?.request else { return None };
    let name = &object.reference;
    let message =
        format!("Cilium did not give {name} all addresses that it asks for: {} ({}).", why.reason, why.message);
    let advice = "While the prefix changes this passes by itself; otherwise look whether a pool has that address.";
    Some(Finding::warning(Check::Pool, name.to_string(), message, advice))
}

/// Groups of in-cluster operators that write the same objects.
const OPERATORS: [(&str, &str); 3] = [
    ("dynamic-prefix.io", "the dynamic-prefix-operator"),
    ("network.reith.cloud", "the dynamic-prefix-operator before its present API group"),
    ("apps.fuwafuwatime.moe", "k6u"),
];

fn operators(seen: &Seen) -> Vec<Finding> {
    let groups = match &seen.groups {
        Ok(groups) => groups,
        Err(why) => {
            let message = format!(
                "Whether an operator that writes the same objects is installed could not be seen: {}.",
                why.trim_end_matches('.')
            );
            let advice =
                "Look at `kubectl api-resources`; every account may read what is served unless somebody forbids it.";
            return vec![Finding::unseen(Check::OtherWriter, "operators", message, advice)];
        }
    };
    let installed = OPERATORS.into_iter().filter(|(group, _)| groups.contains(*group));
    let one = |(group, operator): (&str, &str)| {
        let message =
            format!("The kinds of {operator} ({group}) are installed: if it runs, it writes the same objects.");
        let advice = "Switch it off before dyn-prefix writes: `dyn-prefix convert` takes its configuration over.";
        Finding::warning(Check::OtherWriter, group, message, advice)
    };
    installed.map(one).collect()
}
