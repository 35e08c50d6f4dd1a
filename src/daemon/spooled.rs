//! Reports that were left while nobody listened ([`crate::spool`]) on their way to whoever takes them, one after the
//! other.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Daemon;
use super::reporting::Taker;
use crate::clock;
use crate::control::{Report, Response};
use crate::log::{self, record};
use crate::source::observe::Told;
use crate::spool::entry::Worth;
use crate::spool::{MOST, Spool, TakenUp};
use crate::time::Instant;

/// What waits, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Spooled {
    socket: PathBuf,
    spool: Option<Spool>,
    queue: VecDeque<TakenUp>,
    telling: Option<Telling>,
    answers: Vec<oneshot::Sender<Response>>,
    done: Vec<String>,
    left: Vec<String>,
}

/// A report that an observer was told.
#[derive(Debug)]
struct Telling {
    taken_up: TakenUp,
    report: Report,
    told: Told,
    taken: oneshot::Receiver<()>,
}

impl Spooled {
    /// What waits beside this socket, once it is asked for.
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, ..Self::default() }
    }

    /// Whether nothing waits any more.
    pub(super) fn is_done(&self) -> bool {
        self.telling.is_none() && self.queue.is_empty()
    }

    /// Waits until an observer has taken what it was told, or has ended without; for ever when none was.
    pub(super) async fn next(&mut self) -> bool {
        match &mut self.telling {
            Some(telling) => (&mut telling.taken).await.is_ok(),
            None => std::future::pending().await,
        }
    }

    /// Takes up what there is.
    fn take_up(&mut self, now: Instant) -> Result<(), String> {
        let directory = self.socket.parent().map(PathBuf::from).unwrap_or_default();
        let failed = |error| format!("cannot read {}: {error}", directory.display());
        if self.spool.is_none() {
            self.spool = Spool::open(&self.socket).map_err(failed)?;
        }
        let Some(spool) = &self.spool else { return Ok(()) };
        let telling = self.telling.iter().map(|telling| &telling.taken_up);
        let known: Vec<&str> = self.queue.iter().chain(telling).map(|taken_up| taken_up.file.as_str()).collect();
        let found = spool.take_up(&known, now).map_err(failed)?;
        if found.len() >= MOST {
            log::emit(&record::spool_full(&directory));
        }
        self.queue.extend(found);
        Ok(())
    }

    /// One is done with.
    fn remove(&self, taken_up: &TakenUp) {
        let Some(spool) = &self.spool else { return };
        if let Err(error) = spool.remove(taken_up) {
            log::emit(&record::spool_trouble(&format!(
                "cannot remove {}: {error}",
                spool.path(&taken_up.file).display()
            )));
        }
    }

    /// Answers those who wait for all of it.
    fn answer(&mut self) {
        let (done, left) = (std::mem::take(&mut self.done), std::mem::take(&mut self.left));
        for answer in self.answers.drain(..) {
            // Who has gone meanwhile need not hear it.
            drop(answer.send(Response::Handled { done: done.clone(), left: left.clone() }));
        }
    }
}

impl Daemon {
    /// Looks for reports that wait, and takes them one after the other; then `answer` hears of it.
    pub(super) fn take_up(&mut self, answer: Option<oneshot::Sender<Response>>) {
        self.spooled.answers.extend(answer);
        if let Err(why) = self.spooled.take_up(clock::now()) {
            log::emit(&record::spool_trouble(&why));
            self.spooled.left.push(why);
        }
        self.go_on_taking_up();
    }

    /// An observer has taken what it was told, or has ended: as after a reload.
    pub(super) fn handle_spooled(&mut self, is_taken: bool) {
        if let Some(Telling { taken_up, report, told, .. }) = self.spooled.telling.take() {
            if is_taken {
                let follows = self.coordinator.follows_from(&told, clock::now());
                self.note_taken_up(&taken_up, &report, told.ago, follows);
            } else {
                self.spooled.queue.push_front(taken_up);
            }
        }
        self.go_on_taking_up();
    }

    fn go_on_taking_up(&mut self) {
        while self.spooled.telling.is_none() {
            match self.spooled.queue.pop_front() {
                Some(next) => self.take_up_one(next),
                None => return self.spooled.answer(),
            }
        }
    }

    fn take_up_one(&mut self, taken_up: TakenUp) {
        let boot = self.spooled.spool.as_ref().and_then(Spool::boot);
        let worth = match &taken_up.entry {
            Ok(entry) => entry.clone().worth(boot.as_deref(), clock::now()),
            Err(why) => {
                let path = self.spooled.spool.as_ref().map(|spool| spool.path(&taken_up.file)).unwrap_or_default();
                log::emit(&record::report_unreadable(&path, why));
                return self.spooled.remove(&taken_up);
            }
        };
        let (report, ago) = match worth {
            Worth::All(report, ago) => (report, ago),
            Worth::RanOut(report, ago) => {
                log::emit(&record::report_ran_out(&report, ago));
                return self.spooled.remove(&taken_up);
            }
            Worth::OtherBoot(report) => {
                log::emit(&record::report_of_another_boot(&report));
                return self.spooled.remove(&taken_up);
            }
        };
        match self.coordinator.check_report(report.clone()) {
            Ok((taker, told)) => self.tell_taken_up(taken_up, taker, report, Told { ago, ..told }),
            Err(why) => {
                log::emit(&record::report_refused(&report, ago, &why));
                self.spooled.left.push(why);
                self.spooled.remove(&taken_up);
            }
        }
    }

    fn tell_taken_up(&mut self, taken_up: TakenUp, taker: Taker, report: Report, told: Told) {
        match taker {
            Taker::Choice => {
                let ago = told.ago;
                let noted = self.choosing.keep(told);
                self.note_taken_up(&taken_up, &report, ago, noted);
            }
            Taker::Observer(interface) => match self.tasks.tell(&interface, told.clone()) {
                Ok(taken) => self.spooled.telling = Some(Telling { taken_up, report, told, taken }),
                // It stays where it is, for the next time.
                Err(why) => log::emit(&record::spool_trouble(&why)),
            },
        }
    }

    fn note_taken_up(&mut self, taken_up: &TakenUp, report: &Report, ago: Duration, follows: String) {
        log::emit(&record::report_taken_up(report, ago, &follows));
        self.spooled.done.push(follows);
        self.spooled.remove(taken_up);
    }
}
