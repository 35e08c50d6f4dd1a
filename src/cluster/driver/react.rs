//! What each input changes: of the path here, of the objects in the island.

use super::{Driver, Input, Timers, Written};
use crate::clock;
use crate::cluster::Exchange;
use crate::cluster::discovery::Server;
use crate::cluster::failure::Failure;
use crate::cluster::files::{FileWatch, Readers};
use crate::cluster::health::Link;
use crate::cluster::island::{Event, WatchState, WriteError};
use crate::cluster::object::{Object, Served};
use crate::cluster::schema::{self, Schema};
use crate::cluster::session::{Attempt, Refusal, Session};
use crate::cluster::timeouts::Timeouts;
use crate::cluster::watch::{News, Subject};
use crate::time::Instant;

impl<L: FnMut(&str, Event)> Driver<L> {
    pub(super) fn handle(&mut self, input: Input) {
        let now = clock::now();
        if self.session.as_ref().is_some_and(Session::was_suspended) {
            self.lost(Failure::Unreachable { reason: "Suspended", message: "this machine was asleep".to_owned() }, now);
        }
        // Of all inputs only these two come in large numbers. Neither changes what is to be watched, but for the first
        // pool of ours (`heard`).
        self.rewatch |= !matches!(input, Input::Written(_) | Input::News(_, News::Changed(_)));
        match input {
            Input::Wanted => {
                // Both come with a reload, and this is wanted of the cluster as it is configured now: perhaps with
                // dryRun, perhaps another one.
                if self.setup.cluster.has_changed().unwrap_or(false) {
                    self.reconfigure(now);
                }
                let wanted = self.setup.wanted.borrow_and_update().clone();
                if let Some(wanted) = wanted {
                    if self.island.is_asked_anew(&wanted) {
                        self.try_at_once(now);
                    }
                    self.island.handle_wanted(wanted, now);
                }
            }
            Input::Cluster => self.reconfigure(now),
            Input::Files => {
                self.files = None;
                self.timers.open = Some(now);
            }
            Input::Opened(attempt) => self.opened(attempt, now),
            Input::News(subject, news) => self.heard(&subject, news, now),
            Input::Written(written) => self.written(written, now),
            Input::Discovered(served) => self.discovered(served, now),
            Input::Probed(probed) => self.probed(probed, now),
            Input::Noticed(answer) => self.notices.handle_answer(answer),
            Input::Publication => {
                let publication = self.setup.publication.borrow_and_update().clone();
                self.mirrors.handle_wanted(publication);
            }
            Input::Mirrored((request, answer)) => self.mirrors.handle_answer(&request, answer, now),
            Input::Time => self.time(now),
        }
    }

    /// A person waits: what is tried again now and then is tried now.
    fn try_at_once(&mut self, now: Instant) {
        match &mut self.session {
            Some(session) => session.end_refused_watches(),
            None if self.opening.is_none() => self.timers.open = Some(now),
            None => {}
        }
    }

    fn time(&mut self, now: Instant) {
        if self.island.poll_timeout().is_some_and(|at| at <= now) {
            self.island.handle_timeout(now);
        }
    }

    fn reconfigure(&mut self, now: Instant) {
        let cluster = self.setup.cluster.borrow_and_update().clone();
        self.island.reconfigure(&cluster);
        // Whoever reloads wants to see what failed tried again.
        self.forget_mirrors();
        self.notices.reconfigure(super::are_sent(&cluster));
        if cluster.kubeconfig != self.cluster.kubeconfig || cluster.context != self.cluster.context {
            self.leave(now);
        }
        self.cluster = cluster;
    }

    /// The configuration names other credentials, so perhaps another cluster: the former one is not written any more.
    fn leave(&mut self, now: Instant) {
        self.session = None;
        self.abandon();
        self.files = None;
        // Whoever still reads the former files may hang there for ever.
        self.readers = Readers::default();
        self.backoff.reset();
        self.timers.open = Some(now);
        self.link = Link::Connecting;
    }

