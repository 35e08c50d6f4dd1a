//! The limit of what a client may send (RFC 9915 §14.1): whatever servers do to it, no more than this.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Instant;

/// How many messages may be sent in [`PERIOD`].
const TOKENS: usize = 20;

/// In no time as long as this are more than [`TOKENS`] messages sent.
const PERIOD: Duration = Duration::from_secs(20);

/// Tokens; each one comes back [`PERIOD`] after it was taken. A bucket that is filled at a steady rate would let pass
/// nearly twice as much in its first period.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    taken: VecDeque<Instant>,
}

impl Bucket {
    /// When the next message may be sent: `now`, or later.
    pub(super) fn ready_at(&self, now: Instant) -> Instant {
        let oldest = self.taken.front().filter(|_| self.taken.len() >= TOKENS);
        oldest.map_or(now, |oldest| now.max(*oldest + PERIOD))
    }

    /// A message is sent.
    pub(super) fn take(&mut self, now: Instant) {
        if self.taken.len() >= TOKENS {
            self.taken.pop_front();
        }
        self.taken.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_in_any_twenty_seconds() {
        let start = Instant::from_secs(1000);
        let mut bucket = Bucket::default();
        let mut sent = Vec::new();
        let mut now = start;
        while now < start + Duration::from_secs(100) {
            now = bucket.ready_at(now);
            bucket.take(now);
            sent.push(now);
            now = now + Duration::from_millis(30);
        }
        assert!(sent.len() >= 100, "five times twenty: {}", sent.len());
        for first in &sent {
            let window = sent.iter().filter(|at| *at >= first && **at < *first + PERIOD).count();
            assert!(window <= TOKENS, "{window} from {first:?}");
        }
    }

    #[test]
    fn a_full_bucket_lets_pass_at_once() {
        let start = Instant::from_secs(5);
        let mut bucket = Bucket::default();
        for _ in 0..TOKENS {
            assert_eq!(bucket.ready_at(start), start);
            bucket.take(start);
        }
        assert_eq!(bucket.ready_at(start), start + PERIOD);
        assert_eq!(bucket.ready_at(start + PERIOD), start + PERIOD);
    }
}
