//! The unreachable route for what is delegated (RFC 7084 WPD-5): without it, packets to a part of the prefix that is not
//! in use follow the default route back to the provider, who sends them here again.
//!
//! `plan` is pure; `apply` does what it says by rtnetlink. A route is ours if it looks exactly as we make it and its
//! prefix is one that the client has held.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv6Addr;

use futures_util::TryStreamExt;
use ipnet::Ipv6Net;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType};
use nix::libc;
use rtnetlink::{Handle, RouteMessageBuilder};

mod keeper;

pub(super) use keeper::Keeper;

/// The largest that tools show as a positive number: every other route to the same prefix wins.
const METRIC: u32 = 2_147_483_647;

/// What the routes should be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The prefixes held; whether an unreachable route is to be kept for each.
    pub held: BTreeMap<Ipv6Net, bool>,
    /// Prefixes that were held: their routes go.
    pub former: BTreeSet<Ipv6Net>,
    /// The index of the interface that the prefixes come by.
    pub uplink: u32,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Routes that are new.
    pub added: Vec<Ipv6Net>,
    /// Routes that were taken away.
    pub removed: Vec<Ipv6Net>,
    /// What the user should know about a prefix, a full sentence each.
    pub notes: BTreeMap<Ipv6Net, String>,
}

/// A route of the table main.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    destination: Ipv6Net,
    effect: Effect,
}

/// What a route does with a packet, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It is unreachable, and made by us.
    Ours,
    /// It drops the packet.
    Drops,
    /// It sends it out of an interface.
    Sends(u32),
    /// Anything else.
    Other,
}

/// What there is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plan {
    add: Vec<Ipv6Net>,
    remove: Vec<Ipv6Net>,
    /// Prefixes whose unused part loops.
    looping: Vec<Ipv6Net>,
}

/// Makes the routes as wanted.
pub async fn apply(wanted: Wanted) -> Outcome {
    let connection = rtnetlink::new_connection();
    let (connection, handle, _messages) = match connection {
        Ok(connection) => connection,
        Err(error) => return failed(&wanted, &error.to_string()),
    };
    tokio::select! {
        outcome = work(&handle, &wanted) => outcome.unwrap_or_else(|error| failed(&wanted, &error.to_string())),
        () = connection => failed(&wanted, "the netlink connection ended"),
    }
}

/// The IPv6 routes of the table main.
///
/// # Errors
/// What the kernel answers.
pub async fn table(handle: &Handle) -> Result<Vec<Route>, rtnetlink::Error> {
    let dump = handle.route().get(RouteMessageBuilder::<Ipv6Addr>::new().build()).execute();
    dump.try_filter_map(async |message| Ok(read(&message))).try_collect().await
}

async fn work(handle: &Handle, wanted: &Wanted) -> Result<Outcome, rtnetlink::Error> {
    let routes = table(handle).await?;
    let plan = plan(wanted, &routes, forwards());
    let mut outcome = Outcome::default();
    for prefix in plan.remove {
        match handle.route().del(unreachable(prefix)).execute().await {
            Ok(()) => outcome.removed.push(prefix),
            Err(error) => drop(outcome.notes.insert(prefix, refused("remove the", prefix, &error))),
        }
    }
    for prefix in plan.add {
        match handle.route().add(unreachable(prefix)).execute().await {
            Ok(()) => outcome.added.push(prefix),
            Err(error) => drop(outcome.notes.insert(prefix, refused("add an", prefix, &error))),
        }
    }
    outcome.notes.extend(plan.looping.into_iter().map(|prefix| (prefix, looping(prefix))));
    Ok(outcome)
}

/// What to do about `routes`, on a host that forwards or not.
fn plan(wanted: &Wanted, routes: &[Route], forwards: bool) -> Plan {
    let ours =
        |prefix: &Ipv6Net| routes.iter().any(|route| route.destination == *prefix && route.effect == Effect::Ours);
    let keep = |prefix: &Ipv6Net| wanted.held.get(prefix) == Some(&true);
    let not_kept = wanted.former.iter().chain(wanted.held.keys()).collect::<BTreeSet<_>>();
    let unprotected = |prefix: &Ipv6Net| {
        !routes.iter().any(|route| route.effect != Effect::Ours && route.covers(prefix, wanted.uplink))
    };
    let held = |keep| wanted.held.iter().filter(move |(_, kept)| **kept == keep).map(|(prefix, _)| *prefix);
    Plan {
        add: held(true).filter(|prefix| !ours(prefix)).collect(),
        remove: not_kept.into_iter().filter(|prefix| !keep(prefix) && ours(prefix)).copied().collect(),
        looping: held(false).filter(|prefix| forwards && unprotected(prefix)).collect(),
    }
}

