//! The judge on made-up histories: each thing that must not happen is complained about, and nothing else is.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ipnet::Ipv6Net;
use serde_json::{Value, json};

use crate::Test;
use crate::external_dns::{PREFIXES, Records};
use crate::generations::{Generations, Of};
use crate::judge::{AFTER_DNS, Judge, LATE_MODEL};
use crate::said::Asked;
use crate::services::Expected;
use crate::version::Version;

const fn test(name: &'static str, run: fn() -> Result<()>) -> Test {
    Test { name, programs: &[], others: &[], only_full: false, run }
}

pub(crate) const TESTS: &[Test] = &[
    test("judge_a_move_as_designed_is_fine", as_designed),
    test("judge_an_old_address_that_leaves_too_early", too_early),
    test("judge_an_old_address_of_a_dead_prefix_may_leave", dead),
    test("judge_a_name_is_told_what_is_not_there", told_too_early),
    test("judge_ipv4_must_stay", ipv4),
    test("judge_the_users_entries_must_stay", users),
    test("judge_never_empty", never_empty),
    test("judge_an_unpinned_service_moves_once", unpinned),
    test("judge_the_host_part_stays", host_part),
    test("judge_dns_answers_what_is_not_there", answers),
    test("judge_metallb_may_switch", switch),
];

const A1: &str = "2001:db8:a::1";
const B1: &str = "2001:db8:b::1";
const V4: &str = "192.0.2.1";

/// A history of one Service.
struct History {
    judge: Judge,
    start: Instant,
    now: Duration,
}

fn net(letter: char) -> Ipv6Net {
    format!("2001:db8:{letter}::/64").parse().unwrap_or_default()
}

impl History {
    /// With prefix A.
    fn of(expected: Expected) -> Self {
        let mut judge = Judge::new(Generations::new(Some(Duration::ZERO)));
        let start = Instant::now();
        judge.expect("default/front", expected);
        judge.announce(Of::First, start, net('a'), &[]);
        Self { judge, start, now: Duration::from_secs(10) }
    }

    fn managed() -> Self {
        Self::of(Expected { managed: true, named: true, ..Expected::default() })
    }

    fn at(&self) -> Instant {
        self.start + self.now
    }

    /// Some time passes.
    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    fn announce(&mut self, letter: char, dead: &[char]) -> &mut Self {
        self.after(Duration::from_secs(10));
        let dead: Vec<Ipv6Net> = dead.iter().map(|letter| net(*letter)).collect();
        self.judge.announce(Of::First, self.at(), net(letter), &dead);
        self
    }

    /// The Service has these addresses, and this target; a second passes.
    fn version(&mut self, ingress: &[&str], target: &str) -> &mut Self {
        self.version_with(ingress, target, &json!({}))
    }

    fn version_with(&mut self, ingress: &[&str], target: &str, more: &Value) -> &mut Self {
        let mut annotations = json!({});
        for prefix in PREFIXES {
            annotations[format!("{prefix}hostname")] = json!("front.lab.invalid");
            if !target.is_empty() {
                annotations[format!("{prefix}target")] = json!(target);
            }
        }
        for (key, value) in more.as_object().into_iter().flatten() {
            annotations[key] = value.clone();
        }
        let ingress: Vec<Value> = ingress.iter().map(|address| json!({"ip": address})).collect();
        let event = json!({"type": "MODIFIED", "object": {
            "metadata": {"name": "front", "namespace": "default", "uid": "1", "annotations": annotations},
            "spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": ingress}},
        }});
        let at = self.at();
        self.judge.version(at, Version::of(&event));
        self.after(Duration::from_secs(1))
    }

    fn answer(&mut self, addresses: &[&str]) -> &mut Self {
        let mut records = Records::default();
        records.aaaa.extend(addresses.iter().filter_map(|address| address.parse::<std::net::Ipv6Addr>().ok()));
        let at = self.at();
        let name = "front.lab.invalid";
        let asked = Asked { sent: at, received: at, prefix: PREFIXES[0], name, lateness: LATE_MODEL };
        self.judge.answer(&asked, &records);
        self
    }

    fn fine(&self) -> Result<()> {
        let complaints = self.judge.complaints();
        ensure!(complaints.is_empty(), "nothing is wrong with that: {complaints:?}");
        Ok(())
    }

    /// There is a complaint with these words.
    fn blamed(&self, words: &str) -> Result<()> {
        let complaints = self.judge.complaints();
        ensure!(complaints.iter().any(|complaint| complaint.text.contains(words)), "{words}: {complaints:?}");
        Ok(())
    }
}

fn as_designed() -> Result<()> {
    let mut history = History::managed();
    history.version(&[A1], "").version(&[A1], A1).announce('b', &[]).version(&[A1, B1], A1).version(&[A1, B1], B1);
    history.after(AFTER_DNS).version(&[B1], B1).fine()?;
    // And back, without a moment to wait.
    history.announce('a', &[]).version(&[B1, A1], B1).version(&[B1, A1], A1).fine()
}

