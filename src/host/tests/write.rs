//! Files on a real file system.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::config::file::open_regular;
use crate::host::decide::{Run, Write};
use crate::host::run::run;
use crate::host::write::write;
use crate::host::{Done, Failure};

fn job(path: &Path, content: &str, has_reload: bool) -> Write {
    Write { id: 1, path: path.to_owned(), content: content.to_owned(), mode: 0o644, has_reload }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("set.nft");
    (directory, path)
}

const fn holds(changed: bool, reload_is_due: bool) -> Result<Done, Failure> {
    Ok(Done::Holds { changed, reload_is_due })
}

#[tokio::test]
async fn it_is_replaced_whole_and_only_when_it_differs() {
    let (directory, path) = place();
    assert_eq!(write(job(&path, "one\n", false)).await, holds(true, false));
    let first = fs::metadata(&path).unwrap();
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), first.permissions().mode() & 0o7777), ("one\n", 0o644));
    assert_eq!(write(job(&path, "one\n", false)).await, holds(false, false));
    assert_eq!(fs::metadata(&path).unwrap().ino(), first.ino(), "it was left alone");
    let reader = fs::File::open(&path).unwrap();
    assert_eq!(write(job(&path, "two\n", false)).await, holds(true, false));
    assert_eq!(std::io::read_to_string(reader).unwrap(), "one\n", "who reads the former one reads it to its end");
    assert_eq!(names(directory.path()), ["set.nft"]);
}

#[tokio::test]
async fn permissions_are_a_part_of_it_whatever_the_mask() {
    let (_directory, path) = place();
    write(job(&path, "x", false)).await.unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(write(job(&path, "x", false)).await, holds(true, false));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
}

#[tokio::test]
async fn a_reload_is_owed_until_it_has_worked_whatever_happens_in_between() {
    let (directory, path) = place();
    assert_eq!(write(job(&path, "x", true)).await, holds(true, true));
    assert_eq!(names(directory.path()), [".set.nft.dyn-prefix-reload", "set.nft"]);
    assert_eq!(write(job(&path, "x", true)).await, holds(false, true), "another daemon, the same file");
    let reload = |program: &str| Run {
        id: 2,
        command: vec![program.to_owned()],
        timeout: std::time::Duration::from_secs(30),
        reloads: Some(path.clone()),
        ..Run::default()
    };
    run(reload("/bin/false"), Default::default()).await.unwrap_err();
    assert_eq!(write(job(&path, "x", true)).await, holds(false, true));
    run(reload("/bin/true"), Default::default()).await.unwrap();
    assert_eq!(write(job(&path, "x", true)).await, holds(false, false));
    assert_eq!(names(directory.path()), ["set.nft"]);
}

#[tokio::test]
async fn what_a_former_run_left_is_no_obstacle_and_a_link_is_not_followed() {
    let (directory, path) = place();
    let other = directory.path().join("other");
    fs::write(&other, "mine").unwrap();
    symlink(&other, directory.path().join(".set.nft.dyn-prefix-new")).unwrap();
    symlink(&other, &path).unwrap();
    assert_eq!(write(job(&path, "x", false)).await, holds(true, false));
    assert_eq!((fs::read_to_string(&path).unwrap(), fs::read_to_string(&other).unwrap()), ("x".into(), "mine".into()));
    assert_eq!(names(directory.path()), ["other", "set.nft"]);
}

/// Who may write to the directory can put anything there.
/// Also one whose target holds the content: that may be somebody else's, and change.
#[tokio::test]
async fn a_link_at_the_path_is_replaced_and_not_read() {
    let (directory, path) = place();
    let other = directory.path().join("other");
    fs::write(&other, "x").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).unwrap();
    symlink(&other, &path).unwrap();
    assert_eq!(write(job(&path, "x", false)).await, holds(true, false));
    assert!(path.symlink_metadata().unwrap().is_file(), "it is the file now");
    assert_eq!(write(job(&path, "x", false)).await, holds(false, false));
}

#[tokio::test]
async fn a_mark_that_is_a_link_or_a_fifo_is_one_and_is_not_followed() {
    let (directory, path) = place();
    let (mark, other) = (directory.path().join(".set.nft.dyn-prefix-reload"), directory.path().join("other"));
    symlink(&other, &mark).unwrap();
    assert_eq!(write(job(&path, "x", true)).await, holds(true, true));
    assert!(!other.exists(), "it was not made through the link");
    assert_eq!(write(job(&path, "x", true)).await, holds(false, true));
    fs::remove_file(&mark).unwrap();
    nix::unistd::mkfifo(&mark, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let writing = tokio::time::timeout(std::time::Duration::from_secs(20), write(job(&path, "y", true)));
    let written = writing.await;
    // Who waits for a reader nevertheless has one now, so that the test comes to its end.
    let _reader = open_regular(&mark);
    assert_eq!(written.expect("nobody waits for a reader"), holds(true, true));
}

#[tokio::test]
async fn what_cannot_be_written_says_why() {
    let (directory, path) = place();
    let failed = |failure: Failure| (failure.reason, failure.message);
    let absent = directory.path().join("no/such");
    let (reason, message) = failed(write(job(&absent, "x", false)).await.unwrap_err());
    assert_eq!(reason, Failure::NOT_WRITTEN);
    assert!(
        message.ends_with("cannot be written: No such file or directory; its directory has to be there."),
        "{message}"
    );
    fs::create_dir(&path).unwrap();
    let (_, message) = failed(write(job(&path, "x", false)).await.unwrap_err());
    assert!(message.contains("it is a directory"), "{message}");
    let (_, message) = failed(write(job(Path::new("/proc/dyn-prefix"), "x", false)).await.unwrap_err());
    assert!(message.starts_with("/proc/dyn-prefix cannot be written: "), "{message}");
    assert_eq!(names(directory.path()), ["set.nft"], "nothing is left beside it");
}

/// A device or a FIFO of that name is not ours to replace.
#[tokio::test]
async fn what_is_no_file_is_left_alone() {
    let failure = write(job(Path::new("/dev/full"), "x", false)).await.unwrap_err();
    assert!(failure.message.contains("it is no regular file"), "{failure:?}");
}
