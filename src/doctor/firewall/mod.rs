//! Whether the packet filter of this host lets in what the sources live on: the answers of DHCPv6 servers and Router
//! Advertisements. Raw sockets, too, get only what passes it.
//!
//! An answer of a DHCPv6 server comes from a link-local address to UDP port 546, while the question went to a multicast
//! address: for connection tracking it is a new packet, so no rule for "established" lets it in (Linux
//! nf_conntrack has no helper for DHCPv6).
//!
//! Both readers ([`nft`], [`ip6tables`]) put such a packet beside each rule: it matches, it does not, or that cannot be
//! said (a limit, a set that programs fill, an expression unknown here). `walk` follows it through the chains, so that
//! what is certain and what is a suspicion are told apart.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::{Check, Finding};

pub mod ip6tables;
pub mod nft;
mod seen;

pub use seen::Seen;

/// What is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The interface.
    pub interface: String,
    /// Our own link-local address there.
    pub own: Option<Ipv6Addr>,
    /// The packets that matter.
    pub packets: Vec<Packet>,
    /// `nft -j list ruleset`
    pub nft: Seen,
    /// `ip6tables-save`
    pub ip6tables: Seen,
}

/// A packet that has to come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The answer of a DHCPv6 server.
    Dhcpv6,
    /// A Router Advertisement.
    RouterAdvertisement,
}

impl Packet {
    const fn check(self) -> Check {
        match self {
            Self::Dhcpv6 => Check::FirewallDhcpv6,
            Self::RouterAdvertisement => Check::FirewallRouterAdvertisement,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Dhcpv6 => "answers of DHCPv6 servers (UDP port 546)",
            Self::RouterAdvertisement => "Router Advertisements (ICMPv6 type 134)",
        }
    }

    fn rule(self, interface: &str) -> String {
        match self {
            Self::Dhcpv6 => format!(
                "Let them in, before anything that drops: `iifname \"{interface}\" ip6 saddr fe80::/10 udp dport 546 \
                 accept` in nftables, `-A INPUT -i {interface} -s fe80::/10 -p udp --dport 546 -j ACCEPT` in ip6tables, \
                 the service dhcpv6-client in firewalld. A rule for established connections does not do: the question \
                 goes to a multicast address, so that the answer counts as new."
            ),
            Self::RouterAdvertisement => format!(
                "Let them in, before anything that drops: `iifname \"{interface}\" icmpv6 type nd-router-advert accept` in \
                 nftables, `-A INPUT -i {interface} -p ipv6-icmp --icmpv6-type 134 -j ACCEPT` in ip6tables."
            ),
        }
    }
}

/// Whether a rule matches a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It does not.
    No,
    /// That cannot be said.
    Maybe,
    /// It does.
    Yes,
}

impl Truth {
    fn of(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            (Self::Maybe, Self::Maybe | Self::Yes) | (Self::Yes, Self::Maybe) => Self::Maybe,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
            Self::Yes => Self::No,
        }
    }
}

/// What a rule does with a packet that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on with the next rule.
    Nothing,
    /// It is let through this base chain.
    Accept,
    /// It is gone.
    Drop,
    /// It goes back to where this chain was called.
    Return,
    /// It goes through another chain, and comes back.
    Jump(String),
    /// It goes through another chain instead of the rest of this one.
    Goto(String),
    /// Something unknown here.
    Unknown,
}

/// A rule beside the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether it matches.
    pub matches: Truth,
    /// What it does then.
    pub action: Action,
    /// How a person finds it.
    pub text: String,
}

/// A chain that the kernel calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The key of its rules.
    pub chain: String,
    /// Whether its policy is drop.
    pub drops: bool,
}

/// All that a packet meets on its way in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chains {
    /// The chains that the kernel calls: each of them has to let it through.
    pub bases: Vec<Base>,
    /// Rules by chain.
    pub rules: BTreeMap<String, Vec<Rule>>,
}

