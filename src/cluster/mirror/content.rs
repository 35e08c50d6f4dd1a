//! What is sent of an object of kind DynamicPrefix, and what of it makes a difference. Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{API_VERSION, MANAGED_BY, Mirror};

/// An object of the kind with these parts.
pub(super) fn body(name: &str, more: &[(&str, Value)]) -> Value {
    let mut body = json!({"apiVersion": API_VERSION, "kind": "DynamicPrefix", "metadata": {"name": name}});
    for (key, value) in more {
        body[*key] = value.clone();
    }
    body
}

/// All of it but the status.
pub(super) fn whole(mirror: &Mirror, daemon_id: &str) -> Value {
    let mut whole = body(&mirror.name, &[("spec", mirror.spec.clone())]);
    whole["metadata"]["annotations"] = json!({MANAGED_BY: daemon_id});
    whole
}

/// Without what changes by itself, or by the wall clock: alone it is no reason to write.
pub(super) fn without_times(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let is_time = |key: &str| key.ends_with("At") || key.ends_with("Time");
            let fields = fields.iter().filter(|(key, _)| !is_time(key));
            Value::Object(fields.map(|(key, value)| (key.clone(), without_times(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_times).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// The conditions with their times: the former one where the status is what it was.
pub(super) fn with_transitions(status: &Value, former: &Value, wall: Timestamp) -> Value {
    let mut status = status.clone();
    let now = wall.round(jiff::Unit::Second).unwrap_or(wall).to_string();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let mut known = former["conditions"].as_array().into_iter().flatten();
        let same = known.find(|known| known["type"] == condition["type"] && known["status"] == condition["status"]);
        let since = same.map(|same| same["lastTransitionTime"].clone()).filter(Value::is_string);
        condition["lastTransitionTime"] = since.unwrap_or_else(|| Value::String(now.clone()));
    }
    status
}
