//! The clocks: the only module that reads one.
//!
//! Everything that is timed runs on CLOCK_BOOTTIME. It goes on while the machine is suspended, so a virtual machine
//! that was asleep for a night finds its leases expired, which CLOCK_MONOTONIC (and thus tokio's timers) would not.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::time::{Epoch, Instant};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The current point on CLOCK_BOOTTIME.
pub fn now() -> Instant {
    read(ClockId::Boottime)
}

/// Both the boot-time clock and the wall clock, for converting one into the other.
#[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
pub fn epoch() -> Epoch {
    Epoch::new(now(), Timestamp::now())
}

/// How long the machine has been suspended since it booted. A jump means that connections are stale.
pub fn suspended() -> Duration {
    // MONOTONIC first: read the other way round, the difference could be negative by the time between the two.
    let awake = read(ClockId::Monotonic);
    now().saturating_since(awake)
}

fn read(clock: ClockId) -> Instant {
    let time = rustix::time::clock_gettime(clock);
    Instant::from_nanos(time.tv_sec.saturating_mul(NANOS_PER_SECOND).saturating_add(time.tv_nsec))
}

/// A timer on CLOCK_BOOTTIME: it also fires for a deadline that passed during suspend.
#[derive(Debug)]
pub struct Alarm {
    /// `None`: there was no file descriptor for it yet.
    timer: Option<AsyncFd<OwnedFd>>,
}

impl Alarm {
    /// A timer that is not set. Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self { timer: Some(timer()?) })
    }

    /// The same for whoever can go on without a file descriptor: as long as the process is out of them, a deadline that
    /// passes during a suspend counts from when the machine goes on.
    pub fn patient() -> Self {
        Self { timer: timer().ok() }
    }

    /// Waits for `until`; for ever when there is none. When it has passed, it lets everything else run once and returns: a
    /// loop whose deadline lies in the past again and again would keep the one thread that there is from everything, I/O
    /// included, for good. As it is, it is busy.
    ///
    /// Cancel safe: the next call sets the timer anew.
    pub async fn wait(&mut self, until: Option<Instant>) {
        let Some(until) = until else { return std::future::pending().await };
        if until <= now() {
            return tokio::task::yield_now().await;
        }
        if self.timer.is_none() {
            self.timer = timer().ok();
        }
        let fired = match &self.timer {
            // No timerfd call of ours can fail by its arguments. If one does, a timer that misses suspend beats none.
            Some(timer) => fire_at(timer, until).await.is_ok(),
            None => false,
        };
        if !fired {
            tokio::time::sleep(until.saturating_since(now())).await;
        }
    }
}

fn timer() -> io::Result<AsyncFd<OwnedFd>> {
    let timer = rustix::time::timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd keeps the descriptor open, as that one asks")]
    AsyncFd::with_interest(timer, Interest::READABLE)
}

async fn fire_at(timer: &AsyncFd<OwnedFd>, until: Instant) -> io::Result<()> {
    let time = Itimerspec { it_interval: timespec(0), it_value: timespec(until.as_nanos()) };
    rustix::time::timerfd_settime(timer.get_ref(), TimerfdTimerFlags::ABSTIME, &time)?;
    loop {
        let mut ready = timer.readable().await?;
        let mut expirations = [0; 8];
        match ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expirations)?)) {
            Ok(read) => return read.map(drop),
            // Readiness left over from an earlier setting of the timer.
            Err(_would_block) => {}
        }
    }
}

/// A time for timerfd, at least 1 ns: zero would disarm it (timerfd_settime(2)).
fn timespec(nanos: i64) -> Timespec {
    let nanos = nanos.max(1);
    Timespec { tv_sec: nanos / NANOS_PER_SECOND, tv_nsec: nanos % NANOS_PER_SECOND }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_time_clock_goes_forward_and_includes_suspend() {
        let first = now();
        assert!(first > Instant::BOOT);
        assert!(now() >= first);
        // This machine has been awake at least as long as CLOCK_MONOTONIC says.
        let asleep = suspended();
        assert!(Instant::BOOT + asleep <= now());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "compares with the wall clock")]
    fn the_epoch_holds_both_clocks() {
        let (before, epoch, after) = (Timestamp::now(), epoch(), Timestamp::now());
        assert!(before <= epoch.wall_now() && epoch.wall_now() <= after);
        assert!(epoch.now() <= now());
    }

    #[tokio::test]
    async fn an_alarm_fires_for_a_past_and_for_a_near_deadline_again_and_again() {
        let mut alarm = Alarm::new().expect("a timerfd");
        alarm.wait(Some(Instant::BOOT)).await;
        alarm.wait(Some(Instant::from_secs(-5))).await;
        for _ in 0..3 {
            let until = now() + Duration::from_millis(2);
            alarm.wait(Some(until)).await;
            assert!(now() >= until);
        }
    }

    /// A driver whose deadline leads to nothing asks for it again at once, and for ever.
    #[tokio::test]
    async fn a_deadline_that_is_over_again_and_again_keeps_nobody_from_their_io() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let (mut one, mut other) = tokio::net::UnixStream::pair().expect("a pair of sockets");
        let reading = tokio::spawn(async move {
            one.write_all(b"x").await.expect("written");
            one.read_u8().await.expect("an answer")
        });
        let answering = tokio::spawn(async move {
            let question = other.read_u8().await.expect("a question");
            other.write_u8(question).await.expect("answered");
        });
        let mut alarm = Alarm::new().expect("a timerfd");
        for _ in 0..1000 {
            alarm.wait(Some(now())).await;
        }
        assert!(reading.is_finished() && answering.is_finished(), "the loop lets nobody else run");
    }

    /// As it is when the process is out of file descriptors.
    #[tokio::test]
    async fn an_alarm_without_a_timer_fires_all_the_same_and_gets_one_when_it_can() {
        let mut alarm = Alarm { timer: None };
        let until = now() + Duration::from_millis(2);
        alarm.wait(Some(until)).await;
        assert!(now() >= until);
        assert!(alarm.timer.is_some());
    }

    #[tokio::test]
    async fn an_alarm_that_is_set_anew_forgets_the_former_deadline() {
        let mut alarm = Alarm::new().expect("a timerfd");
        let later = now() + Duration::from_millis(20);
        tokio::select! {
            biased;
            () = alarm.wait(Some(now() + Duration::from_secs(3600))) => panic!("an hour did not pass"),
            () = std::future::ready(()) => {}
        }
        alarm.wait(Some(Instant::BOOT)).await;
        alarm.wait(Some(later)).await;
        assert!(now() >= later);
    }
}
