//! What is true of the codec for every datagram.

use dyn_prefix::source::dhcpv6::wire::{self, Duid, IaPrefix, Incoming, Status, server};

#[path = "../../../src/source/dhcpv6/wire/tests/reference.rs"]
mod reference;

const KEY: [u8; 16] = *b"0123456789abcdef";

/// Panics where an invariant is broken.
pub(crate) fn check(datagram: &[u8]) {
    let accepted = reference::accepts(datagram);
    let from_server = matches!(datagram.first(), Some(2 | 7 | 10));
    let read = wire::decode(datagram);
    assert_eq!(read.is_ok(), accepted && from_server, "{read:?}");
    if let Ok(incoming) = read {
        nothing_is_lost(datagram, &incoming);
        values_are_sound(&incoming);
        it_can_be_written_again(incoming);
    }
    a_client_can_be_heard(datagram, accepted);
    a_signature_is_the_only_one(datagram);
}

/// As many IAs as there are options of that kind.
fn nothing_is_lost(datagram: &[u8], incoming: &Incoming) {
    let mut counts = [0, 0];
    let mut rest = &datagram[4..];
    while let [c0, c1, l0, l1, content @ ..] = rest {
        match (c0, c1) {
            (0, 25) => counts[0] += 1,
            (0, 3) => counts[1] += 1,
            _ => {}
        }
        rest = &content[usize::from(*l0) * 256 + usize::from(*l1)..];
    }
    assert_eq!(counts, [incoming.delegations.len(), incoming.addresses.len()]);
    assert_eq!(incoming.transaction_id, datagram[1..4]);
}

fn values_are_sound(incoming: &Incoming) {
    assert!(incoming.client_id.iter().chain(&incoming.server_id).all(is_duid));
    let prefixes = || incoming.delegations.iter().flat_map(|ia| &ia.prefixes);
    prefixes().for_each(prefix_is_sound);
    let addresses = || incoming.addresses.iter().flat_map(|ia| &ia.addresses);
    let statuses = prefixes().map(|prefix| &prefix.status).chain(addresses().map(|address| &address.status));
    let statuses = statuses.chain(incoming.delegations.iter().map(|ia| &ia.status));
    let mut statuses = statuses.chain(incoming.addresses.iter().map(|ia| &ia.status)).chain([&incoming.status]);
    assert!(statuses.all(is_printable), "{incoming:?}");
    assert!(incoming.oddities.len() <= 8);
    assert!(!incoming.oddities.iter().any(|oddity| oddity.len() > 200 || oddity.chars().any(char::is_control)));
}

fn is_duid(duid: &Duid) -> bool {
    (3..=130).contains(&duid.as_bytes().len()) && Duid::parse(&duid.to_string()).as_ref() == Ok(duid)
}

fn prefix_is_sound(prefix: &IaPrefix) {
    assert_eq!(prefix.prefix, prefix.prefix.trunc(), "host bits are zero");
    if let Some(excluded) = prefix.excluded {
        assert_eq!(excluded, excluded.trunc(), "host bits are zero");
        assert!(prefix.prefix.contains(&excluded) && prefix.prefix != excluded, "{prefix:?}");
    }
}

fn is_printable(status: &Status) -> bool {
    status.text.chars().count() <= 200 && !status.text.chars().any(char::is_control)
}

/// What was read is all that it said, for us.
fn it_can_be_written_again(incoming: Incoming) {
    let incoming = Incoming { oddities: Vec::new(), ..incoming };
    let written = server::encode(&incoming, &[]);
    // What replaces an octet that is no UTF-8 is longer.
    if written.len() <= 4096 {
        assert_eq!(wire::decode(&written), Ok(incoming));
    }
}

fn a_client_can_be_heard(datagram: &[u8], accepted: bool) {
    let Ok(outgoing) = server::decode_client(datagram) else { return };
    assert!(accepted);
    match wire::encode(&outgoing) {
        Ok(written) => {
            // The order may differ, and an empty Option Request is not written; the rest is the same.
            assert!(written.len() == datagram.len() || written.len() + 4 == datagram.len());
            assert_eq!(server::decode_client(&written), Ok(outgoing));
        }
        Err(wire::TooLong(octets)) => assert!(octets <= datagram.len()),
    }
}

fn a_signature_is_the_only_one(datagram: &[u8]) {
    let mut signed = datagram.to_vec();
    if server::sign(&mut signed, &KEY) {
        assert!(wire::verify(&signed, &KEY));
        assert_eq!(wire::verify(datagram, &KEY), signed == datagram);
    } else {
        assert!(!wire::verify(datagram, &KEY));
        assert_eq!(signed, datagram);
    }
}
