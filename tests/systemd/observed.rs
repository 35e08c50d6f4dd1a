//! systemd-networkd asks for a prefix and numbers a LAN from it, and the daemon of the packaged unit observes that.

use dyn_prefix::source::dhcpv6::wire::ServerMessage;
use serde_json::Value;

use super::capture::{Capture, Seen};
use super::guest::{self, Guest, SOON, UNIT};
use super::netns::{LAN, Namespace, WAN};
use super::servers::{self, Kind, Pool, Server, wait_for_link_local};

pub(crate) const TESTS: &[super::Test] = &[
    ("t141_t142_observed_networkd", life),
    ("t141_observed_networkd_whose_server_takes_it_back", withdrawn),
    ("t141_observed_networkd_keeps_all_replies", keeps),
    ("t178_observed_networkd_without_packets", without_packets),
    ("auto_observed_networkd", chosen),
];

pub(crate) const NETWORKD: &str = "systemd-networkd.service";
/// What is delegated first, and what later.
pub(crate) const A: &str = "2001:db8:8000::";
pub(crate) const B: &str = "2001:db8:9000::";
/// T1, T2, preferred and valid lifetime. networkd wakes up to ten seconds after T1.
pub(crate) const TIMES: [u32; 4] = [4, 60, 90, 120];

/// What networkd is told: of the uplink, and of the interface behind this host.
pub(crate) const NETWORKS: [(&str, &str); 2] = [
    (
        "/etc/systemd/network/10-wan.network",
        "[Match]\nName=wan\n[Network]\nDHCP=ipv6\nIPv6AcceptRA=no\n[DHCPv6]\nWithoutRA=solicit\n",
    ),
    (
        "/etc/systemd/network/20-inner.network",
        "[Match]\nName=inner\n[Network]\nDHCPPrefixDelegation=yes\nIPv6AcceptRA=no\n",
    ),
];

/// Why these cannot run on this machine.
pub(crate) fn missing() -> Option<String> {
    let program = Kind::Kea.program();
    servers::find(program).is_none().then(|| format!("{program} is not on PATH (tests/lab/debs)"))
}

/// An uplink to a router, and an interface behind this host; both go with the value, and networkd with them.
struct Links<'a> {
    guest: &'a Guest,
    router: Namespace,
}

impl<'a> Links<'a> {
    fn new(guest: &'a Guest) -> Self {
        let links = Self { guest, router: Namespace::new("router") };
        let pid = guest.pid;
        links.router.ip(&format!("link add {LAN} address 02:00:00:00:00:01 type veth peer name {WAN} netns {pid}"));
        links.router.ip(&format!("link set {LAN} up"));
        links.router.ip(&format!("addr add 2001:db8:100::1/64 dev {LAN} nodad"));
        guest.done(&["ip", "link", "set", WAN, "up"]);
        guest.done(&["ip", "link", "add", "inner", "type", "veth", "peer", "name", "inner-peer"]);
        guest.done(&["ip", "link", "set", "inner-peer", "up"]);
        wait_for_link_local(&links.router, LAN).expect("a link");
        links
    }
}

impl Drop for Links<'_> {
    fn drop(&mut self) {
        // Not `done`: a panic here would hide the one that ended the test.
        self.guest.run(&["systemctl", "stop", NETWORKD, "systemd-networkd.socket", UNIT]);
        for (path, _) in NETWORKS {
            self.guest.run(&["rm", "-f", path]);
        }
        self.guest.run(&["ip", "link", "del", WAN]);
        self.guest.run(&["ip", "link", "del", "inner"]);
        self.guest.run(&["ip", "-6", "route", "flush", "type", "unreachable", "proto", "dhcp"]);
    }
}

/// The other client's world: a server, what goes over the link, and the commands for networkd.
pub(crate) struct House<'a> {
    pub(crate) guest: &'a Guest,
    pub(crate) link: Capture,
    pub(crate) server: Server<'a>,
}

