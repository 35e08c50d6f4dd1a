//! What keeps a managed Service from its address, and what happens when it is not managed any more.

use super::town::{DUAL, Town, V6, ips, ours, service};
use super::*;

const IPS: &str = "lbipam.cilium.io/ips";
const TARGET: &str = "external-dns.kubernetes.io/target";
const SUFFIX: &str = "dynamic-prefix.io/suffix";

fn town() -> Town {
    let mut town = Town::new(Mode::Ha, &pool("lb"));
    town.tell(at(0));
    town.live(at(0));
    town
}

fn message(town: &Town, service: &ObjectRef) -> String {
    town.lab.report(service).message.clone().unwrap_or_default()
}

#[test]
fn two_services_with_one_address_are_both_left_alone() {
    let mut town = town();
    let one = town.create("one", ours(&[(SUFFIX, "::5")]), V6, at(1));
    town.live(at(1));
    assert_eq!(town.ingress(&one), ips(&["2001:db8:1::5"]));
    let two = town.create("two", ours(&[(SUFFIX, "::5")]), V6, at(2));
    let written = town.live(at(2));
    assert_eq!(written, []);
    for (service, other) in [(&one, "two"), (&two, "one")] {
        assert_eq!(town.lab.reason(service), "AddressCollision");
        assert!(message(&town, service).contains(other), "{}", message(&town, service));
    }
    town.annotate(&two, "kubectl", SUFFIX, Some("::6"), at(3));
    town.live(at(3));
    assert_eq!((town.lab.reason(&one), town.lab.reason(&two)), ("Synced", "Synced"));
    town.live_until(at(200));
    assert_eq!(town.ingress(&two), ips(&["2001:db8:1::6"]));
}

#[test]
fn an_address_that_another_service_holds_is_refused_and_dns_stays() {
    let mut town = town();
    let front = town.create("front", ours(&[(SUFFIX, "::")]), V6, at(1));
    town.live(at(1));
    // Somebody pins the address that the Service will have.
    let squatter = town.create("a-squatter", json!({ IPS: "2001:db8:2::" }), V6, at(2));
    town.live(at(2));
    town.rotate(2, at(10));
    let lb = pool("lb");
    town.live(at(10));
    assert_eq!(town.ingress(&front), ips(&["2001:db8:1::"]));
    assert_eq!(
        (town.lab.reason(&front), town.note(&front, TARGET).as_deref()),
        ("AddressRefused", Some("2001:db8:1::"))
    );
    assert!(message(&town, &front).contains("a-squatter"), "{}", message(&town, &front));
    assert_eq!(town.lab.text(&lb)[1..], ["2001:db8:2::/64", "2001:db8:1::-2001:db8:1::"]);
    // At the end of the drain it is given up, so that it is not left with nothing.
    town.draining = 0;
    town.tell(at(HOUR));
    town.live(at(HOUR));
    assert_eq!(town.note(&front, IPS), None);
    assert_eq!(town.lab.text(&lb)[1..], ["2001:db8:2::/64", "2001:db8:1::-2001:db8:1::"], "for a moment");
    town.live_until(at(HOUR + 10));
    assert_eq!(town.ingress(&front), ips(&["2001:db8:2::1"]));
    // The squatter goes.
    town.annotate(&squatter, "kubectl", IPS, Some("2001:db8:2::99"), at(HOUR + 20));
    town.live(at(HOUR + 20));
    town.live_until(at(HOUR + 200));
    assert_eq!((town.lab.reason(&front), town.ingress(&front)), ("Synced", ips(&["2001:db8:2::"])));
}

