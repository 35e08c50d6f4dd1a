//! `withdraw`, `resume` and `take-over`, as far as the coordinator has to do with them.

use std::time::Duration;

use super::world::*;
use crate::cluster::{ConnectionState, Managed, OtherWriter, TargetReport, Update};
use crate::config::{Kind, ObjectRef};
use crate::control::Response;
use crate::daemon::errand::{Errand, Errands, PATIENCE};
use crate::daemon::pause::{Scope, to_release};
use crate::time::{Epoch, Instant};

const OURS: &str = "cidr=2001:db8:a::/64";

fn all() -> Scope {
    Scope::default()
}

fn of(cluster: &str) -> Scope {
    Scope { cluster: Some(cluster.to_owned()), target: None }
}

fn only(target: &str) -> Scope {
    Scope { cluster: None, target: Some(target.to_owned()) }
}

/// Two connected clusters with managed pools.
fn world() -> World {
    let mut world = World::new(&format!("{HOME}{TWO_MORE}"));
    world.ra(&[(A, 1800, 3600)]);
    for cluster in ["one", "two"] {
        world.connect(cluster, ConnectionState::Connected);
    }
    world.targets("one", vec![managed("pool", "u1", OURS), managed("other", "u2", OURS)]);
    world.targets("two", vec![managed("pool", "u3", OURS)]);
    world
}

/// Which objects are paused in each cluster, as the cluster hears it.
fn paused(world: &World) -> Vec<String> {
    let told = |cluster: &str| world.coordinator.wanted(cluster).told.paused.clone();
    ["one", "two", "three"]
        .into_iter()
        .filter(|cluster| !told(cluster).is_empty())
        .map(|cluster| {
            let names: Vec<String> = told(cluster).objects.iter().map(ToString::to_string).collect();
            format!("{cluster}: {}", if told(cluster).everything { "everything".to_owned() } else { names.join(", ") })
        })
        .collect()
}

fn because(name: &str, uid: &str, reason: &str) -> TargetReport {
    let message = Some("A sentence.".to_owned());
    TargetReport { reason: reason.to_owned(), message, synced: false, ..managed(name, uid, OURS) }
}

fn of_other(name: &str, uid: &str, wrote_at: Option<&str>) -> TargetReport {
    let other = OtherWriter { id: "other".to_owned(), wrote_at: wrote_at.map(str::to_owned) };
    TargetReport { other: Some(other), reason: "OtherWriter".to_owned(), synced: false, ..target(name, uid) }
}

#[test]
fn a_withdrawal_survives_a_restart_and_a_reload_until_it_is_taken_back() {
    let mut world = world();
    world.coordinator.take_dirty();
    world.coordinator.withdraw(&only("CiliumLoadBalancerIPPool/other")).unwrap();
    assert!(world.coordinator.take_dirty(), "it is saved");
    assert_eq!(paused(&world), ["one: CiliumLoadBalancerIPPool/other"]);
    world.coordinator.withdraw(&of("two")).unwrap();
    let text = format!("{HOME}{TWO_MORE}");
    world.restart(&text, 5);
    world.reload(&text);
    assert_eq!(paused(&world), ["one: CiliumLoadBalancerIPPool/other", "two: everything"]);
    let refused = world.coordinator.resume(&Scope { cluster: Some("two".to_owned()), ..only("CiliumCIDRGroup/g") });
    assert!(refused.as_ref().unwrap_err().contains("dyn-prefix resume --cluster two"), "{refused:?}");
    assert_eq!(
        world.coordinator.resume(&all()).unwrap(),
        ["CiliumLoadBalancerIPPool/other in one is cared for again.", "Everything in two is cared for again."]
    );
    assert!(paused(&world).is_empty());
    world.restart(&text, 5);
    assert!(paused(&world).is_empty());
}

#[test]
fn what_is_not_there_is_not_withdrawn() {
    let mut world = world();
    let error = world.coordinator.withdraw(&of("nowhere")).unwrap_err();
    assert!(error.contains("there is no cluster \"nowhere\"") && error.contains("one, two, three"), "{error}");
    let error = world.coordinator.withdraw(&only("CiliumCIDRGroup/none")).unwrap_err();
    assert!(error.contains("is no target of this daemon"), "{error}");
    let error = world.coordinator.withdraw(&only("pool")).unwrap_err();
    assert!(error.contains("write it like CiliumLoadBalancerIPPool/NAME"), "{error}");
    assert!(paused(&world).is_empty());
}

