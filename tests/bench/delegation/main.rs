//! How long it takes from link-up to a delegated prefix in the pool, and what the DHCPv6 client costs in memory, with
//! real servers on a real kernel.
//!
//! ```text
//!  router namespace ── veth ── host namespace
//!  Kea                         the release binary, etcd, kube-apiserver, a watch
//! ```
//!
//! Each start is that of a daemon that knows nothing, and waits for its link. Time zero is taken before
//! `ip link set up` is run; the end is the moment in which a watch of our own has read the event that shows the range of
//! the delegated prefix. Most of the time between belongs to others, and is shown by itself: duplicate address
//! detection (RFC 4862 §5.4), the random delay of the first Solicit (0 to 1 s) and the time for which other servers may
//! answer (1 to 1.1 s; RFC 9915 §18.2.1).
//!
//! Needs root, `ip`, the programs that `tests/lab/build` builds, and Kea:
//! `eval "$(tests/lab/debs kea-dhcp6)"; cargo bench --bench delegation`, with `-- --starts 5` for a first impression.
//! Never a part of CI: its numbers are those of a quiet machine or worthless.

#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    dead_code,
    reason = "a program that prints, waits and uses a part of what the tests share"
)]

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Parser as _;

#[path = "../../interop/capture.rs"]
mod capture;
#[path = "../../support/lab.rs"]
mod lab;
#[path = "../../support/netns.rs"]
mod netns;
#[path = "../rotation/report.rs"]
mod report;
#[path = "../../interop/servers/mod.rs"]
mod servers;

mod phases;
mod world;

use servers::Kind;
use world::{Acquisition, World};

/// Measures how long a delegated prefix takes from link-up to a pool
#[derive(clap::Parser)]
struct Options {
    /// Starts of the daemon, with four messages and with two
    #[arg(long, default_value = "50")]
    starts: usize,
    /// Another program than the one that was built with the benchmark
    #[arg(long, default_value = env!("CARGO_BIN_EXE_dyn-prefix"))]
    program: PathBuf,
    /// `cargo bench` says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(reason) = netns::missing() {
        bail!("the benchmark cannot run: {reason}");
    }
    for program in ["etcd", "kube-apiserver"] {
        lab::program(program)?;
    }
    if servers::find(Kind::Kea.program()).is_none() {
        bail!("{} is not on PATH: eval \"$(tests/lab/debs kea-dhcp6)\"", Kind::Kea.program());
    }
    let pair = netns::Pair::apart();
    world::join(&pair)?;
    pair.host.inside(|| run(&options, &pair))
}

fn run(options: &Options, pair: &netns::Pair) -> Result<()> {
    println!("load before: {}", load());
    let mut world = World::new(pair, &options.program)?;
    let with = phases::starts(&mut world, Acquisition::FourMessages, options.starts)?;
    phases::starts(&mut world, Acquisition::TwoMessages, options.starts)?;
    let without = phases::without(&mut world)?;
    println!("memory without the client: {without}\nmemory with the client:    {with}");
    println!("load after: {}", load());
    Ok(())
}

/// How busy the machine is: the averages of 1, 5 and 15 minutes.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{} on {processors} processors", text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}
