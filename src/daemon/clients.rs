//! What the DHCPv6 clients of the host are and know: identities, memories, and which other clients were seen.
//!
//! One client per interface. What each knows is the latest that its task said, or what the store kept of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ring::hmac;

use crate::config::DynamicPrefix;
use crate::source::dhcpv6::{self, Duid, DuidSetting, Lease, LeasedPrefix, Settings};
use crate::source::{Advertised, SourceKind, SourceReport, SourceState};
use crate::store::State;
use crate::time::{Epoch, Instant};

/// Leases that were merely extended are saved at most this often (flash wear). A shorter lease that was saved longer ago
/// is over when a crash makes us read it; its prefix is then asked for again.
const RENEWALS_SAVED_EVERY: Duration = Duration::from_secs(10 * 60);

/// Makes the IAIDs ours.
const IAID_SALT: &[u8] = b"dyn-prefix IAID";

/// What a former run knew.
#[derive(Debug, Default)]
pub struct Restored {
    /// By interface.
    pub memories: BTreeMap<String, dhcpv6::Memory>,
    /// The other clients seen in this boot, by interface.
    pub others: BTreeMap<String, String>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Clients {
    duid: Duid,
    memories: BTreeMap<String, Arc<dhcpv6::Memory>>,
    others: BTreeMap<String, String>,
    /// What is heard of the routers on the interfaces of the clients.
    advertised: BTreeMap<String, Advertised>,
    /// Why no router can be heard on some of them.
    deaf: BTreeMap<String, String>,
    /// When extended leases are to be saved, if there are any.
    save_at: Option<Instant>,
    renewals_saved_at: Option<Instant>,
}

impl Clients {
    pub(super) fn new(duid: Duid, restored: Restored) -> Self {
        let memories = restored.memories.into_iter().map(|(interface, memory)| (interface, Arc::new(memory)));
        Self {
            duid,
            memories: memories.collect(),
            others: restored.others,
            advertised: BTreeMap::new(),
            deaf: BTreeMap::new(),
            save_at: None,
            renewals_saved_at: None,
        }
    }

    /// What the client of `interface` is to do; `None`: there is none. Every IAID is decided, and the DUID if it is ours.
    pub(super) fn settings(&self, interface: &str, dynamic_prefixes: &[DynamicPrefix]) -> Option<Settings> {
        let mut settings = Settings::for_interface(interface, dynamic_prefixes)?;
        if settings.duid == DuidSetting::Auto {
            // Also for a client that had another one before.
            settings.duid = DuidSetting::Fixed(self.duid.clone());
        }
        let iaids = self.iaids(dynamic_prefixes);
        for delegation in &mut settings.delegations {
            delegation.iaid = iaids.get(&delegation.dynamic_prefix).copied();
        }
        Some(settings)
    }

    /// The IAID of every DynamicPrefix: as configured, else as it ever was, else made from the name. No two that we
    /// choose are equal (RFC 9915 §4.2: unique among the IA_PDs of a client), in whatever order they stand in the file.
    fn iaids(&self, dynamic_prefixes: &[DynamicPrefix]) -> BTreeMap<String, u32> {
        let delegated = dynamic_prefixes.iter().filter_map(|p| Some((&p.name, p.acquisition.dhcpv6.as_ref()?)));
        let mut open: BTreeSet<&String> = BTreeSet::new();
        let mut iaids = BTreeMap::new();
        for (name, dhcpv6) in delegated {
            match dhcpv6.iaid {
                Some(iaid) => drop(iaids.insert(name.clone(), iaid)),
                None => drop(open.insert(name)),
            }
        }
        let remembered = |name: &str| self.lease(name).map(|(_, lease)| lease.iaid);
        for name in open.clone() {
            if let Some(iaid) = remembered(name).filter(|iaid| !iaids.values().any(|taken| taken == iaid)) {
                iaids.insert(name.clone(), iaid);
                open.remove(name);
            }
        }
        for name in open {
            let mut iaid = iaid(name);
            while iaids.values().any(|taken| *taken == iaid) {
                iaid = iaid.wrapping_add(1);
            }
            iaids.insert(name.clone(), iaid);
        }
        iaids
    }

