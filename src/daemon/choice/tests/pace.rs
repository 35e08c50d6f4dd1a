//! Neither looks nor questions follow each other without a pause.

use std::collections::BTreeSet;

use crate::daemon::choice::pace::{News, Pace};
use crate::time::Instant;

fn at(seconds: i64) -> Instant {
    Instant::from_secs(1000 + seconds)
}

/// Runs for so long, each second: when it looked.
fn looks(pace: &mut Pace, seconds: std::ops::Range<i64>, mut each: impl FnMut(&mut Pace, Instant)) -> Vec<i64> {
    let mut looked = Vec::new();
    for second in seconds {
        each(pace, at(second));
        if pace.poll_look(at(second)).is_some() {
            looked.push(second);
        }
    }
    looked
}

fn wan() -> BTreeSet<String> {
    BTreeSet::from(["wan".to_owned()])
}

#[test]
fn what_is_lacking_is_looked_for_with_growing_pauses() {
    let mut pace = Pace::default();
    pace.begin();
    let lacking = looks(&mut pace, 0..300, |pace, now| {
        if now > at(0) {
            pace.handle_lack(now);
        }
    });
    assert_eq!(lacking, [0, 6, 17, 38, 79, 140, 201, 262]);
    pace.poll_look(at(400));
    pace.handle_rest();
    assert_eq!((pace.poll_timeout(), looks(&mut pace, 401..900, |_, _| {})), (None, Vec::new()));
    pace.handle_lack(at(900));
    assert_eq!(pace.poll_timeout(), Some(at(905)), "from the start again");
}

#[test]
fn news_is_looked_at_at_once() {
    let mut pace = Pace::default();
    assert_eq!(pace.poll_look(at(0)), None);
    pace.call();
    assert_eq!([pace.poll_look(at(1)), pace.poll_look(at(1))], [Some(News::Called), None]);
    pace.handle_links(&wan(), at(2));
    assert_eq!([pace.poll_look(at(2)), pace.poll_look(at(2))], [Some(News::Links), None]);
}

/// One interface goes up and down each second, for an hour.
#[test]
fn interfaces_that_change_all_the_time_are_not_looked_at_all_the_time() {
    let mut pace = Pace::default();
    let looked = looks(&mut pace, 0..3600, |pace, now| pace.handle_links(&wan(), now));
    assert_eq!(looked[..8], [0, 1, 2, 7, 17, 37, 77, 137]);
    assert!(looked.len() < 70, "{looked:?}");
    assert_eq!(
        looks(&mut pace, 4000..4001, |pace, now| pace.handle_links(&wan(), now)),
        [4000],
        "after some calm minutes"
    );
}

/// A router on the link says M = 1 and M = 0 in turns.
#[test]
fn routers_that_change_their_mind_all_the_time_are_not_looked_at_all_the_time() {
    let mut pace = Pace::default();
    let looked = looks(&mut pace, 0..3600, |pace, now| {
        pace.handle_news(now);
        pace.handle_rest();
    });
    assert_eq!(looked[..8], [0, 1, 2, 7, 17, 37, 77, 137]);
    assert!(looked.len() < 70, "{looked:?}");
    pace.handle_news(at(3599));
    let due = pace.poll_timeout().expect("it is looked some time");
    assert!(due > at(3599) && due <= at(3660), "{due:?}");
    assert_eq!(pace.poll_look(due), Some(News::Called));
    pace.handle_news(due);
    pace.call();
    assert_eq!(pace.poll_look(due), Some(News::Called), "a report does not wait for that");
}

/// Also where there is no prefix, so that it is looked now and then anyhow.
#[test]
fn news_that_goes_on_does_not_make_it_look_more_often_where_something_is_lacking() {
    let mut pace = Pace::default();
    let looked = looks(&mut pace, 0..3600, |pace, now| {
        pace.handle_news(now);
        pace.handle_lack(now);
    });
    assert!(looked.len() < 140, "{} looks: {looked:?}", looked.len());
}

/// RFC 9915 §7.6: SOL_MAX_RT is an hour.
#[test]
fn servers_that_are_silent_are_asked_ever_less() {
    let mut pace = Pace::default();
    let mut asked = Vec::new();
    for second in 0..40_000 {
        if !pace.hushed(at(second)).contains("wan") {
            asked.push(second);
            pace.handle_silence("wan", at(second));
        }
    }
    assert_eq!(asked[..5], [0, 5, 15, 35, 75]);
    assert_eq!(asked.windows(2).map(|pair| pair[1] - pair[0]).max(), Some(3600));
    // Somebody else may be there now: a minute is enough, and less is not.
    let last = asked.last().copied().unwrap();
    pace.handle_links(&wan(), at(last + 1));
    assert!(pace.hushed(at(last + 59)).contains("wan") && pace.hushed(at(last + 60)).is_empty());
    pace.handle_silence("wan", at(last + 60));
    pace.begin();
    assert!(pace.hushed(at(last + 60)).is_empty(), "whoever reloads wants it tried");
}
