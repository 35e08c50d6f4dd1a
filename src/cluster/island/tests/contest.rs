//! Somebody else keeps removing what we write.

use super::api::{annotated, object};
use super::*;
use crate::cluster::island::contest;

fn lab(marks: &[(&str, &str)]) -> (Lab, ObjectRef) {
    let target = pool("lb");
    let mut lab = Lab::new([annotated(object(&target, [cidr("10.0.0.0/24")]), marks)]);
    lab.want(wanted(prefixes(&[1]), vec![binding("b", "lb", &target)]), at(0));
    (lab, target)
}

fn reset() -> Vec<Value> {
    vec![cidr("10.0.0.0/24")]
}

fn contested(lab: &Lab) -> Vec<(Option<String>, String)> {
    let told = |event: &Event| {
        if let Event::Contested { manager, hint, .. } = event { Some((manager.clone(), hint.clone())) } else { None }
    };
    lab.events.iter().filter_map(told).collect()
}

#[test]
fn a_manager_that_resets_the_list_every_second_gets_few_writes_and_a_name() {
    let (mut lab, target) = lab(&[("argocd.argoproj.io/tracking-id", "net")]);
    let mut writes = 0;
    for second in 1..=7200 {
        lab.island.handle_timeout(at(second));
        writes += lab.run(at(second));
        if lab.text(&target) != ["10.0.0.0/24"] {
            writes += lab.edit(&target, "argocd-controller", reset(), at(second));
        }
    }
    // Two repairs at once, then after 30 s, 1, 2, 4, 8, 16, 30, 30 … minutes.
    assert_eq!(writes, 2 + 6 + 2);
    let [(manager, hint)] = &contested(&lab)[..] else { panic!("told once: {:?}", lab.events) };
    assert_eq!(manager.as_deref(), Some("argocd-controller"));
    assert_eq!(
        hint,
        "in Argo CD add to the Application's spec: ignoreDifferences: [{group: cilium.io, kind: \
         CiliumLoadBalancerIPPool, name: lb, jsonPointers: [/spec/blocks, \
         /metadata/annotations/dynamic-prefix.io~1managed-blocks, /metadata/annotations/dynamic-prefix.io~1managed-by]}], \
         and to its syncPolicy: syncOptions: [RespectIgnoreDifferences=true, ServerSideApply=true]"
    );
    let report = lab.report(&target);
    assert_eq!((report.reason.as_str(), report.synced), ("Contested", false));
    assert!(report.retry_at.is_some());
    assert!(lab.failures().is_empty());
}

#[test]
fn the_pauses_double_from_thirty_seconds() {
    let (mut lab, target) = lab(&[]);
    let mut now = 0;
    let mut pauses = Vec::new();
    for _ in 0..12 {
        now += 1;
        lab.edit(&target, "kustomize-controller", reset(), at(now));
        if lab.reason(&target) != "Contested" || lab.report(&target).synced {
            continue;
        }
        let next = lab.report(&target).retry_at.expect("a time");
        pauses.push(next.saturating_since(at(now)).as_secs());
        assert_eq!(lab.wait_until(next), 1);
        now = i64::try_from(next.saturating_since(at(0)).as_secs()).expect("small");
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1800, 1800, 1800, 1800]);
    assert!(contested(&lab)[0].1.starts_with("in Flux"));
    assert!(contested(&lab)[0].1.contains("paths: [/spec/blocks, "));
}

#[test]
fn ten_minutes_of_peace_end_it() {
    let (mut lab, target) = lab(&[]);
    for second in 1..=3 {
        lab.edit(&target, "argocd-controller", reset(), at(second));
    }
    assert_eq!(lab.wait_until(at(33)), 1);
    assert_eq!((lab.reason(&target), lab.report(&target).synced), ("Contested", true), "written, not yet trusted");
    assert_eq!(lab.wait_until(at(33 + 599)), 0);
    assert_eq!(lab.reason(&target), "Contested");
    lab.wait_until(at(33 + 600));
    assert_eq!(
        (lab.reason(&target), lab.events.last()),
        ("Synced", Some(&Event::Recovered { object: target.clone() }))
    );
    assert_eq!(lab.island.poll_timeout(), None);
    assert_eq!(lab.edit(&target, "argocd-controller", reset(), at(700)), 1, "a single edit is repaired at once again");
}

