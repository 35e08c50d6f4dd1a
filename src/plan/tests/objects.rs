//! What one object should hold.

use std::time::Duration;

use super::*;
use crate::config::{Binding, Kind, ObjectRef, Part, Strategy};
use crate::plan::{ANNOTATION, Catalogue, Contribution, ObjectWant, Role, blocks, object};

pub(super) fn reference(kind: Kind, name: &str) -> ObjectRef {
    let namespace = kind.is_namespaced().then(|| "metallb-system".to_owned());
    ObjectRef { kind, namespace, name: name.into() }
}

pub(super) fn pool(name: &str) -> ObjectRef {
    reference(Kind::CiliumLoadBalancerIPPool, name)
}

/// A binding to parts of "home", separated by commas; "*" is the whole.
pub(super) fn bind(name: &str, target: &ObjectRef, parts: &str) -> Binding {
    Binding {
        name: name.into(),
        cluster: "default".into(),
        dynamic_prefix: "home".into(),
        part: if parts == "*" { Part::Whole } else { Part::Named(parts.split(',').map(str::to_owned).collect()) },
        target: target.clone(),
        strategy: Strategy::Append,
    }
}

pub(super) fn annotated(with: &[(&str, &str)]) -> BTreeMap<String, String> {
    with.iter().map(|(key, value)| (format!("dynamic-prefix.io/{key}"), (*value).to_owned())).collect()
}

/// One DynamicPrefix "home": lb and web are ranges, pods and lb-pool subnets, bad cannot be computed.
fn home() -> DynamicPrefix {
    dynamic_prefix(
        "home",
        vec![range("lb", "::f000", "::f0ff"), range("web", "::e001", "::e003"), range("bad", "a::", "a::1")],
        vec![by_index("pods", &[1], 80), by_index("lb-pool", &[0], 64)],
    )
}

fn catalogue(snapshot: Snapshot) -> Catalogue {
    Catalogue::compute(&[home()], &snapshots(&[("home", snapshot)]))
}

fn rotated() -> Catalogue {
    catalogue(snapshot("2001:db8:3::/48", &["2001:db8:2::/48", "2001:db8:1::/48"]))
}

fn list(want: &ObjectWant, kind: Kind) -> Vec<String> {
    show(&want.blocks(kind))
}

fn of_binding(target: &ObjectRef, parts: &str, catalogue: &Catalogue) -> ObjectWant {
    object(target, &BTreeMap::new(), &[bind("b", target, parts)], true, catalogue).expect("bound")
}

fn of_annotations(target: &ObjectRef, with: &[(&str, &str)], catalogue: &Catalogue) -> ObjectWant {
    object(target, &annotated(with), &[], true, catalogue).expect("annotated")
}

#[test]
fn e1_e2_a_subnet_by_annotation_on_pool_and_group() {
    let catalogue = catalogue(snapshot("2001:db8::/48", &[]));
    for kind in Kind::ALL {
        // E10: both of the same name
        let want = of_annotations(&reference(kind, "same"), &[("name", "home"), ("subnet", "lb-pool")], &catalogue);
        assert_eq!(list(&want, kind), ["2001:db8::/64"]);
        assert_eq!(want.contributions[0].0, ANNOTATION);
        assert!(want.findings.is_empty());
    }
}

/// Peers E3 gives the pool the whole /48; design.md §2 refuses that.
#[test]
fn e3_a_pool_without_a_part_is_refused() {
    let catalogue = catalogue(snapshot("2001:db8:abcd::/48", &[]));
    let want = of_annotations(&pool("p"), &[("name", "home")], &catalogue);
    assert_eq!((want.findings[0].reason, want.findings[0].blocks_write), ("PoolNeedsRange", true));
    assert!(matches!(want.contributions[..], [(_, Contribution::Error(_))]), "what it has stays");

    let want = of_annotations(&pool("p"), &[("name", "home"), ("whole", "true")], &catalogue);
    assert_eq!(list(&want, Kind::CiliumLoadBalancerIPPool), ["2001:db8:abcd::/48"]);
    let group = reference(Kind::CiliumCIDRGroup, "g");
    let want = of_annotations(&group, &[("name", "home")], &catalogue);
    assert_eq!(list(&want, Kind::CiliumCIDRGroup), ["2001:db8:abcd::/48"]);
}

