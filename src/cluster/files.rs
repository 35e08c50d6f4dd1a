//! The files that credentials are made of: what they hold, and when that changes.
//!
//! Files are replaced in many ways: written in place, renamed over, or, where Kubernetes mounts a secret, by moving
//! the symlink `..data` to a new directory. So every directory on the way to a file is watched, and only a change of
//! the content counts. Where inotify cannot be had (no watches left, directory missing) the files are read once a
//! minute.
//!
//! A file system may hang (NFS), and whoever reads there hangs with it. So files are read beside the loop, and those of one
//! cluster by one reader at a time ([`Readers`]): however long it lasts, no more than that one hangs.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;
use tokio::task::JoinError;
use tokio::time::Instant;

use crate::config::file::open_regular;

/// What a set of files holds: a hash of the content of each, or that it cannot be read.
///
/// The time stamps are left out on purpose: a file that is written again with the same content is no change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<PathBuf, Result<u64, io::ErrorKind>>);

impl Fingerprint {
    /// Reads the files.
    pub fn of<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self(files.into_iter().map(|file| (file.clone(), hash(file))).collect())
    }

    /// Adds the files of `other`.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The files, in order.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.keys()
    }

    /// A file that is there and is no regular one: whoever reads it may wait for ever.
    pub fn irregular(&self) -> Option<&Path> {
        let found = self.0.iter().find(|(_, content)| matches!(content, Err(io::ErrorKind::InvalidInput)));
        found.map(|(file, _)| file.as_path())
    }

    /// Reads the files again; whether they hold something else now.
    pub fn is_outdated(&self) -> bool {
        Self::of(self.files()) != *self
    }
}

fn hash(file: &Path) -> Result<u64, io::ErrorKind> {
    let mut content = Vec::new();
    let mut opened = open_regular(file).map_err(|error| error.kind())?;
    opened.read_to_end(&mut content).map_err(|error| error.kind())?;
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    Ok(hasher.finish())
}

/// Those who read the files of a cluster, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Readers(Arc<Mutex<()>>);

impl Readers {
    /// Reads beside the loop, once nobody else does. Who is not waited for any more reads to the end, if it has begun.
    ///
    /// # Errors
    /// When the reader panicked, or the runtime ends.
    pub async fn read<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
        let turn = Arc::clone(&self.0).lock_owned().await;
        let reading = tokio::task::spawn_blocking(move || {
            let _until_read = turn;
            read()
        });
        reading.await
    }
}

/// Waits for files to hold something else than their fingerprint.
pub struct FileWatch {
    fingerprint: Fingerprint,
    readers: Readers,
    /// Somebody looks at the files.
    looking: Option<Looking>,
    inotify: Option<AsyncFd<OwnedFd>>,
    /// Something happened since the files were read last.
    is_suspect: bool,
    /// How long to wait after an event for those that follow it: few writers replace all their files at once.
    settle: Duration,
    poll: Duration,
    /// When the files are read again if there is no inotify.
    poll_at: Instant,
}

type Looking = Pin<Box<dyn Future<Output = Result<Seen, JoinError>> + Send>>;

/// What a look at the files brought.
struct Seen {
    inotify: io::Result<OwnedFd>,
    is_outdated: bool,
}

impl Seen {
    fn of(fingerprint: &Fingerprint) -> Self {
        // First, and anew: a symlink may lead elsewhere now.
        let inotify = open(fingerprint.files());
        Self { inotify, is_outdated: fingerprint.is_outdated() }
    }
}

/// What happens to a file, or to a directory or symlink on the way to it, when its content is replaced. ATTRIB for
/// the permissions that were missing.
const REPLACED: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ATTRIB);

impl FileWatch {
    /// Watches the files of `fingerprint`. A change since it was taken is noticed, too.
    pub fn new(fingerprint: Fingerprint, readers: Readers, settle: Duration, poll: Duration) -> Self {
        Self {
            fingerprint,
            readers,
            looking: None,
            inotify: None,
            is_suspect: true,
            settle,
            poll,
            poll_at: Instant::now() + poll,
        }
    }

