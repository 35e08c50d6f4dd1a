//! The driver of the DHCPv6 client on a real kernel: its port, its socket, the interface under it, and routes.

use crate::Test;

pub(crate) mod holder;
pub(crate) mod lab;
mod link;
mod port;
mod routes;
mod tun;

/// Every test that needs nothing but namespaces.
pub(crate) fn tests() -> impl Iterator<Item = &'static Test> {
    port::TESTS.iter().chain(link::TESTS).chain(routes::TESTS)
}

/// Those that need socat.
pub(crate) fn tests_with_socat() -> impl Iterator<Item = &'static Test> {
    tun::TESTS.iter()
}

/// Those that need a cgroup of their own.
pub(crate) fn tests_with_cgroups() -> impl Iterator<Item = &'static Test> {
    port::TESTS_WITH_CGROUPS.iter()
}
