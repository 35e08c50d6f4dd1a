//! What a pool should hold, case by case.

use ipnet::Ipv6Net;

use super::super::Stage;
use super::super::share::{Around, Customer, Part, Shares, pool};
use crate::config::Mode;
use crate::plan::{Block, Role};
use crate::prefix::Interval;

fn interval(text: &str) -> Interval {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Interval::new(first.parse().expect("an address"), last.parse().expect("an address")).expect("in order")
}

fn list(text: &str) -> Vec<Interval> {
    text.split_whitespace().map(interval).collect()
}

/// One DynamicPrefix with one range of each generation, and what a pool that has `ours` and `users` should hold.
#[derive(Clone)]
struct Case {
    roles: &'static [(Role, &'static str)],
    ours: &'static str,
    users: &'static str,
    customers: Vec<Customer>,
    in_use: Option<&'static str>,
    in_conflict: bool,
    tidy: bool,
    dead: bool,
}

const CURRENT_AND_DRAINING: &[(Role, &str)] = &[(Role::Current, "b::-b::f"), (Role::Draining, "a::-a::f")];
const CURRENT_AND_KNOWN: &[(Role, &str)] = &[(Role::Current, "b::-b::f"), (Role::Known, "a::-a::f")];

impl Default for Case {
    fn default() -> Self {
        let roles = CURRENT_AND_DRAINING;
        Self {
            roles,
            ours: "a::-a::f",
            users: "",
            customers: Vec::new(),
            in_use: Some(""),
            in_conflict: false,
            tidy: false,
            dead: false,
        }
    }
}

impl Case {
    /// The list, and whether the new range is held back.
    fn wants(&self) -> (String, Shares) {
        let blocks: Vec<_> = self.roles.iter().map(|(_, range)| vec![Block::Range(interval(range))]).collect();
        let parts: Vec<_> = self
            .roles
            .iter()
            .zip(&blocks)
            .map(|((role, range), blocks)| Part {
                prefix: Ipv6Net::new(interval(range).first(), 16).expect("a length"),
                role: *role,
                dead: self.dead,
                mode: Mode::Ha,
                blocks,
            })
            .collect();
        let in_use: Option<Vec<_>> = self.in_use.map(|text| list(text).iter().map(Interval::first).collect());
        let around = Around {
            recorded: &list(self.ours),
            foreign: &list(self.users),
            customers: &self.customers,
            in_use: in_use.as_deref(),
            in_conflict: self.in_conflict,
            tidy: self.tidy,
        };
        let prefixes = [parts];
        let shares = pool(&prefixes, &around).remove(0);
        let text: Vec<String> = shares.list(&prefixes[0]).iter().map(ToString::to_string).collect();
        (text.join(" ").replace("::-", "::0-").replace(":: ", "::0 "), shares)
    }

    fn list(&self) -> String {
        self.wants().0
    }
}

fn customer(new: &str, stage: Stage, pins: &str) -> Customer {
    let pins = list(pins).iter().map(Interval::first).collect();
    Customer { new: Some(new.parse().expect("an address")), stage, given_up: false, pins }
}

#[test]
fn the_new_range_is_held_back_until_the_last_one_is_settled() {
    let waiting = |stage| vec![customer("b::3", stage, "a::3"), customer("b::4", Stage::Served, "b::4 a::4")];
    for stage in [Stage::AwaitingPool, Stage::AwaitingPin, Stage::AwaitingAddress, Stage::AwaitingTarget] {
        let case = Case { customers: waiting(stage), in_use: Some("a::3 a::4 a::9"), ..Case::default() };
        let (list, shares) = case.wants();
        assert_eq!((list.as_str(), shares.reserved), ("a::0-a::f b::3-b::4", true), "last in the list: {stage:?}");
    }
    for stage in [Stage::Served, Stage::Refused, Stage::Unplaced] {
        let case = Case { customers: waiting(stage), in_use: Some("a::3 a::4 a::9"), ..Case::default() };
        let (list, shares) = case.wants();
        assert_eq!((list.as_str(), shares.reserved), ("b::0-b::f a::3-a::4 a::9-a::9", false), "{stage:?}");
    }
    let mut given_up = waiting(Stage::AwaitingPin);
    given_up[0].given_up = true;
    assert_eq!(Case { customers: given_up, ..Case::default() }.list(), "b::0-b::f a::3-a::4");
}

