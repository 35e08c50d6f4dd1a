//! What one version of a Service says, to DNS and of what its user wrote, and what DNS is asked.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::external_dns::PREFIXES;
use crate::services::Expected;
use crate::version::Version;

/// A question to a DNS server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) sent: Instant,
    pub(crate) received: Instant,
    /// Of the annotations that say what it answers.
    pub(crate) prefix: &'a str,
    pub(crate) name: &'a str,
    /// How late it may be where it is excused.
    pub(crate) lateness: Duration,
}

/// What is wrong with what a Service tells DNS.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// It names what it does not have.
    pub(crate) ahead: Vec<String>,
    /// It does not name an IPv4 address that it has.
    pub(crate) missing: Vec<String>,
}

/// What the Service tells DNS has to be what it has.
pub(crate) fn told(version: &Version, expected: &Expected) -> Told {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for (prefix, (names, records)) in PREFIXES.iter().zip(&version.told) {
        if names.is_empty() {
            continue;
        }
        let lacks = |address: IpAddr| !version.ingress.contains(&address) && !expected.names(&address.to_string());
        let v4 = records.a.iter().copied().map(IpAddr::V4);
        let all: Vec<IpAddr> = v4.chain(records.aaaa.iter().copied().map(IpAddr::V6)).collect();
        let named_and_missing = all.iter().copied().filter(|address| lacks(*address));
        wrong
            .extend(named_and_missing.map(|address| format!("{prefix}target names {address}, which it does not have")));
        let v4_missing = version.ingress.iter().filter(|address| address.is_ipv4() && !all.contains(address));
        found.extend(v4_missing.map(|address| format!("{prefix}target lacks its IPv4 address {address}")));
    }
    Told { ahead: wrong, missing: found }
}

/// What the user wrote has to be there.
pub(crate) fn entries_of_the_user(version: &Version, expected: &Expected) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in &expected.annotations {
        if version.annotation(key) != Some(value) {
            found.push(format!("the user's annotation {key}: {value} is now {:?}", version.annotation(key)));
        }
    }
    for (key, entries) in &expected.entries {
        let list = version.list(key);
        let mut rest = list.iter();
        // In the user's order, whatever stands between them.
        if !entries.iter().all(|entry| rest.any(|found| found == entry)) {
            found.push(format!("the user's entries {} of {key} are not in {list:?}", entries.join(",")));
        }
    }
    let blank = version.annotations.iter().filter(|(key, value)| is_list(key) && value.trim().is_empty());
    found.extend(blank.map(|(key, _)| format!("the annotation {key} is blank")));
    found
}

fn is_list(key: &str) -> bool {
    key.ends_with("/target") || key.ends_with("/ips") || key.ends_with("/loadBalancerIPs")
}

/// When an address left a history of addresses, at the latest before a moment.
pub(crate) fn left(ingress: &[(Instant, BTreeSet<IpAddr>)], address: IpAddr, before: Instant) -> Option<Instant> {
    let ends = ingress.iter().zip(ingress.iter().skip(1));
    let lost = ends.filter(|((_, held), _)| held.contains(&address)).map(|(_, (end, _))| *end);
    lost.filter(|end| *end <= before).max()
}

/// Whether an address was in a history of addresses at any moment of a span.
pub(crate) fn served(ingress: &[(Instant, BTreeSet<IpAddr>)], address: IpAddr, from: Instant, to: Instant) -> bool {
    let ends = ingress.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
    let mut spans = ingress.iter().zip(ends);
    spans.any(|((start, held), end)| *start <= to && end.is_none_or(|end| end >= from) && held.contains(&address))
}
