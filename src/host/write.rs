//! Writes a file so that whoever reads it sees the former one or the new one, whole, whatever happens to the machine.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::decide::Write;
use super::run::plain;
use super::{Done, Failure};
use crate::config::file::open_regular;

/// Writes a file, unless it holds that already. Beside everything else: a file system may hang.
///
/// # Errors
/// When it cannot be written; then it is as it was, or it cannot be told whether it outlives the power of this machine.
pub async fn write(write: Write) -> Result<Done, Failure> {
    let path = write.path.clone();
    let writing = tokio::task::spawn_blocking(move || put(&write));
    let outcome = writing.await.map_err(io::Error::other).flatten();
    outcome.map_err(|error| not_written(&path, &error))
}

/// The reload command of a file has ended well.
pub(super) async fn forget_reload(path: PathBuf) {
    let forgetting = tokio::task::spawn_blocking(move || fs::remove_file(beside(&path, "reload")));
    // If it stays, there is one reload too many at the next start.
    drop(forgetting.await);
}

/// A name beside the file that neither a pattern of an `include` nor a listing shows.
fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.dyn-prefix-{what}"))
}

fn put(write: &Write) -> io::Result<Done> {
    let mark = beside(&write.path, "reload");
    if holds(write)? {
        return Ok(Done::Holds { changed: false, reload_is_due: write.has_reload && mark.symlink_metadata().is_ok() });
    }
    let new = beside(&write.path, "new");
    // Of a run that did not come to its end.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let result = replace(write, &new, &mark);
    if result.is_err() {
        drop(fs::remove_file(&new));
    }
    result.map(|()| Done::Holds { changed: true, reload_is_due: write.has_reload })
}

/// Whether the file holds the content with these permissions.
fn holds(write: &Write) -> io::Result<bool> {
    // It is replaced, and not followed: what it leads to may be anybody's.
    if write.path.is_symlink() {
        return Ok(false);
    }
    let file = match open_regular(&write.path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        // It can be replaced without being read.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "it is a directory"));
    }
    let is_like = metadata.len() == write.content.len() as u64 && metadata.permissions().mode() & 0o7777 == write.mode;
    let mut held = Vec::new();
    if is_like {
        file.take(metadata.len() + 1).read_to_end(&mut held)?;
    }
    Ok(is_like && held == write.content.as_bytes())
}

fn replace(write: &Write, new: &Path, mark: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    file.write_all(write.content.as_bytes())?;
    // After it was made: the mask of the process has no say in it.
    file.set_permissions(Permissions::from_mode(write.mode))?;
    file.sync_all()?;
    if write.has_reload {
        // Before the file: whatever ends us from here on, the reload is not forgotten.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(mark) {
            // Whatever it is: it is there. Nobody else's link is followed, and nobody waits for a FIFO.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    fs::rename(new, &write.path)?;
    let directory = write.path.parent().unwrap_or_else(|| Path::new("/"));
    File::open(directory)?.sync_all()
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let kind = error.kind();
    let advice = if kind == ErrorKind::NotFound {
        "; its directory has to be there"
    } else if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem].contains(&kind) {
        "; the unit lets the daemon write below /run/dyn-prefix and /var/lib/dyn-prefix only: elsewhere it needs \
         ReadWritePaths= in a drop-in (`systemctl edit dyn-prefix`) and a directory that its user may write to"
    } else if [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&kind) {
        "; make room"
    } else if kind == ErrorKind::ResourceBusy {
        "; a file that is mounted by itself, as containers have them, cannot be replaced: mount its directory"
    } else {
        ""
    };
    let message = format!("{} cannot be written: {}{advice}.", path.display(), plain(error));
    Failure { reason: Failure::NOT_WRITTEN, message }
}
