//! Two Services, one host part: who has it, and what the other one gets.

use super::town::{DUAL, Town, V6, ips, ours, service, spec};
use super::*;

const IPS: &str = "lbipam.cilium.io/ips";
const SUFFIX: &str = "dynamic-prefix.io/suffix";
const KEPT: &str = "dynamic-prefix.io/managed-suffix";
const NO_DNS: (&str, &str) = ("dynamic-prefix.io/skip-external-dns-update", "true");

fn town(target: &ObjectRef, scope: ServiceScope) -> Town {
    let mut town = Town::new(Mode::Ha, target);
    town.scope = scope;
    town.tell(at(0));
    town.live(at(0));
    town
}

fn reasons(town: &Town, services: &[&ObjectRef]) -> Vec<String> {
    services.iter().map(|service| town.lab.reason(service).to_owned()).collect()
}

/// MetalLB gives a Service one address: what it leaves in the old range, which is whole still, goes to the next one.
#[test]
fn who_gets_a_freed_address_does_not_get_the_host_part_with_it() {
    let public = metallb("public");
    let mut town = town(&public, ServiceScope::Annotated);
    let first = town.create("first", ours(&[]), V6, at(5));
    let second = town.create("second", ours(&[]), V6, at(5));
    town.live(at(5));
    town.rotate(2, at(10));
    assert_eq!(town.write(at(10)), Some(public));
    town.controllers(at(10));
    assert_eq!(town.write(at(10)), Some(first.clone()));
    town.controllers(at(10));
    assert_eq!(town.ingress(&first), ips(&["2001:db8:2::"]));
    let next = town.create("a-newcomer", ours(&[]), V6, at(10));
    town.controllers(at(10));
    assert_eq!(town.ingress(&next), ips(&["2001:db8:1::"]), "what the first one has left");
    town.live(at(10));
    town.live_until(at(HOUR));
    assert_eq!(town.lab.failures(), [""; 0]);
    assert_eq!(town.ingress(&first), ips(&["2001:db8:2::"]));
    assert_eq!(town.ingress(&second), ips(&["2001:db8:2::1"]));
    assert_eq!((town.ingress(&next), town.note(&next, KEPT)), (ips(&["2001:db8:2::2"]), Some("::2".to_owned())));
    town.rotate(3, at(HOUR));
    town.live(at(HOUR));
    town.live_until(at(2 * HOUR));
    assert_eq!(town.ingress(&next), ips(&["2001:db8:3::2"]), "and it keeps that");
}

/// MetalLB takes everything from a Service that is pinned to an address which it believes to be another's still.
#[test]
fn what_a_deleted_service_had_is_left_to_metallb_for_a_moment() {
    [false, true].into_iter().for_each(a_service_is_deleted);
}

/// `is_restarted`: the daemon was not there to see it.
fn a_service_is_deleted(is_restarted: bool) {
    let public = metallb("public");
    let mut town = town(&public, ServiceScope::Annotated);
    let first = town.create("first", ours(&[]), V6, at(5));
    town.live(at(5));
    town.rotate(2, at(10));
    assert_eq!(town.write(at(10)), Some(public));
    town.controllers(at(10));
    assert_eq!(town.write(at(10)), Some(first.clone()));
    town.controllers(at(10));
    town.lab.api.delete(&first);
    if is_restarted {
        town.restart(true, at(11));
    } else {
        town.lab.island.handle_deleted(&first, at(11));
    }
    let next = town.create("a-newcomer", ours(&[]), V6, at(11));
    town.controllers(at(11));
    assert_eq!(town.ingress(&next), ips(&["2001:db8:1::"]), "the range is whole, and the first one has left that");
    town.live(at(11));
    town.live_until(at(14));
    assert_eq!(town.ingress(&next), ips(&["2001:db8:1::"]));
    town.held.values_mut().for_each(|who| who.retain(|holder| *holder != first));
    town.live_until(at(HOUR));
    assert_eq!((town.ingress(&next), town.lab.reason(&next)), (ips(&["2001:db8:2::"]), "Synced"));
}

