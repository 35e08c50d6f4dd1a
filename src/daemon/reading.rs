//! Reads the configuration anew for a reload, beside the loop: a file system may hang, and must not take the daemon with
//! it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::{Config, Loaded};
use crate::control::Response;
use crate::time::Instant;

/// How long a reload waits for the file. The client waits longer, so that it hears why.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The file as it was read, with its text.
pub(super) type Read = (Loaded, String);

/// What is read, and who waits for it. There is one reader at most, however long it takes.
#[derive(Debug, Default)]
pub(super) struct Reading {
    reader: Option<JoinHandle<Read>>,
    waiting: Vec<Waiting>,
}

/// Somebody who wants a reload.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Whether the reader began after he came: what it reads is new enough for him.
    is_served: bool,
    until: Instant,
    /// `None`: a signal.
    answer: Option<oneshot::Sender<Response>>,
}

impl Waiting {
    /// Who went away meanwhile has no use for it.
    pub(super) fn answer(self, response: Response) {
        drop(self.answer.map(|answer| answer.send(response)));
    }
}

impl Reading {
    /// Reads the file for somebody; if it is being read for another one, once more after that.
    pub(super) fn begin(&mut self, path: &Path, answer: Option<oneshot::Sender<Response>>, now: Instant) {
        self.waiting.push(Waiting { is_served: false, until: now + PATIENCE, answer });
        self.go_on(path, |path| Config::load_with_text(&path));
    }

    /// The file as it was read, and for whom. Loses nothing when it is dropped while it waits.
    pub(super) async fn next(&mut self) -> (Result<Read, String>, Vec<Waiting>) {
        let Some(reader) = &mut self.reader else { return std::future::pending().await };
        let read = reader.await.map_err(|error| format!("the configuration could not be read: {error}"));
        self.reader = None;
        (read, self.waiting.extract_if(.., |waiting| waiting.is_served).collect())
    }

    /// Begins to read if somebody waits and nothing is read.
    pub(super) fn go_on(&mut self, path: &Path, read: impl FnOnce(PathBuf) -> Read + Send + 'static) {
        if self.reader.is_none() && !self.waiting.is_empty() {
            self.waiting.iter_mut().for_each(|waiting| waiting.is_served = true);
            let path = path.to_owned();
            self.reader = Some(tokio::task::spawn_blocking(move || read(path)));
        }
    }

    /// Those who have waited long enough. What is read for them is not used any more.
    pub(super) fn late(&mut self, now: Instant) -> Vec<Waiting> {
        self.waiting.extract_if(.., |waiting| waiting.until <= now).collect()
    }

    /// When somebody has waited long enough.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn empty() -> Read {
        (Config::parse_here("", Path::new("x.toml")), String::new())
    }

    #[tokio::test]
    async fn who_comes_while_it_is_read_has_it_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.toml");
        let mut reading = Reading::default();
        let now = Instant::from_secs(100);
        for text in ["# one", "# two"] {
            std::fs::write(&path, text).unwrap();
            reading.begin(&path, None, now);
        }
        let (_, whom) = reading.next().await;
        assert_eq!(whom.len(), 1, "the second may be newer than what was read");
        reading.go_on(&path, |path| Config::load_with_text(&path));
        let (read, whom) = reading.next().await;
        assert_eq!((read.unwrap().1.as_str(), whom.len()), ("# two", 1));
        assert_eq!(reading.poll_timeout(), None);
    }

    #[tokio::test]
    async fn a_file_system_that_hangs_holds_up_those_who_wait_for_a_time_and_nobody_else() {
        let mut reading = Reading::default();
        let (now, path) = (Instant::from_secs(100), Path::new("x.toml"));
        let (go_on, hangs) = mpsc::channel::<()>();
        let (answer, mut answered) = oneshot::channel();
        reading.waiting.push(Waiting { is_served: false, until: now + PATIENCE, answer: Some(answer) });
        reading.go_on(path, move |_| {
            // Until the sender is gone.
            let _until = hangs.recv();
            empty()
        });
        reading.begin(path, None, now + Duration::from_secs(1));
        assert!(reading.late(now).is_empty());
        assert_eq!(reading.poll_timeout(), Some(now + PATIENCE));
        let late = reading.late(now + PATIENCE);
        assert_eq!(late.len(), 1);
        late.into_iter().for_each(|late| late.answer(Response::Error { message: "slow".to_owned() }));
        assert_eq!(answered.try_recv(), Ok(Response::Error { message: "slow".to_owned() }));
        drop(go_on);
        let (_, whom) = reading.next().await;
        assert!(whom.is_empty(), "it comes too late for the first, and is too old for the second");
        reading.go_on(path, |_| empty());
        assert_eq!(reading.next().await.1.len(), 1);
    }
}
