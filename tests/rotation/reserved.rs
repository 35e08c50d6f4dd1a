//! A pool must not offer all of a new range before the managed Services have their addresses in it: others would get them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnet::Ipv6Net;

use crate::generations::Generations;

/// By then the monitor has seen what was there before a pool was written: its watches are not in step.
const OUT_OF_STEP: Duration = Duration::from_millis(500);
/// A Service that is younger than that when the prefix changes need not have had an address.
const SETTLED: Duration = Duration::from_secs(3);

/// A pool that has begun to offer the whole range of the current prefix beside a former one.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    at: Instant,
    pub(crate) net: Ipv6Net,
    start: Ipv6Addr,
    stop: Ipv6Addr,
}

impl Opened {
    /// What of a pool's blocks is one; `before`: its blocks in the version before.
    pub(crate) fn of(
        at: Instant,
        before: &[(Ipv6Addr, Ipv6Addr)],
        now: &[(Ipv6Addr, Ipv6Addr)],
        generations: &Generations,
    ) -> Option<Self> {
        let is_whole = |(start, stop): &&(Ipv6Addr, Ipv6Addr)| {
            generations.is_current(*start) && stop.to_bits() - start.to_bits() == 0xffff
        };
        let (start, stop) = *now.iter().find(|block| is_whole(block) && !before.contains(block))?;
        let is_former =
            |(start, _): &(Ipv6Addr, Ipv6Addr)| generations.net(*start).is_some() && !generations.is_current(*start);
        let net = generations.net(start)?;
        before.iter().any(is_former).then_some(Self { at, net, start, stop })
    }

    /// Whether all that matters was seen.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.at + OUT_OF_STEP
    }

    /// Whether a Service with this host part that is there since `created`, with a history of addresses, was passed over.
    pub(crate) fn passes_over(
        &self,
        host: Ipv6Addr,
        created: Instant,
        ingress: &[(Instant, BTreeSet<IpAddr>)],
        changed: Instant,
    ) -> bool {
        let wanted = Ipv6Addr::from_bits(self.net.network().to_bits() | host.to_bits());
        let in_net = |address: &IpAddr| matches!(address, IpAddr::V6(address) if self.net.contains(address));
        let has_come = ingress.iter().any(|(since, held)| *since <= self.at + OUT_OF_STEP && held.iter().any(in_net));
        (self.start..=self.stop).contains(&wanted) && created + SETTLED < changed && !has_come
    }
}
