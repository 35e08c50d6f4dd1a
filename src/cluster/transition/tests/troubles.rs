//! Every step of the order, and what may come between.

use std::net::{IpAddr, Ipv6Addr};

use super::super::Allocator;
use super::invariants::targets;
use super::scenarios::{MINUTE, OURS, pool, scene};
use super::world::{World, v6};
use crate::config::Mode;
use crate::plan::Role;

/// The steps of the module's comment; 0 is the moment in which the prefix changes.
const STEPS: std::ops::RangeInclusive<u8> = 0..=8;

impl World {
    /// Whether the rotation from A to B has come to a step.
    pub(super) fn has_reached(&self, step: u8) -> bool {
        let line = &self.lines[0];
        let (old, new) = (line.prefix('A'), line.prefix('B'));
        let managed = || self.services.values().filter(|service| !service.notes.managed_ips.is_empty());
        let pool = &self.pools[&OURS];
        let is_on = |prefix: ipnet::Ipv6Net| pool.list.iter().any(|range| prefix.contains(&range.first()));
        match step {
            0 => line.current() == Some('B'),
            1 => is_on(new),
            2 => managed().any(|service| v6(&service.notes.managed_ips).iter().any(|ip| new.contains(ip))),
            3 => managed().any(|service| service.v6().iter().any(|ip| new.contains(ip))),
            4 => managed().any(|service| targets(service).iter().any(|ip| new.contains(ip))),
            5 => pool.list.contains(&line.range('B', 0)),
            6 => line.generations.iter().any(|known| known.letter == 'B' && known.since + 10 * MINUTE < self.now),
            7 => managed().any(|service| !v6(&service.notes.managed_ips).iter().any(|ip| old.contains(ip))),
            _ => line.current() == Some('B') && !is_on(old),
        }
    }
}

/// Plays a rotation in which something happens at each of its steps.
fn at_each_step(allocator: Allocator, mode: Mode, seeds: u64, trouble: impl Fn(&mut World) + Copy + 'static) {
    for step in STEPS {
        for seed in 0..seeds {
            let mut world = scene(seed * 100 + u64::from(step), allocator, mode);
            world.trap = Some((step, Box::new(trouble)));
            world.at(world.now + 1000, |world| world.rotate(0, Some('B'), false));
            // So that somebody looks in the middle of the drain.
            world.at(world.now + 20 * MINUTE, |_| {});
            world.run();
            assert!(world.trap.is_none() || mode == Mode::Simple, "step {step} never came: {}", world.story());
            world.check_rest();
        }
    }
}

/// In every layout that has steps of its own.
fn everywhere(trouble: impl Fn(&mut World) + Copy + 'static) {
    at_each_step(Allocator::Cilium, Mode::Ha, 2, trouble);
    at_each_step(Allocator::MetalLb, Mode::Ha, 1, trouble);
    at_each_step(Allocator::Cilium, Mode::Simple, 1, trouble);
}

#[test]
fn services_are_deleted() {
    everywhere(|world| [0, 4, 7, 11].into_iter().for_each(|number| world.delete(number)));
}

#[test]
fn the_user_edits_services() {
    everywhere(|world| {
        let ula = IpAddr::V6("fd00::7".parse().expect("an address"));
        let name = "www.example.org".to_owned();
        // One of no pool beside ours, and a name of the user's.
        if world.services[&0].allocator == Allocator::Cilium {
            world.books.users_ips.insert(1, vec![ula]);
            world.edit(1, |service| service.notes.ips.insert(0, ula));
            world.books.excused.insert(1);
        }
        world.books.users_targets.insert(4, vec![name.clone()]);
        world.edit(4, |service| service.notes.target.insert(0, name));
        // Ours are torn out.
        world.edit(2, |service| service.notes.target.clear());
        world.books.excused.insert(3);
        world.edit(3, |service| service.notes.ips.clear());
    });
}

#[test]
fn the_pool_conflicts_for_a_while() {
    at_each_step(Allocator::Cilium, Mode::Ha, 3, |world| {
        let mut theirs = pool(Allocator::Cilium, &[]);
        let line = &world.lines[0];
        theirs.list =
            ['A', 'B'].iter().flat_map(|letter| line.range(*letter, 0).to_nets()).take(1).map(Into::into).collect();
        theirs.list.extend(line.range('B', 0).to_nets().into_iter().take(1).map(crate::prefix::Interval::from));
        theirs.selector = Some(99);
        world.create_pool(1, theirs);
        // What we have just written without knowing may cost addresses; in the end all is well again.
        if world.has_reached(5) && !world.has_reached(6) || world.has_reached(8) {
            world.books.excused.extend(0..16);
        }
        world.at(world.now + 3 * MINUTE, |world| {
            world.pools.remove(&1);
            world.changed(super::world::Id::Pool(1));
        });
    });
}

#[test]
fn the_operator_is_silent() {
    everywhere(|world| {
        world.cilium.silent_until = world.now + 2 * MINUTE;
        world.metallb.silent_until = world.now + 2 * MINUTE;
    });
}

#[test]
fn the_operator_is_restarted() {
    everywhere(World::restart_cilium);
}

#[test]
fn the_api_server_is_away() {
    everywhere(|world| world.ours.down_until = world.now + 2 * MINUTE);
    everywhere(|world| world.ours.down_until = world.now + 90 * MINUTE);
}

#[test]
fn the_daemon_dies() {
    everywhere(|world| world.crash(2000));
    everywhere(|world| world.crash(90 * MINUTE));
}

