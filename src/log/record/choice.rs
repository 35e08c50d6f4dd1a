//! Lines about what `acquisition = "auto"` has come to.

use super::super::{Entry, Priority};
use crate::source::SourceId;

const CHOSEN: &str = "5d1f0c5ab5f94d0f8a1be1e7b4c05c26";
const NOT_CHOSEN: &str = "c07c0c8f6b8b4f6db0a6f2f4e4c2bb1d";

/// A source was chosen.
pub fn chosen(name: &str, source: &SourceId, reason: &str) -> Entry {
    let message = format!("{name}: acquisition.auto takes the prefix from {source}: {reason}");
    Entry::new(CHOSEN, Priority::Info, message)
}

/// None could be chosen.
pub fn not_chosen(name: &str, why: &str) -> Entry {
    let message = format!("{name}: acquisition.auto has not chosen a source yet: {why}.");
    Entry::new(NOT_CHOSEN, Priority::Warning, message)
}
