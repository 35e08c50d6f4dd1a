//! One Kubernetes cluster: an island with its own task, client, back-off and status.
//!
//! The decider ([`island`]) holds what is known of the cluster's objects and what they should hold, and says which
//! patch to send next. The driver ([`driver`]) owns the client and the watches, and does what it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::config::{Binding, Kind, ObjectRef, Service};
use crate::plan::Catalogue;
use crate::time::Instant;

pub mod access;
pub mod addresses;
pub mod admin;
mod authorization;
pub mod backoff;
pub mod client;
pub mod discovery;
pub mod driver;
pub mod entry;
mod exec;
pub mod expiry;
pub mod failure;
pub mod files;
mod health;
pub mod island;
pub mod kubeconfig;
pub mod mirror;
pub mod notice;
pub mod object;
pub mod ownership;
mod proxy;
pub mod schema;
pub mod selector;
pub mod service;
mod session;
pub mod timeouts;
mod tls;
mod told;
pub mod transition;
pub mod watch;

pub use told::{Paused, Told};

/// The whole wanted state of one cluster. Published as a latest value: who was away needs only the newest.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Who we are in `dynamic-prefix.io/managed-by`.
    pub daemon_id: String,
    /// Every DynamicPrefix, computed.
    pub catalogue: Arc<Catalogue>,
    /// The bindings for this cluster, in file order.
    pub bindings: Arc<Vec<Binding>>,
    /// The `[[service]]` entries for this cluster, in file order.
    pub services: Arc<Vec<Service>>,
    /// Objects (by uid) that must not be written here, with a full sentence why (another `[[cluster]]` is the same one).
    pub denied: Arc<BTreeMap<String, String>>,
    /// What a person told us about single objects.
    pub told: Arc<Told>,
}

/// What we keep about an object that we manage, beside the record on the object itself. Goes to the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Managed {
    /// The object.
    pub object: ObjectRef,
    /// Its uid: an object deleted and made anew under the same name is another one.
    pub uid: String,
    /// What each binding contributed last, as canonical entries (`cidr=P/LEN`, `range=A-B`).
    pub contributions: BTreeMap<String, Vec<String>>,
    /// Entries found without a record inside the then current generation: the user's until they go stale.
    pub unclaimed: Vec<String>,
    /// Recorded entries that lie in no known generation, with the instant at which they were first seen: they drain.
    pub strays: BTreeMap<String, Instant>,
}

/// How the connection to the cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What the connection does.
    pub state: ConnectionState,
    /// Why it is not connected, or what is odd about it: a CamelCase reason and a full sentence that says what to do.
    pub reason: Option<(String, String)>,
    /// The version of the API server, once known ("v1.36.3").
    pub server_version: Option<String>,
    /// When the next attempt is made, while not connected.
    pub retry_at: Option<Instant>,
    /// Things the user should know that are no failure (discovery not permitted, a kind that is not installed).
    pub notes: Vec<String>,
    /// From when until when the credentials in use are valid, where that can be known.
    pub validity: Option<Validity>,
}

/// From when until when credentials are valid, by what they say themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Since when, if that is said.
    pub from: Option<Timestamp>,
    /// Until when.
    pub until: Timestamp,
    /// Whether they are in a file of their own, which somebody may replace; else they stand in the kubeconfig, where
    /// nobody renews them.
    pub is_renewed: bool,
}

impl Validity {
    /// When somebody should be told that they end: 14 days before, or from the start where they last less. Those in a
    /// file that live no longer than that are renewed by a machine, as the token of a pod is; then it is their last tenth.
    pub fn warn_from(&self) -> Timestamp {
        let fortnight = SignedDuration::from_hours(14 * 24);
        let whole = self.from.filter(|_| self.is_renewed).map(|from| self.until.duration_since(from));
        let whole = whole.filter(|whole| *whole <= fortnight);
        let early = whole.map_or(fortnight, |whole| whole / 10);
        self.until.saturating_sub(early).unwrap_or(self.until)
    }
}

/// What the connection to a cluster does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// No answer yet.
    Connecting,
    /// Watches run.
    Connected,
    /// The API server cannot be reached or does not answer.
    Unreachable,
    /// It answers and refuses us (401), or the kubeconfig cannot be used.
    Unauthorized,
    /// The kubeconfig cannot be read or used.
    Misconfigured,
}

impl ConnectionState {
    /// The name of the state in `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::Misconfigured => "misconfigured",
        }
    }
}

/// The status of one target object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetReport {
    /// The object.
    pub object: ObjectRef,
    /// Its uid, once seen.
    pub uid: Option<String>,
    /// The bindings for it; [`crate::plan::ANNOTATION`] for its own annotations.
    pub bindings: Vec<String>,
    /// The exact CIDRs of the current generation that belong on it.
    pub bound_prefixes: Vec<String>,
    /// Our entries, as they are written on the object.
    pub desired: Vec<String>,
    /// The user's entries.
    pub foreign: Vec<String>,
    /// Whether the API server has accepted what is wanted.
    pub synced: bool,
    /// Whether the object's controller has seen it; `None` where that cannot be known.
    pub observed: Option<bool>,
    /// When it was last written.
    pub last_sync: Option<Instant>,
    /// When the next attempt is made, after a failure.
    pub retry_at: Option<Instant>,
    /// A CamelCase word: "Synced", or why not.
    pub reason: String,
    /// A full sentence, when there is more to say.
    pub message: Option<String>,
    /// Another daemon, if the object says that it is that one's.
    pub other: Option<OtherWriter>,
    /// What the store should keep about it; `None`: nothing (not managed).
    pub managed: Option<Managed>,
}

/// Another daemon that manages an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OtherWriter {
    /// Its id in `dynamic-prefix.io/managed-by`.
    pub id: String,
    /// When a dyn-prefix last wrote the object, as `metadata.managedFields` says (RFC 3339).
    pub wrote_at: Option<String>,
}

/// What a cluster tells the coordinator; only what changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// The connection, if it changed.
    pub health: Option<Health>,
    /// Targets that are new or changed.
    pub targets: Vec<TargetReport>,
    /// Objects that are targets no longer.
    pub removed: Vec<ObjectRef>,
    /// Objects that were ours and are another daemon's by now, with its id: given up and not written.
    pub given_up: Vec<(ObjectRef, String)>,
    /// The patches that were answered, or not.
    pub exchanges: Vec<Exchange>,
    /// What became of Kubernetes events: an outcome, and how many.
    pub notices: Vec<(&'static str, u64)>,
    /// The objects of kind DynamicPrefix that are ours, if that changed: their uids by name.
    pub published: Option<BTreeMap<String, String>>,
    /// Those of them that are to be deleted and cannot be, if that changed: why, a sentence each.
    pub stuck: Option<BTreeMap<String, String>>,
}

/// A patch that was sent, for the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The kind of the object.
    pub kind: Kind,
    /// What became of it: "accepted", or [`island::WriteError::outcome`].
    pub outcome: &'static str,
    /// From sending it to the whole answer.
    pub took: Duration,
}
