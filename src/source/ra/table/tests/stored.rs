//! What a former run has stored.

use super::limits::{prefix, router};
use super::*;

fn stored(prefix: &str) -> Offer {
    Offer {
        prefix: net(prefix),
        recipient: None,
        router: Some(ip(ROUTER)),
        preferred_until: until(500),
        valid_until: until(900),
        excluded: vec![],
        first_seen: Instant::from_secs(-50),
        cut: None,
    }
}

/// A prefix in use that this router announced.
fn current(router: &str, prefix: &str) -> Offer {
    let (preferred_until, valid_until) = (Deadline::Never, Deadline::Never);
    Offer { router: Some(ip(router)), preferred_until, valid_until, first_seen: START, ..stored(prefix) }
}

/// A former prefix of this router, replaced so many seconds before START, and valid for a day from then on.
pub(super) fn former(router: &str, prefix: &str, age: u64) -> Offer {
    let replaced = START - Duration::from_secs(age);
    Offer {
        router: Some(ip(router)),
        preferred_until: Deadline::At(replaced),
        valid_until: Deadline::At(replaced + Duration::from_secs(86_400)),
        first_seen: replaced,
        cut: Some(Cut::Deprecated),
        ..stored(prefix)
    }
}

fn seeded(offers: &[Offer]) -> Lab {
    let mut lab = Lab::settled();
    lab.table.seed(offers, lab.now);
    lab
}

/// A restart: the store says which router announced A. Its first answer lists only B.
#[test]
fn a_stored_prefix_can_be_unlisted_by_its_router() {
    let mut lab = Lab::new(vec![Interest::default()]);
    lab.table.seed(&[stored(A), Offer { router: None, ..stored(B) }], START);
    assert_eq!(lab.table.report().offers, [stored(A)], "the one without a router is left out");
    lab.hear(1, ROUTER, &[(B, 1200, 3000)]);
    lab.hear(4, ROUTER, &[(B, 1200, 3000)]);
    assert_eq!(lab.solicited, [0, 3], "three seconds after the one at the start");
    assert_eq!((lab.cut(A), lab.offer(A).preferred_until), (Some(Cut::Unlisted), until(4)));
}

/// What is stored is cut to `delegatedPrefixLength`; the first /64 of it that is heard takes its place.
#[test]
fn a_stored_delegation_gives_way_to_its_subnet() {
    let mut lab = Lab::new(vec![Interest::default()]);
    lab.table.seed(&[stored("2001:db8:a::/48")], START);
    lab.hear(1, ROUTER, &[(A, 1200, 3000)]);
    assert_eq!(lab.table.report().offers.len(), 1);
    assert_eq!((lab.offer(A).first_seen, lab.offer(A).preferred_until), (Instant::from_secs(-50), until(1201)));
    lab.advance_to(100);
    assert_eq!(lab.solicited, [0], "nothing is in doubt");
}

/// RFC 4862 §5.5.3 ignores valid lifetime 0 for a prefix that is not known.
#[test]
fn a_former_prefix_is_withdrawn_by_its_router_and_only_when_it_says_so_again() {
    let confirmations: [(&str, &[Listed]); 3] =
        [("0 again", &[(A, 0, 0)]), ("omitted beside another", &[(B, 1200, 3000)]), ("omitted", &[])];
    for (what, prefixes) in confirmations {
        let mut lab = seeded(&[former(ROUTER, A, 500)]);
        lab.hear(100, ROUTER, &[(A, 0, 0)]);
        lab.hear(100, OTHER_ROUTER, &[(A, 0, 0)]);
        let doubtful = lab.offer(A);
        assert_eq!((doubtful.cut, doubtful.valid_until), (Some(Cut::Deprecated), until(86_400 - 500)), "{what}");
        assert_eq!(lab.solicited, [100], "{what}");
        lab.hear(101, OTHER_ROUTER, &[(A, 0, 0)]);
        assert_eq!(lab.offer(A), doubtful, "{what}: another router has no say");
        lab.hear(102, ROUTER, prefixes);
        assert_eq!((lab.cut(A), lab.offer(A).valid_until), (Some(Cut::Withdrawn), until(102)), "{what}");
        assert_eq!(lab.offer(A).preferred_until, Deadline::At(START - Duration::from_secs(500)), "{what}");
    }
}

#[test]
fn a_forged_withdrawal_of_a_former_prefix_is_corrected() {
    let mut lab = seeded(&[former(ROUTER, A, 500)]);
    lab.hear(100, ROUTER, &[(A, 0, 0)]);
    lab.hear(101, ROUTER, &[(A, 0, 3000), (B, 1200, 3000)]);
    lab.hear(200, ROUTER, &[(B, 1200, 3000)]);
    assert_eq!((lab.cut(A), lab.offer(A).valid_until), (Some(Cut::Deprecated), until(3101)));
}

#[test]
fn silence_about_a_former_prefix_means_nothing_and_asks_nothing() {
    let mut lab = seeded(&[former(ROUTER, A, 500)]);
    for second in [100, 110, 120] {
        lab.hear(second, ROUTER, &[(B, 1200, 3000)]);
    }
    assert_eq!((lab.cut(A), lab.solicited.as_slice()), (Some(Cut::Deprecated), &[][..]));
    assert_eq!(lab.table.report().advertised.map(|told| told.prefixes), Some([net(B)].into()));
}

