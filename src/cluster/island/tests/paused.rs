//! Objects that a person withdrew: what is ours leaves them, and they are left alone until they are cared for again.

use super::api::{annotated, object};
use super::town::{Town, V6, ips, ours};
use super::*;
use crate::cluster::service::{MANAGED_IPS, MANAGED_SUFFIX, MANAGED_TARGETS};
use crate::cluster::{Paused, Told};

const IPS: &str = "lbipam.cilium.io/ips";
const TARGET: &str = "external-dns.kubernetes.io/target";

fn everything() -> Arc<Told> {
    Arc::new(Told { paused: Paused { everything: true, ..Paused::default() }, ..Told::default() })
}

fn only(object: &ObjectRef) -> Arc<Told> {
    let paused = Paused { objects: BTreeSet::from([object.clone()]), ..Paused::default() };
    Arc::new(Told { paused, ..Told::default() })
}

fn bound(prefix: u16, told: Arc<Told>) -> Wanted {
    Wanted {
        told,
        ..wanted(prefixes(&[prefix]), vec![binding("a", "lb", &pool("a")), binding("b", "other", &pool("b"))])
    }
}

#[test]
fn one_object_is_released_and_left_alone_and_its_neighbour_is_not() {
    let mut lab = Lab::new(["a", "b"].map(|name| object(&pool(name), [cidr("192.0.2.0/24")])));
    lab.want(bound(1, Arc::default()), at(0));
    lab.want(bound(1, only(&pool("a"))), at(1));
    let is_told = |event: &Event| matches!(event, Event::Released { why: Release::Withdrawn, .. });
    assert!(lab.events.iter().any(is_told), "{:?}", lab.events);
    assert_eq!(lab.text(&pool("a")), ["192.0.2.0/24"]);
    assert_eq!(lab.record(&pool("a")), None);
    assert!(!lab.api.get(&pool("a")).annotations.contains_key(MANAGED_BY));
    assert_eq!(lab.report(&pool("a")).managed, None, "the store forgets it");
    assert_eq!((lab.reason(&pool("a")), lab.report(&pool("a")).synced), ("Paused", true));
    assert_eq!(lab.text(&pool("b")), ["192.0.2.0/24", "2001:db8:1:1::/64"]);
    // A new prefix and a restart are none of its business.
    lab.want(bound(2, only(&pool("a"))), at(2));
    let managed = lab.managed();
    let mut lab = lab.restarted(managed, at(3));
    lab.want(bound(2, only(&pool("a"))), at(3));
    assert_eq!((lab.text(&pool("a")), lab.reason(&pool("a"))), (vec!["192.0.2.0/24".to_owned()], "Paused"));
    assert_eq!(lab.text(&pool("b"))[1], "2001:db8:2:1::/64");
    lab.want(bound(2, Arc::default()), at(4));
    assert_eq!(lab.text(&pool("a")), ["192.0.2.0/24", "2001:db8:2::/64"]);
    assert_eq!(lab.reason(&pool("a")), "Synced");
}

/// What comes later is not touched either: an object made anew, one with annotations.
#[test]
fn everything_means_also_what_comes_later() {
    let mut lab = Lab::new([object(&pool("a"), [cidr("192.0.2.0/24")])]);
    lab.want(bound(1, everything()), at(0));
    let names = [("dynamic-prefix.io/name", "home-ipv6"), ("dynamic-prefix.io/subnet", "lb")];
    for new in [object(&pool("b"), []), annotated(object(&pool("c"), []), &names)] {
        let new = lab.api.create(new);
        lab.island.handle_object(new, at(1));
    }
    assert_eq!(lab.run(at(1)), 0);
    for name in ["a", "b", "c"] {
        assert_eq!(lab.reason(&pool(name)), "Paused", "{name}");
    }
}

/// The last entry of a group and of a MetalLB pool stays, and that is said; the one of an LB-IPAM pool goes.
#[test]
fn what_must_not_be_empty_keeps_ours_and_says_so() {
    for target in [group("g"), metallb("m"), pool("p")] {
        let mut lab = Lab::new([object(&target, [])]);
        let wanted = |told| Wanted { told, ..wanted(prefixes(&[1]), vec![binding("a", "lb", &target)]) };
        lab.want(wanted(Arc::default()), at(0));
        lab.want(wanted(everything()), at(1));
        if target.kind == Kind::CiliumLoadBalancerIPPool {
            assert_eq!((lab.text(&target).len(), lab.reason(&target)), (0, "Paused"));
            continue;
        }
        assert_eq!(lab.text(&target), ["2001:db8:1::/64"]);
        assert_eq!(lab.reason(&target), "CannotEmpty");
        let message = lab.report(&target).message.clone().unwrap();
        assert!(message.contains("the last ones on") && message.contains("Add an entry of your own"), "{message}");
        // With an entry of the user's it goes at once.
        let list = vec![json!("192.0.2.0/24"), json!("2001:db8:1::/64")];
        lab.edit(&target, "kubectl", list, at(2));
        assert_eq!((lab.text(&target), lab.reason(&target)), (vec!["192.0.2.0/24".to_owned()], "Paused"));
    }
}

