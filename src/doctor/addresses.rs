//! The addresses of an interface that a DynamicPrefix takes its prefix from.

use super::{Check, Finding};
use crate::prefix::covering;
use crate::source::interface::Interest;
use crate::source::interface::addresses::{Address, Detection};

/// What is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The interface.
    pub interface: String,
    /// What the DynamicPrefixes take from it.
    pub interests: Vec<Interest>,
    /// Its IPv6 addresses; or why they could not be read.
    pub addresses: Result<Vec<Address>, String>,
}

/// Says of each DynamicPrefix which prefix the addresses give it.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let name = &facts.interface;
    let addresses = match &facts.addresses {
        Ok(addresses) => addresses,
        Err(why) => {
            let message = format!("The addresses of {name} could not be read: {why}.");
            let advice = format!("Look at `ip -6 address show dev {name}`.");
            return vec![Finding::unseen(Check::Address, name, message, &advice)];
        }
    };
    facts.interests.iter().map(|interest| one(name, interest, addresses)).collect()
}

fn one(interface: &str, interest: &Interest, addresses: &[Address]) -> Finding {
    let prefix_name = &interest.name;
    let judged: Vec<_> = addresses.iter().map(|address| (address, judge(address, interest))).collect();
    if let Some((address, prefix)) = judged.iter().find_map(|(address, prefix)| Some((address, prefix.as_ref().ok()?)))
    {
        let message = format!(
            "{interface} has the address {}, of which the prefix of {prefix_name} is {prefix}.",
            shown(address)
        );
        return Finding::ok(Check::Address, interface, message);
    }
    let refused: Vec<String> = judged
        .iter()
        .filter_map(|(address, why)| Some(format!("{} ({})", shown(address), why.as_ref().err()?)))
        .collect();
    let message = if refused.is_empty() {
        format!("{interface} has no IPv6 address, so that there is no prefix for {prefix_name}.")
    } else {
        format!(
            "{interface} has no IPv6 address that a prefix for {prefix_name} could be taken from: {}.",
            refused.join(", ")
        )
    };
    let advice = format!(
        "Something else has to number {interface} from the prefix that this host is given: look at that, or name the \
         interface that has such an address (acquisition.interface)."
    );
    Finding::error(Check::Address, interface, message, advice)
}

fn shown(address: &Address) -> String {
    format!("{}/{}", address.address, address.prefix_len)
}

/// The prefix that it gives, as the source decides; or why it gives none.
fn judge(address: &Address, interest: &Interest) -> Result<ipnet::Ipv6Net, String> {
    if address.address.is_unicast_link_local() {
        return Err("link-local".to_owned());
    }
    match address.detection {
        Detection::Failed => return Err("another host has it, too".to_owned()),
        Detection::Running => return Err("tentative".to_owned()),
        Detection::Passed => {}
    }
    if address.deprecated {
        return Err("deprecated".to_owned());
    }
    let prefix = address.prefix().ok_or("without prefix length")?;
    let prefix = covering(prefix, interest.delegated_length.unwrap_or(128));
    match interest.filter.check(prefix) {
        Ok(()) => Ok(prefix),
        Err(crate::prefix::Rejection::SingleAddress) => {
            Err("a single address: without delegatedPrefixLength nobody knows the prefix that it is of".to_owned())
        }
        Err(rejection) => Err(rejection.to_string()),
    }
}
