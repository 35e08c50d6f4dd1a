//! The least that hears a router: for the floors.

use std::io::{IoSliceMut, Read as _};
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use dyn_prefix::source::ra::packet::ROUTER_ADVERTISEMENT;
use nix::sys::socket::{MsgFlags, recvmsg};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::WAN;

const LIMIT: Duration = Duration::from_secs(60);
const ADDRESS: usize = 16;

/// Hears what comes to the host's end of the link.
pub(crate) struct Ear(Socket);

impl Ear {
    /// In the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self> {
        let socket = Socket::new_raw(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        socket.bind_device(Some(WAN.as_bytes()))?;
        socket.set_read_timeout(Some(LIMIT))?;
        Ok(Self(socket))
    }

    /// The last prefix of the next advertisement: the router names the new one last.
    pub(crate) fn hear(&self) -> Result<Ipv6Addr> {
        loop {
            let mut message = [0; 1500];
            let mut slices = [IoSliceMut::new(&mut message)];
            let received = recvmsg::<()>(self.0.as_raw_fd(), &mut slices, None, MsgFlags::empty())
                .context("no advertisement came")?;
            let length = received.bytes;
            if message[0] == ROUTER_ADVERTISEMENT {
                let mut address = [0; ADDRESS];
                (&message[length - ADDRESS..length]).read_exact(&mut address)?;
                return Ok(address.into());
            }
        }
    }
}
