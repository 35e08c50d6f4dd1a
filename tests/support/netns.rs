//! Network namespaces joined by a veth pair, a radvd and a forger of packets, for tests that need a real kernel.
//!
//! Needs root (or a user namespace with CAP_NET_ADMIN and CAP_SYS_ADMIN) and `ip` of iproute2.

use std::fs::{self, File};
use std::io::IoSliceMut;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::Pid;
use socket2::{Domain, Protocol, Socket, Type};

/// The host's interface.
pub(crate) const WAN: &str = "wan";
/// The router's interface.
pub(crate) const LAN: &str = "lan";
/// The router's link-local address, made from its MAC address 02:00:00:00:00:01 (RFC 4291 appendix A).
pub(crate) const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);

/// How often an interface is tried until it is ready to send: some seconds.
const ATTEMPTS: u32 = 3_000_000;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Why such tests cannot run on this machine, if they cannot.
pub(crate) fn missing() -> Option<String> {
    let name = format!("dp-probe-{}", std::process::id());
    let output = Command::new("ip").args(["netns", "add", &name]).output();
    let reason = match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            Some(format!("cannot make a network namespace: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Err(error) => Some(format!("cannot run ip (Debian package iproute2): {error}")),
    };
    if reason.is_none() {
        run(Command::new("ip").args(["netns", "del", &name]));
    }
    reason
}

/// Where radvd is, if it is on PATH.
pub(crate) fn radvd() -> Option<PathBuf> {
    on_path("radvd")
}

/// Where a program is, if it is on PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A network namespace; it is deleted with the value.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// As `ip netns` knows it.
    pub(crate) name: String,
}

impl Namespace {
    /// A new one, with loopback up and without duplicate address detection.
    pub(crate) fn new(role: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = Self { name: format!("dp-{}-{number}-{role}", std::process::id()) };
        run(Command::new("ip").args(["netns", "add", &namespace.name]));
        for scope in ["all", "default"] {
            namespace.sysctl(&format!("net/ipv6/conf/{scope}/accept_dad"), "0");
            namespace.sysctl(&format!("net/ipv6/conf/{scope}/dad_transmits"), "0");
        }
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs `ip` inside, with these words.
    pub(crate) fn ip(&self, words: &str) {
        run(Command::new("ip").args(["-n", &self.name]).args(words.split_whitespace()));
    }

    /// Writes a value below /proc/sys inside.
    pub(crate) fn sysctl(&self, key: &str, value: &str) {
        self.inside(|| {
            fs::write(format!("/proc/sys/{key}"), value).unwrap_or_else(|error| panic!("{key} = {value}: {error}"));
        });
    }

    /// A command that will run inside.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs `work` on a thread of its own inside. Sockets that it returns stay in the namespace.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let file = File::open(format!("/run/netns/{}", self.name)).expect("the namespace has a name");
                setns(file, CloneFlags::CLONE_NEWNET).expect("setns");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Not `run`: a panic here would hide the one that ended the test.
        drop(Command::new("ip").args(["netns", "del", &self.name]).output());
    }
}

/// A router and a host on one link.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Has the interface [`LAN`] with the address [`ROUTER`].
    pub(crate) router: Namespace,
    /// Has the interface [`WAN`].
    pub(crate) host: Namespace,
}

impl Pair {
    /// Both namespaces, not joined yet.
    pub(crate) fn apart() -> Self {
        let pair = Self { router: Namespace::new("router"), host: Namespace::new("host") };
        pair.router.sysctl("net/ipv6/conf/all/forwarding", "1");
        pair
    }

    /// Both namespaces, joined and up.
    pub(crate) fn joined() -> Self {
        let pair = Self::apart();
        pair.join();
        pair
    }

    /// Makes the veth pair.
    pub(crate) fn join(&self) {
        let host = &self.host.name;
        self.router.ip(&format!("link add {LAN} address 02:00:00:00:00:01 type veth peer name {WAN} netns {host}"));
        self.router.ip(&format!("link set {LAN} up"));
        self.host.ip(&format!("link set {WAN} up"));
    }

    /// Deletes the veth pair.
    pub(crate) fn part(&self) {
        self.router.ip(&format!("link del {LAN}"));
    }
}

/// A radvd in the router's namespace. It is killed with the value.
#[derive(Debug)]
pub(crate) struct Radvd {
    child: Child,
    config: PathBuf,
    _directory: tempfile::TempDir,
}

impl Radvd {
    /// Starts it with these prefix blocks. Without a solicitation it is silent for minutes after the first few.
    pub(crate) fn start(router: &Namespace, prefixes: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = directory.path().join("radvd.conf");
        fs::write(&config, configuration(prefixes)).expect("a configuration");
        let log = File::create(directory.path().join("log")).expect("a log file");
        let child = router
            .command("radvd")
            .args(["--nodaemon", "--logmethod", "stderr", "--debug", "1", "--config"])
            .arg(&config)
            .arg("--pidfile")
            .arg(directory.path().join("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("radvd");
        Self { child, config, _directory: directory }
    }

    /// Gives it other prefix blocks and has it read them.
    pub(crate) fn reload(&self, prefixes: &str) {
        fs::write(&self.config, configuration(prefixes)).expect("a configuration");
        self.signal(Signal::SIGHUP);
    }

    /// Stops it as its service manager would, and waits for its end.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        self.child.wait().expect("it ends");
    }

    /// Kills it: the power went out.
    pub(crate) fn kill(self) {
        drop(self);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("radvd runs");
    }
}

impl Drop for Radvd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn configuration(prefixes: &str) -> String {
    format!("interface {LAN} {{ AdvSendAdvert on; MinRtrAdvInterval 200; MaxRtrAdvInterval 600; {prefixes} }};\n")
}

/// Sends made-up packets.
#[derive(Debug)]
pub(crate) struct Forger {
    socket: Socket,
    ifindex: u32,
}

/// An ICMPv6 message and what surrounds it.
#[derive(Clone, Debug)]
pub(crate) struct Forged {
    /// The IPv6 source address.
    pub(crate) source: Ipv6Addr,
    /// The IPv6 hop limit.
    pub(crate) hop_limit: u8,
    /// The ICMPv6 message; its checksum is filled in.
    pub(crate) message: Vec<u8>,
    /// Whether the checksum is wrong.
    pub(crate) bad_checksum: bool,
    /// Whether the packet has a Fragment header, and into how many fragments it is cut.
    pub(crate) fragments: Option<usize>,
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ICMPV6: u8 = 58;
const ROUTER_SOLICITATION: u8 = 133;
const FRAGMENT: u8 = 44;

impl Forged {
    /// A proper packet of the router.
    pub(crate) fn proper(message: Vec<u8>) -> Self {
        Self { source: ROUTER, hop_limit: 255, message, bad_checksum: false, fragments: None }
    }

