//! OPTION_PD_EXCLUDE, worked out from RFC 6603 §4.2 by hand.

use super::*;

/// What is excluded from `delegated` by this content of the option, and the oddities.
fn excluded(delegated: &str, data: &[u8]) -> (Option<Ipv6Net>, Vec<String>) {
    let delegated = net(delegated);
    let prefix = ia_prefix(&delegated.addr().to_string(), delegated.prefix_len(), &[option(67, data)]);
    let mut read = reply(&[ia_pd(1, &[prefix])]);
    assert_eq!(read.delegations[0].prefixes[0].prefix, delegated.trunc(), "the prefix is there in any case");
    (read.delegations[0].prefixes[0].excluded, std::mem::take(&mut read.oddities))
}

const RIGHT: [(&str, &str, &[u8]); 11] = [
    // The bits between the two lengths, and where they stand in the octets:
    ("2001:db8:1:200::/56", "2001:db8:1:2ff::/64", &[64, 0b1111_1111]),
    ("2001:db8:1:200::/56", "2001:db8:1:201::/64", &[64, 0b0000_0001]),
    ("2001:db8:1:200::/56", "2001:db8:1:2f8::/61", &[61, 0b1111_1000]),
    ("2001:db8:1:200::/56", "2001:db8:1:208::/61", &[61, 0b0000_1000]),
    ("2001:db8:1:200::/60", "2001:db8:1:20f::/64", &[64, 0b1111_0000]),
    ("2001:db8:1:200::/60", "2001:db8:1:201::/64", &[64, 0b0001_0000]),
    ("2001:db8:1::/48", "2001:db8:1:abcd::/64", &[64, 0xab, 0xcd]),
    ("2001:db8:1:200::/59", "2001:db8:1:21d::/64", &[64, 0b1110_1000]),
    ("2001:db8:1:280::/57", "2001:db8:1:2d5:c000::/66", &[66, 0b1010_1011, 0b1000_0000]),
    ("2001:db8::2/127", "2001:db8::3/128", &[128, 0b1000_0000]),
    ("::/0", "2001:db8::1/128", &[128, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
];

#[test]
fn t056_the_excluded_prefix_is_read_at_every_split() {
    for (delegated, expected, data) in RIGHT {
        assert_eq!(excluded(delegated, data), (Some(net(expected)), vec![]), "{delegated} without {expected}");
    }
}

#[test]
fn t056_the_excluded_prefix_is_written_at_every_split() {
    for (delegated, excluded, data) in RIGHT {
        assert_eq!(exclude::encode(net(delegated), net(excluded)), data, "{delegated} without {excluded}");
    }
}

/// As Kea writes it.
#[test]
fn the_last_64_of_a_56_is_40_ff() {
    assert_eq!(excluded("2001:db8:8:ab00::/56", &[0x40, 0xff]).0, Some(net("2001:db8:8:abff::/64")));
}

#[test]
fn t056_bits_of_no_meaning_are_not_read() {
    // Three bits after those of the /61, and the host bits of a delegated prefix that came with some.
    assert_eq!(excluded("2001:db8:1:200::/56", &[61, 0b0000_1111]).0, Some(net("2001:db8:1:208::/61")));
    assert_eq!(excluded("2001:db8:1:2ff::1/56", &[64, 0x01]).0, Some(net("2001:db8:1:201::/64")));
}

#[test]
fn t056_a_wrong_exclusion_is_left_out_and_told() {
    let wrong: [(&str, &[u8]); 11] = [
        ("2001:db8:1:200::/56", &[]),
        ("2001:db8:1:200::/56", &[64]),
        ("2001:db8:1:200::/56", &[64, 0xff, 0]),
        ("2001:db8:1:200::/56", &[65, 0xff]),
        ("2001:db8:1:200::/56", &[56, 0xff]),
        ("2001:db8:1:200::/56", &[56]),
        ("2001:db8:1:200::/56", &[48, 0xff]),
        ("2001:db8:1:200::/56", &[0, 0xff]),
        ("2001:db8:1:200::/56", &[129, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("2001:db8::1/128", &[128, 0]),
        ("::/0", &[128, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]),
    ];
    for (delegated, data) in wrong {
        let (excluded, oddities) = excluded(delegated, data);
        assert_eq!(excluded, None, "{delegated} without {data:?}");
        assert_eq!(oddities.len(), 1);
        assert!(oddities[0].starts_with("what 2001:db8") || delegated == "::/0", "{oddities:?}");
    }
}
