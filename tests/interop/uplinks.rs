//! Uplinks that are no Ethernet port.

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::dhcpv6::wire::ClientMessage;
use nix::net::if_::if_nametoindex;

use crate::Test;
use crate::capture::Seen;
use crate::daemon::{SOON, current};
use crate::lease::{A, asked, bind, granted, is_from};
use crate::netns::{LAN, Namespace, WAN};
use crate::scene::Scene;
use crate::servers::{Kind, Pool};
use crate::tun::{End, Relay};

pub(crate) const TESTS: &[Test] = &[
    Test::new("macvlan_beside_its_parent", &["kea-dhcp6"], |scene| {
        above(scene, "link add link parent name wan type macvlan mode bridge")
    })
    .on_device("macvlan"),
    Test::new("vlan", &["kea-dhcp6"], vlan).on_device("vlan"),
    Test::new("t091_t169_point_to_point_link_that_comes_back", &["kea-dhcp6", "socat"], point_to_point),
];

/// Why there can be no device of this type on top of another one, if there can be none.
pub(crate) fn lacks_device(kind: &str) -> Option<String> {
    let namespace = Namespace::new("probe");
    namespace.ip("link add one type veth peer name other");
    let mut command = namespace.command("ip");
    command.args(["link", "add", "link", "one", "name", "above", "type", kind]);
    if kind == "vlan" {
        command.args(["id", "222"]);
    }
    let output = command.output().expect("ip has run before");
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    (!output.status.success()).then(|| format!("this kernel makes no device of the type {kind}: {why}"))
}

/// A lease over an interface on top of the veth pair, and its renewal.
fn above(scene: &Scene, made_by: &str) -> Result<()> {
    scene.join()?;
    let host = &scene.pair.host;
    host.ip(&format!("link set {WAN} down"));
    host.ip(&format!("link set {WAN} name parent"));
    host.ip(made_by);
    for name in ["parent", WAN] {
        host.ip(&format!("link set {name} up"));
    }
    lease(scene)
}

fn vlan(scene: &Scene) -> Result<()> {
    scene.pair.join();
    let router = &scene.pair.router;
    router.ip(&format!("link set {LAN} name parent"));
    router.ip(&format!("link add link parent name {LAN} type vlan id 222"));
    router.ip("link set parent up");
    router.ip(&format!("link set {LAN} up"));
    let host = &scene.pair.host;
    host.ip(&format!("link set {WAN} down"));
    host.ip(&format!("link set {WAN} name parent"));
    host.ip(&format!("link add link parent name {WAN} type vlan id 222"));
    for name in ["parent", WAN] {
        host.ip(&format!("link set {name} up"));
    }
    scene.router_is_ready()?;
    lease(scene)
}

fn lease(scene: &Scene) -> Result<()> {
    let _server = scene.server_beside(Kind::Kea, &Pool::from(A))?;
    let mut daemon = scene.start("")?;
    let prefix = daemon.until_bound(SOON, |prefix| is_from(A, prefix))?;
    let (renew, _) = scene.link.wait_sent(ClientMessage::Renew, 0, SOON)?;
    scene.link.wait_reply(renew.transaction_id, SOON)?;
    daemon.until_extended(SOON, &prefix)?;
    daemon.expect_always(&prefix)
}

/// Dialled again, it is another interface with the same name and another address of its own.
fn point_to_point(scene: &Scene) -> Result<()> {
    let relay = Relay::start(scene.path("dyn-prefix.toml").parent().context("a directory")?)?;
    let (router, host) = (&scene.pair.router, &scene.pair.host);
    let _far = End::up(router, LAN, "fe80::1", &relay)?;
    let _server = scene.server_beside(Kind::Kea, &Pool::from(A))?;
    let mut daemon = scene.start("")?;
    daemon.until_state("interface-absent", SOON)?;
    let near = End::up(host, WAN, "fe80::2", &relay)?;
    let before = host.inside(|| if_nametoindex(WAN))?;
    let (prefix, request, _) = bind(scene, &mut daemon)?;
    drop(near);
    let absent = daemon.until_state("interface-absent", SOON)?;
    ensure!(current(&absent) == Some(prefix.as_str()), "{absent:#}");
    let from = scene.link.position();
    let _near = End::up(host, WAN, "fe80::3", &relay)?;
    let after = host.inside(|| if_nametoindex(WAN))?;
    ensure!(before != after, "another index: {before} and {after}");
    let (first, _) = scene.link.wait("a message", from, SOON, |seen: &Seen| seen.client().is_some())?;
    ensure!(first.source.ip().to_string() == "fe80::3", "{first:?}");
    let rebind = first.client().cloned().context("of a client")?;
    ensure!(rebind.kind == ClientMessage::Rebind && asked(&rebind) == [prefix.as_str()], "{rebind:?}");
    ensure!(rebind.client_id == request.client_id, "the same DUID: {rebind:?}");
    ensure!(rebind.delegations[0].0 == request.delegations[0].0, "the same IAID: {rebind:?}");
    let (reply, _) = scene.link.wait_reply(rebind.transaction_id, SOON)?;
    ensure!(granted(&reply) == [prefix.as_str()], "{reply:?}");
    daemon.until_extended(SOON, &prefix)?;
    daemon.expect_always(&prefix)
}
