//! Lines about clusters and their objects.

use std::time::Duration;

use jiff::Timestamp;

use super::duration;
use crate::cluster::island::{IN_DNS, Release};
use crate::cluster::{ConnectionState, Health};
use crate::config::{Kind, ObjectRef};
use crate::log::{Entry, Priority};

const WRITTEN: &str = "bc3e334641504278b51c1175f000211f";
const RELEASED: &str = "80dfd5ab2bd54900b9e2a057fd4d6fb6";
const FAILING: &str = "92604e923d1548deac49cdcd642971b3";
const RECOVERED: &str = "1d003111116945a689b8683d9bde3f12";
const CONTESTED: &str = "cf093d015096455d9d659cd9d61838f0";
const DRY_RUN: &str = "e1b899646f364892aa0e54ffc7672eae";
const NOTE: &str = "e6c6eb937dc041d6842c89818b97e09f";
const CLUSTER_LEFT: &str = "e0b594aaf5894b64ae048cad1b22875e";
const CLUSTER: &str = "eee83721b58c48e585b08cc952f4f365";
const CREDENTIALS_END: &str = "db90960897cf4123a9eceb34860725f3";

/// The MESSAGE_IDs of this module.
#[cfg(test)]
pub(super) const IDS: [&str; 10] =
    [CLUSTER_LEFT, WRITTEN, RELEASED, FAILING, RECOVERED, CONTESTED, DRY_RUN, NOTE, CLUSTER, CREDENTIALS_END];

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

/// The steps of a Service, as they sort: it asks, DNS names, it no longer asks.
pub const STEPS: [&str; 3] = ["asks", "dns", "ends"];

impl Written {
    /// Which of [`STEPS`] of a Service it was: those of one step are told of together; "" for all others.
    pub fn step(&self) -> &'static str {
        let names = |entry: &&String| entry.ends_with(IN_DNS);
        match (self.object.kind, self.added.iter().find(|entry| !names(entry)), self.added.iter().find(names)) {
            (Kind::Service, Some(_), _) => STEPS[0],
            (Kind::Service, None, Some(_)) => STEPS[1],
            (Kind::Service, None, None) => STEPS[2],
            (Kind::CiliumLoadBalancerIPPool | Kind::CiliumCIDRGroup | Kind::IPAddressPool, ..) => "",
        }
    }
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
pub fn released(cluster: &str, why: Release, released: &[Written]) -> Entry {
    let are_services = released.iter().all(|write| write.object.kind == Kind::Service);
    let because = match why {
        Release::Withdrawn => "it was withdrawn (`dyn-prefix withdraw`), until `dyn-prefix resume`",
        Release::ClusterLeft => "its cluster is not in the configuration any more",
        Release::Unwanted if are_services => "nothing manages it any more",
        Release::Unwanted => "no binding and no annotation in force refers to it any more",
    };
    let what = if are_services {
        "the addresses that it asked for on our behalf, and those that DNS named, are taken out"
    } else {
        "what was ours is taken out"
    };
    let objects = several_objects(released.iter().map(|write| &write.object));
    let message = format!("{cluster}: {objects} released: {because}; {what}.");
    of_cluster(cluster, released.iter().map(|write| &write.object), Entry::new(RELEASED, Priority::Info, message))
}

/// Objects of one cluster are not as they should be, all for the same reason.
pub fn failing(cluster: &str, reason: &str, failing: &[(ObjectRef, String)]) -> Entry {
    let first = failing.first().map(|(object, message)| format!("{object}: {message}")).unwrap_or_default();
    let more = match failing {
        [] | [_] => String::new(),
        [_, others @ ..] => format!(" The same for {}.", several_objects(others.iter().map(|(object, _)| object))),
    };
    let message = format!("{cluster}: {first} ({reason}){more}");
    of_cluster(cluster, failing.iter().map(|(object, _)| object), Entry::new(FAILING, Priority::Warning, message))
}

/// Objects of one cluster that were failing are as they should be.
pub fn recovered(cluster: &str, objects: &[ObjectRef]) -> Entry {
    let message = format!("{cluster}: {} in order again.", several_objects(objects.iter()));
    of_cluster(cluster, objects.iter(), Entry::new(RECOVERED, Priority::Info, message))
}

/// A cluster was taken out of the configuration; `left`: what is still on objects of it and why, a sentence each.
pub fn cluster_left(cluster: &str, left: &[String]) -> Entry {
    let (priority, message) = match left {
        [] => (Priority::Info, format!("{cluster}: not in the configuration any more; nothing of ours is left there.")),
        left => (
            Priority::Warning,
            format!(
                "{cluster}: not in the configuration any more, and not everything of ours could be taken out. {}",
                left.join(" ")
            ),
        ),
    };
    of_cluster(cluster, [], Entry::new(CLUSTER_LEFT, priority, message))
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
    if write.object.kind == Kind::Service {
        return difference_of_service(write);
    }
    match (write.added.is_empty(), write.removed.is_empty()) {
        (false, true) => format!("now holds {}", write.added.join(", ")),
        (true, false) => format!("no longer holds {}", write.removed.join(", ")),
        (false, false) => {
            format!("now holds {}, and no longer {}", write.added.join(", "), write.removed.join(", "))
        }
        (true, true) => "has its entries in a new order".to_owned(),
    }
}

/// What it asks for, and what DNS names for it.
fn difference_of_service(write: &Written) -> String {
    let (added, named) = asked_and_named(&write.added);
    let (removed, unnamed) = asked_and_named(&write.removed);
    let asks = match (added.is_empty(), removed.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("asks for {added}")),
        (true, false) => Some(format!("no longer asks for {removed}")),
        (false, false) => Some(format!("asks for {added}, and no longer for {removed}")),
    };
    let dns = match (named.is_empty(), unnamed.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("DNS is to name {named}")),
        (true, false) => Some(format!("DNS is no longer to name {unnamed}")),
        (false, false) => Some(format!("DNS is to name {named}, and no longer {unnamed}")),
    };
    let parts: Vec<String> = asks.into_iter().chain(dns).collect();
    // The first word follows the name of the Service.
    match parts.as_slice() {
        [] => "has its host part and its records brought up to date".to_owned(),
        [only] if only.starts_with("DNS") => format!("has its address: {only}"),
        _ => parts.join("; "),
    }
}

/// The addresses that a Service asks for, and those that DNS names.
fn asked_and_named(entries: &[String]) -> (String, String) {
    let (named, asked): (Vec<&str>, Vec<&str>) =
        entries.iter().map(String::as_str).partition(|entry| entry.ends_with(IN_DNS));
    let named: Vec<&str> = named.into_iter().filter_map(|entry| entry.strip_suffix(IN_DNS)).collect();
    (asked.join(", "), named.join(", "))
}

/// The credentials for a cluster end soon, or have ended.
pub fn credentials_end(cluster: &str, until: Timestamp, now: Timestamp) -> Entry {
    let days = until.duration_since(now).as_hours() / 24;
    let when = match days {
        _ if until <= now => format!("ended at {until}"),
        0 => format!("end within a day, at {until}"),
        1 => format!("end in 1 day, at {until}"),
        _ => format!("end in {days} days, at {until}"),
    };
    let message = format!(
        "The credentials for the cluster {cluster} {when}: put new ones into its kubeconfig; they are taken up at once."
    );
    Entry { cluster: Some(cluster.to_owned()), ..Entry::new(CREDENTIALS_END, Priority::Warning, message) }
}
