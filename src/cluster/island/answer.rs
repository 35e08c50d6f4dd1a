//! A patch leaves, and its answer comes: what is true of the object then.

use serde_json::{Map, Value};

use super::slot::{Flight, Patch, Slot};
use super::{Event, Failure, Release, Until, WriteError};
use crate::cluster::object::Object;
use crate::config::ObjectRef;
use crate::time::Instant;

impl Slot {
    /// Hands out the pending patch, complete with the version it was made from.
    pub(super) fn take_off(&mut self, version: &str) -> Option<Value> {
        let patch = self.pending.take()?;
        if patch.is_look() {
            let uid = patch.memory.as_ref().map(|memory| memory.uid.clone()).unwrap_or_default();
            let (base, version, content) = (String::new(), version.to_owned(), patch.content.clone());
            self.flight = Some(Box::new(Flight { patch: *patch, uid, base, version, overtaken: false }));
            return Some(content);
        }
        let object = self.object.as_ref()?;
        let mut complete = patch.content.clone();
        let metadata = complete.as_object_mut()?.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        metadata.as_object_mut()?.insert("resourceVersion".to_owned(), Value::String(object.resource_version.clone()));
        self.flight = Some(Box::new(Flight {
            patch: *patch,
            uid: object.uid.clone(),
            base: object.resource_version.clone(),
            version: version.to_owned(),
            overtaken: false,
        }));
        Some(complete)
    }

    /// The API server took the patch. With the event for the log, and whether a fight over the object begins.
    pub(super) fn accepted(
        &mut self,
        reference: &ObjectRef,
        flight: Flight,
        answer: Object,
        why: Release,
        now: Instant,
    ) -> (Event, bool) {
        let elapsed = now.saturating_since(self.changed_at.take().unwrap_or(now));
        let Patch { content, added, removed, memory } = flight.patch;
        let released = memory.is_none();
        self.uncertain.clear();
        self.last_sync = Some(now);
        self.written_generation = answer.generation;
        if let Some(contest) = &mut self.contest {
            contest.written(now);
        }
        // What the watch brought since the patch left is our own write or newer: anything between the version we
        // patched and our write would have made it a conflict.
        let is_latest = self.object.as_ref().is_some_and(|known| known.resource_version == flight.base);
        if self.object.as_ref().is_some_and(|known| known.uid == flight.uid) {
            self.memory = memory;
        }
        let begins = !is_latest && self.was_removed_since(&answer, now);
        if is_latest {
            self.sent = Some(Box::new((answer.resource_version.clone(), content)));
            self.object = Some(answer);
        }
        let object = reference.clone();
        let event = if released {
            Event::Released { object, why, removed, elapsed }
        } else {
            Event::Written { object, added, removed, elapsed }
        };
        (event, begins)
    }

    /// Somebody was so quick that the watch showed the removal of our entries before the answer to their writing came.
    fn was_removed_since(&mut self, answer: &Object, now: Instant) -> bool {
        let (Some(memory), Some(known), true) = (&self.memory, &self.object, self.is_wanted()) else { return false };
        if known.resource_version == answer.resource_version || memory.is_whole_on(known) {
            return false;
        }
        let manager = known.last_other_writer();
        self.contest.get_or_insert_default().removed(manager, now)
    }

    /// The API server did not take the patch, or did not answer.
    pub(super) fn refused(
        &mut self,
        reference: &ObjectRef,
        flight: Flight,
        error: WriteError,
        jitter: u64,
        now: Instant,
    ) {
        if self.is_out_of_sight && error == WriteError::NotFound {
            // It was deleted meanwhile, as the watch has shown: nothing that anybody has to mend. A look will tell.
            return;
        }
        let may_be_done = matches!(error, WriteError::Unreachable(_) | WriteError::Busy { .. });
        if let (true, Some(tried)) = (may_be_done, &flight.patch.memory) {
            self.uncertain.extend_from_slice(&tried.recorded);
        }
        let previous = self.failure.as_deref();
        let content = flight.patch.content;
        let mut failure = Failure::new(reference, &flight.version, error, content, previous, jitter, now);
        let has_newer = self.object.as_ref().is_some_and(|known| known.resource_version != flight.base);
        if has_newer && matches!(failure.until, Until::NewerObject | Until::AnyObject) {
            failure.retry_at = failure.early(now);
        }
        if flight.overtaken && failure.is_refusal() {
            failure.retry_at = now;
        }
        self.failure = Some(Box::new(failure));
    }
}