/// It is answered when all is gone, or when what is left will not go.
#[test]
fn the_answer_waits_for_the_clusters_and_names_what_is_left() {
    let mut world = world();
    let withdrawal = world.coordinator.withdraw(&all()).unwrap();
    let errand = Errand::Withdraw(withdrawal);
    assert_eq!(errand.outcome(&world.coordinator, false), None);
    world.targets("one", vec![target("pool", "u1")]);
    assert_eq!(errand.outcome(&world.coordinator, false), None);
    world.targets("one", vec![because("other", "u2", "CannotEmpty")]);
    assert_eq!(errand.outcome(&world.coordinator, false), None, "two has not answered");
    world.connect("two", ConnectionState::Unreachable);
    assert_eq!(errand.outcome(&world.coordinator, false), None, "it may come back");
    let Some(Response::Handled { done, left }) = errand.outcome(&world.coordinator, true) else { panic!() };
    assert_eq!(done, ["CiliumLoadBalancerIPPool/pool in one: released."]);
    assert_eq!(left[0], "CiliumLoadBalancerIPPool/other in one: CannotEmpty A sentence.");
    assert!(left[1].starts_with("CiliumLoadBalancerIPPool/pool in two: the cluster is not connected"), "{left:?}");
    let gone = Update { removed: vec![pool("pool")], ..Update::default() };
    world.coordinator.handle_update("two", gone, world.now);
    let Some(Response::Handled { done, left }) = errand.outcome(&world.coordinator, false) else { panic!() };
    assert_eq!((done.len(), left.len()), (2, 1), "what stays for good is not waited for");
}

/// What the clusters said before the person asked is no answer to him: they are to try again.
#[test]
fn an_old_refusal_is_no_answer() {
    let mut world = world();
    let refused =
        |at: i64| TargetReport { retry_at: Some(Instant::from_secs(at)), ..because("pool", "u1", "Forbidden") };
    world.targets("one", vec![refused(400)]);
    let scope = Scope { cluster: Some("one".to_owned()), ..only("CiliumLoadBalancerIPPool/pool") };
    for (count, retry_at) in [(1, 410), (2, 700)] {
        let errand = Errand::Withdraw(world.coordinator.withdraw(&scope).unwrap());
        let asked = world.coordinator.wanted("one").told.asked.clone();
        assert_eq!(asked.into_iter().collect::<Vec<_>>(), [(Some(pool("pool")), count)]);
        assert_eq!(errand.outcome(&world.coordinator, false), None, "it is tried again");
        world.targets("one", vec![refused(retry_at)]);
        let Some(Response::Handled { left, .. }) = errand.outcome(&world.coordinator, false) else { panic!() };
        assert_eq!(left, ["CiliumLoadBalancerIPPool/pool in one: Forbidden A sentence."]);
    }
    world.coordinator.resume(&of("one")).unwrap();
    assert_eq!(world.coordinator.wanted("one").told.asked.get(&None), Some(&1));
    world.targets("one", vec![of_other("pool", "u1", None)]);
    let epoch = world.epoch();
    world.coordinator.take_over(&all(), false, &epoch).unwrap();
    assert_eq!(world.coordinator.wanted("one").told.asked.get(&Some(pool("pool"))), Some(&3));
}