    /// Returns when the files hold something else. Loses nothing when it is dropped while it waits, and does not
    /// read the files when it is called again without reason.
    pub async fn changed(&mut self) {
        loop {
            if self.is_suspect {
                self.look(|fingerprint| Seen::of(&fingerprint));
            }
            if let Some(looking) = &mut self.looking {
                let seen = looking.await;
                self.looking = None;
                self.inotify = None;
                if let Ok(Seen { inotify, is_outdated }) = seen {
                    self.inotify = inotify.and_then(readable).ok();
                    self.is_suspect = is_outdated;
                    if is_outdated {
                        return;
                    }
                }
                self.poll_at = Instant::now() + self.poll;
            }
            match &self.inotify {
                Some(inotify) => next_event(inotify).await,
                None => tokio::time::sleep_until(self.poll_at).await,
            }
            self.is_suspect = true;
            tokio::time::sleep(self.settle).await;
        }
    }

    /// Has somebody look at the files, unless somebody does.
    fn look(&mut self, look: impl FnOnce(Fingerprint) -> Seen + Send + 'static) {
        self.is_suspect = false;
        if self.looking.is_none() {
            let (readers, fingerprint) = (self.readers.clone(), self.fingerprint.clone());
            self.looking = Some(Box::pin(async move { readers.read(move || look(fingerprint)).await }));
        }
    }
}

fn open<'a>(files: impl Iterator<Item = &'a PathBuf>) -> io::Result<OwnedFd> {
    let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    for directory in files.flat_map(|file| directories(file)).collect::<BTreeSet<_>>() {
        inotify::add_watch(&inotify, &directory, REPLACED)?;
    }
    Ok(inotify)
}

fn readable(inotify: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd keeps the descriptor open, as that one asks")]
    AsyncFd::with_interest(inotify, Interest::READABLE)
}

/// The directories in which something must change for `file` to be another one.
fn directories(file: &Path) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    let mut path = file.to_owned();
    for _ in 0..16 {
        let Some(parent) = path.parent().map(Path::to_owned) else { break };
        let parent = if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent };
        directories.push(parent.clone());
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = parent.join(target);
    }
    directories
}

