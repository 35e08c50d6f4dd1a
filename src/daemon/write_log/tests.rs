use super::*;
use crate::config::Kind;
use crate::log::Priority;

const NOW: Instant = Instant::from_secs(100);

fn pool(name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::CiliumLoadBalancerIPPool, namespace: None, name: name.to_owned() }
}

fn written(name: &str, milliseconds: u64) -> Event {
    Event::Written {
        object: pool(name),
        added: vec!["cidr=2001:db8:2::/64".to_owned()],
        removed: vec!["cidr=2001:db8:1::/64".to_owned()],
        elapsed: Duration::from_millis(milliseconds),
    }
}

fn failing(name: &str) -> Event {
    Event::Failing { object: pool(name), reason: "Forbidden".to_owned(), message: "no patch verb.".to_owned() }
}

fn lines(log: &mut WriteLog, now: Instant) -> Vec<Entry> {
    log.handle_timeout(now);
    std::iter::from_fn(|| log.poll_entry()).collect()
}

fn health(state: ConnectionState, reason: Option<&str>) -> Health {
    Health {
        state,
        reason: reason.map(|reason| (reason.to_owned(), "The API server does not answer.".to_owned())),
        server_version: Some("v1.36.3".to_owned()),
        retry_at: None,
        notes: Vec::new(),
        validity: None,
    }
}

#[test]
fn one_object_is_told_with_all_that_changed() {
    let mut log = WriteLog::default();
    log.handle_event("home", written("a", 5), NOW);
    assert_eq!(lines(&mut log, NOW), []);
    assert_eq!(log.poll_timeout(), Some(NOW + QUIET));
    let told = lines(&mut log, NOW + QUIET);
    assert_eq!(
        told[0].message,
        "home: CiliumLoadBalancerIPPool/a now holds cidr=2001:db8:2::/64, and no longer cidr=2001:db8:1::/64, in 5 ms."
    );
    assert_eq!(told[0].target.as_deref(), Some("CiliumLoadBalancerIPPool/a"));
    assert_eq!(told[0].cluster.as_deref(), Some("home"));
    assert_eq!(log.poll_timeout(), None);
}

#[test]
fn a_rotation_of_many_objects_is_one_line() {
    let mut log = WriteLog::default();
    for (number, name) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
        let number = number as u64;
        log.handle_event("home", written(name, 10 * (number + 1)), NOW + Duration::from_millis(10 * number));
    }
    log.handle_event("lab", written("x", 7), NOW);
    let told = lines(&mut log, NOW + LONGEST);
    assert_eq!(told.len(), 2, "one line per cluster");
    assert!(told[0].message.starts_with("home: 6 objects ("), "{}", told[0].message);
    assert!(told[0].message.contains("the last after 60 ms"), "{}", told[0].message);
    assert_eq!(told[0].target, None);
}

fn moved(name: &str, added: &[&str], removed: &[&str]) -> Event {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let object = ObjectRef { kind: Kind::Service, namespace: Some("web".to_owned()), name: name.to_owned() };
    Event::Written { object, added: texts(added), removed: texts(removed), elapsed: Duration::from_millis(3) }
}

