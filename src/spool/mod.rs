//! Reports that wait for the daemon: what `dyn-prefix report` was told while nobody listened on the control socket.
//!
//! The hooks of DHCPv6 clients run at boot before the daemon does, and say once what they were delegated: lost, it would
//! be unknown until the next Renew, hours later. So it is left beside the control socket, where systemd keeps the
//! directory while the unit is stopped, for one DynamicPrefix and prefix a file of one line ([`entry`]), the last
//! report of it. The next start takes them up, in the order in which they were made.
//!
//! * **Nothing is lost and nothing taken twice** when a daemon starts at the same time. It listens before it looks here,
//!   and who leaves something tries the socket once more, and has the daemon look again. Only the daemon takes anything
//!   away: it gives the file another name first, so that one that comes meanwhile is neither overlooked nor removed.
//! * **The directory belongs to the daemon's user**, and root writes into it. Root follows no link there and waits at no
//!   pipe ([`crate::store`] has the same case); the daemon takes nothing but small files that belong to itself or root
//!   and that nobody else may write. Who may not write there has no right on the socket, either.
//! * **It is bounded**: where there is no room, the oldest goes.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::control::Report;
use crate::daemon::identity;
use crate::store::directory::{Directory, Small};
use crate::time::Instant;

pub mod entry;
#[cfg(test)]
mod tests;

use entry::{Entry, Stage};

/// How many files there are at most.
pub const MOST: usize = 32;

/// The place beside a control socket.
#[derive(Debug)]
pub struct Spool {
    directory: Directory,
    /// The name of the socket.
    socket: String,
}

/// What was left.
#[derive(Debug)]
pub struct Left {
    /// Where.
    pub path: PathBuf,
    /// How many older ones had to make room.
    pub dropped: usize,
}

/// What a daemon has taken up.
#[derive(Debug)]
pub struct TakenUp {
    /// The name of the file now.
    pub file: String,
    /// What is in it, or what is wrong with it.
    pub entry: Result<Entry, String>,
}