/// Waits for any event and takes it off the queue. Which one it was does not matter: the files are read anyway.
async fn next_event(inotify: &AsyncFd<OwnedFd>) {
    let Ok(mut ready) = inotify.readable().await else { return };
    let mut buffer = [0_u8; 4096];
    while rustix::io::read(inotify.get_ref(), &mut buffer).is_ok_and(|length| length > 0) {}
    ready.clear_ready();
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc;

    use super::*;

    /// Longer than any test may take, so that only inotify can have woken it.
    const NEVER: Duration = Duration::from_secs(3600);
    const PATIENCE: Duration = Duration::from_secs(5);

    fn watch(file: &Path) -> FileWatch {
        FileWatch::new(Fingerprint::of([&file.to_owned()]), Readers::default(), Duration::from_millis(1), NEVER)
    }

    async fn notices(watch: &mut FileWatch, change: impl FnOnce()) {
        let quiet = tokio::time::timeout(Duration::from_millis(20), watch.changed()).await;
        assert!(quiet.is_err(), "a change before anything was changed");
        change();
        tokio::time::timeout(PATIENCE, watch.changed()).await.expect("the change is noticed");
    }

    #[tokio::test]
    async fn written_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "one").unwrap();
        notices(&mut watch(&file), || fs::write(&file, "two").unwrap()).await;
    }

    #[tokio::test]
    async fn renamed_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "one").unwrap();
        fs::write(dir.path().join("new"), "two").unwrap();
        notices(&mut watch(&file), || fs::rename(dir.path().join("new"), &file).unwrap()).await;
    }

    #[tokio::test]
    async fn appears_and_vanishes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        notices(&mut watch(&file), || fs::write(&file, "one").unwrap()).await;
        notices(&mut watch(&file), || fs::remove_file(&file).unwrap()).await;
    }

    /// The layout of a mounted secret (k8s.io/kubernetes pkg/volume/util/atomic_writer.go).
    #[tokio::test]
    async fn a_secret_mount_is_switched() {
        let dir = tempfile::tempdir().unwrap();
        for (generation, content) in [("..1", "one"), ("..2", "two"), ("..3", "three")] {
            fs::create_dir(dir.path().join(generation)).unwrap();
            fs::write(dir.path().join(generation).join("token"), content).unwrap();
        }
        let switch = |generation: &str| {
            symlink(generation, dir.path().join("..tmp")).unwrap();
            fs::rename(dir.path().join("..tmp"), dir.path().join("..data")).unwrap();
        };
        switch("..1");
        let file = dir.path().join("token");
        symlink("..data/token", &file).unwrap();
        notices(&mut watch(&file), || switch("..2")).await;
        notices(&mut watch(&file), || switch("..3")).await;
    }

    #[tokio::test]
    async fn a_link_into_another_directory_is_followed() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = there.path().join("real");
        fs::write(&target, "one").unwrap();
        let file = here.path().join("link");
        symlink(&target, &file).unwrap();
        notices(&mut watch(&file), || fs::write(&target, "two").unwrap()).await;
    }

    #[tokio::test]
    async fn the_same_content_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "one").unwrap();
        let mut watch = watch(&file);
        fs::write(&file, "one").unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(50), watch.changed()).await;
        assert!(quiet.is_err());
    }

    #[test]
    fn a_fifo_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let [file, fifo] = ["file", "fifo"].map(|name| dir.path().join(name));
        fs::write(&file, "one").unwrap();
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(Fingerprint::of([&file, &dir.path().join("none")]).irregular(), None);
        assert_eq!(Fingerprint::of([&file, &fifo]).irregular(), Some(fifo.as_path()));
    }

    #[tokio::test]
    async fn without_inotify_the_files_are_read_now_and_then() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("not-yet").join("token");
        let fingerprint = Fingerprint::of([&file]);
        let mut watch =
            FileWatch::new(fingerprint, Readers::default(), Duration::from_millis(1), Duration::from_millis(5));
        let quiet = tokio::time::timeout(Duration::from_millis(20), watch.changed()).await;
        assert!(quiet.is_err() && watch.inotify.is_none());
        fs::create_dir(dir.path().join("not-yet")).unwrap();
        fs::write(&file, "one").unwrap();
        tokio::time::timeout(PATIENCE, watch.changed()).await.expect("the change is noticed");
    }

    /// The loop goes on, and so does whoever waits for something else meanwhile: nothing is begun a second time.
    #[tokio::test]
    async fn a_file_system_that_hangs_holds_up_its_reader_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "one").unwrap();
        let mut watch = watch(&file);
        fs::write(&file, "two").unwrap();
        let (go_on, hangs) = mpsc::channel::<()>();
        watch.look(move |fingerprint| {
            let _hung = hangs.recv();
            Seen::of(&fingerprint)
        });
        for _ in 0..2 {
            let early = tokio::time::timeout(Duration::from_millis(5), watch.changed()).await;
            assert!(early.is_err(), "it hangs, and nobody else has read meanwhile");
        }
        let readers = watch.readers.clone();
        let another = tokio::time::timeout(Duration::from_millis(5), readers.read(|| ())).await;
        assert!(another.is_err(), "one at a time");
        go_on.send(()).unwrap();
        tokio::time::timeout(PATIENCE, watch.changed()).await.expect("it was another content all the time");
        tokio::time::timeout(PATIENCE, readers.read(|| ())).await.expect("nobody reads").unwrap();
    }

    /// The watch is dropped as soon as there is another connection. Who hangs then hangs alone all the same.
    #[tokio::test]
    async fn a_reader_whom_nobody_waits_for_any_more_has_the_files_until_he_is_done() {
        let readers = Readers::default();
        let (go_on, hangs) = mpsc::channel::<()>();
        let first = tokio::time::timeout(Duration::from_millis(5), readers.read(move || hangs.recv())).await;
        assert!(first.is_err());
        let second = tokio::time::timeout(Duration::from_millis(5), readers.read(|| ())).await;
        assert!(second.is_err(), "the first one has not come back");
        go_on.send(()).unwrap();
        tokio::time::timeout(PATIENCE, readers.read(|| ())).await.expect("he is done").unwrap();
    }
}
