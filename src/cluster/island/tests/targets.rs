//! What must not be written, and what status says about it.

use super::api::{annotated, object};
use super::*;
use crate::cluster::object::Observed;

fn bound(target: &ObjectRef) -> Wanted {
    wanted(prefixes(&[1]), vec![binding("b", "lb", target)])
}

#[test]
fn an_object_of_another_daemon_is_left_alone() {
    let target = pool("lb");
    let other = [(MANAGED_BY, "another"), ("dynamic-prefix.io/managed-blocks", "cidr=2001:db8:9::/64")];
    let mut lab = Lab::new([annotated(object(&target, [cidr("2001:db8:9::/64")]), &other)]);
    lab.want(bound(&target), at(0));
    assert_eq!((lab.writes.len(), lab.reason(&target)), (0, "OtherWriter"));
    assert!(lab.report(&target).message.as_ref().is_some_and(|text| text.contains("\"another\"")));
    let free = lab.api.edit(&target, "kubectl", |object| drop(object.annotations.remove(MANAGED_BY)));
    lab.island.handle_object(free, at(1));
    assert_eq!((lab.run(at(1)), lab.reason(&target)), (1, "Synced"));
}

#[test]
fn a_denied_object_names_both_clusters() {
    let target = pool("lb");
    let mut lab = Lab::new([object(&target, [])]);
    let sentence = "\"home\" and \"lab\" are the same cluster.".to_owned();
    let denied = BTreeMap::from([(format!("uid of {target}"), sentence.clone())]);
    lab.want(Wanted { denied: Arc::new(denied), ..bound(&target) }, at(0));
    assert_eq!((lab.writes.len(), lab.reason(&target)), (0, "SameCluster"));
    assert_eq!(lab.report(&target).message, Some(sentence));
}

#[test]
fn a_blocking_finding_keeps_the_object_as_it_is() {
    let target = pool("lb");
    let marks = [("dynamic-prefix.io/name", "home-ipv6")];
    let mut lab = Lab::new([annotated(object(&target, [cidr("10.0.0.0/24")]), &marks)]);
    lab.want(wanted(prefixes(&[1]), vec![]), at(0));
    assert_eq!((lab.writes.len(), lab.reason(&target)), (0, "PoolNeedsRange"));
    assert_eq!(lab.report(&target).foreign, ["10.0.0.0/24"]);
}

#[test]
fn two_pools_never_get_the_same_range() {
    let (first, second) = (pool("a"), metallb("b"));
    let mut lab = Lab::new([object(&first, []), object(&second, [json!("10.0.0.0/24")])]);
    let bindings = vec![binding("a", "lb", &first), binding("b", "lb", &second)];
    lab.want(wanted(prefixes(&[1]), bindings.clone()), at(0));
    assert_eq!((lab.writes.len(), lab.reason(&first), lab.reason(&second)), (1, "Synced", "Overlap"));
    lab.want(wanted(prefixes(&[1]), bindings[1..].to_vec()), at(1));
    assert_eq!((lab.text(&first).len(), lab.reason(&second)), (0, "Synced"));
}

#[test]
fn an_overlap_between_annotated_pools_of_two_kinds_follows_the_annotations() {
    let marks = [("dynamic-prefix.io/name", "home-ipv6"), ("dynamic-prefix.io/subnet", "lb")];
    let (first, second) = (pool("a"), metallb("b"));
    let mut lab = Lab::new([annotated(object(&first, []), &marks), annotated(object(&second, []), &marks)]);
    lab.want(wanted(prefixes(&[1]), vec![]), at(0));
    assert_eq!((lab.reason(&first), lab.reason(&second)), ("Synced", "Overlap"));
    let moved = lab.api.edit(&first, "kubectl", |object| {
        object.annotations.insert("dynamic-prefix.io/subnet".to_owned(), "other".to_owned());
    });
    lab.island.handle_object(moved, at(1));
    lab.run(at(1));
    assert_eq!(
        (lab.text(&first), lab.text(&second)),
        (vec!["2001:db8:1:1::/64".into()], vec!["2001:db8:1::/64".into()])
    );
}

#[test]
fn a_kind_that_is_not_installed_is_served_later() {
    let target = metallb("public");
    let mut lab = Lab::new([]);
    let mut less = served();
    less.remove(&Kind::IPAddressPool);
    lab.island.handle_served(&less, at(0));
    lab.want(bound(&target), at(0));
    assert_eq!(lab.reason(&target), "KindNotInstalled");
    lab.island.handle_served(&served(), at(10));
    let made = lab.api.create(object(&target, []));
    lab.island.handle_list(Kind::IPAddressPool, None, vec![made], at(11));
    assert_eq!((lab.run(at(11)), lab.writes[0].version.as_str()), (1, "v1beta1"));
}

