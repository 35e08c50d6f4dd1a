//! The island in virtual time, against a few lines that behave like an API server.

mod api;
mod burst;
mod carriers;
mod chains;
mod chaos;
mod claims;
mod contest;
mod edges;
mod edits;
mod errors;
mod havoc;
mod life;
mod metallb;
mod pairs;
mod paused;
mod rotation;
mod selected;
mod simple;
mod swaps;
mod taken;
mod targets;
mod told;
mod town;
mod unbound;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::cluster::object::{self, MANAGED_BY};
use crate::cluster::{TargetReport, entry};
use crate::config::{Binding, Cluster, EXTERNAL_DNS, Kubeconfig, Mode, Part, ServiceScope, Strategy};
use crate::plan::{Block, Catalogue, Computed, ComputedGeneration, EntryError, Role};

use api::Api;

const ID: &str = "this-daemon";
const HOUR: i64 = 3600;

fn at(seconds: i64) -> Instant {
    Instant::from_secs(seconds)
}

fn cluster() -> Cluster {
    Cluster {
        name: "home".to_owned(),
        kubeconfig: Kubeconfig::InCluster,
        context: None,
        discovery: Discovery::Default,
        dry_run: false,
        external_dns: EXTERNAL_DNS.map(str::to_owned).to_vec(),
        events: true,
        publish_status: false,
    }
}

fn served() -> Served {
    Served::from([
        (Kind::CiliumLoadBalancerIPPool, "v2".to_owned()),
        (Kind::CiliumCIDRGroup, "v2".to_owned()),
        (Kind::IPAddressPool, "v1beta1".to_owned()),
        (Kind::Service, "v1".to_owned()),
    ])
}

fn pool(name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::CiliumLoadBalancerIPPool, namespace: None, name: name.to_owned() }
}

fn group(name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::CiliumCIDRGroup, namespace: None, name: name.to_owned() }
}

fn metallb(name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::IPAddressPool, namespace: Some("metallb-system".to_owned()), name: name.to_owned() }
}

fn binding(name: &str, part: &str, target: &ObjectRef) -> Binding {
    Binding {
        name: name.to_owned(),
        cluster: "home".to_owned(),
        dynamic_prefix: "home-ipv6".to_owned(),
        part: Part::Named(vec![part.to_owned()]),
        target: target.clone(),
        strategy: Strategy::Append,
    }
}

/// The DynamicPrefix "home-ipv6" with the /48 prefixes 2001:db8:N::, newest first: one current, two draining, the rest
/// only known. Its subnet "lb" is the first /64, "other" the second; "bad" cannot be computed.
fn prefixes(numbers: &[u16]) -> Catalogue {
    let role = |age| match age {
        0 => Role::Current,
        1 | 2 => Role::Draining,
        _ => Role::Known,
    };
    let generations = numbers.iter().enumerate().map(|(age, n)| {
        let net = |length, subnet| format!("2001:db8:{n:x}:{subnet}::/{length}").parse().expect("a prefix");
        let bad = EntryError { entry: "subnets[bad]".to_owned(), message: "subnets[bad] lies outside.".to_owned() };
        ComputedGeneration {
            prefix: net(48, 0),
            role: role(age),
            dead: false,
            parts: BTreeMap::from([
                ("lb".to_owned(), Ok(vec![Block::Cidr(net(64, 0))])),
                ("other".to_owned(), Ok(vec![Block::Cidr(net(64, 1))])),
                ("bad".to_owned(), Err(bad)),
            ]),
            whole: vec![Block::Cidr(net(48, 0))],
        }
    });
    catalogue(true, generations.collect())
}

fn catalogue(has_opinion: bool, generations: Vec<ComputedGeneration>) -> Catalogue {
    let computed = Computed {
        has_opinion,
        generations,
        drain_period: Some(Duration::from_secs(3600)),
        strays_since: None,
        mode: Mode::Simple,
        services: ServiceScope::Annotated,
    };
    Catalogue { dynamic_prefixes: BTreeMap::from([("home-ipv6".to_owned(), computed)]) }
}

fn wanted(catalogue: Catalogue, bindings: Vec<Binding>) -> Wanted {
    Wanted {
        daemon_id: ID.to_owned(),
        catalogue: Arc::new(catalogue),
        bindings: Arc::new(bindings),
        services: Arc::default(),
        denied: Arc::default(),
        told: Arc::default(),
    }
}

