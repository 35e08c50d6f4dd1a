//! Replays the inputs that fuzzing starts from and has found (tests/fuzz), on the toolchain that everything else is
//! built with.

use std::fs;
use std::path::Path;

#[path = "../fuzz/bodies/decode.rs"]
mod decode;
#[path = "../fuzz/bodies/events.rs"]
mod events;
#[path = "../fuzz/bodies/exchange.rs"]
mod exchange;
#[path = "../fuzz/bodies/play.rs"]
mod play;
#[path = "../fuzz/bodies/watch.rs"]
mod watch;

/// More would make every checkout slower for what fuzzing finds again in seconds.
const MOST_FILES: usize = 200;
const MOST_OCTETS: usize = 300_000;

/// Every input of a target, by its file name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let read =
        |entry: fs::DirEntry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap());
    let inputs: Vec<_> = entries.map(read).collect();
    assert!(!inputs.is_empty() && inputs.len() < MOST_FILES, "{} files", inputs.len());
    let octets: usize = inputs.iter().map(|(_, input)| input.len()).sum();
    assert!(octets < MOST_OCTETS, "{octets} octets");
    inputs
}

/// Says which input it was.
fn replay(target: &str, check: fn(&[u8])) {
    for (name, input) in corpus(target) {
        let outcome = std::panic::catch_unwind(|| check(&input));
        assert!(outcome.is_ok(), "tests/fuzz/corpus/{target}/{name} breaks an invariant");
    }
}

#[test]
fn decode_holds_for_its_corpus() {
    replay("decode", decode::check);
}

#[test]
fn exchange_holds_for_its_corpus() {
    replay("exchange", exchange::check);
}

#[test]
fn events_hold_for_their_corpus() {
    replay("events", events::check);
}

/// The corpus must reach what it is there for: messages of each kind that are in order.
#[test]
fn the_corpus_of_decode_has_every_message() {
    use dyn_prefix::source::dhcpv6::wire::{self, ServerMessage, server};
    let inputs = corpus("decode");
    for kind in [ServerMessage::Advertise, ServerMessage::Reply, ServerMessage::Reconfigure] {
        let found = inputs.iter().filter_map(|(_, input)| wire::decode(input).ok()).any(|read| read.kind == kind);
        assert!(found, "{kind:?}");
    }
    for kind in [1, 3, 4, 5, 6, 8, 11] {
        let heard = inputs.iter().filter_map(|(_, input)| server::decode_client(input).ok());
        assert!(heard.map(|message| u8::from(message.kind)).any(|heard| heard == kind), "message type {kind}");
    }
}

/// The corpus must reach what it is there for: every way from one state to another.
#[test]
fn the_corpus_of_exchange_goes_every_way() {
    let ways = [
        "Soliciting to Requesting",
        "SolicitingOn to Requesting",
        "SolicitingRapid to Requesting",
        "SolicitingRapid to Bound",
        "Requesting to Bound",
        "Requesting to Soliciting",
        "RequestingWithRunnerUp to Bound",
        "RequestingWithRunnerUp to Requesting",
        "Renewing to Bound",
        "Renewing to Renewing",
        "Renewing to Requesting",
        "Renewing to Soliciting",
        "Rebinding to Bound",
        "Rebinding to Rebinding",
        "Rebinding to Requesting",
        "Rebinding to Soliciting",
        "LinkCheck to Bound",
        "LinkCheck to Rebinding",
        "LinkCheck to Requesting",
        "LinkCheck to Soliciting",
        "Releasing to Released",
        "Reconfigurable to Renewing",
        "Reconfigurable to Rebinding",
        "Reconfigurable to Bound",
        "Informing to Bound",
        "Confirming to Soliciting",
    ];
    let found: std::collections::BTreeSet<_> =
        corpus("exchange").iter().filter_map(|(_, input)| exchange::outcome(input)).collect();
    for way in ways {
        assert!(found.contains(way), "no input leads from {way}: {found:?}");
    }
}
