//! systemd-networkd runs a DHCPv6 client on the interface, or would as soon as a router asks for it: the port is its own.

use serde_json::Value;

use super::guest::{self, Guest, SOON, UNIT};
use super::netns::{LAN, Namespace, WAN};

pub(crate) const TESTS: &[super::Test] = &[
    ("t141_networkd_keeps_its_port_also_after_it_has_stopped", networkd_keeps_its_port),
    ("t140_networkd_keeps_a_port_that_it_does_not_use_yet", networkd_keeps_a_port_in_waiting),
    ("t140_networkd_without_dhcpv6_is_no_client", networkd_without_dhcpv6),
];

const NETWORKD: &str = "systemd-networkd.service";
const NETWORK: &str = "/etc/systemd/network/10-wan.network";

const ASKS: &str = r#"
[[dynamicPrefix]]
name = "home"
acquisition.dhcpv6 = { interface = "wan" }
subnets = [{ name = "web", index = 0, prefixLength = 64 }]
"#;

/// The link to a router without any server, and networkd with this configuration of it; both go with the value.
struct Networked<'a> {
    guest: &'a Guest,
    router: Namespace,
}

impl<'a> Networked<'a> {
    fn new(guest: &'a Guest, network: &str) -> Self {
        let networked = Self { guest, router: Namespace::new("router") };
        let pid = guest.pid;
        networked.router.ip(&format!("link add {LAN} address 02:00:00:00:00:01 type veth peer name {WAN} netns {pid}"));
        networked.router.ip(&format!("link set {LAN} up"));
        guest.write(NETWORK, &format!("[Match]\nName={WAN}\n{network}"));
        guest.done(&["systemctl", "start", NETWORKD]);
        let configured = || guest.run(&["networkctl", "status", WAN]).1.contains(NETWORK).then_some(());
        wait("networkd has taken the interface over", configured);
        networked
    }
}

impl Drop for Networked<'_> {
    fn drop(&mut self) {
        // Not `done`: a panic here would hide the one that ended the test.
        self.guest.run(&["systemctl", "stop", NETWORKD, "systemd-networkd.socket", UNIT]);
        self.guest.run(&["rm", "-f", NETWORK]);
        self.guest.run(&["ip", "link", "del", WAN]);
    }
}

fn wait<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    guest::wait(SOON, ask).unwrap_or_else(|| panic!("{what}: not after {SOON:?}"))
}

/// How many sockets are bound to UDP port 546 (0222 in hexadecimal).
fn sockets_on_the_port(guest: &Guest) -> usize {
    let table = guest.done(&["cat", "/proc/net/udp6"]);
    table.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(":0222"))).count()
}

/// Waits for the client to be in this state; why it is.
fn until_state(guest: &Guest, state: &str) -> String {
    wait(&format!("the client is {state}"), || {
        let (_, text) = guest.run(&["dyn-prefix", "status", "--output", "json"]);
        let status: Value = serde_json::from_str(&text).ok()?;
        let source = &status["sources"][0];
        (source["state"] == state).then(|| source["reason"].as_str().unwrap_or_default().to_owned())
    })
}

fn expect_left_to_networkd(guest: &Guest) {
    let reason = until_state(guest, "failed");
    assert!(reason.contains("systemd-networkd") && reason.contains("takeOver"), "{reason}");
}

fn networkd_keeps_its_port(guest: &Guest) {
    let mut journal = guest.fresh(ASKS);
    let networked = Networked::new(guest, "[Network]\nDHCP=ipv6\n[DHCPv6]\nWithoutRA=solicit\n");
    wait("networkd's client runs", || (sockets_on_the_port(guest) == 1).then_some(()));
    guest.start();
    expect_left_to_networkd(guest);
    journal.says("systemd-networkd");
    assert_eq!(sockets_on_the_port(guest), 1, "networkd's own");
    guest.done(&["systemctl", "stop", NETWORKD, "systemd-networkd.socket"]);
    wait("networkd's client has stopped", || (sockets_on_the_port(guest) == 0).then_some(()));
    // Whatever happens on the link, and whoever starts us again.
    networked.router.ip(&format!("link set {LAN} down"));
    networked.router.ip(&format!("link set {LAN} up"));
    wait("the carrier is back", || guest.done(&["ip", "link", "show", WAN]).contains("LOWER_UP").then_some(()));
    expect_left_to_networkd(guest);
    assert_eq!(sockets_on_the_port(guest), 0, "it may come back at any moment");
    guest.done(&["systemctl", "start", NETWORKD]);
    wait("networkd's client runs again", || (sockets_on_the_port(guest) == 1).then_some(()));
    // Now nothing but our memory knows that it was there in this boot.
    guest.done(&["systemctl", "stop", NETWORKD, "systemd-networkd.socket"]);
    guest.done(&["rm", "-rf", NETWORK, "/run/systemd/netif"]);
    guest.done(&["systemctl", "restart", UNIT]);
    expect_left_to_networkd(guest);
    assert_eq!(sockets_on_the_port(guest), 0);
}

/// By default networkd's client starts when a router advertises DHCPv6, which may be much later.
fn networkd_keeps_a_port_in_waiting(guest: &Guest) {
    let mut journal = guest.fresh(ASKS);
    let _networked = Networked::new(guest, "[Network]\nIPv6AcceptRA=yes\n");
    guest.start();
    expect_left_to_networkd(guest);
    journal.says("systemd-networkd");
    assert_eq!(sockets_on_the_port(guest), 0);
    guest.done(&["systemctl", "restart", UNIT]);
    expect_left_to_networkd(guest);
    assert_eq!(sockets_on_the_port(guest), 0);
}

fn networkd_without_dhcpv6(guest: &Guest) {
    let _journal = guest.fresh(ASKS);
    let _networked = Networked::new(guest, "[Network]\nDHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing=ipv6\n");
    guest.start();
    until_state(guest, "soliciting");
    assert_eq!(sockets_on_the_port(guest), 1, "ours");
}
