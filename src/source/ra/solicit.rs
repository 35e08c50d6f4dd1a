//! When to send Router Solicitations (RFC 4861 §6.3.7). Pure.

use std::time::Duration;

use crate::time::Instant;

/// MAX_RTR_SOLICITATIONS (RFC 4861 §10)
const MAX_SOLICITATIONS: u8 = 3;
/// RTR_SOLICITATION_INTERVAL (RFC 4861 §10)
const INTERVAL: Duration = Duration::from_secs(4);
/// The least time between two solicitations that confirm something, so that forged advertisements cannot make us
/// flood the link. It is also MIN_DELAY_BETWEEN_RAS (RFC 4861 §10): routers need not answer faster.
pub const HOLD_OFF: Duration = Duration::from_secs(3);
/// How long after the first solicitation nobody has answered: the interval after each of them, and
/// MAX_RTR_SOLICITATION_DELAY for the router to think.
pub const PATIENCE: Duration = Duration::from_secs(3 * 4 + 1);

/// A sequence of up to three solicitations, four seconds apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Solicitor {
    left: u8,
    next: Option<Instant>,
    last: Option<Instant>,
    due: bool,
}

impl Solicitor {
    /// Starts a sequence now: the link came up. RFC 4861 asks hosts to wait for up to a second first, for the sake of
    /// links on which many start at the same time; that second is the whole budget here.
    pub fn start(&mut self, now: Instant) {
        self.left = MAX_SOLICITATIONS;
        self.next = Some(now);
    }

    /// Starts a sequence to confirm something, `hold_off` after the last solicitation at the earliest. A sequence
    /// that is already running is not delayed by it.
    pub fn confirm(&mut self, now: Instant, hold_off: Duration) {
        let earliest = self.last.map_or(now, |last| now.max(last + hold_off));
        self.left = MAX_SOLICITATIONS;
        self.next = Some(self.next.map_or(earliest, |next| next.min(earliest)));
    }

    /// Ends the sequence: the answer is there, or the link is gone.
    pub fn stop(&mut self) {
        self.left = 0;
        self.next = None;
        self.due = false;
    }

    /// When the next solicitation is to be sent.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Notes that a solicitation is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.due = true;
        self.last = Some(now);
        self.left = self.left.saturating_sub(1);
        self.next = (self.left > 0).then(|| now + INTERVAL);
    }

    /// Whether to send a solicitation now. Says so once.
    pub fn poll(&mut self) -> bool {
        std::mem::take(&mut self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_secs(100);

    /// Runs the solicitor on its own time-outs until `end`; the seconds after START at which it sends.
    fn sent_until(solicitor: &mut Solicitor, end: u64) -> Vec<f64> {
        let mut sent = Vec::new();
        while let Some(next) = solicitor.poll_timeout().filter(|next| *next < START + Duration::from_secs(end)) {
            solicitor.handle_timeout(next);
            if solicitor.poll() {
                sent.push(next.saturating_since(START).as_secs_f64());
            }
        }
        sent
    }

    fn at(seconds: u64) -> Instant {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn three_four_seconds_apart_the_first_at_once() {
        let mut solicitor = Solicitor::default();
        assert_eq!(solicitor.poll_timeout(), None);
        solicitor.start(START);
        assert_eq!(sent_until(&mut solicitor, 1000), [0.0, 4.0, 8.0]);
        assert_eq!(solicitor.poll_timeout(), None);
    }

    #[test]
    fn an_early_timeout_is_harmless() {
        let mut solicitor = Solicitor::default();
        solicitor.start(at(1));
        solicitor.handle_timeout(START);
        assert!(!solicitor.poll());
        assert_eq!(sent_until(&mut solicitor, 1000), [1.0, 5.0, 9.0]);
    }

    #[test]
    fn an_answer_ends_the_sequence_and_what_was_due() {
        let mut solicitor = Solicitor::default();
        solicitor.start(START);
        assert_eq!(sent_until(&mut solicitor, 1), [0.0]);
        solicitor.stop();
        assert_eq!(sent_until(&mut solicitor, 1000), [0.0; 0]);

        solicitor.start(at(2));
        solicitor.handle_timeout(at(2));
        solicitor.stop();
        assert!(!solicitor.poll(), "an answer came before it was sent");
    }

    #[test]
    fn confirmations_keep_three_seconds_distance() {
        let mut solicitor = Solicitor::default();
        solicitor.confirm(START, HOLD_OFF);
        assert_eq!(sent_until(&mut solicitor, 1), [0.0], "the first one is sent at once");
        solicitor.stop();
        solicitor.confirm(at(1), HOLD_OFF);
        assert_eq!(sent_until(&mut solicitor, 1000), [3.0, 7.0, 11.0]);
        solicitor.confirm(at(20), HOLD_OFF);
        assert_eq!(sent_until(&mut solicitor, 21), [20.0]);
    }

    #[test]
    fn a_confirmation_does_not_delay_what_is_planned_sooner() {
        let mut solicitor = Solicitor::default();
        solicitor.start(START);
        assert_eq!(sent_until(&mut solicitor, 1), [0.0]);
        solicitor.confirm(at(2), Duration::from_secs(48));
        assert_eq!(sent_until(&mut solicitor, 1000), [4.0, 8.0, 12.0]);
    }
}
