//! Lines about clusters and their objects.

use std::time::Duration;

use super::duration;
use crate::cluster::{ConnectionState, Health};
use crate::config::ObjectRef;
use crate::log::{Entry, Priority};

const WRITTEN: &str = "bc3e334641504278b51c1175f000211f";
const RELEASED: &str = "80dfd5ab2bd54900b9e2a057fd4d6fb6";
const FAILING: &str = "92604e923d1548deac49cdcd642971b3";
const RECOVERED: &str = "1d003111116945a689b8683d9bde3f12";
const CONTESTED: &str = "cf093d015096455d9d659cd9d61838f0";
const DRY_RUN: &str = "e1b899646f364892aa0e54ffc7672eae";
const NOTE: &str = "e6c6eb937dc041d6842c89818b97e09f";
const CLUSTER: &str = "eee83721b58c48e585b08cc952f4f365";

/// The MESSAGE_IDs of this module.
#[cfg(test)]
pub(super) const IDS: [&str; 8] = [WRITTEN, RELEASED, FAILING, RECOVERED, CONTESTED, DRY_RUN, NOTE, CLUSTER];

/// An object that was written, with what changed on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The object.
    pub object: ObjectRef,
    /// Entries of ours that are new.
    pub added: Vec<String>,
    /// Entries of ours that left.
    pub removed: Vec<String>,
    /// From the change that made it necessary to the answer of the API server.
    pub elapsed: Duration,
}

/// How many objects a line names before it counts the rest.
const NAMED: usize = 4;

/// Objects of one cluster were written, at least one.
pub fn written(cluster: &str, written: &[Written]) -> Entry {
    let slowest = written.iter().map(|write| write.elapsed).max().unwrap_or_default();
    let message = match written {
        [write] => format!("{cluster}: {} {}, in {}.", write.object, difference(write), duration(slowest)),
        several => format!(
            "{cluster}: {} written, the last after {}; {} {}.",
            several_objects(several.iter().map(|write| &write.object)),
            duration(slowest),
            several.first().map(|write| write.object.to_string()).unwrap_or_default(),
            several.first().map(difference).unwrap_or_default(),
        ),
    };
    of_cluster(cluster, written.iter().map(|write| &write.object), Entry::new(WRITTEN, Priority::Info, message))
}

/// Objects of one cluster were given back to the user.
pub fn released(cluster: &str, released: &[Written]) -> Entry {
    let message = format!(
        "{cluster}: {} released: no binding and no annotation refers to it any more; what was ours is taken out.",
        several_objects(released.iter().map(|write| &write.object))
    );
    of_cluster(cluster, released.iter().map(|write| &write.object), Entry::new(RELEASED, Priority::Info, message))
}

/// Objects of one cluster are not as they should be, all for the same reason.
pub fn failing(cluster: &str, reason: &str, failing: &[(ObjectRef, String)]) -> Entry {
    let first = failing.first().map(|(object, message)| format!("{object}: {message}")).unwrap_or_default();
    let more = match failing.len() {
        0 | 1 => String::new(),
        count => format!(" The same for {} more.", several_objects(failing.iter().skip(1).take(count).map(|(o, _)| o))),
    };
    let message = format!("{cluster}: {first} ({reason}){more}");
    of_cluster(cluster, failing.iter().map(|(object, _)| object), Entry::new(FAILING, Priority::Warning, message))
}

/// Objects of one cluster that were failing are as they should be.
pub fn recovered(cluster: &str, objects: &[ObjectRef]) -> Entry {
    let message = format!("{cluster}: {} in order again.", several_objects(objects.iter()));
    of_cluster(cluster, objects.iter(), Entry::new(RECOVERED, Priority::Info, message))
}

/// Somebody keeps removing what we write.
pub fn contested(cluster: &str, object: &ObjectRef, manager: Option<&str>, hint: &str) -> Entry {
    let manager = manager.unwrap_or("somebody without a field manager");
    let message =
        format!("{cluster}: {object}: {manager} keeps removing what belongs there; writing less often. {hint}");
    of_cluster(cluster, [object], Entry::new(CONTESTED, Priority::Warning, message))
}

/// With `dryRun`, what would have been sent.
pub fn dry_run(cluster: &str, object: &ObjectRef, patch: &str) -> Entry {
    let message = format!("{cluster}: dryRun is on; this would have been sent to {object}: {patch}");
    of_cluster(cluster, [object], Entry::new(DRY_RUN, Priority::Info, message))
}

/// Something odd about an object that is in order.
pub fn note(cluster: &str, object: &ObjectRef, reason: &str, message: &str) -> Entry {
    let message = format!("{cluster}: {object}: {message} ({reason})");
    of_cluster(cluster, [object], Entry::new(NOTE, Priority::Info, message))
}

/// The connection to a cluster changed.
pub fn health(cluster: &str, health: &Health) -> Entry {
    let version = health.server_version.as_deref().unwrap_or("of unknown version");
    let (priority, message) = match (&health.reason, health.state) {
        (None, ConnectionState::Connected) => {
            (Priority::Info, format!("{cluster}: connected to the API server {version}."))
        }
        (Some((reason, message)), _) => (Priority::Warning, format!("{cluster}: {message} ({reason})")),
        (None, state) => (Priority::Warning, format!("{cluster}: {}.", state.as_str())),
    };
    Entry { cluster: Some(cluster.to_owned()), ..Entry::new(CLUSTER, priority, message) }
}

/// What was told before is still so.
pub fn still(entry: &Entry) -> Entry {
    Entry { message: format!("Still so: {}", entry.message), ..entry.clone() }
}

/// Names the cluster, and the object when there is only one.
fn of_cluster<'a>(cluster: &str, objects: impl IntoIterator<Item = &'a ObjectRef>, entry: Entry) -> Entry {
    let mut objects = objects.into_iter();
    let target = objects.next().filter(|_| objects.next().is_none()).map(ToString::to_string);
    Entry { cluster: Some(cluster.to_owned()), target, ..entry }
}

fn several_objects<'a>(objects: impl Iterator<Item = &'a ObjectRef> + Clone) -> String {
    let count = objects.clone().count();
    let named: Vec<String> = objects.take(NAMED).map(ToString::to_string).collect();
    match count {
        0..=NAMED => named.join(", "),
        _ => format!("{count} objects ({} …)", named.join(", ")),
    }
}

fn difference(write: &Written) -> String {
    match (write.added.is_empty(), write.removed.is_empty()) {
        (false, true) => format!("now holds {}", write.added.join(", ")),
        (true, false) => format!("no longer holds {}", write.removed.join(", ")),
        (false, false) => {
            format!("now holds {}, and no longer {}", write.added.join(", "), write.removed.join(", "))
        }
        (true, true) => "has its entries in a new order".to_owned(),
    }
}
