//! The shape of `state.json`, and its translation from and to what the deciders know.
//!
//! On disk every time is wall-clock time, as it was when the state was saved. Within one boot of the machine the boot-time
//! clock tells how long ago that was, so that a wall clock that is set anew neither revives nor ends anything. After
//! another boot only the wall clock can tell; a machine without a real-time clock may wake up in the past: a stored
//! lifetime is therefore never longer than it was when it was saved.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arbiter::{Current, Generation, Loss, Previous, PreviousState, Reason, Restored, Snapshot};
use crate::cluster::Managed;
use crate::config::{Kind, ObjectRef};
use crate::source::dhcpv6::{self, Duid};
use crate::source::{SourceId, SourceKind};
use crate::time::{Deadline, Epoch, Instant};

use super::lease;
use super::paused::Stored;

/// Everything that outlives the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// [`State::VERSION`]
    pub version: u32,
    /// When it was saved.
    pub saved_at: Timestamp,
    /// In which boot of the machine, and when in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<StoredBoot>,
    /// Whether it is read in the boot in which it was saved.
    #[serde(skip)]
    same_boot: bool,
    /// Every DynamicPrefix by name.
    pub dynamic_prefixes: BTreeMap<String, StoredPrefix>,
    /// Every object that is managed, by cluster: only these are ever released.
    pub managed: BTreeMap<String, Vec<StoredObject>>,
    /// What was withdrawn, by cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) paused: BTreeMap<String, Stored>,
    /// Every object of kind DynamicPrefix that is ours, by cluster: its uid by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub published: BTreeMap<String, BTreeMap<String, String>>,
    /// The DHCPv6 clients.
    #[serde(default, skip_serializing_if = "lease::Stored::is_empty")]
    dhcpv6: lease::Stored,
}

/// A moment in one boot of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredBoot {
    /// `/proc/sys/kernel/random/boot_id`
    id: String,
    /// Nanoseconds since the machine booted.
    nanoseconds: i64,
}

