//! Services follow the prefix from one to the next.

use super::town::{DUAL, Town, V6, ips, ours, service};
use super::*;

const IPS: &str = "lbipam.cilium.io/ips";
const TARGET: &str = "external-dns.kubernetes.io/target";
const OLD_TARGET: &str = "external-dns.alpha.kubernetes.io/target";

/// A managed Service that has found its place, in a pool of Cilium.
fn settled(mode: Mode) -> (Town, ObjectRef, ObjectRef) {
    let lb = pool("lb");
    let mut town = Town::new(mode, &lb);
    town.tell(at(0));
    town.live(at(0));
    let front = town.create("front", ours(&[]), DUAL, at(1));
    town.live(at(1));
    (town, lb, front)
}

#[test]
fn a_service_is_adopted_where_the_allocator_put_it() {
    let (town, lb, front) = settled(Mode::Ha);
    let [first, second] = &town.lab.writes[..] else { panic!("two writes: {:?}", town.lab.writes) };
    assert_eq!(first.object, lb);
    let expected = json!({ "metadata": {
        "annotations": {
            "lbipam.cilium.io/ips": "192.0.2.1,2001:db8:1::",
            "external-dns.kubernetes.io/target": "192.0.2.1,2001:db8:1::",
            "external-dns.alpha.kubernetes.io/target": "192.0.2.1,2001:db8:1::",
            "dynamic-prefix.io/managed-ips": "192.0.2.1,2001:db8:1::",
            "dynamic-prefix.io/managed-targets": "192.0.2.1,2001:db8:1::",
            "dynamic-prefix.io/managed-suffix": "::",
            "dynamic-prefix.io/managed-by": ID,
        },
        "resourceVersion": second.patch["metadata"]["resourceVersion"],
    }});
    assert_eq!((&second.object, &second.patch, second.version.as_str()), (&front, &expected, "v1"));
    let report = town.lab.report(&front);
    assert_eq!((report.reason.as_str(), report.synced, report.observed), ("Synced", true, Some(true)));
    assert_eq!(
        (&report.bindings[..], &report.bound_prefixes[..]),
        (&["(annotation)".to_owned()][..], &["2001:db8:1::/128".to_owned()][..])
    );
    assert_eq!(report.desired, ["192.0.2.1", "2001:db8:1::"]);
}

#[test]
fn mode_ha_takes_its_steps_one_after_the_other() {
    let (mut town, lb, front) = settled(Mode::Ha);
    let other = town.create("other", json!({}), V6, at(2));
    town.live(at(2));
    town.rotate(2, at(10));
    // 1. The pool gets the one address, behind the old range.
    assert_eq!(town.write(at(10)), Some(lb.clone()));
    assert_eq!(town.lab.text(&lb), ["192.0.2.0/24", "2001:db8:1::/64", "2001:db8:2::-2001:db8:2::"]);
    assert_eq!(town.write(at(10)), None, "before LB-IPAM has seen it");
    assert!(town.controllers(at(10)));
    // 2. The Service asks for both; DNS is as it was.
    assert_eq!((town.write(at(10)), town.write(at(10))), (Some(front.clone()), None));
    assert_eq!(town.note(&front, IPS).as_deref(), Some("192.0.2.1,2001:db8:2::,2001:db8:1::"));
    assert_eq!(town.note(&front, TARGET).as_deref(), Some("192.0.2.1,2001:db8:1::"));
    // 3. It has both. 4. DNS.
    assert!(town.controllers(at(10)));
    assert_eq!(town.ingress(&front), ips(&["192.0.2.1", "2001:db8:2::", "2001:db8:1::"]));
    assert_eq!(town.write(at(10)), Some(front.clone()));
    for target in [TARGET, OLD_TARGET] {
        assert_eq!(town.note(&front, target).as_deref(), Some("192.0.2.1,2001:db8:2::"));
    }
    // 5. The whole new range; of the old one what is in use.
    assert_eq!(town.write(at(10)), Some(lb.clone()));
    assert_eq!(town.lab.text(&lb), ["192.0.2.0/24", "2001:db8:2::/64", "2001:db8:1::-2001:db8:1::1"]);
    assert_eq!(town.live(at(10)), []);
    // 6. The drain. 7. and 8. The old address goes, then its range; the other one moves with that.
    town.draining = 0;
    town.tell(at(3610));
    assert_eq!(town.write(at(3610)), Some(front.clone()));
    assert_eq!(town.note(&front, IPS).as_deref(), Some("192.0.2.1,2001:db8:2::"));
    assert_eq!(town.write(at(3610)), Some(lb.clone()));
    assert_eq!(town.lab.text(&lb), ["192.0.2.0/24", "2001:db8:2::/64"]);
    assert_eq!(town.live(at(3610)), []);
    assert_eq!(town.ingress(&other), ips(&["2001:db8:2::1"]));
    assert_eq!((town.lab.reason(&front), town.lab.reason(&lb)), ("Synced", "Synced"));
    assert_eq!(town.lab.reports.len(), 2, "the other Service is none of our business");
}

