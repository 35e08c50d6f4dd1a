//! `target` of a binding: a Kubernetes object.

use toml::de::DeValue;

use super::super::finding::{At, Report, quoted};
use super::super::read::Table;
use super::super::suggest::nearest;
use super::super::{Kind, ObjectRef};
use super::values;

pub(super) fn target(table: &Table<'_>, report: &mut Report<'_>) -> Option<ObjectRef> {
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
        let kind = Kind::TARGETS.into_iter().find(|kind| kind.as_str() == text.value);
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
    if let Some(kind) = Kind::TARGETS.into_iter().find(|kind| kind.as_str() == text.value) {
        return Some(kind);
    }
    let names = Kind::TARGETS.map(Kind::as_str);
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
