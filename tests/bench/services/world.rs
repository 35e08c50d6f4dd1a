//! A cluster with an operator, pools and Services.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::eyes::Eyes;
use crate::lab::{ApiServer, AuditLevel, CiliumOperator, Credentials, Options};
use crate::netns::WAN;
use crate::options::Scene;

/// The path of the pools.
pub(crate) const POOLS: &str = "/apis/cilium.io/v2/ciliumloadbalancerippools";
/// The path of the Services that have addresses.
pub(crate) const SERVICES: &str = "/api/v1/namespaces/default/services?fieldSelector=spec.type%3DLoadBalancer";
/// The path of all.
pub(crate) const ALL_SERVICES: &str = "/api/v1/namespaces/default/services";
/// The user of the daemon, so that the audit log tells its requests from ours.
pub(crate) const USER: &str = "dyn-prefix";
const NAME: &str = "bench";
const MANAGED: &str = "managed-";

/// The name of a pool.
pub(crate) fn pool(number: usize) -> String {
    format!("pool-{number:04}")
}

fn subnet(number: usize) -> String {
    format!("subnet-{number:04}")
}

/// Whether this is the name of a managed Service.
pub(crate) fn is_managed(name: &str) -> bool {
    name.starts_with(MANAGED)
}

/// A cluster of its own.
pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) scene: Scene,
    pub(crate) eyes: Eyes,
    operator: CiliumOperator,
    kubeconfig: PathBuf,
    program: PathBuf,
    dir: TempDir,
}

impl World {
    /// Starts the cluster and makes the pools; there are no Services yet.
    pub(crate) fn new(scene: &Scene, program: &Path) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let options = Options { audit: Some(AuditLevel::Metadata), ..Options::default() };
        let server = ApiServer::start_with(dir.path(), options)?;
        server.install_cilium_crds(&["v2", "v2alpha1"])?;
        let eyes = Eyes::open(&server, *scene)?;
        for number in 0..scene.pools {
            let annotations = json!({"dynamic-prefix.io/name": NAME, "dynamic-prefix.io/subnet": subnet(number)});
            let object = json!({
                "apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool",
                "metadata": {"name": pool(number), "annotations": annotations},
                "spec": {"blocks": []},
            });
            server.create(POOLS, &object)?;
        }
        let operator = CiliumOperator::start(&server)?;
        let kubeconfig = server.kubeconfig_for(USER, &["system:masters"])?;
        let (scene, program) = (*scene, program.to_owned());
        Ok(Self { server, scene, eyes, operator, kubeconfig, program, dir })
    }

    /// Starts the daemon, for the first time or again.
    pub(crate) fn start_daemon(&self) -> Result<Daemon> {
        let dir = self.dir.path().join("daemon");
        Daemon::start(&self.program, &dir, &self.configuration(&dir)?)
    }

    fn configuration(&self, dir: &Path) -> Result<String> {
        let (dir, kubeconfig) = (dir.display(), self.kubeconfig.display());
        let mut text = format!(
            "[daemon]\nid = \"bench\"\nstateDirectory = \"{dir}/state\"\ncontrolSocket = \"{dir}/control.sock\"\n\
             [[cluster]]\nname = \"lab\"\nkubeconfig = \"{kubeconfig}\"\n\
             [[dynamicPrefix]]\nname = \"{NAME}\"\nacquisition.routerAdvertisement = {{ interface = \"{WAN}\" }}\n\
             transition = {{ mode = \"ha\" }}\n"
        );
        for number in 0..self.scene.pools {
            let name = subnet(number);
            write!(text, "[[dynamicPrefix.subnets]]\nname = \"{name}\"\nindex = {number}\nprefixLength = 112\n")?;
        }
        Ok(text)
    }

    /// Makes the Services: the managed ones evenly among the others of their type, so that their addresses, which are
    /// those that LB-IPAM gives them first, are, too.
    pub(crate) fn create_services(&self) -> Result<()> {
        const WORKERS: usize = 4;
        let Scene { managed, plain, others, .. } = self.scene;
        let every = (plain / managed.max(1)) + 1;
        let with_address = (0..managed + plain).map(|number| match number % every == 0 && number / every < managed {
            true => service(&format!("{MANAGED}{number:05}"), true, true),
            false => service(&format!("plain-{number:05}"), true, false),
        });
        let others = (0..others).map(|number| service(&format!("other-{number:05}"), false, false));
        let all: Vec<Value> = others.chain(with_address).collect();
        let server = &self.server;
        std::thread::scope(|scope| {
            let parts = (0..WORKERS).map(|worker| all.iter().skip(worker).step_by(WORKERS));
            let running: Vec<_> = parts.map(|part| scope.spawn(move || create(server, part))).collect();
            let join = |worker: std::thread::ScopedJoinHandle<'_, Result<()>>| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            running.into_iter().try_for_each(join)
        })
    }

    /// An error when the operator has ended.
    pub(crate) fn check_operator(&mut self) -> Result<()> {
        self.operator.process().check_alive()
    }
}

/// Makes objects on a connection of its own.
fn create<'a>(server: &ApiServer, mut objects: impl Iterator<Item = &'a Value>) -> Result<()> {
    let client = server.client_as(&Credentials::Token(server.admin_token().to_owned()))?;
    objects.try_for_each(|object| {
        let body = object.to_string();
        let answer = client.request("POST", ALL_SERVICES, Some(("application/json", body.as_bytes())))?;
        ensure!(answer.ok(), "status {}: {}", answer.status, answer.body);
        Ok(())
    })
}

/// A Service as charts make them: most of it is nothing to us.
fn service(name: &str, has_address: bool, is_managed: bool) -> Value {
    let applied = format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{{\"name\":\"{name}\"}},\"spec\":\"{}\"}}",
        "x".repeat(400)
    );
    let mut annotations = json!({
        "meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": "default",
        "kubectl.kubernetes.io/last-applied-configuration": applied,
    });
    if is_managed {
        annotations["dynamic-prefix.io/name"] = json!(NAME);
        annotations["external-dns.kubernetes.io/hostname"] = json!(format!("{name}.lab.invalid"));
    }
    let labels = json!({
        "app.kubernetes.io/name": name, "app.kubernetes.io/instance": name, "app.kubernetes.io/managed-by": "Helm",
        "app.kubernetes.io/version": "1.2.3", "helm.sh/chart": format!("{name}-1.2.3"),
    });
    let mut spec = json!({
        "type": if has_address { "LoadBalancer" } else { "ClusterIP" }, "selector": {"app.kubernetes.io/name": name},
        "ports": [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "https", "port": 443}],
        "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"],
    });
    if has_address {
        spec["allocateLoadBalancerNodePorts"] = json!(false);
    }
    json!({
        "apiVersion": "v1", "kind": "Service", "spec": spec,
        "metadata": {"name": name, "namespace": "default", "annotations": annotations, "labels": labels},
    })
}