/// Three Services, dual-stack, with a shared address and one on its own, through A→B→C inside the drain.
fn busy() -> Town {
    let lb = pool("lb");
    let mut town = Town::new(Mode::Ha, &lb);
    town.tell(at(0));
    town.live(at(0));
    town.create("dual", ours(&[]), DUAL, at(1));
    town.create("fixed", ours(&[("dynamic-prefix.io/suffix", "::77")]), V6, at(1));
    let shared = [("dynamic-prefix.io/suffix", "::88"), ("lbipam.cilium.io/sharing-key", "a")];
    town.create("shared-1", ours(&shared), V6, at(1));
    town.create("shared-2", ours(&shared), V6, at(1));
    town.create("loose", json!({}), V6, at(1));
    town.live(at(1));
    town
}

fn end(town: &mut Town) {
    town.live_until(at(HOUR));
    town.draining = 0;
    town.tell(at(HOUR));
    town.live(at(HOUR));
    town.live_until(at(2 * HOUR));
}

fn places(town: &Town) -> Vec<(String, Vec<String>)> {
    let texts = |service: &ObjectRef| town.ingress(service).iter().map(ToString::to_string).collect();
    town.all().iter().map(|service| (service.name.clone(), texts(service))).collect()
}

#[test]
fn everything_ends_at_the_new_prefix() {
    let mut town = busy();
    town.rotate(2, at(10));
    town.live(at(10));
    assert_eq!(town.ingress(&service("shared-2")), ips(&["2001:db8:1::88", "2001:db8:2::88"]));
    town.rotate(3, at(20));
    town.live(at(20));
    let all = ips(&["192.0.2.1", "2001:db8:1::", "2001:db8:2::", "2001:db8:3::"]);
    assert_eq!(town.ingress(&service("dual")), all, "inside the drain no address goes");
    end(&mut town);
    let expected = [
        ("dual", vec!["192.0.2.1", "2001:db8:3::"]),
        ("fixed", vec!["2001:db8:3::77"]),
        ("loose", vec!["2001:db8:3::1"]),
        ("shared-1", vec!["2001:db8:3::88"]),
        ("shared-2", vec!["2001:db8:3::88"]),
    ];
    let expected: Vec<(String, Vec<String>)> = expected
        .into_iter()
        .map(|(name, texts)| (name.to_owned(), texts.into_iter().map(str::to_owned).collect()))
        .collect();
    assert_eq!(places(&town), expected);
    assert_eq!(town.lab.text(&pool("lb")), ["192.0.2.0/24", "2001:db8:3::/64"]);
    assert!(
        town.lab.reports.values().all(|report| report.synced && report.reason == "Synced"),
        "{:?}",
        town.lab.reports
    );
}

#[test]
fn there_and_back_again() {
    let mut town = busy();
    town.rotate(2, at(10));
    town.live(at(10));
    town.rotate(1, at(20));
    town.live(at(20));
    assert_eq!(town.note(&service("dual"), TARGET).as_deref(), Some("192.0.2.1,2001:db8:1::"));
    end(&mut town);
    assert_eq!(town.ingress(&service("dual")), ips(&["192.0.2.1", "2001:db8:1::"]));
    assert_eq!(town.lab.text(&pool("lb")), ["192.0.2.0/24", "2001:db8:1::/64"]);
}

/// The process dies after every number of writes, with and without the controllers' answer to the last one.
#[test]
fn a_restart_in_any_step_goes_on_from_there() {
    let mut whole = busy();
    whole.rotate(2, at(10));
    let steps = whole.live(at(10)).len();
    end(&mut whole);
    let expected = (places(&whole), whole.lab.text(&pool("lb")));
    for (dies_after, hears, remembers) in
        (0..=steps).flat_map(|n| [(n, false, true), (n, true, true), (n, false, false), (n, true, false)])
    {
        let mut town = busy();
        town.rotate(2, at(10));
        for _ in 0..dies_after {
            while town.write(at(10)).is_none() {
                assert!(town.controllers(at(10)), "there are {steps} steps");
            }
        }
        if hears {
            town.controllers(at(10));
        }
        town.lab.drain();
        town.restart(remembers, at(11));
        town.live(at(11));
        end(&mut town);
        assert_eq!((places(&town), town.lab.text(&pool("lb"))), expected, "after {dies_after} writes, {hears}");
        assert_eq!(town.live(at(3 * HOUR)), []);
    }
}

