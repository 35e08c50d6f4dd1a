//! What people change while Services are managed: the file, annotations, labels.

use super::town::{DUAL, Town, V6, ips, ours, service};
use super::*;

const IPS: &str = "lbipam.cilium.io/ips";
const TARGET: &str = "external-dns.kubernetes.io/target";
const SUFFIX: &str = "dynamic-prefix.io/suffix";

fn town(target: &ObjectRef) -> Town {
    let mut town = Town::new(Mode::Ha, target);
    town.tell(at(0));
    town.live(at(0));
    town
}

fn entry(target: &ObjectRef, suffix: Option<&str>) -> config::Service {
    config::Service {
        cluster: "home".to_owned(),
        target: target.clone(),
        dynamic_prefix: "home-ipv6".to_owned(),
        part: Part::Named(vec!["lb".to_owned()]),
        suffix: suffix.map(|suffix| suffix.parse().expect("an address")),
    }
}

/// A host part that has no place any more: what it asks for stays as long as somebody can serve it, and no longer.
#[test]
fn a_service_in_error_is_not_left_asking_for_what_nobody_serves() {
    for (key, value, reason) in [
        (SUFFIX, "::1:0:0:0:2", "EntryError"),
        (SUFFIX, "two", "InvalidSuffix"),
        ("dynamic-prefix.io/service-subnet", "bad", "EntryError"),
        ("dynamic-prefix.io/service-subnet", "none", "EntryError"),
    ] {
        let mut town = town(&pool("lb"));
        let front = town.create("front", ours(&[]), DUAL, at(1));
        town.live(at(1));
        let before = town.note(&front, IPS);
        assert_eq!(before.as_deref(), Some("192.0.2.1,2001:db8:1::"));
        town.annotate(&front, "kubectl", key, Some(value), at(2));
        assert_eq!((town.live(at(2)), town.lab.reason(&front)), (vec![], reason), "{value}");
        town.rotate(2, at(10));
        town.live(at(10));
        town.live_until(at(1000));
        assert_eq!((town.note(&front, IPS), town.lab.reason(&front)), (before, reason), "{value}: it drains");
        assert_eq!(town.note(&front, TARGET).as_deref(), Some("192.0.2.1,2001:db8:1::"));
        town.draining = 0;
        town.tell(at(HOUR));
        town.live(at(HOUR));
        town.live_until(at(HOUR + 10));
        assert_eq!((town.note(&front, IPS), town.note(&front, TARGET)), (None, None), "{value}");
        assert_eq!(town.ingress(&front), ips(&["192.0.2.1", "2001:db8:2::"]), "{value}");
        assert_eq!(town.lab.text(&pool("lb"))[1..], ["2001:db8:2::/64"]);
        assert_eq!((town.lab.reason(&front), town.lab.report(&front).synced), (reason, false));
        assert_eq!(town.note(&front, "dynamic-prefix.io/managed-suffix").as_deref(), Some("::"), "what it had is kept");
    }
}

/// The prefix has come back, and the former one has drained: of what it has it keeps what is of the current prefix, and
/// DNS names that, not what it gives up in the same write.
#[test]
fn a_service_in_error_is_not_named_with_what_it_gives_up() {
    let mut town = town(&pool("lb"));
    let front = town.create("front", ours(&[(SUFFIX, "::77")]), V6, at(1));
    town.live(at(1));
    town.rotate(2, at(10));
    town.live(at(10));
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("2001:db8:2::77"));
    town.annotate(&front, "kubectl", SUFFIX, Some("::1:0:0:0:0:77"), at(11));
    town.rotate(1, at(12));
    town.live(at(12));
    assert_eq!(town.lab.reason(&front), "EntryError");
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("2001:db8:2::77"), "it has that still");
    town.draining = 0;
    town.tell(at(HOUR));
    town.live(at(HOUR));
    town.live_until(at(2 * HOUR));
    assert_eq!(town.ingress(&front), ips(&["2001:db8:1::77"]));
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("2001:db8:1::77"));
}

/// The same for two that are to have one address: what they had before they collided.
#[test]
fn services_that_collide_are_not_left_asking_for_what_nobody_serves() {
    let mut town = town(&pool("lb"));
    let one = town.create("one", ours(&[]), V6, at(1));
    let two = town.create("two", ours(&[(SUFFIX, "::5")]), V6, at(1));
    town.live(at(1));
    town.annotate(&one, "kubectl", SUFFIX, Some("::5"), at(2));
    assert_eq!((town.live(at(2)), town.lab.reason(&one)), (vec![], "AddressCollision"));
    town.rotate(2, at(10));
    town.live(at(10));
    town.live_until(at(1000));
    assert_eq!((town.ingress(&one), town.ingress(&two)), (ips(&["2001:db8:1::"]), ips(&["2001:db8:1::5"])));
    town.draining = 0;
    town.tell(at(HOUR));
    town.live(at(HOUR));
    town.live_until(at(HOUR + 10));
    for service in [&one, &two] {
        assert_eq!((town.note(service, IPS), town.lab.reason(service)), (None, "AddressCollision"));
        assert!(!town.ingress(service).is_empty());
    }
    assert_eq!(town.lab.text(&pool("lb"))[1..], ["2001:db8:2::/64"]);
}

