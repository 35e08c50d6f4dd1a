//! Whatever goes in: what comes out can be used.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use proptest::prelude::*;

use super::*;

/// A scalar that tries to end a string or a comment of TOML.
fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9-]{1,12}",
        "[ -~]{0,12}",
        any::<String>().prop_map(|text| text.chars().take(12).collect()),
        Just("\"\n[daemon]\nid = \"x".to_owned()),
        Just("::f000:0:0:0".to_owned()),
        Just("\u{7f}\u{85}\\".to_owned()),
    ]
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_comes_out_passes_the_checker(
        name in nasty(), interface in nasty(), range in nasty(), start in nasty(), end in nasty(), key in nasty(),
        offset in any::<i64>(), length in 0_u8..=130, group in prop_oneof![Just(CURRENT), Just(OLDER)],
    ) {
        // JSON is YAML.
        let manifest = format!(
            "{{\"apiVersion\": \"{group}/v1alpha1\", \"kind\": \"DynamicPrefix\", \"metadata\": {{\"name\": {}}}, \"spec\": {{\
             \"acquisition\": {{\"routerAdvertisement\": {{\"interface\": {}}}}}, \
             \"addressRanges\": [{{\"name\": {}, \"start\": {}, \"end\": {}}}], \
             \"subnets\": [{{\"name\": \"s\", \"offset\": {offset}, \"prefixLength\": {length}, {}: 1}}]}}}}",
            quoted(&name), quoted(&interface), quoted(&range), quoted(&start), quoted(&end), quoted(&format!("x{key}")),
        );
        match convert::manifests(&manifest, None) {
            Ok(text) => {
                config(&text);
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    #[test]
    fn no_text_is_too_odd(text in any::<String>(), words in proptest::collection::vec(nasty(), 0..5)) {
        for text in [convert::manifests(&text, None), convert::arguments(&words)].into_iter().flatten() {
            config(&text);
        }
    }

    /// network + offset · 2^(128 − length), as the operator has it.
    #[test]
    fn subnets_are_where_the_operator_puts_them(
        bits in any::<u128>(), base in 48_u8..=64, more in 0_u8..=16, number in any::<u16>(),
    ) {
        let length = base + more;
        let number = u128::from(number) & ((1 << more) - 1);
        let prefix = Ipv6Net::new(Ipv6Addr::from_bits(bits >> 3 | 1 << 125), base).unwrap().trunc();
        let spec = format!(
            "acquisition:\n  dhcpv6pd:\n    interface: wan\n    requestedPrefixLength: {base}\n\
             subnets:\n- name: s\n  offset: {number}\n  prefixLength: {length}\n"
        );
        let at = prefix.network().to_bits() + (number << (128 - u32::from(length)));
        let expected = Ipv6Net::new(Ipv6Addr::from_bits(at), length).unwrap().to_string();
        prop_assert_eq!(planned(&converted(&dynamic_prefix(CURRENT, &spec)), &prefix.to_string())["s"].clone(), expected);
    }
}
