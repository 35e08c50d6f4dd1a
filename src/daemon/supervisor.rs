//! Tasks by name: a task that ends without being told to, or panics, ends the daemon with its name in the log.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{self, PanicHookInfo};
use std::process;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::log::{self, record};

tokio::task_local! {
    /// The name of the task that runs.
    static NAME: String;
}

/// Has a panic end the process. A release does not unwind the stack, which makes it an eighth smaller, so it would end in
/// any case; this way the log has the name of the task, and tests see what users see.
pub fn end_at_a_panic() {
    panic::set_hook(Box::new(|panic| {
        let name = NAME.try_with(Clone::clone).unwrap_or_else(|_| "dyn-prefix".to_owned());
        log::emit(&record::task_ended(&name, &told(panic)));
        process::exit(1);
    }));
}

fn told(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    panic.location().map_or_else(|| format!("panicked: {text}"), |place| format!("panicked at {place}: {text}"))
}

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
        let handle = self.tasks.spawn(NAME.scope(name.clone(), task));
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
            Err(error) => (error.id(), error.to_string()),
        };
        let (name, cancel) = self.names.remove(&id)?;
        (!cancel.is_cancelled()).then_some(Ended { name, outcome })
    }

    /// Waits until every task has ended; they must all have been told to.
    pub async fn drain(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
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

    /// The test runs itself again as the process that ends.
    #[tokio::test]
    async fn a_panic_ends_the_process_with_the_name_of_its_task() {
        const ENDS: &str = "DYN_PREFIX_TEST_ENDS";
        if std::env::var_os(ENDS).is_some() {
            log::init();
            end_at_a_panic();
            let mut supervisor = Supervisor::default();
            supervisor.spawn("jumpy".to_owned(), CancellationToken::new(), async { panic!("boo {}", 7) });
            supervisor.ended().await;
            return;
        }
        let name = format!("{}::a_panic_ends_the_process_with_the_name_of_its_task", module_path!());
        let name = name.split_once("::").expect("the crate is not part of it").1;
        let mut again = process::Command::new(std::env::current_exe().expect("the test program"));
        let again = again.args(["--exact", name, "--nocapture"]).env(ENDS, "1").env_remove("JOURNAL_STREAM");
        let output = again.output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("\"jumpy\"") && told.contains("panicked at src/daemon/supervisor.rs:"), "{told}");
        assert!(told.contains(": boo 7"), "{told}");
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
