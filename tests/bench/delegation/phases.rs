//! What is done, in order.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::dhcpv6::wire::{ClientMessage, ServerMessage};
use ipnet::Ipv6Net;

use crate::capture::{Capture, Seen};
use crate::netns::WAN;
use crate::report::{Times, milliseconds};
use crate::servers::{Kind, Pool, Server, wait_for_link_local};
use crate::world::{Acquisition, Memory, World, memory};

/// What Kea delegates parts of.
const DELEGATED: &str = "2001:db8:aa00::";
/// How long the daemon stays after a start, so that what it has to store and to say is done.
const BREATH: Duration = Duration::from_millis(500);

/// The parts of a start, from link-up to the pool.
#[derive(Default)]
struct Parts {
    link_local: Times,
    solicit: Times,
    reply: Times,
    pool: Times,
    whole: Times,
    shares: Vec<Duration>,
}

/// Times so many starts; the memory of the last daemon.
pub(crate) fn starts(world: &mut World<'_>, acquisition: Acquisition, count: usize) -> Result<Memory> {
    let two = acquisition == Acquisition::TwoMessages;
    let pool = Pool { rapid_commit: two, ..Pool::from(DELEGATED).with_times([1800, 2880, 3600, 7200]) };
    let server = Server::start(Kind::Kea, &world.pair.router, &pool)?;
    let link = Capture::start(&world.pair.router)?;
    let mut parts = Parts::default();
    let mut cost = None;
    for _ in 0..count {
        world.pair.host.ip(&format!("link set {WAN} down"));
        world.clear()?;
        let mut daemon = world.start_daemon(acquisition)?;
        let before = link.position();
        let up = Instant::now();
        world.pair.host.ip(&format!("link set {WAN} up"));
        wait_for_link_local(&world.pair.host, WAN)?;
        parts.link_local.push(up.elapsed());
        let (end, range) = world.wait_for_range(&mut daemon)?;
        let all: Ipv6Net = format!("{DELEGATED}/48").parse()?;
        ensure!(all.contains(&range), "{range} is no part of what Kea delegates");
        parts.add(up, end, link.all().get(before..).unwrap_or_default())?;
        std::thread::sleep(BREATH);
        cost = Some(memory(&daemon)?);
    }
    drop(server);
    println!("\n=== {acquisition:?}: {count} starts, Kea ===\n{parts}");
    cost.context("at least one start")
}

/// The memory of a daemon without the client, with the same pool.
pub(crate) fn without(world: &mut World<'_>) -> Result<Memory> {
    world.clear()?;
    let mut daemon = world.start_daemon(Acquisition::Static)?;
    world.wait_for_range(&mut daemon)?;
    std::thread::sleep(BREATH);
    memory(&daemon)
}

impl Parts {
    fn add(&mut self, up: Instant, end: Instant, seen: &[Seen]) -> Result<()> {
        let is_solicit = |seen: &&Seen| seen.client().is_some_and(|message| message.kind == ClientMessage::Solicit);
        let is_reply = |seen: &&Seen| seen.server().is_some_and(|message| message.kind == ServerMessage::Reply);
        let solicit = seen.iter().find(is_solicit).context("a Solicit")?.at;
        let reply = seen.iter().find(is_reply).context("a Reply")?.at;
        self.solicit.push(solicit - up);
        self.reply.push(reply - solicit);
        self.pool.push(end.saturating_duration_since(reply));
        self.whole.push(end - up);
        self.shares.push(end - up);
        Ok(())
    }
}

impl std::fmt::Display for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "link-up → link-local usable (kernel)  {}", self.link_local)?;
        writeln!(f, "link-up → first Solicit               {}", self.solicit)?;
        writeln!(f, "first Solicit → Reply                 {}", self.reply)?;
        writeln!(f, "Reply → pool                          {}", self.pool)?;
        writeln!(f, "link-up → pool                        {}", self.whole)?;
        f.write_str(&histogram(&self.shares))
    }
}

/// How many of the times fall into each quarter of a second.
fn histogram(times: &[Duration]) -> String {
    let mut text = String::new();
    let slot = |time: &Duration| time.as_millis() / 250;
    let (first, last) = (times.iter().map(slot).min().unwrap_or(0), times.iter().map(slot).max().unwrap_or(0));
    for number in first..=last {
        let count = times.iter().filter(|time| slot(time) == number).count();
        let from = milliseconds(Duration::from_millis(250)) * f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  from {from:6.0} ms  {count:>3} {}", "#".repeat(count));
    }
    text
}
