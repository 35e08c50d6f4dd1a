//! Which rotations there are, in which order, and at which moment the daemon is killed.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// Where the prefix goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// To one that was never there.
    Next,
    /// Back to the one before, unless that is dead.
    Back,
}

/// What becomes of the former ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They are deprecated, and valid for a while.
    Gracious,
    /// All of them are dead.
    Dead,
}

/// One rotation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) to: To,
    pub(crate) fate: Fate,
    /// The next one follows at once, whatever the Services have come to.
    pub(crate) hurry: bool,
    /// The daemon is killed while it goes on.
    pub(crate) kill: bool,
}

const fn step(to: To, fate: Fate, hurry: bool) -> Step {
    Step { to, fate, hurry, kill: false }
}

/// A→B, A→B→A, A→B→C inside the drain, with gracious and dead former prefixes.
const ORDER: [Step; 10] = [
    step(To::Next, Fate::Gracious, false),
    step(To::Next, Fate::Dead, false),
    step(To::Next, Fate::Gracious, true),
    step(To::Back, Fate::Gracious, false),
    step(To::Next, Fate::Gracious, true),
    step(To::Next, Fate::Gracious, false),
    step(To::Next, Fate::Dead, false),
    step(To::Next, Fate::Gracious, false),
    step(To::Back, Fate::Dead, false),
    step(To::Next, Fate::Dead, true),
];

/// The same in few, for programs of others that are slow to start.
pub(crate) const SHORT: [Step; 5] = [
    step(To::Next, Fate::Gracious, false),
    Step { kill: true, ..step(To::Back, Fate::Gracious, false) },
    step(To::Next, Fate::Gracious, true),
    step(To::Next, Fate::Gracious, false),
    step(To::Next, Fate::Dead, false),
];

/// So many rotations. The daemon is killed in a third of them, each time at another place of the order. The last one
/// is waited for.
pub(crate) fn steps(count: usize) -> Vec<Step> {
    let numbered = ORDER.iter().cycle().take(count).enumerate();
    let step =
        |(index, step): (usize, &Step)| Step { kill: index % 3 == 1, hurry: step.hurry && index + 1 < count, ..*step };
    numbered.map(step).collect()
}

/// A small generator of numbers (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// That of the environment (`DYN_PREFIX_SEED`), which repeats a run, or another one each time.
    pub(crate) fn seeded() -> Result<Self> {
        if let Ok(text) = std::env::var("DYN_PREFIX_SEED") {
            return Ok(Self(text.parse().with_context(|| format!("DYN_PREFIX_SEED={text}"))?));
        }
        Ok(Self(std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH)?.as_secs()))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Up to so many milliseconds.
    pub(crate) fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.next() % most)
    }
}