#[test]
fn the_api_version_is_the_one_that_is_served_now() {
    let target = pool("lb");
    let mut lab = Lab::new([object(&target, [])]);
    let old: Served = [(Kind::CiliumLoadBalancerIPPool, "v2alpha1".to_owned())].into();
    lab.island.handle_served(&old, at(0));
    lab.want(bound(&target), at(0));
    lab.island.handle_served(&served(), at(1));
    lab.want(wanted(prefixes(&[2, 1]), vec![binding("b", "lb", &target)]), at(2));
    assert_eq!(lab.writes.iter().map(|write| write.version.as_str()).collect::<Vec<_>>(), ["v2alpha1", "v2"]);
}

#[test]
fn a_kind_that_must_not_be_watched_is_read_by_name() {
    let target = pool("lb");
    let mut lab = Lab::new([object(&target, [])]);
    let mut lab = Lab::bare(Island::new(&cluster(), vec![], 1), std::mem::replace(&mut lab.api, Api::new([])));
    lab.island.handle_served(&served(), at(0));
    lab.island.handle_watch(target.kind, WatchState::Forbidden("cannot list".to_owned()), at(0));
    lab.island.handle_list(Kind::Service, None, vec![], at(0));
    lab.want(bound(&target), at(0));
    assert_eq!(lab.reason(&target), "Waiting", "it is not known yet whether it may be watched by its name");
    lab.island.handle_unreadable(&target, at(0));
    lab.run(at(0));
    assert_eq!(lab.reason(&target), "Forbidden");
    assert_eq!(lab.island.named(target.kind), std::slice::from_ref(&target));
    assert_eq!(lab.island.named(Kind::CiliumCIDRGroup), []);
    lab.island.handle_list(target.kind, Some(&target), vec![], at(1));
    lab.run(at(1));
    assert_eq!(lab.reason(&target), "TargetMissing");
    lab.island.handle_list(target.kind, Some(&target), lab.api.list(target.kind), at(2));
    assert_eq!((lab.run(at(2)), lab.reason(&target)), (1, "Synced"));
}

#[test]
fn only_the_kinds_in_use_are_watched_without_discovery() {
    let mut island = Island::new(&cluster(), vec![], 1);
    assert_eq!(island.kinds(), Kind::ALL.into());
    island.reconfigure(&Cluster { discovery: Discovery::Off, ..cluster() });
    assert_eq!(island.kinds().len(), 0);
    island.handle_wanted(bound(&group("g")), at(0));
    assert_eq!(island.kinds(), [Kind::CiliumCIDRGroup].into());
    island.handle_wanted(bound(&pool("lb")), at(0));
    let beside = [Kind::CiliumLoadBalancerIPPool, Kind::Service];
    assert_eq!(island.kinds(), beside.into(), "which addresses are in use is seen on the Services");
    let front = ObjectRef { kind: Kind::Service, namespace: Some("web".to_owned()), name: "front".to_owned() };
    let service = config::Service {
        cluster: "home".to_owned(),
        target: front,
        dynamic_prefix: "home-ipv6".to_owned(),
        part: Part::Whole,
        suffix: None,
    };
    island.handle_wanted(Wanted { services: vec![service].into(), ..wanted(prefixes(&[1]), vec![]) }, at(0));
    assert_eq!(island.kinds(), [Kind::Service].into());
}

#[test]
fn switching_discovery_off_releases_annotated_objects() {
    let target = group("g");
    let marks = [("dynamic-prefix.io/name", "home-ipv6")];
    let mut lab = Lab::new([annotated(object(&target, [json!("10.0.0.0/8")]), &marks)]);
    lab.want(wanted(prefixes(&[1]), vec![]), at(0));
    assert_eq!(lab.text(&target), ["10.0.0.0/8", "2001:db8:1::/48"]);
    lab.island.reconfigure(&Cluster { discovery: Discovery::Off, ..cluster() });
    lab.island.handle_timeout(at(1));
    assert_eq!((lab.run(at(1)), lab.text(&target)), (1, vec!["10.0.0.0/8".into()]));
}

