//! The packet socket (packet(7)) that gets a copy of what the other client and its servers say.
//!
//! It sees packets from their IPv6 header on, so that Ethernet and PPP look alike, and only those that the kernel's
//! filter lets through: the rest of the traffic costs neither a wake-up nor a copy.

use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, getsockname, recvmsg, setsockopt, sockopt};
use socket2::{Domain, SockFilter, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::address;
use super::packet::{CLIENT_PORT, Captured, SERVER_PORT};

/// Packets, and that the interface is gone, of which nothing but an error tells.
const NEWS: Interest = Interest::READABLE.add(Interest::ERROR);

/// Longer than any message that is read (4096 octets) with its headers.
const BUFFER: usize = 8 * 1024;

/// `sll_pkttype` of linux/if_packet.h: to this host.
const TO_HOST: u8 = 0;
/// From this host.
const OUTGOING: u8 = 4;

/// `tp_status` of linux/if_packet.h: the packet comes from this machine, and nobody has computed its checksum yet.
const CHECKSUM_NOT_READY: u32 = 1 << 3;
/// The kernel has verified the checksum.
const CHECKSUM_VALID: u32 = 1 << 7;

// PACKET_AUXDATA (linux/if_packet.h): what the kernel knows of a packet beside its octets.
nix::setsockopt_impl!(AuxiliaryData, libc::SOL_PACKET, libc::PACKET_AUXDATA, bool, sockopt::SetBool);

/// `PACKET_AUXDATA`, which neither socket2 nor nix names.
#[derive(Clone, Copy, Debug)]
struct AuxiliaryData;

/// A socket on one interface.
#[derive(Debug)]
pub(super) struct Socket {
    socket: AsyncFd<socket2::Socket>,
    ifindex: u32,
    buffer: Vec<u8>,
}

/// Where a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From this host to servers.
    Sent,
    /// To this host.
    Received,
}

impl Socket {
    /// Opens a socket on the interface with this index. Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW, EAFNOSUPPORT where the family is not allowed, ENODEV when the interface has just
    /// vanished, and what else socket calls give.
    pub(super) fn open(ifindex: u32) -> io::Result<Self> {
        // Without a protocol nothing comes in before it is bound, and the filter is there.
        let socket = socket2::Socket::new_raw(Domain::PACKET, Type::DGRAM.nonblocking().cloexec(), None)?;
        socket.attach_filter(&dhcpv6_only())?;
        setsockopt(&socket, AuxiliaryData, &true)?;
        address::bind(&socket, ifindex)?;
        #[expect(deprecated, reason = "its successor is unsafe; a Socket keeps its descriptor open, as that one asks")]
        let socket = AsyncFd::with_interest(socket, NEWS)?;
        Ok(Self { socket, ifindex, buffer: vec![0; BUFFER] })
    }

