//! The messages that are sent: RFC 9915 §18.2, option by option.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::Client;
use super::exchange::Exchange;
use super::state::State;
use crate::source::dhcpv6::RawOptionMessages;
use crate::source::dhcpv6::wire::{self, ClientMessage, Duid, Outgoing, TooLong};
use crate::time::Instant;

/// OPTION_SOL_MAX_RT, OPTION_PD_EXCLUDE: wanted of every server that leases.
const OF_LEASES: [u16; 2] = [82, 67];

/// OPTION_INF_MAX_RT, OPTION_INFORMATION_REFRESH_TIME.
const OF_INFORMATION: [u16; 2] = [83, 32];

impl Client {
    /// The message of `exchange`, as it has to be at `now` (RFC 9915 §15: made anew for every transmission).
    pub(super) fn encoded(&self, exchange: &Exchange, now: Instant) -> Result<Vec<u8>, TooLong> {
        wire::encode(&self.outgoing(exchange, now))
    }

    fn outgoing(&self, exchange: &Exchange, now: Instant) -> Outgoing {
        let kind = exchange.kind();
        let establishing = matches!(kind, ClientMessage::Solicit | ClientMessage::Request);
        let leasing = establishing || matches!(kind, ClientMessage::Renew | ClientMessage::Rebind);
        let raw_options = self.settings.raw_options.iter().filter(|raw| match raw.messages {
            RawOptionMessages::All => true,
            RawOptionMessages::Establishing => establishing,
        });
        Outgoing {
            kind,
            transaction_id: exchange.transaction_id(),
            client_id: self.duid.clone(),
            server_id: self.addressee().cloned(),
            elapsed: exchange.elapsed(now),
            option_request: match kind {
                ClientMessage::InformationRequest => OF_INFORMATION.to_vec(),
                ClientMessage::Confirm | ClientMessage::Release => Vec::new(),
                ClientMessage::Solicit | ClientMessage::Request | ClientMessage::Renew | ClientMessage::Rebind => {
                    OF_LEASES.to_vec()
                }
            },
            rapid_commit: kind == ClientMessage::Solicit && self.settings.rapid_commit,
            reconfigure_accept: leasing && self.settings.reconfigure,
            delegations: self.delegations(),
            addresses: self.addresses(),
            raw_options: raw_options.cloned().collect(),
        }
    }

    /// The server that a message is for.
    fn addressee(&self) -> Option<&Duid> {
        match &self.state {
            State::Requesting(request) => Some(&request.chosen.server),
            State::Renewing(_) | State::Informing(_) | State::Releasing(..) => self.server.as_ref(),
            State::Idle
            | State::Soliciting(_)
            | State::Bound { .. }
            | State::Rebinding(..)
            | State::Confirming { .. } => None,
        }
    }

    /// All IAs in one message (RFC 9915 §18.2, RFC 7550).
    fn delegations(&self) -> Vec<(u32, Vec<Ipv6Net>)> {
        let wanted = self.ias.iter().filter(|ia| !ia.released);
        match &self.state {
            State::Soliciting(_) => wanted.map(|ia| (ia.iaid, ia.hint())).collect(),
            State::Requesting(request) => {
                let offered = |iaid| request.chosen.prefixes(iaid).map(<[_]>::to_vec);
                wanted.map(|ia| (ia.iaid, offered(ia.iaid).unwrap_or_else(|| ia.hint()))).collect()
            }
            State::Renewing(_) | State::Rebinding(..) => wanted.map(|ia| (ia.iaid, ia.extension())).collect(),
            State::Releasing(_, release) => release.delegations.clone(),
            State::Idle | State::Bound { .. } | State::Confirming { .. } | State::Informing(_) => Vec::new(),
        }
    }

    fn addresses(&self) -> Vec<(u32, Vec<Ipv6Addr>)> {
        let held = self.address.as_ref().map(|lease| lease.address);
        let address = match &self.state {
            State::Releasing(_, release) => {
                return release.address.iter().map(|lease| (lease.iaid, vec![lease.address])).collect();
            }
            State::Requesting(request) => held.or(request.chosen.address),
            State::Soliciting(_) | State::Renewing(_) | State::Rebinding(..) | State::Confirming { .. } => held,
            State::Idle | State::Bound { .. } | State::Informing(_) => return Vec::new(),
        };
        let iaid = self.address_iaid().filter(|_| self.settings.request_address);
        iaid.map(|iaid| (iaid, address.into_iter().collect())).into_iter().collect()
    }
}
