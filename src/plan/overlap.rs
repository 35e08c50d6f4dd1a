//! Two pools of one cluster must not hold the same address: Cilium disables the newer pool, MetalLB refuses the write.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::{ANNOTATION, Contribution, Finding, ObjectWant, Role};
use crate::config::ObjectRef;
use crate::prefix::Interval;

/// Finds the pools that want an address of the current generation which another pool of the cluster holds.
///
/// Pools with a binding come before those with annotations, then they go by name; the later one loses and is not to be
/// written. One that is not written for another reason claims nothing.
pub fn overlaps(wants: &[(ObjectRef, ObjectWant)]) -> Vec<(ObjectRef, Finding)> {
    let mut pools: Vec<&(ObjectRef, ObjectWant)> =
        wants.iter().filter(|(object, want)| object.kind.is_pool() && !want.is_blocked()).collect();
    pools.sort_by_key(|(object, want)| (is_annotated(want), object));
    let mut claims = Claims::default();
    let mut lost = Vec::new();
    for (object, want) in pools {
        let wanted = current(object, want);
        match wanted.iter().find_map(|interval| claims.holder(interval)) {
            Some((interval, holder)) => lost.push((object.clone(), finding(object, want, interval, holder))),
            None => claims.add(&wanted, object, want),
        }
    }
    lost
}

/// Who holds which addresses: disjoint intervals, by their first address.
#[derive(Default)]
struct Claims<'a>(BTreeMap<Ipv6Addr, (Interval, Holder<'a>)>);

type Holder<'a> = (&'a ObjectRef, &'a ObjectWant);

impl<'a> Claims<'a> {
    fn add(&mut self, intervals: &[Interval], object: &'a ObjectRef, want: &'a ObjectWant) {
        self.0.extend(intervals.iter().map(|interval| (interval.first(), (*interval, (object, want)))));
    }

    /// They are disjoint, so only the last one that starts before the end can reach into it.
    fn holder(&self, interval: &Interval) -> Option<(Interval, Holder<'a>)> {
        let (_, (claimed, holder)) = self.0.range(..=interval.last()).next_back()?;
        claimed.overlaps(interval).then_some((*claimed, *holder))
    }
}

/// The disjoint intervals of the current generation that would be written.
fn current(object: &ObjectRef, want: &ObjectWant) -> Vec<Interval> {
    let is_current =
        |block: &Interval| want.known.iter().any(|(role, interval)| *role == Role::Current && interval.contains(block));
    want.blocks(object.kind).iter().map(super::Block::interval).filter(is_current).collect()
}

fn is_annotated(want: &ObjectWant) -> bool {
    want.contributions.iter().any(|(who, _)| who == ANNOTATION)
}

fn finding(object: &ObjectRef, want: &ObjectWant, interval: Interval, (holder, theirs): Holder<'_>) -> Finding {
    let why = if is_annotated(want) == is_annotated(theirs) {
        "comes first by name"
    } else {
        "has a binding, which counts before annotations"
    };
    let message = format!(
        "{object} ({}) wants addresses of {interval}, which are on {holder} ({}) already. Two pools with the same \
         address break each other, so {object} is left as it is: {holder} {why}. Give each a range of its own.",
        sources(want),
        sources(theirs),
    );
    Finding { reason: "Overlap", message, blocks_write: true }
}

/// Who contributes to it: "binding a", "bindings a, b" or "by annotation".
fn sources(want: &ObjectWant) -> String {
    if is_annotated(want) {
        return "by annotation".to_owned();
    }
    let computed = |(who, contribution): &(String, Contribution)| match contribution {
        Contribution::Blocks(_) => Some(who.clone()),
        Contribution::NoOpinion | Contribution::Error(_) => None,
    };
    let names: Vec<String> = want.contributions.iter().filter_map(computed).collect();
    format!("binding{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "))
}
