//! What the coordinator and `dyn-prefix plan` show: the [`Status`] value, from the same computed ranges that the
//! clusters get.

use std::collections::BTreeMap;

use crate::arbiter::{Arbiter, Current, Previous, PreviousState, Reason, Snapshot};
use crate::cluster::{ConnectionState, Health, TargetReport};
use crate::config::DynamicPrefix;
use crate::metrics::counters::InUse;
pub use crate::plan::cidrs;
use crate::plan::{Block, Catalogue, ComputedGeneration, Role};
use crate::prefix::Interval;
use crate::source::{SourceKind, SourceReport, SourceState, dhcpv6};
use crate::status::{
    self, AddressStatus, ClusterStatus, DaemonStatus, DelegationStatus, DynamicPrefixStatus, EntryStatus,
    HistoryStatus, Lease, LeasedPrefixStatus, NextWake, RangeStatus, SCHEMA_VERSION, SourceStatus, Status,
    SubnetStatus, TargetStatus,
};
use crate::time::{Deadline, Epoch};

use super::coordinator::Coordinator;

impl Coordinator {
    /// Every DynamicPrefix that has a prefix, with that and its generation.
    pub fn in_use(&self) -> Vec<InUse<'_>> {
        let current = |name| Some((name, self.arbiters.get(name)?.snapshot()?.current.as_ref()?));
        let names = self.arbiters.keys().map(String::as_str);
        let all = names.filter_map(current).map(|(name, current)| (name, current.prefix, current.generation.0));
        all.collect()
    }

    /// One DynamicPrefix, whole.
    pub(super) fn dynamic_prefix(&self, config: &DynamicPrefix, epoch: &Epoch) -> DynamicPrefixStatus {
        let snapshot = self.arbiters.get(&config.name).and_then(Arbiter::snapshot);
        let mut shown = dynamic_prefix(config, snapshot, &self.catalogue, epoch);
        shown.conditions = self.conditions.of(&config.name, epoch);
        let waits = config.acquisition.auto.as_ref().and_then(|auto| auto.waits.as_ref());
        shown.errors.extend(waits.map(|why| EntryStatus {
            entry: "acquisition.auto".to_owned(),
            message: format!("No source is chosen yet: {why}."),
        }));
        shown
    }

    /// Everything there is to know.
    pub fn status(&self, epoch: &Epoch) -> Status {
        let prefixes = self.config.dynamic_prefixes.iter().map(|prefix| self.dynamic_prefix(prefix, epoch));
        let clusters = self.config.clusters.iter().map(|cluster| {
            let health = self.clusters.get(&cluster.name).and_then(|view| view.health.as_ref());
            cluster_status(&cluster.name, health, epoch)
        });
        let targets = self.config.clusters.iter().flat_map(|cluster| {
            let view = self.clusters.get(&cluster.name);
            view.into_iter()
                .flat_map(|view| view.targets.values())
                .map(move |target| target_status(&cluster.name, target, epoch))
        });
        let sources = self.reports.values().map(|report| {
            let mut shown = source_status(report, epoch);
            shown.notes.extend(self.note_on(&report.id));
            shown.notes.extend(self.notes_on_choice(&report.id));
            shown
        });
        Status {
            schema_version: SCHEMA_VERSION,
            daemon: DaemonStatus {
                version: crate::VERSION.to_owned(),
                id: self.identity.daemon_id.clone(),
                started_at: Some(epoch.wall(self.started_at)),
                config_applied_at: Some(epoch.wall(self.applied_at)),
                reload_errors: self.reload_errors.clone(),
                listen_error: self.listen_error.clone(),
                leftovers: self.leftovers(),
            },
            sources: told_apart(sources.collect()),
            dynamic_prefixes: prefixes.collect(),
            clusters: clusters.collect(),
            targets: targets.collect(),
            hooks: Vec::new(),
            files: Vec::new(),
        }
    }

    /// The one line that the supervisor shows.
    pub fn summary(&self) -> String {
        let prefixes = self.config.dynamic_prefixes.iter().map(|prefix| {
            let snapshot = self.arbiters.get(&prefix.name).and_then(Arbiter::snapshot);
            let current = snapshot.and_then(|snapshot| snapshot.current.as_ref());
            let text = current.map(|current| current.prefix.to_string());
            status::in_use(&prefix.name, text.as_deref(), current.is_some_and(|current| current.lost.is_some()))
        });
        let troubled = self.reports.values().filter_map(|report| {
            let id = &report.id;
            status::trouble(id.kind.as_str(), id.interface.as_deref(), id.shown_url().as_deref(), report.state.as_str())
        });
        let views = self.clusters.values();
        let targets = views.clone().flat_map(|view| view.targets.values());
        status::summary(&status::Summary {
            prefixes: prefixes.collect(),
            troubled: troubled.collect(),
            targets: targets.clone().count(),
            synced: targets.filter(|target| target.synced).count(),
            away: self
                .clusters
                .iter()
                .filter(|(_, view)| !view.is_connected())
                .map(|(name, _)| name.as_str())
                .collect(),
            reload_refused: !self.reload_errors.is_empty(),
            is_deaf: self.listen_error.is_some(),
            failing: self.failing.clone(),
        })
    }
}

