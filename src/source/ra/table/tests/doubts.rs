//! What one advertisement casts doubt on, and the next one decides.

use super::*;

fn filter(global_only: bool, allow: &[&str]) -> Interest {
    let allow = allow.iter().map(|text| net(text)).collect();
    Interest { filter: PrefixFilter { require_global_unicast: global_only, allow }, routers: vec![] }
}

/// T-133 with a router that rebooted and says nothing about the old prefix.
#[test]
fn a_prefix_is_unlisted_by_two_advertisements_with_a_solicitation_between() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    lab.hear(100, ROUTER, &[(B, 1200, 3000)]);
    assert_eq!(lab.cut(A), None, "one advertisement takes nothing away");
    assert_eq!(lab.solicited, [100], "asked at once");
    lab.hear(101, ROUTER, &[(B, 1200, 3000)]);
    let old = lab.offer(A);
    assert_eq!((old.cut, old.preferred_until, old.valid_until), (Some(Cut::Unlisted), until(101), until(3020)));
    assert_eq!(lab.cut(B), None);
    lab.advance_to(1000);
    assert_eq!(lab.solicited, [100], "answered");
}

#[test]
fn listing_it_again_restores_it() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    lab.hear(100, ROUTER, &[(B, 1200, 3000)]);
    lab.hear(101, ROUTER, &[(B, 1200, 3000)]);
    lab.hear(200, ROUTER, &[(A, 1200, 3000), (B, 1200, 3000)]);
    assert_eq!((lab.cut(A), lab.offer(A).preferred_until), (None, until(1400)));
    assert_eq!(lab.offer(A).first_seen, at(20));
}

#[test]
fn an_unanswered_question_is_asked_three_times_and_decided_by_whatever_comes_next() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    lab.hear(100, ROUTER, &[(B, 1200, 3000)]);
    lab.advance_to(500);
    assert_eq!(lab.solicited, [100, 104, 108]);
    assert_eq!(lab.cut(A), None);
    lab.hear(600, ROUTER, &[(B, 1200, 3000)]);
    assert_eq!(lab.cut(A), Some(Cut::Unlisted));
}

#[test]
fn an_advertisement_before_the_question_was_sent_decides_nothing() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    lab.hear(100, ROUTER, &[(A, 0, 0)]);
    lab.hear(101, ROUTER, &[(A, 1200, 3000)]);
    assert_eq!(lab.solicited, [100]);
    // Refuted once: now the next question comes 6 s after the last one.
    lab.hear(102, ROUTER, &[(B, 1200, 3000)]);
    lab.hear(103, ROUTER, &[(B, 1200, 3000)]);
    assert_eq!((lab.solicited.as_slice(), lab.cut(A)), (&[100][..], None));
    lab.hear(107, ROUTER, &[(B, 1200, 3000)]);
    assert_eq!((lab.solicited.as_slice(), lab.cut(A)), (&[100, 106][..], Some(Cut::Unlisted)));
}

/// Another router, or one that lists nothing usable instead, says nothing about the prefix.
#[test]
fn only_a_usable_successor_of_the_same_router_casts_doubt() {
    let silent: [(&str, &str, &[Listed]); 5] = [
        ("another router", OTHER_ROUTER, &[(B, 1200, 3000)]),
        ("no prefix at all", ROUTER, &[]),
        ("a deprecated one", ROUTER, &[(B, 0, 3000)]),
        ("one the filter refuses", ROUTER, &[(ULA, 1200, 3000)]),
        ("one withdrawn", ROUTER, &[(B, 0, 0)]),
    ];
    for (what, router, prefixes) in silent {
        let mut lab = Lab::settled();
        lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
        for second in 100..110 {
            lab.hear(second, router, prefixes);
        }
        assert_eq!((lab.cut(A), lab.solicited.as_slice()), (None, &[][..]), "{what}");
    }
}

/// "Usable" is one filter that accepts both: a DynamicPrefix for the ULA does not lose it to a global prefix.
#[test]
fn each_filter_has_its_own_prefixes() {
    let table: [(&str, Vec<Interest>, Option<Cut>); 2] = [
        ("two that never want both", vec![filter(true, &[]), filter(false, &["fd00::/8"])], None),
        ("one that takes all", vec![filter(true, &[]), filter(false, &[])], Some(Cut::Unlisted)),
    ];
    for (what, interests, cut) in table {
        let mut lab = Lab::new(interests);
        lab.hear(20, ROUTER, &[(ULA, 1200, 3000)]);
        lab.hear(100, ROUTER, &[(A, 1200, 3000)]);
        lab.hear(110, ROUTER, &[(A, 1200, 3000)]);
        assert_eq!(lab.cut(ULA), cut, "{what}");
    }
}

