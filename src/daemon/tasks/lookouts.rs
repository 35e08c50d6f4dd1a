//! The tasks of sources that speak to nobody on a link: they look at this host's own addresses, or ask a service.

use std::collections::BTreeMap;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Tasks, stopped};
use crate::clock;
use crate::daemon::coordinator::Coordinator;
use crate::source::{SourceId, SourceKind, http, interface};

/// One task for each interface whose addresses matter, and for each URL.
#[derive(Debug, Default)]
pub(super) struct Lookouts {
    interfaces: BTreeMap<String, Task<interface::Settings>>,
    services: BTreeMap<String, Task<http::Settings>>,
}

#[derive(Debug)]
struct Task<S> {
    cancel: CancellationToken,
    settings: watch::Sender<S>,
}

impl Lookouts {
    /// Ends them all.
    pub(super) fn stop(&mut self) {
        self.interfaces.retain(|_, task| stopped(&task.cancel));
        self.services.retain(|_, task| stopped(&task.cancel));
    }
}

impl Tasks {
    /// Makes them those of the coordinator's configuration.
    pub(super) fn follow_lookouts(&mut self, coordinator: &Coordinator) {
        let sources = coordinator.sources();
        let wants = |id: SourceId| sources.contains(&id);
        let Lookouts { interfaces, services } = &mut self.lookouts;
        interfaces.retain(|name, task| wants(SourceId::on(SourceKind::Interface, name)) || stopped(&task.cancel));
        services.retain(|url, task| wants(SourceId::at(url)) || stopped(&task.cancel));
        for id in sources {
            match (id.kind, &id.interface, &id.url) {
                (SourceKind::Interface, Some(name), _) => self.follow_addresses(name, coordinator),
                (SourceKind::Http, _, Some(url)) => self.follow_service(url, &id, coordinator),
                _ => {}
            }
        }
    }

    fn follow_addresses(&mut self, name: &str, coordinator: &Coordinator) {
        let settings = interface::Settings::for_interface(name, &coordinator.config().dynamic_prefixes);
        if let Some(task) = self.lookouts.interfaces.get(name) {
            task.settings.send_if_modified(|former| std::mem::replace(former, settings.clone()) != settings);
            return;
        }
        let links = self.links();
        let cancel = self.stop.child_token();
        let (settings, followed) = watch::channel(settings);
        let seeds = coordinator.address_seeds(name);
        let (reports, recorder, stop) = (self.reports.clone(), self.recorder.clone(), cancel.clone());
        let running = interface::run(followed, seeds, links, reports, recorder, stop);
        self.supervisor.spawn(format!("addresses of {name}"), cancel.clone(), running);
        self.lookouts.interfaces.insert(name.to_owned(), Task { cancel, settings });
    }

    fn follow_service(&mut self, url: &str, id: &SourceId, coordinator: &Coordinator) {
        let Some(settings) = http::Settings::for_url(url, &coordinator.config().dynamic_prefixes) else { return };
        if let Some(task) = self.lookouts.services.get(url) {
            // Also when they are the same: whoever reloads wants to see what failed tried again.
            task.settings.send_replace(settings);
            return;
        }
        let cancel = self.stop.child_token();
        let (settings, followed) = watch::channel(settings);
        let (reports, recorder, stop) = (self.reports.clone(), self.recorder.clone(), cancel.clone());
        let (seed, held) = (clock::now().as_nanos().unsigned_abs(), coordinator.service_seed(id));
        self.supervisor.spawn(id.to_string(), cancel.clone(), async move {
            Ok(http::run(followed, seed, held, reports, recorder, stop).await?)
        });
        self.lookouts.services.insert(url.to_owned(), Task { cancel, settings });
    }
}
