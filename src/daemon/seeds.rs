//! What a table of routers, and an observer, start from.

use super::coordinator::Coordinator;
use crate::arbiter;
use crate::source::{Offer, SourceKind};

impl Coordinator {
    /// What the RA table of `interface` should know from before: the prefixes that came from there, so that their
    /// routers can unlist and withdraw them. Where only a part of a delegation is announced, the whole stands for it;
    /// but not if another DynamicPrefix on the interface cuts otherwise, because to that one nobody ever offered it.
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
        arbiter::seeds(announced.filter_map(|(name, _)| self.arbiters.get(*name)?.snapshot()), interface)
    }

    /// The interfaces with an observer.
    pub fn observed_interfaces(&self) -> impl Iterator<Item = String> {
        self.sources().into_iter().filter(|id| id.kind == SourceKind::Observed).filter_map(|id| id.interface)
    }

    /// What the observer on `interface` should know from before: the prefix of each DynamicPrefix that it gave.
    pub fn observed_seeds(&self, interface: &str) -> Vec<Offer> {
        let seed = |(name, arbiter): (&String, &arbiter::Arbiter)| {
            arbiter::seeds_observed(name, arbiter.snapshot()?, interface)
        };
        self.arbiters.iter().filter_map(seed).collect()
    }
}
