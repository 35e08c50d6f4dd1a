//! Objects of another daemon: left alone, until a person says that they are ours.

use super::api::{annotated, object};
use super::*;
use crate::cluster::{OtherWriter, Paused, Told};

const BLOCKS: &str = "dynamic-prefix.io/managed-blocks";

/// A pool that the daemon "other" fills: it knows a prefix that we do not.
fn of_other() -> Object {
    let list = [cidr("192.0.2.0/24"), cidr("2001:db8:9::/64")];
    annotated(object(&pool("a"), list), &[(MANAGED_BY, "other"), (BLOCKS, "cidr=2001:db8:9::/64")])
}

fn bound(taken: &[(&str, &str)]) -> Wanted {
    let taken = taken.iter().map(|(uid, id)| ((*uid).to_owned(), (*id).to_owned())).collect();
    let told = Arc::new(Told { taken, ..Told::default() });
    Wanted { told, ..wanted(prefixes(&[1]), vec![binding("a", "lb", &pool("a"))]) }
}

#[test]
fn what_is_taken_over_is_ours_with_its_record_and_only_from_the_one_that_was_meant() {
    let mut lab = Lab::new([of_other()]);
    lab.want(bound(&[]), at(0));
    assert_eq!((lab.writes.len(), lab.reason(&pool("a"))), (0, "OtherWriter"));
    assert_eq!(lab.report(&pool("a")).other, Some(OtherWriter { id: "other".to_owned(), wrote_at: None }));
    let uid = lab.api.get(&pool("a")).uid.clone();
    lab.want(bound(&[(&uid, "a third one")]), at(1));
    assert_eq!(lab.writes.len(), 0);
    lab.want(bound(&[(&uid, "other")]), at(2));
    assert_eq!(lab.writes.len(), 1);
    let version = &lab.writes[0].patch["metadata"]["resourceVersion"];
    assert!(version.is_string(), "made from what was seen: {version}");
    assert_eq!(lab.api.get(&pool("a")).annotations[MANAGED_BY], ID);
    // What the record says was the other one's is ours, and drains as a stray; the user's own stays.
    assert_eq!(lab.text(&pool("a")), ["192.0.2.0/24", "2001:db8:1::/64", "2001:db8:9::/64"]);
    assert_eq!((lab.reason(&pool("a")), lab.report(&pool("a")).other.clone()), ("Synced", None));
    lab.wait_until(at(HOUR + 10));
    assert_eq!(lab.text(&pool("a")), ["192.0.2.0/24", "2001:db8:1::/64"]);
}

/// After the hand-over each of the two leaves to the other what is the other's.
#[test]
fn the_other_daemon_may_take_it_back() {
    let mut lab = Lab::new([of_other()]);
    let uid = lab.api.get(&pool("a")).uid.clone();
    lab.want(bound(&[(&uid, "other")]), at(0));
    lab.want(bound(&[]), at(1));
    let object = lab.api.edit(&pool("a"), "dyn-prefix", |object| {
        object.annotations.insert(MANAGED_BY.to_owned(), "other".to_owned());
    });
    lab.island.handle_object(object, at(2));
    assert_eq!(lab.run(at(2)), 0);
    assert_eq!(lab.reason(&pool("a")), "OtherWriter");
}

/// It was ours, the other daemon took it over, and now a person withdraws it here: nothing is written, and whose it is
/// by now is told. With no binding that wants it, as while no daemon runs, too.
#[test]
fn what_is_withdrawn_and_another_daemons_by_now_is_left_to_that_one() {
    let everything = || Arc::new(Told { paused: Paused { everything: true, ..Paused::default() }, ..Told::default() });
    for bindings in [vec![binding("a", "lb", &pool("a"))], vec![]] {
        let mut lab = Lab::new([object(&pool("a"), [cidr("192.0.2.0/24")])]);
        lab.want(bound(&[]), at(0));
        let taken = lab.api.edit(&pool("a"), "dyn-prefix", |object| {
            object.annotations.insert(MANAGED_BY.to_owned(), "two".to_owned());
        });
        lab.island.handle_object(taken, at(1));
        lab.run(at(1));
        assert_eq!(lab.reason(&pool("a")), "OtherWriter");
        let writes = lab.writes.len();
        lab.island.handle_wanted(Wanted { told: everything(), ..wanted(prefixes(&[1]), bindings) }, at(2));
        let update = lab.island.poll_update().expect("it is given up");
        assert_eq!(update.given_up, [(pool("a"), "two".to_owned())]);
        assert_eq!((lab.run(at(2)), lab.writes.len()), (0, writes));
        assert_eq!(lab.text(&pool("a")), ["192.0.2.0/24", "2001:db8:1::/64"]);
        if let Some(report) = update.targets.iter().find(|report| report.object == pool("a")) {
            assert_eq!((report.reason.as_str(), report.synced), ("Paused", true));
            let message = report.message.clone().unwrap();
            assert!(message.contains("another daemon, \"two\"") && message.contains("take-over"), "{message}");
            assert!(!message.contains("does not list it"), "{message}");
        }
    }
}
