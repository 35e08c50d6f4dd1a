//! What must never happen, judged by every version of every Service and by every answer of DNS.
//!
//! It knows no clock: each event comes with its instant. What it is lenient about, and why:
//!
//! * **A dead prefix** ends every waiting: its address may leave as soon as no target names it. DNS is late by the delay
//!   of external-dns then, and may answer that address so long: nothing of a dead prefix is reachable anyway. What
//!   the Service *tells* DNS has to be right at every moment nevertheless.
//! * **MetalLB** gives a Service one IPv6 address, which switches; between the switch and the write of the target,
//!   the target names the former one for [`SWITCH`] at most, and DNS until external-dns has followed.
//! * **A Service whose names are not for the daemon to say** is published as its status is: what leaves that is answered
//!   until external-dns has followed. The same of one with a suffix in its first moments, in which the allocator gives it
//!   an address of its own choice before it can be told.
//! * **A Service that was made anew under its name** is answered for with what the former one had, until external-dns has
//!   followed.
//! * **A Service that is created at the moment of a change** may lose the address that it gets at that moment: the pool may
//!   have been narrowed already without it. It is never without one.
//! * **A host part that no user asked for** may be another Service's when the prefix comes: then it becomes another one.
//! * **A Service that is not managed** follows the pool: it may move once for each change of the prefix, at the end of the
//!   drain of the one that its address lies in, and once more when it was created at the moment of a change; twice
//!   if it has got an address there that a Service which is deleted at this very moment has had: that is on the pool
//!   until it is taken out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnet::Ipv6Net;

use crate::allowed::Allowed;
use crate::external_dns::{DELAY, PREFIXES, Records};
use crate::generations::{Generations, Of};
use crate::reserved::Opened;
use crate::said::{Asked, Told, entries_of_the_user, left, served, told};
use crate::services::{Expected, NAME_KEY, SECOND};
use crate::version::Version;

/// How long an address stays after DNS names another (design: "drain, at least 120 s after (4)").
pub(crate) const AFTER_DNS: Duration = Duration::from_secs(120);
/// How long the target may name the former address after MetalLB has switched.
const SWITCH: Duration = Duration::from_secs(2);
/// How long the model of external-dns may answer an address after that has left the status, where it is excused.
pub(crate) const LATE_MODEL: Duration = DELAY.saturating_add(SWITCH);
/// The same of the real one, on a busy machine.
pub(crate) const LATE_DNS: Duration = Duration::from_secs(15);
/// Where the daemon records the host part that a Service keeps for ever.
const RECORD: &str = "dynamic-prefix.io/managed-suffix";
/// Within this time of a change of the prefix a Service counts as created at that very moment.
const VERY_MOMENT: Duration = Duration::from_secs(3);
/// So long the allocator may come first with an address of its choice to a Service whose user wants another one.
const YOUNG: Duration = Duration::from_secs(5);
/// Until then a pool may hold the whole former range still, after a restart of the daemon on a busy machine.
const NOT_NARROWED: Duration = Duration::from_secs(8);

/// Something that must not have happened.
#[derive(Clone, Debug)]
pub(crate) struct Complaint {
    /// When it was seen.
    pub(crate) at: Instant,
    /// The Service.
    pub(crate) service: String,
    /// A sentence.
    pub(crate) text: String,
}

/// What is remembered of one Service.
#[derive(Debug)]
struct Memory {
    created: Instant,
    last: Version,
    /// Each set of addresses, from when on.
    ingress: Vec<(Instant, BTreeSet<IpAddr>)>,
    /// Since when no name is to answer an address that one was to answer before.
    unnamed: BTreeMap<Ipv6Addr, Instant>,
    /// Since when the target names something that the Service does not have.
    ahead: Option<Instant>,
    /// The host parts of addresses of ours that it was seen with.
    hosts: BTreeSet<u128>,
    moves: usize,
}

/// Judges.
#[derive(Debug)]
pub(crate) struct Judge {
    generations: Generations,
    expected: BTreeMap<String, Expected>,
    services: BTreeMap<String, Memory>,
    /// What the Services of a name that were deleted had, from when on.
    deleted: BTreeMap<String, Vec<(Instant, BTreeSet<IpAddr>)>>,
    complaints: Vec<Complaint>,
    allowed: Allowed,
    opened: Vec<Opened>,
}

