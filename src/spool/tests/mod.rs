//! Reports that wait: what they are worth, and the files that they wait in.

mod files;
mod worth;

use std::time::Duration;

use super::entry::{Entry, Stage, Worth, stage};
use super::*;
use crate::control::Report;

const P: &str = "2001:db8:a00::/56";
const BOOT: Option<&str> = Some("ef1c6a3e");

fn report(prefix: &str, preferred: Option<u32>, valid: Option<u32>) -> Report {
    let (name, prefix) = ("home".to_owned(), prefix.parse().unwrap());
    Report { name, prefix, preferred, valid, excluded: Vec::new(), gone: false }
}

fn gone(prefix: &str) -> Report {
    Report { gone: true, ..report(prefix, None, None) }
}

fn at(seconds: i64) -> Instant {
    Instant::from_secs(seconds)
}

/// One that was said so many seconds after the boot.
fn said(report: Report, seconds: i64) -> Entry {
    Entry::new(report, BOOT.map(str::to_owned), at(seconds))
}
