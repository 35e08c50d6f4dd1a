//! Prefix delegation by our own DHCPv6 client (RFC 9915) as a source of prefixes.
//!
//! There is one client per interface, with one IA_PD for every DynamicPrefix that names the interface. [`wire`] is the
//! boundary to the bytes, [`client`] the state machine; both are pure. [`run`] owns the socket and the clock and drives
//! them.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use crate::config::DynamicPrefix;
use crate::time::{Deadline, Instant};

pub mod client;
pub mod driver;
pub mod identity;
pub mod others;
pub mod owner;
pub mod port;
pub mod probe;
pub mod route;
pub mod socket;
pub mod wire;

pub use client::Client;
pub use driver::run;
pub use identity::DuidSetting;
pub use wire::Duid;

/// What a client has to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The interface it speaks on.
    pub interface: String,
    /// `duid`; unless it is fixed, the one of [`Memory`] is used. The driver makes what needs a MAC address
    /// ([`DuidSetting::settled`]).
    pub duid: DuidSetting,
    /// `rapidCommit`: ask for the two-message exchange (RFC 9915 §18.2.1).
    pub rapid_commit: bool,
    /// `reconfigure`: accept Reconfigure messages, authenticated with RKAP (RFC 9915 §20.4).
    pub reconfigure: bool,
    /// `requireRouterAdvertisement`: ask only when a router says that there is DHCPv6.
    pub require_router_advertisement: bool,
    /// `requestAddress`: ask for an address (IA_NA) in the same exchange.
    pub request_address: bool,
    /// `rawOptions`: sent as they are.
    pub raw_options: Vec<RawOption>,
    /// `priority`: the SO_PRIORITY of what is sent, which VLAN interfaces map to 802.1p.
    pub priority: Option<u32>,
    /// `takeOver`: run although another client was seen on the interface.
    pub take_over: bool,
    /// One for each DynamicPrefix, in file order.
    pub delegations: Vec<Delegation>,
}

/// What is asked for one DynamicPrefix: one IA_PD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The name of the DynamicPrefix.
    pub dynamic_prefix: String,
    /// `iaid`; `None`: the one of [`Memory`], else one made from the name.
    pub iaid: Option<u32>,
    /// `requestedPrefixLength`: a wish that servers may ignore (RFC 8168).
    pub requested_length: Option<u8>,
    /// `prefixHint`: a prefix to ask for as long as none is remembered.
    pub hint: Option<Ipv6Net>,
    /// `unreachableRoute`: keep an unreachable route for what is delegated.
    pub unreachable_route: bool,
}

/// An option that is sent as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOption {
    /// The option code.
    pub code: u16,
    /// Its content.
    pub data: Vec<u8>,
    /// The messages it goes into.
    pub messages: RawOptionMessages,
}

/// Which messages an option of `rawOptions` goes into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RawOptionMessages {
    /// Every message the client sends.
    #[default]
    All,
    /// Only Solicit and Request: what authenticates a subscriber, for some providers.
    Establishing,
}

impl Settings {
    /// What `dynamic_prefixes` ask of the client on `interface`; `None` when none does. What belongs to the client as
    /// a whole is taken from the first: the checker refuses files in which they differ.
    pub fn for_interface(interface: &str, dynamic_prefixes: &[DynamicPrefix]) -> Option<Self> {
        let on_interface: Vec<_> = dynamic_prefixes
            .iter()
            .filter_map(|prefix| Some((&prefix.name, prefix.acquisition.dhcpv6.as_ref()?)))
            .filter(|(_, dhcpv6)| dhcpv6.interface == interface)
            .collect();
        let (_, first) = on_interface.first()?;
        let delegations = on_interface.iter().map(|(name, dhcpv6)| Delegation {
            dynamic_prefix: (*name).clone(),
            iaid: dhcpv6.iaid,
            requested_length: dhcpv6.requested_prefix_length,
            hint: dhcpv6.prefix_hint,
            unreachable_route: dhcpv6.unreachable_route,
        });
        Some(Self {
            interface: interface.to_owned(),
            duid: first.duid.clone(),
            rapid_commit: first.rapid_commit,
            reconfigure: first.reconfigure,
            require_router_advertisement: first.require_router_advertisement,
            request_address: first.request_address,
            raw_options: first.raw_options.clone(),
            priority: first.priority,
            take_over: first.take_over,
            delegations: delegations.collect(),
        })
    }
}

/// What a client must remember over a restart (RFC 9915 §18.2.12): who it is, what it holds, and from whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The client's own DUID, as it was sent last; the same on all interfaces unless one is configured.
    pub duid: Duid,
    /// The server of the leases, once there was one.
    pub server: Option<Duid>,
    /// SOL_MAX_RT in seconds, once a server has set it (RFC 9915 §21.24).
    pub sol_max_rt: Option<u32>,
    /// INF_MAX_RT in seconds, once a server has set it (RFC 9915 §21.25).
    pub inf_max_rt: Option<u32>,
    /// The key for Reconfigure messages of `server`.
    pub reconfigure_key: Option<ReconfigureKey>,
    /// One for each DynamicPrefix that the client has ever asked for and that is still configured.
    pub leases: Vec<Lease>,
    /// The address that came with them (`requestAddress`).
    pub address: Option<AddressLease>,
}

impl Memory {
    /// Nothing but an identity.
    pub fn new(duid: Duid) -> Self {
        Self {
            duid,
            server: None,
            sol_max_rt: None,
            inf_max_rt: None,
            reconfigure_key: None,
            leases: Vec::new(),
            address: None,
        }
    }
}

/// The key that a server gave for its Reconfigure messages (RKAP, RFC 9915 §20.4).
#[derive(Clone, PartialEq, Eq)]
pub struct ReconfigureKey {
    /// 128 bits.
    pub key: [u8; 16],
    /// The replay detection value of the last Reconfigure that was accepted.
    pub replay: Option<u64>,
}

impl std::fmt::Debug for ReconfigureKey {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReconfigureKey").field("replay", &self.replay).finish_non_exhaustive()
    }
}

/// An IA_PD and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The DynamicPrefix it is for.
    pub dynamic_prefix: String,
    /// The IAID, the same for ever.
    pub iaid: u32,
    /// When the Reply came that it is from; `None`: nothing was ever delegated.
    pub received_at: Option<Instant>,
    /// When the server is asked to extend it.
    pub t1: Deadline,
    /// When any server is asked.
    pub t2: Deadline,
    /// The prefixes, and after their end the last one, which is asked for again (RFC 8168, DC-061).
    pub prefixes: Vec<LeasedPrefix>,
}

/// A delegated prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedPrefix {
    /// The prefix, host bits zero.
    pub prefix: Ipv6Net,
    /// The end of its preferred lifetime.
    pub preferred_until: Deadline,
    /// The end of its valid lifetime.
    pub valid_until: Deadline,
    /// The part that the delegating router keeps (RFC 6603).
    pub excluded: Option<Ipv6Net>,
    /// When it was delegated first.
    pub first_seen: Instant,
}

/// An IA_NA and the address it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressLease {
    /// The IAID: that of the first IA_PD, as some providers want it.
    pub iaid: u32,
    /// The address.
    pub address: Ipv6Addr,
    /// When the server is asked to extend it.
    pub t1: Deadline,
    /// When any server is asked.
    pub t2: Deadline,
    /// The end of its preferred lifetime.
    pub preferred_until: Deadline,
    /// The end of its valid lifetime.
    pub valid_until: Deadline,
}
