//! A service on the Internet that says which address asks it (`acquisition.http`).

use std::net::Ipv6Addr;

use super::{Check, Finding};
use crate::prefix::{PrefixFilter, covering};

/// What is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What was asked, as everyone may see it.
    pub url: String,
    /// The DynamicPrefixes that go by it: name, `prefixLength`, `prefixFilter`.
    pub wanted: Vec<(String, u8, PrefixFilter)>,
    /// The address that it answered to us; or why there is none.
    pub answer: Result<Ipv6Addr, String>,
}

/// Says what the answer is worth.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let url = &facts.url;
    let address = match &facts.answer {
        Ok(address) => *address,
        Err(why) => {
            let message = format!("Asking {url} for the address of this host failed: {}.", why.trim_end_matches('.'));
            let advice = "The daemon keeps the prefix that it has, and asks again. If that does not help, look at the \
                          way to the service by `curl -6`, or name another one in acquisition.http.";
            return vec![Finding::error(Check::AddressService, url, message, advice)];
        }
    };
    let of_prefix = |(name, length, filter): &(String, u8, PrefixFilter)| {
        let prefix = covering(address.into(), *length);
        match filter.check(prefix) {
            Ok(()) => {
                let message = format!("{url} sees this host as {address}, of which the prefix of {name} is {prefix}.");
                Finding::ok(Check::AddressService, url, message)
            }
            Err(rejection) => {
                let message = format!(
                    "{url} sees this host as {address}, of which {prefix} would be the prefix of {name}, and that cannot \
                     be used: {rejection}."
                );
                let advice = "Name a service that sees the address of this host by which others reach it.";
                Finding::error(Check::AddressService, url, message, advice)
            }
        }
    };
    facts.wanted.iter().map(of_prefix).collect()
}
