//! What a table of routers, or the observer of another DHCPv6 client, should know from before.

use std::cmp::Reverse;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{Arbiter, Current, Loss, Previous, Snapshot};
use crate::source::{Cut, Offer, SourceId, SourceKind};
use crate::time::{Deadline, Instant};

/// What a former run has heard on `interface` and its routers may take back: the prefixes in use first, then the former
/// ones that live, newest first. Of a former one nothing can be used any more until a router lists it again.
pub fn seeds<'a>(snapshots: impl Iterator<Item = &'a Snapshot> + Clone, interface: &str) -> Vec<Offer> {
    let heard = |source: &SourceId| {
        source.kind == SourceKind::RouterAdvertisement && source.interface.as_deref() == Some(interface)
    };
    let current = snapshots.clone().filter_map(|snapshot| snapshot.current.as_ref());
    let current: Vec<&Current> = current.filter(|current| heard(&current.source)).collect();
    // What is part of a prefix in use, or holds it, was cut by other settings: it says nothing of that one.
    let is_in_use = |prefix: Ipv6Net| current.iter().any(|current| overlap(current.prefix, prefix));
    let former = snapshots.flat_map(|snapshot| &snapshot.history);
    let former = former.filter(|previous| heard(&previous.source) && !previous.is_dead());
    let mut former: Vec<&Previous> = former.filter(|previous| !is_in_use(previous.prefix)).collect();
    former.sort_by_key(|previous| Reverse(previous.deprecated_at));
    current.iter().flat_map(|current| of_current(current)).chain(former.into_iter().flat_map(of_former)).collect()
}

/// What a former run has seen another DHCPv6 client hold on `interface`: what is in use, as long as it was not lost, and,
/// cut, what has ended since the machine booted. Of that a route may stand yet, which says nothing.
pub fn observed(arbiter: &Arbiter, interface: &str, now: Instant) -> Vec<Offer> {
    let source = SourceId::on(SourceKind::Observed, interface);
    let Some(snapshot) = arbiter.snapshot() else { return Vec::new() };
    let current = snapshot.current.as_ref().filter(|current| current.source == source);
    let seen = |prefix: Ipv6Net, valid_until: Deadline, first_seen: Instant| Offer {
        prefix,
        recipient: Some(arbiter.name().to_owned()),
        router: None,
        preferred_until: valid_until,
        valid_until,
        excluded: Vec::new(),
        first_seen,
        cut: None,
    };
    let held = current.filter(|current| current.lost.is_none()).map(|current| Offer {
        preferred_until: current.preferred_until,
        excluded: current.excluded.clone(),
        ..seen(current.prefix, current.valid_until, current.acquired_at)
    });
    // What ended while nobody watched may have been renewed.
    let lost = current.filter(|current| current.lost == Some(Loss::Dead) && !arbiter.is_unwatched(current.prefix));
    let lost = lost
        .and_then(|lost| Some((seen(lost.prefix, lost.valid_until, lost.acquired_at), lost.valid_until.instant()?)));
    let former = snapshot.history.iter().filter(|previous| previous.source == source);
    let former = former.filter_map(|previous| {
        // What ended after something else had taken its place may have been renewed: nobody may have watched since.
        let ended_at = previous.valid_until.instant().filter(|end| *end <= previous.deprecated_at.min(now));
        // The same client has another one in its place.
        let ended_at = ended_at.or_else(|| current.map(|_| previous.deprecated_at))?;
        Some((seen(previous.prefix, previous.valid_until, previous.acquired_at), ended_at))
    });
    let ended = lost.into_iter().chain(former).filter(|(_, at)| *at >= Instant::BOOT);
    let ended = ended.map(|(offer, at)| Offer { preferred_until: Deadline::At(at), cut: Some(Cut::Unlisted), ..offer });
    held.into_iter().chain(ended).collect()
}

fn of_current(current: &Current) -> impl Iterator<Item = Offer> + '_ {
    let lifetimes = (current.preferred_until, current.valid_until);
    current.routers.iter().map(move |router| offer(current.prefix, *router, lifetimes, current.acquired_at))
}

fn of_former(previous: &Previous) -> impl Iterator<Item = Offer> + '_ {
    let lifetimes = (Deadline::At(previous.deprecated_at).min(previous.valid_until), previous.valid_until);
    previous.routers.iter().map(move |router| Offer {
        cut: Some(Cut::Deprecated),
        ..offer(previous.prefix, *router, lifetimes, previous.acquired_at)
    })
}

fn offer(prefix: Ipv6Net, router: Ipv6Addr, lifetimes: (Deadline, Deadline), first_seen: Instant) -> Offer {
    let (preferred_until, valid_until) = lifetimes;
    Offer {
        prefix,
        recipient: None,
        router: Some(router),
        preferred_until,
        valid_until,
        excluded: Vec::new(),
        first_seen,
        cut: None,
    }
}

fn overlap(one: Ipv6Net, other: Ipv6Net) -> bool {
    one.contains(&other) || other.contains(&one)
}
