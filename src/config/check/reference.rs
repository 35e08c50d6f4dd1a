//! `prefixRef` of a binding or a Service: which part of which DynamicPrefix.

use toml::de::DeValue;

use super::super::finding::{At, Report, Span, quoted};
use super::super::read::Table;
use super::super::suggest::enumerated;
use super::super::{ObjectRef, Part};
use super::values::existing;
use super::{prefix, range};

/// `prefixRef` as it is written, in one of its forms.
struct Reference<'t> {
    span: Span,
    prefix: At<&'t str>,
    /// Names with the list they must be in, if that is said.
    names: Vec<(Option<&'static str>, At<&'t str>)>,
    is_whole: bool,
}

fn written<'t>(table: &Table<'t>, report: &mut Report<'_>) -> Option<Reference<'t>> {
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

/// What `prefixRef` refers to.
pub(super) fn reference<'d>(
    table: &Table<'_>,
    prefixes: &'d [prefix::Declared<'d>],
    report: &mut Report<'_>,
) -> Option<Resolved<'d>> {
    resolve(written(table, report)?, prefixes, report)
}

/// What a `prefixRef` refers to.
pub(super) struct Resolved<'d> {
    span: Span,
    pub(super) prefix: &'d str,
    pub(super) ranges: Vec<&'d range::Part<'d>>,
    /// What the prefix is known to have room for.
    pub(super) rooms: &'d [range::Room],
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
                    .hint("once is enough");
            }
            Some(part) => ranges.push(part),
            None => is_complete = false,
        }
    }
    let choices = declared.parts.iter().map(|part| part.name).collect();
    let (span, rooms, is_whole) = (reference.span, declared.rooms.as_slice(), reference.is_whole);
    is_complete.then_some(Resolved { span, prefix, ranges, rooms, is_whole, choices })
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
pub(super) fn part<'d>(
    resolved: Resolved<'d>,
    target: &ObjectRef,
    report: &mut Report<'_>,
) -> Option<(Resolved<'d>, Part)> {
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
