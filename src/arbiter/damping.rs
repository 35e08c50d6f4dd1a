//! Flap damping: a prefix that comes and goes must not take the targets along each time.
//!
//! Only the way *back* to a prefix that was current a short while ago waits, and only while the present one serves;
//! an unusable prefix is replaced at once.

use std::collections::VecDeque;
use std::time::Duration;

use ipnet::Ipv6Net;

use crate::time::Instant;

/// How long a prefix that ceased to be current is "recently" so, and how long a return counts towards the delay.
pub(super) const MEMORY: Duration = Duration::from_secs(10 * 60);

/// The delay of the first return; each further one within [`MEMORY`] doubles it.
const FIRST_DELAY: Duration = Duration::from_secs(5);

/// No return waits longer.
const MAX_DELAY: Duration = Duration::from_secs(5 * 60);

/// Delays returns: 5, 10, 20 … s.
#[derive(Clone, Debug, Default)]
pub(super) struct Damping {
    /// When the returns of the last ten minutes took place.
    returns: VecDeque<Instant>,
    /// The prefix that waits to return, and when it may.
    waiting: Option<(Ipv6Net, Instant)>,
}

impl Damping {
    /// Whether the return to `prefix` may take place now; if not, it is due at [`Self::due_at`].
    pub(super) fn admits(&mut self, prefix: Ipv6Net, now: Instant) -> bool {
        let due_at = match self.waiting {
            Some((waiting, due_at)) if waiting == prefix => due_at,
            Some(_) | None => now + self.delay(now),
        };
        if due_at > now {
            self.waiting = Some((prefix, due_at));
            return false;
        }
        self.waiting = None;
        self.returns.push_back(now);
        true
    }

    /// Forgets a return that waits: the prefix it was for is not wanted any more, or is current already.
    pub(super) fn cancel(&mut self) {
        self.waiting = None;
    }

    /// When the waiting return may take place.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.waiting.map(|(_, due_at)| due_at)
    }

    fn delay(&mut self, now: Instant) -> Duration {
        self.returns.retain(|&at| now.saturating_since(at) < MEMORY);
        let doublings = u32::try_from(self.returns.len()).unwrap_or(u32::MAX);
        FIRST_DELAY.saturating_mul(2_u32.saturating_pow(doublings)).min(MAX_DELAY)
    }
}
