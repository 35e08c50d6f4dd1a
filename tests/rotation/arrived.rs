//! Where a rotation has to take each Service.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::{Result, ensure};
use ipnet::Ipv6Net;

use crate::external_dns::PREFIXES;
use crate::services::{Front, Scope};
use crate::version::Version;

/// The prefixes, as a Service should see them.
#[derive(Clone, Debug)]
pub(crate) struct Prefixes {
    /// The prefix.
    pub(crate) current: Ipv6Net,
    /// Every one so far.
    pub(crate) ours: Vec<Ipv6Net>,
    /// Those that are dead.
    pub(crate) dead: Vec<Ipv6Net>,
}

/// An error unless a Service is there: of a managed one, see [`managed`]; another one has an address of a prefix that
/// is not dead.
pub(crate) fn arrived(front: &Front, scope: Scope, version: &Version, prefixes: &Prefixes) -> Result<()> {
    let held = version.held();
    let stale = held.iter().find(|address| prefixes.dead.iter().any(|net| net.contains(*address)));
    ensure!(stale.is_none(), "it still has {stale:?}: {version}");
    ensure!(!held.is_empty(), "it has no IPv6 address: {version}");
    if front.is_managed(scope) { managed(front, scope, version, prefixes) } else { Ok(()) }
}

/// It has its address in the current prefix, and DNS is told of that and of no other of ours.
fn managed(front: &Front, scope: Scope, version: &Version, prefixes: &Prefixes) -> Result<()> {
    let (held, current) = (version.held(), prefixes.current);
    ensure!(held.iter().any(|address| current.contains(address)), "it has no address in {current}: {version}");
    if let Some(suffix) = front.suffix() {
        let suffix: Ipv6Addr = suffix.parse()?;
        let wanted = Ipv6Addr::from_bits(current.network().to_bits() | suffix.to_bits());
        ensure!(held.contains(&wanted), "it has not {wanted}: {version}");
    }
    let alone = !front.has_one_address(scope) || held.len() == 1;
    ensure!(alone, "it should have one address: {version}");
    let of_ours = |address: &&Ipv6Addr| prefixes.ours.iter().any(|net| net.contains(*address));
    for (prefix, (_, records)) in PREFIXES.iter().zip(&version.told).filter(|_| front.is_named(scope)) {
        ensure!(version.annotation(&format!("{prefix}target")).is_some(), "it has no {prefix}target: {version}");
        let named: Vec<_> = records.aaaa.iter().filter(of_ours).collect();
        let right = named.len() == 1 && current.contains(named[0]) && held.contains(named[0]);
        ensure!(right, "{prefix}target should name its address in {current} alone: {version}");
        let is_named = |v4: &IpAddr| records.a.iter().any(|a| IpAddr::V4(*a) == *v4);
        let v4_is_named = version.ingress.iter().filter(|address| address.is_ipv4()).all(is_named);
        ensure!(v4_is_named, "{prefix}target should name its IPv4 address: {version}");
    }
    Ok(())
}
