//! What must outlive the process: `state.json` in the state directory.
//!
//! Written whole and atomically (new file, fsync, rename, fsync of the directory), so that a crash at any moment
//! leaves either the old or the new state. A file that cannot be read is kept aside under another name. The
//! directory is locked, so that no two daemons share one.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;

pub(crate) mod directory;
mod lease;
mod paused;
pub mod state;

use directory::Directory;
pub use state::State;

const FILE: &str = "state.json";
const NEW_FILE: &str = "state.json.new";

/// The state directory, locked for as long as this lives.
#[derive(Debug)]
pub struct Store {
    directory: Directory,
    _lock: File,
}

/// What was found when the store was opened.
#[derive(Debug)]
pub struct Opened {
    /// The store, locked.
    pub store: Store,
    /// The state of the former run; `None` when there was none, or none that can be read.
    pub state: Option<State>,
    /// What the user should know: an unreadable file and where it is now. A full sentence.
    pub warning: Option<String>,
}

impl Store {
    /// Opens and locks `directory`, which is made if it is absent, and reads the state in it.
    ///
    /// # Errors
    /// When the directory cannot be made or locked, or another daemon holds the lock. An unreadable state is no
    /// error: it is kept aside and told in [`Opened::warning`].
    pub fn open(directory: &Path, now: Timestamp) -> anyhow::Result<Opened> {
        let directory = Directory::make(directory)?;
        let store = Self { _lock: directory.lock()?, directory };
        let (state, warning) = store.load(now);
        Ok(Opened { store, state, warning })
    }

    /// Opens and locks `directory` in the daemon's stead, and reads the state in it: nothing is made there, and nothing
    /// is put aside. `None` when there is no state.
    ///
    /// # Errors
    /// When the state cannot be read, or a daemon holds the lock.
    pub fn open_existing(directory: &Path) -> anyhow::Result<Option<(Self, State)>> {
        let path = directory.join(FILE);
        if peek(directory)?.is_none() {
            return Ok(None);
        }
        let opened = Directory::open(directory);
        let directory = opened.with_context(|| format!("cannot open the state directory {}", directory.display()))?;
        let store = Self { _lock: directory.lock()?, directory };
        let state = read_state(&store.directory).with_context(|| unreadable(&path))?;
        Ok(state.map(|state| (store, state)))
    }

    fn load(&self, now: Timestamp) -> (Option<State>, Option<String>) {
        let path = self.directory.path(FILE);
        let problem = match read_state(&self.directory) {
            Ok(state) => return (state, None),
            Err(problem) => problem,
        };
        let aside = format!("{FILE}.unreadable-{}", now.as_second());
        let kept = match self.directory.rename(FILE, &aside) {
            Ok(()) => format!("it is kept as {}", self.directory.path(&aside).display()),
            Err(error) => format!("it could not be kept aside either ({error})"),
        };
        let warning = format!(
            "The state in {} cannot be read ({problem:#}); {kept}, and the daemon starts without it: former prefixes \
             are unknown, and nothing is released that only this file knew.",
            path.display()
        );
        (None, Some(warning))
    }

    /// Replaces the state on disk.
    ///
    /// # Errors
    /// When the disk is full or not writable; the state that was there is then untouched.
    pub fn save(&self, state: &State) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(state).context("cannot encode the state")?;
        self.directory
            .replace(FILE, NEW_FILE, &text)
            .with_context(|| format!("cannot save the state to {}", self.directory.path(FILE).display()))
    }
}

/// The state in `directory`, without locking it: for `dyn-prefix plan` and `history` beside a running daemon.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn peek(directory: &Path) -> anyhow::Result<Option<State>> {
    let read = match Directory::open(directory) {
        Ok(directory) => read_state(&directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    };
    read.map_err(|error| {
        let denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        let advice = if error.downcast_ref().is_some_and(denied) { "; run this as root" } else { "" };
        anyhow::anyhow!("{}: {error:#}{advice}", unreadable(&directory.join(FILE)))
    })
}

fn unreadable(path: &Path) -> String {
    format!("cannot read the stored state {}", path.display())
}

fn read_state(directory: &Directory) -> anyhow::Result<Option<State>> {
    let Some(text) = directory.read(FILE)? else { return Ok(None) };
    let state: State = serde_json::from_slice(&text)?;
    anyhow::ensure!(
        state.version == State::VERSION,
        "it has version {}, this program writes version {}",
        state.version,
        State::VERSION
    );
    Ok(Some(state))
}

#[cfg(test)]
mod tests;
