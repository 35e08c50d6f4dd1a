use serde_json::json;

use super::*;

/// A pool as Cilium 1.20.2 serves it, cut for width (lab.md §3, §4).
fn pool() -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool",
        "metadata": {
            "name": "ipv6-pool", "uid": "6b0c", "resourceVersion": "812", "generation": 4,
            "annotations": {
                "dynamic-prefix.io/name": "home-ipv6",
                "kubectl.kubernetes.io/last-applied-configuration": "{…}",
                "argocd.argoproj.io/tracking-id": "net:cilium.io/CiliumLoadBalancerIPPool:/ipv6-pool"
            },
            "labels": {"app.kubernetes.io/instance": "net", "color": "blue"},
            "managedFields": [
                {"manager": "argocd-controller", "operation": "Apply", "time": "2026-11-21T09:00:00Z",
                 "fieldsV1": {"f:spec": {"f:blocks": {}, "f:serviceSelector": {}}}},
                {"manager": "dyn-prefix", "operation": "Update", "time": "2026-11-21T10:00:00Z",
                 "fieldsV1": {"f:metadata": {}, "f:spec": {"f:blocks": {}}}},
                {"manager": "cilium-operator-lb-ipam", "operation": "Update", "subresource": "status",
                 "fieldsV1": {"f:status": {"f:conditions": {}}}}
            ]
        },
        "spec": {"blocks": [{"cidr": "2001:db8::/64"}], "disabled": false},
        "status": {"conditions": [
            {"type": "cilium.io/PoolConflict", "status": "False", "reason": "resolved", "observedGeneration": 1},
            {"type": "cilium.io/IPsTotal", "status": "Unknown", "message": "65536", "observedGeneration": 4}
        ]}
    })
}

#[test]
fn a_pool_is_cut_to_what_we_need() {
    let object = Object::from_json(Kind::CiliumLoadBalancerIPPool, &pool()).expect("a whole object");
    assert_eq!(object.reference.to_string(), "CiliumLoadBalancerIPPool/ipv6-pool");
    assert_eq!((object.uid.as_str(), object.resource_version.as_str(), object.generation), ("6b0c", "812", Some(4)));
    assert_eq!(
        object.annotations.keys().collect::<Vec<_>>(),
        ["argocd.argoproj.io/tracking-id", "dynamic-prefix.io/name"]
    );
    assert_eq!(object.labels.keys().collect::<Vec<_>>(), ["app.kubernetes.io/instance"]);
    assert_eq!(object.list, [json!({"cidr": "2001:db8::/64"})]);
    let writers: Vec<_> = object.writers.iter().map(|w| (w.manager.as_str(), w.operation.as_str())).collect();
    assert_eq!(writers, [("argocd-controller", "Apply"), ("dyn-prefix", "Update")]);
    assert_eq!(object.last_other_writer(), Some("argocd-controller"));
    assert_eq!(object.observed, Some(Observed { generation: Some(4), ..Observed::default() }));
}

#[test]
fn a_conflict_carries_its_message() {
    let mut value = pool();
    value["status"]["conditions"][0]["status"] = json!("True");
    value["status"]["conditions"][0]["message"] = json!("2001:db8::/64 overlaps");
    let object = Object::from_json(Kind::CiliumLoadBalancerIPPool, &value).expect("a whole object");
    assert_eq!(object.observed.and_then(|observed| observed.conflict).as_deref(), Some("2001:db8::/64 overlaps"));
}

#[test]
fn what_is_absent_is_empty_and_what_is_needed_is_named() {
    let metadata = json!({"name": "public", "namespace": "metallb-system", "uid": "u", "resourceVersion": "1"});
    let object = Object::from_json(Kind::IPAddressPool, &json!({ "metadata": metadata })).expect("a whole object");
    assert_eq!(object.reference.to_string(), "IPAddressPool/metallb-system/public");
    assert_eq!((object.list.len(), object.observed), (0, None));

    let error = Object::from_json(Kind::CiliumCIDRGroup, &json!({"metadata": {"name": "g", "uid": "u"}}));
    assert!(error.expect_err("no version").contains("metadata.resourceVersion"));
    assert!(Object::from_json(Kind::IPAddressPool, &json!("text")).is_err());
}

#[test]
fn of_several_writers_the_last_other_one_counts() {
    let mut object = Object::from_json(Kind::CiliumLoadBalancerIPPool, &pool()).expect("a whole object");
    let writer = |manager: &str, time: Option<&str>| Writer {
        manager: manager.to_owned(),
        operation: "Update".to_owned(),
        time: time.map(str::to_owned),
    };
    object.writers = vec![
        writer("b", Some("2026-11-21T10:00:01Z")),
        writer("a", None),
        writer("kubectl", Some("2026-11-21T10:00:02Z")),
    ];
    assert_eq!(object.last_other_writer(), Some("kubectl"));
    object.writers = vec![writer(FIELD_MANAGER, Some("2026-11-21T10:00:03Z"))];
    assert_eq!(object.last_other_writer(), None);
}

