//! The address of a packet socket (packet(7)), which none of our crates can make without `unsafe`.

use std::io;

use nix::libc;
use socket2::{SockAddr, SockAddrStorage, Socket};

/// Binds a packet socket to an interface, for packets of every protocol: those that leave are shown to no others.
///
/// # Errors
/// What bind(2) gives.
pub(super) fn bind(socket: &Socket, ifindex: u32) -> io::Result<()> {
    socket.bind(&every_protocol_on(ifindex)?)
}

#[expect(unsafe_code, reason = "no crate makes a sockaddr_ll; the two calls only look at memory that is there")]
fn every_protocol_on(ifindex: u32) -> io::Result<SockAddr> {
    let out_of_range = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is one of the sockaddr types of Linux: plain integers, and smaller than the storage.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::sa_family_t::try_from(libc::AF_PACKET).map_err(out_of_range)?;
    address.sll_protocol = u16::try_from(libc::ETH_P_ALL).map_err(out_of_range)?.to_be();
    address.sll_ifindex = i32::try_from(ifindex).map_err(out_of_range)?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(out_of_range)?;
    // SAFETY: the storage holds a sockaddr_ll, whose family says so, and this is its length.
    Ok(unsafe { SockAddr::new(storage, length) })
}
