//! Router Advertisements.
