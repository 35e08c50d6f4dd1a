//! Every way a patch can fail, and what ends the wait.

use super::api::object;
use super::*;

/// A pool with the first prefix on it; the second is wanted, and its patch has not been sent.
fn due() -> (Lab, ObjectRef) {
    let target = pool("lb");
    let mut lab = Lab::new([object(&target, [])]);
    lab.want(bound(&[1]), at(0));
    lab.island.handle_wanted(bound(&[2, 1]), at(100));
    (lab, target)
}

fn bound(numbers: &[u16]) -> Wanted {
    wanted(prefixes(numbers), vec![binding("b", "lb", &pool("lb"))])
}

fn busy(seconds: Option<u64>) -> WriteError {
    WriteError::Busy { message: "slow down".to_owned(), retry_after: seconds.map(Duration::from_secs) }
}

/// Virtual seconds from 100 until the next patch is ready, without any input.
fn wait(lab: &mut Lab) -> f64 {
    let next = lab.island.poll_timeout().expect("a timer");
    lab.island.handle_timeout(next - Duration::from_millis(1));
    assert_eq!(lab.island.poll_write(next - Duration::from_millis(1)), None, "too early");
    lab.island.handle_timeout(next);
    next.saturating_since(at(100)).as_secs_f64()
}

#[test]
fn while_an_answer_is_awaited_no_second_patch_leaves() {
    let (mut lab, target) = due();
    let first = lab.island.poll_write(at(100)).expect("a patch");
    lab.island.handle_wanted(bound(&[3, 2, 1]), at(100));
    let seen = lab.api.edit(&target, "kubectl", |object| object.list.push(cidr("10.0.0.0/24")));
    lab.island.handle_object(seen, at(100));
    assert_eq!(lab.island.poll_write(at(100)), None);
    let answer = lab.api.patch(&first);
    assert_eq!(answer, Err(WriteError::Conflict));
    lab.island.handle_written(&target, answer, at(100));
    assert_eq!(lab.run(at(100)), 1, "the newer version is here already");
    assert_eq!(lab.text(&target), ["2001:db8:3::/64", "2001:db8:2::/64", "2001:db8:1::/64", "10.0.0.0/24"]);
}

#[test]
fn a_conflict_waits_for_the_newer_version() {
    let (mut lab, target) = due();
    let newer = lab.api.edit(&target, "kubectl", |object| object.list.insert(0, cidr("10.0.0.0/24")));
    assert_eq!(lab.run(at(100)), 1);
    assert_eq!((lab.reason(&target), lab.failures()), ("Conflict", vec![]), "normal, so nothing to warn of");
    lab.island.handle_object(newer, at(101));
    assert_eq!(lab.run(at(101)), 1);
    assert_eq!(lab.text(&target), ["10.0.0.0/24", "2001:db8:2::/64", "2001:db8:1::/64"]);
    assert_eq!(lab.reason(&target), "Synced");
}

/// LB-IPAM writes the status of a pool once for each Service that moves.
#[test]
fn a_patch_waits_for_a_quiet_moment_when_the_status_changes_again_and_again() {
    let (mut lab, target) = due();
    let (mut sent, mut now) = (0, at(100));
    while now < at(102) {
        // Whatever is sent comes too late.
        while let Some(write) = lab.island.poll_write(now) {
            let newer = lab.api.edit(&target, "cilium-operator", |_| ());
            let answer = lab.api.patch(&write);
            assert_eq!(answer, Err(WriteError::Conflict));
            lab.island.handle_object(newer, now);
            lab.island.handle_written(&target, answer, now);
            sent += 1;
        }
        now = now + Duration::from_millis(5);
        let newer = lab.api.edit(&target, "cilium-operator", |_| ());
        lab.island.handle_object(newer, now);
        lab.island.handle_timeout(now);
    }
    lab.drain();
    assert!((20..=24).contains(&sent), "{sent} patches in 2 s, and not 400");
    assert_eq!((lab.reason(&target), lab.failures()), ("Conflict", vec!["Conflict"]), "in the end it is told");
    assert_eq!((lab.wait_until(at(103)), lab.reason(&target)), (1, "Synced"));
}

