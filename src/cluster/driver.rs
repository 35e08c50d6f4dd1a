//! The task of one cluster: owns the connection, and does what the [`Island`] says.
//!
//! Everything about the objects is decided there, everything about the path here: connect, watch, send, notice that
//! nothing answers, connect again. A lost connection is never repaired but replaced, with new credentials, a new
//! client and new watches: what they list says what happened in the meantime.

mod mirroring;
mod react;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::discovery::{self, Server};
use super::failure::Failure;
use super::files::{FileWatch, Readers};
use super::health::{self, Link};
use super::island::{Event, Island};
use super::mirror::{Mirrors, Publication, Request};
use super::notice::Notices;
use super::object::{Object, Served};
use super::session::{self, Attempt, Session};
use super::timeouts::Timeouts;
use super::watch::{News, Subject};
use super::{Exchange, Health, Managed, Update, Wanted};
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
    /// What it should say of the DynamicPrefixes.
    pub publication: watch::Receiver<Publication>,
    /// What the store knows of the objects that say it: their uids by name.
    pub published: BTreeMap<String, String>,
    /// Where to report, with the name of the cluster.
    pub updates: mpsc::Sender<(String, Update)>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// For the jitter of back-offs.
    pub seed: u64,
    /// Cancelled once everything that is watched has been read.
    pub ready: CancellationToken,
}

/// Drives one cluster until `cancel`, or until nobody wants anything of it any more. Nothing is withdrawn at the end;
/// writes under way may finish within [`Timeouts::stop`].
///
/// `log` hears what the log should tell, with the name of the cluster. That the process is out of file descriptors is told
/// as of any cluster that cannot be reached, and tried again.
pub async fn run(setup: Setup, log: impl FnMut(&str, Event) + Send, cancel: CancellationToken) {
    let mut driver = Driver::new(setup, log, cancel.clone());
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
}

/// A request about an object of kind DynamicPrefix, and the answer.
type Mirrored = (Request, Result<Value, Failure>);
type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// A patch that was answered, or not.
struct Written {
    object: ObjectRef,
    /// When the session began on which it was sent.
    session: Instant,
    result: Result<Object, Failure>,
    took: Duration,
}

struct Driver<L> {
    setup: Setup,
    cluster: Arc<Cluster>,
    island: Island,
    log: L,
    alarm: Alarm,
    session: Option<Session>,
    files: Option<FileWatch>,
    readers: Readers,
    /// An attempt to connect; the session, if there is one, goes on meanwhile.
    opening: Option<Task<Attempt>>,
    discovering: Option<Task<Result<Served, Failure>>>,
    notices: Notices,
    /// A Kubernetes event on its way.
    noticing: Option<Task<Result<(), Failure>>>,
    mirrors: Mirrors,
    mirroring: Option<Task<Mirrored>>,
    /// Asks whether the server still answers.
    probing: Option<Task<Result<Server, Failure>>>,
    writes: FuturesUnordered<Task<Written>>,
    backoff: Backoff,
    link: Link,
    timers: Timers,
    /// Something has changed that decides what is to be watched.
    rewatch: bool,
    reported: Option<Health>,
    /// The objects of kind DynamicPrefix that cannot be deleted, as reported.
    stuck: BTreeMap<String, String>,
    /// Answered patches that were not reported yet.
    exchanges: Vec<Exchange>,
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
    Noticed(Result<(), Failure>),
    Publication,
    Mirrored(Mirrored),
    Probed(Result<Server, Failure>),
    Time,
}

