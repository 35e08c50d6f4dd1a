//! `dyn-prefix dhcp-release`: first out of the targets, then back to the server (DC-132).

use std::cell::RefCell;
use std::time::Duration;

use tokio::sync::oneshot;

use super::delegation::{bound, client, pd, world};
use super::world::*;
use crate::control::Response;
use crate::daemon::release::Releases;
use crate::source::{Cut, SourceReport, SourceState};

/// What the pool holds of A.
const OURS: &str = "range=2001:db8:a:0:f000::-2001:db8:a:0:f000::ffff";

/// The client says that it has given A back.
fn given_back(world: &mut World) {
    let mut released = SourceReport::new(client(), SourceState::Released);
    released.offers = bound(A, world.now).offers;
    released.offers[0].cut = Some(Cut::Withdrawn);
    world.report(released);
}

/// A daemon that was asked to release "home", and what its client was told.
struct Asked {
    world: World,
    releases: Releases,
    answer: oneshot::Receiver<Response>,
    told: RefCell<Vec<String>>,
}

impl Asked {
    fn new() -> Self {
        let mut world = world(false);
        world.targets("one", vec![managed("pool", "u1", OURS)]);
        let release = world.coordinator.release("home", world.now).unwrap();
        let (sender, answer) = oneshot::channel();
        let mut releases = Releases::default();
        releases.begin(release, sender, world.now);
        let mut asked = Self { world, releases, answer, told: RefCell::default() };
        asked.pass(0);
        asked
    }

    /// Time goes by, and everything is looked at.
    fn pass(&mut self, seconds: u64) {
        self.world.pass(seconds);
        self.releases.advance(&self.world.coordinator, self.world.now, |release| {
            self.told.borrow_mut().push(release.name.clone());
            Ok(())
        });
    }

    fn told(&self) -> usize {
        self.told.borrow().len()
    }
}

#[test]
fn a_release_takes_the_prefix_out_and_waits_for_both_sides() {
    let mut world = world(false);
    let entry = "range=2001:db8:a:0:f000::-2001:db8:a:0:f000::ffff";
    world.targets("one", vec![managed("pool", "u1", entry)]);
    let release = world.coordinator.release("home", world.now).unwrap();
    assert_eq!(world.wanted("home"), format!("{A} Known"), "published as nothing");
    assert_eq!(world.coordinator.still_holding(&release), ["CiliumLoadBalancerIPPool/pool in one"]);
    assert!(!world.coordinator.is_released(&release, world.now));
    world.targets("one", vec![managed("pool", "u1", "cidr=2001:db8:ffff::/64")]);
    assert!(world.coordinator.still_holding(&release).is_empty());
    world.report(SourceReport { state: SourceState::Releasing, ..bound(A, world.now) });
    assert!(!world.coordinator.is_released(&release, world.now));
    let mut released = SourceReport::new(client(), SourceState::Released);
    released.offers = bound(A, world.now).offers;
    released.offers[0].cut = Some(Cut::Withdrawn);
    world.report(released);
    assert!(world.coordinator.is_released(&release, world.now));
    let history = &world.status().dynamic_prefixes[0].history;
    assert_eq!((history[0].prefix.as_str(), history[0].reason.as_str()), (A, "Released"));
    assert!(world.acquired("home").starts_with("False Released"));
    world.restart(&pd(false), 1);
    assert_eq!(world.status().dynamic_prefixes[0].history[0].reason, "Released");
}

#[test]
fn what_is_not_held_cannot_be_released() {
    let mut world = World::new(&pd(true));
    world.ra(&[(B, 1800, 3600)]);
    let refused = |world: &mut World, name: &str| world.coordinator.release(name, world.now).unwrap_err();
    assert!(refused(&mut world, "house").contains("there are: home"));
    assert!(refused(&mut world, "home").contains("holds no delegation on eth0"));
    world.report(SourceReport { state: SourceState::LinkDown, ..bound(A, world.now) });
    assert!(refused(&mut world, "home").contains("nothing can be sent on eth0"));
    world.report(SourceReport::new(client(), SourceState::Soliciting));
    world.reload(HOME);
    assert!(refused(&mut world, "home").contains("has no acquisition.dhcpv6"));
    assert!(world.status().dynamic_prefixes[0].current_prefix.is_some(), "nothing was withdrawn");
}

#[test]
fn the_client_is_told_once_no_target_holds_it() {
    let mut asked = Asked::new();
    asked.pass(1);
    assert_eq!(asked.told(), 0, "the pool holds it");
    asked.world.targets("one", vec![target("pool", "u1")]);
    asked.pass(0);
    asked.pass(1);
    assert_eq!(asked.told(), 1);
    assert!(asked.answer.try_recv().is_err(), "the server has not answered");
    given_back(&mut asked.world);
    asked.pass(0);
    let Ok(Response::Released { done }) = asked.answer.try_recv() else { panic!("an answer") };
    assert_eq!(done[0], "home: 2001:db8:a::/64 has left the targets.");
    assert!(done[1].starts_with("home: given back on eth0."), "{done:?}");
    assert_eq!(asked.releases.poll_timeout(), None);
}

#[test]
fn a_cluster_that_is_away_delays_it_for_ten_seconds() {
    let mut asked = Asked::new();
    assert_eq!(asked.releases.poll_timeout(), Some(asked.world.now + Duration::from_secs(10)));
    asked.pass(9);
    assert_eq!(asked.told(), 0);
    asked.pass(1);
    assert_eq!(asked.told(), 1);
    given_back(&mut asked.world);
    asked.pass(0);
    let Ok(Response::Released { done }) = asked.answer.try_recv() else { panic!("an answer") };
    assert!(done[0].ends_with("these still hold it: CiliumLoadBalancerIPPool/pool in one."), "{done:?}");
}

#[test]
fn a_client_that_does_not_come_to_an_end_is_told_of() {
    let mut asked = Asked::new();
    asked.world.targets("one", vec![target("pool", "u1")]);
    asked.pass(0);
    asked.pass(19);
    assert!(asked.answer.try_recv().is_err());
    asked.pass(1);
    let Ok(Response::Error { message }) = asked.answer.try_recv() else { panic!("an answer") };
    assert!(
        message.contains("has left the targets. But the client on eth0 has not given it back within 20 s"),
        "{message}"
    );
}
