use super::*;

const NOW: Instant = Instant::from_secs(1000);

fn wall() -> Timestamp {
    "2026-01-04T10:00:00Z".parse().unwrap()
}

fn pool(name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::CiliumLoadBalancerIPPool, namespace: None, name: name.to_owned() }
}

fn target(name: &str, bound: &str, desired: &[&str]) -> TargetReport {
    TargetReport {
        object: pool(name),
        uid: Some(format!("uid of {name}")),
        bindings: vec!["b".to_owned()],
        bound_prefixes: vec![bound.to_owned()],
        desired: desired.iter().map(|entry| (*entry).to_owned()).collect(),
        foreign: vec![],
        synced: true,
        observed: None,
        last_sync: None,
        retry_at: None,
        reason: "Synced".to_owned(),
        message: None,
        other: None,
        managed: None,
    }
}

fn written(name: &str) -> Event {
    Event::Written { object: pool(name), added: vec![], removed: vec![], elapsed: Duration::ZERO }
}

fn contested(name: &str) -> Event {
    Event::Contested { object: pool(name), manager: Some("argocd".to_owned()), hint: String::new() }
}

fn served() -> Served {
    Served::from([(Kind::CiliumLoadBalancerIPPool, "v2".to_owned())])
}

/// Everything that is to be sent, all of it accepted.
fn posts(notices: &mut Notices, now: Instant) -> Vec<Post> {
    let next = || {
        let post = notices.poll_post("edge", &served(), now, wall())?;
        notices.handle_answer(Ok(()));
        Some(post)
    };
    std::iter::from_fn(next).collect()
}

fn reasons(posts: &[Post]) -> Vec<&str> {
    posts.iter().map(|post| post.body["reason"].as_str().unwrap_or("series")).collect()
}

const NEW: &str = "2001:db8:2:0:f000::/112";

#[test]
fn a_rotation_is_told_once_and_nothing_is_told_that_was_not_written() {
    let mut notices = Notices::new(true);
    // After a restart everything is as it should be.
    notices.handle_target(&target("pool", NEW, &[NEW]));
    assert!(posts(&mut notices, NOW).is_empty());
    notices.handle_event(&written("pool"));
    notices.handle_target(&target("pool", NEW, &[NEW, "2001:db8:1:0:f000::5-2001:db8:1:0:f000::5"]));
    // The end of the drain is a write, too.
    notices.handle_event(&written("pool"));
    notices.handle_target(&target("pool", NEW, &[NEW]));
    let posts = posts(&mut notices, NOW);
    assert_eq!(reasons(&posts), ["PrefixApplied", "PrefixDraining"]);
    let Post { path, is_patch, body } = &posts[0];
    assert_eq!((path.as_str(), *is_patch), ("/apis/events.k8s.io/v1/namespaces/default/events", false));
    let name = body["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("pool."), "{name}");
    let expected = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "eventTime": "2026-01-04T10:00:00.000000Z",
        "reportingController": "dyn-prefix", "reportingInstance": "dyn-prefix-edge",
        "action": "Apply", "reason": "PrefixApplied",
        "regarding": {"apiVersion": "cilium.io/v2", "kind": "CiliumLoadBalancerIPPool", "name": "pool",
                      "uid": "uid of pool"},
        "note": "It holds 2001:db8:2:0:f000::/112.", "type": "Normal",
    });
    assert_eq!(*body, expected);
}

#[test]
fn what_is_true_again_becomes_a_series() {
    let mut notices = Notices::new(true);
    notices.handle_target(&target("pool", NEW, &[NEW]));
    notices.handle_event(&contested("pool"));
    let first = posts(&mut notices, NOW);
    assert_eq!((reasons(&first), &first[0].body["type"]), (vec!["Contested"], &json!("Warning")));
    notices.handle_event(&contested("pool"));
    let again = posts(&mut notices, NOW + Duration::from_secs(600));
    let name = first[0].body["metadata"]["name"].as_str().unwrap();
    assert!(again[0].is_patch && again[0].path.ends_with(&format!("/{name}")), "{again:?}");
    assert_eq!(again[0].body["series"]["count"], 2);
    notices.handle_event(&contested("pool"));
    assert_eq!(reasons(&posts(&mut notices, NOW + Duration::from_secs(6000))), ["Contested"], "that one is forgotten");
}

#[test]
fn only_what_the_user_has_to_mend_is_invalid() {
    let mut notices = Notices::new(true);
    notices.handle_target(&target("pool", NEW, &[NEW]));
    let failing = |reason: &str| Event::Failing {
        object: pool("pool"),
        reason: reason.to_owned(),
        message: "The range lies outside.".to_owned(),
    };
    for reason in ["Unreachable", "TargetMissing", "Forbidden", "Conflict"] {
        notices.handle_event(&failing(reason));
    }
    assert!(posts(&mut notices, NOW).is_empty());
    notices.handle_event(&failing("EntryError"));
    let posts = posts(&mut notices, NOW);
    assert_eq!(reasons(&posts), ["TargetInvalid"]);
    assert_eq!(posts[0].body["note"], "EntryError: The range lies outside.");
}

#[test]
fn a_thousand_pools_make_few_events() {
    let mut notices = Notices::new(true);
    for number in 0..1000 {
        let name = format!("pool-{number}");
        notices.handle_event(&written(&name));
        notices.handle_target(&target(&name, NEW, &[NEW]));
    }
    assert_eq!(posts(&mut notices, NOW).len(), usize::try_from(BURST).unwrap());
    let counts: BTreeMap<_, _> = notices.take_counts().into_iter().collect();
    assert_eq!((counts["sent"], counts["dropped"]), (32, 968));
    assert!(notices.take_counts().is_empty());
    notices.handle_event(&contested("pool-1"));
    assert!(posts(&mut notices, NOW).is_empty(), "no right to one is left");
    notices.handle_event(&contested("pool-1"));
    assert_eq!(posts(&mut notices, NOW + REFILL).len(), 1);
}

#[test]
fn a_refusal_is_one_note_and_silence_until_the_next_connection() {
    let mut notices = Notices::new(true);
    notices.handle_target(&target("pool", NEW, &[NEW]));
    notices.handle_event(&contested("pool"));
    assert!(notices.poll_post("edge", &served(), NOW, wall()).is_some());
    let message = "events is forbidden".to_owned();
    notices.handle_answer(Err(Failure::Refused { code: 403, message, retry_after: None }));
    assert!(notices.note().unwrap().contains("resources: [events], verbs: [create, patch]"));
    notices.handle_event(&contested("pool"));
    assert!(notices.poll_post("edge", &served(), NOW, wall()).is_none());
    notices.handle_connected();
    assert_eq!(notices.note(), None);
    notices.handle_event(&contested("pool"));
    assert!(notices.poll_post("edge", &served(), NOW, wall()).is_some());
}

#[test]
fn none_are_sent_where_they_are_off() {
    let mut notices = Notices::new(true);
    notices.handle_target(&target("pool", NEW, &[NEW]));
    notices.handle_event(&contested("pool"));
    notices.reconfigure(false);
    notices.handle_event(&contested("pool"));
    notices.handle_target(&target("pool", NEW, &[NEW]));
    assert!(posts(&mut notices, NOW).is_empty() && notices.take_counts().is_empty());
}

#[test]
fn a_long_note_is_cut_between_characters() {
    let note = shortened("é".repeat(2000));
    assert!(note.len() <= LONGEST_NOTE && note.ends_with('…'), "{}", note.len());
}
