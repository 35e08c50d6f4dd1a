//! Mode simple: while a former prefix drains, pools keep of it what is in use.

use super::town::{DUAL, Town, V6, ips, ours, service};
use super::*;
use crate::cluster::schema::Schema;

fn town(target: &ObjectRef, count: usize) -> Town {
    let mut town = Town::new(Mode::Simple, target);
    town.tell(at(0));
    town.live(at(0));
    for n in 0..count {
        town.create(&format!("s{n}"), json!({}), V6, at(1));
    }
    town.live(at(1));
    town
}

#[test]
fn new_range_and_narrowing_are_one_write_and_nobody_moves() {
    for target in [pool("lb"), metallb("public")] {
        let mut town = town(&target, 3);
        town.rotate(2, at(10));
        assert_eq!(town.live(at(10)), std::slice::from_ref(&target));
        assert_eq!(town.lab.text(&target), ["192.0.2.0/24", "2001:db8:2::/64", "2001:db8:1::-2001:db8:1::2"]);
        let new = town.create("new", json!({}), V6, at(20));
        assert_eq!(town.live(at(20)), []);
        assert_eq!(town.ingress(&new), ips(&["2001:db8:2::"]));
        assert_eq!(town.ingress(&service("s0")), ips(&["2001:db8:1::"]));
        // One that is given up is not worth a write; nor is a restart.
        town.lab.api.delete(&service("s1"));
        town.lab.island.handle_deleted(&service("s1"), at(30));
        assert_eq!(town.live(at(30)), []);
        for remembers in [true, false] {
            town.restart(remembers, at(40));
            assert_eq!(town.live(at(40)), []);
        }
        town.draining = 0;
        town.tell(at(HOUR));
        assert_eq!(town.live(at(HOUR)), std::slice::from_ref(&target));
        assert_eq!(town.lab.text(&target), ["192.0.2.0/24", "2001:db8:2::/64"]);
        assert_eq!(town.ingress(&service("s0")), ips(&["2001:db8:2::1"]));
        assert_eq!((town.lab.reports.len(), town.lab.reason(&target)), (1, "Synced"));
    }
}

#[test]
fn a_dead_prefix_leaves_in_the_write_that_brings_its_successor() {
    let target = pool("lb");
    let mut town = town(&target, 2);
    town.dead.insert(1);
    town.rotate(2, at(10));
    assert_eq!(town.live(at(10)), std::slice::from_ref(&target));
    assert_eq!(town.lab.text(&target), ["192.0.2.0/24", "2001:db8:2::/64"]);
}

#[test]
fn what_must_not_be_narrowed_stays_whole_and_says_why() {
    let target = pool("lb");
    let whole = ["192.0.2.0/24", "2001:db8:2::/64", "2001:db8:1::/64"];
    let mut old = town(&target, 1);
    old.lab.island.handle_cilium_schema(Schema::of_label(Some("1.32.7")), at(5));
    old.rotate(2, at(10));
    old.live(at(10));
    assert_eq!((&old.lab.text(&target)[..], old.lab.reason(&target)), (&whole.map(str::to_owned)[..], "NotNarrowed"));
    assert!(old.lab.report(&target).message.as_ref().is_some_and(|text| text.contains("1.32.7")));
    old.lab.island.handle_cilium_schema(Schema::of_label(Some("1.33.12")), at(20));
    assert_eq!((old.live(at(20)).len(), old.lab.reason(&target)), (1, "Synced"));

    let mut blind = town(&target, 1);
    blind.lab.island.handle_watch(Kind::Service, WatchState::Forbidden("no".to_owned()), at(5));
    blind.rotate(2, at(10));
    blind.live(at(10));
    assert_eq!(
        (&blind.lab.text(&target)[..], blind.lab.reason(&target)),
        (&whole.map(str::to_owned)[..], "NotNarrowed")
    );
    let message = blind.lab.report(&target).message.clone().unwrap_or_default();
    assert!(message.contains("resources: [services], verbs: [list, watch]"), "{message}");
    let note = |event: &Event| matches!(event, Event::Note { reason, .. } if reason == "NotNarrowed");
    assert!(blind.lab.events.iter().any(note));
}

