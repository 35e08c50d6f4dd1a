//! Which stories there are.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::Test;
use crate::generations::Generations;
use crate::lab::{CiliumOperator, METALLB_NAMESPACE, MetallbController, private_network};
use crate::monitor::Monitor;
use crate::netns::Pair;
use crate::second::Second;
use crate::services::{Scope, of_cilium, of_metallb, of_two};
use crate::steps::{Fate, Random, SHORT, Step, To, steps};
use crate::story::{Frame, Story};
use crate::uplink::Source;
use crate::world::{CILIUM_POOLS, METALLB_POOLS, Setup, World};

const CILIUM: &[&str] = &["etcd", "kube-apiserver", "cilium-operator"];

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "cilium_forty_services_while_the_prefix_rotates",
        programs: CILIUM,
        others: &[],
        only_full: false,
        run: annotated,
    },
    Test {
        name: "cilium_every_service_of_ours_while_the_prefix_rotates",
        programs: CILIUM,
        others: &[],
        only_full: false,
        run: every_one,
    },
    Test { name: "cilium_with_radvd", programs: CILIUM, others: &["radvd"], only_full: false, run: radvd },
    Test { name: "cilium_with_kea", programs: CILIUM, others: &["kea-dhcp6"], only_full: false, run: kea },
    Test { name: "cilium_two_prefixes", programs: CILIUM, others: &[], only_full: false, run: two },
    Test { name: "cilium_killed_in_every_step", programs: CILIUM, others: &[], only_full: false, run: killed },
    Test { name: "cilium_mode_simple", programs: CILIUM, others: &[], only_full: false, run: simple },
    Test { name: "cilium_the_whole_wait_after_dns", programs: CILIUM, others: &[], only_full: true, run: whole_wait },
    Test {
        name: "metallb_services_while_the_prefix_rotates",
        programs: &["etcd", "kube-apiserver", "metallb-controller"],
        others: &[],
        only_full: true,
        run: metallb,
    },
];

const ANNOTATED: Frame = Frame { source: Source::Forged, scope: Scope::Annotated, metallb: false };

fn annotated() -> Result<()> {
    rotating(ANNOTATED, rotations()?)
}

fn every_one() -> Result<()> {
    rotating(Frame { scope: Scope::All, ..ANNOTATED }, rotations()? / 2)
}

fn radvd() -> Result<()> {
    served(Source::Radvd)
}

fn kea() -> Result<()> {
    served(Source::Kea)
}

/// The program of others that announces the prefix takes every way, too.
fn served(source: Source) -> Result<()> {
    let mut all = if crate::is_full() { steps(rotations()? / 2) } else { SHORT.to_vec() };
    if source == Source::Kea {
        // What it has forgotten the daemon learns seconds later: nothing comes close upon it.
        all.iter_mut().for_each(|step| step.hurry = false);
    }
    rotating_by(Frame { source, ..ANNOTATED }, &all)
}

/// How often the prefix rotates.
fn rotations() -> Result<usize> {
    let Ok(text) = std::env::var("DYN_PREFIX_ROTATIONS") else { return Ok(if crate::is_full() { 20 } else { 8 }) };
    text.parse().with_context(|| format!("DYN_PREFIX_ROTATIONS={text}"))
}

/// So many rotations with Cilium.
fn rotating(frame: Frame, rotations: usize) -> Result<()> {
    rotating_by(frame, &steps(rotations))
}

fn rotating_by(frame: Frame, steps: &[Step]) -> Result<()> {
    let transition = match frame.scope {
        Scope::Annotated => r#"mode = "ha""#,
        Scope::All => r#"mode = "ha", services = "all""#,
        Scope::Simple => r#"mode = "simple""#,
    };
    let with_dns =
        crate::is_full() && crate::lab::available("external-dns") && crate::netns::on_path("knotd").is_some();
    cilium(frame, transition, None, |story| {
        if with_dns {
            story.with_real_dns()?;
        }
        story.begin(of_cilium(), steps.len().min(8))?;
        all_of(story, steps)
    })
}