/// One DynamicPrefix, without its conditions.
pub fn dynamic_prefix(
    config: &DynamicPrefix,
    snapshot: Option<&Snapshot>,
    catalogue: &Catalogue,
    epoch: &Epoch,
) -> DynamicPrefixStatus {
    let current = snapshot.and_then(|snapshot| snapshot.current.as_ref());
    let computed = catalogue
        .dynamic_prefixes
        .get(&config.name)
        .and_then(|computed| computed.generations.iter().find(|generation| generation.role == Role::Current));
    let valid_until = current.and_then(|current| wall(current.valid_until, epoch));
    let ranges = computed.into_iter().flat_map(|generation| {
        config.address_ranges.iter().filter_map(move |range| range_status(generation, &range.name))
    });
    let subnets = computed
        .into_iter()
        .flat_map(|generation| config.subnets.iter().filter_map(move |subnet| subnet_status(generation, &subnet.name)));
    DynamicPrefixStatus {
        name: config.name.clone(),
        current_prefix: current.map(|current| current.prefix.to_string()),
        prefix_source: current.map(|current| current.source.kind.to_string()),
        generation: current.map(|current: &Current| current.generation.0),
        preferred_until: current.and_then(|current| wall(current.preferred_until, epoch)),
        valid_until,
        lease_expires_at: valid_until,
        address_ranges: ranges.collect(),
        subnets: subnets.collect(),
        history: snapshot.map(|snapshot| history(&snapshot.history, epoch)).unwrap_or_default(),
        conditions: Vec::new(),
        errors: computed.map(errors).unwrap_or_default(),
    }
}

fn wall(deadline: Deadline, epoch: &Epoch) -> Option<jiff::Timestamp> {
    deadline.instant().map(|end| epoch.wall(end))
}

fn history(history: &[Previous], epoch: &Epoch) -> Vec<HistoryStatus> {
    let shown = history.iter().map(|previous| HistoryStatus {
        prefix: previous.prefix.to_string(),
        acquired_at: Some(epoch.wall(previous.acquired_at)),
        deprecated_at: Some(epoch.wall(previous.deprecated_at)),
        valid_until: wall(previous.valid_until, epoch),
        drain_ends_at: wall(previous.drain_ends_at, epoch),
        state: match previous.state {
            PreviousState::Draining => "draining",
            PreviousState::Expired => "expired",
        }
        .to_owned(),
        reason: match previous.reason {
            Reason::Replaced => "Replaced",
            Reason::DrainPeriodOver => "DrainPeriodOver",
            Reason::TooMany => "TooMany",
            Reason::Dead => "Dead",
            Reason::Released => "Released",
        }
        .to_owned(),
        dead: previous.is_dead(),
    });
    shown.collect()
}

