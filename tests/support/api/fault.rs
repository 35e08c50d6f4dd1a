//! What can go wrong, on request.

use std::time::Duration;

/// A fault that meets some requests.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The verb it meets; every one when empty.
    pub(crate) verb: &'static str,
    /// A part of path or query; empty: all.
    pub(crate) part: &'static str,
    /// Not those with `fieldSelector=metadata.name=` (RBAC with resourceNames).
    pub(crate) spares_named: bool,
    pub(crate) action: Action,
    /// How many requests it meets before it is over.
    pub(crate) times: Option<usize>,
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Action {
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
    pub(crate) fn new(verb: &'static str, part: &'static str, action: Action) -> Self {
        Self { verb, part, spares_named: false, action, times: None }
    }

    /// The fault is over after this many requests.
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// RBAC: only requests for single objects pass.
    pub(crate) fn except_named(mut self) -> Self {
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
