//! `dyn-prefix plan`: what every range, subnet and target would be, without network or cluster.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use ipnet::Ipv6Net;

use crate::arbiter::{Current, Generation, Previous, PreviousState, Reason, Snapshot};
use crate::clock;
use crate::config::{Config, Severity};
use crate::daemon::shadow::Seen;
use crate::daemon::{self, identity};
use crate::prefix::PrefixFilter;
use crate::source::{SourceId, SourceKind};
use crate::store;
use crate::time::{Deadline, Epoch};

use super::args::{PlanArgs, Supposed};
use super::{Exit, Output, live, preview, terminal};

/// Prints the plan.
pub(super) fn plan(args: &PlanArgs) -> anyhow::Result<Exit> {
    if let Some(refusal) = args.prefix.iter().find_map(refusal) {
        terminal::complain(&format!("dyn-prefix: {refusal}"));
        return Ok(Exit::Usage);
    }
    let Some(config) = usable(&args.config) else { return Ok(Exit::Configuration) };
    if args.live {
        return live::plan(config, args);
    }
    let epoch = clock::epoch();
    let snapshots =
        if args.prefix.is_empty() { stored(&config, &epoch)? } else { supposed(&config, &args.prefix, &epoch)? };
    let daemon_id = config.daemon.id.clone().unwrap_or_else(identity::daemon_id);
    let mut status = preview::status(&config, daemon_id, &snapshots, &epoch);
    if !args.prefix.is_empty() {
        // What is only supposed came from no source.
        for prefix in &mut status.dynamic_prefixes {
            (prefix.prefix_source, prefix.generation) = (None, None);
        }
    }
    let text = match args.output.output {
        Output::Text => preview::text(&status),
        Output::Json => serde_json::to_string_pretty(&preview::offline(&status)?)?,
    };
    terminal::say(&text)?;
    Ok(Exit::Done)
}

/// Why no source could bring a prefix: what no `acquisition.prefixFilter` lets in would never be planned with.
fn refusal(supposed: &Supposed) -> Option<String> {
    let any = PrefixFilter { require_global_unicast: false, allow: Vec::new() };
    let rejection = any.check(supposed.prefix).err()?;
    Some(format!("the prefix {} would never be used: {rejection}", supposed.prefix))
}

/// The configuration, or why it cannot be used on standard error.
pub(super) fn usable(path: &Path) -> Option<Config> {
    let loaded = Config::load(path);
    for finding in loaded.findings.iter().filter(|finding| finding.severity == Severity::Error) {
        terminal::complain(&finding.to_string());
    }
    loaded.config
}

/// Says that a cluster could not be read: why, or that there was not enough time.
pub(super) fn not_read(cluster: &str, seen: &Seen) -> String {
    let health = seen.health.as_ref();
    let state = health.map_or("not connected", |health| health.state.as_str());
    match health.and_then(|health| health.reason.as_ref()) {
        Some((_, message)) => format!("{cluster} could not be read, it is {state}: {message}"),
        None => format!("{cluster} could not be read in time, it is {state}"),
    }
}

/// What the state directory knows of the prefixes.
pub(super) fn stored(config: &Config, epoch: &Epoch) -> anyhow::Result<BTreeMap<String, Snapshot>> {
    let directory = daemon::state_directory(config);
    let state = store::peek(&directory)?;
    let restored = |name: &String| Some((name.clone(), state.as_ref()?.restore(name, epoch)?.snapshot));
    Ok(config.dynamic_prefixes.iter().filter_map(|prefix| restored(&prefix.name)).collect())
}

pub(super) fn supposed(
    config: &Config,
    prefixes: &[Supposed],
    epoch: &Epoch,
) -> anyhow::Result<BTreeMap<String, Snapshot>> {
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
    let source = SourceId::of(SourceKind::Static);
    let generation = |age: usize| Generation((prefixes.len() - age) as u64);
    let history = history.iter().enumerate().map(|(age, prefix)| Previous {
        generation: generation(age + 1),
        prefix: *prefix,
        source: source.clone(),
        routers: Vec::new(),
        acquired_at: epoch.now(),
        deprecated_at: epoch.now(),
        valid_until: Deadline::Never,
        drain_ends_at: Deadline::Never,
        excluded: Vec::new(),
        state: PreviousState::Draining,
        reason: Reason::Replaced,
        died_later: false,
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