/// After a restart in the drain nothing is undone because Services are read a little later than pools.
#[test]
fn a_pool_waits_for_the_first_reading_of_services() {
    let target = pool("lb");
    let mut town = town(&target, 2);
    town.rotate(2, at(10));
    town.live(at(10));
    let before = town.lab.text(&target);
    let managed = town.lab.managed();
    town.lab.island = Island::new(&cluster(), managed, 9);
    town.lab.island.handle_served(&served(), at(20));
    town.lab.island.handle_cilium_schema(Schema::of_label(Some("1.33.12")), at(20));
    let pools = town.lab.api.list(target.kind);
    town.lab.island.handle_watch(target.kind, WatchState::Running, at(20));
    town.lab.island.handle_list(target.kind, None, pools, at(20));
    town.rotate(3, at(20));
    assert_eq!(town.lab.island.poll_write(at(20)), None);
    town.lab.drain();
    assert_eq!((town.lab.text(&target), town.lab.reason(&target)), (before, "AwaitingServices"));
    town.lab.island.handle_watch(Kind::Service, WatchState::Failed("500".to_owned()), at(21));
    town.lab.drain();
    assert_eq!((town.lab.island.poll_write(at(21)), town.lab.failures().last()), (None, Some(&"AwaitingServices")));
    let services = town.lab.api.list(Kind::Service);
    town.lab.island.handle_list(Kind::Service, None, services, at(22));
    town.live(at(22));
    assert_eq!(town.lab.text(&target)[1..], ["2001:db8:3::/64", "2001:db8:1::-2001:db8:1::1"]);
}

/// D24: an annotation alone changes nothing in mode simple; a suffix does.
#[test]
fn d24_in_mode_simple_only_a_host_part_is_written() {
    let target = pool("lb");
    let mut town = town(&target, 0);
    let plain = town.create("plain", ours(&[]), V6, at(2));
    let fixed = town.create("fixed", ours(&[("dynamic-prefix.io/suffix", "::77")]), DUAL, at(2));
    town.live(at(2));
    let before = town.lab.api.get(&plain).annotations.clone();
    assert_eq!(before.len(), 2);
    assert_eq!(town.note(&fixed, "lbipam.cilium.io/ips").as_deref(), Some("192.0.2.1,2001:db8:1::77"));
    assert_eq!(town.note(&fixed, "external-dns.kubernetes.io/target"), None);
    town.rotate(2, at(10));
    town.live(at(10));
    assert_eq!(town.lab.api.get(&plain).annotations, before);
    assert_eq!(town.note(&fixed, "lbipam.cilium.io/ips").as_deref(), Some("192.0.2.1,2001:db8:2::77"));
    assert_eq!(town.ingress(&fixed), ips(&["192.0.2.1", "2001:db8:2::77"]));
}

/// Whatever keeps the version of Cilium from being read, the pool says why its former range is whole.
#[test]
fn a_version_that_cannot_be_read_is_told() {
    let lb = pool("lb");
    let mut lab = Lab::new([api::object(&lb, [])]);
    lab.island.handle_cilium_schema(Schema::Unreadable("the server is unable to handle the request".to_owned()), at(0));
    let bindings = vec![binding("b", "lb", &lb)];
    lab.want(wanted(prefixes(&[1]), bindings.clone()), at(0));
    lab.want(wanted(prefixes(&[2, 1]), bindings), at(10));
    assert_eq!(lab.text(&lb), ["2001:db8:2::/64", "2001:db8:1::/64"]);
    assert_eq!(lab.reason(&lb), "NotNarrowed");
    assert!(lab.report(&lb).message.as_ref().is_some_and(|why| why.contains("unable to handle")));
    lab.island.handle_cilium_schema(Schema::of_label(Some("1.33.12")), at(20));
    lab.island.handle_cilium_schema(Schema::Unreadable("gone".to_owned()), at(21));
    lab.run(at(21));
    assert_eq!(lab.text(&lb), ["2001:db8:2::/64"], "what was read once holds");
}
