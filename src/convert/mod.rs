//! `dyn-prefix convert`: from the configuration of an in-cluster operator to ours.
//!
//! [`manifests`] takes the objects of the dynamic-prefix operators (both API groups), of k6u and of metallb-dyn6;
//! [`arguments`] the command line of metallb-dyn6. What comes out passes the checker, with a comment at whatever means
//! something else here or has no equivalent. What is not understood is said, never dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::config::{Config, Finding, Host, Severity};

mod annotated;
mod cut;
mod dynamic_prefix;
mod fields;
mod k6u;
mod metallb;
mod page;
mod yaml;

use fields::Fields;
use page::Page;
use yaml::Node;

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A dynamic-prefix operator.
    DynamicPrefix,
    /// k6u.
    K6u,
    /// metallb-dyn6.
    MetallbDyn6,
}

/// Why something cannot be converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line of the input, from 1.
    pub line: Option<usize>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "line {line}: {}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

/// What has come together so far.
#[derive(Debug, Default)]
struct Draft {
    /// Keys of the `[[cluster]]`.
    cluster: Page,
    prefixes: Page,
    bindings: Page,
    services: Page,
    /// What has no equivalent at all.
    left_out: Page,
    /// Objects whose DynamicPrefix is not there.
    orphans: Vec<Problem>,
    problems: Vec<Problem>,
    /// The DynamicPrefixes by the name that objects call them.
    known: BTreeMap<String, Known>,
    /// k6u says in one kind of object what is asked for, and in another where it comes from.
    interfaces: Vec<(String, usize)>,
}

/// What bindings have to know about a DynamicPrefix.
#[derive(Clone, Debug, Default)]
struct Known {
    /// What it is called here.
    name: String,
    /// Whether its transition.mode is ha.
    is_ha: bool,
    /// The names of its addressRanges with the smallest network around each, and of its subnets.
    ranges: BTreeMap<String, String>,
    subnets: Vec<String>,
}

impl Draft {
    fn problem(&mut self, line: usize, message: impl Into<String>) {
        self.problems.push(Problem { line: Some(line), message: message.into() });
    }
}

/// Converts objects in YAML or JSON, all of them or those of one origin.
///
/// # Errors
/// What cannot be read or has no meaning; nothing is converted then.
pub fn manifests(text: &str, only: Option<Origin>) -> Result<String, Vec<Problem>> {
    let mut documents = Vec::new();
    for document in yaml::documents(text).map_err(|problem| vec![problem])? {
        flatten(document, &mut documents);
    }
    // What others refer to comes first.
    documents.sort_by_key(|document| match document.kind() {
        Some("DynamicPrefix" | "IP6UpdateNodeConfig") => 0,
        _ => 1,
    });
    let mut draft = Draft::default();
    for document in documents {
        take(&mut draft, document, only);
    }
    finish(draft)
}

/// Converts the arguments of metallb-dyn6.
///
/// # Errors
/// What metallb-dyn6 would refuse, or does not know.
pub fn arguments(words: &[String]) -> Result<String, Vec<Problem>> {
    let mut draft = Draft::default();
    match metallb::Settings::from_arguments(words) {
        Ok(settings) => metallb::convert(&mut draft, &settings),
        Err(message) => draft.problems.push(Problem { line: None, message }),
    }
    finish(draft)
}

/// `kubectl get -o yaml` makes one List of several objects.
fn flatten(document: Node, into: &mut Vec<Node>) {
    if document.kind().is_some_and(|kind| kind == "List" || kind == "DynamicPrefixList")
        && let Some(items) = document.get("items").and_then(Node::list)
    {
        items.iter().for_each(|item| into.push(item.clone()));
        return;
    }
    into.push(document);
}

/// Which program an object belongs to.
fn origin(document: &Node) -> Option<Origin> {
    let group = document.get("apiVersion").and_then(Node::text).unwrap_or_default();
    let group = group.split_once('/').map_or("", |(group, _)| group);
    match (group, document.kind()) {
        ("dynamic-prefix.io" | "network.reith.cloud", _) => Some(Origin::DynamicPrefix),
        ("apps.fuwafuwatime.moe", _) => Some(Origin::K6u),
        _ if annotated::is_annotated(document) => Some(Origin::DynamicPrefix),
        _ if metallb::is_settings(document) => Some(Origin::MetallbDyn6),
        _ => None,
    }
}

fn take(draft: &mut Draft, document: Node, only: Option<Origin>) {
    if document.is_nothing() {
        return;
    }
    if document.map().is_none() {
        draft.problem(document.line, "this is no Kubernetes object: it has no fields");
        return;
    }
    let origin = origin(&document);
    if only.is_some() && origin != only {
        draft.left_out.comment(&format!("{} is not of what was asked for with --from.", describe(&document)));
        return;
    }
    of_another_version(draft, &document);
    match (origin, document.kind()) {
        (Some(Origin::DynamicPrefix), Some("DynamicPrefix")) => dynamic_prefix::convert(draft, document),
        (Some(Origin::DynamicPrefix), Some("DynamicPrefixBinding")) => annotated::binding(draft, document),
        (Some(Origin::DynamicPrefix), Some(_)) if annotated::is_annotated(&document) => {
            annotated::object(draft, &document);
        }
        (Some(Origin::K6u), Some("IP6UpdateConfig")) => k6u::config(draft, document),
        (Some(Origin::K6u), Some("IP6UpdateNodeConfig")) => k6u::node_config(draft, document),
        (Some(Origin::MetallbDyn6), _) => match metallb::Settings::from_document(&document) {
            Ok(settings) => metallb::convert(draft, &settings),
            Err(message) => draft.problem(document.line, message),
        },
        _ => draft.left_out.comment(&format!("{} has nothing that is converted.", describe(&document))),
    }
}

