//! Who manages a Service of type LoadBalancer, and which address it should have in each generation.
//!
//! Its address is the prefix and a *host part*, counted from the start of the prefix: the one that the user asked for
//! (`suffix`), else the one recorded on the Service, else that of an address which it has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use super::object::{names, show, unknown_name};
use super::{ANNOTATION, Catalogue, Computed, Finding, annotation};
use crate::config::{Mode, ObjectRef, Part, Service, ServiceScope};

mod address;
mod collision;

pub use collision::{Claim, collisions};

/// The name under which a `[[service]]` manages a Service.
pub const ENTRY: &str = "[[service]]";

/// The name under which `transition.services = "all"` manages a Service.
pub const ALL: &str = "(services = all)";

/// Who manages a Service, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceWant {
    /// [`ENTRY`], [`ANNOTATION`] or [`ALL`].
    pub who: &'static str,
    /// The DynamicPrefix.
    pub dynamic_prefix: String,
    /// Where in the prefix its address has to lie; `Whole`: anywhere.
    pub part: Part,
    /// `transition.mode` of the DynamicPrefix.
    pub mode: Mode,
    /// The host part that the user asked for.
    pub suffix: Option<Ipv6Addr>,
    /// Whether DNS is ours to say: mode ha, and not `skip-external-dns-update`.
    pub dns: bool,
    /// Whether the DynamicPrefix has an opinion; without one the Service is left as it is.
    pub has_opinion: bool,
    /// What is wrong or odd. One with `blocks_write` keeps the Service as it is.
    pub findings: Vec<Finding>,
}

/// A part of a DynamicPrefix that is bound to a pool of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The DynamicPrefix.
    pub dynamic_prefix: String,
    /// Its ranges and subnets on the pool.
    pub part: Part,
}

/// Who manages the Service `reference` with these annotations by name, and how. A `[[service]]` wins over annotations.
///
/// `entries` are the `[[service]]` of its cluster, in file order; those for other Services are passed over. `discovery`
/// says whether annotations count. `None`: nobody does; [`service_of_all`] may.
pub fn service(
    reference: &ObjectRef,
    annotations: &BTreeMap<String, String>,
    entries: &[Service],
    discovery: bool,
    catalogue: &Catalogue,
) -> Option<ServiceWant> {
    let request = if discovery { annotation::read_service(annotations, catalogue) } else { None };
    if let Some(entry) = entries.iter().find(|entry| entry.target == *reference) {
        let mut want = want(ENTRY, &entry.dynamic_prefix, entry.part.clone(), annotations, catalogue);
        want.suffix = entry.suffix;
        want.findings.extend(request.and_then(|request| differs(reference, &request, entry)));
        return Some(want);
    }
    let request = request?;
    let part = request.part.unwrap_or(Part::Whole);
    let mut want = want(ANNOTATION, request.dynamic_prefix, part, annotations, catalogue);
    if want.mode == Mode::Simple && request.suffix.is_none() {
        return None;
    }
    want.ask_for(reference, request.suffix);
    Some(want)
}

/// Who manages a Service that nobody manages by name: a DynamicPrefix with `transition.services = "all"` and mode ha
/// that has one of its addresses in a range `bound` to a pool of this cluster. Of several, the first by name.
///
/// `addresses` are the IPv6 addresses in its status and those that it asks for on our behalf, so that it stays managed
/// while it has none. If none of them is known (the cluster was away for longer than former prefixes are remembered),
/// the host part that is recorded on it tells that it was managed, and by whom it can be. A Service whose annotation
/// names a DynamicPrefix is left to that one, be it ours or not.
pub fn service_of_all(
    reference: &ObjectRef,
    annotations: &BTreeMap<String, String>,
    addresses: &[Ipv6Addr],
    bound: &[Bound],
    discovery: bool,
    catalogue: &Catalogue,
) -> Option<ServiceWant> {
    if discovery && annotations.contains_key(annotation::NAME) {
        return None;
    }
    let of_all = |bound: &Bound| {
        let computed = catalogue.dynamic_prefixes.get(&bound.dynamic_prefix)?;
        (computed.mode == Mode::Ha && computed.services == ServiceScope::All).then_some(computed)
    };
    let mut bound: Vec<(&Bound, &Computed)> = bound.iter().filter_map(|bound| Some((bound, of_all(bound)?))).collect();
    bound.sort_by_key(|(bound, _)| (&bound.dynamic_prefix, order(&bound.part)));
    let holds =
        |(bound, computed): &&(&Bound, &Computed)| address::held_host_part(computed, &bound.part, addresses).is_some();
    let recorded = annotation::recorded_suffix(annotations);
    let has_place_for = |host: Ipv6Addr| {
        bound.iter().find(|(bound, computed)| {
            computed.current().is_some_and(|current| address::has_place(current, &bound.part, host))
        })
    };
    // Nobody knows yet whether it is the one.
    let is_silent = |(_, computed): &&(&Bound, &Computed)| !computed.has_opinion && recorded.is_some();
    let found = bound.iter().find(holds).or_else(|| has_place_for(recorded?));
    let (first, _) = found.or_else(|| bound.iter().find(is_silent))?;
    let mut want = want(ALL, &first.dynamic_prefix, first.part.clone(), annotations, catalogue);
    if discovery {
        want.ask_for(reference, annotation::suffix(annotations));
    }
    Some(want)
}

