//! The life of an object that we manage: taken over, kept current, repaired, survived by a restart, released.

use super::api::{annotated, object};
use super::*;

fn lab_with(reference: &ObjectRef, list: impl IntoIterator<Item = Value>) -> Lab {
    Lab::new([object(reference, list)])
}

fn bound(numbers: &[u16], target: &ObjectRef) -> Wanted {
    wanted(prefixes(numbers), vec![binding("b", "lb", target)])
}

#[test]
fn one_patch_holds_the_list_and_the_record_and_our_name() {
    let target = pool("lb");
    let mut lab = lab_with(&target, [cidr("10.0.0.0/24")]);
    lab.want(bound(&[1], &target), at(10));
    let expected = json!({
        "metadata": {
            "annotations": {
                "dynamic-prefix.io/managed-blocks": "cidr=2001:db8:1::/64",
                "dynamic-prefix.io/managed-by": ID,
            },
            "resourceVersion": "1",
        },
        "spec": {"blocks": [{"cidr": "10.0.0.0/24"}, {"cidr": "2001:db8:1::/64"}]},
    });
    assert_eq!(lab.writes.len(), 1);
    assert_eq!(lab.writes[0].patch, expected);
    assert_eq!(lab.writes[0].version, "v2");
    let written = Event::Written {
        object: target.clone(),
        added: vec!["2001:db8:1::/64".to_owned()],
        removed: vec![],
        elapsed: Duration::ZERO,
    };
    assert_eq!(lab.events, [written]);
    let report = lab.report(&target);
    assert_eq!((report.reason.as_str(), report.synced, report.last_sync), ("Synced", true, Some(at(10))));
    assert_eq!(report.bindings, ["b"]);
    assert_eq!(report.bound_prefixes, ["2001:db8:1::/64"]);
    assert_eq!(report.desired, ["2001:db8:1::/64"]);
    assert_eq!(report.foreign, ["10.0.0.0/24"]);
    let managed = report.managed.as_ref().expect("it is managed now");
    assert_eq!(managed.contributions, BTreeMap::from([("b".to_owned(), vec!["cidr=2001:db8:1::/64".to_owned()])]));
}

#[test]
fn d29_the_same_state_again_writes_and_reports_nothing() {
    let target = metallb("public");
    let mut lab = lab_with(&target, [json!("10.0.0.0/24")]);
    lab.want(bound(&[1], &target), at(0));
    lab.island.handle_wanted(bound(&[1], &target), at(1));
    lab.connect(at(2));
    assert_eq!(lab.island.poll_write(at(2)), None);
    assert_eq!(lab.island.poll_update(), None);
    assert_eq!(lab.island.poll_timeout(), None);
}

#[test]
fn twenty_five_rotations_cost_one_write_each_and_leave_nothing_behind() {
    for (target, own) in [
        (pool("p"), cidr("10.0.0.0/24")),
        (group("g"), json!("fd00:db8:abcd::/48")),
        (metallb("m"), json!("10.0.0.0/24")),
    ] {
        let mut lab = lab_with(&target, [own.clone()]);
        for n in 0..=25_u16 {
            let numbers: Vec<_> = (0..=n).rev().take(6).collect();
            lab.want(bound(&numbers, &target), at(i64::from(n) * HOUR));
            assert_eq!(lab.writes.len(), usize::from(n) + 1);
        }
        let mut expected = vec![
            entry::describe(&own),
            "2001:db8:19::/64".into(),
            "2001:db8:18::/64".into(),
            "2001:db8:17::/64".into(),
        ];
        if target.kind == Kind::IPAddressPool {
            // Nobody has an address in the former ranges. (Cilium is not known to be one that may be narrowed.)
            expected.truncate(2);
        }
        assert_eq!(lab.text(&target), expected);
    }
}

#[test]
fn there_and_back_again() {
    let target = pool("lb");
    let mut lab = lab_with(&target, []);
    lab.want(bound(&[1], &target), at(0));
    lab.want(bound(&[2, 1], &target), at(10));
    assert_eq!(lab.text(&target), ["2001:db8:2::/64", "2001:db8:1::/64"]);
    lab.want(bound(&[1, 2], &target), at(20));
    assert_eq!(lab.text(&target), ["2001:db8:1::/64", "2001:db8:2::/64"]);
    lab.want(bound(&[1], &target), at(30));
    assert_eq!(lab.writes.len(), 3, "a prefix that nobody knows any more drains first");
    lab.wait_until(at(30 + HOUR));
    assert_eq!((lab.text(&target), lab.writes.len()), (vec!["2001:db8:1::/64".into()], 4));
}

