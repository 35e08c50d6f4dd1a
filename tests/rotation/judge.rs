//! What must never happen, judged by every version of every Service and by every answer of DNS.
//!
//! It knows no clock: each event comes with its instant. What it is lenient about, and why:
//!
//! * **A dead prefix** ends every waiting: its address may leave as soon as no target names it. DNS is late by the delay
//!   of external-dns then, and may answer that address meanwhile: nothing of a dead prefix is reachable anyway. What
//!   the Service *tells* DNS has to be right at every moment nevertheless.
//! * **MetalLB** gives a Service one IPv6 address, which switches; between the switch and the write of the target,
//!   the target names the former one for [`SWITCH`] at most, and DNS until external-dns has followed.
//! * **A Service whose names are not for the daemon to say** is published as its status is: what leaves that is answered
//!   until external-dns has followed. The same of one with a suffix in its first moments, in which the allocator gives it
//!   an address of its own choice before it can be told.
//! * **A Service that was made anew under its name** is answered for with what the former one had.
//! * **A Service that is created at the moment of a change** may lose the address that it gets at that moment: the pool may
//!   have been narrowed already without it. It is never without one.
//! * **A host part that no user asked for** may be another Service's when the prefix comes: then it becomes another one.
//! * **A Service that is not managed** follows the pool: it may move once for each change of the prefix, at the end of the
//!   drain of the one that its address lies in, and once more when it was created at the moment of a change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnet::Ipv6Net;

use crate::external_dns::{PREFIXES, Records};
use crate::generations::Generations;
use crate::services::Expected;
use crate::version::Version;

/// How long an address stays after DNS names another (design: "drain, at least 120 s after (4)").
pub(crate) const AFTER_DNS: Duration = Duration::from_secs(120);
/// How long the target may name the former address after MetalLB has switched.
const SWITCH: Duration = Duration::from_secs(2);
/// How long DNS may answer an address after that has left the status, where it is excused.
const LATE_DNS: Duration = Duration::from_secs(15);
/// Where the daemon records the host part that a Service keeps for ever.
const RECORD: &str = "dynamic-prefix.io/managed-suffix";
/// Within this time of a change of the prefix a Service counts as created at that very moment.
const VERY_MOMENT: Duration = Duration::from_secs(3);
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
    /// When a Service of this name was deleted last.
    deleted: BTreeMap<String, Instant>,
    complaints: Vec<Complaint>,
}

impl Judge {
    pub(crate) fn new(generations: Generations) -> Self {
        let (expected, services, deleted) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { generations, expected, services, deleted, complaints: Vec::new() }
    }

    /// A Service of this name (NAMESPACE/NAME) is about to be created, or to be what this says from now on.
    pub(crate) fn expect(&mut self, name: &str, expected: Expected) {
        self.expected.insert(name.to_owned(), expected);
    }

    /// From now on `current` is the prefix; these are dead.
    pub(crate) fn announce(&mut self, at: Instant, current: Ipv6Net, dead: &[Ipv6Net]) {
        self.generations.announce(at, current, dead);
    }

    /// What has been found so far.
    pub(crate) fn complaints(&self) -> &[Complaint] {
        &self.complaints
    }

    /// The latest version of a Service by its name.
    pub(crate) fn latest(&self, name: &str) -> Option<&Version> {
        self.services.values().map(|memory| &memory.last).find(|version| version.name == name)
    }

    /// How often a Service that is not managed has moved.
    pub(crate) fn moves(&self) -> usize {
        self.services.values().map(|memory| memory.moves).sum()
    }

    /// A version of a Service.
    pub(crate) fn version(&mut self, at: Instant, version: Version) {
        let Some(expected) = self.expected.get(&version.name).cloned() else { return };
        if version.deleted {
            self.services.remove(&version.uid);
            self.deleted.insert(version.name, at);
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
        found.extend(told(at, &mut memory, &version, &expected));
        found.extend(self.host_part(&mut memory, &version, &expected));
        memory.remember(at, version);
        self.complain(at, &memory.last.name, found);
        self.services.insert(memory.last.uid.clone(), memory);
    }

    /// What DNS answered to a question for a name that was asked at `sent`.
    pub(crate) fn answer(&mut self, sent: Instant, received: Instant, prefix: &str, name: &str, answer: &Records) {
        let index = usize::from(prefix != PREFIXES[0]);
        let of_name = |memory: &&Memory| memory.last.told[index].0.iter().any(|own| own == name);
        let owners: Vec<&Memory> = self.services.values().filter(of_name).collect();
        let Some(first) = owners.first() else { return };
        if self.deleted.get(&first.last.name).is_some_and(|at| sent < *at + LATE_DNS) {
            return;
        }
        let mut found = Vec::new();
        let addresses = answer.a.iter().map(|a| IpAddr::V4(*a)).chain(answer.aaaa.iter().map(|a| IpAddr::V6(*a)));
        for address in addresses.filter(|address| !self.is_excused(*address)) {
            let serves = |memory: &&Memory| memory.served(address, sent, received);
            let expected = |memory: &&Memory| self.expected.get(&memory.last.name);
            let of_user = |memory: &Memory| expected(&memory).is_some_and(|one| one.names(&address.to_string()));
            let late = |memory: &Memory| {
                let is_young = sent < memory.created + LATE_DNS;
                let excused = |one: &Expected| one.one_address || !one.named || one.suffix.is_some() && is_young;
                let earlier = sent.checked_sub(LATE_DNS).unwrap_or(sent);
                expected(&memory).is_some_and(excused) && memory.served(address, earlier, received)
            };
            if !owners.iter().any(|memory| serves(memory) || of_user(memory) || late(memory)) {
                found.push(format!("{name} is answered with {address}, which the Service does not have ({prefix})"));
            }
        }
        let service = first.last.name.clone();
        self.complain(received, &service, found);
    }

    /// An address of a dead prefix.
    fn is_excused(&self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V6(address) if self.generations.is_dead(address))
    }

