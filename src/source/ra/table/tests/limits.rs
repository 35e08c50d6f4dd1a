//! Who gets a place in the table, and who does not.

use proptest::prelude::*;

use super::stored::former;
use super::*;

pub(super) fn router(number: u16) -> String {
    format!("fe80::{:x}", number + 0x100)
}

pub(super) fn prefix(number: u16) -> String {
    format!("2001:db8:{number:x}::/64")
}

/// T-138: a flood of routers finds no place, the established one stays, and nothing grows.
#[test]
fn a_flood_of_routers_does_not_evict_anyone() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    for number in 0..1000 {
        lab.hear(21, &router(number), &[(&prefix(number), 1200, 3000)]);
    }
    assert_eq!(lab.table.routers.len(), 8);
    assert_eq!(lab.cut(A), None);
    assert_eq!(lab.table.counters().dropped.get(&DropReason::TooManyRouters), Some(&993));
    let notices: Vec<_> = std::iter::from_fn(|| lab.table.poll_notice()).collect();
    assert_eq!(notices, [Notice::Dropped(ip(&router(7)), DropReason::TooManyRouters)], "logged once");
}

#[test]
fn a_router_that_was_silent_for_half_an_hour_gives_its_place() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 12_000, 30_000)]);
    for number in 1..8 {
        lab.hear(30, &router(number), &[(&prefix(number), 12_000, 30_000)]);
    }
    lab.hear(20 + 1799, OTHER_ROUTER, &[(B, 1200, 3000)]);
    assert!(lab.find(OTHER_ROUTER, B).is_none(), "nobody was silent for 30 minutes");
    lab.hear(20 + 1800, OTHER_ROUTER, &[(B, 1200, 3000)]);
    assert!(lab.find(OTHER_ROUTER, B).is_some());
    assert!(lab.find(ROUTER, A).is_none(), "the one that was silent for longest is gone");
}

#[test]
fn a_router_whose_prefixes_all_ended_gives_its_place() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 10, 10)]);
    for number in 1..8 {
        lab.hear(21, &router(number), &[(&prefix(number), 12_000, 30_000)]);
    }
    lab.hear(31, OTHER_ROUTER, &[(B, 1200, 3000)]);
    assert!(lab.find(OTHER_ROUTER, B).is_some());
    assert!(lab.find(ROUTER, A).is_none());
}

#[test]
fn a_flood_of_prefixes_does_not_evict_those_in_use() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    let flood: Vec<_> = (0x100..0x200).map(prefix).collect();
    let flood: Vec<_> = flood.iter().map(|prefix| (prefix.as_str(), 1200, 3000)).chain([(A, 1200, 3000)]).collect();
    for second in 21..30 {
        lab.hear(second, ROUTER, &flood);
    }
    assert_eq!(lab.table.report().offers.len(), 16);
    assert_eq!(lab.cut(A), None);
    assert_eq!(lab.table.counters().ignored.get(&Ignored::TooManyPrefixes), Some(&(9 * (256 - 15))));
}

/// A rotation every day, each with a month of valid lifetime: the oldest deprecated ones make room.
#[test]
fn deprecated_and_unlisted_prefixes_make_room() {
    let mut lab = Lab::settled();
    for number in 0..40 {
        let day = 100 + u64::from(number) * 86_400;
        lab.hear(day, ROUTER, &[(&prefix(number), 604_800, 2_592_000)]);
        lab.hear(day + 4, ROUTER, &[(&prefix(number), 604_800, 2_592_000)]);
        assert_eq!(lab.cut(&prefix(number)), None, "day {number}");
        assert!(number == 0 || lab.cut(&prefix(number - 1)) == Some(Cut::Unlisted), "day {number}");
    }
    assert_eq!(lab.table.report().offers.len(), 16);
    assert_eq!(lab.table.counters().ignored.get(&Ignored::TooManyPrefixes), None);
}

