//! The state machine: what was reported and what time it is go in, the snapshot and its transitions come out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ipnet::Ipv6Net;

use super::damping::Damping;
use super::selection::{Candidate, Choice, Standing, View};
use super::{Current, Fate, Generation, Loss, Reason, Restored, Snapshot, Transition, history};
use crate::config::{DynamicPrefix, OnLoss};
use crate::source::{Cut, Offer, SourceId, SourceKind, SourceReport};
use crate::time::{Deadline, Instant};

/// How many refused prefixes are told of. Whoever forges advertisements must fill neither the log nor the memory.
const MAX_REFUSED: usize = 64;

/// Decides for one DynamicPrefix which prefix is current, and what becomes of the former ones.
///
/// Feed it every report of its sources, and call [`Self::handle_timeout`] at [`Self::poll_timeout`]; after each input
/// drain [`Self::poll_transition`] and look at [`Self::snapshot`]. Inputs may come late (the machine was suspended) or
/// more often than needed.
#[derive(Debug)]
pub struct Arbiter {
    config: DynamicPrefix,
    /// The last report of every configured source that has spoken.
    reports: BTreeMap<SourceId, SourceReport>,
    snapshot: Snapshot,
    has_opinion: bool,
    last_generation: Generation,
    damping: Damping,
    /// What is being given back to the DHCPv6 server, for as long as it is still offered.
    released: BTreeSet<Ipv6Net>,
    /// The prefix that was usable when a former run ended, until its source has spoken of it.
    unwatched: Option<Ipv6Net>,
    /// What the user has been told of.
    refused: BTreeSet<(SourceId, Ipv6Net)>,
    transitions: VecDeque<Transition>,
    /// Everything that was due at this instant has been done.
    done_until: Instant,
}

impl Arbiter {
    /// An arbiter that knows what a former run knew. Its timers go on from there.
    pub fn new(config: DynamicPrefix, restored: Option<Restored>, now: Instant) -> Self {
        let Restored { mut snapshot, last_generation } = restored.unwrap_or_default();
        if let Some(current) = &snapshot.current {
            let prefix = current.prefix;
            snapshot.history.retain(|previous| previous.prefix != prefix);
        }
        let known = snapshot.current.iter().map(|current| current.generation);
        let known = known.chain(snapshot.history.iter().map(|previous| previous.generation));
        let usable = snapshot.current.as_ref().filter(|current| current.lost.is_none());
        let mut arbiter = Self {
            unwatched: usable.map(|current| current.prefix),
            last_generation: known.fold(last_generation, Generation::max),
            has_opinion: snapshot.current.is_some() || !snapshot.history.is_empty(),
            config,
            reports: BTreeMap::new(),
            snapshot,
            damping: Damping::default(),
            released: BTreeSet::new(),
            refused: BTreeSet::new(),
            transitions: VecDeque::new(),
            done_until: now,
        };
        history::reschedule(&mut arbiter.snapshot.history, &arbiter.config.transition);
        arbiter.evaluate(now);
        arbiter
    }

    /// Goes on with another configuration of the same DynamicPrefix. What sources said that are no longer configured
    /// is forgotten; a current prefix of such a source stays until there is another.
    pub fn reconfigure(&mut self, config: DynamicPrefix, now: Instant) {
        let sources = config.sources();
        self.reports.retain(|id, _| sources.contains(id));
        if config.acquisition.filter != self.config.acquisition.filter {
            self.refused.clear();
        }
        self.config = config;
        // A client that has given a delegation back asks anew after a reload.
        self.released.clear();
        history::reschedule(&mut self.snapshot.history, &self.config.transition);
        self.evaluate(now);
    }

    /// Takes in what a source knows now. Reports of sources that this DynamicPrefix does not use are ignored.
    pub fn handle_report(&mut self, report: &SourceReport, now: Instant) {
        if self.config.sources().contains(&report.id) {
            let mut report = report.clone();
            report.offers.iter_mut().for_each(|offer| end_cut_lifetimes(offer, now));
            if report.id.kind == SourceKind::Dhcpv6Pd {
                let offered = |prefix: &Ipv6Net| {
                    report.offers.iter().any(|offer| offer.prefix == *prefix && !offer.preferred_until.is_over(now))
                };
                self.released.retain(offered);
            }
            self.unwatched.take_if(|prefix| report.offers.iter().any(|offer| offer.prefix == *prefix));
            self.reports.insert(report.id.clone(), report);
            self.evaluate(now);
        }
    }