/// Does the steps, and says what was seen.
fn all_of(story: &mut Story<'_>, steps: &[Step]) -> Result<()> {
    let began = Instant::now();
    let writes = story.world.writes()?;
    for (index, step) in steps.iter().enumerate() {
        story.rotate(*step).with_context(|| format!("rotation {} of {}, {step:?}", index + 1, steps.len()))?;
    }
    crate::say(&format!(
        "{} rotations in {:?}, {} writes of the daemon: {}; {}",
        steps.len(),
        began.elapsed(),
        story.world.writes()? - writes,
        story.tally,
        story.monitor.summary(),
    ));
    Ok(())
}

/// The drain is as short as it can be: nothing but DNS keeps the old address, and that does for 120 s.
fn whole_wait() -> Result<()> {
    let transition = r#"mode = "ha", drainPeriodMinutes = 0"#;
    cilium(ANNOTATED, transition, Some(Duration::ZERO), |story| {
        story.begin(of_cilium(), 0)?;
        let step = Step { to: To::Next, fate: Fate::Gracious, hurry: false, kill: true };
        story.rotate(step)?;
        story.expect_left(Duration::from_secs(180))
    })
}

/// Two DynamicPrefixes that change at different times, a pool for each, and one pool with both.
fn two() -> Result<()> {
    let transition = r#"mode = "ha""#;
    let steps = steps(rotations()?);
    cilium(ANNOTATED, transition, None, |story| {
        story.with_second(Second::new(transition)?)?;
        story.begin(of_two(), 4)?;
        all_of(story, &steps)
    })
}

/// The daemon is killed in each step of the order.
fn killed() -> Result<()> {
    cilium(ANNOTATED, r#"mode = "ha""#, None, |story| {
        story.begin(of_cilium(), 0)?;
        story.kill_in_every_step()?;
        crate::say(&format!("{}; {}", story.tally, story.monitor.summary()));
        Ok(())
    })
}

/// The narrowing: no Service changes while the old prefix drains, a new one gets the new prefix.
fn simple() -> Result<()> {
    rotating(Frame { scope: Scope::Simple, ..ANNOTATED }, rotations()? / 2)
}

/// A link, an API server with the operator and two pools, then `tell`.
fn cilium(
    frame: Frame,
    transition: &str,
    drain: Option<Duration>,
    tell: impl FnOnce(&mut Story<'_>) -> Result<()> + Send,
) -> Result<()> {
    let random = Random::seeded()?;
    crate::say(&format!("DYN_PREFIX_SEED={} ({frame:?})", random.0));
    let pair = Pair::joined();
    pair.host.inside(|| {
        let world = World::start()?;
        world.create_cilium_pools()?;
        let mut operator = CiliumOperator::start(&world.api)?;
        let setup = Setup { acquisition: frame.source.acquisition(), transition: transition.to_owned(), second: None };
        world.configure(&setup, &of_cilium())?;
        let monitor = Monitor::start(&world.api, &[CILIUM_POOLS], Generations::new(drain))?;
        let mut story = Story::new(frame, world, monitor, frame.source.start(&pair)?, random);
        let outcome = tell(&mut story).and_then(|()| story.world.expect_nothing_refused());
        let outcome = story.explain(outcome);
        operator.process().check_alive().and(outcome)
    })
}

/// In a network of its own, for the controller listens on all addresses: the prefix is one of the configuration.
fn metallb() -> Result<()> {
    let story = std::thread::spawn(|| private_network().and_then(|()| in_private_network()));
    story.join().unwrap_or_else(|_| bail!("the story panicked"))
}

fn in_private_network() -> Result<()> {
    let world = World::start()?;
    world.api.install_metallb_crds()?;
    world.api.ensure_namespace(METALLB_NAMESPACE)?;
    world.create_metallb_pool()?;
    let mut controller = MetallbController::start(&world.api)?;
    let frame = Frame { source: Source::Static, scope: Scope::Annotated, metallb: true };
    let monitor = Monitor::start(&world.api, &[METALLB_POOLS], Generations::new(None))?;
    let random = Random::seeded()?;
    let uplink = crate::uplink::Uplink::Static;
    let mut story = Story::new(frame, world, monitor, uplink, random);
    let mut tell = || {
        story.begin(of_metallb(), 3)?;
        let gracious = steps(rotations()?).into_iter().map(|step| Step { fate: Fate::Gracious, ..step });
        all_of(&mut story, &gracious.collect::<Vec<_>>())
    };
    let outcome = tell().and_then(|()| story.world.expect_nothing_refused());
    let outcome = story.explain(outcome);
    controller.process().check_alive().and(outcome)
}
