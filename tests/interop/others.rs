//! Servers that do things in their own way, and what only some can do.

use std::time::Duration;

use anyhow::{Result, ensure};
use dyn_prefix::source::dhcpv6::wire::{ClientMessage, ServerMessage, StatusCode};
use ipnet::Ipv6Net;
use serde_json::{Value, json};

use crate::Test;
use crate::capture::Seen;
use crate::daemon::{SOON, current, source, state};
use crate::lease::{A, B, ISC, KEA, bind, fresh, granted, is_from};
use crate::scene::{NAME, Scene};
use crate::servers::{KNOWN_CLIENT, Kind, Pool};

const DNSMASQ: &[&str] = &["dnsmasq"];
const DIBBLER: &[&str] = &["dibbler-server"];
const WIDE: &[&str] = &["dhcp6s"];

pub(crate) const TESTS: &[Test] = &[
    Test::new("t013_dnsmasq_fresh_stays_calm", DNSMASQ, dnsmasq_fresh),
    Test::new("t069_t070_dnsmasq_renew_stays_calm", &["kea-dhcp6", "dnsmasq"], dnsmasq_renew),
    Test::new("t001_t031_dibbler_fresh", DIBBLER, |scene| fresh(scene, Kind::Dibbler)),
    Test::new("t071_dibbler_rebind_answered_with_an_empty_ia", DIBBLER, dibbler_rebind),
    Test::new("t048_dibbler_prefix_with_host_bits", DIBBLER, dibbler_two),
    Test::new("t054_wide_answers_from_another_port", WIDE, wide),
    Test::new("t057_kea_excluded_prefix", KEA, excluded),
    Test::new("t025_kea_rapid_commit", KEA, rapid_commit),
    Test::new("t026_kea_rapid_commit_without_a_prefix", KEA, rapid_commit_refused),
    Test::new("t084_kea_two_delegations", KEA, |scene| two(scene, Kind::Kea)),
    Test::new("t047_isc_two_delegations", ISC, |scene| two(scene, Kind::Isc)),
];

/// Every Solicit is answered, but with nothing. It is asked again as if there had been no answer (RFC 9915 §15).
fn dnsmasq_fresh(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Dnsmasq, &Pool::from(A))?;
    let mut daemon = scene.start("")?;
    daemon.until_state("soliciting", SOON)?;
    let mut from = 0;
    for _ in 0..4 {
        let (solicit, _) = scene.link.wait_sent(ClientMessage::Solicit, from, SOON)?;
        let answers = |seen: &Seen| {
            seen.server().is_some_and(|reply| {
                reply.kind == ServerMessage::Advertise && reply.transaction_id == solicit.transaction_id
            })
        };
        let (answer, next) = scene.link.wait("the Advertise", from, SOON, answers)?;
        let answer = answer.server().cloned();
        ensure!(answer.is_some_and(|answer| answer.status.code == StatusCode::NoAddrsAvail));
        from = next;
    }
    let sent: Vec<_> = scene.link.all().into_iter().filter(|seen| seen.client().is_some()).collect();
    ensure!(scene.link.kinds(0) == [ClientMessage::Solicit; 4], "{:?}", scene.link.kinds(0));
    let gaps: Vec<f32> = sent.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f32()).collect();
    // The table of RFC 9915 §15 for Solicit; a busy machine may be late.
    for (gap, (least, most)) in gaps.iter().zip([(1.0, 1.1), (1.9, 2.31), (3.61, 4.86)]) {
        ensure!((least - 0.1..most + 0.4).contains(gap), "{gaps:?}");
    }
    ensure!(daemon.seen()?.iter().all(|status| state(status) != "bound" && current(status).is_none()));
    Ok(())
}

/// A Reply without the IA is no Reply. The prefix lives as long as it was promised.
fn dnsmasq_renew(scene: &Scene) -> Result<()> {
    let pool = Pool::from(A);
    let mut kea = scene.server(Kind::Kea, &pool)?;
    let mut daemon = scene.start("")?;
    let (prefix, _, _) = bind(scene, &mut daemon)?;
    kea.stop()?;
    // It has the server identifier of Kea.
    let _dnsmasq = scene.server_beside(Kind::Dnsmasq, &pool)?;
    let (renew, from) = scene.link.wait_sent(ClientMessage::Renew, 0, SOON)?;
    let (reply, _) = scene.link.wait_reply(renew.transaction_id, SOON)?;
    ensure!(reply.delegations.is_empty(), "{reply:?}");
    scene.link.wait_sent(ClientMessage::Rebind, from, SOON)?;
    let (_, _) = scene.link.wait_sent(ClientMessage::Solicit, from, SOON * 2)?;
    let kinds = scene.link.kinds(from);
    let asked = kinds.iter().filter(|kind| matches!(kind, ClientMessage::Renew | ClientMessage::Rebind)).count();
    ensure!(asked <= 3, "{kinds:?}");
    ensure!(daemon.until("a status", SOON, |_| true).map(|status| current(&status) == Some(prefix.as_str()))?);
    daemon.expect_always(&prefix)
}

