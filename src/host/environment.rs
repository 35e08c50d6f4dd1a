//! What a hook is told: variables of its environment, and JSON on its standard input.

use serde::Serialize;

use super::{Event, Facts};
use crate::plan::{ComputedGeneration, cidrs};
use crate::status::{DynamicPrefixStatus, SCHEMA_VERSION};

/// The JSON on standard input. Fields are only ever added.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input<'a> {
    schema_version: u32,
    event: &'static str,
    dynamic_prefix: &'a DynamicPrefixStatus,
    previous: Option<&'a DynamicPrefixStatus>,
}

/// What the hook reads: the DynamicPrefix as `status` shows it, and as it was when the hook was told last.
pub(super) fn input(event: Event, now: &DynamicPrefixStatus, told: Option<&DynamicPrefixStatus>) -> Vec<u8> {
    let input = Input { schema_version: SCHEMA_VERSION, event: event.as_str(), dynamic_prefix: now, previous: told };
    // Its maps have text as keys, so that nothing can go wrong.
    let mut text = serde_json::to_vec(&input).unwrap_or_default();
    text.push(b'\n');
    text
}

/// The variables, in the order in which they are documented.
pub(super) fn variables(
    name: &str,
    event: Event,
    now: &Facts,
    told: Option<&Facts>,
    shown: &DynamicPrefixStatus,
) -> Vec<(String, String)> {
    let prefix = |generation: Option<&ComputedGeneration>| {
        generation.map(|generation| generation.prefix.to_string()).unwrap_or_default()
    };
    let previous = now.previous(told);
    let draining: Vec<String> = now.draining().map(|generation| generation.prefix.to_string()).collect();
    let mut all = vec![
        ("DYN_PREFIX_NAME".to_owned(), name.to_owned()),
        ("DYN_PREFIX_EVENT".to_owned(), event.as_str().to_owned()),
        ("DYN_PREFIX_STATE".to_owned(), now.state().to_owned()),
        ("DYN_PREFIX_SOURCE".to_owned(), shown.prefix_source.clone().unwrap_or_default()),
        (
            "DYN_PREFIX_GENERATION".to_owned(),
            shown.generation.map(|generation| generation.to_string()).unwrap_or_default(),
        ),
        ("DYN_PREFIX_CURRENT".to_owned(), prefix(now.current())),
        ("DYN_PREFIX_PREVIOUS".to_owned(), prefix(previous)),
        ("DYN_PREFIX_DRAINING".to_owned(), draining.join(" ")),
    ];
    let drained: Vec<&ComputedGeneration> = now.draining().collect();
    for (part, of) in parts(now, previous) {
        let part_of = |generations: &[&ComputedGeneration]| {
            let computed = generations.iter().filter_map(|generation| generation.parts.get(&part)?.as_ref().ok());
            computed.flat_map(|blocks| cidrs(blocks)).collect::<Vec<_>>().join(" ")
        };
        let current: Vec<&ComputedGeneration> = now.current().into_iter().collect();
        let previous: Vec<&ComputedGeneration> = previous.into_iter().collect();
        all.push((format!("DYN_PREFIX_CURRENT_{of}"), part_of(&current)));
        all.push((format!("DYN_PREFIX_PREVIOUS_{of}"), part_of(&previous)));
        all.push((format!("DYN_PREFIX_DRAINING_{of}"), part_of(&drained)));
    }
    all
}

/// Every range and subnet, and its name as a part of that of a variable: no two share one, for names are of a-z, 0-9 and -.
fn parts(now: &Facts, previous: Option<&ComputedGeneration>) -> Vec<(String, String)> {
    let generations = now.generations.first().or(previous);
    let names = generations.into_iter().flat_map(|generation| generation.parts.keys());
    names.map(|name| (name.clone(), name.to_uppercase().replace('-', "_"))).collect()
}