#[test]
fn d29_the_same_state_again_writes_nothing() {
    let mut town = busy();
    town.rotate(2, at(10));
    town.live(at(10));
    for remembers in [true, false] {
        town.restart(remembers, at(20));
        assert_eq!(town.live(at(20)), []);
    }
    town.tell(at(30));
    assert_eq!(town.live(at(30)), []);
}

/// Two writes to move a Service and one to end its drain; of the pool three.
#[test]
fn no_write_is_wasted() {
    let mut town = busy();
    town.rotate(2, at(10));
    let moved = town.live(at(10));
    let count = |writes: &[ObjectRef], name: &str| writes.iter().filter(|one| one.name == name).count();
    for name in ["dual", "fixed", "shared-1", "shared-2"] {
        assert_eq!(count(&moved, name), 2, "{name}");
    }
    assert_eq!((count(&moved, "lb"), count(&moved, "loose")), (2, 0));
    town.live_until(at(HOUR));
    town.draining = 0;
    town.tell(at(HOUR));
    let ended = town.live(at(HOUR));
    assert_eq!((count(&ended, "dual"), count(&ended, "fixed"), count(&ended, "lb"), ended.len()), (1, 1, 1, 5));
}

#[test]
fn a_dead_prefix_ends_the_waiting_and_not_the_order() {
    let (mut town, lb, front) = settled(Mode::Ha);
    town.dead.insert(1);
    town.rotate(2, at(10));
    assert_eq!(town.write(at(10)), Some(lb.clone()));
    assert_eq!(town.lab.text(&lb), ["192.0.2.0/24", "2001:db8:1::/64", "2001:db8:2::-2001:db8:2::"]);
    let written = town.live(at(10));
    assert_eq!(town.ingress(&front), ips(&["192.0.2.1", "2001:db8:2::"]));
    assert_eq!(town.lab.text(&lb), ["192.0.2.0/24", "2001:db8:2::/64"]);
    assert_eq!(written.iter().filter(|one| **one == front).count(), 3, "{written:?}");
}

#[test]
fn services_that_hold_our_addresses_are_managed_if_all_are() {
    let lb = pool("lb");
    let mut town = Town::new(Mode::Ha, &lb);
    town.scope = ServiceScope::All;
    town.tell(at(0));
    town.live(at(0));
    let any = town.create("any", json!({}), V6, at(1));
    let foreign = json!({ "dynamic-prefix.io/name": "somebody-elses" });
    let other = town.create("other", foreign, V6, at(1));
    town.live(at(1));
    assert_eq!(town.note(&any, IPS).as_deref(), Some("2001:db8:1::"));
    assert_eq!(town.note(&other, IPS), None, "it is left to that one");
    assert_eq!(town.lab.report(&any).bindings, [crate::plan::service::ALL]);
    town.rotate(2, at(10));
    town.live(at(10));
    assert_eq!(town.ingress(&any), ips(&["2001:db8:1::", "2001:db8:2::"]));
}

#[test]
fn a_silent_operator_is_reported_and_nothing_is_skipped() {
    let (mut town, lb, front) = settled(Mode::Ha);
    town.rotate(2, at(10));
    assert_eq!(town.write(at(10)), Some(lb));
    town.is_alive = false;
    assert_eq!(town.live(at(10)), []);
    assert_eq!(town.lab.reason(&front), "AwaitingPool");
    assert_eq!(town.lab.failures(), [""; 0]);
    assert_eq!(town.live_until(at(69)), []);
    assert_eq!(town.lab.failures(), [""; 0]);
    assert_eq!(town.live_until(at(70)), []);
    assert_eq!((town.lab.failures(), town.lab.reason(&front)), (vec!["AwaitingPool"], "AwaitingPool"));
    let message = town.lab.report(&front).message.clone().unwrap_or_default();
    assert!(message.contains("2001:db8:2::") && message.contains("Cilium operator"), "{message}");
    town.is_alive = true;
    town.live(at(100));
    assert_eq!(town.ingress(&front), ips(&["192.0.2.1", "2001:db8:1::", "2001:db8:2::"]));
    assert_eq!(town.lab.reason(&front), "Synced");
}
