//! Services by address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use crate::config::ObjectRef;
use crate::prefix::Interval;

/// Services by address.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<Ipv6Addr, BTreeSet<ObjectRef>>);

impl Places {
    /// Moves a Service; the addresses for which it is a change.
    pub(super) fn change(&mut self, service: &ObjectRef, before: &[Ipv6Addr], after: &[Ipv6Addr]) -> Vec<Ipv6Addr> {
        let mut changed = Vec::new();
        for address in before.iter().filter(|address| !after.contains(address)) {
            if let Some(there) = self.0.get_mut(address) {
                there.remove(service);
                if there.is_empty() {
                    self.0.remove(address);
                }
                changed.push(*address);
            }
        }
        for address in after.iter().filter(|address| !before.contains(address)) {
            self.0.entry(*address).or_default().insert(service.clone());
            changed.push(*address);
        }
        changed
    }

    pub(super) fn at(&self, address: Ipv6Addr) -> impl Iterator<Item = &ObjectRef> {
        self.0.get(&address).into_iter().flatten()
    }

    pub(super) fn within(&self, range: Interval) -> impl Iterator<Item = (&Ipv6Addr, &BTreeSet<ObjectRef>)> {
        self.0.range(range.first()..=range.last())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
