//! `dyn-prefix plan --live`: what would be written now, with the real sources and the real objects, and nothing is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock;
use crate::cluster::Wanted;
use crate::config::Config;
use crate::control::Request;
use crate::control::client::{Connection, Failure};
use crate::daemon::shadow::{self, Seen};
use crate::daemon::{self, ear};
use crate::plan::Catalogue;
use crate::status::{SCHEMA_VERSION, Status};

use super::args::PlanArgs;
use super::{Exit, Output, plan, render, terminal};

/// What was found out.
struct Found {
    status: Status,
    clusters: BTreeMap<String, Seen>,
    /// Whether everything that was asked has answered.
    is_whole: bool,
}

/// Prints the plan.
pub(super) fn plan(config: Config, args: &PlanArgs) -> anyhow::Result<Exit> {
    let patience = Duration::from_secs(args.timeout);
    let running = is_running(&config)?;
    let supposed = match args.prefix.as_slice() {
        [] => None,
        prefixes => Some(plan::supposed(&config, prefixes, &clock::epoch())?),
    };
    // Nobody is asked for what is supposed.
    let listening = if supposed.is_some() { Duration::ZERO } else { patience };
    let heard = ear::listen(config, supposed.is_none() && !running, listening)?;
    let coordinator = heard.coordinator;
    if supposed.is_none() {
        heard.notes.iter().for_each(|note| terminal::complain(note));
        if running {
            terminal::complain("The daemon runs: what it has stored counts, and no DHCPv6 server is asked.");
        }
    }
    let config = coordinator.shared_config();
    let catalogue = supposed.map(|snapshots| Arc::new(Catalogue::compute(&config.dynamic_prefixes, &snapshots)));
    let setups = config.clusters.iter().map(|cluster| {
        let wanted = coordinator.wanted(&cluster.name);
        let catalogue = catalogue.clone().unwrap_or_else(|| Arc::clone(&wanted.catalogue));
        let wanted = Wanted { catalogue, ..wanted };
        shadow::Setup { cluster: cluster.clone(), managed: coordinator.managed(&cluster.name), wanted }
    });
    let clusters = shadow::look(setups.collect(), patience)?;
    let is_whole = clusters.values().all(|seen| seen.is_whole) && (heard.notes.is_empty() || catalogue.is_some());
    let found = Found { status: coordinator.status(&clock::epoch()), clusters, is_whole };
    match args.output.output {
        Output::Text => found.say(catalogue.is_some())?,
        Output::Json => drop(terminal::say(&serde_json::to_string_pretty(&found.json(catalogue.is_some()))?)?),
    }
    Ok(if found.is_whole { Exit::Done } else { Exit::Degraded })
}

fn is_running(config: &Config) -> anyhow::Result<bool> {
    match Connection::open(&daemon::control_socket(config), Request::Status) {
        Ok(_) => Ok(true),
        Err(Failure::NotRunning(_)) => Ok(false),
        Err(Failure::Other(error)) => Err(error),
    }
}

impl Found {
    fn say(&self, is_supposed: bool) -> anyhow::Result<()> {
        if !is_supposed {
            terminal::say(render::prefixes(&self.status.dynamic_prefixes).trim_end())?;
        }
        for (name, seen) in &self.clusters {
            if !seen.is_whole {
                terminal::complain(&plan::not_read(name, seen));
            }
            terminal::say(&format!("targets in {name}"))?;
            if seen.targets.is_empty() {
                terminal::say("  none")?;
            }
            for (object, target) in &seen.targets {
                let Some(patch) = seen.patches.get(object) else {
                    let message = target.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
                    terminal::say(&format!("  {object}  {}{message}", target.reason))?;
                    continue;
                };
                terminal::say(&format!("  {object}  would be written"))?;
                patch.added.iter().try_for_each(|entry| terminal::say(&format!("    + {entry}")).map(drop))?;
                patch.removed.iter().try_for_each(|entry| terminal::say(&format!("    - {entry}")).map(drop))?;
                terminal::say(&format!("    {}", patch.content))?;
            }
        }
        Ok(())
    }

    fn json(&self, is_supposed: bool) -> Value {
        let targets = self.clusters.iter().flat_map(|(cluster, seen)| {
            seen.targets.iter().map(move |(object, target)| {
                let patch = seen.patches.get(object);
                json!({
                    "cluster": cluster,
                    "kind": object.kind.as_str(),
                    "namespace": object.namespace,
                    "name": object.name,
                    "uid": target.uid,
                    "reason": target.reason,
                    "message": target.message.as_ref().filter(|_| patch.is_none()),
                    "added": patch.map(|patch| &patch.added),
                    "removed": patch.map(|patch| &patch.removed),
                    "patch": patch.and_then(|patch| serde_json::from_str::<Value>(&patch.content).ok()),
                })
            })
        });
        let clusters = self.clusters.iter().map(|(name, seen)| json!({"name": name, "read": seen.is_whole}));
        let prefixes = if is_supposed { Vec::new() } else { self.status.dynamic_prefixes.clone() };
        json!({
            "schemaVersion": SCHEMA_VERSION,
            "dynamicPrefixes": prefixes,
            "clusters": clusters.collect::<Vec<_>>(),
            "targets": targets.collect::<Vec<_>>(),
        })
    }
}
