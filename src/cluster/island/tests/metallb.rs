//! Services of MetalLB: one IPv6 address each, so they are moved, and never without one.

use super::town::{DUAL, Town, V6, ips, ours, service, spec};
use super::*;

const IPS: &str = "metallb.io/loadBalancerIPs";

fn settled() -> (Town, ObjectRef, ObjectRef) {
    let public = metallb("public");
    let mut town = Town::new(Mode::Ha, &public);
    town.tell(at(0));
    town.live(at(0));
    let front = town.create("front", ours(&[]), DUAL, at(5));
    town.live(at(5));
    (town, public, front)
}

#[test]
fn add_the_range_move_the_pin_remove_the_range() {
    let (mut town, public, front) = settled();
    assert_eq!(town.note(&front, IPS).as_deref(), Some("192.0.2.1,2001:db8:1::"));
    town.rotate(2, at(10));
    assert_eq!(town.write(at(10)), Some(public.clone()));
    // It hands out in this order, so what is kept for others stands last.
    assert_eq!(town.lab.text(&public), ["192.0.2.0/24", "2001:db8:1::/64", "2001:db8:2::-2001:db8:2::"]);
    assert_eq!(town.write(at(10)), None, "before MetalLB counts the new list, a pin would cost it everything");
    town.controllers(at(10));
    assert_eq!(town.write(at(10)), Some(front.clone()));
    assert_eq!(town.note(&front, IPS).as_deref(), Some("192.0.2.1,2001:db8:2::"));
    assert_eq!(town.write(at(10)), None);
    town.controllers(at(10));
    assert_eq!(town.ingress(&front), ips(&["192.0.2.1", "2001:db8:2::"]));
    assert_eq!(town.write(at(10)), Some(front.clone()));
    assert_eq!(town.note(&front, "external-dns.kubernetes.io/target").as_deref(), Some("192.0.2.1,2001:db8:2::"));
    assert_eq!(town.write(at(10)), Some(public.clone()));
    assert_eq!(town.lab.text(&public), ["192.0.2.0/24", "2001:db8:2::/64"]);
    assert_eq!(town.live(at(10)), []);
    assert_eq!(town.live_until(at(HOUR)), []);
    assert_eq!((town.lab.reason(&front), town.lab.reason(&public)), ("Synced", "Synced"));
}

/// It gives all that is asked for or nothing, and does not say what it would not give: here it was the IPv4 address.
#[test]
fn with_another_ipv4_address_the_pin_is_tried_again() {
    let public = metallb("public");
    let mut town = Town::new(Mode::Ha, &public);
    town.tell(at(0));
    town.live(at(0));
    let shared = ("metallb.io/allow-shared-ip", "k");
    let other = town.create("other", json!({ shared.0: shared.1 }), DUAL, at(5));
    let front = town.create("front", ours(&[shared, ("dynamic-prefix.io/suffix", "::2")]), DUAL, at(5));
    town.live(at(5));
    town.live_until(at(20));
    assert_eq!(town.ingress(&other), ips(&["192.0.2.1", "2001:db8:1::"]));
    assert_eq!(town.ingress(&front), ips(&["192.0.2.1", "2001:db8:1::2"]));
    town.annotate(&other, "kubectl", shared.0, None, at(20));
    town.live(at(20));
    assert_eq!(town.ingress(&front), ips(&[]), "the other one has 192.0.2.1 for itself");
    town.live_until(at(HOUR));
    assert_eq!(town.ingress(&front), ips(&["192.0.2.2", "2001:db8:1::2"]), "{:?}", town.lab.report(&front));
    assert_eq!(town.lab.reason(&front), "Synced");
    // Where the IPv6 address is the cause, another IPv4 address changes nothing for long.
    let before = town.lab.writes.len();
    town.create("squatter", json!({ IPS: "2001:db8:2::2" }), V6, at(HOUR));
    town.rotate(2, at(HOUR));
    town.live(at(HOUR));
    town.live_until(at(2 * HOUR));
    assert_eq!(town.lab.reason(&front), "AddressRefused");
    assert!(town.lab.writes.len() - before < 10, "{}", town.lab.writes.len() - before);
    assert!(town.ingress(&front).contains(&town::ip("192.0.2.2")), "{:?}", town.ingress(&front));
}

/// It was down when the Service was made. That it gives an address now shows that it has not refused anything.
#[test]
fn who_held_nothing_is_tried_again_once_metallb_is_seen_to_live() {
    let mut town = Town::new(Mode::Ha, &metallb("public"));
    town.tell(at(0));
    town.live(at(0));
    town.is_alive = false;
    let front = town.create("front", ours(&[("dynamic-prefix.io/suffix", "::5")]), V6, at(10));
    town.live(at(10));
    town.pools_are_seen(at(10));
    town.live(at(10));
    town.live_until(at(16));
    assert_eq!(town.note(&front, IPS).as_deref(), Some("2001:db8:1::5"));
    town.live_until(at(60));
    assert_eq!((town.note(&front, IPS), town.lab.reason(&front)), (None, "AddressRefused"));
    town.is_alive = true;
    town.live(at(60));
    town.live_until(at(HOUR));
    assert_eq!((town.ingress(&front), town.lab.reason(&front)), (ips(&["2001:db8:1::5"]), "Synced"));
}

/// It does refuse, for a reason that is not seen here: that costs the Service its address once, and not again and again.
#[test]
fn who_lost_what_it_had_by_asking_does_not_ask_again() {
    let mut town = Town::new(Mode::Ha, &metallb("public"));
    town.tell(at(0));
    town.live(at(0));
    let hidden = service("hidden");
    town.lab.api.create_service(&hidden, json!({ IPS: "2001:db8:1::5" }), spec(V6));
    town.lab.api.edit_service(&hidden, "controller", |value| {
        value["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "2001:db8:1::5" }] } });
        value["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"] = json!("public");
    });
    let front = town.create("front", ours(&[("dynamic-prefix.io/suffix", "::5")]), V6, at(10));
    town.live(at(10));
    town.live_until(at(HOUR));
    assert_eq!((town.ingress(&front), town.lab.reason(&front)), (ips(&["2001:db8:1::"]), "AddressRefused"));
    let asked =
        town.lab.writes.iter().filter(|write| write.patch.to_string().contains("loadBalancerIPs\":\"2001:db8:1::5"));
    assert!((1..=2).contains(&asked.count()), "{:?}", town.lab.writes);
}
