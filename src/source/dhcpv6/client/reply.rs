//! Replies (RFC 9915 §18.2.10): the status at its three levels, and what each IA says.

use ipnet::Ipv6Net;

use super::lease::Ia;
use super::select::Candidate;
use super::state::{Occasion, State};
use super::{Client, timers};
use crate::source::dhcpv6::wire::{Duid, IaPd, IaPrefix, Incoming, Status, StatusCode};
use crate::time::Instant;

/// The lengths of prefixes that ranges can be cut from.
const LENGTHS: std::ops::RangeInclusive<u8> = 1..=64;

/// What a Reply means for one IA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::source) enum Outcome {
    /// It is not in the Reply, or not in a way that counts.
    Silence,
    /// It is there, without any prefix that could be used.
    Empty,
    /// The server failed for a reason of its own.
    Failed,
    /// The server has nothing for it.
    Refused,
    /// The server does not know it.
    NoBinding,
    /// A prefix was delegated or extended.
    Granted,
}

/// What a Reply means for all of them.
#[derive(Debug, Default)]
struct Tally {
    outcomes: Vec<Outcome>,
    /// An address was leased or extended.
    address: bool,
    /// An IA that holds prefixes was not extended: it has to be asked for again, at the pace of retransmissions.
    unsettled: bool,
}

impl Tally {
    fn has(&self, outcome: Outcome) -> bool {
        self.outcomes.contains(&outcome)
    }
}

impl Client {
    pub(super) fn handle_reply(&mut self, message: &Incoming, server: &Duid, now: Instant) {
        match &self.state {
            State::Soliciting(_) => self.handle_rapid_reply(message, server, now),
            State::Requesting(_) => self.handle_request_reply(message, server, now),
            State::Renewing(_) | State::Rebinding(..) => self.handle_extension(message, server, now),
            State::Confirming { .. } => self.handle_confirmation(message, now),
            State::Informing(_) => self.settle("the server has answered", now),
            // Whatever it says (RFC 9915 §18.2.10.3).
            State::Releasing(..) => self.settle("the server has the lease back", now),
            State::Idle | State::Bound { .. } => {}
        }
    }

    /// Two messages instead of four. Servers that refuse that way are asked on (RFC 9915 §18.2.1).
    fn handle_rapid_reply(&mut self, message: &Incoming, server: &Duid, now: Instant) {
        let leases = matches!(message.status.code, StatusCode::Success | StatusCode::NoAddrsAvail);
        let tally = if leases { self.take(message, now) } else { Tally::default() };
        if tally.has(Outcome::Granted) || tally.address {
            self.bound(message, server, message.reconfigure_accept, now);
        } else {
            self.note_refusal(message);
        }
    }

    fn handle_request_reply(&mut self, message: &Incoming, server: &Duid, now: Instant) {
        self.note_refusal(message);
        match message.status.code {
            StatusCode::Success | StatusCode::NoAddrsAvail | StatusCode::NoPrefixAvail => {}
            StatusCode::NotOnLink => return self.fail_over("the server says that this is another link", now),
            StatusCode::NoBinding => return self.fail_over("the server knows of no such lease", now),
            // The exchange goes on, and ends after ten transmissions.
            StatusCode::UnspecFail | StatusCode::UseMulticast | StatusCode::Other(_) => return,
        }
        let State::Requesting(request) = &self.state else { return };
        let accepts = request.chosen.reconfigure_accept || message.reconfigure_accept;
        let tally = self.take(message, now);
        if tally.has(Outcome::Granted) || tally.address {
            self.bound(message, server, accepts, now);
        } else if tally.has(Outcome::NoBinding) || tally.has(Outcome::Refused) || tally.has(Outcome::Empty) {
            self.fail_over("the server does not give what it offered", now);
        } else if message.status.code == StatusCode::NoPrefixAvail {
            self.fail_over("the server has no prefix", now);
        }
    }

    /// A Reply to a Renew or Rebind.
    fn handle_extension(&mut self, message: &Incoming, server: &Duid, now: Instant) {
        if self.is_hasty(message, server) {
            return;
        }
        self.note_refusal(message);
        match message.status.code {
            StatusCode::Success | StatusCode::NoAddrsAvail | StatusCode::NoPrefixAvail => {}
            StatusCode::NoBinding => {
                self.ias.iter_mut().filter(|ia| !ia.released).for_each(|ia| ia.unbound = true);
                return self.request_known(server, now);
            }
            StatusCode::UnspecFail | StatusCode::UseMulticast | StatusCode::NotOnLink | StatusCode::Other(_) => return,
        }
        let tally = self.take(message, now);
        let granted = tally.has(Outcome::Granted) || tally.address;
        if granted {
            self.adopt(message, server, message.reconfigure_accept);
        }
        if tally.has(Outcome::NoBinding) {
            self.request_known(server, now);
        } else if !tally.unsettled && (granted || !self.is_bound()) {
            let why = if granted { self.held("extended") } else { "the server has ended the lease".to_owned() };
            self.settle(&why, now);
        }
    }

