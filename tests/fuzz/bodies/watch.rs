//! A DHCPv6 client with somebody who watches it: after every input, what it sends and says is held against RFC 9915 and
//! against what servers have promised. Panics where an invariant is broken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv6Addr;
use std::time::Duration;

use dyn_prefix::source::dhcpv6::wire::{self, ClientMessage, Duid, Outgoing, ServerMessage, TransactionId, server};
use dyn_prefix::source::dhcpv6::{Client, Memory, Settings, client};
use dyn_prefix::source::link::LinkState;
use dyn_prefix::source::{Advertised, Offer, SourceReport};
use dyn_prefix::time::{Deadline, Instant};
use ipnet::Ipv6Net;

/// RFC 9915 §14.1: at most so many messages in [`PERIOD`].
const MOST_MESSAGES: usize = 20;
/// Far more than a client needs that does something whenever it wakes.
const MOST_WAKES: usize = 200;
const PERIOD: Duration = Duration::from_secs(20);
/// The largest SOL_MAX_RT is a day (RFC 9915 §21.24), and RAND makes a tenth more of it.
const LONGEST_SILENCE: Duration = Duration::from_secs(86_400 * 11 / 10 + 200);
/// As many IAIDs as there are.
const MOST_OFFERS: usize = 4 * 32;

/// The messages that one exchange consists of.
struct Exchange {
    kind: ClientMessage,
    transaction_id: TransactionId,
    server: Option<Duid>,
    first_sent: Instant,
}

pub(crate) struct Watched {
    client: Client,
    settings: Settings,
    own: Duid,
    link: Option<LinkState>,
    failed: bool,
    pub(crate) now: Instant,
    pub(crate) report: SourceReport,
    /// What was sent since this was emptied.
    pub(crate) sent: Vec<Outgoing>,
    exchange: Option<Exchange>,
    sent_at: VecDeque<Instant>,
    woken_at: VecDeque<Instant>,
    /// The latest ends of the preferred and of the valid lifetime that any server has promised.
    promised: BTreeMap<Ipv6Net, (Deadline, Deadline)>,
    /// What was asked to be given back, by IAID.
    to_release: BTreeMap<u32, BTreeSet<Ipv6Net>>,
    /// The DynamicPrefixes that are given back.
    released: BTreeSet<String>,
}

impl Watched {
    pub(crate) fn new(settings: Settings, memory: Memory, seed: u8, now: Instant) -> Self {
        let own = settings.duid.fixed().unwrap_or(&memory.duid).clone();
        let mut client = Client::new(settings.clone(), memory, [seed; 32], now);
        let report = client.poll_report().expect("the first report");
        Self {
            client,
            settings,
            own,
            link: None,
            failed: false,
            now,
            report,
            sent: Vec::new(),
            exchange: None,
            sent_at: VecDeque::new(),
            woken_at: VecDeque::new(),
            promised: BTreeMap::new(),
            to_release: BTreeMap::new(),
            released: BTreeSet::new(),
        }
    }

    /// Another process, with what the former one has stored. What servers have promised holds on.
    pub(crate) fn restart(&mut self, seed: u8) {
        let memory = Memory::clone(self.report.client.as_ref().expect("a client has a memory"));
        let before: BTreeSet<_> = self.alive().map(|offer| offer.prefix).collect();
        let promised = std::mem::take(&mut self.promised);
        *self = Self { promised, ..Self::new(self.settings.clone(), memory, seed, self.now) };
        assert!(self.alive().all(|offer| before.contains(&offer.prefix)), "a restart brings nothing back");
        self.check();
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// When it wants to be woken.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.client.poll_timeout().map(|(at, _)| at)
    }

