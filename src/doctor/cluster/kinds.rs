//! The kinds that are served, and what the account may do with them.

use super::{Facts, Seen};
use crate::cluster::access::Missing;
use crate::cluster::mirror::DEFINITION;
use crate::cluster::object::{qualified, resource};
use crate::config::{Discovery, Kind};
use crate::doctor::{Check, Finding};

pub(super) fn check(facts: &Facts, seen: &Seen) -> Vec<Finding> {
    let mut found: Vec<Finding> = Kind::TARGETS.into_iter().filter_map(|kind| of_kind(facts, seen, kind)).collect();
    if found.is_empty() && facts.cluster.discovery != Discovery::Off {
        let message = "Neither Cilium nor MetalLB is installed here, as far as their kinds tell.";
        let advice = "Is it the right cluster? Pools and CIDR groups are noticed as soon as they are installed.";
        found.push(Finding::warning(Check::Kind, "kinds", message, advice));
    }
    found.extend(seen.mirrors.as_ref().map(mirrors));
    found.extend(schema(facts, seen));
    found.extend(rights(facts, seen));
    found
}

fn of_kind(facts: &Facts, seen: &Seen, kind: Kind) -> Option<Finding> {
    let subject = qualified(kind);
    match (seen.served.get(&kind), facts.has_bindings_of(kind)) {
        (Some(version), _) if version == "v2alpha1" => {
            let message = format!("{subject} is served only as v2alpha1, which Cilium has deprecated since 1.18.");
            Some(Finding::note(Check::Kind, subject, message))
        }
        (Some(version), _) => {
            Some(Finding::ok(Check::Kind, subject.clone(), format!("{subject} is served as {version}.")))
        }
        (None, true) => {
            let message = format!("A binding needs the kind {}, and the cluster does not serve it.", kind.as_str());
            let advice = match kind {
                Kind::IPAddressPool => "Install MetalLB, or name another target.",
                Kind::CiliumLoadBalancerIPPool | Kind::CiliumCIDRGroup | Kind::Service => {
                    "Install Cilium (its operator registers the kind at its start), or name another target."
                }
            };
            Some(Finding::error(Check::Kind, subject, message, advice))
        }
        (None, false) => None,
    }
}

/// What `publishStatus = true` writes.
fn mirrors(is_served: &Result<bool, String>) -> Finding {
    match is_served {
        Ok(true) => Finding::ok(Check::Kind, DEFINITION, format!("{DEFINITION} is served, for publishStatus = true.")),
        Ok(false) => {
            let message = format!(
                "publishStatus = true, and the cluster does not serve {DEFINITION}: `kubectl get` shows nothing of the state."
            );
            let advice = "Run `kubectl apply -f packaging/kubernetes/dynamicprefixes.yaml`, which packages have below \
                          /usr/share/doc/dyn-prefix/examples, or take publishStatus out.";
            Finding::warning(Check::Kind, DEFINITION, message, advice)
        }
        Err(why) => {
            let why = why.trim_end_matches('.');
            let message = format!("Whether the cluster serves {DEFINITION} could not be seen: {why}.");
            let advice = format!("Look at `kubectl get crd {DEFINITION}`.");
            Finding::unseen(Check::Kind, DEFINITION, message, &advice)
        }
    }
}

fn schema(facts: &Facts, seen: &Seen) -> Option<Finding> {
    let schema = seen.schema.as_ref()?;
    let subject = "Cilium";
    match schema.obstacle() {
        None => {
            let message = "Cilium is new enough (1.20) to let a draining range shrink to the addresses in use.";
            Some(Finding::ok(Check::CiliumVersion, subject, message))
        }
        Some(why) => {
            let message = format!("{why} Until then a draining range stays in the pool in full.");
            // Without a pool of ours nothing shrinks.
            let is_used = facts.has_bindings_of(Kind::CiliumLoadBalancerIPPool);
            Some(if is_used || facts.cluster.discovery != Discovery::Off {
                Finding::warning(Check::CiliumVersion, subject, message, "")
            } else {
                Finding::note(Check::CiliumVersion, subject, message)
            })
        }
    }
}

fn rights(facts: &Facts, seen: &Seen) -> Vec<Finding> {
    let subject = "rights";
    let advice = "`dyn-prefix rbac` prints a role with all that is needed; `dyn-prefix join` applies it.";
    let (count, missing) = match &seen.rights {
        None => return Vec::new(),
        Some(Err(why)) => {
            let message = format!("The rights of the account could not be asked for: {}.", why.trim_end_matches('.'));
            return vec![Finding::unseen(Check::Permission, subject, message, advice)];
        }
        Some(Ok((count, missing))) => (*count, missing),
    };
    if missing.is_empty() {
        let message = format!("The account has all rights that are needed ({count} were asked for).");
        return vec![Finding::ok(Check::Permission, subject, message)];
    }
    // The verbs of one object, together.
    let alike = |one: &Missing, other: &Missing| one.object() == other.object() && one.reason == other.reason;
    missing.chunk_by(alike).map(|missing| lacks(facts, seen, missing)).collect()
}

/// `missing`: the verbs that are missing on one object, at least one.
fn lacks(facts: &Facts, seen: &Seen, missing: &[Missing]) -> Finding {
    let advice = "`dyn-prefix rbac` prints a role with all that is needed; `dyn-prefix join` applies it.";
    let verbs = list(missing.iter().map(|missing| missing.verb));
    let Missing { need, reason, .. } = &missing[0];
    let object = missing[0].object();
    let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let subject = format!("{verbs} {object}");
    let message = format!("The account may not {subject}{reason}. Without that: {}", need.without);
    let kind = Kind::ALL.into_iter().find(|kind| resource(*kind, "").2 == need.resource);
    // What is not installed cannot be written anyway.
    if kind.is_some_and(|kind| Kind::TARGETS.contains(&kind) && !seen.served.contains_key(&kind)) {
        return Finding::note(Check::Permission, subject, message);
    }
    let is_required = facts.cluster.discovery != Discovery::Default || need.place.namespace().is_some();
    let is_bound = kind.is_some_and(|kind| facts.has_bindings_of(kind));
    if (is_required || is_bound) && missing.iter().any(|missing| missing.verb == "patch") {
        return Finding::error(Check::Permission, subject, message, advice);
    }
    Finding::warning(Check::Permission, subject, message, advice)
}

/// `list, watch and patch`
fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