    /// What the client of an interface starts from. A lease goes with its DynamicPrefix to another interface, as the
    /// same uplink may have got another name.
    pub(super) fn memory(&self, settings: &Settings) -> dhcpv6::Memory {
        let leases: Vec<(&String, &Lease)> =
            settings.delegations.iter().filter_map(|delegation| self.lease(&delegation.dynamic_prefix)).collect();
        let former = leases.first().map(|(interface, _)| *interface);
        let known = self.memories.get(&settings.interface).or_else(|| self.memories.get(former?));
        let mut memory = known.map_or_else(|| dhcpv6::Memory::new(self.duid.clone()), |known| (**known).clone());
        memory.leases = leases.into_iter().map(|(_, lease)| lease.clone()).collect();
        memory
    }

    fn lease(&self, name: &str) -> Option<(&String, &Lease)> {
        self.memories.iter().find_map(|(interface, memory)| {
            Some((interface, memory.leases.iter().find(|lease| lease.dynamic_prefix == name)?))
        })
    }

    /// Forgets the clients that the configuration does not name. Called after what goes elsewhere was taken over.
    pub(super) fn retain(&mut self, dynamic_prefixes: &[DynamicPrefix]) {
        let named: BTreeSet<&str> = interfaces(dynamic_prefixes).collect();
        for interface in &named {
            if !self.memories.contains_key(*interface)
                && let Some(settings) = self.settings(interface, dynamic_prefixes)
            {
                let memory = self.memory(&settings);
                if !memory.leases.is_empty() {
                    self.memories.insert((*interface).to_owned(), Arc::new(memory));
                }
            }
        }
        self.memories.retain(|interface, _| named.contains(interface.as_str()));
        self.deaf.retain(|interface, _| named.contains(interface.as_str()));
        self.advertised.retain(|interface, _| named.contains(interface.as_str()));
        for (interface, memory) in &mut self.memories {
            let here = |lease: &Lease| {
                dynamic_prefixes.iter().any(|prefix| {
                    let dhcpv6 = prefix.acquisition.dhcpv6.as_ref();
                    prefix.name == lease.dynamic_prefix && dhcpv6.is_some_and(|it| it.interface == *interface)
                })
            };
            if !memory.leases.iter().all(here) {
                Arc::make_mut(memory).leases.retain(here);
            }
        }
    }

    /// Takes in what a client, or the routers on its interface, say. Whether the store should keep it at once.
    pub(super) fn hear(&mut self, report: &SourceReport, now: Instant) -> bool {
        let Some(interface) = &report.id.interface else { return false };
        if report.id.kind == SourceKind::RouterAdvertisement {
            self.hear_routers(interface, report);
        }
        if report.id.kind != SourceKind::Dhcpv6Pd {
            return false;
        }
        let mut urgent = false;
        if let Some(other) = &report.other_client {
            urgent |= self.others.insert(interface.clone(), other.clone()).as_ref() != Some(other);
        }
        if let Some(memory) = &report.client {
            match self.memories.insert(interface.clone(), Arc::clone(memory)) {
                Some(former) if former == *memory => {}
                Some(former) if is_mere_renewal(&former, memory) => self.save_later(now),
                Some(_) | None => urgent = true,
            }
        }
        urgent
    }

    fn hear_routers(&mut self, interface: &str, report: &SourceReport) {
        if let Some(advertised) = &report.advertised {
            self.advertised.insert(interface.to_owned(), advertised.clone());
        }
        match &report.state {
            SourceState::Failed(why) => drop(self.deaf.insert(interface.to_owned(), why.clone())),
            SourceState::InterfaceAbsent
            | SourceState::LinkDown
            | SourceState::NoLinkLocal
            | SourceState::AwaitingRouter
            | SourceState::AwaitingAddress
            | SourceState::NoAddress
            | SourceState::Asking
            | SourceState::Soliciting
            | SourceState::Silent
            | SourceState::Receiving
            | SourceState::Requesting
            | SourceState::Bound
            | SourceState::Renewing
            | SourceState::Rebinding
            | SourceState::Releasing
            | SourceState::Released
            | SourceState::Configured => drop(self.deaf.remove(interface)),
        }
    }