    /// What is offered and not over.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &Offer> {
        self.report.offers.iter().filter(|offer| !offer.valid_until.is_over(self.now))
    }

    pub(crate) fn link(&mut self, link: Option<LinkState>) {
        self.link.clone_from(&link);
        self.client.handle_link(link, self.now);
        self.check();
    }

    pub(crate) fn fail(&mut self, failed: bool) {
        self.failed = failed;
        self.client.handle_failure(failed.then(|| "there is no socket".to_owned()), self.now);
        self.check();
    }

    pub(crate) fn datagram(&mut self, bytes: &[u8], destination: Ipv6Addr, ifindex: u32) {
        self.promise(bytes);
        self.client.handle_datagram(&client::Received { destination, ifindex, bytes }, self.now);
        self.check();
    }

    pub(crate) fn advertise(&mut self, advertised: &Advertised) {
        self.client.handle_advertised(advertised, self.now);
        self.check();
    }

    pub(crate) fn release(&mut self, dynamic_prefix: &str) {
        let wanted = self.settings.delegations.iter().find(|wanted| wanted.dynamic_prefix == dynamic_prefix);
        let held = self.report.offers.iter().filter(|offer| offer.recipient.as_deref() == Some(dynamic_prefix));
        if let Some(iaid) = wanted.and_then(|wanted| wanted.iaid) {
            self.to_release.entry(iaid).or_default().extend(held.map(|offer| offer.prefix));
        }
        if self.client.release(dynamic_prefix, self.now) {
            self.released.insert(dynamic_prefix.to_owned());
        }
        self.check();
    }

    pub(crate) fn reconfigure(&mut self, settings: Settings) {
        self.own = settings.duid.fixed().unwrap_or(&self.own).clone();
        self.settings = settings.clone();
        self.released.clear();
        self.client.reconfigure(settings, self.now);
        self.check();
    }

    /// Time passes, and nobody looks.
    pub(crate) fn drift(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Time passes until it wants to be woken, and it is.
    pub(crate) fn wake(&mut self) {
        if let Some(at) = self.timeout() {
            self.now = self.now.max(at);
        }
        self.handle_timeout();
    }

    /// It is woken, early or late.
    pub(crate) fn handle_timeout(&mut self) {
        self.client.handle_timeout(self.now);
        self.check();
    }

    /// So much time passes, and it is woken whenever it wants, but no more often than `most`.
    pub(crate) fn live(&mut self, time: Duration, most: usize) {
        let end = self.now + time;
        for _ in 0..most {
            if self.timeout().is_none_or(|at| at > end) {
                self.now = self.now.max(end);
                return;
            }
            self.wake();
        }
    }

    fn can_send(&self) -> bool {
        !self.failed && self.link.as_ref().is_some_and(|link| link.up && link.can_send())
    }

    /// Notes what a datagram promises, to whomever.
    fn promise(&mut self, bytes: &[u8]) {
        let Ok(message) = wire::decode(bytes) else { return };
        if message.kind != ServerMessage::Reply {
            return;
        }
        for prefix in message.delegations.iter().flat_map(|ia| &ia.prefixes) {
            let ends = [prefix.preferred, prefix.valid].map(|seconds| Deadline::after(self.now, seconds));
            let (preferred, valid) = self.promised.entry(prefix.prefix).or_insert((ends[0], ends[1]));
            (*preferred, *valid) = (ends[0].max(*preferred), ends[1].max(*valid));
        }
    }

    /// To be called after every input.
    fn check(&mut self) {
        self.settle();
        self.check_notices();
        self.check_offers();
        self.check_timer();
        assert!(self.client.dropped().len() <= 64, "what is counted is bounded");
    }

    /// Does what is due now, as the driver would. A timer that lies in the past and does nothing is a busy loop.
    fn settle(&mut self) {
        self.take();
        let mut rounds = 0;
        while let Some((at, why)) = self.client.poll_timeout().filter(|(at, _)| *at <= self.now) {
            rounds += 1;
            assert!(rounds <= 4, "at {:?} the timer for {why:?} at {at:?} does nothing: {:?}", self.now, self.client);
            self.woken_at.push_back(self.now);
            self.client.handle_timeout(self.now);
            self.take();
        }
        let busy = in_period(&mut self.woken_at, self.now);
        assert!(busy <= MOST_WAKES, "it was woken {busy} times within {PERIOD:?}");
    }

    /// Takes what it has to send and to say.
    fn take(&mut self) {
        self.report = self.client.poll_report().unwrap_or_else(|| self.report.clone());
        while let Some(datagram) = self.client.poll_transmit() {
            let message = server::decode_client(&datagram);
            let message = message.unwrap_or_else(|refused| panic!("{refused}: {datagram:?}"));
            self.check_message(&message);
            self.sent.push(message);
        }
        assert!(!self.client.has_news(), "a report has no news when it was taken");
    }

    fn check_message(&mut self, message: &Outgoing) {
        assert!(self.can_send(), "{message:?} without a link");
        self.sent_at.push_back(self.now);
        let messages = in_period(&mut self.sent_at, self.now);
        assert!(messages <= MOST_MESSAGES, "{messages} messages within {PERIOD:?}");
        assert_eq!(message.client_id, self.own);
        self.check_exchange(message);
        self.check_options(message);
        self.check_leases(message);
    }

    /// One transaction-id for an exchange, and only for that (§16.1); an elapsed time of 0 in its first message, and of
    /// hundredths of a second since then in others (§21.9).
    fn check_exchange(&mut self, message: &Outgoing) {
        if let Some(exchange) = self.exchange.as_ref().filter(|last| last.transaction_id == message.transaction_id) {
            assert_eq!((exchange.kind, &exchange.server), (message.kind, &message.server_id));
            let elapsed = self.now.saturating_since(exchange.first_sent).as_millis() / 10;
            assert_eq!(message.elapsed, u16::try_from(elapsed).unwrap_or(u16::MAX));
            return;
        }
        assert_eq!(message.elapsed, 0, "the transaction-id changed within an exchange");
        self.exchange = Some(Exchange {
            kind: message.kind,
            transaction_id: message.transaction_id,
            server: message.server_id.clone(),
            first_sent: self.now,
        });
    }

    /// §18.2, §21.7, and what was configured.
    fn check_options(&self, message: &Outgoing) {
        use ClientMessage::{Confirm, InformationRequest, Rebind, Release, Renew, Request, Solicit};
        let kind = message.kind;
        match kind {
            Solicit | Rebind | Confirm => assert_eq!(message.server_id, None, "{kind:?} with a Server ID"),
            Request | Renew | Release => assert!(message.server_id.is_some(), "{kind:?} without a Server ID"),
            InformationRequest => {}
        }
        let codes = &message.option_request;
        let forbidden = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 18, 19, 20, 25, 26];
        assert!(!codes.iter().any(|code| forbidden.contains(code)), "{codes:?}");
        let leasing = matches!(kind, Solicit | Request | Renew | Rebind);
        assert!(!leasing || codes.contains(&82), "{kind:?} does not ask for SOL_MAX_RT");
        assert!(kind != InformationRequest || [32, 83].iter().all(|code| codes.contains(code)));
        assert_eq!(message.rapid_commit, kind == Solicit && self.settings.rapid_commit);
        assert_eq!(message.reconfigure_accept, leasing && self.settings.reconfigure);
        assert!(self.settings.request_address || message.addresses.is_empty() || kind == Release);
    }

    /// What a message says of leases is so.
    fn check_leases(&self, message: &Outgoing) {
        let held: BTreeSet<_> = self.alive().map(|offer| offer.prefix).collect();
        let wanted = self.settings.delegations.iter().filter_map(|wanted| wanted.iaid).count() - self.released.len();
        let asked: BTreeSet<_> = message.delegations.iter().map(|(iaid, _)| *iaid).collect();
        assert_eq!(asked.len(), message.delegations.len(), "an IAID twice");
        match message.kind {
            ClientMessage::Solicit | ClientMessage::Request => assert_eq!(asked.len(), wanted, "{message:?}"),
            ClientMessage::Renew | ClientMessage::Rebind => {
                assert_eq!(asked.len(), wanted, "{message:?}");
                let prefixes = message.delegations.iter().flat_map(|(_, prefixes)| prefixes);
                let unknown = prefixes.filter(|net| !net.network().is_unspecified() && !held.contains(net)).count();
                assert_eq!(unknown, 0, "{message:?} asks to extend what is not held: {held:?}");
            }
            ClientMessage::Release => {
                for (iaid, prefixes) in &message.delegations {
                    let asked = self.to_release.get(iaid);
                    let unasked = |prefix: &Ipv6Net| !asked.is_some_and(|asked| asked.contains(prefix));
                    assert!(!prefixes.is_empty() && !prefixes.iter().any(unasked), "nobody asked for {message:?}");
                }
            }
            ClientMessage::Confirm | ClientMessage::InformationRequest => assert!(asked.is_empty(), "{message:?}"),
        }
        let zero = Ipv6Net::default();
        assert!(!message.delegations.iter().any(|(_, prefixes)| prefixes.contains(&zero)), "::/0 in {message:?}");
    }

    /// What goes to the journal and to `status` is fit for it.
    fn check_notices(&mut self) {
        while let Some(notice) = self.client.poll_notice() {
            let (client::Notice::Dropped(text) | client::Notice::Transition(text) | client::Notice::Warning(text)) =
                notice;
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
        assert!(!self.report.notes.iter().any(|note| note.chars().any(char::is_control)), "{:?}", self.report.notes);
    }

    /// Nothing is offered for longer than it was promised, and nothing that cannot be used.
    fn check_offers(&self) {
        assert!(self.report.offers.len() <= MOST_OFFERS, "what is remembered is bounded");
        let mut seen = BTreeSet::new();
        for offer in self.alive() {
            let prefix = offer.prefix;
            assert!(seen.insert(prefix), "{prefix} is offered twice");
            assert!(is_usable(prefix), "{prefix} is offered");
            let (preferred, valid) = self.promised.get(&prefix).expect("what is offered was delegated");
            assert!(offer.valid_until <= *valid, "{offer:?} ends at {valid:?}");
            assert!(offer.preferred_until <= *preferred, "{offer:?} is deprecated at {preferred:?}");
            assert!(offer.preferred_until <= offer.valid_until, "{offer:?}");
            let recipient = offer.recipient.as_ref().expect("an offer is for somebody");
            assert!(!self.released.contains(recipient), "{prefix} was given back");
            assert!(self.settings.delegations.iter().any(|wanted| wanted.dynamic_prefix == *recipient));
        }
    }

    /// It will be awake when something ends, and it does not sleep for ever while something is missing.
    fn check_timer(&self) {
        let timeout = self.timeout();
        // What is shown leaves out when old things are forgotten, while anything else is to come.
        let shown = self.report.next_wake.map(|(at, _)| at);
        assert_eq!(shown.is_some(), timeout.is_some());
        assert!(shown >= timeout, "{shown:?} is shown, {timeout:?} is meant");
        let first_end = self.alive().filter_map(|offer| offer.valid_until.instant()).min();
        assert!(first_end.is_none_or(|end| timeout.is_some_and(|at| at <= end)), "it sleeps past {first_end:?}");
        let held: BTreeSet<_> = self.alive().filter_map(|offer| offer.recipient.as_ref()).collect();
        let mut wanted = self.settings.delegations.iter().map(|wanted| &wanted.dynamic_prefix);
        let missing = wanted.any(|name| !held.contains(name) && !self.released.contains(name));
        if missing && self.can_send() && !self.settings.require_router_advertisement {
            let latest = self.now + LONGEST_SILENCE;
            assert!(
                timeout.is_some_and(|at| at <= latest),
                "it has nothing, and no reason to wake up before {latest:?}"
            );
        }
    }
}

/// How many of the times lie within the last [`PERIOD`]; forgets the others.
fn in_period(times: &mut VecDeque<Instant>, now: Instant) -> usize {
    while times.front().is_some_and(|at| *at + PERIOD <= now) {
        times.pop_front();
    }
    times.len()
}

/// Whether ranges can be cut from a prefix: global or unique-local unicast, and not longer than a subnet.
pub(crate) fn is_usable(prefix: Ipv6Net) -> bool {
    let [first, second, ..] = prefix.network().octets();
    let link_local = first == 0xfe && second & 0xc0 == 0x80;
    let special = first == 0xff || link_local || prefix.network().is_unspecified() || prefix.network().is_loopback();
    (1..=64).contains(&prefix.prefix_len()) && !special && prefix.trunc() == prefix
}
