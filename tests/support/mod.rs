//! What several test crates and the demo share.

pub mod api;
