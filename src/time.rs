//! Time as the deciders know it: points on CLOCK_BOOTTIME, handed in as arguments.
//!
//! Nothing here reads a clock; [`crate::clock`] is the only module that does. An [`Instant`] may lie before the
//! boot of the machine (a prefix that a former run acquired), so it is signed.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A point in time, in nanoseconds since the machine booted (CLOCK_BOOTTIME: it goes on during suspend).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

impl Instant {
    /// The moment the machine booted.
    pub const BOOT: Self = Self(0);

    /// The instant `nanoseconds` after boot; negative values lie before it.
    pub const fn from_nanos(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// The instant `seconds` after boot.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this instant is; zero when it is not after it.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0)).map_or(Duration::ZERO, Duration::from_nanos)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of representable time, 292 years after boot.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at the beginning of representable time.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "debug output, microseconds are enough")]
        let seconds = self.0 as f64 / 1e9;
        write!(f, "{seconds:.6}s")
    }
}

/// The end of a lifetime, or none. `Never` sorts after every `At`, so the maximum of two is the longer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deadline {
    /// It ends at this instant (and is over at the instant itself).
    At(Instant),
    /// It does not end.
    Never,
}

impl Deadline {
    /// The lifetime value that means infinity (RFC 4861 §4.6.2, RFC 9915 §7.7).
    pub const INFINITY: u32 = u32::MAX;

    /// The end of a lifetime of `seconds` that starts `now`; 0xffffffff never ends.
    pub fn after(now: Instant, seconds: u32) -> Self {
        if seconds == Self::INFINITY { Self::Never } else { Self::At(now + Duration::from_secs(u64::from(seconds))) }
    }

    /// Whether it is over at `now`.
    pub fn is_over(self, now: Instant) -> bool {
        match self {
            Self::At(end) => end <= now,
            Self::Never => false,
        }
    }

    /// The instant it ends at, if it ends.
    pub fn instant(self) -> Option<Instant> {
        match self {
            Self::At(end) => Some(end),
            Self::Never => None,
        }
    }

    /// What is left of it at `now`; `None` when it never ends, zero when it is over.
    pub fn remaining(self, now: Instant) -> Option<Duration> {
        self.instant().map(|end| end.saturating_since(now))
    }
}

/// Ties [`Instant`]s to the wall clock. Taken anew for every use: the wall clock may jump, instants do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    now: Instant,
    wall: Timestamp,
}

impl Epoch {
    /// Both clocks, read at the same moment.
    pub const fn new(now: Instant, wall: Timestamp) -> Self {
        Self { now, wall }
    }

    /// The instant at which this was taken.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The wall clock at [`Epoch::now`].
    pub const fn wall_now(&self) -> Timestamp {
        self.wall
    }

    /// The wall-clock time of `instant`, to the second; saturates at the ends of the calendar.
    pub fn wall(&self, instant: Instant) -> Timestamp {
        let offset = SignedDuration::from_nanos(instant.0.saturating_sub(self.now.0));
        let exact = self.wall.saturating_add(offset).unwrap_or(Timestamp::MAX);
        exact.round(jiff::Unit::Second).unwrap_or(exact)
    }

    /// The instant of a wall-clock time.
    pub fn instant(&self, wall: Timestamp) -> Instant {
        let nanos = wall.duration_since(self.wall).as_nanos();
        Instant(self.now.0.saturating_add(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_over_at_its_end() {
        let now = Instant::from_secs(100);
        let deadline = Deadline::after(now, 20);
        assert!(!deadline.is_over(now + Duration::from_millis(19_999)));
        assert!(deadline.is_over(now + Duration::from_secs(20)));
        assert_eq!(deadline.remaining(now), Some(Duration::from_secs(20)));
        assert!(Deadline::after(now, 0).is_over(now));
    }

    #[test]
    fn infinity_outlasts_every_lifetime() {
        let now = Instant::from_secs(1);
        assert_eq!(Deadline::after(now, u32::MAX), Deadline::Never);
        assert!(Deadline::Never > Deadline::after(now, u32::MAX - 1));
        assert!(!Deadline::Never.is_over(Instant::from_nanos(i64::MAX)));
    }

    #[test]
    fn the_wall_clock_and_back() {
        let wall: Timestamp = "2026-01-04T10:00:00Z".parse().expect("a valid time");
        let epoch = Epoch::new(Instant::from_secs(50), wall);
        let earlier = Instant::from_secs(-3550);
        assert_eq!(epoch.wall(earlier).to_string(), "2026-01-04T09:00:00Z");
        assert_eq!(epoch.instant(epoch.wall(earlier)), earlier);
    }
}