/// Peers E6 and E7: the user's entry is not ours to count; current and two draining ones are.
#[test]
fn e6_current_first_then_newest_first() {
    let want = of_binding(&pool("p"), "lb", &rotated());
    let expected =
        ["2001:db8:3::f000-2001:db8:3::f0ff", "2001:db8:2::f000-2001:db8:2::f0ff", "2001:db8:1::f000-2001:db8:1::f0ff"];
    assert_eq!(list(&want, Kind::CiliumLoadBalancerIPPool), expected);
    let want = of_binding(&reference(Kind::CiliumCIDRGroup, "g"), "*", &rotated());
    assert_eq!(list(&want, Kind::CiliumCIDRGroup), ["2001:db8:3::/48", "2001:db8:2::/48", "2001:db8:1::/48"]);
}

#[test]
fn e9_the_same_range_twice_is_one_block() {
    let target = pool("p");
    let bindings = [bind("one", &target, "lb,lb"), bind("two", &target, "lb")];
    let want = object(&target, &BTreeMap::new(), &bindings, true, &catalogue(snapshot("2001:db8::/48", &[])));
    let want = want.expect("bound");
    assert_eq!(list(&want, Kind::CiliumLoadBalancerIPPool), ["2001:db8::f000-2001:db8::f0ff"]);
    assert_eq!(want.known.len(), 1);
    assert_eq!(want.contributions.len(), 2, "each remembers its own");
    assert!(want.contributions.iter().all(|(_, it)| matches!(it, Contribution::Blocks(blocks) if blocks.len() == 1)));
}

#[test]
fn a_range_in_a_group_becomes_its_exact_cidrs() {
    let group = reference(Kind::CiliumCIDRGroup, "g");
    let want = of_binding(&group, "web", &catalogue(snapshot("2001:db8::/48", &[])));
    assert_eq!(list(&want, Kind::CiliumCIDRGroup), ["2001:db8::e001/128", "2001:db8::e002/127"]);
    let want = of_binding(&group, "lb-pool,lb", &catalogue(snapshot("2001:db8::/48", &[])));
    assert_eq!(list(&want, Kind::CiliumCIDRGroup), ["2001:db8::/64"], "the range lies in the subnet");
}

#[test]
fn the_current_generation_of_every_binding_comes_first() {
    let target = pool("p");
    let bindings = [bind("one", &target, "lb"), bind("two", &target, "pods")];
    let want = object(&target, &BTreeMap::new(), &bindings, true, &rotated()).expect("bound");
    let expected = [
        "2001:db8:3::f000-2001:db8:3::f0ff",
        "2001:db8:3:0:1::/80",
        "2001:db8:2::f000-2001:db8:2::f0ff",
        "2001:db8:2:0:1::/80",
        "2001:db8:1::f000-2001:db8:1::f0ff",
        "2001:db8:1:0:1::/80",
    ];
    assert_eq!(list(&want, Kind::CiliumLoadBalancerIPPool), expected);
    let roles: Vec<Role> = want.known.iter().map(|(role, _)| *role).collect();
    assert_eq!(roles, [Role::Current, Role::Current, Role::Draining, Role::Draining, Role::Draining, Role::Draining]);
}

#[test]
fn nested_prefixes_are_cut_where_the_newer_one_overlaps() {
    let config = [dynamic_prefix("home", vec![], vec![by_index("first", &[0], 66)])];
    // The delegation was a /64 of what is now a /62: the new subnet lies inside the old one, or around it.
    let catalogue = Catalogue::compute(&config, &snapshots(&[("home", snapshot("2001:db8::/66", &["2001:db8::/64"]))]));
    let want = of_binding(&pool("p"), "*", &catalogue);
    let pool_list = list(&want, Kind::CiliumLoadBalancerIPPool);
    assert_eq!(pool_list, ["2001:db8::/66", "2001:db8:0:0:4000::/66", "2001:db8:0:0:8000::/65"]);
    let want = of_binding(&pool("p"), "first", &catalogue);
    assert_eq!(list(&want, Kind::CiliumLoadBalancerIPPool), ["2001:db8::/66"], "the same addresses in both");
}

