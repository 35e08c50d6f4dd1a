//! Ranges and subnets.

use super::*;
use crate::plan::{range as ranges, subnet as subnets};
use crate::prefix::covering;

#[test]
fn ranges_by_host_part() {
    let (top, last) = ("::ffff:ffff:ffff:ffff", "2001:db8:abcd:1:ffff:ffff:ffff:ffff");
    let a = "2001:db8:abcd:1::/64";
    let table = [
        (a, "::f000:0:0:0", top, format!("2001:db8:abcd:1:f000::-{last}")), // A1
        (a, "::ffff:ff00:0:0", top, format!("2001:db8:abcd:1:ffff:ff00::-{last}")), // A2
        // A8
        (
            a,
            "::f000:0:0:0",
            "::f0ff:ffff:ffff:ffff",
            "2001:db8:abcd:1:f000::-2001:db8:abcd:1:f0ff:ffff:ffff:ffff".into(),
        ),
        (
            a,
            "::f100:0:0:0",
            "::f1ff:ffff:ffff:ffff",
            "2001:db8:abcd:1:f100::-2001:db8:abcd:1:f1ff:ffff:ffff:ffff".into(),
        ),
        // A11
        (
            "2001:db8:1234::/64",
            "::f000:0:0:0",
            top,
            "2001:db8:1234:0:f000::-2001:db8:1234:0:ffff:ffff:ffff:ffff".into(),
        ),
        // F1, F6
        ("2001:db8:dead:beef::/64", "::1000", "::1999", "2001:db8:dead:beef::1000-2001:db8:dead:beef::1999".into()),
        // F4: metallb-dyn6 refuses a range of one address; with both ends included it is one.
        ("2001:db8:dead:beef::/64", "::1000", "::1000", "2001:db8:dead:beef::1000-2001:db8:dead:beef::1000".into()),
        // design.md §2, the example: a /60 leaves 68 bits
        (
            "2001:db8:1234::/60",
            "::f000:0:0:0",
            "::f000:0:0:ffff",
            "2001:db8:1234:0:f000::-2001:db8:1234:0:f000::ffff".into(),
        ),
        ("2001:db8:1230::/60", "0:0:0:f::", "0:0:0:f::1", "2001:db8:1230:f::-2001:db8:1230:f::1".into()),
    ];
    for (prefix, start, end, expected) in table {
        let computed = ranges::compute(&range("r", start, end), net(prefix), &[]).expect("inside the prefix");
        assert_eq!(show(&computed), [expected], "{prefix} {start} {end}");
    }
}

#[test]
fn ranges_that_are_errors() {
    let table = [
        ("2001:db8:abcd:1::/64", "::ffff:0:0:0", "::f000:0:0:0", "greater than end"), // A4
        ("2001:db8:abcd:1::/64", "::1999", "::1000", "greater than end"),             // F3
        ("2001:db8:abcd:1::/64", "a::1000", "a::1999", "start a::1000 has bits inside"), // F2
        ("2001:db8:abcd:1::/64", "::1", "a::5", "end a::5 has bits inside"),          // F5
        ("2001:db8:abcd:1::/64", "0:0:0:1::", "0:0:0:1::5", "only the last 64 bits"), // one bit too high
        ("2001:db8:abcd:1::/64", "2001:db8:abcd:1::1", "2001:db8:abcd:1::5", "counted from the start of the prefix"),
        ("2001:db8::/60", "0:0:0:10::", "0:0:0:10::5", "at most ::f:ffff:ffff:ffff:ffff"),
    ];
    for (prefix, start, end, expected) in table {
        let error = ranges::compute(&range("pool", start, end), net(prefix), &[]).expect_err("wrong");
        assert_eq!(error.entry, "addressRanges[pool]");
        assert!(error.message.contains(expected), "{}", error.message);
        assert!(error.message.ends_with('.'), "a full sentence: {}", error.message);
    }
}