/// MetalLB must hear of the Service before it hears of the range: else it has nothing for a while.
#[test]
fn a_service_in_error_is_left_to_metallb_before_the_range_goes() {
    let public = metallb("public");
    let mut town = town(&public);
    let front = town.create("front", ours(&[]), V6, at(1));
    town.live(at(1));
    town.live_until(at(5));
    assert_eq!(town.note(&front, "metallb.io/loadBalancerIPs").as_deref(), Some("2001:db8:1::"));
    town.annotate(&front, "kubectl", SUFFIX, Some("two"), at(10));
    town.rotate(2, at(20));
    town.live(at(20));
    town.live_until(at(30));
    assert_eq!(town.ingress(&front), ips(&["2001:db8:1::"]));
    town.draining = 0;
    town.tell(at(HOUR));
    let written = town.live(at(HOUR));
    assert_eq!(written.first(), Some(&front), "{written:?}");
    assert_eq!(town.ingress(&front), ips(&["2001:db8:1::"]), "until MetalLB is sure to know");
    town.live_until(at(HOUR + 10));
    assert_eq!(town.ingress(&front), ips(&["2001:db8:2::"]));
    assert_eq!(town.lab.reason(&front), "InvalidSuffix");
}

/// Another range in the file, in which the kept host part has no place: the pool loses the former one at once.
#[test]
fn a_range_that_leaves_takes_the_pins_in_it_along() {
    let mut town = town(&pool("lb"));
    let front = town.create("front", ours(&[]), V6, at(1));
    town.live(at(1));
    town.is_watched = false;
    town.bindings = vec![binding("b", "other", &pool("lb"))];
    town.annotate(&front, "kubectl", "dynamic-prefix.io/service-subnet", Some("other"), at(2));
    town.tell(at(2));
    town.live(at(2));
    town.live_until(at(20));
    assert_eq!((town.note(&front, IPS), town.note(&front, TARGET)), (None, None));
    assert_eq!(town.ingress(&front), ips(&["2001:db8:1:1::"]));
    assert_eq!(town.lab.reason(&front), "EntryError");
}

#[test]
fn a_prefix_of_external_dns_that_leaves_the_file_takes_its_annotation_along() {
    let mut town = town(&pool("lb"));
    let front = town.create("front", ours(&[("dns.example/target", "name.example")]), V6, at(1));
    let with = |prefixes: &[&str]| Cluster {
        external_dns: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
        ..cluster()
    };
    town.lab.island.reconfigure(&with(&["dns.example/", "b.example/"]));
    town.lab.island.handle_timeout(at(1));
    town.live(at(1));
    assert_eq!(town.note(&front, "dns.example/target").as_deref(), Some("name.example,2001:db8:1::"));
    assert_eq!(town.note(&front, "b.example/target").as_deref(), Some("2001:db8:1::"));
    town.lab.island.reconfigure(&with(&[EXTERNAL_DNS[0]]));
    town.lab.island.handle_timeout(at(2));
    town.live(at(2));
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("2001:db8:1::"));
    assert_eq!(town.note(&front, "dns.example/target").as_deref(), Some("name.example"));
    assert_eq!(town.note(&front, "b.example/target"), None);
}

/// The same when the Service is released after a restart: the store knows which annotations they were.
#[test]
fn a_release_takes_the_annotations_of_former_prefixes_along() {
    let mut town = town(&pool("lb"));
    let front = town.create("front", ours(&[]), V6, at(1));
    town.lab.island.reconfigure(&Cluster { external_dns: vec!["dns.example/".to_owned()], ..cluster() });
    town.lab.island.handle_timeout(at(1));
    town.live(at(1));
    assert_eq!(town.note(&front, "dns.example/target").as_deref(), Some("2001:db8:1::"));
    town.lab.api.edit_service(&front, "kubectl", |service| {
        drop(service["metadata"]["annotations"].as_object_mut().expect("annotations").remove("dynamic-prefix.io/name"));
    });
    town.restart(true, at(10));
    town.live(at(10));
    assert_eq!(town.note(&front, "dns.example/target"), None);
    assert_eq!(town.note(&front, "dynamic-prefix.io/managed-targets"), None);
}

