//! Sees every version of every Service from the start of the test on, and every change of DNS, and has them judged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv6Addr;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ipnet::Ipv6Net;
use serde_json::Value;

use crate::dns::Answered;
use crate::external_dns::{DELAY, ExternalDns, PREFIXES, Zone};
use crate::generations::{Generations, Of};
use crate::judge::{Complaint, Judge, LATE_DNS, LATE_MODEL};
use crate::lab::{ApiServer, condition};
use crate::said::Asked;
use crate::services::{Front, SERVICES, Scope};
use crate::version::Version;

type Events = Receiver<(Instant, Value)>;

/// How many complaints are shown, each with its trace.
const SHOWN: usize = 6;
/// How many versions of a Service, and as many of the pools, are shown before a complaint.
const TRACE: usize = 24;

/// Watches.
pub(crate) struct Monitor {
    began: Instant,
    services: Events,
    pools: Vec<Events>,
    judge: Judge,
    model: [ExternalDns; 2],
    real: Option<Receiver<Answered>>,
    /// What happened, oldest first: instant, subject (a Service; empty: everybody's), one line.
    trace: VecDeque<(Instant, String, String)>,
    /// The last line about each pool: most of their versions count something.
    shown_pools: BTreeMap<String, String>,
    /// Each pool as it was seen last.
    latest_pools: BTreeMap<String, Value>,
    shown: usize,
    versions: usize,
    answers: usize,
    /// The managed Services that LB-IPAM has refused a wish, and how often it began to.
    refused: BTreeSet<String>,
    refusals: BTreeMap<String, usize>,
}

impl Monitor {
    /// Watches from now on; the paths are those of the lists of pools.
    pub(crate) fn start(api: &ApiServer, pools: &[&str], generations: Generations) -> Result<Self> {
        Ok(Self {
            began: Instant::now(),
            services: api.watch(SERVICES)?,
            pools: pools.iter().map(|path| api.watch(path)).collect::<Result<_>>()?,
            judge: Judge::new(generations),
            model: PREFIXES.map(|prefix| ExternalDns::new(prefix, DELAY)),
            real: None,
            trace: VecDeque::new(),
            shown_pools: BTreeMap::new(),
            latest_pools: BTreeMap::new(),
            shown: 0,
            versions: 0,
            answers: 0,
            refused: BTreeSet::new(),
            refusals: BTreeMap::new(),
        })
    }

    /// Has the answers of a DNS server judged, too.
    pub(crate) fn listen(&mut self, answers: Receiver<Answered>) {
        self.real = Some(answers);
    }

    /// Says that a Service is about to be created.
    pub(crate) fn expect(&mut self, front: &Front, scope: Scope) {
        self.judge.expect(&front.key(), front.expected(scope));
    }

    /// Says that the user is about to change its suffix.
    pub(crate) fn expect_another_suffix(&mut self, front: &Front, scope: Scope) {
        self.judge.expect(&front.key(), front.expected_meanwhile(scope));
    }

    /// Says that the router is about to announce `current`; these are dead from now on.
    pub(crate) fn announce(&mut self, of: Of, current: Ipv6Net, dead: &[Ipv6Net]) -> Result<()> {
        self.take_in()?;
        self.note(&format!("=== {current} is announced, dead: {dead:?}"));
        self.judge.announce(of, Instant::now(), current, dead);
        Ok(())
    }

    /// Puts a line into the trace.
    pub(crate) fn note(&mut self, text: &str) {
        self.trace.push_back((Instant::now(), String::new(), text.to_owned()));
    }

    /// What was seen and judged, in a sentence.
    pub(crate) fn summary(&self) -> String {
        let Self { versions, answers, refusals, judge, .. } = self;
        let moves = judge.moves();
        format!(
            "{versions} versions of Services and {answers} answers of DNS judged, pins refused for a while: {refusals:?}, {moves} \
             moves of Services that are not managed; let pass: {}",
            judge.allowed()
        )
    }

    /// Takes in what has come since.
    pub(crate) fn take_in(&mut self) -> Result<()> {
        for events in &self.pools {
            for (at, event) in drain(events)? {
                let (name, line) = pool_line(&event["object"]);
                let before = self.latest_pools.insert(name.clone(), event["object"].clone()).unwrap_or_default();
                self.judge.pool(at, &blocks(&before), &blocks(&event["object"]));
                if self.shown_pools.insert(name, line.clone()).as_ref() != Some(&line) {
                    self.trace.push_back((at, String::new(), line));
                }
            }
        }
        for (at, event) in drain(&self.services)? {
            self.versions += 1;
            let version = Version::of(&event);
            match version.refused() {
                None => drop(self.refused.remove(&version.uid)),
                Some(why) if self.refused.insert(version.uid.clone()) => {
                    *self.refusals.entry(why.to_owned()).or_default() += 1;
                }
                Some(_) => {}
            }
            self.trace.push_back((at, version.name.clone(), version.to_string()));
            // DNS as it was until this very moment, and as it is from then on.
            self.ask_model(at);
            self.model.iter_mut().for_each(|model| model.observe(at, &event));
            self.judge.version(at, version);
            self.ask_model(at);
        }
        self.judge.judge_pools(Instant::now());
        self.ask_model(Instant::now());
        let real = self.real.as_ref().map(|answers| answers.try_iter().collect::<Vec<_>>()).unwrap_or_default();
        for answered in real {
            self.answers += 1;
            let Answered { sent, received, name, records } = answered;
            let asked = Asked { sent, received, prefix: PREFIXES[0], name: &name, lateness: LATE_DNS };
            self.judge.answer(&asked, &records);
        }
        Ok(())
    }

