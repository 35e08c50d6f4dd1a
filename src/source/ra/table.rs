//! The routers and prefixes of one interface, and what they amount to. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::packet::{self, Advertisement, DropReason, Ignored, Received};
use super::router::Router;
use super::solicit::{HOLD_OFF, PATIENCE, Solicitor};
use crate::config::{Acquisition, DynamicPrefix};
use crate::prefix::PrefixFilter;
use crate::source::link::LinkState;
use crate::source::{Advertised, Offer, SourceId, SourceKind, SourceReport, SourceState, hindrance};
use crate::time::Instant;

/// How many routers are kept.
const MAX_ROUTERS: usize = 8;

/// What the table has to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The interface to listen on.
    pub interface: String,
    /// One for each DynamicPrefix that takes its prefix from this interface.
    pub interests: Vec<Interest>,
}

/// What one DynamicPrefix takes from the advertisements on an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// `acquisition.prefixFilter`
    pub filter: PrefixFilter,
    /// `acquisition.routerAdvertisement.routers`; empty: every router.
    pub routers: Vec<Ipv6Addr>,
}

impl Settings {
    /// What `dynamic_prefixes` ask of the advertisements on `interface`: those that take their prefix from there, and
    /// those that are delegated one there, to which every router is a witness.
    pub fn for_interface(interface: &str, dynamic_prefixes: &[DynamicPrefix]) -> Self {
        let interest = |acquisition: &Acquisition| {
            let here = |named: &str| named == interface;
            let listens = acquisition.router_advertisement.as_ref().filter(|ra| here(&ra.interface));
            let is_delegated = acquisition.dhcpv6.as_ref().is_some_and(|dhcpv6| here(&dhcpv6.interface));
            let routers = listens.map(|ra| ra.routers.clone()).or_else(|| is_delegated.then(Vec::new))?;
            Some(Interest { filter: acquisition.filter.clone(), routers })
        };
        let interests = dynamic_prefixes.iter().filter_map(|prefix| interest(&prefix.acquisition)).collect();
        Self { interface: interface.to_owned(), interests }
    }

    fn wants_router(&self, router: Ipv6Addr) -> bool {
        self.interests.iter().any(|interest| interest.wants_router(router))
    }

    /// Whether `new` of this router can take the place of its `old`: one DynamicPrefix could use both.
    fn replaces(&self, router: Ipv6Addr, new: Ipv6Net, old: Ipv6Net) -> bool {
        self.interests
            .iter()
            .filter(|interest| interest.wants_router(router))
            .any(|interest| interest.filter.check(new).is_ok() && interest.filter.check(old).is_ok())
    }
}

impl Interest {
    fn wants_router(&self, router: Ipv6Addr) -> bool {
        self.routers.is_empty() || self.routers.contains(&router)
    }
}

/// How many packets and options were not used, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Whole packets.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Prefix Information options of packets that were used.
    pub ignored: BTreeMap<Ignored, u64>,
}

/// Something about the packets on this interface that the log should say, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The first packet that was dropped for this reason.
    Dropped(Ipv6Addr, DropReason),
    /// The first Prefix Information option that was ignored for this reason.
    Ignored(Ipv6Addr, Ignored),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped(source, reason) => write!(f, "Ignored a Router Advertisement from {source}: {reason}"),
            Self::Ignored(router, reason) => {
                write!(f, "Ignored a prefix in the Router Advertisement of {router}: {reason}")
            }
        }
    }
}

/// The Router Advertisements of one interface.
#[derive(Clone, Debug)]
pub struct Table {
    settings: Settings,
    link: Option<LinkState>,
    failure: Option<String>,
    hearing: Hearing,
    routers: BTreeMap<Ipv6Addr, Router>,
    /// What the routers said by the last time that something was due or heard.
    advertised: Option<Advertised>,
    solicitor: Solicitor,
    counters: Counters,
    notices: VecDeque<Notice>,
    reported: Option<SourceReport>,
}

/// What came of the link since it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    /// Nothing yet; enough waited at this instant.
    Nothing { patient_until: Instant },
    /// Nothing, and no one is expected to answer any more.
    Silence,
    /// At least one valid advertisement.
    Routers,
}

