//! Looks round for what `acquisition = "auto"` leaves open, which [`super::choice`] decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock;
use crate::config::{Chosen, DynamicPrefix};
use crate::doctor::gather;
use crate::record::{self, Event};
use crate::source::dhcpv6::{Duid, Memory, probe};
use crate::source::link::{self, Links};
use crate::time::Instant;

use super::Daemon;
use super::choice::{self, Answer, Step};

/// How long a DHCPv6 server may take to answer: a second of delay, and three Solicits (RFC 9915 §15).
const ANSWER: Duration = Duration::from_secs(8);

/// How long after the first look in vain the next one is, and the longest pause: each is twice the one before. Not
/// everything that would help is told to us, as a default route, or that another program has made up its mind.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// By name, what was chosen, or why nothing was.
type Made = Vec<(String, Result<Chosen, String>)>;

/// What can be told of each interface without listening on it: whether it can be sent from.
type Known = BTreeMap<String, (u32, bool)>;

/// Looks round, once at a time.
#[derive(Debug, Default)]
pub(super) struct Choosing {
    looking: JoinSet<Made>,
    is_due: bool,
    again_at: Option<Instant>,
    /// How long was waited for that.
    pause: Option<Duration>,
    links: Option<watch::Receiver<Arc<Links>>>,
    known: Known,
}

/// Something that concerns the choices.
#[derive(Debug)]
pub(super) enum Happened {
    /// It was looked round.
    Looked(Made),
    /// Interfaces have come, gone or changed.
    Links(Known),
}

impl Choosing {
    /// There is a reason to look round.
    pub(super) fn call(&mut self) {
        self.is_due = true;
        self.pause = None;
    }

    /// It was looked round, and something has to be looked for again.
    fn look_again(&mut self, now: Instant) {
        let pause = self.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
        self.pause = Some(pause);
        self.again_at = Some(now + pause);
    }

    /// When to look although nothing has happened.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.again_at
    }

    /// Waits until something happens.
    pub(super) async fn next(&mut self) -> Happened {
        loop {
            let links = self.links.as_mut();
            tokio::select! {
                Some(made) = self.looking.join_next() => return Happened::Looked(made.unwrap_or_default()),
                links = changed(links) => {
                    let known = known(&links);
                    if known != self.known {
                        return Happened::Links(known);
                    }
                }
            }
        }
    }
}

impl Daemon {
    /// Takes what has happened to the choices.
    pub(super) fn take_choices(&mut self, happened: Happened) {
        let now = clock::now();
        match happened {
            Happened::Links(known) => {
                self.choosing.known = known;
                self.choosing.call();
            }
            Happened::Looked(made) => {
                for (name, outcome) in &made {
                    self.recorder.write(now, || Event::Chosen(record::Choice::new(name, outcome)));
                }
                if self.coordinator.take_choices(&made, now) {
                    self.tasks.follow(&mut self.coordinator);
                    self.notice_at.get_or_insert(now);
                }
                if made.iter().any(|(_, outcome)| outcome.is_err()) {
                    self.choosing.look_again(now);
                }
            }
        }
    }

    /// Looks round, if there is a reason to and nobody does already.
    pub(super) fn look_round(&mut self, now: Instant) {
        let is_due = self.choosing.is_due || self.choosing.again_at.is_some_and(|at| at <= now);
        if !is_due || !self.choosing.looking.is_empty() {
            return;
        }
        self.choosing.is_due = false;
        self.choosing.again_at = None;
        if !self.coordinator.chooses() {
            return;
        }
        let links = self.tasks.links();
        self.choosing.links.get_or_insert_with(|| links.clone());
        let open = self.coordinator.open_choices(now);
        if !open.is_empty() {
            let duid = self.coordinator.identity.duid.clone();
            self.choosing.looking.spawn_blocking(move || look_all(open, &duid, &links));
        }
    }
}

/// The next change of the interfaces; never, where they are not watched.
async fn changed(links: Option<&mut watch::Receiver<Arc<Links>>>) -> Arc<Links> {
    if let Some(links) = links
        && links.changed().await.is_ok()
    {
        return Arc::clone(&links.borrow_and_update());
    }
    std::future::pending().await
}

fn known(links: &Links) -> Known {
    let state = |link: link::LinkState| (link.ifindex, link.up && link.can_send());
    links.names().into_iter().filter_map(|name| Some((name.clone(), state(links.get(&name)?)))).collect()
}

/// Looks round for each, at the same time, with a runtime of its own: parts of it read files.
fn look_all(open: Vec<DynamicPrefix>, duid: &Duid, links: &watch::Receiver<Arc<Links>>) -> Made {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Made::new() };
    let looks = open.iter().map(async |prefix| (prefix.name.clone(), look_for(prefix, duid, links).await));
    runtime.block_on(futures_util::future::join_all(looks))
}

async fn look_for(prefix: &DynamicPrefix, duid: &Duid, links: &watch::Receiver<Arc<Links>>) -> Result<Chosen, String> {
    let auto = prefix.acquisition.auto.clone().unwrap_or_default();
    let seen = gather::surroundings(auto.interface.clone(), None).await.interfaces;
    let mut answer = None;
    loop {
        match choice::choose(&auto, &seen, answer) {
            Step::Take(chosen) => return Ok(chosen),
            Step::Wait(why) => return Err(why),
            Step::Ask(interface) => answer = Some(ask(prefix, &interface, duid, links.clone()).await),
        }
    }
}

/// Whether a DHCPv6 server would delegate something.
async fn ask(prefix: &DynamicPrefix, interface: &str, duid: &Duid, links: watch::Receiver<Arc<Links>>) -> Answer {
    let Some(settings) = choice::probe(prefix, interface, duid) else { return Answer::Silence };
    let memory = Memory::new(duid.clone());
    match tokio::time::timeout(ANSWER, probe::solicit(settings, &memory, links)).await {
        Ok(Ok(_advertised)) => Answer::Server,
        Ok(Err(why)) => {
            tracing::debug!(%interface, %why, "No DHCPv6 server can be asked.");
            Answer::Silence
        }
        Err(_late) => Answer::Silence,
    }
}
