//! What a story has done, for whoever reads that it went well.

use std::fmt;

use crate::steps::{Fate, Step, To};

/// How many of each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// To a prefix that was never there, without a former one that drains.
    onwards: usize,
    /// The same, with one that does.
    within_drain: usize,
    /// Back to the one before.
    back: usize,
    gracious: usize,
    dead: usize,
    /// The next rotation followed at once.
    hurried: usize,
    pub(crate) second: usize,
    pub(crate) kills: usize,
    pub(crate) created: usize,
    pub(crate) edited: usize,
    pub(crate) deleted: usize,
}

impl Tally {
    /// A rotation, which really went back or not.
    pub(crate) fn rotation(&mut self, step: Step, to: To, drains: bool, fate: Fate) {
        let way = match (to, drains) {
            (To::Back, _) => &mut self.back,
            (To::Next, true) => &mut self.within_drain,
            (To::Next, false) => &mut self.onwards,
        };
        *way += 1;
        *(if fate == Fate::Dead { &mut self.dead } else { &mut self.gracious }) += 1;
        self.hurried += usize::from(step.hurry);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { onwards, within_drain, back, gracious, dead, hurried, second, kills, created, edited, deleted } =
            self;
        write!(
            f,
            "A→B {onwards}, A→B→C inside the drain {within_drain}, A→B→A {back}; old prefix gracious {gracious}, dead {dead}; \
             {hurried} of them not waited for, {second} of the second prefix; the daemon killed {kills} times; Services created \
             {created}, edited {edited}, deleted {deleted}"
        )
    }
}
