//! The kubeconfig on the disk: whose a file there is, and how it is replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::unistd::Group;

use crate::cli::args::account::JoinArgs;
use crate::rbac::kubeconfig::MARK;

/// The group of the daemon.
const GROUP: &str = "dyn-prefix";

/// Whether the file may be replaced. The administrator's never is: it could not be had again.
pub(super) fn check(path: &Path, args: &JoinArgs) -> anyhow::Result<()> {
    let admin = &args.admin_kubeconfig;
    if fs::canonicalize(path).ok().zip(fs::canonicalize(admin).ok()).is_some_and(|(output, admin)| output == admin) {
        bail!(
            "{} is the administrator's kubeconfig (--admin-kubeconfig) and the one that would be written: name another file \
             for the daemon in the [[cluster]] of {}, such as /etc/dyn-prefix/home.kubeconfig",
            path.display(),
            args.config.display()
        );
    }
    let found = match fs::read(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    // An empty one is a place that was kept for it.
    if args.force || found.trim_ascii().is_empty() || found.starts_with(MARK.as_bytes()) {
        return Ok(());
    }
    bail!(
        "{} is there, and `dyn-prefix join` has not written it; --force replaces it, --output names another file",
        path.display()
    )
}

/// Writes the file whole or not at all; how it can be read now.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<String> {
    // A symlink stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let group = Group::from_name(GROUP).ok().flatten().map(|group| group.gid.as_raw());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    make(directory, group)?;
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(new);
    let written = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new).and_then(|file| {
        let written = replace(file, &new, &path, directory, text, group);
        if written.is_err() {
            drop(fs::remove_file(&new)); // what matters is why it was not written
        }
        written
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn make(directory: &Path, group: Option<u32>) -> anyhow::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        // Whoever may not give it away keeps it to himself, and the text about the file says so.
        Ok(()) => match group.map(|group| chown(directory, None, Some(group))) {
            Some(Ok(())) => fs::set_permissions(directory, fs::Permissions::from_mode(0o750))
                .with_context(|| format!("cannot open the directory {} for the group {GROUP}", directory.display())),
            Some(Err(_)) | None => Ok(()),
        },
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot make the directory {}", directory.display())),
    }
}

fn replace(
    mut file: File,
    new: &Path,
    path: &Path,
    directory: &Path,
    text: &str,
    group: Option<u32>,
) -> std::io::Result<String> {
    file.write_all(text.as_bytes())?;
    let (mode, readers) = match group.map(|group| fchown(&file, None, Some(group))) {
        Some(Ok(())) => (0o640, format!("readable for the group {GROUP}")),
        Some(Err(error)) => (
            0o600,
            format!(
                "for its owner alone: it could not be given to the group {GROUP} ({error}), as which the unit runs the \
                 daemon; run this as root, or have root do: chgrp {GROUP} {path} && chmod 0640 {path}",
                path = path.display()
            ),
        ),
        None => (
            0o600,
            format!(
                "for its owner alone: this host has no group {GROUP}, which the packages make for the daemon; one that \
                 runs as another user cannot read it before you let it"
            ),
        ),
    };
    // What the umask says of it does not count.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(new, path)?;
    File::open(directory)?.sync_all()?;
    Ok(format!("mode {mode:04o}, {readers}"))
}
