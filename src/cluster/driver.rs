//! The task of one cluster: owns the connection, and does what the [`Island`] says.
//!
//! Everything about the objects is decided there, everything about the path here: connect, watch, send, notice that
//! nothing answers, connect again. A lost connection is never repaired but replaced, with new credentials, a new
//! client and new watches: what they list says what happened in the meantime.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::discovery::{self, Server};
use super::failure::Failure;
use super::files::FileWatch;
use super::health::{self, Link};
use super::island::{Event, Island, WatchState};
use super::object::{Object, Served};
use super::session::{self, Attempt, Refusal, Session};
use super::timeouts::Timeouts;
use super::watch::{News, Subject};
use super::{Health, Managed, Update, Wanted};
use crate::clock::{self, Alarm};
use crate::config::{Cluster, ObjectRef};
use crate::time::Instant;

/// Patches under way at the same time, to one cluster.
const IN_FLIGHT: usize = 16;

/// What the driver of a cluster works with.
#[derive(Debug)]
pub struct Setup {
    /// The cluster; a new kubeconfig, context or option takes effect at once.
    pub cluster: watch::Receiver<Arc<Cluster>>,
    /// What the store knows of its objects.
    pub managed: Vec<Managed>,
    /// What the cluster should hold; `None` until there is an opinion: then it is watched and nothing is written.
    pub wanted: watch::Receiver<Option<Wanted>>,
    /// Where to report, with the name of the cluster.
    pub updates: mpsc::Sender<(String, Update)>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// For the jitter of back-offs.
    pub seed: u64,
}

/// Drives one cluster until `cancel`, or until nobody wants anything of it any more. Nothing is withdrawn at the end;
/// writes under way may finish within [`Timeouts::stop`].
///
/// `log` hears what the log should tell, with the name of the cluster.
///
/// # Errors
/// When the process is out of file descriptors, so that there can be no timer.
pub async fn run(setup: Setup, log: impl FnMut(&str, Event) + Send, cancel: CancellationToken) -> std::io::Result<()> {
    let mut driver = Driver::new(setup, log, cancel.clone())?;
    loop {
        driver.act().await;
        let input = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            input = driver.next_input() => input,
        };
        let Some(input) = input else { break };
        driver.handle(input);
    }
    driver.stop().await;
    Ok(())
}

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// The object, when the session began on which it was sent, and the answer.
type Written = (ObjectRef, Instant, Result<Object, Failure>);

struct Driver<L> {
    setup: Setup,
    cluster: Arc<Cluster>,
    island: Island,
    log: L,
    alarm: Alarm,
    session: Option<Session>,
    files: Option<FileWatch>,
    /// An attempt to connect; the session, if there is one, goes on meanwhile.
    opening: Option<Task<Attempt>>,
    discovering: Option<Task<Result<Served, Failure>>>,
    /// Asks whether the server still answers.
    probing: Option<Task<Result<Server, Failure>>>,
    writes: FuturesUnordered<Task<Written>>,
    backoff: Backoff,
    link: Link,
    timers: Timers,
    /// Something has changed that decides what is to be watched.
    rewatch: bool,
    reported: Option<Health>,
    cancel: CancellationToken,
}

/// When what is to be done next.
#[derive(Default)]
struct Timers {
    open: Option<Instant>,
    renew: Option<Instant>,
    discover: Option<Instant>,
    warm: Option<Instant>,
}

/// What the driver waits for.
enum Input {
    Cluster,
    Wanted,
    Files,
    Opened(Attempt),
    News(Subject, News),
    Written(Written),
    Discovered(Result<Served, Failure>),
    Probed(Result<Server, Failure>),
    Time,
}

impl<L: FnMut(&str, Event)> Driver<L> {
    fn new(mut setup: Setup, log: L, cancel: CancellationToken) -> std::io::Result<Self> {
        let cluster = setup.cluster.borrow_and_update().clone();
        let mut island = Island::new(&cluster, std::mem::take(&mut setup.managed), setup.seed);
        if let Some(wanted) = setup.wanted.borrow_and_update().clone() {
            island.handle_wanted(wanted, clock::now());
        }
        Ok(Self {
            cluster,
            island,
            log,
            alarm: Alarm::new()?,
            session: None,
            files: None,
            opening: None,
            discovering: None,
            probing: None,
            writes: FuturesUnordered::new(),
            backoff: Backoff::new(&setup.timeouts, setup.seed),
            link: Link::Connecting,
            timers: Timers { open: Some(clock::now()), ..Timers::default() },
            rewatch: true,
            reported: None,
            cancel,
            setup,
        })
    }