#[test]
fn a_take_over_is_allowed_for_what_another_daemon_has_and_ends_once_it_is_ours() {
    let mut world = world();
    let take = |world: &mut World, scope: &Scope, force| {
        let epoch: Epoch = world.epoch();
        world.coordinator.take_over(scope, force, &epoch)
    };
    let error = take(&mut world, &all(), false).unwrap_err();
    assert!(error.contains("no target is managed by another daemon"), "{error}");
    // It is ten o'clock.
    world.targets("one", vec![of_other("pool", "u1", Some("2026-01-04T09:55:00Z"))]);
    let error = take(&mut world, &all(), false).unwrap_err();
    assert!(error.contains("\"other\", at 2026-01-04T09:55:00Z") && error.contains("--force"), "{error}");
    assert!(world.coordinator.wanted("one").told.taken.is_empty());
    world.targets("one", vec![of_other("pool", "u1", Some("2026-01-04T09:45:00Z"))]);
    let errand = Errand::TakeOver(take(&mut world, &all(), false).unwrap());
    let taken = world.coordinator.wanted("one").told.taken.clone();
    assert_eq!(taken.into_iter().collect::<Vec<_>>(), [("u1".to_owned(), "other".to_owned())]);
    assert_eq!(errand.outcome(&world.coordinator, false), None);
    world.targets("one", vec![managed("pool", "u1", OURS)]);
    let Some(Response::Handled { done, left }) = errand.outcome(&world.coordinator, false) else { panic!() };
    assert_eq!(done, ["CiliumLoadBalancerIPPool/pool in one is ours now; it was managed by \"other\"."]);
    assert!(left.is_empty());
    errand.end(&mut world.coordinator, std::iter::empty());
    assert!(world.coordinator.wanted("one").told.taken.is_empty(), "once, not for ever");
    // One that cannot be had is given up.
    world.targets("one", vec![of_other("other", "u2", Some("2026-01-04T09:59:59Z"))]);
    let errand = Errand::TakeOver(take(&mut world, &only("CiliumLoadBalancerIPPool/other"), true).unwrap());
    let Some(Response::Handled { done, left }) = errand.outcome(&world.coordinator, true) else { panic!() };
    assert_eq!((done.len(), left.len()), (0, 1));
    errand.end(&mut world.coordinator, std::iter::empty());
    assert!(world.coordinator.wanted("one").told.taken.is_empty());
}

/// Two persons take over at the same time: the end of the one is not the end of the other.
#[test]
fn take_overs_that_run_at_the_same_time_do_not_end_each_other() {
    let mut world = world();
    let old = Some("2026-01-04T09:00:00Z");
    world.targets("one", vec![of_other("pool", "u1", old), of_other("other", "u2", old)]);
    let epoch: Epoch = world.epoch();
    let mut errands = Errands::default();
    let begin = |errands: &mut Errands, world: &mut World, scope: &Scope, now| {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let taken = world.coordinator.take_over(scope, false, &epoch).unwrap();
        errands.begin(Errand::TakeOver(taken), None, answer, now);
        answered
    };
    let (now, later) = (world.now, world.now + Duration::from_secs(1));
    let mut first = begin(&mut errands, &mut world, &only("CiliumLoadBalancerIPPool/pool"), now);
    let mut second = begin(&mut errands, &mut world, &all(), later);
    let uids = |world: &World| world.coordinator.wanted("one").told.taken.keys().cloned().collect::<Vec<_>>();
    errands.advance(&mut world.coordinator, now + PATIENCE);
    assert!(first.try_recv().is_ok() && second.try_recv().is_err());
    assert_eq!(uids(&world), ["u1", "u2"], "the second waits for both");
    let mut third = begin(&mut errands, &mut world, &only("CiliumLoadBalancerIPPool/other"), now + PATIENCE);
    errands.advance(&mut world.coordinator, later + PATIENCE);
    assert!(second.try_recv().is_ok() && third.try_recv().is_err());
    assert_eq!(uids(&world), ["u2"], "the third waits for this one");
    errands.advance(&mut world.coordinator, now + PATIENCE * 2);
    assert!(third.try_recv().is_ok() && uids(&world).is_empty());
}

/// Whoever withdraws a pool without a daemon must not leave Services behind that ask for what nobody serves.
#[test]
fn a_pool_is_released_along_with_the_services_that_ask_for_addresses_in_it() {
    let service = |name: &str, address: &str| {
        let object = ObjectRef { kind: Kind::Service, namespace: Some("web".to_owned()), name: name.to_owned() };
        let contributions = [
            ("lbipam.cilium.io/ips".to_owned(), vec!["192.0.2.1".to_owned(), address.to_owned()]),
            ("dynamic-prefix.io/managed-suffix".to_owned(), vec!["::f000:0:0:2".to_owned()]),
        ];
        Managed { object, contributions: contributions.into(), ..managed(name, name, OURS).managed.unwrap() }
    };
    let other_pool = managed("other", "u2", "range=2001:db8:b::1-2001:db8:b::9").managed.unwrap();
    let group = ObjectRef { kind: Kind::CiliumCIDRGroup, namespace: None, name: "group".to_owned() };
    let group = Managed { object: group, ..managed("group", "u3", OURS).managed.unwrap() };
    let all = vec![
        managed("pool", "u1", OURS).managed.unwrap(),
        other_pool,
        group.clone(),
        service("in-it", "2001:db8:a::5"),
        service("elsewhere", "2001:db8:b::5"),
    ];
    let released = |object: Option<&ObjectRef>| -> Vec<String> {
        to_release(all.clone(), object).iter().map(|managed| managed.object.to_string()).collect()
    };
    assert_eq!(released(Some(&pool("pool"))), ["CiliumLoadBalancerIPPool/pool", "Service/web/in-it"]);
    assert_eq!(released(Some(&pool("other"))), ["CiliumLoadBalancerIPPool/other", "Service/web/elsewhere"]);
    assert_eq!(released(Some(&group.object)), ["CiliumCIDRGroup/group"], "nobody gets an address from a group");
    assert_eq!(released(Some(&pool("none"))).len(), 0);
    assert_eq!(released(None).len(), all.len());
}