impl<L: FnMut(&str, Event)> Driver<L> {
    fn new(mut setup: Setup, log: L, cancel: CancellationToken) -> Self {
        let cluster = setup.cluster.borrow_and_update().clone();
        let mut island = Island::new(&cluster, std::mem::take(&mut setup.managed), setup.seed);
        if let Some(wanted) = setup.wanted.borrow_and_update().clone() {
            island.handle_wanted(wanted, clock::now());
        }
        let mut mirrors = Mirrors::new(std::mem::take(&mut setup.published));
        mirrors.handle_wanted(setup.publication.borrow_and_update().clone());
        let notices = Notices::new(are_sent(&cluster));
        Self {
            cluster,
            island,
            log,
            alarm: Alarm::patient(),
            session: None,
            files: None,
            readers: Readers::default(),
            opening: None,
            discovering: None,
            notices,
            noticing: None,
            mirrors,
            mirroring: None,
            probing: None,
            writes: FuturesUnordered::new(),
            backoff: Backoff::new(&setup.timeouts, setup.seed),
            link: Link::Connecting,
            timers: Timers { open: Some(clock::now()), ..Timers::default() },
            rewatch: true,
            reported: None,
            stuck: BTreeMap::new(),
            exchanges: Vec::new(),
            cancel,
            setup,
        }
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
            Ok(()) = self.setup.publication.changed() => Input::Publication,
            mirrored = finish(&mut self.mirroring) => Input::Mirrored(mirrored),
            noticed = finish(&mut self.noticing) => Input::Noticed(noticed),
            probed = finish(&mut self.probing) => Input::Probed(probed),
            () = changed(&mut self.files) => Input::Files,
            () = self.alarm.wait(deadline) => Input::Time,
        })
    }

    fn deadline(&self) -> Option<Instant> {
        let Timers { open, renew, discover, warm } = self.timers;
        let discover = discover.filter(|_| self.discovering.is_none());
        let mirror = self.mirror_session().and_then(|_| self.mirrors.poll_timeout());
        [open, renew, discover, warm, mirror, self.island.poll_timeout()].into_iter().flatten().min()
    }

    /// The session on which objects of kind DynamicPrefix may be written now. Whoever asks the mirrors for a deadline asks
    /// here first: one that nothing may be done about would be over and over again.
    fn mirror_session(&self) -> Option<&Session> {
        // What is left from before dryRun stays, too.
        self.session.as_ref().filter(|session| session.is_ready() && self.mirroring.is_none() && !self.cluster.dry_run)
    }

    /// Does everything that the inputs so far call for.
    async fn act(&mut self) {
        let now = clock::now();
        self.start(now);
        self.watch(now);
        if let Some(session) = self.session.as_ref().filter(|session| session.is_ready()) {
            send_writes(&mut self.island, session, &self.writes, &self.setup.timeouts, now);
        }
        if let Some(client) = self.mirror_session().map(|session| session.client.clone())
            && let Some(request) = self.mirrors.poll_request(now, clock::epoch().wall_now())
        {
            self.mirroring = Some(Box::pin(mirroring::send(client, request, self.setup.timeouts.operation)));
        }
        while let Some(event) = self.island.poll_event() {
            self.notices.handle_event(&event);
            (self.log)(&self.cluster.name, event);
        }
        self.report().await;
        self.notify(now);
    }

    /// Starts the requests whose time has come.
    fn start(&mut self, now: Instant) {
        let due = |timer: &mut Option<Instant>| timer.take_if(|at| *at <= now).is_some();
        let open = due(&mut self.timers.open) | due(&mut self.timers.renew);
        if open {
            let (cluster, readers) = (self.cluster.clone(), self.readers.clone());
            let opening = session::open(cluster, readers, self.island.kinds(), self.setup.timeouts);
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
            session.watch(&self.island, &self.mirrors);
            if let Some(pause) = session.rediscover_after(&self.island) {
                let at = now + pause;
                self.timers.discover = Some(self.timers.discover.map_or(at, |planned| planned.min(at)));
            }
        }
        if session.becomes_ready() {
            self.island.handle_connected(now);
            self.setup.ready.cancel();
        }
    }

    fn probe(&mut self) {
        let (None, Some(session)) = (&self.probing, &self.session) else { return };
        let (client, timeouts) = (session.client.clone(), self.setup.timeouts);
        self.probing = Some(Box::pin(async move { discovery::server(&client, &timeouts).await }));
    }

    async fn report(&mut self) {
        let mut health = health::of(&self.link, self.session.as_ref(), &self.cluster, &self.island);
        if self.session.is_some() {
            health.notes.extend(self.mirrors.notes().into_iter().chain(self.notices.note()));
        }
        let mut update = self.island.poll_update().unwrap_or_default();
        update.targets.iter().for_each(|target| self.notices.handle_target(target));
        update.removed.iter().for_each(|object| self.notices.handle_removed(object));
        update.notices = self.notices.take_counts();
        update.published = self.mirrors.take_ours();
        let stuck = self.mirrors.stuck();
        update.stuck = (stuck != self.stuck).then(|| stuck.clone());
        self.stuck = stuck;
        update.exchanges = std::mem::take(&mut self.exchanges);
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

    /// Sends the next Kubernetes event, one at a time: they wait for everything, and nothing waits for them.
    fn notify(&mut self, now: Instant) {
        let Some(session) = self.session.as_ref().filter(|session| session.is_ready()) else { return };
        if self.noticing.is_some() {
            return;
        }
        let daemon_id = self.setup.wanted.borrow().as_ref().map(|wanted| wanted.daemon_id.clone()).unwrap_or_default();
        if let Some(post) = self.notices.poll_post(&daemon_id, &session.served, now, clock::epoch().wall_now()) {
            let (client, limit) = (session.client.clone(), self.setup.timeouts.operation);
            self.noticing = Some(Box::pin(mirroring::post(client, post, limit)));
        }
    }

    /// Lets writes under way finish, so that what they did is known to the store.
    async fn stop(mut self) {
        let finish = async {
            while let Some(Written { object, result, .. }) = self.writes.next().await {
                let result = result.map_err(Failure::into_write_error);
                self.island.handle_written(&object, result, clock::now());
            }
            if let Some(mirroring) = self.mirroring.take() {
                let (request, answer) = mirroring.await;
                self.mirrors.handle_answer(&request, answer, clock::now());
            }
        };
        let _late = tokio::time::timeout(self.setup.timeouts.stop, finish).await;
        while let Some(event) = self.island.poll_event() {
            (self.log)(&self.cluster.name, event);
        }
        let mut update = self.island.poll_update().unwrap_or_default();
        update.published = self.mirrors.take_ours();
        if update != Update::default() {
            let _nobody_listens = self.setup.updates.try_send((self.cluster.name.clone(), update));
        }
    }
}

/// Whether Kubernetes events are sent.
fn are_sent(cluster: &Cluster) -> bool {
    cluster.events && !cluster.dry_run
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
        let (client, session, limit) = (session.client.clone(), session.opened_at, timeouts.operation);
        let object = write.object.clone();
        writes.push(Box::pin(async move {
            let result = session::send(client, write, limit).await;
            Written { object, session, result, took: clock::now().saturating_since(now) }
        }));
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
