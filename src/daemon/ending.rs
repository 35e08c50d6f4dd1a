//! How the daemon ends.

use super::{Daemon, STOP_PATIENCE};
use crate::clock;
use crate::log::{self, Priority, record};

impl Daemon {
    /// Ends every task and saves; what is published stays.
    pub(super) async fn finish(mut self) {
        self.stop.cancel();
        // Who does not end in time is dropped with the runtime.
        let mut host = std::mem::take(&mut self.host);
        drop(tokio::join!(host.end(), tokio::time::timeout(STOP_PATIENCE, self.drain())));
        if let Err(error) = self.saver.save_now(&self.coordinator.state(&clock::epoch())).await {
            log::emit(&record::store(Priority::Error, format!("{error:#}")));
        }
        if let Some(recording) = self.recording.take() {
            recording.end(clock::now());
        }
    }

    /// Takes the last updates of ending tasks: a write that was accepted must be known to the store.
    async fn drain(&mut self) {
        let drained = self.tasks.supervisor.drain();
        tokio::pin!(drained);
        loop {
            tokio::select! {
                biased;
                Some((cluster, update)) = self.inbox.updates.recv() => {
                    self.coordinator.handle_update(&cluster, update, clock::now());
                }
                Some(_) = self.inbox.reports.recv() => {}
                () = &mut drained => break,
            }
        }
        while let Ok((cluster, update)) = self.inbox.updates.try_recv() {
            self.coordinator.handle_update(&cluster, update, clock::now());
        }
    }
}