#[test]
fn what_drains_inside_a_current_range_does_not_cut_it() {
    // first is a /66 at the start of either prefix; the old prefix lies inside what whole is now.
    let config = [dynamic_prefix("home", vec![], vec![by_index("first", &[0], 66)])];
    let catalogue =
        Catalogue::compute(&config, &snapshots(&[("home", snapshot("2001:db8::/62", &["2001:db8:0:1::/64"]))]));
    let target = pool("p");
    let bindings = [bind("one", &target, "first"), bind("two", &target, "*")];
    let want = object(&target, &BTreeMap::new(), &bindings, true, &catalogue).expect("bound");
    let expected =
        ["2001:db8::/66", "2001:db8:0:0:4000::/66", "2001:db8:0:0:8000::/65", "2001:db8:0:1::/64", "2001:db8:0:2::/63"];
    assert_eq!(list(&want, Kind::CiliumLoadBalancerIPPool), expected);
}

#[test]
fn blocks_of_no_known_generation_stand_before_the_draining_ones() {
    let block = |text: &str| Block::Cidr(net(text));
    let [now, old, stray] = ["2001:db8:2::/64", "2001:db8:1::/64", "2001:db8:9::/64"].map(block);
    let known = [(Role::Current, now.interval()), (Role::Draining, old.interval())];
    for wanted in [[stray, old, now], [old, now, stray]] {
        assert_eq!(blocks(Kind::IPAddressPool, &known, wanted), [now, stray, old]);
    }
}

#[test]
fn an_entry_in_error_leaves_its_neighbours_and_its_target_alone() {
    let catalogue = rotated();
    let generation = catalogue.dynamic_prefixes["home"].current().expect("current");
    assert!(generation.parts["bad"].is_err());
    assert!(generation.parts["lb"].is_ok());
    let target = pool("p");
    let bindings = [bind("good", &target, "lb"), bind("mixed", &target, "pods,bad")];
    let want = object(&target, &BTreeMap::new(), &bindings, true, &catalogue).expect("bound");
    assert!(matches!(&want.contributions[0].1, Contribution::Blocks(blocks) if blocks.len() == 3));
    let Contribution::Error(error) = &want.contributions[1].1 else { panic!("{want:?}") };
    assert_eq!(error.entry, "addressRanges[bad]");
    assert_eq!(want.known.len(), 6, "what pods computes is known all the same");
}

#[test]
fn a_draining_prefix_without_room_does_not_hold_up_the_current_one() {
    let config = [dynamic_prefix("home", vec![], vec![by_index("fifth", &[5], 64)])];
    let catalogue =
        Catalogue::compute(&config, &snapshots(&[("home", snapshot("2001:db8:2::/60", &["2001:db8:1::/64"]))]));
    let want = of_binding(&pool("p"), "fifth", &catalogue);
    assert_eq!(list(&want, Kind::CiliumLoadBalancerIPPool), ["2001:db8:2:5::/64"]);
}

#[test]
fn expired_generations_are_known_and_not_published() {
    let mut snapshot = snapshot("2001:db8:2::/48", &[]);
    snapshot.history.push(previous(net("2001:db8:1::/48"), PreviousState::Expired));
    let want = of_binding(&pool("p"), "lb", &catalogue(snapshot));
    assert_eq!(list(&want, Kind::CiliumLoadBalancerIPPool), ["2001:db8:2::f000-2001:db8:2::f0ff"]);
    assert_eq!(want.known.iter().map(|(role, _)| *role).collect::<Vec<_>>(), [Role::Current, Role::Known]);
}

#[test]
fn no_opinion_and_publish_nothing_are_different() {
    let none = Catalogue::compute(&[home()], &BTreeMap::new());
    let want = of_binding(&pool("p"), "lb", &none);
    assert!(matches!(want.contributions[..], [(_, Contribution::NoOpinion)]));

    let withdrawn = Snapshot { current: None, history: vec![previous(net("2001:db8:1::/48"), PreviousState::Expired)] };
    let want = of_binding(&pool("p"), "lb", &catalogue(withdrawn.clone()));
    assert_eq!(want.contributions[0].1, Contribution::Blocks(vec![]));
    let want = of_binding(&pool("p"), "lbs", &catalogue(withdrawn));
    assert!(matches!(want.contributions[..], [(_, Contribution::Error(_))]), "a wrong name withdraws nothing");
}

