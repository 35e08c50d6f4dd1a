//! Lines about reports that waited for the daemon.

use std::path::Path;
use std::time::Duration;

use super::super::{Entry, Priority};
use super::duration;
use crate::control::Report;
use crate::spool::{MOST, entry};

const TAKEN_UP: &str = "5ecae44898c540f1af22333bc6a4ddeb";
const DROPPED: &str = "efe8c9bffb734a1097c042bd33cea257";
const TROUBLE: &str = "633407dd98f3460a8244fab17703464b";

/// A report was taken; `follows`: what follows from it, a sentence.
pub fn report_taken_up(report: &Report, ago: Duration, follows: &str) -> Entry {
    let message = format!("A report was taken that waited for {}: {follows}", duration(ago));
    about(report, Entry::new(TAKEN_UP, Priority::Info, message))
}

/// A report cannot be taken; `why`: a sentence that begins small and has no end.
pub fn report_refused(report: &Report, ago: Duration, why: &str) -> Entry {
    let message = format!(
        "A report that waited for {} is dropped: {why}. Once that is mended, have the client report again; it was \
         `{}`, with lifetimes that count from then on.",
        duration(ago),
        entry::command(report)
    );
    about(report, Entry::new(DROPPED, Priority::Warning, message))
}

/// A report is too old.
pub fn report_ran_out(report: &Report, ago: Duration) -> Entry {
    let Report { name, prefix, valid, .. } = report;
    let valid = Duration::from_secs(valid.unwrap_or_default().into());
    let message = format!(
        "{name}: a report of {prefix} is dropped: it waited for {}, and the prefix was valid for {}.",
        duration(ago),
        duration(valid)
    );
    about(report, Entry::new(DROPPED, Priority::Info, message))
}

/// A report is of another boot.
pub fn report_of_another_boot(report: &Report) -> Entry {
    let Report { name, prefix, .. } = report;
    let message = format!(
        "{name}: a report of {prefix} is dropped: it was made before this boot, and nobody knows how long ago. The \
         directory of the control socket should be one that a boot empties, as /run is."
    );
    about(report, Entry::new(DROPPED, Priority::Warning, message))
}

/// What should be a report cannot be believed; `why`: of a file, without a full stop.
pub fn report_unreadable(file: &Path, why: &str) -> Entry {
    let message = format!(
        "The report in {} is dropped: {why}. Have the client report again what it was delegated (`dyn-prefix report`).",
        file.display()
    );
    Entry::new(TROUBLE, Priority::Warning, message)
}

/// There may have been more reports than there is room for.
pub fn spool_full(directory: &Path) -> Entry {
    let message = format!(
        "As many reports wait in {} as there is room for ({MOST}): older ones may have been dropped.",
        directory.display()
    );
    Entry::new(TROUBLE, Priority::Warning, message)
}

/// The reports cannot be got at, or one cannot be removed; `what`: as in "cannot remove FILE: why".
pub fn spool_trouble(what: &str) -> Entry {
    let message = format!("Reports may wait for the daemon, or be taken again at the next start: {what}.");
    Entry::new(TROUBLE, Priority::Warning, message)
}

fn about(report: &Report, entry: Entry) -> Entry {
    Entry { name: Some(report.name.clone()), ..entry }
}
