//! Observers in a replay.

use std::collections::{BTreeMap, BTreeSet};

use crate::daemon::coordinator::Coordinator;
use crate::log::record;
use crate::record::{Event, Hex};
use crate::source::SourceReport;
use crate::source::link::LinkState;
use crate::source::observe::{Captured, Observer, Settings, from_octets};
use crate::time::Instant;

use super::What;
use super::listener::{Listener, Slot};

/// The observers, by interface.
pub(super) type Observers = BTreeMap<String, Slot<Observer>>;

impl Listener for Observer {
    fn handle_link(&mut self, link: Option<LinkState>, now: Instant) {
        Self::handle_link(self, link, now);
    }

    fn handle_failure(&mut self, failure: Option<String>, now: Instant) {
        Self::handle_failure(self, failure, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self).map(|(at, _)| at)
    }

    /// It never says anything.
    fn poll_message(&mut self) -> Option<(String, Option<Vec<u8>>)> {
        None
    }

    fn poll_notice(&mut self, interface: &str) -> Option<What> {
        let notice = Self::poll_notice(self)?;
        Some(What::Journal(Box::new(record::unfollowed(interface, &notice.to_string()))))
    }

    fn has_news(&self) -> bool {
        Self::has_news(self)
    }

    fn poll_report(&mut self) -> Option<SourceReport> {
        Self::poll_report(self)
    }
}

/// Makes the observers those of the coordinator's configuration. `links`: what they have to be told by whoever wrote the
/// record by hand.
pub(super) fn follow(
    observers: &mut Observers,
    coordinator: &Coordinator,
    links: Option<&BTreeMap<String, LinkState>>,
    now: Instant,
) {
    let interfaces: BTreeSet<String> = coordinator.observed_interfaces().collect();
    observers.retain(|name, _| interfaces.contains(name));
    for name in interfaces {
        let settings = Settings::for_interface(&name, &coordinator.config().dynamic_prefixes);
        if let Some(slot) = observers.get_mut(&name) {
            slot.decider.reconfigure(settings, now);
            continue;
        }
        let mut observer = Observer::new(settings);
        observer.seed(&coordinator.observed_seeds(&name, now), now);
        let mut slot = Slot::new(observer);
        if let Some(link) = links.and_then(|links| links.get(&name)) {
            slot.hear().handle_link(Some(link.clone()), now);
        }
        observers.insert(name, slot);
    }
}

/// Gives an observer what only observers are given.
pub(super) fn give(observer: &mut Observer, event: &Event, now: Instant) {
    if let Event::Observed { sent, checksum_known, bytes: Hex(bytes), .. } = event {
        let captured = Captured { bytes, checksum_known: *checksum_known };
        if *sent { observer.handle_sent(&captured, now) } else { observer.handle_received(&captured, now) }
    } else if let Event::Netlink { dump, messages, .. } = event {
        let messages: Vec<_> = messages.iter().filter_map(|Hex(octets)| from_octets(octets)).collect();
        if *dump { observer.handle_dump(&messages, now) } else { observer.handle_events(&messages, now) }
    } else if let Event::Filed { filed, .. } = event {
        observer.handle_filed(filed, now);
    } else if let Event::Described { described, .. } = event {
        observer.handle_described(described, now);
    } else if let Event::Told { told, .. } = event {
        observer.handle_told(told, now);
    }
}
