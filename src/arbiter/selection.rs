//! Which of the offered prefixes should be current (design: "Which prefix is current").

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{Current, Loss};
use crate::config::DynamicPrefix;
use crate::prefix::{PrefixFilter, Rejection, covering};
use crate::source::{Cut, Offer, SourceId, SourceKind, SourceReport};
use crate::time::{Deadline, Instant};

/// A prefix as one DynamicPrefix sees it: what several routers say about it, or about several /64 of one delegation,
/// put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) prefix: Ipv6Net,
    pub(super) source: SourceId,
    /// The routers that stand behind it, ascending.
    pub(super) routers: Vec<Ipv6Addr>,
    pub(super) preferred_until: Deadline,
    pub(super) valid_until: Deadline,
    pub(super) excluded: Vec<Ipv6Net>,
    pub(super) first_seen: Instant,
    pub(super) cut: Option<Cut>,
}

impl Candidate {
    fn is_usable(&self, now: Instant) -> bool {
        self.loss(now).is_none()
    }

    /// Why it cannot be used for anything new.
    fn loss(&self, now: Instant) -> Option<Loss> {
        if self.valid_until.is_over(now) {
            return Some(Loss::Dead);
        }
        match self.cut {
            Some(Cut::Withdrawn) => Some(Loss::Dead),
            Some(Cut::Unlisted) => Some(Loss::Unlisted),
            Some(Cut::Deprecated) => Some(Loss::Deprecated),
            None => self.preferred_until.is_over(now).then_some(Loss::Deprecated),
        }
    }

    /// One prefix out of what is said about it (never nothing). It lives while anyone stands by it.
    fn merge(prefix: Ipv6Net, source: &SourceId, offers: &[&Offer]) -> Option<Self> {
        let alive: Vec<&Offer> = offers.iter().copied().filter(|offer| offer.cut.is_none()).collect();
        let speaking = if alive.is_empty() { offers } else { &alive };
        let mut routers: Vec<Ipv6Addr> = speaking.iter().filter_map(|offer| offer.router).collect();
        routers.sort_unstable();
        routers.dedup();
        let mut excluded: Vec<Ipv6Net> = offers.iter().flat_map(|offer| offer.excluded.iter().copied()).collect();
        excluded.sort_unstable();
        excluded.dedup();
        Some(Self {
            prefix,
            source: source.clone(),
            routers,
            preferred_until: offers.iter().map(|offer| offer.preferred_until).max()?,
            valid_until: offers.iter().map(|offer| offer.valid_until).max()?,
            excluded,
            first_seen: offers.iter().map(|offer| offer.first_seen).min()?,
            cut: if alive.is_empty() { mildest(offers) } else { None },
        })
    }
}

/// The cut that all of them support: one router's confirmed withdrawal is none while another merely deprecates.
fn mildest(offers: &[&Offer]) -> Option<Cut> {
    offers.iter().filter_map(|offer| offer.cut).min_by_key(|cut| match cut {
        Cut::Deprecated => 0,
        Cut::Unlisted => 1,
        Cut::Withdrawn => 2,
    })
}

/// What one source offers, seen through the configuration of a DynamicPrefix.
#[derive(Debug)]
struct SourceView {
    id: SourceId,
    /// It has said all it can say for now. False before its first report.
    settled: bool,
    /// The routers it listens to; empty: all.
    routers: Vec<Ipv6Addr>,
    candidates: BTreeMap<Ipv6Net, Candidate>,
    refused: BTreeMap<Ipv6Net, Rejection>,
}

