//! The annotations of a Service that hold addresses: what is ours in them, and the one patch that sets them right.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::IN_DNS;
use super::super::memory::Memory;
use super::super::slot::Patch;
use super::v6;
use crate::cluster::addresses::{self, Goal, Merged, Owned, Standing};
use crate::cluster::object::{MANAGED_BY, Object};
use crate::cluster::service::{self, MANAGED_IPS, MANAGED_SUFFIX, MANAGED_TARGETS};
use crate::cluster::transition::Allocator;
use crate::config::EXTERNAL_DNS;
use crate::plan::{Block, Role};
use crate::prefix::Interval;
use crate::time::Instant;

/// The annotations of a Service, and what is known about them.
pub(super) struct Lists<'a> {
    pub(super) object: &'a Object,
    pub(super) memory: Option<&'a Memory>,
    /// What it refers to in every known generation.
    pub(super) known: &'a [(Role, Interval)],
    pub(super) id: &'a String,
}

/// What should stand in them.
pub(super) struct Plan<'a> {
    /// Whose list holds the pins.
    pub(super) allocator: Option<Allocator>,
    pub(super) pins: Vec<IpAddr>,
    pub(super) drain_period: Option<Duration>,
    pub(super) strays_since: Option<Instant>,
    pub(super) prefixes: &'a [Interval],
    pub(super) external_dns: &'a [String],
    /// `None`: DNS is not ours to say.
    pub(super) targets: Option<Vec<IpAddr>>,
    /// `None`: not known yet.
    pub(super) host: Option<Ipv6Addr>,
}

impl<'a> Plan<'a> {
    /// Nothing of ours stays.
    pub(super) const fn release(external_dns: &'a [String]) -> Self {
        Self {
            allocator: None,
            pins: Vec::new(),
            drain_period: Some(Duration::ZERO),
            strays_since: None,
            prefixes: &[],
            external_dns,
            targets: None,
            host: None,
        }
    }
}

/// What a [`Plan`] makes of them.
#[derive(Default)]
pub(super) struct Draft {
    /// The merge patch; `None`: all is as it should be.
    pub(super) content: Option<Value>,
    pub(super) desired: Vec<String>,
    pub(super) foreign: Vec<String>,
    pub(super) next_stray: Option<Instant>,
    added: Vec<String>,
    removed: Vec<String>,
    /// Ours, by annotation.
    lists: BTreeMap<String, Vec<IpAddr>>,
    host: Option<Ipv6Addr>,
    unclaimed: BTreeSet<Ipv6Addr>,
    strays: BTreeMap<Ipv6Addr, Instant>,
}

const ALLOCATORS: [Allocator; 2] = [Allocator::Cilium, Allocator::MetalLb];

impl Lists<'_> {
    /// Whose the addresses are that it asks `allocator` for.
    pub(super) fn pins(&self, allocator: Allocator) -> Owned {
        let record = self.record(MANAGED_IPS);
        let (unclaimed, strays) = self.remembered();
        addresses::owned(&Standing {
            text: service::pins(&self.object.annotations, allocator),
            record: record.as_deref(),
            unclaimed: &unclaimed,
            strays: &strays,
            known: self.known,
        })
    }

    /// The IPv6 addresses that DNS names on our behalf, and whether all annotations name the same.
    pub(super) fn named(&self, external_dns: &[String]) -> (Vec<Ipv6Addr>, bool) {
        let record = self.record(MANAGED_TARGETS);
        let (unclaimed, strays) = self.remembered();
        let mut all: Vec<Ipv6Addr> = Vec::new();
        let mut each: Vec<BTreeSet<Ipv6Addr>> = Vec::new();
        for prefix in external_dns {
            let key = service::target_key(prefix);
            let owned = addresses::owned(&Standing {
                text: self.object.annotations.get(&key).map(String::as_str),
                record: record.as_deref(),
                unclaimed: &unclaimed,
                strays: &strays,
                known: self.known,
            });
            let ours: Vec<_> = owned.ours.into_iter().filter_map(v6).collect();
            each.push(ours.iter().copied().collect());
            for address in ours {
                if !all.contains(&address) {
                    all.push(address);
                }
            }
        }
        let agree = each.windows(2).all(|pair| matches!(pair, [one, other] if one == other));
        (all, agree)
    }

    /// What is ours by the record on the object, else by what we remember; `None`: nothing is known.
    fn record(&self, key: &str) -> Option<Vec<IpAddr>> {
        if let Some(text) = self.object.annotations.get(key) {
            return Some(addresses::read_record(text));
        }
        let Some(memory) = self.memory else {
            // We managed it and nothing of ours was in it.
            return (self.object.annotations.get(MANAGED_BY) == Some(self.id)).then(Vec::new);
        };
        let is_pin = |list: &str| ALLOCATORS.iter().any(|allocator| service::pin_key(*allocator) == list);
        let of_kind = memory.lists.iter().filter(|(list, _)| is_pin(list) == (key == MANAGED_IPS));
        let mut ours: Vec<IpAddr> = of_kind.flat_map(|(_, addresses)| addresses).copied().collect();
        let is_listed = |address: &IpAddr| memory.lists.values().flatten().any(|listed| listed == address);
        // By patches that got no answer.
        let tried = memory.recorded.iter().map(|block| IpAddr::V6(block.interval().first()));
        ours.extend(tried.filter(|address| !is_listed(address)));
        Some(ours)
    }

    fn remembered(&self) -> (BTreeSet<Ipv6Addr>, BTreeMap<Ipv6Addr, Instant>) {
        let Some(memory) = self.memory else { return Default::default() };
        let unclaimed = memory.unclaimed.iter().map(Interval::first).collect();
        (unclaimed, memory.strays.iter().map(|(stray, seen)| (stray.first(), *seen)).collect())
    }

    /// What is to be written, and what follows from it.
    pub(super) fn draft(&self, plan: &Plan<'_>, now: Instant) -> Draft {
        let mut work = Work { lists: self, annotations: Map::new(), draft: Draft::default() };
        let pins = work.pins(plan, now);
        let targets = work.targets(plan, now);
        work.record(MANAGED_IPS, &pins);
        work.record(MANAGED_TARGETS, &targets);
        work.finish(plan)
    }
}