/// Another daemon has taken it over: this one forgets it and writes nothing, which is not a release.
#[test]
fn what_is_another_daemons_by_now_is_said_to_be() {
    let mut world = world();
    let withdrawal = world.coordinator.withdraw(&only("CiliumLoadBalancerIPPool/other")).unwrap();
    let given_up = vec![(pool("other"), "two".to_owned())];
    let update = Update { given_up, removed: vec![pool("other")], ..Update::default() };
    world.coordinator.handle_update("one", update, world.now);
    let outcome = Errand::Withdraw(withdrawal).outcome(&world.coordinator, false);
    let Some(Response::Handled { done, left }) = outcome else { panic!() };
    assert!(left.is_empty());
    assert_eq!(
        done,
        [
            "CiliumLoadBalancerIPPool/other in one: not written, as another daemon (\"two\") manages it: what was ours on it \
          is that one's now. This one has forgotten it."
        ]
    );
    // Ours once more, and withdrawn once more: that is a release.
    world.targets("one", vec![managed("other", "u2", OURS)]);
    let withdrawal = world.coordinator.withdraw(&only("CiliumLoadBalancerIPPool/other")).unwrap();
    world.targets("one", vec![target("other", "u2")]);
    assert_eq!(world.coordinator.withdrawn(&withdrawal), ["CiliumLoadBalancerIPPool/other in one: released."]);
}

/// Nobody waits for an object of kind DynamicPrefix that will not be deleted, and why is said.
#[test]
fn what_a_cluster_shows_and_cannot_delete_is_told_at_once() {
    let shows = || Update { published: Some([("home".to_owned(), "u".to_owned())].into()), ..Update::default() };
    for (dry, why) in [(true, "Nothing is deleted in a cluster with dryRun = true."), (false, "The account may not.")] {
        let cluster = if dry { "dryRun = true\n" } else { "" };
        let mut world = World::new(&HOME.replacen("[[cluster]]\n", &format!("[[cluster]]\n{cluster}"), 1));
        world.connect("one", ConnectionState::Connected);
        world.coordinator.handle_update("one", shows(), world.now);
        let withdrawal = Errand::Withdraw(world.coordinator.withdraw(&all()).unwrap());
        if !dry {
            assert_eq!(withdrawal.outcome(&world.coordinator, false), None, "it may be on its way");
            let stuck = Some([("home".to_owned(), why.to_owned())].into());
            world.coordinator.handle_update("one", Update { stuck, ..Update::default() }, world.now);
        }
        let Some(Response::Handled { left, .. }) = withdrawal.outcome(&world.coordinator, false) else { panic!() };
        assert!(left[0].starts_with("DynamicPrefix/home in one: ") && left[0].ends_with(why), "{left:?}");
    }
}

/// Whoever reads that nothing is there removes the state directory.
#[test]
fn what_a_removed_cluster_has_kept_is_named_as_left() {
    let mut world = world();
    world.connect("two", ConnectionState::Unreachable);
    world.reload(HOME);
    world.targets("one", vec![target("pool", "u1"), target("other", "u2")]);
    let errand = Errand::Withdraw(world.coordinator.withdraw(&all()).unwrap());
    assert_eq!(errand.outcome(&world.coordinator, false), None, "two is on its way out");
    world.pass(10);
    let Some(Response::Handled { done, left }) = errand.outcome(&world.coordinator, false) else { panic!() };
    assert!(done.is_empty(), "{done:?}");
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].contains("the cluster two is not in the configuration") && left[0].contains("put its [[cluster]]"));

    let state = world.coordinator.state(&world.epoch());
    let config = world.coordinator.config();
    let stored = crate::daemon::parting::leftovers_in(&state, config, &world.epoch());
    assert_eq!(stored.into_values().collect::<Vec<_>>(), left);
    let errand = Errand::Withdraw(world.coordinator.withdraw(&of("one")).unwrap());
    let nothing = Response::Handled { done: Vec::new(), left: Vec::new() };
    assert_eq!(errand.outcome(&world.coordinator, false), Some(nothing), "two was not asked about");
}

