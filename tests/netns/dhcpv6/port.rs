//! Who has UDP port 546.

use std::io::ErrorKind;
use std::net::{SocketAddrV6, UdpSocket};
use std::path::Path;

use dyn_prefix::source::SourceState;
use dyn_prefix::source::dhcpv6::Settings;
use dyn_prefix::source::dhcpv6::port::{Outcome, Request, acquire};
use dyn_prefix::source::dhcpv6::socket;

use super::holder::{Cgroup, Holder, PROFILES};
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
    ("without_the_right_to_bind_the_capability_is_named", without_the_right_to_bind),
];

pub(super) const TESTS_WITH_CGROUPS: &[Test] =
    &[("t140_without_rights_the_owner_is_named_by_its_unit", the_owner_is_named_by_its_unit)];

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
        // The interface goes and comes back; the port is free, and stays so.
        pair.part();
        probe.until("the interface is gone", |report| report.state == SourceState::InterfaceAbsent).await;
        pair.join();
        probe.until("it fails again", |report| report.state == failed.state).await;
        let own = local(&pair.host);
        drop(socket::bind(own, None).expect("the port was not taken"));
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
        pair.host.ip(&format!("addr add 2001:db8::1/64 dev {WAN} nodad"));
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

/// What a thread without capabilities finds, as an unprivileged daemon would.
fn unprivileged<T>(work: impl FnOnce() -> T) -> T {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
    let own = capabilities(None).expect("capget");
    set_capabilities(None, CapabilitySets { effective: CapabilitySet::empty(), ..own }).expect("capset");
    let found = work();
    set_capabilities(None, own).expect("capset");
    found
}

fn the_owner_is_named_by_its_unit() {
    let pair = Pair::joined();
    let unit = format!("dp-networkd-{}.service", std::process::id());
    let cgroup = Cgroup::new(&unit).expect("a cgroup");
    let request = request(&pair, false);
    let attempt = || acquire(&request, Path::new("/"));
    let holder = Holder::start_in(&pair.host, "networkd", &cgroup);
    let Outcome::Taken(text) = pair.host.inside(attempt) else { panic!("the port is taken") };
    assert!(text.contains(&format!("(process {}, {unit})", holder.pid())), "{text}");
    let Outcome::Taken(text) = pair.host.inside(|| unprivileged(attempt)) else { panic!("the port is taken") };
    assert!(text.starts_with(&format!("{unit} holds UDP port 546 on wan")), "{text}");
}

fn without_the_right_to_bind() {
    let pair = Pair::joined();
    let request = request(&pair, false);
    let outcome = pair.host.inside(|| unprivileged(|| acquire(&request, Path::new("/"))));
    let Outcome::Failed(text) = outcome else { panic!("{outcome:?}") };
    assert!(text.contains("AmbientCapabilities=CAP_NET_BIND_SERVICE"), "{text}");
}