#[test]
fn three_different_hands_or_three_hours_are_no_fight() {
    let (mut lab, target) = lab(&[]);
    for (second, manager) in
        [(1, "kubectl"), (2, "helm"), (3, "kubectl"), (4, "helm"), (700, "kubectl"), (1400, "kubectl")]
    {
        assert_eq!(lab.edit(&target, manager, reset(), at(second)), 1, "{second}");
    }
    assert_eq!(contested(&lab), []);
}

#[test]
fn removing_the_record_counts_and_so_does_a_hand_without_a_name() {
    let (mut lab, target) = lab(&[]);
    for second in 1..=3 {
        let seen = lab.api.edit(&target, "kubectl", |object| {
            object.annotations.remove("dynamic-prefix.io/managed-blocks");
            object.writers.clear();
        });
        lab.island.handle_object(seen, at(second));
        lab.run(at(second));
    }
    let [(manager, hint)] = &contested(&lab)[..] else { panic!("{:?}", lab.events) };
    assert_eq!(*manager, None);
    assert!(hint.contains("Argo CD") && hint.contains("Flux"), "nothing tells which of the two");
    assert_eq!(lab.text(&target).len(), 2, "the entries themselves are untouched");
}

#[test]
fn adding_to_the_list_is_no_removal() {
    let (mut lab, target) = lab(&[]);
    for second in 1..=20 {
        let mut list = lab.api.get(&target).list.clone();
        list.push(cidr(&format!("10.1.{second}.0/24")));
        assert_eq!(lab.edit(&target, "argocd-controller", list, at(second)), 0);
    }
    assert_eq!(contested(&lab), []);
}

/// A controller that reacts within milliseconds: the watch tells of its write before our own answer is here.
#[test]
fn a_hand_quicker_than_the_answer_is_seen_too() {
    let (mut lab, target) = lab(&[]);
    lab.edit(&target, "kubectl", reset(), at(1));
    let mut writes = 0;
    lab.island.handle_wanted(wanted(prefixes(&[2, 1]), vec![binding("b", "lb", &target)]), at(2));
    while let Some(write) = lab.island.poll_write(at(2)) {
        let answer = lab.api.patch(&write);
        let reset = lab.api.edit(&target, "quick-controller", |object| object.list = reset());
        lab.island.handle_object(reset, at(2));
        lab.island.handle_written(&target, answer, at(2));
        writes += 1;
        assert!(writes < 10, "a storm");
    }
    lab.drain();
    assert_eq!(writes, 3);
    assert_eq!(contested(&lab).len(), 1);
    assert_eq!(contested(&lab)[0].0.as_deref(), Some("quick-controller"));
}

#[test]
fn the_rules_for_a_service_name_the_annotations_that_we_write() {
    let service = json!({
        "metadata": {
            "name": "front", "namespace": "web", "uid": "1", "resourceVersion": "1",
            "labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"},
        },
        "spec": {"type": "LoadBalancer"},
    });
    let service = Object::from_json(Kind::Service, &service).expect("a Service");
    let external_dns = ["external-dns.kubernetes.io/".to_owned(), "dns.example/".to_owned()];
    let pointers = [
        "lbipam.cilium.io~1ips",
        "metallb.io~1loadBalancerIPs",
        "external-dns.kubernetes.io~1target",
        "dns.example~1target",
        "dynamic-prefix.io~1managed-targets",
        "dynamic-prefix.io~1managed-suffix",
        "dynamic-prefix.io~1managed-ips",
        "dynamic-prefix.io~1managed-by",
    ];
    let pointers = pointers.map(|key| format!("/metadata/annotations/{key}")).join(", ");
    let flux = contest::hint(&service, "v1", None, &external_dns);
    assert_eq!(
        flux,
        format!(
            "in Flux (kustomize-controller 1.9 or later) add to the spec of the Kustomization flux-system/apps: ignore: \
             [{{paths: [{pointers}], target: {{group: \"\", version: v1, kind: Service, name: front, namespace: web}}}}]"
        )
    );
    let both = contest::hint(&service, "v1", Some("argocd-controller"), &external_dns);
    let argo = format!("[{{group: \"\", kind: Service, name: front, namespace: web, jsonPointers: [{pointers}]}}]");
    assert!(both.contains(&argo), "{both}");
}
