//! Which datagrams are taken (RFC 9915 §16). What is not is counted by reason, and told once.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use super::state::State;
use super::{Client, Notice, Received};
use crate::source::dhcpv6::wire::{self, Duid, Incoming, ServerMessage};
use crate::time::Instant;

/// How many different things are told, and how many reasons counted.
const MOST_KINDS: usize = 64;

/// What was not used.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Datagrams, by reason.
    dropped: BTreeMap<String, u64>,
    /// The same, by a word for the statistics.
    by_word: BTreeMap<&'static str, u64>,
    /// Prefixes that no range can be cut from.
    pub(super) unusable: u64,
    /// Oddities and warnings that were told.
    told: BTreeSet<String>,
}

impl Client {
    /// How many datagrams were dropped, by reason.
    pub fn dropped(&self) -> &BTreeMap<String, u64> {
        &self.counters.dropped
    }

    /// The same, by a word for the statistics.
    pub fn dropped_by_word(&self) -> &BTreeMap<&'static str, u64> {
        &self.counters.by_word
    }

    pub(super) fn receive(&mut self, received: &Received<'_>, now: Instant) {
        if self.link.as_ref().is_none_or(|link| link.ifindex != received.ifindex) {
            return self.drop_for("other-interface", "it came in by another interface");
        }
        if received.destination.is_multicast() {
            return self.drop_for("multicast", "it was sent to a multicast address");
        }
        if received.bytes.is_empty() {
            return self.drop_for("length", "it was empty, or longer than any DHCPv6 message to a client");
        }
        match wire::decode(received.bytes) {
            Ok(message) => self.handle_message(&message, received.bytes, now),
            Err(malformed) => {
                let kind = format!("malformed: {:?}", discriminant(&malformed));
                self.drop_as("malformed", kind, &malformed.to_string());
            }
        }
    }

    /// A message that was read from `bytes`.
    fn handle_message(&mut self, message: &Incoming, bytes: &[u8], now: Instant) {
        if message.client_id.as_ref() != Some(&self.duid) {
            return self.drop_for("other-client", "it does not carry the client's own DUID");
        }
        let Some(server) = &message.server_id else {
            return self.drop_for("no-server", "it does not say which server it is from");
        };
        if message.kind == ServerMessage::Reconfigure {
            return self.handle_reconfigure(message, server, bytes, now);
        }
        let exchange = self.state.exchange().filter(|exchange| exchange.transmissions() > 0);
        if exchange.is_none_or(|exchange| exchange.transaction_id() != message.transaction_id) {
            return self.drop_for("unasked", "it answers no message that waits for an answer");
        }
        if !self.expects(message, server) {
            return self.drop_for(
                "unexpected",
                "it is no answer to what was asked, or from another server than the one asked",
            );
        }
        for oddity in &message.oddities {
            self.warn(format!("A message of DHCPv6 server {server} on {} is odd: {oddity}", self.settings.interface));
        }
        self.note_max_rt(message);
        match message.kind {
            ServerMessage::Advertise => self.handle_advertise(message, server, now),
            ServerMessage::Reply => self.handle_reply(message, server, now),
            ServerMessage::Reconfigure => {}
        }
    }

    /// Whether it is the answer that the state waits for, from the server that was asked.
    fn expects(&self, message: &Incoming, server: &Duid) -> bool {
        let is_reply = message.kind == ServerMessage::Reply;
        match &self.state {
            State::Idle | State::Bound { .. } => false,
            State::Soliciting(_) if is_reply => self.settings.rapid_commit && message.rapid_commit,
            State::Soliciting(_) => true,
            State::Requesting(request) => is_reply && request.chosen.server == *server,
            State::Renewing(_) | State::Informing(_) | State::Releasing(..) => {
                is_reply && self.server.as_ref() == Some(server)
            }
            State::Rebinding(..) | State::Confirming { .. } => is_reply,
        }
    }

    pub(super) fn drop_for(&mut self, word: &'static str, reason: &str) {
        self.drop_as(word, reason.to_owned(), reason);
    }

    fn drop_as(&mut self, word: &'static str, kind: String, reason: &str) {
        let count = self.counters.by_word.entry(word).or_default();
        *count = count.saturating_add(1);
        let is_new = !self.counters.dropped.contains_key(&kind);
        if is_new && self.counters.dropped.len() >= MOST_KINDS {
            return;
        }
        let count = self.counters.dropped.entry(kind).or_default();
        *count = count.saturating_add(1);
        if is_new {
            let interface = &self.settings.interface;
            let sentence = format!("A datagram to the DHCPv6 client on {interface} was dropped: {reason}.");
            self.notices.push_back(Notice::Dropped(sentence));
        }
    }

    /// Tells something once.
    pub(super) fn warn(&mut self, sentence: String) {
        if self.counters.told.len() < MOST_KINDS && self.counters.told.insert(sentence.clone()) {
            self.notices.push_back(Notice::Warning(sentence));
        }
    }
}
