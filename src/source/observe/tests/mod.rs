//! The observer against made-up clients, servers and kernels.

mod leases;
mod netlink;
mod packets;
mod told;
mod world;