/// It answers every Rebind, whatever it knows, with an IA that holds nothing.
fn dibbler_rebind(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Dibbler, &Pool::from(A))?;
    let mut daemon = scene.start("")?;
    let (prefix, _, _) = bind(scene, &mut daemon)?;
    daemon.stop()?;
    let from = scene.link.position();
    let mut daemon = scene.daemon()?;
    let (rebind, _) = scene.link.wait_sent(ClientMessage::Rebind, from, SOON)?;
    let (reply, _) = scene.link.wait_reply(rebind.transaction_id, SOON)?;
    ensure!(reply.delegations.iter().all(|ia| ia.prefixes.is_empty() && ia.t1 == 0 && ia.t2 == 0), "{reply:?}");
    // The lease goes on: at T1, or once nobody asks any more whether it is still right, it is renewed.
    let renews = |seen: &Seen| {
        seen.server().is_some_and(|reply| reply.kind == ServerMessage::Reply && !granted(reply).is_empty())
    };
    scene.link.wait("a Reply with a prefix", from, SOON * 2, renews)?;
    daemon.until_extended(SOON, &prefix)?;
    ensure!(scene.link.kinds(from).len() <= 10, "{:?}", scene.link.kinds(from));
    daemon.expect_always(&prefix)
}

/// Host bits set in what it delegates are no part of the prefix.
fn dibbler_two(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Dibbler, &Pool::from(A))?;
    // Both ask for the same one, which the first gets.
    for prefix in bind_two(scene, "prefixHint = \"2001:db8:8000:500::/56\"")? {
        let net: Ipv6Net = prefix.parse()?;
        ensure!(net == net.trunc() && net.prefix_len() == 56, "{prefix}");
    }
    let unmasked = |seen: &Seen| seen.server().is_some() && has_host_bits(&seen.datagram);
    ensure!(scene.link.all().iter().any(unmasked), "what this test is about: no prefix has host bits");
    Ok(())
}

/// Whether a prefix of 56 bits in an IAPREFIX option without options of its own has more bits than that.
fn has_host_bits(datagram: &[u8]) -> bool {
    const HEADER: [u8; 4] = [0, 26, 0, 25];
    const LENGTH: usize = 12;
    const REST: std::ops::Range<usize> = 20..29;
    datagram.windows(29).any(|option| {
        option.starts_with(&HEADER) && option[LENGTH] == 56 && option[REST].iter().any(|octet| *octet != 0)
    })
}

fn wide(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Wide, &Pool::from(A))?;
    let mut daemon = scene.start(&format!("duid = \"{KNOWN_CLIENT}\""))?;
    let (prefix, _, _) = bind(scene, &mut daemon)?;
    let (seen, _) = scene.link.wait("a Reply", 0, SOON, |seen| seen.server().is_some())?;
    ensure!(seen.source.port() != 547, "{seen:?}");
    // It has no T1; half of the preferred lifetime is over after eight seconds.
    let (renew, _) = scene.link.wait_sent(ClientMessage::Renew, 0, SOON)?;
    let (reply, _) = scene.link.wait_reply(renew.transaction_id, SOON)?;
    ensure!(granted(&reply) == [prefix.as_str()], "{reply:?}");
    daemon.until_extended(SOON, &prefix)?;
    daemon.expect_always(&prefix)
}

fn excluded(scene: &Scene) -> Result<()> {
    const KEPT: &str = "2001:db8:8000:ff::/64";
    let pool = Pool { prefixes: 1, excluded: Some(KEPT), ..Pool::from(A) };
    let _server = scene.server(Kind::Kea, &pool)?;
    let range = "addressRanges = [{ name = \"end\", start = \"::fe:0:0:0:0\", end = \"::ff:ffff:ffff:ffff:ffff\" }]\n";
    scene.configure_all(&[(NAME, "")], range)?;
    let mut daemon = scene.daemon()?;
    daemon.until_bound(SOON, |_| true)?;
    let (solicit, _) = scene.link.wait_sent(ClientMessage::Solicit, 0, SOON)?;
    ensure!(solicit.option_request.contains(&67), "{solicit:?}");
    let status = daemon.until("a status", SOON, |_| true)?;
    ensure!(source(&status)["lease"]["delegations"][0]["prefixes"][0]["excluded"] == KEPT, "{status:#}");
    let cidrs = &status["dynamicPrefixes"][0]["addressRanges"][0]["cidrs"];
    ensure!(*cidrs == json!(["2001:db8:8000:fe::/64"]), "{cidrs}");
    Ok(())
}