/// One DynamicPrefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredPrefix {
    last_generation: u64,
    current: Option<StoredCurrent>,
    history: Vec<StoredPrevious>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredCurrent {
    generation: u64,
    prefix: Ipv6Net,
    source: StoredSource,
    routers: Vec<Ipv6Addr>,
    acquired_at: Timestamp,
    preferred_until: Option<Timestamp>,
    valid_until: Option<Timestamp>,
    excluded: Vec<Ipv6Net>,
    lost: Option<StoredLoss>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredPrevious {
    generation: u64,
    prefix: Ipv6Net,
    source: StoredSource,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    routers: Vec<Ipv6Addr>,
    acquired_at: Timestamp,
    deprecated_at: Timestamp,
    valid_until: Option<Timestamp>,
    drain_ends_at: Option<Timestamp>,
    excluded: Vec<Ipv6Net>,
    draining: bool,
    /// A program that does not know of it reads that the prefix is dead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    released: bool,
    reason: StoredReason,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    died_later: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredSource {
    kind: String,
    interface: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StoredLoss {
    Deprecated,
    Unlisted,
    Dead,
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum StoredReason {
    Replaced,
    DrainPeriodOver,
    TooMany,
    Dead,
}

/// One object that is managed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredObject {
    kind: String,
    namespace: Option<String>,
    name: String,
    uid: String,
    contributions: BTreeMap<String, Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unclaimed: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    strays: BTreeMap<String, Timestamp>,
}

impl State {
    /// The version of the shape that this program reads and writes.
    pub const VERSION: u32 = 1;

    /// An empty state, saved at `epoch`.
    pub fn new(epoch: &Epoch) -> Self {
        Self {
            version: Self::VERSION,
            saved_at: epoch.wall_now(),
            boot: None,
            same_boot: false,
            dynamic_prefixes: BTreeMap::new(),
            managed: BTreeMap::new(),
            paused: BTreeMap::new(),
            published: BTreeMap::new(),
            dhcpv6: lease::Stored::default(),
        }
    }

    /// Says in which boot of the machine it is saved.
    #[must_use]
    pub fn saved_in(mut self, boot_id: Option<&str>, epoch: &Epoch) -> Self {
        self.boot = boot_id.map(|id| StoredBoot { id: id.to_owned(), nanoseconds: epoch.now().as_nanos() });
        self
    }

    /// Says in which boot of the machine it is read.
    #[must_use]
    pub fn read_in(mut self, boot_id: Option<&str>) -> Self {
        self.same_boot = boot_id.is_some() && boot_id == self.boot.as_ref().map(|boot| boot.id.as_str());
        self
    }

    /// The clocks to read this state's times with: those of the moment of saving within the same boot; otherwise the
    /// wall clock is taken to be no earlier than that moment.
    fn reading_epoch(&self, epoch: &Epoch) -> Epoch {
        match &self.boot {
            Some(boot) if self.same_boot => Epoch::new(Instant::from_nanos(boot.nanoseconds), self.saved_at),
            Some(_) | None => Epoch::new(epoch.now(), epoch.wall_now().max(self.saved_at)),
        }
    }

    /// The DUID of this host, once there is one.
    pub fn duid(&self) -> Option<Duid> {
        self.dhcpv6.duid()
    }

    /// Puts the DUID of this host into the state.
    pub fn set_duid(&mut self, duid: &Duid) {
        self.dhcpv6.set_duid(duid);
    }

    /// What the DHCPv6 clients knew, by interface.
    pub fn clients(&self, epoch: &Epoch) -> BTreeMap<String, dhcpv6::Memory> {
        self.dhcpv6.clients(&self.reading_epoch(epoch))
    }

    /// Puts what the DHCPv6 client of an interface knows into the state.
    pub fn insert_client(&mut self, interface: &str, memory: &dhcpv6::Memory, epoch: &Epoch) {
        self.dhcpv6.insert_client(interface, memory, epoch);
    }

    /// The other DHCPv6 clients that were seen on this host since it booted, by interface; a sentence each.
    pub fn other_clients(&self) -> BTreeMap<String, String> {
        let boot_id = self.boot.as_ref().filter(|_| self.same_boot).map(|boot| boot.id.as_str());
        self.dhcpv6.others(boot_id)
    }

    /// Puts another DHCPv6 client into the state that was seen on an interface. Forgotten at the next boot.
    pub fn insert_other_client(&mut self, interface: &str, seen: &str) {
        if let Some(boot) = &self.boot {
            self.dhcpv6.insert_other(interface, seen, &boot.id);
        }
    }

    /// What the arbiter of `name` starts from; `None` when it is not in the state, or names a source unknown here.
    pub fn restore(&self, name: &str, epoch: &Epoch) -> Option<Restored> {
        self.dynamic_prefixes.get(name)?.restore(&self.reading_epoch(epoch))
    }

    /// The managed objects of a cluster. Objects of a kind unknown here are left out.
    pub fn managed(&self, cluster: &str, epoch: &Epoch) -> Vec<Managed> {
        let epoch = self.reading_epoch(epoch);
        self.managed.get(cluster).into_iter().flatten().filter_map(|object| object.restore(&epoch)).collect()
    }

    /// Puts a DynamicPrefix into the state.
    pub fn insert_prefix(&mut self, name: &str, snapshot: &Snapshot, last_generation: Generation, epoch: &Epoch) {
        let stored = StoredPrefix {
            last_generation: last_generation.0,
            current: snapshot.current.as_ref().map(|current| StoredCurrent::new(current, epoch)),
            history: snapshot.history.iter().map(|previous| StoredPrevious::new(previous, epoch)).collect(),
        };
        self.dynamic_prefixes.insert(name.to_owned(), stored);
    }

    /// Puts a managed object into the state.
    pub fn insert_managed(&mut self, cluster: &str, managed: &Managed, epoch: &Epoch) {
        self.managed.entry(cluster.to_owned()).or_default().push(StoredObject::new(managed, epoch));
    }
}

impl StoredPrefix {
    fn restore(&self, epoch: &Epoch) -> Option<Restored> {
        let current = match &self.current {
            Some(current) => Some(current.restore(epoch)?),
            None => None,
        };
        let history = self.history.iter().filter_map(|previous| previous.restore(epoch)).collect();
        Some(Restored { snapshot: Snapshot { current, history }, last_generation: Generation(self.last_generation) })
    }
}

impl StoredCurrent {
    fn new(current: &Current, epoch: &Epoch) -> Self {
        Self {
            generation: current.generation.0,
            prefix: current.prefix,
            source: StoredSource::new(&current.source),
            routers: current.routers.clone(),
            acquired_at: epoch.wall(current.acquired_at),
            preferred_until: stored_deadline(current.preferred_until, epoch),
            valid_until: stored_deadline(current.valid_until, epoch),
            excluded: current.excluded.clone(),
            lost: current.lost.map(StoredLoss::from),
        }
    }

    fn restore(&self, epoch: &Epoch) -> Option<Current> {
        Some(Current {
            generation: Generation(self.generation),
            prefix: self.prefix,
            source: self.source.restore()?,
            routers: self.routers.clone(),
            acquired_at: epoch.instant(self.acquired_at),
            preferred_until: deadline(self.preferred_until, epoch),
            valid_until: deadline(self.valid_until, epoch),
            excluded: self.excluded.clone(),
            lost: self.lost.map(Loss::from),
        })
    }
}

impl StoredPrevious {
    fn new(previous: &Previous, epoch: &Epoch) -> Self {
        Self {
            generation: previous.generation.0,
            prefix: previous.prefix,
            source: StoredSource::new(&previous.source),
            routers: previous.routers.clone(),
            acquired_at: epoch.wall(previous.acquired_at),
            deprecated_at: epoch.wall(previous.deprecated_at),
            valid_until: stored_deadline(previous.valid_until, epoch),
            drain_ends_at: stored_deadline(previous.drain_ends_at, epoch),
            excluded: previous.excluded.clone(),
            draining: previous.state == PreviousState::Draining,
            released: previous.reason == Reason::Released,
            reason: previous.reason.into(),
            died_later: previous.died_later,
        }
    }

    fn restore(&self, epoch: &Epoch) -> Option<Previous> {
        Some(Previous {
            generation: Generation(self.generation),
            prefix: self.prefix,
            source: self.source.restore()?,
            routers: self.routers.clone(),
            acquired_at: epoch.instant(self.acquired_at),
            deprecated_at: epoch.instant(self.deprecated_at),
            valid_until: deadline(self.valid_until, epoch),
            drain_ends_at: deadline(self.drain_ends_at, epoch),
            excluded: self.excluded.clone(),
            state: if self.draining { PreviousState::Draining } else { PreviousState::Expired },
            reason: if self.released { Reason::Released } else { self.reason.into() },
            died_later: self.died_later,
        })
    }
}

impl StoredSource {
    fn new(source: &SourceId) -> Self {
        Self { kind: source.kind.as_str().to_owned(), interface: source.interface.clone(), url: source.url.clone() }
    }

    fn restore(&self) -> Option<SourceId> {
        let (kind, interface, url) = (SourceKind::from_name(&self.kind)?, self.interface.clone(), self.url.clone());
        Some(SourceId { kind, interface, url })
    }
}

impl StoredObject {
    fn new(managed: &Managed, epoch: &Epoch) -> Self {
        Self {
            kind: managed.object.kind.as_str().to_owned(),
            namespace: managed.object.namespace.clone(),
            name: managed.object.name.clone(),
            uid: managed.uid.clone(),
            contributions: managed.contributions.clone(),
            unclaimed: managed.unclaimed.clone(),
            strays: managed.strays.iter().map(|(entry, seen)| (entry.clone(), epoch.wall(*seen))).collect(),
        }
    }

    fn restore(&self, epoch: &Epoch) -> Option<Managed> {
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == self.kind)?;
        Some(Managed {
            object: ObjectRef { kind, namespace: self.namespace.clone(), name: self.name.clone() },
            uid: self.uid.clone(),
            contributions: self.contributions.clone(),
            unclaimed: self.unclaimed.clone(),
            strays: self.strays.iter().map(|(entry, seen)| (entry.clone(), epoch.instant(*seen))).collect(),
        })
    }
}

impl From<Loss> for StoredLoss {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Deprecated => Self::Deprecated,
            Loss::Unlisted => Self::Unlisted,
            Loss::Dead => Self::Dead,
            Loss::Refused => Self::Refused,
        }
    }
}

