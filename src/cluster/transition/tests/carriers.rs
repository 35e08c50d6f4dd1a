//! What one Service should ask for and what DNS should name, case by case.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::super::carrier::{Carrier, Goal, goal};
use super::super::{AFTER_DNS, Age, Allocator, Stage};
use crate::config::Mode;
use crate::plan::Role;
use crate::time::Instant;

const NOW: Instant = Instant::from_secs(10_000);

fn addresses(text: &str) -> Vec<Ipv6Addr> {
    text.split_whitespace().map(|address| address.parse().expect("an address")).collect()
}

/// c:: is current, b:: drains, a:: is only known, d:: is dead.
fn age(address: Ipv6Addr) -> Option<Age> {
    let (role, dead) = match address.segments()[0] {
        0xc => (Role::Current, false),
        0xb => (Role::Draining, false),
        0xa => (Role::Known, false),
        0xd => (Role::Known, true),
        _ => return None,
    };
    Some(Age { role, dead })
}

struct Case {
    allocator: Allocator,
    mode: Mode,
    pins: &'static str,
    kept_from_it: &'static str,
    holds: &'static str,
    /// `None`: DNS is not ours to say.
    named: Option<&'static str>,
    offered: bool,
    refused: bool,
    narrowed: bool,
    dns_since: Option<Instant>,
}

const HA: Case = Case {
    allocator: Allocator::Cilium,
    mode: Mode::Ha,
    pins: "",
    kept_from_it: "",
    holds: "",
    named: Some(""),
    offered: true,
    refused: false,
    narrowed: true,
    dns_since: None,
};
const METALLB: Case = Case { allocator: Allocator::MetalLb, ..HA };
const SIMPLE: Case = Case { mode: Mode::Simple, named: None, ..HA };

impl Case {
    fn goal(&self) -> Goal {
        let named = self.named.map(addresses);
        let carrier = Carrier {
            allocator: self.allocator,
            mode: self.mode,
            new: Some("c::1".parse().expect("an address")),
            pins: &addresses(self.pins),
            kept_from_it: &addresses(self.kept_from_it),
            user_asks: false,
            holds: &addresses(self.holds),
            targets: named.as_deref(),
            offered: self.offered,
            refused: self.refused,
            narrowed: self.narrowed,
            dns_since: self.dns_since,
        };
        goal(&carrier, age, NOW)
    }
}

