//! Another client is on the interface already: it keeps the port, and its server keeps hearing only from it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::dhcpv6::wire::ServerMessage;

use crate::Test;
use crate::capture::{Message, Seen};
use crate::daemon::{Daemon, SOON, source};
use crate::lab::Process;
use crate::lease::{A, is_from};
use crate::netns::WAN;
use crate::reference::dhclient;
use crate::scene::{Scene, Traffic};
use crate::servers::{Kind, Pool, wait_for_link_local};

pub(crate) const TESTS: &[Test] = &[
    Test::new("t141_dhclient_keeps_its_port", &["dhcpd", "dhclient"], |scene| keeps(scene, dhclient, "dhclient"))
        .with(Traffic::Foreign),
    Test::new("t141_dhcpcd_keeps_its_port", &["dhcpd", "dhcpcd"], |scene| keeps(scene, dhcpcd, "dhcpcd"))
        .with(Traffic::Foreign),
];

/// How many exchanges of the other client are looked at.
const EXCHANGES: usize = 20;

/// A dhcpcd that asks for a prefix, and goes on asking. It knows no other places for its files.
fn dhcpcd(scene: &Scene) -> Result<Process> {
    dhcpcd_with(scene, "")
}

/// The same, which numbers an interface from what it is delegated.
pub(crate) fn dhcpcd_with(scene: &Scene, inner: &str) -> Result<Process> {
    wait_for_link_local(&scene.pair.host, WAN)?;
    let config = scene.path("dhcpcd.conf");
    std::fs::write(&config, format!("ipv6only\nnoipv6rs\nduid\ninterface {WAN}\n  ia_pd 1 {inner}\n"))?;
    let script = "mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/dhcpcd && mount -t tmpfs tmpfs /run && exec \"$@\"";
    let mut command = scene.pair.host.command("sh");
    command.args(["-c", script, "sh", "dhcpcd", "-B", "-d", "-6", "-c", "/bin/true", "-f"]).arg(&config).arg(WAN);
    Process::spawn("dhcpcd", &mut command, &scene.path("client.log"))
}

fn is_reply(seen: &Seen) -> bool {
    seen.server().is_some_and(|message| message.kind == ServerMessage::Reply)
}

/// Theirs goes on as if we were not there; ours says who it is, and does not come back when they have ended.
fn keeps(scene: &Scene, client: fn(&Scene) -> Result<Process>, name: &str) -> Result<()> {
    let _server = scene.server(Kind::Isc, &Pool::from(A).with_times([1, 60, 90, 120]))?;
    let mut other = client(scene)?;
    let (reply, _) = scene.link.wait("their Reply", 0, SOON, is_reply)?;
    let theirs = reply.server().and_then(|reply| reply.client_id.clone()).context("a client identifier")?;
    let mut daemon = scene.start("")?;
    let told = expect_left_to(&mut daemon, name)?;
    ensure!(told.contains(&other.pid().to_string()), "its process is named: {told}");
    let from = scene.link.position();
    let mut at = from;
    for _ in 0..EXCHANGES {
        (_, at) = scene.link.wait("their next Reply", at, SOON, is_reply)?;
    }
    let messages = scene.link.all();
    let mut sent: BTreeMap<[u8; 3], usize> = BTreeMap::new();
    for octets in messages.iter().skip(from).filter_map(|seen| match &seen.message {
        Message::Server(reply) => Some(reply.transaction_id),
        Message::Client(_) | Message::Unreadable(_) => None,
    }) {
        *sent.entry(octets).or_default() += 1;
    }
    ensure!(sent.values().all(|count| *count == 1), "each of theirs is answered once, and asked once: {sent:?}");
    other.check_alive()?;
    other.kill()?;
    daemon.stop()?;
    // It may come back at any moment; the port is free now.
    let mut daemon = scene.daemon()?;
    expect_left_to(&mut daemon, name)?;
    drop(daemon);
    let foreign = |seen: &Seen| {
        let of_server = seen.server().is_some_and(|reply| reply.client_id.as_ref() != Some(&theirs));
        of_server || seen.client().is_some_and(|message| message.client_id != theirs)
    };
    ensure!(!scene.link.all().iter().any(foreign), "nobody but {name} asks or is answered");
    scene.configure("takeOver = true")?;
    let mut daemon = scene.daemon()?;
    daemon.until_bound(Duration::from_secs(20), |prefix| is_from(A, prefix))?;
    Ok(())
}

/// Waits until the daemon says that it leaves the port alone; what it says.
fn expect_left_to(daemon: &mut Daemon<'_>, name: &str) -> Result<String> {
    let status = daemon.until_state("failed", SOON)?;
    let reason = source(&status)["reason"].as_str().unwrap_or_default().to_owned();
    ensure!(reason.contains(name) && reason.contains("takeOver"), "{reason}");
    Ok(reason)
}
