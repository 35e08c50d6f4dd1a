//! Lines about the sockets at which the daemon is asked: the control socket, and `daemon.listen`.

use std::net::SocketAddr;

use crate::log::{Entry, Priority};

const NOT_LISTENING: &str = "5d1b8bd5f6a4437c9e0f3c1ad1b64e27";
const LISTENING: &str = "e6a3f0c2b7d94d0f8a4c5b1e92d7f386";
const NOT_ACCEPTING: &str = "0f6c1f5d9a0b4f3e8f1d3c7a52e9b846";
const ACCEPTING: &str = "b3a97e10c64d4a25a1f08d6e7c5b2f93";

#[cfg(test)]
pub(super) const IDS: [&str; 4] = [NOT_LISTENING, LISTENING, NOT_ACCEPTING, ACCEPTING];

/// The address of metrics and health cannot be bound.
pub fn not_listening(error: &str) -> Entry {
    let message = format!(
        "There are no metrics and no health to read: {error}. Everything else works; it is tried again, at least once a \
         minute. Free the address, or change `listen` of [daemon] and run `systemctl reload dyn-prefix`."
    );
    Entry::new(NOT_LISTENING, Priority::Warning, message)
}

/// It could be bound in the end.
pub fn listening(address: SocketAddr) -> Entry {
    Entry::new(LISTENING, Priority::Info, format!("Metrics and health can be read on {address} now."))
}

/// Nobody who asks at this socket is heard.
pub fn not_accepting(socket: &str, error: &str, advice: &str) -> Entry {
    let message = format!(
        "Who asks at {socket} has to wait: the connection cannot be accepted: {error}. The daemon does its work meanwhile, \
         and it is tried again all the time. {advice}"
    );
    Entry::new(NOT_ACCEPTING, Priority::Warning, message)
}

/// They are heard again.
pub fn accepting(socket: &str) -> Entry {
    Entry::new(ACCEPTING, Priority::Info, format!("Connections to {socket} are accepted again."))
}
