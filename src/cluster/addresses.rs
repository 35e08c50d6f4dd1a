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
    /// The next [`Standing::strays`].
    pub strays: BTreeMap<Ipv6Addr, Instant>,
    /// When the next stray has to go.
    pub next_stray: Option<Instant>,
}

/// Says whose the addresses are that stand in the annotation.
pub fn owned(standing: &Standing<'_>) -> Owned {
    let _ = standing;
    Owned::default()
}

/// Merges our addresses into an annotation: the user's entries keep their place and spelling, ours stand together where
/// the first of them stood, else at the end.
pub fn merge(standing: &Standing<'_>, goal: &Goal<'_>, now: Instant) -> Merged {
    let _ = (standing, goal, now);
    Merged {
        text: None,
        record: Vec::new(),
        foreign: Vec::new(),
        unclaimed: BTreeSet::new(),
        strays: BTreeMap::new(),
        next_stray: None,
    }
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