/// The filter of a DynamicPrefix that does not listen to this router does not count.
#[test]
fn a_filter_counts_for_its_routers_only() {
    for (listens_to, cut) in [(OTHER_ROUTER, None), (ROUTER, Some(Cut::Unlisted))] {
        let only_a = filter(true, &["2001:db8:a::/48"]);
        let everything = Interest { routers: vec![ip(listens_to)], ..filter(true, &[]) };
        let mut lab = Lab::new(vec![only_a, everything]);
        lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
        lab.hear(100, ROUTER, &[(B, 1200, 3000)]);
        lab.hear(110, ROUTER, &[(B, 1200, 3000)]);
        assert_eq!(lab.cut(A), cut, "{listens_to}");
    }
}

/// T-138: a forged advertisement with lifetime 0 withdraws nothing; the router corrects it.
#[test]
fn a_forged_zero_lifetime_is_corrected_by_the_router() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    lab.hear(100, ROUTER, &[(A, 0, 0)]);
    let doubtful = lab.offer(A);
    assert_eq!((doubtful.cut, doubtful.preferred_until), (Some(Cut::Deprecated), until(100)));
    assert_eq!(doubtful.valid_until, until(3020), "not believed yet");
    assert_eq!(lab.solicited, [100]);
    lab.hear(101, ROUTER, &[(A, 1200, 3000)]);
    assert_eq!((lab.cut(A), lab.offer(A).preferred_until), (None, until(1301)));
    lab.advance_to(500);
    assert_eq!(lab.solicited, [100]);
}

#[test]
fn a_confirmed_zero_lifetime_ends_the_prefix() {
    let confirmations: [(&str, &[Listed]); 3] =
        [("0 again", &[(A, 0, 0)]), ("omitted beside another", &[(B, 1200, 3000)]), ("omitted", &[])];
    for (what, prefixes) in confirmations {
        let mut lab = Lab::settled();
        lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
        lab.hear(100, ROUTER, &[(A, 0, 0)]);
        lab.hear(102, ROUTER, prefixes);
        let gone = lab.offer(A);
        assert_eq!((gone.cut, gone.valid_until), (Some(Cut::Withdrawn), until(102)), "{what}");
        assert_eq!(gone.preferred_until, until(100), "{what}: it ended with the first one");
        lab.hear(150, ROUTER, &[(A, 0, 0)]);
        assert_eq!(lab.offer(A), gone, "{what}: it cannot end twice");
        lab.advance_to(102 + 3600);
        assert_eq!(lab.find(ROUTER, A), None, "{what}: forgotten after an hour");
    }
}

/// Zero-lifetime advertisements in a burst (sent twice, or forged twice) come before the question.
#[test]
fn a_burst_of_zero_lifetimes_confirms_nothing_before_the_question() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    for _ in 0..10 {
        lab.table.handle_advertisement(&advertisement(ROUTER, &[(A, 0, 0)]), lab.now);
    }
    assert_eq!((lab.cut(A), lab.offer(A).valid_until), (Some(Cut::Deprecated), until(3020)));
}

#[test]
fn a_zero_lifetime_after_an_unlisting_needs_its_own_confirmation() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    lab.hear(100, ROUTER, &[(B, 1200, 3000)]);
    lab.hear(110, ROUTER, &[(A, 0, 0), (B, 1200, 3000)]);
    assert_eq!((lab.cut(A), lab.offer(A).valid_until), (Some(Cut::Deprecated), until(3020)));
    lab.hear(120, ROUTER, &[(B, 1200, 3000)]);
    assert_eq!((lab.cut(A), lab.offer(A).valid_until), (Some(Cut::Withdrawn), until(120)));
}

/// RFC 4861 §6.2.3 lets a router split its options over several advertisements. Nothing is lost, and the solicitations
/// get rarer instead of following one another for ever.
#[test]
fn a_router_that_alternates_loses_nothing_and_is_not_asked_for_ever() {
    let mut lab = Lab::settled();
    let split = |lab: &mut Lab, seconds| {
        lab.hear(seconds, ROUTER, &[(A, 1200, 3000)]);
        lab.hear(seconds, ROUTER, &[(B, 1200, 3000)]);
        assert_eq!((lab.cut(A), lab.cut(B)), (None, None), "at {seconds}");
    };
    for second in 20..620 {
        let solicited = lab.solicited.len();
        lab.advance_to(second);
        if second % 20 == 0 || lab.solicited.len() > solicited {
            split(&mut lab, second);
        }
    }
    // In 600 s not 200 times (every 3 s), but every 48 s after the first ones.
    assert!(lab.solicited.len() <= 600 / 48 + 5, "{:?}", lab.solicited);
}
