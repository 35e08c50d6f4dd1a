//! The cluster: the API server that the project's tests use, with three objects and some Services of a user in it.

use serde_json::{Value, json};

use super::prefixes::{FIRST, Prefix, THIRD};
use super::support::api::{Api, Certificate, Key};

/// A range that the user has put into the MetalLB pool.
const USERS_OWN: &str = "192.0.2.10-192.0.2.50";

/// What Cilium 1.20 writes on the definitions that it registers.
const SCHEMA: &str = "1.33.12";

/// An API server that holds three objects, annotated as a user would do it, and Services with addresses of two prefixes.
pub(crate) async fn start() -> Api {
    let api = Api::start_tls(Certificate::Good).await;
    api.define_with("CiliumLoadBalancerIPPool", &["v2"], &json!({"io.cilium.k8s.crd.schema.version": SCHEMA}));
    api.define("CiliumCIDRGroup", &["v2"]);
    api.define("IPAddressPool", &["v1beta1"]);
    api.put(json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool",
        "metadata": {"name": "ipv6-pool", "annotations": {
            "dynamic-prefix.io/name": "home-ipv6", "dynamic-prefix.io/address-range": "loadbalancers"}},
        "spec": {"blocks": []}
    }));
    api.put(json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumCIDRGroup",
        "metadata": {"name": "home", "annotations": {"dynamic-prefix.io/name": "home-ipv6"}},
        "spec": {"externalCIDRs": []}
    }));
    api.put(json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": {"name": "public", "namespace": "metallb-system", "annotations": {
            "dynamic-prefix.io/name": "home-ipv6", "dynamic-prefix.io/subnet": "services"}},
        "spec": {"addresses": [USERS_OWN]}
    }));
    for (name, prefix) in [("front", FIRST), ("shop", THIRD)] {
        let ingress = prefix.in_use().map(|address| json!({"ip": address}));
        api.put(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "web"},
            "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv6"]},
            "status": {"loadBalancer": {"ingress": ingress}}
        }));
    }
    api
}

/// Does what Cilium's operator does for the pool: says which generation of it it has seen. Never returns.
pub(crate) async fn operate(api: &Api) {
    loop {
        api.until(|api| observe(api).is_some()).await;
        if let Some(seen) = observe(api) {
            api.put(seen);
        }
    }
}

/// The pool with a status that is up to date, unless it has one.
fn observe(api: &Api) -> Option<Value> {
    let mut pool = api.get(&Object::Pool.key())?;
    let generation = pool["metadata"]["generation"].clone();
    let conditions = json!([{"type": "cilium.io/IPsTotal", "status": "Unknown", "observedGeneration": generation}]);
    if pool["status"]["conditions"] == conditions {
        return None;
    }
    pool["status"]["conditions"] = conditions;
    Some(pool)
}

/// One of the three objects.
#[derive(Clone, Copy)]
pub(crate) enum Object {
    Pool,
    Group,
    MetalLb,
}

impl Object {
    pub(crate) const ALL: [Self; 3] = [Self::Pool, Self::Group, Self::MetalLb];

    /// Its kind and name.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Pool => "CiliumLoadBalancerIPPool/ipv6-pool",
            Self::Group => "CiliumCIDRGroup/home",
            Self::MetalLb => "IPAddressPool/metallb-system/public",
        }
    }

    /// The field that the daemon writes.
    pub(crate) const fn field(self) -> &'static str {
        match self {
            Self::Pool => "blocks",
            Self::Group => "externalCIDRs",
            Self::MetalLb => "addresses",
        }
    }

    fn key(self) -> Key {
        match self {
            Self::Pool => Key::pool("ipv6-pool"),
            Self::Group => Key::group("home"),
            Self::MetalLb => Key::metallb("metallb-system", "public"),
        }
    }

    /// The list as it stands.
    pub(crate) fn held(self, api: &Api) -> Value {
        api.get(&self.key()).map_or(Value::Null, |object| object["spec"][self.field()].clone())
    }

    /// The list as it has to be: the user's entry in its place, then the prefix in use, then what drains: of a pool the
    /// addresses in use.
    pub(crate) fn wanted(self, prefixes: &[Prefix]) -> Vec<Line> {
        let users = matches!(self, Self::MetalLb).then(|| Line {
            entry: json!(USERS_OWN),
            shown: USERS_OWN.to_owned(),
            role: "the user's own",
        });
        let ours = prefixes.iter().enumerate().map(|(place, prefix)| {
            let (entry, shown) = if place == 0 { self.entry(*prefix) } else { self.remainder(*prefix) };
            Line { entry, shown, role: if place == 0 { "current" } else { "draining" } }
        });
        users.into_iter().chain(ours).collect()
    }

    fn remainder(self, prefix: Prefix) -> (Value, String) {
        let [of_range, of_subnet] = prefix.in_use();
        match self {
            Self::Pool => (json!({"start": of_range, "stop": of_range}), of_range),
            Self::Group => self.entry(prefix),
            Self::MetalLb => (json!(format!("{of_subnet}-{of_subnet}")), of_subnet),
        }
    }

    fn entry(self, prefix: Prefix) -> (Value, String) {
        match self {
            Self::Pool => {
                let (start, stop) = prefix.range();
                (json!({"start": start, "stop": stop}), format!("{start} - {stop}"))
            }
            Self::Group => (json!(prefix.to_string()), prefix.to_string()),
            Self::MetalLb => (json!(prefix.subnet()), prefix.subnet()),
        }
    }
}

/// An entry of a list.
pub(crate) struct Line {
    pub(crate) entry: Value,
    pub(crate) shown: String,
    pub(crate) role: &'static str,
}

/// The list that these lines make.
pub(crate) fn list(lines: &[Line]) -> Value {
    lines.iter().map(|line| line.entry.clone()).collect()
}
