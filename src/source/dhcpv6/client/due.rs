//! What is due: lifetimes that end, timers that fire, messages to be sent again.

use std::time::Duration;

use super::exchange::{Due, Exchange};
use super::lease::Ia;
use super::state::{DEFAULT_MAX_RT, Occasion, State};
use super::{Client, Notice};
use crate::time::{Deadline, Instant};

/// Who wakes that much too late has slept: the link may be another one.
pub(super) const OVERSLEPT: Duration = Duration::from_secs(30);

/// How soon what is missing beside a lease is asked for again.
const FIRST_RETRY: Duration = Duration::from_secs(30);

/// More steps than one input can need: whatever a server does, the rest waits for the next time-out.
const MOST_STEPS: usize = 16;

impl Client {
    /// Ends what is over. To be done before anything else is decided.
    pub(super) fn expire(&mut self, now: Instant) {
        let asked = self.has_asked();
        let mut some = false;
        for ia in &mut self.ias {
            some |= ia.expire(asked, now);
        }
        if self.address.as_ref().is_some_and(|address| address.valid_until.is_over(now)) {
            self.address = None;
            some = true;
        }
        match self.state {
            State::Bound { .. }
            | State::Renewing(_)
            | State::Rebinding(..)
            | State::Confirming { .. }
            | State::Informing(_)
                if some && !self.is_bound() =>
            {
                self.settle("the lease is over", now);
            }
            State::Bound { .. } if some => self.early = Some(now),
            State::Idle
            | State::Soliciting(_)
            | State::Requesting(_)
            | State::Bound { .. }
            | State::Renewing(_)
            | State::Rebinding(..)
            | State::Confirming { .. }
            | State::Informing(_)
            | State::Releasing(..) => {}
        }
    }

    /// Whether a message was sent that asks for leases, or for their extension, and not answered.
    fn has_asked(&self) -> bool {
        match &self.state {
            State::Soliciting(_) | State::Requesting(_) | State::Renewing(_) | State::Rebinding(..) => {
                self.state.exchange().is_some_and(|exchange| exchange.transmissions() > 0)
            }
            State::Idle
            | State::Bound { .. }
            | State::Confirming { .. }
            | State::Informing(_)
            | State::Releasing(..) => false,
        }
    }

    /// Does what is due. To be done after every input.
    pub(super) fn finish(&mut self, now: Instant) {
        self.ias.iter_mut().for_each(|ia| ia.forget(now));
        for _ in 0..MOST_STEPS {
            if !self.step(now) {
                break;
            }
        }
        self.keep_time(now);
    }

    /// Does one thing that is due, if there is one.
    fn step(&mut self, now: Instant) -> bool {
        let (t1, t2) = self.timers();
        match &self.state {
            State::Idle => return false,
            State::Bound { .. } if t2.is_over(now) => self.rebind(Occasion::Expiry, "T2 is over", now),
            State::Bound { .. } if t1.is_over(now) => self.renew("T1 is over", now),
            State::Bound { .. } if self.early.is_some_and(|at| at <= now) => self.renew("there is reason to ask", now),
            State::Bound { .. } if self.retry_at().is_some_and(|at| at <= now) => {
                self.retries = self.retries.saturating_add(1);
                self.renew("something is missing", now);
            }
            State::Bound { .. } => return false,
            State::Renewing(_) if t2.is_over(now) => self.rebind(Occasion::Expiry, "T2 is over", now),
            State::Informing(_) if t1.min(t2).is_over(now) => self.settle("T1 is over", now),
            State::Soliciting(_)
            | State::Requesting(_)
            | State::Renewing(_)
            | State::Rebinding(..)
            | State::Confirming { .. }
            | State::Informing(_)
            | State::Releasing(..) => match self.state.exchange().and_then(|exchange| exchange.due(now)) {
                Some(Due::Transmit) if self.has_answer() => self.use_answer(now),
                Some(Due::Transmit) => self.transmit(now),
                Some(Due::Failed) => self.fail(now),
                None => return false,
            },
        }
        true
    }

