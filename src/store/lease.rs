//! What `state.json` keeps of the DHCPv6 clients: who they are, what they hold and from whom (RFC 9915 §18.2.12).
//!
//! What cannot be read of one client or lease is left out; the client then asks as one that never had it.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::source::dhcpv6::{AddressLease, Duid, Lease, LeasedPrefix, Memory, ReconfigureKey};
use crate::time::{Deadline, Epoch};

/// Everything about DHCPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Stored {
    /// The DUID of this host, in hexadecimal.
    duid: Option<String>,
    /// By interface.
    clients: BTreeMap<String, StoredClient>,
    /// By DynamicPrefix: a lease goes with its DynamicPrefix to another interface.
    leases: BTreeMap<String, StoredLease>,
    /// The other DHCPv6 clients that were seen, by interface.
    others: BTreeMap<String, StoredOther>,
}

/// One client, without its leases.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredClient {
    duid: String,
    server: Option<String>,
    sol_max_rt: Option<u32>,
    inf_max_rt: Option<u32>,
    reconfigure_key: Option<String>,
    replay: Option<u64>,
    address: Option<StoredAddress>,
}

impl std::fmt::Debug for StoredClient {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredClient").field("duid", &self.duid).field("server", &self.server).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredAddress {
    iaid: u32,
    address: Ipv6Addr,
    t1: Option<Timestamp>,
    t2: Option<Timestamp>,
    preferred_until: Option<Timestamp>,
    valid_until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredLease {
    interface: String,
    iaid: u32,
    received_at: Option<Timestamp>,
    t1: Option<Timestamp>,
    t2: Option<Timestamp>,
    prefixes: Vec<StoredPrefix>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredPrefix {
    prefix: Ipv6Net,
    preferred_until: Option<Timestamp>,
    valid_until: Option<Timestamp>,
    excluded: Option<Ipv6Net>,
    first_seen: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredOther {
    seen: String,
    boot_id: String,
}

impl Stored {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn duid(&self) -> Option<Duid> {
        parse_duid(self.duid.as_ref()?)
    }

    pub(super) fn set_duid(&mut self, duid: &Duid) {
        self.duid = Some(duid.to_string());
    }

    /// What every client knew, by interface.
    pub(super) fn clients(&self, epoch: &Epoch) -> BTreeMap<String, Memory> {
        let mut memories: BTreeMap<String, Memory> = self
            .clients
            .iter()
            .filter_map(|(interface, client)| Some((interface.clone(), client.restore(epoch)?)))
            .collect();
        for (name, lease) in &self.leases {
            if let Some(memory) = memories.get_mut(&lease.interface) {
                memory.leases.push(lease.restore(name, epoch));
            }
        }
        memories
    }

    pub(super) fn insert_client(&mut self, interface: &str, memory: &Memory, epoch: &Epoch) {
        self.clients.insert(interface.to_owned(), StoredClient::new(memory, epoch));
        for lease in &memory.leases {
            self.leases.insert(lease.dynamic_prefix.clone(), StoredLease::new(interface, lease, epoch));
        }
    }

    /// The other clients that were seen since the boot with this id, by interface.
    pub(super) fn others(&self, boot_id: Option<&str>) -> BTreeMap<String, String> {
        let of_this_boot = self.others.iter().filter(|(_, other)| boot_id == Some(other.boot_id.as_str()));
        of_this_boot.map(|(interface, other)| (interface.clone(), other.seen.clone())).collect()
    }

    pub(super) fn insert_other(&mut self, interface: &str, seen: &str, boot_id: &str) {
        let other = StoredOther { seen: seen.to_owned(), boot_id: boot_id.to_owned() };
        self.others.insert(interface.to_owned(), other);
    }
}

impl StoredClient {
    fn new(memory: &Memory, epoch: &Epoch) -> Self {
        let key = memory.reconfigure_key.as_ref();
        Self {
            duid: memory.duid.to_string(),
            server: memory.server.as_ref().map(ToString::to_string),
            sol_max_rt: memory.sol_max_rt,
            inf_max_rt: memory.inf_max_rt,
            reconfigure_key: key.map(|key| key.key.iter().map(|octet| format!("{octet:02x}")).collect()),
            replay: key.and_then(|key| key.replay),
            address: memory.address.as_ref().map(|address| StoredAddress::new(address, epoch)),
        }
    }

    fn restore(&self, epoch: &Epoch) -> Option<Memory> {
        let key = self.reconfigure_key.as_deref().and_then(octets).and_then(|key| key.try_into().ok());
        Some(Memory {
            duid: parse_duid(&self.duid)?,
            server: self.server.as_deref().and_then(parse_duid),
            sol_max_rt: self.sol_max_rt,
            inf_max_rt: self.inf_max_rt,
            reconfigure_key: key.map(|key| ReconfigureKey { key, replay: self.replay }),
            leases: Vec::new(),
            address: self.address.as_ref().map(|address| address.restore(epoch)),
        })
    }
}

impl StoredAddress {
    fn new(lease: &AddressLease, epoch: &Epoch) -> Self {
        Self {
            iaid: lease.iaid,
            address: lease.address,
            t1: stored(lease.t1, epoch),
            t2: stored(lease.t2, epoch),
            preferred_until: stored(lease.preferred_until, epoch),
            valid_until: stored(lease.valid_until, epoch),
        }
    }

    fn restore(&self, epoch: &Epoch) -> AddressLease {
        AddressLease {
            iaid: self.iaid,
            address: self.address,
            t1: restored(self.t1, epoch),
            t2: restored(self.t2, epoch),
            preferred_until: restored(self.preferred_until, epoch),
            valid_until: restored(self.valid_until, epoch),
        }
    }
}

impl StoredLease {
    fn new(interface: &str, lease: &Lease, epoch: &Epoch) -> Self {
        Self {
            interface: interface.to_owned(),
            iaid: lease.iaid,
            received_at: lease.received_at.map(|at| epoch.wall(at)),
            t1: stored(lease.t1, epoch),
            t2: stored(lease.t2, epoch),
            prefixes: lease.prefixes.iter().map(|prefix| StoredPrefix::new(prefix, epoch)).collect(),
        }
    }

    fn restore(&self, name: &str, epoch: &Epoch) -> Lease {
        Lease {
            dynamic_prefix: name.to_owned(),
            iaid: self.iaid,
            received_at: self.received_at.map(|at| epoch.instant(at)),
            t1: restored(self.t1, epoch),
            t2: restored(self.t2, epoch),
            prefixes: self.prefixes.iter().map(|prefix| prefix.restore(epoch)).collect(),
        }
    }
}

impl StoredPrefix {
    fn new(prefix: &LeasedPrefix, epoch: &Epoch) -> Self {
        Self {
            prefix: prefix.prefix,
            preferred_until: stored(prefix.preferred_until, epoch),
            valid_until: stored(prefix.valid_until, epoch),
            excluded: prefix.excluded,
            first_seen: epoch.wall(prefix.first_seen),
        }
    }

    fn restore(&self, epoch: &Epoch) -> LeasedPrefix {
        LeasedPrefix {
            prefix: self.prefix,
            preferred_until: restored(self.preferred_until, epoch),
            valid_until: restored(self.valid_until, epoch),
            excluded: self.excluded,
            first_seen: epoch.instant(self.first_seen),
        }
    }
}

/// The end of a lifetime, to the second and never later than it is.
fn stored(deadline: Deadline, epoch: &Epoch) -> Option<Timestamp> {
    deadline.instant().map(|end| epoch.wall(end - Duration::from_millis(500)))
}

fn restored(stored: Option<Timestamp>, epoch: &Epoch) -> Deadline {
    stored.map_or(Deadline::Never, |end| Deadline::At(epoch.instant(end)))
}

fn parse_duid(text: &str) -> Option<Duid> {
    Duid::new(&octets(text)?).ok()
}

/// The octets of a hexadecimal text.
fn octets(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    let octet = |[high, low]: &[u32; 2]| u8::try_from(high << 4 | low).ok();
    if rest.is_empty() { pairs.iter().map(octet).collect() } else { None }
}
