//! Tables of values for single rules, and what good files turn into.

use super::*;

fn prefix_with(entries: &str) -> String {
    format!(
        "[[cluster]]\nkubeconfig = 'in-cluster'\n[[dynamicPrefix]]\nname = 'p'\nacquisition.static.prefix = \
         '2001:db8:1234::/56'\n{entries}\n"
    )
}

fn with_subnet(place: &str) -> Loaded {
    parse(&prefix_with(&format!("subnets = [{{ name = 's', {place} }}]")), "subnet.toml")
}

/// The place of a subnet that can be used, or what is wrong with it.
fn place_of(place: &str) -> Result<Place, Vec<&'static str>> {
    let loaded = with_subnet(place);
    let wrong = loaded.findings.iter().filter(|finding| finding.severity != Severity::Note);
    let codes: Vec<_> = wrong.map(|finding| finding.code).collect();
    let place = loaded.config.map(|config| config.dynamic_prefixes[0].subnets[0].place.clone());
    place.filter(|_| codes.is_empty()).ok_or(codes)
}

/// Design §2: an entry in error never takes its neighbours down.
#[test]
fn an_entry_that_cannot_fit_leaves_the_file_usable() {
    let loaded = with_subnet("prefixLength = 64, index = 256 }, { name = 't', prefixLength = 64, index = 1");
    let [finding] = loaded.findings.as_slice() else { panic!("{}", printed(&loaded)) };
    assert_eq!((finding.code, finding.severity), ("outside-prefix", Severity::Warning));
    assert_eq!(loaded.config.map(|config| config.dynamic_prefixes[0].subnets.len()), Some(2));
}