fn rapid_commit(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Kea, &Pool { rapid_commit: true, ..Pool::from(A) })?;
    let mut daemon = scene.start("rapidCommit = true")?;
    daemon.until_bound(SOON, |prefix| is_from(A, prefix))?;
    let mut kinds = scene.link.kinds(0);
    kinds.dedup();
    ensure!(kinds == [ClientMessage::Solicit], "{kinds:?}");
    Ok(())
}

/// A Reply that says NoPrefixAvail ends nothing (RFC 9915 §18.2.10.1).
fn rapid_commit_refused(scene: &Scene) -> Result<()> {
    let pool = Pool { rapid_commit: true, ..Pool::from(A) };
    let mut server = scene.server(Kind::Kea, &pool.clone().empty())?;
    let mut daemon = scene.start("rapidCommit = true")?;
    let mut from = 0;
    for _ in 0..3 {
        (_, from) = scene.link.wait_sent(ClientMessage::Solicit, from, SOON)?;
    }
    let refused = |seen: &Seen| {
        seen.server()
            .is_some_and(|reply| reply.delegations.iter().any(|ia| ia.status.code == StatusCode::NoPrefixAvail))
    };
    scene.link.wait("NoPrefixAvail", 0, SOON, refused)?;
    ensure!(scene.link.kinds(0).iter().all(|kind| *kind == ClientMessage::Solicit), "{:?}", scene.link.kinds(0));
    let elapsed: Vec<_> = scene.link.sent(0).iter().map(|solicit| solicit.elapsed).collect();
    ensure!(elapsed.is_sorted() && elapsed[2] >= 280, "one exchange, in the times of the table: {elapsed:?}");
    server.wipe(&Pool { base: B.parse()?, ..pool })?;
    daemon.until_bound(SOON * 2, |prefix| is_from(B, prefix))?;
    Ok(())
}

/// Waits until two DynamicPrefixes have a prefix each; which.
fn bind_two(scene: &Scene, dhcpv6: &str) -> Result<Vec<String>> {
    scene.configure_all(&[(NAME, dhcpv6), ("guests", dhcpv6)], "")?;
    let mut daemon = scene.daemon()?;
    let prefixes = |status: &Value| -> Vec<String> {
        let all = status["dynamicPrefixes"].as_array().map_or(&[][..], Vec::as_slice);
        all.iter().filter_map(|prefix| prefix["currentPrefix"].as_str().map(str::to_owned)).collect()
    };
    let status =
        daemon.until("two prefixes", SOON, |status| prefixes(status).len() == 2 && state(status) == "bound")?;
    let (renew, _) = scene.link.wait_sent(ClientMessage::Renew, 0, SOON)?;
    ensure!(renew.delegations.len() == 2, "one Renew for both: {renew:?}");
    let (reply, _) = scene.link.wait_reply(renew.transaction_id, SOON)?;
    let found = prefixes(&status);
    let extended =
        |status: &Value| status["dynamicPrefixes"][1]["validUntil"] != Value::Null && state(status) == "bound";
    daemon.until("bound again", SOON, extended)?;
    ensure!(found.iter().all(|prefix| granted(&reply).contains(prefix)), "{found:?}: {reply:?}");
    Ok(found)
}

/// dhcpd offers the same prefix to both, and gives two.
fn two(scene: &Scene, kind: Kind) -> Result<()> {
    let _server = scene.server(kind, &Pool::from(A))?;
    let found = bind_two(scene, "")?;
    ensure!(found[0] != found[1] && found.iter().all(|prefix| is_from(A, prefix)), "{found:?}");
    let solicits = |kind: &&ClientMessage| **kind == ClientMessage::Solicit;
    let kinds = scene.link.kinds(0);
    ensure!(kinds.iter().filter(solicits).count() <= 2, "both in one message: {kinds:?}");
    if kind == Kind::Isc {
        let (advertise, _) = scene.link.wait("the Advertise", 0, Duration::ZERO, |seen| seen.server().is_some())?;
        let offered = advertise.server().map(granted).unwrap_or_default();
        ensure!(offered.len() == 2 && offered[0] == offered[1], "what this test is about: {offered:?}");
    }
    Ok(())
}
