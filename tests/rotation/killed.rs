//! The daemon is killed in each step of mode ha, as the cluster shows them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ipnet::Ipv6Net;
use serde_json::Value;

use crate::monitor::{Monitor, bounds};
use crate::services::{Front, Kind};
use crate::steps::{Fate, Step, To};
use crate::story::Story;
use crate::version::Version;
use crate::world::{CILIUM_POOLS, SOON};

/// The steps of the order, by the number of the last one that is done.
const STEPS: [&str; 8] = [
    "1 the pool has the address",
    "2 the Service asks for it",
    "3 the Service has it",
    "4 DNS is told",
    "5 the pool has the new range, the old one is narrow",
    "6 the drain",
    "7 the old address is not asked for",
    "8 the old range has left",
];
/// How often a step is tried: some are over in milliseconds.
const ATTEMPTS: usize = 60;
/// What the API server had from the daemon when that was killed is done by then.
const IN_FLIGHT: Duration = Duration::from_millis(50);

impl Story<'_> {
    /// Rotates until the daemon was killed in every step; each time all has to come to its end all the same.
    pub(crate) fn kill_in_every_step(&mut self) -> Result<()> {
        let front =
            self.fronts.iter().filter(|front| front.kind == Kind::Suffix).nth(2).context("there are some")?.clone();
        let mut hits: BTreeMap<usize, usize> = BTreeMap::new();
        for attempt in 1..=ATTEMPTS {
            let Some(aim) = (1..=STEPS.len()).find(|step| !hits.contains_key(step)) else { break };
            let hit = self.kill_at(aim, &front).with_context(|| format!("attempt {attempt}, step {aim}"))?;
            *hits.entry(hit).or_default() += 1;
        }
        let text: Vec<String> = STEPS
            .iter()
            .zip(1..)
            .map(|(step, number)| format!("{step}: {}", hits.get(&number).unwrap_or(&0)))
            .collect();
        crate::say(&format!("killed after step … so many times: {}", text.join("; ")));
        ensure!((1..=STEPS.len()).all(|step| hits.contains_key(&step)), "it was not killed in every step: {hits:?}");
        Ok(())
    }

    /// One rotation with a kill as soon as step `aim` is seen. The step that it really was.
    fn kill_at(&mut self, aim: usize, front: &Front) -> Result<usize> {
        let is_drain = aim == 6;
        // A dead prefix goes through all steps at once.
        let fate = if is_drain { Fate::Gracious } else { Fate::Dead };
        let before = self.said.current.context("there is a prefix")?;
        self.turn(Step { to: To::Next, fate, hurry: false, kill: true })?;
        let current = self.said.current.context("there is a prefix")?;
        let way = Way { before, current, suffix: front.suffix().context("it has one")?.parse()? };
        self.announce()?;
        if is_drain {
            self.settle()?;
        } else {
            self.await_step(aim, front, way)?;
        }
        self.world.kill_daemon()?;
        self.tally.kills += 1;
        std::thread::sleep(IN_FLIGHT);
        let service = serde_json::json!({"object": self.world.api.get(&front.path())?});
        let pool = self.world.api.get(&format!("{CILIUM_POOLS}/public"))?;
        let hit = way.step(&Version::of(&service), &pool);
        self.monitor.note(&format!("the daemon is killed after step {hit}, to be {aim}"));
        self.world.start_daemon()?;
        self.repeat_what_is_dead()?;
        self.settle()?;
        Ok(if is_drain && hit == 5 { aim } else { hit })
    }

    fn await_step(&mut self, aim: usize, front: &Front, way: Way) -> Result<()> {
        let deadline = Instant::now() + SOON;
        loop {
            self.monitor.take_in()?;
            if step_seen(&self.monitor, front, way)? >= aim {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "step {aim} is not reached");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn step_seen(monitor: &Monitor, front: &Front, way: Way) -> Result<usize> {
    let pool = monitor.pool("public").context("there is a pool")?;
    Ok(way.step(monitor.latest(front)?, pool))
}

/// The way of one Service from one prefix to the next.
#[derive(Clone, Copy, Debug)]
struct Way {
    before: Ipv6Net,
    current: Ipv6Net,
    suffix: std::net::Ipv6Addr,
}

impl Way {
    /// The last step that is done; 0: none. The drain looks like the step before it.
    fn step(&self, version: &Version, pool: &Value) -> usize {
        let [old, new] = [self.before, self.current].map(|net| net.network().to_bits() | self.suffix.to_bits());
        let [old, new] = [old, new].map(std::net::Ipv6Addr::from_bits);
        let asks = |address| version.asked().iter().any(|entry| entry.parse() == Ok(address));
        let blocks: Vec<_> = pool["spec"]["blocks"].as_array().into_iter().flatten().filter_map(bounds).collect();
        let offers = blocks.iter().any(|(start, stop)| *start <= new && new <= *stop);
        let is_whole = blocks
            .iter()
            .any(|(start, stop)| self.current.contains(start) && stop.to_bits() - start.to_bits() == 0xffff);
        let has_old = blocks.iter().any(|(start, _)| self.before.contains(start));
        match () {
            () if !offers => 0,
            () if !asks(new) => 1,
            () if !version.held().contains(&new) => 2,
            () if !version.named().contains(&new) => 3,
            () if !is_whole => 4,
            () if asks(old) => 5,
            () if has_old => 7,
            () => 8,
        }
    }
}