/// Runs `test` with a server that has this pool. networkd does not run yet, and neither does the daemon, which has this
/// configuration.
pub(crate) fn with(guest: &Guest, config: &str, kind: Kind, pool: &Pool, test: impl FnOnce(&mut House<'_>)) {
    let _journal = guest.fresh(config);
    let links = Links::new(guest);
    let link = Capture::start(&links.router).expect("a packet socket");
    let server = Server::start(kind, &links.router, pool).expect("a server");
    let mut house = House { guest, link, server };
    let run = std::panic::AssertUnwindSafe(|| test(&mut house));
    if let Err(panic) = std::panic::catch_unwind(run) {
        let networkd = guest.run(&["journalctl", "-u", NETWORKD, "-n", "30", "-o", "cat"]).1;
        let kernel = guest.run(&["sh", "-c", "ip -6 route show table all type unreachable; ip -6 addr show inner"]).1;
        let (link, status) = (house.link.transcript(), status_text(guest));
        panic!("{}\non the link:\n{link}networkd:\n{networkd}the kernel:\n{kernel}{status}", super::message(&*panic));
    }
}

fn status_text(guest: &Guest) -> String {
    guest.run(&["dyn-prefix", "status", "--output", "json"]).1
}

impl House<'_> {
    fn start_networkd(&self) {
        self.start_networkd_with(&NETWORKS);
    }

    pub(crate) fn start_networkd_with(&self, networks: &[(&str, &str)]) {
        for (path, text) in networks {
            self.guest.write(path, text);
        }
        self.guest.done(&["systemctl", "start", NETWORKD]);
    }

    /// Waits for the next Reply with a prefix: it, the prefix, and the place behind it.
    pub(crate) fn next_reply(&self, from: usize) -> (Seen, String, usize) {
        self.link.wait_granted(from, SOON).expect("a Reply with a prefix")
    }

    /// Waits for a status as wanted.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = guest::wait(SOON, || serde_json::from_str(&status_text(self.guest)).ok().filter(&wanted));
        found.unwrap_or_else(|| panic!("{what}: not after {SOON:?}"))
    }

    /// Waits until the daemon uses what networkd was delegated.
    fn until_observed(&self, prefix: &str) -> Value {
        self.until(&format!("{prefix} is observed"), |status| {
            let home = &status["dynamicPrefixes"][0];
            home["prefixSource"] == "observed" && home["currentPrefix"] == prefix && source(status)["state"] == "bound"
        })
    }
}

/// The source `observed` of a status.
pub(crate) fn source(status: &Value) -> &Value {
    let sources = status["sources"].as_array().map_or(&[][..], Vec::as_slice);
    sources.iter().find(|source| source["kind"] == "observed").unwrap_or(&Value::Null)
}

/// The end of the valid lifetime, which is text that sorts.
pub(crate) fn valid_until(status: &Value) -> Option<&str> {
    status["dynamicPrefixes"][0]["validUntil"].as_str()
}

fn pool() -> Pool {
    Pool::from(A).with_times(TIMES)
}

pub(crate) const OBSERVES: &str = "[[dynamicPrefix]]\nname = \"home\"\nacquisition.observe = { interface = \"wan\" }\n\
                        subnets = [{ name = \"web\", index = 1, prefixLength = 64 }]\n";

/// Starts the service with the drop-in that comes with it.
fn start_with_packets(guest: &Guest) {
    let drop_in = include_str!("../../systemd/observe.conf");
    guest.write("/etc/systemd/system/dyn-prefix.service.d/observe.conf", drop_in);
    guest.done(&["systemctl", "daemon-reload"]);
    guest.start();
}

/// Fresh, renewed, our daemon restarted, theirs restarted, replaced.
pub(crate) fn life(guest: &Guest) {
    with(guest, OBSERVES, Kind::Kea, &pool(), |house| {
        start_with_packets(guest);
        house.until("watching", |status| source(status)["state"] == "soliciting");
        house.start_networkd();
        let (seen, prefix, next) = house.next_reply(0);
        let status = house.until_observed(&prefix);
        let theirs = seen.server().and_then(|reply| reply.client_id.clone()).expect("a client identifier");
        assert_eq!(source(&status)["lease"]["client"], theirs.to_string(), "{status:#}");
        let before = valid_until(&status).expect("its lifetime is known").to_owned();
        let (_, renewed, _) = house.next_reply(next);
        assert_eq!(renewed, prefix);
        house.until("it is renewed", |status| valid_until(status) > Some(&before));
        guest.done(&["systemctl", "restart", UNIT]);
        let at = house.link.position();
        house.until_observed(&prefix);
        house.next_reply(at);
        house.until("it is renewed after the restart", |status| {
            source(status)["lease"]["delegations"][0]["prefixes"][0]["prefix"] == prefix
        });
        let at = house.link.position();
        guest.done(&["systemctl", "restart", NETWORKD]);
        let (_, after, next) = house.next_reply(at);
        house.until_observed(&after);
        house.server.wipe(&Pool { base: B.parse().expect("an address"), ..pool() }).expect("a server");
        let is_new = |seen: &Seen| seen.grants() && seen.server().is_some_and(|reply| mentions(reply, B));
        let (reply, _) = house.link.wait("a Reply with another prefix", next, SOON, is_new).expect("a Reply");
        let granted = reply.server().map(super::capture::granted).unwrap_or_default();
        house.until_observed(granted.first().expect("a prefix"));
        let status =
            house.until("the history", |status| status["dynamicPrefixes"][0]["history"][0]["prefix"] == after.as_str());
        assert_eq!(guest.show("NRestarts"), "0", "{status:#}");
    });
}

