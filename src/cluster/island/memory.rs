//! What we know of our part in an object, and what the store keeps of that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use super::carrier::v6;
use crate::cluster::entry::{self, Recorded};
use crate::cluster::object::{MANAGED_BY, Object};
use crate::cluster::service::{self, MANAGED_IPS, MANAGED_SUFFIX, MANAGED_TARGETS};
use crate::cluster::{Managed, addresses};
use crate::config::{Kind, ObjectRef};
use crate::plan::Block;
use crate::prefix::Interval;
use crate::time::Instant;

/// What we know of our part in an object: [`Managed`], read.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) uid: String,
    pub(super) contributions: BTreeMap<String, Vec<Block>>,
    /// Our entries on it, as last written or found in its record.
    pub(super) recorded: Vec<Block>,
    pub(super) unclaimed: BTreeSet<Interval>,
    pub(super) strays: BTreeMap<Interval, Instant>,
    /// Of a Service: ours, by annotation.
    pub(super) lists: BTreeMap<String, Vec<IpAddr>>,
    /// Of a Service: its host part.
    pub(super) host: Option<Ipv6Addr>,
}

impl Memory {
    /// Reads what the store kept. Without the record on the object, exactly what was contributed counts as ours.
    pub(super) fn from_managed(managed: &Managed) -> Self {
        if managed.object.kind == Kind::Service {
            return Self::of_service(managed);
        }
        let read = |texts: &[String]| texts.iter().filter_map(|text| entry::read_recorded(text)).collect::<Vec<_>>();
        let contributions: BTreeMap<_, _> =
            managed.contributions.iter().map(|(name, texts)| (name.clone(), read(texts))).collect();
        let unclaimed: BTreeSet<_> = read(&managed.unclaimed).iter().map(Block::interval).collect();
        let strays: BTreeMap<_, _> = managed
            .strays
            .iter()
            .filter_map(|(text, seen)| Some((entry::read_recorded(text)?.interval(), *seen)))
            .collect();
        let left = strays.keys().map(|stray| Block::Range(*stray));
        let recorded = contributions
            .values()
            .flatten()
            .copied()
            .flat_map(|block| entry::fit(managed.object.kind, block))
            .chain(left)
            .filter(|block| !unclaimed.contains(&block.interval()))
            .collect();
        Self { uid: managed.uid.clone(), contributions, recorded, unclaimed, strays, ..Self::default() }
    }

    /// A Service's contributions are its annotations with addresses of ours, and the host part.
    fn of_service(managed: &Managed) -> Self {
        let read = |texts: &[String]| texts.iter().filter_map(|text| entry::read_recorded(text)).collect::<Vec<_>>();
        let mut lists: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        let mut host = None;
        for (key, texts) in &managed.contributions {
            let addresses: Vec<IpAddr> = texts.iter().filter_map(|text| text.parse().ok()).collect();
            match (key == MANAGED_SUFFIX, addresses.first()) {
                (true, Some(IpAddr::V6(address))) => host = Some(*address),
                (true, _) => {}
                (false, _) => drop(lists.insert(key.clone(), addresses)),
            }
        }
        let ours: BTreeSet<Ipv6Addr> = lists.values().flatten().filter_map(|address| v6(*address)).collect();
        let strays = managed.strays.iter();
        Self {
            uid: managed.uid.clone(),
            recorded: ours.into_iter().map(|address| Block::Cidr(address.into())).collect(),
            unclaimed: read(&managed.unclaimed).iter().map(Block::interval).collect(),
            strays: strays.filter_map(|(text, seen)| Some((entry::read_recorded(text)?.interval(), *seen))).collect(),
            lists,
            host,
            ..Self::default()
        }
    }

    pub(super) fn to_managed(&self, object: &ObjectRef) -> Managed {
        let write = |block: &Block| Recorded(*block).to_string();
        let ranges = self.contributions.iter().map(|(name, blocks)| (name.clone(), blocks.iter().map(write).collect()));
        let lists = self.lists.iter().map(|(key, ours)| (key.clone(), ours.iter().map(IpAddr::to_string).collect()));
        let host = self.host.map(|host| (MANAGED_SUFFIX.to_owned(), vec![host.to_string()]));
        let range = |interval: &Interval| Recorded(Block::Range(*interval)).to_string();
        Managed {
            object: object.clone(),
            uid: self.uid.clone(),
            contributions: ranges.chain(lists).chain(host).collect(),
            unclaimed: self.unclaimed.iter().map(range).collect(),
            strays: self.strays.iter().map(|(stray, seen)| (range(stray), *seen)).collect(),
        }
    }

    /// `blocks` are ours too: a patch that got no answer may have put them there.
    pub(super) fn may_have_written(&mut self, blocks: &[Block]) {
        let known: BTreeSet<_> = self.recorded.iter().map(Block::interval).collect();
        self.recorded.extend(blocks.iter().filter(|block| !known.contains(&block.interval())));
    }

    /// Whether everything of ours, and the record of it, is on `object`.
    pub(super) fn is_whole_on(&self, object: &Object) -> bool {
        let kind = object.reference.kind;
        if kind == Kind::Service {
            return self.lists.iter().all(|(key, ours)| {
                let text = object.annotations.get(key).map(String::as_str).unwrap_or_default();
                let there: BTreeSet<IpAddr> = addresses::entries(text).filter_map(|it| it.parse().ok()).collect();
                ours.iter().all(|address| there.contains(address))
            }) && self.has_records_on(object)
                && self.has_marks_on(object);
        }
        let has_record = object.annotations.contains_key(crate::cluster::object::record_annotation(kind));
        let there: BTreeSet<_> =
            object.list.iter().filter_map(|value| entry::Entry::parse(kind, value)?.v6()).collect();
        let has_marks = (has_record && object.annotations.contains_key(MANAGED_BY)) || self.recorded.is_empty();
        has_marks && self.recorded.iter().all(|block| there.contains(&block.interval()))
    }

    /// Whether it says whose it is and which host part it keeps.
    fn has_marks_on(&self, object: &Object) -> bool {
        let has = |key| object.annotations.contains_key(key);
        (self.lists.is_empty() || has(MANAGED_BY)) && (self.host.is_none() || has(MANAGED_SUFFIX))
    }

    /// Whether the records of a Service's lists are on it.
    fn has_records_on(&self, object: &Object) -> bool {
        let is_target = |key: &String| key.ends_with(&format!("/{}", service::TARGET));
        let (targets, pins): (Vec<&String>, Vec<&String>) = self.lists.keys().partition(|key| is_target(key));
        let has = |key| object.annotations.contains_key(key);
        (pins.is_empty() || has(MANAGED_IPS)) && (targets.is_empty() || has(MANAGED_TARGETS))
    }
}
