//! The daemon's side of `daemon.listen`.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Daemon;
use super::supervisor::Supervisor;
use crate::clock;
use crate::listen::{Question, Server};
use crate::log::{self, Entry, record};
use crate::metrics::Snapshot;
use crate::time::Instant;

/// The pause before an address is tried again that could not be bound; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The server that runs, if any, and what it asks.
///
/// An address that cannot be bound is tried again and again, and the daemon does its work meanwhile. The kernel could be
/// told to bind an address that the host does not have (IPV6_FREEBIND), but that helps nobody whose port is taken, and an
/// address with a typing error would be taken for one that is listened on.
#[derive(Debug)]
pub(super) struct Listening {
    asked: mpsc::Sender<Question>,
    questions: mpsc::Receiver<Question>,
    running: Option<Running>,
    missing: Option<Missing>,
}

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    cancel: CancellationToken,
    /// Cancelled once the port is free again.
    gone: CancellationToken,
}

/// An address that is to be listened on, and is not.
#[derive(Debug)]
struct Missing {
    address: SocketAddr,
    /// When it is tried next.
    at: Instant,
    /// Why the last attempt failed, and the pause after it; `None`: there was none.
    failed: Option<(String, Duration)>,
}

impl Missing {
    const fn new(address: SocketAddr, at: Instant) -> Self {
        Self { address, at, failed: None }
    }

    /// It failed once more. What to log: the first time only.
    fn fail(&mut self, error: &anyhow::Error, now: Instant) -> Option<Entry> {
        let former = self.failed.take();
        let pause = former.as_ref().map_or(FIRST_PAUSE, |(_, pause)| (*pause * 2).min(LONGEST_PAUSE));
        self.at = now + pause;
        let error = format!("{error:#}");
        let entry = former.is_none().then(|| record::not_listening(&error));
        self.failed = Some((error, pause));
        entry
    }
}

impl Listening {
    /// Listens on `wanted` as soon as [`Self::advance`] can.
    pub(super) fn new(wanted: Option<SocketAddr>, now: Instant) -> Self {
        let (asked, questions) = mpsc::channel(16);
        Self { asked, questions, running: None, missing: wanted.map(|address| Missing::new(address, now)) }
    }

    /// When [`Self::advance`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.missing.as_ref().map(|missing| missing.at)
    }

    /// Why nobody is listened to although it is wished; a sentence.
    pub(super) fn error(&self) -> Option<&str> {
        self.missing.as_ref()?.failed.as_ref().map(|(error, _)| error.as_str())
    }

    /// Tries again what is due. Whether there was an attempt.
    pub(super) fn advance(&mut self, supervisor: &mut Supervisor, stop: &CancellationToken, now: Instant) -> bool {
        let Some(mut missing) = self.missing.take_if(|missing| missing.at <= now) else { return false };
        match self.start(Some(missing.address), supervisor, stop) {
            Ok(()) if missing.failed.is_some() => log::emit(&record::listening(missing.address)),
            Ok(()) => {}
            Err(error) => {
                missing.fail(&error, now).iter().for_each(log::emit);
                self.missing = Some(missing);
            }
        }
        true
    }

    fn start(
        &mut self,
        wanted: Option<SocketAddr>,
        supervisor: &mut Supervisor,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let Some(address) = wanted else { return Ok(()) };
        let server = Server::bind(address)?;
        let (cancel, gone) = (stop.child_token(), CancellationToken::new());
        let (asked, told, guard) = (self.asked.clone(), cancel.clone(), gone.clone().drop_guard());
        supervisor.spawn(format!("listener on {address}"), cancel.clone(), async move {
            let outcome = server.run(asked, told).await;
            drop(guard);
            outcome
        });
        self.running = Some(Running { address, cancel, gone });
        Ok(())
    }

    /// Listens on `wanted` instead. The former address is left only when the new one could be bound.
    ///
    /// # Errors
    /// When it cannot be bound; then the former one is listened on, or tried again, as before.
    pub(super) async fn follow(
        &mut self,
        wanted: Option<SocketAddr>,
        supervisor: &mut Supervisor,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let running = self.running.as_ref().map(|running| running.address);
        let former = running.or_else(|| self.missing.as_ref().map(|missing| missing.address));
        if former == wanted {
            return Ok(());
        }
        // Two addresses with one port may be in each other's way, as [::] is in that of [::1].
        if running.is_some() && running.map(|address| address.port()) == wanted.map(|address| address.port()) {
            self.leave().await;
        }
        let left = self.running.take();
        match self.start(wanted, supervisor, stop) {
            Ok(()) => {
                self.missing = None;
                left.iter().for_each(|running| running.cancel.cancel());
                Ok(())
            }
            Err(error) => {
                if left.is_none()
                    && let Some(address) = running
                {
                    // Nobody else can have taken it in this moment, but whoever waited for it.
                    self.missing = Some(Missing::new(address, clock::now()));
                }
                self.running = left;
                Err(error)
            }
        }
    }

    async fn leave(&mut self) {
        if let Some(running) = self.running.take() {
            running.cancel.cancel();
            running.gone.cancelled().await;
        }
    }

    /// The next question. Loses nothing when it is dropped while it waits.
    pub(super) async fn next(&mut self) -> Question {
        match self.questions.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }
}

