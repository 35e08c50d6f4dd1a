//! What an island holds about one object.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use serde_json::{Map, Value, json};

use super::carrier::{Carrier, Course};
use super::contest::Contest;
use super::memory::Memory;
use super::retry::Failure;
use crate::cluster::entry;
use crate::cluster::object::{MANAGED_BY, Object};
use crate::cluster::transition::FREED;
use crate::config::ObjectRef;
use crate::plan::{Block, Contribution, ObjectWant, Role};
use crate::prefix::Interval;
use crate::time::Instant;

/// One object: how it is, how it should be, and what we are doing about it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// As the cluster last showed it; `None`: not seen, or gone.
    pub(super) object: Option<Object>,
    /// Whether the cluster was asked for this very object and has answered.
    pub(super) listed: bool,
    /// Whether the cluster was asked for this very object and has refused.
    pub(super) unreadable: bool,
    /// Of a Service with something of ours: it is not seen any more. It is gone, or of another type.
    pub(super) is_out_of_sight: bool,
    /// What it should hold; `None`: not ours to care for.
    pub(super) want: Option<ObjectWant>,
    /// The same for a Service: who manages it, and where it is to go.
    pub(super) carrier: Option<Box<Carrier>>,
    /// Somebody would want us to care for it, but a person told us not to.
    pub(super) paused: bool,
    pub(super) course: Course,
    /// Of a Service: the host part that it would have, which another one has, and the one that it gets instead.
    pub(super) instead: Option<(Ipv6Addr, Ipv6Addr)>,
    /// Of a Service that is to have the address of one that is to have its own: that address, and the one that it takes
    /// meanwhile.
    pub(super) aside: Option<(Ipv6Addr, Ipv6Addr)>,
    /// Of a Service that would have to step aside so that others can move: there is no address for it meanwhile.
    pub(super) cornered: bool,
    /// Of a pool: for each of its current ranges, whether a managed Service waited for an address in it when the pool was
    /// last decided about.
    pub(super) awaited: Vec<bool>,
    /// Of a Service: its address, if another one has it, and since when.
    pub(super) taken: Option<(Ipv6Addr, Instant)>,
    /// Of a pool: whether its list was as it is to be when it was last decided about, with nothing held back.
    pub(super) is_calm: bool,
    /// Of a pool: the list as its controller has last said that it knows it, and the generation that it had then.
    pub(super) known_list: Option<(i64, Vec<Value>)>,
    /// Of a pool: since when something stands in a narrowed range of it that nobody has any more.
    pub(super) freed: Option<Instant>,
    /// Another target that it must not overlap: the reason and the sentence.
    pub(super) overlap: Option<(&'static str, String)>,
    /// What we know of our part in it.
    pub(super) memory: Option<Memory>,
    /// The patch that is to be sent.
    pub(super) pending: Option<Box<Patch>>,
    /// Whether it stands in the queue of patches to send.
    pub(super) queued: bool,
    /// The patch whose answer is awaited.
    pub(super) flight: Option<Box<Flight>>,
    /// Our entries by patches without an answer. If they were done and the record is removed before we see it, these
    /// are ours all the same.
    pub(super) uncertain: Vec<Block>,
    pub(super) failure: Option<Box<Failure>>,
    pub(super) contest: Option<Box<Contest>>,
    /// Since when something has to be written.
    pub(super) changed_at: Option<Instant>,
    pub(super) last_sync: Option<Instant>,
    /// `metadata.generation` as our last patch left it.
    pub(super) written_generation: Option<i64>,
    pub(super) status: Status,
    /// When it has to be looked at again without an input.
    pub(super) wake: Option<Instant>,
    /// What the log has been told.
    pub(super) announced: Option<(Level, String)>,
    /// The last patch that was accepted, and the version it made, until the object is seen to hold it.
    pub(super) sent: Option<Box<(String, Value)>>,
    /// The content of the last patch that `dryRun` kept back.
    pub(super) shown: Option<Value>,
    /// Fingerprint of the last report; `None`: never reported, or reported as removed.
    pub(super) reported: Option<u64>,
}

/// A patch, and what is true once it is accepted.
#[derive(Clone, Debug)]
pub(super) struct Patch {
    /// The JSON merge patch without its resourceVersion.
    pub(super) content: Value,
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    /// What to remember; `None`: it releases the object.
    pub(super) memory: Option<Memory>,
}

/// A patch on its way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) patch: Patch,
    pub(super) uid: String,
    /// The version it was made from.
    pub(super) base: String,
    /// The API version it was sent with.
    pub(super) version: String,
    /// Addresses that it asks for have left another pool since: a refusal may be out of date.
    pub(super) overtaken: bool,
}

/// What status says of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Status {
    pub(super) reason: String,
    pub(super) message: Option<String>,
    pub(super) level: Level,
    pub(super) synced: bool,
    pub(super) desired: Vec<String>,
    pub(super) foreign: Vec<String>,
}

/// How much a status matters to the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Level {
    /// All is well.
    #[default]
    Good,
    /// On the way; says nothing about well or not.
    Passing,
    /// As it should be, and something to know about it.
    Odd,
    /// Somebody has to do something.
    Bad,
}

impl Status {
    pub(super) fn new(level: Level, reason: &str, message: impl Into<Option<String>>) -> Self {
        Self { reason: reason.to_owned(), message: message.into(), level, ..Self::default() }
    }

    /// Of an object that a person told us to leave alone. Nothing is wanted of it, so nothing is missing.
    fn paused() -> Self {
        let text = "Withdrawn by `dyn-prefix withdraw`: nothing of ours is on it until `dyn-prefix resume`.".to_owned();
        Self { synced: true, ..Self::new(Level::Odd, "Paused", text) }
    }

