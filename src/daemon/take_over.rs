//! `dyn-prefix take-over`: objects that another daemon manages become ours, with what its records say. Pure.

use std::time::Duration;

use crate::cluster::{OtherWriter, TargetReport};
use crate::config::ObjectRef;
use crate::time::Epoch;

use super::coordinator::Coordinator;
use super::pause::{Left, Scope, left, list, read_target};

/// A daemon that wrote so short a time ago most likely runs.
const LIVELY: Duration = Duration::from_secs(600);

/// One object on its way to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    cluster: String,
    object: ObjectRef,
    uid: String,
    /// Whose it was.
    from: String,
}

impl Coordinator {
    /// Lets the clusters write objects of other daemons. With `force`, also of one that wrote a moment ago.
    ///
    /// # Errors
    /// When there is no such object, or the other daemon seems to run; a sentence that says what to do.
    pub fn take_over(&mut self, scope: &Scope, force: bool, epoch: &Epoch) -> Result<Vec<Taken>, String> {
        let object = read_target(scope)?;
        let mut found = Vec::new();
        for cluster in self.clusters_in(scope)? {
            let targets = self.clusters.get(&cluster).into_iter().flat_map(|view| view.targets.values());
            let of_others = targets
                .filter(|target| object.as_ref().is_none_or(|object| *object == target.object))
                .filter_map(|target| Some((target, target.uid.clone()?, target.other.clone()?)));
            found.extend(of_others.map(|(target, uid, other)| (cluster.clone(), target.object.clone(), uid, other)));
        }
        if found.is_empty() {
            let what = object.map_or_else(|| "no target".to_owned(), |object| format!("{object} is not a target that"));
            return Err(format!(
                "{what} is managed by another daemon; status shows the reason OtherWriter where it is"
            ));
        }
        let lively: Vec<String> = found
            .iter()
            .filter(|_| !force)
            .filter_map(|(cluster, object, _, other)| Some(format!("{object} in {cluster} {}", wrote(other, epoch)?)))
            .collect();
        if !lively.is_empty() {
            return Err(format!(
                "another daemon seems to run and to write these: {}. Stop it there, or take them out of its \
                 configuration, and try again in {} minutes; `--force` takes them over now, and the other daemon then \
                 leaves them alone (OtherWriter)",
                list(&lively),
                LIVELY.as_secs() / 60
            ));
        }
        let mut taken = Vec::new();
        for (cluster, object, uid, other) in found {
            self.ask(&cluster, Some(&object));
            self.told_mut(&cluster).taken.insert(uid.clone(), other.id.clone());
            taken.push(Taken { cluster, object, uid, from: other.id });
        }
        Ok(taken)
    }

    /// Of what is taken over: what has become ours, a sentence each, and what has not.
    pub fn taken(&self, taken: &[Taken]) -> (Vec<String>, Vec<Left>) {
        let mut done = Vec::new();
        let mut missing = Vec::new();
        for Taken { cluster, object, from, .. } in taken {
            let view = self.clusters.get(cluster);
            match view.and_then(|view| view.targets.get(object)) {
                Some(target) if is_ours(target) => {
                    done.push(format!("{object} in {cluster} is ours now; it was managed by {from:?}."));
                }
                _ => missing.push(left(cluster, object, view)),
            }
        }
        (done, missing)
    }

    /// Gives up what has not been taken over by now, but for what somebody else waits for.
    pub fn stop_taking<'a>(&mut self, taken: &[Taken], awaited: impl Iterator<Item = &'a Taken> + Clone) {
        for Taken { cluster, uid, .. } in taken {
            if !awaited.clone().any(|other| other.cluster == *cluster && other.uid == *uid) {
                self.told_mut(cluster).taken.remove(uid);
            }
        }
    }

    /// What is ours now need not be taken over any more: if the other daemon takes it back, it may.
    pub(super) fn settle_taken(&mut self, cluster: &str) {
        if self.told.get(cluster).is_none_or(|told| told.taken.is_empty()) {
            return;
        }
        let targets = self.clusters.get(cluster).into_iter().flat_map(|view| view.targets.values());
        let ours: Vec<String> = targets.filter(|target| is_ours(target)).filter_map(|it| it.uid.clone()).collect();
        self.told_mut(cluster).taken.retain(|uid, _| !ours.contains(uid));
    }
}

/// Whether an object is managed by us: as far as status goes, what we write is written.
fn is_ours(target: &TargetReport) -> bool {
    target.other.is_none() && target.synced
}

/// When the other daemon last wrote, if that was a moment ago.
fn wrote(other: &OtherWriter, epoch: &Epoch) -> Option<String> {
    let at: jiff::Timestamp = other.wrote_at.as_ref()?.parse().ok()?;
    let since = epoch.wall_now().duration_since(at);
    (since.unsigned_abs() < LIVELY).then(|| format!("(by {:?}, at {at})", other.id))
}
