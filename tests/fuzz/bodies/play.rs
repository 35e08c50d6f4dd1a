//! What the client under test is configured with, and a server that does everything right.

use std::net::Ipv6Addr;
use std::time::Duration;

use dyn_prefix::source::dhcpv6::wire::{
    Authentication, ClientMessage, Duid, IaAddress, IaNa, IaPd, IaPrefix, Incoming, Outgoing, Rkap, ServerMessage,
    Status, server,
};
use dyn_prefix::source::dhcpv6::{Delegation, DuidSetting, Memory, Settings};
use dyn_prefix::source::link::{LinkAddress, LinkState};
use dyn_prefix::time::Instant;

use super::watch::Watched;

pub(crate) const IFINDEX: u32 = 2;
/// The client's own address.
pub(crate) const OWN: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The key of the server's Reconfigures.
pub(crate) const KEY: [u8; 16] = *b"0123456789abcdef";

/// The DUID of a server.
pub(crate) fn server_id(number: u8) -> Duid {
    Duid::link_layer(1, &[2, 0, 0, 0, 0, number]).expect("a DUID")
}

/// The DUID of the client.
pub(crate) fn client_id() -> Duid {
    Duid::uuid(*b"the client's id.")
}

/// What is asked for a DynamicPrefix.
pub(crate) fn delegation(name: &str, iaid: u32) -> Delegation {
    Delegation {
        dynamic_prefix: name.to_owned(),
        iaid: Some(iaid),
        requested_length: None,
        hint: None,
        unreachable_route: false,
    }
}

/// A client with so many DynamicPrefixes, `p1` with IAID 1 and so on, and nothing else.
pub(crate) fn settings(delegations: u32) -> Settings {
    Settings {
        interface: "wan0".to_owned(),
        duid: DuidSetting::Auto,
        rapid_commit: false,
        reconfigure: false,
        require_router_advertisement: false,
        request_address: false,
        raw_options: Vec::new(),
        priority: None,
        take_over: false,
        delegations: (1..=delegations).map(|iaid| delegation(&format!("p{iaid}"), iaid)).collect(),
    }
}

/// A client that has just been started.
pub(crate) fn fresh(settings: Settings) -> Watched {
    Watched::new(settings, Memory::new(client_id()), 7, Instant::from_secs(1_000_000))
}

/// A link that everything can be sent on.
pub(crate) fn link() -> LinkState {
    let addresses = vec![LinkAddress { address: OWN, tentative: false }];
    LinkState { ifindex: IFINDEX, up: true, mac: Some([2, 0, 0, 0, 0, 1]), addresses }
}

/// A message of the first server to the client.
pub(crate) fn message(kind: ServerMessage, transaction_id: [u8; 3]) -> Incoming {
    Incoming { client_id: Some(client_id()), server_id: Some(server_id(1)), ..Incoming::new(kind, transaction_id) }
}

/// What a good server answers: 2001:db8:IAID::/56 for everybody, preferred for 100 s, valid for 200 s.
pub(crate) fn answer(asked: &Outgoing) -> Incoming {
    let is_solicit = asked.kind == ClientMessage::Solicit;
    let commits = is_solicit && asked.rapid_commit;
    let kind = if is_solicit && !commits { ServerMessage::Advertise } else { ServerMessage::Reply };
    let key =
        (kind == ServerMessage::Reply && asked.reconfigure_accept).then_some(Authentication::rkap(1, Rkap::Key(KEY)));
    Incoming {
        rapid_commit: commits,
        reconfigure_accept: asked.reconfigure_accept,
        authentication: key,
        delegations: asked.delegations.iter().map(|(iaid, _)| lease(*iaid)).collect(),
        addresses: asked.addresses.iter().map(|(iaid, _)| address(*iaid)).collect(),
        ..message(kind, asked.transaction_id)
    }
}

/// An IA_PD with one prefix.
pub(crate) fn lease(iaid: u32) -> IaPd {
    let network = Ipv6Addr::new(0x2001, 0xdb8, u16::try_from(iaid).unwrap_or(u16::MAX), 0, 0, 0, 0, 0);
    let prefix = ipnet::Ipv6Net::new(network, 56).expect("a prefix");
    let prefix = IaPrefix { prefix, preferred: 100, valid: 200, status: Status::default(), excluded: None };
    IaPd { iaid, t1: 50, t2: 80, status: Status::default(), prefixes: vec![prefix] }
}

fn address(iaid: u32) -> IaNa {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 9);
    let address = IaAddress { address, preferred: 100, valid: 200, status: Status::default() };
    IaNa { iaid, t1: 50, t2: 80, status: Status::default(), addresses: vec![address] }
}

impl Watched {
    /// The server answers the last message.
    pub(crate) fn answered(&mut self, change: impl Fn(Incoming) -> Incoming) {
        let asked = self.sent.last().expect("a message that can be answered");
        let answer = server::encode(&change(answer(asked)), &[]);
        self.datagram(&answer, OWN, IFINDEX);
    }

    /// Lives until it has sent a message of this kind.
    pub(crate) fn until_sent(&mut self, kind: ClientMessage) {
        for _ in 0..40 {
            if self.sent.last().is_some_and(|message| message.kind == kind) {
                return;
            }
            self.live(Duration::from_secs(3600), 1);
        }
        panic!("no {kind:?} was sent: {:?}", self.sent);
    }

    /// Goes from the first Solicit to the lease.
    pub(crate) fn until_bound(&mut self) {
        self.link(Some(link()));
        self.until_sent(ClientMessage::Solicit);
        self.answered(|answer| Incoming { preference: 255, ..answer });
        if !self.settings().rapid_commit {
            self.until_sent(ClientMessage::Request);
            self.answered(|answer| answer);
        }
    }
}