    fn ask_model(&mut self, at: Instant) {
        for (prefix, model) in PREFIXES.iter().zip(&mut self.model) {
            for (name, records) in model.answers(at) {
                let asked = Asked { sent: at, received: at, prefix, name, lateness: LATE_MODEL };
                self.judge.answer(&asked, records);
            }
        }
    }

    /// The latest version of a Service.
    pub(crate) fn latest(&self, front: &Front) -> Result<&Version> {
        self.judge.latest(&front.key()).with_context(|| format!("{} is not there", front.key()))
    }

    /// A pool as it was seen last.
    pub(crate) fn pool(&self, name: &str) -> Option<&Value> {
        self.latest_pools.get(name)
    }

    /// What the Services tell an external-dns that reads the first annotation prefix.
    pub(crate) fn told(&self) -> Zone {
        self.model[0].told()
    }

    /// An error, with the trace, if anything was seen that must not happen.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.take_in()?;
        let new = &self.judge.complaints()[self.shown..];
        if new.is_empty() {
            return Ok(());
        }
        let count = new.len();
        let mut text = String::new();
        for complaint in new.iter().take(SHOWN) {
            text += &self.told_with_trace(complaint);
        }
        self.shown += count;
        bail!("the monitor has {count} complaints, the first of them:\n{text}");
    }

    fn told_with_trace(&self, complaint: &Complaint) -> String {
        let concerned = |(at, subject, _): &&(Instant, String, String)| {
            *at <= complaint.at && (subject.is_empty() || *subject == complaint.service)
        };
        let lines = self.lines(concerned);
        let at = (complaint.at - self.began).as_secs_f64();
        format!("* {at:.3} s: {}: {}\n{lines}", complaint.service, complaint.text)
    }

    /// What happened to the pools and to everybody last.
    pub(crate) fn story(&self) -> String {
        self.lines(|(_, subject, _)| subject.is_empty())
    }

    fn lines(&self, concerned: impl Fn(&&(Instant, String, String)) -> bool) -> String {
        let mut lines: Vec<_> = self.trace.iter().filter(concerned).collect();
        lines.sort_by_key(|(at, ..)| *at);
        let shown = lines.iter().skip(lines.len().saturating_sub(TRACE));
        shown.map(|(at, _, line)| format!("    {:>9.3} s  {line}\n", (*at - self.began).as_secs_f64())).collect()
    }

    /// Waits until `check` has nothing more to say; what it said last is the time-out's reason. What the monitor sees
    /// meanwhile counts at once.
    pub(crate) fn wait(&mut self, what: &str, limit: Duration, check: impl Fn(&Self) -> Result<()>) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            self.check()?;
            match check(self) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= deadline => {
                    return Err(error).with_context(|| format!("{what}: not within {limit:?}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

/// All that has come. A watch that has ended has missed something.
fn drain(events: &Events) -> Result<Vec<(Instant, Value)>> {
    let mut all = Vec::new();
    loop {
        match events.try_recv() {
            Ok((at, event)) => {
                ensure!(event["type"] != "ERROR", "a watch of the monitor failed: {event}");
                all.push((at, event));
            }
            Err(TryRecvError::Empty) => return Ok(all),
            Err(TryRecvError::Disconnected) => bail!("a watch of the monitor has ended"),
        }
    }
}

/// A pool's name and what it holds, in one line: by prefix the ranges, and how many single addresses there are.
fn pool_line(pool: &Value) -> (String, String) {
    let spec = &pool["spec"];
    let list = [&spec["blocks"], &spec["addresses"]].into_iter().find_map(Value::as_array);
    let mut ranges: BTreeMap<String, (Vec<String>, u128)> = BTreeMap::new();
    for (start, stop) in list.into_iter().flatten().filter_map(bounds) {
        let prefix = start.segments()[..4].iter().map(|part| format!("{part:x}")).collect::<Vec<_>>().join(":");
        let (wide, singles) = ranges.entry(prefix).or_default();
        let size = stop.to_bits() - start.to_bits() + 1;
        if size >= 256 { wide.push(format!("{start}-{stop}")) } else { *singles += size }
    }
    let ranges = ranges.iter().rev().map(|(net, (wide, singles))| format!("[{net}: {} +{singles}]", wide.join(" ")));
    let of = |kind: &str| condition(pool, kind).cloned().unwrap_or_default();
    let name = pool["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let line = format!(
        "pool {name} generation {} (seen {}, conflict {}): {}",
        pool["metadata"]["generation"],
        of("cilium.io/IPsTotal")["observedGeneration"],
        of("cilium.io/PoolConflict")["status"],
        ranges.collect::<Vec<_>>().join(" ")
    );
    (name, line)
}

/// The blocks of a pool of LB-IPAM.
fn blocks(pool: &Value) -> Vec<(Ipv6Addr, Ipv6Addr)> {
    pool["spec"]["blocks"].as_array().into_iter().flatten().filter_map(bounds).collect()
}

/// The first and the last IPv6 address of an entry of a pool.
pub(crate) fn bounds(entry: &Value) -> Option<(Ipv6Addr, Ipv6Addr)> {
    if let Some((start, stop)) = entry.as_str().and_then(|range| range.split_once('-')) {
        return Some((start.parse().ok()?, stop.parse().ok()?));
    }
    if let Some(net) = [entry, &entry["cidr"]].into_iter().find_map(Value::as_str) {
        let net: Ipv6Net = net.parse().ok()?;
        return Some((net.network(), net.broadcast()));
    }
    let start = entry["start"].as_str()?.parse().ok()?;
    Some((start, entry["stop"].as_str().map_or(Some(start), |stop| stop.parse().ok())?))
}
