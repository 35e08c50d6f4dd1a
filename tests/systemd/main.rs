//! The daemon as a service: the real binary and its unit under a booted systemd, in a container of this machine's
//! Debian release. Needs root; `cargo test --test systemd`. The first run makes the container's file system, which takes
//! minutes and the network; it is kept in the cache directory.

#![expect(clippy::expect_used, reason = "a test: clippy only exempts functions marked #[test]")]
// The namespaces, the lab and the servers, of which this crate uses a part.
#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    dead_code,
    reason = "they are shared with other tests, and wait for real programs"
)]

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use guest::Guest;

#[path = "../interop/capture.rs"]
mod capture;
#[path = "../support/lab.rs"]
mod lab;
#[path = "../support/netns.rs"]
mod netns;
#[path = "../interop/servers/mod.rs"]
mod servers;

mod beside;
mod described;
mod guest;
mod host;
mod image;
mod journal;
mod observed;
mod service;
mod spool;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One machine, one service.
    arguments.test_threads = Some(1);
    let guest = if arguments.list { Err("only listed".to_owned()) } else { boot() };
    let alone = service::TESTS.iter().chain(host::TESTS).chain(beside::TESTS).chain(spool::TESTS);
    let alone = alone.map(|test| trial(test, guest.clone()));
    let no_nft = netns::on_path("nft").is_none().then(|| "nft is not on PATH (Debian package nftables)".to_owned());
    let with_nft = no_nft.map_or_else(|| guest.clone(), Err);
    let filters = host::WITH_NFT.iter().map(|test| trial(test, with_nft.clone()));
    let with_server = guest.clone().and_then(|guest| observed::missing().map_or(Ok(guest), Err));
    let networkd = observed::TESTS.iter().map(|test| trial(test, with_server.clone()));
    // Only where one of its tests runs.
    let newer = Arc::new(LazyLock::new(boot_newer as fn() -> Booted));
    let described = described::TESTS.iter().map(|(name, test)| {
        let newer = Arc::clone(&newer);
        Trial::ignorable_test(*name, move || perform(*test, (**newer).clone()))
    });
    let trials = alone.chain(filters).chain(networkd).chain(described).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop((guest, newer));
    conclusion.exit_code()
}

/// A booted container, or why there is none.
type Booted = Result<Arc<Guest>, String>;

fn boot() -> Booted {
    boot_from(image::find_or_make)
}

/// One with a systemd that describes what its DHCPv6 client holds (255 and later).
fn boot_newer() -> Booted {
    observed::missing().map_or(Ok(()), Err)?;
    boot_from(|| image::find_or_make_of(described::RELEASE))
}

fn boot_from(image: impl FnOnce() -> Result<image::Image, String>) -> Booted {
    if !nix::unistd::geteuid().is_root() {
        return Err("the tests under systemd need root".to_owned());
    }
    if let Some(missing) = netns::missing() {
        return Err(missing);
    }
    let image = image()?;
    let binary = format!("--bind-ro={}:/usr/bin/dyn-prefix", env!("CARGO_BIN_EXE_dyn-prefix"));
    let guest = Guest::boot(&image, with_unit, &[binary])?;
    guest.done(&["systemd-sysusers"]);
    guest.done(&["systemd-tmpfiles", "--create", "dyn-prefix.conf"]);
    Ok(Arc::new(guest))
}

/// What a package does with the files of the directory `systemd`.
fn with_unit(root: &Path) {
    let files = [
        ("service", "lib/systemd/system/dyn-prefix.service"),
        ("sysusers", "usr/lib/sysusers.d/dyn-prefix.conf"),
        ("tmpfiles", "usr/lib/tmpfiles.d/dyn-prefix.conf"),
    ];
    for (kind, path) in files {
        let from = format!("{}/systemd/dyn-prefix.{kind}", env!("CARGO_MANIFEST_DIR"));
        fs::copy(&from, root.join(path)).unwrap_or_else(|error| panic!("{from}: {error}"));
    }
}

/// A test by name.
type Test = (&'static str, fn(&Guest));

fn trial((name, test): &Test, guest: Booted) -> Trial {
    let test = *test;
    Trial::ignorable_test(*name, move || perform(test, guest))
}

fn perform(test: fn(&Guest), guest: Booted) -> Result<Completion, Failed> {
    let guest = match guest {
        Ok(guest) => guest,
        Err(reason) => return Ok(Completion::ignored_with(reason)),
    };
    let run = std::panic::AssertUnwindSafe(|| test(&guest));
    std::panic::catch_unwind(run).map(|()| Completion::Completed).map_err(|panic| failed(&*panic))
}

fn failed(panic: &(dyn std::any::Any + Send)) -> Failed {
    Failed::from(message(panic))
}

/// What a panic says.
fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    text.unwrap_or("it panicked")
}