    fn save_later(&mut self, now: Instant) {
        let earliest = self.renewals_saved_at.map_or(now, |saved| now.max(saved + RENEWALS_SAVED_EVERY));
        self.save_at.get_or_insert(earliest);
    }

    /// Somebody else's lease was extended, as an observer says. It is never urgent: what is saved of it has some time yet.
    pub(super) fn note_renewal(&mut self, now: Instant) {
        self.save_at.get_or_insert(now + RENEWALS_SAVED_EVERY);
    }

    /// Whether leases that were extended are to be saved now.
    pub(super) fn save_is_due(&mut self, now: Instant) -> bool {
        let due = self.save_at.take_if(|at| *at <= now).is_some();
        if due {
            self.renewals_saved_at = Some(now);
        }
        due
    }

    /// When [`Self::save_is_due`] will be true.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.save_at
    }

    /// Another DHCPv6 client that was seen on the interface in this boot.
    pub(super) fn other(&self, interface: &str) -> Option<&String> {
        self.others.get(interface)
    }

    /// What the routers on the interface say; `None`: none was heard.
    pub(super) fn advertised(&self, interface: &str) -> Option<&Advertised> {
        self.advertised.get(interface)
    }

    /// Why no router can be heard on the interface, if that is so.
    pub(super) fn deaf(&self, interface: &str) -> Option<&String> {
        self.deaf.get(interface)
    }

    /// Puts everything into the state.
    pub(super) fn store(&self, state: &mut State, epoch: &Epoch) {
        state.set_duid(&self.duid);
        for (interface, memory) in &self.memories {
            state.insert_client(interface, memory, epoch);
        }
        for (interface, seen) in &self.others {
            state.insert_other_client(interface, seen);
        }
    }
}

/// The interfaces with a DHCPv6 client.
pub(super) fn interfaces(dynamic_prefixes: &[DynamicPrefix]) -> impl Iterator<Item = &str> {
    dynamic_prefixes.iter().filter_map(|prefix| Some(prefix.acquisition.dhcpv6.as_ref()?.interface.as_str()))
}

/// The IAID of a DynamicPrefix that has none in the configuration: whatever happens to interfaces, it stays.
pub(super) fn iaid(name: &str) -> u32 {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, IAID_SALT), name.as_bytes());
    let mut octets = [0; 4];
    octets.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    u32::from_be_bytes(octets)
}

/// Whether a client knows the same as before, but that lifetimes end later, or that servers want other pauses: any
/// Advertise may say so, also a forged one.
fn is_mere_renewal(former: &dhcpv6::Memory, new: &dhcpv6::Memory) -> bool {
    let extended = |former: &LeasedPrefix, new: &LeasedPrefix| {
        former.prefix == new.prefix
            && former.excluded == new.excluded
            && former.preferred_until <= new.preferred_until
            && former.valid_until <= new.valid_until
    };
    let same_lease = |former: &Lease, new: &Lease| {
        former.dynamic_prefix == new.dynamic_prefix
            && former.iaid == new.iaid
            && former.received_at.is_some() == new.received_at.is_some()
            && former.prefixes.len() == new.prefixes.len()
            && former.prefixes.iter().zip(&new.prefixes).all(|(former, new)| extended(former, new))
    };
    let address = |memory: &dhcpv6::Memory| memory.address.as_ref().map(|lease| (lease.iaid, lease.address));
    former.leases.len() == new.leases.len()
        && former.leases.iter().zip(&new.leases).all(|(former, new)| same_lease(former, new))
        && address(former) == address(new)
        && former.duid == new.duid
        && former.server == new.server
        && former.reconfigure_key == new.reconfigure_key
}

#[cfg(test)]
mod tests;
