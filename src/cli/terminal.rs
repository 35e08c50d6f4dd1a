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

/// Prints to standard error, as well as it can be done.
pub(super) fn complain(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}
