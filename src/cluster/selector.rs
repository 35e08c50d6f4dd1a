//! Whom a pool serves: Cilium's `spec.serviceSelector` and MetalLB's `spec.serviceAllocation`.

use std::sync::Arc;

use serde_json::Value;

use crate::config::{Kind, ObjectRef};

/// What LB-IPAM adds to the labels of a Service before it selects.
const NAMESPACE: &str = "io.kubernetes.service.namespace";
const NAME: &str = "io.kubernetes.service.name";

/// The labels of a Service. A cluster may have thousands, so they are one text, of which there is one copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Option<Arc<str>>);

impl Labels {
    /// From `metadata.labels`.
    pub(super) fn from_json(labels: &Value) -> Self {
        let entries = labels.as_object().into_iter().flatten();
        // Neither sign can stand in a label.
        let lines: Vec<String> =
            entries.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
        Self((!lines.is_empty()).then(|| lines.join("\n").into()))
    }

    fn get(&self, key: &str) -> Option<&str> {
        let mut entries = self.0.as_deref().into_iter().flat_map(str::lines).filter_map(|line| line.split_once('='));
        entries.find(|(its, _)| *its == key).map(|(_, value)| value)
    }
}

/// The Services that a pool serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clientele {
    /// `spec.serviceSelector` of Cilium.
    selector: Option<Selector>,
    /// The namespaces of MetalLB; empty: all, or nobody can tell (those that a selector of namespaces finds).
    namespaces: Vec<Box<str>>,
    /// `serviceSelectors` of MetalLB: one of them is enough; empty: all.
    selectors: Vec<Selector>,
}

impl Clientele {
    /// Cuts it from the `spec` of a pool; `None`: it serves all.
    pub fn from_json(kind: Kind, spec: &Value) -> Option<Self> {
        let all = Self { selector: None, namespaces: Vec::new(), selectors: Vec::new() };
        let clientele = match kind {
            Kind::CiliumLoadBalancerIPPool => {
                let selector = &spec["serviceSelector"];
                Self { selector: selector.is_object().then(|| Selector::from_json(selector)), ..all.clone() }
            }
            Kind::IPAddressPool => {
                let allocation = &spec["serviceAllocation"];
                let is_open = list(&allocation["namespaceSelectors"]).next().is_some();
                let namespaces = if is_open { Vec::new() } else { texts(&allocation["namespaces"]) };
                let selectors = list(&allocation["serviceSelectors"]).map(Selector::from_json).collect();
                Self { selector: None, namespaces, selectors }
            }
            Kind::CiliumCIDRGroup | Kind::Service => return None,
        };
        (clientele != all).then_some(clientele)
    }

    /// Why it does not serve `service`; `None`: it does.
    pub fn refuses(&self, service: &ObjectRef, labels: &Labels) -> Option<&'static str> {
        let namespace = service.namespace.as_deref();
        let extended = |key: &str| match key {
            NAMESPACE => namespace,
            NAME => Some(service.name.as_str()),
            _ => labels.get(key),
        };
        if self.selector.as_ref().is_some_and(|selector| !selector.matches(extended)) {
            return Some("its spec.serviceSelector does not match the Service");
        }
        if !self.namespaces.is_empty() && !self.namespaces.iter().any(|listed| Some(&**listed) == namespace) {
            return Some("its spec.serviceAllocation.namespaces does not name the Service's namespace");
        }
        let is_selected = |selector: &Selector| selector.matches(|key| labels.get(key));
        if !self.selectors.is_empty() && !self.selectors.iter().any(is_selected) {
            return Some("none of its spec.serviceAllocation.serviceSelectors matches the Service");
        }
        None
    }
}

/// A LabelSelector: all of it has to be true.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Selector(Vec<(Box<str>, Test)>);

/// What is asked of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<Box<str>>),
    NotIn(Vec<Box<str>>),
    Exists,
    DoesNotExist,
    /// Something that is in no API: nothing matches it.
    Unknown,
}

