//! Scenarios in virtual time.

mod current;
mod dead;
mod delegation;
mod drains;
mod link;
mod observed;
mod properties;
mod release;
mod restart;
mod routers;
mod sources;
mod world;
