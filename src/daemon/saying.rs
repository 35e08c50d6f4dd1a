//! `dyn-prefix report`: what somebody says of a delegation goes to the observer on its interface, and what follows from it
//! back to him.

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::control::Response;
use crate::source::observe::Told;
use crate::time::Instant;

use super::coordinator::Coordinator;

/// Those who wait until an observer has taken what they said.
#[derive(Debug, Default)]
pub(super) struct Sayings {
    waiting: JoinSet<Said>,
}

/// What an observer has taken, or not.
#[derive(Debug)]
pub(super) struct Said {
    told: Told,
    is_taken: bool,
    answer: oneshot::Sender<Response>,
}

impl Sayings {
    /// Waits for the observer.
    pub(super) fn begin(&mut self, told: Told, taken: oneshot::Receiver<()>, answer: oneshot::Sender<Response>) {
        self.waiting.spawn(async move { Said { told, is_taken: taken.await.is_ok(), answer } });
    }

    /// The next that was taken; `None` when nobody waits.
    pub(super) async fn next(&mut self) -> Option<Said> {
        self.waiting.join_next().await?.ok()
    }
}

impl Said {
    /// Answers. The observer's report was heard before.
    pub(super) fn answer(self, coordinator: &Coordinator, now: Instant) {
        let response = if self.is_taken {
            Response::Handled { done: vec![coordinator.follows_from(&self.told, now)], left: Vec::new() }
        } else {
            let message = format!(
                "{} was not taken: what it was said to has ended, as after a reload; report it again",
                self.told.prefix
            );
            Response::Error { message }
        };
        // Who has gone meanwhile need not hear it.
        drop(self.answer.send(response));
    }
}
