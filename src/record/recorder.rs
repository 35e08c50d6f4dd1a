//! Writes a record, off the path of those who record: a thread of its own has the file.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::Ipv6Addr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use anyhow::Context;
use netlink_packet_route::RouteNetlinkMessage;

use super::{Decider, Event, Hex, Line, Link, Seconds, Start};
use crate::log::{self, record};
use crate::source::dhcpv6::{Duid, client};
use crate::source::http::asker::Failure;
use crate::source::link::LinkState;
use crate::source::observe::{self, Captured, Filed, Told};
use crate::source::ra::packet;
use crate::time::Instant;

/// How many lines may wait for a slow disk.
const QUEUE: usize = 4096;

/// How long the last lines may take to be written when the daemon ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes what is to be recorded; never waits. The default one records nothing.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    began: Instant,
    lines: SyncSender<Line>,
    fate: Arc<Fate>,
}

/// Whether it is still recorded. A record with a gap is none, so that nothing is recorded after one.
#[derive(Debug)]
struct Fate {
    path: PathBuf,
    ended: AtomicBool,
}

impl Fate {
    fn end(&self, why: &str) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            log::emit(&record::recording_ended(&self.path, why));
        }
    }
}

/// A record that is being written; for whoever ends it.
#[derive(Debug)]
pub struct Recording {
    recorder: Recorder,
    written: Receiver<()>,
}

impl Recording {
    /// Begins a session, `began` being the moment that [`Start::boot_time`] says. A file that exists is appended to.
    ///
    /// # Errors
    /// When the file cannot be opened for writing.
    pub fn start(path: &Path, start: Start, began: Instant) -> anyhow::Result<Self> {
        // Written at once: a place that cannot be written to is told before anything runs.
        let first = Line { at: Seconds::default(), event: Event::Start(Box::new(start)) };
        let file = open(path).and_then(|mut file| write(&mut file, &first).map(|()| file)).with_context(|| {
            format!("cannot write the record {} (--record); its directory must exist and be writable", path.display())
        })?;
        let (lines, queue) = sync_channel(QUEUE);
        let (done, written) = channel();
        let fate = Arc::new(Fate { path: path.to_owned(), ended: AtomicBool::new(false) });
        let of_writer = Arc::clone(&fate);
        let serve = move || {
            if let Err(error) = write_all(file, &queue) {
                of_writer.end(&error.to_string());
            }
            // Nobody listens any more when the daemon did not wait.
            let _ = done.send(());
        };
        std::thread::Builder::new().name("record".to_owned()).spawn(serve).context("cannot start a thread")?;
        let recorder = Recorder { open: Some(Open { began, lines, fate }) };
        Ok(Self { recorder, written })
    }

