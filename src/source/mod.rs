//! Where prefixes come from: what every source says, in one vocabulary.
//!
//! A source never says "changed": it says what it knows *now*, whole, in a [`SourceReport`]. What follows from two
//! reports in a row is the arbiter's to decide. There is one source per kind and interface; DynamicPrefixes on one
//! interface share it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use ipnet::Ipv6Net;

use crate::time::{Deadline, Instant};
use link::LinkState;

pub mod dhcpv6;
mod head;
pub mod http;
pub mod interface;
pub mod link;
pub mod observe;
pub mod ra;

/// The kinds of source. The order is their rank: the first that has a usable prefix wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// A prefix delegated to our own DHCPv6 client (RFC 9915 §6.3).
    Dhcpv6Pd,
    /// A delegation that another client on this host holds.
    Observed,
    /// A Prefix Information option of a Router Advertisement (RFC 4861 §4.6.2).
    RouterAdvertisement,
    /// The prefix of an interface's own addresses.
    Interface,
    /// The answer of a "what is my address" service.
    Http,
    /// A prefix written in the configuration.
    Static,
}

impl SourceKind {
    /// The name of the kind in `status` (`prefixSource`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dhcpv6Pd => "dhcpv6-pd",
            Self::Observed => "observed",
            Self::RouterAdvertisement => "router-advertisement",
            Self::Interface => "interface",
            Self::Http => "http",
            Self::Static => "static",
        }
    }

    /// The kind with this name in `status` and in the store.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Dhcpv6Pd, Self::Observed, Self::RouterAdvertisement, Self::Interface, Self::Http, Self::Static]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One source: a kind on an interface. Sorts by rank.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId {
    /// What kind of source it is.
    pub kind: SourceKind,
    /// The interface it listens on; `None` for sources that need none.
    pub interface: Option<String>,
    /// What it asks, of a source that asks by HTTP.
    pub url: Option<String>,
}

impl SourceId {
    /// A source that listens on an interface.
    pub fn on(kind: SourceKind, interface: &str) -> Self {
        Self { interface: Some(interface.to_owned()), ..Self::of(kind) }
    }

    /// The source of a kind of which there is only one.
    pub const fn of(kind: SourceKind) -> Self {
        Self { kind, interface: None, url: None }
    }

    /// The service at this URL.
    pub fn at(url: &str) -> Self {
        Self { url: Some(url.to_owned()), ..Self::of(SourceKind::Http) }
    }

    /// The URL as everyone may see it: a query may have a secret in it.
    pub fn shown_url(&self) -> Option<String> {
        let url = self.url.as_ref()?;
        Some(url.split_once('?').map_or_else(|| url.clone(), |(place, _secret)| format!("{place}?…")))
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.interface, &self.url) {
            (Some(interface), _) => write!(f, "{} on {interface}", self.kind),
            (None, _) => match self.shown_url() {
                Some(url) => write!(f, "{} from {url}", self.kind),
                None => self.kind.fmt(f),
            },
        }
    }
}

/// Why a prefix's lifetimes end before the time that was announced for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// The router announced it with preferred lifetime 0 (or valid lifetime 0, not confirmed yet).
    Deprecated,
    /// The router listed another prefix, and no longer this one, twice; or the DHCPv6 server delegated another one and
    /// was silent about this one.
    Unlisted,
    /// The router announced valid lifetime 0, and confirmed it; or the DHCPv6 server ended the lease, knows it no
    /// longer, or let it run out although it was asked; or the link session it came by is gone.
    Withdrawn,
}

/// A prefix that a source knows of.
///
/// A prefix that has ended (`valid_until` is over) stays in the reports for a while, so that whoever holds it learns
/// of its end; absence from a report alone says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The prefix, host bits zero.
    pub prefix: Ipv6Net,
    /// The DynamicPrefix it is for, where a source has a prefix for each (an IA_PD); `None`: for all.
    pub recipient: Option<String>,
    /// The link-local address of the router that announces it, for Router Advertisements.
    pub router: Option<Ipv6Addr>,
    /// The end of the preferred lifetime: from then on nothing new may use the prefix.
    pub preferred_until: Deadline,
    /// The end of the valid lifetime: from then on the prefix is dead.
    pub valid_until: Deadline,
    /// Parts that no range may touch (RFC 6603 OPTION_PD_EXCLUDE).
    pub excluded: Vec<Ipv6Net>,
    /// When the source first heard of it; of two equals the newer wins.
    pub first_seen: Instant,
    /// Why the lifetimes were cut short, if they were.
    pub cut: Option<Cut>,
}

/// What a source is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// The interface does not exist (yet).
    InterfaceAbsent,
    /// The interface exists and has no carrier or is down.
    LinkDown,
    /// The interface has no link-local address that could be sent from (RFC 4862 §5.4).
    NoLinkLocal,
    /// Waiting for a Router Advertisement that says there is DHCPv6 (`requireRouterAdvertisement`).
    AwaitingRouter,
    /// The interface is up, and whoever gives it addresses may still be about to.
    AwaitingAddress,
    /// The interface is up, and has no address that a prefix could be taken from.
    NoAddress,
    /// A service is asked for the first time.
    Asking,
    /// Asking, no answer yet.
    Soliciting,
    /// Asked in vain; still listening.
    Silent,
    /// Hearing answers.
    Receiving,
    /// A DHCPv6 server has offered, and is asked for the delegation (RFC 9915 §18.2.2).
    Requesting,
    /// A delegation is held (RFC 9915 §18.2.10.1).
    Bound,
    /// A delegation is held, and its server is asked to extend it (RFC 9915 §18.2.4).
    Renewing,
    /// A delegation is held, and any server is asked to confirm or extend it (RFC 9915 §18.2.5).
    Rebinding,
    /// The delegation is being given back (RFC 9915 §18.2.7).
    Releasing,
    /// The delegation was given back by `dyn-prefix dhcp-release`; nothing is asked for until a reload or restart.
    Released,
    /// Nothing to ask: the prefix is written in the configuration.
    Configured,
    /// It cannot run; the text says what was tried, why it failed and what to do.
    Failed(String),
}

