//! Services that are to have each other's address.

use super::town::{Town, V6, ips, ours, service};
use super::*;

const IPS: &str = "lbipam.cilium.io/ips";
const TARGET: &str = "external-dns.kubernetes.io/target";
const SUFFIX: &str = "dynamic-prefix.io/suffix";

/// Services with the suffixes ::1, ::2 …, by name.
pub(super) fn town(mode: Mode, target: &ObjectRef, names: &[&str]) -> Town {
    let mut town = Town::new(mode, target);
    town.tell(at(0));
    town.live(at(0));
    for (name, number) in names.iter().zip(1..) {
        town.create(name, ours(&[(SUFFIX, &format!("::{number}"))]), V6, at(1));
    }
    town.live(at(1));
    town.live_until(at(9));
    town
}

pub(super) fn ask(town: &mut Town, name: &str, suffix: &str, now: Instant) {
    town.annotate(&service(name), "kubectl", SUFFIX, Some(suffix), now);
    town.live(now);
}

/// Time passes; nobody is ever without an address, and DNS names what is there ([`Town::look`]).
pub(super) fn pass(town: &mut Town, end: Instant, restarts: bool) {
    let mut now = town.lab.island.poll_timeout().unwrap_or(end);
    while now <= end {
        town.live_until(now);
        for service in town.all() {
            assert!(!town.ingress(&service).is_empty(), "{service} has no address at {now:?}");
        }
        if restarts {
            town.restart(true, now + Duration::from_secs(1));
            town.live(now + Duration::from_secs(1));
        }
        now = town.lab.island.poll_timeout().unwrap_or(end).max(now + Duration::from_secs(1));
    }
    town.live_until(end);
}

pub(super) fn settled(town: &Town, expected: &[(&str, &str)]) {
    for (name, address) in expected {
        assert_eq!(town.ingress(&service(name)), ips(&[address]), "{name}: {:?}", town.lab.report(&service(name)));
        assert_eq!(town.lab.reason(&service(name)), "Synced");
        if town.mode == Mode::Ha {
            assert_eq!(town.note(&service(name), TARGET).as_deref(), Some(*address));
        }
    }
}

#[test]
fn two_services_swap_their_addresses() {
    for (mode, restarts) in [(Mode::Ha, false), (Mode::Ha, true), (Mode::Simple, false)] {
        let mut town = town(mode, &pool("lb"), &["a", "b"]);
        ask(&mut town, "a", "::2", at(10));
        assert_eq!(town.lab.reason(&service("a")), "AddressCollision");
        ask(&mut town, "b", "::1", at(11));
        let early = at(12);
        pass(&mut town, early, false);
        if mode == Mode::Ha {
            let both = town.ingress(&service("a"));
            assert_eq!(both.len(), 2, "one of them gets a third address meanwhile: {both:?}");
            assert_eq!(town.ingress(&service("b")), ips(&["2001:db8:1::2"]));
            assert_eq!(town.lab.reason(&service("a")), "StepsAside");
        }
        pass(&mut town, at(HOUR), restarts);
        settled(&town, &[("a", "2001:db8:1::2"), ("b", "2001:db8:1::1")]);
        assert_eq!(town.note(&service("a"), "dynamic-prefix.io/managed-suffix").as_deref(), Some("::2"));
        assert_eq!(town.note(&service("a"), IPS).as_deref(), Some("2001:db8:1::2"));
    }
}

#[test]
fn three_services_change_places_in_any_order() {
    for order in [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["c", "b", "a"]] {
        let mut town = town(Mode::Ha, &pool("lb"), &["a", "b", "c"]);
        for (name, second) in order.into_iter().zip(10..) {
            let suffix = match name {
                "a" => "::2",
                "b" => "::3",
                _ => "::1",
            };
            ask(&mut town, name, suffix, at(second));
        }
        pass(&mut town, at(HOUR), false);
        settled(&town, &[("a", "2001:db8:1::2"), ("b", "2001:db8:1::3"), ("c", "2001:db8:1::1")]);
    }
}

