//! The daemon's side of `daemon.listen`.

use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Daemon;
use super::supervisor::Supervisor;
use crate::clock;
use crate::listen::{Question, Server};
use crate::metrics::Snapshot;

/// The server that runs, if any, and what it asks.
#[derive(Debug)]
pub(super) struct Listening {
    asked: mpsc::Sender<Question>,
    questions: mpsc::Receiver<Question>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    cancel: CancellationToken,
    /// Cancelled once the port is free again.
    gone: CancellationToken,
}

impl Listening {
    pub(super) fn new() -> Self {
        let (asked, questions) = mpsc::channel(16);
        Self { asked, questions, running: None }
    }

    /// Listens on `wanted`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(super) fn start(
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
    /// When it cannot be bound; then the former one is listened on as before.
    pub(super) async fn follow(
        &mut self,
        wanted: Option<SocketAddr>,
        supervisor: &mut Supervisor,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let former = self.running.as_ref().map(|running| running.address);
        if former == wanted {
            return Ok(());
        }
        // Two addresses with one port may be in each other's way, as [::] is in that of [::1].
        if former.map(|address| address.port()) == wanted.map(|address| address.port()) {
            self.leave().await;
            return self.start(wanted, supervisor, stop).inspect_err(|_| {
                // Nobody else can have taken it in this moment, but whoever waited for it.
                drop(self.start(former, supervisor, stop));
            });
        }
        let running = self.running.take();
        match self.start(wanted, supervisor, stop) {
            Ok(()) => {
                running.iter().for_each(|running| running.cancel.cancel());
                Ok(())
            }
            Err(error) => {
                self.running = running;
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
    /// Answers the server. Whoever went away meanwhile has no use for it.
    pub(super) fn tell(&self, question: Question) {
        match question {
            Question::Alive(answer) => drop(answer.send(())),
            Question::Snapshot(answer) => drop(answer.send(Box::new(self.snapshot()))),
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            status: self.coordinator.status(&clock::epoch()),
            is_ready: self.ready_by.is_none(),
            transitions: self.coordinator.transitions().clone(),
            counters: self.counters.clone(),
            sources: self.tasks.tallies(),
        }
    }
}