    /// The index of the interface it is bound to.
    pub(super) fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// tokio wants to be asked for each of [`NEWS`] by itself.
    fn read(&mut self) -> io::Result<Packet> {
        let Self { socket, buffer, .. } = self;
        match socket.try_io(Interest::READABLE, |socket| receive(socket, buffer)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                socket.try_io(Interest::ERROR, |socket| receive(socket, buffer))
            }
            read => read,
        }
    }

    /// Whether the kernel still has it on the interface.
    pub(super) fn is_bound(&self) -> bool {
        let bound = getsockname::<LinkAddr>(self.socket.get_ref().as_raw_fd()).map(|address| address.ifindex());
        bound.ok().and_then(|ifindex| u32::try_from(ifindex).ok()) == Some(self.ifindex)
    }

    /// Waits until there is something to read with [`Socket::try_receive`]. Cancel safe.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.ready(NEWS).await.map(drop)
    }

    /// The next packet; `None` when there is none.
    ///
    /// # Errors
    /// What recvmsg(2) gives.
    pub(super) fn try_receive(&mut self) -> io::Result<Option<(Direction, Captured<'_>)>> {
        loop {
            let read = self.read();
            match read {
                Ok(Packet { direction: Some(direction), length, checksum_known }) => {
                    let bytes = self.buffer.get(..length).unwrap_or_default();
                    return Ok(Some((direction, Captured { bytes, checksum_known })));
                }
                Ok(_of_others) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Said once when the interface goes down; the socket is there when it comes up again. When it vanishes, the
                // kernel says the same and takes the socket off it for good, also if it comes back under its index.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {
                    if !self.is_bound() {
                        return Err(io::Error::from_raw_os_error(libc::ENODEV));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    direction: Option<Direction>,
    length: usize,
    checksum_known: bool,
}

fn receive(socket: &socket2::Socket, buffer: &mut [u8]) -> io::Result<Packet> {
    let mut ancillary = nix::cmsg_space!([u32; 5]);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut slices, Some(&mut ancillary), MsgFlags::MSG_DONTWAIT)?;
    let direction = match message.address.map(|address| address.pkttype()) {
        Some(OUTGOING) => Some(Direction::Sent),
        Some(TO_HOST) => Some(Direction::Received),
        Some(_) | None => None,
    };
    // What is cut off is missed when the packet is read.
    Ok(Packet {
        direction,
        length: message.bytes,
        checksum_known: message.cmsgs()?.any(|told| is_checksum_known(&told)),
    })
}

fn is_checksum_known(message: &ControlMessageOwned) -> bool {
    let ControlMessageOwned::Unknown(unknown) = message else { return false };
    let is_it =
        unknown.cmsg_header.cmsg_level == libc::SOL_PACKET && unknown.cmsg_header.cmsg_type == libc::PACKET_AUXDATA;
    // struct tpacket_auxdata begins with tp_status.
    let status = unknown.data_bytes.first_chunk().map(|octets| u32::from_ne_bytes(*octets));
    is_it && status.is_some_and(|status| status & (CHECKSUM_NOT_READY | CHECKSUM_VALID) != 0)
}

/// What a program may ask of a packet beside its octets (linux/filter.h).
mod ancillary {
    const OFFSET: u32 = 0xffff_f000;
    pub(super) const PROTOCOL: u32 = OFFSET;
    pub(super) const PACKET_TYPE: u32 = OFFSET + 4;
    pub(super) const VLAN_TAG: u32 = OFFSET + 44;
}

#[expect(clippy::cast_possible_truncation, reason = "the opcodes of linux/bpf_common.h fit 16 bits")]
mod opcode {
    use nix::libc::{
        BPF_ABS, BPF_ADD, BPF_ALU, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JA, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD,
        BPF_LDX, BPF_LSH, BPF_MEM, BPF_MISC, BPF_RET, BPF_ST, BPF_TAX, BPF_W, BPF_X,
    };

    pub(super) const LOAD_OCTET: u16 = (BPF_LD | BPF_B | BPF_ABS) as u16;
    pub(super) const LOAD_HALF: u16 = (BPF_LD | BPF_H | BPF_ABS) as u16;
    pub(super) const LOAD_WORD: u16 = (BPF_LD | BPF_W | BPF_ABS) as u16;
    pub(super) const LOAD_HALF_AT_X: u16 = (BPF_LD | BPF_H | BPF_IND) as u16;
    pub(super) const SET: u16 = (BPF_LD | BPF_W | BPF_IMM) as u16;
    pub(super) const SET_X: u16 = (BPF_LDX | BPF_W | BPF_IMM) as u16;
    pub(super) const STORE: u16 = BPF_ST as u16;
    pub(super) const FETCH_X: u16 = (BPF_LDX | BPF_W | BPF_MEM) as u16;
    pub(super) const TO_X: u16 = (BPF_MISC | BPF_TAX) as u16;
    pub(super) const ADD: u16 = (BPF_ALU | BPF_ADD | BPF_K) as u16;
    pub(super) const SHIFT: u16 = (BPF_ALU | BPF_LSH | BPF_K) as u16;
    pub(super) const IF_EQUAL: u16 = (BPF_JMP | BPF_JEQ | BPF_K) as u16;
    pub(super) const IF_EQUAL_X: u16 = (BPF_JMP | BPF_JEQ | BPF_X) as u16;
    pub(super) const IF_ANY_BIT: u16 = (BPF_JMP | BPF_JSET | BPF_K) as u16;
    pub(super) const GO: u16 = (BPF_JMP | BPF_JA) as u16;
    pub(super) const RETURN: u16 = (BPF_RET | BPF_K) as u16;
}

/// How many instructions the filter has; the last one drops the packet.
const PROGRAM: usize = 37;

/// Passes DHCPv6 of this host, from its client to servers and from servers to its client, that is not tagged for another
/// VLAN. Of a message in fragments the first one passes, so that it is known to have been missed. One extension header
/// may stand before UDP: nobody sends more.
fn dhcpv6_only() -> [SockFilter; PROGRAM] {
    program().map(|(code, to_if, to_else, k)| SockFilter::new(code, to_if, to_else, k))
}

/// Code, how many to skip if it holds and if not, operand.
type Instruction = (u16, u8, u8, u32);

fn program() -> [Instruction; PROGRAM] {
    use opcode::{
        ADD, FETCH_X, GO, IF_ANY_BIT, IF_EQUAL, IF_EQUAL_X, LOAD_HALF, LOAD_HALF_AT_X, LOAD_OCTET, LOAD_WORD, RETURN,
        SET, SET_X, SHIFT, STORE, TO_X,
    };
    const DROP: usize = PROGRAM - 1;
    // From the instruction `at`, if not equal, to the end.
    let expect = |at: usize, code, k| (code, 0, u8::try_from(DROP - at - 1).unwrap_or_default(), k);
    let step = |code, k| (code, 0, 0, k);
    let jump = |code, k, to_if, to_else| (code, to_if, to_else, k);
    [
        step(LOAD_WORD, ancillary::PACKET_TYPE),
        jump(IF_EQUAL, u32::from(OUTGOING), 1, 0),
        jump(IF_EQUAL, u32::from(TO_HOST), 2, 33),
        step(SET, u32::from(SERVER_PORT)),
        step(GO, 1),
        step(SET, u32::from(CLIENT_PORT)),
        // 6: what the port has to be
        step(STORE, 0),
        // A tag for VLAN 0 tells a priority only (IEEE 802.1Q §9.6): some providers send Replies so.
        step(LOAD_WORD, ancillary::VLAN_TAG),
        jump(IF_ANY_BIT, 0x0fff, 27, 0),
        step(LOAD_HALF, ancillary::PROTOCOL),
        expect(10, IF_EQUAL, 0x86dd),
        // 11: the next header of the IPv6 header
        step(LOAD_OCTET, 6),
        jump(IF_EQUAL, 17, 18, 0),
        jump(IF_EQUAL, 44, 10, 0),
        jump(IF_EQUAL, 0, 2, 0),
        jump(IF_EQUAL, 43, 1, 0),
        expect(16, IF_EQUAL, 60),
        // 17: an extension header; UDP is behind it
        step(LOAD_OCTET, 40),
        expect(18, IF_EQUAL, 17),
        step(LOAD_OCTET, 41),
        step(ADD, 1),
        step(SHIFT, 3),
        step(ADD, 40),
        step(GO, 5),
        // 24: a fragment, the first one
        step(LOAD_OCTET, 40),
        expect(25, IF_EQUAL, 17),
        step(LOAD_HALF, 42),
        jump(IF_ANY_BIT, 0xfff8, 8, 0),
        step(SET, 48),
        // 29: where UDP begins
        step(TO_X, 0),
        step(GO, 1),
        // 31: no header in between
        step(SET_X, 40),
        // 32: the destination port
        step(LOAD_HALF_AT_X, 2),
        step(FETCH_X, 0),
        jump(IF_EQUAL_X, 0, 0, 1),
        step(RETURN, u32::MAX),
        step(RETURN, 0),
    ]
}

#[cfg(test)]
mod tests;
