//! UDP port 546, and who else wants it.

use super::interface::Uses;
use super::{Check, Finding};
use crate::source::dhcpv6::others::Verdict;
use crate::source::dhcpv6::owner::Owner;

/// What is known of an interface with a DHCPv6 client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The interface.
    pub interface: String,
    /// What it is for.
    pub uses: Uses,
    /// Who holds the port in a way that is in ours.
    pub owners: Vec<Owner>,
    /// What the search for other clients says.
    pub others: Verdict,
}

/// Looks at the port. Nothing is to be said of an interface without a DHCPv6 client, of ours or observed.
pub fn check(facts: &Facts) -> Vec<Finding> {
    if facts.uses.dhcpv6 {
        return vec![holder(facts), others(facts)];
    }
    if facts.uses.observe { vec![observed(facts)] } else { Vec::new() }
}

/// Whether there is somebody to observe.
fn observed(facts: &Facts) -> Finding {
    let Facts { interface, owners, .. } = facts;
    if let Some(own) = owners.iter().find(|owner| owner.is_this_program()) {
        let message =
            format!("{own} holds UDP port 546 on {interface}, where acquisition.observe watches another client.");
        return Finding::error(Check::OtherClient, interface, message, "Write acquisition.dhcpv6 instead, or stop it.");
    }
    if let Some(other) = owners.first() {
        let message = format!("{other} holds UDP port 546 on {interface}, and is observed.");
        return Finding::ok(Check::OtherClient, interface, message);
    }
    match &facts.others {
        Verdict::Taken(_) | Verdict::Undecided(_) => {
            let message = format!("Another DHCPv6 client is configured or runs on {interface}, and is observed.");
            Finding::ok(Check::OtherClient, interface, message)
        }
        Verdict::Free => {
            let message = format!(
                "No DHCPv6 client runs or is configured on {interface}, where acquisition.observe watches one."
            );
            let advice = "Start it, or write acquisition.dhcpv6 instead, to have one of our own.";
            Finding::warning(Check::OtherClient, interface, message, advice)
        }
    }
}

/// The search itself failed.
pub fn unsearched(interface: &str) -> Finding {
    let message = "Who holds UDP port 546, and whether there is another DHCPv6 client, could not be seen: the search was aborted.";
    Finding::unseen(Check::OtherClient, interface, message, "Look at `ss -ulpn sport = :546`.")
}

fn holder(facts: &Facts) -> Finding {
    let Facts { interface, owners, .. } = facts;
    let subject = format!("UDP port 546 on {interface}");
    if let Some(other) = owners.iter().find(|owner| !owner.is_this_program()) {
        let message = format!("{other} holds UDP port 546 on {interface}, where the answers of DHCPv6 servers arrive.");
        let advice = format!(
            "The port cannot be shared. Take the prefix from that client, by acquisition.observe = {{ interface = \
             \"{interface}\" }} in place of acquisition.dhcpv6; or stop it or keep it off {interface}."
        );
        return Finding::error(Check::Dhcpv6Port, subject, message, advice);
    }
    let message = match owners.first() {
        Some(own) => format!("{own} holds UDP port 546 on {interface}."),
        None => format!("UDP port 546 on {interface} is free."),
    };
    Finding::ok(Check::Dhcpv6Port, subject, message)
}

fn others(facts: &Facts) -> Finding {
    let interface = facts.interface.as_str();
    match &facts.others {
        Verdict::Free => {
            let message = format!("No other DHCPv6 client runs or is configured on {interface}.");
            Finding::ok(Check::OtherClient, interface, message)
        }
        Verdict::Undecided(who) => {
            let message = format!("Whether there will be another DHCPv6 client on {interface} is still open: {who}.");
            let advice = "Look again in a minute; dyn-prefix waits for it, too.";
            Finding::warning(Check::OtherClient, interface, message, advice)
        }
        Verdict::Taken(client) if facts.uses.take_over => {
            let message =
                format!("takeOver = true, and yet there is another DHCPv6 client on {interface}: {}.", client.who);
            let advice = format!(
                "Only one of two clients hears the servers: switch the other one off for good. {}.",
                client.advice
            );
            Finding::warning(Check::OtherClient, interface, message, advice)
        }
        // The text says what to do.
        Verdict::Taken(client) => Finding::error(Check::OtherClient, interface, client.refusal(interface), ""),
    }
}
