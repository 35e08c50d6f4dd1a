//! The state machine of the client (RFC 9915 §18.2). Pure: datagrams, links, advertisements and time go in; datagrams,
//! deadlines and reports come out.
//!
//! | file | what |
//! |---|---|
//! | `state` | what the client is doing, and every transition |
//! | `due` | what time brings: expiry, timers, retransmissions |
//! | `message` | what it sends |
//! | `receive` | which datagrams it takes |
//! | `select` | Advertises, and which server is asked |
//! | `reply` | Replies, IA by IA |
//! | `reconfigure` | Reconfigures |
//! | `lease`, `timers`, `patience` | what one IA_PD holds, until when, and since when it is asked for |
//! | `address` | the IA_NA beside them |
//! | `doubt` | Router Advertisements that contradict the delegation |
//! | `exchange`, `bucket`, `random` | when a message is sent again, and how many in all |
//! | `report` | what others learn of it |

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv6Addr;

use super::wire::{Duid, Status, TooLong};
use super::{AddressLease, Memory, ReconfigureKey, Settings};
use crate::source::link::LinkState;
use crate::source::{Advertised, SourceReport};
use crate::time::Instant;

mod address;
mod bucket;
mod doubt;
mod due;
mod exchange;
mod lease;
mod message;
mod patience;
mod random;
mod receive;
mod reconfigure;
mod reply;
mod report;
mod select;
mod state;
mod timers;

// For whoever watches the client of somebody else: what a Reply means for an IA is the same there.
pub(in crate::source) use lease::Ia;
pub(in crate::source) use reply::{Outcome, is_success, is_unicast, take_ia};
pub(in crate::source) use report::describe;

use bucket::Bucket;
use doubt::Surroundings;
use random::Random;
use receive::Counters;
use state::{Release, State};

/// A datagram, as the socket delivered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// The address it was sent to.
    pub destination: Ipv6Addr,
    /// The index of the interface it came in by.
    pub ifindex: u32,
    /// Its octets; empty when it did not fit into the buffer.
    pub bytes: &'a [u8],
}

/// Something that the journal should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A datagram was dropped; why. Told once for each reason.
    Dropped(String),
    /// The client went from one state to another; a full sentence.
    Transition(String),
    /// A server did something that deserves a warning; a full sentence.
    Warning(String),
}

/// The client of one interface.
///
/// After each input drain [`Self::poll_transmit`], [`Self::poll_notice`] and [`Self::poll_report`], and call
/// [`Self::handle_timeout`] at [`Self::poll_timeout`]. Inputs may come late or more often than needed.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    duid: Duid,
    link: Option<LinkState>,
    failure: Option<String>,
    state: State,
    /// One for each DynamicPrefix, in file order.
    ias: Vec<Ia>,
    address: Option<AddressLease>,
    /// The server of the leases.
    server: Option<Duid>,
    sol_max_rt: Option<u32>,
    inf_max_rt: Option<u32>,
    key: Option<ReconfigureKey>,
    /// Which life of the interface this is: they are counted.
    session: u64,
    /// How many Requests have failed since something was delegated.
    setbacks: u32,
    /// How often what is missing beside a lease was asked for in vain.
    retries: u32,
    /// When an early Renew is due.
    early: Option<Instant>,
    /// What is to be given back.
    to_release: Release,
    surroundings: Surroundings,
    /// The servers that answered the last Solicit.
    servers: BTreeSet<Duid>,
    /// What a server said last when it refused a whole message.
    refusal: Option<Status>,
    too_long: Option<TooLong>,
    counters: Counters,
    random: Random,
    bucket: Bucket,
    transmits: VecDeque<Vec<u8>>,
    notices: VecDeque<Notice>,
    reported: Option<SourceReport>,
}

