//! The Services of the test: who they are, and what the monitor is to expect of them.

use std::net::Ipv6Addr;

use serde_json::{Map, Value, json};

use crate::external_dns::PREFIXES;
use crate::generations::Of;
use crate::lab::METALLB_CLASS;
use crate::version::CILIUM_IPS;

/// The list of the Services.
pub(crate) const SERVICES: &str = "/api/v1/namespaces/default/services";
/// The zone of their names.
pub(crate) const ZONE: &str = "lab.invalid";
/// The DynamicPrefix.
pub(crate) const NAME: &str = "home-ipv6";
/// The annotation that names the DynamicPrefix.
pub(crate) const NAME_KEY: &str = "dynamic-prefix.io/name";
/// The annotation with the host part.
pub(crate) const SUFFIX: &str = "dynamic-prefix.io/suffix";
/// What the user adds to a DNS target.
pub(crate) const SECOND_NAME: &str = "203.0.113.77";
/// The other DynamicPrefix, if there are two.
pub(crate) const SECOND: &str = "second-ipv6";
/// The label of the Services that the pool with a serviceSelector is for.
pub(crate) const TIER: &str = "tier";

/// Which Services the daemon manages, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Mode ha, for those that say so.
    Annotated,
    /// Mode ha, for every one that holds one of our addresses (`services = "all"`).
    All,
    /// Mode simple: those with a suffix ask for the current address only; DNS is left alone.
    Simple,
}

/// What the monitor is to expect of a Service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// Whether the daemon manages it.
    pub(crate) managed: bool,
    /// Whether the daemon says what its names answer; else it is the status, and DNS is late with whatever leaves that.
    pub(crate) named: bool,
    /// MetalLB, and mode simple: one IPv6 address, which switches.
    pub(crate) one_address: bool,
    /// The host part that the user wants. Until it has that it has what the allocator gives it.
    pub(crate) suffix: Option<Ipv6Addr>,
    /// Annotations of the user that stay as they are.
    pub(crate) annotations: Vec<(String, String)>,
    /// Entries of the user in lists that the daemon writes into.
    pub(crate) entries: Vec<(String, Vec<String>)>,
    /// What the user may write into a DNS target, or take out of it, at any moment.
    pub(crate) also_named: Option<&'static str>,
}

impl Expected {
    /// Whether the user has this entry in a DNS target.
    pub(crate) fn names(&self, entry: &str) -> bool {
        let targets = self.entries.iter().filter(|(key, _)| key.ends_with("/target"));
        targets.flat_map(|(_, entries)| entries).any(|own| own == entry) || self.also_named == Some(entry)
    }
}

/// What kind of Service it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By annotation, with a suffix.
    Suffix,
    /// The same, with an entry of the user in its DNS target.
    NamedByUser,
    /// By annotation with a range; its host part is that of its first address.
    Range,
    /// The same, with externalTrafficPolicy Local.
    Local,
    /// The same, and DNS is none of our business.
    NoDns,
    /// By a `[[service]]` entry.
    Entry,
    /// Managed with `services = "all"` only.
    Unpinned,
    /// By range, with an IPv4 address.
    Dual,
    /// By suffix, with an IPv4 address that the user asks for: that alone would get it no IPv6 address.
    DualOfUser,
    /// Two Services with one address.
    Shared,
    /// By suffix, from the pool with a serviceSelector.
    Dmz,
    /// By suffix in the second prefix, from a pool of its own.
    Second,
    /// The same, by range, with externalTrafficPolicy Local.
    SecondLocal,
    /// Two Services with one address of the second prefix.
    SecondShared,
    /// By suffix in the first prefix, from the pool that has both.
    BothFirst,
    /// By suffix in the second prefix, from that pool.
    BothSecond,
    /// Not managed, from that pool.
    BothUnpinned,
}

/// A Service.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Its place among those of its kind.
    index: u16,
    metallb: bool,
    /// Whether the user has changed its suffix.
    pub(crate) other_suffix: bool,
    /// Whether the user has written one more entry into its DNS targets.
    pub(crate) more_names: bool,
}

/// Which kinds there are, and how many of each: 40 Services. Of the last kinds of the list, some come later.
const CILIUM: [(Kind, u16); 11] = [
    (Kind::Suffix, 6),
    (Kind::NamedByUser, 2),
    (Kind::Range, 6),
    (Kind::Local, 2),
    (Kind::NoDns, 1),
    (Kind::Entry, 2),
    (Kind::Unpinned, 8),
    (Kind::Dual, 5),
    (Kind::DualOfUser, 2),
    (Kind::Shared, 4),
    (Kind::Dmz, 2),
];

/// Of two DynamicPrefixes.
const TWO: [(Kind, u16); 12] = [
    (Kind::Suffix, 3),
    (Kind::NamedByUser, 1),
    (Kind::Local, 1),
    (Kind::Shared, 2),
    (Kind::Dmz, 1),
    (Kind::Unpinned, 2),
    (Kind::Second, 3),
    (Kind::SecondLocal, 2),
    (Kind::SecondShared, 2),
    (Kind::BothFirst, 2),
    (Kind::BothSecond, 2),
    (Kind::BothUnpinned, 3),
];

