//! The command line: the real binary, run as a user runs it.
//!
//! What a command prints stands in the tests word for word, with the names of temporary directories as `DIR` and times
//! as `TIME`. The daemon is a process of its own; the API server is the small one in this process, or not there.

mod auto;
mod cluster;
mod daemon;
mod doctor;
mod home;
mod host;
mod listen;
mod offline;
mod rbac;
mod record;
mod report;
mod scarce;
mod shape;
mod spool;
mod unruly;
mod withdraw;
