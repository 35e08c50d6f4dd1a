//! What we ask for and name, and the IPv4 addresses beside it.

use super::*;
use crate::cluster::addresses::Owned;

const DUAL: Families = Families { v4: true, v6: true };
const NEW: &str = "2001:db8:2::5";
const OLD: &str = "2001:db8:1::5";

fn v6(text: &str) -> Ipv6Addr {
    text.parse().expect(text)
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

fn holding(families: Families, ingress: &[&str]) -> Service {
    Service { families, ingress: ips(ingress).into(), ..Service::default() }
}

fn owned(ours: &[&str], users: &[&str]) -> Owned {
    Owned { ours: ips(ours), users: ips(users) }
}

/// Seen on Cilium 1.20: a list with IPv6 only takes the IPv4 address of a dual-stack Service away.
#[test]
fn the_ipv4_address_is_asked_for_too() {
    let service = holding(DUAL, &[OLD, "198.51.100.7"]);
    let pins = [v6(NEW), v6(OLD)];
    assert_eq!(requested(&service, &Owned::default(), &pins), ips(&["198.51.100.7", NEW, OLD]));
    let single = holding(Families { v4: false, v6: true }, &[OLD]);
    assert_eq!(requested(&single, &Owned::default(), &pins), ips(&[NEW, OLD]));
}

#[test]
fn what_is_left_to_the_allocator_asks_for_no_ipv4_address() {
    let service = holding(DUAL, &[OLD, "198.51.100.7"]);
    assert_eq!(requested(&service, &owned(&["198.51.100.7", OLD], &[]), &[]), ips(&[]));
}

#[test]
fn an_ipv4_address_that_the_status_has_lost_is_asked_for_still() {
    let ours = owned(&["198.51.100.7", OLD], &[]);
    assert_eq!(requested(&holding(DUAL, &[]), &ours, &[v6(NEW)]), ips(&["198.51.100.7", NEW]));
    assert_eq!(requested(&holding(DUAL, &[OLD]), &ours, &[v6(NEW)]), ips(&["198.51.100.7", NEW]));
    // A Service that has become one of IPv6 only wants none.
    let single = holding(Families { v4: false, v6: true }, &[OLD]);
    assert_eq!(requested(&single, &ours, &[v6(NEW)]), ips(&[NEW]));
    assert_eq!(requested(&holding(DUAL, &[OLD, "198.51.100.8"]), &ours, &[v6(NEW)]), ips(&["198.51.100.8", NEW]));
}

#[test]
fn the_users_own_ipv4_address_takes_the_place_of_ours() {
    let service = holding(DUAL, &[OLD, "198.51.100.7"]);
    let owned = owned(&["198.51.100.7", OLD], &["198.51.100.99", "fd00::5"]);
    assert_eq!(requested(&service, &owned, &[v6(NEW)]), ips(&[NEW]));
}

/// Seen on external-dns 0.23: a target of IPv6 only deletes the A record.
#[test]
fn dns_names_the_ipv4_address_too() {
    let service = holding(DUAL, &[OLD, "198.51.100.7"]);
    assert_eq!(named(&service, &Owned::default(), v6(OLD)), ips(&["198.51.100.7", OLD]));
    // While an allocator that starts anew shows nothing, what was named goes on being named.
    let ours = owned(&["198.51.100.7", OLD], &["203.0.113.1"]);
    assert_eq!(named(&holding(DUAL, &[]), &ours, v6(OLD)), ips(&["198.51.100.7", OLD]));
    // What it has not is not named.
    assert_eq!(named(&holding(DUAL, &[OLD]), &ours, v6(OLD)), ips(&[OLD]));
}

#[test]
fn the_users_own_ipv6_pin_leaves_no_room_on_metallb() {
    let finding = |allocator, users: &[&str]| {
        pinned_by_user(&reference("web"), allocator, &owned(&[OLD], users), Some(v6(NEW))).map(|finding| finding.reason)
    };
    assert_eq!(finding(Allocator::MetalLb, &["198.51.100.7", "fd00::5"]), Some("PinnedByUser"));
    assert_eq!(finding(Allocator::MetalLb, &["198.51.100.7", NEW]), None);
    assert_eq!(finding(Allocator::Cilium, &["fd00::5"]), None);
}