impl Client {
    /// A client that knows what a former run knew. `seed` makes its random numbers.
    pub fn new(settings: Settings, memory: Memory, seed: [u8; 32], now: Instant) -> Self {
        let mut client = Self {
            duid: settings.duid.fixed().unwrap_or(&memory.duid).clone(),
            link: None,
            failure: None,
            state: State::Idle,
            ias: Vec::new(),
            address: memory.address.filter(|address| settings.request_address && !address.valid_until.is_over(now)),
            server: memory.server,
            sol_max_rt: memory.sol_max_rt.filter(|seconds| select::MAX_RT.contains(seconds)),
            inf_max_rt: memory.inf_max_rt.filter(|seconds| select::MAX_RT.contains(seconds)),
            key: memory.reconfigure_key,
            session: 0,
            setbacks: 0,
            retries: 0,
            early: None,
            to_release: Release::default(),
            surroundings: Surroundings::default(),
            servers: BTreeSet::new(),
            refusal: None,
            too_long: None,
            counters: Counters::default(),
            random: Random::new(seed),
            bucket: Bucket::default(),
            transmits: VecDeque::new(),
            notices: VecDeque::new(),
            reported: None,
            settings,
        };
        client.ias = client.ias_for(memory.leases, now);
        if client.duid != memory.duid {
            client.become_another(now);
        }
        client
    }

    /// The IAs that the settings ask for: those there are, those of `leases`, and new ones.
    fn ias_for(&mut self, mut leases: Vec<super::Lease>, now: Instant) -> Vec<Ia> {
        let mut before = std::mem::take(&mut self.ias);
        let mut taken: Vec<u32> = self.settings.delegations.iter().filter_map(|wanted| wanted.iaid).collect();
        taken.extend(before.iter().map(|ia| ia.iaid).chain(leases.iter().map(|lease| lease.iaid)));
        let mut ias = Vec::new();
        for wanted in &self.settings.delegations {
            let name = &wanted.dynamic_prefix;
            let known = before.iter().position(|ia| ia.delegation.dynamic_prefix == *name);
            if let Some(mut ia) = known.map(|position| before.swap_remove(position)) {
                ia.reconfigure(wanted.clone());
                ias.push(ia);
                continue;
            }
            let lease = leases.iter().position(|lease| lease.dynamic_prefix == *name);
            let lease = lease.map(|position| leases.swap_remove(position));
            let iaid = wanted.iaid.or_else(|| lease.as_ref().map(|lease| lease.iaid));
            let iaid = iaid.unwrap_or_else(|| lease::new_iaid(name, &taken));
            taken.push(iaid);
            ias.push(Ia::new(wanted.clone(), iaid, lease, now));
        }
        ias
    }

    /// Goes on with other settings of the same interface: an IA_PD more or less, other options. What was given back is
    /// asked for again.
    pub fn reconfigure(&mut self, settings: Settings, now: Instant) {
        self.expire(now);
        let wishes = |settings: &Settings| {
            let wish = |wanted: &super::Delegation| (wanted.dynamic_prefix.clone(), wanted.requested_length);
            settings.delegations.iter().map(wish).collect::<BTreeSet<_>>()
        };
        let asks_more = !wishes(&settings).is_subset(&wishes(&self.settings))
            || settings.request_address && !self.settings.request_address;
        let duid = settings.duid.fixed().cloned().unwrap_or_else(|| self.duid.clone());
        self.expire(now);
        self.settings = settings;
        self.ias = self.ias_for(Vec::new(), now);
        self.address = self.address.take().filter(|_| self.settings.request_address);
        self.key = self.key.take().filter(|_| self.settings.reconfigure);
        let asks_again = self.ias.iter().any(|ia| ia.released || ia.unbound);
        self.ias.iter_mut().for_each(|ia| ia.released = false);
        if duid != self.duid {
            self.duid = duid;
            self.become_another(now);
        } else if asks_more || asks_again {
            self.early = Some(now);
        }
        self.resettle(now);
        self.finish(now);
    }

    /// Another identity: no server knows what is held.
    fn become_another(&mut self, now: Instant) {
        self.ias.iter_mut().for_each(|ia| ia.unbound = true);
        (self.server, self.key, self.address) = (None, None, None);
        self.settle("it has another DUID now", now);
    }

    /// The interface changed; `None`: it does not exist.
    pub fn handle_link(&mut self, link: Option<LinkState>, now: Instant) {
        self.expire(now);
        let before = std::mem::replace(&mut self.link, link);
        let could_send = before.as_ref().is_some_and(|before| before.up && before.can_send());
        match (&before, &self.link) {
            (Some(before), Some(link)) if before.ifindex == link.ifindex => {
                let moved = before.mac != link.mac || !shares_link_local(before, link);
                if self.can_send() != could_send {
                    self.relink("the link changed", now);
                } else if could_send && moved {
                    self.relink("the interface has another address", now);
                }
            }
            (Some(_), _) => {
                self.session = self.session.saturating_add(1);
                self.relink("the interface is another one", now);
            }
            (None, _) => self.relink("the interface appeared", now),
        }
        self.finish(now);
    }

