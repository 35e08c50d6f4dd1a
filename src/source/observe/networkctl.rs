//! Asks systemd-networkd what its DHCPv6 client holds, by its program `networkctl`, which needs no privileges. It is asked
//! where it runs such a client, when it has written its state of the interface anew.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::process::Command;
use tokio::time::{Instant, sleep_until, timeout};

use super::filed::{Filed, networkd};
use super::files::{Version, version};
use crate::clock;
use crate::source::dhcpv6::others::is_the_hosts_own_namespace;

/// Where networkd keeps the state of an interface, by its index.
const STATE: &str = "run/systemd/netif/links";
/// Where the program is: everywhere, and on NixOS.
const PROGRAMS: [&str; 3] = ["usr/bin/networkctl", "bin/networkctl", "run/current-system/sw/bin/networkctl"];
/// What is in the state of an interface on which there is a client.
const CLIENT: &str = "DHCP6_CLIENT_DUID=";
/// How long it may take, and how much it may say.
const LIMIT: Duration = Duration::from_secs(5);
const MOST: u64 = 1 << 20;
/// How much of its excuses is read.
const EXCUSE: u64 = 4096;
/// Between one question and the next.
const PAUSE: Duration = Duration::from_secs(1);
/// When it cannot be asked it is tried again, after twice the time at every failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(3600));

/// What it prints, or why it does not.
type Answer = Result<Vec<u8>, String>;

/// The one who asks.
pub(super) struct Networkctl {
    root: PathBuf,
    interface: String,
    /// Where the files of networkd are about interfaces of ours.
    is_ours: bool,
    ifindex: Option<u32>,
    /// The state that was seen last.
    known: Option<Version>,
    /// There is reason to ask.
    is_due: bool,
    asking: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    not_before: Instant,
    retry: Duration,
    /// Why it could not be asked.
    failure: Option<String>,
    /// It has named a prefix: that it names none is of interest.
    has_named: bool,
    watch: Option<AsyncFd<OwnedFd>>,
}

impl Networkctl {
    pub(super) fn new(root: &Path, interface: &str) -> Self {
        Self {
            root: root.to_owned(),
            interface: interface.to_owned(),
            is_ours: is_the_hosts_own_namespace(root),
            ifindex: None,
            known: None,
            is_due: false,
            asking: None,
            not_before: Instant::now(),
            retry: RETRY.0,
            failure: None,
            has_named: false,
            watch: None,
        }
    }

    /// Looks whether there is reason to ask. The interface has this index now.
    pub(super) fn look(&mut self, ifindex: Option<u32>) {
        if ifindex != self.ifindex {
            (self.ifindex, self.known, self.is_due, self.asking) = (ifindex, None, false, None);
        }
        let Some(ifindex) = ifindex.filter(|_| self.is_ours) else { return };
        let states = self.root.join(STATE);
        self.watch = self.watch.take().or_else(|| watch(&states).ok());
        let path = states.join(ifindex.to_string());
        let version = version(&path);
        if version.is_none() || version == self.known {
            return;
        }
        self.known = version;
        // It is in memory, and nobody else writes there.
        let state = std::fs::read_to_string(&path).unwrap_or_default();
        self.is_due |= self.has_named || state.lines().any(|line| line.starts_with(CLIENT));
    }

    /// Waits for what it says; `None`: there may be reason to ask, as [`Self::look`] finds. Loses nothing when it is dropped.
    pub(super) async fn next(&mut self) -> Option<Vec<Filed>> {
        loop {
            if let Some(asking) = &mut self.asking {
                let answer = asking.await;
                self.asking = None;
                if let Some(described) = self.take(answer) {
                    return Some(described);
                }
            }
            tokio::select! {
                () = sleep_until(self.not_before), if self.is_due => self.ask(),
                () = changed(self.watch.as_ref()) => {
                    // The directory may be another one now.
                    self.watch = None;
                    return None;
                }
            }
        }
    }

