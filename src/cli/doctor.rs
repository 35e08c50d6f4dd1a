//! `dyn-prefix doctor`

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::{Exit, Output, terminal};
use crate::config::{Config, Severity};
use crate::daemon;
use crate::doctor::gather::{self, PATIENCE, Subject};
use crate::doctor::{Check, Finding, Level, Report, Section};

/// Looks at everything and prints what was found.
pub(super) fn doctor(path: &Path, output: Output) -> anyhow::Result<Exit> {
    let loaded = Config::load(path);
    let Some(config) = loaded.at_start else {
        let errors = loaded.findings.iter().filter(|finding| finding.severity == Severity::Error).cloned();
        let findings = crate::doctor::daemon::configuration(&errors.collect::<Vec<_>>());
        let report = Report::new(vec![Section { place: "host".to_owned(), findings }]);
        print(&report, output)?;
        return Ok(Exit::Configuration);
    };
    let socket = daemon::control_socket(&config);
    let subject = Subject { config: Arc::new(config), path: path.to_owned(), findings: loaded.findings, socket };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let report = runtime.block_on(async { tokio::time::timeout(PATIENCE, gather::examine(&subject)).await });
    // A question to somebody who never answers must not keep us.
    runtime.shutdown_background();
    let report = report.with_context(|| format!("the examination was not over within {PATIENCE:?}"))?;
    print(&report, output)?;
    Ok(if report.is_healthy() { Exit::Done } else { Exit::Degraded })
}

fn print(report: &Report, output: Output) -> anyhow::Result<()> {
    let text = match output {
        Output::Text => text(report),
        Output::Json => serde_json::to_string_pretty(report)?,
    };
    terminal::say(&text).map(drop)
}

/// A line for each finding, and below it what to do.
fn text(report: &Report) -> String {
    let mut text = String::new();
    for Section { place, findings } in &report.sections {
        text.push_str(&format!("{place}\n"));
        for (place, Finding { check, level, subject, message, advice }) in findings.iter().enumerate() {
            // A sentence about a file does not say where in it.
            let is_placed = *check == Check::Configuration && *level != Level::Ok;
            let at = if is_placed { format!("{subject}: ") } else { String::new() };
            text.push_str(&format!("  {:<8} {at}{message}\n", level.as_str()));
            // What is to be done about several in a row is said once, below the last.
            let is_said_below = findings.get(place + 1).is_some_and(|next| next.advice == *advice);
            for line in advice.iter().filter(|_| !is_said_below).flat_map(|advice| advice.lines()) {
                text.push_str(&format!("           -> {line}\n"));
            }
        }
        text.push('\n');
    }
    let count = |level| report.count(level);
    let verdict = match (count(Level::Error), count(Level::Warning)) {
        (0, 0) => "Nothing is wrong".to_owned(),
        (errors, warnings) => format!("Errors: {errors}, warnings: {warnings}"),
    };
    let unseen = match count(Level::Unseen) {
        0 => String::new(),
        unseen => format!("; could not be seen: {unseen}"),
    };
    text + &format!("{verdict}{unseen}.\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_about_several_in_a_row_is_said_once() {
        let findings = vec![
            Finding::warning(Check::Configuration, "f.toml:2:1", "it is odd", "Mend it."),
            Finding::error(Check::Target, "a", "A is not there.", "Create it."),
            Finding::error(Check::Target, "b", "B is not there.", "Create it."),
            Finding::unseen(Check::Clock, "clock", "The clock could not be seen.", "Look."),
            Finding::ok(Check::Daemon, "dyn-prefix", "It runs."),
        ];
        let report = Report::new(vec![Section { place: "host".to_owned(), findings }]);
        let expected = "host
  warning  f.toml:2:1: it is odd
           -> Mend it.
  error    A is not there.
  error    B is not there.
           -> Create it.
  unseen   The clock could not be seen.
           -> Look.
  ok       It runs.

Errors: 2, warnings: 1; could not be seen: 1.
";
        assert_eq!(text(&report), expected);
    }
}
