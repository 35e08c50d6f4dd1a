//! What is done with a scene, in order, and what it says about the budgets.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use crate::daemon::Daemon;
use crate::eyes::Span;
use crate::floor;
use crate::options::Scene;
use crate::report::{Table, Times, load, mebibytes, milliseconds};
use crate::router::Router;
use crate::view::Step;
use crate::world::World;

/// A pause in which everybody gets over a rotation, before the next one.
const BREATH: Duration = Duration::from_millis(700);

/// What was measured of some rotations.
#[derive(Default)]
pub(crate) struct Rotations {
    /// From the advertisement to the first object that shows a step.
    first: BTreeMap<Step, Times>,
    /// To the last one.
    last: BTreeMap<Step, Times>,
    /// From the first write to the last target.
    moving: Times,
    /// From the advertisement until all is at rest.
    moves: Vec<Span>,
    /// The same for the end of the former prefix.
    drains: Vec<Span>,
}

/// Measures a scene, and prints it.
pub(crate) fn run(scene: &Scene, program: &Path, router: &Router, table: &mut Table) -> Result<()> {
    println!("\n=== {scene:?} ===");
    let mut world = World::new(scene, program)?;
    let mut daemon = settle(&mut world, router)?;
    let after_start = memory("after the start", &daemon)?;
    println!("load: {}", load());
    let rotations = rotate(&mut world, router, &mut daemon)?;
    tell("", &rotations);
    let after_rotations = memory("after the rotations", &daemon)?;
    world.check_operator()?;
    costs(&world, &rotations, table)?;
    if scene.others > 0 {
        let (start, rotated) = match scene.pools {
            1 => ("RSS with 10 000 Services, 1 pool: start", "RSS with 10 000 Services, 1 pool: rotated"),
            _ => ("RSS with 10 000 Services, 1000 pools: start", "RSS with 10 000 Services, 1000 pools: rotated"),
        };
        table.add((start, "MiB", 30.0, 15.0), Some(after_start));
        table.add((rotated, "MiB", 30.0, 15.0), Some(after_rotations));
    }
    drop(daemon);
    if scene.floor > 0 {
        tell("floor: ", &floor::rotate(&mut world, router)?);
    }
    Ok(())
}

/// Brings up a cluster in which every managed Service has its address; gives a daemon that has just been started in it.
fn settle(world: &mut World, router: &Router) -> Result<Daemon> {
    let prefix = router.change();
    let mut daemon = world.start_daemon()?;
    let begun = SystemTime::now();
    world.eyes.reach(&[Step::Whole], prefix, Some(&mut daemon))?;
    world.create_services()?;
    world.eyes.reach(&[Step::Tidy, Step::Followed], prefix, Some(&mut daemon))?;
    println!("the Services are there and managed after {:.1?}", begun.elapsed()?);
    drop(daemon);
    let daemon = world.start_daemon()?;
    world.eyes.rest(8 * BREATH);
    Ok(daemon)
}

fn rotate(world: &mut World, router: &Router, daemon: &mut Daemon) -> Result<Rotations> {
    let mut rotations = Rotations::default();
    let cpu = daemon.cpu()?;
    for _ in 0..world.scene.rotations {
        let (prefix, sent) = router.rotate()?;
        let spans = world.eyes.reach(&Step::MOVE, prefix, Some(daemon))?;
        rotations.add(sent, &spans)?;
        world.eyes.rest(BREATH);
        rotations.moves.push((sent, SystemTime::now()));
        let buried = SystemTime::now();
        router.bury();
        for (step, span) in world.eyes.reach(&[Step::Tidy, Step::Followed], prefix, Some(daemon))? {
            rotations.time(step, buried, span)?;
        }
        world.eyes.rest(BREATH);
        rotations.drains.push((buried, SystemTime::now()));
    }
    let used = milliseconds(daemon.cpu()? - cpu) / count(world.scene.rotations);
    println!("CPU of the daemon per rotation: {used:.1} ms");
    Ok(rotations)
}

impl Rotations {
    /// One more, of which these are the steps.
    pub(crate) fn add(&mut self, sent: SystemTime, spans: &BTreeMap<Step, Span>) -> Result<()> {
        for (step, span) in spans {
            self.time(*step, sent, *span)?;
        }
        if let (Some((first, _)), Some((_, last))) = (spans.get(&Step::Offered), spans.get(&Step::Named)) {
            self.moving.push(last.duration_since(*first)?);
        }
        Ok(())
    }

    fn time(&mut self, step: Step, from: SystemTime, (first, last): Span) -> Result<()> {
        self.first.entry(step).or_default().push(first.duration_since(from)?);
        self.last.entry(step).or_default().push(last.duration_since(from)?);
        Ok(())
    }
}

fn tell(who: &str, rotations: &Rotations) {
    for (step, last) in &rotations.last {
        let from = if Step::MOVE.contains(step) { "RA" } else { "RA (old one over)" };
        let (from, title) = (format!("{who}{from}"), step.title());
        if rotations.first[step] != *last {
            println!("{from:>18} → {title:<14} first {}", rotations.first[step]);
        }
        println!("{from:>18} → {title:<14} last  {last}");
    }
    println!("{who}first write → last target  {}", rotations.moving);
}

/// How many requests it took.
fn costs(world: &World, rotations: &Rotations, table: &mut Table) -> Result<()> {
    let (moves, drains) = (world.requests(&rotations.moves)?, world.requests(&rotations.drains)?);
    let times = rotations.moves.len();
    println!("requests, {times} moves: {moves}\nrequests, {times} ends of a drain: {drains}");
    let per = |number: usize, of: usize| Some(count(number) / count(world.scene.rotations * of));
    let (managed, pools) = (world.scene.managed, world.scene.pools);
    let scene = world.scene.name;
    let row = |what: &str| -> &'static str { format!("{scene}: {what}").leak() };
    table.add((row("writes per Service to move"), "", 2.0, 2.0), per(moves.services, managed));
    table.add((row("writes per Service at the end of the drain"), "", 1.0, 1.0), per(drains.services, managed));
    table.add((row("writes per pool to move"), "", 2.0, 2.0), per(moves.pools, pools));
    table.add((row("writes per pool at the end of the drain"), "", 1.0, 1.0), per(drains.pools, pools));
    Ok(())
}

/// Prints how much memory the daemon has; gives VmRSS in MiB.
fn memory(when: &str, daemon: &Daemon) -> Result<f64> {
    let memory = daemon.memory()?;
    let (resident, anonymous) = (mebibytes(memory.resident), mebibytes(memory.anonymous));
    println!("memory {when}: RSS {resident:.2} MiB, RssAnon {anonymous:.2}, at most {:.2}", mebibytes(memory.peak));
    Ok(resident)
}

#[expect(clippy::cast_precision_loss, reason = "counts of objects and requests are far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}
