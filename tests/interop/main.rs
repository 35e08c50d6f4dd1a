//! The daemon as a DHCPv6 client of real servers, in network namespaces: its real binary, the servers and other clients
//! that Debian has, and every message on the link read by the test. Needs root; `cargo test --test interop`.
//!
//! Each test has namespaces, a server and a daemon of its own. They mostly wait for lifetimes of some seconds to end,
//! and therefore all run at the same time.

#![expect(clippy::disallowed_methods, reason = "real programs: their time is that of the machine")]
#![expect(clippy::expect_used, reason = "a broken rig fails the tests")]

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use scene::{Scene, Traffic};

#[path = "../support/lab.rs"]
mod lab;
#[expect(dead_code, reason = "these tests need a part of it")]
#[path = "../support/netns.rs"]
mod netns;

mod auto;
mod beside;
mod capture;
mod coexistence;
mod daemon;
mod hooked;
mod lease;
mod life;
mod observed;
mod odhcp6c;
mod others;
mod planned;
mod reference;
mod replayed;
mod returning;
mod rules;
mod scene;
mod servers;
mod tun;
mod uplinks;
mod wide;

/// A test: its name, the programs and the type of network device it needs, what its messages may be, what it does.
struct Test {
    name: &'static str,
    programs: &'static [&'static str],
    device: Option<&'static str>,
    traffic: Traffic,
    run: fn(&Scene) -> Result<()>,
}

impl Test {
    /// One whose messages are all the daemon's, without a Release.
    const fn new(name: &'static str, programs: &'static [&'static str], run: fn(&Scene) -> Result<()>) -> Self {
        Self { name, programs, device: None, traffic: Traffic::Ours, run }
    }

    const fn with(self, traffic: Traffic) -> Self {
        Self { traffic, ..self }
    }

    /// The same on a kernel that has this type of network device.
    const fn on_device(self, kind: &'static str) -> Self {
        Self { device: Some(kind), ..self }
    }

    /// Why it cannot run on this machine, if it cannot.
    fn lacks(&self) -> Option<String> {
        let lacks = |program: &&&str| servers::find(program).is_none();
        let program = self.programs.iter().find(lacks);
        let program = program.map(|program| format!("{program} is not on PATH (tests/lab/debs)"));
        program.or_else(|| self.device.and_then(uplinks::lacks_device))
    }
}

/// How many run at the same time, unless `--test-threads` says otherwise. They wait more than they compute.
const AT_ONCE: usize = 12;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(AT_ONCE));
    let missing = netns::missing();
    let all = [
        lease::TESTS,
        life::TESTS,
        planned::TESTS,
        others::TESTS,
        beside::TESTS,
        uplinks::TESTS,
        coexistence::TESTS,
        hooked::TESTS,
        odhcp6c::TESTS,
        auto::TESTS,
        observed::TESTS,
        returning::TESTS,
        wide::TESTS,
        reference::TESTS,
    ];
    let trials = all.into_iter().flatten().map(|test| trial(test, missing.clone()));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn trial(test: &'static Test, missing: Option<String>) -> Trial {
    Trial::ignorable_test(test.name, move || match missing.or_else(|| test.lacks()) {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => run(test).map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}"))),
    })
}

fn run(test: &Test) -> Result<()> {
    Scene::apart()?.run(test.run, test.traffic)
}
