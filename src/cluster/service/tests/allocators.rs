//! Who gives a Service its addresses.

use super::*;
use crate::prefix::Interval;

fn interval(net: &str) -> Interval {
    Interval::from(net.parse::<ipnet::Ipv6Net>().expect(net))
}

/// A Service with these annotations that holds 2001:db8:1::5.
fn with(pairs: &[(&str, &str)]) -> Service {
    Service { ingress: [ip("2001:db8:1::5")].into(), signs: signs(&annotations(pairs)), ..Service::default() }
}

fn unsatisfied() -> Request {
    Request::Unsatisfied(Box::new(Unsatisfied { reason: "no_pool".into(), message: "".into() }))
}

/// Decides beside a Cilium pool and a MetalLB pool of which these hold what, and which is bound.
fn decide(service: &Service, cilium: (&str, bool), metallb: (&str, bool)) -> Result<Allocator, Undecided> {
    let lists = [[interval(cilium.0)], [interval(metallb.0)]];
    let pools = [
        Pool { allocator: Allocator::Cilium, live: &lists[0], is_bound: cilium.1 },
        Pool { allocator: Allocator::MetalLb, live: &lists[1], is_bound: metallb.1 },
    ];
    allocator(service, &pools)
}

const HERE: (&str, bool) = ("2001:db8:1::/64", false);
const ELSEWHERE: (&str, bool) = ("fd00::/64", false);
const BOUND: (&str, bool) = ("fd00::/64", true);

#[test]
fn the_class_decides_first() {
    let class = |class: &str, pairs| Service { class: Some(class.into()), ..with(pairs) };
    let mark = [("metallb.io/ip-allocated-from-pool", "public")];
    for name in ["io.cilium/l2-announcer", "io.cilium/bgp-control-plane"] {
        assert_eq!(decide(&class(name, &mark), ELSEWHERE, HERE), Ok(Allocator::Cilium));
    }
    assert_eq!(decide(&class("io.cilium/node", &[]), HERE, ELSEWHERE), Err(Undecided::NodeAddresses));
    // MetalLB has the class that it was started with.
    assert_eq!(decide(&class("lab/metallb", &mark), HERE, ELSEWHERE), Ok(Allocator::MetalLb));
    assert_eq!(decide(&class("lab/metallb", &[]), ELSEWHERE, HERE), Ok(Allocator::MetalLb));
    assert_eq!(decide(&class("tailscale", &[]), HERE, BOUND), Err(Undecided::OtherClass("tailscale".into())));
}

#[test]
fn a_sign_of_one_of_them_decides() {
    let metallb = [
        "metallb.io/ip-allocated-from-pool",
        "metallb.universe.tf/ip-allocated-from-pool",
        "metallb.io/loadBalancerIPs",
        "metallb.universe.tf/loadBalancerIPs",
        "metallb.io/address-pool",
        "metallb.universe.tf/allow-shared-ip",
    ];
    for key in metallb {
        assert_eq!(decide(&with(&[(key, "x")]), HERE, ELSEWHERE), Ok(Allocator::MetalLb), "{key}");
    }
    for key in ["lbipam.cilium.io/ips", "io.cilium/lb-ipam-ips", "io.cilium/lb-ipam-sharing-key"] {
        assert_eq!(decide(&with(&[(key, "x")]), ELSEWHERE, HERE), Ok(Allocator::Cilium), "{key}");
    }
    for request in [Request::Satisfied, unsatisfied()] {
        assert_eq!(decide(&Service { request, ..with(&[]) }, ELSEWHERE, HERE), Ok(Allocator::Cilium));
    }
}