impl Route {
    /// One that sends packets out of an interface.
    pub const fn sending(destination: Ipv6Net, interface: u32) -> Self {
        Self { destination, effect: Effect::Sends(interface) }
    }

    /// One that drops them.
    pub const fn dropping(destination: Ipv6Net) -> Self {
        Self { destination, effect: Effect::Drops }
    }

    /// Whether it is a default route by this interface.
    pub fn is_default_by(&self, interface: u32) -> bool {
        self.destination.prefix_len() == 0 && self.effect == Effect::Sends(interface)
    }

    /// Whether no packet to the unused part of `prefix` goes back to the provider because of this route. The default
    /// route sends it there, and a default route that drops has a worse metric than that one.
    pub fn covers(&self, prefix: &Ipv6Net, uplink: u32) -> bool {
        let stays = match self.effect {
            Effect::Drops | Effect::Ours => true,
            Effect::Sends(interface) => interface != uplink,
            Effect::Other => false,
        };
        stays && self.destination.prefix_len() > 0 && self.destination.contains(prefix)
    }
}

fn read(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let mut table = u32::from(header.table);
    let (mut address, mut interface, mut metric) = (Ipv6Addr::UNSPECIFIED, None, None);
    for attribute in &message.attributes {
        if let RouteAttribute::Table(id) = attribute {
            table = *id;
        } else if let RouteAttribute::Destination(RouteAddress::Inet6(destination)) = attribute {
            address = *destination;
        } else if let RouteAttribute::Oif(index) = attribute {
            interface = Some(*index);
        } else if let RouteAttribute::Priority(priority) = attribute {
            metric = Some(*priority);
        }
    }
    if table != u32::from(RouteHeader::RT_TABLE_MAIN) {
        return None;
    }
    let as_we_make_it = header.protocol == RouteProtocol::Dhcp && metric == Some(METRIC);
    let effect = if header.kind == RouteType::Unreachable && as_we_make_it {
        Effect::Ours
    } else if [RouteType::Unreachable, RouteType::BlackHole, RouteType::Prohibit].contains(&header.kind) {
        Effect::Drops
    } else {
        interface.filter(|_| header.kind == RouteType::Unicast).map_or(Effect::Other, Effect::Sends)
    };
    Some(Route { destination: Ipv6Net::new(address, header.destination_prefix_length).ok()?, effect })
}

fn unreachable(prefix: Ipv6Net) -> RouteMessage {
    RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix(prefix.network(), prefix.prefix_len())
        .kind(RouteType::Unreachable)
        .protocol(RouteProtocol::Dhcp)
        .priority(METRIC)
        .build()
}

/// Whether this host forwards IPv6 between interfaces.
fn forwards() -> bool {
    fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding").is_ok_and(|value| value.trim() != "0")
}

fn failed(wanted: &Wanted, error: &str) -> Outcome {
    let note = |prefix: Ipv6Net| format!("Cannot read the IPv6 routes for {prefix} by netlink: {error}.");
    let kept = wanted.held.iter().filter(|(_, kept)| **kept).map(|(prefix, _)| (*prefix, note(*prefix)));
    Outcome { notes: kept.collect(), ..Outcome::default() }
}

fn refused(what: &str, prefix: Ipv6Net, error: &rtnetlink::Error) -> String {
    let code = if let rtnetlink::Error::NetlinkError(message) = error { message.raw_code() } else { 0 };
    if code == -libc::EPERM || code == -libc::EACCES {
        return format!(
            "Cannot {what} unreachable route for {prefix} (unreachableRoute): the capability CAP_NET_ADMIN is missing, \
             which the unit does not give by itself. Run `systemctl edit dyn-prefix`, write `[Service]`, \
             `AmbientCapabilities=CAP_NET_ADMIN` and `CapabilityBoundingSet=CAP_NET_ADMIN` on a line each, and restart \
             dyn-prefix; or have another program keep the route and set unreachableRoute = false."
        );
    }
    let reason = if code == 0 { error.to_string() } else { std::io::Error::from_raw_os_error(-code).to_string() };
    format!(
        "Cannot {what} unreachable route for {prefix} (unreachableRoute): {reason}. It is tried again at the next renewal."
    )
}

