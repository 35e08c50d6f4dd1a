//! Somebody else's client holds the port, and the daemon follows what it is delegated.

use std::net::{SocketAddrV6, UdpSocket};

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::dhcpv6::wire::server::encode;
use dyn_prefix::source::dhcpv6::wire::{Incoming, ServerMessage};
use serde_json::Value;

use crate::Test;
use crate::capture::Seen;
use crate::coexistence::dhcpcd_with;
use crate::daemon::{Daemon, SOON, current};
use crate::lab::Process;
use crate::lease::{A, B, granted, is_from};
use crate::netns::WAN;
use crate::reference::dhclient;
use crate::scene::{NAME, Scene, Traffic};
use crate::servers::{Kind, Pool};
use crate::tun::{End, Relay};

const DHCLIENT: &[&str] = &["kea-dhcp6", "dhclient"];
const DHCPCD: &[&str] = &["kea-dhcp6", "dhcpcd"];

pub(crate) const TESTS: &[Test] = &[
    Test::new("t141_t142_observed_dhclient", DHCLIENT, |scene| life(scene, dhclient)).with(Traffic::Observed),
    Test::new("t141_t142_observed_dhcpcd", DHCPCD, |scene| life(scene, dhcpcd)).with(Traffic::Observed),
    Test::new("t141_observed_dhclient_whose_server_takes_it_back", DHCLIENT, |scene| withdrawn(scene, dhclient))
        .with(Traffic::Observed),
    Test::new("t141_observed_dhcpcd_whose_server_takes_it_back", DHCPCD, |scene| withdrawn(scene, dhcpcd_alone))
        .with(Traffic::Observed),
    Test::new("t141_observed_dhclient_keeps_all_replies", &["dhcpd", "dhclient"], |scene| keeps(scene, dhclient))
        .with(Traffic::Observed),
    Test::new("t141_observed_dhcpcd_keeps_all_replies", &["dhcpd", "dhcpcd"], |scene| keeps(scene, dhcpcd_alone))
        .with(Traffic::Observed),
    Test::new("t178_observed_dhcpcd_at_our_start", DHCPCD, at_our_start).with(Traffic::Observed),
    Test::new("t178_observed_routes", &[], routes).with(Traffic::Observed),
    Test::new("t145_t146_observed_storm", &[], storm).with(Traffic::Observed),
    Test::new("t091_observed_point_to_point_link_that_comes_back", &["kea-dhcp6", "socat"], point_to_point)
        .with(Traffic::Observed),
];

/// T1, T2, preferred and valid lifetime: the server is started anew before T1, on a busy machine, too.
const TIMES: [u32; 4] = [9, 14, 40, 60];

/// A dhcpcd that numbers an interface.
fn dhcpcd(scene: &Scene) -> Result<Process> {
    dhcpcd_with(scene, "lab0/0/64")
}

/// One that numbers nothing.
fn dhcpcd_alone(scene: &Scene) -> Result<Process> {
    dhcpcd_with(scene, "")
}

/// The interface behind this host.
pub(crate) fn inner_link(scene: &Scene) {
    scene.pair.host.ip("link add lab0 type veth peer name lab1");
    scene.pair.host.ip("link set lab0 up");
    scene.pair.host.ip("link set lab1 up");
}

/// Starts the daemon, which observes.
pub(crate) fn observe(scene: &Scene) -> Result<Daemon<'_>> {
    let (state, socket) = (scene.path("state"), scene.path("control.sock"));
    let text = format!(
        "[daemon]\nid = \"interop\"\nstateDirectory = {state:?}\ncontrolSocket = {socket:?}\n\n[[dynamicPrefix]]\n\
         name = \"{NAME}\"\nsubnets = [{{ name = \"lan\", index = 1, prefixLength = 64 }}]\n\
         acquisition.observe = {{ interface = \"{WAN}\" }}\n"
    );
    std::fs::write(scene.path("dyn-prefix.toml"), text)?;
    scene.daemon()
}

/// The source `observed` of a status.
pub(crate) fn source(status: &Value) -> &Value {
    let sources = status["sources"].as_array().map_or(&[][..], Vec::as_slice);
    sources.iter().find(|source| source["kind"] == "observed").unwrap_or(&Value::Null)
}

