//! Routers on a link, the real table that hears them, and the arbiter that gets its reports.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::world::*;
use crate::config::DynamicPrefix;
use crate::source::Offer;
use crate::source::link::{LinkAddress, LinkState};
use crate::source::ra::Settings;
use crate::source::ra::packet::{Advertisement, PrefixInformation};
use crate::source::ra::table::Table;
use crate::time::Instant;

/// A prefix with its preferred and its valid lifetime in seconds.
type Listed = (&'static str, u32, u32);

/// How long a router thinks before it answers a solicitation (MAX_RA_DELAY_TIME of RFC 4861 §10).
const THINKS: Duration = Duration::from_millis(500);

/// A router that answers solicitations, and now and then speaks unasked.
struct Router {
    address: Ipv6Addr,
    lists: Vec<Listed>,
    interval: Duration,
    unasked_at: Option<Instant>,
    answer_at: Option<Instant>,
}

impl Router {
    fn advertisement(&self) -> Advertisement {
        advertisement(self.address, &self.lists)
    }
}

fn advertisement(router: Ipv6Addr, lists: &[Listed]) -> Advertisement {
    let prefixes = lists.iter().map(|(prefix, preferred, valid)| PrefixInformation {
        prefix: net(prefix),
        on_link: true,
        autonomous: true,
        pd_preferred: false,
        preferred: *preferred,
        valid: *valid,
    });
    Advertisement {
        router,
        router_lifetime: 1800,
        managed: false,
        other: false,
        prefixes: prefixes.collect(),
        ignored: Vec::new(),
    }
}

struct Link {
    world: World,
    config: DynamicPrefix,
    table: Table,
    routers: Vec<Router>,
}

impl Link {
    /// Up, with a daemon that has just started and has solicited.
    fn new(config: DynamicPrefix) -> Self {
        let world = World::new(config.clone());
        let table = Table::new(settings(&config));
        let mut link = Self { world, config, table, routers: Vec::new() };
        link.up();
        link
    }

    fn up(&mut self) {
        let addresses = vec![LinkAddress { address: router(0xcafe), tentative: false }];
        let up = LinkState { ifindex: 2, up: true, mac: None, addresses };
        self.table.handle_link(Some(up), self.world.now);
        self.follow();
    }

    /// The router of that number comes up (again) with these prefixes, and says so.
    fn boots(&mut self, number: u16, lists: &[Listed]) {
        self.dies(number);
        let (address, now) = (router(number), self.world.now);
        let interval = Duration::from_secs(600);
        let lists = lists.to_vec();
        self.routers.push(Router { address, lists, interval, unasked_at: Some(now), answer_at: None });
        self.pass(0);
    }

    /// It is gone without a word.
    fn dies(&mut self, number: u16) {
        self.routers.retain(|known| known.address != router(number));
    }

    /// One advertisement in the name of that router, which knows nothing of it.
    fn forge(&mut self, number: u16, lists: &[Listed]) {
        self.table.handle_advertisement(&advertisement(router(number), lists), self.world.now);
        self.follow();
    }

    /// Everything that follows at this instant: solicitations reach the routers, reports the arbiter.
    fn follow(&mut self) {
        let now = self.world.now;
        while self.table.poll_solicit() {
            for router in &mut self.routers {
                router.answer_at = router.answer_at.or(Some(now + THINKS));
            }
        }
        if let Some(report) = self.table.poll_report() {
            self.world.arbiter.handle_report(&report, now);
        }
        self.world.arbiter.handle_timeout(now);
    }

    fn next(&self) -> Option<Instant> {
        let routers = self.routers.iter().flat_map(|router| [router.unasked_at, router.answer_at]);
        let deciders = [self.table.poll_timeout().map(|(at, _)| at), self.world.arbiter.poll_timeout()];
        routers.chain(deciders).flatten().min()
    }

    /// Time goes by: routers speak, and whoever asked to be called is called.
    fn pass(&mut self, seconds: u64) {
        let end = self.world.now + Duration::from_secs(seconds);
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.world.now = self.world.now.max(next);
            let now = self.world.now;
            for router in &mut self.routers {
                let asked = router.answer_at.take_if(|at| *at <= now).is_some();
                let unasked = router.unasked_at.is_some_and(|at| at <= now);
                if unasked {
                    router.unasked_at = Some(now + router.interval);
                }
                if asked || unasked {
                    self.table.handle_advertisement(&router.advertisement(), now);
                }
            }
            self.table.handle_timeout(now);
            self.follow();
        }
        self.world.now = end;
    }

    /// Another process, from what was stored; the link is up all the while.
    fn restart(&mut self, seconds: u64) {
        self.world.restart(self.config.clone(), seconds);
        let seeds = self.seeds();
        self.table = Table::new(settings(&self.config));
        self.table.seed(&seeds, self.world.now);
        self.up();
    }

    /// As the coordinator gives them to a table.
    fn seeds(&self) -> Vec<Offer> {
        let current = self.world.arbiter.snapshot().and_then(|snapshot| snapshot.current.clone());
        let offer = |current: &crate::arbiter::Current, router| Offer {
            prefix: current.prefix,
            router: Some(router),
            preferred_until: current.preferred_until,
            valid_until: current.valid_until,
            excluded: Vec::new(),
            first_seen: current.acquired_at,
            cut: None,
        };
        current.iter().flat_map(|current| current.routers.iter().map(move |router| offer(current, *router))).collect()
    }

    fn reload(&mut self, config: DynamicPrefix) {
        self.config = config.clone();
        let now = self.world.now;
        self.world.arbiter.reconfigure(config, now);
        self.table.reconfigure(settings(&self.config), now);
        self.follow();
    }

    fn state(&self) -> String {
        self.world.state()
    }
}