fn looping(prefix: Ipv6Net) -> String {
    format!(
        "{prefix} is delegated to this host, which forwards IPv6, and no route keeps packets to its unused part from \
         going back to the provider and round and round (RFC 7084 WPD-5). Set unreachableRoute = true in \
         acquisition.dhcpv6, or add the route yourself: `ip -6 route add unreachable {prefix}`."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPLINK: u32 = 3;

    fn net(text: &str) -> Ipv6Net {
        text.parse().unwrap()
    }

    fn wanted(held: &[(&str, bool)], former: &[&str]) -> Wanted {
        Wanted {
            held: held.iter().map(|(prefix, keep)| (net(prefix), *keep)).collect(),
            former: former.iter().map(|prefix| net(prefix)).collect(),
            uplink: UPLINK,
        }
    }

    fn route(destination: &str, effect: Effect) -> Route {
        Route { destination: net(destination), effect }
    }

    #[test]
    fn t167_a_route_is_added_once_and_goes_with_its_prefix() {
        let (a, b) = ("2001:db8:a::/56", "2001:db8:b::/56");
        let kept = wanted(&[(a, true)], &[]);
        assert_eq!(plan(&kept, &[], true), Plan { add: vec![net(a)], ..Plan::default() });
        assert_eq!(plan(&kept, &[route(a, Effect::Ours)], true), Plan::default());
        // Somebody else's does not stand in for ours: it may go at any time.
        assert_eq!(plan(&kept, &[route(a, Effect::Drops)], true).add, [net(a)]);
        let moved = wanted(&[(b, true)], &[a]);
        let routes = [route(a, Effect::Ours)];
        assert_eq!(plan(&moved, &routes, true), Plan { add: vec![net(b)], remove: vec![net(a)], looping: vec![] });
        // Switched off; and a former prefix whose route is not ours.
        assert_eq!(plan(&wanted(&[(a, false)], &[]), &routes, false).remove, [net(a)]);
        assert_eq!(plan(&wanted(&[], &[a]), &[route(a, Effect::Drops)], true), Plan::default());
    }

    #[test]
    fn t167_a_loop_is_named_where_no_route_prevents_it() {
        let prefix = "2001:db8:a::/56";
        let asked = wanted(&[(prefix, false)], &[]);
        let looping = |routes: &[Route]| !plan(&asked, routes, true).looping.is_empty();
        assert!(looping(&[route("::/0", Effect::Sends(UPLINK)), route("::/0", Effect::Drops)]));
        assert!(looping(&[route("2001:db8:a:1::/64", Effect::Sends(9)), route(prefix, Effect::Sends(UPLINK))]));
        assert!(!looping(&[route(prefix, Effect::Drops)]));
        assert!(!looping(&[route("2001:db8::/32", Effect::Drops)]));
        assert!(!looping(&[route(prefix, Effect::Sends(9))]), "all of it is in use");
        assert!(plan(&asked, &[], false).looping.is_empty(), "a host that does not forward");
    }

    #[test]
    fn what_is_made_is_recognised() {
        let made = read(&unreachable(net("2001:db8:a::/56"))).unwrap();
        assert_eq!(made, route("2001:db8:a::/56", Effect::Ours));
        let mut other = unreachable(net("2001:db8:a::/56"));
        other.header.protocol = RouteProtocol::Static;
        assert_eq!(read(&other).unwrap().effect, Effect::Drops);
        other.header.table = 255;
        assert_eq!(read(&other), None);
    }

    #[test]
    fn a_missing_capability_is_named_with_the_drop_in() {
        let mut message = netlink_packet_core::ErrorMessage::default();
        message.code = std::num::NonZeroI32::new(-libc::EPERM);
        let text = refused("add an", net("2001:db8::/56"), &rtnetlink::Error::NetlinkError(message));
        assert!(text.contains("CAP_NET_ADMIN") && text.contains("systemctl edit dyn-prefix"), "{text}");
    }
}