/// Waits for such a prefix, observed; which.
pub(crate) fn until_observed(daemon: &mut Daemon<'_>, wanted: impl Fn(&str) -> bool) -> Result<String> {
    let is_it = |status: &Value| {
        status["dynamicPrefixes"][0]["prefixSource"] == "observed" && current(status).is_some_and(&wanted)
    };
    let status = daemon.until("an observed prefix", SOON * 2, is_it)?;
    Ok(current(&status).unwrap_or_default().to_owned())
}

/// Waits for the next Reply with a prefix: it, and the place behind it.
pub(crate) fn next_reply(scene: &Scene, from: usize) -> Result<(Seen, String, usize)> {
    scene.link.wait_granted(from, SOON * 2)
}

/// The end of the valid lifetime, which is text that sorts.
fn valid_until(status: &Value) -> Option<String> {
    status["dynamicPrefixes"][0]["validUntil"].as_str().map(str::to_owned)
}

/// Fresh, renewed, forged, the daemon restarted, the client restarted, replaced.
pub(crate) fn life(scene: &Scene, client: fn(&Scene) -> Result<Process>) -> Result<()> {
    let pool = Pool::from(A).with_times(TIMES);
    let mut server = scene.server(Kind::Kea, &pool)?;
    inner_link(scene);
    let mut daemon = observe(scene)?;
    daemon.until("watching", SOON, |status| source(status)["state"] == "soliciting")?;
    let mut other = client(scene)?;
    let (seen, prefix, next) = next_reply(scene, 0)?;
    until_observed(&mut daemon, |found| found == prefix)?;
    let status = daemon.until("the lease", SOON, |status| source(status)["state"] == "bound")?;
    let theirs = seen.server().and_then(|reply| reply.client_id.clone()).context("a client identifier")?;
    ensure!(source(&status)["lease"]["client"] == theirs.to_string(), "{status:#}");
    let before = valid_until(&status);
    // Forged: another transaction, and the one that has had its answer.
    let forged = forge(scene, &seen)?;
    let (_, renewed, next) = next_reply(scene, next)?;
    ensure!(renewed == prefix, "{renewed}");
    daemon.until("it is renewed", SOON, |status| valid_until(status) > before)?;
    daemon.expect_always(&prefix)?;
    ensure!(forged > 0);
    daemon.stop()?;
    let mut daemon = observe(scene)?;
    until_observed(&mut daemon, |found| found == prefix)?;
    let (_, _, _) = next_reply(scene, next)?;
    daemon.until("the lease is known again", SOON, |status| source(status)["lease"]["delegations"][0].is_object())?;
    daemon.expect_always(&prefix)?;
    // The client is killed and started again; it may ask for what it had, or anew.
    other.kill()?;
    let at = scene.link.position();
    let mut other = client(scene)?;
    let (_, after, next) = next_reply(scene, at)?;
    until_observed(&mut daemon, |found| found == after)?;
    // The server has other prefixes, and forgot the old one.
    server.wipe(&Pool { base: B.parse()?, ..pool })?;
    let new = next_from_b(scene, next)?;
    until_observed(&mut daemon, |found| found == new)?;
    let history = |status: &Value| status["dynamicPrefixes"][0]["history"][0]["prefix"] == after;
    daemon.until("the history", SOON, history)?;
    other.check_alive()?;
    other.kill()
}

/// The first prefix of the other pool that is delegated.
fn next_from_b(scene: &Scene, from: usize) -> Result<String> {
    let of_b = |seen: &Seen| {
        seen.grants() && seen.server().is_some_and(|reply| granted(reply).iter().any(|prefix| is_from(B, prefix)))
    };
    let (seen, _) = scene.link.wait("a Reply with another prefix", from, SOON * 2, of_b)?;
    let found = seen.server().map(granted).unwrap_or_default();
    found.into_iter().find(|prefix| is_from(B, prefix)).context("it has one")
}

/// Sends Replies that nobody asked for from the server's host; how many.
fn forge(scene: &Scene, seen: &Seen) -> Result<usize> {
    let real = seen.server().context("a Reply")?;
    let mut other: Incoming = real.clone();
    for ia in &mut other.delegations {
        for prefix in &mut ia.prefixes {
            prefix.prefix = format!("{B}/56").parse()?;
        }
    }
    let mut ended = real.clone();
    for ia in &mut ended.delegations {
        ia.prefixes.iter_mut().for_each(|prefix| (prefix.preferred, prefix.valid) = (0, 0));
    }
    let mut unknown = [other.clone(), ended.clone()];
    unknown.iter_mut().for_each(|message| message.transaction_id = [0xde, 0xad, 0x01]);
    let all = [vec![other, ended], unknown.to_vec()].concat();
    let to = *seen.destination.ip();
    scene.pair.router.inside(|| -> Result<usize> {
        let scope = nix::net::if_::if_nametoindex(crate::netns::LAN)?;
        let socket = UdpSocket::bind("[::]:0")?;
        for message in &all {
            socket.send_to(&encode(message, &[]), SocketAddrV6::new(to, 546, 0, scope))?;
        }
        Ok(all.len())
    })
}

