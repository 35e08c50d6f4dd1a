//! What one router announces, and what it means when it stops. Pure.
//!
//! No single advertisement takes a prefix away: it may be forged, or one of several that a router splits its options
//! over (RFC 4861 §6.2.3). What an advertisement casts doubt on is asked about with a Router Solicitation, and the
//! next advertisement of the same router decides.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;

use super::packet::{Advertisement, PrefixInformation};
use super::solicit::HOLD_OFF;
use crate::source::{Cut, Offer};
use crate::time::{Deadline, Instant};

/// How many prefixes of one router are kept: as many as Linux forms addresses from (`max_addresses`).
pub(super) const MAX_PREFIXES: usize = 16;
/// How long a prefix that has ended stays in the reports, so that everyone learns of its end.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);
/// How long a router may be silent before another one may take its place: the longest MaxRtrAdvInterval that
/// RFC 4861 §6.2.1 allows.
const LONGEST_SILENCE: Duration = Duration::from_secs(30 * 60);
/// After this many refuted doubts in a row the pause between confirmations no longer doubles (48 s).
const MAX_DOUBLINGS: u32 = 4;
/// After how much time without a refuted doubt confirmations are asked for at once again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(10 * 60);

/// A router on the link.
#[derive(Clone, Debug)]
pub(super) struct Router {
    /// When it spoke last, or else since when it is known.
    heard_at: Instant,
    /// Whether it has spoken in this run.
    heard: bool,
    managed: bool,
    other: bool,
    refuted: Refuted,
    entries: BTreeMap<Ipv6Net, Entry>,
}

/// How often a router lately listed again what it had seemed to drop: one that splits its options over several
/// advertisements does so all the time, and must not keep us soliciting.
#[derive(Clone, Copy, Debug)]
struct Refuted {
    times: u32,
    last: Instant,
}

#[derive(Clone, Debug)]
struct Entry {
    preferred_until: Deadline,
    valid_until: Deadline,
    first_seen: Instant,
    listed_at: Instant,
    cut: Option<Cut>,
    doubt: Option<Doubt>,
    /// The P flag, as listed last.
    pd_preferred: bool,
    /// It comes from the store: perhaps cut to `delegatedPrefixLength`, so wider than what the router lists.
    seeded: bool,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    suspicion: Suspicion,
    /// Whether a Router Solicitation has been sent since.
    asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspicion {
    /// The router lists another usable prefix, and not this one.
    Unlisted,
    /// The router announced it with valid lifetime 0.
    Withdrawn,
}

impl Router {
    pub(super) fn new(now: Instant) -> Self {
        let refuted = Refuted { times: 0, last: now };
        Self { heard_at: now, heard: false, managed: false, other: false, refuted, entries: BTreeMap::new() }
    }

    /// Takes a prefix that a former run has stored. Of two that are the same the first counts.
    pub(super) fn seed(&mut self, offer: &Offer, now: Instant) {
        if self.entries.len() >= MAX_PREFIXES || self.entries.contains_key(&offer.prefix) {
            return;
        }
        // What was deprecated first is the first to make room.
        let listed_at = offer.preferred_until.instant().map_or(now, |end| end.min(now));
        let entry = Entry {
            preferred_until: offer.preferred_until,
            valid_until: offer.valid_until,
            first_seen: offer.first_seen,
            listed_at,
            cut: offer.cut,
            doubt: None,
            pd_preferred: false,
            seeded: true,
        };
        self.entries.insert(offer.prefix, entry);
    }

    /// Takes what the router says now. `replaces(new, old)`: whether some DynamicPrefix could use both. Returns how
    /// many prefixes found no room.
    pub(super) fn hear(
        &mut self,
        advertisement: &Advertisement,
        now: Instant,
        replaces: impl Fn(Ipv6Net, Ipv6Net) -> bool,
    ) -> u64 {
        self.heard_at = now;
        self.heard = true;
        self.managed = advertisement.managed;
        self.other = advertisement.other;
        // A prefix listed twice counts as it is listed last, as it does for the kernel.
        let listed: BTreeMap<_, _> = advertisement.prefixes.iter().map(|info| (info.prefix, *info)).collect();
        let mut refused = 0;
        for info in listed.values() {
            refused += u64::from(!self.list(info, &listed, now));
        }
        for (prefix, entry) in self.entries.iter_mut().filter(|(prefix, _)| !listed.contains_key(prefix)) {
            let replaced = listed.values().any(|info| info.preferred > 0 && replaces(info.prefix, *prefix));
            entry.omit(replaced, now);
        }
        refused
    }

