//! What the daemon asks the API server for, by its audit log.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use crate::eyes::Span;
use crate::world::{USER, World};

/// The requests of the daemon in some spans of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    /// Writes of Services.
    pub(crate) services: usize,
    /// Writes of pools.
    pub(crate) pools: usize,
    /// Writes that were refused: of what, with which status.
    pub(crate) refused: BTreeMap<String, usize>,
    /// What else there was, but for watches that began: each is renewed every few minutes.
    pub(crate) others: Vec<String>,
}

impl World {
    /// What it asked for in each of these spans, together.
    pub(crate) fn requests(&self, spans: &[Span]) -> Result<Requests> {
        let mut requests = Requests::default();
        for event in self.server.audit_of(USER)? {
            let at: jiff::Timestamp = event.received.parse().context("a time in the audit log")?;
            let at = SystemTime::from(at);
            if event.verb == "watch" || !spans.iter().any(|(first, last)| (*first..=*last).contains(&at)) {
                continue;
            }
            let resource = event.raw["objectRef"]["resource"].as_str();
            match resource {
                _ if !event.is_write() => requests.others.push(format!("{} {}", event.verb, event.uri)),
                _ if event.code >= 300 => {
                    let what = format!("{} of {}", event.code, resource.unwrap_or_default());
                    *requests.refused.entry(what).or_default() += 1;
                }
                Some("services") => requests.services += 1,
                Some("ciliumloadbalancerippools") => requests.pools += 1,
                _ => requests.others.push(format!("{} {}", event.verb, event.uri)),
            }
        }
        Ok(requests)
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { services, pools, refused, others } = self;
        write!(f, "{services} writes of Services, {pools} of pools, refused: {refused:?}, {} others", others.len())?;
        others.iter().take(5).try_for_each(|other| write!(f, "\n    {other}"))
    }
}
