//! One exchange of messages: its transaction-id, and when it is sent again (RFC 9915 §15).

use std::time::Duration;

use super::random::Random;
use crate::source::dhcpv6::wire::{ClientMessage, TransactionId};
use crate::time::Instant;

/// What RFC 9915 §7.6 says about the transmission of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    /// Whether the first transmission waits for a random time of up to a second.
    delay: bool,
    /// IRT
    initial: Duration,
    /// MRT
    most: Option<Duration>,
    /// MRC
    count: Option<u32>,
    /// MRD
    duration: Option<Duration>,
    /// Whether the first RT is longer than IRT in any case.
    first_longer: bool,
}

impl Timing {
    const PLAIN: Self =
        Self { delay: false, initial: ONE_SECOND, most: None, count: None, duration: None, first_longer: false };

    /// Without a cap: that is SOL_MAX_RT, see [`Self::capped`].
    pub(super) const SOLICIT: Self = Self { delay: true, first_longer: true, ..Self::PLAIN };
    pub(super) const REQUEST: Self = Self { most: Some(Duration::from_secs(30)), count: Some(10), ..Self::PLAIN };
    /// Also of a Rebind at T2. They end with T2, or the lease.
    pub(super) const RENEW: Self =
        Self { initial: Duration::from_secs(10), most: Some(Duration::from_secs(600)), ..Self::PLAIN };
    /// Of a Rebind or Confirm after which the link may be another one (RFC 9915 §18.2.3, §18.2.12).
    pub(super) const LINK_CHECK: Self = Self {
        delay: true,
        most: Some(Duration::from_secs(4)),
        duration: Some(Duration::from_secs(10)),
        ..Self::PLAIN
    };
    /// Of a Rebind that a Reconfigure asked for: the server is there, and nothing is lost when it does not answer.
    pub(super) const ASKED_FOR: Self = Self { delay: false, ..Self::LINK_CHECK };
    /// Without a cap: that is INF_MAX_RT.
    pub(super) const INFORMATION_REQUEST: Self = Self { delay: true, ..Self::PLAIN };
    pub(super) const RELEASE: Self = Self { count: Some(4), ..Self::PLAIN };

    /// With another MRT.
    pub(super) const fn capped(self, seconds: u32) -> Self {
        Self { most: Some(Duration::from_secs(seconds as u64)), ..self }
    }
}

const ONE_SECOND: Duration = Duration::from_secs(1);

/// What an exchange wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The message is to be sent (again).
    Transmit,
    /// It was sent often or long enough.
    Failed,
}

/// One exchange, without what is in its message: that is made anew for every transmission.
#[derive(Debug)]
pub(super) struct Exchange {
    kind: ClientMessage,
    timing: Timing,
    transaction_id: TransactionId,
    first_sent: Option<Instant>,
    transmissions: u32,
    /// RT
    timeout: Duration,
    next: Instant,
}

impl Exchange {
    /// An exchange whose first message is sent after `pause`, and the random delay if there is one.
    pub(super) fn new(kind: ClientMessage, timing: Timing, pause: Duration, now: Instant, random: &mut Random) -> Self {
        let transaction_id = random.transaction_id();
        let delay = if timing.delay { random.delay() } else { Duration::ZERO };
        let next = now + pause + delay;
        Self { kind, timing, transaction_id, first_sent: None, transmissions: 0, timeout: Duration::ZERO, next }
    }

    pub(super) fn kind(&self) -> ClientMessage {
        self.kind
    }

    pub(super) fn transaction_id(&self) -> TransactionId {
        self.transaction_id
    }

    pub(super) fn transmissions(&self) -> u32 {
        self.transmissions
    }

    /// Another MRT, from the next transmission on.
    pub(super) fn cap(&mut self, seconds: u32) {
        self.timing = self.timing.capped(seconds);
    }

    /// When [`Self::due`] will want something.
    pub(super) fn wake(&self) -> Instant {
        self.fails_at().map_or(self.next, |end| end.min(self.next))
    }

    /// What is to be done at `now`.
    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        let spent = self.timing.count.is_some_and(|count| self.transmissions >= count);
        if self.fails_at().is_some_and(|end| end <= now) {
            Some(Due::Failed)
        } else if self.next <= now {
            Some(if spent { Due::Failed } else { Due::Transmit })
        } else {
            None
        }
    }

    /// Not before `at`.
    pub(super) fn postpone(&mut self, at: Instant) {
        self.next = self.next.max(at);
    }

    /// The message was sent.
    pub(super) fn transmitted(&mut self, now: Instant, random: &mut Random) {
        let timing = self.timing;
        self.timeout = match self.transmissions {
            0 if timing.first_longer => random.above(timing.initial),
            0 => random.around(timing.initial, 1.0),
            _ => random.around(self.timeout, 2.0),
        };
        if let Some(most) = timing.most.filter(|most| self.timeout > *most) {
            self.timeout = random.around(most, 1.0);
        }
        self.first_sent.get_or_insert(now);
        self.transmissions = self.transmissions.saturating_add(1);
        self.next = now + self.timeout;
    }

    /// Hundredths of a second since the first transmission; 0xffff when they no longer fit (RFC 9915 §21.9).
    pub(super) fn elapsed(&self, now: Instant) -> u16 {
        let since = self.first_sent.map_or(Duration::ZERO, |first| now.saturating_since(first));
        u16::try_from(since.as_millis() / 10).unwrap_or(u16::MAX)
    }

    fn fails_at(&self) -> Option<Instant> {
        Some(self.first_sent? + self.timing.duration?)
    }
}

#[cfg(test)]
mod tests;
