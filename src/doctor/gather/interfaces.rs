//! What concerns one interface.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::{LISTEN, Shared, files, host, listen, root};
use super::{addresses, firewall, interface, lease, port, router};
use crate::config::Config;
use crate::doctor::{Finding, Section};
use crate::prefix::PrefixFilter;
use crate::source::dhcpv6::others;
use crate::source::dhcpv6::socket::Local;
use crate::source::interface::{Interest, Settings};

/// What the configuration wants of an interface.
#[derive(Default)]
struct Wanted {
    uses: interface::Uses,
    filters: Vec<PrefixFilter>,
    addresses: Vec<Interest>,
}

/// Every interface of the configuration.
pub(super) async fn all(shared: &Shared<'_>) -> Vec<Section> {
    let wanted = wanted(shared.config);
    if wanted.is_empty() {
        return Vec::new();
    }
    let (nft, ip6tables) =
        tokio::join!(host::rules("nft", &["--json", "list", "ruleset"]), host::rules("ip6tables-save", &[]),);
    let rules = (&nft, &ip6tables);
    join_all(wanted.iter().map(|(name, wanted)| one(shared, name, wanted, rules))).await
}

fn wanted(config: &Config) -> BTreeMap<String, Wanted> {
    let mut interfaces: BTreeMap<String, Wanted> = BTreeMap::new();
    for prefix in &config.dynamic_prefixes {
        if let Some(client) = &prefix.acquisition.dhcpv6 {
            let uses = &mut interfaces.entry(client.interface.clone()).or_default().uses;
            uses.dhcpv6 = true;
            uses.take_over |= client.take_over;
            uses.require_router_advertisement |= client.require_router_advertisement;
        }
        if let Some(observe) = &prefix.acquisition.observe {
            interfaces.entry(observe.interface.clone()).or_default().uses.observe = true;
        }
        if let Some(source) = &prefix.acquisition.router_advertisement {
            let wanted = interfaces.entry(source.interface.clone()).or_default();
            wanted.uses.router_advertisement = true;
            wanted.filters.push(prefix.acquisition.filter.clone());
        }
        if let Some(source) = &prefix.acquisition.interface {
            let wanted = interfaces.entry(source.name.clone()).or_default();
            wanted.uses.addresses = true;
            wanted.addresses = Settings::for_interface(&source.name, &config.dynamic_prefixes).interests;
        }
    }
    interfaces
}

async fn one(
    shared: &Shared<'_>,
    name: &str,
    wanted: &Wanted,
    (nft, ip6tables): (&firewall::Seen, &firewall::Seen),
) -> Section {
    let place = format!("interface {name}");
    let links = match shared.links {
        Ok(links) => links,
        Err(why) => {
            return Section { place, findings: vec![interface::unread(name, why)] };
        }
    };
    let link = links.get(name);
    let default_route =
        shared.tables.routes.as_ref().ok().map(|routes| {
            link.as_ref().is_some_and(|link| routes.iter().any(|route| route.is_default_by(link.ifindex)))
        });
    let mut found = interface::check(&interface::Facts {
        name: name.to_owned(),
        uses: wanted.uses.clone(),
        link: link.clone(),
        interfaces: links.names(),
        disable_ipv6: host::sysctl(name, "disable_ipv6"),
        accept_ra: host::sysctl(name, "accept_ra"),
        forwarding: host::sysctl(name, "forwarding"),
        default_route,
    });
    let Some(link) = link else { return Section { place, findings: found } };

    if wanted.uses.addresses {
        let (interests, addresses) = (wanted.addresses.clone(), shared.tables.addresses_of(link.ifindex));
        found.extend(addresses::check(&addresses::Facts { interface: name.to_owned(), interests, addresses }));
    }
    if wanted.uses.dhcpv6 || wanted.uses.observe {
        let (findings, client) = port(name, link.ifindex, &wanted.uses).await;
        found.extend(findings);
        if wanted.uses.observe {
            found.extend(lease::check(&files::leases(name, root(), shared.account.cloned(), client)));
        }
    }
    if !wanted.uses.dhcpv6 && !wanted.uses.router_advertisement {
        // What the other client hears is its own affair, and a packet socket gets its copy before any firewall.
        return Section { place, findings: found };
    }
    let packets = [(wanted.uses.dhcpv6, firewall::Packet::Dhcpv6), (true, firewall::Packet::RouterAdvertisement)];
    found.extend(firewall::check(&firewall::Facts {
        interface: name.to_owned(),
        own: Local::of(&link).map(|local| local.address),
        packets: packets.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, packet)| packet).collect(),
        nft: nft.clone(),
        ip6tables: ip6tables.clone(),
    }));
    if link.up {
        let heard = match listen::listen(name, &link, LISTEN).await {
            Ok(routers) => router::Heard::Live(LISTEN, routers),
            Err(why) => by_daemon(shared, name).unwrap_or(router::Heard::Nobody(why)),
        };
        let (interface, uses, filters) = (name.to_owned(), wanted.uses.clone(), wanted.filters.clone());
        found.extend(router::check(&router::Facts { interface, uses, heard, filters }));
    }
    Section { place, findings: found }
}

/// What the daemon says that it hears.
fn by_daemon(shared: &Shared<'_>, name: &str) -> Option<router::Heard> {
    let status = shared.daemon.facts.status()?;
    let source = status
        .sources
        .iter()
        .find(|source| source.kind == "router-advertisement" && source.interface.as_deref() == Some(name))?;
    Some(router::Heard::ByDaemon(source.state.clone()))
}

/// What there is to say of the port, and who the other client is.
async fn port(name: &str, ifindex: u32, uses: &interface::Uses) -> (Vec<Finding>, Option<String>) {
    let interface = name.to_owned();
    let looking = tokio::task::spawn_blocking(move || others::gather(&interface, ifindex, root()));
    let Ok(facts) = looking.await else {
        return (vec![port::unsearched(name)], None);
    };
    // Whoever holds the port is told of once.
    let others = others::judge(&others::Facts { owners: Vec::new(), ..facts.clone() });
    let client = match (facts.owners.first(), &others) {
        (Some(owner), _) => Some(owner.to_string()),
        (None, others::Verdict::Taken(client)) => Some(client.who.clone()),
        (None, others::Verdict::Free | others::Verdict::Undecided(_)) => None,
    };
    let (interface, uses) = (name.to_owned(), uses.clone());
    (port::check(&port::Facts { interface, uses, owners: facts.owners, others }), client)
}
