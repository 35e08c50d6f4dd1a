//! A household: the machine with the package, the router of its provider with radvd and Kea, and a cluster.

use std::fs;

use serde_json::{Value, json};

use super::guest::{Guest, UNIT};
use super::lab::ApiServer;
use super::netns::{LAN, Namespace, Radvd};
use super::servers::{Kind, Pool, Server, wait_for_link_local};

/// The interface that the README names.
const INTERFACE: &str = "eth0";
const README: &str = include_str!("../../README.md");
const RIGHTS: &str = include_str!("../../examples/rbac.yaml");

const POOLS: &str = "/apis/cilium.io/v2/ciliumloadbalancerippools";

/// The first prefix, which radvd advertises.
pub(crate) const ADVERTISED: &str = "2001:db8:a::/64";
/// The second one, which Kea delegates.
pub(crate) const DELEGATED: &str = "2001:db8:b00::/60";

pub(crate) struct Household<'a> {
    pub(crate) guest: &'a Guest,
    pub(crate) router: &'a Namespace,
    api: ApiServer,
    _radvd: Radvd,
    _kea: Server<'a>,
}

/// Runs `test` in a household. The cluster has the README's pool, which is empty but for an entry of its user, and the
/// account of examples/rbac.yaml.
pub(crate) fn with(guest: &Guest, test: impl FnOnce(&Household<'_>)) {
    let router = Namespace::new("router");
    guest.network(|| {
        fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").expect("a namespace of its own");
    });
    let pid = guest.pid;
    router.ip(&format!("link add {LAN} address 02:00:00:00:00:01 type veth peer name {INTERFACE} netns {pid}"));
    router.ip(&format!("link set {LAN} up"));
    router.ip(&format!("addr add 2001:db8:100::1/64 dev {LAN} nodad"));
    guest.done(&["ip", "link", "set", INTERFACE, "up"]);
    wait_for_link_local(&router, LAN).expect("a link");
    let directory = tempfile::tempdir().expect("a directory");
    let api = guest.network(|| cluster(directory.path()));
    let pool = Pool { length: 60, prefixes: 1, ..Pool::from("2001:db8:b00::").with_times([600, 900, 1200, 1800]) };
    let kea = Server::start(Kind::Kea, &router, &pool).expect("Kea");
    let advertised = format!("prefix {ADVERTISED} {{ AdvValidLifetime 3600; AdvPreferredLifetime 1800; }};");
    let radvd = Radvd::start(&router, &advertised);
    let household = Household { guest, router: &router, api, _radvd: radvd, _kea: kea };
    household.put_kubeconfig();
    test(&household);
    guest.run(&["systemctl", "stop", UNIT]);
    router.ip(&format!("link del {LAN}"));
}

fn cluster(directory: &std::path::Path) -> ApiServer {
    let api = ApiServer::start(directory).expect("an API server");
    api.install_cilium_crds(&["v2", "v2alpha1"]).expect("Cilium's kinds");
    api.install_metallb_crds().expect("MetalLB's kinds");
    api.ensure_namespace("metallb-system").expect("a namespace");
    api.apply_yaml(RIGHTS).expect("examples/rbac.yaml");
    let pool = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool", "metadata": {"name": "ipv6-pool"},
        "spec": {"blocks": [{"cidr": "192.0.2.0/24"}]}});
    api.create(POOLS, &pool).expect("a pool");
    api
}

impl Household<'_> {
    /// The configuration that the README shows.
    pub(crate) fn readme() -> String {
        let start = README.find("```toml\n").expect("a configuration") + "```toml\n".len();
        README[start..].split("```").next().expect("its end").to_owned()
    }

    /// The same with the delegation that the README offers besides.
    pub(crate) fn readme_with_delegation() -> String {
        let start = README.find("acquisition.dhcpv6 = {").expect("acquisition.dhcpv6");
        let delegation = README[start..].split('`').next().expect("its end");
        Self::readme().replace("addressRanges", &format!("{delegation}\naddressRanges"))
    }

    /// Writes the configuration as root.
    pub(crate) fn configure(&self, text: &str) {
        self.guest.write("/etc/dyn-prefix.toml", text);
    }

    /// The token of the daemon's account.
    pub(crate) fn token(&self) -> String {
        self.guest.network(|| self.api.service_account_token("kube-system", "dyn-prefix")).expect("a token")
    }

    /// The port of the API server.
    pub(crate) fn port(&self) -> String {
        self.api.address().port().to_string()
    }

    /// A kubeconfig with this user.
    pub(crate) fn kubeconfig(&self, user: &Value) -> String {
        let authority = "/etc/dyn-prefix/home.ca";
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "home",
            "clusters": [{"name": "home", "cluster": {"server": self.api.url(), "certificate-authority": authority}}],
            "contexts": [{"name": "home", "context": {"cluster": "home", "user": "home"}}],
            "users": [{"name": "home", "user": user}],
        })
        .to_string()
    }

    /// Puts the kubeconfig where the README has it, with the modes that it names.
    fn put_kubeconfig(&self) {
        let authority = fs::read_to_string(self.api.ca()).expect("the API server's authority");
        self.install("home.ca", &authority);
        self.install("home.kubeconfig", &self.kubeconfig(&json!({"token": self.token()})));
    }

    /// `sudo install -g dyn-prefix -m 640`.
    pub(crate) fn install(&self, name: &str, text: &str) {
        self.guest.write(&format!("/srv/{name}"), text);
        let (from, to) = (format!("/srv/{name}"), format!("/etc/dyn-prefix/{name}"));
        self.guest.done(&["install", "-o", "root", "-g", "dyn-prefix", "-m", "640", "-D", &from, &to]);
        self.guest.done(&["rm", &from]);
    }

    /// Waits until the pool holds the range of the prefix behind the user's entry.
    pub(crate) fn until_pool_holds(&self, prefix: &str) {
        let network: ipnet::Ipv6Net = prefix.parse().expect("a prefix");
        let [a, b, c, d, ..] = network.network().segments();
        let start = std::net::Ipv6Addr::new(a, b, c, d, 0xf000, 0, 0, 0);
        let stop = std::net::Ipv6Addr::new(a, b, c, d, 0xf000, 0, 0, 0xffff);
        let wanted = json!([{"cidr": "192.0.2.0/24"}, {"start": start, "stop": stop}]);
        let held = |pool: &Value| {
            let blocks = pool["spec"]["blocks"].as_array().map_or(&[][..], Vec::as_slice);
            blocks.get(..2).is_some_and(|first| json!(first) == wanted)
        };
        let path = format!("{POOLS}/ipv6-pool");
        let seen = self.guest.network(|| self.api.wait_object(&path, super::guest::SOON, held));
        if let Err(error) = seen {
            panic!("{prefix}: {error:#}\n{}", self.guest.run(&["journalctl", "-u", UNIT, "-n", "40", "--no-pager"]).1);
        }
    }

    /// Takes the daemon's entries out by hand.
    pub(crate) fn empty_the_pool(&self) {
        let patch = json!({"spec": {"blocks": [{"cidr": "192.0.2.0/24"}]}});
        self.guest.network(|| self.api.patch(&format!("{POOLS}/ipv6-pool"), &patch)).expect("a patch");
    }
}
