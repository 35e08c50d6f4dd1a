//! What a table of routers, and an observer, start from.

use super::coordinator::Coordinator;
use crate::arbiter;
use crate::config::DynamicPrefix;
use crate::source::{Offer, SourceId, SourceKind};
use crate::time::Instant;

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

    /// What the observer on `interface` should know from before: the prefix of each DynamicPrefix that it gave, and, cut,
    /// those that have ended.
    pub fn observed_seeds(&self, interface: &str, now: Instant) -> Vec<Offer> {
        self.arbiters.values().flat_map(|arbiter| arbiter::seeds_observed(arbiter, interface, now)).collect()
    }

    /// What was in use of the addresses of `interface`, so that another prefix there does not take its place before it
    /// could come back. None, if DynamicPrefixes cut it in different ways.
    pub fn address_seeds(&self, interface: &str) -> Vec<Offer> {
        self.seeds_of(&SourceId::on(SourceKind::Interface, interface), |prefix| {
            prefix.delegated_length(SourceKind::Interface)
        })
    }

    /// What was in use of the answers of a service, so that one wrong answer does not take its place. None, if
    /// DynamicPrefixes cut it in different ways.
    pub fn service_seed(&self, id: &SourceId) -> Option<Offer> {
        let length = |prefix: &DynamicPrefix| prefix.acquisition.http.as_ref().map(|http| http.prefix_length);
        let mut seeds = self.seeds_of(id, length);
        let one = seeds.pop()?;
        seeds.iter().all(|other| other.prefix == one.prefix).then_some(one)
    }

    fn seeds_of(&self, id: &SourceId, length: impl Fn(&DynamicPrefix) -> Option<u8>) -> Vec<Offer> {
        let users: Vec<&DynamicPrefix> =
            self.config.dynamic_prefixes.iter().filter(|prefix| prefix.sources().contains(id)).collect();
        let mut lengths: Vec<_> = users.iter().map(|prefix| length(prefix)).collect();
        lengths.dedup();
        if lengths.len() > 1 {
            return Vec::new();
        }
        let current = users.iter().filter_map(|prefix| self.arbiters.get(&prefix.name)?.snapshot()?.current.as_ref());
        let current = current.filter(|current| current.source == *id);
        let offers = current.map(|current| Offer {
            prefix: current.prefix,
            recipient: None,
            router: None,
            preferred_until: current.preferred_until,
            valid_until: current.valid_until,
            excluded: Vec::new(),
            first_seen: current.acquired_at,
            cut: None,
        });
        offers.collect()
    }
}
