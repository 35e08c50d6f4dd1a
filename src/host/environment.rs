//! What a hook is told: variables of its environment, and JSON on its standard input.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Event, Facts};
use crate::plan::{ComputedGeneration, cidrs};
use crate::status::{DynamicPrefixStatus, SCHEMA_VERSION};

/// A variable with a name of its own, for what the others have no room for.
const OMITTED: &str = "DYN_PREFIX_OMITTED";

/// The kernel starts no program with a longer variable, of which `=` and the end are a part (MAX_ARG_STRLEN).
const LONGEST: usize = 128 * 1024;

/// How long all may be together. The kernel allows a quarter of the limit of the stack, which is 8 MiB unless somebody has
/// changed it, and counts the arguments, too.
const ALL: usize = 1024 * 1024;

/// The JSON on standard input. Fields are only ever added.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input<'a> {
    schema_version: u32,
    event: &'static str,
    dynamic_prefix: &'a DynamicPrefixStatus,
    previous: Option<&'a DynamicPrefixStatus>,
    variables: Map<String, Value>,
}

/// What the hook reads: the DynamicPrefix as `status` shows it, as it was when the hook was told last, and all variables.
pub(super) fn input(
    event: Event,
    now: &DynamicPrefixStatus,
    told: Option<&DynamicPrefixStatus>,
    variables: &[(String, String)],
) -> Vec<u8> {
    let variables = variables.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let event = event.as_str();
    let input = Input { schema_version: SCHEMA_VERSION, event, dynamic_prefix: now, previous: told, variables };
    // Its maps have text as keys, so that nothing can go wrong.
    let mut text = serde_json::to_vec(&input).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Those that a program can be started with, and how many are left out. One that is left out is not there at all: an empty
/// one means that there is nothing.
pub(super) fn fitting(variables: Vec<(String, String)>) -> Vec<(String, String)> {
    let (all, mut room) = (variables.len(), ALL);
    let mut fitting: Vec<(String, String)> = variables
        .into_iter()
        .filter(|(name, value)| {
            let length = name.len() + value.len() + 2;
            let fits = length <= LONGEST && length <= room;
            room -= if fits { length } else { 0 };
            fits
        })
        .collect();
    let omitted = all - fitting.len();
    fitting.extend((omitted > 0).then(|| (OMITTED.to_owned(), omitted.to_string())));
    fitting
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
