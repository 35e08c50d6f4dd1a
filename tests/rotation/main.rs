//! Services and DNS follow the prefix without a gap, with the real programs: kube-apiserver, the Cilium operator with
//! LB-IPAM, radvd and Kea; with DYN_PREFIX_LAB_FULL=1 also the MetalLB controller and external-dns, which writes into a
//! knot. `cargo test --test rotation`, as root, after `tests/lab/build`.
//!
//! A monitor ([`judge`]) sees every version of every Service from the start on, and what DNS answers: the real one with
//! `full`, else a model of external-dns that is held against the real one there. `DYN_PREFIX_ROTATIONS` is how often
//! the prefix rotates, `DYN_PREFIX_SEED` repeats a run.

#![expect(clippy::disallowed_methods, reason = "real programs: their time is that of the machine")]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

#[path = "../support/external_dns.rs"]
mod external_dns;
#[path = "../support/lab.rs"]
mod lab;
#[expect(dead_code, clippy::expect_used, reason = "these tests need a part of it, and a broken rig fails them")]
#[path = "../support/netns.rs"]
mod netns;
#[expect(dead_code, clippy::expect_used, reason = "these tests need a part of it, and a broken rig fails them")]
#[path = "../interop/servers/mod.rs"]
mod servers;

mod allowed;
mod arrived;
mod dns;
mod generations;
mod judge;
mod judged;
mod killed;
mod meanwhile;
mod modelled;
mod monitor;
mod reserved;
mod said;
mod scenes;
mod second;
mod services;
mod steps;
mod story;
mod tally;
mod uplink;
mod version;
mod world;

/// A test: its name, the programs it needs, whether it is for `full` only, and what it does.
pub(crate) struct Test {
    name: &'static str,
    /// Of the lab.
    programs: &'static [&'static str],
    /// On PATH.
    others: &'static [&'static str],
    only_full: bool,
    run: fn() -> anyhow::Result<()>,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Two at a time: an API server, an operator and a daemon each want a processor now and then.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let all = [judged::TESTS, modelled::TESTS, scenes::TESTS];
    let network = netns::missing();
    let trials = all.into_iter().flatten().map(|test| trial(test, network.clone())).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Whether this is `tests/run full`.
pub(crate) fn is_full() -> bool {
    std::env::var_os("DYN_PREFIX_LAB_FULL").is_some_and(|value| value == "1")
}

/// Why a test cannot run on this machine, if it cannot.
fn missing(test: &Test, network: Option<String>) -> Option<String> {
    if test.only_full && !is_full() {
        return Some("part of the full layer only (tests/run full, or DYN_PREFIX_LAB_FULL=1)".to_owned());
    }
    let of_lab = || test.programs.iter().find_map(|name| lab::program(name).err()).map(|error| format!("{error:#}"));
    let on_path = || {
        let absent = test.others.iter().find(|name| netns::on_path(name).is_none())?;
        Some(format!("{absent} is not on PATH (tests/lab/debs)"))
    };
    let network = || network.filter(|_| !test.programs.is_empty());
    of_lab().or_else(on_path).or_else(network)
}

fn trial(test: &'static Test, network: Option<String>) -> Trial {
    Trial::ignorable_test(test.name, move || match missing(test, network) {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => (test.run)().map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}"))),
    })
}

/// A figure that was measured, or what a failure can be repeated with.
#[expect(clippy::print_stderr, reason = "for whoever runs the tests")]
fn say(text: &str) {
    eprintln!("    {text}");
}
