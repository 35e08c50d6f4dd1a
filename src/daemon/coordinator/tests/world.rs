//! A coordinator with a configuration text, a router on eth0 and clusters that report.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{ConnectionState, Health, Managed, TargetReport, Update};
use crate::config::{Config, Host, Kind, ObjectRef};
use crate::daemon::coordinator::{Coordinator, Identity, Memory};
use crate::source::dhcpv6::Duid;
use crate::source::{Cut, Offer, SourceId, SourceKind, SourceReport, SourceState};
use crate::status::Status;
use crate::store::State;
use crate::time::{Deadline, Epoch, Instant};

pub(super) const A: &str = "2001:db8:a::/64";
pub(super) const B: &str = "2001:db8:b::/64";

/// The cluster "one" with a pool bound to the range "lb" of a prefix heard on eth0.
pub(super) const HOME: &str = r#"
[[cluster]]
name = "one"
kubeconfig = "/one"

[[dynamicPrefix]]
name = "home"
acquisition.routerAdvertisement = { interface = "eth0" }
addressRanges = [{ name = "lb", start = "::f000:0:0:0", end = "::f000:0:0:ffff" }]

[[binding]]
cluster = "one"
prefixRef = "home/lb"
target = "CiliumLoadBalancerIPPool/pool"
"#;

/// Two more clusters, for [`HOME`].
pub(super) const TWO_MORE: &str = r#"
[[cluster]]
name = "two"
kubeconfig = "/two"

[[cluster]]
name = "three"
kubeconfig = "/three"
"#;

pub(super) fn config(text: &str) -> Arc<Config> {
    let host = Host { variable: &|_| None, exists: &|_| true, read: &|_| Ok(String::new()) };
    let loaded = Config::parse(text, Path::new("test.toml"), &host);
    Arc::new(loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.findings)))
}

/// The boot in which everything takes place.
const BOOT: &str = "0b00";

fn identity() -> Identity {
    let duid = Duid::new(&[0, 4, 0xaa]).unwrap();
    Identity { daemon_id: "me".to_owned(), duid, boot_id: Some(BOOT.to_owned()) }
}

pub(super) fn on(interface: &str) -> SourceId {
    SourceId::on(SourceKind::RouterAdvertisement, interface)
}

pub(super) fn pool(name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::CiliumLoadBalancerIPPool, namespace: None, name: name.to_owned() }
}

/// A pool as its cluster reports it, in sync and not managed.
pub(super) fn target(name: &str, uid: &str) -> TargetReport {
    TargetReport {
        object: pool(name),
        uid: Some(uid.to_owned()),
        bindings: vec!["one".to_owned()],
        bound_prefixes: Vec::new(),
        desired: Vec::new(),
        foreign: Vec::new(),
        synced: true,
        observed: None,
        last_sync: None,
        retry_at: None,
        reason: "Synced".to_owned(),
        message: None,
        other: None,
        managed: None,
    }
}

/// The same, managed, with one entry of ours.
pub(super) fn managed(name: &str, uid: &str, entry: &str) -> TargetReport {
    let managed = Managed {
        object: pool(name),
        uid: uid.to_owned(),
        contributions: BTreeMap::from([("one".to_owned(), vec![entry.to_owned()])]),
        unclaimed: Vec::new(),
        strays: BTreeMap::new(),
    };
    TargetReport { managed: Some(managed), ..target(name, uid) }
}

pub(super) fn health(state: ConnectionState) -> Health {
    Health { state, reason: None, server_version: None, retry_at: None, notes: Vec::new(), validity: None }
}

pub(super) struct World {
    pub(super) coordinator: Coordinator,
    pub(super) now: Instant,
    first_seen: BTreeMap<(SourceId, String), Instant>,
}

impl World {
    pub(super) fn new(text: &str) -> Self {
        let now = Instant::from_secs(1000);
        let coordinator = Coordinator::new(config(text), identity(), Memory::default(), now);
        Self { coordinator, now, first_seen: BTreeMap::new() }
    }

    /// At 1000 s after boot it is ten o'clock.
    pub(super) fn epoch(&self) -> Epoch {
        let ten = Epoch::new(Instant::from_secs(1000), "2026-01-04T10:00:00Z".parse().unwrap());
        Epoch::new(self.now, ten.wall(self.now))
    }

