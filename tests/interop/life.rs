//! What happens to a lease: the daemon restarts, the server forgets, the prefix is replaced or given back.

use anyhow::{Result, ensure};
use dyn_prefix::source::dhcpv6::wire::{ClientMessage, Incoming, Outgoing, StatusCode};
use serde_json::Value;

use crate::Test;
use crate::daemon::{Daemon, SOON, current};
use crate::lease::{A, B, ISC, KEA, asked, bind, granted, is_from};
use crate::scene::{NAME, Scene, Traffic};
use crate::servers::{Kind, Pool};

pub(crate) const TESTS: &[Test] = &[
    Test::new("t087_t011_t095_kea_restart_of_the_daemon", KEA, |scene| restart(scene, Kind::Kea)),
    Test::new("t087_t011_t095_isc_restart_of_the_daemon", ISC, |scene| restart(scene, Kind::Isc)),
    Test::new("t088_kea_restart_while_the_server_is_away", KEA, restart_alone),
    Test::new("t089_kea_restart_into_another_prefix", KEA, restart_renumbered),
    Test::new("t072_kea_state_wiped", KEA, |scene| wiped(scene, Kind::Kea)),
    Test::new("t067_isc_state_wiped", ISC, |scene| wiped(scene, Kind::Isc)),
    Test::new("t073_kea_pool_emptied", KEA, |scene| emptied(scene, Kind::Kea)),
    Test::new("t044_isc_pool_emptied", ISC, |scene| emptied(scene, Kind::Isc)),
    Test::new("t072_t076_kea_prefix_replaced", KEA, |scene| replaced(scene, Kind::Kea)),
    Test::new("t067_isc_prefix_replaced", ISC, |scene| replaced(scene, Kind::Isc)),
    Test::new("t167_kea_doctor_sees_the_loop_and_who_holds_the_port", KEA, doctor),
    Test::new("t093_kea_release", KEA, |scene| release(scene, Kind::Kea)).with(Traffic::Releases),
    Test::new("t093_isc_release", ISC, |scene| release(scene, Kind::Isc)).with(Traffic::Releases),
];

/// T1, T2, preferred and valid lifetime where the server is started anew before T1, on a busy machine, too.
const TIMES: [u32; 4] = [9, 14, 20, 25];

/// The first message that a daemon sends after a place.
fn first_after(scene: &Scene, from: usize) -> Result<Outgoing> {
    let (seen, _) = scene.link.wait("a message of the client", from, SOON, |seen| seen.client().is_some())?;
    seen.client().cloned().ok_or_else(|| anyhow::anyhow!("not from a client"))
}

/// Waits for the daemon's start to have been confirmed by a server, with the identity and the prefix of before.
fn expect_rebind(scene: &Scene, daemon: &mut Daemon<'_>, from: usize, before: &Outgoing, prefix: &str) -> Result<()> {
    let rebind = first_after(scene, from)?;
    ensure!(rebind.kind == ClientMessage::Rebind, "{rebind:?}");
    ensure!(rebind.client_id == before.client_id && rebind.delegations[0].0 == before.delegations[0].0, "{rebind:?}");
    ensure!(asked(&rebind) == [prefix], "{rebind:?}");
    let (reply, _) = scene.link.wait_reply(rebind.transaction_id, SOON)?;
    ensure!(granted(&reply) == [prefix], "{reply:?}");
    daemon.until_bound(SOON, |_| true)?;
    daemon.expect_always(prefix)
}

/// What `dyn-prefix doctor` says beside a daemon that holds a delegation, which it must not disturb.
fn doctor(scene: &Scene) -> Result<()> {
    // No renewal in between.
    let _server = scene.server(Kind::Kea, &Pool::from(A).with_times([1000, 2000, 3000, 4000]))?;
    let mut daemon = scene.start("")?;
    let (prefix, _, _) = bind(scene, &mut daemon)?;
    scene.pair.host.sysctl("net/ipv6/conf/all/forwarding", "1");
    let says = |says: &str| -> Result<()> {
        let (code, text) = daemon.ask(&["doctor"])?;
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(code == Some(3) && flat.contains(says), "{says:?} is not in what ended with {code:?}:\n{text}");
        Ok(())
    };
    says(&format!("warning {prefix} is delegated to this host by wan, which forwards IPv6, and no route keeps"))?;
    says("holds UDP port 546 on wan.")?;
    says("ok The daemon runs (")?;
    scene.pair.host.ip(&format!("-6 route add unreachable {prefix}"));
    says(&format!("ok A route keeps packets to unused parts of {prefix} from going back"))?;
    daemon.expect_always(&prefix)?;
    daemon.stop()
}

