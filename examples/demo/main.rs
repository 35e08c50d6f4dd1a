//! dyn-prefix on one screen: an ISP that changes its mind, the real daemon, and three pools that follow.
//!
//! ```text
//!   network namespace        network namespace
//!   ┌─ ISP router ─┐  veth  ┌─ host ────────────────────────────────────────────┐
//!   │ isp  fe80::1 ├────────┤ wan   dyn-prefix run ──https──► API server        │
//!   └──────────────┘        │                                 (in this process) │
//!                           └───────────────────────────────────────────────────┘
//! ```
//!
//! `cargo run --release --example demo`. It needs root or user namespaces, touches no network of this machine, and its
//! exit status says whether the pools were right each time.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

#[path = "../../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
mod support;

mod cluster;
mod daemon;
mod delegation;
mod isp;
mod link;
mod prefixes;
mod sandbox;
mod story;
mod timeline;

/// The first argument with which this program is `dyn-prefix` itself.
const AS_DYN_PREFIX: &str = "dyn-prefix";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == AS_DYN_PREFIX) {
        return dyn_prefix::cli::main(arguments);
    }
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing can be done about a standard error that is closed.
            drop(writeln!(io::stderr(), "demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn demo() -> anyhow::Result<()> {
    // Before there is any other thread: the kernel moves only a process with one thread into a user namespace.
    sandbox::enter()?;
    let isp = isp::Isp::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start tokio")?;
    let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    runtime.block_on(async {
        tokio::select! {
            outcome = story::tell(isp, timeline::Timeline::new(colours)) => outcome,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })
}
