//! What follows for a prefix from a lease that ran out, or was replaced unseen. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::Ipv6Net;

use super::{Evidence, GRACE, Packets, judges};
use crate::source::observe::hint::{Hint, Origin, is_alive, longest};
use crate::source::{Cut, Offer};
use crate::time::{Deadline, Instant};

/// By how much the time that a file says may be off: it counts whole seconds, and the clock may be set.
const ROUNDING: Duration = Duration::from_secs(2);

impl Evidence {
    /// A lease that ran out takes what else is known of its prefix with it, unless something shows that it goes on: once
    /// the lease is forgotten, nobody else would say when it ends.
    pub(super) fn follow_lapses(&mut self, leased: &[Offer], sees_packets: bool, now: Instant) {
        let before = std::mem::take(&mut self.granted);
        let since = |prefix, ends| before.get(&prefix).filter(|(was, _)| *was == ends).map_or(now, |(_, since)| *since);
        let granted = leased.iter().map(|offer| (offer.prefix, offer.valid_until));
        self.granted = granted.map(|(prefix, ends)| (prefix, (ends, since(prefix, ends)))).collect();
        let ran_out = |offer: &&Offer| {
            let is_whole = matches!(offer.cut, None | Some(Cut::Deprecated));
            is_whole && !leased.iter().any(|other| other.prefix == offer.prefix && is_alive(other, now))
        };
        let ran_out: BTreeSet<Ipv6Net> = leased.iter().filter(ran_out).map(|offer| offer.prefix).collect();
        let new = ran_out.iter().filter(|prefix| !sees_packets && !self.lapsed.contains(prefix)).copied();
        let unseen: Vec<Ipv6Net> = new.collect();
        self.unseen.extend(unseen);
        self.unseen.retain(|prefix| ran_out.contains(prefix));
        let goes_on = |prefix: &Ipv6Net| self.lives_on(*prefix, now);
        let (outliving, lapsed): (BTreeSet<_>, BTreeSet<_>) = ran_out.into_iter().partition(goes_on);
        for hint in &mut self.hints {
            let prefix = hint.offer.prefix;
            if lapsed.contains(&prefix) && matches!(hint.origin, Origin::Route | Origin::FormerRun) {
                let ends = leased.iter().filter(|offer| offer.prefix == prefix).map(|offer| offer.valid_until);
                hint.lapse(ends.max().unwrap_or(Deadline::Never), now);
            } else if lapsed.contains(&prefix) && hint.origin == Origin::File && hint.offer.cut.is_none() {
                hint.cut(Cut::Unlisted, now);
                // What was written after the lease was granted counts, also when it is read after the end.
                hint.cut_at = Some(self.granted.get(&prefix).map_or(now, |(_, since)| *since + ROUNDING));
            } else if outliving.contains(&prefix) && self.lapsed.contains(&prefix) && hint.origin == Origin::Route {
                hint.restore(false);
                hint.live(&self.addresses, self.uplink);
            }
        }
        (self.outliving, self.lapsed) = (outliving, lapsed);
    }

    /// A client that holds what a former run knew renews it before its end, or, if it did so last while nobody watched,
    /// before as much time has passed again. Where it was not seen to, neither a route tells that it goes on, nor do
    /// addresses without end: both would stand for ever.
    pub(super) fn follow_memory(&mut self, leased: &[Offer], sees_packets: bool, now: Instant) {
        self.seeing_since = self.seeing_since.filter(|_| sees_packets).or_else(|| sees_packets.then_some(now));
        let Some(since) = self.seeing_since else { return self.due.clear() };
        let known = self.hints.iter().filter(|hint| hint.origin == Origin::FormerRun && hint.offer.cut.is_none());
        let known = known.filter_map(|hint| Some((hint.offer.prefix, hint.own_end().instant()?)));
        let due = known.filter(|(_, end)| since < *end).map(|(prefix, end)| {
            let again = end.saturating_since(since).max(GRACE);
            (prefix, (Deadline::At(end), end + again))
        });
        self.due.extend(due.collect::<Vec<_>>());
        self.due.retain(|prefix, _| leased.iter().all(|offer| offer.prefix != *prefix));
        let is_told = |hint: &&Hint| matches!(hint.origin, Origin::Told | Origin::File) && is_alive(&hint.offer, now);
        let told: BTreeSet<Ipv6Net> = self.hints.iter().filter(is_told).map(|hint| hint.offer.prefix).collect();
        for hint in self.hints.iter_mut().filter(|hint| hint.offer.cut.is_none() && !told.contains(&hint.offer.prefix))
        {
            let Some((end, _)) = self.due.get(&hint.offer.prefix).filter(|(_, at)| *at <= now) else { continue };
            match hint.origin {
                Origin::FormerRun => hint.contradict(&self.addresses, self.uplink, now),
                Origin::Route if hint.offer.valid_until == Deadline::Never => hint.lapse(*end, now),
                Origin::Route | Origin::File | Origin::Told => {}
            }
        }
        self.due.retain(|_, (_, at)| now < *at);
    }

