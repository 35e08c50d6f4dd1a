//! A client of somebody else, its server, and an observer beside them.

use std::net::Ipv6Addr;

use crate::prefix::PrefixFilter;
use crate::source::dhcpv6::wire::{
    ClientMessage, Duid, IaPd, IaPrefix, Incoming, Outgoing, ServerMessage, Status, StatusCode, encode, server,
};
use crate::source::link::{LinkAddress, LinkState};
use crate::source::observe::{Captured, Observer, Settings};
use crate::source::{Offer, SourceReport};
use crate::time::Instant;

pub(in crate::source::observe) const CLIENT: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
pub(in crate::source::observe) const SERVER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
pub(in crate::source::observe) const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
pub(in crate::source::observe) const IAID: u32 = 7;
pub(in crate::source::observe) const A: &str = "2001:db8:a::/56";
pub(super) const B: &str = "2001:db8:b::/56";
/// T1, T2, preferred and valid lifetime of what is granted here.
pub(super) const TIMES: (u32, u32, u32, u32) = (100, 160, 200, 400);

pub(super) fn at(seconds: i64) -> Instant {
    Instant::from_secs(seconds)
}

pub(in crate::source::observe) fn duid(last: u8) -> Duid {
    Duid::new(&[0, 3, 0, 1, 2, 0, 0, 0, 0, last]).unwrap()
}

pub(in crate::source::observe) fn link(ifindex: u32) -> LinkState {
    let address = LinkAddress { address: CLIENT, tentative: false };
    LinkState { ifindex, up: true, mac: None, addresses: vec![address] }
}

/// Who takes his prefix from here.
pub(super) fn settings(names: &[(&str, PrefixFilter)]) -> Settings {
    let names = names.iter().map(|(name, filter)| ((*name).to_owned(), filter.clone()));
    Settings { interface: "ppp0".to_owned(), names: names.collect() }
}

/// An observer on a link that is up since the start.
pub(super) fn observer() -> Observer {
    let mut observer = Observer::new(settings(&[("home", PrefixFilter::default())]));
    observer.handle_link(Some(link(3)), at(0));
    observer.handle_dump(&[], at(0));
    observer
}

/// What the client asks: about IAIDs and the prefixes in them.
pub(in crate::source::observe) fn asked(kind: ClientMessage, xid: u8, ias: &[(u32, &[&str])]) -> Outgoing {
    let addressed = matches!(kind, ClientMessage::Request | ClientMessage::Renew | ClientMessage::Release);
    Outgoing {
        kind,
        transaction_id: [0, 0, xid],
        client_id: duid(2),
        server_id: addressed.then(|| duid(1)),
        elapsed: 0,
        option_request: Vec::new(),
        rapid_commit: false,
        reconfigure_accept: false,
        delegations: ias
            .iter()
            .map(|(iaid, prefixes)| (*iaid, prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect()))
            .collect(),
        addresses: Vec::new(),
        raw_options: Vec::new(),
    }
}

/// An IA_PD of a Reply: prefixes with preferred and valid lifetimes.
pub(super) fn ia(iaid: u32, prefixes: &[(&str, u32, u32)]) -> IaPd {
    let (t1, t2, ..) = TIMES;
    let prefix = |(prefix, preferred, valid): &(&str, u32, u32)| IaPrefix {
        prefix: prefix.parse().unwrap(),
        preferred: *preferred,
        valid: *valid,
        status: Status::default(),
        excluded: None,
    };
    IaPd { iaid, t1, t2, status: Status::default(), prefixes: prefixes.iter().map(prefix).collect() }
}

/// The same with the lifetimes that are usual here.
pub(super) fn granted(prefixes: &[&str]) -> IaPd {
    let (_, _, preferred, valid) = TIMES;
    ia(IAID, &prefixes.iter().map(|prefix| (*prefix, preferred, valid)).collect::<Vec<_>>())
}

/// Nothing but a status.
pub(super) fn refused(code: StatusCode) -> IaPd {
    IaPd { status: Status { code, text: String::new() }, ..ia(IAID, &[]) }
}

pub(super) fn reply(xid: u8, ias: Vec<IaPd>) -> Incoming {
    Incoming {
        client_id: Some(duid(2)),
        server_id: Some(duid(1)),
        delegations: ias,
        ..Incoming::new(ServerMessage::Reply, [0, 0, xid])
    }
}

/// An IPv6 packet with a UDP datagram, without a checksum.
pub(in crate::source::observe) fn packet(from: (Ipv6Addr, u16), to: (Ipv6Addr, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).unwrap().to_be_bytes();
    let header = [&[0x60, 0, 0, 0], length.as_slice(), &[17, 64], &from.0.octets(), &to.0.octets()].concat();
    let udp = [from.1.to_be_bytes(), to.1.to_be_bytes(), length, [0, 0]].concat();
    [header, udp, payload.to_vec()].concat()
}

/// The kernel says that it knows the checksum.
pub(in crate::source::observe) fn captured(bytes: &[u8]) -> Captured<'_> {
    Captured { bytes, checksum_known: true }
}

impl Observer {
    pub(super) fn sends(&mut self, message: &Outgoing, now: Instant) {
        let packet = packet((CLIENT, 546), (ALL_SERVERS, 547), &encode(message).unwrap());
        self.handle_sent(&captured(&packet), now);
    }

    pub(super) fn gets(&mut self, message: &Incoming, now: Instant) {
        self.gets_at(message, CLIENT, now);
    }

    pub(super) fn gets_at(&mut self, message: &Incoming, destination: Ipv6Addr, now: Instant) {
        let packet = packet((SERVER, 547), (destination, 546), &server::encode(message, &[]));
        self.handle_received(&captured(&packet), now);
    }

    /// A fresh delegation of this prefix, by a Request.
    pub(super) fn is_delegated(&mut self, prefix: &str, xid: u8, now: Instant) {
        self.sends(&asked(ClientMessage::Request, xid, &[(IAID, &[prefix])]), now);
        self.gets(&reply(xid, vec![granted(&[prefix])]), now);
    }

    pub(super) fn offer(&self, prefix: &str) -> Option<Offer> {
        self.report().offers.into_iter().find(|offer| offer.prefix.to_string() == prefix)
    }

    /// What is offered and not cut.
    pub(super) fn usable(&self) -> Vec<String> {
        let offers = self.report().offers.into_iter().filter(|offer| offer.cut.is_none());
        offers.map(|offer| offer.prefix.to_string()).collect()
    }

    /// Lets time pass, and does what is due on the way; what is reported in the end.
    pub(super) fn wait_until(&mut self, end: Instant) -> SourceReport {
        let mut steps = 0;
        while let Some((due, why)) = self.poll_timeout().filter(|(due, _)| *due <= end) {
            self.handle_timeout(due);
            steps += 1;
            assert!(steps < 100, "{why} at {due:?} is due again and again");
        }
        self.handle_timeout(end);
        self.report()
    }
}
