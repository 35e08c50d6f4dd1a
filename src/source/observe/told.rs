//! What people and hook scripts say of delegations, and what that ends. Pure.
//!
//! Absence is not loss: a prefix that was told with a lifetime, be it an infinite one, lives to its end, whatever else
//! is told. Of one that never was given any nobody would say when it ends, either, so that another one in its place
//! must be the sign. But a client may hold several, and its script tells all of an event one after the other, in any order, or
//! each at its own events, by turns. So a prefix ends that
//!
//! * was not told a moment before or after another one was told that nobody knew, or
//! * was passed over while another one was told several times in a row (it came back to stay).
//!
//! One that was known before, and is told again, ends none by itself: two that are told by turns end each other at most
//! once. Of another life of the interface, what is not told in a moment ends, too, whatever lifetimes it was given.

use std::collections::VecDeque;
use std::time::Duration;

use ipnet::Ipv6Net;

use super::Told;
use super::evidence::{Evidence, GRACE, MOST};
use super::hint::{Hint, Origin, is_alive, unknown};
use crate::source::{Cut, Offer};
use crate::time::{Deadline, Instant};

/// In which time a script tells all that it has to tell of one event.
const MOMENT: Duration = Duration::from_secs(2);
/// After how many tellings in a row one that was passed over is in doubt.
const IN_A_ROW: usize = 3;

/// What was told last as usable, and to which DynamicPrefix; the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Tellings(VecDeque<(String, Ipv6Net)>);

impl Tellings {
    fn contains(&self, name: &str, prefix: Ipv6Net) -> bool {
        self.0.iter().any(|told| (told.0.as_str(), told.1) == (name, prefix))
    }

    fn push(&mut self, name: &str, prefix: Ipv6Net) {
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back((name.to_owned(), prefix));
    }

    /// Whether `prefix` was told several times since `other` was told last.
    fn passed_over(&self, name: &str, prefix: Ipv6Net, other: Ipv6Net) -> bool {
        let told = self.0.iter().rev().filter(|told| told.0 == name).map(|told| told.1);
        told.take_while(|told| *told != other).filter(|told| *told == prefix).count() >= IN_A_ROW
    }
}

impl Evidence {
    /// Somebody says what is delegated. What is not said stays as it was, or is not known.
    pub(super) fn tell(&mut self, told: &Told, now: Instant) {
        let (name, prefix) = (told.dynamic_prefix.as_str(), told.prefix.trunc());
        let is_it = |hint: &Hint| hint.offer.prefix == prefix && hint.is_for(name);
        if told.gone {
            self.reserved.remove(&prefix);
            return self.hints.iter_mut().filter(|hint| is_it(hint)).for_each(|hint| hint.cut(Cut::Withdrawn, now));
        }
        // Whatever is told counts from when it was said, be it the end of another one.
        let now = now - told.ago;
        let is_known = |hint: &Hint| hint.origin == Origin::FormerRun && is_it(hint) && hint.offer.cut.is_none();
        let is_new = !self.tellings.contains(name, prefix) && !self.hints.iter().any(is_known);
        self.hints.iter_mut().filter(|hint| is_it(hint)).for_each(|hint| hint.doubted_until = None);
        let own = self.hints.iter().position(|hint| hint.origin == Origin::Told && is_it(hint));
        let former = own.map(|at| self.hints.swap_remove(at));
        let former = former.filter(|hint| hint.offer.cut.is_none() && !hint.offer.valid_until.is_over(now));
        let mut hint = former.unwrap_or_else(|| Hint::new(unknown(prefix, now), Origin::Told));
        hint.take(told, now);
        hint.session = self.session;
        let is_usable = !hint.offer.preferred_until.is_over(now);
        self.make_room();
        self.hints.push(hint);
        if is_usable {
            self.tellings.push(name, prefix);
            self.doubt(name, prefix, is_new, now);
        }
    }

    /// What this prefix may have taken the place of.
    fn doubt(&mut self, name: &str, prefix: Ipv6Net, is_new: bool, now: Instant) {
        let (tellings, session) = (&self.tellings, self.session);
        let is_replaced = |hint: &Hint| match hint.origin {
            Origin::Told => {
                let is_passed_over = || tellings.passed_over(name, prefix, hint.offer.prefix);
                hint.session != session || (!hint.has_lifetime && (is_new || is_passed_over()))
            }
            Origin::FormerRun => is_new,
            Origin::Route | Origin::File => false,
        };
        for hint in self.hints.iter_mut().filter(|hint| hint.offer.prefix != prefix && hint.is_for(name)) {
            let is_of_this_event = hint.told_at.is_some_and(|at| now < at + MOMENT);
            if hint.offer.cut.is_none() && !is_of_this_event && is_replaced(hint) {
                hint.doubted_until.get_or_insert(now + MOMENT);
            }
        }
    }

