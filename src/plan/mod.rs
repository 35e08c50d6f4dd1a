//! What every target should hold: pure functions from configuration and snapshots.
//!
//! [`Catalogue`] computes every range and subnet of every DynamicPrefix for each known generation; [`object()`] puts
//! together what one object should hold from its bindings and its annotations. The same functions serve the daemon,
//! `dyn-prefix plan` and `status`, so they can never disagree.

use std::collections::BTreeMap;

use ipnet::Ipv6Net;

use crate::config::{Mode, ServiceScope};
use crate::prefix::Interval;
use crate::time::Instant;

pub mod annotation;
mod blocks;
mod catalogue;
mod object;
mod overlap;
pub mod range;
pub mod service;
pub mod subnet;
#[cfg(test)]
mod tests;

pub use blocks::blocks;
pub use object::{object, parts};
pub use overlap::overlaps;
pub use service::{ServiceWant, collisions, service, service_of_all};

/// One piece of address space on its way into a list: a subnet keeps its CIDR form, a range its two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Block {
    /// A subnet.
    Cidr(Ipv6Net),
    /// A range that came as start and end.
    Range(Interval),
}

impl Block {
    /// The addresses in it.
    pub fn interval(&self) -> Interval {
        match self {
            Self::Cidr(net) => Interval::from(*net),
            Self::Range(interval) => *interval,
        }
    }
}

impl std::fmt::Display for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cidr(net) => net.fmt(f),
            Self::Range(interval) => interval.fmt(f),
        }
    }
}

/// The CIDRs that hold exactly the addresses of `blocks`, in their order.
pub fn cidrs(blocks: &[Block]) -> Vec<String> {
    let nets = blocks.iter().flat_map(|block| match block {
        Block::Cidr(net) => vec![*net],
        Block::Range(interval) => interval.to_nets(),
    });
    nets.map(|net| net.to_string()).collect()
}

/// What a generation is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The prefix in use.
    Current,
    /// A former one whose ranges are still in the targets.
    Draining,
    /// A former one, only known so that its leftovers are recognised.
    Known,
}

/// A range, subnet or whole prefix that cannot be computed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryError {
    /// `addressRanges[NAME]`, `subnets[NAME]` or `whole`; `suffix` for the host part of a Service.
    pub entry: String,
    /// A full sentence.
    pub message: String,
}

/// Everything of one DynamicPrefix in one of its generations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComputedGeneration {
    /// The prefix.
    pub prefix: Ipv6Net,
    /// What it is used for.
    pub role: Role,
    /// Whether its end has nothing to wait for: its addresses reach nobody any more.
    pub dead: bool,
    /// Every range and subnet by name, in file order within each block list; excluded parts are cut out.
    pub parts: BTreeMap<String, Result<Vec<Block>, EntryError>>,
    /// The whole prefix without its excluded parts.
    pub whole: Vec<Block>,
}

/// One DynamicPrefix, computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computed {
    /// Whether there is an opinion at all; without one its targets are left as they are.
    pub has_opinion: bool,
    /// Current first (if there is one), then draining, newest first, then known.
    pub generations: Vec<ComputedGeneration>,
    /// How long a recorded entry of no known generation drains; `None`: no limit by time.
    pub drain_period: Option<std::time::Duration>,
    /// A recorded entry of no known generation that was first seen before this instant is older than as many former
    /// prefixes as may drain, so it goes; `None`: there have not been so many.
    pub strays_since: Option<Instant>,
    /// `transition.mode`
    pub mode: Mode,
    /// `transition.services`
    pub services: ServiceScope,
}

/// Every DynamicPrefix, computed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// By name.
    pub dynamic_prefixes: BTreeMap<String, Computed>,
}

/// What one binding (or the annotations of the object) wants on an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contribution {
    /// These blocks, current generation first; possibly none (`onLoss = "withdraw"`).
    Blocks(Vec<Block>),
    /// No opinion yet: what it contributed last stays.
    NoOpinion,
    /// It cannot be computed: what it contributed last stays, and this is why.
    Error(EntryError),
}

/// What one object should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectWant {
    /// Who wants what: binding names, or [`ANNOTATION`] for the object's own annotations.
    pub contributions: Vec<(String, Contribution)>,
    /// Whether foreign entries go (`updateStrategy = Replace`).
    pub replace: bool,
    /// The same by generation, for what is decided beyond ranges (pools in a transition): current first, then newest
    /// first, as each contribution has them.
    pub shares: Vec<Share>,
    /// What these bindings compute for every generation known, with its role, current first, then newest first: an
    /// unrecorded entry equal to or inside one of them is ours.
    pub known: Vec<(Role, Interval)>,
    /// How long recorded entries of no known generation drain.
    pub drain_period: Option<std::time::Duration>,
    /// Those first seen before this instant go: as many former prefixes as may drain are newer.
    pub strays_since: Option<Instant>,
    /// What is wrong or odd, for the status of the object (binding and annotation differ, Replace beside Append, a
    /// pool without a range): full sentences with a reason word. One with `blocks_write` keeps the object as it is.
    pub findings: Vec<Finding>,
}

/// What one contribution has in one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its place in [`ObjectWant::contributions`].
    pub contribution: usize,
    /// The DynamicPrefix.
    pub dynamic_prefix: String,
    /// The prefix of the generation.
    pub prefix: Ipv6Net,
    /// What the generation is used for.
    pub role: Role,
    /// Whether its addresses reach nobody any more.
    pub dead: bool,
    /// `transition.mode` of the DynamicPrefix.
    pub mode: Mode,
    /// The blocks.
    pub blocks: Vec<Block>,
}

/// The name under which the annotations of an object contribute.
pub const ANNOTATION: &str = "(annotation)";

/// Something to say about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A CamelCase word, stable: it is the `reason` in status.
    pub reason: &'static str,
    /// A full sentence for the user.
    pub message: String,
    /// Whether the object must not be written because of it.
    pub blocks_write: bool,
}
