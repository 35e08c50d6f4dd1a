//! What can go wrong, on request.

use std::time::Duration;

/// A fault that meets some requests.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The verb it meets; every one when empty.
    pub verb: &'static str,
    /// A part of path or query; empty: all.
    pub part: &'static str,
    /// Not those with `fieldSelector=metadata.name=` (RBAC with resourceNames).
    pub spares_named: bool,
    pub action: Action,
    /// How many requests it meets before it is over.
    pub times: Option<usize>,
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Answered with this code and message.
    Status(u16, &'static str),
    /// Carried out after this time.
    Delay(Duration),
    /// Carried out when the fault is cleared.
    Hang,
    /// The connection is closed.
    Drop,
}

impl Fault {
    /// A fault of every request with this verb and part.
    pub fn new(verb: &'static str, part: &'static str, action: Action) -> Self {
        Self { verb, part, spares_named: false, action, times: None }
    }

    /// The fault is over after this many requests.
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// RBAC: only requests for single objects pass.
    pub fn except_named(mut self) -> Self {
        self.spares_named = true;
        self
    }

    pub(super) fn meets(&self, verb: &str, path: &str, query: &str) -> bool {
        let is_spared = self.spares_named && query.contains("metadata.name");
        !is_spared
            && self.times != Some(0)
            && (self.verb.is_empty() || self.verb == verb)
            && (path.contains(self.part) || query.contains(self.part))
    }
}
