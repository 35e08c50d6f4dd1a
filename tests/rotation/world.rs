//! The cluster, its pools, and the daemon.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ipnet::Ipv6Net;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::{ApiServer, AuditLevel, METALLB_NAMESPACE, Options, Process, account_user, wait_for};
use crate::services::{Front, NAME, SECOND, TIER};

/// The pools of LB-IPAM.
pub(crate) const CILIUM_POOLS: &str = "/apis/cilium.io/v2/ciliumloadbalancerippools";
/// The pools of MetalLB.
pub(crate) const METALLB_POOLS: &str = "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools";
/// How long anything may take that should take a moment, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(40);
/// The account of the daemon.
const ACCOUNT: &str = "dyn-prefix";
const PROGRAM: &str = env!("CARGO_BIN_EXE_dyn-prefix");

/// What differs from one scene to another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// The lines that say where the prefix comes from.
    pub(crate) acquisition: String,
    /// Of `[dynamicPrefix.transition]`.
    pub(crate) transition: String,
    /// The second DynamicPrefix, if there is one.
    pub(crate) second: Option<Ipv6Net>,
}

/// An API server with pools, and the configuration of a daemon.
pub(crate) struct World {
    pub(crate) api: ApiServer,
    kubeconfig: PathBuf,
    daemon: Option<Process>,
    dir: TempDir,
}

