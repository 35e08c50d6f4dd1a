//! The objects of a cluster, cut to the few parts that a decision needs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::selector::Clientele;
use super::service::{self, Service};
use crate::config::{Kind, ObjectRef};

mod observed;

pub use observed::{Observed, Sight, holds, metallb_count, sight};

/// The prefix of every annotation of ours.
const OURS: &str = "dynamic-prefix.io/";

/// Says which daemon writes the object.
pub const MANAGED_BY: &str = "dynamic-prefix.io/managed-by";

/// The name under which our writes stand in `metadata.managedFields`.
pub const FIELD_MANAGER: &str = "dyn-prefix";

/// The marks of GitOps tools and of Helm: they tell whose object it is, for the hint in a contested one.
const FOREIGN_MARKS: [&str; 4] =
    ["argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/", "meta.helm.sh/"];

/// The API version that each kind is to be used in ("v2", "v2alpha1", "v1beta1"); a kind that is absent is not served.
pub type Served = BTreeMap<Kind, String>;

/// One object, cut to what we need.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its name.
    pub reference: ObjectRef,
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.resourceVersion`
    pub resource_version: String,
    /// `metadata.generation`: counts the changes of `spec`.
    pub generation: Option<i64>,
    /// Our annotations and the marks of GitOps tools; of a Service also those that its addresses depend on.
    pub annotations: BTreeMap<String, String>,
    /// Labels that tell which tool an object comes from.
    pub labels: BTreeMap<String, String>,
    /// `spec.blocks`, `spec.externalCIDRs` or `spec.addresses`, as it stands.
    pub list: Vec<Value>,
    /// The field managers that own the list; of a Service, one of the annotations that we write.
    pub writers: Vec<Writer>,
    /// What the controller of a pool says about it; `None` if it says nothing, and for other kinds.
    pub observed: Option<Observed>,
    /// The Services that a pool serves; `None`: all.
    pub clientele: Option<Box<Clientele>>,
    /// What else there is of a Service; `None` for other kinds.
    pub service: Option<Box<Service>>,
}

/// An entry of `metadata.managedFields` that owns the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// `manager`
    pub manager: String,
    /// `operation`: "Apply" or "Update".
    pub operation: String,
    /// `time` as the API server wrote it (RFC 3339 in UTC, so it sorts as text).
    pub time: Option<String>,
}

impl Object {
    /// Cuts `value`, an object of `kind` as the API server sends it.
    ///
    /// # Errors
    /// Names the part of `metadata` without which the object cannot be used.
    pub fn from_json(kind: Kind, value: &Value) -> Result<Self, String> {
        let metadata = &value["metadata"];
        let text = |key: &str| {
            metadata[key].as_str().map(str::to_owned).ok_or_else(|| {
                format!("an object of kind {} that the API server sent has no metadata.{key}", kind.as_str())
            })
        };
        let keep = if kind == Kind::Service { service::keeps } else { is_mark };
        let annotations = strings(&metadata["annotations"], keep);
        let namespace = kind.is_namespaced().then(|| text("namespace")).transpose()?;
        Ok(Self {
            reference: ObjectRef { kind, namespace, name: text("name")? },
            uid: text("uid")?,
            resource_version: text("resourceVersion")?,
            generation: metadata["generation"].as_i64(),
            labels: strings(&metadata["labels"], is_mark_label),
            list: value["spec"][list_field(kind)].as_array().cloned().unwrap_or_default(),
            writers: writers(kind, &metadata["managedFields"]),
            observed: observed::observed(kind, value),
            clientele: Clientele::from_json(kind, &value["spec"]).map(Box::new),
            service: (kind == Kind::Service).then(|| Box::new(Service::from_json(value, &annotations))),
            annotations,
        })
    }

    /// Whether it is one of those that we care for: a Service of another type has no addresses of a pool.
    pub fn is_in_scope(&self) -> bool {
        self.service.as_ref().is_none_or(|service| service.is_load_balancer)
    }

    /// Whether `other` differs in nothing but its version: in nothing that we care for.
    pub fn is_like(&self, other: &Self) -> bool {
        let Self {
            reference,
            uid,
            resource_version: _,
            generation,
            annotations,
            labels,
            list,
            writers,
            observed,
            clientele,
            service,
        } = self;
        (reference, uid, generation, list) == (&other.reference, &other.uid, &other.generation, &other.list)
            && (annotations, labels, writers) == (&other.annotations, &other.labels, &other.writers)
            && (observed, clientele, service) == (&other.observed, &other.clientele, &other.service)
    }

    /// The field manager that wrote the list last, other than we.
    pub fn last_other_writer(&self) -> Option<&str> {
        let others = self.writers.iter().filter(|writer| writer.manager != FIELD_MANAGER);
        others.max_by(|a, b| a.time.cmp(&b.time)).map(|writer| writer.manager.as_str())
    }
}

/// Group, version and plural of a kind's resource.
pub const fn resource(kind: Kind, version: &str) -> (&'static str, &str, &'static str) {
    match kind {
        Kind::CiliumLoadBalancerIPPool => ("cilium.io", version, "ciliumloadbalancerippools"),
        Kind::CiliumCIDRGroup => ("cilium.io", version, "ciliumcidrgroups"),
        Kind::IPAddressPool => ("metallb.io", version, "ipaddresspools"),
        Kind::Service => ("", version, "services"),
    }
}

/// Plural and group of a kind's resource, as people write it ("ipaddresspools.metallb.io", "services"); also the name of
/// its CustomResourceDefinition.
pub fn qualified(kind: Kind) -> String {
    match resource(kind, "") {
        ("", _, plural) => plural.to_owned(),
        (group, _, plural) => format!("{plural}.{group}"),
    }
}

/// The field of `spec` that holds the list.
pub const fn list_field(kind: Kind) -> &'static str {
    match kind {
        Kind::CiliumLoadBalancerIPPool => "blocks",
        // It has none: what we write on a Service is in its annotations (`service`).
        Kind::Service => "",
        Kind::CiliumCIDRGroup => "externalCIDRs",
        Kind::IPAddressPool => "addresses",
    }
}

/// The annotation that records which entries of the list are ours.
pub const fn record_annotation(kind: Kind) -> &'static str {
    match kind {
        Kind::CiliumLoadBalancerIPPool => "dynamic-prefix.io/managed-blocks",
        Kind::CiliumCIDRGroup => "dynamic-prefix.io/managed-cidrs",
        Kind::IPAddressPool => "dynamic-prefix.io/managed-addresses",
        Kind::Service => service::MANAGED_IPS,
    }
}

fn strings(map: &Value, keep: fn(&str) -> bool) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flatten();
    entries
        .filter(|(key, _)| keep(key))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Whether an annotation is ours or a mark of a GitOps tool.
pub(super) fn is_mark(key: &str) -> bool {
    key.starts_with(OURS) || FOREIGN_MARKS.iter().any(|prefix| key.starts_with(prefix))
}

fn is_mark_label(key: &str) -> bool {
    matches!(key, "app.kubernetes.io/managed-by" | "app.kubernetes.io/instance")
        || FOREIGN_MARKS.iter().any(|prefix| key.starts_with(prefix))
}

fn writers(kind: Kind, managed_fields: &Value) -> Vec<Writer> {
    let list = format!("f:{}", list_field(kind));
    let owns = |fields: &Value| match kind {
        Kind::Service => {
            let annotations = fields["f:metadata"]["f:annotations"].as_object().into_iter().flatten();
            annotations.filter_map(|(key, _)| key.strip_prefix("f:")).any(service::is_written)
        }
        Kind::CiliumLoadBalancerIPPool | Kind::CiliumCIDRGroup | Kind::IPAddressPool => {
            fields["f:spec"].get(&list).is_some()
        }
    };
    let entries = managed_fields.as_array().into_iter().flatten();
    entries
        .filter(|entry| owns(&entry["fieldsV1"]))
        .map(|entry| Writer {
            manager: entry["manager"].as_str().unwrap_or_default().to_owned(),
            operation: entry["operation"].as_str().unwrap_or_default().to_owned(),
            time: entry["time"].as_str().map(str::to_owned),
        })
        .collect()
}

#[cfg(test)]
mod tests;
