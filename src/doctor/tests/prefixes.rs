//! What is known of the prefixes, by whom.

use std::collections::BTreeMap;
use std::path::Path;

use super::provoked;
use crate::arbiter::{Current, Generation, Snapshot};
use crate::cluster::object::Object;
use crate::config::{Config, Host, Kind};
use crate::doctor::prefixes::{self, Known, Told};
use crate::doctor::routes::Delegation;
use crate::doctor::{Check, Level};
use crate::source::dhcpv6::{self, Duid};
use crate::source::{SourceId, SourceKind};
use crate::status::Status;
use crate::store::State;
use crate::time::{Deadline, Epoch, Instant};

pub(super) const TESTS: &[fn()] = &[what_the_daemon_says, what_is_stored, nothing_is_known];

const FILE: &str = r#"
[[cluster]]
name = "lab"
kubeconfig = "/k"
[[dynamicPrefix]]
name = "home"
acquisition.dhcpv6 = { interface = "wan" }
subnets = [{ name = "lb", index = 1, prefixLength = 64 }, { name = "other", index = 2, prefixLength = 64 }]
[[dynamicPrefix]]
name = "fixed"
acquisition.static.prefix = "2001:db8:f::/48"
[[binding]]
prefixRef = "home/lb"
target = "CiliumLoadBalancerIPPool/pool"
[[binding]]
prefixRef = "home"
target = "CiliumCIDRGroup/group"
"#;

fn config() -> Config {
    let host = Host { variable: &|_| None, exists: &|_| true, read: &|_| Ok(String::new()) };
    let loaded = Config::parse(FILE, Path::new("f.toml"), &host);
    loaded.config.unwrap_or_else(|| panic!("{:#?}", loaded.findings))
}

fn epoch() -> Epoch {
    Epoch::new(Instant::from_nanos(1_000_000_000_000), "2026-11-21T12:00:00Z".parse().unwrap())
}

fn at(seconds: u32) -> Deadline {
    Deadline::after(epoch().now(), seconds)
}

/// A state with a prefix in use, and a lease with one that is valid and one that has ended.
fn state() -> State {
    let current = Current {
        generation: Generation(3),
        prefix: "2001:db8:a::/56".parse().unwrap(),
        source: SourceId::on(SourceKind::Dhcpv6Pd, "wan"),
        routers: Vec::new(),
        acquired_at: epoch().now(),
        preferred_until: at(60),
        valid_until: at(120),
        excluded: Vec::new(),
        lost: None,
    };
    let mut state = State::new(&epoch());
    let snapshot = Snapshot { current: Some(current), history: Vec::new() };
    state.insert_prefix("home", &snapshot, Generation(3), &epoch());
    let leased = |prefix: &str, valid_until| dhcpv6::LeasedPrefix {
        prefix: prefix.parse().unwrap(),
        preferred_until: valid_until,
        valid_until,
        excluded: None,
        first_seen: epoch().now(),
    };
    let lease = dhcpv6::Lease {
        dynamic_prefix: "home".to_owned(),
        iaid: 1,
        received_at: Some(epoch().now()),
        t1: at(30),
        t2: at(40),
        prefixes: vec![leased("2001:db8:a::/56", at(120)), leased("2001:db8:b::/56", at(0))],
    };
    let memory = dhcpv6::Memory { leases: vec![lease], ..dhcpv6::Memory::new(duid()) };
    state.insert_client("wan", &memory, &epoch());
    state
}

fn duid() -> Duid {
    Duid::new(&[0, 3, 0, 1, 2, 0, 0, 0, 0, 7]).unwrap()
}