/// Nothing is left to delegate: Kea says so, and ends the old prefix, in one Reply.
pub(crate) fn withdrawn(scene: &Scene, client: fn(&Scene) -> Result<Process>) -> Result<()> {
    let pool = Pool::from(A).with_times(TIMES);
    let mut server = scene.server(Kind::Kea, &pool)?;
    let mut daemon = observe(scene)?;
    let _other = client(scene)?;
    let (_, prefix, next) = next_reply(scene, 0)?;
    until_observed(&mut daemon, |found| found == prefix)?;
    server.wipe(&pool.empty())?;
    let ends = |seen: &Seen| {
        seen.server().is_some_and(|reply| {
            reply.kind == ServerMessage::Reply
                && reply.delegations.iter().any(|ia| ia.prefixes.iter().any(|it| it.valid == 0))
        })
    };
    scene.link.wait("the end of the prefix", next, SOON * 2, ends)?;
    let lost = |status: &Value| {
        let conditions = status["dynamicPrefixes"][0]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        conditions.iter().any(|found| found["type"] == "PrefixAcquired" && found["reason"] == "Dead")
    };
    let status = daemon.until("the loss is told", SOON, lost)?;
    ensure!(current(&status) == Some(prefix.as_str()), "it stays in the targets: {status:#}");
    Ok(())
}

/// Twenty exchanges, each asked once and answered once, while we listen and hear them all.
pub(crate) fn keeps(scene: &Scene, client: fn(&Scene) -> Result<Process>) -> Result<()> {
    const EXCHANGES: usize = 20;
    let _server = scene.server(Kind::Isc, &Pool::from(A).with_times([1, 60, 90, 120]))?;
    let mut daemon = observe(scene)?;
    let mut other = client(scene)?;
    let mut at = 0;
    for _ in 0..EXCHANGES {
        (_, _, at) = next_reply(scene, at)?;
    }
    scene.link.expect_each_asked_once(EXCHANGES)?;
    let prefix = until_observed(&mut daemon, |_| true)?;
    daemon.expect_always(&prefix)?;
    other.check_alive()
}

/// dhcpcd holds a delegation when we are started: its route and addresses tell it, without any packet.
fn at_our_start(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Kea, &Pool::from(A).with_times([1000, 2000, 3000, 4000]))?;
    inner_link(scene);
    let mut other = dhcpcd(scene)?;
    let (_, prefix, next) = next_reply(scene, 0)?;
    other.wait_log(0, &["adding reject route"], SOON)?;
    let mut daemon = observe(scene)?;
    until_observed(&mut daemon, |found| found == prefix)?;
    let status = daemon.until("lifetimes of the address", SOON, |status| valid_until(status).is_some())?;
    ensure!(source(&status)["state"] == "bound", "{status:#}");
    ensure!(source(&status)["notes"].to_string().contains("no message of it was seen yet"), "{status:#}");
    ensure!(scene.link.kinds(next).is_empty(), "nobody has asked anything: {:?}", scene.link.kinds(next));
    Ok(())
}

/// The traces of systemd-networkd and of OpenWrt's netifd, each of which tells the length.
fn routes(scene: &Scene) -> Result<()> {
    scene.join()?;
    inner_link(scene);
    let host = &scene.pair.host;
    // Not theirs: of somebody who types, and of a client of ours.
    host.ip("-6 route add unreachable 2001:db8:1000::/48 proto static");
    host.ip("-6 route add unreachable 2001:db8:2000::/48 proto dhcp metric 2147483647");
    host.ip("-6 route add unreachable 2001:db8:a000:100::/56 proto dhcp metric 1024");
    host.ip("addr add 2001:db8:a000:101::1/64 dev lab0 valid_lft 3600 preferred_lft 1800 nodad");
    let mut daemon = observe(scene)?;
    until_observed(&mut daemon, |found| found == "2001:db8:a000:100::/56")?;
    daemon.until("the lifetimes", SOON, |status| valid_until(status).is_some())?;
    host.ip("-6 route del unreachable 2001:db8:a000:100::/56 proto dhcp metric 1024");
    host.ip("-6 route add unreachable 2001:db8:b000::/60 proto static metric 2147483647");
    until_observed(&mut daemon, |found| found == "2001:db8:b000::/60")?;
    // Gone without a successor: after a while, in which it might have come back.
    host.ip("-6 route del unreachable 2001:db8:b000::/60 proto static metric 2147483647");
    let lost = |status: &Value| {
        let conditions = status["dynamicPrefixes"][0]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        conditions.iter().any(|found| found["type"] == "PrefixAcquired" && found["reason"] == "Unlisted")
    };
    daemon.until("the loss is told", SOON * 2, lost)?;
    Ok(())
}

