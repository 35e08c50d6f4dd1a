//! Tests of whole parts of the program against the outside world, as far as it fits into the process.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests fail the test")]

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod cluster;
mod convert;
mod corpus;
mod coverage;
mod hooks;
mod networks;
mod readme;
mod replay;
mod tidy;