/// What was refused to a Service is not refused to its successor of the same name.
#[test]
fn a_service_that_is_made_anew_asks_anew() {
    let mut town = town(&pool("lb"));
    let front = service("front");
    town.services = vec![entry(&front, Some("::5"))];
    town.tell(at(1));
    town.is_alive = false;
    town.create("front", json!({}), V6, at(1));
    town.live(at(1));
    town.says(&front, "pool_selector_mismatch", "The pool does not match '2001:db8:1::5'", at(2));
    assert_eq!(town.lab.reason(&front), "AddressRefused");
    town.lab.api.delete(&front);
    town.lab.island.handle_deleted(&front, at(3));
    town.live(at(3));
    town.is_alive = true;
    town.create("front", json!({}), V6, at(4));
    town.live(at(4));
    town.live_until(at(200));
    assert_eq!((town.lab.reason(&front), town.ingress(&front)), ("Synced", ips(&["2001:db8:1::5"])));
}

/// A label makes the pool select it: that changes nothing by which the Service's generation counts.
#[test]
fn another_label_is_a_reason_to_ask_again() {
    let mut town = town(&pool("lb"));
    let front = town.create("front", ours(&[]), V6, at(1));
    town.live(at(1));
    town.rotate(2, at(10));
    town.is_alive = false;
    town.write(at(10));
    town.pools_are_seen(at(10));
    town.live(at(10));
    assert_eq!(town.note(&front, IPS).as_deref(), Some("2001:db8:2::,2001:db8:1::"));
    town.says(&front, "pool_selector_mismatch", "The pool does not match '2001:db8:2::'", at(11));
    town.draining = 0;
    town.tell(at(12));
    town.live(at(12));
    assert_eq!((town.note(&front, IPS), town.lab.reason(&front)), (None, "AddressRefused"));
    let without = town.lab.api.edit_service(&front, "controller", |service| {
        service["status"]["loadBalancer"] = json!({});
    });
    town.lab.island.handle_object(without, at(13));
    town.live(at(13));
    town.pools_are_seen(at(14));
    town.live(at(14));
    assert_eq!(town.note(&front, IPS), None);
    let labelled = town.lab.api.edit_service(&front, "kubectl", |service| {
        service["metadata"]["labels"] = json!({ "pool": "lb" });
    });
    town.lab.island.handle_object(labelled, at(20));
    assert_eq!(town.write(at(20)).as_ref(), Some(&front));
    assert_eq!(town.note(&front, IPS).as_deref(), Some("2001:db8:2::"));
}

/// A Service stays managed while its DynamicPrefix has nothing to say.
#[test]
fn without_an_opinion_nothing_is_released() {
    let mut town = town(&pool("lb"));
    town.scope = ServiceScope::All;
    town.tell(at(0));
    let front = town.create("front", json!({}), V6, at(1));
    town.live(at(1));
    assert_eq!(town.note(&front, IPS).as_deref(), Some("2001:db8:1::"));
    let mut silent = town.wanted();
    let mut catalogue = (*silent.catalogue).clone();
    for computed in catalogue.dynamic_prefixes.values_mut() {
        computed.has_opinion = false;
        computed.generations.clear();
    }
    silent.catalogue = Arc::new(catalogue);
    town.restart(true, at(10));
    town.lab.island.handle_wanted(silent, at(10));
    assert_eq!(town.live(at(10)), []);
    assert_eq!(town.lab.reason(&front), "NoOpinion");
}

/// The watch shows Services of type LoadBalancer only. One of another type looks as if it were gone, and external-dns would
/// go on naming its target.
#[test]
fn a_service_of_another_type_is_given_back() {
    for (remembers, has_entry) in [(None, false), (None, true), (Some(true), false)] {
        let mut town = town(&pool("lb"));
        let front = town.create("front", ours(&[(TARGET, "name.example")]), V6, at(1));
        if has_entry {
            town.services = vec![entry(&front, Some("::5"))];
            town.tell(at(1));
        }
        town.live(at(1));
        assert!(town.note(&front, IPS).is_some());
        town.is_alive = false;
        town.change_type(&front, "ClusterIP");
        match remembers {
            None => town.lab.island.handle_deleted(&front, at(2)),
            Some(remembers) => town.restart(remembers, at(2)),
        }
        assert_eq!(town.live(at(2)), [front.clone(), front.clone()], "a look and the release");
        assert_eq!((town.note(&front, IPS), town.note(&front, TARGET).as_deref()), (None, Some("name.example")));
        let left = town.lab.api.get(&front).annotations.keys().filter(|key| key.contains("managed")).count();
        assert_eq!((left, town.live_until(at(HOUR))), (0, vec![]));
        assert_eq!(town.lab.managed().len(), 1, "the pool");
        assert_eq!(town.lab.reports.get(&front).map(|report| &*report.reason), has_entry.then_some("TargetMissing"));
        // And back again.
        town.change_type(&front, "LoadBalancer");
        let there = town.lab.api.get(&front).clone();
        town.lab.island.handle_object(there, at(HOUR));
        town.is_alive = true;
        town.live(at(HOUR));
        town.live_until(at(HOUR + 200));
        assert_eq!((town.lab.reason(&front), town.note(&front, IPS).is_some()), ("Synced", true));
    }
}

