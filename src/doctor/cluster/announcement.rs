//! Who tells the network of the addresses that Services get.

use std::collections::BTreeMap;

use serde_json::Value;

use super::objects::is_annotated;
use super::{Announcer, Facts, Seen, name};
use crate::config::{Kind, ObjectRef};
use crate::doctor::{Check, Finding};

pub(super) fn check(facts: &Facts, seen: &Seen) -> Vec<Finding> {
    let of_concern = seen.announcers.iter().filter(|(kind, _)| !kind.is_of_metallb() || uses_metallb(facts, seen));
    let unread = of_concern.filter_map(|(kind, read)| Some(unread(*kind, read.as_ref().err()?)));
    let mut found: Vec<Finding> = unread.collect();
    if let Some(Err(why)) = seen.objects.get(&Kind::Service) {
        let message = format!(
            "Whether the addresses of Services are announced, and how DNS learns of them, could not be seen, for want of \
             Services: {}.",
            why.trim_end_matches('.')
        );
        let advice = "`dyn-prefix rbac` prints a role with all that is needed.";
        found.push(Finding::unseen(Check::Announcement, "Services", message, advice));
    }
    let services = facts.holders(seen).filter(|service| is_of_cilium(service));
    found.extend(services.filter_map(|service| of_service(seen, service)));
    found.extend(pools(facts, seen));
    found
}

/// Whether a pool of MetalLB is a target: by a binding, or by its annotations.
fn uses_metallb(facts: &Facts, seen: &Seen) -> bool {
    let pools = seen.objects.get(&Kind::IPAddressPool).and_then(|read| read.as_ref().ok()).into_iter().flatten();
    facts.has_bindings_of(Kind::IPAddressPool) || pools.into_iter().any(is_annotated)
}

fn unread(kind: Announcer, why: &str) -> Finding {
    let (group, _, plural) = kind.resource();
    let (kind, why) = (kind.kind(), why.trim_end_matches('.'));
    let message = format!("Which addresses are announced by objects of kind {kind} could not be seen: {why}.");
    let advice = format!(
        "Only doctor looks at them. To let it: a ClusterRole with apiGroups: [{group}], resources: [{plural}], verbs: [list]."
    );
    Finding::unseen(Check::Announcement, kind, message, &advice)
}

/// Whether all objects of these kinds are known, so that one that is not found is not there.
fn is_sure(seen: &Seen, kinds: [Announcer; 2]) -> bool {
    !kinds.iter().any(|kind| matches!(seen.announcers.get(kind), Some(Err(_))))
}

/// Whether MetalLB did not give it its addresses.
fn is_of_cilium(service: &Value) -> bool {
    let annotations = service["metadata"]["annotations"].as_object();
    let is_marked = annotations.into_iter().flatten().any(|(key, _)| key.starts_with("metallb."));
    !is_marked
}

/// `None`: whoever announces them may be among what could not be read.
fn of_service(seen: &Seen, service: &Value) -> Option<Finding> {
    let labels = labels(service);
    let subject = name(service);
    let objects = |kind| seen.announcers.get(&kind).and_then(|read| read.as_ref().ok()).into_iter().flatten();
    let l2 = objects(Announcer::CiliumL2).find(|policy| selects_l2(policy, &labels));
    let bgp = objects(Announcer::CiliumBgp).find(|policy| selects_bgp(policy, &labels));
    if let Some(policy) = l2.or(bgp) {
        let kind = if l2.is_some() { Announcer::CiliumL2 } else { Announcer::CiliumBgp };
        let policy = policy["metadata"]["name"].as_str().unwrap_or_default();
        let message = format!("{}/{policy} announces the addresses of the Service {subject}.", kind.kind());
        return Some(Finding::ok(Check::Announcement, subject, message));
    }
    if !is_sure(seen, [Announcer::CiliumL2, Announcer::CiliumBgp]) {
        return None;
    }
    let is_none = objects(Announcer::CiliumL2).chain(objects(Announcer::CiliumBgp)).next().is_none();
    if is_none {
        let message = format!(
            "Nobody in the cluster announces the addresses of the Service {subject}: there is no \
             CiliumL2AnnouncementPolicy and no CiliumBGPAdvertisement. That is right if a route leads to the nodes."
        );
        return Some(Finding::note(Check::Announcement, subject, message));
    }
    let message = format!(
        "No CiliumL2AnnouncementPolicy and no CiliumBGPAdvertisement selects the Service {subject}, whose addresses are \
         ours: nobody finds the way to them."
    );
    let advice = "Correct the serviceSelector (and `loadBalancerIPs: true`) of the policy, or the selector (and \
                  `service.addresses: [LoadBalancerIP]`) of the advertisement, or the labels of the Service.";
    Some(Finding::warning(Check::Announcement, subject, message, advice))
}

