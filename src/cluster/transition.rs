//! How Services and pools move from one prefix to the next without a gap (design: "Transition").
//!
//! Everything here is a function of what the cluster shows, so a crash or a restart in any step goes on from there.
//! [`carrier`] says what one managed Service should ask for and what DNS should name for it, [`share`] what a pool
//! should hold of each generation. Between them the order of mode ha comes about, each step when the one before is
//! seen done:
//!
//! 1. The pool gets, of the new range, only the addresses that the managed Services will hold: else the allocator,
//!    lowest first, gives them to others. The old range stays as it is.
//! 2. The Services ask for their new and their old address.
//! 3. The new address is in the Service's status.
//! 4. The DNS target names the new address.
//! 5. The pool gets the new range in full; of the old one the addresses in use stay.
//! 6. The old prefix drains, and at least [`AFTER_DNS`] passes, for what resolvers still remember.
//! 7. The Services ask for the new address only: not before step 5 is seen, for what they give up would go to the next
//!    Service.
//! 8. The pool loses what is left of the old range.
//!
//! A dead prefix ends the waiting of step 6, never the order. MetalLB gives a Service one IPv6 address, so step 2 moves
//! it; there is no gap in that order either (seen on MetalLB 0.16).

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::plan::{ComputedGeneration, Role};
use crate::time::Instant;

pub mod carrier;
pub mod share;

/// How long the old address stays after DNS names the new one.
pub const AFTER_DNS: Duration = Duration::from_secs(120);

/// How long a step may take before it is reported as hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long a Service of MetalLB may ask for an address that is offered, and hold nothing, before that counts as refused.
pub const NOTHING_HELD: Duration = Duration::from_secs(5);

/// How long a range stays for a Service after that was left to its allocator, which cannot be seen: if the allocator
/// heard of the range first, it would take the address from a Service that seems to insist on it.
pub const LEFT_ALONE: Duration = Duration::from_secs(5);

/// How long an address that nobody has any more may stay in a narrowed range: it would go to the next Service. Services
/// that leave one after the other cost one write.
pub const FREED: Duration = Duration::from_secs(1);

/// Who gives a Service its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Allocator {
    /// LB-IPAM: any number of addresses, each on its own.
    Cilium,
    /// One address of each family, all of one pool.
    MetalLb,
}

/// What is known of the generation that an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Age {
    /// What the generation is used for.
    pub role: Role,
    /// Whether its end has nothing to wait for.
    pub dead: bool,
}

/// The age of `address`; `None`: it lies in no generation of these.
pub fn age(generations: &[ComputedGeneration], address: Ipv6Addr) -> Option<Age> {
    let generation = generations.iter().find(|generation| generation.prefix.contains(&address))?;
    Some(Age { role: generation.role, dead: generation.dead })
}

/// Where one managed Service is on its way to its address in the current prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// It has no host part yet: the allocator gives it its first address, and it keeps the host part of that.
    Unplaced,
    /// No pool offers the new address, or its controller has not seen that it does.
    AwaitingPool,
    /// It is to ask for the new address.
    AwaitingPin,
    /// It asks for the new address and does not have it yet.
    AwaitingAddress,
    /// The allocator will not give it the new address.
    Refused,
    /// It has the new address; DNS is to name it.
    AwaitingTarget,
    /// It has the new address, and DNS names it, or is not ours to say.
    Served,
}

impl Stage {
    /// Whether a pool that offers its whole range cannot cost the Service its new address any more.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Refused | Self::Served | Self::Unplaced)
    }
}

/// Whether a step that began at `since` hangs.
pub fn hangs(since: Instant, now: Instant) -> bool {
    now.saturating_since(since) >= PATIENCE
}

#[cfg(test)]
mod tests;
