//! One session: from a start of the daemon to its end.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::daemon::choice::with_former;
use crate::daemon::coordinator::{Coordinator, Identity, Memory};
use crate::log::{Entry, record};
use crate::plan::Catalogue;
use crate::record::{Choice, Decider, Event, Hex, Start};
use crate::source::Advertised;
use crate::source::SourceId;
use crate::source::dhcpv6::client::Received;
use crate::source::dhcpv6::{self, Client, Duid, DuidSetting};
use crate::source::http;
use crate::source::link::LinkState;
use crate::source::ra::packet;
use crate::source::ra::table::{self, Table};
use crate::time::{Epoch, Instant};

use super::deciders::Deciders;
use super::exchange::Exchanges;
use super::listener::Slot;
use super::{LATENESS, Moment, What, configuration, describe};
use super::{lookouts, observed};

/// After so many timers at one moment something is wrong with the program; better to show what there is.
const MOST_AT_ONCE: usize = 10_000;

/// See the module's documentation.
pub(super) struct Session<'a> {
    epoch: Epoch,
    /// It was written by a daemon, so that calls are made when the record says so.
    of_a_daemon: bool,
    path: PathBuf,
    coordinator: Coordinator,
    deciders: Deciders,
    exchanges: BTreeMap<String, Exchanges>,
    /// What the clients were told last of what routers say.
    advertised: BTreeMap<String, Advertised>,
    links: BTreeMap<String, LinkState>,
    catalogue: Arc<Catalogue>,
    now: Instant,
    out: &'a mut dyn FnMut(Moment),
}

impl<'a> Session<'a> {
    pub(super) fn new(
        start: &Start,
        began: Instant,
        of_a_daemon: bool,
        out: &'a mut dyn FnMut(Moment),
    ) -> Result<Self, String> {
        let epoch = Epoch::new(began, start.started);
        let path = PathBuf::from(&start.path);
        let config = configuration(&start.config, &path)?;
        // A hand-made one has no need of an identity.
        let duid = Duid::new(&start.duid.0).unwrap_or_else(|_| Duid::uuid([0; 16]));
        let boot_id = start.boot_id.clone();
        let state = start.state.clone().map(|state| state.read_in(boot_id.as_deref()));
        let memory = Memory::from_state(state.as_ref(), &config, &epoch);
        let identity = Identity { daemon_id: start.daemon_id.clone(), duid, boot_id };
        let started = What::Started { program: start.program.clone(), daemon_id: start.daemon_id.clone() };
        let mut session = Self {
            epoch,
            of_a_daemon,
            path,
            coordinator: Coordinator::new(Arc::new(config), identity, memory, began),
            deciders: Deciders::default(),
            exchanges: BTreeMap::new(),
            advertised: BTreeMap::new(),
            links: BTreeMap::new(),
            catalogue: Arc::default(),
            now: began,
            out,
        };
        session.tell(started);
        session.follow();
        session.settle();
        Ok(session)
    }

    /// Lets time go on to `to`: what is due happens, unless the machine sleeps, which it does from `awake_until` on.
    pub(super) fn advance(&mut self, to: Instant, awake_until: Instant) {
        let grace = if self.of_a_daemon { LATENESS } else { Duration::ZERO };
        let mut at_once = 0;
        while let Some(due) = self.due().filter(|due| *due + grace <= to && *due <= awake_until) {
            at_once = if due > self.now { 0 } else { at_once + 1 };
            if at_once > MOST_AT_ONCE {
                return self.tell(What::Unheard("a timer that does not end".to_owned()));
            }
            self.now = self.now.max(due);
            self.fire();
            self.settle();
        }
        self.now = self.now.max(to);
    }

    /// When something is to be done next.
    fn due(&self) -> Option<Instant> {
        self.deciders.due().into_iter().chain(self.coordinator.poll_timeout()).min()
    }

    /// Does all that is due.
    fn fire(&mut self) {
        for report in self.deciders.wake(self.now) {
            self.coordinator.handle_report(report, self.now);
        }
        self.coordinator.handle_timeout(self.now);
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, event: &Event, at: Instant) -> Result<(), String> {
        self.now = at;
        self.give(event)?;
        if is_for_the_coordinator(event) {
            self.coordinator.handle_timeout(at);
        }
        self.settle();
        Ok(())
    }

