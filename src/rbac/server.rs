//! Whether the address of an API server will do for the daemon.

use std::net::IpAddr;

use ipnet::Ipv6Net;

/// The host of the API server, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As it stands in the URL, without brackets.
    pub host: String,
    /// What it leads to; empty when the name is not known here.
    pub addresses: Vec<IpAddr>,
}

/// What to warn of, each a full sentence. `prefixes` are those that are followed, with the names of their DynamicPrefixes.
pub fn warnings(server: &Address, prefixes: &[(String, Ipv6Net)]) -> Vec<String> {
    let mut warnings = Vec::new();
    let is_local = |address: &IpAddr| address.to_canonical().is_loopback() || address.is_unspecified();
    if server.host == "localhost" || server.addresses.iter().any(is_local) {
        warnings.push(format!(
            "The API server address {} leads to this machine itself. A cluster of kind, minikube or k3d can be reached \
             there for as long as its container has the port, on no other machine, and a tunnel ends some day; name a \
             lasting address with --server if there is one.",
            server.host
        ));
    }
    let inside = |address: &IpAddr| match address {
        IpAddr::V6(address) => prefixes.iter().find(|(_, prefix)| prefix.contains(address)),
        IpAddr::V4(_) => None,
    };
    if let Some((address, (name, prefix))) = server.addresses.iter().find_map(|it| Some((it, inside(it)?))) {
        let leads = if server.host == address.to_string() {
            format!("The API server address {address}")
        } else {
            format!("The API server {} has the address {address}, which", server.host)
        };
        warnings.push(format!(
            "{leads} lies in {prefix}, the prefix that \"{name}\" follows: it goes away with the prefix, and then the \
             daemon cannot reach the cluster to tell it. Name another address with --server: IPv4, a unique local one \
             (fd00::/8), or a link-local one."
        ));
    }
    warnings
}
