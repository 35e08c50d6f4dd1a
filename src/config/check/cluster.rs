//! `[[cluster]]`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::finding::{At, Report, quoted};
use super::super::read::Table;
use super::super::suggest::enumerated;
use super::super::{Cluster, Discovery, EXTERNAL_DNS, Host, Kubeconfig};
use super::{Unique, optional, values};

/// A cluster of the file.
pub(super) struct Declared {
    /// What bindings may call it, even when the cluster is in error; empty when nothing is known.
    pub(super) name: String,
    /// The cluster, if it can be used.
    pub(super) checked: Option<Cluster>,
}

/// The clusters that a binding or a Service can be in.
pub(super) struct Choices {
    /// Each once, also those in error.
    names: Vec<String>,
    /// Whether something was said about `cluster` itself, so that its absence is no news.
    are_in_error: bool,
}

impl Choices {
    pub(super) fn among(root: &Table<'_>, declared: &[Declared]) -> Self {
        let mut seen = BTreeSet::new();
        let known = declared.iter().map(|cluster| &cluster.name).filter(|name| !name.is_empty());
        let names = known.filter(|name| seen.insert(*name)).cloned().collect();
        let is_no_list = root.value("cluster").is_some_and(|value| !value.value.is_array());
        Self { names, are_in_error: is_no_list || !declared.is_empty() }
    }

    /// Those that the `cluster` of a table names: all of them when it is absent. `what` is in the table: "binding".
    pub(super) fn of(&self, table: &Table<'_>, what: &str, report: &mut Report<'_>) -> Option<Vec<&str>> {
        if self.names.is_empty() {
            if self.are_in_error {
                return None;
            }
            report
                .error(
                    "no-cluster",
                    table.span,
                    format!("there is no cluster for this {what}: the file has no [[cluster]]"),
                )
                .hint("add [[cluster]] with kubeconfig = \"/etc/dyn-prefix/NAME.kubeconfig\"");
            return None;
        }
        let known = || self.names.iter().map(String::as_str);
        if !table.has("cluster") {
            return Some(known().collect());
        }
        let wanted = table.texts("cluster")?;
        if wanted.is_empty() {
            let span = table.value("cluster")?.span;
            report
                .error("wrong-value", span, format!("`cluster` is an empty list: the {what} would do nothing"))
                .hint(format!("leave it out for every cluster, or name some of {}", enumerated(known())));
            return None;
        }
        let mut found = Vec::new();
        for name in &wanted {
            if let Some(cluster) = values::existing(*name, "there is no cluster", known(), report) {
                if found.contains(&cluster) {
                    let message = format!("the cluster {} is named twice here", quoted(cluster));
                    report.error("duplicate-name", name.span, message).hint("name it once");
                }
                found.push(cluster);
            }
        }
        (found.len() == wanted.len()).then_some(found)
    }
}

/// The name of a cluster that has none.
const DEFAULT_NAME: &str = "default";

pub(super) fn clusters(root: &Table<'_>, host: &Host<'_>, report: &mut Report<'_>) -> Vec<Declared> {
    let tables = root.tables("cluster");
    let mut names = Unique::new("cluster");
    let is_only = tables.len() == 1;
    tables
        .iter()
        .map(|table| {
            if let Some(name) = table.text("name") {
                names.claim(name, report);
            }
            cluster(table, is_only, host, report)
        })
        .collect()
}

fn cluster(table: &Table<'_>, is_only: bool, host: &Host<'_>, report: &mut Report<'_>) -> Declared {
    let name = name(table, is_only, report);
    let kubeconfig = table.text("kubeconfig").and_then(|text| kubeconfig(text, host, report));
    let context = optional(table, "context", report, |text, report| values::free_name(text, "context", report));
    let discovery = match table.boolean("discovery").map(|discovery| discovery.value) {
        None => Discovery::Default,
        Some(true) => Discovery::Required,
        Some(false) => Discovery::Off,
    };
    let dry_run = table.boolean("dryRun").is_some_and(|dry_run| dry_run.value);
    let events = table.boolean("events").is_none_or(|events| events.value);
    let publish_status = table.boolean("publishStatus").is_some_and(|publish| publish.value);
    let declared = match table.text("name") {
        Some(text) => text.value.to_owned(),
        None => name.clone().unwrap_or_default(),
    };
    let external_dns = external_dns(table, report);
    let checked = || {
        Some(Cluster {
            name: name?,
            kubeconfig: kubeconfig?,
            context: context?,
            discovery,
            dry_run,
            external_dns: external_dns?,
            events,
            publish_status,
        })
    };
    Declared { name: declared, checked: checked() }
}

