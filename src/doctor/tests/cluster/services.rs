//! The Services that hold addresses of ours: who announces them, and how DNS learns of them.

use serde_json::{Value, json};

use super::{URL, answers, facts, seen};
use crate::cluster::kubeconfig::Unusable;
use crate::config::Kind;
use crate::doctor::cluster::{Announcer, Connection, Seen, check};
use crate::doctor::tests::provoked;
use crate::doctor::{Check, Finding, Level};

fn service(annotations: Value) -> Value {
    json!({
        "metadata": {"name": "front", "namespace": "web", "labels": {"app": "front"}, "annotations": annotations},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"ip": "2001:db8:a:f::5"}]}},
    })
}

fn announced(kind: Announcer, spec: Value) -> Vec<Finding> {
    let mut seen = Seen { services: vec![service(json!({}))], ..seen() };
    seen.announcers.insert(kind, Ok(vec![json!({"metadata": {"name": "p"}, "spec": spec})]));
    answers(seen)
}

#[test]
pub(super) fn who_announces_a_service() {
    let found = answers(Seen { services: vec![service(json!({}))], ..seen() });
    provoked(&found, Check::Announcement, Level::Note, "Nobody in the cluster announces");
    let elsewhere = Seen { services: vec![service(json!({}))], ..seen() };
    let mut moved = facts(Connection::Unusable(Unusable::new(String::new())));
    moved.prefixes = vec![("home".to_owned(), "2001:db8:b::/56".parse().unwrap())];
    moved.connection =
        Connection::Made { url: URL.to_owned(), addresses: vec![], validity: None, answer: Ok(Box::new(elsewhere)) };
    assert!(!check(&moved).iter().any(|finding| finding.subject == "web/front"), "it holds none of ours");

    let l2 = |selector: Value, ips: bool| {
        announced(Announcer::CiliumL2, json!({"loadBalancerIPs": ips, "serviceSelector": selector}))
    };
    let text = "CiliumL2AnnouncementPolicy/p announces the addresses of the Service web/front.";
    for selector in [
        Value::Null,
        json!({"matchLabels": {"app": "front"}}),
        json!({"matchLabels": {"io.kubernetes.service.namespace": "web"}}),
        json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["front", "x"]}]}),
        json!({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["never"]}]}),
        json!({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}, {"key": "app", "operator": "Exists"}]}),
    ] {
        provoked(&l2(selector, true), Check::Announcement, Level::Ok, text);
    }
    provoked(&l2(json!({}), false), Check::Announcement, Level::Warning, "selects the Service web/front");
    let other = json!({"matchLabels": {"app": "back"}});
    provoked(&l2(other, true), Check::Announcement, Level::Warning, "nobody finds the way");

    let bgp = |selector: Value| {
        let advertisement = json!({"advertisementType": "Service", "service": {"addresses": ["LoadBalancerIP"]},
            "selector": selector});
        announced(Announcer::CiliumBgp, json!({"advertisements": [advertisement]}))
    };
    provoked(&bgp(json!({})), Check::Announcement, Level::Ok, "CiliumBGPAdvertisement/p announces");
    // Without a selector it selects nothing (CiliumBGPAdvertisement, spec.advertisements.selector).
    provoked(&bgp(Value::Null), Check::Announcement, Level::Warning, "CiliumBGPAdvertisement");
}

#[test]
pub(super) fn who_announces_a_pool_of_metallb() {
    let of = |spec: Value| {
        let mut seen = seen();
        let object = json!({"metadata": {"name": "a", "namespace": "metallb-system"}, "spec": spec});
        seen.announcers = [(Announcer::MetalLbL2, Ok(vec![object]))].into();
        answers(seen)
    };
    provoked(&of(json!({"ipAddressPools": ["public"]})), Check::Announcement, Level::Ok, "public");
    provoked(&of(json!({"ipAddressPools": ["x"]})), Check::Announcement, Level::Warning, "announces IPAddressPool");
    provoked(&of(json!({})), Check::Announcement, Level::Ok, "public");
}

