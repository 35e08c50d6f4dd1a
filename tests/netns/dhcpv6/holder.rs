//! Another process on the port: this program, started again, opens a socket as other DHCPv6 clients do and prints a line
//! for each datagram it receives.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{Namespace, WAN};

const PROFILE: &str = "DYN_PREFIX_TEST_HOLD";
const READY: &str = "ready";

/// Clients, and the sockets they open (measured; the first client's column of the matrix in the reference).
pub(crate) const PROFILES: [&str; 7] =
    ["odhcp6c", "networkd", "dibbler", "dhcpcd-manager", "dhcpcd-interface", "nclient6", "wide-dhcpv6"];

/// When this process was started to hold a port, does so until its standard input ends.
pub(crate) fn main() -> bool {
    let Ok(profile) = std::env::var(PROFILE) else { return false };
    let socket = (profile != "none").then(|| open(&profile));
    say(READY);
    let receiving = socket.map(|socket| {
        std::thread::spawn(move || {
            let socket = std::net::UdpSocket::from(socket);
            while let Ok((length, _)) = socket.recv_from(&mut [0; 1500]) {
                say(&length.to_string());
            }
        })
    });
    std::io::stdin().lines().for_each(drop);
    drop(receiving);
    true
}

fn say(line: &str) {
    let mut output = std::io::stdout();
    output.write_all(format!("{line}\n").as_bytes()).and_then(|()| output.flush()).expect("the test reads");
}

fn open(profile: &str) -> Socket {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP)).expect("a socket");
    let ifindex = nix::net::if_::if_nametoindex(WAN).expect("the interface exists");
    let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 546, 0, 0);
    let own = SocketAddrV6::new(super::lab::link_local(), 546, 0, ifindex);
    let address = match profile {
        "odhcp6c" => {
            socket.set_reuse_address(true).expect("SO_REUSEADDR");
            socket.bind_device(Some(WAN.as_bytes())).expect("SO_BINDTODEVICE");
            any
        }
        "networkd" | "dibbler" => {
            socket.set_reuse_address(true).expect("SO_REUSEADDR");
            own
        }
        "dhcpcd-manager" => any,
        "wide-dhcpv6" => {
            setsockopt(&socket, sockopt::ReusePort, &true).expect("SO_REUSEPORT");
            any
        }
        _ => own,
    };
    socket.bind(&address.into()).expect("the port is free");
    socket
}

/// A process that holds the port; it ends with the value.
pub(crate) struct Holder {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Holder {
    /// Opens the socket of this client in a namespace.
    pub(crate) fn start(namespace: &Namespace, profile: &str) -> Self {
        Self::run(namespace, profile, &std::env::current_exe().expect("its own path"), &[])
    }

    /// Runs under a name of its own, with arguments, and opens no socket.
    pub(crate) fn pretend(namespace: &Namespace, program: &Path, arguments: &[&str]) -> Self {
        std::os::unix::fs::symlink(std::env::current_exe().expect("its own path"), program).expect("a link");
        Self::run(namespace, "none", program, arguments)
    }

    /// Opens the socket of this client from inside a cgroup.
    pub(crate) fn start_in(namespace: &Namespace, profile: &str, cgroup: &Cgroup) -> Self {
        let program = std::env::current_exe().expect("its own path");
        let inner = namespace.command(program.to_str().expect("a path in UTF-8"));
        // Before `ip`, which hides the cgroups from what it runs.
        let script = format!("echo $$ >{}/cgroup.procs && exec \"$0\" \"$@\"", cgroup.0.display());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(inner.get_program()).args(inner.get_args());
        Self::spawn(&mut command, profile)
    }

    fn run(namespace: &Namespace, profile: &str, program: &Path, arguments: &[&str]) -> Self {
        Self::spawn(namespace.command(program.to_str().expect("a path in UTF-8")).args(arguments), profile)
    }

    fn spawn(command: &mut Command, profile: &str) -> Self {
        command.env(PROFILE, profile).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("ip netns exec");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut holder = Self { child, output };
        assert_eq!(holder.line(), READY, "{profile}");
        holder
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The length of the next datagram that it received, as text.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it lives");
        line.trim().to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A cgroup with the name of a unit; it is removed with the value.
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one.
    ///
    /// # Errors
    /// When this machine lets nobody make one.
    pub(crate) fn new(unit: &str) -> std::io::Result<Self> {
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let version_2 = mounts.into_iter().find(|mount| mount.join("cgroup.controllers").exists());
        let path = version_2.ok_or(std::io::ErrorKind::NotFound)?.join(unit);
        std::fs::create_dir(&path).map(|()| Self(path))
    }

    /// Why there are none here.
    pub(crate) fn missing() -> Option<String> {
        let probe = Self::new(&format!("dp-probe-{}.service", std::process::id()));
        probe.err().map(|error| format!("cannot make a cgroup of version 2: {error}"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its process was waited for.
        drop(std::fs::remove_dir(&self.0));
    }
}