impl Daemon {
    /// Listens where it could not be listened before, if that is due.
    pub(super) fn listen_again(&mut self, now: Instant) {
        if self.listening.advance(&mut self.tasks.supervisor, &self.stop, now) {
            self.coordinator.note_listening(self.listening.error());
            self.notice_at.get_or_insert(now);
        }
    }

    /// Answers the server. Whoever went away meanwhile has no use for it.
    pub(super) fn tell(&self, question: Question) {
        match question {
            Question::Alive(answer) => drop(answer.send(())),
            Question::Snapshot(answer) => drop(answer.send(Box::new(self.snapshot()))),
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            status: self.status(),
            is_ready: self.ready_by.is_none(),
            transitions: self.coordinator.transitions().clone(),
            counters: self.counters.clone(),
            sources: self.tasks.tallies(),
            host: self.host.counts(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, TcpListener};

    use super::*;

    #[test]
    fn the_pauses_get_longer_up_to_a_minute_and_it_is_logged_once() {
        let mut missing = Missing::new(SocketAddr::from((Ipv6Addr::LOCALHOST, 9478)), Instant::from_secs(0));
        let mut now = Instant::from_secs(0);
        let mut pauses = Vec::new();
        for attempt in 0..9 {
            let logged = missing.fail(&anyhow::anyhow!("cannot listen"), now);
            assert_eq!(logged.is_some(), attempt == 0);
            pauses.push(missing.at.saturating_since(now).as_secs());
            now = missing.at;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    /// Nobody but this process knows the port, so that it is free once the other socket is closed.
    #[tokio::test]
    async fn an_address_that_is_taken_is_had_once_it_is_free() {
        let taken = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let (mut supervisor, stop) = (Supervisor::default(), CancellationToken::new());
        let now = Instant::from_secs(100);
        let mut listening = Listening::new(Some(address), now);
        assert!(listening.advance(&mut supervisor, &stop, now));
        let error = listening.error().expect("somebody else has it").to_owned();
        assert!(error.contains("Address already in use"), "{error}");
        assert!(!listening.advance(&mut supervisor, &stop, now), "not yet");
        // A configuration without it ends that, and one that names it begins again; other addresses are tried at once.
        assert!(listening.follow(Some(address), &mut supervisor, &stop).await.is_ok(), "it goes on trying");
        let other = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        assert!(listening.follow(Some(other.local_addr().unwrap()), &mut supervisor, &stop).await.is_err());
        assert_eq!(listening.error(), Some(error.as_str()), "the former one is wanted as before");
        drop(taken);
        let at = listening.poll_timeout().expect("it is tried again");
        assert_eq!(at, now + FIRST_PAUSE);
        assert!(listening.advance(&mut supervisor, &stop, at));
        assert_eq!((listening.error(), listening.poll_timeout()), (None, None));
        assert_eq!(listening.running.as_ref().map(|running| running.address), Some(address));
    }

    #[tokio::test]
    async fn a_configuration_without_the_address_ends_the_attempts() {
        let taken = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let (mut supervisor, stop) = (Supervisor::default(), CancellationToken::new());
        let now = Instant::from_secs(100);
        let mut listening = Listening::new(taken.local_addr().ok(), now);
        assert!(listening.advance(&mut supervisor, &stop, now) && listening.error().is_some());
        listening.follow(None, &mut supervisor, &stop).await.unwrap();
        assert_eq!((listening.error(), listening.poll_timeout()), (None, None));
    }
}
