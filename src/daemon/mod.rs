//! The running daemon.
//!
//! ```text
//!  links ──► router advertisements on IF ──┐ reports                        ┌─► cluster "home"
//!        ──► DHCPv6 client on IF ──────────┤            ┌───────────────┐   │
//!                                          ├──────────► │ the loop here │ ──┤ wanted (latest value)
//!  cluster "home", "lab" … ────────────────┤ news       │  Coordinator  │   │
//!  control socket ─────────────────────────┘ requests   └──────┬────────┘   └─► cluster "lab"
//!                                                              ├─► store, journal, supervisor (sd_notify)
//! ```
//!
//! One task owns everything that changes. It feeds one input to the [`coordinator::Coordinator`], publishes what
//! follows, and waits for the next input or deadline. No other task shares memory with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Alarm};
use crate::cluster::Update;
use crate::config::Config;
use crate::control::DEFAULT_SOCKET;
use crate::control::server::{Asked, Server};
use crate::log::{self, Priority, record};
use crate::metrics::Counters;
use crate::record::{Decider, Event, Recorder, Recording, Seconds};
use crate::source::SourceReport;
use crate::store::{Opened, State, Store};
use crate::time::Instant;

use choosing::Choosing;
use coordinator::{Coordinator, Identity, Memory};
use errand::Errands;
use expiry::Expiry;
use host::HostTarget;
use listening::Listening;
use reading::Reading;
use release::Releases;
use saver::Saver;
use saying::Sayings;
use spooled::Spooled;
use tasks::{Inbox, Tasks};
use write_log::WriteLog;

pub mod alone;
pub mod choice;
mod choosing;
mod clients;
pub mod condition;
pub mod coordinator;
pub mod delegation;
pub mod ear;
mod ending;
mod errand;
mod expiry;
pub mod host;
pub mod identity;
mod listening;
mod mirror;
pub mod parting;
pub mod pause;
mod reading;
mod recording;
mod release;
mod reload;
pub mod reporting;
mod requests;
mod saver;
mod saying;
mod seeds;
pub mod shadow;
mod spooled;
pub mod supervisor;
mod systemd;
pub mod take_over;
mod tasks;
mod twins;
pub mod view;
mod write_log;

/// How long tasks may take to end after a signal.
const STOP_PATIENCE: Duration = Duration::from_secs(4);

/// How long what reads or writes files may take to end after that.
const READER_PATIENCE: Duration = Duration::from_secs(1);

/// How often the status line and the watchers of the status hear of changes, at most.
const NOTICE_INTERVAL: Duration = Duration::from_millis(250);

/// How long READY waits for every source to have said what it is doing, and for the reports that waited.
const READY_PATIENCE: Duration = Duration::from_secs(5);

/// A clock that went on for longer than this while the machine did not is a suspend.
const SUSPEND_THRESHOLD: Duration = Duration::from_secs(2);

/// What a daemon is to run with.
#[derive(Debug)]
pub struct Setup {
    /// The configuration.
    pub config: Config,
    /// The file it is from.
    pub path: PathBuf,
    /// The text of that file.
    pub text: String,
    /// Where to record what the sources take in (`--record`).
    pub record: Option<PathBuf>,
}

/// Runs the daemon until a signal stops it.
///
/// # Errors
/// When the state directory, the control socket or the record cannot be had, or a task ends that should not.
pub fn run(setup: Setup) -> anyhow::Result<()> {
    let (directory, socket) = (state_directory(&setup.config), control_socket(&setup.config));
    let epoch = clock::epoch();
    let opened = Store::open(&directory, epoch.wall_now())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_secs(1))
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(async {
        let server = Server::bind(&socket)?;
        let daemon = Daemon::new(setup, opened, server, socket)?;
        daemon.run().await
    });
    // Who still reads from a file system that hangs is not waited for.
    runtime.shutdown_timeout(READER_PATIENCE);
    outcome
}

/// The state directory of a configuration: its own, else systemd's ($STATE_DIRECTORY), else /var/lib/dyn-prefix.
pub fn state_directory(config: &Config) -> PathBuf {
    let from_systemd = || {
        let listed = std::env::var_os("STATE_DIRECTORY")?;
        // A unit with several directories lists them with colons; ours is the first.
        let first = listed.to_string_lossy().split(':').next().map(PathBuf::from);
        first.filter(|path| path.is_absolute())
    };
    config.daemon.state_directory.clone().or_else(from_systemd).unwrap_or_else(|| "/var/lib/dyn-prefix".into())
}

/// The control socket of a configuration.
pub fn control_socket(config: &Config) -> PathBuf {
    config.daemon.control_socket.clone().unwrap_or_else(|| DEFAULT_SOCKET.into())
}

