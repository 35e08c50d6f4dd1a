//! Rotations as they go when nothing is in the way, in every layout.

use std::net::Ipv4Addr;

use super::super::Allocator;
use super::world::{Generation, Id, Line, Notes, Pool, Service, World};
use crate::config::Mode;
use crate::plan::Role;

pub(super) const MINUTE: u64 = 60_000;

/// The number of our pool. One with a lower number is older.
pub(super) const OURS: usize = 10;

/// Number of seeds that each scenario is played with.
pub(super) const SEEDS: u64 = 4;

pub(super) fn line(number: usize, mode: Mode) -> Line {
    Line {
        number,
        mode,
        ranges: vec![(0x1000, 0x103f)],
        generations: vec![Generation { letter: 'A', role: Role::Current, dead: false, since: 0 }],
        drain: Some(60 * MINUTE),
        history: 2,
    }
}

pub(super) fn pool(allocator: Allocator, bound: &[(usize, usize)]) -> Pool {
    Pool {
        version: 1,
        generation: 1,
        allocator,
        bound: bound.to_vec(),
        list: Vec::new(),
        recorded: Vec::new(),
        selector: None,
        observed: 0,
        conflict: false,
    }
}

pub(super) fn service(allocator: Allocator, line: Option<usize>) -> Service {
    Service {
        version: 1,
        allocator,
        line,
        suffix: None,
        skip_dns: false,
        label: 0,
        sharing_key: None,
        v4: None,
        notes: Notes::default(),
        status: Vec::new(),
        unsatisfied: None,
        forbidden: false,
    }
}

impl World {
    pub(super) fn create(&mut self, number: usize, service: Service) {
        self.services.insert(number, service);
        self.changed(Id::Service(number));
    }

    pub(super) fn create_pool(&mut self, number: usize, pool: Pool) {
        self.pools.insert(number, pool);
        self.changed(Id::Pool(number));
    }
}

/// One pool, and Services of every kind: 0-3 by annotation, 4 and 5 by suffix, 6 dual stack, 7 and 8 share an address,
/// 10-15 nobody's.
pub(super) fn scene(seed: u64, allocator: Allocator, mode: Mode) -> World {
    let mut world = World::new(seed);
    world.lines.push(line(0, mode));
    world.create_pool(OURS, pool(allocator, &[(0, 0)]));
    for number in 0..16 {
        let managed = number < 10 && number != 9;
        let mut new = service(allocator, managed.then_some(0));
        new.suffix = [(4, 0x1002), (5, 0x1020)].iter().find(|(of, _)| *of == number).map(|(_, suffix)| *suffix);
        new.v4 = (number == 6 || number == 14).then(|| Ipv4Addr::new(192, 0, 2, u8::try_from(number).expect("small")));
        if number == 7 || number == 8 {
            new.sharing_key = Some(1);
            new.suffix = Some(0x1008);
        }
        let at = 1100 + 10 * u64::try_from(number).expect("small");
        // Those with a wish come first and one by one: nothing keeps an address for one that has not come yet.
        let at = if new.suffix.is_some() { at * 10 } else { at + 40_000 };
        world.at(at, move |world| world.create(number, new));
    }
    world.crash(0);
    world.run();
    world.check_rest();
    world
}

/// How often a pool and a Service were written at most since the last rotation.
pub(super) fn most_writes(world: &World) -> (u32, u32) {
    let most = |is_pool: bool| {
        let of = world.books.writes.iter().filter(|(id, _)| matches!(id, Id::Pool(_)) == is_pool);
        of.map(|(_, count)| *count).max().unwrap_or(0)
    };
    (most(true), most(false))
}

/// How often the pool and a Service were written in a rotation from A to B.
fn rotation(seed: u64, allocator: Allocator, mode: Mode, dead: bool) -> (World, (u32, u32)) {
    let mut world = scene(seed, allocator, mode);
    world.at(world.now + 1000, move |world| world.rotate(0, Some('B'), dead));
    world.run();
    world.check_rest();
    let writes = most_writes(&world);
    (world, writes)
}

