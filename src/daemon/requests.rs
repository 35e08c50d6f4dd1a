//! What is asked of the daemon: by its control socket, and by a signal.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::clock;
use crate::config::{Config, Loaded, file};
use crate::control::{Request, Response};
use crate::log::{self, record};
use crate::record::Event;
use crate::time::Instant;

use super::errand::Errand;
use super::reading::{self, Read, Waiting};
use super::reporting::Taker;
use super::{Daemon, choice, reload};

impl Daemon {
    pub(super) fn answer(&mut self, request: Request, answer: oneshot::Sender<Response>) {
        let response = match request {
            Request::Status | Request::Watch => Response::Status { status: Box::new(self.status()) },
            Request::Reload => return self.reading.begin(&self.path, Some(answer), clock::now()),
            Request::DhcpRelease { name } => {
                let now = clock::now();
                self.recorder.write(now, || Event::Release { interface: None, name: name.clone() });
                match self.coordinator.release(&name, now) {
                    Ok(release) => return self.releases.begin(release, answer, now),
                    Err(message) => Response::Error { message },
                }
            }
            Request::Withdraw { scope } => match self.coordinator.withdraw(&scope) {
                Ok(withdrawal) => return self.keep(Errand::Withdraw(withdrawal), answer),
                Err(message) => Response::Error { message },
            },
            Request::Resume { scope } => match self.coordinator.resume(&scope) {
                Ok(done) => return self.keep(Errand::Resume(done), answer),
                Err(message) => Response::Error { message },
            },
            Request::TakeOver { scope, force } => match self.coordinator.take_over(&scope, force, &clock::epoch()) {
                Ok(taken) => return self.errands.begin(Errand::TakeOver(taken), None, answer, clock::now()),
                Err(message) => Response::Error { message },
            },
            Request::TakeUpReports => return self.take_up(Some(answer)),
            Request::Report { report } => {
                let checked = self.coordinator.check_report(report);
                let told = checked.and_then(|(taker, told)| match taker {
                    Taker::Observer(interface) => Ok((Some(self.tasks.tell(&interface, told.clone())?), told)),
                    Taker::Choice => Ok((None, told)),
                });
                match told {
                    Ok((Some(taken), told)) => return self.sayings.begin(told, taken, answer),
                    Ok((None, told)) => Response::Handled { done: vec![self.choosing.keep(told)], left: Vec::new() },
                    Err(message) => Response::Error { message },
                }
            }
        };
        // A client that went away meanwhile has no use for it.
        drop(answer.send(response));
    }

    /// Saves what a person has told us before he is answered: he relies on it, however the daemon ends. Everything else
    /// goes on meanwhile, for a disk may hang.
    fn keep(&mut self, errand: Errand, answer: oneshot::Sender<Response>) {
        let now = clock::now();
        let kept = self.saver.keep(now);
        self.errands.begin(errand, Some(kept), answer, now);
    }

    /// Takes what was read into use, if somebody still waits for it.
    pub(super) async fn reload(&mut self, read: Result<Read, String>, whom: Vec<Waiting>) {
        if !whom.is_empty() {
            let response = match read {
                Ok((loaded, text)) => self.take_into_use(loaded, text).await,
                Err(message) => Response::Error { message },
            };
            whom.into_iter().for_each(|waiting| waiting.answer(response.clone()));
        }
        self.reading.go_on(&self.path, |path| Config::load_with_text(&path));
    }

    /// Tells those who have waited too long for the file.
    pub(super) fn give_up_reading(&mut self, now: Instant) {
        let late = self.reading.late(now);
        if !late.is_empty() {
            let finding = file::too_slow(&self.path, reading::PATIENCE).to_string();
            let response = self.refuse(vec![finding]);
            self.notice_at.get_or_insert(now);
            late.into_iter().for_each(|waiting| waiting.answer(response.clone()));
        }
    }

    fn refuse(&mut self, findings: Vec<String>) -> Response {
        log::emit(&record::reload_refused(&self.path.display().to_string(), &findings));
        self.coordinator.refuse_reload(findings.clone());
        Response::Refused { findings }
    }

    async fn take_into_use(&mut self, loaded: Loaded, text: String) -> Response {
        let findings: Vec<String> =
            loaded.findings.iter().filter(|finding| finding.is_for_the_journal()).map(ToString::to_string).collect();
        let mut config = loaded
            .config
            .ok_or_else(|| findings.clone())
            .and_then(|config| reload::accept(config, self.coordinator.config(), &self.path, &text));
        if let Ok(accepted) = &config
            && let Err(error) =
                self.listening.follow(accepted.daemon.listen, &mut self.tasks.supervisor, &self.stop).await
        {
            let finding = file::of_daemon(&self.path, &text, "listen", "listen-address", format!("{error:#}"));
            config = Err(vec![finding.to_string()]);
        }
        // What clusters said before belongs to them as they were named then.
        while let Ok((cluster, update)) = self.inbox.updates.try_recv() {
            self.handle_update(&cluster, update);
        }
        self.coordinator.note_listening(self.listening.error());
        let now = clock::now();
        self.notice_at = Some(now);
        match config {
            Ok(config) => {
                self.recorder.write(now, || Event::Reload { config: text });
                let config = choice::with_former(config, self.coordinator.config());
                self.choosing.begin();
                self.errands.reconfigure(&self.coordinator, &config);
                self.coordinator.reconfigure(Arc::new(config), now);
                self.tasks.follow(&mut self.coordinator);
                self.tell_kept(now);
                self.host.follow(&self.coordinator, now);
                let coordinator = &self.coordinator;
                let is_there = |name: &str| coordinator.clusters_to_run().any(|cluster| cluster.name == name);
                self.write_log.retain(is_there);
                self.counters.retain(is_there);
                self.expiry.retain(is_there);
                log::emit(&record::reloaded(&self.path.display().to_string()));
                self.log_status();
                Response::Reloaded { findings }
            }
            Err(findings) => self.refuse(findings),
        }
    }
}
