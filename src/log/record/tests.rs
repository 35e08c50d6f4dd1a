use super::*;
use crate::arbiter::Generation;
use crate::source::{SourceId, SourceKind};

fn epoch() -> Epoch {
    Epoch::new(Instant::from_secs(0), "2026-01-04T10:00:00Z".parse().unwrap())
}

fn current() -> Current {
    Current {
        generation: Generation(7),
        prefix: "2001:db8:2::/64".parse().unwrap(),
        source: SourceId { kind: SourceKind::RouterAdvertisement, interface: Some("eth0".to_owned()) },
        routers: Vec::new(),
        acquired_at: Instant::from_secs(0),
        preferred_until: Deadline::At(Instant::from_secs(1800)),
        valid_until: Deadline::Never,
        excluded: Vec::new(),
        lost: None,
    }
}

#[test]
fn one_line_tells_old_and_new_prefix_and_where_it_came_from() {
    let previous = Some("2001:db8:1::/64".parse().unwrap());
    let entry = transition("home", &Transition::Acquired { current: current(), previous }, &epoch());
    assert_eq!(
        entry.message,
        "home: 2001:db8:2::/64 takes the place of 2001:db8:1::/64 (router-advertisement on eth0, generation 7); \
         it is preferred until 2026-01-04T10:30:00Z."
    );
    assert_eq!(entry.name.as_deref(), Some("home"));
    assert_eq!(entry.current.as_deref(), Some("2001:db8:2::/64"));
    assert_eq!(entry.previous.as_deref(), Some("2001:db8:1::/64"));
    assert_eq!(entry.source.as_deref(), Some("router-advertisement on eth0"));
}

#[test]
fn a_loss_says_what_happens_to_the_targets() {
    let prefix = "2001:db8:2::/64".parse().unwrap();
    let lost = Transition::Lost { prefix, loss: Loss::Unlisted, withdrawn: false };
    assert_eq!(
        transition("home", &lost, &epoch()).message,
        "home: 2001:db8:2::/64 is lost: its router lists it no longer; there is no other, so the targets keep it \
         (transition.onLoss = \"keep\")."
    );
}

#[test]
fn every_kind_of_message_has_an_id_of_its_own() {
    let ids = [
        STARTED,
        STATUS,
        STOPPING,
        RELOADED,
        RELOAD_REFUSED,
        STORE,
        SOURCE,
        ACQUIRED,
        LOST,
        REGAINED,
        DRAIN_ENDED,
        REFUSED,
        RELEASED,
        FINDING,
        FATAL,
        TASK_ENDED,
        RESUMED,
        IGNORED,
        LINKS,
        UNREADABLE,
    ];
    let ids: Vec<&str> = ids.into_iter().chain(cluster::IDS).chain(dhcpv6::IDS).collect();
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit())));
}

#[test]
fn durations_read_well() {
    let cases = [
        (12, "12 ms"),
        (700, "1 s"),
        (3_000, "3 s"),
        (119_400, "119 s"),
        (119_500, "2 min"),
        (300_000, "5 min"),
        // A lifetime of which a moment is over.
        (1_799_990, "30 min"),
        (3_596_000, "60 min"),
        (7_199_000, "2 h"),
        (7_500_000, "2 h 5 min"),
        (172_799_000, "2 days"),
        (187_200_000, "2 days 4 h"),
        (604_799_990, "7 days"),
    ];
    for (milliseconds, text) in cases {
        assert_eq!(duration(Duration::from_millis(milliseconds)), text);
    }
}
