//! Which server is asked (RFC 9915 §18.2.9).

use std::cmp::Reverse;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv6Net;

use super::exchange::Exchange;
use super::reply::{is_success, is_unicast};
use super::state::State;
use super::{Client, address};
use crate::source::dhcpv6::wire::{Duid, IaPrefix, Incoming, StatusCode};
use crate::time::Instant;

/// The values of SOL_MAX_RT and INF_MAX_RT that count (RFC 9915 §21.24).
pub(super) const MAX_RT: RangeInclusive<u32> = 60..=86_400;

/// How many servers are kept in mind.
const MOST_CANDIDATES: usize = 16;

/// A search for servers.
#[derive(Debug)]
pub(super) struct Solicitation {
    pub(super) exchange: Exchange,
    /// Those that have offered something, in order of arrival.
    candidates: Vec<Candidate>,
    /// What the Advertises since the last transmission say about SOL_MAX_RT.
    sol_max_rt: Vote,
}

/// A request to one server, and whom to ask when it fails.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) exchange: Exchange,
    pub(super) chosen: Candidate,
    pub(super) others: Vec<Candidate>,
}

/// A server and its offer.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) server: Duid,
    preference: u8,
    /// IAIDs and what is offered for them.
    delegations: Vec<(u32, Vec<Ipv6Net>)>,
    pub(super) address: Option<Ipv6Addr>,
    /// It may send Reconfigures (RFC 9915 §21.20).
    pub(super) reconfigure_accept: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vote {
    Open,
    For(u32),
    Split,
}

impl Solicitation {
    pub(super) fn new(exchange: Exchange) -> Self {
        Self { exchange, candidates: Vec::new(), sol_max_rt: Vote::Open }
    }

    pub(super) fn has_candidates(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// A Solicit was sent.
    pub(super) fn begin_round(&mut self) {
        self.sol_max_rt = Vote::Open;
    }

    fn add(&mut self, candidate: Candidate) {
        self.candidates.retain(|known| known.server != candidate.server);
        if self.candidates.len() < MOST_CANDIDATES {
            self.candidates.push(candidate);
        }
    }

    /// Whether there is nothing to wait for.
    fn is_decided(&self) -> bool {
        let best = |candidate: &Candidate| candidate.preference == u8::MAX && !candidate.delegations.is_empty();
        self.exchange.transmissions() > 1 || self.candidates.iter().any(best)
    }

    /// SOL_MAX_RT, after one more Advertise; servers that disagree are not followed.
    fn vote(&mut self, seconds: u32) -> Option<u32> {
        self.sol_max_rt = match self.sol_max_rt {
            Vote::Open => Vote::For(seconds),
            Vote::For(other) if other == seconds => Vote::For(seconds),
            Vote::For(_) | Vote::Split => Vote::Split,
        };
        (self.sol_max_rt == Vote::For(seconds)).then_some(seconds)
    }
}

impl Candidate {
    /// A server that does not know what it once gave: it is asked for it anew.
    pub(super) fn known(server: Duid) -> Self {
        Self { server, preference: 0, delegations: Vec::new(), address: None, reconfigure_accept: false }
    }

    /// What is offered for an IAID.
    pub(super) fn prefixes(&self, iaid: u32) -> Option<&[Ipv6Net]> {
        self.delegations.iter().find(|(offered, _)| *offered == iaid).map(|(_, prefixes)| prefixes.as_slice())
    }

    /// For how many IAs there are prefixes, then the server's preference: one that gives nothing for some of them may be
    /// passed over whatever it prefers (RFC 9915 §18.2.9).
    fn rank(&self) -> impl Ord + use<> {
        (self.delegations.len(), self.preference)
    }
}

impl Client {
    pub(super) fn handle_advertise(&mut self, message: &Incoming, server: &Duid, now: Instant) {
        self.servers.insert(server.clone());
        if self.servers.len() > MOST_CANDIDATES {
            self.servers.pop_last();
        }
        let delegations = self.offered(message);
        let address = self.offered_address(message);
        if delegations.is_empty() && address.is_none() {
            return self.note_refusal(message);
        }
        let candidate = Candidate {
            server: server.clone(),
            preference: message.preference,
            delegations,
            address,
            reconfigure_accept: message.reconfigure_accept,
        };
        let State::Soliciting(solicitation) = &mut self.state else { return };
        solicitation.add(candidate);
        if solicitation.is_decided() {
            self.request_best(now);
        }
    }