    fn complain(&mut self, at: Instant, service: &str, found: Vec<String>) {
        for text in found {
            // DNS is asked again and again.
            if !self.complaints.iter().any(|known| known.service == service && known.text == text) {
                self.complaints.push(Complaint { at, service: service.to_owned(), text });
            }
        }
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
        let very_moment = self.generations.changed_within(memory.created, VERY_MOMENT);
        let elsewhere = |suffix: Ipv6Addr| self.host(lost) != Some(suffix.to_bits());
        let placed_by_allocator = expected.managed && expected.suffix.is_some_and(elsewhere);
        if expected.managed && expected.one_address {
            // What was asked for before the change may come a moment after it.
            let late = self.generations.changed_within(at, VERY_MOMENT) && !now.held().is_empty();
            let moved = late || now.held().iter().any(|address| self.generations.is_current(*address));
            return (!moved).then(|| "there is none of the current prefix instead".to_owned());
        }
        if self.generations.is_dead(lost) {
            return now.named().contains(&lost).then(|| "DNS is told to answer it".to_owned());
        }
        if very_moment && !now.named().contains(&lost) {
            return None;
        }
        if self.generations.is_current(lost) && !placed_by_allocator {
            return Some(format!("{net} is the current prefix"));
        }
        if !self.generations.is_released(net, at) && !placed_by_allocator {
            return Some(format!("{net} drains"));
        }
        let unnamed = memory.unnamed.get(&lost)?;
        (expected.managed && at < *unnamed + AFTER_DNS)
            .then(|| format!("DNS was told to answer it until {:?} before", at.saturating_duration_since(*unnamed)))
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
            let allowed = changes + usize::from(self.generations.changed_within(memory.created, NOT_NARROWED));
            if memory.moves > allowed {
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

    /// Whether the Service had an address at any moment of a span.
    fn served(&self, address: IpAddr, from: Instant, to: Instant) -> bool {
        let ends = self.ingress.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
        let mut spans = self.ingress.iter().zip(ends);
        spans.any(|((start, held), end)| *start <= to && end.is_none_or(|end| end >= from) && held.contains(&address))
    }
}

/// What the Service tells DNS has to be what it has.
fn told(at: Instant, memory: &mut Memory, version: &Version, expected: &Expected) -> Vec<String> {
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    for (prefix, (names, records)) in PREFIXES.iter().zip(&version.told) {
        if names.is_empty() {
            continue;
        }
        let lacks = |address: IpAddr| !version.ingress.contains(&address) && !expected.names(&address.to_string());
        let v4 = records.a.iter().copied().map(IpAddr::V4);
        let all: Vec<IpAddr> = v4.chain(records.aaaa.iter().copied().map(IpAddr::V6)).collect();
        let named_and_missing = all.iter().copied().filter(|address| lacks(*address));
        wrong
            .extend(named_and_missing.map(|address| format!("{prefix}target names {address}, which it does not have")));
        let v4_missing = version.ingress.iter().filter(|address| address.is_ipv4() && !all.contains(address));
        found.extend(v4_missing.map(|address| format!("{prefix}target lacks its IPv4 address {address}")));
    }
    let excused = expected.one_address && at < memory.ahead.unwrap_or(at) + SWITCH;
    memory.ahead = (!wrong.is_empty()).then(|| memory.ahead.unwrap_or(at));
    if !excused {
        found.extend(wrong);
    }
    found
}

/// What the user wrote has to be there.
fn entries_of_the_user(version: &Version, expected: &Expected) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in &expected.annotations {
        if version.annotation(key) != Some(value) {
            found.push(format!("the user's annotation {key}: {value} is now {:?}", version.annotation(key)));
        }
    }
    for (key, entries) in &expected.entries {
        let list = version.list(key);
        let mut rest = list.iter();
        // In the user's order, whatever stands between them.
        if !entries.iter().all(|entry| rest.any(|found| found == entry)) {
            found.push(format!("the user's entries {} of {key} are not in {list:?}", entries.join(",")));
        }
    }
    let blank = version.annotations.iter().filter(|(key, value)| is_list(key) && value.trim().is_empty());
    found.extend(blank.map(|(key, _)| format!("the annotation {key} is blank")));
    found
}

fn is_list(key: &str) -> bool {
    key.ends_with("/target") || key.ends_with("/ips") || key.ends_with("/loadBalancerIPs")
}
