//! What is to be done about one object.

use super::memory::Memory;
use super::slot::{Level, Patch, Status};
use crate::time::Instant;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is none of our objects.
    NotOurs,
    /// It was ours, and nothing of ours is left on it.
    Released,
    /// Nothing, and why.
    Stay(Status),
    /// Nothing: it is as it should be. With what to remember and when to look again.
    InSync(Status, Memory, Option<Instant>),
    /// The same of a pool that holds the new range back until Services have their addresses in it.
    HoldsBack(Status, Memory, Option<Instant>),
    /// This has to be written.
    Write(Patch, Status),
}

impl Verdict {
    /// Of a pool: whether it is as it is to be, or must be left as it is.
    pub(super) fn is_calm(&self) -> bool {
        match self {
            Self::NotOurs | Self::Released | Self::InSync(..) => true,
            Self::Stay(status) => status.level != Level::Passing,
            Self::HoldsBack(..) | Self::Write(..) => false,
        }
    }
}
