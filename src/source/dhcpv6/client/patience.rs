//! How long a client asks before it counts as asking in vain.

use std::time::Duration;

use crate::time::Instant;

/// For a DynamicPrefix that no lease is remembered for.
const FIRST: Duration = Duration::from_secs(60);

/// For one whose lease was stored: the server is known to have been there.
const AFTER_RESTART: Duration = Duration::from_secs(10);

/// For a link that nothing can be sent on: as a rule it comes back at once, or not for hours.
const DISABLED: Duration = Duration::from_secs(60);

/// A stopwatch that runs only while it is possible to ask, and another one for the time when it is not.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    spent: Duration,
    since: Option<Instant>,
    over: bool,
    disabled_since: Option<Instant>,
    disabled: bool,
}

impl Patience {
    pub(super) fn new() -> Self {
        let (since, disabled_since) = (None, None);
        Self { limit: FIRST, spent: Duration::ZERO, since, over: false, disabled_since, disabled: false }
    }

    pub(super) fn after_restart() -> Self {
        Self { limit: AFTER_RESTART, ..Self::new() }
    }

    /// Whether it was asked in vain for long enough, or has been impossible to ask for long.
    pub(super) fn is_over(&self) -> bool {
        self.over || self.disabled
    }

    /// When it will be over, if nothing happens.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let spent = self.since.map(|since| since + self.limit.saturating_sub(self.spent));
        spent.or_else(|| Some(self.disabled_since? + DISABLED))
    }

    /// It is being asked.
    pub(super) fn run(&mut self, now: Instant) {
        (self.disabled_since, self.disabled) = (None, false);
        self.since.get_or_insert(now);
        self.over |= self.ends_at().is_some_and(|end| end <= now);
    }

    /// It cannot be asked.
    pub(super) fn pause(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.spent = self.spent.saturating_add(now.saturating_since(since));
            self.over |= self.spent >= self.limit;
        }
        let since = *self.disabled_since.get_or_insert(now);
        self.disabled = now.saturating_since(since) >= DISABLED;
    }

    /// Nothing is missing.
    pub(super) fn reset(&mut self) {
        (self.spent, self.since, self.over) = (Duration::ZERO, None, false);
        (self.disabled_since, self.disabled) = (None, false);
    }

    /// There is nobody to ask.
    pub(super) fn give_up(&mut self) {
        self.over = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Instant {
        Instant::from_secs(seconds)
    }

    #[test]
    fn sixty_seconds_of_asking() {
        let mut patience = Patience::new();
        patience.run(at(100));
        assert_eq!(patience.ends_at(), Some(at(160)));
        patience.run(at(159));
        assert!(!patience.is_over());
        patience.run(at(160));
        assert!(patience.is_over());
        assert_eq!(patience.ends_at(), None);
        patience.reset();
        assert!(!patience.is_over());
    }

    #[test]
    fn a_link_that_is_down_does_not_count() {
        let mut patience = Patience::after_restart();
        patience.run(at(100));
        patience.pause(at(104));
        assert!(!patience.is_over());
        patience.run(at(500));
        assert_eq!(patience.ends_at(), Some(at(506)));
    }
}
