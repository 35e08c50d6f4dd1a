//! Who manages a Service, and how.

use super::objects::annotated;
use super::*;
use crate::config::{Kind, Mode, ObjectRef, Part, Service, ServiceScope};
use crate::plan::service::{ALL, Bound, ENTRY};
use crate::plan::{ANNOTATION, Catalogue, ServiceWant, service, service_of_all};

pub(super) fn front() -> ObjectRef {
    named("front")
}

pub(super) fn named(name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::Service, namespace: Some("web".into()), name: name.into() }
}

pub(super) fn part(names: &str) -> Part {
    if names == "*" { Part::Whole } else { Part::Named(names.split(',').map(str::to_owned).collect()) }
}

/// Ranges lb (::f000:0:0:1 to ::f000:0:0:ff) and web, and the subnets 1 and 3 of /80 as pods.
pub(super) fn ranges(name: &str, mode: Mode) -> DynamicPrefix {
    let mut of = dynamic_prefix(
        name,
        vec![range("lb", "::f000:0:0:1", "::f000:0:0:ff"), range("web", "::e001", "::e003")],
        vec![by_index("pods", &[1, 3], 80)],
    );
    of.transition.mode = mode;
    of
}

/// "home" is in mode ha, "plain" in mode simple, of "mute" nothing is known yet.
fn catalogue() -> Catalogue {
    let config = [ranges("home", Mode::Ha), ranges("plain", Mode::Simple), ranges("mute", Mode::Ha)];
    let now = snapshot("2001:db8:1::/48", &["2001:db8:2::/48"]);
    Catalogue::compute(&config, &snapshots(&[("home", now.clone()), ("plain", now)]))
}

pub(super) fn entry(dynamic_prefix: &str, names: &str, suffix: Option<&str>) -> Service {
    Service {
        cluster: "default".into(),
        target: front(),
        dynamic_prefix: dynamic_prefix.into(),
        part: part(names),
        suffix: suffix.map(address),
    }
}

fn by_annotation(with: &[(&str, &str)]) -> Option<ServiceWant> {
    service(&front(), &annotated(with), &[], true, &catalogue())
}

fn by_entry(entry: Service, with: &[(&str, &str)]) -> ServiceWant {
    service(&front(), &annotated(with), &[entry], true, &catalogue()).expect("it has an entry")
}

fn reasons(want: &ServiceWant) -> Vec<(&str, bool)> {
    want.findings.iter().map(|finding| (finding.reason, finding.blocks_write)).collect()
}

#[test]
fn an_annotation_manages_a_service_in_mode_ha() {
    let want = by_annotation(&[("name", "home"), ("service-address-range", "lb")]).expect("managed");
    let expected = ServiceWant {
        who: ANNOTATION,
        dynamic_prefix: "home".into(),
        part: part("lb"),
        mode: Mode::Ha,
        suffix: None,
        dns: true,
        has_opinion: true,
        findings: Vec::new(),
    };
    assert_eq!(want, expected);
    assert!(!by_annotation(&[("name", "mute"), ("suffix", "::1")]).expect("managed").has_opinion);
    for nobody in [&[][..], &[("suffix", "::1")], &[("name", "other"), ("suffix", "::1")], &[("name", "")]] {
        assert_eq!(by_annotation(nobody), None, "{nobody:?}");
    }
    let annotations = annotated(&[("name", "home"), ("suffix", "::1")]);
    assert_eq!(service(&front(), &annotations, &[], false, &catalogue()), None, "discovery = false");
}

