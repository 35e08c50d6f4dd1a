//! Services in any state, and whatever may happen to them, in any order and at any instant.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::api::object;
use super::town::{DUAL, Town, V6, ours};
use super::*;

const SUFFIX: &str = "dynamic-prefix.io/suffix";
const NAME: &str = "dynamic-prefix.io/name";
const SUBNET: &str = "dynamic-prefix.io/service-subnet";
const SKIP: &str = "dynamic-prefix.io/skip-external-dns-update";
const TARGET: &str = "external-dns.kubernetes.io/target";
const NAMED: &str = "dynamic-prefix.io/managed-targets";
/// What the user wrote into the target.
const USER: &str = "front.example.net";

/// What a Service may wait for in the end, and says so.
const WAITS: [&str; 5] =
    ["AddressCollision", "AddressRefused", "EntryError", "AwaitingFirstAddress", "AwaitingAddress"];

#[derive(Clone, Debug)]
enum Step {
    /// The prefix becomes 2001:db8:N::.
    Rotate(u16),
    /// So many former prefixes drain.
    Draining(usize),
    Dead(u16),
    Create {
        which: usize,
        suffix: u8,
        is_dual: bool,
        is_ours: bool,
        shares: bool,
    },
    Delete(usize),
    Suffix(usize, u8),
    Managed(usize, bool),
    Shares(usize, bool),
    SkipsDns(usize, bool),
    /// It refers to the one subnet or to the other.
    Part(usize, bool),
    /// The process dies; the store has what was reported, or nothing.
    Restart(bool),
    /// So many patches are written, and the controllers act whenever there is none.
    Some(usize),
    Live,
    Wait(i64),
    /// The mode of the DynamicPrefix is the other one.
    Mode,
    /// `transition.services` is the other one.
    Scope,
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0..4_usize;
    prop_oneof![
        4 => (1..5_u16).prop_map(Step::Rotate),
        2 => (0..3_usize).prop_map(Step::Draining),
        1 => (1..5_u16).prop_map(Step::Dead),
        5 => (which(), 0..6_u8, any::<bool>(), 0..4, 0..3).prop_map(|(which, suffix, is_dual, ours, shares)| {
            Step::Create { which, suffix, is_dual, is_ours: ours > 0, shares: shares == 0 }
        }),
        2 => which().prop_map(Step::Delete),
        4 => (which(), 0..6_u8).prop_map(|(which, suffix)| Step::Suffix(which, suffix)),
        1 => (which(), any::<bool>()).prop_map(|(which, is)| Step::Managed(which, is)),
        1 => (which(), 0..5).prop_map(|(which, is)| Step::Shares(which, is > 0)),
        1 => (which(), any::<bool>()).prop_map(|(which, is)| Step::SkipsDns(which, is)),
        1 => (which(), any::<bool>()).prop_map(|(which, is)| Step::Part(which, is)),
        1 => any::<bool>().prop_map(Step::Restart),
        6 => (1..8_usize).prop_map(Step::Some),
        4 => Just(Step::Live),
        4 => prop_oneof![1..8_i64, 100..150_i64, 1..5000_i64].prop_map(Step::Wait),
        1 => Just(Step::Mode),
        1 => Just(Step::Scope),
    ]
}

/// What is bound beside the subnet "lb" on the first pool.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Alone,
    /// Another subnet on a second pool.
    TwoPools,
    /// Another subnet on the same pool.
    TwoSubnets,
}

fn layout() -> impl Strategy<Value = (Layout, Mode)> {
    let layout = prop_oneof![Just(Layout::Alone), Just(Layout::TwoPools), Just(Layout::TwoSubnets)];
    (layout, prop_oneof![3 => Just(Mode::Ha), 1 => Just(Mode::Simple)])
}

struct Play {
    town: Town,
    now: i64,
    services: BTreeMap<usize, ObjectRef>,
    /// Of Services that nobody touched: what was named when the prefix changed, as long as it drains.
    drains: BTreeMap<usize, BTreeSet<IpAddr>>,
    /// Services that nobody touched since they had an address.
    had: BTreeSet<usize>,
    /// MetalLB gives a Service one address, so only the end is judged.
    is_metallb: bool,
    /// The state was lost, and with it what is to be released.
    is_lost: bool,
    /// The user has taken an address away: Services share one no more.
    is_lax: bool,
}

impl Play {
    fn new(target: &ObjectRef, (layout, mode): (Layout, Mode)) -> Self {
        let mut town = Town::new(mode, target);
        let is_metallb = target.kind == Kind::IPAddressPool;
        match layout {
            // All addresses of a Service of MetalLB are of one pool.
            Layout::TwoPools if !is_metallb => {
                let other = pool("other");
                town.lab.api.create(object(&other, [cidr("192.0.3.0/24")]));
                town.bindings.push(binding("c", "other", &other));
                town.lab.connect(at(0));
            }
            Layout::TwoSubnets => town.bindings.push(binding("c", "other", target)),
            Layout::Alone | Layout::TwoPools => {}
        }
        town.tell(at(0));
        town.live(at(0));
        Self {
            town,
            now: 1,
            services: BTreeMap::new(),
            drains: BTreeMap::new(),
            had: BTreeSet::new(),
            is_metallb,
            is_lost: false,
            is_lax: false,
        }
    }

