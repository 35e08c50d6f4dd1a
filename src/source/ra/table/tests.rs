//! Scenarios in virtual time. Ids T-… are those of the conformance table in the reference.

use std::time::Duration;

use super::*;
use crate::source::Cut;
use crate::source::link::LinkAddress;
use crate::source::ra::packet::PrefixInformation;
use crate::time::Deadline;

mod doubts;
mod limits;
mod links;
mod stored;
mod witness;

const START: Instant = Instant::from_secs(1000);
const ROUTER: &str = "fe80::1";
const OTHER_ROUTER: &str = "fe80::2";
const A: &str = "2001:db8:a::/64";
const B: &str = "2001:db8:b::/64";
const ULA: &str = "fd00:1::/64";

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn net(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

fn at(seconds: u64) -> Instant {
    START + Duration::from_secs(seconds)
}

fn until(seconds: u64) -> Deadline {
    Deadline::At(at(seconds))
}

fn up() -> LinkState {
    LinkState {
        ifindex: 2,
        up: true,
        mac: None,
        addresses: vec![LinkAddress { address: ip("fe80::c"), tentative: false }],
    }
}

fn settings(interests: Vec<Interest>) -> Settings {
    Settings { interface: "wan".to_owned(), interests }
}

/// A prefix with its preferred and its valid lifetime in seconds.
type Listed = (&'static str, u32, u32);

/// An advertisement of prefixes with their preferred and valid lifetimes in seconds.
fn advertisement(router: &str, prefixes: &[(&str, u32, u32)]) -> Advertisement {
    let prefixes = prefixes
        .iter()
        .map(|(prefix, preferred, valid)| PrefixInformation {
            prefix: net(prefix),
            on_link: true,
            autonomous: true,
            pd_preferred: false,
            preferred: *preferred,
            valid: *valid,
        })
        .collect();
    Advertisement {
        router: ip(router),
        router_lifetime: 1800,
        managed: false,
        other: false,
        prefixes,
        ignored: Vec::new(),
    }
}

/// A table, a clock, and a record of what was solicited.
struct Lab {
    table: Table,
    now: Instant,
    /// The seconds after START at which a Router Solicitation was sent.
    solicited: Vec<u64>,
}

impl Lab {
    /// On an interface that is up since START, before anything was sent.
    fn new(interests: Vec<Interest>) -> Self {
        let mut lab = Self { table: Table::new(settings(interests)), now: START, solicited: Vec::new() };
        lab.table.handle_link(Some(up()), START);
        lab.drain();
        lab
    }

    /// The same, with one interest in everything, and long enough ago that nothing is rate limited any more.
    fn settled() -> Self {
        let mut lab = Self::new(vec![Interest::default()]);
        lab.advance_to(20);
        lab.solicited.clear();
        lab
    }

    fn drain(&mut self) {
        while self.table.poll_solicit() {
            self.solicited.push(self.now.saturating_since(START).as_secs());
        }
    }

    /// Lets time pass to `seconds` after START, with every time-out at its time.
    fn advance_to(&mut self, seconds: u64) {
        while let Some((next, _)) = self.table.poll_timeout().filter(|(next, _)| *next <= at(seconds)) {
            self.now = self.now.max(next);
            self.table.handle_timeout(self.now);
            assert!(self.table.poll_timeout().is_none_or(|(later, _)| later > self.now), "a time-out that stays");
            self.drain();
        }
        self.now = at(seconds);
    }

    fn hear(&mut self, seconds: u64, router: &str, prefixes: &[(&str, u32, u32)]) {
        self.advance_to(seconds);
        self.table.handle_advertisement(&advertisement(router, prefixes), self.now);
        self.drain();
    }

    fn link(&mut self, seconds: u64, link: Option<LinkState>) {
        self.advance_to(seconds);
        self.table.handle_link(link, self.now);
        self.drain();
    }

    fn find(&self, router: &str, prefix: &str) -> Option<Offer> {
        let offers = self.table.report().offers;
        offers.into_iter().find(|offer| offer.router == Some(ip(router)) && offer.prefix == net(prefix))
    }

    /// The lifetimes of a prefix of ROUTER.
    fn offer(&self, prefix: &str) -> Offer {
        self.find(ROUTER, prefix).unwrap_or_else(|| panic!("{prefix} is not offered"))
    }

    fn cut(&self, prefix: &str) -> Option<Cut> {
        self.offer(prefix).cut
    }

    fn state(&self) -> SourceState {
        self.table.report().state
    }
}

#[test]
fn what_is_heard_is_offered() {
    let mut lab = Lab::settled();
    lab.hear(30, ROUTER, &[(A, 120, 300)]);
    let expected = Offer {
        prefix: net(A),
        recipient: None,
        router: Some(ip(ROUTER)),
        preferred_until: until(150),
        valid_until: until(330),
        excluded: vec![],
        first_seen: at(30),
        cut: None,
    };
    assert_eq!(lab.table.report().offers, std::slice::from_ref(&expected));
    lab.hear(40, ROUTER, &[(A, 120, 300)]);
    let refreshed = Offer { preferred_until: until(160), valid_until: until(340), ..expected };
    assert_eq!(lab.table.report().offers, [refreshed]);
}

/// T-124: two prefixes of one advertisement, each ends at its own time.
#[test]
fn two_prefixes_end_each_at_its_time() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 20, 20), (B, 40, 40)]);
    assert_eq!((lab.offer(A).valid_until, lab.offer(B).valid_until), (until(40), until(60)));
    lab.advance_to(70);
    assert_eq!((lab.offer(A).cut, lab.offer(B).cut), (None, None), "they ended by themselves");
}

