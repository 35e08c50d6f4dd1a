use proptest::prelude::*;
use serde_json::json;

use super::*;

mod properties;

const POOL: Kind = Kind::CiliumLoadBalancerIPPool;
const GROUP: Kind = Kind::CiliumCIDRGroup;
const METALLB: Kind = Kind::IPAddressPool;
const HOUR: Duration = Duration::from_secs(3600);

/// A list with its history: what the object and the store carry from one merge to the next.
struct Shared {
    kind: Kind,
    list: Vec<Value>,
    record: Option<Vec<Block>>,
    unclaimed: BTreeSet<Interval>,
    strays: BTreeMap<Interval, Instant>,
}

impl Shared {
    fn new(kind: Kind, list: impl IntoIterator<Item = Value>) -> Self {
        let list = list.into_iter().collect();
        Self { kind, list, record: None, unclaimed: BTreeSet::new(), strays: BTreeMap::new() }
    }

    fn recorded(mut self, record: &str) -> Self {
        self.record = Some(entry::read_record(record));
        self
    }

    /// Merges and takes the result over; whether anything changed.
    fn merge(&mut self, goal: &Goal<'_>, now: Instant) -> Merged {
        let standing = Standing {
            kind: self.kind,
            list: &self.list,
            record: self.record.as_deref(),
            unclaimed: &self.unclaimed,
            strays: &self.strays,
        };
        let merged = merge(&standing, goal, now);
        self.list.clone_from(&merged.list);
        self.record = Some(merged.record.clone());
        self.unclaimed.clone_from(&merged.unclaimed);
        self.strays.clone_from(&merged.strays);
        merged
    }

    fn text(&self) -> Vec<String> {
        self.list.iter().map(entry::describe).collect()
    }
}

fn block(text: &str) -> Block {
    entry::read_recorded(text).expect(text)
}

fn blocks(texts: &[&str]) -> Vec<Block> {
    texts.iter().map(|text| block(text)).collect()
}

fn at(seconds: i64) -> Instant {
    Instant::from_secs(seconds)
}

/// The nth generation: a /48, of which the first /64 is wanted.
fn generation(n: u16) -> Block {
    block(&format!("2001:db8:{n:x}::/64"))
}

fn goal<'a>(want: &'a [Block], known: &'a [(Role, Interval)]) -> Goal<'a> {
    Goal { want, known, drain_period: Some(HOUR), ..Goal::default() }
}

fn current(blocks: &[Block]) -> Vec<(Role, Interval)> {
    blocks.iter().map(|block| (Role::Current, block.interval())).collect()
}

#[test]
fn e4_metallb_keeps_what_the_user_wrote_and_replaces_what_it_knows() {
    let mut shared =
        Shared::new(METALLB, ["198.51.100.1-198.51.100.10", "fd00::/64", "2001:db8:1::/64"].map(Value::from));
    let want = blocks(&["range=2001:db8:2::1-2001:db8:2::ff", "cidr=2001:db8:3::/64"]);
    let mut known = current(&want);
    known.push((Role::Known, block("2001:db8:1::/64").interval()));
    shared.merge(&goal(&want, &known), at(0));
    let expected = ["198.51.100.1-198.51.100.10", "fd00::/64", "2001:db8:2::1-2001:db8:2::ff", "2001:db8:3::/64"];
    assert_eq!(shared.text(), expected);
    let before = shared.list.clone();
    assert_eq!(shared.merge(&goal(&want, &known), at(9)).list, before);
}

#[test]
fn e6_e7_twenty_five_rotations_leave_current_and_history_and_the_users() {
    for (kind, own) in [(GROUP, json!("fd00:db8:abcd::/48")), (METALLB, json!("198.51.100.0/24"))] {
        let mut shared = Shared::new(kind, [own.clone()]);
        for n in 0..=25_u16 {
            let want: Vec<_> = (0..3).filter_map(|age| n.checked_sub(age)).map(generation).collect();
            let known: Vec<_> = (0..=n).rev().map(|past| (role(n - past), generation(past).interval())).collect();
            shared.merge(&goal(&want, &known), at(i64::from(n) * 86_400));
        }
        let expected =
            [entry::describe(&own), "2001:db8:19::/64".into(), "2001:db8:18::/64".into(), "2001:db8:17::/64".into()];
        assert_eq!(shared.text(), expected, "{kind:?}");
    }
}

