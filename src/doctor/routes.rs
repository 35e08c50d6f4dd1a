//! What the kernel's tables say: packets that go round in circles, and hosts inside a range.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{Check, Finding};
use crate::prefix::Interval;
use crate::source::dhcpv6::route::Route;

/// A prefix that is delegated to this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The prefix.
    pub prefix: Ipv6Net,
    /// The interface it came by.
    pub interface: String,
    /// The index of that; `None`: there is none at the moment.
    pub ifindex: Option<u32>,
}

/// What is known of the routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether this host forwards IPv6.
    pub forwards: bool,
    /// The delegations that are held.
    pub delegations: Vec<Delegation>,
    /// The IPv6 routes of the table main, or why they could not be read.
    pub routes: Result<Vec<Route>, String>,
}

/// Looks for delegations whose unused part loops (RFC 7084 WPD-5).
pub fn check(facts: &Facts) -> Vec<Finding> {
    facts.delegations.iter().map(|delegation| of_delegation(facts, delegation)).collect()
}

fn of_delegation(facts: &Facts, delegation: &Delegation) -> Finding {
    let Delegation { prefix, interface, ifindex } = delegation;
    let subject = prefix.to_string();
    let routes = match &facts.routes {
        Ok(routes) => routes,
        Err(why) => {
            let message =
                format!("Whether packets to unused parts of {prefix} go in circles could not be seen: {why}.");
            return Finding::unseen(Check::ForwardingLoop, subject, message, "Look at `ip -6 route`.");
        }
    };
    let is_covered = routes.iter().any(|route| route.covers(prefix, ifindex.unwrap_or_default()));
    if is_covered {
        let message = format!("A route keeps packets to unused parts of {prefix} from going back to the provider.");
        return Finding::ok(Check::ForwardingLoop, subject, message);
    }
    if !facts.forwards {
        let message = format!(
            "{prefix} is delegated to this host, which does not forward IPv6, so nothing of it reaches anybody else."
        );
        return Finding::note(Check::ForwardingLoop, subject, message);
    }
    let message = format!(
        "{prefix} is delegated to this host by {interface}, which forwards IPv6, and no route keeps packets to its unused \
         part from going back to the provider and round and round (RFC 7084 WPD-5)."
    );
    let advice = format!(
        "Set unreachableRoute = true in acquisition.dhcpv6, or add the route: `ip -6 route add unreachable {prefix}`."
    );
    Finding::warning(Check::ForwardingLoop, subject, message, advice)
}

/// A range that is handed out to Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// `DYNAMICPREFIX/NAME`
    pub name: String,
    /// Its addresses.
    pub interval: Interval,
}

/// What is known of the neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbourhood {
    /// The ranges that are bound to pools, for the prefixes in use.
    pub ranges: Vec<Range>,
    /// Hosts that answer on a link of ours, and our own addresses, each with its interface; or why they could not be
    /// read.
    pub neighbours: Result<BTreeSet<(Ipv6Addr, String)>, String>,
    /// The addresses of Services; `None`: not every cluster could be asked.
    pub services: Option<BTreeSet<Ipv6Addr>>,
}

/// Looks for hosts whose addresses lie in a range.
pub fn neighbours(facts: &Neighbourhood) -> Vec<Finding> {
    if facts.ranges.is_empty() {
        return Vec::new();
    }
    let neighbours = match &facts.neighbours {
        Ok(neighbours) => neighbours,
        Err(why) => {
            let message = format!("The neighbours of this host could not be read: {why}.");
            return vec![Finding::unseen(Check::Neighbour, "neighbours", message, "Look at `ip -6 neighbour`.")];
        }
    };
    let is_service = |address: &Ipv6Addr| facts.services.as_ref().is_some_and(|services| services.contains(address));
    let inside = neighbours.iter().filter_map(|(address, interface)| {
        let range =
            facts.ranges.iter().find(|range| (range.interval.first()..=range.interval.last()).contains(address))?;
        (!is_service(address)).then_some((address, interface, range))
    });
    let found: Vec<Finding> = inside
        .map(|(address, interface, range)| stranger(*address, interface, range, facts.services.is_some()))
        .collect();
    if found.is_empty() {
        let message = "No host on a link of this machine has an address in a range that is for Services.";
        return vec![Finding::ok(Check::Neighbour, "neighbours", message)];
    }
    found
}

fn stranger(address: Ipv6Addr, interface: &str, range: &Range, is_sure: bool) -> Finding {
    let subject = address.to_string();
    if !is_sure {
        let message = format!(
            "{address} answers on {interface} and lies in the range {}; whether it is a Service could not be seen, for \
             not every cluster could be asked.",
            range.name
        );
        return Finding::note(Check::Neighbour, subject, message);
    }
    let message = format!(
        "{address} on {interface} lies in the range {}, and no Service of the clusters has it: a Service that is given it \
         would collide with that host.",
        range.name
    );
    let advice = "Give the range a part of the prefix where no host is: away from the /64 of the link, or high up in it; \
                  hosts that make their own addresses may take any of the /64.";
    Finding::warning(Check::Neighbour, subject, message, advice)
}