/// Peers §1.1.2: the keys of Services count before those of pools, a range before a subnet.
#[test]
fn the_keys_for_the_part_and_their_order() {
    let all =
        [("service-address-range", "lb,web"), ("service-subnet", "pods"), ("address-range", "web"), ("subnet", "lb")];
    let expected = ["lb,web", "pods", "web", "lb", "*"];
    for (first, expected) in expected.into_iter().enumerate() {
        let with: Vec<_> = [("name", " home ")].into_iter().chain(all.into_iter().skip(first)).collect();
        assert_eq!(by_annotation(&with).expect("managed").part, part(expected), "{with:?}");
    }
    let want = by_annotation(&[("name", "home"), ("service-address-range", " , "), ("subnet", " pods ,, lb, pods")]);
    assert_eq!(want.expect("managed").part, part("pods,lb"), "a list without names is none");
}

#[test]
fn mode_simple_takes_only_those_with_a_suffix_or_an_entry_and_leaves_dns_alone() {
    assert_eq!(by_annotation(&[("name", "plain"), ("service-address-range", "lb")]), None);
    let want = by_annotation(&[("name", "plain"), ("suffix", "::f000:0:0:2")]).expect("managed");
    assert_eq!((want.mode, want.dns, want.suffix), (Mode::Simple, false, Some(address("::f000:0:0:2"))));
    assert_eq!(want.findings, []);
    let want = by_entry(entry("plain", "lb", None), &[]);
    assert_eq!((want.who, want.mode, want.dns, want.suffix), (ENTRY, Mode::Simple, false, None));
    let want = by_annotation(&[("name", "plain"), ("suffix", "two")]).expect("it asks to be managed");
    assert_eq!(reasons(&want), [("InvalidSuffix", true)]);
}

/// D25: only the DNS target is left alone. "true" is the one spelling that the in-cluster operator reads.
#[test]
fn d25_skip_external_dns_update() {
    for (value, dns, says) in [
        ("true", false, &[][..]),
        (" true ", false, &[]),
        ("false", true, &[]),
        ("", true, &[]),
        ("True", true, &[("SkipNotUnderstood", false)]),
        ("1", true, &[("SkipNotUnderstood", false)]),
    ] {
        let want = by_annotation(&[("name", "home"), ("suffix", "::1"), ("skip-external-dns-update", value)]);
        let want = want.expect("managed");
        assert_eq!((want.dns, want.suffix), (dns, Some(address("::1"))), "{value:?}");
        assert_eq!(reasons(&want), says, "{value:?}");
    }
    assert!(!by_entry(entry("home", "lb", None), &[("skip-external-dns-update", "true")]).dns);
    let skip = annotated(&[("skip-external-dns-update", "true")]);
    let want = service(&front(), &skip, &[entry("home", "lb", None)], false, &catalogue()).expect("it has an entry");
    assert!(!want.dns, "discovery = false is about being managed; this is about being left alone");
}

/// D13, D14 and what else is no host part: an error of that Service, which stays as it is.
#[test]
fn d13_d14_a_suffix_that_is_no_address() {
    let bad =
        ["", "   ", "192.168.1.1", "::1/128", "hello-world", "2001db8", "[::1]", "::1%eth0", "::1,::2", "::1\n::2"];
    for text in bad {
        let want = by_annotation(&[("name", "home"), ("suffix", text)]).expect("it asks to be managed");
        assert_eq!(reasons(&want), [("InvalidSuffix", true)], "{text:?}");
        assert!(want.is_blocked() && want.suffix.is_none(), "{text:?}");
        let message = &want.findings[0].message;
        assert!(
            message.contains("dynamic-prefix.io/suffix of Service/web/front") && !message.contains('\n'),
            "{message}"
        );
    }
    let want = by_annotation(&[("name", "home"), ("suffix", " ::FFFF:0:2 ")]).expect("managed");
    assert_eq!((want.suffix, want.findings), (Some(address("::ffff:0:2")), Vec::new()));
}

