//! Services: `[[service]]`, the mode that moves them, and what external-dns reads.

use super::*;

const NONE: [&str; 0] = [];

/// Two clusters, a prefix with a range and a subnet, and these lines.
fn with(lines: &str) -> String {
    format!(
        "[[cluster]]\nname = 'home'\nkubeconfig = 'in-cluster'\n[[cluster]]\nname = 'lab'\nkubeconfig = \
         '/lab'\n[[dynamicPrefix]]\nname = 'a'\nacquisition.static.prefix = '2001:db8:1234::/56'\naddressRanges = [{{ name \
         = 'r', start = '::ffff:0:1', end = '::ffff:0:ff' }}]\nsubnets = [{{ name = 's', index = [1, 3], prefixLength = 64 \
         }}]\n{lines}\n"
    )
}

/// A Service with this prefixRef and suffix.
fn front(reference: &str, suffix: &str) -> String {
    with(&format!("[[service]]\nnamespace = 'web'\nname = 'front'\nprefixRef = {reference}\nsuffix = {suffix}"))
}

fn service(cluster: &str, name: &str, part: Part, suffix: Option<&str>) -> Service {
    Service {
        cluster: cluster.to_owned(),
        target: ObjectRef { kind: Kind::Service, namespace: Some("web".to_owned()), name: name.to_owned() },
        dynamic_prefix: "a".to_owned(),
        part,
        suffix: suffix.map(|suffix| suffix.parse().unwrap()),
    }
}

fn named(names: &[&str]) -> Part {
    Part::Named(names.iter().map(|name| (*name).to_owned()).collect())
}

/// In file order, as for bindings: without `cluster` it is in every one.
#[test]
fn services_stand_there_once_per_cluster() {
    let config = good(&with(
        "[[service]]\nnamespace = 'web'\nname = 'every'\nprefixRef = 'a'\n[[service]]\ncluster = ['lab', 'home']\nnamespace \
         = 'web'\nname = 'both'\nprefixRef = 'a/r'\nsuffix = '::ffff:0:2'\n[[service]]\ncluster = 'lab'\nnamespace = \
         'web'\nname = 'one'\nprefixRef = 'a/s'",
    ));
    assert_eq!(
        config.services,
        [
            service("home", "every", Part::Whole, None),
            service("lab", "every", Part::Whole, None),
            service("lab", "both", named(&["r"]), Some("::ffff:0:2")),
            service("home", "both", named(&["r"]), Some("::ffff:0:2")),
            service("lab", "one", named(&["s"]), None),
        ]
    );
}

#[test]
fn every_form_of_a_reference() {
    for (reference, part) in [
        ("'a'", Part::Whole),
        ("{ name = 'a' }", Part::Whole),
        ("{ name = 'a', whole = true }", Part::Whole),
        ("'a/s'", named(&["s"])),
        ("{ name = 'a', addressRange = 'r', whole = false }", named(&["r"])),
        ("{ name = 'a', subnet = ['s'], addressRange = ['r'] }", named(&["r", "s"])),
    ] {
        let text = format!("[[service]]\ncluster = 'home'\nnamespace = 'web'\nname = 'n'\nprefixRef = {reference}");
        let services = good(&with(&text)).services;
        assert_eq!(services, [service("home", "n", part, None)], "{reference}");
    }
}

/// Reference peers.md, D13 and D14.
#[test]
fn suffixes_that_are_no_host_part() {
    for wrong in ["", "   ", "192.168.1.1", "::1/128", "hello-world", "2001db8", "[::1]", "::1%eth0", "::1, ::2"] {
        assert_eq!(codes(&front("'a'", &format!("'{wrong}'"))), ["invalid-address"], "{wrong}");
    }
}

/// Both ends of a range belong to it; of a list of subnets each counts, and what lies between does not.
#[test]
fn a_suffix_lies_inside_what_is_referred_to() {
    let both = "{ name = 'a', addressRange = 'r', subnet = 's' }";
    for (reference, suffix, is_inside) in [
        ("'a/r'", "::ffff:0:1", true),
        ("'a/r'", "::ffff:0.0.0.255", true),
        ("'a/r'", "::ffff:0:0", false),
        ("'a/r'", "::ffff:0:100", false),
        ("'a/s'", "0:0:0:1::", true),
        ("'a/s'", "::1:ffff:ffff:ffff:ffff", true),
        ("'a/s'", "::2:0:0:0:1", false),
        ("'a/s'", "::3:0:0:0:1", true),
        ("'a/s'", "::4:0:0:0:0", false),
        ("'a/r'", "::3:0:0:0:1", false),
        (both, "::3:0:0:0:1", true),
        (both, "::ffff:0:2", true),
        (both, "::", false),
        ("'a'", "::", true),
        ("'a'", "::ff:ffff:ffff:ffff:ffff", true),
    ] {
        let expected: &[&str] = if is_inside { &NONE } else { &["outside-range"] };
        assert_eq!(codes(&front(reference, &format!("'{suffix}'"))), expected, "{suffix} in {reference}");
    }
}

