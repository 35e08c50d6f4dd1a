//! Services follow the prefix from one to the next.

use super::town::{DUAL, Town, V6, ips, ours};
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
