//! The delegation of somebody else's DHCPv6 client on this host as a source of prefixes: it is watched, never touched.
//!
//! UDP port 546 cannot be shared, and on most routers another program holds it. Two things tell what it was delegated:
//!
//! * **What goes over the link**, by a packet socket that gets a copy: the client's own messages, and the Replies to
//!   them. A Reply counts only if its exchange was seen to leave this host; then it means what it means for a client
//!   of ours, and the same code judges it ([`super::dhcpv6::client`]).
//! * **What the client did with it**, by netlink: the unreachable routes for the whole delegation, which tell its length,
//!   and the addresses of other interfaces inside it, which tell lifetimes. That is all there is before the next Renew,
//!   which may be hours away. Netlink does not say by which uplink a delegation came.
//!
//! A person or a hook script of the client may report besides ([`Told`]), and the lease files of dhcpcd and of ISC dhclient
//! are looked into where the daemon may ([`Filed`]). systemd-networkd is asked (`networkctl`), which tells what no route does: a
//! delegation of a /64, and how long it lives before it is renewed. What was seen in packets wins over all others.
//!
//! RTM_NEWPREFIX is about the prefixes of the uplink itself, not about what was delegated: it is said where there is no
//! delegation, and never taken for one. RTM_NEWNDUSEROPT is not joined: Router Advertisements are heard by a raw socket that
//! needs no help of the kernel ([`super::ra`]).
//!
//! | file | what | kind |
//! |---|---|---|
//! | `packet` | from an IPv6 packet to the datagram in it | decider |
//! | `exchange` | the exchanges of the other client, and which Replies belong to them | decider |
//! | `evidence` | what netlink, a former run and files say of delegations | decider |
//! | `filed` | the lease files of other clients, and what networkd describes | decider |
//! | `asking` | when networkd is asked | decider |
//! | `told` | what people and hook scripts say of them | decider |
//! | `hint` | one prefix of which they say something | decider |
//! | `leases` | what the packets tell of its leases | decider |
//! | `onlink` | the prefixes of the links themselves | decider |
//! | `observer`, `report` | all of it together | decider |
//! | `sentry` | whether a client begins to ask where none is observed, for `acquisition = "auto"` | both |
//! | `traces` | what a netlink message tells of a delegation | decider |
//! | `octets` | netlink messages, for records | decider |
//! | `socket`, `address`, `netlink`, `files`, `networkctl`, `driver` | sockets, files, a program and the clock | driver |

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::config::DynamicPrefix;
use crate::prefix::PrefixFilter;

mod address;
mod asking;
pub mod driver;
mod evidence;
mod exchange;
mod filed;
mod files;
mod hint;
mod leases;
mod netlink;
mod networkctl;
mod observer;
mod octets;
mod onlink;
mod packet;
mod report;
pub mod sentry;
mod socket;
#[cfg(test)]
mod tests;
mod told;
mod traces;

pub use driver::{Saying, run};
pub use exchange::Unfollowed;
pub use filed::Filed;
pub use files::{Program, lease_files};
pub use observer::{Notice, Observer};
pub use octets::{from_octets, to_octets};
pub use packet::{Captured, DropReason};

/// What an observer has to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The interface where the other client runs.
    pub interface: String,
    /// The DynamicPrefixes that take their prefix from there, and what each may use.
    pub names: BTreeMap<String, PrefixFilter>,
}

impl Settings {
    /// What `dynamic_prefixes` ask of the observer on `interface`.
    pub fn for_interface(interface: &str, dynamic_prefixes: &[DynamicPrefix]) -> Self {
        let here = |prefix: &&DynamicPrefix| {
            prefix.acquisition.observe.as_ref().is_some_and(|observe| observe.interface == interface)
        };
        let names = dynamic_prefixes.iter().filter(here);
        let names = names.map(|prefix| (prefix.name.clone(), prefix.acquisition.filter.clone()));
        Self { interface: interface.to_owned(), names: names.collect() }
    }
}

/// What a person, or a hook script of the other client, says of a delegation.
///
/// What is absent says nothing: a script that knows no lifetimes does not end any, and a prefix that is not told again
/// is not gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The DynamicPrefix it is for.
    pub dynamic_prefix: String,
    /// The prefix.
    pub prefix: Ipv6Net,
    /// The preferred lifetime in seconds from when it was told, [`crate::time::Deadline::INFINITY`] for one that does not
    /// end; `None`: not told.
    pub preferred: Option<u32>,
    /// The valid lifetime in the same way.
    pub valid: Option<u32>,
    /// Parts that no range may touch.
    #[serde(default)]
    pub excluded: Vec<Ipv6Net>,
    /// It is delegated no longer.
    #[serde(default)]
    pub gone: bool,
    /// How long ago it was told: there was nobody yet who could hear it.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    pub ago: Duration,
}
