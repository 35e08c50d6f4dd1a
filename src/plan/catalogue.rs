//! Every range and subnet of every DynamicPrefix, for each generation known.

use std::collections::BTreeMap;

use ipnet::Ipv6Net;

use super::{Block, Catalogue, Computed, ComputedGeneration, EntryError, Role, range, subnet};
use crate::arbiter::{PreviousState, Snapshot};
use crate::config::DynamicPrefix;
use crate::time::Instant;

impl Catalogue {
    /// Computes everything. `snapshots` is by name; a DynamicPrefix without one has no opinion yet.
    pub fn compute(config: &[DynamicPrefix], snapshots: &BTreeMap<String, Snapshot>) -> Self {
        let computed = |prefix: &DynamicPrefix| Computed {
            has_opinion: snapshots.contains_key(&prefix.name),
            generations: snapshots.get(&prefix.name).map_or_else(Vec::new, |snapshot| generations(prefix, snapshot)),
            drain_period: prefix.transition.drain_period,
            strays_since: snapshots.get(&prefix.name).and_then(|snapshot| strays_since(prefix, snapshot)),
            mode: prefix.transition.mode,
            services: prefix.transition.services,
        };
        Self { dynamic_prefixes: config.iter().map(|prefix| (prefix.name.clone(), computed(prefix))).collect() }
    }
}

/// Since when as many prefixes became former ones as may drain. An entry that was a stray before is older than these.
fn strays_since(config: &DynamicPrefix, snapshot: &Snapshot) -> Option<Instant> {
    let ended = |place: usize| snapshot.history.get(place).map(|previous| previous.deprecated_at);
    match config.transition.max_prefix_history.checked_sub(1) {
        Some(last) => ended(last),
        None => Some(Instant::from_nanos(i64::MAX)),
    }
}

impl Computed {
    /// The generation in use, if there is one.
    pub fn current(&self) -> Option<&ComputedGeneration> {
        self.generations.first().filter(|generation| generation.role == Role::Current)
    }
}

impl ComputedGeneration {
    /// Everything of `config` in one prefix, of which the `excluded` parts must not be used.
    pub fn compute(config: &DynamicPrefix, prefix: Ipv6Net, excluded: &[Ipv6Net], role: Role) -> Self {
        let ranges = config.address_ranges.iter().map(|r| (r.name.clone(), range::compute(r, prefix, excluded)));
        let subnets = config.subnets.iter().map(|s| (s.name.clone(), subnet::compute(s, prefix, excluded)));
        Self {
            prefix,
            role,
            dead: false,
            parts: ranges.chain(subnets).collect(),
            whole: subnet::without(prefix.trunc(), excluded).collect(),
        }
    }

    /// The blocks of a range or subnet.
    ///
    /// # Errors
    /// There is none of that name, or it cannot be computed in this prefix.
    pub fn part(&self, name: &str) -> Result<&[Block], EntryError> {
        match self.parts.get(name) {
            Some(part) => part.as_deref().map_err(EntryError::clone),
            None => Err(EntryError { entry: name.to_owned(), message: self.unknown(name) }),
        }
    }

    fn unknown(&self, name: &str) -> String {
        if self.parts.is_empty() {
            return format!("There is no range or subnet \"{name}\": the DynamicPrefix has none at all.");
        }
        let names: Vec<&str> = self.parts.keys().map(String::as_str).collect();
        format!("There is no range or subnet \"{name}\"; the DynamicPrefix has {}.", names.join(", "))
    }
}

/// Current first, then draining, newest first, then those only known.
fn generations(config: &DynamicPrefix, snapshot: &Snapshot) -> Vec<ComputedGeneration> {
    let current = snapshot.current.iter().map(|current| (current.prefix, &current.excluded, Role::Current, false));
    let former = |state: PreviousState, role: Role| {
        let those = snapshot.history.iter().filter(move |previous| previous.state == state);
        those.map(move |previous| (previous.prefix, &previous.excluded, role, previous.is_dead()))
    };
    current
        .chain(former(PreviousState::Draining, Role::Draining))
        .chain(former(PreviousState::Expired, Role::Known))
        .map(|(prefix, excluded, role, dead)| ComputedGeneration {
            dead,
            ..ComputedGeneration::compute(config, prefix, excluded, role)
        })
        .collect()
}
