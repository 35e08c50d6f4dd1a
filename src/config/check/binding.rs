//! `[[binding]]`

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::super::finding::{At, Report, Span, quoted};
use super::super::keys::STRATEGIES;
use super::super::read::{Table, choose};
use super::super::suggest::{enumerated, nearest};
use super::super::{Binding, Kind, ObjectRef, Part, Strategy};
use super::{Unique, cluster, overlap, prefix, range, values};

/// A binding for all of its clusters, with the places that findings need.
pub(super) struct Draft<'d> {
    pub(super) span: Span,
    pub(super) name: Option<&'d str>,
    pub(super) clusters: Vec<&'d str>,
    pub(super) prefix: &'d str,
    pub(super) part: Part,
    /// The ranges and subnets of `part`, each once.
    pub(super) ranges: Vec<&'d range::Part<'d>>,
    pub(super) target: ObjectRef,
    pub(super) strategy: Strategy,
}

impl Draft<'_> {
    /// How findings about other bindings call it.
    pub(super) fn title(&self, report: &Report<'_>) -> String {
        let line = report.line(self.span);
        match self.name {
            Some(name) => format!("the binding {} (line {line})", quoted(name)),
            None => format!("the binding at line {line}"),
        }
    }

    fn name_in(&self, cluster: &str) -> String {
        if let Some(name) = self.name {
            return name.to_owned();
        }
        let prefix = self.prefix;
        let part = match &self.part {
            Part::Named(names) => format!("{prefix}/{}", names.join("+")),
            Part::Whole => prefix.to_owned(),
        };
        format!("{cluster}/{}/{part}", self.target)
    }
}

/// `None` comes with an error in the report.
pub(super) fn bindings(
    root: &Table<'_>,
    clusters: &[cluster::Declared],
    prefixes: &[prefix::Declared<'_>],
    report: &mut Report<'_>,
) -> Option<Vec<Binding>> {
    let tables = root.tables("binding");
    let clusters = Clusters::of(root, clusters);
    let mut names = Unique::new("binding");
    let drafts: Vec<Option<Draft<'_>>> = tables
        .iter()
        .map(|table| {
            if let Some(name) = table.text("name") {
                names.claim(name, report);
            }
            draft(table, &clusters, prefixes, report)
        })
        .collect();
    let known: Vec<&Draft<'_>> = drafts.iter().flatten().collect();
    overlap::check(&known, report);
    let is_complete = known.len() == tables.len();
    is_complete.then(|| known.iter().flat_map(|draft| per_cluster(draft)).collect()).map(without_repetitions)
}

fn per_cluster(draft: &Draft<'_>) -> Vec<Binding> {
    let binding = |cluster: &&str| Binding {
        name: draft.name_in(cluster),
        cluster: (*cluster).to_owned(),
        dynamic_prefix: draft.prefix.to_owned(),
        part: draft.part.clone(),
        target: draft.target.clone(),
        strategy: draft.strategy,
    };
    draft.clusters.iter().map(binding).collect()
}

/// Two bindings without a name that say the same are one: they have the same name.
fn without_repetitions(bindings: Vec<Binding>) -> Vec<Binding> {
    let mut seen: BTreeMap<(String, String), ()> = BTreeMap::new();
    bindings
        .into_iter()
        .filter(|binding| seen.insert((binding.cluster.clone(), binding.name.clone()), ()).is_none())
        .collect()
}

fn draft<'d>(
    table: &Table<'d>,
    clusters: &'d Clusters,
    prefixes: &'d [prefix::Declared<'d>],
    report: &mut Report<'_>,
) -> Option<Draft<'d>> {
    let name = super::optional(table, "name", report, |name, report| values::free_name(name, "name", report));
    let clusters = in_clusters(table, clusters, report);
    let target = target(table, report);
    let reference = reference(table, report).and_then(|reference| resolve(reference, prefixes, report));
    let strategy = strategy(table, report);
    let part = reference.zip(target.as_ref()).and_then(|(resolved, target)| part(resolved, target, report));
    let (resolved, part) = part?;
    name?;
    Some(Draft {
        span: table.span,
        name: table.text("name").map(|name| name.value),
        clusters: clusters?,
        prefix: resolved.prefix,
        part,
        ranges: resolved.ranges,
        target: target?,
        strategy: strategy?,
    })
}