#[test]
fn a_rotation_takes_three_writes_of_a_service_and_three_of_a_pool() {
    for seed in 0..SEEDS {
        for dead in [false, true] {
            let (world, writes) = rotation(seed, Allocator::Cilium, Mode::Ha, dead);
            assert_eq!(writes, (3, 3), "{}", world.story());
        }
    }
}

/// The pool gets the new range and is narrowed in one write, after the addresses of those with a suffix. Such a one has
/// the new address before it gives up the old one.
#[test]
fn simple_takes_two_writes_of_a_service() {
    for seed in 0..SEEDS {
        for dead in [false, true] {
            let (world, writes) = rotation(seed, Allocator::Cilium, Mode::Simple, dead);
            assert_eq!(writes, (3, 2), "{}", world.story());
        }
    }
}

/// MetalLB moves a Service with one write; DNS is told with the next. In between it names what the Service had.
#[test]
fn metallb_takes_two_writes_of_a_service() {
    for seed in 0..SEEDS {
        let (world, writes) = rotation(seed, Allocator::MetalLb, Mode::Ha, false);
        assert_eq!(writes, (3, 2), "{}", world.story());
        // Nobody is slower than this to look and then to write.
        assert!(world.books.longest_gap > 0 && world.books.longest_gap <= 2 * 1700, "{}", world.story());
        let (world, writes) = rotation(seed, Allocator::MetalLb, Mode::Simple, true);
        assert_eq!(writes, (2, 1), "{}", world.story());
    }
}

/// Nobody is on his way, so there is nothing to keep the old range for.
#[test]
fn a_dead_prefix_leaves_in_the_write_that_brings_its_successor() {
    for seed in 0..SEEDS {
        for mode in [Mode::Simple, Mode::Ha] {
            let mut world = scene(seed, Allocator::Cilium, mode);
            for number in 0..9 {
                world.at(world.now + 10, move |world| world.delete(number));
            }
            world.at(world.now + 10_000, |world| world.rotate(0, Some('B'), true));
            world.run();
            world.check_rest();
            assert_eq!(most_writes(&world), (1, 0), "{}", world.story());
        }
    }
}

#[test]
fn back_to_the_former_prefix() {
    for seed in 0..SEEDS {
        for (pause, dead) in
            [(1, false), (20, false), (60, false), (30 * MINUTE, false), (200 * MINUTE, false), (50, true)]
        {
            let (mut world, _) = rotation(seed, Allocator::Cilium, Mode::Ha, false);
            world.at(world.now + 1, |world| world.rotate(0, Some('C'), false));
            world.at(world.now + 1 + pause, move |world| world.rotate(0, Some('B'), dead));
            world.run();
            world.check_rest();
        }
    }
}

#[test]
fn without_a_limit_by_time_history_ends_the_drain() {
    for seed in 0..SEEDS {
        let mut world = scene(seed, Allocator::Cilium, Mode::Ha);
        world.lines[0].drain = None;
        for (number, letter) in ('B'..='F').enumerate() {
            let at = world.now + 1000 + 5 * MINUTE * u64::try_from(number).expect("small");
            world.at(at, move |world| world.rotate(0, Some(letter), false));
        }
        world.run();
        let held: Vec<_> = world.services[&0].v6().iter().filter_map(|held| world.lines[0].of(*held)).collect();
        let mut letters: Vec<char> = held.iter().map(|known| known.letter).collect();
        letters.sort_unstable();
        assert_eq!(letters, ['D', 'E', 'F'], "{}", world.story());
        world.at(world.now + 1, |world| {
            world.lines[0].history = 0;
            world.lines[0].age();
        });
        world.run();
        world.check_rest();
    }
}