impl Table {
    /// A table that has heard nothing, on an interface that does not exist until [`Table::handle_link`] says so.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            link: None,
            failure: None,
            hearing: Hearing::Silence,
            routers: BTreeMap::new(),
            advertised: None,
            solicitor: Solicitor::default(),
            counters: Counters::default(),
            notices: VecDeque::new(),
            reported: None,
        }
    }

    /// Takes what a former run has stored, so that its routers can say that they no longer list it, or that it has
    /// ended. Offers without a router are left out, and those for which there is no place: the first count most.
    pub fn seed(&mut self, offers: &[Offer], now: Instant) {
        for offer in offers {
            let Some(address) = offer.router.filter(|router| self.settings.wants_router(*router)) else { continue };
            if self.routers.len() < MAX_ROUTERS || self.routers.contains_key(&address) {
                self.routers.entry(address).or_insert_with(|| Router::new(now)).seed(offer, now);
            }
        }
    }

    /// Takes a changed configuration of the same interface. The routers are asked again: what they said may have been
    /// refused before.
    pub fn reconfigure(&mut self, settings: Settings, now: Instant) {
        if settings == self.settings {
            return;
        }
        self.settings = settings;
        let settings = &self.settings;
        self.routers.retain(|address, _| settings.wants_router(*address));
        if self.can_send() {
            self.solicitor.confirm(now, HOLD_OFF);
        }
        self.handle_timeout(now);
    }

    /// The interface appeared, vanished or changed. Link-up is answered with solicitations.
    pub fn handle_link(&mut self, link: Option<LinkState>, now: Instant) {
        let before = std::mem::replace(&mut self.link, link);
        let Some(link) = self.link.as_ref().filter(|link| link.up) else {
            return self.solicitor.stop();
        };
        let same_link = before.as_ref().filter(|before| before.up && before.ifindex == link.ifindex);
        if same_link.is_none() {
            self.hearing = Hearing::Nothing { patient_until: now + PATIENCE };
        }
        // Without a link-local address that has passed duplicate address detection there is nothing to send from.
        if !link.can_send() {
            self.solicitor.stop();
        } else if !same_link.is_some_and(LinkState::can_send) {
            self.solicitor.start(now);
        }
        self.handle_timeout(now);
    }

    /// The socket cannot be used, with a text that says why and what to do; `None`: it can again.
    pub fn handle_failure(&mut self, failure: Option<String>) {
        self.failure = failure;
    }

    /// An ICMPv6 message arrived.
    pub fn handle_packet(&mut self, received: &Received<'_>, now: Instant) {
        match packet::parse(received) {
            Ok(advertisement) => self.handle_advertisement(&advertisement, now),
            Err(reason) => self.count_drop(received.source, reason),
        }
    }

    /// A valid advertisement arrived.
    pub fn handle_advertisement(&mut self, advertisement: &Advertisement, now: Instant) {
        let address = advertisement.router;
        if let Err(reason) = self.admit(address) {
            return self.count_drop(address, reason);
        }
        for reason in &advertisement.ignored {
            self.count_ignored(address, *reason, 1);
        }
        self.hearing = Hearing::Routers;
        let Some(mut router) = self.routers.remove(&address).or_else(|| self.admit_new(address, now)) else {
            return self.settle(now);
        };
        let refused = router.hear(advertisement, now, |new, old| self.settings.replaces(address, new, old));
        self.routers.insert(address, router);
        if refused > 0 {
            self.count_ignored(address, Ignored::TooManyPrefixes, refused);
        }
        self.settle(now);
    }

    /// Ends solicitations that have their answer, and plans those that have become necessary.
    fn settle(&mut self, now: Instant) {
        let waiting = self.routers.values().any(|router| router.has_doubt(true));
        if !waiting || !self.can_send() {
            self.solicitor.stop();
        }
        let unasked = self.routers.values().filter(|router| router.has_doubt(false));
        if let Some(hold_off) = unasked.map(|router| router.hold_off(now)).min()
            && self.can_send()
        {
            self.solicitor.confirm(now, hold_off);
        }
        self.handle_timeout(now);
    }

    fn admit(&self, router: Ipv6Addr) -> Result<(), DropReason> {
        if self.link.as_ref().is_some_and(|link| link.has_address(router)) {
            return Err(DropReason::OwnAddress);
        }
        if !self.settings.wants_router(router) {
            return Err(DropReason::RouterNotListed);
        }
        Ok(())
    }

    fn admit_new(&mut self, address: Ipv6Addr, now: Instant) -> Option<Router> {
        let admitted = self.make_room(now).then(|| Router::new(now));
        if admitted.is_none() {
            self.count_drop(address, DropReason::TooManyRouters);
        }
        admitted
    }

    fn make_room(&mut self, now: Instant) -> bool {
        if self.routers.len() < MAX_ROUTERS {
            return true;
        }
        let longest_silent = self
            .routers
            .iter()
            .filter(|(_, router)| router.is_dispensable(now))
            .min_by_key(|(_, router)| router.heard_at())
            .map(|(address, _)| *address);
        longest_silent.is_some_and(|address| self.routers.remove(&address).is_some())
    }

    fn can_send(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.up && link.can_send())
    }

    fn count_drop(&mut self, source: Ipv6Addr, reason: DropReason) {
        let count = self.counters.dropped.entry(reason).or_default();
        *count += 1;
        if *count == 1 {
            self.notices.push_back(Notice::Dropped(source, reason));
        }
    }

    fn count_ignored(&mut self, router: Ipv6Addr, reason: Ignored, times: u64) {
        let count = self.counters.ignored.entry(reason).or_default();
        let first = *count == 0;
        *count += times;
        if first {
            self.notices.push_back(Notice::Ignored(router, reason));
        }
    }

    /// Does what is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.solicitor.handle_timeout(now);
        if let Hearing::Nothing { patient_until } = self.hearing
            && patient_until <= now
        {
            self.hearing = Hearing::Silence;
        }
        for router in self.routers.values_mut() {
            router.forget(now);
        }
        self.advertised = (self.hearing == Hearing::Routers).then(|| self.gather(now));
    }

    /// What a DHCPv6 client should know of the routers.
    fn gather(&self, now: Instant) -> Advertised {
        let routers = || self.routers.values();
        Advertised {
            dhcpv6: routers().any(|router| router.managed() || router.other()),
            delegation_preferred: routers().any(|router| router.prefers_delegation(now)),
            prefixes: routers().flat_map(|router| router.usable(now)).collect(),
        }
    }

    /// When [`Table::handle_timeout`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let solicit = self.solicitor.poll_timeout().map(|at| (at, "solicit"));
        let patience = match self.hearing {
            Hearing::Nothing { patient_until } if self.is_up() => Some((patient_until, "stop-waiting")),
            Hearing::Nothing { .. } | Hearing::Silence | Hearing::Routers => None,
        };
        let forget = self.routers.values().filter_map(Router::forget_at).min().map(|at| (at, "forget"));
        [solicit, patience, forget].into_iter().flatten().min()
    }

    /// Whether to send a Router Solicitation now; it counts as sent.
    pub fn poll_solicit(&mut self) -> bool {
        let due = self.solicitor.poll();
        if due {
            self.routers.values_mut().for_each(Router::asked);
        }
        due
    }

    /// Something to log.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The report, if it differs from the one that this gave last.
    pub fn poll_report(&mut self) -> Option<SourceReport> {
        if !self.has_news() {
            return None;
        }
        self.reported = Some(self.report());
        self.reported.clone()
    }

    /// Whether [`Table::poll_report`] has a report.
    pub fn has_news(&self) -> bool {
        self.reported.as_ref() != Some(&self.report())
    }

    /// What is known now.
    pub fn report(&self) -> SourceReport {
        let id = SourceId::on(SourceKind::RouterAdvertisement, &self.settings.interface);
        SourceReport {
            offers: self.routers.iter().flat_map(|(address, router)| router.offers(*address)).collect(),
            next_wake: self.poll_timeout(),
            advertised: self.advertised.clone(),
            ..SourceReport::new(id, self.state())
        }
    }

    fn state(&self) -> SourceState {
        if let Some(hindrance) = hindrance(self.link.as_ref(), self.failure.as_ref()) {
            return hindrance;
        }
        match self.hearing {
            Hearing::Nothing { .. } => SourceState::Soliciting,
            Hearing::Silence => SourceState::Silent,
            Hearing::Routers => SourceState::Receiving,
        }
    }

    fn is_up(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.up)
    }

    /// What was not used, and how often.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

#[cfg(test)]
mod tests;
