//! What is said of delegations beside the packets: by netlink, by a former run, by people. Pure.
//!
//! A route for a whole delegation is the trace that most clients leave: systemd-networkd and dhcpcd an unreachable,
//! blackhole or prohibit route of protocol dhcp, OpenWrt's netifd one of protocol static with the metric 2147483647.
//! It tells the length, and the addresses of other interfaces inside it tell the lifetimes. Without any, they are not
//! known and do not end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::Ipv6Net;
use netlink_packet_route::RouteNetlinkMessage;

use super::Told;
use super::traces::{Addresses, Route, delegation, lifetimes};
use crate::source::dhcpv6::LeasedPrefix;
use crate::source::{Cut, Offer};
use crate::time::{Deadline, Instant};

mod files;

use files::OnFile;

/// For how long a route may be away before its delegation counts as lost: a client that is restarted takes it away and
/// makes it again.
const GRACE: Duration = Duration::from_secs(10);
/// How long a prefix that was lost stays in the reports.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How many prefixes are kept. There are as many as the host's clients hold, and those of other uplinks.
const MOST: usize = 64;

/// One prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hint {
    offer: Offer,
    origin: Origin,
    /// Since when there is no route for it, although there was one.
    missing_since: Option<Instant>,
    /// When it was cut.
    cut_at: Option<Instant>,
    /// It appeared while the packets told another delegation: it is somebody else's, or will be told by them.
    is_aside: bool,
    in_use: Use,
    /// When it was put into use.
    used_since: Option<Instant>,
}

/// Whether interfaces have addresses out of what a route stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// None ever had one.
    Never,
    /// None ever had one, and there is another delegation of which some have.
    Outdone,
    Now,
    Before,
    /// It was in use before, and a newer one is now.
    Replaced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A former run knew it.
    FormerRun,
    Route,
    /// The client has written it down.
    File,
    Told,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    /// The routes were read at least once.
    is_loaded: bool,
    /// The interface that is observed: its own addresses are not made from what is delegated.
    uplink: Option<u32>,
    routes: BTreeSet<Route>,
    addresses: Addresses,
    /// What the client's own file says.
    on_file: OnFile,
    hints: Vec<Hint>,
}

impl Evidence {
    /// Takes what a former run knew.
    pub(super) fn seed(&mut self, offers: &[Offer]) {
        self.hints.extend(offers.iter().take(MOST).map(|offer| Hint::new(offer.clone(), Origin::FormerRun)));
    }

    /// The interface that is observed has this index.
    pub(super) fn handle_uplink(&mut self, ifindex: Option<u32>) {
        self.uplink = ifindex;
    }