/// Design §2: `offset` counts addresses, `index` counts subnets; every spelling of a number.
#[test]
fn places_of_subnets() {
    const SECOND: u128 = 1 << 64;
    let cases: &[(&str, Result<Place, Vec<&'static str>>)] = &[
        ("prefixLength = 64", Ok(Place::Index(vec![0]))),
        ("prefixLength = 64, index = 255", Ok(Place::Index(vec![255]))),
        ("prefixLength = 64, index = 0xff", Ok(Place::Index(vec![255]))),
        ("prefixLength = 64, index = [2, 0, 1]", Ok(Place::Index(vec![2, 0, 1]))),
        ("prefixLength = 56", Ok(Place::Index(vec![0]))),
        ("prefixLength = 56, index = 1", Err(vec!["outside-prefix"])),
        ("prefixLength = 55", Err(vec!["outside-prefix"])),
        ("prefixLength = 0", Err(vec!["wrong-value"])),
        ("prefixLength = 128, offset = 1", Ok(Place::Offset(1))),
        ("prefixLength = 64, index = 256", Err(vec!["outside-prefix"])),
        ("prefixLength = 64, offset = 0", Ok(Place::Offset(0))),
        ("prefixLength = 112, offset = 65536", Ok(Place::Offset(65536))),
        ("prefixLength = 112, offset = 0x1_0000", Ok(Place::Offset(65536))),
        ("prefixLength = 112, offset = '0x1_0000'", Ok(Place::Offset(65536))),
        ("prefixLength = 112, offset = '65536'", Ok(Place::Offset(65536))),
        ("prefixLength = 112, offset = '::1:0'", Ok(Place::Offset(65536))),
        ("prefixLength = 112, offset = 65537", Err(vec!["misaligned-offset"])),
        // More than the 64 bits that TOML promises.
        ("prefixLength = 64, offset = 0x10000000000000000", Ok(Place::Offset(SECOND))),
        ("prefixLength = 64, offset = 18446744073709551616", Ok(Place::Offset(SECOND))),
        ("prefixLength = 64, offset = '0:0:0:1::'", Ok(Place::Offset(SECOND))),
        ("prefixLength = 64, offset = '0:0:0:ff::'", Ok(Place::Offset(255 * SECOND))),
        ("prefixLength = 64, offset = '0:0:0:100::'", Err(vec!["outside-prefix"])),
        ("prefixLength = 64, offset = 340282366920938463463374607431768211456", Err(vec!["wrong-value"])),
        ("prefixLength = 64, offset = '+1'", Err(vec!["wrong-value"])),
        ("prefixLength = 64, offset = ''", Err(vec!["wrong-value"])),
        ("prefixLength = 64, offset = '0x'", Err(vec!["wrong-value"])),
        ("prefixLength = 64, offset = true", Err(vec!["wrong-type"])),
    ];
    for (place, expected) in cases {
        assert_eq!(place_of(place), *expected, "{place}");
    }
}

/// Reference peers.md B10 to B14: what the operators got wrong or refused.
#[test]
fn subnets_that_peers_computed_outside() {
    let with_prefix = |prefix: &str, subnet: &str| {
        codes(&format!(
            "[[cluster]]\nkubeconfig = 'in-cluster'\n[[dynamicPrefix]]\nname = 'p'\nacquisition.static.prefix = '{prefix}'\n\
             subnets = [{{ name = 's', {subnet} }}]\n"
        ))
    };
    let none: [&str; 0] = [];
    assert_eq!(with_prefix("2001:db8::/48", "index = 65535, prefixLength = 64"), none);
    assert_eq!(with_prefix("2001:db8::/48", "index = 65536, prefixLength = 64"), ["outside-prefix"]);
    assert_eq!(with_prefix("2001:db8::/48", "index = -1, prefixLength = 64"), ["wrong-value"]);
    assert_eq!(with_prefix("2001:db8::/48", "index = 300000000000000, prefixLength = 48"), ["outside-prefix"]);
    assert_eq!(with_prefix("2001:db8::/64", "index = 0, prefixLength = 48"), ["outside-prefix"]);
    assert_eq!(with_prefix("2001:db8::/64", "index = 0, prefixLength = 129"), ["wrong-value"]);
    assert_eq!(with_prefix("2001:db8::/60", "index = 0x7fffffffffffffff, prefixLength = 64"), ["outside-prefix"]);
}

#[test]
fn a_misaligned_offset_names_the_nearest_right_ones() {
    let loaded = with_subnet("offset = 0x1800, prefixLength = 116");
    let hint = loaded.findings[0].hint.clone().unwrap();
    assert!(hint.contains("0x1000 (index = 1) and 0x2000 (index = 2)"), "{hint}");
    assert!(hint.contains("index = 6144"), "{hint}");
}

/// With a static prefix the note says the subnet itself, otherwise its place in the prefix.
#[test]
fn an_offset_is_explained() {
    let loaded = with_subnet("offset = 0x10000, prefixLength = 112");
    let [note] = loaded.findings.as_slice() else { panic!("{}", printed(&loaded)) };
    assert_eq!((note.code, note.severity), ("offset-unit", Severity::Note));
    assert!(note.message.contains("the subnet is 2001:db8:1234::1:0/112, the same as index = 1"), "{}", note.message);
}

fn range_codes(prefix: &str, start: &str, end: &str) -> Vec<&'static str> {
    codes(&format!(
        "[[cluster]]\nkubeconfig = 'in-cluster'\n[[dynamicPrefix]]\nname = 'p'\nacquisition.static.prefix = '{prefix}'\n\
         addressRanges = [{{ name = 'r', start = '{start}', end = '{end}' }}]\n"
    ))
}

/// Reference peers.md A1 to A10 and F1 to F5; F4, a range of one address, is one here.
#[test]
fn host_parts() {
    let none: [&str; 0] = [];
    assert_eq!(range_codes("2001:db8:abcd:1::/64", "::f000:0:0:0", "::ffff:ffff:ffff:ffff"), none);
    assert_eq!(range_codes("2001:db8:abcd:1::/64", "::", "::ffff:ffff:ffff:ffff"), none);
    assert_eq!(range_codes("2001:db8:abcd:1::/64", "::", "::1:0:0:0:0"), ["outside-prefix"]);
    assert_eq!(range_codes("2001:db8:abcd:1::/64", "::ffff:0:0:0", "::f000:0:0:0"), ["empty-range"]);
    assert_eq!(range_codes("2001:db8:abcd:1::/64", "not-an-address", "::ff"), ["invalid-address"]);
    assert_eq!(range_codes("2001:db8:abcd:1::/64", "::1", "not-an-address"), ["invalid-address"]);
    assert_eq!(range_codes("192.168.1.0/24", "::1", "::ff"), ["invalid-network"]);
    assert_eq!(range_codes("2001:db8:abcd::/48", "::ff:1:2:3:4", "::ff:1:2:3:4"), none);
    assert_eq!(range_codes("2001:db8:abcd::/48", "::1000", "::1999"), none);
    assert_eq!(range_codes("2001:db8:abcd::/48", "a::1000", "a::1999"), ["outside-prefix", "outside-prefix"]);
    assert_eq!(range_codes("2001:db8:abcd::/48", "::1999", "::1000"), ["empty-range"]);
    assert_eq!(range_codes("2001:db8:abcd::/48", "::1", "a::5"), ["outside-prefix"]);
}

