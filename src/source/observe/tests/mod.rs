//! The observer against made-up clients, servers and kernels.

mod filed;
mod leases;
mod netlink;
mod onlink;
mod packets;
mod speaking;
mod told;
mod world;
