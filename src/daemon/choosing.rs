//! Looks round for what `acquisition = "auto"` leaves open, which [`super::choice`] decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::clock;
use crate::config::DynamicPrefix;
use crate::doctor::gather;
use crate::init;
use crate::record::{self, Event};
use crate::source::SourceKind;
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::dhcpv6::{Duid, Memory, probe};
use crate::source::link::{self, Links};
use crate::source::observe::{Told, sentry};
use crate::time::Instant;

use super::Daemon;
use super::choice::heard::Heard;
use super::choice::kept::Kept;
use super::choice::pace::{News, Pace};
use super::choice::round::{self, Look, Made};
use super::choice::{self, Answer};

/// How long a DHCPv6 server may take to answer: a second of delay, and three Solicits (RFC 9915 §15).
const ANSWER: Duration = Duration::from_secs(8);

/// What can be told of each interface without listening on it: whether it can be sent from.
type Known = BTreeMap<String, (u32, bool)>;

/// Looks round, once at a time.
#[derive(Debug, Default)]
pub(super) struct Choosing {
    pub(super) pace: Pace,
    kept: Kept,
    looking: JoinSet<Looked>,
    heard: Heard,
    /// Each waits for a client of somebody else on an interface.
    waiting: JoinSet<Option<(String, ClientMessage)>>,
    sentries: BTreeMap<String, AbortHandle>,
    links: Option<watch::Receiver<Arc<Links>>>,
    /// Where a prefix may arrive; `None`: anywhere.
    interfaces: BTreeSet<Option<String>>,
    known: Known,
}

/// Something that concerns the choices.
#[derive(Debug)]
pub(super) enum Happened {
    /// It was looked round.
    Looked(Looked),
    /// Interfaces have come, gone or changed.
    Links(Known),
    /// A client of somebody else asked something on an interface.
    Heard(String, ClientMessage),
}

/// What came of a look round.
#[derive(Debug, Default)]
pub(super) struct Looked {
    made: Made,
    /// Why it was looked round.
    news: News,
    /// The interfaces on which nobody answered.
    silent: Vec<String>,
}

/// What is looked for, and what is known before.
struct Round {
    news: News,
    open: Vec<DynamicPrefix>,
    /// Where a DHCPv6 client of ours is.
    own: BTreeSet<String>,
    /// Where nobody answered a short time ago.
    hushed: BTreeSet<String>,
    duid: Duid,
    links: watch::Receiver<Arc<Links>>,
    /// For whom somebody reports what another client is delegated.
    told: BTreeSet<String>,
    /// The interfaces that are observed because of that.
    told_on: BTreeSet<String>,
}

impl Choosing {
    /// Everything is to be looked at anew: at the start, and at a reload.
    pub(super) fn begin(&mut self) {
        self.heard.clear();
        self.pace.begin();
    }

    /// When to look although nothing has happened.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pace.poll_timeout().filter(|_| self.looking.is_empty())
    }

    /// Waits until something happens.
    pub(super) async fn next(&mut self) -> Happened {
        loop {
            let links = self.links.as_mut();
            tokio::select! {
                Some(looked) = self.looking.join_next() => return Happened::Looked(looked.unwrap_or_default()),
                Some(heard) = self.waiting.join_next() => {
                    if let Ok(Some((interface, asked))) = heard {
                        return Happened::Heard(interface, asked);
                    }
                }
                links = changed(links) => {
                    let known = known(&links, &self.interfaces);
                    if known != self.known {
                        return Happened::Links(known);
                    }
                }
            }
        }
    }

    /// Keeps a report until there is an observer for it. The answer is a sentence.
    pub(super) fn keep(&mut self, told: Told) -> String {
        let (name, prefix) = (told.dynamic_prefix.clone(), told.prefix);
        self.kept.keep(told, clock::now());
        self.pace.call();
        format!(
            "{name}: {prefix} is noted until acquisition.auto has chosen a source; that it is reported speaks for observing \
             the other DHCPv6 client."
        )
    }

    /// Waits for clients on these interfaces, and on no others.
    fn wait_on(&mut self, interfaces: &BTreeSet<String>, own: &Duid, links: &watch::Receiver<Arc<Links>>) {
        self.sentries.retain(|name, sentry| {
            let is_wanted = interfaces.contains(name);
            if !is_wanted {
                sentry.abort();
            }
            is_wanted
        });
        for name in interfaces.iter().filter(|name| !self.sentries.contains_key(*name)).cloned().collect::<Vec<_>>() {
            let (interface, own, links) = (name.clone(), own.clone(), links.clone());
            let waiting = async move {
                let asked = sentry::another_client(&interface, &own, links).await?;
                Some((interface, asked))
            };
            self.sentries.insert(name, self.waiting.spawn(waiting));
        }
    }

    fn take_links(&mut self, known: Known, now: Instant) {
        let names = self.known.keys().chain(known.keys());
        let changed = names.filter(|name| self.known.get(*name) != known.get(*name)).cloned().collect();
        self.pace.handle_links(&changed, now);
        self.known = known;
    }
}

