//! Whatever happens, in whatever order.

use std::net::IpAddr;

use proptest::prelude::*;

use super::super::Allocator;
use super::scenarios::{MINUTE, scene, service};
use super::world::World;
use crate::config::Mode;

#[derive(Clone, Debug)]
enum Trouble {
    Rotate(char, bool),
    Crash(u64),
    Down(u64),
    Silent(u64),
    Restart,
    Create(Option<u128>),
    Delete(usize),
    Suffix(usize, Option<u128>),
    SkipDns(usize, bool),
    Hostname(usize),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        6 => (proptest::char::range('A', 'D'), any::<bool>()).prop_map(|(letter, dead)| Trouble::Rotate(letter, dead)),
        2 => (0..100_000_u64).prop_map(Trouble::Crash),
        1 => (0..4 * 60 * MINUTE).prop_map(Trouble::Down),
        1 => (0..10 * MINUTE).prop_map(Trouble::Silent),
        1 => Just(Trouble::Restart),
        2 => proptest::option::of(0x1028..0x1038_u128).prop_map(Trouble::Create),
        1 => (0..16_usize).prop_map(Trouble::Delete),
        1 => (0..6_usize, proptest::option::of(0x1038..0x103f_u128)).prop_map(|(of, to)| Trouble::Suffix(of, to)),
        1 => (0..9_usize, any::<bool>()).prop_map(|(of, skip)| Trouble::SkipDns(of, skip)),
        1 => (0..9_usize).prop_map(Trouble::Hostname),
    ]
}

/// Mostly close together, sometimes in the middle or at the end of a drain.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..100_u64, 2 => 100..5000_u64, 1 => 59 * MINUTE..63 * MINUTE, 1 => 0..120 * MINUTE]
}

fn layout() -> impl Strategy<Value = (Allocator, Mode)> {
    prop_oneof![
        4 => Just((Allocator::Cilium, Mode::Ha)),
        1 => Just((Allocator::MetalLb, Mode::Ha)),
        1 => Just((Allocator::Cilium, Mode::Simple)),
    ]
}

impl World {
    fn suffer(&mut self, trouble: &Trouble, number: usize) {
        match trouble.clone() {
            Trouble::Rotate(letter, _) if self.lines[0].current() == Some(letter) => {}
            Trouble::Rotate(letter, dead) => self.rotate(0, Some(letter), dead),
            Trouble::Crash(pause) => self.crash(pause),
            Trouble::Down(pause) => self.ours.down_until = self.now + pause,
            Trouble::Silent(pause) => {
                self.cilium.silent_until = self.now + pause;
                self.metallb.silent_until = self.now + pause;
            }
            Trouble::Restart => self.restart_cilium(),
            Trouble::Create(suffix) => {
                let taken = self.services.values().any(|other| suffix.is_some() && other.suffix == suffix);
                let allocator = self.services.values().next().map_or(Allocator::Cilium, |other| other.allocator);
                let new = service(allocator, suffix.map(|_| 0));
                self.create(100 + number, super::world::Service { suffix: suffix.filter(|_| !taken), ..new });
            }
            Trouble::Delete(number) => self.delete(number),
            Trouble::Suffix(number, suffix) => {
                let taken = self.services.values().any(|other| suffix.is_some() && other.suffix == suffix);
                self.edit(number, |service| service.suffix = suffix.filter(|_| !taken).or(service.suffix));
            }
            Trouble::SkipDns(number, skip) => self.edit(number, |service| service.skip_dns = skip),
            Trouble::Hostname(number) if self.services.contains_key(&number) => {
                let name = "www.example.org".to_owned();
                if self.books.users_targets.insert(number, vec![name.clone()]).is_none() {
                    self.edit(number, |service| service.notes.target.insert(0, name));
                }
            }
            Trouble::Hostname(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_whatever_happens(
        seed in any::<u64>(),
        (allocator, mode) in layout(),
        troubles in proptest::collection::vec((pause(), trouble()), 1..8),
    ) {
        let mut world = scene(seed, allocator, mode);
        let mut at = world.now;
        for (number, (pause, trouble)) in troubles.into_iter().enumerate() {
            at += pause;
            world.at(at, move |world| world.suffer(&trouble, number));
        }
        world.run();
        // The last word: everybody has one address, in the current prefix, and the pool no other.
        let prefix = world.lines[0].prefix(world.lines[0].current().expect("one"));
        for service in world.services.values() {
            let in_it = service.status.iter().filter(|held| matches!(held, IpAddr::V6(held) if prefix.contains(held)));
            prop_assert_eq!(in_it.count(), service.v6().len(), "{}", world.story());
            prop_assert!(!service.v6().is_empty(), "{}", world.story());
        }
        prop_assert!(world.pools.values().all(|pool| pool.list.len() == 1), "{}", world.story());
    }
}
