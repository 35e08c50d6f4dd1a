//! What the client is doing, and how it goes from one state to the next.

use std::time::Duration;

use ipnet::Ipv6Net;

use super::exchange::{Exchange, Timing};
use super::lease::Ia;
use super::select::{Candidate, Request, Solicitation};
use super::{Client, Notice};
use crate::source::dhcpv6::AddressLease;
use crate::source::dhcpv6::wire::ClientMessage;
use crate::time::Instant;

/// SOL_MAX_RT and INF_MAX_RT, unless a server sets them (RFC 9915 §7.6).
pub(super) const DEFAULT_MAX_RT: u32 = 3600;

/// The longest pause between a Request that a server refused and the next Solicit.
const LONGEST_PAUSE: u64 = 120;

/// What the client is doing. What is held, it holds in every state.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing: it cannot ask, must not yet, or has nothing to ask for.
    Idle,
    /// It looks for servers (RFC 9915 §18.2.1).
    Soliciting(Solicitation),
    /// It asks a server for what that has offered, or for what it does not know any longer (RFC 9915 §18.2.2).
    Requesting(Request),
    /// It waits for T1.
    Bound {
        /// Since when: what is missing is asked for again after a while.
        since: Instant,
    },
    /// It asks the server to extend what is held (RFC 9915 §18.2.4).
    Renewing(Exchange),
    /// It asks any server (RFC 9915 §18.2.5).
    Rebinding(Exchange, Occasion),
    /// It asks whether its address fits the link; only without any prefix (RFC 9915 §18.2.3).
    Confirming {
        /// The exchange.
        exchange: Exchange,
        /// A server has said that it does not; another one may know better.
        refused: bool,
    },
    /// It asks for what is not leased, as a Reconfigure wants (RFC 9915 §18.2.6).
    Informing(Exchange),
    /// It gives leases back (RFC 9915 §18.2.7).
    Releasing(Exchange, Release),
}

/// What is given back.
#[derive(Debug, Default)]
pub(super) struct Release {
    /// IAIDs and prefixes.
    pub(super) delegations: Vec<(u32, Vec<Ipv6Net>)>,
    /// The address of the IA_NA.
    pub(super) address: Option<AddressLease>,
}

impl Release {
    fn is_empty(&self) -> bool {
        self.delegations.is_empty()
    }
}

/// Why any server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// T2 is over.
    Expiry,
    /// The link may be another one (RFC 9915 §18.2.12).
    LinkCheck,
    /// A server wants it.
    Reconfigure,
}

impl State {
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        match self {
            Self::Idle | Self::Bound { .. } => None,
            Self::Soliciting(Solicitation { exchange, .. })
            | Self::Requesting(Request { exchange, .. })
            | Self::Renewing(exchange)
            | Self::Rebinding(exchange, _)
            | Self::Confirming { exchange, .. }
            | Self::Informing(exchange)
            | Self::Releasing(exchange, _) => Some(exchange),
        }
    }

    pub(super) fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        match self {
            Self::Idle | Self::Bound { .. } => None,
            Self::Soliciting(Solicitation { exchange, .. })
            | Self::Requesting(Request { exchange, .. })
            | Self::Renewing(exchange)
            | Self::Rebinding(exchange, _)
            | Self::Confirming { exchange, .. }
            | Self::Informing(exchange)
            | Self::Releasing(exchange, _) => Some(exchange),
        }
    }

    /// What it is doing, for the journal.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Soliciting(_) => "soliciting",
            Self::Requesting(_) => "requesting",
            Self::Bound { .. } => "bound",
            Self::Renewing(_) => "renewing",
            Self::Rebinding(..) => "rebinding",
            Self::Confirming { .. } => "confirming",
            Self::Informing(_) => "asking for information",
            Self::Releasing(..) => "releasing",
        }
    }
}

impl Client {
    /// The link changed, or may have: what is held is checked, and what is not is asked for at once.
    pub(super) fn relink(&mut self, why: &str, now: Instant) {
        self.resume_release();
        self.setbacks = 0;
        if !self.can_send() || !self.to_release.is_empty() {
            self.settle(why, now);
        } else if self.ias.iter().any(Ia::is_bound) {
            self.rebind(Occasion::LinkCheck, why, now);
        } else if self.address.is_some() {
            let exchange = self.exchange(ClientMessage::Confirm, Timing::LINK_CHECK, Duration::ZERO, now);
            self.enter(State::Confirming { exchange, refused: false }, why);
        } else {
            self.settle(why, now);
        }
    }

    /// What is being given back goes into the next Release, too: the server has not answered for it.
    pub(super) fn resume_release(&mut self) {
        if let State::Releasing(_, release) = &mut self.state {
            self.to_release = std::mem::take(release);
        }
    }

