//! The Router Advertisements that are heard on an interface.

use std::time::Duration;

use super::interface::Uses;
use super::{Check, Finding};
use crate::prefix::PrefixFilter;
use crate::source::ra::packet::Advertisement;

/// Who listened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// We, for so long.
    Live(Duration, Vec<Advertisement>),
    /// The daemon: the `state` of its source.
    ByDaemon(String),
    /// Nobody: why we could not.
    Nobody(String),
}

/// What is known.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The interface.
    pub interface: String,
    /// What it is for.
    pub uses: Uses,
    /// What was heard.
    pub heard: Heard,
    /// `prefixFilter` of the DynamicPrefixes that take their prefix from what is heard here.
    pub filters: Vec<PrefixFilter>,
}

/// Looks at what was heard.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let name = facts.interface.as_str();
    match &facts.heard {
        Heard::Live(limit, routers) if routers.is_empty() => vec![silent(facts, &format!("within {limit:?}"))],
        Heard::Live(_, routers) => routers.iter().map(|router| of_router(facts, router)).collect(),
        Heard::ByDaemon(state) if state == "receiving" => {
            let message = format!("The daemon hears Router Advertisements on {name}.");
            vec![Finding::ok(Check::RouterAdvertisement, name, message)]
        }
        Heard::ByDaemon(state) if state == "silent" || state == "soliciting" => {
            vec![silent(facts, &format!("by the daemon ({state})"))]
        }
        Heard::ByDaemon(state) => {
            let message = format!("The daemon does not listen to Router Advertisements on {name}: {state}.");
            vec![Finding::unseen(Check::RouterAdvertisement, name, message, LISTEN)]
        }
        Heard::Nobody(why) => {
            let message = format!("Nobody could listen to Router Advertisements on {name}: {why}.");
            let advice = if why.contains("Protocol not available") { NO_OPTION } else { LISTEN };
            vec![Finding::unseen(Check::RouterAdvertisement, name, message, advice)]
        }
    }
}

/// ENOPROTOOPT, and no right helps.
const NO_OPTION: &str = "The kernel lacks an option of sockets that it takes, so that the daemon hears nothing here either: it \
                         is too old, or a sandbox that imitates Linux (as gVisor). Run both on a host with Linux 4.10 or \
                         later.";

const LISTEN: &str = "Run this as root, or as a user with CAP_NET_RAW.";

fn silent(facts: &Facts, how: &str) -> Finding {
    let name = facts.interface.as_str();
    let message = format!("No Router Advertisement was heard on {name} {how}, although one was asked for.");
    let advice = format!(
        "Is there an IPv6 router on {name}, and does it announce itself? A switch with RA guard or a VLAN in between \
         keeps them away."
    );
    // Beside a delegation they only stand in.
    if facts.uses.router_advertisement && !facts.uses.dhcpv6 && !facts.uses.observe {
        return Finding::error(Check::RouterAdvertisement, name, message, advice);
    }
    if facts.uses.router_advertisement || facts.uses.require_router_advertisement {
        return Finding::warning(Check::RouterAdvertisement, name, message, advice);
    }
    Finding::note(Check::RouterAdvertisement, name, format!("{message} The DHCPv6 client needs none."))
}

fn of_router(facts: &Facts, router: &Advertisement) -> Finding {
    let subject = format!("router {} on {}", router.router, facts.interface);
    let lists: Vec<String> = router.prefixes.iter().map(describe).collect();
    let flags = match (router.managed, router.other) {
        (true, _) => "; it says that there is a DHCPv6 server (M)",
        (false, true) => "; it says that there is a DHCPv6 server for other configuration (O)",
        (false, false) => "",
    };
    let what = if lists.is_empty() { "no prefix".to_owned() } else { lists.join(", ") };
    let message = format!("The router {} announces {what}{flags}.", router.router);
    if !facts.uses.router_advertisement || facts.uses.dhcpv6 {
        return Finding::ok(Check::RouterAdvertisement, subject, message);
    }
    let is_usable = |filter: &PrefixFilter| {
        router.prefixes.iter().any(|prefix| prefix.preferred > 0 && filter.check(prefix.prefix).is_ok())
    };
    if facts.filters.iter().all(is_usable) {
        return Finding::ok(Check::RouterAdvertisement, subject, message);
    }
    let advice = "A prefix is used that is preferred and passes prefixFilter; without a word there, only global ones do \
                  (2000::/3), and no ULA (fd00::/8).";
    Finding::warning(Check::RouterAdvertisement, subject, format!("{message} None of it can be used."), advice)
}

fn describe(prefix: &crate::source::ra::packet::PrefixInformation) -> String {
    let lifetime = |seconds: u32| match seconds {
        u32::MAX => "for ever".to_owned(),
        seconds => format!("for {seconds} s"),
    };
    match prefix.preferred {
        0 => format!("{} (no longer preferred, valid {})", prefix.prefix, lifetime(prefix.valid)),
        preferred => format!("{} (preferred {}, valid {})", prefix.prefix, lifetime(preferred), lifetime(prefix.valid)),
    }
}
