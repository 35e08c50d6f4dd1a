//! Two pools of one cluster that want the same address.

use super::objects::{annotated, bind, pool, reference};
use super::*;
use crate::config::{Binding, Kind, ObjectRef};
use crate::plan::{Catalogue, ObjectWant, object, overlaps};

fn catalogue() -> Catalogue {
    let config = [dynamic_prefix(
        "home",
        vec![range("a", "::a000", "::afff"), range("b", "::b000", "::bfff")],
        vec![by_index("wide", &[0], 112)],
    )];
    Catalogue::compute(&config, &snapshots(&[("home", snapshot("2001:db8:2::/64", &["2001:db8:1::/64"]))]))
}

fn bound(name: &str, part: &str) -> (ObjectRef, ObjectWant) {
    let binding: Binding = bind(&format!("to-{name}"), &pool(name), part);
    (pool(name), object(&pool(name), &BTreeMap::new(), &[binding], true, &catalogue()).expect("ours"))
}

fn by_annotation(object_ref: ObjectRef, part: &str) -> (ObjectRef, ObjectWant) {
    let annotations = annotated(&[("name", "home"), ("address-range", part)]);
    let want = object(&object_ref, &annotations, &[], true, &catalogue()).expect("ours");
    (object_ref, want)
}

fn losers(wants: &[(ObjectRef, ObjectWant)]) -> Vec<String> {
    overlaps(wants).into_iter().map(|(object, _)| object.name).collect()
}

#[test]
fn disjoint_pools_are_fine() {
    assert!(overlaps(&[bound("one", "a"), bound("two", "b")]).is_empty());
    assert!(overlaps(&[]).is_empty());
}

#[test]
fn the_later_name_loses() {
    let wants = [bound("two", "a"), bound("one", "a"), bound("three", "b")];
    let found = overlaps(&wants);
    let [(object, finding)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(object, &pool("two"));
    assert_eq!((finding.reason, finding.blocks_write), ("Overlap", true));
    for fact in [
        "CiliumLoadBalancerIPPool/one",
        "CiliumLoadBalancerIPPool/two",
        "binding to-one",
        "binding to-two",
        "2001:db8:2::a000-2001:db8:2::afff",
        "comes first by name",
    ] {
        assert!(finding.message.contains(fact), "{fact} in {}", finding.message);
    }
}

#[test]
fn a_binding_comes_before_an_annotation() {
    let wants = [by_annotation(pool("aaa"), "a"), bound("zzz", "a")];
    assert_eq!(losers(&wants), ["aaa"]);
    assert!(overlaps(&wants)[0].1.message.contains("has a binding"));
}

#[test]
fn a_wider_range_overlaps_too_and_a_loser_claims_nothing() {
    assert_eq!(losers(&[bound("one", "a"), bound("two", "wide"), bound("three", "b")]), ["two"]);
    assert_eq!(losers(&[bound("one", "wide"), bound("two", "a"), bound("three", "b")]), ["three", "two"]);
}

#[test]
fn pools_of_both_kinds_but_no_groups() {
    let metallb = reference(Kind::IPAddressPool, "public");
    assert_eq!(losers(&[bound("one", "a"), by_annotation(metallb, "a")]), ["public"]);
    let group = reference(Kind::CiliumCIDRGroup, "group");
    assert!(overlaps(&[bound("one", "a"), by_annotation(group, "a")]).is_empty());
}

#[test]
fn a_pool_that_is_not_written_claims_nothing() {
    let mut blocked = bound("one", "a");
    blocked.1.findings.push(crate::plan::Finding { reason: "X", message: String::new(), blocks_write: true });
    assert!(overlaps(&[blocked, bound("two", "a")]).is_empty());
}

#[test]
fn draining_ranges_do_not_count() {
    // b of the draining generation lies where the current prefix of the other DynamicPrefix is.
    let config = [
        dynamic_prefix("home", vec![range("a", "::a000", "::afff")], vec![]),
        dynamic_prefix("lab", vec![range("b", "::a000", "::afff")], vec![]),
    ];
    let catalogue = Catalogue::compute(
        &config,
        &snapshots(&[
            ("home", snapshot("2001:db8:2::/64", &["2001:db8:1::/64"])),
            ("lab", snapshot("2001:db8:1::/64", &[])),
        ]),
    );
    let want = |object_ref: ObjectRef, name: &str, part: &str| {
        let annotations = annotated(&[("name", name), ("address-range", part)]);
        let want = object(&object_ref, &annotations, &[], true, &catalogue).expect("ours");
        (object_ref, want)
    };
    assert!(overlaps(&[want(pool("one"), "home", "a"), want(pool("two"), "lab", "b")]).is_empty());
}
