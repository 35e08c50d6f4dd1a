//! The driver of a cluster against an API server that fails on request.
//!
//! Real sockets and real time with short time-outs. Nothing sleeps: every test waits for what it asks for, and
//! [`PATIENCE`] only bounds how long a failing test takes.

mod connection;
mod credentials;
mod reload;
mod rig;
mod services;
mod watches;
mod writes;
