//! The daemon with an API server, the small one in this process.

use std::sync::Arc;
use std::thread::JoinHandle;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::home::{FIXED, Home, PATIENCE};
use crate::support::api::{Api, Key};

/// The server, on a thread of its own: the tests wait for processes.
pub(super) struct Served {
    api: Arc<Api>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Holds an empty pool and an empty group.
    pub(super) fn start() -> Self {
        let (started, starts) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                started.send(Arc::new(Api::start().await)).unwrap();
                drop(stopped.await);
            });
        });
        let api: Arc<Api> = starts.recv_timeout(PATIENCE).unwrap();
        api.define("CiliumLoadBalancerIPPool", &["v2"]);
        api.define("CiliumCIDRGroup", &["v2"]);
        api.put(json!({"apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool",
            "metadata": {"name": "pool"}, "spec": {"blocks": [{"cidr": "2001:db8:ffff::/64"}]}}));
        api.put(json!({"apiVersion": "cilium.io/v2", "kind": "CiliumCIDRGroup",
            "metadata": {"name": "group"}, "spec": {"externalCIDRs": ["192.0.2.0/24"]}}));
        Self { api, stop: Some(stop), thread: Some(thread) }
    }

    pub(super) fn home(&self, config: &str) -> Home {
        let home = Home::new(config);
        home.write("kubeconfig", &self.api.kubeconfig("", "token: secret"));
        home
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap();
        }
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Without the pool, whose controller is not there to observe it.
pub(super) fn only_the_group() -> String {
    FIXED.replace(
        "[[binding]]\nname = \"pool\"\nprefixRef = \"home/lb\"\ntarget = \"CiliumLoadBalancerIPPool/pool\"\n",
        "",
    )
}

fn synced(status: &Value) -> bool {
    let targets = status["targets"].as_array().unwrap();
    !targets.is_empty() && targets.iter().all(|target| target["synced"] == true)
}

#[test]
fn all_well_exits_0() {
    let served = Served::start();
    let home = served.home(&only_the_group());
    let mut daemon = home.start();
    daemon.until("in sync", synced);
    let outcome = home.ask(&["status"]);
    let mut lines = outcome.stdout.lines();
    let first = lines.next().unwrap();
    assert!(first.ends_with(" as test: home 2001:db8:1::/56; 1 of 1 targets in sync"), "{first}");
    let expected = "\
targets in lab
  CiliumCIDRGroup/group  Synced
    2001:db8:1:4::/64
    2001:db8:1:5::/64
    2001:db8:1:7::/64
    192.0.2.0/24  (the user's)
";
    assert!(outcome.stdout.ends_with(expected), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("\n  lab  connected"), "{}", outcome.stdout);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    daemon.until_noted("STATUS=home 2001:db8:1::/56; 1 of 1 targets in sync");
    let line = daemon.until_logged("CiliumCIDRGroup/group now holds");
    assert!(line.starts_with("lab: CiliumCIDRGroup/group now holds 2001:db8:1:4::/64, "), "{line}");
}

#[test]
fn a_pool_that_its_controller_has_not_seen_exits_3() {
    let served = Served::start();
    let home = served.home(FIXED);
    let daemon = home.start();
    daemon.until("in sync", synced);
    let outcome = home.ask(&["status"]);
    assert_eq!(outcome.code, Some(3));
    let expected = "\n  CiliumLoadBalancerIPPool/pool  Synced, its controller has not seen it yet (does it run?)";
    assert!(outcome.stdout.contains(expected), "{}", outcome.stdout);
}

#[test]
fn plan_said_what_the_objects_hold() {
    let served = Served::start();
    let home = served.home(FIXED);
    let plan = home.ask(&["plan", "--prefix", "2001:db8:1::/56", "--output", "json"]);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    let daemon = home.start();
    let status = daemon.until("in sync", synced);
    assert_eq!(plan["targets"].as_array().unwrap().len(), 2);
    for (planned, is) in plan["targets"].as_array().unwrap().iter().zip(status["targets"].as_array().unwrap()) {
        for key in ["cluster", "kind", "name", "bindings", "boundPrefixes", "desired"] {
            assert_eq!(planned[key], is[key], "{key}");
        }
    }
    let held = served.api.get(&Key::group("group")).unwrap();
    let expected = json!(["192.0.2.0/24", "2001:db8:1:4::/64", "2001:db8:1:5::/64", "2001:db8:1:7::/64"]);
    let mut cidrs: Vec<&str> =
        held["spec"]["externalCIDRs"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
    cidrs.sort_unstable();
    assert_eq!(json!(cidrs), expected);
}

#[test]
fn a_stop_withdraws_nothing() {
    let served = Served::start();
    let home = served.home(FIXED);
    let mut daemon = home.start();
    daemon.until("in sync", synced);
    let pool = served.api.get(&Key::pool("pool"));
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        daemon.signal(signal);
        assert_eq!(daemon.ended(), Some(0));
        assert_eq!(served.api.get(&Key::pool("pool")), pool);
        daemon = home.start();
        daemon.until("in sync", synced);
    }
    assert_eq!(served.api.get(&Key::pool("pool")), pool, "a restart finds nothing to do");
}

#[test]
fn a_reload_that_drops_a_binding_gives_the_object_back() {
    let served = Served::start();
    let home = served.home(FIXED);
    let daemon = home.start();
    daemon.until("in sync", synced);
    home.configure(&only_the_group());
    assert_eq!(home.ask(&["reload"]).code, Some(0));
    daemon.until("one target left", |status| status["targets"].as_array().is_some_and(|all| all.len() == 1));
    let pool = served.api.get(&Key::pool("pool")).unwrap();
    assert_eq!(pool["spec"]["blocks"], json!([{"cidr": "2001:db8:ffff::/64"}]), "the user's entry stays");
    let annotations = pool["metadata"]["annotations"].as_object();
    assert!(annotations.is_none_or(serde_json::Map::is_empty), "no trace of ours: {annotations:?}");
}