    /// Takes what the DHCPv6 client holds for this DynamicPrefix out of the targets, whatever `onLoss` says, because it
    /// will be given back (RFC 9915 §18.2.7: before that, its use ends). Returns these prefixes. As long as the client
    /// goes on offering them they are not used.
    pub fn release(&mut self, now: Instant) -> Vec<Ipv6Net> {
        let name = &self.config.name;
        let held = self.reports.values().filter(|report| report.id.kind == SourceKind::Dhcpv6Pd).flat_map(|report| {
            report.offers.iter().filter(|offer| {
                offer.recipient.as_ref().is_none_or(|recipient| recipient == name) && !offer.valid_until.is_over(now)
            })
        });
        let mut released: BTreeSet<Ipv6Net> = held.map(|offer| offer.prefix).collect();
        self.released.extend(released.iter().copied());
        if let Some(current) = self.snapshot.current.take_if(|current| current.source.kind == SourceKind::Dhcpv6Pd) {
            released.insert(current.prefix);
            self.transitions.push_back(Transition::Released { prefix: current.prefix });
            history::release_current(&mut self.snapshot.history, current, &self.config.transition, now);
        }
        for prefix in history::release_draining(&mut self.snapshot.history, &released) {
            self.transitions.push_back(Transition::DrainEnded { prefix, reason: Reason::Released });
        }
        self.evaluate(now);
        released.into_iter().collect()
    }