#[test]
fn of_signs_of_both_the_pools_that_hold_its_address_decide() {
    let both = with(&[("lbipam.cilium.io/ips", "x"), ("metallb.io/address-pool", "x")]);
    assert_eq!(decide(&both, HERE, ELSEWHERE), Ok(Allocator::Cilium));
    assert_eq!(decide(&both, ELSEWHERE, HERE), Ok(Allocator::MetalLb));
    // Then the pools that it is bound to.
    let marked = with(&[("metallb.io/ip-allocated-from-pool", "public")]);
    let moved = Service { request: unsatisfied(), ..marked.clone() };
    assert_eq!(decide(&moved, BOUND, ELSEWHERE), Ok(Allocator::Cilium));
    // Then what the allocators wrote: LB-IPAM is unsatisfied with every Service without a class, so that says nothing.
    assert_eq!(decide(&moved, ELSEWHERE, ELSEWHERE), Ok(Allocator::MetalLb));
    let asked = Service { request: Request::Satisfied, ..with(&[("metallb.universe.tf/address-pool", "old")]) };
    assert_eq!(decide(&asked, BOUND, BOUND), Ok(Allocator::Cilium));
    let unclear = Service { request: Request::Satisfied, ..marked };
    assert_eq!(decide(&unclear, ELSEWHERE, ELSEWHERE), Err(Undecided::Both));
    // Without pools nothing is said that pools could change.
    assert_eq!(allocator(&moved, &[]), Err(Undecided::Both));
}

#[test]
fn without_a_sign_the_pools_decide() {
    assert_eq!(decide(&with(&[]), HERE, BOUND), Ok(Allocator::Cilium));
    assert_eq!(decide(&with(&[]), BOUND, HERE), Ok(Allocator::MetalLb));
    assert_eq!(decide(&with(&[]), ELSEWHERE, BOUND), Ok(Allocator::MetalLb));
    assert_eq!(decide(&with(&[]), BOUND, BOUND), Err(Undecided::Both));
    assert_eq!(decide(&Service::default(), HERE, ELSEWHERE), Err(Undecided::Both));
    let live = [interval("fd00::/64")];
    let only = [Pool { allocator: Allocator::MetalLb, live: &live, is_bound: false }];
    assert_eq!(allocator(&with(&[]), &only), Ok(Allocator::MetalLb));
    assert_eq!(allocator(&with(&[]), &[]), Err(Undecided::Neither));
}

#[test]
fn what_is_undecided_names_the_service_and_keeps_it_as_it_is() {
    let all = [Undecided::Both, Undecided::Neither, Undecided::OtherClass("a\nb".into()), Undecided::NodeAddresses];
    let reasons: Vec<_> = all.iter().map(|undecided| undecided.finding(&reference("web"))).collect();
    for finding in &reasons {
        assert!(finding.blocks_write && finding.message.starts_with(|first: char| first.is_uppercase()));
        assert!(
            finding.message.contains("Service/web/front") && !finding.message.contains('\n'),
            "{}",
            finding.message
        );
    }
    let words: Vec<_> = reasons.iter().map(|finding| finding.reason).collect();
    assert_eq!(words, ["AllocatorUnknown", "AllocatorUnknown", "AllocatorUnknown", "NodeAddresses"]);
}

#[test]
fn what_cannot_carry_our_addresses_is_said() {
    let reason = |change: fn(&mut Value), allocator| {
        let mut value = front();
        change(&mut value);
        obstacle(&reference("web"), &cut(&value), allocator).map(|finding| finding.reason)
    };
    let set_ip: fn(&mut Value) = |value| value["spec"]["loadBalancerIP"] = json!("198.51.100.7");
    assert_eq!(reason(set_ip, Allocator::MetalLb), Some("LoadBalancerIP"));
    assert_eq!(reason(set_ip, Allocator::Cilium), None, "LB-IPAM adds it to the list");
    let v4: fn(&mut Value) = |value| value["spec"]["ipFamilies"] = json!(["IPv4"]);
    assert_eq!(reason(v4, Allocator::Cilium), Some("NoIPv6"));
    let none: fn(&mut Value) = |value| value["spec"]["ipFamilies"] = json!(null);
    assert_eq!(reason(none, Allocator::Cilium), None);
    let port: fn(&mut Value) = |value| value["spec"]["type"] = json!("NodePort");
    assert_eq!(reason(port, Allocator::Cilium), Some("NotLoadBalancer"));
}