#[test]
fn what_it_asks_for_and_what_dns_names() {
    use Stage::{AwaitingAddress, AwaitingPin, AwaitingPool, AwaitingTarget, Refused, Served};
    let named = |named| Some(named);
    let not_offered = |case: Case| Case { offered: false, ..case };
    let refused = |case: Case| Case { refused: true, ..case };
    let table = [
        // Cilium, mode ha: new and old, then new.
        (not_offered(Case { holds: "b::1", ..HA }), AwaitingPool, "", ""),
        // Its first address may come at this very moment: asking for another one would take that away.
        (not_offered(HA), AwaitingPool, "", ""),
        (Case { holds: "b::1", ..HA }, AwaitingPin, "c::1 b::1", ""),
        (Case { pins: "b::1", holds: "b::1", named: named("b::1"), ..HA }, AwaitingPin, "c::1 b::1", "b::1"),
        (Case { pins: "c::1 b::1", holds: "b::1", named: named("b::1"), ..HA }, AwaitingAddress, "c::1 b::1", "b::1"),
        (
            Case { pins: "c::1 b::1", holds: "b::1 c::1", named: named("b::1"), ..HA },
            AwaitingTarget,
            "c::1 b::1",
            "c::1",
        ),
        (Case { pins: "c::1 b::1", holds: "b::1 c::1", named: named("c::1"), ..HA }, Served, "c::1 b::1", "c::1"),
        (Case { pins: "c::1 d::1", holds: "d::1 c::1", named: named("c::1"), ..HA }, Served, "c::1", "c::1"),
        // What it gave up would be handed out again.
        (
            Case { pins: "c::1 d::1", holds: "d::1 c::1", named: named("c::1"), narrowed: false, ..HA },
            Served,
            "c::1 d::1",
            "c::1",
        ),
        (
            Case { pins: "c::1 d::1", holds: "d::1 c::1", named: named("d::1"), ..HA },
            AwaitingTarget,
            "c::1 d::1",
            "c::1",
        ),
        // It had another host part: what another Service has of the current generation is not asked for any more.
        (Case { pins: "c::2 b::2", kept_from_it: "c::2", holds: "b::2", ..HA }, AwaitingPin, "c::1 b::2", ""),
        (Case { pins: "c::2 b::2", holds: "b::2", ..HA }, AwaitingPin, "c::1 c::2 b::2", ""),
        (Case { pins: "c::2 b::2", kept_from_it: "b::2", holds: "c::2", ..HA }, AwaitingPin, "c::1 c::2 b::2", ""),
        // DNS is not ours to say, and names what it has: the old address is remembered no less.
        (Case { pins: "c::1 a::1", holds: "c::1 a::1", named: None, ..HA }, Served, "c::1 a::1", ""),
        // It has it from the allocator: pin and target in one write.
        (Case { holds: "c::1", ..HA }, AwaitingPin, "c::1", "c::1"),
        // It has it, but has just stopped to ask for it: it may be taken away any moment.
        (Case { pins: "b::1", holds: "b::1 c::1", named: named("b::1"), ..HA }, AwaitingPin, "c::1 b::1", "b::1"),
        // Refused: DNS stays, and when the old one goes it is left to the allocator.
        (refused(Case { pins: "c::1 b::1", holds: "b::1", named: named("b::1"), ..HA }), Refused, "c::1 b::1", "b::1"),
        (refused(Case { pins: "c::1 a::1", holds: "a::1", named: named("a::1"), ..HA }), Refused, "", ""),
        (refused(Case { holds: "c::9", ..HA }), Refused, "c::1 c::9", "c::9"),
        (refused(HA), Refused, "", ""),
        // MetalLB: one address, and never one that it might not get.
        (not_offered(METALLB), AwaitingPool, "", ""),
        (
            not_offered(Case { pins: "b::1", holds: "b::1", named: named("b::1"), ..METALLB }),
            AwaitingPool,
            "b::1",
            "b::1",
        ),
        (Case { pins: "b::1", holds: "b::1", named: named("b::1"), ..METALLB }, AwaitingPin, "c::1", "b::1"),
        (Case { pins: "c::1", holds: "c::1", named: named("b::1"), ..METALLB }, AwaitingTarget, "c::1", "c::1"),
        (refused(Case { pins: "b::1", holds: "b::1", named: named("b::1"), ..METALLB }), Refused, "b::1", "b::1"),
        (refused(Case { pins: "a::1", holds: "a::1", named: named("a::1"), ..METALLB }), Refused, "", ""),
        // Mode simple: both only until it has the new one.
        (Case { pins: "b::1", holds: "b::1", ..SIMPLE }, AwaitingPin, "c::1 b::1", ""),
        (Case { pins: "c::1 b::1", holds: "b::1 c::1", ..SIMPLE }, Served, "c::1", ""),
        (refused(Case { pins: "c::1 b::1", holds: "b::1", ..SIMPLE }), Refused, "c::1 b::1", ""),
    ];
    for (number, (case, stage, pins, target)) in table.iter().enumerate() {
        let goal = case.goal();
        let expected = (*stage, addresses(pins), addresses(target).first().copied());
        assert_eq!((goal.stage, goal.pins, goal.target), expected, "case {number}");
    }
}

#[test]
fn the_old_address_stays_for_what_resolvers_remember() {
    let served = |dns_since| Case { pins: "c::1 a::1", holds: "a::1 c::1", named: Some("c::1"), dns_since, ..HA };
    let first = served(None).goal();
    assert_eq!((first.dns_since, first.wake), (Some(NOW), Some(NOW + AFTER_DNS)), "nothing known: it begins now");
    assert_eq!(first.pins, addresses("c::1 a::1"));
    let almost = NOW - AFTER_DNS + Duration::from_millis(1);
    assert_eq!(served(Some(almost)).goal().pins, addresses("c::1 a::1"));
    let over = served(Some(NOW - AFTER_DNS)).goal();
    assert_eq!((over.pins, over.wake), (addresses("c::1"), None));
    let unnamed = Case { named: None, ..served(Some(NOW - AFTER_DNS)) }.goal();
    assert_eq!(unnamed.pins, addresses("c::1"), "the same where DNS is not ours to say");
}

#[test]
fn without_a_current_prefix_only_what_drains_is_asked_for() {
    let named = addresses("a::1");
    let carrier = Carrier {
        allocator: Allocator::Cilium,
        mode: Mode::Ha,
        new: None,
        pins: &addresses("b::1 a::1"),
        kept_from_it: &[],
        user_asks: false,
        holds: &addresses("b::1 a::1"),
        targets: Some(&named),
        offered: false,
        refused: false,
        narrowed: true,
        dns_since: None,
    };
    let both = goal(&carrier, age, NOW);
    let left = addresses("b::1");
    assert_eq!(
        (both.stage, both.pins, both.target),
        (Stage::Unplaced, left.clone(), Some(left[0])),
        "not what it gives up"
    );
    let gone = goal(&Carrier { pins: &addresses("a::1"), holds: &[], ..carrier }, age, NOW);
    assert_eq!((gone.pins, gone.target), (Vec::new(), None), "DNS names nothing that nobody serves");
}
