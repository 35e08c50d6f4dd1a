//! Getting, keeping and leaving the port as the interface comes and goes.

use std::path::Path;
use std::time::Duration;

use super::Driver;
use crate::clock;
use crate::source::dhcpv6::DuidSetting;
use crate::source::dhcpv6::port::{self, Outcome, Request};
use crate::source::dhcpv6::socket::{Local, Socket};

/// After how long a port that could not be had is tried again, unless the interface changes before.
const REOPEN: Duration = Duration::from_secs(60);
/// How soon it is looked again whether another program has decided about the interface.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often that happens before it counts as a failure.
const QUIET_LOOKS: u32 = 10;

impl Driver {
    /// Gets a socket if there is something to bind to. The client learns of the interface when it is clear whether it has
    /// the port there.
    pub(super) fn follow_link(&mut self) {
        let now = clock::now();
        let Some(link) = self.link.clone() else {
            self.socket = None;
            self.retry_at = None;
            self.recover();
            return self.client.handle_link(None, now);
        };
        if self.is_left_to_another() {
            return self.leave();
        }
        if !self.settle(false) {
            self.fail(format!(
                "DHCPv6 cannot run on {0}: {1}.",
                self.settings.interface,
                DuidSetting::without_mac(&self.settings.interface)
            ));
            return self.client.handle_link(Some(link), now);
        }
        if self.socket.as_ref().is_some_and(|socket| socket.local().is_on(&link)) || Local::of(&link).is_none() {
            return self.client.handle_link(Some(link), now);
        }
        self.socket = None;
        self.try_port();
    }

    fn is_left_to_another(&self) -> bool {
        self.setup.taken.is_some() && !self.settings.take_over
    }

    /// Gives the port up for the rest of this boot.
    fn leave(&mut self) {
        self.socket = None;
        self.retry_at = None;
        if let Some(text) = self.setup.taken.clone() {
            self.fail(text);
        }
        self.client.handle_link(self.link.clone(), clock::now());
    }

    /// Begins an attempt to get the port, or to see whether it may be kept; one at a time.
    pub(super) fn try_port(&mut self) {
        self.retry_at = None;
        let request = self.request();
        if self.attempt.is_none()
            && let Some(request) = request
        {
            self.asked = Some(request.clone());
            self.attempt = Some(tokio::task::spawn_blocking(move || port::acquire(&request, Path::new("/"))));
        }
    }

    fn request(&self) -> Option<Request> {
        Some(Request {
            interface: self.settings.interface.clone(),
            local: Local::of(self.link.as_ref()?)?,
            priority: self.settings.priority,
            take_over: self.settings.take_over,
            held: self.socket.is_some(),
        })
    }

    pub(super) fn take_attempt(&mut self, outcome: Outcome) {
        self.attempt = None;
        let asked = self.asked.take();
        if let Outcome::Taken(text) = outcome {
            self.setup.taken = Some(text);
            if self.is_left_to_another() {
                return self.leave();
            }
            return self.try_port();
        }
        if asked != self.request() {
            // The interface or the settings have changed meanwhile; what was bound is closed here.
            drop(outcome);
            return self.follow_link();
        }
        match outcome {
            Outcome::Bound(socket) => self.take_socket(socket, asked.map(|asked| asked.local)),
            Outcome::Kept | Outcome::Taken(_) => {}
            Outcome::Undecided(who) => self.wait_for(&who),
            Outcome::Failed(text) => self.fail_for_a_while(&text),
        }
    }

    fn take_socket(&mut self, socket: socket2::Socket, local: Option<Local>) {
        let Some(local) = local else { return };
        match Socket::new(socket, local) {
            Ok(socket) => {
                self.socket = Some(socket);
                self.recover();
                self.client.handle_link(self.link.clone(), clock::now());
            }
            Err(error) => self.fail_for_a_while(&format!("Cannot watch the DHCPv6 socket: {error}")),
        }
    }

    fn wait_for(&mut self, who: &str) {
        self.undecided += 1;
        if self.undecided <= QUIET_LOOKS || self.socket.is_some() {
            self.retry_at = Some(clock::now() + LOOK_AGAIN);
            return;
        }
        self.fail_for_a_while(&format!(
            "DHCPv6 waits on {}: {who}. Set takeOver = true in acquisition.dhcpv6 if nobody else runs a DHCPv6 client there",
            self.settings.interface
        ));
    }

    fn recover(&mut self) {
        self.undecided = 0;
        if self.failure.take().is_some() {
            self.client.handle_failure(None, clock::now());
        }
    }

    /// The report says so; who gets it writes it to the journal.
    fn fail(&mut self, text: String) {
        self.socket = None;
        self.failure = Some(text.clone());
        self.client.handle_failure(Some(text), clock::now());
    }

    pub(super) fn fail_for_a_while(&mut self, text: &str) {
        self.retry_at = Some(clock::now() + REOPEN);
        self.fail(format!("{text}. It is tried again when the interface changes, or in {} s.", REOPEN.as_secs()));
        self.client.handle_link(self.link.clone(), clock::now());
    }
}
