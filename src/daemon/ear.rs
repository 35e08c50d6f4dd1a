//! Hears what the sources of a configuration say for a moment, and does nothing about it: for `plan --live`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Alarm};
use crate::config::Config;
use crate::record::Recorder;
use crate::source::dhcpv6::{self, probe};
use crate::source::http;
use crate::source::interface;
use crate::source::link::{self, Links};
use crate::source::observe;
use crate::source::ra::{self, Settings};
use crate::source::{Offer, SourceId, SourceKind, SourceReport, SourceState, Tally};
use crate::store;
use crate::time::{Deadline, Instant};

use super::coordinator::{Coordinator, Identity, Memory};
use super::{identity, state_directory};

/// What was heard.
#[derive(Debug)]
pub struct Heard {
    /// Knows what the store knows and what was heard.
    pub coordinator: Coordinator,
    /// What could not be asked, a sentence each.
    pub notes: Vec<String>,
}

/// Listens for at most `patience`. `asks`: whether DHCPv6 servers may be asked, which nobody may beside a running daemon.
///
/// # Errors
/// When the store cannot be read, or there can be no runtime.
pub fn listen(config: Config, asks: bool, patience: Duration) -> anyhow::Result<Heard> {
    let epoch = clock::epoch();
    let config = Arc::new(config);
    let boot_id = identity::boot_id();
    let state = store::peek(&state_directory(&config))?.map(|state| state.read_in(boot_id.as_deref()));
    let daemon_id = config.daemon.id.clone().unwrap_or_else(identity::daemon_id);
    let duid = state.as_ref().and_then(store::State::duid).map_or_else(identity::duid, Ok)?;
    let memory = Memory::from_state(state.as_ref(), &config, &epoch);
    let identity = Identity { daemon_id, duid, boot_id };
    let mut heard = Heard { coordinator: Coordinator::new(config, identity, memory, epoch.now()), notes: Vec::new() };
    let chosen = heard.coordinator.config().dynamic_prefixes.iter().filter(|prefix| prefix.acquisition.auto.is_some());
    let of_daemon =
        |name| format!("{name}: what acquisition.auto chooses is the daemon's to say; nobody was asked for it.");
    heard.notes = chosen.map(|prefix| of_daemon(&prefix.name)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(heard.hear(asks, clock::now() + patience))?;
    Ok(heard)
}

/// A source that has nothing more to say.
enum News {
    Report(Box<SourceReport>),
    Probed(String, Result<probe::Advertised, String>),
}

impl Heard {
    async fn hear(&mut self, asks: bool, until: Instant) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        let (publish, links) = link::channel();
        let watching = tokio::spawn(link::run(publish, stop.clone()));
        let (news, mut heard) = mpsc::channel(64);
        let mut waits = self.start_listeners(&links, &news, &stop);
        waits.extend(self.start_observers(&links, &news, &stop));
        waits.extend(self.start_lookouts(&links, &news, &stop));
        waits.extend(self.start_probes(asks, &links, &news, until));
        let mut alarm = Alarm::new()?;
        while !waits.is_empty() && clock::now() < until {
            tokio::select! {
                Some(news) = heard.recv() => drop(self.take(news).map(|id| waits.remove(&id))),
                () = alarm.wait(Some(until)) => {}
            }
        }
        stop.cancel();
        drop(watching.await);
        self.notes.extend(waits.iter().map(|id| format!("{id} has said nothing in time.")));
        Ok(())
    }

    fn start_listeners(
        &self,
        links: &watch::Receiver<Arc<Links>>,
        news: &mpsc::Sender<News>,
        stop: &CancellationToken,
    ) -> BTreeSet<SourceId> {
        let prefixes = &self.coordinator.config().dynamic_prefixes;
        let sources = self.coordinator.sources().into_iter();
        let routers: BTreeSet<SourceId> = sources.filter(|id| id.kind == SourceKind::RouterAdvertisement).collect();
        for interface in routers.iter().filter_map(|id| id.interface.clone()) {
            let (settings, followed) = watch::channel(Settings::for_interface(&interface, prefixes));
            let (tally, _) = watch::channel(Tally::default());
            let (reports, reported) = mpsc::channel(16);
            let listening =
                ra::run(followed, Vec::new(), links.clone(), reports, Recorder::default(), tally, stop.clone());
            pass_on(settings, listening, reported, news);
        }
        routers
    }

    fn start_observers(
        &self,
        links: &watch::Receiver<Arc<Links>>,
        news: &mpsc::Sender<News>,
        stop: &CancellationToken,
    ) -> BTreeSet<SourceId> {
        let interfaces: Vec<String> = self.coordinator.observed_interfaces().collect();
        for interface in &interfaces {
            let prefixes = &self.coordinator.config().dynamic_prefixes;
            let (settings, followed) = watch::channel(observe::Settings::for_interface(interface, prefixes));
            let (tally, _) = watch::channel(Tally::default());
            let (reports, reported) = mpsc::channel(16);
            let (held, told) = mpsc::channel(1);
            let (seed, links) = (self.coordinator.observed_seeds(interface, clock::now()), links.clone());
            let recorder = Recorder::default();
            let root = PathBuf::from("/");
            let setup =
                observe::driver::Setup { settings: followed, seed, links, told, reports, recorder, tally, root };
            pass_on((settings, held), observe::run(setup, stop.clone()), reported, news);
        }
        interfaces.iter().map(|interface| SourceId::on(SourceKind::Observed, interface)).collect()
    }

    /// Looks at addresses, and asks services. It takes no port and tells nobody anything, so that a running daemon is not
    /// in the way.
    fn start_lookouts(
        &self,
        links: &watch::Receiver<Arc<Links>>,
        news: &mpsc::Sender<News>,
        stop: &CancellationToken,
    ) -> BTreeSet<SourceId> {
        let prefixes = &self.coordinator.config().dynamic_prefixes;
        let mut asked = BTreeSet::new();
        for id in self.coordinator.sources() {
            let ((reports, reported), recorder) = (mpsc::channel(16), Recorder::default());
            if let (SourceKind::Interface, Some(name)) = (id.kind, &id.interface) {
                let (settings, followed) = watch::channel(interface::Settings::for_interface(name, prefixes));
                let looking = interface::run(followed, Vec::new(), links.clone(), reports, recorder, stop.clone());
                pass_on(settings, looking, reported, news);
            } else if let Some(wanted) = id.url.as_ref().and_then(|url| http::Settings::for_url(url, prefixes)) {
                let (settings, followed) = watch::channel(wanted);
                let seed = clock::now().as_nanos().unsigned_abs();
                let asking = http::run(followed, seed, None, reports, recorder, stop.clone());
                pass_on(settings, asking, reported, news);
            } else {
                continue;
            }
            asked.insert(id);
        }
        asked
    }

    fn start_probes(
        &mut self,
        asks: bool,
        links: &watch::Receiver<Arc<Links>>,
        news: &mpsc::Sender<News>,
        until: Instant,
    ) -> BTreeSet<SourceId> {
        let mut probed = BTreeSet::new();
        for (interface, settings) in self.coordinator.client_settings() {
            if !asks {
                continue;
            }
            let taken = self.coordinator.other_client(&interface).filter(|_| !settings.take_over);
            if let Some(why) = taken {
                self.notes.push(why);
                continue;
            }
            let memory: dhcpv6::Memory = self.coordinator.client_memory(&settings);
            let (links, news, name) = (links.clone(), news.clone(), interface.clone());
            let patience = until.saturating_since(clock::now());
            tokio::spawn(async move {
                let asked = tokio::time::timeout(patience, probe::solicit(settings, &memory, links)).await;
                if let Ok(answer) = asked {
                    drop(news.send(News::Probed(name, answer)).await);
                }
            });
            probed.insert(client_on(&interface));
        }
        probed
    }

    /// Takes in what a source says; which one, if it has nothing more to say.
    fn take(&mut self, news: News) -> Option<SourceId> {
        let now = clock::now();
        match news {
            News::Report(report) => {
                let id = report.id.clone();
                let fails = matches!(report.state, SourceState::Failed(_));
                if let SourceState::Failed(why) = &report.state {
                    self.notes.push(format!("{id}: {why}"));
                }
                let is_done = fails || !report.offers.is_empty();
                self.coordinator.handle_report(*report, now);
                is_done.then_some(id)
            }
            News::Probed(interface, Ok(advertised)) => {
                let id = client_on(&interface);
                let mut report = SourceReport::new(id.clone(), SourceState::Bound);
                report.offers = advertised.into_iter().map(|(name, prefix)| offer(name, &prefix, now)).collect();
                self.coordinator.handle_report(report, now);
                Some(id)
            }
            News::Probed(interface, Err(why)) => {
                self.notes.push(why);
                Some(client_on(&interface))
            }
        }
    }
}

/// Runs a source, and passes on what it reports. `held` is what it would end for want of; it ends when it is
/// told to.
fn pass_on<S: Send + 'static, E: Send + 'static>(
    held: S,
    source: impl Future<Output = Result<(), E>> + Send + 'static,
    mut reported: mpsc::Receiver<SourceReport>,
    news: &mpsc::Sender<News>,
) {
    let news = news.clone();
    tokio::spawn(async move {
        let _held = held;
        let passing = async {
            while let Some(report) = reported.recv().await {
                drop(news.send(News::Report(Box::new(report))).await);
            }
        };
        drop(tokio::join!(source, passing));
    });
}

fn client_on(interface: &str) -> SourceId {
    SourceId::on(SourceKind::Dhcpv6Pd, interface)
}

/// What a server has in mind, as if it had been delegated.
fn offer(name: String, prefix: &dhcpv6::wire::IaPrefix, now: Instant) -> Offer {
    Offer {
        prefix: prefix.prefix,
        recipient: Some(name),
        router: None,
        preferred_until: Deadline::after(now, prefix.preferred),
        valid_until: Deadline::after(now, prefix.valid),
        excluded: prefix.excluded.into_iter().collect(),
        first_seen: now,
        cut: None,
    }
}