/// D33 (jr42 writes blank annotations then): an error of that Service, which stays as it is.
#[test]
fn d33_an_unknown_range_or_subnet() {
    for with in [
        [("name", "home"), ("service-address-range", "lbs")],
        [("name", "home"), ("service-subnet", "lb,lbs")],
        [("name", "home"), ("subnet", "lbs")],
    ] {
        let want = by_annotation(&with).expect("it asks to be managed");
        assert_eq!(reasons(&want), [("EntryError", true)]);
        let message = &want.findings[0].message;
        assert!(message.contains("\"lbs\"") && message.contains("lb, pods, web"), "{message}");
        let host = address("::f000:0:0:1");
        let error = want.current_address(&catalogue(), host).expect("there is a prefix").expect_err("unknown");
        assert_eq!(error.message, *message);
        assert_eq!(want.former_addresses(&catalogue(), host), [] as [Ipv6Addr; 0]);
        assert_eq!(want.host_part(&catalogue(), None, &[address("2001:db8:1:0:f000::1")]), None);
    }
}

#[test]
fn an_entry_wins_over_annotations_and_a_difference_is_said() {
    let lb = || entry("home", "lb", Some("::f000:0:0:2"));
    for same in [
        &[][..],
        &[("name", "home")],
        &[("name", "home"), ("suffix", "::f000:0:0:02"), ("address-range", "lb")],
        &[("suffix", "::9")],
        &[("name", "other"), ("suffix", "::9")],
    ] {
        let want = by_entry(lb(), same);
        assert_eq!((want.who, want.findings.len(), want.suffix), (ENTRY, 0, Some(address("::f000:0:0:2"))), "{same:?}");
    }
    for (with, words) in [
        (&[("name", "plain")][..], "ask for plain, but"),
        (&[("name", "home"), ("service-address-range", "web")], "ask for home/web, but"),
        (&[("name", "home"), ("suffix", "::3")], "ask for home with the suffix \"::3\", but"),
        (&[("name", "home"), ("suffix", "three")], "ask for home with the suffix \"three\", but"),
    ] {
        let want = by_entry(lb(), with);
        assert_eq!(reasons(&want), [("EntryWins", false)], "{with:?}");
        assert_eq!((&want.part, want.suffix), (&part("lb"), Some(address("::f000:0:0:2"))));
        let message = &want.findings[0].message;
        assert!(message.contains(words), "{message}");
        assert!(message.contains("its [[service]] says home/lb with the suffix \"::f000:0:0:2\""), "{message}");
    }
    let other = Service { target: named("back"), ..lb() };
    let got = service(&front(), &BTreeMap::new(), &[other.clone(), lb()], true, &catalogue()).expect("the second");
    assert_eq!(got.suffix, Some(address("::f000:0:0:2")));
    assert_eq!(service(&front(), &BTreeMap::new(), &[other], true, &catalogue()), None, "another Service's");
}

fn bound(dynamic_prefix: &str, names: &str) -> Bound {
    Bound { dynamic_prefix: dynamic_prefix.into(), part: part(names) }
}

/// "a" and "b" manage all in mode ha; "c" says all, but is in mode simple.
fn of_all(now: &str, known: &str) -> Catalogue {
    let mut config = [ranges("b", Mode::Ha), ranges("a", Mode::Ha), ranges("c", Mode::Simple)];
    config.iter_mut().for_each(|prefix| prefix.transition.services = ServiceScope::All);
    let mut of = snapshot(now, &[]);
    of.history.push(previous(net(known), PreviousState::Expired));
    Catalogue::compute(&config, &snapshots(&[("a", of.clone()), ("b", of.clone()), ("c", of)]))
}

