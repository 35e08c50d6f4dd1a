//! How long it takes from a Reply on the wire until the daemon that only observes has the change, and what observing costs
//! on a link full of other packets, on a real kernel.
//!
//! ```text
//!  router namespace ── veth ── host namespace
//!  a server, and a flood       a client, and the daemon beside it, asked by its control socket
//! ```
//!
//! Time zero is taken before the server's send(2); the end is the moment in which the first status that shows the new
//! prefix was read, which is asked for again and again. Client and server are played by this program: what they take is in no figure.
//!
//! Needs root and `ip`: `cargo bench --bench observe`, with `-- --replies 20 --seconds 2` for a first impression. Never a
//! part of CI: its numbers are those of a quiet machine or worthless.

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

#[path = "../../support/flood.rs"]
mod flood;
#[path = "../../support/lab.rs"]
mod lab;
#[path = "../../support/netns.rs"]
mod netns;
#[path = "../rotation/report.rs"]
mod report;

mod cost;
mod replies;
mod traffic;
mod world;

/// Measures what observing another DHCPv6 client takes
#[derive(clap::Parser)]
struct Options {
    /// Replies, each with another prefix
    #[arg(long, default_value = "200")]
    replies: u32,
    /// How long each load lasts, in seconds; 0: not measured
    #[arg(long, default_value = "10")]
    seconds: u64,
    /// Packets per second that are none of the client's business
    #[arg(long, default_value = "100000")]
    rate: u32,
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
    println!("load before: {}", report::load());
    replies::run(&options)?;
    if options.seconds > 0 {
        traffic::run(&options)?;
    }
    println!("load after: {}", report::load());
    Ok(())
}
