//! The dynamic-prefix operators, of both API groups.

use super::*;

const RA: &str = "acquisition:\n  routerAdvertisement:\n    interface: eth0\n    enabled: true\n";

fn pd(length: u8) -> String {
    format!("acquisition:\n  dhcpv6pd:\n    interface: wan\n    requestedPrefixLength: {length}\n")
}

fn subnet(offset: &str, length: u8) -> String {
    format!("subnets:\n- name: s\n  offset: {offset}\n  prefixLength: {length}\n")
}

#[test]
fn ranges_are_those_of_the_operator() {
    let of = |start: &str, end: &str| {
        let spec = format!("{RA}addressRanges:\n- name: r\n  start: \"{start}\"\n  end: \"{end}\"\n");
        converted(&dynamic_prefix(CURRENT, &spec))
    };
    for (prefix, start, end, expected) in [
        (
            "2001:db8:abcd:1::/64",
            "::f000:0:0:0",
            "::ffff:ffff:ffff:ffff",
            "2001:db8:abcd:1:f000::-2001:db8:abcd:1:ffff:ffff:ffff:ffff",
        ),
        (
            "2001:db8:abcd:1::/64",
            "::ffff:ff00:0:0",
            "::ffff:ffff:ffff:ffff",
            "2001:db8:abcd:1:ffff:ff00::-2001:db8:abcd:1:ffff:ffff:ffff:ffff",
        ),
        (
            "2001:db8:1234::/64",
            "::f000:0:0:0",
            "::ffff:ffff:ffff:ffff",
            "2001:db8:1234:0:f000::-2001:db8:1234:0:ffff:ffff:ffff:ffff",
        ),
        // The operator takes the bits of the prefix, whatever the host part has there.
        (
            "2001:db8:abcd:1::/64",
            "::7:f000:0:0:0",
            "::7:f000:0:0:ff",
            "2001:db8:abcd:1:f000::-2001:db8:abcd:1:f000::ff",
        ),
    ] {
        assert_eq!(planned(&of(start, end), prefix)["r"], expected, "{start}");
    }
    let cut = comments(&of("::7:f000:0:0:0", "::7:f000:0:0:ff"));
    assert!(
        cut.contains("cut off what ::7:f000:0:0:0 and ::7:f000:0:0:ff have beyond a host part of 64 bits"),
        "{cut}"
    );
}

#[test]
fn two_ranges_stay_two() {
    let spec = format!(
        "{RA}addressRanges:\n- name: pool1\n  start: \"::f000:0:0:0\"\n  end: \"::f0ff:ffff:ffff:ffff\"\n\
         - name: pool2\n  start: \"::f100:0:0:0\"\n  end: \"::f1ff:ffff:ffff:ffff\"\n"
    );
    let planned = planned(&converted(&dynamic_prefix(CURRENT, &spec)), "2001:db8:abcd:1::/64");
    assert_eq!(planned["pool1"], "2001:db8:abcd:1:f000::-2001:db8:abcd:1:f0ff:ffff:ffff:ffff");
    assert_eq!(planned["pool2"], "2001:db8:abcd:1:f100::-2001:db8:abcd:1:f1ff:ffff:ffff:ffff");
}

/// Of dynamic-prefix.io: the Nth subnet of that length.
#[test]
fn offsets_of_the_current_group_count_subnets() {
    for (base, offset, length, expected) in [
        ("2001:db8::/48", "0", 64, "2001:db8::/64"),
        ("2001:db8::/48", "1", 64, "2001:db8:0:1::/64"),
        ("2001:db8::/48", "256", 64, "2001:db8:0:100::/64"),
        ("2001:db8:1234:ab00::/60", "0", 120, "2001:db8:1234:ab00::/120"),
        ("2001:db8:1234:ab00::/60", "16", 120, "2001:db8:1234:ab00::1000/120"),
        ("2001:db8::/48", "65535", 64, "2001:db8:0:ffff::/64"),
        // It is outside, which the fork says and the first one does not.
        ("2001:db8::/48", "65536", 64, "error"),
        ("2001:db8:1234::/56", "255", 64, "2001:db8:1234:ff::/64"),
    ] {
        let asked = base.rsplit_once('/').unwrap().1.parse().unwrap();
        let text = converted(&dynamic_prefix(CURRENT, &format!("{}{}", pd(asked), subnet(offset, length))));
        assert_eq!(planned(&text, base)["s"], expected, "{offset}:\n{text}");
        assert!(text.contains(&format!("\nindex = {offset}\n")), "{text}");
        assert!(comments(&text).contains(&format!("offset = {offset} counted subnets there")), "{text}");
    }
}