fn role(age: u16) -> Role {
    match age {
        0 => Role::Current,
        1 | 2 => Role::Draining,
        _ => Role::Known,
    }
}

#[test]
fn e8_a_wider_entry_of_the_user_is_kept_and_covers_ours() {
    let want = blocks(&["2001:db8:abcd::/64"]);
    let mut shared = Shared::new(POOL, [json!({"cidr": "2001:db8:abcd::/48"})]);
    let merged = shared.merge(&goal(&want, &current(&want)), at(0));
    assert_eq!(shared.text(), ["2001:db8:abcd::/48"]);
    assert_eq!(merged.covered_by, ["2001:db8:abcd::/48"]);
    assert_eq!(merged.record, []);
}

#[test]
fn e13_only_what_lies_inside_a_known_range_can_be_ours() {
    let known: Vec<_> = ["2001:db8:1::/48", "2001:db8:2::/48"].map(|net| (Role::Known, block(net).interval())).into();
    let users = [
        json!({"cidr": "fd00::/64"}),
        json!({"cidr": "198.51.100.0/24"}),
        json!({"start": "10.0.0.1", "stop": "10.0.0.254"}),
        json!({}),
    ];
    let ours = [json!({"cidr": "2001:db8:1:0:f000::/80"}), json!({"cidr": "2001:db8:2::/64"})];
    let mut shared = Shared::new(POOL, ours.into_iter().chain(users.clone()));
    shared.merge(&goal(&[], &known), at(0));
    assert_eq!(shared.list, users);
}

#[test]
fn e15_the_record_counts_as_addresses_and_two_spellings_are_one_entry() {
    let mut shared = Shared::new(
        METALLB,
        ["2001:0DB8:ABCD::/64", "fd00::/64", "2001:db8:abcd::-2001:db8:abcd::ffff:ffff:ffff:ffff"].map(Value::from),
    )
    .recorded("cidr=2001:0DB8:ABCD::1/64");
    let want = blocks(&["2001:db8:abcd::/64"]);
    shared.merge(&goal(&want, &current(&want)), at(0));
    assert_eq!(shared.text(), ["2001:0DB8:ABCD::/64", "fd00::/64"], "ours keeps its spelling too: it means the same");
}

#[test]
fn d30_what_the_user_pins_ahead_survives_its_generation() {
    let (a, b, c) = (generation(1), generation(2), generation(3));
    let mut shared = Shared::new(METALLB, [json!("198.51.100.0/24")]);
    shared.merge(&goal(&[a], &current(&[a])), at(0));
    shared.list.push(json!("2001:DB8:2::/64"));
    let merged = shared.merge(&goal(&[b, a], &[(Role::Current, b.interval()), (Role::Draining, a.interval())]), at(1));
    assert_eq!(shared.text(), ["198.51.100.0/24", "2001:db8:1::/64", "2001:DB8:2::/64"]);
    assert_eq!(merged.covered_by, ["2001:DB8:2::/64"]);
    let known = [(Role::Current, c.interval()), (Role::Known, b.interval()), (Role::Known, a.interval())];
    shared.merge(&goal(&[c], &known), at(2));
    assert_eq!(shared.text(), ["198.51.100.0/24", "2001:db8:3::/64", "2001:DB8:2::/64"]);
}