#[test]
fn a_pool_without_a_former_range_gets_everything_at_once() {
    let customers = vec![customer("b::3", Stage::AwaitingPool, "")];
    assert_eq!(Case { ours: "", customers, ..Case::default() }.list(), "b::0-b::f");
}

#[test]
fn what_was_narrowed_stays_narrowed_and_given_up_addresses_go_with_the_next_write() {
    let narrowed = Case { ours: "b::-b::f a::3-a::9", in_use: Some("a::4"), ..Case::default() };
    assert_eq!(narrowed.list(), "b::0-b::f a::3-a::9", "no write for what was given up");
    assert_eq!(Case { tidy: true, ..narrowed }.list(), "b::0-b::f a::4-a::4", "but for a while");
    let roles = &[(Role::Current, "c::-c::f"), (Role::Draining, "b::-b::f"), (Role::Draining, "a::-a::f")];
    let next = Case { roles, ours: "b::-b::f a::3-a::9", in_use: Some("a::4 b::1"), ..Case::default() };
    assert_eq!(next.list(), "c::0-c::f b::1-b::1 a::4-a::4");
    // What the user took out and a Service still asks for comes back; what nobody asks for does not.
    let customers = vec![customer("b::7", Stage::Served, "b::7 a::7")];
    let taken = Case { ours: "b::-b::f a::3", in_use: Some("a::3 a::5"), customers, ..Case::default() };
    assert_eq!(taken.list(), "b::0-b::f a::3-a::3 a::7-a::7");
}

/// The prefix has changed again before the Services had their addresses in it. What waits there for them leaves when the
/// newest range is there in full: a Service that finds it before that keeps it, and one that lost it would have to move
/// into a range that is about to be a former one itself.
#[test]
fn what_was_kept_for_services_that_never_came_leaves_with_the_new_range() {
    let roles = &[(Role::Current, "c::-c::f"), (Role::Draining, "b::-b::f"), (Role::Draining, "a::-a::f")];
    let moving =
        vec![customer("c::3", Stage::AwaitingPool, "a::3"), customer("c::4", Stage::AwaitingPool, "b::4 a::4")];
    let case =
        Case { roles, ours: "b::3-b::4 a::-a::f", in_use: Some("a::3 a::4"), customers: moving, ..Case::default() };
    assert_eq!(case.list(), "a::0-a::f b::3-b::4 c::3-c::4", "whole ranges first: MetalLB hands out in this order");
    let seen = Case { ours: "a::-a::f b::3-b::4 c::3-c::4", ..case };
    assert_eq!(seen.list(), "a::0-a::f b::3-b::4 c::3-c::4", "and that is no reason to write");
    assert_eq!(Case { tidy: true, ..seen.clone() }.list(), "a::0-a::f b::4-b::4 c::3-c::4", "but for a while");
    let customers =
        vec![customer("c::3", Stage::Served, "c::3 a::3"), customer("c::4", Stage::Served, "c::4 b::4 a::4")];
    let there = Case { customers, in_use: Some("a::3 a::4 c::3 c::4"), ..seen };
    assert_eq!(there.list(), "c::0-c::f b::4-b::4 a::3-a::4");
}

/// Of two dead prefixes one is remembered by DNS: the addresses given up in the other one are not kept for it.
#[test]
fn one_former_range_does_not_wait_for_the_other() {
    let roles = &[(Role::Current, "c::-c::f"), (Role::Known, "b::-b::f"), (Role::Known, "a::-a::f")];
    let customers = vec![customer("c::3", Stage::Served, "c::3 a::3")];
    let case = Case { roles, ours: "c::-c::f b::3 a::3-a::4", in_use: Some("a::3 b::3"), customers, ..Case::default() };
    assert_eq!(case.list(), "c::0-c::f a::3-a::3");
}

