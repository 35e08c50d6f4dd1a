//! What the other client holds, and what follows from what is seen of it. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use netlink_packet_route::RouteNetlinkMessage;

use super::evidence::Evidence;
use super::exchange::{Exchanges, Unfollowed};
use super::hint::is_alive;
use super::onlink::OnLink;
use super::packet::{self, CLIENT_PORT, Captured, Datagram, SERVER_PORT};
use super::{Filed, Settings, Told};
use crate::prefix::PrefixFilter;
use crate::source::dhcpv6::LeasedPrefix;
use crate::source::dhcpv6::client::{Ia, describe};
use crate::source::dhcpv6::wire::{Duid, Status, decode_asked};
use crate::source::link::LinkState;
use crate::source::{Cut, Offer, SourceReport};
use crate::time::{Deadline, Instant};

/// For how long sources of lower rank wait while nothing is known; as for a client of ours.
const PATIENCE: Duration = Duration::from_secs(60);
/// For how long a delegation that the client gave back may be given to it again: many do that when they are restarted.
const GIVEN_BACK: Duration = Duration::from_secs(60);

/// Something about the messages on this interface that the log should say, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The first message of a client that is not followed for this reason.
    Sent(Ipv6Addr, Unfollowed),
    /// The first message to a client.
    Received(Ipv6Addr, Unfollowed),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(source, why) => write!(f, "Ignored a DHCPv6 message that {source} sent: {why}"),
            Self::Received(source, why) => write!(f, "Ignored a DHCPv6 message of {source}: {why}"),
        }
    }
}

/// An IA_PD of the other client.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) client: Duid,
    pub(super) iaid: u32,
    pub(super) ia: Ia,
}

/// The clients of others on one interface.
#[derive(Debug)]
pub struct Observer {
    pub(super) settings: Settings,
    pub(super) link: Option<LinkState>,
    /// Counts the lives of the interface.
    pub(super) session: u64,
    pub(super) failure: Option<String>,
    pub(super) exchanges: Exchanges,
    pub(super) watched: Vec<Watched>,
    /// The server of the last lease.
    pub(super) server: Option<Duid>,
    /// What the client has given back, and when.
    pub(super) given_back: BTreeMap<Ipv6Net, Instant>,
    pub(super) evidence: Evidence,
    /// What numbers the links, which is no delegation.
    pub(super) on_link: OnLink,
    /// Until when sources of lower rank wait although nothing is known.
    patience: Option<Instant>,
    /// The DynamicPrefixes for which a prefix is held that they may use.
    held_for: BTreeSet<String>,
    /// The packets tell a lease, whoever may use it.
    is_leased: bool,
    /// What servers answered instead of a prefix.
    pub(super) refusal: Option<Status>,
    /// A client was seen that asks for no prefix.
    pub(super) without_prefixes: bool,
    dropped: BTreeMap<&'static str, u64>,
    noticed: BTreeSet<&'static str>,
    notices: VecDeque<Notice>,
    pub(super) reported: Option<SourceReport>,
}

