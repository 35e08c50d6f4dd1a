//! The capabilities that the sources of a configuration need.

use super::{Check, Finding};
use crate::config::Config;

/// CAP_NET_BIND_SERVICE (linux/capability.h)
pub const NET_BIND_SERVICE: u8 = 10;
/// CAP_NET_ADMIN
pub const NET_ADMIN: u8 = 12;
/// CAP_NET_RAW
pub const NET_RAW: u8 = 13;

/// Whose capabilities were looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of the running daemon, process so and so.
    Daemon(u32),
    /// Those that the unit gives; the daemon does not run.
    Unit,
    /// Those of this command: there is neither daemon nor unit.
    ThisCommand,
}

/// What is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whose they are.
    pub whose: Whose,
    /// The set, a bit each; `None`: it could not be read.
    pub effective: Option<u64>,
    /// `RestrictAddressFamilies=` of the unit that the daemon runs by, as `systemctl show` prints it; `None`: there is
    /// none.
    pub families: Option<String>,
}

/// A capability and what for.
struct Needed {
    number: u8,
    name: &'static str,
    what_for: String,
}

/// Looks whether all are there that the configuration needs.
pub fn check(config: &Config, facts: &Facts) -> Vec<Finding> {
    let needed = needed(config);
    if needed.is_empty() {
        let message = "The sources of this configuration need no capability.";
        return vec![Finding::ok(Check::Capability, "capabilities", message)];
    }
    let whose = match &facts.whose {
        Whose::Daemon(pid) => format!("the daemon (process {pid})"),
        Whose::Unit => "the unit dyn-prefix.service".to_owned(),
        Whose::ThisCommand => "this command, for want of a unit and of a running daemon,".to_owned(),
    };
    let Some(effective) = facts.effective else {
        let message = format!("The capabilities of {whose} could not be read.");
        return vec![Finding::unseen(Check::Capability, "capabilities", message, "Run this as root.")];
    };
    let one = |needed: Needed| {
        let Needed { number, name, what_for } = needed;
        if effective >> number & 1 == 1 {
            return Finding::ok(
                Check::Capability,
                name,
                format!("{} has {name}, for {what_for}.", capitalised(&whose)),
            );
        }
        let message = format!("{} does not have {name}, without which there is no {what_for}.", capitalised(&whose));
        let how = match facts.whose {
            Whose::Daemon(_) | Whose::Unit => format!(
                "Run `systemctl edit dyn-prefix`, write `[Service]`, `AmbientCapabilities={name}` and \
                 `CapabilityBoundingSet={name}` on a line each, and restart dyn-prefix."
            ),
            Whose::ThisCommand => {
                "Run the daemon by its systemd unit, which gives it what it needs, or as root.".to_owned()
            }
        };
        // Whoever runs this need not be who runs the daemon.
        match facts.whose {
            Whose::Daemon(_) | Whose::Unit => Finding::error(Check::Capability, name, message, how),
            Whose::ThisCommand => Finding::unseen(Check::Capability, name, message, &how),
        }
    };
    needed.into_iter().map(one).chain(packet_sockets(config, facts)).collect()
}

/// What is observed comes in by packet sockets, which the unit keeps from the daemon as it is shipped.
fn packet_sockets(config: &Config, facts: &Facts) -> Option<Finding> {
    let observes = config.dynamic_prefixes.iter().any(|prefix| prefix.acquisition.observe.is_some());
    let families = facts.families.as_deref().filter(|_| observes)?;
    let subject = "packet sockets";
    if allows_packet(families) {
        let message = "The unit dyn-prefix.service lets the daemon open packet sockets, for acquisition.observe.";
        return Some(Finding::ok(Check::PacketSocket, subject, message));
    }
    let message = "The unit dyn-prefix.service keeps packet sockets (AF_PACKET) from the daemon, without which it does not see \
                   what another DHCPv6 client is told (acquisition.observe).";
    let advice = "Run `systemctl edit dyn-prefix`, write `[Service]` and `RestrictAddressFamilies=AF_PACKET` on a line each, \
                  and restart dyn-prefix.";
    Some(Finding::error(Check::PacketSocket, subject, message, advice))
}

/// Whether `RestrictAddressFamilies=` lets AF_PACKET through: a list of what is allowed, or after `~` of what is not.
fn allows_packet(families: &str) -> bool {
    let names = |list: &str| list.split_whitespace().any(|family| family == "AF_PACKET");
    match families.trim().strip_prefix('~') {
        Some(forbidden) => !names(forbidden),
        None => families.trim().is_empty() || names(families),
    }
}

fn needed(config: &Config) -> Vec<Needed> {
    let sources = || config.dynamic_prefixes.iter().map(|prefix| &prefix.acquisition);
    let clients: Vec<_> = sources().filter_map(|source| source.dhcpv6.as_ref()).collect();
    let hears = sources().any(|source| source.router_advertisement.is_some()) || !clients.is_empty();
    let observes = sources().any(|source| source.observe.is_some());
    let raw = [(hears, "listening to Router Advertisements"), (observes, "watching another DHCPv6 client")];
    let raw: Vec<&str> = raw.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, what)| what).collect();
    let routes = clients.iter().any(|client| client.unreachable_route);
    let need =
        |number, name, what_for: &str, is_needed| (is_needed, Needed { number, name, what_for: what_for.to_owned() });
    let all = [
        need(NET_RAW, "CAP_NET_RAW", &raw.join(" and "), !raw.is_empty()),
        need(NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE", "DHCPv6 client (UDP port 546)", !clients.is_empty()),
        need(NET_ADMIN, "CAP_NET_ADMIN", "unreachable route (unreachableRoute = true)", routes),
    ];
    all.into_iter().filter(|(is_needed, _)| *is_needed).map(|(_, needed)| needed).collect()
}

/// The capabilities that `AmbientCapabilities=` of a unit names, as `systemctl show` prints them.
pub fn of_unit(text: &str) -> u64 {
    let known = [("cap_net_bind_service", NET_BIND_SERVICE), ("cap_net_admin", NET_ADMIN), ("cap_net_raw", NET_RAW)];
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    known.iter().filter(|(name, _)| words.iter().any(|word| word == name)).fold(0, |set, (_, bit)| set | 1 << bit)
}

/// The line CapEff of /proc/PID/status.
pub fn of_status(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