struct Daemon {
    path: PathBuf,
    coordinator: Coordinator,
    tasks: Tasks,
    inbox: Inbox,
    requests: mpsc::Receiver<Asked>,
    changed: watch::Sender<u64>,
    stop: CancellationToken,
    alarm: Alarm,
    saver: Saver,
    recorder: Recorder,
    recording: Option<Recording>,
    write_log: WriteLog,
    releases: Releases,
    errands: Errands,
    host: HostTarget,
    sayings: Sayings,
    spooled: Spooled,
    choosing: Choosing,
    listening: Listening,
    reading: Reading,
    counters: Counters,
    expiry: Expiry,
    notice_at: Option<Instant>,
    ready_by: Option<Instant>,
    suspended: Duration,
}

impl Daemon {
    fn new(setup: Setup, opened: Opened, server: Server, socket: PathBuf) -> anyhow::Result<Self> {
        let epoch = clock::epoch();
        let Setup { config, path, text, record: record_path } = setup;
        let config = Arc::new(config);
        if let Some(warning) = opened.warning {
            log::emit(&record::store(Priority::Warning, warning));
        }
        let daemon_id = config.daemon.id.clone().unwrap_or_else(identity::daemon_id);
        log::emit(&record::started(crate::VERSION, &daemon_id, &path.display().to_string()));
        let boot_id = identity::boot_id();
        let stored = opened.state.clone();
        let state = opened.state.map(|state| state.read_in(boot_id.as_deref()));
        // The stored one wins: servers know us by it, whatever became of the machine-id.
        let duid = state.as_ref().and_then(State::duid).map_or_else(identity::duid, Ok)?;
        let identity = Identity { daemon_id, duid, boot_id };
        let start = || recording::start(&identity, &path, text, stored, &epoch);
        let recording = record_path.map(|file| Recording::start(&file, start(), epoch.now())).transpose()?;
        let recorder = recording.as_ref().map(Recording::recorder).unwrap_or_default();
        let memory = Memory::from_state(state.as_ref(), &config, &epoch);
        let stop = CancellationToken::new();
        let (mut tasks, inbox) = Tasks::new(recorder.clone(), stop.clone());
        let (asked, requests) = mpsc::channel(16);
        let (changed, changes) = watch::channel(0);
        tasks.supervisor.spawn("control socket".to_owned(), stop.clone(), server.run(asked, changes, stop.clone()));
        let now = clock::now();
        let listening = Listening::new(config.daemon.listen, now);
        Ok(Self {
            path,
            coordinator: Coordinator::new(config, identity, memory, now),
            tasks,
            inbox,
            requests,
            changed,
            stop,
            alarm: Alarm::new().context("cannot make a timer")?,
            saver: Saver::new(opened.store),
            recorder,
            recording,
            write_log: WriteLog::default(),
            releases: Releases::default(),
            errands: Errands::default(),
            host: HostTarget::default(),
            sayings: Sayings::default(),
            spooled: Spooled::new(socket),
            choosing: Choosing::default(),
            listening,
            reading: Reading::default(),
            counters: Counters::default(),
            expiry: Expiry::default(),
            notice_at: None,
            ready_by: Some(now + READY_PATIENCE),
            suspended: clock::suspended(),
        })
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let mut signals = systemd::Signals::new()?;
        let mut watchdog = systemd::Watchdog::new();
        self.tasks.follow(&mut self.coordinator);
        self.choosing.begin();
        self.take_up(None);
        self.host.follow(&self.coordinator, clock::now());
        self.after_input();
        let stopped_by = loop {
            let deadline = self.deadline();
            tokio::select! {
                biased;
                signal = signals.next() => match signal {
                    systemd::Signal::Reload => self.reading.begin(&self.path, None, clock::now()),
                    systemd::Signal::Stop(name) => break name,
                },
                ended = self.tasks.supervisor.ended() => {
                    log::emit(&record::task_ended(&ended.name, &ended.outcome));
                    self.finish().await;
                    anyhow::bail!("the task \"{}\" ended", ended.name);
                }
                Some(report) = self.inbox.reports.recv() => self.handle_report(report),
                Some((cluster, event)) = self.inbox.events.recv() => {
                    self.write_log.handle_event(&cluster, event, clock::now());
                }
                Some((cluster, update)) = self.inbox.updates.recv() => self.handle_update(&cluster, update),
                question = self.listening.next() => self.tell(question),
                Some((request, answer)) = self.requests.recv() => self.answer(request, answer),
                (read, whom) = self.reading.next() => self.reload(read, whom).await,
                Some(said) = self.sayings.next() => said.answer(&self.coordinator, clock::now()),
                is_taken = self.spooled.next() => self.handle_spooled(is_taken),
                happened = self.choosing.next() => self.take_choices(happened),
                () = self.saver.finished() => {}
                () = self.host.finished() => { self.notice_at.get_or_insert_with(clock::now); }
                () = watchdog.due() => {}
                () = self.alarm.wait(deadline) => {}
            }
            self.after_input();
        };
        log::emit(&record::stopping(stopped_by));
        systemd::stopping();
        self.finish().await;
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.coordinator.poll_timeout(),
            self.saver.poll_timeout(),
            self.write_log.poll_timeout(),
            self.releases.poll_timeout(),
            self.errands.poll_timeout(),
            self.expiry.poll_timeout(),
            self.host.poll_timeout(),
            self.listening.poll_timeout(),
            self.reading.poll_timeout(),
            self.choosing.poll_timeout(),
            self.notice_at,
            self.ready_by,
        ];
        deadlines.into_iter().flatten().min()
    }

    fn handle_report(&mut self, report: SourceReport) {
        // One from before a suspend judges lifetimes that ran out unheard.
        if !self.notice_suspend() {
            let now = clock::now();
            let former = self.coordinator.reports.get(&report.id);
            if choice::calls_for_another(self.coordinator.config(), former, &report) {
                self.choosing.pace.handle_news(clock::now());
            }
            self.coordinator.handle_report(report, now);
            // Also when it changes nothing that is published: a lease that is being renewed is shown, too.
            self.notice_at.get_or_insert(now + NOTICE_INTERVAL);
        }
    }

    fn handle_update(&mut self, cluster: &str, update: Update) {
        let now = clock::now();
        self.write_log.handle_removed(cluster, &update.removed);
        if let Some(health) = &update.health {
            self.write_log.handle_health(cluster, health, now);
            self.expiry.handle_validity(cluster, health.validity, now);
        }
        self.counters.handle_update(cluster, &update, &self.coordinator.in_use());
        self.coordinator.handle_update(cluster, update, now);
        self.notice_at.get_or_insert(now + NOTICE_INTERVAL);
    }

    /// Everything that follows from an input: due deadlines, wanted states, journal, store, notices.
    fn after_input(&mut self) {
        let now = clock::now();
        self.notice_suspend();
        if self.coordinator.poll_timeout().is_some_and(|at| at <= now) {
            self.recorder.write(now, || Event::Wake { to: Decider::Coordinator, interface: None });
        }
        self.coordinator.handle_timeout(now);
        self.releases.advance(&self.coordinator, now, |release| self.tasks.release(release));
        self.errands.advance(&mut self.coordinator, now);
        self.listen_again(now);
        self.give_up_reading(now);
        self.look_round(now);
        self.tasks.end_clusters(&self.coordinator);
        self.tasks.publish(&self.coordinator);
        self.host.advance(&self.coordinator, now);
        let epoch = clock::epoch();
        while let Some(entry) = self.coordinator.poll_entry(&epoch) {
            log::emit(&entry);
            self.notice_at.get_or_insert(now);
        }
        self.expiry.handle_timeout(&epoch);
        self.write_log.handle_timeout(now);
        if self.coordinator.take_dirty() {
            self.saver.want(now);
        }
        self.saver.handle_timeout(now, || self.coordinator.state(&clock::epoch()));
        let next = || {
            let clusters = self.expiry.poll_entry().or_else(|| self.write_log.poll_entry());
            clusters.or_else(|| self.host.poll_entry())
        };
        std::iter::from_fn(next).for_each(|entry| log::emit(&entry));
        while let Some(entry) = self.saver.poll_entry() {
            log::emit(&entry);
        }
        self.notice_ready(now);
        if self.notice_at.is_some_and(|at| at <= now) {
            self.notice_at = None;
            self.tasks.publish_mirrors(&self.coordinator);
            self.note_failing();
            systemd::status(&self.coordinator.summary());
            self.changed.send_modify(|count| *count += 1);
        }
    }

    fn notice_ready(&mut self, now: Instant) {
        let is_ready = || self.coordinator.every_source_has_reported() && self.spooled.is_done();
        if self.ready_by.is_some_and(|at| at <= now || is_ready()) {
            let taken = systemd::ready(&self.coordinator.summary());
            self.ready_by = (!taken).then(|| now + systemd::AGAIN);
            if taken {
                self.log_status();
            }
        }
    }

    fn log_status(&self) {
        let status = self.status();
        log::emit(&record::status(&crate::cli::render::status(&status)));
    }

    /// Begins anew after a suspend; whether there was one.
    fn notice_suspend(&mut self) -> bool {
        let suspended = clock::suspended();
        let slept = suspended.saturating_sub(self.suspended);
        self.suspended = suspended;
        if slept <= SUSPEND_THRESHOLD {
            return false;
        }
        log::emit(&record::resumed(slept));
        let now = clock::now();
        self.recorder.write(now, || Event::Resumed { slept: Seconds(slept) });
        self.coordinator.handle_resume(now);
        self.write_log.forget_objects();
        self.tasks.restart(&mut self.coordinator);
        // Of the tasks that have ended: the new ones have not run yet.
        while self.inbox.reports.try_recv().is_ok() {}
        true
    }
}