    /// Takes one prefix of an advertisement; false: there is no room for it.
    fn list(&mut self, info: &PrefixInformation, listed: &BTreeMap<Ipv6Net, PrefixInformation>, now: Instant) -> bool {
        let stored = self.take_stored_cover(info.prefix);
        if let Some(stored) = &stored
            && info.valid == 0
        {
            // What ends is the part that stood for all of it.
            self.entries.entry(info.prefix).or_insert_with(|| stored.clone());
        }
        if let Some(entry) = self.entries.get_mut(&info.prefix) {
            let was_doubtful = entry.doubt.is_some();
            entry.list(info, now);
            if was_doubtful && entry.doubt.is_none() && !entry.is_over(now) {
                self.refuted = self.refuted.once_more(now);
            }
            return true;
        }
        if info.valid == 0 {
            return true;
        }
        if !self.make_room(listed, now) {
            return false;
        }
        let mut entry = Entry::new(stored.map_or(now, |entry| entry.first_seen), now);
        entry.list(info, now);
        self.entries.insert(info.prefix, entry);
        true
    }

    /// A stored entry that is wider than `prefix`, which is part of it: from now on the real one counts.
    fn take_stored_cover(&mut self, prefix: Ipv6Net) -> Option<Entry> {
        let (cover, _) =
            self.entries.iter().find(|(cover, entry)| entry.seeded && **cover != prefix && cover.contains(&prefix))?;
        let cover = *cover;
        self.entries.remove(&cover)
    }

    fn make_room(&mut self, listed: &BTreeMap<Ipv6Net, PrefixInformation>, now: Instant) -> bool {
        if self.entries.len() < MAX_PREFIXES {
            return true;
        }
        let dispensable = |prefix: &Ipv6Net, entry: &Entry| {
            entry.is_over(now) || (entry.preferred_until.is_over(now) && !listed.contains_key(prefix))
        };
        let oldest = self
            .entries
            .iter()
            .filter(|(prefix, entry)| dispensable(prefix, entry))
            .min_by_key(|(_, entry)| entry.listed_at)
            .map(|(prefix, _)| *prefix);
        oldest.is_some_and(|prefix| self.entries.remove(&prefix).is_some())
    }

    /// A Router Solicitation was sent: from now on the next advertisement decides about every doubt.
    pub(super) fn asked(&mut self) {
        for doubt in self.entries.values_mut().filter_map(|entry| entry.doubt.as_mut()) {
            doubt.asked = true;
        }
    }

    /// Whether some doubt waits for an answer (`asked`), or for the question to be sent (not `asked`).
    pub(super) fn has_doubt(&self, asked: bool) -> bool {
        self.entries.values().filter_map(|entry| entry.doubt).any(|doubt| doubt.asked == asked)
    }

    /// How long after the last Router Solicitation the next one may be sent for this router.
    pub(super) fn hold_off(&self, now: Instant) -> Duration {
        HOLD_OFF * 2_u32.pow(self.refuted.recent(now).min(MAX_DOUBLINGS))
    }

    /// Forgets prefixes that ended long ago.
    pub(super) fn forget(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.forget_at().is_none_or(|at| now < at));
    }

    /// When [`Router::forget`] has something to do.
    pub(super) fn forget_at(&self) -> Option<Instant> {
        self.entries.values().filter_map(Entry::forget_at).min()
    }

    /// Whether another router may take its place: nobody heard it for long, or nothing of it is left, or it is only
    /// known to have announced former prefixes once.
    pub(super) fn is_dispensable(&self, now: Instant) -> bool {
        let is_silent = now >= self.heard_at + LONGEST_SILENCE;
        let is_former = !self.heard && self.entries.values().all(|entry| entry.cut.is_some());
        is_silent || is_former || self.entries.values().all(|entry| entry.is_over(now))
    }

    pub(super) fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// The M flag of its latest advertisement.
    pub(super) fn managed(&self) -> bool {
        self.managed
    }

    /// The O flag of its latest advertisement.
    pub(super) fn other(&self) -> bool {
        self.other
    }

    /// Whether it lists a prefix with the P flag: who can ask for a delegation should (RFC 9762 §5).
    pub(super) fn prefers_delegation(&self, now: Instant) -> bool {
        self.entries.values().any(|entry| entry.pd_preferred && entry.is_usable(now))
    }

