//! Drives the [`Observer`]: owns the sockets, reads the clock, moves bytes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::files::Files;
use super::netlink::{self, Heard};
use super::networkctl::Networkctl;
use super::socket::{Direction, Socket};
use super::{Observer, Settings, Told};
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

/// What an observer's task is given.
#[derive(Debug)]
pub struct Setup {
    /// May change, all but the interface.
    pub settings: watch::Receiver<Settings>,
    /// What a former run has stored.
    pub seed: Vec<Offer>,
    /// The interfaces of the host.
    pub links: watch::Receiver<Arc<Links>>,
    /// What people and hook scripts say.
    pub told: mpsc::Receiver<Saying>,
    /// Where reports go.
    pub reports: mpsc::Sender<SourceReport>,
    /// Where inputs are recorded.
    pub recorder: Recorder,
    /// Always has what was counted.
    pub tally: watch::Sender<Tally>,
    /// Where the files of other clients are, and networkctl: `/`.
    pub root: PathBuf,
}

/// A [`Told`] on its way to the observer.
#[derive(Debug)]
pub struct Saying {
    /// What is said.
    pub told: Told,
    /// Hears that it was taken, once the report on what follows from it is on its way.
    pub taken: oneshot::Sender<()>,
}

/// Watches the DHCPv6 client of somebody else on one interface until cancelled.
///
/// # Errors
/// When a timer cannot be created, or the netlink socket cannot be opened or ends. A packet socket that cannot be opened
/// is no error: it is reported, and tried again.
pub async fn run(setup: Setup, cancel: CancellationToken) -> anyhow::Result<()> {
    let reports = setup.reports.clone();
    let (tell, heard) = mpsc::channel(1);
    let mut driver = Driver::new(setup, heard, Alarm::new()?);
    tokio::select! {
        // Who is told to end says no more: whoever cancelled it would take that for news.
        biased;
        () = cancel.cancelled() => Ok(()),
        () = driver.watch(&reports) => Ok(()),
        ended = netlink::run(tell) => ended,
    }
}

struct Driver {
    setup: Setup,
    heard: mpsc::Receiver<Heard>,
    alarm: Alarm,
    tape: Tape,
    observer: Observer,
    interface: String,
    link: Option<LinkState>,
    socket: Option<Socket>,
    /// There may be more packets than were read in one go.
    is_flooded: bool,
    files: Files,
    networkctl: Networkctl,
    /// When to try to open the socket again.
    reopen_at: Option<Instant>,
    /// Who waits for what follows from what he said.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Driver {
    fn new(mut setup: Setup, heard: mpsc::Receiver<Heard>, alarm: Alarm) -> Self {
        let settings = setup.settings.borrow_and_update().clone();
        let interface = settings.interface.clone();
        let files = Files::new(&setup.root, &interface);
        let networkctl = Networkctl::new(&setup.root, &interface);
        let tape = setup.recorder.tape(Decider::Observer, &interface);
        let mut observer = Observer::new(settings);
        observer.seed(&setup.seed, clock::now());
        Self {
            setup,
            heard,
            alarm,
            tape,
            observer,
            interface,
            link: None,
            socket: None,
            is_flooded: false,
            files,
            networkctl,
            reopen_at: None,
            waiting: Vec::new(),
        }
    }

