//! What is asked of the daemon: by its control socket, and by a signal.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::clock;
use crate::config::{Config, file};
use crate::control::{Request, Response};
use crate::log::{self, record};
use crate::record::Event;

use super::errand::Errand;
use super::{Daemon, reload};

impl Daemon {
    pub(super) async fn answer(&mut self, request: Request, answer: oneshot::Sender<Response>) {
        let response = match request {
            Request::Status | Request::Watch => {
                Response::Status { status: Box::new(self.coordinator.status(&clock::epoch())) }
            }
            Request::Reload => self.reload().await,
            Request::DhcpRelease { name } => {
                let now = clock::now();
                self.recorder.write(now, || Event::Release { interface: None, name: name.clone() });
                match self.coordinator.release(&name, now) {
                    Ok(release) => return self.releases.begin(release, answer, now),
                    Err(message) => Response::Error { message },
                }
            }
            Request::Withdraw { scope } => match self.coordinator.withdraw(&scope) {
                Ok(withdrawal) => match self.keep_told().await {
                    Ok(()) => return self.errands.begin(Errand::Withdraw(withdrawal), answer, clock::now()),
                    Err(message) => Response::Error { message },
                },
                Err(message) => Response::Error { message },
            },
            Request::Resume { scope } => match self.coordinator.resume(&scope) {
                Ok(done) => match self.keep_told().await {
                    Ok(()) => Response::Handled { done, left: Vec::new() },
                    Err(message) => Response::Error { message },
                },
                Err(message) => Response::Error { message },
            },
            Request::TakeOver { scope, force } => match self.coordinator.take_over(&scope, force, &clock::epoch()) {
                Ok(taken) => return self.errands.begin(Errand::TakeOver(taken), answer, clock::now()),
                Err(message) => Response::Error { message },
            },
        };
        // A client that went away meanwhile has no use for it.
        drop(answer.send(response));
    }

    /// Saves what a person has told us before he is answered: he relies on it, however the daemon ends.
    async fn keep_told(&mut self) -> Result<(), String> {
        let state = self.coordinator.state(&clock::epoch());
        self.saver.save_now(&state).await.map_err(|error| {
            format!(
                "{error:#}. The running daemon does as it was told, but forgets it at a restart before it can save; is \
                 the disk full or read-only? Mend that and run the command again"
            )
        })
    }

    pub(super) async fn reload(&mut self) -> Response {
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || Config::load_with_text(&path)).await;
        let (loaded, text) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return Response::Error { message: format!("the configuration could not be read: {error}") },
        };
        let findings: Vec<String> =
            loaded.findings.iter().filter(|finding| finding.is_for_the_journal()).map(ToString::to_string).collect();
        let shown = self.path.display().to_string();
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
        let now = clock::now();
        self.notice_at = Some(now);
        match config {
            Ok(config) => {
                self.recorder.write(now, || Event::Reload { config: text });
                self.errands.reconfigure(&self.coordinator, &config);
                self.coordinator.reconfigure(Arc::new(config), now);
                self.tasks.follow(&mut self.coordinator);
                let coordinator = &self.coordinator;
                let is_there = |name: &str| coordinator.clusters_to_run().any(|cluster| cluster.name == name);
                self.write_log.retain(is_there);
                self.counters.retain(is_there);
                self.expiry.retain(is_there);
                log::emit(&record::reloaded(&shown));
                self.log_status();
                Response::Reloaded { findings }
            }
            Err(findings) => {
                log::emit(&record::reload_refused(&shown, &findings));
                self.coordinator.refuse_reload(findings.clone());
                Response::Refused { findings }
            }
        }
    }
}
