//! Drives the [`Table`]: owns the socket, reads the clock, moves bytes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::socket::Socket;
use super::table::{Settings, Table};
use crate::clock::{self, Alarm};
use crate::log::{self, record};
use crate::record::{Decider, Recorder, Tape};
use crate::source::head::{self, Head};
use crate::source::link::{LinkState, Links};
use crate::source::{Offer, SourceReport, Tally};
use crate::time::Instant;

/// After how long a socket that could not be opened is tried again, unless the interface changes before.
const REOPEN: Duration = Duration::from_secs(60);
/// How many packets are read before reports and timers have their turn: a flood must not stop the rest.
const BURST: usize = 64;

/// Listens to the Router Advertisements on one interface until cancelled, and reports what they amount to.
///
/// `settings` may change, all but the interface. `seed` is what a former run has stored. While nobody takes reports,
/// packets are handled all the same; then the newest report is sent. `tally` always has what was counted.
///
/// # Errors
/// When a timer cannot be created. A socket that cannot be opened is no error: it is reported, and tried again.
pub async fn run(
    settings: watch::Receiver<Settings>,
    seed: Vec<Offer>,
    links: watch::Receiver<Arc<Links>>,
    reports: mpsc::Sender<SourceReport>,
    recorder: Recorder,
    tally: watch::Sender<Tally>,
    cancel: CancellationToken,
) -> io::Result<()> {
    let alarm = Alarm::new()?;
    let mut driver = Driver::new(settings, links, alarm, &recorder, &seed);
    driver.tally = tally;
    tokio::select! {
        // Who is told to end says no more: whoever cancelled it would take that for news.
        biased;
        () = cancel.cancelled() => {}
        () = driver.listen(&reports) => {}
    }
    Ok(())
}

struct Driver {
    settings: watch::Receiver<Settings>,
    links: watch::Receiver<Arc<Links>>,
    alarm: Alarm,
    tape: Tape,
    tally: watch::Sender<Tally>,
    table: Table,
    interface: String,
    link: Option<LinkState>,
    socket: Option<Socket>,
    /// When to try to open the socket again.
    reopen_at: Option<Instant>,
    /// Why there is no socket, as it was logged.
    failure: Option<String>,
}

impl Driver {
    fn new(
        mut settings: watch::Receiver<Settings>,
        links: watch::Receiver<Arc<Links>>,
        alarm: Alarm,
        recorder: &Recorder,
        seed: &[Offer],
    ) -> Self {
        let current = settings.borrow_and_update().clone();
        let interface = current.interface.clone();
        let tape = recorder.tape(Decider::RouterAdvertisement, &interface);
        let mut table = Table::new(current);
        table.seed(seed, clock::now());
        Self {
            settings,
            links,
            alarm,
            tape,
            tally: watch::Sender::default(),
            table,
            interface,
            link: None,
            socket: None,
            reopen_at: None,
            failure: None,
        }
    }

    /// Ends when whoever gave the channels is gone.
    async fn listen(&mut self, reports: &mpsc::Sender<SourceReport>) {
        if self.links.wait_for(|links| links.is_loaded()).await.is_err() {
            return;
        }
        self.take_links();
        loop {
            self.drain();
            let wake = self.table.poll_timeout().map(|(at, _)| at).into_iter().chain(self.reopen_at).min();
            tokio::select! {
                biased;
                head = head::next(reports, self.table.has_news(), Some(&mut self.links), &mut self.settings) => match head {
                    Head::Place(place) => self.report(place),
                    Head::Links => self.take_links(),
                    Head::Settings => {
                        self.table.reconfigure(self.settings.borrow_and_update().clone(), clock::now());
                    }
                    Head::Gone => return,
                },
                ready = readable(self.socket.as_ref()) => self.receive(ready),
                () = self.alarm.wait(wake) => self.handle_timeout(),
            }
        }
    }

    fn report(&mut self, place: mpsc::Permit<'_, SourceReport>) {
        if let Some(report) = self.table.poll_report() {
            self.tape.report(clock::now());
            place.send(report);
        }
    }

    fn take_links(&mut self) {
        let link = self.links.borrow_and_update().get(&self.interface);
        if link == self.link {
            return;
        }
        self.link.clone_from(&link);
        self.open_socket();
        let now = clock::now();
        tracing::debug!(interface = %self.interface, ?link, "The interface changed.");
        self.handle_link(link, now);
    }

    fn handle_link(&mut self, link: Option<LinkState>, now: Instant) {
        self.tape.link(link.as_ref(), now);
        self.table.handle_link(link, now);
    }

    fn handle_failure(&mut self, failure: Option<String>) {
        self.tape.failure(failure.as_deref(), clock::now());
        self.table.handle_failure(failure);
    }

    /// Opens a socket if there is an interface and none on it yet.
    fn open_socket(&mut self) {
        self.reopen_at = None;
        let Some(link) = &self.link else {
            self.socket = None;
            self.failure = None;
            return self.handle_failure(None);
        };
        if let Some(socket) = self.socket.as_mut().filter(|socket| socket.ifindex() == link.ifindex) {
            return socket.set_mac(link.mac);
        }
        match Socket::open(&self.interface, link) {
            Ok(socket) => {
                self.socket = Some(socket);
                self.handle_failure(None);
                self.failure = None;
            }
            Err(error) => self.fail(open_failure(&self.interface, &error)),
        }
    }

    /// The report says so; who gets it writes it to the journal.
    fn fail(&mut self, text: String) {
        self.socket = None;
        self.reopen_at = Some(clock::now() + REOPEN);
        self.failure = Some(text.clone());
        self.handle_failure(Some(text));
    }

