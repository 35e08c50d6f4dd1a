//! Who has UDP port 546.

use std::io::ErrorKind;
use std::net::{SocketAddrV6, UdpSocket};
use std::path::Path;

use dyn_prefix::source::SourceState;
use dyn_prefix::source::dhcpv6::Settings;
use dyn_prefix::source::dhcpv6::port::{Outcome, Request, acquire};
use dyn_prefix::source::dhcpv6::socket;

use super::holder::{Holder, PROFILES};
use super::lab::{Probe, Server, local, memory, on_host, settings};
use crate::Test;
use crate::support::{LAN, Pair, WAN};

pub(super) const TESTS: &[Test] = &[
    ("t140_no_client_shares_the_port_and_each_is_named", no_client_shares_the_port),
    ("t140_theirs_keep_every_answer", theirs_keep_every_answer),
    ("t140_a_running_client_is_seen_before_it_has_the_port", a_running_client_is_seen),
    ("t140_a_client_in_another_namespace_is_nobody", a_client_elsewhere_is_nobody),
    ("t140_the_driver_leaves_the_port_for_this_boot", the_driver_leaves_the_port),
    ("t140_with_take_over_a_held_port_is_tried_again", a_held_port_is_tried_again),
    ("t140_what_a_former_run_saw_counts", what_a_former_run_saw_counts),
];

fn request(pair: &Pair, take_over: bool) -> Request {
    Request { interface: WAN.to_owned(), local: local(&pair.host), priority: None, take_over, held: false }
}

fn no_client_shares_the_port() {
    let pair = Pair::joined();
    let attempt = |take_over| {
        let request = request(&pair, take_over);
        pair.host.inside(|| acquire(&request, Path::new("/")))
    };
    for profile in PROFILES {
        let holder = Holder::start(&pair.host, profile);
        let own = local(&pair.host);
        let error = pair.host.inside(|| socket::bind(own, None)).expect_err(profile);
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{profile}");
        let name = format!("(process {}", holder.pid());
        let Outcome::Taken(text) = attempt(false) else { panic!("{profile}: the port is taken") };
        assert!(text.contains(&name) && text.contains("holds UDP port 546 on wan"), "{profile}: {text}");
        let Outcome::Failed(text) = attempt(true) else { panic!("{profile}: the port is taken") };
        assert!(text.contains(&name) && text.contains("it is held by"), "{profile}: {text}");
        drop(holder);
        assert!(matches!(attempt(false), Outcome::Bound(_)), "{profile} is gone");
    }
}

fn theirs_keep_every_answer() {
    let pair = Pair::joined();
    let to = local(&pair.host);
    for profile in PROFILES {
        let mut holder = Holder::start(&pair.host, profile);
        let refused = pair.host.inside(|| acquire(&request(&pair, true), Path::new("/")));
        assert!(matches!(refused, Outcome::Failed(_)), "{profile}: {refused:?}");
        let router = pair.router.inside(|| {
            let ifindex = nix::net::if_::if_nametoindex(LAN).expect("the interface exists");
            (UdpSocket::bind("[::]:0").expect("a port"), ifindex)
        });
        for length in 1..=20 {
            let to = SocketAddrV6::new(to.address, 546, 0, router.1);
            router.0.send_to(&vec![0; length], to).expect("it is sent");
            assert_eq!(holder.line(), length.to_string(), "{profile}");
        }
    }
}

fn a_running_client_is_seen() {
    let pair = Pair::joined();
    let directory = tempfile::tempdir().expect("a directory");
    let client = Holder::pretend(&pair.host, &directory.path().join("odhcp6c"), &["-P", "0", WAN]);
    let outcome = pair.host.inside(|| acquire(&request(&pair, false), Path::new("/")));
    let Outcome::Taken(text) = outcome else { panic!("{outcome:?}") };
    let seen = format!("odhcp6c (process {}) runs as a DHCPv6 client on wan", client.pid());
    assert!(text.starts_with(&seen), "{text}");
    let outcome = pair.host.inside(|| acquire(&request(&pair, true), Path::new("/")));
    assert!(matches!(outcome, Outcome::Bound(_)), "{outcome:?}");
}

fn a_client_elsewhere_is_nobody() {
    let pair = Pair::joined();
    let directory = tempfile::tempdir().expect("a directory");
    let client = Holder::pretend(&pair.router, &directory.path().join("odhcp6c"), &["-P", "0", WAN]);
    let outcome = pair.host.inside(|| acquire(&request(&pair, false), Path::new("/")));
    assert!(matches!(outcome, Outcome::Bound(_)), "process {} is in another namespace: {outcome:?}", client.pid());
}

fn the_driver_leaves_the_port() {
    let pair = Pair::joined();
    let holder = Holder::start(&pair.host, "networkd");
    on_host(&pair.host, async || {
        let mut probe = Probe::start(settings(), memory(), None);
        let failed = probe.until("the owner is named", |report| matches!(report.state, SourceState::Failed(_))).await;
        let SourceState::Failed(text) = &failed.state else { panic!("{failed:?}") };
        assert!(text.contains(&format!("(process {}", holder.pid())), "{text}");
        assert_eq!(failed.other_client.as_ref(), Some(text));
        drop(holder);
        // The link goes down and comes back: the port is free, and stays so.
        pair.router.ip(&format!("link set {LAN} down"));
        pair.router.ip(&format!("link set {LAN} up"));
        let router = Server::start(&pair);
        probe.settings.send_modify(|settings| settings.take_over = true);
        let solicit = router.next().await;
        assert_eq!(solicit.source.port(), 546);
        let running = probe.until("takeOver overrules it", |report| report.state == SourceState::Soliciting).await;
        assert!(running.other_client.is_some(), "it is remembered");
    });
}

fn a_held_port_is_tried_again() {
    let pair = Pair::joined();
    let holder = Holder::start(&pair.host, "odhcp6c");
    on_host(&pair.host, async || {
        let mut probe = Probe::start(Settings { take_over: true, ..settings() }, memory(), None);
        let failed = probe.until("it fails", |report| matches!(report.state, SourceState::Failed(_))).await;
        assert!(failed.other_client.is_none() && failed.next_wake.is_some(), "{failed:?}");
        drop(holder);
        let server = Server::start(&pair);
        pair.router.ip(&format!("link set {LAN} down"));
        pair.router.ip(&format!("link set {LAN} up"));
        server.next().await;
    });
}

fn what_a_former_run_saw_counts() {
    let pair = Pair::joined();
    on_host(&pair.host, async || {
        let mut probe = Probe::start(settings(), memory(), Some("Somebody was here."));
        let failed = probe.until("it fails", |report| matches!(report.state, SourceState::Failed(_))).await;
        assert_eq!(failed.state, SourceState::Failed("Somebody was here.".to_owned()));
        let own = local(&pair.host);
        assert!(socket::bind(own, None).is_ok(), "the port was not taken");
    });
}
