//! A story: Services live on, while the prefix rotates under them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ipnet::Ipv6Net;

use crate::arrived::{Prefixes, arrived};
use crate::dns::{Poller, RealDns};
use crate::generations::Of;
use crate::monitor::Monitor;
use crate::second::Second;
use crate::services::{Front, Kind, SERVICES, Scope, of_metallb};
use crate::steps::{Fate, Random, Step, To};
use crate::tally::Tally;
use crate::uplink::{Said, Source, Uplink};
use crate::world::{SOON, Setup, World};

/// Within this time of the start of a rotation the daemon is killed, and Services come and go.
pub(crate) const MOMENTS: u64 = 1200;

/// How many former prefixes drain (the default of maxPrefixHistory).
const HISTORY: usize = 2;

/// What a story works with.
pub(crate) struct Story<'a> {
    pub(crate) world: World,
    pub(crate) monitor: Monitor,
    pub(crate) uplink: Uplink<'a>,
    pub(crate) source: Source,
    pub(crate) scope: Scope,
    metallb: bool,
    pub(crate) random: Random,
    pub(crate) said: Said,
    /// The former prefixes that leave at once: those that are dead.
    gone: Vec<Ipv6Net>,
    /// Whether there were more former prefixes than the history keeps: each is waited for from then on.
    is_crowded: bool,
    /// The number of the newest prefix.
    pub(crate) newest: u16,
    /// Those that are there, and those that are still to come.
    pub(crate) fronts: Vec<Front>,
    pub(crate) coming: Vec<Front>,
    /// How many Services were created beside.
    probes: u16,
    pub(crate) tally: Tally,
    pub(crate) second: Option<Second>,
    /// How often it could have changed.
    pub(crate) turns: usize,
    pub(crate) dns: Option<RealDns>,
    poller: Option<Poller>,
}

/// What differs from one story to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) source: Source,
    pub(crate) scope: Scope,
    /// The Services are MetalLB's.
    pub(crate) metallb: bool,
}

impl<'a> Story<'a> {
    /// The cluster is there, with its pools and the programs that serve it; no daemon, no prefix and no Service yet.
    pub(crate) fn new(frame: Frame, world: World, monitor: Monitor, uplink: Uplink<'a>, random: Random) -> Self {
        let Frame { source, scope, metallb } = frame;
        Self {
            world,
            monitor,
            uplink,
            source,
            scope,
            metallb,
            random,
            said: Said::default(),
            gone: Vec::new(),
            is_crowded: false,
            newest: 0,
            fronts: Vec::new(),
            coming: Vec::new(),
            probes: 0,
            tally: Tally::default(),
            second: None,
            turns: 0,
            dns: None,
            poller: None,
        }
    }

    /// The first prefix comes, then the Services, of which `later` come during the rotations.
    pub(crate) fn begin(&mut self, mut fronts: Vec<Front>, later: usize) -> Result<()> {
        let first = self.source.prefix(0)?;
        self.said.current = Some(first);
        self.announce()?;
        self.world.start_daemon()?;
        let pool = if self.metallb { "IPAddressPool" } else { "CiliumLoadBalancerIPPool" };
        self.monitor.note(&format!("waiting for the first prefix in the {pool}"));
        self.wait_for_pools().context("the first prefix in the pools")?;
        // One in so many, so that each kind is among them.
        let every = fronts.len().checked_div(later).unwrap_or(usize::MAX);
        for (index, front) in fronts.drain(..).enumerate() {
            if every < usize::MAX && index % every == every - 1 { self.coming.push(front) } else { self.create(front)? }
        }
        self.settle().context("before the first rotation")
    }

    /// Starts external-dns and its server, and has what that answers judged, too.
    pub(crate) fn with_real_dns(&mut self) -> Result<()> {
        let dns = RealDns::start(&self.world.api)?;
        let (poller, answers) = dns.poll()?;
        self.monitor.listen(answers);
        self.dns = Some(dns);
        self.poller = Some(poller);
        Ok(())
    }