#[test]
fn the_draining_prefixes_stay_when_the_current_one_is_withdrawn() {
    let snapshot = Snapshot { current: None, history: vec![previous(net("2001:db8:1::/48"), PreviousState::Draining)] };
    let want = of_binding(&pool("p"), "lb", &catalogue(snapshot));
    assert_eq!(list(&want, Kind::CiliumLoadBalancerIPPool), ["2001:db8:1::f000-2001:db8:1::f0ff"]);
}

#[test]
fn excluded_parts_of_the_delegation_are_in_no_list() {
    let mut snapshot = snapshot("2001:db8::/56", &[]);
    snapshot.current.as_mut().expect("current").excluded = vec![net("2001:db8::/57")];
    let group = reference(Kind::CiliumCIDRGroup, "g");
    let want = of_binding(&group, "*", &catalogue(snapshot.clone()));
    assert_eq!(list(&want, Kind::CiliumCIDRGroup), ["2001:db8:0:80::/57"]);
    snapshot.current.as_mut().expect("current").excluded = vec![net("2001:db8::/56")];
    let want = of_binding(&group, "*", &catalogue(snapshot));
    assert!(matches!(want.contributions[..], [(_, Contribution::Error(_))]));
}

#[test]
fn what_the_annotations_ask_for() {
    let catalogue = catalogue(snapshot("2001:db8::/48", &[]));
    let (lb, web, pods) = ("2001:db8::f000-2001:db8::f0ff", "2001:db8::e001-2001:db8::e003", "2001:db8:0:0:1::/80");
    let table: [(&[(&str, &str)], String); 6] = [
        (&[("name", "home"), ("address-range", "lb")], lb.into()),
        (&[("name", " home "), ("address-range", " lb , web,,lb ")], format!("{lb} {web}")),
        (&[("name", "home"), ("address-range", "lb"), ("subnet", "pods")], lb.into()),
        (&[("name", "home"), ("address-range", " , "), ("subnet", "pods")], pods.into()),
        (&[("name", "home"), ("subnet", "pods"), ("whole", "true")], pods.into()),
        (&[("name", "home"), ("whole", "true")], "2001:db8::/48".into()),
    ];
    for (with, expected) in table {
        let want = of_annotations(&pool("p"), with, &catalogue);
        assert_eq!(list(&want, Kind::CiliumLoadBalancerIPPool).join(" "), expected, "{with:?}");
    }
    let want = of_annotations(&pool("p"), &[("name", "home"), ("whole", "yes")], &catalogue);
    assert_eq!(want.findings[0].reason, "PoolNeedsRange", "only \"true\" allows it");
}

#[test]
fn what_is_not_ours() {
    let catalogue = catalogue(snapshot("2001:db8::/48", &[]));
    let none =
        |with: &[(&str, &str)], discovery| object(&pool("p"), &annotated(with), &[], discovery, &catalogue).is_none();
    assert!(none(&[], true));
    assert!(none(&[("name", "office"), ("address-range", "lb")], true), "another daemon's DynamicPrefix");
    assert!(none(&[("address-range", "lb")], true));
    assert!(none(&[("name", "home"), ("address-range", "lb")], false), "discovery is off");
    let other = bind("b", &pool("other"), "lb");
    assert!(object(&pool("p"), &BTreeMap::new(), &[other], true, &catalogue).is_none());
}

#[test]
fn an_unknown_range_keeps_what_is_there_and_lists_the_known_ones() {
    let want = of_annotations(&pool("p"), &[("name", "home"), ("address-range", "lb,typo")], &rotated());
    let Contribution::Error(error) = &want.contributions[0].1 else { panic!("{want:?}") };
    assert_eq!(
        error.message,
        "There is no range or subnet \"typo\"; the DynamicPrefix has bad, lb, lb-pool, pods, web."
    );
}