    /// The next thing to react to; `None` when nobody wants anything any more. Writes come first: they are what
    /// everybody waits for.
    async fn next_input(&mut self) -> Option<Input> {
        let deadline = self.deadline();
        Some(tokio::select! {
            biased;
            changed = self.setup.wanted.changed() => { changed.ok()?; Input::Wanted }
            Some(written) = self.writes.next(), if !self.writes.is_empty() => Input::Written(written),
            Some((subject, news)) = news(&mut self.session) => Input::News(subject, news),
            changed = self.setup.cluster.changed() => { changed.ok()?; Input::Cluster }
            attempt = finish(&mut self.opening) => Input::Opened(attempt),
            served = finish(&mut self.discovering) => Input::Discovered(served),
            probed = finish(&mut self.probing) => Input::Probed(probed),
            () = changed(&mut self.files) => Input::Files,
            () = self.alarm.wait(deadline) => Input::Time,
        })
    }

    fn deadline(&self) -> Option<Instant> {
        let Timers { open, renew, discover, warm } = self.timers;
        let discover = discover.filter(|_| self.discovering.is_none());
        [open, renew, discover, warm, self.island.poll_timeout()].into_iter().flatten().min()
    }

    fn handle(&mut self, input: Input) {
        let now = clock::now();
        if self.session.as_ref().is_some_and(Session::was_suspended) {
            self.lost(Failure::Unreachable { reason: "Suspended", message: "this machine was asleep".to_owned() }, now);
        }
        // Of all inputs only these two come in large numbers, and neither changes what is to be watched.
        self.rewatch |= !matches!(input, Input::Written(_) | Input::News(_, News::Changed(_)));
        match input {
            Input::Wanted => {
                let wanted = self.setup.wanted.borrow_and_update().clone();
                if let Some(wanted) = wanted {
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
            Input::Time => self.time(now),
        }
    }

    /// Does everything that the inputs so far call for.
    async fn act(&mut self) {
        let now = clock::now();
        self.start(now);
        self.watch(now);
        if let Some(session) = self.session.as_ref().filter(|session| session.is_ready()) {
            send_writes(&mut self.island, session, &self.writes, &self.setup.timeouts, now);
        }
        while let Some(event) = self.island.poll_event() {
            (self.log)(&self.cluster.name, event);
        }
        self.report().await;
    }

    /// Starts the requests whose time has come.
    fn start(&mut self, now: Instant) {
        let due = |timer: &mut Option<Instant>| timer.take_if(|at| *at <= now).is_some();
        let open = due(&mut self.timers.open) | due(&mut self.timers.renew);
        if open {
            let opening = session::open(self.cluster.clone(), self.island.kinds(), self.setup.timeouts);
            self.opening = Some(Box::pin(opening));
        }
        let Some(session) = &mut self.session else { return };
        let timeouts = self.setup.timeouts;
        if self.discovering.is_none() && due(&mut self.timers.discover) {
            let (client, kinds) = (session.client.clone(), self.island.kinds());
            session.asked.clone_from(&kinds);
            self.discovering = Some(Box::pin(async move { discovery::served(&client, &kinds, &timeouts).await }));
        }
        if due(&mut self.timers.warm) {
            self.probe();
        }
    }

    /// Keeps the watches what they should be, and plans to look for kinds that no watch will tell of.
    fn watch(&mut self, now: Instant) {
        let Some(session) = &mut self.session else { return };
        if std::mem::take(&mut self.rewatch) {
            session.watch(&self.island);
            if let Some(pause) = session.rediscover_after(&self.island) {
                let at = now + pause;
                self.timers.discover = Some(self.timers.discover.map_or(at, |planned| planned.min(at)));
            }
        }
        if session.becomes_ready() {
            self.island.handle_connected(now);
        }
    }

    fn probe(&mut self) {
        let (None, Some(session)) = (&self.probing, &self.session) else { return };
        let (client, timeouts) = (session.client.clone(), self.setup.timeouts);
        self.probing = Some(Box::pin(async move { discovery::server(&client, &timeouts).await }));
    }

    fn time(&mut self, now: Instant) {
        if self.island.poll_timeout().is_some_and(|at| at <= now) {
            self.island.handle_timeout(now);
        }
    }

    fn reconfigure(&mut self, now: Instant) {
        let cluster = self.setup.cluster.borrow_and_update().clone();
        self.island.reconfigure(&cluster);
        if cluster.kubeconfig != self.cluster.kubeconfig || cluster.context != self.cluster.context {
            self.files = None;
            self.timers.open = Some(now);
        }
        self.cluster = cluster;
    }

    fn opened(&mut self, attempt: Attempt, now: Instant) {
        let Timeouts { files_settle, files_poll, .. } = self.setup.timeouts;
        self.files = Some(FileWatch::new(attempt.fingerprint, files_settle, files_poll));
        match attempt.result {
            Ok(opened) => {
                let served = opened.served.clone();
                let session = Session::new(opened, self.island.kinds(), &self.setup.timeouts, self.setup.seed, now);
                self.timers = Timers { renew: session.renew_at(), ..Timers::default() };
                self.discovering = None;
                self.probing = None;
                self.session = Some(session);
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
        tracing::debug!(cluster = self.cluster.name, ?failure, "connection lost");
        self.timers = Timers::default();
        self.discovering = None;
        self.probing = None;
        self.opening = None;
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
            News::Defined => self.timers.discover = Some(now),
            News::Refused(failure) => {
                session.refuse(subject, failure.clone());
                self.refused(subject, &failure, now);
            }
            News::Changed(object) => self.island.handle_object(*object, now),
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
            Subject::Definition(_) => {}
        }
    }

    fn refused(&mut self, subject: &Subject, failure: &Failure, now: Instant) {
        let code = failure.code();
        if code == Some(404) && !matches!(subject, Subject::Definition(_)) {
            self.timers.discover = Some(now); // the CRD was removed, or serves other versions now
        }
        let Subject::Kind { kind, .. } = subject else { return };
        let message = failure.message().to_owned();
        let state = match code {
            Some(403) => WatchState::Forbidden(message),
            Some(404) => WatchState::NotServed,
            _ => WatchState::Failed(message),
        };
        self.island.handle_watch(*kind, state, now);
    }

    fn written(&mut self, (object, session, result): Written, now: Instant) {
        let is_current = self.session.as_ref().is_some_and(|current| current.opened_at == session);
        if let (true, Err(failure)) = (is_current, &result) {
            self.doubt(failure, now);
        }
        self.island.handle_written(&object, result.map_err(Failure::into_write_error), now);
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
                session.served.clone_from(&served);
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

    async fn report(&mut self) {
        let health = health::of(&self.link, self.session.as_ref(), &self.cluster, &self.island);
        let mut update = self.island.poll_update().unwrap_or_default();
        if self.reported.as_ref() != Some(&health) {
            self.reported = Some(health.clone());
            update.health = Some(health);
        }
        if update != Update::default() {
            let sending = self.setup.updates.send((self.cluster.name.clone(), update));
            // Without a coordinator there is nobody to report to; `wanted` tells that, too.
            let _nobody_listens = self.cancel.run_until_cancelled(sending).await;
        }
    }

    /// Lets writes under way finish, so that what they did is known to the store.
    async fn stop(mut self) {
        let finish = async {
            while let Some((object, _, result)) = self.writes.next().await {
                let result = result.map_err(Failure::into_write_error);
                self.island.handle_written(&object, result, clock::now());
            }
        };
        let _late = tokio::time::timeout(self.setup.timeouts.stop, finish).await;
        while let Some(event) = self.island.poll_event() {
            (self.log)(&self.cluster.name, event);
        }
        if let Some(update) = self.island.poll_update() {
            let _nobody_listens = self.setup.updates.try_send((self.cluster.name.clone(), update));
        }
    }
}

fn send_writes(
    island: &mut Island,
    session: &Session,
    writes: &FuturesUnordered<Task<Written>>,
    timeouts: &Timeouts,
    now: Instant,
) {
    while writes.len() < IN_FLIGHT
        && let Some(write) = island.poll_write(now)
    {
        let (client, object, limit) = (session.client.clone(), write.object.clone(), timeouts.operation);
        let begun = session.opened_at;
        writes.push(Box::pin(async move { (object, begun, session::send(client, write, limit).await) }));
    }
}

/// Waits for a task in its slot and empties the slot; for ever when it is empty.
async fn finish<T>(slot: &mut Option<Task<T>>) -> T {
    let Some(task) = slot else { return std::future::pending().await };
    let outcome = task.await;
    *slot = None;
    outcome
}

async fn news(session: &mut Option<Session>) -> Option<(Subject, News)> {
    match session {
        Some(session) => session.news.recv().await,
        None => std::future::pending().await,
    }
}

async fn changed(files: &mut Option<FileWatch>) {
    match files {
        Some(files) => files.changed().await,
        None => std::future::pending().await,
    }
}
