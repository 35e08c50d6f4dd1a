//! What follows from the file in which the other client keeps its lease, and who knows best how long it lives. Pure.
//!
//! It is the only trace of dhclient before its next Renew, and tells lifetimes that no route does. But nobody takes a file
//! away when another program is used from then on: what packets and routes say wins, and what was cut once comes back only
//! by a lease that is newer than that.

use ipnet::Ipv6Net;

use super::{Evidence, judges};
use crate::source::observe::filed::Filed;
use crate::source::observe::hint::{Hint, Origin, unknown};
use crate::source::{Cut, Offer};
use crate::time::{Deadline, Instant};

/// What the file says, and since when.
pub(super) type OnFile = Vec<(Offer, Instant)>;

impl Evidence {
    /// What the client has written down. That nothing is written says nothing.
    pub(in crate::source::observe) fn file(&mut self, filed: &[Filed], now: Instant) {
        if filed.is_empty() {
            return;
        }
        let offer = |filed: &Filed| {
            let since = filed.since(now);
            let valid_until = Deadline::after(since, filed.valid);
            let preferred_until = Deadline::after(since, filed.preferred).min(valid_until);
            let excluded = filed.excluded.into_iter().collect();
            (Offer { preferred_until, valid_until, excluded, ..unknown(filed.prefix, now) }, since)
        };
        self.on_file = filed.iter().map(offer).collect();
    }

    /// Whether what is known of a prefix is what the file says.
    pub(in crate::source::observe) fn is_from_file(&self) -> bool {
        let filed = self.hints.iter().filter(|hint| hint.origin == Origin::File);
        filed.into_iter().any(|hint| hint.is_offered() && hint.offer.cut.is_none())
    }

    /// The offer of a hint. Somebody who said how long the prefix lives knows more than a route that stands, and than a
    /// former run; and so does what the client has written down.
    pub(super) fn with_told(&self, hint: &Hint) -> Offer {
        let is_vague = hint.origin == Origin::FormerRun
            || (hint.origin == Origin::Route && hint.offer.valid_until == Deadline::Never);
        let by = |origin| {
            let told = self.hints.iter().filter(move |told| told.origin == origin && told.offer.cut.is_none());
            told.map(|told| &told.offer).find(|told| told.prefix == hint.offer.prefix)
        };
        let knowing = Some(hint).filter(|hint| is_vague && hint.offer.cut.is_none());
        let knowing = knowing.and_then(|_| by(Origin::Told).or_else(|| by(Origin::File))).unwrap_or(&hint.offer);
        let Offer { preferred_until, valid_until, .. } = *knowing;
        let filed = by(Origin::File).filter(|_| hint.origin == Origin::Route).map(|filed| &filed.excluded);
        let excluded = filed.unwrap_or(&hint.offer.excluded).clone();
        Offer { preferred_until, valid_until, excluded, ..hint.offer.clone() }
    }

    /// Whether its route says that a prefix is held.
    pub(super) fn stands(&self, prefix: Ipv6Net) -> bool {
        let is_it = |hint: &Hint| hint.origin == Origin::Route && hint.offer.prefix == prefix;
        self.hints.iter().any(|hint| is_it(hint) && hint.offer.cut.is_none() && hint.is_offered())
    }

    /// Puts together what the file says and what else is known. `has_lease`: the packets tell what is held.
    pub(super) fn follow_file(&mut self, has_lease: bool, now: Instant) {
        if self.on_file.is_empty() {
            return;
        }
        let on_file = std::mem::take(&mut self.on_file);
        let is_filed = |prefix: Ipv6Net| on_file.iter().any(|(offer, _)| offer.prefix == prefix);
        let standing = self.hints.iter().map(|hint| hint.offer.prefix).filter(|prefix| self.stands(*prefix));
        let others: Vec<Ipv6Net> = standing.filter(|prefix| !is_filed(*prefix)).collect();
        let is_others = |prefix: Ipv6Net| others.iter().any(|other| judges(*other, prefix));
        for (offer, since) in &on_file {
            self.follow_filed(offer, *since, has_lease || is_others(offer.prefix), now);
        }
        // Nobody takes a file away that is used no longer.
        let alive = on_file.iter().filter(|(offer, _)| !offer.valid_until.is_over(now));
        let newest = alive.map(|(_, since)| *since).max();
        for hint in self.hints.iter_mut().filter(|hint| !is_filed(hint.offer.prefix)) {
            // The client has another one now.
            let is_former =
                hint.origin == Origin::FormerRun && newest.is_some_and(|since| since > hint.offer.first_seen);
            match hint.origin {
                Origin::File => {
                    hint.missing_since.get_or_insert(now);
                    hint.cut(Cut::Unlisted, now);
                }
                Origin::FormerRun if is_former && !has_lease && !is_others(hint.offer.prefix) => {
                    hint.contradict(&self.addresses, self.uplink, now);
                }
                Origin::FormerRun | Origin::Route | Origin::Told => {}
            }
        }
        self.on_file = on_file;
    }

    fn follow_filed(&mut self, offer: &Offer, since: Instant, others_tell: bool, now: Instant) {
        let is_it = |hint: &&Hint| hint.offer.prefix == offer.prefix;
        let cut_at = self.hints.iter().filter(is_it).filter_map(|hint| hint.cut_at).max();
        let is_over = offer.valid_until.is_over(now) || cut_at.is_some_and(|at| since <= at);
        let known = self.hints.iter_mut().find(|hint| hint.origin == Origin::File && hint.offer.prefix == offer.prefix);
        match known {
            Some(hint) => {
                hint.missing_since = None;
                hint.is_aside &= others_tell;
                if !is_over {
                    (hint.offer.cut, hint.cut_at) = (None, None);
                    (hint.offer.preferred_until, hint.offer.valid_until) = (offer.preferred_until, offer.valid_until);
                    hint.offer.excluded.clone_from(&offer.excluded);
                }
            }
            None if is_over => {}
            None => {
                self.make_room();
                self.hints.push(Hint { is_aside: others_tell, ..Hint::new(offer.clone(), Origin::File) });
            }
        }
    }
}
