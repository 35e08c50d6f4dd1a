//! What observing costs on a link that carries other packets.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::time::{ClockId, clock_gettime};

use crate::Options;
use crate::cost::{Cost, Used};
use crate::flood::{BATCH, Flood, Way, card};
use crate::netns::{LAN, Pair, WAN};
use crate::world::{Daemon, QUIET, link, passed};

/// How long a daemon stays before it is looked at, so that what a start is followed by is done.
const BREATH: Duration = Duration::from_secs(2);
/// Of ten batches, how many go to the host; the others leave it.
const INCOMING: usize = 9;

pub(crate) fn run(options: &Options) -> Result<()> {
    let pair = link();
    let kinds = [Way::In, Way::Out].map(|way| flood(&pair, way).kinds());
    println!("\n=== {} packets/s for {} s, {kinds:?} kinds in and out ===", options.rate, options.seconds);
    println!("without a daemon    {}", load(options, &pair)?);
    for (interface, loaded) in [(QUIET, false), (QUIET, true), (WAN, false), (WAN, true)] {
        let daemon = Daemon::start(&pair.host, &options.program, interface)?;
        std::thread::sleep(BREATH);
        let given = daemon.given()?;
        let (began, before) = (Instant::now(), Cost::of(daemon.process.pid())?);
        let load = if loaded {
            Some(load(options, &pair)?)
        } else {
            std::thread::sleep(Duration::from_secs(options.seconds));
            None
        };
        let after = Cost::of(daemon.process.pid())?;
        let used = Used { before, after, seconds: began.elapsed().as_secs_f64() };
        let given = daemon.given()? - given;
        println!("observing {interface:<5}     {}", load.as_deref().unwrap_or("no packets"));
        println!("  the daemon        {used}  given {given} packets");
        ensure!(given == 0, "the filter lets through what is none of the client's business");
    }
    Ok(())
}

fn flood(pair: &Pair, way: Way) -> Flood {
    let cards = [pair.host.inside(|| card(WAN)), pair.router.inside(|| card(LAN))];
    match way {
        Way::In => pair.router.inside(|| Flood::new(LAN, cards[0], way)),
        Way::Out => pair.host.inside(|| Flood::new(WAN, cards[1], way)),
    }
}

/// Puts the load on the link; what was reached, and what it took of this thread, which also runs the kernel's share.
#[expect(clippy::cast_precision_loss, reason = "counts of packets are far below 2^52")]
fn load(options: &Options, pair: &Pair) -> Result<String> {
    let (mut incoming, mut outgoing) = (flood(pair, Way::In), flood(pair, Way::Out));
    let before = passed(&pair.host, WAN)?;
    let (began, spent) = (Instant::now(), clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
    let length = Duration::from_secs(options.seconds);
    let mut sent: usize = 0;
    let mut batches: usize = 0;
    while began.elapsed() < length {
        let due = began.elapsed().as_secs_f64() * f64::from(options.rate);
        if (sent as f64) < due {
            let flood = if batches % 10 < INCOMING { &mut incoming } else { &mut outgoing };
            sent += flood.send(BATCH);
            batches += 1;
        } else {
            std::thread::sleep(Duration::from_micros(300));
        }
    }
    let elapsed = began.elapsed().as_secs_f64();
    let spent = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?) - Duration::from(spent);
    let through = passed(&pair.host, WAN)? - before;
    Ok(format!(
        "{:.0} packets/s sent, {:.0} /s seen on the link; sending and receiving took {:.2} µs each",
        sent as f64 / elapsed,
        through as f64 / elapsed,
        spent.as_secs_f64() * 1e6 / sent as f64
    ))
}
