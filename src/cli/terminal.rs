//! Standard output and standard error. A closed pipe (`dyn-prefix status | head -1`) is no failure.

use std::io::{self, Write};

/// Prints to standard output. False when nobody reads it any more.
///
/// # Errors
/// When it cannot be written to.
pub(super) fn say(text: &str) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    let result = out.write_all(text.as_bytes()).and_then(|()| {
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    });
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

/// Whether standard error is the journal (systemd.exec(5), $JOURNAL_STREAM).
pub(super) fn complains_to_the_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(io::stderr()).is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino))
}

/// Prints to standard error, as well as it can be done.
pub(super) fn complain(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}
