//! The objects of kind DynamicPrefix that mirror spec and status into a cluster (`publishStatus`): what to send next.
//!
//! Only what changed is sent, and times alone are no change. An object that somebody else made, or that another daemon
//! keeps, is left alone. One that is ours is deleted once its DynamicPrefix, or `publishStatus`, has left the
//! configuration, and only if the store lists it: at a stop it stays.

mod content;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::failure::Failure;
use crate::time::Instant;
use content::{body, whole, with_transitions, without_times};

/// The group and version of the kind.
pub const API_VERSION: &str = "dyn-prefix.io/v1alpha1";

/// The name of the kind's CustomResourceDefinition.
pub const DEFINITION: &str = "dynamicprefixes.dyn-prefix.io";

/// Who keeps an object.
pub const MANAGED_BY: &str = "dynamic-prefix.io/managed-by";

/// The pause before what was refused is tried again.
const RETRY: Duration = Duration::from_secs(300);

/// The pause before what was not answered is tried again.
const RETRY_SOON: Duration = Duration::from_secs(15);

/// How often, and after which pause at first, it is tried again once the definition of the kind was seen: the API server
/// tells of a definition first and serves it a moment later.
const LOOKS: u32 = 8;
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What one object should say.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// The name of the DynamicPrefix.
    pub name: String,
    /// `spec`
    pub spec: Value,
    /// `status`, with its conditions, which need no lastTransitionTime.
    pub status: Value,
}

/// All that a cluster should say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publication {
    /// Who we are.
    pub daemon_id: String,
    /// One for each DynamicPrefix; none unless `publishStatus`.
    pub mirrors: Vec<Mirror>,
    /// The DynamicPrefixes that there is no opinion on at the moment: their objects stay as they are.
    pub undecided: Vec<String>,
}

impl Publication {
    fn names(&self, name: &str) -> bool {
        self.mirrors.iter().any(|mirror| mirror.name == name) || self.undecided.iter().any(|other| other == name)
    }
}

/// A request to send.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Read the object of this name.
    Get(String),
    /// Server-side apply of the object.
    Apply(String, Value),
    /// Server-side apply of its status.
    ApplyStatus(String, Value),
    /// Delete the object with this uid.
    Delete(String, String),
}

impl Request {
    /// The object that it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Get(name) | Self::Apply(name, _) | Self::ApplyStatus(name, _) | Self::Delete(name, _) => name,
        }
    }
}

/// What is known of an object.
#[derive(Clone, Debug, Default)]
enum Remote {
    /// Nothing yet, since the connection was made.
    #[default]
    Unknown,
    Absent,
    /// Ours, with this content.
    Ours {
        spec: Value,
        status: Value,
    },
    /// Not ours; why, a sentence.
    Foreign(String),
}

#[derive(Debug, Default)]
struct Item {
    remote: Remote,
    retry_at: Option<Instant>,
    /// Why it cannot be kept, a sentence.
    trouble: Option<String>,
    /// When it was found deleted although nobody of us did that.
    vanished_at: Option<Instant>,
}

impl Item {
    /// Whether it has to wait.
    fn waits(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| at > now)
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Mirrors {
    wanted: Publication,
    items: BTreeMap<String, Item>,
    /// Our objects: their uids by name.
    ours: BTreeMap<String, String>,
    has_changed: bool,
    busy: bool,
    /// The cluster does not serve the kind.
    lacks_kind: bool,
    /// How often it may be tried again soon, as its definition was seen.
    looks: u32,
}

impl Mirrors {
    /// `ours`: what the store lists.
    pub fn new(ours: BTreeMap<String, String>) -> Self {
        Self { ours, ..Self::default() }
    }

    /// What the cluster should say now.
    pub fn handle_wanted(&mut self, wanted: Publication) {
        let former = std::mem::replace(&mut self.wanted, wanted);
        for (name, item) in &mut self.items {
            // That it could not be written says nothing of whether it can be deleted, which somebody waits for.
            if item.retry_at.is_some() && former.names(name) && !self.wanted.names(name) {
                *item = Item::default();
            }
        }
        self.forget_unwanted();
    }

    /// Of what is neither wanted nor ours there is nothing to say, whatever an answer that was late says.
    fn forget_unwanted(&mut self) {
        self.items.retain(|name, _| self.wanted.names(name) || self.ours.contains_key(name));
    }

    /// There is a new connection, perhaps to another state of the cluster, or somebody asks to try again.
    pub fn handle_connected(&mut self) {
        self.items.clear();
        self.busy = false;
        self.lacks_kind = false;
        self.looks = 0;
    }

