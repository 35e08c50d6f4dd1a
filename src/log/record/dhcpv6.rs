//! Lines about DHCPv6 clients.

use std::io;
use std::path::Path;

use ipnet::Ipv6Net;

use crate::log::{Entry, Priority};
use crate::source::{SourceId, SourceKind};

const WARNING: &str = "06fb6acbc1a145e7a40e757981e67b7f";
const DROPPED: &str = "e38c951f9be848ee8fdb06b3cb1e529f";
const ROUTE: &str = "38ed8f64cc3a4d649ec41184ed0be9c4";
const LEASE_FILE: &str = "a901e4cd37b3420b987458f862b2ce7f";

/// The MESSAGE_IDs of this module.
#[cfg(test)]
pub(super) const IDS: [&str; 4] = [WARNING, DROPPED, ROUTE, LEASE_FILE];

/// Something about the client on an interface that somebody should look at.
pub fn dhcpv6_warning(interface: &str, what: &str) -> Entry {
    of_client(interface, Entry::new(WARNING, Priority::Warning, what.to_owned()))
}

/// A datagram is not used.
pub fn dhcpv6_dropped(interface: &str, reason: &str) -> Entry {
    let message = format!("{interface}: ignored a DHCPv6 message: {reason}. Further ones are only counted.");
    of_client(interface, Entry::new(DROPPED, Priority::Info, message))
}

/// The unreachable route for a delegated prefix came or went.
pub fn unreachable_route(interface: &str, prefix: &Ipv6Net, added: bool) -> Entry {
    let message = if added {
        format!("{interface}: packets to unused parts of {prefix} are unreachable from now on (unreachableRoute).")
    } else {
        format!("{interface}: the unreachable route for {prefix} is taken away.")
    };
    of_client(interface, Entry::new(ROUTE, Priority::Info, message))
}

/// What another client has written down cannot be read. Nothing is wrong: the rest tells most of it.
pub fn lease_file(interface: &str, program: &str, path: &Path, error: &io::Error) -> Entry {
    let message = format!(
        "{interface}: {}, where {program} keeps its leases, cannot be read: {error}. If it is the DHCPv6 client there, what it \
         holds is known after a start by routes, addresses and our own record alone, until it next speaks with its \
         server; `dyn-prefix doctor` says what to do.",
        path.display()
    );
    let source = SourceId::on(SourceKind::Observed, interface);
    Entry { source: Some(source.to_string()), ..Entry::new(LEASE_FILE, Priority::Info, message) }
}

fn of_client(interface: &str, entry: Entry) -> Entry {
    let source = SourceId::on(SourceKind::Dhcpv6Pd, interface);
    Entry { source: Some(source.to_string()), ..entry }
}