/// An island and the API server it writes to.
struct Lab {
    island: Island,
    api: Api,
    events: Vec<Event>,
    reports: BTreeMap<ObjectRef, TargetReport>,
    removed: Vec<ObjectRef>,
    /// Every patch that was sent.
    writes: Vec<Write>,
}

impl Lab {
    fn new(objects: impl IntoIterator<Item = Object>) -> Self {
        let api = Api::new(objects);
        let mut lab = Self::bare(Island::new(&cluster(), Vec::new(), 7), api);
        lab.connect(at(0));
        lab
    }

    fn bare(island: Island, api: Api) -> Self {
        Self { island, api, events: vec![], reports: BTreeMap::new(), removed: vec![], writes: vec![] }
    }

    /// What the driver does with a new connection.
    fn connect(&mut self, now: Instant) {
        self.island.handle_connected(now);
        self.island.handle_served(&served(), now);
        for kind in Kind::ALL {
            self.island.handle_watch(kind, WatchState::Running, now);
            self.island.handle_list(kind, None, self.api.list(kind), now);
        }
    }

    /// The same world, a new process: only `managed` has survived.
    fn restarted(self, managed: Vec<Managed>, now: Instant) -> Self {
        let mut lab = Self::bare(Island::new(&cluster(), managed, 8), self.api);
        lab.connect(now);
        lab
    }

    fn want(&mut self, wanted: Wanted, now: Instant) {
        self.island.handle_wanted(wanted, now);
        self.run(now);
    }

    /// Sends all patches and takes all answers, until nothing is left to do; how many were sent.
    fn run(&mut self, now: Instant) -> usize {
        let before = self.writes.len();
        while let Some(write) = self.island.poll_write(now) {
            assert!(self.writes.len() - before < 100, "it never ends: {:?}", self.writes.last());
            let answer = self.api.patch(&write);
            self.island.handle_written(&write.object, answer.clone(), now);
            if let Ok(object) = answer {
                self.island.handle_object(object, now);
            }
            self.writes.push(write);
        }
        self.drain();
        self.writes.len() - before
    }

    fn drain(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.island.poll_event()));
        while let Some(update) = self.island.poll_update() {
            for reference in update.removed {
                self.reports.remove(&reference);
                self.removed.push(reference);
            }
            self.reports.extend(update.targets.into_iter().map(|report| (report.object.clone(), report)));
        }
    }

    /// Time passes without an input; how many patches were sent.
    fn wait_until(&mut self, end: Instant) -> usize {
        let before = self.writes.len();
        while let Some(next) = self.island.poll_timeout().filter(|next| *next <= end) {
            self.island.handle_timeout(next);
            assert!(self.island.poll_timeout().is_none_or(|later| later > next), "the clock stands still at {next:?}");
            self.run(next);
        }
        self.writes.len() - before
    }

    /// Somebody else writes the list, and the watch tells.
    fn edit(&mut self, reference: &ObjectRef, manager: &str, list: Vec<Value>, now: Instant) -> usize {
        let object = self.api.edit(reference, manager, |object| object.list = list);
        self.island.handle_object(object, now);
        self.run(now)
    }

    /// The driver's answer is `error`, whatever the patch says.
    fn fail(&mut self, error: WriteError, now: Instant) -> Write {
        let write = self.island.poll_write(now).expect("something to write");
        self.island.handle_written(&write.object, Err(error), now);
        self.drain();
        write
    }

    fn text(&self, reference: &ObjectRef) -> Vec<String> {
        self.api.get(reference).list.iter().map(entry::describe).collect()
    }

    fn record(&self, reference: &ObjectRef) -> Option<String> {
        self.api.get(reference).annotations.get(object::record_annotation(reference.kind)).cloned()
    }

    fn report(&self, reference: &ObjectRef) -> &TargetReport {
        self.reports.get(reference).expect("a report")
    }

    fn reason(&self, reference: &ObjectRef) -> &str {
        &self.report(reference).reason
    }

    fn message(&self, reference: &ObjectRef) -> &str {
        self.report(reference).message.as_deref().unwrap_or_default()
    }

    fn managed(&self) -> Vec<Managed> {
        self.reports.values().filter_map(|report| report.managed.clone()).collect()
    }

    fn failures(&self) -> Vec<&str> {
        let told = self.events.iter();
        told.filter_map(|event| if let Event::Failing { reason, .. } = event { Some(reason.as_str()) } else { None })
            .collect()
    }
}

fn cidr(text: &str) -> Value {
    json!({ "cidr": text })
}