/// T-176: routers outside the lists, and ourselves.
#[test]
fn unwanted_routers_are_not_stored() {
    let only_other = Interest { routers: vec![ip(OTHER_ROUTER)], ..Interest::default() };
    let mut lab = Lab::new(vec![only_other.clone()]);
    lab.hear(1, ROUTER, &[(A, 1200, 3000)]);
    assert_eq!(lab.table.report().offers, []);
    assert_eq!(lab.state(), SourceState::Soliciting, "an unwanted router is no answer");
    lab.hear(1, OTHER_ROUTER, &[(A, 1200, 3000)]);
    assert_eq!(lab.table.report().offers.len(), 1);
    assert_eq!(lab.table.counters().dropped.get(&DropReason::RouterNotListed), Some(&1));

    let mut lab = Lab::new(vec![only_other.clone(), Interest::default()]);
    lab.hear(1, ROUTER, &[(A, 1200, 3000)]);
    assert_eq!(lab.table.report().offers.len(), 1, "one DynamicPrefix listens to every router");
    lab.table.reconfigure(settings(vec![only_other]), lab.now);
    assert_eq!(lab.table.report().offers, [], "a reload that unlists it forgets it");

    let mut lab = Lab::settled();
    lab.hear(30, "fe80::c", &[(A, 1200, 3000)]);
    assert_eq!(lab.table.report().offers, []);
    assert_eq!(lab.table.counters().dropped.get(&DropReason::OwnAddress), Some(&1));
}

fn check_offers(lab: &Lab) -> Result<(), TestCaseError> {
    let offers = lab.table.report().offers;
    prop_assert!(lab.table.routers.len() <= 8 && offers.len() <= 8 * 16);
    for offer in offers {
        prop_assert!(offer.preferred_until <= offer.valid_until, "{offer:?}");
        prop_assert!(offer.first_seen <= lab.now);
        prop_assert!(offer.cut.is_none() || offer.preferred_until.is_over(lab.now), "{offer:?}");
        prop_assert!(offer.cut != Some(Cut::Withdrawn) || offer.valid_until.is_over(lab.now), "{offer:?}");
    }
    Ok(())
}

/// A pause, a router, and prefixes with their preferred lifetime and how much longer they are valid, in half minutes.
type Event = (u64, u16, Vec<(u16, u32, u32)>);

fn any_event() -> impl Strategy<Value = Event> {
    (0..20_u64, 0..12_u16, proptest::collection::vec((0..24_u16, 0..4_u32, 0..4_u32), 0..6))
}

proptest! {
    /// Whatever is announced by whomever: bounded, no timer that stays due, solicitations never closer than 3 s on a
    /// link that stays up, lifetimes in order.
    #[test]
    fn whatever_is_announced_the_table_stays_sane(
        stored in proptest::collection::vec((0..12_u16, 0..24_u16, 0..2000_u64, any::<bool>()), 0..40),
        events in proptest::collection::vec(any_event(), 0..120),
    ) {
        let mut lab = Lab::settled();
        let seeds = stored.iter().map(|(number, net, age, is_current)| {
            let seed = former(&router(*number), &prefix(*net), *age);
            if *is_current { Offer { cut: None, preferred_until: seed.valid_until, ..seed } } else { seed }
        });
        lab.table.seed(&seeds.collect::<Vec<_>>(), lab.now);
        check_offers(&lab)?;
        let mut seconds = 20;
        for (pause, number, prefixes) in events {
            seconds += pause;
            let prefixes: Vec<_> = prefixes
                .into_iter()
                .map(|(number, preferred, more)| (prefix(number), preferred * 30, (preferred + more) * 30))
                .collect();
            let prefixes: Vec<_> = prefixes.iter().map(|(net, end, valid)| (net.as_str(), *end, *valid)).collect();
            lab.hear(seconds, &router(number), &prefixes);
            check_offers(&lab)?;
        }
        prop_assert!(lab.solicited.windows(2).all(|pair| pair[1] - pair[0] >= 3), "{:?}", lab.solicited);
    }
}