    /// Takes a whole dump of addresses and routes: what is not in it does not exist.
    pub(super) fn replace<'a>(&mut self, dump: impl IntoIterator<Item = &'a RouteNetlinkMessage>, now: Instant) {
        self.is_loaded = true;
        self.routes.clear();
        self.addresses.clear();
        for message in dump {
            self.apply(message, now);
        }
    }

    /// Takes one netlink message; those that are not about IPv6 routes and addresses change nothing.
    pub(super) fn apply(&mut self, message: &RouteNetlinkMessage, now: Instant) {
        // An `if let` per kind: the enum has dozens, and grows.
        if let RouteNetlinkMessage::NewRoute(route) = message {
            self.routes.extend(delegation(route));
        } else if let RouteNetlinkMessage::DelRoute(route) = message {
            if let Some(route) = delegation(route) {
                self.routes.remove(&route);
            }
        } else if let RouteNetlinkMessage::NewAddress(address) = message {
            self.addresses.extend(lifetimes(address, now));
        } else if let RouteNetlinkMessage::DelAddress(address) = message
            && let Some((key, _)) = lifetimes(address, now)
        {
            self.addresses.remove(&key);
        }
    }

    /// Somebody says what is delegated. What is not said stays as it was, or is not known.
    pub(super) fn tell(&mut self, told: &Told, now: Instant) {
        let prefix = told.prefix.trunc();
        let is_it = |hint: &Hint| {
            hint.offer.prefix == prefix && hint.offer.recipient.as_ref().is_none_or(|name| *name == told.dynamic_prefix)
        };
        if told.gone {
            return self.hints.iter_mut().filter(|hint| is_it(hint)).for_each(|hint| hint.cut(Cut::Withdrawn, now));
        }
        let own = self.hints.iter().position(|hint| hint.origin == Origin::Told && is_it(hint));
        let former = own.map(|at| self.hints.swap_remove(at)).filter(|hint| hint.offer.cut.is_none());
        let is_new = former.is_none();
        let mut offer = former.map_or_else(|| unknown(prefix, now), |hint| hint.offer);
        offer.recipient = Some(told.dynamic_prefix.clone());
        if let Some(seconds) = told.preferred {
            offer.preferred_until = Deadline::after(now, seconds);
        }
        if let Some(seconds) = told.valid {
            offer.valid_until = Deadline::after(now, seconds);
            offer.preferred_until = offer.preferred_until.min(offer.valid_until);
        }
        if !told.excluded.is_empty() {
            offer.excluded.clone_from(&told.excluded);
        }
        if is_new {
            // Of one whose end nobody knows, nobody would say when it ends, either; of a route, its end would.
            let stands = |hint: &&Hint| hint.origin == Origin::Route && hint.offer.cut.is_none();
            let standing: BTreeSet<Ipv6Net> = self.hints.iter().filter(stands).map(|hint| hint.offer.prefix).collect();
            let endless = |hint: &&mut Hint| {
                (hint.origin == Origin::Told
                    || (hint.origin == Origin::FormerRun && !standing.contains(&hint.offer.prefix)))
                    && hint.offer.recipient == offer.recipient
                    && hint.offer.preferred_until == Deadline::Never
                    && hint.offer.prefix != prefix
            };
            self.hints.iter_mut().filter(endless).for_each(|hint| hint.cut(Cut::Unlisted, now));
        }
        self.make_room();
        self.hints.push(Hint::new(offer, Origin::Told));
    }

    /// Puts together what there is now. `leased`: what the packets tell, if anything was ever told by them, and whether
    /// it is held.
    pub(super) fn settle(&mut self, leased: &[Offer], now: Instant) {
        self.hints.retain(|hint| hint.forget_at().is_none_or(|at| now < at));
        if self.is_loaded {
            let has_lease = leased.iter().any(|offer| is_alive(offer, now));
            self.follow_routes(has_lease, now);
            self.follow_file(has_lease, now);
        }
        for hint in &mut self.hints {
            let said = leased.iter().find(|offer| offer.prefix == hint.offer.prefix);
            match said {
                // It goes the way of the lease, also when that is forgotten.
                Some(Offer { cut: Some(cut @ (Cut::Withdrawn | Cut::Unlisted)), .. }) => hint.cut(*cut, now),
                Some(_) if hint.origin == Origin::Route => hint.restore(),
                Some(_) | None => {}
            }
        }
    }

    fn follow_routes(&mut self, has_lease: bool, now: Instant) {
        let present: BTreeSet<Ipv6Net> = self.routes.iter().map(|route| route.prefix).collect();
        for prefix in &present {
            let known = self.hints.iter().any(|hint| hint.origin == Origin::Route && hint.offer.prefix == *prefix);
            if !known {
                self.make_room();
                let hint = Hint { is_aside: has_lease, ..Hint::new(unknown(*prefix, now), Origin::Route) };
                self.hints.push(hint);
            }
        }
        self.follow_addresses(&present, has_lease, now);
        let stands = |hint: &&Hint| {
            let is_there = hint.origin == Origin::Route && present.contains(&hint.offer.prefix);
            is_there && hint.is_offered() && hint.offer.cut.is_none()
        };
        let standing = self.hints.iter().filter(stands).map(|hint| (hint.offer.prefix, hint.offer.first_seen));
        let standing: BTreeMap<Ipv6Net, Instant> = standing.collect();
        for hint in &mut self.hints {
            let (prefix, first_seen) = (hint.offer.prefix, hint.offer.first_seen);
            hint.is_aside &= has_lease || hint.origin == Origin::File;
            match hint.origin {
                Origin::Route if present.contains(&prefix) => hint.stand(&self.addresses, self.uplink),
                Origin::Route => {
                    let since = *hint.missing_since.get_or_insert(now);
                    // Only where no packet tells what is held: a client may have given all of it to one interface.
                    let is_replaced = standing.values().any(|other| *other > first_seen);
                    if !has_lease && (is_replaced || since + GRACE <= now) {
                        hint.cut(Cut::Unlisted, now);
                    }
                }
                // The client has another one now.
                Origin::FormerRun if !has_lease && !standing.is_empty() && !standing.contains_key(&prefix) => {
                    hint.cut(Cut::Unlisted, now);
                }
                Origin::FormerRun | Origin::File | Origin::Told => {}
            }
        }
        let is_over = |since: Instant| has_lease && since + GRACE <= now;
        self.hints.retain(|hint| hint.offer.cut.is_some() || !hint.missing_since.is_some_and(is_over));
    }

    /// Not every client takes its route away: systemd-networkd (seen with 252) leaves that of a delegation which was
    /// replaced. What is in use tells then.
    fn follow_addresses(&mut self, present: &BTreeSet<Ipv6Net>, has_lease: bool, now: Instant) {
        for hint in self.hints.iter_mut().filter(|hint| hint.origin == Origin::Route) {
            let ends = longest(hint.offer.prefix, &self.addresses, self.uplink);
            let is_numbered = ends.is_some_and(|(preferred_until, _)| !preferred_until.is_over(now));
            if is_numbered && present.contains(&hint.offer.prefix) {
                hint.use_now(now);
            } else if hint.in_use == Use::Now {
                hint.in_use = Use::Before;
            }
        }
        let used = self.hints.iter().filter(|hint| hint.in_use == Use::Now && !hint.is_aside);
        let newest = used.filter_map(|hint| hint.used_since).max();
        for hint in self.hints.iter_mut().filter(|hint| hint.origin == Origin::Route) {
            match hint.in_use {
                Use::Never | Use::Outdone => hint.in_use = if newest.is_some() { Use::Outdone } else { Use::Never },
                Use::Before if !has_lease && newest > hint.used_since => {
                    hint.in_use = Use::Replaced;
                    hint.cut(Cut::Unlisted, now);
                }
                Use::Now | Use::Before | Use::Replaced => {}
            }
        }
    }

    /// A client was delegated something, of which the packets tell: what it does not hold is not delegated any more, as
    /// far as anybody knows.
    pub(super) fn supersede(&mut self, mentioned: &[Ipv6Net], now: Instant) {
        // What was said before the packets spoke of it is old.
        self.hints.retain(|hint| hint.origin != Origin::Told || !mentioned.contains(&hint.offer.prefix));
        let other = |hint: &&mut Hint| hint.origin != Origin::Told && !mentioned.contains(&hint.offer.prefix);
        self.hints.iter_mut().filter(other).filter(|hint| !hint.is_aside).for_each(|hint| hint.cut(Cut::Unlisted, now));
    }

    /// What is known of a prefix that a client says it holds.
    pub(super) fn leased(&self, prefix: Ipv6Net) -> Option<LeasedPrefix> {
        let known = self.hints.iter().filter(|hint| hint.offer.cut.is_none() && hint.offer.prefix == prefix);
        let offer = known.map(|hint| &hint.offer).max_by_key(|offer| offer.valid_until)?;
        Some(LeasedPrefix {
            prefix,
            preferred_until: offer.preferred_until,
            valid_until: offer.valid_until,
            excluded: offer.excluded.first().copied(),
            first_seen: offer.first_seen,
        })
    }

    /// What to report, beside what the packets tell.
    pub(super) fn offers<'a>(&'a self, leased: &'a [Offer]) -> impl Iterator<Item = Offer> + 'a {
        let told_by_packets = |prefix| leased.iter().any(|offer| offer.prefix == prefix);
        let hints = self.hints.iter().filter(|hint| hint.is_offered());
        let hints = hints.filter(move |hint| hint.origin == Origin::Told || !told_by_packets(hint.offer.prefix));
        let hints = hints.filter(|hint| hint.origin != Origin::File || !self.stands(hint.offer.prefix));
        hints.map(|hint| self.with_told(hint))
    }

    /// When [`Self::settle`] has something to do by itself.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let missing = self.hints.iter().filter(|hint| hint.offer.cut.is_none());
        let missing = missing.filter_map(|hint| hint.missing_since).map(|since| since + GRACE);
        let in_use = self.hints.iter().filter(|hint| hint.in_use == Use::Now && hint.offer.cut.is_none());
        let deprecated = in_use.filter_map(|hint| hint.offer.preferred_until.instant());
        missing.chain(deprecated).chain(self.hints.iter().filter_map(Hint::forget_at)).min()
    }

    /// What was lost goes before its time when there is no place for what is new.
    fn make_room(&mut self) {
        if self.hints.len() >= MOST {
            let dispensable = |hint: &Hint| (hint.cut_at.is_none(), hint.cut_at, hint.offer.first_seen);
            let first = self.hints.iter().enumerate().min_by_key(|(_, hint)| dispensable(hint)).map(|(at, _)| at);
            first.into_iter().for_each(|at| drop(self.hints.remove(at)));
        }
    }
}

