//! What concerns an interface.

use std::time::Duration;

use super::{link, provoked, uses};
use crate::doctor::interface::{self, Uses};
use crate::doctor::router::{self, Heard};
use crate::doctor::{Check, Finding, Level, port};
use crate::prefix::PrefixFilter;
use crate::source::dhcpv6::others::{Client, Verdict};
use crate::source::dhcpv6::owner::Owner;
use crate::source::link::LinkState;
use crate::source::ra::packet::{Advertisement, PrefixInformation};

pub(super) const TESTS: &[fn()] = &[
    an_interface_is_there_up_and_able_to_send,
    the_kernel_may_ignore_routers_where_somebody_else_does_not,
    the_settings_of_a_vlan_are_named_as_sysctl_takes_them,
    who_holds_port_546,
    whom_there_is_to_observe,
    who_else_is_a_dhcpv6_client,
    which_routers_are_heard,
    who_may_not_listen_asks_the_daemon,
];

fn facts(link: Option<LinkState>) -> interface::Facts {
    interface::Facts {
        name: "wan".to_owned(),
        uses: uses(true, true),
        link,
        interfaces: vec!["lo".to_owned(), "eth0".to_owned()],
        disable_ipv6: Some(0),
        accept_ra: Some(1),
        forwarding: Some(0),
        default_route: Some(true),
    }
}

#[test]
fn an_interface_is_there_up_and_able_to_send() {
    let found = [interface::unread("wan", "no netlink")];
    provoked(&found, Check::Interface, Level::Unseen, "could not be read: no netlink.");
    let found = interface::check(&facts(None));
    provoked(&found, Check::Interface, Level::Error, "There is no interface wan; there are: eth0.");
    let found = interface::check(&facts(Some(link(false, &[]))));
    provoked(&found, Check::Interface, Level::Error, "down or without a carrier");

    let found = interface::check(&facts(Some(link(true, &[("2001:db8::1", false)]))));
    provoked(&found, Check::LinkLocal, Level::Error, "has no link-local address");
    let found = interface::check(&facts(Some(link(true, &[("fe80::2", true)]))));
    provoked(&found, Check::LinkLocal, Level::Error, "is tentative");
    let off = interface::Facts { disable_ipv6: Some(1), ..facts(Some(link(true, &[]))) };
    provoked(&interface::check(&off), Check::LinkLocal, Level::Error, "sysctl net.ipv6.conf.wan.disable_ipv6=0");

    let found = interface::check(&facts(Some(link(true, &[("fe80::2", false)]))));
    assert!(found.iter().all(|finding| finding.level == Level::Ok), "{found:#?}");
}

#[test]
fn the_kernel_may_ignore_routers_where_somebody_else_does_not() {
    let of = |accept_ra, forwarding, default_route| {
        let link = Some(link(true, &[("fe80::2", false)]));
        interface::check(&interface::Facts { accept_ra, forwarding, default_route, ..facts(link) })
    };
    let text = provoked(&of(Some(1), Some(1), Some(false)), Check::AcceptRa, Level::Warning, "finds no way out");
    assert!(text.contains("sysctl net.ipv6.conf.wan.accept_ra=2"), "{text}");
    provoked(&of(Some(0), Some(0), Some(false)), Check::AcceptRa, Level::Warning, "accept_ra = 0");
    provoked(&of(Some(0), Some(0), Some(true)), Check::AcceptRa, Level::Ok, "somebody else sees to it");
    provoked(&of(Some(2), Some(1), Some(false)), Check::AcceptRa, Level::Ok, "takes routes");
    provoked(&of(None, Some(1), None), Check::AcceptRa, Level::Unseen, "could not be read");
    provoked(&of(Some(0), Some(1), None), Check::AcceptRa, Level::Unseen, "could not be seen");
}

fn owner(name: &str) -> Owner {
    Owner { process: Some((12, name.to_owned())), unit: None, uid: 0 }
}

fn of_port(owners: &[Owner], others: Verdict, uses: Uses) -> Vec<Finding> {
    port::check(&port::Facts { interface: "wan".to_owned(), uses, owners: owners.to_vec(), others })
}

