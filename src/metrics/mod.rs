//! What Prometheus is told: the text of `/metrics`, a function of the status and of what was counted.
//!
//! Names begin with `dyn_prefix_`, but for those of the process, which every program exports under the same ones. A
//! family without a sample is still declared, so that a rule about it can be told from a rule with a mistake. Labels
//! name what the configuration names; nothing that a neighbour on the wire chooses becomes a label.
//!
//! Nothing that is counted is stored. Counters begin at 0 with the process, those of a source with its task, which a
//! reload starts when the source comes into the configuration: for `rate()` and `increase()` a reset like any other.

use std::collections::BTreeMap;

use crate::host::decide::Counts;
use crate::source::{SourceId, Tally};
use crate::status::Status;

mod cluster;
pub mod counters;
mod host;
mod prefix;
pub mod process;
mod source;
mod text;

pub use counters::Counters;

use process::Process;
use text::{Kind, Text};

/// The media type of [`render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the daemon knows at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The status.
    pub status: Status,
    /// Whether the supervisor was told READY: the configuration is in use, and every source has spoken.
    pub is_ready: bool,
    /// How often each DynamicPrefix saw which transition.
    pub transitions: BTreeMap<(String, &'static str), u64>,
    /// What was counted since the start.
    pub counters: Counters,
    /// What came in on the sources' sockets.
    pub sources: BTreeMap<SourceId, Tally>,
    /// What hooks and files of this host did.
    pub host: Counts,
}

/// The text of `/metrics`.
pub fn render(snapshot: &Snapshot, process: &Process) -> String {
    let mut text = Text::default();
    daemon(snapshot, &mut text);
    prefix::render(snapshot, &mut text);
    source::render(snapshot, &mut text);
    cluster::render(snapshot, &mut text);
    host::render(snapshot, &mut text);
    process.render(&mut text);
    text.finish()
}

fn daemon(snapshot: &Snapshot, text: &mut Text) {
    let daemon = &snapshot.status.daemon;
    let id = [("version", daemon.version.as_str()), ("id", &daemon.id)];
    text.one("dyn_prefix_build_info", Kind::Gauge, "The version that runs, and who it is in managed-by.", &id, 1);
    let ready = "Whether every source has spoken since the start.";
    text.one("dyn_prefix_ready", Kind::Gauge, ready, &[], u8::from(snapshot.is_ready));
    let healthy = "Whether all is well: what makes `dyn-prefix status` exit with 0.";
    text.one("dyn_prefix_healthy", Kind::Gauge, healthy, &[], u8::from(snapshot.status.is_healthy()));
    let reloaded = "Whether the last reload of the configuration was accepted.";
    let accepted = daemon.reload_errors.is_empty();
    text.one("dyn_prefix_config_last_reload_successful", Kind::Gauge, reloaded, &[], u8::from(accepted));
    text.family(
        "dyn_prefix_config_last_reload_success_timestamp_seconds",
        Kind::Gauge,
        "When the configuration in use was read.",
    );
    if let Some(applied) = daemon.config_applied_at {
        text.sample(&[], applied.as_second());
    }
}