    /// There is no socket (the text says why and what to do), or there is one again.
    pub fn handle_failure(&mut self, failure: Option<String>, now: Instant) {
        self.expire(now);
        let changed = failure.is_some() != self.failure.is_some();
        self.failure = failure;
        if changed {
            self.relink("the socket is another one", now);
        }
        self.finish(now);
    }

    /// A datagram came in.
    pub fn handle_datagram(&mut self, received: &Received<'_>, now: Instant) {
        self.expire(now);
        self.receive(received, now);
        self.finish(now);
    }

    /// What the Router Advertisements on the interface say has changed.
    pub fn handle_advertised(&mut self, advertised: &Advertised, now: Instant) {
        self.expire(now);
        self.look_around(advertised, now);
        self.finish(now);
    }

    /// Gives the delegation of a DynamicPrefix back; whether there was one.
    pub fn release(&mut self, dynamic_prefix: &str, now: Instant) -> bool {
        self.expire(now);
        let Some(ia) = self.ias.iter_mut().find(|ia| ia.delegation.dynamic_prefix == dynamic_prefix) else {
            return false;
        };
        let (prefixes, iaid) = (ia.withdraw_all(now), ia.iaid);
        if prefixes.is_empty() {
            return false;
        }
        ia.released = true;
        self.resume_release();
        if self.server.is_some() {
            self.to_release.delegations.push((iaid, prefixes));
        }
        if self.ias.iter().all(|ia| ia.released) {
            self.to_release.address = self.address.take();
        }
        self.settle("a delegation is given back", now);
        self.finish(now);
        true
    }

    /// Does what is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        let overslept = self.poll_timeout().is_some_and(|(at, _)| now >= at + due::OVERSLEPT);
        self.expire(now);
        if overslept {
            self.relink("the host slept", now);
        }
        self.finish(now);
    }

    /// When [`Self::handle_timeout`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let forget = self.ias.iter().filter_map(Ia::forget_at).min().map(|at| (at, "forget"));
        [self.next_act(), forget].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The same without what nobody else notices.
    fn next_act(&self) -> Option<(Instant, &'static str)> {
        let expire = self.ias.iter().filter_map(Ia::expires_at).min().map(|at| (at, "expire"));
        let address = self.address.as_ref().and_then(|address| address.valid_until.instant()).map(|at| (at, "expire"));
        let missing = self.ias.iter().filter(|ia| ia.is_missing());
        let vain = missing.filter_map(|ia| ia.patience.ends_at()).min().map(|at| (at, "stop-waiting"));
        [self.wake(), expire, address, vain].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// A datagram to send to ff02::1:2, port 547.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// Something to log.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The report, if it differs from the one that this gave last.
    pub fn poll_report(&mut self) -> Option<SourceReport> {
        let report = self.report();
        if self.reported.as_ref() == Some(&report) {
            return None;
        }
        self.reported = Some(report.clone());
        Some(report)
    }

    /// Whether [`Self::poll_report`] has a report.
    pub fn has_news(&self) -> bool {
        self.reported.as_ref() != Some(&self.report())
    }

    /// Whether there is a link to send on, and something to send from.
    fn can_send(&self) -> bool {
        self.failure.is_none() && self.link.as_ref().is_some_and(|link| link.up && link.can_send())
    }
}

/// Whether there is a link-local address that could be sent from before and can now; true when there never was one.
fn shares_link_local(before: &LinkState, link: &LinkState) -> bool {
    let usable = |link: &LinkState| -> BTreeSet<Ipv6Addr> {
        let usable = link.addresses.iter().filter(|own| own.address.is_unicast_link_local() && !own.tentative);
        usable.map(|own| own.address).collect()
    };
    usable(before).is_empty() || !usable(before).is_disjoint(&usable(link))
}

#[cfg(test)]
mod tests;
