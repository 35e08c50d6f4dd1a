//! Router Advertisements (RFC 4861) as a source of prefixes.
//!
//! [`packet`] reads and writes the messages, [`table`] keeps what each router announces and decides what it means,
//! [`solicit`] says when to ask; all three are pure. [`run`] owns the socket and the clock and drives them.

pub mod driver;
pub mod packet;
mod router;
pub mod socket;
pub mod solicit;
pub mod table;

pub use driver::run;
pub use table::{Interest, Settings};
