//! What a DynamicPrefix is put on: bindings, and objects with annotations.

use super::page::{self, Page};
use super::yaml::Node;
use super::{Draft, Known, Problem, describe, spec_of};

const NAME: &str = "dynamic-prefix.io/name";

/// Whether it carries the annotation that the operators look for.
pub(super) fn is_annotated(document: &Node) -> bool {
    annotation(document, NAME).is_some()
}

fn annotation<'n>(document: &'n Node, key: &str) -> Option<&'n str> {
    document.at(&["metadata", "annotations", key]).and_then(Node::text)
}

/// A DynamicPrefixBinding of the older group.
pub(super) fn binding(draft: &mut Draft, document: Node) {
    let line = document.line;
    let mut page = Page::default();
    let Some((name, mut spec)) = spec_of(document, draft, &mut page) else { return };
    page.comment(&format!("DynamicPrefixBinding/{name} (line {line})."));
    let (Some(mut reference), Some(mut target)) =
        (spec.take_table("prefixRef", draft), spec.take_table("target", draft))
    else {
        draft.problem(line, format!("DynamicPrefixBinding/{name} needs spec.prefixRef and spec.target"));
        return;
    };
    let prefix = reference.need_text("name", draft).unwrap_or_default();
    let Some(known) = draft.known.get(&prefix).cloned() else {
        draft.problem(reference.line(), format!("prefixRef.name is \"{prefix}\", and there is no such DynamicPrefix"));
        return;
    };
    let part = reference.take_text("addressRange", draft).or_else(|| reference.take_text("subnet", draft));
    let kind = target.need_text("kind", draft).unwrap_or_default();
    let object = target.need_text("name", draft).unwrap_or_default();
    let namespace = target.take_text("namespace", draft);
    let strategy = spec.take("updateStrategy");
    let strategy = strategy.as_ref().and_then(|node| node.text().or_else(|| node.get("type").and_then(Node::text)));
    reference.rest(&mut page);
    target.rest(&mut page);
    spec.rest(&mut page);
    if !is_kind(&kind) {
        draft.left_out.comment(&format!("DynamicPrefixBinding/{name} (line {line}): {}", no_kind(&kind)));
        return;
    }
    let what = Bound { kind: &kind, namespace: namespace.as_deref(), name: &object, strategy };
    write_binding(&mut page, &page::name(&name), &what, &known, part.as_deref());
    draft.bindings.append(page);
}

/// A pool, a CIDR group or a Service with annotations.
pub(super) fn object(draft: &mut Draft, document: &Node) {
    let (kind, wanted) = (document.kind().unwrap_or_default(), annotation(document, NAME).unwrap_or_default());
    let what = describe(document);
    let Some(known) = draft.known.get(wanted).cloned() else {
        let text = format!("{what} names the DynamicPrefix {wanted}, which is not among what was converted.");
        let alone = format!(
            "{text} Convert it together with that, in one input: `kubectl get dynamicprefixes -o yaml` prints them"
        );
        draft.orphans.push(Problem { line: Some(document.line), message: alone });
        return draft.left_out.comment(&text);
    };
    if kind == "Service" {
        return service(draft, document, &known);
    }
    if !is_kind(kind) {
        return draft.left_out.comment(&format!("{what}: {}", no_kind(kind)));
    }
    let part = annotation(document, "dynamic-prefix.io/address-range")
        .or_else(|| annotation(document, "dynamic-prefix.io/subnet"));
    let of = |key: &str| document.at(&["metadata", key]).and_then(Node::text);
    let Some(name) = of("name") else { return draft.problem(document.line, "this object has no metadata.name") };
    let mut page = Page::default();
    page.comment(&format!(
        "{what}. The annotations on it say the same to dyn-prefix as to the operator: they or this binding would be enough."
    ));
    let bound = Bound { kind, namespace: of("namespace"), name, strategy: None };
    write_binding(&mut page, "", &bound, &known, part);
    draft.bindings.append(page);
}

/// What a binding is about.
struct Bound<'a> {
    kind: &'a str,
    namespace: Option<&'a str>,
    name: &'a str,
    strategy: Option<&'a str>,
}

fn write_binding(page: &mut Page, name: &str, bound: &Bound<'_>, known: &Known, part: Option<&str>) {
    if bound.kind == "CiliumCIDRGroup"
        && let Some(around) = part.and_then(|part| known.ranges.get(part))
    {
        page.comment(&format!(
            "The operator wrote the smallest network that holds the range, which may be wider: in place of the prefix, {around}. \
             Here it is the range itself, in as many networks as it takes."
        ));
    }
    page.line("[[binding]]");
    if !name.is_empty() {
        page.entry("name", &page::text(name));
    }
    match part {
        Some(part) => page.entry("prefixRef", &page::text(&format!("{}/{part}", known.name))),
        None if bound.kind == "CiliumCIDRGroup" => page.entry("prefixRef", &page::text(&known.name)),
        None => {
            page.comment(
                "It names no range and no subnet, and gets all of the prefix, as from the operator. On a link that is also \
                 where hosts and the router have their addresses: a range would be better.",
            );
            page.entry("prefixRef", &format!("{{ name = {}, whole = true }}", page::text(&known.name)));
        }
    }
    let target = match bound.namespace.filter(|_| bound.kind == "IPAddressPool") {
        Some(namespace) => format!("{}/{namespace}/{}", bound.kind, bound.name),
        None => format!("{}/{}", bound.kind, bound.name),
    };
    page.entry("target", &page::text(&target));
    if let Some(strategy) = bound.strategy {
        page.entry("updateStrategy", &page::text(strategy));
    }
    page.blank();
}

fn is_kind(kind: &str) -> bool {
    matches!(kind, "CiliumLoadBalancerIPPool" | "CiliumCIDRGroup" | "IPAddressPool")
}

fn no_kind(kind: &str) -> String {
    format!("nothing is written into objects of the kind {kind}. It is left out.")
}

fn service(draft: &mut Draft, document: &Node, known: &Known) {
    let what = describe(document);
    if !known.is_ha {
        return draft.left_out.comment(&format!(
            "{what}: in the mode simple the operator left Services alone. Here one with a suffix asks for its \
             address in both modes; remove the annotation dynamic-prefix.io/suffix if it should not."
        ));
    }
    let of = |key: &str| document.at(&["metadata", key]).and_then(Node::text);
    let Some(name) = of("name") else { return draft.problem(document.line, "this Service has no metadata.name") };
    let mut page = Page::default();
    page.comment(&format!(
        "{what}. The annotations on it say the same to dyn-prefix as to the operator: they or this entry would be enough."
    ));
    if annotation(document, "dynamic-prefix.io/skip-external-dns-update").is_some() {
        page.comment("dynamic-prefix.io/skip-external-dns-update has no key here: leave it on the Service.");
    }
    page.line("[[service]]");
    if of("namespace").is_none() {
        page.comment("The manifest names no namespace.");
    }
    page.entry("namespace", &page::text(of("namespace").unwrap_or("default")));
    page.entry("name", &page::text(name));
    let part = ["service-address-range", "service-subnet", "address-range", "subnet"]
        .iter()
        .find_map(|key| annotation(document, &format!("dynamic-prefix.io/{key}")));
    let reference = part.map_or_else(|| known.name.clone(), |part| format!("{}/{part}", known.name));
    page.entry("prefixRef", &page::text(&reference));
    if let Some(suffix) = annotation(document, "dynamic-prefix.io/suffix") {
        page.entry("suffix", &page::text(suffix));
    }
    page.blank();
    draft.services.append(page);
}