impl Daemon {
    /// Takes what has happened to the choices.
    pub(super) fn take_choices(&mut self, happened: Happened) {
        let now = clock::now();
        match happened {
            Happened::Links(known) => self.choosing.take_links(known, now),
            Happened::Heard(interface, asked) => {
                self.choosing.sentries.remove(&interface);
                self.choosing.heard.hear(&interface, asked);
                let made = self.choosing.heard.choices(self.coordinator.config());
                if made.is_empty() && self.choosing.looking.is_empty() {
                    // Where nothing is chosen yet a look says more.
                    self.choosing.pace.call();
                }
                self.make(&made, now);
            }
            Happened::Looked(Looked { made, news, silent }) => {
                let made = self.coordinator.still_open(made, news, &self.choosing.kept.names(now), now);
                let made = self.choosing.heard.overrule(self.coordinator.config(), made);
                self.make(&made, now);
                silent.iter().for_each(|interface| self.choosing.pace.handle_silence(interface, now));
                if made.iter().any(|(_, outcome)| outcome.is_err()) {
                    self.choosing.pace.handle_lack(now);
                }
            }
        }
    }

    /// Takes choices into use.
    fn make(&mut self, made: &Made, now: Instant) {
        for (name, outcome) in made {
            self.recorder.write(now, || Event::Chosen(record::Choice::new(name, outcome)));
        }
        if self.coordinator.take_choices(made, now) {
            self.tasks.follow(&mut self.coordinator);
            self.notice_at.get_or_insert(now);
        }
        self.choosing.kept.handle_choices(made, now);
        self.tell_kept(now);
    }

    /// Tells observers what was reported before there were any.
    pub(super) fn tell_kept(&mut self, now: Instant) {
        let Choosing { kept, .. } = &mut self.choosing;
        for prefix in &self.coordinator.config().dynamic_prefixes {
            let Some(observe) = &prefix.acquisition.observe else { continue };
            for told in kept.take(&prefix.name, now) {
                // Who reported it has his answer, and will report again.
                if let Err(why) = self.tasks.tell(&observe.interface, told) {
                    tracing::debug!(%why, "A report was lost.");
                }
            }
        }
        let prefixes = &self.coordinator.config().dynamic_prefixes;
        kept.retain(|name| prefixes.iter().any(|prefix| prefix.name == name && prefix.acquisition.auto.is_some()));
    }

    /// Waits for other clients where none is observed.
    fn wait_for_clients(&mut self) {
        let awaited = self.choosing.heard.awaited(self.coordinator.config(), &self.coordinator.sources());
        if !(awaited.is_empty() && self.choosing.sentries.is_empty()) {
            let links = self.tasks.links();
            self.choosing.wait_on(&awaited, &self.coordinator.identity.duid, &links);
        }
    }