impl Spool {
    /// The place beside this socket; `None` where there is no such directory.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn open(socket: &Path) -> io::Result<Option<Self>> {
        match Directory::open_itself(directory(socket)) {
            Ok(directory) => Ok(Some(Self::new(directory, socket))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same; the directory is made if it is absent, as on a system that does not make it at boot.
    ///
    /// # Errors
    /// When it cannot be made or opened.
    pub fn make(socket: &Path) -> anyhow::Result<Self> {
        let path = directory(socket);
        let made = Directory::make_itself(path).and_then(|()| Directory::open_itself(path));
        let directory = made.with_context(|| format!("cannot open the directory {}", path.display()))?;
        Ok(Self::new(directory, socket))
    }

    fn new(directory: Directory, socket: &Path) -> Self {
        let socket = socket.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { directory, socket }
    }

    /// In which boot that is which was written here; `None`: in this one, whatever it is. What is in memory is of no
    /// other, and the id that there is for it may be another one inside a container than in the sandbox of a unit there.
    pub fn boot(&self) -> Option<String> {
        if self.directory.is_in_memory() { None } else { identity::boot_id() }
    }

    /// Leaves a report.
    ///
    /// # Errors
    /// When it cannot be written, or there is no room for it.
    pub fn leave(&self, report: Report, now: Instant) -> anyhow::Result<Left> {
        let boot = self.boot();
        let entry = Entry::new(report, boot.clone(), now);
        let file = entry.file_name(&self.socket).map_err(anyhow::Error::msg)?;
        let owner = self.directory.owner()?;
        // What cannot be read is replaced.
        let entry = match self.read(&file, Some(owner)) {
            Ok(former) => entry.after(&former),
            Err(_) => entry,
        };
        let line = entry.encode().map_err(anyhow::Error::msg)?;
        let path = self.directory.path(&file);
        let dropped = self.make_room(&file, boot.as_deref(), now)?;
        let new = entry::while_written(&file, std::process::id());
        let written = self.directory.replace(&file, &new, &line);
        if written.is_err() {
            // Half of it, perhaps; it is of no use to anybody.
            drop(self.directory.remove(&new));
        }
        written.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Left { path, dropped })
    }

    /// Makes room for one more file, unless it is there already.
    fn make_room(&self, file: &str, boot: Option<&str>, now: Instant) -> anyhow::Result<usize> {
        let full = || format!("{} has {MOST} reports already, and none can be dropped", self.path("").display());
        let owner = self.directory.owner()?;
        let files = self.files()?;
        if files.iter().any(|(name, _)| name == file) {
            return Ok(0);
        }
        let waiting = files.iter().filter(|(_, stage)| *stage == Stage::Waiting);
        let waiting = waiting.map(|(name, _)| (name, self.read(name, Some(owner)).ok()));
        let mut waiting: Vec<(&String, Option<Entry>)> = waiting.collect();
        waiting.sort_by_key(|(_, entry)| entry.as_ref().map(|entry| entry.dispensable(boot, now)));
        let excess = (files.len() + 1).saturating_sub(MOST);
        anyhow::ensure!(excess <= waiting.len(), full());
        for (name, _) in waiting.iter().take(excess) {
            self.directory.remove(name).with_context(full)?;
        }
        Ok(excess)
    }

    /// Takes up all that waits, for a daemon; the oldest first. `known`: the files that it has taken up already.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn take_up(&self, known: &[&str], now: Instant) -> io::Result<Vec<TakenUp>> {
        let mut found = Vec::new();
        for (name, stage) in self.files()? {
            let taken_up = match stage {
                Stage::New => continue,
                Stage::TakenUp if known.contains(&name.as_str()) => continue,
                // A daemon was killed meanwhile.
                Stage::TakenUp => self.taken_up(name),
                Stage::Waiting => {
                    let taken = entry::once_taken_up(&name, now);
                    match self.directory.rename(&name, &taken) {
                        Ok(()) => self.taken_up(taken),
                        Err(error) => TakenUp { file: name, entry: Err(format!("it cannot be renamed: {error}")) },
                    }
                }
            };
            found.push(taken_up);
        }
        found.sort_by_key(|taken_up| taken_up.entry.as_ref().ok().map(Entry::at));
        Ok(found)
    }

    fn taken_up(&self, file: String) -> TakenUp {
        let entry = self.read(&file, None);
        TakenUp { file, entry }
    }

    /// Removes what was taken up, once it is done with.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn remove(&self, taken: &TakenUp) -> io::Result<()> {
        self.directory.remove(&taken.file)
    }

    /// How many reports wait.
    pub fn count(&self) -> usize {
        self.files().map_or(0, |files| files.iter().filter(|(_, stage)| *stage != Stage::New).count())
    }

    /// Where a file is, for messages.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.path(file)
    }

    /// The files beside the socket that are of this, as many as matter.
    fn files(&self) -> io::Result<Vec<(String, Stage)>> {
        let of_socket = |name: String| entry::stage(&name, &self.socket).map(|stage| (name, stage));
        Ok(self.directory.names()?.filter_map(of_socket).take(4 * MOST).collect())
    }

    /// What is in a file, if it may be believed. `daemon`: the daemon's user, where that is somebody else.
    fn read(&self, file: &str, daemon: Option<u32>) -> Result<Entry, String> {
        let most = entry::MOST_BYTES + 1;
        let read = self.directory.read_small(file, most).map_err(|error| format!("{error:#}"))?;
        let Small { bytes, owner, mode } = read.ok_or("it is gone")?;
        let own = rustix::process::geteuid().as_raw();
        if owner != 0 && owner != own && Some(owner) != daemon {
            return Err(format!("it belongs to the user {owner}, who may not report anything"));
        }
        if mode & 0o022 != 0 {
            return Err(format!("others may write it (mode {:o})", mode & 0o7777));
        }
        Entry::decode(&bytes)
    }
}

/// The directory that a socket is in.
fn directory(socket: &Path) -> &Path {
    match socket.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