const METALLB: [(Kind, u16); 5] =
    [(Kind::Suffix, 3), (Kind::Range, 3), (Kind::Unpinned, 3), (Kind::Dual, 4), (Kind::Entry, 1)];

/// The 40 Services of the scene with Cilium.
pub(crate) fn of_cilium() -> Vec<Front> {
    fronts(&CILIUM, false)
}

/// The Services of the scene with two DynamicPrefixes.
pub(crate) fn of_two() -> Vec<Front> {
    fronts(&TWO, false)
}

/// The Services of the scene with MetalLB.
pub(crate) fn of_metallb() -> Vec<Front> {
    fronts(&METALLB, true)
}

fn fronts(kinds: &[(Kind, u16)], metallb: bool) -> Vec<Front> {
    let of_kind = |&(kind, count): &(Kind, u16)| (0..count).map(move |index| Front::new(kind, index, metallb));
    kinds.iter().flat_map(of_kind).collect()
}

impl Front {
    /// The Service of a kind with this number.
    pub(crate) fn new(kind: Kind, index: u16, metallb: bool) -> Self {
        let name = format!("{kind:?}-{index}").to_lowercase();
        Self { name, kind, index, metallb, other_suffix: false, more_names: false }
    }

    /// NAMESPACE/NAME
    pub(crate) fn key(&self) -> String {
        format!("default/{}", self.name)
    }

    /// Which DynamicPrefix it follows, if it is managed.
    pub(crate) fn of(&self) -> Of {
        let is_second = matches!(self.kind, Kind::Second | Kind::SecondLocal | Kind::SecondShared | Kind::BothSecond);
        if is_second { Of::Second } else { Of::First }
    }