fn blocks<'a>(generation: &'a ComputedGeneration, name: &str) -> Option<&'a [Block]> {
    generation.parts.get(name)?.as_ref().ok().map(Vec::as_slice)
}

fn range_status(generation: &ComputedGeneration, name: &str) -> Option<RangeStatus> {
    let blocks = blocks(generation, name)?;
    let span = span(blocks)?;
    Some(RangeStatus {
        name: name.to_owned(),
        start: span.first().to_string(),
        end: span.last().to_string(),
        cidrs: cidrs(blocks),
    })
}

fn subnet_status(generation: &ComputedGeneration, name: &str) -> Option<SubnetStatus> {
    let cidrs = cidrs(blocks(generation, name)?);
    Some(SubnetStatus { name: name.to_owned(), cidr: cidrs.first()?.clone(), cidrs })
}

fn errors(generation: &ComputedGeneration) -> Vec<EntryStatus> {
    let errors = generation.parts.values().filter_map(|part| part.as_ref().err());
    errors.map(|error| EntryStatus { entry: error.entry.clone(), message: error.message.clone() }).collect()
}

fn source_status(report: &SourceReport, epoch: &Epoch) -> SourceStatus {
    SourceStatus {
        kind: report.id.kind.to_string(),
        interface: report.id.interface.clone(),
        url: report.id.shown_url(),
        state: report.state.as_str().to_owned(),
        reason: trouble(report),
        lease: report.client.as_ref().map(|memory| lease(memory, epoch)),
        next_wake: report
            .next_wake
            .map(|(at, reason)| NextWake { at: Some(epoch.wall(at)), reason: reason.to_owned() }),
        notes: report.notes.clone(),
    }
}

/// URLs that differ only in what is not shown get a number, or two sources would look like one.
fn told_apart(mut sources: Vec<SourceStatus>) -> Vec<SourceStatus> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for url in sources.iter_mut().filter_map(|source| source.url.as_mut()) {
        let count = seen.entry(url.clone()).or_default();
        *count += 1;
        if *count > 1 {
            url.push_str(&format!(" ({count})"));
        }
    }
    sources
}

/// Why a source does not do its work now; what it says begins a line, or follows the state.
fn trouble(report: &SourceReport) -> Option<String> {
    let is_client = report.id.kind == SourceKind::Dhcpv6Pd;
    let is_observer = report.id.kind == SourceKind::Observed;
    let text = match &report.state {
        SourceState::Failed(reason) => reason,
        SourceState::InterfaceAbsent => "there is no interface with this name; waiting for it to appear",
        SourceState::LinkDown => "the interface is down or has no carrier",
        SourceState::NoLinkLocal => "the interface has no link-local address yet that can be sent from",
        SourceState::AwaitingRouter => {
            "no router says that there is DHCPv6, by the M or O flag, and requireRouterAdvertisement = true"
        }
        SourceState::NoAddress => {
            "the interface has no address with a prefix that could be used; see `ip -6 address show` and prefixFilter"
        }
        SourceState::Silent if is_client => match &report.refusal {
            Some(refusal) => refusal,
            None => {
                "no DHCPv6 server answers; is there one that delegates prefixes, and does a firewall drop UDP port 546?"
            }
        },
        SourceState::Silent if is_observer => match &report.refusal {
            Some(refusal) => refusal,
            None => "no delegation of another DHCPv6 client is known; does one run there, with prefix delegation on?",
        },
        SourceState::Silent => "no router answers; is there one, and does a firewall drop ICMPv6 type 134?",
        SourceState::Rebinding => "the lease is not confirmed; every server is asked",
        SourceState::Soliciting
        | SourceState::AwaitingAddress
        | SourceState::Asking
        | SourceState::Receiving
        | SourceState::Requesting
        | SourceState::Bound
        | SourceState::Renewing
        | SourceState::Releasing
        | SourceState::Released
        | SourceState::Configured => return None,
    };
    Some(text.to_owned())
}

