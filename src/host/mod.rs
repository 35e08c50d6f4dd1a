//! This host as a target: commands that hear of every change (`[[hook]]`) and files that follow it (`[[file]]`).
//!
//! ```text
//!  coordinator ──facts──► [`decide::Jobs`] ──job──► [`run`] (a process), [`write`](mod@write) (a file)
//!                               ▲                          │
//!                               └────────outcome───────────┘
//! ```
//!
//! The decider knows what every hook was told last and what every file holds, and says what to do next: one run at a time
//! for each hook and file, always with the latest state, again with growing pauses until it has worked; what follows a
//! change is in the files before a hook hears of it. Templates of files are in [`template`]. Commands and file systems may be slow or hang; nothing of the daemon waits for them.

pub mod attempt;
pub mod decide;
mod environment;
pub mod facts;
mod file;
mod hook;
pub mod run;
pub mod template;
pub mod view;
pub mod write;

#[cfg(test)]
mod tests;

pub use decide::{Job, JobId, Jobs};
pub use facts::{Event, Facts};

use std::time::Duration;

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub result: Result<Done, Failure>,
    /// How long it took.
    pub took: Duration,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// A command ended with status 0.
    Ran,
    /// A file holds what it should. `changed`: it did not before; `reload_is_due`: nobody has been told of that yet, maybe
    /// since a former run of the daemon.
    Holds {
        /// Whether it was written now.
        changed: bool,
        /// Whether its reload command has to run.
        reload_is_due: bool,
    },
}

/// Why it was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A CamelCase word, stable: it is the `reason` in status.
    pub reason: &'static str,
    /// A full sentence.
    pub message: String,
}

impl Failure {
    /// The command could not be started.
    pub const NOT_STARTED: &'static str = "NotStarted";
    /// The command ended with another status than 0, or by a signal.
    pub const FAILED: &'static str = "Failed";
    /// The command took too long and was ended.
    pub const TIMED_OUT: &'static str = "TimedOut";
    /// The file could not be written.
    pub const NOT_WRITTEN: &'static str = "NotWritten";
    /// The template cannot be filled in with this prefix.
    pub const NOT_RENDERED: &'static str = "NotRendered";

    /// For the statistics.
    pub fn outcome(&self) -> &'static str {
        if self.reason == Self::TIMED_OUT { "timeout" } else { "failure" }
    }
}