/// Once stopped and once killed; nothing is given back.
fn restart(scene: &Scene, kind: Kind) -> Result<()> {
    let _server = scene.server(kind, &Pool::from(A))?;
    let mut daemon = scene.start("")?;
    let (prefix, request, _) = bind(scene, &mut daemon)?;
    daemon.stop()?;
    let from = scene.link.position();
    let mut daemon = scene.daemon()?;
    expect_rebind(scene, &mut daemon, from, &request, &prefix)?;
    daemon.kill()?;
    let from = scene.link.position();
    let mut daemon = scene.daemon()?;
    expect_rebind(scene, &mut daemon, from, &request, &prefix)?;
    ensure!(!scene.link.kinds(from).contains(&ClientMessage::Solicit), "it knows its prefix");
    Ok(())
}

/// Asked in vain for ten seconds, it goes on with what it has.
fn restart_alone(scene: &Scene) -> Result<()> {
    let pool = Pool::from(A).with_times([16, 26, 60, 90]);
    let mut server = scene.server(Kind::Kea, &pool)?;
    let mut daemon = scene.start("")?;
    let (prefix, _, _) = bind(scene, &mut daemon)?;
    daemon.stop()?;
    server.stop()?;
    let from = scene.link.position();
    let mut daemon = scene.daemon()?;
    let (first, next) = scene.link.wait_sent(ClientMessage::Rebind, from, SOON)?;
    scene.link.wait_sent(ClientMessage::Rebind, next, SOON)?;
    // T1 is over by then, or is soon: the lease is from before the restart.
    let (renew, _) = scene.link.wait_sent(ClientMessage::Renew, from, SOON * 2)?;
    ensure!(asked(&renew) == [prefix.as_str()], "{renew:?}");
    let rebinds: Vec<_> = scene.link.sent(from).into_iter().filter(|sent| sent.kind == ClientMessage::Rebind).collect();
    // At 0, 1, 3 and 7 s, more or less, and not after 10 s (RFC 9915 §7.6: CNF_TIMEOUT, CNF_MAX_RT, CNF_MAX_RD).
    ensure!((3..=5).contains(&rebinds.len()), "{rebinds:?}");
    ensure!(rebinds.iter().all(|rebind| rebind.transaction_id == first.transaction_id && rebind.elapsed < 1010));
    server.again(&pool)?;
    daemon.until_extended(SOON * 2, &prefix)?;
    daemon.expect_always(&prefix)
}

fn restart_renumbered(scene: &Scene) -> Result<()> {
    let mut server = scene.server(Kind::Kea, &Pool::from(A))?;
    let mut daemon = scene.start("")?;
    let (old, _, _) = bind(scene, &mut daemon)?;
    daemon.stop()?;
    server.wipe(&Pool::from(B))?;
    let mut daemon = scene.daemon()?;
    let new = daemon.until_bound(SOON, |prefix| is_from(B, prefix))?;
    // The server may have answered before the status was asked for the first time.
    let at_first = daemon.seen()?.iter().find_map(current) != Some(new.as_str());
    if at_first { expect_succession(&mut daemon, &old, &new) } else { expect_history(&mut daemon, &old) }
}

fn expect_history(daemon: &mut Daemon<'_>, old: &str) -> Result<()> {
    let history = |status: &Value| status["dynamicPrefixes"][0]["history"][0]["prefix"] == old;
    daemon.until("the history", SOON, history).map(drop)
}

/// Fails unless the one prefix was followed by the other, without a gap, and is told in the history.
fn expect_succession(daemon: &mut Daemon<'_>, old: &str, new: &str) -> Result<()> {
    let mut shown: Vec<_> = daemon.seen()?.iter().map(|status| current(status).unwrap_or("none").to_owned()).collect();
    shown.dedup();
    if shown.first().is_some_and(|first| first == "none") {
        shown.remove(0);
    }
    ensure!(shown == [old, new], "{shown:?}");
    expect_history(daemon, old)
}

/// The Reply to the Request that follows a NoBinding, which keeps everything as it is.
fn expect_request(scene: &Scene, unknown: &Incoming, from: usize) -> Result<Incoming> {
    ensure!(unknown.delegations[0].status.code == StatusCode::NoBinding, "{unknown:?}");
    let request = first_after(scene, from)?;
    ensure!(request.kind == ClientMessage::Request && request.server_id == unknown.server_id, "{request:?}");
    Ok(scene.link.wait_reply(request.transaction_id, SOON)?.0)
}

