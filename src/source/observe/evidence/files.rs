//! What follows from the file in which the other client keeps its lease, and who knows best how long it lives. Pure.
//!
//! It is the only trace of dhclient before its next Renew, and tells lifetimes that no route does. But nobody takes a file
//! away when another program is used from then on: what packets and routes say wins, and what was cut once comes back only
//! by a lease that is newer than that.
//!
//! What a client that runs describes when it is asked is more: it is all that it holds on the interface. A route that stood
//! then and is not in it is another uplink's or left over; and what is in it no longer is lost, unless it is back soon, as
//! when the client was restarted.

use ipnet::Ipv6Net;

use super::{Evidence, GRACE, judges};
use crate::source::observe::filed::Filed;
use crate::source::observe::hint::{Hint, Origin, Use, unknown};
use crate::source::{Cut, Offer};
use crate::time::{Deadline, Instant};

/// What the client says by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct OnFile {
    /// And since when.
    pub(super) offers: Vec<(Offer, Instant)>,
    /// When the client has described it; `None`: it has written it down.
    described_at: Option<Instant>,
}

impl OnFile {
    fn new(filed: &[Filed], now: Instant) -> Self {
        let offer = |filed: &Filed| {
            let since = filed.since(now);
            let valid_until = Deadline::after(since, filed.valid);
            let preferred_until = Deadline::after(since, filed.preferred).min(valid_until);
            let excluded = filed.excluded.into_iter().collect();
            (Offer { preferred_until, valid_until, excluded, ..unknown(filed.prefix, now) }, since)
        };
        Self { offers: filed.iter().map(offer).collect(), described_at: None }
    }

    fn newest(&self) -> Option<Instant> {
        self.offers.iter().map(|(_, since)| *since).max()
    }

    fn has(&self, prefix: Ipv6Net) -> bool {
        self.offers.iter().any(|(offer, _)| offer.prefix == prefix)
    }
}

impl Evidence {
    /// What the client has written down. That nothing is written says nothing.
    pub(in crate::source::observe) fn file(&mut self, filed: &[Filed], now: Instant) {
        let filed = OnFile::new(filed, now);
        // Of two clients the one that was told last runs.
        if !filed.offers.is_empty() && (self.on_file.described_at.is_none() || filed.newest() > self.on_file.newest()) {
            self.on_file = filed;
        }
    }

    /// All that the client holds, as it says. One that never held anything says nothing.
    pub(in crate::source::observe) fn describe(&mut self, described: &[Filed], now: Instant) {
        let described = OnFile { described_at: Some(now), ..OnFile::new(described, now) };
        let was_described = self.on_file.described_at.is_some();
        if was_described || (!described.offers.is_empty() && described.newest() >= self.on_file.newest()) {
            self.on_file = described;
        }
    }

    /// Whether the client has described what it holds.
    pub(in crate::source::observe) fn is_described(&self) -> bool {
        self.on_file.described_at.is_some()
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

    /// Whether a hint was cut, and what the client says is known of its prefix instead.
    pub(super) fn is_outlived(&self, hint: &Hint) -> bool {
        let is_said = |said: &Hint| said.origin == Origin::File && said.offer.cut.is_none() && said.is_offered();
        hint.offer.cut.is_some()
            && self.hints.iter().any(|said| is_said(said) && said.offer.prefix == hint.offer.prefix)
    }

    /// Puts together what the file says and what else is known. `has_lease`: the packets tell what is held.
    pub(super) fn follow_file(&mut self, has_lease: bool, now: Instant) {
        if self.on_file.offers.is_empty() {
            return self.follow_nothing(now);
        }
        let on_file = std::mem::take(&mut self.on_file);
        let standing = self.hints.iter().map(|hint| hint.offer.prefix).filter(|prefix| self.stands(*prefix));
        // Who describes what is held on this interface is not refuted by what stands for others.
        let others: Vec<Ipv6Net> =
            standing.filter(|prefix| on_file.described_at.is_none() && !on_file.has(*prefix)).collect();
        let is_others = |prefix: Ipv6Net| others.iter().any(|other| judges(*other, prefix));
        for (offer, since) in &on_file.offers {
            let cut_at = self.cut_at(offer.prefix, on_file.described_at.is_some());
            self.follow_filed(offer, *since, cut_at, has_lease || is_others(offer.prefix), now);
        }
        // Nobody takes a file away that is used no longer.
        let alive = on_file.offers.iter().filter(|(offer, _)| !offer.valid_until.is_over(now));
        let newest = alive.map(|(_, since)| *since).max();
        for hint in self.hints.iter_mut().filter(|hint| !on_file.has(hint.offer.prefix)) {
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
        if let Some(described_at) = on_file.described_at.filter(|_| !has_lease) {
            self.follow_described(&on_file, described_at, now);
        }
        self.on_file = on_file;
    }

    /// The client holds nothing any more, as it says; when it is restarted that is so for a moment.
    fn follow_nothing(&mut self, now: Instant) {
        if self.on_file.described_at.is_none() {
            return;
        }
        for hint in self.hints.iter_mut().filter(|hint| hint.origin == Origin::File) {
            let since = *hint.missing_since.get_or_insert(now);
            if since + GRACE <= now {
                hint.cut(Cut::Unlisted, now);
            }
        }
    }

    /// What else is known, beside a description: it tells which routes are those of this interface.
    fn follow_described(&mut self, described: &OnFile, described_at: Instant, now: Instant) {
        let is_filed = |hint: &&Hint| hint.origin == Origin::File;
        let former: Vec<Ipv6Net> = self.hints.iter().filter(is_filed).map(|hint| hint.offer.prefix).collect();
        for hint in &mut self.hints {
            let prefix = hint.offer.prefix;
            match hint.origin {
                Origin::Route if described.has(prefix) => {
                    (hint.is_foreign, hint.is_aside) = (false, false);
                    // It is held again, and the route was never away.
                    if hint.missing_since.is_none() && hint.in_use != Use::Replaced && !self.ended.contains_key(&prefix)
                    {
                        hint.restore(false);
                    }
                }
                Origin::Route if hint.offer.first_seen > described_at => {}
                Origin::Route if former.contains(&prefix) => hint.cut(Cut::Unlisted, now),
                // Also later, when the packets tell what is held, and do not name it.
                Origin::Route => (hint.is_foreign, hint.is_aside) = (true, true),
                Origin::FormerRun if described.has(prefix) && !self.ended.contains_key(&prefix) => {
                    (hint.offer.cut, hint.cut_at) = (None, None);
                }
                Origin::FormerRun | Origin::File | Origin::Told => {}
            }
        }
    }

    /// When a prefix was cut. `is_described`: it was not, as far as that was only inferred from routes.
    fn cut_at(&self, prefix: Ipv6Net, is_described: bool) -> Option<Instant> {
        let is_told = |hint: &&Hint| {
            let is_inferred = matches!(hint.origin, Origin::Route | Origin::FormerRun) && is_described;
            hint.offer.prefix == prefix && (!is_inferred || self.ended.contains_key(&prefix))
        };
        self.hints.iter().filter(is_told).filter_map(|hint| hint.cut_at).max()
    }

    fn follow_filed(
        &mut self,
        offer: &Offer,
        since: Instant,
        cut_at: Option<Instant>,
        others_tell: bool,
        now: Instant,
    ) {
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