    /// Ends what was in doubt and not told again in time. What a former run, the client's file or a route tells may have
    /// other evidence. A route that the packets would have to name says no more than they do: while they cannot be seen
    /// (`sees_packets`), it is not in doubt, and it takes with it what a former run knew on its word.
    pub(super) fn end_doubted(&mut self, leased: &[Offer], sees_packets: bool, now: Instant) {
        for hint in self.hints.iter_mut().filter(|hint| hint.origin == Origin::Route && !sees_packets) {
            hint.doubted_until = None;
        }
        let speaks = |hint: &Hint| match hint.origin {
            Origin::Told | Origin::File => true,
            Origin::Route => hint.missing_since.is_none() && hint.is_offered(),
            Origin::FormerRun => false,
        };
        // What is given up itself is no evidence.
        let is_over = |hint: &Hint| hint.doubted_until.is_some_and(|until| until <= now);
        let speaking = self.hints.iter().filter(|hint| speaks(hint) && hint.offer.cut.is_none() && !is_over(hint));
        let mut evident: Vec<(Ipv6Net, Option<Origin>)> =
            speaking.map(|hint| (hint.offer.prefix, Some(hint.origin))).collect();
        evident.extend(leased.iter().filter(|offer| is_alive(offer, now)).map(|offer| (offer.prefix, None)));
        let mut given_up = Vec::new();
        for hint in &mut self.hints {
            if hint.doubted_until.take_if(|until| *until <= now).is_none() {
                continue;
            }
            let prefix = hint.offer.prefix;
            let has_other = evident.iter().any(|(other, by)| *other == prefix && *by != Some(hint.origin));
            match hint.origin {
                Origin::Told => hint.cut(Cut::Unlisted, now),
                _ if has_other => {}
                Origin::Route if hint.is_numbered(&self.addresses, self.uplink, now) => {}
                Origin::Route => {
                    hint.give_up(now);
                    given_up.push(prefix);
                }
                Origin::FormerRun | Origin::File => hint.contradict(&self.addresses, self.uplink, now),
            }
        }
        let is_of_it = |hint: &&mut Hint| hint.origin == Origin::FormerRun && given_up.contains(&hint.offer.prefix);
        for hint in self.hints.iter_mut().filter(is_of_it) {
            hint.contradict(&self.addresses, self.uplink, now);
        }
    }

    /// A client was delegated something, of which the packets tell. If it began anew (`begins`), or the interface did, what
    /// it does not hold is not delegated any more, as far as anybody knows. `renewed_by`: until when it has to renew what it
    /// got, and whatever else it holds for as long.
    pub(super) fn supersede(&mut self, mentioned: &[Ipv6Net], begins: bool, renewed_by: Deadline, now: Instant) {
        // What was said before the packets spoke of it is old.
        let is_old = |hint: &Hint| hint.origin == Origin::Told && mentioned.contains(&hint.offer.prefix);
        // But not what part of it is somebody else's, of which packets may say nothing.
        for told in self.hints.iter().filter(|hint| is_old(hint) && !hint.offer.excluded.is_empty()) {
            self.reserved.insert(told.offer.prefix, told.offer.excluded.clone());
        }
        self.hints.retain(|hint| !is_old(hint));
        let session = self.session;
        let other = |hint: &&mut Hint| !hint.is_foreign && !mentioned.contains(&hint.offer.prefix);
        for hint in self.hints.iter_mut().filter(other) {
            // Each IA_PD may be renewed by itself, and each client renews its own: the others are told of next, or not.
            match hint.origin {
                _ if begins => hint.cut(Cut::Unlisted, now),
                Origin::Told if hint.session != session => hint.cut(Cut::Unlisted, now),
                Origin::FormerRun | Origin::File if hint.offer.cut.is_none() => {
                    hint.doubted_until.get_or_insert(now + GRACE);
                }
                // It may be another IA_PD, which is renewed in its own time; or it is left over, and stands for ever.
                Origin::Route if hint.offer.cut.is_none() && hint.doubted_until.is_none() => {
                    hint.doubted_until = renewed_by.instant().map(|until| until.max(now + GRACE));
                }
                Origin::Route | Origin::FormerRun | Origin::File | Origin::Told => {}
            }
        }
    }
}

impl Hint {
    fn is_for(&self, dynamic_prefix: &str) -> bool {
        self.offer.recipient.as_ref().is_none_or(|name| name == dynamic_prefix)
    }

    /// Takes what is said of it.
    fn take(&mut self, told: &Told, now: Instant) {
        self.told_at = Some(now);
        self.has_lifetime |= told.preferred.is_some() || told.valid.is_some();
        let offer = &mut self.offer;
        offer.recipient = Some(told.dynamic_prefix.clone());
        if let Some(seconds) = told.preferred {
            offer.preferred_until = Deadline::after(now, seconds);
        }
        if let Some(seconds) = told.valid {
            offer.valid_until = Deadline::after(now, seconds);
        }
        offer.preferred_until = offer.preferred_until.min(offer.valid_until);
        if !told.excluded.is_empty() {
            offer.excluded.clone_from(&told.excluded);
        }
    }
}