/// Reference peers.md B19 to B22, and the filter.
#[test]
fn static_prefixes() {
    let with = |prefix: &str, filter: &str| {
        codes(&format!(
            "[[cluster]]\nkubeconfig = 'in-cluster'\n[[dynamicPrefix]]\nname = 'p'\nacquisition.static.prefix = '{prefix}'\n\
             acquisition.prefixFilter = {{ {filter} }}\n"
        ))
    };
    let none: [&str; 0] = [];
    assert_eq!(with("2001:db8:1234:5678::/64", ""), none);
    assert_eq!(with("2001:db8:1234:5678::1/64", ""), ["invalid-network"]);
    assert_eq!(with("2001:db8::ffff/48", ""), ["invalid-network"]);
    assert_eq!(with("not-a-cidr", ""), ["invalid-network"]);
    assert_eq!(with("2001:db8::", ""), ["invalid-network"]);
    assert_eq!(with("fd00::/48", ""), ["refused-prefix"]);
    assert_eq!(with("fd00::/48", "requireGlobalUnicast = false"), none);
    assert_eq!(with("2001:db8::/48", "allow = ['2003::/19']"), ["refused-prefix"]);
    assert_eq!(with("2001:db8::/48", "allow = ['2003::/19', '2001:db8::/32']"), none);
}

#[test]
fn names() {
    let with = |name: &str| codes(&format!("[daemon]\nid = \"{name}\"\n"));
    for valid in ["a", "0", "a-b", &"x".repeat(63)] {
        assert_eq!(with(valid), ["nothing-to-do"], "{valid}");
    }
    for invalid in ["", "-", "-a", "a-", "A", "a.b", "a_b", "ä", "a b", &"x".repeat(64)] {
        assert_eq!(with(invalid), ["invalid-name"], "{invalid}");
    }
}

#[test]
fn interfaces() {
    let with = |name: &str| {
        codes(&format!(
            "[[cluster]]\nkubeconfig = 'in-cluster'\n[[dynamicPrefix]]\nname = 'p'\n\
             acquisition.routerAdvertisement.interface = '{name}'\n"
        ))
    };
    let none: [&str; 0] = [];
    for valid in ["eth0", "enp1s0.222", "ppp0", "br-lan", "wg%0", "fifteen-bytes-x"] {
        assert_eq!(with(valid), none, "{valid}");
    }
    for invalid in ["", ".", "..", "a/b", "a b", "eth0:1", "sixteen-bytes-xx", "ääääääää"] {
        assert_eq!(with(invalid), ["invalid-interface"], "{invalid}");
    }
}

#[test]
fn drain_periods() {
    let with = |value: &str| {
        let transition =
            good(&prefix_with(&format!("transition.drainPeriodMinutes = {value}"))).dynamic_prefixes[0].transition;
        (transition.drain_period, transition.keep_dead)
    };
    assert_eq!(with("0"), (Some(Duration::ZERO), true));
    assert_eq!(with("60"), (Some(Duration::from_secs(3600)), true));
    assert_eq!(with("525600"), (Some(Duration::from_secs(365 * 24 * 3600)), true));
    assert_eq!(with("\"none\""), (None, true));
    let default = good(&prefix_with("")).dynamic_prefixes[0].transition;
    assert_eq!((default.drain_period, default.keep_dead), (Some(Duration::from_secs(3600)), false));
    for wrong in ["-1", "525601", "1.5", "\"None\""] {
        let said = codes(&prefix_with(&format!("transition.drainPeriodMinutes = {wrong}")));
        assert!(said == ["wrong-value"] || said == ["wrong-type"], "{wrong}: {said:?}");
    }
}

