//! The UDP socket of the client (RFC 9915 §7.2): bound to port 546 of one link-local address.
//!
//! It is bound without any reuse option. With one, binding succeeds beside another client, and all answers of the
//! servers then go to one of the two; without one, the kernel says EADDRINUSE beside every client there is.

use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::client::Received;
use crate::source::link::LinkState;

/// Where clients listen (RFC 9915 §7.2).
pub const CLIENT_PORT: u16 = 546;
/// Where servers listen.
pub const SERVER_PORT: u16 = 547;
/// All_DHCP_Relay_Agents_and_Servers (RFC 9915 §7.1).
pub const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// The longest datagram that is looked at; a longer one is nothing that a server on the link has to say.
const BUFFER: usize = 4096;
/// Servers and relay agents are on the link.
const HOP_LIMIT: u32 = 1;

/// What a socket is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// The index of the interface.
    pub ifindex: u32,
    /// A link-local address of it that is not tentative.
    pub address: Ipv6Addr,
}

impl Local {
    /// The address to bind to; `None` while there is none that could be sent from (RFC 4862 §5.4).
    pub fn of(link: &LinkState) -> Option<Self> {
        let usable = link.addresses.iter().find(|own| own.address.is_unicast_link_local() && !own.tentative)?;
        Some(Self { ifindex: link.ifindex, address: usable.address })
    }

    /// Whether the interface still has it, usable or not: it is tentative for a second after each link-up.
    pub fn is_on(&self, link: &LinkState) -> bool {
        link.ifindex == self.ifindex && link.has_address(self.address)
    }
}

/// Opens the socket and binds it.
///
/// # Errors
/// EADDRINUSE beside another client, EACCES without CAP_NET_BIND_SERVICE, EADDRNOTAVAIL when the address has just
/// vanished, EPERM for a `priority` above 6 without CAP_NET_RAW, and what else socket calls give.
pub fn bind(local: Local, priority: Option<u32>) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::IPV6, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    socket.set_multicast_hops_v6(HOP_LIMIT)?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_multicast_if_v6(local.ifindex)?;
    if let Some(priority) = priority {
        socket.set_priority(priority)?;
    }
    // Binding to a link-local address binds the socket to the interface, too.
    socket.bind(&SocketAddrV6::new(local.address, CLIENT_PORT, 0, local.ifindex).into())?;
    Ok(socket)
}

/// A bound socket.
#[derive(Debug)]
pub struct Socket {
    socket: AsyncFd<socket2::Socket>,
    local: Local,
    buffer: Vec<u8>,
}

impl Socket {
    /// Takes a socket that [`bind`] made. Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch another descriptor.
    pub fn new(socket: socket2::Socket, local: Local) -> io::Result<Self> {
        #[expect(deprecated, reason = "its successor is unsafe; a Socket keeps its descriptor open, as that one asks")]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self { socket, local, buffer: vec![0; BUFFER] })
    }

    /// What it is bound to.
    pub fn local(&self) -> Local {
        self.local
    }

    /// Changes the priority of what is sent from now on.
    ///
    /// # Errors
    /// EPERM for a priority above 6 without CAP_NET_RAW.
    pub fn set_priority(&self, priority: Option<u32>) -> io::Result<()> {
        self.socket.get_ref().set_priority(priority.unwrap_or_default())
    }