    /// Does what is due at `now`; harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.evaluate(now);
    }

    /// The next instant at which time alone changes something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let lifetimes = self.snapshot.current.iter().flat_map(|current| [current.preferred_until, current.valid_until]);
        let drains = history::deadlines(&self.snapshot.history, &self.config.transition);
        lifetimes
            .filter_map(|deadline| deadline.instant())
            .chain(drains)
            .chain(self.damping.due_at())
            .filter(|&at| at > self.done_until)
            .min()
    }

    /// The next thing that happened, oldest first.
    #[must_use]
    pub fn poll_transition(&mut self) -> Option<Transition> {
        self.transitions.pop_front()
    }

    /// What is true now; `None`: no opinion yet.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.has_opinion.then_some(&self.snapshot)
    }

    /// The name of the DynamicPrefix.
    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether a former run knew this prefix as usable, and its source has not spoken of it yet.
    pub(super) fn is_unwatched(&self, prefix: Ipv6Net) -> bool {
        self.unwatched == Some(prefix)
    }

    /// The highest generation that was ever given.
    pub fn last_generation(&self) -> Generation {
        self.last_generation
    }

    fn evaluate(&mut self, now: Instant) {
        self.done_until = self.done_until.max(now);
        let view = View::new(&self.config, &self.reports, &self.released);
        self.tell_refused(&view);
        history::follow(&mut self.snapshot.history, &view);
        self.decide(&view, now);
        for (prefix, reason) in history::end_drains(&mut self.snapshot.history, &self.config.transition, now) {
            self.transitions.push_back(Transition::DrainEnded { prefix, reason });
        }
        history::note_deaths(&mut self.snapshot.history, &self.config.transition, now);
    }

    fn decide(&mut self, view: &View, now: Instant) {
        if let Some(current) = &mut self.snapshot.current
            && let Some(said) = view.said_by(&current.source, current.prefix)
        {
            refresh(current, said);
        }
        let standing = self.snapshot.current.as_ref().map(|current| view.standing(current, now));
        let choice = view.choose(self.snapshot.current.as_ref().zip(standing), now);
        if let Choice::Take(candidate) = choice
            && self.has_to_wait(candidate, standing, now)
        {
            return self.regain();
        }
        self.damping.cancel();
        match (choice, standing) {
            (Choice::Take(candidate), _) => self.take(candidate, now),
            (Choice::Hold, _) => self.regain(),
            (Choice::Nothing, Some(Standing::Lost(loss))) => self.lose(loss, view, now),
            (Choice::Nothing, Some(Standing::Usable | Standing::Orphaned) | None) => {}
        }
    }

    /// Whether `candidate` is a return that the usable current prefix makes wait.
    fn has_to_wait(&mut self, candidate: &Candidate, standing: Option<Standing>, now: Instant) -> bool {
        let returns = history::was_current_recently(&self.snapshot.history, candidate.prefix, now);
        returns && standing == Some(Standing::Usable) && !self.damping.admits(candidate.prefix, now)
    }

    /// Makes `candidate` current, unless it is so already.
    fn take(&mut self, candidate: &Candidate, now: Instant) {
        match &mut self.snapshot.current {
            Some(current) if current.prefix == candidate.prefix => {
                refresh(current, candidate);
                self.regain();
            }
            Some(_) | None => self.replace(candidate, now),
        }
    }

    fn replace(&mut self, candidate: &Candidate, now: Instant) {
        self.last_generation = Generation(self.last_generation.0.saturating_add(1));
        let current = Current {
            generation: self.last_generation,
            prefix: candidate.prefix,
            source: candidate.source.clone(),
            routers: candidate.routers.clone(),
            acquired_at: now,
            preferred_until: candidate.preferred_until,
            valid_until: candidate.valid_until,
            excluded: candidate.excluded.clone(),
            lost: None,
        };
        self.snapshot.history.retain(|previous| previous.prefix != current.prefix);
        let replaced = self.snapshot.current.replace(current.clone());
        let previous = replaced.as_ref().map(|replaced| replaced.prefix);
        if let Some(replaced) = replaced {
            history::retire(&mut self.snapshot.history, replaced, &self.config.transition, now);
        }
        self.has_opinion = true;
        self.transitions.push_back(Transition::Acquired { current, previous });
    }

    /// The current prefix stays, and is usable.
    fn regain(&mut self) {
        if let Some(current) = &mut self.snapshot.current
            && current.lost.take().is_some()
        {
            self.transitions.push_back(Transition::Regained { prefix: current.prefix });
        }
    }

    /// The current prefix is not usable, and there is no other.
    fn lose(&mut self, loss: Loss, view: &View, now: Instant) {
        let Some(mut current) = self.snapshot.current.take() else { return };
        let confirmed = matches!(loss, Loss::Unlisted | Loss::Dead);
        // A lifetime that ran out while nobody could hear of its renewal (a restart, a link that was down) is waited
        // with until its source has asked.
        let is_final = view.is_settled(&current.source) || view.has_ended(&current);
        let fate = match self.config.transition.on_loss {
            OnLoss::Keep => Fate::Kept,
            OnLoss::Withdraw if confirmed && is_final => Fate::Withdrawn,
            OnLoss::Withdraw => Fate::Unconfirmed,
        };
        let prefix = current.prefix;
        if current.lost.replace(loss).is_none() || fate == Fate::Withdrawn {
            self.transitions.push_back(Transition::Lost { prefix, loss, fate });
        }
        if fate == Fate::Withdrawn {
            history::withdraw(&mut self.snapshot.history, current, &self.config.transition, now);
        } else {
            self.snapshot.current = Some(current);
        }
    }

    fn tell_refused(&mut self, view: &View) {
        for (source, prefix, rejection) in view.refused() {
            if self.refused.len() < MAX_REFUSED && self.refused.insert((source.clone(), prefix)) {
                self.transitions.push_back(Transition::Refused { source: source.clone(), prefix, rejection });
            }
        }
    }
}

/// A cut means that the lifetimes have ended, whatever the source goes on to say of them.
fn end_cut_lifetimes(offer: &mut Offer, now: Instant) {
    if offer.cut.is_some() {
        offer.preferred_until = offer.preferred_until.min(Deadline::At(now));
    }
    if offer.cut == Some(Cut::Withdrawn) {
        offer.valid_until = offer.valid_until.min(Deadline::At(now));
    }
}

/// Takes over what is said now about the current prefix.
fn refresh(current: &mut Current, said: &Candidate) {
    current.source.clone_from(&said.source);
    current.routers.clone_from(&said.routers);
    current.preferred_until = said.preferred_until;
    current.valid_until = said.valid_until;
    current.excluded.clone_from(&said.excluded);
}
