//! What outlives the process: from the store, and to it.

use std::collections::BTreeMap;

use super::Coordinator;
use crate::arbiter::Restored;
use crate::cluster::{Managed, Paused};
use crate::config::{Config, ObjectRef};
use crate::daemon::clients;
use crate::store::State;
use crate::time::Epoch;

/// What a former run knew.
#[derive(Debug, Default)]
pub struct Memory {
    /// Per DynamicPrefix.
    pub prefixes: BTreeMap<String, Restored>,
    /// Per cluster.
    pub managed: BTreeMap<String, Vec<Managed>>,
    /// Per cluster, the objects of kind DynamicPrefix that are ours: their uids by name.
    pub published: BTreeMap<String, BTreeMap<String, String>>,
    /// What was withdrawn, per cluster.
    pub paused: BTreeMap<String, Paused>,
    /// The DHCPv6 clients.
    pub clients: clients::Restored,
}

impl Memory {
    /// What the stored state says about the DynamicPrefixes of `config`, and about every cluster.
    pub fn from_state(state: Option<&State>, config: &Config, epoch: &Epoch) -> Self {
        let Some(state) = state else { return Self::default() };
        let prefixes = config.dynamic_prefixes.iter();
        Self {
            prefixes: prefixes
                .filter_map(|prefix| Some((prefix.name.clone(), state.restore(&prefix.name, epoch)?)))
                .collect(),
            managed: state.managed.keys().map(|cluster| (cluster.clone(), state.managed(cluster, epoch))).collect(),
            published: state.published.clone(),
            paused: state.paused(),
            clients: clients::Restored { memories: state.clients(epoch), others: state.other_clients() },
        }
    }
}

impl Coordinator {
    /// What the store keeps of the objects in one cluster.
    pub(in crate::daemon) fn managed_in(&self, cluster: &str) -> Option<&BTreeMap<ObjectRef, Managed>> {
        self.managed.get(cluster)
    }

    /// What is managed in one cluster, for its task to start from.
    pub fn managed(&self, cluster: &str) -> Vec<Managed> {
        self.managed.get(cluster).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// The objects of kind DynamicPrefix in one cluster that are ours, for its task to start from.
    pub fn published(&self, cluster: &str) -> BTreeMap<String, String> {
        self.published.get(cluster).cloned().unwrap_or_default()
    }

    /// What the store should keep.
    pub fn state(&self, epoch: &Epoch) -> State {
        let mut state = State::new(epoch).saved_in(self.identity.boot_id.as_deref(), epoch);
        state.published.clone_from(&self.published);
        self.clients.store(&mut state, epoch);
        for (name, arbiter) in &self.arbiters {
            if let Some(snapshot) = arbiter.snapshot() {
                state.insert_prefix(name, snapshot, arbiter.last_generation(), epoch);
            }
        }
        for (cluster, objects) in &self.managed {
            for managed in objects.values() {
                state.insert_managed(cluster, managed, epoch);
            }
        }
        self.paused().for_each(|(cluster, paused)| state.insert_paused(cluster, paused));
        state
    }
}