    fn give(&mut self, event: &Event) -> Result<(), String> {
        let now = self.now;
        match event {
            Event::Start(_) => {}
            Event::Client { interface, seed } => self.start_client(interface, seed)?,
            Event::Link { interface, to, link } => self.link(interface, *to, link.as_ref().map(LinkState::from)),
            Event::RouterAdvertisement { interface, source, hop_limit, fragmented, bytes } => {
                let packet = packet::Received {
                    source: *source,
                    hop_limit: *hop_limit,
                    fragmented: *fragmented,
                    bytes: &bytes.0,
                };
                let table = self.deciders.tables.get_mut(interface).map(|slot| slot.hear().handle_packet(&packet, now));
                self.heard(table, interface);
            }
            Event::Datagram { interface, destination, ifindex, bytes } => {
                self.datagram(interface, *destination, *ifindex, bytes);
            }
            Event::Observed { interface, .. }
            | Event::Netlink { interface, .. }
            | Event::Filed { interface, .. }
            | Event::Described { interface, .. }
            | Event::Told { interface, .. } => {
                let slot = self.deciders.observers.get_mut(interface);
                let heard = slot.map(|slot| observed::give(slot.hear(), event, now));
                self.heard(heard, interface);
            }
            Event::Addresses { interface, dump, messages } => {
                let slot = self.deciders.lookouts.get_mut(interface);
                let heard = slot.map(|slot| slot.hear().take(*dump, messages, now));
                self.heard(heard, interface);
            }
            Event::Service { url, seed } => self.start_service(url, *seed),
            Event::Answer { url, .. } => {
                let heard = self.deciders.services.get_mut(url).map(|slot| slot.hear().take(event, now));
                self.heard(heard, &lookouts::shown(url));
            }
            Event::Chosen(choice) => self.choose(choice),
            Event::Sent { interface, bytes } => {
                self.exchanges.entry(interface.clone()).or_default().recorded(&bytes.0);
            }
            Event::Failure { interface, to, text } => {
                let heard = self.deciders.each(interface, *to, |decider| decider.handle_failure(text.clone(), now));
                self.heard(heard, interface);
            }
            Event::Wake { to: Decider::Coordinator, .. } => {}
            Event::Wake { to, interface } => {
                let interface = interface.as_deref().unwrap_or_default();
                let heard = self.deciders.each(interface, *to, |decider| decider.handle_timeout(now));
                self.heard(heard, interface);
            }
            Event::Report { to, interface } => self.report(interface, *to),
            Event::Reload { config } => self.reload(config)?,
            Event::Settings { interface, duid } => self.settings(interface, duid.as_ref())?,
            Event::Release { interface, name } => self.release(interface.as_deref(), name),
            Event::Resumed { slept } => {
                self.journal(record::resumed(slept.0));
                self.coordinator.handle_resume(now);
                self.deciders = Deciders::default();
                self.follow();
            }
            Event::End => self.tell(What::Stopped),
        }
        Ok(())
    }

    fn link(&mut self, interface: &str, to: Option<Decider>, link: Option<LinkState>) {
        let now = self.now;
        let all = [Decider::RouterAdvertisement, Decider::Dhcpv6, Decider::Observer, Decider::Addresses];
        let told = all.into_iter().filter(|it| to.is_none_or(|to| to == *it));
        let heard: Vec<()> = told
            .filter_map(|to| self.deciders.each(interface, to, |decider| decider.handle_link(link.clone(), now)))
            .collect();
        self.heard((!heard.is_empty()).then_some(()), interface);
        match link {
            Some(link) => drop(self.links.insert(interface.to_owned(), link)),
            None => drop(self.links.remove(interface)),
        }
    }

    fn datagram(&mut self, interface: &str, destination: Ipv6Addr, ifindex: u32, bytes: &Hex) {
        let bytes = self.exchanges.entry(interface.to_owned()).or_default().translate(bytes.0.clone());
        let message = describe::received(&bytes);
        self.tell(What::Received { interface: interface.to_owned(), message });
        let (now, datagram) = (self.now, Received { destination, ifindex, bytes: &bytes });
        let client = self.deciders.clients.get_mut(interface).map(|slot| slot.hear().handle_datagram(&datagram, now));
        self.heard(client, interface);
    }