/// Of the older group: addresses.
#[test]
fn offsets_of_the_older_group_count_addresses() {
    let spec = |offset: &str| {
        format!(
            "acquisition:\n  dhcpv6:\n    interface: wan\n    requestedPrefixLength: 60\n    duid: auto\n{}",
            subnet(offset, 120)
        )
    };
    let text = converted(&dynamic_prefix(OLDER, &spec("0x1000")));
    assert_eq!(planned(&text, "2001:db8:1234:ab00::/60")["s"], "2001:db8:1234:ab00::1000/120");
    assert!(comments(&text).contains("Both times it is 2001:db8:1234::1000/120 of 2001:db8:1234::/60."), "{text}");
    // The same number in the other group is another subnet.
    let other = converted(&dynamic_prefix(CURRENT, &format!("{}{}", pd(60), subnet("4096", 120))));
    assert_eq!(planned(&other, "2001:db8:1234:ab00::/60")["s"], "2001:db8:1234:ab00::10:0/120");
    assert_eq!(
        problems(&dynamic_prefix(OLDER, &spec("4097"))),
        [
            "line 13: offset of the subnet s counts addresses in this API group, and 4097 is no multiple of the 256 that a \
             /120 has; the nearest are 4096 and 4352"
        ]
    );
}

#[test]
fn what_is_wrong_has_its_line() {
    let of = |spec: &str| problems(&dynamic_prefix(CURRENT, spec));
    assert_eq!(
        of(&format!("{RA}{}", subnet("-1", 64))),
        ["line 12: offset of the subnet s is -1, and cannot be negative"]
    );
    let beyond = of(&format!("{RA}{}", subnet("0xff0000000000000000", 64)));
    assert!(beyond.len() == 1 && beyond[0].starts_with("line 12: spec.subnets[0].offset is "), "{beyond:?}");
    assert_eq!(
        of("acquisition: {}\nsubnets: none\n"),
        [
            "line 6: spec.acquisition has neither dhcpv6pd nor routerAdvertisement",
            "line 7: spec.subnets is \"none\", and should be a list"
        ]
    );
    let range = format!("{RA}addressRanges:\n- name: r\n  start: \"::ffff:0:0:0\"\n  end: \"::f000:0:0:0\"\n");
    assert_eq!(of(&range), ["line 11: the range r ends before it starts: ::ffff:0:0:0 is after ::f000:0:0:0"]);
    assert_eq!(of(&format!("{RA}transition: 5\n")), ["line 10: spec.transition is 5, and should be a mapping"]);
    let not_yaml = problems("a: [\n");
    assert!(not_yaml[0].starts_with("line 1: this is not YAML that can be read: "), "{not_yaml:?}");
    assert!(problems("kind: ConfigMap\napiVersion: v1\n")[0].starts_with("there is nothing to convert"));
}

