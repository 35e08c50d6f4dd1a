//! What happens to Services when a range leaves a pool, because its binding or annotation goes.

use super::town::{Town, V6, ips, ours, service};
use super::*;

const IPS: &str = "lbipam.cilium.io/ips";
const TARGET: &str = "external-dns.kubernetes.io/target";

/// Whatever step a rotation is at when the binding goes: nothing on DNS is not served ([`Town::look`]), and nothing asks
/// for what no pool has.
#[test]
fn a_binding_that_goes_in_any_step_takes_pins_and_dns_along_first() {
    for (steps, restarts) in (0..8).flat_map(|steps| [(steps, false), (steps, true)]) {
        let lb = pool("lb");
        let mut town = Town::new(Mode::Ha, &lb);
        town.tell(at(0));
        town.live(at(0));
        let fronts = ["a", "b"].map(|name| town.create(name, ours(&[]), V6, at(1)));
        let loose = town.create("loose", json!({}), V6, at(1));
        town.live(at(1));
        town.rotate(2, at(10));
        for _ in 0..steps {
            if town.write(at(10)).is_none() && !town.controllers(at(10)) {
                break;
            }
        }
        let bindings = std::mem::take(&mut town.bindings);
        if restarts {
            town.restart(true, at(11));
        }
        town.tell(at(11));
        town.live(at(11));
        town.live_until(at(60));
        assert_eq!(town.lab.text(&lb), ["192.0.2.0/24"], "{steps}");
        for service in fronts.iter().chain([&loose]) {
            assert_eq!(town.note(service, IPS), None, "{steps}");
            assert_eq!(town.note(service, TARGET), None, "{steps}");
            assert_eq!(town.ingress(service), ips(&[]), "{steps}");
        }
        // It comes back: they get what they had.
        town.bindings = bindings;
        town.tell(at(70));
        town.live(at(70));
        town.live_until(at(300));
        for (service, address) in fronts.iter().zip(["2001:db8:2::", "2001:db8:2::1"]) {
            assert_eq!(town.note(service, TARGET).as_deref(), Some(address), "{steps} {restarts}");
        }
    }
}

/// The same for the annotation of a pool, and for a DynamicPrefix that leaves the file.
#[test]
fn an_annotation_taken_off_a_pool_and_a_dynamic_prefix_taken_from_the_file() {
    for is_annotation in [true, false] {
        let lb = pool("lb");
        let mut town = Town::new(Mode::Ha, &lb);
        if is_annotation {
            town.bindings.clear();
            let object = town.lab.api.edit(&lb, "kubectl", |object| {
                let texts = [("dynamic-prefix.io/name", "home-ipv6"), ("dynamic-prefix.io/subnet", "lb")];
                object.annotations.extend(texts.map(|(key, value)| (key.to_owned(), value.to_owned())));
            });
            town.lab.island.handle_object(object, at(0));
        }
        town.tell(at(0));
        town.live(at(0));
        let front = town.create("front", ours(&[]), V6, at(1));
        town.live(at(1));
        town.rotate(2, at(10));
        town.live(at(10));
        assert_eq!(town.ingress(&front), ips(&["2001:db8:1::", "2001:db8:2::"]));
        if is_annotation {
            let object = town.lab.api.edit(&lb, "kubectl", |object| {
                object.annotations.remove("dynamic-prefix.io/name");
            });
            town.lab.island.handle_object(object, at(20));
        } else {
            town.bindings.clear();
            let nothing = wanted(Catalogue::default(), Vec::new());
            town.lab.island.handle_wanted(nothing, at(20));
        }
        town.live(at(20));
        town.live_until(at(30));
        assert_eq!((town.note(&front, IPS), town.note(&front, TARGET)), (None, None));
        assert_eq!(town.lab.text(&lb), ["192.0.2.0/24"]);
    }
}

/// A Service that cannot be written does not keep the range there.
#[test]
fn a_service_that_cannot_be_written_does_not_keep_a_range_that_has_left_the_file() {
    let mut town = Town::new(Mode::Ha, &pool("lb"));
    town.tell(at(0));
    town.live(at(0));
    town.create("front", ours(&[]), V6, at(1));
    town.live(at(1));
    town.lab.api.locked.insert(service("front"));
    town.is_watched = false;
    town.bindings.clear();
    town.tell(at(10));
    town.live(at(10));
    town.live_until(at(30));
    assert_eq!(town.lab.text(&pool("lb")), ["192.0.2.0/24"]);
}

/// A range that moves from one pool to another is not lost, so Services go on asking for what they have.
#[test]
fn a_range_that_moves_to_another_pool_takes_its_services_along() {
    let (lb, other) = (pool("lb"), pool("other"));
    let mut town = Town::new(Mode::Ha, &lb);
    town.tell(at(0));
    town.live(at(0));
    let front = town.create("front", ours(&[]), V6, at(1));
    town.live(at(1));
    let object = town.lab.api.create(api::object(&other, []));
    town.lab.island.handle_object(object, at(2));
    town.bindings = vec![binding("b", "lb", &other)];
    town.is_watched = false;
    town.tell(at(10));
    town.live(at(10));
    assert_eq!(
        (town.lab.text(&lb), town.lab.text(&other)),
        (vec!["192.0.2.0/24".to_owned()], vec!["2001:db8:1::/64".to_owned()])
    );
    assert_eq!(
        (town.note(&front, IPS).as_deref(), town.ingress(&front)),
        (Some("2001:db8:1::"), ips(&["2001:db8:1::"]))
    );
}
