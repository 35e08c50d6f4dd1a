//! `dyn-prefix plan`: what every range, subnet and target would be, without network or cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use clap::Args;
use ipnet::Ipv6Net;
use serde_json::Value;

use crate::arbiter::{Current, Generation, Previous, PreviousState, Reason, Snapshot};
use crate::clock;
use crate::config::{Binding, Config, Severity};
use crate::daemon::{self, identity, view};
use crate::plan::{self, Catalogue, Contribution, ObjectWant, Role};
use crate::source::{SourceId, SourceKind};
use crate::status::{DaemonStatus, SCHEMA_VERSION, Status, TargetStatus};
use crate::store;
use crate::time::{Deadline, Epoch};

use super::{Exit, Output, OutputArgs, render, terminal};

/// What `plan` is asked.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = crate::config::file::DEFAULT_PATH)]
    config: PathBuf,
    /// Suppose this prefix, the first as the current one, further ones of the same name as its history
    ///
    /// NAME may be left out when the file has one dynamicPrefix only.
    #[arg(long, value_name = "[NAME=]P/LEN")]
    prefix: Vec<Supposed>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A prefix to suppose for a DynamicPrefix.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Supposed {
    name: Option<String>,
    prefix: Ipv6Net,
}

impl FromStr for Supposed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, prefix) = match text.split_once('=') {
            Some((name, prefix)) => (Some(name.to_owned()), prefix),
            None => (None, text),
        };
        let prefix: Ipv6Net = prefix.parse().map_err(|_| {
            format!("`{prefix}` is not an IPv6 prefix; write it like 2001:db8:1234::/60 or NAME=2001:db8:1234::/60")
        })?;
        Ok(Self { name, prefix: prefix.trunc() })
    }
}

/// Prints the plan.
pub(super) fn plan(args: &PlanArgs) -> anyhow::Result<Exit> {
    let loaded = Config::load(&args.config);
    for finding in loaded.findings.iter().filter(|finding| finding.severity == Severity::Error) {
        terminal::complain(&finding.to_string());
    }
    let Some(config) = loaded.config else { return Ok(Exit::Configuration) };
    let epoch = clock::epoch();
    let snapshots =
        if args.prefix.is_empty() { stored(&config, &epoch)? } else { supposed(&config, &args.prefix, &epoch)? };
    let mut status = status(&config, &snapshots, &epoch);
    if !args.prefix.is_empty() {
        // What is only supposed came from no source.
        for prefix in &mut status.dynamic_prefixes {
            (prefix.prefix_source, prefix.generation) = (None, None);
        }
    }
    let text = match args.output.output {
        Output::Text => text(&status),
        Output::Json => serde_json::to_string_pretty(&offline(&status)?)?,
    };
    terminal::say(&text)?;
    Ok(Exit::Done)
}

fn text(status: &Status) -> String {
    let text = format!("{}{}", render::prefixes(&status.dynamic_prefixes), render::targets(&status.targets));
    if text.is_empty() { "no [[dynamicPrefix]] in the configuration\n".to_owned() } else { text }
}

fn stored(config: &Config, epoch: &Epoch) -> anyhow::Result<BTreeMap<String, Snapshot>> {
    let directory = daemon::state_directory(config);
    let state = store::peek(&directory)?;
    let restored = |name: &String| Some((name.clone(), state.as_ref()?.restore(name, epoch)?.snapshot));
    Ok(config.dynamic_prefixes.iter().filter_map(|prefix| restored(&prefix.name)).collect())
}

fn supposed(config: &Config, prefixes: &[Supposed], epoch: &Epoch) -> anyhow::Result<BTreeMap<String, Snapshot>> {
    let mut by_name: BTreeMap<String, Vec<Ipv6Net>> = BTreeMap::new();
    for supposed in prefixes {
        let name = match (&supposed.name, config.dynamic_prefixes.as_slice()) {
            (Some(name), all) if all.iter().any(|prefix| prefix.name == *name) => name.clone(),
            (Some(name), all) => anyhow::bail!("no dynamicPrefix \"{name}\" in the file; it has {}", names(all)),
            (None, [only]) => only.name.clone(),
            (None, all) => anyhow::bail!(
                "--prefix {} needs a name, --prefix NAME={}; the file has {}",
                supposed.prefix,
                supposed.prefix,
                names(all)
            ),
        };
        by_name.entry(name).or_default().push(supposed.prefix);
    }
    by_name
        .into_iter()
        .map(|(name, prefixes)| {
            let snapshot = snapshot(&prefixes, epoch).context("--prefix names no prefix")?;
            Ok((name, snapshot))
        })
        .collect()
}

