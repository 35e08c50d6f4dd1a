//! What the driver of every source waits for, beside what its own socket brings.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::SourceReport;
use super::link::Links;

/// What is there.
#[derive(Debug)]
pub(super) enum Head<'a> {
    /// A place for the report.
    Place(mpsc::Permit<'a, SourceReport>),
    /// Other interfaces, or an interface that is different.
    Links,
    /// Another configuration.
    Settings,
    /// Nobody: whoever gave the channels is gone.
    Gone,
}

/// Waits for what comes first; of what is there already, in this order. `links`: where the source hangs on an interface.
/// Cancel safe.
pub(super) async fn next<'a, Settings>(
    reports: &'a mpsc::Sender<SourceReport>,
    has_news: bool,
    links: Option<&mut watch::Receiver<Arc<Links>>>,
    settings: &mut watch::Receiver<Settings>,
) -> Head<'a> {
    tokio::select! {
        biased;
        place = reports.reserve(), if has_news => place.map_or(Head::Gone, Head::Place),
        changed = changed(links) => changed.map_or(Head::Gone, |()| Head::Links),
        changed = settings.changed() => changed.map_or(Head::Gone, |()| Head::Settings),
    }
}

async fn changed(links: Option<&mut watch::Receiver<Arc<Links>>>) -> Result<(), watch::error::RecvError> {
    match links {
        Some(links) => links.changed().await,
        None => std::future::pending().await,
    }
}