/// However fast the cluster is, the steps of Services are told one after the other.
#[test]
fn the_steps_of_services_are_told_apart() {
    let mut log = WriteLog::default();
    log.handle_event("home", written("a", 5), NOW);
    for name in ["x", "y"] {
        log.handle_event("home", moved(name, &["2001:db8:2::8"], &[]), NOW);
        log.handle_event("home", moved(name, &["2001:db8:2::8 (DNS)"], &["2001:db8:1::8 (DNS)"]), NOW);
    }
    log.handle_event("home", written("a", 7), NOW);
    log.handle_event("home", moved("x", &[], &["2001:db8:1::8"]), NOW);
    let told: Vec<String> = lines(&mut log, NOW + QUIET).into_iter().map(|line| line.message).collect();
    let expected = [
        "in 5 ms.",
        "Service/web/x asks for 2001:db8:2::8.",
        "DNS is to name 2001:db8:2::8, and no longer 2001:db8:1::8.",
        "in 7 ms.",
        "Service/web/x no longer asks for 2001:db8:1::8, in 3 ms.",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    assert!(told.iter().zip(expected).all(|(told, end)| told.ends_with(end)), "{told:#?}");
}

#[test]
fn a_line_waits_a_second_at_most() {
    let mut log = WriteLog::default();
    for step in 0..30 {
        log.handle_event("home", written("a", 5), NOW + Duration::from_millis(50 * step));
    }
    assert_eq!(log.poll_timeout(), Some(NOW + LONGEST));
}

#[test]
fn what_keeps_failing_is_told_hourly_and_once_when_it_is_well() {
    let mut log = WriteLog::default();
    log.handle_event("home", failing("a"), NOW);
    log.handle_event("home", failing("b"), NOW);
    let told_at = NOW + QUIET;
    let told = lines(&mut log, told_at);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].priority, Priority::Warning);
    assert!(told[0].message.contains("no patch verb."), "{}", told[0].message);
    assert!(told[0].message.contains("CiliumLoadBalancerIPPool/b"), "{}", told[0].message);
    assert_eq!(log.poll_timeout(), Some(told_at + REMINDER));
    let reminded = lines(&mut log, told_at + REMINDER);
    assert!(reminded[0].message.starts_with("Still so: home:"), "{}", reminded[0].message);

    let later = told_at + REMINDER + REMINDER / 2;
    log.handle_event("home", Event::Recovered { object: pool("a") }, later);
    log.handle_event("home", Event::Recovered { object: pool("b") }, later);
    let well = lines(&mut log, later + QUIET);
    assert_eq!(well.len(), 1);
    assert_eq!(well[0].priority, Priority::Info);
    assert_eq!(log.poll_timeout(), None, "nothing to remind of");
}

#[test]
fn a_cluster_is_told_of_when_its_connection_changes() {
    let mut log = WriteLog::default();
    log.handle_health("home", &health(ConnectionState::Connecting, None), NOW);
    log.handle_health("home", &health(ConnectionState::Connected, None), NOW);
    log.handle_health("home", &health(ConnectionState::Connected, None), NOW);
    let told = lines(&mut log, NOW);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].message, "home: connected to the API server v1.36.3.");
    log.handle_health("home", &health(ConnectionState::Unreachable, Some("TimedOut")), NOW);
    log.handle_health("home", &health(ConnectionState::Unreachable, Some("TimedOut")), NOW);
    assert_eq!(lines(&mut log, NOW)[0].message, "home: The API server does not answer. (TimedOut)");
    assert_eq!(lines(&mut log, NOW + REMINDER).len(), 1);
    log.handle_health("home", &health(ConnectionState::Connected, None), NOW + REMINDER);
    assert_eq!(lines(&mut log, NOW + REMINDER).len(), 1);
    assert_eq!(log.poll_timeout(), None);
}

#[test]
fn nobody_is_reminded_of_what_is_no_target_any_more() {
    let mut log = WriteLog::default();
    log.handle_event("home", failing("a"), NOW);
    log.handle_event("home", failing("b"), NOW);
    assert_eq!(lines(&mut log, NOW + QUIET).len(), 1);
    log.handle_removed("home", &[pool("a")]);
    assert!(log.poll_timeout().is_some(), "the other one still fails");
    log.handle_removed("home", &[pool("b")]);
    assert_eq!(log.poll_timeout(), None, "nothing to remind of");

    log.handle_event("home", failing("c"), NOW);
    log.handle_removed("home", &[pool("c")]);
    assert_eq!(lines(&mut log, NOW + QUIET).len(), 1);
    assert_eq!(log.poll_timeout(), None, "it was removed before it was told of");
}

