//! Keeps the routes of one client as its leases come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;

use ipnet::Ipv6Net;

use super::{Outcome, Wanted, apply};
use crate::log::{self, record};
use crate::source::Offer;
use crate::source::dhcpv6::{Memory, Settings};
use crate::time::{Deadline, Instant};

/// The routes of one client. Nothing is taken away when it is dropped: what is delegated stays delegated.
pub(in crate::source::dhcpv6) struct Keeper {
    /// Every prefix that the client has held.
    known: BTreeSet<Ipv6Net>,
    /// What was asked for last, and until when each prefix is held: a renewal has the routes looked at again.
    asked: Option<(Wanted, BTreeMap<Ipv6Net, Deadline>)>,
    /// It has to be looked at again when the work is done.
    stale: bool,
    work: Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    notes: BTreeMap<Ipv6Net, String>,
}

impl Keeper {
    /// Knows the prefixes that a former run held.
    pub(in crate::source::dhcpv6) fn new(memory: &Memory) -> Self {
        let prefixes = memory.leases.iter().flat_map(|lease| &lease.prefixes);
        Self {
            known: prefixes.map(|leased| leased.prefix).collect(),
            asked: None,
            stale: false,
            work: None,
            notes: BTreeMap::new(),
        }
    }

    /// Has the routes made as the offers of the client and the settings ask.
    pub(in crate::source::dhcpv6) fn follow(
        &mut self,
        offers: &[Offer],
        settings: &Settings,
        uplink: u32,
        now: Instant,
    ) {
        let ends: BTreeMap<Ipv6Net, Deadline> = offers
            .iter()
            .filter(|offer| !offer.valid_until.is_over(now))
            .map(|offer| (offer.prefix, offer.valid_until))
            .collect();
        let asks = |offer: &Offer| {
            let delegations = settings.delegations.iter();
            let mut own =
                delegations.filter(|own| offer.recipient.as_ref().is_none_or(|name| *name == own.dynamic_prefix));
            own.any(|delegation| delegation.unreachable_route)
        };
        let held: BTreeMap<Ipv6Net, bool> = ends
            .keys()
            .map(|prefix| (*prefix, offers.iter().any(|offer| offer.prefix == *prefix && asks(offer))))
            .collect();
        self.known.extend(held.keys());
        let former = self.known.iter().filter(|prefix| !held.contains_key(prefix)).copied().collect();
        self.notes.retain(|prefix, _| held.contains_key(prefix));
        let asked = Some((Wanted { held, former, uplink }, ends));
        if asked != self.asked && !self.known.is_empty() {
            self.asked = asked;
            self.stale = true;
            self.start();
        }
    }

    /// When a prefix ends, so that [`Self::follow`] is to be called again.
    pub(in crate::source::dhcpv6) fn poll_timeout(&self) -> Option<Instant> {
        let (_, ends) = self.asked.as_ref()?;
        let ends = ends.values().filter_map(|end| match end {
            Deadline::At(end) => Some(*end),
            Deadline::Never => None,
        });
        ends.min()
    }

    /// Waits for the work in progress; for ever without any. Cancel safe.
    pub(in crate::source::dhcpv6) async fn done(&mut self) -> Outcome {
        match self.work.as_mut() {
            Some(work) => work.await,
            None => std::future::pending().await,
        }
    }

    /// Takes what [`Self::done`] gave, and tells what is new of it.
    pub(in crate::source::dhcpv6) fn take(&mut self, outcome: Outcome, interface: &str) {
        self.work = None;
        for (prefixes, added) in [(&outcome.added, true), (&outcome.removed, false)] {
            for prefix in prefixes {
                log::emit(&record::unreachable_route(interface, prefix, added));
            }
        }
        for (prefix, note) in &outcome.notes {
            if self.notes.get(prefix) != Some(note) {
                log::emit(&record::dhcpv6_warning(interface, note));
            }
        }
        self.notes = outcome.notes;
        self.start();
    }

    /// For the report.
    pub(in crate::source::dhcpv6) fn notes(&self) -> impl Iterator<Item = &String> {
        self.notes.values()
    }

    fn start(&mut self) {
        if self.work.is_none() && self.stale {
            self.stale = false;
            self.work = self.asked.as_ref().map(|(wanted, _)| -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
                Box::pin(apply(wanted.clone()))
            });
        }
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("asked", &self.asked).finish_non_exhaustive()
    }
}
