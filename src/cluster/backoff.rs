//! Growing pauses between attempts.

use std::time::Duration;

use super::timeouts::Timeouts;

/// Doubles from `Timeouts::backoff` to `Timeouts::backoff_max`; each pause is between half and all of that, so that
/// the watches of many daemons do not come back to a restarted server at the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
    random: u64,
}

impl Backoff {
    /// No pause made yet. The same seed makes the same pauses.
    pub const fn new(timeouts: &Timeouts, seed: u64) -> Self {
        Self { first: timeouts.backoff, max: timeouts.backoff_max, attempts: 0, random: seed }
    }

    /// The pause before the next attempt.
    pub fn next_pause(&mut self) -> Duration {
        let doublings = self.attempts.min(30);
        self.attempts = self.attempts.saturating_add(1);
        let pause = self.first.saturating_mul(1 << doublings).min(self.max);
        let half = pause / 2;
        half + half.mul_f64(self.fraction())
    }

    /// It worked: the next pause is a short one again.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }

    /// splitmix64, of which the upper 53 bits make a number from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_grow_to_the_limit_and_stay_there(seed: u64) {
            let mut backoff = Backoff::new(&Timeouts::default(), seed);
            for expected in [1, 2, 4, 8, 16, 30, 30, 30] {
                let pause = backoff.next_pause();
                prop_assert!(pause >= Duration::from_millis(expected * 500), "{pause:?} of {expected} s");
                prop_assert!(pause <= Duration::from_secs(expected), "{pause:?} of {expected} s");
            }
            backoff.reset();
            prop_assert!(backoff.next_pause() <= Duration::from_secs(1));
        }
    }

    #[test]
    fn pauses_differ_between_seeds() {
        let pause = |seed| Backoff::new(&Timeouts::default(), seed).next_pause();
        assert_ne!(pause(1), pause(2));
    }
}
