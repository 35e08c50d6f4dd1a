//! Another client with the same servers: when one of these fails, it is not our client that is wrong.

use anyhow::{Result, ensure};
use dyn_prefix::source::dhcpv6::wire::ServerMessage;

use crate::Test;
use crate::capture::Seen;
use crate::daemon::SOON;
use crate::lab::Process;
use crate::lease::{A, granted, is_from};
use crate::netns::WAN;
use crate::scene::{Scene, Traffic};
use crate::servers::{Kind, Pool, wait_for_link_local};

pub(crate) const TESTS: &[Test] = &[
    Test::new("reference_kea", &["dhclient", "kea-dhcp6"], |scene| lease(scene, Kind::Kea)).with(Traffic::Foreign),
    Test::new("reference_isc", &["dhclient", "dhcpd"], |scene| lease(scene, Kind::Isc)).with(Traffic::Foreign),
    Test::new("reference_dibbler", &["dhclient", "dibbler-server"], |scene| lease(scene, Kind::Dibbler))
        .with(Traffic::Foreign),
    Test::new("reference_wide", &["dhclient", "dhcp6s"], |scene| lease(scene, Kind::Wide)).with(Traffic::Foreign),
];

/// A dhclient that asks for a prefix, and goes on asking.
pub(crate) fn dhclient(scene: &Scene) -> Result<Process> {
    wait_for_link_local(&scene.pair.host, WAN)?;
    let mut command = scene.pair.host.command("dhclient");
    command.args(["-6", "-P", "-d", "-v", "-D", "LL", "-sf", "/bin/true", "-lf"]).arg(scene.path("dhclient.leases"));
    command.arg("-pf").arg(scene.path("dhclient.pid")).arg(WAN);
    Process::spawn("dhclient", &mut command, &scene.path("client.log"))
}

fn lease(scene: &Scene, kind: Kind) -> Result<()> {
    let _server = scene.server(kind, &Pool::from(A))?;
    // The one that wide-dhcpv6 knows is made from this address.
    scene.pair.host.ip(&format!("link set {WAN} address 02:00:00:00:00:02"));
    let _client = dhclient(scene)?;
    let is_reply = |seen: &Seen| seen.server().is_some_and(|message| message.kind == ServerMessage::Reply);
    let (seen, from) = scene.link.wait("a Reply", 0, SOON, is_reply)?;
    let prefixes = seen.server().map(granted).unwrap_or_default();
    ensure!(prefixes.len() == 1 && is_from(A, &prefixes[0]), "{prefixes:?}");
    // And the Reply to its Renew.
    scene.link.wait("another Reply", from, SOON, is_reply)?;
    Ok(())
}
