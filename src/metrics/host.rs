//! The families of the hooks and files of this host.

use super::Snapshot;
use super::counters::{BUCKETS, Histogram};
use super::text::{Kind, Text};

pub(super) fn render(snapshot: &Snapshot, text: &mut Text) {
    let status = &snapshot.status;
    let synced = "Whether the hook has run well for what is true of the prefix now.";
    text.family("dyn_prefix_hook_synced", Kind::Gauge, synced);
    for hook in &status.hooks {
        let labels = [("hook", hook.name.as_str()), ("dynamic_prefix", hook.dynamic_prefix.as_str())];
        text.sample(&labels, u8::from(hook.synced));
    }
    text.family("dyn_prefix_hook_runs_total", Kind::Counter, "Runs of hooks, by what became of them.");
    for ((hook, outcome), count) in &snapshot.host.runs {
        text.sample(&[("hook", hook), ("outcome", outcome)], count);
    }
    text.family("dyn_prefix_hook_duration_seconds", Kind::Histogram, "How long hooks ran.");
    for (hook, histogram) in &snapshot.host.took {
        durations(hook, histogram, text);
    }
    let synced = "Whether the file holds what it should, and its reload command has run well since.";
    text.family("dyn_prefix_file_synced", Kind::Gauge, synced);
    for file in &status.files {
        text.sample(&[("path", &file.path)], u8::from(file.synced));
    }
    text.family("dyn_prefix_file_writes_total", Kind::Counter, "Writes of files that changed, and those that failed.");
    for ((path, outcome), count) in &snapshot.host.writes {
        text.sample(&[("path", path), ("outcome", outcome)], count);
    }
    text.family("dyn_prefix_file_reloads_total", Kind::Counter, "Runs of reload commands, by what became of them.");
    for ((path, outcome), count) in &snapshot.host.reloads {
        text.sample(&[("path", path), ("outcome", outcome)], count);
    }
}

fn durations(hook: &str, histogram: &Histogram, text: &mut Text) {
    let mut below = 0;
    for (bound, count) in BUCKETS.iter().zip(&histogram.counts) {
        below += count;
        let bound = bound.as_secs_f64().to_string();
        text.sample_of("_bucket", &[("hook", hook), ("le", &bound)], below);
    }
    text.sample_of("_bucket", &[("hook", hook), ("le", "+Inf")], histogram.count);
    text.sample_of("_sum", &[("hook", hook)], histogram.sum.as_secs_f64());
    text.sample_of("_count", &[("hook", hook)], histogram.count);
}
