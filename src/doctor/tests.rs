//! Every finding is provoked here, or beside its check; `every_check_is_provoked` counts them.

use std::collections::{BTreeMap, BTreeSet};

use super::interface::Uses;
use super::*;
use crate::source::link::{LinkAddress, LinkState};

mod actions;
mod cluster;
mod host;
mod interfaces;
mod prefixes;
mod reading;
mod sentences;
mod sources;

/// The finding of a check at a level, of which message or advice has to say something; gives both.
pub(super) fn provoked(found: &[Finding], check: Check, level: Level, says: &str) -> String {
    sentences::said(found);
    let of_check = found.iter().filter(|finding| finding.check == check && finding.level == level);
    let texts: Vec<String> = of_check
        .map(|finding| {
            let Finding { message, advice, .. } = finding;
            assert!(message.ends_with('.'), "a full sentence: {message}");
            let advice = advice.clone().unwrap_or_default();
            format!("{message} {advice}")
        })
        .collect();
    let text = texts.iter().find(|text| text.contains(says));
    text.unwrap_or_else(|| panic!("{check:?} {level:?} {says:?} is not in {found:#?}")).clone()
}

pub(super) fn link(up: bool, addresses: &[(&str, bool)]) -> LinkState {
    let address =
        |(address, tentative): &(&str, bool)| LinkAddress { address: address.parse().unwrap(), tentative: *tentative };
    LinkState { ifindex: 7, up, mac: None, addresses: addresses.iter().map(address).collect() }
}

pub(super) fn uses(dhcpv6: bool, router_advertisement: bool) -> Uses {
    Uses { dhcpv6, router_advertisement, ..Uses::default() }
}

/// The calls that make a finding, by check, as they stand in the source.
fn made(source: &str) -> BTreeSet<(String, String)> {
    let text = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut made = BTreeSet::new();
    for level in ["note", "unseen", "warning", "error"] {
        for (at, call) in text.match_indices(&format!("Finding::{level}(")) {
            let rest = text[at + call.len()..].trim_start();
            if let Some(check) = rest.strip_prefix("Check::") {
                let name: String = check.chars().take_while(char::is_ascii_alphanumeric).collect();
                made.insert((name, level.to_owned()));
            }
        }
    }
    made
}

#[test]
fn every_check_is_provoked() {
    let checks = [
        include_str!("actions.rs"),
        include_str!("addresses.rs"),
        include_str!("capability.rs"),
        include_str!("choice.rs"),
        include_str!("clock.rs"),
        include_str!("daemon.rs"),
        include_str!("interface.rs"),
        include_str!("lease.rs"),
        include_str!("port.rs"),
        include_str!("prefixes.rs"),
        include_str!("reading.rs"),
        include_str!("router.rs"),
        include_str!("routes.rs"),
        include_str!("service.rs"),
        include_str!("cluster/announcement.rs"),
        include_str!("cluster/connection.rs"),
        include_str!("cluster/dns.rs"),
        include_str!("cluster/external_dns.rs"),
        include_str!("cluster/kinds.rs"),
        include_str!("cluster/objects.rs"),
    ];
    let tests = [
        include_str!("tests/actions.rs"),
        include_str!("tests/host.rs"),
        include_str!("tests/interfaces.rs"),
        include_str!("tests/prefixes.rs"),
        include_str!("tests/sources.rs"),
        include_str!("tests/cluster.rs"),
        include_str!("tests/cluster/services.rs"),
    ]
    .concat();
    let tests: String = tests.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for (check, level) in checks.iter().flat_map(|source| made(source)) {
        let level = level[..1].to_uppercase() + &level[1..];
        let wanted = format!("Check::{check}, Level::{level}");
        assert!(tests.contains(&wanted), "no test provokes {wanted}");
        *counted.entry(check).or_default() += 1;
    }
    assert!(counted.len() >= 24, "the search finds the findings: {counted:?}");
}

#[test]
fn the_shape_of_the_report() {
    let findings = vec![
        Finding::ok(Check::Clock, "clock", "It is right."),
        Finding::error(Check::OtherClient, "wan", "There is one.", "Stop it."),
    ];
    let report = Report::new(vec![Section { place: "host".to_owned(), findings }]);
    assert!(!report.is_healthy());
    let expected = serde_json::json!({
        "schemaVersion": 1,
        "sections": [{"place": "host", "findings": [
            {"check": "clock", "level": "ok", "subject": "clock", "message": "It is right.", "advice": null},
            {"check": "other-client", "level": "error", "subject": "wan", "message": "There is one.", "advice": "Stop it."},
        ]}],
    });
    assert_eq!(serde_json::to_value(&report).unwrap(), expected);
}

#[test]
fn only_warnings_and_errors_make_it_ill() {
    let of = |finding: Finding| Report::new(vec![Section { place: String::new(), findings: vec![finding] }]);
    assert!(of(Finding::note(Check::Clock, "", "")).is_healthy());
    assert!(of(Finding::unseen(Check::Clock, "", "", "")).is_healthy());
    assert!(!of(Finding::warning(Check::Clock, "", "", "")).is_healthy());
}
