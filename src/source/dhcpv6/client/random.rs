//! The client's random numbers, from a seed that it is given.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::source::dhcpv6::wire::TransactionId;

/// A cryptographic generator: nobody who sees a transaction-id can tell the next one (RFC 9915 §16.1).
#[derive(Debug)]
pub(super) struct Random(ChaCha20Rng);

impl Random {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    pub(super) fn transaction_id(&mut self) -> TransactionId {
        let [id @ .., _] = self.0.next_u32().to_be_bytes();
        id
    }

    /// The delay before the first message of an exchange that many hosts may begin at once: 0 to 1 s.
    pub(super) fn delay(&mut self) -> Duration {
        Duration::from_secs(1).mul_f64(self.unit())
    }

    /// `time · (factor + RAND)`, RAND uniform in [-0.1, 0.1] (RFC 9915 §15).
    pub(super) fn around(&mut self, time: Duration, factor: f64) -> Duration {
        time.mul_f64(factor + 0.2f64.mul_add(self.unit(), -0.1))
    }

    /// `time · (1 + RAND)`, RAND strictly greater than 0 (RFC 9915 §18.2.1, the first Solicit).
    pub(super) fn above(&mut self, time: Duration) -> Duration {
        time.mul_f64(0.1f64.mul_add(self.unit().max(0.000_001), 1.0))
    }

    /// Uniform in [0, 1].
    fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / f64::from(u32::MAX)
    }
}