    fn run(mut self, steps: Vec<Step>) {
        steps.into_iter().for_each(|step| self.step(step));
        self.comes_to_rest();
        self.is_as_it_should_be();
        self.a_second_process_has_nothing_to_do();
        self.nothing_of_ours_stays();
    }

    fn step(&mut self, step: Step) {
        let now = at(self.now);
        match step {
            Step::Rotate(number) => self.rotate(number),
            Step::Draining(count) => {
                self.town.draining = count;
                self.town.tell(now);
            }
            Step::Dead(number) if self.town.numbers.first() == Some(&number) => {}
            Step::Dead(number) => {
                self.town.dead.insert(number);
                self.town.tell(now);
            }
            Step::Create { which, .. } if self.services.contains_key(&which) => {}
            Step::Create { which, suffix, is_dual, is_ours, shares } => {
                let mut annotations = if is_ours { ours(&[(TARGET, USER)]) } else { json!({ TARGET: USER }) };
                if suffix > 0 {
                    annotations[SUFFIX] = json!(format!("::{suffix}"));
                }
                if shares {
                    annotations[self.sharing_key()] = json!("k");
                }
                let families = if is_dual { DUAL } else { V6 };
                let service = self.town.create(&format!("s{which}"), annotations, families, now);
                self.services.insert(which, service);
            }
            Step::Delete(which) => self.delete(which),
            Step::Suffix(which, 0) => self.annotate(which, SUFFIX, None),
            Step::Suffix(which, n) => self.annotate(which, SUFFIX, Some(&format!("::{n}"))),
            Step::Managed(which, is) => self.annotate(which, NAME, is.then_some("home-ipv6")),
            Step::Shares(which, is) => {
                self.is_lax |= !is;
                self.town.is_watched &= is;
                self.annotate(which, self.sharing_key(), is.then_some("k"));
            }
            Step::SkipsDns(which, is) => self.annotate(which, SKIP, is.then_some("true")),
            Step::Part(..) if self.town.bindings.len() == 1 => {}
            Step::Part(which, is) => self.annotate(which, SUBNET, Some(if is { "lb" } else { "other" })),
            Step::Restart(remembers) => {
                self.is_lost |= !remembers;
                self.town.is_watched &= remembers;
                self.town.restart(remembers, now);
            }
            Step::Some(count) => self.live_a_little(count),
            Step::Live => drop(self.town.live(now)),
            Step::Wait(seconds) => self.wait(seconds),
            Step::Mode => {
                self.town.mode = if self.town.mode == Mode::Ha { Mode::Simple } else { Mode::Ha };
                self.reload();
            }
            Step::Scope => {
                let is_all = self.town.scope == ServiceScope::All;
                self.town.scope = if is_all { ServiceScope::Annotated } else { ServiceScope::All };
                self.reload();
            }
        }
        self.check();
    }

