use super::*;

mod peers;
mod properties;

const HOUR: Duration = Duration::from_secs(3600);

/// An annotation with its history: what the object and the store carry from one merge to the next.
#[derive(Clone, Debug, Default)]
struct Annotation {
    text: Option<String>,
    record: Option<Vec<IpAddr>>,
    unclaimed: BTreeSet<Ipv6Addr>,
    strays: BTreeMap<Ipv6Addr, Instant>,
}

/// A goal with what is known besides.
#[derive(Clone, Debug, Default)]
struct Wish {
    want: Vec<IpAddr>,
    known: Vec<(Role, Interval)>,
    prefixes: Vec<Interval>,
    strays_since: Option<Instant>,
    hold: bool,
}

impl Annotation {
    fn new(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..Self::default() }
    }

    fn recorded(mut self, record: &str) -> Self {
        self.record = Some(read_record(record));
        self
    }

    fn standing<'a>(&'a self, known: &'a [(Role, Interval)]) -> Standing<'a> {
        Standing {
            text: self.text.as_deref(),
            record: self.record.as_deref(),
            unclaimed: &self.unclaimed,
            strays: &self.strays,
            known,
        }
    }

    /// Merges and takes the result over.
    fn merge(&mut self, wish: &Wish, now: Instant) -> Merged {
        let goal = Goal {
            want: &wish.want,
            prefixes: &wish.prefixes,
            drain_period: Some(HOUR),
            strays_since: wish.strays_since,
            hold: wish.hold,
        };
        let merged = merge(&self.standing(&wish.known), &goal, now);
        self.take(&merged);
        merged
    }

    fn release(&mut self) -> Merged {
        let merged = merge(&self.standing(&[]), &Goal::RELEASE, at(0));
        self.take(&merged);
        merged
    }

    fn take(&mut self, merged: &Merged) {
        self.text.clone_from(&merged.text);
        self.record = Some(merged.record.clone());
        self.unclaimed.clone_from(&merged.unclaimed);
        self.strays.clone_from(&merged.strays);
    }

    fn text(&self) -> &str {
        self.text.as_deref().unwrap_or("(absent)")
    }
}

fn at(seconds: i64) -> Instant {
    Instant::from_secs(seconds)
}

fn addresses(text: &str) -> Vec<IpAddr> {
    entries(text).map(|entry| entry.parse().expect(entry)).collect()
}

fn interval(net: &str) -> Interval {
    Interval::from(net.parse::<ipnet::Ipv6Net>().expect(net))
}

/// Wants these addresses, in the knowledge of these prefixes: the first is current, the others drain.
fn wish(want: &str, prefixes: &[&str]) -> Wish {
    let role = |age: usize| if age == 0 { Role::Current } else { Role::Draining };
    let known: Vec<_> = prefixes.iter().enumerate().map(|(age, net)| (role(age), interval(net))).collect();
    let prefixes = known.iter().map(|(_, prefix)| *prefix).collect();
    Wish { want: addresses(want), known, prefixes, ..Wish::default() }
}

#[test]
fn ours_stand_together_where_the_first_of_them_stood() {
    let mut ips =
        Annotation::new("10.0.0.1, 2001:db8:1::5 ,fd00::5,2001:db8:2::5,host").recorded("2001:db8:1::5,2001:db8:2::5");
    ips.merge(&wish("2001:db8:3::5,2001:db8:2::5", &["2001:db8:3::/48", "2001:db8:2::/48", "2001:db8:1::/48"]), at(0));
    assert_eq!(ips.text(), "10.0.0.1,2001:db8:3::5,2001:db8:2::5,fd00::5,host");
}

#[test]
fn another_order_or_spelling_is_no_reason_for_a_write() {
    let text = " 2001:DB8:2::5 , 10.0.0.1,,2001:db8:1:0::5";
    let mut ips = Annotation::new(text).recorded("2001:db8:1::5,2001:db8:2::5");
    let merged = ips.merge(&wish("2001:db8:1::5,2001:db8:2::5", &["2001:db8:1::/48", "2001:db8:2::/48"]), at(0));
    assert_eq!(merged.text.as_deref(), Some(text));
    assert_eq!(merged.record, addresses("2001:db8:2::5,2001:db8:1::5"));
}

#[test]
fn what_the_user_pinned_is_neither_claimed_nor_doubled() {
    let mut ips = Annotation::new("2001:DB8:1::5").recorded("");
    let merged = ips.merge(&wish("2001:db8:1::5,2001:db8:2::5", &["2001:db8:1::/48", "2001:db8:2::/48"]), at(0));
    assert_eq!(ips.text(), "2001:DB8:1::5,2001:db8:2::5");
    assert_eq!(merged.record, addresses("2001:db8:2::5"));
    let known = wish("", &["2001:db8:1::/48"]);
    let owned = owned(&ips.standing(&known.known));
    assert_eq!((owned.ours, owned.users), (addresses("2001:db8:2::5"), addresses("2001:db8:1::5")));
}

