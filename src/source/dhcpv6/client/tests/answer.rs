//! What the scripted servers write, and what the client wrote.

use ipnet::Ipv6Net;

use super::world::{ip, net, our_duid, server};
use crate::source::dhcpv6::Duid;
use crate::source::dhcpv6::wire::server::{decode_client, encode, sign};
use crate::source::dhcpv6::wire::{
    ClientMessage, IaAddress, IaNa, IaPd, IaPrefix, Incoming, Outgoing, ServerMessage, Status, StatusCode,
    TransactionId, server as wire_server,
};
use crate::time::Instant;

/// A message of the client.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) kind: ClientMessage,
    pub(super) xid: TransactionId,
    pub(super) elapsed: u16,
    pub(super) server: Option<Duid>,
    pub(super) message: Outgoing,
}

impl Sent {
    /// Panics when a server would not understand it: among much else, without Client ID and Elapsed Time, or with T1, T2
    /// or lifetimes other than zero.
    pub(super) fn read(at: Instant, bytes: &[u8]) -> Self {
        let message = decode_client(bytes).unwrap_or_else(|refused| panic!("{refused}: {bytes:02x?}"));
        assert_eq!(message.client_id, our_duid());
        let Outgoing { kind, transaction_id: xid, elapsed, .. } = message;
        Self { at, kind, xid, elapsed, server: message.server_id.clone(), message }
    }

    /// The prefixes in the IA_PD with this IAID; `None` when there is no such IA_PD.
    pub(super) fn pd(&self, iaid: u32) -> Option<Vec<String>> {
        let (_, prefixes) = self.message.delegations.iter().find(|(id, _)| *id == iaid)?;
        let mut prefixes: Vec<_> = prefixes.iter().map(Ipv6Net::to_string).collect();
        prefixes.sort();
        Some(prefixes)
    }

    /// The IAIDs of its IA_PDs, ascending.
    pub(super) fn iaids(&self) -> Vec<u32> {
        let mut iaids: Vec<_> = self.message.delegations.iter().map(|(iaid, _)| *iaid).collect();
        iaids.sort_unstable();
        iaids
    }

    pub(super) fn asks_for(&self, code: u16) -> bool {
        self.message.option_request.contains(&code)
    }
}

/// A prefix with its preferred and its valid lifetime.
pub(super) type Granted<'a> = (&'a str, u32, u32);

pub(super) const INFINITY: u32 = u32::MAX;

pub(super) fn status(code: u16) -> Status {
    Status { code: StatusCode::from(code), text: format!("status {code} for you") }
}

pub(super) const UNSPEC_FAIL: u16 = 1;
pub(super) const NO_ADDRS_AVAIL: u16 = 2;
pub(super) const NO_BINDING: u16 = 3;
pub(super) const NOT_ON_LINK: u16 = 4;
pub(super) const USE_MULTICAST: u16 = 5;
pub(super) const NO_PREFIX_AVAIL: u16 = 6;

pub(super) fn prefix(granted: &Granted<'_>) -> IaPrefix {
    let (prefix, preferred, valid) = *granted;
    IaPrefix { prefix: net(prefix), preferred, valid, status: Status::default(), excluded: None }
}

/// A message of a server, to be made wrong as a test wants it.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) message: Incoming,
    pub(super) extra: Vec<(u16, Vec<u8>)>,
}

impl Answer {
    /// An empty answer of server `number`, with the right ids.
    pub(super) fn to(sent: &Sent, kind: ServerMessage, number: u8) -> Self {
        let mut message = Incoming::new(kind, sent.xid);
        message.client_id = Some(our_duid());
        message.server_id = Some(server(number));
        Self { message, extra: Vec::new() }
    }

    pub(super) fn from(mut self, number: u8) -> Self {
        self.message.server_id = Some(server(number));
        self
    }

    pub(super) fn preference(mut self, preference: u8) -> Self {
        self.message.preference = preference;
        self
    }

    pub(super) fn pd(self, iaid: u32, t1: u32, t2: u32, prefixes: &[Granted<'_>]) -> Self {
        let prefixes = prefixes.iter().map(prefix).collect();
        self.ia(IaPd { iaid, t1, t2, status: Status::default(), prefixes })
    }

    /// An IA_PD with nothing but a status.
    pub(super) fn pd_status(self, iaid: u32, code: u16) -> Self {
        self.ia(IaPd { iaid, t1: 0, t2: 0, status: status(code), prefixes: Vec::new() })
    }

    pub(super) fn ia(mut self, ia: IaPd) -> Self {
        self.message.delegations.push(ia);
        self
    }

    pub(super) fn na(mut self, iaid: u32, t1: u32, t2: u32, address: &str) -> Self {
        let address = IaAddress { address: ip(address), preferred: t1 * 2, valid: t1 * 4, status: Status::default() };
        self.message.addresses.push(IaNa { iaid, t1, t2, status: Status::default(), addresses: vec![address] });
        self
    }

    pub(super) fn na_status(mut self, iaid: u32, code: u16) -> Self {
        self.message.addresses.push(IaNa { iaid, t1: 0, t2: 0, status: status(code), addresses: Vec::new() });
        self
    }

    pub(super) fn status(mut self, code: u16) -> Self {
        self.message.status = status(code);
        self
    }

    pub(super) fn sol_max_rt(mut self, seconds: u32) -> Self {
        self.message.sol_max_rt = Some(seconds);
        self
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Incoming)) -> Self {
        change(&mut self.message);
        self
    }

    pub(super) fn option(mut self, code: u16, data: &[u8]) -> Self {
        self.extra.push((code, data.to_vec()));
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        encode(&self.message, &self.extra)
    }

    /// With an Authentication option (RKAP) that is right.
    pub(super) fn signed(&self, key: &[u8; 16], replay: u64) -> Vec<u8> {
        let mut signed = self.clone();
        signed.message.authentication = Some(wire_server::unsigned(replay));
        let mut bytes = signed.bytes();
        assert!(sign(&mut bytes, key), "there is an Authentication option to sign");
        bytes
    }

    /// What it grants, with the valid lifetimes; only a Reply does.
    pub(super) fn granted(&self) -> Vec<(Ipv6Net, u32)> {
        if self.message.kind != ServerMessage::Reply {
            return Vec::new();
        }
        let prefixes = self.message.delegations.iter().flat_map(|ia| &ia.prefixes);
        prefixes.map(|granted| (granted.prefix.trunc(), granted.valid)).collect()
    }
}
