//! What concerns the sources beside DHCPv6 and Router Advertisements.

use super::reading::{daemon, step};
use super::{provoked, uses};
use crate::config::{Acquisition, Chosen, Config, DynamicPrefix, Observe, Transition};
use crate::daemon::choice::Step;
use crate::doctor::addresses;
use crate::doctor::capability::{self, NET_RAW, Whose};
use crate::doctor::choice::{self, Choice};
use crate::doctor::interface::{self, Uses};
use crate::doctor::lease;
use crate::doctor::reading::{self, Account, File};
use crate::doctor::service;
use crate::doctor::{Check, Finding, Level};
use crate::prefix::PrefixFilter;
use crate::source::SourceKind;
use crate::source::interface::Interest;
use crate::source::interface::addresses::{Address, Detection};
use crate::source::observe::Program;
use crate::status::SourceStatus;
use crate::time::Deadline;

pub(super) const TESTS: &[fn()] = &[
    which_address_gives_a_prefix,
    addresses_that_give_none,
    who_only_reads_addresses_sends_nothing,
    what_a_service_answers,
    what_auto_comes_to,
    packet_sockets_take_a_drop_in,
    leases_that_root_alone_may_read,
];

fn address(text: &str) -> Address {
    let net: ipnet::Ipv6Net = text.parse().unwrap();
    Address {
        address: net.addr(),
        prefix_len: net.prefix_len(),
        preferred_until: Deadline::Never,
        valid_until: Deadline::Never,
        deprecated: false,
        temporary: false,
        detection: Detection::Passed,
    }
}

fn of_addresses(delegated_length: Option<u8>, addresses: Vec<Address>) -> Vec<Finding> {
    let interest = Interest { name: "home".to_owned(), filter: PrefixFilter::default(), delegated_length };
    let facts =
        addresses::Facts { interface: "br-lan".to_owned(), interests: vec![interest], addresses: Ok(addresses) };
    addresses::check(&facts)
}

#[test]
fn which_address_gives_a_prefix() {
    let found = of_addresses(Some(60), vec![address("fe80::1/64"), address("2001:db8:0:21::1/64")]);
    let text = "br-lan has the address 2001:db8:0:21::1/64, of which the prefix of home is 2001:db8:0:20::/60.";
    provoked(&found, Check::Address, Level::Ok, text);
    let found = of_addresses(None, vec![address("2001:db8:0:21::1/64")]);
    provoked(&found, Check::Address, Level::Ok, "the prefix of home is 2001:db8:0:21::/64.");
    // What a DHCPv6 server gives is a single address, of a delegation whose length is written.
    let found = of_addresses(Some(56), vec![address("2001:db8:0:21::5/128")]);
    provoked(&found, Check::Address, Level::Ok, "the prefix of home is 2001:db8::/56.");
}

