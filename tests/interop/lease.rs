//! Getting a lease and keeping it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::dhcpv6::wire::{ClientMessage, Incoming, Outgoing, ServerMessage};
use ipnet::Ipv6Net;
use serde_json::Value;

use crate::Test;
use crate::capture::Seen;
pub(crate) use crate::capture::granted;
use crate::daemon::{Daemon, SOON, source};
use crate::scene::Scene;
use crate::servers::{KNOWN_CLIENT, Kind, Pool};

pub(crate) const KEA: &[&str] = &["kea-dhcp6"];
pub(crate) const ISC: &[&str] = &["dhcpd"];

pub(crate) const TESTS: &[Test] = &[
    Test::new("t001_t031_t155_kea_fresh", KEA, |scene| fresh(scene, Kind::Kea)),
    Test::new("t001_t031_t046_isc_fresh", ISC, |scene| fresh(scene, Kind::Isc)),
    Test::new("t058_t063_kea_renew", KEA, |scene| renew(scene, Kind::Kea)),
    Test::new("t058_t063_isc_renew", ISC, |scene| renew(scene, Kind::Isc)),
    Test::new("t060_kea_rebind_to_another_server", KEA, rebind_to_another),
    Test::new("t060_isc_rebind_after_a_silence", ISC, rebind_after_silence),
];

/// What is delegated first, and what later.
pub(crate) const A: &str = "2001:db8:8000::";
pub(crate) const B: &str = "2001:db8:9000::";

/// Whether a prefix is out of a pool of 256 /56.
pub(crate) fn is_from(base: &str, prefix: &str) -> bool {
    let pool = Ipv6Net::new(base.parse().expect("an address"), 48).expect("a length");
    prefix.parse::<Ipv6Net>().is_ok_and(|prefix| pool.contains(&prefix))
}

/// The prefixes that a message asks for.
pub(crate) fn asked(message: &Outgoing) -> Vec<String> {
    message.delegations.iter().flat_map(|(_, prefixes)| prefixes).map(Ipv6Net::to_string).collect()
}

/// Waits for a delegation by the four messages: the prefix, and the Request and the Reply that brought it.
pub(crate) fn bind(scene: &Scene, daemon: &mut Daemon<'_>) -> Result<(String, Outgoing, Incoming)> {
    let prefix = daemon.until_bound(SOON, |_| true)?;
    let (request, _) = scene.link.wait_sent(ClientMessage::Request, 0, SOON)?;
    let (reply, _) = scene.link.wait_reply(request.transaction_id, SOON)?;
    ensure!(granted(&reply) == [prefix.as_str()], "{prefix} is in use after {reply:?}");
    Ok((prefix, request, reply))
}

pub(crate) fn fresh(scene: &Scene, kind: Kind) -> Result<()> {
    let _server = scene.server(kind, &Pool::from(A))?;
    let mut daemon = scene.start(&format!("requestedPrefixLength = 60, duid = \"{KNOWN_CLIENT}\""))?;
    let (prefix, request, reply) = bind(scene, &mut daemon)?;
    ensure!(is_from(A, &prefix) && prefix.ends_with("/56"), "the server has only /56, whatever is asked for: {prefix}");
    let mut kinds = scene.link.kinds(0);
    kinds.dedup();
    ensure!(kinds == [ClientMessage::Solicit, ClientMessage::Request], "{kinds:?}");
    let (solicit, _) = scene.link.wait_sent(ClientMessage::Solicit, 0, SOON)?;
    ensure!(asked(&solicit) == ["::/60"] && solicit.client_id.to_string() == KNOWN_CLIENT, "{solicit:?}");
    ensure!(solicit.transaction_id != request.transaction_id, "an exchange has a transaction-id of its own");
    let offers = |seen: &Seen| seen.server().is_some_and(|offer| offer.kind == ServerMessage::Advertise);
    let (advertise, _) = scene.link.wait("the Advertise", 0, SOON, offers)?;
    let advertised = advertise.server().map(granted).unwrap_or_default();
    ensure!(asked(&request) == advertised, "the Request repeats what was offered: {request:?}");
    ensure!(request.server_id == reply.server_id, "{request:?}");
    let told = |status: &Value| {
        let notes = source(status)["notes"].to_string();
        notes.contains("/60") && notes.contains(&prefix)
    };
    daemon.until("that it is not what was asked for", SOON, told)?;
    daemon.wait_log(&[&prefix])?;
    Ok(())
}

/// When a message went over the link.
fn time_of(scene: &Scene, wanted: impl Fn(&Seen) -> bool) -> Result<Instant> {
    scene.link.all().iter().find(|seen| wanted(seen)).map(|seen| seen.at).context("it was seen")
}

