//! `acquisition = "auto"` in front of what there may be: another client, a router that speaks of DHCPv6, a server of which
//! nobody speaks, and a router alone.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Test;
use crate::daemon::{Daemon, SOON, current};
use crate::lease::{A, KEA, is_from};
use crate::netns::{Radvd, WAN};
use crate::reference::dhclient;
use crate::scene::{NAME, Scene, Traffic};
use crate::servers::{Kind, Pool};

pub(crate) const TESTS: &[Test] = &[
    Test::new("auto_observes_dhclient", &["kea-dhcp6", "dhclient"], another_client).with(Traffic::Foreign),
    Test::new("auto_asks_where_a_router_speaks_of_dhcpv6", &["kea-dhcp6", "radvd"], managed).with(Traffic::Foreign),
    Test::new("auto_asks_a_server_of_which_nobody_speaks", KEA, probed).with(Traffic::Foreign),
    Test::new(
        "auto_hears_a_router_without_dhcpv6_until_another_client_comes",
        &["kea-dhcp6", "radvd", "dhclient"],
        router_alone,
    )
    .with(Traffic::Foreign),
];

/// What is on the link of the router.
const ON_LINK: &str = "prefix 2001:db8:100::/64 { AdvPreferredLifetime 1200; AdvValidLifetime 3000; };";

/// T1, T2, preferred and valid lifetime.
const TIMES: [u32; 4] = [5, 10, 40, 60];

fn start<'a>(scene: &'a Scene, acquisition: &str) -> Result<Daemon<'a>> {
    let (state, socket) = (scene.path("state"), scene.path("control.sock"));
    let text = format!(
        "[daemon]\nid = \"interop\"\nstateDirectory = {state:?}\ncontrolSocket = {socket:?}\n\n[[dynamicPrefix]]\n\
         name = \"{NAME}\"\nacquisition = {acquisition}\n"
    );
    std::fs::write(scene.path("dyn-prefix.toml"), text)?;
    scene.daemon()
}

fn on_wan() -> String {
    format!("{{ auto = {{ interface = \"{WAN}\" }} }}")
}

/// Waits until there is a prefix from a source of this kind, and for the note that says why it was chosen.
fn until_from(daemon: &mut Daemon<'_>, kind: &str, why: &str) -> Result<String> {
    let is_it = |status: &Value| {
        let prefix = &status["dynamicPrefixes"][0];
        let sources = status["sources"].as_array().map_or(&[][..], Vec::as_slice);
        let mut notes =
            sources.iter().filter(|source| source["kind"] == kind).map(|source| source["notes"].to_string());
        prefix["prefixSource"] == kind && notes.any(|notes| notes.contains("Chosen for home") && notes.contains(why))
    };
    let status = daemon.until(&format!("a prefix from {kind}"), SOON * 3, is_it)?;
    daemon.wait_log(&["acquisition.auto takes the prefix from", kind])?;
    Ok(current(&status).context("a prefix")?.to_owned())
}

fn another_client(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Kea, &Pool::from(A).with_times(TIMES))?;
    let mut other = dhclient(scene)?;
    let mut daemon = start(scene, &on_wan())?;
    let why = format!("dhclient (process {}) runs as a DHCPv6 client on {WAN}", other.pid());
    let prefix = until_from(&mut daemon, "observed", &why)?;
    ensure!(is_from(A, &prefix), "{prefix}");
    other.check_alive()?;
    let (code, said) = daemon.ask(&["reload"])?;
    ensure!(code == Some(0), "{said}");
    daemon.expect_always(&prefix)
}

/// Also without a word about the interface: there is only one where a router is heard.
fn managed(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Kea, &Pool::from(A))?;
    let _radvd = Radvd::start(&scene.pair.router, &format!("AdvManagedFlag on; {ON_LINK}"));
    let mut daemon = start(scene, "\"auto\"")?;
    let prefix = until_from(&mut daemon, "dhcpv6-pd", "says that there is DHCPv6")?;
    ensure!(is_from(A, &prefix), "{prefix}");
    Ok(())
}

fn probed(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Kea, &Pool::from(A))?;
    let mut daemon = start(scene, &on_wan())?;
    let why = format!("a DHCPv6 server on {WAN} has a prefix to delegate");
    let prefix = until_from(&mut daemon, "dhcpv6-pd", &why)?;
    ensure!(is_from(A, &prefix), "{prefix}");
    Ok(())
}

/// The interface appears after the start. That nobody answered is no proof: a client that comes later is heard to ask, and
/// observed at once, although there is a prefix.
fn router_alone(scene: &Scene) -> Result<()> {
    let mut daemon = start(scene, &on_wan())?;
    daemon.wait_log(&["acquisition.auto has not chosen a source yet", "there is no interface"])?;
    scene.join()?;
    let _radvd = Radvd::start(&scene.pair.router, ON_LINK);
    let why = "no router there speaks of DHCPv6".to_owned();
    let prefix = until_from(&mut daemon, "router-advertisement", &why)?;
    ensure!(prefix == "2001:db8:100::/64", "{prefix}");
    let _server = scene.server_beside(Kind::Kea, &Pool::from(A).with_times(TIMES))?;
    let mut other = dhclient(scene)?;
    let why = format!("another DHCPv6 client on {WAN} asks for a prefix");
    let prefix = until_from(&mut daemon, "observed", &why)?;
    ensure!(is_from(A, &prefix), "{prefix}");
    let (code, said) = daemon.ask(&["reload"])?;
    ensure!(code == Some(0), "{said}");
    daemon.expect_always(&prefix)?;
    other.check_alive()
}