impl SourceView {
    fn new(id: SourceId, config: &DynamicPrefix, report: Option<&SourceReport>, released: &BTreeSet<Ipv6Net>) -> Self {
        let ra =
            config.acquisition.router_advertisement.as_ref().filter(|_| id.kind == SourceKind::RouterAdvertisement);
        let routers = ra.map(|ra| ra.routers.clone()).unwrap_or_default();
        let length = config.delegated_length(id.kind).unwrap_or(128);
        let mut heard: BTreeMap<Ipv6Net, Vec<&Offer>> = BTreeMap::new();
        let is_released = |offer: &&Offer| id.kind == SourceKind::Dhcpv6Pd && released.contains(&offer.prefix);
        let offers = report.into_iter().flat_map(|report| &report.offers).filter(|offer| !is_released(offer));
        for offer in offers.filter(|offer| offer.recipient.as_ref().is_none_or(|name| *name == config.name)) {
            if offer.router.is_none_or(|router| routers.is_empty() || routers.contains(&router)) {
                heard.entry(covering(offer.prefix, length)).or_default().push(offer);
            }
        }
        let mut view = Self {
            settled: report.is_some_and(|report| is_settled(report, &config.name)),
            id,
            routers,
            candidates: BTreeMap::new(),
            refused: BTreeMap::new(),
        };
        let is_alive = |offers: &[&Offer]| offers.iter().any(|offer| offer.cut != Some(Cut::Withdrawn));
        let mut holds_refused = false;
        for (prefix, offers) in heard {
            if let Err(rejection) = config.acquisition.filter.check(prefix) {
                // A former one, of a DynamicPrefix with another filter perhaps, is no offer.
                if offers.iter().any(|offer| offer.cut.is_none()) {
                    view.refused.insert(prefix, rejection);
                }
                holds_refused |= is_alive(&offers);
            } else if let Some(candidate) = Candidate::merge(prefix, &view.id, &offers) {
                view.candidates.insert(prefix, candidate);
            }
        }
        // A client that holds nothing but what the filter refuses asks for nothing else. Who observes one says so himself.
        let is_ended = |candidate: &Candidate| candidate.cut == Some(Cut::Withdrawn);
        let asks = view.id.kind == SourceKind::Dhcpv6Pd;
        view.settled |= asks && holds_refused && view.candidates.values().all(is_ended);
        view
    }

    /// The prefix to use of this source. The current one stays while it is usable.
    fn pick(&self, current: Option<&Current>, now: Instant) -> Option<&Candidate> {
        let usable = || self.candidates.values().filter(|candidate| candidate.is_usable(now));
        let stays = current.and_then(|current| usable().find(|candidate| candidate.prefix == current.prefix));
        // The lowest prefix breaks a tie, so that the outcome does not hang on the order in a report.
        stays.or_else(|| usable().max_by_key(|c| (c.preferred_until, c.first_seen, Reverse(c.prefix))))
    }

    /// Whether this source, which says nothing about `current`, stands by it no longer: its routers are not listened
    /// to any more, or one of them now lists another usable prefix. Absence alone says nothing: after a restart the
    /// first report may come from another router of the link.
    fn gave_up(&self, current: &Current, now: Instant) -> bool {
        let ignored = |router: &Ipv6Addr| !self.routers.is_empty() && !self.routers.contains(router);
        if !current.routers.is_empty() && current.routers.iter().all(ignored) {
            return true;
        }
        self.candidates.values().filter(|candidate| candidate.is_usable(now)).any(|candidate| {
            current.routers.is_empty() || candidate.routers.iter().any(|router| current.routers.contains(router))
        })
    }
}

/// Whether a source has said all it can say for now to the DynamicPrefix `name`. A DHCPv6 client serves each on its own,
/// and its state cannot say it for all, and so does one that is observed: while it asks for this one's delegation, or holds it, be it deprecated, what
/// Router Advertisements say is no substitute.
fn is_settled(report: &SourceReport, name: &str) -> bool {
    match report.id.kind {
        SourceKind::Dhcpv6Pd | SourceKind::Observed => !report.pending.contains(name),
        SourceKind::RouterAdvertisement | SourceKind::Interface | SourceKind::Http | SourceKind::Static => {
            report.state.is_settled()
        }
    }
}

/// How the current prefix is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its source stands by it, or has not spoken yet.
    Usable,
    /// Nobody stands by it any more, and nobody said that it ended (its source left the configuration, or lists
    /// another one instead): it is kept only until there is another.
    Orphaned,
    /// It can no longer be used for anything new.
    Lost(Loss),
}

/// What should become of the current prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice<'a> {
    /// This one should be current; perhaps it is already.
    Take(&'a Candidate),
    /// The current one stays, and there is no news about it.
    Hold,
    /// No usable prefix is known.
    Nothing,
}