/// T-131: infinity.
#[test]
fn an_infinite_lifetime_does_not_end() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 3600, u32::MAX)]);
    assert_eq!(lab.offer(A).preferred_until, until(3620));
    assert_eq!(lab.offer(A).valid_until, Deadline::Never);
    lab.advance_to(100_000_000);
    assert!(lab.find(ROUTER, A).is_some());
}

/// T-132: valid for 40 s by one advertisement; reported as ended for another hour, then forgotten.
#[test]
fn an_ended_prefix_is_reported_for_an_hour() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 40, 40)]);
    lab.advance_to(60 + 3599);
    assert_eq!(lab.offer(A).valid_until, until(60));
    lab.advance_to(60 + 3600);
    assert_eq!(lab.table.report().offers, []);
}

/// T-134: no two-hour rule: lifetimes are what the router says now, shorter or longer.
#[test]
fn lifetimes_are_taken_as_announced() {
    let mut lab = Lab::settled();
    for (seconds, preferred, valid) in [(20, 3600, 10_000), (30, 60, 90), (40, 5, 7200), (50, 100_000, 200_000)] {
        lab.hear(seconds, ROUTER, &[(A, preferred, valid)]);
        assert_eq!(lab.offer(A).preferred_until, until(seconds + u64::from(preferred)));
        assert_eq!(lab.offer(A).valid_until, until(seconds + u64::from(valid)));
    }
}

#[test]
fn preferred_zero_deprecates_once_and_can_be_taken_back() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 120, 300)]);
    lab.hear(30, ROUTER, &[(A, 0, 300)]);
    let deprecated = lab.offer(A);
    assert_eq!((deprecated.preferred_until, deprecated.valid_until), (until(30), until(330)));
    assert_eq!(deprecated.cut, Some(Cut::Deprecated));
    lab.hear(40, ROUTER, &[(A, 0, 300)]);
    assert_eq!(lab.offer(A).preferred_until, until(30), "it was deprecated at 30, not again at 40");
    lab.hear(50, ROUTER, &[(A, 120, 300)]);
    assert_eq!((lab.cut(A), lab.offer(A).preferred_until), (None, until(170)));
    assert_eq!(lab.solicited, [0; 0], "nothing of this is in doubt");
}

