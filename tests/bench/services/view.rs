//! What a pool or a Service shows, and how far it is on its way to a prefix.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use serde_json::Value;

use crate::lab::ingress;
use crate::world::is_managed;

/// What a Service asks LB-IPAM for.
pub(crate) const IPS: &str = "lbipam.cilium.io/ips";
/// What DNS is to name: the first one counts for external-dns 0.22 and later, the second one before.
pub(crate) const TARGETS: [&str; 2] = ["external-dns.kubernetes.io/target", "external-dns.alpha.kubernetes.io/target"];
/// How many addresses the range of a pool has.
const WHOLE: u128 = 1 << 16;

/// What a pool or a Service shows.
#[derive(Clone, Debug)]
pub(crate) enum View {
    /// The first and the last address of each block.
    Pool(Vec<(Ipv6Addr, Ipv6Addr)>),
    Service {
        is_managed: bool,
        asks: Vec<Ipv6Addr>,
        holds: Vec<Ipv6Addr>,
        /// What DNS is to name.
        named: Vec<Ipv6Addr>,
    },
}

/// A step of the transition, as far as one object shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The pool holds something of the new prefix.
    Offered,
    /// The Service asks for its new address.
    Asked,
    /// It has it.
    Assigned,
    /// DNS is to name that, and nothing else.
    Named,
    /// The pool holds all of the new range.
    Whole,
    /// Nothing of a former prefix is left on what we write.
    Tidy,
    /// Services that are not ours have moved, too.
    Followed,
}

impl Step {
    /// From an advertisement to the last write, but for the end of the drain.
    pub(crate) const MOVE: [Self; 5] = [Self::Offered, Self::Asked, Self::Assigned, Self::Named, Self::Whole];

    /// What it says of the advertisement.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Offered => "pool offers",
            Self::Asked => "Service asks",
            Self::Assigned => "assigned",
            Self::Named => "target written",
            Self::Whole => "pool whole",
            Self::Tidy => "old one gone",
            Self::Followed => "others moved",
        }
    }

    /// Whether it is one that such an object takes.
    pub(crate) const fn is_taken_by(self, view: &View) -> bool {
        match self {
            Self::Offered | Self::Whole => matches!(view, View::Pool(_)),
            Self::Asked | Self::Assigned | Self::Named => matches!(view, View::Service { is_managed: true, .. }),
            Self::Tidy => matches!(view, View::Pool(_) | View::Service { is_managed: true, .. }),
            Self::Followed => matches!(view, View::Service { is_managed: false, .. }),
        }
    }
}

impl View {
    /// That of a watch event.
    pub(crate) fn of(object: &Value) -> Self {
        let Some(blocks) = object["spec"]["blocks"].as_array() else {
            let list = |key: &str| {
                let text = object["metadata"]["annotations"][key].as_str().unwrap_or_default();
                text.split(',').filter_map(|entry| entry.trim().parse().ok()).collect()
            };
            let holds = ingress(object).into_iter().filter_map(|address| address.parse().ok()).collect();
            let is_managed = object["metadata"]["name"].as_str().is_some_and(is_managed);
            return Self::Service { is_managed, asks: list(IPS), holds, named: list(TARGETS[0]) };
        };
        let address = |value: &Value| value.as_str()?.parse().ok();
        let bounds = |block: &Value| match block["cidr"].as_str() {
            Some(cidr) => cidr.parse::<Ipv6Net>().ok().map(|net| (net.network(), net.broadcast())),
            None => Some((address(&block["start"])?, address(&block["stop"])?)),
        };
        Self::Pool(blocks.iter().filter_map(bounds).collect())
    }

    /// Whether it shows a step towards `prefix`.
    pub(crate) fn shows(&self, step: Step, prefix: Ipv6Net) -> bool {
        let is_new = |address: &Ipv6Addr| prefix.contains(address);
        let only_new = |list: &[Ipv6Addr]| !list.is_empty() && list.iter().all(is_new);
        let is_whole = |(first, last): &(Ipv6Addr, Ipv6Addr)| {
            is_new(first) && last.to_bits().saturating_sub(first.to_bits()) + 1 == WHOLE
        };
        match (self, step) {
            (Self::Pool(blocks), Step::Offered) => blocks.iter().any(|(first, _)| is_new(first)),
            (Self::Pool(blocks), Step::Whole) => blocks.iter().any(is_whole),
            (Self::Pool(blocks), Step::Tidy) => matches!(&blocks[..], [only] if is_whole(only)),
            (Self::Service { asks, .. }, Step::Asked) => asks.iter().any(is_new),
            (Self::Service { holds, .. }, Step::Assigned) => holds.iter().any(is_new),
            (Self::Service { named, .. }, Step::Named) => only_new(named),
            (Self::Service { asks, holds, named, .. }, Step::Tidy) => {
                only_new(asks) && only_new(holds) && only_new(named)
            }
            (Self::Service { holds, .. }, Step::Followed) => only_new(holds),
            (Self::Pool(_), Step::Asked | Step::Assigned | Step::Named | Step::Followed)
            | (Self::Service { .. }, Step::Offered | Step::Whole) => false,
        }
    }
}
