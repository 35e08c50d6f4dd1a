//! Lines about a record that is being written.

use std::path::Path;

use crate::log::{Entry, Priority};

const RECORDING_ENDED: &str = "7ddf7bcde1f54605a9760fcf1946810c";

/// A record cannot be written any more.
pub fn recording_ended(path: &Path, why: &str) -> Entry {
    let message = format!(
        "The record {} ends here: it cannot be written to ({why}). The daemon goes on; a restart with --record begins \
         another session in it.",
        path.display()
    );
    Entry::new(RECORDING_ENDED, Priority::Warning, message)
}
