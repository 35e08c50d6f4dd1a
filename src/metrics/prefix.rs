//! The families of the DynamicPrefixes.

use jiff::Timestamp;

use super::Snapshot;
use super::text::{Kind, Text};
use crate::status::DynamicPrefixStatus;

pub(super) fn render(snapshot: &Snapshot, text: &mut Text) {
    let all = &snapshot.status.dynamic_prefixes;
    text.family("dyn_prefix_prefix_info", Kind::Gauge, "The prefix in use and the source that it is from.");
    for (prefix, current) in in_use(all) {
        let source = prefix.prefix_source.as_deref().unwrap_or_default();
        text.sample(&[("dynamic_prefix", &prefix.name), ("prefix", current), ("source", source)], 1);
    }
    let generation = "Counts the prefixes that were ever in use.";
    text.family("dyn_prefix_prefix_generation", Kind::Gauge, generation);
    for prefix in all {
        text.sample(&[("dynamic_prefix", &prefix.name)], prefix.generation.unwrap_or_default());
    }
    let preferred = "The end of the preferred lifetime of the prefix in use; +Inf when it does not end.";
    ends(text, "dyn_prefix_prefix_preferred_until_timestamp_seconds", preferred, all, |prefix| prefix.preferred_until);
    let valid = "The end of the valid lifetime of the prefix in use; +Inf when it does not end.";
    ends(text, "dyn_prefix_prefix_valid_until_timestamp_seconds", valid, all, |prefix| prefix.valid_until);
    text.family("dyn_prefix_prefix_draining", Kind::Gauge, "How many former prefixes are still in the targets.");
    for prefix in all {
        let draining = prefix.history.iter().filter(|former| former.state == "draining").count();
        text.sample(&[("dynamic_prefix", &prefix.name)], draining);
    }
    text.family("dyn_prefix_prefix_errors", Kind::Gauge, "How many ranges and subnets do not fit the prefix in use.");
    for prefix in all {
        text.sample(&[("dynamic_prefix", &prefix.name)], prefix.errors.len());
    }
    text.family("dyn_prefix_prefix_condition", Kind::Gauge, "Whether a condition of a DynamicPrefix holds.");
    for prefix in all {
        for condition in &prefix.conditions {
            let labels = [("dynamic_prefix", prefix.name.as_str()), ("type", condition.kind.as_str())];
            text.sample(&labels, u8::from(condition.status == "True"));
        }
    }
    let transitions = "What became of prefixes: acquired, lost, withdrawn, regained, released, refused, drain-ended.";
    text.family("dyn_prefix_prefix_transitions_total", Kind::Counter, transitions);
    for ((prefix, what), count) in &snapshot.transitions {
        text.sample(&[("dynamic_prefix", prefix), ("transition", what)], count);
    }
}

/// Those that have a prefix, with it.
fn in_use(all: &[DynamicPrefixStatus]) -> impl Iterator<Item = (&DynamicPrefixStatus, &str)> {
    all.iter().filter_map(|prefix| Some((prefix, prefix.current_prefix.as_deref()?)))
}

fn ends(
    text: &mut Text,
    name: &'static str,
    help: &str,
    all: &[DynamicPrefixStatus],
    end: fn(&DynamicPrefixStatus) -> Option<Timestamp>,
) {
    text.family(name, Kind::Gauge, help);
    for (prefix, _) in in_use(all) {
        let labels = [("dynamic_prefix", prefix.name.as_str())];
        match end(prefix) {
            Some(end) => text.sample(&labels, end.as_second()),
            None => text.sample(&labels, "+Inf"),
        }
    }
}
