//! What a cluster with `publishStatus` says of every DynamicPrefix: its spec, and its status without lifetimes, so that a
//! renewal changes nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::coordinator::Coordinator;
use crate::cluster::TargetReport;
use crate::cluster::mirror::{Mirror, Publication};
use crate::config::{
    Acquisition, Binding, Cluster, DynamicPrefix, Kind, Mode, OnLoss, Place, ServiceScope, Transition,
};
use crate::source::SourceId;
use crate::status::{Condition, DynamicPrefixStatus};
use crate::time::Epoch;

impl Coordinator {
    /// What a cluster should say of the DynamicPrefixes.
    pub fn publication(&self, cluster: &str, epoch: &Epoch) -> Publication {
        let daemon_id = self.identity.daemon_id.clone();
        let mut publication = Publication { daemon_id, ..Publication::default() };
        if self.is_let_go(cluster) {
            publication.undecided = self.shown_elsewhere(cluster);
            return publication;
        }
        let publishes = |known: &&Cluster| known.name == cluster && known.publish_status && !known.dry_run;
        let Some(cluster) = self.config.clusters.iter().find(publishes) else { return publication };
        for config in &self.config.dynamic_prefixes {
            match self.mirror(config, cluster, epoch) {
                Some(mirror) => publication.mirrors.push(mirror),
                None => publication.undecided.push(config.name.clone()),
            }
        }
        publication
    }

    /// `None`: no source has spoken yet, or it is not known yet what the pools hold, or they are being written.
    fn mirror(&self, config: &DynamicPrefix, cluster: &Cluster, epoch: &Epoch) -> Option<Mirror> {
        let snapshot = self.arbiters.get(&config.name)?.snapshot()?;
        let view = self.clusters.get(&cluster.name).filter(|view| view.is_connected())?;
        let shown = self.dynamic_prefix(config, epoch);
        let targets: Vec<&TargetReport> = view.targets.values().map(Box::as_ref).collect();
        let bindings = || self.config.bindings.iter().filter(|binding| binding.cluster == cluster.name);
        let bound = bindings().filter(|binding| binding.dynamic_prefix == config.name).map(|binding| &binding.target);
        let managed = self.managed.get(&cluster.name).into_iter().flat_map(BTreeMap::keys);
        let managed = managed.filter(|object| Kind::TARGETS.contains(&object.kind));
        if !bound.chain(managed).all(|object| view.targets.contains_key(object)) {
            return None;
        }
        let pools = pools(&shown, &targets, bindings());
        if pools.iter().any(|target| matches!(target.reason.as_str(), "Waiting" | "Pending")) {
            return None;
        }
        let mut status = status(&shown, &pools);
        if let Some(current) = &snapshot.current {
            status["acquiredAt"] = json!(epoch.wall(current.acquired_at).to_string());
        }
        Some(Mirror { name: config.name.clone(), spec: spec(config), status })
    }
}

/// The pools and groups of a DynamicPrefix: those that a binding names, and those that hold a part of it.
fn pools<'a>(
    shown: &DynamicPrefixStatus,
    targets: &[&'a TargetReport],
    bindings: impl Iterator<Item = &'a Binding>,
) -> Vec<&'a TargetReport> {
    let bindings: Vec<&str> =
        bindings.filter(|binding| binding.dynamic_prefix == shown.name).map(|binding| binding.name.as_str()).collect();
    let current: Option<ipnet::Ipv6Net> = shown.current_prefix.as_ref().and_then(|prefix| prefix.parse().ok());
    let is_inside = |bound: &String| {
        let bound: Option<ipnet::Ipv6Net> = bound.parse().ok();
        current.zip(bound).is_some_and(|(current, bound)| current.contains(&bound))
    };
    let is_its = |target: &&&TargetReport| {
        Kind::TARGETS.contains(&target.object.kind)
            && (target.bindings.iter().any(|name| bindings.contains(&name.as_str()))
                || target.bound_prefixes.iter().any(is_inside))
    };
    targets.iter().filter(is_its).copied().collect()
}

fn status(shown: &DynamicPrefixStatus, pools: &[&TargetReport]) -> Value {
    let history = shown.history.iter().map(|former| {
        let mut shown = json!({"prefix": former.prefix, "state": former.state, "reason": former.reason});
        for (key, at) in [("acquiredAt", former.acquired_at), ("deprecatedAt", former.deprecated_at)] {
            if let Some(at) = at {
                shown[key] = json!(at.to_string());
            }
        }
        shown
    });
    let mut status = json!({
        "addressRanges": shown.address_ranges,
        "subnets": shown.subnets,
        "history": history.collect::<Vec<_>>(),
        "conditions": conditions(shown, pools),
    });
    if let Some(prefix) = &shown.current_prefix {
        status["currentPrefix"] = json!(prefix);
    }
    if let Some(source) = &shown.prefix_source {
        status["prefixSource"] = json!(source);
    }
    if let Some(generation) = shown.generation {
        status["generation"] = json!(generation);
    }
    status
}