#[test]
fn a_binding_wins_over_annotations() {
    let target = pool("p");
    let catalogue = catalogue(snapshot("2001:db8::/48", &[]));
    let want = |with: &[(&str, &str)], parts: &str| {
        let bindings: Vec<Binding> =
            parts.split(';').enumerate().map(|(n, part)| bind(&format!("b{n}"), &target, part)).collect();
        object(&target, &annotated(with), &bindings, true, &catalogue).expect("bound")
    };
    let differs = want(&[("name", "home"), ("address-range", "web")], "lb");
    assert_eq!(list(&differs, Kind::CiliumLoadBalancerIPPool), ["2001:db8::f000-2001:db8::f0ff"]);
    assert_eq!(differs.contributions.len(), 1);
    let [finding] = &differs.findings[..] else { panic!("{differs:?}") };
    assert_eq!((finding.reason, finding.blocks_write), ("BindingWins", false));
    for fact in ["CiliumLoadBalancerIPPool/p", "home/web", "home/lb", "\"b0\""] {
        assert!(finding.message.contains(fact), "{fact} in {}", finding.message);
    }
    assert!(want(&[("name", "home"), ("address-range", "lb")], "lb").findings.is_empty());
    assert!(want(&[("name", "home"), ("address-range", "web,lb")], "lb;web").findings.is_empty());
    assert!(want(&[("name", "home")], "lb").findings.is_empty(), "it says nothing else");
    assert!(want(&[("name", "office"), ("subnet", "x")], "lb").findings.is_empty(), "not ours");
    assert_eq!(want(&[("name", "home"), ("whole", "true")], "lb").findings[0].reason, "BindingWins");
}

#[test]
fn replace_beside_append_is_an_error() {
    let target = pool("p");
    let replace = |name: &str| Binding { strategy: Strategy::Replace, ..bind(name, &target, "lb") };
    let both = [replace("all"), bind("some", &target, "web")];
    let want = object(&target, &BTreeMap::new(), &both, true, &rotated()).expect("bound");
    assert_eq!((want.findings[0].reason, want.is_blocked()), ("ReplaceBesideAppend", true));
    assert!(want.findings[0].message.contains("\"all\"") && want.findings[0].message.contains("\"some\""));

    let want = object(&target, &BTreeMap::new(), &[replace("a"), replace("b")], true, &rotated()).expect("bound");
    assert!(want.replace && want.findings.is_empty());
    assert!(!of_binding(&target, "lb", &rotated()).replace);
}

#[test]
fn the_longest_drain_period_of_all_bindings() {
    let with_period = |name: &str, minutes: Option<u64>| {
        let mut config = dynamic_prefix(name, vec![range("lb", "::1", "::2")], vec![]);
        config.transition.drain_period = minutes.map(|minutes| Duration::from_secs(60 * minutes));
        config
    };
    let target = pool("p");
    let bindings = ["a", "b"].map(|name| Binding { dynamic_prefix: name.into(), ..bind(name, &target, "lb") });
    for (a, b, expected) in [(Some(5), Some(60), Some(60)), (Some(60), None, None), (None, Some(0), None)] {
        let catalogue = Catalogue::compute(&[with_period("a", a), with_period("b", b)], &BTreeMap::new());
        let want = object(&target, &BTreeMap::new(), &bindings, true, &catalogue).expect("bound");
        assert_eq!(want.drain_period, expected.map(|minutes| Duration::from_secs(60 * minutes)));
    }
}

/// What cannot be told by its generation is older than every prefix that became a former one after it was first seen.
#[test]
fn strays_go_when_as_many_former_prefixes_as_may_drain_are_newer() {
    let at = |prefix: &str, seconds| Previous {
        deprecated_at: Instant::from_secs(seconds),
        ..previous(net(prefix), PreviousState::Draining)
    };
    let history = vec![at("2001:db8:3::/48", 300), at("2001:db8:2::/48", 200), at("2001:db8:1::/48", 100)];
    let snapshot = Snapshot { current: Some(current(net("2001:db8:4::/48"))), history };
    let since = |max_prefix_history| {
        let mut config = home();
        config.transition.max_prefix_history = max_prefix_history;
        let catalogue = Catalogue::compute(&[config], &snapshots(&[("home", snapshot.clone())]));
        of_binding(&pool("p"), "lb", &catalogue).strays_since
    };
    assert_eq!(since(1), Some(Instant::from_secs(300)));
    assert_eq!(since(2), Some(Instant::from_secs(200)));
    assert_eq!(since(4), None, "so many have not been");
    assert!(since(0) > Some(Instant::from_secs(1_000_000)), "not even one may drain");
}