    /// Whether the cluster does not serve the kind, so that somebody has to tell when it is defined.
    pub fn lacks_kind(&self) -> bool {
        self.lacks_kind
    }

    /// The definition of the kind is there, or has changed.
    pub fn handle_defined(&mut self, now: Instant) {
        if self.lacks_kind {
            self.looks = LOOKS;
            self.items.values_mut().for_each(|item| item.retry_at = item.retry_at.map(|_| now));
        }
    }

    /// The next request; none before the last one was answered.
    pub fn poll_request(&mut self, now: Instant, wall: Timestamp) -> Option<Request> {
        if self.busy {
            return None;
        }
        let request = self.of_wanted(now, wall).or_else(|| self.of_unwanted(now))?;
        self.busy = true;
        Some(request)
    }

    fn of_wanted(&mut self, now: Instant, wall: Timestamp) -> Option<Request> {
        for mirror in &self.wanted.mirrors {
            let item = self.items.entry(mirror.name.clone()).or_default();
            if item.waits(now) {
                continue;
            }
            let name = mirror.name.clone();
            match &item.remote {
                Remote::Foreign(_) => {}
                Remote::Unknown => return Some(Request::Get(name)),
                Remote::Ours { spec, .. } if *spec == mirror.spec => {}
                Remote::Absent | Remote::Ours { .. } => {
                    return Some(Request::Apply(name, whole(mirror, &self.wanted.daemon_id)));
                }
            }
            if let Remote::Ours { status, .. } = &item.remote
                && without_times(status) != without_times(&mirror.status)
            {
                let name = mirror.name.clone();
                let status = with_transitions(&mirror.status, status, wall);
                return Some(Request::ApplyStatus(name.clone(), body(&name, &[("status", status)])));
            }
        }
        None
    }

    fn of_unwanted(&mut self, now: Instant) -> Option<Request> {
        for (name, uid) in self.ours.iter().filter(|(name, _)| !self.wanted.names(name)) {
            let item = self.items.entry(name.clone()).or_default();
            if item.waits(now) {
                continue;
            }
            match item.remote {
                Remote::Unknown => return Some(Request::Get(name.clone())),
                Remote::Ours { .. } => return Some(Request::Delete(name.clone(), uid.clone())),
                Remote::Absent | Remote::Foreign(_) => {}
            }
        }
        None
    }

    /// A request was answered, or not.
    pub fn handle_answer(&mut self, request: &Request, answer: Result<Value, Failure>, now: Instant) {
        self.busy = false;
        let name = request.name().to_owned();
        self.lacks_kind = match &answer {
            Ok(_) => false,
            Err(failure) if failure.code() == Some(404) => !is_no_object(failure),
            Err(_) => self.lacks_kind,
        };
        match (request, answer) {
            (Request::Delete(..), Ok(_)) => self.gone(&name),
            (Request::Get(_) | Request::Delete(..), Err(failure)) if is_no_object(&failure) => self.gone(&name),
            (_, Err(failure)) if is_no_object(&failure) => self.vanished(name, now),
            // What was accepted is there, however the schema has rounded it.
            (Request::Apply(_, sent), Ok(mut object)) => {
                object["spec"] = sent["spec"].clone();
                self.seen(name, &object, true);
            }
            (Request::ApplyStatus(_, sent), Ok(mut object)) => {
                object["status"] = sent["status"].clone();
                self.seen(name, &object, true);
            }
            (_, Ok(object)) => self.seen(name, &object, false),
            (_, Err(failure)) => self.refused(&name, &failure, now),
        }
        self.forget_unwanted();
    }

    fn gone(&mut self, name: &str) {
        self.has_changed |= self.ours.remove(name).is_some();
        let vanished_at = self.vanished_at(name);
        self.items.insert(name.to_owned(), Item { remote: Remote::Absent, vanished_at, ..Item::default() });
    }

    fn vanished_at(&self, name: &str) -> Option<Instant> {
        self.items.get(name).and_then(|item| item.vanished_at)
    }

    /// Somebody deleted it: it is read again, to be made anew. Not at once if that has just been so: whoever keeps
    /// deleting it is not raced.
    fn vanished(&mut self, name: String, now: Instant) {
        let again = self.vanished_at(&name).map(|at| at + RETRY_SOON).filter(|at| *at > now);
        let vanished_at = Some(now);
        self.items.insert(name, Item { retry_at: again, vanished_at, ..Item::default() });
    }

