//! Random sequences of everything that can happen to a client. What must hold is in [`super::watch`].
//!
//! An input is read octet by octet: what happens, and how. What it does not say any more is 0.

use std::net::Ipv6Addr;
use std::time::Duration;

use dyn_prefix::source::Advertised;
use dyn_prefix::source::dhcpv6::wire::{
    Authentication, ClientMessage, IaPd, IaPrefix, Incoming, Rkap, ServerMessage, Status, StatusCode, server,
};
use dyn_prefix::source::dhcpv6::{Delegation, RawOption, RawOptionMessages, Settings};
use dyn_prefix::source::link::{LinkAddress, LinkState};
use ipnet::Ipv6Net;

use super::play::{self, IFINDEX, KEY, OWN};
use super::watch::Watched;

/// More events make an input slow, and find nothing more.
const MOST_EVENTS: usize = 64;
/// How often the client is woken in one step of time.
const MOST_WAKES: usize = 64;

/// Milliseconds that pass.
const STEPS: [u64; 12] =
    [0, 1, 150, 1000, 4000, 10_000, 29_000, 31_000, 600_000, 3_600_000, 86_400_000, 40 * 86_400_000];
const PREFIXES: [&str; 15] = [
    "2001:db8:1::/56",
    "2001:db8:2::/56",
    "2001:db8:3::/56",
    "2001:db8:1::/48",
    "2001:db8:1:1::/64",
    "2001:db8:4::/60",
    "fd00:1::/48",
    "2001:db8:5::/65",
    "2001:db8::9/128",
    "fe80::/64",
    "ff05::/16",
    "::/56",
    "::/0",
    "::1/128",
    "2000::/3",
];
const SECONDS: [u32; 12] = [0, 1, 2, 10, 60, 100, 200, 1800, 7200, 86_400, u32::MAX - 1, u32::MAX];
const CODES: [u16; 8] = [0, 1, 2, 3, 4, 5, 6, 999];
const MAX_RTS: [u32; 6] = [0, 59, 60, 120, 86_400, 86_401];

/// An input, read from its beginning.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn octet(&mut self) -> u8 {
        self.0.next().copied().unwrap_or_default()
    }

    fn bit(&mut self) -> bool {
        self.octet() & 1 == 1
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.octet()) % all.len()]
    }

    /// Most of the time the first, so that most messages are about right.
    fn mostly_first<T: Copy>(&mut self, all: &[T]) -> T {
        let octet = usize::from(self.octet());
        if octet < 160 { all[0] } else { all[octet % all.len()] }
    }

    fn prefix(&mut self) -> Ipv6Net {
        self.one_of(&PREFIXES).parse().expect("a prefix")
    }
}

/// A client, and what was sent to it.
struct Play {
    client: Watched,
    replay: u64,
    starts: u8,
    former: Vec<Vec<u8>>,
}

/// Panics where an invariant is broken.
pub(crate) fn check(input: &[u8]) {
    let mut choices = Choices(input.iter());
    let client = play::fresh(settings(&mut choices));
    let mut play = Play { client, replay: 1, starts: 7, former: Vec::new() };
    play.client.link(Some(play::link()));
    for _ in 0..MOST_EVENTS {
        if choices.0.as_slice().is_empty() {
            break;
        }
        play.event(&mut choices);
        let many = play.client.sent.len();
        play.client.sent.drain(..many.saturating_sub(1));
    }
    play.client.live(Duration::from_secs(100_000), MOST_WAKES);
}

fn settings(choices: &mut Choices<'_>) -> Settings {
    let flags = choices.octet();
    let is = |bit: u8| flags & bit != 0;
    let wish = |delegation: Delegation| Delegation {
        requested_length: is(16).then_some(56),
        hint: is(32).then(|| "2001:db8:3::/56".parse().expect("a prefix")),
        ..delegation
    };
    let raw = RawOption { code: 16, data: vec![0, 0, 0, 9], messages: RawOptionMessages::Establishing };
    let base = play::settings(if is(1) { 2 } else { 1 });
    Settings {
        rapid_commit: is(2),
        reconfigure: is(4),
        request_address: is(8),
        require_router_advertisement: is(64),
        raw_options: if is(128) { vec![raw] } else { Vec::new() },
        delegations: base.delegations.into_iter().map(wish).collect(),
        ..base
    }
}

impl Play {
    fn event(&mut self, choices: &mut Choices<'_>) {
        match choices.octet() % 16 {
            0 | 1 => self.client.wake(),
            2 => self.client.live(Duration::from_millis(choices.one_of(&STEPS)), MOST_WAKES),
            3 => self.client.drift(Duration::from_millis(choices.one_of(&STEPS))),
            4 => self.client.handle_timeout(),
            5..=8 => self.answer(choices),
            9 => {
                let link = link(choices);
                self.client.link(link);
            }
            10 => self.client.fail(choices.bit()),
            11 => self.order(choices),
            12 => self.client.advertise(&advertised(choices)),
            13 => self.administer(choices),
            14 => self.repeat(choices),
            _ => {
                self.starts = self.starts.wrapping_add(1);
                self.client.restart(self.starts);
            }
        }
    }

