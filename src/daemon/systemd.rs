//! The supervisor's side: readiness, the status line, the watchdog, signals.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior};

/// What the supervisor asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGTERM or SIGINT: end.
    Stop(&'static str),
}

/// The signals that the daemon answers.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Stream,
    interrupt: Stream,
    terminate: Stream,
}

impl Signals {
    pub(super) fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot handle signals");
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
        })
    }

    /// The next signal. A second SIGTERM or SIGINT finds nobody waiting here: the daemon is ending already.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.hangup.recv() => Signal::Reload,
            Some(()) = self.interrupt.recv() => Signal::Stop("SIGINT"),
            Some(()) = self.terminate.recv() => Signal::Stop("SIGTERM"),
            else => std::future::pending().await,
        }
    }
}

/// Tells the supervisor every half of its time-out that the loop still turns.
#[derive(Debug)]
pub(super) struct Watchdog(Option<Interval>);

impl Watchdog {
    pub(super) fn new() -> Self {
        let interval = sd_notify::watchdog_enabled().map(|limit| {
            let mut interval = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self(interval)
    }

    /// Waits until the next sign of life is due, and gives it.
    pub(super) async fn due(&mut self) {
        let Some(interval) = &mut self.0 else { return std::future::pending().await };
        interval.tick().await;
        if !tell(&[NotifyState::Watchdog]) {
            interval.reset_after(AGAIN.min(interval.period()));
        }
    }
}

/// When to try again what the supervisor did not take.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

/// Says that the daemon is ready. Whether it was taken: it has to be said again otherwise.
pub(super) fn ready(status: &str) -> bool {
    tell(&[NotifyState::Ready, NotifyState::Status(status)])
}

/// Says how the daemon is. What is not taken is made up for by the next change.
pub(super) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Whether the supervisor has taken it, or there is none.
fn tell(state: &[NotifyState<'_>]) -> bool {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return true };
    let message: String = state.iter().map(|state| format!("{state}\n")).collect();
    send(&socket, &message)
}

/// Never waits: a supervisor that is busy, as systemd is while it re-executes itself, reads nothing, and must not stop
/// what the daemon is for. `false`: its queue is full.
fn send(socket: &OsStr, message: &str) -> bool {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    };
    let sent = || {
        let sender = UnixDatagram::unbound()?;
        sender.set_nonblocking(true)?;
        sender.send_to_addr(message.as_bytes(), &address?)
    };
    // One that cannot be reached at all cannot be helped.
    !sent().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_supervisor_that_does_not_read_holds_nothing_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let supervisor = UnixDatagram::bind(&path).unwrap();
        let (done, outcome) = mpsc::channel();
        let socket = path.into_os_string();
        let told = socket.clone();
        std::thread::spawn(move || done.send((0..100_000).find(|_| !send(&told, "STATUS=one\n"))));
        let refused = outcome.recv_timeout(Duration::from_secs(30)).expect("it waits for the supervisor");
        assert!(refused.expect("no queue holds 100 000 messages") > 0);
        let mut message = [0; 64];
        let length = supervisor.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"STATUS=one\n");
        assert!(send(&socket, "READY=1\n"), "there is room again");
    }

    #[test]
    fn nobody_there_is_no_reason_to_try_again() {
        let directory = tempfile::tempdir().unwrap();
        assert!(send(directory.path().join("nobody").as_os_str(), "READY=1\n"));
    }

    #[test]
    fn an_abstract_name_begins_with_an_at_sign() {
        let name = format!("dyn-prefix-test-{}", std::process::id());
        let supervisor = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        assert!(send(OsStr::new(&format!("@{name}")), "READY=1\n"));
        let mut message = [0; 64];
        let length = supervisor.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"READY=1\n");
    }
}
