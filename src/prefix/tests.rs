//! Tables of peers.md §1.8 (row ids in the comments), and arithmetic at the edges.

use proptest::prelude::*;

use super::*;

fn net(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

fn interval(first: &str, last: &str) -> Interval {
    Interval::new(first.parse().expect("an address"), last.parse().expect("an address")).expect("in order")
}

fn texts(nets: &[Ipv6Net]) -> Vec<String> {
    nets.iter().map(ToString::to_string).collect()
}

#[test]
fn which_prefixes_are_accepted() {
    use Rejection::{Everything, NotGlobalUnicast, NotUnicast, SingleAddress};
    let table = [
        ("2001:db8::/64", true, Ok(())),            // C1
        ("2001:db8:abcd::/56", true, Ok(())),       // C2
        ("fd00::/64", true, Err(NotGlobalUnicast)), // C3
        ("fd00::/64", false, Ok(())),               // C4
        ("fe80::/64", false, Err(NotUnicast)),      // C5
        ("::1/128", false, Err(SingleAddress)),     // C6
        ("::1/127", false, Err(NotUnicast)),        // the unspecified address after masking
        ("::/128", false, Err(SingleAddress)),      // C7
        ("ff00::/8", false, Err(NotUnicast)),       // C8
        ("::/0", false, Err(Everything)),           // C9
        ("::ffff:192.0.2.0/120", false, Err(NotUnicast)),
        // C11: what is global unicast.
        ("2620:fe::/48", true, Ok(())),
        ("2000::/64", true, Ok(())),
        ("3fff:ffff::/64", true, Ok(())),
        ("3fff:ffff:ffff:ffff::/64", true, Ok(())),
        ("4000::/64", true, Err(NotGlobalUnicast)),
        ("1fff::/64", true, Err(NotGlobalUnicast)),
        ("fc00::/64", true, Err(NotGlobalUnicast)),
        ("ff02::/64", true, Err(NotUnicast)),
        ("2000::/2", true, Err(NotUnicast)), // ::/2 after masking
        ("2000::/3", true, Ok(())),
        // C12: what else is let in without requireGlobalUnicast.
        ("fdab:cdef:1234::/64", false, Ok(())),
    ];
    for (prefix, require_global_unicast, expected) in table {
        let filter = PrefixFilter { require_global_unicast, allow: Vec::new() };
        assert_eq!(filter.check(net(prefix)), expected, "{prefix}, requireGlobalUnicast = {require_global_unicast}");
    }
}

#[test]
fn only_inside_the_allowed_prefixes() {
    let filter = PrefixFilter { require_global_unicast: true, allow: vec![net("2003::/19"), net("2001:db8::/32")] };
    assert_eq!(filter.check(net("2003:ab::/56")), Ok(()));
    assert_eq!(filter.check(net("2001:db8::/32")), Ok(()));
    assert_eq!(filter.check(net("2001:db9::/56")), Err(Rejection::NotAllowed));
    assert_eq!(filter.check(net("2001::/16")), Err(Rejection::NotAllowed), "wider than what is allowed");
}

#[test]
fn the_delegation_around_a_prefix() {
    let table = [
        ("2001:db8:1:20ff::1/64", 56, "2001:db8:1:2000::/56"),       // C15
        ("2001:db8:1234:5678::1/64", 64, "2001:db8:1234:5678::/64"), // B19
        ("2001:db8::ffff/48", 48, "2001:db8::/48"),                  // B20
        ("2001:db8:dead:beef:123:123:123:123/128", 64, "2001:db8:dead:beef::/64"), // F8
        ("2001:db8:1:20ff::1/56", 64, "2001:db8:1:2000::/56"),       // shorter than asked
    ];
    for (prefix, length, expected) in table {
        assert_eq!(covering(net(prefix), length), net(expected), "{prefix}");
    }
}

#[test]
fn exact_cidrs_of_a_range() {
    let table: [(&str, &str, &[&str]); 6] = [
        // A14 to A16: the peers take the smallest prefix that contains the range; ours is exact.
        ("2001:db8::f000", "2001:db8::f0ff", &["2001:db8::f000/120"]),
        ("2001:db8:abcd:1::", "2001:db8:abcd:1:ffff:ffff:ffff:ffff", &["2001:db8:abcd:1::/64"]),
        (
            "2001:db8::1",
            "2001:db8::10",
            &["2001:db8::1/128", "2001:db8::2/127", "2001:db8::4/126", "2001:db8::8/125", "2001:db8::10/128"],
        ),
        ("2001:db8::1", "2001:db8::3", &["2001:db8::1/128", "2001:db8::2/127"]), // A21
        ("2001:db8::1", "2001:db8::1", &["2001:db8::1/128"]),
        ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &["::/0"]),
    ];
    for (first, last, expected) in table {
        let interval = interval(first, last);
        assert_eq!(texts(&interval.to_nets()), expected, "{interval}");
        let single = (expected.len() == 1).then(|| net(expected[0]));
        assert_eq!(interval.to_net(), single, "{interval}");
    }
}

