//! The state machine against the conformance table of the reference, in virtual time: a function for each row, named by
//! its id. Expected values are those of RFC 9915, not of the code.

mod answer;
mod fates;
mod life;
mod more;
mod properties;
mod reconfigure;
mod renew;
mod replies;
mod request;
mod solicit;
mod timers;
mod world;
