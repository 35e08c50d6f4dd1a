//! When systemd-networkd is asked what its DHCPv6 client holds. Pure.
//!
//! Where the packets can be seen, they tell every change, and it is asked once, and again when it has written its state
//! anew: at least when it was restarted, and when the link comes or goes. A lease that is taken or renewed is no such
//! change (seen with 257), so where they cannot be seen it is asked besides when the lease is to be renewed (T1), and then
//! with growing pauses until it is; and so while there is none.

use std::time::Duration;

use super::filed::networkd::Description;
use crate::time::Instant;

/// The least time between two questions.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest between them while an answer is wanted.
const WANTED: Duration = Duration::from_secs(60);
/// The longest between them while there is no hope of one: it is too old, or the lease does not end.
const HOPELESS: Duration = Duration::from_secs(3600);
/// When it cannot be asked it is tried again, after twice the time at every failure, up to [`HOPELESS`].
const RETRY: Duration = Duration::from_secs(15);

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    /// It runs a client on the interface, as its state says.
    has_client: bool,
    /// The packets cannot be seen.
    is_blind: bool,
    /// The last answer named a prefix: that the next one names none is of interest.
    has_named: bool,
    ask_at: Option<Instant>,
    not_before: Instant,
    /// Until the next question without a reason.
    pause: Duration,
    /// The same after a failure.
    retry: Duration,
}

impl Asking {
    pub(super) const fn new() -> Self {
        Self {
            has_client: false,
            is_blind: false,
            has_named: false,
            ask_at: None,
            not_before: Instant::BOOT,
            pause: PAUSE,
            retry: RETRY,
        }
    }

    /// It has written its state of the interface, or the interface is another one.
    pub(super) fn handle_state(&mut self, has_client: bool, now: Instant) {
        self.has_client = has_client;
        self.begin(now);
    }

    /// Whether the packets can be seen.
    pub(super) fn handle_blindness(&mut self, is_blind: bool, now: Instant) {
        let was_blind = std::mem::replace(&mut self.is_blind, is_blind);
        if is_blind && !was_blind {
            self.begin(now);
        }
    }

    fn begin(&mut self, now: Instant) {
        self.pause = PAUSE;
        let is_of_use = self.has_client || self.has_named;
        self.ask_at = is_of_use.then(|| self.not_before.max(now));
    }

    /// Whether to ask now. Who asks tells the answer by [`Self::handle_answer`] before he comes again.
    pub(super) fn poll(&mut self, now: Instant) -> bool {
        let is_due = self.ask_at.is_some_and(|at| at <= now);
        if is_due {
            (self.ask_at, self.not_before) = (None, now + PAUSE);
        }
        is_due
    }

