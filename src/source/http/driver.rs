//! Drives the [`Asker`]: reads the clock, and has somebody asked.

use std::io;
use std::net::Ipv6Addr;
use std::pin::Pin;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::asker::{Asker, Failure, Settings};
use super::client::{self, Trust};
use crate::clock::{self, Alarm};
use crate::record::{Decider, Recorder, Tape};
use crate::source::head::{self, Head};
use crate::source::{Offer, SourceReport};

type Asking = Pin<Box<dyn Future<Output = (Result<Ipv6Addr, Failure>, Trust)> + Send>>;

/// Asks one service until cancelled, and reports what it answers.
///
/// `settings` may change, all but the URL; handing them in again has what failed tried again. The same `seed` makes the
/// same pauses. `held`: what was in use in a former run.
///
/// # Errors
/// When a timer cannot be created. A service that does not answer is no error: it is reported, and asked again.
pub async fn run(
    mut settings: watch::Receiver<Settings>,
    seed: u64,
    held: Option<Offer>,
    reports: mpsc::Sender<SourceReport>,
    recorder: Recorder,
    cancel: CancellationToken,
) -> io::Result<()> {
    let current = settings.borrow_and_update().clone();
    let (now, tape) = (clock::now(), recorder.tape(Decider::Service, &current.url));
    tape.service(seed, now);
    let mut asker = Asker::new(current.clone(), seed, now);
    if let Some(held) = held {
        asker.seed(held.prefix, held.first_seen);
    }
    let mut driver =
        Driver { alarm: Alarm::new()?, tape, url: current.url, asker, settings, asking: None, trust: None };
    tokio::select! {
        // Who is told to end says no more: whoever cancelled it would take that for news.
        biased;
        () = cancel.cancelled() => {}
        () = driver.ask(&reports) => {}
    }
    Ok(())
}

struct Driver {
    settings: watch::Receiver<Settings>,
    alarm: Alarm,
    tape: Tape,
    url: String,
    asker: Asker,
    /// The question that waits for its answer.
    asking: Option<Asking>,
    trust: Trust,
}

impl Driver {
    /// Ends when whoever gave the channels is gone.
    async fn ask(&mut self, reports: &mpsc::Sender<SourceReport>) {
        loop {
            let now = clock::now();
            if self.asker.poll_request(now) {
                self.tape.wake(now);
                let (url, trust) = (self.url.clone(), self.trust.clone());
                self.asking = Some(Box::pin(async move { client::ask(&url, trust).await }));
            }
            let wake = self.asker.poll_timeout().map(|(at, _)| at);
            tokio::select! {
                biased;
                head = head::next(reports, self.asker.has_news(), None, &mut self.settings) => match head {
                    Head::Place(place) => self.report(place),
                    Head::Settings => {
                        self.asker.reconfigure(self.settings.borrow_and_update().clone(), clock::now());
                    }
                    Head::Links | Head::Gone => return,
                },
                (answer, trust) = answered(self.asking.as_mut()) => {
                    self.asking = None;
                    self.trust = trust;
                    let now = clock::now();
                    self.tape.answer(&answer, now);
                    self.asker.handle_answer(answer, now);
                }
                () = self.alarm.wait(wake) => self.handle_timeout(),
            }
        }
    }

    fn report(&mut self, place: mpsc::Permit<'_, SourceReport>) {
        if let Some(report) = self.asker.poll_report() {
            self.tape.report(clock::now());
            place.send(report);
        }
    }

    fn handle_timeout(&mut self) {
        let now = clock::now();
        self.tape.wake(now);
        self.asker.handle_timeout(now);
    }
}

/// Waits for the answer; for ever when nobody is asked.
async fn answered(asking: Option<&mut Asking>) -> (Result<Ipv6Addr, Failure>, Trust) {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}
