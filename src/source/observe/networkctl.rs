//! Asks systemd-networkd what its DHCPv6 client holds, by its program `networkctl`, which needs no privileges, where its
//! state of the interface says that it runs one.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt as _, Interest};
use tokio::process::Command;
use tokio::time::timeout;

use super::asking::Asking;
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
const MOST: usize = 1 << 20;
/// How much of its excuses is read.
const EXCUSE: usize = 4096;
/// What it prints, or why it does not.
type Answer = Result<Vec<u8>, String>;

/// The one who asks.
pub(super) struct Networkctl {
    root: PathBuf,
    interface: String,
    /// The files of networkd are about interfaces of ours.
    is_ours: bool,
    ifindex: Option<u32>,
    /// The state that was seen last.
    known: Option<Version>,
    when: Asking,
    asking: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    /// Why it could not be asked.
    failure: Option<String>,
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
            when: Asking::new(),
            asking: None,
            failure: None,
            watch: None,
        }
    }

    /// Whether the packets can be seen.
    pub(super) fn handle_blindness(&mut self, is_blind: bool) {
        self.when.handle_blindness(is_blind, clock::now());
    }

    /// Looks whether there is reason to ask, and does. The interface has this index now.
    pub(super) fn look(&mut self, ifindex: Option<u32>) {
        if ifindex != self.ifindex {
            (self.ifindex, self.known, self.asking) = (ifindex, None, None);
            self.when.handle_state(false, clock::now());
        }
        if let Some(ifindex) = ifindex.filter(|_| self.is_ours) {
            self.look_at_state(ifindex);
        }
        if self.asking.is_none() && self.ifindex.is_some() && self.when.poll(clock::now()) {
            self.ask();
        }
    }

    fn look_at_state(&mut self, ifindex: u32) {
        let states = self.root.join(STATE);
        self.watch = self.watch.take().or_else(|| watch(&states).ok());
        let path = states.join(ifindex.to_string());
        let version = version(&path).ok().flatten();
        if version.is_some() && version != self.known {
            self.known = version;
            // It is in memory, and nobody else writes there.
            let state = std::fs::read_to_string(&path).unwrap_or_default();
            let has_client = state.lines().any(|line| line.starts_with(CLIENT));
            self.when.handle_state(has_client, clock::now());
        }
    }

    /// When to look, if nothing else is a reason.
    pub(super) fn poll_timeout(&self) -> Option<crate::time::Instant> {
        self.when.poll_timeout().filter(|_| self.asking.is_none() && self.ifindex.is_some())
    }

    /// Waits for what it says; `None`: there may be reason to ask, as [`Self::look`] finds. Loses nothing when it is dropped.
    pub(super) async fn next(&mut self) -> Option<Vec<Filed>> {
        if let Some(asking) = &mut self.asking {
            let answer = asking.await;
            self.asking = None;
            return self.take(answer);
        }
        changed(self.watch.as_ref()).await;
        // The directory may be another one now.
        self.watch = None;
        None
    }

    fn ask(&mut self) {
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
        let now = clock::now();
        let description = answer.and_then(|octets| {
            let description = networkd::parse(&octets, self.ifindex.unwrap_or_default(), now);
            description.map_err(|why| format!("the answer of networkctl cannot be used: {why}"))
        });
        let is_of_interest = self.when.handle_answer(description.as_ref().ok(), now);
        match description {
            Ok(description) => {
                self.failure = None;
                tracing::debug!(interface = %self.interface, ?description, "Asked systemd-networkd for its delegation.");
                is_of_interest.then_some(description.filed)
            }
            Err(why) => {
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
    // Who prints too much is not heard any longer, and ends by that.
    let (octets, excuse) = tokio::join!(read(output, MOST), read(errors, EXCUSE));
    let octets = octets.map_err(said)?;
    if octets.len() >= MOST {
        return Err(format!("networkctl prints more than {MOST} octets"));
    }
    let status = child.wait().await.map_err(said)?;
    if status.success() {
        return Ok(octets);
    }
    let excuse = String::from_utf8_lossy(&excuse.unwrap_or_default()).into_owned();
    let line = excuse.lines().find(|line| !line.trim().is_empty()).unwrap_or("it printed nothing");
    Err(format!("networkctl ended with {status}: {}", line.trim().trim_end_matches('.')))
}

async fn read(output: impl AsyncRead + Unpin, most: usize) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    output.take(most as u64).read_to_end(&mut octets).await?;
    Ok(octets)
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

#[cfg(test)]
mod tests;
