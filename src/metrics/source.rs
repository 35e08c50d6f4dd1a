//! The families of the sources.

use super::Snapshot;
use super::text::{Kind, Text};
use crate::source::SourceId;
use crate::status::SourceStatus;

pub(super) fn render(snapshot: &Snapshot, text: &mut Text) {
    text.family("dyn_prefix_source_info", Kind::Gauge, "What a source is doing: one sample each, with its state.");
    for source in &snapshot.status.sources {
        text.sample(&[shown(source).as_slice(), &[("state", &source.state)]].concat(), 1);
    }
    text.family("dyn_prefix_source_working", Kind::Gauge, "Whether a source does its work.");
    for source in &snapshot.status.sources {
        text.sample(&shown(source), u8::from(source.is_working()));
    }
    let packets = "Packets that came in on the socket of a source, whether they were used or not.";
    text.family("dyn_prefix_source_packets_total", Kind::Counter, packets);
    for (id, tally) in &snapshot.sources {
        text.sample(&labels(id), tally.received);
    }
    text.family("dyn_prefix_source_drops_total", Kind::Counter, "Packets that were not used, by reason.");
    for (id, tally) in &snapshot.sources {
        for (reason, count) in &tally.dropped {
            let [kind, interface] = labels(id);
            text.sample(&[kind, interface, ("reason", reason)], count);
        }
    }
}

/// Of several sources that ask by HTTP only the URL tells which is which.
fn shown(source: &SourceStatus) -> Vec<(&'static str, &str)> {
    let interface = source.interface.as_deref().unwrap_or_default();
    let url = source.url.as_deref().map(|url| ("url", url));
    [("source", source.kind.as_str()), ("interface", interface)].into_iter().chain(url).collect()
}

fn labels(id: &SourceId) -> [(&'static str, &str); 2] {
    [("source", id.kind.as_str()), ("interface", id.interface.as_deref().unwrap_or_default())]
}