fn too_early() -> Result<()> {
    let mut history = History::managed();
    history.version(&[A1], A1).announce('b', &[]).version(&[A1, B1], A1).version(&[A1, B1], B1);
    history.after(Duration::from_secs(100)).version(&[B1], B1).blamed("DNS was told to answer it")?;
    let mut history = History::managed();
    history.version(&[A1], A1).version(&[B1], B1).blamed("is the current prefix")
}

fn dead() -> Result<()> {
    let mut history = History::managed();
    history.version(&[A1], A1).announce('b', &['a']).version(&[A1, B1], A1).version(&[A1, B1], B1).version(&[B1], B1);
    history.answer(&[A1]).fine()?;
    // The order stays: not before DNS is told.
    let mut history = History::managed();
    history.version(&[A1], A1).announce('b', &['a']).version(&[A1, B1], A1).version(&[B1], A1);
    history.blamed("DNS is told to answer it")
}

fn told_too_early() -> Result<()> {
    let mut history = History::managed();
    history.version(&[A1], A1).announce('b', &[]).version(&[A1], B1).blamed("which it does not have")
}

fn ipv4() -> Result<()> {
    let mut history = History::managed();
    history.version(&[V4, A1], "192.0.2.1,2001:db8:a::1").fine()?;
    history.version(&[V4, A1], A1).blamed("lacks its IPv4 address")?;
    let mut history = History::managed();
    history.version(&[V4, A1], "").version(&[A1], "").blamed("lost its IPv4 address")
}

fn users() -> Result<()> {
    let key = "lbipam.cilium.io/ips".to_owned();
    let expected = || Expected {
        managed: true,
        annotations: vec![("example.com/owner".to_owned(), "me".to_owned())],
        entries: vec![(key.clone(), vec!["192.0.2.7".to_owned()])],
        ..Expected::default()
    };
    let mut history = History::of(expected());
    let good = json!({"example.com/owner": "me", &key: "192.0.2.7,2001:db8:a::1"});
    history.version_with(&[A1], A1, &good).fine()?;
    history.version_with(&[A1], A1, &json!({"example.com/owner": "me", &key: A1})).blamed("the user's entries")?;
    let mut history = History::of(expected());
    history.version_with(&[A1], A1, &json!({&key: "192.0.2.7"})).blamed("the user's annotation")?;
    let mut history = History::managed();
    history.version_with(&[A1], A1, &json!({&key: ""})).blamed("is blank")
}

fn never_empty() -> Result<()> {
    let mut history = History::of(Expected::default());
    history.version(&[], "").version(&[A1], "").fine()?;
    history.announce('b', &['a']).version(&[], "").blamed("without an IPv6 address")
}

fn unpinned() -> Result<()> {
    let mut history = History::of(Expected::default());
    history.version(&[A1], "").after(Duration::from_secs(10)).announce('b', &['a']).version(&[B1], "").fine()?;
    history.version(&["2001:db8:b::2"], "").blamed("it has moved 2 times in 1 changes")?;
    // Not in the drain either, which is over when DNS has forgotten it, or after an hour by default.
    let mut judge = Judge::new(Generations::new(None));
    judge.expect("default/front", Expected::default());
    let mut history = History { judge, ..History::of(Expected::default()) };
    history.judge.announce(Of::First, history.start, net('a'), &[]);
    history.version(&[A1], "").after(Duration::from_secs(10)).announce('b', &[]).version(&[B1], "").blamed("drains")
}

fn host_part() -> Result<()> {
    let record = json!({"dynamic-prefix.io/managed-suffix": "::1"});
    let mut history = History::managed();
    history.version(&[A1], A1).announce('b', &[]).version(&[A1], A1);
    history.version_with(&[A1], A1, &record).version_with(&[A1, "2001:db8:b::2"], A1, &record);
    history.blamed("different host parts")
}

fn answers() -> Result<()> {
    let mut history = History::managed();
    history.version(&[A1], A1).answer(&[A1]).fine()?;
    history.answer(&[B1]).blamed("is answered with 2001:db8:b::1")
}

fn switch() -> Result<()> {
    let metallb = || History::of(Expected { managed: true, named: true, one_address: true, ..Expected::default() });
    let mut history = metallb();
    history.version(&[A1], A1).announce('b', &[]).version(&[B1], A1).version(&[B1], B1).answer(&[A1]).fine()?;
    let mut history = metallb();
    history.version(&[A1], A1).announce('b', &[]).version(&[B1], A1).after(Duration::from_secs(5));
    history.version(&[B1], A1).blamed("which it does not have")?;
    let mut history = metallb();
    history.version(&[A1], A1).announce('b', &[]).version(&[], A1).blamed("without an IPv6 address")?;
    // Right before the next change, and judged after it.
    let mut history = metallb();
    history.version(&[A1], A1).announce('b', &[]).version(&[A1, B1], B1).announce('a', &[]);
    history.now -= Duration::from_millis(50);
    history.version(&[B1], B1).fine()
}
