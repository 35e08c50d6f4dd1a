//! What the tests share, and what each of them gets.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::PROGRAM;
use crate::lab::{ApiServer, AuditLevel, METALLB_NAMESPACE, Options};
use crate::netns::{Forger, LAN, Pair, WAN};
use crate::pool::{A, B, C, CIDR_GROUP, D, METALLB_POOL, POOL, Watched, user_blocks};
use crate::resident::occupy;

/// The name of the DynamicPrefix.
pub(crate) const NAME: &str = "home-ipv6";

/// The file of the configuration, and the account that is printed for it.
const CONFIG: &str = "dyn-prefix.toml";
const ACCOUNT: &str = "dyn-prefix";

/// A router's and a host's namespace, and an API server in the host's.
pub(crate) struct Rig {
    api: ApiServer,
    pair: Pair,
    _dir: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let pair = Pair::apart();
        let api = pair.host.inside(|| {
            let options = Options { audit: Some(AuditLevel::Metadata), ..Options::default() };
            let api = ApiServer::start_with(dir.path(), options)?;
            api.install_cilium_crds(&["v2", "v2alpha1"])?;
            api.install_metallb_crds()?;
            api.ensure_namespace(METALLB_NAMESPACE)?;
            anyhow::Ok(api)
        })?;
        Ok(Self { api, pair, _dir: dir })
    }

    /// Runs a test inside the host's namespace, with fresh pools, a fresh link that is up, and no daemon yet.
    pub(crate) fn run(&mut self, test: fn(&mut Scene<'_>) -> Result<()>) -> Result<()> {
        let Self { api, pair, .. } = self;
        pair.host.sysctl("net/ipv6/conf/all/forwarding", "0");
        let link = Link::new(pair);
        pair.host.inside(|| {
            api.launch()?;
            reset_objects(api)?;
            occupy(api, "resident", &[A, B, C, D])?;
            test(&mut Scene { api, link, dir: tempfile::tempdir()? })?;
            api.expect_nothing_refused(ACCOUNT)
        })
    }
}

/// The link between router and host; it goes with the value, however the test ends.
pub(crate) struct Link<'a> {
    /// The namespaces.
    pub(crate) pair: &'a Pair,
}

impl<'a> Link<'a> {
    fn new(pair: &'a Pair) -> Self {
        pair.join();
        Self { pair }
    }
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        // It may be gone already.
        drop(std::process::Command::new("ip").args(["link", "del", WAN]).output());
        drop(self.pair.router.command("ip").args(["link", "del", LAN]).output());
    }
}

fn reset_objects(api: &ApiServer) -> Result<()> {
    for path in [POOL, CIDR_GROUP, METALLB_POOL] {
        if api.find(path)?.is_some() {
            api.delete(path)?;
        }
    }
    let cilium = "cilium.io/v2";
    api.create(
        parent(POOL),
        &json!({"apiVersion": cilium, "kind": "CiliumLoadBalancerIPPool", "metadata": {"name": "pool"},
            "spec": {"blocks": user_blocks()}}),
    )?;
    api.create(
        parent(CIDR_GROUP),
        &json!({"apiVersion": cilium, "kind": "CiliumCIDRGroup", "metadata": {"name": "group"},
            "spec": {"externalCIDRs": []}}),
    )?;
    api.create(
        parent(METALLB_POOL),
        &json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": {"name": "public", "namespace": METALLB_NAMESPACE},
            "spec": {"addresses": ["10.9.1.0/24"]}}),
    )?;
    Ok(())
}

/// The path of the list that an object is in.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(parent, _)| parent)
}

/// What a test works with.
pub(crate) struct Scene<'a> {
    /// The API server, which holds the three objects of [`crate::pool`].
    pub(crate) api: &'a mut ApiServer,
    /// The link.
    pub(crate) link: Link<'a>,
    dir: TempDir,
}

/// What differs from one configuration to another: lines of TOML.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setup {
    /// For `[dynamicPrefix.acquisition.routerAdvertisement]`.
    pub(crate) ra: &'static str,
    /// For `[dynamicPrefix.transition]`.
    pub(crate) transition: &'static str,
}

impl<'a> Scene<'a> {
    /// The namespaces.
    pub(crate) fn pair(&self) -> &'a Pair {
        self.link.pair
    }

    /// A directory for whatever the test needs.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the daemon keeps its state.
    pub(crate) fn state_directory(&self) -> PathBuf {
        self.dir().join("state")
    }

    /// The stored state.
    pub(crate) fn state(&self) -> Result<Value> {
        let path = self.state_directory().join("state.json");
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))
    }

    /// One that sends made-up packets from the router's end of the link.
    pub(crate) fn forger(&self) -> Forger {
        Forger::new(&self.pair().router, LAN)
    }

    /// A watch on one of the objects of [`crate::pool`].
    pub(crate) fn watch(&self, path: &str) -> Result<Watched> {
        Watched::start(self.api, path)
    }

    /// The version of an object: as long as it is the same, nobody has written.
    pub(crate) fn version(&self, path: &str) -> Result<String> {
        self.api.version_of(path)
    }

    /// Writes the configuration, and makes the account that is printed for it.
    pub(crate) fn configure(&self, setup: Setup) -> Result<PathBuf> {
        self.configure_as(CONFIG, "control.sock", setup)
    }

    /// Writes it under a name of the test's choice, with a control socket of its own.
    pub(crate) fn configure_as(&self, file: &str, socket: &str, setup: Setup) -> Result<PathBuf> {
        let path = self.dir().join(file);
        let state = self.state_directory();
        let socket = self.dir().join(socket);
        let kubeconfig = path.with_extension("kubeconfig");
        let Setup { ra, transition } = setup;
        let text = format!(
            r#"
[daemon]
id = "e2e"
stateDirectory = {state:?}
controlSocket = {socket:?}

[[cluster]]
name = "home"
kubeconfig = {kubeconfig:?}

[[dynamicPrefix]]
name = "{NAME}"
  [dynamicPrefix.acquisition.routerAdvertisement]
  interface = "{WAN}"
  {ra}
  [[dynamicPrefix.addressRanges]]
  name = "lb"
  start = "::f000:0:0:0"
  end = "::f000:0:0:ffff"
  [[dynamicPrefix.addressRanges]]
  name = "metallb"
  start = "::f001:0:0:0"
  end = "::f001:0:0:ffff"
  [dynamicPrefix.transition]
  {transition}

[[binding]]
prefixRef = "{NAME}/lb"
target = "CiliumLoadBalancerIPPool/pool"

[[binding]]
prefixRef = {{ name = "{NAME}", whole = true }}
target = "CiliumCIDRGroup/group"

[[binding]]
prefixRef = "{NAME}/metallb"
target = "IPAddressPool/{METALLB_NAMESPACE}/public"
"#
        );
        std::fs::write(&path, text)?;
        let account = file.trim_end_matches(".toml");
        self.api.make_account(PROGRAM, &path, "home", account, &kubeconfig)?;
        Ok(path)
    }
}
