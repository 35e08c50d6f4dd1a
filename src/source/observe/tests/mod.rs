//! The observer against made-up clients, servers and kernels.

mod beside;
mod filed;
mod lapsed;
mod leases;
mod netlink;
mod onlink;
mod packets;
mod speaking;
mod told;
mod world;
