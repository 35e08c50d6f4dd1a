//! What systemd-networkd says of its DHCPv6 client: the description of a link in JSON, as `networkctl --json=short status`
//! prints it. Pure.
//!
//! The lease and its prefixes are in it since version 255. Moments are microseconds of CLOCK_BOOTTIME, which is our clock,
//! and what does not end is left out (networkd-json.c).

use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use serde::Deserialize;

use super::{FUTURE, Filed};
use crate::source::dhcpv6::client::is_unicast;
use crate::time::{Deadline, Instant};

const MICROSECONDS: u64 = 1_000_000;

/// A link, as far as it is of interest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Link {
    index: u32,
    #[serde(rename = "DHCPv6Client", default)]
    client: Option<Client>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Client {
    #[serde(default)]
    lease: Option<Lease>,
    #[serde(default)]
    prefixes: Vec<Delegated>,
}

#[derive(Debug, Deserialize)]
struct Lease {
    #[serde(rename = "LeaseTimestampUSec", default)]
    since: Option<u64>,
    #[serde(rename = "Timeout1USec", default)]
    renews_at: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delegated {
    prefix: [u8; 16],
    prefix_length: u8,
    #[serde(rename = "PreferredLifetimeUSec", default)]
    preferred_until: Option<u64>,
    #[serde(rename = "ValidLifetimeUSec", default)]
    valid_until: Option<u64>,
}

/// What it says of its client on an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::source::observe) struct Description {
    /// What is delegated.
    pub(in crate::source::observe) filed: Vec<Filed>,
    /// T1 of the lease.
    pub(in crate::source::observe) renews_at: Option<Instant>,
    /// It says anything. Until it holds something, 255 and 256 do not.
    pub(in crate::source::observe) has_client: bool,
}

/// What is delegated on the interface of this index.
///
/// # Errors
/// When it is no description of that link.
pub(in crate::source::observe) fn parse(octets: &[u8], ifindex: u32, now: Instant) -> Result<Description, String> {
    let link: Link = serde_json::from_slice(octets).map_err(|error| error.to_string())?;
    if link.index != ifindex {
        return Err(format!("it is about the interface of index {}, not of {ifindex}", link.index));
    }
    let Some(Client { lease, prefixes }) = link.client else { return Ok(Description::default()) };
    let now = u64::try_from(now.as_nanos() / 1000).unwrap_or_default();
    let since = lease.as_ref().and_then(|lease| lease.since).unwrap_or(now);
    if since > now.saturating_add(FUTURE.unsigned_abs() * MICROSECONDS) {
        return Err("its lease is from the future".to_owned());
    }
    let renews_at = lease.and_then(|lease| lease.renews_at).map(instant);
    let filed = prefixes.into_iter().filter_map(|delegated| filed(&delegated, since, now)).collect();
    Ok(Description { filed, renews_at, has_client: true })
}

fn instant(microseconds: u64) -> Instant {
    Instant::BOOT + Duration::from_micros(microseconds)
}

fn filed(delegated: &Delegated, since: u64, now: u64) -> Option<Filed> {
    let prefix = Ipv6Net::new(Ipv6Addr::from(delegated.prefix), delegated.prefix_length).ok()?.trunc();
    let lifetime = |until: Option<u64>| {
        let Some(until) = until else { return Deadline::INFINITY };
        let lifetime = Duration::from_micros(until.saturating_sub(since)).as_secs();
        u32::try_from(lifetime).unwrap_or(Deadline::INFINITY)
    };
    let (preferred, valid) = (lifetime(delegated.preferred_until), lifetime(delegated.valid_until));
    // Rather a moment too early than too late.
    let age = now.saturating_sub(since).div_ceil(MICROSECONDS);
    let is_granted = valid > 0 && preferred <= valid && is_unicast(prefix);
    is_granted.then_some(Filed { prefix, age, preferred, valid, excluded: None })
}
