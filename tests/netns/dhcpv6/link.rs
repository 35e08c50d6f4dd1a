//! The interface under the socket, and what arrives there.

use std::net::{Ipv6Addr, SocketAddrV6};

use dyn_prefix::source::SourceState;
use dyn_prefix::source::dhcpv6::Settings;
use dyn_prefix::source::dhcpv6::socket::{Socket, bind};
use tokio::time::timeout;

use super::lab::{
    ADVERTISE, PREFIX, Probe, REPLY, SOLICIT, SOON, Server, local, memory, on_host, own_addresses, settings,
};
use crate::Test;
use crate::support::{LAN, Namespace, Pair, WAN};

pub(super) const TESTS: &[Test] = &[
    ("t148_nothing_is_sent_from_a_tentative_address", nothing_is_sent_from_a_tentative_address),
    ("t001_a_solicit_goes_to_all_servers_from_port_546", a_solicit_goes_to_all_servers),
    ("t053_t115_multicast_and_oversized_datagrams_are_left_out", unfit_datagrams_are_left_out),
    ("t054_an_answer_from_an_ephemeral_port_delegates", an_answer_from_an_ephemeral_port_delegates),
    ("so_priority_is_set_and_changed", so_priority_is_set_and_changed),
    ("t006_another_link_local_address_means_another_socket", another_link_local_address),
    ("t169_an_interface_that_comes_back_is_bound_anew", an_interface_that_comes_back),
];

fn nothing_is_sent_from_a_tentative_address() {
    let pair = Pair::apart();
    pair.host.sysctl("net/ipv6/conf/default/accept_dad", "1");
    pair.host.sysctl("net/ipv6/conf/default/dad_transmits", "2");
    pair.join();
    on_host(&pair.host, async || {
        let server = Server::start(&pair);
        let mut probe = Probe::start(settings(), memory(), None);
        probe.until("it waits", |report| report.state == SourceState::NoLinkLocal).await;
        let solicit = server.next().await;
        assert_eq!(solicit.kind, SOLICIT);
        let own = own_addresses();
        assert!(own.contains(&(*solicit.source.ip(), false)), "{solicit:?} from one of {own:?}");
    });
}

fn a_solicit_goes_to_all_servers() {
    let pair = Pair::joined();
    on_host(&pair.host, async || {
        let server = Server::start(&pair);
        let _probe = Probe::start(settings(), memory(), None);
        let solicit = server.next().await;
        assert_eq!(
            (solicit.kind, *solicit.source.ip(), solicit.source.port()),
            (SOLICIT, local(&pair.host).address, 546)
        );
        assert_eq!(solicit.option(1).map(<[u8]>::len), Some(18), "the DUID of the memory");
        assert!(solicit.option(2).is_none(), "no Server ID");
    });
}

/// The socket alone: the state machine would drop them, too.
fn unfit_datagrams_are_left_out() {
    let pair = Pair::joined();
    on_host(&pair.host, async || {
        let own = local(&pair.host);
        let mut socket = Socket::new(bind(own, None).expect("the port is free"), own).expect("a runtime");
        let server = Server::start(&pair);
        let to = |address: Ipv6Addr| SocketAddrV6::new(address, 546, 0, 0);
        server.send(to("ff02::1".parse().expect("an address")), b"multicast").await;
        server.send(to(own.address), &vec![0; 65_000]).await;
        server.send(to(own.address), b"fit").await;
        let mut seen = Vec::new();
        while seen.len() < 2 {
            timeout(SOON, socket.readable()).await.expect("datagrams arrive").expect("a runtime");
            while let Some(received) = socket.try_receive().expect("a socket") {
                assert_eq!((received.destination, received.ifindex), (own.address, own.ifindex));
                seen.push(received.bytes.to_vec());
            }
        }
        assert_eq!(seen, [b"".to_vec(), b"fit".to_vec()]);
    });
}

fn an_answer_from_an_ephemeral_port_delegates() {
    let pair = Pair::joined();
    on_host(&pair.host, async || {
        let server = Server::start(&pair);
        let mut probe = Probe::start(settings(), memory(), None);
        let ephemeral = Server::on_port(&pair, 0);
        loop {
            let message = server.next().await;
            let kind = if message.kind == SOLICIT { ADVERTISE } else { REPLY };
            ephemeral.send(message.source, &message.answer(kind)).await;
            if kind == REPLY {
                break;
            }
        }
        let bound = probe.until("it is delegated", |report| report.state == SourceState::Bound).await;
        let [offer] = bound.offers.as_slice() else { panic!("{bound:?}") };
        assert_eq!(offer.prefix, PREFIX.parse().expect("a prefix"));
        probe.stop().await;
        // Nothing is released at the end: the next message would be a Release.
        let late = timeout(std::time::Duration::ZERO, server.next()).await;
        assert!(late.is_err(), "{late:?}");
    });
}

fn so_priority_is_set_and_changed() {
    let pair = Pair::joined();
    on_host(&pair.host, async || {
        let own = local(&pair.host);
        let socket = bind(own, Some(6)).expect("the port is free");
        assert_eq!(socket.priority().expect("SO_PRIORITY"), 6);
        let copy = socket.try_clone().expect("a descriptor");
        let socket = Socket::new(socket, own).expect("a runtime");
        socket.set_priority(Some(3)).expect("SO_PRIORITY");
        assert_eq!(copy.priority().expect("SO_PRIORITY"), 3);
        socket.set_priority(None).expect("SO_PRIORITY");
        assert_eq!(copy.priority().expect("SO_PRIORITY"), 0);
    });
}

fn another_link_local_address() {
    let pair = Pair::joined();
    on_host(&pair.host, async || {
        let server = Server::start(&pair);
        let _probe = Probe::start(settings(), memory(), None);
        let first = local(&pair.host).address;
        assert_eq!(*server.next().await.source.ip(), first);
        pair.host.ip(&format!("addr add fe80::77/64 dev {WAN} nodad"));
        pair.host.ip(&format!("addr del {first}/64 dev {WAN}"));
        while *server.next().await.source.ip() != Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77) {}
    });
}

fn an_interface_that_comes_back() {
    let pair = Pair::joined();
    on_host(&pair.host, async || {
        let mut probe = Probe::start(Settings { priority: Some(5), ..settings() }, memory(), None);
        let server = Server::start(&pair);
        let first = server.next().await;
        let before = local(&pair.host).ifindex;
        pair.part();
        probe.until("it is gone", |report| report.state == SourceState::InterfaceAbsent).await;
        recreate(&pair.host, &pair);
        assert_ne!(local(&pair.host).ifindex, before, "the kernel gave the same index again");
        let server = Server::start_again(&pair, server);
        let second = server.next().await;
        assert_eq!(second.option(25).map(|ia| &ia[..4]), first.option(25).map(|ia| &ia[..4]), "the IAID");
        assert_eq!(second.option(1), first.option(1), "the DUID");
    });
}

fn recreate(host: &Namespace, pair: &Pair) {
    // Indexes are given out in ascending order; one more interface in between.
    host.ip("link add between type veth peer name beyond");
    pair.join();
    assert!(host.inside(|| nix::net::if_::if_nametoindex(WAN)).is_ok());
    assert!(pair.router.inside(|| nix::net::if_::if_nametoindex(LAN)).is_ok());
}