/// Design: without a record, an entry of the current generation is left unclaimed until it would go stale.
#[test]
fn an_unrecorded_entry_of_the_current_generation_is_claimed_when_it_drains() {
    let (a, b) = (generation(1), generation(2));
    let mut shared = Shared::new(POOL, [json!({"cidr": "2001:DB8:1::/64"}), json!({"cidr": "fd00::/64"})]);
    let merged = shared.merge(&goal(&[a], &current(&[a])), at(0));
    assert_eq!((shared.text(), merged.record.len()), (vec!["2001:DB8:1::/64".into(), "fd00::/64".into()], 0));
    assert_eq!(merged.unclaimed, BTreeSet::from([a.interval()]));
    shared.merge(&goal(&[b, a], &[(Role::Current, b.interval()), (Role::Draining, a.interval())]), at(1));
    assert_eq!(shared.text(), ["2001:db8:2::/64", "2001:DB8:1::/64", "fd00::/64"]);
    let merged = shared.merge(&goal(&[b], &[(Role::Current, b.interval()), (Role::Known, a.interval())]), at(2));
    assert_eq!(shared.text(), ["2001:db8:2::/64", "fd00::/64"]);
    assert!(merged.unclaimed.is_empty());
}

#[test]
fn an_unclaimed_entry_that_nothing_is_known_about_stays_the_users() {
    let (a, z) = (generation(1), generation(9));
    let mut shared = Shared::new(POOL, [json!({"cidr": "2001:db8:1::/64"})]);
    shared.merge(&goal(&[a], &current(&[a])), at(0));
    shared.merge(&goal(&[z], &current(&[z])), at(1));
    assert_eq!(shared.text(), ["2001:db8:1::/64", "2001:db8:9::/64"]);
}

#[test]
fn ours_stand_together_where_the_first_of_them_stood() {
    let want = blocks(&["2001:db8:3::/64", "2001:db8:1::/64"]);
    let list = ["10.0.0.0/24", "2001:db8:1::/64", "fd00::/64", "2001:db8:2::/64", "10.0.1.0/24"].map(Value::from);
    let mut shared = Shared::new(GROUP, list).recorded("cidr=2001:db8:1::/64,cidr=2001:db8:2::/64");
    let mut known = current(&want);
    known.push((Role::Known, generation(2).interval()));
    shared.merge(&goal(&want, &known), at(0));
    assert_eq!(shared.text(), ["10.0.0.0/24", "2001:db8:3::/64", "2001:db8:1::/64", "fd00::/64", "10.0.1.0/24"]);
}

#[test]
fn in_a_pool_ours_is_written_around_the_users() {
    let want = blocks(&["range=2001:db8::10-2001:db8::1f"]);
    let mut shared =
        Shared::new(METALLB, ["2001:db8::14/126", "2001:db8::1f-2001:db8::2f"].map(Value::from)).recorded("");
    let merged = shared.merge(&goal(&want, &current(&want)), at(0));
    let expected =
        ["2001:db8::14/126", "2001:db8::1f-2001:db8::2f", "2001:db8::10-2001:db8::13", "2001:db8::18-2001:db8::1e"];
    assert_eq!(shared.text(), expected);
    assert_eq!(merged.covered_by, ["2001:db8::14/126", "2001:db8::1f-2001:db8::2f"]);
    // The user takes the first away: ours is whole again there.
    shared.list.remove(0);
    shared.merge(&goal(&want, &current(&want)), at(1));
    assert_eq!(shared.text(), ["2001:db8::1f-2001:db8::2f", "2001:db8::10-2001:db8::1e"]);
}

#[test]
fn a_cidr_group_may_say_an_address_twice_but_not_an_entry() {
    let want = blocks(&["2001:db8:1::/64", "2001:db8:2::/64"]);
    let mut shared = Shared::new(GROUP, ["2001:DB8:1::/64", "2001:db8:2::/48"].map(Value::from)).recorded("");
    let merged = shared.merge(&goal(&want, &current(&want)), at(0));
    assert_eq!(shared.text(), ["2001:DB8:1::/64", "2001:db8:2::/48", "2001:db8:2::/64"]);
    assert_eq!(merged.record, blocks(&["2001:db8:2::/64"]));
}