/// The one that asks for it by suffix has it; with Cilium the other one moves with both addresses.
#[test]
fn a_suffix_wins_against_an_address_of_the_allocator() {
    let mut town = town(&pool("lb"), ServiceScope::Annotated);
    let found = town.create("found", json!({}), DUAL, at(1));
    town.live(at(1));
    assert_eq!(town.ingress(&found), ips(&["192.0.2.1", "2001:db8:1::"]));
    let fixed = town.create("the-fixed-one", ours(&[(SUFFIX, "::")]), V6, at(2));
    town.live(at(2));
    assert_eq!(town.lab.reason(&fixed), "AddressRefused", "the other one is not ours to move");
    town.annotate(&found, "kubectl", "dynamic-prefix.io/name", Some("home-ipv6"), at(3));
    town.live(at(3));
    assert_eq!(town.note(&found, KEPT).as_deref(), Some("::2"), "the other one has the first address meanwhile");
    assert_eq!(town.ingress(&found), ips(&["192.0.2.1", "2001:db8:1::", "2001:db8:1::2"]));
    town.live_until(at(HOUR));
    assert_eq!(reasons(&town, &[&found, &fixed]), ["Synced", "Synced"]);
    assert_eq!(town.ingress(&found), ips(&["192.0.2.1", "2001:db8:1::2"]));
    assert_eq!(town.ingress(&fixed), ips(&["2001:db8:1::"]));
}

#[test]
fn of_all_services_one_whose_place_is_taken_gets_the_next_one() {
    let mut town = town(&pool("lb"), ServiceScope::All);
    let any = town.create("any", json!({}), V6, at(1));
    town.live(at(1));
    let theirs = json!({ "dynamic-prefix.io/name": "somebody-elses", IPS: "2001:db8:2::" });
    town.create("a-squatter", theirs, V6, at(2));
    let fixed = town.create("fixed", json!({ SUFFIX: "::7" }), V6, at(2));
    town.live(at(2));
    town.create("another-squatter", json!({ "dynamic-prefix.io/name": "x", IPS: "2001:db8:2::7" }), V6, at(3));
    town.live_until(at(200));
    town.rotate(2, at(200));
    town.live(at(200));
    assert_eq!(town.lab.reason(&any), "AddressRefused", "the other one may be on its way out");
    town.live_until(at(205));
    assert_eq!(town.ingress(&any), ips(&["2001:db8:1::", "2001:db8:2::1"]), "without a gap");
    assert_eq!(town.note(&any, KEPT).as_deref(), Some("::1"));
    assert_eq!(reasons(&town, &[&any, &fixed]), ["Synced", "AddressRefused"], "a suffix waits, and says so");
    assert_eq!(town.ingress(&fixed), ips(&["2001:db8:1::7"]));
}

/// It would get that besides once the other one leaves, and have two addresses of one prefix.
#[test]
fn what_a_service_yields_it_does_not_ask_for_any_more() {
    let mut town = town(&pool("lb"), ServiceScope::Annotated);
    let any = town.create("any", ours(&[]), V6, at(1));
    town.live(at(1));
    let squatter = town.create("a-squatter", json!({ IPS: "2001:db8:2::" }), V6, at(2));
    town.rotate(2, at(10));
    town.live(at(10));
    assert_eq!(
        town.note(&any, IPS).as_deref(),
        Some("2001:db8:2::,2001:db8:1::"),
        "the other one may be on its way out"
    );
    town.live_until(at(15));
    assert_eq!(town.note(&any, IPS).as_deref(), Some("2001:db8:2::1,2001:db8:1::"));
    town.lab.api.delete(&squatter);
    town.lab.island.handle_deleted(&squatter, at(20));
    town.live(at(20));
    assert_eq!(town.ingress(&any), ips(&["2001:db8:1::", "2001:db8:2::1"]));
    town.draining = 0;
    town.tell(at(HOUR));
    town.live(at(HOUR));
    town.live_until(at(2 * HOUR));
    assert_eq!((town.ingress(&any), town.lab.reason(&any)), (ips(&["2001:db8:2::1"]), "Synced"));
}

