//! A line that is dialled.

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::dhcpv6::wire::ClientMessage;

use crate::daemon::prefix;
use crate::interop::daemon::{SOON, current};
use crate::interop::servers::{Kind, Pool};
use crate::interop::tun::{End, Relay};
use crate::netns::{LAN, WAN};

use super::Test;
use super::story::{A, B, Story};

pub(super) const TESTS: &[Test] =
    &[Test::new("t091_dialled_again_with_another_prefix", dialled_again).with(&["kea-dhcp6", "socat"])];

/// The prefix of the former session is dead.
fn dialled_again(story: &Story<'_>) -> Result<()> {
    let scene = story.scene;
    let relay = Relay::start(scene.path("dyn-prefix.toml").parent().context("a directory")?)?;
    let _far = End::up(&scene.pair.router, LAN, "fe80::1", &relay)?;
    // Long lifetimes: that the old prefix is dead is not told by the clock.
    let times = [600, 900, 1200, 1800];
    let mut server = scene.server_beside(Kind::Kea, &Pool::from(A).with_times(times))?;
    let mut targets = story.configure("")?.watch(&story.home.api)?;
    let near = End::up(&scene.pair.host, WAN, "fe80::2", &relay)?;
    let mut daemon = scene.daemon()?;
    let old = story.granted(&mut daemon, 0)?;
    targets.until("the first session", &[&old.prefix])?;
    drop(near);
    let absent = daemon.until_state("interface-absent", SOON)?;
    ensure!(current(&absent) == Some(old.prefix.as_str()), "{absent:#}");
    server.wipe(&Pool::from(B).with_times(times))?;
    let _near = End::up(&scene.pair.host, WAN, "fe80::3", &relay)?;
    scene.link.wait_sent(ClientMessage::Rebind, old.next, SOON)?;
    let new = story.granted(&mut daemon, old.next)?;
    targets.until("the second session", &[&new.prefix])?;
    targets.expect(&[&[&old.prefix], &[&new.prefix]])?;
    let status = story.settled(&mut daemon)?;
    let former = &prefix(&status)["history"][0];
    ensure!(former["prefix"] == old.prefix && former["reason"] == "Dead", "{former:#}");
    Ok(())
}