    /// The router on eth0 announces these, each with its preferred and valid lifetime.
    pub(super) fn ra(&mut self, prefixes: &[(&str, u32, u32)]) {
        self.ra_on("eth0", prefixes);
    }

    pub(super) fn ra_on(&mut self, interface: &str, prefixes: &[(&str, u32, u32)]) {
        let offers = prefixes.iter().map(|(prefix, preferred, valid)| Offer {
            prefix: prefix.parse().unwrap(),
            recipient: None,
            router: Some("fe80::1".parse().unwrap()),
            preferred_until: Deadline::after(self.now, *preferred),
            valid_until: Deadline::after(self.now, *valid),
            excluded: Vec::new(),
            first_seen: *self.first_seen.entry((on(interface), (*prefix).to_owned())).or_insert(self.now),
            cut: (*preferred == 0).then_some(Cut::Deprecated),
        });
        let offers = offers.collect();
        self.report(SourceReport { offers, ..SourceReport::new(on(interface), SourceState::Receiving) });
    }

    pub(super) fn says(&mut self, interface: &str, state: SourceState) {
        self.report(SourceReport::new(on(interface), state));
    }

    pub(super) fn report(&mut self, report: SourceReport) {
        self.coordinator.handle_report(report, self.now);
    }

    pub(super) fn targets(&mut self, cluster: &str, targets: Vec<TargetReport>) {
        self.coordinator.handle_update(cluster, Update { targets, ..Update::default() }, self.now);
    }

    pub(super) fn connect(&mut self, cluster: &str, state: ConnectionState) {
        let update = Update { health: Some(health(state)), ..Update::default() };
        self.coordinator.handle_update(cluster, update, self.now);
    }

    pub(super) fn reload(&mut self, text: &str) {
        self.coordinator.reconfigure(config(text), self.now);
    }

    /// Time goes by; the coordinator is called exactly when it asks to be.
    pub(super) fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.coordinator.poll_timeout().filter(|due| *due <= end) {
            self.coordinator.handle_timeout(due);
        }
        self.now = end;
    }

    /// Stops, and starts again `seconds` later from what the store would have kept.
    pub(super) fn restart(&mut self, text: &str, seconds: u64) {
        let stored = serde_json::to_string(&self.coordinator.state(&self.epoch())).unwrap();
        self.now = self.now + Duration::from_secs(seconds);
        let state = serde_json::from_str::<State>(&stored).unwrap().read_in(Some(BOOT));
        let config = config(text);
        let memory = Memory::from_state(Some(&state), &config, &self.epoch());
        self.coordinator = Coordinator::new(config, identity(), memory, self.now);
    }

    /// The prefixes of a DynamicPrefix as every cluster gets them: "2001:db8:a::/64 Current, …".
    pub(super) fn wanted(&self, name: &str) -> String {
        let wanted = self.coordinator.wanted("one");
        let Some(computed) = wanted.catalogue.dynamic_prefixes.get(name) else { return "unknown".to_owned() };
        if !computed.has_opinion {
            return "no opinion".to_owned();
        }
        let shown = computed.generations.iter().map(|known| format!("{} {:?}", known.prefix, known.role));
        shown.collect::<Vec<_>>().join(", ")
    }

    /// The lines for the journal since the last call.
    pub(super) fn journal(&mut self) -> Vec<String> {
        let epoch = self.epoch();
        std::iter::from_fn(|| self.coordinator.poll_entry(&epoch)).map(|entry| entry.message).collect()
    }

    pub(super) fn status(&self) -> Status {
        self.coordinator.status(&self.epoch())
    }

    /// The condition PrefixAcquired of a DynamicPrefix: "True Acquired since 2026-…".
    pub(super) fn acquired(&self, name: &str) -> String {
        let status = self.status();
        let prefix = status.dynamic_prefixes.iter().find(|prefix| prefix.name == name).unwrap();
        let condition = prefix.conditions.iter().find(|condition| condition.kind == "PrefixAcquired").unwrap();
        format!("{} {} since {}", condition.status, condition.reason, condition.last_transition_time.unwrap())
    }
}