/// Thousands of routes come and go at once, more than a socket's queue holds.
fn storm(scene: &Scene) -> Result<()> {
    scene.join()?;
    let host = &scene.pair.host;
    host.ip("-6 route add unreachable 2001:db8:a000:100::/56 proto dhcp metric 1024");
    let mut daemon = observe(scene)?;
    until_observed(&mut daemon, |found| found == "2001:db8:a000:100::/56")?;
    let mut batch = String::new();
    for verb in ["add", "del"] {
        for number in 0..20_000 {
            batch += &format!("route {verb} unreachable 2001:db8:{number:x}::/64 proto 99\n");
        }
    }
    batch += "route del unreachable 2001:db8:a000:100::/56 proto dhcp metric 1024\n";
    batch += "route add unreachable 2001:db8:b000::/56 proto dhcp metric 1024\n";
    let file = scene.path("batch");
    std::fs::write(&file, batch)?;
    let output = host.command("ip").args(["-6", "-batch"]).arg(&file).output()?;
    ensure!(output.status.success(), "{output:?}");
    until_observed(&mut daemon, |found| found == "2001:db8:b000::/56")?;
    daemon.stop()?;
    let log = std::fs::read_to_string(scene.path("dyn-prefix.log"))?;
    let noisy: Vec<&str> = log.lines().filter(|line| line.contains("ERROR") || line.contains("netlink")).collect();
    ensure!(noisy.is_empty() && log.lines().count() < 100, "{} lines: {noisy:?}", log.lines().count());
    Ok(())
}

/// PPP is dialled again: the interface is another one, and so is the prefix.
fn point_to_point(scene: &Scene) -> Result<()> {
    let relay = Relay::start(&scene.path(""))?;
    let _lan = End::up(&scene.pair.router, crate::netns::LAN, "fe80::1", &relay)?;
    scene.router_is_ready()?;
    let pool = Pool::from(A).with_times([600, 900, 1200, 1800]);
    let mut server = scene.server_beside(Kind::Kea, &pool)?;
    let mut daemon = observe(scene)?;
    daemon.until("no interface", SOON, |status| source(status)["state"] == "interface-absent")?;
    let wan = End::up(&scene.pair.host, WAN, "fe80::2", &relay)?;
    let other = client_of_ours(scene)?;
    let (_, prefix, next) = next_reply(scene, 0)?;
    until_observed(&mut daemon, |found| found == prefix)?;
    drop(wan);
    daemon.until("no interface", SOON, |status| source(status)["state"] == "interface-absent")?;
    daemon.expect_always(&prefix)?;
    server.wipe(&Pool { base: B.parse()?, ..pool })?;
    let _wan = End::up(&scene.pair.host, WAN, "fe80::3", &relay)?;
    let new = next_from_b(scene, next)?;
    until_observed(&mut daemon, |found| found == new)?;
    let dead = |status: &Value| {
        let former = &status["dynamicPrefixes"][0]["history"][0];
        former["prefix"] == prefix && former["dead"] == true
    };
    daemon.until("the former one is dead", SOON, dead)?;
    other.stop()
}

/// Another daemon of this program, as the client: it runs on links without a MAC address.
fn client_of_ours(scene: &Scene) -> Result<Daemon<'_>> {
    let (state, socket) = (scene.path("other-state"), scene.path("other.sock"));
    let text = format!(
        "[daemon]\nid = \"other\"\nstateDirectory = {state:?}\ncontrolSocket = {socket:?}\n\n[[dynamicPrefix]]\n\
         name = \"other\"\nacquisition.dhcpv6 = {{ interface = \"{WAN}\", takeOver = true }}\n"
    );
    std::fs::write(scene.path("other.toml"), text)?;
    Daemon::start(&scene.pair.host, &scene.path("other.toml"))
}