/// Whether a Reply leaves the client a prefix out of such a pool.
fn mentions(reply: &dyn_prefix::source::dhcpv6::wire::Incoming, base: &str) -> bool {
    super::capture::granted(reply).iter().any(|prefix| prefix.starts_with(base.trim_end_matches("::")))
}

/// Nothing is left to delegate: the server says so, and ends the old prefix, in one Reply.
fn withdrawn(guest: &Guest) {
    with(guest, OBSERVES, Kind::Kea, &pool(), |house| {
        start_with_packets(guest);
        house.start_networkd();
        let (_, prefix, next) = house.next_reply(0);
        house.until_observed(&prefix);
        house.server.wipe(&pool().empty()).expect("a server");
        let ends = |seen: &Seen| {
            let reply = seen.server().filter(|reply| reply.kind == ServerMessage::Reply);
            let mut prefixes = reply.into_iter().flat_map(|reply| &reply.delegations).flat_map(|ia| &ia.prefixes);
            prefixes.any(|prefix| prefix.valid == 0)
        };
        house.link.wait("the end of the prefix", next, SOON, ends).expect("a Reply");
        let status = house.until("the loss is told", |status| is_lost(status, "Dead"));
        assert_eq!(status["dynamicPrefixes"][0]["currentPrefix"], prefix, "it stays in the targets: {status:#}");
    });
}

pub(crate) fn is_lost(status: &Value, reason: &str) -> bool {
    let conditions = status["dynamicPrefixes"][0]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().any(|found| found["type"] == "PrefixAcquired" && found["reason"] == reason)
}

/// Twenty exchanges, each asked once and answered once, while we listen and hear them all. networkd begins anew for each:
/// its Renews come ten seconds apart, whatever T1 is.
fn keeps(guest: &Guest) {
    const EXCHANGES: usize = 20;
    with(guest, OBSERVES, Kind::Kea, &pool(), |house| {
        start_with_packets(guest);
        house.start_networkd();
        let (_, _, mut at) = house.next_reply(0);
        for _ in 1..EXCHANGES {
            guest.done(&["networkctl", "reconfigure", WAN]);
            (_, _, at) = house.next_reply(at);
        }
        house.link.expect_each_asked_once(EXCHANGES).expect("no Reply was lost");
        let messages = house.link.all();
        let last = messages.iter().rev().find_map(|seen| seen.server().filter(|_| seen.grants()));
        let prefixes = last.map(super::capture::granted).unwrap_or_default();
        house.until_observed(prefixes.first().expect("a prefix"));
    });
}

/// Without the drop-in the unit allows no packet socket: what networkd did with the delegation tells it, and how to see
/// more is said.
fn without_packets(guest: &Guest) {
    with(guest, OBSERVES, Kind::Kea, &pool(), |house| {
        house.start_networkd();
        let (_, prefix, _) = house.next_reply(0);
        guest.start();
        let status = house.until("the route and the address", |status| {
            let home = &status["dynamicPrefixes"][0];
            home["currentPrefix"] == prefix && valid_until(status).is_some()
        });
        assert_eq!(source(&status)["state"], "failed", "{status:#}");
        let reason = source(&status)["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("RestrictAddressFamilies=AF_PACKET"), "{reason}");
        house.server.wipe(&Pool { base: B.parse().expect("an address"), ..pool() }).expect("a server");
        house.until("the route for another prefix", |status| {
            let current = status["dynamicPrefixes"][0]["currentPrefix"].as_str();
            current.is_some_and(|prefix| prefix.starts_with(B.trim_end_matches("::")))
        });
        guest.done(&["systemctl", "stop", NETWORKD, "systemd-networkd.socket"]);
        house.until("the loss is told", |status| is_lost(status, "Unlisted"));
    });
}

const CHOOSES: &str = "[[dynamicPrefix]]\nname = \"home\"\nacquisition = { auto = { interface = \"wan\" } }\n";

/// What runs is not asked to step aside.
fn chosen(guest: &Guest) {
    with(guest, CHOOSES, Kind::Kea, &pool(), |house| {
        house.start_networkd();
        let (_, prefix, _) = house.next_reply(0);
        start_with_packets(guest);
        let status = house.until_observed(&prefix);
        let notes = source(&status)["notes"].to_string();
        for part in ["Chosen for home", "systemd-networkd manages wan by /etc/systemd/network/10-wan.network"] {
            assert!(notes.contains(part), "{part} is not in {notes}");
        }
        assert!(notes.contains("[DHCPv6] WithoutRA= starts it"), "{notes}");
        house.link.expect_each_asked_once(1).expect("nobody else asks");
    });
}