    /// Settles again if what it is doing makes no sense any longer.
    pub(super) fn resettle(&mut self, now: Instant) {
        let stays = match &self.state {
            State::Idle => false,
            State::Soliciting(_) => !self.awaits_router(),
            State::Bound { .. } | State::Renewing(_) | State::Rebinding(..) | State::Informing(_) => self.is_bound(),
            State::Confirming { .. } => self.address.is_some(),
            State::Requesting(_) | State::Releasing(..) => true,
        };
        if !stays {
            self.settle("the circumstances changed", now);
        }
    }

    /// Goes to the state that what is held asks for.
    pub(super) fn settle(&mut self, why: &str, now: Instant) {
        if !self.can_send() {
            self.enter(State::Idle, why);
        } else if !self.to_release.is_empty() {
            let exchange = self.exchange(ClientMessage::Release, Timing::RELEASE, Duration::ZERO, now);
            let released = std::mem::take(&mut self.to_release);
            self.enter(State::Releasing(exchange, released), why);
        } else if self.ias.iter().all(|ia| ia.released) {
            self.enter(State::Idle, why);
        } else if self.is_bound() {
            self.enter(State::Bound { since: now }, why);
        } else if self.awaits_router() {
            self.enter(State::Idle, why);
        } else {
            self.solicit(why, now);
        }
    }

    /// Looks for servers. After Requests in vain not at once: the next one would be refused, too.
    pub(super) fn solicit(&mut self, why: &str, now: Instant) {
        self.servers.clear();
        let timing = Timing::SOLICIT.capped(self.sol_max_rt.unwrap_or(DEFAULT_MAX_RT));
        let exchange = self.exchange(ClientMessage::Solicit, timing, self.pause(), now);
        self.enter(State::Soliciting(Solicitation::new(exchange)), why);
    }

    /// How long to wait after Requests in vain, before what may lead to the next one.
    fn pause(&self) -> Duration {
        let doublings = self.setbacks.saturating_sub(1).min(10);
        Duration::from_secs(if doublings == 0 { 0 } else { LONGEST_PAUSE.min(1 << doublings) })
    }

    /// Asks a server for its offer.
    pub(super) fn request(&mut self, chosen: Candidate, others: Vec<Candidate>, why: &str, now: Instant) {
        let exchange = self.exchange(ClientMessage::Request, Timing::REQUEST, Duration::ZERO, now);
        self.enter(State::Requesting(Request { exchange, chosen, others }), why);
    }

    pub(super) fn renew(&mut self, why: &str, now: Instant) {
        self.early = None;
        if self.server.is_none() {
            return self.rebind(Occasion::Expiry, why, now);
        }
        let exchange = self.exchange(ClientMessage::Renew, Timing::RENEW, self.pause(), now);
        self.enter(State::Renewing(exchange), why);
    }

    pub(super) fn rebind(&mut self, occasion: Occasion, why: &str, now: Instant) {
        self.early = None;
        let (timing, pause) = match occasion {
            Occasion::Expiry => (Timing::RENEW, self.pause()),
            Occasion::LinkCheck => (Timing::LINK_CHECK, Duration::ZERO),
            Occasion::Reconfigure => (Timing::ASKED_FOR, Duration::ZERO),
        };
        let exchange = self.exchange(ClientMessage::Rebind, timing, pause, now);
        self.enter(State::Rebinding(exchange, occasion), why);
    }

    pub(super) fn inform(&mut self, why: &str, now: Instant) {
        let timing = Timing::INFORMATION_REQUEST.capped(self.inf_max_rt.unwrap_or(DEFAULT_MAX_RT));
        let exchange = self.exchange(ClientMessage::InformationRequest, timing, Duration::ZERO, now);
        self.enter(State::Informing(exchange), why);
    }

    fn exchange(&mut self, kind: ClientMessage, timing: Timing, pause: Duration, now: Instant) -> Exchange {
        Exchange::new(kind, timing, pause, now, &mut self.random)
    }

    /// The one place where the state changes.
    fn enter(&mut self, state: State, why: &str) {
        let before = std::mem::replace(&mut self.state, state);
        let (before, after) = (before.as_str(), self.state.as_str());
        if before != after {
            let interface = &self.settings.interface;
            let sentence = format!("The DHCPv6 client on {interface} is now {after}, after {before}: {why}.");
            self.notices.push_back(Notice::Transition(sentence));
        }
    }

    /// Whether there is anything to extend.
    pub(super) fn is_bound(&self) -> bool {
        self.address.is_some() || self.ias.iter().any(Ia::is_bound)
    }

    /// Whether something is held that came by a former life of the interface. After a restart nobody knows on a
    /// point-to-point link: it has no MAC, and was perhaps dialled anew.
    pub(super) fn is_elsewhere(&self) -> bool {
        let dialled = self.link.as_ref().is_some_and(|link| link.mac.is_none());
        self.ias.iter().any(|ia| ia.is_bound() && (!ia.is_of(self.session) || dialled && ia.restored))
    }
}
