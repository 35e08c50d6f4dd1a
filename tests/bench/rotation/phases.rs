//! What is done with so many pools, in order, and what it says about the budgets.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};

use crate::daemon::Daemon;
use crate::floor;
use crate::options::Size;
use crate::report::{Budget, Table, Times, mebibytes, milliseconds};
use crate::router::Router;
use crate::world::{Requests, World};

/// A pause in which the API server gets over a rotation, before the next one of a warm series.
const BREATH: Duration = Duration::from_millis(700);
/// How often the router repeats itself while nothing happens.
const REPEAT: Duration = Duration::from_secs(30);
/// A drain period of one minute, and some time for the writes.
const DRAIN_LIMIT: Duration = Duration::from_secs(90);

/// Measures everything that `size` asks for, and prints it.
pub(crate) fn run(size: &Size, router: &Router, table: &mut Table) -> Result<()> {
    println!("\n=== {} pools ===", size.pools);
    let mut world = World::new(size.pools, &size.program)?;
    let mut daemon = starts(size, &mut world, router, table)?;
    memory("after the start", &daemon)?;
    warm(size, &world, router, &mut daemon, table)?;
    cold(size, &world, router, &mut daemon, table)?;
    idle(size, &world, router, &daemon, table)?;
    if size.drain {
        drain(size, &world, router, &mut daemon, table)?;
    }
    let memory = memory("at the end", &daemon)?;
    let asked = if size.pools >= 1000 { ("RSS with 1000 pools", 30.0, 15.0) } else { ("RSS", 15.0, 8.0) };
    table.add((asked.0, "MiB", asked.1, asked.2), Some(memory));
    drop(daemon);
    floor(size, &world, router)
}

/// Times the start of daemons that know nothing, against a router that answers late; the last one stays.
fn starts(size: &Size, world: &mut World, router: &Router, table: &mut Table) -> Result<Daemon> {
    let mut times = Times::default();
    let mut last: Option<Daemon> = None;
    for _ in 0..size.starts {
        drop(last.take());
        world.clear()?;
        world.rest(BREATH, || {}, BREATH);
        let prefix = router.change();
        let mut daemon = world.start_daemon()?;
        let started = SystemTime::now() - daemon.started.elapsed();
        let (first, _) = world.wait_for(prefix, Some(&mut daemon))?;
        times.push(first.duration_since(started)?);
        last = Some(daemon);
    }
    // The log of the server is a little behind its answers.
    world.rest(BREATH, || {}, BREATH);
    println!("start → first pool, RS answered after 250 ms  {times}");
    if size.pools == 1 {
        table.add(("start → first pool, median", "ms", 600.0, 350.0), times.median());
    }
    last.context("at least one start")
}

fn warm(size: &Size, world: &World, router: &Router, daemon: &mut Daemon, table: &mut Table) -> Result<()> {
    let (requests, cpu) = (world.requests()?, daemon.cpu()?);
    let rotations = world.rotate(router, Some(daemon), size.rotations, BREATH)?;
    world.rest(BREATH, || {}, BREATH);
    let used = milliseconds(daemon.cpu()? - cpu) / count(size.rotations);
    let requests = world.requests()? - requests;
    println!("warm: RA → first pool  {}", rotations.first);
    println!("warm: RA → last pool   {}", rotations.last);
    println!("warm: CPU of the daemon per rotation {used:.2} ms; requests in {} rotations: {requests}", size.rotations);
    memory("after the rotations", daemon)?;
    match size.pools {
        1 => {
            table.add(("RA → first pool, warm, median", "ms", 20.0, 6.0), rotations.first.median());
            table.add(("RA → first pool, warm, worst", "ms", 100.0, 20.0), rotations.first.worst());
        }
        100 => table.add(("RA → last of 100 pools, median", "ms", 250.0, 130.0), rotations.last.median()),
        1000 => table.add(("RA → last of 1000 pools, median", "ms", 2500.0, 1600.0), rotations.last.median()),
        _ => {}
    }
    let writes = (size.rotations > 0).then(|| count(requests.writes) / count(size.rotations));
    table.add(per_pool("writes per rotation, at the change", size), writes);
    Ok(())
}

