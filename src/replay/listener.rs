//! What tables of routers and DHCPv6 clients have in common for whoever drives them.

use crate::log::record;
use crate::source::SourceReport;
use crate::source::dhcpv6::Client;
use crate::source::dhcpv6::client::Notice;
use crate::source::link::LinkState;
use crate::source::ra::table::Table;
use crate::time::Instant;

use super::{What, describe};

/// A decider on an interface.
pub(super) trait Listener {
    fn handle_link(&mut self, link: Option<LinkState>, now: Instant);
    fn handle_failure(&mut self, failure: Option<String>, now: Instant);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    /// What is sent: in words, and the octets of a DHCPv6 message.
    fn poll_message(&mut self) -> Option<(String, Option<Vec<u8>>)>;
    /// What it has to say.
    fn poll_notice(&mut self, interface: &str) -> Option<What>;
    fn has_news(&self) -> bool;
    fn poll_report(&mut self) -> Option<SourceReport>;
}

impl Listener for Table {
    fn handle_link(&mut self, link: Option<LinkState>, now: Instant) {
        Self::handle_link(self, link, now);
    }

    fn handle_failure(&mut self, failure: Option<String>, _: Instant) {
        Self::handle_failure(self, failure);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self).map(|(at, _)| at)
    }

    fn poll_message(&mut self) -> Option<(String, Option<Vec<u8>>)> {
        self.poll_solicit().then(|| ("Router Solicitation".to_owned(), None))
    }

    fn poll_notice(&mut self, interface: &str) -> Option<What> {
        let notice = Self::poll_notice(self)?;
        Some(What::Journal(Box::new(record::ignored(interface, &notice.to_string()))))
    }

    fn has_news(&self) -> bool {
        Self::has_news(self)
    }

    fn poll_report(&mut self) -> Option<SourceReport> {
        Self::poll_report(self)
    }
}

impl Listener for Client {
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

    fn poll_message(&mut self) -> Option<(String, Option<Vec<u8>>)> {
        self.poll_transmit().map(|octets| (describe::sent(&octets), Some(octets)))
    }

    fn poll_notice(&mut self, interface: &str) -> Option<What> {
        Some(match Self::poll_notice(self)? {
            Notice::Dropped(reason) => What::Journal(Box::new(record::dhcpv6_dropped(interface, &reason))),
            Notice::Warning(what) => What::Journal(Box::new(record::dhcpv6_warning(interface, &what))),
            Notice::Transition(text) => What::Transition { interface: interface.to_owned(), text },
        })
    }

    fn has_news(&self) -> bool {
        Self::has_news(self)
    }

    fn poll_report(&mut self) -> Option<SourceReport> {
        Self::poll_report(self)
    }
}

/// A decider, and since when it has something to report.
#[derive(Debug)]
pub(super) struct Slot<D> {
    pub(super) decider: D,
    pub(super) news_since: Option<Instant>,
    /// It was given something. A decider that was not knows of no interface, and has nothing to say yet: a daemon begins
    /// with what is there.
    has_heard: bool,
}

impl<D: Listener> Slot<D> {
    pub(super) fn new(decider: D) -> Self {
        Self { decider, news_since: None, has_heard: false }
    }

    /// The decider, to be given something.
    pub(super) fn hear(&mut self) -> &mut D {
        self.has_heard = true;
        &mut self.decider
    }

    /// Notes since when there is something to report.
    pub(super) fn look_for_news(&mut self, now: Instant) {
        if self.has_heard && self.decider.has_news() {
            self.news_since.get_or_insert(now);
        } else {
            self.news_since = None;
        }
    }
}

/// Takes what a decider sends and has to say, and notes whether there is something to report.
pub(super) fn listen<D: Listener>(interface: &str, slot: &mut Slot<D>, now: Instant, said: &mut Vec<What>) {
    said.extend(std::iter::from_fn(|| slot.decider.poll_notice(interface)));
    while let Some((message, octets)) = slot.decider.poll_message() {
        said.push(What::Sent { interface: interface.to_owned(), message, octets });
    }
    slot.look_for_news(now);
}
