//! What the packets tell of the other client's leases. Pure.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::exchange::{Exchange, Unfollowed};
use super::hint::unknown;
use super::observer::{Observer, Watched};
use super::packet::Datagram;
use crate::source::dhcpv6::client::{Ia, Outcome, is_success, is_unicast, take_ia};
use crate::source::dhcpv6::wire::{Asked, ClientMessage, Duid, IaPd, Incoming, ServerMessage, StatusCode, decode};
use crate::source::dhcpv6::{Delegation, LeasedPrefix};
use crate::time::{Deadline, Instant};

/// How many IA_PDs are followed.
const MOST: usize = 32;

impl Observer {
    pub(super) fn take_asked(&mut self, asked: Asked, source: Ipv6Addr, now: Instant) -> Result<(), Unfollowed> {
        let exchange = self.exchanges.sent(asked, source, now)?.clone();
        match exchange.kind {
            ClientMessage::Renew | ClientMessage::Rebind => self.adopt(&exchange, now),
            ClientMessage::Release => {
                self.adopt(&exchange, now);
                let held: Vec<Ipv6Net> = self.held_by(&exchange.client).collect();
                let given_back = exchange.delegations.values().flatten().filter(|prefix| held.contains(prefix));
                self.given_back.extend(given_back.map(|prefix| (*prefix, now)));
            }
            ClientMessage::Solicit | ClientMessage::Request => {
                self.without_prefixes = !exchange.is_about_prefixes();
                if exchange.kind == ClientMessage::Solicit {
                    self.begin_anew(&exchange, now);
                }
            }
            ClientMessage::Confirm | ClientMessage::InformationRequest => {}
        }
        Ok(())
    }

    fn held_by(&self, client: &Duid) -> impl Iterator<Item = Ipv6Net> {
        let theirs = self.watched.iter().filter(move |watched| watched.client == *client);
        theirs.flat_map(|watched| watched.ia.active().map(|held| held.prefix))
    }

    /// Who solicits does not hold it: what no Reply has given a lifetime would not end otherwise.
    fn begin_anew(&mut self, exchange: &Exchange, now: Instant) {
        let is_asked =
            |watched: &Watched| watched.client == exchange.client && exchange.delegations.contains_key(&watched.iaid);
        let endless: Vec<Ipv6Net> = self.presumed(is_asked).collect();
        self.given_back.extend(endless.into_iter().map(|prefix| (prefix, now)));
    }

    /// Nor does a client that has taken its route away. Whether there is one.
    pub(super) fn follow_routes(&mut self, now: Instant) -> bool {
        let endless = self.presumed(|_| true).filter(|prefix| self.evidence.lost_route(*prefix));
        let given_back: Vec<Ipv6Net> = endless.filter(|prefix| !self.given_back.contains_key(prefix)).collect();
        let is_any = !given_back.is_empty();
        self.given_back.extend(given_back.into_iter().map(|prefix| (prefix, now)));
        is_any
    }

    /// What a client said that it holds, and nobody for how long.
    fn presumed(&self, is_meant: impl Fn(&Watched) -> bool) -> impl Iterator<Item = Ipv6Net> {
        let presumed = self.watched.iter().filter(move |watched| is_meant(watched));
        let presumed = presumed.filter(|watched| watched.ia.lease().received_at.is_none());
        let endless = presumed.flat_map(|watched| watched.ia.active());
        endless.filter(|held| held.valid_until == Deadline::Never).map(|held| held.prefix)
    }

    /// Who wants a lease renewed holds it. Who asks every server may merely hope so: then it must be known otherwise.
    fn adopt(&mut self, exchange: &Exchange, now: Instant) {
        for (iaid, prefixes) in &exchange.delegations {
            for prefix in prefixes.iter().filter(|prefix| is_unicast(**prefix)) {
                let is_known = self.watched.iter().any(|watched| watched.ia.active().any(|it| it.prefix == *prefix));
                let told = self.evidence.leased(*prefix, now);
                let renews = exchange.kind == ClientMessage::Renew;
                if renews {
                    self.evidence.confirm(*prefix);
                }
                let leased = told.or_else(|| renews.then(|| endless(*prefix, now)));
                if let Some(leased) = leased.filter(|_| !is_known) {
                    let session = self.session;
                    self.ia(&exchange.client, *iaid, now).adopt(leased, session);
                }
            }
        }
    }

    pub(super) fn take_datagram(&mut self, datagram: &Datagram<'_>, now: Instant) -> Result<(), Unfollowed> {
        let message = decode(datagram.payload)?;
        let exchange = self.exchanges.answered(&message, datagram.destination)?;
        if !self.has_address(datagram.destination) {
            return Err(Unfollowed::Destination);
        }
        match message.kind {
            ServerMessage::Advertise => self.note_refusal(&exchange, &message),
            ServerMessage::Reply => self.take_reply(&exchange, &message, now),
            ServerMessage::Reconfigure => return Err(Unfollowed::Unexpected),
        }
        Ok(())
    }

