//! What one object should hold, from the bindings for it and from its own annotations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{
    ANNOTATION, Block, Catalogue, Computed, ComputedGeneration, Contribution, EntryError, Finding, ObjectWant, Role,
    Share, annotation, service::Bound,
};
use crate::config::{Binding, Kind, ObjectRef, Part, Strategy};
use crate::prefix::Interval;
use crate::time::Instant;

/// What the object `reference` with these annotations should hold.
///
/// `bindings` are those of its cluster, in file order; those for other objects are passed over. `discovery` says
/// whether annotations count at all. `None`: neither a binding nor an annotation of ours refers to it, so it is not
/// our object. A binding wins over the annotations.
pub fn object(
    reference: &ObjectRef,
    annotations: &BTreeMap<String, String>,
    bindings: &[Binding],
    discovery: bool,
    catalogue: &Catalogue,
) -> Option<ObjectWant> {
    let request = if discovery { annotation::read(annotations, catalogue) } else { None };
    let bindings: Vec<&Binding> = bindings.iter().filter(|binding| binding.target == *reference).collect();
    if bindings.is_empty() {
        return request.map(|request| of_annotations(reference, &request, catalogue));
    }
    let mut findings = Vec::new();
    findings.extend(replace_beside_append(reference, &bindings));
    findings.extend(request.and_then(|request| differs(reference, &request, &bindings)));
    let wishes = bindings.iter().map(|binding| Wish {
        who: &binding.name,
        dynamic_prefix: &binding.dynamic_prefix,
        computed: catalogue.dynamic_prefixes.get(&binding.dynamic_prefix),
        part: binding.part.clone(),
    });
    let replace = bindings.iter().any(|binding| binding.strategy == Strategy::Replace);
    Some(ObjectWant { replace, findings, ..want(&wishes.collect::<Vec<_>>()) })
}

/// The parts of DynamicPrefixes that belong on the object `reference`, by its bindings, else by its annotations.
pub fn parts(
    reference: &ObjectRef,
    annotations: &BTreeMap<String, String>,
    bindings: &[Binding],
    discovery: bool,
    catalogue: &Catalogue,
) -> Vec<Bound> {
    let bound = |dynamic_prefix: &str, part| Bound { dynamic_prefix: dynamic_prefix.to_owned(), part };
    let bindings: Vec<&Binding> = bindings.iter().filter(|binding| binding.target == *reference).collect();
    if !bindings.is_empty() {
        return bindings.iter().map(|binding| bound(&binding.dynamic_prefix, binding.part.clone())).collect();
    }
    let request = if discovery { annotation::read(annotations, catalogue) } else { None };
    let part = |request: annotation::Request<'_>| Some(bound(request.dynamic_prefix, request.part_on(reference.kind)?));
    request.and_then(part).into_iter().collect()
}

impl ObjectWant {
    /// The list that the object should hold, as far as its contributions can be computed; see
    /// [`blocks`](super::blocks()). What a contribution without opinion or in error left there is not in it.
    pub fn blocks(&self, kind: Kind) -> Vec<Block> {
        let computed = self.contributions.iter().filter_map(|(_, contribution)| match contribution {
            Contribution::Blocks(blocks) => Some(blocks),
            Contribution::NoOpinion | Contribution::Error(_) => None,
        });
        super::blocks(kind, &self.known, computed.flatten().copied())
    }

    /// Whether a finding keeps the object as it is.
    pub fn is_blocked(&self) -> bool {
        self.findings.iter().any(|finding| finding.blocks_write)
    }
}

/// One binding, or the annotations, ready to be computed.
struct Wish<'a> {
    who: &'a str,
    dynamic_prefix: &'a str,
    /// `None`: the catalogue does not know it (yet), so there is no opinion.
    computed: Option<&'a Computed>,
    part: Part,
}