#[test]
fn what_has_no_equivalent_is_said() {
    let spec = format!(
        "{}  relay: x\nsubnets:\n- name: lbs\n  offset: 1\n  prefixLength: 64\n  bgp:\n    advertise: true\n    community: 65001:42\n\
         transition:\n  mode: ha\n  maxPrefixHistory: 3\nnew: 1\n",
        pd(56)
    );
    let text = converted(&dynamic_prefix(CURRENT, &spec));
    let said = comments(&text);
    for wanted in [
        "spec.acquisition.relay (line 10) is not known here",
        "no CiliumBGPAdvertisement is made",
        "spec.subnets[0].bgp.community (line 17) is not known here",
        "spec.new (line 21) is not known here",
        "duid = \"ll\"",
        "drainPeriodMinutes = \"none\"",
    ] {
        assert!(said.contains(wanted), "{wanted}:\n{text}");
    }
    let config = config(&text);
    assert_eq!(config.dynamic_prefixes[0].transition.max_prefix_history, 3);
    assert_eq!(config.dynamic_prefixes[0].transition.mode, dyn_prefix::config::Mode::Ha);
    assert_eq!(config.dynamic_prefixes[0].acquisition.dhcpv6.as_ref().unwrap().requested_prefix_length, Some(56));
}

/// The operator asks for a /56 when nothing is said.
#[test]
fn the_default_of_the_requested_length_is_written_out() {
    let text = converted(&dynamic_prefix(CURRENT, "acquisition:\n  dhcpv6pd:\n    interface: wan\n"));
    let dhcpv6 = config(&text).dynamic_prefixes[0].acquisition.dhcpv6.clone().unwrap();
    assert_eq!((dhcpv6.interface.as_str(), dhcpv6.requested_prefix_length), ("wan", Some(56)));
}

#[test]
fn a_pool_without_a_range_gets_all_and_is_told() {
    let pool = "---\napiVersion: cilium.io/v2\nkind: CiliumLoadBalancerIPPool\nmetadata:\n  name: all\n  annotations:\n    \
                dynamic-prefix.io/name: home-ipv6\n---\napiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata:\n  name: c\n  \
                annotations:\n    dynamic-prefix.io/name: home-ipv6\n---\napiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n\
                metadata:\n  name: m\n  namespace: lb\n  annotations:\n    dynamic-prefix.io/name: somebody-else\n";
    let text = converted(&format!("{}{pool}", dynamic_prefix(CURRENT, RA)));
    assert!(
        text.contains("prefixRef = { name = \"home-ipv6\", whole = true }\ntarget = \"CiliumLoadBalancerIPPool/all\""),
        "{text}"
    );
    let said = comments(&text);
    assert!(said.contains("nothing is written into objects of the kind IPPool"), "{said}");
    assert!(said.contains("IPAddressPool/lb/m (line 25) names the DynamicPrefix somebody-else"), "{said}");
}

/// Another version may mean another thing by the same field, as the two groups do.
#[test]
fn a_version_that_is_not_known_is_said() {
    let known = dynamic_prefix(CURRENT, RA);
    let said = comments(&converted(&known.replace("v1alpha1", "v2beta9")));
    let wanted = "DynamicPrefix/home-ipv6 (line 1) is of dynamic-prefix.io/v2beta9, which is not known here. It was read as \
                  dynamic-prefix.io/v1alpha1";
    assert!(said.contains(wanted), "{said}");
    assert!(!comments(&converted(&known)).contains("not known here"));
}

#[test]
fn annotated_objects_alone_are_told_what_they_lack() {
    let pool = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata:\n  name: m\n  namespace: lb\n  annotations:\n    \
                dynamic-prefix.io/name: home\n";
    assert_eq!(
        problems(pool),
        [
            "line 1: IPAddressPool/lb/m (line 1) names the DynamicPrefix home, which is not among what was converted. Convert \
             it together with that, in one input: `kubectl get dynamicprefixes -o yaml` prints them"
        ]
    );
}

#[test]
fn what_comes_out_and_cannot_be_used_is_quoted() {
    let found = problems(&dynamic_prefix(CURRENT, &RA.replace("eth0", "\"no/interface\"")));
    let [found] = found.as_slice() else { panic!("one problem: {found:?}") };
    assert!(found.starts_with("what comes out cannot be used: "), "{found}");
    assert!(found.contains("| interface = \"no/interface\"\n"), "{found}");
    assert!(!found.contains("the result"), "{found}");
}
