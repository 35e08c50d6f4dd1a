//! A systemd-networkd that describes what its DHCPv6 client holds (255 and later), and the daemon of the packaged unit,
//! which asks it.

use super::guest::{Guest, UNIT};
use super::observed::{A, B, House, NETWORKD, NETWORKS, OBSERVES, TIMES, is_lost, life, source, valid_until, with};
use super::servers::{Kind, Pool};

/// The release of Debian with such a systemd: 257.
pub(crate) const RELEASE: &str = "trixie";

pub(crate) const TESTS: &[super::Test] =
    &[("t178_described_networkd_with_a_64_and_without_packets", a_64), ("t141_t142_observed_networkd_257", life)];

/// A delegation of exactly one /64: no route and, as no LAN is numbered from it, no address tells of it.
fn a_64(guest: &Guest) {
    let pool = Pool { length: 64, ..Pool::from(A).with_times(TIMES) };
    with(guest, OBSERVES, Kind::Kea, &pool, |house| {
        guest.start();
        house.until("it watches", |status| source(status)["state"] == "failed");
        house.start_networkd_with(&NETWORKS[..1]);
        let (_, prefix, next) = house.next_reply(0);
        until_described(house, &prefix);
        let routes = guest.done(&["ip", "-6", "route", "show", "table", "all", "type", "unreachable"]);
        assert!(!routes.contains("2001:db8:"), "nothing else tells: {routes}");
        guest.done(&["systemctl", "restart", UNIT]);
        let first = until_described(house, &prefix);
        let (_, renewed, next) = house.next_reply(next);
        assert_eq!(renewed, prefix);
        house.until("it is renewed", |status| valid_until(status) > Some(&first));
        house.server.wipe(&Pool { base: B.parse().expect("an address"), ..pool.clone() }).expect("a server");
        let is_new = |seen: &super::capture::Seen| {
            let reply = seen.server().filter(|_| seen.grants());
            reply.is_some_and(|reply| {
                super::capture::granted(reply).iter().any(|prefix| prefix.starts_with("2001:db8:9"))
            })
        };
        let found = house.link.wait("a Reply with another prefix", next, super::guest::SOON, is_new);
        let (reply, _) = found.expect("a Reply");
        let granted = reply.server().map(super::capture::granted).unwrap_or_default();
        until_described(house, granted.first().expect("a prefix"));
        // The client goes, and networkd stays.
        guest.write(NETWORKS[0].0, "[Match]\nName=wan\n[Network]\nIPv6AcceptRA=no\n");
        guest.done(&["networkctl", "reload"]);
        house.until("the loss is told", |status| is_lost(status, "Unlisted"));
        assert_eq!(guest.done(&["systemctl", "is-active", NETWORKD]).trim(), "active");
        assert_eq!(guest.show("NRestarts"), "0");
    });
}

/// Waits until what networkd describes is the prefix, with the end that the server told; that end.
fn until_described(house: &House<'_>, prefix: &str) -> String {
    let status = house.until(&format!("{prefix} is described"), |status| {
        let home = &status["dynamicPrefixes"][0];
        home["prefixSource"] == "observed" && home["currentPrefix"] == prefix && valid_until(status).is_some()
    });
    let notes = source(&status)["notes"].to_string();
    assert!(notes.contains("systemd-networkd says that its DHCPv6 client on wan holds"), "{status:#}");
    let home = &status["dynamicPrefixes"][0];
    let at = |key: &str| home[key].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let between = at("validUntil").zip(at("preferredUntil")).map(|(valid, preferred)| valid.duration_since(preferred));
    assert_eq!(between.map(|between| between.as_secs()), Some(i64::from(TIMES[3] - TIMES[2])), "{status:#}");
    valid_until(&status).unwrap_or_default().to_owned()
}