    /// Looks round, if there is a reason to and nobody does already.
    pub(super) fn look_round(&mut self, now: Instant) {
        self.wait_for_clients();
        if !self.choosing.looking.is_empty() {
            return;
        }
        if self.coordinator.lacks_choice(now) {
            self.choosing.pace.handle_lack(now);
        }
        let Some(news) = self.choosing.pace.poll_look(now) else { return };
        if !self.coordinator.chooses() {
            return;
        }
        let links = self.tasks.links();
        self.choosing.links.get_or_insert_with(|| links.clone());
        self.choosing.interfaces = self.coordinator.interfaces_to_choose();
        let open = self.coordinator.open_choices(news, now);
        if open.is_empty() {
            return self.choosing.pace.handle_rest();
        }
        let own = self.coordinator.sources().into_iter().filter(|id| id.kind == SourceKind::Dhcpv6Pd);
        let round = Round {
            news,
            open,
            own: own.filter_map(|id| id.interface).collect(),
            hushed: self.choosing.pace.hushed(now),
            duid: self.coordinator.identity.duid.clone(),
            links,
            told: self.choosing.kept.names(now),
            told_on: self.choosing.kept.interfaces().clone(),
        };
        self.choosing.looking.spawn_blocking(move || round.run());
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

fn known(links: &Links, interfaces: &BTreeSet<Option<String>>) -> Known {
    let concerns = |name: &String| {
        interfaces.contains(&Some(name.clone())) || interfaces.contains(&None) && init::can_be_uplink(name)
    };
    let state = |link: link::LinkState| (link.ifindex, link.up && link.can_send());
    let names = links.names().into_iter().filter(concerns);
    names.filter_map(|name| Some((name.clone(), state(links.get(&name)?)))).collect()
}

impl Round {
    /// Looks round with a runtime of its own: parts of it read files.
    fn run(self) -> Looked {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return Looked::default();
        };
        runtime.block_on(self.look())
    }

    async fn look(&self) -> Looked {
        let wanted: BTreeSet<Option<String>> = self.open.iter().map(interface_of).collect();
        let places = wanted.into_iter().map(async |wanted| {
            let seen = gather::surroundings(wanted.clone(), None).await.interfaces;
            (wanted, seen)
        });
        let places: BTreeMap<_, _> = join_all(places).await.into_iter().collect();
        let look = |prefix: &DynamicPrefix| {
            let seen = places.get(&interface_of(prefix)).cloned().unwrap_or_default();
            Look { prefix: prefix.clone(), is_told: self.told.contains(&prefix.name), seen }
        };
        let mut looks: Vec<Look> = self.open.iter().map(look).collect();
        round::share_reports(&mut looks, &self.told_on);
        let answers = round::questions(&looks).into_iter().map(async |(interface, prefix)| {
            let answer = match round::known_answer(&interface, &self.own, &self.hushed) {
                Some(answer) => answer,
                None => ask(prefix, &interface, &self.duid, self.links.clone()).await,
            };
            (interface, answer)
        });
        let answers: BTreeMap<String, Answer> = join_all(answers).await.into_iter().collect();
        let silent = answers.iter().filter(|(_, answer)| **answer == Answer::Silence);
        let silent = silent.map(|(name, _)| name.clone()).collect();
        Looked { made: round::outcomes(&looks, &answers), news: self.news, silent }
    }
}

fn interface_of(prefix: &DynamicPrefix) -> Option<String> {
    prefix.acquisition.auto.as_ref()?.interface.clone()
}

/// Whether a DHCPv6 server would delegate something.
async fn ask(prefix: &DynamicPrefix, interface: &str, duid: &Duid, links: watch::Receiver<Arc<Links>>) -> Answer {
    let Some(settings) = choice::probe(prefix, interface, duid) else {
        return Answer::NotAsked("there is nothing to ask for".to_owned());
    };
    let memory = Memory::new(duid.clone());
    let is_usable = |links: &Links| links.get(interface).is_some_and(|link| link.up && link.can_send());
    match tokio::time::timeout(ANSWER, probe::solicit(settings, &memory, links.clone())).await {
        Ok(Ok(_advertised)) => Answer::Server,
        Ok(Err(why)) => Answer::NotAsked(why),
        Err(_late) if !is_usable(&links.borrow()) => {
            Answer::NotAsked(format!("{interface} is down or has no link-local address"))
        }
        Err(_late) => Answer::Silence,
    }
}
