//! The daemon as a user runs it, end to end: its real binary in a network namespace, a router with radvd (or with
//! packets of the test's own making) on the other end of the link, and a real kube-apiserver with the projects' CRDs.
//! What counts is what a watch on the pools shows. Needs root; `cargo test --test e2e`.
//!
//! Most tests share one API server and one pair of namespaces, and run one after the other. Those of [`delegation`] have
//! their own, and run beside them.

#![expect(clippy::disallowed_methods, reason = "real programs: their time is that of the machine")]

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use rig::{Rig, Scene};

#[path = "../support/lab.rs"]
mod lab;
#[expect(dead_code, clippy::expect_used, reason = "these tests need a part of it, and a broken rig fails them")]
#[path = "../support/netns.rs"]
mod netns;

#[expect(dead_code, clippy::expect_used, reason = "these tests need a part of it, and a broken rig fails them")]
#[path = "../support/answers.rs"]
mod answers;

/// What the tests with DHCPv6 servers are made of.
#[expect(dead_code, clippy::expect_used, reason = "these tests need a part of it, and a broken rig fails them")]
#[path = "../interop"]
mod interop {
    pub(crate) mod capture;
    pub(crate) mod daemon;
    mod replayed;
    mod rules;
    pub(crate) mod scene;
    pub(crate) mod servers;
    pub(crate) mod tun;
}

mod away;
mod daemon;
mod delegation;
mod forged;
mod kill;
mod lookouts;
mod planned;
mod pool;
mod radvd;
mod reload;
mod resident;
mod rig;
mod scraped;
mod store;

/// A test by name.
type Test = (&'static str, fn(&mut Scene<'_>) -> Result<()>);

/// The rig, once the first test has made it.
type Shared = Arc<Mutex<Option<Rig>>>;

fn main() -> ExitCode {
    let missing = missing();
    let no_radvd = netns::radvd().is_none().then(|| "radvd is not on PATH (Debian package radvd)".to_owned());
    let no_promtool = netns::on_path("promtool").is_none();
    let no_promtool = no_promtool.then(|| "promtool is not on PATH (Debian package prometheus)".to_owned());
    let shared = Shared::default();
    let trials = |tests: &[Test], missing: Option<String>| -> Vec<Trial> {
        tests.iter().map(|test| trial(*test, missing.clone(), Arc::clone(&shared))).collect()
    };
    let without_radvd =
        [forged::TESTS, reload::TESTS, store::TESTS, away::TESTS, kill::TESTS, lookouts::TESTS].concat();
    // First those that run at the same time; one thread is left for the others, which wait for each other.
    let mut all = delegation::trials(missing.as_deref());
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(all.len() + 1));
    all.extend(trials(&[radvd::TESTS, planned::TESTS].concat(), missing.clone().or(no_radvd)));
    all.extend(trials(scraped::TESTS, missing.clone().or(no_promtool)));
    all.extend(trials(&without_radvd, missing));
    let conclusion = libtest_mimic::run(&arguments, all);
    drop(shared.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}

/// Why none of it can run on this machine, if it cannot.
fn missing() -> Option<String> {
    let program = |name| lab::program(name).err().map(|error| format!("{error:#}"));
    netns::missing().or_else(|| program("etcd")).or_else(|| program("kube-apiserver"))
}

fn trial((name, test): Test, missing: Option<String>, shared: Shared) -> Trial {
    Trial::ignorable_test(name, move || match missing {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => run(test, &shared).map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}"))),
    })
}

fn run(test: fn(&mut Scene<'_>) -> Result<()>, shared: &Shared) -> Result<()> {
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let rig = match &mut *shared {
        Some(rig) => rig,
        None => shared.insert(Rig::new()?),
    };
    rig.run(test)
}

/// A figure that was measured, or what a failure can be repeated with.
#[expect(clippy::print_stderr, reason = "for whoever runs the tests")]
fn say(text: &str) {
    eprintln!("    {text}");
}
