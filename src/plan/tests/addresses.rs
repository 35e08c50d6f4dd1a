//! Host parts of Services and the addresses that they make: table D of peers.md §1.8.
//!
//! D15 and D16 (what is no prefix) cannot be written here: a snapshot holds prefixes only, and the filter refuses the
//! others (`src/prefix/tests.rs`). D11 (how many former ones) is the arbiter's. D17 to D31, D37 and on are about what
//! stands on the object.

use proptest::prelude::*;

use super::services::{entry, front, part, ranges};
use super::*;
use crate::config::{Mode, Part};
use crate::plan::{Catalogue, EntryError, Role, ServiceWant, service};
use crate::prefix::Interval;

fn catalogue(snapshot: Snapshot) -> Catalogue {
    Catalogue::compute(&[ranges("home", Mode::Ha)], &snapshots(&[("home", snapshot)]))
}

fn want(names: &str, suffix: Option<&str>) -> ServiceWant {
    let catalogue = catalogue(snapshot("2001:db8:ffff::/48", &[]));
    service(&front(), &BTreeMap::new(), &[entry("home", names, suffix)], true, &catalogue).expect("it has an entry")
}

/// The current address for a suffix anywhere in a prefix.
fn anywhere(prefix: &str, suffix: &str) -> Result<Ipv6Addr, EntryError> {
    let catalogue = catalogue(Snapshot { current: Some(current(net(prefix))), history: Vec::new() });
    let want = want("*", Some(suffix));
    let host = want.host_part(&catalogue, None, &[]).expect("the suffix");
    want.current_address(&catalogue, host).expect("there is a prefix")
}

/// The current address, then the former ones.
fn all(want: &ServiceWant, catalogue: &Catalogue, holds: &[&str]) -> Vec<Ipv6Addr> {
    let holds: Vec<Ipv6Addr> = holds.iter().map(|held| address(held)).collect();
    let host = want.host_part(catalogue, None, &holds).expect("a host part");
    let now = want.current_address(catalogue, host).into_iter().map(|now| now.expect("it has a place"));
    now.chain(want.former_addresses(catalogue, host)).collect()
}

fn addresses(of: &[&str]) -> Vec<Ipv6Addr> {
    of.iter().map(|text| address(text)).collect()
}