    /// Ends when whoever gave the channels is gone.
    async fn watch(&mut self, reports: &mpsc::Sender<SourceReport>) {
        if self.setup.links.wait_for(|links| links.is_loaded()).await.is_err() {
            return;
        }
        self.take_links();
        // Before the routes were read nothing is known to be absent.
        let Some(first) = self.heard.recv().await else { return };
        self.hear(first).await;
        loop {
            self.drain();
            if !self.observer.has_news() {
                // Who has gone meanwhile need not hear it.
                for taken in self.waiting.drain(..) {
                    let _gone = taken.send(());
                }
            }
            let wake = self.observer.poll_timeout().map(|(at, _)| at).into_iter().chain(self.reopen_at);
            let wake = wake.chain(self.networkctl.poll_timeout()).min();
            tokio::select! {
                biased;
                head = head::next(reports, self.observer.has_news(), Some(&mut self.setup.links), &mut self.setup.settings) => {
                    match head {
                        Head::Place(place) => self.report(place),
                        Head::Links => {
                            self.take_links();
                            self.look_into_files().await;
                        }
                        Head::Settings => {
                            let settings = self.setup.settings.borrow_and_update().clone();
                            self.observer.reconfigure(settings, clock::now());
                        }
                        Head::Gone => return,
                    }
                }
                Some(Saying { told, taken }) = self.setup.told.recv() => {
                    let now = clock::now();
                    self.tape.told(&told, now);
                    self.observer.handle_told(&told, now);
                    self.waiting.push(taken);
                }
                // What the packets say wins: they come first, but not without end.
                ready = readable(self.socket.as_ref()), if !self.is_flooded => self.receive(ready),
                heard = self.heard.recv() => match heard {
                    Some(heard) => self.hear(heard).await,
                    None => return,
                },
                described = self.networkctl.next() => match described {
                    Some(described) => {
                        let now = clock::now();
                        self.tape.described(&described, now);
                        self.observer.handle_described(&described, now);
                    }
                    None => self.look_into_files().await,
                },
                () = self.alarm.wait(wake) => {
                    // What ends now may have been extended.
                    self.look_into_files().await;
                    self.handle_timeout();
                }
                () = std::future::ready(()), if self.is_flooded => self.is_flooded = false,
            }
        }
    }

    fn report(&mut self, place: mpsc::Permit<'_, SourceReport>) {
        if let Some(report) = self.observer.poll_report() {
            self.tape.report(clock::now());
            place.send(report);
        }
    }

    /// What a client does with its delegation it does when it has written it down, or just before.
    async fn hear(&mut self, heard: Heard) {
        let now = clock::now();
        match heard {
            Heard::Dump(messages) => {
                self.tape.netlink(true, &messages, now);
                self.observer.handle_dump(&messages, now);
            }
            Heard::Events(messages) => {
                self.tape.netlink(false, &messages, now);
                self.observer.handle_events(&messages, now);
            }
        }
        self.look_into_files().await;
    }

    async fn look_into_files(&mut self) {
        if let Some(filed) = self.files.read().await {
            let now = clock::now();
            self.tape.filed(&filed, now);
            self.observer.handle_filed(&filed, now);
        }
        self.networkctl.look(self.link.as_ref().map(|link| link.ifindex));
    }

    fn take_links(&mut self) {
        let link = self.setup.links.borrow_and_update().get(&self.interface);
        if link == self.link {
            // It may have been away in between.
            if self.socket.as_ref().is_some_and(|socket| !socket.is_bound()) {
                self.start_over();
            }
            return;
        }
        tracing::debug!(interface = %self.interface, ?link, "The interface changed.");
        self.link = link;
        self.open_socket();
        let now = clock::now();
        self.tape.link(self.link.as_ref(), now);
        self.observer.handle_link(self.link.clone(), now);
    }

