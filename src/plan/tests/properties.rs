//! Whatever the prefixes and parts are.

use proptest::prelude::*;

use super::objects::{annotated, bind, pool, reference};
use super::*;
use crate::config::{Binding, Kind};
use crate::plan::{Catalogue, object, overlaps};
use crate::prefix::Interval;

const NAMES: [&str; 4] = ["r0", "r1", "s0", "s1"];

/// Few prefixes, some inside others, so that they meet.
fn prefix() -> impl Strategy<Value = Ipv6Net> {
    (0..4_u128, 48..=66_u8).prop_map(|(number, length)| {
        let bits = net("2001:db8::/32").network().to_bits() | (number << 62);
        Ipv6Net::new(Ipv6Addr::from_bits(bits), length).expect("at most 66").trunc()
    })
}

fn host() -> impl Strategy<Value = Ipv6Addr> {
    prop_oneof![0..40_u128, 0..(1_u128 << 66), any::<u128>()].prop_map(Ipv6Addr::from_bits)
}

fn config() -> impl Strategy<Value = DynamicPrefix> {
    let range = |name: &'static str| {
        (host(), host()).prop_map(move |(a, b)| AddressRange { name: name.into(), start: a.min(b), end: a.max(b) })
    };
    let place = prop_oneof![
        prop_oneof![0..8_u128, any::<u128>()].prop_map(Place::Offset),
        (0..20_u128, 60..128_u32).prop_map(|(n, shift)| Place::Offset(n.wrapping_shl(shift))),
        proptest::collection::btree_set(0..40_u128, 1..4).prop_map(|set| Place::Index(set.into_iter().collect())),
    ];
    let subnet = (place, 48..=128_u8);
    (range("r0"), range("r1"), subnet.clone(), subnet).prop_map(|(r0, r1, s0, s1)| {
        let subnet = |name: &str, (place, prefix_length)| Subnet { name: name.into(), place, prefix_length };
        dynamic_prefix("home", vec![r0, r1], vec![subnet("s0", s0), subnet("s1", s1)])
    })
}

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let excluded = proptest::collection::vec(
        (0..4_u128).prop_map(|n| {
            Ipv6Net::new(Ipv6Addr::from_bits(net("2001:db8::/32").network().to_bits() | (n << 62)), 67).expect("67")
        }),
        0..2,
    );
    (proptest::option::of((prefix(), excluded)), proptest::collection::vec((prefix(), any::<bool>()), 0..4)).prop_map(
        |(now, history)| Snapshot {
            current: now.map(|(prefix, excluded)| Current { excluded, ..current(prefix) }),
            history: history
                .into_iter()
                .map(|(prefix, expired)| {
                    previous(prefix, if expired { PreviousState::Expired } else { PreviousState::Draining })
                })
                .collect(),
        },
    )
}

fn parts() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::subsequence(NAMES.to_vec(), 1..4).prop_map(|names| names.join(",")),
        1 => Just("*".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_block_lies_inside_its_prefix_and_outside_what_is_excluded(config in config(), snapshot in any_snapshot()) {
        let catalogue = Catalogue::compute(&[config], &snapshots(&[("home", snapshot.clone())]));
        let generations = &catalogue.dynamic_prefixes["home"].generations;
        let excluded = snapshot.current.as_ref().map(|current| current.excluded.clone()).unwrap_or_default();
        for (index, generation) in generations.iter().enumerate() {
            let blocks = generation.parts.values().flatten().flatten().chain(&generation.whole);
            for interval in blocks.map(Block::interval) {
                prop_assert!(Interval::from(generation.prefix).contains(&interval), "{interval} in {}", generation.prefix);
                let touched = excluded.iter().any(|net| Interval::from(*net).overlaps(&interval));
                prop_assert!(!(touched && index == 0 && snapshot.current.is_some()), "{interval} touches {excluded:?}");
            }
        }
    }

    #[test]
    fn same_input_same_plan_and_pools_are_disjoint(
        config in config(),
        snapshot in any_snapshot(),
        bound in proptest::collection::vec(parts(), 1..4),
    ) {
        let catalogue = Catalogue::compute(std::slice::from_ref(&config), &snapshots(&[("home", snapshot.clone())]));
        prop_assert_eq!(&catalogue, &Catalogue::compute(&[config], &snapshots(&[("home", snapshot)])));
        for kind in Kind::ALL {
            let target = reference(kind, "t");
            let bindings: Vec<Binding> = bound.iter().enumerate().map(|(n, parts)| bind(&format!("b{n}"), &target, parts)).collect();
            let want = object(&target, &BTreeMap::new(), &bindings, true, &catalogue);
            prop_assert_eq!(&want, &object(&target, &BTreeMap::new(), &bindings, true, &catalogue));
            let want = want.expect("bound");
            let intervals: Vec<Interval> = want.blocks(kind).iter().map(Block::interval).collect();
            for (index, interval) in intervals.iter().enumerate() {
                let others = &intervals[..index];
                prop_assert!(!kind.is_pool() || !others.iter().any(|other| other.overlaps(interval)), "{intervals:?}");
                prop_assert!(!others.contains(interval), "{intervals:?}");
            }
        }
    }

    /// A list holds exactly the addresses that were contributed to it, whatever is cut, merged or split on the way.
    #[test]
    fn a_list_holds_what_was_contributed(config in config(), snapshot in any_snapshot(), parts in parts()) {
        let catalogue = Catalogue::compute(&[config], &snapshots(&[("home", snapshot)]));
        for kind in Kind::ALL {
            let target = reference(kind, "t");
            let want = object(&target, &BTreeMap::new(), &[bind("b", &target, &parts)], true, &catalogue).expect("bound");
            let crate::plan::Contribution::Blocks(contributed) = &want.contributions[0].1 else { continue };
            let written = want.blocks(kind);
            let within = |some: &[Block], all: &[Block]| {
                some.iter().all(|block| block.interval().without(all.iter().map(Block::interval)).is_empty())
            };
            prop_assert!(within(contributed, &written) && within(&written, contributed));
        }
    }

    /// After the losers are left out, no two pools want the same current address.
    #[test]
    fn no_overlap_is_overlooked(config in config(), now in prefix(), pools in proptest::collection::vec(parts(), 1..5)) {
        let snapshot = Snapshot { current: Some(current(now)), history: Vec::new() };
        let catalogue = Catalogue::compute(&[config], &snapshots(&[("home", snapshot)]));
        let wants: Vec<_> = pools.iter().enumerate().filter(|(_, parts)| *parts != "*").map(|(n, parts)| {
            let target = pool(&format!("p{n}"));
            let annotations = annotated(&[("name", "home"), ("subnet", parts)]);
            let want = object(&target, &annotations, &[], true, &catalogue).expect("ours");
            (target, want)
        }).collect();
        let lost: Vec<_> = overlaps(&wants).into_iter().map(|(object, _)| object).collect();
        let kept = wants.iter().filter(|(object, _)| !lost.contains(object));
        let mut all: Vec<Interval> = kept.flat_map(|(_, want)| want.blocks(Kind::CiliumLoadBalancerIPPool)).map(|b| b.interval()).collect();
        all.sort();
        prop_assert!(all.is_sorted_by(|a, b| a.last() < b.first()), "{all:?}");
    }
}
