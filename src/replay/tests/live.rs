//! A session as the drivers make it: table, client and coordinator with a scripted server, all recorded. Whatever they
//! wait for comes three milliseconds late.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::line;
use crate::config::{Config, Host};
use crate::daemon::coordinator::{Coordinator, Identity, Memory};
use crate::log::record;
use crate::record::{Decider, Event, Hex, Recording, Seconds, Start, Tape};
use crate::replay::listener::{Listener, Slot, listen};
use crate::source::dhcpv6::client::Received;
use crate::source::dhcpv6::wire::server::{decode_client, encode};
use crate::source::dhcpv6::wire::{ClientMessage, IaPd, IaPrefix, Incoming, Outgoing, ServerMessage, Status};
use crate::source::dhcpv6::{Client, Duid};
use crate::source::link::{LinkAddress, LinkState};
use crate::source::ra::packet::{self, Advertisement, PrefixInformation};
use crate::source::ra::table::{Settings, Table};
use crate::source::{Advertised, SourceReport};
use crate::time::{Epoch, Instant};

pub(super) const CONFIG: &str = r#"
[[dynamicPrefix]]
name = "home"
acquisition.dhcpv6 = { interface = "wan", requestedPrefixLength = 56 }
acquisition.routerAdvertisement = { interface = "wan" }
subnets = [{ name = "lb", index = 5, prefixLength = 64 }]
"#;

const LATE: Duration = Duration::from_millis(3);
const SEEDS: [[u8; 32]; 2] = [[1; 32], [2; 32]];

pub(super) struct Live {
    recording: Recording,
    epoch: Epoch,
    now: Instant,
    coordinator: Coordinator,
    table: Slot<Table>,
    client: Slot<Client>,
    tapes: (Tape, Tape),
    advertised: Advertised,
    link: Option<LinkState>,
    gone: bool,
    /// How often the server was away: afterwards it delegates another prefix.
    lives: u8,
    told: Vec<String>,
}

fn config(text: &str) -> Arc<Config> {
    let loaded = Config::parse(
        text,
        Path::new("test.toml"),
        &Host { variable: &|_| None, exists: &|_| true, read: &|_| Ok(String::new()) },
    );
    Arc::new(loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.findings)))
}

impl Live {
    pub(super) fn start(path: &Path) -> Self {
        let now = Instant::from_secs(1000);
        let identity = Identity {
            daemon_id: "0123456789abcdef".to_owned(),
            duid: Duid::uuid([7; 16]),
            boot_id: Some("boot".to_owned()),
        };
        let epoch = Epoch::new(now, "2026-01-04T10:00:00Z".parse().unwrap());
        let start = Start {
            record: crate::record::FORMAT,
            program: "0.0.0".to_owned(),
            started: epoch.wall_now(),
            boot_time: Seconds(Duration::from_secs(1000)),
            boot_id: identity.boot_id.clone(),
            daemon_id: identity.daemon_id.clone(),
            duid: Hex(identity.duid.as_bytes().to_vec()),
            path: "test.toml".to_owned(),
            config: CONFIG.to_owned(),
            state: None,
        };
        let recording = Recording::start(path, start, now).unwrap();
        let coordinator = Coordinator::new(config(CONFIG), identity, Memory::default(), now);
        let recorder = recording.recorder();
        let tapes = (recorder.tape(Decider::RouterAdvertisement, "wan"), recorder.tape(Decider::Dhcpv6, "wan"));
        let (table, client) = begin(&coordinator, &tapes.1, SEEDS[0], now);
        let advertised = Advertised::default();
        let (told, link) = (Vec::new(), None);
        Self { recording, epoch, now, coordinator, table, client, tapes, advertised, link, gone: false, lives: 0, told }
    }