    /// When [`Self::poll`] says so.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.ask_at
    }

    /// What was answered; `None`: it could not be asked. Whether there is anything to learn from it.
    pub(super) fn handle_answer(&mut self, answer: Option<&Description>, now: Instant) -> bool {
        let Some(description) = answer else {
            self.not_before = now + self.retry;
            self.ask_at = Some(self.not_before);
            self.retry = (self.retry * 2).min(HOPELESS);
            return false;
        };
        self.retry = RETRY;
        let names = !description.filed.is_empty();
        let had_named = std::mem::replace(&mut self.has_named, names);
        if self.is_blind && (self.has_client || names) {
            let next = self.next(description, now);
            self.ask_at = Some(self.ask_at.map_or(next, |at| at.min(next)));
        }
        names || had_named
    }

    fn next(&mut self, description: &Description, now: Instant) -> Instant {
        let names = !description.filed.is_empty();
        if let Some(renews_at) = description.renews_at.filter(|at| names && now < *at) {
            self.pause = PAUSE;
            return renews_at;
        }
        let is_wanted = if names { description.renews_at.is_some() } else { description.has_client };
        let pause = self.pause;
        self.pause = (pause * 2).min(if is_wanted { WANTED } else { HOPELESS });
        now + pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::observe::Filed;

    fn at(seconds: i64) -> Instant {
        Instant::from_secs(seconds)
    }

    /// One that holds a prefix, to be renewed at this time, or none.
    fn says(has_client: bool, holds: bool, renews_at: Option<i64>) -> Description {
        let filed =
            Filed { prefix: "2001:db8:a::/64".parse().unwrap(), age: 0, preferred: 1800, valid: 3600, excluded: None };
        Description { filed: Vec::from_iter(holds.then_some(filed)), renews_at: renews_at.map(at), has_client }
    }

    /// The moments at which it is asked up to `end`, when it always answers this.
    fn asked(asking: &mut Asking, answer: Option<&Description>, end: i64) -> Vec<i64> {
        let mut moments = Vec::new();
        while let Some(now) = asking.poll_timeout().filter(|now| *now <= at(end)) {
            assert!(asking.poll(now));
            moments.push(now.as_nanos() / 1_000_000_000);
            asking.handle_answer(answer, now);
        }
        moments
    }

    #[test]
    fn where_it_runs_no_client_it_is_never_asked() {
        let mut asking = Asking::new();
        asking.handle_blindness(true, at(10));
        asking.handle_state(false, at(10));
        assert_eq!(asking.poll_timeout(), None);
    }

    #[test]
    fn where_packets_tell_it_is_asked_once_for_each_state() {
        let mut asking = Asking::new();
        for now in [10, 20] {
            asking.handle_state(true, at(now));
            assert_eq!(asked(&mut asking, Some(&says(true, true, Some(1000))), 100_000), [now]);
        }
        asking.handle_blindness(true, at(100));
        assert_eq!(asked(&mut asking, Some(&says(true, true, Some(1000))), 999), [100], "now it is the only witness");
    }

    #[test]
    fn states_that_follow_each_other_at_once_are_one() {
        let mut asking = Asking::new();
        asking.handle_state(true, at(10));
        assert!(asking.poll(at(10)));
        asking.handle_state(true, at(10));
        asking.handle_answer(Some(&says(true, false, None)), at(10));
        assert!(!asking.poll(at(10)));
        assert_eq!(asked(&mut asking, Some(&says(true, false, None)), 100), [11]);
    }

    #[test]
    fn without_packets_it_is_asked_until_there_is_a_lease_and_when_that_is_renewed() {
        let mut asking = Asking::new();
        asking.handle_blindness(true, at(0));
        asking.handle_state(true, at(10));
        assert_eq!(asked(&mut asking, Some(&says(true, false, None)), 200), [10, 11, 13, 17, 25, 41, 73, 133, 193]);
        assert_eq!(asked(&mut asking, Some(&says(true, true, Some(1000))), 1010), [253, 1000, 1001, 1003, 1007]);
        assert_eq!(asked(&mut asking, Some(&says(true, true, Some(2000))), 1999), [1015]);
    }

    #[test]
    fn one_that_is_too_old_to_tell_is_hardly_asked_any_more() {
        for answer in [says(false, false, None), says(true, true, None)] {
            let mut asking = Asking::new();
            asking.handle_blindness(true, at(0));
            asking.handle_state(true, at(0));
            let day = asked(&mut asking, Some(&answer), 86_400);
            assert!((20..40).contains(&day.len()), "{day:?}");
        }
    }

    #[test]
    fn one_that_cannot_be_asked_is_tried_again_with_growing_pauses() {
        let mut asking = Asking::new();
        asking.handle_state(true, at(0));
        assert_eq!(asked(&mut asking, None, 120), [0, 15, 45, 105]);
        asking.handle_state(true, at(106));
        assert_eq!(asking.poll_timeout(), Some(at(225)), "a state that is written anew does not change that");
        let day = asked(&mut asking, None, 86_400);
        assert!(day.len() < 40, "{day:?}");
    }

    #[test]
    fn that_it_holds_nothing_is_news_where_it_held_something() {
        let mut asking = Asking::new();
        asking.handle_state(true, at(0));
        assert!(asking.poll(at(0)));
        assert!(!asking.handle_answer(Some(&says(true, false, None)), at(0)));
        assert!(asking.handle_answer(Some(&says(true, true, None)), at(0)));
        asking.handle_state(false, at(10));
        assert!(asking.poll(at(10)), "its client has gone");
        assert!(asking.handle_answer(Some(&says(false, false, None)), at(10)));
        assert!(!asking.handle_answer(Some(&says(false, false, None)), at(10)));
        asking.handle_state(false, at(20));
        assert!(!asking.poll(at(20)));
    }
}
