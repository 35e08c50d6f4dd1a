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

use super::hint::{Hint, Origin, Use, is_alive, longest, unknown};
use super::told::Tellings;
use super::traces::{Addresses, Route, delegation, lifetimes};
use crate::source::dhcpv6::LeasedPrefix;
use crate::source::{Cut, Offer};
use crate::time::{Deadline, Instant};

mod files;
mod lapses;

use files::OnFile;

/// For how long a route may be away before its delegation counts as lost: a client that is restarted takes it away and
/// makes it again.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// How many prefixes are kept. There are as many as the host's clients hold, and those of other uplinks.
pub(super) const MOST: usize = 64;

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    /// The routes were read at least once.
    is_loaded: bool,
    /// The interface that is observed: its own addresses are not made from what is delegated.
    pub(super) uplink: Option<u32>,
    /// Counts its lives.
    pub(super) session: u64,
    pub(super) routes: BTreeSet<Route>,
    pub(super) addresses: Addresses,
    /// What the client's own file says, or it itself.
    on_file: OnFile,
    pub(super) hints: Vec<Hint>,
    pub(super) tellings: Tellings,
    /// The prefixes that the packets tell the end of, how, and since when.
    ended: BTreeMap<Ipv6Net, (Cut, Instant)>,
    /// The leases that are over, as far as the packets tell, and go on, as far as netlink or the client's file does.
    outliving: BTreeSet<Ipv6Net>,
    /// The leases that ran out, and what else is known of their prefixes with them.
    lapsed: BTreeSet<Ipv6Net>,
    /// Those of the leases that ran out of which no packet could be seen then.
    unseen: BTreeSet<Ipv6Net>,
    /// The leases that have had a route until now.
    without_route: BTreeSet<Ipv6Net>,
    /// What people have said is not to be used of the leases.
    pub(super) reserved: BTreeMap<Ipv6Net, Vec<Ipv6Net>>,
    /// When a former run's knowledge of a prefix ends, and since when it should have been renewed.
    due: BTreeMap<Ipv6Net, (Deadline, Instant)>,
    /// Since when packets are seen.
    seeing_since: Option<Instant>,
    /// The leases of which another delegation took the place while no packet could be seen, and since when.
    displaced: BTreeMap<Ipv6Net, Instant>,
    /// When the packets told last how long a prefix lives, and how long.
    granted: BTreeMap<Ipv6Net, (Deadline, Instant)>,
    /// When [`Self::settle`] was done last.
    settled_at: Option<Instant>,
}

/// What the packets tell, for those who tell something else.
struct Packets {
    /// They can be seen.
    are_seen: bool,
    /// A lease is held, as far as is known.
    is_leased: bool,
    /// A lease is held, and it would be seen that it is not.
    has_lease: bool,
    /// The prefixes they name.
    named: BTreeSet<Ipv6Net>,
}

impl Packets {
    /// Whether a delegation that appears now is somebody else's, or will yet be told by them.
    fn disown(&self, prefix: Ipv6Net) -> bool {
        self.has_lease && !self.named.contains(&prefix)
    }
}

impl Evidence {
    /// Takes what a former run knew.
    pub(super) fn seed(&mut self, offers: &[Offer]) {
        let (held, ended): (Vec<&Offer>, Vec<&Offer>) = offers.iter().partition(|offer| offer.cut.is_none());
        let is_held = |prefix| held.iter().any(|offer| offer.prefix == prefix);
        // Several DynamicPrefixes may have used it.
        let ended = ended.into_iter().filter(|offer| !is_held(offer.prefix));
        let ended: BTreeMap<Ipv6Net, &Offer> = ended.take(MOST / 2).map(|offer| (offer.prefix, offer)).collect();
        self.hints.extend(ended.into_values().map(Hint::of_ended));
        self.hints.extend(held.iter().take(MOST / 2).map(|offer| Hint::new((*offer).clone(), Origin::FormerRun)));
    }