/// Its prefix is dead and DNS is not ours, so nothing makes it wait but the pool: the next Service would get what it gives
/// up, with its host part.
#[test]
fn nothing_is_given_up_before_the_pool_is_narrowed() {
    let lb = pool("lb");
    let mut town = town(&lb, ServiceScope::Annotated);
    let one = town.create("one", ours(&[NO_DNS]), V6, at(1));
    let two = town.create("two", ours(&[NO_DNS]), V6, at(1));
    town.live(at(1));
    town.dead.insert(1);
    town.rotate(2, at(10));
    assert_eq!(town.write(at(10)), Some(lb.clone()));
    town.controllers(at(10));
    assert_eq!(town.write(at(10)), Some(one.clone()));
    town.controllers(at(10));
    assert_eq!(town.ingress(&one), ips(&["2001:db8:1::", "2001:db8:2::"]));
    assert_eq!(town.write(at(10)), Some(two));
    assert_eq!(town.write(at(10)), None, "the old range is whole, for the other one is on its way");
    town.controllers(at(10));
    assert_eq!((town.write(at(10)), town.write(at(10))), (Some(lb.clone()), None), "narrowed, and not seen yet");
    assert_eq!(town.lab.text(&lb)[1..], ["2001:db8:2::/64", "2001:db8:1::-2001:db8:1::1"]);
    town.is_alive = false;
    town.live_until(at(71));
    assert_eq!(town.lab.failures(), ["AwaitingNarrowing"; 2], "it is told, and not skipped");
    assert_eq!(town.ingress(&one), ips(&["2001:db8:1::", "2001:db8:2::"]));
    town.is_alive = true;
    town.live(at(100));
    assert_eq!((town.ingress(&one), town.lab.reason(&one)), (ips(&["2001:db8:2::"]), "Synced"));
    assert_eq!(town.lab.text(&lb)[1..], ["2001:db8:2::/64"]);
    assert_eq!(town.ingress(&service("two")), ips(&["2001:db8:2::1"]));
}

/// LB-IPAM hands out the ranges that it has known for longest first: what was given up in a former one would be the next
/// Service's.
#[test]
fn what_services_leave_in_a_former_range_leaves_the_pool() {
    let lb = pool("lb");
    let mut town = town(&lb, ServiceScope::Annotated);
    let [one, two, _] = ["a", "b", "c"].map(|name| town.create(name, json!({}), V6, at(1)));
    town.live(at(1));
    town.rotate(2, at(10));
    town.live(at(10));
    town.rotate(3, at(20));
    town.live(at(20));
    assert_eq!(town.lab.text(&lb)[1..], ["2001:db8:3::/64", "2001:db8:1::-2001:db8:1::2"]);
    for service in [&one, &two] {
        town.lab.api.delete(service);
        town.lab.island.handle_deleted(service, at(30));
    }
    assert_eq!(town.live(at(30)), []);
    assert_eq!(town.live_until(at(40)), std::slice::from_ref(&lb), "one write for both");
    assert_eq!(town.lab.text(&lb)[1..], ["2001:db8:3::/64", "2001:db8:1::2-2001:db8:1::2"]);
    let next = town.create("next", json!({}), V6, at(50));
    town.live(at(50));
    assert_eq!(town.ingress(&next), ips(&["2001:db8:3::"]));
}

/// Seen of LB-IPAM with Services that share an address: it gives one of them an address that has just left the pool.
#[test]
fn an_address_that_is_on_no_pool_is_not_waited_for_for_ever() {
    let lb = pool("lb");
    let mut town = town(&lb, ServiceScope::Annotated);
    let one = town.create("one", ours(&[(SUFFIX, "::5")]), V6, at(1));
    town.live(at(1));
    town.live_until(at(200));
    town.numbers.push(9);
    town.rotate(2, at(200));
    let two = service("two");
    town.lab.api.create_service(&two, ours(&[(SUFFIX, "::6")]), spec(V6));
    let given = town.lab.api.edit_service(&two, "controller", |value| {
        value["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "2001:db8:9::6" }] } });
    });
    town.is_alive = false;
    town.lab.island.handle_object(given, at(200));
    assert_eq!(town.write(at(200)), Some(lb.clone()));
    let seen = town.lab.api.edit(&lb, "controller", |object| {
        object.observed = Some(object::Observed { generation: object.generation, ..Default::default() });
    });
    town.lab.island.handle_object(seen, at(200));
    town.live(at(200));
    assert_eq!(town.note(&one, IPS).as_deref(), Some("2001:db8:2::5,2001:db8:1::5"));
    assert_eq!((town.note(&two, IPS), town.lab.reason(&two)), (None, "AwaitingPool"), "it is about to change");
    town.live_until(at(206));
    assert_eq!(town.note(&two, IPS).as_deref(), Some("2001:db8:2::6,2001:db8:9::6"));
}
