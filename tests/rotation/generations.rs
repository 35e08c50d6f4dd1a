//! The prefixes of the test, and what each is at a moment: what the router was told to say, not what the daemon makes of it.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use ipnet::Ipv6Net;

/// What is known of one prefix that was current before.
#[derive(Clone, Debug)]
struct Former {
    net: Ipv6Net,
    since: Instant,
}

/// All prefixes of one DynamicPrefix so far.
#[derive(Clone, Debug, Default)]
struct Family {
    current: Option<Ipv6Net>,
    /// Newest first.
    former: Vec<Former>,
    dead: Vec<Ipv6Net>,
    /// Those that were dead and have come back, and when.
    risen: Vec<(Ipv6Net, Instant)>,
    changes: Vec<Instant>,
}

/// All prefixes so far, of one or two DynamicPrefixes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generations {
    families: [Family; 2],
    drain: Option<Duration>,
}

/// Which DynamicPrefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    First,
    Second,
}

/// How many former prefixes drain (the default of maxPrefixHistory).
const HISTORY: usize = 2;

impl Generations {
    /// None yet. A former prefix drains for this long; absent: for longer than the test.
    pub(crate) fn new(drain: Option<Duration>) -> Self {
        Self { drain, ..Self::default() }
    }

    /// From now on `current` is the prefix; these are dead.
    pub(crate) fn announce(&mut self, of: Of, at: Instant, current: Ipv6Net, dead: &[Ipv6Net]) {
        self.families[of as usize].announce(at, current, dead);
    }

    /// The prefix that an address lies in.
    pub(crate) fn net(&self, address: Ipv6Addr) -> Option<Ipv6Net> {
        self.families.iter().find_map(|family| family.net(address))
    }

    pub(crate) fn is_current(&self, address: Ipv6Addr) -> bool {
        self.families.iter().any(|family| family.current.is_some_and(|net| net.contains(&address)))
    }

    /// Whether its prefix was the current one at this moment: what comes right before a change is judged after it.
    pub(crate) fn was_current(&self, address: Ipv6Addr, at: Instant) -> bool {
        self.families.iter().any(|family| family.current_at(at).is_some_and(|net| net.contains(&address)))
    }

    pub(crate) fn is_dead(&self, address: Ipv6Addr) -> bool {
        self.families.iter().any(|family| family.is_dead(address))
    }

    /// Whether its prefix was dead at some moment since.
    pub(crate) fn was_dead(&self, address: Ipv6Addr, since: Instant) -> bool {
        let risen = |(net, at): &(Ipv6Net, Instant)| net.contains(&address) && *at >= since;
        self.is_dead(address) || self.families.iter().any(|family| family.risen.iter().any(risen))
    }

    /// Whether nothing keeps a former prefix any more, but for what DNS was told.
    pub(crate) fn is_released(&self, net: Ipv6Net, at: Instant) -> bool {
        self.families.iter().any(|family| family.is_released(net, self.drain, at))
    }

    /// How often a prefix has changed since.
    pub(crate) fn changes_since(&self, since: Instant) -> usize {
        self.changes().filter(|at| *at >= since).count()
    }

    /// Whether it is one of the second DynamicPrefix.
    pub(crate) fn is_second(&self, net: Ipv6Net) -> bool {
        self.families[Of::Second as usize].net(net.network()).is_some()
    }

    /// When a prefix changed last.
    pub(crate) fn last_change(&self) -> Option<Instant> {
        self.changes().max()
    }

    /// How long after the change before it a moment is, and how long before the next one.
    pub(crate) fn distance(&self, moment: Instant) -> (Duration, Duration) {
        let after = self.changes().filter_map(|at| moment.checked_duration_since(at)).min();
        let before = self.changes().filter_map(|at| at.checked_duration_since(moment)).min();
        (after.unwrap_or(Duration::MAX), before.unwrap_or(Duration::MAX))
    }

    fn changes(&self) -> impl Iterator<Item = Instant> {
        self.families.iter().flat_map(|family| family.changes.iter().copied())
    }
}

impl Family {
    fn announce(&mut self, at: Instant, current: Ipv6Net, dead: &[Ipv6Net]) {
        if let Some(net) = self.current.filter(|net| *net != current) {
            self.former.insert(0, Former { net, since: at });
            self.changes.push(at);
        }
        self.former.retain(|former| former.net != current);
        if self.dead.contains(&current) {
            self.dead.retain(|net| *net != current);
            self.risen.push((current, at));
        }
        self.dead.extend(dead);
        self.current = Some(current);
    }

    fn current_at(&self, at: Instant) -> Option<Ipv6Net> {
        let later = self.former.iter().filter(|former| former.since > at);
        later.min_by_key(|former| former.since).map(|former| former.net).or(self.current)
    }

    fn net(&self, address: Ipv6Addr) -> Option<Ipv6Net> {
        let mut all = self.current.into_iter().chain(self.former.iter().map(|former| former.net));
        all.find(|net| net.contains(&address))
    }

    fn is_dead(&self, address: Ipv6Addr) -> bool {
        self.dead.iter().any(|net| net.contains(&address))
    }

    fn is_released(&self, net: Ipv6Net, drain: Option<Duration>, at: Instant) -> bool {
        let Some(index) = self.former.iter().position(|former| former.net == net) else { return false };
        let over = drain.is_some_and(|drain| at >= self.former[index].since + drain);
        over || index >= HISTORY || self.dead.contains(&net)
    }
}