    /// One rotation, with all that comes at the same moment.
    pub(crate) fn rotate(&mut self, step: Step) -> Result<()> {
        let before = self.said.current.context("there is a prefix")?;
        self.turn(step)?;
        let current = self.said.current.context("there is a prefix")?;
        self.monitor.note(&format!("=== {before} -> {current}: {step:?}"));
        self.announce()?;
        self.meanwhile(step.kill)?;
        if step.hurry {
            let pause = self.random.millis(MOMENTS);
            std::thread::sleep(pause);
            return self.monitor.check();
        }
        self.settle()?;
        self.probe()
    }

    /// What the router says next.
    pub(crate) fn turn(&mut self, step: Step) -> Result<()> {
        let before = self.said.current.context("there is a prefix")?;
        let has_back = step.to == To::Back;
        // Kea's former ones are dead, and come back all the same.
        let dead = self.said.dead.last().filter(|_| self.source == Source::Kea);
        let back = self.said.deprecated.last().or(dead).copied().filter(|_| has_back);
        let next = match back {
            Some(net) => net,
            None => {
                self.newest += 1;
                self.source.prefix(self.newest)?
            }
        };
        let drains = !self.said.deprecated.is_empty();
        self.said.deprecated.retain(|net| *net != next);
        self.said.dead.retain(|net| *net != next);
        self.gone.retain(|net| *net != next);
        self.said.deprecated.push(before);
        let fate = if self.source == Source::Kea { Fate::Dead } else { step.fate };
        if fate == Fate::Dead {
            let all = std::mem::take(&mut self.said.deprecated);
            // Those that have left the history wait for what DNS was told, and the others with them: nobody knows of them
            // that they are dead.
            self.is_crowded |= all.len() > HISTORY;
            self.gone.extend(all.iter().filter(|_| !self.is_crowded));
            self.said.dead.extend(all);
        }
        self.said.current = Some(next);
        self.tally.rotation(step, back.map_or(To::Next, |_| To::Back), drains, fate);
        Ok(())
    }

    /// Tells the monitor, then the daemon.
    pub(crate) fn announce(&mut self) -> Result<()> {
        let current = self.said.current.context("there is a prefix")?;
        self.monitor.announce(Of::First, current, &self.said.dead)?;
        if self.source == Source::Static {
            return self.configure_prefix(current);
        }
        self.uplink.say(&newest_of(&self.said))
    }

