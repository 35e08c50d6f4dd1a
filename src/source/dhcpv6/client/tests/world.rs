//! A client, a clock that the test turns, an interface, and a record of all that the client sent and said.
//!
//! After every step the invariants below T-117 are checked, whatever the test is about.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;

use super::answer::{Answer, Sent};
use crate::source::dhcpv6::client::{Client, Notice, Received};
use crate::source::dhcpv6::wire::{ClientMessage, ServerMessage};
use crate::source::dhcpv6::{Delegation, Duid, DuidSetting, Memory, Settings};
use crate::source::link::{LinkAddress, LinkState};
use crate::source::{Advertised, Cut, Offer, SourceReport, SourceState};
use crate::time::{Deadline, Instant};

/// When every test begins.
pub(super) const START: Instant = Instant::from_secs(10_000);
/// The link-local address of the client.
pub(super) const OURS: &str = "fe80::c";
/// The index of the uplink.
pub(super) const IFINDEX: u32 = 7;
/// The IAIDs of the delegations "home" and "lab".
pub(super) const HOME: u32 = 0x0102_0304;
pub(super) const LAB: u32 = 0x0a0b_0c0d;

pub(super) const A: &str = "2001:db8:a00::/56";
pub(super) const B: &str = "2001:db8:b00::/56";
pub(super) const C: &str = "2001:db8:c00::/56";