    /// Whether another server than that of the leases would end one of them, although the own one had no time to answer
    /// yet: after a link event all are asked, and whoever knows nothing of a lease may be the faster one. Not where there
    /// can be only one.
    fn is_hasty(&self, message: &Incoming, server: &Duid) -> bool {
        let State::Rebinding(exchange, Occasion::LinkCheck | Occasion::Reconfigure) = &self.state else { return false };
        let is_other = self.server.as_ref().is_some_and(|own| own != server);
        let is_shared = self.link.as_ref().is_some_and(|link| link.mac.is_some());
        let extends = |ia: &Ia| {
            let options = message.delegations.iter().filter(|option| option.iaid == ia.iaid);
            let mut granted = options.flat_map(|option| &option.prefixes).filter(|prefix| prefix.valid > 0);
            granted.any(|prefix| ia.active().any(|held| held.prefix == prefix.prefix))
        };
        let first = exchange.transmissions() < 2;
        first && is_other && is_shared && !self.ias.iter().filter(|ia| ia.is_bound()).all(extends)
    }

    /// Asks the server that does not know what it once gave for all IAs (RFC 9915 §18.2.10.1).
    fn request_known(&mut self, server: &Duid, now: Instant) {
        let candidate = Candidate::known(server.clone());
        self.request(candidate, Vec::new(), "the server does not know the lease any longer", now);
    }

    /// Success of any server counts more than another one's NotOnLink, which waits for the next retransmission.
    fn handle_confirmation(&mut self, message: &Incoming, now: Instant) {
        match message.status.code {
            StatusCode::Success => self.settle("the address fits the link", now),
            StatusCode::NotOnLink => {
                if let State::Confirming { refused, .. } = &mut self.state {
                    *refused = true;
                }
            }
            StatusCode::UnspecFail
            | StatusCode::NoAddrsAvail
            | StatusCode::NoBinding
            | StatusCode::UseMulticast
            | StatusCode::NoPrefixAvail
            | StatusCode::Other(_) => {}
        }
    }

    fn bound(&mut self, message: &Incoming, server: &Duid, accepts_reconfigure: bool, now: Instant) {
        if message.authentication.as_ref().is_some_and(|authentication| authentication.rkap.is_some()) {
            // A server that delegates anew has perhaps forgotten which key it gave before.
            self.key = None;
        }
        self.adopt(message, server, accepts_reconfigure);
        self.setbacks = 0;
        // Except for what was not part of the Request.
        let unasked = self.ias.iter().any(|ia| ia.is_missing() && ia.refusal.is_none());
        self.early = self.early.filter(|_| unasked);
        self.settle(&self.held("delegated"), now);
    }

    /// The server of the leases is this one.
    fn adopt(&mut self, message: &Incoming, server: &Duid, accepts_reconfigure: bool) {
        if self.server.as_ref() != Some(server) {
            self.server = Some(server.clone());
            self.key = None;
        }
        self.take_key(message, accepts_reconfigure);
        self.refusal = None;
        self.surroundings.confirm();
    }

    /// What is held, for the journal.
    fn held(&self, how: &str) -> String {
        let prefixes = self
            .ias
            .iter()
            .flat_map(|ia| ia.active().map(|held| format!("{} for {}", held.prefix, ia.delegation.dynamic_prefix)));
        let prefixes: Vec<_> = prefixes.collect();
        match &self.server {
            _ if prefixes.is_empty() => "there is an address, but no prefix".to_owned(),
            Some(server) => format!("server {server} has {how} {}", prefixes.join(", ")),
            None => prefixes.join(", "),
        }
    }

    /// Takes what a Reply says of every IA.
    fn take(&mut self, message: &Incoming, now: Instant) -> Tally {
        let session = self.session;
        let mut tally = Tally { address: self.take_address(message, now), ..Tally::default() };
        for index in 0..self.ias.len() {
            let others = self.kept_by_others(index, message);
            let Some(ia) = self.ias.get_mut(index).filter(|ia| !ia.released) else { continue };
            let mut outcome = Outcome::Silence;
            let iaid = ia.iaid;
            for option in message.delegations.iter().filter(|option| option.iaid == iaid) {
                let (taken, unusable) = take_ia(ia, option, &others, session, now);
                self.counters.unusable = self.counters.unusable.saturating_add(unusable);
                outcome = outcome.max(taken);
            }
            tally.unsettled |= outcome != Outcome::Granted && ia.is_bound();
            tally.outcomes.push(outcome);
            self.take_from_others(index, now);
        }
        tally
    }

