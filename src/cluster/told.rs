//! What a person told us about the objects of one cluster, beside the configuration.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::ObjectRef;

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What we keep our hands off (`dyn-prefix withdraw`).
    pub paused: Paused,
    /// Objects, by uid, that are taken over from another daemon (`dyn-prefix take-over`): its id in
    /// `dynamic-prefix.io/managed-by`. From whoever comes after it they are not taken.
    pub taken: BTreeMap<String, String>,
    /// How often a person has asked for something to be done to an object, or to all of them (`None`): whoever asks has
    /// mended something, so that what failed there is tried again at once.
    pub asked: BTreeMap<Option<ObjectRef>, u64>,
    /// Nobody told us: `paused` is because the cluster has left the configuration.
    pub has_left: bool,
}

impl Told {
    /// What a person has asked for since he was told of as in `former`.
    pub fn asked_since<'a>(&'a self, former: &Self) -> BTreeSet<&'a Option<ObjectRef>> {
        let asked = self.asked.iter().filter(|(what, count)| former.asked.get(*what) != Some(*count));
        asked.map(|(what, _)| what).collect()
    }
}

/// Objects that are not cared for, whatever the configuration says: what is ours on them is released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paused {
    /// Every object of the cluster, also those to come.
    pub everything: bool,
    /// These.
    pub objects: BTreeSet<ObjectRef>,
}

impl Paused {
    /// Whether it says so of this object.
    pub fn has(&self, object: &ObjectRef) -> bool {
        self.everything || self.objects.contains(object)
    }

    /// Whether it says so of no object.
    pub fn is_empty(&self) -> bool {
        !self.everything && self.objects.is_empty()
    }
}