#[test]
fn nobody_is_reminded_of_a_cluster_that_left_the_configuration() {
    let mut log = WriteLog::default();
    for cluster in ["home", "lab"] {
        log.handle_event(cluster, failing("a"), NOW);
        log.handle_health(cluster, &health(ConnectionState::Unreachable, Some("TimedOut")), NOW);
    }
    assert_eq!(lines(&mut log, NOW + QUIET).len(), 4);
    log.retain(|cluster| cluster == "home");
    let reminded = lines(&mut log, NOW + QUIET + REMINDER);
    assert_eq!(reminded.len(), 2);
    assert!(reminded.iter().all(|line| line.cluster.as_deref() == Some("home")), "{reminded:?}");
}

/// After a suspend every failure that lasts is told again, and one that does not is not.
#[test]
fn what_begins_anew_tells_of_its_objects_itself() {
    let mut log = WriteLog::default();
    log.handle_event("home", failing("a"), NOW);
    log.handle_health("home", &health(ConnectionState::Unreachable, Some("TimedOut")), NOW);
    assert_eq!(lines(&mut log, NOW + QUIET).len(), 2);
    log.forget_objects();
    assert_eq!(lines(&mut log, NOW + QUIET + REMINDER).len(), 1, "only the connection is known to fail");
}

#[test]
fn what_is_over_before_it_is_told_is_no_news() {
    let mut log = WriteLog::default();
    log.handle_event("home", failing("a"), NOW);
    log.handle_event("home", failing("b"), NOW);
    log.handle_event("home", Event::Recovered { object: pool("a") }, NOW);
    let told = lines(&mut log, NOW + QUIET);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].message.contains("CiliumLoadBalancerIPPool/b"), "{told:?}");
    assert!(!told[0].message.contains("CiliumLoadBalancerIPPool/a"), "{told:?}");
    log.handle_event("home", Event::Recovered { object: pool("b") }, NOW + QUIET);
    let told = lines(&mut log, NOW + QUIET * 2);
    assert_eq!(told.len(), 1, "a failure that was told is told to be over: {told:?}");
}

#[test]
fn a_failure_that_was_told_before_for_another_reason_is_told_to_be_over() {
    let mut log = WriteLog::default();
    log.handle_event("home", failing("a"), NOW);
    assert_eq!(lines(&mut log, NOW + QUIET).len(), 1);
    let other = Event::Failing { object: pool("a"), reason: "Invalid".to_owned(), message: "No.".to_owned() };
    log.handle_event("home", other, NOW + QUIET);
    log.handle_event("home", Event::Recovered { object: pool("a") }, NOW + QUIET);
    let told = lines(&mut log, NOW + QUIET * 2);
    assert!(told.iter().any(|entry| entry.message.contains("in order again")), "{told:?}");
}

/// After a reload that puts a cluster back, or a suspend, there is nothing to tell until something has answered.
#[test]
fn a_connection_that_is_being_made_is_no_warning() {
    let mut log = WriteLog::default();
    for state in [ConnectionState::Connected, ConnectionState::Connecting, ConnectionState::Connected] {
        log.handle_health("home", &health(state, None), NOW);
    }
    let told = lines(&mut log, NOW);
    assert!(
        told.iter().all(|entry| entry.priority == Priority::Info && entry.message.contains("connected to")),
        "{told:?}"
    );
    assert_eq!(log.poll_timeout(), None, "nothing to remind of");
}

#[test]
fn what_a_person_withdrew_is_told_apart_from_what_nobody_wants() {
    let mut log = WriteLog::default();
    for (name, why) in [("a", Release::Withdrawn), ("b", Release::Unwanted), ("c", Release::Withdrawn)] {
        let released = Event::Released { object: pool(name), why, removed: Vec::new(), elapsed: Duration::ZERO };
        log.handle_event("home", released, NOW);
    }
    let told: Vec<String> = lines(&mut log, NOW + QUIET).into_iter().map(|entry| entry.message).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("IPPool/b released: no binding"), "{told:?}");
    assert!(told[1].contains("IPPool/a, CiliumLoadBalancerIPPool/c released: it was withdrawn"), "{told:?}");
}