fn name(table: &Table<'_>, is_only: bool, report: &mut Report<'_>) -> Option<String> {
    if let Some(name) = table.text("name") {
        return values::free_name(name, "name", report);
    }
    if table.has("name") {
        return None;
    }
    if is_only {
        return Some(DEFAULT_NAME.to_owned());
    }
    report
        .error("unnamed-cluster", table.span, "this cluster has no `name`, and it is not the only one")
        .hint("add name = \"…\": status and bindings need to tell the clusters apart");
    None
}

/// An empty list leaves DNS alone.
fn external_dns(table: &Table<'_>, report: &mut Report<'_>) -> Option<Vec<String>> {
    let key = "externalDnsAnnotationPrefixes";
    if !table.has(key) {
        return Some(EXTERNAL_DNS.map(str::to_owned).to_vec());
    }
    let written = table.texts(key)?;
    let mut seen = BTreeSet::new();
    for text in &written {
        if !seen.insert(text.value) {
            let message = format!("`{key}`: {} is named twice here", quoted(text.value));
            report.error("duplicate-name", text.span, message).hint("name it once");
        }
    }
    // Every one is looked at, also after a wrong one.
    let prefixes: Vec<_> = written.into_iter().map(|text| annotation_prefix(text, key, report)).collect();
    prefixes.into_iter().collect()
}

/// What stands before the name in the key of an annotation: a DNS subdomain and "/".
fn annotation_prefix(text: At<&str>, key: &str, report: &mut Report<'_>) -> Option<String> {
    if text.value.strip_suffix('/').is_some_and(values::is_object_name) {
        return Some(text.value.to_owned());
    }
    let message = format!("`{key}`: no annotation begins with {}", quoted(text.value));
    let found = report.error("annotation-prefix", text.span, message);
    let rule = "wanted: a DNS name in lower case and a / at the end";
    let domain = text.value.split('/').next().unwrap_or_default().trim().to_lowercase();
    if values::is_object_name(&domain) {
        found.hint(format!("{rule}; did you mean \"{domain}/\"?"));
    } else {
        found.hint(format!("{rule}, as in \"{}\"", EXTERNAL_DNS[0]));
    }
    None
}

fn kubeconfig(text: At<&str>, host: &Host<'_>, report: &mut Report<'_>) -> Option<Kubeconfig> {
    if text.value == "in-cluster" {
        return Some(Kubeconfig::InCluster);
    }
    let Some(expanded) = expand(text, host, report)? else {
        // Known only where the daemon runs: there it will be set, or the cluster's status will say that it is not.
        return Some(Kubeconfig::File(PathBuf::from(text.value)));
    };
    let path = values::absolute_path(text.with(expanded.as_str()), "kubeconfig", report)?;
    if !(host.exists)(&path) {
        missing(text, &path, report);
    }
    Some(Kubeconfig::File(path))
}

fn missing(text: At<&str>, path: &Path, report: &mut Report<'_>) {
    report
        .warning("missing-kubeconfig", text.span, format!("there is no file {}", quoted(&path.to_string_lossy())))
        .hint(
            "the daemon waits for it; `dyn-prefix join` makes an account in the cluster and writes a kubeconfig for it",
        );
}

/// Puts in the variables: `Some(None)` when one is not set here, which was reported, `None` when the text is wrong.
fn expand(text: At<&str>, host: &Host<'_>, report: &mut Report<'_>) -> Option<Option<String>> {
    let mut expanded = String::new();
    let mut rest = text.value;
    let mut is_complete = true;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}').filter(|(name, _)| is_variable(name)) else {
            report
                .error(
                    "invalid-path",
                    text.span,
                    format!("`kubeconfig`: {} has a ${{ without an end", quoted(text.value)),
                )
                .hint("write a variable of the environment as ${NAME}");
            return None;
        };
        expanded.push_str(before);
        match (host.variable)(name) {
            Some(value) => expanded.push_str(&value),
            None => {
                is_complete = false;
                unset(text, name, report);
            }
        }
        rest = after;
    }
    expanded.push_str(rest);
    Some(is_complete.then_some(expanded))
}

fn unset(text: At<&str>, name: &str, report: &mut Report<'_>) {
    let hint = if name == "CREDENTIALS_DIRECTORY" {
        "systemd sets it for the daemon when the unit has LoadCredential=; in a shell it is not there"
    } else {
        "set it for the daemon with Environment= or EnvironmentFile= (`systemctl edit dyn-prefix`)"
    };
    report.warning("missing-variable", text.span, format!("the variable {name} is not set here")).hint(hint);
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
