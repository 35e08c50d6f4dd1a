//! One cluster: the way to it, what the account may do, and the objects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::Ipv6Net;
use jiff::Timestamp;
use serde_json::Value;

use super::reading::{Account, File};
use super::{Check, Finding, reading};
use crate::cluster::Validity;
use crate::cluster::access::Missing;
use crate::cluster::failure::Failure;
use crate::cluster::kubeconfig::Unusable;
use crate::cluster::object::{Object, Served};
use crate::cluster::schema::Schema;
use crate::config::{Binding, Cluster, Kind, Service};

mod announcement;
mod connection;
mod dns;
mod external_dns;
mod kinds;
mod objects;

/// What is known of a cluster.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its entry in the file.
    pub cluster: Cluster,
    /// The bindings for it.
    pub bindings: Vec<Binding>,
    /// The `[[service]]` entries for it.
    pub services: Vec<Service>,
    /// Who we are in `managed-by`.
    pub daemon_id: String,
    /// The prefixes in use and the ones that drain, by DynamicPrefix, as far as they are known.
    pub prefixes: Vec<(String, Ipv6Net)>,
    /// The DynamicPrefixes of the file of which no prefix is known.
    pub unknown: Vec<String>,
    /// The longest `drainPeriodMinutes`, in seconds; `None`: one has no limit.
    pub drain_seconds: Option<u64>,
    /// What our clock says.
    pub now: Timestamp,
    /// Who the daemon is on this host; `None`: that is not known.
    pub account: Option<Account>,
    /// The kubeconfig and the files that it names, as far as they are there.
    pub files: Vec<File>,
    /// How far one gets.
    pub connection: Connection,
}

/// How far one gets.
#[derive(Clone, Debug)]
pub enum Connection {
    /// The kubeconfig cannot be used.
    Unusable(Unusable),
    /// It can be.
    Made {
        /// The URL of the API server.
        url: String,
        /// The addresses of its host.
        addresses: Vec<IpAddr>,
        /// From when until when the credentials are valid, as far as they say.
        validity: Option<Validity>,
        /// What the server says, or why it does not.
        answer: Result<Box<Seen>, Failure>,
    },
}

/// What a server that answers shows.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `gitVersion`; empty when it keeps that to itself.
    pub version: String,
    /// Its clock.
    pub date: Option<Timestamp>,
    /// Our kinds, with the versions to be used.
    pub served: Served,
    /// The API groups it serves, or why they could not be read.
    pub groups: Result<BTreeSet<String>, String>,
    /// Whether the kind DynamicPrefix is served, or why that could not be asked; `None`: `publishStatus` is off.
    pub mirrors: Option<Result<bool, String>>,
    /// Which Cilium there is, where that matters.
    pub schema: Option<Schema>,
    /// How many rights are needed, and those that are missing; or why that could not be asked.
    pub rights: Option<Result<(usize, Vec<Missing>), String>>,
    /// The objects of each kind that is served; or why they could not be read.
    pub objects: BTreeMap<Kind, Result<Vec<Object>, String>>,
    /// The Services of type LoadBalancer as they are.
    pub services: Vec<Value>,
    /// The IPAddressPools as they are.
    pub metallb_pools: Vec<Value>,
    /// Who announces addresses, by plural and group; or why that could not be read. What is not served is absent.
    pub announcers: BTreeMap<Announcer, Result<Vec<Value>, String>>,
    /// The Deployments that run external-dns, by their name or label; or why they could not be read.
    pub external_dns: Result<Vec<Value>, String>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            version: String::new(),
            date: None,
            served: Served::default(),
            groups: Ok(BTreeSet::new()),
            mirrors: None,
            schema: None,
            rights: None,
            objects: BTreeMap::new(),
            services: Vec::new(),
            metallb_pools: Vec::new(),
            announcers: BTreeMap::new(),
            external_dns: Ok(Vec::new()),
        }
    }
}

/// A kind that tells the network of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Announcer {
    /// Cilium, by answering neighbour solicitations.
    CiliumL2,
    /// Cilium, by BGP.
    CiliumBgp,
    /// MetalLB, by answering neighbour solicitations.
    MetalLbL2,
    /// MetalLB, by BGP.
    MetalLbBgp,
}

impl Announcer {
    /// All.
    pub const ALL: [Self; 4] = [Self::CiliumL2, Self::CiliumBgp, Self::MetalLbL2, Self::MetalLbBgp];

    /// Group, versions (best first) and plural.
    pub const fn resource(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Self::CiliumL2 => ("cilium.io", &["v2alpha1"], "ciliuml2announcementpolicies"),
            Self::CiliumBgp => ("cilium.io", &["v2", "v2alpha1"], "ciliumbgpadvertisements"),
            Self::MetalLbL2 => ("metallb.io", &["v1beta1"], "l2advertisements"),
            Self::MetalLbBgp => ("metallb.io", &["v1beta1"], "bgpadvertisements"),
        }
    }

    /// Whether it is a kind of MetalLB.
    pub const fn is_of_metallb(self) -> bool {
        matches!(self, Self::MetalLbL2 | Self::MetalLbBgp)
    }

    /// The Kubernetes kind.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::CiliumL2 => "CiliumL2AnnouncementPolicy",
            Self::CiliumBgp => "CiliumBGPAdvertisement",
            Self::MetalLbL2 => "L2Advertisement",
            Self::MetalLbBgp => "BGPAdvertisement",
        }
    }
}

/// Looks at a cluster.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = connection::check(facts);
    if let Connection::Made { answer: Ok(seen), .. } = &facts.connection {
        found.extend(kinds::check(facts, seen));
        found.extend(objects::check(facts, seen));
        found.extend(announcement::check(facts, seen));
        found.extend(dns::check(facts, seen));
        found.extend(external_dns::check(facts, seen));
    }
    found
}

/// The addresses of a Service.
pub fn addresses(service: &Value) -> impl Iterator<Item = IpAddr> {
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten();
    ingress.filter_map(|entry| entry["ip"].as_str()?.parse().ok())
}

/// `namespace/name`
fn name(object: &Value) -> String {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

impl Facts {
    /// The files that the daemon cannot read, whatever we can.
    fn unreadable(&self) -> Vec<Finding> {
        self.account.as_ref().map_or_else(Vec::new, |account| reading::check(Check::Credentials, account, &self.files))
    }

    fn has_bindings_of(&self, kind: Kind) -> bool {
        self.bindings.iter().any(|binding| binding.target.kind == kind)
    }

    /// The DynamicPrefix that an address lies in.
    fn prefix_of(&self, address: IpAddr) -> Option<&str> {
        let IpAddr::V6(address) = address else { return None };
        self.prefixes.iter().find(|(_, prefix)| prefix.contains(&address)).map(|(name, _)| name.as_str())
    }

    /// The Services that hold an address of ours.
    fn holders<'a>(&'a self, seen: &'a Seen) -> impl Iterator<Item = &'a Value> {
        seen.services.iter().filter(|service| addresses(service).any(|address| self.prefix_of(address).is_some()))
    }
}
