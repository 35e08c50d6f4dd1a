//! Drives the [`Client`](super::Client): owns the socket, reads the clock, moves bytes.

use std::io;
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::Notice;
use super::port::{Outcome, Request};
use super::route::Keeper;
use super::socket::Socket;
use super::{Memory, Settings};
use crate::clock::{self, Alarm};
use crate::log::{self, record};
use crate::record::Recorder;
use crate::source::head::{self, Head};
use crate::source::link::{LinkState, Links};
use crate::source::{Advertised, SourceReport, SourceState, Tally};
use crate::time::Instant;

mod hold;
mod taped;

use taped::Taped;

/// How many datagrams are read before reports and timers have their turn: a flood must not stop the rest.
const BURST: usize = 64;

/// What a client's task is given.
#[derive(Debug)]
pub struct Setup {
    /// May change, all but the interface.
    pub settings: watch::Receiver<Settings>,
    /// What a former run knew.
    pub memory: Memory,
    /// Why the port must not be taken in this boot: another client was seen on the interface (a sentence). What
    /// `takeOver` overrules.
    pub taken: Option<String>,
    /// The interfaces of the host.
    pub links: watch::Receiver<Arc<Links>>,
    /// What Router Advertisements on the interface say.
    pub advertised: watch::Receiver<Advertised>,
    /// The DynamicPrefixes whose delegation is to be given back.
    pub releases: mpsc::Receiver<String>,
    /// Where reports go.
    pub reports: mpsc::Sender<SourceReport>,
    /// Where inputs are recorded.
    pub recorder: Recorder,
    /// Always has what was counted.
    pub tally: watch::Sender<Tally>,
}

/// Runs the client of one interface until cancelled. Nothing is released at the end, and no route is taken away.
///
/// # Errors
/// When a timer cannot be created or there are no random numbers. A port that cannot be had is no error: it is reported,
/// and tried again.
pub async fn run(setup: Setup, cancel: CancellationToken) -> io::Result<()> {
    let alarm = Alarm::new()?;
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| io::Error::other("the kernel gives no random numbers"))?;
    let reports = setup.reports.clone();
    let mut driver = Driver::new(setup, alarm, seed);
    tokio::select! {
        // Who is told to end says no more: whoever cancelled it would take that for news.
        biased;
        () = cancel.cancelled() => {}
        () = driver.serve(&reports) => {}
    }
    Ok(())
}

struct Driver {
    setup: Setup,
    alarm: Alarm,
    client: Taped,
    settings: Settings,
    /// The settings as the client has them.
    settled: Settings,
    link: Option<LinkState>,
    socket: Option<Socket>,
    /// The attempt to get the port that is under way.
    attempt: Option<JoinHandle<Outcome>>,
    /// What the attempt binds to.
    asked: Option<Request>,
    /// When to try again.
    retry_at: Option<Instant>,
    /// How often in a row it could not be said whose the interface is.
    undecided: u32,
    /// Why there is no socket, as the client was told.
    failure: Option<String>,
    /// Why nothing can be sent, as it was logged.
    send_failure: Option<String>,
    routes: Keeper,
    /// What the client reported last.
    report: Option<SourceReport>,
    /// What was sent of it last, with what this driver knows.
    sent: Option<SourceReport>,
}

impl Driver {
    fn new(mut setup: Setup, alarm: Alarm, seed: [u8; 32]) -> Self {
        let settings = setup.settings.borrow_and_update().clone();
        let routes = Keeper::new(&setup.memory);
        let now = clock::now();
        let mut client = Taped::new(settings.clone(), setup.memory.clone(), seed, &setup.recorder, now);
        client.handle_advertised(&setup.advertised.borrow_and_update(), now);
        Self {
            setup,
            alarm,
            client,
            settled: settings.clone(),
            settings,
            link: None,
            socket: None,
            attempt: None,
            asked: None,
            retry_at: None,
            undecided: 0,
            failure: None,
            send_failure: None,
            routes,
            report: None,
            sent: None,
        }
    }

