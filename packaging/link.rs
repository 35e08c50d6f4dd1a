//! What the linker is told besides: a program that may lie anywhere has 18 000 addresses to correct when it starts, and
//! the list of them is ten times shorter where the C library can read the short form.

#![expect(clippy::print_stdout, reason = "cargo reads it")]

use std::env;
use std::process::Command;

/// The first glibc that reads relative relocations in their short form (`DT_RELR`).
const READS_SHORT_FORM: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=packaging/link.rs");
    if has_glibc() && is_native() && glibc_here().is_some_and(|version| version >= READS_SHORT_FORM) {
        // Linkers that do not know it (binutils before 2.38) say so and go on.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

fn has_glibc() -> bool {
    let is = |name, value| env::var(name).is_ok_and(|found| found == value);
    is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu")
}

/// Only then is the C library of this host the oldest that the program meets: it is linked with it.
fn is_native() -> bool {
    env::var("HOST").is_ok_and(|host| env::var("TARGET").is_ok_and(|target| host == target))
}

/// Its version, as in `glibc 2.36`.
fn glibc_here() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