    /// The prefix is one of the configuration.
    fn configure_prefix(&self, current: Ipv6Net) -> Result<()> {
        let acquisition = format!("acquisition.static.prefix = \"{current}\"");
        self.world
            .configure(&Setup { acquisition, transition: r#"mode = "ha""#.to_owned(), second: None }, &of_metallb())?;
        self.world.reload()
    }

    /// Waits until no managed Service has or asks for an address of a former prefix.
    pub(crate) fn expect_left(&mut self, limit: Duration) -> Result<()> {
        let prefixes = self.prefixes()?;
        let (scope, fronts) = (self.scope, &self.fronts);
        self.monitor.wait("the former addresses are given up", limit, |monitor| {
            for front in fronts.iter().filter(|front| front.is_managed(scope)) {
                let version = monitor.latest(front)?;
                let asked = version.asked().into_iter().filter_map(|entry| entry.parse().ok());
                let mut all = version.held().into_iter().chain(asked);
                let former = |address: &std::net::Ipv6Addr| {
                    prefixes.ours.iter().any(|net| net.contains(address)) && !prefixes.current.contains(address)
                };
                let left = all.find(former);
                anyhow::ensure!(left.is_none(), "there is {left:?} left: {version}");
            }
            Ok(())
        })
    }

    pub(crate) fn create(&mut self, front: Front) -> Result<()> {
        self.monitor.expect(&front, self.scope);
        self.world.api.create(SERVICES, &front.object())?;
        if let Some(poller) = &self.poller {
            poller.add(front.hostname());
        }
        self.fronts.push(front);
        self.tally.created += 1;
        Ok(())
    }

    fn prefixes(&self) -> Result<Prefixes> {
        let current = self.said.current.context("there is a prefix")?;
        let ours = [&[current][..], &self.said.deprecated, &self.said.dead].concat();
        Ok(Prefixes { current, ours, dead: self.gone.clone() })
    }

    /// Those of the second DynamicPrefix; without one, the first one's.
    fn prefixes_of_second(&self) -> Result<Prefixes> {
        let Some(second) = &self.second else { return self.prefixes() };
        let current = second.current;
        Ok(Prefixes { current, ours: [&[current][..], &second.former].concat(), dead: Vec::new() })
    }

    /// Waits until everything is where the rotation has to take it.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let (all, scope) = ([self.prefixes()?, self.prefixes_of_second()?], self.scope);
        for front in &self.fronts {
            let prefixes = &all[front.of() as usize];
            let outcome = self.monitor.wait(&front.name, SOON, |monitor| {
                let version = monitor.latest(front)?;
                arrived(front, scope, version, prefixes)
            });
            self.world.check_daemon()?;
            outcome?;
        }
        self.wait_for_pools()?;
        self.world.wait_well()?;
        self.compare_dns()?;
        self.monitor.check()
    }

    /// The pools hold the whole range of the current prefix, and nothing of dead ones.
    fn wait_for_pools(&mut self) -> Result<()> {
        let prefixes = self.prefixes()?;
        let second = self.second.as_ref().map(|second| second.current);
        let Self { world, monitor, metallb, .. } = self;
        monitor.wait("the pools", SOON, |_| {
            if *metallb {
                return world.check_metallb_pool(prefixes.current, &prefixes.dead);
            }
            world.check_cilium_pool("public", 0xf000, prefixes.current, &prefixes.dead)?;
            if let Some(second) = second {
                world.check_cilium_pool("second", 0xf000, second, &[])?;
                world.check_cilium_pool("both", 0xf004, second, &prefixes.dead)?;
                world.check_cilium_pool("both", 0xf004, prefixes.current, &prefixes.dead)?;
            }
            world.check_cilium_pool("dmz", 0xf002, prefixes.current, &prefixes.dead)
        })
    }

    /// The real external-dns has to come to what its model says.
    fn compare_dns(&mut self) -> Result<()> {
        let Self { dns: Some(dns), monitor, fronts, .. } = self else { return Ok(()) };
        for front in fronts.iter() {
            let name = front.hostname();
            monitor.wait("external-dns and its model agree", Duration::from_secs(30), |monitor| {
                let expected = monitor.told().remove(&name).unwrap_or_default();
                let answered = dns.ask(&name)?;
                anyhow::ensure!(answered == expected, "{name}: knot answers {answered:?}, the model {expected:?}");
                Ok(())
            })?;
        }
        Ok(())
    }

    /// A Service that comes now gets an address of the current prefix.
    fn probe(&mut self) -> Result<()> {
        self.probes += 1;
        let front = Front::new(Kind::Unpinned, 1000 + self.probes, self.metallb);
        self.create(front.clone())?;
        let current = self.prefixes()?.current;
        self.monitor.wait("a new Service", SOON, |monitor| {
            let version = monitor.latest(&front)?;
            let held = version.held();
            anyhow::ensure!(
                held.iter().any(|address| current.contains(address)),
                "it has no address in {current}: {version}"
            );
            Ok(())
        })?;
        // It stays until the next one comes, so that they do not become many.
        if self.probes > 1 {
            let former = Front::new(Kind::Unpinned, 999 + self.probes, self.metallb);
            self.fronts.retain(|front| front.name != former.name);
            self.world.api.delete(&former.path())?;
        }
        Ok(())
    }

    /// Adds to a failure what the daemon has to say about it.
    pub(crate) fn explain<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| anyhow::anyhow!("{error:#}\n\n{}\n{}", self.monitor.story(), self.world.story()))
    }
}

/// What a router can say in one packet: the newest of the former ones.
pub(crate) fn newest_of(said: &Said) -> Said {
    let newest = |list: &[Ipv6Net]| list[list.len().saturating_sub(6)..].to_vec();
    Said { current: said.current, deprecated: newest(&said.deprecated), dead: newest(&said.dead) }
}