    /// Ends when whoever gave the channels is gone.
    async fn serve(&mut self, reports: &mpsc::Sender<SourceReport>) {
        if self.setup.links.wait_for(|links| links.is_loaded()).await.is_err() {
            return;
        }
        self.link = self.setup.links.borrow_and_update().get(&self.settings.interface);
        self.follow_link();
        loop {
            self.drain();
            let news = self.news();
            let deadlines = [self.client.poll_timeout().map(|(at, _)| at), self.retry_at, self.routes.poll_timeout()];
            let wake = deadlines.into_iter().flatten().min();
            tokio::select! {
                biased;
                head = head::next(reports, news.is_some(), Some(&mut self.setup.links), &mut self.setup.settings) => match head {
                    Head::Place(place) => self.report(news, place),
                    Head::Links => self.take_links(),
                    Head::Settings => self.take_settings(),
                    Head::Gone => return,
                },
                Ok(()) = self.setup.advertised.changed() => {
                    self.client.handle_advertised(&self.setup.advertised.borrow_and_update(), clock::now());
                }
                Some(name) = self.setup.releases.recv() => self.release(&name),
                outcome = finished(self.attempt.as_mut()) => self.take_attempt(outcome),
                outcome = self.routes.done() => self.routes.take(outcome, &self.settings.interface),
                ready = readable(self.socket.as_ref()) => self.receive(ready),
                () = self.alarm.wait(wake) => self.handle_timeout(),
            }
        }
    }

    fn report(&mut self, news: Option<SourceReport>, place: mpsc::Permit<'_, SourceReport>) {
        if let Some(report) = news {
            self.client.reported(clock::now());
            self.sent = Some(report.clone());
            place.send(report);
        }
    }

    fn take_links(&mut self) {
        let link = self.setup.links.borrow_and_update().get(&self.settings.interface);
        if link == self.link {
            return;
        }
        tracing::debug!(interface = %self.settings.interface, ?link, "The interface changed.");
        let came_up = link.as_ref().is_some_and(|link| link.up) && !self.link.as_ref().is_some_and(|link| link.up);
        self.link = link;
        self.follow_link();
        if came_up && self.socket.is_some() {
            // Whoever configures the network may have come back, too.
            self.try_port();
        }
    }

