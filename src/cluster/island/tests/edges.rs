//! What may happen in the middle of a rotation.

use super::town::{DUAL, Town, V6, ip, ips, ours, service};
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

/// A reload switches to mode simple in the middle of the drain. Services without a suffix are not managed in that mode:
/// all of ours leaves them, and their addresses stay until the drain is over; then they move with the range. One with a
/// suffix asks for its current address only.
#[test]
fn from_ha_to_simple_in_a_drain() {
    for restarts in [false, true] {
        let mut town = town();
        let plain = town.create("plain", ours(&[]), DUAL, at(1));
        let fixed = town.create("fixed", ours(&[(SUFFIX, "::77")]), V6, at(1));
        town.live(at(1));
        town.rotate(2, at(10));
        town.live(at(10));
        town.mode = Mode::Simple;
        if restarts {
            town.restart(true, at(20));
        }
        town.tell(at(20));
        town.live(at(20));
        for service in [&plain, &fixed] {
            assert_eq!(
                (town.note(service, TARGET), town.note(service, "dynamic-prefix.io/managed-targets")),
                (None, None)
            );
        }
        assert_eq!(town.note(&plain, IPS), None);
        assert_eq!(town.ingress(&plain), ips(&["192.0.2.1", "2001:db8:1::", "2001:db8:2::"]), "nothing is lost");
        town.live_until(at(200));
        assert_eq!(town.note(&fixed, IPS).as_deref(), Some("2001:db8:2::77"));
        assert_eq!(town.ingress(&fixed), ips(&["2001:db8:2::77"]));
        assert_eq!(town.ingress(&plain), ips(&["192.0.2.1", "2001:db8:1::", "2001:db8:2::"]));
        town.draining = 0;
        town.tell(at(HOUR));
        town.live(at(HOUR));
        assert_eq!(town.ingress(&plain), ips(&["192.0.2.1", "2001:db8:2::"]));
        assert_eq!(town.lab.text(&pool("lb")), ["192.0.2.0/24", "2001:db8:2::/64"]);
    }
}

/// The reload comes before the Services have their new address, and the controllers are slow.
#[test]
fn from_ha_to_simple_in_any_step_nobody_is_without_an_address() {
    for steps in 0..8 {
        let mut town = town();
        let names = ["a", "b"].map(|name| town.create(name, ours(&[(SUFFIX, &format!("::{name}"))]), V6, at(1)));
        town.live(at(1));
        town.rotate(2, at(10));
        for _ in 0..steps {
            if town.write(at(10)).is_none() {
                town.controllers(at(10));
            }
        }
        town.mode = Mode::Simple;
        town.tell(at(20));
        while town.write(at(20)).is_some() || town.controllers(at(20)) {
            names.iter().for_each(|name| assert_ne!(town.ingress(name), ips(&[]), "{steps}"));
        }
        town.live_until(at(200));
        for (name, address) in names.iter().zip(["2001:db8:2::a", "2001:db8:2::b"]) {
            assert_eq!(town.ingress(name), ips(&[address]), "{steps}");
            assert_eq!(town.note(name, TARGET), None, "{steps}");
        }
    }
}

/// The families of a Service change under our pins: it is reported, and what is not served any more is neither asked for
/// nor named. The host part is written down, so that nothing is lost when the Service gets IPv6 again.
#[test]
fn a_service_that_loses_ipv6_after_it_was_pinned() {
    let mut town = town();
    let front = town.create("front", ours(&[(TARGET, "front.example.net")]), DUAL, at(1));
    town.live(at(1));
    town.rotate(2, at(10));
    town.live(at(10));
    let before = [IPS, TARGET].map(|key| town.note(&front, key));
    town.is_watched = false;
    let families = |town: &mut Town, families: &[&str], now| {
        let object = town.lab.api.edit_service(&front, "kubectl", |service| {
            service["spec"]["ipFamilies"] = json!(families);
            service["status"]["loadBalancer"]["ingress"] = json!([{ "ip": "192.0.2.1" }]);
        });
        town.lab.island.handle_object(object, now);
    };
    families(&mut town, &["IPv4"], at(20));
    town.is_alive = false;
    town.live(at(20));
    assert_eq!(town.lab.reason(&front), "NoIPv6");
    assert_eq!(town.note(&front, IPS).as_deref(), Some("192.0.2.1"));
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("front.example.net,192.0.2.1"));
    let written = town.live_until(at(2000));
    assert!(written.iter().all(|object| object.kind != Kind::Service), "there is nothing left to write: {written:?}");
    assert_eq!(town.lab.reason(&front), "NoIPv6");
    town.is_alive = true;
    families(&mut town, DUAL, at(2010));
    town.live(at(2010));
    town.live_until(at(4000));
    assert_eq!(town.note(&front, TARGET), before[1], "it has its host part still");
    families(&mut town, &["IPv4"], at(4010));
    town.is_alive = false;
    town.live(at(4010));
    town.annotate(&front, "kubectl", "dynamic-prefix.io/name", None, at(4020));
    town.live(at(4020));
    let left = town.lab.api.get(&front).annotations.clone();
    assert!(left.keys().all(|key| key == "dynamic-prefix.io/service-subnet" || key == TARGET), "{left:?}");
    assert_eq!(left.get(TARGET).map(String::as_str), Some("front.example.net"));
}

