//! Standard output and standard error. A closed pipe (`dyn-prefix status | head -1`) is no failure.

use std::io::{self, Write};

/// Prints to standard output.
///
/// # Errors
/// When it cannot be written to, unless nobody reads it any more.
pub(super) fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let result = out.write_all(text.as_bytes()).and_then(|()| {
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    });
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints to standard error, as well as it can be done.
pub(super) fn complain(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}
