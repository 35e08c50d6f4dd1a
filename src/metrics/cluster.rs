//! The families of the clusters and the objects in them.

use super::Snapshot;
use super::counters::{BUCKETS, Histogram};
use super::text::{Kind, Text};
use crate::status::TargetStatus;

pub(super) fn render(snapshot: &Snapshot, text: &mut Text) {
    clusters(snapshot, text);
    targets(snapshot, text);
    writes(snapshot, text);
}

fn clusters(snapshot: &Snapshot, text: &mut Text) {
    let clusters = &snapshot.status.clusters;
    let info = "The version of the API server and how the connection is: one sample for each cluster.";
    text.family("dyn_prefix_cluster_info", Kind::Gauge, info);
    for cluster in clusters {
        let version = cluster.server_version.as_deref().unwrap_or_default();
        text.sample(&[("cluster", &cluster.name), ("server_version", version), ("state", &cluster.state)], 1);
    }
    text.family("dyn_prefix_cluster_connected", Kind::Gauge, "Whether the API server answers us.");
    for cluster in clusters {
        text.sample(&[("cluster", &cluster.name)], u8::from(cluster.state == "connected"));
    }
    let expiry = "When the client certificate or token ends; absent when it has no end that can be read.";
    text.family("dyn_prefix_cluster_credential_expiry_timestamp_seconds", Kind::Gauge, expiry);
    for cluster in clusters {
        if let Some(expires) = cluster.credential_expires_at {
            text.sample(&[("cluster", &cluster.name)], expires.as_second());
        }
    }
}

fn targets(snapshot: &Snapshot, text: &mut Text) {
    let targets = &snapshot.status.targets;
    text.family("dyn_prefix_target_synced", Kind::Gauge, "Whether the API server has accepted what is wanted.");
    for target in targets {
        text.sample(&labels(target), u8::from(target.synced));
    }
    text.family("dyn_prefix_target_observed", Kind::Gauge, "Whether the controller has seen it, where that is known.");
    for target in targets {
        if let Some(observed) = target.observed {
            text.sample(&labels(target), u8::from(observed));
        }
    }
    let success = "When the object was last written.";
    text.family("dyn_prefix_target_last_success_timestamp_seconds", Kind::Gauge, success);
    for target in targets {
        if let Some(written) = target.last_sync_time {
            text.sample(&labels(target), written.as_second());
        }
    }
    let generation = "The generation of the prefix that the object was last known to hold.";
    text.family("dyn_prefix_target_generation", Kind::Gauge, generation);
    for target in targets {
        let [cluster, kind, namespace, name] = labels(target);
        for (prefix, generation) in snapshot.counters.generations_of(target) {
            text.sample(&[cluster, kind, namespace, name, ("dynamic_prefix", prefix)], generation);
        }
    }
}

fn labels(target: &TargetStatus) -> [(&'static str, &str); 4] {
    [
        ("cluster", &target.cluster),
        ("kind", &target.kind),
        ("namespace", target.namespace.as_deref().unwrap_or_default()),
        ("name", &target.name),
    ]
}

fn writes(snapshot: &Snapshot, text: &mut Text) {
    text.family("dyn_prefix_writes_total", Kind::Counter, "Patches that were sent, by what became of them.");
    for ((cluster, kind, outcome), count) in &snapshot.counters.writes {
        text.sample(&[("cluster", cluster), ("kind", kind.as_str()), ("outcome", outcome)], count);
    }
    let duration = "From sending a patch to the whole answer of the API server.";
    text.family("dyn_prefix_api_request_duration_seconds", Kind::Histogram, duration);
    for (cluster, histogram) in &snapshot.counters.latency {
        durations(cluster, histogram, text);
    }
    let notices = "Kubernetes events: sent, or dropped because there were too many or the API server refused them.";
    text.family("dyn_prefix_kubernetes_events_total", Kind::Counter, notices);
    for ((cluster, outcome), count) in &snapshot.counters.notices {
        text.sample(&[("cluster", cluster), ("outcome", outcome)], count);
    }
}

fn durations(cluster: &str, histogram: &Histogram, text: &mut Text) {
    let mut below = 0;
    for (bound, count) in BUCKETS.iter().zip(&histogram.counts) {
        below += count;
        let bound = bound.as_secs_f64().to_string();
        text.sample_of("_bucket", &[("cluster", cluster), ("le", &bound)], below);
    }
    text.sample_of("_bucket", &[("cluster", cluster), ("le", "+Inf")], histogram.count);
    text.sample_of("_sum", &[("cluster", cluster)], histogram.sum.as_secs_f64());
    text.sample_of("_count", &[("cluster", cluster)], histogram.count);
}
