//! The addresses of an interface of this host as a source of prefixes.
//!
//! Some other program numbers the interface: the kernel by Router Advertisements, a DHCPv6 client, an administrator. What
//! it does is seen by netlink alone, so that no capability is needed. [`addresses`] reads the kernel's messages,
//! [`table`] decides what the addresses mean; both are pure. [`run`] owns the socket and the clock and drives them.

pub mod addresses;
pub mod driver;
pub mod table;

pub use driver::run;
pub use table::{Interest, Settings};
