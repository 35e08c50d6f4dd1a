//! The exchanges of the other client, and which answers belong to them. Pure.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;

use crate::source::dhcpv6::wire::{Asked, ClientMessage, Duid, Incoming, Malformed, ServerMessage, TransactionId};
use crate::time::Instant;

use super::packet::DropReason;

/// How many exchanges are followed at a time. A client has one for its delegations, and perhaps one for information.
const MOST: usize = 8;
/// For how long after its last transmission an exchange may still go on: REN_MAX_RT and REB_MAX_RT are 600 s, and up to
/// a tenth more (RFC 9915 §7.6, §15).
const STILL_ASKING: Duration = Duration::from_secs(660);

/// A message that is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfollowed {
    /// Not even a datagram.
    #[error("{0}")]
    Dropped(#[from] DropReason),
    /// It is malformed.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// A program without privileges, a relay agent, a host behind this one. Clients send from their port.
    #[error("it was not sent from UDP port 546")]
    SourcePort,
    /// A host behind this one, or another device on top of the interface.
    #[error("it was not sent from an address of the interface")]
    SourceAddress,
    /// A client's message without an identity.
    #[error("it has no client identifier")]
    Anonymous,
    /// No message of such an exchange was seen to leave this host. Also every answer after the first.
    #[error("no message with its transaction-id was seen to leave this host")]
    UnknownExchange,
    /// It is for another client, or for none.
    #[error("it does not have the identifier of the client that asked")]
    ForeignClient,
    /// It is from another server than the one that was asked, or from none.
    #[error("it does not have the identifier of the server that was asked")]
    ForeignServer,
    /// It was not sent to where the client asked from.
    #[error("it was not sent to the address that the client asked from")]
    Destination,
    /// A client would not take such a message at this point.
    #[error("it is no answer to what the client asked")]
    Unexpected,
}

impl Unfollowed {
    /// A word for the reason, for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dropped(reason) => reason.as_str(),
            Self::Malformed(_) => "malformed",
            Self::SourcePort => "source-port",
            Self::SourceAddress => "source-address",
            Self::Anonymous => "anonymous",
            Self::UnknownExchange => "unknown-exchange",
            Self::ForeignClient => "foreign-client",
            Self::ForeignServer => "foreign-server",
            Self::Destination => "destination",
            Self::Unexpected => "unexpected",
        }
    }

    /// Whether it happens where nothing is wrong: a second answer, an exchange from before our start, a relay agent.
    pub const fn is_usual(self) -> bool {
        matches!(self, Self::UnknownExchange | Self::SourcePort)
    }
}

/// What a client is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) kind: ClientMessage,
    pub(super) transaction_id: TransactionId,
    pub(super) client: Duid,
    server: Option<Duid>,
    /// Where it was sent from.
    source: Ipv6Addr,
    rapid_commit: bool,
    /// The client holds nothing else: it has begun with a Solicit.
    pub(super) begins: bool,
    /// The prefixes of each IA_PD, by IAID.
    pub(super) delegations: BTreeMap<u32, Vec<Ipv6Net>>,
    last_sent: Instant,
}

impl Exchange {
    /// Whether it is about delegated prefixes.
    pub(super) fn is_about_prefixes(&self) -> bool {
        !self.delegations.is_empty()
    }

    /// Whether both are about the same: one takes the place of the other.
    fn replaces(&self, other: &Self) -> bool {
        let shares = self.delegations.keys().any(|iaid| other.delegations.contains_key(iaid));
        let both_without = !self.is_about_prefixes() && !other.is_about_prefixes();
        self.transaction_id == other.transaction_id || self.client == other.client && (shares || both_without)
    }

    /// Whether a client would take this message (RFC 9915 §16.3, §16.10).
    fn check(&self, message: &Incoming, destination: Ipv6Addr) -> Result<(), Unfollowed> {
        if destination != self.source {
            return Err(Unfollowed::Destination);
        }
        if message.client_id.as_ref() != Some(&self.client) {
            return Err(Unfollowed::ForeignClient);
        }
        let server = message.server_id.as_ref().ok_or(Unfollowed::ForeignServer)?;
        if self.server.as_ref().is_some_and(|asked| asked != server) {
            return Err(Unfollowed::ForeignServer);
        }
        let solicits = self.kind == ClientMessage::Solicit;
        let fits = match message.kind {
            ServerMessage::Advertise => solicits,
            ServerMessage::Reply => !solicits || self.rapid_commit && message.rapid_commit,
            ServerMessage::Reconfigure => false,
        };
        if fits { Ok(()) } else { Err(Unfollowed::Unexpected) }
    }
}

/// What the clients on the interface are asking.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchanges {
    open: Vec<Exchange>,
}

impl Exchanges {
    /// A message left this host: a new exchange, or one more transmission. Which.
    pub(super) fn sent(&mut self, asked: Asked, source: Ipv6Addr, now: Instant) -> Result<&Exchange, Unfollowed> {
        let kind = asked.kind.ok_or(Unfollowed::Unexpected)?;
        let client = asked.client_id.ok_or(Unfollowed::Anonymous)?;
        let mut delegations: BTreeMap<u32, Vec<Ipv6Net>> = BTreeMap::new();
        for (iaid, prefixes) in asked.delegations {
            delegations.entry(iaid).or_default().extend(prefixes);
        }
        let mut exchange = Exchange {
            kind,
            transaction_id: asked.transaction_id,
            client,
            server: asked.server_id,
            source,
            rapid_commit: asked.rapid_commit,
            begins: kind == ClientMessage::Solicit,
            delegations,
            last_sent: now,
        };
        // A client has one exchange for a delegation at a time; what it began before is over. wide-dhcpv6 has one for
        // each IA_PD.
        let begun = self.open.iter().any(|open| open.begins && exchange.replaces(open));
        exchange.begins |= kind == ClientMessage::Request && begun;
        self.open.retain(|open| !exchange.replaces(open));
        if self.open.len() >= MOST {
            self.open.remove(0);
        }
        self.open.push(exchange);
        self.open.last().ok_or(Unfollowed::UnknownExchange)
    }

    /// The exchange that an answer belongs to, if a client would take it.
    pub(super) fn answered(&self, message: &Incoming, destination: Ipv6Addr) -> Result<Exchange, Unfollowed> {
        let exchange = self.open.iter().find(|open| open.transaction_id == message.transaction_id);
        let exchange = exchange.ok_or(Unfollowed::UnknownExchange)?;
        exchange.check(message, destination)?;
        Ok(exchange.clone())
    }

    /// It has its answer.
    pub(super) fn close(&mut self, exchange: &Exchange) {
        self.open.retain(|open| open.transaction_id != exchange.transaction_id);
    }

    /// All of them are over: the interface is another one.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    /// Whether this client asks for more time for what it holds in this IA_PD, and has not long given that up.
    pub(super) fn asks_to_extend(&self, client: &Duid, iaid: u32, now: Instant) -> bool {
        let extends = |kind| matches!(kind, ClientMessage::Renew | ClientMessage::Rebind);
        self.open.iter().any(|open| {
            extends(open.kind)
                && open.client == *client
                && open.delegations.contains_key(&iaid)
                && now <= open.last_sent + STILL_ASKING
        })
    }

    /// What is being asked about delegated prefixes, the latest.
    pub(super) fn latest(&self) -> Option<&Exchange> {
        self.open.iter().filter(|open| open.is_about_prefixes()).max_by_key(|open| open.last_sent)
    }
}