/// Another kubeconfig for the name moves what is listed; that is no release.
#[test]
fn a_reload_that_points_a_cluster_elsewhere_releases_nothing() {
    let mut world = world();
    let mut withdrawal = world.coordinator.withdraw(&all()).unwrap();
    world.targets("two", vec![]);
    world.targets("one", vec![target("other", "u2")]);
    let text = format!("{HOME}{TWO_MORE}").replacen("kubeconfig = \"/one\"", "kubeconfig = \"/elsewhere\"", 1);
    let new = config(&text);
    world.coordinator.leave_changed(&mut withdrawal, &new);
    world.reload(&text);
    let Some(Response::Handled { done, left }) = Errand::Withdraw(withdrawal).outcome(&world.coordinator, true) else {
        panic!()
    };
    assert_eq!(done, ["CiliumLoadBalancerIPPool/other in one: released."]);
    assert!(left[0].starts_with("CiliumLoadBalancerIPPool/pool in one: a reload"), "{left:?}");
}

/// What another daemon has taken over before the reload is told as it would have been without one.
#[test]
fn a_reload_loses_nothing_of_what_is_done() {
    let mut world = world();
    let mut withdrawal = world.coordinator.withdraw(&all()).unwrap();
    let given_up = vec![(pool("other"), "two".to_owned())];
    let update = Update { given_up, removed: vec![pool("other")], ..Update::default() };
    world.coordinator.handle_update("one", update, world.now);
    let before = world.coordinator.withdrawn(&withdrawal);
    assert_eq!(before.len(), 1, "{before:?}");
    let text = format!("{HOME}{TWO_MORE}").replacen("kubeconfig = \"/one\"", "kubeconfig = \"/elsewhere\"", 1);
    world.coordinator.leave_changed(&mut withdrawal, &config(&text));
    assert_eq!(world.coordinator.withdrawn(&withdrawal), before);
}

/// Without a target it is all of it, whatever was withdrawn first.
#[test]
fn to_resume_all_takes_back_what_was_withdrawn_before_all_was() {
    let mut world = world();
    world.coordinator.withdraw(&only("CiliumLoadBalancerIPPool/other")).unwrap();
    world.coordinator.withdraw(&all()).unwrap();
    world.coordinator.resume(&all()).unwrap();
    assert!(paused(&world).is_empty());
}

/// What a person was answered holds, however the daemon ends.
#[test]
fn nobody_is_answered_before_what_he_said_is_saved() {
    let mut world = world();
    let (now, later) = (world.now, world.now + PATIENCE);
    let mut errands = Errands::default();
    let mut ask = |errands: &mut Errands| {
        let (saved, kept) = tokio::sync::oneshot::channel();
        let (answer, answered) = tokio::sync::oneshot::channel();
        errands.begin(Errand::Resume(vec!["It is.".to_owned()]), Some(kept), answer, now);
        errands.advance(&mut world.coordinator, now);
        (saved, answered)
    };
    let (saved, mut answered) = ask(&mut errands);
    assert!(answered.try_recv().is_err(), "it is not saved yet");
    let (refused, mut told) = ask(&mut errands);
    let (_hangs, mut late) = ask(&mut errands);
    saved.send(Ok(())).unwrap();
    refused.send(Err("cannot write /x".to_owned())).unwrap();
    errands.advance(&mut world.coordinator, now);
    let done = Response::Handled { done: vec!["It is.".to_owned()], left: Vec::new() };
    assert_eq!(answered.try_recv(), Ok(done));
    let Ok(Response::Error { message }) = told.try_recv() else { panic!("it is refused") };
    assert!(message.starts_with("cannot write /x. The running daemon does as it was told, but forgets"), "{message}");
    // What was told is done, and is saved by itself: nobody has to tell it again, but may.
    assert!(message.ends_with("Mend that: it is tried again every minute by itself"), "{message}");
    errands.advance(&mut world.coordinator, later);
    let Ok(Response::Error { message }) = late.try_recv() else { panic!("it takes too long") };
    assert!(message.starts_with("the state was not saved within 15 s."), "{message}");
}
