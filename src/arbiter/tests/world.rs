//! A DynamicPrefix, its sources and a clock, for scenarios that read as a trace.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;

use crate::arbiter::{Arbiter, Fate, Previous, PreviousState, Restored, Transition};
use crate::config::{Acquisition, Dhcpv6, DynamicPrefix, Observe, OnLoss, RouterAdvertisement};
use crate::source::{Cut, Offer, SourceId, SourceKind, SourceReport, SourceState};
use crate::time::{Deadline, Instant};

/// Prefixes as they are called in the traces.
pub(super) const NAMES: [(&str, &str); 6] = [
    ("A", "2001:db8:a::/64"),
    ("B", "2001:db8:b::/64"),
    ("C", "2001:db8:c::/64"),
    ("D", "2001:db8:d::/64"),
    ("E", "2001:db8:e::/64"),
    ("F", "2001:db8:f::/64"),
];

/// The prefix of that name, or that text.
pub(super) fn net(name: &str) -> Ipv6Net {
    let text = NAMES.iter().find(|(short, _)| *short == name).map_or(name, |(_, text)| text);
    text.parse().expect("a prefix")
}

fn name(prefix: Ipv6Net) -> String {
    let known = NAMES.iter().find(|(_, text)| *text == prefix.to_string());
    known.map_or_else(|| prefix.to_string(), |(short, _)| (*short).to_owned())
}

pub(super) fn router(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number)
}

/// A prefix as it stands in an advertisement: lifetimes in seconds from now.
#[derive(Clone, Debug)]
pub(super) struct Pio {
    prefix: Ipv6Net,
    preferred: u32,
    valid: u32,
    router: u16,
    cut: Option<Cut>,
    recipient: Option<String>,
    excluded: Vec<Ipv6Net>,
}

impl Pio {
    pub(super) fn from(self, router: u16) -> Self {
        Self { router, ..self }
    }

    pub(super) fn cut(self, cut: Cut) -> Self {
        Self { cut: Some(cut), ..self }
    }

    /// Delegated to another DynamicPrefix.
    pub(super) fn to(self, recipient: &str) -> Self {
        Self { recipient: Some(recipient.to_owned()), ..self }
    }

    /// The delegating router keeps this part for itself.
    pub(super) fn without(self, part: &str) -> Self {
        Self { excluded: vec![net(part)], ..self }
    }
}

pub(super) fn pio(prefix: &str, preferred: u32, valid: u32) -> Pio {
    Pio { prefix: net(prefix), preferred, valid, router: 1, cut: None, recipient: None, excluded: Vec::new() }
}

/// What the source says of a prefix with preferred lifetime 0.
pub(super) fn deprecated(prefix: &str, valid: u32) -> Pio {
    pio(prefix, 0, valid).cut(Cut::Deprecated)
}

/// What the source says of a prefix that its router listed no longer, twice.
pub(super) fn unlisted(prefix: &str, valid: u32) -> Pio {
    pio(prefix, 0, valid).cut(Cut::Unlisted)
}

/// What the source says of a prefix whose valid lifetime was set to 0, confirmed.
pub(super) fn withdrawn(prefix: &str) -> Pio {
    pio(prefix, 0, 0).cut(Cut::Withdrawn)
}

/// A DynamicPrefix by Router Advertisement on eth0, with the defaults.
pub(super) fn by_ra() -> DynamicPrefix {
    let ra = RouterAdvertisement { interface: "eth0".into(), delegated_prefix_length: None, routers: Vec::new() };
    DynamicPrefix {
        name: "home".into(),
        acquisition: Acquisition { router_advertisement: Some(ra), ..Acquisition::default() },
        address_ranges: Vec::new(),
        subnets: Vec::new(),
        transition: crate::config::Transition::default(),
    }
}

/// The same, with a static prefix to fall back to.
pub(super) fn by_ra_or(fixed: &str) -> DynamicPrefix {
    let mut config = by_ra();
    config.acquisition.fixed = Some(net(fixed));
    config
}

pub(super) fn withdrawing() -> DynamicPrefix {
    let mut config = by_ra();
    config.transition.on_loss = OnLoss::Withdraw;
    config
}

pub(super) fn ra_on_eth0() -> SourceId {
    SourceId::on(SourceKind::RouterAdvertisement, "eth0")
}

/// A DynamicPrefix by DHCPv6 on eth0, with Router Advertisements there to fall back to.
pub(super) fn by_pd() -> DynamicPrefix {
    let mut config = by_ra();
    config.acquisition.dhcpv6 = Some(Dhcpv6::on("eth0"));
    config
}

/// The same, where another client is observed.
pub(super) fn by_observation() -> DynamicPrefix {
    let mut config = by_ra();
    config.acquisition.observe = Some(Observe { interface: "eth0".into() });
    config
}

pub(super) fn pd_on_eth0() -> SourceId {
    SourceId::on(SourceKind::Dhcpv6Pd, "eth0")
}

pub(super) fn fixed() -> SourceId {
    SourceId::of(SourceKind::Static)
}

pub(super) struct World {
    pub(super) arbiter: Arbiter,
    pub(super) now: Instant,
    first_seen: BTreeMap<(u16, Ipv6Net), Instant>,
}

impl World {
    pub(super) fn new(config: DynamicPrefix) -> Self {
        let now = Instant::from_secs(1000);
        Self { arbiter: Arbiter::new(config, None, now), now, first_seen: BTreeMap::new() }
    }

