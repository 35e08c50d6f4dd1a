//! What the addresses of an interface say about prefixes, and what it means when one is gone. Pure.
//!
//! An address that somebody took away while its interface was up is not valid any more. That it is gone because the
//! interface went down says nothing: the kernel then removes all addresses, before it says that the interface is down,
//! and whoever numbers the interface brings them back. So nothing is concluded at once, and what did not come back is
//! kept until its lifetime ends or another prefix is there.
//!
//! That somebody else has the same address says nothing of the prefix either (RFC 4862 §5.4). Such an address begins none,
//! nor does one of which that is not known yet; but both tell how long one lives that is there. The kernel takes a
//! duplicate with a lifetime away, and the next Router Advertisement brings it back for a moment.
//!
//! A single address without end is mostly a virtual one (keepalived, kube-vip, the external addresses of kube-proxy), and made
//! out of our own ranges: it stays as long as its prefix is in use, and is no reason to use that. It tells of a prefix only
//! where nothing else does.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;

use super::addresses::Address;
use crate::config::DynamicPrefix;
use crate::prefix::{PrefixFilter, covering};
use crate::source::link::LinkState;
use crate::source::{Offer, SourceId, SourceKind, SourceReport, SourceState, hindrance};
use crate::time::Instant;

mod entry;

use entry::{Entry, Gone, How, Lifetimes, Witness};

/// How long a prefix may be gone while another one is there: the interface may be about to go down, or the address is
/// replaced by itself with other lifetimes.
pub const SETTLE: Duration = Duration::from_secs(2);
/// How long whoever numbers the interface may take before it counts that nothing is there: a program that starts anew
/// removes its addresses first.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How many prefixes are kept.
const MAX_PREFIXES: usize = 64;

/// What the table has to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The interface that has the addresses.
    pub interface: String,
    /// One for each DynamicPrefix that takes its prefix from this interface.
    pub interests: Vec<Interest>,
}

/// What one DynamicPrefix takes from the addresses of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The DynamicPrefix.
    pub name: String,
    /// `acquisition.prefixFilter`
    pub filter: PrefixFilter,
    /// `acquisition.interface.delegatedPrefixLength`
    pub delegated_length: Option<u8>,
}

impl Interest {
    /// Whether what is on the interface could be used.
    fn accepts(&self, prefix: Ipv6Net) -> bool {
        self.filter.check(covering(prefix, self.delegated_length.unwrap_or(128))).is_ok()
    }
}

impl Settings {
    /// What `dynamic_prefixes` want of the addresses on `interface`.
    pub fn for_interface(interface: &str, dynamic_prefixes: &[DynamicPrefix]) -> Self {
        let interest = |prefix: &DynamicPrefix| {
            let here = prefix.acquisition.interface.as_ref().filter(|named| named.name == interface)?;
            Some(Interest {
                name: prefix.name.clone(),
                filter: prefix.acquisition.filter.clone(),
                delegated_length: here.delegated_prefix_length,
            })
        };
        Self { interface: interface.to_owned(), interests: dynamic_prefixes.iter().filter_map(interest).collect() }
    }

    /// Whether `new` can take the place of `old`: one DynamicPrefix could use both.
    fn replaces(&self, new: Ipv6Net, old: Ipv6Net) -> bool {
        self.interests.iter().any(|interest| interest.accepts(new) && interest.accepts(old))
    }
}

/// The prefixes of one interface.
#[derive(Clone, Debug)]
pub struct Table {
    settings: Settings,
    link: Option<LinkState>,
    failure: Option<String>,
    /// Until when whoever numbers the interface is waited for.
    awaiting: Option<Instant>,
    entries: BTreeMap<Ipv6Net, Entry>,
    reported: Option<SourceReport>,
}

impl Table {
    /// A table that has seen nothing, on an interface that does not exist until [`Table::handle_link`] says so.
    pub fn new(settings: Settings) -> Self {
        Self { settings, link: None, failure: None, awaiting: None, entries: BTreeMap::new(), reported: None }
    }

    /// Takes what was in use in a former run, so that another prefix does not take its place before it could come back.
    pub fn seed(&mut self, offers: &[Offer]) {
        for offer in offers {
            self.entries.insert(offer.prefix, Entry::seeded(offer));
        }
    }

    /// Takes a changed configuration of the same interface.
    pub fn reconfigure(&mut self, settings: Settings, now: Instant) {
        self.settings = settings;
        self.handle_timeout(now);
    }