/// The server knows the lease no longer, but has prefixes. Kea gives another one by itself; dhcpd says NoBinding.
fn wiped(scene: &Scene, kind: Kind) -> Result<()> {
    let pool = Pool::from(A).with_times(TIMES);
    let mut server = scene.server(kind, &pool)?;
    let mut daemon = scene.start("")?;
    let (old, _, _) = bind(scene, &mut daemon)?;
    server.wipe(&pool)?;
    let (renew, _) = scene.link.wait_sent(ClientMessage::Renew, 0, SOON)?;
    let (reply, from) = scene.link.wait_reply(renew.transaction_id, SOON)?;
    let reply = if kind == Kind::Isc { expect_request(scene, &reply, from)? } else { reply };
    let new = granted(&reply);
    ensure!(new.len() == 1, "{reply:?}");
    if new[0] == old {
        daemon.until_extended(SOON, &old)?;
        return daemon.expect_always(&old);
    }
    daemon.until_bound(SOON, |prefix| prefix == new[0])?;
    expect_succession(&mut daemon, &old, &new[0])
}

/// Nothing is left to delegate; later there is again.
fn emptied(scene: &Scene, kind: Kind) -> Result<()> {
    let pool = Pool::from(A).with_times(TIMES);
    let mut server = scene.server(kind, &pool)?;
    let mut daemon = scene.start("")?;
    let (old, _, _) = bind(scene, &mut daemon)?;
    server.wipe(&pool.empty())?;
    let (renew, _) = scene.link.wait_sent(ClientMessage::Renew, 0, SOON)?;
    let (reply, from) = scene.link.wait_reply(renew.transaction_id, SOON)?;
    let reply = if kind == Kind::Isc { expect_request(scene, &reply, from)? } else { reply };
    ensure!(granted(&reply).is_empty(), "{reply:?}");
    ensure!(reply.delegations[0].status.code == StatusCode::NoPrefixAvail, "{reply:?}");
    let zeroed = reply.delegations[0].prefixes.iter().any(|prefix| prefix.valid == 0);
    ensure!(zeroed == (kind == Kind::Kea), "Kea says both in one IA: {reply:?}");
    // It goes on asking, and what was published stays where it is as long as there is no successor.
    scene.link.wait_sent(ClientMessage::Solicit, from, SOON)?;
    let gone = |status: &Value| {
        let conditions = status["dynamicPrefixes"][0]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        conditions.iter().any(|found| found["type"] == "PrefixAcquired" && found["status"] != "True")
    };
    let status = daemon.until("the loss is told", SOON, gone)?;
    ensure!(current(&status) == Some(old.as_str()), "{status:#}");
    server.wipe(&Pool::from(B))?;
    let new = daemon.until_bound(SOON * 2, |prefix| is_from(B, prefix))?;
    expect_succession(&mut daemon, &old, &new)
}

/// The server has other prefixes now, and forgot the old one.
fn replaced(scene: &Scene, kind: Kind) -> Result<()> {
    let mut server = scene.server(kind, &Pool::from(A).with_times(TIMES))?;
    let mut daemon = scene.start("")?;
    let (old, _, _) = bind(scene, &mut daemon)?;
    server.wipe(&Pool::from(B))?;
    let (renew, _) = scene.link.wait_sent(ClientMessage::Renew, 0, SOON)?;
    let (reply, from) = scene.link.wait_reply(renew.transaction_id, SOON)?;
    if kind == Kind::Isc {
        expect_request(scene, &reply, from)?;
    } else {
        let ended = reply.delegations[0].prefixes.iter().any(|prefix| prefix.valid == 0);
        ensure!(ended, "the old one at 0: {reply:?}");
    }
    let new = daemon.until_bound(SOON, |prefix| is_from(B, prefix))?;
    expect_succession(&mut daemon, &old, &new)
}

fn release(scene: &Scene, kind: Kind) -> Result<()> {
    let _server = scene.server(kind, &Pool::from(A))?;
    let mut daemon = scene.start("")?;
    let (prefix, request, _) = bind(scene, &mut daemon)?;
    let from = scene.link.position();
    let (code, said) = daemon.ask(&["dhcp-release", NAME])?;
    ensure!(code == Some(0), "{code:?}: {said}");
    let (release, _) = scene.link.wait_sent(ClientMessage::Release, from, SOON)?;
    ensure!(release.server_id == request.server_id && asked(&release) == [prefix.as_str()], "{release:?}");
    let (reply, from) = scene.link.wait_reply(release.transaction_id, SOON)?;
    ensure!(reply.status.code == StatusCode::Success, "{reply:?}");
    daemon.until_state("released", SOON)?;
    daemon.stop()?;
    ensure!(scene.link.kinds(from).is_empty(), "nothing is asked for until a restart: {:?}", scene.link.kinds(from));
    let mut daemon = scene.daemon()?;
    let solicit = first_after(scene, from)?;
    ensure!(solicit.kind == ClientMessage::Solicit && solicit.client_id == request.client_id, "{solicit:?}");
    daemon.until_bound(SOON, |_| true)?;
    Ok(())
}