/// With the state lost nothing is released, and the status does not pretend that it was.
#[test]
fn what_the_store_does_not_list_is_not_released() {
    let mut lab = Lab::new([object(&pool("a"), [cidr("192.0.2.0/24")])]);
    lab.want(bound(1, Arc::default()), at(0));
    let mut lab = lab.restarted(Vec::new(), at(1));
    lab.want(bound(1, everything()), at(1));
    assert_eq!(lab.text(&pool("a")), ["192.0.2.0/24", "2001:db8:1::/64"]);
    assert_eq!(lab.reason(&pool("a")), "Paused");
    let message = lab.report(&pool("a")).message.clone().unwrap();
    assert!(message.contains("resume") && message.contains("withdraw"), "{message}");
    assert!(!lab.report(&pool("a")).synced);
}

/// Nobody asks for what no pool has, and DNS never names it ([`Town::look`]): Services let go before the pool does.
#[test]
fn services_and_their_names_let_go_before_the_pool() {
    for is_of_all in [false, true] {
        let lb = pool("lb");
        let mut town = Town::new(Mode::Ha, &lb);
        if is_of_all {
            town.scope = ServiceScope::All;
        }
        town.tell(at(0));
        town.live(at(0));
        let annotations = if is_of_all { json!({}) } else { ours(&[]) };
        let fronts = ["a", "b"].map(|name| town.create(name, annotations.clone(), V6, at(1)));
        town.live(at(1));
        town.live_until(at(60));
        let told = Wanted { told: everything(), ..town.wanted() };
        town.lab.island.handle_wanted(told, at(70));
        let before = town.lab.writes.len();
        town.live(at(70));
        town.live_until(at(200));
        let order: Vec<Kind> = town.lab.writes[before..].iter().map(|write| write.object.kind).collect();
        assert_eq!(order, [Kind::Service, Kind::Service, Kind::CiliumLoadBalancerIPPool]);
        assert_eq!(town.lab.text(&lb), ["192.0.2.0/24"]);
        for service in &fronts {
            for key in [IPS, TARGET, MANAGED_IPS, MANAGED_TARGETS, MANAGED_SUFFIX, MANAGED_BY] {
                assert_eq!(town.note(service, key), None, "{key}");
            }
            assert_eq!(town.ingress(service), ips(&[]));
        }
        assert!(town.lab.managed().is_empty());
        town.tell(at(210));
        town.live(at(210));
        town.live_until(at(400));
        assert_eq!(town.note(&fronts[0], TARGET).as_deref(), Some("2001:db8:1::"), "{is_of_all}");
    }
}

/// A pool alone takes along what Services ask for in it: DNS first.
#[test]
fn a_pool_alone_takes_pins_and_names_of_its_services_along() {
    let lb = pool("lb");
    let mut town = Town::new(Mode::Ha, &lb);
    town.tell(at(0));
    town.live(at(0));
    let front = town.create("front", ours(&[]), V6, at(1));
    town.live(at(1));
    town.live_until(at(60));
    let told = Wanted { told: only(&lb), ..town.wanted() };
    town.lab.island.handle_wanted(told, at(70));
    town.live(at(70));
    town.live_until(at(100));
    assert_eq!(town.lab.text(&lb), ["192.0.2.0/24"]);
    assert_eq!((town.note(&front, IPS), town.note(&front, TARGET)), (None, None));
}

/// Permission was granted, and the person asks once more: nobody waits for the end of a back-off, and only what was named
/// is tried again.
#[test]
fn what_a_person_asks_for_is_tried_at_once() {
    let asked = |what: Option<&ObjectRef>, count: u64| {
        let told = Told { asked: BTreeMap::from([(what.cloned(), count)]), ..(*everything()).clone() };
        bound(1, Arc::new(told))
    };
    for (what, tried) in [(None, &["a", "b"][..]), (Some(pool("a")), &["a"])] {
        let mut lab = Lab::new(["a", "b"].map(|name| object(&pool(name), [cidr("192.0.2.0/24")])));
        lab.want(bound(1, Arc::default()), at(0));
        lab.island.handle_wanted(asked(what.as_ref(), 1), at(1));
        while let Some(write) = lab.island.poll_write(at(1)) {
            lab.island.handle_written(&write.object, Err(WriteError::Forbidden("no".to_owned())), at(1));
        }
        lab.drain();
        assert_eq!((lab.reason(&pool("a")), lab.reason(&pool("b"))), ("Forbidden", "Forbidden"));
        // Whatever else is told is no reason.
        lab.want(Wanted { denied: Arc::default(), ..asked(what.as_ref(), 1) }, at(2));
        assert_eq!(lab.reason(&pool("a")), "Forbidden");
        lab.want(asked(what.as_ref(), 2), at(3));
        for name in ["a", "b"] {
            let expected = if tried.contains(&name) { "Paused" } else { "Forbidden" };
            assert_eq!(lab.reason(&pool(name)), expected, "{what:?} {name}");
        }
    }
}

/// Somebody keeps removing what we write, so that we step back: what a person takes out is no fight.
#[test]
fn a_withdrawal_does_not_wait_for_the_end_of_a_fight() {
    let mut lab = Lab::new([object(&pool("a"), [cidr("192.0.2.0/24")])]);
    lab.want(bound(1, Arc::default()), at(0));
    for round in 1..=3 {
        lab.edit(&pool("a"), "argocd-controller", vec![json!("192.0.2.0/24")], at(round));
    }
    assert_eq!(lab.reason(&pool("a")), "Contested");
    let told = Told { asked: BTreeMap::from([(None, 1)]), ..(*everything()).clone() };
    lab.want(bound(1, Arc::new(told)), at(4));
    assert_eq!((lab.reason(&pool("a")), lab.record(&pool("a"))), ("Paused", None));
}