    fn ask(&mut self) {
        self.is_due = false;
        self.not_before = Instant::now() + PAUSE;
        let program = PROGRAMS.iter().map(|path| self.root.join(path)).find(|path| path.is_file());
        let interface = self.interface.clone();
        self.asking = Some(Box::pin(async move {
            let program = program.ok_or_else(|| "the program networkctl is not installed".to_owned())?;
            let asked = timeout(LIMIT, run(program, interface)).await;
            asked.unwrap_or_else(|_late| Err(format!("networkctl does not answer within {} s", LIMIT.as_secs())))
        }));
    }

    /// What there is to tell.
    fn take(&mut self, answer: Answer) -> Option<Vec<Filed>> {
        let described = answer.and_then(|octets| {
            let ifindex = self.ifindex.unwrap_or_default();
            networkd::parse(&octets, ifindex, clock::now())
                .map_err(|why| format!("the answer of networkctl cannot be used: {why}"))
        });
        match described {
            Ok(described) => {
                (self.retry, self.failure) = (RETRY.0, None);
                tracing::debug!(interface = %self.interface, ?described, "Asked systemd-networkd for its delegation.");
                let was_named = std::mem::replace(&mut self.has_named, !described.is_empty());
                (was_named || self.has_named).then_some(described)
            }
            Err(why) => {
                // Nothing else may ever be a reason.
                self.is_due = true;
                self.not_before = Instant::now() + self.retry;
                self.retry = (self.retry * 2).min(RETRY.1);
                if self.failure.as_ref() != Some(&why) {
                    tracing::info!(
                        "Cannot ask systemd-networkd what its DHCPv6 client on {} was delegated: {why}. Until it answers, \
                         only routes, addresses and packets tell. It is tried again.",
                        self.interface
                    );
                }
                self.failure = Some(why);
                None
            }
        }
    }
}

/// Runs the program: no shell, no environment; it ends when this is dropped.
async fn run(program: PathBuf, interface: String) -> Answer {
    // Until the kernel has read the beginning of a program, whoever starts it waits.
    let starting = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["--json=short", "--no-pager", "status", "--", &interface])
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    });
    let said = |error: io::Error| format!("networkctl cannot be run: {error}");
    let mut child = starting.await.map_err(|error| said(io::Error::other(error)))?.map_err(said)?;
    let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("networkctl has no output".to_owned());
    };
    let (mut octets, mut excuse) = (Vec::new(), Vec::new());
    let (mut output, mut errors) = (output.take(MOST), errors.take(EXCUSE));
    let (read, _excused) = tokio::join!(output.read_to_end(&mut octets), errors.read_to_end(&mut excuse));
    read.map_err(said)?;
    // What is more than that is not waited for.
    drop((output, errors));
    let status = child.wait().await.map_err(said)?;
    if status.success() {
        return Ok(octets);
    }
    let excuse = String::from_utf8_lossy(&excuse).into_owned();
    let line = excuse.lines().find(|line| !line.trim().is_empty()).unwrap_or("it printed nothing");
    Err(format!("networkctl ended with {status}: {}", line.trim().trim_end_matches('.')))
}

/// Watches for states that are written anew: each is renamed to its place.
fn watch(states: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    inotify::add_watch(&inotify, states, WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR)?;
    #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd keeps the descriptor open, as that one asks")]
    AsyncFd::with_interest(inotify, Interest::READABLE)
}

/// Waits until one is; for ever where nothing is watched.
async fn changed(watch: Option<&AsyncFd<OwnedFd>>) {
    let Some(watch) = watch else { return pending().await };
    let Ok(mut ready) = watch.readable().await else { return pending().await };
    let mut buffer = [0_u8; 4096];
    while rustix::io::read(watch.get_ref(), &mut buffer).is_ok_and(|length| length > 0) {}
    ready.clear_ready();
}
