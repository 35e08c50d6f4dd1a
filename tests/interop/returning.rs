//! The interface of an observed client goes away, and is back before the daemon has looked.

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::Test;
use crate::daemon::{SOON, current};
use crate::lease::A;
use crate::netns::{Namespace, WAN};
use crate::observed::{next_reply, observe, source};
use crate::reference::dhclient;
use crate::scene::{Scene, Traffic};
use crate::servers::{Kind, Pool};

pub(crate) const TESTS: &[Test] =
    &[Test::new("observed_interface_that_is_back_at_once", &["kea-dhcp6", "dhclient"], back_at_once)
        .with(Traffic::Observed)];

/// The kernel takes a packet socket off an interface that vanishes, and keeps it off when it comes back with its index.
fn back_at_once(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Kea, &Pool::from(A).with_times([600, 900, 1200, 1800]))?;
    let mut daemon = observe(scene)?;
    daemon.until("watching", SOON, |status| source(status)["state"] == "soliciting")?;
    let elsewhere = Namespace::new("elsewhere");
    daemon.signal(Signal::SIGSTOP)?;
    scene.pair.host.ip(&format!("link set {WAN} netns {}", elsewhere.name));
    elsewhere.ip(&format!("link set {WAN} netns {}", scene.pair.host.name));
    scene.pair.host.ip(&format!("link set {WAN} up"));
    daemon.signal(Signal::SIGCONT)?;
    let mut client = dhclient(scene)?;
    let (_, prefix, _) = next_reply(scene, 0)?;
    daemon.until("what the client was told", SOON, |status| current(status) == Some(prefix.as_str()))?;
    client.kill()
}
