//! The state directory and the files in it.
//!
//! The daemon's user owns the directory, and root writes into it too: `dyn-prefix withdraw` while the unit is stopped.
//! Root must neither leave files there that the daemon cannot read, nor follow a link that its user has put there. The
//! same holds for the directory of the control socket, where [`crate::spool`] is.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::fs::{fchown, flock, fstat, fstatfs, fsync, openat, renameat, unlinkat};
use rustix::io::Errno;

const LOCK: &str = "lock";

/// tmpfs and ramfs, as statfs(2) has them.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// A directory, open: what becomes of its path meanwhile does not matter.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    open: File,
}

/// A small file.
#[derive(Debug)]
pub(crate) struct Small {
    pub(crate) bytes: Vec<u8>,
    /// Whose it is.
    pub(crate) owner: u32,
    pub(crate) mode: u32,
}

impl Directory {
    /// Opens the directory, which is made if it is absent.
    pub(super) fn make(path: &Path) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot make the state directory {} (daemon.stateDirectory)", path.display()))?;
        Self::open(path).with_context(|| format!("cannot open the state directory {}", path.display()))
    }

    /// Opens the directory.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { path: path.to_owned(), open: open.into() })
    }

    /// Makes a directory for everybody to look into, in one that is there, if it is absent.
    pub(crate) fn make_itself(path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o755).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// Opens the directory, not one that a link leads to: the one that it is in may be somebody's, too.
    pub(crate) fn open_itself(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { path: path.to_owned(), open: open.into() })
    }

    /// Whose it is.
    pub(crate) fn owner(&self) -> io::Result<u32> {
        Ok(fstat(&self.open)?.st_uid)
    }

    /// Whether a boot empties it, as it is in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        fstatfs(&self.open).is_ok_and(|system| IN_MEMORY.iter().any(|magic| u64::try_from(system.f_type) == Ok(*magic)))
    }

    /// The names of what is in it, but for those that are no text.
    pub(crate) fn names(&self) -> io::Result<impl Iterator<Item = String>> {
        let entries = rustix::fs::Dir::read_from(&self.open)?.filter_map(Result::ok);
        Ok(entries.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned)))
    }

    /// The path of a file in it, for messages.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Locks the directory for as long as the file lives.
    pub(super) fn lock(&self) -> anyhow::Result<File> {
        let shown = self.path.display();
        let lock = self.open_lock().with_context(|| format!("cannot write to the state directory {shown}"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(lock),
            Err(Errno::WOULDBLOCK) => anyhow::bail!(
                "the state directory {shown} is in use by another dyn-prefix; stop that one, or give this one a \
                 daemon.stateDirectory and a daemon.controlSocket of its own"
            ),
            Err(error) => Err(error).with_context(|| format!("cannot lock the state directory {shown}")),
        }
    }

    fn open_lock(&self) -> anyhow::Result<File> {
        match self.create(LOCK) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.open_file(LOCK, OFlags::WRONLY),
            created => Ok(created?),
        }
    }

    /// The bytes of a file; `None` when there is none.
    pub(super) fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let mut file = match self.open_file(name, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if error.downcast_ref() == Some(&Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// The beginning of a file, with whose it is; `None` when there is none.
    pub(crate) fn read_small(&self, name: &str, most: usize) -> anyhow::Result<Option<Small>> {
        let file = match self.open_file(name, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if error.downcast_ref() == Some(&Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stat = fstat(&file)?;
        let mut bytes = Vec::new();
        file.take(u64::try_from(most)?).read_to_end(&mut bytes)?;
        Ok(Some(Small { bytes, owner: stat.st_uid, mode: stat.st_mode }))
    }

    /// Removes a file; a link itself, not what it leads to.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.open, name, AtFlags::empty())?)
    }

    /// Puts a file in the place of another, by way of `new`: at every moment either the one or the other is there.
    pub(crate) fn replace(&self, name: &str, new: &str, bytes: &[u8]) -> anyhow::Result<()> {
        // A crash may have left one behind. What a link of this name leads to is not touched.
        match unlinkat(&self.open, new, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot remove {}", self.path(new).display())),
        }
        let mut file = self.create(new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        self.rename(new, name)?;
        Ok(fsync(&self.open)?)
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.open, from, &self.open, to)?)
    }

    /// A file that is not there yet, for the directory's owner alone.
    fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.open, name, flags, Mode::RUSR | Mode::WUSR)?;
        if rustix::process::geteuid().is_root() {
            let (own, its) = (fstat(&self.open)?, fstat(&file)?);
            if (own.st_uid, own.st_gid) != (its.st_uid, its.st_gid) {
                let (owner, group) = (rustix::fs::Uid::from_raw(own.st_uid), rustix::fs::Gid::from_raw(own.st_gid));
                fchown(&file, Some(owner), Some(group))?;
            }
        }
        Ok(file.into())
    }

    /// A file that is there; neither a link to one, nor a pipe that somebody would have to be waited for at.
    fn open_file(&self, name: &str, access: OFlags) -> anyhow::Result<File> {
        let refused = || format!("{} is not a regular file; remove it", self.path(name).display());
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.open, name, flags, Mode::empty()) {
            // A link, and a pipe that nobody reads.
            Err(Errno::LOOP | Errno::NXIO) => anyhow::bail!(refused()),
            opened => opened?,
        };
        let is_file = FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::RegularFile;
        anyhow::ensure!(is_file, refused());
        Ok(file.into())
    }
}
