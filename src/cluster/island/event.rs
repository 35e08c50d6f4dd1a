//! What an island tells the log, and how the driver answers it.

use std::time::Duration;

use serde_json::Value;

use crate::config::ObjectRef;

/// How the watch of a kind is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// It runs.
    Running,
    /// The API server does not serve the kind.
    NotServed,
    /// The account may not list or watch the kind; what the server said. Objects are then watched by name.
    Forbidden(String),
    /// It ended and is tried again; why.
    Failed(String),
}

/// A patch to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The object.
    pub object: ObjectRef,
    /// The API version to use.
    pub version: String,
    /// A JSON merge patch (RFC 7396) that carries `metadata.resourceVersion`.
    pub patch: Value,
}

/// Why a patch was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// 409: the object has changed since it was read.
    Conflict,
    /// 404
    NotFound,
    /// 403
    Forbidden(String),
    /// 422, 400, or an admission webhook that refused
    Invalid(String),
    /// The API server could not call an admission webhook.
    Webhook(String),
    /// 429 and 5xx
    Busy {
        /// What the server said.
        message: String,
        /// `Retry-After`
        retry_after: Option<Duration>,
    },
    /// 401
    Unauthorized(String),
    /// No answer.
    Unreachable(String),
}

impl WriteError {
    /// A word for the statistics.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::NotFound => "not-found",
            Self::Forbidden(_) => "forbidden",
            Self::Invalid(_) => "invalid",
            Self::Webhook(_) => "webhook",
            Self::Busy { .. } => "busy",
            Self::Unauthorized(_) => "unauthorized",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

/// Ends an entry of a Service in [`Event::Written`] and [`Event::Released`] that DNS names; the others are addresses that
/// it asks for.
pub const IN_DNS: &str = " (DNS)";

/// Why an object was given back to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// No binding and no annotation wants it any more.
    Unwanted,
    /// A person withdrew it (`dyn-prefix withdraw`).
    Withdrawn,
    /// Its cluster has left the configuration.
    ClusterLeft,
}

impl Release {
    /// A word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unwanted => "unwanted",
            Self::Withdrawn => "withdrawn",
            Self::ClusterLeft => "clusterLeft",
        }
    }
}

/// What the log should tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An object was written.
    Written {
        /// The object.
        object: ObjectRef,
        /// Entries of ours that are new.
        added: Vec<String>,
        /// Entries of ours that left.
        removed: Vec<String>,
        /// Time from the change that made it necessary to the answer of the API server.
        elapsed: Duration,
    },
    /// `dryRun`: this is what would have been sent. Once per object and patch.
    DryRun {
        /// The object.
        object: ObjectRef,
        /// Entries of ours that would be new.
        added: Vec<String>,
        /// Entries of ours that would leave.
        removed: Vec<String>,
        /// The JSON merge patch.
        patch: String,
    },
    /// The object is not ours to care for any more: our entries and our annotations left it.
    Released {
        /// The object.
        object: ObjectRef,
        /// Why.
        why: Release,
        /// Entries of ours that left.
        removed: Vec<String>,
        /// Time from the change that made it necessary to the answer of the API server.
        elapsed: Duration,
    },
    /// An object is not, or not wholly, as it should be. Once, until the reason changes.
    Failing {
        /// The object.
        object: ObjectRef,
        /// A CamelCase word, as in status.
        reason: String,
        /// A full sentence that says what to do.
        message: String,
    },
    /// An object that was failing is as it should be.
    Recovered {
        /// The object.
        object: ObjectRef,
    },
    /// A field manager keeps removing what we write; we step back.
    Contested {
        /// The object.
        object: ObjectRef,
        /// Its name in `metadata.managedFields`; `None` when it owns nothing there.
        manager: Option<String>,
        /// What to put into Argo CD or Flux for this object.
        hint: String,
    },
    /// Something odd about an object that is as it should be. Once, until the reason changes.
    Note {
        /// The object.
        object: ObjectRef,
        /// A CamelCase word, as in status.
        reason: String,
        /// A full sentence.
        message: String,
    },
}
