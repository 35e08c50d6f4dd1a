//! A driver and its server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dyn_prefix::cluster::driver::{self, Setup};
use dyn_prefix::cluster::mirror::Publication;
use dyn_prefix::cluster::timeouts::Timeouts;
use dyn_prefix::cluster::{ConnectionState, Health, TargetReport, Update, Wanted};
use dyn_prefix::config::{
    Binding, Cluster, Discovery, Kind, Kubeconfig, Mode, ObjectRef, Part, ServiceScope, Strategy,
};
use dyn_prefix::plan::{Block, Catalogue, Computed, ComputedGeneration, Role};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::api::{Api, Certificate, Key};

pub(super) const PATIENCE: Duration = Duration::from_secs(10);
pub(super) const FIRST: &str = "2001:db8:1::/64";
pub(super) const SECOND: &str = "2001:db8:2::/64";
pub(super) const THIRD: &str = "2001:db8:3::/64";

pub(super) struct Rig {
    pub(super) api: Api,
    pub(super) directory: TempDir,
    pub(super) wanted: watch::Sender<Option<Wanted>>,
    pub(super) cluster: watch::Sender<Arc<Cluster>>,
    pub(super) cancel: CancellationToken,
    pub(super) driver: JoinHandle<()>,
    updates: mpsc::Receiver<(String, Update)>,
    health: Option<Health>,
}

/// Short enough for tests; those that a test is not about are long.
pub(super) fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_millis(500),
        operation: Duration::from_millis(500),
        backoff: Duration::from_millis(20),
        backoff_max: Duration::from_millis(100),
        settled: Duration::from_millis(1),
        refused: Duration::from_millis(100),
        rediscover_needed: Duration::from_millis(50),
        rediscover: Duration::from_secs(3600),
        files_settle: Duration::from_millis(5),
        stop: Duration::from_millis(500),
        ..Timeouts::default()
    }
}

/// What a rig starts with.
pub(super) struct Start {
    pub(super) kubeconfig: String,
    pub(super) discovery: Discovery,
    pub(super) timeouts: Timeouts,
    pub(super) wanted: Option<Wanted>,
    pub(super) publication: Publication,
}

impl Start {
    pub(super) fn new(api: &Api) -> Self {
        let trust = format!(", certificate-authority-data: {}", base64(Certificate::CA));
        let trust = if api.url().starts_with("https") { trust } else { String::new() };
        Self {
            kubeconfig: api.kubeconfig(&trust, "token: secret"),
            discovery: Discovery::Off,
            timeouts: timeouts(),
            wanted: Some(wanted(FIRST)),
            publication: Publication::default(),
        }
    }

    /// Runs a driver; the kubeconfig lies in `directory`.
    pub(super) fn run(self, api: Api, directory: TempDir) -> Rig {
        let path = directory.path().join("kubeconfig");
        std::fs::write(&path, &self.kubeconfig).unwrap();
        let (cluster, cluster_rx) = watch::channel(Arc::new(cluster(path, self.discovery)));
        let (wanted, wanted_rx) = watch::channel(self.wanted);
        let (updates_tx, updates) = mpsc::channel(16);
        let cancel = CancellationToken::new();
        let setup = Setup {
            cluster: cluster_rx,
            managed: Vec::new(),
            wanted: wanted_rx,
            publication: watch::channel(self.publication).1,
            published: Default::default(),
            updates: updates_tx,
            timeouts: self.timeouts,
            seed: 1,
            ready: CancellationToken::new(),
        };
        let driver = tokio::spawn(driver::run(setup, |_: &str, _| (), cancel.clone()));
        Rig { api, directory, wanted, cluster, cancel, driver, updates, health: None }
    }
}

pub(super) fn cluster(path: PathBuf, discovery: Discovery) -> Cluster {
    Cluster {
        name: "home".to_owned(),
        kubeconfig: Kubeconfig::File(path),
        context: None,
        discovery,
        dry_run: false,
        external_dns: Vec::new(),
        events: false,
        publish_status: false,
    }
}

/// A server of the usual kind, holding an empty pool, and a driver that wants [`FIRST`] on it.
pub(super) async fn rig() -> Rig {
    let api = cilium().await;
    let start = Start::new(&api);
    start.run(api, tempfile::tempdir().unwrap())
}

/// Serves Cilium's kinds as v2, with an empty pool.
pub(super) async fn cilium() -> Api {
    let api = Api::start().await;
    install(&api);
    api
}

pub(super) fn install(api: &Api) {
    api.define("CiliumLoadBalancerIPPool", &["v2"]);
    api.define("CiliumCIDRGroup", &["v2"]);
    api.put(pool("pool", &[]));
}

pub(super) fn pool(name: &str, cidrs: &[&str]) -> Value {
    let blocks: Vec<Value> = cidrs.iter().map(|cidr| json!({"cidr": cidr})).collect();
    json!({"apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool", "metadata": {"name": name},
        "spec": {"blocks": blocks}})
}

/// `prefix` on the pool "pool".
pub(super) fn wanted(prefix: &str) -> Wanted {
    wanted_on(prefix, &[ObjectRef { kind: Kind::CiliumLoadBalancerIPPool, namespace: None, name: "pool".to_owned() }])
}