    /// The prefixes that anything new may use.
    pub(super) fn usable(&self, now: Instant) -> impl Iterator<Item = Ipv6Net> + '_ {
        self.entries.iter().filter(move |(_, entry)| entry.is_usable(now)).map(|(prefix, _)| *prefix)
    }

    pub(super) fn offers(&self, address: Ipv6Addr) -> impl Iterator<Item = Offer> + '_ {
        self.entries.iter().map(move |(prefix, entry)| Offer {
            prefix: *prefix,
            recipient: None,
            router: Some(address),
            preferred_until: entry.preferred_until,
            valid_until: entry.valid_until,
            excluded: Vec::new(),
            first_seen: entry.first_seen,
            cut: entry.cut,
        })
    }
}

impl Refuted {
    fn recent(self, now: Instant) -> u32 {
        if now >= self.last + FORGIVEN_AFTER { 0 } else { self.times }
    }

    fn once_more(self, now: Instant) -> Self {
        Self { times: self.recent(now).saturating_add(1), last: now }
    }
}

impl Entry {
    fn new(first_seen: Instant, now: Instant) -> Self {
        Self {
            preferred_until: Deadline::At(now),
            valid_until: Deadline::At(now),
            first_seen,
            listed_at: now,
            cut: None,
            doubt: None,
            pd_preferred: false,
            seeded: false,
        }
    }

    /// The router lists it.
    ///
    /// The two-hour rule (RFC 4862 §5.5.3 (e)) is not applied: it protects hosts from losing their addresses by one
    /// forged advertisement, which the confirmation does here without believing a lifetime for hours.
    fn list(&mut self, info: &PrefixInformation, now: Instant) {
        if info.valid == 0 {
            return self.doubt_validity(now);
        }
        if self.listed_at < now && self.is_over(now) {
            self.first_seen = now;
        }
        self.doubt = None;
        self.seeded = false;
        self.pd_preferred = info.pd_preferred;
        self.listed_at = now;
        self.valid_until = Deadline::after(now, info.valid);
        if info.preferred == 0 {
            self.end_preference(Cut::Deprecated, now);
        } else {
            self.preferred_until = Deadline::after(now, info.preferred);
            self.cut = None;
        }
    }

    /// The router announced valid lifetime 0.
    fn doubt_validity(&mut self, now: Instant) {
        if self.is_over(now) {
            return;
        }
        self.listed_at = now;
        match self.doubt {
            Some(Doubt { suspicion: Suspicion::Withdrawn, asked: true }) => self.withdraw(now),
            Some(Doubt { suspicion: Suspicion::Withdrawn, asked: false }) => {}
            Some(Doubt { suspicion: Suspicion::Unlisted, .. }) | None => {
                self.end_preference(Cut::Deprecated, now);
                self.doubt = Some(Doubt { suspicion: Suspicion::Withdrawn, asked: false });
            }
        }
    }

    /// The router does not list it. `replaced`: it lists another one instead.
    fn omit(&mut self, replaced: bool, now: Instant) {
        if self.is_over(now) {
            return;
        }
        match self.doubt {
            Some(Doubt { suspicion: Suspicion::Withdrawn, asked: true }) => self.withdraw(now),
            Some(Doubt { suspicion: Suspicion::Unlisted, asked: true }) if replaced => {
                self.end_preference(Cut::Unlisted, now);
                self.doubt = None;
            }
            Some(_) => {}
            None if replaced && !self.preferred_until.is_over(now) => {
                self.doubt = Some(Doubt { suspicion: Suspicion::Unlisted, asked: false });
            }
            None => {}
        }
    }

    fn withdraw(&mut self, now: Instant) {
        self.end_preference(Cut::Withdrawn, now);
        self.valid_until = Deadline::At(now);
        self.doubt = None;
    }

    /// Ends the preferred lifetime now, unless it is over: then the instant at which it ended stands.
    fn end_preference(&mut self, cut: Cut, now: Instant) {
        self.preferred_until = self.preferred_until.min(Deadline::At(now));
        self.cut = Some(cut);
    }

    /// It was heard of in this run, is not cut and still preferred.
    fn is_usable(&self, now: Instant) -> bool {
        !self.seeded && self.cut.is_none() && !self.preferred_until.is_over(now)
    }

    fn is_over(&self, now: Instant) -> bool {
        self.valid_until.is_over(now)
    }

    fn forget_at(&self) -> Option<Instant> {
        self.valid_until.instant().map(|end| end + REMEMBERED)
    }
}