#[test]
fn services_all_takes_who_holds_an_address_in_a_bound_range() {
    let catalogue = of_all("2001:db8:1::/48", "2001:db8:2::/48");
    let by = |annotations: &[(&str, &str)], held: &str, bound: &[Bound]| {
        let held: Vec<Ipv6Addr> = held.split_whitespace().map(address).collect();
        service_of_all(&front(), &annotated(annotations), &held, bound, true, &catalogue)
    };
    let lb = [bound("a", "lb")];
    let want = by(&[], "2001:db8:1:0:f000::10", &lb).expect("current");
    assert_eq!((want.who, &*want.dynamic_prefix, &want.part), (ALL, "a", &part("lb")));
    assert!(want.dns && want.has_opinion && want.findings.is_empty() && want.suffix.is_none());
    assert!(by(&[], "2001:db8:9::1 2001:db8:2:0:f000::10", &lb).is_some(), "a former one that is only known");

    assert_eq!(by(&[], "", &lb), None);
    assert_eq!(by(&[], "2001:db8:1::e001", &lb), None, "in a range that no pool has");
    assert_eq!(by(&[], "2001:db8:3:0:f000::10", &lb), None, "in no prefix that is known");
    assert_eq!(by(&[], "2001:db8:1:0:f000::10", &[bound("c", "lb")]), None, "mode simple");
    assert_eq!(by(&[], "2001:db8:1:0:f000::10", &[bound("gone", "lb")]), None);
    for name in ["a", "c", "another operator's", ""] {
        assert_eq!(by(&[("name", name)], "2001:db8:1:0:f000::10", &lb), None, "it says itself whose it is");
    }
    let annotated = annotated(&[("name", "other"), ("suffix", "::2")]);
    let want = service_of_all(&front(), &annotated, &[address("2001:db8:1:0:f000::10")], &lb, false, &catalogue);
    assert_eq!(want.expect("annotations do not count").suffix, None);

    let want = by(&[("suffix", "::f000:0:0:7")], "2001:db8:1:0:f000::10", &lb).expect("managed");
    assert_eq!(want.suffix, Some(address("::f000:0:0:7")), "a suffix needs no name when it is managed anyway");
    let want = by(&[("skip-external-dns-update", "true")], "2001:db8:1:0:f000::10", &lb).expect("managed");
    assert!(!want.dns);
}

/// A cluster was away for longer than former prefixes are remembered: what it keeps for ever stands on the Service.
#[test]
fn services_all_knows_who_was_away_by_the_record() {
    let catalogue = of_all("2001:db8:1::/48", "2001:db8:2::/48");
    let by = |with: &[(&str, &str)], held: &str, bound: &[Bound]| {
        service_of_all(&front(), &annotated(with), &[address(held)], bound, true, &catalogue)
    };
    let recorded = [("managed-suffix", "::f000:0:0:10")];
    let pools = [bound("b", "lb"), bound("a", "web"), bound("a", "lb"), bound("c", "lb")];
    let want = by(&recorded, "2001:db8:9:0:f000::10", &pools).expect("managed before");
    assert_eq!((&*want.dynamic_prefix, &want.part, want.suffix), ("a", &part("lb"), None));
    assert_eq!(by(&[], "2001:db8:9:0:f000::10", &pools), None, "nothing says that it was");
    assert_eq!(by(&recorded, "2001:db8:9:0:f000::10", &[bound("a", "web")]), None, "no place for it");
    assert_eq!(by(&[("name", ""), recorded[0]], "2001:db8:9:0:f000::10", &pools), None);
    assert_eq!(by(&[("managed-suffix", "garbage")], "2001:db8:9:0:f000::10", &pools), None);
    let want = by(&recorded, "2001:db8:1::e002", &pools).expect("managed");
    assert_eq!(want.part, part("web"), "an address that is known says it better");
}

#[test]
fn services_all_does_not_hang_on_the_order_in_which_pools_are_seen() {
    let catalogue = of_all("2001:db8:1::/48", "2001:db8:2::/48");
    let both = [address("2001:db8:1:0:f000::10"), address("2001:db8:1::e002")];
    let mut pools = vec![bound("b", "lb"), bound("a", "*"), bound("a", "web"), bound("a", "pods"), bound("c", "lb")];
    for _ in 0..pools.len() {
        pools.rotate_left(1);
        let want = service_of_all(&front(), &BTreeMap::new(), &both, &pools, true, &catalogue).expect("managed");
        assert_eq!((&*want.dynamic_prefix, want.part), ("a", part("web")), "by name, the whole prefix last");
    }
}