#[test]
fn what_is_ours_leaves_with_the_annotation_also_after_a_restart() {
    for restarts in [false, true] {
        let mut town = town();
        let front = town.create("front", ours(&[(TARGET, "name.example")]), DUAL, at(1));
        town.live(at(1));
        assert_eq!(town.note(&front, TARGET).as_deref(), Some("name.example,192.0.2.1,2001:db8:1::"));
        town.rotate(2, at(10));
        town.live(at(10));
        if restarts {
            town.restart(true, at(11));
            town.live(at(11));
        }
        town.annotate(&front, "kubectl", "dynamic-prefix.io/name", None, at(20));
        assert_eq!(town.live(at(20)), std::slice::from_ref(&front));
        let left: Vec<_> = town.lab.api.get(&front).annotations.clone().into_iter().collect();
        let expected = [("dynamic-prefix.io/service-subnet", "lb"), (TARGET, "name.example")];
        assert_eq!(left, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert!(
            town.lab.events.iter().any(|event| matches!(event, Event::Released { object, .. } if *object == front))
        );
        assert_eq!(town.lab.removed, [front]);
    }
}

#[test]
fn only_what_the_store_lists_is_released() {
    let mut town = town();
    let front = town.create("front", ours(&[]), V6, at(1));
    town.live(at(1));
    town.lab.api.edit_service(&front, "kubectl", |service| {
        drop(service["metadata"]["annotations"].as_object_mut().expect("annotations").remove("dynamic-prefix.io/name"));
    });
    town.restart(false, at(10));
    assert_eq!(town.live(at(10)), []);
    assert_eq!(town.note(&front, IPS).as_deref(), Some("2001:db8:1::"));
}

/// D25
#[test]
fn d25_skip_external_dns_update_gives_the_target_back() {
    let mut town = town();
    let front = town.create("front", ours(&[(TARGET, "example.com")]), V6, at(1));
    town.live(at(1));
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("example.com,2001:db8:1::"));
    town.annotate(&front, "kubectl", "dynamic-prefix.io/skip-external-dns-update", Some("true"), at(2));
    assert_eq!(town.live(at(2)).len(), 1);
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("example.com"));
    assert_eq!(town.note(&front, "external-dns.alpha.kubernetes.io/target"), None);
    assert_eq!(town.note(&front, "dynamic-prefix.io/managed-targets"), None);
    assert_eq!(town.note(&front, IPS).as_deref(), Some("2001:db8:1::"));
    town.rotate(2, at(10));
    town.live(at(10));
    assert_eq!(town.ingress(&front), ips(&["2001:db8:1::", "2001:db8:2::"]));
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("example.com"));
}

#[test]
fn an_entry_in_the_file_wins_and_is_released_with_it() {
    let mut town = town();
    let front = town.create("front", json!({}), V6, at(1));
    town.live(at(1));
    town.services = vec![config::Service {
        cluster: "home".to_owned(),
        target: front.clone(),
        dynamic_prefix: "home-ipv6".to_owned(),
        part: Part::Named(vec!["lb".to_owned()]),
        suffix: Some("::42".parse().expect("an address")),
    }];
    town.tell(at(2));
    town.live(at(2));
    assert_eq!(town.ingress(&front), ips(&["2001:db8:1::", "2001:db8:1::42"]), "what resolvers remember stays");
    town.live_until(at(122));
    assert_eq!(town.ingress(&front), ips(&["2001:db8:1::42"]));
    assert_eq!(town.lab.report(&front).bindings, [crate::plan::service::ENTRY]);
    town.services.clear();
    town.tell(at(200));
    assert_eq!(town.live(at(200)).len(), 1);
    assert_eq!(town.lab.api.get(&front).annotations.len(), 0);
}

/// The new address is asked for, the old one is kept for its drain (D31: without a rotation it goes with the suffix).
#[test]
fn d31_another_suffix_moves_the_service() {
    let mut town = town();
    let front = town.create("front", ours(&[(SUFFIX, "::2")]), V6, at(1));
    town.live(at(1));
    town.annotate(&front, "kubectl", SUFFIX, Some("::8"), at(2));
    town.live(at(2));
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("2001:db8:1::8"));
    town.live_until(at(HOUR));
    assert_eq!(town.ingress(&front), ips(&["2001:db8:1::8"]));
    assert_eq!(town.note(&front, "dynamic-prefix.io/managed-suffix").as_deref(), Some("::8"));
}

#[test]
fn a_suffix_outside_its_range_is_an_error_of_that_service() {
    let mut town = town();
    let front = town.create("front", ours(&[(SUFFIX, "::1:0:0:0:2")]), V6, at(1));
    assert_eq!(town.live(at(1)), []);
    assert_eq!(town.lab.reason(&front), "EntryError");
    assert_eq!(town.note(&front, IPS), None);
}