impl Observer {
    /// One that has seen nothing, on an interface that does not exist until [`Observer::handle_link`] says so.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            link: None,
            session: 0,
            failure: None,
            exchanges: Exchanges::default(),
            watched: Vec::new(),
            server: None,
            given_back: BTreeMap::new(),
            evidence: Evidence::default(),
            on_link: OnLink::default(),
            patience: None,
            held_for: BTreeSet::new(),
            is_leased: false,
            refusal: None,
            without_prefixes: false,
            dropped: BTreeMap::new(),
            noticed: BTreeSet::new(),
            notices: VecDeque::new(),
            reported: None,
        }
    }

    /// Takes what a former run has stored: it is held until there is evidence that it is not.
    pub fn seed(&mut self, offers: &[Offer], now: Instant) {
        self.evidence.seed(offers);
        self.settle(now);
    }

    /// Takes a changed configuration of the same interface.
    pub fn reconfigure(&mut self, settings: Settings, now: Instant) {
        self.settings = settings;
        self.settle(now);
    }

    /// The interface appeared, vanished or changed.
    pub fn handle_link(&mut self, link: Option<LinkState>, now: Instant) {
        let before = std::mem::replace(&mut self.link, link);
        let ifindex = |link: &Option<LinkState>| link.as_ref().map(|link| link.ifindex);
        if before.is_some() && ifindex(&before) != ifindex(&self.link) {
            // What is delegated from now on did not come by the same session as what is held.
            self.session = self.session.saturating_add(1);
            self.exchanges.clear();
        }
        let came_up = self.is_up() && !before.as_ref().is_some_and(|before| before.up);
        if came_up {
            self.patience = Some(now + PATIENCE);
            self.evidence.begin_session();
        }
        self.evidence.handle_uplink(ifindex(&self.link));
        self.settle(now);
    }

    /// The packets cannot be seen, with a text that says why and what to do; `None`: they can again.
    pub fn handle_failure(&mut self, failure: Option<String>, now: Instant) {
        self.failure = failure;
        self.settle(now);
    }

    /// All routes and addresses of the host.
    pub fn handle_dump(&mut self, dump: &[RouteNetlinkMessage], now: Instant) {
        self.evidence.replace(dump, now);
        self.settle(now);
    }

    /// What has happened to them since.
    pub fn handle_events<'a>(&mut self, events: impl IntoIterator<Item = &'a RouteNetlinkMessage>, now: Instant) {
        for event in events {
            self.evidence.apply(event, now);
            self.on_link.apply(event, now);
        }
        self.settle(now);
    }

    /// What the client has written down.
    pub fn handle_filed(&mut self, filed: &[Filed], now: Instant) {
        self.evidence.file(filed, now);
        self.settle(now);
    }

    /// All that the client holds, as it says when it is asked.
    pub fn handle_described(&mut self, described: &[Filed], now: Instant) {
        self.evidence.describe(described, now);
        self.settle(now);
    }

    /// Somebody says what is delegated.
    pub fn handle_told(&mut self, told: &Told, now: Instant) {
        self.evidence.tell(told, now);
        if told.gone {
            for watched in &mut self.watched {
                watched.ia.withdraw(told.prefix.trunc(), now);
            }
        }
        self.settle(now);
    }

    /// A packet left this host by the interface.
    pub fn handle_sent(&mut self, captured: &Captured<'_>, now: Instant) {
        let datagram = match packet::parse(captured) {
            Ok(datagram) if datagram.destination_port == SERVER_PORT => datagram,
            Ok(_of_somebody_else) => return,
            Err(why) => return self.drop_message(Notice::Sent(Ipv6Addr::UNSPECIFIED, why.into())),
        };
        if let Err(why) = self.take_sent(&datagram, now) {
            self.drop_message(Notice::Sent(datagram.source, why));
        }
        self.settle(now);
    }

    /// What is forwarded leaves by the interface, too, and any program may send to servers.
    fn take_sent(&mut self, datagram: &Datagram<'_>, now: Instant) -> Result<(), Unfollowed> {
        if datagram.source_port != CLIENT_PORT {
            return Err(Unfollowed::SourcePort);
        }
        // Clients send from link-local addresses, and those are not forwarded: what a host behind this one sends from another
        // address of this one leaves here, too.
        if !(datagram.source.is_unicast_link_local() && self.has_address(datagram.source)) {
            return Err(Unfollowed::SourceAddress);
        }
        self.take_asked(decode_asked(datagram.payload)?, datagram.source, now)
    }

    /// A packet came in by the interface, for this host.
    pub fn handle_received(&mut self, captured: &Captured<'_>, now: Instant) {
        let datagram = match packet::parse(captured) {
            Ok(datagram) if datagram.destination_port == CLIENT_PORT => datagram,
            Ok(_for_somebody_else) => return,
            Err(why) => return self.drop_message(Notice::Received(Ipv6Addr::UNSPECIFIED, why.into())),
        };
        self.expire(now);
        if let Err(why) = self.take_datagram(&datagram, now) {
            self.drop_message(Notice::Received(datagram.source, why));
        }
        self.settle(now);
    }

    /// Does what is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle(now);
    }

    fn expire(&mut self, now: Instant) {
        self.on_link.expire(now);
        for watched in &mut self.watched {
            let asks = self.exchanges.asks_to_extend(&watched.client, watched.iaid, now);
            // By time alone nothing is lost that goes on: a Reply may have been missed.
            let is_over = |it: &&LeasedPrefix| it.valid_until.is_over(now);
            let goes_on = watched.ia.active().filter(is_over).any(|it| self.evidence.lives_on(it.prefix, now));
            watched.ia.expire(asks && !goes_on, now);
            watched.ia.forget(now);
        }
        let over = self.given_back.iter().filter(|(_, at)| **at + GIVEN_BACK <= now).map(|(prefix, _)| *prefix);
        over.collect::<Vec<_>>().into_iter().for_each(|prefix| self.end(prefix, now));
    }

    /// What follows from any input.
    fn settle(&mut self, now: Instant) {
        self.expire(now);
        let mut leased = self.leased();
        self.evidence.settle(&leased, self.failure.is_none(), now);
        if self.follow_routes(now) {
            leased = self.leased();
            self.evidence.settle(&leased, self.failure.is_none(), now);
        }
        self.is_leased = leased.iter().any(|offer| is_alive(offer, now));
        let held_for = self.usable_for(now);
        let names = &self.settings.names;
        if self.held_for.iter().any(|name| names.contains_key(name) && !held_for.contains(name)) {
            self.patience = Some(now + PATIENCE);
        }
        self.patience = self.patience.filter(|until| *until > now && held_for.len() < names.len());
        self.held_for = held_for;
    }

    /// For whom there is something to use. A unique local prefix, of which every host may make its own, is none for most.
    fn usable_for(&self, now: Instant) -> BTreeSet<String> {
        let offers: Vec<Offer> = self.offers().into_iter().filter(|offer| is_alive(offer, now)).collect();
        let is_usable = |(name, filter): &(&String, &PrefixFilter)| {
            let his = offers.iter().filter(|offer| offer.recipient.as_ref().is_none_or(|his| his == *name));
            his.into_iter().any(|offer| filter.check(offer.prefix).is_ok())
        };
        self.settings.names.iter().filter(is_usable).map(|(name, _)| name.clone()).collect()
    }

    /// What the packets tell.
    pub(super) fn leased(&self) -> Vec<Offer> {
        let offers = self.watched.iter().flat_map(|watched| watched.ia.offers());
        offers.map(|offer| self.anybodys(offer)).collect()
    }

    /// The offer as one for every DynamicPrefix on the interface. What was given back is not to be used for anything
    /// new; it may yet be given again. Nor is what has probably been replaced unseen.
    fn anybodys(&self, mut offer: Offer) -> Offer {
        offer.recipient = None;
        let reserved = self.evidence.reserved.get(&offer.prefix).into_iter().flatten();
        let unknown: Vec<_> = reserved.filter(|part| !offer.excluded.contains(part)).copied().collect();
        offer.excluded.extend(unknown);
        let given_back = self.given_back.get(&offer.prefix).copied();
        let since = given_back.or_else(|| self.evidence.displaced_at(offer.prefix));
        if let Some(at) = since.filter(|_| offer.cut != Some(Cut::Withdrawn)) {
            offer.preferred_until = offer.preferred_until.min(Deadline::At(at));
            offer.cut = Some(Cut::Unlisted);
        }
        offer
    }

    /// All that is known.
    pub(super) fn offers(&self) -> Vec<Offer> {
        let mut offers = self.leased();
        let others: Vec<Offer> = self.evidence.offers(&offers).collect();
        offers.extend(others);
        offers
    }

    /// Whether a prefix is held, as far as is known.
    pub(super) fn is_held(&self) -> bool {
        self.is_leased || !self.held_for.is_empty()
    }

    /// Whether nothing is known, and something may yet be.
    pub(super) fn is_patient(&self) -> bool {
        self.patience.is_some() && self.failure.is_none() && self.is_up()
    }

    /// Those for whom sources of lower rank have to wait. A client that holds nothing but what somebody may not use asks for
    /// nothing else.
    pub(super) fn pending(&self) -> BTreeSet<String> {
        let waits = self.is_patient() && !self.is_leased;
        let names = self.settings.names.keys().filter(|name| waits || self.held_for.contains(*name));
        names.cloned().collect()
    }

    pub(super) fn has_address(&self, address: Ipv6Addr) -> bool {
        self.link.as_ref().is_some_and(|link| link.has_address(address))
    }

    pub(super) fn is_up(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.up)
    }

    /// When [`Observer::handle_timeout`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let expires = self.watched.iter().filter_map(|watched| watched.ia.expires_at()).map(|at| (at, "expire"));
        let forgotten = self.watched.iter().filter_map(|watched| watched.ia.forget_at()).map(|at| (at, "forget"));
        let given_back = self.given_back.values().map(|at| (*at + GIVEN_BACK, "given-back"));
        let evidence = self.evidence.poll_timeout().map(|at| (at, "evidence"));
        let on_link = self.on_link.poll_timeout().map(|at| (at, "on-link"));
        let patience = self.patience.map(|at| (at, "stop-waiting"));
        expires.chain(forgotten).chain(given_back).chain(evidence).chain(on_link).chain(patience).min()
    }

    fn drop_message(&mut self, notice: Notice) {
        let (Notice::Sent(_, why) | Notice::Received(_, why)) = notice;
        *self.dropped.entry(why.as_str()).or_default() += 1;
        if !why.is_usual() && self.noticed.insert(why.as_str()) {
            self.notices.push_back(notice);
        }
    }

    /// Something to log.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// How many messages were not followed, by reason.
    pub fn dropped(&self) -> &BTreeMap<&'static str, u64> {
        &self.dropped
    }

    /// What the last answer of a server was, if it was no prefix.
    pub(super) fn refused(&self) -> Option<String> {
        self.refusal.as_ref().map(describe)
    }
}