    /// `is_made`: by the request that was answered, be it wanted still or not.
    fn seen(&mut self, name: String, object: &Value, is_made: bool) {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        let remote = match object["metadata"]["annotations"][MANAGED_BY].as_str() {
            Some(id) if id == self.wanted.daemon_id => {
                Remote::Ours { spec: object["spec"].clone(), status: object["status"].clone() }
            }
            Some(id) => Remote::Foreign(format!(
                "The DynamicPrefix {name} is kept by another daemon ({id}), so it is not written: names have to differ, or \
                 publishStatus may be set in one of the two."
            )),
            None => Remote::Foreign(format!(
                "There is a DynamicPrefix {name} that this daemon did not make, so it is not written: delete it, or name \
                 one of the two otherwise."
            )),
        };
        // Listed in the store, but another object by now: it is not ours to delete.
        let is_ours = matches!(remote, Remote::Ours { .. });
        if is_ours && (is_made || self.wanted.names(&name)) {
            self.has_changed |= self.ours.insert(name.clone(), uid.to_owned()).as_deref() != Some(uid);
        } else if self.ours.get(&name).is_some_and(|ours| !is_ours || ours != uid) {
            self.ours.remove(&name);
            self.has_changed = true;
        }
        let trouble = if let Remote::Foreign(why) = &remote { Some(why.clone()) } else { None };
        let vanished_at = self.vanished_at(&name);
        self.items.insert(name, Item { remote, retry_at: None, trouble, vanished_at });
    }

    fn refused(&mut self, name: &str, failure: &Failure, now: Instant) {
        let (pause, trouble) = match failure.code() {
            Some(404) if !self.wanted.names(name) => (
                self.look_again(),
                Some(format!(
                    "The cluster does not serve the kind DynamicPrefix of dyn-prefix.io, so {name} cannot be deleted: \
                     it went with the definition, or is deleted once that is there again."
                )),
            ),
            Some(404) => (
                self.look_again(),
                Some(
                    "publishStatus = true, but the cluster does not know the kind DynamicPrefix of dyn-prefix.io: kubectl \
                     apply -f packaging/kubernetes/dynamicprefixes.yaml, which packages have below \
                     /usr/share/doc/dyn-prefix/examples."
                        .to_owned(),
                ),
            ),
            Some(403) => (
                RETRY,
                Some(format!(
                    "The account may not keep objects of kind DynamicPrefix. It needs a ClusterRole with apiGroups: \
                     [dyn-prefix.io], resources: [dynamicprefixes, dynamicprefixes/status], verbs: [get, create, patch, \
                     delete], or publishStatus = false: {}.",
                    failure.message()
                )),
            ),
            Some(409) => (RETRY_SOON, None),
            None => (RETRY_SOON, None),
            Some(_) => (RETRY, Some(format!("The DynamicPrefix {name} cannot be written: {}.", failure.message()))),
        };
        let item = self.items.entry(name.to_owned()).or_default();
        // It is read again before it is written again.
        *item = Item { retry_at: Some(now + pause), trouble, ..Item::default() };
    }

    /// The pause while the kind is missing.
    fn look_again(&mut self) -> Duration {
        let Some(left) = self.looks.checked_sub(1) else { return RETRY };
        self.looks = left;
        LOOK_AGAIN * (1 << (LOOKS - 1 - left))
    }

    /// When [`Mirrors::poll_request`] may have something although nothing happened. Only what that would send counts, or
    /// the instant would come again and again: not what there is no opinion on.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.busy {
            return None;
        }
        let wanted = self.wanted.mirrors.iter().map(|mirror| &mirror.name);
        let unwanted = self.ours.keys().filter(|name| !self.wanted.names(name));
        wanted.chain(unwanted).filter_map(|name| self.items.get(name)?.retry_at).min()
    }

    /// The objects that are to be deleted and cannot be, by name: why, a sentence each.
    pub fn stuck(&self) -> BTreeMap<String, String> {
        let unwanted = self.items.iter().filter(|(name, _)| self.ours.contains_key(*name) && !self.wanted.names(name));
        unwanted.filter_map(|(name, item)| Some((name.clone(), item.trouble.clone()?))).collect()
    }

    /// Why objects cannot be kept, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.items.values().filter_map(|item| item.trouble.clone()).collect();
        notes.dedup();
        notes
    }

    /// Our objects, if that changed since the last call.
    pub fn take_ours(&mut self) -> Option<BTreeMap<String, String>> {
        std::mem::take(&mut self.has_changed).then(|| self.ours.clone())
    }
}

/// 404 with a Status that names an object; that of a kind which is not served names none, and an admission webhook that
/// quotes one speaks first.
fn is_no_object(failure: &Failure) -> bool {
    failure.code() == Some(404) && failure.message().starts_with("dynamicprefixes.dyn-prefix.io \"")
}

#[cfg(test)]
mod tests;
