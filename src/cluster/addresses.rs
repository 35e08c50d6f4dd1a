//! Whose addresses are whose in an annotation that holds a comma-separated list (design: "Ownership").
//!
//! The rules are those of [`ownership`](super::ownership), for single addresses: the record on the object decides; without
//! one, an IPv6 address inside a range of ours of a known generation is ours, but one of the current generation is
//! left *unclaimed* until it would go stale. An IPv4 address is ours only if it is recorded. Everything else (other
//! addresses, host names, what cannot be read) is the user's and stays, in place and in spelling.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::plan::Role;
use crate::prefix::Interval;
use crate::time::Instant;

/// An annotation as it stands, and what is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// Its value; `None`: it is absent.
    pub text: Option<&'a str>,
    /// What the record says is ours; `None` without a record.
    pub record: Option<&'a [IpAddr]>,
    /// Addresses found without a record inside the then current generation.
    pub unclaimed: &'a BTreeSet<Ipv6Addr>,
    /// When recorded addresses of no known generation were first seen.
    pub strays: &'a BTreeMap<Ipv6Addr, Instant>,
    /// What the Service refers to in every known generation.
    pub known: &'a [(Role, Interval)],
}

/// What should stand in the annotation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Goal<'a> {
    /// Our addresses, in order; also those of former generations that stay.
    pub want: &'a [IpAddr],
    /// The prefixes of all known generations: what lies inside one, and is not wanted, is no stray.
    pub prefixes: &'a [Interval],
    /// How long strays stay beside what is wanted; `None`: no limit by time. Zero where they must not stand beside it
    /// (MetalLB, DNS).
    pub drain_period: Option<Duration>,
    /// Strays first seen before this instant go, however short they have drained.
    pub strays_since: Option<Instant>,
    /// Whether every recorded address stays, because nobody has an opinion yet.
    pub hold: bool,
}

impl Goal<'_> {
    /// Nothing of ours is left, at once.
    pub const RELEASE: Self =
        Self { want: &[], prefixes: &[], drain_period: Some(Duration::ZERO), strays_since: None, hold: false };
}

/// Whose the addresses of an annotation are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// Ours, in order, each once.
    pub ours: Vec<IpAddr>,
    /// The addresses among the user's entries, in order.
    pub users: Vec<IpAddr>,
}

/// The annotation as it should be, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Its value; `None`: it should be absent. The same text as before unless its entries change.
    pub text: Option<String>,
    /// Our addresses in it, in order: the next record.
    pub record: Vec<IpAddr>,
    /// The user's entries, as the user spells them.
    pub foreign: Vec<String>,
    /// The next [`Standing::unclaimed`].
    pub unclaimed: BTreeSet<Ipv6Addr>,
    /// The next [`Standing::strays`]: those in the annotation as it stands, so that one that is to leave is not taken for
    /// a new one when the write fails.
    pub strays: BTreeMap<Ipv6Addr, Instant>,
    /// When the next stray has to go.
    pub next_stray: Option<Instant>,
}

/// Says whose the addresses are that stand in the annotation.
pub fn owned(standing: &Standing<'_>) -> Owned {
    let sorted = sort(standing);
    Owned { ours: ours(&sorted), users: sorted.iter().filter_map(|(_, owner)| owner.users()).collect() }
}

/// Merges our addresses into an annotation: the user's entries keep their place and spelling, ours stand together where
/// the first of them stood, else at the end. What the user wrote is not written again, nor claimed.
pub fn merge(standing: &Standing<'_>, goal: &Goal<'_>, now: Instant) -> Merged {
    let sorted = sort(standing);
    let before = ours(&sorted);
    let strays = find_strays(standing, goal, &before, now);
    let staying = before.iter().filter(|address| goal.hold || drains(**address, &strays, goal, now));
    let is_users = |address: &IpAddr| sorted.iter().any(|(_, owner)| owner.users() == Some(*address));
    let mut after: Vec<IpAddr> = Vec::new();
    for address in goal.want.iter().chain(staying).filter(|address| !is_users(address)) {
        if !after.contains(address) {
            after.push(*address);
        }
    }
    let (text, record) = match is_unchanged(&sorted, &after) {
        true => (standing.text.map(str::to_owned), before),
        false => (assemble(&sorted, &after), after),
    };
    Merged {
        text,
        record,
        next_stray: next_stray(&strays, goal.drain_period, now),
        foreign: sorted.iter().filter(|(_, owner)| !owner.is_us()).map(|(entry, _)| (*entry).to_owned()).collect(),
        unclaimed: sorted.iter().filter_map(|(_, owner)| owner.unclaimed()).collect(),
        strays,
    }
}

/// Whether two lists hold the same addresses; the order says nothing to those who read them.
pub fn is_same(some: &[IpAddr], others: &[IpAddr]) -> bool {
    some.iter().all(|address| others.contains(address)) && others.iter().all(|address| some.contains(address))
}

/// The entries of a comma-separated value, trimmed; empty ones are none.
pub fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// Reads a record of plain addresses, in any spelling. What cannot be read owns nothing.
pub fn read_record(text: &str) -> Vec<IpAddr> {
    entries(text).filter_map(|entry| entry.parse().ok()).collect()
}

/// The text of a record.
pub fn write_record(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",")
}

/// Whose an entry is.
#[derive(Clone, Copy)]
enum Owner {
    We(IpAddr),
    Unclaimed(Ipv6Addr),
    User(Option<IpAddr>),
}