#[test]
fn addresses_that_give_none() {
    let found = of_addresses(Some(60), Vec::new());
    provoked(&found, Check::Address, Level::Error, "br-lan has no IPv6 address, so that there is no prefix for home.");
    let given = vec![
        address("fe80::1/64"),
        address("fd00:1::1/64"),
        Address { deprecated: true, ..address("2001:db8:1::1/64") },
        Address { detection: Detection::Running, ..address("2001:db8:2::1/64") },
        Address { detection: Detection::Failed, ..address("2001:db8:3::1/64") },
    ];
    let text = provoked(&of_addresses(Some(60), given), Check::Address, Level::Error, "could be taken from");
    for part in [
        "fe80::1/64 (link-local)",
        "fd00:1::1/64 (it is not global unicast (2000::/3)",
        "2001:db8:1::1/64 (deprecated)",
        "2001:db8:2::1/64 (tentative)",
        "2001:db8:3::1/64 (another host has it, too)",
        "(acquisition.interface)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let found = of_addresses(None, vec![address("2001:db8::5/128")]);
    provoked(&found, Check::Address, Level::Error, "without delegatedPrefixLength nobody knows the prefix");
    let unread = addresses::Facts {
        interface: "br-lan".to_owned(),
        interests: Vec::new(),
        addresses: Err("no netlink".to_owned()),
    };
    let found = addresses::check(&unread);
    provoked(&found, Check::Address, Level::Unseen, "`ip -6 address show dev br-lan`");
    provoked(&found, Check::Address, Level::Unseen, "could not be read: no netlink.");
}

#[test]
fn who_only_reads_addresses_sends_nothing() {
    let facts = interface::Facts {
        name: "ppp0".to_owned(),
        uses: Uses { addresses: true, ..Uses::default() },
        link: Some(super::link(true, &[("2001:db8::1", false)])),
        ..interface::Facts::default()
    };
    let found = interface::check(&facts);
    provoked(&found, Check::Interface, Level::Ok, "is there and up");
    assert_eq!(found.len(), 1, "no link-local address is needed: {found:?}");
    let also = interface::Facts { uses: Uses { addresses: true, ..uses(true, false) }, ..facts };
    provoked(&interface::check(&also), Check::LinkLocal, Level::Error, "has no link-local address");
}

#[test]
fn what_a_service_answers() {
    let url = "https://ip.example/?…".to_owned();
    let wanted = vec![("home".to_owned(), 56, PrefixFilter::default())];
    let of = |answer| service::check(&service::Facts { url: url.clone(), wanted: wanted.clone(), answer });
    let found = of(Ok("2001:db8:0:1234::5".parse().unwrap()));
    let text = "https://ip.example/?… sees this host as 2001:db8:0:1234::5, of which the prefix of home is 2001:db8:0:1200::/56.";
    provoked(&found, Check::AddressService, Level::Ok, text);
    let found = of(Ok("fd00::5".parse().unwrap()));
    let text = provoked(&found, Check::AddressService, Level::Error, "fd00::/56 would be the prefix of home");
    assert!(text.contains("prefixFilter.requireGlobalUnicast = false allows it"), "{text}");
    let found = of(Err("the server answered 503 Service Unavailable".to_owned()));
    let text = "Asking https://ip.example/?… for the address of this host failed: the server answered 503 Service Unavailable.";
    let text = provoked(&found, Check::AddressService, Level::Error, text);
    assert!(text.contains("`curl -6`"), "{text}");
}

fn chosen(kind: SourceKind) -> Chosen {
    Chosen { kind, interface: "wan".to_owned(), reason: "dhcpcd runs on wan.".to_owned() }
}

#[test]
fn what_auto_comes_to() {
    let of = |choice| {
        let facts = choice::Facts { name: "home".to_owned(), choice };
        (vec![choice::check(&facts)], facts.expected())
    };
    let (found, expected) = of(Choice::ByDaemon(chosen(SourceKind::Observed)));
    let text = "The daemon has chosen observed on wan for home (acquisition.auto): dhcpcd runs on wan.";
    provoked(&found, Check::Choice, Level::Ok, text);
    assert_eq!(expected, Some(chosen(SourceKind::Observed)));
    let (found, expected) = of(Choice::Now(Step::Take(chosen(SourceKind::Dhcpv6Pd))));
    let text = "The daemon would choose dhcpv6-pd on wan for home now (acquisition.auto): dhcpcd runs on wan.";
    provoked(&found, Check::Choice, Level::Note, text);
    assert_eq!(expected, Some(chosen(SourceKind::Dhcpv6Pd)));
    let (found, expected) = of(Choice::Now(Step::Ask("wan".to_owned())));
    provoked(&found, Check::Choice, Level::Note, "depends on whether a DHCPv6 server on wan has a prefix to delegate");
    let expected = expected.unwrap();
    assert_eq!((expected.kind, expected.interface.as_str()), (SourceKind::Dhcpv6Pd, "wan"));
    let (found, expected) = of(Choice::Now(Step::Wait("there is no interface wan yet".to_owned())));
    let text = "Nothing can be chosen for home (acquisition.auto): there is no interface wan yet.";
    provoked(&found, Check::Choice, Level::Warning, text);
    assert_eq!(expected, None);
    let (found, expected) = of(Choice::Unseen("it takes the capability CAP_NET_RAW".to_owned()));
    provoked(&found, Check::Choice, Level::Unseen, "could not be seen: it takes the capability CAP_NET_RAW.");
    assert_eq!(expected, None);
}

/// As `daemon::choice` writes it, whose own test has the same sentence.
#[test]
fn what_the_daemon_has_chosen_stands_in_a_note() {
    let mut status = super::host::status("1.0.0", &[]);
    status.sources.push(SourceStatus {
        kind: "observed".to_owned(),
        interface: Some("wan".to_owned()),
        url: None,
        state: "bound".to_owned(),
        reason: None,
        lease: None,
        next_wake: None,
        notes: vec!["Chosen for home (acquisition.auto): dhcpcd runs on wan.".to_owned()],
    });
    assert_eq!(choice::of_status("home", &status), Some(chosen(SourceKind::Observed)));
    assert_eq!(choice::of_status("hom", &status), None);
}

#[test]
fn packet_sockets_take_a_drop_in() {
    let observe = Some(Observe { interface: "wan".to_owned() });
    let prefix = DynamicPrefix {
        name: "home".to_owned(),
        acquisition: Acquisition { observe, ..Acquisition::default() },
        address_ranges: Vec::new(),
        subnets: Vec::new(),
        transition: Transition::default(),
    };
    let config = Config { dynamic_prefixes: vec![prefix], ..Config::default() };
    let of = |effective, families: Option<&str>| {
        let families = families.map(str::to_owned);
        capability::check(&config, &capability::Facts { whose: Whose::Unit, effective: Some(effective), families })
    };
    // As the unit is shipped, and with the drop-in.
    let shipped = "AF_INET AF_INET6 AF_NETLINK AF_UNIX";
    let found = of(1 << NET_RAW, Some(shipped));
    let text = provoked(&found, Check::PacketSocket, Level::Error, "keeps packet sockets (AF_PACKET) from the daemon");
    assert!(text.contains("`RestrictAddressFamilies=AF_PACKET`"), "{text}");
    provoked(&found, Check::Capability, Level::Ok, "for watching another DHCPv6 client");
    let found = of(0, Some(&format!("{shipped} AF_PACKET")));
    provoked(&found, Check::PacketSocket, Level::Ok, "lets the daemon open packet sockets");
    provoked(&found, Check::Capability, Level::Error, "CAP_NET_RAW, without which there is no watching another");
    for (families, level) in [("", Level::Ok), ("~", Level::Ok), ("~AF_PACKET", Level::Error), ("none", Level::Error)] {
        provoked(&of(1 << NET_RAW, Some(families)), Check::PacketSocket, level, "packet sockets");
    }
    assert_eq!(of(1 << NET_RAW, None).len(), 1, "a daemon without a unit is kept from nothing by one");
}

/// As dhcpcd of Debian 12 makes it: 0640 and root:root, in a directory that all may look into.
#[test]
fn leases_that_root_alone_may_read() {
    let file = |path: &str, mode, listed| {
        let last = reading::Step { has_list: listed, ..step(path, 0, 0, mode) };
        let steps = vec![step("/", 0, 0, 0o755), step("/var/lib/dhcpcd", 0, 0, 0o755), last];
        File { path: path.into(), steps, ..File::default() }
    };
    let of = |account: Option<Account>, program: Program, file| {
        let client = Some(format!("{} (process 12)", program.name()));
        lease::check(&lease::Facts { interface: "wan".to_owned(), account, client, files: vec![(program, file)] })
    };
    let path = "/var/lib/dhcpcd/wan.lease6";
    let found = of(Some(daemon()), Program::Dhcpcd, file(path, 0o640, false));
    let text =
        provoked(&found, Check::LeaseFile, Level::Note, "belongs to root:root and has the mode 0640. Until dhcpcd");
    assert!(
        text.starts_with(&format!("The daemon, which runs as the user dyn-prefix, cannot read {path}: it ")),
        "{text}"
    );
    assert!(
        text.contains("copy examples/hooks/dhcpcd (below") && text.contains("/etc/dhcpcd.exit-hook, or append it"),
        "{text}"
    );
    assert!(!text.contains("chmod"), "dhcpcd writes it anew: {text}");
    assert!(!text.contains("SupplementaryGroups"), "the group root may read what nobody else should: {text}");
    let mut of_alice = file(path, 0o640, false);
    of_alice.steps.last_mut().expect("it has steps").group = (1000, "alice".to_owned());
    let found = of(Some(daemon()), Program::Dhcpcd, of_alice);
    let text = provoked(&found, Check::LeaseFile, Level::Note, "belongs to root:alice");
    assert!(text.contains("`SupplementaryGroups=alice`"), "{text}");
    let leases = "/var/lib/dhcp/dhclient6.wan.leases";
    let found = of(Some(daemon()), Program::Dhclient, file(leases, 0o600, false));
    let text = provoked(&found, Check::LeaseFile, Level::Note, "Until dhclient next speaks");
    assert!(text.contains("/etc/dhcp/dhclient-exit-hooks.d/dyn-prefix, or append it"), "{text}");
    assert!(!text.contains("Or run"), "no group may read it: {text}");
    let found = of(Some(daemon()), Program::Dhclient, file(leases, 0o644, false));
    provoked(
        &found,
        Check::LeaseFile,
        Level::Ok,
        &format!("The user dyn-prefix can read {leases}, the leases of dhclient."),
    );
    let found = of(Some(daemon()), Program::Dhcpcd, file(path, 0o640, true));
    provoked(&found, Check::LeaseFile, Level::Unseen, "has an access control list");
    let left_behind = |client: Option<&str>| {
        let (client, files) = (client.map(str::to_owned), vec![(Program::Dhcpcd, file(path, 0o640, false))]);
        lease::check(&lease::Facts { interface: "wan".to_owned(), account: Some(daemon()), client, files })
    };
    assert_eq!(left_behind(Some("dhclient (process 12) runs as a DHCPv6 client on wan")), []);
    assert_eq!(left_behind(None).len(), 1, "it may be started again");
    assert_eq!(of(None, Program::Dhcpcd, file(path, 0o640, false)), [], "nobody knows who the daemon is");
}
