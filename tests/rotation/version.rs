//! One version of a Service, as far as the monitor cares.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde_json::Value;

use crate::external_dns::{PREFIXES, Records, records};
use crate::lab::{condition, ingress};

/// What the Service asks LB-IPAM for.
pub(crate) const CILIUM_IPS: &str = "lbipam.cilium.io/ips";
/// What it asks MetalLB for.
pub(crate) const METALLB_IPS: &str = "metallb.io/loadBalancerIPs";

/// A version of a Service.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// NAMESPACE/NAME
    pub(crate) name: String,
    /// metadata.uid
    pub(crate) uid: String,
    /// Whether it is the last one.
    pub(crate) deleted: bool,
    /// metadata.resourceVersion
    pub(crate) number: String,
    /// metadata.annotations
    pub(crate) annotations: BTreeMap<String, String>,
    /// The addresses in its status.
    pub(crate) ingress: BTreeSet<IpAddr>,
    /// Its names, and what each is to answer, by annotation prefix.
    pub(crate) told: [(Vec<String>, Records); 2],
    /// What LB-IPAM says of its wishes.
    satisfied: String,
}

impl Version {
    /// That of a watch event.
    pub(crate) fn of(event: &Value) -> Self {
        let object = &event["object"];
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let annotations = metadata["annotations"].as_object().into_iter().flatten();
        let satisfied = condition(object, "cilium.io/IPAMRequestSatisfied");
        let satisfied = satisfied.map(|found| format!("{}/{}", text(&found["status"]), text(&found["reason"])));
        Self {
            name: format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"])),
            uid: text(&metadata["uid"]),
            deleted: event["type"] == "DELETED",
            number: text(&metadata["resourceVersion"]),
            annotations: annotations.map(|(key, value)| (key.clone(), text(value))).collect(),
            ingress: ingress(object).into_iter().filter_map(|address| address.parse().ok()).collect(),
            told: PREFIXES.map(|prefix| records(object, prefix)),
            satisfied: satisfied.unwrap_or_default(),
        }
    }

    /// The IPv6 addresses in its status.
    pub(crate) fn held(&self) -> BTreeSet<Ipv6Addr> {
        let v6 = |address: &IpAddr| if let IpAddr::V6(address) = address { Some(*address) } else { None };
        self.ingress.iter().filter_map(v6).collect()
    }

    /// Whether it has an IPv4 address.
    pub(crate) fn has_ipv4(&self) -> bool {
        self.ingress.iter().any(IpAddr::is_ipv4)
    }

    /// The IPv6 addresses that any of its names is to answer.
    pub(crate) fn named(&self) -> BTreeSet<Ipv6Addr> {
        let of_names = self.told.iter().filter(|(names, _)| !names.is_empty());
        of_names.flat_map(|(_, records)| records.aaaa.iter().copied()).collect()
    }

    /// Why LB-IPAM does not give it what it asks for.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.satisfied.strip_prefix("False/").filter(|_| !self.asked().is_empty())
    }

    /// An annotation's value.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    /// The entries of a comma list in an annotation.
    pub(crate) fn list(&self, key: &str) -> Vec<&str> {
        let list = self.annotation(key).unwrap_or_default();
        list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect()
    }

    /// What is asked for, of either allocator.
    pub(crate) fn asked(&self) -> Vec<&str> {
        [CILIUM_IPS, METALLB_IPS].into_iter().flat_map(|key| self.list(key)).collect()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.ingress.iter().map(IpAddr::to_string).collect::<Vec<_>>();
        write!(f, "{} version {}", self.name, self.number)?;
        if self.deleted {
            write!(f, " (deleted)")?;
        }
        write!(f, ": has {} ({}), asks for {}", addresses.join(","), self.satisfied, self.asked().join(","))?;
        for (prefix, _) in PREFIXES.iter().zip(&self.told) {
            let target = self.annotation(&format!("{prefix}target")).unwrap_or("-");
            write!(f, ", {}target {target}", if *prefix == PREFIXES[0] { "" } else { "alpha " })?;
        }
        let recorded = ["managed-ips", "managed-targets", "managed-suffix"];
        let recorded = recorded.map(|key| self.annotation(&format!("dynamic-prefix.io/{key}")).unwrap_or("-"));
        write!(f, "; recorded {}", recorded.join(" "))
    }
}
