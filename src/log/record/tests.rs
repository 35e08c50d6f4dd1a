use super::*;
use crate::arbiter::{Fate, Generation};
use crate::cluster::island::Release;
use crate::config::{Kind, ObjectRef};
use crate::source::{SourceId, SourceKind};

fn epoch() -> Epoch {
    Epoch::new(Instant::from_secs(0), "2026-01-04T10:00:00Z".parse().unwrap())
}

fn current() -> Current {
    Current {
        generation: Generation(7),
        prefix: "2001:db8:2::/64".parse().unwrap(),
        source: SourceId::on(SourceKind::RouterAdvertisement, "eth0"),
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
    let lost = |loss, fate| transition("home", &Transition::Lost { prefix, loss, fate }, &epoch()).message;
    assert_eq!(
        lost(Loss::Unlisted, Fate::Kept),
        "home: 2001:db8:2::/64 is lost: its router lists it no longer; no other takes its place, so the targets keep it \
         (transition.onLoss = \"keep\")."
    );
    assert_eq!(
        lost(Loss::Deprecated, Fate::Unconfirmed),
        "home: 2001:db8:2::/64 is lost: its preferred lifetime is over; no other takes its place, so the targets keep it \
         until its end is confirmed."
    );
    assert_eq!(
        lost(Loss::Dead, Fate::Withdrawn),
        "home: 2001:db8:2::/64 is lost: its valid lifetime or its lease has ended; it is taken out of the targets \
         (transition.onLoss = \"withdraw\")."
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
    let ids: Vec<&str> =
        ids.into_iter().chain(cluster::IDS).chain(dhcpv6::IDS).chain(listening::IDS).chain(host::IDS).collect();
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

fn service(added: &[&str], removed: &[&str]) -> Written {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let object = ObjectRef { kind: Kind::Service, namespace: Some("web".to_owned()), name: "front".to_owned() };
    Written { object, added: texts(added), removed: texts(removed), elapsed: Duration::from_millis(5) }
}

#[test]
fn a_service_asks_for_addresses_and_dns_names_them() {
    let (new, old) = ("2001:db8:2::8", "2001:db8:1::8");
    let (in_dns, was_in_dns) = (format!("{new} (DNS)"), format!("{old} (DNS)"));
    let cases: [(&[&str], &[&str], &str); 7] = [
        (&[new, old], &[], "asks for 2001:db8:2::8, 2001:db8:1::8"),
        (&[], &[old], "no longer asks for 2001:db8:1::8"),
        (&[new], &[old], "asks for 2001:db8:2::8, and no longer for 2001:db8:1::8"),
        (&[&in_dns], &[], "has its address: DNS is to name 2001:db8:2::8"),
        (&[&in_dns], &[&was_in_dns], "has its address: DNS is to name 2001:db8:2::8, and no longer 2001:db8:1::8"),
        (
            &[new, &in_dns],
            &[old, &was_in_dns],
            "asks for 2001:db8:2::8, and no longer for 2001:db8:1::8; DNS is to name 2001:db8:2::8, and no longer \
             2001:db8:1::8",
        ),
        (&[], &[], "has its host part and its records brought up to date"),
    ];
    for (added, removed, what) in cases {
        let told = written("home", &[service(added, removed)]).message;
        assert_eq!(told, format!("home: Service/web/front {what}, in 5 ms."));
    }
}

#[test]
fn services_are_released_in_words_of_their_own() {
    let service = || service(&[], &["2001:db8:1::8", "2001:db8:1::8 (DNS)"]);
    let told = released("home", Release::Unwanted, &[service()]).message;
    assert_eq!(
        told,
        "home: Service/web/front released: nothing manages it any more; the addresses that it asked for on our behalf, \
         and those that DNS named, are taken out."
    );
    let told = released("home", Release::Withdrawn, &[service()]).message;
    assert_eq!(
        told,
        "home: Service/web/front released: it was withdrawn (`dyn-prefix withdraw`), until `dyn-prefix resume`; the \
         addresses that it asked for on our behalf, and those that DNS named, are taken out."
    );
}

/// A pool of a binding that is still there: only the person who withdrew it is the reason.
#[test]
fn who_gave_an_object_back_is_said() {
    let object = ObjectRef { kind: Kind::CiliumCIDRGroup, namespace: None, name: "lab".to_owned() };
    let removed = vec!["2001:db8:1::/64".to_owned()];
    let write = Written { object, added: Vec::new(), removed, elapsed: Duration::ZERO };
    let told = |why| released("home", why, std::slice::from_ref(&write)).message;
    let start = "home: CiliumCIDRGroup/lab released:";
    assert_eq!(
        told(Release::Withdrawn),
        format!(
            "{start} it was withdrawn (`dyn-prefix withdraw`), until `dyn-prefix resume`; what was ours is taken out."
        )
    );
    assert_eq!(
        told(Release::ClusterLeft),
        format!("{start} its cluster is not in the configuration any more; what was ours is taken out.")
    );
    assert!(told(Release::Unwanted).contains("no binding and no annotation in force refers to it any more"));
}

#[test]
fn objects_that_fail_for_the_same_reason_are_named() {
    let failing = |names: &[&str]| {
        let object = |name: &str| {
            let object = ObjectRef { kind: Kind::CiliumCIDRGroup, namespace: None, name: name.to_owned() };
            (object, "It is not there.".to_owned())
        };
        let failing: Vec<_> = names.iter().map(|name| object(name)).collect();
        cluster::failing("site", "NotFound", &failing).message
    };
    assert_eq!(failing(&["a"]), "site: CiliumCIDRGroup/a: It is not there. (NotFound)");
    assert_eq!(
        failing(&["a", "b"]),
        "site: CiliumCIDRGroup/a: It is not there. (NotFound) The same for CiliumCIDRGroup/b."
    );
}
