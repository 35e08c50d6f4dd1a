//! An interface that a source listens on: is it there, up, able to send, and does the kernel route by it?

use super::{Check, Finding};
use crate::source::link::LinkState;

/// What a configuration wants of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// A DHCPv6 client runs on it.
    pub dhcpv6: bool,
    /// `takeOver` of that client.
    pub take_over: bool,
    /// `requireRouterAdvertisement` of that client.
    pub require_router_advertisement: bool,
    /// Router Advertisements are a source of a prefix.
    pub router_advertisement: bool,
    /// Another DHCPv6 client there is observed.
    pub observe: bool,
    /// Its addresses are a source of a prefix.
    pub addresses: bool,
}

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub uses: Uses,
    /// `None`: it does not exist.
    pub link: Option<LinkState>,
    /// Every interface of the host.
    pub interfaces: Vec<String>,
    /// net.ipv6.conf.NAME.disable_ipv6
    pub disable_ipv6: Option<u8>,
    /// net.ipv6.conf.NAME.accept_ra
    pub accept_ra: Option<u8>,
    /// net.ipv6.conf.NAME.forwarding
    pub forwarding: Option<u8>,
    /// Whether there is an IPv6 default route by it; `None`: the routes could not be read.
    pub default_route: Option<bool>,
}

/// Looks at an interface.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let name = &facts.name;
    let Some(link) = &facts.link else {
        let others: Vec<&str> = facts.interfaces.iter().map(String::as_str).filter(|other| *other != "lo").collect();
        let message = format!("There is no interface {name}; there are: {}.", join(&others));
        let advice = "Correct its name in acquisition; a PPP or VLAN interface may only not be there yet, and is \
                      taken as soon as it comes.";
        return vec![Finding::error(Check::Interface, name, message, advice)];
    };
    let mut found = vec![presence(name, link)];
    let Uses { dhcpv6, router_advertisement, observe, .. } = facts.uses;
    if link.up && (dhcpv6 || router_advertisement || observe) {
        found.push(link_local(facts, link));
    }
    if dhcpv6 || router_advertisement {
        found.push(accept_ra(facts));
    }
    found
}

/// Nothing can be said of an interface where the kernel tells of none.
pub fn unread(name: &str, why: &str) -> Finding {
    let message = format!("The interfaces of this host could not be read: {why}.");
    Finding::unseen(Check::Interface, name, message, "Look at `ip link`.")
}

fn presence(name: &str, link: &LinkState) -> Finding {
    if link.up {
        return Finding::ok(Check::Interface, name, format!("{name} is there and up."));
    }
    let advice = format!("Look for its cable, modem or dial-up, and run `ip link set {name} up` if nobody else does.");
    Finding::error(Check::Interface, name, format!("{name} is there, but down or without a carrier."), advice)
}

fn link_local(facts: &Facts, link: &LinkState) -> Finding {
    let name = &facts.name;
    if let Some(own) = link.addresses.iter().find(|own| own.address.is_unicast_link_local() && !own.tentative) {
        return Finding::ok(Check::LinkLocal, name, format!("{name} has the link-local address {}.", own.address));
    }
    let key = |key| sysctl(name, key);
    let has_tentative = link.addresses.iter().any(|own| own.address.is_unicast_link_local());
    let (message, advice) = if facts.disable_ipv6.is_some_and(|value| value != 0) {
        (
            format!("IPv6 is switched off on {name} ({} = 1).", key("disable_ipv6")),
            format!("Run `sysctl {}=0`, and take the setting out of /etc/sysctl.d.", key("disable_ipv6")),
        )
    } else if has_tentative {
        (
            format!("The link-local address of {name} is tentative: another host may have the same one."),
            format!("Look at `ip -6 address show dev {name}`; after `dadfailed` give this host another MAC address."),
        )
    } else {
        (
            format!("{name} has no link-local address, so nothing can be sent by it."),
            format!("Look at {}, and at what manages {name}.", key("addr_gen_mode")),
        )
    };
    Finding::error(Check::LinkLocal, name, message, advice)
}

/// dyn-prefix hears Router Advertisements whatever these say; the host's own way out may need them.
fn accept_ra(facts: &Facts) -> Finding {
    let name = &facts.name;
    let (Some(accept), Some(forwarding)) = (facts.accept_ra, facts.forwarding) else {
        let message = format!("The settings of the kernel for {name} could not be read below /proc/sys/net/ipv6/conf.");
        return Finding::unseen(Check::AcceptRa, name, message, "");
    };
    let kernel_listens = accept == 2 || accept == 1 && forwarding == 0;
    let settings = format!("accept_ra = {accept}, forwarding = {forwarding}");
    match (kernel_listens, facts.default_route) {
        (true, _) => {
            let text = format!("The kernel takes routes from Router Advertisements on {name} ({settings}).");
            Finding::ok(Check::AcceptRa, name, text)
        }
        (false, Some(true)) => {
            let text = format!(
                "The kernel ignores Router Advertisements on {name} ({settings}), and there is a default route by it: \
                 somebody else sees to it. dyn-prefix hears them all the same."
            );
            Finding::ok(Check::AcceptRa, name, text)
        }
        (false, Some(false)) => {
            let text = format!(
                "The kernel ignores Router Advertisements on {name} ({settings}), and there is no IPv6 default route by \
                 it. dyn-prefix hears them all the same, but this host finds no way out by {name}."
            );
            let advice = format!(
                "If {name} is the way out: `sysctl {}=2`, and the same line in /etc/sysctl.d.",
                sysctl(name, "accept_ra")
            );
            Finding::warning(Check::AcceptRa, name, text, advice)
        }
        (false, None) => {
            let text = format!(
                "The kernel ignores Router Advertisements on {name} ({settings}); whether there is a default route by it \
                 could not be seen."
            );
            Finding::unseen(Check::AcceptRa, name, text, "Look at `ip -6 route`.")
        }
    }
}

/// The name of a setting as sysctl(8) and sysctl.d(5) take it: where dots part the words, a dot of the interface's own
/// name, as of a VLAN, is written as a slash.
fn sysctl(name: &str, key: &str) -> String {
    format!("net.ipv6.conf.{}.{key}", name.replace('.', "/"))
}

pub(super) fn join(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