impl SourceState {
    /// The name of the state in `status`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::InterfaceAbsent => "interface-absent",
            Self::LinkDown => "link-down",
            Self::NoLinkLocal => "no-link-local",
            Self::AwaitingRouter => "awaiting-router",
            Self::AwaitingAddress => "awaiting-address",
            Self::NoAddress => "no-address",
            Self::Asking => "asking",
            Self::Soliciting => "soliciting",
            Self::Silent => "silent",
            Self::Receiving => "receiving",
            Self::Requesting => "requesting",
            Self::Bound => "bound",
            Self::Renewing => "renewing",
            Self::Rebinding => "rebinding",
            Self::Releasing => "releasing",
            Self::Released => "released",
            Self::Configured => "configured",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether the source has said all it can say for now. While a source of higher rank is still asking, one of
    /// lower rank is not listened to.
    pub const fn is_settled(&self) -> bool {
        !matches!(self, Self::Soliciting | Self::AwaitingAddress | Self::Asking)
    }
}

/// What keeps a source from hearing anything on its interface, if anything does. `failure`: why it cannot listen there.
fn hindrance(link: Option<&LinkState>, failure: Option<&String>) -> Option<SourceState> {
    match (link, failure) {
        (None, _) => Some(SourceState::InterfaceAbsent),
        (Some(_), Some(failure)) => Some(SourceState::Failed(failure.clone())),
        (Some(link), None) => (!link.up).then_some(SourceState::LinkDown),
    }
}

/// Everything a source knows, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceReport {
    /// Which source speaks.
    pub id: SourceId,
    /// What it is doing.
    pub state: SourceState,
    /// The prefixes it knows of, in no order that means anything.
    pub offers: Vec<Offer>,
    /// When it will act next on its own, and why; for `status`.
    pub next_wake: Option<(Instant, &'static str)>,
    /// The DynamicPrefixes that it is still asking for, or holds a prefix for, so that sources of lower rank are not
    /// listened to, whatever `state` says; for a source that serves each on its own (DHCPv6).
    pub pending: BTreeSet<String>,
    /// What a DHCPv6 client must remember over a restart, its leases among it; also what `status` shows of them.
    pub client: Option<Arc<dhcpv6::Memory>>,
    /// What the Router Advertisements on the interface mean to a DHCPv6 client there.
    pub advertised: Option<Advertised>,
    /// Why the delegation is in doubt, a sentence: Router Advertisements speak of another prefix, and the server has not
    /// confirmed it since.
    pub doubt: Option<String>,
    /// What DHCPv6 servers answered instead of a prefix, a sentence without a full stop.
    pub refusal: Option<String>,
    /// Another DHCPv6 client that was seen on the interface, a sentence: the port is its own until the next boot.
    pub other_client: Option<String>,
    /// What the user should know although it is no failure, a sentence each.
    pub notes: Vec<String>,
}

impl SourceReport {
    /// A report that says no more than this.
    pub fn new(id: SourceId, state: SourceState) -> Self {
        Self {
            id,
            state,
            offers: Vec::new(),
            next_wake: None,
            pending: BTreeSet::new(),
            client: None,
            advertised: None,
            doubt: None,
            refusal: None,
            other_client: None,
            notes: Vec::new(),
        }
    }
}

/// What came in on the socket of a source, since it was opened first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets, whether they were used or not.
    pub received: u64,
    /// Packets that were not used, by a word for the reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// What the Router Advertisements on an interface say that matters to a DHCPv6 client there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised {
    /// The latest advertisement of a router has the M or the O flag set: there is DHCPv6 (RFC 4861 §4.2).
    pub dhcpv6: bool,
    /// A prefix is announced with the P flag: delegation is available and preferred (RFC 9762).
    pub delegation_preferred: bool,
    /// The prefixes on the link that may be used (preferred lifetime not over, not cut), by length as announced.
    pub prefixes: BTreeSet<Ipv6Net>,
}

/// The report of the source `static`: a prefix written in the configuration, there for ever from `now` on.
pub fn fixed(prefix: Ipv6Net, now: Instant) -> SourceReport {
    let offer = Offer {
        prefix: prefix.trunc(),
        recipient: None,
        router: None,
        preferred_until: Deadline::Never,
        valid_until: Deadline::Never,
        excluded: Vec::new(),
        first_seen: now,
        cut: None,
    };
    let id = SourceId::of(SourceKind::Static);
    SourceReport { offers: vec![offer], ..SourceReport::new(id, SourceState::Configured) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_url_is_not_shown() {
        let shown = |url| SourceId::at(url).to_string();
        assert_eq!(shown("https://a.example/ip?token=secret"), "http from https://a.example/ip?…");
        assert_eq!(shown("https://a.example/ip"), "http from https://a.example/ip");
    }

    #[test]
    fn a_fixed_prefix_is_there_for_ever() {
        let now = Instant::from_secs(5);
        let report = fixed("2001:db8:1234:5::9/60".parse().expect("a prefix"), now);
        assert_eq!(report.id.to_string(), "static");
        assert!(report.state.is_settled());
        let [offer] = report.offers.as_slice() else { panic!("one offer") };
        assert_eq!(offer.prefix.to_string(), "2001:db8:1234::/60");
        assert_eq!((offer.preferred_until, offer.valid_until), (Deadline::Never, Deadline::Never));
    }
}