fn lease(memory: &dhcpv6::Memory, epoch: &Epoch) -> Lease {
    let prefix = |prefix: &dhcpv6::LeasedPrefix| LeasedPrefixStatus {
        prefix: prefix.prefix.to_string(),
        excluded: prefix.excluded.map(|excluded| excluded.to_string()),
        preferred_until: wall(prefix.preferred_until, epoch),
        valid_until: wall(prefix.valid_until, epoch),
    };
    let delegations = memory.leases.iter().map(|lease| {
        // Of what is over only the last prefix is of interest: nothing of it will be renewed.
        let lives = lease.prefixes.iter().any(|prefix| !prefix.valid_until.is_over(epoch.now()));
        let timer = |deadline: Deadline| if lives { wall(deadline, epoch) } else { None };
        DelegationStatus {
            dynamic_prefix: lease.dynamic_prefix.clone(),
            iaid: lease.iaid,
            received_at: lease.received_at.filter(|_| lives).map(|at| epoch.wall(at)),
            t1: timer(lease.t1),
            t2: timer(lease.t2),
            prefixes: lease.prefixes.iter().map(prefix).collect(),
        }
    });
    Lease {
        server: memory.server.as_ref().map(ToString::to_string),
        client: Some(memory.duid.to_string()),
        delegations: delegations.collect(),
        address: memory.address.as_ref().map(|lease| AddressStatus {
            address: lease.address.to_string(),
            iaid: lease.iaid,
            t1: wall(lease.t1, epoch),
            t2: wall(lease.t2, epoch),
            preferred_until: wall(lease.preferred_until, epoch),
            valid_until: wall(lease.valid_until, epoch),
        }),
    }
}

fn cluster_status(name: &str, health: Option<&Health>, epoch: &Epoch) -> ClusterStatus {
    let state = health.map_or(ConnectionState::Connecting, |health| health.state);
    let reason = health.and_then(|health| health.reason.as_ref());
    ClusterStatus {
        name: name.to_owned(),
        state: state.as_str().to_owned(),
        reason: reason.map(|(reason, _)| reason.clone()),
        message: reason.map(|(_, message)| message.clone()),
        server_version: health.and_then(|health| health.server_version.clone()),
        retry_at: health.and_then(|health| health.retry_at).map(|at| epoch.wall(at)),
        notes: health.map(|health| health.notes.clone()).unwrap_or_default(),
        credential_expires_at: health.and_then(|health| health.validity).map(|validity| validity.until),
    }
}

fn target_status(cluster: &str, target: &TargetReport, epoch: &Epoch) -> TargetStatus {
    TargetStatus {
        cluster: cluster.to_owned(),
        kind: target.object.kind.as_str().to_owned(),
        namespace: target.object.namespace.clone(),
        name: target.object.name.clone(),
        uid: target.uid.clone(),
        bindings: target.bindings.clone(),
        bound_prefixes: target.bound_prefixes.clone(),
        desired: target.desired.clone(),
        foreign: target.foreign.clone(),
        synced: target.synced,
        observed: target.observed,
        last_sync_time: target.last_sync.map(|at| epoch.wall(at)),
        retry_at: target.retry_at.map(|at| epoch.wall(at)),
        reason: target.reason.clone(),
        message: target.message.clone(),
    }
}

/// The addresses from the first of `blocks` to the last of them.
pub fn span(blocks: &[Block]) -> Option<Interval> {
    let first = blocks.iter().map(|block| block.interval().first()).min()?;
    let last = blocks.iter().map(|block| block.interval().last()).max()?;
    Interval::new(first, last)
}