/// A draft in the making.
struct Work<'a> {
    lists: &'a Lists<'a>,
    annotations: Map<String, Value>,
    draft: Draft,
}

impl Work<'_> {
    fn pins(&mut self, plan: &Plan<'_>, now: Instant) -> Vec<IpAddr> {
        let record = self.lists.record(MANAGED_IPS);
        let mut all = Vec::new();
        for allocator in ALLOCATORS {
            let key = service::pin_key(allocator);
            let annotations = &self.lists.object.annotations;
            let is_own = plan.allocator == Some(allocator);
            let text =
                if is_own { service::pins(annotations, allocator) } else { annotations.get(key).map(String::as_str) };
            if !is_own && (text.is_none() || record.is_none()) {
                continue;
            }
            let goal = Goal {
                want: &plan.pins,
                prefixes: plan.prefixes,
                drain_period: plan.drain_period,
                strays_since: plan.strays_since,
                hold: false,
            };
            let merged = self.merge(text, record.as_deref(), if is_own { &goal } else { &Goal::RELEASE }, now);
            self.note(text, record.as_deref(), &merged, "");
            if is_own {
                self.draft.desired = texts(&merged.record);
                self.draft.strays.clone_from(&merged.strays);
                self.draft.next_stray = merged.next_stray;
            }
            self.draft.foreign.extend(merged.foreign.iter().cloned());
            self.put(key, &merged);
            all.extend(merged.record);
        }
        all
    }

    fn targets(&mut self, plan: &Plan<'_>, now: Instant) -> Vec<IpAddr> {
        let record = self.lists.record(MANAGED_TARGETS);
        let own: BTreeSet<String> = plan.external_dns.iter().map(|prefix| service::target_key(prefix)).collect();
        // Also those that were configured once.
        let written = self.lists.memory.into_iter().flat_map(|memory| memory.lists.keys());
        let former = written.filter(|key| service::is_target(key)).cloned();
        let former = former.chain(EXTERNAL_DNS.map(service::target_key));
        let mut all: Vec<IpAddr> = Vec::new();
        for key in own.iter().cloned().chain(former).collect::<BTreeSet<_>>() {
            let text = self.lists.object.annotations.get(&key).map(String::as_str);
            let want = plan.targets.as_deref().filter(|_| own.contains(&key));
            // Where DNS is not ours to say, only what is recorded is taken back.
            if want.is_none() && (text.is_none() || record.is_none()) {
                continue;
            }
            let goal = want.map_or(Goal::RELEASE, |want| Goal {
                want,
                prefixes: plan.prefixes,
                drain_period: Some(Duration::ZERO),
                strays_since: None,
                hold: false,
            });
            let merged = self.merge(text, record.as_deref(), &goal, now);
            self.note(text, record.as_deref(), &merged, IN_DNS);
            self.put(&key, &merged);
            for address in merged.record {
                if !all.contains(&address) {
                    all.push(address);
                }
            }
        }
        all
    }

    fn merge(&mut self, text: Option<&str>, record: Option<&[IpAddr]>, goal: &Goal<'_>, now: Instant) -> Merged {
        let (unclaimed, strays) = self.lists.remembered();
        let standing = Standing { text, record, unclaimed: &unclaimed, strays: &strays, known: self.lists.known };
        let merged = addresses::merge(&standing, goal, now);
        self.draft.unclaimed.extend(&merged.unclaimed);
        merged
    }

    /// What comes and goes, for the log; each once, in however many annotations it stands.
    fn note(&mut self, text: Option<&str>, record: Option<&[IpAddr]>, merged: &Merged, kind: &str) {
        let stands = |address: &IpAddr| {
            addresses::entries(text.unwrap_or_default())
                .any(|entry| entry.parse().is_ok_and(|it: IpAddr| it == *address))
        };
        let before: Vec<_> = record.unwrap_or_default().iter().copied().filter(stands).collect();
        let tell = |these: &[IpAddr], those: &[IpAddr], to: &mut Vec<String>| {
            for address in these.iter().filter(|address| !those.contains(address)) {
                let told = format!("{address}{kind}");
                if !to.contains(&told) {
                    to.push(told);
                }
            }
        };
        tell(&merged.record, &before, &mut self.draft.added);
        tell(&before, &merged.record, &mut self.draft.removed);
    }

    /// Sets an annotation right. One that we have nothing in and that is absent stays so.
    fn put(&mut self, key: &str, merged: &Merged) {
        let standing = self.lists.object.annotations.get(key);
        if !merged.record.is_empty() {
            self.draft.lists.insert(key.to_owned(), merged.record.clone());
        }
        if merged.text.as_ref() == standing || standing.is_none() && merged.record.is_empty() {
            return;
        }
        self.annotations.insert(key.to_owned(), merged.text.clone().map_or(Value::Null, Value::String));
    }

    fn record(&mut self, key: &str, ours: &[IpAddr]) {
        let standing = self.lists.object.annotations.get(key);
        let recorded = standing.map(|text| addresses::read_record(text));
        match (recorded, ours.is_empty()) {
            (None, true) => {}
            // A blank annotation says nothing that its absence does not say better.
            (Some(_), true) => drop(self.annotations.insert(key.to_owned(), Value::Null)),
            (recorded, false) if !recorded.as_deref().is_some_and(|recorded| addresses::is_same(recorded, ours)) => {
                self.annotations.insert(key.to_owned(), Value::String(addresses::write_record(ours)));
            }
            (_, false) => {}
        }
    }

    fn finish(mut self, plan: &Plan<'_>) -> Draft {
        let standing = &self.lists.object.annotations;
        let is_release = plan.allocator.is_none();
        let recorded = service::recorded_suffix(standing);
        let suffix = match (plan.host, is_release) {
            (Some(host), false) if recorded != Some(host) => Some(Value::String(host.to_string())),
            (_, true) if standing.contains_key(MANAGED_SUFFIX) => Some(Value::Null),
            (Some(_) | None, _) => None,
        };
        // It goes with our first addresses; before, nobody needs to know that the Service is ours.
        let suffix = suffix.filter(|_| is_release || !self.draft.lists.is_empty());
        let has_something = !self.draft.lists.is_empty() || recorded.is_some();
        let writer = (!is_release && has_something).then_some(self.lists.id);
        if standing.get(MANAGED_BY) != writer && (is_release || writer.is_some()) {
            self.annotations.insert(MANAGED_BY.to_owned(), writer.map_or(Value::Null, |id| Value::String(id.clone())));
        }
        if let Some(suffix) = suffix {
            self.annotations.insert(MANAGED_SUFFIX.to_owned(), suffix);
        }
        self.draft.host = plan.host;
        let annotations = self.annotations;
        self.draft.content = (!annotations.is_empty()).then(|| json!({ "metadata": { "annotations": annotations } }));
        self.draft
    }
}

impl Draft {
    /// What is to be remembered once it is so.
    pub(super) fn memory(&self, object: &Object) -> Memory {
        let single = |address: Ipv6Addr| Block::Cidr(address.into());
        let ours: BTreeSet<Ipv6Addr> = self.lists.values().flatten().copied().filter_map(v6).collect();
        Memory {
            uid: object.uid.clone(),
            recorded: ours.into_iter().map(single).collect(),
            unclaimed: self.unclaimed.iter().map(|address| single(*address).interval()).collect(),
            strays: self.strays.iter().map(|(address, seen)| (single(*address).interval(), *seen)).collect(),
            // One that is not written down yet may still become another.
            host: self.host.filter(|_| !self.lists.is_empty() || object.annotations.contains_key(MANAGED_SUFFIX)),
            lists: self.lists.clone(),
            ..Memory::default()
        }
    }

    pub(super) fn into_patch(self, memory: Option<Memory>) -> Patch {
        let content = self.content.unwrap_or_default();
        Patch { content, added: self.added, removed: self.removed, memory }
    }
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}