/// What becomes of the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It comes in.
    Passes,
    /// It comes in unless this rule, which cannot be judged, drops it.
    MayDrop(String),
    /// It is dropped by the one unless the other, which cannot be judged, lets it in.
    MayPass {
        /// The rule or policy that drops.
        by: String,
        /// The rule that may let it in.
        unless: String,
    },
    /// It is dropped by this rule or policy.
    Dropped(String),
}

/// How deep chains may call each other (NFT_JUMP_STACK_SIZE of the kernel).
const DEEPEST: usize = 16;

struct Walk<'a> {
    chains: &'a Chains,
    may_drop: Option<String>,
    may_pass: Option<String>,
}

enum End {
    Accepted,
    Dropped(String),
    Fell,
}

/// What becomes of a packet in these chains: the worst that any of the base chains does.
pub fn walk(chains: &Chains) -> Fate {
    let mut worst = Fate::Passes;
    for base in &chains.bases {
        let mut walk = Walk { chains, may_drop: None, may_pass: None };
        let dropped = match walk.chain(&base.chain, DEEPEST) {
            End::Accepted => None,
            End::Dropped(by) => Some(by),
            End::Fell => base.drops.then(|| format!("the policy of the chain {}", base.chain)),
        };
        let fate = match (dropped, walk.may_pass, walk.may_drop) {
            (Some(by), None, _) => return Fate::Dropped(by),
            (Some(by), Some(unless), _) => Fate::MayPass { by, unless },
            (None, _, Some(rule)) => Fate::MayDrop(rule),
            (None, _, None) => Fate::Passes,
        };
        if !matches!(worst, Fate::MayPass { .. }) && fate != Fate::Passes {
            worst = fate;
        }
    }
    worst
}

impl Walk<'_> {
    fn chain(&mut self, name: &str, depth: usize) -> End {
        let rules = self.chains.rules.get(name).map(Vec::as_slice).unwrap_or_default();
        for rule in rules.iter().filter(|rule| rule.matches != Truth::No) {
            let end = if rule.matches == Truth::Yes { self.sure(rule, depth) } else { self.unsure(rule, depth) };
            match end {
                Some(End::Fell) => return End::Fell,
                Some(end) => return end,
                None => {}
            }
        }
        End::Fell
    }

    /// `None`: the next rule.
    fn sure(&mut self, rule: &Rule, depth: usize) -> Option<End> {
        match &rule.action {
            Action::Nothing => None,
            Action::Accept => Some(End::Accepted),
            Action::Drop => Some(End::Dropped(rule.text.clone())),
            Action::Return => Some(End::Fell),
            Action::Unknown => {
                self.note(&rule.text, true, true);
                None
            }
            Action::Jump(target) | Action::Goto(target) => {
                let end = if depth == 0 { End::Fell } else { self.chain(target, depth - 1) };
                let is_back = matches!(end, End::Fell) && matches!(rule.action, Action::Jump(_));
                (!is_back).then_some(end)
            }
        }
    }

    fn unsure(&mut self, rule: &Rule, depth: usize) -> Option<End> {
        match &rule.action {
            Action::Nothing => {}
            Action::Accept => self.note(&rule.text, true, false),
            Action::Drop => self.note(&rule.text, false, true),
            // What follows may be skipped: whatever the caller does then.
            Action::Return | Action::Unknown => self.note(&rule.text, true, true),
            Action::Jump(target) | Action::Goto(target) => {
                let end = if depth == 0 { End::Fell } else { self.chain(target, depth - 1) };
                match end {
                    End::Accepted => self.note(&rule.text, true, false),
                    End::Dropped(by) => self.note(&by, false, true),
                    End::Fell => {}
                }
            }
        }
        None
    }

    fn note(&mut self, rule: &str, may_pass: bool, may_drop: bool) {
        if may_pass && self.may_pass.is_none() {
            self.may_pass = Some(rule.to_owned());
        }
        if may_drop && self.may_drop.is_none() {
            self.may_drop = Some(rule.to_owned());
        }
    }
}

/// Looks at the packet filter.
pub fn check(facts: &Facts) -> Vec<Finding> {
    facts.packets.iter().map(|packet| of_packet(facts, *packet)).collect()
}

