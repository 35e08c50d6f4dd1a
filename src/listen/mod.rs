//! What is served by HTTP on `daemon.listen`: `/metrics`, `/status`, `/healthz` and `/readyz`, to read and nothing else.
//!
//! There is no password: who reaches the address reads what `dyn-prefix status` shows. It is meant for the loopback
//! interface, or for an address that only a Prometheus reaches. On the loopback interface, what is asked of another name is
//! not answered ([`host`]).
//!
//! Whoever connects can take neither the daemon's time nor its memory: at most [`server::MAX_CONNECTIONS`] connections are
//! kept, the oldest giving way to a new one, each for a few seconds and one request of a few kilobytes; the status is
//! asked for at most [`server::FRESH`] apart, however many want it.

use tokio::sync::oneshot;

use crate::metrics::Snapshot;

pub mod host;
pub mod server;

pub use server::Server;

/// What the server asks the daemon's loop.
#[derive(Debug)]
pub enum Question {
    /// Whether the loop turns.
    Alive(oneshot::Sender<()>),
    /// What it knows.
    Snapshot(oneshot::Sender<Box<Snapshot>>),
}
