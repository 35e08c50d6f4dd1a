//! The objects of a cluster, cut to the few parts that a decision needs.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{Kind, ObjectRef};

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
    /// Our annotations and the marks of GitOps tools.
    pub annotations: BTreeMap<String, String>,
    /// Labels that tell which tool an object comes from.
    pub labels: BTreeMap<String, String>,
    /// `spec.blocks`, `spec.externalCIDRs` or `spec.addresses`, as it stands.
    pub list: Vec<Value>,
    /// The field managers that own the list.
    pub writers: Vec<Writer>,
    /// What the Cilium operator says about a pool; `None` for other kinds.
    pub observed: Option<Observed>,
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

/// What LB-IPAM says in the conditions of a pool.
///
/// Only the `IPs*` conditions follow every change of the spec; `PoolConflict` keeps the generation of its last change
/// (seen on Cilium 1.20).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// `observedGeneration` of `cilium.io/IPsTotal`.
    pub generation: Option<i64>,
    /// The message of `cilium.io/PoolConflict` while it is True.
    pub conflict: Option<String>,
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
        let namespace = kind.is_namespaced().then(|| text("namespace")).transpose()?;
        Ok(Self {
            reference: ObjectRef { kind, namespace, name: text("name")? },
            uid: text("uid")?,
            resource_version: text("resourceVersion")?,
            generation: metadata["generation"].as_i64(),
            annotations: strings(&metadata["annotations"], is_our_annotation_or_mark),
            labels: strings(&metadata["labels"], is_mark_label),
            list: value["spec"][list_field(kind)].as_array().cloned().unwrap_or_default(),
            writers: writers(kind, &metadata["managedFields"]),
            observed: (kind == Kind::CiliumLoadBalancerIPPool).then(|| observed(&value["status"]["conditions"])),
        })
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
        Kind::Service => "dynamic-prefix.io/managed-ips",
    }
}

fn strings(map: &Value, keep: fn(&str) -> bool) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flatten();
    entries
        .filter(|(key, _)| keep(key))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn is_our_annotation_or_mark(key: &str) -> bool {
    key.starts_with(OURS) || FOREIGN_MARKS.iter().any(|prefix| key.starts_with(prefix))
}

fn is_mark_label(key: &str) -> bool {
    matches!(key, "app.kubernetes.io/managed-by" | "app.kubernetes.io/instance")
        || FOREIGN_MARKS.iter().any(|prefix| key.starts_with(prefix))
}

fn writers(kind: Kind, managed_fields: &Value) -> Vec<Writer> {
    let field = format!("f:{}", list_field(kind));
    let entries = managed_fields.as_array().into_iter().flatten();
    entries
        .filter(|entry| entry["fieldsV1"]["f:spec"].get(&field).is_some())
        .map(|entry| Writer {
            manager: entry["manager"].as_str().unwrap_or_default().to_owned(),
            operation: entry["operation"].as_str().unwrap_or_default().to_owned(),
            time: entry["time"].as_str().map(str::to_owned),
        })
        .collect()
}

fn observed(conditions: &Value) -> Observed {
    let condition = |kind: &str| {
        let all = conditions.as_array().into_iter().flatten();
        all.into_iter().find(|condition| condition["type"] == kind)
    };
    let conflict = condition("cilium.io/PoolConflict").filter(|condition| condition["status"] == "True");
    Observed {
        generation: condition("cilium.io/IPsTotal").and_then(|condition| condition["observedGeneration"].as_i64()),
        conflict: conflict.map(|condition| condition["message"].as_str().unwrap_or_default().to_owned()),
    }
}

#[cfg(test)]
mod tests;
