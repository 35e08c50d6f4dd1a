//! Which tasks run: one per source's interface and per cluster of the configuration, started and stopped as it changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::cluster::island::Event;
use crate::cluster::mirror::Publication;
use crate::cluster::timeouts::Timeouts;
use crate::cluster::{Update, Wanted, driver};
use crate::config::{Cluster, DynamicPrefix};
use crate::record::Recorder;
use crate::source::link::Links;
use crate::source::ra::Settings;
use crate::source::{Advertised, SourceId, SourceKind, SourceReport, Tally, dhcpv6, link, observe, ra};

use super::coordinator::Coordinator;
use super::delegation::Release;
use super::supervisor::Supervisor;

mod lookouts;

use lookouts::Lookouts;

/// The far ends of what tasks send to the daemon.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) reports: mpsc::Receiver<SourceReport>,
    pub(super) updates: mpsc::Receiver<(String, Update)>,
    pub(super) events: mpsc::UnboundedReceiver<(String, Event)>,
}

/// The tasks that depend on the configuration.
#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) supervisor: Supervisor,
    stop: CancellationToken,
    links: Option<watch::Receiver<Arc<Links>>>,
    interfaces: BTreeMap<String, Interface>,
    clients: BTreeMap<String, Client>,
    lookouts: Lookouts,
    /// Of the last client on each interface: cancelled once it has let go of the port.
    gone: BTreeMap<String, CancellationToken>,
    observers: BTreeMap<String, Observer>,
    clusters: BTreeMap<String, Island>,
    reports: mpsc::Sender<SourceReport>,
    recorder: Recorder,
    updates: mpsc::Sender<(String, Update)>,
    events: mpsc::UnboundedSender<(String, Event)>,
}

#[derive(Debug)]
struct Interface {
    cancel: CancellationToken,
    settings: watch::Sender<Settings>,
    tally: watch::Receiver<Tally>,
}

#[derive(Debug)]
struct Client {
    cancel: CancellationToken,
    settings: watch::Sender<dhcpv6::Settings>,
    advertised: watch::Sender<Advertised>,
    releases: mpsc::Sender<String>,
    tally: watch::Receiver<Tally>,
}

#[derive(Debug)]
struct Observer {
    cancel: CancellationToken,
    settings: watch::Sender<observe::Settings>,
    told: mpsc::Sender<observe::Saying>,
    tally: watch::Receiver<Tally>,
}

#[derive(Debug)]
struct Island {
    cancel: CancellationToken,
    config: watch::Sender<Arc<Cluster>>,
    wanted: watch::Sender<Option<Wanted>>,
    publication: watch::Sender<Publication>,
}

impl Tasks {
    /// No tasks yet. `stop` ends them all. What the sources take in goes to `recorder`.
    pub(super) fn new(recorder: Recorder, stop: CancellationToken) -> (Self, Inbox) {
        // All are taken at once; the bounds only keep a storm from growing without limit. Events are few for each
        // update, which is bounded, and the decider that makes them must not wait.
        let (reports, reports_in) = mpsc::channel(64);
        let (updates, updates_in) = mpsc::channel(64);
        let (events, events_in) = mpsc::unbounded_channel();
        let tasks = Self {
            supervisor: Supervisor::default(),
            stop,
            links: None,
            interfaces: BTreeMap::new(),
            clients: BTreeMap::new(),
            lookouts: Lookouts::default(),
            gone: BTreeMap::new(),
            observers: BTreeMap::new(),
            clusters: BTreeMap::new(),
            reports,
            recorder,
            updates,
            events,
        };
        (tasks, Inbox { reports: reports_in, updates: updates_in, events: events_in })
    }

    /// Makes the running tasks those of the coordinator's configuration, and hands each its part of it.
    pub(super) fn follow(&mut self, coordinator: &mut Coordinator) {
        let interfaces = coordinator.ra_interfaces();
        self.interfaces.retain(|name, task| interfaces.contains(name) || stopped(&task.cancel));
        let config = coordinator.config();
        for name in interfaces {
            self.follow_interface(&name, &config.dynamic_prefixes, coordinator);
        }
        self.follow_clients(coordinator);
        self.follow_observers(coordinator);
        self.follow_lookouts(coordinator);
        self.follow_clusters(coordinator);
    }

    fn follow_clusters(&mut self, coordinator: &mut Coordinator) {
        for (from, to) in coordinator.take_renamed() {
            let former = self.clusters.remove(&from).and_then(|task| self.clusters.insert(to, task));
            former.iter().for_each(|former| former.cancel.cancel());
        }
        self.end_clusters(coordinator);
        for cluster in coordinator.clusters_to_run() {
            let Some(task) = self.clusters.get(&cluster.name) else {
                self.start_cluster(cluster, coordinator);
                continue;
            };
            // Also when it is the same: whoever reloads wants to see what failed tried again.
            task.config.send_replace(Arc::new(cluster.clone()));
        }
    }

