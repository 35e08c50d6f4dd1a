//! What every range, subnet and target would be for prefixes that are stored, supposed or recorded.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::arbiter::Snapshot;
use crate::config::{Binding, Config, Kind};
use crate::daemon::{host, view};
use crate::host::view::planned;
use crate::plan::{self, Catalogue, Contribution, ObjectWant, Role};
use crate::status::{DaemonStatus, FileStatus, SCHEMA_VERSION, Status, TargetStatus};
use crate::time::Epoch;

use super::render;

mod service;

/// The plan for people. Ends with a line break.
pub(super) fn text(status: &Status) -> String {
    let (prefixes, targets) = (render::prefixes(&status.dynamic_prefixes), render::targets(&status.targets));
    let text = format!("{prefixes}{targets}{}", render::files(&status.files));
    if text.is_empty() { "no [[dynamicPrefix]] in the configuration\n".to_owned() } else { text }
}

/// The plan: `snapshots` has the prefixes of every DynamicPrefix that has any.
pub(super) fn status(
    config: &Config,
    daemon_id: String,
    snapshots: &BTreeMap<String, Snapshot>,
    epoch: &Epoch,
) -> Status {
    let catalogue = Catalogue::compute(&config.dynamic_prefixes, snapshots);
    let prefixes = config
        .dynamic_prefixes
        .iter()
        .map(|prefix| view::dynamic_prefix(prefix, snapshots.get(&prefix.name), &catalogue, epoch));
    Status {
        schema_version: SCHEMA_VERSION,
        daemon: DaemonStatus {
            version: crate::VERSION.to_owned(),
            id: daemon_id,
            started_at: None,
            config_applied_at: None,
            reload_errors: Vec::new(),
            listen_error: None,
            leftovers: Vec::new(),
        },
        sources: Vec::new(),
        dynamic_prefixes: prefixes.collect(),
        clusters: Vec::new(),
        targets: targets(config, &catalogue),
        hooks: Vec::new(),
        files: files(config, snapshots, &catalogue),
    }
}

/// Every file, with what it would hold.
fn files(config: &Config, snapshots: &BTreeMap<String, Snapshot>, catalogue: &Catalogue) -> Vec<FileStatus> {
    let facts = host::facts(catalogue, |name| snapshots.get(name));
    config.files.iter().map(|file| planned(file, &facts)).collect()
}

/// Every object that a binding or a `[[service]]` names. Objects that are found by their annotations are only known in
/// the cluster.
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
    targets.extend(service::targets(config, catalogue));
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
    let planned = || ("Planned", is_narrowed(object.kind, want).then(|| NARROWED.to_owned()));
    let (reason, message) = finding.or(error).map_or_else(planned, |(reason, message)| (reason, Some(message)));
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

const NARROWED: &str = "Of former ranges, only the addresses in use stay while they drain.";

/// Whether its former ranges are shown in full only because the addresses in use are not known here.
fn is_narrowed(kind: Kind, want: &ObjectWant) -> bool {
    kind.is_pool() && want.shares.iter().any(|share| share.role == Role::Draining && !share.blocks.is_empty())
}

/// The shape of `status` without times and without what only a running daemon knows.
pub(super) fn offline(status: &Status) -> anyhow::Result<Value> {
    const UNKNOWN: [&str; 17] = [
        "startedAt",
        "configAppliedAt",
        "reloadErrors",
        "listenError",
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
                fields.retain(|name, _| {
                    !UNKNOWN.contains(&name.as_str())
                        && !["lastSyncTime", "lastWriteTime", "retryAt"].contains(&name.as_str())
                });
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