#[test]
fn a_manual_edit_is_repaired_at_once_and_what_the_user_adds_stays() {
    let target = pool("lb");
    let mut lab = lab_with(&target, [cidr("10.0.0.0/24")]);
    lab.want(bound(&[1], &target), at(0));
    let edited = vec![cidr("fd00::/64"), json!({"foo": 1}), cidr("10.0.0.0/24")];
    assert_eq!(lab.edit(&target, "kubectl-edit", edited, at(5)), 1);
    assert_eq!(lab.text(&target), ["fd00::/64", r#"{"foo":1}"#, "10.0.0.0/24", "2001:db8:1::/64"]);
    let removed = lab.api.edit(&target, "kubectl-edit", |object| object.annotations.clear());
    lab.island.handle_object(removed, at(6));
    assert_eq!(lab.run(at(6)), 1);
    assert_eq!(lab.record(&target).as_deref(), Some("cidr=2001:db8:1::/64"));
    assert_eq!(lab.failures(), [""; 0]);
}

#[test]
fn a_pool_that_is_created_later_or_made_anew_is_filled() {
    let target = pool("late");
    let mut lab = Lab::new([]);
    lab.want(bound(&[1], &target), at(0));
    assert_eq!((lab.reason(&target), lab.failures()), ("TargetMissing", vec!["TargetMissing"]));
    let made = lab.api.create(object(&target, []));
    lab.island.handle_object(made, at(5));
    assert_eq!(lab.run(at(5)), 1);
    assert_eq!(lab.events.last(), Some(&Event::Recovered { object: target.clone() }));

    lab.api.delete(&target);
    lab.island.handle_deleted(&target, at(6));
    lab.run(at(6));
    assert_eq!((lab.reason(&target), lab.report(&target).managed.as_ref()), ("TargetMissing", None));
    let made = lab.api.create(object(&target, [cidr("10.0.0.0/24")]));
    lab.island.handle_object(made, at(7));
    assert_eq!(lab.run(at(7)), 1);
    assert_eq!(lab.text(&target), ["10.0.0.0/24", "2001:db8:1::/64"]);
}

#[test]
fn an_annotated_object_is_found_and_released_when_the_annotation_goes() {
    let target = group("trusted");
    let marks = [("dynamic-prefix.io/name", "home-ipv6"), ("dynamic-prefix.io/subnet", "lb")];
    let mut lab = Lab::new([annotated(object(&target, [json!("10.0.0.0/8")]), &marks), object(&group("foreign"), [])]);
    lab.want(wanted(prefixes(&[1]), vec![]), at(0));
    assert_eq!(lab.text(&target), ["10.0.0.0/8", "2001:db8:1::/64"]);
    assert_eq!(lab.reports.len(), 1, "an object without our annotations is none of our business");

    let unmarked = lab.api.edit(&target, "kubectl", |object| drop(object.annotations.remove("dynamic-prefix.io/name")));
    lab.island.handle_object(unmarked, at(9));
    assert_eq!(lab.run(at(9)), 1);
    assert_eq!(lab.text(&target), ["10.0.0.0/8"]);
    assert_eq!(lab.api.get(&target).annotations.keys().collect::<Vec<_>>(), ["dynamic-prefix.io/subnet"]);
    assert!(
        matches!(lab.events.last(), Some(Event::Released { removed, why: Release::Unwanted, .. }) if removed == &["2001:db8:1::/64"])
    );
    assert_eq!((lab.reports.len(), &lab.removed), (0, &vec![target]));
}

#[test]
fn removing_the_binding_releases_after_a_restart_too() {
    let target = pool("lb");
    let mut lab = lab_with(&target, [cidr("10.0.0.0/24")]);
    lab.want(bound(&[2, 1], &target), at(0));
    let managed = lab.managed();
    let mut lab = lab.restarted(managed, at(100));
    lab.want(wanted(prefixes(&[2, 1]), vec![]), at(100));
    assert_eq!((lab.text(&target), lab.writes.len()), (vec!["10.0.0.0/24".into()], 1));
    assert_eq!((lab.api.get(&target).annotations.len(), lab.removed.len()), (0, 1));
}

#[test]
fn with_the_state_lost_nothing_is_released() {
    let target = pool("lb");
    let mut lab = lab_with(&target, []);
    lab.want(bound(&[1], &target), at(0));
    let mut lab = lab.restarted(vec![], at(100));
    lab.want(wanted(prefixes(&[1]), vec![]), at(100));
    assert_eq!((lab.writes.len(), lab.text(&target).len()), (0, 1));
}

#[test]
fn a_stored_object_that_is_gone_is_reported_as_removed() {
    let target = pool("lb");
    let mut lab = lab_with(&target, []);
    lab.want(bound(&[1], &target), at(0));
    let managed = lab.managed();
    lab.api.delete(&target);
    let mut lab = lab.restarted(managed.clone(), at(100));
    lab.want(wanted(prefixes(&[1]), vec![]), at(100));
    assert_eq!(lab.removed, std::slice::from_ref(&target));

    // Another object under the same name is not the one we managed: nothing of it is ours.
    lab.api.create(object(&target, [cidr("2001:db8:1::/64")]));
    let mut lab = lab.restarted(managed, at(200));
    lab.want(wanted(prefixes(&[2]), vec![]), at(200));
    assert_eq!((lab.writes.len(), lab.removed.len()), (0, 1));
}

/// A crash between the write and the store: the record on the object is all there is.
#[test]
fn the_record_on_the_object_carries_on_after_a_crash() {
    let target = pool("lb");
    let mut lab = lab_with(&target, [cidr("10.0.0.0/24")]);
    lab.want(bound(&[1], &target), at(0));
    let mut lab = lab.restarted(vec![], at(100));
    lab.want(bound(&[2, 1], &target), at(100));
    assert_eq!(lab.text(&target), ["10.0.0.0/24", "2001:db8:2::/64", "2001:db8:1::/64"]);
    // The old prefix is not known any more (the state was lost with it): it drains from first sight.
    let mut lab = lab.restarted(vec![], at(200));
    lab.want(bound(&[3], &target), at(200));
    assert_eq!(lab.text(&target), ["10.0.0.0/24", "2001:db8:3::/64", "2001:db8:2::/64", "2001:db8:1::/64"]);
    // First sight survives another restart.
    let managed = lab.managed();
    let mut lab = lab.restarted(managed, at(3000));
    lab.want(bound(&[3], &target), at(3000));
    assert_eq!(lab.wait_until(at(200 + HOUR - 1)), 0);
    assert_eq!(lab.wait_until(at(200 + HOUR)), 1);
    assert_eq!(lab.text(&target), ["10.0.0.0/24", "2001:db8:3::/64"]);
}

#[test]
fn a_record_that_is_removed_while_we_are_down_is_replaced_by_the_store() {
    let target = pool("lb");
    let mut lab = lab_with(&target, [cidr("10.0.0.0/24")]);
    lab.want(bound(&[2, 1], &target), at(0));
    let managed = lab.managed();
    lab.api.edit(&target, "kubectl", |object| {
        object.annotations.clear();
        object.list.push(cidr("2001:db8:2::1234/128"));
    });
    let mut lab = lab.restarted(managed, at(100));
    lab.want(bound(&[3, 2], &target), at(100));
    let kept = "2001:db8:2::1234/128".to_owned();
    assert!(lab.text(&target).contains(&kept), "what is not exactly ours is the user's");
    lab.want(wanted(prefixes(&[3, 2]), vec![]), at(101));
    assert_eq!(lab.text(&target), ["10.0.0.0/24".to_owned(), kept]);
}

#[test]
fn an_entry_of_a_patch_whose_answer_was_lost_is_ours() {
    let target = pool("lb");
    let mut lab = lab_with(&target, [cidr("10.0.0.0/24")]);
    lab.want(bound(&[1], &target), at(0));
    lab.island.handle_wanted(bound(&[2, 1], &target), at(1));
    let write = lab.island.poll_write(at(1)).expect("a patch");
    lab.api.patch(&write).expect("done");
    lab.island.handle_written(&target, Err(WriteError::Unreachable("reset".to_owned())), at(2));
    lab.api.edit(&target, "kubectl", |object| object.annotations.clear());
    lab.connect(at(3));
    assert_eq!(lab.run(at(3)), 1);
    assert_eq!(lab.record(&target).as_deref(), Some("cidr=2001:db8:2::/64,cidr=2001:db8:1::/64"));
}

#[test]
fn nothing_is_written_without_an_opinion_and_the_last_contribution_stays() {
    let target = pool("lb");
    let mut lab = lab_with(&target, [cidr("10.0.0.0/24")]);
    let bindings = vec![binding("b", "lb", &target)];
    lab.want(wanted(catalogue(false, vec![]), bindings.clone()), at(0));
    assert_eq!((lab.reason(&target), lab.writes.len()), ("NoOpinion", 0));

    // Two bindings: one speaks, the other has no opinion (any more) and keeps what it had.
    let mut both = prefixes(&[1]);
    both.dynamic_prefixes.extend([("lab".to_owned(), prefixes(&[7]).dynamic_prefixes["home-ipv6"].clone())]);
    let second = Binding { dynamic_prefix: "lab".to_owned(), ..binding("c", "lb", &target) };
    let bindings = vec![bindings[0].clone(), second];
    lab.want(wanted(both, bindings.clone()), at(1));
    assert_eq!(lab.text(&target), ["10.0.0.0/24", "2001:db8:1::/64", "2001:db8:7::/64"]);
    let mut one = prefixes(&[2]);
    one.dynamic_prefixes.extend([("lab".to_owned(), catalogue(false, vec![]).dynamic_prefixes["home-ipv6"].clone())]);
    let managed = lab.managed();
    for managed in [managed, vec![]] {
        let mut lab = Lab::bare(Island::new(&cluster(), managed, 1), Api::new([lab.api.get(&target).clone()]));
        lab.connect(at(2));
        lab.want(wanted(one.clone(), bindings.clone()), at(2));
        let text = lab.text(&target);
        assert!(text.contains(&"2001:db8:7::/64".to_owned()), "{text:?}");
        assert!(text.contains(&"2001:db8:2::/64".to_owned()), "{text:?}");
    }
}

#[test]
fn a_range_in_error_keeps_what_it_has_and_its_neighbour_lives_on() {
    let target = pool("lb");
    let mut lab = lab_with(&target, []);
    lab.want(wanted(prefixes(&[1]), vec![binding("a", "lb", &target), binding("b", "other", &target)]), at(0));
    assert_eq!(lab.text(&target), ["2001:db8:1::/64", "2001:db8:1:1::/64"]);
    lab.want(wanted(prefixes(&[2, 1]), vec![binding("a", "lb", &target), binding("b", "bad", &target)]), at(1));
    let text = lab.text(&target);
    assert_eq!((text[0].as_str(), text.contains(&"2001:db8:1:1::/64".to_owned())), ("2001:db8:2::/64", true));
    assert_eq!((lab.reason(&target), lab.report(&target).synced), ("EntryError", true));
}

#[test]
fn a_withdrawn_prefix_empties_a_cilium_pool_and_nothing_else() {
    let (lb, trusted, public) = (pool("lb"), group("trusted"), metallb("public"));
    let mut lab = Lab::new([object(&lb, []), object(&trusted, []), object(&public, [])]);
    // The same range on two kinds of pool would be an overlap.
    let bindings = vec![binding("a", "lb", &lb), binding("b", "lb", &trusted), binding("c", "other", &public)];
    lab.want(wanted(prefixes(&[1]), bindings.clone()), at(0));
    assert_eq!(lab.writes.len(), 3);
    lab.want(wanted(catalogue(true, vec![]), bindings.clone()), at(1));
    // Nothing is known about the old prefix here, so it drains; then it goes.
    lab.wait_until(at(2 * HOUR));
    assert_eq!((lab.text(&lb), lab.record(&lb)), (vec![], None), "and no blank annotation");
    assert_eq!((lab.text(&trusted), lab.reason(&trusted)), (vec!["2001:db8:1::/64".into()], "CannotEmpty"));
    assert_eq!((lab.text(&public), lab.reason(&public)), (vec!["2001:db8:1:1::/64".into()], "CannotEmpty"));
    // The next prefix takes their place.
    lab.want(wanted(prefixes(&[2]), bindings), at(3 * HOUR));
    assert_eq!((lab.text(&public), lab.reason(&public)), (vec!["2001:db8:2:1::/64".into()], "Synced"));
}

#[test]
fn what_cannot_be_emptied_is_left_alone_with_its_record() {
    let target = metallb("public");
    let mut lab = lab_with(&target, []);
    lab.want(bound(&[2, 1], &target), at(0));
    let mut over = prefixes(&[2, 1]);
    let generations = over.dynamic_prefixes.values_mut().flat_map(|computed| &mut computed.generations);
    generations.for_each(|generation| generation.role = Role::Known);
    lab.want(wanted(over, vec![binding("b", "lb", &target)]), at(1));
    assert_eq!((lab.writes.len(), lab.reason(&target)), (1, "CannotEmpty"));
}

#[test]
fn a_release_waits_until_an_entry_of_the_user_can_stay_behind() {
    let target = metallb("public");
    let mut lab = lab_with(&target, []);
    lab.want(bound(&[1], &target), at(0));
    lab.want(wanted(prefixes(&[1]), vec![]), at(1));
    assert_eq!((lab.reason(&target), lab.text(&target).len(), lab.removed.len()), ("CannotEmpty", 1, 0));
    let list = vec![json!("2001:db8:1::/64"), json!("10.0.0.0/24")];
    assert_eq!(lab.edit(&target, "kubectl", list, at(2)), 1);
    assert_eq!((lab.text(&target), lab.removed.len()), (vec!["10.0.0.0/24".into()], 1));
}