#[test]
fn d1_to_d12_prefix_and_suffix() {
    for (id, prefix, suffix, expected) in [
        ("D1", "2001:db8:1::/48", "::ffff:0:2", "2001:db8:1::ffff:0:2"),
        ("D3", "2001:db8:abcd:100::/56", "::ffff:0:10", "2001:db8:abcd:100:0:ffff:0:10"),
        ("D4", "2001:db8:1:2::/64", "::1", "2001:db8:1:2::1"),
        ("D7", "2001:db8:abcd::/48", "::", "2001:db8:abcd::"),
        ("D8", "2001:db8::/32", "::ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("D12", "2001:db8:1:2::/64", "::dead:beef", "2001:db8:1:2::dead:beef"),
    ] {
        assert_eq!(anywhere(prefix, suffix), Ok(address(expected)), "{id}");
    }
}

/// Peers cut the suffix ::ffff to nothing in 2001:db8::1/128; design.md §2: "never silently cut".
#[test]
fn d6_bits_inside_the_prefix_are_an_error() {
    for (prefix, suffix) in
        [("2001:db8::1/128", "::ffff"), ("2001:db8::/64", "::1:0:0:0:0"), ("2001:db8::/64", "2001:db8::1")]
    {
        let error = anywhere(prefix, suffix).expect_err(suffix);
        assert_eq!(error.entry, "suffix");
        let bits = format!("The host part {} has bits inside the prefix part of {prefix}", address(suffix));
        assert!(error.message.starts_with(&bits), "{}", error.message);
    }
}

#[test]
fn d9_d10_former_prefixes_newest_first() {
    let now = catalogue(snapshot("2001:db8:abcd:100::/56", &["2001:db8:abcd:200::/56"]));
    let expected = addresses(&["2001:db8:abcd:100:0:ffff:0:2", "2001:db8:abcd:200:0:ffff:0:2"]);
    assert_eq!(all(&want("*", Some("::ffff:0:2")), &now, &[]), expected, "D9");

    let former = ["2001:db8:abcd:200::/56", "2001:db8:abcd:300::/56", "2001:db8:abcd:400::/56"];
    let now = catalogue(snapshot("2001:db8:abcd:100::/56", &former));
    let expected: Vec<Ipv6Addr> = (1..=4).map(|n| address(&format!("2001:db8:abcd:{n}00::1"))).collect();
    assert_eq!(all(&want("*", Some("::1")), &now, &[]), expected, "D10");
}

/// D31: with another suffix, none of the addresses of the old one is asked for.
#[test]
fn d31_another_suffix_is_another_address() {
    let now = catalogue(snapshot("2001:db8:abcd:100::/56", &["2001:db8:abcd:200::/56"]));
    let held = ["2001:db8:abcd:100:0:ffff:0:2", "2001:db8:abcd:200:0:ffff:0:2"];
    let expected = addresses(&["2001:db8:abcd:100:0:ffff:0:8", "2001:db8:abcd:200:0:ffff:0:8"]);
    assert_eq!(all(&want("*", Some("::ffff:0:8")), &now, &held), expected);
}

/// D32, with and without a range (PKizzle infers nothing where a range is named: peers §1.2.4).
#[test]
fn d32_an_address_in_the_old_prefix_is_followed_to_the_new_one() {
    let now = catalogue(snapshot("2001:db8:3::/48", &["2001:db8:2::/48"]));
    for names in ["*", "lb", "web,lb"] {
        let expected = addresses(&["2001:db8:3:0:f000::10", "2001:db8:2:0:f000::10"]);
        assert_eq!(all(&want(names, None), &now, &["2001:db8:2:0:f000::10"]), expected, "{names}");
    }
}

/// D34; D36 counts from the start of the range, which is the same address: 0x0f after ::f000:0:0:1 is ::f000:0:0:10.
#[test]
fn d34_d36_the_same_place_in_the_former_range() {
    let now = catalogue(snapshot("2001:db8:1::/48", &["2001:db8:2::/48"]));
    let expected = addresses(&["2001:db8:1:0:f000::10", "2001:db8:2:0:f000::10"]);
    assert_eq!(all(&want("lb", None), &now, &["2001:db8:1:0:f000::10"]), expected);
}

/// Before it holds anything of ours, it is left to the allocator. Peers would take any address, even IPv4.
#[test]
fn no_address_in_the_range_no_host_part() {
    let now = catalogue(snapshot("2001:db8:1::/48", &["2001:db8:2::/48"]));
    for held in [&[][..], &["2001:db8:1::e001"], &["2001:db8:3:0:f000::10"], &["fd00::f000:0:0:10"]] {
        assert_eq!(want("lb", None).host_part(&now, None, &addresses(held)), None, "{held:?}");
    }
    assert_eq!(want("*", None).host_part(&Catalogue::default(), None, &addresses(&["2001:db8:1::1"])), None);
}

#[test]
fn suffix_before_record_before_what_it_holds_newest_prefix_first() {
    let mut of = snapshot("2001:db8:4::/48", &["2001:db8:3::/48", "2001:db8:2::/48"]);
    of.history.push(previous(net("2001:db8:1::/48"), PreviousState::Expired));
    let now = catalogue(of);
    let held =
        addresses(&["2001:db8:1:0:f000::1", "2001:db8:2:0:f000::2", "2001:db8:3:0:f000::3", "2001:db8:4:0:f000::4"]);
    for count in 1..=4_usize {
        let host = want("lb", None).host_part(&now, None, &held[..count]);
        assert_eq!(host, Some(address(&format!("::f000:0:0:{count}"))), "the newest of {count}");
    }
    let recorded = Some(address("::f000:0:0:8"));
    assert_eq!(want("lb", None).host_part(&now, recorded, &held), recorded);
    assert_eq!(want("lb", Some("::f000:0:0:9")).host_part(&now, recorded, &held), Some(address("::f000:0:0:9")));
    let two = addresses(&["2001:db8:4:0:f000::7", "2001:db8:4:0:f000::5"]);
    assert_eq!(want("lb", None).host_part(&now, None, &two), Some(address("::f000:0:0:5")), "not their order decides");
}

fn refused(want: &ServiceWant, prefix: &str, host: &str) -> String {
    let now = catalogue(snapshot(prefix, &[]));
    let error = want.current_address(&now, address(host)).expect("there is a prefix").expect_err(host);
    assert_eq!(error.entry, "suffix");
    error.message
}

#[test]
fn outside_its_range_is_an_error_that_names_the_range() {
    for host in ["::f000:0:0:0", "::f000:0:0:100", "::e001", "::"] {
        let message = refused(&want("lb", Some(host)), "2001:db8:1::/48", host);
        assert!(message.contains("outside \"lb\" (2001:db8:1:0:f000::1-2001:db8:1:0:f000::ff)"), "{message}");
        assert!(message.contains("Write a suffix from ::f000:0:0:1 to ::f000:0:0:ff, or name another"), "{message}");
    }
    let message = refused(&want("lb", None), "2001:db8:1::/48", "::e001");
    assert!(message.contains("kept from the address that the Service had"), "nobody wrote a suffix: {message}");
    assert!(
        message.contains("dynamic-prefix.io/suffix") && message.contains("::f000:0:0:1 to ::f000:0:0:ff"),
        "{message}"
    );
    // Between the two subnets.
    let message = refused(&want("pods", Some("::2:0:0:1")), "2001:db8:1::/48", "::2:0:0:1");
    assert!(message.contains("::1:0:0:0 to ::1:ffff:ffff:ffff, ::3:0:0:0 to ::3:ffff:ffff:ffff"), "{message}");
    let both = want("web,pods", None);
    let now = catalogue(snapshot("2001:db8:1::/48", &[]));
    for host in ["::e001", "::e003", "::1:0:0:0", "::3:ffff:ffff:ffff"] {
        assert!(both.current_address(&now, address(host)).is_some_and(|found| found.is_ok()), "{host}");
    }
}

/// A subnet that has no room in this prefix does not take the range beside it down.
#[test]
fn a_neighbour_in_error_is_no_obstacle() {
    let now = catalogue(snapshot("2001:db8:2:3::/96", &["2001:db8:1::/48"]));
    let both = want("pods,web", None);
    let held = addresses(&["2001:db8:2:3::e002"]);
    assert_eq!(both.host_part(&now, None, &held), Some(address("::e002")));
    assert_eq!(both.current_address(&now, address("::e002")), Some(Ok(held[0])));
    let error = both.current_address(&now, address("::1:0:0:1")).expect("there is a prefix").expect_err("no room");
    assert_eq!(error.entry, "subnets[pods]", "it would lie there: {}", error.message);
}

#[test]
fn a_part_that_the_server_excludes_is_no_place() {
    let excluded = vec![net("2001:db8:1:0:f000::/124"), net("2001:db8:1:8::/64")];
    let now = catalogue(Snapshot {
        current: Some(Current { excluded, ..current(net("2001:db8:1::/48")) }),
        history: Vec::new(),
    });
    let ask = |names: &str, host: &str| want(names, Some(host)).current_address(&now, address(host)).expect("a prefix");
    for (names, host) in [("lb", "::f000:0:0:f"), ("*", "::f000:0:0:f"), ("*", "::8:0:0:0:1"), ("lb", "::8:0:0:0:1")] {
        let message = ask(names, host).expect_err(host).message;
        assert!(message.contains("a part of 2001:db8:1::/48 that the server excludes from use"), "{message}");
    }
    assert_eq!(ask("lb", "::f000:0:0:10"), Ok(address("2001:db8:1:0:f000::10")));
    assert_eq!(ask("*", "::7:ffff:ffff:ffff:ffff"), Ok(address("2001:db8:1:7:ffff:ffff:ffff:ffff")));
    let all = vec![net("2001:db8:1::/48")];
    let nothing = catalogue(Snapshot {
        current: Some(Current { excluded: all, ..current(net("2001:db8:1::/48")) }),
        history: Vec::new(),
    });
    let error = want("*", None).current_address(&nothing, address("::1")).expect("a prefix").expect_err("all of it");
    assert_eq!((&*error.entry, &*error.message), ("whole", "The server excludes all of 2001:db8:1::/48 from use."));
    let held = addresses(&["2001:db8:1:0:f000::f"]);
    assert_eq!(want("lb", None).host_part(&now, None, &held), None, "what lies there is not ours");
}

#[test]
fn generations_of_other_lengths_count_from_their_own_start() {
    let longer = catalogue(snapshot("2001:db8:1:200::/56", &["2001:db8:2:3::/64"]));
    let expected = addresses(&["2001:db8:1:200:f000::10", "2001:db8:2:3:f000::10"]);
    assert_eq!(all(&want("lb", None), &longer, &["2001:db8:2:3:f000::10"]), expected, "/64 to /56");

    let shorter = catalogue(snapshot("2001:db8:2:3::/64", &["2001:db8:1:200::/56"]));
    let somewhere = want("*", None);
    let host = somewhere.host_part(&shorter, None, &addresses(&["2001:db8:1:205::10"]));
    assert_eq!(host, Some(address("0:0:0:5::10")));
    let now = somewhere.current_address(&shorter, address("0:0:0:5::10")).expect("there is a prefix");
    assert!(now.expect_err("no room").message.contains("has bits inside the prefix part of 2001:db8:2:3::/64"));
    assert_eq!(somewhere.former_addresses(&shorter, address("0:0:0:5::10")), addresses(&["2001:db8:1:205::10"]));
    let longest = catalogue(snapshot("2001:db8:2:3::/64", &["2001:db8:1:200::/56", "2001:db8:7::/80"]));
    assert_eq!(want("lb", None).former_addresses(&longest, address("::f000:0:0:10")).len(), 1, "none in the /80");
}

#[test]
fn no_current_prefix_no_address() {
    let host = address("::f000:0:0:10");
    let withdrawn =
        catalogue(Snapshot { history: snapshot("2001:db8:1::/48", &["2001:db8:2::/48"]).history, current: None });
    assert_eq!(want("lb", None).current_address(&withdrawn, host), None);
    assert_eq!(want("lb", None).former_addresses(&withdrawn, host), addresses(&["2001:db8:2:0:f000::10"]));
    let mute = Catalogue::compute(&[ranges("home", Mode::Ha)], &BTreeMap::new());
    assert_eq!(want("lb", None).current_address(&mute, host), None);
}

/// A place in a part: lb, web, a subnet or anywhere.
fn place() -> impl Strategy<Value = (Part, u128)> {
    prop_oneof![
        (1..=0xff_u128).prop_map(|n| ("lb", (0xf000 << 48) | n)),
        (0xe001..=0xe003_u128).prop_map(|n| ("web", n)),
        (prop_oneof![Just(1_u128), Just(3)], 0..1_u128 << 48).prop_map(|(index, n)| ("pods", (index << 48) | n)),
        (0..1_u128 << 64).prop_map(|n| ("*", n)),
    ]
    .prop_map(|(names, host)| (part(names), host))
}

fn prefix() -> impl Strategy<Value = Ipv6Net> {
    (any::<u32>(), 48..=64_u8).prop_map(|(bits, length)| {
        let network = (0x2001_0db8_u128 << 96) | (u128::from(bits) << 64);
        Ipv6Net::new(Ipv6Addr::from_bits(network), length).expect("at most 64").trunc()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_address_lies_in_its_part_and_gives_its_host_part_back((part, host) in place(), prefix in prefix()) {
        let now = catalogue(Snapshot { current: Some(current(prefix)), history: Vec::new() });
        let want = ServiceWant { part: part.clone(), ..want("*", None) };
        let host = Ipv6Addr::from_bits(host);
        let made = want.current_address(&now, host).expect("there is a prefix").expect("it has a place");
        prop_assert!(prefix.contains(&made));
        let generation = now.dynamic_prefixes["home"].current().expect("there is one");
        let blocks: Vec<Block> = match &part {
            Part::Whole => generation.whole.clone(),
            Part::Named(names) => names.iter().flat_map(|name| generation.part(name).expect("it fits").to_vec()).collect(),
        };
        let single = Interval::new(made, made).expect("one address");
        prop_assert!(blocks.iter().any(|block| block.interval().contains(&single)));
        prop_assert_eq!(want.host_part(&now, None, &[made]), Some(host));
    }

    /// Any host part at all gives an address with exactly these bits in the part, or an error.
    #[test]
    fn no_host_part_is_cut((part, _) in place(), host in any::<u128>(), shift in 0..128_u32, prefix in prefix()) {
        let host = host >> shift;
        let now = catalogue(Snapshot { current: Some(current(prefix)), history: Vec::new() });
        let want = ServiceWant { part, ..want("*", None) };
        match want.current_address(&now, Ipv6Addr::from_bits(host)).expect("there is a prefix") {
            Ok(made) => {
                prop_assert_eq!(made.to_bits(), prefix.network().to_bits() + host);
                prop_assert_eq!(want.host_part(&now, None, &[made]), Some(Ipv6Addr::from_bits(host)));
            }
            Err(error) => prop_assert!(want.part != Part::Whole || prefix.hostmask().to_bits() < host, "{}", error.message),
        }
    }

    /// However the prefix moves, a Service keeps its host part for as long as any generation knows its address.
    #[test]
    fn a_service_keeps_its_host_part_over_rotations((part, host) in place(), prefixes in proptest::collection::vec(prefix(), 1..6)) {
        let mut known: Vec<Ipv6Net> = Vec::new();
        for prefix in prefixes {
            if !known.iter().any(|other| other.contains(&prefix) || prefix.contains(other)) {
                known.push(prefix);
            }
        }
        let want = ServiceWant { part, ..want("*", None) };
        let host = Ipv6Addr::from_bits(host);
        let first = Ipv6Addr::from_bits(known[known.len() - 1].network().to_bits() | host.to_bits());
        let mut history: Vec<Previous> = known[1..].iter().map(|net| previous(*net, PreviousState::Draining)).collect();
        history.iter_mut().skip(2).for_each(|previous| previous.state = PreviousState::Expired);
        let now = catalogue(Snapshot { current: Some(current(known[0])), history });
        prop_assert_eq!(want.host_part(&now, None, &[first]), Some(host));
        let current = want.current_address(&now, host).expect("there is a prefix").expect("it has a place");
        let former = want.former_addresses(&now, host);
        prop_assert_eq!(former.len(), known.len() - 1);
        for made in std::iter::once(&current).chain(&former) {
            prop_assert_eq!(want.host_part(&now, None, &[*made]), Some(host));
        }
        prop_assert_eq!(former.last().copied().unwrap_or(current), first);
        prop_assert!(now.dynamic_prefixes["home"].generations[1..].iter().all(|generation| generation.role != Role::Current));
    }
}
