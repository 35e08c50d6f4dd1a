//! How fast Services of mode ha move to a new prefix, and what that costs, on a real kernel with a real API server and
//! the real Cilium operator.
//!
//! ```text
//!  router namespace ── veth ── host namespace
//!  advertisements              the release binary, etcd, kube-apiserver (audit log at level Metadata, always),
//!                              cilium-operator (LB-IPAM), two watches
//! ```
//!
//! Time zero of a rotation is the kernel's time stamp of the advertisement that leaves the router's namespace; an object
//! counts from the moment in which a watch of our own has read the event that shows the step. When all have moved, the
//! old prefix is announced as over, so that each rotation begins with Services that ask for one address: the drain
//! and the 120 s after DNS, which are only waited for, are not measured, their writes are. Next to the daemon the
//! *floor* is measured: a plain client that takes the same steps, one request after the other, knowing nothing and
//! checking nothing. Everything shares the processors of this machine. What external-dns takes to carry a target into
//! DNS is a constant of its own (5.8 s), and no part of this.
//!
//! Needs root, `ip`, and the programs that `tests/lab/build` builds: `cargo bench --bench services`, with `-- --quick`
//! for a first impression. Never a part of CI: its numbers are those of a quiet machine or worthless.

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

#[path = "../rotation/daemon.rs"]
mod daemon;
#[path = "../rotation/ear.rs"]
mod ear;
#[path = "../../support/lab.rs"]
mod lab;
#[path = "../../support/netns.rs"]
mod netns;
#[path = "../rotation/report.rs"]
mod report;
#[path = "../rotation/router.rs"]
mod router;

mod eyes;
mod floor;
mod options;
mod phases;
mod requests;
mod view;
mod world;

use options::Options;
use report::{Table, load};

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(reason) = netns::missing() {
        bail!("the benchmark cannot run: {reason}");
    }
    for program in ["etcd", "kube-apiserver", "cilium-operator"] {
        lab::program(program)?;
    }
    println!("load before: {}", load());
    let mut table = Table::default();
    for scene in options.scenes()? {
        // Each has a network of its own, so a daemon never hears of another scene's prefixes.
        let pair = netns::Pair::joined();
        let router = router::Router::new(&pair)?;
        pair.host.inside(|| phases::run(&scene, &options.program, &router, &mut table))?;
    }
    println!("load after: {}\n\n{table}", load());
    Ok(())
}