    /// The same of one that another daemon manages by now.
    fn left_to(id: &str, object: &ObjectRef) -> Self {
        let text = format!(
            "Withdrawn by `dyn-prefix withdraw`, and managed by another daemon, {id:?}, by now: what is on it is that one's. \
             To have it here again, run `dyn-prefix resume {object}` and `dyn-prefix take-over {object}`."
        );
        Self { synced: true, ..Self::new(Level::Odd, "Paused", text) }
    }

    /// The same of one that says that something of ours is on it, which the store does not list.
    fn not_listed() -> Self {
        let text = "Withdrawn by `dyn-prefix withdraw`, but what it says is ours on it was left there: the state \
                    directory does not list it. `dyn-prefix resume`, and `withdraw` again once it is in sync."
            .to_owned();
        Self::new(Level::Bad, "Paused", text)
    }
}

impl Patch {
    /// Changes nothing: the answer is the object as it is. That takes no right that writing does not take.
    pub(super) fn look(memory: &Memory) -> Self {
        Self { content: json!({}), added: Vec::new(), removed: Vec::new(), memory: Some(memory.clone()) }
    }

    pub(super) fn is_look(&self) -> bool {
        self.content.as_object().is_some_and(Map::is_empty)
    }

    /// The addresses of ours that leave the object.
    pub(super) fn left(&self) -> Vec<Interval> {
        self.removed.iter().filter_map(|text| entry::read_recorded(text)).map(|block| block.interval()).collect()
    }
}

impl Slot {
    /// What each binding of the object contributes, with what it contributed last in place of no opinion. The second
    /// is false when somebody has neither.
    pub(super) fn contributions(&self, want: &ObjectWant) -> (BTreeMap<String, Vec<Block>>, bool) {
        let mut all = BTreeMap::new();
        let mut complete = true;
        for (name, contribution) in &want.contributions {
            let last = || self.memory.as_ref().and_then(|memory| memory.contributions.get(name).cloned());
            let blocks = match contribution {
                Contribution::Blocks(blocks) => Some(blocks.clone()),
                Contribution::NoOpinion | Contribution::Error(_) => last(),
            };
            match blocks {
                Some(blocks) => drop(all.insert(name.clone(), blocks)),
                None => complete = false,
            }
        }
        (all, complete)
    }

    /// The status of an object that there is nothing to do about.
    pub(super) fn idle(&self, daemon_id: &str) -> Status {
        let Some(object) = self.object.as_ref().filter(|_| self.paused) else {
            return if self.paused { Status::paused() } else { Status::default() };
        };
        match object.annotations.get(MANAGED_BY) {
            Some(id) if id != daemon_id => Status::left_to(id, &object.reference),
            Some(_ours) => Status::not_listed(),
            None => Status::paused(),
        }
    }

    /// Of a pool: whether its list is the one that its controller knows, although it has not said so of this generation.
    /// LB-IPAM passes over a change that is taken back before it looks, and goes on saying the generation before it.
    pub(super) fn is_as_known(&self) -> bool {
        let Some(object) = &self.object else { return false };
        let observed = object.observed.as_ref().filter(|observed| observed.conflict.is_none() && !observed.is_disabled);
        let known = self.known_list.as_ref().zip(observed.and_then(|observed| observed.generation));
        known.is_some_and(|((generation, list), seen)| *generation == seen && *list == object.list)
    }

    /// Keeps the list that the controller of a pool knows.
    pub(super) fn note_known_list(&mut self) {
        let Some(object) = &self.object else { return self.known_list = None };
        let seen = object.observed.as_ref().and_then(|observed| observed.generation);
        if let Some(generation) = seen.filter(|seen| Some(*seen) == object.generation) {
            self.known_list = Some((generation, object.list.clone()));
        }
    }

    /// Whether what was given up in a pool has stood there for long enough.
    pub(super) fn is_to_be_tidied(&self, now: Instant) -> bool {
        self.freed.is_some_and(|at| at + FREED <= now)
    }

    /// Whether any of these addresses belongs on it.
    pub(super) fn wants_any(&self, addresses: &[Interval]) -> bool {
        let known = self.want.iter().flat_map(|want| &want.known);
        known.filter(|(role, _)| *role != Role::Known).any(|(_, range)| addresses.iter().any(|one| one.overlaps(range)))
    }

    /// Of a Service: what a patch without an answer asks for, or what one that got none may have asked for.
    pub(super) fn pins_under_way(&self) -> Vec<Ipv6Addr> {
        let flight = self.flight.iter().filter_map(|flight| flight.patch.memory.as_ref());
        let tried = flight.flat_map(|memory| &memory.recorded).chain(&self.uncertain);
        tried.map(|block| block.interval().first()).collect()
    }

    /// What it was refused may be accepted now. Whether there was such a refusal; one that may be on its way will not
    /// be waited out.
    pub(super) fn retry_what_was_refused(&mut self, now: Instant) -> bool {
        if let Some(flight) = &mut self.flight {
            flight.overtaken = true;
        }
        let refusal = self.failure.as_mut().filter(|failure| failure.is_refusal());
        refusal.map(|failure| failure.retry_at = now).is_some()
    }

    /// Whether there is any reason left to keep this slot.
    pub(super) fn is_empty(&self) -> bool {
        self.object.is_none()
            && self.want.is_none()
            && self.carrier.is_none()
            && !self.paused
            && self.memory.is_none()
            && self.flight.is_none()
    }
}