    /// The interface appeared, vanished or changed. Its addresses follow by [`Table::handle_addresses`].
    pub fn handle_link(&mut self, link: Option<LinkState>, now: Instant) {
        let before = std::mem::replace(&mut self.link, link);
        let index_before = before.as_ref().map(|before| before.ifindex);
        let index = self.link.as_ref().map(|link| link.ifindex);
        if index != index_before {
            self.entries.values_mut().for_each(Entry::leave);
        }
        if !self.is_up() {
            self.awaiting = None;
            self.entries.values_mut().for_each(|entry| entry.gone = None);
        } else if index != index_before || !before.is_some_and(|before| before.up) {
            self.awaiting = Some(now + PATIENCE);
            let absent = self.entries.values_mut().filter(|entry| !entry.is_present);
            absent.for_each(|entry| entry.miss(index, now));
        }
        self.handle_timeout(now);
    }

    /// The kernel cannot be asked, with a text that says why and what to do; `None`: it can again.
    pub fn handle_failure(&mut self, failure: Option<String>) {
        self.failure = failure;
    }

    /// These are the addresses of the interface now.
    pub fn handle_addresses(&mut self, addresses: &[Address], now: Instant) {
        let Some(ifindex) = self.link.as_ref().map(|link| link.ifindex) else { return };
        let is_up = self.is_up();
        let mut seen: BTreeMap<Ipv6Net, Vec<&Address>> = BTreeMap::new();
        for address in addresses.iter().filter(|address| can_be_routed(address.address)) {
            if let Some(prefix) = address.prefix() {
                seen.entry(prefix).or_default().push(address);
            }
        }
        let holds = |prefix: &Ipv6Net, entry: &Entry| {
            let is_in = |seen: &Ipv6Net| seen == prefix || entry.ifindex.is_none() && prefix.contains(seen);
            seen.keys().any(is_in)
        };
        for (_, entry) in self.entries.iter_mut().filter(|(prefix, entry)| entry.is_present && !holds(prefix, entry)) {
            entry.leave();
            entry.gone = is_up.then_some(Gone { since: now, how: How::Removed });
        }
        for (prefix, addresses) in seen {
            if let Some(lifetimes) = Lifetimes::of(&addresses) {
                self.see(prefix, ifindex, &lifetimes, now);
            }
        }
        self.handle_timeout(now);
    }

    /// There are addresses in `prefix`.
    fn see(&mut self, prefix: Ipv6Net, ifindex: u32, lifetimes: &Lifetimes, now: Instant) {
        let stored = |(known, entry): (&Ipv6Net, &Entry)| {
            (entry.ifindex.is_none() && *known != prefix && known.contains(&prefix)).then_some(*known)
        };
        let stored = self.entries.iter().find_map(stored);
        if lifetimes.witness != Witness::Ready {
            let known = self.entries.get_mut(&stored.unwrap_or(prefix));
            return known.into_iter().for_each(|entry| entry.hear(lifetimes, now));
        }
        if !self.entries.contains_key(&prefix) && stored.is_none() && !self.make_room(now) {
            return;
        }
        // From now on the real one counts.
        let first_seen = stored.and_then(|stored| self.entries.remove(&stored)).map_or(now, |entry| entry.first_seen);
        let entry = self.entries.entry(prefix).or_insert_with(|| Entry::new(lifetimes, first_seen));
        entry.see(lifetimes, ifindex, now);
    }