/// One that is gone costs one request, and is not asked for again.
#[test]
fn a_service_that_is_gone_is_looked_for_once() {
    let mut town = town(&pool("lb"));
    let front = town.create("front", ours(&[]), V6, at(1));
    town.live(at(1));
    town.lab.api.delete(&front);
    town.lab.island.handle_deleted(&front, at(2));
    town.lab.fail(WriteError::Unreachable("gone".to_owned()), at(2));
    assert_eq!(town.live_until(at(HOUR)), std::slice::from_ref(&front));
    assert!(!town.lab.reports.contains_key(&front));
    assert!(!town.lab.events.iter().any(|event| matches!(event, Event::Released { .. } | Event::Failing { .. })));
    // Another one of that name is a new one.
    let front = town.create("front", ours(&[]), V6, at(HOUR));
    town.live(at(HOUR));
    assert_eq!(town.lab.reason(&front), "Synced");
}

/// It is deleted while a patch of it is on its way: that this finds nothing is no trouble of anybody.
#[test]
fn a_service_that_goes_while_it_is_written_is_forgotten() {
    let mut town = town(&pool("lb"));
    let front = town.create("front", ours(&[]), V6, at(1));
    town.live(at(1));
    town.is_alive = false;
    town.annotate(&front, "kubectl", "dynamic-prefix.io/suffix", Some("::7"), at(2));
    let written = town.lab.island.poll_write(at(2)).map(|write| write.object);
    assert_eq!(written, Some(front.clone()));
    town.lab.api.delete(&front);
    town.lab.island.handle_deleted(&front, at(2));
    town.lab.island.handle_written(&front, Err(WriteError::NotFound), at(2));
    assert_eq!(town.live(at(2)), std::slice::from_ref(&front), "a look");
    assert!(!town.lab.reports.contains_key(&front), "{:?}", town.lab.reports.get(&front));
    assert!(!town.lab.events.iter().any(|event| matches!(event, Event::Failing { .. })), "{:?}", town.lab.events);
}

/// It is back before anybody has looked.
#[test]
fn a_service_that_is_seen_again_is_not_given_back() {
    let mut town = town(&pool("lb"));
    let front = town.create("front", ours(&[]), V6, at(1));
    town.live(at(1));
    let there = town.lab.api.get(&front).clone();
    town.lab.island.handle_deleted(&front, at(2));
    town.lab.island.handle_object(there, at(2));
    assert_eq!((town.live(at(2)), town.lab.reason(&front)), (vec![], "Synced"));
    town.lab.island.handle_deleted(&front, at(3));
    assert_eq!(town.live(at(3)), std::slice::from_ref(&front), "the answer shows that it is there");
    assert_eq!(town.lab.reason(&front), "Synced");
}

/// Somebody who may write one Service must not hold up all others: lists of thousands are not compared.
#[test]
fn a_list_that_is_too_long_is_left_alone() {
    let mut town = town(&pool("lb"));
    let (front, other) = (town.create("front", ours(&[]), V6, at(1)), town.create("other", ours(&[]), V6, at(1)));
    town.live(at(1));
    let long = |count: usize| (0..count).map(|n| format!("2001:db8:f::{n:x}")).collect::<Vec<_>>().join(",");
    let many = long(1000) + "," + &town.note(&front, IPS).expect("its pin");
    for (key, text) in [(IPS, many.as_str()), ("dynamic-prefix.io/managed-targets", &*",".repeat(100_000))] {
        let before = town.note(&front, key);
        town.annotate(&front, "kubectl", key, Some(text), at(2));
        assert_eq!((town.live(at(2)), town.lab.reason(&front)), (vec![], "ListTooLong"), "{key}");
        assert!(message(&town, &front).contains(key), "{}", message(&town, &front));
        town.annotate(&front, "kubectl", key, before.as_deref(), at(3));
        town.live(at(3));
        assert_eq!(town.lab.reason(&front), "Synced");
    }
    town.annotate(&front, "kubectl", IPS, Some(&many), at(4));
    town.annotate(&front, "kubectl", "dynamic-prefix.io/name", None, at(5));
    town.rotate(2, at(6));
    town.live(at(6));
    assert_eq!((town.lab.reason(&front), town.lab.reason(&other)), ("ListTooLong", "Synced"));
}

fn message(town: &Town, service: &ObjectRef) -> String {
    town.lab.report(service).message.clone().unwrap_or_default()
}