    /// On another connection everything is read again; what is under way on the former one is not waited for.
    fn forget_mirrors(&mut self) {
        self.mirroring = None;
        self.mirrors.handle_connected();
    }

    /// Whatever was asked or planned on the way that there was is of no use any more.
    fn abandon(&mut self) {
        self.timers = Timers::default();
        self.discovering = None;
        self.probing = None;
        self.opening = None;
    }

    fn opened(&mut self, attempt: Attempt, now: Instant) {
        let Timeouts { files_settle, files_poll, .. } = self.setup.timeouts;
        self.files = Some(FileWatch::new(attempt.fingerprint, self.readers.clone(), files_settle, files_poll));
        match attempt.result {
            Ok(opened) => {
                let served = opened.served.clone();
                let session = Session::new(opened, self.island.kinds(), &self.setup.timeouts, self.setup.seed, now);
                self.timers = Timers { renew: session.renew_at(), ..Timers::default() };
                self.discovering = None;
                self.probing = None;
                self.session = Some(session);
                self.forget_mirrors();
                self.noticing = None;
                self.notices.handle_connected();
                self.link = Link::Up { kept: None };
                self.stay_warm(now);
                self.island.handle_served(&served, now);
            }
            Err(refusal) if self.session.is_some() => {
                self.link = Link::Up { kept: Some(refusal) };
                self.timers.open = Some(now + self.setup.timeouts.backoff_max);
            }
            Err(refusal) => self.retry(refusal, now),
        }
    }

    fn retry(&mut self, refusal: Refusal, now: Instant) {
        let pause =
            if refusal.is_of_credentials() { self.setup.timeouts.backoff_max } else { self.backoff.next_pause() };
        self.timers.open = Some(now + pause);
        self.link = Link::Down(refusal, now + pause);
    }

    /// Nothing works on this connection any more: drop it, and make another. The first attempt is made at once,
    /// unless the connection did not hold long.
    fn lost(&mut self, failure: Failure, now: Instant) {
        let Some(session) = self.session.take() else { return };
        self.abandon();
        tracing::debug!(cluster = self.cluster.name, ?failure, "connection lost");
        let refusal = Refusal::Failed { url: session.url.clone(), failure };
        if now.saturating_since(session.opened_at) >= self.setup.timeouts.settled {
            self.backoff.reset();
            self.timers.open = Some(now);
            self.link = Link::Down(refusal, now);
        } else {
            self.retry(refusal, now);
        }
    }

    fn heard(&mut self, subject: &Subject, news: News, now: Instant) {
        let Some(session) = self.session.as_mut().filter(|session| session.watches.contains(subject)) else { return };
        match news {
            News::Lost(failure) => self.lost(failure, now),
            News::Defined(schema) => {
                session.listed(subject);
                self.defined(subject, schema, now);
            }
            News::Refused(failure) => {
                session.refuse(subject, failure.clone());
                self.refused(subject, &failure, now);
            }
            News::Changed(object) => {
                let is_asked = object.reference.kind == schema::ASKED && session.lacks_schema();
                self.island.handle_object(*object, now);
                self.rewatch |= is_asked && self.island.has_target(schema::ASKED);
            }
            News::Deleted(reference) => self.island.handle_deleted(&reference, now),
            News::Listed(objects) => {
                session.listed(subject);
                self.listed(subject, objects, now);
            }
        }
    }

    fn listed(&mut self, subject: &Subject, objects: Vec<Object>, now: Instant) {
        match subject {
            Subject::Kind { kind, .. } => {
                self.island.handle_watch(*kind, WatchState::Running, now);
                self.island.handle_list(*kind, None, objects, now);
            }
            Subject::Named { object, .. } => self.island.handle_list(object.kind, Some(object), objects, now),
            Subject::Definition(schema::ASKED) => self.island.handle_cilium_schema(Schema::Unknown, now),
            Subject::Definition(_) | Subject::OwnDefinition => {}
        }
    }