#[test]
fn a_prefix_and_a_host_part() {
    let table = [
        ("2001:db8:abcd:1::/64", "::1", "2001:db8:abcd:1::1"), // A9
        ("2001:db8:abcd::/48", "::ff:1:2:3:4", "2001:db8:abcd:ff:1:2:3:4"), // A10
        ("2001:db8:1234:5678::/64", "::70", "2001:db8:1234:5678::70"), // H6
    ];
    for (prefix, host, expected) in table {
        assert_eq!(ranges::join(net(prefix), address(host)), Ok(address(expected)));
    }
}

#[test]
fn subnets_by_index() {
    // The peers call this number offset; here offset counts addresses (design.md §2).
    let table: [(&str, &[u128], u8, &[&str]); 15] = [
        ("2001:db8::/48", &[0], 64, &["2001:db8::/64"]),         // B1
        ("2001:db8::/48", &[1], 64, &["2001:db8:0:1::/64"]),     // B2
        ("2001:db8::/48", &[256], 64, &["2001:db8:0:100::/64"]), // B3
        ("2001:db8:1234:ab00::/60", &[0], 120, &["2001:db8:1234:ab00::/120"]), // B4
        ("2001:db8:1234:ab00::/60", &[16], 120, &["2001:db8:1234:ab00::1000/120"]), // B5
        ("2001:db8::/48", &[65_535], 64, &["2001:db8:0:ffff::/64"]), // B9
        (
            "2001:db8:cafe::/48",
            &[0, 1, 256],
            64,
            &["2001:db8:cafe::/64", "2001:db8:cafe:1::/64", "2001:db8:cafe:100::/64"],
        ), // B16
        ("2001:db8:9::/48", &[0, 1], 64, &["2001:db8:9::/64", "2001:db8:9:1::/64"]), // B17
        ("2001:db8:1234::/56", &[255], 64, &["2001:db8:1234:ff::/64"]), // B18
        ("2001:db8::/64", &[0], 64, &["2001:db8::/64"]),
        ("2001:db8::/64", &[(1 << 64) - 1], 128, &["2001:db8::ffff:ffff:ffff:ffff/128"]),
        // G1, G2, G4, G5: counted from the delegation around an address
        (
            "2001:db8:1234:ab07::42/60",
            &[0, 1, 2],
            64,
            &["2001:db8:1234:ab00::/64", "2001:db8:1234:ab01::/64", "2001:db8:1234:ab02::/64"],
        ),
        ("2001:db8:1234:ab07::42/60", &[15], 64, &["2001:db8:1234:ab0f::/64"]),
        ("2001:db8:1234:ab07::42/56", &[0, 255], 64, &["2001:db8:1234:ab00::/64", "2001:db8:1234:abff::/64"]),
        (
            "2001:db8:1234:ab07::42/48",
            &[0, 255, 256, 65_535],
            64,
            &["2001:db8:1234::/64", "2001:db8:1234:ff::/64", "2001:db8:1234:100::/64", "2001:db8:1234:ffff::/64"],
        ),
    ];
    for (prefix, index, length, expected) in table {
        let prefix = covering(net(prefix), 128);
        let computed = subnets::compute(&by_index("s", index, length), prefix, &[]).expect("inside the prefix");
        assert_eq!(show(&computed), expected, "{prefix} {index:?} /{length}");
    }
}

#[test]
fn subnets_by_offset_count_addresses() {
    let table = [
        ("2001:db8::/48", 0, 64, "2001:db8::/64"),
        ("2001:db8::/48", 1 << 64, 64, "2001:db8:0:1::/64"),
        ("2001:db8:1234::/60", 0x1_0000, 112, "2001:db8:1234::1:0/112"), // design.md §5
        ("2001:db8:1234:ab00::/60", 0x1000, 120, "2001:db8:1234:ab00::1000/120"),
        ("2001:db8::/48", 0xdead << 64, 64, "2001:db8:0:dead::/64"),
        ("2001:db8::/64", 1, 128, "2001:db8::1/128"),
        ("2001:db8::/64", (1 << 64) - 1, 128, "2001:db8::ffff:ffff:ffff:ffff/128"),
    ];
    for (prefix, offset, length, expected) in table {
        let computed = subnets::compute(&by_offset("s", offset, length), net(prefix), &[]).expect("inside the prefix");
        assert_eq!(show(&computed), [expected], "{prefix} {offset:#x} /{length}");
    }
}