    /// The range that it names.
    fn range(&self) -> &'static str {
        match self.tier() {
            "dmz" => "dmz",
            "both" => "both",
            _ => "lb",
        }
    }

    /// Its label.
    fn tier(&self) -> &'static str {
        match self.kind {
            Kind::Dmz => "dmz",
            Kind::Second | Kind::SecondLocal | Kind::SecondShared => "second",
            Kind::BothFirst | Kind::BothSecond | Kind::BothUnpinned => "both",
            Kind::Suffix
            | Kind::NamedByUser
            | Kind::Range
            | Kind::Local
            | Kind::NoDns
            | Kind::Entry
            | Kind::Unpinned
            | Kind::Dual
            | Kind::DualOfUser
            | Kind::Shared => "public",
        }
    }

    fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::Shared | Kind::SecondShared)
    }

    /// Whether the user changes it while it lives.
    pub(crate) fn is_edited(&self) -> bool {
        self.kind == Kind::NamedByUser || self.other_suffix
    }

    /// The path of the object.
    pub(crate) fn path(&self) -> String {
        format!("{SERVICES}/{}", self.name)
    }

    /// The name in DNS.
    pub(crate) fn hostname(&self) -> String {
        format!("{}.{ZONE}", self.name)
    }

    /// Whether the daemon is to manage it.
    pub(crate) fn is_managed(&self, scope: Scope) -> bool {
        match scope {
            Scope::Annotated => !matches!(self.kind, Kind::Unpinned | Kind::BothUnpinned),
            Scope::All => true,
            Scope::Simple => self.suffix().is_some(),
        }
    }

    /// Whether its names in DNS are for the daemon to say.
    pub(crate) fn is_named(&self, scope: Scope) -> bool {
        self.kind != Kind::NoDns && scope != Scope::Simple
    }

    /// Whether its address switches, for it can have one only.
    pub(crate) fn has_one_address(&self, scope: Scope) -> bool {
        self.metallb || scope == Scope::Simple
    }

    /// Its host part, if the user says it. They are far from each other: LB-IPAM hands out the smallest gap first, and
    /// what it gives to one Service must not be what another one is to ask for.
    pub(crate) fn suffix(&self) -> Option<String> {
        let low = match self.kind {
            Kind::Suffix | Kind::Second => 0x1000 + 0x400 * self.index,
            Kind::NamedByUser => 0x3000 + 0x400 * self.index,
            Kind::Entry => 0x4000 + 0x400 * self.index,
            // Both of a pair have the same.
            Kind::Shared | Kind::SecondShared => 0x5000 + 0x400 * (self.index / 2),
            Kind::DualOfUser => 0x6000 + 0x400 * self.index,
            Kind::Dmz => return Some(format!("::f002:0:0:{:x}", 0x1000 + 0x400 * self.index)),
            // Two prefixes: the same host parts would be no trouble, but others tell more.
            Kind::BothFirst => return Some(format!("::f004:0:0:{:x}", 0x1000 + 0x400 * self.index)),
            Kind::BothSecond => return Some(format!("::f004:0:0:{:x}", 0x5000 + 0x400 * self.index)),
            Kind::Range | Kind::Local | Kind::NoDns | Kind::Unpinned | Kind::Dual => return None,
            Kind::SecondLocal | Kind::BothUnpinned => return None,
        };
        Some(format!("::f000:0:0:{:x}", low + u16::from(self.other_suffix) * 0x200))
    }

    /// The annotations by which the user asks for our help, and others.
    fn annotations(&self) -> Vec<(String, String)> {
        let ours = |key: &str, value: &str| (format!("dynamic-prefix.io/{key}"), value.to_owned());
        let name = if self.of() == Of::Second { SECOND } else { NAME };
        let mut all = vec![("example.com/owner".to_owned(), "somebody, else".to_owned())];
        all.extend(PREFIXES.map(|prefix| (format!("{prefix}hostname"), self.hostname())));
        if !matches!(self.kind, Kind::Unpinned | Kind::BothUnpinned | Kind::Entry) {
            all.extend([ours("name", name), ours("service-address-range", self.range())]);
            all.extend(self.suffix().map(|suffix| ours("suffix", &suffix)));
        }
        if self.kind == Kind::NoDns {
            all.push(ours("skip-external-dns-update", "true"));
        }
        if self.is_shared() {
            let pair = format!("{}-pair-{}", self.tier(), self.index / 2);
            all.push(("lbipam.cilium.io/sharing-key".to_owned(), pair));
        }
        all
    }

    /// The entries of the user in lists that are ours, too.
    fn entries(&self) -> Vec<(String, Vec<String>)> {
        match self.kind {
            Kind::NamedByUser => {
                let mut all = vec!["203.0.113.9".to_owned()];
                if self.more_names {
                    all.insert(0, SECOND_NAME.to_owned());
                }
                PREFIXES.map(|prefix| (format!("{prefix}target"), all.clone())).to_vec()
            }
            Kind::DualOfUser => vec![(CILIUM_IPS.to_owned(), vec![format!("192.0.2.{}", 100 + self.index)])],
            Kind::Suffix
            | Kind::Range
            | Kind::Local
            | Kind::NoDns
            | Kind::Entry
            | Kind::Unpinned
            | Kind::Dual
            | Kind::Shared
            | Kind::Dmz
            | Kind::Second
            | Kind::SecondLocal
            | Kind::SecondShared
            | Kind::BothFirst
            | Kind::BothSecond
            | Kind::BothUnpinned => Vec::new(),
        }
    }

    /// The same while the user changes its suffix.
    pub(crate) fn expected_meanwhile(&self, scope: Scope) -> Expected {
        let mut expected = self.expected(scope);
        expected.annotations.retain(|(key, _)| key != SUFFIX);
        expected
    }

    /// What the monitor is to expect of it.
    pub(crate) fn expected(&self, scope: Scope) -> Expected {
        Expected {
            managed: self.is_managed(scope),
            named: self.is_managed(scope) && self.is_named(scope),
            one_address: self.has_one_address(scope),
            suffix: self.suffix().and_then(|suffix| suffix.parse().ok()),
            annotations: self.annotations(),
            entries: self.entries(),
            also_named: (self.kind == Kind::NamedByUser).then_some(SECOND_NAME),
        }
    }

    /// The object.
    pub(crate) fn object(&self) -> Value {
        let mut annotations: Map<String, Value> =
            self.annotations().into_iter().map(|(key, value)| (key, json!(value))).collect();
        annotations.extend(self.entries().into_iter().map(|(key, entries)| (key, json!(entries.join(",")))));
        let tier = self.tier();
        // The two of a pair need different ports.
        let port = 8000 + self.index;
        let mut spec = json!({
            "type": "LoadBalancer", "ports": [{"port": port}], "selector": {"app": self.name},
            "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"], "allocateLoadBalancerNodePorts": false,
        });
        if matches!(self.kind, Kind::Dual | Kind::DualOfUser) {
            spec["ipFamilyPolicy"] = json!("RequireDualStack");
            spec["ipFamilies"] = json!(["IPv6", "IPv4"]);
        }
        if matches!(self.kind, Kind::Local | Kind::SecondLocal) {
            spec["externalTrafficPolicy"] = json!("Local");
        }
        if self.metallb {
            spec["loadBalancerClass"] = json!(METALLB_CLASS);
        }
        json!({
            "apiVersion": "v1", "kind": "Service", "spec": spec,
            "metadata": {"name": self.name, "namespace": "default", "annotations": annotations, "labels": {TIER: tier}},
        })
    }

    /// The `[[service]]` entry, if it is one by that.
    pub(crate) fn entry(&self) -> String {
        if self.kind != Kind::Entry {
            return String::new();
        }
        let suffix = self.suffix().unwrap_or_default();
        format!(
            "\n[[service]]\nnamespace = \"default\"\nname = \"{}\"\nprefixRef = \"{NAME}/lb\"\nsuffix = \"{suffix}\"\n",
            self.name
        )
    }
}
