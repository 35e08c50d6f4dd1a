//! The packages: made as a packager would, in a container with nothing but the tools for it, without network; installed,
//! upgraded, removed and purged under a booted systemd. There the daemon gets its prefix from a radvd and a Kea outside
//! and fills the pool of a real API server, with the rights and the system calls that the unit leaves it.
//!
//! Needs root; `cargo test --test package`. The first run makes the containers' file systems, which takes minutes and the
//! network; they are kept in the cache directory.

#![expect(clippy::expect_used, reason = "a test: clippy only exempts functions marked #[test]")]
#![allow(clippy::allow_attributes, dead_code, reason = "what is shared with other tests is used here in part")]

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use builder::Packages;
use guest::Guest;

#[path = "../systemd/guest.rs"]
mod guest;
#[path = "../systemd/image.rs"]
mod image;
#[path = "../systemd/journal.rs"]
mod journal;
#[path = "../support/lab.rs"]
mod lab;
#[path = "../support/netns.rs"]
mod netns;
#[path = "../interop/servers/mod.rs"]
mod servers;

mod builder;
mod container;
mod contents;
mod household;
mod life;
mod rpm;
mod sandbox;

/// What the tests share: the packages, a machine for the .deb and one for the .rpm.
struct Lab {
    packages: Packages,
    debian: Guest,
    rpm: Guest,
}

/// A test by name.
type Test = (&'static str, fn(&Lab));

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One machine, one service.
    arguments.test_threads = Some(1);
    let lab = if arguments.list { Err("only listed".to_owned()) } else { prepare() };
    let tests = [contents::TESTS, sandbox::TESTS, life::TESTS, rpm::TESTS, container::TESTS].concat();
    let trials = tests.into_iter().map(|test| trial(test, lab.clone())).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(lab);
    conclusion.exit_code()
}

/// Why a part is missing: then nothing of it can run on this machine. What fails although everything is there, panics.
fn prepare() -> Result<Arc<Lab>, String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("the tests of the packages need root".to_owned());
    }
    if let Some(missing) = netns::missing() {
        return Err(missing);
    }
    for name in ["etcd", "kube-apiserver"] {
        lab::program(name).map_err(|error| format!("{error:#}"))?;
    }
    for program in ["radvd", servers::Kind::Kea.program()] {
        servers::find(program).ok_or_else(|| format!("{program} is not on PATH"))?;
    }
    let (bare, tools) = (image::find_or_make()?, image::find_or_make_builder()?);
    let packages = builder::make(&tools)?;
    let debian = Guest::boot(&bare, |root| packages.copy("deb", root), &[])?;
    let rpm = Guest::boot(&tools, |root| packages.copy("rpm", root), &[])?;
    Ok(Arc::new(Lab { packages, debian, rpm }))
}

fn trial((name, test): Test, lab: Result<Arc<Lab>, String>) -> Trial {
    Trial::ignorable_test(name, move || {
        let lab = match lab {
            Ok(lab) => lab,
            Err(reason) => return Ok(Completion::ignored_with(reason)),
        };
        let run = std::panic::AssertUnwindSafe(|| test(&lab));
        std::panic::catch_unwind(run).map(|()| Completion::Completed).map_err(|panic| failed(&*panic))
    })
}

fn failed(panic: &(dyn std::any::Any + Send)) -> Failed {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    Failed::from(text.unwrap_or("it panicked"))
}
