//! `dyn-prefix convert`: what the in-cluster operators compute from their configuration, ours computes from the result.
//!
//! The expected values are those of the operators' own tests and documents.

use std::collections::BTreeMap;
use std::path::Path;

use dyn_prefix::config::{Config, Host, Severity};
use dyn_prefix::convert::{self, Origin, Problem};
use dyn_prefix::plan::{ComputedGeneration, Role};

mod operators;
mod others;
mod program;
mod properties;

/// The configuration, which has to pass the checker.
fn config(text: &str) -> Config {
    let host = Host { variable: &|_| None, exists: &|_| true, read: &|_| Ok(String::new()) };
    let loaded = Config::parse(text, Path::new("converted.toml"), &host);
    let errors: Vec<String> =
        loaded.findings.iter().filter(|finding| finding.severity == Severity::Error).map(ToString::to_string).collect();
    assert!(errors.is_empty(), "{text}\n{}", errors.join("\n"));
    loaded.config.unwrap_or_else(|| panic!("a configuration:\n{text}"))
}

/// Every range and subnet of the only DynamicPrefix for a prefix; what cannot be computed is "error".
fn planned(text: &str, prefix: &str) -> BTreeMap<String, String> {
    let config = config(text);
    let [dynamic_prefix] = config.dynamic_prefixes.as_slice() else { panic!("one dynamicPrefix:\n{text}") };
    let computed = ComputedGeneration::compute(dynamic_prefix, prefix.parse().unwrap(), &[], Role::Current);
    let words = |blocks: &[_]| blocks.iter().map(ToString::to_string).collect::<Vec<String>>().join(" ");
    computed
        .parts
        .into_iter()
        .map(|(name, part)| (name, part.map_or_else(|_| "error".to_owned(), |blocks| words(&blocks))))
        .collect()
}

fn converted(manifests: &str) -> String {
    convert::manifests(manifests, None).unwrap_or_else(|problems| panic!("{problems:?}\n{manifests}"))
}

/// Its problems, as `LINE: MESSAGE`.
fn problems(manifests: &str) -> Vec<String> {
    written(convert::manifests(manifests, None).unwrap_err())
}

fn written(problems: Vec<Problem>) -> Vec<String> {
    problems.into_iter().map(|problem| problem.to_string()).collect()
}

/// The comments as one line.
fn comments(text: &str) -> String {
    text.lines().filter_map(|line| line.strip_prefix("# ")).collect::<Vec<_>>().join(" ")
}

/// A DynamicPrefix of a group with these lines in its spec.
fn dynamic_prefix(group: &str, spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: {group}/v1alpha1\nkind: DynamicPrefix\nmetadata:\n  name: home-ipv6\nspec:\n{spec}")
}

const CURRENT: &str = "dynamic-prefix.io";
const OLDER: &str = "network.reith.cloud";

/// Only what is asked for is taken.
fn only(manifests: &str, origin: Origin) -> Result<String, Vec<String>> {
    convert::manifests(manifests, Some(origin)).map_err(written)
}
