//! The state machine of the client (RFC 9915 §18.2). Pure: datagrams, links, advertisements and time go in; datagrams,
//! deadlines and reports come out.

use std::net::Ipv6Addr;

use super::{Memory, Settings};
use crate::source::link::LinkState;
use crate::source::{Advertised, SourceReport};
use crate::time::Instant;

/// A datagram, as the socket delivered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// The address it was sent to.
    pub destination: Ipv6Addr,
    /// The index of the interface it came in by.
    pub ifindex: u32,
    /// Its octets; empty when it did not fit into the buffer.
    pub bytes: &'a [u8],
}

/// Something that the journal should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A datagram was dropped; why. Told once for each reason.
    Dropped(String),
    /// The client went from one state to another; a full sentence.
    Transition(String),
    /// A server did something that deserves a warning; a full sentence.
    Warning(String),
}

/// The client of one interface.
///
/// After each input drain [`Self::poll_transmit`], [`Self::poll_notice`] and [`Self::poll_report`], and call
/// [`Self::handle_timeout`] at [`Self::poll_timeout`]. Inputs may come late or more often than needed.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    memory: Memory,
}

impl Client {
    /// A client that knows what a former run knew. `seed` makes its random numbers.
    pub fn new(settings: Settings, memory: Memory, seed: [u8; 32], now: Instant) -> Self {
        let _ = (seed, now);
        Self { settings, memory }
    }

    /// Goes on with other settings of the same interface: an IA_PD more or less, other options.
    pub fn reconfigure(&mut self, settings: Settings, now: Instant) {
        self.settings = settings;
        let _ = now;
    }

    /// The interface changed; `None`: it does not exist.
    pub fn handle_link(&mut self, link: Option<LinkState>, now: Instant) {
        let _ = (link, now);
    }

    /// There is no socket (the text says why and what to do), or there is one again.
    pub fn handle_failure(&mut self, failure: Option<String>, now: Instant) {
        let _ = (failure, now);
    }

    /// A datagram came in.
    pub fn handle_datagram(&mut self, received: &Received<'_>, now: Instant) {
        let _ = (received, now);
    }

    /// What the Router Advertisements on the interface say has changed.
    pub fn handle_advertised(&mut self, advertised: &Advertised, now: Instant) {
        let _ = (advertised, now);
    }

    /// Gives the delegation of a DynamicPrefix back; whether there was one.
    pub fn release(&mut self, dynamic_prefix: &str, now: Instant) -> bool {
        let _ = (dynamic_prefix, now);
        false
    }

    /// Does what is due. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// When [`Self::handle_timeout`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        None
    }

    /// A datagram to send to ff02::1:2, port 547.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Something to log.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        None
    }

    /// The report, if it differs from the one that this gave last.
    pub fn poll_report(&mut self) -> Option<SourceReport> {
        None
    }

    /// Whether [`Self::poll_report`] has a report.
    pub fn has_news(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
