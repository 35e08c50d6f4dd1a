//! Router Advertisements beside a delegation. Some home routers get a new prefix, say so in their advertisements, and
//! never tell those to whom they have delegated parts of the old one: whoever sees it asks early.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::Ipv6Net;

use super::Client;
use super::state::State;
use crate::source::Advertised;
use crate::time::Instant;

/// The least time between two early Renews.
const HOLD_OFF: Duration = Duration::from_secs(30);

/// What the advertisements on the link say.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    latest: Advertised,
    /// There were prefixes on the link once: from now on another set is a change.
    known: bool,
    /// When the last early Renew was, or is, due.
    asked_at: Option<Instant>,
    doubt: Option<String>,
}

impl Surroundings {
    /// Whether an advertisement has come in.
    pub(super) fn has_spoken(&self) -> bool {
        self.latest != Advertised::default()
    }

    /// The server has delegated or extended since.
    pub(super) fn confirm(&mut self) {
        self.doubt = None;
    }

    /// Why what is held may not be right.
    pub(super) fn doubt(&self) -> Option<&String> {
        self.doubt.as_ref()
    }
}

impl Client {
    /// Whether it must wait for a router that says that there is DHCPv6.
    pub(super) fn awaits_router(&self) -> bool {
        let Advertised { dhcpv6, delegation_preferred, .. } = self.surroundings.latest;
        self.settings.require_router_advertisement && !dhcpv6 && !delegation_preferred
    }

    pub(super) fn look_around(&mut self, advertised: &Advertised, now: Instant) {
        let before = std::mem::replace(&mut self.surroundings.latest, advertised.clone());
        self.resettle(now);
        let was_known = std::mem::replace(&mut self.surroundings.known, true);
        self.surroundings.known = was_known || !advertised.prefixes.is_empty();
        if !was_known || before.prefixes == advertised.prefixes {
            return;
        }
        let gone: Vec<_> = before.prefixes.difference(&advertised.prefixes).copied().collect();
        let new: Vec<_> = advertised.prefixes.difference(&before.prefixes).copied().collect();
        let new: Vec<_> = new.into_iter().filter(|new| !self.is_delegated(*new)).collect();
        let is_held = self.ias.iter().any(super::lease::Ia::is_held);
        if !is_held || gone.is_empty() && new.is_empty() {
            return;
        }
        self.surroundings.doubt = Some(self.doubt_about(&gone, &new));
        if matches!(self.state, State::Bound { .. } | State::Informing(_)) && self.early.is_none() {
            let at = self.surroundings.asked_at.map_or(now, |asked_at| now.max(asked_at + HOLD_OFF));
            (self.surroundings.asked_at, self.early) = (Some(at), Some(at));
        }
    }

    /// Whether a prefix on the link is part of what is held.
    fn is_delegated(&self, prefix: Ipv6Net) -> bool {
        self.ias.iter().flat_map(super::lease::Ia::active).any(|held| held.prefix.contains(&prefix))
    }

    fn doubt_about(&self, gone: &[Ipv6Net], new: &[Ipv6Net]) -> String {
        let list = |prefixes: &[Ipv6Net]| prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let what = match (new, gone) {
            ([], gone) => format!("no longer announce {}", list(gone)),
            (new, []) => format!("announce {}, which is not part of the delegation", list(new)),
            (new, gone) => format!("announce {} and no longer {}", list(new), list(gone)),
        };
        let held: BTreeSet<_> = self.ias.iter().flat_map(super::lease::Ia::active).map(|held| held.prefix).collect();
        let held = held.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let interface = &self.settings.interface;
        format!(
            "Router Advertisements on {interface} {what}; the DHCPv6 server has not confirmed {held} since, and is asked"
        )
    }
}