    /// The interface that is observed has this index.
    pub(super) fn handle_uplink(&mut self, ifindex: Option<u32>) {
        if self.uplink.is_some() && self.uplink != ifindex {
            self.session = self.session.saturating_add(1);
        }
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

    /// Puts together what there is now. `leased`: what the packets tell, as far as they can be seen (`sees_packets`).
    pub(super) fn settle(&mut self, leased: &[Offer], sees_packets: bool, now: Instant) {
        self.settled_at = Some(now);
        self.reserved.retain(|prefix, _| leased.iter().any(|offer| offer.prefix == *prefix));
        let routes: BTreeSet<Ipv6Net> = self.routes.iter().map(|route| route.prefix).collect();
        // Who told that it ended knows more than the route that stands yet.
        let is_said = |hint: &Hint| hint.origin == Origin::Told && hint.offer.cut.is_none();
        self.hints.retain(|hint| {
            hint.forget_at().is_none_or(|at| now < at) || (is_said(hint) && routes.contains(&hint.offer.prefix))
        });
        if self.is_loaded {
            let is_leased = leased.iter().any(|offer| is_alive(offer, now));
            let has_lease = is_leased && sees_packets;
            let named = leased.iter().map(|offer| offer.prefix).collect();
            let packets = Packets { are_seen: sees_packets, is_leased, has_lease, named };
            self.follow_routes(&routes, &packets, now);
            self.give_way(&routes, &packets, now);
            self.follow_file(has_lease, now);
        }
        self.end_doubted(leased, sees_packets, now);
        self.follow_leases(leased, now);
        self.follow_lapses(leased, sees_packets, now);
        self.follow_memory(leased, sees_packets, now);
    }

    /// What the packets tell of a prefix is so for all who know of it.
    fn follow_leases(&mut self, leased: &[Offer], now: Instant) {
        let alive: BTreeSet<Ipv6Net> =
            leased.iter().filter(|offer| is_alive(offer, now)).map(|offer| offer.prefix).collect();
        let cut = leased.iter().filter(|offer| !alive.contains(&offer.prefix));
        let cut = cut.filter_map(|offer| Some((offer.prefix, offer.cut.filter(|cut| *cut != Cut::Deprecated)?)));
        let before = std::mem::take(&mut self.ended);
        let since = |prefix, cut| before.get(&prefix).filter(|(was, _)| *was == cut).map_or(now, |(_, since)| *since);
        self.ended = cut.map(|(prefix, cut)| (prefix, (cut, since(prefix, cut)))).collect();
        let is_back = |prefix: &Ipv6Net| alive.contains(prefix) && !self.displaced.contains_key(prefix);
        for hint in &mut self.hints {
            match self.ended.get(&hint.offer.prefix) {
                // Somebody says it since.
                Some((_, since)) if hint.origin == Origin::Told && *since <= hint.offer.first_seen => {}
                // It goes the way of the lease, also when that is forgotten.
                Some((cut, _)) => hint.cut(*cut, now),
                None if hint.origin == Origin::Route && is_back(&hint.offer.prefix) => hint.restore(false),
                None => {}
            }
        }
    }

    fn follow_routes(&mut self, present: &BTreeSet<Ipv6Net>, packets: &Packets, now: Instant) {
        for prefix in present {
            let known = self.hints.iter().any(|hint| hint.origin == Origin::Route && hint.offer.prefix == *prefix);
            if !known {
                self.make_room();
                let is_foreign = packets.disown(*prefix);
                self.hints.push(Hint { is_foreign, ..Hint::new(unknown(*prefix, now), Origin::Route) });
            }
        }
        for hint in &mut self.hints {
            hint.is_foreign &= !packets.named.contains(&hint.offer.prefix);
            hint.is_aside = hint.is_foreign && (packets.are_seen || packets.is_leased);
        }
        self.follow_addresses(present, packets, now);
        let stands = |hint: &&Hint| {
            let is_there = hint.origin == Origin::Route && present.contains(&hint.offer.prefix);
            is_there && hint.is_offered() && hint.offer.cut.is_none()
        };
        let standing = self.hints.iter().filter(stands).map(|hint| (hint.offer.prefix, hint.offer.first_seen));
        let standing: BTreeMap<Ipv6Net, Instant> = standing.collect();
        let is_unused = |hint: &&Hint| {
            let is_there = hint.origin == Origin::Route && present.contains(&hint.offer.prefix);
            is_there && hint.in_use == Use::Outdone && hint.offer.cut.is_none()
        };
        let unused: BTreeSet<Ipv6Net> = self.hints.iter().filter(is_unused).map(|hint| hint.offer.prefix).collect();
        for hint in &mut self.hints {
            let (prefix, first_seen) = (hint.offer.prefix, hint.offer.first_seen);
            match hint.origin {
                Origin::Route if present.contains(&prefix) => {
                    if !packets.are_seen {
                        hint.outlive(&self.addresses, self.uplink, now);
                    }
                    hint.stand(&self.addresses, self.uplink, packets.disown(prefix));
                }
                Origin::Route => {
                    let since = *hint.missing_since.get_or_insert(now);
                    // Only where no packet tells what is held: a client may have given all of it to one interface.
                    let newer = standing.iter().filter(|(_, since)| **since > first_seen);
                    let is_replaced = newer.into_iter().any(|(other, _)| judges(*other, prefix));
                    if !packets.has_lease && (is_replaced || since + GRACE <= now) {
                        hint.cut(Cut::Unlisted, now);
                    }
                }
                Origin::FormerRun => {
                    hint.prolong(&self.addresses, self.uplink, now);
                    // The client has another one now, unless links are numbered from this one, too.
                    let is_outdone = standing.keys().any(|other| judges(*other, prefix));
                    let is_replaced = !packets.has_lease && is_outdone && !standing.contains_key(&prefix);
                    // All of it may go to load balancers, while another uplink's numbers interfaces.
                    let ends_by_itself = hint.offer.valid_until.instant().is_some_and(|end| now < end);
                    let is_remembered = ends_by_itself && unused.contains(&prefix);
                    if is_replaced && !is_remembered {
                        hint.contradict(&self.addresses, self.uplink, now);
                    }
                }
                Origin::File | Origin::Told => {}
            }
        }
        let is_over = |hint: &&Hint| hint.offer.cut.is_none() && hint.missing_since.is_some_and(|at| at + GRACE <= now);
        let without_route = self.hints.iter().filter(is_over).filter(|_| packets.has_lease);
        self.without_route = without_route.map(|hint| hint.offer.prefix).collect();
        self.hints.retain(|hint| !packets.has_lease || !is_over(&hint));
    }

    /// Not every client takes its route away: systemd-networkd (seen with 252) leaves that of a delegation which was
    /// replaced. What is in use tells then.
    fn follow_addresses(&mut self, present: &BTreeSet<Ipv6Net>, packets: &Packets, now: Instant) {
        for hint in self.hints.iter_mut().filter(|hint| hint.origin == Origin::Route) {
            let is_numbered = hint.is_numbered(&self.addresses, self.uplink, now);
            let is_over = hint.in_use == Use::Replaced;
            // Addresses that have stood all the time, and would for ever, tell nothing new.
            let is_new = !is_over || hint.unused_since.is_some() || hint.is_kept(&self.addresses, self.uplink, now);
            if is_numbered && is_new && present.contains(&hint.offer.prefix) {
                hint.use_now(packets.disown(hint.offer.prefix), now);
            } else if hint.in_use == Use::Now {
                (hint.in_use, hint.unused_since) = (Use::Before, Some(now));
            } else if is_over && !is_numbered {
                hint.unused_since.get_or_insert(now);
            }
        }
        let used = self.hints.iter().filter(|hint| hint.in_use == Use::Now && !hint.is_aside);
        let used: Vec<_> = used.map(|hint| (hint.offer.prefix, hint.used_since)).collect();
        // An interface that goes down and up again loses its addresses for a moment.
        let is_away = |hint: &&Hint| {
            let is_empty = || longest(hint.offer.prefix, &self.addresses, self.uplink).is_none();
            let is_new = hint.unused_since.is_some_and(|since| now < since + GRACE);
            hint.in_use == Use::Before && !hint.is_aside && is_new && is_empty()
        };
        let away: Vec<Ipv6Net> = self.hints.iter().filter(is_away).map(|hint| hint.offer.prefix).collect();
        for hint in self.hints.iter_mut().filter(|hint| hint.origin == Origin::Route) {
            let comparable = used.iter().filter(|(other, _)| judges(*other, hint.offer.prefix));
            let newest = comparable.filter_map(|(_, since)| *since).max();
            let is_given_up = hint.unused_since.is_some_and(|since| since + GRACE <= now);
            let may_return = || away.iter().any(|other| judges(*other, hint.offer.prefix));
            match hint.in_use {
                Use::Outdone if newest.is_none() && may_return() => {}
                Use::Never | Use::Outdone => hint.in_use = if newest.is_some() { Use::Outdone } else { Use::Never },
                Use::Before if !packets.has_lease && is_given_up && newest > hint.used_since => {
                    hint.in_use = Use::Replaced;
                    hint.cut(Cut::Unlisted, now);
                }
                Use::Now | Use::Before | Use::Replaced => {}
            }
        }
    }

    /// What is known of a prefix that a client says it holds. A route alone says nothing of its end where somebody knows.
    pub(super) fn leased(&self, prefix: Ipv6Net, now: Instant) -> Option<LeasedPrefix> {
        let told = |hint: &Hint| {
            let offer = self.with_told(hint);
            let own_ends = hint.own_ends.filter(|_| offer.valid_until == Deadline::Never);
            let (preferred_until, valid_until) = own_ends.unwrap_or((offer.preferred_until, offer.valid_until));
            Offer { preferred_until, valid_until, ..offer }
        };
        let hints = || self.hints.iter().filter(|hint| hint.offer.prefix == prefix).map(told);
        let alive = || hints().filter(|offer| is_alive(offer, now) && offer.cut.is_none());
        let ending = alive().filter(|offer| offer.valid_until != Deadline::Never);
        let offer = ending.max_by_key(|offer| offer.valid_until).or_else(|| alive().next())?;
        Some(LeasedPrefix {
            prefix,
            preferred_until: offer.preferred_until,
            valid_until: offer.valid_until,
            // Not all who know of it know of that.
            excluded: hints().find_map(|offer| offer.excluded.first().copied()),
            first_seen: offer.first_seen,
        })
    }

    /// What to report, beside what the packets tell.
    pub(super) fn offers<'a>(&'a self, leased: &'a [Offer]) -> impl Iterator<Item = Offer> + 'a {
        let named = |prefix| leased.iter().any(|offer| offer.prefix == prefix);
        let told_by_packets = move |prefix| named(prefix) && !self.outliving.contains(&prefix);
        let hints = self.hints.iter().filter(|hint| hint.is_offered());
        let hints = hints.filter(move |hint| match hint.origin {
            Origin::Told => true,
            Origin::Route => !told_by_packets(hint.offer.prefix) && !self.is_outlived(hint),
            Origin::FormerRun => !named(hint.offer.prefix),
            Origin::File => !told_by_packets(hint.offer.prefix) && !self.stands(hint.offer.prefix),
        });
        hints.map(|hint| self.with_told(hint))
    }

    /// Whether the route of a lease has just been given up, and nothing else shows that the lease goes on.
    pub(super) fn lost_route(&self, prefix: Ipv6Net) -> bool {
        let is_numbered = || longest(prefix, &self.addresses, self.uplink).is_some();
        self.without_route.contains(&prefix) && !is_numbered()
    }

    /// When [`Self::settle`] has something to do by itself.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let uncut = || self.hints.iter().filter(|hint| hint.offer.cut.is_none());
        let missing = uncut().filter_map(|hint| hint.missing_since).map(|since| since + GRACE);
        let doubted = self.hints.iter().filter_map(|hint| hint.doubted_until);
        let deadlines = uncut().flat_map(|hint| [hint.offer.preferred_until, hint.offer.valid_until]);
        let remembered = uncut().filter(|hint| hint.origin == Origin::FormerRun);
        let numbered = remembered.filter_map(|hint| longest(hint.offer.prefix, &self.addresses, self.uplink));
        let ends = deadlines.chain(numbered.map(|(preferred_until, _)| preferred_until)).filter_map(Deadline::instant);
        let ends = ends.chain(self.hints.iter().filter_map(Hint::forget_at));
        let ends = ends.chain(uncut().filter_map(|hint| hint.unused_since).map(|since| since + GRACE));
        let ends = ends.chain(self.due.values().map(|(_, at)| *at));
        // Those that are over were seen to.
        let ends = ends.filter(|end| self.settled_at.is_none_or(|settled_at| settled_at < *end));
        missing.chain(doubted).chain(ends).min()
    }

    /// What was lost goes before its time when there is no place for what is new. But a route that stands would be taken for
    /// a new one: that it was lost is forgotten last.
    pub(super) fn make_room(&mut self) {
        if self.hints.len() >= MOST {
            let is_kept = |hint: &Hint| hint.cut_at.is_some() && hint.forget_at().is_none();
            let dispensable = |hint: &Hint| (is_kept(hint), hint.cut_at.is_none(), hint.cut_at, hint.offer.first_seen);
            let first = self.hints.iter().enumerate().min_by_key(|(_, hint)| dispensable(hint)).map(|(at, _)| at);
            first.into_iter().for_each(|at| drop(self.hints.remove(at)));
        }
    }
}

/// Whether what a client holds besides may tell of the end of a prefix. Unique local prefixes, of which every host may make
/// its own, say nothing of what a provider delegates.
fn judges(other: Ipv6Net, prefix: Ipv6Net) -> bool {
    is_global(other) || !is_global(prefix)
}

fn is_global(prefix: Ipv6Net) -> bool {
    prefix.network().segments()[0] & 0xe000 == 0x2000
}
