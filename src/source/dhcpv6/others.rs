//! Whether another DHCPv6 client is configured or runs on the interface.
//!
//! Two cannot share it: all answers reach only one of them, and whoever comes second is refused the port. systemd-networkd
//! holds the port only while its client runs, which it starts when a router asks for it, so a free port says little. The
//! judgement over [`Facts`] is pure; [`gather()`] reads them, without privileges.

use std::collections::BTreeSet;

use super::owner::Owner;

mod dhcpcd;
mod gather;
mod ini;
mod network_manager;
mod networkd;
mod process;

pub(super) use gather::owners;
pub use gather::{gather, is_the_hosts_own_namespace};
pub use network_manager::Device;
pub use networkd::Network;
pub use process::Process;

/// What is known of the other network programs of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The interface in question.
    pub interface: String,
    /// Every interface of the host, to tell their names from other arguments.
    pub interfaces: BTreeSet<String>,
    /// What systemd-networkd says about the interface.
    pub networkd: Option<Network>,
    /// What NetworkManager says about it.
    pub network_manager: Option<Device>,
    /// Running programs that may be DHCPv6 clients.
    pub processes: Vec<Process>,
    /// /etc/dhcpcd.conf
    pub dhcpcd_conf: Option<String>,
    /// Who holds UDP port 546 in a way that is in ours.
    pub owners: Vec<Owner>,
}

/// What follows from the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is no other client.
    Free,
    /// There may be one soon; who has still to decide about the interface.
    Undecided(String),
    /// There is one.
    Taken(Client),
}

/// Another client and how to make it leave the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// "dhcpcd (process 12) …", without a full stop.
    pub who: String,
    /// An imperative, without a full stop.
    pub advice: String,
}

/// Judges the facts.
pub fn judge(facts: &Facts) -> Verdict {
    let interface = facts.interface.as_str();
    let networkd = facts.networkd.as_ref().map_or(Says::Nothing, |network| networkd::judge(network, interface));
    let manager =
        facts.network_manager.as_ref().map_or(Says::Nothing, |device| network_manager::judge(device, interface));
    let mut undecided = None;
    for says in [networkd, manager] {
        match says {
            Says::Nothing => {}
            Says::Undecided(who) => undecided = undecided.or(Some(who)),
            Says::Client(client) => return Verdict::Taken(client),
        }
    }
    let process = facts.processes.iter().find_map(|process| process::judge(process, facts));
    let holder = facts.owners.iter().find(|owner| !owner.is_this_program()).map(|owner| Client {
        who: format!("{owner} holds UDP port 546 on {interface}, where DHCPv6 clients listen"),
        advice: format!("Keep it off {interface}"),
    });
    match (process.or(holder), undecided) {
        (Some(client), _) => Verdict::Taken(client),
        (None, Some(who)) => Verdict::Undecided(who),
        (None, None) => Verdict::Free,
    }
}

/// What one network program says about an interface.
enum Says {
    Nothing,
    Undecided(String),
    Client(Client),
}

impl Client {
    /// For who wants the port: who has it, why it is left to it and what to do, in full sentences.
    pub fn refusal(&self, interface: &str) -> String {
        format!(
            "{}. UDP port 546 on {interface} is left to it until the next boot, even if it ends before: only one of two \
             clients hears the servers, and this host could lose its own IPv6. To take the prefix from it, write \
             acquisition.observe = {{ interface = \"{interface}\" }} in place of acquisition.dhcpv6. For a client of our own: \
             {}, then reboot; or set takeOver = true in acquisition.dhcpv6, which stops the search for other clients at once.",
            self.who, self.advice
        )
    }
}

#[cfg(test)]
mod tests;