    /// Whether there is room for one more, if need be in the place of one that is not there: first one that has ended,
    /// then the one that came last, so that nobody drives out what is in use by showing one prefix after the other.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.entries.len() < MAX_PREFIXES {
            return true;
        }
        let absent = self.entries.iter().filter(|(_, entry)| !entry.is_present);
        let first = absent.max_by_key(|(_, entry)| (entry.valid_until.is_over(now), entry.first_seen));
        let first = first.map(|(prefix, _)| *prefix);
        first.is_some_and(|prefix| self.entries.remove(&prefix).is_some())
    }

    /// Does what is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.awaiting = self.awaiting.filter(|until| now < *until);
        let due = |(prefix, entry): (&Ipv6Net, &Entry)| self.ends_at(*prefix, entry).filter(|at| *at <= now);
        let ended: Vec<Ipv6Net> = self.entries.iter().filter_map(|entry| due(entry).map(|_| *entry.0)).collect();
        for prefix in ended {
            if let Some(entry) = self.entries.get_mut(&prefix) {
                entry.end(now);
            }
        }
        let over = |entry: &Entry| entry.is_duplicate_until().is_some_and(|end| end <= now);
        self.entries.values_mut().filter(|entry| over(entry)).for_each(|entry| entry.is_duplicate = false);
        self.entries.retain(|_, entry| entry.forget_at().is_none_or(|at| now < at));
    }

    /// When it counts as ended that a prefix is gone.
    fn ends_at(&self, prefix: Ipv6Net, entry: &Entry) -> Option<Instant> {
        let gone = entry.gone?;
        let others = self.entries.iter().filter(|(other, _)| self.settings.replaces(**other, prefix));
        // A single address may well be there before the network that it is of.
        let replaced = others.filter_map(|(other, entry)| {
            let settles = if entry.is_alone(*other) { PATIENCE } else { SETTLE };
            entry.usable_since.map(|since| since.max(gone.since) + settles)
        });
        let replaced = replaced.min();
        let removed = (gone.how == How::Removed).then(|| gone.since + PATIENCE);
        replaced.into_iter().chain(removed).min()
    }

    /// When [`Table::handle_timeout`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let awaiting = self.awaiting.map(|at| (at, "stop-waiting"));
        let ends = self.entries.iter().filter_map(|(prefix, entry)| self.ends_at(*prefix, entry)).min();
        let forget = self.entries.values().filter_map(Entry::forget_at).min();
        let over = self.entries.values().filter_map(Entry::is_duplicate_until).min().map(|at| (at, "expire"));
        let due = [awaiting, ends.map(|at| (at, "believe-removal")), over, forget.map(|at| (at, "forget"))];
        due.into_iter().flatten().min()
    }

    /// The report, if it differs from the one that this gave last.
    pub fn poll_report(&mut self) -> Option<SourceReport> {
        if !self.has_news() {
            return None;
        }
        self.reported = Some(self.report());
        self.reported.clone()
    }

    /// Whether [`Table::poll_report`] has a report.
    pub fn has_news(&self) -> bool {
        self.reported.as_ref() != Some(&self.report())
    }

    /// What is known now.
    pub fn report(&self) -> SourceReport {
        let id = SourceId::on(SourceKind::Interface, &self.settings.interface);
        let offers = self.entries.iter().flat_map(|(prefix, entry)| self.offers(*prefix, entry));
        SourceReport { offers: offers.collect(), next_wake: self.poll_timeout(), ..SourceReport::new(id, self.state()) }
    }

    /// A single address is of use to those who cut a prefix out around it, and to nobody else.
    fn offers(&self, prefix: Ipv6Net, entry: &Entry) -> Vec<Offer> {
        if prefix.prefix_len() < 128 {
            return vec![entry.offer(prefix, None)];
        }
        let cutting = self.settings.interests.iter().filter(|interest| interest.delegated_length.is_some());
        let heeding = cutting.filter(|interest| !(entry.is_alone(prefix) && self.is_numbered(interest)));
        heeding.map(|interest| entry.offer(prefix, Some(&interest.name))).collect()
    }

    /// Whether a network is there that would do for `interest`, or is waited for.
    fn is_numbered(&self, interest: &Interest) -> bool {
        let is_network = |prefix: Ipv6Net, entry: &Entry| !entry.is_alone(prefix) && interest.accepts(prefix);
        // What is still not there when the waiting is over was in use once, and that is all.
        let may_return = |gone: &Gone| gone.how == How::Removed || self.awaiting.is_some();
        let is_there =
            |entry: &Entry| entry.is_present || entry.is_duplicate || entry.gone.as_ref().is_some_and(may_return);
        self.entries.iter().any(|(prefix, entry)| is_there(entry) && is_network(*prefix, entry))
    }

    fn state(&self) -> SourceState {
        if let Some(hindrance) = hindrance(self.link.as_ref(), self.failure.as_ref()) {
            return hindrance;
        }
        let has_use = |prefix: &Ipv6Net| self.settings.interests.iter().any(|interest| interest.accepts(*prefix));
        let mut usable = self.entries.iter().filter(|(_, entry)| entry.usable_since.is_some());
        if usable.any(|(prefix, _)| has_use(prefix)) {
            return SourceState::Receiving;
        }
        let is_there = |entry: &Entry| entry.is_present || entry.is_duplicate;
        let has_any = self.entries.iter().any(|(prefix, entry)| is_there(entry) && has_use(prefix));
        match self.awaiting {
            Some(_) => SourceState::AwaitingAddress,
            None if has_any => SourceState::Receiving,
            None => SourceState::NoAddress,
        }
    }

    fn is_up(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.up)
    }
}

/// Link-local addresses say nothing of a prefix; unique local ones are left to the filter.
fn can_be_routed(address: Ipv6Addr) -> bool {
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address.to_ipv4_mapped().is_some())
}

#[cfg(test)]
mod tests;
