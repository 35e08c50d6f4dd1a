//! Scenarios in virtual time.

mod current;
mod drains;
mod link;
mod properties;
mod restart;
mod routers;
mod sources;
mod world;
