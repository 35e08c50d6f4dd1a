//! `[[binding]]`

use std::collections::BTreeSet;

use toml::de::DeValue;

use super::super::finding::{At, Report, Span, quoted};
use super::super::keys::STRATEGIES;
use super::super::read::{Table, choose};
use super::super::{Binding, ObjectRef, Part, Strategy};
use super::{Unique, cluster, overlap, prefix, range, reference, target, values};

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
pub(super) fn bindings<'d>(
    root: &Table<'d>,
    clusters: &'d cluster::Choices,
    prefixes: &[prefix::Declared<'_>],
    report: &mut Report<'_>,
) -> Option<Vec<Binding>> {
    let tables = root.tables("binding");
    let mut names = Unique::new("binding");
    let drafts: Vec<Option<Draft<'_>>> = tables
        .iter()
        .map(|table| {
            if let Some(name) = table.text("name") {
                names.claim(name, report);
            }
            draft(table, clusters, prefixes, report)
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
    let mut seen = BTreeSet::new();
    bindings.into_iter().filter(|binding| seen.insert((binding.cluster.clone(), binding.name.clone()))).collect()
}

fn draft<'d>(
    table: &Table<'d>,
    clusters: &'d cluster::Choices,
    prefixes: &'d [prefix::Declared<'d>],
    report: &mut Report<'_>,
) -> Option<Draft<'d>> {
    let name = super::optional(table, "name", report, own_name);
    let clusters = clusters.of(table, "binding", report);
    let target = target::target(table, report);
    let reference = reference::reference(table, prefixes, report);
    let strategy = strategy(table, report);
    let part = reference.zip(target.as_ref()).and_then(|(resolved, target)| reference::part(resolved, target, report));
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

/// A name that is none of those that [`Draft::name_in`] makes, and not [`crate::plan::ANNOTATION`].
fn own_name(name: At<&str>, report: &mut Report<'_>) -> Option<String> {
    if name.value.contains(['/', '(', ')']) {
        report
            .error("invalid-name", name.span, format!("`name` of a binding cannot be {}", quoted(name.value)))
            .hint("names with / and parentheses are made by dyn-prefix itself: leave them out, or leave `name` out");
        return None;
    }
    values::free_name(name, "name", report)
}

fn strategy(table: &Table<'_>, report: &mut Report<'_>) -> Option<Strategy> {
    let Some(value) = table.value("updateStrategy") else {
        return Some(Strategy::Append);
    };
    let text = match value.value {
        DeValue::String(text) => choose("updateStrategy", STRATEGIES, value.with(text.as_ref()), report)?,
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => {
            let table = table.table("updateStrategy")?;
            match table.text("type") {
                Some(text) => text.value,
                None => return (!table.has("type")).then_some(Strategy::Append),
            }
        }
    };
    Some(if text == "Replace" { Strategy::Replace } else { Strategy::Append })
}