/// The clusters that a binding can be for.
struct Clusters {
    /// Each once, also those in error.
    names: Vec<String>,
    /// Whether something was said about `cluster` itself, so that its absence is no news.
    are_in_error: bool,
}

impl Clusters {
    fn of(root: &Table<'_>, declared: &[cluster::Declared]) -> Self {
        let mut names: Vec<String> = Vec::new();
        for cluster in declared.iter().filter(|cluster| !cluster.name.is_empty()) {
            if !names.contains(&cluster.name) {
                names.push(cluster.name.clone());
            }
        }
        let is_no_list = root.value("cluster").is_some_and(|value| !value.value.is_array());
        Self { names, are_in_error: is_no_list || !declared.is_empty() }
    }
}

fn in_clusters<'d>(table: &Table<'_>, clusters: &'d Clusters, report: &mut Report<'_>) -> Option<Vec<&'d str>> {
    if clusters.names.is_empty() {
        if clusters.are_in_error {
            return None;
        }
        report
            .error("no-cluster", table.span, "there is no cluster for this binding: the file has no [[cluster]]")
            .hint("add [[cluster]] with kubeconfig = \"/etc/dyn-prefix/NAME.kubeconfig\"");
        return None;
    }
    let known = || clusters.names.iter().map(String::as_str);
    if !table.has("cluster") {
        return Some(known().collect());
    }
    let wanted = table.texts("cluster")?;
    if wanted.is_empty() {
        report
            .error(
                "wrong-value",
                table.value("cluster")?.span,
                "`cluster` is an empty list: the binding would do nothing",
            )
            .hint(format!("leave it out for every cluster, or name some of {}", enumerated(known())));
        return None;
    }
    let mut found = Vec::new();
    for name in &wanted {
        if let Some(cluster) = existing(*name, "there is no cluster", known(), report) {
            if found.contains(&cluster) {
                report
                    .error("duplicate-name", name.span, format!("the cluster {} is named twice here", quoted(cluster)))
                    .hint("name it once");
            }
            found.push(cluster);
        }
    }
    (found.len() == wanted.len()).then_some(found)
}

/// The one of `candidates` that is referred to, or a finding.
fn existing<'d>(
    name: At<&str>,
    lacking: &str,
    candidates: impl Iterator<Item = &'d str> + Clone,
    report: &mut Report<'_>,
) -> Option<&'d str> {
    if let Some(found) = candidates.clone().find(|candidate| *candidate == name.value) {
        return Some(found);
    }
    let found = report.error("unknown-name", name.span, format!("{lacking} {}", quoted(name.value)));
    match (nearest(name.value, candidates.clone()), candidates.clone().next()) {
        (Some(meant), _) => {
            found.hint(format!("did you mean {}? There are: {}", quoted(meant), enumerated(candidates)))
        }
        (None, Some(_)) => found.hint(format!("there are: {}", enumerated(candidates))),
        (None, None) => found.hint("there is none at all"),
    }
    None
}

/// `prefixRef` as it is written, in one of its forms.
struct Reference<'t> {
    span: Span,
    prefix: At<&'t str>,
    /// Names with the list they must be in, if that is said.
    names: Vec<(Option<&'static str>, At<&'t str>)>,
    is_whole: bool,
}

fn reference<'t>(table: &Table<'t>, report: &mut Report<'_>) -> Option<Reference<'t>> {
    let value = table.value("prefixRef")?;
    if let DeValue::String(text) = value.value {
        return short_reference(value.with(text.as_ref()), report);
    }
    let table = table.table("prefixRef")?;
    let mut names = Vec::new();
    for (key, list) in [("addressRange", "addressRanges"), ("subnet", "subnets")] {
        if table.has(key) {
            let written = table.texts(key)?;
            if written.is_empty() {
                report
                    .error("prefix-ref", value.span, format!("`{key}` is an empty list: nothing is referred to"))
                    .hint("leave it out, or name an entry");
                return None;
            }
            names.extend(written.into_iter().map(|name| (Some(list), name)));
        }
    }
    if table.has("whole") {
        table.boolean("whole")?;
    }
    let is_whole = table.boolean("whole").is_some_and(|whole| whole.value);
    if is_whole && !names.is_empty() {
        report
            .error("prefix-ref", value.span, "`whole = true` is all of the prefix, and a part of it is named as well")
            .hint("keep one of the two");
        return None;
    }
    Some(Reference { span: value.span, prefix: table.text("name")?, names, is_whole })
}

