//! The objects, their resource versions and their past.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Resource (`plural.group`), namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) resource: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(resource: &str, namespace: Option<&str>, name: &str) -> Self {
        Self { resource: resource.to_owned(), namespace: namespace.map(ToOwned::to_owned), name: name.to_owned() }
    }

    pub(crate) fn pool(name: &str) -> Self {
        Self::new("ciliumloadbalancerippools.cilium.io", None, name)
    }

    pub(crate) fn group(name: &str) -> Self {
        Self::new("ciliumcidrgroups.cilium.io", None, name)
    }

    pub(crate) fn service(namespace: &str, name: &str) -> Self {
        Self::new("services", Some(namespace), name)
    }

    pub(crate) fn metallb(namespace: &str, name: &str) -> Self {
        Self::new("ipaddresspools.metallb.io", Some(namespace), name)
    }

    fn of(object: &Value) -> Self {
        let group = object["apiVersion"].as_str().and_then(|version| version.split_once('/'));
        let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
        let plural = format!("{kind}{}", if kind.ends_with('x') { "es" } else { "s" });
        let resource = group.map_or_else(|| plural.clone(), |(group, _)| format!("{plural}.{group}"));
        let namespace = object["metadata"]["namespace"].as_str();
        Self::new(&resource, namespace, object["metadata"]["name"].as_str().unwrap_or_default())
    }
}

/// A change, from which each watch makes its event.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) key: Key,
    former: Option<Value>,
    new: Option<Value>,
}

impl Change {
    /// What it is to a watch that sees the objects that are `selected`: one that changes so that it is not selected any
    /// more is deleted for it, with its former content and its new version (as kube-apiserver does it).
    pub(super) fn event(&self, selected: impl Fn(&Value) -> bool) -> Option<(&'static str, Value)> {
        let former = self.former.as_ref().filter(|object| selected(object));
        let new = self.new.as_ref().filter(|object| selected(object));
        let at_version = |object: &Value| {
            let mut object = object.clone();
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            object
        };
        match (former, new) {
            (None, None) => None,
            (None, Some(new)) => Some(("ADDED", new.clone())),
            (Some(_), Some(new)) => Some(("MODIFIED", new.clone())),
            (Some(former), None) => Some(("DELETED", at_version(former))),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Store {
    objects: BTreeMap<Key, Value>,
    past: Vec<Change>,
    version: u64,
    compacted: u64,
}

/// Why a patch was refused.
pub(super) enum Refused {
    NotFound,
    Conflict,
}

impl Store {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    pub(super) fn list(&self, resource: &str, namespace: Option<&str>) -> impl Iterator<Item = (&Key, &Value)> {
        let objects = self.objects.iter().filter(move |(key, _)| key.resource == resource);
        objects.filter(move |(key, _)| namespace.is_none() || key.namespace.as_deref() == namespace)
    }

    /// The changes after `version`; `None` when they are forgotten.
    pub(super) fn since(&self, version: u64) -> Option<impl Iterator<Item = &Change>> {
        (version >= self.compacted).then(|| self.past.iter().filter(move |change| change.version > version))
    }

    pub(super) fn compact(&mut self) {
        self.version += 1;
        self.compacted = self.version;
        self.past.clear();
    }

    pub(super) fn put(&mut self, object: Value, manager: &str) -> Value {
        let key = Key::of(&object);
        self.write(key, object, manager)
    }

    pub(super) fn delete(&mut self, key: &Key) {
        if let Some(object) = self.objects.remove(key) {
            self.record(key.clone(), Some(object), None);
        }
    }

    /// RFC 7396, with the optimistic lock that `metadata.resourceVersion` is.
    pub(super) fn patch(&mut self, key: &Key, patch: &Value, manager: &str, dry_run: bool) -> Result<Value, Refused> {
        let live = self.objects.get(key).ok_or(Refused::NotFound)?;
        let expected = &patch["metadata"]["resourceVersion"];
        if expected.is_string() && *expected != live["metadata"]["resourceVersion"] {
            return Err(Refused::Conflict);
        }
        let mut merged = live.clone();
        merge(&mut merged, patch);
        if dry_run || merged == *live {
            return Ok(merged);
        }
        Ok(self.write(key.clone(), merged, manager))
    }

    fn write(&mut self, key: Key, mut object: Value, manager: &str) -> Value {
        let old = self.objects.get(&key);
        let generation = old.map_or(0, |old| old["metadata"]["generation"].as_u64().unwrap_or(0));
        let is_new_spec = old.is_none_or(|old| old["spec"] != object["spec"]);
        let uid = old.map_or_else(|| json!(format!("uid-{}", self.version + 1)), |old| old["metadata"]["uid"].clone());
        let mut managers = old.map_or_else(|| json!({}), |old| old["metadata"]["managedFields"].clone());
        if is_new_spec {
            let fields: Map<String, Value> = object["spec"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(field, _)| (format!("f:{field}"), json!({})))
                .collect();
            managers = json!([{"manager": manager, "operation": "Update", "time": "2026-01-04T10:00:00Z",
                "fieldsV1": {"f:spec": fields}}]);
        }
        let metadata = &mut object["metadata"];
        metadata["uid"] = uid;
        metadata["generation"] = json!(generation + u64::from(is_new_spec));
        metadata["managedFields"] = managers;
        metadata["resourceVersion"] = json!((self.version + 1).to_string());
        let former = self.objects.insert(key.clone(), object.clone());
        self.record(key, former, Some(object.clone()));
        object
    }

    fn record(&mut self, key: Key, former: Option<Value>, new: Option<Value>) {
        self.version += 1;
        self.past.push(Change { version: self.version, key, former, new });
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.shift_remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}
