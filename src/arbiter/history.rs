//! The prefixes that were current: how long they drain, and how long they are remembered.

use std::collections::BTreeSet;

use ipnet::Ipv6Net;

use super::damping::MEMORY;
use super::selection::View;
use super::{Current, Previous, PreviousState, Reason};
use crate::config::Transition as Settings;
use crate::source::SourceKind;
use crate::time::{Deadline, Instant};

/// How many prefixes are remembered after they have left the targets.
const MAX_EXPIRED: usize = 16;

/// Puts `current`, which another prefix replaces, at the head of the history.
pub(super) fn retire(history: &mut Vec<Previous>, current: Current, settings: &Settings, now: Instant) {
    history.insert(0, previous(current, settings, now, PreviousState::Draining, Reason::Replaced));
}

/// Puts `current`, which leaves the targets without a successor, at the head of the history.
pub(super) fn withdraw(history: &mut Vec<Previous>, current: Current, settings: &Settings, now: Instant) {
    history.insert(0, previous(current, settings, now, PreviousState::Expired, Reason::Dead));
    forget_oldest(history);
}

/// Puts `current`, which is given back to the DHCPv6 server, at the head of the history.
pub(super) fn release_current(history: &mut Vec<Previous>, current: Current, settings: &Settings, now: Instant) {
    history.insert(0, previous(current, settings, now, PreviousState::Expired, Reason::Released));
    forget_oldest(history);
}

/// Ends the drains of the prefixes that are given back with the current one, and returns them newest first. Those that
/// had left the targets before are dead from now on.
pub(super) fn release_draining(history: &mut [Previous], released: &BTreeSet<Ipv6Net>) -> Vec<Ipv6Net> {
    let mut ended = Vec::new();
    let is_released = |p: &&mut Previous| p.source.kind == SourceKind::Dhcpv6Pd && released.contains(&p.prefix);
    for previous in history.iter_mut().filter(is_released) {
        if previous.state == PreviousState::Draining {
            previous.state = PreviousState::Expired;
            previous.reason = Reason::Released;
            ended.push(previous.prefix);
        } else if previous.outlives_its_drain() {
            previous.died_later = true;
        }
    }
    ended
}

fn previous(current: Current, settings: &Settings, now: Instant, state: PreviousState, reason: Reason) -> Previous {
    Previous {
        generation: current.generation,
        prefix: current.prefix,
        source: current.source,
        routers: current.routers,
        acquired_at: current.acquired_at,
        deprecated_at: now,
        valid_until: current.valid_until,
        drain_ends_at: drain_end(settings, now),
        excluded: current.excluded,
        state,
        reason,
        died_later: false,
    }
}

/// Whether `prefix` ceased to be current a short while ago.
pub(super) fn was_current_recently(history: &[Previous], prefix: Ipv6Net, now: Instant) -> bool {
    history.iter().any(|p| p.prefix == prefix && now.saturating_since(p.deprecated_at) < MEMORY)
}

/// Takes over what its source says now about the valid lifetime of each former prefix that lives.
pub(super) fn follow(history: &mut [Previous], view: &View) {
    for previous in history.iter_mut().filter(|previous| !previous.is_dead()) {
        if let Some(said) = view.said_by(&previous.source, previous.prefix) {
            previous.valid_until = said.valid_until;
            previous.routers.clone_from(&said.routers);
        }
    }
}

/// Computes the end of every drain anew, for other settings.
pub(super) fn reschedule(history: &mut [Previous], settings: &Settings) {
    for previous in history.iter_mut().filter(|p| p.state == PreviousState::Draining) {
        previous.drain_ends_at = drain_end(settings, previous.deprecated_at);
    }
}

fn drain_end(settings: &Settings, deprecated_at: Instant) -> Deadline {
    settings.drain_period.map_or(Deadline::Never, |period| Deadline::At(deprecated_at + period))
}

/// Ends the drains that are over, and returns them newest first.
pub(super) fn end_drains(history: &mut Vec<Previous>, settings: &Settings, now: Instant) -> Vec<(Ipv6Net, Reason)> {
    let mut draining = 0;
    let mut ended = Vec::new();
    for previous in history.iter_mut().filter(|p| p.state == PreviousState::Draining) {
        match why_over(previous, settings, draining, now) {
            None => draining += 1,
            Some(reason) => {
                previous.state = PreviousState::Expired;
                previous.reason = reason;
                ended.push((previous.prefix, reason));
            }
        }
    }
    forget_oldest(history);
    ended
}

/// `newer`: how many newer previous prefixes drain.
fn why_over(previous: &Previous, settings: &Settings, newer: usize, now: Instant) -> Option<Reason> {
    if !settings.keep_dead && previous.valid_until.is_over(now) {
        return Some(Reason::Dead);
    }
    if previous.drain_ends_at.is_over(now) {
        return Some(Reason::DrainPeriodOver);
    }
    (newer >= settings.max_prefix_history).then_some(Reason::TooMany)
}

/// Notes which of the prefixes that have left the targets by time or number have died since. A drain period written in
/// the file holds for the dead, too: they were there as if they lived, and are told as if they did.
pub(super) fn note_deaths(history: &mut [Previous], settings: &Settings, now: Instant) {
    for previous in history.iter_mut().filter(|previous| previous.outlives_its_drain()) {
        previous.died_later = !settings.keep_dead && previous.valid_until.is_over(now);
    }
}

fn forget_oldest(history: &mut Vec<Previous>) {
    let mut expired = 0;
    history.retain(|previous| {
        expired += usize::from(previous.state == PreviousState::Expired);
        previous.state == PreviousState::Draining || expired <= MAX_EXPIRED
    });
}

/// The instants at which a drain ends, or a prefix dies that has left the targets.
pub(super) fn deadlines(history: &[Previous], settings: &Settings) -> impl Iterator<Item = Instant> {
    let keep_dead = settings.keep_dead;
    history.iter().filter(|previous| !previous.is_dead()).flat_map(move |previous| {
        let death = previous.valid_until.instant().filter(|_| !keep_dead);
        let end = previous.drain_ends_at.instant().filter(|_| previous.state == PreviousState::Draining);
        end.into_iter().chain(death)
    })
}
