//! `acquisition.dhcpv6`: every spelling of its values, and what a client gets of them.

use super::*;
use crate::source::dhcpv6::wire::{ClientMessage, Outgoing, TooLong, encode};
use crate::source::dhcpv6::{Delegation, Duid, RawOptionMessages, Settings};

fn with(keys: &str) -> String {
    format!(
        "[[cluster]]\nkubeconfig = 'in-cluster'\n[[dynamicPrefix]]\nname = 'p'\n[dynamicPrefix.acquisition.dhcpv6]\n\
         interface = 'wan'\n{keys}\n"
    )
}

/// What is asked for, or what is wrong with it; notes aside.
fn asked(keys: &str) -> Result<Dhcpv6, Vec<&'static str>> {
    let loaded = parse(&with(keys), "dhcpv6.toml");
    let wrong = loaded.findings.iter().filter(|finding| finding.severity != Severity::Note);
    let codes: Vec<_> = wrong.map(|finding| finding.code).collect();
    let asked = loaded.config.and_then(|config| config.dynamic_prefixes[0].acquisition.dhcpv6.clone());
    asked.filter(|_| codes.is_empty()).ok_or(codes)
}

fn fixed(octets: &[u8]) -> DuidSetting {
    DuidSetting::Fixed(Duid::new(octets).unwrap())
}

