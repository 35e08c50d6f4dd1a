//! What goes over the link: every DHCPv6 message, read in the server's namespace.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use dyn_prefix::source::dhcpv6::wire::server::decode_client;
use dyn_prefix::source::dhcpv6::wire::{
    ClientMessage, Incoming, Outgoing, ServerMessage, TransactionId, decode, decode_asked,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::Namespace;

const UDP: u8 = 17;
const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;

/// A DHCPv6 message that went over the link.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// When.
    pub(crate) at: Instant,
    /// Where from.
    pub(crate) source: SocketAddrV6,
    /// Where to.
    pub(crate) destination: SocketAddrV6,
    /// What.
    pub(crate) message: Message,
    /// The same as it went over the link.
    pub(crate) datagram: Vec<u8>,
}

/// A message, from either side.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// To the servers.
    Client(Outgoing),
    /// To the client.
    Server(Incoming),
    /// Neither can be read: why.
    Unreadable(String),
}

/// Reads on a thread of its own until it is dropped.
#[derive(Debug)]
pub(crate) struct Capture {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    news: Condvar,
    over: AtomicBool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Capture {
    /// Reads everything in the namespace, in both directions.
    pub(crate) fn start(namespace: &Namespace) -> Result<Self> {
        // Packets that leave are only shown to those who want all protocols.
        let all = i32::from(u16::try_from(nix::libc::ETH_P_ALL)?.to_be());
        let socket = namespace.inside(|| Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(all))))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let shared = Arc::new(Shared::default());
        let reader = Arc::clone(&shared);
        let thread = std::thread::spawn(move || read(&socket, &reader));
        Ok(Self { shared, thread: Some(thread), started: Instant::now() })
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.shared.seen().clone()
    }

    /// How many messages there were so far: a place to look on from.
    pub(crate) fn position(&self) -> usize {
        self.shared.seen().len()
    }

    /// The messages to the servers, from a place on.
    pub(crate) fn sent(&self, from: usize) -> Vec<Outgoing> {
        let seen = self.shared.seen();
        seen.iter().skip(from).filter_map(|seen| seen.client().cloned()).collect()
    }

    /// What they are.
    pub(crate) fn kinds(&self, from: usize) -> Vec<ClientMessage> {
        self.sent(from).iter().map(|message| message.kind).collect()
    }

    /// Waits for a message, from a place on, and gives it and the place behind it.
    pub(crate) fn wait(
        &self,
        what: &str,
        from: usize,
        limit: Duration,
        wanted: impl Fn(&Seen) -> bool,
    ) -> Result<(Seen, usize)> {
        let deadline = Instant::now() + limit;
        let mut seen = self.shared.seen();
        loop {
            if let Some((at, found)) = seen.iter().enumerate().skip(from).find(|(_, seen)| wanted(seen)) {
                return Ok((found.clone(), at + 1));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{what}: not on the link within {limit:?}");
            }
            seen = self.shared.news.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a message to the servers.
    pub(crate) fn wait_sent(&self, kind: ClientMessage, from: usize, limit: Duration) -> Result<(Outgoing, usize)> {
        let wanted = |seen: &Seen| seen.client().is_some_and(|message| message.kind == kind);
        let (seen, next) = self.wait(&format!("{kind:?}"), from, limit, wanted)?;
        let Message::Client(message) = seen.message else { bail!("not from a client") };
        Ok((message, next))
    }

    /// Waits for the Reply to a message.
    pub(crate) fn wait_reply(&self, to: TransactionId, limit: Duration) -> Result<(Incoming, usize)> {
        let wanted = |seen: &Seen| {
            seen.server().is_some_and(|reply| reply.kind == ServerMessage::Reply && reply.transaction_id == to)
        };
        let (seen, next) = self.wait("the Reply", 0, limit, wanted)?;
        let Message::Server(message) = seen.message else { bail!("not from a server") };
        Ok((message, next))
    }

    /// Waits for the next Reply with one prefix: it, the prefix, and the place behind it.
    pub(crate) fn wait_granted(&self, from: usize, limit: Duration) -> Result<(Seen, String, usize)> {
        let (seen, next) = self.wait("a Reply with a prefix", from, limit, Seen::grants)?;
        let prefixes = seen.server().map(granted).unwrap_or_default();
        let [prefix] = prefixes.as_slice() else { bail!("one prefix: {prefixes:?}") };
        Ok((seen.clone(), prefix.clone(), next))
    }

    /// Fails unless there were so many exchanges about prefixes, and whatever was asked was asked and answered once.
    pub(crate) fn expect_each_asked_once(&self, least: usize) -> Result<()> {
        let messages = self.all();
        let asked = messages.iter().filter(|seen| seen.destination.port() == SERVER_PORT);
        let asked = asked.filter_map(|seen| decode_asked(&seen.datagram).ok());
        let asked = asked.filter(|asked| asked.kind != Some(ClientMessage::Solicit));
        let mut asked: Vec<_> = asked.map(|asked| asked.transaction_id).collect();
        ensure!(asked.len() >= least, "{asked:?}");
        let sent = asked.len();
        asked.sort_unstable();
        asked.dedup();
        ensure!(asked.len() == sent, "nothing had to be asked twice: {asked:?}");
        let granted = messages.iter().filter(|seen| seen.grants()).count();
        ensure!(granted >= least, "{least} exchanges, and {granted} times a prefix");
        let answers = messages.iter().filter(|seen| seen.is_reply()).count();
        ensure!(answers == sent, "{sent} asked, {answers} answered");
        Ok(())
    }

    /// All messages in a form for people, a line each.
    pub(crate) fn transcript(&self) -> String {
        let mut text = String::new();
        for seen in self.shared.seen().iter() {
            let after = seen.at.saturating_duration_since(self.started).as_secs_f32();
            let line = match &seen.message {
                Message::Client(message) => format!(
                    "{:?} xid {:02x?} elapsed {} server {:?} {:?}",
                    message.kind, message.transaction_id, message.elapsed, message.server_id, message.delegations
                ),
                Message::Server(message) => format!(
                    "{:?} xid {:02x?} server {:?} {:?} {:?}",
                    message.kind, message.transaction_id, message.server_id, message.status, message.delegations
                ),
                Message::Unreadable(why) => format!("unreadable: {why}"),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{after:7.3} {} > {} {line}", seen.source, seen.destination);
        }
        text
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the reader was seen as messages that never came.
            drop(thread.join());
        }
    }
}

impl Seen {
    /// The message, if it is one to the servers.
    pub(crate) fn client(&self) -> Option<&Outgoing> {
        if let Message::Client(message) = &self.message { Some(message) } else { None }
    }

    /// The message, if it is one to the client.
    pub(crate) fn server(&self) -> Option<&Incoming> {
        if let Message::Server(message) = &self.message { Some(message) } else { None }
    }

    /// Whether it is a Reply of the server: what a test forges comes from another port.
    pub(crate) fn is_reply(&self) -> bool {
        self.source.port() == SERVER_PORT && self.server().is_some_and(|message| message.kind == ServerMessage::Reply)
    }

    /// The same with a prefix.
    pub(crate) fn grants(&self) -> bool {
        self.is_reply() && self.server().is_some_and(|reply| !granted(reply).is_empty())
    }
}

/// The prefixes that a Reply leaves to the client.
pub(crate) fn granted(reply: &Incoming) -> Vec<String> {
    let prefixes = reply.delegations.iter().flat_map(|ia| &ia.prefixes);
    prefixes.filter(|prefix| prefix.valid > 0).map(|prefix| prefix.prefix.to_string()).collect()
}

fn read(mut socket: &Socket, shared: &Shared) {
    let mut packet = [0; 65_536];
    while !shared.over.load(Ordering::Relaxed) {
        // A time-out, or an interface that went away.
        let Ok(length) = socket.read(&mut packet) else { continue };
        if let Some(seen) = packet.get(..length).and_then(dhcpv6) {
            shared.seen().push(seen);
            shared.news.notify_all();
        }
    }
}

/// The DHCPv6 message in an IPv6 packet.
fn dhcpv6(packet: &[u8]) -> Option<Seen> {
    let (header, rest) = packet.split_at_checked(40)?;
    let (udp, datagram) = rest.split_at_checked(8)?;
    if header[0] >> 4 != 6 || header[6] != UDP {
        return None;
    }
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(header.get(at..at + 16)?).ok()?));
    let port = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
    let message = match port(2) {
        SERVER_PORT => decode_client(datagram).map_or_else(|why| Message::Unreadable(why.to_string()), Message::Client),
        CLIENT_PORT => decode(datagram).map_or_else(|why| Message::Unreadable(why.to_string()), Message::Server),
        _ => return None,
    };
    Some(Seen {
        at: Instant::now(),
        source: SocketAddrV6::new(address(8)?, port(0), 0, 0),
        destination: SocketAddrV6::new(address(24)?, port(2), 0, 0),
        message,
        datagram: datagram.to_vec(),
    })
}