#[test]
fn what_the_daemon_says() {
    let status: Status = serde_json::from_value(serde_json::json!({
        "schemaVersion": 1,
        "daemon": {"version": "1", "id": "x", "startedAt": null, "configAppliedAt": null, "reloadErrors": []},
        "sources": [], "clusters": [],
        "dynamicPrefixes": [{
            "name": "home", "currentPrefix": "2001:db8:a::/56", "prefixSource": null, "generation": 2,
            "preferredUntil": null, "validUntil": null, "leaseExpiresAt": null, "addressRanges": [], "subnets": [],
            "history": [
                {"prefix": "2001:db8:b::/56", "acquiredAt": "2026-11-21T12:00:00Z", "deprecatedAt":
                 "2026-11-21T12:00:00Z", "validUntil": null, "drainEndsAt": null, "state": "draining", "reason": "Replaced"},
                {"prefix": "2001:db8:c::/56", "acquiredAt": "2026-11-21T12:00:00Z", "deprecatedAt":
                 "2026-11-21T12:00:00Z", "validUntil": null, "drainEndsAt": null, "state": "expired", "reason": "Dead"},
            ],
            "conditions": [], "errors": [],
        }],
        "targets": [],
    }))
    .unwrap();
    let known = Known::of_daemon(&config(), &status);
    let found = prefixes::check(&known);
    let text = "The daemon has the prefix 2001:db8:a::/56 and still 2001:db8:b::/56 for home.";
    provoked(&found, Check::Prefix, Level::Ok, text);
    provoked(&found, Check::Prefix, Level::Unseen, "No prefix is known for fixed: the daemon has none.");
    assert!(known.ranges(&config(), |_| Vec::new()).is_empty(), "it has no targets");
}

#[test]
fn what_is_stored() {
    let (config, state) = (config(), state());
    let known = Known::of_store(&config, Ok(Some(&state)), &epoch());
    let text = "home had the prefix 2001:db8:a::/56 when the daemon last saved its state, at 2026-11-21T12:00:00Z.";
    provoked(&prefixes::check(&known), Check::Prefix, Level::Note, text);
    let delegation =
        Delegation { prefix: "2001:db8:a::/56".parse().unwrap(), interface: "wan".to_owned(), ifindex: None };
    assert_eq!(known.delegations, [delegation], "the one that is valid");

    let networks = |objects: &[Object]| {
        let ranges = known.ranges(&config, |cluster| objects.iter().filter(|_| cluster == "lab").collect());
        let text = ranges.iter().map(|range| (range.name.clone(), range.interval.to_string()));
        text.collect::<BTreeMap<_, _>>()
    };
    let lb = ("of the pool pool in the cluster lab", "2001:db8:a:1::-2001:db8:a:1:ffff:ffff:ffff:ffff");
    let owned = |(name, range): (&str, &str)| (name.to_owned(), range.to_owned());
    assert_eq!(networks(&[]), [owned(lb)].into(), "CIDR groups hand out nothing");
    let annotated = serde_json::json!({
        "metadata": {"name": "own", "uid": "u", "resourceVersion": "1", "annotations": {
            "dynamic-prefix.io/name": "home", "dynamic-prefix.io/subnet": "other",
        }},
    });
    let annotated = Object::from_json(Kind::CiliumLoadBalancerIPPool, &annotated).unwrap();
    let other = ("of the pool own in the cluster lab", "2001:db8:a:2::-2001:db8:a:2:ffff:ffff:ffff:ffff");
    assert_eq!(networks(&[annotated]), [owned(lb), owned(other)].into());
}

#[test]
fn nothing_is_known() {
    let known = Known::of_store(&config(), Ok(None), &epoch());
    assert_eq!((known.told.clone(), known.unknown.clone()), (Told::Nothing, vec!["home".to_owned()]));
    let found = prefixes::check(&known);
    provoked(&found, Check::Prefix, Level::Ok, "The file fixes the prefix 2001:db8:f::/48 for fixed.");
    let text = provoked(&found, Check::Prefix, Level::Unseen, "the daemon does not run, and has stored none.");
    assert!(text.contains("Start the daemon"), "{text}");
    let known = Known::of_store(&config(), Err("we cannot read it".to_owned()), &epoch());
    let text = provoked(&prefixes::check(&known), Check::Prefix, Level::Unseen, "known for home: we cannot read it.");
    assert!(text.contains("Run this as root"), "{text}");
}