/// What can be wrong only once there is a prefix is a warning: no other entry is in error because of it.
#[test]
fn a_suffix_that_may_not_fit_leaves_the_file_usable() {
    let source = "acquisition.static.prefix = '2001:db8:1234::/56'";
    for (instead, suffix, expected) in [
        (source, "::100:0:0:0:1", vec!["outside-prefix"]),
        ("acquisition.dhcpv6.interface = 'eth0'", "::100:0:0:0:1", vec![]),
        ("acquisition.dhcpv6 = { interface = 'eth0', requestedPrefixLength = 56 }", "::ff:0:0:0:1", vec![]),
        (
            "acquisition.dhcpv6 = { interface = 'eth0', requestedPrefixLength = 56 }",
            "::100:0:0:0:1",
            vec!["outside-requested"],
        ),
        ("acquisition.routerAdvertisement.interface = 'eth0'", "::1:0:0:0:1", vec!["outside-on-link"]),
    ] {
        let text = format!(
            "[[cluster]]\nkubeconfig = 'in-cluster'\n[[dynamicPrefix]]\nname = 'a'\n{instead}\n[[service]]\nnamespace = \
             'web'\nname = 'front'\nprefixRef = 'a'\nsuffix = '{suffix}'"
        );
        let loaded = parse(&text, "suffix.toml");
        assert_eq!(loaded.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), expected, "{text}");
        assert_eq!(loaded.config.map(|config| config.services.len()), Some(1), "{text}");
    }
}

/// A range in error was reported; what its addresses would be is not known.
#[test]
fn a_range_in_error_says_nothing_about_a_suffix() {
    let text = front("'a/r'", "'::2'").replace("'::ffff:0:1'", "'::ffff:1:1'");
    assert_eq!(codes(&text), ["empty-range"]);
}

#[test]
fn modes_and_scopes() {
    let transition = |lines: &str| {
        let text = format!("[[dynamicPrefix]]\nname = 'a'\nacquisition.dhcpv6.interface = 'eth0'\n{lines}\n");
        let transition =
            good(&format!("[[cluster]]\nkubeconfig = 'in-cluster'\n{text}")).dynamic_prefixes[0].transition;
        (transition.mode, transition.services)
    };
    assert_eq!(transition(""), (Mode::Simple, ServiceScope::Annotated));
    assert_eq!(transition("transition.mode = 'simple'"), (Mode::Simple, ServiceScope::Annotated));
    assert_eq!(transition("transition.mode = 'ha'"), (Mode::Ha, ServiceScope::Annotated));
    assert_eq!(transition("transition = { mode = 'ha', services = 'all' }"), (Mode::Ha, ServiceScope::All));
    assert_eq!(transition("transition.services = 'all'"), (Mode::Simple, ServiceScope::All));
}

#[test]
fn prefixes_of_annotations() {
    let prefixes = |line: &str| {
        good(&format!("[[cluster]]\nkubeconfig = 'in-cluster'\n{line}\n")).clusters[0].external_dns.clone()
    };
    assert_eq!(prefixes(""), ["external-dns.kubernetes.io/", "external-dns.alpha.kubernetes.io/"]);
    assert_eq!(prefixes("externalDnsAnnotationPrefixes = []"), NONE);
    assert_eq!(
        prefixes("externalDnsAnnotationPrefixes = ['dns.example/', 'internal/']"),
        ["dns.example/", "internal/"]
    );
    let longest = format!("{}x/", "a.".repeat(126));
    assert_eq!(prefixes(&format!("externalDnsAnnotationPrefixes = ['{longest}']")), [longest.as_str()]);
    for wrong in ["a", "", "/", "a//", "a/b/", "A/", "-a/", "a_b/", " a/", &format!("a{longest}")] {
        let text = format!("[[cluster]]\nkubeconfig = 'in-cluster'\nexternalDnsAnnotationPrefixes = ['{wrong}']\n");
        assert!(codes(&text).contains(&"annotation-prefix"), "{wrong:?}");
    }
}