#[test]
fn who_holds_port_546() {
    let client = uses(true, false);
    let found = of_port(&[owner("odhcp6c")], Verdict::Free, client.clone());
    provoked(&found, Check::Dhcpv6Port, Level::Error, "odhcp6c (process 12) holds UDP port 546 on wan");
    provoked(&of_port(&[owner("dyn-prefix")], Verdict::Free, client.clone()), Check::Dhcpv6Port, Level::Ok, "holds");
    provoked(&of_port(&[], Verdict::Free, client), Check::Dhcpv6Port, Level::Ok, "is free");
    assert!(of_port(&[owner("odhcp6c")], Verdict::Free, uses(false, true)).is_empty(), "without a client of ours");
}

#[test]
fn whom_there_is_to_observe() {
    let watch = || Uses { observe: true, ..Uses::default() };
    let found = |owners: &[Owner], others| of_port(owners, others, watch());
    provoked(&found(&[owner("odhcp6c")], Verdict::Free), Check::OtherClient, Level::Ok, "and is observed");
    provoked(&found(&[], Verdict::Taken(other_client("x", "y"))), Check::OtherClient, Level::Ok, "and is observed");
    provoked(&found(&[owner("dyn-prefix")], Verdict::Free), Check::OtherClient, Level::Error, "another client");
    provoked(&found(&[], Verdict::Free), Check::OtherClient, Level::Warning, "No DHCPv6 client runs");
    // And where a client of ours is in somebody's way.
    let text = provoked(
        &of_port(&[owner("odhcp6c")], Verdict::Free, uses(true, false)),
        Check::Dhcpv6Port,
        Level::Error,
        "holds",
    );
    assert!(text.contains("acquisition.observe = { interface = \"wan\" }"), "{text}");
}

fn other_client(who: &str, advice: &str) -> Client {
    Client { who: who.to_owned(), advice: advice.to_owned() }
}

#[test]
fn who_else_is_a_dhcpv6_client() {
    let taken = || Verdict::Taken(other_client("systemd-networkd has DHCP=yes on wan", "Write DHCP=ipv4"));
    let found = of_port(&[], taken(), uses(true, false));
    provoked(&found, Check::OtherClient, Level::Error, "systemd-networkd has DHCP=yes on wan.");
    let found = of_port(&[], taken(), Uses { take_over: true, ..uses(true, false) });
    let text = provoked(&found, Check::OtherClient, Level::Warning, "takeOver = true, and yet");
    assert!(text.contains("DHCP=yes on wan.") && text.contains("for good. Write DHCP=ipv4."), "{text}");
    assert!(!text.contains("set takeOver"), "what is set already is no advice: {text}");
    let undecided = Verdict::Undecided("NetworkManager has not decided about wan".to_owned());
    provoked(&of_port(&[], undecided, uses(true, false)), Check::OtherClient, Level::Warning, "NetworkManager");
    provoked(&of_port(&[], Verdict::Free, uses(true, false)), Check::OtherClient, Level::Ok, "No other DHCPv6 client");
    provoked(&[port::unsearched("wan")], Check::OtherClient, Level::Unseen, "the search was aborted.");
}

fn advertisement(prefix: &str, preferred: u32) -> Advertisement {
    let information = PrefixInformation {
        prefix: prefix.parse().unwrap(),
        on_link: true,
        autonomous: true,
        pd_preferred: false,
        preferred,
        valid: 7200,
    };
    Advertisement {
        router: "fe80::1".parse().unwrap(),
        router_lifetime: 1800,
        managed: false,
        other: true,
        prefixes: vec![information],
        ignored: Vec::new(),
    }
}

fn heard(heard: Heard, uses: Uses) -> Vec<Finding> {
    let filters = vec![PrefixFilter { require_global_unicast: true, ..PrefixFilter::default() }];
    router::check(&router::Facts { interface: "wan".to_owned(), uses, heard, filters })
}

