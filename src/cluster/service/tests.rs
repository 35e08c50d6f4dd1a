use serde_json::json;

use super::*;
use crate::cluster::object::Object;
use crate::config::Kind;

mod allocators;
mod asks;

/// A dual-stack Service as the API server sends it, cut for width (reference: what Cilium 1.20.2 writes).
fn front() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "front", "namespace": "web", "uid": "5f1e", "resourceVersion": "4711",
            "annotations": {
                "dynamic-prefix.io/name": "home-ipv6",
                "lbipam.cilium.io/ips": "198.51.100.7,2001:db8:1::5",
                "lbipam.cilium.io/sharing-key": "web",
                "external-dns.kubernetes.io/target": "example.com",
                "external-dns.alpha.kubernetes.io/hostname": "front.example.com",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "argocd.argoproj.io/tracking-id": "web:/Service:web/front"
            },
            "labels": {"app.kubernetes.io/instance": "web", "color": "blue"},
            "managedFields": [
                {"manager": "argocd-controller", "operation": "Apply", "time": "2026-11-21T09:00:00Z",
                 "fieldsV1": {"f:metadata": {"f:annotations": {"f:lbipam.cilium.io/ips": {}}}, "f:spec": {"f:type": {}}}},
                {"manager": "helm", "operation": "Update", "time": "2026-11-21T09:30:00Z",
                 "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:dynamic-prefix.io/name": {}}}}},
                {"manager": "dyn-prefix", "operation": "Update", "time": "2026-11-21T10:00:00Z",
                 "fieldsV1": {"f:metadata": {"f:annotations": {"f:dynamic-prefix.io/managed-ips": {}}}}},
                {"manager": "cilium-operator-lb-ipam", "operation": "Update", "subresource": "status",
                 "fieldsV1": {"f:status": {"f:conditions": {}}}}
            ]
        },
        "spec": {
            "type": "LoadBalancer", "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack",
            "clusterIPs": ["10.0.0.10", "fd00:1234::10"], "ports": [{"port": 443}]
        },
        "status": {
            "loadBalancer": {"ingress": [
                {"ip": "2001:DB8:1::5", "ipMode": "VIP"}, {"ip": "198.51.100.7", "ipMode": "VIP"},
                {"hostname": "lb.example.com"}, {"ip": "nonsense"}, {"ip": ""}
            ]},
            "conditions": [
                {"type": "cilium.io/IPAMRequestSatisfied", "status": "True", "reason": "satisfied", "message": ""}
            ]
        }
    })
}

fn cut(value: &Value) -> Service {
    let object = Object::from_json(Kind::Service, value).expect("a whole object");
    *object.service.expect("a Service has its part")
}

fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn reference(namespace: &str) -> ObjectRef {
    ObjectRef { kind: Kind::Service, namespace: Some(namespace.to_owned()), name: "front".to_owned() }
}

#[test]
fn a_service_is_cut_to_what_its_addresses_depend_on() {
    let object = Object::from_json(Kind::Service, &front()).expect("a whole object");
    assert_eq!(object.reference.to_string(), "Service/web/front");
    assert_eq!(
        object.annotations.keys().collect::<Vec<_>>(),
        [
            "argocd.argoproj.io/tracking-id",
            "dynamic-prefix.io/name",
            "external-dns.kubernetes.io/target",
            "lbipam.cilium.io/ips",
            "lbipam.cilium.io/sharing-key"
        ]
    );
    assert_eq!((object.list.len(), object.observed), (0, None));
    let service = object.service.expect("a Service has its part");
    assert!(service.is_load_balancer);
    assert_eq!((&service.class, &service.load_balancer_ip), (&None, &None));
    assert_eq!(service.families, Families { v4: true, v6: true });
    assert_eq!(*service.ingress, [ip("2001:db8:1::5"), ip("198.51.100.7")]);
    assert_eq!(service.v6().map(IpAddr::V6).collect::<Vec<_>>(), [ip("2001:db8:1::5")]);
    assert_eq!(service.v4().map(IpAddr::V4).collect::<Vec<_>>(), [ip("198.51.100.7")]);
    assert_eq!(service.request, Request::Satisfied);
    assert_eq!(service.sharing.and_then(|sharing| sharing.cilium).as_deref(), Some("web"));
}

#[test]
fn the_writers_of_a_service_are_those_of_the_annotations_that_we_write() {
    let object = Object::from_json(Kind::Service, &front()).expect("a whole object");
    let writers: Vec<_> = object.writers.iter().map(|writer| writer.manager.as_str()).collect();
    assert_eq!(writers, ["argocd-controller", "dyn-prefix"]);
    assert_eq!(object.last_other_writer(), Some("argocd-controller"));
}

#[test]
fn a_service_that_says_nothing_is_read_and_takes_little_room() {
    let metadata = json!({"name": "s", "namespace": "n", "uid": "u", "resourceVersion": "1"});
    assert_eq!(cut(&json!({ "metadata": metadata.clone() })), Service::default());
    let odd = json!({
        "metadata": metadata, "spec": {"type": 1, "ipFamilies": "IPv6", "loadBalancerClass": ""},
        "status": {"loadBalancer": {"ingress": {}}, "conditions": [1, {}]}
    });
    assert_eq!(cut(&odd), Service::default());
    // A thousand of them are kept.
    assert!(size_of::<Service>() <= 96, "{}", size_of::<Service>());
}

