//! Services that wait for each other's address, one after the other, where it does not end well.

use super::swaps::{ask, pass, settled, town};
use super::town::{Town, V6, ips, service};
use super::*;

const IPS: &str = "lbipam.cilium.io/ips";
const ALL: [&str; 4] = ["a", "b", "c", "d"];

fn reasons(town: &Town) -> [&str; 4] {
    ALL.map(|name| town.lab.reason(&service(name)))
}

/// Every order in which these three can be asked for something.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// Each of the first three is to have the address of the next one.
fn chain(mode: Mode, target: &ObjectRef, order: [usize; 3]) -> Town {
    let mut town = town(mode, target, &ALL);
    for (place, second) in order.into_iter().zip(10..) {
        ask(&mut town, ALL[place], ["::2", "::3", "::4"][place], at(second));
    }
    town
}

#[test]
fn whoever_waits_behind_a_collision_is_refused() {
    for order in ORDERS {
        let mut town = chain(Mode::Ha, &pool("lb"), order);
        let expected = ["AddressRefused", "AddressRefused", "AddressCollision", "AddressCollision"];
        assert_eq!(reasons(&town), expected, "{order:?}");
        let message = town.lab.message(&service("a"));
        assert!(message.contains("Service/web/b has it") && message.contains("2001:db8:1::3"), "{message}");
        town.restart(true, at(20));
        town.live(at(20));
        assert_eq!(reasons(&town), expected, "after a restart");
        pass(&mut town, at(HOUR), false);
        assert_eq!(reasons(&town), expected, "for as long as nobody does something");
    }
}

#[test]
fn all_go_on_when_the_last_one_can() {
    for (mode, order) in [(Mode::Ha, ORDERS[0]), (Mode::Ha, ORDERS[5]), (Mode::Simple, ORDERS[3])] {
        let mut town = chain(mode, &pool("lb"), order);
        town.lab.events.clear();
        ask(&mut town, "d", "::5", at(20));
        if mode == Mode::Ha {
            assert_eq!(reasons(&town), ["AwaitingAddress", "AwaitingAddress", "AwaitingAddress", "Synced"]);
            assert_eq!(town.lab.message(&service("a")).matches("as soon as Service/web/b has moved").count(), 1);
        }
        pass(&mut town, at(HOUR), false);
        let addresses = ["2001:db8:1::2", "2001:db8:1::3", "2001:db8:1::4", "2001:db8:1::5"];
        settled(&town, &[0, 1, 2, 3].map(|place| (ALL[place], addresses[place])));
        assert_eq!(town.lab.failures(), [""; 0], "on the way nothing is wrong");
    }
}

/// It has the last address and is not ours to move.
#[test]
fn whoever_waits_behind_a_service_of_somebody_else_is_refused_until_that_is_gone() {
    for order in ORDERS {
        let mut town = town(Mode::Ha, &pool("lb"), &["a", "b", "c"]);
        let other = town.create("other", json!({ IPS: "2001:db8:1::4" }), V6, at(9));
        town.live(at(9));
        for (place, second) in order.into_iter().zip(10..) {
            ask(&mut town, ALL[place], ["::2", "::3", "::4"][place], at(second));
        }
        let three = |town: &Town| ["a", "b", "c"].map(|name| town.lab.reason(&service(name)).to_owned());
        assert_eq!(three(&town), ["AddressRefused"; 3], "{order:?}");
        town.lab.api.delete(&other);
        town.lab.island.handle_deleted(&other, at(20));
        town.live(at(20));
        assert_eq!(three(&town), ["AwaitingAddress", "AwaitingAddress", "Synced"]);
        pass(&mut town, at(HOUR), false);
        settled(&town, &[("a", "2001:db8:1::2"), ("b", "2001:db8:1::3"), ("c", "2001:db8:1::4")]);
    }
}