    /// Stops the tasks of clusters that nobody has anything to do with any more.
    pub(super) fn end_clusters(&mut self, coordinator: &Coordinator) {
        let runs = |name: &String| coordinator.clusters_to_run().any(|cluster| cluster.name == *name);
        self.clusters.retain(|name, task| runs(name) || stopped(&task.cancel));
    }

    /// Stops and starts every source and cluster task: after a suspend nothing they hold can be trusted.
    pub(super) fn restart(&mut self, coordinator: &mut Coordinator) {
        self.interfaces.retain(|_, task| stopped(&task.cancel));
        self.clients.retain(|_, task| stopped(&task.cancel));
        self.observers.retain(|_, task| stopped(&task.cancel));
        self.lookouts.stop();
        self.clusters.retain(|_, task| stopped(&task.cancel));
        self.follow(coordinator);
    }

    fn follow_interface(&mut self, name: &str, dynamic_prefixes: &[DynamicPrefix], coordinator: &Coordinator) {
        let settings = Settings::for_interface(name, dynamic_prefixes);
        if let Some(task) = self.interfaces.get(name) {
            task.settings.send_if_modified(|former| std::mem::replace(former, settings.clone()) != settings);
            return;
        }
        let links = self.links();
        let cancel = self.stop.child_token();
        let (settings, followed) = watch::channel(settings);
        let seeds = coordinator.seeds(name);
        let (reports, recorder, stop) = (self.reports.clone(), self.recorder.clone(), cancel.clone());
        let (counted, tally) = watch::channel(Tally::default());
        self.supervisor.spawn(format!("router advertisements on {name}"), cancel.clone(), async move {
            Ok(ra::run(followed, seeds, links, reports, recorder, counted, stop).await?)
        });
        self.interfaces.insert(name.to_owned(), Interface { cancel, settings, tally });
    }

    fn follow_clients(&mut self, coordinator: &Coordinator) {
        let wanted = coordinator.client_settings();
        self.clients.retain(|interface, task| wanted.contains_key(interface) || stopped(&task.cancel));
        for (interface, settings) in wanted {
            match self.clients.get(&interface) {
                // Also when they are the same: a client that has given its delegation back asks again.
                Some(task) => drop(task.settings.send_replace(settings)),
                None => self.start_client(&interface, settings, coordinator),
            }
        }
    }

    fn start_client(&mut self, interface: &str, settings: dhcpv6::Settings, coordinator: &Coordinator) {
        let cancel = self.stop.child_token();
        let (releases, asked) = mpsc::channel(16);
        let (advertise, advertised) = watch::channel(coordinator.advertised(interface).cloned().unwrap_or_default());
        let memory = coordinator.client_memory(&settings);
        let (settings, followed) = watch::channel(settings);
        let (counted, tally) = watch::channel(Tally::default());
        let setup = dhcpv6::driver::Setup {
            settings: followed,
            memory,
            taken: coordinator.other_client(interface),
            links: self.links(),
            advertised,
            releases: asked,
            reports: self.reports.clone(),
            recorder: self.recorder.clone(),
            tally: counted,
        };
        let (gone, stop) = (CancellationToken::new(), cancel.clone());
        let former = self.gone.insert(interface.to_owned(), gone.clone());
        self.supervisor.spawn(format!("DHCPv6 client on {interface}"), cancel.clone(), async move {
            // There is one port, and the former client on the interface may hold it for a moment yet.
            if let Some(former) = former {
                former.cancelled().await;
            }
            let _gone = gone.drop_guard();
            Ok(dhcpv6::run(setup, stop).await?)
        });
        self.clients.insert(interface.to_owned(), Client { cancel, settings, advertised: advertise, releases, tally });
    }

    fn follow_observers(&mut self, coordinator: &Coordinator) {
        let wanted: Vec<String> = coordinator.observed_interfaces().collect();
        self.observers.retain(|interface, task| wanted.contains(interface) || stopped(&task.cancel));
        for interface in wanted {
            let settings = observe::Settings::for_interface(&interface, &coordinator.config().dynamic_prefixes);
            match self.observers.get(&interface) {
                Some(task) => drop(task.settings.send_replace(settings)),
                None => self.start_observer(interface, settings, coordinator),
            }
        }
    }

    fn start_observer(&mut self, interface: String, settings: observe::Settings, coordinator: &Coordinator) {
        let cancel = self.stop.child_token();
        let (told, heard) = mpsc::channel(super::choice::kept::MOST);
        let (settings, followed) = watch::channel(settings);
        let (counted, tally) = watch::channel(Tally::default());
        let setup = observe::driver::Setup {
            settings: followed,
            seed: coordinator.observed_seeds(&interface, clock::now()),
            links: self.links(),
            told: heard,
            reports: self.reports.clone(),
            recorder: self.recorder.clone(),
            tally: counted,
            root: PathBuf::from("/"),
        };
        let name = format!("observer of the DHCPv6 client on {interface}");
        self.supervisor.spawn(name, cancel.clone(), observe::run(setup, cancel.clone()));
        self.observers.insert(interface, Observer { cancel, settings, told, tally });
    }