#[test]
fn strays_drain_from_first_sight() {
    let want = [generation(9)];
    let known = current(&want);
    let mut shared = Shared::new(POOL, [json!({"cidr": "2001:db8:1::/64"})]).recorded("cidr=2001:db8:1::/64");
    let merged = shared.merge(&goal(&want, &known), at(100));
    assert_eq!(shared.text(), ["2001:db8:9::/64", "2001:db8:1::/64"]);
    assert_eq!(merged.next_stray, Some(at(3700)));
    shared.merge(&goal(&want, &known), at(3699));
    assert_eq!(shared.text().len(), 2);
    let merged = shared.merge(&goal(&want, &known), at(3700));
    assert_eq!((shared.text(), merged.next_stray), (vec!["2001:db8:9::/64".into()], None));
}

#[test]
fn strays_leave_when_as_many_former_prefixes_as_may_drain_are_newer() {
    let want = [generation(9)];
    let known = current(&want);
    let mut shared = Shared::new(POOL, [json!({"cidr": "2001:db8:1::/64"})]).recorded("cidr=2001:db8:1::/64");
    shared.merge(&Goal { strays_since: Some(at(50)), ..goal(&want, &known) }, at(100));
    shared.merge(&Goal { strays_since: Some(at(100)), ..goal(&want, &known) }, at(200));
    assert_eq!(shared.text(), ["2001:db8:9::/64", "2001:db8:1::/64"]);
    let merged = shared.merge(&Goal { strays_since: Some(at(150)), ..goal(&want, &known) }, at(200));
    assert_eq!(shared.text(), ["2001:db8:9::/64"]);
    assert_eq!(merged.record, want);
}

#[test]
fn a_recorded_entry_of_a_known_generation_that_nobody_wants_is_no_stray() {
    let want = blocks(&["2001:db8:1:5::/64"]);
    let prefixes = [block("2001:db8:1::/48").interval()];
    let mut shared = Shared::new(POOL, [json!({"cidr": "2001:db8:1:4::/64"})]).recorded("cidr=2001:db8:1:4::/64");
    shared.merge(&Goal { prefixes: &prefixes, ..goal(&want, &current(&want)) }, at(0));
    assert_eq!(shared.text(), ["2001:db8:1:5::/64"]);
}

#[test]
fn without_an_opinion_of_all_nothing_recorded_leaves() {
    let want = [generation(2)];
    let mut shared = Shared::new(POOL, [json!({"cidr": "2001:db8:1::/64"})]).recorded("cidr=2001:db8:1::/64");
    let merged = shared.merge(&Goal { hold: true, ..goal(&want, &current(&want)) }, at(0));
    assert_eq!(shared.text(), ["2001:db8:2::/64", "2001:db8:1::/64"]);
    assert_eq!(merged.strays, BTreeMap::new());
}

#[test]
fn only_a_cilium_pool_may_become_empty() {
    for (kind, entry, left) in [
        (POOL, json!({"cidr": "2001:db8:1::/64"}), 0),
        (GROUP, json!("2001:db8:1::/64"), 1),
        (METALLB, json!("2001:db8:1::/64"), 1),
    ] {
        let mut shared = Shared::new(kind, [entry]).recorded("cidr=2001:db8:1::/64");
        let known = [(Role::Known, generation(1).interval())];
        let merged = shared.merge(&goal(&[], &known), at(0));
        assert_eq!((shared.list.len(), merged.cannot_empty), (left, left == 1), "{kind:?}");
        assert_eq!(merged.record.len(), left, "{kind:?}: what stays of ours stays recorded");
    }
}

#[test]
fn replace_gives_up_the_users_entries() {
    let want = [generation(2)];
    let mut shared = Shared::new(METALLB, ["10.0.0.0/24", "nonsense", "2001:db8:2::/48"].map(Value::from));
    let merged = shared.merge(&Goal { replace: true, ..goal(&want, &current(&want)) }, at(0));
    assert_eq!(shared.text(), ["2001:db8:2::/64"]);
    assert!(merged.foreign.is_empty() && merged.covered_by.is_empty());
}
