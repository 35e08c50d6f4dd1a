//! What bindings may not do to each other within one cluster.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::super::finding::{Report, quoted};
use super::super::{Kind, ObjectRef, Part, Strategy};
use super::binding::Draft;
use crate::prefix::Interval;

/// Compares the bindings of every cluster. Addresses are compared by their place in the prefix, so only those of one
/// DynamicPrefix are.
pub(super) fn check(drafts: &[&Draft<'_>], report: &mut Report<'_>) {
    let mut clusters: BTreeMap<&str, Vec<&Draft<'_>>> = BTreeMap::new();
    for draft in drafts {
        for cluster in &draft.clusters {
            clusters.entry(*cluster).or_default().push(draft);
        }
    }
    // Bindings for several clusters meet in each of them; the report has every finding once.
    for drafts in clusters.values() {
        strategies(drafts, report);
        pools(&once_per_object(drafts, report), report);
    }
}

fn strategies(drafts: &[&Draft<'_>], report: &mut Report<'_>) {
    let mut objects: BTreeMap<&ObjectRef, &Draft<'_>> = BTreeMap::new();
    for draft in drafts {
        let first = objects.entry(&draft.target).or_insert(draft);
        if first.strategy != draft.strategy {
            let word = |strategy| if strategy == Strategy::Replace { "Replace" } else { "Append" };
            let message = format!(
                "{} has updateStrategy {} for {}, {} has {}",
                draft.title(report),
                word(draft.strategy),
                draft.target,
                first.title(report),
                word(first.strategy),
            );
            report.error("replace-beside-append", draft.span, message).hint(
                "Replace removes the entries of others from the list, Append keeps them: choose one for this object",
            );
        }
    }
}

/// A piece of a prefix on an object.
struct Piece<'d> {
    draft: &'d Draft<'d>,
    /// The range or subnet; `None`: the whole prefix.
    name: Option<&'d str>,
    interval: Interval,
}

impl Piece<'_> {
    fn title(&self) -> String {
        match self.name {
            Some(name) => quoted(&format!("{}/{name}", self.draft.prefix)),
            None => format!("all of {}", quoted(self.draft.prefix)),
        }
    }
}

/// What every object gets, without what it gets a second time: that is merged, and said.
fn once_per_object<'d>(drafts: &[&'d Draft<'d>], report: &mut Report<'_>) -> Vec<Piece<'d>> {
    let mut first: BTreeMap<(&ObjectRef, &str, Option<&str>), &Draft<'_>> = BTreeMap::new();
    let mut pieces = Vec::new();
    for draft in drafts {
        for (name, intervals) in contents(draft) {
            if let Some(first) = first.get(&(&draft.target, draft.prefix, name)) {
                let piece = Piece { draft, name, interval: everything() };
                let message = format!("{} is on {} already, by {}", piece.title(), draft.target, first.title(report));
                report.note("same-twice", draft.span, message).hint("both are merged: the object gets it once");
                continue;
            }
            first.insert((&draft.target, draft.prefix, name), draft);
            pieces.extend(intervals.into_iter().map(|interval| Piece { draft, name, interval }));
        }
    }
    pieces
}

fn contents<'d>(draft: &'d Draft<'d>) -> Vec<(Option<&'d str>, Vec<Interval>)> {
    match draft.part {
        Part::Whole => vec![(None, vec![everything()])],
        Part::Named(_) => draft.ranges.iter().map(|range| (Some(range.name), range.intervals.clone())).collect(),
    }
}

fn everything() -> Interval {
    Interval::from(ipnet::Ipv6Net::default())
}

fn pools(pieces: &[Piece<'_>], report: &mut Report<'_>) {
    let mut pieces: Vec<&Piece<'_>> = pieces.iter().filter(|piece| piece.draft.target.kind.is_pool()).collect();
    let key = |piece: &Piece<'_>| -> (Ipv6Addr, Ipv6Addr) { (piece.interval.first(), piece.interval.last()) };
    pieces.sort_by(|a, b| (a.draft.prefix, key(a), a.draft.span).cmp(&(b.draft.prefix, key(b), b.draft.span)));
    // Those that reach up to the piece looked at: it overlaps them all.
    let mut open: Vec<&Piece<'_>> = Vec::new();
    let mut conflicts = 0;
    for piece in pieces {
        open.retain(|other| {
            other.draft.prefix == piece.draft.prefix && piece.interval.first() <= other.interval.last()
        });
        for other in &open {
            let (first, second) = if other.draft.span <= piece.draft.span { (*other, piece) } else { (piece, *other) };
            conflict(first, second, report);
            conflicts += 1;
        }
        if conflicts > MAX_CONFLICTS {
            return;
        }
        open.push(piece);
    }
}

/// More are not worth the time that comparing everything with everything takes.
const MAX_CONFLICTS: usize = 200;

fn conflict(first: &Piece<'_>, second: &Piece<'_>, report: &mut Report<'_>) {
    let is_same = first.name == second.name;
    let message = format!(
        "{} puts {} on {}, which {} {}{}",
        second.draft.title(report),
        second.title(),
        second.draft.target,
        if is_same { "is also on" } else { "overlaps" },
        if is_same { first.draft.target.to_string() } else { format!("{} on {}", first.title(), first.draft.target) },
        if first.draft.span == second.draft.span {
            String::new()
        } else {
            format!(", put there by {}", first.draft.title(report))
        },
    );
    report.error("overlap", second.draft.span, message).hint(consequence(first, second));
}

fn consequence(first: &Piece<'_>, second: &Piece<'_>) -> &'static str {
    let (one, other) = (&first.draft.target, &second.draft.target);
    match (one.kind, other.kind) {
        _ if one == other => "the entries of one pool must not overlap: bind one of the two, or part the ranges",
        (Kind::CiliumLoadBalancerIPPool, Kind::CiliumLoadBalancerIPPool) => {
            "Cilium disables the newer of two pools that overlap: bind one of them, or part the ranges"
        }
        (Kind::IPAddressPool, Kind::IPAddressPool) => {
            "MetalLB refuses a pool that overlaps another one: bind one of them, or part the ranges"
        }
        _ => "two controllers would hand out the same address: bind one of the pools, or part the ranges",
    }
}