fn names(prefixes: &[crate::config::DynamicPrefix]) -> String {
    let names: Vec<&str> = prefixes.iter().map(|prefix| prefix.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The first prefix as the current one, the others as its draining history, newest first.
fn snapshot(prefixes: &[Ipv6Net], epoch: &Epoch) -> Option<Snapshot> {
    let (current, history) = prefixes.split_first()?;
    let source = SourceId { kind: SourceKind::Static, interface: None };
    let generation = |age: usize| Generation((prefixes.len() - age) as u64);
    let history = history.iter().enumerate().map(|(age, prefix)| Previous {
        generation: generation(age + 1),
        prefix: *prefix,
        source: source.clone(),
        acquired_at: epoch.now(),
        deprecated_at: epoch.now(),
        valid_until: Deadline::Never,
        drain_ends_at: Deadline::Never,
        excluded: Vec::new(),
        state: PreviousState::Draining,
        reason: Reason::Replaced,
    });
    let current = Current {
        generation: generation(0),
        prefix: *current,
        source: source.clone(),
        routers: Vec::new(),
        acquired_at: epoch.now(),
        preferred_until: Deadline::Never,
        valid_until: Deadline::Never,
        excluded: Vec::new(),
        lost: None,
    };
    Some(Snapshot { current: Some(current), history: history.collect() })
}

fn status(config: &Config, snapshots: &BTreeMap<String, Snapshot>, epoch: &Epoch) -> Status {
    let catalogue = Catalogue::compute(&config.dynamic_prefixes, snapshots);
    let prefixes = config
        .dynamic_prefixes
        .iter()
        .map(|prefix| view::dynamic_prefix(prefix, snapshots.get(&prefix.name), &catalogue, epoch));
    Status {
        schema_version: SCHEMA_VERSION,
        daemon: DaemonStatus {
            version: crate::VERSION.to_owned(),
            id: config.daemon.id.clone().unwrap_or_else(identity::daemon_id),
            started_at: None,
            config_applied_at: None,
            reload_errors: Vec::new(),
        },
        sources: Vec::new(),
        dynamic_prefixes: prefixes.collect(),
        clusters: Vec::new(),
        targets: targets(config, &catalogue),
    }
}

/// Every object that a binding names. Objects that are found by their annotations are only known in the cluster.
fn targets(config: &Config, catalogue: &Catalogue) -> Vec<TargetStatus> {
    let mut targets = BTreeMap::new();
    for cluster in &config.clusters {
        let bindings: Vec<Binding> =
            config.bindings.iter().filter(|binding| binding.cluster == cluster.name).cloned().collect();
        for binding in &bindings {
            let want = plan::object(&binding.target, &BTreeMap::new(), &bindings, false, catalogue);
            if let Some(want) = want {
                targets.insert((cluster.name.clone(), binding.target.clone()), target(&cluster.name, binding, &want));
            }
        }
    }
    targets.into_values().collect()
}

fn target(cluster: &str, binding: &Binding, want: &ObjectWant) -> TargetStatus {
    let object = &binding.target;
    let error = want.contributions.iter().find_map(|(_, contribution)| match contribution {
        Contribution::Error(error) => Some(("EntryError", error.message.clone())),
        Contribution::NoOpinion => Some(("NoOpinion", "No prefix is known; the object stays as it is.".to_owned())),
        Contribution::Blocks(_) => None,
    });
    let finding = want.findings.first().map(|finding| (finding.reason, finding.message.clone()));
    let (reason, message) = finding.or(error).map_or(("Planned", None), |(reason, message)| (reason, Some(message)));
    let blocks = want.blocks(object.kind);
    let current = blocks.iter().filter(|block| {
        want.known.iter().any(|(role, known)| *role == Role::Current && known.contains(&block.interval()))
    });
    let current: Vec<plan::Block> = current.copied().collect();
    TargetStatus {
        cluster: cluster.to_owned(),
        kind: object.kind.as_str().to_owned(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        uid: None,
        bindings: want.contributions.iter().map(|(name, _)| name.clone()).collect(),
        bound_prefixes: view::cidrs(&current),
        desired: blocks.iter().map(ToString::to_string).collect(),
        foreign: Vec::new(),
        synced: false,
        observed: None,
        last_sync_time: None,
        retry_at: None,
        reason: reason.to_owned(),
        message,
    }
}

/// The shape of `status` without times and without what only a running daemon knows.
fn offline(status: &Status) -> anyhow::Result<Value> {
    const UNKNOWN: [&str; 16] = [
        "startedAt",
        "configAppliedAt",
        "reloadErrors",
        "sources",
        "clusters",
        "preferredUntil",
        "validUntil",
        "leaseExpiresAt",
        "acquiredAt",
        "deprecatedAt",
        "drainEndsAt",
        "conditions",
        "uid",
        "foreign",
        "observed",
        "synced",
    ];
    fn prune(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields
                    .retain(|name, _| !UNKNOWN.contains(&name.as_str()) && name != "lastSyncTime" && name != "retryAt");
                fields.values_mut().for_each(prune);
            }
            Value::Array(items) => items.iter_mut().for_each(prune),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut value = serde_json::to_value(status)?;
    prune(&mut value);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_may_have_a_name_and_host_bits_are_cut() {
        let supposed: Supposed = "home=2001:db8:1::5/48".parse().unwrap();
        assert_eq!(supposed, Supposed { name: Some("home".to_owned()), prefix: "2001:db8:1::/48".parse().unwrap() });
        assert!("home=2001:db8::".parse::<Supposed>().unwrap_err().contains("NAME=2001:db8:1234::/60"));
        assert!("192.0.2.0/24".parse::<Supposed>().is_err());
    }

    #[test]
    fn the_first_prefix_is_current_and_the_others_are_its_history_newest_first() {
        let epoch = clock::epoch();
        let prefixes: Vec<Ipv6Net> = ["2001:db8:3::/48", "2001:db8:2::/48", "2001:db8:1::/48"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let snapshot = snapshot(&prefixes, &epoch).unwrap();
        assert_eq!(snapshot.current.unwrap().generation, Generation(3));
        let history: Vec<(String, u64)> =
            snapshot.history.iter().map(|former| (former.prefix.to_string(), former.generation.0)).collect();
        assert_eq!(history, [("2001:db8:2::/48".to_owned(), 2), ("2001:db8:1::/48".to_owned(), 1)]);
    }
}