#[test]
fn subnets_that_are_errors() {
    let index = |index| Place::Index(vec![index]);
    let table = [
        ("2001:db8::/64", index(0), 48, "prefixLength must be 64 to 128"), // B7
        ("2001:db8::/64", index(0), 129, "more than the 128 bits"),        // B8
        ("2001:db8::/48", index(65_536), 64, "the last /64 in it has index 65535"), // B10
        ("2001:db8::/48", index(300_000_000_000_000), 48, "the last /48 in it has index 0"), // B12
        ("2001:db8::/60", index(0x7fff_ffff_ffff_ffff), 64, "the last /64 in it has index 15"), // B14
        ("2001:db8::/60", Place::Index(vec![0, 16]), 64, "index 16 lies outside"), // G: one of several
        ("2001:db8::/48", index(u128::MAX), 128, "lies outside"),
        ("2001:db8::/48", Place::Offset(0xdead << 96), 64, "lies outside"), // F10
        ("2001:db8::/56", Place::Offset(0xdead << 64), 64, "the last /64 is at \"0:0:0:ff::\""), // F11
        (
            "2001:db8::/48",
            Place::Offset((0xdead << 64) | 0xf),
            64,
            "\"0:0:0:dead::\" (index = 57005) and \"0:0:0:deae::\" (index = 57006)",
        ), // F12
        ("2001:db8::/48", Place::Offset(5), 64, "write index = 5"),
        ("2001:db8::/48", Place::Offset(65_535), 64, "write index = 65535"),
        ("2001:db8::/64", Place::Offset(7), 64, "the nearest right value is \"::\" (index = 0)."),
        ("::/0", index(0), 1, "holds every address"),
    ];
    for (prefix, place, prefix_length, expected) in table {
        let subnet = Subnet { name: "pods".into(), place, prefix_length };
        let error = subnets::compute(&subnet, net(prefix), &[]).expect_err("wrong");
        assert_eq!(error.entry, "subnets[pods]");
        assert!(error.message.contains(expected), "{}", error.message);
        assert!(error.message.ends_with('.'), "a full sentence: {}", error.message);
    }
    let far = subnets::compute(&by_offset("s", (1 << 70) + 1, 64), net("2001:db8::/60"), &[]).expect_err("wrong");
    assert!(!far.message.contains("if the subnet number"), "no such number exists: {}", far.message);
}

/// RFC 6603: the requesting router must not use the excluded prefix (H9: as odhcp6c hands it over).
#[test]
fn excluded_parts_are_cut_out() {
    let prefix = net("2001:db8:1::/56");
    let excluded = [net("2001:db8:1::/64")];
    let pool = range("pool", "::ffff:ffff:ffff:fffe", "0:0:0:1::5");
    assert_eq!(
        show(&ranges::compute(&pool, prefix, &excluded).expect("some left")),
        ["2001:db8:1:1::-2001:db8:1:1::5"]
    );
    let wide = by_index("wide", &[0], 62);
    assert_eq!(
        show(&subnets::compute(&wide, prefix, &excluded).expect("some left")),
        ["2001:db8:1:1::/64", "2001:db8:1:2::/63"]
    );
    let list = by_index("list", &[0, 1], 64);
    assert_eq!(show(&subnets::compute(&list, prefix, &excluded).expect("some left")), ["2001:db8:1:1::/64"]);

    let gone = ranges::compute(&range("pool", "::1", "::5"), prefix, &excluded).expect_err("nothing left");
    assert!(gone.message.contains("excludes"), "{}", gone.message);
    let gone = subnets::compute(&by_index("s", &[0], 64), prefix, &excluded).expect_err("nothing left");
    assert!(gone.message.contains("excludes"), "{}", gone.message);
}