    fn report(&mut self, interface: &str, to: Decider) {
        if let Some(report) = self.deciders.poll_report(interface, to) {
            self.coordinator.handle_report(report, self.now);
        }
    }

    fn reload(&mut self, text: &str) -> Result<(), String> {
        let config = with_former(configuration(text, &self.path)?, self.coordinator.config());
        self.coordinator.reconfigure(Arc::new(config), self.now);
        self.journal(record::reloaded(&self.path.display().to_string()));
        self.follow();
        Ok(())
    }

    fn settings(&mut self, interface: &str, duid: Option<&Hex>) -> Result<(), String> {
        let Some(mut settings) = self.coordinator.client_settings().remove(interface) else { return Ok(()) };
        if let Some(duid) = duid {
            settings.duid = DuidSetting::Fixed(Duid::new(&duid.0).map_err(|error| error.to_string())?);
        }
        let now = self.now;
        let client = self.deciders.clients.get_mut(interface).map(|slot| slot.decider.reconfigure(settings, now));
        self.heard(client, interface);
        Ok(())
    }

    fn release(&mut self, interface: Option<&str>, name: &str) {
        if let Some(interface) = interface {
            let now = self.now;
            let client = self.deciders.clients.get_mut(interface).map(|slot| slot.decider.release(name, now));
            return self.heard(client.map(drop), interface);
        }
        match self.coordinator.release(name, self.now) {
            Ok(release) if !self.of_a_daemon => self.release(Some(&release.interface), name),
            Ok(_) => {}
            Err(why) => self.tell(What::Unheard(why)),
        }
    }

    /// Makes the deciders those of the coordinator's configuration.
    fn follow(&mut self) {
        let (now, of_a_daemon) = (self.now, self.of_a_daemon);
        let interfaces = self.coordinator.ra_interfaces();
        self.deciders.tables.retain(|name, _| interfaces.contains(name));
        for name in interfaces {
            let settings = table::Settings::for_interface(&name, &self.coordinator.config().dynamic_prefixes);
            match self.deciders.tables.get_mut(&name) {
                Some(slot) => slot.decider.reconfigure(settings, now),
                None => {
                    let mut slot = Slot::new(Table::new(settings));
                    slot.decider.seed(&self.coordinator.seeds(&name), now);
                    if let Some(link) = self.links.get(&name).filter(|_| !of_a_daemon) {
                        slot.hear().handle_link(Some(link.clone()), now);
                    }
                    self.deciders.tables.insert(name, slot);
                }
            }
        }
        let links = (!of_a_daemon).then_some(&self.links);
        observed::follow(&mut self.deciders.observers, &self.coordinator, links, now);
        lookouts::follow(&mut self.deciders.lookouts, &self.coordinator, links, now);
        lookouts::ask(&mut self.deciders.services, &self.coordinator, of_a_daemon, now);
        let clients = self.coordinator.client_settings();
        self.deciders.clients.retain(|name, _| clients.contains_key(name));
        for (name, settings) in clients.into_iter().filter(|_| !of_a_daemon) {
            match self.deciders.clients.get_mut(&name) {
                Some(slot) => slot.decider.reconfigure(settings, now),
                None => self.add_client(settings, [0; 32]),
            }
        }
    }

    fn start_client(&mut self, interface: &str, seed: &Hex) -> Result<(), String> {
        let seed = seed.0.as_slice().try_into().map_err(|_| "the seed of a client has 32 octets".to_owned())?;
        match self.coordinator.client_settings().remove(interface) {
            Some(settings) => self.add_client(settings, seed),
            None => self.heard(None, interface),
        }
        Ok(())
    }

    fn add_client(&mut self, settings: dhcpv6::Settings, seed: [u8; 32]) {
        let name = settings.interface.clone();
        let memory = self.coordinator.client_memory(&settings);
        let mut client = Client::new(settings, memory, seed, self.now);
        let advertised = self.coordinator.advertised(&name).cloned().unwrap_or_default();
        client.handle_advertised(&advertised, self.now);
        let mut slot = Slot::new(client);
        if let Some(link) = self.links.get(&name).filter(|_| !self.of_a_daemon) {
            slot.hear().handle_link(Some(link.clone()), self.now);
        }
        self.advertised.insert(name.clone(), advertised);
        self.deciders.clients.insert(name, slot);
    }