/// MetalLB: ipAddressPoolSelectors is "a selector for the IPAddressPools which would get advertised", any of the list.
#[test]
pub(super) fn an_advertisement_chooses_pools_by_their_labels() {
    let of = |spec: Value, namespace: &str| {
        let metadata = json!({"name": "public", "namespace": namespace, "labels": {"zone": "wan"}});
        let mut seen = Seen { metallb_pools: vec![json!({"metadata": metadata})], ..seen() };
        let object = json!({"metadata": {"name": "a", "namespace": "metallb-system"}, "spec": spec});
        seen.announcers = [(Announcer::MetalLbL2, Ok(vec![object]))].into();
        answers(seen)
    };
    let zone = |zone: &str| json!({"matchLabels": {"zone": zone}});
    let known = |spec| of(spec, "metallb-system");
    let both = json!({"ipAddressPools": ["x"], "ipAddressPoolSelectors": [zone("lan"), zone("wan")]});
    provoked(&known(both), Check::Announcement, Level::Ok, "announces IPAddressPool/metallb-system/public");
    let other = json!({"ipAddressPoolSelectors": [zone("lan")]});
    let text = provoked(&known(other.clone()), Check::Announcement, Level::Warning, "No L2Advertisement");
    assert!(text.contains("without ipAddressPools and ipAddressPoolSelectors it announces all pools"), "{text}");
    // It could not be read.
    provoked(&of(other, "elsewhere"), Check::Announcement, Level::Note, "could not be seen, for want of its labels");
}

#[test]
pub(super) fn what_could_not_be_read_is_not_missing() {
    let hides = |hidden: Announcer| {
        let mut seen = Seen { services: vec![service(json!({}))], ..seen() };
        seen.announcers.clear();
        seen.announcers.insert(hidden, Err("forbidden".to_owned()));
        seen
    };
    let of = |found: &[Finding], level| {
        let about = found.iter().filter(|finding| finding.check == Check::Announcement && finding.level == level);
        about.map(|finding| finding.subject.clone()).collect::<Vec<_>>()
    };
    let found = answers(hides(Announcer::MetalLbBgp));
    let text = "apiGroups: [metallb.io], resources: [bgpadvertisements], verbs: [list]";
    provoked(&found, Check::Announcement, Level::Unseen, text);
    // Nothing is said of pools, and of Services of Cilium what is seen.
    assert_eq!((of(&found, Level::Warning), of(&found, Level::Note)), (vec![], vec!["web/front".to_owned()]));
    // Who has no pool of MetalLB has no need to know, whether it is installed or not.
    let (url, answer) = (URL.to_owned(), Ok(Box::new(hides(Announcer::MetalLbBgp))));
    let mut without = facts(Connection::Made { url, addresses: Vec::new(), validity: None, answer });
    without.bindings.retain(|binding| binding.target.kind != Kind::IPAddressPool);
    assert_eq!(of(&check(&without), Level::Unseen), Vec::<String>::new());
    let mut seen = hides(Announcer::CiliumBgp);
    let found = answers(seen.clone());
    provoked(
        &found,
        Check::Announcement,
        Level::Unseen,
        "by objects of kind CiliumBGPAdvertisement could not be seen: forbidden.",
    );
    let pool = "IPAddressPool/metallb-system/public".to_owned();
    assert_eq!((of(&found, Level::Warning), of(&found, Level::Note)), (vec![pool], vec![]));
    // Who is found need not be looked for.
    let policy = json!({"metadata": {"name": "p"}, "spec": {"loadBalancerIPs": true}});
    seen.announcers.insert(Announcer::CiliumL2, Ok(vec![policy]));
    provoked(&answers(seen), Check::Announcement, Level::Ok, "CiliumL2AnnouncementPolicy/p announces");

    let mut blind = super::seen();
    blind.objects.insert(Kind::Service, Err("forbidden".to_owned()));
    provoked(&answers(blind), Check::Announcement, Level::Unseen, "for want of Services: forbidden.");
}