impl Selector {
    fn from_json(value: &Value) -> Self {
        let labels = value["matchLabels"].as_object().into_iter().flatten();
        let labels = labels.map(|(key, value)| {
            (Box::from(key.as_str()), value.as_str().map_or(Test::Unknown, |text| Test::In(vec![text.into()])))
        });
        let expressions = list(&value["matchExpressions"]).map(|expression| {
            let values = || texts(&expression["values"]);
            let test = match expression["operator"].as_str() {
                Some("In") => Test::In(values()),
                Some("NotIn") => Test::NotIn(values()),
                Some("Exists") => Test::Exists,
                Some("DoesNotExist") => Test::DoesNotExist,
                Some(_) | None => Test::Unknown,
            };
            (Box::from(expression["key"].as_str().unwrap_or_default()), test)
        });
        Self(labels.chain(expressions).collect())
    }

    fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|(key, test)| {
            let is_in = |values: &[Box<str>]| label(key).is_some_and(|is| values.iter().any(|value| **value == *is));
            match test {
                Test::In(values) => is_in(values),
                Test::NotIn(values) => !is_in(values),
                Test::Exists => label(key).is_some(),
                Test::DoesNotExist => label(key).is_none(),
                Test::Unknown => false,
            }
        })
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts(value: &Value) -> Vec<Box<str>> {
    list(value).filter_map(Value::as_str).map(Box::from).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service() -> ObjectRef {
        ObjectRef { kind: Kind::Service, namespace: Some("web".to_owned()), name: "front".to_owned() }
    }

    fn serves(kind: Kind, spec: &Value) -> bool {
        let labels = Labels::from_json(&json!({ "color": "blue", "tier": "" }));
        Clientele::from_json(kind, spec).is_none_or(|clientele| clientele.refuses(&service(), &labels).is_none())
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] })
    }

    #[test]
    fn selectors_of_cilium() {
        let cases = [
            (json!(null), true),
            (json!({}), true),
            (json!({ "matchLabels": { "color": "blue" } }), true),
            (json!({ "matchLabels": { "color": "blue", "tier": "x" } }), false),
            (json!({ "matchLabels": { "io.kubernetes.service.namespace": "web" } }), true),
            (json!({ "matchLabels": { "io.kubernetes.service.namespace": "db" } }), false),
            (json!({ "matchLabels": { "io.kubernetes.service.name": "front" } }), true),
            (json!({ "matchLabels": { "io.kubernetes.service.name": "back" } }), false),
            (expression("color", "In", &["red", "blue"]), true),
            (expression("color", "In", &["red"]), false),
            (expression("shape", "In", &["round"]), false),
            (expression("color", "NotIn", &["blue"]), false),
            (expression("color", "NotIn", &["red"]), true),
            (expression("shape", "NotIn", &["round"]), true),
            (expression("tier", "Exists", &[]), true),
            (expression("shape", "Exists", &[]), false),
            (expression("tier", "DoesNotExist", &[]), false),
            (expression("shape", "DoesNotExist", &[]), true),
            (expression("color", "Like", &["blue"]), false),
        ];
        for (selector, expected) in cases {
            let spec = json!({ "serviceSelector": selector });
            assert_eq!(serves(Kind::CiliumLoadBalancerIPPool, &spec), expected, "{selector}");
        }
    }

    #[test]
    fn allocations_of_metallb() {
        let blue = json!({ "matchLabels": { "color": "blue" } });
        let red = json!({ "matchLabels": { "color": "red" } });
        let cases = [
            (json!({ "priority": 50 }), true),
            (json!({ "namespaces": ["db", "web"] }), true),
            (json!({ "namespaces": ["db"] }), false),
            // What labels namespaces have is not known.
            (json!({ "namespaces": ["db"], "namespaceSelectors": [blue] }), true),
            (json!({ "serviceSelectors": [red, blue] }), true),
            (json!({ "serviceSelectors": [red] }), false),
            (json!({ "namespaces": ["db"], "serviceSelectors": [blue] }), false),
            // MetalLB adds no labels of its own.
            (json!({ "serviceSelectors": [{ "matchLabels": { "io.kubernetes.service.name": "front" } }] }), false),
        ];
        for (allocation, expected) in cases {
            let spec = json!({ "serviceAllocation": allocation });
            assert_eq!(serves(Kind::IPAddressPool, &spec), expected, "{allocation}");
        }
    }
}