#[test]
fn a_version_that_tells_nothing_new_is_no_reason_to_decide() {
    let (mut lab, target) = due();
    assert_eq!((lab.run(at(100)), lab.reason(&target)), (1, "Synced"));
    let decided = lab.island.evaluations.clone();
    let newer = lab.api.edit(&target, "cilium-operator", |_| ());
    lab.island.handle_object(newer, at(101));
    assert_eq!(lab.island.evaluations, decided);
    // The next patch is made of it all the same.
    lab.island.handle_wanted(bound(&[3, 2, 1]), at(102));
    assert_eq!((lab.run(at(102)), lab.reason(&target)), (1, "Synced"));
}

#[test]
fn a_conflict_is_not_waited_out_for_ever() {
    let (mut lab, target) = due();
    lab.fail(WriteError::Conflict, at(100));
    assert!((1.0..=1.5).contains(&wait(&mut lab)));
    assert_eq!((lab.run(at(102)), lab.reason(&target)), (1, "Synced"));
}

/// Whoever has granted the missing right reloads, and need not wait five minutes to see that it was the right one.
#[test]
fn a_reload_tries_again_what_failed() {
    let (mut lab, target) = due();
    lab.fail(WriteError::Forbidden("User \"x\" cannot patch".to_owned()), at(100));
    assert_eq!((lab.run(at(101)), lab.reason(&target)), (0, "Forbidden"));
    lab.island.reconfigure(&cluster());
    lab.island.handle_timeout(at(102));
    assert_eq!((lab.run(at(102)), lab.reason(&target)), (1, "Synced"));
}

#[test]
fn forbidden_is_tried_slowly_and_says_what_is_needed() {
    let (mut lab, target) = due();
    lab.fail(WriteError::Forbidden("User \"x\" cannot patch".to_owned()), at(100));
    let report = lab.report(&target).clone();
    assert_eq!((report.reason.as_str(), report.retry_at, report.synced), ("Forbidden", Some(at(400)), false));
    let message = report.message.expect("a sentence");
    for fact in [
        "patch",
        "ciliumloadbalancerippools.cilium.io",
        "\"lb\"",
        "User \"x\" cannot patch",
        "ClusterRole",
        "[list, watch, patch]",
    ] {
        assert!(message.contains(fact), "{fact} is not in {message}");
    }
    assert_eq!(lab.failures(), ["Forbidden"]);
    assert!((wait(&mut lab) - 300.0).abs() < f64::EPSILON);
    lab.fail(WriteError::Forbidden("still".to_owned()), at(400));
    assert_eq!(lab.failures(), ["Forbidden"], "told once");
    // Something else to write: tried at once.
    lab.want(bound(&[3, 2, 1]), at(401));
    assert_eq!(lab.reason(&target), "Synced");
    assert!(lab.events.contains(&Event::Recovered { object: target }));
}

#[test]
fn a_namespaced_kind_needs_a_role_in_its_namespace() {
    let target = metallb("public");
    let mut lab = Lab::new([object(&target, [])]);
    lab.island.handle_wanted(wanted(prefixes(&[1]), vec![binding("b", "lb", &target)]), at(0));
    lab.fail(WriteError::Forbidden("no".to_owned()), at(0));
    let message = lab.report(&target).message.clone().expect("a sentence");
    assert!(message.contains("ipaddresspools.metallb.io \"public\" in namespace metallb-system"), "{message}");
    assert!(message.contains("needs a Role with apiGroups: [metallb.io]"), "{message}");
}

#[test]
fn invalid_waits_for_another_patch() {
    let (mut lab, target) = due();
    lab.fail(WriteError::Invalid("denied by policy".to_owned()), at(100));
    assert_eq!((lab.reason(&target), lab.report(&target).retry_at), ("Invalid", Some(at(400))));
    lab.want(bound(&[2, 1]), at(101));
    assert_eq!(lab.writes.len(), 1, "the same again would be refused again");
    assert_eq!(lab.edit(&target, "kubectl", vec![cidr("10.0.0.0/24")], at(102)), 1, "the object has changed");
    assert_eq!(lab.reason(&target), "Synced");
}

