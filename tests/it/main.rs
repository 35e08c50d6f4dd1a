//! Tests of whole parts of the program against the outside world, as far as it fits into the process.

#[path = "../support/mod.rs"]
mod support;

mod cluster;
