//! k6u and metallb-dyn6.

use super::*;

fn k6u(length: u8, ids: &str) -> String {
    format!(
        "apiVersion: apps.fuwafuwatime.moe/v1\nkind: IP6UpdateConfig\nmetadata:\n  name: ip6-update-config\nspec:\n  \
         delegatedPrefixLength: {length}\n  ciliumCIDRGroups:\n  - ciliumCIDRGroupName: ip6-local-lan\n    prefixIds: {ids}\n---\n\
         apiVersion: apps.fuwafuwatime.moe/v1\nkind: IP6UpdateNodeConfig\nmetadata:\n  name: node1\nspec:\n  nodeSelector:\n    \
         kubernetes.io/hostname: node1.example.com\n  interface: eth7\n"
    )
}

/// The address on the interface is 2001:db8:1234:ab07::42.
#[test]
fn numbers_are_the_subnets_of_k6u() {
    for (length, ids, prefix, expected) in [
        (
            60,
            "[0, 1, 2]",
            "2001:db8:1234:ab00::/60",
            "2001:db8:1234:ab00::/64 2001:db8:1234:ab01::/64 2001:db8:1234:ab02::/64",
        ),
        (60, "[15]", "2001:db8:1234:ab00::/60", "2001:db8:1234:ab0f::/64"),
        (56, "[0, 255]", "2001:db8:1234:ab00::/56", "2001:db8:1234:ab00::/64 2001:db8:1234:abff::/64"),
        (48, "[0, 255]", "2001:db8:1234::/48", "2001:db8:1234::/64 2001:db8:1234:ff::/64"),
        // 16 leaves the delegation, and 1 is there twice.
        (60, "[1, 16, 1]", "2001:db8:1234:ab00::/60", "2001:db8:1234:ab01::/64"),
    ] {
        let text = converted(&k6u(length, ids));
        assert_eq!(planned(&text, prefix)["ip6-local-lan"], expected, "{text}");
        let ra = config(&text).dynamic_prefixes[0].acquisition.router_advertisement.clone().unwrap();
        assert_eq!((ra.interface.as_str(), ra.delegated_prefix_length), ("eth7", Some(length)));
        assert!(text.contains("target = \"CiliumCIDRGroup/ip6-local-lan\"\nupdateStrategy = \"Replace\""), "{text}");
        assert_eq!(ids.contains("16"), comments(&text).contains("number 16, which a /60 does not have"), "{text}");
        assert!(comments(&text).contains("nodeSelector (line 16)"), "{text}");
    }
    assert_eq!(problems(&k6u(60, "[x]")), ["line 9: a prefixId of ip6-local-lan is \"x\", and should be an integer"]);
    assert_eq!(problems(&k6u(65, "[1]")), ["line 6: delegatedPrefixLength is 65, and should be 1 to 64"]);
}

fn metallb(words: &str) -> Result<String, Vec<String>> {
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    convert::arguments(&words).map_err(written)
}

#[test]
fn the_range_of_metallb_dyn6() {
    let text = metallb("::1000-::1999 my-pool --update-interval 30 --dry-run").unwrap();
    let planned_range = |text: &str, prefix: &str| planned(text, prefix)["loadbalancers"].clone();
    assert_eq!(planned_range(&text, "2001:db8:dead:beef::/64"), "2001:db8:dead:beef::1000-2001:db8:dead:beef::1999");
    assert!(text.contains("\ntarget = \"IPAddressPool/metallb-system/my-pool\"\n"), "{text}");
    assert!(text.contains("\ndryRun = true\n"), "{text}");
    assert!(comments(&text).contains("UPDATE_INTERVAL has no equivalent"), "{text}");
    // The /64 seen is 2001:db8:aaaa:12ff::; 56 bits of it stay, and then comes cd.
    let text =
        metallb("::1000-::1999 p --subnet-override=0:0:0:00cd:: --prefix-length=56 --metallb-namespace lb").unwrap();
    assert_eq!(planned_range(&text, "2001:db8:aaaa:1200::/56"), "2001:db8:aaaa:12cd::1000-2001:db8:aaaa:12cd::1999");
    assert!(text.contains("IPAddressPool/lb/p") && text.contains("delegatedPrefixLength = 56"), "{text}");
}

#[test]
fn what_metallb_dyn6_refuses_is_refused() {
    for (words, wanted) in [
        ("a::1000-a::1999 p", "a::1000 of the host range has bits in the first half"),
        ("::1-a::5 p", "a::5 of the host range has bits in the first half"),
        ("::1999-::1000 p", "ends before or where it starts"),
        ("::1000-::1000 p", "ends before or where it starts"),
        ("::/112 p", "should be two host parts with - between them"),
        ("::1-::2 p --subnet-override a:0:0:dead:: --prefix-length 48", "bits outside of those from 48 to 64"),
        ("::1-::2 p --subnet-override 0:0:0:dead:: --prefix-length 56", "bits outside of those from 56 to 64"),
        ("::1-::2 p --subnet-override 0:0:0:dead::f --prefix-length 48", "bits outside of those from 48 to 64"),
        ("::1-::2 p --subnet-override 0:0:0:dead::", "go together"),
        ("::1-::2 p --colour red", "no option --colour"),
        ("::1-::2 p q", "one argument too many"),
        ("::1-::2", "the name of the pool is missing"),
    ] {
        let problems = metallb(words).unwrap_err();
        assert!(problems.len() == 1 && problems[0].contains(wanted), "{words}: {problems:?}");
    }
}

#[test]
fn a_deployment_and_the_values_of_the_chart_say_the_same() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: dyn6\nspec:\n  template:\n    spec:\n      \
                      containers:\n      - image: example.com/metallb-dyn6:v0.1.2\n        args: [\"::1000-::1999\"]\n        env:\n        \
                      - name: METALLB_DYN6_METALLB_POOL\n          value: my-pool\n        - name: METALLB_DYN6_COLOUR\n          value: red\n";
    let values = "metallb:\n  hostRange: \"::1000-::1999\"\n  pool: my-pool\n";
    let arguments = metallb("::1000-::1999 my-pool").unwrap();
    assert_eq!(converted(values), arguments);
    let from_deployment = converted(deployment);
    assert!(comments(&from_deployment).contains("METALLB_DYN6_COLOUR is not known here"), "{from_deployment}");
    assert_eq!(planned(&from_deployment, "2001:db8::/64"), planned(&arguments, "2001:db8::/64"));
}

#[test]
fn what_was_not_asked_for_is_left_out() {
    let both = format!("{}---\nmetallb:\n  hostRange: \"::1-::2\"\n  pool: p\n", k6u(60, "[0]"));
    let text = only(&both, Origin::MetallbDyn6).unwrap();
    assert!(
        comments(&text).contains("IP6UpdateConfig/ip6-update-config (line 1) is not of what was asked for"),
        "{text}"
    );
    assert!(only(&k6u(60, "[0]"), Origin::DynamicPrefix).unwrap_err()[0].contains("nothing to convert"));
}