    pub(super) fn link_up(&mut self) {
        let own = LinkAddress { address: "fe80::2".parse().unwrap(), tentative: false };
        self.link = Some(LinkState { ifindex: 2, up: true, mac: Some([2, 0, 0, 0, 0, 2]), addresses: vec![own] });
        self.tell_link();
    }

    fn tell_link(&mut self) {
        self.tapes.0.link(self.link.as_ref(), self.now);
        self.table.decider.handle_link(self.link.clone(), self.now);
        self.drain();
        self.tapes.1.link(self.link.as_ref(), self.now);
        self.client.decider.handle_link(self.link.clone(), self.now);
        self.drain();
    }

    /// A router has the flag M, and a prefix on the link.
    pub(super) fn advertisement(&mut self) {
        let prefix = PrefixInformation {
            prefix: "2001:db8:f::/64".parse().unwrap(),
            on_link: true,
            autonomous: true,
            pd_preferred: false,
            preferred: 600,
            valid: 1200,
        };
        let router = "fe80::1".parse().unwrap();
        let message = Advertisement {
            router,
            router_lifetime: 1800,
            managed: true,
            other: false,
            prefixes: vec![prefix],
            ignored: vec![],
        };
        let bytes = message.encode();
        let received = packet::Received { source: router, hop_limit: Some(255), fragmented: false, bytes: &bytes };
        self.tapes.0.advertisement(&received, self.now);
        self.table.decider.handle_packet(&received, self.now);
        self.drain();
    }

    pub(super) fn server_is_gone(&mut self, gone: bool) {
        self.gone = gone;
        self.lives += u8::from(!gone);
    }