/// Its labels, with those that Cilium adds for its selectors.
fn labels(service: &Value) -> BTreeMap<String, String> {
    let metadata = &service["metadata"];
    let special = ["name", "namespace"].map(|key| {
        let value = metadata[key].as_str().unwrap_or_default().to_owned();
        (format!("io.kubernetes.service.{key}"), value)
    });
    own_labels(metadata).into_iter().chain(special).collect()
}

fn own_labels(metadata: &Value) -> BTreeMap<String, String> {
    let own = metadata["labels"].as_object().into_iter().flatten();
    own.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn selects_l2(policy: &Value, labels: &BTreeMap<String, String>) -> bool {
    let spec = &policy["spec"];
    spec["loadBalancerIPs"] == true && (spec["serviceSelector"].is_null() || selects(&spec["serviceSelector"], labels))
}

/// An advertisement without a selector selects nothing.
fn selects_bgp(policy: &Value, labels: &BTreeMap<String, String>) -> bool {
    policy["spec"]["advertisements"].as_array().into_iter().flatten().any(|advertisement| {
        let addresses = advertisement["service"]["addresses"].as_array().into_iter().flatten();
        advertisement["advertisementType"] == "Service"
            && addresses.into_iter().any(|kind| kind == "LoadBalancerIP")
            && !advertisement["selector"].is_null()
            && selects(&advertisement["selector"], labels)
    })
}

/// Whether a label selector selects something with these labels.
pub(super) fn selects(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let equal = equal.into_iter().all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str());
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    equal
        && expressions.into_iter().all(|expression| {
            let label = expression["key"].as_str().and_then(|key| labels.get(key));
            let values = expression["values"].as_array().into_iter().flatten();
            let is_in = label.is_some_and(|label| values.into_iter().any(|value| value == label.as_str()));
            match expression["operator"].as_str() {
                Some("In") => is_in,
                Some("NotIn") => !is_in,
                Some("Exists") => label.is_some(),
                Some("DoesNotExist") => label.is_none(),
                _ => false,
            }
        })
}

/// MetalLB announces by pool.
fn pools(facts: &Facts, seen: &Seen) -> Vec<Finding> {
    let targets = facts.bindings.iter().map(|binding| &binding.target);
    targets.filter(|target| target.kind == Kind::IPAddressPool).filter_map(|pool| of_pool(seen, pool)).collect()
}

/// `None`: whoever announces it may be among what could not be read.
fn of_pool(seen: &Seen, pool: &ObjectRef) -> Option<Finding> {
    let kinds = [Announcer::MetalLbL2, Announcer::MetalLbBgp];
    let objects = kinds.iter().filter_map(|kind| seen.announcers.get(kind)?.as_ref().ok()).flatten();
    let beside = objects.filter(|object| object["metadata"]["namespace"].as_str() == pool.namespace.as_deref());
    let metadata = seen.metallb_pools.iter().map(|pool| &pool["metadata"]).find(|metadata| {
        metadata["name"] == pool.name.as_str() && metadata["namespace"].as_str() == pool.namespace.as_deref()
    });
    let labels = metadata.map(own_labels);
    let chosen: Vec<Option<bool>> = beside.map(|object| chooses(object, &pool.name, labels.as_ref())).collect();
    let subject = pool.to_string();
    if chosen.contains(&Some(true)) {
        let message = format!("An advertisement of MetalLB announces {pool}.");
        return Some(Finding::ok(Check::Announcement, subject, message));
    }
    if chosen.contains(&None) {
        let message = format!(
            "An advertisement of MetalLB chooses pools by ipAddressPoolSelectors; whether {pool} is one of them could not be \
             seen, for want of its labels."
        );
        return Some(Finding::note(Check::Announcement, subject, message));
    }
    if !is_sure(seen, kinds) {
        return None;
    }
    let message = format!("No L2Advertisement and no BGPAdvertisement of MetalLB announces {pool}.");
    let advice =
        "Create one in the same namespace; without ipAddressPools and ipAddressPoolSelectors it announces all pools.";
    Some(Finding::warning(Check::Announcement, subject, message, advice))
}

/// Whether an advertisement chooses a pool: by its name, or by a selector; one with neither chooses all. `None`: by a
/// selector perhaps, and the labels are not known.
fn chooses(advertisement: &Value, pool: &str, labels: Option<&BTreeMap<String, String>>) -> Option<bool> {
    let list = |key: &str| advertisement["spec"][key].as_array().map_or(&[][..], Vec::as_slice);
    let (names, selectors) = (list("ipAddressPools"), list("ipAddressPoolSelectors"));
    if names.is_empty() && selectors.is_empty() || names.iter().any(|name| name == pool) {
        return Some(true);
    }
    if selectors.is_empty() {
        return Some(false);
    }
    labels.map(|labels| selectors.iter().any(|selector| selects(selector, labels)))
}