/// It could go, but must not be written.
#[test]
fn whoever_waits_behind_a_service_that_cannot_be_written_is_refused_until_it_can() {
    let mut town = town(Mode::Ha, &pool("lb"), &["a", "b", "c"]);
    ask(&mut town, "a", "::2", at(10));
    ask(&mut town, "b", "::3", at(11));
    town.lab.api.locked.insert(service("c"));
    ask(&mut town, "c", "::9", at(12));
    let three = |town: &Town| ["a", "b", "c"].map(|name| town.lab.reason(&service(name)).to_owned());
    assert_eq!(three(&town), ["AddressRefused", "AddressRefused", "Forbidden"]);
    town.lab.api.locked.clear();
    town.lab.connect(at(20));
    town.live(at(20));
    assert_eq!(three(&town), ["AwaitingAddress", "AwaitingAddress", "Synced"]);
    pass(&mut town, at(HOUR), false);
    settled(&town, &[("a", "2001:db8:1::2"), ("b", "2001:db8:1::3"), ("c", "2001:db8:1::9")]);
}

/// Three are to change places, and a fourth is to have the place of one of them, too.
#[test]
fn a_collision_on_a_ring_is_everybodys() {
    for order in ORDERS {
        let mut town = town(Mode::Ha, &pool("lb"), &ALL);
        ask(&mut town, "d", "::1", at(9));
        for (place, second) in order.into_iter().zip(10..) {
            ask(&mut town, ALL[place], ["::2", "::3", "::1"][place], at(second));
        }
        let expected = ["AddressRefused", "AddressRefused", "AddressCollision", "AddressCollision"];
        assert_eq!(reasons(&town), expected, "{order:?}");
        pass(&mut town, at(HOUR), false);
        assert_eq!(reasons(&town), expected, "{order:?}");
        ask(&mut town, "d", "::4", at(HOUR));
        assert_eq!(reasons(&town), ["StepsAside", "AwaitingAddress", "AwaitingAddress", "Synced"]);
        pass(&mut town, at(2 * HOUR), false);
        let addresses = ["2001:db8:1::2", "2001:db8:1::3", "2001:db8:1::1", "2001:db8:1::4"];
        settled(&town, &[0, 1, 2, 3].map(|place| (ALL[place], addresses[place])));
    }
}

/// Two have the same address by a sharing key. One of them moves, the other one does not.
#[test]
fn whoever_waits_for_a_shared_address_waits_for_all_that_have_it() {
    let mut town = town(Mode::Ha, &pool("lb"), &["a", "b"]);
    let key = ("lbipam.cilium.io/sharing-key", "k");
    town.annotate(&service("b"), "kubectl", key.0, Some(key.1), at(9));
    let other = town.create("other", json!({ key.0: key.1, IPS: "2001:db8:1::2" }), V6, at(9));
    town.live(at(9));
    assert_eq!(town.ingress(&other), ips(&["2001:db8:1::2"]));
    ask(&mut town, "b", "::9", at(10));
    ask(&mut town, "a", "::2", at(11));
    assert_eq!((town.lab.reason(&service("a")), town.lab.reason(&service("b"))), ("AddressRefused", "Synced"));
    assert!(town.lab.message(&service("a")).contains("Service/web/other"), "{}", town.lab.message(&service("a")));
}

/// What another Service had counts as its own for a moment longer. That is how it goes, and nothing to complain of.
#[test]
fn the_moment_that_is_left_to_metallb_is_no_refusal() {
    let mut town = town(Mode::Ha, &metallb("public"), &["a", "b"]);
    pass(&mut town, at(60), false);
    settled(&town, &[("a", "2001:db8:1::1"), ("b", "2001:db8:1::2")]);
    town.lab.events.clear();
    town.annotate(&service("b"), "kubectl", "dynamic-prefix.io/suffix", Some("::9"), at(60));
    ask(&mut town, "a", "::2", at(60));
    assert_eq!(town.ingress(&service("b")), ips(&["2001:db8:1::9"]));
    assert_eq!(
        (town.ingress(&service("a")), town.lab.reason(&service("a"))),
        (ips(&["2001:db8:1::1"]), "AwaitingAddress")
    );
    pass(&mut town, at(66), false);
    settled(&town, &[("a", "2001:db8:1::2"), ("b", "2001:db8:1::9")]);
    assert_eq!(town.lab.failures(), [""; 0]);
}
