//! The JSON of `plan` and `status`: one shape, that of the design's example.

use std::collections::BTreeSet;

use serde_json::Value;

use super::home::{FIXED, Home};

/// Every key of the design's example, with `[]` for the items of a list.
const EXAMPLE: &str = "
schemaVersion daemon daemon.version daemon.id daemon.startedAt daemon.configAppliedAt daemon.reloadErrors
sources sources[].kind sources[].interface sources[].state sources[].reason sources[].lease sources[].nextWake
dynamicPrefixes dynamicPrefixes[].name dynamicPrefixes[].currentPrefix dynamicPrefixes[].prefixSource
dynamicPrefixes[].generation dynamicPrefixes[].preferredUntil dynamicPrefixes[].validUntil
dynamicPrefixes[].leaseExpiresAt dynamicPrefixes[].addressRanges dynamicPrefixes[].addressRanges[].name
dynamicPrefixes[].addressRanges[].start dynamicPrefixes[].addressRanges[].end
dynamicPrefixes[].addressRanges[].cidrs dynamicPrefixes[].subnets dynamicPrefixes[].subnets[].name
dynamicPrefixes[].subnets[].cidr dynamicPrefixes[].subnets[].cidrs dynamicPrefixes[].history
dynamicPrefixes[].history[].prefix dynamicPrefixes[].history[].acquiredAt dynamicPrefixes[].history[].deprecatedAt
dynamicPrefixes[].history[].validUntil dynamicPrefixes[].history[].drainEndsAt dynamicPrefixes[].history[].state
dynamicPrefixes[].history[].reason dynamicPrefixes[].conditions dynamicPrefixes[].conditions[].type
dynamicPrefixes[].conditions[].status dynamicPrefixes[].conditions[].reason dynamicPrefixes[].conditions[].message
dynamicPrefixes[].conditions[].lastTransitionTime dynamicPrefixes[].errors
clusters clusters[].name clusters[].state clusters[].reason clusters[].serverVersion clusters[].retryAt
targets targets[].cluster targets[].kind targets[].namespace targets[].name targets[].uid targets[].bindings
targets[].boundPrefixes targets[].desired targets[].foreign targets[].synced targets[].observed
targets[].lastSyncTime targets[].retryAt targets[].reason targets[].message";

/// Keys of the example that a configuration without an error and without a lease does not show.
const NOT_HERE: [&str; 2] = ["dynamicPrefixes[].errors[].entry", "dynamicPrefixes[].errors[].message"];

/// Keys that were added since.
const ADDED: [&str; 4] =
    ["clusters[].message", "clusters[].notes", "clusters[].credentialExpiresAt", "sources[].notes"];

/// What `plan` leaves out: times, and what only a running daemon knows.
const ONLY_RUNNING: &str = "
daemon.startedAt daemon.configAppliedAt daemon.reloadErrors
sources sources[].kind sources[].interface sources[].state sources[].reason sources[].lease sources[].nextWake
dynamicPrefixes[].preferredUntil dynamicPrefixes[].validUntil dynamicPrefixes[].leaseExpiresAt
dynamicPrefixes[].history[].acquiredAt dynamicPrefixes[].history[].deprecatedAt
dynamicPrefixes[].history[].validUntil dynamicPrefixes[].history[].drainEndsAt dynamicPrefixes[].conditions
dynamicPrefixes[].conditions[].type dynamicPrefixes[].conditions[].status dynamicPrefixes[].conditions[].reason
dynamicPrefixes[].conditions[].message dynamicPrefixes[].conditions[].lastTransitionTime
clusters clusters[].name clusters[].state clusters[].reason clusters[].serverVersion clusters[].retryAt
targets[].uid targets[].foreign targets[].synced targets[].observed targets[].lastSyncTime targets[].retryAt";

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(field, &path, keys);
                    keys.insert(path);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{path}[]"), keys)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut keys = BTreeSet::new();
    walk(value, "", &mut keys);
    keys
}

#[test]
fn status_has_the_keys_of_the_design_and_plan_those_that_are_known_offline() {
    let home = Home::new(FIXED);
    let daemon = home.start();
    home.configure(&FIXED.replace("2001:db8:1::/56", "2001:db8:2::/56"));
    assert_eq!(home.ask(&["reload"]).code, Some(0));
    let status = daemon.until("targets", |status| status["targets"].as_array().is_some_and(|all| !all.is_empty()));
    let added = ADDED.map(str::to_owned).into_iter().collect();
    assert_eq!(&keys(&status) - &added, words(EXAMPLE));
    let printed: Value = serde_json::from_str(&home.ask(&["status", "--output", "json"]).stdout).unwrap();
    assert_eq!(keys(&printed), keys(&status), "--watch and status print the same shape");

    let plan = ["plan", "--output", "json", "--prefix", "2001:db8:2::/56", "--prefix", "2001:db8:1::/56"];
    let plan: Value = serde_json::from_str(&home.ask(&plan).stdout).unwrap();
    assert_eq!(keys(&plan), &words(EXAMPLE) - &words(ONLY_RUNNING));
}

#[test]
fn an_entry_in_error_has_the_keys_of_the_design() {
    let home = Home::new(FIXED);
    let plan = home.ask(&["plan", "--output", "json", "--prefix", "2001:db8:2::/62"]);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    let keys = keys(&plan);
    for key in NOT_HERE {
        assert!(keys.contains(key), "{key}: {keys:?}");
    }
    assert_eq!(plan["dynamicPrefixes"][0]["errors"][0]["entry"], "subnets[web]");
}
