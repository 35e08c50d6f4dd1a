//! A service that says which address asks it, as a source of prefixes.
//!
//! [`answer`] reads what it says, [`asker`] decides when to ask and what follows from an answer; both are pure.
//! [`client`] asks once, and [`run`] does so whenever the asker wants it.

pub mod answer;
pub mod asker;
pub mod client;
pub mod driver;

pub use asker::Settings;
pub use driver::run;
