//! The observer against made-up clients, servers and kernels.

mod beside;
mod beside_others;
mod described;
mod endless;
mod filed;
mod lapsed;
mod leases;
mod memory;
mod netlink;
mod onlink;
mod packets;
mod speaking;
mod told;
mod unnamed;
pub(super) mod world;
