//! The router: announces prefixes, answers solicitations late, and knows when its packets left, by the kernel's clock.

use std::io::IoSliceMut;
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use dyn_prefix::source::ra::packet::{Advertisement, PrefixInformation, ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION};
use ipnet::Ipv6Net;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::{Forged, Forger, LAN, Pair};

/// How late a solicitation is answered (RFC 4861 §6.2.6: up to half a second).
pub(crate) const ANSWER_DELAY: Duration = Duration::from_millis(250);
/// How long a packet may take to leave.
const SEND_LIMIT: Duration = Duration::from_secs(2);
const IPV6_HEADER: usize = 40;
const PREFERRED: u32 = 3600;
const VALID: u32 = 7200;

/// A router on the link of the host.
pub(crate) struct Router {
    forger: Arc<Forger>,
    /// Sees every packet that leaves the router's namespace.
    tap: Socket,
    announced: Arc<Mutex<Announced>>,
}

/// What the router announces.
#[derive(Clone, Copy, Default)]
struct Announced {
    /// The number of the prefix; the one before it is announced as deprecated.
    number: u16,
    /// Or as over.
    is_over: bool,
}

/// The prefix with this number; 0 is none.
pub(crate) fn prefix(number: u16) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 0), 64)
}

impl Announced {
    /// The deprecated prefix comes first: a host that takes the first one is wrong.
    fn message(self) -> Vec<u8> {
        let information = |number, preferred, valid| PrefixInformation {
            prefix: prefix(number),
            on_link: true,
            autonomous: true,
            pd_preferred: false,
            preferred,
            valid,
        };
        let left = if self.is_over { 0 } else { VALID };
        let former = (self.number > 1).then(|| information(self.number - 1, 0, left));
        let prefixes = former.into_iter().chain([information(self.number, PREFERRED, VALID)]).collect();
        let router = Ipv6Addr::UNSPECIFIED;
        Advertisement { router, router_lifetime: 1800, managed: false, other: false, prefixes, ignored: vec![] }
            .encode()
    }
}

impl Router {
    /// One in the router's namespace, silent until the first prefix; it answers solicitations as long as the process
    /// lives.
    pub(crate) fn new(pair: &Pair) -> Result<Self> {
        let forger = Arc::new(Forger::new(&pair.router, LAN));
        let announced = Arc::new(Mutex::new(Announced::default()));
        let tap = pair.router.inside(tap).context("cannot listen to what the router sends (CAP_NET_RAW?)")?;
        let solicitations = pair.router.inside(|| {
            let socket = Socket::new_raw(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
            socket.bind_device(Some(LAN.as_bytes()))?;
            std::io::Result::Ok(socket)
        })?;
        let (sender, shared) = (Arc::clone(&forger), Arc::clone(&announced));
        std::thread::Builder::new()
            .name("router".to_owned())
            .spawn(move || answer_solicitations(&solicitations, &sender, &shared))?;
        Ok(Self { forger, tap, announced })
    }

    /// From now on the next prefix is the right one. Nothing is sent: who asks is told.
    pub(crate) fn change(&self) -> Ipv6Net {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        *announced = Announced { number: announced.number + 1, is_over: false };
        prefix(announced.number)
    }

    /// Announces that the former prefix is over. Who doubts that and asks is told again.
    pub(crate) fn bury(&self) {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.advertise();
    }

    /// Sends an advertisement of the prefix as it is.
    pub(crate) fn advertise(&self) {
        let announced = *self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        self.forger.send(&Forged::proper(announced.message()));
    }

    /// Announces the next prefix; gives it with the time at which the packet left.
    pub(crate) fn rotate(&self) -> Result<(Ipv6Net, SystemTime)> {
        let prefix = self.change();
        self.advertise();
        loop {
            let mut packet = [0; 2048];
            let mut ancillary = nix::cmsg_space!(TimeSpec);
            let mut slices = [IoSliceMut::new(&mut packet)];
            let received = recvmsg::<()>(self.tap.as_raw_fd(), &mut slices, Some(&mut ancillary), MsgFlags::empty())
                .context("the advertisement did not leave the router's namespace")?;
            let stamp: Option<Duration> = received.cmsgs()?.find_map(|ancillary| {
                if let ControlMessageOwned::ScmTimestampns(stamp) = ancillary { Some(stamp.into()) } else { None }
            });
            let length = received.bytes;
            if !announces(&packet[..length], prefix) {
                continue;
            }
            let Some(stamp) = stamp else { bail!("the kernel gave no time stamp with a packet") };
            return Ok((prefix, SystemTime::UNIX_EPOCH + stamp));
        }
    }
}

/// Hears every packet of the namespace, those that leave included, each with the time at which the kernel had it.
fn tap() -> Result<Socket> {
    let every_protocol = i32::from(u16::try_from(nix::libc::ETH_P_ALL)?.to_be());
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(every_protocol)))?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    socket.set_read_timeout(Some(SEND_LIMIT))?;
    Ok(socket)
}

fn announces(packet: &[u8], prefix: Ipv6Net) -> bool {
    let message = packet.get(IPV6_HEADER..).unwrap_or_default();
    let address = prefix.addr().octets();
    message.first() == Some(&ROUTER_ADVERTISEMENT) && message.windows(address.len()).any(|bytes| bytes == address)
}

fn answer_solicitations(solicitations: &Socket, forger: &Forger, announced: &Mutex<Announced>) {
    loop {
        let mut message = [0; 1500];
        let mut slices = [IoSliceMut::new(&mut message)];
        let received = recvmsg::<()>(solicitations.as_raw_fd(), &mut slices, None, MsgFlags::empty());
        if received.is_err() {
            return;
        }
        if message[0] != ROUTER_SOLICITATION {
            continue;
        }
        std::thread::sleep(ANSWER_DELAY);
        let current = *announced.lock().unwrap_or_else(PoisonError::into_inner);
        if current.number > 0 {
            forger.send(&Forged::proper(current.message()));
        }
    }
}