    /// Opens a socket if there is an interface and none on it yet.
    fn open_socket(&mut self) {
        self.reopen_at = None;
        let Some(link) = &self.link else {
            self.socket = None;
            return self.handle_failure(None);
        };
        if self.socket.as_ref().is_some_and(|socket| socket.ifindex() == link.ifindex && socket.is_bound()) {
            return;
        }
        match Socket::open(link.ifindex) {
            Ok(socket) => {
                self.socket = Some(socket);
                self.handle_failure(None);
            }
            // It is gone, which will be told in a moment.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => {
                (self.socket, self.link) = (None, None);
                self.handle_failure(None);
                let now = clock::now();
                self.tape.link(None, now);
                self.observer.handle_link(None, now);
            }
            Err(error) => self.fail(open_failure(&self.interface, &error)),
        }
    }

    /// The interface was taken away, and is back already, or will be.
    fn start_over(&mut self) {
        self.socket = None;
        let now = clock::now();
        if let Some(link) = self.link.take() {
            self.tape.link(None, now);
            self.observer.handle_link(None, now);
            self.link = Some(link);
        }
        self.open_socket();
        self.tape.link(self.link.as_ref(), now);
        self.observer.handle_link(self.link.clone(), now);
    }

    /// The report says so; who gets it writes it to the journal.
    fn fail(&mut self, text: String) {
        self.socket = None;
        self.reopen_at = Some(clock::now() + REOPEN);
        self.handle_failure(Some(text));
    }

    fn handle_failure(&mut self, failure: Option<String>) {
        let now = clock::now();
        self.tape.failure(failure.as_deref(), now);
        self.networkctl.handle_blindness(failure.is_some());
        self.observer.handle_failure(failure, now);
    }

    fn receive(&mut self, ready: io::Result<()>) {
        let result = ready.and_then(|()| self.receive_burst());
        if let Err(error) = result {
            if error.raw_os_error() == Some(nix::libc::ENODEV) {
                return self.start_over();
            }
            self.fail(format!(
                "Cannot receive what the DHCPv6 client on {} and its servers say: {error}. A new socket is opened in {} s \
                 or when the interface changes.",
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
            let (direction, captured) = match socket.try_receive() {
                Ok(Some(received)) => received,
                Ok(None) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            };
            let now = clock::now();
            self.tape.observed(direction == Direction::Sent, &captured, now);
            match direction {
                Direction::Sent => self.observer.handle_sent(&captured, now),
                Direction::Received => self.observer.handle_received(&captured, now),
            }
            count += 1;
        }
        self.is_flooded = count == BURST;
        self.count(count);
        outcome
    }

    fn count(&self, received: usize) {
        self.setup.tally.send_modify(|tally| {
            tally.received += u64::try_from(received).unwrap_or_default();
            tally.dropped.extend(self.observer.dropped().iter().map(|(reason, count)| (*reason, *count)));
        });
    }

    fn handle_timeout(&mut self) {
        let now = clock::now();
        self.tape.wake(now);
        self.observer.handle_timeout(now);
        if self.reopen_at.is_some_and(|at| at <= now) {
            self.open_socket();
        }
    }

    /// Does everything the observer asks for, but the report.
    fn drain(&mut self) {
        while let Some(notice) = self.observer.poll_notice() {
            log::emit(&record::unfollowed(&self.interface, &notice.to_string()));
        }
    }
}

/// Waits for a packet; for ever without a socket.
pub(super) async fn readable(socket: Option<&Socket>) -> io::Result<()> {
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
        "The unit does not allow packet sockets by itself: run `systemctl edit dyn-prefix`, write `[Service]` and \
         `RestrictAddressFamilies=AF_PACKET` on a line each, and restart dyn-prefix"
    } else {
        "It is also tried again when the interface changes"
    };
    format!(
        "Cannot open a packet socket on {interface} to see what the DHCPv6 client there is told: {error}. Until then only \
         its routes and addresses are watched. {advice}. Next attempt in {} s.",
        REOPEN.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_is_named_and_how_to_get_it() {
        let text = open_failure("ppp0", &io::Error::from_raw_os_error(nix::libc::EPERM));
        assert_eq!(
            text,
            "Cannot open a packet socket on ppp0 to see what the DHCPv6 client there is told: Operation not permitted \
             (os error 1). Until then only its routes and addresses are watched. The capability CAP_NET_RAW is missing: \
             run it by its systemd unit (AmbientCapabilities=CAP_NET_RAW), as root, or after `setcap cap_net_raw=ep` on \
             the binary. Next attempt in 60 s."
        );
        assert!(
            open_failure("ppp0", &io::Error::from_raw_os_error(nix::libc::EAFNOSUPPORT))
                .contains("`systemctl edit dyn-prefix`")
        );
    }
}
