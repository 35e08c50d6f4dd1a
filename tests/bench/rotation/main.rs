//! How fast a new prefix reaches the pools, and what the daemon costs, on a real kernel with a real API server.
//!
//! ```text
//!  router namespace ── veth ── host namespace
//!  advertisements              the release binary, etcd, kube-apiserver (audit log at level Metadata, always), a watch
//! ```
//!
//! Time zero of a rotation is the kernel's time stamp of the advertisement that leaves the router's namespace; a pool
//! counts from the moment in which a watch of our own has read the event that shows the new prefix. The old prefix
//! stands first in the advertisement, with a preferred lifetime of 0. Next to the daemon the *floor* is measured: a
//! loop that does nothing but one patch for each pool. Everything shares the processors of this machine.
//!
//! Needs root, `ip`, and the programs that `tests/lab/build` builds: `cargo bench --bench rotation`, with `-- --quick`
//! for a first impression in two minutes. Never a part of CI: its numbers are those of a quiet machine or worthless.

#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    dead_code,
    reason = "a program that prints, waits and uses a part of what the tests share"
)]

use anyhow::{Result, bail};
use clap::Parser as _;

#[path = "../../support/lab.rs"]
mod lab;
#[path = "../../support/netns.rs"]
mod netns;

mod configuration;
mod daemon;
mod ear;
mod floor;
mod options;
mod phases;
mod report;
mod router;
mod world;

use options::Options;
use report::{Table, load, mebibytes};

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(reason) = netns::missing() {
        bail!("the benchmark cannot run: {reason}");
    }
    for program in ["etcd", "kube-apiserver"] {
        lab::program(program)?;
    }
    let pair = netns::Pair::joined();
    let router = router::Router::new(&pair)?;
    pair.host.inside(|| run(&options, &router))
}

fn run(options: &Options, router: &router::Router) -> Result<()> {
    println!("load before: {}", load());
    let mut table = Table::default();
    for size in options.sizes() {
        phases::run(&size, router, &mut table)?;
    }
    let size = std::fs::metadata(&options.program)?.len();
    println!("binary: {size} bytes ({:.2} MiB)", mebibytes(size));
    #[expect(clippy::cast_precision_loss, reason = "a file is smaller than 2^52 bytes")]
    table.add(("stripped release binary", "MB", 12.0, 7.0), Some(size as f64 / 1e6));
    println!("load after: {}\n\n{table}", load());
    Ok(())
}