    /// Tells the observer on an interface what somebody says of a delegation there.
    pub(super) fn tell(&self, interface: &str, told: observe::Told) -> Result<oneshot::Receiver<()>, String> {
        let observer = self.observers.get(interface).ok_or_else(|| format!("nobody observes {interface}"))?;
        let (taken, is_taken) = oneshot::channel();
        let busy = |_| format!("the observer on {interface} does not listen; try again");
        observer.told.try_send(observe::Saying { told, taken }).map_err(busy)?;
        Ok(is_taken)
    }

    /// Tells a client to give back what it holds for a DynamicPrefix.
    pub(super) fn release(&self, release: &Release) -> Result<(), String> {
        let Release { name, interface, .. } = release;
        let client = self.clients.get(interface).ok_or_else(|| format!("there is no DHCPv6 client on {interface}"))?;
        let busy = |_| format!("the DHCPv6 client on {interface} does not listen; try again");
        client.releases.try_send(name.clone()).map_err(busy)
    }

    /// What came in on the sockets of the sources.
    pub(super) fn tallies(&self) -> BTreeMap<SourceId, Tally> {
        let listeners = self.interfaces.iter().map(|(name, task)| (SourceKind::RouterAdvertisement, name, &task.tally));
        let clients = self.clients.iter().map(|(name, task)| (SourceKind::Dhcpv6Pd, name, &task.tally));
        let observers = self.observers.iter().map(|(name, task)| (SourceKind::Observed, name, &task.tally));
        let tally = |(kind, name, tally): (SourceKind, &String, &watch::Receiver<Tally>)| {
            (SourceId::on(kind, name), tally.borrow().clone())
        };
        listeners.chain(clients).chain(observers).map(tally).collect()
    }

    /// The watcher of all links; started when the first source needs it.
    pub(super) fn links(&mut self) -> watch::Receiver<Arc<Links>> {
        if let Some(links) = &self.links {
            return links.clone();
        }
        let (publish, links) = link::channel();
        self.links = Some(links.clone());
        self.supervisor.spawn("links".to_owned(), self.stop.clone(), link::run(publish, self.stop.clone()));
        links
    }

    fn start_cluster(&mut self, config: &Cluster, coordinator: &Coordinator) {
        let cancel = self.stop.child_token();
        let (wanted, followed) = watch::channel(Some(coordinator.wanted(&config.name)));
        let (publication, published) = watch::channel(coordinator.publication(&config.name, &clock::epoch()));
        let (section, followed_section) = watch::channel(Arc::new(config.clone()));
        let setup = driver::Setup {
            cluster: followed_section,
            managed: coordinator.managed(&config.name),
            wanted: followed,
            publication: published,
            published: coordinator.published(&config.name),
            updates: self.updates.clone(),
            timeouts: Timeouts::default(),
            seed: clock::now().as_nanos().unsigned_abs(),
            ready: CancellationToken::new(),
        };
        let (events, stop) = (self.events.clone(), cancel.clone());
        self.supervisor.spawn(format!("cluster {}", config.name), cancel.clone(), async move {
            let log = move |cluster: &str, event| {
                // Nobody listens any more only when the daemon is ending.
                drop(events.send((cluster.to_owned(), event)));
            };
            driver::run(setup, log, stop).await;
            Ok(())
        });
        self.clusters.insert(config.name.clone(), Island { cancel, config: section, wanted, publication });
    }

    /// Hands every cluster what it should say of the DynamicPrefixes, where that changed: nothing, once it has left the
    /// configuration.
    pub(super) fn publish_mirrors(&self, coordinator: &Coordinator) {
        for (name, island) in &self.clusters {
            let publication = coordinator.publication(name, &clock::epoch());
            island.publication.send_if_modified(|former| {
                let changed = *former != publication;
                *former = publication;
                changed
            });
        }
    }

    /// Hands every cluster what is wanted of it now, and every DHCPv6 client what routers say, where that changed.
    pub(super) fn publish(&self, coordinator: &Coordinator) {
        for (interface, client) in &self.clients {
            if let Some(advertised) = coordinator.advertised(interface) {
                client.advertised.send_if_modified(|former| {
                    let changed = former != advertised;
                    if changed {
                        former.clone_from(advertised);
                    }
                    changed
                });
            }
        }
        for (name, island) in &self.clusters {
            let wanted = coordinator.wanted(name);
            island.wanted.send_if_modified(|former| {
                let changed = former.as_ref() != Some(&wanted);
                if changed {
                    *former = Some(wanted);
                }
                changed
            });
        }
    }
}

/// Tells a task to end; never true, so that `retain` forgets it.
fn stopped(cancel: &CancellationToken) -> bool {
    cancel.cancel();
    false
}
