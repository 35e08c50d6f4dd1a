//! What the account of the daemon must be allowed to do in a cluster, by the configuration, and why.
//!
//! [`needs`] is the one table: the role that `dyn-prefix rbac` prints and `dyn-prefix join` applies is made of it, and
//! whoever wants to know whether an account will do asks the API server for each line of it. What every account may do
//! anyway (reading /version and what is served) is not in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::mirror;
use crate::cluster::object::{qualified, resource};
use crate::config::{Cluster, Config, Discovery, Kind, Mode, ServiceScope};

pub mod kubeconfig;
pub mod manifest;
pub mod server;
mod yaml;

/// Rights on one kind of resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Where they are needed.
    pub place: Place,
    /// The API group; the core group has no name.
    pub group: &'static str,
    /// The resource, in the plural.
    pub resource: &'static str,
    /// The objects (`resourceNames`); empty: all. The daemon then lists and watches each with
    /// `fieldSelector=metadata.name=NAME`, without which a role that names objects does not allow it.
    pub names: Vec<String>,
    /// What is to be done with them, as RBAC calls it.
    pub verbs: Vec<&'static str>,
    /// What for: a full sentence.
    pub reason: &'static str,
    /// What does not work without them: a full sentence.
    pub without: &'static str,
}

/// Where rights are needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the whole cluster: a ClusterRole.
    Cluster,
    /// In a namespace: a Role there.
    Namespace(String),
}

impl Place {
    /// The namespace, if it is one.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Cluster => None,
            Self::Namespace(namespace) => Some(namespace),
        }
    }
}

const LOOK: [&str; 2] = ["list", "watch"];
const PATCH: &str = "patch";

/// What the daemon needs in a cluster, and nothing else. Another feature that asks something of the API server has its
/// line here.
pub fn needs(config: &Config, cluster: &Cluster) -> Vec<Need> {
    let found = Bound::of(config, cluster);
    let whole = match cluster.discovery {
        Discovery::Default | Discovery::Required => by_annotation(),
        Discovery::Off => found.by_name(),
    };
    let mut needs: Vec<Need> = whole.into_iter().chain(definitions(cluster, &found)).collect();
    if cluster.dry_run {
        needs.iter_mut().for_each(|need| need.verbs.retain(|verb| *verb != PATCH));
        needs.retain(|need| !need.verbs.is_empty());
        return needs;
    }
    if cluster.events {
        needs.extend(events(cluster, &found));
    }
    if cluster.publish_status {
        needs.extend(mirrors());
    }
    needs
}

/// Kubernetes events live in the namespace of what they are about, and in `default` when that has none.
fn events(cluster: &Cluster, found: &Bound) -> Vec<Need> {
    let places: BTreeSet<Place> = match cluster.discovery {
        Discovery::Default | Discovery::Required => [Place::Cluster].into(),
        Discovery::Off if found.all_services => [Place::Cluster].into(),
        Discovery::Off => found.namespaces().map(|namespace| Place::Namespace(namespace.to_owned())).collect(),
    };
    let need = |place| Need {
        place,
        group: "events.k8s.io",
        resource: EVENTS,
        names: Vec::new(),
        verbs: vec!["create", PATCH],
        reason: "Kubernetes events: to tell on the objects what was written there, and that it is so again.",
        without: "No events are sent, and a note says so; with events = false there is none.",
    };
    places.into_iter().map(need).collect()
}

/// The resource of Kubernetes events, and that of our own kind.
const EVENTS: &str = "events";
const MIRRORS: &str = "dynamicprefixes";

/// `publishStatus`: our objects of kind DynamicPrefix.
fn mirrors() -> [Need; 2] {
    let need = |resource, verbs, reason| Need {
        place: Place::Cluster,
        group: "dyn-prefix.io",
        resource,
        names: Vec::new(),
        verbs,
        reason,
        without: "The cluster does not say what the prefixes are.",
    };
    [
        need(
            MIRRORS,
            vec!["get", "create", PATCH, "delete"],
            "The objects of publishStatus: to keep one for each dynamicPrefix, and to delete those of the daemon's own that \
             are not wanted any more.",
        ),
        need("dynamicprefixes/status", vec![PATCH], "The same: to write what `kubectl get` shows of them."),
    ]
}

