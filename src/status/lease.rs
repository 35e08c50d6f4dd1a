//! What `sources[].lease` says.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a DHCPv6 client is and holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lease {
    /// The DUID of the server, in hexadecimal; null before there was one.
    pub server: Option<String>,
    /// Our own DUID, in hexadecimal.
    pub client: Option<String>,
    /// One for each DynamicPrefix (IA_PD).
    pub delegations: Vec<DelegationStatus>,
    /// The address beside them (IA_NA), if one is asked for and held.
    pub address: Option<AddressStatus>,
}

/// What is delegated to one DynamicPrefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DelegationStatus {
    /// The DynamicPrefix.
    pub dynamic_prefix: String,
    /// The IAID.
    pub iaid: u32,
    /// When the server granted or extended it last; null when nothing is delegated, or no longer.
    pub received_at: Option<Timestamp>,
    /// When the server is asked to extend it; null: never.
    pub t1: Option<Timestamp>,
    /// When any server is asked; null: never.
    pub t2: Option<Timestamp>,
    /// The prefixes; after their end the last one, which is asked for again.
    pub prefixes: Vec<LeasedPrefixStatus>,
}

/// A delegated prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeasedPrefixStatus {
    /// The prefix.
    pub prefix: String,
    /// The part of it that the delegating router keeps, if there is one.
    pub excluded: Option<String>,
    /// The end of the preferred lifetime; null when it does not end.
    pub preferred_until: Option<Timestamp>,
    /// The end of the valid lifetime; null when it does not end.
    pub valid_until: Option<Timestamp>,
}

/// An address that a DHCPv6 client holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressStatus {
    /// The address.
    pub address: String,
    /// The IAID.
    pub iaid: u32,
    /// When the server is asked to extend it; null: never.
    pub t1: Option<Timestamp>,
    /// When any server is asked; null: never.
    pub t2: Option<Timestamp>,
    /// The end of the preferred lifetime; null when it does not end.
    pub preferred_until: Option<Timestamp>,
    /// The end of the valid lifetime; null when it does not end.
    pub valid_until: Option<Timestamp>,
}