#[test]
fn a_former_range_leaves_when_nobody_asks_for_it_and_nobody_moves() {
    let roles = CURRENT_AND_KNOWN;
    let with =
        |customers| Case { roles, ours: "b::-b::f a::3-a::9", customers, in_use: Some("a::4"), ..Case::default() };
    assert_eq!(with(vec![customer("b::3", Stage::Served, "b::3 a::3")]).list(), "b::0-b::f a::3-a::9");
    assert_eq!(with(vec![customer("b::3", Stage::AwaitingAddress, "b::3")]).list(), "b::0-b::f a::3-a::9");
    assert_eq!(with(vec![customer("b::3", Stage::Served, "b::3")]).list(), "b::0-b::f");
    assert_eq!(with(vec![customer("b::3", Stage::Refused, "")]).list(), "b::0-b::f");
    assert_eq!(
        Case { in_conflict: true, ..with(Vec::new()) }.list(),
        "b::0-b::f a::3-a::9",
        "nobody would get another"
    );
    // It is gone: who asks for it still does not bring it back.
    let gone = Case { ours: "b::-b::f", ..with(vec![customer("b::3", Stage::Served, "b::3 a::3")]) };
    assert_eq!(gone.list(), "b::0-b::f");
}

#[test]
fn while_addresses_are_not_known_nothing_is_narrowed_and_nothing_widened() {
    let unknown = Case { in_use: None, ..Case::default() };
    let (list, shares) = unknown.wants();
    assert_eq!((list.as_str(), shares.whole_for_ignorance), ("b::0-b::f a::0-a::f", true));
    let narrowed = Case { in_use: None, ours: "b::-b::f a::3", ..Case::default() };
    assert_eq!(narrowed.list(), "b::0-b::f a::3-a::3");
    assert_eq!(Case { in_use: None, roles: CURRENT_AND_KNOWN, ..Case::default() }.list(), "b::0-b::f");
}

#[test]
fn the_users_part_of_a_range_counts_as_there() {
    // The user has the first half: ours is whole with the other.
    let customers = vec![customer("b::3", Stage::AwaitingPin, "")];
    let whole = Case { ours: "b::8-b::f a::3", users: "b::-b::7", customers, in_use: Some("a::3"), ..Case::default() };
    let (list, shares) = whole.wants();
    assert_eq!((list.as_str(), shares.reserved), ("b::0-b::f a::3-a::3", false));
    let old = Case { ours: "a::8-a::f", users: "a::-a::7", in_use: Some("a::3 a::9"), ..Case::default() };
    assert_eq!(old.list(), "b::0-b::f a::3-a::3 a::9-a::9", "ownership cuts what the user covers");
}

#[test]
fn a_narrowed_prefix_comes_back() {
    let roles = &[(Role::Current, "a::-a::f"), (Role::Draining, "b::-b::f")];
    let customers = vec![customer("a::5", Stage::AwaitingPool, "b::5")];
    let back = Case { roles, ours: "b::-b::f a::3", customers, in_use: Some("a::3 b::5"), ..Case::default() };
    assert_eq!(back.list(), "b::0-b::f a::3-a::3 a::5-a::5");
}

/// A Service that cannot be written asks for its old address and for nothing else: that stays, alone, while somebody can
/// be reached by it.
#[test]
fn what_a_service_that_cannot_be_written_needs_stays_when_the_drain_is_over() {
    let locked = |pins| Customer { given_up: true, ..customer("b::4", Stage::AwaitingPin, pins) };
    let case = |pins, ours| Case { roles: CURRENT_AND_KNOWN, ours, customers: vec![locked(pins)], ..Case::default() };
    for in_use in [Some("a::4 a::7"), None] {
        let (list, shares) = Case { in_use, ..case("a::4", "b::-b::f a::-a::f") }.wants();
        assert_eq!(list, "b::0-b::f a::4-a::4");
        assert_eq!(shares.kept, [list_of("a::4")]);
    }
    let dead = Case { dead: true, ..case("a::4", "b::-b::f a::-a::f") };
    assert_eq!(dead.list(), "b::0-b::f");
    assert_eq!(case("a::4 b::4", "b::-b::f a::-a::f").list(), "b::0-b::f", "it has another");
    assert_eq!(case("a::4", "b::-b::f a::7-a::7").list(), "b::0-b::f", "what has left does not come back");
    let users = Case { users: "a::4", ..case("a::4", "b::-b::f") };
    assert_eq!(users.list(), "b::0-b::f");
    let conflict = Case { in_conflict: true, ..case("a::4", "b::-b::f a::2-a::6") };
    assert_eq!(conflict.list(), "b::0-b::f a::2-a::6", "a range that is changed loses its addresses");
}

fn list_of(text: &str) -> std::net::Ipv6Addr {
    text.parse().expect("an address")
}