/// What an account with these rights makes and deletes, and what it never reads: a sentence.
pub fn boundaries(needs: &[Need]) -> String {
    let has = |resource: &str| needs.iter().any(|need| need.resource == resource);
    let makes = match (has(EVENTS), has(MIRRORS)) {
        (false, false) => "It creates and deletes nothing",
        (true, false) => "It creates nothing but events, deletes nothing",
        (false, true) => "It creates and deletes nothing but its own DynamicPrefix objects",
        (true, true) => {
            "It creates nothing but events and its own DynamicPrefix objects, deletes nothing but the latter"
        }
    };
    format!("{makes}, and reads neither Secrets nor Pods.")
}

/// With discovery any object may carry an annotation of ours.
fn by_annotation() -> Vec<Need> {
    let targets = Kind::TARGETS.map(|kind| {
        let verbs = LOOK.into_iter().chain([PATCH]).collect();
        of_kind(kind, Place::Cluster, Vec::new(), verbs, target_reason(kind), target_without(kind))
    });
    targets.into_iter().chain([services(true)]).collect()
}

const fn target_reason(kind: Kind) -> &'static str {
    match kind {
        Kind::CiliumLoadBalancerIPPool => {
            "Pools of Cilium: to find those with our annotations, to notice what others change, and to write spec.blocks."
        }
        Kind::CiliumCIDRGroup => {
            "CIDR groups of Cilium: to find those with our annotations, to notice what others change, and to write \
             spec.externalCIDRs."
        }
        Kind::IPAddressPool => {
            "Pools of MetalLB: to find those with our annotations, to notice what others change, and to write \
             spec.addresses. They may be in any namespace that MetalLB was installed in."
        }
        Kind::Service => SERVICES,
    }
}

const fn target_without(kind: Kind) -> &'static str {
    match kind {
        Kind::CiliumLoadBalancerIPPool | Kind::CiliumCIDRGroup => {
            "They do not follow the prefix. It may be left out in a cluster without Cilium."
        }
        Kind::IPAddressPool => "They do not follow the prefix. It may be left out in a cluster without MetalLB.",
        Kind::Service => UNMANAGED,
    }
}

const SERVICES: &str = "Services of type LoadBalancer: to know the addresses in use, to which a draining range is narrowed, \
                        and to write on those that are managed the addresses they ask for and the ones that DNS names.";
const UNMANAGED: &str = "Draining ranges stay in the pools in full, and no Service follows the prefix. With list and watch \
                         alone the addresses in use are known, and Services are not written.";
const IN_USE: &str =
    "Services of type LoadBalancer: to know the addresses in use, to which a draining range is narrowed.";
const NOT_IN_USE: &str = "Draining ranges stay in the pools in full, and no Service is managed.";

/// Services of all namespaces, and whether those are written.
fn services(are_written: bool) -> Need {
    let verbs = LOOK.into_iter().chain(are_written.then_some(PATCH)).collect();
    let (reason, without) = if are_written { (SERVICES, UNMANAGED) } else { (IN_USE, NOT_IN_USE) };
    of_kind(Kind::Service, Place::Cluster, Vec::new(), verbs, reason, without)
}

fn of_kind(
    kind: Kind,
    place: Place,
    names: Vec<String>,
    verbs: Vec<&'static str>,
    reason: &'static str,
    without: &'static str,
) -> Need {
    let (group, _, resource) = resource(kind, "");
    Need { place, group, resource, names, verbs, reason, without }
}