impl Hint {
    fn new(offer: Offer, origin: Origin) -> Self {
        Self { offer, origin, missing_since: None, cut_at: None, is_aside: false, in_use: Use::Never, used_since: None }
    }

    fn cut(&mut self, cut: Cut, now: Instant) {
        if self.offer.cut == Some(cut) || self.offer.cut == Some(Cut::Withdrawn) {
            return;
        }
        self.offer.cut = Some(cut);
        self.offer.preferred_until = self.offer.preferred_until.min(Deadline::At(now));
        if cut == Cut::Withdrawn {
            self.offer.valid_until = self.offer.valid_until.min(Deadline::At(now));
        }
        self.cut_at = Some(now);
    }

    /// When it is of no interest any more; not while its route or file is there, which would be taken for a new one.
    fn forget_at(&self) -> Option<Instant> {
        let is_gone = !matches!(self.origin, Origin::Route | Origin::File) || self.missing_since.is_some();
        self.cut_at.filter(|_| is_gone).map(|at| at + REMEMBERED)
    }

    /// Its route is there.
    fn stand(&mut self, addresses: &Addresses, uplink: Option<u32>) {
        if self.missing_since.take().is_some() {
            self.restore();
        }
        self.live(addresses, uplink);
    }

    /// It is there after all.
    fn restore(&mut self) {
        if self.cut_at.take().is_some() {
            self.offer.cut = None;
            (self.offer.preferred_until, self.offer.valid_until) = (Deadline::Never, Deadline::Never);
        }
    }

