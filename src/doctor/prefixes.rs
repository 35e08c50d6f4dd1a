//! The prefixes that several checks go by: what the running daemon says, else what it stored before it ended.

use std::collections::BTreeMap;

use ipnet::Ipv6Net;
use jiff::Timestamp;

use super::routes::{Delegation, Range};
use super::{Check, Finding};
use crate::arbiter::{Current, Generation, PreviousState, Snapshot};
use crate::cluster::object::Object;
use crate::config::{Binding, Config, Discovery, DynamicPrefix, ObjectRef};
use crate::plan::{self, Catalogue};
use crate::prefix::Interval;
use crate::source::SourceId;
use crate::status::{SourceStatus, Status, TargetStatus};
use crate::store::State;
use crate::time::{Deadline, Epoch};

/// Who told them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The daemon, which runs.
    ByDaemon,
    /// The state directory: as it was when the daemon saved it.
    Stored(Timestamp),
    /// The daemon does not run, and has stored nothing. What the file fixes is known all the same.
    Nothing,
    /// What is stored cannot be read; why, without a full stop.
    Hidden(String),
}

/// What is known of the prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who told it.
    pub told: Told,
    /// The ones in use and the ones that drain, by DynamicPrefix, current first.
    pub prefixes: Vec<(String, Ipv6Net)>,
    /// The DynamicPrefixes of the file of which none is known.
    pub unknown: Vec<String>,
    /// What is delegated to this host; without the indices of the interfaces.
    pub delegations: Vec<Delegation>,
    /// The ranges of pools, as the daemon says; `None`: it says nothing, and they are computed.
    ranges: Option<Vec<Range>>,
    catalogue: Catalogue,
}

impl Known {
    /// What the running daemon says.
    pub fn of_daemon(config: &Config, status: &Status) -> Self {
        let prefixes = status.dynamic_prefixes.iter().flat_map(|prefix| {
            let draining =
                prefix.history.iter().filter(|former| former.state == "draining").map(|former| &former.prefix);
            let all = prefix.current_prefix.iter().chain(draining);
            all.filter_map(|text| Some((prefix.name.clone(), text.parse().ok()?))).collect::<Vec<_>>()
        });
        Self {
            delegations: status.sources.iter().flat_map(delegations).collect(),
            ranges: Some(status.targets.iter().filter(|target| is_pool(&target.kind)).flat_map(ranges).collect()),
            ..Self::new(config, Told::ByDaemon, prefixes.collect(), Catalogue::default())
        }
    }

    /// What the daemon stored; `Err`: why that cannot be read, without a full stop.
    pub fn of_store(config: &Config, state: Result<Option<&State>, String>, epoch: &Epoch) -> Self {
        let (told, state) = match state {
            Ok(Some(state)) => (Told::Stored(state.saved_at), Some(state)),
            Ok(None) => (Told::Nothing, None),
            Err(why) => (Told::Hidden(why), None),
        };
        let restored = |name: &str| Some(state?.restore(name, epoch)?.snapshot).filter(|it| it.current.is_some());
        let snapshots: BTreeMap<String, Snapshot> = config
            .dynamic_prefixes
            .iter()
            .filter_map(|prefix| Some((prefix.name.clone(), restored(&prefix.name).or_else(|| fixed(prefix, epoch))?)))
            .collect();
        let prefixes = snapshots.iter().flat_map(|(name, snapshot)| {
            let draining = snapshot.history.iter().filter(|former| former.state == PreviousState::Draining);
            let all = snapshot.current.iter().map(|current| current.prefix).chain(draining.map(|former| former.prefix));
            all.map(move |prefix| (name.clone(), prefix))
        });
        let clients = state.map(|state| state.clients(epoch)).unwrap_or_default();
        let delegations = clients.iter().flat_map(|(interface, memory)| {
            let held = memory.leases.iter().filter(|lease| lease.received_at.is_some());
            let valid =
                held.flat_map(|lease| &lease.prefixes).filter(|prefix| !prefix.valid_until.is_over(epoch.now()));
            valid.map(|leased| Delegation { prefix: leased.prefix, interface: interface.clone(), ifindex: None })
        });
        let catalogue = Catalogue::compute(&config.dynamic_prefixes, &snapshots);
        Self { delegations: delegations.collect(), ..Self::new(config, told, prefixes.collect(), catalogue) }
    }

    fn new(config: &Config, told: Told, prefixes: Vec<(String, Ipv6Net)>, catalogue: Catalogue) -> Self {
        let names = config.dynamic_prefixes.iter().map(|prefix| prefix.name.clone());
        let unknown = names.filter(|name| !prefixes.iter().any(|(known, _)| known == name)).collect();
        Self { told, prefixes, unknown, delegations: Vec::new(), ranges: None, catalogue }
    }