    fn packets(&self) -> Vec<Vec<u8>> {
        let mut message = self.message.clone();
        let sum = checksum(self.source, ALL_NODES, &message) ^ u16::from(self.bad_checksum);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let Some(count) = self.fragments else { return vec![self.packet(ICMPV6, &message)] };
        // Every fragment but the last is a multiple of 8 octets long (RFC 8200 §4.5).
        let size = message.len().div_ceil(count).next_multiple_of(8);
        let last = message.len().div_ceil(size) - 1;
        message
            .chunks(size)
            .enumerate()
            .map(|(index, chunk)| {
                let offset = u16::try_from(index * size).expect("a short message") | u16::from(index < last);
                let header = [[ICMPV6, 0], offset.to_be_bytes(), [0xde, 0xad], [0xbe, 0xef]].concat();
                self.packet(FRAGMENT, &[header, chunk.to_vec()].concat())
            })
            .collect()
    }

    fn packet(&self, next_header: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).expect("a short message");
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([next_header, self.hop_limit]);
        packet.extend(self.source.octets());
        packet.extend(ALL_NODES.octets());
        packet.extend(payload);
        packet
    }
}

/// The queue of the interface is full, or its carrier, and with it the route of multicast, is not there yet.
fn is_passing(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(nix::libc::ENOBUFS | nix::libc::ENETUNREACH))
}

impl Forger {
    /// One that sends from this interface.
    pub(crate) fn new(namespace: &Namespace, interface: &str) -> Self {
        namespace.inside(|| {
            let protocol = Protocol::from(nix::libc::IPPROTO_RAW);
            let socket = Socket::new_raw(Domain::IPV6, Type::RAW, Some(protocol)).expect("a raw socket");
            let ifindex = nix::net::if_::if_nametoindex(interface).expect("the interface exists");
            Self { socket, ifindex }
        })
    }

    /// Sends it to all nodes.
    pub(crate) fn send(&self, forged: &Forged) {
        let to = SocketAddrV6::new(ALL_NODES, 0, 0, self.ifindex);
        for packet in forged.packets() {
            let mut sent = self.socket.send_to(&packet, &to.into());
            // Whoever sends in a flood, or as soon as the interface is set up, is faster than the kernel on a busy machine.
            let mut attempts = 0;
            while sent.as_ref().is_err_and(is_passing) && attempts < ATTEMPTS {
                attempts += 1;
                std::thread::yield_now();
                sent = self.socket.send_to(&packet, &to.into());
            }
            sent.unwrap_or_else(|error| panic!("cannot send {forged:?}: {error}"));
        }
    }
}

/// The checksum of an ICMPv6 message whose own checksum field is zero (RFC 4443 §2.3, RFC 8200 §8.1).
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let mut bytes = [source.octets(), destination.octets()].concat();
    bytes.extend(u32::try_from(message.len()).expect("a short message").to_be_bytes());
    bytes.extend([0, 0, 0, ICMPV6]);
    bytes.extend(message);
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or_default()])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).expect("folded to 16 bits")
}

/// Collects the Router Solicitations that arrive on an interface, in its receive queue.
#[derive(Debug)]
pub(crate) struct Solicitations(Socket);

impl Solicitations {
    /// Listens from now on.
    pub(crate) fn listen(namespace: &Namespace, interface: &str) -> Self {
        namespace.inside(|| {
            let kind = Type::RAW.nonblocking();
            let socket = Socket::new_raw(Domain::IPV6, kind, Some(Protocol::ICMPV6)).expect("a raw socket");
            socket.bind_device(Some(interface.as_bytes())).expect("the interface exists");
            socket.set_recv_hoplimit_v6(true).expect("IPV6_RECVHOPLIMIT");
            Self(socket)
        })
    }

    /// The hop limits of those that arrived.
    pub(crate) fn hop_limits(&self) -> Vec<i32> {
        let mut hop_limits = Vec::new();
        loop {
            let mut message = [0; 1500];
            let mut ancillary = nix::cmsg_space!(nix::libc::c_int);
            let mut slices = [IoSliceMut::new(&mut message)];
            let read = recvmsg::<()>(self.0.as_raw_fd(), &mut slices, Some(&mut ancillary), MsgFlags::empty());
            let Ok(read) = read else { return hop_limits };
            let hop_limit = read.cmsgs().expect("room for one").find_map(|ancillary| {
                if let ControlMessageOwned::Ipv6HopLimit(hop_limit) = ancillary { Some(hop_limit) } else { None }
            });
            if message[0] == ROUTER_SOLICITATION {
                hop_limits.extend(hop_limit);
            }
        }
    }
}