#[test]
fn sources_come_from_what_is_enabled() {
    let config = good(
        "[[cluster]]\nkubeconfig = 'in-cluster'\n[[dynamicPrefix]]\nname = 'p'\nacquisition.routerAdvertisement = { \
         interface = 'eth0', enabled = false }\nacquisition.static.prefix = '2001:db8::/56'\n",
    );
    assert_eq!(config.dynamic_prefixes[0].acquisition.router_advertisement, None);
    let ids: Vec<_> = config.dynamic_prefixes[0].sources().iter().map(|id| id.kind).collect();
    assert_eq!(ids, [SourceKind::Static]);
}

#[test]
fn clusters() {
    let config = good(&std::fs::read_to_string(directory("tests/config/good/two-clusters.toml")).unwrap());
    let [zurich, lab] = config.clusters.as_slice() else { panic!("{:?}", config.clusters) };
    assert_eq!(zurich.name, "Zürich");
    assert_eq!((zurich.discovery, zurich.dry_run), (Discovery::Off, true));
    assert_eq!((lab.discovery, lab.dry_run), (Discovery::Default, false));
    assert_eq!(lab.kubeconfig, Kubeconfig::File("/run/credentials/dyn-prefix/lab".into()));
    let alone = good("[[cluster]]\nkubeconfig = 'in-cluster'\ndiscovery = true\n");
    assert_eq!(alone.clusters[0].name, "default");
    assert_eq!(alone.clusters[0].kubeconfig, Kubeconfig::InCluster);
    assert_eq!(alone.clusters[0].discovery, Discovery::Required);
}

/// A variable that is not set here stays as it is written: the daemon may have it.
#[test]
fn an_unset_variable_stays_in_the_path() {
    let loaded = parse("[[cluster]]\nkubeconfig = '${NOWHERE}/a'\n", "unset.toml");
    let cluster = &loaded.config.as_ref().unwrap().clusters[0];
    assert_eq!(cluster.kubeconfig, Kubeconfig::File("${NOWHERE}/a".into()));
    assert!(loaded.findings.iter().any(|finding| finding.code == "missing-variable"));
}

fn binding(name: &str, cluster: &str, part: Part, target: (Kind, Option<&str>, &str), strategy: Strategy) -> Binding {
    Binding {
        name: name.to_owned(),
        cluster: cluster.to_owned(),
        dynamic_prefix: "a".to_owned(),
        part,
        target: ObjectRef { kind: target.0, namespace: target.1.map(str::to_owned), name: target.2.to_owned() },
        strategy,
    }
}

/// One per cluster, in file order; ranges before subnets as documented; a name is made where there is none.
#[test]
fn bindings_stand_there_once_per_cluster() {
    let config = good(&std::fs::read_to_string(directory("tests/config/good/two-clusters.toml")).unwrap());
    let parts = || Part::Named(vec!["one".to_owned(), "far".to_owned()]);
    let pool = (Kind::CiliumLoadBalancerIPPool, None, "pool");
    assert_eq!(
        config.bindings,
        [
            binding("both", "Zürich", parts(), pool, Strategy::Append),
            binding("both", "lab", parts(), pool, Strategy::Append),
            binding(
                "lab/CiliumCIDRGroup/group/a/far",
                "lab",
                Part::Named(vec!["far".to_owned()]),
                (Kind::CiliumCIDRGroup, None, "group"),
                Strategy::Replace,
            ),
        ]
    );
}

fn bound(bindings: &str) -> String {
    format!(
        "[[cluster]]\nkubeconfig = 'in-cluster'\n[[dynamicPrefix]]\nname = 'a'\nacquisition.static.prefix = \
         '2001:db8:1234::/56'\naddressRanges = [{{ name = 'r', start = '::1:0', end = '::1:ff' }}, {{ name = 'q', start = \
         '::1:100', end = '::1:1ff' }}]\nsubnets = [{{ name = 's', index = [1, 2], prefixLength = 64 }}, {{ name = 't', index \
         = 2, prefixLength = 64 }}]\n{bindings}\n"
    )
}