#[test]
fn the_ends_of_a_prefix() {
    // F7
    assert_eq!(
        Interval::from(net("2001:db8:dead:beef::/96")),
        interval("2001:db8:dead:beef::", "2001:db8:dead:beef::ffff:ffff")
    );
    assert_eq!(Interval::new("::2".parse().expect("an address"), "::1".parse().expect("an address")), None);
}

#[test]
fn cutting_holes() {
    let whole = interval("::10", "::1f");
    let table = [
        ("", "::10-::1f"),
        ("::-::f", "::10-::1f"),
        ("::20-::ff", "::10-::1f"),
        ("::10-::1f", ""),
        ("::-::ff", ""),
        ("::10-::10 ::1f-::1f", "::11-::1e"),
        ("::14-::15", "::10-::13 ::16-::1f"),
        ("::18-::18 ::12-::12", "::10-::11 ::13-::17 ::19-::1f"),
    ];
    for (holes, expected) in table {
        let holes = holes.split_whitespace().filter_map(|hole| hole.split_once('-'));
        let left = whole.without(holes.map(|(first, last)| interval(first, last)));
        assert_eq!(left.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), expected);
    }
    let everything = interval("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_eq!(everything.without([everything]), []);
}

fn any_interval() -> impl Strategy<Value = Interval> {
    // Small ones meet each other; large ones reach the ends of the address space.
    let small = (0..64_u128, 0..64_u128);
    let large = (any::<u128>(), any::<u128>());
    prop_oneof![small, large]
        .prop_map(|(a, b)| Interval { first: Ipv6Addr::from_bits(a.min(b)), last: Ipv6Addr::from_bits(a.max(b)) })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_left_is_outside_every_hole(whole in any_interval(), holes in proptest::collection::vec(any_interval(), 0..5), probe in 0..70_u128) {
        let left = whole.without(holes.iter().copied());
        prop_assert!(left.is_sorted_by(|a, b| a.last < b.first), "ascending and disjoint");
        let probe = Ipv6Addr::from_bits(probe);
        let is_in = |interval: &Interval| interval.first <= probe && probe <= interval.last;
        prop_assert_eq!(left.iter().any(is_in), is_in(&whole) && !holes.iter().any(is_in));
    }

    #[test]
    fn cidrs_of_a_range_are_exact(interval in any_interval()) {
        let nets = interval.to_nets();
        prop_assert_eq!(nets.first().map(Ipv6Net::network), Some(interval.first));
        prop_assert_eq!(nets.last().map(Ipv6Net::broadcast), Some(interval.last));
        for pair in nets.windows(2) {
            prop_assert_eq!(pair[0].broadcast().to_bits() + 1, pair[1].network().to_bits());
        }
    }
}