fn settings(config: &DynamicPrefix) -> Settings {
    Settings::for_interface("eth0", std::slice::from_ref(config))
}

fn delegated(length: u8) -> DynamicPrefix {
    let mut config = by_ra();
    let ra = config.acquisition.router_advertisement.as_mut();
    ra.expect("by_ra has one").delegated_prefix_length = Some(length);
    config
}

#[test]
fn the_first_prefix_is_there_as_soon_as_the_router_answers() {
    let mut link = Link::new(by_ra());
    assert_eq!(link.state(), "no opinion");
    link.boots(1, &[("A", 1800, 7200)]);
    assert_eq!(link.state(), "A#1");
    link.pass(86_400);
    assert_eq!((link.state(), link.world.events()), ("A#1".into(), vec!["acquired A".to_owned()]));
}

/// Issue 3: current within 5 s, although it says nothing about the old prefix.
#[test]
fn a_rebooted_router_that_has_forgotten_the_old_prefix() {
    for quiet in [1, 60, 10_000] {
        let mut link = Link::new(by_ra());
        link.boots(1, &[("A", 86_400, 86_400)]);
        link.pass(quiet);
        link.boots(1, &[("B", 86_400, 86_400)]);
        link.pass(5);
        assert_eq!(link.state(), "B#2 | A draining", "after {quiet} s");
        link.pass(3600);
        assert_eq!(link.state(), "B#2 | A DrainPeriodOver");
    }
}

#[test]
fn one_forged_advertisement_takes_nothing_for_longer_than_the_router_needs_to_answer() {
    for forged in [("A", 0, 0), ("A", 0, 7200), ("B", 86_400, 86_400)] {
        let mut link = Link::new(withdrawing());
        link.boots(1, &[("A", 1800, 7200)]);
        link.pass(100);
        link.forge(1, &[forged]);
        assert!(link.state().starts_with("A#1"), "{forged:?}: {}", link.state());
        link.pass(1000);
        assert_eq!(link.state(), "A#1", "{forged:?}");
    }
}

/// With preferred lifetime 0 for the old prefix and a usable new one it is believed, as it has to be if the router
/// sent it; the router does not list the new one, so it goes again.
#[test]
fn a_forged_successor_goes_when_the_router_does_not_know_it() {
    let mut link = Link::new(by_ra());
    link.boots(1, &[("A", 1800, 7200)]);
    link.pass(100);
    link.forge(1, &[("A", 0, 0), ("B", 86_400, 86_400)]);
    assert_eq!(link.state(), "B#2 | A draining");
    link.pass(10);
    assert_eq!(link.state(), "A#3 | B draining");
}