    /// Where to record.
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Ends the session. What was recorded before is in the file when this returns, unless the disk takes too long.
    pub fn end(self, now: Instant) {
        self.recorder.write(now, || Event::End);
        match self.written.recv_timeout(PATIENCE) {
            Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
    }
}

impl Recorder {
    /// Records an event of `now`; it is made only when there is a record.
    pub fn write(&self, now: Instant, event: impl FnOnce() -> Event) {
        let Some(open) = self.open.as_ref().filter(|open| !open.fate.ended.load(Ordering::Relaxed)) else { return };
        let at = Seconds(now.saturating_since(open.began));
        match open.lines.try_send(Line { at, event: event() }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => open.fate.end("the disk is too slow for what there is to record"),
            // The writer has said why it ended.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }

    /// For the driver of one decider; of a service `interface` is the URL.
    pub fn tape(&self, to: Decider, interface: &str) -> Tape {
        Tape { recorder: self.clone(), to, interface: interface.to_owned() }
    }
}

/// What the driver of one decider records: a line for each call that it makes.
#[derive(Clone, Debug)]
pub struct Tape {
    recorder: Recorder,
    to: Decider,
    interface: String,
}

impl Tape {
    /// A DHCPv6 client began.
    pub fn client(&self, seed: &[u8; 32], now: Instant) {
        self.write(now, |interface| Event::Client { interface, seed: Hex(seed.to_vec()) });
    }

    /// The DHCPv6 client got its settings anew, with this DUID.
    pub fn settings(&self, duid: Option<&Duid>, now: Instant) {
        let duid = duid.map(|duid| Hex(duid.as_bytes().to_vec()));
        self.write(now, |interface| Event::Settings { interface, duid });
    }

    /// The interface changed.
    pub fn link(&self, link: Option<&LinkState>, now: Instant) {
        self.write(now, |interface| Event::Link { interface, to: Some(self.to), link: link.map(Link::from) });
    }

    /// There is no socket, or there is one again.
    pub fn failure(&self, text: Option<&str>, now: Instant) {
        self.write(now, |interface| Event::Failure { interface, to: self.to, text: text.map(ToOwned::to_owned) });
    }

    /// An ICMPv6 message came in.
    pub fn advertisement(&self, received: &packet::Received<'_>, now: Instant) {
        self.write(now, |interface| Event::RouterAdvertisement {
            interface,
            source: received.source,
            hop_limit: received.hop_limit,
            fragmented: received.fragmented,
            bytes: Hex(received.bytes.to_vec()),
        });
    }

    /// A DHCPv6 message came in.
    pub fn datagram(&self, received: &client::Received<'_>, now: Instant) {
        self.write(now, |interface| Event::Datagram {
            interface,
            destination: received.destination,
            ifindex: received.ifindex,
            bytes: Hex(received.bytes.to_vec()),
        });
    }

    /// A DHCPv6 message went out.
    pub fn sent(&self, bytes: &[u8], now: Instant) {
        self.write(now, |interface| Event::Sent { interface, bytes: Hex(bytes.to_vec()) });
    }

    /// A packet of a client that is observed, or to it.
    pub fn observed(&self, sent: bool, captured: &Captured<'_>, now: Instant) {
        self.write(now, |interface| Event::Observed {
            interface,
            sent,
            checksum_known: captured.checksum_known,
            bytes: Hex(captured.bytes.to_vec()),
        });
    }

    /// An observer heard of routes and addresses.
    pub fn netlink(&self, dump: bool, messages: &[RouteNetlinkMessage], now: Instant) {
        self.write(now, |interface| {
            let messages = messages.iter().map(|message| Hex(observe::to_octets(message))).collect();
            Event::Netlink { interface, dump, messages }
        });
    }

    /// What the client that is observed has written down.
    pub fn filed(&self, filed: &[Filed], now: Instant) {
        self.write(now, |interface| Event::Filed { interface, filed: filed.to_vec() });
    }

    /// All that the client that is observed holds, as it says.
    pub fn described(&self, described: &[Filed], now: Instant) {
        self.write(now, |interface| Event::Described { interface, described: described.to_vec() });
    }

    /// Somebody told an observer of a delegation.
    pub fn told(&self, told: &Told, now: Instant) {
        self.write(now, |interface| Event::Told { interface, told: told.clone() });
    }

    /// The kernel told of addresses of the interface; `dump`: all of them, and its index.
    pub fn addresses(&self, dump: Option<u32>, messages: &[&RouteNetlinkMessage], now: Instant) {
        self.write(now, |interface| {
            let messages = messages.iter().map(|message| Hex(observe::to_octets(message))).collect();
            Event::Addresses { interface, dump, messages }
        });
    }

    /// A service begins to be asked.
    pub fn service(&self, seed: u64, now: Instant) {
        self.write(now, |url| Event::Service { url, seed });
    }

    /// A service has answered, or has not.
    pub fn answer(&self, answer: &Result<Ipv6Addr, Failure>, now: Instant) {
        self.write(now, |url| match answer {
            Ok(address) => Event::Answer { url, address: Some(*address), why: String::new(), retry_after: None },
            Err(Failure { why, retry_after }) => {
                Event::Answer { url, address: None, why: why.clone(), retry_after: retry_after.map(Seconds) }
            }
        });
    }

    /// A delegation is to be given back.
    pub fn release(&self, name: &str, now: Instant) {
        self.write(now, |interface| Event::Release { interface: Some(interface), name: name.to_owned() });
    }

    /// It was time for something.
    pub fn wake(&self, now: Instant) {
        self.write(now, |interface| Event::Wake { to: self.to, interface: Some(interface) });
    }

    /// What the decider knew was taken to the coordinator.
    pub fn report(&self, now: Instant) {
        self.write(now, |interface| Event::Report { to: self.to, interface });
    }

    fn write(&self, now: Instant, event: impl FnOnce(String) -> Event) {
        self.recorder.write(now, || event(self.interface.clone()));
    }
}

/// Opens the file for its owner alone, at its end. A line that a crash cut off there is closed.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    file.set_permissions(Permissions::from_mode(0o600))?;
    let mut last = [0];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

fn write(file: &mut File, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)
}

/// Writes what comes, line by line, until the session ends.
fn write_all(mut file: File, queue: &Receiver<Line>) -> io::Result<()> {
    while let Ok(line) = queue.recv() {
        write(&mut file, &line)?;
        if line.event == Event::End {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