#[test]
fn a_dry_run_shows_the_patch_once() {
    let mut town = town();
    let front = town.create("front", ours(&[]), V6, at(1));
    town.lab.island.reconfigure(&Cluster { dry_run: true, ..cluster() });
    town.lab.island.handle_timeout(at(1));
    assert_eq!(town.live(at(1)), []);
    town.tell(at(2));
    assert_eq!(town.live(at(2)), []);
    let shown =
        town.lab.events.iter().filter(|event| matches!(event, Event::DryRun { object, .. } if *object == front));
    assert_eq!(shown.count(), 1);
    assert_eq!((town.note(&front, IPS), town.lab.reason(&front)), (None, "DryRun"));
}

#[test]
fn a_service_that_may_not_be_written_holds_up_nobody() {
    let mut town = town();
    let (free, locked) = (service("a-free"), service("b-locked"));
    for name in ["a-free", "b-locked"] {
        town.create(name, ours(&[]), V6, at(1));
    }
    town.live(at(1));
    town.rotate(2, at(10));
    let lb = pool("lb");
    assert_eq!(town.write(at(10)), Some(lb.clone()));
    town.controllers(at(10));
    assert_eq!(town.write(at(10)), Some(free.clone()));
    town.lab.fail(WriteError::Forbidden("services is forbidden".to_owned()), at(10));
    town.live(at(10));
    assert_eq!((town.lab.reason(&free), town.lab.reason(&locked)), ("Synced", "Forbidden"));
    assert!(message(&town, &locked).contains("resources: [services]"), "{}", message(&town, &locked));
    assert_eq!(town.lab.text(&lb)[1..], ["2001:db8:2::/64", "2001:db8:1::-2001:db8:1::1"], "the pool goes on");
    town.lab.island.handle_connected(at(20));
    town.live(at(20));
    assert_eq!(town.ingress(&locked), ips(&["2001:db8:1::1", "2001:db8:2::1"]));
}

/// Nobody can tell it to ask for something else, and its name leads there.
#[test]
fn a_service_that_may_not_be_written_keeps_its_address_until_the_prefix_is_dead() {
    let mut town = town();
    let (free, locked) = (service("a-free"), service("b-locked"));
    for name in ["a-free", "b-locked", "c-loose"] {
        let annotations = if name == "c-loose" { json!({}) } else { ours(&[]) };
        town.create(name, annotations, V6, at(1));
    }
    town.live(at(1));
    town.lab.api.locked.insert(locked.clone());
    town.rotate(2, at(10));
    town.live(at(10));
    town.draining = 0;
    town.tell(at(HOUR));
    town.live(at(HOUR));
    town.live_until(at(HOUR + 600));
    let lb = pool("lb");
    assert_eq!(town.lab.text(&lb)[1..], ["2001:db8:2::/64", "2001:db8:1::1-2001:db8:1::1"]);
    assert_eq!(town.ingress(&locked), ips(&["2001:db8:1::1"]));
    assert_eq!(town.note(&locked, TARGET).as_deref(), Some("2001:db8:1::1"));
    assert_eq!(town.ingress(&free), ips(&["2001:db8:2::"]));
    assert_eq!(town.ingress(&service("c-loose")), ips(&["2001:db8:2::1"]), "it moves with the range");
    assert_eq!((town.lab.reason(&lb), town.lab.reason(&locked)), ("DrainProlonged", "Forbidden"));
    let why = message(&town, &lb);
    assert!(why.contains("2001:db8:1::1 ") && why.contains("b-locked") && !why.contains("a-free"), "{why}");
    // What happens next: it may be written, or the prefix dies.
    let mut dying = town;
    dying.dead.insert(1);
    dying.tell(at(2 * HOUR));
    dying.is_watched = false;
    dying.live(at(2 * HOUR));
    assert_eq!(dying.lab.text(&lb)[1..], ["2001:db8:2::/64"]);
    assert_eq!(dying.lab.reason(&lb), "Synced");
    dying.lab.api.locked.clear();
    dying.lab.island.handle_connected(at(2 * HOUR + 1));
    dying.live(at(2 * HOUR + 1));
    dying.live_until(at(3 * HOUR));
    assert_eq!(dying.ingress(&locked), ips(&["2001:db8:2::2"]), "another one has what it would have had");
    assert_eq!((dying.lab.reason(&lb), dying.lab.reason(&locked)), ("Synced", "Synced"));
}

