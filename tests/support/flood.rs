//! A link full of packets that are none of a DHCPv6 client's business, some of which look like it.
//!
//! They go out by a packet socket, as frames. Nobody answers them: they are for addresses that nobody has.

use std::io::IoSlice;
use std::os::fd::AsRawFd;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, MsgFlags, MultiHeaders, bind, sendmmsg};
use socket2::{Domain, Socket, Type};

/// How many frames are handed to the kernel at once.
pub(crate) const BATCH: usize = 64;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
const ICMPV6: u8 = 58;
/// Of a card that nobody has.
const NOBODY: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
/// Of the group of all DHCPv6 servers (RFC 2464 §7, RFC 9915 §7.1).
const SERVERS: [u8; 6] = [0x33, 0x33, 0, 1, 0, 2];

/// Which way the frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the host where somebody watches.
    In,
    /// From there.
    Out,
}

/// Sends frames of every kind in turn.
pub(crate) struct Flood {
    socket: Socket,
    frames: Vec<Vec<u8>>,
    /// What a client or a server on the link would say.
    mark: Vec<u8>,
    next: usize,
}

impl Flood {
    /// One that sends by an interface of this thread's namespace, to the card with this address.
    pub(crate) fn new(interface: &str, to: [u8; 6], way: Way) -> Self {
        // Without a protocol nothing comes in; the address of an interface in the list of all of them has none.
        let socket = Socket::new_raw(Domain::PACKET, Type::RAW, None).expect("a packet socket");
        bind(socket.as_raw_fd(), &link(interface)).expect("it can be bound");
        Self { socket, frames: frames(to, way), mark: frame(to, IPV6, &ipv6(UDP, &udp(port(way)))), next: 0 }
    }

    /// How many kinds of frames there are.
    pub(crate) fn kinds(&self) -> usize {
        self.frames.len()
    }

    /// Sends a packet that is a DHCPv6 message by its ports.
    pub(crate) fn mark(&self) {
        let sent = self.socket.send(&self.mark).expect("it can be sent");
        assert_eq!(sent, self.mark.len());
    }

    /// Sends the next ones, [`BATCH`] of them at most; how many the kernel took.
    pub(crate) fn send(&mut self, count: usize) -> usize {
        let next = self.frames.iter().cycle().skip(self.next).take(count.min(BATCH));
        let slices: Vec<[IoSlice<'_>; 1]> = next.map(|frame| [IoSlice::new(frame)]).collect();
        let nowhere = vec![None::<LinkAddr>; slices.len()];
        let mut headers = MultiHeaders::preallocate(slices.len(), None);
        let sent = sendmmsg(self.socket.as_raw_fd(), &mut headers, &slices, nowhere, [], MsgFlags::empty());
        let sent = sent.map_or(0, Iterator::count);
        self.next = (self.next + sent) % self.frames.len();
        sent
    }
}

/// An interface of this thread's namespace as packet sockets know it.
fn link(interface: &str) -> LinkAddr {
    let own = getifaddrs().expect("the interfaces").find_map(|own| {
        let address = own.address.filter(|_| own.interface_name == interface)?;
        address.as_link_addr().copied()
    });
    own.expect("the interface exists")
}

/// The address of the card of an interface of this thread's namespace.
pub(crate) fn card(interface: &str) -> [u8; 6] {
    link(interface).addr().expect("Ethernet")
}

/// Where DHCPv6 messages go that go this way.
fn port(way: Way) -> u16 {
    match way {
        Way::In => 546,
        Way::Out => 547,
    }
}

/// One of each kind.
fn frames(to: [u8; 6], way: Way) -> Vec<Vec<u8>> {
    let (port, other) = (port(way), 546 + 547 - port(way));
    let first_of_several = [&[UDP, 0, 0, 1, 0, 0, 0, 9], udp(443).as_slice()].concat();
    let later = [&[UDP, 0, 1, 0, 0, 0, 0, 9], udp(port).as_slice()].concat();
    let listener_report = [&[ICMPV6, 0, 5, 2, 0, 0, 1, 0], udp(port).as_slice()].concat();
    let tagged = [&[0, 7], IPV6.to_be_bytes().as_slice(), &ipv6(UDP, &udp(port))].concat();
    let mut all = vec![
        frame(to, IPV6, &ipv6(TCP, &udp(port))),
        frame(to, IPV6, &ipv6(UDP, &udp(443))),
        frame(to, IPV6, &ipv6(UDP, &udp(other))),
        frame(to, IPV6, &ipv6(FRAGMENT, &first_of_several)),
        frame(to, IPV6, &ipv6(FRAGMENT, &later)),
        frame(to, IPV6, &ipv6(0, &listener_report)),
        frame(to, IPV4, &ipv4(UDP, &udp(port))),
        frame(to, IPV4, &ipv4(TCP, &udp(443))),
        frame(to, VLAN, &tagged),
    ];
    if way == Way::In {
        // What others are told, and what is told to all.
        all.push(frame(NOBODY, IPV6, &ipv6(UDP, &udp(port))));
        all.push(frame(SERVERS, IPV6, &ipv6(UDP, &udp(port))));
    }
    all
}

fn frame(to: [u8; 6], protocol: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = [to.as_slice(), &[2, 0, 0, 0, 0, 0x77], &protocol.to_be_bytes(), packet].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("it is short").to_be_bytes();
    let addresses = ["2001:db8:eeee::1", "2001:db8:ffff::1"].map(|text| text.parse::<std::net::Ipv6Addr>());
    let addresses = addresses.map(|address| address.expect("an address").octets()).concat();
    [[0x60, 0, 0, 0].as_slice(), &length, &[next_header, 64], &addresses, payload].concat()
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 20).expect("it is short").to_be_bytes();
    let mut header =
        [&[0x45, 0], length.as_slice(), &[0, 0, 0, 0, 64, protocol, 0, 0], &[192, 0, 2, 1], &[192, 0, 2, 9]].concat();
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded to 16 bits");
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [header, payload.to_vec()].concat()
}

/// To a port; it stands for TCP, too, whose ports are in the same place.
fn udp(port: u16) -> Vec<u8> {
    [&[0x30, 0x39], port.to_be_bytes().as_slice(), &[0, 8 + 32, 0, 0], &[0; 32]].concat()
}
