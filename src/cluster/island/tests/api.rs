//! As much of an API server as an island can tell from a real one: versions, merge patches, conflicts, managedFields.

use super::*;
use crate::cluster::object::{FIELD_MANAGER, Observed, Writer, list_field};

pub(super) struct Api {
    objects: BTreeMap<ObjectRef, Object>,
    /// Services as they are; `objects` has them cut.
    services: BTreeMap<ObjectRef, Value>,
    version: u64,
    /// Objects that we may not write.
    pub(super) locked: BTreeSet<ObjectRef>,
}

/// An object as the user made it.
pub(super) fn object(reference: &ObjectRef, list: impl IntoIterator<Item = Value>) -> Object {
    Object {
        reference: reference.clone(),
        uid: format!("uid of {reference}"),
        resource_version: "1".to_owned(),
        generation: Some(1),
        annotations: BTreeMap::new(),
        labels: BTreeMap::new(),
        list: list.into_iter().collect(),
        writers: Vec::new(),
        observed: (reference.kind == Kind::CiliumLoadBalancerIPPool).then(Observed::default),
        clientele: None,
        service: None,
    }
}

pub(super) fn annotated(mut object: Object, annotations: &[(&str, &str)]) -> Object {
    object.annotations.extend(annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    object
}

impl Api {
    pub(super) fn new(objects: impl IntoIterator<Item = Object>) -> Self {
        let objects = objects.into_iter().map(|object| (object.reference.clone(), object)).collect();
        Self { objects, services: BTreeMap::new(), version: 1, locked: BTreeSet::new() }
    }

    pub(super) fn get(&self, reference: &ObjectRef) -> &Object {
        self.objects.get(reference).expect("it exists")
    }

    /// Whether a watch shows it.
    pub(super) fn shows(&self, reference: &ObjectRef) -> bool {
        self.objects.get(reference).is_some_and(Object::is_in_scope)
    }

    pub(super) fn list(&self, kind: Kind) -> Vec<Object> {
        let those = self.objects.values().filter(|object| object.reference.kind == kind && object.is_in_scope());
        those.cloned().collect()
    }

    pub(super) fn delete(&mut self, reference: &ObjectRef) {
        self.objects.remove(reference);
        self.services.remove(reference);
    }

    /// A Service as the API server shows it.
    pub(super) fn service(&self, reference: &ObjectRef) -> &Value {
        self.services.get(reference).expect("it exists")
    }

    pub(super) fn create_service(&mut self, reference: &ObjectRef, annotations: Value, spec: Value) -> Object {
        let metadata = json!({
            "name": reference.name,
            "namespace": reference.namespace,
            "uid": format!("uid {} of {reference}", self.version),
            "annotations": annotations,
            "generation": 1,
        });
        self.services.insert(reference.clone(), json!({ "metadata": metadata, "spec": spec, "status": {} }));
        self.edit_service(reference, "kubectl", |_| {})
    }

    /// A write by `manager`; managedFields name it if it changes annotations.
    pub(super) fn edit_service(
        &mut self,
        reference: &ObjectRef,
        manager: &str,
        change: impl FnOnce(&mut Value),
    ) -> Object {
        self.version += 1;
        let service = self.services.get_mut(reference).expect("it exists");
        let before = service.clone();
        change(service);
        service["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if before["metadata"]["annotations"] != service["metadata"]["annotations"] {
            let annotations =
                [before["metadata"]["annotations"].as_object(), service["metadata"]["annotations"].as_object()];
            let fields: serde_json::Map<String, Value> =
                annotations.into_iter().flatten().flatten().map(|(key, _)| (format!("f:{key}"), json!({}))).collect();
            service["metadata"]["managedFields"] = json!([{
                "manager": manager,
                "operation": "Update",
                "time": format!("2026-11-21T{:06}Z", self.version),
                "fieldsV1": { "f:metadata": { "f:annotations": fields } },
            }]);
        }
        let object = Object::from_json(Kind::Service, service).expect("a Service");
        self.objects.insert(reference.clone(), object.clone());
        object
    }

    fn patch_service(&mut self, write: &Write) -> Object {
        let annotations = write.patch["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        assert_eq!(write.patch.as_object().map(serde_json::Map::len), Some(1), "nothing but metadata: {}", write.patch);
        self.edit_service(&write.object, FIELD_MANAGER, |service| {
            let standing = service["metadata"]["annotations"].as_object_mut().expect("annotations");
            for (key, value) in annotations {
                if value.is_null() {
                    standing.remove(&key);
                } else {
                    assert!(value.as_str().is_some_and(|text| !text.is_empty()), "a blank {key}");
                    standing.insert(key, value);
                }
            }
        })
    }

    pub(super) fn create(&mut self, mut object: Object) -> Object {
        self.version += 1;
        object.resource_version = self.version.to_string();
        object.uid = format!("uid {} of {}", self.version, object.reference);
        self.objects.insert(object.reference.clone(), object.clone());
        object
    }

    /// A write by `manager`; an island hears of it only when it is told.
    pub(super) fn edit(&mut self, reference: &ObjectRef, manager: &str, change: impl FnOnce(&mut Object)) -> Object {
        self.version += 1;
        let version = self.version;
        let object = self.objects.get_mut(reference).expect("it exists");
        let before = object.list.clone();
        change(object);
        object.resource_version = version.to_string();
        if object.list != before {
            object.generation = object.generation.map(|generation| generation + 1);
            object.writers = vec![Writer {
                manager: manager.to_owned(),
                operation: "Update".to_owned(),
                time: Some(format!("2026-11-21T{version:06}Z")),
            }];
        }
        object.clone()
    }

    /// A merge patch (RFC 7396) with the check of its resourceVersion.
    pub(super) fn patch(&mut self, write: &Write) -> Result<Object, WriteError> {
        let Some(object) = self.objects.get(&write.object) else { return Err(WriteError::NotFound) };
        if write.patch == json!({}) {
            return Ok(object.clone());
        }
        if self.locked.contains(&write.object) {
            return Err(WriteError::Forbidden(format!("{} is forbidden", write.object)));
        }
        if write.patch["metadata"]["resourceVersion"] != json!(object.resource_version) {
            return Err(WriteError::Conflict);
        }
        if write.object.kind == Kind::Service {
            return Ok(self.patch_service(write));
        }
        let list = write.patch["spec"].get(list_field(write.object.kind)).and_then(Value::as_array).cloned();
        if list.as_ref().is_some_and(Vec::is_empty) && write.object.kind == Kind::IPAddressPool {
            return Err(WriteError::Invalid("addresses must not be empty".to_owned()));
        }
        let annotations = write.patch["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        Ok(self.edit(&write.object, FIELD_MANAGER, |object| {
            object.list = list.unwrap_or_else(|| object.list.clone());
            for (key, value) in annotations {
                match value.as_str() {
                    Some(text) => drop(object.annotations.insert(key, text.to_owned())),
                    None => drop(object.annotations.remove(&key)),
                }
            }
        }))
    }
}
