use super::*;

const POOL: Kind = Kind::CiliumLoadBalancerIPPool;
const GROUP: Kind = Kind::CiliumCIDRGroup;
const METALLB: Kind = Kind::IPAddressPool;

fn v6(first: &str, last: &str) -> Entry {
    let interval = Interval::new(first.parse().expect("an address"), last.parse().expect("an address"));
    Entry::V6(interval.expect("in order"))
}

fn v4(first: &str, last: &str) -> Entry {
    Entry::V4(first.parse().expect("an address"), last.parse().expect("an address"))
}

/// kubernetes.md §1.2, §2.1, lab.md §4: what the controllers make of each text.
#[test]
fn entries_mean_what_their_controller_reads() {
    let net = v6("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff");
    let cases = [
        (POOL, json!({"cidr": "2001:db8::/64"}), Some(net)),
        (POOL, json!({"cidr": "2001:DB8:0:0::5/64"}), Some(net)),
        (POOL, json!({"start": "2001:db8::", "stop": "2001:db8::ffff:ffff:ffff:ffff"}), Some(net)),
        (POOL, json!({"cidr": "2001:db8::/64", "start": "::1", "stop": "::2"}), Some(net)),
        (POOL, json!({"start": "2001:db8::1"}), Some(v6("2001:db8::1", "2001:db8::1"))),
        (POOL, json!({"start": "2001:db8::1", "stop": ""}), Some(v6("2001:db8::1", "2001:db8::1"))),
        (POOL, json!({"cidr": "198.51.100.7/24"}), Some(v4("198.51.100.0", "198.51.100.255"))),
        (POOL, json!({"stop": "2001:db8::1"}), None),
        (POOL, json!({"start": "2001:db8::2", "stop": "2001:db8::1"}), None),
        (POOL, json!({"start": "10.0.0.1", "stop": "2001:db8::1"}), None),
        (POOL, json!({"start": "2001:db8::/64"}), None),
        (POOL, json!({"start": "fe80::1%eth0"}), None),
        (POOL, json!({"foo": "bar"}), None),
        (POOL, json!({}), None),
        (POOL, json!("2001:db8::/64"), None),
        (GROUP, json!("2001:db8::/64"), Some(net)),
        (GROUP, json!("2001:db8::/129"), None),
        (GROUP, json!(""), None),
        (GROUP, json!({"cidr": "2001:db8::/64"}), None),
        (METALLB, json!("2001:db8::/64"), Some(net)),
        (METALLB, json!("2001:db8:: - 2001:db8::ffff:ffff:ffff:ffff"), Some(net)),
        (METALLB, json!("198.51.100.1-198.51.100.10"), Some(v4("198.51.100.1", "198.51.100.10"))),
        (METALLB, json!("2001:db8::1"), None),
        (METALLB, json!("10.0.0.9-10.0.0.1"), None),
        (METALLB, json!(7), None),
    ];
    for (kind, value, expected) in cases {
        assert_eq!(Entry::parse(kind, &value), expected, "{kind:?} {value}");
    }
}

/// peers.md §1.8 E12.
#[test]
fn recorded_entries_have_one_canonical_text() {
    let cases = [
        ("cidr=2001:db8::/64", "cidr=2001:db8::/64"),
        ("cidr=2001:0DB8::5/64", "cidr=2001:db8::/64"),
        ("2001:db8::/64", "cidr=2001:db8::/64"),
        ("range=2001:db8::1-2001:db8::ff", "range=2001:db8::1-2001:db8::ff"),
        ("range=2001:db8::1", "range=2001:db8::1-2001:db8::1"),
        (" 2001:0DB8:ABCD::FFFF:0:2 ", "range=2001:db8:abcd::ffff:0:2-2001:db8:abcd::ffff:0:2"),
    ];
    for (text, canonical) in cases {
        let block = read_recorded(text).expect(text);
        assert_eq!(Recorded(block).to_string(), canonical, "{text}");
        assert_eq!(read_recorded(canonical).map(|block| block.interval()), Some(block.interval()));
    }
}

#[test]
fn a_record_with_damage_owns_what_can_be_read() {
    let record =
        read_record("cidr=2001:db8::/64,,garbage,cidr=10.0.0.0/8,range=2001:db8::2-2001:db8::1,range=2001:db8:1::1");
    assert_eq!(write_record(&record), "cidr=2001:db8::/64,range=2001:db8:1::1-2001:db8:1::1");
    assert_eq!(read_record(""), []);
}

#[test]
fn ours_are_written_in_the_form_of_the_kind() {
    let net = Block::Cidr("2001:db8:0:5::/64".parse().expect("a prefix"));
    let ends = v6("2001:db8:0:5::1", "2001:db8:0:5::6");
    let range = Block::Range(ends.v6().expect("IPv6"));
    let written = |kind, block| fit(kind, block).into_iter().map(|block| render(kind, block)).collect::<Vec<_>>();
    assert_eq!(written(POOL, net), [json!({"cidr": "2001:db8:0:5::/64"})]);
    assert_eq!(written(POOL, range), [json!({"start": "2001:db8:0:5::1", "stop": "2001:db8:0:5::6"})]);
    assert_eq!(written(METALLB, net), [json!("2001:db8:0:5::/64")]);
    assert_eq!(written(METALLB, range), [json!("2001:db8:0:5::1-2001:db8:0:5::6")]);
    assert_eq!(written(GROUP, net), [json!("2001:db8:0:5::/64")]);
    // 1; 2-3; 4-5; 6: exactly the range, not the /125 around it.
    let exact = ["1/128", "2/127", "4/127", "6/128"];
    assert_eq!(written(GROUP, range), exact.map(|end| json!(format!("2001:db8:0:5::{end}"))));
    for kind in Kind::ALL {
        for block in fit(kind, range) {
            assert_eq!(Entry::parse(kind, &render(kind, block)), Some(Entry::V6(block.interval())));
        }
    }
}

#[test]
fn entries_are_shown_as_a_person_writes_them() {
    let cases = [
        (json!({"cidr": "2001:DB8::/64"}), "2001:DB8::/64"),
        (json!({"start": "10.0.0.1", "stop": "10.0.0.9"}), "10.0.0.1-10.0.0.9"),
        (json!({"start": "10.0.0.1"}), "10.0.0.1"),
        (json!("10.0.0.1 - 10.0.0.9"), "10.0.0.1 - 10.0.0.9"),
        (json!({"foo": 1}), r#"{"foo":1}"#),
    ];
    for (value, expected) in cases {
        assert_eq!(describe(&value), expected);
    }
}
