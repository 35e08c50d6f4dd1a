//! radvd beside the server: when there is DHCPv6, and that a prefix has changed, is also told by Router Advertisements.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::dhcpv6::wire::ClientMessage;
use serde_json::Value;

use crate::Test;
use crate::capture::Seen;
use crate::daemon::{SOON, state};
use crate::lease::{A, bind, is_from};
use crate::netns::{Radvd, WAN};
use crate::scene::{NAME, Scene};
use crate::servers::{Kind, Pool};

const BOTH: &[&str] = &["kea-dhcp6", "radvd"];

pub(crate) const TESTS: &[Test] = &[
    Test::new("t028_kea_only_when_a_router_says_so", BOTH, required),
    Test::new("t097_kea_early_renew_after_a_new_prefix_in_advertisements", BOTH, early_renew),
    Test::new("t148_nothing_is_sent_before_the_address_is_known_to_be_unique", &[], tentative),
];

fn prefix(net: &str) -> String {
    format!("prefix {net} {{ AdvPreferredLifetime 1200; AdvValidLifetime 3000; }};")
}

/// Lines of the DynamicPrefix: Router Advertisements as well.
fn heard_as_well() -> String {
    format!("acquisition.routerAdvertisement = {{ interface = \"{WAN}\" }}\n")
}

/// The state of the source that hears Router Advertisements.
fn hearing(status: &Value) -> bool {
    let sources = status["sources"].as_array().map_or(&[][..], Vec::as_slice);
    sources.iter().any(|source| source["kind"] == "router-advertisement" && source["state"] == "receiving")
}

fn required(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Kea, &Pool::from(A))?;
    let on_link = prefix("2001:db8:100::/64");
    let radvd = Radvd::start(&scene.pair.router, &on_link);
    scene.configure_all(&[(NAME, "requireRouterAdvertisement = true")], &heard_as_well())?;
    let mut daemon = scene.daemon()?;
    daemon.until("an advertisement without flags", SOON, hearing)?;
    daemon.until_state("awaiting-router", SOON)?;
    ensure!(scene.link.kinds(0).is_empty(), "{:?}", scene.link.kinds(0));
    radvd.reload(&format!("AdvManagedFlag on; {on_link}"));
    daemon.until_bound(SOON, |prefix| is_from(A, prefix))?;
    Ok(())
}

/// A home router that has a new prefix tells it on the link, and not those to whom it has delegated.
fn early_renew(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Kea, &Pool::from(A).with_times([600, 900, 1200, 1800]))?;
    let flag = "AdvManagedFlag on;";
    let radvd = Radvd::start(&scene.pair.router, &format!("{flag} {}", prefix("2001:db8:100::/64")));
    scene.configure_all(&[(NAME, "")], &heard_as_well())?;
    let mut daemon = scene.daemon()?;
    let (held, _, _) = bind(scene, &mut daemon)?;
    daemon.until("both", SOON, |status| hearing(status) && state(status) == "bound")?;
    let from = scene.link.position();
    radvd.reload(&format!("{flag} {}", prefix("2001:db8:101::/64")));
    let told = std::time::Instant::now();
    let renews = |seen: &Seen| seen.client().is_some_and(|sent| sent.kind == ClientMessage::Renew);
    let (early, next) = scene.link.wait("a Renew", from, Duration::from_secs(30), renews)?;
    let early = early.client().context("of a client")?.transaction_id;
    scene.link.wait_reply(early, SOON)?;
    // That the former prefix is no longer announced is seen some seconds later, and asked about after 30 s at most.
    let soon = |seen: &Seen| renews(seen) && seen.at < told + Duration::from_secs(25);
    ensure!(scene.link.all().iter().skip(next).all(|seen| !soon(seen)), "one Renew: {:?}", scene.link.kinds(from));
    daemon.until_bound(SOON, |prefix| prefix == held)?;
    daemon.expect_always(&held)
}

/// The link-local address is tentative for three seconds (RFC 4862 §5.4).
fn tentative(scene: &Scene) -> Result<()> {
    for (key, value) in [("accept_dad", "1"), ("dad_transmits", "3")] {
        for scope in ["all", "default"] {
            scene.pair.host.sysctl(&format!("net/ipv6/conf/{scope}/{key}"), value);
        }
    }
    let mut daemon = scene.start("")?;
    daemon.until_state("interface-absent", SOON)?;
    let since = std::time::Instant::now();
    scene.join()?;
    daemon.until_state("no-link-local", SOON)?;
    let (solicit, _) = scene.link.wait("a message", 0, SOON, |seen| seen.client().is_some())?;
    let waited = solicit.at.saturating_duration_since(since);
    ensure!(waited > Duration::from_millis(2900), "{waited:?}");
    Ok(())
}