#[test]
fn a_service_that_may_be_written_at_last_leaves_the_old_prefix() {
    let mut town = town();
    let locked = town.create("locked", ours(&[]), V6, at(1));
    town.live(at(1));
    town.lab.api.locked.insert(locked.clone());
    town.rotate(2, at(10));
    town.live(at(10));
    town.draining = 0;
    town.tell(at(HOUR));
    town.live_until(at(HOUR + 600));
    assert_eq!(town.ingress(&locked), ips(&["2001:db8:1::"]));
    town.lab.api.locked.clear();
    town.lab.island.handle_connected(at(HOUR + 601));
    town.live(at(HOUR + 601));
    assert_eq!(town.ingress(&locked), ips(&["2001:db8:1::", "2001:db8:2::"]), "for those who remember it");
    town.live_until(at(HOUR + 800));
    assert_eq!(town.ingress(&locked), ips(&["2001:db8:2::"]));
    assert_eq!(town.lab.text(&pool("lb"))[1..], ["2001:db8:2::/64"]);
    assert_eq!(town.lab.reason(&pool("lb")), "Synced");
}

#[test]
fn a_conflict_is_computed_anew() {
    let mut town = town();
    let front = town.create("front", ours(&[]), V6, at(1));
    town.controllers(at(1));
    let write = town.lab.island.poll_write(at(1)).expect("its adoption");
    town.lab.api.edit_service(&front, "kubectl", |service| {
        service["metadata"]["annotations"][TARGET] = json!("name.example");
    });
    let answer = town.lab.api.patch(&write);
    assert_eq!(answer, Err(WriteError::Conflict));
    town.lab.island.handle_written(&front, answer, at(1));
    let seen = town.lab.api.get(&front).clone();
    town.lab.island.handle_object(seen, at(1));
    town.live(at(1));
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("name.example,2001:db8:1::"));
}

#[test]
fn a_manager_that_resets_annotations_is_named() {
    let mut town = town();
    let front = town.create("front", ours(&[("argocd.argoproj.io/tracking-id", "web")]), V6, at(1));
    town.live(at(1));
    for second in 2..10 {
        town.annotate(&front, "argocd-controller", IPS, None, at(second));
        town.live(at(second));
    }
    let told = town.lab.events.iter().find_map(|event| {
        if let Event::Contested { manager, hint, .. } = event { Some((manager.clone(), hint.clone())) } else { None }
    });
    let (manager, hint) = told.expect("a fight");
    assert_eq!(manager.as_deref(), Some("argocd-controller"));
    assert!(hint.contains("group: \"\", kind: Service, name: front, namespace: web"), "{hint}");
    assert!(hint.contains("/metadata/annotations/lbipam.cilium.io~1ips"), "{hint}");
    assert!(hint.contains("/metadata/annotations/external-dns.kubernetes.io~1target"), "{hint}");
    assert_eq!(town.lab.reason(&front), "Contested");
}

/// No right to list Services: one that the file names is read by its name.
#[test]
fn a_service_of_the_file_is_read_by_its_name() {
    let mut town = town();
    let front = town.create("front", json!({}), V6, at(1));
    town.live(at(1));
    town.lab.island.handle_deleted(&front, at(2));
    town.lab.island.handle_watch(Kind::Service, WatchState::Forbidden("no".to_owned()), at(2));
    town.services = vec![config::Service {
        cluster: "home".to_owned(),
        target: front.clone(),
        dynamic_prefix: "home-ipv6".to_owned(),
        part: Part::Named(vec!["lb".to_owned()]),
        suffix: None,
    }];
    town.tell(at(3));
    assert_eq!(town.lab.island.named(Kind::Service), std::slice::from_ref(&front));
    let there = vec![town.lab.api.get(&front).clone()];
    town.lab.island.handle_list(Kind::Service, Some(&front), there, at(4));
    town.rotate(2, at(10));
    town.live(at(10));
    assert_eq!(town.ingress(&front), ips(&["2001:db8:1::", "2001:db8:2::"]));
    assert_eq!(town.lab.text(&pool("lb"))[1..], ["2001:db8:2::/64", "2001:db8:1::/64"]);
}
