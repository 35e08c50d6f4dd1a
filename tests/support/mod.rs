//! What several test crates and the demo share.

pub(crate) mod api;