#[test]
fn a_webhook_that_cannot_be_called_is_tried_again_with_growing_pauses() {
    let (mut lab, target) = due();
    let mut pauses = Vec::new();
    let mut now = at(100);
    for _ in 0..9 {
        lab.fail(WriteError::Webhook("connection refused".to_owned()), now);
        let next = lab.island.poll_timeout().expect("a timer");
        pauses.push(next.saturating_since(now).as_secs_f64());
        now = next;
        lab.island.handle_timeout(now);
    }
    for (pause, base) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]) {
        assert!((base..=f64::min(base * 1.5, 60.0)).contains(pause), "{pauses:?}");
    }
    assert_eq!((lab.reason(&target), lab.failures()), ("WebhookFailed", vec!["WebhookFailed"]));
    lab.run(now);
    assert_eq!(
        (lab.reason(&target), lab.events.last()),
        ("Synced", Some(&Event::Recovered { object: target.clone() }))
    );
    // The next failure starts from one second again.
    lab.island.handle_wanted(bound(&[3, 2, 1]), at(100));
    lab.fail(WriteError::Webhook(String::new()), at(100));
    assert!(wait(&mut lab) <= 1.5);
}

#[test]
fn a_busy_server_is_given_the_time_it_asks_for() {
    for (asked, range) in [(None, 1.0..=1.5), (Some(20), 20.0..=20.0), (Some(86_400), 600.0..=600.0)] {
        let (mut lab, _) = due();
        lab.fail(busy(asked), at(100));
        let waited = wait(&mut lab);
        assert!(range.contains(&waited), "{asked:?}: {waited}");
        assert_eq!(lab.run(at(1000)), 1);
    }
}

#[test]
fn a_missing_object_is_written_when_it_appears() {
    let (mut lab, target) = due();
    lab.api.delete(&target);
    lab.run(at(100));
    assert_eq!(lab.reason(&target), "TargetMissing");
    lab.island.handle_deleted(&target, at(101));
    let made = lab.api.create(object(&target, []));
    lab.island.handle_object(made, at(102));
    assert_eq!((lab.run(at(102)), lab.reason(&target)), (1, "Synced"));
}

#[test]
fn without_a_path_everything_waits_for_the_next_connection() {
    let others: Vec<_> = (0..20).map(|n| group(&format!("g{n}"))).collect();
    let mut lab = Lab::new(others.iter().map(|target| object(target, [json!("10.0.0.0/8")])));
    let bindings: Vec<_> = others.iter().map(|target| binding(&target.name, "lb", target)).collect();
    for n in 1..=5_u16 {
        lab.island.handle_wanted(wanted(prefixes(&[n]), bindings.clone()), at(i64::from(n)));
        if n == 1 {
            lab.fail(WriteError::Unreachable("timed out".to_owned()), at(1));
        }
        assert_eq!(lab.island.poll_write(at(i64::from(n))), None);
    }
    assert_eq!(lab.failures(), [""; 0], "the connection is one failure, not twenty");
    lab.island.handle_connected(at(5));
    assert_eq!(lab.run(at(5)), 20, "one write per object, with the latest prefix");
    assert_eq!(lab.text(&others[0]), ["10.0.0.0/8", "2001:db8:5::/64"]);
}

#[test]
fn a_lost_answer_is_no_lost_write() {
    for error in [WriteError::Unreachable("reset".to_owned()), WriteError::Unauthorized("expired".to_owned())] {
        let (mut lab, target) = due();
        let write = lab.island.poll_write(at(100)).expect("a patch");
        let seen = lab.api.patch(&write).expect("the server took it");
        lab.island.handle_written(&target, Err(error), at(110));
        lab.connect(at(120));
        assert_eq!((lab.run(at(120)), lab.reason(&target)), (0, "Synced"));
        assert_eq!(lab.api.get(&target), &seen);
    }
}

