//! What a process has and uses.

use std::fmt;

use anyhow::{Context as _, Result};

use crate::report::mebibytes;

/// What it has had until now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// In bytes.
    resident: u64,
    /// utime and stime, in clock ticks.
    ticks: u64,
    /// The same as the scheduler counts it, in nanoseconds.
    ran: u64,
    /// How often it was woken.
    switches: u64,
}

impl Cost {
    /// Of a process, with all its threads.
    pub(crate) fn of(process: u32) -> Result<Self> {
        let read = |file: &str| -> Result<String> {
            let path = format!("/proc/{process}/{file}");
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let stat = read("stat")?;
        let (_, fields) = stat.rsplit_once(')').context("the name of the program")?;
        let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let status = read("status")?;
        let number = |text: &str, key: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        let (mut ran, mut switches) = (0, 0);
        for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
            let thread = thread?.path();
            let times = std::fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
            ran += times.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
            let status = std::fs::read_to_string(thread.join("status"))?;
            switches += number(&status, "voluntary_ctxt_switches");
        }
        Ok(Self { resident: number(&status, "VmRSS") * 1024, ticks, ran, switches })
    }
}

/// What it has used between two moments.
pub(crate) struct Used {
    pub(crate) before: Cost,
    pub(crate) after: Cost,
    pub(crate) seconds: f64,
}

impl fmt::Display for Used {
    #[expect(clippy::cast_precision_loss, reason = "times of seconds and counts are far below 2^52")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, after, seconds } = self;
        let per_second = |before: u64, after: u64| (after - before) as f64 / seconds;
        // A tick is 10 ms everywhere (USER_HZ).
        let ticks = per_second(before.ticks, after.ticks) * 10.0;
        let ran = per_second(before.ran, after.ran) / 1e6;
        let switches = per_second(before.switches, after.switches);
        let [first, last] = [before.resident, after.resident].map(mebibytes);
        write!(
            f,
            "utime+stime {ticks:6.2} ms/s  on a processor {ran:6.3} ms/s  woken {switches:5.1} /s  RSS {first:.2} → {last:.2} MiB"
        )
    }
}
