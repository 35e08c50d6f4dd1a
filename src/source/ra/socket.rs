//! The raw ICMPv6 socket (RFC 3542) that hears Router Advertisements and sends Router Solicitations.
//!
//! It is bound to one interface and sees what arrives there whatever the kernel makes of it: `accept_ra` and
//! `forwarding` do not matter. The kernel verifies checksums; every other check of RFC 4861 §6.1.2 is ours.

use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockFilter, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use self::opcode::{BPF_JMP_JEQ_K, BPF_LD_B_ABS, BPF_RET_K};
use super::packet::{HOP_LIMIT, ROUTER_ADVERTISEMENT, Received};
use crate::source::link::LinkState;

const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Longer than any advertisement that fits a jumbo frame; what is longer came in fragments.
const BUFFER: usize = 16 * 1024;
/// How many packets may be waiting when the socket is opened; more than fit into its queue.
const MAX_FLUSHED: usize = 100_000;

// IPV6_RECVFRAGSIZE (linux/in6.h): the size of the largest fragment, for packets that came in fragments.
nix::setsockopt_impl!(RecvFragSize, libc::IPPROTO_IPV6, libc::IPV6_RECVFRAGSIZE, bool, sockopt::SetBool);

/// `IPV6_RECVFRAGSIZE`, which neither socket2 nor nix names.
#[derive(Clone, Copy, Debug)]
struct RecvFragSize;

/// A socket on one interface.
#[derive(Debug)]
pub struct Socket {
    socket: AsyncFd<socket2::Socket>,
    ifindex: u32,
    mac: Option<[u8; 6]>,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket on the interface `name`, whose state is `link`. Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW, ENODEV when the interface has just vanished, and what else socket calls give.
    pub fn open(name: &str, link: &LinkState) -> io::Result<Self> {
        let socket = socket2::Socket::new_raw(Domain::IPV6, Type::RAW.nonblocking().cloexec(), Some(Protocol::ICMPV6))?;
        // Until the socket is bound it hears every interface: let nothing in, and empty it before it is opened.
        socket.attach_filter(&[drop_packet()])?;
        socket.bind_device(Some(name.as_bytes()))?;
        socket.set_recv_hoplimit_v6(true)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        setsockopt(&socket, RecvFragSize, &true)?;
        socket.set_multicast_hops_v6(u32::from(HOP_LIMIT))?;
        socket.set_unicast_hops_v6(u32::from(HOP_LIMIT))?;
        socket.set_multicast_loop_v6(false)?;
        socket.set_multicast_if_v6(link.ifindex)?;
        flush(&socket)?;
        socket.attach_filter(&advertisements_only())?;
        #[expect(deprecated, reason = "its successor is unsafe; a Socket keeps its descriptor open, as that one asks")]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self { socket, ifindex: link.ifindex, mac: link.mac, buffer: vec![0; BUFFER] })
    }

    /// The index of the interface it is bound to.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Takes a changed MAC address for solicitations.
    pub fn set_mac(&mut self, mac: Option<[u8; 6]>) {
        self.mac = mac;
    }

    /// Waits until there is something to read with [`Socket::try_receive`]. Cancel safe.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await.map(drop)
    }

    /// The next packet; `None` when there is none. Packets of another interface (a former owner of the name) and ones
    /// without a source address are left out.
    ///
    /// # Errors
    /// What recvmsg(2) gives.
    pub fn try_receive(&mut self) -> io::Result<Option<Received<'_>>> {
        loop {
            let read = self.socket.try_io(Interest::READABLE, |socket| receive(socket, &mut self.buffer));
            match read {
                Ok(packet) if packet.ifindex == Some(self.ifindex) => return Ok(packet.received(&self.buffer)),
                Ok(_of_another_interface) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a Router Solicitation to all routers.
    ///
    /// # Errors
    /// What sendto(2) gives: EADDRNOTAVAIL before the interface has a link-local address, ENETDOWN, ENOBUFS.
    pub fn solicit(&self) -> io::Result<()> {
        let to = SocketAddrV6::new(ALL_ROUTERS, 0, 0, self.ifindex);
        self.socket.get_ref().send_to(&super::packet::router_solicitation(self.mac), &to.into()).map(drop)
    }
}

/// What the kernel says about a packet.
#[derive(Clone, Copy, Debug)]
struct Packet {
    length: usize,
    source: Ipv6Addr,
    ifindex: Option<u32>,
    hop_limit: Option<u8>,
    fragmented: bool,
}

impl Packet {
    fn received(self, buffer: &[u8]) -> Option<Received<'_>> {
        let Self { length, source, hop_limit, fragmented, .. } = self;
        Some(Received { source, hop_limit, fragmented, bytes: buffer.get(..length)? })
    }
}

fn receive(socket: &socket2::Socket, buffer: &mut [u8]) -> io::Result<Packet> {
    let mut ancillary = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int, libc::c_int);
    let mut slices = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut slices, Some(&mut ancillary), MsgFlags::MSG_DONTWAIT)?;
    let mut packet = Packet {
        length: message.bytes,
        source: message.address.map_or(Ipv6Addr::UNSPECIFIED, |address| address.ip()),
        ifindex: None,
        hop_limit: None,
        // Longer than the buffer is longer than any link's MTU.
        fragmented: message.flags.contains(MsgFlags::MSG_TRUNC),
    };
    for ancillary in message.cmsgs()? {
        packet.learn(&ancillary);
    }
    Ok(packet)
}

impl Packet {
    fn learn(&mut self, message: &ControlMessageOwned) {
        if let ControlMessageOwned::Ipv6PacketInfo(info) = message {
            self.ifindex = Some(info.ipi6_ifindex);
        } else if let ControlMessageOwned::Ipv6HopLimit(limit) = message {
            self.hop_limit = u8::try_from(*limit).ok();
        } else if let ControlMessageOwned::Unknown(unknown) = message {
            let header = unknown.cmsg_header;
            // Sent along only with packets that came in fragments (RFC 6980).
            self.fragmented |= header.cmsg_level == libc::IPPROTO_IPV6 && header.cmsg_type == libc::IPV6_RECVFRAGSIZE;
        }
    }
}

/// Reads away what arrived before the socket was bound (RA-08 of the reference; odhcp6c does the same).
fn flush(socket: &socket2::Socket) -> io::Result<()> {
    let mut buffer = [];
    for _ in 0..MAX_FLUSHED {
        match recvmsg::<()>(
            socket.as_raw_fd(),
            &mut [IoSliceMut::new(&mut buffer)],
            None,
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC,
        ) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(nix::errno::Errno::EAGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The classic BPF program (linux/filter.h) that drops everything.
fn drop_packet() -> SockFilter {
    SockFilter::new(BPF_RET_K, 0, 0, 0)
}

/// Passes Router Advertisements. A raw IPv6 socket shows the filter the packet from its ICMPv6 header on.
fn advertisements_only() -> [SockFilter; 4] {
    [
        SockFilter::new(BPF_LD_B_ABS, 0, 0, 0),
        SockFilter::new(BPF_JMP_JEQ_K, 0, 1, u32::from(ROUTER_ADVERTISEMENT)),
        SockFilter::new(BPF_RET_K, 0, 0, u32::MAX),
        drop_packet(),
    ]
}

#[expect(clippy::cast_possible_truncation, reason = "the opcodes of linux/bpf_common.h fit 16 bits")]
mod opcode {
    use nix::libc;

    pub(super) const BPF_RET_K: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    pub(super) const BPF_LD_B_ABS: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    pub(super) const BPF_JMP_JEQ_K: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
}