fn short_reference<'t>(text: At<&'t str>, report: &mut Report<'_>) -> Option<Reference<'t>> {
    let (prefix, part) = match text.value.split_once('/') {
        Some((prefix, part)) => (prefix, Some(part)),
        None => (text.value, None),
    };
    if prefix.is_empty() || part.is_some_and(|part| part.is_empty() || part.contains('/')) {
        report
            .error("prefix-ref", text.span, format!("`prefixRef` cannot be {}", quoted(text.value)))
            .hint("write \"PREFIX/RANGE\" with the names of a dynamicPrefix and of one of its ranges or subnets");
        return None;
    }
    let names = part.map(|part| (None, text.with(part))).into_iter().collect();
    Some(Reference { span: text.span, prefix: text.with(prefix), names, is_whole: false })
}

/// What a `prefixRef` refers to.
struct Resolved<'d> {
    span: Span,
    prefix: &'d str,
    ranges: Vec<&'d range::Part<'d>>,
    is_whole: bool,
    /// All names that could have been written.
    choices: Vec<&'d str>,
}

fn resolve<'d>(
    reference: Reference<'_>,
    prefixes: &'d [prefix::Declared<'d>],
    report: &mut Report<'_>,
) -> Option<Resolved<'d>> {
    let known = prefixes.iter().filter_map(|prefix| prefix.name);
    let prefix = existing(reference.prefix, "there is no dynamicPrefix", known, report)?;
    let declared = prefixes.iter().find(|declared| declared.name == Some(prefix))?;
    let mut ranges: Vec<&range::Part<'_>> = Vec::new();
    let mut is_complete = true;
    for (list, name) in reference.names {
        match named(name, list, prefix, &declared.parts, report) {
            Some(part) if ranges.iter().any(|range| range.name == part.name) => {
                report
                    .note("same-twice", name.span, format!("{} is named twice here", quoted(name.value)))
                    .hint("once is enough: it is put on the object once");
            }
            Some(part) => ranges.push(part),
            None => is_complete = false,
        }
    }
    let choices = declared.parts.iter().map(|part| part.name).collect();
    is_complete.then_some(Resolved { span: reference.span, prefix, ranges, is_whole: reference.is_whole, choices })
}

fn named<'d>(
    name: At<&str>,
    list: Option<&'static str>,
    prefix: &str,
    parts: &'d [range::Part<'d>],
    report: &mut Report<'_>,
) -> Option<&'d range::Part<'d>> {
    let prefix = quoted(prefix);
    let what = match list {
        Some("subnets") => "subnet",
        Some(_) => "addressRange",
        None => "range or subnet",
    };
    let Some(part) = parts.iter().find(|part| part.name == name.value) else {
        let candidates = parts.iter().filter(|part| list.is_none_or(|list| list == part.list)).map(|part| part.name);
        existing(name, &format!("the dynamicPrefix {prefix} has no {what}"), candidates, report);
        return None;
    };
    if list.is_some_and(|list| list != part.list) {
        let right = if part.list == "subnets" { "subnet" } else { "addressRange" };
        let written = quoted(name.value);
        report
            .error(
                "unknown-name",
                name.span,
                format!("{written} of {prefix} is no {what}: it stands in `{}`", part.list),
            )
            .hint(format!("write {right} = {written}"));
        return None;
    }
    Some(part)
}

/// The part that is bound; a pool has to name one.
fn part<'d>(resolved: Resolved<'d>, target: &ObjectRef, report: &mut Report<'_>) -> Option<(Resolved<'d>, Part)> {
    if !resolved.ranges.is_empty() {
        let names = resolved.ranges.iter().map(|range| range.name.to_owned()).collect();
        return Some((resolved, Part::Named(names)));
    }
    if resolved.is_whole || !target.kind.is_pool() {
        return Some((resolved, Part::Whole));
    }
    let prefix = resolved.prefix;
    let message = format!("{target} would get all of {}: no range or subnet is named", quoted(prefix));
    let choices = match resolved.choices.as_slice() {
        [] => "add an entry to its addressRanges or subnets and name it".to_owned(),
        [first, ..] => {
            format!("write \"{prefix}/{first}\"; there are: {}", enumerated(resolved.choices.iter().copied()))
        }
    };
    report.error("pool-without-range", resolved.span, message).hint(format!(
        "a whole on-link /64 holds the router and the hosts too, whose addresses must not be handed out. Name a part: \
         {choices}. If all of it really is for this pool: prefixRef = {{ name = \"{prefix}\", whole = true }}"
    ));
    None
}

