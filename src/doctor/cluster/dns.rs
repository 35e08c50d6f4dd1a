//! The annotations by which external-dns is spoken to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Facts, Seen, name};
use crate::doctor::{Check, Finding};

/// What every prefix of external-dns ends in.
const HOSTNAME: &str = "/hostname";
const TTL: &str = "ttl";

pub(super) fn check(facts: &Facts, seen: &Seen) -> Vec<Finding> {
    let users = users(facts, seen);
    let mut found: Vec<Finding> = users.iter().map(|(prefix, services)| of_prefix(facts, prefix, services)).collect();
    let each = users.iter().flat_map(|(prefix, services)| services.iter().map(move |service| (prefix, *service)));
    found.extend(each.filter_map(|(prefix, service)| ttl(facts, prefix, service)));
    found
}

/// The Services with addresses of ours that want a name in DNS, by the prefix of the annotations that say so.
pub(super) fn users<'a>(facts: &'a Facts, seen: &'a Seen) -> BTreeMap<String, Vec<&'a Value>> {
    let mut users: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for service in facts.holders(seen) {
        let annotations = service["metadata"]["annotations"].as_object().into_iter().flatten();
        for prefix in annotations.filter_map(|(key, _)| key.strip_suffix(HOSTNAME)) {
            users.entry(format!("{prefix}/")).or_default().push(service);
        }
    }
    users
}

fn of_prefix(facts: &Facts, prefix: &str, services: &[&Value]) -> Finding {
    let names: Vec<String> = services.iter().take(3).map(|service| name(service)).collect();
    let who = names.join(", ");
    if facts.cluster.external_dns.iter().any(|known| known == prefix) {
        let message = format!("external-dns is spoken to by {prefix} ({who}), which is one of those that we write.");
        return Finding::ok(Check::ExternalDns, prefix, message);
    }
    let message = format!(
        "external-dns is spoken to by {prefix} ({who}), which we do not write: DNS would go on naming all addresses of \
         these Services."
    );
    let advice = format!("Add \"{prefix}\" to externalDnsAnnotationPrefixes of the [[cluster]].");
    Finding::warning(Check::ExternalDns, prefix, message, advice)
}

fn ttl(facts: &Facts, prefix: &str, service: &Value) -> Option<Finding> {
    let subject = name(service);
    let text = service["metadata"]["annotations"][format!("{prefix}{TTL}")].as_str();
    let Some(text) = text else {
        let message = format!(
            "The Service {subject} has no {prefix}{TTL}: the DNS provider decides for how long its former address is \
             remembered."
        );
        return Some(Finding::note(Check::DnsTtl, subject, message));
    };
    let Some(seconds) = seconds(text) else {
        let message = format!("The annotation {prefix}{TTL} of the Service {subject} is no time: {text:?}.");
        return Some(Finding::warning(Check::DnsTtl, subject, message, "Write it like \"60\" or \"5m\"."));
    };
    let drain = facts.drain_seconds?;
    if seconds <= drain {
        let message = format!("DNS remembers the addresses of the Service {subject} for {seconds} s.");
        return Some(Finding::ok(Check::DnsTtl, subject, message));
    }
    let message = format!(
        "DNS remembers the addresses of the Service {subject} for {seconds} s, longer than a former prefix drains \
         ({drain} s): for the rest of the time clients would go to an address that is gone."
    );
    let advice = format!("Set {prefix}{TTL} to less, 60 for instance, or drainPeriodMinutes to more.");
    Some(Finding::warning(Check::DnsTtl, subject, message, advice))
}

/// As external-dns reads it: a number of seconds, or a duration of Go.
fn seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let mut whole = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: u64 = rest.get(..end)?.parse().ok()?;
        let unit = rest.get(end..end + 1)?;
        let factor = match unit {
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        whole = whole.checked_add(number.checked_mul(factor)?)?;
        rest = rest.get(end + 1..)?;
    }
    (whole > 0).then_some(whole)
}
