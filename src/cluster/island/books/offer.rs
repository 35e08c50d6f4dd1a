//! A pool as it stands in the cluster, and whether its controller acts on that.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::cluster::entry::Entry;
use crate::cluster::object::{self, Object, Sight};
use crate::cluster::selector::Clientele;
use crate::config::Kind;
use crate::prefix::Interval;
use crate::time::Instant;

/// A controller that does not say which list it has loaded has done so by then: MetalLB takes some 30 ms.
const LOADS_WITHIN: Duration = Duration::from_secs(1);

/// The ranges of a pool as they stand in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Offer {
    pub(super) ranges: Vec<Interval>,
    pub(super) v4: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// What MetalLB counts in it.
    pub(super) count: Option<i64>,
    pub(super) force: Force,
    /// The Services that it serves; `None`: all.
    pub(super) clientele: Option<Box<Clientele>>,
}

/// Whether a pool's controller is known to act on its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Force {
    /// It has not seen it, or refuses it.
    No,
    /// It does not say; it will have seen it by then.
    From(Instant),
    Yes,
}

/// Whether a pool offers an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Offered {
    No,
    /// Most likely from then on.
    From(Instant),
    Yes,
}

impl Offer {
    pub(super) fn of(object: &Object, before: Option<&Self>, is_as_known: bool, now: Instant) -> Self {
        let kind = object.reference.kind;
        let entries = || object.list.iter().filter_map(|value| Entry::parse(kind, value));
        let ranges: Vec<_> = entries().filter_map(Entry::v6).collect();
        let v4 =
            entries().filter_map(|entry| if let Entry::V4(first, last) = entry { Some((first, last)) } else { None });
        let count = (kind == Kind::IPAddressPool).then(|| object::metallb_count(&object.list)).flatten();
        let same = before.filter(|before| before.ranges == ranges).map(|before| before.force);
        // That the count agrees says nothing if the list before had the same.
        let is_ambiguous = count.is_some() && before.is_some_and(|before| before.count == count);
        let later = Force::From(now + LOADS_WITHIN);
        let force = match (object::sight(object), same) {
            (Sight::NotSeen, Some(known @ Force::From(_))) if is_as_known => known,
            // It may be about to look at what was there in between.
            (Sight::NotSeen, _) if is_as_known => later,
            (Sight::NotSeen, _) => Force::No,
            (Sight::Seen, None) if is_ambiguous => later,
            (Sight::Seen, None | Some(Force::No | Force::Yes)) => Force::Yes,
            (Sight::Seen | Sight::CannotTell, Some(known @ Force::From(_))) => known,
            (Sight::CannotTell, Some(Force::Yes)) => Force::Yes,
            (Sight::CannotTell, Some(Force::No) | None) => later,
        };
        Self { ranges, v4: v4.collect(), count, force, clientele: object.clientele.clone() }
    }
}
