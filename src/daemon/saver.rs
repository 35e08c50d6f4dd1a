//! Saves the state, off the loop, some time after it changed; a disk that refuses is told of once and tried again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::log::{Entry, Priority, record};
use crate::store::{State, Store};
use crate::time::Instant;

/// How long a change waits to be saved, so that one rotation is one save. What is not saved yet when the process
/// dies is repaired from the records on the objects.
const DELAY: Duration = Duration::from_millis(200);

/// After how long a failed save is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// How often a save that keeps failing is told of.
const REMINDER: Duration = Duration::from_secs(3600);

type Saving = tokio::task::JoinHandle<anyhow::Result<()>>;

/// Whether what somebody relies on is saved; or why not, a sentence.
pub(super) type Kept = oneshot::Receiver<Result<(), String>>;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Saver {
    store: Arc<Store>,
    due: Option<Instant>,
    saving: Option<Saving>,
    outcome: Option<anyhow::Result<()>>,
    failing_since: Option<Instant>,
    told_at: Option<Instant>,
    entries: VecDeque<Entry>,
    /// Who relies on the next save, and on the one under way.
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
    served: Vec<oneshot::Sender<Result<(), String>>>,
}

impl Saver {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store: Arc::new(store),
            due: None,
            saving: None,
            outcome: None,
            failing_since: None,
            told_at: None,
            entries: VecDeque::new(),
            waiting: Vec::new(),
            served: Vec::new(),
        }
    }

    /// There is something new to save.
    pub(super) fn want(&mut self, now: Instant) {
        // A change after a failed save does not wait for the next attempt: perhaps there is room again.
        self.due = Some(self.due.map_or(now + DELAY, |due| due.min(now + DELAY)));
    }

    /// There is something new that somebody relies on: it is saved at once, after the save under way.
    pub(super) fn keep(&mut self, now: Instant) -> Kept {
        self.due = Some(now);
        let (told, kept) = oneshot::channel();
        self.waiting.push(told);
        kept
    }

    /// When the next save is due; none while one is under way.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.saving.is_some() { None } else { self.due }
    }

    /// Waits for the save under way; pending for ever when there is none.
    pub(super) async fn finished(&mut self) {
        let Some(saving) = &mut self.saving else { return std::future::pending().await };
        let outcome = saving.await;
        self.saving = None;
        let outcome = outcome.unwrap_or_else(|error| Err(anyhow::anyhow!("the save was cut off: {error}")));
        let told = outcome.as_ref().map(drop).map_err(|error| format!("{error:#}"));
        // Who went away meanwhile has no use for it.
        self.served.drain(..).for_each(|waiting| drop(waiting.send(told.clone())));
        self.outcome = Some(outcome);
    }

    /// Starts a save that is due, and judges the last one.
    pub(super) fn handle_timeout(&mut self, now: Instant, state: impl FnOnce() -> State) {
        if let Some(outcome) = self.outcome.take() {
            self.judge(outcome, now);
        }
        if self.saving.is_none() && self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.served.append(&mut self.waiting);
            let (store, state) = (Arc::clone(&self.store), state());
            self.saving = Some(tokio::task::spawn_blocking(move || store.save(&state)));
        }
    }

    fn judge(&mut self, outcome: anyhow::Result<()>, now: Instant) {
        match outcome {
            Ok(()) => {
                if self.failing_since.take().is_some() {
                    self.told_at = None;
                    self.entries.push_back(record::store(Priority::Info, "The state can be saved again.".to_owned()));
                }
            }
            Err(error) => {
                self.failing_since.get_or_insert(now);
                self.due.get_or_insert(now + RETRY);
                if self.told_at.is_none_or(|told| now.saturating_since(told) >= REMINDER) {
                    self.told_at = Some(now);
                    let message = format!(
                        "{error:#}. The daemon goes on; a restart before this is mended starts from the state that \
                         was saved last. Is the disk full or read-only?"
                    );
                    self.entries.push_back(record::store(Priority::Error, message));
                }
            }
        }
    }

    /// The next line for the journal.
    pub(super) fn poll_entry(&mut self) -> Option<Entry> {
        self.entries.pop_front()
    }

    /// Saves at once, after the save under way.
    pub(super) async fn save_now(&mut self, state: &State) -> anyhow::Result<()> {
        if self.saving.is_some() {
            self.finished().await;
        }
        let (store, state) = (Arc::clone(&self.store), state.clone());
        tokio::task::spawn_blocking(move || store.save(&state)).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Epoch;

    fn state() -> State {
        State::new(&Epoch::new(Instant::BOOT, "2026-01-04T10:00:00Z".parse().unwrap()))
    }

    async fn save(saver: &mut Saver, now: Instant) -> Vec<Entry> {
        saver.handle_timeout(now, state);
        if saver.saving.is_some() {
            saver.finished().await;
        }
        saver.handle_timeout(now, state);
        std::iter::from_fn(|| saver.poll_entry()).collect()
    }

    #[tokio::test]
    async fn changes_are_saved_together_and_a_full_disk_is_told_once_and_retried() {
        let directory = tempfile::tempdir().unwrap();
        let opened = Store::open(directory.path(), state().saved_at).unwrap();
        let mut saver = Saver::new(opened.store);
        let now = Instant::from_secs(100);
        saver.want(now);
        saver.want(now + Duration::from_millis(100));
        assert_eq!(saver.poll_timeout(), Some(now + DELAY));
        assert_eq!(save(&mut saver, now).await, []);
        assert!(!directory.path().join("state.json").exists(), "not due yet");
        assert_eq!(save(&mut saver, now + DELAY).await, []);
        assert!(directory.path().join("state.json").exists());
        assert_eq!(saver.poll_timeout(), None);

        let obstacle = directory.path().join("state.json.new");
        std::fs::create_dir(&obstacle).unwrap();
        let later = now + Duration::from_secs(10);
        saver.want(later - DELAY);
        assert_eq!(save(&mut saver, later).await.len(), 1, "told once");
        assert_eq!(saver.poll_timeout(), Some(later + RETRY));
        assert_eq!(save(&mut saver, later + RETRY).await, [], "not told again");
        std::fs::remove_dir(&obstacle).unwrap();
        let again = save(&mut saver, later + RETRY + RETRY).await;
        assert_eq!(again[0].message, "The state can be saved again.");
    }

    /// Nobody who relies on it is answered by a save that began before.
    #[tokio::test]
    async fn who_relies_on_a_save_hears_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let opened = Store::open(directory.path(), state().saved_at).unwrap();
        let mut saver = Saver::new(opened.store);
        let now = Instant::from_secs(100);
        saver.want(now - DELAY);
        saver.handle_timeout(now, state);
        let mut kept = saver.keep(now);
        saver.finished().await;
        assert!(kept.try_recv().is_err(), "the save under way had begun before");
        save(&mut saver, now).await;
        assert_eq!(kept.try_recv(), Ok(Ok(())));

        std::fs::create_dir(directory.path().join("state.json.new")).unwrap();
        let mut kept = saver.keep(now);
        save(&mut saver, now).await;
        let why = kept.try_recv().unwrap().unwrap_err();
        assert!(why.contains("state.json"), "{why}");
    }

    #[tokio::test]
    async fn a_change_after_a_failed_save_is_saved_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let opened = Store::open(directory.path(), state().saved_at).unwrap();
        let mut saver = Saver::new(opened.store);
        let obstacle = directory.path().join("state.json.new");
        std::fs::create_dir(&obstacle).unwrap();
        let now = Instant::from_secs(100);
        saver.want(now);
        assert_eq!(save(&mut saver, now + DELAY).await.len(), 1);
        std::fs::remove_dir(&obstacle).unwrap();
        let later = now + Duration::from_secs(1);
        saver.want(later);
        assert_eq!(saver.poll_timeout(), Some(later + DELAY));
        let again = save(&mut saver, later + DELAY).await;
        assert_eq!(again[0].message, "The state can be saved again.");
    }
}