#[test]
pub(super) fn external_dns() {
    let of = |annotations: Value| answers(Seen { services: vec![service(annotations)], ..seen() });
    let known = "external-dns.alpha.kubernetes.io/";
    let found = of(json!({format!("{known}hostname"): "a.example", format!("{known}ttl"): "5m"}));
    provoked(&found, Check::ExternalDns, Level::Ok, "which is one of those that we write");
    provoked(&found, Check::DnsTtl, Level::Ok, "for 300 s");
    let found = of(json!({"dns.example/hostname": "a.example"}));
    provoked(&found, Check::ExternalDns, Level::Warning, "Add \"dns.example/\" to externalDnsAnnotationPrefixes");
    provoked(&found, Check::DnsTtl, Level::Note, "the DNS provider decides");
    let ttl = |ttl: &str| of(json!({format!("{known}hostname"): "a.example", format!("{known}ttl"): ttl}));
    provoked(&ttl("7200"), Check::DnsTtl, Level::Warning, "for 7200 s, longer than a former prefix drains (3600 s)");
    provoked(&ttl("1h30m"), Check::DnsTtl, Level::Warning, "for 5400 s");
    provoked(&ttl("soon"), Check::DnsTtl, Level::Warning, "is no time");
}

fn deployment(image: &str, container: Value) -> Value {
    let mut container = container;
    container["image"] = json!(image);
    json!({
        "metadata": {"name": "external-dns", "namespace": "dns", "uid": image},
        "spec": {"template": {"spec": {"containers": [{"image": "other"}, container]}}},
    })
}

#[test]
pub(super) fn what_external_dns_reads() {
    let (former, present) = ("external-dns.alpha.kubernetes.io/", "external-dns.kubernetes.io/");
    let of = |used: &str, external_dns: Vec<Value>| {
        let services = vec![service(json!({format!("{used}hostname"): "a.example"}))];
        answers(Seen { services, external_dns: Ok(external_dns), ..seen() })
    };
    // kubernetes.md §3: 0.22 changed the prefix, and reads no other one.
    let by_image = |image: &str, prefix: &str| {
        let found = of(prefix, vec![deployment(image, json!({}))]);
        provoked(&found, Check::ExternalDns, Level::Ok, &format!("The external-dns dns/external-dns reads {prefix}."));
        assert!(!found.iter().any(|it| it.check == Check::ExternalDns && it.level != Level::Ok), "{found:#?}");
    };
    by_image("registry.example:5000/external-dns/external-dns:v0.21.0", former);
    by_image("registry.example/external-dns:v0.22.0@sha256:00", present);
    by_image("external-dns:1.0.0-debian", present);

    let found = of(former, vec![deployment("external-dns:v0.22.0", json!({}))]);
    let text = "No external-dns of this cluster reads external-dns.alpha.kubernetes.io/, by which these Services";
    provoked(&found, Check::ExternalDns, Level::Warning, text);
    for told in [
        json!({"args": ["--source=service", format!("--annotation-prefix={former}")]}),
        json!({"command": ["external-dns", "--annotation-prefix", former]}),
        json!({"env": [{"name": "EXTERNAL_DNS_ANNOTATION_PREFIX", "value": former}]}),
        json!({"args": ["--enable-legacy-annotation-prefix"]}),
    ] {
        let found = of(former, vec![deployment("external-dns:v0.23.0", told)]);
        assert!(!found.iter().any(|finding| finding.level == Level::Warning), "{found:#?}");
    }
    // Two of them, of which one reads it.
    let both = ["external-dns:v0.22.0", "external-dns:v0.21.0"].map(|image| deployment(image, json!({})));
    assert!(!of(former, both.to_vec()).iter().any(|finding| finding.level == Level::Warning));

    let found = of(former, vec![deployment("external-dns:latest", json!({}))]);
    provoked(&found, Check::ExternalDns, Level::Unseen, "does not follow from its image.");
    assert!(!found.iter().any(|finding| finding.level == Level::Warning), "{found:#?}");
    let services = vec![service(json!({format!("{former}hostname"): "a.example"}))];
    let found = answers(Seen { services, external_dns: Err("forbidden".to_owned()), ..seen() });
    let text = "could not be seen: forbidden. Only doctor looks at it. To let it: a ClusterRole with apiGroups: [apps]";
    provoked(&found, Check::ExternalDns, Level::Unseen, text);
    let found = answers(Seen { external_dns: Err("forbidden".to_owned()), ..seen() });
    assert!(!found.iter().any(|finding| finding.check == Check::ExternalDns), "nobody asks for a name: {found:#?}");
}