    /// What [`Self::step`] waits for.
    pub(super) fn wake(&self) -> Option<(Instant, &'static str)> {
        let exchange = self.state.exchange().map(Exchange::wake);
        let (t1, t2) = self.timers();
        let reason = |at: Option<Instant>, reason| at.map(|at| (at, reason));
        let (t1, t2) = (reason(t1.instant(), "renew"), reason(t2.instant(), "rebind"));
        let candidates = match &self.state {
            State::Idle => [None; 4],
            State::Soliciting(_) => [reason(exchange, "solicit"), None, None, None],
            State::Requesting(_) => [reason(exchange, "request"), None, None, None],
            State::Bound { .. } => [t1, t2, reason(self.early, "renew"), reason(self.retry_at(), "retry")],
            State::Renewing(_) => [reason(exchange, "renew"), t2, None, None],
            State::Rebinding(..) => [reason(exchange, "rebind"), None, None, None],
            State::Confirming { .. } => [reason(exchange, "confirm"), None, None, None],
            State::Informing(_) => [reason(exchange, "inform"), t1, t2, None],
            State::Releasing(..) => [reason(exchange, "release"), None, None, None],
        };
        candidates.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// When what is missing is asked for again although nothing is to be extended: soon, and in the end as rarely as
    /// Solicits are sent.
    fn retry_at(&self) -> Option<Instant> {
        let State::Bound { since } = self.state else { return None };
        let most = Duration::from_secs(u64::from(self.sol_max_rt.unwrap_or(DEFAULT_MAX_RT)));
        let pause = FIRST_RETRY.saturating_mul(1 << self.retries.min(16));
        self.is_incomplete().then(|| since + pause.min(most))
    }

    /// Whether something is asked for, and the server does not know of it.
    fn is_incomplete(&self) -> bool {
        self.ias.iter().any(|ia| !ia.released && !ia.is_bound())
    }

    /// Whether a message that would be sent again has been answered well enough.
    fn has_answer(&self) -> bool {
        match &self.state {
            State::Soliciting(solicitation) => solicitation.has_candidates(),
            State::Confirming { refused, .. } => *refused,
            State::Idle
            | State::Requesting(_)
            | State::Bound { .. }
            | State::Renewing(_)
            | State::Rebinding(..)
            | State::Informing(_)
            | State::Releasing(..) => false,
        }
    }

    fn use_answer(&mut self, now: Instant) {
        if let State::Confirming { .. } = self.state {
            self.address = None;
            self.settle("the address does not fit the link", now);
        } else {
            self.request_best(now);
        }
    }

    /// Sends the message of the exchange, if the rate allows.
    fn transmit(&mut self, now: Instant) {
        let ready_at = self.bucket.ready_at(now);
        let message = self.state.exchange().map(|exchange| self.encoded(exchange, now));
        let Some(exchange) = self.state.exchange_mut() else { return };
        if ready_at > now {
            return exchange.postpone(ready_at);
        }
        self.bucket.take(now);
        exchange.transmitted(now, &mut self.random);
        if let State::Soliciting(solicitation) = &mut self.state {
            solicitation.begin_round();
        }
        match message {
            Some(Ok(datagram)) => {
                self.too_long = None;
                self.transmits.push_back(datagram);
            }
            Some(Err(too_long)) if self.too_long != Some(too_long) => {
                self.too_long = Some(too_long);
                let interface = &self.settings.interface;
                self.notices.push_back(Notice::Warning(format!("Nothing is sent on {interface}: {too_long}.")));
            }
            Some(Err(_)) | None => {}
        }
    }

    /// An exchange had no answer.
    fn fail(&mut self, now: Instant) {
        match &self.state {
            State::Requesting(_) => self.fail_over("the server does not answer", now),
            State::Rebinding(_, Occasion::LinkCheck) if self.is_elsewhere() => {
                self.solicit("no server knows the lease on the new link", now);
            }
            State::Confirming { refused: true, .. } => self.use_answer(now),
            State::Rebinding(..) | State::Confirming { .. } => {
                self.settle("no server answers, and the lease goes on", now)
            }
            State::Releasing(..) => self.settle("no server answers the Release", now),
            State::Idle | State::Soliciting(_) | State::Bound { .. } | State::Renewing(_) | State::Informing(_) => {
                self.settle("no server answers", now)
            }
        }
    }

    /// Another SOL_MAX_RT counts from the next Solicit on.
    pub(super) fn cap_solicit(&mut self) {
        let seconds = self.sol_max_rt.unwrap_or(DEFAULT_MAX_RT);
        if let State::Soliciting(solicitation) = &mut self.state {
            solicitation.exchange.cap(seconds);
        }
    }

    /// The earliest T1 and T2 of what is held: it is all extended in one exchange (RFC 9915 §18.2.4).
    fn timers(&self) -> (Deadline, Deadline) {
        let address = self.address.as_ref().map(|address| (address.t1, address.t2));
        let timers = self.ias.iter().filter_map(Ia::timers).chain(address);
        timers.fold((Deadline::Never, Deadline::Never), |(t1, t2), (other1, other2)| (t1.min(other1), t2.min(other2)))
    }

    /// Lets the stopwatches run for what is asked for.
    fn keep_time(&mut self, now: Instant) {
        if !self.is_incomplete() {
            self.retries = 0;
        }
        let asking = match &self.state {
            State::Soliciting(_)
            | State::Requesting(_)
            | State::Renewing(_)
            | State::Rebinding(_, Occasion::Expiry) => true,
            State::Idle => self.can_send() && self.awaits_router(),
            State::Bound { .. }
            | State::Rebinding(..)
            | State::Confirming { .. }
            | State::Informing(_)
            | State::Releasing(..) => false,
        };
        let hopeless = self.awaits_router() && self.surroundings.has_spoken();
        let idle = matches!(self.state, State::Idle) && !self.can_send();
        for ia in &mut self.ias {
            if asking && !ia.released || !idle && ia.is_missing() {
                ia.patience.run(now);
            } else if idle {
                ia.patience.pause(now);
            } else {
                ia.patience.reset();
            }
            if hopeless && ia.is_missing() {
                ia.patience.give_up();
            }
        }
    }
}