/// RFC 9915 §11: the types and their lengths; a DUID of another form is used all the same.
#[test]
fn duids() {
    let ll = [0, 3, 0, 1, 2, 0, 0x5e, 0x10, 0, 1];
    let cases: &[(&str, Result<DuidSetting, Vec<&'static str>>)] = &[
        ("auto", Ok(DuidSetting::Auto)),
        ("ll", Ok(DuidSetting::LinkLayer)),
        ("llt", Ok(DuidSetting::LinkLayerTime)),
        ("00:03:00:01:02:00:5e:10:00:01", Ok(fixed(&ll))),
        ("00-03-00-01-02-00-5E-10-00-01", Ok(fixed(&ll))),
        ("0003000102005e100001", Ok(fixed(&ll))),
        ("0x0003000102005e100001", Ok(fixed(&ll))),
        ("0003 0001 0200 5e10 0001", Ok(fixed(&ll))),
        ("00:02:00:00:7e:d9:01", Ok(fixed(&[0, 2, 0, 0, 0x7e, 0xd9, 1]))),
        // Infiniband, hardware type 32, has addresses of 20 octets.
        ("00:03:00:20:01:02:03:04:05:06:07:08", Ok(fixed(&[0, 3, 0, 32, 1, 2, 3, 4, 5, 6, 7, 8]))),
        ("00:05:01", Err(vec!["duid-form"])),
        ("00:04:01", Err(vec!["duid-form"])),
        ("00:01:00:01:01", Err(vec!["duid-form"])),
        ("00:03", Err(vec!["invalid-duid"])),
        ("000300010", Err(vec!["invalid-duid"])),
        ("00:03:00:01:", Err(vec!["invalid-duid"])),
        (":", Err(vec!["invalid-duid"])),
        ("00::03", Err(vec!["invalid-duid"])),
        ("0x", Err(vec!["invalid-duid"])),
        ("uuid", Err(vec!["invalid-duid"])),
        ("\u{ff10}\u{ff10}", Err(vec!["invalid-duid"])),
        (" auto", Err(vec!["invalid-duid"])),
    ];
    for (duid, expected) in cases {
        assert_eq!(asked(&format!("duid = '{duid}'")).map(|asked| asked.duid), *expected, "{duid}");
    }
}

/// DC-009: 128 octets after the type are the most.
#[test]
fn the_longest_duid() {
    let longest = format!("00:02:{}", "ab".repeat(128));
    assert!(asked(&format!("duid = '{longest}'")).is_ok());
    assert_eq!(asked(&format!("duid = '{longest}cd'")), Err(vec!["invalid-duid"]));
}

#[test]
fn wishes() {
    let lengths = |keys: &str| asked(keys).map(|asked| (asked.requested_prefix_length, asked.prefix_hint));
    let hint = "2001:db8:1200::/56".parse().ok();
    assert_eq!(lengths(""), Ok((None, None)));
    assert_eq!(lengths("requestedPrefixLength = 64"), Ok((Some(64), None)));
    assert_eq!(lengths("requestedPrefixLength = 1"), Ok((Some(1), None)));
    assert_eq!(lengths("prefixHint = '2001:db8:1200::/56'"), Ok((None, hint)));
    assert_eq!(lengths("prefixHint = '2001:db8:1200::/56'\nrequestedPrefixLength = 56"), Ok((Some(56), hint)));
    for (keys, code) in [
        ("requestedPrefixLength = 0", "wrong-value"),
        ("requestedPrefixLength = 65", "wrong-value"),
        ("prefixHint = '2001:db8:1200::/56'\nrequestedPrefixLength = 60", "prefix-hint"),
        // DC-049: never ::/0.
        ("prefixHint = '::/0'", "prefix-hint"),
        ("prefixHint = '2001:db8:1200::/65'", "prefix-hint"),
        ("prefixHint = '2001:db8:1200::1/56'", "invalid-network"),
        ("prefixHint = 'fd00:1234::/48'", "refused-prefix"),
    ] {
        assert_eq!(lengths(keys), Err(vec![code]), "{keys}");
    }
}

/// Every code that the client builds itself or that only stands inside others is refused; those that providers ask for
/// (DC-052: 11, 15, 16, 17) are not.
#[test]
fn codes_of_raw_options() {
    let with = |code: u16| asked(&format!("rawOptions = [{{ code = {code}, hex = '000000090001aa' }}]"));
    for code in [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 18, 19, 20, 25, 26] {
        assert_eq!(with(code), Err(vec!["raw-option"]), "{code}");
    }
    for code in [11, 16, 24, 39, 65535] {
        let data = vec![0, 0, 0, 9, 0, 1, 0xaa];
        let option = RawOption { code, data, messages: RawOptionMessages::All };
        assert_eq!(with(code).map(|asked| asked.raw_options), Ok(vec![option]), "{code}");
    }
}

/// RFC 9915 §21.15 to §21.17.
#[test]
fn forms_of_raw_options() {
    let form = |code: u16, hex: &str| asked(&format!("rawOptions = [{{ code = {code}, hex = '{hex}' }}]")).map(|_| ());
    for (code, hex) in [
        (15, "0001aa"),
        (15, "0000"),
        (15, "0001aa0002bbcc"),
        (16, "000000090001aa"),
        (17, "00000009"),
        (17, "0000000900010000"),
        (17, "00000009000100010200020000"),
        (99, ""),
    ] {
        assert_eq!(form(code, hex), Ok(()), "{code} {hex}");
    }
    for (code, hex) in [
        (15, ""),
        (15, "00"),
        (15, "0002aa"),
        (15, "0001aabb"),
        (16, "00000009"),
        (16, "0001aa"),
        (17, "000000"),
        (17, "000000090001"),
        (17, "000000090001000201"),
    ] {
        assert_eq!(form(code, hex), Err(vec!["raw-option-form"]), "{code} {hex}");
    }
}

/// As documented in the key table: a default that is written changes nothing.
#[test]
fn written_defaults_are_the_defaults() {
    let written = "duid = 'auto'\nrapidCommit = false\nreconfigure = false\nrequireRouterAdvertisement = false\n\
                   requestAddress = false\nrawOptions = []\ntakeOver = false\nunreachableRoute = false";
    assert_eq!(asked(""), asked(written));
    let both_names = with("").replace("dhcpv6]", "dhcpv6pd]");
    assert_eq!(good(&with("")), good(&both_names));
}

/// A client, and who shares it.
fn shared(second: &str) -> Vec<&'static str> {
    let prefix =
        |name: &str, keys: &str| format!("[[dynamicPrefix]]\nname = '{name}'\nacquisition.dhcpv6 = {{ {keys} }}\n");
    let cluster = "[[cluster]]\nkubeconfig = 'in-cluster'\n";
    codes(&format!("{cluster}{}{}", prefix("a", "interface = 'wan', priority = 3, iaid = 5"), prefix("b", second)))
}

#[test]
fn only_what_is_of_the_client_has_to_agree() {
    let none: [&str; 0] = [];
    assert_eq!(shared("interface = 'wan', priority = 3, iaid = 6, requestedPrefixLength = 60"), none);
    assert_eq!(shared("interface = 'wan', priority = 3"), none);
    assert_eq!(shared("interface = 'wan', priority = 3, unreachableRoute = true"), ["needs-right"]);
    assert_eq!(shared("interface = 'wan'"), ["client-differs"]);
    assert_eq!(shared("interface = 'wan', priority = 3, iaid = 5"), ["duplicate-iaid"]);
    assert_eq!(shared("interface = 'wan0', iaid = 5"), none);
}