fn cold(size: &Size, world: &World, router: &Router, daemon: &mut Daemon, table: &mut Table) -> Result<()> {
    let rotations = world.rotate(router, Some(daemon), size.cold, size.cold_pause)?;
    if size.cold > 0 {
        println!("after {:?}: RA → first pool  {}", size.cold_pause, rotations.first);
        println!("after {:?}: RA → last pool   {}", size.cold_pause, rotations.last);
    }
    if size.pools == 1 {
        table.add(("RA → first pool, after 120 s of silence, median", "ms", 60.0, 8.0), rotations.first.median());
        table.add(("RA → first pool, after 120 s of silence, worst", "ms", 150.0, 25.0), rotations.first.worst());
    }
    Ok(())
}

/// Nothing happens but that the router repeats itself.
fn idle(size: &Size, world: &World, router: &Router, daemon: &Daemon, table: &mut Table) -> Result<()> {
    if size.idle.is_zero() {
        return Ok(());
    }
    world.rest(BREATH, || {}, BREATH);
    let (requests, cpu) = (world.requests()?, daemon.cpu()?);
    world.rest(size.idle, || router.advertise(), REPEAT);
    let (requests, used) = (world.requests()? - requests, daemon.cpu()? - cpu);
    println!("idle for {:?}: CPU {:.2} ms; {requests}", size.idle, milliseconds(used));
    memory("after being idle", daemon)?;
    if size.idle == Duration::from_secs(300) {
        table.add(("5 idle minutes: writes", "", 0.0, 0.0), Some(count(requests.writes)));
        table.add(("5 idle minutes: other requests", "", 0.0, 0.0), Some(count(requests.others.len())));
        table.add(("5 idle minutes: CPU", "s", 0.05, 0.01), Some(used.as_secs_f64()));
    }
    Ok(())
}

/// A rotation whose old prefix leaves after a minute.
fn drain(size: &Size, world: &World, router: &Router, daemon: &mut Daemon, table: &mut Table) -> Result<()> {
    // With the shorter history, older prefixes leave at once.
    world.shorten_drain(daemon)?;
    world.rotate(router, Some(daemon), 1, BREATH)?;
    world.rest(BREATH, || {}, BREATH);
    world.rotate(router, Some(daemon), 1, BREATH)?;
    world.rest(BREATH, || {}, BREATH);
    let (requests, begun) = (world.requests()?, Instant::now());
    world.wait_for_drained(daemon, DRAIN_LIMIT)?;
    let waited = begun.elapsed();
    world.rest(BREATH, || {}, BREATH);
    let requests = world.requests()? - requests;
    println!("end of the drain, after {waited:.1?}: {requests}");
    table.add(per_pool("writes at the end of the drain", size), Some(count(requests.writes)));
    Ok(())
}

fn floor(size: &Size, world: &World, router: &Router) -> Result<()> {
    for connections in if size.pools > 1 { &[1, 4][..] } else { &[1] } {
        world.clear()?;
        let rotations = floor::rotate(world, router, *connections, size.floor, BREATH)?;
        println!("floor, {connections} connections: RA → first pool  {}", rotations.first);
        println!("floor, {connections} connections: RA → last pool   {}", rotations.last);
    }
    Ok(())
}

/// Prints how much memory the daemon has; gives VmRSS in MiB.
fn memory(when: &str, daemon: &Daemon) -> Result<f64> {
    let memory = daemon.memory()?;
    let (resident, anonymous) = (mebibytes(memory.resident), mebibytes(memory.anonymous));
    println!("memory {when}: RSS {resident:.2} MiB, RssAnon {anonymous:.2}, at most {:.2}", mebibytes(memory.peak));
    Ok(resident)
}

fn per_pool(what: &'static str, size: &Size) -> Budget {
    (what, "", count(size.pools), count(size.pools))
}

#[expect(clippy::cast_precision_loss, reason = "counts of pools and requests are far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

impl std::fmt::Display for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { all, writes, watches, refused, others } = self;
        write!(f, "{all} requests, {writes} writes, {watches} watches begun, {refused} writes refused")?;
        others.iter().try_for_each(|other| write!(f, "\n    {other}"))
    }
}