fn of_annotations(reference: &ObjectRef, request: &annotation::Request<'_>, catalogue: &Catalogue) -> ObjectWant {
    let computed = catalogue.dynamic_prefixes.get(request.dynamic_prefix);
    if let Some(part) = request.part_on(reference.kind) {
        return want(&[Wish { who: ANNOTATION, dynamic_prefix: request.dynamic_prefix, computed, part }]);
    }
    let message = format!(
        "{reference} names the DynamicPrefix \"{}\" but no part of it, and a pool never gets a whole prefix unasked, \
         because the on-link /64 holds the router and the hosts. Annotate it with {} or {}, or with {}: \"true\" if \
         the whole prefix is meant.",
        request.dynamic_prefix,
        annotation::ADDRESS_RANGE,
        annotation::SUBNET,
        annotation::WHOLE,
    );
    let error = EntryError { entry: "whole".to_owned(), message: message.clone() };
    ObjectWant {
        contributions: vec![(ANNOTATION.to_owned(), Contribution::Error(error))],
        findings: vec![Finding { reason: "PoolNeedsRange", message, blocks_write: true }],
        ..want(&[Wish {
            who: ANNOTATION,
            dynamic_prefix: request.dynamic_prefix,
            computed,
            part: Part::Named(Vec::new()),
        }])
    }
}