    /// The ranges of pools: those of the daemon, else of the bindings and of what carries annotations. `objects`: what
    /// is there, by cluster, as far as it could be read.
    pub fn ranges<'a>(&self, config: &Config, objects: impl Fn(&str) -> Vec<&'a Object>) -> Vec<Range> {
        if let Some(ranges) = &self.ranges {
            return ranges.clone();
        }
        let of_cluster = |cluster: &crate::config::Cluster| {
            let bindings: Vec<Binding> =
                config.bindings.iter().filter(|binding| binding.cluster == cluster.name).cloned().collect();
            let mut targets: BTreeMap<ObjectRef, BTreeMap<String, String>> =
                bindings.iter().map(|binding| (binding.target.clone(), BTreeMap::new())).collect();
            if cluster.discovery != Discovery::Off {
                let found = objects(&cluster.name).into_iter();
                targets.extend(found.map(|object| (object.reference.clone(), object.annotations.clone())));
            }
            let pools = targets.into_iter().filter(|(reference, _)| reference.kind.is_pool());
            let of_pool = |(reference, annotations): (ObjectRef, BTreeMap<String, String>)| {
                let want = plan::object(&reference, &annotations, &bindings, true, &self.catalogue);
                let blocks = want.map(|want| want.blocks(reference.kind)).unwrap_or_default();
                let name = of_pool(&reference.name, &cluster.name);
                blocks.into_iter().map(move |block| Range { name: name.clone(), interval: block.interval() })
            };
            pools.flat_map(of_pool).collect::<Vec<_>>()
        };
        config.clusters.iter().flat_map(of_cluster).collect()
    }
}

/// What the file fixes is known without anybody.
fn fixed(prefix: &DynamicPrefix, epoch: &Epoch) -> Option<Snapshot> {
    let current = Current {
        generation: Generation(1),
        prefix: prefix.acquisition.fixed?,
        source: SourceId::of(crate::source::SourceKind::Static),
        routers: Vec::new(),
        acquired_at: epoch.now(),
        preferred_until: Deadline::Never,
        valid_until: Deadline::Never,
        excluded: Vec::new(),
        lost: None,
    };
    Some(Snapshot { current: Some(current), history: Vec::new() })
}

fn delegations(source: &SourceStatus) -> Vec<Delegation> {
    let interface = source.interface.clone().unwrap_or_default();
    let lease = source.lease.clone().unwrap_or_default();
    let held = lease.delegations.into_iter().filter(|delegation| delegation.received_at.is_some());
    let prefixes = held.flat_map(|delegation| delegation.prefixes).filter_map(|leased| leased.prefix.parse().ok());
    prefixes.map(|prefix| Delegation { prefix, interface: interface.clone(), ifindex: None }).collect()
}

fn is_pool(kind: &str) -> bool {
    crate::config::Kind::ALL.into_iter().any(|known| known.is_pool() && known.as_str() == kind)
}

fn ranges(target: &TargetStatus) -> Vec<Range> {
    let name = of_pool(&target.name, &target.cluster);
    let prefixes = target.bound_prefixes.iter().filter_map(|prefix| prefix.parse::<Ipv6Net>().ok());
    prefixes.map(|prefix| Range { name: name.clone(), interval: Interval::from(prefix) }).collect()
}

fn of_pool(name: &str, cluster: &str) -> String {
    format!("of the pool {name} in the cluster {cluster}")
}

/// Says which prefixes are known, by whom, and what nobody could look for without.
pub fn check(known: &Known) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut names: Vec<&str> = known.prefixes.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    for name in names {
        let all = known.prefixes.iter().filter(|(of, _)| of == name).map(|(_, prefix)| prefix.to_string());
        let all = all.collect::<Vec<_>>().join(" and still ");
        found.push(match &known.told {
            Told::ByDaemon => Finding::ok(Check::Prefix, name, format!("The daemon has the prefix {all} for {name}.")),
            Told::Stored(at) => {
                let message = format!(
                    "{name} had the prefix {all} when the daemon last saved its state, at {at}. What follows goes by that."
                );
                Finding::note(Check::Prefix, name, message)
            }
            Told::Nothing | Told::Hidden(_) => {
                Finding::ok(Check::Prefix, name, format!("The file fixes the prefix {all} for {name}."))
            }
        });
    }
    found.extend(known.unknown.iter().map(|name| unknown(&known.told, name)));
    found
}

fn unknown(told: &Told, name: &str) -> Finding {
    let (why, advice) = match told {
        Told::ByDaemon => ("the daemon has none", "`dyn-prefix status` says what it waits for; look again then."),
        Told::Stored(_) | Told::Nothing => {
            ("the daemon does not run, and has stored none", "Start the daemon, and look again.")
        }
        Told::Hidden(why) => {
            (why.as_str(), "Run this as root, or as a member of the group dyn-prefix while the daemon runs.")
        }
    };
    let message = format!(
        "No prefix is known for {name}: {why}. So nobody looked for hosts inside its ranges, for packets that go in \
         circles, and for an API server or Services with addresses of it."
    );
    Finding::unseen(Check::Prefix, name, message, advice)
}
