//! What was withdrawn, as `state.json` has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::State;
use crate::cluster::Paused;

/// What was withdrawn in one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    everything: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    objects: Vec<String>,
}

impl State {
    /// What was withdrawn, by cluster. Objects of a kind unknown here are left out.
    pub fn paused(&self) -> BTreeMap<String, Paused> {
        let read = |stored: &Stored| Paused {
            everything: stored.everything,
            objects: stored.objects.iter().filter_map(|text| text.parse().ok()).collect(),
        };
        self.paused.iter().map(|(cluster, stored)| (cluster.clone(), read(stored))).collect()
    }

    /// Puts what was withdrawn in a cluster into the state.
    pub fn insert_paused(&mut self, cluster: &str, paused: &Paused) {
        let objects = paused.objects.iter().map(ToString::to_string).collect();
        self.paused.insert(cluster.to_owned(), Stored { everything: paused.everything, objects });
    }
}