impl World {
    /// An API server without pools, in the network namespace of the calling thread.
    pub(crate) fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let options = Options { audit: Some(AuditLevel::Metadata), ..Options::default() };
        let api = ApiServer::start_with(dir.path(), options)?;
        let kubeconfig = dir.path().join("kubeconfig");
        Ok(Self { api, kubeconfig, daemon: None, dir })
    }

    /// Two pools of LB-IPAM: one for the range `lb`, with IPv4 addresses of the user, and one for the range `dmz`, for
    /// the Services of that tier.
    pub(crate) fn create_cilium_pools(&self) -> Result<()> {
        self.api.install_cilium_crds(&["v2", "v2alpha1"])?;
        let pool = |name: &str, range: &str, operator: &str, values: &[&str], blocks: Value| {
            // Those of the second prefix have bindings in the file.
            let ours = json!({"dynamic-prefix.io/name": NAME, "dynamic-prefix.io/address-range": range});
            let annotations = if range.is_empty() { json!({}) } else { ours };
            let selector = json!({"matchExpressions": [{"key": TIER, "operator": operator, "values": values}]});
            let object = json!({
                "apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool",
                "metadata": {"name": name, "annotations": annotations},
                "spec": {"blocks": blocks, "serviceSelector": selector},
            });
            self.api.create(CILIUM_POOLS, &object).map(drop)
        };
        pool("public", "lb", "NotIn", &["dmz", "second", "both"], json!([{"cidr": "192.0.2.0/24"}]))?;
        pool("second", "", "In", &["second"], json!([]))?;
        pool("both", "", "In", &["both"], json!([]))?;
        pool("dmz", "dmz", "In", &["dmz"], json!([]))
    }

    /// A pool of MetalLB for the range `lb`, with IPv4 addresses of the user. The CRDs are there.
    pub(crate) fn create_metallb_pool(&self) -> Result<()> {
        let annotations = json!({"dynamic-prefix.io/name": NAME, "dynamic-prefix.io/address-range": "lb"});
        let object = json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": {"name": "public", "namespace": METALLB_NAMESPACE, "annotations": annotations},
            "spec": {"addresses": ["192.0.2.1-192.0.2.99"]},
        });
        self.api.create(METALLB_POOLS, &object).map(drop)
    }

    /// Writes the configuration.
    pub(crate) fn configure(&self, setup: &Setup, fronts: &[Front]) -> Result<()> {
        let [state, socket] = ["state", "control.sock"].map(|name| self.dir.path().join(name));
        let entries: String = fronts.iter().map(Front::entry).collect();
        let Setup { acquisition, transition, second } = setup;
        let second = second.map(|net| of_second(net, transition)).unwrap_or_default();
        let kubeconfig = &self.kubeconfig;
        let text = format!(
            r#"
[daemon]
id = "rotation"
stateDirectory = {state:?}
controlSocket = {socket:?}

[[cluster]]
name = "home"
kubeconfig = {kubeconfig:?}

[[dynamicPrefix]]
name = "{NAME}"
{acquisition}
transition = {{ {transition} }}
addressRanges = [
  {{ name = "lb", start = "::f000:0:0:0", end = "::f000:0:0:ffff" }},
  {{ name = "dmz", start = "::f002:0:0:0", end = "::f002:0:0:ffff" }},
  {{ name = "both", start = "::f004:0:0:0", end = "::f004:0:0:ffff" }},
]
{second}{entries}
"#
        );
        // Never half a file, whenever the daemon reads it.
        let new = self.dir.path().join("dyn-prefix.toml.new");
        std::fs::write(&new, text)?;
        std::fs::rename(new, self.config()).context("cannot write the configuration")
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("dyn-prefix.toml")
    }

    /// Starts the daemon, for the first time or again.
    pub(crate) fn start_daemon(&mut self) -> Result<()> {
        let check = self.command("check")?;
        let said = || String::from_utf8_lossy(&[&check.stdout[..], &check.stderr[..]].concat()).into_owned();
        ensure!(check.status.success(), "dyn-prefix check refuses the configuration of the test:\n{}", said());
        if !self.kubeconfig.exists() {
            // What comes into the configuration later asks for no more.
            self.api.make_account(PROGRAM, &self.config(), "home", ACCOUNT, &self.kubeconfig)?;
        }
        let mut command = Command::new(PROGRAM);
        command.arg("run").arg("--config").arg(self.config());
        for variable in ["JOURNAL_STREAM", "NOTIFY_SOCKET", "STATE_DIRECTORY", "WATCHDOG_USEC", "DYN_PREFIX_LOG"] {
            command.env_remove(variable);
        }
        self.daemon = Some(Process::spawn("dyn-prefix", &mut command, &self.dir.path().join("log"))?);
        Ok(())
    }

    /// Kills it: SIGKILL.
    pub(crate) fn kill_daemon(&mut self) -> Result<()> {
        self.daemon.take().context("the daemon runs")?.kill()
    }

    /// An error with the end of its log when it has ended by itself.
    pub(crate) fn check_daemon(&mut self) -> Result<()> {
        self.daemon.as_mut().map_or(Ok(()), Process::check_alive)
    }

    /// Has the daemon read its configuration again, if it runs.
    pub(crate) fn reload(&self) -> Result<()> {
        if self.daemon.is_none() {
            return Ok(());
        }
        let output = self.command("reload")?;
        ensure!(output.status.success(), "dyn-prefix reload: {output:?}");
        Ok(())
    }

    fn command(&self, command: &str) -> Result<Output> {
        let mut whole = Command::new(PROGRAM);
        whole.arg(command);
        if command == "check" {
            whole.arg(self.config());
        } else {
            whole.arg("--config").arg(self.config());
        }
        whole.output().with_context(|| format!("cannot run dyn-prefix {command}"))
    }

    /// Waits until `dyn-prefix status` says that all is well.
    pub(crate) fn wait_well(&self) -> Result<()> {
        let mut last = String::new();
        let well = wait_for("`dyn-prefix status` says that all is well", SOON, || {
            let output = self.command("status")?;
            last = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok(output.status.success().then_some(()))
        });
        well.with_context(|| format!("it says\n{last}"))
    }

    /// Waits until the daemon has heard the router.
    pub(crate) fn wait_heard(&self) -> Result<()> {
        wait_for("the daemon hears the router", SOON, || {
            let output = self.command("status")?;
            Ok(String::from_utf8_lossy(&output.stdout).contains("  receiving").then_some(()))
        })
    }

    /// What the daemon has logged last, and the status of the targets that are not well.
    pub(crate) fn story(&self) -> String {
        let log = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let is_news = |line: &&str| !line.starts_with("  ");
        let lines: Vec<String> = log.lines().filter(is_news).map(|line| line.chars().take(500).collect()).collect();
        let status = self.command("status").map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let status = status.unwrap_or_default();
        let unwell: Vec<&str> =
            status.lines().filter(|line| line.starts_with("  ") && !line.ends_with("Synced")).collect();
        let operator = std::fs::read(self.dir.path().join("cilium-operator.log")).unwrap_or_default();
        let operator = String::from_utf8_lossy(&operator).into_owned();
        let bad: Vec<&str> =
            operator.lines().filter(|line| line.contains("lbipam") && !line.contains("level=info")).collect();
        format!(
            "the daemon's log ends with\n{}\n`dyn-prefix status`, where it is not well:\n{}\nthe operator:\n{}",
            lines[lines.len().saturating_sub(30)..].join("\n"),
            unwell.join("\n"),
            bad[bad.len().saturating_sub(6)..].join("\n")
        )
    }

    /// Fails if the printed role is not enough.
    pub(crate) fn expect_nothing_refused(&self) -> Result<()> {
        self.api.expect_nothing_refused(ACCOUNT)
    }

    /// How many writes the daemon has made.
    pub(crate) fn writes(&self) -> Result<usize> {
        Ok(self
            .api
            .audit_of(&account_user(ACCOUNT))?
            .iter()
            .filter(|event| event.is_write() && event.code < 300)
            .count())
    }

    /// The same of MetalLB's pool.
    pub(crate) fn check_metallb_pool(&self, current: Ipv6Net, dead: &[Ipv6Net]) -> Result<()> {
        let pool = self.api.get(&format!("{METALLB_POOLS}/public"))?;
        let addresses = pool["spec"]["addresses"].as_array().cloned().unwrap_or_default();
        let bits = current.network().to_bits() | 0xf000 << 48;
        let [first, last] = [bits, bits | 0xffff].map(std::net::Ipv6Addr::from_bits);
        let whole = json!(format!("{first}-{last}"));
        ensure!(addresses.contains(&whole), "MetalLB's pool does not hold {whole} yet: {}", pool["spec"]);
        let start = |entry: &Value| -> Option<std::net::Ipv6Addr> {
            entry.as_str()?.split(['-', '/']).next()?.trim().parse().ok()
        };
        let stale = addresses.iter().filter_map(start).find(|start| dead.iter().any(|net| net.contains(start)));
        ensure!(stale.is_none(), "MetalLB's pool still holds {stale:?}");
        Ok(())
    }

    /// An error unless a pool holds all of a range of the current prefix, and nothing of the dead ones.
    pub(crate) fn check_cilium_pool(&self, name: &str, mark: u16, current: Ipv6Net, dead: &[Ipv6Net]) -> Result<()> {
        let pool = self.api.get(&format!("{CILIUM_POOLS}/{name}"))?;
        let blocks = pool["spec"]["blocks"].as_array().cloned().unwrap_or_default();
        let at = |low: u128| {
            let bits = current.network().to_bits() | u128::from(mark) << 48 | low;
            std::net::Ipv6Addr::from_bits(bits).to_string()
        };
        let whole = json!({"start": at(0), "stop": at(0xffff)});
        ensure!(blocks.contains(&whole), "the pool {name} does not hold {whole} yet: {}", pool["spec"]);
        let is_dead = |block: &&Value| {
            let start = block["start"].as_str().and_then(|start| start.parse::<std::net::Ipv6Addr>().ok());
            start.is_some_and(|start| dead.iter().any(|net| net.contains(&start)))
        };
        let stale: Vec<&Value> = blocks.iter().filter(is_dead).collect();
        ensure!(stale.is_empty(), "the pool {name} still holds {stale:?}");
        Ok(())
    }
}

/// A second DynamicPrefix with a pool of its own, and a pool that has both.
fn of_second(prefix: Ipv6Net, transition: &str) -> String {
    let binding = |reference: &str, pool: &str| {
        format!("[[binding]]\nprefixRef = \"{reference}\"\ntarget = \"CiliumLoadBalancerIPPool/{pool}\"\n")
    };
    let bindings =
        [(format!("{NAME}/both"), "both"), (format!("{SECOND}/both"), "both"), (format!("{SECOND}/lb"), "second")];
    let bindings: String = bindings.iter().map(|(reference, pool)| binding(reference, pool)).collect();
    format!(
        r#"
[[dynamicPrefix]]
name = "{SECOND}"
acquisition.static.prefix = "{prefix}"
transition = {{ {transition} }}
addressRanges = [
  {{ name = "lb", start = "::f000:0:0:0", end = "::f000:0:0:ffff" }},
  {{ name = "both", start = "::f004:0:0:0", end = "::f004:0:0:ffff" }},
]
{bindings}"#
    )
}