#[test]
fn the_old_prefix_comes_back() {
    everywhere(|world| world.rotate(0, Some('A'), false));
    everywhere(|world| world.rotate(0, Some('A'), true));
}

#[test]
fn a_third_prefix_comes() {
    everywhere(|world| world.rotate(0, Some('C'), false));
    everywhere(|world| world.rotate(0, Some('C'), true));
}

#[test]
fn the_old_prefix_dies() {
    everywhere(|world| {
        for known in world.lines[0].generations.iter_mut().filter(|known| known.role == Role::Draining) {
            (known.role, known.dead) = (Role::Known, true);
        }
    });
}

#[test]
fn a_suffix_changes() {
    everywhere(|world| {
        let suffix = |service: &mut super::world::Service| service.suffix = Some(0x1030);
        world.edit(4, suffix);
        world.edit(5, |service| service.suffix = None);
    });
}

#[test]
fn dns_is_not_ours_any_more() {
    everywhere(|world| {
        for number in [0, 6] {
            world.edit(number, |service| service.skip_dns = true);
        }
    });
}

#[test]
fn the_mode_is_switched_by_a_reload() {
    everywhere(|world| {
        world.lines[0].mode = if world.lines[0].mode == Mode::Ha { Mode::Simple } else { Mode::Ha };
        world.books.excused.extend(0..16);
    });
}

#[test]
fn a_binding_goes_and_comes() {
    everywhere(|world| {
        world.edit(0, |service| service.line = None);
        world.at(world.now + MINUTE, |world| world.edit(0, |service| service.line = Some(0)));
        world.books.excused.insert(0);
    });
}

/// It is no reason to keep the others from their way, and it is not forgotten when the permission comes.
#[test]
fn a_service_that_cannot_be_written() {
    everywhere(|world| world.edit(0, |service| service.forbidden = true));
    let mut world = scene(1, Allocator::Cilium, Mode::Ha);
    world.edit(0, |service| service.forbidden = true);
    world.at(world.now + 1000, |world| world.rotate(0, Some('B'), false));
    world.run();
    world.check_rest();
    world.edit(0, |service| service.forbidden = false);
    world.ours.forbidden.clear();
    world.books.excused.insert(0);
    world.run();
    // Its address may have gone to somebody else: it has one in any case.
    assert!(!world.services[&0].v6().is_empty(), "{}", world.story());
    world.check_rest();
}

/// Nothing is narrowed, and everything else goes its way.
#[test]
fn services_may_not_be_listed() {
    let mut world = scene(1, Allocator::Cilium, Mode::Ha);
    world.ours.may_not_list = true;
    world.crash(10);
    world.run();
    world.at(world.now + 1000, |world| world.rotate(0, Some('B'), false));
    world.run_until(world.now + 10 * MINUTE);
    let both = vec![world.lines[0].range('B', 0), world.lines[0].range('A', 0)];
    assert_eq!(world.pools[&OURS].list, both, "{}", world.story());
    world.books.excused.extend(0..16);
    world.run();
    assert_eq!(world.pools[&OURS].list, both[..1], "{}", world.story());
}

/// Somebody has the new address: DNS stays on the old one, and in the end the Service gets any other.
#[test]
fn an_address_that_another_service_has() {
    for (allocator, mode) in
        [(Allocator::Cilium, Mode::Ha), (Allocator::MetalLb, Mode::Ha), (Allocator::Cilium, Mode::Simple)]
    {
        let mut lost = 0;
        for seed in 0..6 {
            let mut world = scene(seed, allocator, mode);
            let mut thief = super::scenarios::service(allocator, None);
            let taken: Ipv6Addr = world.lines[0].address('B', 0x1002);
            thief.notes.ips = vec![IpAddr::V6(taken)];
            world.create(40, thief);
            world.at(world.now + 5000, |world| world.rotate(0, Some('B'), false));
            world.run_until(world.now + 10 * MINUTE);
            let old = world.lines[0].address('A', 0x1002);
            if world.services[&4].v6().contains(&taken) {
                // It was quicker.
                continue;
            }
            lost += 1;
            assert_eq!(world.services[&4].v6(), [old], "{}", world.story());
            world.run();
            let held = world.services[&4].v6();
            let is_new = held.iter().all(|held| world.lines[0].prefix('B').contains(held));
            assert!(!held.is_empty() && is_new && !held.contains(&taken), "{held:?} {}", world.story());
            world.delete(40);
            world.run();
            world.check_rest();
        }
        assert!(lost > 0, "the other one was never quicker");
    }
}

/// The pool is not for this Service any more: it keeps what it has until that has to go.
#[test]
fn a_pool_that_is_not_for_the_service() {
    for seed in 0..6 {
        let mut world = scene(seed, Allocator::Cilium, Mode::Ha);
        let mut other = pool(Allocator::Cilium, &[(0, 1)]);
        other.selector = Some(9);
        world.lines[0].ranges.push((0x2000, 0x203f));
        world.create_pool(OURS + 1, other);
        world.run();
        // Its new address is in the pool that is not for it.
        world.at(world.now + 1000, |world| world.rotate(0, Some('B'), false));
        world.at(world.now + 1000, |world| world.edit(4, |service| service.suffix = Some(0x2002)));
        world.run();
        let held = world.services[&4].v6();
        assert!(
            !held.is_empty() && held.iter().all(|held| world.lines[0].prefix('B').contains(held)),
            "{}",
            world.story()
        );
        assert!(world.pools[&OURS].list == [world.lines[0].range('B', 0)], "{}", world.story());
    }
}