    fn take_reply(&mut self, exchange: &Exchange, message: &Incoming, now: Instant) {
        match exchange.kind {
            ClientMessage::Solicit | ClientMessage::Request | ClientMessage::Renew | ClientMessage::Rebind => {}
            ClientMessage::Release | ClientMessage::Confirm | ClientMessage::InformationRequest => {
                return self.exchanges.close(exchange);
            }
        }
        self.note_refusal(exchange, message);
        match message.status.code {
            StatusCode::Success | StatusCode::NoAddrsAvail | StatusCode::NoPrefixAvail => {}
            StatusCode::NoBinding => {
                for iaid in exchange.delegations.keys() {
                    self.ia(&exchange.client, *iaid, now).unbound = true;
                }
                return self.exchanges.close(exchange);
            }
            // The client goes on with the same exchange (RFC 9915 §18.2.10).
            StatusCode::UnspecFail | StatusCode::UseMulticast | StatusCode::NotOnLink | StatusCode::Other(_) => return,
        }
        let begins = self.begins(exchange);
        let mut granted = false;
        let asked = |option: &&IaPd| exchange.delegations.contains_key(&option.iaid);
        for option in message.delegations.iter().filter(asked) {
            let session = self.session;
            let (outcome, _) = take_ia(self.ia(&exchange.client, option.iaid, now), option, &[], session, now);
            granted |= outcome == Outcome::Granted;
        }
        if granted {
            self.granted(exchange, message, begins, now);
        }
    }

    /// Whether the client asks for all that it wants, as far as was seen of it. A Request without a Solicit may be the second
    /// half of that, or about what the server has forgotten (RFC 9915 §18.2.10.1).
    fn begins(&self, exchange: &Exchange) -> bool {
        let is_forgotten = |watched: &Watched| {
            let is_asked = watched.client == exchange.client && exchange.delegations.contains_key(&watched.iaid);
            is_asked && watched.ia.unbound
        };
        match exchange.kind {
            ClientMessage::Solicit => true,
            ClientMessage::Request => exchange.begins || !self.watched.iter().any(is_forgotten),
            ClientMessage::Renew
            | ClientMessage::Rebind
            | ClientMessage::Release
            | ClientMessage::Confirm
            | ClientMessage::InformationRequest => false,
        }
    }

    /// The client got something. `begins`: and nothing else.
    fn granted(&mut self, exchange: &Exchange, message: &Incoming, begins: bool, now: Instant) {
        self.exchanges.close(exchange);
        self.server.clone_from(&message.server_id);
        self.refusal = None;
        let mentioned = || message.delegations.iter().flat_map(|ia| &ia.prefixes);
        let held: Vec<Ipv6Net> = mentioned().filter(|prefix| prefix.valid > 0).map(|prefix| prefix.prefix).collect();
        self.given_back.retain(|prefix, _| !held.contains(prefix));
        held.iter().for_each(|prefix| self.evidence.confirm(*prefix));
        let asks = matches!(exchange.kind, ClientMessage::Solicit | ClientMessage::Request);
        let session = self.session;
        for watched in self.watched.iter_mut().filter(|_| asks) {
            // Who begins with a Solicit asks for all it wants (RFC 9915 §18.2.1), and there is one client. A Request
            // alone may be about what the server has forgotten (§18.2.10.1).
            let is_theirs = watched.client == exchange.client;
            let is_asked = exchange.delegations.contains_key(&watched.iaid) || !exchange.begins;
            if !(is_theirs && is_asked) {
                watched.ia.supersede(&held, session, now);
            }
        }
        let given_back: Vec<Ipv6Net> = self.given_back.keys().copied().collect();
        given_back.into_iter().for_each(|prefix| self.end(prefix, now));
        let known = self.watched.iter().flat_map(|watched| watched.ia.offers()).map(|offer| offer.prefix);
        // T1 of all that it holds lies before that (RFC 9915 §21.21), if it was given for as long.
        let preferred = mentioned().map(|prefix| prefix.preferred).filter(|preferred| *preferred > 0).max();
        let renewed_by = preferred.map_or(Deadline::Never, |seconds| Deadline::after(now, seconds));
        self.evidence.supersede(&known.collect::<Vec<_>>(), begins, renewed_by, now);
    }

    /// What was given back is not given again.
    pub(super) fn end(&mut self, prefix: Ipv6Net, now: Instant) {
        self.given_back.remove(&prefix);
        for watched in &mut self.watched {
            watched.ia.withdraw(prefix, now);
        }
    }

    fn note_refusal(&mut self, exchange: &Exchange, message: &Incoming) {
        let of_ias = message.delegations.iter().filter(|ia| exchange.delegations.contains_key(&ia.iaid));
        let of_ias =
            of_ias.flat_map(|ia| std::iter::once(&ia.status).chain(ia.prefixes.iter().map(|prefix| &prefix.status)));
        let mut all = std::iter::once(&message.status).chain(of_ias);
        let refused = all.find(|status| !is_success(status)).filter(|_| exchange.is_about_prefixes());
        self.refusal = refused.cloned();
    }

    /// The IA of a client, as far as there is a place for it.
    fn ia(&mut self, client: &Duid, iaid: u32, now: Instant) -> &mut Ia {
        let known = self.watched.iter().position(|watched| watched.client == *client && watched.iaid == iaid);
        let at = known.unwrap_or_else(|| {
            if self.watched.len() >= MOST {
                self.watched.remove(0);
            }
            let delegation = Delegation {
                dynamic_prefix: String::new(),
                iaid: Some(iaid),
                requested_length: None,
                hint: None,
                unreachable_route: false,
            };
            let ia = Ia::new(delegation, iaid, None, now);
            self.watched.push(Watched { client: client.clone(), iaid, ia });
            self.watched.len() - 1
        });
        &mut self.watched[at].ia
    }
}

/// What is held for nobody knows how long.
fn endless(prefix: Ipv6Net, now: Instant) -> LeasedPrefix {
    let offer = unknown(prefix, now);
    LeasedPrefix {
        prefix,
        preferred_until: offer.preferred_until,
        valid_until: offer.valid_until,
        excluded: None,
        first_seen: now,
    }
}