    fn receive(&mut self, ready: io::Result<()>) {
        let result = ready.and_then(|()| self.receive_burst());
        if let Err(error) = result {
            self.fail(format!(
                "Cannot receive Router Advertisements on {}: {error}. A new socket is opened in {} s or when the \
                 interface changes.",
                self.interface,
                REOPEN.as_secs()
            ));
        }
    }

    fn receive_burst(&mut self) -> io::Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let mut count = 0;
        let mut outcome = Ok(());
        while count < BURST {
            let received = match socket.try_receive() {
                Ok(Some(received)) => received,
                Ok(None) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            };
            let now = clock::now();
            self.tape.advertisement(&received, now);
            self.table.handle_packet(&received, now);
            count += 1;
        }
        self.count(count);
        outcome
    }

    fn count(&self, received: usize) {
        let dropped = &self.table.counters().dropped;
        self.tally.send_modify(|tally| {
            tally.received += u64::try_from(received).unwrap_or_default();
            tally.dropped.extend(dropped.iter().map(|(reason, count)| (reason.as_str(), *count)));
        });
    }

    fn handle_timeout(&mut self) {
        let now = clock::now();
        self.tape.wake(now);
        self.table.handle_timeout(now);
        if self.reopen_at.is_some_and(|at| at <= now) {
            self.open_socket();
            if self.socket.is_some() {
                // What was solicited without a socket was not sent: begin as if the link had just come up.
                self.handle_link(None, now);
                self.handle_link(self.link.clone(), now);
            }
        }
    }

    /// Does everything the table asks for, but the report.
    fn drain(&mut self) {
        while self.table.poll_solicit() {
            self.solicit();
        }
        while let Some(notice) = self.table.poll_notice() {
            log::emit(&record::ignored(&self.interface, &notice.to_string()));
        }
    }

    fn solicit(&self) {
        let Some(socket) = &self.socket else { return };
        match socket.solicit() {
            Ok(()) => tracing::debug!(interface = %self.interface, "Sent a Router Solicitation."),
            // The next one follows in four seconds, or at the next link-up.
            Err(error) => tracing::debug!(interface = %self.interface, "Cannot send a Router Solicitation: {error}."),
        }
    }
}

/// Waits for a packet; for ever without a socket.
async fn readable(socket: Option<&Socket>) -> io::Result<()> {
    match socket {
        Some(socket) => socket.readable().await,
        None => std::future::pending().await,
    }
}

fn open_failure(interface: &str, error: &io::Error) -> String {
    let advice = if error.kind() == io::ErrorKind::PermissionDenied {
        "The capability CAP_NET_RAW is missing: run it by its systemd unit (AmbientCapabilities=CAP_NET_RAW), as root, \
         or after `setcap cap_net_raw=ep` on the binary"
    } else if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) {
        "IPv6 is disabled in the kernel (ipv6.disable=1), or the unit's RestrictAddressFamilies= lacks AF_INET6"
    } else if error.raw_os_error() == Some(nix::libc::ENOPROTOOPT) {
        "The kernel lacks an option of sockets that this takes: it is older than Linux 4.10, or a sandbox that imitates \
         Linux (as gVisor); run the daemon on another host, or outside of it"
    } else {
        "It is also tried again when the interface changes"
    };
    format!(
        "Cannot open a raw ICMPv6 socket on {interface} for Router Advertisements: {error}. {advice}. Next attempt in \
         {} s.",
        REOPEN.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_is_named_and_how_to_get_it() {
        let text = open_failure("wan", &io::Error::from_raw_os_error(nix::libc::EPERM));
        assert_eq!(
            text,
            "Cannot open a raw ICMPv6 socket on wan for Router Advertisements: Operation not permitted (os error 1). \
             The capability CAP_NET_RAW is missing: run it by its systemd unit (AmbientCapabilities=CAP_NET_RAW), as \
             root, or after `setcap cap_net_raw=ep` on the binary. Next attempt in 60 s."
        );
        assert!(open_failure("wan", &io::Error::from_raw_os_error(nix::libc::EAFNOSUPPORT)).contains("ipv6.disable=1"));
        assert!(open_failure("wan", &io::Error::from_raw_os_error(nix::libc::ENOPROTOOPT)).contains("gVisor"));
        assert!(open_failure("wan", &io::Error::from_raw_os_error(nix::libc::ENODEV)).contains("No such device"));
    }

    fn settings() -> Settings {
        Settings { interface: "wan".to_owned(), interests: vec![super::super::Interest::default()] }
    }

    #[tokio::test]
    async fn nothing_is_said_before_the_interfaces_were_read() {
        let (links, watched) = crate::source::link::channel();
        let (_settings, current) = watch::channel(settings());
        let (sender, mut reports) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        let driver = tokio::spawn(run(
            current,
            Vec::new(),
            watched,
            sender,
            Recorder::default(),
            Default::default(),
            cancel.clone(),
        ));
        tokio::task::yield_now().await;
        assert!(reports.try_recv().is_err(), "an interface that was not looked for is not absent");
        let mut loaded = Links::default();
        loaded.replace([]);
        links.send_replace(Arc::new(loaded));
        let report = reports.recv().await.expect("the driver runs");
        assert_eq!(report.state, crate::source::SourceState::InterfaceAbsent);
        cancel.cancel();
        driver.await.expect("no panic").expect("no error");
    }

    #[tokio::test]
    async fn it_ends_when_nobody_listens_any_more() {
        let (links, watched) = crate::source::link::channel();
        let (_settings, current) = watch::channel(settings());
        let (sender, reports) = mpsc::channel(1);
        drop(reports);
        let mut loaded = Links::default();
        loaded.replace([]);
        links.send_replace(Arc::new(loaded));
        run(current, Vec::new(), watched, sender, Recorder::default(), Default::default(), CancellationToken::new())
            .await
            .expect("no error");
    }
}