#[test]
fn every_form_of_a_binding() {
    let forms = [
        ("'a'", "'CiliumCIDRGroup/g'", Part::Whole, (Kind::CiliumCIDRGroup, None, "g")),
        ("{ name = 'a' }", "'CiliumCIDRGroup/g.example'", Part::Whole, (Kind::CiliumCIDRGroup, None, "g.example")),
        ("{ name = 'a', whole = true }", "'IPAddressPool/x/p'", Part::Whole, (Kind::IPAddressPool, Some("x"), "p")),
        (
            "'a/r'",
            "'IPAddressPool/p'",
            Part::Named(vec!["r".into()]),
            (Kind::IPAddressPool, Some("metallb-system"), "p"),
        ),
        (
            "{ name = 'a', addressRange = ['q', 'r'], whole = false }",
            "{ kind = 'IPAddressPool', name = 'p' }",
            Part::Named(vec!["q".into(), "r".into()]),
            (Kind::IPAddressPool, Some("metallb-system"), "p"),
        ),
        (
            "{ name = 'a', subnet = 's' }",
            "{ kind = 'IPAddressPool', name = 'p', namespace = 'x' }",
            Part::Named(vec!["s".into()]),
            (Kind::IPAddressPool, Some("x"), "p"),
        ),
    ];
    for (reference, target, part, object) in forms {
        let config = good(&bound(&format!("[[binding]]\nname = 'b'\nprefixRef = {reference}\ntarget = {target}")));
        assert_eq!(config.bindings, [binding("b", "default", part, object, Strategy::Append)], "{reference}");
    }
    for (strategy, expected) in
        [("'Replace'", Strategy::Replace), ("{ type = 'Replace' }", Strategy::Replace), ("{}", Strategy::Append)]
    {
        let text = format!("[[binding]]\nprefixRef = 'a'\ntarget = 'CiliumCIDRGroup/g'\nupdateStrategy = {strategy}");
        assert_eq!(good(&bound(&text)).bindings[0].strategy, expected, "{strategy}");
    }
}

#[test]
fn pools_of_one_cluster_do_not_overlap() {
    let two = |one: &str, other: &str| {
        codes(&bound(&format!(
            "[[binding]]\nprefixRef = {one}\ntarget = 'IPAddressPool/one'\n[[binding]]\nprefixRef = {other}\ntarget = \
             'IPAddressPool/other'"
        )))
    };
    let none: [&str; 0] = [];
    // Neighbours: ::1:ff and ::1:100.
    assert_eq!(two("'a/r'", "'a/q'"), none);
    assert_eq!(two("'a/r'", "'a/s'"), none);
    assert_eq!(two("'a/r'", "'a/r'"), ["overlap"]);
    assert_eq!(two("'a/s'", "'a/t'"), ["overlap"]);
    assert_eq!(two("'a/t'", "'a/s'"), ["overlap"]);
    assert_eq!(two("'a/r'", "{ name = 'a', whole = true }"), ["overlap"]);
}

/// The same binding twice without a name is one binding; with names it is two that are merged on the object.
#[test]
fn the_same_range_twice_on_one_object() {
    let twice = |first: &str, second: &str| {
        let loaded = parse(
            &bound(&format!(
                "[[binding]]\n{first}prefixRef = 'a/r'\ntarget = 'IPAddressPool/p'\n[[binding]]\n{second}prefixRef = \
                 'a/r'\ntarget = 'IPAddressPool/p'"
            )),
            "twice.toml",
        );
        let codes: Vec<_> = loaded.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["same-twice"]);
        loaded.config.unwrap().bindings.len()
    };
    assert_eq!(twice("", ""), 1);
    assert_eq!(twice("name = 'x'\n", "name = 'y'\n"), 2);
    assert_eq!(twice("name = 'x'\n", ""), 2);
}

#[test]
fn suggestions() {
    let keys = ["prefixLength", "interface", "name"];
    let nearest = |given| suggest::nearest(given, keys);
    for (given, meant) in [
        ("prefix_length", Some("prefixLength")),
        ("PrefixLenght", Some("prefixLength")),
        ("interfaces", Some("interface")),
        ("iface", None),
        ("nmae", Some("name")),
        ("zone", None),
        ("", None),
    ] {
        assert_eq!(nearest(given), meant, "{given}");
    }
}
