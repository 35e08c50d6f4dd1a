//! Which tasks run: one per interface and cluster of the configuration, started and stopped as it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::cluster::{self, Wanted};
use crate::config::{Cluster, DynamicPrefix};
use crate::source::link::Links;
use crate::source::ra::Settings;
use crate::source::{SourceReport, link, ra};

use super::coordinator::Coordinator;
use super::supervisor::Supervisor;

/// The far ends of what tasks send to the daemon.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) reports: mpsc::Receiver<SourceReport>,
    pub(super) news: mpsc::Receiver<cluster::News>,
}

/// The tasks that depend on the configuration.
#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) supervisor: Supervisor,
    stop: CancellationToken,
    links: Option<watch::Receiver<Arc<Links>>>,
    interfaces: BTreeMap<String, Interface>,
    clusters: BTreeMap<String, Island>,
    reports: mpsc::Sender<SourceReport>,
    news: mpsc::Sender<cluster::News>,
}

#[derive(Debug)]
struct Interface {
    cancel: CancellationToken,
    settings: watch::Sender<Settings>,
}

#[derive(Debug)]
struct Island {
    cancel: CancellationToken,
    config: Cluster,
    wanted: watch::Sender<Option<Wanted>>,
}

impl Tasks {
    /// No tasks yet. `stop` ends them all.
    pub(super) fn new(stop: CancellationToken) -> (Self, Inbox) {
        // Reports and news are taken at once; the bound only keeps a storm from growing without limit.
        let (reports, reports_in) = mpsc::channel(64);
        let (news, news_in) = mpsc::channel(64);
        let tasks = Self {
            supervisor: Supervisor::default(),
            stop,
            links: None,
            interfaces: BTreeMap::new(),
            clusters: BTreeMap::new(),
            reports,
            news,
        };
        (tasks, Inbox { reports: reports_in, news: news_in })
    }

    /// Makes the running tasks those of the coordinator's configuration. A cluster whose section changed is started
    /// anew; what is wanted of it stays.
    pub(super) fn follow(&mut self, coordinator: &Coordinator) {
        let interfaces: BTreeSet<String> = coordinator.ra_interfaces().into_iter().collect();
        self.interfaces.retain(|name, task| interfaces.contains(name) || stopped(&task.cancel));
        let dynamic_prefixes = coordinator.dynamic_prefixes();
        for name in interfaces {
            self.follow_interface(&name, dynamic_prefixes, coordinator);
        }
        let clusters = coordinator.clusters();
        self.clusters.retain(|name, task| {
            clusters.iter().any(|cluster| cluster.name == *name && *cluster == task.config) || stopped(&task.cancel)
        });
        for cluster in clusters {
            if !self.clusters.contains_key(&cluster.name) {
                self.start_cluster(cluster, coordinator);
            }
        }
    }

    /// Stops and starts every source and cluster task: after a suspend nothing they hold can be trusted.
    pub(super) fn restart(&mut self, coordinator: &Coordinator) {
        self.interfaces.retain(|_, task| stopped(&task.cancel));
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
        let (reports, stop) = (self.reports.clone(), cancel.clone());
        self.supervisor.spawn(format!("router advertisements on {name}"), cancel.clone(), async move {
            Ok(ra::run(followed, seeds, links, reports, stop).await?)
        });
        self.interfaces.insert(name.to_owned(), Interface { cancel, settings });
    }

    /// The watcher of all links; started when the first source needs it.
    fn links(&mut self) -> watch::Receiver<Arc<Links>> {
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
        let task = cluster::run(
            config.clone(),
            coordinator.managed(&config.name),
            followed,
            self.news.clone(),
            cancel.clone(),
        );
        self.supervisor.spawn(format!("cluster {}", config.name), cancel.clone(), task);
        self.clusters.insert(config.name.clone(), Island { cancel, config: config.clone(), wanted });
    }

    /// Hands every cluster what is wanted of it now, where that changed.
    pub(super) fn publish(&self, coordinator: &Coordinator) {
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
