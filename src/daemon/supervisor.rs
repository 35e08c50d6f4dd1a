//! Tasks by name: a task that ends without being told to, or panics, ends the daemon with its name in the log.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Every task of the daemon.
#[derive(Debug, Default)]
pub struct Supervisor {
    tasks: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, (String, CancellationToken)>,
}

/// A task that ended although nobody told it to.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: String,
}

impl Supervisor {
    /// Starts a task. It is expected to end once `cancel` is cancelled, and not before.
    pub fn spawn(
        &mut self,
        name: String,
        cancel: CancellationToken,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(task);
        self.names.insert(handle.id(), (name, cancel));
    }

    /// Waits for a task that ends without being told to. Pending for ever when there is none.
    pub async fn ended(&mut self) -> Ended {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            if let Some(ended) = self.judge(joined) {
                return ended;
            }
        }
    }

    fn judge(&mut self, joined: Result<(Id, anyhow::Result<()>), JoinError>) -> Option<Ended> {
        let (id, outcome) = match joined {
            Ok((id, Ok(()))) => (id, "without an error".to_owned()),
            Ok((id, Err(error))) => (id, format!("{error:#}")),
            Err(error) => {
                let id = error.id();
                let outcome = match error.try_into_panic() {
                    Ok(panic) => format!("panicked: {}", panic_text(panic.as_ref())),
                    Err(error) => error.to_string(),
                };
                (id, outcome)
            }
        };
        let (name, cancel) = self.names.remove(&id)?;
        (!cancel.is_cancelled()).then_some(Ended { name, outcome })
    }

    /// Waits until every task has ended; they must all have been told to.
    pub async fn drain(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_by_itself_is_named() {
        let mut supervisor = Supervisor::default();
        supervisor.spawn("quitter".to_owned(), CancellationToken::new(), async { anyhow::bail!("no more sockets") });
        let ended = supervisor.ended().await;
        assert_eq!(ended, Ended { name: "quitter".to_owned(), outcome: "no more sockets".to_owned() });
    }

    #[tokio::test]
    async fn a_panic_is_named() {
        let mut supervisor = Supervisor::default();
        supervisor.spawn("jumpy".to_owned(), CancellationToken::new(), async { panic!("boo") });
        assert_eq!(supervisor.ended().await.outcome, "panicked: boo");
    }

    #[tokio::test]
    async fn a_task_that_was_told_to_end_is_no_news() {
        let mut supervisor = Supervisor::default();
        let told = CancellationToken::new();
        told.cancel();
        supervisor.spawn("obedient".to_owned(), told, async { Ok(()) });
        supervisor.spawn("quitter".to_owned(), CancellationToken::new(), async { Ok(()) });
        assert_eq!(supervisor.ended().await.name, "quitter");
    }
}