    /// Whether netlink or the client's file shows that a delegation goes on, although its lease would be over: a Reply may
    /// have been missed.
    pub(in crate::source::observe) fn lives_on(&self, prefix: Ipv6Net, now: Instant) -> bool {
        let of_it = |origin| self.hints.iter().find(move |hint| hint.origin == origin && hint.offer.prefix == prefix);
        let is_whole = |hint: &&Hint| hint.offer.cut.is_none() && hint.missing_since.is_none() && !hint.is_foreign;
        let stands = of_it(Origin::Route).filter(is_whole).is_some();
        let is_numbered = || {
            let ends = longest(prefix, &self.addresses, self.uplink);
            ends.is_some_and(|(_, valid_until)| valid_until != Deadline::Never && !valid_until.is_over(now))
        };
        let is_filed = of_it(Origin::File).is_some_and(|hint| hint.offer.cut.is_none());
        let told_at = self.granted.get(&prefix).map(|(_, since)| *since + ROUNDING);
        let is_newer = |since: Instant| told_at.is_none_or(|told_at| told_at < since);
        let is_renewed = || {
            let mut filed =
                self.on_file.offers.iter().filter(|(offer, since)| offer.prefix == prefix && is_newer(*since));
            filed.any(|(offer, _)| !offer.valid_until.is_over(now))
        };
        stands && (self.unseen.contains(&prefix) || is_numbered()) || is_filed && is_renewed()
    }

    /// A lease whose route was replaced while no packet could be seen may be over. It is not, if its route is back.
    pub(super) fn give_way(&mut self, present: &BTreeSet<Ipv6Net>, packets: &Packets, now: Instant) {
        let is_lost = |hint: &&Hint| {
            let is_missing = hint.origin == Origin::Route && hint.missing_since.is_some() && hint.offer.cut.is_some();
            let is_numbered = || hint.is_numbered(&self.addresses, self.uplink, now);
            is_missing && packets.named.contains(&hint.offer.prefix) && !is_numbered()
        };
        let is_other = |prefix: &Ipv6Net| !packets.named.contains(prefix) && self.stands(*prefix);
        let others: Vec<Ipv6Net> = present.iter().copied().filter(is_other).collect();
        let lost = self.hints.iter().filter(is_lost).map(|hint| hint.offer.prefix);
        let lost = lost.filter(|prefix| !packets.are_seen && others.iter().any(|other| judges(*other, *prefix)));
        let lost: Vec<Ipv6Net> = lost.collect();
        for prefix in lost {
            self.displaced.entry(prefix).or_insert(now);
        }
        self.displaced.retain(|prefix, _| packets.named.contains(prefix) && !present.contains(prefix));
    }

    /// Since when another delegation is in the place of a lease.
    pub(in crate::source::observe) fn displaced_at(&self, prefix: Ipv6Net) -> Option<Instant> {
        self.displaced.get(&prefix).copied()
    }

    /// A packet says that this prefix is held.
    pub(in crate::source::observe) fn confirm(&mut self, prefix: Ipv6Net) {
        self.displaced.remove(&prefix);
        for hint in self.hints.iter_mut().filter(|hint| hint.offer.prefix == prefix) {
            (hint.doubted_until, hint.is_contradicted) = (None, false);
        }
    }
}