impl Owner {
    const fn is_us(self) -> bool {
        matches!(self, Self::We(_))
    }

    const fn unclaimed(self) -> Option<Ipv6Addr> {
        match self {
            Self::Unclaimed(address) => Some(address),
            Self::We(_) | Self::User(_) => None,
        }
    }

    /// The address, if it is not ours.
    fn users(self) -> Option<IpAddr> {
        match self {
            Self::Unclaimed(address) => Some(IpAddr::V6(address)),
            Self::User(address) => address,
            Self::We(_) => None,
        }
    }
}

/// The annotation as it stands, entry by entry.
fn sort<'a>(standing: &Standing<'a>) -> Vec<(&'a str, Owner)> {
    let owner = |entry: &str| entry.parse().map_or(Owner::User(None), |address| owner(standing, address));
    entries(standing.text.unwrap_or_default()).map(|entry| (entry, owner(entry))).collect()
}

fn owner(standing: &Standing<'_>, address: IpAddr) -> Owner {
    if standing.record.is_some_and(|record| record.contains(&address)) {
        return Owner::We(address);
    }
    let IpAddr::V6(v6) = address else { return Owner::User(Some(address)) };
    let is_unclaimed = standing.unclaimed.contains(&v6);
    if standing.record.is_some() && !is_unclaimed {
        return Owner::User(Some(address));
    }
    let inside = |current: bool| {
        standing.known.iter().any(|(role, range)| (*role == Role::Current) == current && holds(range, v6))
    };
    match (inside(true), inside(false), is_unclaimed) {
        (true, ..) => Owner::Unclaimed(v6),
        (false, true, _) => Owner::We(address),
        // What the user wrote and we never took is not ours to judge once we know nothing about it.
        (false, false, true) => Owner::Unclaimed(v6),
        (false, false, false) => Owner::User(Some(address)),
    }
}

fn holds(range: &Interval, address: Ipv6Addr) -> bool {
    range.first() <= address && address <= range.last()
}

/// Our addresses in the annotation as it stands, each once.
fn ours(sorted: &[(&str, Owner)]) -> Vec<IpAddr> {
    let mut ours = Vec::new();
    for (_, owner) in sorted {
        if let Owner::We(address) = owner
            && !ours.contains(address)
        {
            ours.push(*address);
        }
    }
    ours
}

/// Our IPv6 addresses that nobody wants and that lie in no generation we know.
fn find_strays(standing: &Standing<'_>, goal: &Goal<'_>, ours: &[IpAddr], now: Instant) -> BTreeMap<Ipv6Addr, Instant> {
    if goal.hold {
        return standing.strays.clone();
    }
    let is_known = |address: Ipv6Addr| {
        let known = standing.known.iter().map(|(_, range)| range);
        known.chain(goal.prefixes).any(|range| holds(range, address))
    };
    let mut strays = BTreeMap::new();
    for address in ours.iter().filter(|address| !goal.want.contains(address)) {
        let IpAddr::V6(v6) = address else { continue };
        let seen = standing.strays.get(v6).copied();
        if seen.is_some() || !is_known(*v6) {
            strays.insert(*v6, seen.unwrap_or(now));
        }
    }
    strays
}

/// Whether an address is a stray whose time is not over.
fn drains(address: IpAddr, strays: &BTreeMap<Ipv6Addr, Instant>, goal: &Goal<'_>, now: Instant) -> bool {
    let IpAddr::V6(address) = address else { return false };
    strays.get(&address).is_some_and(|seen| {
        goal.drain_period.is_none_or(|period| !period.is_zero() && now < *seen + period)
            && goal.strays_since.is_none_or(|since| *seen >= since)
    })
}

fn next_stray(strays: &BTreeMap<Ipv6Addr, Instant>, drain_period: Option<Duration>, now: Instant) -> Option<Instant> {
    let period = drain_period?;
    strays.values().map(|seen| *seen + period).filter(|end| *end > now).min()
}

/// Whether the annotation holds these of ours already, each once. Another order alone is no reason for a write.
fn is_unchanged(sorted: &[(&str, Owner)], ours: &[IpAddr]) -> bool {
    let places = sorted.iter().filter(|(_, owner)| owner.is_us()).count();
    places == ours.len() && is_same(&self::ours(sorted), ours)
}

/// The new value; absent rather than blank. An address of ours that stands already keeps its spelling.
fn assemble(sorted: &[(&str, Owner)], ours: &[IpAddr]) -> Option<String> {
    let spelled = |address: &IpAddr| {
        let standing = sorted.iter().find(|(_, owner)| matches!(owner, Owner::We(ours) if ours == address));
        standing.map_or_else(|| address.to_string(), |(entry, _)| (*entry).to_owned())
    };
    let before = sorted.iter().position(|(_, owner)| owner.is_us()).unwrap_or(sorted.len());
    let (head, tail) = sorted.split_at(before);
    let users = |part: &[(&str, Owner)]| {
        part.iter().filter(|(_, owner)| !owner.is_us()).map(|(entry, _)| (*entry).to_owned()).collect::<Vec<_>>()
    };
    let all: Vec<String> = users(head).into_iter().chain(ours.iter().map(spelled)).chain(users(tail)).collect();
    (!all.is_empty()).then(|| all.join(","))
}

#[cfg(test)]
mod tests;