fn conditions(shown: &DynamicPrefixStatus, pools: &[&TargetReport]) -> Vec<Value> {
    let mut conditions: Vec<Value> = shown.conditions.iter().map(own).collect();
    let waiting: Vec<&&TargetReport> = pools.iter().filter(|target| !target.synced).collect();
    let synced = match waiting.first() {
        _ if shown.current_prefix.is_none() => ("False", "NoPrefix", "There is no prefix to hold.".to_owned()),
        None => ("True", "Synced", format!("All pools and groups hold it: {} here.", pools.len())),
        Some(first) => (
            "False",
            first.reason.as_str(),
            format!(
                "{} of {} pools and groups are in sync; {} is not.",
                pools.len() - waiting.len(),
                pools.len(),
                first.object
            ),
        ),
    };
    let lost = shown.conditions.iter().find(|condition| condition.status != "True");
    let degraded = match (lost, shown.errors.first()) {
        (Some(condition), _) => ("True", condition.reason.as_str(), condition.message.clone()),
        (None, Some(error)) => ("True", "EntryError", format!("{}: {}", error.entry, error.message)),
        (None, None) if synced.0 == "False" => ("True", "PoolsNotSynced", synced.2.clone()),
        (None, None) => ("False", "AsExpected", "All is well.".to_owned()),
    };
    for (kind, (status, reason, message)) in [("PoolsSynced", &synced), ("Degraded", &degraded)] {
        conditions.push(json!({"type": kind, "status": status, "reason": reason, "message": message}));
    }
    conditions
}

fn own(condition: &Condition) -> Value {
    json!({
        "type": condition.kind, "status": condition.status, "reason": condition.reason, "message": condition.message,
    })
}

/// The keys of the file, with what they mean where they are absent.
pub(super) fn spec(config: &DynamicPrefix) -> Value {
    let ranges = config
        .address_ranges
        .iter()
        .map(|range| json!({"name": range.name, "start": range.start.to_string(), "end": range.end.to_string()}));
    let subnets = config.subnets.iter().map(|subnet| {
        let mut shown = json!({"name": subnet.name, "prefixLength": subnet.prefix_length});
        // As text: a number of JSON is not that long.
        match &subnet.place {
            Place::Offset(offset) => shown["offset"] = json!(offset.to_string()),
            Place::Index(all) => {
                shown["index"] = json!(all.iter().map(ToString::to_string).collect::<Vec<_>>());
            }
        }
        shown
    });
    json!({
        "acquisition": acquisition(&config.acquisition),
        "addressRanges": ranges.collect::<Vec<_>>(),
        "subnets": subnets.collect::<Vec<_>>(),
        "transition": transition(&config.transition),
    })
}

fn acquisition(config: &Acquisition) -> Value {
    let mut shown = json!({});
    if let Some(auto) = &config.auto {
        // What was chosen is not of the file.
        shown["auto"] = auto.interface.as_ref().map_or(json!({}), |interface| json!({"interface": interface}));
    } else {
        on_links(config, &mut shown);
    }
    if let Some(addresses) = &config.interface {
        shown["interface"] = json!({"name": addresses.name});
        if let Some(length) = addresses.delegated_prefix_length {
            shown["interface"]["delegatedPrefixLength"] = json!(length);
        }
    }
    if let Some(http) = &config.http {
        let (url, seconds) = (SourceId::at(&http.url).shown_url(), http.interval.as_secs());
        shown["http"] = json!({"url": url, "prefixLength": http.prefix_length, "intervalSeconds": seconds});
    }
    if let Some(prefix) = &config.fixed {
        shown["static"] = json!({"prefix": prefix.to_string()});
    }
    shown
}

fn on_links(config: &Acquisition, shown: &mut Value) {
    if let Some(client) = &config.dhcpv6 {
        shown["dhcpv6"] = json!({"interface": client.interface});
        if let Some(length) = client.requested_prefix_length {
            shown["dhcpv6"]["requestedPrefixLength"] = json!(length);
        }
    }
    if let Some(observe) = &config.observe {
        shown["observe"] = json!({"interface": observe.interface});
    }
    if let Some(ra) = &config.router_advertisement {
        shown["routerAdvertisement"] = json!({"interface": ra.interface});
        if let Some(length) = ra.delegated_prefix_length {
            shown["routerAdvertisement"]["delegatedPrefixLength"] = json!(length);
        }
        if !ra.routers.is_empty() {
            shown["routerAdvertisement"]["routers"] = json!(ra.routers);
        }
    }
}

fn transition(config: &Transition) -> Value {
    let mut shown = json!({
        "mode": match config.mode { Mode::Simple => "simple", Mode::Ha => "ha" },
        "services": match config.services { ServiceScope::Annotated => "annotated", ServiceScope::All => "all" },
        "maxPrefixHistory": config.max_prefix_history,
        "onLoss": match config.on_loss { OnLoss::Keep => "keep", OnLoss::Withdraw => "withdraw" },
    });
    if let Some(period) = config.drain_period {
        shown["drainPeriodMinutes"] = json!(period.as_secs() / 60);
    }
    shown
}