/// Nobody can tell any more whose a Service is: it is reported, nothing is lost, and all leaves with the annotation.
#[test]
fn a_service_whose_allocator_cannot_be_told_any_more() {
    let mut town = town();
    let front = town.create("front", ours(&[]), V6, at(1));
    town.live(at(1));
    let before = town.note(&front, IPS);
    let object = town.lab.api.edit_service(&front, "kubectl", |service| {
        service["spec"]["loadBalancerClass"] = json!("example.com/other");
    });
    town.lab.island.handle_object(object, at(20));
    town.live(at(20));
    assert_eq!((town.lab.reason(&front), town.note(&front, IPS)), ("AllocatorUnknown", before));
    town.annotate(&front, "kubectl", "dynamic-prefix.io/name", None, at(30));
    town.live(at(30));
    assert_eq!((town.note(&front, IPS), town.note(&front, TARGET)), (None, None));
    assert_eq!(town.note(&front, "dynamic-prefix.io/managed-ips"), None);
}

/// A conflict at every single write of a rotation costs a write, nothing else.
#[test]
fn a_conflict_at_every_write_of_a_rotation() {
    let mut town = town();
    let fronts = ["a", "b"].map(|name| town.create(name, ours(&[]), V6, at(1)));
    town.live(at(1));
    town.rotate(2, at(10));
    let mut now = at(10);
    for _ in 0..100 {
        let Some(write) = town.lab.island.poll_write(now) else {
            if !town.controllers(now) {
                break;
            }
            continue;
        };
        // Somebody was faster with a change that is none of our business.
        let object = if write.object.kind == Kind::Service {
            town.lab.api.edit_service(&write.object, "kubectl", |service| service["metadata"]["labels"] = json!({}))
        } else {
            town.lab.api.edit(&write.object, "kubectl", |_| {})
        };
        let answer = town.lab.api.patch(&write);
        assert_eq!(answer, Err(WriteError::Conflict));
        town.lab.island.handle_written(&write.object, answer, now);
        town.lab.island.handle_object(object, now);
        now = now + Duration::from_secs(1);
        town.lab.island.handle_timeout(now);
        assert!(town.write(now).is_some(), "it is written again");
    }
    for (front, (new, old)) in fronts.iter().zip([("2001:db8:2::", "2001:db8:1::"), ("2001:db8:2::1", "2001:db8:1::1")])
    {
        assert_eq!(town.ingress(front), ips(&[new, old]));
        assert_eq!(town.note(front, TARGET).as_deref(), Some(new));
    }
    assert_eq!(town.lab.text(&pool("lb"))[1..], ["2001:db8:2::/64", "2001:db8:1::-2001:db8:1::1"]);
}

