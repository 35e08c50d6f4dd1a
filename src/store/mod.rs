//! What must outlive the process: `state.json` in the state directory.
//!
//! Written whole and atomically (new file, fsync, rename, fsync of the directory), so that a crash at any moment
//! leaves either the old or the new state. A file that cannot be read is kept aside under another name. The
//! directory is locked, so that no two daemons share one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};

mod lease;
mod paused;
pub mod state;

pub use state::State;

const FILE: &str = "state.json";
const NEW_FILE: &str = "state.json.new";
const LOCK: &str = "lock";

/// The state directory, locked for as long as this lives.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
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
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(|| {
            format!("cannot make the state directory {} (daemon.stateDirectory)", directory.display())
        })?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(directory.join(LOCK))
            .with_context(|| format!("cannot write to the state directory {}", directory.display()))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => anyhow::bail!(
                "the state directory {} is in use by another dyn-prefix; stop that one, or give this one a \
                 daemon.stateDirectory and a daemon.controlSocket of its own",
                directory.display()
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot lock the state directory {}", directory.display()));
            }
        }
        let store = Self { directory: directory.to_owned(), _lock: lock };
        let (state, warning) = store.load(now);
        Ok(Opened { store, state, warning })
    }

    fn load(&self, now: Timestamp) -> (Option<State>, Option<String>) {
        let path = self.directory.join(FILE);
        let problem = match read_state(&path) {
            Ok(state) => return (state, None),
            Err(problem) => problem,
        };
        let aside = self.directory.join(format!("{FILE}.unreadable-{}", now.as_second()));
        let kept = match fs::rename(&path, &aside) {
            Ok(()) => format!("it is kept as {}", aside.display()),
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
        let path = self.directory.join(FILE);
        let new = self.directory.join(NEW_FILE);
        let text = serde_json::to_vec_pretty(state).context("cannot encode the state")?;
        write_synced(&new, &text)
            .and_then(|()| fs::rename(&new, &path))
            .and_then(|()| File::open(&self.directory)?.sync_all())
            .with_context(|| format!("cannot save the state to {}", path.display()))
    }
}

/// The state in `directory`, without locking it: for `dyn-prefix plan` and `history` beside a running daemon.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn peek(directory: &Path) -> anyhow::Result<Option<State>> {
    let path = directory.join(FILE);
    read_state(&path).with_context(|| format!("cannot read the stored state {}", path.display()))
}

fn read_state(path: &Path) -> anyhow::Result<Option<State>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let state: State = serde_json::from_slice(&text)?;
    anyhow::ensure!(
        state.version == State::VERSION,
        "it has version {}, this program writes version {}",
        state.version,
        State::VERSION
    );
    Ok(Some(state))
}

fn write_synced(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