impl ServiceWant {
    /// Whether a finding keeps the Service as it is.
    pub fn is_blocked(&self) -> bool {
        self.findings.iter().any(|finding| finding.blocks_write)
    }

    /// Takes over what the annotation `suffix` says.
    fn ask_for(&mut self, reference: &ObjectRef, suffix: Option<Result<Ipv6Addr, &str>>) {
        match suffix {
            None => {}
            Some(Ok(suffix)) => self.suffix = Some(suffix),
            Some(Err(text)) => self.findings.push(no_suffix(reference, text)),
        }
    }
}

fn want(
    who: &'static str,
    dynamic_prefix: &str,
    part: Part,
    annotations: &BTreeMap<String, String>,
    catalogue: &Catalogue,
) -> ServiceWant {
    let computed = catalogue.dynamic_prefixes.get(dynamic_prefix);
    let mode = computed.map(|computed| computed.mode).unwrap_or_default();
    let mut findings = Vec::new();
    if let Some(error) = computed.and_then(|computed| unknown_name(computed, &part)) {
        findings.push(Finding { reason: "EntryError", message: error.message, blocks_write: true });
    }
    let skip = annotation::skip_external_dns(annotations);
    findings.extend(skip.err().filter(|_| mode == Mode::Ha).map(not_understood));
    ServiceWant {
        who,
        dynamic_prefix: dynamic_prefix.to_owned(),
        part,
        mode,
        suffix: None,
        dns: mode == Mode::Ha && skip != Ok(true),
        has_opinion: computed.is_some_and(|computed| computed.has_opinion),
        findings,
    }
}

/// Named parts before the whole prefix, by name.
fn order(part: &Part) -> (bool, &[String]) {
    match part {
        Part::Named(names) => (false, names),
        Part::Whole => (true, &[]),
    }
}

fn no_suffix(reference: &ObjectRef, text: &str) -> Finding {
    let message = format!(
        "The annotation {} of {reference} is \"{}\", which is not an IPv6 address without prefix length, zone or \
         brackets. Write the host part of the address, counted from the prefix, such as ::f000:0:0:2.",
        annotation::SUFFIX,
        text.escape_debug(),
    );
    Finding { reason: "InvalidSuffix", message, blocks_write: true }
}

fn not_understood(text: &str) -> Finding {
    let message = format!(
        "The annotation {} is \"{}\", and only \"true\" leaves the external-dns target to you; it is managed here. \
         Write \"true\", or remove the annotation.",
        annotation::SKIP_EXTERNAL_DNS_UPDATE,
        text.escape_debug(),
    );
    Finding { reason: "SkipNotUnderstood", message, blocks_write: false }
}

/// A finding when the annotations ask for something else than the `[[service]]`.
fn differs(reference: &ObjectRef, request: &annotation::ServiceRequest<'_>, entry: &Service) -> Option<Finding> {
    let written: BTreeSet<_> = names(&entry.dynamic_prefix, &entry.part).into_iter().collect();
    let same_part = match &request.part {
        Some(part) => names(request.dynamic_prefix, part).into_iter().collect::<BTreeSet<_>>() == written,
        None => request.dynamic_prefix == entry.dynamic_prefix,
    };
    let same_suffix = request.suffix.is_none_or(|suffix| suffix.ok() == entry.suffix);
    if same_part && same_suffix {
        return None;
    }
    let asked = match &request.part {
        Some(part) => names(request.dynamic_prefix, part).into_iter().map(show).collect::<Vec<_>>().join(", "),
        None => request.dynamic_prefix.to_owned(),
    };
    let asked_suffix = request.suffix.map(|suffix| suffix.map_or_else(str::to_owned, |suffix| suffix.to_string()));
    let message = format!(
        "The annotations of {reference} ask for {asked}{}, but its [[service]] says {}{}, and that wins. Remove the \
         annotations, or make them say the same.",
        with_suffix(asked_suffix),
        written.into_iter().map(show).collect::<Vec<_>>().join(", "),
        with_suffix(entry.suffix.map(|suffix| suffix.to_string())),
    );
    Some(Finding { reason: "EntryWins", message, blocks_write: false })
}

fn with_suffix(suffix: Option<String>) -> String {
    suffix.map_or_else(String::new, |suffix| format!(" with the suffix \"{}\"", suffix.escape_debug()))
}
