//! Who holds a UDP port: sock_diag(7) lists the sockets, /proc and the cgroups name the owner.
//!
//! Without privileges /proc shows the open files of no other user's process. The kernel then still says which cgroup a
//! socket was made in, and under systemd that is the unit.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla as _};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET6, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

/// INET_DIAG_CGROUP_ID (linux/inet_diag.h), which the crate does not know.
const CGROUP_ID: u16 = 21;
/// The kernel fills parts of a dump up to 32 KiB.
const DUMP_BUFFER: usize = 64 * 1024;
/// The files that a cgroup's directory has are no directories: what is deeper than this is no unit's.
const DEEPEST_CGROUP: usize = 16;

/// A UDP socket over IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The interface it is bound to; 0: to none.
    pub ifindex: u32,
    /// The address it is bound to; `::`: to none.
    pub address: Ipv6Addr,
    /// The user it belongs to.
    pub uid: u32,
    /// Its inode number, by which /proc names it.
    pub inode: u32,
    /// The id of the cgroup it was made in.
    pub cgroup: Option<u64>,
}

impl Holder {
    /// Whether a socket on this interface cannot be bound to the same port beside it.
    pub fn is_in_the_way(&self, ifindex: u32) -> bool {
        self.ifindex == 0 || self.ifindex == ifindex
    }
}

/// Whoever holds a port, as far as can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process id and the name of the program.
    pub process: Option<(u32, String)>,
    /// The systemd unit, or the cgroup where there is none.
    pub unit: Option<String>,
    /// The user.
    pub uid: u32,
}

impl Owner {
    /// Whether it is this process.
    pub fn is_this_process(&self) -> bool {
        self.process.as_ref().is_some_and(|(pid, _)| *pid == std::process::id())
    }

    /// Whether it is this program, another daemon of it perhaps.
    pub fn is_this_program(&self) -> bool {
        self.is_this_process()
            || self.process.as_ref().is_some_and(|(_, name)| name == "dyn-prefix")
            || self.unit.as_deref() == Some("dyn-prefix.service")
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.process, &self.unit) {
            (Some((pid, name)), Some(unit)) => write!(f, "{name} (process {pid}, {unit})"),
            (Some((pid, name)), None) => write!(f, "{name} (process {pid})"),
            (None, Some(unit)) => f.write_str(unit),
            (None, None) => write!(f, "a process of the user with the id {}", self.uid),
        }
    }
}

/// The UDP sockets over IPv6 with this local port, in this network namespace.
///
/// # Errors
/// When the kernel can tell them neither by sock_diag nor by /proc/net/udp6.
pub fn holders(port: u16) -> io::Result<Vec<Holder>> {
    dump(port).or_else(|by_netlink| {
        let text = fs::read_to_string("/proc/thread-self/net/udp6").map_err(|error| {
            io::Error::new(error.kind(), format!("sock_diag: {by_netlink}; /proc/net/udp6: {error}"))
        })?;
        Ok(text.lines().filter_map(|line| parse_udp6(line, port)).collect())
    })
}

/// Names the owner of a socket. `root` is `/`.
pub fn identify(holder: &Holder, root: &Path) -> Owner {
    let process = find_process(&root.join("proc"), holder.inode);
    let cgroup = holder.cgroup.and_then(|id| find_cgroup(&root.join("sys/fs/cgroup"), id));
    Owner { process, unit: cgroup.as_deref().and_then(unit), uid: holder.uid }
}

fn dump(port: u16) -> io::Result<Vec<Holder>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.send(&request(port), 0)?;
    let mut found = Vec::new();
    loop {
        let mut datagram = Vec::with_capacity(DUMP_BUFFER);
        if socket.recv(&mut datagram, 0)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if parse(&datagram, port, &mut found)? == Part::Last {
            return Ok(found);
        }
    }
}

fn request(port: u16) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family: AF_INET6,
        protocol: IPPROTO_UDP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: SocketId { source_port: port, ..SocketId::new_v6() },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Whether more of a dump follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    More,
    Last,
}