    /// Lets this much time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let timers = [Listener::poll_timeout(&self.table.decider), Listener::poll_timeout(&self.client.decider)];
            let due = timers.into_iter().chain([self.coordinator.poll_timeout()]).flatten().min();
            let Some(due) = due.map(|due| due.max(self.now) + LATE).filter(|due| *due <= until) else { break };
            self.now = due;
            if timers[0].is_some_and(|at| at <= due) {
                self.tapes.0.wake(due);
                self.table.decider.handle_timeout(due);
                self.drain();
            }
            if timers[1].is_some_and(|at| at <= due) {
                self.tapes.1.wake(due);
                self.client.decider.handle_timeout(due);
            }
            self.drain();
        }
        self.now = until;
    }

    /// The machine sleeps; a timer is the first to notice, and then the daemon begins anew.
    pub(super) fn sleep(&mut self, slept: Duration) {
        self.now = self.now + slept;
        self.tapes.1.wake(self.now);
        self.client.decider.handle_timeout(self.now);
        self.drain();
        self.now = self.now + LATE;
        self.recording.recorder().write(self.now, || Event::Resumed { slept: Seconds(slept) });
        self.told.push(record::resumed(slept).message);
        self.coordinator.handle_resume(self.now);
        (self.table, self.client) = begin(&self.coordinator, &self.tapes.1, SEEDS[1], self.now);
        self.advertised = self.coordinator.advertised("wan").cloned().unwrap_or_default();
        self.client.decider.handle_advertised(&self.advertised, self.now);
        self.tell_link();
    }

    pub(super) fn reload(&mut self, text: &str) {
        self.recording.recorder().write(self.now, || Event::Reload { config: text.to_owned() });
        self.coordinator.reconfigure(config(text), self.now);
        self.told.push(record::reloaded("test.toml").message);
        let settings = self.coordinator.client_settings().remove("wan").unwrap();
        self.now = self.now + LATE;
        self.tapes.1.settings(settings.duid.fixed(), self.now);
        self.client.decider.reconfigure(settings, self.now);
        self.drain();
    }

    /// What was sent and told.
    pub(super) fn end(self) -> Vec<String> {
        self.recording.end(self.now);
        self.told
    }

    /// What the drivers and the daemon do after an input. The server answers at once.
    fn drain(&mut self) {
        loop {
            let mut said = Vec::new();
            listen("wan", &mut self.client, self.now, &mut said);
            listen("wan", &mut self.table, self.now, &mut said);
            self.told.extend(said.iter().map(line));
            let sent: Vec<Vec<u8>> = said
                .into_iter()
                .filter_map(|what| if let super::What::Sent { octets, .. } = what { octets } else { None })
                .collect();
            sent.iter().for_each(|octets| self.tapes.1.sent(octets, self.now));
            let heard = self.take_reports();
            let answers: Vec<Vec<u8>> = sent.iter().filter_map(|octets| self.answer(octets)).collect();
            if answers.is_empty() && !heard {
                return;
            }
            for bytes in answers {
                self.now = self.now + LATE;
                let received = Received { destination: "fe80::2".parse().unwrap(), ifindex: 2, bytes: &bytes };
                self.tapes.1.datagram(&received, self.now);
                self.client.decider.handle_datagram(&received, self.now);
            }
        }
    }

    /// The coordinator hears of everything a little later.
    fn take_reports(&mut self) -> bool {
        let reports: [Option<SourceReport>; 2] = [
            self.client.decider.poll_report().inspect(|_| self.tapes.1.report(self.now)),
            self.table.decider.poll_report().inspect(|_| self.tapes.0.report(self.now)),
        ];
        self.now = self.now + Duration::from_micros(10);
        let due = self.coordinator.poll_timeout().is_some_and(|at| at <= self.now);
        if due {
            self.recording.recorder().write(self.now, || Event::Wake { to: Decider::Coordinator, interface: None });
        }
        let heard = reports.iter().any(Option::is_some);
        reports.into_iter().flatten().for_each(|report| self.coordinator.handle_report(report, self.now));
        self.coordinator.handle_timeout(self.now);
        while let Some(entry) = self.coordinator.poll_entry(&self.epoch) {
            self.told.push(entry.message);
        }
        let advertised = self.coordinator.advertised("wan").cloned().unwrap_or_default();
        if advertised != self.advertised {
            self.advertised = advertised;
            self.client.decider.handle_advertised(&self.advertised, self.now);
            return true;
        }
        heard
    }

    /// Delegates a /56 for 30 minutes, to be renewed after 10; another one when it was away.
    fn answer(&self, sent: &[u8]) -> Option<Vec<u8>> {
        let Outgoing { kind, transaction_id, client_id, delegations, .. } = decode_client(sent).ok()?;
        let kind = if kind == ClientMessage::Solicit { ServerMessage::Advertise } else { ServerMessage::Reply };
        let mut answer = Incoming::new(kind, transaction_id);
        answer.client_id = Some(client_id);
        answer.server_id = Duid::new(&[0, 3, 0, 1, 2, 0, 0, 0, 0, self.lives]).ok();
        let prefix = IaPrefix {
            prefix: format!("2001:db8:{}::/56", self.lives).parse().unwrap(),
            preferred: 1200,
            valid: 1800,
            status: Status::default(),
            excluded: None,
        };
        let ia = |(iaid, _): (u32, _)| IaPd {
            iaid,
            t1: 600,
            t2: 960,
            status: Status::default(),
            prefixes: vec![prefix.clone()],
        };
        answer.delegations = delegations.into_iter().map(ia).collect();
        (!self.gone).then(|| encode(&answer, &[]))
    }
}

/// The deciders of a daemon that begins, or begins anew.
fn begin(coordinator: &Coordinator, tape: &Tape, seed: [u8; 32], now: Instant) -> (Slot<Table>, Slot<Client>) {
    let mut table = Table::new(Settings::for_interface("wan", &coordinator.config().dynamic_prefixes));
    table.seed(&coordinator.seeds("wan"), now);
    let settings = coordinator.client_settings().remove("wan").unwrap();
    tape.client(&seed, now);
    let memory = coordinator.client_memory(&settings);
    (Slot::new(table), Slot::new(Client::new(settings, memory, seed, now)))
}