/// The next prefix comes in the middle of it: there is nothing to swap then.
#[test]
fn a_rotation_ends_a_swap() {
    let mut town = town(Mode::Ha, &pool("lb"), &["a", "b"]);
    ask(&mut town, "a", "::2", at(10));
    ask(&mut town, "b", "::1", at(11));
    town.rotate(2, at(20));
    town.live(at(20));
    assert_eq!(town.note(&service("a"), TARGET).as_deref(), Some("2001:db8:2::2"));
    pass(&mut town, at(HOUR), false);
    town.draining = 0;
    town.tell(at(HOUR));
    town.live(at(HOUR));
    pass(&mut town, at(2 * HOUR), false);
    settled(&town, &[("a", "2001:db8:2::2"), ("b", "2001:db8:2::1")]);
}

/// One that cannot be written will not make room, so nobody need step aside.
#[test]
fn nobody_steps_aside_for_a_service_that_cannot_be_written() {
    let mut town = town(Mode::Ha, &pool("lb"), &["a", "b"]);
    town.lab.api.locked.insert(service("b"));
    ask(&mut town, "a", "::2", at(10));
    ask(&mut town, "b", "::1", at(11));
    pass(&mut town, at(HOUR), false);
    assert_eq!(town.ingress(&service("b")), ips(&["2001:db8:1::2"]));
    assert!(town.ingress(&service("a")).contains(&town::ip("2001:db8:1::1")), "{:?}", town.ingress(&service("a")));
    assert_eq!((town.lab.reason(&service("a")), town.lab.reason(&service("b"))), ("AddressRefused", "Forbidden"));
}

#[test]
fn two_services_of_metallb_swap_their_addresses() {
    let mut town = town(Mode::Ha, &metallb("public"), &["a", "b"]);
    ask(&mut town, "a", "::2", at(10));
    ask(&mut town, "b", "::1", at(11));
    pass(&mut town, at(HOUR), false);
    settled(&town, &[("a", "2001:db8:1::2"), ("b", "2001:db8:1::1")]);
}

/// A range of four addresses.
pub(super) fn few(number: u16) -> Block {
    Block::Cidr(format!("2001:db8:{number:x}::/126").parse().expect("a prefix"))
}

/// Each address of the range is somebody's, so that there is none to step aside to.
#[test]
fn whoever_cannot_step_aside_is_refused_until_an_address_is_free() {
    for mode in [Mode::Ha, Mode::Simple] {
        let mut town = Town::new(mode, &pool("lb"));
        town.few = true;
        town.tell(at(0));
        town.live(at(0));
        for (name, suffix) in [("a", "::1"), ("b", "::2"), ("c", "::3"), ("d", "::0")] {
            town.create(name, ours(&[(SUFFIX, suffix)]), V6, at(1));
        }
        town.live(at(1));
        town.live_until(at(9));
        ask(&mut town, "a", "::2", at(10));
        ask(&mut town, "b", "::3", at(11));
        ask(&mut town, "c", "::1", at(12));
        let three = |town: &Town| ["a", "b", "c"].map(|name| town.lab.reason(&service(name)).to_owned());
        assert_eq!(three(&town), ["AddressRefused"; 3], "{mode:?}");
        let message = town.lab.message(&service("a"));
        assert!(message.contains("no free address") && message.contains("Service/web/b has it"), "{message}");
        pass(&mut town, at(HOUR), false);
        assert_eq!(three(&town), ["AddressRefused"; 3], "for as long as nobody does something");
        town.restart(true, at(HOUR + 1));
        town.live(at(HOUR + 1));
        assert_eq!(three(&town), ["AddressRefused"; 3], "after a restart");
        town.lab.api.delete(&service("d"));
        town.lab.island.handle_deleted(&service("d"), at(HOUR + 2));
        town.live(at(HOUR + 2));
        pass(&mut town, at(2 * HOUR), false);
        settled(&town, &[("a", "2001:db8:1::2"), ("b", "2001:db8:1::3"), ("c", "2001:db8:1::1")]);
    }
}
