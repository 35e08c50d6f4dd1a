//! One report that waits, as a file of one line. Pure.

use std::time::Duration;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::config::is_label;
use crate::control::Report;
use crate::time::{Deadline, Instant};

/// The version of the line.
const VERSION: u32 = 1;

/// The longest line, in bytes: as long as a request on the control socket may be.
pub const MOST_BYTES: usize = 4096;

/// What is between the name of the control socket and that of the report.
const INFIX: &str = ".report.";

/// A report that nobody could be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    version: u32,
    /// The boot in which it was said, where that has to be told: its time means nothing in another one.
    boot: Option<String>,
    /// When it was said, in nanoseconds since the boot: no clock that somebody sets.
    at: i64,
    report: Report,
}

/// What a report that has waited is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worth {
    /// As much as when it was said, this long ago.
    All(Report, Duration),
    /// It has run out meanwhile.
    RanOut(Report, Duration),
    /// It is of another boot: who knows when it was said.
    OtherBoot(Report),
}

/// What a file beside the control socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is being written, or was when somebody was killed.
    New,
    /// It waits.
    Waiting,
    /// A daemon has taken it up.
    TakenUp,
}

impl Entry {
    /// A report that is made now, in this boot.
    pub const fn new(report: Report, boot: Option<String>, now: Instant) -> Self {
        Self { version: VERSION, boot, at: now.as_nanos(), report }
    }

    /// When it was said.
    pub const fn at(&self) -> Instant {
        Instant::from_nanos(self.at)
    }

    /// What was said.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Whether it can wait, wherever there is room for it.
    ///
    /// # Errors
    /// When its name or length is impossible; a sentence.
    pub fn check(&self) -> Result<(), String> {
        self.file_name("")?;
        self.encode().map(drop)
    }

    /// The file that it waits in, beside a socket of this name: of one prefix there is one for each DynamicPrefix.
    ///
    /// # Errors
    /// When no DynamicPrefix can have that name; a sentence.
    pub fn file_name(&self, socket: &str) -> Result<String, String> {
        let Report { name, prefix, .. } = &self.report;
        if !is_label(name) {
            return Err(format!(
                "no dynamicPrefix can have the name {name:?}: it has 1 to 63 characters of a-z, 0-9 and -, with a letter or \
                 digit at both ends"
            ));
        }
        let prefix = prefix.trunc();
        Ok(format!("{socket}{INFIX}{name}.{}-{}", prefix.network(), prefix.prefix_len()))
    }

    /// As one line.
    ///
    /// # Errors
    /// When it is too long; a sentence.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        let mut line =
            serde_json::to_vec(self).map_err(|error| format!("the report cannot be written down: {error}"))?;
        line.push(b'\n');
        if line.len() > MOST_BYTES {
            return Err(format!("the report takes {} bytes, and no more than {MOST_BYTES} are kept", line.len()));
        }
        Ok(line)
    }

    /// Reads the line.
    ///
    /// # Errors
    /// When it is none that this version has written; what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MOST_BYTES {
            return Err(format!("it is longer than {MOST_BYTES} bytes"));
        }
        let line = bytes.strip_suffix(b"\n").ok_or("it ends in the middle of a line")?;
        let wrong = |error| format!("it cannot be understood: {error}");
        let version: Version = serde_json::from_slice(line).map_err(wrong)?;
        if version.version != VERSION {
            return Err(format!("it has version {}, this program writes version {VERSION}", version.version));
        }
        serde_json::from_slice(line).map_err(wrong)
    }

    /// The same with what `former`, of the same prefix, said and this one says nothing of: what is not said stays as it
    /// was.
    #[must_use]
    pub fn after(mut self, former: &Self) -> Self {
        let passed = self.at().saturating_since(former.at());
        let is_of_before = former.boot == self.boot && former.at <= self.at;
        let is_same = (&former.report.name, former.report.prefix) == (&self.report.name, self.report.prefix);
        if !is_same
            || !is_of_before
            || is_end(&self.report)
            || is_end(&former.report)
            || is_over(&former.report, passed)
        {
            return self;
        }
        let left = |seconds: u32| match seconds {
            Deadline::INFINITY => seconds,
            _ => seconds.saturating_sub(u32::try_from(passed.as_secs()).unwrap_or(u32::MAX)),
        };
        let Report { preferred, valid, excluded, .. } = &former.report;
        let report = &mut self.report;
        report.valid = report.valid.or_else(|| valid.map(left));
        report.preferred = report.preferred.or_else(|| preferred.map(left));
        if let (Some(preferred), Some(valid)) = (&mut report.preferred, report.valid) {
            *preferred = valid.min(*preferred);
        }
        if report.excluded.is_empty() {
            report.excluded.clone_from(excluded);
        }
        self
    }

    /// What it is worth now, in this boot.
    pub fn worth(self, boot: Option<&str>, now: Instant) -> Worth {
        let ago = now.saturating_since(self.at());
        if self.boot.as_deref() != boot || self.at() > now {
            return Worth::OtherBoot(self.report);
        }
        if !is_end(&self.report) && is_over(&self.report, ago) {
            return Worth::RanOut(self.report, ago);
        }
        Worth::All(self.report, ago)
    }

    /// Whom to drop first, where there is no room for all: who is worth nothing, then the oldest.
    pub fn dispensable(&self, boot: Option<&str>, now: Instant) -> (bool, Instant) {
        (matches!(self.clone().worth(boot, now), Worth::All(..)), self.at())
    }
}

/// What every version of the line has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Says that a prefix is delegated no longer.
fn is_end(report: &Report) -> bool {
    report.gone || report.valid == Some(0)
}

/// Whether what was said this long ago has run out.
fn is_over(report: &Report, ago: Duration) -> bool {
    let ends = report.valid.filter(|seconds| *seconds != Deadline::INFINITY);
    ends.is_some_and(|seconds| Duration::from_secs(u64::from(seconds)) <= ago)
}

/// The name of a file while it is written by this process.
pub fn while_written(file: &str, process: u32) -> String {
    format!("{file}~new.{process}")
}

/// The name of a file once a daemon has taken it up: another one than that of whatever waits next.
pub fn once_taken_up(file: &str, now: Instant) -> String {
    format!("{file}~taken.{}", now.as_nanos())
}

/// What a file is to who has a socket of this name; `None`: nothing.
pub fn stage(file: &str, socket: &str) -> Option<Stage> {
    let rest = file.strip_prefix(socket)?.strip_prefix(INFIX)?;
    Some(match rest.split_once('~') {
        None => Stage::Waiting,
        Some((_, state)) if state.starts_with("taken.") => Stage::TakenUp,
        Some(_) => Stage::New,
    })
}

/// A report as the command that makes it, for whoever has to make it again.
pub fn command(report: &Report) -> String {
    let lifetime = |seconds: u32| match seconds {
        Deadline::INFINITY => "infinity".to_owned(),
        _ => seconds.to_string(),
    };
    let Report { name, prefix, preferred, valid, excluded, gone } = report;
    let mut command = format!("dyn-prefix report {name} {prefix}");
    let lifetimes = [("--preferred", *preferred), ("--valid", *valid)];
    let lifetimes = lifetimes.into_iter().filter_map(|(option, seconds)| Some((option, lifetime(seconds?))));
    let excluded = excluded.iter().map(|part: &Ipv6Net| ("--excluded", part.to_string()));
    for (option, value) in lifetimes.chain(excluded) {
        command.push_str(&format!(" {option} {value}"));
    }
    if *gone {
        command.push_str(" --gone");
    }
    command
}
