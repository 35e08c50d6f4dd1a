//! dyn-prefix
pub mod arbiter;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod control;
pub mod daemon;
pub mod log;
pub mod plan;
pub mod prefix;
pub mod source;
pub mod status;
pub mod store;
pub mod time;

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