    /// A definition is there: perhaps of a kind that was not served, and of Cilium's pools for its version.
    fn defined(&mut self, subject: &Subject, schema: Schema, now: Instant) {
        if *subject == Subject::OwnDefinition {
            self.mirrors.handle_defined(now);
        }
        let (Subject::Definition(kind), Some(session)) = (subject, &mut self.session) else { return };
        session.defined(subject);
        if !session.served.contains_key(kind) {
            self.timers.discover = Some(now);
        }
        if *kind == schema::ASKED {
            self.island.handle_cilium_schema(schema, now);
        }
    }

    fn refused(&mut self, subject: &Subject, failure: &Failure, now: Instant) {
        let code = failure.code();
        if code == Some(404) && !matches!(subject, Subject::Definition(_) | Subject::OwnDefinition) {
            self.timers.discover = Some(now); // the CRD was removed, or serves other versions now
        }
        if let (Subject::Named { object, .. }, Some(403)) = (subject, code) {
            self.island.handle_unreadable(object, now);
        }
        let message = failure.message().to_owned();
        if let (Subject::Definition(schema::ASKED), Some(403)) = (subject, code) {
            self.island.handle_cilium_schema(Schema::Forbidden(message.clone()), now);
        }
        if matches!(subject, Subject::Definition(schema::ASKED)) && code.is_some_and(|code| code != 403 && code != 404)
        {
            self.island.handle_cilium_schema(Schema::Unreadable(message.clone()), now);
        }
        let Subject::Kind { kind, .. } = subject else { return };
        let state = match code {
            Some(403) => WatchState::Forbidden(message),
            Some(404) => WatchState::NotServed,
            _ => WatchState::Failed(message),
        };
        self.island.handle_watch(*kind, state, now);
    }

    fn written(&mut self, written: Written, now: Instant) {
        let Written { object, session, result, took } = written;
        let is_current = self.session.as_ref().is_some_and(|current| current.opened_at == session);
        if let (true, Err(failure)) = (is_current, &result) {
            self.doubt(failure, now);
        }
        let result = result.map_err(Failure::into_write_error);
        let outcome = result.as_ref().map_or_else(WriteError::outcome, |_| "accepted");
        self.exchanges.push(Exchange { kind: object.kind, outcome, took });
        self.island.handle_written(&object, result, now);
    }

    /// A write that got no answer in time may have met a slow admission webhook: ask before the path is blamed.
    fn doubt(&mut self, failure: &Failure, now: Instant) {
        if failure.is_timeout() {
            self.probe();
        } else if failure.is_of_connection() {
            self.lost(failure.clone(), now);
        }
    }

    fn discovered(&mut self, served: Result<Served, Failure>, now: Instant) {
        let Some(session) = &mut self.session else { return };
        match served {
            Ok(served) => {
                let again = session.found(&served).map(|pause| now + pause);
                self.timers.discover = self.timers.discover.into_iter().chain(again).min();
                self.island.handle_served(&served, now);
            }
            Err(failure) if failure.is_of_connection() => self.lost(failure, now),
            Err(failure) => {
                tracing::debug!(cluster = self.cluster.name, ?failure, "discovery failed");
                self.timers.discover = Some(now + self.setup.timeouts.backoff_max);
            }
        }
    }

    fn probed(&mut self, probed: Result<Server, Failure>, now: Instant) {
        match probed {
            Ok(server) => {
                if let Some(session) = &mut self.session {
                    session.server = server;
                }
                self.stay_warm(now);
            }
            Err(failure) if failure.is_of_connection() => self.lost(failure, now),
            Err(_refused) => self.stay_warm(now), // it answers
        }
    }

    fn stay_warm(&mut self, now: Instant) {
        let cools = self.session.as_ref().is_some_and(|session| !session.server.is_http2);
        self.timers.warm = cools.then(|| now + self.setup.timeouts.warm);
    }
}