#[test]
fn a_former_prefix_that_is_listed_again_is_usable_again() {
    let mut lab = seeded(&[former(ROUTER, A, 500)]);
    lab.hear(100, ROUTER, &[(A, 1200, 3000)]);
    assert_eq!((lab.cut(A), lab.offer(A).preferred_until), (None, until(1300)));
}

/// What is in use for one DynamicPrefix may be a former prefix of another.
#[test]
fn of_the_same_prefix_twice_the_first_counts() {
    let lab = seeded(&[current(ROUTER, A), former(ROUTER, A, 500)]);
    assert_eq!(lab.table.report().offers, [current(ROUTER, A)]);
}

/// What is stored is the whole delegation, and what its router withdraws is the /64 that it announced.
#[test]
fn the_end_of_its_subnet_is_that_of_a_stored_delegation() {
    for seed in [current(ROUTER, "2001:db8:a::/48"), former(ROUTER, "2001:db8:a::/48", 500)] {
        let mut lab = seeded(&[seed]);
        lab.hear(100, ROUTER, &[(A, 0, 0), ("2001:db8:a:1::/64", 0, 0)]);
        let offers = lab.table.report().offers;
        assert_eq!((offers.len(), lab.cut(A)), (1, Some(Cut::Deprecated)), "one stands for all of it");
        assert_eq!(lab.solicited, [100]);
        lab.hear(101, ROUTER, &[(A, 0, 0), ("2001:db8:a:1::/64", 0, 0)]);
        assert_eq!((lab.cut(A), lab.offer(A).valid_until), (Some(Cut::Withdrawn), until(101)));
    }
}

#[test]
fn the_end_of_one_subnet_is_not_that_of_a_stored_delegation_with_another() {
    let mut lab = seeded(&[current(ROUTER, "2001:db8:a::/48")]);
    for second in [100, 101] {
        lab.hear(second, ROUTER, &[(A, 0, 0), ("2001:db8:a:1::/64", 1200, 3000)]);
    }
    assert_eq!((lab.cut(A), lab.cut("2001:db8:a:1::/64")), (Some(Cut::Withdrawn), None));
}

#[test]
fn stored_prefixes_respect_the_limits_and_the_lists() {
    let offer = |router: &str, prefix: String| current(router, &prefix);
    let seeded = |interest: Interest, offers: Vec<Offer>| {
        let mut table = Table::new(settings(vec![interest]));
        table.seed(&offers, START);
        table.report().offers.len()
    };
    let routers = (0..20).map(|number| offer(&router(number), prefix(number))).collect();
    assert_eq!(seeded(Interest::default(), routers), 8);
    let prefixes = (0..20).map(|number| offer(ROUTER, prefix(number))).collect();
    assert_eq!(seeded(Interest::default(), prefixes), 16);
    let listed = Interest { routers: vec![ip(ROUTER)], ..Interest::default() };
    assert_eq!(seeded(listed, vec![offer(OTHER_ROUTER, prefix(1)), offer(ROUTER, prefix(2))]), 1);
}

#[test]
fn there_is_no_place_for_former_prefixes_behind_those_in_use() {
    let in_use = (0..8).map(|number| current(&router(number), &prefix(number)));
    let seeds: Vec<_> = in_use.chain([former(ROUTER, A, 500), former(&router(1), B, 500)]).collect();
    let lab = seeded(&seeds);
    assert_eq!((lab.table.routers.len(), lab.find(ROUTER, A)), (8, None));
    assert!(lab.find(&router(1), B).is_some());
}

/// The routers that once were must not keep out the one that is.
#[test]
fn a_router_known_by_former_prefixes_gives_its_place_until_it_speaks() {
    let seeds: Vec<_> = (0..7).map(|number| former(&router(number), &prefix(number), 500)).collect();
    let mut lab = seeded(&[&[current(ROUTER, A)], &seeds[..]].concat());
    lab.hear(30, &router(3), &[(B, 1200, 3000)]);
    for number in 100..200 {
        lab.hear(31, &router(number), &[(&prefix(number), 1200, 3000)]);
    }
    assert_eq!(lab.table.routers.len(), 8);
    assert!(lab.find(ROUTER, A).is_some(), "its prefix is in use");
    assert!(lab.find(&router(3), &prefix(3)).is_some(), "it has spoken");
    assert!(lab.find(&router(100), &prefix(100)).is_some());
    assert!((0..7).filter(|number| *number != 3).all(|number| lab.find(&router(number), &prefix(number)).is_none()));
}

#[test]
fn the_oldest_former_prefix_makes_room_for_what_is_listed() {
    let seeds: Vec<_> = (0..16_u16).map(|number| former(ROUTER, &prefix(number), u64::from(number))).collect();
    let mut lab = seeded(&seeds);
    for (seconds, number) in [(30, 100), (40, 101)] {
        lab.hear(seconds, ROUTER, &[(&prefix(number), 1200, 3000)]);
        assert_eq!(lab.cut(&prefix(number)), None);
    }
    let kept = (0..16).filter(|number| lab.find(ROUTER, &prefix(*number)).is_some());
    assert!(kept.eq(0..14), "the two that were replaced first are gone");
}