pub(super) fn net(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

pub(super) fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

pub(super) fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

pub(super) fn our_duid() -> Duid {
    Duid::new(&[0, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]).expect("a DUID")
}

/// The DUID of the server with this number.
pub(super) fn server(number: u8) -> Duid {
    Duid::new(&[0, 3, 0, 1, 2, 0, 0, 0, 0, number]).expect("a DUID")
}

pub(super) fn delegation(name: &str, iaid: u32) -> Delegation {
    Delegation {
        dynamic_prefix: name.to_owned(),
        iaid: Some(iaid),
        requested_length: None,
        hint: None,
        unreachable_route: false,
    }
}

/// One delegation, "home", and nothing else asked for.
pub(super) fn settings() -> Settings {
    Settings {
        interface: "wan".to_owned(),
        duid: DuidSetting::Auto,
        rapid_commit: false,
        reconfigure: false,
        require_router_advertisement: false,
        request_address: false,
        raw_options: Vec::new(),
        priority: None,
        take_over: false,
        delegations: vec![delegation("home", HOME)],
    }
}

/// Two delegations: "home" and "lab".
pub(super) fn two() -> Settings {
    Settings { delegations: vec![delegation("home", HOME), delegation("lab", LAB)], ..settings() }
}

/// The uplink as it usually is.
pub(super) fn up() -> LinkState {
    LinkState {
        ifindex: IFINDEX,
        up: true,
        mac: Some([2, 0, 0, 0, 0, 1]),
        addresses: vec![LinkAddress { address: ip(OURS), tentative: false }],
    }
}

pub(super) fn down() -> LinkState {
    LinkState { up: false, ..up() }
}

pub(super) fn on_link(prefixes: &[&str]) -> Advertised {
    Advertised { prefixes: prefixes.iter().map(|prefix| net(prefix)).collect(), ..Advertised::default() }
}

/// See the module.
pub(super) struct World {
    pub(super) client: Client,
    pub(super) now: Instant,
    pub(super) sent: Vec<Sent>,
    pub(super) notices: Vec<Notice>,
    pub(super) reports: Vec<(Instant, SourceReport)>,
    pub(super) release_asked: bool,
    /// Until when a server has granted each prefix, at most.
    granted: BTreeMap<Ipv6Net, Deadline>,
}

impl World {
    /// A first start on an interface that is up.
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: Settings) -> Self {
        Self::seeded(settings, 1)
    }

    pub(super) fn seeded(settings: Settings, seed: u64) -> Self {
        Self::started(settings, Memory::new(our_duid()), seed, START)
    }

    /// A start with the memory of a former run, on an interface that is up.
    pub(super) fn started(settings: Settings, memory: Memory, seed: u64, now: Instant) -> Self {
        let mut world = Self::absent(settings, memory, seed, now);
        world.link(Some(up()));
        world
    }

    /// A start while nothing is known of the interface.
    pub(super) fn absent(settings: Settings, memory: Memory, seed: u64, now: Instant) -> Self {
        let mut granted = BTreeMap::new();
        // What one delegation has lost another one may have got.
        for held in memory.leases.iter().flat_map(|lease| &lease.prefixes) {
            let end = granted.entry(held.prefix).or_insert(held.valid_until);
            *end = held.valid_until.max(*end);
        }
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&seed.to_be_bytes());
        let client = Client::new(settings, memory, octets, now);
        let (sent, notices, reports) = (Vec::new(), Vec::new(), Vec::new());
        let mut world = Self { client, now, sent, notices, reports, release_asked: false, granted };
        world.drain();
        world
    }

    /// One that has solicited and is waiting for Advertises.
    pub(super) fn soliciting(settings: Settings) -> Self {
        let mut world = Self::with(settings);
        world.next_of(ClientMessage::Solicit);
        world
    }

    /// One that has been offered `offer` by server 1 and has sent its first Request.
    pub(super) fn requesting(settings: Settings, offer: impl Fn(Answer) -> Answer) -> Self {
        let mut world = Self::soliciting(settings);
        let advertise = offer(world.answer(ServerMessage::Advertise)).preference(255);
        world.deliver(&advertise);
        assert_eq!(world.last().kind, ClientMessage::Request, "preference 255 is requested at once");
        world
    }

    /// One that server 1 has given `grant`.
    pub(super) fn bound_with(settings: Settings, grant: impl Fn(Answer) -> Answer) -> Self {
        let mut world = Self::requesting(settings, &grant);
        let reply = grant(world.answer(ServerMessage::Reply));
        world.deliver(&reply);
        assert_eq!(world.state(), SourceState::Bound, "{:?}", world.notices);
        world
    }

    /// One that holds [`A`]: T1 50 s, T2 80 s, preferred 100 s, valid 200 s.
    pub(super) fn bound() -> Self {
        Self::bound_with(settings(), |answer| answer.pd(HOME, 50, 80, &[(A, 100, 200)]))
    }

    // ---- what happens to the client

    pub(super) fn link(&mut self, link: Option<LinkState>) {
        self.client.handle_link(link, self.now);
        self.drain();
    }

    pub(super) fn advertised(&mut self, advertised: &Advertised) {
        self.client.handle_advertised(advertised, self.now);
        self.drain();
    }

    pub(super) fn release(&mut self, name: &str) -> bool {
        self.release_asked = true;
        let released = self.client.release(name, self.now);
        self.drain();
        released
    }

    pub(super) fn reconfigure(&mut self, settings: Settings) {
        self.client.reconfigure(settings, self.now);
        self.drain();
    }

    pub(super) fn failure(&mut self, failure: Option<String>) {
        self.client.handle_failure(failure, self.now);
        self.drain();
    }

    /// An answer of server 1 to the message that was sent last.
    pub(super) fn answer(&self, kind: ServerMessage) -> Answer {
        Answer::to(self.last(), kind, 1)
    }

    pub(super) fn reply(&self) -> Answer {
        self.answer(ServerMessage::Reply)
    }

    /// As the socket would deliver it: to our address, by the uplink.
    pub(super) fn deliver(&mut self, answer: &Answer) {
        for (prefix, valid) in answer.granted() {
            self.granted_until(prefix, valid);
        }
        self.deliver_bytes(&answer.bytes());
    }

    /// Says that what is delivered next grants this, for messages that are written by hand.
    pub(super) fn grant(&mut self, prefix: &str, valid: u32) {
        self.granted_until(net(prefix), valid);
    }

    fn granted_until(&mut self, prefix: Ipv6Net, valid: u32) {
        let end = Deadline::after(self.now, valid);
        let granted = self.granted.entry(prefix).or_insert(end);
        *granted = end.max(*granted);
    }

    pub(super) fn deliver_bytes(&mut self, bytes: &[u8]) {
        self.deliver_to(ip(OURS), IFINDEX, bytes);
    }

    pub(super) fn deliver_to(&mut self, destination: Ipv6Addr, ifindex: u32, bytes: &[u8]) {
        self.client.handle_datagram(&Received { destination, ifindex, bytes }, self.now);
        self.drain();
    }

    /// Lets time pass, and the client do what is due, each at its time.
    pub(super) fn run(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    pub(super) fn run_until(&mut self, end: Instant) {
        while let Some((due, _)) = self.client.poll_timeout().filter(|(due, _)| *due <= end) {
            self.wake(due);
        }
        self.now = self.now.max(end);
    }

    /// Time passes, and the client is not woken meanwhile: the host was suspended.
    pub(super) fn suspend(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.client.handle_timeout(self.now);
        self.drain();
    }

    fn wake(&mut self, due: Instant) {
        self.now = self.now.max(due);
        for _ in 0..100 {
            self.client.handle_timeout(self.now);
            self.drain();
            if self.client.poll_timeout().is_none_or(|(next, _)| next > self.now) {
                return;
            }
        }
        panic!("the client wants to be woken again and again at {:?}: {:?}", self.now, self.client.poll_timeout());
    }

    /// Runs until the next message is sent, at most `limit` long.
    pub(super) fn next_within(&mut self, limit: Duration) -> Option<Sent> {
        let (count, end) = (self.sent.len(), self.now + limit);
        while self.sent.len() == count {
            match self.client.poll_timeout() {
                Some((due, _)) if due <= end => self.wake(due),
                Some(_) | None => {
                    self.now = end;
                    return None;
                }
            }
        }
        self.sent.get(count).cloned()
    }

    /// The message with this number, which may have been sent already, or is within `limit`.
    pub(super) fn sent_within(&mut self, number: usize, limit: Duration) -> Option<Sent> {
        self.sent.get(number).cloned().or_else(|| self.next_within(limit))
    }

    /// Runs until the next message is sent.
    pub(super) fn next(&mut self) -> Sent {
        let state = self.state();
        self.next_within(secs(100_000.0)).unwrap_or_else(|| panic!("nothing is sent any more in state {state:?}"))
    }

    /// As [`Self::next`]; it must be of this kind.
    pub(super) fn next_of(&mut self, kind: ClientMessage) -> Sent {
        let sent = self.next();
        assert_eq!(sent.kind, kind, "{:?}", self.notices);
        sent
    }

    /// Runs, however many other messages are sent, until one of this kind is.
    pub(super) fn until_sent(&mut self, kind: ClientMessage) -> Sent {
        for _ in 0..200 {
            let sent = self.next();
            if sent.kind == kind {
                return sent;
            }
        }
        panic!("200 messages and no {kind:?}: {:?}", self.kinds());
    }

    // ---- what the client said

    pub(super) fn last(&self) -> &Sent {
        self.sent.last().expect("something was sent")
    }

    pub(super) fn kinds(&self) -> Vec<ClientMessage> {
        self.sent.iter().map(|sent| sent.kind).collect()
    }

    pub(super) fn report(&self) -> &SourceReport {
        &self.reports.last().expect("a report").1
    }

    pub(super) fn state(&self) -> SourceState {
        self.report().state.clone()
    }

    /// What a next run is given.
    pub(super) fn memory(&self) -> Memory {
        self.report().client.as_deref().cloned().expect("a client remembers who it is")
    }

    pub(super) fn offer(&self, prefix: &str) -> Option<&Offer> {
        self.report().offers.iter().find(|offer| offer.prefix == net(prefix))
    }

    fn offered(&self, wanted: impl Fn(&Offer) -> bool) -> Vec<String> {
        let mut offers: Vec<_> =
            self.report().offers.iter().filter(|offer| wanted(offer)).map(|offer| offer.prefix.to_string()).collect();
        offers.sort();
        offers
    }

    /// The prefixes that are alive: their valid lifetime is not over.
    pub(super) fn alive(&self) -> Vec<String> {
        self.offered(|offer| !offer.valid_until.is_over(self.now) && offer.cut != Some(Cut::Withdrawn))
    }

    /// The prefixes that new things may use.
    pub(super) fn usable(&self) -> Vec<String> {
        self.offered(|offer| {
            let over = offer.preferred_until.is_over(self.now) || offer.valid_until.is_over(self.now);
            !over && offer.cut.is_none()
        })
    }

    /// The times between messages, in seconds, beginning with message `from`.
    pub(super) fn gaps(&self, from: usize) -> Vec<f64> {
        let times: Vec<_> = self.sent.iter().skip(from).map(|sent| sent.at).collect();
        times.windows(2).map(|pair| pair[1].saturating_since(pair[0]).as_secs_f64()).collect()
    }

    pub(super) fn dropped(&self) -> usize {
        self.notices.iter().filter(|notice| matches!(notice, Notice::Dropped(_))).count()
    }

    // ---- after every step

    fn drain(&mut self) {
        while let Some(bytes) = self.client.poll_transmit() {
            let sent = Sent::read(self.now, &bytes);
            self.check_sent(&sent);
            self.sent.push(sent);
        }
        while let Some(notice) = self.client.poll_notice() {
            self.notices.push(notice);
        }
        while let Some(report) = self.client.poll_report() {
            self.check_report(&report);
            self.reports.push((self.now, report));
        }
        assert!(!self.client.has_news(), "drained, and still news");
    }

    fn check_sent(&self, sent: &Sent) {
        let recent = self.sent.iter().rev().take_while(|former| former.at + secs(20.0) > self.now).count();
        assert!(recent < 20, "more than 20 messages in 20 s (RFC 9915 §14.1)");
        match sent.kind {
            ClientMessage::Solicit | ClientMessage::Rebind | ClientMessage::Confirm => {
                assert_eq!(sent.server, None, "no Server ID in {:?}", sent.kind);
            }
            ClientMessage::Release => assert!(self.release_asked, "a Release that nobody asked for"),
            ClientMessage::Request | ClientMessage::Renew => assert!(sent.server.is_some(), "{:?}", sent.kind),
            ClientMessage::InformationRequest => {
                assert!(sent.message.delegations.is_empty(), "no IA in an Information-request")
            }
        }
        if let Some(former) = self.sent.last() {
            let same = former.xid == sent.xid;
            assert_eq!(same, sent.elapsed > 0, "one xid for each exchange: {former:?} then {sent:?}");
            assert!(!same || former.kind == sent.kind, "an exchange has one kind of message");
        }
    }

    fn check_report(&self, report: &SourceReport) {
        for offer in &report.offers {
            let granted = self.granted.get(&offer.prefix);
            let granted = granted.unwrap_or_else(|| panic!("{} was never granted", offer.prefix));
            assert!(offer.valid_until <= *granted, "{} is offered beyond its valid end", offer.prefix);
            assert!(offer.preferred_until <= offer.valid_until, "{offer:?}");
            assert!(matches!(offer.prefix.prefix_len(), 1..=64) && offer.prefix == offer.prefix.trunc(), "{offer:?}");
        }
        assert!(report.next_wake.is_none_or(|(at, _)| at >= self.now), "a wake-up in the past: {report:?}");
    }
}