    fn start_service(&mut self, url: &str, seed: u64) {
        match http::Settings::for_url(url, &self.coordinator.config().dynamic_prefixes) {
            Some(settings) => {
                let held = self.coordinator.service_seed(&SourceId::at(url));
                self.deciders.services.insert(url.to_owned(), lookouts::begin(settings, seed, held, self.now));
            }
            None => self.heard(None, &lookouts::shown(url)),
        }
    }

    fn choose(&mut self, choice: &Choice) {
        match choice.outcome() {
            Ok(outcome) => {
                if self.coordinator.take_choices(&[(choice.name.clone(), outcome)], self.now) {
                    self.follow();
                }
            }
            Err(problem) => self.tell(What::Unheard(problem)),
        }
    }

    /// Takes everything that the deciders give, until they have no more.
    fn settle(&mut self) {
        self.drain();
        while !self.of_a_daemon && self.due().is_some_and(|due| due <= self.now) && self.deciders.has_news() {
            self.fire();
            self.drain();
        }
        self.plan();
    }

    fn drain(&mut self) {
        let now = self.now;
        for (interface, client) in &mut self.deciders.clients {
            let told = self.advertised.entry(interface.clone()).or_default();
            if let Some(advertised) = self.coordinator.advertised(interface).filter(|advertised| *advertised != told) {
                told.clone_from(advertised);
                client.decider.handle_advertised(advertised, now);
            }
        }
        let mut said = Vec::new();
        self.deciders.listen(now, &mut said);
        for what in said {
            if let What::Sent { interface, octets: Some(octets), .. } = &what {
                self.exchanges.entry(interface.clone()).or_default().sent(octets);
            }
            self.tell(what);
        }
        while let Some(entry) = self.coordinator.poll_entry(&self.epoch) {
            self.journal(entry);
        }
    }

    /// Tells of the plan when there is another one.
    fn plan(&mut self) {
        if Arc::ptr_eq(&self.catalogue, &self.coordinator.catalogue) {
            return;
        }
        let none_before = *self.catalogue == Catalogue::default();
        self.catalogue = Arc::clone(&self.coordinator.catalogue);
        let snapshots = self.coordinator.snapshots();
        // Before the first opinion there is no plan.
        if none_before && snapshots.is_empty() {
            return;
        }
        let config = Arc::clone(&self.coordinator.config);
        self.tell(What::Plan { daemon_id: self.coordinator.identity.daemon_id.clone(), config, snapshots });
    }

    /// A daemon's tasks may take in something while they end; in a record made by hand it is a mistake.
    fn heard(&mut self, heard: Option<()>, interface: &str) {
        if heard.is_none() && !self.of_a_daemon {
            self.tell(What::Unheard(format!("the configuration has nothing for this on {interface}")));
        }
    }

    fn journal(&mut self, entry: Entry) {
        self.tell(What::Journal(Box::new(entry)));
    }

    fn tell(&mut self, what: What) {
        (self.out)(Moment { at: self.now, epoch: self.epoch, what });
    }
}

/// Whether the daemon's own task is what runs: it looks at its timers whenever it does.
fn is_for_the_coordinator(event: &Event) -> bool {
    match event {
        Event::Wake { to, .. } => *to == Decider::Coordinator,
        Event::Report { .. }
        | Event::Reload { .. }
        | Event::Resumed { .. }
        | Event::Chosen(_)
        | Event::Release { interface: None, .. } => true,
        Event::Start(_)
        | Event::Client { .. }
        | Event::Link { .. }
        | Event::RouterAdvertisement { .. }
        | Event::Datagram { .. }
        | Event::Observed { .. }
        | Event::Netlink { .. }
        | Event::Filed { .. }
        | Event::Described { .. }
        | Event::Told { .. }
        | Event::Addresses { .. }
        | Event::Service { .. }
        | Event::Answer { .. }
        | Event::Sent { .. }
        | Event::Failure { .. }
        | Event::Settings { .. }
        | Event::Release { .. }
        | Event::End => false,
    }
}