fn seen(pool: &Value, kind: Kind) -> Sight {
    sight(&Object::from_json(kind, pool).expect("a whole object"))
}

/// Seen on Cilium 1.20: IPsTotal follows every change of the spec, PoolConflict does not.
#[test]
fn cilium_has_seen_a_list_when_it_counted_at_its_generation() {
    const KIND: Kind = Kind::CiliumLoadBalancerIPPool;
    assert_eq!(seen(&pool(), KIND), Sight::Seen);
    let changed = |change: fn(&mut Value)| {
        let mut value = pool();
        change(&mut value);
        seen(&value, KIND)
    };
    assert_eq!(changed(|pool| pool["metadata"]["generation"] = json!(5)), Sight::NotSeen);
    assert_eq!(changed(|pool| pool["status"]["conditions"][0]["status"] = json!("True")), Sight::NotSeen);
    assert_eq!(changed(|pool| pool["spec"]["disabled"] = json!(true)), Sight::NotSeen);
    assert_eq!(changed(|pool| pool["status"] = json!({})), Sight::NotSeen);
    assert_eq!(changed(|pool| pool["metadata"]["generation"] = json!(null)), Sight::CannotTell);
    assert_eq!(seen(&pool(), Kind::CiliumCIDRGroup), Sight::CannotTell);
}

fn metallb_pool(addresses: &[&str], status: Value) -> Value {
    json!({
        "metadata": {"name": "public", "namespace": "metallb-system", "uid": "u", "resourceVersion": "1"},
        "spec": {"addresses": addresses}, "status": status
    })
}

#[test]
fn metallb_has_seen_a_list_when_it_counts_as_many_addresses() {
    const KIND: Kind = Kind::IPAddressPool;
    let list = ["198.51.100.0/24", "2001:db8::10-2001:db8::1f", "2001:db8::100/128"];
    let counts = |assigned: i64, available: i64| json!({"assignedIPv4": 9, "availableIPv4": 247, "assignedIPv6": assigned, "availableIPv6": available});
    assert_eq!(seen(&metallb_pool(&list, counts(3, 14)), KIND), Sight::Seen);
    assert_eq!(seen(&metallb_pool(&list, counts(3, 13)), KIND), Sight::NotSeen);
    assert_eq!(seen(&metallb_pool(&list, json!({})), KIND), Sight::CannotTell);
    let broken = ["2001:db8::10-2001:db8::1f", "2001:db8::1"];
    assert_eq!(seen(&metallb_pool(&broken, counts(3, 13)), KIND), Sight::CannotTell);
}

/// MetalLB 0.16 counts in 64 bits: 2^62 addresses and more are the greatest number, and what follows overflows it.
#[test]
fn metallb_counts_as_it_does_beyond_its_numbers() {
    let count = |list: &[&str]| metallb_count(&list.iter().copied().map(Value::from).collect::<Vec<_>>());
    assert_eq!(count(&[]), Some(0));
    assert_eq!(count(&["10.0.0.0/8"]), Some(0));
    assert_eq!(count(&["2001:db8::/67"]), Some(1 << 61));
    assert_eq!(count(&["2001:db8::/66"]), Some(i64::MAX));
    assert_eq!(count(&["2001:db8:9::/128", "2001:db8::/64"]), Some(i64::MAX));
    assert_eq!(count(&["2001:db8::/64", "2001:db8:9::/127"]), Some(i64::MIN + 1));
    // ::1 to ::6 is ::1, ::2/127, ::4/127 and ::6.
    assert_eq!(count(&["2001:db8::1 - 2001:db8::6"]), Some(6));
    // Of these 2 are assigned: what is available is one less than the greatest number.
    let status = json!({"assignedIPv6": 2, "availableIPv6": i64::MAX});
    assert_eq!(seen(&metallb_pool(&["2001:db8::/64", "2001:db8:9::/127"], status), Kind::IPAddressPool), Sight::Seen);
}

#[test]
fn a_list_holds_addresses_of_both_families() {
    let pool = metallb_pool(&["198.51.100.0/24", "2001:db8::10-2001:db8::1f", "nonsense"], json!({}));
    let pool = Object::from_json(Kind::IPAddressPool, &pool).expect("a whole object");
    let held = |texts: &[&str]| holds(&pool, &texts.iter().map(|text| text.parse().expect(text)).collect::<Vec<_>>());
    assert!(held(&["198.51.100.255", "2001:db8::1f"]));
    assert!(!held(&["198.51.100.255", "2001:db8::20"]) && !held(&["198.51.101.0"]));
}