/// `dryRun` is set in the middle of a rotation and taken back: nothing is written, DNS stays with what is there.
#[test]
fn a_dry_run_in_any_step_of_a_rotation() {
    for steps in 0..8 {
        let mut town = town();
        let front = town.create("front", ours(&[]), V6, at(1));
        town.live(at(1));
        town.rotate(2, at(10));
        for _ in 0..steps {
            if town.write(at(10)).is_none() {
                town.controllers(at(10));
            }
        }
        town.lab.island.reconfigure(&Cluster { dry_run: true, ..cluster() });
        town.lab.island.handle_timeout(at(20));
        assert_eq!(town.live(at(20)), []);
        town.draining = 0;
        town.tell(at(HOUR));
        assert_eq!(town.live(at(HOUR)), []);
        assert_eq!(town.live_until(at(2 * HOUR)), []);
        assert!(town.ingress(&front).contains(&ip("2001:db8:1::")), "{steps}");
        town.lab.island.reconfigure(&cluster());
        town.lab.island.handle_timeout(at(2 * HOUR));
        town.live(at(2 * HOUR));
        town.live_until(at(3 * HOUR));
        assert_eq!(town.ingress(&front), ips(&["2001:db8:2::"]), "{steps}");
        assert_eq!(town.note(&front, TARGET).as_deref(), Some("2001:db8:2::"));
    }
}

/// Somebody keeps resetting a Service during a rotation: it is left alone for a while, the others go their way, and the
/// pool does not wait for it.
#[test]
fn a_service_that_is_fought_over_in_a_rotation() {
    let mut town = town();
    let (front, other) = (service("front"), service("other"));
    for name in ["front", "other"] {
        town.create(name, ours(&[]), V6, at(1));
    }
    town.live(at(1));
    for second in 2..5 {
        town.annotate(&front, "argocd-controller", IPS, None, at(second));
        town.live(at(second));
    }
    assert_eq!(town.lab.reason(&front), "Contested");
    town.rotate(2, at(10));
    town.live(at(10));
    assert_eq!((town.lab.reason(&front), town.lab.reason(&other)), ("Contested", "Synced"));
    assert_eq!(town.note(&other, TARGET).as_deref(), Some("2001:db8:2::1"));
    assert_eq!(town.lab.text(&pool("lb"))[1..], ["2001:db8:2::/64", "2001:db8:1::-2001:db8:1::1"]);
    assert!(!town.ingress(&front).is_empty());
    town.live_until(at(HOUR));
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("2001:db8:2::"));
    assert!(town.ingress(&front).contains(&ip("2001:db8:2::")));
}

/// The mark and the record of the host part are ours, too: whoever keeps removing one of them alone is a manager to
/// name.
#[test]
fn a_mark_that_is_removed_again_and_again_is_contested() {
    for mark in [MANAGED_BY, "dynamic-prefix.io/managed-suffix"] {
        let mut town = town();
        let front = town.create("front", ours(&[]), V6, at(1));
        town.live(at(1));
        for second in 2..5 {
            town.annotate(&front, "argocd-controller", mark, None, at(second));
            town.live(at(second));
        }
        let told = town.lab.events.iter().filter(|event| matches!(event, Event::Contested { .. })).count();
        assert_eq!((told, town.lab.reason(&front)), (1, "Contested"), "{mark}");
        let written = town.lab.writes.len();
        town.live_until(at(10));
        assert_eq!(town.lab.writes.len(), written, "{mark}: it steps back");
    }
}

/// The same of a pool.
#[test]
fn a_mark_of_a_pool_that_is_removed_again_and_again_is_contested() {
    let mut town = town();
    let lb = pool("lb");
    for second in 2..5 {
        let object = town.lab.api.edit(&lb, "argocd-controller", |object| drop(object.annotations.remove(MANAGED_BY)));
        town.lab.island.handle_object(object, at(second));
        town.live(at(second));
    }
    assert_eq!(town.lab.reason(&lb), "Contested");
}

/// Where the traffic goes is no business of an allocator: a Service without endpoints gets and keeps its addresses.
#[test]
fn external_traffic_policy_local_makes_no_difference() {
    let mut town = town();
    let front = town.create("front", ours(&[]), V6, at(1));
    let object = town.lab.api.edit_service(&front, "kubectl", |service| {
        service["spec"]["externalTrafficPolicy"] = json!("Local");
        service["spec"]["healthCheckNodePort"] = json!(31234);
    });
    town.lab.island.handle_object(object, at(1));
    town.live(at(1));
    town.rotate(2, at(10));
    town.live(at(10));
    assert_eq!(town.ingress(&front), ips(&["2001:db8:1::", "2001:db8:2::"]));
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("2001:db8:2::"));
    assert_eq!(town.lab.reason(&front), "Synced");
}
