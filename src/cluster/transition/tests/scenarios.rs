//! Rotations as they go when nothing is in the way, in every layout.

use std::net::Ipv4Addr;

use super::super::Allocator;
use super::world::{Generation, Id, Line, Notes, Pool, Service, World};
use crate::config::Mode;
use crate::plan::Role;

pub(super) const MINUTE: u64 = 60_000;

/// Number of seeds that each scenario is played with.
pub(super) const SEEDS: u64 = 24;

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
    world.create_pool(0, pool(allocator, &[(0, 0)]));
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
        // Those with a wish come first, or others have it.
        let at = if new.suffix.is_some() { at } else { at + 2000 };
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

#[test]
fn a_rotation_takes_three_writes_of_a_service_and_three_of_a_pool() {
    for seed in 0..SEEDS {
        let mut world = scene(seed, Allocator::Cilium, Mode::Ha);
        world.at(world.now + 1000, |world| world.rotate(0, Some('B'), false));
        world.run();
        world.check_rest();
        assert_eq!(most_writes(&world), (3, 3), "{}", world.story());
    }
}