/// Takes one datagram of a dump, which holds several messages.
fn parse(mut datagram: &[u8], port: u16, found: &mut Vec<Holder>) -> io::Result<Part> {
    while !datagram.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(datagram).map_err(io::Error::other)?;
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
        if let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) = &message.payload {
            found.extend(holder(response).filter(|_| response.header.socket_id.source_port == port));
        } else if let NetlinkPayload::Error(error) = &message.payload {
            return Err(error.to_io());
        } else if matches!(message.payload, NetlinkPayload::Done(_)) {
            return Ok(Part::Last);
        }
        datagram = datagram.get(length.max(1)..).unwrap_or_default();
    }
    Ok(Part::More)
}

fn holder(response: &InetResponse) -> Option<Holder> {
    let IpAddr::V6(address) = response.header.socket_id.source_address else { return None };
    let cgroup = response.nlas.iter().find_map(|attribute| {
        let Nla::Other(attribute) = attribute else { return None };
        let mut id = [0; 8];
        if attribute.kind() != CGROUP_ID || attribute.value_len() != id.len() {
            return None;
        }
        attribute.emit_value(&mut id);
        Some(u64::from_ne_bytes(id))
    });
    let header = &response.header;
    Some(Holder { ifindex: header.socket_id.interface_id, address, uid: header.uid, inode: header.inode, cgroup })
}

/// A line of /proc/net/udp6. It does not tell the interface nor the cgroup.
fn parse_udp6(line: &str, port: u16) -> Option<Holder> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, local_port) = fields.get(1)?.split_once(':')?;
    if u16::from_str_radix(local_port, 16).ok()? != port {
        return None;
    }
    // Four words of 32 bits, each as the machine stores it.
    let word = |index: usize| u32::from_str_radix(address.get(index * 8..index * 8 + 8)?, 16).ok();
    let mut octets = [0; 16];
    for (index, chunk) in octets.chunks_exact_mut(4).enumerate() {
        chunk.copy_from_slice(&word(index)?.to_ne_bytes());
    }
    let (uid, inode) = (fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?);
    Some(Holder { ifindex: 0, address: octets.into(), uid, inode, cgroup: None })
}

/// The process that has this socket open, among those whose files may be seen.
fn find_process(proc: &Path, inode: u32) -> Option<(u32, String)> {
    let target = format!("socket:[{inode}]");
    let has_it = |directory: &Path| {
        let files = fs::read_dir(directory.join("fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|link| link.as_os_str() == target.as_str())
    };
    for entry in fs::read_dir(proc).ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if has_it(&entry.path()) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some((pid, printable(name.trim())));
        }
    }
    None
}

/// Any program may choose its name.
pub(super) fn printable(name: &str) -> String {
    name.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(64).collect()
}

/// The path of a cgroup below the root of the hierarchy: its id is the inode number of its directory.
fn find_cgroup(mount: &Path, id: u64) -> Option<PathBuf> {
    let unified = mount.join("unified");
    // The file is in every cgroup of version 2 and in none of version 1, whose numbers mean nothing here.
    let root = [mount, &unified].into_iter().find(|directory| directory.join("cgroup.controllers").exists())?;
    let mut open = vec![root.to_path_buf()];
    while let Some(directory) = open.pop() {
        if directory.strip_prefix(root).ok()?.components().count() >= DEEPEST_CGROUP {
            continue;
        }
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.ino() == id {
                return entry.path().strip_prefix(root).ok().map(Path::to_path_buf);
            }
            open.push(entry.path());
        }
    }
    None
}

/// The unit that a cgroup belongs to: the innermost service or scope; without one, the cgroup itself.
fn unit(cgroup: &Path) -> Option<String> {
    let names = cgroup.iter().filter_map(|name| name.to_str());
    let unit = names.rev().find(|name| name.ends_with(".service") || name.ends_with(".scope"));
    Some(printable(unit.map_or_else(|| format!("/{}", cgroup.display()), str::to_owned).as_str()))
}

#[cfg(test)]
mod tests;
