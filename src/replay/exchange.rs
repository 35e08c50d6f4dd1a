//! The transaction-ids of the record, and those of the replay.

use std::collections::BTreeMap;

use crate::source::dhcpv6::wire::TransactionId;

/// Those of the client on one interface.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    /// The last message of each type that was sent in the replay.
    sent: BTreeMap<u8, TransactionId>,
    /// The last one of all.
    last: Option<TransactionId>,
    /// What the record has for each.
    recorded: BTreeMap<TransactionId, TransactionId>,
}

/// In a record made by hand: that of the last message.
const ANY: TransactionId = [0; 3];

/// The messages that answer one of a client (RFC 9915 §7.3).
const ADVERTISE: u8 = 2;
const REPLY: u8 = 7;

impl Exchanges {
    /// The client sends this.
    pub(super) fn sent(&mut self, message: &[u8]) {
        if let Some((kind, id)) = head(message) {
            self.sent.insert(kind, id);
            self.last = Some(id);
        }
    }

    /// The client of the record sent this.
    pub(super) fn recorded(&mut self, message: &[u8]) {
        if let Some((kind, id)) = head(message)
            && let Some(own) = self.sent.get(&kind)
        {
            self.recorded.insert(id, *own);
        }
    }

    /// A datagram of the record as an answer to what the client has sent.
    pub(super) fn translate(&self, mut datagram: Vec<u8>) -> Vec<u8> {
        let Some((ADVERTISE | REPLY, id)) = head(&datagram) else { return datagram };
        let own = if id == ANY { self.last } else { self.recorded.get(&id).copied() };
        if let (Some(own), Some(place)) = (own, datagram.get_mut(1..4)) {
            place.copy_from_slice(&own);
        }
        datagram
    }
}

/// The type of a message, and its transaction-id (RFC 9915 §8).
fn head(message: &[u8]) -> Option<(u8, TransactionId)> {
    let (kind, rest) = message.split_first()?;
    Some((*kind, *rest.first_chunk()?))
}