/// What the file names in a cluster.
struct Bound {
    /// The names of the targets, by kind and namespace.
    targets: BTreeMap<(Kind, Option<String>), BTreeSet<String>>,
    /// The names of the `[[service]]`, by namespace.
    services: BTreeMap<String, BTreeSet<String>>,
    /// Whether every Service with an address of ours is managed (`transition.services = "all"`).
    all_services: bool,
}

impl Bound {
    fn of(config: &Config, cluster: &Cluster) -> Self {
        let mut found = Self { targets: BTreeMap::new(), services: BTreeMap::new(), all_services: false };
        for binding in config.bindings.iter().filter(|binding| binding.cluster == cluster.name) {
            let target = &binding.target;
            let names = found.targets.entry((target.kind, target.namespace.clone())).or_default();
            names.insert(target.name.clone());
            let prefix = config.dynamic_prefixes.iter().find(|prefix| prefix.name == binding.dynamic_prefix);
            let transition = prefix.map(|prefix| prefix.transition);
            let is_all = transition.is_some_and(|it| it.mode == Mode::Ha && it.services == ServiceScope::All);
            found.all_services |= is_all && target.kind.is_pool();
        }
        for service in config.services.iter().filter(|service| service.cluster == cluster.name) {
            let namespace = service.target.namespace.clone().unwrap_or_default();
            found.services.entry(namespace).or_default().insert(service.target.name.clone());
        }
        found
    }

    /// Where the events about these objects are.
    fn namespaces(&self) -> impl Iterator<Item = &str> {
        let targets = self.targets.keys().map(|(_, namespace)| namespace.as_deref().unwrap_or("default"));
        targets.chain(self.services.keys().map(String::as_str))
    }

    fn by_name(&self) -> Vec<Need> {
        let targets = self.targets.iter().map(|((kind, namespace), names)| {
            let place = namespace.clone().map_or(Place::Cluster, Place::Namespace);
            let verbs = LOOK.into_iter().chain([PATCH]).collect();
            let reason = "The targets of [[binding]]: to notice what others change in them, and to write our ranges.";
            of_kind(*kind, place, list(names), verbs, reason, "They do not follow the prefix.")
        });
        let has_pool = self.targets.keys().any(|(kind, _)| kind.is_pool());
        let looks = (has_pool || !self.services.is_empty()).then(|| services(self.all_services));
        let written = if self.all_services { None } else { Some(&self.services) };
        let written = written.into_iter().flatten().map(|(namespace, names)| {
            let place = Place::Namespace(namespace.clone());
            let reason =
                "The Services of [[service]]: to write the addresses they ask for and the ones that DNS names.";
            of_kind(Kind::Service, place, list(names), vec![PATCH], reason, "They do not follow the prefix.")
        });
        targets.chain(looks).chain(written).collect()
    }
}

fn list(names: &BTreeSet<String>) -> Vec<String> {
    names.iter().cloned().collect()
}

/// The CustomResourceDefinitions of the kinds that are looked for.
fn definitions(cluster: &Cluster, found: &Bound) -> Option<Need> {
    let is_looked_for = |kind: &Kind| match cluster.discovery {
        Discovery::Default | Discovery::Required => true,
        Discovery::Off => found.targets.keys().any(|(bound, _)| bound == kind),
    };
    let own = (cluster.publish_status && !cluster.dry_run).then(|| mirror::DEFINITION.to_owned());
    let names: Vec<String> = Kind::TARGETS.into_iter().filter(is_looked_for).map(qualified).chain(own).collect();
    (!names.is_empty()).then(|| Need {
        place: Place::Cluster,
        group: "apiextensions.k8s.io",
        resource: "customresourcedefinitions",
        names,
        verbs: LOOK.to_vec(),
        reason: "The definitions of these kinds: to know the version of Cilium, and to notice a kind that is installed \
                 while the daemon runs.",
        without: "Draining ranges stay in the pools of Cilium in full, and a kind that is installed later is noticed \
                  within a minute, or within five when no binding names it.",
    })
}

#[cfg(test)]
mod tests;
