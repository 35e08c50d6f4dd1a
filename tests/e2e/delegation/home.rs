//! The API server of all stories, and the objects that each of them has for itself.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::{ApiServer, AuditLevel, METALLB_NAMESPACE, Options, account_user};
use crate::netns::Namespace;
use crate::pool::{A, Watched, addresses, blocks, cidrs, user_blocks};
use crate::resident::occupy;

const POOLS: &str = "/apis/cilium.io/v2/ciliumloadbalancerippools";
const GROUPS: &str = "/apis/cilium.io/v2/ciliumcidrgroups";
const METALLB_POOLS: &str = "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools";

/// An API server in a namespace of its own. Each story has an account there, of its own name.
pub(crate) struct Home {
    pub(crate) api: ApiServer,
    pub(crate) namespace: Namespace,
    _dir: TempDir,
}

impl Home {
    pub(crate) fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let namespace = Namespace::new("api");
        let options = Options { audit: Some(AuditLevel::Metadata), ..Options::default() };
        let api = namespace.inside(|| {
            let api = ApiServer::start_with(dir.path(), options)?;
            api.install_cilium_crds(&["v2", "v2alpha1"])?;
            api.install_metallb_crds()?;
            api.ensure_namespace(METALLB_NAMESPACE)?;
            anyhow::Ok(api)
        })?;
        Ok(Self { api, namespace, _dir: dir })
    }

    /// What the daemon of a story has written so far, but for Kubernetes events: verb and path of each request.
    pub(crate) fn writes(&self, account: &str) -> Result<Vec<String>> {
        let all = self.api.audit_of(&account_user(account))?.into_iter();
        let writes = all.filter(|event| event.is_write() && !event.is_notice());
        Ok(writes.map(|event| format!("{} {}", event.verb, event.uri)).collect())
    }

    /// What the daemon of a story has asked for so far: verb and path of each request. `/version` only tells whether the
    /// server is there, a watch that ends in time is begun again where it was, and Kubernetes events tell of a write, after
    /// it.
    pub(crate) fn requests(&self, account: &str) -> Result<Vec<String>> {
        let all = self.api.audit_of(&account_user(account))?.into_iter();
        let counts =
            all.filter(|event| event.verb != "watch" && !event.is_notice() && !event.uri.starts_with("/version"));
        Ok(counts.map(|event| format!("{} {}", event.verb, event.uri)).collect())
    }
}

/// A pool, a CIDR group and a pool of MetalLB, all of one name.
pub(crate) struct Objects {
    name: String,
}

impl Objects {
    /// Creates them, the pools with the entries of a user.
    pub(crate) fn create(api: &ApiServer, name: &str) -> Result<Self> {
        let objects = Self { name: name.replace('_', "-") };
        let create = |list: &str, version: &str, kind: &str, spec: Value| {
            let metadata = json!({"name": objects.name});
            api.create(list, &json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}))
        };
        create(POOLS, "cilium.io/v2", "CiliumLoadBalancerIPPool", json!({"blocks": user_blocks()}))?;
        create(GROUPS, "cilium.io/v2", "CiliumCIDRGroup", json!({"externalCIDRs": []}))?;
        create(METALLB_POOLS, "metallb.io/v1beta1", "IPAddressPool", json!({"addresses": addresses(&[])}))?;
        occupy(api, "resident", &["2001:db8:8000::/56", "2001:db8:9000::/56", A])?;
        Ok(objects)
    }

    /// The bindings of a cluster to them, as configuration.
    pub(crate) fn bindings(&self, cluster: &str, prefix: &str) -> String {
        let name = &self.name;
        format!(
            r#"
[[binding]]
cluster = "{cluster}"
prefixRef = "{prefix}/lb"
target = "CiliumLoadBalancerIPPool/{name}"

[[binding]]
cluster = "{cluster}"
prefixRef = {{ name = "{prefix}", whole = true }}
target = "CiliumCIDRGroup/{name}"

[[binding]]
cluster = "{cluster}"
prefixRef = "{prefix}/metallb"
target = "IPAddressPool/{METALLB_NAMESPACE}/{name}"
"#
        )
    }

    /// The path of MetalLB's pool.
    pub(crate) fn metallb(&self) -> String {
        format!("{METALLB_POOLS}/{}", self.name)
    }

    /// Watches all three.
    pub(crate) fn watch(&self, api: &ApiServer) -> Result<Targets> {
        let watch = |list: &str| Watched::start(api, &format!("{list}/{}", self.name));
        Ok(Targets { pool: watch(POOLS)?, group: watch(GROUPS)?, metallb: watch(METALLB_POOLS)? })
    }
}

/// What an object should hold when these prefixes are in it.
type Rendered = fn(&[&str]) -> Vec<Value>;

/// The objects of a story, watched.
pub(crate) struct Targets {
    pub(crate) pool: Watched,
    pub(crate) group: Watched,
    pub(crate) metallb: Watched,
}

impl Targets {
    /// Waits until all three hold these prefixes, the current one first.
    pub(crate) fn until(&mut self, what: &str, prefixes: &[&str]) -> Result<()> {
        self.pool.until(what, &blocks(prefixes))?;
        self.group.until(what, &cidrs(prefixes))?;
        self.metallb.until(what, &addresses(prefixes)).map(drop)
    }

    /// Fails unless each of them held exactly these prefixes, one after the other, and nothing between: one write each.
    pub(crate) fn expect(&mut self, steps: &[&[&str]]) -> Result<()> {
        let Self { pool, group, metallb } = self;
        let of: [(_, Rendered); 3] = [(pool, blocks), (group, cidrs), (metallb, addresses)];
        for (watched, rendered) in of {
            watched.latest()?;
            let seen: Vec<_> = watched.seen.iter().map(|(_, list)| list.clone()).collect();
            let wanted: Vec<_> = [&[][..]].iter().chain(steps).map(|step| rendered(step)).collect();
            ensure!(seen == wanted, "one write for each change\n  wanted {}\n  seen   {}", json!(wanted), json!(seen));
        }
        Ok(())
    }
}
