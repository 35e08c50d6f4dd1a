//! What a table of routers starts from.

use super::coordinator::Coordinator;
use crate::source::{Offer, SourceKind};

impl Coordinator {
    /// What the RA table of `interface` should know from before: the prefixes in use that came from there, so that
    /// their routers can unlist them. Where only a part of a delegation is announced, the whole stands for it; but not
    /// if another DynamicPrefix on the interface cuts otherwise, because to that one nobody ever offered it.
    pub fn seeds(&self, interface: &str) -> Vec<Offer> {
        let listening: Vec<(&str, Option<u8>)> = self
            .config
            .dynamic_prefixes
            .iter()
            .filter_map(|prefix| Some((prefix.name.as_str(), prefix.acquisition.router_advertisement.as_ref()?)))
            .filter(|(_, ra)| ra.interface == interface)
            .map(|(name, ra)| (name, ra.delegated_prefix_length))
            .collect();
        let alike = listening.iter().all(|(_, length)| listening.first().is_some_and(|(_, first)| first == length));
        let announced = listening.iter().filter(|(_, length)| alike || length.is_none());
        let snapshots = announced.filter_map(|(name, _)| self.arbiters.get(*name)?.snapshot());
        let current = snapshots.filter_map(|snapshot| snapshot.current.as_ref()).filter(|current| {
            current.source.kind == SourceKind::RouterAdvertisement
                && current.source.interface.as_deref() == Some(interface)
        });
        let offers = current.flat_map(|current| {
            current.routers.iter().map(|router| Offer {
                prefix: current.prefix,
                recipient: None,
                router: Some(*router),
                preferred_until: current.preferred_until,
                valid_until: current.valid_until,
                excluded: Vec::new(),
                first_seen: current.acquired_at,
                cut: None,
            })
        });
        offers.collect()
    }
}