/// Its subnets of `prefix` on each target: the first on the first, and so on. The other prefixes of these tests are
/// known as former ones, so that their entries leave at once.
pub(super) fn wanted_on(prefix: &str, targets: &[ObjectRef]) -> Wanted {
    let former = [FIRST, SECOND, THIRD].into_iter().filter(|former| *former != prefix);
    let former = former.map(|former| generation(former, Role::Known, targets.len()));
    let generations = std::iter::once(generation(prefix, Role::Current, targets.len())).chain(former).collect();
    let computed = Computed {
        has_opinion: true,
        generations,
        drain_period: None,
        strays_since: None,
        mode: Mode::Simple,
        services: ServiceScope::Annotated,
    };
    let bindings = targets.iter().enumerate().map(|(number, target)| Binding {
        name: format!("on {target}"),
        cluster: "home".to_owned(),
        dynamic_prefix: "ipv6".to_owned(),
        part: Part::Named(vec![number.to_string()]),
        target: target.clone(),
        strategy: Strategy::Append,
    });
    Wanted {
        daemon_id: "test".to_owned(),
        catalogue: Arc::new(Catalogue { dynamic_prefixes: BTreeMap::from([("ipv6".to_owned(), computed)]) }),
        bindings: Arc::new(bindings.collect()),
        services: Arc::default(),
        denied: Arc::default(),
        told: Arc::default(),
    }
}

fn generation(prefix: &str, role: Role, parts: usize) -> ComputedGeneration {
    let part = |number: usize| Block::Cidr(nth(prefix, number).parse().unwrap());
    ComputedGeneration {
        prefix: prefix.parse().unwrap(),
        role,
        dead: false,
        parts: (0..parts).map(|number| (number.to_string(), Ok(vec![part(number)]))).collect(),
        whole: vec![part(0)],
    }
}

/// The `number`th /64 from `prefix` on, itself a /64.
pub(super) fn nth(prefix: &str, number: usize) -> String {
    let first: std::net::Ipv6Addr = prefix.split('/').next().unwrap().parse().unwrap();
    format!("{}/64", std::net::Ipv6Addr::from_bits(first.to_bits() + ((number as u128) << 64)))
}

/// The CIDRs of a pool as they stand.
pub(super) fn blocks(api: &Api, name: &str) -> Vec<String> {
    let pool = api.get(&Key::pool(name)).unwrap_or_default();
    let blocks = pool["spec"]["blocks"].as_array().cloned().unwrap_or_default();
    blocks.iter().map(|block| block["cidr"].as_str().unwrap_or_default().to_owned()).collect()
}

impl Rig {
    pub(super) fn want(&self, prefix: &str) {
        self.wanted.send_replace(Some(wanted(prefix)));
    }

    /// Waits until the pool holds exactly this.
    pub(super) async fn holds(&mut self, prefix: &str) {
        self.until(|api| blocks(api, "pool") == [prefix]).await;
    }

    /// Waits until the pool holds [`FIRST`] and is watched: until all that is to be done at the start is done.
    pub(super) async fn watches(&mut self) {
        let watched = ["/ciliumloadbalancerippools", "/services", "/customresourcedefinitions"];
        let all_watched = |api: &Api| watched.iter().all(|part| api.count("watch", part) > 0);
        self.until(|api| blocks(api, "pool") == [FIRST] && all_watched(api)).await;
    }

    /// Waits until the server is as wished, while the updates of the driver are read.
    pub(super) async fn until(&mut self, wish: impl Fn(&Api) -> bool) {
        let Self { api, updates, health, .. } = self;
        let drain = async {
            while let Some((_, update)) = updates.recv().await {
                *health = update.health.or_else(|| health.take());
            }
            std::future::pending::<()>().await;
        };
        let outcome = tokio::time::timeout(PATIENCE, async {
            tokio::select! { () = api.until(&wish) => {}, () = drain => {} }
        });
        let done = outcome.await;
        assert!(done.is_ok(), "pool: {:?}; health: {:?}", blocks(api, "pool"), health);
    }

    /// Waits until the health is as wished, and returns it.
    pub(super) async fn health(&mut self, wish: impl Fn(&Health) -> bool) -> Health {
        let waiting = async {
            loop {
                if let Some(health) = self.health.as_ref().filter(|health| wish(health)) {
                    return health.clone();
                }
                let (_, update) = self.updates.recv().await.expect("the driver runs");
                self.health = update.health.or_else(|| self.health.take());
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("health as wished")
    }

    pub(super) async fn state(&mut self, state: ConnectionState) -> Health {
        self.health(|health| health.state == state).await
    }

    /// The reason word of a connection that is not well.
    pub(super) async fn reason(&mut self, reason: &str) -> Health {
        self.health(|health| health.reason.as_ref().is_some_and(|(word, _)| word == reason)).await
    }

    /// The objects of kind DynamicPrefix that are ours by what was told last, of what was not read yet.
    pub(super) fn published(&mut self) -> Vec<String> {
        let updates = std::iter::from_fn(|| self.updates.try_recv().ok());
        let published = updates.filter_map(|(_, update)| update.published).last();
        published.unwrap_or_default().into_keys().collect()
    }

    /// Waits until a target is reported as wished.
    pub(super) async fn report(&mut self, wish: impl Fn(&TargetReport) -> bool) {
        let waiting = async {
            loop {
                let (_, update) = self.updates.recv().await.expect("the driver runs");
                self.health = update.health.or_else(|| self.health.take());
                if update.targets.iter().any(&wish) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("a report as wished");
    }

    pub(super) fn write_file(&self, name: &str, content: &str) {
        std::fs::write(self.directory.path().join(name), content).unwrap();
    }
}

/// RFC 4648 §4, for the data fields of a kubeconfig.
pub(super) fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bytes = [chunk[0], chunk.get(1).copied().unwrap_or(0), chunk.get(2).copied().unwrap_or(0)];
        let word = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        for place in 0..4 {
            let sextet = (word >> (18 - 6 * place)) & 0x3f;
            let is_padding = place > chunk.len();
            encoded.push(if is_padding { '=' } else { char::from(ALPHABET[sextet as usize]) });
        }
    }
    encoded
}
