//! Router Advertisements on a real kernel: the driver of the source against radvd and against forged packets, in
//! network namespaces. Needs root; `cargo test --test netns`.

#![expect(clippy::expect_used, reason = "a test: clippy only exempts functions marked #[test]")]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

#[path = "../support/netns.rs"]
mod support;

mod forged;
mod lab;
mod radvd;

fn main() -> ExitCode {
    let missing = support::missing();
    let no_radvd = support::radvd().is_none().then(|| "radvd is not on PATH (Debian package radvd)".to_owned());
    let forged = forged::TESTS.iter().map(|test| trial(test, missing.clone()));
    let radvd = radvd::TESTS.iter().map(|test| trial(test, missing.clone().or_else(|| no_radvd.clone())));
    libtest_mimic::run(&Arguments::from_args(), forged.chain(radvd).collect()).exit_code()
}

/// A test by name.
type Test = (&'static str, fn());

fn trial((name, test): &Test, missing: Option<String>) -> Trial {
    let test = *test;
    Trial::ignorable_test(*name, move || match missing {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => std::panic::catch_unwind(test).map(|()| Completion::Completed).map_err(|panic| failed(&*panic)),
    })
}

fn failed(panic: &(dyn std::any::Any + Send)) -> Failed {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    Failed::from(text.unwrap_or("it panicked"))
}