    /// A server answers the last message, more or less well.
    fn answer(&mut self, choices: &mut Choices<'_>) {
        let Some(asked) = self.client.sent.last() else { return };
        let mut answer = play::answer(asked);
        if choices.bit() {
            let delegations = std::mem::take(&mut answer.delegations);
            answer.delegations = delegations.into_iter().map(|ia| lease(ia.iaid, choices)).collect();
            answer.preference = choices.one_of(&[0, 10, 255]);
            answer.status = status(choices);
            answer.sol_max_rt = choices.bit().then(|| choices.one_of(&MAX_RTS));
            answer.inf_max_rt = choices.bit().then(|| choices.one_of(&MAX_RTS));
            answer.server_id = Some(play::server_id(choices.mostly_first(&[1, 2, 3])));
            if choices.bit() {
                answer.addresses.clear();
            }
            let kinds = [answer.kind, ServerMessage::Reply, ServerMessage::Advertise];
            answer.kind = choices.mostly_first(&kinds);
            if answer.authentication.is_some() && choices.bit() {
                answer.authentication = Some(Authentication::rkap(self.replay, Rkap::Key([9; 16])));
            }
        }
        let mut datagram = server::encode(&answer, &[]);
        for _ in 0..choices.mostly_first(&[0, 1, 2, 4]) {
            let (at, octet) = (usize::from(choices.octet()), choices.octet());
            if let Some(changed) = datagram.get_mut(at) {
                *changed = octet;
            }
        }
        self.receive(datagram);
    }

    /// The server wants something.
    fn order(&mut self, choices: &mut Choices<'_>) {
        self.replay = self.replay.wrapping_add(u64::from(choices.octet() % 3));
        let kinds = [ClientMessage::Renew, ClientMessage::Rebind, ClientMessage::InformationRequest];
        let order = Incoming {
            reconfigure: Some(choices.one_of(&kinds)),
            authentication: Some(server::unsigned(self.replay)),
            ..play::message(ServerMessage::Reconfigure, [0; 3])
        };
        let mut order = server::encode(&order, &[]);
        server::sign(&mut order, &choices.mostly_first(&[KEY, [9; 16]]));
        self.receive(order);
    }

    /// A datagram comes again.
    fn repeat(&mut self, choices: &mut Choices<'_>) {
        let number = usize::from(choices.octet());
        if let Some(datagram) = self.former.get(number % self.former.len().max(1)).cloned() {
            self.receive(datagram);
        }
    }

    fn receive(&mut self, datagram: Vec<u8>) {
        self.client.datagram(&datagram, OWN, IFINDEX);
        if self.former.len() < 8 {
            self.former.push(datagram);
        }
    }

    /// Somebody at the command line.
    fn administer(&mut self, choices: &mut Choices<'_>) {
        match choices.octet() % 4 {
            0 => self.client.release("p1"),
            1 => self.client.release("p2"),
            2 => self.client.release("nobody"),
            _ => self.client.reconfigure(settings(choices)),
        }
    }
}

fn lease(iaid: u32, choices: &mut Choices<'_>) -> IaPd {
    let (t1, t2) = (choices.one_of(&SECONDS), choices.one_of(&SECONDS));
    let iaid = choices.mostly_first(&[iaid, 1, 2, 3]);
    let count = choices.mostly_first(&[1, 0, 2, 3]);
    let status = status(choices);
    IaPd { iaid, t1, t2, status, prefixes: (0..count).map(|_| prefix(choices)).collect() }
}

fn prefix(choices: &mut Choices<'_>) -> IaPrefix {
    let prefix = choices.prefix();
    let (preferred, valid) = (choices.one_of(&SECONDS), choices.one_of(&SECONDS));
    // Every other time, the right way round.
    let (preferred, valid) = if choices.bit() { (preferred, valid) } else { (preferred.min(valid), valid) };
    let excluded = choices.bit().then(|| Ipv6Net::new(prefix.addr(), 64).expect("a length")).map(|net| net.trunc());
    let excluded = excluded.filter(|net| prefix.contains(net) && prefix != *net);
    IaPrefix { prefix, preferred, valid, status: status(choices), excluded }
}

fn status(choices: &mut Choices<'_>) -> Status {
    let code = StatusCode::from(choices.mostly_first(&CODES));
    Status { code, text: if choices.bit() { "so be it\n".to_owned() } else { String::new() } }
}

/// The interface as it may be.
fn link(choices: &mut Choices<'_>) -> Option<LinkState> {
    let link = play::link();
    let other = LinkAddress { address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2), tentative: false };
    let tentative = LinkAddress { address: OWN, tentative: true };
    match choices.octet() % 8 {
        0 | 1 => Some(link),
        2 => Some(LinkState { up: false, ..link }),
        3 => Some(LinkState { addresses: Vec::new(), ..link }),
        4 => Some(LinkState { addresses: vec![tentative], ..link }),
        5 => Some(LinkState { addresses: vec![other], ..link }),
        6 => Some(LinkState { mac: None, ifindex: IFINDEX + u32::from(choices.bit()), ..link }),
        _ => None,
    }
}

fn advertised(choices: &mut Choices<'_>) -> Advertised {
    let flags = choices.octet();
    let count = choices.octet() % 3;
    Advertised {
        dhcpv6: flags & 1 != 0,
        delegation_preferred: flags & 2 != 0,
        prefixes: (0..count).map(|_| choices.prefix()).collect(),
    }
}
