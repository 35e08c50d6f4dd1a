//! Hooks and files of this host.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A hook, for one DynamicPrefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookStatus {
    /// Its name.
    pub name: String,
    /// The DynamicPrefix.
    pub dynamic_prefix: String,
    /// Whether it has been told what is true now, and ended well.
    pub synced: bool,
    /// When it last ended well.
    pub last_run_time: Option<Timestamp>,
    /// What it was then run for.
    pub last_event: Option<String>,
    /// When the next attempt is made, after a failure.
    pub retry_at: Option<Timestamp>,
    /// `Synced`, or why not.
    pub reason: String,
    /// A full sentence, when there is more to say.
    pub message: Option<String>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileStatus {
    /// The file.
    pub path: String,
    /// Whether it holds what it should, and its reload command has ended well since.
    pub synced: bool,
    /// When it was last written.
    pub last_write_time: Option<Timestamp>,
    /// When the next attempt is made, after a failure.
    pub retry_at: Option<Timestamp>,
    /// `Synced`, or why not.
    pub reason: String,
    /// A full sentence, when there is more to say.
    pub message: Option<String>,
    /// What it would hold; only in `plan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

impl HookStatus {
    /// Whether it fails; one that is only on the way is well.
    pub fn is_failing(&self) -> bool {
        self.retry_at.is_some()
    }
}

impl FileStatus {
    /// Whether it fails; one that is only on the way is well.
    pub fn is_failing(&self) -> bool {
        self.retry_at.is_some() || self.reason == "NotRendered"
    }
}
