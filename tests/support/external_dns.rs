//! A model of external-dns: which records it makes of Services, and when.
//!
//! The rules are those that external-dns 0.23 was seen to follow (`tests/rotation` holds the model against the real
//! program): of one annotation prefix it reads `hostname`, `target` and `controller`; a target takes the place of the
//! addresses in the status as a whole; each entry is typed by what it parses as; a name beside addresses is dropped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The annotation prefixes: the default of external-dns, and that of the releases before 0.22.
pub(crate) const PREFIXES: [&str; 2] = ["external-dns.kubernetes.io/", "external-dns.alpha.kubernetes.io/"];
/// How long the real one takes from a Service's event to the record: 5.8 to 6.0 s, every time.
pub(crate) const DELAY: Duration = Duration::from_secs(6);

/// What one name answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    /// A
    pub(crate) a: BTreeSet<Ipv4Addr>,
    /// AAAA
    pub(crate) aaaa: BTreeSet<Ipv6Addr>,
    /// CNAME
    pub(crate) cname: BTreeSet<String>,
}

impl Records {
    /// Whether the name does not exist.
    pub(crate) fn is_empty(&self) -> bool {
        self.a.is_empty() && self.aaaa.is_empty() && self.cname.is_empty()
    }

    fn add(&mut self, text: &str) {
        if let Ok(address) = text.parse() {
            self.a.insert(address);
        } else if let Ok(address) = text.parse() {
            self.aaaa.insert(address);
        } else {
            self.cname.insert(text.to_owned());
        }
    }

    fn merge(&mut self, other: Self) {
        self.a.extend(other.a);
        self.aaaa.extend(other.aaaa);
        self.cname.extend(other.cname);
        if !self.a.is_empty() || !self.aaaa.is_empty() {
            self.cname.clear();
        }
    }
}

/// All names with their records.
pub(crate) type Zone = BTreeMap<String, Records>;

/// The records of one Service for the external-dns that reads one annotation prefix: its names, and what each answers.
pub(crate) fn records(service: &Value, prefix: &str) -> (Vec<String>, Records) {
    let annotation = |key: &str| service["metadata"]["annotations"][format!("{prefix}{key}")].as_str();
    let foreign = annotation("controller").is_some_and(|controller| controller != "dns-controller");
    if foreign || service["spec"]["type"] != "LoadBalancer" {
        return (Vec::new(), Records::default());
    }
    let hostnames = entries(annotation("hostname").unwrap_or_default());
    let target = entries(annotation("target").unwrap_or_default());
    let external: Vec<String> = texts(&service["spec"]["externalIPs"]).map(str::to_owned).collect();
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array();
    let ingress = ingress.into_iter().flatten().flat_map(|entry| [&entry["ip"], &entry["hostname"]]);
    let ingress: Vec<String> = ingress.filter_map(Value::as_str).map(str::to_owned).collect();
    let chosen = [target, external, ingress].into_iter().find(|list| !list.is_empty()).unwrap_or_default();
    let mut found = Records::default();
    chosen.iter().for_each(|entry| found.add(entry));
    let mut merged = Records::default();
    merged.merge(found);
    (hostnames, merged)
}

/// The entries of a comma list, as external-dns reads it: no spaces anywhere, no dot at the end.
fn entries(list: &str) -> Vec<String> {
    let plain: String = list.chars().filter(|c| !c.is_whitespace()).collect();
    plain.split(',').map(|entry| entry.trim_end_matches('.').to_owned()).filter(|entry| !entry.is_empty()).collect()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// An external-dns with policy `sync` and its DNS server, told of every version of every Service.
#[derive(Debug)]
pub(crate) struct ExternalDns {
    prefix: &'static str,
    delay: Duration,
    services: BTreeMap<String, (Vec<String>, Records)>,
    coming: VecDeque<(Instant, Zone)>,
    answers: Zone,
}

impl ExternalDns {
    /// One that reads this annotation prefix, and is so slow.
    pub(crate) fn new(prefix: &'static str, delay: Duration) -> Self {
        Self { prefix, delay, services: BTreeMap::new(), coming: VecDeque::new(), answers: Zone::new() }
    }

    /// Takes in a watch event of a Service.
    pub(crate) fn observe(&mut self, at: Instant, event: &Value) {
        let object = &event["object"];
        let Some(uid) = object["metadata"]["uid"].as_str() else { return };
        if event["type"] == "DELETED" {
            self.services.remove(uid);
        } else {
            self.services.insert(uid.to_owned(), records(object, self.prefix));
        }
        let zone = self.told();
        self.coming.push_back((at + self.delay, zone));
    }

    /// What the Services say at this moment, before DNS knows it.
    pub(crate) fn told(&self) -> Zone {
        let mut zone = Zone::new();
        for (hostnames, records) in self.services.values().filter(|(_, records)| !records.is_empty()) {
            for hostname in hostnames {
                zone.entry(hostname.clone()).or_default().merge(records.clone());
            }
        }
        zone
    }

    /// What DNS answers.
    pub(crate) fn answers(&mut self, now: Instant) -> &Zone {
        while self.coming.front().is_some_and(|(at, _)| *at <= now) {
            self.answers = self.coming.pop_front().map(|(_, zone)| zone).unwrap_or_default();
        }
        &self.answers
    }
}