    fn take_settings(&mut self) {
        let settings = self.setup.settings.borrow_and_update().clone();
        let former = std::mem::replace(&mut self.settings, settings);
        // Also when they are the same: after a reload a client that has given a delegation back asks for one again.
        self.settle(true);
        let priority = self.settings.priority;
        if priority != former.priority
            && let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.set_priority(priority))
        {
            tracing::debug!(%error, "Cannot set the priority of the socket; a new one tells.");
            self.socket = None;
        }
        // Whoever reloads wants to see what failed tried again.
        self.follow_link();
        if former.take_over != self.settings.take_over && self.socket.is_some() {
            self.try_port();
        }
        self.follow_routes();
    }

    /// Hands the client the settings with the DUID that they mean on this interface, if they are others than it has or
    /// `always`; whether there is one.
    fn settle(&mut self, always: bool) -> bool {
        let mac = self.link.as_ref().and_then(|link| link.mac);
        let now = u64::try_from(clock::epoch().wall_now().as_second()).unwrap_or_default();
        // What was made stays, whatever becomes of the interface.
        let remembered = self.report.as_ref().and_then(|report| report.client.as_ref());
        let remembered = remembered.map_or(&self.setup.memory.duid, |memory| &memory.duid);
        let settled = self.settings.duid.settled(remembered, mac, now);
        let has_one = settled.is_some();
        let settings = Settings { duid: settled.unwrap_or_default(), ..self.settings.clone() };
        if always || settings != self.settled {
            self.settled = settings.clone();
            self.client.reconfigure(settings, clock::now());
        }
        has_one
    }

    fn release(&mut self, name: &str) {
        if !self.client.release(name, clock::now()) {
            tracing::debug!(name, "There is no delegation to give back.");
        }
    }

    fn receive(&mut self, ready: io::Result<()>) {
        if let Err(error) = ready.and_then(|()| self.receive_burst()) {
            self.fail_for_a_while(&format!("Cannot receive DHCPv6 messages on {}: {error}", self.settings.interface));
        }
    }

    fn receive_burst(&mut self) -> io::Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        for _ in 0..BURST {
            let Some(received) = socket.try_receive()? else { return Ok(()) };
            self.client.handle_datagram(&received, clock::now());
            let dropped = self.client.dropped();
            self.setup.tally.send_modify(|tally| {
                tally.received += 1;
                if *dropped != tally.dropped {
                    tally.dropped.clone_from(dropped);
                }
            });
        }
        Ok(())
    }

    fn handle_timeout(&mut self) {
        let now = clock::now();
        self.client.handle_timeout(now);
        if self.retry_at.is_some_and(|at| at <= now) {
            self.try_port();
        }
        if self.routes.poll_timeout().is_some_and(|at| at <= now) {
            self.follow_routes();
        }
    }

    /// Does everything the client asks for, but the report, which is only taken from it.
    fn drain(&mut self) {
        while let Some(message) = self.client.poll_transmit(clock::now()) {
            self.send(&message);
        }
        while let Some(report) = self.client.poll_report() {
            self.report = Some(report);
            self.follow_routes();
        }
        while let Some(notice) = self.client.poll_notice() {
            tell(&notice, &self.settings.interface);
        }
    }

    fn send(&mut self, message: &[u8]) {
        let Some(socket) = &self.socket else { return };
        match socket.send(message) {
            Ok(()) => {
                tracing::debug!(interface = %self.settings.interface, octets = message.len(), "Sent a DHCPv6 message.");
                self.send_failure = None;
            }
            Err(error) => {
                let interface = &self.settings.interface;
                let text = format!(
                    "Cannot send DHCPv6 messages on {interface}: {error}. They are sent again with growing pauses; does a \
                     firewall of this host drop UDP to port 547, or is there no route to ff02::/16 on {interface}?"
                );
                if self.send_failure.as_ref() != Some(&text) {
                    log::emit(&record::dhcpv6_warning(interface, &text));
                }
                self.send_failure = Some(text);
            }
        }
    }

    fn follow_routes(&mut self) {
        let uplink = self.link.as_ref().map(|link| link.ifindex).unwrap_or_default();
        let offers = self.report.as_ref().map(|report| report.offers.as_slice()).unwrap_or_default();
        self.routes.follow(offers, &self.settings, uplink, clock::now());
    }

    /// The report that is to be sent, if it differs from the last one.
    fn news(&self) -> Option<SourceReport> {
        let mut report = self.report.clone()?;
        if self.link.is_some() && report.state == SourceState::InterfaceAbsent {
            // The client learns of the interface once it is clear whose the port is. Until then it can neither ask nor
            // say that it cannot.
            return None;
        }
        report.other_client.clone_from(&self.setup.taken);
        report.notes.extend(self.routes.notes().chain(&self.send_failure).cloned());
        let retry = self.retry_at.map(|at| (at, "open-port"));
        report.next_wake = report.next_wake.into_iter().chain(retry).min_by_key(|(at, _)| *at);
        (self.sent.as_ref() != Some(&report)).then_some(report)
    }
}

/// Waits for an attempt to end; for ever without one.
async fn finished(attempt: Option<&mut JoinHandle<Outcome>>) -> Outcome {
    match attempt {
        Some(attempt) => attempt
            .await
            .unwrap_or_else(|error| Outcome::Failed(format!("Cannot look for other DHCPv6 clients: {error}"))),
        None => std::future::pending().await,
    }
}

/// Waits for a datagram; for ever without a socket.
async fn readable(socket: Option<&Socket>) -> io::Result<()> {
    match socket {
        Some(socket) => socket.readable().await,
        None => std::future::pending().await,
    }
}

fn tell(notice: &Notice, interface: &str) {
    match notice {
        Notice::Dropped(reason) => log::emit(&record::dhcpv6_dropped(interface, reason)),
        Notice::Warning(what) => log::emit(&record::dhcpv6_warning(interface, what)),
        // What came of it is told, with the prefixes, when the report gets to the coordinator.
        Notice::Transition(what) => tracing::debug!(interface, "{what}"),
    }
}