fn target(table: &Table<'_>, report: &mut Report<'_>) -> Option<ObjectRef> {
    let value = table.value("target")?;
    if let DeValue::String(text) = value.value {
        return short_target(value.with(text.as_ref()), report);
    }
    let table = table.table("target")?;
    let kind = table.text("kind").and_then(|text| kind(text, report));
    let name = table.text("name");
    if table.has("namespace") {
        table.text("namespace")?;
    }
    object(kind?, table.text("namespace"), name?, report)
}

fn short_target(text: At<&str>, report: &mut Report<'_>) -> Option<ObjectRef> {
    if !text.value.contains('/') {
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == text.value);
        return no_target(text, kind.unwrap_or(Kind::CiliumLoadBalancerIPPool), report);
    }
    let mut words = text.value.split('/');
    let kind = kind(text.with(words.next().unwrap_or_default()), report)?;
    let words: Vec<&str> = words.collect();
    match words.as_slice() {
        [name] => object(kind, None, text.with(name), report),
        [namespace, name] => object(kind, Some(text.with(namespace)), text.with(name), report),
        _ => no_target(text, kind, report),
    }
}

fn no_target(text: At<&str>, kind: Kind, report: &mut Report<'_>) -> Option<ObjectRef> {
    let form = if kind.is_namespaced() { "NAMESPACE/NAME" } else { "NAME" };
    report
        .error("invalid-target", text.span, format!("`target` cannot be {}", quoted(text.value)))
        .hint(format!("write kind and name, as in \"{}/{form}\"", kind.as_str()));
    None
}

fn kind(text: At<&str>, report: &mut Report<'_>) -> Option<Kind> {
    if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.as_str() == text.value) {
        return Some(kind);
    }
    let names = Kind::ALL.map(Kind::as_str);
    let found =
        report.error("unknown-kind", text.span, format!("objects of kind {} are not written", quoted(text.value)));
    match nearest(text.value, names) {
        Some(meant) => found.hint(format!("did you mean {meant}? There are: {}", names.join(", "))),
        None => found.hint(format!("there are: {}", names.join(", "))),
    }
    None
}

/// The namespace that MetalLB's own manifests and chart install into.
const METALLB_NAMESPACE: &str = "metallb-system";

fn object(kind: Kind, namespace: Option<At<&str>>, name: At<&str>, report: &mut Report<'_>) -> Option<ObjectRef> {
    let mut is_valid = true;
    if !values::is_object_name(name.value) {
        is_valid = false;
        report
            .error("invalid-target", name.span, format!("no Kubernetes object can be named {}", quoted(name.value)))
            .hint("wanted: lower-case letters, digits, - and ., with a letter or digit at both ends");
    }
    if let Some(namespace) = namespace.filter(|_| !kind.is_namespaced()) {
        let kind = kind.as_str();
        report
            .error(
                "invalid-target",
                namespace.span,
                format!("a {kind} has no namespace, found {}", quoted(namespace.value)),
            )
            .hint(format!("leave the namespace out: \"{kind}/{}\"", name.value));
        return None;
    }
    if let Some(namespace) = namespace.filter(|namespace| !values::is_namespace(namespace.value)) {
        is_valid = false;
        report
            .error("invalid-target", namespace.span, format!("no namespace can be named {}", quoted(namespace.value)))
            .hint("wanted: 1 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends");
    }
    let namespace = namespace.map_or(METALLB_NAMESPACE, |namespace| namespace.value);
    is_valid.then(|| ObjectRef {
        kind,
        namespace: kind.is_namespaced().then(|| namespace.to_owned()),
        name: name.value.to_owned(),
    })
}

fn strategy(table: &Table<'_>, report: &mut Report<'_>) -> Option<Strategy> {
    let Some(value) = table.value("updateStrategy") else {
        return Some(Strategy::Append);
    };
    let text = match value.value {
        DeValue::String(text) => choose("updateStrategy", STRATEGIES, &[], value.with(text.as_ref()), report)?,
        _ => {
            let table = table.table("updateStrategy")?;
            match table.text("type") {
                Some(text) => text.value,
                None => return (!table.has("type")).then_some(Strategy::Append),
            }
        }
    };
    Some(if text == "Replace" { Strategy::Replace } else { Strategy::Append })
}