#[test]
fn which_routers_are_heard() {
    let live = |routers: &[Advertisement]| Heard::Live(Duration::from_secs(5), routers.to_vec());
    let found = heard(live(&[]), uses(false, true));
    provoked(&found, Check::RouterAdvertisement, Level::Error, "No Router Advertisement was heard on wan within 5s");
    let found = heard(live(&[]), uses(true, true));
    provoked(&found, Check::RouterAdvertisement, Level::Warning, "RA guard");
    let found = heard(live(&[]), Uses { observe: true, ..uses(false, true) });
    provoked(&found, Check::RouterAdvertisement, Level::Warning, "RA guard");
    let found = heard(live(&[]), Uses { require_router_advertisement: true, ..uses(true, false) });
    provoked(&found, Check::RouterAdvertisement, Level::Warning, "although one was asked for");
    let found = heard(live(&[]), uses(true, false));
    provoked(&found, Check::RouterAdvertisement, Level::Note, "The DHCPv6 client needs none.");

    let found = heard(live(&[advertisement("2001:db8:a::/64", 3600)]), uses(false, true));
    let text = "fe80::1 announces 2001:db8:a::/64 (preferred for 3600 s, valid for 7200 s)";
    provoked(&found, Check::RouterAdvertisement, Level::Ok, text);
    let managed = Advertisement { managed: true, other: false, ..advertisement("2001:db8:a::/64", 3600) };
    let found = heard(live(&[managed]), uses(true, true));
    provoked(&found, Check::RouterAdvertisement, Level::Ok, "; it says that there is a DHCPv6 server (M).");
    for useless in [advertisement("fd00:1::/64", 3600), advertisement("2001:db8:a::/64", 0)] {
        let found = heard(live(std::slice::from_ref(&useless)), uses(false, true));
        provoked(&found, Check::RouterAdvertisement, Level::Warning, "None of it can be used.");
        let found = heard(live(&[useless]), uses(true, false));
        provoked(&found, Check::RouterAdvertisement, Level::Ok, "fe80::1 announces");
    }
}

#[test]
fn who_may_not_listen_asks_the_daemon() {
    let by_daemon = |state: &str| heard(Heard::ByDaemon(state.to_owned()), uses(false, true));
    provoked(&by_daemon("receiving"), Check::RouterAdvertisement, Level::Ok, "The daemon hears");
    provoked(&by_daemon("silent"), Check::RouterAdvertisement, Level::Error, "by the daemon (silent)");
    provoked(&by_daemon("failed"), Check::RouterAdvertisement, Level::Unseen, "does not listen");
    let found = heard(Heard::Nobody("it takes the capability CAP_NET_RAW".to_owned()), uses(false, true));
    provoked(&found, Check::RouterAdvertisement, Level::Unseen, "it takes the capability CAP_NET_RAW.");
    let error = std::io::Error::from_raw_os_error(nix::libc::ENOPROTOOPT);
    let found = heard(Heard::Nobody(format!("no socket for it could be opened: {error}")), uses(false, true));
    let advice = provoked(&found, Check::RouterAdvertisement, Level::Unseen, "Protocol not available (os error 92).");
    assert!(advice.contains("lacks an option of sockets") && !advice.contains("as root"), "{advice}");
}

/// sysctl.d(5): "If the first separator is a dot, slashes and dots are interchanged", as in net.ipv4.conf.enp3s0/200.
#[test]
fn the_settings_of_a_vlan_are_named_as_sysctl_takes_them() {
    let of = |addresses: &[(&str, bool)], disable_ipv6| {
        let base = facts(Some(link(true, addresses)));
        let (accept_ra, default_route) = (Some(0), Some(false));
        interface::check(&interface::Facts {
            name: "eth0.222".to_owned(),
            disable_ipv6,
            accept_ra,
            default_route,
            ..base
        })
    };
    let found = of(&[], Some(1));
    let text = provoked(&found, Check::LinkLocal, Level::Error, "`sysctl net.ipv6.conf.eth0/222.disable_ipv6=0`");
    assert!(text.contains("eth0.222 (net.ipv6.conf.eth0/222.disable_ipv6 = 1)"), "{text}");
    provoked(&of(&[], None), Check::LinkLocal, Level::Error, "Look at net.ipv6.conf.eth0/222.addr_gen_mode");
    let found = of(&[("fe80::2", false)], None);
    provoked(
        &found,
        Check::AcceptRa,
        Level::Warning,
        "If eth0.222 is the way out: `sysctl net.ipv6.conf.eth0/222.accept_ra=2`",
    );
}
