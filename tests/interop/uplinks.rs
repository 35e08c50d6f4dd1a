//! Uplinks that are no Ethernet port.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::dhcpv6::wire::ClientMessage;
use nix::net::if_::if_nametoindex;

use crate::Test;
use crate::capture::Seen;
use crate::daemon::{SOON, current};
use crate::lab::{Process, wait_for};
use crate::lease::{A, asked, bind, granted, is_from};
use crate::netns::{LAN, Namespace, WAN};
use crate::scene::Scene;
use crate::servers::{Kind, Pool};

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

/// One end of a point-to-point link: a TUN device, whose packets a process carries as datagrams. The device goes with
/// the process.
struct End {
    _process: Process,
}

impl End {
    /// Makes the device `name` with this link-local address, and brings it up.
    fn up(namespace: &Namespace, name: &str, address: &str, relay: &Relay) -> Result<Self> {
        let own = relay.directory.join(format!("{name}.end"));
        if own.exists() {
            fs::remove_file(&own)?;
        }
        let to = relay.directory.join(name);
        let mut command = namespace.command("socat");
        command.args(["-b", "65535", &format!("TUN,tun-name={name},tun-type=tun,iff-no-pi")]);
        command.arg(format!("UNIX-SENDTO:{},bind={}", to.display(), own.display()));
        let mut process = Process::spawn("socat", &mut command, &relay.directory.join(format!("{name}.log")))?;
        wait_for(&format!("the device {name}"), SOON, || {
            process.check_alive()?;
            let there = namespace.inside(|| if_nametoindex(name).is_ok());
            Ok((there && own.exists()).then_some(()))
        })?;
        // As IPv6CP does: the two ends agree on their link-local addresses (RFC 5072 §4.1).
        namespace.ip(&format!("link set {name} addrgenmode none"));
        namespace.ip(&format!("addr add {address}/64 dev {name} nodad"));
        namespace.ip(&format!("link set {name} up"));
        Ok(Self { _process: process })
    }
}

/// Carries packets between two ends, whether they are there or not.
struct Relay {
    directory: PathBuf,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    fn start(directory: &Path) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let [wan, lan] = [WAN, LAN].map(|name| UnixDatagram::bind(directory.join(name)));
        let (wan, lan) = (wan?, lan?);
        let mut threads = Vec::new();
        // An end only listens to the socket that it sends to.
        for (from, by, to) in [(wan.try_clone()?, lan.try_clone()?, LAN), (lan, wan, WAN)] {
            from.set_read_timeout(Some(Duration::from_millis(100)))?;
            let (to, over) = (directory.join(format!("{to}.end")), Arc::clone(&over));
            threads.push(std::thread::spawn(move || {
                let mut packet = [0; 65_536];
                while !over.load(Ordering::Relaxed) {
                    let Ok(length) = from.recv(&mut packet) else { continue };
                    // A packet to somebody who is not there is lost, as on every link.
                    drop(by.send_to(&packet[..length], &to));
                }
            }));
        }
        Ok(Self { directory: directory.to_owned(), over, threads })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic of it was seen as packets that never came.
            drop(thread.join());
        }
    }
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