#[test]
fn the_pause_ends_by_itself_if_nobody_reports_a_new_connection() {
    let (mut lab, target) = due();
    lab.fail(WriteError::Unreachable("timed out".to_owned()), at(100));
    assert_eq!(lab.wait_until(at(104)), 0);
    assert_eq!((lab.wait_until(at(105)), lab.reason(&target)), (1, "Synced"));
}

#[test]
fn a_new_connection_ends_every_wait() {
    for error in [
        WriteError::Forbidden(String::new()),
        WriteError::Invalid(String::new()),
        WriteError::Webhook(String::new()),
        WriteError::NotFound,
        WriteError::Conflict,
        busy(Some(60)),
        WriteError::Unauthorized(String::new()),
        WriteError::Unreachable(String::new()),
    ] {
        let (mut lab, _) = due();
        lab.fail(error.clone(), at(100));
        assert_eq!(lab.run(at(100)), 0, "{error:?}");
        lab.island.handle_connected(at(100));
        assert_eq!(lab.run(at(100)), 1, "{error:?}");
    }
}

/// The watch brings what was true before our own write; that is nobody's removal.
#[test]
fn an_older_version_is_not_believed() {
    let (mut lab, target) = due();
    let old = lab.api.get(&target).clone();
    lab.run(at(100));
    lab.island.handle_object(old, at(101));
    assert_eq!((lab.run(at(101)), lab.reason(&target)), (0, "Synced"));
}

#[test]
fn a_patch_that_does_not_stick_is_no_loop() {
    let (mut lab, target) = due();
    let mut now = at(100);
    let mut sent = 0;
    while now < at(200) {
        while let Some(write) = lab.island.poll_write(now) {
            // A mutating webhook takes our entries out again, and the server says 200.
            let version = lab.api.edit(&write.object, "dyn-prefix", |_| ()).resource_version;
            let mut answer = lab.api.get(&target).clone();
            answer.resource_version = version;
            lab.island.handle_written(&target, Ok(answer), now);
            sent += 1;
        }
        lab.drain();
        now = lab.island.poll_timeout().expect("a timer");
        lab.island.handle_timeout(now);
    }
    assert!((5..=8).contains(&sent), "{sent} patches in 100 s");
    assert_eq!((lab.reason(&target), lab.failures()), ("NotKept", vec!["NotKept"]));
}

/// MetalLB's webhook refuses addresses that another pool holds, and which of two patches it sees first is chance.
#[test]
fn a_range_moves_from_one_metallb_pool_to_another() {
    let (from, to, other) = (metallb("a"), metallb("b"), metallb("c"));
    for refused_first in [true, false] {
        let own = || [json!("10.0.0.0/24")];
        let mut lab = Lab::new([object(&from, own()), object(&to, own()), object(&other, own())]);
        lab.want(wanted(prefixes(&[1]), vec![binding("x", "lb", &from)]), at(0));
        let moved = vec![binding("x", "lb", &to), binding("y", "other", &other)];
        lab.island.handle_wanted(wanted(prefixes(&[1]), moved), at(1));
        let writes: BTreeMap<_, _> =
            std::iter::from_fn(|| lab.island.poll_write(at(1))).map(|write| (write.object.clone(), write)).collect();
        let refusal = || Err(WriteError::Invalid("CIDR overlaps with already defined CIDR".to_owned()));
        lab.island.handle_written(&other, refusal(), at(2));
        let released = lab.api.patch(&writes[&from]);
        if refused_first {
            lab.island.handle_written(&to, refusal(), at(2));
            assert_eq!(lab.run(at(2)), 0, "refused for now");
        }
        lab.island.handle_written(&from, released, at(2));
        if !refused_first {
            lab.island.handle_written(&to, refusal(), at(2));
        }
        assert_eq!(lab.run(at(2)), 1, "but not for five minutes, and only where it can help");
        assert_eq!(lab.text(&from), ["10.0.0.0/24"]);
        assert_eq!(lab.text(&to), ["10.0.0.0/24", "2001:db8:1::/64"]);
        assert_eq!(lab.reason(&other), "Invalid");
    }
}
