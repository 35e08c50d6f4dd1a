//! The driver, running in the host's namespace, and a server made of a plain socket in the router's.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use dyn_prefix::record::Recorder;
use dyn_prefix::source::dhcpv6::driver::Setup;
use dyn_prefix::source::dhcpv6::socket::Local;
use dyn_prefix::source::dhcpv6::{self, Delegation, Duid, DuidSetting, Memory, Settings};
use dyn_prefix::source::link::{self, Links};
use dyn_prefix::source::{Advertised, SourceReport};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::support::{LAN, Namespace, Pair, WAN};

/// How long to wait for what should happen soon; a busy machine may take its time.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// The prefix that [`Server`] delegates.
pub(super) const PREFIX: &str = "2001:db8:a::/56";

/// The link-local address of [`WAN`] in this thread's namespace, as soon as the kernel has made it and lets a socket be
/// bound to it: no longer tentative, even where nobody checks for duplicates.
pub(super) fn link_local() -> Ipv6Addr {
    let until = dyn_prefix::clock::now() + SOON;
    loop {
        let usable = |(address, tentative): &&(Ipv6Addr, bool)| address.is_unicast_link_local() && !tentative;
        if let Some((address, _)) = own_addresses().iter().find(usable) {
            return *address;
        }
        assert!(dyn_prefix::clock::now() < until, "{WAN} has no usable link-local address after {SOON:?}");
        std::thread::yield_now();
    }
}

/// The addresses of [`WAN`] in this thread's namespace, and whether each is tentative (IFA_F_TENTATIVE).
pub(super) fn own_addresses() -> Vec<(Ipv6Addr, bool)> {
    let text = std::fs::read_to_string("/proc/thread-self/net/if_inet6").expect("IPv6");
    let parse = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let address = u128::from_str_radix(fields[0], 16).expect("an address");
        let flags = u32::from_str_radix(fields[4], 16).expect("flags");
        (fields[5] == WAN).then_some((Ipv6Addr::from(address), flags & 0x40 != 0))
    };
    text.lines().filter_map(parse).collect()
}

/// What a socket on [`WAN`] of this namespace is bound to.
pub(super) fn local(namespace: &Namespace) -> Local {
    namespace.inside(|| Local {
        ifindex: nix::net::if_::if_nametoindex(WAN).expect("the interface exists"),
        address: link_local(),
    })
}

pub(super) fn settings() -> Settings {
    Settings {
        interface: WAN.to_owned(),
        duid: DuidSetting::Auto,
        rapid_commit: false,
        reconfigure: false,
        require_router_advertisement: false,
        request_address: false,
        raw_options: Vec::new(),
        priority: None,
        take_over: false,
        delegations: vec![Delegation {
            dynamic_prefix: "home".to_owned(),
            iaid: Some(0x0102_0304),
            requested_length: None,
            hint: None,
            unreachable_route: false,
        }],
    }
}

pub(super) fn memory() -> Memory {
    // A DUID-UUID (RFC 6355).
    Memory::new(Duid::new(&[&[0, 4][..], &[7; 16]].concat()).expect("a DUID"))
}

/// A driver and its reports.
pub(super) struct Probe {
    reports: mpsc::Receiver<SourceReport>,
    last: Option<SourceReport>,
    pub(super) settings: watch::Sender<Settings>,
    _others: (watch::Sender<Advertised>, mpsc::Sender<String>),
    cancel: CancellationToken,
    driver: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// Runs `test` inside the host's namespace.
pub(super) fn on_host(host: &Namespace, test: impl AsyncFnOnce() + Send) {
    host.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(test());
    });
}

impl Probe {
    /// Starts a driver in the namespace of this thread.
    pub(super) fn start(settings: Settings, memory: Memory, taken: Option<&str>) -> Self {
        let cancel = CancellationToken::new();
        let (links, watched): (_, watch::Receiver<Arc<Links>>) = link::channel();
        tokio::spawn(link::run(links, cancel.clone()));
        let (settings, current) = watch::channel(settings);
        let (advertised, heard) = watch::channel(Advertised::default());
        let (release, releases) = mpsc::channel(1);
        let (sender, reports) = mpsc::channel(1);
        let taken = taken.map(str::to_owned);
        let setup = Setup {
            settings: current,
            memory,
            taken,
            links: watched,
            advertised: heard,
            releases,
            reports: sender,
            tally: Default::default(),
            recorder: Recorder::default(),
        };
        let driver = tokio::spawn(dhcpv6::run(setup, cancel.clone()));
        Self { reports, last: None, settings, _others: (advertised, release), cancel, driver }
    }

