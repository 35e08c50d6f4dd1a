//! A cluster with one pool, a link that comes and goes, and daemons that know nothing.

use std::fmt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ipnet::Ipv6Net;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::{ApiServer, Options, Process};
use crate::netns::{LAN, Pair, WAN};
use crate::report::mebibytes;
use crate::servers::wait_for_link_local;

const POOLS: &str = "/apis/cilium.io/v2/ciliumloadbalancerippools";
const POOL: &str = "pool";
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Where the prefix comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquisition {
    /// Solicit, Advertise, Request, Reply.
    FourMessages,
    /// Solicit, Reply (`rapidCommit`).
    TwoMessages,
    /// Written in the configuration: there is no client.
    Static,
}

/// What a process has, in bytes.
pub(crate) struct Memory {
    resident: u64,
    anonymous: u64,
    peak: u64,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [resident, anonymous, peak] = [self.resident, self.anonymous, self.peak].map(mebibytes);
        write!(f, "RSS {resident:.2} MiB, RssAnon {anonymous:.2}, at most {peak:.2}")
    }
}

/// A cluster, and the link of its host.
pub(crate) struct World<'a> {
    pub(crate) pair: &'a Pair,
    server: ApiServer,
    kubeconfig: PathBuf,
    program: PathBuf,
    dir: TempDir,
    events: Receiver<(Instant, Value)>,
    daemons: usize,
}

/// Joins the namespaces, the host with duplicate address detection as every host has it.
pub(crate) fn join(pair: &Pair) -> Result<()> {
    for scope in ["all", "default"] {
        pair.host.sysctl(&format!("net/ipv6/conf/{scope}/accept_dad"), "1");
        pair.host.sysctl(&format!("net/ipv6/conf/{scope}/dad_transmits"), "1");
    }
    pair.join();
    pair.router.ip(&format!("addr add 2001:db8:100::1/64 dev {LAN} nodad"));
    wait_for_link_local(&pair.router, LAN)
}

impl<'a> World<'a> {
    /// Starts the cluster and makes the pool.
    pub(crate) fn new(pair: &'a Pair, program: &Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let server = ApiServer::start_with(dir.path(), Options::default())?;
        server.install_cilium_crds(&["v2"])?;
        let annotations = json!({"dynamic-prefix.io/name": "bench", "dynamic-prefix.io/subnet": "lan"});
        let object = json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool",
            "metadata": {"name": POOL, "annotations": annotations}, "spec": {"blocks": []},
        });
        server.create(POOLS, &object)?;
        let kubeconfig = server.kubeconfig_for("dyn-prefix", &["system:masters"])?;
        let version = server.version_of(POOLS)?;
        let events = server.watch(&format!("{POOLS}?resourceVersion={version}"))?;
        Ok(Self { pair, server, kubeconfig, program: program.to_owned(), dir, events, daemons: 0 })
    }

    /// Starts a daemon that knows nothing, and waits until it is ready. It is killed with the value.
    pub(crate) fn start_daemon(&mut self, acquisition: Acquisition) -> Result<Process> {
        self.daemons += 1;
        let dir = self.dir.path().join(format!("daemon-{}", self.daemons));
        std::fs::create_dir_all(&dir)?;
        let config = dir.join("dyn-prefix.toml");
        std::fs::write(&config, self.configuration(&dir, acquisition))?;
        let notify = UnixDatagram::bind(dir.join("notify"))?;
        notify.set_read_timeout(Some(LIMIT))?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--config").arg(&config).env("NOTIFY_SOCKET", dir.join("notify"));
        for variable in ["JOURNAL_STREAM", "STATE_DIRECTORY", "WATCHDOG_USEC", "DYN_PREFIX_LOG"] {
            command.env_remove(variable);
        }
        let process = Process::spawn("dyn-prefix", &mut command, &dir.join("log"))?;
        let mut message = [0; 4096];
        loop {
            let length = notify.recv(&mut message).with_context(|| format!("no READY=1; {}", process.log_tail(15)))?;
            if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == "READY=1") {
                return Ok(process);
            }
        }
    }

    fn configuration(&self, dir: &Path, acquisition: Acquisition) -> String {
        let (dir, kubeconfig) = (dir.display(), self.kubeconfig.display());
        let source = match acquisition {
            Acquisition::FourMessages => format!("dhcpv6 = {{ interface = \"{WAN}\" }}"),
            Acquisition::TwoMessages => format!("dhcpv6 = {{ interface = \"{WAN}\", rapidCommit = true }}"),
            Acquisition::Static => "static = { prefix = \"2001:db8:aa00::/56\" }".to_owned(),
        };
        format!(
            "[daemon]\nid = \"bench\"\nstateDirectory = \"{dir}/state\"\ncontrolSocket = \"{dir}/control.sock\"\n\
             [[cluster]]\nname = \"lab\"\nkubeconfig = \"{kubeconfig}\"\n\
             [[dynamicPrefix]]\nname = \"bench\"\nacquisition.{source}\n\
             subnets = [{{ name = \"lan\", index = 1, prefixLength = 64 }}]\n"
        )
    }

    /// Waits until the pool shows a range; when it did, and which.
    pub(crate) fn wait_for_range(&self, daemon: &mut Process) -> Result<(Instant, Ipv6Net)> {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.events.recv_timeout(Duration::from_secs(1)) {
                Ok((at, event)) => {
                    if let Some(range) = range(&event["object"]) {
                        return Ok((at, range));
                    }
                }
                Err(_) if Instant::now() > deadline => {
                    bail!("no prefix in the pool within {LIMIT:?}; the daemon says:\n{}", daemon.log_tail(15))
                }
                Err(_) => daemon.check_alive()?,
            }
        }
    }

    /// Empties the pool, as if nobody had written it, and waits until the watch has seen that.
    pub(crate) fn clear(&self) -> Result<()> {
        let annotations = json!({"dynamic-prefix.io/managed-blocks": null, "dynamic-prefix.io/managed-by": null, "bench/cleared": null});
        let mark = json!({"metadata": {"annotations": {"bench/cleared": "yes"}}});
        let patch = json!({"metadata": {"annotations": annotations}, "spec": {"blocks": []}});
        let path = format!("{POOLS}/{POOL}");
        self.server.patch(&path, &mark)?;
        self.server.patch(&path, &patch)?;
        let is_marked = |event: &Value| event["object"]["metadata"]["annotations"]["bench/cleared"] == "yes";
        let mut marked = false;
        loop {
            let (_, event) = self.events.recv_timeout(LIMIT).context("the watch shows that the pool was emptied")?;
            if std::mem::replace(&mut marked, is_marked(&event)) && !is_marked(&event) {
                return Ok(());
            }
        }
    }
}

/// What a process has now.
pub(crate) fn memory(process: &Process) -> Result<Memory> {
    let path = format!("/proc/{}/status", process.pid());
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let bytes = |key: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(number.with_context(|| format!("{path} has no {key}"))?.parse::<u64>()? * 1024)
    };
    Ok(Memory { resident: bytes("VmRSS")?, anonymous: bytes("RssAnon")?, peak: bytes("VmHWM")? })
}

fn range(pool: &Value) -> Option<Ipv6Net> {
    pool["spec"]["blocks"].as_array()?.iter().find_map(|block| block["cidr"].as_str()?.parse().ok())
}