    /// The prefixes of the other IAs that they go on having, going by this message: it mentions them there, or says
    /// nothing about that IA.
    fn kept_by_others(&self, index: usize, message: &Incoming) -> Vec<Ipv6Net> {
        let others = self.ias.iter().enumerate().filter(|(other, _)| *other != index);
        let kept = others.flat_map(|(_, ia)| {
            let options = || message.delegations.iter().filter(|option| option.iaid == ia.iaid);
            let is_silent = options().next().is_none();
            let mentions = move |prefix: Ipv6Net| {
                options().flat_map(|option| &option.prefixes).any(|it| it.prefix == prefix && it.valid > 0)
            };
            let held = ia.active().map(|held| held.prefix);
            held.filter(move |prefix| if is_silent { !ia.unbound } else { mentions(*prefix) })
        });
        kept.collect()
    }

    /// A prefix that a server has moved to another IA is in that one only.
    fn take_from_others(&mut self, index: usize, now: Instant) {
        let own: Vec<Ipv6Net> = self.ias.get(index).into_iter().flat_map(Ia::active).map(|held| held.prefix).collect();
        for (_, ia) in self.ias.iter_mut().enumerate().filter(|(other, _)| *other != index) {
            for prefix in &own {
                ia.withdraw(*prefix, now);
            }
        }
    }

    /// Remembers why a server gave nothing.
    pub(super) fn note_refusal(&mut self, message: &Incoming) {
        self.refusal = (!is_success(&message.status)).then(|| message.status.clone());
        for ia in &mut self.ias {
            let options = message.delegations.iter().filter(|option| option.iaid == ia.iaid);
            let statuses = options.flat_map(|option| {
                std::iter::once(&option.status).chain(option.prefixes.iter().map(|prefix| &prefix.status))
            });
            if let Some(status) = statuses.into_iter().find(|status| !is_success(status)) {
                ia.refusal = Some(status.clone());
            }
        }
    }
}

/// Takes one IA_PD option. How many of its prefixes are of no use, too.
///
/// A prefix with valid lifetime 0 has ended whatever the status says: Kea sends NoPrefixAvail and the end of the old
/// prefix in one IA.
pub(in crate::source) fn take_ia(
    ia: &mut Ia,
    option: &IaPd,
    others: &[Ipv6Net],
    session: u64,
    now: Instant,
) -> (Outcome, u64) {
    let mut refusal = outcome_of(&option.status);
    let usable = |prefix: &&IaPrefix| {
        prefix.preferred <= prefix.valid && is_unicast(prefix.prefix) && !others.contains(&prefix.prefix)
    };
    let good = |prefix: &&IaPrefix| prefix.valid > 0 && is_success(&prefix.status);
    let granted: Vec<_> = option.prefixes.iter().filter(good).filter(usable).collect();
    let unusable = option.prefixes.iter().filter(good).count().saturating_sub(granted.len());
    let lifetimes: Vec<_> = granted.iter().map(|prefix| (prefix.preferred, prefix.valid)).collect();
    let Some(timers) = timers::timers((option.t1, option.t2), &lifetimes, now) else {
        return (Outcome::Silence, 0);
    };
    for ended in option.prefixes.iter().filter(|prefix| prefix.valid == 0) {
        ia.withdraw(ended.prefix, now);
    }
    for refused in option.prefixes.iter().filter(|prefix| prefix.valid > 0) {
        refusal = refusal.or_else(|| outcome_of(&refused.status));
    }
    let unusable = u64::try_from(unusable).unwrap_or(u64::MAX);
    if outcome_of(&option.status).is_none() && !granted.is_empty() {
        let is_new = !ia.is_held();
        // A server that knew of no binding has made a new one: what is not in it is not delegated any more.
        let mut renumbered = ia.unbound;
        for prefix in &granted {
            renumbered |= ia.grant(prefix, session, now);
        }
        if renumbered {
            let mentioned: Vec<_> = option.prefixes.iter().map(|prefix| prefix.prefix).collect();
            ia.supersede(&mentioned, session, now);
        }
        ia.bind(timers, is_new, now);
        return (Outcome::Granted, unusable);
    }
    if refusal == Some(Outcome::NoBinding) {
        ia.unbound = true;
    }
    (refusal.unwrap_or(Outcome::Empty), unusable)
}

/// What a status that is not Success means for an IA.
fn outcome_of(status: &Status) -> Option<Outcome> {
    match status.code {
        StatusCode::Success => None,
        StatusCode::NoBinding => Some(Outcome::NoBinding),
        StatusCode::NoPrefixAvail | StatusCode::NoAddrsAvail | StatusCode::NotOnLink => Some(Outcome::Refused),
        StatusCode::UnspecFail | StatusCode::UseMulticast | StatusCode::Other(_) => Some(Outcome::Failed),
    }
}

pub(in crate::source) fn is_success(status: &Status) -> bool {
    status.code == StatusCode::Success
}

/// Whether ranges can be cut from a prefix.
pub(in crate::source) fn is_unicast(prefix: Ipv6Net) -> bool {
    let network = prefix.network();
    let special =
        network.is_multicast() || network.is_unicast_link_local() || network.is_loopback() || network.is_unspecified();
    LENGTHS.contains(&prefix.prefix_len()) && !special
}
