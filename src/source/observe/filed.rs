//! The files in which other clients keep their leases, as far as anybody may read them. Pure.
//!
//! dhcpcd keeps the last Reply as it came, and the time of the file is when that was; only root may read it. ISC dhclient
//! keeps a text, which everybody may read, and leaves no other trace on the host. systemd-networkd keeps nothing, and says
//! what it holds when it is asked.

use std::time::Duration;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::time::Instant;

pub(super) mod dhclient;
pub(super) mod dhcpcd;
pub(super) mod networkd;

/// For how long a file may be from the future: clocks are set.
const FUTURE: i64 = 5;

/// A prefix that a client has written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filed {
    /// The prefix.
    pub prefix: Ipv6Net,
    /// How many seconds ago the client was told.
    pub age: u64,
    /// The preferred lifetime in seconds, as it was told; [`crate::time::Deadline::INFINITY`]: for ever.
    pub preferred: u32,
    /// The valid lifetime in the same way.
    pub valid: u32,
    /// The part that no range may touch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<Ipv6Net>,
}

impl Filed {
    /// When the client was told.
    pub(super) fn since(&self, now: Instant) -> Instant {
        now - Duration::from_secs(self.age)
    }
}

/// The same, as it stands in a file: with the time, if that is in the file, in seconds of the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) prefix: Ipv6Net,
    pub(super) since: Option<i64>,
    pub(super) preferred: u32,
    pub(super) valid: u32,
    pub(super) excluded: Option<Ipv6Net>,
}

impl Written {
    /// With the age instead of the time. `modified`: of the file. Nothing, if it is from the future: then nobody knows when
    /// it was.
    pub(super) fn aged(self, modified: i64, wall: i64) -> Option<Filed> {
        let age = wall.saturating_sub(self.since.unwrap_or(modified));
        let age = if (-FUTURE..0).contains(&age) { 0 } else { age };
        let Self { prefix, preferred, valid, excluded, .. } = self;
        Some(Filed { prefix, age: u64::try_from(age).ok()?, preferred, valid, excluded })
    }
}