    /// Waits until a report is as `wanted`. The latest report counts, even if it came before.
    pub(super) async fn until(&mut self, what: &str, wanted: impl Fn(&SourceReport) -> bool) -> SourceReport {
        let mut deadline = pin!(tokio::time::sleep(SOON));
        loop {
            if let Some(report) = self.last.as_ref().filter(|report| wanted(report)) {
                return report.clone();
            }
            tokio::select! {
                report = self.reports.recv() => self.last = Some(report.expect("the driver runs")),
                () = &mut deadline => panic!("{what}: not within {SOON:?}; the last report was {:#?}", self.last),
            }
        }
    }

    /// Stops the driver and waits for its end.
    pub(super) async fn stop(mut self) {
        self.cancel.cancel();
        (&mut self.driver).await.expect("no panic").expect("no error");
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// A DHCPv6 server's socket on [`LAN`], which answers when it is told to.
pub(super) struct Server {
    socket: tokio::net::UdpSocket,
    ifindex: u32,
}

/// A message of the client.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) source: SocketAddrV6,
    bytes: Vec<u8>,
}

impl Server {
    /// Has to be called inside a runtime, in any namespace.
    pub(super) fn start(pair: &Pair) -> Self {
        Self::on_port(pair, 547)
    }

    /// The same after [`LAN`] was made anew.
    pub(super) fn start_again(pair: &Pair, former: Self) -> Self {
        drop(former);
        Self::start(pair)
    }

    /// One that sends from another port; 0: any.
    pub(super) fn on_port(pair: &Pair, port: u16) -> Self {
        let (socket, ifindex) = pair.router.inside(|| {
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).expect("the port is free");
            let ifindex = nix::net::if_::if_nametoindex(LAN).expect("the interface exists");
            socket.join_multicast_v6(&"ff02::1:2".parse().expect("an address"), ifindex).expect("IPV6_JOIN_GROUP");
            socket.set_nonblocking(true).expect("O_NONBLOCK");
            (socket, ifindex)
        });
        Self { socket: tokio::net::UdpSocket::from_std(socket).expect("a runtime"), ifindex }
    }

    /// The next message of a client.
    pub(super) async fn next(&self) -> Message {
        let mut buffer = vec![0; 1500];
        let received = tokio::time::timeout(SOON, self.socket.recv_from(&mut buffer)).await;
        let (length, source) = received.expect("the client sends something").expect("a datagram");
        let SocketAddr::V6(source) = source else { panic!("{source}") };
        buffer.truncate(length);
        Message { kind: buffer[0], source, bytes: buffer }
    }

    /// Delegates [`PREFIX`] to whoever asks, until it holds it.
    pub(super) async fn serve(&self) {
        loop {
            let message = self.next().await;
            let done = message.kind != SOLICIT;
            self.send(message.source, &message.answer(if done { REPLY } else { ADVERTISE })).await;
            if done {
                return;
            }
        }
    }

    pub(super) async fn send(&self, to: SocketAddrV6, bytes: &[u8]) {
        let to = SocketAddrV6::new(*to.ip(), to.port(), 0, self.ifindex);
        self.socket.send_to(bytes, to).await.expect("it is sent");
    }
}

pub(super) const SOLICIT: u8 = 1;
pub(super) const ADVERTISE: u8 = 2;
pub(super) const REPLY: u8 = 7;

impl Message {
    /// The content of an option at the top level (RFC 9915 §21.1).
    pub(super) fn option(&self, code: u16) -> Option<&[u8]> {
        let mut rest = &self.bytes[4..];
        while let [a, b, c, d, tail @ ..] = rest {
            let (found, length) = (u16::from_be_bytes([*a, *b]), usize::from(u16::from_be_bytes([*c, *d])));
            if found == code {
                return Some(&tail[..length]);
            }
            rest = &tail[length..];
        }
        None
    }

    /// An answer with [`PREFIX`] in the IA_PD that was asked for, valid for ten minutes.
    pub(super) fn answer(&self, kind: u8) -> Vec<u8> {
        let option = |code: u16, data: &[u8]| {
            let length = u16::try_from(data.len()).expect("a short option");
            [&code.to_be_bytes()[..], &length.to_be_bytes(), data].concat()
        };
        let prefix: ipnet::Ipv6Net = PREFIX.parse().expect("a prefix");
        let lifetimes = [300_u32.to_be_bytes(), 600_u32.to_be_bytes()].concat();
        let leased = option(26, &[&lifetimes[..], &[prefix.prefix_len()], &prefix.network().octets()].concat());
        let iaid = &self.option(25).expect("an IA_PD")[..4];
        let timers = [150_u32.to_be_bytes(), 240_u32.to_be_bytes()].concat();
        let options = [
            option(1, self.option(1).expect("a Client ID")),
            option(2, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1]),
            option(25, &[iaid, &timers, &leased].concat()),
        ];
        [&[kind][..], &self.bytes[1..4], &options.concat()].concat()
    }
}
