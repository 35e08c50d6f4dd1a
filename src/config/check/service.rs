//! `[[service]]`

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::super::finding::{At, Report, Span, quoted};
use super::super::read::Table;
use super::super::{Kind, ObjectRef, Part, Service};
use super::{cluster, prefix, reference, suffix, values};

/// A Service for all of its clusters, with the places that findings need.
struct Draft<'d> {
    span: Span,
    clusters: Vec<&'d str>,
    prefix: &'d str,
    part: Part,
    target: ObjectRef,
    suffix: Option<At<Ipv6Addr>>,
}

/// `None` comes with an error in the report.
pub(super) fn services<'d>(
    root: &Table<'d>,
    clusters: &'d cluster::Choices,
    prefixes: &'d [prefix::Declared<'d>],
    report: &mut Report<'_>,
) -> Option<Vec<Service>> {
    let tables = root.tables("service");
    let drafts: Vec<_> = tables.iter().map(|table| draft(table, clusters, prefixes, report)).collect();
    let known: Vec<&Draft<'_>> = drafts.iter().flatten().collect();
    compare(&known, report);
    let is_complete = known.len() == tables.len();
    is_complete.then(|| known.iter().flat_map(|draft| per_cluster(draft)).collect())
}

fn per_cluster(draft: &Draft<'_>) -> Vec<Service> {
    let service = |cluster: &&str| Service {
        cluster: (*cluster).to_owned(),
        target: draft.target.clone(),
        dynamic_prefix: draft.prefix.to_owned(),
        part: draft.part.clone(),
        suffix: draft.suffix.map(|suffix| suffix.value),
    };
    draft.clusters.iter().map(service).collect()
}

fn draft<'d>(
    table: &Table<'d>,
    clusters: &'d cluster::Choices,
    prefixes: &'d [prefix::Declared<'d>],
    report: &mut Report<'_>,
) -> Option<Draft<'d>> {
    let clusters = clusters.of(table, "[[service]]", report);
    let target = target(table, report);
    let reference = reference::reference(table, prefixes, report);
    let suffix = suffix::suffix(table, reference.as_ref(), report);
    let resolved = reference?;
    let part = match resolved.ranges.as_slice() {
        [] => Part::Whole,
        ranges => Part::Named(ranges.iter().map(|range| range.name.to_owned()).collect()),
    };
    let (prefix, span) = (resolved.prefix, table.span);
    Some(Draft { span, clusters: clusters?, prefix, part, target: target?, suffix: suffix? })
}

fn target(table: &Table<'_>, report: &mut Report<'_>) -> Option<ObjectRef> {
    let rule = "wanted: 1 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends";
    let mut label = |key: &str, what: &str| {
        let text = table.text(key)?;
        if values::is_label(text.value) {
            return Some(text.value.to_owned());
        }
        let message = format!("no {what} can be named {}", quoted(text.value));
        report.error("invalid-target", text.span, message).hint(rule);
        None
    };
    let namespace = label("namespace", "namespace");
    let name = label("name", "Service");
    Some(ObjectRef { kind: Kind::Service, namespace: Some(namespace?), name: name? })
}

/// Compares the Services of every cluster. Those for several clusters meet in each of them; the report has every
/// finding once.
fn compare(drafts: &[&Draft<'_>], report: &mut Report<'_>) {
    let mut objects: BTreeMap<(&str, &ObjectRef), &Draft<'_>> = BTreeMap::new();
    let mut addresses: BTreeMap<(&str, &str, Ipv6Addr), &Draft<'_>> = BTreeMap::new();
    for draft in drafts {
        for cluster in &draft.clusters {
            let first = objects.entry((cluster, &draft.target)).or_insert(draft);
            if first.span != draft.span {
                twice(draft, first, report);
                continue;
            }
            let Some(suffix) = draft.suffix else { continue };
            let first = addresses.entry((cluster, draft.prefix, suffix.value)).or_insert(draft);
            if first.span != draft.span {
                shared(draft, suffix, first, report);
            }
        }
    }
}

fn twice(draft: &Draft<'_>, first: &Draft<'_>, report: &mut Report<'_>) {
    let line = report.line(first.span);
    let message = format!("{} has a [[service]] for the same cluster at line {line} already", draft.target);
    report.error("duplicate-service", draft.span, message).hint("keep one of the two, or give each its own `cluster`");
}

fn shared(draft: &Draft<'_>, suffix: At<Ipv6Addr>, first: &Draft<'_>, report: &mut Report<'_>) {
    let line = report.line(first.span);
    let address = values::shown(suffix.value);
    let message = format!("{} has the address {address} of {}, too (line {line})", first.target, quoted(draft.prefix));
    report.warning("same-address", suffix.span, message).hint(
        "right only if the two share it: both need the same value of lbipam.cilium.io/sharing-key (Cilium) or \
         metallb.io/allow-shared-ip (MetalLB), and different ports. Otherwise give one of them another suffix",
    );
}
