//! Routers on a link, the real table that hears them, and the arbiter that gets its reports.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::world::*;
use crate::config::DynamicPrefix;
use crate::source::link::{LinkAddress, LinkState};
use crate::source::ra::Settings;
use crate::source::ra::packet::{Advertisement, PrefixInformation};
use crate::source::ra::table::Table;
use crate::time::Instant;

/// A prefix with its preferred and its valid lifetime in seconds.
pub(super) type Listed = (&'static str, u32, u32);

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

pub(super) struct Link {
    pub(super) world: World,
    config: DynamicPrefix,
    table: Table,
    routers: Vec<Router>,
}

impl Link {
    /// Up, with a daemon that has just started and has solicited.
    pub(super) fn new(config: DynamicPrefix) -> Self {
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
    pub(super) fn boots(&mut self, number: u16, lists: &[Listed]) {
        self.dies(number);
        let (address, now) = (router(number), self.world.now);
        let interval = Duration::from_secs(600);
        let lists = lists.to_vec();
        self.routers.push(Router { address, lists, interval, unasked_at: Some(now), answer_at: None });
        self.pass(0);
    }

    /// It is gone without a word.
    pub(super) fn dies(&mut self, number: u16) {
        self.routers.retain(|known| known.address != router(number));
    }

    /// One advertisement in the name of that router, which knows nothing of it.
    pub(super) fn forge(&mut self, number: u16, lists: &[Listed]) {
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
    pub(super) fn pass(&mut self, seconds: u64) {
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
    pub(super) fn restart(&mut self, seconds: u64) {
        self.world.restart(self.config.clone(), seconds);
        let seeds = crate::arbiter::seeds(self.world.arbiter.snapshot().into_iter(), "eth0");
        self.table = Table::new(settings(&self.config));
        self.table.seed(&seeds, self.world.now);
        self.up();
    }

    pub(super) fn reload(&mut self, config: DynamicPrefix) {
        self.config = config.clone();
        let now = self.world.now;
        self.world.arbiter.reconfigure(config, now);
        self.table.reconfigure(settings(&self.config), now);
        self.follow();
    }

    pub(super) fn state(&self) -> String {
        self.world.state()
    }
}

fn settings(config: &DynamicPrefix) -> Settings {
    Settings::for_interface("eth0", std::slice::from_ref(config))
}

pub(super) fn delegated(length: u8) -> DynamicPrefix {
    let mut config = by_ra();
    let ra = config.acquisition.router_advertisement.as_mut();
    ra.expect("by_ra has one").delegated_prefix_length = Some(length);
    config
}