/// Design: without a record, an entry of the current generation is left unclaimed until it would go stale.
#[test]
fn an_unrecorded_address_of_the_current_generation_is_claimed_when_it_drains() {
    let mut ips = Annotation::new("2001:db8:1::7,fd00::7");
    let merged = ips.merge(&wish("2001:db8:1::7", &["2001:db8:1::/48"]), at(0));
    assert_eq!((ips.text(), merged.record.len()), ("2001:db8:1::7,fd00::7", 0));
    assert_eq!(merged.unclaimed, BTreeSet::from(["2001:db8:1::7".parse().expect("an address")]));
    let both = wish("2001:db8:2::7,2001:db8:1::7", &["2001:db8:2::/48", "2001:db8:1::/48"]);
    assert_eq!(owned(&ips.standing(&both.known)).ours, addresses("2001:db8:1::7"));
    let merged = ips.merge(&both, at(1));
    assert_eq!((ips.text(), merged.record.len()), ("2001:db8:2::7,2001:db8:1::7,fd00::7", 2));
    let merged = ips.merge(&wish("2001:db8:2::7", &["2001:db8:2::/48", "2001:db8:1::/48"]), at(2));
    assert_eq!(ips.text(), "2001:db8:2::7,fd00::7");
    assert!(merged.unclaimed.is_empty());
}

#[test]
fn an_unclaimed_address_that_nothing_is_known_about_stays_the_users() {
    let mut ips = Annotation::new("2001:db8:1::7");
    ips.merge(&wish("2001:db8:1::7", &["2001:db8:1::/48"]), at(0));
    let merged = ips.merge(&wish("2001:db8:9::7", &["2001:db8:9::/48"]), at(1));
    assert_eq!((ips.text(), merged.foreign), ("2001:db8:1::7,2001:db8:9::7", vec!["2001:db8:1::7".to_owned()]));
    ips.release();
    assert_eq!(ips.text(), "2001:db8:1::7");
}

/// Design: recorded entries that lie in no known generation drain from first sight.
#[test]
fn strays_drain_from_first_sight() {
    let mut ips = Annotation::new("2001:db8:1::7").recorded("2001:db8:1::7");
    let goal = wish("2001:db8:9::7", &["2001:db8:9::/48"]);
    let merged = ips.merge(&goal, at(100));
    assert_eq!((ips.text(), merged.next_stray), ("2001:db8:9::7,2001:db8:1::7", Some(at(3700))));
    assert_eq!(merged.record, addresses("2001:db8:9::7,2001:db8:1::7"));
    ips.merge(&goal, at(3699));
    assert_eq!(ips.text(), "2001:db8:9::7,2001:db8:1::7");
    let merged = ips.merge(&goal, at(3700));
    assert_eq!((ips.text(), merged.next_stray), ("2001:db8:9::7", None));
}

#[test]
fn strays_leave_when_as_many_former_prefixes_as_may_drain_are_newer() {
    let mut ips = Annotation::new("2001:db8:1::7").recorded("2001:db8:1::7");
    let goal = wish("2001:db8:9::7", &["2001:db8:9::/48"]);
    ips.merge(&Wish { strays_since: Some(at(100)), ..goal.clone() }, at(100));
    assert_eq!(ips.text(), "2001:db8:9::7,2001:db8:1::7");
    ips.merge(&Wish { strays_since: Some(at(101)), ..goal }, at(101));
    assert_eq!(ips.text(), "2001:db8:9::7");
}

#[test]
fn a_recorded_ipv4_address_is_ours_and_leaves_at_once() {
    let mut ips = Annotation::new("198.51.100.7,10.0.0.1,2001:db8:1::7").recorded("198.51.100.7,2001:db8:1::7");
    let merged = ips.merge(&wish("198.51.100.8,2001:db8:1::7", &["2001:db8:1::/48"]), at(0));
    assert_eq!(ips.text(), "198.51.100.8,2001:db8:1::7,10.0.0.1");
    assert_eq!((merged.strays.len(), merged.next_stray), (0, None));
}

#[test]
fn without_an_opinion_nothing_recorded_leaves() {
    let mut ips = Annotation::new("fd00::1,198.51.100.7,2001:db8:1::7").recorded("198.51.100.7,2001:db8:1::7");
    ips.merge(&Wish { hold: true, ..Wish::default() }, at(0));
    assert_eq!(ips.text(), "fd00::1,198.51.100.7,2001:db8:1::7");
    assert_eq!(ips.record, Some(addresses("198.51.100.7,2001:db8:1::7")));
    assert!(ips.strays.is_empty());
}

#[test]
fn an_annotation_is_absent_rather_than_blank() {
    let mut ips = Annotation::new("2001:db8:1::7").recorded("2001:db8:1::7");
    assert_eq!((ips.release().text, ips.text()), (None, "(absent)"));
    assert_eq!(ips.release().text, None);
    // One that the user left blank is not ours to take away.
    assert_eq!(Annotation::new(" ,").recorded("").release().text.as_deref(), Some(" ,"));
}

#[test]
fn a_record_is_read_in_any_spelling_and_written_in_one() {
    let record = read_record(" 2001:0DB8:0::7 ,198.51.100.7,,nonsense,2001:db8::/64");
    assert_eq!(write_record(&record), "2001:db8::7,198.51.100.7");
    assert!(is_same(&record, &addresses("198.51.100.7,2001:db8::7")));
    assert!(!is_same(&record, &addresses("198.51.100.7")) && !is_same(&[], &record));
}