#[test]
fn of_two_routers_one_dies() {
    let mut link = Link::new(by_ra());
    link.boots(1, &[("A", 1800, 7200)]);
    link.boots(2, &[("B", 1800, 7200)]);
    link.pass(60);
    assert_eq!(link.state(), "A#1");
    link.dies(1);
    link.pass(1739);
    assert_eq!(link.state(), "A#1", "its last word holds");
    link.pass(61);
    assert_eq!(link.state(), "B#2 | A draining");
    link.boots(1, &[("A", 1800, 7200)]);
    link.pass(60);
    assert_eq!(link.state(), "B#2 | A draining", "the current one stays while it is usable");
}

#[test]
fn one_prefix_of_two_routers_lives_while_one_of_them_lists_it() {
    let mut link = Link::new(withdrawing());
    link.boots(1, &[("A", 1800, 7200)]);
    link.boots(2, &[("A", 1800, 7200)]);
    link.boots(1, &[("B", 1800, 7200)]);
    link.pass(60);
    assert_eq!(link.state(), "A#1");
    link.boots(2, &[("B", 1800, 7200)]);
    link.pass(5);
    assert_eq!(link.state(), "B#2 | A draining");
}

/// radvd says farewell with preferred lifetime 0 (DeprecatePrefix) and comes back with the same or with another.
#[test]
fn a_router_that_is_stopped_and_started() {
    let mut link = Link::new(withdrawing());
    link.boots(1, &[("A", 1800, 7200)]);
    link.forge(1, &[("A", 0, 7200)]);
    link.dies(1);
    link.pass(600);
    assert_eq!(link.state(), "A#1 lost Deprecated");
    link.boots(1, &[("A", 1800, 7200)]);
    assert_eq!(link.state(), "A#1");
    link.forge(1, &[("A", 0, 7200)]);
    link.dies(1);
    link.pass(60);
    link.boots(1, &[("B", 1800, 7200)]);
    assert_eq!(link.state(), "B#2 | A draining");
}

#[test]
fn a_prefix_that_vanishes_is_withdrawn_at_its_valid_end_and_comes_back_at_once() {
    let mut link = Link::new(withdrawing());
    link.boots(1, &[("A", 1800, 7200)]);
    link.dies(1);
    link.pass(7199);
    assert_eq!(link.state(), "A#1 lost Deprecated");
    link.pass(1);
    assert_eq!(link.state(), "nothing | A Dead");
    link.boots(1, &[("A", 1800, 7200)]);
    assert_eq!(link.state(), "A#2");
}

/// DecrementLifetimes: the old one runs out by itself while the new one is there.
#[test]
fn lifetimes_that_only_shrink() {
    let mut link = Link::new(by_ra());
    link.boots(1, &[("A", 600, 1200)]);
    for left in (0..=5_u32).rev() {
        link.pass(100);
        let lists = [("A", left * 100, left * 100 + 600), ("B", 1800, 7200)];
        link.boots(1, &lists);
        let expected = if left > 0 { "A#1" } else { "B#2 | A draining" };
        assert_eq!(link.state(), expected, "{left}");
    }
    link.dies(1);
    link.pass(600);
    assert_eq!(link.state(), "B#2 | A Dead");
}

#[test]
fn the_subnets_of_a_delegation_come_and_go() {
    let mut link = Link::new(delegated(56));
    link.boots(1, &[("2001:db8:1:11::/64", 1800, 7200), ("2001:db8:1:12::/64", 600, 7200)]);
    assert_eq!(link.state(), "2001:db8:1::/56#1");
    link.boots(1, &[("2001:db8:1:13::/64", 1800, 7200)]);
    link.pass(10_000);
    assert_eq!(link.state(), "2001:db8:1::/56#1");
    link.boots(1, &[("2001:db8:2:13::/64", 1800, 7200), ("2001:db8:2:14::/64", 1800, 7200)]);
    link.pass(5);
    assert_eq!(link.state(), "2001:db8:2::/56#2 | 2001:db8:1::/56 draining");
}

#[test]
fn there_and_back_and_there_and_back() {
    let mut link = Link::new(by_ra());
    for (turn, prefix) in ["A", "B", "A", "B", "A", "B"].into_iter().enumerate() {
        link.boots(1, &[(prefix, 86_400, 86_400)]);
        link.pass(8);
        assert!(link.state().starts_with(&format!("{prefix}#{}", turn + 1)), "{}", link.state());
    }
    assert_eq!(link.state(), "B#6 | A draining", "each is there once");
}