/// The old prefix listed first, deprecated, beside the new one: both are offered, the old one as deprecated.
#[test]
fn a_deprecated_prefix_listed_first_is_known_as_such_from_the_start() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 0, 300), (B, 120, 300)]);
    assert_eq!((lab.cut(A), lab.offer(A).preferred_until), (Some(Cut::Deprecated), until(20)));
    assert_eq!((lab.cut(B), lab.offer(B).preferred_until), (None, until(140)));
}

/// T-130: valid lifetime 0 for a prefix nobody knows is nothing.
#[test]
fn an_unknown_prefix_with_valid_zero_is_not_tracked() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 0, 0)]);
    assert_eq!(lab.table.report().offers, []);
    assert_eq!(lab.solicited, [0; 0]);
}

#[test]
fn a_prefix_listed_twice_counts_as_it_is_listed_last() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 0, 300), (A, 120, 300)]);
    assert_eq!((lab.cut(A), lab.offer(A).preferred_until), (None, until(140)));
}

#[test]
fn a_prefix_that_had_ended_is_new_when_it_is_listed_again() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 10, 10)]);
    lab.hear(25, ROUTER, &[(A, 10, 10)]);
    assert_eq!(lab.offer(A).first_seen, at(20));
    lab.hear(100, ROUTER, &[(A, 10, 10)]);
    assert_eq!(lab.offer(A).first_seen, at(100));
}

/// A router with router lifetime 0 is no default router; its prefixes count (RFC 4861 §4.2).
#[test]
fn router_lifetime_zero_does_not_matter() {
    let mut lab = Lab::settled();
    let last = Advertisement { router_lifetime: 0, ..advertisement(ROUTER, &[(A, 120, 300)]) };
    lab.table.handle_advertisement(&last, lab.now);
    assert_eq!(lab.cut(A), None);
}

/// T-137: the last advertisement of a radvd that stops (RA-24): router lifetime 0, preferred 0, valid as before.
#[test]
fn a_router_that_says_farewell_deprecates_and_withdraws_nothing() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 120, 300)]);
    lab.advance_to(30);
    let farewell = Advertisement { router_lifetime: 0, ..advertisement(ROUTER, &[(A, 0, 300)]) };
    lab.table.handle_advertisement(&farewell, lab.now);
    lab.advance_to(200);
    assert_eq!((lab.cut(A), lab.offer(A).valid_until), (Some(Cut::Deprecated), until(330)));
}

/// T-177: two routers announce the same prefix, which comes and goes a hundred times between them.
#[test]
fn a_prefix_of_two_routers_is_one_offer_of_each() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    lab.hear(21, OTHER_ROUTER, &[(A, 1200, 3000)]);
    for turn in 0..50 {
        lab.hear(30 + turn * 10, ROUTER, &[(A, 0, 3000)]);
        let other = lab.find(OTHER_ROUTER, A).expect("it lives there");
        assert!(other.cut.is_none() && !other.preferred_until.is_over(lab.now));
        lab.hear(32 + turn * 10, ROUTER, &[(A, 1200, 3000)]);
        lab.hear(34 + turn * 10, OTHER_ROUTER, &[(A, 0, 3000)]);
        assert_eq!(lab.cut(A), None);
        lab.hear(36 + turn * 10, OTHER_ROUTER, &[(A, 1200, 3000)]);
    }
    assert_eq!(lab.table.report().offers.len(), 2);
}

#[test]
fn a_report_comes_with_a_change_and_only_then() {
    let mut lab = Lab::settled();
    assert!(lab.table.poll_report().is_some());
    assert_eq!(lab.table.poll_report(), None);
    lab.hear(30, ROUTER, &[(A, 120, 300)]);
    assert_eq!(lab.table.poll_report().map(|report| report.offers.len()), Some(1));
    lab.table
        .handle_packet(&Received { source: ip(ROUTER), hop_limit: Some(1), fragmented: false, bytes: &[134] }, lab.now);
    assert_eq!(lab.table.counters().dropped.get(&DropReason::HopLimit), Some(&1));
    assert_eq!(lab.table.poll_report(), None, "a counter is no news");
    lab.hear(40, ROUTER, &[(A, 120, 300)]);
    assert!(lab.table.poll_report().is_some(), "the deadlines moved");
}
