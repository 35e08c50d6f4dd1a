//! Addresses of interfaces and services on the Internet, in a replay.

use std::collections::{BTreeMap, BTreeSet};

use crate::daemon::coordinator::Coordinator;
use crate::record::{Event, Hex};
use crate::source::http::asker::{self, Asker};
use crate::source::interface::addresses::Addresses;
use crate::source::interface::table::{self, Table};
use crate::source::link::LinkState;
use crate::source::observe::from_octets;
use crate::source::{Offer, SourceId, SourceKind, SourceReport};
use crate::time::Instant;

use super::What;
use super::listener::{Listener, Slot};

/// The addresses of an interface, and what they mean.
#[derive(Debug)]
pub(super) struct Lookout {
    table: Table,
    addresses: Addresses,
}

/// A service that is asked.
#[derive(Debug)]
pub(super) struct Service {
    asker: Asker,
    asked: bool,
}

/// Who looks at addresses, by interface.
pub(super) type Lookouts = BTreeMap<String, Slot<Lookout>>;

/// Who asks services, by URL.
pub(super) type Services = BTreeMap<String, Slot<Service>>;

impl Listener for Lookout {
    fn handle_link(&mut self, link: Option<LinkState>, now: Instant) {
        self.table.handle_link(link, now);
    }

    fn handle_failure(&mut self, failure: Option<String>, _: Instant) {
        self.table.handle_failure(failure);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.table.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.table.poll_timeout().map(|(at, _)| at)
    }

    /// It never says anything.
    fn poll_message(&mut self) -> Option<(String, Option<Vec<u8>>)> {
        None
    }

    fn poll_notice(&mut self, _: &str) -> Option<What> {
        None
    }

    fn has_news(&self) -> bool {
        self.table.has_news()
    }

    fn poll_report(&mut self) -> Option<SourceReport> {
        self.table.poll_report()
    }
}

impl Lookout {
    /// Takes what the kernel told.
    pub(super) fn take(&mut self, dump: Option<u32>, messages: &[Hex], now: Instant) {
        if let Some(ifindex) = dump {
            self.addresses = Addresses::of(ifindex);
        }
        for message in messages.iter().filter_map(|Hex(octets)| from_octets(octets)) {
            self.addresses.apply(&message, now);
        }
        self.table.handle_addresses(&self.addresses.tell(), now);
    }
}

impl Listener for Service {
    /// It is asked over whatever way there is.
    fn handle_link(&mut self, _: Option<LinkState>, _: Instant) {}

    fn handle_failure(&mut self, _: Option<String>, _: Instant) {}

    fn handle_timeout(&mut self, now: Instant) {
        self.asked |= self.asker.poll_request(now);
        self.asker.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.asker.poll_timeout().map(|(at, _)| at)
    }

    fn poll_message(&mut self) -> Option<(String, Option<Vec<u8>>)> {
        std::mem::take(&mut self.asked).then(|| ("the question for the address of this host".to_owned(), None))
    }

    fn poll_notice(&mut self, _: &str) -> Option<What> {
        None
    }

    fn has_news(&self) -> bool {
        self.asker.has_news()
    }

    fn poll_report(&mut self) -> Option<SourceReport> {
        self.asker.poll_report()
    }
}

impl Service {
    /// Takes an answer, or why there is none.
    pub(super) fn take(&mut self, event: &Event, now: Instant) {
        let Event::Answer { address, why, retry_after, .. } = event else { return };
        let failure = || asker::Failure { why: why.clone(), retry_after: retry_after.map(|seconds| seconds.0) };
        // Whoever wrote a record by hand need not know when it was asked.
        self.asker.poll_request(now);
        self.asker.handle_answer(address.ok_or_else(failure), now);
    }
}

/// As everyone may see it.
pub(super) fn shown(url: &str) -> String {
    SourceId::at(url).shown_url().unwrap_or_default()
}

/// Makes those who look at addresses those of the coordinator's configuration. `links`: what they have to be told by
/// whoever wrote the record by hand.
pub(super) fn follow(
    lookouts: &mut Lookouts,
    coordinator: &Coordinator,
    links: Option<&BTreeMap<String, LinkState>>,
    now: Instant,
) {
    let sources = coordinator.sources();
    let of_addresses = sources.iter().filter(|id| id.kind == SourceKind::Interface);
    let interfaces: BTreeSet<&String> = of_addresses.filter_map(|id| id.interface.as_ref()).collect();
    lookouts.retain(|name, _| interfaces.contains(name));
    for name in interfaces {
        let settings = table::Settings::for_interface(name, &coordinator.config().dynamic_prefixes);
        if let Some(slot) = lookouts.get_mut(name) {
            slot.decider.table.reconfigure(settings, now);
            continue;
        }
        let mut table = Table::new(settings);
        table.seed(&coordinator.address_seeds(name));
        let mut slot = Slot::new(Lookout { table, addresses: Addresses::default() });
        if let Some(link) = links.and_then(|links| links.get(name)) {
            slot.hear().handle_link(Some(link.clone()), now);
        }
        lookouts.insert(name.clone(), slot);
    }
}

/// Makes those who ask services those of the coordinator's configuration. Those of a daemon begin when it says so.
pub(super) fn ask(services: &mut Services, coordinator: &Coordinator, of_a_daemon: bool, now: Instant) {
    let sources = coordinator.sources();
    let urls: BTreeSet<&String> = sources.iter().filter_map(|id| id.url.as_ref()).collect();
    services.retain(|url, _| urls.contains(url));
    for url in urls {
        let settings = asker::Settings::for_url(url, &coordinator.config().dynamic_prefixes);
        match (services.get_mut(url), settings) {
            (Some(slot), Some(settings)) => slot.decider.asker.reconfigure(settings, now),
            (None, Some(settings)) if !of_a_daemon => {
                let held = coordinator.service_seed(&SourceId::at(url));
                services.insert(url.clone(), begin(settings, 0, held, now));
            }
            _ => {}
        }
    }
}

/// One that asks at once. `held`: what was in use before.
pub(super) fn begin(settings: asker::Settings, seed: u64, held: Option<Offer>, now: Instant) -> Slot<Service> {
    let mut asker = Asker::new(settings, seed, now);
    if let Some(held) = held {
        asker.seed(held.prefix, held.first_seen);
    }
    let mut slot = Slot::new(Service { asker, asked: false });
    slot.hear();
    slot
}
