//! What numbers the link itself.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::prefix::{CacheInfo, PrefixAttribute, PrefixMessage};

use super::world::*;
use crate::source::observe::{Observer, from_octets, to_octets};

const P: &str = "2001:db8:1:2::/64";

/// As the kernel sends it: family, index of the interface, prefix with its flags, lifetimes.
fn announced(ifindex: i32, prefix: &str, flags: u8, valid: u32) -> RouteNetlinkMessage {
    let prefix: ipnet::Ipv6Net = prefix.parse().unwrap();
    let mut cache = CacheInfo::default();
    (cache.preferred_time, cache.valid_time) = (valid / 2, valid);
    let mut message = PrefixMessage::default();
    message.header.prefix_family = 10;
    message.header.ifindex = ifindex;
    message.header.prefix_type = 3;
    message.header.prefix_len = prefix.prefix_len();
    message.header.flags = flags;
    message.attributes = vec![PrefixAttribute::Address(prefix.network()), PrefixAttribute::CacheInfo(cache)];
    RouteNetlinkMessage::NewPrefix(message)
}

fn note(observer: &Observer) -> String {
    let notes = observer.report().notes;
    notes.into_iter().find(|note| note.contains("by Router Advertisement")).unwrap_or_default()
}

#[test]
fn t144_the_flags_of_both_generations_of_kernels_say_the_same() {
    let all = [
        ([0xc0, 0x03], "(on-link, autonomous)"),
        ([0x80, 0x01], "(on-link)"),
        ([0x40, 0x02], "(autonomous)"),
        ([0x00, 0x00], "(neither on-link nor autonomous)"),
        // With the flags of a router's address and of RFC 9762.
        ([0xe0, 0xd0], "(on-link, autonomous)"),
    ];
    for (flags, shown) in all.into_iter().flat_map(|(flags, shown)| flags.map(|flags| (flags, shown))) {
        let mut observer = observer();
        observer.handle_events(&[announced(3, P, flags, 900)], at(10));
        assert!(
            note(&observer).starts_with(&format!("ppp0 itself has {P} {shown} by")),
            "{flags:#x}: {}",
            note(&observer)
        );
    }
}

#[test]
fn t144_octets_of_either_kernel_are_read() {
    // struct nlmsghdr's type, struct prefixmsg, PREFIX_ADDRESS and PREFIX_CACHEINFO (linux/rtnetlink.h).
    let octets = |flags| {
        let header = [10, 0, 0, 0].into_iter().chain(3_i32.to_ne_bytes()).chain([3, 64, flags, 0]);
        let length = |octets: u16| octets.to_ne_bytes();
        let address = "2001:db8:1:2::".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let attributes = [&length(20)[..], &1_u16.to_ne_bytes(), &address, &length(12), &2_u16.to_ne_bytes()].concat();
        let times = [450_u32.to_ne_bytes(), 900_u32.to_ne_bytes()].concat();
        [52_u16.to_be_bytes().to_vec(), header.collect(), attributes, times].concat()
    };
    for flags in [0xc0, 0x03] {
        let message = from_octets(&octets(flags)).unwrap();
        assert_eq!(message, announced(3, P, flags, 900));
        assert_eq!(to_octets(&message), octets(flags));
    }
}

#[test]
fn t144_it_is_never_a_delegation() {
    let mut observer = observer();
    let before = observer.report();
    observer.handle_events(&[announced(3, "2001:db8:a::/56", 0xc0, 900)], at(10));
    let report = observer.report();
    assert!(report.offers.is_empty() && report.state == before.state && report.pending == before.pending);
    assert_eq!(
        report.notes,
        [
            "ppp0 itself has 2001:db8:a::/56 (on-link, autonomous) by Router Advertisement, which is no delegation: to use \
          that, set acquisition.routerAdvertisement; to get a delegation, switch prefix delegation on in the DHCPv6 client \
          on ppp0"
        ]
    );
    observer.is_delegated(A, 1, at(20));
    assert_eq!(note(&observer), "", "who has a delegation does not wonder");
}

#[test]
fn t144_only_what_is_valid_and_of_hosts_on_this_link_is_told() {
    let mut observer = observer();
    let others = [
        announced(4, P, 0xc0, 900),
        announced(3, "fe80::/64", 0xc0, 900),
        announced(3, "ff02::/16", 0xc0, 900),
        announced(3, "::/0", 0xc0, 900),
        announced(-1, P, 0xc0, 900),
        announced(3, P, 0xc0, 0),
    ];
    observer.handle_events(&others, at(10));
    assert_eq!(note(&observer), "");
    observer.handle_events(&[announced(3, P, 0xc0, 900), announced(3, "fd00:1::/64", 0x80, u32::MAX)], at(10));
    assert!(note(&observer).contains(&format!("{P} (on-link, autonomous) and fd00:1::/64 (on-link) by")));
    observer.handle_dump(&[], at(20));
    assert!(note(&observer).contains(P), "a list does not tell of them");
    observer.wait_until(at(909));
    assert!(note(&observer).contains(P));
    observer.wait_until(at(910));
    assert!(!note(&observer).contains(P) && note(&observer).contains("fd00:1::/64"), "{}", note(&observer));
    observer.handle_events(&[announced(3, "fd00:1::/64", 0x80, 0)], at(911));
    assert_eq!(note(&observer), "");
}

#[test]
fn t144_a_flood_of_advertisements_is_bounded_and_no_news_twice() {
    let mut observer = observer();
    let flood = (0..10_000).map(|number| announced(3, &format!("2001:db8:{number:x}::/64"), 0xc0, u32::MAX));
    observer.handle_events(&flood.collect::<Vec<_>>(), at(10));
    assert!(note(&observer).len() < 500 && note(&observer).contains(" and others by"), "{}", note(&observer));
    assert!(observer.poll_report().is_some());
    observer.handle_events(&[announced(3, "2001:db8:270f::/64", 0xc0, u32::MAX)], at(20));
    assert!(!observer.has_news(), "the same again, as with every advertisement");
}