fn want(wishes: &[Wish<'_>]) -> ObjectWant {
    ObjectWant {
        contributions: wishes.iter().map(|wish| (wish.who.to_owned(), contribution(wish))).collect(),
        replace: false,
        shares: shares(wishes),
        known: known(wishes),
        drain_period: drain_period(wishes),
        strays_since: strays_since(wishes),
        findings: Vec::new(),
    }
}

/// The blocks of the current generation, then of the draining ones, newest first.
fn contribution(wish: &Wish<'_>) -> Contribution {
    let Some(computed) = wish.computed.filter(|computed| computed.has_opinion) else {
        return Contribution::NoOpinion;
    };
    if let Some(error) = unknown_name(computed, &wish.part) {
        return Contribution::Error(error);
    }
    let mut blocks = Vec::new();
    for generation in &computed.generations {
        match (generation.role, of_generation(generation, &wish.part)) {
            (Role::Current, Err(error)) => return Contribution::Error(error),
            (Role::Current | Role::Draining, Ok(found)) => blocks.extend(found),
            // A former prefix of another length may have no room for it; then nothing of it was ever published.
            (Role::Draining, Err(_)) | (Role::Known, _) => {}
        }
    }
    let mut seen = BTreeSet::new();
    blocks.retain(|block| seen.insert(*block));
    Contribution::Blocks(blocks)
}

/// What each wish has in each generation.
fn shares(wishes: &[Wish<'_>]) -> Vec<Share> {
    let mut shares = Vec::new();
    for (contribution, wish) in wishes.iter().enumerate() {
        for (computed, generation) in wish.computed.iter().flat_map(|c| c.generations.iter().map(move |g| (c, g))) {
            if let Ok(blocks) = of_generation(generation, &wish.part) {
                shares.push(Share {
                    contribution,
                    dynamic_prefix: wish.dynamic_prefix.to_owned(),
                    prefix: generation.prefix,
                    role: generation.role,
                    dead: generation.dead,
                    mode: computed.mode,
                    blocks,
                });
            }
        }
    }
    shares.shrink_to_fit();
    shares
}

/// A name that no generation has is wrong even while there is nothing to publish.
pub(super) fn unknown_name(computed: &Computed, part: &Part) -> Option<EntryError> {
    let (Part::Named(names), Some(generation)) = (part, computed.generations.first()) else { return None };
    let unknown = names.iter().find(|name| !generation.parts.contains_key(*name))?;
    generation.part(unknown).err()
}

pub(super) fn of_generation(generation: &ComputedGeneration, part: &Part) -> Result<Vec<Block>, EntryError> {
    match part {
        Part::Whole if generation.whole.is_empty() => {
            let message = format!("The server excludes all of {} from use.", generation.prefix);
            Err(EntryError { entry: "whole".to_owned(), message })
        }
        Part::Whole => Ok(generation.whole.clone()),
        Part::Named(names) => {
            let parts = names.iter().map(|name| generation.part(name));
            Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
        }
    }
}

/// Everything these wishes compute, the newest generations of all of them first; each interval once. One part in
/// error does not hide the others.
fn known(wishes: &[Wish<'_>]) -> Vec<(Role, Interval)> {
    let mut all: Vec<(Role, usize, Interval)> = Vec::new();
    for wish in wishes {
        let generations = wish.computed.map_or(&[][..], |computed| &computed.generations);
        for (age, generation) in generations.iter().enumerate() {
            let blocks: Vec<Block> = match &wish.part {
                Part::Whole => generation.whole.clone(),
                Part::Named(names) => {
                    names.iter().filter_map(|name| generation.part(name).ok()).flatten().copied().collect()
                }
            };
            all.extend(blocks.iter().map(|block| (generation.role, age, block.interval())));
        }
    }
    all.sort_by_key(|(role, age, _)| (*role, *age));
    let mut seen = BTreeSet::new();
    let each = all.into_iter().filter(|(_, _, interval)| seen.insert(*interval));
    let mut known: Vec<_> = each.map(|(role, _, interval)| (role, interval)).collect();
    // A pool keeps this for as long as its prefixes stay.
    known.shrink_to_fit();
    known
}

/// The longest of them; `None`, without limit, is longer than any.
fn drain_period(wishes: &[Wish<'_>]) -> Option<Duration> {
    let periods = wishes.iter().filter_map(|wish| wish.computed).map(|computed| computed.drain_period);
    periods.max_by_key(|period| period.unwrap_or(Duration::MAX)).unwrap_or_default()
}

/// The earliest of them; `None` is earlier than any.
fn strays_since(wishes: &[Wish<'_>]) -> Option<Instant> {
    wishes.iter().filter_map(|wish| wish.computed).map(|computed| computed.strays_since).min().flatten()
}

fn replace_beside_append(reference: &ObjectRef, bindings: &[&Binding]) -> Option<Finding> {
    let of = |strategy| bindings.iter().find(|binding| binding.strategy == strategy);
    let (replace, append) = (of(Strategy::Replace)?, of(Strategy::Append)?);
    let message = format!(
        "The binding \"{}\" wants to replace the list of {reference} and the binding \"{}\" to append to it; the \
         object is left as it is. Give both the same updateStrategy.",
        replace.name, append.name
    );
    Some(Finding { reason: "ReplaceBesideAppend", message, blocks_write: true })
}

/// A finding when the annotations ask for something else than the bindings.
fn differs(reference: &ObjectRef, request: &annotation::Request<'_>, bindings: &[&Binding]) -> Option<Finding> {
    let bound: BTreeSet<(&str, Option<&str>)> =
        bindings.iter().flat_map(|binding| names(&binding.dynamic_prefix, &binding.part)).collect();
    let same = match &request.part {
        Some(part) => names(request.dynamic_prefix, part).into_iter().collect::<BTreeSet<_>>() == bound,
        None => bound.iter().all(|(dynamic_prefix, _)| *dynamic_prefix == request.dynamic_prefix),
    };
    if same {
        return None;
    }
    let who: Vec<String> = bindings.iter().map(|binding| format!("\"{}\"", binding.name)).collect();
    let asked: Vec<String> =
        request.part.iter().flat_map(|part| names(request.dynamic_prefix, part)).map(show).collect();
    let asked = if asked.is_empty() { request.dynamic_prefix.to_owned() } else { asked.join(", ") };
    let message = format!(
        "The annotations of {reference} ask for {asked}, but it is bound to {} (by {}), and a binding wins. Remove the \
         annotations, or make them say the same.",
        bound.into_iter().map(show).collect::<Vec<_>>().join(", "),
        who.join(", "),
    );
    Some(Finding { reason: "BindingWins", message, blocks_write: false })
}

/// A DynamicPrefix and the parts of it; no name means the whole.
pub(super) fn names<'a>(dynamic_prefix: &'a str, part: &'a Part) -> Vec<(&'a str, Option<&'a str>)> {
    match part {
        Part::Whole => vec![(dynamic_prefix, None)],
        Part::Named(names) => names.iter().map(|name| (dynamic_prefix, Some(name.as_str()))).collect(),
    }
}

pub(super) fn show((dynamic_prefix, part): (&str, Option<&str>)) -> String {
    part.map_or_else(|| format!("the whole of {dynamic_prefix}"), |part| format!("{dynamic_prefix}/{part}"))
}