    /// Stops, and starts again `seconds` later with what was stored.
    pub(super) fn restart(&mut self, config: DynamicPrefix, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        let snapshot = self.arbiter.snapshot().cloned().unwrap_or_default();
        let restored = Restored { snapshot, last_generation: self.arbiter.last_generation() };
        self.arbiter = Arbiter::new(config, Some(restored), self.now);
    }

    /// The router advertisement source reports these.
    pub(super) fn ra(&mut self, pios: &[Pio]) {
        self.report(ra_on_eth0(), SourceState::Receiving, pios);
    }

    /// The DHCPv6 client reports these, each for "home"; it still asks for a delegation, or holds one.
    pub(super) fn pd(&mut self, state: SourceState, pios: &[Pio]) {
        self.client(state, &["home"], pios);
    }

    /// The same for a client that has asked in vain, or cannot run.
    pub(super) fn pd_in_vain(&mut self, state: SourceState, pios: &[Pio]) {
        self.client(state, &[], pios);
    }

    fn client(&mut self, state: SourceState, pending: &[&str], pios: &[Pio]) {
        let offers = pios.iter().map(|pio| Offer {
            recipient: Some(pio.recipient.clone().unwrap_or_else(|| "home".to_owned())),
            excluded: pio.excluded.clone(),
            ..self.offer(pio, SourceKind::Dhcpv6Pd)
        });
        let offers = offers.collect();
        let pending = pending.iter().map(|name| (*name).to_owned()).collect();
        let report = SourceReport { offers, pending, ..SourceReport::new(pd_on_eth0(), state) };
        self.arbiter.handle_report(&report, self.now);
    }

    /// Another client on eth0, which may still be waited for.
    pub(super) fn observed(&mut self, state: SourceState, is_pending: bool, pios: &[Pio]) {
        let id = SourceId::on(SourceKind::Observed, "eth0");
        let offers = pios.iter().map(|pio| self.offer(pio, id.kind)).collect();
        let pending = is_pending.then(|| "home".to_owned()).into_iter().collect();
        self.arbiter.handle_report(&SourceReport { offers, pending, ..SourceReport::new(id, state) }, self.now);
    }

    pub(super) fn report(&mut self, id: SourceId, state: SourceState, pios: &[Pio]) {
        let offers = pios.iter().map(|pio| self.offer(pio, id.kind)).collect();
        self.arbiter.handle_report(&SourceReport { offers, ..SourceReport::new(id, state) }, self.now);
    }

    pub(super) fn offer(&mut self, pio: &Pio, kind: SourceKind) -> Offer {
        Offer {
            prefix: pio.prefix,
            recipient: None,
            router: (kind == SourceKind::RouterAdvertisement).then(|| router(pio.router)),
            preferred_until: Deadline::after(self.now, pio.preferred),
            valid_until: Deadline::after(self.now, pio.valid),
            excluded: Vec::new(),
            first_seen: *self.first_seen.entry((pio.router, pio.prefix)).or_insert(self.now),
            cut: pio.cut,
        }
    }

    /// Time goes by; the arbiter is called exactly when it asks to be.
    pub(super) fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.arbiter.poll_timeout().filter(|due| *due <= end) {
            self.arbiter.handle_timeout(due);
        }
        self.now = end;
    }

    /// The machine sleeps: the arbiter is called once, when it is over.
    pub(super) fn suspend(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.arbiter.handle_timeout(self.now);
    }

    /// What happened since the last call.
    pub(super) fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.arbiter.poll_transition()).map(|transition| show(&transition)).collect()
    }

    /// `A#1 | B draining`: the current prefix with its generation, then the history.
    pub(super) fn state(&self) -> String {
        let Some(snapshot) = self.arbiter.snapshot() else { return "no opinion".into() };
        let current = snapshot.current.as_ref().map_or_else(
            || "nothing".to_owned(),
            |current| {
                let lost = current.lost.map(|loss| format!(" lost {loss:?}")).unwrap_or_default();
                format!("{}#{}{lost}", name(current.prefix), current.generation.0)
            },
        );
        let history: Vec<String> = snapshot.history.iter().map(previous).collect();
        if history.is_empty() { current } else { format!("{current} | {}", history.join(", ")) }
    }
}

fn previous(previous: &Previous) -> String {
    match previous.state {
        PreviousState::Draining => format!("{} draining", name(previous.prefix)),
        PreviousState::Expired => format!("{} {:?}", name(previous.prefix), previous.reason),
    }
}

fn show(transition: &Transition) -> String {
    match transition {
        Transition::Acquired { current, previous: None } => format!("acquired {}", name(current.prefix)),
        Transition::Acquired { current, previous: Some(previous) } => {
            format!("acquired {} after {}", name(current.prefix), name(*previous))
        }
        Transition::Lost { prefix, loss, fate: Fate::Kept | Fate::Unconfirmed } => {
            format!("lost {}: {loss:?}", name(*prefix))
        }
        Transition::Lost { prefix, loss, fate: Fate::Withdrawn } => format!("withdrew {}: {loss:?}", name(*prefix)),
        Transition::Released { prefix } => format!("released {}", name(*prefix)),
        Transition::Regained { prefix } => format!("regained {}", name(*prefix)),
        Transition::DrainEnded { prefix, reason } => format!("drained {}: {reason:?}", name(*prefix)),
        Transition::Refused { prefix, rejection, .. } => format!("refused {}: {rejection:?}", name(*prefix)),
    }
}