/// What all configured sources offer, best rank first.
#[derive(Debug)]
pub(super) struct View {
    sources: Vec<SourceView>,
    filter: PrefixFilter,
}

impl View {
    /// `released`: what is being given back to the DHCPv6 server, and is not to be used although it may be offered still.
    pub(super) fn new(
        config: &DynamicPrefix,
        reports: &BTreeMap<SourceId, SourceReport>,
        released: &BTreeSet<Ipv6Net>,
    ) -> Self {
        let mut ids = config.sources();
        ids.sort();
        let sources = ids.into_iter().map(|id| {
            let report = reports.get(&id);
            SourceView::new(id, config, report, released)
        });
        Self { sources: sources.collect(), filter: config.acquisition.filter.clone() }
    }

    /// The prefixes that the filter refuses.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&SourceId, Ipv6Net, Rejection)> {
        self.sources
            .iter()
            .flat_map(|view| view.refused.iter().map(|(prefix, rejection)| (&view.id, *prefix, *rejection)))
    }

    /// What is said about `prefix` by `source`.
    pub(super) fn said_by(&self, source: &SourceId, prefix: Ipv6Net) -> Option<&Candidate> {
        self.source(source).and_then(|view| view.candidates.get(&prefix))
    }

    /// Whether no more is to be expected from `source` for now.
    pub(super) fn is_settled(&self, source: &SourceId) -> bool {
        self.source(source).is_none_or(|view| view.settled)
    }

    /// Whether the DHCPv6 client, ours or an observed one, says that the delegation of `current` has ended. Nobody else could have renewed it
    /// unheard, so that is final although the client asks for another one already.
    pub(super) fn has_ended(&self, current: &Current) -> bool {
        let is_delegated = matches!(current.source.kind, SourceKind::Dhcpv6Pd | SourceKind::Observed);
        let said = self.said_by(&current.source, current.prefix).and_then(|candidate| candidate.cut);
        is_delegated && said == Some(Cut::Withdrawn)
    }

    /// How `current` is doing, going by its own source.
    pub(super) fn standing(&self, current: &Current, now: Instant) -> Standing {
        if self.filter.check(current.prefix).is_err() {
            return Standing::Lost(Loss::Refused);
        }
        if let Some(candidate) = self.said_by(&current.source, current.prefix) {
            return candidate.loss(now).map_or(Standing::Usable, Standing::Lost);
        }
        if current.valid_until.is_over(now) {
            return Standing::Lost(Loss::Dead);
        }
        // A source forgets what has ended after a while; that does not bring it back.
        if let Some(loss) = current.lost.filter(|loss| *loss != Loss::Refused) {
            return Standing::Lost(loss);
        }
        if current.preferred_until.is_over(now) {
            return Standing::Lost(Loss::Deprecated);
        }
        match self.source(&current.source) {
            Some(view) if !view.gave_up(current, now) => Standing::Usable,
            Some(_) | None => Standing::Orphaned,
        }
    }

    /// The best usable prefix. A source counts only when all of higher rank are settled, except that the source of
    /// the current prefix goes on counting when one above it starts to ask again.
    pub(super) fn choose(&self, current: Option<(&Current, Standing)>, now: Instant) -> Choice<'_> {
        let mut above_is_asking = false;
        for view in &self.sources {
            let own = current.filter(|(current, _)| current.source == view.id);
            if above_is_asking && own.is_none() {
                continue;
            }
            if let Some((current, Standing::Usable)) = own
                && !view.candidates.contains_key(&current.prefix)
            {
                return Choice::Hold;
            }
            if let Some(candidate) = view.pick(current.map(|(current, _)| current), now) {
                return Choice::Take(candidate);
            }
            above_is_asking |= !view.settled;
        }
        match current {
            Some((_, Standing::Usable | Standing::Orphaned)) => Choice::Hold,
            Some((_, Standing::Lost(_))) | None => Choice::Nothing,
        }
    }

    fn source(&self, id: &SourceId) -> Option<&SourceView> {
        self.sources.iter().find(|view| view.id == *id)
    }
}
