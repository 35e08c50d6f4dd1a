//! What was measured, printed: distributions, and the budgets beside them.

use std::fmt;
use std::time::Duration;

/// Times that were measured.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// One more.
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The smallest time that is no smaller than this share of all, in milliseconds; the largest for 1.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort();
        // The count is small, and the rank lies between 0 and the count.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "above"
        )]
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).map(|time| milliseconds(*time))
    }

    /// The median, in milliseconds.
    pub(crate) fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }

    /// The largest, in milliseconds.
    pub(crate) fn worst(&self) -> Option<f64> {
        self.quantile(1.0)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>3} times", self.0.len())?;
        for (name, share) in [("min", 0.0), ("median", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            match self.quantile(share) {
                Some(time) => write!(f, "  {name} {time:8.2}")?,
                None => write!(f, "  {name}        -")?,
            }
        }
        f.write_str(" ms")
    }
}

/// A time in milliseconds.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A size in MiB.
#[expect(clippy::cast_precision_loss, reason = "sizes of processes and files are far below 2^52")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// How busy the machine is: the averages of 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{} on {processors} processors", text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// A line of the table of budgets: what, the unit, at most this is asked, at most this is wanted.
pub(crate) type Budget = (&'static str, &'static str, f64, f64);

/// The table of budgets, with what was measured.
#[derive(Default)]
pub(crate) struct Table(Vec<(Budget, Option<f64>)>);

impl Table {
    /// One more line; `None`: not measured this time.
    pub(crate) fn add(&mut self, budget: Budget, measured: Option<f64>) {
        self.0.push((budget, measured));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {:<58} | {:>8} | {:>8} | {:>9} |      | {:<11} |", "budget", "asked", "wanted", "measured", "")?;
        writeln!(f, "|{:-<60}|{:->9}:|{:->9}:|{:->10}:|------|{:-<13}|", "", "", "", "", "")?;
        for ((what, unit, asked, wanted), measured) in &self.0 {
            let (shown, verdict) = match measured {
                None => ("-".to_owned(), "not run"),
                Some(value) if value <= wanted => (format!("{value:.2}"), "as wanted"),
                Some(value) if value <= asked => (format!("{value:.2}"), "as asked"),
                Some(value) => (format!("{value:.2}"), "MISSED"),
            };
            writeln!(f, "| {what:<58} | {asked:>8} | {wanted:>8} | {shown:>9} | {unit:<4} | {verdict:<11} |")?;
        }
        Ok(())
    }
}