/// Fails unless `seconds`, and not much more, lie between the Reply and a message.
fn expect_after(scene: &Scene, reply: &Incoming, message: &Outgoing, seconds: u64) -> Result<()> {
    let is_reply = |seen: &Seen| {
        seen.server().is_some_and(|s| s.kind == ServerMessage::Reply && s.transaction_id == reply.transaction_id)
    };
    let is_message = |seen: &Seen| seen.client().is_some_and(|sent| sent.transaction_id == message.transaction_id);
    let (from, to) = (time_of(scene, is_reply)?, time_of(scene, is_message)?);
    let between = to.saturating_duration_since(from);
    let wanted = Duration::from_secs(seconds);
    // The clock of the client starts when it reads the Reply, which the test may see a moment later.
    let early = wanted.saturating_sub(Duration::from_millis(300));
    ensure!((early..wanted + Duration::from_secs(1)).contains(&between), "{:?} after {between:?}", message.kind);
    Ok(())
}

fn renew(scene: &Scene, kind: Kind) -> Result<()> {
    let _server = scene.server(kind, &Pool::from(A))?;
    let mut daemon = scene.start("")?;
    let (prefix, request, mut reply) = bind(scene, &mut daemon)?;
    let mut from = scene.link.position();
    for _ in 0..2 {
        let (renew, _) = scene.link.wait_sent(ClientMessage::Renew, from, SOON)?;
        expect_after(scene, &reply, &renew, 6)?;
        ensure!(renew.delegations.len() == 1 && asked(&renew) == [prefix.as_str()], "{renew:?}");
        ensure!(renew.delegations[0].0 == request.delegations[0].0, "the same IAID: {renew:?}");
        ensure!(renew.server_id == reply.server_id, "{renew:?}");
        (reply, from) = scene.link.wait_reply(renew.transaction_id, SOON)?;
        ensure!(granted(&reply) == [prefix.as_str()], "{reply:?}");
        daemon.until_extended(SOON, &prefix)?;
    }
    let kinds = scene.link.kinds(0);
    ensure!(kinds.iter().filter(|kind| **kind == ClientMessage::Renew).count() == 2, "{kinds:?}");
    daemon.expect_always(&prefix)
}

fn rebind_to_another(scene: &Scene) -> Result<()> {
    let pool = Pool::from(A);
    let mut server = scene.server(Kind::Kea, &pool)?;
    let mut daemon = scene.start("")?;
    let (prefix, request, reply) = bind(scene, &mut daemon)?;
    server.stop()?;
    let (renew, from) = scene.link.wait_sent(ClientMessage::Renew, 0, SOON)?;
    ensure!(renew.server_id == request.server_id, "{renew:?}");
    daemon.until_state("renewing", SOON)?;
    // Another server that knows the leases of the first one.
    server.again(&Pool { server: 2, ..pool })?;
    let (rebind, _) = scene.link.wait_sent(ClientMessage::Rebind, from, SOON)?;
    expect_after(scene, &reply, &rebind, 10)?;
    ensure!(asked(&rebind) == [prefix.as_str()], "{rebind:?}");
    let (confirmed, from) = scene.link.wait_reply(rebind.transaction_id, SOON)?;
    ensure!(confirmed.server_id != request.server_id, "another server: {confirmed:?}");
    daemon.until_extended(SOON, &prefix)?;
    let (renew, _) = scene.link.wait_sent(ClientMessage::Renew, from, SOON)?;
    ensure!(renew.server_id == confirmed.server_id, "from now on this server is asked: {renew:?}");
    daemon.until_extended(SOON, &prefix)?;
    daemon.expect_always(&prefix)
}

/// The server hears everything, and answers the Renew when nobody waits for it any more.
fn rebind_after_silence(scene: &Scene) -> Result<()> {
    let server = scene.server(Kind::Isc, &Pool::from(A))?;
    let mut daemon = scene.start("")?;
    let (prefix, _, reply) = bind(scene, &mut daemon)?;
    server.freeze()?;
    let (renew, from) = scene.link.wait_sent(ClientMessage::Renew, 0, SOON)?;
    let (rebind, _) = scene.link.wait_sent(ClientMessage::Rebind, from, SOON)?;
    expect_after(scene, &reply, &rebind, 10)?;
    daemon.until_state("rebinding", SOON)?;
    server.thaw()?;
    scene.link.wait_reply(renew.transaction_id, SOON)?;
    let (confirmed, from) = scene.link.wait_reply(rebind.transaction_id, SOON)?;
    ensure!(granted(&confirmed) == [prefix.as_str()], "{confirmed:?}");
    daemon.until_extended(SOON, &prefix)?;
    let (renew, _) = scene.link.wait_sent(ClientMessage::Renew, from, SOON)?;
    expect_after(scene, &confirmed, &renew, 6)?;
    daemon.expect_always(&prefix)
}