impl From<StoredLoss> for Loss {
    fn from(loss: StoredLoss) -> Self {
        match loss {
            StoredLoss::Deprecated => Self::Deprecated,
            StoredLoss::Unlisted => Self::Unlisted,
            StoredLoss::Dead => Self::Dead,
            StoredLoss::Refused => Self::Refused,
        }
    }
}

impl From<Reason> for StoredReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Replaced => Self::Replaced,
            Reason::DrainPeriodOver => Self::DrainPeriodOver,
            Reason::TooMany => Self::TooMany,
            Reason::Dead | Reason::Released => Self::Dead,
        }
    }
}

impl From<StoredReason> for Reason {
    fn from(reason: StoredReason) -> Self {
        match reason {
            StoredReason::Replaced => Self::Replaced,
            StoredReason::DrainPeriodOver => Self::DrainPeriodOver,
            StoredReason::TooMany => Self::TooMany,
            StoredReason::Dead => Self::Dead,
        }
    }
}

fn stored_deadline(deadline: Deadline, epoch: &Epoch) -> Option<Timestamp> {
    deadline.instant().map(|end: Instant| epoch.wall(end))
}

fn deadline(stored: Option<Timestamp>, epoch: &Epoch) -> Deadline {
    stored.map_or(Deadline::Never, |end| Deadline::At(epoch.instant(end)))
}