    /// Interfaces have addresses out of it.
    fn use_now(&mut self, now: Instant) {
        if self.in_use == Use::Replaced {
            self.restore();
            self.used_since = None;
        }
        self.in_use = Use::Now;
        self.used_since.get_or_insert(now);
    }

    /// Takes the lifetimes of the addresses inside it: those of the one that lives longest. Without any, what was known
    /// stays.
    fn live(&mut self, addresses: &Addresses, uplink: Option<u32>) {
        let longest = longest(self.offer.prefix, addresses, uplink);
        if let Some((preferred_until, valid_until)) = longest.filter(|_| self.offer.cut.is_none()) {
            (self.offer.preferred_until, self.offer.valid_until) = (preferred_until, valid_until);
        }
    }

    /// Whether it may be reported.
    fn is_offered(&self) -> bool {
        !self.is_aside && self.in_use != Use::Outdone
    }
}

/// The ends of the preferred and the valid lifetime of the addresses in a prefix, but for those of the uplink itself.
fn longest(prefix: Ipv6Net, addresses: &Addresses, uplink: Option<u32>) -> Option<(Deadline, Deadline)> {
    let elsewhere = addresses.iter().filter(|((ifindex, _), _)| Some(*ifindex) != uplink);
    let inside = elsewhere.filter(|((_, address), _)| prefix.contains(address));
    inside.map(|(_, ends)| *ends).reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)))
}

/// Whether a prefix is held.
pub(super) fn is_alive(offer: &Offer, now: Instant) -> bool {
    matches!(offer.cut, None | Some(Cut::Deprecated)) && !offer.valid_until.is_over(now)
}

/// A prefix of which nothing else is known.
pub(super) fn unknown(prefix: Ipv6Net, now: Instant) -> Offer {
    Offer {
        prefix,
        recipient: None,
        router: None,
        preferred_until: Deadline::Never,
        valid_until: Deadline::Never,
        excluded: Vec::new(),
        first_seen: now,
        cut: None,
    }
}