impl Judge {
    pub(crate) fn new(generations: Generations) -> Self {
        let (expected, services, deleted) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            generations,
            expected,
            services,
            deleted,
            complaints: Vec::new(),
            allowed: Allowed::default(),
            opened: Vec::new(),
        }
    }

    /// A Service of this name (NAMESPACE/NAME) is about to be created, or to be what this says from now on.
    pub(crate) fn expect(&mut self, name: &str, expected: Expected) {
        self.expected.insert(name.to_owned(), expected);
    }

    /// From now on `current` is the prefix; these are dead.
    pub(crate) fn announce(&mut self, of: Of, at: Instant, current: Ipv6Net, dead: &[Ipv6Net]) {
        self.generations.announce(of, at, current, dead);
    }

    /// What has been found so far.
    pub(crate) fn complaints(&self) -> &[Complaint] {
        &self.complaints
    }

    /// What was let pass so far.
    pub(crate) fn allowed(&self) -> &Allowed {
        &self.allowed
    }

    /// The latest version of a Service by its name.
    pub(crate) fn latest(&self, name: &str) -> Option<&Version> {
        self.services.values().map(|memory| &memory.last).find(|version| version.name == name)
    }

    /// A version of a pool, and the one before it.
    pub(crate) fn pool(&mut self, at: Instant, before: &[(Ipv6Addr, Ipv6Addr)], now: &[(Ipv6Addr, Ipv6Addr)]) {
        self.opened.extend(Opened::of(at, before, now, &self.generations));
    }

    /// Judges the pools as far as all that matters for them was seen.
    pub(crate) fn judge_pools(&mut self, now: Instant) {
        let Some(changed) = self.generations.last_change() else { return };
        let (due, rest) = std::mem::take(&mut self.opened).into_iter().partition(|opened| opened.is_due(now));
        self.opened = rest;
        let due: Vec<Opened> = due;
        for memory in self.services.values() {
            let managed = self.expected.get(&memory.last.name).is_some_and(|one| one.managed && !one.one_address);
            let host = memory.last.annotation(RECORD).and_then(|text| text.parse().ok()).filter(|_| managed);
            let Some(host) = host else { continue };
            let is_second = memory.last.annotation(NAME_KEY) == Some(SECOND);
            let passed_over = |one: &&Opened| {
                self.generations.is_second(one.net) == is_second
                    && one.passes_over(host, memory.created, &memory.ingress, changed)
            };
            if let Some(one) = due.iter().find(passed_over) {
                let text = format!("the whole range in {} was offered before it had its address there", one.net);
                let service = memory.last.name.clone();
                self.complaints.push(Complaint { at: now, service, text });
            }
        }
    }

    /// How often a Service that is not managed has moved.
    pub(crate) fn moves(&self) -> usize {
        self.services.values().map(|memory| memory.moves).sum()
    }

    /// A version of a Service.
    pub(crate) fn version(&mut self, at: Instant, version: Version) {
        let Some(expected) = self.expected.get(&version.name).cloned() else { return };
        if version.deleted {
            let had = self.services.remove(&version.uid).map(|memory| memory.ingress).unwrap_or_default();
            self.deleted.entry(version.name).or_default().extend(had.into_iter().chain([(at, BTreeSet::new())]));
            return;
        }
        let mut found = entries_of_the_user(&version, &expected);
        let mut memory = match self.services.remove(&version.uid) {
            Some(memory) => {
                found.extend(self.changed(at, &memory, &version, &expected));
                memory
            }
            None => Memory {
                created: at,
                last: version.clone(),
                ingress: Vec::new(),
                unnamed: BTreeMap::new(),
                ahead: None,
                hosts: BTreeSet::new(),
                moves: 0,
            },
        };
        found.extend(self.told(at, &mut memory, &version, &expected));
        found.extend(self.host_part(&mut memory, &version, &expected));
        memory.remember(at, version);
        self.complain(at, &memory.last.name, found);
        self.services.insert(memory.last.uid.clone(), memory);
    }

    /// What a DNS server that is late by no more than `lateness` answered to a question for a name.
    pub(crate) fn answer(&mut self, asked: &Asked<'_>, answer: &Records) {
        let Asked { received, prefix, name, .. } = *asked;
        let index = usize::from(prefix != PREFIXES[0]);
        let of_name = |memory: &&Memory| memory.last.told[index].0.iter().any(|own| own == name);
        let owners: Vec<&Memory> = self.services.values().filter(of_name).collect();
        let Some(first) = owners.first() else { return };
        let addresses = answer.a.iter().map(|a| IpAddr::V4(*a)).chain(answer.aaaa.iter().map(|a| IpAddr::V6(*a)));
        let wrong = addresses.filter(|address| !owners.iter().any(|memory| self.may_answer(*address, memory, asked)));
        let found = wrong
            .map(|address| format!("{name} is answered with {address}, which the Service does not have ({prefix})"))
            .collect();
        let service = first.last.name.clone();
        self.complain(received, &service, found);
    }

    /// Whether a name of this Service may be answered with an address.
    fn may_answer(&self, address: IpAddr, memory: &Memory, asked: &Asked<'_>) -> bool {
        let Asked { sent, received, lateness, .. } = *asked;
        let Some(expected) = self.expected.get(&memory.last.name) else { return false };
        if served(&memory.ingress, address, sent, received) || expected.names(&address.to_string()) {
            return true;
        }
        let former = self.deleted.get(&memory.last.name);
        // Asked before it was deleted, and judged afterwards.
        if former.is_some_and(|had| served(had, address, sent, received)) {
            return true;
        }
        let of_former = former.and_then(|had| left(had, address, sent));
        if let Some(at) = of_former.filter(|at| sent <= *at + lateness) {
            self.allowed.note("DNS answers for the former Service of the name", sent.saturating_duration_since(at));
            return true;
        }
        let earlier = sent.checked_sub(lateness).unwrap_or(sent);
        let is_dead = matches!(address, IpAddr::V6(address) if self.generations.was_dead(address, earlier));
        let is_young = sent < memory.created + YOUNG + lateness;
        let why = match () {
            () if is_dead => "DNS answers an address of a dead prefix",
            () if expected.one_address => "DNS answers the one address before the switch",
            () if !expected.named => "DNS follows a status that we do not name",
            () if expected.suffix.is_some() && is_young => "DNS answers what the allocator gave a young Service",
            () => return false,
        };
        let left = left(&memory.ingress, address, sent).filter(|at| sent <= *at + lateness);
        if let Some(left) = left {
            self.allowed.note(why, sent.saturating_duration_since(left));
        }
        left.is_some()
    }

    fn complain(&mut self, at: Instant, service: &str, found: Vec<String>) {
        for text in found {
            // DNS is asked again and again.
            if !self.complaints.iter().any(|known| known.service == service && known.text == text) {
                self.complaints.push(Complaint { at, service: service.to_owned(), text });
            }
        }
    }

    /// What a version tells DNS has to be what it has.
    fn told(&self, at: Instant, memory: &mut Memory, version: &Version, expected: &Expected) -> Vec<String> {
        let Told { ahead, mut missing } = told(version, expected);
        let by = memory.ahead.map_or(Duration::ZERO, |since| at.saturating_duration_since(since));
        let is_excused = expected.one_address && by < SWITCH;
        if memory.ahead.is_some() && is_excused {
            self.allowed.note("the target follows the switch", by);
        }
        memory.ahead = (!ahead.is_empty()).then(|| memory.ahead.unwrap_or(at));
        missing.extend(ahead.into_iter().filter(|_| !is_excused));
        missing
    }

    /// What a version must not have lost.
    fn changed(&self, at: Instant, memory: &Memory, now: &Version, expected: &Expected) -> Vec<String> {
        let mut found = Vec::new();
        let (before, after) = (memory.last.held(), now.held());
        if memory.last.has_ipv4() && !now.has_ipv4() {
            found.push("it has lost its IPv4 address".to_owned());
        }
        if !before.is_empty() && after.is_empty() {
            found.push("it is without an IPv6 address".to_owned());
        }
        for address in before.difference(&after) {
            if let Some(why) = self.must_stay(at, *address, memory, now, expected) {
                found.push(format!("{address} has disappeared, but {why}"));
            }
        }
        found
    }

    /// Why an address that a version does not have any more should be there.
    fn must_stay(
        &self,
        at: Instant,
        lost: Ipv6Addr,
        memory: &Memory,
        now: &Version,
        expected: &Expected,
    ) -> Option<String> {
        let net = self.generations.net(lost)?;
        let age = at.saturating_duration_since(memory.created);
        let elsewhere = |suffix: Ipv6Addr| self.host(lost) != Some(suffix.to_bits());
        let placed_by_allocator = expected.managed && expected.suffix.is_some_and(elsewhere);
        let is_named = now.named().contains(&lost);
        if expected.managed && expected.one_address {
            return self.must_switch(at, now);
        }
        if self.generations.is_dead(lost) {
            self.allowed.note("an address of a dead prefix leaves at once", Duration::ZERO);
            return is_named.then(|| "DNS is told to answer it".to_owned());
        }
        let (after, before) = self.generations.distance(memory.created);
        let kept = if self.generations.is_current(lost) {
            Some(format!("{net} is the current prefix"))
        } else {
            (!self.generations.is_released(net, at)).then(|| format!("{net} drains"))
        };
        let unnamed = memory.unnamed.get(&lost);
        let forgotten = placed_by_allocator && unnamed.is_some_and(|unnamed| at >= *unnamed + AFTER_DNS);
        if let Some(why) = kept.filter(|_| !forgotten) {
            let what = match () {
                () if is_named => return Some(why),
                () if placed_by_allocator && age < YOUNG => "the allocator's choice for a young Service leaves",
                () if after < VERY_MOMENT => "created right after a change, it moves",
                () if before < VERY_MOMENT => "created right before a change, it moves",
                () => return Some(why),
            };
            self.allowed.note(what, age.min(after).min(before));
        }
        let unnamed = unnamed.filter(|_| after.min(before) >= VERY_MOMENT)?;
        (expected.managed && at < *unnamed + AFTER_DNS)
            .then(|| format!("DNS was told to answer it until {:?} before", at.saturating_duration_since(*unnamed)))
    }

    /// One that can have one address has to have the new one when the old one goes.
    fn must_switch(&self, at: Instant, now: &Version) -> Option<String> {
        if now.held().iter().any(|address| self.generations.was_current(*address, at)) {
            return None;
        }
        // What was asked for before the change may come a moment after it.
        let (after, _) = self.generations.distance(at);
        if after < VERY_MOMENT && !now.held().is_empty() {
            self.allowed.note("a switch comes after the next change", after);
            return None;
        }
        Some("there is none of the current prefix instead".to_owned())
    }

    /// Whether a Service that has been deleted had this address.
    fn was_given_up(&self, address: Ipv6Addr) -> bool {
        self.deleted.values().flatten().any(|(_, held)| held.contains(&IpAddr::V6(address)))
    }

    /// The host part of an address of ours.
    fn host(&self, address: Ipv6Addr) -> Option<u128> {
        let net = self.generations.net(address)?;
        Some(address.to_bits() & net.hostmask().to_bits())
    }

    /// A managed Service keeps its host part; another one moves no more than it may.
    fn host_part(&self, memory: &mut Memory, version: &Version, expected: &Expected) -> Vec<String> {
        let (before, after) = (memory.last.held(), version.held());
        let mut found = Vec::new();
        let recorded = version.annotation(RECORD).and_then(|text| text.parse::<Ipv6Addr>().ok());
        if let Some(recorded) = recorded.filter(|_| expected.managed && expected.suffix.is_none()) {
            // What it had before, and will give up, may have been another: the allocator gave it what another Service has.
            let new = after.difference(&before).filter(|_| memory.hosts.contains(&recorded.to_bits()));
            let hosts: Vec<_> = new.filter_map(|address| self.host(*address)).chain([recorded.to_bits()]).collect();
            memory.hosts.extend(hosts);
            // It gives way to one that has its address already.
            let is_taken = |host: u128| {
                let of_others = self.services.values().flat_map(|other| other.last.held());
                of_others.filter(|address| self.generations.is_current(*address)).any(|it| self.host(it) == Some(host))
            };
            memory.hosts.retain(|host| *host == recorded.to_bits() || !is_taken(*host));
            if memory.hosts.len() > 1 {
                memory.hosts.pop_first();
                found.push(format!("it has addresses with different host parts: {after:?}, before {before:?}"));
            }
        } else if !expected.managed && !before.is_empty() && before != after {
            memory.moves += 1;
            let changes = self.generations.changes_since(memory.created);
            let (after, before) = self.generations.distance(memory.created);
            let once_more = after.min(before) < NOT_NARROWED;
            let inherits =
                once_more && memory.last.held().iter().chain(&version.held()).any(|it| self.was_given_up(*it));
            if memory.moves == changes + 1 && once_more {
                self.allowed.note("created before the pool was narrowed, it moves once more", after.min(before));
            }
            if memory.moves == changes + 2 && inherits {
                self.allowed.note("on an address that a deleted Service has just left, it moves twice more", before);
            }
            if memory.moves > changes + usize::from(once_more) + usize::from(inherits) {
                found.push(format!("it has moved {} times in {changes} changes of the prefix", memory.moves));
            }
        }
        found
    }
}

impl Memory {
    fn remember(&mut self, at: Instant, version: Version) {
        let named = version.named();
        for address in self.last.named().difference(&named) {
            self.unnamed.insert(*address, at);
        }
        self.unnamed.retain(|address, _| !named.contains(address));
        if self.ingress.last().is_none_or(|(_, last)| *last != version.ingress) {
            self.ingress.push((at, version.ingress.clone()));
        }
        self.last = version;
    }
}