/// The pool has two DynamicPrefixes, and a second pool has another range of the first.
#[test]
fn several_of_everything() {
    for seed in 0..SEEDS {
        for allocator in [Allocator::Cilium, Allocator::MetalLb] {
            let mut world = scene(seed, allocator, Mode::Ha);
            world.lines.push(line(1, Mode::Ha));
            world.lines[0].ranges.push((0x2000, 0x201f));
            world.edit_pool(OURS, |pool| pool.bound.push((1, 0)));
            world.create_pool(OURS + 1, pool(allocator, &[(0, 1)]));
            for (number, of, suffix) in [(20, 1, 0x1010), (21, 1, 0x1000), (22, 0, 0x2003), (23, 0, 0x2000)] {
                let new = Service { suffix: Some(suffix), ..service(allocator, Some(of)) };
                world.at(world.now + 100, move |world| world.create(number, new));
            }
            world.run();
            world.check_rest();
            let at = world.now + 1000;
            // Close to each other, but so that not both drains end in the same moment.
            world.at(at, |world| world.rotate(0, Some('B'), false));
            world.lines[1].drain = Some(30 * MINUTE);
            let pause = world.draw(100);
            world.at(at + pause, |world| world.rotate(1, Some('B'), false));
            world.at(at + 20 * MINUTE, |world| world.rotate(1, Some('C'), true));
            world.run();
            world.check_rest();
        }
    }
}

/// While the prefix changes, Services come: nobody's, with a suffix, and with the annotation alone.
#[test]
fn services_created_during_the_rotation() {
    for seed in 0..SEEDS {
        for (allocator, mode) in
            [(Allocator::Cilium, Mode::Ha), (Allocator::MetalLb, Mode::Ha), (Allocator::Cilium, Mode::Simple)]
        {
            let mut world = scene(seed, allocator, mode);
            let at = world.now + 1000;
            world.at(at, |world| world.rotate(0, Some('B'), false));
            for number in 30..42 {
                let mut new = service(allocator, (number % 3 != 0).then_some(0));
                new.suffix = (number % 3 == 1).then(|| 0x1020 + u128::try_from(number).expect("small") - 29);
                let at = at + world.draw(120);
                world.at(at, move |world| world.create(number, new));
            }
            world.run();
            world.check_rest();
        }
    }
}

/// Some of the range is the user's own, and Services live in it.
#[test]
fn a_range_that_the_user_covers_in_part() {
    for seed in 0..SEEDS {
        let mut world = scene(seed, Allocator::Cilium, Mode::Ha);
        let users = |world: &World, letter| {
            let (first, last) = (world.lines[0].address(letter, 0x1000), world.lines[0].address(letter, 0x1004));
            crate::prefix::Interval::new(first, last).expect("a range")
        };
        let entry = users(&world, 'B');
        world.books.users_ranges.insert(OURS, vec![entry]);
        world.edit_pool(OURS, |pool| pool.list.insert(0, entry));
        world.at(world.now + 1000, |world| world.rotate(0, Some('B'), false));
        world.at(world.now + 5 * MINUTE, |world| world.rotate(0, Some('C'), false));
        world.run();
        world.check_rest();
    }
}

/// `onLoss = "withdraw"`: nothing is left of the prefix, and nobody goes on asking for it.
#[test]
fn a_lost_prefix_is_withdrawn() {
    for seed in 0..SEEDS {
        for allocator in [Allocator::Cilium, Allocator::MetalLb] {
            let mut world = scene(seed, allocator, Mode::Ha);
            for number in 0..16 {
                world.books.excused.insert(number);
            }
            world.at(world.now + 1000, |world| world.rotate(0, None, true));
            world.run();
            for service in world.services.values() {
                assert!(service.v6().is_empty() && service.notes.managed_ips.is_empty(), "{}", world.story());
                assert!(service.notes.managed_targets.is_empty(), "{}", world.story());
            }
            assert!(world.pools[&OURS].list.is_empty(), "{}", world.story());
            world.at(world.now + 1000, |world| world.rotate(0, Some('B'), true));
            world.run();
            let prefix = world.lines[0].prefix('B');
            let is_served =
                |service: &Service| service.v6().iter().all(|held| prefix.contains(held)) && !service.v6().is_empty();
            assert!(world.services.values().all(is_served), "{}", world.story());
        }
    }
}