fn of_packet(facts: &Facts, packet: Packet) -> Finding {
    let (check, name, what) = (packet.check(), facts.interface.as_str(), packet.as_str());
    let arriving = Arriving { packet, interface: name, own: facts.own };
    let hidden = |why: &str| {
        let message = format!("Whether the packet filter lets {what} in on {name} could not be seen: {why}.");
        Finding::unseen(check, name, message, "Run this as root.")
    };
    let saved = if let Seen::Text(text) = &facts.ip6tables { text.as_str() } else { "" };
    let nft = match &facts.nft {
        Seen::Text(text) => match nft::chains(text, saved, &arriving) {
            Ok(chains) => walk(&chains),
            Err(error) => return hidden(&format!("the answer of nft is not understood: {error}")),
        },
        Seen::Hidden(why) if facts.nft.lacking().is_none() => return hidden(why),
        Seen::NotInstalled | Seen::Hidden(_) => Fate::Passes,
    };
    let tables = match &facts.ip6tables {
        Seen::Text(text) => walk(&ip6tables::chains(text, &arriving)),
        Seen::Hidden(why) if facts.ip6tables.lacking().is_none() => return hidden(why),
        Seen::NotInstalled | Seen::Hidden(_) => Fate::Passes,
    };
    if let Some(message) = seen::no_rules(facts, what) {
        return Finding::note(check, name, message);
    }
    let worst = if severity(&nft) >= severity(&tables) { nft } else { tables };
    match worst {
        Fate::Passes => Finding::ok(check, name, format!("The packet filter lets {what} in on {name}.")),
        Fate::MayDrop(rule) => {
            let message = format!(
                "The packet filter lets {what} in on {name}, unless this rule drops them, which cannot be said from \
                 here: {rule}."
            );
            Finding::note(check, name, message)
        }
        Fate::MayPass { by, unless } => {
            let message = format!(
                "The packet filter drops {what} on {name} by {by}, unless this rule lets them in, which cannot be said \
                 from here: {unless}."
            );
            Finding::warning(check, name, message, packet.rule(name))
        }
        Fate::Dropped(by) => {
            let message = format!("The packet filter drops {what} on {name}, by {by}.");
            Finding::error(check, name, message, packet.rule(name))
        }
    }
}

const fn severity(fate: &Fate) -> u8 {
    match fate {
        Fate::Passes => 0,
        Fate::MayDrop(_) => 1,
        Fate::MayPass { .. } => 2,
        Fate::Dropped(_) => 3,
    }
}

/// A packet on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arriving<'a> {
    /// What it is.
    pub packet: Packet,
    /// Where it arrives.
    pub interface: &'a str,
    /// The address it is for; `None`: some link-local one of ours.
    pub own: Option<Ipv6Addr>,
}

/// UDP ports: source and destination. RFC 9915 asks no server to send from its port, but all do.
const PORTS: (u16, u16) = (547, 546);

impl Arriving<'_> {
    /// Whether its source address, some link-local one, is inside a network.
    fn source_in(&self, network: ipnet::Ipv6Net) -> Truth {
        link_local_in(network)
    }

    /// Whether its destination is.
    fn destination_in(&self, network: ipnet::Ipv6Net) -> Truth {
        match (self.packet, self.own) {
            (Packet::Dhcpv6, Some(own)) => Truth::of(network.contains(&own)),
            (Packet::Dhcpv6, None) => link_local_in(network),
            // To all nodes, or to us who have asked.
            (Packet::RouterAdvertisement, own) => {
                let all_nodes = Truth::of(network.contains(&Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)));
                let ours = own.map_or_else(|| link_local_in(network), |own| Truth::of(network.contains(&own)));
                if all_nodes == ours { ours } else { Truth::Maybe }
            }
        }
    }
}

fn link_local_in(network: ipnet::Ipv6Net) -> Truth {
    let all = ipnet::Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 64);
    if network.contains(&all) {
        return Truth::Yes;
    }
    if all.contains(&network) { Truth::Maybe } else { Truth::No }
}

#[cfg(test)]
pub(super) mod tests;