    const fn sharing_key(&self) -> &'static str {
        if self.is_metallb { "metallb.io/allow-shared-ip" } else { "lbipam.cilium.io/sharing-key" }
    }

    fn rotate(&mut self, number: u16) {
        self.town.dead.remove(&number);
        if self.town.numbers.first() != Some(&number) {
            for (which, service) in &self.services {
                let named = named(&self.town, service);
                self.drains.entry(*which).or_default().extend(named.into_iter().filter(IpAddr::is_ipv6));
            }
        }
        self.town.rotate(number, at(self.now));
    }

    fn delete(&mut self, which: usize) {
        if let Some(service) = self.services.remove(&which) {
            self.touch(which);
            self.town.lab.api.delete(&service);
            self.town.lab.island.handle_deleted(&service, at(self.now));
        }
    }

    fn annotate(&mut self, which: usize, key: &str, value: Option<&str>) {
        if let Some(service) = self.services.get(&which).cloned() {
            self.touch(which);
            self.town.annotate(&service, "kubectl", key, value, at(self.now));
        }
    }

    /// The user has changed it: what it had may go.
    fn touch(&mut self, which: usize) {
        self.drains.remove(&which);
        self.had.remove(&which);
    }

    /// The configuration has changed.
    fn reload(&mut self) {
        self.drains.clear();
        self.town.tell(at(self.now));
    }

    fn live_a_little(&mut self, count: usize) {
        for _ in 0..count {
            if self.town.write(at(self.now)).is_none() {
                self.town.controllers(at(self.now));
                self.check();
            }
        }
    }

    fn wait(&mut self, seconds: i64) {
        let start = at(self.now);
        if self.is_metallb {
            // It does not say that it refuses. If it is silent for longer, that counts as one until a pool changes.
            self.town.live(start);
        }
        self.now += seconds;
        self.town.lab.island.handle_timeout(start);
        while let Some(next) = self.town.lab.island.poll_timeout().filter(|next| *next <= at(self.now)) {
            self.town.live_until(next);
            self.check();
        }
        self.town.live(at(self.now));
    }

    /// What holds at every instant: the user's target stays, nothing that drains is lost, and nobody is without an address.
    fn check(&mut self) {
        self.town.lab.drain();
        for (which, service) in &self.services {
            let target = self.town.note(service, TARGET).unwrap_or_default();
            assert!(target.starts_with(USER), "{service}: the target {target} lacks the user's");
            if self.is_lax || self.is_metallb || self.is_orphan(service) {
                continue;
            }
            let (has, drains) = (self.town.ingress(service), |address: &IpAddr| drains(&self.town, *address));
            let expected = self.drains.entry(*which).or_default();
            expected.retain(drains);
            if self.town.mode == Mode::Ha {
                assert!(expected.is_subset(&has), "{service}: {expected:?} drain, it has {has:?}");
            }
            assert!(!has.is_empty() || !self.had.contains(which), "{service} has no address any more");
            if !has.is_empty() {
                self.had.insert(*which);
            }
        }
    }

    /// Only what the store lists is ever released. One that nobody wants managed any more, and that was not written before
    /// the state was lost, stays as it is.
    fn is_orphan(&self, service: &ObjectRef) -> bool {
        self.is_lost && !self.town.lab.reports.contains_key(service)
    }

    fn comes_to_rest(&mut self) {
        self.step(Step::Live);
        self.step(Step::Wait(2 * HOUR));
        self.step(Step::Draining(0));
        self.step(Step::Live);
        self.step(Step::Wait(10 * HOUR));
        let before = self.town.lab.writes.len();
        self.step(Step::Wait(100 * HOUR));
        assert_eq!(self.town.lab.writes.len(), before, "it goes on: {:?}", self.town.lab.writes.last());
        assert_eq!(self.town.lab.island.poll_timeout(), None);
    }

    fn is_as_it_should_be(&self) {
        for (reference, report) in &self.town.lab.reports {
            let says_why = report.message.is_some() && WAITS.contains(&report.reason.as_str());
            assert!(report.synced || says_why, "{reference}: {report:?}");
        }
        for service in self.services.values().filter(|service| !self.is_orphan(service)) {
            let (has, named) = (self.town.ingress(service), named(&self.town, service));
            assert!(named.is_subset(&has), "{service}: DNS names {named:?}, it has {has:?}");
            assert!(!has.is_empty(), "{service} has nothing: {:?}", self.town.lab.reports.get(service));
        }
    }

    fn a_second_process_has_nothing_to_do(&mut self) {
        self.town.restart(true, at(self.now));
        self.step(Step::Wait(10 * HOUR));
        assert_eq!(self.town.lab.writes.len(), 0, "{:?}", self.town.lab.writes.last());
    }

    fn nothing_of_ours_stays(&mut self) {
        // What leaves the file goes at once, whoever has an address of it.
        self.town.is_watched = false;
        self.town.bindings.clear();
        self.town.scope = ServiceScope::Annotated;
        (0..4).for_each(|which| self.annotate(which, NAME, None));
        self.town.tell(at(self.now));
        self.town.live(at(self.now));
        self.town.live_until(at(self.now + HOUR));
        for service in self.services.values().filter(|_| !self.is_lost) {
            let left = &self.town.lab.api.get(service).annotations;
            assert_eq!(left.get(TARGET).map(String::as_str), Some(USER), "{left:?}");
            let is_ours = |key: &String| key.contains("managed") || key.ends_with("/ips") || key.ends_with("IPs");
            assert!(!left.keys().any(is_ours), "{left:?}");
        }
    }
}

/// What DNS names on our behalf.
fn named(town: &Town, service: &ObjectRef) -> BTreeSet<IpAddr> {
    let named = town.note(service, NAMED).unwrap_or_default();
    crate::cluster::addresses::read_record(&named).into_iter().collect()
}

/// Whether `address` is of a prefix that drains.
fn drains(town: &Town, address: IpAddr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    let number = address.segments()[2];
    let place = town.numbers.iter().position(|known| *known == number);
    place.is_some_and(|place| place > 0 && place <= town.draining) && !town.dead.contains(&number)
}

proptest! {
    // Some two seconds each. Before a change of the order of steps is called done, a few thousand are worth their time.
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_cilium(layout in layout(), steps in prop::collection::vec(step(), 1..40)) {
        Play::new(&pool("lb"), layout).run(steps);
    }

    #[test]
    fn whatever_happens_metallb(layout in layout(), steps in prop::collection::vec(step(), 1..40)) {
        Play::new(&metallb("public"), layout).run(steps);
    }
}