/// RFC 8200 §5: 1232 octets. The largest Renew: header 4, Client ID 22, Server ID 134 at most, Elapsed Time 6, Rapid
/// Commit 4, Reconfigure Accept 4, Option Request 20, and 45 for an IA_PD with a prefix: 194 + 45 n.
#[test]
fn as_many_as_fit_into_a_packet() {
    let many = |count: usize, keys: &str| {
        let prefix =
            |n| format!("[[dynamicPrefix]]\nname = 'p{n}'\nacquisition.dhcpv6 = {{ interface = 'wan'{keys} }}\n");
        codes(&format!("[[cluster]]\nkubeconfig = 'in-cluster'\n{}", (0..count).map(prefix).collect::<String>()))
    };
    let none: [&str; 0] = [];
    assert_eq!(many(23, ""), none);
    assert_eq!(many(24, ""), ["message-size"]);
    // An address takes 44 more.
    assert_eq!(many(22, ", requestAddress = true"), none);
    assert_eq!(many(23, ", requestAddress = true"), ["message-size"]);
}

/// The bound holds for what is really written: the largest Renew with as many IA_PDs as the checker lets pass.
#[test]
fn as_many_as_the_codec_writes() {
    let largest = |delegations: u32| {
        encode(&Outgoing {
            kind: ClientMessage::Renew,
            transaction_id: [1, 2, 3],
            client_id: Duid::new(&[0, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]).unwrap(),
            server_id: Some(Duid::new(&[1; 130]).unwrap()),
            elapsed: u16::MAX,
            option_request: vec![82; 8],
            rapid_commit: true,
            reconfigure_accept: true,
            delegations: (0..delegations).map(|iaid| (iaid, vec!["2001:db8::/56".parse().unwrap()])).collect(),
            addresses: Vec::new(),
            raw_options: Vec::new(),
        })
    };
    assert_eq!(largest(23).map(|datagram| datagram.len()), Ok(194 + 23 * 45));
    assert_eq!(largest(24), Err(TooLong(194 + 24 * 45)));
}

/// The good file with two delegations to one client.
#[test]
fn a_client_gets_what_its_prefixes_ask() {
    let path = directory("tests/config/good/delegation.toml");
    let config = good(&std::fs::read_to_string(path).unwrap());
    let settings = Settings::for_interface("eth0.832", &config.dynamic_prefixes).unwrap();
    let delegation = |name: &str, iaid, requested_length, hint| Delegation {
        dynamic_prefix: name.to_owned(),
        iaid: Some(iaid),
        requested_length,
        hint,
        unreachable_route: false,
    };
    let all = |code, data: &[u8]| RawOption { code, data: data.to_vec(), messages: RawOptionMessages::All };
    let authentication = RawOption {
        code: 11,
        data: vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a],
        messages: RawOptionMessages::Establishing,
    };
    let expected = Settings {
        interface: "eth0.832".to_owned(),
        duid: fixed(&[0, 3, 0, 1, 2, 0, 0x5e, 0x10, 0, 1]),
        rapid_commit: false,
        reconfigure: false,
        require_router_advertisement: false,
        request_address: false,
        raw_options: vec![
            authentication,
            all(15, b"\x00\x06router"),
            all(16, b"\x00\x00\x04\x0e\x00\x06router"),
            all(17, b"\x00\x00\x04\x0e"),
        ],
        priority: Some(6),
        take_over: false,
        delegations: vec![
            delegation("lab", 0, Some(56), None),
            delegation("guests", u32::MAX, None, "2001:db8:1200::/60".parse().ok()),
        ],
    };
    assert_eq!(settings, expected);
    let second = Settings::for_interface("ppp0", &config.dynamic_prefixes).unwrap();
    assert!(second.rapid_commit && second.reconfigure && second.require_router_advertisement && second.take_over);
    assert!(second.request_address && second.delegations[0].unreachable_route && second.delegations[0].iaid.is_none());
    assert_eq!(Settings::for_interface("eth0", &config.dynamic_prefixes), None);
}