#[test]
fn a_restart_finds_the_same_prefix_or_another() {
    let mut link = Link::new(by_ra());
    link.boots(1, &[("A", 86_400, 86_400)]);
    link.restart(60);
    link.pass(20);
    assert_eq!(link.state(), "A#1");
    link.restart(60);
    link.boots(1, &[("B", 86_400, 86_400)]);
    assert_eq!(link.state(), "A#1", "not by one word alone");
    link.pass(5);
    assert_eq!(link.state(), "B#2 | A draining");
}

#[test]
fn a_restart_finds_the_same_delegation_by_another_subnet_or_another_delegation() {
    let mut link = Link::new(delegated(56));
    link.boots(1, &[("2001:db8:1:11::/64", 86_400, 86_400)]);
    link.restart(60);
    link.boots(1, &[("2001:db8:1:12::/64", 86_400, 86_400)]);
    link.pass(60);
    assert_eq!(link.state(), "2001:db8:1::/56#1");
    link.restart(60);
    link.boots(1, &[("2001:db8:2:12::/64", 86_400, 86_400)]);
    assert_eq!(link.state(), "2001:db8:1::/56#1", "not by one word alone");
    link.pass(5);
    assert_eq!(link.state(), "2001:db8:2::/56#2 | 2001:db8:1::/56 draining");
}

/// What was stored may be long out of date: a refreshed lifetime writes nothing.
#[test]
fn a_restart_with_lifetimes_long_over() {
    let mut link = Link::new(withdrawing());
    link.boots(1, &[("A", 1800, 7200)]);
    link.dies(1);
    link.restart(100_000);
    assert_eq!(link.state(), "A#1 lost Dead");
    link.boots(1, &[("A", 1800, 7200)]);
    assert_eq!(link.state(), "A#1");
    link.dies(1);
    link.restart(100_000);
    link.pass(12);
    assert_eq!(link.state(), "A#1 lost Dead", "its router has not been asked in vain yet");
    link.pass(1);
    assert_eq!(link.state(), "nothing | A Dead");
}

#[test]
fn other_routers_by_reload() {
    let only = |number| {
        let mut config = by_ra();
        config.acquisition.router_advertisement.as_mut().expect("by_ra has one").routers = vec![router(number)];
        config
    };
    let mut link = Link::new(by_ra());
    link.boots(1, &[("A", 1800, 7200)]);
    link.boots(2, &[("B", 1800, 7200)]);
    link.pass(30);
    link.reload(only(2));
    assert_eq!(link.state(), "B#2 | A draining");
    link.reload(only(3));
    link.pass(60);
    assert_eq!(link.state(), "B#2 | A draining", "kept until there is another");
    link.boots(3, &[("C", 1800, 7200)]);
    assert_eq!(link.state(), "C#3 | B draining, A draining");
    link.reload(by_ra());
    link.pass(60);
    assert_eq!(link.state(), "C#3 | B draining, A draining");
}

#[test]
fn another_filter_by_reload() {
    let mut link = Link::new(by_ra());
    link.boots(1, &[("fd00:1::/64", 86_400, 86_400), ("A", 1800, 7200)]);
    assert_eq!(link.state(), "A#1");
    let mut config = by_ra();
    config.acquisition.filter.require_global_unicast = false;
    config.acquisition.filter.allow = vec![net("fd00::/8")];
    link.reload(config);
    assert_eq!(link.state(), "fd00:1::/64#2 | A draining");
}

#[test]
fn a_static_prefix_steps_in_and_back() {
    let mut link = Link::new(by_ra_or("C"));
    let fixed = crate::source::fixed(net("C"), link.world.now);
    link.world.arbiter.handle_report(&fixed, link.world.now);
    assert_eq!(link.state(), "no opinion", "the router is asked first");
    link.boots(1, &[("A", 1800, 7200)]);
    link.dies(1);
    link.pass(1800);
    assert_eq!(link.state(), "C#2 | A draining");
    link.boots(1, &[("B", 1800, 7200)]);
    assert_eq!(link.state(), "B#3 | C draining, A draining");
}