#[test]
fn a_dry_run_shows_each_patch_once_and_sends_none() {
    let target = pool("lb");
    let api = Api::new([object(&target, [cidr("10.0.0.0/24")])]);
    let mut lab = Lab::bare(Island::new(&Cluster { dry_run: true, ..cluster() }, vec![], 1), api);
    lab.connect(at(0));
    lab.want(bound(&target), at(0));
    lab.want(bound(&target), at(1));
    assert_eq!((lab.writes.len(), lab.reason(&target), lab.report(&target).synced), (0, "DryRun", false));
    let [Event::DryRun { added, patch, .. }] = &lab.events[..] else { panic!("{:?}", lab.events) };
    assert_eq!(added, &["2001:db8:1::/64"]);
    assert!(patch.contains(r#""blocks":[{"cidr":"10.0.0.0/24"},{"cidr":"2001:db8:1::/64"}]"#), "{patch}");
    lab.want(wanted(prefixes(&[2, 1]), vec![binding("b", "lb", &target)]), at(2));
    assert_eq!(lab.events.len(), 2);
    assert_eq!(lab.report(&target).managed, None);
}

#[test]
fn what_waits_to_be_sent_is_not_sent_once_dry_run_is_on() {
    let target = pool("lb");
    let mut lab = Lab::new([object(&target, [])]);
    lab.island.handle_wanted(bound(&target), at(0));
    lab.island.reconfigure(&Cluster { dry_run: true, ..cluster() });
    assert_eq!(lab.run(at(0)), 0, "decided before");
    lab.wait_until(at(1));
    assert_eq!((lab.writes.len(), lab.reason(&target)), (0, "DryRun"));
    lab.island.reconfigure(&cluster());
    lab.wait_until(at(2));
    assert_eq!((lab.writes.len(), lab.reason(&target)), (1, "Synced"));
}

/// LB-IPAM compares the spec with the one that it has; what was taken back before it looked is no change to it.
#[test]
fn a_change_that_was_taken_back_before_lb_ipam_looked_counts_as_observed() {
    let target = pool("lb");
    let mut lab = Lab::new([object(&target, [])]);
    lab.want(bound(&target), at(0));
    let seen = lab.api.edit(&target, "cilium-operator-lb-ipam", |object| {
        object.observed = Some(Observed { generation: object.generation, ..Observed::default() });
    });
    lab.island.handle_object(seen, at(1));
    assert_eq!(lab.run(at(1)), 0);
    assert_eq!(lab.report(&target).observed, Some(true));
    // Somebody empties it, and we fill it again.
    assert_eq!(lab.edit(&target, "kubectl", Vec::new(), at(2)), 1);
    assert!(lab.api.get(&target).generation > lab.api.get(&target).observed.as_ref().and_then(|it| it.generation));
    assert_eq!(lab.report(&target).observed, Some(true));
    assert_eq!(lab.edit(&target, "kubectl", vec![cidr("192.0.2.0/24")], at(3)), 1);
    assert_eq!(lab.report(&target).observed, Some(false), "and this is another list");
}

#[test]
fn a_pool_is_observed_once_lb_ipam_has_seen_our_generation() {
    let target = pool("lb");
    let mut lab = Lab::new([object(&target, [])]);
    lab.want(bound(&target), at(0));
    assert_eq!((lab.report(&target).synced, lab.report(&target).observed), (true, Some(false)));
    let observe = |lab: &mut Lab, observed: Observed| {
        let seen = lab.api.edit(&target, "cilium-operator-lb-ipam", |object| object.observed = Some(observed));
        lab.island.handle_object(seen, at(1));
        assert_eq!(lab.run(at(1)), 0);
    };
    observe(&mut lab, Observed { generation: Some(1), ..Observed::default() });
    assert_eq!(lab.report(&target).observed, Some(false), "that was before our write");
    observe(
        &mut lab,
        Observed { generation: Some(2), conflict: Some("overlaps with x".to_owned()), ..Observed::default() },
    );
    assert_eq!((lab.report(&target).observed, lab.reason(&target)), (Some(false), "PoolConflict"));
    assert!(lab.report(&target).message.as_ref().is_some_and(|text| text.contains("overlaps with x")));
    observe(&mut lab, Observed { generation: Some(2), ..Observed::default() });
    assert_eq!((lab.report(&target).observed, lab.reason(&target)), (Some(true), "Synced"));

    let other = group("g");
    let mut lab = Lab::new([object(&other, [])]);
    lab.want(bound(&other), at(0));
    assert_eq!(lab.report(&other).observed, None);
}

#[test]
fn what_the_user_wrote_there_first_is_named() {
    let target = pool("lb");
    let mut lab = Lab::new([object(&target, [cidr("2001:db8:1::/56")])]);
    lab.want(bound(&target), at(0));
    assert_eq!((lab.reason(&target), lab.report(&target).synced), ("CoveredByUser", true));
    assert!(matches!(lab.events.last(), Some(Event::Note { reason, .. }) if reason == "CoveredByUser"));
    assert_eq!(lab.text(&target), ["2001:db8:1::/56"]);
}

#[test]
fn a_thousand_objects_get_one_write_each_and_a_thousand_reports() {
    let targets: Vec<_> = (0..1000).map(|n| group(&format!("g{n:04}"))).collect();
    let mut lab = Lab::new(targets.iter().map(|target| object(target, [json!("10.0.0.0/8")])));
    let bindings: Vec<_> = targets.iter().map(|target| binding(&target.name, "lb", target)).collect();
    lab.island.handle_wanted(wanted(prefixes(&[1]), bindings), at(0));
    let mut sent = BTreeSet::new();
    while let Some(write) = lab.island.poll_write(at(0)) {
        assert!(sent.insert(write.object.clone()), "twice: {}", write.object);
        let answer = lab.api.patch(&write);
        lab.island.handle_written(&write.object, answer, at(0));
    }
    lab.drain();
    assert_eq!(sent.len(), 1000);
    assert!(lab.reports.len() == 1000 && lab.reports.values().all(|report| report.synced));
}