/// The versions that the operators have had, by group. What a field means may be another thing in another one.
const KNOWN: [(&str, &str); 3] =
    [("dynamic-prefix.io", "v1alpha1"), ("network.reith.cloud", "v1alpha1"), ("apps.fuwafuwatime.moe", "v1")];

fn of_another_version(draft: &mut Draft, document: &Node) {
    let api_version = document.get("apiVersion").and_then(Node::text).unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or((api_version, ""));
    let known = KNOWN.into_iter().find(|(known, _)| *known == group);
    if let Some((_, known)) = known.filter(|(_, known)| *known != version) {
        let what = describe(document);
        draft.left_out.comment(&format!(
            "{what} is of {api_version}, which is not known here. It was read as {group}/{known}: see whether every field \
             means the same."
        ));
    }
}

/// `Service/web/front (line 3)`
fn describe(document: &Node) -> String {
    let metadata = document.get("metadata");
    let of = |key: &str| metadata.and_then(|metadata| metadata.get(key)).and_then(Node::text);
    let parts = [document.kind(), of("namespace"), of("name")];
    let name: Vec<&str> = parts.into_iter().flatten().collect();
    let name = if name.is_empty() { "A document".to_owned() } else { name.join("/") };
    format!("{name} (line {})", document.line)
}

/// The fields of `spec`, after what every object has was taken from the others.
fn spec_of(document: Node, draft: &mut Draft, page: &mut Page) -> Option<(String, Fields)> {
    let line = document.line;
    let mut fields = Fields::new(document, "");
    ["apiVersion", "kind"].iter().for_each(|key| drop(fields.take(key)));
    let mut metadata = fields.take_table("metadata", draft).unwrap_or_else(|| Fields::nothing("metadata", line));
    let name = metadata.take_text("name", draft);
    for key in KEPT_BY_THE_SERVER {
        drop(metadata.take(key));
    }
    metadata.rest(page);
    let spec = fields.take_table("spec", draft);
    if let Some(status) = fields.take("status") {
        page.comment(&format!("status (line {}) was what the operator knew, and is left out.", status.line));
    }
    fields.rest(page);
    let Some(name) = name else {
        draft.problem(line, "this object has no metadata.name");
        return None;
    };
    let Some(spec) = spec else {
        draft.problem(line, format!("{name} has no spec"));
        return None;
    };
    Some((name, spec))
}

/// What the API server and its controllers write into every object.
const KEPT_BY_THE_SERVER: [&str; 10] = [
    "annotations",
    "creationTimestamp",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "labels",
    "managedFields",
    "namespace",
    "ownerReferences",
    "resourceVersion",
];

const CLUSTER: &str = "The operator ran in its cluster; this runs outside of it. `dyn-prefix join` makes an account with the \
                       rights that are needed, and writes this kubeconfig; or put one there. Stop the operator before \
                       dyn-prefix starts: two would work against each other.";

fn finish(draft: Draft) -> Result<String, Vec<Problem>> {
    if !draft.problems.is_empty() {
        return Err(draft.problems);
    }
    if draft.prefixes.is_empty() && !draft.orphans.is_empty() {
        return Err(draft.orphans);
    }
    if draft.prefixes.is_empty() {
        let message = "there is nothing to convert: no DynamicPrefix, no IP6UpdateConfig, and no metallb-dyn6";
        return Err(vec![Problem { line: None, message: message.to_owned() }]);
    }
    let mut page = Page::default();
    page.comment("Made by `dyn-prefix convert`. Read the comments: they say what means something else here.");
    page.blank();
    page.append(draft.left_out);
    page.comment(CLUSTER);
    page.line("[[cluster]]");
    page.entry("kubeconfig", &page::text("/etc/dyn-prefix/home.kubeconfig"));
    page.append(draft.cluster);
    page.blank();
    for part in [draft.prefixes, draft.bindings, draft.services] {
        page.append(part);
    }
    checked(page.finish())
}

/// Nothing is handed out that the daemon would not take.
fn checked(text: String) -> Result<String, Vec<Problem>> {
    let host = Host { variable: &|_| Some(String::new()), exists: &|_| true, read: &|_| Ok(String::new()) };
    let loaded = Config::parse(&text, Path::new("the result"), &host);
    let wrong = loaded.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let problems: Vec<Problem> = wrong.map(|finding| Problem { line: None, message: unusable(finding) }).collect();
    if problems.is_empty() { Ok(text) } else { Err(problems) }
}

/// The line of the result is quoted, for nobody else ever sees it.
fn unusable(finding: &Finding) -> String {
    let Finding { message, excerpt, hint, .. } = finding;
    let mut text = format!("what comes out cannot be used: {message}");
    if let Some(excerpt) = excerpt {
        text.push_str(&format!("; this is its line {}:\n{excerpt}", excerpt.line));
    }
    if let Some(hint) = hint {
        text.push_str(&format!("\n      = {hint}"));
    }
    text
}