#[test]
fn the_condition_is_read_under_its_older_name_too() {
    let mut value = front();
    value["status"]["conditions"] = json!([
        {"type": "io.cilium/lb-ipam-request-satisfied", "status": "False", "reason": "no_pool", "message": "No pool"}
    ]);
    let unsatisfied = Unsatisfied { reason: "no_pool".into(), message: "No pool".into() };
    assert_eq!(cut(&value).request, Request::Unsatisfied(Box::new(unsatisfied)));
}

#[test]
fn a_refusal_is_about_the_address_that_it_names() {
    let refused = |reason: &str, message: &str| {
        let mut value = front();
        value["status"]["conditions"][0] =
            json!({"type": "cilium.io/IPAMRequestSatisfied", "status": "False", "reason": reason, "message": message});
        let service = cut(&value);
        ["2001:db8:2::5", "2001:db8:3::5"].map(|address| service.refusal(ip(address)).is_some())
    };
    let taken = "The IP '2001:db8:2::5' is already allocated to another service";
    assert_eq!(refused("already_allocated", taken), [true, false]);
    let incompatible = "The IP '2001:db8:2::5' is already allocated to an incompatible service. Reason: same port";
    assert_eq!(refused("already_allocated_incompatible_service", incompatible), [true, false]);
    let mismatch = "The pool with the CIDR containing '2001:db8:3::5', doesn't select this service";
    assert_eq!(refused("pool_selector_mismatch", mismatch), [false, true]);
    assert_eq!(refused("already_allocated", "somebody has it"), [true, true]);
    assert_eq!(refused("no_pool", "No pool exists with a CIDR containing '2001:db8:2::5'"), [false, false]);
    assert_eq!(refused("out_of_ips", ""), [false, false]);
}

#[test]
fn the_older_key_counts_only_where_the_other_is_absent() {
    let both = annotations(&[("io.cilium/lb-ipam-ips", "2001:db8::1"), ("lbipam.cilium.io/ips", "")]);
    assert_eq!(pins(&both, Allocator::Cilium), Some(""));
    let older =
        annotations(&[("io.cilium/lb-ipam-ips", "2001:db8::1"), ("metallb.universe.tf/loadBalancerIPs", "::2")]);
    assert_eq!(pins(&older, Allocator::Cilium), Some("2001:db8::1"));
    assert_eq!(pins(&older, Allocator::MetalLb), Some("::2"));
    assert_eq!(pins(&annotations(&[]), Allocator::MetalLb), None);
    assert_eq!(pin_key(Allocator::Cilium), "lbipam.cilium.io/ips");
    assert_eq!(pin_key(Allocator::MetalLb), "metallb.io/loadBalancerIPs");
    assert_eq!(target_key("external-dns.kubernetes.io/"), "external-dns.kubernetes.io/target");
}

#[test]
fn the_recorded_host_part_is_an_address() {
    let suffix = |text| recorded_suffix(&annotations(&[(MANAGED_SUFFIX, text)])).map(|suffix| suffix.to_string());
    assert_eq!(suffix(" ::F000:0:0:2 ").as_deref(), Some("::f000:0:0:2"));
    assert_eq!((suffix("::1/64"), suffix("")), (None, None));
}

#[test]
fn two_services_share_an_address_by_key_and_namespace() {
    let with = |pairs: &[(&str, &str)]| Service { sharing: sharing(&annotations(pairs)), ..Service::default() };
    let (web, mail) = (reference("web"), reference("mail"));
    let share = |one: &Service, other: &Service, namespace: &ObjectRef| {
        may_share(Allocator::Cilium, (&web, one), (namespace, other))
    };
    let key = ("lbipam.cilium.io/sharing-key", "a");
    let (a, older) = (with(&[key]), with(&[("io.cilium/lb-ipam-sharing-key", "a")]));
    assert!(share(&a, &older, &web));
    assert!(!share(&a, &with(&[("lbipam.cilium.io/sharing-key", "b")]), &web));
    assert!(!share(&a, &with(&[]), &web) && !share(&with(&[]), &with(&[]), &web));
    assert!(!share(
        &with(&[("lbipam.cilium.io/sharing-key", "")]),
        &with(&[("lbipam.cilium.io/sharing-key", "")]),
        &web
    ));
    assert!(!share(&a, &a, &mail));
    let across = |to| with(&[key, ("lbipam.cilium.io/sharing-cross-namespace", to)]);
    assert!(share(&across("x,mail"), &across("*"), &mail));
    assert!(!share(&across("mail"), &a, &mail), "both have to permit it");
    assert!(!share(&across("x, mail"), &across("*"), &mail), "LB-IPAM does not trim");
    let metallb = |key| with(&[(key, "a")]);
    let (new, old) = (metallb("metallb.io/allow-shared-ip"), metallb("metallb.universe.tf/allow-shared-ip"));
    assert!(may_share(Allocator::MetalLb, (&web, &new), (&mail, &old)));
    assert!(!may_share(Allocator::MetalLb, (&web, &a), (&web, &a)));
}
