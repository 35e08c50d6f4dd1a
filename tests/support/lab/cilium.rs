//! The real cilium-operator: LB-IPAM, without an agent.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::apiserver::ApiServer;
use super::process::Process;
use super::{free_port, program};

/// A first start registers the CRDs, up to a second each.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A running operator. It needs root: it makes `/var/run/cilium`.
#[derive(Debug)]
pub(crate) struct CiliumOperator {
    kubeconfig: PathBuf,
    dir: PathBuf,
    process: Process,
}

impl CiliumOperator {
    /// Starts it and waits until LB-IPAM is up: about ten seconds the first time, six later.
    ///
    /// LB-IPAM stays dormant until the first pool is there.
    pub(crate) fn start(server: &ApiServer) -> Result<Self> {
        let kubeconfig = server.kubeconfig_admin()?;
        let dir = server.dir().to_owned();
        let process = launch(&kubeconfig, &dir)?;
        Ok(Self { kubeconfig, dir, process })
    }

    /// The process, for its log and signals.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it; its lease runs out after four seconds.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Kills it, starts another, and waits until LB-IPAM is up again: about ten seconds.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.process = launch(&self.kubeconfig, &self.dir)?;
        Ok(())
    }
}

fn launch(kubeconfig: &std::path::Path, dir: &std::path::Path) -> Result<Process> {
    let mut command = Command::new(program("cilium-operator")?);
    command.args([
        format!("--k8s-kubeconfig-path={}", kubeconfig.display()),
        format!("--operator-api-serve-addr=127.0.0.1:{}", free_port()?),
        format!("--shell-sock-path={}", dir.join("operator.sock").display()),
    ]);
    command.args([
        "--k8s-namespace=kube-system",
        "--enable-ipv4",
        "--enable-ipv6",
        "--ipam=kubernetes",
        "--identity-allocation-mode=crd",
        "--enable-lb-ipam",
        "--default-lb-service-ipam=lbipam",
        "--synchronize-k8s-nodes=false",
        "--synchronize-k8s-services=false",
        "--remove-cilium-node-taints=false",
        "--set-cilium-is-up-condition=false",
        "--set-cilium-node-taints=false",
        "--unmanaged-pod-watcher-interval=0",
        "--nodes-gc-interval=0",
        "--enable-metrics=false",
        "--enable-gops=false",
        "--leader-election-lease-duration=4s",
        "--leader-election-renew-deadline=3s",
        "--leader-election-retry-period=500ms",
    ]);
    let log = dir.join("cilium-operator.log");
    let from = std::fs::metadata(&log).map_or(0, |data| usize::try_from(data.len()).unwrap_or(0));
    let mut process = Process::spawn("cilium-operator", &mut command, &log)?;
    process.wait_log(from, &["Start hook executed", "lbipam-main"], START_LIMIT)?;
    Ok(process)
}
