//! `[[cluster]]`

use std::path::{Path, PathBuf};

use super::super::finding::{At, Report, quoted};
use super::super::read::Table;
use super::super::{Cluster, Discovery, EXTERNAL_DNS, Host, Kubeconfig};
use super::{Unique, optional, values};

/// A cluster of the file.
pub(super) struct Declared {
    /// What bindings may call it, even when the cluster is in error; empty when nothing is known.
    pub(super) name: String,
    /// The cluster, if it can be used.
    pub(super) checked: Option<Cluster>,
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
    let declared = match table.text("name") {
        Some(text) => text.value.to_owned(),
        None => name.clone().unwrap_or_default(),
    };
    let checked = name.zip(kubeconfig).zip(context).map(|((name, kubeconfig), context)| Cluster {
        name,
        kubeconfig,
        context,
        discovery,
        dry_run,
        external_dns: EXTERNAL_DNS.map(str::to_owned).to_vec(),
    });
    Declared { name: declared, checked }
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
        .hint("the daemon waits for it; copy a kubeconfig there that is readable for the user of the daemon only");
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
