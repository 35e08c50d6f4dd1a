//! The real MetalLB controller, without its webhook.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::apiserver::ApiServer;
use super::process::Process;
use super::{free_port, program};

/// The loadBalancerClass of the Services it serves, so that it can live beside Cilium in one cluster.
pub(crate) const CLASS: &str = "lab/metallb";
/// The namespace of its configuration.
pub(crate) const NAMESPACE: &str = "metallb-system";

/// A running controller.
#[derive(Debug)]
pub(crate) struct MetallbController {
    process: Process,
}

impl MetallbController {
    /// Installs the CRDs, starts the controller and waits until it watches.
    ///
    /// Its health port listens on all addresses. The test therefore has to be in a network of its own
    /// ([`private_network`](super::private_network)), with the API server started after that.
    pub(crate) fn start(server: &ApiServer) -> Result<Self> {
        let program = program("metallb-controller")?;
        ensure_private()?;
        server.install_metallb_crds()?;
        server.ensure_namespace(NAMESPACE)?;
        server.apply(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fake", "namespace": NAMESPACE},
            "spec": {"containers": [{"name": "controller", "image": "lab.invalid/none"}]},
        }))?;
        let mut command = Command::new(program);
        command.env("KUBECONFIG", server.kubeconfig_admin()?).env("METALLB_BGP_TYPE", "frr-k8s");
        command.env("METALLB_NAMESPACE", NAMESPACE);
        command.args([
            format!("--namespace={NAMESPACE}"),
            format!("--lb-class={CLASS}"),
            format!("--health-probe-port={}", free_port()?),
        ]);
        command.args(["--pod-name=fake", "--webhook-mode=disabled", "--disable-cert-rotation", "--port=0"]);
        let mut process = Process::spawn("metallb-controller", &mut command, &server.dir().join("metallb.log"))?;
        process.wait_log(0, &["Starting workers", "PoolStatusController"], Duration::from_secs(60))?;
        Ok(Self { process })
    }

    /// The process, for its log and signals.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// An error unless this thread's network has nothing but loopback.
fn ensure_private() -> Result<()> {
    let interfaces = std::fs::read_to_string("/proc/thread-self/net/dev").context("cannot list interfaces")?;
    let other = interfaces.lines().skip(2).filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    let other: Vec<&str> = other.filter(|name| *name != "lo").collect();
    ensure!(other.is_empty(), "metallb-controller listens on all addresses, and this network has {other:?}");
    Ok(())
}
