//! A client whose every input is recorded.

use std::collections::BTreeMap;

use crate::record::{Decider, Recorder, Tape};
use crate::source::dhcpv6::client::{Notice, Received};
use crate::source::dhcpv6::{Client, Memory, Settings};
use crate::source::link::LinkState;
use crate::source::{Advertised, SourceReport};
use crate::time::Instant;

/// A [`Client`], and the tape of what it is told. What routers say is on the tape of those who heard them.
pub(super) struct Taped {
    client: Client,
    tape: Tape,
}

impl Taped {
    pub(super) fn new(settings: Settings, memory: Memory, seed: [u8; 32], recorder: &Recorder, now: Instant) -> Self {
        let tape = recorder.tape(Decider::Dhcpv6, &settings.interface);
        tape.client(&seed, now);
        Self { client: Client::new(settings, memory, seed, now), tape }
    }

    pub(super) fn reconfigure(&mut self, settings: Settings, now: Instant) {
        self.tape.settings(settings.duid.fixed(), now);
        self.client.reconfigure(settings, now);
    }

    pub(super) fn handle_link(&mut self, link: Option<LinkState>, now: Instant) {
        self.tape.link(link.as_ref(), now);
        self.client.handle_link(link, now);
    }

    pub(super) fn handle_failure(&mut self, failure: Option<String>, now: Instant) {
        self.tape.failure(failure.as_deref(), now);
        self.client.handle_failure(failure, now);
    }

    pub(super) fn handle_datagram(&mut self, received: &Received<'_>, now: Instant) {
        self.tape.datagram(received, now);
        self.client.handle_datagram(received, now);
    }

    pub(super) fn handle_advertised(&mut self, advertised: &Advertised, now: Instant) {
        self.client.handle_advertised(advertised, now);
    }

    pub(super) fn release(&mut self, name: &str, now: Instant) -> bool {
        self.tape.release(name, now);
        self.client.release(name, now)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.tape.wake(now);
        self.client.handle_timeout(now);
    }

    /// What the client knows was taken to the coordinator.
    pub(super) fn reported(&self, now: Instant) {
        self.tape.report(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.client.poll_timeout()
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.client.poll_transmit().inspect(|message| self.tape.sent(message, now))
    }

    pub(super) fn poll_notice(&mut self) -> Option<Notice> {
        self.client.poll_notice()
    }

    pub(super) fn dropped(&self) -> &BTreeMap<&'static str, u64> {
        self.client.dropped_by_word()
    }

    pub(super) fn poll_report(&mut self) -> Option<SourceReport> {
        self.client.poll_report()
    }
}