    /// Asks the best of the servers that have answered.
    pub(super) fn request_best(&mut self, now: Instant) {
        let State::Soliciting(solicitation) = &mut self.state else { return };
        let mut candidates = std::mem::take(&mut solicitation.candidates);
        // Stable: of equals, the one that was faster.
        candidates.sort_by_key(|candidate| Reverse(candidate.rank()));
        let mut candidates = candidates.into_iter();
        let Some(best) = candidates.next() else { return };
        let why = format!("server {} has offered", best.server);
        self.request(best, candidates.collect(), &why, now);
    }

    /// A Request was in vain: asks the next server, or looks for one.
    pub(super) fn fail_over(&mut self, why: &str, now: Instant) {
        let State::Requesting(request) = &mut self.state else { return };
        let mut others = std::mem::take(&mut request.others).into_iter();
        if let Some(next) = others.next() {
            return self.request(next, others.collect(), why, now);
        }
        self.setbacks = self.setbacks.saturating_add(1);
        self.settle(why, now);
    }

    /// The prefixes of an Advertise that are of use, for each of our IAs.
    fn offered(&mut self, message: &Incoming) -> Vec<(u32, Vec<Ipv6Net>)> {
        // NoAddrsAvail is about addresses (RFC 9915 §21.13), wherever servers put it.
        if !matches!(message.status.code, StatusCode::Success | StatusCode::NoAddrsAvail) {
            return Vec::new();
        }
        let mut offered: Vec<(u32, Vec<Ipv6Net>)> = Vec::new();
        for ia in self.ias.iter().filter(|ia| !ia.released) {
            let options = message.delegations.iter().filter(|option| option.iaid == ia.iaid);
            let usable =
                options.filter(|option| is_success(&option.status) && (option.t2 == 0 || option.t1 <= option.t2));
            let mut prefixes = Vec::new();
            for prefix in usable.flat_map(|option| &option.prefixes).filter(|prefix| prefix.valid > 0) {
                let twice = prefixes.contains(&prefix.prefix)
                    || offered.iter().any(|(_, prefixes)| prefixes.contains(&prefix.prefix));
                if is_offer(prefix) && !twice {
                    prefixes.push(prefix.prefix);
                } else {
                    self.counters.unusable = self.counters.unusable.saturating_add(1);
                }
            }
            if !prefixes.is_empty() {
                offered.push((ia.iaid, prefixes));
            }
        }
        offered
    }

    fn offered_address(&self, message: &Incoming) -> Option<Ipv6Addr> {
        let iaid = self.address_iaid().filter(|_| self.settings.request_address)?;
        if !is_success(&message.status) {
            return None;
        }
        let options = message.addresses.iter().filter(|option| option.iaid == iaid && is_success(&option.status));
        let mut addresses = options.flat_map(|option| &option.addresses);
        addresses.find(|offered| offered.valid > 0 && address::is_usable(offered)).map(|offered| offered.address)
    }

    /// Takes SOL_MAX_RT and INF_MAX_RT from a message, whatever else is in it (RFC 9915 §18.2.9, §21.24).
    pub(super) fn note_max_rt(&mut self, message: &Incoming) {
        if let Some(seconds) = message.sol_max_rt.filter(|seconds| MAX_RT.contains(seconds)) {
            self.sol_max_rt = match &mut self.state {
                State::Soliciting(solicitation) => solicitation.vote(seconds),
                State::Idle
                | State::Requesting(_)
                | State::Bound { .. }
                | State::Renewing(_)
                | State::Rebinding(..)
                | State::Confirming { .. }
                | State::Informing(_)
                | State::Releasing(..) => Some(seconds),
            };
            self.cap_solicit();
        }
        self.inf_max_rt = message.inf_max_rt.filter(|seconds| MAX_RT.contains(seconds)).or(self.inf_max_rt);
    }
}

/// Whether the prefix of an Advertise is worth asking for.
fn is_offer(prefix: &IaPrefix) -> bool {
    is_success(&prefix.status) && prefix.preferred <= prefix.valid && is_unicast(prefix.prefix)
}