    /// Waits until there is something to read with [`Self::try_receive`]. Cancel safe.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await.map(drop)
    }

    /// The next datagram; `None` when there is none. Those of another interface and those to a multicast address are
    /// left out (RFC 9915 §16); one that is longer than the buffer comes without its octets.
    ///
    /// # Errors
    /// What recvmsg(2) gives.
    pub fn try_receive(&mut self) -> io::Result<Option<Received<'_>>> {
        loop {
            let read = self.socket.try_io(Interest::READABLE, |socket| receive(socket, &mut self.buffer));
            match read {
                Ok(datagram) => match datagram.acceptable(self.local.ifindex) {
                    Some((destination, length)) => {
                        let bytes = self.buffer.get(..length).unwrap_or_default();
                        return Ok(Some(Received { destination, ifindex: self.local.ifindex, bytes }));
                    }
                    None => tracing::debug!(?datagram, "Dropped a datagram that is not for the DHCPv6 client."),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a message to all servers and relay agents on the link.
    ///
    /// # Errors
    /// What sendto(2) gives: ENETDOWN, ENETUNREACH, ENOBUFS, EPERM of a firewall.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        let to = SocketAddrV6::new(ALL_SERVERS, SERVER_PORT, 0, self.local.ifindex);
        self.socket.get_ref().send_to(message, &to.into()).map(drop)
    }
}

/// What the kernel says about a datagram.
#[derive(Clone, Copy, Debug)]
struct Datagram {
    length: usize,
    truncated: bool,
    to: Option<(Ipv6Addr, u32)>,
}

impl Datagram {
    /// Its destination and how much of it to look at, if it came by this interface and for this host alone.
    fn acceptable(&self, ifindex: u32) -> Option<(Ipv6Addr, usize)> {
        let (destination, arrived) = self.to?;
        let accepted = arrived == ifindex && !destination.is_multicast();
        accepted.then_some((destination, if self.truncated { 0 } else { self.length }))
    }
}

fn receive(socket: &socket2::Socket, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut ancillary = nix::cmsg_space!(libc::in6_pktinfo);
    let mut slices = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut slices, Some(&mut ancillary), MsgFlags::MSG_DONTWAIT)?;
    let to = message.cmsgs()?.find_map(|ancillary| {
        if let ControlMessageOwned::Ipv6PacketInfo(info) = ancillary {
            Some((Ipv6Addr::from(info.ipi6_addr.s6_addr), info.ipi6_ifindex))
        } else {
            None
        }
    });
    Ok(Datagram { length: message.bytes, truncated: message.flags.contains(MsgFlags::MSG_TRUNC), to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::link::LinkAddress;

    const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

    fn link(addresses: &[(Ipv6Addr, bool)]) -> LinkState {
        let addresses =
            addresses.iter().map(|(address, tentative)| LinkAddress { address: *address, tentative: *tentative });
        LinkState { ifindex: 7, up: true, mac: None, addresses: addresses.collect() }
    }

    #[test]
    fn t148_only_a_link_local_address_that_is_not_tentative_is_bound_to() {
        let global = "2001:db8::2".parse().unwrap();
        assert_eq!(Local::of(&link(&[])), None);
        assert_eq!(Local::of(&link(&[(global, false), (LINK_LOCAL, true)])), None);
        let local = Local { ifindex: 7, address: LINK_LOCAL };
        assert_eq!(Local::of(&link(&[(global, false), (LINK_LOCAL, false)])), Some(local));
        assert!(local.is_on(&link(&[(LINK_LOCAL, true)])), "it comes back after a link-up");
        assert!(!local.is_on(&link(&[(global, false)])));
        assert!(!local.is_on(&LinkState { ifindex: 8, ..link(&[(LINK_LOCAL, false)]) }));
    }

    #[test]
    fn t053_only_what_is_for_this_interface_and_host_alone_is_accepted() {
        let datagram = |to| Datagram { length: 100, truncated: false, to };
        assert_eq!(datagram(Some((LINK_LOCAL, 7))).acceptable(7), Some((LINK_LOCAL, 100)));
        assert_eq!(datagram(Some((LINK_LOCAL, 8))).acceptable(7), None);
        assert_eq!(datagram(Some((ALL_SERVERS, 7))).acceptable(7), None);
        assert_eq!(datagram(None).acceptable(7), None);
    }

    #[test]
    fn t115_a_datagram_longer_than_the_buffer_loses_its_octets() {
        let datagram = Datagram { length: BUFFER, truncated: true, to: Some((LINK_LOCAL, 7)) };
        assert_eq!(datagram.acceptable(7), Some((LINK_LOCAL, 0)));
    }
}
