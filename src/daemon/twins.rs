//! Two `[[cluster]]` that are one: both see the same object, and only the first of them may write it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::TargetReport;

/// What must not be written in a cluster: uids, each with a full sentence why.
pub(super) type Denied = Arc<BTreeMap<String, String>>;

/// What each cluster must not write. `clusters` in file order: the first that sees an object writes it.
pub(super) fn denied<'a, T>(clusters: impl IntoIterator<Item = (&'a str, T)>) -> BTreeMap<String, Denied>
where
    T: IntoIterator<Item = &'a TargetReport>,
{
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    let mut denied: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (cluster, targets) in clusters {
        for target in targets {
            let Some(uid) = target.uid.as_deref() else { continue };
            let owner = *owners.entry(uid).or_insert(cluster);
            if owner != cluster {
                let message = format!(
                    "The clusters \"{owner}\" and \"{cluster}\" both see the {} with uid {uid}: they are the same \
                     cluster under two names. It is written as part of \"{owner}\" only; remove one [[cluster]].",
                    target.object
                );
                denied.entry(cluster.to_owned()).or_default().insert(uid.to_owned(), message);
            }
        }
    }
    denied.into_iter().map(|(cluster, uids)| (cluster, Arc::new(uids))).collect()
}
