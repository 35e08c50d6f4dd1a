//! Lines about `daemon.listen`.

use std::net::SocketAddr;

use crate::log::{Entry, Priority};

const NOT_LISTENING: &str = "5d1b8bd5f6a4437c9e0f3c1ad1b64e27";
const LISTENING: &str = "e6a3f0c2b7d94d0f8a4c5b1e92d7f386";

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
